//! Many events in any order, doubled, with whatever happens to the device between them; and two devices of two histories.

use postline_core::client::io::{Event, Now, Policy};
use postline_core::client::replay::Heard;
use postline_core::id::Identity;
use postline_core::limits;
use postline_core::step::Machine;
use proptest::prelude::*;

use crate::kit::{
    ANN, BEN, CAT, Host, about, about_of, answer, at, edit, message, pin, policy, react, retract, withdraw,
};

const PEOPLE: [Identity; 3] = [ANN, BEN, CAT];

/// A log of events that speak of each other: which earlier one each is about, and what it does, is drawn.
fn log(drawn: &[(u8, u8, prop::sample::Index)]) -> Vec<Heard> {
    let mut log: Vec<Heard> = Vec::new();
    for (seq, (what, who, of)) in (1..).zip(drawn) {
        let who = PEOPLE[usize::from(who % 3)];
        let event = match log.get(if log.is_empty() { 0 } else { of.index(log.len()) }).cloned() {
            None => message(seq, who, "first"),
            // Mostly of what is theirs, so that it counts.
            Some(of) => match what % 20 {
                0..=3 => message(seq, who, &format!("text {seq}")),
                4 | 5 => answer(seq, who, &of),
                6 | 7 => edit(seq, of.author, &of, u32::from(what / 20) + 1),
                8 => edit(seq, who, &of, 1),
                9 => retract(seq, of.author, &of),
                10 | 11 => react(seq, who, &of, ["+", "-", "!"][usize::from(what / 20) % 3]),
                12 => match log.iter().find(|target| Some(target.seq) == about_of(&of)).cloned() {
                    Some(target) => withdraw(seq, of.author, &target, &of),
                    None => react(seq, who, &of, "+"),
                },
                13 => at(&of, seq),
                14 | 15 => pin(seq, who, &of, true),
                16 => pin(seq, who, &of, false),
                17 => {
                    let policies = [Policy::Required, Policy::Optional, Policy::Forbidden];
                    policy(seq, who, policies[usize::from(what / 20) % 3], (*what >= 200).then_some(of.seq))
                }
                18 => about(edit(seq, of.author, &of, 2), u64::from(what / 20)),
                _ => about(react(seq, who, &of, "?"), u64::from(what / 4)),
            },
        };
        log.push(event);
    }
    log
}

/// What happens between two events.
#[derive(Clone, Copy, Debug)]
enum Between {
    Nothing,
    Restarts,
    Forgets,
    HearsAgain(usize),
}

fn any_between() -> impl Strategy<Value = Between> {
    prop_oneof![
        4 => Just(Between::Nothing),
        1 => Just(Between::Restarts),
        1 => Just(Between::Forgets),
        1 => any::<usize>().prop_map(Between::HearsAgain),
    ]
}

fn heard(log: &[Heard], between: &[Between]) -> Host {
    let mut host = Host::new();
    for (n, (event, between)) in log.iter().zip(between.iter().cycle()).enumerate() {
        host.hear(event);
        match between {
            Between::Nothing => {}
            Between::Restarts => host.restart(),
            Between::Forgets => host.evict(),
            Between::HearsAgain(which) => host.hear(&log[which % (n + 1)]),
        }
    }
    host
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(96) })]

    /// [P-5]: above the bounds of a screen and of a page, and for logs that name each other in every way.
    #[test]
    fn floods_in_any_order_and_doubled_make_one_snapshot(
        (events, other) in prop::collection::vec((any::<u8>(), any::<u8>(), any::<prop::sample::Index>()), 1..90)
            .prop_map(|drawn| log(&drawn))
            .prop_flat_map(|events| (Just(events.clone()), Just(events).prop_shuffle())),
        between in prop::collection::vec(any_between(), 1..20),
    ) {
        let mut in_order = heard(&events, &[Between::Nothing]);
        let mut otherwise = heard(&other, &between);
        prop_assert_eq!(in_order.snapshot(), otherwise.snapshot());
        // And once more, from the disk alone.
        otherwise.restart();
        prop_assert_eq!(in_order.snapshot(), otherwise.snapshot());
    }
}

/// [R-17] [V-4]: whether there is room to show a pin hangs on others, and is in no snapshot; that it stands is, from whatever place.
#[test]
fn a_pin_without_room_is_in_the_snapshot_alike_for_who_joined_later() {
    let many = limits::PINS as u64 + 8;
    let mut log: Vec<Heard> = (1..=many).map(|seq| message(seq, ANN, &format!("text {seq}"))).collect();
    let pins: Vec<Heard> = log.iter().map(|of| pin(many + of.seq, BEN, of, true)).collect();
    log.extend(pins);
    let late = message(2 * many + 1, ANN, "the last, pinned without room");
    log.extend([late.clone(), pin(2 * many + 2, ANN, &late, true)]);
    let (mut old, mut new) = (Host::new(), Host::new());
    log.iter().for_each(|event| old.hear(event));
    let joined = 2 * many as usize;
    let before = old.snapshot_from(late.seq);
    log[joined..].iter().for_each(|event| new.hear(event));
    assert_eq!(new.snapshot_from(late.seq).hash, before.hash, "to the one it is shown as pinned, to the other not");
    for host in [&mut old, &mut new] {
        host.hear(&pin(2 * many + 3, BEN, &late, false));
    }
    assert_eq!(new.snapshot_from(late.seq).hash, old.snapshot_from(late.seq).hash);
    assert_ne!(old.snapshot_from(late.seq).hash, before.hash, "the end of the pin is seen");
}

/// attack 58: what names a version at a place where there is none waits there, and has no device do anything; wherever else that
/// version has come.
#[test]
fn t_058_what_names_a_place_of_nothing_waits_and_costs_nothing() {
    let version = message(5, ANN, "late");
    let mut host = Host::new();
    host.hear(&react(7, CAT, &version, "+"));
    // It comes late, and somebody waited for it: so its name is known.
    host.hear(&version);
    for (seq, place) in [(12, 9), (13, 4), (14, 8)] {
        host.hear(&about(react(seq, BEN, &version, "-"), place));
        assert!(host.replay.deadline().is_none(), "nothing is left to do");
    }
    let mut plain = Host::new();
    [version.clone(), react(7, CAT, &version, "+")].iter().for_each(|event| plain.hear(event));
    assert_eq!(host.snapshot().hash, plain.snapshot().hash);
}

/// A newer device that is told of what it lacks, late and in part, has in the end what one has that was there from the first.
#[test]
fn a_device_that_hears_the_beginning_last_has_the_same_snapshot() {
    let first = message(1, ANN, "first");
    let words = edit(4, ANN, &first, 1);
    let log = [
        first.clone(),
        answer(2, BEN, &first),
        react(3, CAT, &first, "+"),
        words.clone(),
        answer(5, CAT, &words),
        react(6, BEN, &words, "-"),
    ];
    let (mut old, mut new) = (Host::new(), Host::new());
    log.iter().for_each(|event| old.hear(event));
    log[4..].iter().for_each(|event| new.hear(event));
    assert_ne!(old.snapshot().hash, new.snapshot().hash, "what isn't here is missed");
    // What it has, leads to what it hasn't: from there on both have the same.
    assert_eq!(old.snapshot_from(5).hash, new.snapshot_from(5).hash);
    new.restart();
    for event in [3, 1, 0, 3, 2].map(|n| &log[n]) {
        new.hear(event);
        new.evict();
    }
    assert_eq!(old.snapshot(), new.snapshot());
    let adopted =
        |event: &Event| matches!(event, Event::Changed(changed) if changed.now == Now::Answers { message: 1 });
    assert!(new.events.iter().any(adopted), "orphans are told whose they are");
}
