//! Logs of conversations: ids, tags, chains, heads and changes.

use postline_core::id::{DeviceKey, Hash, NodeKey};
use postline_core::seal::{NodeIdentity, Secret, verify_value};
use postline_core::wire::cbor::Malformed;
use postline_core::wire::log::{self, Change, HeadsSigned, Link};
use postline_core::wire::signed::Signable as _;
use serde_json::{Value, json};

use super::{Not, Said, talk};
use crate::answer::Class;
use crate::input::{Input, hex};

pub(super) fn direct(input: Input<'_>) -> Said {
    Ok(json!({ "conversation": hex(log::direct(Hash(input.fixed("t2")?)).0) }))
}

pub(super) fn tag(input: Input<'_>) -> Said {
    let tag = log::tag(talk::conversation(input)?, DeviceKey(input.fixed("dk")?));
    Ok(json!({ "device": hex(tag.0) }))
}

/// The chain before the first of these entries, and behind each of them.
pub(super) fn chain(input: Input<'_>) -> Said {
    let mut hash = match input.maybe("before") {
        Some(_) => Hash(input.fixed("before")?),
        None => log::root(talk::conversation(input)?),
    };
    let mut chain = vec![hex(hash.0)];
    for entry in input.list("entries")?.iter().map(Input) {
        let (members, bytes) = (entry.addresses("members")?, entry.bytes("bytes")?);
        let link = Link {
            term: entry.number("term")?,
            seq: entry.number("seq")?,
            kind: talk::event_kind(entry)?,
            epoch: entry.number("epoch")?,
            members: &members,
            bytes: &bytes,
        };
        hash = log::chain(hash, &link);
        chain.push(hex(hash.0));
    }
    Ok(json!({ "chain": chain }))
}

pub(super) fn leaf(input: Input<'_>) -> Said {
    Ok(json!({ "leaf": hex(talk::head(input)?.leaf().0) }))
}

pub(super) fn sign_heads(input: Input<'_>) -> Said {
    let leaves: Vec<Hash> = talk::fixed_list(input, "leaves")?.into_iter().map(Hash).collect();
    let node = NodeIdentity::new(&Secret::new(input.fixed("seed")?), NodeKey([0; 32]));
    let signed = HeadsSigned(&leaves);
    Ok(json!({ "signed": hex(signed.canonical()), "signature": hex(node.sign(&signed)) }))
}

/// The signature first, then each head at its place.
pub(super) fn verify_heads(input: Input<'_>) -> Said {
    let heads = talk::heads(input)?;
    verify_value(NodeKey(input.fixed("nk")?), &HeadsSigned(&heads.leaves), &heads.signature)?;
    let stands = heads.heads.iter().all(|(place, head)| heads.leaves.get(usize::from(*place)) == Some(&head.leaf()));
    if stands { Ok(json!({})) } else { Err(Class::Malformed.into()) }
}

pub(super) fn make_change(input: Input<'_>) -> Said {
    let change = Change {
        commit: input.bytes("commit")?,
        welcome: input.maybe("welcome").map(|_| input.bytes("welcome")).transpose()?,
        group_info: input.bytes("group_info")?,
    };
    Ok(json!({ "bytes": hex(change.to_bytes()) }))
}

pub(super) fn read_change(input: Input<'_>) -> Said {
    let change = Change::parse(&input.bytes("bytes")?).map_err(|Malformed(_)| Not::Refused(Class::Malformed))?;
    let mut shown = json!({ "commit": hex(change.commit), "group_info": hex(change.group_info) });
    if let (Some(members), Some(welcome)) = (shown.as_object_mut(), change.welcome) {
        members.insert("welcome".to_owned(), Value::from(hex(welcome)));
    }
    Ok(shown)
}
