//! What two people do with what they said: answers, edits, retracts, signs, threads; on real nodes, from their terminals.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::time::{Duration, Instant};

use common::PATIENCE;
use postline_node::lab::{Nodes, Seat, Terminal};
use serde_json::{Value, json};

/// A device of one and one of two, in conversation, on nodes that have a line.
async fn talking(nodes: &Nodes) -> ([Seat; 2], [Terminal; 2]) {
    let one = Seat::new(common::program(), "one@a.example", &nodes.a, nodes.dir().join("one")).await.unwrap();
    let two = Seat::new(common::program(), "two@b.example", &nodes.b, nodes.dir().join("two")).await.unwrap();
    one.enrol().await.unwrap();
    two.enrol().await.unwrap();
    let (mut ann, mut ben) = (one.chat("two@b.example").unwrap(), two.chat("one@a.example").unwrap());
    for terminal in [&mut ann, &mut ben] {
        terminal.wait_for("contact", PATIENCE, |contact| contact["level"].as_u64() >= Some(3)).await.unwrap();
    }
    ([one, two], [ann, ben])
}

/// Says something and waits until the other hears it: gives its place.
async fn says(from: &mut Terminal, to: &mut Terminal, line: &str, text: &str) -> u64 {
    from.say(line).await.unwrap();
    let (said, _) = to.hears(text, PATIENCE).await.unwrap();
    let seq = said["seq"].as_u64().unwrap();
    // The author knows the place by the mark: where it has got further by then, that is said.
    let is_there =
        |mark: &Value| mark["seq"] == seq && ["sent", "delivered", "read"].iter().any(|is| mark["mark"] == *is);
    from.wait_for("mark", PATIENCE, is_there).await.unwrap();
    seq
}

/// Waits until the message at a place is something else, for both.
async fn becomes(terminals: &mut [Terminal; 2], seq: u64, now: &str) -> Value {
    let mut last = Value::Null;
    for terminal in terminals {
        let is = |changed: &Value| changed["seq"] == seq && changed["now"] == now;
        (last, _) = terminal.wait_for("changed", PATIENCE, is).await.unwrap();
    }
    last
}

/// Waits until a sign is there, or is no more, for both: who hears of it first says nothing of the other.
async fn signs(terminals: &mut [Terminal; 2], sign: &str, shown: bool) {
    for terminal in terminals {
        let is = |event: &Value| event["sign"] == sign && event["shown"] == shown;
        terminal.wait_for("reacted", PATIENCE, is).await.unwrap();
    }
}

/// What a terminal shows, without what differs for whom it is shown.
async fn view(terminal: &mut Terminal, line: &str) -> Vec<Value> {
    terminal.say(line).await.unwrap();
    let (screen, _) = terminal.wait_for("screen", PATIENCE, |_| true).await.unwrap();
    let mut messages = screen["messages"].as_array().unwrap().clone();
    for message in &mut messages {
        message.as_object_mut().unwrap().remove("own");
    }
    messages
}

/// Of what a snapshot is, how many messages it has, and its hash.
async fn snapshot(terminal: &mut Terminal, line: &str) -> [Value; 3] {
    terminal.say(line).await.unwrap();
    let (told, _) = terminal.wait_for("snapshot", PATIENCE, |_| true).await.unwrap();
    ["from", "messages", "hash"].map(|field| told[field].clone())
}

#[tokio::test]
async fn both_see_the_same_of_what_is_answered_edited_signed_and_taken_back() {
    let nodes = common::strangers().await;
    common::line(&nodes).await;
    let (_, [mut ann, mut ben]) = talking(&nodes).await;
    let lunch = says(&mut ann, &mut ben, "lunch at one?", "lunch at one?").await;
    let yes = says(&mut ben, &mut ann, &format!("/reply {lunch} yes"), "yes").await;
    let where_to = says(&mut ann, &mut ben, &format!("/thread {yes} where to?"), "where to?").await;
    let there = says(&mut ben, &mut ann, &format!("/thread {where_to} to the harbour"), "to the harbour").await;
    let oops = says(&mut ann, &mut ben, "wrong window", "wrong window").await;

    ann.say(&format!("/edit {lunch} lunch at two?")).await.unwrap();
    let mut both = [ann, ben];
    let changed = becomes(&mut both, lunch, "edited").await;
    assert_eq!((&changed["text"], &changed["no"]), (&json!("lunch at two?"), &json!(1)));
    for sign in ["👍", "🎉"] {
        both[1].say(&format!("/react {lunch} {sign}")).await.unwrap();
        signs(&mut both, sign, true).await;
    }
    // He takes back what he sees: before his own device has heard of its place there is nothing to take back.
    both[1].say(&format!("/unreact {lunch} 🎉")).await.unwrap();
    signs(&mut both, "🎉", false).await;
    both[0].say(&format!("/retract {oops}")).await.unwrap();
    becomes(&mut both, oops, "retracted").await;

    let [mut ann, mut ben] = both;
    let (here, there_) = (view(&mut ann, "/history").await, view(&mut ben, "/history").await);
    assert_eq!(here, there_);
    let find = |seq: u64| here.iter().find(|message| message["seq"] == seq).unwrap().clone();
    assert_eq!((find(lunch)["text"].clone(), find(lunch)["edit"].clone()), (json!("lunch at two?"), json!(1)));
    assert_eq!(find(lunch)["signs"], json!([["two@b.example", "👍"]]));
    assert_eq!(find(yes)["answers"], find(lunch)["id"], "the version that was there then, the first");
    assert_eq!((&find(where_to)["thread"], &find(there)["thread"]), (&find(yes)["id"], &find(yes)["id"]));
    assert_eq!((find(oops)["now"].clone(), find(oops)["text"].clone()), (json!("retracted"), Value::Null));
    assert_eq!(view(&mut ann, "/history 2").await.len(), 2);

    // All of it, as one hash; and what there is from a message on, as another.
    for (line, first) in [("/snapshot".to_owned(), 1), (format!("/snapshot {where_to}"), where_to)] {
        let ones = snapshot(&mut ann, &line).await;
        assert_eq!(ones, snapshot(&mut ben, &line).await);
        assert_eq!((&ones[0], &ones[1]), (&json!(first), &json!(if first == 1 { 5 } else { 3 })));
    }
    assert_ne!(snapshot(&mut ann, "/snapshot").await, snapshot(&mut ann, "/snapshot 2").await);

    // Nobody changes another's words, or what isn't there; and the conversation goes on.
    for wrong in
        [format!("/edit {yes} no"), format!("/retract {yes}"), "/react 9999 👍".into(), "/thread 9999 x".into()]
    {
        ann.say(&wrong).await.unwrap();
        ann.wait_for("unsaid", PATIENCE, |_| true).await.unwrap();
    }
    says(&mut ann, &mut ben, "see you", "see you").await;
    assert_eq!(ann.end().await.unwrap() + ben.end().await.unwrap(), 0, "nothing was shown twice");
    nodes.stop().await.unwrap();
}

/// What a terminal says is pinned: places, and by whom.
async fn pins(terminal: &mut Terminal) -> Vec<(u64, String)> {
    terminal.say("/pins").await.unwrap();
    let (pins, _) = terminal.wait_for("pins", PATIENCE, |_| true).await.unwrap();
    let of = |pin: &Value| (pin["message"]["seq"].as_u64().unwrap(), pin["by"].as_str().unwrap().to_owned());
    pins["pinned"].as_array().unwrap().iter().map(of).collect()
}

/// [V-3] [V-5] [V-6] [V-8] [M-7]
#[tokio::test]
async fn two_pin_mention_each_other_and_agree_on_how_reading_is_told() {
    let nodes = common::strangers().await;
    common::line(&nodes).await;
    let (_, [mut ann, mut ben]) = talking(&nodes).await;
    let code = says(&mut ann, &mut ben, "the door code is 4711", "the door code is 4711").await;
    let oops = says(&mut ben, &mut ann, "wrong window", "wrong window").await;

    // Pins: both may, both hear of it, and what is taken back goes.
    let (one, two) = ("one@a.example".to_owned(), "two@b.example".to_owned());
    for (seq, by) in [(code, &two), (oops, &one)] {
        let from = if *by == one { &mut ann } else { &mut ben };
        from.say(&format!("/pin {seq}")).await.unwrap();
        for terminal in [&mut ann, &mut ben] {
            let is = |pinned: &Value| pinned["seq"] == seq && pinned["pinned"] == true && pinned["by"] == by.as_str();
            terminal.wait_for("pinned", PATIENCE, is).await.unwrap();
        }
    }
    for terminal in [&mut ann, &mut ben] {
        assert_eq!(pins(terminal).await, [(code, two.clone()), (oops, one.clone())]);
    }
    ben.say(&format!("/retract {oops}")).await.unwrap();
    for terminal in [&mut ann, &mut ben] {
        terminal
            .wait_for("pinned", PATIENCE, |pinned| pinned["seq"] == oops && pinned["pinned"] == false)
            .await
            .unwrap();
        assert_eq!(pins(terminal).await, [(code, two.clone())]);
        let shown = view(terminal, "/history").await;
        assert!(shown.iter().all(|message| message["pinned"] == (message["seq"] == code)), "{shown:?}");
    }
    ann.say(&format!("/unpin {code}")).await.unwrap();
    ben.wait_for("pinned", PATIENCE, |pinned| pinned["seq"] == code && pinned["pinned"] == false).await.unwrap();
    assert_eq!(pins(&mut ben).await, []);

    // Nobody removes what the other said, and nobody pins what isn't there.
    for (line, why) in [(format!("/remove {code}"), "not_moderator"), ("/pin 9999".into(), "no_message")] {
        ben.say(&line).await.unwrap();
        ben.wait_for("declined", PATIENCE, |declined| declined["why"] == why).await.unwrap();
    }

    // A mention is typed as an address, and told to who is meant.
    ann.say("ask @two@b.example, they know").await.unwrap();
    let (said, _) = ben.wait_for("said", PATIENCE, |said| said["mentions"] == json!(["two@b.example"])).await.unwrap();
    assert!(said["text"].as_str().unwrap().starts_with("ask [@"), "{said}");

    // What both tell of their reading, the conversation says.
    ben.say("/tell-read no").await.unwrap();
    ann.say("/policy required").await.unwrap();
    for terminal in [&mut ann, &mut ben] {
        let is = |policy: &Value| {
            policy["policy"] == "required" && policy["by"] == one.as_str() && policy["tells_read"] == true
        };
        terminal.wait_for("policy", PATIENCE, is).await.unwrap();
    }
    let read = says(&mut ann, &mut ben, "will you read this?", "will you read this?").await;
    ben.say(&format!("/read {read}")).await.unwrap();
    ann.wait_for("mark", PATIENCE, |mark| mark["seq"] == read && mark["mark"] == "read").await.unwrap();
    ben.say("/policy forbidden").await.unwrap();
    ann.wait_for("policy", PATIENCE, |policy| policy["policy"] == "forbidden" && policy["tells_read"] == false)
        .await
        .unwrap();
    ann.end().await.unwrap();
    ben.end().await.unwrap();
    nodes.stop().await.unwrap();
}

/// In which files of a device the words stand.
fn traces(seat: &Seat, words: &str) -> Vec<String> {
    let files = common::files(&seat.store).into_iter().filter(|file| file.is_file());
    let has = |file: &std::path::PathBuf| String::from_utf8_lossy(&std::fs::read(file).unwrap()).contains(words);
    files.filter(has).map(|file| file.display().to_string()).collect()
}

#[tokio::test]
async fn t_105_what_is_taken_back_is_found_no_more_and_in_no_byte_of_either_device() {
    const CANARY: &str = "canaryword4711";
    let nodes = common::strangers().await;
    common::line(&nodes).await;
    let (seats, [mut ann, mut ben]) = talking(&nodes).await;
    let kept = says(&mut ann, &mut ben, "words that stay", "words that stay").await;
    let text = format!("words with a {CANARY} in them");
    let said = says(&mut ann, &mut ben, &text, &text).await;
    let mut both = [ann, ben];
    both[0].say(&format!("/edit {said} other words, and the {CANARY} again")).await.unwrap();
    becomes(&mut both, said, "edited").await;
    for terminal in &mut both {
        terminal.say(&format!("/find {CANARY}")).await.unwrap();
        let (found, _) = terminal.wait_for("found", PATIENCE, |_| true).await.unwrap();
        assert!(!found["hits"].as_array().unwrap().is_empty(), "{found}");
    }
    for seat in &seats {
        assert!(!traces(seat, CANARY).is_empty(), "the scan finds what is there");
    }
    both[0].say(&format!("/retract {said}")).await.unwrap();
    becomes(&mut both, said, "retracted").await;
    for terminal in &mut both {
        terminal.say(&format!("/find {CANARY}")).await.unwrap();
        let (found, _) = terminal.wait_for("found", PATIENCE, |_| true).await.unwrap();
        assert_eq!(found["hits"], json!([]));
        terminal.say("/find words").await.unwrap();
        let (found, _) = terminal.wait_for("found", PATIENCE, |_| true).await.unwrap();
        assert_eq!(found["hits"][0]["seq"], kept, "{found}");
    }
    // The log that is ahead of the file has it until it is cut, on devices that go on.
    for seat in &seats {
        let began = Instant::now();
        while let left = traces(seat, CANARY)
            && !left.is_empty()
        {
            assert!(began.elapsed() < PATIENCE, "{left:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    for terminal in both {
        terminal.end().await.unwrap();
    }
    for seat in &seats {
        assert_eq!(traces(seat, CANARY), Vec::<String>::new());
    }
    nodes.stop().await.unwrap();
}

/// on devices that go on, and on one that was off when the time came.
#[tokio::test]
async fn t_105_what_has_ended_is_found_no_more_and_in_no_byte_of_either_device() {
    const CANARY: &str = "canaryword4712";
    let nodes = common::strangers().await;
    common::line(&nodes).await;
    let (seats, [mut ann, mut ben]) = talking(&nodes).await;
    let kept = says(&mut ann, &mut ben, "words that stay", "words that stay").await;
    let text = format!("words with a {CANARY} in them");
    let said = says(&mut ann, &mut ben, &format!("/expire-read 1s {text}"), &text).await;
    let mut both = [ann, ben];
    both[0].say(&format!("/edit {said} other words, and the {CANARY} again")).await.unwrap();
    becomes(&mut both, said, "edited").await;
    for (terminal, seat) in both.iter_mut().zip(&seats) {
        terminal.say(&format!("/find {CANARY}")).await.unwrap();
        let (found, _) = terminal.wait_for("found", PATIENCE, |_| true).await.unwrap();
        assert!(!found["hits"].as_array().unwrap().is_empty(), "{found}");
        assert!(!traces(seat, CANARY).is_empty(), "the scan finds what is there");
    }
    // Nobody has read it: it stays. Then ben does, and is away when what ends at a time does so.
    both[1].say(&format!("/read {said}")).await.unwrap();
    becomes(&mut both, said, "expired").await;
    for terminal in &mut both {
        terminal.say(&format!("/find {CANARY}")).await.unwrap();
        let (found, _) = terminal.wait_for("found", PATIENCE, |_| true).await.unwrap();
        assert_eq!(found["hits"], json!([]));
        terminal.say("/find words").await.unwrap();
        let (found, _) = terminal.wait_for("found", PATIENCE, |_| true).await.unwrap();
        assert_eq!(found["hits"][0]["seq"], kept, "{found}");
    }
    let [mut ann, mut ben] = both;
    ann.say(&format!("/expire 4s a {CANARY} at its time")).await.unwrap();
    ann.say("the last word").await.unwrap();
    ben.hears("the last word", PATIENCE).await.unwrap();
    ben.end().await.unwrap();
    let at_its_time = |changed: &Value| changed["now"] == "expired" && changed["seq"].as_u64() > Some(said);
    let (changed, _) = ann.wait_for("changed", PATIENCE, at_its_time).await.unwrap();
    let mut ben = seats[1].chat("one@a.example").unwrap();
    let again = changed["seq"].as_u64().unwrap();
    // Where it came to ben too late, it was never shown, and is over from the start.
    let over =
        |screen: &Vec<Value>| screen.iter().any(|message| message["seq"] == again && message["now"] == "expired");
    ben.wait_for("conversation", PATIENCE, |_| true).await.unwrap();
    let (here, there) = (view(&mut ann, "/history").await, view(&mut ben, "/history").await);
    assert!(over(&here) && over(&there), "{there:?}");
    assert_eq!(here, there);
    for seat in &seats {
        let began = Instant::now();
        while let left = traces(seat, CANARY)
            && !left.is_empty()
        {
            assert!(began.elapsed() < PATIENCE, "{left:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    ann.end().await.unwrap();
    ben.end().await.unwrap();
    for seat in &seats {
        assert_eq!(traces(seat, CANARY), Vec::<String>::new());
    }
    nodes.stop().await.unwrap();
}
