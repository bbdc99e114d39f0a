//! How much may happen between two people's keys: small enough to try every order of it.

use postline_core::canary::Canary;

/// What may happen, and how often.
#[derive(Clone, Copy, Debug)]
pub struct Scope {
    /// Its name, in figures.
    pub name: &'static str,
    /// The lines that nodes may tell of, by the number of their handshake; 0 is one that ended long ago.
    pub lines: &'static [u8],
    /// What each device may be told that makes a difference to it.
    pub arrivals: [u8; 2],
    /// How often each device stops in the middle, and starts from its records.
    pub crashes: [u8; 2],
    /// Whether each person locks a lost device out, and so goes over to their next key.
    pub turns: [bool; 2],
    /// Whether the second person's key is their node's at first, and is handed over to one of their own.
    pub hosted: bool,
    /// How often each person takes whatever keys the other has now.
    pub accepts: [u8; 2],
    /// Whether the two were at L3 before, over a line that ended.
    pub met: bool,
    /// Whether each knows the other's key from another device of theirs, where codes were compared.
    pub pinned: bool,
    /// Whether nodes lie and the attacker signs; else the world only loses, repeats, and delays.
    pub attacker: bool,
    /// Whether nodes are slow to take what a device makes known; else it is taken in the same step.
    pub slow: bool,
    /// A rule that is turned off, to see that the checker notices.
    pub canary: Option<Canary>,
}

impl Scope {
    /// One line, and a world that only loses.
    const PLAIN: Self = Self {
        name: "keys",
        lines: &[1],
        arrivals: [4, 4],
        crashes: [1, 1],
        turns: [false, false],
        hosted: false,
        accepts: [0, 0],
        met: false,
        pinned: false,
        attacker: false,
        slow: true,
        canary: None,
    };

    /// Two who were at L3 before, a line that ended and a new one, and nodes that lie: the one in which seeded bugs are
    /// looked for.
    pub const SMALL: Self = Self {
        name: "keys, older line",
        lines: &[0, 1],
        arrivals: [3, 3],
        crashes: [0, 0],
        turns: [false, true],
        met: true,
        attacker: true,
        slow: false,
        ..Self::PLAIN
    };

    /// What `./check` tries, each to its end.
    pub const ALL: [Self; 6] = [
        Self::PLAIN,
        Self::SMALL,
        // Nobody has met anybody: whoever's lists come first are taken for theirs.
        Self {
            name: "keys, first contact",
            arrivals: [4, 3],
            crashes: [1, 0],
            attacker: true,
            slow: false,
            ..Self::PLAIN
        },
        // What was compared on another device stands before any list.
        Self {
            name: "keys, pinned",
            arrivals: [4, 3],
            crashes: [0, 0],
            pinned: true,
            attacker: true,
            slow: false,
            ..Self::PLAIN
        },
        // Both lose a device, and lock it out.
        Self { name: "keys, turned", arrivals: [3, 3], crashes: [0, 0], turns: [true, true], ..Self::PLAIN },
        // A node's key is handed over, and people decide anew.
        Self {
            name: "keys, handed over",
            arrivals: [5, 3],
            crashes: [0, 0],
            hosted: true,
            accepts: [1, 0],
            pinned: true,
            slow: false,
            ..Self::PLAIN
        },
    ];
}
