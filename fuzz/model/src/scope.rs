//! How much may happen in one model: small enough to try every order of it.

use postline_core::canary::Canary;

/// What may happen, and how often.
#[derive(Clone, Copy, Debug)]
pub struct Scope {
    /// Its name, in figures.
    pub name: &'static str,
    /// The mails that each of the two may write.
    pub mails: [u8; 2],
    /// The mails that each of the two may get; what is lost or refused doesn't count.
    pub arrivals: [u8; 2],
    /// How far clocks may go: 1 is less than a day, 2 the end of every handshake and question, 3 that of every offer.
    pub clock: u8,
    /// How often each may block, unblock, or be denied.
    pub turns: [u8; 2],
    /// Whether people also write to the attacker.
    pub also_to_mallory: bool,
    /// Whether the attacker is a correspondent of both, and a user of both domains.
    pub accounts: bool,
    /// Whether the attacker forges mails and dials; else the world is only lossy.
    pub attacker: bool,
    /// A rule that is turned off, to see that the checker notices.
    pub canary: Option<Canary>,
    /// Whether DKIM passes for every mail, to see that the checker notices.
    pub lying_oracle: bool,
}

impl Scope {
    /// One mail each, and a world that only loses.
    const PLAIN: Self = Self {
        name: "plain",
        mails: [1, 1],
        arrivals: [1, 1],
        clock: 0,
        turns: [0, 0],
        also_to_mallory: false,
        accounts: false,
        attacker: false,
        canary: None,
        lying_oracle: false,
    };

    /// A mail and its reply, and an attacker with accounts: the one in which seeded bugs are looked for.
    pub const SMALL: Self = Self { name: "small", accounts: true, attacker: true, ..Self::PLAIN };

    /// What `./check` tries, each to its end.
    pub const ALL: [Self; 7] = [
        Self::SMALL,
        // An attacker who can wait until everything has ended.
        Self { name: "patient", arrivals: [2, 1], clock: 3, attacker: true, ..Self::PLAIN },
        // Offers cross, and the attacker is there.
        Self { name: "crossed", mails: [2, 2], clock: 1, attacker: true, ..Self::PLAIN },
        // One offer goes to the attacker too, who writes to both.
        Self { name: "known", mails: [2, 1], accounts: true, also_to_mallory: true, attacker: true, ..Self::PLAIN },
        // Everything comes too late, twice, or in another order.
        Self { name: "late", mails: [2, 1], arrivals: [2, 2], clock: 3, ..Self::PLAIN },
        // People block each other and think again; lines are denied.
        Self { name: "blocked", mails: [2, 2], arrivals: [2, 2], turns: [2, 2], ..Self::PLAIN },
        Self { name: "blocked, attacked", mails: [2, 1], clock: 1, turns: [1, 1], attacker: true, ..Self::PLAIN },
    ];
}
