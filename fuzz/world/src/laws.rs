//! The laws that every machine keeps, whatever it is told.
//!
//! ```text
//!   machine ──step──▶ outbox          the same state, tick and input give the same outputs
//!      │  Err: nothing changed        after a wake at t no deadline ≤ t
//!      ▼                              a refused commit leaves no trace
//!   records ──restore──▶ twin         restore(records so far) == machine.after_crash()
//! ```
//!
//! Twins are restored or fed, never cloned. A law that is broken panics: tests, fuzzers and corpus replay call alike.

mod client;
pub(crate) mod logs;
pub(crate) mod said;
pub(crate) mod talks;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use postline_core::fault::{Code, Misuse};
use postline_core::id::{Address, BlobRef, CarryId, Domain, Hash, Lane, MailId, Mailbox, NodeKey, Pair};
use postline_core::limits;
use postline_core::machine::greeting::{self, Greeting};
use postline_core::machine::link::{self, Link};
use postline_core::machine::queue::{self, Queue};
use postline_core::machine::session::{device, node};
use postline_core::machine::trust::{self, Trust};
use postline_core::seal::{DeviceIdentity, NodeIdentity, Secret};
use postline_core::server::{self, Ours, Server};
use postline_core::step::{Machine, Outbox, Tick};
use postline_core::store::{Key, Record};
use postline_core::time::Millis;
use postline_core::wire::frame::{Domains, Ready};

pub use client::{AtNode, ClientInput, ClientLaws, conversation, line};
pub use logs::{FollowerLaws, HubLaws};
pub use said::{NameLaws, PinLaws, ReactionLaws, RevisionLaws};
pub use talks::{DevicePresenceLaws, MarkLaws, NodePresenceLaws};

/// When every machine begins.
pub const START: Millis = Millis(1_795_000_000_000);
/// How many wakes may follow each other before nothing is due: a batch each, and no more waits than that.
const WAKES: usize = 16;
/// Most effects of one step: what a full window, or a batch of deadlines, may want.
const EFFECTS: usize = 8 * limits::WAKE_BATCH;

/// What is durable.
pub type Records = BTreeMap<Key, Record>;

/// A machine as the laws see it.
pub trait Subject {
    /// The machine.
    type Machine: Machine<Input: Clone + Debug, Output: Debug, Fault: Debug> + Debug;
    /// A new one.
    fn fresh() -> Self::Machine;
    /// The one that these records make.
    fn restored(records: &Records) -> Self::Machine;
    /// What a crash leaves of one, all its records stored.
    fn after_crash(machine: &Self::Machine, records: &Records) -> Self::Machine;
    /// The input that says that a deadline has come.
    fn wake() -> <Self::Machine as Machine>::Input;
    /// Brings what an input wants.
    fn hydrate(_: &mut Self::Machine, _: &<Self::Machine as Machine>::Input, _: &Records) {}
    /// How much it holds: items that a peer can make grow.
    fn size(machine: &Self::Machine) -> usize;
    /// The most that it may hold.
    const MOST: usize;
}

/// One step of a script.
#[derive(Clone, Debug)]
pub struct Step<I> {
    /// How much later it is.
    pub after_ms: u64,
    /// Whether the commit fails.
    pub fails: bool,
    /// What the machine is told.
    pub input: I,
}

type InputOf<S> = <<S as Subject>::Machine as Machine>::Input;

/// Holds a machine to the laws over a script.
///
/// # Panics
/// Where a law is broken.
pub fn obeys<S: Subject>(script: impl IntoIterator<Item = Step<InputOf<S>>>) {
    let (mut machine, mut twin) = (S::fresh(), S::fresh());
    let mut records = Records::new();
    let (mut now, mut draws) = (START, 0_u64);
    for Step { after_ms, fails, input } in script {
        now = now.plus(after_ms);
        draws += 1;
        let tick = tick(now, draws);
        let saved = told::<S>(&mut machine, &mut twin, &tick, &input, &records);
        if fails {
            // The batch is as if it had never been.
            (machine, twin) = (S::restored(&records), S::restored(&records));
        } else {
            store(&mut records, saved);
            restores::<S>(&machine, &records);
        }
        wakes::<S>(&mut machine, &mut twin, &mut records, now, &mut draws);
        assert!(S::size(&machine) <= S::MOST, "holds {} of at most {}", S::size(&machine), S::MOST);
    }
}

/// Tells both twins the same, and gives what they saved.
fn told<S: Subject>(
    machine: &mut S::Machine,
    twin: &mut S::Machine,
    tick: &Tick,
    input: &InputOf<S>,
    records: &Records,
) -> Vec<Record> {
    let [(before, result, out), (_, other, mirrored)] = [machine, twin].map(|machine| {
        S::hydrate(machine, input, records);
        let (before, mut out) = (format!("{machine:?}"), Outbox::new());
        let result = machine.step(tick, input.clone(), &mut out);
        if result.is_err() {
            assert_eq!(before, format!("{machine:?}"), "a refusal of {input:?} changed the machine");
            assert!(out.is_empty(), "a refusal of {input:?} put something out");
        }
        (before, format!("{result:?}"), out)
    });
    assert_eq!(result, other, "two machines judge {input:?} in two ways, from {before}");
    assert_eq!(format!("{out:?}"), format!("{mirrored:?}"), "two machines answer {input:?} in two ways");
    let effects = out.effects().count();
    assert!(effects <= EFFECTS, "{effects} effects of {input:?}");
    out.records().cloned().collect()
}

/// After a wake at t, repeated while there is a batch left, nothing is due.
fn wakes<S: Subject>(
    machine: &mut S::Machine,
    twin: &mut S::Machine,
    records: &mut Records,
    now: Millis,
    draws: &mut u64,
) {
    for _ in 0..WAKES {
        if machine.deadline().is_none_or(|at| at > now) {
            return;
        }
        *draws += 1;
        let saved = told::<S>(machine, twin, &tick(now, *draws), &S::wake(), records);
        store(records, saved);
        restores::<S>(machine, records);
    }
    let due = machine.deadline();
    assert!(due.is_none_or(|at| at > now), "due at {due:?} after {WAKES} wakes at {now}: {machine:?}");
}

fn restores<S: Subject>(machine: &S::Machine, records: &Records) {
    let (restored, left) = (S::restored(records), S::after_crash(machine, records));
    assert_eq!(format!("{restored:?}"), format!("{left:?}"), "the records make another machine than a crash leaves");
}

fn store(records: &mut Records, saved: Vec<Record>) {
    for record in saved {
        match &record.value {
            Some(_) => records.insert(record.key.clone(), record),
            None => records.remove(&record.key),
        };
    }
}

pub(crate) fn tick(now: Millis, draws: u64) -> Tick {
    let entropy = postline_core::store::sha256(&[b"laws", &draws.to_be_bytes()]).0;
    Tick { now, entropy }
}

// The people and nodes of every script.

/// The address on our node.
///
/// # Panics
/// Never: the text is an address.
#[must_use]
pub fn ours() -> Address {
    address("one@a.example")
}

/// The nth correspondent's.
#[must_use]
pub fn theirs(n: u64) -> Address {
    address(match n % 3 {
        0 => "two@b.example",
        1 => "three@b.example",
        _ => "four@c.example",
    })
}

#[expect(clippy::expect_used, reason = "the names are written here")]
fn address(text: &str) -> Address {
    Address::parse(text).expect("an address")
}

/// The pair that most scripts are about.
#[must_use]
pub fn pair() -> Pair {
    Pair { ours: ours(), theirs: theirs(0) }
}

/// The nth identity.
#[must_use]
pub fn identity(n: u64) -> NodeIdentity {
    let seed = |n: u64| Secret::new([u8::try_from(1 + n % 3).unwrap_or_default(); 32]);
    NodeIdentity::new(&seed(n), NodeIdentity::public(&seed(n + 1)))
}

pub(crate) fn host() -> Ours {
    Ours {
        identity: identity(0),
        domains: BTreeSet::from([ours().domain().clone()]),
        hint: None,
        offers: true,
        generation: 1,
    }
}

/// [`Trust`] under the laws.
#[derive(Debug)]
pub struct TrustLaws;

impl Subject for TrustLaws {
    type Machine = Trust;
    const MOST: usize = 1;

    fn fresh() -> Trust {
        Trust::stranger(pair())
    }

    fn restored(records: &Records) -> Trust {
        let record = records.get(&Key::Trust(pair()));
        record.map_or_else(Self::fresh, |record| must(Trust::restore(pair(), record)))
    }

    fn after_crash(machine: &Trust, _: &Records) -> Trust {
        machine.after_crash()
    }

    fn wake() -> trust::Input {
        trust::Input::Wake
    }

    fn size(machine: &Trust) -> usize {
        // A deadline is a record, and there is one at most.
        usize::from(machine.deadline().is_some())
    }
}

/// [`Link`] under the laws.
#[derive(Debug)]
pub struct LinkLaws;

impl LinkLaws {
    fn keys() -> (NodeKey, NodeKey, u64, Hash) {
        (identity(1).nk(), identity(0).nk(), 1, identity(0).next_nk())
    }
}

impl Subject for LinkLaws {
    type Machine = Link;
    const MOST: usize = limits::WINDOW_ITEMS;

    fn fresh() -> Link {
        let (nk, our_nk, generation, next) = Self::keys();
        Link::new(nk, our_nk, generation, next)
    }

    fn restored(records: &Records) -> Link {
        let (nk, our_nk, generation, next) = Self::keys();
        let value = records.get(&Key::Peer(nk)).and_then(|record| record.value.as_deref());
        value.map_or_else(Self::fresh, |value| must(Link::restore(nk, our_nk, generation, next, value)))
    }

    fn after_crash(machine: &Link, _: &Records) -> Link {
        machine.after_crash()
    }

    fn wake() -> link::Input {
        link::Input::Wake
    }

    fn size(machine: &Link) -> usize {
        machine.room()
    }
}

/// [`Queue`] of a domain under the laws.
#[derive(Debug)]
pub struct DomainLaws;
/// [`Queue`] of a mailbox under the laws.
#[derive(Debug)]
pub struct MailboxLaws;
/// [`Queue`] of a node under the laws.
#[derive(Debug)]
pub struct NodeLaws;

macro_rules! queue_laws {
    ($($laws:ident: $lane:expr;)*) => {$(
        impl Subject for $laws {
            type Machine = Queue;
            const MOST: usize = 64;

            fn fresh() -> Queue {
                Queue::new($lane)
            }

            fn restored(records: &Records) -> Queue {
                let mut queue = Self::fresh();
                for (key, record) in records {
                    if let Key::Queue(_, mail) = key {
                        must(queue.restore(*mail, record));
                    }
                }
                queue
            }

            fn after_crash(machine: &Queue, _: &Records) -> Queue {
                machine.after_crash()
            }

            fn wake() -> queue::Input {
                queue::Input::Wake
            }

            fn size(machine: &Queue) -> usize {
                machine.len()
            }
        }
    )*};
}

queue_laws! {
    DomainLaws: Lane::Domain(domain());
    MailboxLaws: Lane::Mailbox(Mailbox("one".to_owned()));
    NodeLaws: Lane::Node(identity(1).nk());
}

fn domain() -> Domain {
    theirs(0).domain().clone()
}

/// [`Server`] under the laws. What a crash leaves of it is what its records make: it holds no more to compare with.
#[derive(Debug)]
pub struct ServerLaws;

impl Subject for ServerLaws {
    type Machine = Server;
    const MOST: usize = 2 * limits::GREETINGS;

    fn fresh() -> Server {
        Self::restored(&Records::new())
    }

    fn restored(records: &Records) -> Server {
        must(Server::restore(host(), records.values().filter(|record| record.key.restored_at_start()).cloned()))
    }

    fn after_crash(machine: &Server, records: &Records) -> Server {
        // All that waits is on the disk, and nothing else is.
        let waiting: BTreeSet<Key> = machine
            .lanes()
            .flat_map(|(lane, queue)| queue.entries().map(|shown| Key::Queue(lane.clone(), shown.mail)))
            .collect();
        let stored: BTreeSet<Key> = records.keys().filter(|key| matches!(key, Key::Queue(..))).cloned().collect();
        assert_eq!(waiting, stored, "what waits in memory is not what waits on the disk");
        Self::restored(records)
    }

    fn wake() -> server::Input {
        server::Input::Wake
    }

    fn hydrate(machine: &mut Server, input: &server::Input, records: &Records) {
        for _ in 0..8 {
            for key in machine.wants(input) {
                must(machine.hydrate(&key, records.get(&key)));
            }
        }
        assert!(machine.wants(input).is_empty(), "what {input:?} wants never ends");
    }

    fn size(machine: &Server) -> usize {
        machine.in_memory()
    }
}

/// [`Greeting`] as a machine: it has no records, and a crash forgets it.
#[derive(Debug)]
pub struct Greeter {
    identity: NodeIdentity,
    domains: BTreeSet<Domain>,
    greeting: Greeting,
}

impl Machine for Greeter {
    type Input = greeting::Input;
    type Output = greeting::Output;
    type Fault = Misuse;

    fn step(&mut self, tick: &Tick, input: Self::Input, out: &mut Outbox<Self::Output>) -> Result<(), Misuse> {
        let ours = greeting::Ours { identity: &self.identity, domains: &self.domains };
        self.greeting.step(tick, ours, input, out);
        Ok(())
    }

    fn deadline(&self) -> Option<Millis> {
        self.greeting.deadline()
    }
}

/// [`Greeting`] of who was dialled, under the laws.
#[derive(Debug)]
pub struct ListenerLaws;
/// [`Greeting`] of who dialled, under the laws.
#[derive(Debug)]
pub struct DiallerLaws;

impl Subject for ListenerLaws {
    type Machine = Greeter;
    const MOST: usize = 1;

    fn fresh() -> Greeter {
        let greeting = Greeting::answer(&tick(START, 0), [7; 32]);
        Greeter { identity: identity(0), domains: host().domains, greeting }
    }

    fn restored(_: &Records) -> Greeter {
        Self::fresh()
    }

    fn after_crash(_: &Greeter, records: &Records) -> Greeter {
        assert!(records.is_empty(), "a connection without proof left a record");
        Self::fresh()
    }

    fn wake() -> greeting::Input {
        greeting::Input::Wake
    }

    fn size(machine: &Greeter) -> usize {
        usize::from(machine.deadline().is_some())
    }
}

impl Subject for DiallerLaws {
    type Machine = Greeter;
    const MOST: usize = 1;

    fn fresh() -> Greeter {
        let domains = Domains { speaker: ours().domain().clone(), listener: domain() };
        let nk = identity(1).nk();
        let greeting = Greeting::dial(&tick(START, 0), &identity(0), domains, nk, [7; 32], &mut Outbox::new());
        Greeter { identity: identity(0), domains: host().domains, greeting }
    }

    fn restored(_: &Records) -> Greeter {
        Self::fresh()
    }

    fn after_crash(machine: &Greeter, records: &Records) -> Greeter {
        ListenerLaws::after_crash(machine, records);
        Self::fresh()
    }

    fn wake() -> greeting::Input {
        greeting::Input::Wake
    }

    fn size(machine: &Greeter) -> usize {
        usize::from(machine.deadline().is_some())
    }
}

/// The node's end of a session as a machine: it has no records, and a crash forgets it.
#[derive(Debug)]
pub struct NodeSession {
    identity: NodeIdentity,
    session: node::Session,
}

/// The device's end.
#[derive(Debug)]
pub struct DeviceSession {
    identity: DeviceIdentity,
    session: device::Session,
}

impl NodeSession {
    fn tell(&mut self, input: node::Input) -> Outbox<node::Output> {
        let mut out = Outbox::new();
        must(self.step(&tick(START, 0), input, &mut out));
        out
    }
}

impl Machine for NodeSession {
    type Input = node::Input;
    type Output = node::Output;
    type Fault = Misuse;

    fn step(&mut self, tick: &Tick, input: Self::Input, out: &mut Outbox<Self::Output>) -> Result<(), Misuse> {
        let enrolled = ours();
        let lent = node::Ours { identity: &self.identity, enrolled: Some(&enrolled) };
        self.session.step(tick, lent, input, out);
        Ok(())
    }

    fn deadline(&self) -> Option<Millis> {
        self.session.deadline()
    }
}

impl Machine for DeviceSession {
    type Input = device::Input;
    type Output = device::Output;
    type Fault = Misuse;

    fn step(&mut self, tick: &Tick, input: Self::Input, out: &mut Outbox<Self::Output>) -> Result<(), Misuse> {
        self.session.step(tick, &self.identity, input, out);
        Ok(())
    }

    fn deadline(&self) -> Option<Millis> {
        self.session.deadline()
    }
}

/// Both ends of a session that is up, after a greeting in which everything was as it must be.
fn session() -> (NodeSession, DeviceSession) {
    let dial = device::Dial {
        address: ours(),
        node: Some(device::Node { nk: identity(0).nk(), next: None }),
        login: None,
        posted: 0,
    };
    let (keys, mut out) = (DeviceIdentity::new(&Secret::new([9; 32])), Outbox::new());
    let session = device::Session::dial(&tick(START, 0), &keys, dial, [7; 32], &mut out);
    let mut device = DeviceSession { identity: keys, session };
    let mut node = NodeSession { identity: identity(0), session: node::Session::answer(&tick(START, 0), [7; 32]) };
    let ready =
        Ready { next_nk: Hash([1; 32]), generation: 1, last_seen: 0, window_items: 8, window_bytes: 8, max_body: 8 };
    let said = |out: &Outbox<device::Output>| {
        let frame = |output: &device::Output| match output {
            device::Output::Send(frame) => Some(frame.clone()),
            _ => None,
        };
        out.effects().filter_map(frame).collect::<Vec<_>>()
    };
    for _ in 0..3 {
        let answers: Vec<_> = said(&out).into_iter().map(|frame| node.tell(node::Input::Frame(frame))).collect();
        out = Outbox::new();
        for output in answers.iter().flat_map(Outbox::effects) {
            match output {
                node::Output::Send(frame) => {
                    must(device.step(&tick(START, 0), device::Input::Frame(frame.clone()), &mut out));
                }
                node::Output::Proven(_) => {
                    for output in node.tell(node::Input::Admit(ready.clone())).effects() {
                        if let node::Output::Send(frame) = output {
                            must(device.step(&tick(START, 0), device::Input::Frame(frame.clone()), &mut out));
                        }
                    }
                }
                _ => {}
            }
        }
    }
    (node, device)
}

/// The node's end of a session that is up, under the laws.
#[derive(Debug)]
pub struct NodeSessionLaws;
/// The device's end of one, under the laws.
#[derive(Debug)]
pub struct DeviceSessionLaws;

impl Subject for NodeSessionLaws {
    type Machine = NodeSession;
    const MOST: usize = 1;

    fn fresh() -> NodeSession {
        let (node, _) = session();
        assert!(node.session.is_up(), "the greeting went wrong");
        node
    }

    fn restored(_: &Records) -> NodeSession {
        Self::fresh()
    }

    fn after_crash(_: &NodeSession, records: &Records) -> NodeSession {
        assert!(records.is_empty(), "a session left a record");
        Self::fresh()
    }

    fn wake() -> node::Input {
        node::Input::Wake
    }

    fn size(machine: &NodeSession) -> usize {
        usize::from(machine.deadline().is_some())
    }
}

impl Subject for DeviceSessionLaws {
    type Machine = DeviceSession;
    const MOST: usize = 1;

    fn fresh() -> DeviceSession {
        let (_, device) = session();
        assert!(device.session.is_up(), "the greeting went wrong");
        device
    }

    fn restored(_: &Records) -> DeviceSession {
        Self::fresh()
    }

    fn after_crash(_: &DeviceSession, records: &Records) -> DeviceSession {
        assert!(records.is_empty(), "a session left a record");
        Self::fresh()
    }

    fn wake() -> device::Input {
        device::Input::Wake
    }

    fn size(machine: &DeviceSession) -> usize {
        usize::from(machine.deadline().is_some())
    }
}

#[expect(clippy::panic, reason = "a machine that can't read its own records breaks the law")]
fn must<T, E: Debug>(result: Result<T, E>) -> T {
    result.unwrap_or_else(|fault| panic!("own record refused: {fault:?}"))
}

/// Keeps what scripts name in one place.
#[must_use]
pub const fn small_blob(n: u8, len: u64) -> BlobRef {
    BlobRef { sha256: Hash([n; 32]), len }
}

/// The nth mail of a script, and what a link calls it.
#[must_use]
pub fn mail(n: u64) -> (MailId, CarryId) {
    let byte = u8::try_from(n % 7).unwrap_or_default();
    (MailId([byte; 16]), CarryId([byte; 16]))
}

/// A refusal's code, by number.
#[must_use]
pub const fn code(n: u64) -> Code {
    match n % 3 {
        0 => Code::NotTrusted,
        1 => Code::Busy,
        _ => Code::Goodbye,
    }
}
