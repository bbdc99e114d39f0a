//! What is within the seal: which kind of thing is said, when, and the rest. Spec: `spec/08-sealing.md`.
//!
//! ```text
//!   inner = [1, kind, at, …]
//!     0 content     version, content, about / null, again / null
//!                                                      about: the place of what it replaces, answers or reacts to
//!                                                      again: the entry that some device couldn't open, said once more
//!     1 read        position                           what the person has read ([A-5])
//!     2 not opened  seq                                this device can't open that entry
//!     3 history     conversation, for, [(seq, author, dk, at, content, about) …], flat
//!     4 compare     bytes                              a step of comparing codes
//!     5 compared    ak                                 to the person's own devices: the other's key was compared
//!     7 control     control, again / null              what is done to the conversation itself: pins, removals, policy
//!   [1, 6, position, inner]                            a content, and with it what its author has read ([A-8])
//! ```
//!
//! A kind that we don't know is kept as it came, and not shown. An unknown version too.

use crate::fault::PeerFault;
use crate::id::{Address, AddressKey, ConversationId, DeviceKey};
use crate::limits;
use crate::time::Millis;
use crate::wire::cbor::{Malformed, Reader, Writer};
use crate::wire::content::Content;
use crate::wire::control::Control;
use crate::wire::mark::Position;

/// The version that this code writes.
const VERSION: u64 = 1;
/// The version of content that it carries ([M-1]).
const CONTENT: u64 = 1;
/// The kind of what has another thing within, and a reading beside it.
const ALONG: u64 = 6;
/// The kind of what is done to the conversation itself.
const CONTROL: u64 = 7;

/// Something said, with its author's time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Inner {
    pub(super) at: Millis,
    pub(super) what: What,
}

/// What is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    Content { content: Content, about: Option<u64>, again: Option<u64> },
    Read { read: Position },
    NotOpened { seq: u64 },
    History { of: ConversationId, to: DeviceKey, told: Vec<Told> },
    Compare { bytes: Vec<u8> },
    Compared { ak: AddressKey },
    Control { control: Control, again: Option<u64> },
}

/// One thing that an older device of the person has opened, and tells a newer one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) seq: u64,
    pub(super) author: Address,
    pub(super) dk: DeviceKey,
    pub(super) at: Millis,
    pub(super) content: Vec<u8>,
    pub(super) about: Option<u64>,
}

/// What came out of the seal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// Something that we know.
    Known(Box<Inner>),
    /// A kind or version of later days.
    Unknown,
}

impl From<Malformed> for PeerFault {
    fn from(Malformed(what): Malformed) -> Self {
        Self::Sealed(what)
    }
}

impl Inner {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let (kind, items) = match &self.what {
            What::Content { .. } => (0, 4),
            What::Read { .. } => (1, 1),
            What::NotOpened { .. } => (2, 1),
            What::History { .. } => (3, 3),
            What::Compare { .. } => (4, 1),
            What::Compared { .. } => (5, 1),
            What::Control { .. } => (CONTROL, 2),
        };
        let mut w = Writer::array_of(3 + items);
        w.u64(VERSION).u64(kind).millis(self.at);
        match &self.what {
            What::Content { content, about, again } => {
                w.u64(CONTENT).bytes(content.bytes()).maybe(*about, Writer::u64).maybe(*again, Writer::u64);
            }
            What::Read { read } => read.write(&mut w),
            What::NotOpened { seq } => _ = w.u64(*seq),
            What::History { of, to, told } => {
                w.bytes(&of.0).bytes(&to.0).array(told.len() as u64 * TOLD);
                for told in told {
                    w.u64(told.seq).address(&told.author).bytes(&told.dk.0).millis(told.at).bytes(&told.content);
                    w.maybe(told.about, Writer::u64);
                }
            }
            What::Compare { bytes } => _ = w.bytes(bytes),
            What::Compared { ak } => _ = w.bytes(&ak.0),
            What::Control { control, again } => {
                control.write(&mut w);
                w.maybe(*again, Writer::u64);
            }
        }
        w.into_bytes()
    }

    /// Reads what a member sealed.
    ///
    /// # Errors
    /// [`PeerFault`] for what is no inner of any version, and for a known kind that isn't in its one form.
    pub(super) fn read(bytes: &[u8]) -> Result<Read, PeerFault> {
        let mut r = Reader::new(bytes);
        let items = r.array(u64::from(u16::MAX))?;
        let (version, kind) = (r.u64()?, r.u64()?);
        if version != VERSION || !matches!(kind, 0..=5 | CONTROL) {
            return Ok(Read::Unknown);
        }
        let at = r.millis()?;
        let what = match kind {
            0 if r.u64()? != CONTENT => return Ok(Read::Unknown),
            0 => {
                let content = Content::parse(r.bytes()?)?;
                What::Content { content, about: r.maybe(Reader::u64)?, again: r.maybe(Reader::u64)? }
            }
            1 => What::Read { read: Position::read(&mut r)? },
            2 => What::NotOpened { seq: r.u64()? },
            3 => What::History { of: ConversationId(r.fixed()?), to: DeviceKey(r.fixed()?), told: told(&mut r)? },
            4 => What::Compare { bytes: r.bytes()?.to_vec() },
            CONTROL => {
                let Some(control) = Control::read_known(&mut r)? else { return Ok(Read::Unknown) };
                What::Control { control, again: r.maybe(Reader::u64)? }
            }
            _ => What::Compared { ak: AddressKey(r.fixed()?) },
        };
        r.end()?;
        let inner = Self { at, what };
        // One form only, so that nobody can say one thing in two ways.
        if items >= 4 && inner.to_bytes() == bytes {
            Ok(Read::Known(Box::new(inner)))
        } else {
            Err(PeerFault::Sealed("an inner in its one form"))
        }
    }
}

/// The bytes of the content that an inner of our own says for the first time, where it is one. Nobody looks into them: it is
/// asked of everything that waits whenever something is said.
pub(super) fn said_first(bytes: &[u8]) -> Option<&[u8]> {
    let mut r = Reader::new(bytes);
    let mut read = || {
        r.array(u64::from(u16::MAX))?;
        if (r.u64()?, r.u64()?) != (VERSION, 0) {
            return Ok(None);
        }
        r.millis()?;
        if r.u64()? != CONTENT {
            return Ok(None);
        }
        let content = r.bytes()?;
        let (_about, again) = (r.maybe(Reader::u64)?, r.maybe(Reader::u64)?);
        Ok::<_, Malformed>(again.is_none().then_some(content))
    };
    read().ok().flatten()
}

/// What is said, with a reading beside it: one thing to seal.
pub(super) fn along(read: Position, inner: &[u8]) -> Vec<u8> {
    let mut w = Writer::array_of(4);
    w.u64(VERSION).u64(ALONG);
    read.write(&mut w);
    w.bytes(inner);
    w.into_bytes()
}

/// The bytes of what is said, and the reading that came along with it.
///
/// # Errors
/// [`Malformed`] for a reading in another form, or beside anything that people don't say.
pub(super) fn apart(bytes: &[u8]) -> Result<(Option<Position>, &[u8]), Malformed> {
    let head = |bytes| {
        let mut r = Reader::new(bytes);
        r.array(u64::from(u16::MAX))?;
        Ok::<_, Malformed>((r.u64()?, r.u64()?, r))
    };
    let Ok((VERSION, ALONG, mut r)) = head(bytes) else { return Ok((None, bytes)) };
    let (read, inner) = (Position::read(&mut r)?, r.bytes()?);
    r.end()?;
    // Something of later days may be what people say.
    let is_said = !matches!(head(inner), Ok((VERSION, 1..=ALONG, _)));
    if is_said && along(read, inner) == bytes {
        Ok((Some(read), inner))
    } else {
        Err(Malformed("a reading beside what people say"))
    }
}

/// How many items a told thing has.
const TOLD: u64 = 6;

fn told(r: &mut Reader<'_>) -> Result<Vec<Told>, Malformed> {
    let items = r.array(limits::HISTORY_EVENTS as u64 * TOLD)?;
    if items % TOLD != 0 {
        return Err(Malformed("whole events"));
    }
    let mut one = || {
        Ok(Told {
            seq: r.u64()?,
            author: r.address()?,
            dk: DeviceKey(r.fixed()?),
            at: r.millis()?,
            content: r.bytes()?.to_vec(),
            about: r.maybe(Reader::u64)?,
        })
    };
    (0..items / TOLD).map(|_| one()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::message::Fields;
    use crate::content::part::Part;
    use crate::id::ContentId;
    use crate::wire::control::{Policy, Target};

    fn all() -> Vec<What> {
        let author = Address::parse("ann@a.example").unwrap();
        let dk = DeviceKey([4; 32]);
        let told = Told { seq: 7, author, dk, at: Millis(9), content: b"before".to_vec(), about: Some(3) };
        let content = |text| Content::new(Fields::new([6; 16], Part::plain(text).unwrap())).unwrap();
        let target = Target { message: ContentId([8; 32]), place: 4 };
        vec![
            What::Content { content: content("hello"), about: None, again: None },
            What::Content { content: content(""), about: Some(11), again: Some(12) },
            What::Read { read: Position::upto(5) },
            What::NotOpened { seq: u64::MAX },
            What::History { of: ConversationId([1; 32]), to: dk, told: vec![told] },
            What::Compare { bytes: b"commitment".to_vec() },
            What::Compared { ak: AddressKey([5; 32]) },
            What::Control { control: Control::Pin(target), again: None },
            What::Control { control: Control::Policy { policy: Policy::Forbidden, set: Some(3) }, again: Some(7) },
        ]
    }

    /// [G-15]
    #[test]
    fn each_kind_is_read_as_it_was_written_and_in_no_other_form() {
        for what in all() {
            let inner = Inner { at: Millis(1), what };
            let bytes = inner.to_bytes();
            assert_eq!(Inner::read(&bytes), Ok(Read::Known(Box::new(inner))));
            for cut in 0..bytes.len() {
                assert!(Inner::read(&bytes[..cut]).is_err(), "cut at {cut}");
            }
            assert!(Inner::read(&[&bytes[..], &[0]].concat()).is_err());
        }
    }

    /// [A-8], [G-15]
    #[test]
    fn a_reading_comes_along_with_what_people_say_and_with_nothing_else() {
        let mut read = Position::upto(4);
        read.add(8, 8);
        let named = |what| Inner { at: Millis(1), what }.to_bytes();
        for what in all() {
            let people = matches!(what, What::Content { .. } | What::Control { .. });
            let inner = named(what.clone());
            let whole = along(read, &inner);
            assert_eq!(apart(&whole).ok(), people.then_some((Some(read), &inner[..])), "{what:?}");
            assert_eq!(apart(&inner), Ok((None, &inner[..])), "by itself");
            for cut in 3..whole.len() {
                assert!(apart(&whole[..cut]).is_err(), "cut at {cut}");
            }
            assert!(apart(&along(read, &whole)).is_err(), "within itself");
            assert!(apart(&[&whole[..], &[0]].concat()).is_err());
        }
        let mut later = Writer::array_of(3);
        later.u64(1).u64(99).str("anything");
        let later = later.into_bytes();
        assert_eq!(apart(&along(read, &later)), Ok((Some(read), &later[..])));
    }

    #[test]
    fn a_kind_or_version_of_later_days_is_unknown_and_no_fault() {
        let mut kind = Writer::array_of(4);
        kind.u64(1).u64(99).u64(1).str("anything");
        assert_eq!(Inner::read(&kind.into_bytes()), Ok(Read::Unknown));
        let mut version = Writer::array_of(3);
        version.u64(2).u64(0).str("anything");
        assert_eq!(Inner::read(&version.into_bytes()), Ok(Read::Unknown));
        let mut content = Writer::array_of(5);
        content.u64(1).u64(0).u64(1).u64(2).str("another draft's");
        assert_eq!(Inner::read(&content.into_bytes()), Ok(Read::Unknown));
        let mut act = Writer::array_of(5);
        act.u64(1).u64(7).u64(1).array(2).u64(4).str("another act").null();
        assert_eq!(Inner::read(&act.into_bytes()), Ok(Read::Unknown));
    }

    #[test]
    fn what_is_said_for_the_first_time_is_found_without_reading_it() {
        for what in all() {
            let first = if let What::Content { content, again: None, .. } = &what {
                Some(content.bytes().to_vec())
            } else {
                None
            };
            let inner = Inner { at: Millis(1), what }.to_bytes();
            assert_eq!(said_first(&inner), first.as_deref());
            assert_eq!(said_first(&inner[..inner.len() - 1]), None, "cut");
        }
    }
}
