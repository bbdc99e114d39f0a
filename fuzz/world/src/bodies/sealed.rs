//! Bodies for what is sealed: a group that is told anything, and a backup that asks for anything.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use postline_core::fault::PeerFault;
use postline_core::id::{Address, ConversationId, Hash};
use postline_core::limits;
use postline_core::seal::mls::{self, Group, Me};
use postline_core::seal::phrase::Phrase;
use postline_core::seal::vault::{Backup, Cost};
use postline_core::seal::{AddressIdentity, DeviceIdentity, Secret};
use postline_core::step::{Outbox, Tick};
use postline_core::store::{Key, Record};
use postline_core::wire::leaf::Leaf;
use postline_core::wire::log::{Change, direct};
use postline_core::wire::statement::Signed;

use super::stored::changed;
use crate::laws::{START, ours, theirs};

const T2: Hash = Hash([0x72; 32]);
const SAID: &[u8] = b"said once";

fn talk() -> ConversationId {
    direct(T2)
}

type Disk = BTreeMap<Key, Vec<u8>>;

/// A device with its disk.
struct Device {
    identity: DeviceIdentity,
    leaf: Signed<Leaf>,
    disk: Disk,
}

impl Device {
    fn new(seed: u8, address: Address) -> Option<Self> {
        let (ak, identity) =
            (AddressIdentity::new(&Secret::new([seed; 32])), DeviceIdentity::new(&Secret::new([seed + 100; 32])));
        let leaf =
            Leaf { address, identity: ak.ak().identity(), ak: ak.ak(), dk: identity.dk(), number: 1, hosted: false };
        Some(Self { identity, leaf: ak.state(leaf).ok()?, disk: Disk::new() })
    }

    const fn me(&self) -> Me<'_> {
        Me { device: &self.identity, leaf: &self.leaf }
    }

    fn keep(&mut self, out: Outbox<()>) {
        let (records, _) = out.split();
        for Record { key, value, .. } in records {
            match value {
                Some(value) => _ = self.disk.insert(key, value),
                None => _ = self.disk.remove(&key),
            }
        }
    }

    fn group(&self) -> Group {
        #[expect(clippy::expect_used, reason = "records that don't restore are a broken promise")]
        Group::restore(talk(), |key| self.disk.get(key).cloned()).expect("a group that was stored")
    }
}

fn tick(n: u8) -> Tick {
    Tick { now: START, entropy: [n; 32] }
}

/// Two who are in a group, one who may join it, and what goes between them.
struct Scene {
    two: Device,
    third: Device,
    /// A message, a commit that adds the third, its Welcome, the public state, a key package: each genuine.
    genuine: [Vec<u8>; 5],
}

fn scene() -> &'static Scene {
    static SCENE: OnceLock<Scene> = OnceLock::new();
    SCENE.get_or_init(|| {
        #[expect(clippy::expect_used, reason = "a scene that can't be set is a broken promise")]
        set().expect("a group of two, a message, and a commit")
    })
}

fn set() -> Option<Scene> {
    let (mut one, mut two) = (Device::new(1, ours())?, Device::new(2, theirs(0))?);
    let mut third = Device::new(3, theirs(0))?;
    let mut packages = Vec::new();
    for (n, device) in [(1, &mut two), (2, &mut third)] {
        let made = mls::make(&tick(n), 0, device.me(), false).ok()?;
        device.disk.insert(Key::Package(made.reference), made.record().value?);
        packages.push(mls::read(&made.public, START).ok()?);
    }
    let adds = packages.split_off(1);
    let mut out = Outbox::new();
    let (mut group, create) = Group::create(&tick(3), one.me(), talk(), T2, &packages, &mut out).ok()?;
    one.keep(out);
    let mut out = Outbox::new();
    let (welcome, look) = (create.welcome?, two.disk.clone());
    let look = |reference| look.get(&Key::Package(reference)).cloned();
    Group::join(&tick(4), two.me(), &welcome, look, T2, talk(), &mut |_| Ok(()), &mut out).ok()?;
    two.keep(out);
    let mut out = Outbox::<()>::new();
    let message = group.seal(&tick(5), None, SAID, &mut out).ok()?;
    let Change { commit, welcome, group_info } = group.commit(&tick(6), one.me(), &adds, &[], &mut out).ok()?;
    let package = adds.first()?.bytes().to_vec();
    Some(Scene { two, third, genuine: [message, commit, welcome?, group_info, package] })
}

/// Whatever a group is told, it takes what its members have made and nothing else; what it refuses leaves it as it was, and
/// what is genuine still opens then.
///
/// The first byte says what the bytes are taken for; of its bits, the highest says that they are whole, and not changes of
/// something genuine.
///
/// # Panics
/// Where a promise is broken.
pub fn sealed_survives(bytes: &[u8]) {
    let Some((kind, rest)) = bytes.split_first() else { return };
    let scene = scene();
    let kind_of = usize::from(kind & 0x7f) % scene.genuine.len();
    let Some(genuine) = scene.genuine.get(kind_of) else { return };
    let told = if kind & 0x80 == 0 { changed(genuine.clone(), rest) } else { rest.to_vec() };
    let is_genuine = told == *genuine;
    match kind_of {
        0 | 1 => group_is_told(scene, kind_of == 0, &told, is_genuine),
        2 => welcomed(scene, &told, is_genuine),
        3 => comes_from_outside(scene, &told, is_genuine),
        _ => {
            let read = mls::read(&told, START);
            assert_eq!(read.is_ok(), is_genuine, "a key package that nobody made");
        }
    }
}

fn group_is_told(scene: &Scene, message: bool, told: &[u8], is_genuine: bool) {
    let (mut group, mut out) = (scene.two.group(), Outbox::<()>::new());
    let before = (group.epoch(), group.tree_hash(), group.authenticator().ok());
    let taken = if message {
        group.open(&tick(9), told, &mut out).map(|opened| assert_eq!(opened.plaintext, SAID))
    } else {
        group.apply(&tick(9), told, &mut |_| Ok(()), &mut out).map(|_| ())
    };
    assert_eq!(taken.is_ok(), is_genuine, "{taken:?}");
    if taken.is_err() {
        assert!(out.is_empty(), "a refusal leaves nothing to store");
        assert_eq!(
            before,
            (group.epoch(), group.tree_hash(), group.authenticator().ok()),
            "a refusal changed the group"
        );
        let opened = scene.genuine.first().map(|genuine| group.open(&tick(10), genuine, &mut out));
        assert!(opened.is_some_and(|opened| opened.is_ok_and(|opened| opened.plaintext == SAID)), "it opens no more");
    }
}

fn welcomed(scene: &Scene, told: &[u8], is_genuine: bool) {
    let (third, mut out) = (&scene.third, Outbox::<()>::new());
    let look = |reference| third.disk.get(&Key::Package(reference)).cloned();
    let joined = Group::join(&tick(9), third.me(), told, look, T2, talk(), &mut |_| Ok(()), &mut out);
    assert!(joined.is_ok() || !is_genuine, "{:?}", joined.err());
    match joined {
        // What is in it for others isn't bound to what is in it for us.
        Ok(group) => assert_eq!((group.conversation(), group.epoch()), (talk(), 2)),
        Err(fault) => {
            assert!(out.is_empty(), "a refusal leaves nothing to store");
            let of_welcomes = matches!(fault, PeerFault::Welcome(_) | PeerFault::TooBig { .. });
            assert!(of_welcomes, "{fault} of a Welcome");
        }
    }
}

fn comes_from_outside(scene: &Scene, told: &[u8], is_genuine: bool) {
    let mut out = Outbox::<()>::new();
    let came = Group::join_from_outside(&tick(9), scene.third.me(), told, talk(), &mut |_| Ok(()), &mut out);
    assert_eq!(came.is_ok(), is_genuine, "a public state that nobody made");
    assert!(came.is_ok() || out.is_empty(), "a refusal leaves nothing to store");
}

/// A backup is opened by its phrase as it was made, and by nothing else; and whatever it asks for, it is refused before it
/// costs anything, or costs no more than there is.
///
/// The first byte says which of two phrases is tried, and whether the bytes are whole, or changes of a genuine backup.
///
/// # Panics
/// Where a promise is broken.
pub fn vault_survives(bytes: &[u8]) {
    let Some((how, rest)) = bytes.split_first() else { return };
    let (backup, phrase, blob) = vault();
    let told = if how & 0x80 == 0 { changed(blob.clone(), rest) } else { rest.to_vec() };
    if costs(&told).is_some_and(|cost| cost > 64 * 4) {
        // It is within its bounds, and would take this machine too long to try a thousand times.
        return;
    }
    let other = Phrase::draw(&tick(2), "another phrase");
    let tried = if how & 1 == 0 { phrase } else { &other };
    match Backup::open(&told, tried) {
        Ok(opened) => {
            assert!(how & 1 == 0 && told == *blob, "another blob, or phrase, opens it");
            assert_eq!(&opened, backup, "it was made of something else");
        }
        Err(fault) => {
            assert!(how & 1 == 1 || told != *blob, "{fault} of what is genuine");
            let of_vaults = matches!(fault, PeerFault::WrongCode | PeerFault::Sealed(_) | PeerFault::TooBig { .. });
            assert!(of_vaults, "{fault} of a backup");
        }
    }
}

/// What a blob would cost, in KiB and passes, where it may be tried at all.
fn costs(blob: &[u8]) -> Option<u64> {
    let mut reader = postline_core::wire::cbor::Reader::new(blob);
    reader.array_of(5).ok()?;
    reader.u64().ok()?;
    reader.bytes().ok()?;
    let (kib, passes) = (reader.u64().ok()?, reader.u64().ok()?);
    let may = kib <= limits::BACKUP_KIB.into() && passes <= limits::BACKUP_PASSES.into();
    may.then(|| kib.saturating_mul(passes))
}

fn vault() -> &'static (Backup, Phrase, Vec<u8>) {
    static VAULT: OnceLock<(Backup, Phrase, Vec<u8>)> = OnceLock::new();
    VAULT.get_or_init(|| {
        let ak = AddressIdentity::new(&Secret::new([1; 32]));
        let backup = Backup {
            identity: ak.ak().identity(),
            address: ours(),
            made: START,
            ak: Secret::new([1; 32]),
            next: Secret::new([2; 32]),
            archive: Secret::new([3; 32]),
            pins: BTreeMap::new(),
        };
        let phrase = Phrase::draw(&tick(1), "a phrase");
        #[expect(clippy::expect_used, reason = "a backup that can't be made is a broken promise")]
        let blob = backup.seal(&tick(1), &phrase, Cost { kib: 8, passes: 1 }).expect("a backup within its bounds");
        (backup, phrase, blob)
    })
}
