//! Every order of what two devices, nodes that lie and an attacker with a key may do on the way to level L3.
//!
//! ```text
//!   state = (a device each, the statements that were signed)
//!              │
//!              └ the real client::Client, told real frames with real statements, and its past
//!
//!   action = a node tells a device of a line, with any proof that there is │ it answers with any lists
//!          │ it takes what was made known │ a person locks a lost device out, and so goes over to their next key
//!          │ a node's key is handed over │ a person takes the other's keys │ a device stops, and starts again
//! ```
//!
//! The real code: the device's front door, which decides, with its session, records, `seal::lists` and what the person
//! is told; the node's end is only a relay that may lie, so the model plays it. The model's own: handshakes are
//! numbers that agree, since trust is the other model's; lists that hand a key over are signed by the real drafts, on a
//! device that the model doesn't run; time stands still. A statement that was signed stays, and may be shown to either
//! device at any time, again, or never. What the attacker can't do: sign with others' keys.
//!
//! What is known is what came first. Two who never met take the first lists that they are shown, and a node that shows
//! another person's from the very start is found out by comparing codes, not here. So nothing is promised of a person
//! whose first lists were the attacker's, but that they stay the same.

mod cast;
mod device;
pub mod scope;
mod side;

use std::collections::BTreeSet;
use std::sync::Arc;

use postline_core::client::io::Level;
use postline_core::id::Hash;
use stateright::{Model, Property};

use self::cast::{Thing, What, t2};
use self::scope::Scope;
use self::side::{Host, Side, Told};

/// Two people, their devices, and everyone between.
#[derive(Debug)]
pub struct Keys {
    host: Host,
    /// What the attacker has signed of each person.
    forged: [Vec<u32>; 2],
}

/// All there is at some point.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    sides: [u32; 2],
    /// What the two have signed, by number, ordered.
    signed: Vec<u32>,
}

/// What happens next: one side is told something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Action {
    who: usize,
    told: Told,
}

impl Keys {
    /// The model of this scope.
    #[must_use]
    pub fn new(scope: Scope) -> Self {
        let host = Host::new(scope);
        let forged = [0, 1].map(|of| {
            let forged = if scope.attacker { host.cast.forged(of, scope.lines) } else { Vec::new() };
            forged.iter().map(|bytes| host.thing(bytes)).collect()
        });
        Self { host, forged }
    }

    /// How many different sides were met: each is a real device at some point.
    #[must_use]
    pub fn machines(&self) -> usize {
        self.host.sides.len()
    }

    fn side(&self, state: &State, who: usize) -> Arc<Side> {
        self.host.sides.value(state.sides[who])
    }

    fn actions_of(&self, state: &State, who: usize, actions: &mut Vec<Action>) {
        let (scope, side) = (&self.host.scope, self.side(state, who));
        let things = |numbers: &[u32]| -> Vec<(u32, Arc<Thing>)> {
            numbers.iter().map(|number| (*number, self.host.things.value(*number))).collect()
        };
        let (signed, forged) = (things(&state.signed), things(&self.forged[1 - who]));
        let mut may = |told| actions.push(Action { who, told });
        if side.past.came < scope.arrivals[who] {
            // An honest world brings what the other has signed; liars also send back what one has signed oneself.
            let shown = signed.iter().filter(|(_, thing)| scope.attacker || thing.of == 1 - who).chain(&forged);
            let proofs: Vec<u32> = shown
                .filter(|(_, thing)| matches!(thing.what, What::Proof { .. }))
                .map(|(number, _)| *number)
                .collect();
            may(Told::Line(None, None));
            for line in scope.lines {
                may(Told::Line(Some(*line), None));
                proofs.iter().for_each(|proof| may(Told::Line(Some(*line), Some(*proof))));
            }
            if side.asks.is_some() {
                let theirs = signed.iter().filter(|(_, thing)| thing.of == 1 - who);
                for (number, thing) in theirs.chain(&forged) {
                    let What::List { number: up_to, .. } = thing.what else { continue };
                    may(Told::List(*number));
                    if thing.by.is_some() {
                        may(Told::Lists(up_to));
                    }
                }
                may(Told::Lists(0));
            }
        }
        if !side.open.is_empty() {
            may(Told::Taken);
        }
        if scope.turns[who] && !side.past.turned {
            may(Told::Turn);
        }
        may(Told::Later);
        for line in scope.lines.iter().filter(|line| !side.past.proved.contains(line)) {
            may(Told::Prove(*line));
        }
        if side.past.accepted < scope.accepts[who] && side.view.list.is_some() {
            may(Told::Accept);
        }
        if side.past.crashed < scope.crashes[who] {
            may(Told::Crash);
        }
    }

    /// What holds of one side, given the other.
    fn each(&self, state: &State, holds: impl Fn(&Side, &Side) -> bool) -> bool {
        let sides = [0, 1].map(|who| self.side(state, who));
        holds(&sides[0], &sides[1]) && holds(&sides[1], &sides[0])
    }

    fn signed_by<'s>(&'s self, state: &'s State, who: usize) -> impl Iterator<Item = Arc<Thing>> + 's {
        let things = state.signed.iter().map(|number| self.host.things.value(*number));
        things.filter(move |thing| thing.by == Some(who))
    }

    /// Whether a side knows the other as the person they are, and not another whose lists came first.
    fn knows(&self, side: &Side) -> bool {
        side.view.list.is_some_and(|list| list.identity == self.host.person(1 - side.who).identity)
    }

    /// Whether the other has signed, for this line and by a list that this side has, what makes it L3.
    fn is_proven_by(&self, state: &State, side: &Side) -> bool {
        let (Some(line), Some(list)) = (side.past.line, side.view.list) else { return false };
        let over: Hash = t2(line);
        self.signed_by(state, 1 - side.who).any(|thing| match thing.what {
            What::Proof { t2, number, .. } => thing.of == 1 - side.who && t2 == over && number <= list.number,
            What::List { .. } => false,
        })
    }
}

impl Model for Keys {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let people = &self.host.cast.people;
        let signed: BTreeSet<u32> =
            people.iter().flat_map(|person| &person.signed).map(|bytes| self.host.thing(bytes)).collect();
        vec![State { sides: [0, 1].map(|who| self.host.first(who)), signed: signed.into_iter().collect() }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        self.actions_of(state, 0, actions);
        self.actions_of(state, 1, actions);
    }

    fn next_state(&self, state: &State, Action { who, told }: Action) -> Option<State> {
        let turn = self.host.told(state.sides[who], told)?;
        let mut next = state.clone();
        next.sides[who] = turn.side;
        let signed: BTreeSet<u32> = next.signed.iter().chain(&turn.signed).copied().collect();
        next.signed = signed.into_iter().collect();
        (next != *state).then_some(next)
    }

    fn format_action(&self, Action { who, told }: &Action) -> String {
        let name = &self.host.person(*who).address;
        match told {
            Told::Line(_, Some(number)) | Told::List(number) => {
                let Thing { by, of, what, .. } = &*self.host.things.value(*number);
                format!("{name}: {told:?}, by {by:?} of {of}: {what:?}")
            }
            _ => format!("{name}: {told:?}"),
        }
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let scope = &self.host.scope;
        let mut properties = vec![
            Property::always(
                "no L3 but by the other's proof for this very line and a list that is here",
                |model: &Self, state: &State| {
                    model.each(state, |side, _| {
                        !side.view.is_proven() || !model.knows(side) || model.is_proven_by(state, side)
                    })
                },
            ),
            Property::always(
                "two at L3 over one line hold each other's keys, and have both signed",
                |model: &Self, state: &State| {
                    model.each(state, |side, other| {
                        let both = side.view.is_proven() && other.view.is_proven() && side.past.line == other.past.line;
                        let known = model.knows(side) && model.knows(other);
                        !both || !known || (model.is_proven_by(state, side) && model.is_proven_by(state, other))
                    })
                },
            ),
            Property::always("whoever is known by their own lists has signed them", |model: &Self, state: &State| {
                model.each(state, |side, other| {
                    !model.knows(side)
                        || model.signed_by(state, other.who).any(|thing| match (thing.what, side.view.list) {
                            (What::List { hash, ak, .. }, Some(list)) => (hash, ak) == (list.hash, list.ak),
                            _ => false,
                        })
                })
            }),
            Property::always(
                "nothing falls, ends or changes but in its way and aloud",
                |model: &Self, state: &State| model.each(state, |side, _| side.past.broke.is_none()),
            ),
            Property::always(
                "who was met, or compared codes elsewhere, is nobody else",
                |model: &Self, state: &State| {
                    let known = model.host.scope.met || model.host.scope.pinned;
                    model.each(state, |side, _| {
                        !known || side.past.accepted > 0 || !side.view.is_proven() || model.knows(side)
                    })
                },
            ),
            Property::always("nobody is suspended while nobody lies", |model: &Self, state: &State| {
                model.host.scope.attacker || model.each(state, |side, _| !side.view.suspended)
            }),
            Property::sometimes("both are at L3", |model: &Self, state: &State| {
                model.each(state, |side, _| side.view.is_proven() && model.knows(side))
            }),
        ];
        if scope.attacker {
            properties.push(Property::sometimes("a key outside the chain suspends", |model: &Self, state: &State| {
                !model.each(state, |side, _| !(side.view.suspended && side.view.is_proven()))
            }));
        }
        if scope.turns[1] || scope.hosted {
            properties.push(Property::sometimes("the line is kept over another key", |model: &Self, state: &State| {
                let side = model.side(state, 0);
                side.view.is_proven() && side.view.list.is_some_and(|list| list.ak.identity() != list.identity)
            }));
        }
        if scope.pinned {
            properties
                .push(Property::sometimes("what was compared elsewhere stands", |model: &Self, state: &State| {
                    model.side(state, 0).view.level == Some(Level::Verified)
                }));
        }
        properties
    }
}
