//! A real device, and the session with its node: told by the model, and kept as its host would.

use std::collections::BTreeMap;

use postline_core::client::io::{Event, Login};
use postline_core::client::{Client, Command, Input, Ours, Output, SessionIn};
use postline_core::id::Address;
use postline_core::seal::NodeIdentity;
use postline_core::step::{Machine, Outbox, Tick};
use postline_core::store::{Key, Record};
use postline_core::time::Millis;
use postline_core::wire::frame::{Frame, Ready};
use postline_core::wire::session::{End, NodeHello, Proof};
use postline_core::wire::talk::{Finding, Password, Publication, Question, Talk};

/// What a host keeps of a device.
pub(crate) type Kept = BTreeMap<Key, Record>;

/// Time stands still: what a device would only ask again, the world says again.
const NOW: Millis = Millis(1_795_000_000_000);
const CHANNEL: [u8; 32] = [0xcc; 32];

/// A device that runs.
#[derive(Debug)]
pub(crate) struct Device {
    pub(crate) client: Client,
    pub(crate) kept: Kept,
}

impl Device {
    /// Starts from its records.
    pub(crate) fn start(address: &Address, kept: Kept) -> Self {
        let records = kept.values().filter(|record| Client::restored_at_start(&record.key)).cloned();
        let ours = Ours { address: address.clone(), hosted: false };
        let client = Client::restore(ours, records).expect("records that were just made");
        Self { client, kept }
    }

    /// Tells it something. Each step is stored before anything leaves.
    pub(crate) fn tell(&mut self, input: Input) -> Vec<Output> {
        let (mut out, tick) = (Outbox::new(), tick(self.client.address()));
        self.client.step(&tick, input, &mut out).expect("what a step wants is here");
        for record in out.records() {
            match record.value {
                Some(_) => _ = self.kept.insert(record.key.clone(), record.clone()),
                None => _ = self.kept.remove(&record.key),
            }
        }
        out.effects().cloned().collect()
    }

    pub(crate) fn hear(&mut self, talk: Talk) -> Vec<Output> {
        self.tell(frame(Frame::Talk(talk)))
    }

    /// Brings the session with its node up: the first one enrols.
    pub(crate) fn connect(&mut self, node: &NodeIdentity) -> Vec<Output> {
        let first = self.client.dk().is_none();
        let login = || Login { user: "somebody".to_owned(), password: Password("secret".to_owned().into()) };
        let dialled =
            self.tell(if first { Input::Command(Command::Enrol { login: Some(login()) }) } else { Input::Wake });
        assert!(dialled.contains(&Output::Dial), "a device that doesn't dial: {dialled:?}");
        let greeted = self.tell(Input::Session(SessionIn::Up { channel: CHANNEL }));
        let [Output::Send(Frame::Hello(ours))] = greeted.as_slice() else { panic!("a hello, and not {greeted:?}") };
        let theirs = NodeHello::new(node.nk(), None, [0xee; 32]).canonical();
        let proof = node.sign(&Proof::new(End::Node, ours, &theirs, &CHANNEL)).to_vec();
        self.tell(frame(Frame::Hello(theirs)));
        if self.tell(frame(Frame::Proof(proof))).contains(&Output::Approve(node.nk())) {
            self.tell(Input::Session(SessionIn::Approved { nk: node.nk(), yes: true }));
        }
        let next_nk = node.next_nk();
        let (window_items, window_bytes, max_body) = (8, 1 << 20, 1 << 20);
        self.tell(frame(Frame::Ready(Ready {
            next_nk,
            generation: 1,
            last_seen: 0,
            window_items,
            window_bytes,
            max_body,
        })))
    }
}

fn tick(of: &Address) -> Tick {
    Tick { now: NOW, entropy: postline_core::store::sha256(&[b"model keys", of.to_string().as_bytes()]).0 }
}

pub(crate) fn setup_tick() -> Tick {
    Tick { now: NOW, entropy: [0x77; 32] }
}

fn frame(frame: Frame) -> Input {
    Input::Session(SessionIn::Frame(frame))
}

/// The questions about somebody's lists in what a device says, by number.
pub(crate) fn asks(said: &[Output]) -> Vec<(u64, Address)> {
    let asks = said.iter().filter_map(|output| match output {
        Output::Send(Frame::Talk(Talk::Ask { number, what: Question::Lists { whose, .. } })) => {
            Some((*number, whose.clone()))
        }
        _ => None,
    });
    asks.collect()
}

/// What it makes known, by number.
pub(crate) fn publications(said: &[Output]) -> Vec<(u64, Publication)> {
    let publications = said.iter().filter_map(|output| match output {
        Output::Send(Frame::Talk(Talk::Publish { number, what })) => Some((*number, what.clone())),
        _ => None,
    });
    publications.collect()
}

/// What its person is told.
pub(crate) fn events(said: &[Output]) -> impl Iterator<Item = &Event> {
    said.iter().filter_map(|output| match output {
        Output::Event(event) => Some(event),
        _ => None,
    })
}

pub(crate) fn answer(number: u64, lists: Vec<Vec<u8>>) -> Talk {
    Talk::Answer { number, what: Ok(Finding::Lists(lists)) }
}

pub(crate) fn taken(number: u64) -> Talk {
    Talk::Published { number, code: None }
}
