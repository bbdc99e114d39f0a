//! Whatever bytes a stranger, a node or a disk brings: they are read as what they are, or refused, and nothing falls over.

use std::collections::BTreeMap;

use postline_core::fault::PeerFault;
use postline_core::limits;
use postline_core::seal::address::open;
use postline_core::seal::code::{Card, Parties, Shown, Side};
use postline_core::seal::join::{Grant, Joining, Request};
use postline_core::seal::lists::Chain;
use postline_core::seal::phrase::Phrase;
use postline_core::seal::tries::Tries;
use postline_core::seal::vault::{Backup, Cost};
use postline_core::seal::{Level, Pin, Secret};
use postline_core::store::Key;
use postline_core::time::Millis;
use postline_core::wire::compare::Word;
use postline_core::wire::keys::KeyProof;
use postline_core::wire::leaf::Leaf;
use postline_core::wire::list::DeviceList;
use proptest::prelude::*;

use super::kit::{ANN, BOB, address, ak, ann, bob, device, dk, hash, key, tick};

/// How good bytes are spoilt: cut, lengthened, changed at places, or made of nothing.
#[derive(Clone, Debug)]
enum Spoil {
    Not,
    Cut(prop::sample::Index),
    Put(prop::sample::Index, Vec<u8>),
    Set(Vec<(prop::sample::Index, u8)>),
    All(Vec<u8>),
}

fn spoil() -> impl Strategy<Value = Spoil> {
    let bytes = |most| proptest::collection::vec(any::<u8>(), 0..most);
    prop_oneof![
        1 => Just(Spoil::Not),
        2 => any::<prop::sample::Index>().prop_map(Spoil::Cut),
        2 => (any::<prop::sample::Index>(), bytes(9)).prop_map(|(at, bytes)| Spoil::Put(at, bytes)),
        4 => proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4).prop_map(Spoil::Set),
        1 => bytes(300).prop_map(Spoil::All),
    ]
}

fn spoilt(good: &[u8], spoil: &Spoil) -> Vec<u8> {
    match spoil {
        Spoil::Not => good.to_vec(),
        Spoil::Cut(at) => good[..at.index(good.len())].to_vec(),
        Spoil::Put(at, bytes) => {
            let (before, behind) = good.split_at(at.index(good.len() + 1));
            [before, bytes, behind].concat()
        }
        Spoil::Set(places) => {
            let mut bytes = good.to_vec();
            places.iter().for_each(|(at, byte)| bytes[at.index(good.len())] = *byte);
            bytes
        }
        Spoil::All(bytes) => bytes.clone(),
    }
}

/// What was read is what was good, or nothing was read.
fn holds<T>(good: &[u8], given: &[u8], read: Result<T, PeerFault>) {
    assert_eq!(read.is_ok(), good == given, "{given:02x?}: {:?}", read.err());
}

fn side(chain: &Chain) -> Side {
    Side { address: chain.address().clone(), identity: chain.identity(), ak: chain.ak() }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn what_is_signed_or_sealed_is_read_whole_or_not_at_all(spoil in spoil()) {
        let ((list, mut chain), (_, bob)) = (ann(), bob(false));
        let (more, extension) = chain.draft().enlist(device(2)).sign(&ak(1)).unwrap();
        let first = chain.clone();
        chain.take(extension);
        let given = spoilt(more.bytes(), &spoil);
        let judged = open::<DeviceList>(&given).and_then(|list| first.judge(&list));
        holds(more.bytes(), &given, judged);
        let leaf = chain.leaf(&ak(1), dk(2)).unwrap();
        let given = spoilt(leaf.bytes(), &spoil);
        holds(leaf.bytes(), &given, open::<Leaf>(&given).and_then(|leaf| chain.stands(&leaf)));
        let proof = chain.prove(&ak(1), &address(BOB), hash(7)).unwrap();
        let given = spoilt(proof.bytes(), &spoil);
        holds(proof.bytes(), &given, open::<KeyProof>(&given).and_then(|p| chain.proves(&address(BOB), hash(7), &p)));
        drop(list);

        let pins = BTreeMap::from([(address(BOB), Pin { identity: bob.identity(), ak: bob.ak(), level: Level::Proven })]);
        let (identity, seed) = (chain.identity(), || Secret::new([1; 32]));
        let code = Phrase::draw(&tick(0, 1), "backup");
        let backup = Backup { identity, address: address(ANN), made: Millis(5), ak: seed(), next: seed(), archive: seed(), pins: pins.clone() };
        let blob = backup.seal(&tick(0, 9), &code, Cost { kib: 8, passes: 1 }).unwrap();
        let given = spoilt(&blob, &spoil);
        // More memory than this is refused or taken by rule, which other tests show; here it would only take time.
        if given.get(19).is_none_or(|kib| *kib < 0x1a) {
            holds(&blob, &given, Backup::open(&given, &code));
        }

        let joining = Joining::begin(&tick(1_000, 1), address(ANN), dk(2));
        let grant = Grant { identity, ak: seed(), archive: seed(), pins };
        let give = |request: &Request| {
            request.grant(&tick(2_000, 5), &mut Tries::default(), &joining.code(), (&address(ANN), dk(1)), &grant)
        };
        let given = spoilt(joining.request(), &spoil);
        holds(joining.request(), &given, Request::parse(&given).and_then(|request| give(&request)));
        let answer = give(&Request::parse(joining.request()).unwrap()).unwrap();
        let given = spoilt(&answer, &spoil);
        holds(&answer, &given, joining.open(Millis(3_000), &given));
    }

    #[test]
    fn what_carries_no_signature_is_read_in_one_form_or_not_at_all(spoil in spoil(), text in ".{0,40}") {
        let word = Word::Commit(hash(3)).to_bytes();
        let given = spoilt(&word, &spoil);
        if let Ok(read) = Word::parse(&given) {
            prop_assert_eq!(read.to_bytes(), given);
        }
        let (_, chain) = ann();
        let bob = bob(false).1;
        let parties = Parties { t2: hash(7), ours: side(&chain), theirs: side(&bob) };
        let shown = Shown::new(&tick(0, 1), &mut Tries::default(), &parties, &chain).unwrap();
        let good = shown.text().to_string();
        if let Ok(given) = String::from_utf8(spoilt(good.as_bytes(), &spoil)) {
            let theirs = Parties { t2: hash(7), ours: side(&bob), theirs: side(&chain) };
            if Card::parse(&given).is_ok_and(|card| card.compare(&theirs, &chain).is_ok()) && given != good {
                // Only the secret, and the list where it is beyond what is known, are not known to the reader.
                prop_assert_eq!(given.len(), good.len());
            }
        }
        let phrase = Phrase::draw(&tick(0, 1), "backup").show().to_string();
        for given in [text.clone(), String::from_utf8_lossy(&spoilt(phrase.as_bytes(), &spoil)).into_owned()] {
            if let Ok(read) = Phrase::parse(&given) {
                prop_assert!(Phrase::parse(&read.show()) == Ok(read));
            }
        }
        let record = Key::Contact(address(ANN));
        let bytes = chain.encode();
        if let Ok(read) = Chain::decode(&record, &spoilt(&bytes, &spoil)) {
            // A disk is trusted to be ours, not to be whole: what it gives serves without falling over.
            prop_assert!(read.devices().len() <= limits::DEVICES && read.revoked().len() <= limits::REVOKED);
            let list = chain.draft().enlist(device(3)).sign(&ak(1)).unwrap().0;
            drop((read.judge(&list), read.ak(), read.hash(), read.draft().sign(&ak(1)), key(1)));
        }
    }
}
