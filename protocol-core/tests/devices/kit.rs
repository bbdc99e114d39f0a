//! What the stories of devices share: two people, their nodes and a hub that are honest unless a story says otherwise,
//! and devices with a disk each.
//!
//! ```text
//!   Device (client, disk) ──frames──▶ node::Session ──Talk──▶ Post office: lists, packages, logs ──▶ every device
//! ```

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use postline_core::client::io::{BytesOut, Contact, Event, Level, Login, Mark, Said, Saying, To};
use postline_core::client::{Client, Command, Input, Ours, Output, SessionIn};
use postline_core::fault::Code;
use postline_core::id::{Address, ContentId, ConversationId, DeviceKey, DeviceTag, Hash};
use postline_core::limits;
use postline_core::machine::session::node;
use postline_core::seal::address::open;
use postline_core::seal::lists::{Chain, Verdict};
use postline_core::seal::{NodeIdentity, Secret};
use postline_core::step::{Machine, Outbox, Tick};
use postline_core::store::{Key, Record, sha256};
use postline_core::time::Millis;
use postline_core::wire::frame::{Frame, Ready};
use postline_core::wire::list::DeviceList;
use postline_core::wire::log::{HeadsSigned, Link, chain, direct, root, tag};
use postline_core::wire::memo::drawer_of_note;
use postline_core::wire::talk::{
    Event as Entry, Finding, Head, Heads, Kind, Line, Password, Post, Publication, Question, Talk,
};
use postline_core::wire::whisper::Whisper;

pub(crate) const PASSWORD: &str = "correct horse";
const T2: Hash = Hash([0x72; 32]);

pub(crate) fn ann() -> Address {
    Address::parse("ann@a.example").unwrap()
}

pub(crate) fn ben() -> Address {
    Address::parse("ben@b.example").unwrap()
}

/// The direct conversation of the two.
pub(crate) fn theirs() -> ConversationId {
    direct(T2)
}

/// A device with its disk.
pub(crate) struct Device {
    pub(crate) address: Address,
    pub(crate) client: Client,
    pub(crate) disk: BTreeMap<Key, Record>,
    pub(crate) events: Vec<Event>,
    /// What was to be done about the bytes of files; here nobody does.
    pub(crate) bytes: Vec<BytesOut>,
    /// Whether its node runs it, and so takes its word for it.
    hosted: bool,
    /// The node's end of its session.
    node: Option<node::Session>,
    /// Whether the network lets it through.
    pub(crate) reachable: bool,
    dk: Option<DeviceKey>,
    /// How many bytes its disk was asked to take.
    pub(crate) written: usize,
    /// What a commit takes that is still open: the last of each record is written.
    commit: Option<BTreeMap<Key, usize>>,
    /// Frames to it that the story holds back.
    pub(crate) held: Option<Vec<Frame>>,
}

#[allow(clippy::disallowed_methods, reason = "a stop watch, not a clock")]
fn stop_watch() -> Instant {
    Instant::now()
}

/// The key packages of a device that wait at its node: each for once, and the last resort.
pub(crate) type Packages = (VecDeque<Vec<u8>>, Option<Vec<u8>>);

/// What nodes keep: of both people, in one place.
#[derive(Default)]
pub(crate) struct Office {
    pub(crate) lists: BTreeMap<Address, (Option<Chain>, Vec<Vec<u8>>)>,
    pub(crate) packages: BTreeMap<(Address, DeviceKey), Packages>,
    pub(crate) proofs: BTreeMap<Address, Vec<u8>>,
    pub(crate) logs: BTreeMap<ConversationId, Log>,
    enrolled: BTreeMap<DeviceKey, Address>,
    pub(crate) acked: BTreeMap<(ConversationId, DeviceKey), u64>,
    posted: BTreeMap<DeviceKey, u64>,
    /// Whether key proofs are kept back.
    pub(crate) no_proofs: bool,
    /// Who wants no more of a log for now.
    pub(crate) unwanted: BTreeSet<(ConversationId, DeviceKey)>,
    /// Whose lists are kept back, but for the first.
    pub(crate) no_lists: Option<Address>,
    /// Of whose lists the other's node can't be asked.
    pub(crate) out_of_reach: Option<Address>,
    /// The devices whose key packages are kept back.
    pub(crate) no_packages: BTreeSet<DeviceKey>,
    /// The devices whose list the hub doesn't know yet.
    pub(crate) unlisted: BTreeSet<DeviceKey>,
    /// Posts that the story holds back.
    pub(crate) posts: Option<Vec<(usize, Post)>>,
    /// What devices whispered, in order.
    pub(crate) whispers: Vec<(usize, Whisper)>,
    /// Notes that wait for devices that are away; of memos the newest of each device and drawer.
    notes: BTreeMap<usize, Vec<(DeviceKey, Vec<u8>)>>,
    /// Every frame that left a device, as the world could have seen it.
    pub(crate) tape: Vec<Frame>,
}

#[derive(Default)]
pub(crate) struct Log {
    pub(crate) entries: Vec<(Address, Entry)>,
    pub(crate) hashes: Vec<Hash>,
    pub(crate) epoch: u64,
    /// Entries up to this one are gone.
    pub(crate) floor: u64,
    numbers: BTreeMap<DeviceTag, u64>,
    members: Vec<Address>,
}

pub(crate) struct World {
    pub(crate) now: Millis,
    draws: u64,
    /// How many records were read from disks.
    pub(crate) hydrated: usize,
    /// How long devices took for what they were told to say, and for what they opened.
    pub(crate) sealing: Duration,
    pub(crate) devices: Vec<Device>,
    pub(crate) office: Office,
    pub(crate) nodes: BTreeMap<Address, NodeIdentity>,
    inbox: VecDeque<(usize, SessionIn)>,
    /// Whether ann and ben have a line.
    pub(crate) line: bool,
}

impl World {
    pub(crate) fn new() -> Self {
        let identity =
            |n: u8| NodeIdentity::new(&Secret::new([n; 32]), NodeIdentity::public(&Secret::new([n + 1; 32])));
        Self {
            now: Millis(1_795_000_000_000),
            draws: 0,
            hydrated: 0,
            sealing: Duration::ZERO,
            devices: Vec::new(),
            office: Office::default(),
            nodes: BTreeMap::from([(ann(), identity(1)), (ben(), identity(3))]),
            inbox: VecDeque::new(),
            line: true,
        }
    }

    /// Two people with a device each, enrolled, and keys on their line.
    pub(crate) fn two() -> Self {
        let mut world = Self::new();
        for who in [ann(), ben()] {
            world.device(&who);
        }
        world.pass(60_000);
        for n in [0, 1] {
            assert_eq!(world.level(n), Level::Keys, "{:#?}", world.devices[n].events);
        }
        world
    }

    /// A new device of somebody: dialled, enrolled where it is the first.
    pub(crate) fn device(&mut self, who: &Address) -> usize {
        let password = Password(zeroize::Zeroizing::new(PASSWORD.to_owned()));
        self.begin(who, Some(Login { user: who.local().to_owned(), password }))
    }

    /// A device that somebody's node runs for them.
    pub(crate) fn hosted(&mut self, who: &Address) -> usize {
        self.begin(who, None)
    }

    fn begin(&mut self, who: &Address, login: Option<Login>) -> usize {
        let hosted = login.is_none();
        let ours = Ours { address: who.clone(), hosted };
        let n = self.devices.len();
        self.devices.push(Device {
            hosted,
            address: who.clone(),
            client: Client::restore(ours, []).unwrap(),
            disk: BTreeMap::new(),
            events: Vec::new(),
            bytes: Vec::new(),
            node: None,
            reachable: true,
            dk: None,
            written: 0,
            commit: None,
            held: None,
        });
        self.command(n, Command::Enrol { login });
        self.settle();
        n
    }

    /// A further device of somebody: it shows a code, and an old one takes it.
    pub(crate) fn further_device(&mut self, old: usize) -> usize {
        let who = self.devices[old].address.clone();
        let new = self.device(&who);
        self.let_in(old, new);
        new
    }

    /// The mailbox login of who has a device.
    pub(crate) fn login(&self, n: usize) -> Login {
        let password = Password(zeroize::Zeroizing::new(PASSWORD.to_owned()));
        Login { user: self.devices[n].address.local().to_owned(), password }
    }

    /// A new device shows a code, and an old one takes it.
    pub(crate) fn let_in(&mut self, old: usize, new: usize) {
        self.command(new, Command::Join);
        let code = self.devices[new].events.iter().rev().find_map(|event| match event {
            Event::Code(code) => Some(code.text.clone()),
            _ => None,
        });
        let code = code.unwrap_or_else(|| panic!("no code: {:#?}", self.devices[new].events));
        self.command(old, Command::AddDevice { code: code.into() });
        self.pass(60_000);
        assert!(self.devices[new].client.is_enrolled(), "{:#?}", self.devices[new].events);
    }

    pub(crate) fn command(&mut self, n: usize, command: Command) {
        self.step(n, Input::Command(command));
        self.settle();
    }

    pub(crate) fn write(&mut self, n: usize, text: &str) -> ContentId {
        let to = if self.devices[n].address == ann() { ben() } else { ann() };
        self.write_to(n, To::Person(to), text)
    }

    /// Says a text, under the name that comes back; of what isn't said, under its salt.
    pub(crate) fn write_to(&mut self, n: usize, to: To, text: &str) -> ContentId {
        let [salt, _] = halves(ContentId(sha256(&[b"salt", &self.draws.to_be_bytes()]).0));
        self.command(n, Command::Say { to, salt: Some(salt), what: Saying::text(text).unwrap() });
        let said = self.devices[n].events.iter().rev().find_map(|event| match event {
            Event::Saying { id, salt: of, .. } if *of == salt => Some(*id),
            _ => None,
        });
        said.unwrap_or(unsaid(salt))
    }

    /// One step, committed, its effects carried out.
    pub(crate) fn step(&mut self, n: usize, input: Input) {
        self.draws += 1;
        let tick = Tick { now: self.now, entropy: sha256(&[b"world", &self.draws.to_be_bytes()]).0 };
        let entry = |frame: &Frame| matches!(frame, Frame::Talk(Talk::Event(entry)) if entry.bytes.is_some());
        let seals_or_opens = match &input {
            Input::Command(command) => matches!(command, Command::Say { .. }),
            Input::Session(SessionIn::Frame(frame)) => entry(frame),
            _ => false,
        };
        let begun = stop_watch();
        let device = &mut self.devices[n];
        loop {
            let wanted = device.client.wants(&input);
            if wanted.is_empty() {
                break;
            }
            for key in wanted {
                self.hydrated += 1;
                device.client.hydrate(&key, device.disk.get(&key)).unwrap();
            }
        }
        let mut out = Outbox::new();
        device.client.step(&tick, input, &mut out).unwrap();
        if seals_or_opens {
            self.sealing += begun.elapsed();
        }
        let effects: Vec<Output> = out.effects().cloned().collect();
        for record in out.records() {
            let len = record.value.as_ref().map_or(0, Vec::len) + record.key.to_string().len();
            match (&mut device.commit, &record.key) {
                // It must be durable before it is posted.
                (Some(_), Key::Draft(_)) | (None, _) => device.written += len,
                (Some(commit), key) => _ = commit.insert(key.clone(), len),
            }
            match &record.value {
                Some(_) => device.disk.insert(record.key.clone(), record.clone()),
                None => device.disk.remove(&record.key),
            };
        }
        for effect in effects {
            match effect {
                Output::Dial if self.devices[n].reachable => {
                    self.devices[n].node = Some(node::Session::answer(&tick, channel(n)));
                    self.inbox.push_back((n, SessionIn::Up { channel: channel(n) }));
                }
                Output::Dial => self.inbox.push_back((n, SessionIn::Unreached)),
                Output::Send(frame) => {
                    self.office.tape.push(frame.clone());
                    self.tell_node(n, node::Input::Frame(frame));
                }
                Output::Close => self.devices[n].node = None,
                Output::Approve(nk) => self.inbox.push_back((n, SessionIn::Approved { nk, yes: true })),
                Output::Bytes(what) => self.devices[n].bytes.push(what),
                Output::Event(event) => self.devices[n].events.push(event),
            }
        }
    }

    /// What the hub was kept from goes to it.
    pub(crate) fn release(&mut self) {
        for (n, post) in self.office.posts.take().unwrap() {
            self.post(n, post);
        }
        self.settle();
    }

    /// Everything that is on its way arrives.
    pub(crate) fn settle(&mut self) {
        for _ in 0..100_000 {
            let due = |device: &Device| device.client.deadline().is_some_and(|at| at <= self.now);
            if let Some((n, input)) = self.inbox.pop_front() {
                self.step(n, Input::Session(input));
            } else if let Some(n) = self.devices.iter().position(due) {
                self.step(n, Input::Wake);
            } else {
                return;
            }
        }
        panic!("it never ends");
    }

    /// What devices write meanwhile goes into one commit each, but for what must be durable before it is posted.
    pub(crate) fn in_one_commit(&mut self, doing: impl FnOnce(&mut Self)) {
        self.devices.iter_mut().for_each(|device| device.commit = Some(BTreeMap::new()));
        doing(self);
        for device in &mut self.devices {
            device.written += device.commit.take().into_iter().flat_map(BTreeMap::into_values).sum::<usize>();
        }
    }

    /// So long passes.
    pub(crate) fn pass(&mut self, ms: u64) {
        let end = self.now.plus(ms);
        self.settle();
        while let Some(next) = self.devices.iter().filter_map(|d| d.client.deadline()).min().filter(|at| *at <= end) {
            self.now = next;
            self.settle();
        }
        self.now = end;
        self.settle();
    }

    /// The network of a device goes, or comes back.
    pub(crate) fn reach(&mut self, n: usize, reachable: bool) {
        self.devices[n].reachable = reachable;
        if !reachable && self.devices[n].node.take().is_some() {
            self.inbox.retain(|(to, _)| *to != n);
            self.inbox.push_back((n, SessionIn::Down));
            self.settle();
        }
        if reachable {
            self.command(n, Command::Connect);
            self.pass(120_000);
        }
    }

    /// The device's process is killed, and started again from its disk.
    pub(crate) fn restart(&mut self, n: usize) {
        self.inbox.retain(|(to, _)| *to != n);
        let device = &mut self.devices[n];
        device.node = None;
        let ours = Ours { address: device.address.clone(), hosted: device.hosted };
        let records = device.disk.values().filter(|record| Client::restored_at_start(&record.key)).cloned();
        device.client = Client::restore(ours, records).unwrap();
        self.settle();
    }

    fn tell_node(&mut self, n: usize, input: node::Input) {
        self.draws += 1;
        let tick = Tick { now: self.now, entropy: sha256(&[b"node", &self.draws.to_be_bytes()]).0 };
        let address = self.devices[n].address.clone();
        let Some(mut session) = self.devices[n].node.take() else { return };
        let enrolled = session.claims().and_then(|(_, dk)| self.office.enrolled.get(&dk)).cloned();
        let ours = node::Ours { identity: &self.nodes[&address], enrolled: enrolled.as_ref() };
        let mut said = Outbox::new();
        session.step(&tick, ours, input, &mut said);
        self.devices[n].node = Some(session);
        for output in said.effects().cloned().collect::<Vec<_>>() {
            match output {
                node::Output::Send(frame) => self.tell_device(n, frame),
                node::Output::Check { password, .. } => {
                    let hosted = self.devices[n].hosted;
                    let good = if hosted { password.0.is_empty() } else { *password.0 == PASSWORD };
                    self.tell_node(n, node::Input::Checked(good));
                }
                node::Output::Proven(proven) => {
                    self.devices[n].dk = Some(proven.dk);
                    self.office.enrolled.insert(proven.dk, proven.address);
                    let ready = Ready {
                        next_nk: self.nodes[&address].next_nk(),
                        generation: 1,
                        last_seen: self.office.posted.get(&proven.dk).copied().unwrap_or(0),
                        window_items: 256,
                        window_bytes: 1 << 22,
                        max_body: 0,
                    };
                    self.tell_node(n, node::Input::Admit(ready));
                    self.welcome(n);
                }
                node::Output::Talk(talk) => self.talk(n, talk),
                node::Output::File(_) => {}
                node::Output::Whisper(whisper) => self.office.whispers.push((n, whisper)),
                node::Output::Left(_) | node::Output::Failed(_) => {
                    self.devices[n].node = None;
                    self.inbox.push_back((n, SessionIn::Down));
                }
            }
        }
    }

    pub(crate) fn tell_device(&mut self, n: usize, frame: Frame) {
        let device = &mut self.devices[n];
        match (&mut device.held, &frame) {
            (Some(held), Frame::Talk(_)) => held.push(frame),
            _ if device.node.is_some() => self.inbox.push_back((n, SessionIn::Frame(frame))),
            _ => {}
        }
    }

    /// What is held back of the others lets this one through.
    pub(crate) fn say_held(&mut self, n: usize, frame: Frame) {
        self.inbox.push_back((n, SessionIn::Frame(frame)));
        self.settle();
    }

    pub(crate) fn say(&mut self, n: usize, talk: Talk) {
        self.tell_device(n, Frame::Talk(talk));
    }

    /// What a node says to a device that has come.
    fn welcome(&mut self, n: usize) {
        self.tell_lines(n);
        for (number, (_, bytes)) in (1..).zip(self.office.notes.remove(&n).unwrap_or_default()) {
            self.say(n, Talk::Publish { number, what: Publication::Note { to: None, bytes } });
        }
        let (address, dk) = (self.devices[n].address.clone(), self.devices[n].dk.unwrap());
        let mut logs = Vec::new();
        for (id, log) in &self.office.logs {
            if !log.members.contains(&address) {
                continue;
            }
            logs.push(*id);
        }
        for id in logs {
            self.office.unwanted.remove(&(id, dk));
            self.feed(n, id);
        }
        for id in self.office.logs.keys().copied().collect::<Vec<_>>() {
            self.say_head(n, id);
        }
    }

    /// What of a log a device doesn't have goes to it.
    fn feed(&mut self, n: usize, id: ConversationId) {
        let (address, dk) = (self.devices[n].address.clone(), self.devices[n].dk.unwrap());
        let log = &self.office.logs[&id];
        let from = self.office.acked.get(&(id, dk)).copied().unwrap_or(0).max(log.floor);
        let entries = log.entries.iter().filter(|(_, entry)| entry.seq > from);
        let entries: Vec<Entry> = entries.map(|(author, entry)| shown(entry, author, &address, dk)).collect();
        for entry in entries {
            self.say(n, Talk::Event(entry));
        }
    }

    pub(crate) fn tell_lines(&mut self, n: usize) {
        let address = self.devices[n].address.clone();
        let other = if address == ann() { ben() } else { ann() };
        let number = |whose: &Address| {
            self.office.lists.get(whose).and_then(|(chain, _)| chain.as_ref()).map_or(0, Chain::number)
        };
        let own = Line {
            theirs: address.clone(),
            t2: None,
            offered: false,
            nk: self.nodes[&address].nk(),
            proof: None,
            list: number(&address),
        };
        let line = Line {
            theirs: other.clone(),
            t2: self.line.then_some(T2),
            offered: address == ann(),
            nk: self.nodes[&other].nk(),
            proof: self.office.proofs.get(&other).filter(|_| !self.office.no_proofs).cloned(),
            list: number(&other),
        };
        self.say(n, Talk::Line(own));
        self.say(n, Talk::Line(line));
    }

    pub(crate) fn tell_all(&mut self) {
        for n in 0..self.devices.len() {
            if self.devices[n].node.as_ref().is_some_and(node::Session::is_up) {
                self.tell_lines(n);
            }
        }
    }

    fn talk(&mut self, n: usize, talk: Talk) {
        match talk {
            Talk::Post(post) => self.post(n, post),
            Talk::Have { conversation, seq } => {
                let dk = self.devices[n].dk.unwrap();
                self.office.acked.insert((conversation, dk), seq);
                if self.office.unwanted.remove(&(conversation, dk)) {
                    self.feed(n, conversation);
                }
            }
            Talk::Publish { number, what } => self.publish(n, number, what),
            Talk::Ask { number, what } => self.asked(n, number, what),
            // A note was taken.
            Talk::Published { .. } => {}
            Talk::Unposted { conversation, .. } => {
                _ = self.office.unwanted.insert((conversation, self.devices[n].dk.unwrap()))
            }
            other => panic!("a device said {other:?}"),
        }
    }

    fn publish(&mut self, n: usize, number: u64, what: Publication) {
        let address = self.devices[n].address.clone();
        let dk = self.devices[n].dk.unwrap();
        let mut code = None;
        match what {
            Publication::List(bytes) => {
                let list = open::<DeviceList>(&bytes).unwrap();
                let (chain, lists) = self.office.lists.entry(address.clone()).or_default();
                match chain {
                    None => *chain = Some(Chain::begin(&address, &list).unwrap()),
                    Some(known) => match known.judge(&list) {
                        Ok(Verdict::Extends(extension)) => known.take(*extension),
                        Ok(Verdict::Known) => {}
                        _ => code = Some(Code::BadKeys),
                    },
                }
                if code.is_none() {
                    if lists.last() != Some(&bytes) {
                        lists.push(bytes);
                    }
                    self.say(n, Talk::Published { number, code });
                    return self.tell_all();
                }
            }
            Publication::Proof { theirs, bytes } => {
                assert_ne!(theirs, address);
                self.office.proofs.insert(address, bytes);
                self.say(n, Talk::Published { number, code });
                return self.tell_all();
            }
            Publication::Packages { once, last_resort } => {
                let here = self.office.packages.entry((address, dk)).or_default();
                assert!(here.0.len() + once.len() <= limits::PACKAGES, "more than a node keeps");
                here.0.extend(once);
                here.1 = last_resort.or(here.1.take());
            }
            Publication::Block { blocked, .. } => {
                self.line = !blocked;
                self.say(n, Talk::Published { number, code });
                return self.tell_all();
            }
            Publication::Note { to, bytes } => {
                for other in 0..self.devices.len() {
                    let device = &self.devices[other];
                    if other != n && device.address == address && to.is_none_or(|to| device.dk == Some(to)) {
                        if device.node.is_some() {
                            let what = Publication::Note { to, bytes: bytes.clone() };
                            self.say(other, Talk::Publish { number, what });
                            continue;
                        }
                        let waiting = self.office.notes.entry(other).or_default();
                        let drawer = drawer_of_note(&bytes);
                        waiting.retain(|(of, note)| drawer.is_none() || *of != dk || drawer_of_note(note) != drawer);
                        waiting.push((dk, bytes.clone()));
                    }
                }
            }
        }
        self.say(n, Talk::Published { number, code });
    }

    fn asked(&mut self, n: usize, number: u64, what: Question) {
        let what = match what {
            Question::Lists { whose, .. }
                if self.office.out_of_reach.as_ref() == Some(&whose) && self.devices[n].address != whose =>
            {
                Err(Code::Busy)
            }
            Question::Lists { whose, after, .. } => {
                let lists = self.office.lists.get(&whose).map(|(_, lists)| lists.as_slice()).unwrap_or_default();
                let from = usize::try_from(after).unwrap().min(lists.len());
                let kept_back = self.office.no_lists.as_ref() == Some(&whose) && self.devices[n].address != whose;
                let lists = if kept_back { lists.get(..1).unwrap_or_default() } else { lists };
                let from = from.min(lists.len());
                Ok(Finding::Lists(lists[from..].iter().take(limits::LISTS_PER_ANSWER).cloned().collect()))
            }
            Question::Packages { whose, only, .. } => {
                let mut found = Vec::new();
                let kept_back = &self.office.no_packages;
                let given = self.office.packages.iter_mut().filter(|((_, dk), _)| !kept_back.contains(dk));
                for ((owner, dk), (once, last)) in given {
                    if *owner == whose && (only.is_empty() || only.contains(dk)) {
                        found.extend(once.pop_front().or(last.clone()));
                    }
                }
                Ok(Finding::Packages(found))
            }
            Question::Range { conversation, from, to } => {
                let (address, dk) = (self.devices[n].address.clone(), self.devices[n].dk.unwrap());
                let log = &self.office.logs[&conversation];
                let is_wanted = |seq: u64| seq > log.floor && (from..=to).contains(&seq);
                let entries: Vec<Entry> = log
                    .entries
                    .iter()
                    .filter(|(_, entry)| is_wanted(entry.seq))
                    .map(|(author, entry)| shown(entry, author, &address, dk))
                    .collect();
                for entry in entries {
                    self.say(n, Talk::Event(entry));
                }
                Ok(Finding::Sent)
            }
        };
        self.say(n, Talk::Answer { number, what });
    }

    /// The hub takes a post, or doesn't.
    pub(crate) fn post(&mut self, n: usize, post: Post) {
        if let Some(held) = &mut self.office.posts {
            return held.push((n, post));
        }
        let (author, dk) = (self.devices[n].address.clone(), self.devices[n].dk.unwrap());
        assert_eq!(post.origin.device, tag(post.conversation, dk), "another device's post");
        let log = self.office.logs.entry(post.conversation).or_default();
        let last = log.numbers.get(&post.origin.device).copied().unwrap_or(0);
        if post.origin.number <= last {
            return;
        }
        let refused = match post.kind {
            _ if self.office.unlisted.contains(&dk) => Some(Code::Unlisted),
            Kind::Create => (!log.entries.is_empty()).then_some(Code::Exists),
            _ if log.entries.is_empty() => Some(Code::NoConversation),
            Kind::Commit => (post.epoch != log.epoch).then_some(Code::StaleEpoch),
            Kind::Message if post.epoch > log.epoch || post.epoch + limits::EPOCHS < log.epoch => {
                Some(Code::StaleEpoch)
            }
            Kind::Message => None,
        };
        if let Some(code) = refused {
            if log.entries.is_empty() {
                self.office.logs.remove(&post.conversation);
            }
            let (conversation, origin) = (post.conversation, post.origin);
            return self.say(n, Talk::Unposted { conversation, origin, code });
        }
        if post.kind == Kind::Create {
            log.members = post.members.clone();
        }
        log.numbers.insert(post.origin.device, post.origin.number);
        let posted = self.office.posted.entry(dk).or_default();
        *posted = (*posted).max(post.origin.number);
        self.append(&author, post);
    }

    /// A log that begins, with an entry that the story appends.
    pub(crate) fn begin_log(&mut self, id: ConversationId, members: Vec<Address>) {
        self.office.logs.insert(id, Log { members, ..Log::default() });
    }

    /// How many posts devices have made.
    pub(crate) fn posts(&self) -> usize {
        self.office.tape.iter().filter(|frame| matches!(frame, Frame::Talk(Talk::Post(_)))).count()
    }

    /// An entry more in a log, told to all.
    pub(crate) fn append(&mut self, author: &Address, post: Post) {
        let id = post.conversation;
        let log = self.office.logs.get_mut(&id).unwrap();
        let seq = log.entries.len() as u64 + 1;
        if post.kind != Kind::Message {
            log.epoch = post.epoch + 1;
        }
        let before = log.hashes.last().copied().unwrap_or_else(|| root(id));
        let Post { kind, epoch, members, bytes, origin, .. } = post;
        let link = Link { term: 0, seq, kind, epoch, members: &members, bytes: &bytes };
        log.hashes.push(chain(before, &link));
        let (origin, bytes) = (Some(origin), Some(bytes));
        let entry = Entry { conversation: id, term: 0, seq, kind, epoch, origin, members, bytes };
        log.entries.push((author.clone(), entry.clone()));
        let members = log.members.clone();
        for n in 0..self.devices.len() {
            let (address, dk) = (self.devices[n].address.clone(), self.devices[n].dk);
            let up = self.devices[n].node.as_ref().is_some_and(node::Session::is_up);
            if let (true, true, Some(dk)) = (up, members.contains(&address), dk) {
                self.say(n, Talk::Event(shown(&entry, author, &address, dk)));
                self.say_head(n, id);
            }
        }
    }

    /// The hub's head, signed, and how far the other's node is: always up to the head here.
    pub(crate) fn say_head(&mut self, n: usize, id: ConversationId) {
        let log = &self.office.logs[&id];
        let (Some(hash), seq) = (log.hashes.last().copied(), log.entries.len() as u64) else { return };
        let heads = self.heads(Head { conversation: id, term: 0, seq, hash });
        self.say(n, Talk::Heads(heads));
        let other = if self.devices[n].address == ann() { ben() } else { ann() };
        self.say(n, Talk::Delivered { conversation: id, member: other, seq });
    }

    pub(crate) fn heads(&self, head: Head) -> Heads {
        let leaves = vec![Hash([9; 32]), head.leaf()];
        let signature = self.nodes[&ann()].sign(&HeadsSigned(&leaves)).to_vec();
        Heads { leaves, heads: vec![(1, head)], signature }
    }

    // What the stories look at.

    pub(crate) fn level(&self, n: usize) -> Level {
        self.devices[n].client.contacts().map(|contact: Contact| contact.level).max().unwrap_or(Level::Mail)
    }

    /// What a device was told, in order.
    pub(crate) fn said(&self, n: usize) -> Vec<Said> {
        let said = |event: &Event| match event {
            Event::Said(said) => Some(said.clone()),
            _ => None,
        };
        self.devices[n].events.iter().filter_map(said).collect()
    }

    pub(crate) fn texts(&self, n: usize) -> Vec<String> {
        self.said(n).iter().map(|said| said.words().unwrap_or_default().to_owned()).collect()
    }

    /// The marks of one thing, in order.
    pub(crate) fn marks(&self, n: usize, id: ContentId) -> Vec<Mark> {
        let of = |event: &Event| match event {
            Event::Mark { id: which, mark, .. } if *which == id => Some(mark.clone()),
            Event::Saying { id: which, .. } if *which == id => Some(Mark::Queued),
            Event::Unsaid { salt, why } if unsaid(*salt) == id => Some(Mark::Failed(*why)),
            _ => None,
        };
        self.devices[n].events.iter().filter_map(of).collect()
    }

    pub(crate) fn clear(&mut self) {
        self.devices.iter_mut().for_each(|device| device.events.clear());
    }

    pub(crate) fn dk(&self, n: usize) -> DeviceKey {
        self.devices[n].client.dk().unwrap()
    }

    /// How many devices the group has, as a device sees it.
    pub(crate) fn group(&self, n: usize) -> usize {
        let conversation = self.devices[n].client.conversations().find(|talk| talk.id == theirs());
        conversation.map_or(0, |talk| talk.devices)
    }
}

/// An entry, as a device of `reader` is told it.
pub(crate) fn shown(entry: &Entry, author: &Address, reader: &Address, dk: DeviceKey) -> Entry {
    let mut entry = entry.clone();
    if author != reader {
        entry.origin = None;
    }
    if entry.origin.is_some_and(|origin| origin.device == tag(entry.conversation, dk)) {
        entry.bytes = None;
    }
    entry
}

fn channel(n: usize) -> [u8; 32] {
    [u8::try_from(n).unwrap(); 32]
}

fn halves(ContentId(id): ContentId) -> [[u8; 16]; 2] {
    [id[..16].try_into().unwrap(), id[16..].try_into().unwrap()]
}

/// What stories call something that isn't said, and has no name.
fn unsaid(salt: [u8; 16]) -> ContentId {
    ContentId([salt, salt].concat().try_into().unwrap())
}
