//! The body for sessions: both halves of one, whatever comes between them.

use postline_codec::stream::encode;
use postline_core::fault::{Code, PeerFault};
use postline_core::id::{Address, Hash, NodeKey};
use postline_core::machine::session::{device, node};
use postline_core::seal::{DeviceIdentity, NodeIdentity, Secret};
use postline_core::step::{Outbox, Tick};
use postline_core::time::Millis;
use postline_core::wire::frame::{Frame, Ready};
use postline_core::wire::talk::{Password, Question, Talk};

use super::read;
use crate::laws::{START, ours, theirs};
use crate::rng::Rng;
use crate::strategies;

const CHANNEL: [u8; 32] = [0xee; 32];
/// Most things that one step may want.
const MOST: usize = 4;

/// Both ends, twice: two runs of the same are the same.
#[derive(Clone)]
struct Both {
    device: device::Session,
    node: node::Session,
    to_node: Vec<Frame>,
    to_device: Vec<Frame>,
    /// What the node was told to be.
    nk: u8,
    /// What the device took its node to be; `None`: it never met one.
    known: Option<u8>,
    same_channel: bool,
    approved: bool,
    /// Whether anything was said to the node, or to the device, but by the other one.
    meddled: bool,
    checked: bool,
    proven: usize,
    over: [bool; 2],
    now: Millis,
}

/// Whatever comes between a device and its node, and whenever: a device shows nothing to a node that it doesn't know; a node
/// takes nobody for a device who isn't; what is over stays over; and the same happens each time.
///
/// The first byte says who the two are to each other; each eight bytes are something that happens.
///
/// # Panics
/// Where a promise is broken.
pub fn session_survives(bytes: &[u8]) {
    let Some((how, bytes)) = bytes.split_first() else { return };
    let (mut one, mut two) = (Both::begin(*how), Both::begin(*how));
    for word in super::words(bytes) {
        let said = one.happens(*how, word);
        assert_eq!(said, two.happens(*how, word), "two runs of the same differ");
        if one.over == [true; 2] {
            break;
        }
    }
}

fn node_identity(seed: u8) -> NodeIdentity {
    NodeIdentity::new(&Secret::new([seed; 32]), NodeKey([9; 32]))
}

fn device_identity() -> DeviceIdentity {
    DeviceIdentity::new(&Secret::new([3; 32]))
}

fn ready(last_seen: u64) -> Ready {
    Ready { next_nk: Hash([1; 32]), generation: 1, last_seen, window_items: 8, window_bytes: 8, max_body: 8 }
}

impl Both {
    fn begin(how: u8) -> Self {
        let known = match how & 3 {
            0 | 1 => Some(1),
            2 => Some(2),
            _ => None,
        };
        let met = known.map(|seed| device::Node { nk: node_identity(seed).nk(), next: None });
        let login = (how & 4 == 4)
            .then(|| device::Login { user: "one".to_owned(), password: Password("word".to_owned().into()) });
        let dial = device::Dial { address: ours(), node: met, login, posted: 5 };
        let (tick, same_channel) = (Tick { now: START, entropy: [1; 32] }, how & 8 == 0);
        let mut out = Outbox::new();
        let device = device::Session::dial(&tick, &device_identity(), dial, CHANNEL, &mut out);
        let channel = if same_channel { CHANNEL } else { [0xdd; 32] };
        let mut both = Self {
            device,
            node: node::Session::answer(&Tick { now: START, entropy: [2; 32] }, channel),
            to_node: Vec::new(),
            to_device: Vec::new(),
            nk: 1,
            known,
            same_channel,
            approved: false,
            meddled: false,
            checked: false,
            proven: 0,
            over: [false; 2],
            now: START,
        };
        both.device_said(&out);
        both
    }

    /// Something happens; gives what was said.
    fn happens(&mut self, how: u8, word: u64) -> String {
        let mut rng = Rng::new(word);
        self.now = self.now.plus(if rng.chance(30) { 70_000 } else { rng.below(50) });
        let enrolled = [Some(ours()), None, Some(theirs(0))].get(usize::from(how >> 4) % 3).cloned().flatten();
        match rng.below(100) {
            0..=64 if !self.to_node.is_empty() => {
                let frame = self.to_node.remove(0);
                self.node_hears(node::Input::Frame(frame), enrolled.as_ref(), word)
            }
            0..=64 if !self.to_device.is_empty() => {
                let frame = self.to_device.remove(0);
                self.device_hears(device::Input::Frame(frame), word)
            }
            0..=29 => self.node_hears(node::Input::Admit(ready(rng.below(9))), enrolled.as_ref(), word),
            30..=49 | 65..=69 => {
                self.approved = true;
                self.device_hears(device::Input::Approved, word)
            }
            50..=64 | 70..=74 => {
                let good = rng.chance(800);
                self.checked |= good;
                self.node_hears(node::Input::Checked(good), enrolled.as_ref(), word)
            }
            75..=80 => {
                self.meddle(&mut rng);
                String::new()
            }
            81..=89 => {
                let what = Question::Lists { asker: ours(), whose: theirs(0), after: 0 };
                self.device_hears(device::Input::Say(Talk::Ask { number: 1, what }), word)
            }
            90 => self.node_hears(node::Input::End(Code::Goodbye), enrolled.as_ref(), word),
            91 => self.device_hears(device::Input::Leave, word),
            92 => self.node_hears(node::Input::Garbage(PeerFault::Signature), enrolled.as_ref(), word),
            93..=96 => self.device_hears(device::Input::Wake, word),
            _ => self.node_hears(node::Input::Wake, enrolled.as_ref(), word),
        }
    }

    /// Somebody between the two drops, doubles, changes or adds a frame.
    fn meddle(&mut self, rng: &mut Rng) {
        self.meddled = true;
        let added = strategies::frame(rng);
        let queue = if rng.chance(500) { &mut self.to_node } else { &mut self.to_device };
        match (rng.below(4), queue.first().cloned()) {
            (0, Some(_)) => _ = queue.remove(0),
            (1, Some(first)) => queue.push(first),
            (2, Some(first)) => {
                let mut bytes = Vec::new();
                _ = encode(&first, None, &mut bytes);
                let at = rng.index(bytes.len());
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << rng.below(8);
                }
                let (frames, _) = read(&bytes, true, &mut || usize::MAX);
                _ = queue.remove(0);
                queue.extend(frames.into_iter().map(|incoming| incoming.frame));
            }
            _ => queue.insert(0, added),
        }
    }

    fn tick(&self, word: u64) -> Tick {
        Tick { now: self.now, entropy: Rng::new(word).bytes() }
    }

    fn device_hears(&mut self, input: device::Input, word: u64) -> String {
        let (tick, mut out) = (self.tick(word), Outbox::new());
        self.device.step(&tick, &device_identity(), input, &mut out);
        self.device_said(&out);
        format!("{out:?}")
    }

    fn device_said(&mut self, out: &Outbox<device::Output>) {
        assert!(out.effects().count() <= MOST && out.records().next().is_none());
        for output in out.effects() {
            assert!(!self.over[0], "a device that is done says {output:?}");
            match output {
                device::Output::Send(frame) => {
                    let shows = matches!(frame, Frame::Proof(_) | Frame::Talk(Talk::Login { .. }));
                    let may = match self.known {
                        Some(known) => known == self.nk,
                        None => self.approved,
                    };
                    assert!(!shows || (may && self.same_channel), "it shows itself to who isn't its node");
                    self.to_node.push(frame.clone());
                }
                device::Output::Unknown(nk) => assert_eq!((*nk, self.known), (node_identity(self.nk).nk(), None)),
                device::Output::Ready { nk, behind, ready } => {
                    assert_eq!(*nk, node_identity(self.nk).nk());
                    assert_eq!(behind.is_some(), ready.last_seen > 5, "a copy that isn't told");
                }
                device::Output::Talk(talk) => assert!(!matches!(talk, Talk::Login { .. }) && self.device.is_up()),
                device::Output::File(_) => assert!(self.device.is_up()),
                device::Output::Whisper(_) => assert!(self.device.is_up(), "a whisper before Ready"),
                device::Output::Left(_) | device::Output::Failed(_) => self.over[0] = true,
            }
        }
        assert_eq!(self.over[0], self.device.deadline().is_none(), "what is over waits for nothing");
    }

    fn node_hears(&mut self, input: node::Input, enrolled: Option<&Address>, word: u64) -> String {
        let (tick, mut out) = (self.tick(word), Outbox::new());
        let identity = node_identity(self.nk);
        self.node.step(&tick, node::Ours { identity: &identity, enrolled }, input, &mut out);
        assert!(out.effects().count() <= MOST && out.records().next().is_none());
        for output in out.effects() {
            assert!(!self.over[1], "a node that is done says {output:?}");
            match output {
                node::Output::Send(frame) => self.to_device.push(frame.clone()),
                node::Output::Check { user, .. } => assert!(user == "one" || self.meddled, "a login of nobody"),
                node::Output::Proven(who) => {
                    self.proven += 1;
                    assert!(self.same_channel && self.proven == 1, "a proof of another connection");
                    assert_eq!((&who.address, who.dk, who.posted), (&ours(), device_identity().dk(), 5));
                    assert!(if who.enrols { self.checked } else { enrolled == Some(&who.address) }, "{who:?}");
                }
                node::Output::Talk(talk) => assert!(!matches!(talk, Talk::Login { .. }) && self.node.is_up()),
                node::Output::File(_) => assert!(self.node.is_up()),
                node::Output::Whisper(_) => assert!(self.node.is_up(), "a whisper before Ready"),
                node::Output::Left(_) | node::Output::Failed(_) => self.over[1] = true,
            }
        }
        assert_eq!(self.over[1], self.node.deadline().is_none(), "what is over waits for nothing");
        format!("{out:?}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// [U-5] [U-6]
    #[test]
    fn sessions_come_up_and_fail_in_every_way() {
        let mut outcomes = std::collections::BTreeMap::new();
        for seed in 0..640_u64 {
            let how = u8::try_from(seed % 64).unwrap();
            let mut both = Both::begin(how);
            for word in 0..40 {
                both.happens(how, seed << 8 | word);
            }
            let outcome = (both.device.is_up(), both.node.is_up(), both.proven > 0, both.meddled);
            *outcomes.entry(outcome).or_insert(0) += 1;
        }
        let up = outcomes.iter().filter(|((device, node, ..), _)| *device && *node).count();
        assert!(up > 0 && outcomes.len() >= 6, "{outcomes:?}");
    }
}
