//! The body of a content: a part, which may hold parts.
//!
//! ```text
//!   Part = disposition, languages, body
//!   body = nothing │ bytes of a media type │ something kept elsewhere │ two parts or more, and how they belong together
//!
//!   0 ─┬─ 1 ─┬─ 2      a part's index: depth first, the outermost is 0
//!      │     └─ 3
//!      └─ 4
//! ```
//!
//! A body of parts knows how deep and how many they are, so that no part is ever deeper than
//! [`CONTENT_LEVELS`](limits::CONTENT_LEVELS): whatever walks over parts may recurse.

use crate::content::external::External;
use crate::content::refusal::ContentFault;
use crate::content::text::{Language, Media};
use crate::limits;

/// A part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// What it is meant for.
    pub disposition: Disposition,
    /// Which languages it is in.
    pub language: Language,
    /// What it is.
    pub body: Body,
}

/// What a part is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Nothing: what was there is taken back.
    Nothing,
    /// Bytes of a media type.
    Single {
        /// What they are.
        media: Media,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// Something kept elsewhere.
    External(Box<External>),
    /// Parts.
    Multi(Multi),
}

/// What a part is meant for. A number that nobody knows acts as [`Disposition::RENDER`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Disposition(pub u8);

impl Disposition {
    /// Nothing is said.
    pub const UNSPECIFIED: Self = Self(0);
    /// To be shown.
    pub const RENDER: Self = Self(1);
    /// A reaction to another content.
    pub const REACTION: Self = Self(2);
    /// The profile of somebody, or of a room.
    pub const PROFILE: Self = Self(3);
    /// To be shown within the conversation itself: a picture, a voice note.
    pub const INLINE: Self = Self(4);
    /// A small picture of somebody.
    pub const ICON: Self = Self(5);
    /// To be fetched and kept where the person wants it.
    pub const ATTACHMENT: Self = Self(6);
    /// A call or meeting, or where to join one.
    pub const SESSION: Self = Self(7);
    /// A preview of what stands before it, made by the author ([`Preview`](crate::content::preview::Preview)).
    pub const PREVIEW: Self = Self(8);

    /// What it is taken for.
    #[must_use]
    pub const fn acts_as(self) -> Self {
        if self.0 > Self::PREVIEW.0 { Self::RENDER } else { self }
    }
}

/// How parts belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Semantics {
    /// The reader takes one of them.
    ChooseOne = 0,
    /// All of them make one thing: without one there is none.
    SingleUnit = 1,
    /// As many as the reader understands, each by itself.
    ProcessAll = 2,
}

/// Two parts or more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Multi {
    semantics: Semantics,
    parts: Vec<Part>,
    levels: usize,
    count: usize,
}

impl Multi {
    /// Puts parts together.
    ///
    /// # Errors
    /// [`ContentFault`] for fewer than two, and for more levels or parts than a content may have.
    pub fn new(semantics: Semantics, parts: Vec<Part>) -> Result<Self, ContentFault> {
        if parts.len() < 2 {
            return Err(ContentFault::Shape("two parts or more"));
        }
        let levels = parts.iter().map(Part::levels).max().unwrap_or_default() + 1;
        ContentFault::over("levels of parts", levels, limits::CONTENT_LEVELS)?;
        let count = parts.iter().fold(1_usize, |count, part| count.saturating_add(part.count()));
        ContentFault::over("parts", count, limits::CONTENT_PARTS)?;
        Ok(Self { semantics, parts, levels, count })
    }

    /// How they belong together.
    #[must_use]
    pub const fn semantics(&self) -> Semantics {
        self.semantics
    }

    /// The parts.
    #[must_use]
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }
}

/// Words, as they came: never HTML, and never to be taken for it. Who shows them in HTML escapes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Words<'p> {
    /// Plain text.
    Plain(&'p str),
    /// Markdown, which may be shown as plain text. An HTML tag in it is plain text too.
    Markdown(&'p str),
}

impl<'p> Words<'p> {
    /// The text, whichever it is.
    #[must_use]
    pub const fn as_str(self) -> &'p str {
        match self {
            Self::Plain(text) | Self::Markdown(text) => text,
        }
    }
}

impl Part {
    /// How many levels of parts it has, itself the first.
    #[must_use]
    pub const fn levels(&self) -> usize {
        match &self.body {
            Body::Multi(multi) => multi.levels,
            Body::Nothing | Body::Single { .. } | Body::External(_) => 1,
        }
    }

    /// How many parts it is, itself among them.
    #[must_use]
    pub const fn count(&self) -> usize {
        match &self.body {
            Body::Multi(multi) => multi.count,
            Body::Nothing | Body::Single { .. } | Body::External(_) => 1,
        }
    }

    /// Its words, where it is a part of text or markdown in UTF-8. HTML has none, nor has what is there as a preview.
    #[must_use]
    pub fn words(&self) -> Option<Words<'_>> {
        let Body::Single { media, bytes } = &self.body else { return None };
        if self.disposition == Disposition::PREVIEW {
            return None;
        }
        let text = core::str::from_utf8(bytes);
        if media.is("text/plain") {
            text.ok().map(Words::Plain)
        } else if media.is("text/markdown") {
            text.ok().map(Words::Markdown)
        } else {
            None
        }
    }

    /// All parts by their index, itself first.
    #[must_use]
    pub fn walk(&self) -> Vec<&Self> {
        let mut all = Vec::with_capacity(self.count());
        self.walk_onto(&mut all);
        all
    }

    fn walk_onto<'p>(&'p self, all: &mut Vec<&'p Self>) {
        all.push(self);
        if let Body::Multi(multi) = &self.body {
            for part in &multi.parts {
                part.walk_onto(all);
            }
        }
    }

    /// The parts that a reader shows, in order, by what it understands: of a choice the author's first that it understands
    /// ([M-6]). Parts that hold others aren't among them.
    #[must_use]
    pub fn chosen(&self, understands: &dyn Fn(&Self) -> bool) -> Vec<&Self> {
        self.choose(understands).0
    }

    /// What is shown of it, and whether that is all that must be.
    fn choose(&self, understands: &dyn Fn(&Self) -> bool) -> (Vec<&Self>, bool) {
        let multi = match &self.body {
            Body::Nothing => return (Vec::new(), true),
            Body::Single { .. } | Body::External(_) => {
                let taken = understands(self);
                return (if taken { vec![self] } else { Vec::new() }, taken);
            }
            Body::Multi(multi) => multi,
        };
        let mut each = multi.parts.iter().map(|part| part.choose(understands));
        match multi.semantics {
            Semantics::ChooseOne => each.find(|(_, whole)| *whole).unwrap_or_default(),
            Semantics::SingleUnit => {
                let all: Vec<_> = each.collect();
                if all.iter().all(|(_, whole)| *whole) {
                    (all.into_iter().flat_map(|(parts, _)| parts).collect(), true)
                } else {
                    (Vec::new(), false)
                }
            }
            // Whatever is left out of these, the rest is what was meant; of nothing at all, another choice is better.
            Semantics::ProcessAll => {
                let all: Vec<_> = each.collect();
                let some = all.iter().any(|(_, whole)| *whole);
                (all.into_iter().flat_map(|(parts, _)| parts).collect(), some)
            }
        }
    }
}
