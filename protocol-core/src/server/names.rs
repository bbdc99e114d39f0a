//! Which node a key is of. A node is known by the first key that it proved here, for good: pairs, lanes, routes, links and
//! arrivals are filed under that name. So a change of its key moves nothing ([K-6]).
//!
//! ```text
//!   it announces H(next)          a connection proves `next`, and says whom it follows
//!   ───────────────────▶ name ──────────────────────────────────────────────────────▶ name, its key now `next`
//!    Ready, `nx` of a field        alias/next ─▶ name        the same step, three records at most
//! ```
//!
//! Both must say so: the old key whom it is followed by, the new one whom it follows. Else a node could announce the key
//! of another, and be taken for it.

use super::Server;
use super::book;
use super::io::{Event, Output};
use crate::canary::{self, Canary};
use crate::id::{Hash, NodeKey, Pair};
use crate::limits;
use crate::machine::link::{self, Link};
use crate::machine::trust::{self, Trust};
use crate::step::{Outbox, Tick};
use crate::store::{Key, Record, sha256};
use crate::time::DAY;

impl Server {
    /// The name of the node that has, or had, this key.
    pub(super) fn name(&self, key: NodeKey) -> NodeKey {
        self.aliases.get(&key).copied().flatten().unwrap_or(key)
    }

    /// The same for a copy of what the pair's node carried: its next key may have signed it before any link by that key
    /// is up. For nothing else: the node alone says that the key is its next.
    pub(super) fn stands_for(&self, pair: &Pair, key: NodeKey) -> NodeKey {
        let name = self.name(key);
        match self.pairs.get(pair).and_then(Trust::known) {
            Some(known) if known != name && self.is_announced(known, name) => known,
            Some(_) | None => name,
        }
    }

    /// Hashes of the keys that a node announced as its next: on its link, or, before there ever was one, in the fields
    /// that pairs under way hold.
    pub(super) fn announced(&self, name: NodeKey) -> Vec<Hash> {
        match self.links.get(&name) {
            Some(link) if link.is_proven() => link.next_nk().into_iter().collect(),
            Some(_) | None => {
                let pairs = self.unfinished.get(&name).into_iter().flatten();
                pairs.filter_map(|pair| self.pairs.get(pair)?.next_nk()).take(limits::HELD_PER_PAIR).collect()
            }
        }
    }

    fn is_announced(&self, name: NodeKey, key: NodeKey) -> bool {
        self.announced(name).contains(&sha256(&[&key.0])) || canary::is_on(Canary::RotationWithoutAnnouncement)
    }

    /// The name of a node that has just proven `key`; where it says that this follows a key that we know, and that one
    /// announced it, the node has changed its key. `None` for a key that its node has left.
    pub(super) fn who_is(
        &mut self,
        tick: &Tick,
        key: NodeKey,
        former: Option<NodeKey>,
        out: &mut Outbox<Output>,
    ) -> Option<NodeKey> {
        let name = self.name(key);
        if self.links.get(&name).is_some_and(|link| link.key() != key) {
            return None;
        }
        let Some(former) = former else { return Some(name) };
        let before = self.name(former);
        // A key that was ever met by itself, or is a name already, is nobody's next.
        let is_new = name == key && before != key && self.links.get(&key).is_none_or(|link| !link.is_proven());
        let may = self.links.get(&before).is_some_and(|link| {
            let calm = tick.now.since(link.rotated()) >= limits::ROTATE_EVERY_MS;
            link.key() == former && (link.key() == before || calm)
        });
        if !(is_new && may && self.is_announced(before, key)) {
            return Some(name);
        }
        self.rotate(tick, before, former, key, out);
        Some(before)
    }

    fn rotate(&mut self, tick: &Tick, name: NodeKey, from: NodeKey, to: NodeKey, out: &mut Outbox<Output>) {
        out.emit(Output::Event(Event::Rotated { nk: name, from, to }));
        self.aliases.insert(to, Some(name));
        out.save(book::write_alias(to, name));
        if from != name {
            // What it signed may be on its way for as long as an offer may stand.
            out.save(book::write_alias(from, name).until(tick.now.plus(limits::OFFER_TTL_DAYS_MAX * DAY)));
        }
        self.run_link(tick, name, link::Input::Rotated(to), out);
        // Whoever met the new key first, by mail, waits for it under its own name.
        for pair in self.unfinished.get(&to).cloned().unwrap_or_default() {
            self.rename(tick, &pair, out);
            self.learn_route(name, &pair, out);
        }
        self.links.remove(&to);
        self.timers.set(super::timers::Who::Link(to), None);
        out.save(Record::remove(Key::Peer(to)));
        if self.routes.insert(to, None).flatten().is_some() {
            out.save(Record::remove(Key::Route(to)));
        }
    }

    /// Has a pair call its nodes by their names.
    pub(super) fn rename(&mut self, tick: &Tick, pair: &Pair, out: &mut Outbox<Output>) {
        let nodes = self.pairs.get(pair).into_iter().flat_map(Trust::nodes);
        let renamed = nodes.map(|from| (from, self.name(from))).filter(|(from, to)| from != to);
        for (from, to) in renamed.collect::<std::collections::BTreeSet<_>>() {
            self.tell(tick, pair, trust::Input::Renamed { from, to }, out);
        }
    }

    /// The key that a node is to prove when it is dialled.
    pub(super) fn key_of(&self, name: NodeKey) -> NodeKey {
        self.links.get(&name).map_or(name, Link::key)
    }
}
