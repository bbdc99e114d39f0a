//! Two people compare a short code over another channel, and know each other's keys for good: level L4 ([I-13]).
//! Spec: `spec/07-identity.md`.
//!
//! ```text
//!   Started ──their Commit (we Reveal)──▶ Committed ──their Reveal fits──▶ Shown ──"it is the same"──▶ Pin, compared
//!      │ start: we Commit                     └──it doesn't fit──▶ Over         └──"it isn't"──▶ nothing; warn
//!
//!   commit = H("postline/1 commit" ‖ 0x00 ‖ [T2, address, identity, ak, nonce])      of who speaks
//!   code   = H("postline/1 code" ‖ 0x00 ‖ [T2, address, identity, ak, nonce, address, identity, ak, nonce])
//! ```
//!
//! Both sides say the same, so neither must be first, and crossed starts are one comparison. Whoever stands between must
//! fix a nonce towards each before hearing any, and so hits an equal code once in a million; tries are limited. Which
//! devices there are isn't part of it: they come and go under the keys that are.

use crate::fault::PeerFault;
use crate::id::{Address, AddressKey, Hash, Identity};
use crate::limits;
use crate::seal::pin::{Level, Pin};
use crate::seal::secret::Secret;
use crate::seal::tries::Tries;
use crate::step::Tick;
use crate::store::sha256;
use crate::time::Millis;
use crate::wire::cbor::Writer;
use crate::wire::compare::Word;

mod emoji;
mod qr;

pub use emoji::{EMOJI, Emoji};
pub use qr::{Card, Scan, Shown};

/// One end of a line: who, and by which key they are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Side {
    /// The address.
    pub address: Address,
    /// The person.
    pub identity: Identity,
    /// Their key.
    pub ak: AddressKey,
}

/// The two ends of a line, and the handshake that made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parties {
    /// The handshake.
    pub t2: Hash,
    /// Us.
    pub ours: Side,
    /// Them.
    pub theirs: Side,
}

/// A comparison under way. A restart forgets it: the people start again.
#[derive(Debug)]
pub struct Comparison {
    parties: Parties,
    nonce: Secret<32>,
    until: Millis,
    state: State,
}

#[derive(Debug)]
enum State {
    Started,
    Committed(Hash),
    Shown(Code),
    Over,
}

/// What hearing a word leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Nothing: it was heard before.
    Nothing,
    /// Say this.
    Say(Word),
    /// Show this to the person.
    Show(Code),
}

/// What two people compare: equal on both screens if, and but for one case in a million only if, both have the same keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Code {
    digits: u32,
    emoji: [&'static Emoji; 7],
}

impl Comparison {
    /// Starts, or joins in: draws a nonce, and says a commitment to it.
    ///
    /// # Errors
    /// [`PeerFault::Rate`] where no try is left with this person.
    pub fn start(tick: &Tick, tries: &mut Tries, parties: Parties) -> Result<(Self, Word), PeerFault> {
        tries.make(tick.now)?;
        let nonce = Secret::draw(tick, "comparison");
        let word = Word::Commit(commitment(parties.t2, &parties.ours, nonce.expose()));
        let until = tick.now.plus(limits::CODE_MS);
        Ok((Self { parties, nonce, until, state: State::Started }, word))
    }

    /// Hears a word of the other side.
    ///
    /// # Errors
    /// [`PeerFault::WrongCode`] for a word too late, a second commitment, or a nonce that isn't the one committed to: the
    /// comparison is over. [`PeerFault::Frame`] for a nonce before its commitment, which changes nothing.
    pub fn hear(&mut self, now: Millis, word: &Word) -> Result<Heard, PeerFault> {
        match self.decide(now, word) {
            Ok((next, heard)) => {
                if let Some(next) = next {
                    self.state = next;
                }
                Ok(heard)
            }
            Err(fault) => {
                if fault == PeerFault::WrongCode {
                    self.state = State::Over;
                }
                Err(fault)
            }
        }
    }

    fn decide(&self, now: Millis, word: &Word) -> Result<(Option<State>, Heard), PeerFault> {
        if now > self.until {
            return Err(PeerFault::WrongCode);
        }
        let Parties { t2, ours, theirs } = &self.parties;
        match (&self.state, word) {
            (State::Started, Word::Commit(hash)) => {
                let reveal = Word::Reveal(*self.nonce.expose());
                Ok((Some(State::Committed(*hash)), Heard::Say(reveal)))
            }
            (State::Started, Word::Reveal(_)) => Err(PeerFault::Frame("a nonce behind its commitment")),
            (State::Committed(known), Word::Commit(hash)) if known == hash => Ok((None, Heard::Nothing)),
            (State::Committed(known), Word::Reveal(nonce)) if *known == commitment(*t2, theirs, nonce) => {
                let code = Code::of(*t2, (ours, self.nonce.expose()), (theirs, nonce));
                Ok((Some(State::Shown(code.clone())), Heard::Show(code)))
            }
            (State::Shown(_), Word::Commit(_) | Word::Reveal(_)) => Ok((None, Heard::Nothing)),
            (State::Committed(_) | State::Over, Word::Commit(_) | Word::Reveal(_)) => Err(PeerFault::WrongCode),
        }
    }

    /// The code, once both nonces are known: to show it again.
    #[must_use]
    pub const fn code(&self) -> Option<&Code> {
        match &self.state {
            State::Shown(code) => Some(code),
            State::Started | State::Committed(_) | State::Over => None,
        }
    }

    /// Until when it must be over.
    #[must_use]
    pub const fn until(&self) -> Millis {
        self.until
    }

    /// The person says that both codes are the same: their keys are compared from now on. Where they say that the codes
    /// differ, drop the comparison and warn: somebody may stand between.
    ///
    /// # Errors
    /// [`PeerFault::WrongCode`] where no code was shown, or too long ago.
    pub fn confirm(self, now: Millis) -> Result<Pin, PeerFault> {
        match self.state {
            State::Shown(_) if now <= self.until => Ok(self.parties.theirs.compared()),
            State::Shown(_) | State::Started | State::Committed(_) | State::Over => Err(PeerFault::WrongCode),
        }
    }
}

impl Side {
    const fn compared(&self) -> Pin {
        Pin { identity: self.identity, ak: self.ak, level: Level::Compared }
    }

    /// Its three items.
    fn write(&self, writer: &mut Writer) {
        writer.address(&self.address).bytes(&self.identity.0).bytes(&self.ak.0);
    }
}

impl Code {
    /// The code of two sides and their nonces, whichever is named first.
    #[must_use]
    pub fn of(t2: Hash, one: (&Side, &[u8; 32]), two: (&Side, &[u8; 32])) -> Self {
        let mut sides = [one, two];
        sides.sort_by_key(|(side, _)| side.address.to_string());
        let mut writer = Writer::array_of(9);
        writer.bytes(&t2.0);
        for (side, nonce) in sides {
            side.write(&mut writer);
            writer.bytes(nonce);
        }
        let hash = sha256(&[b"postline/1 code\0", &writer.into_bytes()]).0;
        let number = |bytes: &[u8]| bytes.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        let (first, rest) = hash.split_at(8);
        let (pictures, _) = rest.split_at(6);
        let pictures = number(pictures);
        // Six bits each, from the front; the last six of the 48 are left over.
        let picture = |at: usize| emoji::of((pictures >> (42 - 6 * at)) as u8 & 63);
        Self { digits: (number(first) % 1_000_000) as u32, emoji: core::array::from_fn(picture) }
    }

    /// Six digits, by threes.
    #[must_use]
    pub fn digits(&self) -> String {
        format!("{:03} {:03}", self.digits / 1_000, self.digits % 1_000)
    }

    /// Seven pictures with their names, in this order: worth 42 bits.
    #[must_use]
    pub const fn emoji(&self) -> [&'static Emoji; 7] {
        self.emoji
    }
}

/// What a side commits itself to before it hears the other's nonce.
#[must_use]
pub fn commitment(t2: Hash, side: &Side, nonce: &[u8; 32]) -> Hash {
    let mut writer = Writer::array_of(5);
    writer.bytes(&t2.0);
    side.write(&mut writer);
    writer.bytes(nonce);
    sha256(&[b"postline/1 commit\0", &writer.into_bytes()])
}
