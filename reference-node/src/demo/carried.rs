//! A file in act three: sent with a preview, fetched, compared, and gone once its message is taken back.
//!
//! ```text
//!   one: /send ──▶ its node, so far, so far … ──said──▶ two: /fetch ──▶ both nodes, so far, so far … ──▶ saved: the same bytes?
//!   one: /retract ──▶ two: /fetch: none
//! ```

use std::path::Path;
use std::time::Duration;

use ring::rand::{SecureRandom as _, SystemRandom};
use serde::Serialize;
use serde_json::Value;
use tokio::time::Instant;

use crate::cli::PartFault;
use crate::lab::Terminal;

/// How long anything may take before the demo calls it lost.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long the file is: several times what is told at once.
const BYTES: usize = 4 * 1024 * 1024 + 7;

/// A picture of one pixel (PNG).
const PICTURE: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x02\0\0\0\x90wS\xde\
\0\0\0\x0cIDATx\xdac\xd0\xca\xdf\n\0\x02\x15\x01O\xf37\x90\x15\0\0\0\0IEND\xaeB`\x82";

/// What became of the file.
#[derive(Debug, Default, Serialize)]
pub(super) struct Carried {
    /// Its length.
    bytes: usize,
    /// Whether what was fetched is what was sent.
    alike: bool,
    /// Whether the preview that came along is the one that was sent, before anything was fetched.
    previewed: bool,
    /// How often who sent it, and who fetched it, were told how far it is.
    told: [usize; 2],
    /// From when it was sent until its node had it all.
    sent_ms: u64,
    /// From when it was wanted until it was opened and saved.
    fetched_ms: u64,
    /// Whether it can't be fetched once its message was taken back.
    gone: bool,
}

impl Carried {
    /// Whether all is as it must be.
    pub(super) const fn is_well(&self) -> bool {
        self.alike && self.previewed && self.gone && self.told[0] > 1 && self.told[1] > 1
    }

    pub(super) fn summary(&self) -> String {
        let alike = if self.alike { "the same bytes" } else { "OTHER BYTES" };
        let preview = if self.previewed { "seen before it came" } else { "NOT SEEN before it came" };
        let gone = if self.gone { "gone once taken back" } else { "STILL THERE once taken back" };
        let (up, down) = (self.sent_ms, self.fetched_ms);
        format!("a file of {} bytes: sent in {up} ms, fetched in {down} ms, {preview}, {alike}, {gone}", self.bytes)
    }
}

/// Sends a file from the one to the other, and takes it back.
pub(super) async fn carry(dir: &Path, one: &mut Terminal, two: &mut Terminal) -> Result<Carried, PartFault> {
    let (out, inn) = (dir.join("files-out"), dir.join("files-in"));
    std::fs::create_dir_all(&out)?;
    std::fs::create_dir_all(&inn)?;
    let mut sent = vec![0; BYTES];
    SystemRandom::new().fill(&mut sent).map_err(|_| "no randomness")?;
    let path = out.join("picture.bin");
    std::fs::write(&path, &sent)?;

    let picture = out.join("small.png");
    std::fs::write(&picture, PICTURE)?;

    let began = one.say(&format!("/send {} --preview {}", path.display(), picture.display())).await?;
    let (up, sent_ms) = (told(one, true).await?, ms(began));
    let (said, _) = two.wait_for("said", PATIENCE, |said| said.get("files").is_some_and(has_some)).await?;
    let seq = said.get("seq").and_then(Value::as_u64).ok_or("no place")?;
    two.say(&format!("/preview {seq} {}", inn.display())).await?;
    let (shown, _) = two.wait_for("saved", PATIENCE, |_| true).await?;
    let previewed = std::fs::read(shown.get("path").and_then(Value::as_str).ok_or("no path")?)? == PICTURE;
    let began = two.say(&format!("/fetch {seq} {}", inn.display())).await?;
    let down = told(two, false).await?;
    let (saved, _) = two.wait_for("saved", PATIENCE, |_| true).await?;
    let fetched_ms = ms(began);
    let saved = saved.get("path").and_then(Value::as_str).ok_or("no path")?;
    let alike = std::fs::read(saved)? == sent;

    let placed = |mark: &Value| mark.get("seq").and_then(Value::as_u64) == Some(seq);
    one.wait_for("mark", PATIENCE, placed).await?;
    one.say(&format!("/retract {seq}")).await?;
    two.wait_for("changed", PATIENCE, placed).await?;
    two.say(&format!("/fetch {seq} {}", inn.display())).await?;
    two.wait_for("unsaid", PATIENCE, |_| true).await?;
    let gone = std::fs::read_dir(&inn)?.count() == 2;
    Ok(Carried { bytes: BYTES, alike, previewed, told: [up, down], sent_ms, fetched_ms, gone })
}

fn has_some(files: &Value) -> bool {
    files.as_array().is_some_and(|files| !files.is_empty())
}

fn ms(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// Waits until a file is through: gives how often it was told how far it is.
async fn told(terminal: &mut Terminal, leaves: bool) -> Result<usize, PartFault> {
    let ours = |event: &Value| event.get("leaves").and_then(Value::as_bool) == Some(leaves);
    let mut told = 0;
    loop {
        let (event, _) = terminal.wait_for("file", PATIENCE, ours).await?;
        match event.get("far").and_then(Value::as_str) {
            Some("done") => return Ok(told),
            Some("failed") => return Err(format!("the file failed: {event}").into()),
            _ => told += 1,
        }
    }
}
