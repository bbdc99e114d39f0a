//! The three header fields: what an offer, an accept, and the id of an express mail say, and the bytes that are signed.
//!
//! ```text
//!   tags (codec) ──parse──▶ Claimed<Offer> ──seal::field──▶ Offer      hash = H(signed ‖ b)  = T0
//!   OfferDraft ──NodeIdentity::sign──▶ signature ──signed──▶ (Tags, Offer)
//!
//!   signed = CBOR [role, version, From, sorted unique To ∪ Cc, {tag: text, … all but b}]
//! ```
//!
//! Each value has one spelling ([T-2]): numbers are decimal without leading zeros, bytes are standard base64 without
//! padding (RFC 4648 §3.2, §3.5), a hint is `host:port` with the host in normal form. Tags that we don't know stay, signed.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use crate::content::mail::Tags;
use crate::fault::PeerFault;
use crate::id::{Address, CarryId, Hash, NodeKey, Nonce};
use crate::limits;
use crate::net::Hint;
use crate::store::sha256;
use crate::time::{DAY, Millis};
use crate::wire::cbor::Writer;
use crate::wire::signed::{Role, Signable, sealed};

/// The version that every field and step of ours names, `v=1`.
pub const VERSION: u64 = 1;

/// `Postline-Offer`: a node offers a line between the author of a mail and each address in its To and Cc.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The author: the one address of the header From.
    pub from: Address,
    /// The addresses of To and Cc: the only ones that may accept.
    pub to_cc: BTreeSet<Address>,
    /// When it was made (`t`, whole seconds).
    pub at: Millis,
    /// The last moment at which it may be first seen: `t + x`, `x` of at most
    /// [`OFFER_TTL_DAYS_MAX`](limits::OFFER_TTL_DAYS_MAX) days.
    pub expires: Millis,
    /// Its nonce (`n`).
    pub nonce: Nonce,
    /// The node that signed it (`nk`).
    pub nk: NodeKey,
    /// Hash of the key that will follow that node's (`nx`): so that it may change its key before the first link.
    pub next: Option<Hash>,
    /// Where the node may be found (`h`).
    pub hint: Option<Hint>,
    /// The author's address key (`ak`), claimed and not proven.
    pub ak: Option<[u8; 32]>,
    /// T0: hash of the signed bytes and the signature.
    pub hash: Hash,
}

/// `Postline-Accept`: a node accepts, for the author of a reply, the offer that the answered mail carried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accept {
    /// The author of the reply.
    pub from: Address,
    /// The addresses of To and Cc.
    pub to_cc: BTreeSet<Address>,
    /// T0 of the accepted offer (`re`).
    pub re: Hash,
    /// When it was made (`t`, whole seconds).
    pub at: Millis,
    /// Its nonce (`n`).
    pub nonce: Nonce,
    /// The node that signed it (`nk`).
    pub nk: NodeKey,
    /// Hash of the key that will follow that node's (`nx`): so that it may change its key before the first link.
    pub next: Option<Hash>,
    /// Where the node may be found (`h`).
    pub hint: Option<Hint>,
    /// The author's address key (`ak`), claimed and not proven.
    pub ak: Option<[u8; 32]>,
    /// T1: hash of T0 and the accept's signed bytes and signature.
    pub t1: Hash,
}

/// `Postline-Id`: what the author's node calls an express mail, so that its copy by another carrier is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carried {
    /// The author.
    pub from: Address,
    /// The addresses of To and Cc.
    pub to_cc: BTreeSet<Address>,
    /// When it was made (`t`, whole seconds).
    pub at: Millis,
    /// The id (`id`).
    pub id: CarryId,
    /// The [content hash](crate::content::mail::Canonical::content) that it vouches for (`bh`).
    pub content: Hash,
    /// The node that signed it (`nk`).
    pub nk: NodeKey,
}

impl Offer {
    /// Whether an offer that is first seen now is believed: `t` ≤ now + 24 h, and now ≤ `t + x` ([T-3]).
    ///
    /// # Errors
    /// [`PeerFault::Future`], [`PeerFault::Expired`].
    pub fn valid_at(&self, first_seen: Millis) -> Result<(), PeerFault> {
        not_from_the_future(self.at, first_seen)?;
        if first_seen > self.expires {
            return Err(PeerFault::Expired { end: self.expires.unix_seconds() });
        }
        Ok(())
    }
}

impl Accept {
    /// Whether an accept that is first seen now is believed: `t` ≤ now + 24 h. Its end is its offer's.
    ///
    /// # Errors
    /// [`PeerFault::Future`].
    pub fn valid_at(&self, first_seen: Millis) -> Result<(), PeerFault> {
        not_from_the_future(self.at, first_seen)
    }
}

impl Carried {
    /// Whether an id that is first seen now is believed: `t` ≤ now + 24 h.
    ///
    /// # Errors
    /// [`PeerFault::Future`].
    pub fn valid_at(&self, first_seen: Millis) -> Result<(), PeerFault> {
        not_from_the_future(self.at, first_seen)
    }
}

fn not_from_the_future(at: Millis, first_seen: Millis) -> Result<(), PeerFault> {
    let latest = first_seen.plus(limits::CLOCK_SKEW_MS);
    if at <= latest {
        return Ok(());
    }
    Err(PeerFault::Future { got: at.unix_seconds(), max: latest.unix_seconds() })
}

/// A field as it came: read, its signature not yet verified. [`seal::field::open`](crate::seal::field::open) opens it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed<F> {
    value: F,
    nk: NodeKey,
    signed: Vec<u8>,
    signature: [u8; 64],
}

impl<F> Claimed<F> {
    pub(crate) const fn nk(&self) -> NodeKey {
        self.nk
    }

    /// What the field claims, before anybody verified it: good for looking things up, for nothing else.
    pub(crate) const fn claimed(&self) -> &F {
        &self.value
    }

    pub(crate) fn signed(&self) -> &[u8] {
        &self.signed
    }

    pub(crate) const fn signature(&self) -> &[u8; 64] {
        &self.signature
    }

    pub(crate) fn into_inner(self) -> F {
        self.value
    }
}

/// A `Postline-*` header field. Sealed: there are three.
pub trait Field: Sized + sealed::Sealed {
    /// What its signature is for.
    const ROLE: Role;

    /// Reads the field's tags, as they stood in a mail from `from` to `to_cc`.
    ///
    /// # Errors
    /// [`PeerFault::Field`] with the tag that is missing, malformed, or spelt in another way than the one.
    fn parse(from: &Address, to_cc: &BTreeSet<Address>, tags: &Tags) -> Result<Claimed<Self>, PeerFault>;
}

impl sealed::Sealed for Offer {}
impl Field for Offer {
    const ROLE: Role = Role::Offer;

    fn parse(from: &Address, to_cc: &BTreeSet<Address>, tags: &Tags) -> Result<Claimed<Self>, PeerFault> {
        let read = Tagged::read(Self::ROLE, from, to_cc, tags)?;
        let at = Millis::from_unix_seconds(read.number("t")?);
        let days = read.number("x")?.min(limits::OFFER_TTL_DAYS_MAX);
        let value = Self {
            from: from.clone(),
            to_cc: to_cc.clone(),
            at,
            expires: at.plus(days * DAY),
            nonce: Nonce(read.bytes("n")?),
            nk: read.nk,
            next: read.maybe_bytes("nx")?.map(Hash),
            hint: read.hint()?,
            ak: read.maybe_bytes("ak")?,
            hash: read.hash_after(&[]),
        };
        Ok(read.claim(value))
    }
}

impl sealed::Sealed for Accept {}
impl Field for Accept {
    const ROLE: Role = Role::Accept;

    fn parse(from: &Address, to_cc: &BTreeSet<Address>, tags: &Tags) -> Result<Claimed<Self>, PeerFault> {
        let read = Tagged::read(Self::ROLE, from, to_cc, tags)?;
        let re = Hash(read.bytes("re")?);
        let value = Self {
            from: from.clone(),
            to_cc: to_cc.clone(),
            re,
            at: Millis::from_unix_seconds(read.number("t")?),
            nonce: Nonce(read.bytes("n")?),
            nk: read.nk,
            next: read.maybe_bytes("nx")?.map(Hash),
            hint: read.hint()?,
            ak: read.maybe_bytes("ak")?,
            t1: read.hash_after(&re.0),
        };
        Ok(read.claim(value))
    }
}

impl sealed::Sealed for Carried {}
impl Field for Carried {
    const ROLE: Role = Role::Carried;

    fn parse(from: &Address, to_cc: &BTreeSet<Address>, tags: &Tags) -> Result<Claimed<Self>, PeerFault> {
        let read = Tagged::read(Self::ROLE, from, to_cc, tags)?;
        let value = Self {
            from: from.clone(),
            to_cc: to_cc.clone(),
            at: Millis::from_unix_seconds(read.number("t")?),
            id: CarryId(read.bytes("id")?),
            content: Hash(read.bytes("bh")?),
            nk: read.nk,
        };
        Ok(read.claim(value))
    }
}

/// What all three have: version, node key, signature, and how a tag's text is read.
struct Tagged<'t> {
    tags: &'t Tags,
    nk: NodeKey,
    signed: Vec<u8>,
    signature: [u8; 64],
}

impl<'t> Tagged<'t> {
    fn read(role: Role, from: &Address, to_cc: &BTreeSet<Address>, tags: &'t Tags) -> Result<Self, PeerFault> {
        // Each tag with its `=`, and a `;` between two.
        let len: usize = tags.iter().map(|(tag, text)| tag.len() + text.len() + 2).sum();
        if tags.len() > limits::FIELD_TAGS || len > limits::FIELD_BYTES + 1 {
            return Err(PeerFault::Field("longer than a field may be"));
        }
        if text(tags, "v")? != "1" {
            return Err(PeerFault::Field("v"));
        }
        Ok(Self {
            nk: NodeKey(bytes_of(tags, "nk")?),
            signature: bytes_of(tags, "b")?,
            signed: signed_bytes(role, from, to_cc, tags),
            tags,
        })
    }

    fn number(&self, tag: &'static str) -> Result<u64, PeerFault> {
        decimal(text(self.tags, tag)?).ok_or(PeerFault::Field(tag))
    }

    fn bytes<const N: usize>(&self, tag: &'static str) -> Result<[u8; N], PeerFault> {
        bytes_of(self.tags, tag)
    }

    fn maybe_bytes<const N: usize>(&self, tag: &'static str) -> Result<Option<[u8; N]>, PeerFault> {
        self.tags.contains_key(tag).then(|| self.bytes(tag)).transpose()
    }

    fn hint(&self) -> Result<Option<Hint>, PeerFault> {
        let one_spelling = |text: &String| {
            Hint::parse(text).ok().filter(|hint| text.len() <= limits::HINT_BYTES && hint.to_string() == *text)
        };
        self.tags.get("h").map(|text| one_spelling(text).ok_or(PeerFault::Field("h"))).transpose()
    }

    fn hash_after(&self, before: &[u8]) -> Hash {
        sha256(&[before, &self.signed, &self.signature])
    }

    fn claim<F>(self, value: F) -> Claimed<F> {
        Claimed { value, nk: self.nk, signed: self.signed, signature: self.signature }
    }
}

fn text<'t>(tags: &'t Tags, tag: &'static str) -> Result<&'t str, PeerFault> {
    tags.get(tag).map(String::as_str).ok_or(PeerFault::Field(tag))
}

fn bytes_of<const N: usize>(tags: &Tags, tag: &'static str) -> Result<[u8; N], PeerFault> {
    // The engine refuses padding and stray bits at the end, so that each value has one spelling.
    let bytes = STANDARD_NO_PAD.decode(text(tags, tag)?).map_err(|_| PeerFault::Field(tag))?;
    bytes.try_into().map_err(|_| PeerFault::Field(tag))
}

fn decimal(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| plain)
}

/// The bytes that are signed: the same for who writes the field and who reads it.
fn signed_bytes(role: Role, from: &Address, to_cc: &BTreeSet<Address>, tags: &Tags) -> Vec<u8> {
    let mut writer = Writer::array_of(5);
    writer.str(role.label()).u64(VERSION).address(from);
    // By text, not by parts: `a.b@x` comes before `a@x`, for every implementation alike.
    let sorted: BTreeSet<String> = to_cc.iter().map(Address::to_string).collect();
    writer.list(sorted.iter(), |writer, address| {
        writer.str(address);
    });
    // RFC 8949 §4.2.1 orders keys by their encoded bytes: for texts, the shorter first.
    let mut entries: Vec<_> = tags.iter().filter(|(tag, _)| *tag != "b").collect();
    entries.sort_by_key(|(tag, _)| (tag.len(), *tag));
    writer.map(entries.len() as u64);
    for (tag, text) in entries {
        writer.str(tag).str(text);
    }
    writer.into_bytes()
}

/// An offer of ours that is to be signed by the node whose key it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfferDraft {
    /// The author.
    pub from: Address,
    /// The addresses of To and Cc, at most [`OFFER_RECIPIENTS`](limits::OFFER_RECIPIENTS).
    pub to_cc: BTreeSet<Address>,
    /// Now; the field carries whole seconds.
    pub at: Millis,
    /// How many days it stands.
    pub days: u64,
    /// A fresh nonce.
    pub nonce: Nonce,
    /// Our node key.
    pub nk: NodeKey,
    /// Hash of the key that will follow it.
    pub next: Option<Hash>,
    /// Where we may be found.
    pub hint: Option<Hint>,
    /// The author's address key, where they have one.
    pub ak: Option<[u8; 32]>,
}

impl OfferDraft {
    /// The field's tags, and what they say, once the node has signed the draft.
    #[must_use]
    pub fn signed(self, signature: [u8; 64]) -> (Tags, Offer) {
        let hash = sha256(&[&self.canonical(), &signature]);
        let tags = with_signature(self.tags(), &signature);
        let at = Millis::from_unix_seconds(self.at.unix_seconds());
        let expires = at.plus(self.days.min(limits::OFFER_TTL_DAYS_MAX) * DAY);
        let Self { from, to_cc, nonce, nk, next, hint, ak, .. } = self;
        (tags, Offer { from, to_cc, at, expires, nonce, nk, next, hint, ak, hash })
    }

    fn tags(&self) -> Tags {
        let mut tags = common_tags(self.at, self.nk);
        tags.insert("x".into(), self.days.to_string());
        tags.insert("n".into(), base64(&self.nonce.0));
        insert_optional(&mut tags, self.next, self.hint.as_ref(), self.ak.as_ref());
        tags
    }
}

impl sealed::Sealed for OfferDraft {}
impl Signable for OfferDraft {
    fn role(&self) -> Role {
        Offer::ROLE
    }

    fn canonical(&self) -> Vec<u8> {
        signed_bytes(Offer::ROLE, &self.from, &self.to_cc, &self.tags())
    }
}

/// An accept of ours that is to be signed by the node whose key it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptDraft {
    /// The author of the reply.
    pub from: Address,
    /// The addresses of To and Cc.
    pub to_cc: BTreeSet<Address>,
    /// T0 of the offer that is accepted.
    pub re: Hash,
    /// Now; the field carries whole seconds.
    pub at: Millis,
    /// A fresh nonce.
    pub nonce: Nonce,
    /// Our node key.
    pub nk: NodeKey,
    /// Hash of the key that will follow it.
    pub next: Option<Hash>,
    /// Where we may be found.
    pub hint: Option<Hint>,
    /// The author's address key, where they have one.
    pub ak: Option<[u8; 32]>,
}

impl AcceptDraft {
    /// The field's tags, and what they say, once the node has signed the draft.
    #[must_use]
    pub fn signed(self, signature: [u8; 64]) -> (Tags, Accept) {
        let t1 = sha256(&[&self.re.0, &self.canonical(), &signature]);
        let tags = with_signature(self.tags(), &signature);
        let at = Millis::from_unix_seconds(self.at.unix_seconds());
        let Self { from, to_cc, re, nonce, nk, next, hint, ak, .. } = self;
        (tags, Accept { from, to_cc, re, at, nonce, nk, next, hint, ak, t1 })
    }

    fn tags(&self) -> Tags {
        let mut tags = common_tags(self.at, self.nk);
        tags.insert("re".into(), base64(&self.re.0));
        tags.insert("n".into(), base64(&self.nonce.0));
        insert_optional(&mut tags, self.next, self.hint.as_ref(), self.ak.as_ref());
        tags
    }
}

impl sealed::Sealed for AcceptDraft {}
impl Signable for AcceptDraft {
    fn role(&self) -> Role {
        Accept::ROLE
    }

    fn canonical(&self) -> Vec<u8> {
        signed_bytes(Accept::ROLE, &self.from, &self.to_cc, &self.tags())
    }
}

/// The id of an express mail of ours, to be signed by the node whose key it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CarriedDraft {
    /// The author.
    pub from: Address,
    /// The addresses of To and Cc.
    pub to_cc: BTreeSet<Address>,
    /// Now; the field carries whole seconds.
    pub at: Millis,
    /// The id.
    pub id: CarryId,
    /// The content hash that it vouches for.
    pub content: Hash,
    /// Our node key.
    pub nk: NodeKey,
}

impl CarriedDraft {
    /// The field's tags, once the node has signed the draft.
    #[must_use]
    pub fn signed(&self, signature: [u8; 64]) -> Tags {
        with_signature(self.tags(), &signature)
    }

    fn tags(&self) -> Tags {
        let mut tags = common_tags(self.at, self.nk);
        tags.insert("id".into(), base64(&self.id.0));
        tags.insert("bh".into(), base64(&self.content.0));
        tags
    }
}

impl sealed::Sealed for CarriedDraft {}
impl Signable for CarriedDraft {
    fn role(&self) -> Role {
        Carried::ROLE
    }

    fn canonical(&self) -> Vec<u8> {
        signed_bytes(Carried::ROLE, &self.from, &self.to_cc, &self.tags())
    }
}

fn common_tags(at: Millis, nk: NodeKey) -> Tags {
    [("v", VERSION.to_string()), ("t", at.unix_seconds().to_string()), ("nk", base64(&nk.0))]
        .map(|(tag, text)| (tag.to_owned(), text))
        .into()
}

fn insert_optional(tags: &mut Tags, next: Option<Hash>, hint: Option<&Hint>, ak: Option<&[u8; 32]>) {
    tags.extend(next.map(|next| ("nx".to_owned(), base64(&next.0))));
    tags.extend(hint.map(|hint| ("h".to_owned(), hint.to_string())));
    tags.extend(ak.map(|ak| ("ak".to_owned(), base64(ak))));
}

fn with_signature(mut tags: Tags, signature: &[u8; 64]) -> Tags {
    tags.insert("b".into(), base64(signature));
    tags
}

fn base64(bytes: &[u8]) -> String {
    STANDARD_NO_PAD.encode(bytes)
}
