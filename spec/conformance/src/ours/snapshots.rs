//! Snapshots: what people see of a conversation, of its events in any order.

use std::collections::{BTreeMap, BTreeSet};

use postline_core::client::io::Event as Told;
use postline_core::client::replay::{Heard, Input as Step, Replay, What};
use postline_core::client::{Command, Ours, Output};
use postline_core::content::uri::Uri;
use postline_core::id::{Address, ConversationId, Hash, Identity};
use postline_core::step::{Machine as _, Outbox, Tick};
use postline_core::store::{Key, Record};
use postline_core::time::Millis;
use postline_core::wire::content::Content;
use serde_json::{Map, Value, json};

use super::{Not, Said};
use crate::answer::Class;
use crate::input::{Input, Unfit, as_number, hex, number};

/// The longest snapshot that is written out.
const SMALL: usize = 4_096;

pub(super) fn make(input: Input<'_>) -> Said {
    let conversation = ConversationId(input.fixed("conversation")?);
    let from = input.maybe("from").map_or(Ok(1), |_| input.number("from"))?;
    let events: Vec<Heard> =
        input.list("events")?.iter().map(|one| event(conversation, one)).collect::<Result<_, _>>()?;
    let places: BTreeSet<u64> = events.iter().map(|event| event.seq).collect();
    if places.len() < events.len() || places.contains(&0) {
        return Err(Class::Malformed.into());
    }
    let (mut hashes, mut first) = (Vec::new(), None);
    for order in input.list("orders")? {
        let mut device = Device::new(conversation)?;
        for index in order.as_array().into_iter().flatten() {
            let index = as_number(index).and_then(|index| usize::try_from(index).ok());
            let event =
                index.and_then(|index| events.get(index)).ok_or_else(|| Unfit("orders name no event".to_owned()))?;
            device.step(Step::Heard(event.clone()))?;
        }
        let (messages, hash, bytes) = device.snapshot(from)?;
        hashes.push(hex(hash.0));
        first.get_or_insert((messages, bytes));
    }
    let (messages, bytes) = first.ok_or_else(|| Unfit("orders has none".to_owned()))?;
    let mut made = Map::new();
    made.insert("hashes".to_owned(), json!(hashes));
    made.insert("messages".to_owned(), number(messages));
    if bytes.len() <= SMALL {
        made.insert("snapshot".to_owned(), json!(hex(bytes)));
    }
    Ok(made.into())
}

fn event(conversation: ConversationId, value: &Value) -> Result<Heard, Not> {
    let input = Input(value);
    let about = input.maybe("about").map(|_| input.number("about")).transpose()?;
    let (seq, author) = (input.number("seq")?, Identity(input.fixed("author")?));
    let what = if input.maybe("control").is_some() {
        What::Control(super::controls::control(&input.bytes("control")?)?)
    } else {
        let content = Content::parse(&input.bytes("content")?)?;
        content.fields().check_origin(&Uri::person(author), &Uri::room(conversation))?;
        What::Content { content, about }
    };
    Ok(Heard { seq, author, at: Millis(0), what })
}

/// A conversation in memory, which is kept as a device keeps it.
struct Device {
    replay: Replay,
    disk: BTreeMap<Key, Record>,
    conversation: ConversationId,
}

impl Device {
    fn new(conversation: ConversationId) -> Result<Self, Not> {
        let address = Address::parse("reader@a.example").map_err(|_| Unfit("no address".to_owned()))?;
        let replay = Replay::restore(Ours { address, hosted: false }, conversation, []);
        let replay = replay.map_err(|fault| Not::Understood(fault.to_string()))?;
        Ok(Self { replay, disk: BTreeMap::new(), conversation })
    }

    /// One step, and all that is due behind it; gives what was told last.
    fn step(&mut self, input: Step) -> Result<Option<Told>, Not> {
        let fault = |fault: &dyn std::fmt::Display| Not::Understood(fault.to_string());
        let (mut next, mut told) = (Some(input), None);
        while let Some(input) = next.take() {
            loop {
                let wanted = self.replay.wants(&input);
                if wanted.is_empty() {
                    break;
                }
                for key in wanted {
                    self.replay.hydrate(&key, self.disk.get(&key)).map_err(|why| fault(&why))?;
                }
            }
            let mut out = Outbox::new();
            let tick = Tick { now: Millis(0), entropy: [0; 32] };
            self.replay.step(&tick, input, &mut out).map_err(|why| fault(&why))?;
            for record in out.records() {
                match &record.value {
                    Some(_) => self.disk.insert(record.key.clone(), record.clone()),
                    None => self.disk.remove(&record.key),
                };
            }
            for effect in out.effects() {
                if let Output::Event(event) = effect {
                    told = Some(event.clone());
                }
            }
            next = self.replay.deadline().filter(|at| *at <= Millis(0)).map(|_| Step::Wake);
        }
        Ok(told)
    }

    /// How many messages it has, the hash, and the bytes.
    fn snapshot(&mut self, from: u64) -> Result<(u64, Hash, Vec<u8>), Not> {
        let told = self.step(Step::Command(Command::Snapshot { conversation: self.conversation, from }))?;
        let Some(Told::Snapshot(told)) = told else { return Err(Not::Understood(format!("told {told:?}"))) };
        loop {
            match self.replay.snapshot(from) {
                Ok(bytes) => return Ok((told.messages, told.hash, bytes)),
                Err(wanted) => {
                    for key in wanted {
                        let brought = self.replay.hydrate(&key, self.disk.get(&key));
                        brought.map_err(|why| Not::Understood(why.to_string()))?;
                    }
                }
            }
        }
    }
}
