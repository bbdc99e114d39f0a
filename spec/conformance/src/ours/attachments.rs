//! Files: how they are sealed, what a content says of them, and what opens.

use postline_core::seal::attachment::{AttachmentFault, Opener, Sealer};
use postline_core::seal::{Attachment, Secret};
use serde_json::json;

use super::content::external;
use super::{Not, Said};
use crate::answer::Class;
use crate::input::{Input, hex, number};

impl From<AttachmentFault> for Not {
    fn from(fault: AttachmentFault) -> Self {
        Self::Refused(match fault {
            AttachmentFault::TooBig { .. } => Class::TooBig,
            AttachmentFault::Key => Class::Key,
            AttachmentFault::Shape(_)
            | AttachmentFault::Length(_)
            | AttachmentFault::Cut { .. }
            | AttachmentFault::Changed(_) => Class::Malformed,
        })
    }
}

/// Seals a file of so many bytes, each its place modulo 251.
pub(super) fn seal(input: Input<'_>) -> Said {
    let size = input.number("length")?;
    let (mut sealer, commit) = Sealer::under(Secret::new(input.fixed("key")?), input.fixed("nonce")?, size)?;
    let (mut at, mut last) = (0, Vec::new());
    while let Some(wanted) = sealer.wants() {
        last = (at..).take(wanted).map(|at: u64| u8::try_from(at % 251).unwrap_or_default()).collect();
        at += wanted as u64;
        sealer.chunk(&mut last).map_err(|why| Not::Understood(why.to_string()))?;
    }
    let made = sealer.finish().map_err(|why| Not::Understood(why.to_string()))?;
    let tag = last.split_off(last.len() - 16);
    let (hash, size, chunks) = (hex(made.blob().sha256.0), number(made.blob().len), number(made.chunks()));
    Ok(json!({ "commit": hex(commit), "hash": hash, "size": size, "chunks": chunks, "tag": hex(tag) }))
}

pub(super) fn read(input: Input<'_>) -> Said {
    let read = Attachment::read(&external(Input(input.member("external")?))?)?;
    let hash = hex(read.blob().sha256.0);
    Ok(json!({ "hash": hash, "length": number(read.size()), "chunks": number(read.chunks()) }))
}

pub(super) fn open(input: Input<'_>) -> Said {
    let attachment = Attachment::read(&external(Input(input.member("external")?))?)?;
    let opener = Opener::begin(&attachment, &input.bytes("head")?)?;
    let mut chunk = input.bytes("chunk")?;
    opener.chunk(input.number("index")?, &mut chunk)?;
    Ok(json!({ "bytes": hex(chunk) }))
}
