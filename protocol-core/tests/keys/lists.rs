//! Which list may follow which: devices come and go, keys change by right, and nothing else does.

use postline_core::fault::{Misuse, PeerFault, RestoreError};
use postline_core::id::DeviceKey;
use postline_core::limits;
use postline_core::seal::address::open;
use postline_core::seal::lists::{Chain, KeyChange, Proof, Standing, Succession, Verdict};
use postline_core::store::Key;
use postline_core::time::Millis;
use postline_core::wire::keys::KeyProof;
use postline_core::wire::leaf::Leaf;
use postline_core::wire::list::{Device, DeviceList, DeviceName};

use super::kit::{ANN, BOB, address, ak, ann, bob, device, dk, forged, hash, key, take};

/// [I-5]
#[test]
fn devices_come_and_go_by_signed_lists() {
    let (first, mut ours) = ann();
    let mut theirs = Chain::begin(&address(ANN), &open(first.bytes()).unwrap()).unwrap();
    assert_eq!(ours, theirs);

    let (second, extension) = ours.draft().enlist(device(2)).sign(&ak(1)).unwrap();
    assert_eq!((extension.added.as_slice(), extension.removed.len(), extension.key), ([device(2)].as_slice(), 0, None));
    ours.take(extension);
    take(&mut theirs, &second);

    let (third, extension) = ours.draft().revoke(dk(1)).sign(&ak(1)).unwrap();
    assert_eq!((extension.added.len(), extension.removed.as_slice()), (0, [dk(1)].as_slice()));
    ours.take(extension);
    take(&mut theirs, &third);
    assert_eq!(ours, theirs);
    assert_eq!(theirs.devices().map(|device| device.dk).collect::<Vec<_>>(), [dk(2)]);
    assert_eq!((theirs.number(), theirs.hash()), (3, third.hash()));
    assert_eq!(theirs.judge(&third), Ok(Verdict::Known));
}

/// [I-8]
#[test]
fn t_072_an_older_list_is_refused_and_changes_nothing() {
    let (first, mut chain) = ann();
    let (second, extension) = chain.draft().enlist(device(2)).sign(&ak(1)).unwrap();
    chain.take(extension);
    let before = chain.clone();
    assert_eq!(chain.judge(&first), Err(PeerFault::ListStale { got: 1, known: 2 }));
    assert_eq!(chain.judge(&second), Ok(Verdict::Known));
    assert_eq!(chain, before);
}

/// [I-8]
#[test]
fn t_072_two_lists_of_one_number_are_an_alarm_however_late_the_second_comes() {
    let (first, mut chain) = ann();
    let fork = forged(&chain, 1, |list| list.devices.push(device(9)));
    let (second, extension) = chain.draft().enlist(device(2)).sign(&ak(1)).unwrap();
    chain.take(extension);
    assert_eq!(chain.judge(&fork), Err(PeerFault::ListFork(2)));
    let (_, extension) = chain.draft().enlist(device(3)).sign(&ak(1)).unwrap();
    chain.take(extension);
    assert_eq!(chain.judge(&fork), Err(PeerFault::ListFork(2)));
    assert!(PeerFault::ListFork(2).is_alarm());

    // And a list that builds on the fork shows the fork.
    let mut other = Chain::begin(&address(ANN), &first).unwrap();
    take(&mut other, &fork);
    let (onward, _) = other.draft().enlist(device(4)).sign(&ak(1)).unwrap();
    let mut behind = Chain::begin(&address(ANN), &first).unwrap();
    take(&mut behind, &second);
    assert_eq!(behind.judge(&onward), Err(PeerFault::ListFork(2)));
}

/// [I-4] [I-8]
#[test]
fn lists_between_are_asked_for() {
    let (first, mut ours) = ann();
    assert_eq!(Chain::begin(&address(BOB), &first), Err(PeerFault::List("another address")));
    let theirs = Chain::begin(&address(ANN), &first).unwrap();
    for number in 2..=3 {
        let (list, extension) = ours.draft().enlist(device(number)).sign(&ak(1)).unwrap();
        ours.take(extension);
        if number == 3 {
            assert_eq!(theirs.judge(&list), Ok(Verdict::Gap { after: 1 }));
            assert_eq!(Chain::begin(&address(ANN), &list), Err(PeerFault::List("a first list")));
        }
    }
}

#[test]
fn t_073_a_node_adds_no_device_to_anybodys_list() {
    let (_, chain) = ann();
    // The node has everything but the key: it signs with its own, whatever it names.
    let ghost = forged(&chain, 66, |list| list.devices.push(device(66)));
    assert_eq!(chain.judge(&ghost), Err(PeerFault::NewKey { got: key(66), want: key(1) }));
    assert!(PeerFault::NewKey { got: key(66), want: key(1) }.is_alarm());
    // Or it changes what the key has signed.
    let (second, _) = chain.draft().enlist(device(2)).sign(&ak(1)).unwrap();
    let at = second.bytes().windows(32).position(|window| window == [2; 32]).unwrap();
    let mut bytes = second.bytes().to_vec();
    bytes[at..at + 32].fill(66);
    assert_eq!(open::<DeviceList>(&bytes), Err(PeerFault::Signature));
    // Nor does it make a leaf for one.
    let leaf =
        Leaf { address: address(ANN), identity: chain.identity(), ak: key(66), dk: dk(66), number: 1, hosted: false };
    let signed = ak(66).state(leaf.clone()).unwrap();
    assert_eq!(chain.stands(&signed), Err(PeerFault::NewKey { got: key(66), want: key(1) }));
    // A device that the person's key vouches for beside the lists is none of theirs.
    let beside = ak(1).state(Leaf { ak: key(1), ..leaf }).unwrap();
    assert_eq!(chain.stands(&beside), Err(PeerFault::Keys("a leaf that its list doesn't have")));
}

/// [I-6]
#[test]
fn t_010_a_key_changes_only_to_the_one_whose_hash_was_named() {
    let (_, mut chain) = ann();
    let stolen = chain.draft().rotate(key(66), key(67).hash()).sign(&ak(66)).err();
    assert_eq!(stolen, Some(Misuse::OutOfPlace("a key outside the chain")));
    let foreign = forged(&chain, 66, |list| list.next = key(67).hash());
    assert_eq!(chain.judge(&foreign), Err(PeerFault::NewKey { got: key(66), want: key(1) }));

    // Who has the key, and not the backup, can't name a next key of their own.
    let bent = forged(&chain, 1, |list| list.next = key(66).hash());
    assert_eq!(chain.judge(&bent), Err(PeerFault::List("the next key stays while the key does")));

    // The backup's key takes over, and throws the thief out with the same list.
    let draft = chain.draft().rotate(key(2), key(3).hash()).revoke(dk(1)).enlist(device(5));
    let (second, extension) = draft.sign(&ak(2)).unwrap();
    let change = KeyChange { from: key(1), to: key(2), how: Succession::Rotated };
    assert_eq!((extension.key, extension.removed.as_slice()), (Some(change), [dk(1)].as_slice()));
    take(&mut chain, &second);
    assert_eq!((chain.ak(), chain.identity()), (key(2), key(1).identity()));
    // What the former key says from then on is an alarm, and adds nobody.
    let late = forged(&chain, 1, |list| list.devices.push(device(66)));
    assert_eq!(chain.judge(&late), Err(PeerFault::NewKey { got: key(1), want: key(2) }));
}

/// [I-9]
#[test]
fn t_015_another_person_at_the_address_is_another_identity() {
    let (_, chain) = ann();
    let (heir, _) = Chain::found(address(ANN), &ak(31), key(32).hash(), false, vec![device(31)]).unwrap();
    assert_eq!(chain.judge(&heir), Err(PeerFault::NewKey { got: key(31), want: key(1) }));
    // Nor can they say that they are the person from before.
    let claim = forged(&chain, 31, |list| {
        (list.number, list.prev) = (1, None);
    });
    assert_eq!(
        open::<DeviceList>(claim.bytes()),
        Err(PeerFault::List("an identity that is the hash of the first key"))
    );
    let other = forged(&chain, 1, |list| list.address = address("ann@c.example"));
    assert_eq!(chain.judge(&other), Err(PeerFault::List("another address")));
}

/// [I-7]
#[test]
fn a_hosted_key_hands_over_once_and_by_name() {
    let (_, mut chain) = bob(true);
    assert!(chain.hosted());
    // Nobody else's key, not the node's own: it must be named first.
    let early = forged(&chain, 21, |list| list.hosted = false);
    assert_eq!(chain.judge(&early), Err(PeerFault::NewKey { got: key(21), want: key(11) }));
    let unhosted = forged(&chain, 11, |list| list.hosted = false);
    assert!(matches!(chain.judge(&unhosted), Err(PeerFault::List(_))));

    let (second, extension) = chain.draft().enlist(device(21)).hand_over(key(21)).sign(&ak(11)).unwrap();
    assert_eq!(extension.key, None);
    take(&mut chain, &second);
    assert_eq!(chain.successor(), Some(key(21)));
    // The hosted key has signed its last list.
    let more = forged(&chain, 11, |list| list.devices.push(device(66)));
    assert_eq!(chain.judge(&more), Err(PeerFault::NewKey { got: key(11), want: key(21) }));
    let still_hosted = forged(&chain, 21, |list| list.next = key(22).hash());
    assert!(matches!(chain.judge(&still_hosted), Err(PeerFault::List(_))));

    let (third, extension) = chain.draft().succeed(key(22).hash()).revoke(dk(11)).sign(&ak(21)).unwrap();
    assert_eq!(extension.key, Some(KeyChange { from: key(11), to: key(21), how: Succession::HandedOver }));
    take(&mut chain, &third);
    assert!(!chain.hosted() && chain.successor().is_none());
    // And never back to a node.
    let back = forged(&chain, 21, |list| list.hosted = true);
    assert!(matches!(chain.judge(&back), Err(PeerFault::List(_))));
    let (_, own) = ann();
    let hand = forged(&own, 1, |list| list.successor = Some(key(66)));
    assert_eq!(open::<DeviceList>(hand.bytes()), Err(PeerFault::List("a successor of a hosted key only")));
}

/// [I-5]
#[test]
fn what_breaks_a_rule_of_the_chain_is_refused() {
    let (_, mut chain) = ann();
    for number in 2..=3 {
        let (_, extension) = chain.draft().enlist(device(number)).sign(&ak(1)).unwrap();
        chain.take(extension);
    }
    let (_, extension) = chain.draft().revoke(dk(3)).sign(&ak(1)).unwrap();
    chain.take(extension);
    let refused = |change: &dyn Fn(&mut DeviceList)| {
        let list = forged(&chain, 1, change);
        let bytes = open::<DeviceList>(list.bytes()).and_then(|list| chain.judge(&list));
        assert!(matches!(bytes, Err(PeerFault::List(_))), "{bytes:?}");
    };
    refused(&|list| drop(list.devices.remove(0)));
    refused(&|list| list.revoked.clear());
    refused(&|list| list.revoked.push(dk(8)));
    refused(&|list| list.devices.push(device(3)));
    refused(&|list| list.devices.clear());
    refused(&|list| list.devices[0].added = Millis(2_000));
    refused(&|list| list.devices[0].caps = 1);
    refused(&|list| list.devices.reverse());
    refused(&|list| list.devices.push(list.devices[1].clone()));
    refused(&|list| list.devices.push(Device::new(DeviceKey(key(1).0), false, Millis(1))));
    refused(&|list| list.prev = None);
    refused(&|list| (list.number, list.prev) = (0, None));
    refused(&|list| list.address = address("ann@b.example"));
    // What a device can, and its name, may change.
    let (_, extension) = chain.draft().name(dk(1), DeviceName::parse("old phone").ok()).sign(&ak(1)).unwrap();
    chain.take(extension);
    assert_eq!(chain.device(dk(1)).unwrap().name.as_ref().unwrap().as_str(), "old phone");
    let can = forged(&chain, 1, |list| list.devices[0].caps = 6);
    take(&mut chain, &can);
    assert_eq!(chain.device(dk(1)).unwrap().caps, 6);
}

/// [I-2] [I-3]
#[test]
fn a_list_has_one_encoding_and_a_bound() {
    let domain = format!("{0}.{0}.{0}.{1}", "a".repeat(63), "b".repeat(61));
    let long = address(&format!("{}@{domain}", "l".repeat(64)));
    let name = DeviceName::parse(&"n".repeat(limits::DEVICE_NAME_BYTES)).ok();
    let full = |at: u8| Device { dk: dk(at), caps: u64::MAX, added: Millis(u64::MAX), name: name.clone() };
    let devices: Vec<Device> = (0..limits::DEVICES as u8).map(full).collect();
    let (first, chain) = Chain::found(long, &ak(101), key(102).hash(), true, devices.clone()).unwrap();
    // The fullest list that there can be is still within the bound.
    let fullest = forged(&chain, 101, |list| {
        list.revoked = (200..200 + limits::REVOKED as u8).map(dk).collect();
        (list.number, list.successor) = (u64::MAX, Some(key(103)));
    });
    assert!(open::<DeviceList>(fullest.bytes()).is_ok(), "{} bytes", fullest.bytes().len());
    let over = forged(&chain, 101, |list| {
        list.revoked = (199..200 + limits::REVOKED as u8).map(dk).collect();
    });
    assert!(matches!(open::<DeviceList>(over.bytes()), Err(PeerFault::List(_))));
    let one_more = chain.draft().enlist(device(99)).sign(&ak(101));
    assert_eq!(one_more.err(), Some(Misuse::OutOfPlace("devices within bounds")));
    let huge = vec![0; limits::LIST_BYTES + 1];
    assert!(matches!(open::<DeviceList>(&huge), Err(PeerFault::TooBig { what: "device list", .. })));

    let bytes = first.bytes();
    for cut in 0..bytes.len() {
        assert!(open::<DeviceList>(&bytes[..cut]).is_err(), "cut at {cut}");
    }
    assert!(open::<DeviceList>(&[bytes, &[0]].concat()).is_err());
    for at in 0..bytes.len() {
        let mut flipped = bytes.to_vec();
        flipped[at] ^= 1;
        assert!(open::<DeviceList>(&flipped).is_err(), "byte {at}");
    }
}

/// [I-3]
#[test]
fn a_devices_name_hides_nothing() {
    for good in ["phone", "Ann’s old phone", "ノート", &"n".repeat(limits::DEVICE_NAME_BYTES)] {
        assert!(DeviceName::parse(good).is_ok(), "{good}");
    }
    let long = "n".repeat(limits::DEVICE_NAME_BYTES + 1);
    for bad in ["", " ", " a", "a ", "a  b", "a\tb", "a\nb", "a\u{202e}b", "a\u{200b}b", "a\u{a0}b", &long] {
        assert!(DeviceName::parse(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn an_owner_who_drafts_what_nobody_would_take_is_told() {
    let (_, chain) = ann();
    let told = |draft: postline_core::seal::lists::Draft<'_>| draft.sign(&ak(1)).err();
    assert_eq!(
        told(chain.draft().revoke(dk(9)).enlist(device(2))),
        Some(Misuse::OutOfPlace("revokes who was no device"))
    );
    assert_eq!(told(chain.draft().revoke(dk(1))), Some(Misuse::OutOfPlace("devices within bounds")));
    assert_eq!(told(chain.draft().enlist(device(1))), Some(Misuse::OutOfPlace("devices by key, each once")));
    assert_eq!(told(chain.draft().name(dk(9), None)), Some(Misuse::OutOfPlace("a name for no device of the list")));
    assert_eq!(
        told(chain.draft().succeed(key(3).hash())),
        Some(Misuse::OutOfPlace("a key that no hosted one has named"))
    );
    let named = told(chain.draft().hand_over(key(3)));
    assert_eq!(named, Some(Misuse::OutOfPlace("a successor of a hosted key only")));
    let other = chain.draft().sign(&ak(2)).err();
    assert_eq!(other, Some(Misuse::OutOfPlace("a statement that names another address key")));
}

#[test]
fn lists_of_one_person_have_an_end() {
    let (_, mut chain) = ann();
    for number in 2..=limits::LISTS {
        let name = DeviceName::parse(&format!("name {number}")).ok();
        let (_, extension) = chain.draft().name(dk(1), name).sign(&ak(1)).unwrap();
        chain.take(extension);
    }
    assert_eq!(chain.draft().sign(&ak(1)).err(), Some(Misuse::OutOfPlace("more lists than are kept")));
    // Of the oldest ones the hash is forgotten: they are old, and no more is said of them.
    let old = forged(&ann().1, 1, |list| list.devices.push(device(9)));
    assert_eq!(chain.judge(&old), Err(PeerFault::ListStale { got: 2, known: limits::LISTS }));
    assert!(chain.encode().len() < 2_048, "{} bytes", chain.encode().len());
}

#[test]
fn keys_of_one_person_have_an_end() {
    let (_, mut chain) = ann();
    for at in 2..=limits::ADDRESS_KEYS as u8 {
        let (_, extension) = chain.draft().rotate(key(at), key(at + 1).hash()).sign(&ak(at)).unwrap();
        chain.take(extension);
    }
    let next = limits::ADDRESS_KEYS as u8 + 1;
    let draft = chain.draft().rotate(key(next), key(next + 1).hash());
    assert_eq!(draft.sign(&ak(next)).err(), Some(Misuse::OutOfPlace("more keys than are kept")));
}

#[test]
fn a_chain_is_restored_as_it_was() {
    let (_, mut chain) = bob(true);
    let record = Key::Contact(address(BOB));
    let at = |chain: &Chain| assert_eq!(Chain::decode(&record, &chain.encode()).as_ref(), Ok(chain));
    at(&chain);
    let (_, extension) = chain.draft().enlist(device(21)).hand_over(key(21)).sign(&ak(11)).unwrap();
    chain.take(extension);
    at(&chain);
    let (_, extension) = chain.draft().succeed(key(22).hash()).revoke(dk(11)).sign(&ak(21)).unwrap();
    chain.take(extension);
    at(&chain);
    let bytes = chain.encode();
    for cut in 0..bytes.len() {
        assert!(Chain::decode(&record, &bytes[..cut]).is_err(), "cut at {cut}");
    }
    let later = [&bytes[..1], &[2], &bytes[2..]].concat();
    assert!(matches!(Chain::decode(&record, &later), Err(RestoreError::Version { found: 2, known: 1, .. })));
}

/// [I-10]
#[test]
fn a_leaf_stands_by_the_list_that_it_names() {
    let (_, mut chain) = ann();
    let first = chain.leaf(&ak(1), dk(1)).unwrap();
    assert_eq!(chain.stands(&first), Ok(Standing::Current));
    assert!(chain.leaf(&ak(1), dk(2)).is_err() && chain.leaf(&ak(2), dk(1)).is_err());
    let (_, extension) = chain.draft().enlist(device(2)).sign(&ak(1)).unwrap();
    let behind = chain.clone();
    chain.take(extension);
    let second = chain.leaf(&ak(1), dk(2)).unwrap();
    assert_eq!(behind.stands(&second), Ok(Standing::Ahead { after: 1 }));
    // It names a list from before the device was there, or lies about who runs it.
    for bad in [Leaf { number: 1, ..second.value().clone() }, Leaf { hosted: true, ..second.value().clone() }] {
        assert!(matches!(chain.stands(&ak(1).state(bad).unwrap()), Err(PeerFault::Keys(_))));
    }
    let (_, extension) = chain.draft().revoke(dk(1)).rotate(key(2), key(3).hash()).sign(&ak(2)).unwrap();
    chain.take(extension);
    assert_eq!(chain.stands(&first), Ok(Standing::Revoked { by: 3 }));
    assert_eq!(chain.stands(&second), Ok(Standing::Current));
    // The key from before vouches for no list after it, and the revoked device is in none.
    let late = ak(1).state(Leaf { number: 3, ..first.value().clone() }).unwrap();
    assert_eq!(chain.stands(&late), Err(PeerFault::NewKey { got: key(1), want: key(2) }));
    let late = ak(2).state(Leaf { number: 3, ak: key(2), ..first.value().clone() }).unwrap();
    assert!(matches!(chain.stands(&late), Err(PeerFault::Keys(_))));
    let elsewhere = ak(2).state(Leaf { address: address(BOB), ak: key(2), ..second.value().clone() }).unwrap();
    assert!(matches!(chain.stands(&elsewhere), Err(PeerFault::Keys(_))));
}

/// [I-11]
#[test]
fn t_064_a_proof_is_worth_nothing_mirrored_or_for_another_line() {
    let ((_, ann), (_, bob)) = (ann(), bob(false));
    let proof = ann.prove(&ak(1), &address(BOB), hash(7)).unwrap();
    let sent = open::<KeyProof>(proof.bytes()).unwrap();
    assert_eq!(ann.proves(&address(BOB), hash(7), &sent), Ok(Proof::Good));
    let elsewhere = Err(PeerFault::Keys("a proof for other addresses"));
    assert_eq!(bob.proves(&address(ANN), hash(7), &sent), elsewhere);
    assert_eq!(ann.proves(&address(ANN), hash(7), &sent), elsewhere);
    assert_eq!(ann.proves(&address("eve@e.example"), hash(7), &sent), elsewhere);
    assert_eq!(ann.proves(&address(BOB), hash(8), &sent), Err(PeerFault::Keys("a proof for another handshake")));
    let alone = ak(1).state(KeyProof { other: address(ANN), ..proof.value().clone() }).unwrap();
    assert_eq!(open::<KeyProof>(alone.bytes()), Err(PeerFault::Keys("two addresses")));
}

#[test]
fn t_065_nobody_proves_keys_that_are_anothers() {
    let (_, ann) = ann();
    let good = ann.prove(&ak(1), &address(BOB), hash(7)).unwrap().value().clone();
    // Eve passes Ann's identity off under her own key, and Ann's key under her own identity.
    let mine = ak(66).state(KeyProof { ak: key(66), ..good.clone() }).unwrap();
    assert_eq!(ann.proves(&address(BOB), hash(7), &mine), Err(PeerFault::NewKey { got: key(66), want: key(1) }));
    let theirs = ak(1).state(KeyProof { identity: key(66).identity(), ..good.clone() }).unwrap();
    assert_eq!(ann.proves(&address(BOB), hash(7), &theirs), Err(PeerFault::NewKey { got: key(1), want: key(1) }));
    // What Ann said to Eve, Eve can't pass on as said to Bob.
    let to_eve = ann.prove(&ak(1), &address("eve@e.example"), hash(7)).unwrap();
    assert!(matches!(ann.proves(&address(BOB), hash(7), &to_eve), Err(PeerFault::Keys(_))));
    // A proof over another list of that number shows a fork; one ahead waits for the lists.
    let fork = ak(1).state(KeyProof { list: hash(9), ..good.clone() }).unwrap();
    assert_eq!(ann.proves(&address(BOB), hash(7), &fork), Err(PeerFault::ListFork(1)));
    let ahead = ak(1).state(KeyProof { number: 2, ..good }).unwrap();
    assert_eq!(ann.proves(&address(BOB), hash(7), &ahead), Ok(Proof::Ahead { after: 1 }));
}

#[test]
fn t_067_no_statement_of_one_kind_is_read_as_another() {
    let (list, ann) = ann();
    let leaf = ann.leaf(&ak(1), dk(1)).unwrap();
    let proof = ann.prove(&ak(1), &address(BOB), hash(7)).unwrap();
    assert!(open::<Leaf>(list.bytes()).is_err() && open::<KeyProof>(list.bytes()).is_err());
    assert!(open::<DeviceList>(leaf.bytes()).is_err() && open::<KeyProof>(leaf.bytes()).is_err());
    assert!(open::<DeviceList>(proof.bytes()).is_err() && open::<Leaf>(proof.bytes()).is_err());
}
