//! `postline demo`: two nodes on loopback, a mail, its reply, and what then is faster.
//!
//! ```text
//!   one@a.example ──submission──▶ node a ──SMTP, DKIM──▶ node b ──▶ Maildir of two@b.example
//!                                    ▲                     │
//!                                    └──────── reply ──────┘        then: link, express mails, kill and restart of b
//! ```
//!
//! Then act two, on devices (`demo/talk.rs`): sealed messages between `postline chat` processes; and act three
//! (`demo/sayings.rs`): what people do with what they said.
//!
//! Both nodes are processes of this very program, set up by `init` and reached as any mail program would reach them. The
//! result depends on trust, on mails lost and on mails doubled, never on how fast the machine is.

mod carried;
mod sayings;
mod talk;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use tokio::time::{Instant, sleep};

use crate::cli::{Demo, PartFault};
use crate::lab::{Inbox, Letter, Nodes, Person, Plan, attached};
use sayings::Sayings;
use talk::Talked;

/// How many express mails go each way, and how many ordinary ones are timed.
const EXPRESS: usize = 40;
const BY_SMTP: usize = 10;
/// How long anything may take before the demo calls it lost.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a mark may take to be on the author's record.
const MARKS: Duration = Duration::from_secs(5);

/// What the demo found, as `--json` prints it. Times in milliseconds.
#[derive(Debug, Default, Serialize)]
struct Found {
    /// What the two are to each other in the end: `L2`, or the state.
    trust: String,
    /// First mail: from its 250 to its being in the Maildir.
    first_mail_ms: f64,
    /// From the reply's 250 to the link's being up, with trust at L2 on both sides.
    link_up_ms: f64,
    /// Ordinary mails between strangers: 250 to Maildir, median.
    smtp_p50_ms: f64,
    /// Express mails: 250 to Maildir, median.
    link_p50_ms: f64,
    /// Express mails: 250 to Maildir, 99th percentile.
    link_p99_ms: f64,
    /// Mails that were acknowledged and never arrived.
    lost: usize,
    /// Mails that arrived more than once.
    duplicates: usize,
    /// Express mails whose `delivered` came back to the author's node.
    delivered_marks: usize,
    /// Express mails that were sent.
    express_mails: usize,
    /// Mails that were attached by `--eml` and arrived byte for byte.
    attachments_identical: usize,
    /// Commits (one sync each) of both nodes, for each express mail, marks and clean-up included.
    syncs_per_mail: f64,
    /// Connections that both nodes opened to each other, for each express mail.
    connections_per_mail: f64,
    /// Act two.
    talk: Talked,
    /// Act three.
    sayings: Sayings,
}

/// Runs the demo; `false` where it failed.
///
/// # Errors
/// Why it could not run.
pub fn run(demo: &Demo, json: bool) -> Result<bool, PartFault> {
    let attachments = demo.eml.iter().map(|file| Ok((file.clone(), std::fs::read(file)?)));
    let attachments: Vec<(PathBuf, Vec<u8>)> = attachments.collect::<io::Result<_>>()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let plans = [["one", "three"], ["two", "four"]].map(|users| Plan { keep: demo.keep, ..Plan::of(&users) });
        let mut nodes = Nodes::start(&std::env::current_exe()?, plans).await?;
        let mut story = Story { told: Instant::now(), quiet: json, sent: BTreeMap::new(), found: Found::default() };
        let told = tokio::select! {
            told = story.tell(&mut nodes, &attachments) => told,
            _ = tokio::signal::ctrl_c() => Err("stopped".into()),
        };
        if demo.keep && told.is_ok() {
            // The nodes outlive this program, as asked.
            let how = nodes.keep();
            writeln!(io::stdout(), "{how}")?;
        } else {
            nodes.stop().await?;
        }
        told?;
        let found = story.found;
        if json {
            writeln!(io::stdout(), "{}", serde_json::to_string(&found)?)?;
        } else {
            writeln!(io::stdout(), "\n{}\n{}\n{}", summary(&found), found.talk.summary(), found.sayings.summary())?;
        }
        let acts = found.talk.is_well() && found.sayings.is_well();
        Ok(found.trust == "L2" && found.lost == 0 && found.duplicates == 0 && acts)
    })
}

/// The demo as it goes.
struct Story {
    told: Instant,
    quiet: bool,
    /// What was acknowledged: Message-ID to recipient's mailbox.
    sent: BTreeMap<String, &'static str>,
    found: Found,
}

impl Story {
    async fn tell(&mut self, nodes: &mut Nodes, attachments: &[(PathBuf, Vec<u8>)]) -> Result<(), PartFault> {
        let mut one = Person::new("one@a.example", &nodes.a).await?;
        let mut two = Person::new("two@b.example", &nodes.b).await?;
        let mut three = Person::new("three@a.example", &nodes.a).await?;
        let (one_gets, two_gets, four_gets) = (nodes.a.inbox("one"), nodes.b.inbox("two"), nodes.b.inbox("four"));

        self.found.first_mail_ms = self.send(&mut one, &two_gets, &Letter::to("two@b.example", "hello")).await?;
        self.say(nodes, "one@a.example wrote; the mail went by SMTP and carried an offer");
        self.send(&mut two, &one_gets, &Letter::answer("one@a.example", "re-hello", "hello")).await?;
        let replied = Instant::now();
        self.say(nodes, "two@b.example answered; the answer carried an accept");
        let trust = nodes.wait_for_line(PATIENCE).await?;
        self.found.link_up_ms = ms(replied.elapsed());
        self.say(nodes, &format!("the two nodes confirmed over a link of their own: {trust}"));
        self.found.trust = if trust == "trusted" { "L2".to_owned() } else { trust };

        let mut by_smtp = Vec::new();
        for n in 0..BY_SMTP {
            let letter = Letter::to("four@b.example", &format!("stranger-{n}"));
            by_smtp.push(self.send(&mut three, &four_gets, &letter).await?);
        }
        self.found.smtp_p50_ms = percentile(&mut by_smtp, 50);
        self.say(
            nodes,
            &format!("between strangers {BY_SMTP} mails took {:.2} ms by SMTP (median)", self.found.smtp_p50_ms),
        );

        let before = nodes.counters().await?;
        let mut express = Vec::new();
        for n in 0..EXPRESS {
            let there = Letter::answer("two@b.example", &format!("there-{n}"), "re-hello");
            express.push(self.send(&mut one, &two_gets, &there).await?);
            let back = Letter::answer("one@a.example", &format!("back-{n}"), &format!("there-{n}"));
            express.push(self.send(&mut two, &one_gets, &back).await?);
        }
        sleep(Duration::from_millis(200)).await;
        let after = nodes.counters().await?;
        let mails = express.len() as f64;
        self.found.link_p50_ms = percentile(&mut express, 50);
        self.found.link_p99_ms = percentile(&mut express, 99);
        self.found.express_mails = express.len();
        self.found.syncs_per_mail = (after.commits - before.commits) as f64 / mails;
        self.found.connections_per_mail = (after.connections - before.connections) as f64 / mails;
        let (p50, p99) = (self.found.link_p50_ms, self.found.link_p99_ms);
        self.say(
            nodes,
            &format!("{} mails went over the link: {p50:.2} ms (median), {p99:.2} ms (99 %)", express.len()),
        );

        self.attach(&mut one, &two_gets, attachments).await?;

        nodes.b.kill().await?;
        self.say(nodes, "node b was killed (SIGKILL)");
        for n in 0..3 {
            self.submit(&mut one, "two", &Letter::answer("two@b.example", &format!("meanwhile-{n}"), "re-hello"))
                .await?;
        }
        nodes.b.start().await?;
        for n in 0..3 {
            two_gets.wait_for(&format!("meanwhile-{n}"), PATIENCE + PATIENCE).await?;
        }
        self.say(nodes, "node b was started again: the three mails of meanwhile are there");
        let mut two = Person::new("two@b.example", &nodes.b).await?;
        for n in 0..3 {
            self.send(&mut two, &one_gets, &Letter::answer("one@a.example", &format!("again-{n}"), "re-hello")).await?;
        }
        self.say(nodes, "and mails go both ways again");

        self.count(nodes).await?;
        self.found.talk = talk::act_two(&std::env::current_exe()?, nodes, |what| self.say(nodes, what)).await?;
        self.found.sayings = sayings::act_three(&std::env::current_exe()?, nodes, |what| self.say(nodes, what)).await?;
        Ok(())
    }

    /// Submits a mail and waits until it is in the mailbox: the milliseconds from its 250.
    async fn send(&mut self, person: &mut Person, inbox: &Inbox, letter: &Letter) -> Result<f64, PartFault> {
        let acked = self.submit(person, inbox.name, letter).await?;
        let visible = inbox.wait_for(&letter.id, PATIENCE).await?;
        Ok(ms(visible.saturating_duration_since(acked)))
    }

    async fn submit(&mut self, person: &mut Person, to: &'static str, letter: &Letter) -> Result<Instant, PartFault> {
        let acked = person.submit(letter).await?;
        self.sent.insert(letter.id.clone(), to);
        Ok(acked)
    }

    /// Sends each of the user's own mails as an attached message, and compares its bytes on arrival.
    async fn attach(
        &mut self,
        person: &mut Person,
        inbox: &Inbox,
        attachments: &[(PathBuf, Vec<u8>)],
    ) -> Result<(), PartFault> {
        for (n, (file, bytes)) in attachments.iter().enumerate() {
            let letter = Letter::carrying("two@b.example", &format!("attached-{n}"), bytes);
            self.send(person, inbox, &letter).await?;
            let arrived = inbox.read(&letter.id)?;
            if attached(&arrived).as_deref() != Some(bytes.as_slice()) {
                return Err(format!("{} did not arrive byte for byte", file.display()).into());
            }
            self.found.attachments_identical += 1;
        }
        Ok(())
    }

    /// Looks into every mailbox: what was acknowledged must be there, once.
    async fn count(&mut self, nodes: &Nodes) -> Result<(), PartFault> {
        let mut arrived: BTreeMap<(&str, String), usize> = BTreeMap::new();
        for inbox in [nodes.a.inbox("one"), nodes.b.inbox("two"), nodes.b.inbox("four")] {
            for id in inbox.ids()? {
                *arrived.entry((inbox.name, id)).or_default() += 1;
            }
        }
        self.found.lost = self.sent.iter().filter(|(id, to)| !arrived.contains_key(&(**to, (*id).clone()))).count();
        self.found.duplicates = arrived.values().map(|count| count - 1).sum();
        let express: Vec<&String> =
            self.sent.keys().filter(|id| id.starts_with("there-") || id.starts_with("back-")).collect();
        for id in express {
            let node = if id.starts_with("there-") { &nodes.a } else { &nodes.b };
            // Marks come back behind the mails, and are on the record a moment later.
            let began = Instant::now();
            let mut marked = node.was_delivered_by_link(id).await?;
            while !marked && began.elapsed() < MARKS {
                sleep(Duration::from_millis(50)).await;
                marked = node.was_delivered_by_link(id).await?;
            }
            self.found.delivered_marks += usize::from(marked);
        }
        Ok(())
    }

    fn say(&self, nodes: &Nodes, what: &str) {
        let at = ms(self.told.elapsed());
        if !self.quiet {
            // A closed terminal ends the telling, not the demo.
            let _ = writeln!(io::stdout(), "{at:>9.1} ms  {what}");
        }
        nodes.note(what);
    }
}

fn summary(found: &Found) -> String {
    format!(
        "trust {}; lost {}; doubled {}; delivered marks {} of {}; {:.2} commits and {:.3} connections an express mail",
        found.trust,
        found.lost,
        found.duplicates,
        found.delivered_marks,
        found.express_mails,
        found.syncs_per_mail,
        found.connections_per_mail
    )
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

/// The value that so many percent of the samples don't exceed (nearest rank).
fn percentile(samples: &mut [f64], percent: usize) -> f64 {
    samples.sort_by(f64::total_cmp);
    let rank = (samples.len() * percent).div_ceil(100).saturating_sub(1);
    samples.get(rank).copied().unwrap_or(f64::NAN)
}
