//! Devices that keep their records as a host would.

use std::collections::BTreeMap;

use postline_core::fault::{Misuse, PeerFault};
use postline_core::id::{Address, ConversationId, DeviceKey, Hash};
use postline_core::seal::mls::{self, Applied, Group, KnownHead, Me, Opened, Package, Refusal};
use postline_core::seal::{AddressIdentity, DeviceIdentity, Secret};
use postline_core::step::{Outbox, Tick};
use postline_core::store::{Key, Record, sha256};
use postline_core::time::Millis;
use postline_core::wire::leaf::Leaf;
use postline_core::wire::log::{Change, direct};
use postline_core::wire::statement::Signed;

pub(crate) const NOW: Millis = Millis(1_800_000_000_000);
pub(crate) const T2: Hash = Hash([0x72; 32]);

pub(crate) fn talk() -> ConversationId {
    direct(T2)
}

/// A person: an address and its key.
pub(crate) struct Person {
    pub(crate) address: Address,
    pub(crate) ak: AddressIdentity,
}

impl Person {
    pub(crate) fn new(name: &str) -> Self {
        let address = Address::parse(&format!("{name}@{name}.example")).unwrap();
        Self { address, ak: AddressIdentity::new(&Secret::new(sha256(&[b"ak ", name.as_bytes()]).0)) }
    }

    pub(crate) fn leaf(&self, dk: DeviceKey, number: u64) -> Signed<Leaf> {
        let (address, ak) = (self.address.clone(), self.ak.ak());
        self.ak.state(Leaf { address, identity: ak.identity(), ak, dk, number, hosted: false }).unwrap()
    }

    pub(crate) fn device(&self, name: &str) -> Device {
        let device =
            DeviceIdentity::new(&Secret::new(sha256(&[b"dk ", self.address.local().as_bytes(), name.as_bytes()]).0));
        let leaf = self.leaf(device.dk(), 1);
        let salt = sha256(&[&device.dk().0]).0;
        Device { device, leaf, now: NOW, salt, steps: 0, disk: BTreeMap::new(), group: None, written: 0, saves: 0 }
    }
}

/// One device: its keys, its disk, and the group that it has in memory.
pub(crate) struct Device {
    pub(crate) device: DeviceIdentity,
    pub(crate) leaf: Signed<Leaf>,
    pub(crate) now: Millis,
    salt: [u8; 32],
    pub(crate) steps: u64,
    pub(crate) disk: BTreeMap<Key, Vec<u8>>,
    pub(crate) group: Option<Group>,
    pub(crate) written: u64,
    pub(crate) saves: u64,
}

impl Device {
    pub(crate) fn dk(&self) -> DeviceKey {
        self.device.dk()
    }

    /// A step's tick: its entropy is never the same twice.
    pub(crate) fn tick(&mut self) -> Tick {
        self.steps += 1;
        Tick { now: self.now, entropy: sha256(&[b"entropy", &self.salt, &self.steps.to_be_bytes()]).0 }
    }

    /// What a host does with a step's records.
    pub(crate) fn commit_records(&mut self, out: Outbox<()>) {
        let (records, _) = out.split();
        for record in records {
            self.put(record);
        }
    }

    pub(crate) fn put(&mut self, record: Record) {
        self.saves += 1;
        match record.value {
            Some(value) => {
                self.written += value.len() as u64;
                self.disk.insert(record.key, value);
            }
            None => {
                self.disk.remove(&record.key);
            }
        }
    }

    pub(crate) fn package(&mut self, last_resort: bool) -> Package {
        let tick = self.tick();
        let made = mls::make(&tick, 0, Me { device: &self.device, leaf: &self.leaf }, last_resort).unwrap();
        self.put(made.record());
        let read = mls::read(&made.public, self.now).unwrap();
        assert_eq!(read.reference(), made.reference);
        read
    }

    pub(crate) fn create(&mut self, packages: &[Package]) -> Change {
        let (tick, mut out) = (self.tick(), Outbox::new());
        let me = Me { device: &self.device, leaf: &self.leaf };
        let (group, change) = Group::create(&tick, me, talk(), T2, packages, &mut out).unwrap();
        self.group = Some(group);
        self.commit_records(out);
        change
    }

    pub(crate) fn join(&mut self, change: &Change) {
        self.try_join(change.welcome.as_deref().unwrap(), T2, talk()).unwrap();
    }

    pub(crate) fn try_join(&mut self, welcome: &[u8], t2: Hash, id: ConversationId) -> Result<(), PeerFault> {
        let (tick, mut out) = (self.tick(), Outbox::new());
        let me = Me { device: &self.device, leaf: &self.leaf };
        let disk = self.disk.clone();
        let look = |reference| disk.get(&Key::Package(reference)).cloned();
        let group = Group::join(&tick, me, welcome, look, t2, id, &mut |_| Ok(()), &mut out);
        match group {
            Ok(group) => {
                self.group = Some(group);
                self.commit_records(out);
                Ok(())
            }
            Err(fault) => {
                assert!(out.is_empty(), "a refusal leaves nothing to store");
                Err(fault)
            }
        }
    }

    pub(crate) fn group(&self) -> &Group {
        self.group.as_ref().unwrap()
    }

    /// A call on the group, its records stored.
    fn call<T, E>(&mut self, run: impl FnOnce(&mut Group, &Tick, &mut Outbox<()>) -> Result<T, E>) -> Result<T, E> {
        let (tick, mut out) = (self.tick(), Outbox::new());
        let mut group = self.group.take().unwrap();
        let done = run(&mut group, &tick, &mut out);
        assert!(done.is_ok() || out.is_empty(), "a refusal leaves nothing to store");
        self.group = Some(group);
        self.commit_records(out);
        done
    }

    pub(crate) fn seal(&mut self, text: &[u8]) -> Vec<u8> {
        self.seal_with(None, text).unwrap()
    }

    pub(crate) fn seal_with(&mut self, head: Option<KnownHead>, text: &[u8]) -> Result<Vec<u8>, Misuse> {
        self.call(|group, tick, out| group.seal(tick, head, text, out))
    }

    pub(crate) fn open(&mut self, bytes: &[u8]) -> Result<Opened, PeerFault> {
        self.call(|group, tick, out| group.open(tick, bytes, out))
    }

    pub(crate) fn reads(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.open(bytes).unwrap().plaintext
    }

    pub(crate) fn commit(&mut self, adds: &[Package], removes: &[DeviceKey]) -> Result<Change, Refusal> {
        let (tick, mut out) = (self.tick(), Outbox::new());
        let mut group = self.group.take().unwrap();
        let me = Me { device: &self.device, leaf: &self.leaf };
        let done = group.commit(&tick, me, adds, removes, &mut out);
        assert!(done.is_ok() || out.is_empty(), "a refusal leaves nothing to store");
        self.group = Some(group);
        self.commit_records(out);
        done
    }

    pub(crate) fn merge(&mut self) -> Applied {
        self.call(|group, tick, out| group.merge(tick, out)).unwrap()
    }

    pub(crate) fn apply(&mut self, commit: &[u8]) -> Result<Applied, PeerFault> {
        self.call(|group, tick, out| group.apply(tick, commit, &mut |_| Ok(()), out))
    }

    /// Lets go of the group in good order, and takes it up again.
    pub(crate) fn park(&mut self) {
        self.call(|group, _, out| group.park(out)).unwrap();
        self.crash();
    }

    /// Loses what is in memory, and comes back from the disk.
    pub(crate) fn crash(&mut self) {
        self.group = None;
        self.group = Some(Group::restore(talk(), |key| self.disk.get(key).cloned()).unwrap());
    }
}
