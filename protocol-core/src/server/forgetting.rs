//! Files that are let go before their time, since what named them is taken back or over.
//!
//! ```text
//!   device ──Forget──▶ of its own person's? ──▶ off the shelf; what is on its way of it stops ──Forgotten──▶
//!                          └─ left by them ──Forgets: durable──link, again after each loss──▶ the other's node
//!   node ────Forget──▶ whose line is with it? ──▶ what was fetched of it goes, on its way or whole ──Forgotten──▶
//! ```
//!
//! Nobody but who left a file takes it from others ([B-12]): a device speaks for its own person's shelf, a node for those whose
//! line leads to it. Said twice, or of what never was, it changes nothing.

use std::collections::BTreeMap;

use super::Server;
use super::files::{At, Way};
use super::here::HERE;
use super::io::{Event, Output, Peer};
use super::sessions::Online;
use crate::fault::{Code, PeerFault, RestoreError};
use crate::id::{Address, BlobRef, Hash, NodeKey, Pair, SessionId};
use crate::limits;
use crate::machine::link;
use crate::step::{Outbox, Tick};
use crate::store::{Key, Record};
use crate::time::Millis;
use crate::wire::file::{BytesOut, File};
use crate::wire::record::{read, write};

/// The words to other nodes that they haven't answered.
#[derive(Debug, Default)]
pub(super) struct Forgets(BTreeMap<NodeKey, BTreeMap<(Pair, Hash), Word>>);

/// One of them.
#[derive(Clone, Copy, Debug)]
struct Word {
    len: u64,
    /// From when on the other has let it go by itself.
    until: Millis,
}

impl Word {
    fn record(self, nk: NodeKey, pair: &Pair, hash: Hash) -> Record {
        let record = write(Key::Forgets(nk, pair.clone(), hash), 2, |w| _ = w.u64(self.len).millis(self.until));
        record.until(self.until)
    }
}

impl Forgets {
    pub(super) fn restore(&mut self, record: &Record) -> Result<(), RestoreError> {
        let Key::Forgets(nk, pair, hash) = &record.key else { return Ok(()) };
        let word = read(record, |r| Ok(Word { len: r.u64()?, until: r.millis()? }))?;
        self.0.entry(*nk).or_default().insert((pair.clone(), *hash), word);
        Ok(())
    }

    pub(super) fn len(&self) -> usize {
        self.0.values().map(BTreeMap::len).sum()
    }

    /// Whether a node has to hear something still.
    pub(super) fn wait_for(&self, nk: NodeKey, now: Millis) -> bool {
        self.0.get(&nk).is_some_and(|words| words.values().any(|word| word.until > now))
    }

    /// Lets go of words that are of no use any more: their records go by themselves.
    fn pass(&mut self, nk: NodeKey, now: Millis) {
        if let Some(words) = self.0.get_mut(&nk) {
            words.retain(|_, word| word.until > now);
        }
    }

    fn has_room(&self, nk: NodeKey, pair: &Pair, hash: Hash) -> Result<(), PeerFault> {
        let Some(words) = self.0.get(&nk) else { return Ok(()) };
        let (got, max) = (words.len(), limits::FORGETS);
        if got < max || words.contains_key(&(pair.clone(), hash)) {
            return Ok(());
        }
        Err(PeerFault::Quota { what: "files to be let go", got: got as u64, max: max as u64 })
    }

    fn drop(&mut self, nk: NodeKey, pair: &Pair, hash: Hash) -> bool {
        let Some(words) = self.0.get_mut(&nk) else { return false };
        let was = words.remove(&(pair.clone(), hash)).is_some();
        if words.is_empty() {
            self.0.remove(&nk);
        }
        was
    }
}

// Devices
impl Server {
    /// A device of this person says that a file is to go.
    #[expect(clippy::too_many_arguments, reason = "all of what is said of a file")]
    pub(super) fn forget_from_device(
        &mut self,
        tick: &Tick,
        session: SessionId,
        who: &Online,
        whose: Address,
        theirs: Address,
        file: BlobRef,
        out: &mut Outbox<Output>,
    ) {
        let gone = self.let_go(tick, who, &whose, &theirs, file, out);
        if let Err(why) = &gone {
            out.emit(Output::Event(Event::Refused { peer: Peer::Device(who.dk), why: why.clone() }));
        }
        let gone = gone.map_err(|why| why.code());
        self.tell_device(At::Session(session), File::Forgotten { whose, theirs, hash: file.sha256, gone }, out);
    }

    fn let_go(
        &mut self,
        tick: &Tick,
        who: &Online,
        whose: &Address,
        theirs: &Address,
        file: BlobRef,
        out: &mut Outbox<Output>,
    ) -> Result<(), PeerFault> {
        if !who.listed {
            return Err(PeerFault::Unlisted);
        }
        let ours = who.address.clone();
        if *whose != ours {
            // What was fetched from somebody: on this person's own shelf alone.
            if *theirs != ours {
                return Err(PeerFault::NotTrusted);
            }
            self.take_down(tick, &Pair { ours, theirs: whose.clone() }, file, false, out);
            return Ok(());
        }
        let pair = Pair { ours, theirs: theirs.clone() };
        let told = self.line_with(&pair).filter(|nk| *nk != HERE);
        if let Some(nk) = told {
            self.files.forgets.pass(nk, tick.now);
            self.files.forgets.has_room(nk, &pair, file.sha256)?;
        }
        self.take_down(tick, &pair, file, true, out);
        if let Some(nk) = told {
            let word = Word { len: file.len, until: tick.now.plus(limits::FILE_MS) };
            out.save(word.record(nk, &pair, file.sha256));
            self.files.forgets.0.entry(nk).or_default().insert((pair.clone(), file.sha256), word);
            if self.links.get(&nk).is_some_and(link::Link::is_up) {
                let Pair { ours: whose, theirs } = pair;
                self.say_file(tick, At::Node(nk), File::Forget { whose, theirs, file }, out);
            } else {
                self.want_link(tick, nk, out);
            }
        }
        Ok(())
    }
}

// Nodes
impl Server {
    /// The node of somebody who had left a file says that it is to go.
    pub(super) fn forget_from_node(
        &mut self,
        tick: &Tick,
        nk: NodeKey,
        whose: Address,
        theirs: Address,
        file: BlobRef,
        out: &mut Outbox<Output>,
    ) {
        let pair = Pair { ours: theirs, theirs: whose };
        let gone = if self.line_with(&pair) == Some(nk) {
            self.take_down(tick, &pair, file, false, out);
            Ok(())
        } else {
            out.emit(Output::Event(Event::Refused { peer: Peer::Node(nk), why: PeerFault::NoFile }));
            Err(Code::NoFile)
        };
        let Pair { ours: theirs, theirs: whose } = pair;
        self.say_file(tick, At::Node(nk), File::Forgotten { whose, theirs, hash: file.sha256, gone }, out);
    }

    /// Another node has heard: whatever it says, it has nothing more to hear.
    pub(super) fn forgotten_by_node(&mut self, nk: NodeKey, pair: Pair, hash: Hash, out: &mut Outbox<Output>) {
        if self.files.forgets.drop(nk, &pair, hash) {
            out.save(Record::remove(Key::Forgets(nk, pair, hash)));
        }
    }

    /// A link is up: what wasn't answered is said again. What is over the other has dropped by itself.
    pub(super) fn forget_again(&mut self, tick: &Tick, nk: NodeKey, out: &mut Outbox<Output>) {
        let words = self.files.forgets.0.get(&nk).cloned().unwrap_or_default();
        for ((pair, hash), Word { len, until }) in words {
            if until <= tick.now {
                self.forgotten_by_node(nk, pair, hash, out);
                continue;
            }
            let Pair { ours: whose, theirs } = pair;
            let file = BlobRef { sha256: hash, len };
            self.say_file(tick, At::Node(nk), File::Forget { whose, theirs, file }, out);
        }
    }
}

// Both
impl Server {
    /// Takes a file off a shelf, and ends what is on its way of it.
    fn take_down(&mut self, tick: &Tick, pair: &Pair, file: BlobRef, left: bool, out: &mut Outbox<Output>) {
        let down = self.files.shelves.get(&pair.ours).and_then(|shelf| shelf.take_down(&pair.theirs, file, left));
        if let Some(down) = down {
            let (records, shelf) = down.records(&pair.ours);
            records.into_iter().for_each(|record| out.save(record));
            self.files.shelves.insert(pair.ours.clone(), shelf);
        }
        // What comes for that place: from a device that leaves it, or from the node that it is fetched from.
        let is_it =
            |at: &At, way: &Way| way.pair == *pair && way.coming.file == file && matches!(at, At::Session(_)) == left;
        let coming: Vec<At> =
            self.files.coming.iter().filter(|((at, _), way)| is_it(at, way)).map(|((at, _), _)| *at).collect();
        for at in coming {
            self.bytes(tick, at, BytesOut::Forget(file), out);
            self.come_to_nothing(tick, at, file.sha256, Code::NoFile, out);
        }
        self.forget_part(tick, pair, file, left, out);
        self.set_files_timer();
        // What goes to who may not have it any more.
        let going: Vec<At> =
            self.files.going.keys().filter(|(_, hash)| *hash == file.sha256).map(|(at, _)| *at).collect();
        for at in going {
            if self.may_still_have(tick.now, at, pair, file, left) {
                continue;
            }
            self.files.going.remove(&(at, file.sha256));
            self.bytes(tick, at, BytesOut::Leave(file), out);
            self.say_file(tick, at, File::Kept { hash: file.sha256, far: Err(Code::NoFile) }, out);
        }
    }

    /// Has the host drop what came of a fetched file before a crash, and nobody has wanted since.
    fn forget_part(&mut self, tick: &Tick, pair: &Pair, file: BlobRef, left: bool, out: &mut Outbox<Output>) {
        let Some(nk) = self.line_with(pair).filter(|nk| *nk != HERE && !left) else { return };
        let comes = self.files.coming.contains_key(&(At::Node(nk), file.sha256));
        if !comes && self.links.get(&nk).is_some_and(link::Link::is_up) {
            self.bytes(tick, At::Node(nk), BytesOut::Forget(file), out);
        }
    }

    /// Whether what is being sent there is another's, or still theirs to have, once this place is empty.
    fn may_still_have(&self, now: Millis, at: At, pair: &Pair, file: BlobRef, left: bool) -> bool {
        let on = |ours: &Address| self.files.shelves.get(ours).is_some_and(|shelf| shelf.has(now, file));
        match at {
            // For whom else it was left there, their node asks again.
            At::Node(nk) => !left || self.line_with(pair) != Some(nk) || on(&pair.ours),
            At::Session(session) => match self.online_at(session).map(|who| &who.address) {
                Some(address) if *address == pair.ours => on(&pair.ours),
                Some(address) if *address == pair.theirs => !left || on(&pair.theirs),
                Some(_) | None => true,
            },
        }
    }
}
