//! What a content is to its reader: a message, an edit, a reaction … The one place that decides.
//!
//! ```text
//!                     body is nothing       disposition reaction,      a report of      anything else
//!                                           answers something          statuses
//!   replaces          Retract               Reaction, in its place     Report           Edit
//!   replaces nothing  Nothing               Reaction                   Report           Message
//! ```

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
    },
    /// What its author said is taken back: a message, or a reaction.
    Retract {
        /// What is taken back.
        target: ContentId,
    },
    /// Reactions to something said.
    Reaction {
        /// To which version.
        to: ContentId,
        /// The author's earlier reactions, where these stand for them.
        target: Option<ContentId>,
        /// The reactions, each at most [`REACTION_BYTES`](limits::REACTION_BYTES), at most
        /// [`REACTIONS`](limits::REACTIONS); those that are no text aren't among them.
        said: Vec<&'c str>,
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
        match (self.is_nothing(), self.replaces, self.in_reply_to) {
            (true, Some(target), _) => Kind::Retract { target },
            (true, None, _) => Kind::Nothing,
            (false, target, Some(to)) if self.is_reaction() => {
                Kind::Reaction { to, target, said: reactions(&self.body) }
            }
            (false, target, _) => match (&self.body.body, target) {
                (Body::Single { media, bytes }, _) if media.is(STATUS_MEDIA) => Kind::Report(bytes),
                (_, Some(target)) => Kind::Edit { target },
                (_, None) => Kind::Message,
            },
        }
    }
}

/// The reactions in a body, each once, in its order: never joined, since that could mean something else.
fn reactions(body: &Part) -> Vec<&str> {
    let mut said = Vec::new();
    for part in body.walk() {
        let Some(Words::Plain(text) | Words::Markdown(text)) = part.words() else { continue };
        let usable = !text.is_empty() && text.len() <= limits::REACTION_BYTES;
        if usable
            && part.disposition == Disposition::REACTION
            && !said.contains(&text)
            && said.len() < limits::REACTIONS
        {
            said.push(text);
        }
    }
    said
}
