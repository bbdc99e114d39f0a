//! What opens a connection: who speaks, for which domain, to which; and the proof that it is so. Spec: [L-3], [L-4].
//!
//! A Hello is `[versions, nk, speaker, listener, nonce, {extension: bytes}]`. A Proof is an NK's signature over
//! `[dialler's Hello, listener's Hello, TLS exporter]`, under one role for the dialler and another for the listener.

use std::collections::BTreeMap;

use crate::fault::PeerFault;
use crate::id::{Domain, NodeKey};
use crate::limits;
use crate::wire::cbor::{Malformed, Reader, Writer};
use crate::wire::frame::Domains;
use crate::wire::signed::{Role, Signable, sealed};

/// The newest version of the protocol that this code speaks.
pub const VERSION: u64 = 1;

/// The extension of a Hello that names the key that the speaker's has followed: 32 bytes ([K-6]).
const FORMER: u64 = 1;

/// The first frame each way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The newest version that the speaker speaks; it speaks all older ones from 1 on.
    pub version: u64,
    /// The speaker's key.
    pub nk: NodeKey,
    /// The domain it speaks for, and the one it speaks to.
    pub domains: Domains,
    /// Fresh for each Hello.
    pub nonce: [u8; 32],
    /// What a speaker may add: kept and signed with the rest, and ignored where the number is unknown.
    pub extensions: BTreeMap<u64, Vec<u8>>,
}

impl Hello {
    /// A Hello of this version, without extensions.
    #[must_use]
    pub const fn new(nk: NodeKey, domains: Domains, nonce: [u8; 32]) -> Self {
        Self { version: VERSION, nk, domains, nonce, extensions: BTreeMap::new() }
    }

    /// The same Hello, by a speaker whose key has followed another.
    #[must_use]
    pub fn following(mut self, former: Option<NodeKey>) -> Self {
        self.extensions.extend(former.map(|nk| (FORMER, nk.0.to_vec())));
        self
    }

    /// The key that the speaker's has followed, as it says.
    #[must_use]
    pub fn former(&self) -> Option<NodeKey> {
        let bytes = self.extensions.get(&FORMER)?;
        bytes.as_slice().try_into().ok().map(NodeKey)
    }

    /// Its canonical bytes.
    #[must_use]
    pub fn canonical(&self) -> Vec<u8> {
        let mut writer = Writer::array_of(6);
        writer.u64(self.version).bytes(&self.nk.0);
        writer.str(self.domains.speaker.as_str()).str(self.domains.listener.as_str());
        writer.bytes(&self.nonce).map(self.extensions.len() as u64);
        for (kind, bytes) in &self.extensions {
            writer.u64(*kind).bytes(bytes);
        }
        writer.into_bytes()
    }

    /// Reads a Hello, strictly: only its canonical bytes are taken.
    ///
    /// # Errors
    /// [`PeerFault::TooBig`] over [`HELLO_BYTES`](limits::HELLO_BYTES), [`PeerFault::Frame`] for anything else.
    pub fn parse(bytes: &[u8]) -> Result<Self, PeerFault> {
        if bytes.len() > limits::HELLO_BYTES {
            let (got, max) = (bytes.len() as u64, limits::HELLO_BYTES as u64);
            return Err(PeerFault::TooBig { what: "hello", got, max });
        }
        let hello = Self::read(bytes).map_err(|Malformed(what)| PeerFault::Frame(what))?;
        if hello.canonical() == bytes { Ok(hello) } else { Err(PeerFault::Frame("a hello in canonical form")) }
    }

    fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        reader.array_of(6)?;
        let version = reader.u64()?;
        let nk = NodeKey(reader.fixed()?);
        let domains = Domains { speaker: domain(&mut reader)?, listener: domain(&mut reader)? };
        let nonce = reader.fixed()?;
        let mut extensions = BTreeMap::new();
        for _ in 0..reader.map(limits::FIELD_TAGS as u64)? {
            extensions.insert(reader.u64()?, reader.bytes()?.to_vec());
        }
        reader.end()?;
        Ok(Self { version, nk, domains, nonce, extensions })
    }
}

fn domain(reader: &mut Reader<'_>) -> Result<Domain, Malformed> {
    Domain::parse(reader.str()?).map_err(|_| Malformed("a domain"))
}

/// Which end of a connection signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The one that dialled.
    Dialler,
    /// The one that was dialled.
    Listener,
}

/// What a Proof signs: both Hellos as they went over the wire, beside the exporter of their own connection. So it is
/// worth nothing on another connection (attack 103), nor sent back to its author (attack 64).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof<'a> {
    end: End,
    dialler: &'a [u8],
    listener: &'a [u8],
    exporter: &'a [u8; 32],
}

impl<'a> Proof<'a> {
    /// The proof that `end` signs on the connection with this exporter.
    #[must_use]
    pub const fn new(end: End, dialler: &'a [u8], listener: &'a [u8], exporter: &'a [u8; 32]) -> Self {
        Self { end, dialler, listener, exporter }
    }
}

impl sealed::Sealed for Proof<'_> {}
impl Signable for Proof<'_> {
    fn role(&self) -> Role {
        match self.end {
            End::Dialler => Role::ProofDialler,
            End::Listener => Role::ProofListener,
        }
    }

    fn canonical(&self) -> Vec<u8> {
        let mut writer = Writer::array_of(3);
        writer.bytes(self.dialler).bytes(self.listener).bytes(self.exporter);
        writer.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello() -> Hello {
        let domain = |text| Domain::parse(text).unwrap();
        let domains = Domains { speaker: domain("a.example"), listener: domain("b.example") };
        let mut hello = Hello::new(NodeKey([7; 32]), domains, [9; 32]);
        hello.extensions.insert(300, b"later".to_vec());
        hello
    }

    /// [L-4]
    #[test]
    fn a_hello_is_read_as_it_was_written_extensions_and_all() {
        assert_eq!(Hello::parse(&hello().canonical()), Ok(hello()));
    }

    #[test]
    fn the_longest_names_fit_into_a_hello() {
        let long = format!("{0}.{0}.{0}.{1}", "a".repeat(63), "b".repeat(61));
        let domain = Domain::parse(&long).unwrap();
        let domains = Domains { speaker: domain.clone(), listener: domain };
        let bytes = Hello::new(NodeKey([7; 32]), domains, [9; 32]).canonical();
        assert!(bytes.len() < limits::HELLO_BYTES && Hello::parse(&bytes).is_ok(), "{} bytes", bytes.len());
    }

    #[test]
    fn t_092_a_hello_has_one_encoding_and_no_end_but_its_own() {
        let bytes = hello().canonical();
        for cut in 0..bytes.len() {
            assert!(Hello::parse(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        let trailing = [&bytes[..], &[0]].concat();
        assert!(Hello::parse(&trailing).is_err());
        // The version, 1, in two bytes where one would do.
        let longer = [&bytes[..1], &[0x18, 0x01], &bytes[2..]].concat();
        assert_eq!(Hello::parse(&longer), Err(PeerFault::Frame("a hello in canonical form")));
        let mut padded = hello();
        padded.extensions.insert(301, vec![0; limits::HELLO_BYTES]);
        assert!(matches!(Hello::parse(&padded.canonical()), Err(PeerFault::TooBig { what: "hello", .. })));
    }

    #[test]
    fn a_domain_out_of_normal_form_is_refused() {
        let text = hello().canonical();
        let at = text.windows(9).position(|w| w == b"a.example").unwrap();
        let mut upper = text;
        upper[at] = b'A';
        assert!(Hello::parse(&upper).is_err());
    }
}
