//! What one's node and its people can see of the other's: frames, and when they come. It is the same whether the other's devices
//! are connected or not ([H-18], [W-12]).
//!
//! ```text
//!   one's device ──Says──▶ node a ──Event──▶ node b ──▶ two's device: there, not there, coming and going
//!                                  ◀──Have, …── │
//!                      what is overheard here, and when, is compared: two-sample Kolmogorov–Smirnov
//! ```
//!
//! Frames take a random time, and so do the devices' own; each sample is of a world with a seed of its own.

#![allow(clippy::print_stdout, reason = "a figure for the summary")]

use postline_core::canary::{Canary, set};
use postline_core::id::{ConversationId, Mailbox};
use postline_core::time::SECOND;
use postline_core::wire::frame::Frame;
use postline_core::wire::talk::{Kind, Talk};
use postline_world::weather::{Fault, Weather};
use postline_world::world::{Deed, Touch, World};

use crate::kit::{draft, id, one, two};
use crate::phones::{Phones, conversation};

/// How long each run lasts: what follows from something said is over well before.
const RUN_MS: u64 = 9 * SECOND;
/// How many runs are made in one world.
const WORLD: usize = 250;
/// How often a device looks up.
const LOOKS_MS: u64 = 90;
/// What is unlikely to be chance.
const ALPHA: f64 = 0.01;

/// Where the reader's devices are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reader {
    Online,
    Offline,
    /// They go and come within each run.
    Flaps,
}

/// What was overheard of the reader's node in many runs.
#[derive(Debug, Default, PartialEq, Eq)]
struct Heard {
    /// When `delivered` was known, in milliseconds after it was said; the whole run where it never was.
    delivered: Vec<u64>,
    /// When the first frame of each run was said, and the last: those of one run hang together.
    ends: [Vec<u64>; 2],
    /// How many were said in a run.
    counts: Vec<u64>,
}

impl Heard {
    fn join(&mut self, other: Self) {
        self.delivered.extend(other.delivered);
        self.ends.iter_mut().zip(other.ends).for_each(|(all, end)| all.extend(end));
        self.counts.extend(other.counts);
    }
}

/// Two people on two nodes, who have a line.
fn lined(seed: u64) -> World {
    let mut world = World::seeded(seed, &["a.example", "b.example"], Weather::calm(), false);
    for (node, name) in [(0, "one"), (1, "two")] {
        world.nodes[node].users.insert(Mailbox(name.to_owned()));
    }
    world.write(&draft(&one(), &two(), "first"));
    world.pass(5 * SECOND);
    world.write(&draft(&two(), &one(), "reply").answering(&id("first")));
    world.pass(60 * SECOND);
    world
}

/// A world in which frames between nodes take their time; one has a device and two has two, and they talk.
fn world(seed: u64) -> (World, Phones, ConversationId) {
    let mut world = lined(seed);
    let mut phones = Phones::default();
    for who in [one(), two(), two()] {
        phones.add(&world, &who);
    }
    phones.pass(&mut world, 50);
    phones.list(&mut world);
    let talk = conversation(&world, &one(), &two());
    phones.all[0].create(&mut world, talk, vec![one(), two()]);
    phones.pass(&mut world, 100);
    world.weather = Weather::calm().with(Fault::SlowLink, 400);
    (world, phones, talk)
}

/// Whether the other node is there at all, each asks when it has heard nothing for a while.
const fn is_ping(frame: &Frame) -> bool {
    matches!(frame, Frame::Ping(_) | Frame::Pong(_))
}

/// So many runs in which a device of one or of two says something, and what the reader's node says to the writer's.
fn overhear(seed: u64, runs: usize, writer: usize, reader: Reader) -> Heard {
    let (mut world, mut phones, talk) = world(seed);
    let index = usize::from(writer == 0);
    let readers: Vec<usize> = if writer == 0 { vec![1, 2] } else { vec![0] };
    let reach = |phones: &mut Phones, online: bool| readers.iter().for_each(|n| phones.all[*n].online = online);
    if reader == Reader::Offline {
        reach(&mut phones, false);
        phones.pass(&mut world, RUN_MS);
    }
    let mut heard = Heard::default();
    for run in 0..runs {
        world.overheard = Some(Vec::new());
        let begun = world.now;
        phones.all[writer].post(&mut world, talk, Kind::Message, 1, "said");
        if reader == Reader::Flaps {
            // They come, or go, at some time while it is on its way.
            phones.pass_by(&mut world, (run as u64 * 631) % (RUN_MS / 2), LOOKS_MS);
            reach(&mut phones, run % 2 == 0);
        }
        let left = begun.plus(RUN_MS).since(world.now);
        phones.pass_by(&mut world, left, LOOKS_MS);
        let left = begun.plus(RUN_MS).since(world.now);
        world.pass(left);
        assert_eq!(world.broken, None);
        let said = world.overheard.take().unwrap();
        let said = said.into_iter().filter(|(by, _, frame)| *by == index && !is_ping(frame));
        let said: Vec<_> = said.map(|(_, at, frame)| (at.since(begun), frame)).collect();
        let is_delivered = |frame: &Frame| matches!(frame, Frame::Talk(Talk::Have { .. } | Talk::Delivered { .. }));
        heard.delivered.push(said.iter().find(|(_, frame)| is_delivered(frame)).map_or(RUN_MS, |(at, _)| *at));
        heard.counts.push(said.len() as u64);
        let ends = [said.first(), said.last()].map(|frame| frame.map_or(RUN_MS, |(at, _)| *at));
        heard.ends.iter_mut().zip(ends).for_each(|(all, end)| all.push(end));
    }
    heard
}

/// The probability that two samples of one distribution differ as much as these (Kolmogorov and Smirnov; with ties it is too
/// careful).
fn p_value(one: &[u64], other: &[u64]) -> f64 {
    let (mut one, mut other) = (one.to_vec(), other.to_vec());
    one.sort_unstable();
    other.sort_unstable();
    let below = |sample: &[u64], value| sample.partition_point(|item| *item <= value) as f64 / sample.len() as f64;
    let differs = |value: &u64| (below(&one, *value) - below(&other, *value)).abs();
    let most = one.iter().chain(&other).map(differs).fold(0.0, f64::max);
    let (n, m) = (one.len() as f64, other.len() as f64);
    let root = (n * m / (n + m)).sqrt();
    let lambda = (root + 0.12 + 0.11 / root) * most;
    if lambda < 0.2 {
        return 1.0;
    }
    let term = |k: i32| 2.0 * f64::from(1 - 2 * ((k + 1) % 2)) * (-2.0 * f64::from(k * k) * lambda * lambda).exp();
    (1..=100).map(term).sum::<f64>().clamp(0.0, 1.0)
}

/// How likely it is that two samples are of one kind: the least of all that is compared.
fn alike(one: &Heard, other: &Heard) -> f64 {
    let all = [
        p_value(&one.delivered, &other.delivered),
        p_value(&one.ends[0], &other.ends[0]),
        p_value(&one.ends[1], &other.ends[1]),
        p_value(&one.counts, &other.counts),
    ];
    all.into_iter().fold(1.0, f64::min)
}

/// What the test is worth: it takes two samples of one kind for that, and a shift of a tenth of the spread for another.
#[test]
fn the_comparison_tells_what_is_shifted_from_what_is_not() {
    let sample = |seed: u64, shift: u64| -> Vec<u64> {
        let mut rng = postline_world::rng::Rng::new(seed);
        (0..10_000).map(|_| rng.below(2_000) + shift).collect()
    };
    assert!(p_value(&sample(1, 0), &sample(2, 0)) > ALPHA);
    assert!(p_value(&sample(1, 0), &sample(2, 200)) < ALPHA);
    assert!(p_value(&sample(1, 0), &[7; 100]) < ALPHA);
}

/// A sample of each kind, on a thread of its own: of worlds with seeds of their own, none of which lives long.
fn samples(of: [Reader; 3], runs: usize, writer: usize) -> Vec<Heard> {
    let sample = |kind: u64, reader: Reader| {
        let mut all = Heard::default();
        for world in 0..runs.div_ceil(WORLD) {
            all.join(overhear(1_000 * (kind + 1) + world as u64, WORLD.min(runs), writer, reader));
        }
        all
    };
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..).zip(of).map(|(kind, reader)| scope.spawn(move || sample(kind, reader))).collect();
        all.into_iter().map(|sample| sample.join().unwrap()).collect()
    })
}

fn compare(runs: usize, writer: usize) {
    let samples = samples([Reader::Offline, Reader::Online, Reader::Flaps], runs, writer);
    let [offline, others @ ..] = samples.as_slice() else { panic!("no samples") };
    assert!(offline.delivered.iter().all(|at| *at < RUN_MS), "delivered is known though nobody is there");
    for (other, reader) in others.iter().zip([Reader::Online, Reader::Flaps]) {
        let p = alike(other, offline);
        println!("figure online_or_not.{reader:?}.{writer} {p:.3}");
        assert!(p > ALPHA, "{reader:?} can be told from offline: p = {p}");
    }
}

/// Attacks 43 and 46: ten thousand messages each to somebody whose devices are there, aren't, and come and go. [W-12]
#[test]
fn t_043_when_delivered_comes_tells_nobody_who_is_online() {
    compare(10_000, 0);
}

/// The same where the reader's node is the hub. [W-12]
#[test]
fn t_043_nor_does_it_where_the_readers_node_is_the_hub() {
    compare(1_000, 1);
}

/// Real devices, which open what comes and keep their keys in stock, say nothing by themselves that another node sees. [W-12]
#[test]
fn t_046_a_device_that_is_there_says_nothing_of_its_own_to_the_other_node() {
    let hear = |reachable: bool| {
        let mut world = lined(11);
        for who in [one(), two()] {
            world.add_device(&who);
        }
        world.pass(60 * SECOND);
        world.plan_deed(0, Deed::Touch(two(), 0, Touch::Reaches(reachable)));
        world.pass(60 * SECOND);
        world.overheard = Some(Vec::new());
        for _ in 0..100 {
            world.plan_deed(0, Deed::Touch(one(), 0, Touch::Says(two(), 9)));
            world.pass(RUN_MS);
        }
        assert_eq!(world.broken, None);
        let shown = world.sealed.shown();
        let heard = world.overheard.take().unwrap().into_iter().filter(|(by, _, frame)| *by == 1 && !is_ping(frame));
        (heard.map(|(_, _, frame)| std::mem::discriminant(&frame)).collect::<Vec<_>>(), shown)
    };
    let ((online, read), (offline, unread)) = (hear(true), hear(false));
    assert!(read == 100 && unread == 0, "{read} {unread}");
    assert_eq!(online, offline);
    assert!(online.len() >= 100, "a Have each");
}

/// A seeded bug is noticed: a node that says `delivered` only while a device is there.
#[test]
fn t_043_a_delivered_that_waits_for_a_device_is_noticed() {
    let online = overhear(2, 300, 0, Reader::Online);
    set(Some(Canary::DeliveredWaitsForDevice));
    let [offline, flaps] =
        [(1, Reader::Offline), (3, Reader::Flaps)].map(|(seed, reader)| overhear(seed, 300, 0, reader));
    set(None);
    assert!(alike(&online, &offline) < ALPHA);
    assert!(alike(&online, &flaps) < ALPHA, "where it waits now and then, too");
}
