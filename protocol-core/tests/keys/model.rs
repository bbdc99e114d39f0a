//! The chain against a plain model: whatever lists come in whatever order, both say the same of each.
//!
//! The model keeps every list that was taken, and states each rule over that history. It knows no chain.

use std::collections::{BTreeMap, BTreeSet};

use postline_core::fault::PeerFault;
use postline_core::id::{AddressKey, DeviceKey, Hash};
use postline_core::seal::address::open;
use postline_core::seal::lists::{Chain, KeyChange, Succession, Verdict};
use postline_core::store::Key;
use postline_core::wire::list::{Device, DeviceList};
use proptest::prelude::*;

use super::kit::{ANN, address, ak, device, dk, key};

/// How the next list is made of one that was taken.
#[derive(Clone, Debug)]
struct Op {
    /// Of which one: so many before the newest.
    back: usize,
    /// Its number: so many after that one's.
    bump: u64,
    signer: Signer,
    next: Next,
    prev: bool,
    hosted: bool,
    add: Option<u8>,
    revoke: Option<u8>,
    drop: Option<u8>,
    revive: bool,
    successor: Option<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Signer {
    Same,
    Next,
    Successor,
    First,
    Foreign,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Next {
    Same,
    Fresh(u8),
}

fn op() -> impl Strategy<Value = Op> {
    let rarely = |of| proptest::option::weighted(0.08, of);
    let signer = prop_oneof![
        12 => Just(Signer::Same),
        4 => Just(Signer::Next),
        4 => Just(Signer::Successor),
        1 => Just(Signer::First),
        1 => Just(Signer::Foreign),
    ];
    let next = prop_oneof![3 => Just(Next::Same), 2 => (100..120_u8).prop_map(Next::Fresh)];
    let place = (
        prop_oneof![8 => Just(0_usize), 2 => 1..4_usize],
        prop_oneof![12 => Just(1_u64), 1 => Just(0), 1 => Just(2)],
        proptest::bool::weighted(0.95),
        proptest::bool::weighted(0.05),
    );
    let devices = (
        proptest::option::weighted(0.5, 1..8_u8),
        proptest::option::weighted(0.3, 1..8_u8),
        rarely(1..8_u8),
        proptest::bool::weighted(0.05),
        proptest::option::weighted(0.15, 121..124_u8),
    );
    (place, signer, next, devices).prop_map(|((back, bump, prev, hosted), signer, next, devices)| {
        let (add, revoke, drop, revive, successor) = devices;
        Op { back, bump, signer, next, prev, hosted, add, revoke, drop, revive, successor }
    })
}

#[derive(Debug, PartialEq)]
enum Said {
    Malformed,
    Known,
    Stale,
    Fork(u64),
    NewKey,
    Gap,
    Extends { added: Vec<DeviceKey>, removed: Vec<DeviceKey>, key: Option<KeyChange> },
}

/// Every list that was taken, by number, with its hash.
#[derive(Default)]
struct Model(BTreeMap<u64, (DeviceList, Hash)>);

impl Model {
    fn newest(&self) -> &(DeviceList, Hash) {
        self.0.last_key_value().unwrap().1
    }

    fn judge(&self, list: &DeviceList, hash: Hash) -> Said {
        let (newest, newest_hash) = self.newest();
        if !whole(list) {
            return Said::Malformed;
        }
        if let Some((known, known_hash)) = self.0.get(&list.number) {
            return match () {
                () if known.ak != list.ak => Said::NewKey,
                () if *known_hash != hash => Said::Fork(list.number),
                () if list.number == newest.number => Said::Known,
                () => Said::Stale,
            };
        }
        if list.number != newest.number + 1 {
            return Said::Gap;
        }
        let how = match newest.successor {
            Some(named) if named == list.ak => Some(Succession::HandedOver),
            Some(_) => return Said::NewKey,
            None if list.ak == newest.ak => None,
            None if list.ak.hash() == newest.next => Some(Succession::Rotated),
            None => return Said::NewKey,
        };
        if list.prev != Some(*newest_hash) {
            return Said::Fork(newest.number);
        }
        let hosted = newest.hosted && how != Some(Succession::HandedOver);
        let kept_next = how.is_some() || list.next == newest.next;
        let used = how.is_some() && self.0.values().any(|(old, _)| old.ak == list.ak);
        let [before, after] = [newest, list].map(|l| l.devices.iter().map(|d| d.dk).collect::<BTreeSet<_>>());
        let [gone_before, gone_after] = [newest, list].map(|l| l.revoked.iter().copied().collect::<BTreeSet<_>>());
        let leaving: BTreeSet<_> = before.difference(&after).copied().collect();
        let newly: BTreeSet<_> = gone_after.difference(&gone_before).copied().collect();
        if list.hosted != hosted || !kept_next || used || !gone_before.is_subset(&gone_after) || leaving != newly {
            return Said::Malformed;
        }
        Said::Extends {
            added: after.difference(&before).copied().collect(),
            removed: newly.into_iter().collect(),
            key: how.map(|how| KeyChange { from: newest.ak, to: list.ak, how }),
        }
    }
}

/// What a list must be by itself.
fn whole(list: &DeviceList) -> bool {
    let devices: BTreeSet<_> = list.devices.iter().map(|device| device.dk).collect();
    let revoked: BTreeSet<_> = list.revoked.iter().copied().collect();
    list.number >= 1
        && list.prev.is_some() == (list.number > 1)
        && (list.number > 1 || list.identity == list.ak.identity())
        && !devices.is_empty()
        && devices.is_disjoint(&revoked)
        && list.next != list.ak.hash()
        && (list.hosted || list.successor.is_none())
        && list.successor != Some(list.ak)
}

fn made(op: &Op, model: &Model, seeds: &BTreeMap<AddressKey, u8>, nexts: &BTreeMap<Hash, u8>) -> (DeviceList, u8) {
    let (base, hash) = model.0.values().rev().nth(op.back).unwrap_or_else(|| model.newest()).clone();
    let same = seeds[&base.ak];
    let signer = match op.signer {
        Signer::Same => same,
        Signer::Next => nexts[&base.next],
        Signer::Successor => base.successor.map_or(same, |ak| seeds[&ak]),
        Signer::First => 1,
        Signer::Foreign => 66,
    };
    let handed_over = base.successor == Some(key(signer));
    let next = match op.next {
        // Whoever keeps to the rules names a fresh key exactly when the key changes.
        Next::Fresh(seed) if signer != same => key(seed).hash(),
        Next::Same | Next::Fresh(_) if signer == same => base.next,
        Next::Same => base.next,
        Next::Fresh(seed) => key(seed).hash(),
    };
    let mut devices: BTreeMap<DeviceKey, Device> = base.devices.iter().map(|d| (d.dk, d.clone())).collect();
    let mut revoked: BTreeSet<DeviceKey> = base.revoked.iter().copied().collect();
    if let Some(at) = op.add {
        devices.insert(dk(at), device(at));
    }
    if let Some(at) = op.revoke {
        devices.remove(&dk(at));
        revoked.insert(dk(at));
    }
    if let Some(at) = op.drop {
        devices.remove(&dk(at));
    }
    if op.revive {
        revoked.pop_first();
    }
    let number = base.number + op.bump;
    let list = DeviceList {
        identity: base.identity,
        address: base.address,
        number,
        prev: match (op.bump, op.prev) {
            (0, _) => base.prev,
            (_, true) => Some(hash),
            (_, false) => Some(Hash([9; 32])),
        },
        ak: key(signer),
        hosted: (base.hosted && !handed_over) != op.hosted,
        devices: devices.into_values().collect(),
        revoked: revoked.into_iter().collect(),
        next,
        successor: op.successor.filter(|_| base.hosted && !handed_over).map(key),
    };
    (list, signer)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases()) })]

    #[test]
    fn a_chain_says_of_every_list_what_the_whole_history_says(hosted: bool, ops in proptest::collection::vec(op(), 1..28)) {
        let (first, mut chain) = Chain::found(address(ANN), &ak(1), key(100).hash(), hosted, vec![device(1)]).unwrap();
        let mut model = Model(BTreeMap::from([(1, (first.value().clone(), first.hash()))]));
        let seeds: BTreeMap<AddressKey, u8> = (0..=130).map(|seed| (KEYS.with(|k| k[usize::from(seed)]), seed)).collect();
        let nexts: BTreeMap<Hash, u8> = seeds.iter().map(|(ak, seed)| (ak.hash(), *seed)).collect();
        for op in ops {
            let (list, signer) = made(&op, &model, &seeds, &nexts);
            let signed = ak(signer).state(list.clone()).unwrap();
            let want = model.judge(&list, signed.hash());
            let judged = open::<DeviceList>(signed.bytes()).and_then(|list| chain.judge(&list));
            let got = match &judged {
                Ok(Verdict::Known) => Said::Known,
                Ok(Verdict::Gap { after }) => {
                    prop_assert_eq!(*after, model.newest().0.number);
                    Said::Gap
                }
                Ok(Verdict::Extends(extension)) => Said::Extends {
                    added: extension.added.iter().map(|device| device.dk).collect(),
                    removed: extension.removed.clone(),
                    key: extension.key,
                },
                Err(PeerFault::List(_)) => Said::Malformed,
                Err(PeerFault::ListStale { .. }) => Said::Stale,
                Err(PeerFault::ListFork(number)) => Said::Fork(*number),
                Err(PeerFault::NewKey { .. }) => Said::NewKey,
                Err(other) => return Err(TestCaseError::fail(format!("{other:?}"))),
            };
            prop_assert_eq!(&got, &want, "{:?}\n{:?}", op, judged);
            if let Ok(Verdict::Extends(extension)) = judged {
                chain.take(*extension);
                model.0.insert(list.number, (list, signed.hash()));
            }
            let (newest, hash) = model.newest();
            prop_assert_eq!((chain.number(), chain.hash(), chain.ak()), (newest.number, *hash, newest.ak));
            prop_assert!(chain.devices().eq(newest.devices.iter()) && chain.revoked().eq(newest.revoked.iter().copied()));
            let again = Chain::decode(&Key::Contact(address(ANN)), &chain.encode());
            prop_assert_eq!(again.as_ref(), Ok(&chain));
        }
    }
}

thread_local! {
    static KEYS: Vec<AddressKey> = (0..=130).map(key).collect();
}

fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(1_000)
}
