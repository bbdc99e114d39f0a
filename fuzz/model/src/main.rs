//! Explores every scope whole, and says how much that was; a broken promise is told step by step.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program that talks to people")]
#![allow(clippy::disallowed_methods, reason = "the runner alone knows real time, to say how long it took")]

use std::fmt::Debug;
use std::hash::Hash;
use std::process::ExitCode;
use std::time::Instant;

use postline_model::keys::scope::Scope as KeysScope;
use postline_model::keys::{self, Keys};
use postline_model::scope::Scope;
use postline_model::trust::{self, Trusting};
use stateright::{Checker, Model};

fn main() -> ExitCode {
    let only = std::env::args().nth(1);
    let wanted = |name: &str| only.as_ref().is_none_or(|only| only == name);
    let of_trust = Scope::ALL.into_iter().filter(|scope| wanted(scope.name)).try_fold(0, |states, scope| {
        let explored = explore::<_, trust::State>(scope.name, Trusting::new(scope), Trusting::machines)?;
        Some(states + explored)
    });
    let Some(of_trust) = of_trust else { return ExitCode::FAILURE };
    let of_keys = KeysScope::ALL.into_iter().filter(|scope| wanted(scope.name)).try_fold(0, |states, scope| {
        let explored = explore::<_, keys::State>(scope.name, Keys::new(scope), Keys::machines)?;
        Some(states + explored)
    });
    let Some(of_keys) = of_keys else { return ExitCode::FAILURE };
    println!("figure model.trust_states {of_trust}");
    println!("figure model.keys_states {of_keys}");
    ExitCode::SUCCESS
}

/// Explores a scope to its end: how many states it has, or `None` where a promise is broken.
fn explore<M, S>(name: &str, model: M, machines: impl Fn(&M) -> usize) -> Option<usize>
where
    M: Model<State = S> + Send + Sync + 'static,
    M::Action: Clone + Debug + PartialEq,
    S: Hash + Debug + Clone + PartialEq + Send + Sync + 'static,
{
    let began = Instant::now();
    let checker = model.checker().threads(2).spawn_bfs().join();
    println!(
        "{name}: {} states, {} transitions, {} machines, depth {}, {} s",
        checker.unique_state_count(),
        checker.state_count(),
        machines(checker.model()),
        checker.max_depth(),
        began.elapsed().as_secs()
    );
    let model = checker.model();
    for property in model.properties() {
        match (property.expectation.discovery_is_failure(), checker.discovery(property.name)) {
            (true, Some(path)) => {
                eprintln!("broken: {}", property.name);
                for (_, action) in path.into_vec() {
                    eprintln!("  {}", action.map_or_else(String::new, |action| model.format_action(&action)));
                }
                return None;
            }
            (false, None) => {
                eprintln!("never: {}", property.name);
                return None;
            }
            (true, None) | (false, Some(_)) => {}
        }
    }
    Some(checker.unique_state_count())
}
