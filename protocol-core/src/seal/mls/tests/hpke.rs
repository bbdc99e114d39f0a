//! HPKE: the known answers of RFC 9180, and the counter.

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
    ledger::take();
    for used in [0, 1, 1 << 32, (1 << 32) + 1, 1 << 63] {
        sender.wind_to(used);
        sender.seal_next(b"", b"text").unwrap();
    }
    let used: std::collections::BTreeSet<_> = ledger::take().into_iter().collect();
    assert_eq!(used.len(), 5);
}
