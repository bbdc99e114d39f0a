//! A new device joins by the code on its screen, and the node between learns and changes nothing.

use std::collections::BTreeMap;

use postline_core::fault::PeerFault;
use postline_core::id::Address;
use postline_core::limits;
use postline_core::seal::join::{Grant, Joining, Request};
use postline_core::seal::tries::Tries;
use postline_core::seal::{AddressIdentity, Level, Pin, Secret};
use postline_core::time::Millis;

use super::kit::{ANN, BOB, address, dk, key, tick};

fn grant() -> Grant {
    let pin = Pin { identity: key(11).identity(), ak: key(11), level: Level::Compared };
    Grant {
        identity: key(1).identity(),
        ak: Secret::new([1; 32]),
        archive: Secret::new([77; 32]),
        pins: BTreeMap::from([(address(BOB), pin)]),
    }
}

fn begin(entropy: u8) -> (Joining, Request) {
    let joining = Joining::begin(&tick(1_000, entropy), address(ANN), dk(2));
    let request = Request::parse(joining.request()).unwrap();
    (joining, request)
}

/// The old device, with the code that was typed.
fn answer(request: &Request, typed: &str) -> Result<Vec<u8>, PeerFault> {
    request.grant(&tick(2_000, 50), &mut Tries::default(), typed, (&address(ANN), dk(1)), &grant())
}

#[test]
fn a_new_device_is_given_the_key_by_an_old_one() {
    let (joining, request) = begin(1);
    assert_eq!((&request.address, request.dk, request.until), (&address(ANN), dk(2), joining.until()));
    for typed in [joining.code().to_string(), joining.qr().to_string(), joining.code().to_lowercase()] {
        let (from, got) = joining.open(Millis(3_000), &answer(&request, &typed).unwrap()).unwrap();
        assert_eq!((from, &got), (dk(1), &grant()));
        assert_eq!(AddressIdentity::new(&got.ak).ak(), key(1));
    }
}

#[test]
fn a_wrong_code_hands_nothing_over_and_tries_run_out() {
    let (joining, request) = begin(1);
    let other = begin(2).0.code();
    let mut tries = Tries::default();
    let mut typed =
        |code: &str, now| request.grant(&tick(now, 50), &mut tries, code, (&address(ANN), dk(1)), &grant()).map(|_| ());
    for _ in 0..limits::CODE_TRIES - 1 {
        assert_eq!(typed(&other, 2_000), Err(PeerFault::WrongCode));
    }
    assert_eq!(typed("not a code at all", 2_000), Err(PeerFault::WrongCode));
    // Not even the right one now.
    assert!(matches!(typed(&joining.code(), 2_000), Err(PeerFault::Rate { .. })));
    assert_eq!(answer(&request, &joining.code()).map(|_| ()), Ok(()));
}

#[test]
fn an_expired_code_is_good_for_nothing_at_either_end() {
    let (joining, request) = begin(1);
    let end = 1_000 + limits::CODE_MS;
    let give =
        |now| request.grant(&tick(now, 50), &mut Tries::default(), &joining.code(), (&address(ANN), dk(1)), &grant());
    assert_eq!(give(end + 1), Err(PeerFault::WrongCode));
    let answer = give(end).unwrap();
    assert_eq!(joining.open(Millis(end + 1), &answer), Err(PeerFault::WrongCode));
    assert!(joining.open(Millis(end), &answer).is_ok());
}

/// [I-19]
#[test]
fn t_073_a_node_puts_no_device_of_its_own_in_anothers_place() {
    let (joining, _) = begin(1);
    let bytes = joining.request().to_vec();
    // It changes any byte of the request: another key, another share, a longer time.
    let (mut refused, mut malformed) = (0, 0);
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        match Request::parse(&changed) {
            Ok(request) => {
                assert_eq!(answer(&request, &joining.code()), Err(PeerFault::WrongCode), "byte {at}");
                refused += 1;
            }
            Err(_) => malformed += 1,
        }
    }
    assert!(refused > 100 && malformed > 5, "{refused}, {malformed}");
    // Or it asks by itself, with a code that it knows: that is not the code that the person types.
    let (_, ghost) = begin(66);
    assert_eq!(answer(&ghost, &joining.code()), Err(PeerFault::WrongCode));
}

/// [I-20]
#[test]
fn a_node_hands_over_no_key_of_its_own() {
    let (joining, request) = begin(1);
    // It knows the request, but not the code: it answers under another one.
    let (other, _) = begin(2);
    let forged = Request::parse(Joining::begin(&tick(1_000, 2), address(ANN), dk(2)).request()).unwrap();
    let answer_to_other = answer(&forged, &other.code()).unwrap();
    assert_eq!(joining.open(Millis(3_000), &answer_to_other), Err(PeerFault::WrongCode));
    // And changes nothing of a good one.
    let good = answer(&request, &joining.code()).unwrap();
    for at in 0..good.len() {
        let mut changed = good.clone();
        changed[at] ^= 1;
        assert!(joining.open(Millis(3_000), &changed).is_err(), "byte {at}");
    }
    for cut in 0..good.len() {
        assert!(joining.open(Millis(3_000), &good[..cut]).is_err(), "cut at {cut}");
    }
    assert!(joining.open(Millis(3_000), &[&good[..], &[0]].concat()).is_err());
    assert!(joining.open(Millis(3_000), &good).is_ok(), "and the device still waits for it");
}

#[test]
fn t_068_a_share_that_makes_zero_of_every_secret_is_refused() {
    let (joining, request) = begin(1);
    let good = answer(&request, &joining.code()).unwrap();
    // [4 items, version, head and dk of 34, head and share of 34, box]
    assert_eq!(good[36..38], [0x58, 32]);
    for weak in [[0; 32], {
        let mut one = [0; 32];
        one[0] = 1;
        one
    }] {
        let mut changed = good.clone();
        changed[38..70].copy_from_slice(&weak);
        assert_eq!(joining.open(Millis(3_000), &changed), Err(PeerFault::Sealed("a weak key")));
    }
}

#[test]
fn a_request_for_another_address_or_by_the_same_device_is_refused() {
    let joining = Joining::begin(&tick(1_000, 1), address(BOB), dk(2));
    let request = Request::parse(joining.request()).unwrap();
    assert_eq!(answer(&request, &joining.code()), Err(PeerFault::WrongCode));
    let joining = Joining::begin(&tick(1_000, 1), address(ANN), dk(1));
    let request = Request::parse(joining.request()).unwrap();
    assert_eq!(answer(&request, &joining.code()), Err(PeerFault::WrongCode));
}

#[test]
fn a_grant_that_fits_into_no_note_is_refused() {
    let (joining, request) = begin(1);
    let pin = Pin { identity: key(11).identity(), ak: key(11), level: Level::Compared };
    let name = |at: usize| Address::parse(&format!("person{at}@b.example")).unwrap();
    let many = Grant { pins: (0..limits::NOTE_BYTES / 64).map(|at| (name(at), pin)).collect(), ..grant() };
    let mut tries = Tries::default();
    let refused = request.grant(&tick(2_000, 50), &mut tries, &joining.code(), (&address(ANN), dk(1)), &many);
    assert!(matches!(refused, Err(PeerFault::TooBig { what: "join", .. })));
    let long = vec![0; limits::NOTE_BYTES + 1];
    assert!(matches!(joining.open(Millis(3_000), &long), Err(PeerFault::TooBig { what: "join", .. })));
    assert!(matches!(Request::parse(&vec![0; limits::JOIN_BYTES + 1]), Err(PeerFault::TooBig { what: "join", .. })));
}
