//! What a member does to a conversation itself, rather than says in it: what lies within the seal (kind 7).
//!
//! ```text
//!   control = [0, message, place]      pins the message whose first version has this id, and lies at this place
//!           / [1, message, place]      unpins it
//!           / [2, message, place]      removes it, as a moderator
//!           / [3, policy, set]         the policy of marks; `set`: by which entry, where this only says it once more
//! ```
//!
//! Whether somebody may do it the reader judges, by the conversation's roles. Spec: `spec/16-control.md`.

use crate::id::ContentId;
use crate::wire::cbor::{Malformed, Reader, Writer};

/// More items than any act has, of this version or one to come.
const ITEMS: u64 = 64;

/// What a conversation has agreed on about telling what one has read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Policy {
    /// Everybody tells.
    Required,
    /// Each person chooses.
    #[default]
    Optional,
    /// Nobody tells.
    Forbidden,
}

impl Policy {
    /// The policy of a number.
    ///
    /// # Errors
    /// [`Malformed`] where it is none's.
    pub const fn of(number: u64) -> Result<Self, Malformed> {
        match number {
            0 => Ok(Self::Required),
            1 => Ok(Self::Optional),
            2 => Ok(Self::Forbidden),
            _ => Err(Malformed("a policy")),
        }
    }
}

/// A message: its first version, and the place of that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    /// What it is called.
    pub message: ContentId,
    /// Where it lies.
    pub place: u64,
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Control {
    /// The message is to be found at once by everybody.
    Pin(Target),
    /// It isn't any more.
    Unpin(Target),
    /// A moderator removes it.
    Remove(Target),
    /// How reading is told from here on.
    Policy {
        /// The policy.
        policy: Policy,
        /// The entry that set it; `None`: this one does. Said once more for who has just come.
        set: Option<u64>,
    },
}

impl Control {
    /// Writes it into a value: one item.
    pub fn write(&self, w: &mut Writer) {
        let (act, target) = match self {
            Self::Pin(target) => (0, target),
            Self::Unpin(target) => (1, target),
            Self::Remove(target) => (2, target),
            Self::Policy { policy, set } => {
                w.array(3).u64(3).u64(*policy as u64).maybe(*set, Writer::u64);
                return;
            }
        };
        w.array(3).u64(act).bytes(&target.message.0).u64(target.place);
    }

    /// Reads it out of a value.
    ///
    /// # Errors
    /// [`Malformed`] for what isn't in the one form, and for an act of later days.
    pub fn read(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        Self::read_known(r)?.ok_or(Malformed("an act"))
    }

    /// The same; `None` for an act of later days, of which nothing more is read.
    ///
    /// # Errors
    /// [`Malformed`] for what isn't in the one form.
    pub(crate) fn read_known(r: &mut Reader<'_>) -> Result<Option<Self>, Malformed> {
        let items = r.array(ITEMS)?;
        let act = r.u64()?;
        if act > 3 {
            return Ok(None);
        }
        if items != 3 {
            return Err(Malformed("an array of another length"));
        }
        if act == 3 {
            let (policy, set) = (Policy::of(r.u64()?)?, r.maybe(place)?);
            return Ok(Some(Self::Policy { policy, set }));
        }
        let target = Target { message: ContentId(r.fixed()?), place: place(r)? };
        Ok(Some(match act {
            0 => Self::Pin(target),
            1 => Self::Unpin(target),
            _ => Self::Remove(target),
        }))
    }

    /// Its canonical bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut w = Writer::default();
        self.write(&mut w);
        w.into_bytes()
    }

    /// Reads canonical bytes, and nothing else.
    ///
    /// # Errors
    /// [`Malformed`] for anything else.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(bytes);
        let control = Self::read(&mut r)?;
        r.end()?;
        if control.to_bytes() == bytes { Ok(control) } else { Err(Malformed("a control in its one form")) }
    }
}

/// A place in the log: there is none before the first.
fn place(r: &mut Reader<'_>) -> Result<u64, Malformed> {
    r.u64().and_then(|place| if place == 0 { Err(Malformed("a place")) } else { Ok(place) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// [V-1]
    #[test]
    fn each_act_is_read_as_it_was_written_and_in_no_other_form() {
        let target = Target { message: ContentId([7; 32]), place: 300 };
        let policies = [Policy::Required, Policy::Optional, Policy::Forbidden].into_iter();
        let policies = policies.flat_map(|policy| [None, Some(9)].map(|set| Control::Policy { policy, set }));
        for control in
            [Control::Pin(target), Control::Unpin(target), Control::Remove(target)].into_iter().chain(policies)
        {
            let bytes = control.to_bytes();
            assert_eq!(Control::parse(&bytes), Ok(control));
            for cut in 0..bytes.len() {
                assert!(Control::parse(&bytes[..cut]).is_err(), "cut at {cut}");
            }
            assert!(Control::parse(&[&bytes[..], &[0]].concat()).is_err());
        }
        let nowhere = Control::Pin(Target { place: 0, ..target }).to_bytes();
        assert_eq!(Control::parse(&nowhere), Err(Malformed("a place")));
        let by_none = Control::Policy { policy: Policy::Optional, set: Some(0) }.to_bytes();
        assert_eq!(Control::parse(&by_none), Err(Malformed("a place")));
        for (bytes, want) in [(&[0x83, 3, 3, 0xf6][..], "a policy"), (&[0x83, 0x18, 3, 1, 0xf6], "a number")] {
            assert!(Control::parse(bytes).is_err(), "{want}");
        }
    }
}
