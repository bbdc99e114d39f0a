//! What a device of a person tells their other devices of what the person has read and chosen: a *memo*.
//!
//! ```text
//!   note   [1, 2, bytes]
//!   bytes  [drawer, salt, box]                             the newest of each drawer of a device is the one that counts
//!   plain  [1, asks, general / null, [(conversation, position, choice / null) …], flat]
//!   choice [at, tells]
//! ```
//!
//! A join: of two positions what either has, of two choices the later; so it doesn't matter which memo comes when, and how
//! often. Whoever reads it sees the drawer; the rest is in the box (`seal::memo`). Spec: `spec/13-marks.md`.

use std::collections::BTreeSet;

use crate::id::ConversationId;
use crate::limits;
use crate::time::Millis;
use crate::wire::cbor::{Malformed, Reader, Writer};
use crate::wire::mark::Position;

/// The version of what is within.
const VERSION: u64 = 1;
/// The kind of note that a memo is.
pub const MEMO: u64 = 2;
/// The last drawers: of what was chosen for everywhere, and of a question. The others are of conversations.
const GENERAL: u8 = (limits::MEMO_DRAWERS - 2) as u8;
/// See [`GENERAL`].
const QUESTION: u8 = (limits::MEMO_DRAWERS - 1) as u8;
/// How many items a conversation has in it.
const ITEMS: u64 = 3;

/// Which memos take each other's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Drawer(u8);

impl Drawer {
    /// What the person chose for everywhere.
    pub const GENERAL: Self = Self(GENERAL);
    /// A device asks for all that the others know.
    pub const QUESTION: Self = Self(QUESTION);

    /// The one that a conversation is in.
    #[must_use]
    pub const fn of(conversation: ConversationId) -> Self {
        let [first, ..] = conversation.0;
        Self(first % GENERAL)
    }

    /// All that hold something of the person's.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..=GENERAL).map(Self)
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }

    /// Reads its number.
    ///
    /// # Errors
    /// [`Malformed`] for one that there isn't.
    pub fn read(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        let number = u8::try_from(r.u64()?).ok().filter(|number| *number <= QUESTION);
        number.map(Self).ok_or(Malformed("a drawer"))
    }
}

/// Whether others hear what the person reads, as the person chose. Of two the greater counts: the later, and of one time the
/// one that tells nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// When it was made.
    pub at: Millis,
    /// Whether they do.
    pub tells: bool,
}

impl Choice {
    /// Whether it counts over another.
    #[must_use]
    pub fn is_over(self, other: Option<Self>) -> bool {
        other.is_none_or(|other| (self.at, other.tells) > (other.at, self.tells))
    }

    fn write(self, w: &mut Writer) -> &mut Writer {
        w.array(2).millis(self.at).bool(self.tells)
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        r.array_of(2)?;
        Ok(Self { at: r.millis()?, tells: r.bool()? })
    }
}

/// What is known of one conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OfTalk {
    /// Which.
    pub conversation: ConversationId,
    /// What the person has read in it.
    pub read: Position,
    /// What they chose for it.
    pub choice: Option<Choice>,
}

/// What one device tells the others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memo {
    /// Whether it wants to hear what they know.
    pub asks: bool,
    /// What the person chose for everywhere.
    pub general: Option<Choice>,
    /// By conversation; each at most once.
    pub talks: Vec<OfTalk>,
}

impl Memo {
    /// Its bytes, at most [`MEMO_BYTES`](limits::MEMO_BYTES). Where it is longer, it says only up to where each conversation
    /// was read whole, and leaves out what has no room even so.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let bytes = self.write(&self.talks);
        if bytes.len() <= limits::MEMO_BYTES {
            return bytes;
        }
        let whole = |of: &OfTalk| OfTalk { read: Position::upto(of.read.whole()), ..*of };
        let mut talks: Vec<OfTalk> = self.talks.iter().map(whole).collect();
        let mut bytes = self.write(&talks);
        while bytes.len() > limits::MEMO_BYTES && talks.pop().is_some() {
            bytes = self.write(&talks);
        }
        bytes
    }

    fn write(&self, talks: &[OfTalk]) -> Vec<u8> {
        let mut w = Writer::array_of(4);
        w.u64(VERSION).bool(self.asks).maybe(self.general, |w, choice| choice.write(w));
        w.array(talks.len() as u64 * ITEMS);
        for of in talks {
            w.bytes(&of.conversation.0);
            of.read.write(&mut w);
            w.maybe(of.choice, |w, choice| choice.write(w));
        }
        w.into_bytes()
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote, in its one form. A later version says nothing to us.
    ///
    /// # Errors
    /// [`Malformed`] for anything else.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(bytes);
        r.array(u64::from(u16::MAX))?;
        if r.u64()? != VERSION {
            return Ok(Self::default());
        }
        let (asks, general) = (r.bool()?, r.maybe(Choice::read)?);
        let items = r.array(limits::MEMO_BYTES as u64)?;
        if items % ITEMS != 0 {
            return Err(Malformed("conversations of three items"));
        }
        let mut one = || {
            let (conversation, read) = (ConversationId(r.fixed()?), Position::read(&mut r)?);
            Ok(OfTalk { conversation, read, choice: r.maybe(Choice::read)? })
        };
        let talks = (0..items / ITEMS).map(|_| one()).collect::<Result<Vec<_>, _>>()?;
        r.end()?;
        let different: BTreeSet<ConversationId> = talks.iter().map(|of| of.conversation).collect();
        if different.len() < talks.len() {
            return Err(Malformed("a conversation once"));
        }
        let memo = Self { asks, general, talks };
        if memo.to_bytes() == bytes { Ok(memo) } else { Err(Malformed("a memo in its one form")) }
    }
}

/// The drawer of a note, where it is a memo: what a node reads of it, and nothing else.
#[must_use]
pub fn drawer_of_note(note: &[u8]) -> Option<Drawer> {
    let read = || {
        let mut r = Reader::new(note);
        r.array_of(3)?;
        let (version, kind, bytes) = (r.u64()?, r.u64()?, r.bytes()?);
        r.end()?;
        let mut r = Reader::new(bytes);
        r.array_of(3)?;
        let drawer = Drawer::read(&mut r)?;
        Ok::<_, Malformed>((version == 1 && kind == MEMO).then_some(drawer))
    };
    read().ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memo(talks: usize) -> Memo {
        let mut read = Position::upto(1_000_000);
        read.add(1_000_200, 1_000_200);
        let choice = Some(Choice { at: Millis(1_795_000_000_000), tells: false });
        let of = |n: usize| OfTalk {
            conversation: ConversationId(crate::store::sha256(&[&n.to_be_bytes()]).0),
            read,
            choice,
        };
        Memo { asks: false, general: choice, talks: (0..talks).map(of).collect() }
    }

    /// [A-12]
    #[test]
    fn a_memo_is_read_as_it_was_written_and_in_no_other_form() {
        for memo in [Memo::default(), Memo { asks: true, ..Memo::default() }, memo(0), memo(3)] {
            let bytes = memo.to_bytes();
            assert_eq!(Memo::parse(&bytes), Ok(memo));
            for cut in 0..bytes.len() {
                assert!(Memo::parse(&bytes[..cut]).is_err(), "cut at {cut}");
            }
            assert!(Memo::parse(&[&bytes[..], &[0]].concat()).is_err());
        }
        let mut twice = memo(2);
        twice.talks[1].conversation = twice.talks[0].conversation;
        assert_eq!(Memo::parse(&twice.to_bytes()), Err(Malformed("a conversation once")));
        let mut later = Writer::array_of(2);
        later.u64(2).str("of another day");
        assert_eq!(Memo::parse(&later.into_bytes()), Ok(Memo::default()));
    }

    /// [A-13] Of too much, what can be said shorter is, and the rest is left out.
    #[test]
    fn t_084_a_memo_is_bounded_however_much_was_read() {
        let short = Memo::parse(&memo(200).to_bytes()).unwrap();
        assert_eq!((short.talks.len(), short.talks[0].read), (200, Position::upto(1_000_000)));
        let bytes = memo(limits::TALKS).to_bytes();
        assert!(bytes.len() <= limits::MEMO_BYTES);
        assert!(Memo::parse(&bytes).unwrap().talks.len() > limits::TALKS / usize::from(GENERAL) / 2);
    }

    /// [A-11]
    #[test]
    fn of_two_choices_the_later_counts_and_of_one_time_the_one_that_tells_nothing() {
        let choice = |at, tells| Choice { at: Millis(at), tells };
        assert!(choice(2, true).is_over(Some(choice(1, false))) && !choice(1, false).is_over(Some(choice(2, true))));
        assert!(choice(1, false).is_over(Some(choice(1, true))) && !choice(1, true).is_over(Some(choice(1, false))));
        assert!(choice(0, true).is_over(None) && !choice(1, true).is_over(Some(choice(1, true))));
    }
}
