//! Posts of our devices on their way to a hub elsewhere.
//!
//! ```text
//!   Post ──link up──▶ said, kept in memory ──┬── its Event, or a later one's ──▶ gone
//!     │                     │ link goes down ├── Unposted ──▶ gone, the device told
//!     └──link down──▶ kept as Key::Post ◀────┘
//!                           └── link up: said (again)
//! ```
//!
//! While the link is up nothing is written: the device keeps its draft until it sees the event, and posts again where we
//! crash. What the link leaves behind is written down, so that it goes even where its device is gone by then. The device
//! is told nothing of that: its own draft is what it shows as queued.
//!
//! Until its event comes the bytes stay here, so that the hub need not send them back.

use std::collections::{BTreeMap, BTreeSet};

use super::Server;
use super::io::Output;
use super::sessions::Online;
use super::timers::Who;
use crate::fault::{Code, PeerFault, RestoreError};
use crate::id::{Address, ConversationId, DeviceKey, DeviceTag, NodeKey, Pair};
use crate::limits;
use crate::machine::link;
use crate::machine::log::{self, Log};
use crate::step::{Outbox, Tick};
use crate::store::{Key, Record};
use crate::wire::cbor::{Malformed, Reader};
use crate::wire::log::tag;
use crate::wire::record::{read, write};
use crate::wire::talk::{Kind, Origin, Post, Talk};

/// The posts that are on their way.
#[derive(Debug, Default)]
pub(super) struct Posts {
    all: BTreeMap<Number, Kept>,
    by_hub: BTreeMap<NodeKey, Hub>,
    by_device: BTreeMap<DeviceKey, usize>,
    bytes: usize,
}

/// Of which conversation, of which device, under which number.
type Number = (ConversationId, DeviceTag, u64);

/// What is on its way to one hub.
#[derive(Debug, Default)]
struct Hub {
    numbers: BTreeSet<Number>,
    /// How many of them were said on the present link.
    said: usize,
}

/// A post that is on its way.
#[derive(Debug)]
struct Kept {
    hub: NodeKey,
    post: Post,
    dk: DeviceKey,
    /// Between whom the line is that it goes by.
    pair: Pair,
    /// Whether there is a record of it.
    stored: bool,
    /// Whether it was said on the present link.
    said: bool,
}

impl Kept {
    fn key(&self) -> Key {
        Key::Post(self.post.conversation, self.dk, self.post.origin.number)
    }

    fn record(&self) -> Record {
        write(self.key(), 7, |w| {
            w.bytes(&self.hub.0).address(&self.pair.ours).address(&self.pair.theirs);
            w.u64(self.post.kind as u64).u64(self.post.epoch);
            w.list(self.post.members.iter(), |w, member| {
                w.address(member);
            });
            w.bytes(&self.post.bytes);
        })
    }

    fn read(r: &mut Reader<'_>, id: ConversationId, dk: DeviceKey, number: u64) -> Result<Self, Malformed> {
        let hub = NodeKey(r.fixed()?);
        let pair = Pair { ours: r.address()?, theirs: r.address()? };
        let kind = match r.u64()? {
            0 => Kind::Create,
            1 => Kind::Commit,
            2 => Kind::Message,
            _ => return Err(Malformed("a kind")),
        };
        let (epoch, members) = (r.u64()?, r.list(limits::MEMBERS as u64, Reader::address)?);
        let bytes = r.bytes()?.to_vec();
        let origin = Origin { device: tag(id, dk), number };
        Ok(Self {
            hub,
            post: Post { conversation: id, origin, kind, epoch, members, bytes },
            dk,
            pair,
            stored: true,
            said: false,
        })
    }
}

impl Posts {
    pub(super) fn restore(&mut self, record: &Record) -> Result<NodeKey, RestoreError> {
        let damaged = |Malformed(what)| RestoreError::Damaged { key: record.key.clone(), what };
        let Key::Post(id, dk, number) = record.key else { return Err(damaged(Malformed("a post"))) };
        let kept = read(record, |r| Kept::read(r, id, dk, number))?;
        let hub = kept.hub;
        self.insert(kept);
        Ok(hub)
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether something waits for the way to a hub.
    pub(super) fn wait_for(&self, hub: NodeKey) -> bool {
        self.by_hub.contains_key(&hub)
    }

    fn insert(&mut self, kept: Kept) {
        let number = (kept.post.conversation, kept.post.origin.device, kept.post.origin.number);
        self.bytes += kept.post.bytes.len();
        *self.by_device.entry(kept.dk).or_default() += 1;
        let hub = self.by_hub.entry(kept.hub).or_default();
        hub.numbers.insert(number);
        hub.said += usize::from(kept.said);
        self.all.insert(number, kept);
    }

    fn remove(&mut self, number: Number) -> Option<Kept> {
        let kept = self.all.remove(&number)?;
        self.bytes -= kept.post.bytes.len();
        if let Some(hub) = self.by_hub.get_mut(&kept.hub) {
            hub.numbers.remove(&number);
            hub.said -= usize::from(kept.said);
            if hub.numbers.is_empty() {
                self.by_hub.remove(&kept.hub);
            }
        }
        if let Some(count) = self.by_device.get_mut(&kept.dk) {
            *count -= 1;
            if *count == 0 {
                self.by_device.remove(&kept.dk);
            }
        }
        Some(kept)
    }

    /// Whether one more may be said to a hub: nothing waits before it, and the window has room.
    fn may_say(&self, hub: NodeKey) -> bool {
        let of = self.by_hub.get(&hub);
        of.is_none_or(|of| of.said < limits::POSTS_SAID && of.said == of.numbers.len())
    }

    fn has_room(&self, dk: DeviceKey, bytes: usize) -> bool {
        let of_device = self.by_device.get(&dk).copied().unwrap_or_default();
        of_device < limits::POSTS_PER_DEVICE
            && self.all.len() < limits::POSTS
            && self.bytes.saturating_add(bytes) <= limits::POSTS_BYTES
    }
}

impl Server {
    /// A device of ours posts to a hub elsewhere, by this line.
    pub(super) fn relay_post(
        &mut self,
        tick: &Tick,
        hub: NodeKey,
        who: &Online,
        pair: Pair,
        post: Post,
        out: &mut Outbox<Output>,
    ) -> Result<(), PeerFault> {
        let number = (post.conversation, post.origin.device, post.origin.number);
        if self.posts.all.contains_key(&number) {
            // On its way already: whatever becomes of it, the device hears.
            return Ok(());
        }
        if !self.posts.has_room(who.dk, post.bytes.len()) {
            return Err(PeerFault::Full { got: self.posts.len() as u64, max: limits::POSTS as u64 });
        }
        let mut kept = Kept { hub, post, dk: who.dk, pair, stored: false, said: false };
        if self.link_to(hub).is_some() {
            // Behind those that wait, in order.
            kept.said = self.posts.may_say(hub);
            if kept.said {
                self.run_link(tick, hub, link::Input::Talk(Talk::Post(kept.post.clone())), out);
                if self.talks.log(kept.post.conversation).is_some_and(Log::owes_along) {
                    self.step_log(tick, kept.post.conversation, log::Input::Along, out);
                }
            }
        } else {
            kept.stored = true;
            out.save(kept.record());
            self.note_number(kept.dk, kept.post.origin.number, out);
            self.want_link(tick, hub, out);
        }
        self.see_number(kept.dk, kept.post.origin.number);
        self.posts.insert(kept);
        Ok(())
    }

    /// The link to a hub is down: what is on its way is written down.
    pub(super) fn store_posts(&mut self, hub: NodeKey, out: &mut Outbox<Output>) {
        let Some(of) = self.posts.by_hub.get_mut(&hub) else { return };
        of.said = 0;
        let mut used = Vec::new();
        for number in &of.numbers {
            let Some(kept) = self.posts.all.get_mut(number) else { continue };
            kept.said = false;
            if !kept.stored {
                kept.stored = true;
                out.save(kept.record());
                used.push((kept.dk, kept.post.origin.number));
            }
        }
        used.into_iter().for_each(|(dk, number)| self.note_number(dk, number, out));
    }

    /// The link to a hub is up: what waits for it goes, where there still is a line.
    pub(super) fn send_posts(&mut self, tick: &Tick, hub: NodeKey, out: &mut Outbox<Output>) {
        let Some(of) = self.posts.by_hub.get(&hub) else { return };
        let room = limits::POSTS_SAID.saturating_sub(of.said);
        let unsaid = of.numbers.iter().filter(|number| self.posts.all.get(number).is_some_and(|kept| !kept.said));
        for number in unsaid.take(room).copied().collect::<Vec<_>>() {
            let Some(kept) = self.posts.all.get_mut(&number) else { continue };
            match self.pairs.get(&kept.pair) {
                None => {
                    // Said once the pair is here: before the next step.
                    self.cold.insert(Key::Trust(kept.pair.clone()));
                    self.timers.set(Who::Posts(hub), Some(tick.now.plus(1)));
                    return;
                }
                Some(_) => {
                    let (pair, post) = (kept.pair.clone(), kept.post.clone());
                    if !self.has_line(&pair, Some(hub)) {
                        self.drop_post(tick, number, PeerFault::NotTrusted.code(), out);
                        continue;
                    }
                    if let (Some(kept), Some(of)) = (self.posts.all.get_mut(&number), self.posts.by_hub.get_mut(&hub)) {
                        kept.said = true;
                        of.said += 1;
                    }
                    self.run_link(tick, hub, link::Input::Talk(Talk::Post(post)), out);
                }
            }
        }
    }

    /// One that was on its way is on its way no more: what waited for room is said.
    fn answered_post(&mut self, tick: &Tick, number: Number, out: &mut Outbox<Output>) -> Option<Kept> {
        let kept = self.posts.remove(number)?;
        if kept.stored {
            out.save(Record::remove(kept.key()));
        }
        if self.posts.by_hub.get(&kept.hub).is_some_and(|of| of.said < of.numbers.len()) {
            self.timers.set(Who::Posts(kept.hub), Some(tick.now));
        }
        Some(kept)
    }

    /// The pairs of what waits for a hub are here.
    pub(super) fn posts_due(&mut self, tick: &Tick, hub: NodeKey, out: &mut Outbox<Output>) {
        self.timers.set(Who::Posts(hub), None);
        if self.link_to(hub).is_some() {
            self.send_posts(tick, hub, out);
        }
    }

    /// An event of a device of ours has come: it, and whatever the device posted before it, is on its way no more. What
    /// of that did not come was not taken, and the device sees it by the number.
    pub(super) fn sequenced(&mut self, tick: &Tick, id: ConversationId, origin: Origin, out: &mut Outbox<Output>) {
        let until = (id, origin.device, 0)..=(id, origin.device, origin.number);
        let done: Vec<Number> = self.posts.all.range(until).map(|(number, _)| *number).collect();
        for number in done {
            if let Some(kept) = self.answered_post(tick, number, out) {
                self.note_number(kept.dk, origin.number, out);
            }
        }
    }

    /// The device of ours whose post is on its way.
    pub(super) fn author_of(&self, id: ConversationId, origin: Origin) -> Option<DeviceKey> {
        self.posts.all.get(&(id, origin.device, origin.number)).map(|kept| kept.dk)
    }

    /// The bytes of a post whose event has come without them.
    pub(super) fn bytes_of(&self, id: ConversationId, origin: Origin) -> Option<Vec<u8>> {
        self.posts.all.get(&(id, origin.device, origin.number)).map(|kept| kept.post.bytes.clone())
    }

    /// The hub did not take a post.
    pub(super) fn not_taken(
        &mut self,
        tick: &Tick,
        hub: NodeKey,
        id: ConversationId,
        origin: Origin,
        code: Code,
        out: &mut Outbox<Output>,
    ) {
        let number = (id, origin.device, origin.number);
        if self.posts.all.get(&number).is_some_and(|kept| kept.hub == hub) {
            self.drop_post(tick, number, code, out);
        }
    }

    fn drop_post(&mut self, tick: &Tick, number: Number, code: Code, out: &mut Outbox<Output>) {
        let Some(kept) = self.answered_post(tick, number, out) else { return };
        self.note_number(kept.dk, kept.post.origin.number, out);
        if let Some(session) = self.session_of(kept.dk) {
            let (conversation, origin) = (kept.post.conversation, kept.post.origin);
            self.say_to(session, Talk::Unposted { conversation, origin, code }, out);
        }
    }

    /// Another member of the conversation than this one, for the line by which a post goes.
    pub(super) fn other_member(&self, id: ConversationId, ours: &Address) -> Option<Address> {
        let log = self.talks.log(id)?;
        log.members().map(|(address, _)| address).find(|address| *address != ours).cloned()
    }
}
