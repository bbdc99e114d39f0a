//! Makes what people say: the one way in which we say each thing. Others may say it in another way, and are understood.

use core::num::NonZeroU32;

use crate::content::external::External;
use crate::content::kind::STATUS_MEDIA;
use crate::content::markdown;
use crate::content::message::{Expiry, Fields, Topic};
use crate::content::part::{Body, Disposition, Multi, Part, Semantics};
use crate::content::place::Place;
use crate::content::refusal::ContentFault;
use crate::content::text::{Description, Language, Media};
use crate::id::ContentId;
use crate::limits;

/// The media type of plain text.
pub const PLAIN: &str = "text/plain;charset=utf-8";
/// The media type of markdown.
pub const MARKDOWN: &str = "text/markdown;variant=GFM-MIMI";

impl Part {
    fn new(disposition: Disposition, body: Body) -> Self {
        Self { disposition, language: Language::default(), body }
    }

    /// Bytes of a media type.
    ///
    /// # Errors
    /// [`ContentFault`] for a long media type.
    pub fn single(disposition: Disposition, media: &str, bytes: Vec<u8>) -> Result<Self, ContentFault> {
        Ok(Self::new(disposition, Body::Single { media: Media::parse(media)?, bytes }))
    }

    /// Plain text. What of it is too long shows when the content is made.
    ///
    /// # Errors
    /// Never of its own.
    pub fn plain(text: &str) -> Result<Self, ContentFault> {
        Self::single(Disposition::RENDER, PLAIN, text.as_bytes().to_vec())
    }

    /// Markdown, without HTML: what would be taken for a tag is escaped.
    ///
    /// # Errors
    /// Never of its own.
    pub fn markdown(text: &str) -> Result<Self, ContentFault> {
        Self::single(Disposition::RENDER, MARKDOWN, markdown::without_tags(text).into_bytes())
    }

    /// Several parts.
    ///
    /// # Errors
    /// [`ContentFault`] as for [`Multi::new`].
    pub fn multi(disposition: Disposition, semantics: Semantics, parts: Vec<Self>) -> Result<Self, ContentFault> {
        Ok(Self::new(disposition, Body::Multi(Multi::new(semantics, parts)?)))
    }

    /// A file to be fetched and kept.
    #[must_use]
    pub fn attachment(file: External) -> Self {
        Self::new(Disposition::ATTACHMENT, Body::External(Box::new(file)))
    }

    /// A voice note: sound that is played where it stands.
    ///
    /// # Errors
    /// [`ContentFault::Shape`] for what is no sound.
    pub fn voice(sound: External) -> Result<Self, ContentFault> {
        if sound.media.is_of("audio") {
            Ok(Self::new(Disposition::INLINE, Body::External(Box::new(sound))))
        } else {
            Err(ContentFault::Shape("a sound"))
        }
    }

    /// A place, with what the author says of it.
    ///
    /// # Errors
    /// [`ContentFault`] for a long description.
    pub fn place(place: Place, description: &str) -> Result<Self, ContentFault> {
        let description = Description::parse(description)?;
        let place = External { description, ..External::at(place.to_uri()) };
        Ok(Self::new(Disposition::RENDER, Body::External(Box::new(place))))
    }

    /// A report of what became of contents.
    pub(crate) fn report(bytes: Vec<u8>) -> Result<Self, ContentFault> {
        Self::single(Disposition::UNSPECIFIED, STATUS_MEDIA, bytes)
    }

    /// Whether it is a voice note.
    #[must_use]
    pub fn is_voice(&self) -> bool {
        let media = match &self.body {
            Body::Single { media, .. } => media,
            Body::External(sound) => &sound.media,
            Body::Nothing | Body::Multi(_) => return false,
        };
        self.disposition == Disposition::INLINE && media.is_of("audio")
    }

    /// The place, where it is one.
    #[must_use]
    pub fn as_place(&self) -> Option<Place> {
        let Body::External(place) = &self.body else { return None };
        Place::parse(&place.url)
    }
}

impl Fields {
    /// Answers a content, in the version that its author had before them.
    #[must_use]
    pub const fn in_reply_to(mut self, version: ContentId) -> Self {
        self.in_reply_to = Some(version);
        self
    }

    /// Belongs to a thread.
    #[must_use]
    pub fn in_thread(mut self, topic: Topic) -> Self {
        self.topic = topic;
        self
    }

    /// Is to be forgotten then.
    #[must_use]
    pub const fn expiring(mut self, expiry: Expiry) -> Self {
        self.expires = Some(expiry);
        self
    }

    /// Another version of what the same person said: `first` is the id of its first version, `edit_no` one more than that of
    /// the newest version that is known.
    #[must_use]
    pub const fn edit(mut self, first: ContentId, edit_no: NonZeroU32) -> Self {
        self.replaces = Some(first);
        self.extensions.edit_no = Some(edit_no);
        self
    }

    /// Takes back what the same person said: `first` is the id of its first version.
    #[must_use]
    pub fn retract(salt: [u8; 16], first: ContentId) -> Self {
        let body = Part::new(Disposition::RENDER, Body::Nothing);
        Self { replaces: Some(first), ..Self::new(salt, body) }
    }

    /// Reacts to a version of what somebody said, with one sign. Who thinks more of it says each by itself.
    ///
    /// # Errors
    /// [`ContentFault`] for what is empty or too long to be a sign.
    pub fn react(salt: [u8; 16], version: ContentId, sign: &str) -> Result<Self, ContentFault> {
        ContentFault::over("bytes of a sign", sign.len(), limits::SIGN_BYTES)?;
        if sign.is_empty() {
            return Err(ContentFault::Shape("a sign"));
        }
        let body = Part::single(Disposition::REACTION, PLAIN, sign.as_bytes().to_vec())?;
        Ok(Self::new(salt, body).in_reply_to(version))
    }

    /// Takes back one's reaction to a version of what somebody said.
    #[must_use]
    pub fn withdraw(salt: [u8; 16], version: ContentId, reaction: ContentId) -> Self {
        let body = Part::new(Disposition::REACTION, Body::Nothing);
        Self { replaces: Some(reaction), in_reply_to: Some(version), ..Self::new(salt, body) }
    }
}
