//! The faults of a run: a list of filters, each with its own odds, all of them off in calm weather.

use std::collections::BTreeMap;

use crate::rng::Rng;

/// What can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A commit fails, and nothing of it is on the disk.
    CommitFails,
    /// A commit fails, and all of it is on the disk.
    CommitLies,
    /// The node goes down after a step, before its commit.
    CrashBeforeCommit,
    /// The node goes down after a commit, before any effect has left.
    CrashAfterCommit,
    /// The node goes down when some of a batch's effects have left.
    CrashAmongEffects,
    /// The node goes down again as soon as it is up.
    CrashLoop,
    /// Steps wait for each other and share a commit.
    Batches,
    /// The host forgets what isn't in use.
    Evicts,
    /// A connection ends, with what was on its way.
    Cut,
    /// What is said in one direction arrives no more, and nobody is told.
    HalfOpen,
    /// The other end of a connection isn't told that a node went down.
    NoReset,
    /// A dial meets nobody.
    Unreachable,
    /// Frames take long.
    SlowLink,
    /// Two nodes don't reach each other, or one of them the other.
    Partition,
    /// A relay takes the mail, and brings it in its own time.
    Relayed,
    /// A relay takes days.
    Delayed,
    /// A relay brings it twice.
    Duplicated,
    /// A relay adds a footer, or changes a field.
    Rewritten,
    /// A server says: not now.
    SmtpLater,
    /// A server has the mail, and the sender never hears of it.
    AnswerLost,
    /// DNS doesn't answer for now.
    DnsTemporary,
    /// A mailbox can't take a mail for now.
    MailboxLater,
    /// A clock jumps, forward or back.
    ClockJumps,
    /// A node is started from an old backup, and says so.
    Backup,
    /// A node is started from an old backup, and nobody noticed.
    Clone,
    /// A node has one valid key and no manners.
    Byzantine,
    /// Somebody forges, copies and replays mails.
    Forger,
    /// Somebody opens connections and says nothing, or nonsense.
    Flood,
    /// Nodes change their keys to those that they announced.
    KeyRotates,
    /// A node changes its key to one that nobody was told of.
    KeyChanges,
    /// Nodes serve several domains.
    Domains,
    /// A node stands still for a while, and goes on as if nothing had been.
    Pauses,
    /// A clock runs faster or slower than time.
    Drifts,
    /// At a crash, pieces of bodies that nobody had synced are short, or have holes.
    TearsPieces,
    /// Bits flip in what a disk keeps.
    Rots,
    /// Somebody plays what was said on one connection again on another.
    Replayed,
    /// A node is started from a copy of its store, and its operator says so, while the old one runs on.
    Twin,
}

impl Fault {
    /// All but those of names and hosts, with the odds, per thousand occasions, that a run that has them draws from.
    pub const ALL: [(Self, u64); 28] = [
        (Self::CommitFails, 40),
        (Self::CommitLies, 20),
        (Self::CrashBeforeCommit, 25),
        (Self::CrashAfterCommit, 25),
        (Self::CrashAmongEffects, 25),
        (Self::CrashLoop, 500),
        (Self::Batches, 900),
        (Self::Evicts, 600),
        (Self::Cut, 60),
        (Self::HalfOpen, 40),
        (Self::NoReset, 700),
        (Self::Unreachable, 500),
        (Self::SlowLink, 500),
        (Self::Partition, 1_000),
        (Self::Relayed, 700),
        (Self::Delayed, 300),
        (Self::Duplicated, 300),
        (Self::Rewritten, 300),
        (Self::SmtpLater, 400),
        (Self::AnswerLost, 200),
        (Self::DnsTemporary, 600),
        (Self::MailboxLater, 300),
        (Self::ClockJumps, 1_000),
        (Self::Backup, 1_000),
        (Self::Clone, 1_000),
        (Self::Byzantine, 300),
        (Self::Forger, 1_000),
        (Self::Flood, 1_000),
    ];

    /// What may happen to keys and domains, with how many runs of a thousand have it.
    const NAMES: [(Self, u64); 3] = [(Self::KeyRotates, 300), (Self::KeyChanges, 100), (Self::Domains, 250)];

    /// What may happen to hosts and their disks, with how many runs of a thousand have it.
    const HOSTS: [(Self, u64); 6] = [
        (Self::Pauses, 150),
        (Self::Drifts, 150),
        (Self::TearsPieces, 150),
        (Self::Rots, 60),
        (Self::Replayed, 100),
        (Self::Twin, 150),
    ];
}

/// The faults that are on, and how often each strikes in a thousand occasions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Weather(BTreeMap<Fault, u64>);

impl Weather {
    /// Nothing goes wrong.
    #[must_use]
    pub const fn calm() -> Self {
        Self(BTreeMap::new())
    }

    /// A seed's own: some of the faults, none too often.
    pub fn of(rng: &mut Rng) -> Self {
        let share = [0, 150, 400].get(rng.index(3)).copied().unwrap_or_default();
        let rare = |fault| matches!(fault, Fault::Backup | Fault::Clone | Fault::CrashLoop);
        let mut on = BTreeMap::new();
        for (fault, most) in Fault::ALL {
            let (drawn, odds) = (rng.chance(if rare(fault) { share / 3 } else { share }), 1 + rng.below(most));
            if drawn {
                on.insert(fault, odds);
            }
        }
        Self(on)
    }

    /// The same, with what may happen to keys and domains. Drawn by itself, so that a seed keeps what it had before.
    #[must_use]
    pub fn and_names(self, rng: &mut Rng) -> Self {
        let drawn = Fault::NAMES.into_iter().filter(|(_, per_mille)| rng.chance(*per_mille));
        drawn.fold(self, |weather, (fault, _)| weather.with(fault, 1_000))
    }

    /// The same, with what may happen to hosts. Drawn by itself too.
    #[must_use]
    pub fn and_hosts(self, rng: &mut Rng) -> Self {
        let drawn = Fault::HOSTS.into_iter().filter(|(_, per_mille)| rng.chance(*per_mille));
        drawn.fold(self, |weather, (fault, _)| weather.with(fault, 1_000))
    }

    /// The same, with one more.
    #[must_use]
    pub fn with(mut self, fault: Fault, per_mille: u64) -> Self {
        self.0.insert(fault, per_mille);
        self
    }

    /// The same, with one less.
    #[must_use]
    pub fn without(mut self, fault: Fault) -> Self {
        self.0.remove(&fault);
        self
    }

    /// Whether a fault is among them.
    #[must_use]
    pub fn has(&self, fault: Fault) -> bool {
        self.0.contains_key(&fault)
    }

    /// Whether a fault strikes on this occasion.
    pub fn strikes(&self, fault: Fault, rng: &mut Rng) -> bool {
        self.0.get(&fault).is_some_and(|odds| rng.chance(*odds))
    }
}

impl std::fmt::Display for Weather {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let faults: Vec<String> = self.0.iter().map(|(fault, odds)| format!("{fault:?} {odds}")).collect();
        f.write_str(if faults.is_empty() { "calm" } else { "" })?;
        f.write_str(&faults.join(", "))
    }
}
