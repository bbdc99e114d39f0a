//! How files go over connections, with devices and between nodes alike: what comes, what is sent, what is given up.
//!
//! ```text
//!   Take ─▶ host ─▶ Have ─▶ Kept, or Fetch: from there on ── Piece … ──▶ Whole ─▶ shelf, and on to who waits
//!                                          │                                     └─ Rest, to whom it was passed on
//!                                          └─ nothing for FILE_WAIT_MS ─▶ given up, and to whom it was passed on too
//! ```

use std::collections::BTreeSet;

use super::Server;
use super::files::{At, Passing, Way, is_bounded};
use super::io::{Event, Output, Peer, SessionOut};
use super::timers::Who;
use crate::fault::{Code, PeerFault};
use crate::id::{BlobRef, Hash, LinkId, NodeKey, Pair, SessionId};
use crate::limits;
use crate::machine::link;
use crate::machine::session::node as session;
use crate::machine::trust::Trust;
use crate::step::{Outbox, Tick};
use crate::wire::file::{BytesIn, BytesOut, Coming, File, Giver};
use crate::wire::frame::Frame;

// Nodes
impl Server {
    /// Another node says something about a file.
    pub(super) fn file_from_node(&mut self, tick: &Tick, nk: NodeKey, file: File, out: &mut Outbox<Output>) {
        let at = At::Node(nk);
        match file {
            File::Fetch { asker, whose, file, from } => {
                let pair = Pair { ours: whose, theirs: asker };
                if let Err(why) = self.asked_for_file(tick, nk, &pair, file, from, out) {
                    self.say_file(tick, at, File::Kept { hash: file.sha256, far: Err(why.code()) }, out);
                    out.emit(Output::Event(Event::Refused { peer: Peer::Node(nk), why }));
                }
            }
            File::Piece { hash, offset, len } => self.piece(tick, at, hash, offset, len, out),
            File::Kept { hash, far: Err(code) } => {
                if let Some(way) = self.files.coming.remove(&(at, hash)) {
                    self.bytes(tick, at, BytesOut::Leave(way.coming.file), out);
                    self.fetched_in_vain(tick, &way, code, out);
                }
            }
            File::Forget { whose, theirs, file } => self.forget_from_node(tick, nk, whose, theirs, file, out),
            File::Forgotten { whose, theirs, hash, .. } => {
                self.forgotten_by_node(nk, Pair { ours: whose, theirs }, hash, out);
            }
            // The link's machine has refused a Keep; how far a node is with what it sends is its own.
            File::Keep { .. } | File::Kept { far: Ok(_), .. } => {}
        }
    }

    fn asked_for_file(
        &mut self,
        tick: &Tick,
        nk: NodeKey,
        pair: &Pair,
        file: BlobRef,
        from: u64,
        out: &mut Outbox<Output>,
    ) -> Result<(), PeerFault> {
        is_bounded(file)?;
        if from >= file.len {
            return Err(PeerFault::TooBig { what: "offset", got: from, max: file.len });
        }
        if self.line_with(pair) != Some(nk) {
            return Err(PeerFault::NoFile);
        }
        self.send_or_pass(tick, At::Node(nk), pair.clone(), file, from, out)
    }

    /// What the host says of bytes on a connection between nodes.
    pub(super) fn link_bytes(&mut self, tick: &Tick, link: LinkId, bytes: BytesIn, out: &mut Outbox<Output>) {
        if let Some(nk) = self.node_at(link) {
            self.bytes_in(tick, At::Node(nk), bytes, out);
        }
    }

    /// A link is up: what was to be fetched over it is.
    pub(super) fn fetch_again(&mut self, tick: &Tick, nk: NodeKey, out: &mut Outbox<Output>) {
        let of = |(from, _): &(At, Hash)| *from == At::Node(nk);
        let files: Vec<_> =
            self.files.coming.iter().filter(|(key, _)| of(key)).map(|(_, way)| way.coming.file).collect();
        for file in files {
            self.bytes(tick, At::Node(nk), BytesOut::Take(file), out);
        }
    }

    /// A link is down: what came over it goes on over the next one.
    pub(super) fn link_files_down(&mut self, nk: NodeKey) {
        let at = At::Node(nk);
        self.files.going.retain(|(to, _), _| *to != at);
        for (_, way) in self.files.coming.iter_mut().filter(|((from, _), _)| *from == at) {
            way.coming = Coming::new(way.coming.file);
        }
    }

    /// Nothing comes of a file: who waits for it hears so, and whoever it was passed on to.
    pub(super) fn fetched_in_vain(&mut self, tick: &Tick, way: &Way, code: Code, out: &mut Outbox<Output>) {
        let file = way.coming.file;
        let waiting = way.waiting.keys().map(|session| At::Session(*session));
        let passed = self.passed_on(way);
        for at in &passed {
            self.files.going.remove(&(*at, file.sha256));
            self.bytes(tick, *at, BytesOut::Leave(file), out);
        }
        for at in waiting.chain(passed).collect::<BTreeSet<_>>() {
            self.say_file(tick, at, File::Kept { hash: file.sha256, far: Err(code) }, out);
        }
    }
}

// Both
impl Server {
    pub(super) fn line_with(&self, pair: &Pair) -> Option<NodeKey> {
        self.pairs.get(pair).and_then(Trust::line).filter(|_| !self.is_blocked(pair))
    }

    pub(super) fn has_room(&self, at: At, max: usize) -> Result<(), PeerFault> {
        let got = self.files.coming.keys().filter(|(from, _)| *from == at).count();
        let full = PeerFault::Quota { what: "files under way", got: got as u64, max: max as u64 };
        if got >= max { Err(full) } else { Ok(()) }
    }

    /// Sends a file, unless too many are on their way there.
    pub(super) fn send(
        &mut self,
        tick: &Tick,
        at: At,
        file: BlobRef,
        from: u64,
        out: &mut Outbox<Output>,
    ) -> Result<(), PeerFault> {
        self.may_send(at, file)?;
        self.files.going.insert((at, file.sha256), None);
        self.bytes(tick, at, BytesOut::Send(file, from), out);
        Ok(())
    }

    fn may_send(&self, at: At, file: BlobRef) -> Result<(), PeerFault> {
        let max = match at {
            At::Session(_) => limits::FILE_TRANSFERS,
            At::Node(_) => limits::FILE_FETCHES,
        };
        let got = self.files.going.keys().filter(|(to, _)| *to == at).count();
        let full = PeerFault::Quota { what: "files under way", got: got as u64, max: max as u64 };
        if got >= max && !self.files.going.contains_key(&(at, file.sha256)) { Err(full) } else { Ok(()) }
    }

    /// Sends what one of ours has left for somebody, or passes on what a device of theirs is just leaving for them ([B-8]).
    pub(super) fn send_or_pass(
        &mut self,
        tick: &Tick,
        at: At,
        pair: Pair,
        file: BlobRef,
        from: u64,
        out: &mut Outbox<Output>,
    ) -> Result<(), PeerFault> {
        let shelf = self.files.shelves.get(&pair.ours);
        if shelf.is_some_and(|shelf| shelf.has_for(tick.now, file, &pair.theirs)) {
            return self.send(tick, at, file, from, out);
        }
        let leaves = |(from, way): (&(At, Hash), &Way)| match from.0 {
            At::Session(session) if way.coming.file == file && way.pair == pair => self.online_at(session),
            At::Session(_) | At::Node(_) => None,
        };
        let giver = self.files.coming.iter().find_map(leaves).map(|who| Giver::Device(who.dk));
        self.pass(tick, at, giver.ok_or(PeerFault::NoFile)?, pair, file, from, out)?;
        self.set_files_timer();
        Ok(())
    }

    /// Passes on a file that is coming, unless too many are on their way there.
    #[expect(clippy::too_many_arguments, reason = "what goes where, and from whom and for whom it comes")]
    pub(super) fn pass(
        &mut self,
        tick: &Tick,
        at: At,
        giver: Giver,
        pair: Pair,
        file: BlobRef,
        from: u64,
        out: &mut Outbox<Output>,
    ) -> Result<(), PeerFault> {
        self.may_send(at, file)?;
        let passing = Passing { file, pair, until: tick.now.plus(limits::FILE_WAIT_MS) };
        self.files.going.insert((at, file.sha256), Some(passing));
        self.bytes(tick, at, BytesOut::Pass(file, from, giver), out);
        Ok(())
    }

    /// Where what comes on this way is passed on to.
    fn passed_on(&self, way: &Way) -> Vec<At> {
        let hash = way.coming.file.sha256;
        let going = self.files.going.iter().filter(|((_, of), _)| *of == hash);
        let fed = going.filter(|(_, passing)| passing.as_ref().is_some_and(|passing| way.feeds(passing)));
        fed.map(|((at, _), _)| *at).collect()
    }

    /// A piece came. Of a file that isn't awaited it is passed over: it may have been on its way when that was given up.
    pub(super) fn piece(&mut self, tick: &Tick, at: At, hash: Hash, offset: u64, len: u32, out: &mut Outbox<Output>) {
        let Some(way) = self.files.coming.get_mut(&(at, hash)) else { return };
        let taken = way.coming.piece(offset, len);
        way.until = tick.now.plus(limits::FILE_WAIT_MS);
        let waiting: Vec<SessionId> = way.waiting.keys().copied().collect();
        match (taken, at) {
            (Ok(false), _) => {}
            (Ok(true), At::Session(_)) => {
                self.tell_device(at, File::Kept { hash, far: Ok(offset + u64::from(len)) }, out);
            }
            // Who waits for it hears how far it is.
            (Ok(true), At::Node(_)) => {
                for session in waiting {
                    let far = Ok(offset + u64::from(len));
                    self.tell_device(At::Session(session), File::Kept { hash, far }, out);
                }
            }
            (Err(why), At::Session(session)) => {
                self.run_session(tick, session, session::Input::Garbage(why), out);
            }
            (Err(why), At::Node(nk)) => {
                if let Some(link) = self.links.get(&nk).and_then(link::Link::connection) {
                    self.run_link(tick, nk, link::Input::Garbage(link, why), out);
                }
            }
        }
    }

    pub(super) fn bytes_in(&mut self, tick: &Tick, at: At, bytes: BytesIn, out: &mut Outbox<Output>) {
        match bytes {
            BytesIn::Have(hash, here) => {
                let Some(way) = self.files.coming.get_mut(&(at, hash)) else { return };
                let (file, pair) = (way.coming.file, way.pair.clone());
                let here = here.min(file.len);
                (way.coming.next, way.coming.told) = (Some(here), here);
                way.until = tick.now.plus(limits::FILE_WAIT_MS);
                if here == file.len {
                    return;
                }
                let say = match at {
                    At::Session(_) => File::Kept { hash, far: Ok(here) },
                    At::Node(_) => File::Fetch { asker: pair.ours, whose: pair.theirs, file, from: here },
                };
                self.say_file(tick, at, say, out);
            }
            BytesIn::Whole(file) => self.whole(tick, at, file, out),
            BytesIn::Spoiled(BlobRef { sha256: hash, .. }) => self.come_to_nothing(tick, at, hash, Code::Spoiled, out),
            BytesIn::Failed(hash) => {
                if self.files.going.remove(&(at, hash)).is_some() {
                    self.say_file(tick, at, File::Kept { hash, far: Err(Code::Spoiled) }, out);
                }
                self.come_to_nothing(tick, at, hash, Code::Busy, out);
            }
            BytesIn::Sent(hash) => self.sent(at, hash),
        }
        self.set_files_timer();
    }

    /// A file is whole: it goes on its person's shelf, and to who waits for it.
    fn whole(&mut self, tick: &Tick, at: At, file: BlobRef, out: &mut Outbox<Output>) {
        let Some(way) = self.files.coming.remove(&(at, file.sha256)).filter(|way| way.coming.file == file) else {
            return;
        };
        let (ours, left) = (way.pair.ours.clone(), matches!(at, At::Session(_)));
        let put = match self.files.shelves.get(&ours) {
            Some(shelf) => shelf.put(tick.now, &way.pair.theirs, file, left),
            None => Err(PeerFault::NoFile),
        };
        let (records, shelf) = match put {
            Ok(put) => put.records(&ours, file),
            Err(why) => {
                let code = why.code();
                if left {
                    self.tell_device(at, File::Kept { hash: file.sha256, far: Err(code) }, out);
                }
                return self.fetched_in_vain(tick, &way, code, out);
            }
        };
        records.into_iter().for_each(|record| out.save(record));
        self.files.shelves.insert(ours, shelf);
        if left {
            self.tell_device(at, File::Kept { hash: file.sha256, far: Ok(file.len) }, out);
        }
        let passed = self.passed_on(&way);
        for at in &passed {
            self.files.going.insert((*at, file.sha256), None);
            self.bytes(tick, *at, BytesOut::Rest(file), out);
        }
        for (session, from) in way.waiting.into_iter().filter(|(to, _)| !passed.contains(&At::Session(*to))) {
            if let Err(why) = self.send(tick, At::Session(session), file, from, out) {
                let far = Err(why.code());
                self.tell_device(At::Session(session), File::Kept { hash: file.sha256, far }, out);
            }
        }
    }

    /// All of a file has left: who had it passed on doesn't wait for it any more.
    fn sent(&mut self, at: At, hash: Hash) {
        let passing = self.files.going.remove(&(at, hash)).flatten();
        if let (Some(passing), At::Session(session)) = (passing, at) {
            let fed = self.files.coming.values_mut().filter(|way| way.feeds(&passing));
            fed.for_each(|way| _ = way.waiting.remove(&session));
        }
    }

    pub(super) fn come_to_nothing(&mut self, tick: &Tick, at: At, hash: Hash, code: Code, out: &mut Outbox<Output>) {
        let Some(way) = self.files.coming.remove(&(at, hash)) else { return };
        match at {
            At::Session(_) => self.tell_device(at, File::Kept { hash, far: Err(code) }, out),
            At::Node(nk) if code == Code::Spoiled => {
                let why = PeerFault::Spoiled;
                out.emit(Output::Event(Event::Refused { peer: Peer::Node(nk), why }));
            }
            At::Node(_) => {}
        }
        self.fetched_in_vain(tick, &way, code, out);
    }

    /// Gives up what nothing has come of for too long.
    pub(super) fn files_due(&mut self, tick: &Tick, out: &mut Outbox<Output>) {
        let late = self.files.coming.iter().filter(|(_, way)| way.until <= tick.now);
        let late: Vec<_> = late.map(|((at, hash), way)| (*at, *hash, way.coming.file)).collect();
        for (at, hash, file) in late.into_iter().take(limits::WAKE_BATCH) {
            self.bytes(tick, at, BytesOut::Leave(file), out);
            self.come_to_nothing(tick, at, hash, Code::Timeout, out);
        }
        self.passes_due(tick, out);
        self.set_files_timer();
    }

    /// Gives up what was passed on, and whose author doesn't come back to leave the rest.
    fn passes_due(&mut self, tick: &Tick, out: &mut Outbox<Output>) {
        let late = self.files.going.iter().filter_map(|((at, _), passing)| Some((*at, passing.as_ref()?)));
        let late = late.filter(|(_, passing)| passing.until <= tick.now).take(limits::WAKE_BATCH);
        let late: Vec<(At, Passing)> = late.map(|(at, passing)| (at, passing.clone())).collect();
        for (at, passing) in late {
            let hash = passing.file.sha256;
            let feeds = self.files.coming.values().find(|way| way.feeds(&passing) && way.until > tick.now);
            if let Some(until) = feeds.map(|way| way.until) {
                self.files.going.insert((at, hash), Some(Passing { until, ..passing }));
                continue;
            }
            self.files.going.remove(&(at, hash));
            self.bytes(tick, at, BytesOut::Leave(passing.file), out);
            self.say_file(tick, at, File::Kept { hash, far: Err(Code::Timeout) }, out);
        }
    }

    pub(super) fn set_files_timer(&mut self) {
        let passing = self.files.going.values().flatten().map(|passing| passing.until);
        let due = self.files.coming.values().map(|way| way.until).chain(passing).min();
        self.timers.set(Who::Files, due);
    }

    pub(super) fn say_file(&mut self, tick: &Tick, at: At, file: File, out: &mut Outbox<Output>) {
        match at {
            At::Session(_) => self.tell_device(at, file, out),
            At::Node(nk) => self.run_link(tick, nk, link::Input::File(file), out),
        }
    }

    /// Says something on a session that is up.
    pub(super) fn tell_device(&self, at: At, file: File, out: &mut Outbox<Output>) {
        if let At::Session(session) = at
            && self.online_at(session).is_some()
        {
            out.emit(Output::Session(session, SessionOut::Send(Frame::File(file))));
        }
    }

    pub(super) fn bytes(&mut self, tick: &Tick, at: At, bytes: BytesOut, out: &mut Outbox<Output>) {
        match at {
            At::Session(session) => {
                if let Some(dk) = self.online_at(session).map(|who| who.dk) {
                    out.emit(Output::Session(session, SessionOut::Bytes(dk, bytes)));
                }
            }
            At::Node(nk) => self.run_link(tick, nk, link::Input::Bytes(bytes), out),
        }
    }
}
