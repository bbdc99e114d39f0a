//! [`Client`] under the laws, at a node that is honest when it is asked to be, and says anything else besides.
//!
//! What the node answers comes within the step: so the device gets as far as it does in earnest, and each of its steps,
//! however many, has a tick of its own that follows from the script's.

use std::collections::VecDeque;

use postline_core::client::{self, Client, Event, Output, SessionIn};
use postline_core::fault::Misuse;
use postline_core::id::{Address, Hash};
use postline_core::limits;
use postline_core::machine::session::node;
use postline_core::seal::lists::Chain;
use postline_core::seal::{AddressIdentity, DeviceIdentity, Secret, mls};
use postline_core::step::{Machine, Outbox, Tick};
use postline_core::store::{Key, sha256};
use postline_core::time::Millis;
use postline_core::wire::frame::{Frame, Ready};
use postline_core::wire::list::Device;
use postline_core::wire::log::{HeadsSigned, direct};
use postline_core::wire::talk::{Event as Entry, Finding, Head, Heads, Line, Post, Publication, Question, Talk};
use postline_core::wire::whisper::Whisper;

use super::{Records, START, Subject, identity, must, ours, theirs};

/// The handshake of the line that the node tells of.
const T2: Hash = Hash([0x72; 32]);

/// What happens to a device and its node.
#[derive(Clone, Debug)]
pub enum ClientInput {
    /// To the device.
    Client(client::Input),
    /// The node says something, whatever it is.
    Says(Talk),
    /// The node whispers something.
    Whispers(Whisper),
    /// The node answers the oldest thing that it heard, honestly.
    Answers,
}

/// A device at a node.
#[derive(Debug)]
pub struct AtNode {
    client: Client,
    disk: Records,
    session: Option<node::Session>,
    heard: VecDeque<Talk>,
    list: Option<Vec<u8>>,
}

/// The person whom the device's person writes to, and the device that they have.
struct Them {
    ak: AddressIdentity,
    device: DeviceIdentity,
    list: Vec<u8>,
    chain: Chain,
}

fn them() -> Them {
    let ak = AddressIdentity::new(&Secret::new([0x21; 32]));
    let device = DeviceIdentity::new(&Secret::new([0x22; 32]));
    let next = AddressIdentity::new(&Secret::new([0x23; 32])).ak().hash();
    let (list, chain) = must(Chain::found(theirs(0), &ak, next, false, vec![Device::new(device.dk(), false, START)]));
    Them { ak, device, list: list.bytes().to_vec(), chain }
}

/// The line, as an honest node tells of it.
#[must_use]
pub fn line() -> Line {
    let them = them();
    let proof = must(them.chain.prove(&them.ak, &ours(), T2));
    let (t2, proof) = (Some(T2), Some(proof.bytes().to_vec()));
    Line { theirs: theirs(0), t2, offered: true, nk: identity(1).nk(), proof, list: 1 }
}

impl AtNode {
    fn new(records: &Records) -> Self {
        let ours = client::Ours { address: ours(), hosted: false };
        let first = records.values().filter(|record| Client::restored_at_start(&record.key)).cloned();
        let client = must(Client::restore(ours, first));
        Self { client, disk: records.clone(), session: None, heard: VecDeque::new(), list: None }
    }

    /// The device.
    #[must_use]
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// Steps the device, and whatever follows from it at its node.
    fn run(&mut self, tick: &mut Ticks, input: client::Input, out: &mut Outbox<Event>) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            for _ in 0..8 {
                for key in self.client.wants(&input) {
                    must(self.client.hydrate(&key, self.disk.get(&key)));
                }
            }
            let mut said = Outbox::new();
            must(self.client.step(&tick.next(), input, &mut said));
            let effects: Vec<Output> = said.effects().cloned().collect();
            for record in said.records() {
                match &record.value {
                    Some(_) => self.disk.insert(record.key.clone(), record.clone()),
                    None => self.disk.remove(&record.key),
                };
                out.save(record.clone());
            }
            for effect in effects {
                match effect {
                    Output::Dial => {
                        let channel = tick.next().entropy;
                        self.session = Some(node::Session::answer(&tick.next(), channel));
                        inputs.push_back(client::Input::Session(SessionIn::Up { channel }));
                    }
                    Output::Send(frame) => self.tell_node(tick, node::Input::Frame(frame), &mut inputs),
                    Output::Close => self.session = None,
                    Output::Approve(nk) => {
                        inputs.push_back(client::Input::Session(SessionIn::Approved { nk, yes: true }));
                    }
                    // What is to be done about the bytes of files, nothing comes of; the strategies say what might.
                    Output::Bytes(_) => {}
                    Output::Event(event) => out.emit(event),
                }
            }
        }
    }

    fn tell_node(&mut self, tick: &mut Ticks, input: node::Input, inputs: &mut VecDeque<client::Input>) {
        let Some(session) = &mut self.session else { return };
        let (identity, address) = (identity(0), ours());
        let mut said = Outbox::new();
        let ours = node::Ours { identity: &identity, enrolled: Some(&address) };
        session.step(&tick.next(), ours, input, &mut said);
        for output in said.effects().cloned().collect::<Vec<_>>() {
            match output {
                node::Output::Send(frame) => inputs.push_back(client::Input::Session(SessionIn::Frame(frame))),
                node::Output::Check { .. } => self.tell_node(tick, node::Input::Checked(true), inputs),
                node::Output::Proven(_) => {
                    let ready = Ready {
                        next_nk: identity.next_nk(),
                        generation: 1,
                        last_seen: 0,
                        window_items: 1,
                        window_bytes: 1,
                        max_body: 1,
                    };
                    self.tell_node(tick, node::Input::Admit(ready), inputs);
                }
                node::Output::Talk(talk) => self.heard.push_back(talk),
                // Its node answers nothing of files; the strategies do.
                node::Output::File(_) => {}
                // A node answers nothing to it.
                node::Output::Whisper(_) => {}
                node::Output::Left(_) | node::Output::Failed(_) => {
                    self.session = None;
                    inputs.push_back(client::Input::Session(SessionIn::Down));
                }
            }
        }
    }

    fn says(&mut self, tick: &mut Ticks, talk: Talk, out: &mut Outbox<Event>) {
        if self.session.as_ref().is_some_and(node::Session::is_up) {
            self.run(tick, client::Input::Session(SessionIn::Frame(Frame::Talk(talk))), out);
        }
    }

    fn answers(&mut self, tick: &mut Ticks, out: &mut Outbox<Event>) {
        match self.heard.pop_front() {
            Some(Talk::Publish { number, what }) => {
                if let Publication::List(bytes) = what {
                    self.list = Some(bytes);
                }
                self.says(tick, Talk::Published { number, code: None }, out);
            }
            Some(Talk::Ask { number, what }) => {
                let found = self.finds(tick, &what);
                self.says(tick, Talk::Answer { number, what: Ok(found) }, out);
            }
            Some(Talk::Post(post)) => self.takes(tick, post, out),
            Some(_) | None => self.says(tick, Talk::Line(line()), out),
        }
    }

    fn finds(&self, tick: &mut Ticks, what: &Question) -> Finding {
        let own = |whose: &Address| *whose == ours();
        match what {
            Question::Lists { whose, .. } if own(whose) => Finding::Lists(self.list.iter().cloned().collect()),
            Question::Lists { .. } => Finding::Lists(vec![them().list]),
            Question::Packages { whose, .. } if own(whose) => Finding::Packages(Vec::new()),
            Question::Packages { .. } => {
                let them = them();
                let leaf = must(them.chain.leaf(&them.ak, them.device.dk()));
                let me = mls::Me { device: &them.device, leaf: &leaf };
                Finding::Packages(vec![must(mls::make(&tick.next(), 0, me, false)).public])
            }
            Question::Range { .. } => Finding::Sent,
        }
    }

    /// The hub takes a post: it comes back as the entry that follows, under a signed head.
    fn takes(&mut self, tick: &mut Ticks, post: Post, out: &mut Outbox<Event>) {
        let Post { conversation, origin, kind, epoch, members, bytes: _ } = post;
        let seq = self.client.conversations().find(|talk| talk.id == conversation).map_or(0, |talk| talk.seq) + 1;
        let (term, origin) = (0, Some(origin));
        self.says(tick, Talk::Event(Entry { conversation, term, seq, kind, epoch, origin, members, bytes: None }), out);
        let head = Head { conversation, term, seq, hash: Hash([1; 32]) };
        let leaves = vec![head.leaf()];
        let signature = identity(0).sign(&HeadsSigned(&leaves)).to_vec();
        // A head of another log, now and then, is what a hub that lies signs.
        if tick.next().entropy.first().is_some_and(|byte| *byte < 16) {
            self.says(tick, Talk::Heads(Heads { leaves, heads: vec![(0, head)], signature }), out);
        }
        self.says(tick, Talk::Delivered { conversation, member: theirs(0), seq }, out);
    }
}

/// Ticks that follow from one.
struct Ticks {
    tick: Tick,
    drawn: u64,
}

impl Ticks {
    fn next(&mut self) -> Tick {
        self.drawn += 1;
        Tick { now: self.tick.now, entropy: sha256(&[&self.tick.entropy, &self.drawn.to_be_bytes()]).0 }
    }
}

impl Machine for AtNode {
    type Input = ClientInput;
    type Output = Event;
    type Fault = Misuse;

    fn step(&mut self, tick: &Tick, input: ClientInput, out: &mut Outbox<Event>) -> Result<(), Misuse> {
        let mut ticks = Ticks { tick: tick.clone(), drawn: 0 };
        match input {
            ClientInput::Client(input) => self.run(&mut ticks, input, out),
            ClientInput::Says(talk) => self.says(&mut ticks, talk, out),
            ClientInput::Whispers(whisper) => {
                if self.session.as_ref().is_some_and(node::Session::is_up) {
                    let input = SessionIn::Frame(Frame::Whisper(whisper));
                    self.run(&mut ticks, client::Input::Session(input), out);
                }
            }
            ClientInput::Answers => self.answers(&mut ticks, out),
        }
        Ok(())
    }

    fn deadline(&self) -> Option<Millis> {
        self.client.deadline()
    }
}

/// The direct conversation of the two.
#[must_use]
pub fn conversation() -> postline_core::id::ConversationId {
    direct(T2)
}

/// [`Client`] under the laws.
#[derive(Debug)]
pub struct ClientLaws;

impl Subject for ClientLaws {
    type Machine = AtNode;
    const MOST: usize = 2 * limits::AHEAD;

    fn fresh() -> AtNode {
        AtNode::new(&Records::new())
    }

    fn restored(records: &Records) -> AtNode {
        AtNode::new(records)
    }

    /// All that people were told is on the disk: who they are, whom they know, how far each conversation is, what waits.
    fn after_crash(machine: &AtNode, records: &Records) -> AtNode {
        let restored = AtNode::new(records);
        let [before, after] = [&machine.client, &restored.client].map(|client| {
            let talks = client.conversations().map(|talk| (talk.id, talk.with, talk.seq, talk.joined));
            let contacts: Vec<_> = client.contacts().collect();
            (client.dk(), client.is_enrolled(), contacts, talks.collect::<Vec<_>>(), client.waiting())
        });
        assert_eq!(before, after, "what is in memory is not what is on the disk");
        let drafts = records.keys().filter(|key| matches!(key, Key::Draft(_))).count();
        assert_eq!(machine.client.waiting(), drafts, "what waits in memory is not what waits on the disk");
        restored
    }

    fn wake() -> ClientInput {
        ClientInput::Client(client::Input::Wake)
    }

    fn size(machine: &AtNode) -> usize {
        machine.client.in_memory()
    }
}
