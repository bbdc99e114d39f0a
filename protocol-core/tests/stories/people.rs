//! People with keys and devices, for the stories: real sessions, real lists and proofs; what is in them is their own.

use std::collections::BTreeMap;

use postline_core::fault::{Code, PeerFault};
use postline_core::id::{Address, DeviceKey, Hash, SessionId};
use postline_core::machine::session::device::{Dial, Input, Login, Output, Session};
use postline_core::seal::lists::{Chain, Verdict};
use postline_core::seal::{AddressIdentity, DeviceIdentity, Secret};
use postline_core::server::io::KeysState;
use postline_core::server::{Event, LoginOk, SessionIn, SessionOut, read_keys};
use postline_core::step::{Outbox, Store, Tick};
use postline_core::store::{Key, Record, sha256};
use postline_core::time::{MINUTE, Millis, SECOND};
use postline_core::wire::frame::{Frame, Ready};
use postline_core::wire::keys::KeyProof;
use postline_core::wire::list::{Device as Listed, DeviceList};
use postline_core::wire::statement::Signed;
use postline_core::wire::talk::{Finding, Line, Password, Publication, Question, Talk};
use postline_world::bytes::mailbox_of;
use postline_world::world::World;

use crate::kit::pair;

struct NoStore;
impl Store for NoStore {
    type Fault = core::convert::Infallible;
    fn write(&mut self, _: &[Record]) -> Result<(), Self::Fault> {
        Ok(())
    }
}

/// A device.
pub(crate) struct Device {
    pub(crate) address: Address,
    pub(crate) node: usize,
    pub(crate) keys: DeviceIdentity,
    /// What it may have posted.
    pub(crate) posted: u64,
    /// The user and the password with which it enrols.
    pub(crate) login: Option<(String, String)>,
    session: Option<(SessionId, usize, Session)>,
    pub(crate) ready: Option<Ready>,
    pub(crate) behind: Option<PeerFault>,
    /// What the node said, in order.
    pub(crate) heard: Vec<Talk>,
    /// How its last session ended.
    pub(crate) left: Option<Code>,
    asked: u64,
}

/// Everybody's devices, and who may log in.
#[derive(Default)]
pub(crate) struct People {
    pub(crate) devices: Vec<Device>,
    next: u64,
    /// How often hosts were asked to check a login.
    pub(crate) checks: usize,
}

/// A person's keys, as their devices hold them.
pub(crate) struct Person {
    pub(crate) address: Address,
    pub(crate) ak: AddressIdentity,
    pub(crate) next: Hash,
    pub(crate) chain: Option<Chain>,
}

impl Person {
    pub(crate) fn new(address: &Address, seed: u8) -> Self {
        let ak = AddressIdentity::new(&Secret::new([seed; 32]));
        let next = AddressIdentity::new(&Secret::new([seed ^ 0x80; 32])).ak().hash();
        Self { address: address.clone(), ak, next, chain: None }
    }

    /// The list that has these devices and no others, not yet published by anybody.
    pub(crate) fn list(&self, devices: &[&Device]) -> Signed<DeviceList> {
        self.list_of(&devices.iter().map(|device| device.keys.dk()).collect::<Vec<_>>())
    }

    /// The same, of the devices that have these keys.
    pub(crate) fn list_of(&self, devices: &[DeviceKey]) -> Signed<DeviceList> {
        let listed = |dk: &DeviceKey| Listed::new(*dk, false, Millis(1_000));
        let Some(chain) = &self.chain else {
            let devices = devices.iter().map(listed).collect();
            return Chain::found(self.address.clone(), &self.ak, self.next, false, devices).unwrap().0;
        };
        let mut list = DeviceList {
            identity: chain.identity(),
            address: self.address.clone(),
            number: chain.number() + 1,
            prev: Some(chain.hash()),
            ak: self.ak.ak(),
            hosted: false,
            devices: devices.iter().map(listed).collect(),
            revoked: chain.revoked().collect(),
            next: chain.next(),
            successor: None,
        };
        let gone = chain.devices().map(|device| device.dk).filter(|dk| !devices.contains(dk));
        list.revoked.extend(gone);
        list.revoked.sort();
        list.devices.sort_by_key(|device| device.dk);
        self.ak.state(list).unwrap()
    }

    /// Their list was taken.
    pub(crate) fn took(&mut self, list: &Signed<DeviceList>) {
        match &mut self.chain {
            None => self.chain = Some(Chain::begin(&self.address, list).unwrap()),
            Some(chain) => {
                let Verdict::Extends(extension) = chain.judge(list).unwrap() else { panic!("no next list") };
                chain.take(*extension);
            }
        }
    }

    /// Their key proof for a line.
    pub(crate) fn proof(&self, other: &Address, t2: Hash) -> Signed<KeyProof> {
        let chain = self.chain.as_ref().unwrap();
        let proof = KeyProof {
            t2,
            author: self.address.clone(),
            other: other.clone(),
            identity: chain.identity(),
            ak: self.ak.ak(),
            number: chain.number(),
            list: chain.hash(),
        };
        self.ak.state(proof).unwrap()
    }
}

fn tick(world: &World) -> Tick {
    Tick { now: Millis(world.now.0), entropy: sha256(&[b"device", &world.now.0.to_be_bytes()]).0 }
}

impl People {
    /// One more device of somebody, with the right login at hand; not connected yet.
    pub(crate) fn add(&mut self, world: &World, address: &Address) -> usize {
        let seed = u8::try_from(self.devices.len()).unwrap();
        self.devices.push(Device {
            address: address.clone(),
            node: world.home(address).unwrap(),
            keys: DeviceIdentity::new(&Secret::new([0xd0 ^ seed; 32])),
            posted: 0,
            login: Some((address.to_string(), "secret".to_owned())),
            session: None,
            ready: None,
            behind: None,
            heard: Vec::new(),
            left: None,
            asked: 0,
        });
        self.devices.len() - 1
    }

    /// A device that is enrolled and online.
    pub(crate) fn online(&mut self, world: &mut World, address: &Address) -> usize {
        let index = self.add(world, address);
        self.connect(world, index);
        self.pass(world, 10);
        assert!(self.devices[index].is_up(), "{:?}", self.devices[index].left);
        index
    }

    /// Connects a device; where it was connected, the node doesn't hear that it left.
    pub(crate) fn connect(&mut self, world: &mut World, index: usize) {
        self.next += 1;
        let (session, channel) = (SessionId(self.next), sha256(&[b"channel", &self.next.to_be_bytes()]).0);
        let device = &mut self.devices[index];
        let login = device.login.clone().map(|(user, password)| Login { user, password: Password(password.into()) });
        let dial = Dial { address: device.address.clone(), node: None, login, posted: device.posted };
        let mut out = Outbox::new();
        let machine = Session::dial(&tick(world), &device.keys, dial, channel, &mut out);
        world.on_session(device.node, session, SessionIn::Up { channel });
        (device.ready, device.behind, device.left) = (None, None, None);
        device.session = Some((session, index, machine));
        device.perform(world, out);
    }

    /// The device is gone, and its node hears it.
    pub(crate) fn leave(&mut self, world: &mut World, index: usize) {
        let device = &mut self.devices[index];
        if let Some((session, ..)) = device.session.take() {
            world.on_session(device.node, session, SessionIn::Down);
        }
        self.pass(world, 5);
    }

    /// The world goes on, and so do the devices.
    pub(crate) fn pass(&mut self, world: &mut World, ms: u64) {
        for _ in 0..ms {
            self.turn(world);
            world.pass(1);
        }
        self.turn(world);
        assert_eq!(world.broken, None);
    }

    fn turn(&mut self, world: &mut World) {
        for (node, session, what) in std::mem::take(&mut world.to_devices) {
            let is_its = |device: &&mut Device| {
                device.node == node && device.session.as_ref().is_some_and(|(id, ..)| *id == session)
            };
            let device = self.devices.iter_mut().find(is_its);
            match (what, device) {
                (SessionOut::Send(frame), Some(device)) => device.step(world, Input::Frame(frame)),
                (SessionOut::Close, Some(device)) => device.session = None,
                (SessionOut::CheckLogin { user, password }, _) => {
                    self.checks += 1;
                    let address = Address::parse(&user).ok().filter(|_| *password.0 == "secret");
                    let login = address
                        .map(|address| LoginOk { mailbox: mailbox_of(&address), addresses: vec![address.clone()] });
                    world.on_session(node, session, SessionIn::Login(login));
                }
                // Nobody here has files.
                (SessionOut::Bytes(..), _) | (SessionOut::Send(_) | SessionOut::Close, None) => {}
            }
        }
    }

    /// A device makes something known; what its node said to it.
    pub(crate) fn publish(&mut self, world: &mut World, index: usize, what: Publication) -> Option<Code> {
        let device = &mut self.devices[index];
        device.asked += 1;
        let asked = device.asked;
        device.step(world, Input::Say(Talk::Publish { number: asked, what }));
        self.pass(world, 10);
        let said = self.devices[index].heard.iter().rev().find_map(|talk| match talk {
            Talk::Published { number, code } if *number == asked => Some(*code),
            _ => None,
        });
        said.expect("an answer")
    }

    /// A device asks something; what is answered within this time.
    pub(crate) fn ask(
        &mut self,
        world: &mut World,
        index: usize,
        what: Question,
        ms: u64,
    ) -> Option<Result<Finding, Code>> {
        let device = &mut self.devices[index];
        device.asked += 1;
        let asked = device.asked;
        device.step(world, Input::Say(Talk::Ask { number: asked, what }));
        for _ in 0..ms {
            self.pass(world, 1);
            let heard = self.devices[index].heard.last();
            if let Some(Talk::Answer { number, what }) = heard.filter(|talk| matches!(talk, Talk::Answer { .. }))
                && *number == asked
            {
                return Some(what.clone());
            }
        }
        None
    }

    /// A person's next list, with these of their devices, published by the first of them.
    pub(crate) fn list(&mut self, world: &mut World, person: &mut Person, devices: &[usize]) {
        let list = person.list(&devices.iter().map(|index| &self.devices[*index]).collect::<Vec<_>>());
        let said = self.publish(world, devices[0], Publication::List(list.bytes().to_vec()));
        assert_eq!(said, None);
        person.took(&list);
    }

    /// A person's keys, proven for their line with `other` by one of their devices.
    pub(crate) fn prove(&mut self, world: &mut World, person: &Person, index: usize, other: &Address) -> Option<Code> {
        let t2 = world.nodes[world.home(&person.address).unwrap()].trust(&pair(&person.address, other)).t2().unwrap();
        let bytes = person.proof(other, t2).bytes().to_vec();
        self.publish(world, index, Publication::Proof { theirs: other.clone(), bytes })
    }
}

impl Device {
    pub(crate) fn is_up(&self) -> bool {
        self.session.as_ref().is_some_and(|(.., session)| session.is_up())
    }

    pub(crate) fn say(&mut self, world: &mut World, talk: Talk) {
        self.step(world, Input::Say(talk));
    }

    /// What it last heard of its lines.
    pub(crate) fn lines(&self) -> BTreeMap<Address, Line> {
        let lines = self.heard.iter().filter_map(|talk| if let Talk::Line(line) = talk { Some(line) } else { None });
        lines.map(|line| (line.theirs.clone(), line.clone())).collect()
    }

    fn step(&mut self, world: &mut World, input: Input) {
        let mut out = Outbox::new();
        if let Some((_, _, session)) = &mut self.session {
            session.step(&tick(world), &self.keys, input, &mut out);
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
                Output::Ready { ready, behind, .. } => {
                    self.login = None;
                    (self.ready, self.behind) = (Some(ready), behind);
                }
                Output::Talk(talk) => self.heard.push(talk),
                Output::File(_) => {}
                Output::Left(code) => (self.session, self.left) = (None, Some(code)),
                // These have chosen nothing.
                Output::Whisper(whisper) => panic!("{whisper:?}"),
                Output::Failed(why) => panic!("{why}"),
            }
        }
    }

    /// Says a frame as it is, whatever its own machine thinks of it.
    pub(crate) fn blurt(&self, world: &mut World, frame: Frame) {
        let (session, ..) = self.session.as_ref().unwrap();
        world.on_session(self.node, *session, SessionIn::Frame(frame));
    }
}

/// What is proven of the keys of two, as their node's record says.
pub(crate) fn keys(world: &World, ours: &Address, theirs: &Address) -> KeysState {
    let node = &world.nodes[world.home(ours).unwrap()];
    let record = node.disk.get(&Key::Proofs(pair(ours, theirs)));
    record.map(|record| read_keys(record).unwrap()).unwrap_or_default()
}

/// Whoever went down comes up again, and links have the time to.
pub(crate) fn all_up(world: &mut World) {
    while world.nodes.iter().any(|node| node.server.is_none()) {
        world.pass(SECOND);
    }
    world.pass(2 * MINUTE);
}

/// How the keys of two changed at a node, in order.
pub(crate) fn changes(world: &World, node: usize) -> Vec<(KeysState, KeysState)> {
    let of = |(at, _, event): &(usize, Millis, Event)| match event {
        Event::Keys { from, to, .. } if *at == node => Some((*from, *to)),
        _ => None,
    };
    world.events.iter().filter_map(of).collect()
}
