//! The model that stateright explores, and what must hold in each of its states.

use std::collections::BTreeSet;
use std::sync::Arc;

use postline_core::machine::trust::TrustState;
use stateright::{Model, Property};

use crate::cast::{Letter, Mail};
use crate::host::{Host, mail_id};
use crate::pair::{Side, Told};
use crate::scope::Scope;
use crate::table::Table;

/// Two people, their nodes, and everyone between.
#[derive(Debug)]
pub struct Trusting {
    host: Host,
    /// What can come to each side, of the mails that were sent.
    reach: Table<(usize, Vec<u32>), Reach>,
}

/// What can come to a side.
#[derive(Debug)]
struct Reach {
    mails: Vec<u32>,
    words: Vec<u32>,
}

/// All there is at some point: who is what, and what may still come.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    sides: [u32; 2],
    /// The mails that were sent, by number, ordered.
    mails: Vec<u32>,
    /// The steps that were said on links, by number, ordered.
    words: Vec<u32>,
    /// Whose domain publishes its node's key.
    publishes: [bool; 2],
}

/// What happens next: one side is told something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Action {
    who: usize,
    told: Told,
}

impl Trusting {
    /// The model of this scope.
    #[must_use]
    pub fn new(scope: Scope) -> Self {
        Self { host: Host::new(scope), reach: Table::default() }
    }

    /// How many different sides were met: each is a real machine at some point.
    #[must_use]
    pub fn machines(&self) -> usize {
        self.host.sides.len()
    }

    fn side(&self, state: &State, who: usize) -> Arc<Side> {
        self.host.sides.value(state.sides[who])
    }

    fn reach(&self, who: usize, sent: &[u32]) -> Arc<Reach> {
        let key = (who, sent.to_vec());
        let number = self.reach.find(&key).unwrap_or_else(|| {
            let reach = self.find_reach(who, sent);
            self.reach.number(key, || reach)
        });
        self.reach.value(number)
    }

    fn find_reach(&self, who: usize, sent: &[u32]) -> Reach {
        let Host { cast, scope, mails, words, .. } = &self.host;
        let sent: Vec<Arc<Letter>> = sent.iter().map(|number| mails.value(*number)).collect();
        let sent: Vec<&Mail> = sent.iter().map(|letter| &letter.mail).collect();
        let (coming, steps) = if scope.attacker {
            let coming = cast.mails_to(who, &sent, scope.accounts);
            let steps = cast.words_to(who, &coming, &sent);
            (coming, steps)
        } else {
            (sent.iter().filter(|mail| mail.to == who).map(|mail| (*mail).clone()).collect(), BTreeSet::new())
        };
        Reach {
            mails: coming.into_iter().map(|mail| self.host.mail(mail)).collect(),
            words: steps.into_iter().map(|word| words.number(word.clone(), || word)).collect(),
        }
    }

    fn actions_of(&self, state: &State, who: usize, actions: &mut Vec<Action>) {
        let scope = &self.host.scope;
        let side = self.side(state, who);
        let reach = self.reach(who, &state.mails);
        let mut may = |told| actions.push(Action { who, told });
        for mail in &reach.mails {
            if side.past.got < scope.arrivals[who] {
                may(Told::Mail(*mail));
            }
            if side.trust.awaits(mail_id(*mail)) {
                may(Told::Dkim(*mail));
                may(Told::Domain(*mail, state.publishes[1 - who]));
            }
            if side.past.wrote < scope.mails[who] {
                may(Told::Reply(*mail));
            }
        }
        for word in state.words.iter().filter(|word| self.host.words.value(**word).to == Some(who)) {
            may(Told::Word(*word));
        }
        for word in &reach.words {
            may(Told::Word(*word));
        }
        if side.past.wrote < scope.mails[who] {
            may(Told::Write(false));
            if scope.also_to_mallory {
                may(Told::Write(true));
            }
        }
        if side.past.turned < scope.turns[who] {
            let theirs = self.side(state, 1 - who);
            if side.is_trusted() && theirs.trust.line() != Some(self.host.cast.nk(who)) {
                may(Told::Denied);
            }
            match side.state() {
                TrustState::Revoked | TrustState::Suspended => may(Told::Unblock),
                _ => may(Told::Block),
            }
        }
        if side.past.clock < scope.clock {
            may(Told::Clock);
        }
    }

    /// What holds of one side, given the other.
    fn each(&self, state: &State, holds: impl Fn(&Side, &Side) -> bool) -> bool {
        let sides = [self.side(state, 0), self.side(state, 1)];
        holds(&sides[0], &sides[1]) && holds(&sides[1], &sides[0])
    }

    fn both_are(&self, state: &State, is: TrustState) -> bool {
        self.each(state, |side, _| side.state() == is)
    }
}

impl Model for Trusting {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let sides = self.host.strangers();
        let publishes = [[false, false], [true, false], [true, true]];
        publishes.map(|publishes| State { sides, mails: Vec::new(), words: Vec::new(), publishes }).into()
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        self.actions_of(state, 0, actions);
        self.actions_of(state, 1, actions);
    }

    fn next_state(&self, state: &State, Action { who, told }: Action) -> Option<State> {
        let turn = self.host.told(state.sides[who], told)?;
        let mut next = state.clone();
        next.sides[who] = turn.side;
        insert(&mut next.mails, turn.mail);
        insert(&mut next.words, turn.words.iter().copied());
        (next != *state).then_some(next)
    }

    fn format_action(&self, Action { who, told }: &Action) -> String {
        let name = self.host.cast.address(*who);
        match told {
            Told::Mail(n) | Told::Reply(n) | Told::Dkim(n) | Told::Domain(n, _) => {
                format!("{name}: {told:?} {:?}", self.host.mails.value(*n).mail)
            }
            Told::Word(n) => format!("{name}: {told:?} {:?}", self.host.words.value(*n)),
            _ => format!("{name}: {told:?}"),
        }
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("a line leads to the true node", |model, state| {
                model
                    .each(state, |side, theirs| side.trust.line().is_none_or(|nk| nk == model.host.cast.nk(theirs.who)))
            }),
            Property::always("no line without evidence on both sides", |model, state| {
                model.each(state, |side, theirs| !side.is_trusted() || (side.past.vouched && theirs.past.vouched))
            }),
            Property::always("who has a line shares its handshake with the other", |model, state| {
                model.each(state, |side, theirs| {
                    !side.is_trusted() || side.past.line.is_some_and(|t1| theirs.past.took_part.contains(&t1))
                })
            }),
            Property::always("two who have a line agree on T2", |model, state| {
                model.each(state, |side, theirs| {
                    !side.is_trusted() || !theirs.is_trusted() || side.trust.t2() == theirs.trust.t2()
                })
            }),
            Property::always("nothing is used twice, and nothing falls by nobody's will", |model, state| {
                model.each(state, |side, _| side.past.broke.is_none())
            }),
            Property::always("nobody is suspended while nodes keep their keys", |model, state| {
                model.each(state, |side, _| side.state() != TrustState::Suspended)
            }),
            Property::sometimes("a line comes about", |model, state| model.both_are(state, TrustState::Trusted)),
        ]
    }
}

fn insert(numbers: &mut Vec<u32>, more: impl IntoIterator<Item = u32>) {
    for number in more {
        if let Err(at) = numbers.binary_search(&number) {
            numbers.insert(at, number);
        }
    }
}
