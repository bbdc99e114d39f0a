//! Bodies for people's keys: what is signed by them, read from any bytes; and device lists, however they follow each other.

use std::fmt::Debug;

use postline_core::fault::PeerFault;
use postline_core::id::{DeviceKey, Hash};
use postline_core::seal::address::open;
use postline_core::seal::lists::{Chain, Standing, Verdict};
use postline_core::seal::{AddressIdentity, Secret};
use postline_core::store::Key;
use postline_core::time::Millis;
use postline_core::wire::keys::KeyProof;
use postline_core::wire::leaf::Leaf;
use postline_core::wire::list::{Device, DeviceList};
use postline_core::wire::log::Change;
use postline_core::wire::statement::{Signed, Statement, Unverified};

use super::words;
use crate::laws::{ours, theirs};
use crate::rng::Rng;

/// Statements are read in their one form, within their bound, as what they are and nothing else; and who has signed is
/// who they name.
///
/// # Panics
/// Where a promise is broken.
pub fn statements_survive(bytes: &[u8]) {
    let list = reads::<DeviceList>(bytes);
    let proof = reads::<KeyProof>(bytes);
    let leaf = reads::<Leaf>(bytes);
    let change = Change::parse(bytes);
    if let Ok(change) = &change {
        assert_eq!(change.to_bytes(), bytes, "a change in another form");
    }
    let read = u8::from(list) + u8::from(proof) + u8::from(leaf) + u8::from(change.is_ok());
    assert!(read <= 1, "the same bytes are {read} things");
}

fn reads<S: Statement + Debug + PartialEq>(bytes: &[u8]) -> bool {
    let read = Unverified::<S>::parse(bytes);
    let opened = open::<S>(bytes);
    match (&read, &opened) {
        (Ok(read), Ok(opened)) => {
            assert_eq!((read.claimed(), bytes), (opened.value(), opened.bytes()), "another value was verified");
            for ak in keys().filter(|ak| ak.ak() == opened.value().ak()) {
                let again = ak.state(opened.value().clone()).map(|signed| signed.bytes().to_vec());
                assert_eq!(again.as_deref(), Ok(bytes), "a value with two signatures");
            }
        }
        (Ok(_), Err(fault)) => assert_eq!(fault, &PeerFault::Signature, "{fault} of what was read"),
        (Err(_), Err(fault)) => assert_eq!(Err(fault.clone()), read.as_ref().map(|_| ()).map_err(Clone::clone)),
        (Err(fault), Ok(_)) => assert_eq!(fault.to_string(), "", "what can't be read was verified"),
    }
    assert!(read.is_err() || bytes.len() <= S::MAX, "{} bytes were taken", bytes.len());
    read.is_ok()
}

/// Keys of a few seeds.
fn keys() -> impl Iterator<Item = AddressIdentity> {
    (1..=KEYS).map(key)
}

const KEYS: u8 = 4;

fn key(seed: u8) -> AddressIdentity {
    AddressIdentity::new(&Secret::new([seed; 32]))
}

/// However lists come, a chain grows by one signed list at a time; who was revoked stays so; a key follows only where it
/// was named; and what is stored is restored.
///
/// Each eight bytes make a list: by one of four keys, with some of six devices, right or wrong in one thing.
///
/// # Panics
/// Where a promise is broken.
pub fn lists_survive(bytes: &[u8]) {
    _ = grown(bytes);
}

fn grown(bytes: &[u8]) -> Option<Chain> {
    let mut chain: Option<Chain> = None;
    let mut before: Vec<Signed<DeviceList>> = Vec::new();
    for word in words(bytes) {
        let mut rng = Rng::new(word);
        let (ak, list) = a_list(chain.as_ref(), &before, &mut rng);
        let Ok(signed) = ak.state(list) else { continue };
        let Ok(signed) = open::<DeviceList>(signed.bytes()) else { continue };
        chain = match chain.take() {
            None => Chain::begin(&ours(), &signed).ok(),
            Some(chain) => Some(judged(chain, &signed)),
        };
        let Some(chain) = &chain else { continue };
        before.push(signed);
        let key = Key::Keys(ours());
        assert_eq!(Chain::decode(&key, &chain.encode()).as_ref(), Ok(chain), "a chain that isn't restored as it was");
        leaves(chain, &mut rng);
    }
    chain
}

fn judged(mut chain: Chain, list: &Signed<DeviceList>) -> Chain {
    let said = list.value();
    match chain.judge(list) {
        Ok(Verdict::Known) => assert_eq!(list.hash(), chain.hash(), "another list is taken for the newest"),
        Ok(Verdict::Gap { after }) => assert!(after == chain.number() && said.number > after + 1, "no gap"),
        Ok(Verdict::Extends(extension)) => {
            let (old, change) = (chain.clone(), extension.key);
            chain.take(*extension);
            assert_eq!((chain.number(), chain.hash()), (old.number() + 1, list.hash()));
            assert_eq!((chain.identity(), chain.address(), chain.ak()), (old.identity(), old.address(), said.ak));
            assert_eq!(change.is_some(), chain.ak() != old.ak(), "a change of key that is told wrongly");
            let named = chain.ak().hash() == old.next() || Some(chain.ak()) == old.successor();
            assert!(change.is_none() || named, "a key that nobody named");
            assert!(old.hosted() || !chain.hosted(), "a person's key went to a node");
            let revoked: Vec<DeviceKey> = chain.revoked().collect();
            assert!(old.revoked().all(|dk| revoked.contains(&dk)), "a revoked device came back");
            assert!(chain.devices().all(|device| !revoked.contains(&device.dk)), "a revoked device stands");
            assert!(old.devices().all(|was| chain.device(was.dk).is_some() || revoked.contains(&was.dk)), "lost");
            assert_eq!(chain.judge(list), Ok(Verdict::Known));
        }
        Err(fault) => {
            let of_lists = matches!(
                fault,
                PeerFault::List(_)
                    | PeerFault::ListStale { .. }
                    | PeerFault::ListFork(_)
                    | PeerFault::NewKey { .. }
                    | PeerFault::TooBig { .. }
            );
            assert!(of_lists, "{fault} of a list");
        }
    }
    chain
}

/// A list: mostly the one that could follow, with one thing changed.
fn a_list(chain: Option<&Chain>, before: &[Signed<DeviceList>], rng: &mut Rng) -> (AddressIdentity, DeviceList) {
    let ak = key(1 + u8::try_from(rng.below(KEYS.into())).unwrap_or_default());
    let mut list = match chain {
        None => DeviceList {
            identity: ak.ak().identity(),
            address: ours(),
            number: 1,
            prev: None,
            ak: ak.ak(),
            hosted: rng.chance(300),
            devices: vec![device(rng)],
            revoked: Vec::new(),
            next: a_hash(rng),
            successor: None,
        },
        Some(chain) => DeviceList {
            identity: chain.identity(),
            address: ours(),
            number: chain.number() + 1,
            prev: Some(chain.hash()),
            ak: if rng.chance(700) { chain.ak() } else { ak.ak() },
            hosted: chain.hosted(),
            devices: chain.devices().cloned().collect(),
            revoked: chain.revoked().collect(),
            next: chain.next(),
            successor: None,
        },
    };
    for _ in 0..rng.below(4) {
        match rng.below(12) {
            0..=2 => {
                let new = device(rng);
                list.devices.retain(|device| device.dk != new.dk);
                list.devices.push(new);
            }
            3..=5 => {
                let at = rng.index(list.devices.len());
                if at < list.devices.len() {
                    list.revoked.push(list.devices.remove(at).dk);
                }
            }
            6 => list.next = a_hash(rng),
            7 => list.successor = Some(key(1 + u8::try_from(rng.below(KEYS.into())).unwrap_or_default()).ak()),
            8 => list.hosted = !list.hosted,
            9 => list.number = rng.below(list.number + 3),
            10 => list.prev = before.get(rng.index(before.len())).map(Signed::hash),
            _ => match rng.below(3) {
                0 => list.address = theirs(0),
                1 => list.identity = ak.ak().identity(),
                _ => _ = list.revoked.pop(),
            },
        }
    }
    list.devices.sort_by_key(|device| device.dk);
    list.revoked.sort();
    list.revoked.dedup();
    let signer = keys().find(|ak| ak.ak() == list.ak).unwrap_or(ak);
    (signer, list)
}

fn device(rng: &mut Rng) -> Device {
    Device::new(dk(rng), rng.chance(200), Millis(1_000))
}

fn dk(rng: &mut Rng) -> DeviceKey {
    DeviceKey([u8::try_from(0x10 + rng.below(6)).unwrap_or_default(); 32])
}

fn a_hash(rng: &mut Rng) -> Hash {
    key(1 + u8::try_from(rng.below(KEYS.into())).unwrap_or_default()).ak().hash()
}

/// A leaf stands only where its list had the device.
fn leaves(chain: &Chain, rng: &mut Rng) {
    let leaf = Leaf {
        address: chain.address().clone(),
        identity: chain.identity(),
        ak: chain.ak(),
        dk: dk(rng),
        number: 1 + rng.below(chain.number() + 1),
        hosted: rng.chance(200),
    };
    let Some(signed) = keys().find_map(|ak| ak.state(leaf.clone()).ok()) else { return };
    match chain.stands(&signed) {
        Ok(Standing::Current) => {
            let device = chain.device(leaf.dk);
            assert_eq!(device.map(Device::hosted), Some(leaf.hosted), "a leaf of no device");
        }
        Ok(Standing::Revoked { by }) => {
            assert!(by > leaf.number && chain.revoked().any(|dk| dk == leaf.dk), "revoked, and never was");
        }
        Ok(Standing::Ahead { after }) => assert!(leaf.number > after, "nothing is ahead"),
        Err(fault) => assert!(matches!(fault, PeerFault::Keys(_) | PeerFault::NewKey { .. }), "{fault} of a leaf"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_grow_lose_devices_and_change_keys() {
        let scripts = (0..200).map(|seed| Rng::new(seed).bytes::<128>());
        let chains: Vec<Chain> = scripts.filter_map(|script| grown(&script)).collect();
        let most = chains.iter().map(Chain::number).max();
        assert!(most >= Some(5), "the longest chain has {most:?} lists");
        assert!(chains.iter().any(|chain| chain.revoked().len() > 1), "nobody loses a device");
        assert!(chains.iter().any(|chain| chain.ak().identity() != chain.identity()), "no key follows");
        assert!(chains.iter().any(Chain::hosted) && chains.iter().any(|chain| chain.devices().len() > 2));
    }
}
