//! The header fields: read, written, made, verified.

use std::collections::BTreeSet;

use postline_codec::mime;
use postline_core::content::mail::{FieldName, Tags};
use postline_core::id::{Address, CarryId, Hash, NodeKey, Nonce};
use postline_core::net::Hint;
use postline_core::seal::{self, NodeIdentity, Secret};
use postline_core::time::Millis;
use postline_core::wire::field::{Accept, AcceptDraft, Carried, CarriedDraft, Field, Offer, OfferDraft};
use postline_core::wire::signed::Signable;
use serde_json::{Map, Value, json};

use super::{Not, Said};
use crate::answer::Class;
use crate::input::{Input, Unfit, hex, number};

pub(super) fn read(input: Input<'_>) -> Said {
    Ok(json!({ "tags": tags_of(input)? }))
}

pub(super) fn write(input: Input<'_>) -> Said {
    let name = input.text("name")?;
    let name = [FieldName::Offer, FieldName::Accept, FieldName::Id].into_iter().find(|known| known.as_str() == name);
    let name = name.ok_or_else(|| Not::Understood("no such field".to_owned()))?;
    let text = |(tag, value): (&String, &Value)| Some((tag.clone(), value.as_str()?.to_owned()));
    let tags: Option<Tags> = input.object("tags")?.iter().map(text).collect();
    Ok(json!({ "line": mime::field::unfolded(name, &tags.ok_or_else(|| Not::Understood("no tags".to_owned()))?) }))
}

/// By way of a whole mail, as a node does it.
pub(super) fn content(input: Input<'_>) -> Said {
    let head = format!(
        "From: a@a.example\r\nTo: b@b.example\r\nMessage-ID: <1@a.example>\r\nDate: {}\r\nSubject: {}\r\n\r\n",
        input.text("date")?,
        input.text("subject")?
    );
    let head = mime::scan(&[head.into_bytes(), input.bytes("body")?].concat());
    let canonical = head.canonical().ok_or_else(|| Not::Understood("the mail would be inert".to_owned()))?;
    Ok(json!({ "bh": hex(canonical.content.0) }))
}

pub(super) fn make_offer(input: Input<'_>) -> Said {
    let node = node(input)?;
    let draft = OfferDraft {
        from: input.address("from")?,
        to_cc: to_cc(input)?,
        at: Millis::from_unix_seconds(input.number("t")?),
        days: input.number("x")?,
        nonce: Nonce(input.fixed("n")?),
        nk: node.nk(),
        next: next(input)?,
        hint: hint(input)?,
        ak: ak(input)?,
    };
    let (signed, signature) = (draft.canonical(), node.sign(&draft));
    let (tags, offer) = draft.signed(signature);
    let line = mime::field::unfolded(FieldName::Offer, &tags);
    Ok(json!({ "signed": hex(signed), "b": hex(signature), "line": line, "t0": hex(offer.hash.0) }))
}

pub(super) fn make_accept(input: Input<'_>) -> Said {
    let node = node(input)?;
    let draft = AcceptDraft {
        from: input.address("from")?,
        to_cc: to_cc(input)?,
        re: Hash(input.fixed("re")?),
        at: Millis::from_unix_seconds(input.number("t")?),
        nonce: Nonce(input.fixed("n")?),
        nk: node.nk(),
        next: next(input)?,
        hint: hint(input)?,
        ak: ak(input)?,
    };
    let (signed, signature) = (draft.canonical(), node.sign(&draft));
    let (tags, accept) = draft.signed(signature);
    let line = mime::field::unfolded(FieldName::Accept, &tags);
    Ok(json!({ "signed": hex(signed), "b": hex(signature), "line": line, "t1": hex(accept.t1.0) }))
}

pub(super) fn make_id(input: Input<'_>) -> Said {
    let node = node(input)?;
    let draft = CarriedDraft {
        from: input.address("from")?,
        to_cc: to_cc(input)?,
        at: Millis::from_unix_seconds(input.number("t")?),
        id: CarryId(input.fixed("id")?),
        content: Hash(input.fixed("bh")?),
        nk: node.nk(),
    };
    let (signed, signature) = (draft.canonical(), node.sign(&draft));
    let line = mime::field::unfolded(FieldName::Id, &draft.signed(signature));
    Ok(json!({ "signed": hex(signed), "b": hex(signature), "line": line }))
}

pub(super) fn verify_offer(input: Input<'_>) -> Said {
    let (tags, offer) = verified::<Offer>(input)?;
    now(input)?.map_or(Ok(()), |now| offer.valid_at(now))?;
    let mut said = common(&tags, offer.nk, offer.next, offer.hint.as_ref(), offer.ak.as_ref());
    said.insert("n".to_owned(), hex(offer.nonce.0).into());
    said.insert("expires".to_owned(), number(offer.expires.0));
    said.insert("t0".to_owned(), hex(offer.hash.0).into());
    Ok(said.into())
}

pub(super) fn verify_accept(input: Input<'_>) -> Said {
    let (tags, accept) = verified::<Accept>(input)?;
    now(input)?.map_or(Ok(()), |now| accept.valid_at(now))?;
    let mut said = common(&tags, accept.nk, accept.next, accept.hint.as_ref(), accept.ak.as_ref());
    said.insert("n".to_owned(), hex(accept.nonce.0).into());
    said.insert("re".to_owned(), hex(accept.re.0).into());
    said.insert("t1".to_owned(), hex(accept.t1.0).into());
    Ok(said.into())
}

pub(super) fn verify_id(input: Input<'_>) -> Said {
    let (tags, carried) = verified::<Carried>(input)?;
    let mut said = common(&tags, carried.nk, None, None, None);
    said.insert("id".to_owned(), hex(carried.id.0).into());
    said.insert("bh".to_owned(), hex(carried.content.0).into());
    Ok(said.into())
}

fn verified<F: Field>(input: Input<'_>) -> Result<(Tags, F), Not> {
    let tags = tags_of(input)?;
    let field = seal::field::read(&input.address("from")?, &to_cc(input)?, &tags)?;
    Ok((tags, field))
}

fn common(
    tags: &Tags,
    nk: NodeKey,
    next: Option<Hash>,
    hint: Option<&Hint>,
    ak: Option<&[u8; 32]>,
) -> Map<String, Value> {
    let mut said = Map::new();
    said.insert("nk".to_owned(), hex(nk.0).into());
    let t = tags.get("t").and_then(|t| t.parse().ok()).map(number);
    said.extend(t.map(|t| ("t".to_owned(), t)));
    said.extend(next.map(|next| ("nx".to_owned(), hex(next.0).into())));
    said.extend(hint.map(|hint| ("h".to_owned(), hint.to_string().into())));
    said.extend(ak.map(|ak| ("ak".to_owned(), hex(ak).into())));
    said
}

fn tags_of(input: Input<'_>) -> Result<Tags, Not> {
    mime::field::parse(input.text("body")?).map_err(|_| Class::Field.into())
}

fn now(input: Input<'_>) -> Result<Option<Millis>, Unfit> {
    input.maybe("now").map(|_| input.number("now").map(Millis)).transpose()
}

fn node(input: Input<'_>) -> Result<NodeIdentity, Unfit> {
    Ok(NodeIdentity::new(&Secret::new(input.fixed("seed")?), NodeKey([0; 32])))
}

fn to_cc(input: Input<'_>) -> Result<BTreeSet<Address>, Unfit> {
    Ok(input.addresses("to_cc")?.into_iter().collect())
}

fn hint(input: Input<'_>) -> Result<Option<Hint>, Not> {
    if input.maybe("h").is_none() {
        return Ok(None);
    }
    Hint::parse(input.text("h")?).map(Some).map_err(|_| Not::Understood("h is no hint".to_owned()))
}

fn next(input: Input<'_>) -> Result<Option<Hash>, Unfit> {
    input.maybe("nx").map(|_| input.fixed("nx").map(Hash)).transpose()
}

fn ak(input: Input<'_>) -> Result<Option<[u8; 32]>, Unfit> {
    input.maybe("ak").map(|_| input.fixed("ak")).transpose()
}
