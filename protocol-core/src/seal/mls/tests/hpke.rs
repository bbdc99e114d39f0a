//! HPKE: the known answers of RFC 9180, and the counter.

use mls_rs_core::crypto::HpkePsk;

use super::hex;
use crate::seal::mls::hpke::{decap, derive, encap};
use crate::seal::mls::primitive::Flaw;

#[test]
fn t_063_a_counter_of_64_bits_never_wraps() {
    let (recipient, ephemeral) = (derive(b"recipient").unwrap(), derive(b"ephemeral").unwrap());
    let mut sender = encap(&ephemeral, &recipient.1, b"info", None).unwrap();
    let mut receiver = decap(&ephemeral.1, recipient.0.as_slice(), &recipient.1, b"info", None).unwrap();
    assert_eq!(sender.parts(), receiver.parts());
    for used in [0, u64::from(u32::MAX), u64::from(u32::MAX) + 1, u64::MAX - 1] {
        sender.wind_to(used);
        receiver.wind_to(used);
        let sealed = sender.seal_next(b"aad", b"text").unwrap();
        assert_eq!(receiver.open_next(b"aad", &sealed).unwrap().as_slice(), b"text");
    }
    assert_eq!(sender.seal_next(b"aad", b"text"), Err(Flaw::Spent));
    assert_eq!(receiver.open_next(b"aad", b"text").map(|_| ()), Err(Flaw::Spent));
}

#[test]
fn t_063_the_nonces_of_one_key_differ_beyond_32_bits() {
    use crate::seal::mls::primitive::ledger;
    let (recipient, ephemeral) = (derive(b"recipient").unwrap(), derive(b"ephemeral").unwrap());
    let mut sender = encap(&ephemeral, &recipient.1, b"info", None).unwrap();
    drop(ledger::take());
    for used in [0, 1, 1 << 32, (1 << 32) + 1, 1 << 63] {
        sender.wind_to(used);
        sender.seal_next(b"", b"text").unwrap();
    }
    let used: std::collections::BTreeSet<_> = ledger::take().into_iter().collect();
    assert_eq!(used.len(), 5);
}

/// RFC 9180 A.2: what is common to both modes.
const INFO: &str = "4f6465206f6e2061204772656369616e2055726e";
const TEXT: &str = "4265617574792069732074727574682c20747275746820626561757479";

#[test]
fn the_known_answers_of_rfc_9180_in_base_mode() {
    let ephemeral = derive(&hex("909a9b35d3dc4713a5e72a4da274b55d3d3821a37e5d099e74a647db583a904b")).unwrap();
    let recipient = derive(&hex("1ac01f181fdf9f352797655161c58b75c656a6cc2716dcb66372da835542e1df")).unwrap();
    assert_eq!(ephemeral.1[..], hex("1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a"));
    assert_eq!(ephemeral.0[..], hex("f4ec9b33b792c372c1d2c2063507b684ef925b8c75a42dbcbf57d63ccd381600"));
    assert_eq!(recipient.1[..], hex("4310ee97d88cc1f088a5576c77ab0cf5c3ac797f3d95139c6c84b5429c59662a"));
    assert_eq!(recipient.0[..], hex("8057991eef8f1f1af18f4a9491d16a1ce333f695d4db8e38da75975c4478e0fb"));
    let mut sender = encap(&ephemeral, &recipient.1, &hex(INFO), None).unwrap();
    let mut receiver = decap(&ephemeral.1, recipient.0.as_slice(), &recipient.1, &hex(INFO), None).unwrap();
    assert_eq!(sender.parts().0, hex("ad2744de8e17f4ebba575b3f5f5a8fa1f69c2a07f6e7500bc60ca6e3e3ec1c91"));
    assert_eq!(sender.parts().1, hex("5c4d98150661b848853b547f"));
    for (used, sealed) in [
        (0, "1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db21993c62ce81883d2dd1b51a28"),
        (1, "6b53c051e4199c518de79594e1c4ab18b96f081549d45ce015be002090bb119e85285337cc95ba5f59992dc98c"),
        (2, "71146bd6795ccc9c49ce25dda112a48f202ad220559502cef1f34271e0cb4b02b4f10ecac6f48c32f878fae86b"),
        (255, "18ab939d63ddec9f6ac2b60d61d36a7375d2070c9b683861110757062c52b8880a5f6b3936da9cd6c23ef2a95c"),
    ] {
        let aad = format!("Count-{used}");
        sender.wind_to(used);
        receiver.wind_to(used);
        assert_eq!(sender.seal_next(aad.as_bytes(), &hex(TEXT)).unwrap(), hex(sealed));
        assert_eq!(receiver.open_next(aad.as_bytes(), &hex(sealed)).unwrap().as_slice(), hex(TEXT));
    }
}

#[test]
fn the_known_answer_of_rfc_9180_with_a_psk() {
    let ephemeral = derive(&hex("35706a0b09fb26fb45c39c2f5079c709c7cf98e43afa973f14d88ece7e29c2e3")).unwrap();
    let public = hex("13640af826b722fc04feaa4de2f28fbd5ecc03623b317834e7ff4120dbe73062");
    let secret = hex("77d114e0212be51cb1d76fa99dd41cfd4d0166b08caa09074430a6c59ef17879");
    let psk = hex("0247fd33b913760fa1fa51e1892d9f307fbe65eb171e8132c2af18555a738b82");
    let psk = HpkePsk::new(b"Ennyn Durin aran Moria", &psk);
    let sealed = hex("4a177f9c0d6f15cfdf533fb65bf84aecdc6ab16b8b85b4cf65a370e07fc1d78d28fb073214525276f4a89608ff");
    let mut sender = encap(&ephemeral, &public, &hex(INFO), Some(&psk)).unwrap();
    assert_eq!(sender.seal_next(b"Count-0", &hex(TEXT)).unwrap(), sealed);
    let mut receiver = decap(&ephemeral.1, &secret, &public, &hex(INFO), Some(&psk)).unwrap();
    assert_eq!(receiver.open_next(b"Count-0", &sealed).unwrap().as_slice(), hex(TEXT));
    let short = HpkePsk::new(b"id", &[7; 31]);
    assert_eq!(encap(&ephemeral, &public, b"", Some(&short)).map(|_| ()), Err(Flaw::Length));
}
