//! The device itself, as it keeps it: its keys, its node, the person's device lists, the numbers it has used.

use crate::fault::RestoreError;
use crate::id::{Hash, NodeKey};
use crate::machine::session::device::Node;
use crate::seal::lists::Chain;
use crate::seal::tries::Tries;
use crate::seal::{AddressIdentity, DeviceIdentity, Secret};
use crate::store::{Key, Record};
use crate::time::Millis;
use crate::wire::cbor::{Malformed, Reader};
use crate::wire::memo::Choice;
use crate::wire::record::{read, write};

/// How far the device has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// It is nobody's yet.
    #[default]
    New,
    /// Its node knows it; it is on no list yet.
    Known,
    /// It is one of the person's.
    Enrolled,
    /// It was one, or is a copy of one: it says nothing more.
    Over,
}

/// What the device keeps of itself.
#[derive(Debug, Default)]
pub(super) struct Own {
    pub(super) stage: Stage,
    /// Its key: made when it is first needed.
    pub(super) device: Option<DeviceIdentity>,
    /// The person's key.
    pub(super) person: Option<AddressIdentity>,
    /// The key that follows the person's: here only until the backup that holds it was put away.
    pub(super) next: Option<Secret<32>>,
    /// The keys that the list which is under way goes over to: the person's, and the one that follows it.
    pub(super) turning: Option<(Secret<32>, Secret<32>)>,
    /// The key of what the person archives for their own eyes.
    pub(super) archive: Option<Secret<32>>,
    /// How often a code of a new device was tried.
    pub(super) tries: Tries,
    /// The person's device lists.
    pub(super) chain: Option<Chain>,
    /// The node.
    pub(super) node: Option<Node>,
    /// A list of ours that the node hasn't taken yet.
    pub(super) unsaid: Option<Vec<u8>>,
    /// The greatest number of a post that is settled: answered, or given up. The conversations' records say it too.
    pub(super) settled: u64,
    /// The greatest number that something was posted under: what the device says in its Hello. Not kept by itself: the
    /// record of the draft has it before the post leaves, and what it is settled by later.
    pub(super) posted: u64,
    /// The greatest number of all, of what is still to be posted too. Not kept: a device that starts finds it again.
    pub(super) number: u64,
    /// The last number that was drawn, in the step that drew it.
    pub(super) fresh: Option<u64>,
    /// How many key packages wait at the node, as far as is known.
    pub(super) stock: u64,
    /// When packages were last given to the node; `None`: never.
    pub(super) stocked: Option<Millis>,
    /// Whether a session is to be kept.
    pub(super) connect: bool,
    /// Whether the person keeps to themselves what they read, where they chose nothing else for a conversation.
    pub(super) quiet: bool,
    /// When they chose that; `None`: never.
    pub(super) quiet_at: Option<Millis>,
    /// Whether the person's other devices have still to hear of it.
    pub(super) untold: bool,
    /// Whether this device has still to ask them what they know.
    pub(super) asks: bool,
    /// Whether it was asked, and hasn't told all.
    pub(super) tells_all: bool,
    /// Whether another device told of a conversation that wasn't here.
    pub(super) passed_over: bool,
    /// Whether others may see that the person writes.
    pub(super) typing: bool,
    /// Whether the person agrees to be seen by contacts that are new.
    pub(super) seen: bool,
}

impl Own {
    /// What the person chose about telling what they read, where they chose nothing else for a conversation.
    pub(super) fn choice(&self) -> Option<Choice> {
        self.quiet_at.map(|at| Choice { at, tells: !self.quiet })
    }

    pub(super) fn record(&self) -> Record {
        write(Key::Own, 25, |w| {
            w.u64(self.stage as u64);
            w.maybe(self.device.as_ref(), |w, device| w.bytes(device.seed().expose()));
            w.maybe(self.person.as_ref(), |w, person| w.bytes(person.seed().expose()));
            w.maybe(self.next.as_ref(), |w, next| w.bytes(next.expose()));
            w.maybe(self.chain.as_ref(), |w, chain| w.bytes(&chain.encode()));
            w.maybe(self.node.as_ref(), |w, node| w.bytes(&node.nk.0));
            w.maybe(self.node.as_ref().and_then(|node| node.next), |w, next| w.bytes(&next.0));
            w.maybe(self.unsaid.as_deref(), |w, bytes| w.bytes(bytes));
            w.u64(self.settled).u64(self.stock);
            w.maybe(self.stocked, |w, at| w.millis(at)).bool(self.connect);
            w.maybe(self.archive.as_ref(), |w, key| w.bytes(key.expose()));
            self.tries.write(w);
            w.maybe(self.turning.as_ref(), |w, (ak, _)| w.bytes(ak.expose()));
            w.maybe(self.turning.as_ref(), |w, (_, next)| w.bytes(next.expose()));
            w.bool(self.quiet);
            w.bool(self.typing).bool(self.seen);
            w.maybe(self.quiet_at, |w, at| w.millis(at)).bool(self.untold);
            w.bool(self.asks).bool(self.tells_all).bool(self.passed_over);
        })
    }

    pub(super) fn restore(record: &Record) -> Result<Self, RestoreError> {
        let (mut own, chain) = read(record, |r| {
            let stage = match r.u64()? {
                0 => Stage::New,
                1 => Stage::Known,
                2 => Stage::Enrolled,
                3 => Stage::Over,
                _ => return Err(Malformed("a stage")),
            };
            let device = r.maybe(|r| r.fixed().map(|seed| DeviceIdentity::new(&Secret::new(seed))))?;
            let person = r.maybe(|r| r.fixed().map(|seed| AddressIdentity::new(&Secret::new(seed))))?;
            let next = r.maybe(|r| r.fixed().map(Secret::new))?;
            let chain = r.maybe(|r| r.bytes().map(<[u8]>::to_vec))?;
            let nk = r.maybe(|r| r.fixed().map(NodeKey))?;
            let following = r.maybe(|r| r.fixed().map(Hash))?;
            let node = nk.map(|nk| Node { nk, next: following });
            let unsaid = r.maybe(|r| r.bytes().map(<[u8]>::to_vec))?;
            // Older devices reserved numbers ahead: this is the last of those then.
            let (settled, stock) = (r.u64()?, r.u64()?);
            let (stocked, connect) = (r.maybe(|r| r.millis())?, r.bool()?);
            let archive = r.maybe(|r| r.fixed().map(Secret::new))?;
            let tries = Tries::read(r)?;
            let secret = |r: &mut Reader<'_>| r.maybe(|r| r.fixed().map(Secret::new));
            let turning = secret(r)?.zip(secret(r)?);
            let (quiet, typing, seen) = (r.bool()?, r.bool()?, r.bool()?);
            // Records of before memos say nothing of them.
            let (quiet_at, [untold, asks, tells_all, passed_over]) = if r.end().is_ok() {
                (quiet.then_some(Millis(0)), [false; 4])
            } else {
                (r.maybe(|r| r.millis())?, [r.bool()?, r.bool()?, r.bool()?, r.bool()?])
            };
            let own = Self {
                stage,
                device,
                person,
                next,
                archive,
                tries,
                turning,
                chain: None,
                node,
                unsaid,
                settled,
                posted: settled,
                number: settled,
                fresh: None,
                stock,
                stocked,
                connect,
                quiet,
                quiet_at,
                untold,
                asks,
                tells_all,
                passed_over,
                typing,
                seen,
            };
            Ok((own, chain))
        })?;
        own.chain = chain.map(|bytes| Chain::decode(&record.key, &bytes)).transpose()?;
        Ok(own)
    }
}
