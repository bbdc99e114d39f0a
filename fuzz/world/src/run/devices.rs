//! Devices in a run: who has some, what they do in chaos, and what must hold of all that was sealed.

use std::collections::BTreeSet;

use postline_core::client::io::Policy;
use postline_core::id::{Address, Pair};
use postline_core::time::{HOUR, MINUTE, SECOND};

use crate::node::Broken;
use crate::rng::Rng;
use crate::weather::{Fault, Weather};
use crate::world::{Deal, Deed, Lasts, Touch, World};

/// In how many of a thousand runs with devices a node lies to devices.
const LIES: u64 = 250;
/// Longest chaos with devices: sessions that say nothing but that they are there bring nothing to light.
pub(super) const LASTS_MS: u64 = 2 * HOUR;
/// How long devices may take to say what they have to say, once all is healed.
const SETTLES_MS: u64 = 6 * HOUR;
/// What spoils what a node had promised to devices too: those who look at it look at mails.
const SPOIL: [Fault; 6] = [Fault::Backup, Fault::Clone, Fault::Rots, Fault::Twin, Fault::KeyChanges, Fault::KeyRotates];

/// The weather of a run with devices.
pub(super) fn without_spoilers(weather: Weather) -> Weather {
    SPOIL.into_iter().fold(weather, Weather::without)
}

/// Two people come to a line and to their first devices, in calm weather; then they plan what they do in chaos.
pub(super) fn begin(world: &mut World, rng: &mut Rng, lasts: u64) {
    let Some((one, two)) = couple(world, rng) else { return };
    let weather = std::mem::replace(&mut world.weather, Weather::calm());
    world.plan_deed(0, Deed::Write(one.clone(), vec![two.clone()], 0));
    world.pass(10 * SECOND);
    world.plan_deed(0, Deed::AnswerTo(two.clone(), one.clone()));
    world.pass(MINUTE);
    for who in [&one, &two] {
        world.add_device(who);
    }
    world.pass(20 * SECOND);
    if rng.chance(500) {
        world.add_device(&one);
        world.pass(20 * SECOND);
    }
    world.weather = weather;
    if rng.chance(LIES) {
        world.sealed.lied_to = true;
        world.liar = [&one, &two].get(rng.index(2)).and_then(|who| world.home(who));
    }
    plan(world, rng, lasts, &one, &two);
}

fn couple(world: &World, rng: &mut Rng) -> Option<(Address, Address)> {
    let lawful = |who: &Address| world.home(who).filter(|home| !world.ledger.lawless.contains(home));
    let people: Vec<Address> = world.people().into_iter().filter(|who| lawful(who).is_some()).collect();
    let one = rng.pick(&people)?.clone();
    let others: Vec<Address> = people.into_iter().filter(|who| lawful(who) != lawful(&one)).collect();
    Some((one, rng.pick(&others)?.clone()))
}

fn plan(world: &mut World, rng: &mut Rng, lasts: u64, one: &Address, two: &Address) {
    let both = [one.clone(), two.clone()];
    let mut at = 0;
    for _ in 0..3 + rng.below(10) {
        let span = [SECOND, 10 * SECOND, lasts / 6].get(rng.index(3)).copied().unwrap_or(SECOND);
        at += 1 + rng.below(span);
        let turn = rng.index(2);
        let (Some(who), Some(to)) = (both.get(turn).cloned(), both.get(1 - turn).cloned()) else { continue };
        let (nth, len) = (rng.draw(), if rng.chance(100) { 10_000 } else { rng.index(200) });
        world.plan_deed(at.min(lasts), Deed::Touch(who, nth, Touch::Says(to, len)));
    }
    for _ in 0..rng.below(6) {
        let (at, nth) = (rng.below(lasts), rng.draw());
        let Some(who) = rng.pick(&both).cloned() else { continue };
        let touch = match rng.below(6) {
            0 => Touch::Adds,
            1 => Touch::Revokes,
            2 | 3 => {
                let away = rng.below(lasts - at + 1);
                world.plan_deed(at + away, Deed::Touch(who.clone(), nth, Touch::Reaches(true)));
                Touch::Reaches(false)
            }
            4 => Touch::Crashes,
            _ => Touch::Reads,
        };
        world.plan_deed(at, Deed::Touch(who, nth, touch));
    }
}

/// Draws which devices are lost, put back or copied, and when: by itself, so that a seed keeps what it had before.
pub(super) fn plan_losses(world: &mut World, rng: &mut Rng, lasts: u64) {
    let people: BTreeSet<Address> = world.devices.iter().map(|device| device.address.clone()).collect();
    for who in people {
        let (nth, early, late) = (rng.draw(), rng.below(lasts / 2), lasts / 2 + rng.below(lasts / 2));
        let (first, then) = match rng.below(20) {
            0 | 1 => (Touch::BacksUp, Touch::Loses),
            2 => (Touch::Reads, Touch::Loses),
            3 | 4 => (Touch::Copies, Touch::PutsBack),
            5 | 6 => (Touch::Reads, Touch::Clones),
            _ => continue,
        };
        world.plan_deed(early, Deed::Touch(who.clone(), nth, first));
        world.plan_deed(late, Deed::Touch(who, nth, then));
    }
}

/// Draws what people do with what they have said: by itself too.
pub(super) fn plan_deals(world: &mut World, rng: &mut Rng, lasts: u64) {
    let people: Vec<Address> = world.devices.iter().map(|device| device.address.clone()).collect();
    for _ in 0..rng.below(12) {
        let Some(who) = rng.pick(&people).cloned() else { return };
        let deal = match rng.below(8) {
            0..=2 => Deal::Edits,
            3 => Deal::TakesBack,
            4 | 5 => Deal::Signs,
            6 => Deal::Unsigns,
            _ => Deal::Answers,
        };
        let (at, nth) = (rng.below(lasts), rng.draw());
        world.plan_deed(at, Deed::Touch(who, nth, Touch::Deals(deal, rng.draw())));
    }
}

/// Whether people of a seed's world pin messages: of a quarter of all, and of none that found a bug before.
pub(super) const fn pins(seed: u64) -> bool {
    matches!(seed % 16, 2 | 4 | 12 | 15)
}

/// Draws who pins what, and who would remove it: by itself, as above.
pub(super) fn plan_pins(world: &mut World, rng: &mut Rng, lasts: u64) {
    let people: Vec<Address> = world.devices.iter().map(|device| device.address.clone()).collect();
    for _ in 0..2 + rng.below(12) {
        let Some(who) = rng.pick(&people).cloned() else { return };
        let deal = match rng.below(8) {
            0..=3 => Deal::Pins,
            4 | 5 => Deal::Unpins,
            6 => Deal::TakesBack,
            _ => Deal::Removes,
        };
        let (at, nth) = (rng.below(lasts), rng.draw());
        world.plan_deed(at, Deed::Touch(who, nth, Touch::Deals(deal, rng.draw())));
    }
}

/// Whether people of a seed's world agree on how reading is told: of an eighth of all, and of none that found a bug before.
pub(super) const fn agrees(seed: u64) -> bool {
    matches!(seed % 16, 7 | 10)
}

/// Draws who sets how reading is told, and who reads before and behind it: by itself, as above.
pub(super) fn plan_policies(world: &mut World, rng: &mut Rng, lasts: u64) {
    let people: Vec<Address> = world.devices.iter().map(|device| device.address.clone()).collect();
    for _ in 0..2 + rng.below(6) {
        let policies = [Policy::Forbidden, Policy::Forbidden, Policy::Required, Policy::Optional];
        let (Some(who), Some(policy)) = (rng.pick(&people).cloned(), rng.pick(&policies).copied()) else { return };
        let (at, nth) = (rng.below(lasts), rng.draw());
        world.plan_deed(at, Deed::Touch(who, nth, Touch::Deals(Deal::Agrees(policy), rng.draw())));
        for _ in 0..rng.below(4) {
            let Some(reader) = rng.pick(&people).cloned() else { return };
            let span = [lasts - at, MINUTE.min(lasts - at)].get(rng.index(2)).copied().unwrap_or(lasts - at);
            world.plan_deed(at + rng.below(span + 1), Deed::Touch(reader, rng.draw(), Touch::Reads));
        }
    }
}

/// Draws who keeps to themselves what they read, and for how long: by itself too.
pub(super) fn plan_choices(world: &mut World, rng: &mut Rng, lasts: u64) {
    let people: BTreeSet<Address> = world.devices.iter().map(|device| device.address.clone()).collect();
    for who in people {
        let (nth, from) = (rng.draw(), rng.below(lasts));
        let to = from + rng.below(lasts - from + 1);
        if rng.chance(300) {
            world.plan_deed(from, Deed::Touch(who.clone(), nth, Touch::Tells(false)));
            world.plan_deed(to, Deed::Touch(who.clone(), nth, Touch::Reads));
            world.plan_deed(to + SECOND, Deed::Touch(who, nth, Touch::Tells(true)));
        }
    }
}

/// Whether people of a seed's world keep to themselves what they read, on several devices: of none that found a bug before.
pub(super) const fn keeps(seed: u64) -> bool {
    seed % 8 == 4
}

/// Draws who reads on which of their devices, and what they choose about telling it there, and when: by itself, as above.
pub(super) fn plan_own(world: &mut World, rng: &mut Rng, lasts: u64) {
    let people: BTreeSet<Address> = world.devices.iter().map(|device| device.address.clone()).collect();
    for who in people {
        if rng.chance(700) {
            world.plan_deed(rng.below(lasts / 2), Deed::Touch(who.clone(), rng.draw(), Touch::Adds));
        }
        for _ in 0..2 + rng.below(8) {
            let touch = match rng.below(4) {
                0 => Touch::Tells(rng.chance(250)),
                1 | 2 => Touch::Reads,
                _ => Touch::Crashes,
            };
            world.plan_deed(rng.below(lasts), Deed::Touch(who.clone(), rng.draw(), touch));
        }
    }
}

/// Whether people of a seed's world agree to be seen: of a quarter of all, and of none that found a bug before.
pub(super) const fn whispers(seed: u64) -> bool {
    matches!(seed % 8, 4 | 6)
}

/// Draws who agrees to be seen by the other, who writes, and who stirs, and when: by itself, as above.
pub(super) fn plan_whispers(world: &mut World, rng: &mut Rng, lasts: u64) {
    let people: Vec<Address> = {
        let all: BTreeSet<Address> = world.devices.iter().map(|device| device.address.clone()).collect();
        all.into_iter().collect()
    };
    let [one, two] = people.as_slice() else { return };
    for (who, other) in [(one, two), (two, one)] {
        for _ in 0..2 + rng.below(8) {
            let touch = match rng.below(8) {
                0..=2 => Touch::Agrees(other.clone(), rng.chance(750)),
                3 | 4 => Touch::Types(other.clone()),
                _ => Touch::Stirs,
            };
            // Close to each other at times, within a lease.
            let span = [lasts, 10 * MINUTE, MINUTE].get(rng.index(3)).copied().unwrap_or(lasts);
            let at = rng.below(span.min(lasts));
            world.plan_deed(at, Deed::Touch(who.clone(), rng.draw(), touch));
        }
        if rng.chance(200) {
            let pair = Pair { ours: who.clone(), theirs: other.clone() };
            world.plan_deed(rng.below(lasts), Deed::Block(pair, true));
        }
    }
}

/// Whether people of a seed's world say what is to be forgotten: of three in sixteen, and of none that found a bug before.
pub(super) const fn fades(seed: u64) -> bool {
    matches!(seed % 16, 4 | 12 | 14)
}

/// Draws who says what is to be forgotten, and who reads, and when: by itself, as above.
pub(super) fn plan_fades(world: &mut World, rng: &mut Rng, lasts: u64) {
    let people: Vec<Address> = {
        let all: BTreeSet<Address> = world.devices.iter().map(|device| device.address.clone()).collect();
        all.into_iter().collect()
    };
    let [one, two] = people.as_slice() else { return };
    for _ in 0..3 + rng.below(8) {
        let (who, to) = if rng.chance(500) { (one, two) } else { (two, one) };
        let span = [30, 600, 7_200].get(rng.index(3)).copied().unwrap_or(30);
        let seconds = u32::try_from(1 + rng.below(span)).unwrap_or(1);
        let lasts_for = if rng.chance(500) { Lasts::For(seconds) } else { Lasts::AfterReading(seconds.min(600)) };
        let at = rng.below(lasts);
        world.plan_deed(at, Deed::Touch(who.clone(), rng.draw(), Touch::Fades(to.clone(), lasts_for)));
        if rng.chance(400) {
            let at = at + rng.below(lasts - at + 1);
            world.plan_deed(at, Deed::Touch(to.clone(), rng.draw(), Touch::Reads));
        }
    }
}

/// Draws who sends whom a file, and when: by itself, as above. How the files go is drawn from it too.
pub(super) fn plan_files(world: &mut World, rng: &mut Rng, lasts: u64) {
    let people: Vec<Address> = {
        let all: BTreeSet<Address> = world.devices.iter().map(|device| device.address.clone()).collect();
        all.into_iter().collect()
    };
    let [one, two] = people.as_slice() else { return };
    for _ in 0..2 + rng.below(8) {
        let (who, theirs) = if rng.chance(500) { (one, two) } else { (two, one) };
        let (at, nth) = (rng.below(lasts), rng.draw());
        world.plan_deed(at, Deed::Touch(who.clone(), nth, Touch::Sends(theirs.clone())));
    }
    world.plays_files(rng.fork());
}

/// Lets time pass until devices have said what they had to say, and what was to be forgotten is.
pub(super) fn settle(world: &mut World) {
    all_said(world);
    world.fades_out();
}

fn all_said(world: &mut World) {
    let mut passed = 0;
    let mut span = MINUTE;
    while passed < SETTLES_MS && world.broken.is_none() && !world.devices.is_empty() {
        world.pass(span);
        passed += span;
        if world.devices_are_settled() {
            // What others still owe each other comes within this.
            world.pass(10 * MINUTE);
            world.own_devices_agree();
            return world.last_words();
        }
        span = (span * 2).min(HOUR);
    }
}

/// What must hold of all that was sealed, when all has come to its end.
pub(super) fn end(world: &mut World) -> Result<(), Broken> {
    world.search()?;
    world.files_came_to_an_end()?;
    // Who lies can keep everything back.
    if world.liar.is_some() {
        return Ok(());
    }
    let views = world.looks();
    world.check_views(&views)?;
    world.sealed.check(&world.current_devices(), |one, two| world.is_line(one, two) && world.is_line(two, one))?;
    world.both_know_what_was_read()?;
    world.check_snapshots()
}
