//! What a domain says of its own node: the well-known document and the TXT record ([D-1], [D-2]).
//!
//! ```text
//!   https://b.example/.well-known/postline   {"v":1,"nk":"<64 hex>","next":"<64 hex>","link":"node.b.example:7678"}
//!   _postline.b.example  TXT                 v=1; nk=<64 hex>
//! ```
//!
//! Both name one key: the one that the domain's node proves on links today. A second one, of before a change, would be of
//! no use, since nobody could prove it any more; the one to come is announced by its hash.
//!
//! Fetching, and whether what came may be believed, is the host's.

use std::collections::BTreeSet;
use std::fmt;

use postline_core::id::{Hash, NodeKey};
use postline_core::limits;
use postline_core::net::Hint;
use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// The media type of the document, without parameters.
pub const MEDIA_TYPE: &str = "application/json";
/// Where the document lies (RFC 8615).
pub const WELL_KNOWN_PATH: &str = "/.well-known/postline";
/// The label of the TXT record, in front of the domain.
pub const TXT_LABEL: &str = "_postline";

/// The well-known document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WellKnown {
    /// The key that the domain's node proves.
    pub nk: NodeKey,
    /// Hash of the key that will follow it.
    pub next: Option<Hash>,
    /// Where the node takes links; it may lie outside of the domain.
    pub link: Option<Hint>,
}

/// Bytes that are no document of this version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadDocument {
    /// Over the bound.
    #[error("document has {got} bytes, at most {max}")]
    Size {
        /// How many came.
        got: usize,
        /// The bound.
        max: usize,
    },
    /// No JSON, or a member that can't be so.
    #[error("no document: {0}")]
    Form(String),
}

impl WellKnown {
    /// Reads a document: one JSON object, `v` the number 1, keys in lower-case hexadecimal, no member twice. Unknown
    /// members are passed over.
    ///
    /// # Errors
    /// [`BadDocument`].
    pub fn parse(bytes: &[u8]) -> Result<Self, BadDocument> {
        if bytes.len() > limits::WELL_KNOWN_BYTES {
            return Err(BadDocument::Size { got: bytes.len(), max: limits::WELL_KNOWN_BYTES });
        }
        // The library's text names a place and what it wants; of the document at most a member's name.
        serde_json::from_slice(bytes).map_err(|why| BadDocument::Form(why.to_string()))
    }

    /// Writes the document, with a line end.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = format!("{{\"v\":1,\"nk\":\"{}\"", self.nk);
        if let Some(next) = self.next {
            text.push_str(&format!(",\"next\":\"{next}\""));
        }
        if let Some(link) = &self.link {
            // A host name and a port: nothing that JSON would want escaped.
            text.push_str(&format!(",\"link\":\"{link}\""));
        }
        text.push_str("}\n");
        text
    }
}

impl<'de> Deserialize<'de> for WellKnown {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(Members)
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = WellKnown;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<WellKnown, A::Error> {
        let (mut seen, mut version, mut nk, mut next, mut link) = (BTreeSet::new(), None, None, None, None);
        while let Some(name) = members.next_key::<String>()? {
            match name.as_str() {
                "v" => version = Some(members.next_value::<u64>()?),
                "nk" => nk = Some(NodeKey(hex(&members.next_value::<String>()?).map_err(A::Error::custom)?)),
                "next" => next = Some(Hash(hex(&members.next_value::<String>()?).map_err(A::Error::custom)?)),
                "link" => {
                    let text = members.next_value::<String>()?;
                    let hint = Hint::parse(&text).ok().filter(|_| text.len() <= limits::HINT_BYTES);
                    link = Some(hint.ok_or_else(|| A::Error::custom("`link` is no host:port of a link"))?);
                }
                _ => {
                    members.next_value::<IgnoredAny>()?;
                }
            }
            if !seen.insert(name) {
                return Err(A::Error::custom("a member stands twice"));
            }
        }
        match (version, nk) {
            (Some(1), Some(nk)) => Ok(WellKnown { nk, next, link }),
            (Some(1), None) => Err(A::Error::custom("no `nk`")),
            (Some(other), _) => Err(A::Error::custom(format_args!("version {other}, want 1"))),
            (None, _) => Err(A::Error::custom("no `v`")),
        }
    }
}

/// A TXT record's words on the node's key: `v=1; nk=` and 64 lower-case hexadecimal digits; then, after `;`, tags of later
/// versions, which are passed over. `None` for a text that is none.
#[must_use]
pub fn parse_txt(text: &[u8]) -> Option<NodeKey> {
    let text = std::str::from_utf8(text).ok().filter(|text| text.len() <= limits::FIELD_BYTES)?;
    let mut tags = Vec::new();
    for part in text.split(';') {
        let (tag, value) = part.split_once('=')?;
        tags.push((tag.trim_matches(' '), value.trim_matches(' ')));
    }
    let mut seen = BTreeSet::new();
    if tags.len() > limits::FIELD_TAGS || !tags.iter().all(|(tag, _)| seen.insert(*tag)) {
        return None;
    }
    match tags.first() {
        Some(("v", "1")) => {}
        _ => return None,
    }
    let (_, nk) = tags.iter().find(|(tag, _)| *tag == "nk")?;
    hex(nk).ok().map(NodeKey)
}

/// The TXT record's text for a key.
#[must_use]
pub fn render_txt(nk: NodeKey) -> String {
    format!("v=1; nk={nk}")
}

/// 32 bytes in lower-case hexadecimal: one spelling, as everywhere ([T-2]).
fn hex(text: &str) -> Result<[u8; 32], &'static str> {
    const WANT: &str = "want 64 lower-case hexadecimal digits";
    if text.bytes().any(|b| b.is_ascii_uppercase()) {
        return Err(WANT);
    }
    NodeKey::parse(text).map(|key| key.0).map_err(|_| WANT)
}
