#![allow(clippy::wildcard_enum_match_arm, reason = "a test looks at what it is about")]

use super::{device, node};
use crate::fault::{Code, PeerFault};
use crate::id::{Address, Hash, NodeKey};
use crate::limits;
use crate::seal::{DeviceIdentity, NodeIdentity, Secret};
use crate::step::{Outbox, Store, Tick};
use crate::store::{Record, sha256};
use crate::time::Millis;
use crate::wire::frame::{Frame, Ready};
use crate::wire::session::{DeviceHello, NodeHello};
use crate::wire::talk::{Password, Question, Talk};

const CHANNEL: [u8; 32] = [0xee; 32];

struct NoStore;
impl Store for NoStore {
    type Fault = core::convert::Infallible;
    fn write(&mut self, _: &[Record]) -> Result<(), Self::Fault> {
        Ok(())
    }
}

fn opened<O>(out: Outbox<O>) -> Vec<O> {
    let (_, held) = out.split();
    held.open(NoStore.commit(&[]).unwrap())
}

fn tick(now: u64) -> Tick {
    Tick { now: Millis(now), entropy: [u8::try_from(now % 251).unwrap(); 32] }
}

fn ann() -> Address {
    Address::parse("ann@a.example").unwrap()
}

fn nk(seed: u8) -> NodeIdentity {
    NodeIdentity::new(&Secret::new([seed; 32]), NodeKey([9; 32]))
}

fn dk() -> DeviceIdentity {
    DeviceIdentity::new(&Secret::new([3; 32]))
}

fn login() -> device::Login {
    device::Login { user: "ann".into(), password: Password("secret".to_owned().into()) }
}

fn known() -> device::Dial {
    device::Dial { address: ann(), node: Some(device::Node { nk: nk(1).nk(), next: None }), login: None, posted: 5 }
}

fn ready(last_seen: u64) -> Ready {
    Ready { next_nk: Hash([1; 32]), generation: 1, last_seen, window_items: 8, window_bytes: 8, max_body: 8 }
}

/// Both ends of one connection, each with what it put out that is no frame.
struct Both {
    device: device::Session,
    node: node::Session,
    identity: NodeIdentity,
    enrolled: Option<Address>,
    to_node: Vec<Frame>,
    to_device: Vec<Frame>,
    said_by_device: Vec<device::Output>,
    said_by_node: Vec<node::Output>,
    now: u64,
}

impl Both {
    fn dial(dial: device::Dial, channels: [[u8; 32]; 2], identity: NodeIdentity, enrolled: Option<Address>) -> Self {
        let mut out = Outbox::new();
        let device = device::Session::dial(&tick(1), &dk(), dial, channels[0], &mut out);
        let mut both = Self {
            device,
            node: node::Session::answer(&tick(2), channels[1]),
            identity,
            enrolled,
            to_node: Vec::new(),
            to_device: Vec::new(),
            said_by_device: Vec::new(),
            said_by_node: Vec::new(),
            now: 3,
        };
        both.device_said(out);
        both
    }

    fn device_said(&mut self, out: Outbox<device::Output>) {
        for output in opened(out) {
            match output {
                device::Output::Send(frame) => self.to_node.push(frame),
                other => self.said_by_device.push(other),
            }
        }
    }

    fn tell_device(&mut self, input: device::Input) {
        let mut out = Outbox::new();
        self.device.step(&tick(self.now), &dk(), input, &mut out);
        self.device_said(out);
    }

    fn tell_node(&mut self, input: node::Input) {
        let mut out = Outbox::new();
        let ours = node::Ours { identity: &self.identity, enrolled: self.enrolled.as_ref() };
        self.node.step(&tick(self.now), ours, input, &mut out);
        for output in opened(out) {
            match output {
                node::Output::Send(frame) => self.to_device.push(frame),
                other => self.said_by_node.push(other),
            }
        }
    }

    /// Brings all frames over, until none is left.
    fn run(&mut self) {
        while !self.to_node.is_empty() || !self.to_device.is_empty() {
            for frame in std::mem::take(&mut self.to_node) {
                self.tell_node(node::Input::Frame(frame));
            }
            for frame in std::mem::take(&mut self.to_device) {
                self.tell_device(device::Input::Frame(frame));
            }
        }
    }

    fn up() -> Self {
        let mut both = Self::dial(known(), [CHANNEL; 2], nk(1), Some(ann()));
        both.run();
        assert!(matches!(both.said_by_node.as_slice(), [node::Output::Proven(who)] if !who.enrols));
        both.tell_node(node::Input::Admit(ready(5)));
        both.run();
        let [device::Output::Ready { behind: None, .. }] = both.said_by_device.as_slice() else {
            panic!("{:?}", both.said_by_device)
        };
        (both.said_by_device, both.said_by_node) = (Vec::new(), Vec::new());
        both
    }
}

#[test]
fn a_known_device_and_its_node_meet() {
    let both = Both::up();
    assert!(both.device.is_up() && both.node.is_up());
}

/// [U-5] [U-7]
#[test]
fn a_device_enrols_by_a_login_that_only_its_approved_node_sees() {
    let mut both =
        Both::dial(device::Dial { node: None, login: Some(login()), posted: 0, ..known() }, [CHANNEL; 2], nk(1), None);
    both.run();
    assert_eq!(both.said_by_device, [device::Output::Unknown(nk(1).nk())]);
    assert!(both.said_by_node.is_empty(), "the node saw a login before its key was approved");
    both.tell_device(device::Input::Approved);
    both.run();
    assert!(matches!(both.said_by_node.as_slice(), [node::Output::Check { user, .. }] if user == "ann"));
    both.tell_node(node::Input::Checked(true));
    assert!(
        matches!(both.said_by_node.as_slice(), [_, node::Output::Proven(who)] if who.enrols && who.address == ann())
    );
}

/// [U-7]
#[test]
fn t_106_a_wrong_login_an_unknown_device_and_another_address_hear_the_same() {
    let bye = vec![Frame::Bye { code: Code::Login }];
    let other = Address::parse("bea@a.example").unwrap();
    for enrolled in [None, Some(other)] {
        let mut both = Both::dial(known(), [CHANNEL; 2], nk(1), enrolled);
        for frame in std::mem::take(&mut both.to_node) {
            both.tell_node(node::Input::Frame(frame));
        }
        for frame in std::mem::take(&mut both.to_device) {
            both.tell_device(device::Input::Frame(frame));
        }
        for frame in std::mem::take(&mut both.to_node) {
            both.tell_node(node::Input::Frame(frame));
        }
        assert_eq!(both.to_device, bye);
    }
    let mut both = Both::dial(device::Dial { login: Some(login()), ..known() }, [CHANNEL; 2], nk(1), None);
    both.run();
    both.tell_node(node::Input::Checked(false));
    assert_eq!(both.to_device, bye);
    assert_eq!(both.said_by_node.last(), Some(&node::Output::Failed(PeerFault::Login)));
}

/// [U-4]
#[test]
fn t_103_a_proof_is_worth_nothing_on_another_channel() {
    // Somebody in the middle runs two TLS sessions: the exporters differ, and the device shows nothing at all.
    let mut both = Both::dial(known(), [CHANNEL, [0xdd; 32]], nk(1), Some(ann()));
    both.run();
    assert_eq!(both.said_by_device, [device::Output::Failed(PeerFault::Signature)]);
    assert_eq!(both.said_by_node, [node::Output::Left(Code::Denied)]);
}

#[test]
fn t_103_a_proof_that_was_heard_once_opens_nothing_again() {
    let mut both = Both::dial(known(), [CHANNEL; 2], nk(1), Some(ann()));
    let hello = both.to_node.clone();
    for frame in std::mem::take(&mut both.to_node) {
        both.tell_node(node::Input::Frame(frame));
    }
    for frame in std::mem::take(&mut both.to_device) {
        both.tell_device(device::Input::Frame(frame));
    }
    let proof = both.to_node.clone();
    // Even over the very same channel: the node's Hello is fresh.
    both.node = node::Session::answer(&tick(2), CHANNEL);
    (both.now, both.to_node) = (100, Vec::new());
    for frame in hello.into_iter().chain(proof) {
        both.tell_node(node::Input::Frame(frame));
    }
    assert_eq!(both.said_by_node, [node::Output::Failed(PeerFault::Signature)]);
}

#[test]
fn t_064_a_mirrored_hello_or_proof_is_refused() {
    let mut both = Both::dial(known(), [CHANNEL; 2], nk(1), Some(ann()));
    let hello = both.to_node.remove(0);
    both.tell_device(device::Input::Frame(hello.clone()));
    assert!(matches!(both.said_by_device.as_slice(), [device::Output::Failed(PeerFault::Frame(_))]));
    let mut both = Both::dial(known(), [CHANNEL; 2], nk(1), Some(ann()));
    both.tell_node(node::Input::Frame(hello));
    let proof = both.to_device.pop().unwrap();
    both.tell_node(node::Input::Frame(proof));
    assert_eq!(both.said_by_node, [node::Output::Failed(PeerFault::Signature)]);
}

#[test]
fn t_065_another_nodes_key_is_refused_before_anything_is_shown() {
    let mut both = Both::dial(device::Dial { login: Some(login()), ..known() }, [CHANNEL; 2], nk(2), Some(ann()));
    both.run();
    let wrong = PeerFault::WrongKey { got: nk(2).nk(), want: nk(1).nk() };
    assert_eq!(both.said_by_device, [device::Output::Failed(wrong)]);
    assert_eq!(both.said_by_node, [node::Output::Left(Code::Denied)], "it saw no proof and no login");
}

/// [U-5] [K-6]
#[test]
fn a_node_that_changed_to_the_key_that_it_announced_is_the_same_node() {
    let next = Some(sha256(&[&nk(2).nk().0]));
    let node = Some(device::Node { nk: nk(1).nk(), next });
    let followed = || nk(2).following(Some(nk(1).nk()));
    let mut both = Both::dial(device::Dial { node, ..known() }, [CHANNEL; 2], followed(), Some(ann()));
    both.run();
    both.tell_node(node::Input::Admit(ready(0)));
    both.run();
    assert!(matches!(both.said_by_device.as_slice(), [device::Output::Ready { nk: now, .. }] if *now == nk(2).nk()));
    // Not announced: another node, whatever it says.
    let mut both = Both::dial(known(), [CHANNEL; 2], followed(), Some(ann()));
    both.run();
    assert!(matches!(both.said_by_device.as_slice(), [device::Output::Failed(PeerFault::WrongKey { .. })]));
}

/// [U-9]
#[test]
fn t_062_a_copy_of_a_device_learns_that_it_is_one() {
    let mut both = Both::dial(known(), [CHANNEL; 2], nk(1), Some(ann()));
    both.run();
    both.tell_node(node::Input::Admit(ready(6)));
    both.run();
    let [device::Output::Ready { behind, .. }] = both.said_by_device.as_slice() else { panic!() };
    assert_eq!(*behind, Some(PeerFault::Behind { got: 5, seen: 6 }));
}

/// [U-6]
#[test]
fn t_091_before_proof_nothing_but_the_greeting_is_heard_and_not_for_long() {
    for frame in [Frame::Ping(1), Frame::Ready(ready(0)), Frame::Unknown { kind: 200 }, Frame::Proof(vec![0; 64])] {
        let mut both = Both::dial(known(), [CHANNEL; 2], nk(1), Some(ann()));
        both.tell_node(node::Input::Frame(frame));
        assert!(matches!(both.said_by_node.as_slice(), [node::Output::Failed(PeerFault::Frame(_))]));
        assert_eq!(both.node.deadline(), None);
    }
    let mut both = Both::dial(known(), [CHANNEL; 2], nk(1), Some(ann()));
    both.now = both.node.deadline().unwrap().0 - 1;
    both.tell_node(node::Input::Wake);
    assert!(both.said_by_node.is_empty());
    both.now += 1;
    both.tell_node(node::Input::Wake);
    assert_eq!(both.said_by_node, [node::Output::Failed(PeerFault::Late(limits::GREETING_MS))]);
}

/// [U-11]
#[test]
fn t_084_a_device_that_talks_too_much_or_out_of_place_is_closed() {
    let question =
        || Frame::Talk(Talk::Ask { number: 1, what: Question::Lists { asker: ann(), whose: ann(), after: 0 } });
    let mut both = Both::up();
    for _ in 0..limits::SESSION_TALK_PER_SECOND / 16 {
        both.tell_node(node::Input::Frame(question()));
    }
    assert!(both.node.is_up());
    both.tell_node(node::Input::Frame(question()));
    assert!(matches!(both.said_by_node.last(), Some(node::Output::Failed(PeerFault::Rate { .. }))));
    let mut both = Both::up();
    let login = Talk::Login { user: "ann".into(), password: Password("secret".to_owned().into()) };
    both.tell_node(node::Input::Frame(Frame::Talk(login)));
    assert!(matches!(both.said_by_node.last(), Some(node::Output::Failed(PeerFault::Frame(_)))));
}

#[test]
fn silence_brings_a_ping_and_more_silence_the_end() {
    let mut both = Both::up();
    both.now = both.node.deadline().unwrap().0;
    both.tell_node(node::Input::Wake);
    assert!(matches!(both.to_device.as_slice(), [Frame::Ping(_)]));
    both.run();
    both.now = both.node.deadline().unwrap().0;
    both.tell_node(node::Input::Wake);
    assert!(both.to_device.is_empty() && both.node.is_up(), "it was answered");
    both.now = both.node.deadline().unwrap().0;
    both.tell_node(node::Input::Wake);
    both.to_device.clear();
    both.now = both.node.deadline().unwrap().0;
    both.tell_node(node::Input::Wake);
    assert_eq!(both.said_by_node, [node::Output::Failed(PeerFault::Late(limits::LINK_PONG_MS))]);
}

#[test]
fn what_is_fresh_is_fresh_at_each_end_of_each_connection() {
    let mut seen = std::collections::BTreeSet::new();
    for now in [10, 20] {
        let mut out = Outbox::new();
        let _session = device::Session::dial(&tick(now), &dk(), known(), CHANNEL, &mut out);
        let [device::Output::Send(Frame::Hello(hello))] = &opened(out)[..] else { panic!() };
        seen.insert(DeviceHello::parse(hello).unwrap().fresh);
        let mut node = node::Session::answer(&tick(now), CHANNEL);
        let (mut out, identity) = (Outbox::new(), nk(1));
        let ours = node::Ours { identity: &identity, enrolled: None };
        node.step(&tick(now + 100), ours, node::Input::Frame(Frame::Hello(hello.clone())), &mut out);
        let [node::Output::Send(Frame::Hello(hello)), ..] = &opened(out)[..] else { panic!() };
        seen.insert(NodeHello::parse(hello).unwrap().fresh);
    }
    assert_eq!(seen.len(), 4);
}
