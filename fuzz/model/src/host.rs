//! The node around a side: it verifies what comes, composes what leaves, stores every step, and keeps the past.

use std::sync::{Arc, Mutex, PoisonError};

use postline_core::canary;
use postline_core::content::evidence::Evidence;
use postline_core::id::{Hash, MailId, Pair};
use postline_core::machine::trust::{Input, Output, Trust, TrustState};
use postline_core::step::{Machine, Outbox, Tick};
use postline_core::store::{Key, Record, sha256};
use postline_core::wire::confirm::{Confirm, Done};
use postline_core::wire::frame::TrustStep;

use crate::cast::{CLOCK, Cast, Field, Letter, Mail, Word};
use crate::pair::{Past, Side, Told, Turn};
use crate::scope::Scope;
use crate::table::Table;

/// Every side, mail and step that was met, and how sides change.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) cast: Cast,
    pub(crate) scope: Scope,
    pub(crate) sides: Table<(usize, Past, String), Side>,
    pub(crate) mails: Table<Mail, Letter>,
    pub(crate) words: Table<Word, Word>,
}

impl Host {
    pub(crate) fn new(scope: Scope) -> Self {
        Self { cast: Cast::new(), scope, sides: Table::default(), mails: Table::default(), words: Table::default() }
    }

    /// Two who know nothing of each other.
    pub(crate) fn strangers(&self) -> [u32; 2] {
        [0, 1].map(|who| self.side(who, Trust::stranger(self.pair(who)), Past::default()))
    }

    /// What comes of telling a side something: worked out once. `None` where nothing does.
    pub(crate) fn told(&self, side: u32, told: Told) -> Option<Arc<Turn>> {
        let side_is = self.sides.value(side);
        let known = || side_is.told.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turn) = known().get(&told) {
            return turn.clone();
        }
        let turn = self
            .work_out(&side_is, told)
            .filter(|turn| turn.side != side || turn.mail.is_some() || !turn.words.is_empty());
        let turn = turn.map(Arc::new);
        known().insert(told, turn.clone());
        turn
    }

    /// The number of a mail.
    pub(crate) fn mail(&self, mail: Mail) -> u32 {
        self.mails.number(mail.clone(), || self.cast.read(mail))
    }

    fn pair(&self, who: usize) -> Pair {
        Pair { ours: self.cast.address(who).clone(), theirs: self.cast.address(1 - who).clone() }
    }

    fn side(&self, who: usize, trust: Trust, past: Past) -> u32 {
        let key = (who, past.clone(), format!("{trust:?}"));
        self.sides.number(key, || Side { who, trust, past, told: Mutex::default() })
    }

    fn work_out(&self, side: &Side, told: Told) -> Option<Turn> {
        let mut past = side.past.clone();
        let mut mail = None;
        let input = match told {
            Told::Write(and_mallory) => {
                let (letter, input) = self.write(side, &[], and_mallory)?;
                (past.wrote, mail) = (past.wrote + 1, Some(letter));
                input
            }
            Told::Reply(to) => {
                let answers = [self.mails.value(to).mail.message_id.clone()];
                side.trust.accepts(&answers, now(&past))?;
                let (letter, input) = self.write(side, &answers, false)?;
                (past.wrote, mail) = (past.wrote + 1, Some(letter));
                input
            }
            Told::Mail(number) => Input::Came(Box::new(self.mails.value(number).came(mail_id(number)))),
            Told::Dkim(number) => {
                let Letter { mail: letter, .. } = &*self.mails.value(number);
                past.vouched |= letter.dkim && letter.from == *self.cast.address(1 - side.who);
                Input::Evidence(mail_id(number), self.cast.dkim(letter, letter.dkim || self.scope.lying_oracle))
            }
            Told::Domain(number, publishes) => {
                past.vouched |= publishes;
                let names = Some(self.cast.nk(1 - side.who)).filter(|_| publishes);
                Input::Evidence(mail_id(number), Evidence::Domain { names })
            }
            Told::Word(number) => {
                let Word { nk, step, bytes, .. } = (*self.words.value(number)).clone();
                Input::Step { nk, step, bytes }
            }
            Told::Denied | Told::Block | Told::Unblock => {
                past.turned += 1;
                match told {
                    Told::Denied => Input::Denied,
                    Told::Block => Input::Block,
                    _ => Input::Unblock,
                }
            }
            Told::Clock => {
                past.clock += 1;
                return Some(self.clock(side, past));
            }
        };
        if matches!(told, Told::Dkim(number) | Told::Domain(number, _) if !side.trust.awaits(mail_id(number))) {
            return None;
        }
        let mut trust = side.trust.clone();
        let words = self.step(&mut trust, &mut past, side.who, told, input);
        if matches!(told, Told::Mail(_)) && trust != side.trust {
            past.got += 1;
        }
        let mail = mail.map(|mail| self.mail(mail));
        Some(Turn { side: self.side(side.who, trust, past), mail, words })
    }

    /// Time passes to the next mark, and every deadline on the way is kept.
    fn clock(&self, side: &Side, mut past: Past) -> Turn {
        let mut trust = side.trust.clone();
        let mut words = Vec::new();
        while trust.deadline().is_some_and(|at| at <= now(&past)) {
            words.extend(self.step(&mut trust, &mut past, side.who, Told::Clock, Input::Wake));
        }
        Turn { side: self.side(side.who, trust, past), mail: None, words }
    }

    /// What the front door lets go along with a person's mail, and what it tells the pair.
    fn write(&self, side: &Side, answers: &[String], and_mallory: bool) -> Option<(Mail, Input)> {
        let (who, now, nth) = (side.who, now(&side.past), side.past.wrote);
        let to_cc = self.cast.recipients(who, and_mallory);
        let re = side.trust.accepts(answers, now).map(|held| held.t0);
        let mut letter = Mail {
            to: 1 - who,
            from: self.cast.address(who).clone(),
            to_cc: to_cc.clone(),
            message_id: format!("{nth}@{}", self.cast.address(who).domain()),
            offer: None,
            accept: None,
            dkim: true,
        };
        let field = match re {
            Some(re) => self.cast.accept(who, to_cc, re, nth, now),
            None if side.trust.wants_offer() => self.cast.offer(who, to_cc, nth, now),
            None => return None,
        };
        let input = match field {
            Field::Offer(tags, offer) => {
                letter.offer = Some(tags);
                Input::Wrote { offer: Some((&offer).into()), accept: None }
            }
            Field::Accept(tags, accept) => {
                letter.accept = Some(tags);
                Input::Wrote { offer: None, accept: Some((&accept).into()) }
            }
        };
        Some((letter, input))
    }

    /// One step of the real machine, stored and restored, and held to what must never happen on the way.
    fn step(&self, trust: &mut Trust, past: &mut Past, who: usize, told: Told, input: Input) -> Vec<u32> {
        let (was, was_line) = (trust.state(), (trust.line(), trust.t2()));
        let accepted = match &input {
            Input::Wrote { accept, .. } => accept.as_ref().map(|accept| accept.t1),
            _ => None,
        };
        let done = match &input {
            Input::Step { step: TrustStep::Done, bytes, .. } => Done::parse(bytes).ok().map(|done| done.0.t1),
            _ => None,
        };
        // Each word that a side makes fresh differs from every other: that many handshakes it took part in.
        let drawn =
            [u8::try_from(who).unwrap_or_default(), u8::try_from(past.took_part.len()).unwrap_or_default(), past.clock];
        let tick = Tick { now: now(past), entropy: sha256(&[b"model", &drawn]).0 };
        let mut out = Outbox::new();
        canary::set(self.scope.canary);
        let result = trust.step(&tick, input, &mut out);
        canary::set(None);
        result.expect("the front door tells a pair only what is in place");
        *trust = self.restored(trust, out.records());

        past.took_part.extend(accepted);
        let mut said_done = None;
        let mut words = Vec::new();
        for output in out.effects() {
            let Output::Say { nk, step, bytes } = output else { continue };
            match step {
                TrustStep::Confirm if was != TrustState::Confirming => {
                    if let Ok(m2) = Confirm::parse(bytes) {
                        self.confirms(past, m2.0.t1);
                    }
                }
                TrustStep::Done => said_done = Done::parse(bytes).ok().map(|done| done.0.t1),
                TrustStep::Confirm | TrustStep::Accept | TrustStep::Keys => {}
            }
            let to = Some(1 - who).filter(|other| *nk == self.cast.nk(*other));
            let word = Word { to, nk: self.cast.nk(who), step: *step, bytes: bytes.clone() };
            words.push(self.words.number(word.clone(), || word));
        }
        let is = trust.state();
        if is == TrustState::Trusted && was != TrustState::Trusted {
            past.line = done.or(said_done);
        }
        let by_people = matches!(told, Told::Block | Told::Unblock | Told::Denied);
        let fell = was == TrustState::Trusted && (trust.line(), trust.t2()) != was_line;
        if fell && !by_people {
            past.broke = Some("a line fell, or became another, by nobody's will");
        }
        if was == TrustState::Revoked && is != was && told != Told::Unblock {
            past.broke = Some("a block was lifted by nobody's will");
        }
        words
    }

    /// An offer is used up by being confirmed, and a handshake is confirmed once.
    fn confirms(&self, past: &mut Past, t1: Hash) {
        let t0 = self.t0_of(t1);
        if !past.took_part.insert(t1) || t0.is_some_and(|t0| !past.confirmed.insert(t0)) {
            past.broke = Some("an offer was confirmed twice");
        }
    }

    fn t0_of(&self, t1: Hash) -> Option<Hash> {
        (0..self.mails.len()).find_map(|number| {
            let letter = self.mails.value(u32::try_from(number).unwrap_or_default());
            letter.accept.as_ref().filter(|accept| accept.t1 == t1).map(|accept| accept.re)
        })
    }

    /// The machine that its record makes: the same, or a crash would show.
    fn restored<'r>(&self, trust: &Trust, records: impl Iterator<Item = &'r Record>) -> Trust {
        let key = Key::Trust(trust.pair().clone());
        let Some(record) = records.into_iter().find(|record| record.key == key) else { return trust.clone() };
        let restored = Trust::restore(trust.pair().clone(), record).expect("a record that was just made");
        assert_eq!(restored, trust.after_crash(), "the record makes another machine");
        restored
    }
}

/// What a side's clock shows.
pub(crate) fn now(past: &Past) -> postline_core::time::Millis {
    CLOCK[usize::from(past.clock)]
}

/// The arrival of the mail with this number.
pub(crate) fn mail_id(number: u32) -> MailId {
    let mut id = [0; 16];
    id[..4].copy_from_slice(&number.to_be_bytes());
    MailId(id)
}
