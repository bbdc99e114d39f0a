//! `delivered` is said by a node, when something is durable there: it tells nobody whether a device is on, or what it does.

use postline_core::wire::talk::Kind;
use postline_world::weather::{Fault, Weather};

use crate::kit::two;
use crate::phones::begun;

/// How many messages are timed in each case.
const RUNS: usize = 3_400;
/// How often the author's device looks.
const LOOKS_MS: u64 = 50;

/// What the devices of the other do meanwhile.
#[derive(Clone, Copy)]
enum Devices {
    /// They take everything, and say so.
    Here,
    /// They take it, and say nothing.
    Silent,
    /// They are off.
    Away,
}

/// How long each `delivered` took, over a link on which half of the frames are up to two seconds late.
fn waits(devices: Devices) -> Vec<u64> {
    let (mut world, mut phones, id) = begun(0);
    world.weather = Weather::calm().with(Fault::SlowLink, 500);
    for phone in &mut phones.all[1..] {
        phone.online = !matches!(devices, Devices::Away);
        phone.acks = !matches!(devices, Devices::Silent);
    }
    phones.pass(&mut world, 5_000);
    let mut waits = Vec::new();
    for _ in 0..RUNS {
        phones.all[0].post(&mut world, id, Kind::Message, 1, "are you there?");
        let (begun, seq) = (world.now, phones.all[0].chat(id).have() + 1);
        while phones.all[0].chat(id).delivered.get(&two()).is_none_or(|upto| *upto < seq) {
            world.pass(LOOKS_MS - 1);
            phones.pass(&mut world, 1);
            assert!(world.now.since(begun) < 60_000, "never delivered");
        }
        waits.push(world.now.since(begun));
    }
    waits
}

/// Kolmogorov and Smirnov, of two samples: above 1.628 they are of one source with a probability under 0.01.
fn statistic(one: &[u64], other: &[u64]) -> f64 {
    let below =
        |sample: &[u64], at: u64| sample.iter().filter(|wait| **wait <= at).count() as f64 / sample.len() as f64;
    let points = one.iter().chain(other).max().map_or(0, |last| last / LOOKS_MS);
    let distance = |at: u64| (below(one, at * LOOKS_MS) - below(other, at * LOOKS_MS)).abs();
    let greatest = (0..=points).map(distance).fold(0.0, f64::max);
    greatest * (one.len() as f64 * other.len() as f64 / (one.len() + other.len()) as f64).sqrt()
}

/// Attack 46: over 10⁴ messages, the time at which `delivered` comes is the same whether the other's devices are on, silent, or off.
#[test]
fn t_046_when_delivered_comes_tells_no_device_that_is_on_from_one_that_is_off() {
    let here = waits(Devices::Here);
    for devices in [Devices::Silent, Devices::Away] {
        let other = waits(devices);
        let got = statistic(&here, &other);
        println!("figure delivered.ks_statistic {got:.3}");
        assert!(got < 1.628, "{got}");
        // Were it but a tenth of a second later, it would be seen.
        let later: Vec<u64> = other.iter().map(|wait| wait + 100).collect();
        assert!(statistic(&here, &later) > 1.628, "the test is blind");
    }
}
