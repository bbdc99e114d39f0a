//! One side: a real device at some point of some history, and what is worked out of it once.
//!
//! A device can't be copied: it is made again from the records that it started from and everything it was told since.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use postline_core::canary;
use postline_core::client::io::{Event, Level};
use postline_core::client::{Command, Input, Output, SessionIn};
use postline_core::id::{AddressKey, Hash, Identity};
use postline_core::store::sha256;
use postline_core::wire::frame::Frame;
use postline_core::wire::talk::{Publication, Talk};

use super::cast::{Cast, Person, Thing, What, line_of, t2};
use super::device::{Device, Kept, answer, asks, events, publications, taken};
use super::scope::Scope;
use crate::table::Table;

/// A device, and what it has been through.
#[derive(Debug)]
pub(crate) struct Side {
    pub(crate) who: usize,
    pub(crate) past: Past,
    /// What it knows of the other.
    pub(crate) view: View,
    /// Its question about the other's lists, while it is open.
    pub(crate) asks: Option<u64>,
    /// What it has made known and its node hasn't taken.
    pub(crate) open: Vec<u64>,
    start: Kept,
    since: Vec<Input>,
    kept: Kept,
    digest: Hash,
    told: Mutex<BTreeMap<Told, Option<Arc<Turn>>>>,
}

/// What a side has been through.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Past {
    /// How often it was told what made a difference.
    pub(crate) came: u8,
    pub(crate) crashed: u8,
    pub(crate) turned: bool,
    /// How many lists another device of its person has signed, and whether it has proven their key for the line then.
    pub(crate) later: u8,
    pub(crate) proved: BTreeSet<u8>,
    pub(crate) accepted: u8,
    /// The line that its node told of last.
    pub(crate) line: Option<u8>,
    /// A promise that was broken on the way.
    pub(crate) broke: Option<&'static str>,
}

/// What a device knows of the other.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct View {
    pub(crate) level: Option<Level>,
    pub(crate) suspended: bool,
    /// The newest list that it took.
    pub(crate) list: Option<Seen>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Seen {
    pub(crate) identity: Identity,
    pub(crate) ak: AddressKey,
    pub(crate) number: u64,
    pub(crate) hash: Hash,
}

impl View {
    /// Whether keys of the other are proven: level L3, or more.
    pub(crate) fn is_proven(&self) -> bool {
        self.level >= Some(Level::Keys)
    }
}

/// What a side is told. Things are named by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Told {
    /// Its node says what the line is, and shows a key proof.
    Line(Option<u8>, Option<u32>),
    /// Its node answers the question about the other's lists: all of theirs up to this number.
    Lists(u64),
    /// It answers with this alone.
    List(u32),
    /// It takes what the device made known first.
    Taken,
    /// The person locks their lost device out.
    Turn,
    /// Another device of the person signs the next list.
    Later,
    /// It proves the person's key for a line.
    Prove(u8),
    /// The person takes whatever keys the other has.
    Accept,
    /// The device stops, and starts again.
    Crash,
}

/// What comes of it.
#[derive(Debug)]
pub(crate) struct Turn {
    pub(crate) side: u32,
    pub(crate) signed: Vec<u32>,
}

/// Every side and statement that was met, and how sides change.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) cast: Cast,
    pub(crate) scope: Scope,
    pub(crate) sides: Table<(usize, Past, Hash), Side>,
    pub(crate) things: Table<Vec<u8>, Thing>,
}

impl Host {
    pub(crate) fn new(scope: Scope) -> Self {
        Self { cast: Cast::new(&scope), scope, sides: Table::default(), things: Table::default() }
    }

    pub(crate) fn thing(&self, bytes: &[u8]) -> u32 {
        self.things.number(bytes.to_vec(), || self.cast.thing(bytes))
    }

    pub(crate) fn person(&self, who: usize) -> &Person {
        &self.cast.people[who]
    }

    /// A side before anything happens.
    pub(crate) fn first(&self, who: usize) -> u32 {
        let mut session = Session::up(self.person(who), self.person(who).kept.clone());
        session.settle(!self.scope.slow);
        self.side(who, Past::default(), session)
    }

    /// What comes of telling a side something: worked out once. `None` where nothing does.
    pub(crate) fn told(&self, side: u32, told: Told) -> Option<Arc<Turn>> {
        let side_is = self.sides.value(side);
        let known = || side_is.told.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turn) = known().get(&told) {
            return turn.clone();
        }
        canary::set(self.scope.canary);
        let turn = self.work_out(&side_is, told).filter(|turn| turn.side != side || !turn.signed.is_empty());
        canary::set(None);
        let turn = turn.map(Arc::new);
        known().insert(told, turn.clone());
        turn
    }

    fn work_out(&self, side: &Side, told: Told) -> Option<Turn> {
        let (who, mut past) = (side.who, side.past.clone());
        let (person, other) = (self.person(who), self.person(1 - who));
        let mut session = match told {
            Told::Crash => Session::up(person, side.kept.clone()),
            _ => Session::again(person, side),
        };
        let mut signed = Vec::new();
        match told {
            Told::Line(line, proof) => {
                past.line = line;
                let proof = proof.map(|number| self.things.value(number).bytes.clone());
                session.hear(line_of(
                    other,
                    line,
                    proof,
                    if self.scope.attacker { u64::MAX } else { self.last_of(other) },
                ));
            }
            Told::Lists(up_to) => session.hear(answer(side.asks?, self.lists_of(1 - who, up_to))),
            Told::List(number) => session.hear(answer(side.asks?, vec![self.things.value(number).bytes.clone()])),
            Told::Taken => {
                let number = *side.open.first()?;
                session.hear(taken(number));
            }
            Told::Turn => {
                past.turned = true;
                session.tell(Input::Command(Command::Revoke(person.lost)));
            }
            Told::Later => {
                signed.push(person.later.get(usize::from(past.later))?.list.clone());
                past.later += 1;
            }
            Told::Prove(line) => {
                let newest = usize::from(past.later).checked_sub(1)?;
                let (ak, chain) = person.later[newest].own.as_ref()?;
                past.proved.insert(line);
                signed.push(chain.prove(ak, &other.address, t2(line)).expect("their key").bytes().to_vec());
            }
            Told::Accept => {
                past.accepted += 1;
                session.tell(Input::Command(Command::AcceptKeys(other.address.clone())));
            }
            Told::Crash => past.crashed += 1,
        }
        session.settle(!self.scope.slow);
        signed.extend(session.said.iter().flat_map(|said| publications(said)).filter_map(|(_, what)| match what {
            Publication::List(bytes) | Publication::Proof { bytes, .. } => Some(bytes),
            Publication::Packages { .. } | Publication::Note { .. } | Publication::Block { .. } => None,
        }));
        let news: Vec<Event> = session.said.iter().flat_map(|said| events(said)).cloned().collect();
        let is = session.view(other);
        past.broke = past.broke.or_else(|| self.broken(side, told, &is, &news));
        if matches!(told, Told::Line(..) | Told::Lists(_) | Told::List(_)) {
            if session.digest() == side.digest && past == side.past {
                return None;
            }
            past.came += 1;
        }
        let signed = signed.iter().map(|bytes| self.thing(bytes)).collect();
        Some(Turn { side: self.side(who, past, session), signed })
    }

    /// What must never happen in one step.
    fn broken(&self, side: &Side, told: Told, is: &View, news: &[Event]) -> Option<&'static str> {
        let (was, other) = (&side.view, self.person(1 - side.who));
        let shown =
            news.iter().any(|event| matches!(event, Event::Contact(contact) if contact.address == other.address));
        let alarmed = news.iter().any(|event| matches!(event, Event::KeysChanged { who, .. } if *who == other.address));
        let by_person = told == Told::Accept;
        let (had, has) = (was.list.map(|list| list.identity), is.list.map(|list| list.identity));
        if had.is_some() && has != had && !by_person {
            return Some("another person took the place of one who was known");
        }
        if was.list.zip(is.list).is_some_and(|(was, is)| is.number < was.number) && !by_person {
            return Some("an older list took the place of a newer one");
        }
        if (is.level < was.level || is.suspended != was.suspended) && !shown {
            return Some("a level fell in silence");
        }
        if is.level < was.level && !by_person && !matches!(told, Told::Line(line, _) if line != side.past.line) {
            let voided =
                news.iter().any(|event| matches!(event, Event::NotVerified { who, .. } if *who == other.address));
            if !voided || !is.is_proven() {
                return Some("a level fell though the line is the same");
            }
        }
        if was.suspended && !is.suspended && !by_person {
            return Some("a suspension ended without the person's word");
        }
        if is.suspended && !was.suspended && !alarmed {
            return Some("a suspension in silence");
        }
        // What the model knows to be a key outside the chain of somebody who is known, once the lists before it are here.
        let foreign = match (told, was.list) {
            (Told::List(number), Some(known)) if known.identity == other.identity => {
                let Thing { by, what, .. } = &*self.things.value(number);
                by.is_none() && matches!(what, What::List { number, .. } if *number <= known.number + 1)
            }
            (Told::Line(Some(line), Some(number)), Some(known)) if known.identity == other.identity => {
                let Thing { by, of, what, .. } = &*self.things.value(number);
                let due = |over: Hash, number: u64| over == t2(line) && number <= known.number;
                let judged = matches!(what, What::Proof { t2, number, .. } if due(*t2, *number));
                by.is_none() && *of == 1 - side.who && judged
            }
            _ => false,
        };
        if foreign && !is.suspended {
            return Some("a key outside the chain suspends nothing");
        }
        None
    }

    fn last_of(&self, person: &Person) -> u64 {
        2 + if person.later.is_empty() { 1 } else { person.later.len() as u64 }
    }

    /// All lists that a person has signed up to this number.
    fn lists_of(&self, who: usize, up_to: u64) -> Vec<Vec<u8>> {
        let things = (0..self.things.len()).map(|number| self.things.value(u32::try_from(number).unwrap_or_default()));
        let mut lists: Vec<_> = things
            .filter_map(|thing| match thing.what {
                What::List { number, .. } if (thing.by, thing.of) == (Some(who), who) && number <= up_to => {
                    Some((number, thing.bytes.clone()))
                }
                _ => None,
            })
            .collect();
        lists.sort();
        lists.into_iter().map(|(_, bytes)| bytes).collect()
    }

    fn side(&self, who: usize, past: Past, session: Session) -> u32 {
        let digest = session.digest();
        self.sides.number((who, past.clone(), digest), || Side {
            who,
            past,
            view: session.view(self.person(1 - who)),
            asks: session.open_ask(self.person(1 - who)),
            open: session.open.clone(),
            start: session.start,
            since: session.since,
            kept: session.device.kept,
            digest,
            told: Mutex::default(),
        })
    }
}

/// A device on a session, and what was said on it.
struct Session {
    device: Device,
    start: Kept,
    since: Vec<Input>,
    open: Vec<u64>,
    asked: Vec<(u64, postline_core::id::Address)>,
    /// What it says of late.
    said: Vec<Vec<Output>>,
}

impl Session {
    /// The device starts, and its session comes up.
    fn up(person: &Person, start: Kept) -> Self {
        let mut device = Device::start(&person.address, start.clone());
        let said = device.connect(&person.node);
        let mut session =
            Self { device, start, since: Vec::new(), open: Vec::new(), asked: Vec::new(), said: Vec::new() };
        session.said(said);
        // Nothing new about the person's own lists.
        let own = session.asked.iter().find(|(_, whose)| *whose == person.address).map(|(number, _)| *number);
        if let Some(number) = own {
            let said = session.device.hear(answer(number, Vec::new()));
            session.asked.retain(|(asked, _)| *asked != number);
            session.said(said);
        }
        session
    }

    /// The device as it was, its session too.
    fn again(person: &Person, side: &Side) -> Self {
        let mut session = Self::up(person, side.start.clone());
        side.since.iter().cloned().for_each(|input| session.tell(input));
        session.said.clear();
        session
    }

    fn hear(&mut self, talk: Talk) {
        self.tell(Input::Session(SessionIn::Frame(Frame::Talk(talk))));
    }

    fn tell(&mut self, input: Input) {
        if let Input::Session(SessionIn::Frame(Frame::Talk(talk))) = &input {
            match talk {
                Talk::Published { number, .. } => self.open.retain(|open| open != number),
                Talk::Answer { number, .. } => self.asked.retain(|(asked, _)| asked != number),
                _ => {}
            }
        }
        self.since.push(input.clone());
        let said = self.device.tell(input);
        self.said(said);
    }

    fn said(&mut self, said: Vec<Output>) {
        self.open.extend(publications(&said).into_iter().map(|(number, _)| number));
        self.asked.extend(asks(&said));
        self.said.push(said);
    }

    /// A node that is prompt takes everything at once.
    fn settle(&mut self, prompt: bool) {
        while let Some(number) = self.open.first().copied().filter(|_| prompt) {
            self.hear(taken(number));
        }
    }

    fn open_ask(&self, other: &Person) -> Option<u64> {
        self.asked.iter().find(|(_, whose)| *whose == other.address).map(|(number, _)| *number)
    }

    /// What the device knows; its records alone make the same.
    fn view(&self, other: &Person) -> View {
        let is = view(&self.device, other);
        let restored = Device::start(self.device.client.address(), self.device.kept.clone());
        assert_eq!(view(&restored, other), is, "the records make another device");
        is
    }

    /// All that makes a difference from now on.
    fn digest(&self) -> Hash {
        sha256(&[format!("{:?}", (&self.device.client, &self.device.kept)).as_bytes()])
    }
}

fn view(device: &Device, other: &Person) -> View {
    let contact = device.client.contacts().find(|contact| contact.address == other.address);
    let list = device.client.chain_of(&other.address).map(|chain| Seen {
        identity: chain.identity(),
        ak: chain.ak(),
        number: chain.number(),
        hash: chain.hash(),
    });
    View {
        level: contact.as_ref().map(|contact| contact.level),
        suspended: contact.is_some_and(|contact| contact.suspended),
        list,
    }
}
