//! A stop watch on the inside of core, which stands here because core's sources have no clock.

use std::time::{Duration, Instant};

use super::{tick, two};
use crate::step::Outbox;

#[path = "../devices/kit.rs"]
#[allow(
    dead_code,
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "another's kit, of which a part is used"
)]
mod kit;

/// From what the person says to the post, and from the entry to what is said to the person: all that the device does of
/// it, records included. Beside the bare engine, by turns.
#[test]
#[allow(clippy::disallowed_methods, reason = "a stop watch, not a clock")]
fn the_devices_front_door_costs_little_beside_the_bare_engine() {
    const MESSAGES: u64 = 300;
    let mut world = kit::World::two();
    world.write(0, "first");
    world.pass(5_000);
    let (mut bare_ann, mut bare_bob) = {
        let (ann, bob, _) = two();
        (ann, bob)
    };
    let text = "x".repeat(200);
    let (mut bare, before) = (Duration::ZERO, world.sealing);
    for step in 0..MESSAGES {
        world.write(0, &text);
        let _filled = bare_ann.fill(&tick(10_000 + step), "bare");
        let at = Instant::now();
        let sealed = bare_ann.engine.encrypt_application_message(text.as_bytes(), vec![0; 40]).unwrap();
        let sealed = mls_rs::MlsMessage::from_bytes(&sealed.to_bytes().unwrap()).unwrap();
        bare_bob.engine.process_incoming_message(sealed).unwrap();
        bare += at.elapsed();
    }
    assert_eq!(world.texts(1).len() as u64, MESSAGES + 1);
    let doors = world.sealing - before;
    let us = |sum: Duration| sum.as_nanos() / 1_000 / u128::from(MESSAGES);
    let ratio = doors.as_secs_f64() / bare.as_secs_f64();
    println!("figure device_us seal and open {} bare {} ratio {ratio:.2}", us(doors), us(bare));
    // Without optimisation what we add weighs more than what the engine's crates do, which are optimised always.
    let most = if cfg!(debug_assertions) { 2.5 } else { 1.5 };
    assert!(ratio <= most, "{doors:?} beside {bare:?}");
}

/// Beside the bare engine, in one run and by turns: so load slows both alike. What the seam adds is a copy of the engine
/// for each message that is opened, its own padding and authenticated data, and the count of generations.
#[test]
#[allow(clippy::disallowed_methods, reason = "a stop watch, not a clock")]
fn the_seam_costs_little_beside_the_bare_engine() {
    let (mut ann, mut bob, _) = two();
    let (mut bare_ann, mut bare_bob) = (ann.engine.clone(), bob.engine.clone());
    let text = [b'x'; 200];
    let [mut seal, mut open, mut bare_seal, mut bare_open, mut copy] = [Duration::ZERO; 5];
    let timed = |sum: &mut Duration, from: Instant| *sum += from.elapsed();
    for step in 0..300 {
        let mut out = Outbox::<()>::new();
        let at = Instant::now();
        let sealed = ann.seal(&tick(step), None, &text, &mut out).unwrap();
        timed(&mut seal, at);
        let at = Instant::now();
        bob.open(&tick(step), &sealed, &mut out).unwrap();
        timed(&mut open, at);
        let _filled = ann.fill(&tick(10_000 + step), "bare");
        let at = Instant::now();
        let sealed = bare_ann.encrypt_application_message(&text, vec![0; 40]).unwrap().to_bytes().unwrap();
        timed(&mut bare_seal, at);
        let at = Instant::now();
        bare_bob.process_incoming_message(mls_rs::MlsMessage::from_bytes(&sealed).unwrap()).unwrap();
        timed(&mut bare_open, at);
        let at = Instant::now();
        let copied = bob.engine.clone();
        timed(&mut copy, at);
        drop(copied);
    }
    let us = |sum: Duration| sum.as_nanos() / 300_000;
    println!("figure group_us seal {} open {} bare {} {}", us(seal), us(open), us(bare_seal), us(bare_open));
    println!("figure group_copy_us {}", us(copy));
    assert!(seal + open < 2 * (bare_seal + bare_open), "{seal:?} {open:?} beside {bare_seal:?} {bare_open:?}");
}
