//! The handshake's steps, and the greeting's Hellos and Proofs.

use std::collections::BTreeMap;

use postline_core::fault::PeerFault;
use postline_core::id::{Domain, Hash, NodeKey, Nonce};
use postline_core::seal::{NodeIdentity, Secret, verify_value};
use postline_core::wire::confirm::{self, Confirm, Done, Word};
use postline_core::wire::frame::{Domains, TrustStep};
use postline_core::wire::hello::{End, Hello, Proof};
use postline_core::wire::signed::{OnConnection, Signable};
use serde_json::{Value, json};

use super::{Not, Said};
use crate::input::{Input, Unfit, as_bytes, as_number, hex, number};

pub(super) fn make_confirm(input: Input<'_>) -> Said {
    Ok(json!({ "bytes": hex(Confirm(word(input)?).to_bytes()) }))
}

pub(super) fn make_done(input: Input<'_>) -> Said {
    Ok(json!({ "bytes": hex(Done(word(input)?).to_bytes()) }))
}

pub(super) fn read_confirm(input: Input<'_>) -> Said {
    Ok(shown(Confirm::parse(&input.bytes("bytes")?)?.0))
}

pub(super) fn read_done(input: Input<'_>) -> Said {
    Ok(shown(Done::parse(&input.bytes("bytes")?)?.0))
}

pub(super) fn t2(input: Input<'_>) -> Said {
    let t2 = confirm::t2(Hash(input.fixed("t1")?), &input.bytes("m2")?, &input.bytes("m3")?);
    Ok(json!({ "t2": hex(t2.0) }))
}

pub(super) fn sign_step(input: Input<'_>) -> Said {
    let (bytes, exporter) = (input.bytes("bytes")?, input.fixed("exporter")?);
    Ok(signed(input, &OnConnection::new(step(input)?, &bytes, &exporter))?)
}

pub(super) fn verify_step(input: Input<'_>) -> Said {
    let (bytes, exporter) = (input.bytes("bytes")?, input.fixed("exporter")?);
    verified(input, &OnConnection::new(step(input)?, &bytes, &exporter))
}

pub(super) fn make_hello(input: Input<'_>) -> Said {
    let domains = Domains { speaker: domain(input, "speaker")?, listener: domain(input, "listener")? };
    let mut hello = Hello::new(NodeKey(input.fixed("nk")?), domains, input.fixed("random")?);
    if input.maybe("version").is_some() {
        hello.version = input.number("version")?;
    }
    hello.extensions = extensions(input)?;
    Ok(json!({ "bytes": hex(hello.canonical()) }))
}

pub(super) fn read_hello(input: Input<'_>) -> Said {
    let hello = Hello::parse(&input.bytes("bytes")?)?;
    if hello.version == 0 {
        return Err(PeerFault::Version(0).into());
    }
    Ok(json!({
        "version": number(hello.version),
        "nk": hex(hello.nk.0),
        "speaker": hello.domains.speaker.as_str(),
        "listener": hello.domains.listener.as_str(),
        "random": hex(hello.nonce),
        "extensions": shown_extensions(&hello.extensions),
    }))
}

/// What a Hello's maker adds, where it adds anything.
pub(super) fn extensions(input: Input<'_>) -> Result<BTreeMap<u64, Vec<u8>>, Not> {
    if input.maybe("extensions").is_none() {
        return Ok(BTreeMap::new());
    }
    let pair = |value: &Value| Some((as_number(value.get(0)?)?, as_bytes(value.get(1)?)?));
    let pairs: Option<_> = input.list("extensions")?.iter().map(pair).collect();
    pairs.ok_or_else(|| Not::Understood("extensions are pairs".to_owned()))
}

pub(super) fn shown_extensions(extensions: &BTreeMap<u64, Vec<u8>>) -> Vec<Value> {
    extensions.iter().map(|(kind, bytes)| json!([number(*kind), hex(bytes)])).collect()
}

pub(super) fn sign_proof(input: Input<'_>) -> Said {
    let (dialler, listener, exporter) = hellos(input)?;
    Ok(signed(input, &Proof::new(end(input)?, &dialler, &listener, &exporter))?)
}

pub(super) fn verify_proof(input: Input<'_>) -> Said {
    let (dialler, listener, exporter) = hellos(input)?;
    verified(input, &Proof::new(end(input)?, &dialler, &listener, &exporter))
}

fn signed(input: Input<'_>, value: &impl Signable) -> Result<Value, Unfit> {
    let node = NodeIdentity::new(&Secret::new(input.fixed("seed")?), NodeKey([0; 32]));
    Ok(json!({ "signed": hex(value.canonical()), "signature": hex(node.sign(value)) }))
}

fn verified(input: Input<'_>, value: &impl Signable) -> Said {
    verify_value(NodeKey(input.fixed("nk")?), value, &input.bytes("signature")?)?;
    Ok(json!({}))
}

fn word(input: Input<'_>) -> Result<Word, Unfit> {
    Ok(Word { t1: Hash(input.fixed("t1")?), nonce: Nonce(input.fixed("nonce")?), fresh: input.fixed("fresh")? })
}

fn shown(word: Word) -> Value {
    json!({ "t1": hex(word.t1.0), "nonce": hex(word.nonce.0), "fresh": hex(word.fresh) })
}

fn step(input: Input<'_>) -> Result<TrustStep, Not> {
    match input.text("step")? {
        "confirm" => Ok(TrustStep::Confirm),
        "done" => Ok(TrustStep::Done),
        _ => Err(Not::Understood("no such step".to_owned())),
    }
}

fn end(input: Input<'_>) -> Result<End, Not> {
    match input.text("end")? {
        "dialler" => Ok(End::Dialler),
        "listener" => Ok(End::Listener),
        _ => Err(Not::Understood("no such end".to_owned())),
    }
}

type Hellos = (Vec<u8>, Vec<u8>, [u8; 32]);

fn hellos(input: Input<'_>) -> Result<Hellos, Unfit> {
    Ok((input.bytes("dialler")?, input.bytes("listener")?, input.fixed("exporter")?))
}

fn domain(input: Input<'_>, name: &str) -> Result<Domain, Unfit> {
    Domain::parse(input.text(name)?).map_err(|_| Unfit(format!("{name} is no domain")))
}
