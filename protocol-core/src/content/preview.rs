//! Previews: a small picture that goes along with what is kept elsewhere, so that nobody has to fetch that to see what it is.
//!
//! ```text
//!   processAll ─┬─ kept elsewhere     disposition 6, mostly
//!               └─ preview            disposition 8, right behind it: PNG, JPEG or WebP of PREVIEW_BYTES at most
//! ```
//!
//! It is sealed with the words and goes with them ([B-14]): a preview that had to be fetched would tell who looks, and when.
//! Nothing here decodes a picture. Whoever does so decodes a stranger's bytes, and does well to do it where they can do no harm.

use crate::content::external::External;
use crate::content::part::{Body, Disposition, Multi, Part, Semantics};
use crate::content::refusal::ContentFault;
use crate::limits;

/// The kinds of pictures that a preview may be: those that everything can show, none of which runs, fetches or moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Picture {
    /// `image/png`.
    Png,
    /// `image/jpeg`.
    Jpeg,
    /// `image/webp`.
    WebP,
}

impl Picture {
    const ALL: [Self; 3] = [Self::Png, Self::Jpeg, Self::WebP];

    /// What bytes begin as; `None` for all else.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|picture| picture.begins(bytes))
    }

    fn begins(self, bytes: &[u8]) -> bool {
        match self {
            Self::Png => bytes.starts_with(b"\x89PNG\r\n\x1a\n"),
            Self::Jpeg => bytes.starts_with(b"\xff\xd8\xff"),
            Self::WebP => bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP"),
        }
    }

    /// Its media type.
    #[must_use]
    pub const fn media(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::WebP => "image/webp",
        }
    }

    /// What a file's name ends with.
    #[must_use]
    pub const fn ending(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Jpeg => "jpg",
            Self::WebP => "webp",
        }
    }
}

/// A preview that is fit to be shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Preview<'p> {
    picture: Picture,
    bytes: &'p [u8],
}

impl<'p> Preview<'p> {
    /// Takes a picture for one ([M-13]).
    ///
    /// # Errors
    /// [`ContentFault::TooBig`] above [`PREVIEW_BYTES`](limits::PREVIEW_BYTES), [`ContentFault::Shape`] for what begins as no
    /// picture of the three kinds.
    pub fn new(bytes: &'p [u8]) -> Result<Self, ContentFault> {
        ContentFault::over("bytes of a preview", bytes.len(), limits::PREVIEW_BYTES)?;
        let picture = Picture::of(bytes).ok_or(ContentFault::Shape("a picture: PNG, JPEG or WebP"))?;
        Ok(Self { picture, bytes })
    }

    /// Which kind of picture it is.
    #[must_use]
    pub const fn picture(&self) -> Picture {
        self.picture
    }

    /// Its bytes, as they came.
    #[must_use]
    pub const fn bytes(&self) -> &'p [u8] {
        self.bytes
    }

    /// A part, where it is one ([M-13]): anything else that calls itself so is passed over.
    fn read(part: &'p Part) -> Option<Self> {
        let Body::Single { media, bytes } = &part.body else { return None };
        let preview = Self::new(bytes).ok()?;
        (part.disposition == Disposition::PREVIEW && media.is(preview.picture.media())).then_some(preview)
    }
}

/// Says which and how long: a picture is for people, not for logs.
impl core::fmt::Debug for Preview<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Preview({}, {} bytes)", self.picture.media(), self.bytes.len())
    }
}

impl Part {
    /// What is kept elsewhere, with a preview of it.
    ///
    /// # Errors
    /// [`ContentFault`] for too many levels of parts.
    pub fn with_preview(self, preview: &Preview<'_>) -> Result<Self, ContentFault> {
        let (disposition, media) = (self.disposition, preview.picture.media());
        let preview = Self::single(Disposition::PREVIEW, media, preview.bytes.to_vec())?;
        Self::multi(disposition, Semantics::ProcessAll, vec![self, preview])
    }

    /// All that is kept elsewhere, in its order, each with its preview where it has one ([M-13]).
    #[must_use]
    pub fn kept_elsewhere(&self) -> Vec<(&External, Option<Preview<'_>>)> {
        let mut all = Vec::new();
        self.kept_onto(None, &mut all);
        all
    }

    fn kept_onto<'p>(&'p self, behind: Option<&'p Self>, all: &mut Vec<(&'p External, Option<Preview<'p>>)>) {
        match &self.body {
            Body::Nothing | Body::Single { .. } => {}
            Body::External(external) => all.push((external, behind.and_then(Preview::read))),
            Body::Multi(multi) => {
                let goes_along = multi.semantics() == Semantics::ProcessAll;
                for (part, behind) in with_next(multi) {
                    part.kept_onto(behind.filter(|_| goes_along), all);
                }
            }
        }
    }
}

/// Each part, and the one behind it.
fn with_next(multi: &Multi) -> impl Iterator<Item = (&Part, Option<&Part>)> {
    multi.parts().iter().zip(multi.parts().iter().skip(1).map(Some).chain([None]))
}
