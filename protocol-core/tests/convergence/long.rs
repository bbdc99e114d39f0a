//! A conversation of a million events, of which only what is looked at has words.

use postline_core::client::Command;
use postline_core::client::io::Event;
use postline_core::client::replay::Heard;
use postline_core::machine::timeline::Timeline;
use postline_core::step::Outbox;
use postline_core::store::Key;

use crate::kit::{ANN, BEN, CAT, Host, TALK, answer, edit, message, react};

const EVENTS: u64 = 1_000_000;
/// How many of the last have words.
const SPOKEN: u64 = 1_000;
/// The most that a screen may read.
const READS: usize = 200;

/// A message at every place, as far as the timeline knows; the last of them said, edited, answered and signed.
fn a_million() -> Host {
    let mut host = Host::new();
    let begin = EVENTS - SPOKEN;
    let mut out = Outbox::new();
    host.replay.begin_behind(begin, &mut out);
    host.disk.extend(out.records().map(|record| (record.key.clone(), record.clone())));
    let mut log: Vec<Heard> = Vec::new();
    for seq in begin + 1..=EVENTS {
        let [near, far] = [5, 40].map(|back: usize| log.len().checked_sub(back).map(|at| log[at].clone()));
        let event = match (seq % 10, near, far) {
            (3, Some(of), _) if of.seq % 10 > 4 => edit(seq, ANN, &of, 1),
            (4, Some(of), _) if of.seq % 10 > 4 => react(seq, BEN, &of, "+"),
            (2, _, Some(of)) if of.seq % 10 > 4 => react(seq, CAT, &of, "-"),
            (1, _, Some(of)) => answer(seq, BEN, &of),
            _ => message(seq, ANN, &format!("text {seq}")),
        };
        host.hear(&event);
        log.push(event);
        host.evict();
    }
    let mut timeline = Timeline::new(TALK, None);
    for place in 1..=begin {
        while let Some(key) = timeline.wants(place) {
            let Key::Page(.., level, number) = key else { panic!("{key}") };
            timeline.hydrate(level, number, host.disk.get(&key)).unwrap();
        }
        host.disk.extend(timeline.put(place).into_iter().map(|record| (record.key.clone(), record)));
        if place % 65_536 == 0 {
            timeline.forget();
        }
    }
    host.events.clear();
    host
}

/// what a person sees first costs the same in a conversation of any length, edits, signs and answers included.
#[test]
fn the_last_screen_of_a_million_events_reads_few_records() {
    let mut host = a_million();
    let pages = host.disk.keys().filter(|key| matches!(key, Key::Page(..))).count();
    assert!(pages as u64 >= EVENTS / 256, "{pages} pages");
    let (mut before, mut places) = (None, Vec::new());
    for _ in 0..3 {
        host.restart();
        host.read = 0;
        let shown = host.command(Command::Show { conversation: TALK, before, count: 50 });
        let Event::Screen(screen) = shown else { panic!("{shown:?}") };
        println!("figure convergence.records_of_a_screen_of_a_million {}", host.read);
        assert!(host.read <= READS, "{} records", host.read);
        assert!(screen.earlier && screen.messages.len() == 50);
        places.extend(screen.messages.iter().map(|shown| shown.seq));
        before = places.last().copied();
    }
    assert!(places.is_sorted_by(|later, earlier| later > earlier) && places[0] > EVENTS - 5, "{places:?}");
    assert!(places[0] - places[149] < 250, "no message is passed over");
}
