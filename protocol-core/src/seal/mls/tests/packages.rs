//! Key packages and leaves that a hostile device makes, each well signed and wrong in one way.

use mls_rs::MlsMessage;
use mls_rs::mls_rs_codec::{MlsEncode, byte_vec};

use super::{NOW, TALK, device, hex, tick, two};
use crate::fault::PeerFault;
use crate::seal::address::open;
use crate::seal::mls::member::signing_identity;
use crate::seal::mls::primitive as p;
use crate::seal::mls::{Group, Me, Package, Refusal, make, read};
use crate::seal::{AddressIdentity, DeviceIdentity, Secret, verify};
use crate::step::Outbox;
use crate::store::sha256;
use crate::time::Millis;
use crate::wire::leaf::Leaf;
use crate::wire::signed::{Role, Signable};
use crate::wire::statement::Signed;

fn package(name: &str) -> (DeviceIdentity, Vec<u8>) {
    let (device, leaf) = device(name);
    let made = make(&tick(1), 0, Me { device: &device, leaf: &leaf }, false).unwrap();
    (device, made.public)
}

/// Changes a package's body and signs it anew, as its device would.
fn signed_again(device: &DeviceIdentity, package: &[u8], change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut body = package[4..package.len() - 66].to_vec();
    change(&mut body);
    let mut input = Vec::new();
    byte_vec::mls_encode(&b"MLS 1.0 KeyPackageTBS".as_slice(), &mut input).unwrap();
    byte_vec::mls_encode(&body.as_slice(), &mut input).unwrap();
    let signature = p::sign(device.seed().expose(), &input).unwrap();
    [&package[..4], &body, &[0x40, 0x40], &signature].concat()
}

/// [G-1] [G-2]
#[test]
fn t_068_a_package_with_a_key_that_is_none_is_refused() {
    let (device, good) = package("ann");
    assert!(read(&signed_again(&device, &good, |_| {}), NOW).is_ok());
    let bad = |fault| Err(PeerFault::KeyPackage(fault));
    for low in [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ] {
        let spoiled = signed_again(&device, &good, |body| body[5..37].copy_from_slice(&hex(low)));
        assert_eq!(read(&spoiled, NOW), bad("a key that is none"), "{low}");
    }
    // The leaf's own key, once more for the other job: it stands behind the init key.
    let twice = signed_again(&device, &good, |body| {
        let leafs = body[38..70].to_vec();
        body[5..37].copy_from_slice(&leafs);
    });
    assert_eq!(read(&twice, NOW), bad("one key for two jobs"));
    for (at, byte) in [(1, 2), (3, 1)] {
        let other = signed_again(&device, &good, |body| body[at] = byte);
        assert!(matches!(read(&other, NOW), Err(PeerFault::KeyPackage(_))), "byte {at}");
    }
}

/// [G-1]
#[test]
fn t_067_a_leaf_is_signed_as_a_leaf_and_for_its_device() {
    let (ann, leaf) = device("ann");
    let (bob, _) = device("bob");
    let value = leaf.value().clone();
    let seed = Secret::new(sha256(&[b"ak", b"ann"]).0);
    for role in Role::ALL {
        let signature = p::sign(seed.expose(), &role.input(&value.canonical())).unwrap();
        let forged = Signed::made(value.clone(), &signature);
        let made = make(&tick(1), 0, Me { device: &ann, leaf: &forged }, false).unwrap();
        assert_eq!(read(&made.public, NOW).is_ok(), role == Role::Leaf, "{role:?}");
    }
    // A leaf of Ann's device is none of Bob's: neither is it made, nor read.
    assert!(make(&tick(1), 0, Me { device: &bob, leaf: &leaf }, false).is_err());
    let (_, good) = package("ann");
    let spot = good.windows(32).position(|window| window == ann.dk().0).unwrap();
    let mut others = good.clone();
    others[spot..spot + 32].copy_from_slice(&bob.dk().0);
    assert!(read(&others, NOW).is_err());
    // What MLS signs with a device's key, and what we sign with it, begin otherwise: neither is taken for the other.
    let message = MlsMessage::from_bytes(&good).unwrap().into_key_package().unwrap();
    for role in Role::ALL {
        assert!(verify(ann.dk(), role, &good[4..good.len() - 66], &message.signature).is_err());
        assert_ne!(role.input(b"")[0], message.mls_encode_to_vec().unwrap()[0]);
    }
}

fn packages(of: &[&[u8]]) -> Vec<Package> {
    of.iter().map(|bytes| read(bytes, NOW).unwrap()).collect()
}

#[test]
fn a_device_is_in_a_group_once() {
    let (mut ann, _, _) = two();
    let ((anns, leaf), (_, carol), (_, bob)) = (device("ann"), package("carol"), package("bob"));
    let me = Me { device: &anns, leaf: &leaf };
    let mut out = Outbox::<()>::new();
    for twice in [packages(&[&carol, &carol]), packages(&[&bob])] {
        let refused = ann.commit(&tick(40), me, &twice, &[], &mut out);
        assert!(matches!(refused, Err(Refusal::Peer(PeerFault::KeyPackage(_)))), "{refused:?}");
        assert!(!ann.has_pending());
    }
    let mut late = tick(41);
    late.now = Millis(NOW.0 + crate::limits::PACKAGE_MS + 1_000);
    let refused = ann.commit(&late, me, &packages(&[&carol]), &[], &mut out);
    assert_eq!(refused, Err(Refusal::Peer(PeerFault::KeyPackage("out of its lifetime"))));
    assert!(ann.commit(&tick(42), me, &packages(&[&carol]), &[], &mut out).is_ok());
    assert!(matches!(ann.commit(&tick(43), me, &[], &[], &mut out), Err(Refusal::Misuse(_))), "one at a time");
    ann.discard(&mut out).unwrap();
    assert!(ann.merge(&tick(44), &mut out).is_err());
}

fn leaf_of_list(name: &str, number: u64) -> Signed<Leaf> {
    let ak = AddressIdentity::new(&Secret::new(sha256(&[b"ak", name.as_bytes()]).0));
    ak.state(Leaf { number, ..device(name).1.value().clone() }).unwrap()
}

/// [G-1]
#[test]
fn t_072_a_leaf_follows_a_newer_list_and_no_older_one() {
    let (mut ann, mut bob, _) = two();
    let (anns, _) = device("ann");
    let newer = leaf_of_list("ann", 3);
    let mut out = Outbox::<()>::new();
    let change = ann.commit(&tick(40), Me { device: &anns, leaf: &newer }, &[], &[], &mut out).unwrap();
    ann.merge(&tick(41), &mut out).unwrap();
    let applied = bob.apply(&tick(42), &change.commit, &mut |_| Ok(()), &mut out).unwrap();
    assert_eq!(applied.changed.iter().map(|m| m.list).collect::<Vec<_>>(), [3]);
    // By itself our device doesn't go back; another's engine may try.
    let older = leaf_of_list("ann", 2);
    let change = ann.commit(&tick(43), Me { device: &anns, leaf: &older }, &[], &[], &mut out).unwrap();
    assert_eq!(bob.apply(&tick(44), &change.commit, &mut |_| Ok(()), &mut out).unwrap().changed, []);
    ann.merge(&tick(45), &mut out).unwrap();
    let before = bob.epoch();
    for wrong in [older, leaf_of_another()] {
        let filled = ann.fill(&tick(46), "test");
        let seed = anns.seed().expose().to_vec();
        let builder = ann.engine.commit_builder().set_new_signing_identity(seed.into(), signing_identity(&wrong));
        let commit = builder.build().unwrap().commit_message.to_bytes().unwrap();
        drop(filled);
        ann.engine.clear_pending_commit();
        let refused = bob.apply(&tick(47), &commit, &mut |_| Ok(()), &mut out);
        assert_eq!(refused, Err(PeerFault::Sealed("another device's leaf")));
        assert_eq!(bob.epoch(), before);
    }
}

fn leaf_of_another() -> Signed<Leaf> {
    let ak = AddressIdentity::new(&Secret::new([0xee; 32]));
    let (identity, key) = (ak.ak().identity(), ak.ak());
    ak.state(Leaf { identity, ak: key, number: 9, ..device("ann").1.value().clone() }).unwrap()
}

#[test]
fn the_caller_judges_who_comes() {
    let (mut ann, mut bob, _) = two();
    let (anns, leaf) = device("ann");
    let (_, ghost) = package("mallory");
    let mut out = Outbox::<()>::new();
    let me = Me { device: &anns, leaf: &leaf };
    let change = ann.commit(&tick(40), me, &packages(&[&ghost]), &[], &mut out).unwrap();
    let (members, epoch) = (bob.members(), bob.epoch());
    let mut out = Outbox::<()>::new();
    let refused = bob.apply(
        &tick(41),
        &change.commit,
        &mut |applied| {
            assert_eq!(
                applied.added.iter().map(|m| m.address.to_string()).collect::<Vec<_>>(),
                ["mallory@mallory.example"]
            );
            Err(PeerFault::Keys("nobody of this line"))
        },
        &mut out,
    );
    assert_eq!(refused, Err(PeerFault::Keys("nobody of this line")));
    assert!(out.is_empty());
    assert_eq!((bob.members(), bob.epoch()), (members, epoch));
    assert!(bob.apply(&tick(42), &change.commit, &mut |_| Ok(()), &mut out).is_ok());
}

/// What was read of a leaf in the group is what `open` says of its bytes.
#[test]
fn t_086_a_member_is_what_the_credential_says() {
    let (ann, _, _) = two();
    let (_, leaf) = device("bob");
    let bob = ann.members().into_iter().find(|m| m.dk == leaf.value().dk).unwrap();
    let said = open::<Leaf>(leaf.bytes()).unwrap().value().clone();
    assert_eq!(
        (bob.address, bob.identity, bob.ak, bob.list, bob.hosted),
        (said.address, said.identity, said.ak, 1, false)
    );
    assert_eq!(Group::conversation(&ann), TALK);
}

/// The features that wipe secrets are on: without them, this doesn't compile.
#[test]
fn t_090_secrets_are_wiped_when_dropped() {
    const fn wiped<T: zeroize::ZeroizeOnDrop>() {}
    wiped::<Secret<32>>();
    wiped::<ed25519_dalek::SigningKey>();
    wiped::<x25519_dalek::StaticSecret>();
    wiped::<x25519_dalek::SharedSecret>();
    wiped::<chacha20poly1305::ChaCha20Poly1305>();
    wiped::<sha2::Sha256>();
    wiped::<mls_rs::crypto::HpkeSecretKey>();
    wiped::<mls_rs::crypto::SignatureSecretKey>();
}
