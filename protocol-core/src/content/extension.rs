//! Extension fields: the two of the draft, ours, and any others, kept in their order and byte for byte.
//!
//! ```text
//!   1                   the sender's URI     2    the room's URI          by the draft; we leave both out: the seal says them
//!   "postline/prev"     id of what the same device said before
//!   "postline/seen"     ids of the newest contents that the author had seen, at most 4, rising
//!   "postline/edit_no"  which edit of its target it is, from 1 on
//! ```

use core::cmp::Ordering;
use core::num::NonZeroU32;
use std::collections::{BTreeMap, BTreeSet};

use crate::content::item::{Item, KEY};
use crate::content::message::check_id;
use crate::content::refusal::ContentFault;
use crate::content::uri::Uri;
use crate::id::ContentId;
use crate::limits;

/// The draft's number for the sender's URI.
pub(crate) const SENDER: i64 = 1;
/// The draft's number for the room's URI.
pub(crate) const ROOM: i64 = 2;
/// Our name for the id of what was said before.
pub(crate) const PREV: &str = "postline/prev";
/// Our name for what was seen.
pub(crate) const SEEN: &str = "postline/seen";
/// Our name for the number of an edit.
pub(crate) const EDIT_NO: &str = "postline/edit_no";

/// All extension fields of a content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extensions {
    /// The sender, as the content says: nothing but a claim, refused where it is another than the seal's ([M-3]).
    pub sender: Option<Uri>,
    /// The room, as the content says: likewise.
    pub room: Option<Uri>,
    /// The newest contents that the author had seen.
    pub seen: Seen,
    /// Which edit of its target it is; the greater one wins.
    pub edit_no: Option<NonZeroU32>,
    /// What the same device said before, in this conversation.
    pub prev: Option<ContentId>,
    /// All others.
    pub others: Others,
}

/// Ids of contents, each once, at most [`SEEN`](limits::SEEN).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen(BTreeSet<ContentId>);

impl Seen {
    /// Takes some ids.
    ///
    /// # Errors
    /// [`ContentFault`] for too many, and for what is no message id.
    pub fn new(ids: impl IntoIterator<Item = ContentId>) -> Result<Self, ContentFault> {
        let ids: BTreeSet<_> = ids.into_iter().take(limits::SEEN + 1).collect();
        ContentFault::over("contents that were seen", ids.len(), limits::SEEN)?;
        ids.iter().try_for_each(check_id)?;
        Ok(Self(ids))
    }

    /// The ids, rising.
    #[must_use]
    pub const fn ids(&self) -> &BTreeSet<ContentId> {
        &self.0
    }
}

/// Extensions that are neither the draft's nor ours, in their order: at most [`EXTENSIONS`](limits::EXTENSIONS).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Others(BTreeMap<Name, Item>);

impl Others {
    /// Adds one.
    ///
    /// # Errors
    /// [`ContentFault`] for one of ours, one that is there, and one too many.
    pub fn insert(&mut self, name: Name, value: Item) -> Result<(), ContentFault> {
        ContentFault::over("extensions", self.0.len() + 1, limits::EXTENSIONS)?;
        if name.is_known() || self.0.contains_key(&name) {
            return Err(ContentFault::Contradiction("an extension that has its own place, or one twice"));
        }
        self.0.insert(name, value);
        Ok(())
    }

    /// All of them, in the order in which they are written.
    #[must_use]
    pub const fn all(&self) -> &BTreeMap<Name, Item> {
        &self.0
    }
}

/// What an extension is called: a number but zero of at most 53 bits, or a text of 1 to
/// [`EXTENSION_NAME_BYTES`](limits::EXTENSION_NAME_BYTES). Positive numbers are registered; all others are private.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(Inner);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Inner {
    Number(i64),
    Text(String),
}

impl Name {
    /// A name that is a number.
    ///
    /// # Errors
    /// [`ContentFault::Shape`] for zero, and for a number of more than 53 bits.
    pub const fn number(number: i64) -> Result<Self, ContentFault> {
        if number == 0 || number.unsigned_abs() > KEY {
            return Err(ContentFault::Shape("an extension's number"));
        }
        Ok(Self(Inner::Number(number)))
    }

    /// A name that is a text.
    ///
    /// # Errors
    /// [`ContentFault`] for an empty one, and a long one.
    pub fn text(text: &str) -> Result<Self, ContentFault> {
        ContentFault::over("bytes of an extension's name", text.len(), limits::EXTENSION_NAME_BYTES)?;
        if text.is_empty() {
            Err(ContentFault::Shape("an extension's name"))
        } else {
            Ok(Self(Inner::Text(text.to_owned())))
        }
    }

    /// The number, where it is one.
    #[must_use]
    pub const fn as_number(&self) -> Option<i64> {
        match self.0 {
            Inner::Number(number) => Some(number),
            Inner::Text(_) => None,
        }
    }

    /// The text, where it is one.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match &self.0 {
            Inner::Text(text) => Some(text),
            Inner::Number(_) => None,
        }
    }

    fn is_known(&self) -> bool {
        matches!(self.as_number(), Some(SENDER | ROOM)) || matches!(self.as_text(), Some(PREV | SEEN | EDIT_NO))
    }

    /// What the order of encodings comes down to: major type, number or length, text.
    fn order(&self) -> (u8, u64, &str) {
        match &self.0 {
            Inner::Number(number) if *number > 0 => (0, number.unsigned_abs(), ""),
            Inner::Number(number) => (1, number.unsigned_abs(), ""),
            Inner::Text(text) => (3, text.len() as u64, text),
        }
    }
}

impl Ord for Name {
    fn cmp(&self, other: &Self) -> Ordering {
        self.order().cmp(&other.order())
    }
}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
