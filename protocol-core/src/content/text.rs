//! Short texts in a content, each within its bound and otherwise as it came: what they say is a member's claim.

use crate::content::refusal::ContentFault;
use crate::limits;

macro_rules! texts {
    ($($(#[$doc:meta])* $name:ident($what:literal, $most:path);)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
        pub struct $name(String);

        impl $name {
            /// Takes a text within the bound.
            ///
            /// # Errors
            /// [`ContentFault::TooBig`].
            pub fn parse(text: &str) -> Result<Self, ContentFault> {
                ContentFault::over($what, text.len(), $most)?;
                Ok(Self(text.to_owned()))
            }

            /// The text; empty where nothing was said.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
    )*};
}

texts! {
    /// A media type with its parameters (RFC 2045 §5.1), or nothing; at most
    /// [`MEDIA_TYPE_BYTES`](limits::MEDIA_TYPE_BYTES).
    Media("bytes of a media type", limits::MEDIA_TYPE_BYTES);
    /// Language tags (RFC 5646), separated by commas, or nothing; at most [`LANGUAGE_BYTES`](limits::LANGUAGE_BYTES).
    Language("bytes of languages", limits::LANGUAGE_BYTES);
    /// What an author says about something kept elsewhere; at most [`DESCRIPTION_BYTES`](limits::DESCRIPTION_BYTES).
    Description("bytes of a description", limits::DESCRIPTION_BYTES);
    /// What an author calls a file; at most [`CLAIMED_NAME_BYTES`](limits::CLAIMED_NAME_BYTES). It may hold a path, or
    /// what hides or reorders text: no file is ever called so.
    ClaimedName("bytes of a file's name", limits::CLAIMED_NAME_BYTES);
}

impl Media {
    /// The type and subtype: what stands before the first `;`, spaces and tabs around it cut off.
    #[must_use]
    pub fn essence(&self) -> &str {
        self.0.split(';').next().unwrap_or_default().trim_matches([' ', '\t'])
    }

    /// Whether it is this type and subtype, in any case.
    #[must_use]
    pub fn is(&self, essence: &str) -> bool {
        self.essence().eq_ignore_ascii_case(essence)
    }

    /// Whether it is of this type, as `audio`.
    #[must_use]
    pub fn is_of(&self, top: &str) -> bool {
        self.essence().split('/').next().is_some_and(|of| of.eq_ignore_ascii_case(top))
    }
}
