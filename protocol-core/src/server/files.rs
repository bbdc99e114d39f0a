//! Files that people's devices leave with their node for others, and fetch from theirs.
//!
//! ```text
//!   device ──Keep──▶ a line with them? room? ──Take──▶ host ──Have──▶ Kept: from there on ──Piece…──▶ Whole ──▶ shelf, Kept: all
//!   device ──Fetch─▶ on the shelf? ──▶ Send
//!                 └─ their node is here ──▶ left for the asker? ──▶ Send
//!                 └─ elsewhere ──Take, Pass to who waits──▶ host ──Have──▶ Fetch ──link──▶ Piece… ──▶ Whole ──▶ shelf, Rest
//!   node ────Fetch─▶ a line, whose node it is? left for the asker? ──▶ Send
//!                                              └─ being left ──▶ Pass
//! ```
//!
//! What is still coming is passed on as it comes, to whom it would be sent once it is here. Who gets it finds out by itself
//! whether it is what it is called.
//!
//! A node can't see in what is said which files it names: so it fetches one when a device asks. Whoever isn't to have a file
//! hears what they would hear of one that never was ([B-8], attack 106). The bytes are the host's, and never pass through here.
//!
//! A crash forgets what is on its way; what came of it stays with the host, and goes on from there.

use std::collections::BTreeMap;

use super::Server;
use super::forgetting::Forgets;
use super::here::HERE;
use super::io::{Event, Output, Peer};
use super::sessions::Online;
use super::shelf::Shelf;
use crate::fault::{PeerFault, RestoreError};
use crate::id::{Address, BlobRef, Hash, LinkId, NodeKey, Pair, SessionId};
use crate::limits;
use crate::machine::link;
use crate::machine::session::node as session;
use crate::machine::trust::Trust;
use crate::step::{Outbox, Tick};
use crate::store::{Key, Record};
use crate::time::Millis;
use crate::wire::file::{BytesIn, BytesOut, Coming, File, Giver};

/// A connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum At {
    /// With a device.
    Session(SessionId),
    /// The link with a node.
    Node(NodeKey),
}

/// The files that are known, and those on their way.
#[derive(Debug, Default)]
pub(super) struct Files {
    pub(super) shelves: BTreeMap<Address, Shelf>,
    /// What comes, by where it comes from.
    pub(super) coming: BTreeMap<(At, Hash), Way>,
    /// What is being sent; of what is passed on as it comes, as what.
    pub(super) going: BTreeMap<(At, Hash), Option<Passing>>,
    /// What other nodes are to let go.
    pub(super) forgets: Forgets,
}

/// A file on its way here.
#[derive(Debug)]
pub(super) struct Way {
    pub(super) coming: Coming,
    /// Whose it will be here, and with whom.
    pub(super) pair: Pair,
    /// Of one that is fetched: the devices that wait for it, and from where on each wants it.
    pub(super) waiting: BTreeMap<SessionId, u64>,
    /// When it is given up, unless something comes of it.
    pub(super) until: Millis,
}

/// A file that is passed on as it comes.
#[derive(Clone, Debug)]
pub(super) struct Passing {
    pub(super) file: BlobRef,
    /// Whose it will be here, and with whom: as of the way on which it comes.
    pub(super) pair: Pair,
    /// When it is looked at whether it still comes.
    pub(super) until: Millis,
}

impl Way {
    /// Whether this is what is passed on there.
    pub(super) fn feeds(&self, passing: &Passing) -> bool {
        self.coming.file == passing.file && self.pair == passing.pair
    }
}

// Records
impl Server {
    pub(super) fn take_shelf(&mut self, ours: &Address, record: Option<&Record>) -> Result<(), RestoreError> {
        let shelf = record.map(Shelf::restore).transpose()?.unwrap_or_default();
        self.files.shelves.insert(ours.clone(), shelf);
        Ok(())
    }

    pub(super) fn forget_shelf(&mut self, ours: &Address) -> bool {
        self.files.shelves.remove(ours).is_some()
    }

    pub(super) fn files_in_memory(&self) -> usize {
        self.files.shelves.len() + self.files.coming.len() + self.files.going.len() + self.files.forgets.len()
    }

    /// Whether something is to come from a node.
    pub(super) fn fetches_from(&self, nk: NodeKey) -> bool {
        self.files.coming.keys().any(|(at, _)| *at == At::Node(nk))
    }

    pub(super) fn shelf_wants(&self, ours: &Address) -> Option<Key> {
        (!self.files.shelves.contains_key(ours)).then(|| Key::Shelf(ours.clone()))
    }

    /// What something about a file, said by a device, wants.
    pub(super) fn file_wants(&self, who: &Online, file: &File) -> Vec<Key> {
        let theirs = match file {
            File::Keep { theirs, .. } => theirs,
            File::Fetch { whose, .. } => whose,
            File::Forget { whose, theirs, .. } if *whose == who.address => theirs,
            File::Forget { whose, .. } => whose,
            File::Kept { .. } | File::Piece { .. } | File::Forgotten { .. } => return Vec::new(),
        };
        let pair = Pair { ours: who.address.clone(), theirs: theirs.clone() };
        let mut keys: Vec<Key> = self.shelf_wants(&pair.ours).into_iter().collect();
        match self.pairs.get(&pair).map(Trust::line) {
            None => keys.push(Key::Trust(pair)),
            Some(Some(HERE)) => keys.extend(self.shelf_wants(theirs)),
            Some(Some(nk)) => {
                let known = self.links.contains_key(&nk) && self.routes.contains_key(&nk);
                keys.extend([Key::Peer(nk), Key::Route(nk)].into_iter().filter(|_| !known));
            }
            Some(None) => {}
        }
        keys
    }

    /// What a node's question for a file wants.
    pub(super) fn node_file_wants(&self, file: &File) -> Vec<Key> {
        let (ours, theirs) = match file {
            File::Fetch { asker, whose, .. } => (whose, asker),
            File::Forget { whose, theirs, .. } => (theirs, whose),
            File::Keep { .. } | File::Kept { .. } | File::Piece { .. } | File::Forgotten { .. } => return Vec::new(),
        };
        let pair = Pair { ours: ours.clone(), theirs: theirs.clone() };
        let trust = (!self.pairs.contains_key(&pair)).then_some(Key::Trust(pair));
        trust.into_iter().chain(self.shelf_wants(ours).filter(|_| self.is_ours(ours))).collect()
    }

    /// What it takes to put a file on its shelf that is whole.
    pub(super) fn bytes_want(&self, session: Option<SessionId>, link: Option<LinkId>, bytes: &BytesIn) -> Vec<Key> {
        let BytesIn::Whole(file) = bytes else { return Vec::new() };
        let at = session.map(At::Session).or_else(|| self.node_at(link?).map(At::Node));
        let way = at.and_then(|at| self.files.coming.get(&(at, file.sha256)));
        way.and_then(|way| self.shelf_wants(&way.pair.ours)).into_iter().collect()
    }

    pub(super) fn is_ours(&self, address: &Address) -> bool {
        self.ours.domains.contains(address.domain())
    }

    /// The node at the other end of a connection that is its link.
    pub(super) fn node_at(&self, link: LinkId) -> Option<NodeKey> {
        let nk = self.proven.get(&link)?.nk;
        (self.links.get(&nk)?.connection() == Some(link)).then_some(nk)
    }
}

// Devices
impl Server {
    /// A device says something about a file.
    pub(super) fn file_from_device(
        &mut self,
        tick: &Tick,
        session: SessionId,
        who: &Online,
        file: File,
        out: &mut Outbox<Output>,
    ) {
        let at = At::Session(session);
        let (hash, judged) = match file {
            File::Keep { theirs, file } => (file.sha256, self.keep(tick, session, who, theirs, file, out)),
            File::Fetch { asker, whose, file, from } => {
                let pair = Pair { ours: asker, theirs: whose };
                (file.sha256, self.fetch(tick, session, who, pair, file, from, out))
            }
            File::Piece { hash, offset, len } => return self.piece(tick, at, hash, offset, len, out),
            File::Forget { whose, theirs, file } => {
                return self.forget_from_device(tick, session, who, whose, theirs, file, out);
            }
            File::Kept { .. } | File::Forgotten { .. } => {
                let why = PeerFault::Frame("what a node says of a file");
                return self.run_session(tick, session, session::Input::Garbage(why), out);
            }
        };
        if let Err(why) = judged {
            self.say_file(tick, at, File::Kept { hash, far: Err(why.code()) }, out);
            out.emit(Output::Event(Event::Refused { peer: Peer::Device(who.dk), why }));
        }
    }

    /// A device wants to leave a file for somebody ([B-8]).
    fn keep(
        &mut self,
        tick: &Tick,
        session: SessionId,
        who: &Online,
        theirs: Address,
        file: BlobRef,
        out: &mut Outbox<Output>,
    ) -> Result<(), PeerFault> {
        is_bounded(file)?;
        if !who.listed {
            return Err(PeerFault::Unlisted);
        }
        let (at, pair) = (At::Session(session), Pair { ours: who.address.clone(), theirs });
        self.line_with(&pair).ok_or(PeerFault::NotTrusted)?;
        let shelf = self.files.shelves.get(&pair.ours).ok_or(PeerFault::NoFile)?;
        let put = shelf.put(tick.now, &pair.theirs, file, true)?;
        if shelf.has(tick.now, file) {
            // Its bytes are here: it is only for somebody else too, or for longer.
            let (records, shelf) = put.records(&pair.ours, file);
            records.into_iter().for_each(|record| out.save(record));
            self.files.shelves.insert(pair.ours, shelf);
            self.say_file(tick, at, File::Kept { hash: file.sha256, far: Ok(file.len) }, out);
            return Ok(());
        }
        if let Some(way) = self.files.coming.get(&(at, file.sha256)) {
            // Said twice: it goes on as it does.
            return if way.coming.file == file { Ok(()) } else { Err(PeerFault::Frame("one length for one file")) };
        }
        self.has_room(at, limits::FILE_TRANSFERS)?;
        let until = tick.now.plus(limits::FILE_WAIT_MS);
        let way = Way { coming: Coming::new(file), pair, waiting: BTreeMap::new(), until };
        self.files.coming.insert((at, file.sha256), way);
        self.bytes(tick, at, BytesOut::Take(file), out);
        self.set_files_timer();
        Ok(())
    }

    /// A device wants a file that was left for its person, or that the person left.
    #[expect(clippy::too_many_arguments, reason = "all of a question for a file")]
    fn fetch(
        &mut self,
        tick: &Tick,
        session: SessionId,
        who: &Online,
        pair: Pair,
        file: BlobRef,
        from: u64,
        out: &mut Outbox<Output>,
    ) -> Result<(), PeerFault> {
        is_bounded(file)?;
        let at = At::Session(session);
        if from >= file.len {
            return Err(PeerFault::TooBig { what: "offset", got: from, max: file.len });
        }
        if pair.ours != who.address {
            return Err(PeerFault::NotTrusted);
        }
        let here = |address: &Address| self.files.shelves.get(address);
        if here(&pair.ours).is_some_and(|shelf| shelf.has(tick.now, file)) {
            return self.send(tick, at, file, from, out);
        }
        match self.line_with(&pair).ok_or(PeerFault::NoFile)? {
            HERE => self.send_or_pass(tick, at, Pair { ours: pair.theirs, theirs: pair.ours }, file, from, out),
            nk => self.fetch_from(tick, nk, session, pair, file, from, out),
        }
    }

    /// Fetches a file from the node of who left it, or waits with who waits already.
    #[expect(clippy::too_many_arguments, reason = "all of a question for a file, and where to ask it")]
    fn fetch_from(
        &mut self,
        tick: &Tick,
        nk: NodeKey,
        session: SessionId,
        pair: Pair,
        file: BlobRef,
        from: u64,
        out: &mut Outbox<Output>,
    ) -> Result<(), PeerFault> {
        let at = At::Node(nk);
        let waits = self.files.coming.values().filter(|way| way.waiting.contains_key(&session)).count();
        if waits >= limits::FILE_TRANSFERS {
            return Err(PeerFault::Quota {
                what: "files under way",
                got: waits as u64,
                max: limits::FILE_TRANSFERS as u64,
            });
        }
        if let Some(way) = self.files.coming.get_mut(&(at, file.sha256)) {
            if way.pair != pair || way.coming.file != file {
                return Err(PeerFault::Quota { what: "files of one name", got: 2, max: 1 });
            }
            way.waiting.insert(session, from);
            self.pass_from(tick, nk, session, pair, file, from, out);
            return Ok(());
        }
        self.files.shelves.get(&pair.ours).ok_or(PeerFault::NoFile)?.put(tick.now, &pair.theirs, file, false)?;
        self.has_room(at, limits::FILE_FETCHES)?;
        let until = tick.now.plus(limits::FILE_WAIT_MS);
        let (waiting, whose) = (BTreeMap::from([(session, from)]), pair.clone());
        let way = Way { coming: Coming::new(file), pair, waiting, until };
        self.files.coming.insert((at, file.sha256), way);
        self.set_files_timer();
        if self.links.get(&nk).is_some_and(link::Link::is_up) {
            self.bytes(tick, at, BytesOut::Take(file), out);
        } else {
            self.want_link(tick, nk, out);
        }
        self.pass_from(tick, nk, session, whose, file, from, out);
        Ok(())
    }

    /// Passes what comes from a node on to a device that waits for it. Where too much goes there already it waits on, and
    /// hears what becomes of it once it is here.
    #[expect(clippy::too_many_arguments, reason = "all of a question for a file, and whom it was put to")]
    fn pass_from(
        &mut self,
        tick: &Tick,
        nk: NodeKey,
        session: SessionId,
        pair: Pair,
        file: BlobRef,
        from: u64,
        out: &mut Outbox<Output>,
    ) {
        let _waits = self.pass(tick, At::Session(session), Giver::Node(nk), pair, file, from, out);
        self.set_files_timer();
    }

    /// A session is over: nothing comes of it, and nobody waits there. What is being fetched is fetched all the same: the
    /// device comes back for it. So is what it was leaving, and is passed on.
    pub(super) fn session_files_gone(&mut self, session: SessionId) {
        let at = At::Session(session);
        for (_, way) in self.files.coming.iter().filter(|((from, _), _)| *from == at) {
            let fed = self.files.going.values_mut().flatten().filter(|passing| way.feeds(passing));
            // As long as if it still came: its author may come back, and leave the rest.
            fed.for_each(|passing| passing.until = passing.until.max(way.until));
        }
        self.files.coming.retain(|(from, _), _| *from != at);
        self.files.going.retain(|(to, _), _| *to != at);
        self.files.coming.values_mut().for_each(|way| _ = way.waiting.remove(&session));
        self.set_files_timer();
    }

    /// What the host says of bytes on a session.
    pub(super) fn session_bytes(&mut self, tick: &Tick, session: SessionId, bytes: BytesIn, out: &mut Outbox<Output>) {
        if self.online_at(session).is_some() {
            self.bytes_in(tick, At::Session(session), bytes, out);
        }
    }
}

/// Whether anything sealed is so long.
pub(super) const fn is_bounded(file: BlobRef) -> Result<(), PeerFault> {
    if file.len > limits::ATTACHMENT_BYTES {
        return Err(PeerFault::TooBig { what: "an attachment", got: file.len, max: limits::ATTACHMENT_BYTES });
    }
    if file.len == 0 { Err(PeerFault::Frame("a file of some bytes")) } else { Ok(()) }
}
