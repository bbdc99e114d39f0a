//! Seeds: a few of any weather, the same twice, and those that once found a bug, named for it.

use postline_core::canary::{Canary, set};
use postline_world::run::{run, run_with_devices, run_with_files};

#[test]
fn promises_hold_in_any_weather() {
    for seed in 0..120 {
        let run = run(seed, false);
        assert_eq!(run.broken, None, "seed {seed}, {}: `world --seed {seed}` tells it", run.weather);
    }
}

#[test]
fn the_same_seed_does_the_same() {
    for seed in [3, 17, 101] {
        let (one, two) = (run(seed, false), run(seed, true));
        assert_eq!((one.hash, one.steps), (two.hash, two.steps), "I25: seed {seed}");
        assert!(one.lines.is_empty() && !two.lines.is_empty(), "only who wants to read keeps lines");
    }
    assert_ne!(run(3, false).hash, run(17, false).hash);
}

/// A `delivered` that came before its Ack took the body away that the link still meant to send: it never came up again.
#[test]
fn a_mark_that_overtakes_its_ack_leaves_the_link_usable() {
    set(Some(Canary::DeliveredTooEarly));
    let run = run(11, false);
    set(None);
    assert_ne!(run.broken.map(|(invariant, _)| invariant), Some("liveness"));
}

/// A wall clock that was set back by 36 minutes stopped every timer for as long: a dead link was held for alive.
#[test]
fn a_clock_set_back_does_not_keep_a_dead_link_alive() {
    assert_eq!(run(4_847, false).broken, None);
}

/// A node's record that was brought for a wake, and let go of before it, was asked for no more: the node woke each millisecond.
#[test]
fn a_record_let_go_of_before_its_wake_is_brought_again() {
    assert_eq!(run(2_866, false).broken, None);
}

/// What the first runs with devices found: a mark fell from delivered to sent; a listed device without key packages had
/// the others commit without end; a node that did not know a conversation yet had its device take all of it for gone.
/// Then: who came and was told of all of its conversations was told again each millisecond, once the list of them was
/// forgotten (99, 213); a device that a node kept an entry from committed once a second for ever (121); a hub did not dial
/// the node that a new entry was for (205), or forgot that it wanted to (193); marks of entries that weren't at hand were
/// lost in a crash (979); a mark was said to a node whose line had gone (42). A device took a change for void, for want of a
/// list, before anybody could be asked (631); the answer to one published list was taken for the next one's (941). A question
/// that waited for a link was said after the person had blocked whom it was about (1027). Who was woken before the time to
/// look for key packages again set no new time, and never looked again (1607). And what a copy said
/// before it was told was held for another's by the simulator itself (3681). A message that was taken back was never marked
/// as read (90006). What was told once it was durable was held for told too early by the simulator itself (419).
/// A reading whose entry was refused reached the person's other devices no more (95). The device whose turn it was to tell newer ones
/// how reading is told was gone, and nobody did (586).
#[test]
fn devices_keep_what_they_once_broke() {
    for seed in [0, 1, 26, 42, 95, 99, 121, 193, 205, 213, 419, 586, 631, 941, 979, 1027, 1607, 3681, 90_006] {
        let run = run_with_devices(seed, &[], false);
        assert_eq!(run.broken, None, "seed {seed}, {}: `world --devices --seed {seed}` tells it", run.weather);
    }
}

/// A device that fetched the file that it was just leaving waited for it for ever once the node had refused the one (55).
#[test]
fn files_keep_what_they_once_broke() {
    for seed in (0..12).chain([55]) {
        let run = run_with_files(seed, &[], false);
        assert_eq!(run.broken, None, "seed {seed}, {}: `world --files --seed {seed}` tells it", run.weather);
    }
}
