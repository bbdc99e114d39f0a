//! Key packages (RFC 9420 §10): made here, and read from others with every check that doesn't take a group.

use mls_rs::crypto::HpkePublicKey;
use mls_rs::error::MlsError;
use mls_rs::extension::recommended::LastResortKeyPackageExt;
use mls_rs::group::{LeafNode, LeafNodeSource};
use mls_rs::mls_rs_codec::{MlsDecode, MlsEncode, byte_vec};
use mls_rs::storage_provider::KeyPackageData;
use mls_rs::{CipherSuiteProvider, ExtensionList, MlsMessage, ProtocolVersion};
use zeroize::Zeroizing;

use crate::fault::{Misuse, PeerFault};
use crate::id::Hash;
use crate::limits;
use crate::seal::mls::Me;
use crate::seal::mls::engine::{Desk, good_from, seconds};
use crate::seal::mls::fault::{misuse, package as refused};
use crate::seal::mls::member::Member;
use crate::seal::mls::primitive as p;
use crate::seal::mls::provider::{Provider, SUITE};
use crate::step::Tick;
use crate::store::{Key, Record};
use crate::time::{DAY, Millis};
use crate::wire::cbor::{Malformed, Reader, Writer};
use crate::wire::leaf::CREDENTIAL;

/// A key package that was made: what goes out, and what stays.
#[derive(Clone, PartialEq, Eq)]
pub struct Made {
    /// What is published: an `MLSMessage`.
    pub public: Vec<u8>,
    /// What a Welcome names it by.
    pub reference: Hash,
    secret: Zeroizing<Vec<u8>>,
}

impl core::fmt::Debug for Made {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Made {{ reference: {}, Secret(..) }}", self.reference)
    }
}

impl Made {
    /// Its secret half, to be stored before the public one leaves. It is good for joining until it is used, or removed.
    #[must_use]
    pub fn record(&self) -> Record {
        Record::put(Key::Package(self.reference), self.secret.to_vec())
    }
}

/// Makes a key package. Packages made in one step differ by `number`. One of last resort may be used more than once.
///
/// # Errors
/// [`Misuse::OutOfPlace`] where the leaf is another device's.
pub fn make(tick: &Tick, number: u32, me: Me<'_>, last_resort: bool) -> Result<Made, Misuse> {
    let failed = |_: MlsError| misuse("a key package of a leaf that isn't the device's");
    if me.leaf.value().dk != me.device.dk() {
        return Err(misuse("a leaf of another device"));
    }
    let desk = Desk::default();
    let mut extensions = ExtensionList::new();
    if last_resort {
        extensions.set_from(LastResortKeyPackageExt).map_err(|e| failed(e.into()))?;
    }
    let filled = desk.entropy.fill(tick, "package", &[&me.device.dk().0, &number.to_be_bytes()]);
    let message = desk
        .client(Some(me))
        .generate_key_package_message(extensions, ExtensionList::new(), Some(good_from(tick.now)))
        .map_err(failed)?;
    drop(filled);
    let public = message.to_bytes().map_err(failed)?;
    let (reference, data) = desk.shelf.things().packages.pop_first().ok_or(misuse("no key package was made"))?;
    let data = Zeroizing::new(data.mls_encode_to_vec().map_err(|e| failed(e.into()))?);
    let mut writer = Writer::array_of(3);
    writer.u64(VERSION).bool(last_resort).bytes(&data);
    let reference = Hash::try_from(reference.as_slice()).map_err(|_| misuse("a reference of another length"))?;
    Ok(Made { public, reference, secret: Zeroizing::new(writer.into_bytes()) })
}

const VERSION: u64 = 1;

/// The secret half of a package of ours, as its record has it.
pub(super) struct Kept {
    pub(super) last_resort: bool,
    pub(super) data: KeyPackageData,
}

impl Kept {
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        reader.array_of(3)?;
        if reader.u64()? != VERSION {
            return Err(Malformed("version 1"));
        }
        let last_resort = reader.bool()?;
        let mut data = reader.bytes()?;
        reader.end()?;
        let package = KeyPackageData::mls_decode(&mut data).map_err(|_| Malformed("a key package's secrets"))?;
        if data.is_empty() { Ok(Self { last_resort, data: package }) } else { Err(Malformed("the end")) }
    }
}

/// Somebody's key package, with every signature in it verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    member: Member,
    reference: Hash,
    expires: Millis,
    bytes: Vec<u8>,
}

impl Package {
    /// Whose it is. That it is whom the caller asked for, the caller looks.
    #[must_use]
    pub const fn member(&self) -> &Member {
        &self.member
    }

    /// What a Welcome names it by.
    #[must_use]
    pub const fn reference(&self) -> Hash {
        self.reference
    }

    /// From when on it is no good.
    #[must_use]
    pub const fn expires(&self) -> Millis {
        self.expires
    }

    /// Its bytes, as they came.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Reads a key package as it came from anybody.
///
/// # Errors
/// [`PeerFault::TooBig`]; [`PeerFault::KeyPackage`] for malformed bytes, another version or suite, keys that are none, a
/// signature that doesn't verify, and where it is out of its lifetime; the credential's own fault.
pub fn read(bytes: &[u8], now: Millis) -> Result<Package, PeerFault> {
    if bytes.len() > limits::PACKAGE_BYTES {
        let (got, max) = (bytes.len() as u64, limits::PACKAGE_BYTES as u64);
        return Err(PeerFault::TooBig { what: "key package", got, max });
    }
    let bad = PeerFault::KeyPackage;
    let message = MlsMessage::from_bytes(bytes).map_err(|e| refused(&e))?;
    if !bytes.starts_with(&HEAD) {
        return Err(bad("of another version or kind"));
    }
    if message.to_bytes().map_err(|e| refused(&e))? != bytes {
        return Err(bad("not in its one encoding"));
    }
    let reference = message.key_package_reference(&Provider::default()).map_err(|e| refused(&e))?;
    let package = message.into_key_package().ok_or(bad("of another kind"))?;
    if package.version != ProtocolVersion::MLS_10 || package.cipher_suite != SUITE {
        return Err(bad("another version or suite"));
    }
    let reference = reference.and_then(|r| Hash::try_from(&r[..]).ok()).ok_or(bad("its reference"))?;

    let (leaf, leaf_bytes) = leaf_of(bytes).ok_or(bad("malformed"))?;
    let member = Member::verify(package.signing_identity())?;
    let key = &leaf.signing_identity.signature_key;
    verify(key, b"LeafNodeTBS", unsigned(leaf_bytes, &leaf.signature)?, &leaf.signature)?;
    let inner = bytes.get(HEAD.len()..).unwrap_or_default();
    verify(key, b"KeyPackageTBS", unsigned(inner, &package.signature)?, &package.signature)?;
    check_keys(&leaf, &package.hpke_init_key)?;
    let able = &leaf.capabilities;
    if !leaf.extensions.is_empty()
        || !able.credentials.contains(&CREDENTIAL.into())
        || !able.cipher_suites.contains(&SUITE)
    {
        return Err(bad("a leaf that can't be in our groups"));
    }
    let LeafNodeSource::KeyPackage(lifetime) = &leaf.leaf_node_source else { return Err(bad("a leaf of a group")) };
    let (from, to) = (lifetime.not_before.seconds_since_epoch(), lifetime.not_after.seconds_since_epoch());
    if seconds(now) < from || to < seconds(now) {
        return Err(bad("out of its lifetime"));
    }
    if to.saturating_sub(from) > seconds(Millis(limits::PACKAGE_MS + DAY)) {
        return Err(bad("a lifetime without end"));
    }
    Ok(Package { member, reference, expires: Millis::from_unix_seconds(to), bytes: bytes.to_vec() })
}

/// What stands before the body of an `MLSMessage` that holds a key package: version and kind (RFC 9420 §6).
const HEAD: [u8; 4] = [0, 1, 0, 5];

/// The leaf node of a key package, and its bytes: behind version, suite and init key.
fn leaf_of(bytes: &[u8]) -> Option<(LeafNode, &[u8])> {
    let mut rest = bytes.get(HEAD.len() + 4..)?;
    HpkePublicKey::mls_decode(&mut rest).ok()?;
    let from = rest;
    let leaf = LeafNode::mls_decode(&mut rest).ok()?;
    let len = from.len().checked_sub(rest.len())?;
    from.get(..len).map(|bytes| (leaf, bytes))
}

/// A signed struct without its last field, the signature.
fn unsigned<'a>(whole: &'a [u8], signature: &[u8]) -> Result<&'a [u8], PeerFault> {
    let end = whole.len().checked_sub(byte_vec::mls_encoded_len(&signature));
    end.and_then(|end| whole.get(..end)).ok_or(PeerFault::KeyPackage("malformed"))
}

/// VerifyWithLabel (RFC 9420 §5.1.2).
fn verify(key: &[u8], label: &[u8], content: &[u8], signature: &[u8]) -> Result<(), PeerFault> {
    let mut input = Vec::with_capacity(content.len() + 32);
    let label = [b"MLS 1.0 ", label].concat();
    for part in [&label[..], content] {
        byte_vec::mls_encode(&part, &mut input).map_err(|e| refused(&MlsError::from(e)))?;
    }
    p::verify(key, signature, &input).map_err(|_| PeerFault::KeyPackage("its signature"))
}

fn check_keys(leaf: &LeafNode, init: &HpkePublicKey) -> Result<(), PeerFault> {
    let suite = Provider::default();
    if leaf.public_key == *init {
        return Err(PeerFault::KeyPackage("one key for two jobs"));
    }
    for key in [&leaf.public_key, init] {
        suite.kem_public_key_validate(key).map_err(|_| PeerFault::KeyPackage("a key that is none"))?;
    }
    Ok(())
}
