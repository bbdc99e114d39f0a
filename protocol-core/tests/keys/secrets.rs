//! [K-5]: what holds a secret prints none of it.

use std::collections::BTreeMap;
use std::fmt::Debug;

use postline_core::seal::code::{Card, Comparison, Parties, Shown, Side};
use postline_core::seal::join::{Grant, Joining};
use postline_core::seal::phrase::Phrase;
use postline_core::seal::tries::Tries;
use postline_core::seal::vault::Backup;
use postline_core::seal::{AddressIdentity, DeviceIdentity, NodeIdentity, Secret};
use postline_core::time::Millis;

use super::kit::{ANN, address, ann, bob, dk, hash, key, tick};

/// How bytes are printed by those who don't care: numbers, or hex.
fn shows(printed: &str, bytes: &[u8]) -> bool {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let numbers = format!("{bytes:?}");
    printed.to_lowercase().contains(&hex) || printed.contains(numbers.trim_matches(['[', ']']))
}

#[track_caller]
fn silent(value: &impl Debug, secrets: &[&[u8]]) {
    for printed in [format!("{value:?}"), format!("{value:#?}").replace(['\n', ' '], "")] {
        assert!(printed.contains("Secret(..)"), "{printed}");
        for secret in secrets {
            assert!(!shows(&printed, &secret[..4]), "{printed}");
        }
    }
}

/// [K-5]
#[test]
fn t_089_what_holds_a_secret_prints_none_of_it() {
    assert!(shows("Key([170, 171, 172, 173])", &[170, 171, 172, 173]) && shows("AAabACad", &[0xaa, 0xab, 0xac, 0xad]));
    let seed = Secret::new([0xa5; 32]);
    let bytes: &[u8] = &[0xa5; 32];
    silent(&seed, &[bytes]);
    silent(&NodeIdentity::new(&seed, postline_core::id::NodeKey([9; 32])), &[bytes]);
    silent(&AddressIdentity::new(&seed), &[bytes]);
    silent(&DeviceIdentity::new(&seed), &[bytes]);
    let phrase = Phrase::draw(&tick(0, 1), "backup");
    let shown = phrase.show();
    silent(&phrase, &[shown.as_bytes()]);
    assert_eq!(phrase.to_string(), "Secret(..)");
    assert!(!format!("{phrase:?}").contains(&shown[..4]));
    let (identity, ak, archive, next) = (key(1).identity(), seed.clone(), seed.clone(), seed.clone());
    let pins = BTreeMap::new();
    silent(&Grant { identity, ak: ak.clone(), archive: archive.clone(), pins: pins.clone() }, &[bytes]);
    silent(&Backup { identity, address: address(ANN), made: Millis(0), ak, next, archive, pins }, &[bytes]);
    let joining = Joining::begin(&tick(0, 1), address(ANN), dk(2));
    silent(&joining, &[joining.code().as_bytes()]);
    assert!(!format!("{joining:?}").contains(&joining.code()[..4]));

    let ((_, ann), (_, bob)) = (ann(), bob(false));
    let side = |chain: &postline_core::seal::lists::Chain| Side {
        address: chain.address().clone(),
        identity: chain.identity(),
        ak: chain.ak(),
    };
    let parties = Parties { t2: hash(7), ours: side(&ann), theirs: side(&bob) };
    let (comparison, _) = Comparison::start(&tick(0, 1), &mut Tries::default(), parties.clone()).unwrap();
    silent(&comparison, &[]);
    let shown = Shown::new(&tick(0, 1), &mut Tries::default(), &parties, &ann).unwrap();
    silent(&shown, &[]);
    silent(&Card::parse(&shown.text()).unwrap(), &[]);
    let step = tick(0, 0xa5);
    assert_eq!(step.now, Millis(0));
}

/// [K-5]
#[test]
fn t_090_what_holds_a_secret_wipes_it() {
    fn wipes<T: zeroize::ZeroizeOnDrop>() {}
    wipes::<Secret<10>>();
    wipes::<Secret<32>>();
    wipes::<ed25519_dalek::SigningKey>();
    wipes::<x25519_dalek::StaticSecret>();
    wipes::<chacha20poly1305::ChaCha20Poly1305>();
}
