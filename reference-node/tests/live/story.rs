//! What happens between people at the three domains, told in order on one set of stacks. Each part leaves the world as
//! the next one finds it: nodes up, queues empty.

mod lines;
mod outages;
mod sealed;

use std::time::{Duration, Instant};

use crate::ledger::{Ledger, of};
use crate::machine::wait_for;
use crate::people::{Got, Letter, arrives, find};
use crate::site::World;

/// Everybody.
const PEOPLE: [&str; 5] = ["one@a.example", "three@a.example", "two@b.example", "four@b.example", "seven@c.example"];
const ONE: &str = PEOPLE[0];
const THREE: &str = PEOPLE[1];
const TWO: &str = PEOPLE[2];
const FOUR: &str = PEOPLE[3];
const SEVEN: &str = PEOPLE[4];

/// The world, and what was promised in it.
pub(crate) struct Story {
    pub(crate) world: World,
    ledger: Ledger,
    began: Instant,
}

impl Story {
    pub(crate) fn new(world: World) -> Self {
        Self { world, ledger: Ledger::default(), began: Instant::now() }
    }

    /// Says where the story is.
    pub(crate) fn say(&self, what: &str) {
        println!("{:>6.1} s  {what}", self.began.elapsed().as_secs_f64());
    }

    /// Submits a mail, which must be taken: when it was.
    fn submit(&mut self, letter: &Letter) -> Instant {
        let at = letter.submit(of(&self.world, letter.from), self.world.dir.path());
        self.ledger.acknowledged(letter);
        at.unwrap_or_else(|said| panic!("{} was not taken:\n{said}", letter.id))
    }

    /// Submits a mail, and waits until it is in every mailbox: how long that took.
    fn send(&mut self, letter: &Letter) -> Duration {
        let taken = self.submit(letter);
        let arrived = letter.to.iter().map(|to| arrives(of(&self.world, to), to, &letter.id)).max().unwrap();
        arrived.saturating_duration_since(taken)
    }

    /// A mail as its reader has it.
    fn read(&self, who: &str, id: &str) -> Got {
        find(of(&self.world, who), who, id)
    }

    /// By what a mail came to the node of who reads it.
    fn came_by(&self, who: &str, id: &str) -> String {
        let node = of(&self.world, who).node();
        let arrived = |line: &serde_json::Value| line["event"] == "arrived" && line["to"].to_string().contains(who);
        wait_for(&format!("a trace of {id}"), || {
            let events = node.trace(id);
            let line =
                events.iter().find(|line| arrived(line)).or(events.iter().find(|line| line["event"] == "arrived"))?;
            Some(line["carrier"].as_str()?.to_owned())
        })
    }

    /// What two people are to each other, by their nodes.
    fn trust(&self, one: &str, other: &str) -> [String; 2] {
        [of(&self.world, one).node().trust(one, other), of(&self.world, other).node().trust(other, one)]
    }

    /// Waits until two people have a line, or have none.
    fn wait_for_trust(&self, one: &str, other: &str, want: [&str; 2]) {
        wait_for(&format!("{one} and {other} to be {want:?}"), || (self.trust(one, other) == want).then_some(()));
    }

    /// What was acknowledged must be there, once.
    pub(crate) fn count(&self) {
        self.world.settled();
        let found = self.ledger.count(&self.world, &PEOPLE);
        println!("figure live.mails {}", found.acknowledged);
        println!("figure live.lost {}", found.lost.len());
        println!("figure live.doubled {}", found.doubled.len());
        assert!(found.lost.is_empty(), "lost: {:?}", found.lost);
        assert!(found.foreign.is_empty(), "reports of failure, and nothing failed: {:?}", found.foreign);
        assert!(found.doubled.len() <= outages::CUT_OFF, "doubled: {:?}", found.doubled);
    }
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}
