//! A node: the machine, its disk, its mailboxes. What the reference node does with sockets, done with values.

use std::collections::{BTreeMap, BTreeSet};

use postline_core::fault::Misuse;
use postline_core::id::{Domain, MailId, Mailbox, NodeKey};
use postline_core::seal::{NodeIdentity, Secret};
use postline_core::server::{Input, Ours, Output, Server};
use postline_core::step::{Machine, Outbox, Store, Tick};
use postline_core::time::Millis;

use crate::disk::{Disk, DiskFull};

/// A node of the world.
#[derive(Debug)]
pub struct Node {
    /// Its one domain.
    pub domain: Domain,
    /// What survives a crash.
    pub disk: Disk,
    /// The mailboxes: what is in them survives a crash too. Mail id to bytes: putting it in twice is putting it in once.
    pub mailboxes: BTreeMap<Mailbox, BTreeMap<MailId, Vec<u8>>>,
    /// The machine; `None` while the node is down.
    pub server: Option<Server>,
    seed: u8,
    entropy: u64,
}

/// How a step ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Stepped {
    /// These effects may leave.
    Effects(Vec<Output>),
    /// The commit failed: the machine was dropped and restored, and nothing left.
    CommitFailed,
    /// The node is down.
    Down,
}

impl Node {
    /// A node for `domain`, up, with an empty disk.
    ///
    /// # Panics
    /// Where an empty disk can't be restored from.
    #[must_use]
    pub fn new(domain: &Domain, seed: u8) -> Self {
        let mut node = Self {
            domain: domain.clone(),
            disk: Disk::default(),
            mailboxes: BTreeMap::new(),
            server: None,
            seed,
            entropy: 0,
        };
        node.start();
        node
    }

    /// Its key.
    #[must_use]
    pub fn nk(&self) -> NodeKey {
        self.ours().identity.nk()
    }

    fn ours(&self) -> Ours {
        let next = NodeIdentity::public(&Secret::new([self.seed ^ 0x80; 32]));
        Ours {
            identity: NodeIdentity::new(&Secret::new([self.seed; 32]), next),
            domains: BTreeSet::from([self.domain.clone()]),
            hint: None,
            offers: true,
            generation: 1,
        }
    }

    /// Starts, or starts again, from the disk.
    #[expect(clippy::expect_used, reason = "a node that can't read its own records is a bug of the product")]
    pub fn start(&mut self) {
        let records = self.disk.records().filter(|record| record.key.restored_at_start()).cloned();
        let records: Vec<_> = records.collect();
        self.server = Some(Server::restore(self.ours(), records).expect("own records restore"));
    }

    /// Goes down at once: what wasn't committed is lost.
    pub fn crash(&mut self) {
        self.server = None;
    }

    /// One step and its commit.
    ///
    /// # Panics
    /// Where the machine calls a proper input misuse.
    #[expect(clippy::panic, reason = "a host that does as it is told must not be told that it erred")]
    pub fn step(&mut self, now: Millis, input: Input) -> Stepped {
        let Some(server) = &mut self.server else { return Stepped::Down };
        for _ in 0..8 {
            let wants = server.wants(&input);
            for key in wants {
                let record = self.disk.get(&key).filter(|record| record.expires.is_none_or(|at| at > now));
                if let Err(fault) = server.hydrate(&key, record) {
                    panic!("own record refused: {fault}");
                }
            }
        }
        self.entropy += 1;
        let mut entropy = [self.seed; 32];
        let (count, _) = entropy.split_at_mut(8);
        count.copy_from_slice(&self.entropy.to_be_bytes());
        let mut out = Outbox::new();
        match server.step(&Tick { now, entropy }, input, &mut out) {
            Ok(()) => {}
            // A report about an attempt of before a crash.
            Err(Misuse::NoSuchSend) => return Stepped::Effects(Vec::new()),
            Err(misuse) => panic!("misuse: {misuse}"),
        }
        let (records, held) = out.split();
        match self.disk.commit(&records) {
            Ok(durable) => Stepped::Effects(held.open(durable)),
            Err(DiskFull) => {
                self.start();
                Stepped::CommitFailed
            }
        }
    }

    /// When it next wants to be woken.
    #[must_use]
    pub fn deadline(&self) -> Option<Millis> {
        self.server.as_ref().and_then(Machine::deadline)
    }
}
