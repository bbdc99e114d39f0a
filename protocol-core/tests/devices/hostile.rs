//! A device that is on its person's list, and does what it can to end the conversation: it makes commits that are none, throws
//! everybody out, and shows groups of its own. Whatever it does, the others are in one group again, and once it is revoked
//! it is gone. (attacks 80, 87)

use std::collections::BTreeMap;

use postline_core::client::io::{Alarm, Event, Mark};
use postline_core::id::{Address, DeviceKey, DeviceTag, Hash, Identity};
use postline_core::limits;
use postline_core::seal::lists::Chain;
use postline_core::seal::mls::{self, Group, Me, Package};
use postline_core::seal::{AddressIdentity, DeviceIdentity, Secret};
use postline_core::step::{Outbox, Tick};
use postline_core::store::{Key, sha256};
use postline_core::time::MINUTE;
use postline_core::wire::keys::KeyProof;
use postline_core::wire::leaf::Leaf;
use postline_core::wire::list::{Device as Listed, DeviceList};
use postline_core::wire::log::Change;
use postline_core::wire::statement::Signed;
use postline_core::wire::talk::{Kind, Origin, Post};

use crate::kit::{World, ann, ben, theirs};

const T2: Hash = Hash([0x72; 32]);

/// Ben, whose devices do what the story says.
pub(crate) struct Ben {
    ak: AddressIdentity,
    chain: Chain,
    draws: u64,
}

/// A device of his.
pub(crate) struct Scripted {
    device: DeviceIdentity,
    leaf: Signed<Leaf>,
    secrets: BTreeMap<Key, Vec<u8>>,
    group: Option<Group>,
    number: u64,
}

impl Ben {
    pub(crate) fn identity(&self) -> Identity {
        self.chain.identity()
    }

    fn tick(&mut self, world: &World) -> Tick {
        self.draws += 1;
        Tick { now: world.now, entropy: sha256(&[b"ben", &self.draws.to_be_bytes()]).0 }
    }

    fn leaf(&self, dk: DeviceKey, number: u64) -> Signed<Leaf> {
        let (address, identity, ak) = (ben(), self.chain.identity(), self.ak.ak());
        self.ak.state(Leaf { address, identity, ak, dk, number, hosted: false }).unwrap()
    }

    /// A device that is on the newest list, its key packages at the node.
    fn device(&mut self, world: &mut World, seed: u8) -> Scripted {
        let device = identity(seed);
        let leaf = self.leaf(device.dk(), self.chain.number());
        let (mut secrets, mut public) = (BTreeMap::new(), Vec::new());
        for number in 0..8 {
            let me = Me { device: &device, leaf: &leaf };
            let made = mls::make(&self.tick(world), number, me, false).unwrap();
            let record = made.record();
            secrets.insert(record.key, record.value.unwrap());
            public.push(made.public);
        }
        world.office.packages.insert((ben(), device.dk()), (public.into(), None));
        Scripted { device, leaf, secrets, group: None, number: 0 }
    }

    /// The next list: this device alone.
    fn revokes_all_but(&mut self, world: &mut World, seed: u8) -> Scripted {
        let mut list = DeviceList {
            identity: self.chain.identity(),
            address: ben(),
            number: self.chain.number() + 1,
            prev: Some(self.chain.hash()),
            ak: self.ak.ak(),
            hosted: false,
            devices: vec![Listed::new(identity(seed).dk(), false, world.now)],
            revoked: self.chain.revoked().chain(self.chain.devices().map(|device| device.dk)).collect(),
            next: self.chain.next(),
            successor: None,
        };
        list.revoked.sort();
        let list = self.ak.state(list).unwrap();
        let postline_core::seal::lists::Verdict::Extends(extension) = self.chain.judge(&list).unwrap() else {
            panic!("no next list")
        };
        self.chain.take(*extension);
        publish(world, &self.chain, &list);
        self.device(world, seed)
    }
}

fn identity(seed: u8) -> DeviceIdentity {
    DeviceIdentity::new(&Secret::new([seed; 32]))
}

fn publish(world: &mut World, chain: &Chain, list: &Signed<DeviceList>) {
    let of = world.office.lists.entry(ben()).or_default();
    of.0 = Some(chain.clone());
    of.1.push(list.bytes().to_vec());
}

impl Scripted {
    /// It comes in by the newest Welcome that is for it.
    fn joins(&mut self, world: &World, ben: &mut Ben) {
        let entries = &world.office.logs[&theirs()].entries;
        let changes = entries.iter().rev().filter(|(_, entry)| entry.kind != Kind::Message);
        let welcomes = changes.filter_map(|(_, entry)| Change::parse(entry.bytes.as_ref().unwrap()).ok()?.welcome);
        let look = |reference| self.secrets.get(&Key::Package(reference)).cloned();
        let me = Me { device: &self.device, leaf: &self.leaf };
        let tick = ben.tick(world);
        let joined = welcomes.filter_map(|welcome| {
            let mut out = Outbox::<()>::new();
            Group::join(&tick, me, &welcome, look, T2, theirs(), &mut |_| Ok(()), &mut out).ok()
        });
        self.group = Some(joined.take(1).last().expect("a welcome for it"));
    }

    fn commits(&mut self, world: &World, ben: &mut Ben, adds: &[Package], removes: &[DeviceKey]) -> Change {
        let me = Me { device: &self.device, leaf: &self.leaf };
        let group = self.group.as_mut().unwrap();
        group.discard(&mut Outbox::<()>::new()).unwrap();
        group.commit(&ben.tick(world), me, adds, removes, &mut Outbox::<()>::new()).unwrap()
    }

    fn merges(&mut self, world: &World, ben: &mut Ben) {
        self.group.as_mut().unwrap().merge(&ben.tick(world), &mut Outbox::<()>::new()).unwrap();
    }

    /// The hub takes its commit: it ends the log's epoch, whatever it is.
    fn posts(&mut self, world: &mut World, bytes: Vec<u8>) {
        self.number += 1;
        let epoch = world.office.logs[&theirs()].epoch;
        let origin = Origin { device: DeviceTag([9; 8]), number: self.number };
        let post = Post { conversation: theirs(), origin, kind: Kind::Commit, epoch, members: Vec::new(), bytes };
        world.append(&ben(), post);
        world.settle();
    }

    /// It says something, whatever it is: sealed in its group, and taken by the hub.
    pub(crate) fn says(&mut self, world: &mut World, person: &mut Ben, plaintext: &[u8]) -> u64 {
        self.number += 1;
        let bytes = self.group.as_mut().unwrap().seal(&person.tick(world), None, plaintext, &mut Outbox::<()>::new());
        let epoch = world.office.logs[&theirs()].epoch;
        let origin = Origin { device: DeviceTag([9; 8]), number: self.number };
        let (kind, bytes) = (Kind::Message, bytes.unwrap());
        world.append(&ben(), Post { conversation: theirs(), origin, kind, epoch, members: Vec::new(), bytes });
        world.settle();
        world.office.logs[&theirs()].entries.len() as u64
    }

    /// Whether it can read the last message of the log.
    fn reads_last(&mut self, world: &World, ben: &mut Ben) -> bool {
        let entries = &world.office.logs[&theirs()].entries;
        let bytes = entries.iter().rev().find(|(_, e)| e.kind == Kind::Message).unwrap().1.bytes.clone().unwrap();
        self.group.as_mut().unwrap().open(&ben.tick(world), &bytes, &mut Outbox::<()>::new()).is_ok()
    }
}

/// Ann with two devices, and ben with one that the story plays, on its list.
fn ann_and_ben() -> (World, Ben, Scripted) {
    let mut world = World::new();
    world.device(&ann());
    world.pass(5_000);
    world.further_device(0);
    let ak = AddressIdentity::new(&Secret::new([0xb0; 32]));
    let next = AddressIdentity::new(&Secret::new([0xb1; 32])).ak().hash();
    let devices = vec![Listed::new(identity(0xb2).dk(), false, world.now)];
    let (list, chain) = Chain::found(ben(), &ak, next, false, devices).unwrap();
    publish(&mut world, &chain, &list);
    let mut person = Ben { ak, chain, draws: 0 };
    let proof = KeyProof {
        t2: T2,
        author: ben(),
        other: ann(),
        identity: person.chain.identity(),
        ak: person.ak.ak(),
        number: 1,
        list: person.chain.hash(),
    };
    world.office.proofs.insert(ben(), person.ak.state(proof).unwrap().bytes().to_vec());
    let device = person.device(&mut world, 0xb2);
    world.tell_all();
    world.pass(60_000);
    (world, person, device)
}

pub(crate) fn talking() -> (World, Ben, Scripted) {
    let (mut world, mut person, mut device) = ann_and_ben();
    world.write(0, "hello");
    world.pass(60_000);
    assert_eq!([0, 1].map(|n| world.group(n)), [3, 3]);
    device.joins(&world, &mut person);
    world.clear();
    (world, person, device)
}

/// Ben revokes the device, and has another: ann's devices and it are one group, and the one that was revoked is out.
fn and_they_talk_again(world: &mut World, person: &mut Ben, hostile: &mut Scripted, waiting: &[&str]) {
    let mut new = person.revokes_all_but(world, 0xb3);
    world.tell_all();
    world.pass(10 * MINUTE);
    assert_eq!([0, 1].map(|n| world.group(n)), [3, 3], "{:#?}", world.devices[0].events);
    new.joins(world, person);
    let last = world.write(0, "the last word");
    world.pass(30_000);
    assert_eq!(world.marks(0, last).last(), Some(&Mark::Delivered));
    assert!(new.reads_last(world, person));
    assert!(!hostile.reads_last(world, person));
    // What ann's one device wrote meanwhile, her other has: once, each.
    let mut said = world.texts(1);
    said.sort();
    let mut expected: Vec<&str> = waiting.iter().copied().chain(["the last word"]).collect();
    expected.sort_unstable();
    assert_eq!(said, expected);
}

fn garbage(n: u64) -> Vec<u8> {
    let part = |label: &[u8]| sha256(&[label, &n.to_be_bytes()]).0.to_vec();
    Change { commit: part(b"commit"), welcome: Some(part(b"welcome")), group_info: part(b"info") }.to_bytes()
}

/// More of them than a hub takes old messages of, each of which ends the log's epoch, and some that name an epoch to come.
/// [G-17] [H-8]
#[test]
fn t_087_commits_that_are_none_end_no_epoch_but_the_logs() {
    let (mut world, mut person, mut hostile) = talking();
    let mut written = Vec::new();
    for n in 0..12 {
        let bytes = match n % 4 {
            0 => garbage(n),
            1 => b"none".to_vec(),
            // A true one, but for the epoch that stands in its head: the group's, 5 later.
            2 => {
                let mut change = hostile.commits(&world, &mut person, &[], &[]);
                change.commit[44] += 5;
                *change.group_info.last_mut().unwrap() ^= 1;
                change.to_bytes()
            }
            _ => {
                let mut change = hostile.commits(&world, &mut person, &[], &[]);
                *change.commit.last_mut().unwrap() ^= 1;
                *change.group_info.last_mut().unwrap() ^= 1;
                change.to_bytes()
            }
        };
        hostile.posts(&mut world, bytes);
        let text = format!("after {n}");
        world.write(0, &text);
        written.push(text);
        if n == 6 {
            world.restart(1);
        }
        world.pass(5_000);
    }
    assert_eq!(world.texts(1), written);
    let log = world.office.logs[&theirs()].epoch;
    let group = world.devices[0].client.conversations().find(|talk| talk.id == theirs()).unwrap().epoch;
    assert_eq!((log, group), (13, 1), "the log's epoch and the group's");
    let written: Vec<&str> = written.iter().map(String::as_str).collect();
    and_they_talk_again(&mut world, &mut person, &mut hostile, &written);
}

/// It may: it is a member. So the others come in from outside, and what they wrote meanwhile is not lost.
/// [G-17]
#[test]
fn t_080_who_throws_everybody_out_is_alone_only_until_they_are_back() {
    let (mut world, mut person, mut hostile) = talking();
    for round in ["once", "twice"] {
        let all = [world.dk(0), world.dk(1)];
        let change = hostile.commits(&world, &mut person, &[], &all);
        hostile.posts(&mut world, change.to_bytes());
        hostile.merges(&world, &mut person);
        world.write(0, round);
        world.pass(2 * MINUTE);
        assert_eq!([0, 1].map(|n| world.group(n)), [3, 3], "{:#?}", world.devices[0].events);
        // It follows what they did.
        let entries = &world.office.logs[&theirs()].entries;
        let commits: Vec<Vec<u8>> = entries.iter().filter(|(_, e)| e.kind == Kind::Commit).map(commit_of).collect();
        for commit in commits {
            let group = hostile.group.as_mut().unwrap();
            _ = group.apply(&person.tick(&world), &commit, &mut |_| Ok(()), &mut Outbox::<()>::new());
        }
    }
    and_they_talk_again(&mut world, &mut person, &mut hostile, &["once", "twice"]);
}

fn commit_of((_, entry): &(Address, postline_core::wire::talk::Event)) -> Vec<u8> {
    Change::parse(entry.bytes.as_ref().unwrap()).unwrap().commit
}

/// A public state that is older than the others' own moves nobody; one that is newer, and whose members are all on their
/// lists, is where everybody goes, together.
/// [G-17]
#[test]
fn t_087_a_group_of_another_making_parts_nobody() {
    let (mut world, mut person, mut hostile) = talking();
    // What was in the log, once more.
    let create = world.office.logs[&theirs()].entries[0].1.bytes.clone().unwrap();
    hostile.posts(&mut world, create);
    // Its own group, of the same name: as old as the others', so that nobody looks at it.
    let packages: Vec<Package> = [0, 1].map(|n| package_of(&mut world, n)).into();
    let me = Me { device: &hostile.device, leaf: &hostile.leaf };
    let tick = person.tick(&world);
    let (own, change) = Group::create(&tick, me, theirs(), T2, &packages, &mut Outbox::<()>::new()).unwrap();
    hostile.posts(&mut world, change.to_bytes());
    world.write(0, "as ever");
    world.pass(60_000);
    assert_eq!(world.texts(1), ["as ever"]);
    assert_eq!([0, 1].map(|n| world.group(n)), [3, 3]);
    // And then two epochs further: a commit that the others can't follow, and a state that they can come in by.
    hostile.group = Some(own);
    for _ in 0..2 {
        let change = hostile.commits(&world, &mut person, &[], &[]);
        hostile.merges(&world, &mut person);
        hostile.posts(&mut world, change.to_bytes());
    }
    world.write(0, "meanwhile");
    world.pass(2 * MINUTE);
    assert_eq!([0, 1].map(|n| world.group(n)), [3, 3], "{:#?}", world.devices[0].events);
    and_they_talk_again(&mut world, &mut person, &mut hostile, &["as ever", "meanwhile"]);
}

fn package_of(world: &mut World, n: usize) -> Package {
    let (of, dk) = (world.devices[n].address.clone(), world.dk(n));
    let bytes = world.office.packages.get_mut(&(of, dk)).unwrap().0.pop_front().unwrap();
    mls::read(&bytes, world.now).unwrap()
}

/// A change by a list that will never be: the log waits for a while, and goes on.
/// [G-14] [G-17]
#[test]
fn t_087_a_list_that_never_comes_is_not_waited_for_without_end() {
    let (mut world, mut person, mut hostile) = talking();
    hostile.leaf = person.leaf(hostile.device.dk(), 1_000);
    let change = hostile.commits(&world, &mut person, &[], &[]);
    hostile.posts(&mut world, change.to_bytes());
    let id = world.write(0, "in a while");
    world.pass(limits::LISTS_WAIT_MS / 2);
    assert_eq!(world.marks(0, id), [Mark::Queued], "it might come");
    world.pass(limits::LISTS_WAIT_MS);
    assert_eq!(world.marks(0, id).last(), Some(&Mark::Delivered), "{:#?}", world.devices[0].events);
    and_they_talk_again(&mut world, &mut person, &mut hostile, &["in a while"]);
}

/// It adds a device that is on no list: an alarm, the change is void, and the conversation goes on without the ghost.
/// [G-14] [G-17]
#[test]
fn t_073_a_ghost_that_a_member_adds_is_in_no_group() {
    let (mut world, mut person, mut hostile) = talking();
    let ghost = identity(0xee);
    let leaf = person.leaf(ghost.dk(), 1);
    let made = mls::make(&person.tick(&world), 0, Me { device: &ghost, leaf: &leaf }, false).unwrap();
    let package = mls::read(&made.public, world.now).unwrap();
    let change = hostile.commits(&world, &mut person, &[package], &[]);
    hostile.posts(&mut world, change.to_bytes());
    world.write(0, "without it");
    world.pass(60_000);
    let alarm = |event: &Event| matches!(event, Event::Alarm(Alarm::GhostDevice { dk, .. }) if *dk == ghost.dk());
    for n in [0, 1] {
        assert!(world.devices[n].events.iter().any(alarm));
        assert_eq!(world.group(n), 3);
    }
    and_they_talk_again(&mut world, &mut person, &mut hostile, &["without it"]);
}

/// The conversation's first entry is none: whoever has something to say makes the group behind it.
/// [G-17]
#[test]
fn t_087_a_first_entry_that_makes_no_group_is_not_the_last() {
    let (mut world, mut person, mut device) = ann_and_ben();
    let origin = Origin { device: DeviceTag([9; 8]), number: 1 };
    let mut members = vec![ann(), ben()];
    members.sort();
    let post = Post {
        conversation: theirs(),
        origin,
        kind: Kind::Create,
        epoch: 0,
        members: members.clone(),
        bytes: garbage(1),
    };
    world.begin_log(theirs(), members);
    world.append(&ben(), post);
    world.settle();
    for n in [0, 1] {
        world.write(n, &format!("by {n}"));
    }
    world.pass(5 * MINUTE);
    assert_eq!([0, 1].map(|n| world.group(n)), [3, 3], "{:#?}", world.devices[0].events);
    assert_eq!((world.texts(0), world.texts(1)), (vec!["by 1".to_owned()], vec!["by 0".to_owned()]));
    device.joins(&world, &mut person);
    world.write(0, "and ben reads");
    world.pass(30_000);
    assert!(device.reads_last(&world, &mut person));
}

/// A node on the way doesn't know yet that the device is on a list: it posts again, not too often, and says it once.
/// [H-20]
#[test]
fn t_073_a_device_whose_list_is_late_posts_again_and_says_it_once() {
    let mut world = World::two();
    world.office.unlisted.insert(world.dk(0));
    let first = world.write(0, "the first");
    world.pass(10 * MINUTE);
    assert_eq!(world.marks(0, first), [Mark::Queued]);
    assert!(world.office.logs.is_empty());
    let creates = world.posts();
    assert!((4..=12).contains(&creates), "{creates} posts");
    world.office.unlisted.clear();
    world.pass(5 * MINUTE);
    assert_eq!(world.texts(1), ["the first"]);
    // In a conversation that is there it is the same.
    world.office.unlisted.insert(world.dk(0));
    let before = world.posts();
    for n in 0..5 {
        world.write(0, &format!("{n}"));
    }
    world.pass(10 * MINUTE);
    let posts = world.posts() - before;
    assert!((5..=60).contains(&posts), "{posts} posts");
    world.office.unlisted.clear();
    world.pass(5 * MINUTE);
    assert_eq!(world.texts(1), ["the first", "0", "1", "2", "3", "4"]);
    assert_eq!(world.devices[0].events.iter().filter(|event| matches!(event, Event::Refused { .. })).count(), 0);
    let failed = |event: &Event| matches!(event, Event::Mark { mark: Mark::Failed(_), .. });
    assert!(!world.devices[0].events.iter().any(failed));
}
