//! Files that are named by nothing any more: what named them was taken back, or its time was over.
//!
//! ```text
//!   a message, an edit is applied ──▶ Named: these entries name this file
//!   its words are forgotten ────────▶ Named, without that one ──the last of its author's──▶ let go:
//!        what is here of it goes, nothing more comes or leaves ──Forget: durable──▶ node ──Forgotten──▶ done
//! ```
//!
//! Each device of both sides does so. The author's has its node take the file from everybody; a reader's has its node drop what
//! that had fetched. A file that another entry of the same author names stays, whatever names it in other people's words
//! ([B-13]).

use std::collections::{BTreeMap, BTreeSet};

use super::Client;
use super::io::{Event, Far, Output, Who};
use super::planning::Wanted;
use super::said::{By, Kept};
use super::timers::What;
use crate::content::part::Body;
use crate::fault::{Code, PeerFault, RestoreError};
use crate::id::{BlobRef, ConversationId, Hash, Identity, Pair};
use crate::limits;
use crate::step::Outbox;
use crate::store::{Key, Record};
use crate::time::{Millis, SECOND};
use crate::wire::content::Content;
use crate::wire::file::{BytesOut, File};
use crate::wire::record::{read, write};

/// The entries that name a file: [`Key::Named`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Named {
    places: BTreeSet<(ConversationId, u64, Identity)>,
    /// Whether more named it than are known: then nobody can say when the last has gone.
    more: bool,
}

impl Named {
    pub(super) fn restore(record: &Record) -> Result<Self, RestoreError> {
        read(record, |r| {
            let places = r.list(limits::NAMES_OF_FILE as u64, |r| {
                r.array_of(3)?;
                Ok((ConversationId(r.fixed()?), r.u64()?, Identity(r.fixed()?)))
            })?;
            Ok(Self { places: places.into_iter().collect(), more: r.bool()? })
        })
    }

    fn record(&self, hash: Hash) -> Record {
        if self.places.is_empty() && !self.more {
            return Record::remove(Key::Named(hash));
        }
        write(Key::Named(hash), 2, |w| {
            w.list(self.places.iter(), |w, (talk, seq, who)| {
                w.array(3).bytes(&talk.0).u64(*seq).bytes(&who.0);
            });
            w.bool(self.more);
        })
    }

    /// Whether that is news.
    fn put(&mut self, place: (ConversationId, u64, Identity)) -> bool {
        if self.places.contains(&place) || self.more {
            return false;
        }
        if self.places.len() < limits::NAMES_OF_FILE {
            self.places.insert(place);
        } else {
            self.more = true;
        }
        true
    }

    fn is_named_by(&self, who: Identity) -> bool {
        self.more || self.places.iter().any(|(_, _, by)| *by == who)
    }
}

/// The files that the node is still to let go: [`Key::Forget`].
#[derive(Debug, Default)]
pub(super) struct Forgets {
    waiting: BTreeMap<(Pair, Hash), Waiting>,
    /// In which second how many were said.
    since: Millis,
    said: usize,
}

#[derive(Debug)]
struct Waiting {
    len: u64,
    /// Whether it was said on this session.
    said: bool,
}

impl Forgets {
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn take_back(&mut self, record: &Record) -> Result<(), RestoreError> {
        if let Key::Forget(pair, hash) = &record.key {
            let len = read(record, |r| r.u64())?;
            self.waiting.insert((pair.clone(), *hash), Waiting { len, said: false });
        }
        Ok(())
    }

    /// The session is over: all is said again on the next one.
    pub(super) fn forget_session(&mut self) {
        self.waiting.values_mut().for_each(|waiting| waiting.said = false);
    }
}

/// The files that a content names, kept as ours are: the first of them.
fn files_in(content: &Content) -> BTreeSet<BlobRef> {
    let parts = content.fields().body.walk().into_iter();
    let files = parts.filter_map(|part| match &part.body {
        Body::External(external) => Some(BlobRef { sha256: external.url.as_file()?, len: external.size }),
        Body::Nothing | Body::Single { .. } | Body::Multi(_) => None,
    });
    files.take(limits::FILES_NAMED).collect()
}

// Which entries name a file
impl Client {
    /// What it takes to say that an entry names its files, or does so no more.
    pub(super) fn wanted_to_name(&self, kept: &Kept, wanted: &mut Wanted) {
        let hashes = kept.content.iter().flat_map(files_in).map(|file| file.sha256);
        wanted.extend(hashes.filter(|hash| !self.views.named.contains_key(hash)).map(Key::Named));
    }

    /// An entry names files, as long as its words are kept.
    pub(super) fn name_files(&mut self, id: ConversationId, seq: u64, out: &mut Outbox<Output>) {
        let Some(Some(kept)) = self.said.get(&(id, seq)) else { return };
        let (files, who) = (kept.content.as_ref().map(files_in).unwrap_or_default(), self.author_of(kept.by.as_ref()));
        for BlobRef { sha256: hash, .. } in files {
            let Some(named) = self.views.named.get_mut(&hash) else { continue };
            let named = named.get_or_insert_default();
            if named.put((id, seq, who)) {
                out.save(named.record(hash));
            }
        }
    }

    /// The words of an entry are gone, and with them what named its files.
    pub(super) fn unname_files(
        &mut self,
        id: ConversationId,
        seq: u64,
        by: Option<&By>,
        content: &Content,
        out: &mut Outbox<Output>,
    ) {
        let Some(with) = self.talks.get(&id).map(|talk| talk.with.clone()) else { return };
        let (who, us) = (self.author_of(by), self.ours.address.clone());
        let own = by.is_none_or(|by| by.author == us);
        let pair = if own { Pair { ours: us, theirs: with } } else { Pair { ours: with, theirs: us } };
        for file in files_in(content) {
            // Of what isn't at hand nobody can say who else names it: it goes when its time is over.
            let Some(named) = self.views.named.get_mut(&file.sha256) else { continue };
            let named = named.get_or_insert_default();
            if !named.places.remove(&(id, seq, who)) {
                // Nobody was shown it: what is kept of it goes when its time is over.
                continue;
            }
            out.save(named.record(file.sha256));
            if !named.is_named_by(who) {
                let by_others = !named.places.is_empty();
                self.let_go(pair.clone(), file, own, by_others, out);
            }
        }
    }

    fn author_of(&self, by: Option<&By>) -> Identity {
        by.map(|by| by.identity).or_else(|| self.identity()).unwrap_or(Identity([0; 32]))
    }
}

// What the node is to let go
impl Client {
    /// Nothing of a file is to stay: here, and where its author's words had it left.
    fn let_go(&mut self, pair: Pair, file: BlobRef, own: bool, by_others: bool, out: &mut Outbox<Output>) {
        let ended = if own { self.files.leaves(file.sha256) } else { self.files.comes(file.sha256, &pair.ours) };
        if ended {
            self.give_up_file(file.sha256, out);
            Self::tell(Event::File { file, leaves: own, far: Far::Failed(Code::NoFile) }, out);
        }
        if !by_others {
            out.emit(Output::Bytes(BytesOut::Forget(file)));
        }
        // Beyond the bound it goes when its time is over. Others' words don't take the room of this person's own.
        let room = if own { limits::FORGETS } else { limits::FORGETS / 2 };
        if self.files.forgets.len() >= room {
            return;
        }
        out.save(write(Key::Forget(pair.clone(), file.sha256), 1, |w| _ = w.u64(file.len)));
        self.files.forgets.waiting.insert((pair, file.sha256), Waiting { len: file.len, said: false });
        self.forgets_go_on(out);
    }

    /// Says what can be said now: not so much at once that the node would take it for noise.
    pub(super) fn forgets_go_on(&mut self, out: &mut Outbox<Output>) {
        if !self.online() {
            return;
        }
        let (now, forgets) = (self.now, &mut self.files.forgets);
        if now.since(forgets.since) >= SECOND {
            (forgets.since, forgets.said) = (now, 0);
        }
        for ((pair, hash), waiting) in forgets.waiting.iter_mut().filter(|(_, waiting)| !waiting.said) {
            if forgets.said >= limits::FORGETS_PER_SECOND {
                self.timers.by(What::Forgets, now.plus(SECOND));
                return;
            }
            forgets.said += 1;
            waiting.said = true;
            let file = BlobRef { sha256: *hash, len: waiting.len };
            let (whose, theirs) = (pair.ours.clone(), pair.theirs.clone());
            out.emit(Output::Send(crate::wire::frame::Frame::File(File::Forget { whose, theirs, file })));
        }
    }

    /// The node has let a file go, or says why not.
    pub(super) fn forgotten(&mut self, pair: Pair, hash: Hash, gone: Result<(), Code>, out: &mut Outbox<Output>) {
        let Some(waiting) = self.files.forgets.waiting.get_mut(&(pair.clone(), hash)) else { return };
        if gone == Err(Code::Busy) {
            // There is no room for the word yet: it is said again in a while.
            waiting.said = false;
            return self.timers.by(What::Forgets, self.now.plus(limits::FILE_WAIT_MS));
        }
        self.files.forgets.waiting.remove(&(pair.clone(), hash));
        out.save(Record::remove(Key::Forget(pair, hash)));
        if gone.is_err() {
            Self::refuse(Who::Node, PeerFault::NoFile, out);
        }
    }
}
