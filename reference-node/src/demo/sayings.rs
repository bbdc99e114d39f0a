//! Act three: what two people do with what they said. Each thing is done once, and in the end both see the same.
//!
//! ```text
//!   one                                   two
//!   a message ──────────────────────────▶ is here, and writes: seen where both agree
//!   is here ◀───────────────────────────▶ an answer, a thread begun at it
//!   other words for the message ────────▶ a sign at it, and one that is taken back
//!   a message, taken back
//!   a message that ends once it is read ▶ read; then it is over, for both
//!   a mention ──────────────────────────▶ a pin of it, and one that is taken off
//!   ── both ask for what there is now, and for its snapshot: alike? ── both look for what was taken back: nothing
//!   a file ─────────────────────────────▶ fetched, compared (`carried`)
//! ```

use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use super::carried::{Carried, carry};
use super::ms;
use crate::cli::PartFault;
use crate::lab::{Nodes, Seat, Terminal};

/// How long anything may take before the demo calls it lost.
const PATIENCE: Duration = Duration::from_secs(60);
/// What is said and forgotten once it is read.
const FLEETING: &str = "fleeting words";
/// What is said and taken back.
const REGRETTED: &str = "regrettable words";

/// What act three found.
#[derive(Debug, Default, Serialize)]
pub(super) struct Sayings {
    /// What was done, in order.
    played: Vec<&'static str>,
    /// From the second of the two agreeing to be seen to each seeing that the other is here.
    here_ms: f64,
    /// From the one beginning to write to the other seeing it.
    typing_ms: f64,
    /// Whether both saw the same in the end.
    alike: bool,
    /// The hash of all that both see, where it is one.
    snapshot: Option<String>,
    /// Whether what stayed was found on both devices, and what was taken back on neither.
    searched: bool,
    /// What became of a file.
    file: Carried,
}

impl Sayings {
    /// Whether all is as it must be.
    pub(super) const fn is_well(&self) -> bool {
        self.alike && self.snapshot.is_some() && self.searched && self.file.is_well()
    }

    pub(super) fn summary(&self) -> String {
        let (views, search) =
            (if self.alike { "alike" } else { "DIFFERENT" }, if self.searched { "right" } else { "WRONG" });
        let snapshot = self.snapshot.as_deref().and_then(|hash| hash.get(..16)).unwrap_or("of TWO hashes");
        let file = self.file.summary();
        format!(
            "said: {}; both views {views}, snapshot {snapshot}; search {search}; seen to be here after {:.2} ms, to write after {:.2} ms\n{file}",
            self.played.join(", "),
            self.here_ms,
            self.typing_ms
        )
    }
}

/// Plays act three on nodes that have a line, with the devices of act two; `say` tells how it goes.
pub(super) async fn act_three(program: &Path, nodes: &Nodes, say: impl Fn(&str)) -> Result<Sayings, PartFault> {
    let seat = |address, node, dir: &str| Seat::new(program, address, node, nodes.dir().join(dir));
    let here = seat("one@a.example", &nodes.a, "one-laptop").await?;
    let there = seat("two@b.example", &nodes.b, "two-laptop").await?;
    let (mut one, mut two) = (here.chat("two@b.example")?, there.chat("one@a.example")?);
    let mut played = Vec::new();

    let lunch = said(&mut one, &mut two, "lunch at one?", "lunch at one?").await?;
    played.push("message");
    let (here_ms, typing_ms) = whispered(&mut one, &mut two).await?;
    played.extend(["presence", "typing"]);
    say("both agreed to be seen: each sees that the other is here, and one that two writes");
    let yes = said(&mut two, &mut one, &format!("/reply {lunch} gladly"), "gladly").await?;
    played.push("answer");
    said(&mut two, &mut one, &format!("/thread {yes} and where?"), "and where?").await?;
    played.push("thread");
    one.say(&format!("/edit {lunch} lunch at two?")).await?;
    for terminal in [&mut one, &mut two] {
        becomes(terminal, lunch, "edited").await?;
    }
    played.push("edit");
    for (line, sign, shown) in [("react", "👍", true), ("react", "🎉", true), ("unreact", "🎉", false)] {
        two.say(&format!("/{line} {lunch} {sign}")).await?;
        for terminal in [&mut one, &mut two] {
            let is =
                |event: &Value| text(event, "sign") == Some(sign) && event.get("shown") == Some(&Value::Bool(shown));
            terminal.wait_for("reacted", PATIENCE, is).await?;
        }
    }
    played.extend(["reaction", "reaction taken back"]);
    let regretted = said(&mut one, &mut two, REGRETTED, REGRETTED).await?;
    one.say(&format!("/retract {regretted}")).await?;
    for terminal in [&mut one, &mut two] {
        becomes(terminal, regretted, "retracted").await?;
    }
    played.push("retract");
    let fleeting = said(&mut one, &mut two, &format!("/expire-read 1s {FLEETING}"), FLEETING).await?;
    two.say(&format!("/read {fleeting}")).await?;
    one.wait_for("mark", PATIENCE, |mark| place(mark) == Some(lunch) && text(mark, "mark") == Some("read")).await?;
    played.push("read");
    for terminal in [&mut one, &mut two] {
        becomes(terminal, fleeting, "expired").await?;
    }
    played.push("expiry");
    pins_and_mentions(&mut one, &mut two).await?;
    played.extend(["mention", "pin", "pin taken off"]);
    say("they answered, edited, reacted, took back, read, mentioned and pinned; each of it once");

    let alike = view(&mut one).await? == view(&mut two).await? && pins(&mut one).await? == pins(&mut two).await?;
    let (ones, twos) = (snapshot(&mut one).await?, snapshot(&mut two).await?);
    let snapshot = (ones == twos).then_some(ones);
    let mut searched = true;
    for terminal in [&mut one, &mut two] {
        let (stays, gone) = (hits(terminal, "lunch two").await?, hits(terminal, "regret*").await?);
        searched &= stays == 1 && gone == 0 && hits(terminal, "fleeting").await? == 0;
    }
    say(if alike && snapshot.is_some() { "both see the same" } else { "they DON'T see the same" });
    let file = carry(nodes.dir(), &mut one, &mut two).await?;
    played.push("file");
    say("a file went from one to the other, and went with its message");
    one.end().await?;
    two.end().await?;
    Ok(Sayings { played, here_ms, typing_ms, alike, snapshot, searched, file })
}

/// Both agree to be seen, and each sees that the other is here; then two writes, and one sees that: gives how long each took,
/// in milliseconds.
async fn whispered(one: &mut Terminal, two: &mut Terminal) -> Result<(f64, f64), PartFault> {
    one.say("/presence on").await?;
    one.wait_for("agreement", PATIENCE, |said| said.get("agrees") == Some(&Value::Bool(true))).await?;
    let agreed = two.say("/presence on").await?;
    let mut here_ms: f64 = 0.0;
    for terminal in [&mut *one, &mut *two] {
        let (_, seen) = terminal.wait_for("presence", PATIENCE, |seen| text(seen, "is") == Some("here")).await?;
        here_ms = here_ms.max(ms(seen.saturating_duration_since(agreed)));
    }
    two.say("/typing on").await?;
    let began = two.say("/typing").await?;
    let writes =
        |seen: &Value| text(seen, "who") == Some("two@b.example") && seen.get("now") == Some(&Value::Bool(true));
    let (_, seen) = one.wait_for("typing", PATIENCE, writes).await?;
    Ok((here_ms, ms(seen.saturating_duration_since(began))))
}

fn text<'v>(event: &'v Value, field: &str) -> Option<&'v str> {
    event.get(field).and_then(Value::as_str)
}

fn place(event: &Value) -> Option<u64> {
    event.get("seq").and_then(Value::as_u64)
}

/// Types a line, and waits until the other hears its words: gives their place.
async fn said(from: &mut Terminal, to: &mut Terminal, line: &str, words: &str) -> Result<u64, PartFault> {
    from.say(line).await?;
    let (said, _) = to.hears(words, PATIENCE).await?;
    let seq = place(&said).ok_or("no place")?;
    // Where it has got further by then, that is said.
    let is =
        |mark: &Value| place(mark) == Some(seq) && matches!(text(mark, "mark"), Some("sent" | "delivered" | "read"));
    from.wait_for("mark", PATIENCE, is).await?;
    Ok(seq)
}

async fn becomes(terminal: &mut Terminal, seq: u64, now: &str) -> Result<(), PartFault> {
    let is = |changed: &Value| place(changed) == Some(seq) && text(changed, "now") == Some(now);
    terminal.wait_for("changed", PATIENCE, is).await.map(drop)
}

/// One mentions two, who pins that; another pin is taken off.
async fn pins_and_mentions(one: &mut Terminal, two: &mut Terminal) -> Result<(), PartFault> {
    let mut places = Vec::new();
    for line in ["ask @two@b.example about the table", "and @two@b.example about the bill"] {
        one.say(line).await?;
        let is = |said: &Value| said.get("mentions").and_then(Value::as_array).is_some_and(|who| !who.is_empty());
        let (said, _) = two.wait_for("said", PATIENCE, is).await?;
        places.push(place(&said).ok_or("no place")?);
    }
    for (line, nth, pinned) in [("pin", 0, true), ("pin", 1, true), ("unpin", 1, false)] {
        let seq = places.get(nth).copied().ok_or("no place")?;
        two.say(&format!("/{line} {seq}")).await?;
        for terminal in [&mut *one, &mut *two] {
            let is = |event: &Value| place(event) == Some(seq) && event.get("pinned") == Some(&Value::Bool(pinned));
            terminal.wait_for("pinned", PATIENCE, is).await?;
        }
    }
    Ok(())
}

/// The places that a device shows as pinned; at least one is.
async fn pins(terminal: &mut Terminal) -> Result<Vec<u64>, PartFault> {
    terminal.say("/pins").await?;
    let (pins, _) = terminal.wait_for("pins", PATIENCE, |_| true).await?;
    let pinned = pins.get("pinned").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let places: Vec<u64> = pinned.iter().filter_map(|pin| pin.get("message").and_then(place)).collect();
    if places.is_empty() { Err("nothing is pinned".into()) } else { Ok(places) }
}

/// The last messages as a device shows them, without what differs for whom they are shown.
async fn view(terminal: &mut Terminal) -> Result<Vec<Value>, PartFault> {
    terminal.say("/history 6").await?;
    let (mut screen, _) = terminal.wait_for("screen", PATIENCE, |_| true).await?;
    let mut messages = screen.get_mut("messages").and_then(Value::as_array_mut).map(std::mem::take).unwrap_or_default();
    for message in messages.iter_mut().filter_map(Value::as_object_mut) {
        message.remove("own");
    }
    if messages.is_empty() { Err("nothing is shown".into()) } else { Ok(messages) }
}

/// The hash of all that a device shows.
async fn snapshot(terminal: &mut Terminal) -> Result<String, PartFault> {
    terminal.say("/snapshot").await?;
    let (snapshot, _) = terminal.wait_for("snapshot", PATIENCE, |_| true).await?;
    Ok(text(&snapshot, "hash").ok_or("a snapshot without a hash")?.to_owned())
}

/// How many messages a search finds.
async fn hits(terminal: &mut Terminal, words: &str) -> Result<usize, PartFault> {
    terminal.say(&format!("/find {words}")).await?;
    let (found, _) = terminal.wait_for("found", PATIENCE, |_| true).await?;
    Ok(found.get("hits").and_then(Value::as_array).map_or(0, Vec::len))
}
