//! A stop watch on the inside of core, which stands here because core's sources have no clock.

use std::time::{Duration, Instant};

use super::{tick, two};
use crate::step::Outbox;

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
