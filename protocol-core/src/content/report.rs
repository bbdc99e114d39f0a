//! What became of others' contents, as one member says it: draft-mahy-mimi-message-status-01.

use std::collections::BTreeSet;

use crate::content::message::check_id;
use crate::content::refusal::ContentFault;
use crate::id::ContentId;
use crate::limits;

/// What became of a content at whoever says it. Numbers that nobody knows say nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Status(pub u8);

impl Status {
    /// Not read.
    pub const UNREAD: Self = Self(0);
    /// A device has it.
    pub const DELIVERED: Self = Self(1);
    /// The person has read it.
    pub const READ: Self = Self(2);
    /// It was forgotten at its end.
    pub const EXPIRED: Self = Self(3);
    /// It was deleted.
    pub const DELETED: Self = Self(4);
    /// The person put it aside.
    pub const HIDDEN: Self = Self(5);
    /// It couldn't be taken.
    pub const ERROR: Self = Self(6);
}

/// Contents and their statuses, in the speaker's order: each once, at most [`STATUSES`](limits::STATUSES).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report(Vec<(ContentId, Status)>);

impl Report {
    /// Takes contents and their statuses.
    ///
    /// # Errors
    /// [`ContentFault`] for too many, for one twice, and for what is no message id.
    pub fn new(statuses: Vec<(ContentId, Status)>) -> Result<Self, ContentFault> {
        ContentFault::over("statuses", statuses.len(), limits::STATUSES)?;
        let mut ids = BTreeSet::new();
        for (id, _) in &statuses {
            check_id(id)?;
            if !ids.insert(id) {
                return Err(ContentFault::Contradiction("two statuses of one content"));
            }
        }
        Ok(Self(statuses))
    }

    /// The contents and their statuses.
    #[must_use]
    pub fn statuses(&self) -> &[(ContentId, Status)] {
        &self.0
    }
}
