//! What may replace what is known of a key.

use postline_core::fault::PeerFault;
use postline_core::seal::address::open;
use postline_core::seal::lists::{Chain, KeyChange, Succession};
use postline_core::seal::{Level, Pin};
use postline_core::wire::keys::KeyProof;
use postline_core::wire::list::DeviceList;

use super::kit::{ANN, BOB, address, ak, ann, device, forged, hash, key};

fn pin(seed: u8, level: Level) -> Pin {
    Pin { identity: key(seed).identity(), ak: key(seed), level }
}

/// [I-12]
#[test]
fn t_010_what_proves_less_never_overwrites_what_was_proven() {
    let levels = [Level::Claimed, Level::Proven, Level::Compared];
    for known in levels {
        for said in levels {
            let same = pin(1, known).meet(&pin(1, said)).unwrap();
            assert_eq!(same, pin(1, known.max(said)), "a level only rises");
            let other = pin(1, known).meet(&pin(66, said));
            if known == Level::Claimed {
                assert_eq!(other, Ok(pin(66, said)), "a claim is worth a claim");
            } else {
                assert_eq!(other, Err(PeerFault::NewKey { got: key(66), want: key(1) }), "{known:?} by {said:?}");
            }
        }
    }
}

/// [I-9]
#[test]
fn t_014_who_takes_over_a_domain_gets_a_line_and_no_keys() {
    // Ann's domain has lapsed, and its new owner opens a line as ann@a.example, with a handshake and keys of their own.
    let (_, ann) = ann();
    let known = pin(1, Level::Proven);
    let (list, theirs) = Chain::found(address(ANN), &ak(31), key(32).hash(), false, vec![device(31)]).unwrap();
    let proof = theirs.prove(&ak(31), &address(BOB), hash(99)).unwrap();
    let alarm = Err(PeerFault::NewKey { got: key(31), want: key(1) });
    assert_eq!(ann.judge(&open::<DeviceList>(list.bytes()).unwrap()), alarm.clone());
    assert_eq!(
        ann.proves(&address(BOB), hash(99), &open::<KeyProof>(proof.bytes()).unwrap()).map(|_| ()),
        alarm.clone().map(|_| ())
    );
    assert_eq!(
        known.meet(&pin(31, Level::Claimed)).map(|_| ()),
        alarm.map(|_: postline_core::seal::lists::Verdict| ())
    );
}

#[test]
fn t_072_a_key_from_before_does_not_come_back() {
    let (_, mut chain) = ann();
    let (_, extension) = chain.draft().rotate(key(2), key(3).hash()).sign(&ak(2)).unwrap();
    let change = extension.key.unwrap();
    chain.take(extension);
    let now = pin(1, Level::Compared).follow(&change).unwrap();
    assert_eq!(now, Pin { identity: key(1).identity(), ak: key(2), level: Level::Compared }, "the same person");
    let old = now.meet(&pin(1, Level::Claimed));
    assert_eq!(old, Err(PeerFault::NewKey { got: key(1), want: key(2) }));
    assert_eq!(now.follow(&change), Err(PeerFault::NewKey { got: key(2), want: key(2) }), "a change happens once");
}

/// [I-7]
#[test]
fn a_handed_over_key_was_compared_by_nobody() {
    let change = KeyChange { from: key(1), to: key(21), how: Succession::HandedOver };
    assert_eq!(pin(1, Level::Compared).follow(&change).unwrap().level, Level::Proven);
    assert_eq!(pin(1, Level::Proven).follow(&change).unwrap().level, Level::Proven);
    assert_eq!(pin(1, Level::Claimed).follow(&change).unwrap().level, Level::Claimed);
}

#[test]
fn t_085_nobody_is_made_to_start_anew() {
    // A "new" first list without the person's key changes neither chain nor pin; with their key it is a fork.
    let (_, chain) = ann();
    let before = chain.clone();
    let (anew, _) = Chain::found(address(ANN), &ak(66), key(67).hash(), false, vec![device(66)]).unwrap();
    assert!(chain.judge(&anew).is_err_and(|fault| fault.is_alarm()));
    let again = forged(&chain, 1, |list| {
        (list.number, list.prev) = (1, None);
        list.devices.push(device(66));
    });
    assert_eq!(chain.judge(&again), Err(PeerFault::ListFork(1)));
    assert_eq!(chain, before);
}

/// [I-2]
#[test]
fn t_070_no_statement_has_another_version() {
    // The version is within what is signed: changed on the way, the signature fails; signed so, it isn't known.
    let (list, chain) = ann();
    let at = list.bytes().iter().position(|byte| *byte == 0x8b).unwrap() + 1;
    assert_eq!(list.bytes()[at], 1);
    for version in [0, 2, 23] {
        let mut bytes = list.bytes().to_vec();
        bytes[at] = version;
        assert_eq!(open::<DeviceList>(&bytes), Err(PeerFault::List("version 1")));
    }
    assert_eq!(chain.judge(&list).map(|_| ()), Ok(()));
}
