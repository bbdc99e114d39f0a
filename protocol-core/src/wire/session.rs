//! What opens a session of a device with its own node: the two Hellos, and the proofs over them. Spec: `spec/10-sessions.md`.
//!
//! ```text
//!   device's Hello = [version, address, dk, fresh, enrols, posted, {number: bytes}]
//!   node's Hello   = [version, nk, fresh, {number: bytes}]
//!   proof          = [device's Hello, node's Hello, channel]    signed by NK first, then by DK, each under its own role
//! ```
//!
//! The channel is the TLS exporter of the connection (RFC 8446 §7.5, label `EXPORTER-postline-1`, no context). A browser
//! lets nobody have one: there it is [`browser`], made of the host name that was dialled, and the name's certificate
//! stands for the rest. What is fresh is used once, so a proof is worth nothing on any other connection (attack 103).

use std::collections::BTreeMap;

use crate::fault::PeerFault;
use crate::id::{Address, DeviceKey, Domain, NodeKey};
use crate::limits;
use crate::store::sha256;
use crate::wire::cbor::{Malformed, Reader, Writer};
use crate::wire::signed::{Role, Signable, sealed};

/// The newest version of sessions that this code speaks.
pub const VERSION: u64 = 1;

/// The extension of a node's Hello that names the key that its own has followed: 32 bytes ([K-6]).
const FORMER: u64 = 1;

/// What stands for the exporter where a browser connects: the host name that it dialled.
#[must_use]
pub fn browser(host: &Domain) -> [u8; 32] {
    sha256(&[b"postline/1 browser", &[0], host.as_str().as_bytes()]).0
}

/// The first frame of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceHello {
    /// The newest version that the device speaks; it speaks all older ones from 1 on.
    pub version: u64,
    /// Whose device it is.
    pub address: Address,
    /// Its key.
    pub dk: DeviceKey,
    /// Fresh for each Hello.
    pub fresh: [u8; 32],
    /// Whether a mailbox login follows the proof: the device isn't known yet.
    pub enrols: bool,
    /// The greatest number that it may have posted under; 0 for none.
    pub posted: u64,
    /// What a device may add: kept and signed with the rest, and ignored where the number is unknown.
    pub extensions: BTreeMap<u64, Vec<u8>>,
}

/// The first frame of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeHello {
    /// The newest version that the node speaks.
    pub version: u64,
    /// Its key.
    pub nk: NodeKey,
    /// Fresh for each Hello.
    pub fresh: [u8; 32],
    /// What a node may add. Number 1: the key that its own has followed.
    pub extensions: BTreeMap<u64, Vec<u8>>,
}

impl DeviceHello {
    /// Its canonical bytes.
    #[must_use]
    pub fn canonical(&self) -> Vec<u8> {
        let mut writer = Writer::array_of(7);
        writer.u64(self.version).address(&self.address).bytes(&self.dk.0).bytes(&self.fresh);
        writer.bool(self.enrols).u64(self.posted);
        write_extensions(&mut writer, &self.extensions);
        writer.into_bytes()
    }

    /// Reads a device's Hello, strictly: only its canonical bytes are taken.
    ///
    /// # Errors
    /// [`PeerFault::TooBig`] over [`HELLO_BYTES`](limits::HELLO_BYTES), [`PeerFault::Version`], [`PeerFault::Frame`] for
    /// anything else.
    pub fn parse(bytes: &[u8]) -> Result<Self, PeerFault> {
        let hello = strictly(bytes, Self::read, Self::canonical)?;
        if hello.version < VERSION { Err(PeerFault::Version(hello.version)) } else { Ok(hello) }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        reader.array_of(7)?;
        Ok(Self {
            version: reader.u64()?,
            address: reader.address()?,
            dk: DeviceKey(reader.fixed()?),
            fresh: reader.fixed()?,
            enrols: reader.bool()?,
            posted: reader.u64()?,
            extensions: read_extensions(reader)?,
        })
    }
}

impl NodeHello {
    /// A Hello of this version, by a node whose key has followed `former`.
    #[must_use]
    pub fn new(nk: NodeKey, former: Option<NodeKey>, fresh: [u8; 32]) -> Self {
        let extensions = former.map(|nk| (FORMER, nk.0.to_vec())).into_iter().collect();
        Self { version: VERSION, nk, fresh, extensions }
    }

    /// The key that the node's has followed, as it says.
    #[must_use]
    pub fn former(&self) -> Option<NodeKey> {
        self.extensions.get(&FORMER)?.as_slice().try_into().ok().map(NodeKey)
    }

    /// Its canonical bytes.
    #[must_use]
    pub fn canonical(&self) -> Vec<u8> {
        let mut writer = Writer::array_of(4);
        writer.u64(self.version).bytes(&self.nk.0).bytes(&self.fresh);
        write_extensions(&mut writer, &self.extensions);
        writer.into_bytes()
    }

    /// Reads a node's Hello, strictly: only its canonical bytes are taken.
    ///
    /// # Errors
    /// As [`DeviceHello::parse`].
    pub fn parse(bytes: &[u8]) -> Result<Self, PeerFault> {
        let hello = strictly(bytes, Self::read, Self::canonical)?;
        if hello.version < VERSION { Err(PeerFault::Version(hello.version)) } else { Ok(hello) }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        reader.array_of(4)?;
        Ok(Self {
            version: reader.u64()?,
            nk: NodeKey(reader.fixed()?),
            fresh: reader.fixed()?,
            extensions: read_extensions(reader)?,
        })
    }
}

fn strictly<T>(
    bytes: &[u8],
    read: impl FnOnce(&mut Reader<'_>) -> Result<T, Malformed>,
    canonical: impl FnOnce(&T) -> Vec<u8>,
) -> Result<T, PeerFault> {
    if bytes.len() > limits::HELLO_BYTES {
        let (got, max) = (bytes.len() as u64, limits::HELLO_BYTES as u64);
        return Err(PeerFault::TooBig { what: "hello", got, max });
    }
    let mut reader = Reader::new(bytes);
    let hello = read(&mut reader).and_then(|hello| reader.end().map(|()| hello));
    let hello = hello.map_err(|Malformed(what)| PeerFault::Frame(what))?;
    if canonical(&hello) == bytes { Ok(hello) } else { Err(PeerFault::Frame("a hello in canonical form")) }
}

fn write_extensions(writer: &mut Writer, extensions: &BTreeMap<u64, Vec<u8>>) {
    writer.map(extensions.len() as u64);
    for (kind, bytes) in extensions {
        writer.u64(*kind).bytes(bytes);
    }
}

fn read_extensions(reader: &mut Reader<'_>) -> Result<BTreeMap<u64, Vec<u8>>, Malformed> {
    let mut extensions = BTreeMap::new();
    for _ in 0..reader.map(limits::FIELD_TAGS as u64)? {
        extensions.insert(reader.u64()?, reader.bytes()?.to_vec());
    }
    Ok(extensions)
}

/// Which end of a session signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The device, which dialled.
    Device,
    /// Its node.
    Node,
}

/// What a session's Proof signs: both Hellos as they went over the wire, beside the channel of their own connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof<'a> {
    end: End,
    device: &'a [u8],
    node: &'a [u8],
    channel: &'a [u8; 32],
}

impl<'a> Proof<'a> {
    /// The proof that `end` signs on the connection with this channel.
    #[must_use]
    pub const fn new(end: End, device: &'a [u8], node: &'a [u8], channel: &'a [u8; 32]) -> Self {
        Self { end, device, node, channel }
    }
}

impl sealed::Sealed for Proof<'_> {}
impl Signable for Proof<'_> {
    fn role(&self) -> Role {
        match self.end {
            End::Device => Role::SessionDevice,
            End::Node => Role::SessionNode,
        }
    }

    fn canonical(&self) -> Vec<u8> {
        let mut writer = Writer::array_of(3);
        writer.bytes(self.device).bytes(self.node).bytes(self.channel);
        writer.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device() -> DeviceHello {
        DeviceHello {
            version: VERSION,
            address: Address::parse("ann@a.example").unwrap(),
            dk: DeviceKey([7; 32]),
            fresh: [9; 32],
            enrols: true,
            posted: 300,
            extensions: BTreeMap::from([(300, b"later".to_vec())]),
        }
    }

    fn node() -> NodeHello {
        NodeHello::new(NodeKey([7; 32]), Some(NodeKey([6; 32])), [9; 32])
    }

    #[test]
    fn hellos_are_read_as_they_were_written_extensions_and_all() {
        assert_eq!(DeviceHello::parse(&device().canonical()), Ok(device()));
        assert_eq!(NodeHello::parse(&node().canonical()), Ok(node()));
        assert_eq!(node().former(), Some(NodeKey([6; 32])));
        assert_eq!(NodeHello::new(NodeKey([7; 32]), None, [9; 32]).former(), None);
    }

    #[test]
    fn the_longest_address_fits_into_a_hello() {
        let domain = format!("{0}.{0}.{0}.{1}", "a".repeat(63), "b".repeat(61));
        let address = Address::parse(&format!("{}@{domain}", "l".repeat(64))).unwrap();
        let bytes = DeviceHello { address, posted: u64::MAX, ..device() }.canonical();
        assert!(bytes.len() < limits::HELLO_BYTES && DeviceHello::parse(&bytes).is_ok(), "{} bytes", bytes.len());
    }

    #[test]
    fn t_092_a_hello_has_one_encoding_and_no_end_but_its_own() {
        for bytes in [device().canonical(), node().canonical()] {
            for cut in 0..bytes.len() {
                let cut = &bytes[..cut];
                assert!(DeviceHello::parse(cut).is_err() && NodeHello::parse(cut).is_err(), "{} bytes", cut.len());
            }
            let trailing = [&bytes[..], &[0]].concat();
            assert!(DeviceHello::parse(&trailing).is_err() && NodeHello::parse(&trailing).is_err());
            // The version, 1, in two bytes where one would do.
            let longer = [&bytes[..1], &[0x18, 0x01], &bytes[2..]].concat();
            assert!(DeviceHello::parse(&longer).is_err() && NodeHello::parse(&longer).is_err());
        }
        assert!(NodeHello::parse(&device().canonical()).is_err() && DeviceHello::parse(&node().canonical()).is_err());
        let mut padded = device();
        padded.extensions.insert(301, vec![0; limits::HELLO_BYTES]);
        assert!(matches!(DeviceHello::parse(&padded.canonical()), Err(PeerFault::TooBig { what: "hello", .. })));
        let old = DeviceHello { version: 0, ..device() };
        assert_eq!(DeviceHello::parse(&old.canonical()), Err(PeerFault::Version(0)));
    }

    #[test]
    fn a_browser_is_bound_to_the_name_that_it_dialled() {
        let host = |text| browser(&Domain::parse(text).unwrap());
        assert_eq!(host("chat.a.example"), host("Chat.A.Example"));
        assert_ne!(host("chat.a.example"), host("chat.b.example"));
    }
}
