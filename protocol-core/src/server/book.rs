//! Small records of the front door's own: routes to nodes, arrivals seen, mails that wait for evidence.

use std::collections::BTreeSet;

use crate::fault::RestoreError;
use crate::id::{Address, BlobRef, CarryId, Domain, MailId, NodeKey, Pair};
use crate::limits;
use crate::store::{Key, Record};
use crate::time::Millis;
use crate::wire::cbor::{Malformed, Reader, Writer};
use crate::wire::frame::Reached;
use crate::wire::record::{read, write};

/// How a node is found; that there is one is what makes the node more than a stranger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Route {
    /// The domain we speak for.
    pub(super) ours: Domain,
    /// The domain we call.
    pub(super) theirs: Domain,
    /// The `h=` of its field.
    pub(super) hint: Option<String>,
}

/// An arrival that another carrier may bring again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// For whom it came.
    pub(super) rcpts: BTreeSet<Address>,
    /// How far it got here.
    pub(super) reached: Option<Reached>,
}

/// A mail that waits for evidence about its sender's node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pending {
    /// The mail's bytes as they came, while their signatures are still to be evaluated.
    pub(super) blob: Option<BlobRef>,
    /// Which pairs wait, and for what.
    pub(super) asks: BTreeSet<(Pair, Asked)>,
    /// Since when.
    pub(super) since: Millis,
}

/// What kind of evidence is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Asked {
    /// The mail's own signatures.
    Dkim,
    /// The domain's word.
    Domain,
}

fn domain(r: &mut Reader<'_>) -> Result<Domain, Malformed> {
    Domain::parse(r.str()?).map_err(|_| Malformed("a domain"))
}

impl Route {
    pub(super) fn record(&self, nk: NodeKey) -> Record {
        write(Key::Route(nk), 3, |w| {
            w.str(self.ours.as_str()).str(self.theirs.as_str()).maybe(self.hint.as_deref(), Writer::str);
        })
    }

    pub(super) fn restore(record: &Record) -> Result<Self, RestoreError> {
        read(record, |r| {
            Ok(Self { ours: domain(r)?, theirs: domain(r)?, hint: r.maybe(|r| r.str().map(str::to_owned))? })
        })
    }
}

impl Seen {
    /// What an arrival by link, or a copy of one, is called here: derived, so that no peer can choose it.
    pub(super) fn id_of(nk: NodeKey, id: CarryId) -> MailId {
        let hash = crate::store::sha256(&[b"postline/1 carry", &nk.0, &id.0]).0;
        let mut short = [0; MailId::LEN];
        short.copy_from_slice(hash.split_at(MailId::LEN).0);
        MailId(short)
    }

    pub(super) fn record(&self, mail: MailId, now: Millis) -> Record {
        let record = write(Key::Seen(mail), 2, |w| {
            let reached = self.reached.map(|reached| u64::from(reached == Reached::Delivered));
            w.list(self.rcpts.iter(), |w, rcpt| _ = w.address(rcpt)).maybe(reached, Writer::u64);
        });
        record.until(now.plus(limits::SEEN_MS))
    }

    pub(super) fn restore(record: &Record) -> Result<Self, RestoreError> {
        read(record, |r| {
            let rcpts = r.list(limits::ENVELOPE_RECIPIENTS as u64, Reader::address)?.into_iter().collect();
            let reached = r.maybe(Reader::u64)?;
            let reached = reached.map(|n| if n == 1 { Reached::Delivered } else { Reached::Failed });
            Ok(Self { rcpts, reached })
        })
    }
}

impl Pending {
    pub(super) const fn new(blob: Option<BlobRef>, since: Millis) -> Self {
        Self { blob, asks: BTreeSet::new(), since }
    }

    pub(super) fn record(&self, mail: MailId) -> Record {
        let record = write(Key::Pending(mail), 3, |w| {
            w.maybe(self.blob, |w, blob| w.array(2).blob(blob)).millis(self.since);
            w.list(self.asks.iter(), |w, (pair, asked)| {
                w.array(3).address(&pair.ours).address(&pair.theirs).bool(*asked == Asked::Dkim);
            });
        });
        let record = record.until(self.since.plus(2 * limits::EVIDENCE_RETRY_MS));
        match self.blob {
            Some(blob) => record.holding(blob),
            None => record,
        }
    }

    pub(super) fn restore(record: &Record) -> Result<Self, RestoreError> {
        read(record, |r| {
            let blob = r.maybe(|r| {
                r.array_of(2)?;
                r.blob()
            })?;
            let since = r.millis()?;
            let asks = r.list(2 * limits::ENVELOPE_RECIPIENTS as u64, |r| {
                r.array_of(3)?;
                let pair = Pair { ours: r.address()?, theirs: r.address()? };
                Ok((pair, if r.bool()? { Asked::Dkim } else { Asked::Domain }))
            })?;
            Ok(Self { blob, asks: asks.into_iter().collect(), since })
        })
    }
}

/// By which name a node is known that has this key.
pub(super) fn write_alias(nk: NodeKey, name: NodeKey) -> Record {
    write(Key::Alias(nk), 1, |w| _ = w.bytes(&name.0))
}

pub(super) fn read_alias(record: &Record) -> Result<NodeKey, RestoreError> {
    read(record, |r| r.fixed().map(NodeKey))
}

/// A domain that the operator blocks.
pub(super) fn write_blocked(domain: &Domain, since: Millis) -> Record {
    write(Key::Blocked(domain.clone()), 1, |w| _ = w.millis(since))
}

pub(super) fn read_blocked(record: &Record) -> Result<Millis, RestoreError> {
    read(record, |r| r.millis())
}

/// Whether mails of an address take offers and accepts along.
pub(super) fn write_offers(ours: &Address, on: bool) -> Record {
    write(Key::Offers(ours.clone()), 1, |w| _ = w.bool(on))
}

/// Reads the record of an address's choice, [`Key::Offers`]: whether its mails take offers and accepts along.
///
/// # Errors
/// A record that isn't one.
pub fn read_offers(record: &Record) -> Result<bool, RestoreError> {
    read(record, |r| r.bool())
}

/// The node's own record: how many strangers' offers it holds in all.
pub(super) fn write_node(strangers: u64) -> Record {
    write(Key::Node, 1, |w| _ = w.u64(strangers))
}

pub(super) fn read_node(record: &Record) -> Result<u64, RestoreError> {
    read(record, |r| r.u64())
}
