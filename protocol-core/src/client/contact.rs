//! A person that this one writes to, as the device keeps them: their line, their lists, and how well they are known.
//!
//! ```text
//!   node: a line ──▶ Line ──their lists and key proof, verified here──▶ Keys ──codes compared──▶ Verified
//!                      ▲                                                 │
//!                      └── the line is gone, or is another ◀─────────────┘      a key outside the lists: suspended, loud
//! ```

use crate::fault::RestoreError;
use crate::id::{Address, ConversationId, Hash, NodeKey};
use crate::seal::lists::Chain;
use crate::seal::pin::Pin;
use crate::seal::tries::Tries;
use crate::store::{Key, Record};
use crate::wire::cbor::{Malformed, Reader, Writer};
use crate::wire::log;
use crate::wire::record::{read, write};

use super::io::{self, Level};
use super::presence::Chosen;

/// What the device knows of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Contact {
    pub(super) address: Address,
    /// The line, as the node says.
    pub(super) line: Option<Line>,
    /// Their device lists, from the first one on: pinned by it.
    pub(super) chain: Option<Chain>,
    /// The handshake over which they have proven their keys to us.
    pub(super) proven: Option<Hash>,
    /// The handshake over which the node has taken our proof for them.
    pub(super) proved: Option<Hash>,
    /// Whether the two have compared codes.
    pub(super) verified: bool,
    /// What another device, or a backup, says that they are.
    pub(super) pin: Option<Pin>,
    /// How often codes were compared.
    pub(super) tries: Tries,
    /// Whether nothing is sealed to them until the person decides.
    pub(super) suspended: bool,
    /// Whether the person agrees to see them, and be seen by them; `None`: they never chose.
    pub(super) presence: Option<Chosen>,
}

/// A line with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) t2: Hash,
    pub(super) offered: bool,
    /// Their node.
    pub(super) nk: NodeKey,
}

impl Contact {
    pub(super) fn new(address: Address) -> Self {
        Self {
            address,
            line: None,
            chain: None,
            proven: None,
            proved: None,
            verified: false,
            pin: None,
            tries: Tries::default(),
            suspended: false,
            presence: None,
        }
    }

    /// How well they are known.
    pub(super) fn level(&self) -> Level {
        match self.line {
            None => Level::Mail,
            Some(line) if self.proven != Some(line.t2) || self.chain.is_none() => Level::Line,
            Some(_) if self.verified => Level::Verified,
            Some(_) => Level::Keys,
        }
    }

    /// The direct conversation with them, once there are keys on the line.
    pub(super) fn direct(&self) -> Option<(ConversationId, Line)> {
        self.line.map(|line| (log::direct(line.t2), line))
    }

    /// What people see of it.
    pub(super) fn shown(&self) -> io::Contact {
        let hosted = |chain: &Chain| chain.devices().all(|device| device.hosted());
        io::Contact {
            address: self.address.clone(),
            level: self.level(),
            hosted: self.chain.as_ref().is_some_and(hosted),
            devices: self.chain.as_ref().map_or(0, |chain| chain.devices().len()),
            suspended: self.suspended,
            identity: self.chain.as_ref().map(Chain::identity),
        }
    }

    pub(super) fn record(&self) -> Record {
        write(Key::Contact(self.address.clone()), 12, |w| {
            w.maybe(self.line, |w, line| w.bytes(&line.t2.0));
            w.bool(self.line.is_some_and(|line| line.offered));
            w.maybe(self.line, |w, line| w.bytes(&line.nk.0));
            w.maybe(self.chain.as_ref(), |w, chain| w.bytes(&chain.encode()));
            w.maybe(self.proven, |w, t2| w.bytes(&t2.0)).maybe(self.proved, |w, t2| w.bytes(&t2.0));
            w.bool(self.verified).bool(self.suspended);
            w.maybe(self.pin, |w, pin| w.bytes(&pin_bytes(&pin)));
            self.tries.write(w);
            w.maybe(self.presence, |w, chosen| w.array(2).millis(chosen.at).bool(chosen.agrees));
        })
    }

    pub(super) fn restore(address: Address, record: &Record) -> Result<Self, RestoreError> {
        let (mut contact, chain) = read(record, |r| {
            let t2 = r.maybe(|r| r.fixed().map(Hash))?;
            let offered = r.bool()?;
            let nk = r.maybe(|r| r.fixed().map(NodeKey))?;
            let line = t2.zip(nk).map(|(t2, nk)| Line { t2, offered, nk });
            let chain = r.maybe(|r| r.bytes().map(<[u8]>::to_vec))?;
            let (proven, proved) = (r.maybe(|r| r.fixed().map(Hash))?, r.maybe(|r| r.fixed().map(Hash))?);
            let (verified, suspended) = (r.bool()?, r.bool()?);
            let pin = r.maybe(|r| read_pin(r.bytes()?))?;
            let tries = Tries::read(r)?;
            // Older records end here.
            let chosen = |r: &mut Reader<'_>| {
                r.array_of(2)?;
                Ok(Chosen { at: r.millis()?, agrees: r.bool()? })
            };
            let presence = if r.end().is_ok() { None } else { r.maybe(chosen)? };
            let contact =
                Self { address, line, chain: None, proven, proved, verified, pin, tries, suspended, presence };
            Ok((contact, chain))
        })?;
        contact.chain = chain.map(|bytes| Chain::decode(&record.key, &bytes)).transpose()?;
        Ok(contact)
    }
}

/// A pin, as one item of the record.
fn pin_bytes(pin: &Pin) -> Vec<u8> {
    let mut w = Writer::array_of(3);
    pin.write(&mut w);
    w.into_bytes()
}

fn read_pin(bytes: &[u8]) -> Result<Pin, Malformed> {
    let mut r = Reader::new(bytes);
    r.array_of(3)?;
    let pin = Pin::read(&mut r)?;
    r.end().map(|()| pin)
}
