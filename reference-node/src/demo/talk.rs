//! Act two: two people, three devices, sealed. Each device is a `postline chat` of its own; what it says comes as JSON.
//!
//! ```text
//!   one: laptop ──┐                                   ┌── two: laptop
//!   one: phone ───┴─▶ node a ══ link, from act one ══ node b
//!
//!   enrol, join by code ─▶ talk both ways, timed ─▶ the phone leaves, and comes back ─▶ codes are compared
//! ```

use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{ms, percentile};
use crate::cli::PartFault;
use crate::lab::{Nodes, Seat, Terminal};

/// How many sealed messages are timed, each way.
const SEALED: usize = 20;
/// How many are said while the phone is away.
const MEANWHILE: usize = 3;
/// How long anything may take before the demo calls it lost.
const PATIENCE: Duration = Duration::from_secs(60);

/// What act two found. Times in milliseconds.
#[derive(Debug, Default, Serialize)]
pub(super) struct Talked {
    /// Devices that took part.
    devices: usize,
    /// What the two are to each other's devices in the end: 3, keys proven; 4, codes compared.
    level: u64,
    /// Sealed messages that were said.
    messages: usize,
    /// Of these, those that a device of the other never showed.
    lost: usize,
    /// Those that a device showed twice.
    duplicates: usize,
    /// From typing a line on one's laptop to its being printed on two's: median.
    sealed_p50_ms: f64,
    /// The same: 99th percentile.
    sealed_p99_ms: f64,
    /// From typing a line to the author's seeing it marked `delivered`: median.
    delivered_p50_ms: f64,
    /// Messages that the author saw marked `delivered`.
    delivered_marks: usize,
    /// What the phone was told of what was said while it was away.
    caught_up: usize,
    /// Whether both compared codes, and they were the same.
    verified: bool,
}

impl Talked {
    /// Whether all is as it must be.
    pub(super) const fn is_well(&self) -> bool {
        self.lost == 0
            && self.duplicates == 0
            && self.delivered_marks == self.messages
            && self.caught_up == MEANWHILE
            && self.verified
            && self.level == 4
    }

    pub(super) fn summary(&self) -> String {
        format!(
            "sealed: {} devices, {} messages, lost {}, doubled {}, delivered marks {}; {:.2} ms from device to device \
             (median), {:.2} ms until delivered; codes {}",
            self.devices,
            self.messages,
            self.lost,
            self.duplicates,
            self.delivered_marks,
            self.sealed_p50_ms,
            self.delivered_p50_ms,
            if self.verified { "compared" } else { "not compared" }
        )
    }
}

/// Plays act two on nodes that have a line; `say` tells how it goes.
pub(super) async fn act_two(program: &Path, nodes: &Nodes, say: impl Fn(&str)) -> Result<Talked, PartFault> {
    let mut talked = Talked { devices: 3, ..Talked::default() };
    let seat = |address, node, dir: &str| Seat::new(program, address, node, nodes.dir().join(dir));
    let laptop = seat("one@a.example", &nodes.a, "one-laptop").await?;
    let phone = seat("one@a.example", &nodes.a, "one-phone").await?;
    let other = seat("two@b.example", &nodes.b, "two-laptop").await?;
    laptop.enrol().await?;
    other.enrol().await?;
    say("one and two enrolled a device each, by their mailboxes' passwords");

    let (mut one, mut two) = (laptop.chat("two@b.example")?, other.chat("one@a.example")?);
    keys(&mut one).await?;
    keys(&mut two).await?;
    hello(&mut one, &mut two).await?;
    say("their keys are proven over the line of act one, and the first words are sealed");

    phone.enrol().await?;
    let mut small = join(&phone, &mut one).await?;
    // What is said until it is in the conversation is not for it: so it is asked to hear something.
    until_it_hears(&mut small, &mut two).await?;
    say("one's phone came in by a code that it showed, and the laptop took");

    let (mut there, mut marks) = (Vec::new(), Vec::new());
    for n in 0..2 * SEALED {
        let text = format!("sealed {n}");
        let (from, to) = if n % 2 == 0 { (&mut one, &mut two) } else { (&mut two, &mut one) };
        let (id, typed) = write(from, &text).await?;
        talked.messages += 1;
        match to.hears(&text, PATIENCE).await {
            Ok((_, shown)) => there.push(ms(shown.saturating_duration_since(typed))),
            Err(_) => talked.lost += 1,
        }
        if let Ok((_, marked)) = from.marked(&id, "delivered", PATIENCE).await {
            talked.delivered_marks += 1;
            marks.push(ms(marked.saturating_duration_since(typed)));
        }
        // The author's other device, or the reader's, has it too.
        if small.hears(&text, PATIENCE).await.is_err() {
            talked.lost += 1;
        }
    }
    talked.sealed_p50_ms = percentile(&mut there, 50);
    talked.sealed_p99_ms = percentile(&mut there, 99);
    talked.delivered_p50_ms = percentile(&mut marks, 50);
    say(&format!(
        "{} sealed messages took {:.2} ms from device to device (median), {:.2} ms until `delivered` was back",
        talked.messages, talked.sealed_p50_ms, talked.delivered_p50_ms
    ));

    talked.duplicates += small.end().await?;
    for n in 0..MEANWHILE {
        let (id, _) = write(&mut two, &format!("meanwhile {n}")).await?;
        talked.messages += 1;
        one.hears(&format!("meanwhile {n}"), PATIENCE).await?;
        two.marked(&id, "delivered", PATIENCE).await?;
        talked.delivered_marks += 1;
    }
    let mut small = phone.chat("two@b.example")?;
    for n in 0..MEANWHILE {
        talked.caught_up += usize::from(small.hears(&format!("meanwhile {n}"), PATIENCE).await.is_ok());
    }
    say("the phone was away, came back, and has what was said meanwhile");

    talked.verified = compare(&mut one, &mut two).await?;
    talked.level = if talked.verified { 4 } else { 3 };
    say("one and two compared codes: the same");
    for terminal in [one, two, small] {
        talked.duplicates += terminal.end().await?;
    }
    Ok(talked)
}

/// Says something with a salt that is known here: gives it, and when it was typed.
async fn write(from: &mut Terminal, text: &str) -> Result<(String, Instant), PartFault> {
    let name = postline_core::store::sha256(&[text.as_bytes(), &from.pid().unwrap_or(0).to_be_bytes()]);
    let salt: String = name.to_string().chars().take(32).collect();
    let typed = from.say(&json!({ "do": "write", "text": text, "salt": salt }).to_string()).await?;
    Ok((salt, typed))
}

/// Waits until the other's keys are proven.
async fn keys(terminal: &mut Terminal) -> Result<(), PartFault> {
    let is = |contact: &Value| contact.get("level").and_then(Value::as_u64) >= Some(3);
    terminal.wait_for("contact", PATIENCE, is).await.map(drop)
}

/// The first words make the conversation.
async fn hello(one: &mut Terminal, two: &mut Terminal) -> Result<(), PartFault> {
    one.say("hello").await?;
    two.hears("hello", PATIENCE).await.map(drop)
}

/// Lets a new device in: it shows a code, which is typed on the old one.
async fn join(phone: &Seat, old: &mut Terminal) -> Result<Terminal, PartFault> {
    let mut joining = phone.joining()?;
    let (shown, _) = joining.wait_for("code", PATIENCE, |_| true).await?;
    let code = shown.get("code").and_then(Value::as_str).ok_or("no code")?;
    old.say(&json!({ "do": "add", "code": code }).to_string()).await?;
    joining.wait_for("enrolled", PATIENCE, |_| true).await?;
    joining.end().await?;
    phone.chat("two@b.example")
}

/// Says things until a device that is new in the conversation hears one: then it is in, and hears all that follows.
async fn until_it_hears(new: &mut Terminal, other: &mut Terminal) -> Result<(), PartFault> {
    for n in 0..60 {
        other.say(&format!("is anybody new there {n}")).await?;
        if new.hears(&format!("is anybody new there {n}"), Duration::from_secs(1)).await.is_ok() {
            return Ok(());
        }
    }
    Err("the phone never came into the conversation".into())
}

/// Both compare the codes that they are shown, and say so.
async fn compare(one: &mut Terminal, two: &mut Terminal) -> Result<bool, PartFault> {
    one.say("/verify").await?;
    two.wait_for("compare_wanted", PATIENCE, |_| true).await?;
    two.say("/verify").await?;
    let (here, _) = one.wait_for("code", PATIENCE, |_| true).await?;
    let (there, _) = two.wait_for("code", PATIENCE, |_| true).await?;
    let code = |shown: &Value| shown.get("code").cloned();
    if code(&here).is_none() || code(&here) != code(&there) {
        return Ok(false);
    }
    one.say("/same").await?;
    two.say("/same").await?;
    one.wait_for("verified", PATIENCE, |_| true).await?;
    two.wait_for("verified", PATIENCE, |_| true).await?;
    Ok(true)
}
