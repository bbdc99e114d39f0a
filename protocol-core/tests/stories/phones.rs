//! Devices as the hub's stories need them: real sessions, sealed bytes that nobody opens, and a memory that survives.

use std::collections::{BTreeMap, BTreeSet};

use postline_core::fault::Code;
use postline_core::id::{Address, ConversationId, DeviceKey, Hash, SessionId};
use postline_core::machine::session::device::{Dial, Input, Login, Output, Session};
use postline_core::seal::{DeviceIdentity, Secret};
use postline_core::server::{LoginOk, SessionIn, SessionOut};
use postline_core::step::{Outbox, Store, Tick};
use postline_core::store::{Record, sha256};
use postline_core::time::Millis;
use postline_core::wire::file::{BytesIn, BytesOut, File};
use postline_core::wire::frame::Frame;
use postline_core::wire::log::{Link, chain, direct, root, tag};
use postline_core::wire::talk::{Event, Head, Kind, Line, Origin, Password, Post, Publication, Question, Talk};
use postline_world::bytes::mailbox_of;
use postline_world::world::World;

use crate::kit::{a_line, one, pair, two};
use crate::people::Person;

struct NoStore;
impl Store for NoStore {
    type Fault = core::convert::Infallible;
    fn write(&mut self, _: &[Record]) -> Result<(), Self::Fault> {
        Ok(())
    }
}

/// What a device knows of a conversation.
#[derive(Debug, Default)]
pub(crate) struct Chat {
    /// What came, by seq: its kind and its bytes.
    pub(crate) events: BTreeMap<u64, (Kind, Vec<u8>)>,
    /// The head that its own entries make.
    pub(crate) hash: Option<[u8; 32]>,
    /// The newest head that was signed.
    pub(crate) head: Option<Head>,
    /// How far each member has it.
    pub(crate) delivered: BTreeMap<Address, u64>,
    /// How often an event came that it had, and how often one that it could not place.
    pub(crate) again: usize,
    pub(crate) gaps: usize,
    have: u64,
    /// What it last said to have.
    said_have: u64,
    owes: bool,
}

impl Chat {
    /// What was said, in order.
    pub(crate) fn said(&self) -> Vec<String> {
        let text = |(_, bytes): &(Kind, Vec<u8>)| String::from_utf8_lossy(bytes).into_owned();
        self.events.values().map(text).collect()
    }

    /// The last entry up to which it has all.
    pub(crate) fn have(&self) -> u64 {
        self.have
    }
}

/// A device.
pub(crate) struct Phone {
    pub(crate) address: Address,
    node: usize,
    identity: DeviceIdentity,
    enrolled: bool,
    /// Whether it connects by itself.
    pub(crate) online: bool,
    session: Option<(SessionId, u64, Session)>,
    number: u64,
    pub(crate) drafts: BTreeMap<u64, Post>,
    pub(crate) chats: BTreeMap<ConversationId, Chat>,
    pub(crate) unposted: Vec<(u64, Code)>,
    pub(crate) answers: Vec<Talk>,
    /// What its node said of files, and what was to be done there about their bytes.
    pub(crate) files: Vec<File>,
    pub(crate) bytes: Vec<BytesOut>,
    /// Its lines: with whom, of which handshake.
    lines: BTreeMap<Address, Hash>,
    /// How many bodies of its own came back to it.
    pub(crate) echoes: usize,
    /// Whether it says Have.
    pub(crate) acks: bool,
}

/// All devices of a story.
#[derive(Default)]
pub(crate) struct Phones {
    pub(crate) all: Vec<Phone>,
    /// The keys of their people.
    pub(crate) people: BTreeMap<Address, Person>,
    next: u64,
}

impl Phones {
    /// One more device of somebody; it connects at once.
    pub(crate) fn add(&mut self, world: &World, address: &Address) -> usize {
        let seed = u8::try_from(self.all.len() + 1).unwrap();
        self.all.push(Phone {
            address: address.clone(),
            node: world.home(address).unwrap(),
            identity: DeviceIdentity::new(&Secret::new([0xd0 ^ seed; 32])),
            enrolled: false,
            online: true,
            session: None,
            number: 0,
            drafts: BTreeMap::new(),
            chats: BTreeMap::new(),
            unposted: Vec::new(),
            answers: Vec::new(),
            files: Vec::new(),
            bytes: Vec::new(),
            lines: BTreeMap::new(),
            echoes: 0,
            acks: true,
        });
        self.all.len() - 1
    }

    /// Everybody's devices, as far as they are up, come onto their person's list, and each line gets its key proofs.
    pub(crate) fn list(&mut self, world: &mut World) {
        self.list_but(world, &[], true);
    }

    /// The same, but for these devices; key proofs only where `prove` says so.
    pub(crate) fn list_but(&mut self, world: &mut World, but: &[usize], prove: bool) {
        let but: Vec<DeviceKey> = but.iter().map(|phone| self.all[*phone].dk()).collect();
        let addresses: BTreeSet<Address> = self.all.iter().map(|phone| phone.address.clone()).collect();
        for (n, address) in addresses.into_iter().enumerate() {
            let seed = 0x20 + u8::try_from(n).unwrap();
            let person = self.people.entry(address.clone()).or_insert_with(|| Person::new(&address, seed));
            let listed =
                |phone: &Phone| phone.address == address && phone.enrolled && !but.contains(&phone.identity.dk());
            let keys: Vec<DeviceKey> = self.all.iter().filter(|phone| listed(phone)).map(Phone::dk).collect();
            let list = person.list_of(&keys);
            person.took(&list);
            let phone = self.all.iter_mut().find(|phone| listed(phone) && phone.is_up()).unwrap();
            phone.say(world, Talk::Publish { number: 1, what: Publication::List(list.bytes().to_vec()) });
            for (theirs, t2) in phone.lines.clone().into_iter().filter(|_| prove) {
                let bytes = person.proof(&theirs, t2).bytes().to_vec();
                phone.say(world, Talk::Publish { number: 2, what: Publication::Proof { theirs, bytes } });
            }
        }
        self.pass(world, 50);
    }

    /// The world goes on, and so do the devices.
    pub(crate) fn pass(&mut self, world: &mut World, ms: u64) {
        // The longer it takes, the less the devices hurry.
        self.pass_by(world, ms, 1.max(ms / 300));
    }

    /// The same, the devices looking up so often.
    pub(crate) fn pass_by(&mut self, world: &mut World, ms: u64, step: u64) {
        for _ in 0..ms / step {
            self.turn(world);
            world.pass(step);
        }
        self.turn(world);
    }

    fn turn(&mut self, world: &mut World) {
        for index in 0..self.all.len() {
            self.connect(world, index);
        }
        for (node, session, what) in std::mem::take(&mut world.to_devices) {
            let is_its = |phone: &&mut Phone| {
                phone.node == node && phone.session.as_ref().is_some_and(|(id, ..)| *id == session)
            };
            let Some(phone) = self.all.iter_mut().find(is_its) else { continue };
            match what {
                SessionOut::Send(frame) => phone.step(world, Input::Frame(frame)),
                SessionOut::CheckLogin { .. } => {
                    let login = LoginOk { mailbox: mailbox_of(&phone.address), addresses: vec![phone.address.clone()] };
                    world.on_session(node, session, SessionIn::Login(Some(login)));
                }
                SessionOut::Bytes(dk, what) => {
                    assert_eq!(dk, phone.dk());
                    phone.bytes.push(what);
                }
                SessionOut::Close => phone.session = None,
            }
        }
        self.all.iter_mut().for_each(|phone| phone.say_have(world));
    }

    fn connect(&mut self, world: &mut World, index: usize) {
        let phone = &mut self.all[index];
        let there = &world.nodes[phone.node];
        let incarnation = there.incarnation;
        if phone.session.as_ref().is_some_and(|(_, then, _)| *then != incarnation || there.server.is_none()) {
            phone.session = None;
        }
        if !phone.online {
            if let Some((session, ..)) = phone.session.take() {
                world.on_session(phone.node, session, SessionIn::Down);
            }
            return;
        }
        if phone.session.is_some() || there.server.is_none() {
            return;
        }
        self.next += 1;
        let (session, channel) = (SessionId(self.next), sha256(&[b"channel", &self.next.to_be_bytes()]).0);
        let user = phone.address.to_string();
        let login = Login { user, password: Password("secret".to_owned().into()) };
        let dial = Dial {
            address: phone.address.clone(),
            node: None,
            login: Some(login).filter(|_| !phone.enrolled),
            posted: phone.number,
        };
        let mut out = Outbox::new();
        world.on_session(phone.node, session, SessionIn::Up { channel });
        let machine = Session::dial(&tick(world), &phone.identity, dial, channel, &mut out);
        phone.session = Some((session, incarnation, machine));
        phone.perform(world, out);
    }
}

fn tick(world: &World) -> Tick {
    Tick { now: Millis(world.now.0), entropy: sha256(&[b"phone", &world.now.0.to_be_bytes()]).0 }
}

impl Phone {
    pub(crate) fn dk(&self) -> DeviceKey {
        self.identity.dk()
    }

    pub(crate) fn is_up(&self) -> bool {
        self.session.as_ref().is_some_and(|(.., session)| session.is_up())
    }

    /// What it knows of a conversation.
    pub(crate) fn chat(&self, id: ConversationId) -> &Chat {
        &self.chats[&id]
    }

    /// Its texts, in order.
    pub(crate) fn said(&self, id: ConversationId) -> Vec<String> {
        self.chats.get(&id).map(Chat::said).unwrap_or_default()
    }

    /// Posts something, and keeps it until its event comes.
    pub(crate) fn post(&mut self, world: &mut World, id: ConversationId, kind: Kind, epoch: u64, text: &str) -> u64 {
        self.post_as(world, id, kind, epoch, Vec::new(), text.as_bytes().to_vec())
    }

    pub(crate) fn create(&mut self, world: &mut World, id: ConversationId, mut members: Vec<Address>) -> u64 {
        members.sort();
        let text = format!("create by {}", self.address);
        self.post_as(world, id, Kind::Create, 0, members, text.into_bytes())
    }

    pub(crate) fn post_as(
        &mut self,
        world: &mut World,
        id: ConversationId,
        kind: Kind,
        epoch: u64,
        members: Vec<Address>,
        bytes: Vec<u8>,
    ) -> u64 {
        self.number += 1;
        let origin = Origin { device: tag(id, self.dk()), number: self.number };
        let post = Post { conversation: id, origin, kind, epoch, members, bytes };
        self.drafts.insert(self.number, post.clone());
        self.say(world, Talk::Post(post));
        self.number
    }

    pub(crate) fn ask_range(&mut self, world: &mut World, id: ConversationId, from: u64, to: u64) {
        let what = Question::Range { conversation: id, from, to };
        self.say(world, Talk::Ask { number: from, what });
    }

    /// Says something about a file.
    pub(crate) fn file(&mut self, world: &mut World, file: File) {
        let (session, ..) = self.session.as_ref().unwrap();
        world.on_session(self.node, *session, SessionIn::Frame(Frame::File(file)));
    }

    /// What its node's host says of the bytes of a file.
    pub(crate) fn bytes(&mut self, world: &mut World, bytes: BytesIn) {
        let (session, ..) = self.session.as_ref().unwrap();
        world.on_session(self.node, *session, SessionIn::Bytes(bytes));
    }

    pub(crate) fn say(&mut self, world: &mut World, talk: Talk) {
        self.step(world, Input::Say(talk));
    }

    fn step(&mut self, world: &mut World, input: Input) {
        let mut out = Outbox::new();
        if let Some((_, _, session)) = &mut self.session {
            session.step(&tick(world), &self.identity, input, &mut out);
        }
        self.perform(world, out);
    }

    fn perform(&mut self, world: &mut World, out: Outbox<Output>) {
        let (_, held) = out.split();
        for output in held.open(NoStore.commit(&[]).unwrap()) {
            let Some(session) = self.session.as_ref().map(|(id, ..)| *id) else { return };
            match output {
                Output::Send(frame) => world.on_session(self.node, session, SessionIn::Frame(frame)),
                Output::Unknown(_) => self.step(world, Input::Approved),
                Output::Ready { behind, .. } => {
                    assert_eq!(behind, None);
                    self.enrolled = true;
                    for post in self.drafts.values().cloned().collect::<Vec<_>>() {
                        self.say(world, Talk::Post(post));
                    }
                }
                Output::Talk(talk) => self.hear(talk),
                Output::File(file) => self.files.push(file),
                Output::Left(_) => self.session = None,
                // These have chosen nothing.
                Output::Whisper(whisper) => panic!("{whisper:?}"),
                Output::Failed(why) => panic!("{why}"),
            }
        }
    }

    fn hear(&mut self, talk: Talk) {
        match talk {
            Talk::Event(event) => self.event(event),
            Talk::Unposted { origin, code, .. } => {
                self.drafts.remove(&origin.number);
                self.unposted.push((origin.number, code));
            }
            Talk::Heads(heads) => {
                for (place, head) in heads.heads {
                    assert_eq!(heads.leaves[usize::from(place)], head.leaf());
                    self.chats.entry(head.conversation).or_default().head = Some(head);
                }
            }
            Talk::Delivered { conversation, member, seq } => {
                let of = self.chats.entry(conversation).or_default().delivered.entry(member).or_default();
                *of = (*of).max(seq);
            }
            Talk::Answer { .. } => self.answers.push(talk),
            Talk::Line(Line { theirs, t2, .. }) => {
                self.lines.remove(&theirs);
                self.lines.extend(t2.map(|t2| (theirs, t2)));
            }
            Talk::Published { code, .. } => assert_eq!(code, None),
            Talk::Post(_) | Talk::Have { .. } | Talk::Publish { .. } | Talk::Ask { .. } | Talk::Login { .. } => {
                panic!("no node says that to a device: {talk:?}")
            }
        }
    }

    fn event(&mut self, event: Event) {
        let id = event.conversation;
        let own = event.origin.filter(|origin| origin.device == tag(id, self.identity.dk()));
        self.echoes += usize::from(own.is_some() && event.bytes.is_some());
        let draft = own.and_then(|origin| {
            let left = self.drafts.split_off(&(origin.number + 1));
            // Smaller numbers of this conversation that have not come were not taken.
            let before = std::mem::replace(&mut self.drafts, left);
            let (done, other): (BTreeMap<u64, Post>, _) = before.into_iter().partition(|(_, p)| p.conversation == id);
            self.drafts.extend(other);
            done.get(&origin.number).map(|post| post.bytes.clone())
        });
        let chat = self.chats.entry(id).or_default();
        if chat.events.contains_key(&event.seq) {
            (chat.again, chat.owes) = (chat.again + 1, true);
            return;
        }
        if event.seq != chat.have + 1 {
            chat.gaps += 1;
            return;
        }
        let bytes = event.bytes.or(draft).expect("the bytes of an event, or of the draft that it is");
        let before = chat.hash.map_or_else(|| root(id), postline_core::id::Hash);
        let link = Link {
            term: event.term,
            seq: event.seq,
            kind: event.kind,
            epoch: event.epoch,
            members: &event.members,
            bytes: &bytes,
        };
        chat.hash = Some(chain(before, &link).0);
        chat.have = event.seq;
        chat.events.insert(event.seq, (event.kind, bytes));
    }

    fn say_have(&mut self, world: &mut World) {
        if !self.is_up() || !self.acks {
            return;
        }
        let news = |(id, chat): (&ConversationId, &mut Chat)| {
            let new = chat.have > chat.said_have || chat.owes;
            (chat.said_have, chat.owes) = (chat.have, false);
            new.then_some((*id, chat.have))
        };
        for (conversation, seq) in self.chats.iter_mut().filter_map(news).collect::<Vec<_>>() {
            self.say(world, Talk::Have { conversation, seq });
        }
    }
}

/// Two people with a line, one device of one and two of two; the conversation is created by device `by`. One's node is
/// its hub.
pub(crate) fn begun(by: usize) -> (World, Phones, ConversationId) {
    let (mut world, mut phones, id) = connected();
    phones.all[by].create(&mut world, id, vec![one(), two()]);
    phones.pass(&mut world, 50);
    (world, phones, id)
}

/// The same, before anybody created it.
pub(crate) fn connected() -> (World, Phones, ConversationId) {
    let (mut world, mut phones, id) = unlisted();
    phones.list(&mut world);
    (world, phones, id)
}

/// The same, before anybody is on a list.
pub(crate) fn unlisted() -> (World, Phones, ConversationId) {
    let mut world = a_line();
    let mut phones = Phones::default();
    for who in [one(), two(), two()] {
        phones.add(&world, &who);
    }
    phones.pass(&mut world, 50);
    assert!(phones.all.iter().all(Phone::is_up));
    let id = conversation(&world, &one(), &two());
    (world, phones, id)
}

/// Everybody has the same, in the same order, and what was signed is what they have.
pub(crate) fn agree(phones: &Phones, id: ConversationId) {
    let first = phones.all[0].chat(id);
    for phone in &phones.all {
        let chat = phone.chat(id);
        assert_eq!(chat.said(), first.said(), "{}", phone.address);
        assert_eq!(chat.hash, first.hash);
        assert_eq!(chat.gaps, 0);
        assert!(phone.drafts.is_empty(), "{:?}", phone.drafts);
        for head in chat.head.iter().filter(|head| head.seq == chat.have()) {
            assert_eq!(Some(head.hash.0), chat.hash);
        }
    }
}

/// Up to where what a device has is signed.
pub(crate) fn signed(phone: &Phone, id: ConversationId) -> u64 {
    phone.chat(id).head.map_or(0, |head| head.seq)
}

/// The direct conversation of two, as their nodes' records name it.
pub(crate) fn conversation(world: &World, ours: &Address, theirs: &Address) -> ConversationId {
    let node = world.home(ours).unwrap();
    direct(world.nodes[node].trust(&pair(ours, theirs)).t2().unwrap())
}
