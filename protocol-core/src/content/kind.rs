//! What a content is to its reader: a message, an edit, a reaction … The one place that decides.
//!
//! ```text
//!                     body is nothing        disposition reaction,     a report of      anything else
//!                                            answers something         statuses
//!   replaces          Retract; Withdrawal    Reaction, in its place    Report           Edit
//!                     of a reaction
//!   replaces nothing  Nothing                Reaction                  Report           Message
//! ```

use core::num::NonZeroU32;

use crate::content::message::Fields;
use crate::content::part::{Body, Disposition, Part, Words};
use crate::id::ContentId;
use crate::limits;

/// The media type of a report of statuses.
pub const STATUS_MEDIA: &str = "application/mimi-message-status";

/// What a content is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind<'c> {
    /// Something said, or an answer.
    Message,
    /// Another version of what its author said.
    Edit {
        /// The content that it replaces.
        target: ContentId,
        /// Which edit it is, where that is said.
        no: Option<NonZeroU32>,
    },
    /// What its author said is taken back.
    Retract {
        /// What is taken back.
        target: ContentId,
    },
    /// A reaction to something said.
    Reaction {
        /// To which version.
        to: ContentId,
        /// A reaction of its author's that this one stands for.
        target: Option<ContentId>,
        /// Its signs, mostly one: each at most [`SIGN_BYTES`](limits::SIGN_BYTES), at most [`SIGNS`](limits::SIGNS); what
        /// is no text isn't among them.
        signs: Vec<&'c str>,
    },
    /// A reaction is taken back.
    Withdrawal {
        /// To which version it was.
        to: ContentId,
        /// The reaction.
        target: ContentId,
    },
    /// A report of what became of others' contents: the bytes of `wire::report`.
    Report(&'c [u8]),
    /// Nothing at all: neither shown nor an error.
    Nothing,
}

impl Fields {
    /// What it is.
    #[must_use]
    pub fn kind(&self) -> Kind<'_> {
        let answers = self.in_reply_to.filter(|_| self.body.disposition == Disposition::REACTION);
        match (&self.body.body, self.replaces, answers) {
            (Body::Nothing, Some(target), Some(to)) => Kind::Withdrawal { to, target },
            (Body::Nothing, Some(target), None) => Kind::Retract { target },
            (Body::Nothing, None, _) => Kind::Nothing,
            (_, target, Some(to)) => Kind::Reaction { to, target, signs: signs(&self.body) },
            (Body::Single { media, bytes }, ..) if media.is(STATUS_MEDIA) => Kind::Report(bytes),
            (_, Some(target), None) => Kind::Edit { target, no: self.extensions.edit_no },
            (_, None, None) => Kind::Message,
        }
    }
}

/// The signs in a body, each once, in its order: never joined, since that could mean something else.
fn signs(body: &Part) -> Vec<&str> {
    let mut signs = Vec::new();
    for part in body.walk() {
        let Some(Words::Plain(text) | Words::Markdown(text)) = part.words() else { continue };
        let usable = !text.is_empty() && text.len() <= limits::SIGN_BYTES && !signs.contains(&text);
        if usable && part.disposition == Disposition::REACTION && signs.len() < limits::SIGNS {
            signs.push(text);
        }
    }
    signs
}
