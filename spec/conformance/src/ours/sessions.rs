//! Sessions of devices: their Hellos, their proofs, and the channel of a browser.

use postline_core::id::{DeviceKey, Domain, NodeKey};
use postline_core::seal::{DeviceIdentity, NodeIdentity, Secret, verify_value};
use postline_core::wire::session::{self, DeviceHello, End, NodeHello, Proof};
use postline_core::wire::signed::Signable as _;
use serde_json::json;

use super::transcripts::{extensions, shown_extensions};
use super::{Not, Said};
use crate::input::{Input, hex, number};

fn version(input: Input<'_>) -> Result<u64, Not> {
    Ok(if input.maybe("version").is_some() { input.number("version")? } else { session::VERSION })
}

pub(super) fn make_device(input: Input<'_>) -> Said {
    let hello = DeviceHello {
        version: version(input)?,
        address: input.address("address")?,
        dk: DeviceKey(input.fixed("dk")?),
        fresh: input.fixed("fresh")?,
        enrols: input.truth("enrols")?,
        posted: input.number("posted")?,
        extensions: extensions(input)?,
    };
    Ok(json!({ "bytes": hex(hello.canonical()) }))
}

pub(super) fn read_device(input: Input<'_>) -> Said {
    let hello = DeviceHello::parse(&input.bytes("bytes")?)?;
    Ok(json!({
        "version": number(hello.version), "address": hello.address.to_string(), "dk": hex(hello.dk.0),
        "fresh": hex(hello.fresh), "enrols": hello.enrols, "posted": number(hello.posted),
        "extensions": shown_extensions(&hello.extensions),
    }))
}

pub(super) fn make_node(input: Input<'_>) -> Said {
    let hello = NodeHello {
        version: version(input)?,
        nk: NodeKey(input.fixed("nk")?),
        fresh: input.fixed("fresh")?,
        extensions: extensions(input)?,
    };
    Ok(json!({ "bytes": hex(hello.canonical()) }))
}

pub(super) fn read_node(input: Input<'_>) -> Said {
    let hello = NodeHello::parse(&input.bytes("bytes")?)?;
    Ok(json!({
        "version": number(hello.version), "nk": hex(hello.nk.0), "fresh": hex(hello.fresh),
        "extensions": shown_extensions(&hello.extensions),
    }))
}

pub(super) fn browser(input: Input<'_>) -> Said {
    let host = Domain::parse(input.text("host")?).map_err(|_| Not::Understood("no host".to_owned()))?;
    Ok(json!({ "channel": hex(session::browser(&host)) }))
}

pub(super) fn sign_proof(input: Input<'_>) -> Said {
    let (device, node, channel) = hellos(input)?;
    let (seed, proof) = (Secret::new(input.fixed("seed")?), Proof::new(end(input)?, &device, &node, &channel));
    let signature = match end(input)? {
        End::Device => DeviceIdentity::new(&seed).sign(&proof),
        End::Node => NodeIdentity::new(&seed, NodeKey([0; 32])).sign(&proof),
    };
    Ok(json!({ "signed": hex(proof.canonical()), "signature": hex(signature) }))
}

pub(super) fn verify_proof(input: Input<'_>) -> Said {
    let (device, node, channel) = hellos(input)?;
    let proof = Proof::new(end(input)?, &device, &node, &channel);
    verify_value(DeviceKey(input.fixed("key")?), &proof, &input.bytes("signature")?)?;
    Ok(json!({}))
}

fn end(input: Input<'_>) -> Result<End, Not> {
    match input.text("end")? {
        "device" => Ok(End::Device),
        "node" => Ok(End::Node),
        _ => Err(Not::Understood("no such end".to_owned())),
    }
}

/// The device's Hello, the node's, and the channel.
type Hellos = (Vec<u8>, Vec<u8>, [u8; 32]);

fn hellos(input: Input<'_>) -> Result<Hellos, Not> {
    Ok((input.bytes("device")?, input.bytes("node")?, input.fixed("channel")?))
}
