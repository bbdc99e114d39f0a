//! Real devices on real nodes: clients, each with its own disk, on sessions with the world's servers.

use std::collections::BTreeMap;

use postline_core::client::io::{Event, Login, Mark, Saying, To};
use postline_core::client::{Client, Command, Input, Ours, Output, SessionIn as ToClient};
use postline_core::id::{Address, ContentId, SessionId};
use postline_core::server::{LoginOk, SessionIn, SessionOut};
use postline_core::step::{Machine, Outbox, Tick};
use postline_core::store::{Key, Record, sha256};
use postline_core::time::Millis;
use postline_core::wire::talk::Password;
use postline_world::bytes::mailbox_of;
use postline_world::world::World;

/// A device on its disk.
pub(crate) struct Device {
    pub(crate) address: Address,
    node: usize,
    client: Client,
    disk: BTreeMap<Key, Record>,
    session: Option<(SessionId, u64)>,
    pub(crate) reachable: bool,
    /// Whether it goes down before it has stored what it tells next.
    pub(crate) falls: bool,
    pub(crate) events: Vec<Event>,
}

/// All devices of a story.
#[derive(Default)]
pub(crate) struct Clients {
    pub(crate) all: Vec<Device>,
    sessions: u64,
    draws: u64,
}

impl Clients {
    /// One more device of somebody: it enrols at once.
    pub(crate) fn add(&mut self, world: &mut World, address: &Address) -> usize {
        let ours = Ours { address: address.clone(), hosted: false };
        self.all.push(Device {
            address: address.clone(),
            node: world.home(address).unwrap(),
            client: Client::restore(ours, []).unwrap(),
            disk: BTreeMap::new(),
            session: None,
            reachable: true,
            falls: false,
            events: Vec::new(),
        });
        let n = self.all.len() - 1;
        let login = Login { user: address.to_string(), password: Password("secret".to_owned().into()) };
        self.command(world, n, Command::Enrol { login: Some(login) });
        n
    }

    /// A further device, let in by the code that it shows.
    pub(crate) fn further(&mut self, world: &mut World, old: usize) -> usize {
        let address = self.all[old].address.clone();
        let new = self.add(world, &address);
        self.pass(world, 100);
        self.command(world, new, Command::Join);
        self.pass(world, 100);
        let code = self.all[new].events.iter().find_map(|event| match event {
            Event::Code(code) => Some(code.text.clone()),
            _ => None,
        });
        let code = code.unwrap_or_else(|| panic!("no code: {:#?}", self.all[new].events));
        self.command(world, old, Command::AddDevice { code: code.to_string().into() });
        self.pass(world, 5_000);
        assert!(self.all[new].client.is_enrolled(), "{:#?}", self.all[new].events);
        new
    }

    pub(crate) fn command(&mut self, world: &mut World, n: usize, command: Command) {
        self.step(world, n, Input::Command(command));
    }

    pub(crate) fn write(&mut self, world: &mut World, n: usize, to: &Address, text: &str) -> ContentId {
        let to = To::Person(to.clone());
        self.command(world, n, Command::Say { to, salt: None, what: Saying::text(text).unwrap() });
        let said = self.all[n].events.iter().rev().find_map(|event| match event {
            Event::Saying { id, .. } => Some(*id),
            _ => None,
        });
        said.unwrap_or_else(|| panic!("not said: {:#?}", self.all[n].events))
    }

    /// The device's process is killed, and started from its disk.
    pub(crate) fn restart(&mut self, world: &mut World, n: usize) {
        let device = &mut self.all[n];
        if let Some((session, _)) = device.session.take() {
            world.on_session(device.node, session, SessionIn::Down);
        }
        let ours = Ours { address: device.address.clone(), hosted: false };
        let records = device.disk.values().filter(|record| Client::restored_at_start(&record.key)).cloned();
        device.client = Client::restore(ours, records).unwrap();
    }

    pub(crate) fn reach(&mut self, world: &mut World, n: usize, reachable: bool) {
        self.all[n].reachable = reachable;
        if !reachable && let Some((session, _)) = self.all[n].session.take() {
            world.on_session(self.all[n].node, session, SessionIn::Down);
            self.step(world, n, Input::Session(ToClient::Down));
        }
    }

    /// The world goes on, and so do the devices.
    pub(crate) fn pass(&mut self, world: &mut World, ms: u64) {
        for _ in 0..ms {
            self.turn(world);
            world.pass(1);
        }
        self.turn(world);
    }

    fn turn(&mut self, world: &mut World) {
        for (node, session, what) in std::mem::take(&mut world.to_devices) {
            let its = |device: &Device| device.node == node && device.session.is_some_and(|(id, _)| id == session);
            let Some(n) = self.all.iter().position(its) else { continue };
            match what {
                SessionOut::Send(frame) => self.step(world, n, Input::Session(ToClient::Frame(frame))),
                SessionOut::CheckLogin { .. } => {
                    let address = self.all[n].address.clone();
                    let login = LoginOk { mailbox: mailbox_of(&address), addresses: vec![address] };
                    world.on_session(node, session, SessionIn::Login(Some(login)));
                }
                // Nobody here has files.
                SessionOut::Bytes(..) => {}
                SessionOut::Close => {
                    self.all[n].session = None;
                    self.step(world, n, Input::Session(ToClient::Down));
                }
            }
        }
        for n in 0..self.all.len() {
            let device = &self.all[n];
            let there = &world.nodes[device.node];
            let gone = device.session.is_some_and(|(_, then)| then != there.incarnation || there.server.is_none());
            if gone {
                self.all[n].session = None;
                self.step(world, n, Input::Session(ToClient::Down));
            }
            for _ in 0..100 {
                if self.all[n].client.deadline().is_none_or(|at| at.0 > world.now.0) {
                    break;
                }
                self.step(world, n, Input::Wake);
            }
        }
    }

    fn step(&mut self, world: &mut World, n: usize, input: Input) {
        self.draws += 1;
        let tick = Tick { now: Millis(world.now.0), entropy: sha256(&[b"client", &self.draws.to_be_bytes()]).0 };
        let device = &mut self.all[n];
        for _ in 0..8 {
            for key in device.client.wants(&input) {
                device.client.hydrate(&key, device.disk.get(&key)).unwrap();
            }
        }
        let mut out = Outbox::new();
        device.client.step(&tick, input, &mut out).unwrap();
        let early: Vec<Output> = std::iter::from_fn(|| out.next_early()).collect();
        let falls = device.falls && !early.is_empty();
        for effect in early {
            self.perform(world, n, effect);
        }
        if falls {
            self.all[n].falls = false;
            return self.restart(world, n);
        }
        let device = &mut self.all[n];
        for record in out.records() {
            match &record.value {
                Some(_) => device.disk.insert(record.key.clone(), record.clone()),
                None => device.disk.remove(&record.key),
            };
        }
        for effect in out.effects().cloned().collect::<Vec<_>>() {
            self.perform(world, n, effect);
        }
    }

    fn perform(&mut self, world: &mut World, n: usize, effect: Output) {
        let device = &mut self.all[n];
        let there = &world.nodes[device.node];
        match effect {
            Output::Dial if device.reachable && there.server.is_some() => {
                self.sessions += 1;
                let session = SessionId(self.sessions);
                device.session = Some((session, there.incarnation));
                let channel = sha256(&[b"channel", &self.sessions.to_be_bytes()]).0;
                world.on_session(device.node, session, SessionIn::Up { channel });
                self.step(world, n, Input::Session(ToClient::Up { channel }));
            }
            Output::Dial => self.step(world, n, Input::Session(ToClient::Unreached)),
            Output::Send(frame) => {
                if let Some((session, _)) = device.session {
                    world.on_session(device.node, session, SessionIn::Frame(frame));
                }
            }
            Output::Close => {
                if let Some((session, _)) = device.session.take() {
                    world.on_session(device.node, session, SessionIn::Down);
                }
            }
            Output::Bytes(_) => {}
            Output::Approve(nk) => self.step(world, n, Input::Session(ToClient::Approved { nk, yes: true })),
            Output::Event(event) => device.events.push(event),
        }
    }

    // What the stories look at.

    pub(crate) fn texts(&self, n: usize) -> Vec<String> {
        let text = |event: &Event| match event {
            Event::Said(said) => said.words().map(str::to_owned),
            _ => None,
        };
        self.all[n].events.iter().filter_map(text).collect()
    }

    pub(crate) fn marks(&self, n: usize, id: ContentId) -> Vec<Mark> {
        let mark = |event: &Event| match event {
            Event::Mark { id: which, mark, .. } if *which == id => Some(mark.clone()),
            Event::Saying { id: which, .. } if *which == id => Some(Mark::Queued),
            _ => None,
        };
        self.all[n].events.iter().filter_map(mark).collect()
    }

    /// How many devices are in the conversations that a device knows.
    pub(crate) fn devices_in(&self, n: usize) -> Vec<usize> {
        self.all[n].client.conversations().map(|talk| talk.devices).collect()
    }
}
