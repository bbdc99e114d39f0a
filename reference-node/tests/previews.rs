//! A picture goes along with a file: seen at once, without a fetch, and gone with its message; on real nodes, from terminals.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use common::PATIENCE;
use postline_core::limits::PREVIEW_BYTES;
use postline_node::lab::{Seat, Terminal};
use serde_json::{Value, json};

/// What stands in the picture, and nowhere else.
const CANARY: &str = "canarypicture4713";

/// In which files of a device the picture stands.
fn traces(seat: &Seat) -> Vec<PathBuf> {
    let files = common::files(&seat.store).into_iter().filter(|file| file.is_file());
    let has = |file: &PathBuf| String::from_utf8_lossy(&std::fs::read(file).unwrap()).contains(CANARY);
    files.filter(has).collect()
}

/// The log that is ahead of a store's file has what is gone until it is cut, on a device that goes on.
async fn is_gone(seat: &Seat) {
    let began = Instant::now();
    while let left = traces(seat)
        && !left.is_empty()
    {
        assert!(began.elapsed() < PATIENCE, "{left:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A picture of so many bytes, as far as anybody looks.
fn picture(dir: &Path, name: &str, len: usize) -> (PathBuf, Vec<u8>) {
    let mut bytes = [b"\xff\xd8\xff\xe0", CANARY.as_bytes()].concat();
    bytes.resize(len, 7);
    std::fs::write(dir.join(name), &bytes).unwrap();
    (dir.join(name), bytes)
}

async fn unsaid(terminal: &mut Terminal, line: &str) -> String {
    terminal.say(line).await.unwrap();
    let (unsaid, _) = terminal.wait_for("unsaid", PATIENCE, |_| true).await.unwrap();
    unsaid["why"].as_str().unwrap().to_owned()
}

/// Where what was asked for is written.
async fn saved(terminal: &mut Terminal, line: &str) -> PathBuf {
    terminal.say(line).await.unwrap();
    let (saved, _) = terminal.wait_for("saved", PATIENCE, |_| true).await.unwrap();
    saved["path"].as_str().unwrap().into()
}

/// [M-13] [B-14] (attack 55)
#[tokio::test]
async fn t_055_a_preview_is_seen_before_its_file_and_in_no_byte_once_that_is_taken_back() {
    let nodes = common::strangers().await;
    common::line(&nodes).await;
    let dir = nodes.dir().join("files");
    let inn = dir.join("in");
    std::fs::create_dir_all(&inn).unwrap();
    let one = Seat::new(common::program(), "one@a.example", &nodes.a, nodes.dir().join("one")).await.unwrap();
    let two = Seat::new(common::program(), "two@b.example", &nodes.b, nodes.dir().join("two")).await.unwrap();
    one.enrol().await.unwrap();
    two.enrol().await.unwrap();
    let (mut ann, mut ben) = (one.chat("two@b.example").unwrap(), two.chat("one@a.example").unwrap());
    for terminal in [&mut ann, &mut ben] {
        terminal.wait_for("contact", PATIENCE, |contact| contact["level"].as_u64() >= Some(3)).await.unwrap();
    }
    let film = dir.join("the beach.mov");
    std::fs::write(&film, [9; 100_000]).unwrap();
    let (small, bytes) = picture(&dir, "small one.jpg", PREVIEW_BYTES);

    // What is no preview sends nothing: too long, no picture, not there.
    let (long, _) = picture(&dir, "long.jpg", PREVIEW_BYTES + 1);
    let send = |preview: &Path| format!("/send {} --preview {}", film.display(), preview.display());
    assert!(unsaid(&mut ann, &send(&long)).await.contains("at most 10240 bytes"));
    assert!(unsaid(&mut ann, &send(&film)).await.contains("at most 10240 bytes"));
    std::fs::write(dir.join("drawn.svg"), "<svg/>").unwrap();
    assert!(unsaid(&mut ann, &send(&dir.join("drawn.svg"))).await.contains("PNG, JPEG or WebP"));
    unsaid(&mut ann, &send(&dir.join("nowhere.png"))).await;

    ann.say(&send(&small)).await.unwrap();
    let with_file = |said: &Value| said["files"].as_array().is_some_and(|files| !files.is_empty());
    let (said, _) = ben.wait_for("said", PATIENCE, with_file).await.unwrap();
    let preview = json!({ "media": "image/jpeg", "length": PREVIEW_BYTES });
    assert_eq!(
        said["files"],
        json!([{ "name": "the beach.mov", "length": 100_000, "media": "application/octet-stream",
        "preview": preview }])
    );
    let seq = said["seq"].as_u64().unwrap();
    let placed = |mark: &Value| mark["seq"] == seq;
    ann.wait_for("mark", PATIENCE, placed).await.unwrap();

    // Without a fetch, and twice: nothing is ever written over.
    let shown = saved(&mut ben, &format!("/preview {seq} {}", inn.display())).await;
    assert_eq!(
        (shown.file_name().unwrap(), std::fs::read(&shown).unwrap()),
        ("the beach.mov.preview.jpg".as_ref(), bytes)
    );
    let again = saved(&mut ben, &format!("/preview {seq} {}", inn.display())).await;
    assert_eq!(again.file_name().unwrap(), "the beach.mov.preview (2).jpg");

    // A chat that starts later shows it as it shows what was said, and has preview and file from there.
    ben.end().await.unwrap();
    let mut ben = two.chat("one@a.example").unwrap();
    ben.wait_for("conversation", PATIENCE, |_| true).await.unwrap();
    ben.say("/history").await.unwrap();
    let (screen, _) = ben.wait_for("screen", PATIENCE, |_| true).await.unwrap();
    assert_eq!(screen["messages"][0]["files"][0]["preview"], preview, "{screen}");
    saved(&mut ben, &format!("/preview {seq} {}", inn.display())).await;
    let fetched = saved(&mut ben, &format!("/fetch {seq} {}", inn.display())).await;
    assert_eq!(std::fs::read(fetched).unwrap(), [9; 100_000]);
    for seat in [&one, &two] {
        assert!(!traces(seat).is_empty(), "the scan finds what is there");
    }

    // The message has no words, and all of it goes.
    ann.say(&format!("/retract {seq}")).await.unwrap();
    for terminal in [&mut ann, &mut ben] {
        let gone = |changed: &Value| changed["seq"] == seq && changed["now"] == "retracted";
        terminal.wait_for("changed", PATIENCE, gone).await.unwrap();
    }
    is_gone(&one).await;
    is_gone(&two).await;
    unsaid(&mut ben, &format!("/preview {seq} {}", inn.display())).await;
    unsaid(&mut ben, &format!("/fetch {seq} {}", inn.display())).await;
    ann.end().await.unwrap();
    ben.end().await.unwrap();
    assert_eq!([traces(&one), traces(&two)], [Vec::<PathBuf>::new(), Vec::new()]);
    nodes.stop().await.unwrap();
}
