//! What takes a look inside: the ledger of keys and nonces, bugs of our own, and the known answers of the primitives.

#[path = "../../../tests/inside/costs.rs"]
mod costs;
mod groups;
mod hpke;
mod packages;
mod primitives;
mod vectors;

use std::collections::BTreeMap;

use crate::id::{Address, ConversationId, Hash};
use crate::seal::mls::{Group, Me, make, read};
use crate::seal::{AddressIdentity, DeviceIdentity, Secret};
use crate::step::{Outbox, Tick};
use crate::store::{Key, sha256};
use crate::time::Millis;
use crate::wire::leaf::Leaf;
use crate::wire::statement::Signed;

const NOW: Millis = Millis(1_800_000_000_000);
const T2: Hash = Hash([0x72; 32]);
const TALK: ConversationId = ConversationId([0x74; 32]);

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn tick(step: u64) -> Tick {
    Tick { now: NOW, entropy: sha256(&[b"tick", &step.to_be_bytes()]).0 }
}

fn device(name: &str) -> (DeviceIdentity, Signed<Leaf>) {
    let ak = AddressIdentity::new(&Secret::new(sha256(&[b"ak", name.as_bytes()]).0));
    let device = DeviceIdentity::new(&Secret::new(sha256(&[b"dk", name.as_bytes()]).0));
    let address = Address::parse(&format!("{name}@{name}.example")).unwrap();
    let (identity, ak_key) = (ak.ak().identity(), ak.ak());
    let leaf = ak.state(Leaf { address, identity, ak: ak_key, dk: device.dk(), number: 1, hosted: false }).unwrap();
    (device, leaf)
}

/// Stores what a step asks for.
fn store(disk: &mut BTreeMap<Key, Vec<u8>>, out: Outbox<()>) {
    for record in out.split().0 {
        match record.value {
            Some(value) => disk.insert(record.key, value),
            None => disk.remove(&record.key),
        };
    }
}

/// Ann and Bob in one group, and Ann's disk.
fn two() -> (Group, Group, BTreeMap<Key, Vec<u8>>) {
    let ((ann, anns), (bob, bobs)) = (device("ann"), device("bob"));
    let (ann, bob) = (Me { device: &ann, leaf: &anns }, Me { device: &bob, leaf: &bobs });
    let made = make(&tick(1), 0, bob, false).unwrap();
    let (mut out, mut disk) = (Outbox::<()>::new(), BTreeMap::new());
    let package = read(&made.public, NOW).unwrap();
    let (anns, change) = Group::create(&tick(2), ann, TALK, T2, &[package], &mut out).unwrap();
    store(&mut disk, out);
    let (welcome, secret) = (change.welcome.unwrap(), made.record().value);
    let look = |reference| secret.clone().filter(|_| reference == made.reference);
    let bobs = Group::join(&tick(3), bob, &welcome, look, T2, TALK, &mut |_| Ok(()), &mut Outbox::<()>::new()).unwrap();
    (anns, bobs, disk)
}
