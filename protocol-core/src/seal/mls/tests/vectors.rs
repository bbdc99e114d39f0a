//! The MLS working group's test vectors, cut to our suite. They are read in place, beside the checkout or where
//! `POSTLINE_VECTORS` says; where they are not, a test says so and passes.
//!
//! What the engine keeps to itself (key schedule, secret tree, transcript, PSK secret, framing) is derived here from our
//! primitives as RFC 9420 says; Welcomes and commits go through the engine itself, on our primitives.

#[path = "../../../../tests/inside/vectors.rs"]
mod place;

use serde_json::Value;

use super::hex;
use crate::seal::mls::hpke;
use crate::seal::mls::primitive as p;

/// A file of vectors, each through `check`.
fn each(name: &str, check: impl Fn(&Value)) {
    let Some(text) = place::read(&format!("rfc9420-suite3/{name}")) else { return };
    let vectors: Vec<Value> = serde_json::from_str(&text).unwrap();
    assert!(!vectors.is_empty());
    vectors.iter().for_each(check);
}

fn bytes(value: &Value) -> Vec<u8> {
    hex(value.as_str().unwrap())
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

/// A vector with its length before it (RFC 9420 §2.1.2).
fn opaque(content: &[u8]) -> Vec<u8> {
    let len = content.len();
    let head = match len {
        0..=63 => vec![len as u8],
        64..=16_383 => (0x4000 | len as u16).to_be_bytes().to_vec(),
        _ => (0x8000_0000 | len as u32).to_be_bytes().to_vec(),
    };
    [head, content.to_vec()].concat()
}

/// Takes a vector off the front.
fn take<'a>(from: &mut &'a [u8]) -> &'a [u8] {
    let (head, len) = match from[0] >> 6 {
        0 => (1, usize::from(from[0])),
        1 => (2, usize::from(u16::from_be_bytes([from[0] & 0x3f, from[1]]))),
        _ => (4, u32::from_be_bytes([from[0] & 0x3f, from[1], from[2], from[3]]) as usize),
    };
    let (taken, rest) = from[head..].split_at(len);
    *from = rest;
    taken
}

fn take_fixed<'a>(from: &mut &'a [u8], len: usize) -> &'a [u8] {
    let (taken, rest) = from.split_at(len);
    *from = rest;
    taken
}

fn labelled(label: &str, content: &[u8]) -> Vec<u8> {
    [opaque(format!("MLS 1.0 {label}").as_bytes()), opaque(content)].concat()
}

fn expand(secret: &[u8], label: &str, context: &[u8], len: u16) -> Vec<u8> {
    p::expand(secret, &[len.to_be_bytes().to_vec(), labelled(label, context)].concat(), len.into()).unwrap().to_vec()
}

fn derive(secret: &[u8], label: &str) -> Vec<u8> {
    expand(secret, label, b"", 32)
}

fn open_with_label(private: &[u8], label: &str, context: &[u8], kem: &[u8], sealed: &[u8]) -> Vec<u8> {
    let public = p::point(private).unwrap();
    let mut receiver = hpke::decap(kem, private, &public, &labelled(label, context), None).unwrap();
    receiver.open_next(b"", sealed).unwrap().to_vec()
}

#[test]
fn rfc_9420_crypto_basics() {
    each("crypto-basics.json", |v| {
        let t = &v["derive_secret"];
        assert_eq!(derive(&bytes(&t["secret"]), t["label"].as_str().unwrap()), bytes(&t["out"]));
        let t = &v["derive_tree_secret"];
        let generation = (number(&t["generation"]) as u32).to_be_bytes();
        let (label, len) = (t["label"].as_str().unwrap(), number(&t["length"]) as u16);
        assert_eq!(expand(&bytes(&t["secret"]), label, &generation, len), bytes(&t["out"]));
        let t = &v["expand_with_label"];
        let (label, len) = (t["label"].as_str().unwrap(), number(&t["length"]) as u16);
        assert_eq!(expand(&bytes(&t["secret"]), label, &bytes(&t["context"]), len), bytes(&t["out"]));
        let t = &v["ref_hash"];
        let input = [opaque(t["label"].as_str().unwrap().as_bytes()), opaque(&bytes(&t["value"]))].concat();
        assert_eq!(p::hash(&[&input])[..], bytes(&t["out"]));
        let t = &v["sign_with_label"];
        let input = labelled(t["label"].as_str().unwrap(), &bytes(&t["content"]));
        assert_eq!(p::verify(&bytes(&t["pub"]), &bytes(&t["signature"]), &input), Ok(()));
        let ours = p::sign(&bytes(&t["priv"]), &input).unwrap();
        assert_eq!(ours[..], bytes(&t["signature"]), "Ed25519 signs in one way only");
        let t = &v["encrypt_with_label"];
        let (label, context) = (t["label"].as_str().unwrap(), bytes(&t["context"]));
        let opened =
            open_with_label(&bytes(&t["priv"]), label, &context, &bytes(&t["kem_output"]), &bytes(&t["ciphertext"]));
        assert_eq!(opened, bytes(&t["plaintext"]));
        let ephemeral = hpke::derive(b"ephemeral").unwrap();
        let mut sender = hpke::encap(&ephemeral, &bytes(&t["pub"]), &labelled(label, &context), None).unwrap();
        let sealed = sender.seal_next(b"", &bytes(&t["plaintext"])).unwrap();
        let opened = open_with_label(&bytes(&t["priv"]), label, &context, &ephemeral.1, &sealed);
        assert_eq!(opened, bytes(&t["plaintext"]));
    });
}

#[test]
fn rfc_9420_key_schedule() {
    each("key-schedule.json", |v| {
        let group_id = bytes(&v["group_id"]);
        let mut init = bytes(&v["initial_init_secret"]);
        for (epoch, t) in v["epochs"].as_array().unwrap().iter().enumerate() {
            let context = [
                &[0, 1, 0, 3][..],
                &opaque(&group_id),
                &(epoch as u64).to_be_bytes(),
                &opaque(&bytes(&t["tree_hash"])),
                &opaque(&bytes(&t["confirmed_transcript_hash"])),
                &[0],
            ]
            .concat();
            assert_eq!(context, bytes(&t["group_context"]));
            let joiner = expand(&p::extract(&init, &bytes(&t["commit_secret"])), "joiner", &context, 32);
            assert_eq!(joiner, bytes(&t["joiner_secret"]));
            let member = p::extract(&joiner, &bytes(&t["psk_secret"]));
            assert_eq!(derive(&member, "welcome"), bytes(&t["welcome_secret"]));
            let secret = expand(&member, "epoch", &context, 32);
            for (label, name) in [
                ("sender data", "sender_data_secret"),
                ("encryption", "encryption_secret"),
                ("exporter", "exporter_secret"),
                ("external", "external_secret"),
                ("confirm", "confirmation_key"),
                ("membership", "membership_key"),
                ("resumption", "resumption_psk"),
                ("authentication", "epoch_authenticator"),
                ("init", "init_secret"),
            ] {
                assert_eq!(derive(&secret, label), bytes(&t[name]), "{name}");
            }
            let (_, external) = hpke::derive(&derive(&secret, "external")).unwrap();
            assert_eq!(external[..], bytes(&t["external_pub"]));
            let e = &t["exporter"];
            let exported = derive(&derive(&secret, "exporter"), e["label"].as_str().unwrap());
            let context = p::hash(&[&bytes(&e["context"])]);
            let out = expand(&exported, "exported", &context, number(&e["length"]) as u16);
            assert_eq!(out, bytes(&e["secret"]));
            init = derive(&secret, "init");
        }
    });
}

#[test]
fn rfc_9420_psk_secret() {
    each("psk_secret.json", |v| {
        let psks = v["psks"].as_array().unwrap();
        let mut secret = vec![0; 32];
        for (index, t) in psks.iter().enumerate() {
            let extracted = p::extract(&[0; 32], &bytes(&t["psk"]));
            let label = [
                &[1][..],
                &opaque(&bytes(&t["psk_id"])),
                &opaque(&bytes(&t["psk_nonce"])),
                &(index as u16).to_be_bytes(),
                &(psks.len() as u16).to_be_bytes(),
            ]
            .concat();
            secret = p::extract(&expand(&extracted, "derived psk", &label, 32), &secret).to_vec();
        }
        assert_eq!(secret, bytes(&v["psk_secret"]));
    });
}

/// The secret of a leaf (RFC 9420 §9).
fn leaf_secret(root: &[u8], leaves: usize, leaf: usize) -> Vec<u8> {
    let (mut secret, mut width, mut leaf) = (root.to_vec(), leaves.next_power_of_two(), leaf);
    while width > 1 {
        width /= 2;
        let side = if leaf < width { &b"left"[..] } else { b"right" };
        leaf %= width;
        secret = expand(&secret, "tree", side, 32);
    }
    secret
}

/// Key and nonce of a generation.
fn key_of(leaf: &[u8], kind: &str, generation: u32) -> (Vec<u8>, Vec<u8>) {
    let mut secret = derive(leaf, kind);
    for at in 0..generation {
        secret = expand(&secret, "secret", &at.to_be_bytes(), 32);
    }
    let at = generation.to_be_bytes();
    (expand(&secret, "key", &at, 32), expand(&secret, "nonce", &at, 12))
}

fn sender_data_key(secret: &[u8], ciphertext: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let sample = &ciphertext[..ciphertext.len().min(32)];
    (expand(secret, "key", sample, 32), expand(secret, "nonce", sample, 12))
}

#[test]
fn rfc_9420_secret_tree() {
    each("secret-tree.json", |v| {
        let t = &v["sender_data"];
        let (key, nonce) = sender_data_key(&bytes(&t["sender_data_secret"]), &bytes(&t["ciphertext"]));
        assert_eq!((key, nonce), (bytes(&t["key"]), bytes(&t["nonce"])));
        let (root, leaves) = (bytes(&v["encryption_secret"]), v["leaves"].as_array().unwrap());
        for (at, generations) in leaves.iter().enumerate() {
            let leaf = leaf_secret(&root, leaves.len(), at);
            for t in generations.as_array().unwrap() {
                let generation = number(&t["generation"]) as u32;
                for kind in ["application", "handshake"] {
                    let want = (bytes(&t[format!("{kind}_key")]), bytes(&t[format!("{kind}_nonce")]));
                    assert_eq!(key_of(&leaf, kind, generation), want);
                }
            }
        }
    });
}

#[test]
fn rfc_9420_transcript_hashes() {
    each("transcript-hashes.json", |v| {
        let content = bytes(&v["authenticated_content"]);
        let (signed, tag) = content.split_at(content.len() - 33);
        let confirmed = p::hash(&[&bytes(&v["interim_transcript_hash_before"]), signed]);
        assert_eq!(confirmed[..], bytes(&v["confirmed_transcript_hash_after"]));
        assert_eq!(p::mac(&bytes(&v["confirmation_key"]), &confirmed).unwrap()[..], tag[1..]);
        assert_eq!(p::hash(&[&confirmed, tag])[..], bytes(&v["interim_transcript_hash_after"]));
    });
}

#[test]
fn rfc_9420_message_protection() {
    each("message-protection.json", |v| {
        let context = [
            &[0, 1, 0, 3][..],
            &opaque(&bytes(&v["group_id"])),
            &number(&v["epoch"]).to_be_bytes(),
            &opaque(&bytes(&v["tree_hash"])),
            &opaque(&bytes(&v["confirmed_transcript_hash"])),
            &[0],
        ]
        .concat();
        for name in ["proposal", "commit", "application"] {
            let content = bytes(&v[name]);
            let message = bytes(&v[format!("{name}_priv")]);
            let (head, mut rest) = message.split_at(4);
            assert_eq!(head, [0, 1, 0, 2]);
            let from = rest;
            let group = take(&mut rest).to_vec();
            let epoch = take_fixed(&mut rest, 8);
            let kind = take_fixed(&mut rest, 1);
            let aad = take(&mut rest);
            let before = &from[..from.len() - rest.len()];
            let (sender_data, ciphertext) = (take(&mut rest), take(&mut rest));
            assert!(rest.is_empty());
            let (key, nonce) = sender_data_key(&bytes(&v["sender_data_secret"]), ciphertext);
            let sender_aad = [&opaque(&group)[..], epoch, kind].concat();
            let sender = p::open(&key, &nonce, &sender_aad, sender_data).unwrap();
            assert_eq!(sender[..4], 1_u32.to_be_bytes());
            let generation = u32::from_be_bytes(sender[4..8].try_into().unwrap());
            let ratchet = if name == "application" { "application" } else { "handshake" };
            let (key, mut nonce) = key_of(&leaf_secret(&bytes(&v["encryption_secret"]), 2, 1), ratchet, generation);
            nonce.iter_mut().zip(&sender[8..]).for_each(|(byte, guard)| *byte ^= guard);
            let opened = p::open(&key, &nonce, before, ciphertext).unwrap();
            let mut inner = &opened[..];
            let framed = if name == "application" {
                opaque(take(&mut inner))
            } else {
                take_fixed(&mut inner, content.len()).to_vec()
            };
            assert_eq!(framed, if name == "application" { opaque(&content) } else { content });
            // The signature is over version, wire format, content and context.
            let sender = [&[1][..], &1_u32.to_be_bytes()].concat();
            let signed = |wire: u8, aad: &[u8]| {
                [&[0, 1, 0, wire][..], &opaque(&group), epoch, &sender, &opaque(aad), kind, &framed, &context].concat()
            };
            let verifies = |wire, aad, signature| {
                let input = labelled("FramedContentTBS", &signed(wire, aad));
                assert_eq!(p::verify(&bytes(&v["signature_pub"]), signature, &input), Ok(()), "{name}");
            };
            verifies(2, aad, take(&mut inner));

            let Some(message) = v.get(format!("{name}_pub")) else { continue };
            let message = bytes(message);
            let mut rest = &message[4..];
            assert_eq!((take(&mut rest), take_fixed(&mut rest, 8)), (&group[..], epoch));
            assert_eq!(take_fixed(&mut rest, 5), sender);
            let aad = take(&mut rest);
            assert_eq!(take_fixed(&mut rest, 1), kind);
            assert_eq!(take_fixed(&mut rest, framed.len()), framed);
            let auth = rest;
            verifies(1, aad, take(&mut rest));
            if name == "commit" {
                take(&mut rest);
            }
            let authenticated = [signed(1, aad), auth[..auth.len() - rest.len()].to_vec()].concat();
            assert_eq!(p::mac(&bytes(&v["membership_key"]), &authenticated).unwrap()[..], *take(&mut rest));
        }
    });
}

#[test]
fn rfc_9420_welcome() {
    each("welcome.json", |v| {
        let package = bytes(&v["key_package"]);
        let reference = p::hash(&[&opaque(b"MLS 1.0 KeyPackage Reference"), &opaque(&package[4..])]);
        let welcome = bytes(&v["welcome"]);
        let (head, mut rest) = welcome.split_at(4);
        assert_eq!((head, take_fixed(&mut rest, 2)), (&[0, 1, 0, 3][..], &[0, 3][..]));
        let (mut secrets, sealed_info) = (take(&mut rest), take(&mut rest));
        assert_eq!(take(&mut secrets), reference);
        let (kem, sealed) = (take(&mut secrets), take(&mut secrets));
        let opened = open_with_label(&bytes(&v["init_priv"]), "Welcome", sealed_info, kem, sealed);
        let joiner = take(&mut &opened[..]);
        let member = p::extract(joiner, &[0; 32]);
        let welcome_secret = derive(&member, "welcome");
        let (key, nonce) = (expand(&welcome_secret, "key", b"", 32), expand(&welcome_secret, "nonce", b"", 12));
        let info = p::open(&key, &nonce, b"", sealed_info).unwrap();
        // GroupInfo = context, extensions, confirmation tag, signer, signature.
        let mut rest = &info[..];
        take_fixed(&mut rest, 4);
        take(&mut rest);
        take_fixed(&mut rest, 8);
        take(&mut rest);
        let transcript = take(&mut rest);
        take(&mut rest);
        let context = &info[..info.len() - rest.len()];
        take(&mut rest);
        let tag = take(&mut rest);
        take_fixed(&mut rest, 4);
        let signed = &info[..info.len() - rest.len()];
        let input = labelled("GroupInfoTBS", signed);
        assert_eq!(p::verify(&bytes(&v["signer_pub"]), take(&mut rest), &input), Ok(()));
        let confirmation = derive(&expand(&member, "epoch", context, 32), "confirm");
        assert_eq!(p::mac(&confirmation, transcript).unwrap()[..], *tag);
    });
}

mod passive {
    //! A client that joins and follows what others did, by the engine on our primitives.

    use mls_rs::client_builder::ClientBuilder;
    use mls_rs::group::{ExportedTree, ReceivedMessage};
    use mls_rs::identity::basic::BasicIdentityProvider;
    use mls_rs::mls_rs_codec::MlsDecode;
    use mls_rs::mls_rules::DefaultMlsRules;
    use mls_rs::storage_provider::{KeyPackageData, in_memory::InMemoryPreSharedKeyStorage};
    use mls_rs::{CipherSuiteProvider, MlsMessage, ProtocolVersion};
    use serde_json::Value;

    use super::{bytes, each};
    use crate::seal::mls::entropy::Entropy;
    use crate::seal::mls::provider::{Provider, SUITE};
    use crate::seal::mls::shelf::Shelf;

    fn follows(v: &Value) {
        let (shelf, provider) = (Shelf::default(), Provider { entropy: Entropy::default() });
        let message = MlsMessage::from_bytes(&bytes(&v["key_package"])).unwrap();
        let reference = message.key_package_reference(&provider).unwrap().unwrap();
        let package = message.clone().into_key_package().unwrap();
        let data = KeyPackageData::new(
            bytes(&v["key_package"])[4..].to_vec(),
            bytes(&v["init_priv"]).into(),
            bytes(&v["encryption_priv"]).into(),
            u64::MAX,
        );
        shelf.things().packages.insert(reference.to_vec(), data);
        let mut psks = InMemoryPreSharedKeyStorage::default();
        for psk in v["external_psks"].as_array().unwrap() {
            psks.insert(bytes(&psk["psk_id"]).into(), bytes(&psk["psk"]).into());
        }
        let signer = bytes(&v["signature_priv"]);
        assert_eq!(
            provider.signature_key_derive_public(&signer.clone().into()).unwrap(),
            package.signing_identity().signature_key
        );
        let client = ClientBuilder::new_empty()
            .key_package_repo(shelf.clone())
            .psk_store(psks)
            .group_state_storage(shelf)
            .mls_rules(DefaultMlsRules::new())
            .identity_provider(BasicIdentityProvider::new())
            .crypto_provider(provider)
            .used_protocol_version(ProtocolVersion::MLS_10)
            .signing_identity(package.signing_identity().clone(), signer.into(), SUITE)
            .build();
        let tree = v["ratchet_tree"].as_str().map(|_| bytes(&v["ratchet_tree"]));
        let tree = tree.map(|bytes| ExportedTree::from_bytes(&bytes).unwrap());
        let welcome = MlsMessage::mls_decode(&mut &bytes(&v["welcome"])[..]).unwrap();
        let (mut group, _) = client.join_group(tree, &welcome, None).unwrap();
        assert_eq!(group.epoch_authenticator().unwrap().as_bytes(), bytes(&v["initial_epoch_authenticator"]));
        for epoch in v["epochs"].as_array().unwrap() {
            for proposal in epoch["proposals"].as_array().unwrap() {
                group.process_incoming_message(MlsMessage::from_bytes(&bytes(proposal)).unwrap()).unwrap();
            }
            let commit = MlsMessage::from_bytes(&bytes(&epoch["commit"])).unwrap();
            let done = group.process_incoming_message(commit).unwrap();
            assert!(matches!(done, ReceivedMessage::Commit(_)));
            assert_eq!(group.epoch_authenticator().unwrap().as_bytes(), bytes(&epoch["epoch_authenticator"]));
        }
    }

    #[test]
    fn rfc_9420_passive_clients_are_welcomed() {
        each("passive-client-welcome.json", follows);
    }

    #[test]
    fn rfc_9420_passive_clients_follow_commits() {
        each("passive-client-handling-commit.json", follows);
    }
}
