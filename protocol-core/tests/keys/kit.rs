//! People, keys and lists for the tests beside.

use postline_core::id::{Address, AddressKey, DeviceKey, Hash};
use postline_core::seal::address::open;
use postline_core::seal::lists::{Chain, Verdict};
use postline_core::seal::{AddressIdentity, Secret};
use postline_core::step::Tick;
use postline_core::time::Millis;
use postline_core::wire::list::{Device, DeviceList};
use postline_core::wire::statement::Signed;

pub(crate) const ANN: &str = "ann@a.example";
pub(crate) const BOB: &str = "bob@b.example";

pub(crate) fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

pub(crate) fn ak(seed: u8) -> AddressIdentity {
    AddressIdentity::new(&Secret::new([seed; 32]))
}

pub(crate) fn key(seed: u8) -> AddressKey {
    ak(seed).ak()
}

pub(crate) fn dk(number: u8) -> DeviceKey {
    DeviceKey([number; 32])
}

pub(crate) fn device(number: u8) -> Device {
    Device::new(dk(number), false, Millis(1_000))
}

/// Ann's first list, under key 1, next key 2, with device 1.
pub(crate) fn ann() -> (Signed<DeviceList>, Chain) {
    Chain::found(address(ANN), &ak(1), key(2).hash(), false, vec![device(1)]).unwrap()
}

/// Bob's, under key 11, next key 12, with device 11, held by his node where `hosted`.
pub(crate) fn bob(hosted: bool) -> (Signed<DeviceList>, Chain) {
    let device = Device::new(dk(11), hosted, Millis(1_000));
    Chain::found(address(BOB), &ak(11), key(12).hash(), hosted, vec![device]).unwrap()
}

/// What `chain` would see as the next list, changed at will and signed by `seed`, whether or not others would take it.
pub(crate) fn forged(chain: &Chain, seed: u8, change: impl FnOnce(&mut DeviceList)) -> Signed<DeviceList> {
    let mut list = DeviceList {
        identity: chain.identity(),
        address: chain.address().clone(),
        number: chain.number() + 1,
        prev: Some(chain.hash()),
        ak: key(seed),
        hosted: chain.hosted(),
        devices: chain.devices().cloned().collect(),
        revoked: chain.revoked().collect(),
        next: chain.next(),
        successor: None,
    };
    change(&mut list);
    ak(seed).state(list).unwrap()
}

/// Takes a list that must extend the chain, as it goes over the wire.
pub(crate) fn take(chain: &mut Chain, list: &Signed<DeviceList>) {
    let Ok(Verdict::Extends(extension)) = chain.judge(&open(list.bytes()).unwrap()) else {
        panic!("list {} was not taken", list.value().number);
    };
    chain.take(*extension);
}

pub(crate) fn hash(byte: u8) -> Hash {
    Hash([byte; 32])
}

/// A step at this time, with entropy of its own.
pub(crate) fn tick(now: u64, entropy: u8) -> Tick {
    Tick { now: Millis(now), entropy: [entropy; 32] }
}
