//! One seed, one run: people and faults are drawn, chaos lasts its time, all is healed, and what was promised must hold.

mod devices;

use postline_core::id::{Address, Domain, Mailbox, Pair};
use postline_core::machine::trust::TrustState;
use postline_core::store::Record;
use postline_core::time::{DAY, HOUR, MINUTE, SECOND};

use crate::bytes::mailbox_of;
use crate::node::Broken;
use crate::rng::Rng;
use crate::weather::{Fault, Weather};
use crate::world::{Deed, FORWARDS, LISTS, ROBOTS, Trouble, World, chaos_ms};

/// Names of domains, the lawless one last.
const DOMAINS: [&str; 4] = ["a.example", "b.example", "c.example", "x.example"];
/// Further domains of the first nodes.
const FURTHER: [&str; 3] = ["d.example", "e.example", "f.example"];
/// What the stream of draws about hosts begins from, so that it is no seed's own.
const HOSTS: u64 = 5;
/// How much faster a clock may run than time, and nearly how much slower: worse than any that is kept.
const DRIFT_PPM: i64 = 10_000;
/// The same of those about devices.
const PHONES: u64 = 0x70_686f_6e65;
const FILES: u64 = 0x0066_696c_6573;
/// The same of those about what happens to devices.
const LOSSES: u64 = 0x6c6f_7373_6573;
/// What the draws of what people do with what they said begin with, beside the seed.
const DEALS: u64 = 0x0064_6561_6c73;
/// The same of those about what people choose.
const CHOICES: u64 = 0x0063_686f_6963_6573;
/// The same, of what people say that is to be forgotten.
const FADES: u64 = 0x6661_6465_7300;
/// The same, of who is whispered about.
const WHISPERS: u64 = 0x7768_6973_7065;
/// The same, of what is pinned.
const PINS: u64 = 0x7069_6e73;
const POLICIES: u64 = 0x706f_6c69;
/// The same, of who keeps to themselves what they read.
const OWN: u64 = 0x006f_776e;
/// How long after healing everything must have come to its end.
const SETTLES_MS: u64 = 7 * DAY;

/// How a run ended.
#[derive(Debug)]
pub struct Run {
    /// Its seed.
    pub seed: u64,
    /// What went wrong on purpose.
    pub weather: String,
    /// How many steps the nodes made.
    pub steps: u64,
    /// What the run did, as one number.
    pub hash: u64,
    /// What must never happen, and did.
    pub broken: Option<Broken>,
    /// What happened, where somebody wanted to read it.
    pub lines: Vec<String>,
    /// How many mails were written, and how many pairs ended with a line.
    pub mails: usize,
    /// How many pairs have a line in the end.
    pub lines_up: usize,
    /// How many devices there were.
    pub devices: usize,
    /// How many messages were sealed.
    pub sealed: usize,
    /// How often one was shown.
    pub shown: usize,
    /// How often somebody was shown to be here or away, and to be writing.
    pub whispered: (u64, u64),
    /// How often a file was fetched, and how often a fetch ended otherwise.
    pub files: (u64, u64),
}

/// Runs a seed.
#[must_use]
pub fn run(seed: u64, reads: bool) -> Run {
    run_in(seed, &[], reads)
}

/// Runs a seed in weather that has these faults, often, and no others.
#[must_use]
pub fn run_in(seed: u64, faults: &[(Fault, u64)], reads: bool) -> Run {
    run_of(seed, faults, None, reads)
}

/// Runs a seed whose people have devices, in weather that has these faults, or any.
#[must_use]
pub fn run_with_devices(seed: u64, faults: &[(Fault, u64)], reads: bool) -> Run {
    run_of(seed, faults, Some(Phones::of(seed)), reads)
}

/// Runs a seed whose people have devices, and send each other files, in weather that has these faults, or any.
#[must_use]
pub fn run_with_files(seed: u64, faults: &[(Fault, u64)], reads: bool) -> Run {
    let files = Some(Rng::new(seed.rotate_left(29) ^ FILES));
    run_of(seed, faults, Some(Phones { files, ..Phones::of(seed) }), reads)
}

/// What is drawn about devices: each of its own stream.
struct Phones {
    /// Who has some, and what they do with them.
    use_of: Rng,
    /// What happens to the machines.
    losses: Rng,
    /// What people do with what they said.
    deals: Rng,
    /// Who keeps to themselves what they read.
    choices: Rng,
    /// What is whispered, where anything is.
    whispers: Option<Rng>,
    /// What is pinned, where anything is.
    pins: Option<Rng>,
    /// What people agree on about reading, where they do.
    policies: Option<Rng>,
    /// What is said and to be forgotten, where anything is.
    fades: Option<Rng>,
    /// Who keeps to themselves what they read on several devices, where any do.
    own: Option<Rng>,
    /// Which files people send, where they do, and how these go.
    files: Option<Rng>,
}

impl Phones {
    const fn of(seed: u64) -> Self {
        let (use_of, losses) = (seed.rotate_left(17) ^ PHONES, seed.rotate_left(41) ^ LOSSES);
        let choices = Rng::new(seed.rotate_left(53) ^ CHOICES);
        let deals = Rng::new(seed.rotate_left(59) ^ DEALS);
        let pins = if devices::pins(seed) { Some(Rng::new(seed.rotate_left(47) ^ PINS)) } else { None };
        let policies = if devices::agrees(seed) { Some(Rng::new(seed.rotate_left(47) ^ POLICIES)) } else { None };
        let whispers = if devices::whispers(seed) { Some(Rng::new(seed.rotate_left(53) ^ WHISPERS)) } else { None };
        let fades = if devices::fades(seed) { Some(Rng::new(seed.rotate_left(47) ^ FADES)) } else { None };
        let own = if devices::keeps(seed) { Some(Rng::new(seed.rotate_left(47) ^ OWN)) } else { None };
        Self {
            use_of: Rng::new(use_of),
            losses: Rng::new(losses),
            choices,
            deals,
            whispers,
            own,
            pins,
            policies,
            files: None,
            fades,
        }
    }
}

fn run_of(seed: u64, faults: &[(Fault, u64)], phones: Option<Phones>, reads: bool) -> Run {
    let (mut world, weather) = after_chaos(seed, faults, phones, reads);
    world.heal();
    if world.broken.is_none() {
        settle(&mut world);
        devices::settle(&mut world);
    }
    let held = if world.broken.is_none() { end(&mut world) } else { Ok(()) };
    world.broken = world.broken.take().or(held.err());
    if world.broken.is_none() && is_orderly(&weather) {
        let held = make_friends(&mut world);
        world.broken = world.broken.take().or(held.err());
    }
    let lines_up = pairs(&world).into_iter().filter(|(node, pair)| state(&world, *node, pair) == TrustState::Trusted);
    Run {
        seed,
        weather: weather.to_string(),
        steps: world.steps,
        hash: world.trace.hash(),
        mails: world.ledger.mails.len(),
        devices: world.devices.len(),
        sealed: world.sealed.said.len(),
        shown: world.sealed.shown(),
        whispered: world.whispered,
        files: world.files.ended,
        lines_up: lines_up.count(),
        lines: world.trace.lines().to_vec(),
        broken: world.broken,
    }
}

/// What the first node of a seed's world has on its disk when chaos ends.
#[must_use]
pub fn records(seed: u64) -> Vec<Record> {
    let (world, _) = after_chaos(seed, &[], None, false);
    world.nodes.first().map(|node| node.disk.records().cloned().collect()).unwrap_or_default()
}

fn after_chaos(seed: u64, faults: &[(Fault, u64)], phones: Option<Phones>, reads: bool) -> (World, Weather) {
    let mut rng = Rng::new(seed);
    let (mut names, mut hosts) = (Rng::new(!seed), Rng::new(seed.rotate_left(32) ^ HOSTS));
    let drawn = Weather::of(&mut rng).and_names(&mut names).and_hosts(&mut hosts);
    let only = faults.iter().fold(Weather::calm(), |weather, (fault, odds)| weather.with(*fault, *odds));
    let weather = if faults.is_empty() { drawn } else { only };
    let weather = if phones.is_some() { devices::without_spoilers(weather) } else { weather };
    let mut world = populated(&mut rng, weather.clone(), reads);
    let lasts = chaos_ms(&mut rng);
    let lasts = if phones.is_some() { lasts.min(devices::LASTS_MS) } else { lasts };
    if let Some(mut phones) = phones {
        devices::begin(&mut world, &mut phones.use_of, lasts);
        devices::plan_losses(&mut world, &mut phones.losses, lasts);
        devices::plan_deals(&mut world, &mut phones.deals, lasts);
        devices::plan_choices(&mut world, &mut phones.choices, lasts);
        if let Some(whispers) = &mut phones.whispers {
            devices::plan_whispers(&mut world, whispers, lasts);
        }
        if let Some(pins) = &mut phones.pins {
            devices::plan_pins(&mut world, pins, lasts);
        }
        if let Some(policies) = &mut phones.policies {
            devices::plan_policies(&mut world, policies, lasts);
        }
        if let Some(fades) = &mut phones.fades {
            devices::plan_fades(&mut world, fades, lasts);
        }
        if let Some(own) = &mut phones.own {
            devices::plan_own(&mut world, own, lasts);
        }
        if let Some(files) = &mut phones.files {
            devices::plan_files(&mut world, files, lasts);
        }
    }
    plan(&mut world, &mut rng, lasts);
    world.people_accept = true;
    plan_keys(&mut world, &mut names, lasts);
    plan_hosts(&mut world, &mut hosts, lasts);
    world.pass(lasts);
    (world, weather)
}

fn populated(rng: &mut Rng, weather: Weather, reads: bool) -> World {
    let nodes = 2 + rng.index(2);
    let mut domains: Vec<&str> = DOMAINS.into_iter().take(nodes).collect();
    let lawless = weather.has(Fault::Byzantine);
    if lawless {
        domains.push(DOMAINS[3]);
    }
    let mut world = World::seeded(rng.draw(), &domains, weather, reads);
    for (index, node) in world.nodes.iter_mut().enumerate() {
        let names = ["ann", "bob"].into_iter().take(1 + rng.index(2));
        node.users = names.map(|name| Mailbox(name.to_owned())).collect();
        if lawless && index == nodes {
            world.ledger.lawless.insert(index);
        }
    }
    if lawless {
        // It says that it was another before.
        let victim = world.nodes.first().map(crate::node::Node::nk);
        world.sets_up(nodes, |node| node.usurps = victim);
    }
    if world.weather.has(Fault::Domains) {
        for (index, name) in FURTHER.into_iter().enumerate().take(nodes) {
            let (Ok(domain), dan) = (Domain::parse(name), Mailbox("dan".to_owned())) else { continue };
            world.sets_up(index, |node| {
                node.users.insert(dan.clone());
                node.lives.insert(dan, domain.clone());
                node.also.insert(domain);
            });
        }
    }
    for index in 0..world.nodes.len() {
        if rng.chance(300) {
            world.says_its_key(index);
        }
    }
    world
}

/// Draws who does what, and what happens to them, over this time.
fn plan(world: &mut World, rng: &mut Rng, lasts: u64) {
    let people = world.people();
    for _ in 0..1 + rng.index(3) {
        let (Some(one), Some(two)) = (rng.pick(&people).cloned(), rng.pick(&people).cloned()) else { continue };
        if one.domain() != two.domain() {
            plan_conversation(world, rng, lasts, &one, &two);
        }
    }
    for _ in 0..rng.below(12) {
        let (at, deed) = (rng.below(lasts), any_deed(rng, &people, world.nodes.len()));
        world.plan_deed(at, deed);
    }
    plan_troubles(world, rng, lasts);
}

/// A mail, an answer, and what follows: most of it soon.
fn plan_conversation(world: &mut World, rng: &mut Rng, lasts: u64, one: &Address, two: &Address) {
    let mut at = rng.below(lasts / 2);
    world.plan_deed(at, Deed::Write(one.clone(), vec![two.clone()], 0));
    for turn in 0..1 + rng.below(6) {
        at += 2 * SECOND + rng.below((lasts - at.min(lasts)).min(30 * MINUTE) / 4 + 1);
        let (who, whom) = if turn % 2 == 0 { (two, one) } else { (one, two) };
        let deed = match rng.below(4) {
            0 if turn > 0 => Deed::Write(who.clone(), vec![whom.clone()], size(rng)),
            _ => Deed::AnswerTo(who.clone(), whom.clone()),
        };
        world.plan_deed(at, deed);
    }
}

/// Draws which nodes change their keys, and when: none twice, since who is away for two changes can't follow.
fn plan_keys(world: &mut World, rng: &mut Rng, lasts: u64) {
    for node in 0..world.nodes.len() {
        let at = rng.below(lasts);
        if world.weather.has(Fault::KeyRotates) && rng.chance(600) {
            world.plan(at, Trouble::Rotate(node));
        } else if world.weather.has(Fault::KeyChanges) && rng.chance(500) {
            world.plan(at, Trouble::Rekey(node));
        }
    }
}

/// Draws what happens to hosts, their clocks and their disks.
fn plan_hosts(world: &mut World, rng: &mut Rng, lasts: u64) {
    let nodes = world.nodes.len();
    for (fault, most) in [(Fault::Pauses, 3), (Fault::Rots, 3), (Fault::Replayed, 6), (Fault::Twin, 1)] {
        for _ in 0..if world.weather.has(fault) { 1 + rng.below(most) } else { 0 } {
            let (at, node) = (rng.below(lasts), rng.index(nodes));
            let span = [SECOND, MINUTE, 10 * MINUTE].get(rng.index(3)).copied().unwrap_or(SECOND);
            let trouble = match fault {
                Fault::Pauses => Trouble::Pause(node, rng.below(span)),
                Fault::Rots => Trouble::Rot(node),
                Fault::Replayed => Trouble::Replay(node),
                _ => Trouble::Twin(node),
            };
            world.plan(at, trouble);
        }
    }
    if world.weather.has(Fault::Drifts) {
        for node in &mut world.nodes {
            node.drift_ppm = DRIFT_PPM - i64::try_from(rng.below(20_000)).unwrap_or_default();
        }
    }
}

fn size(rng: &mut Rng) -> usize {
    [0, 0, 0, 20_000, 70_000, 300_000].get(rng.index(6)).copied().unwrap_or_default()
}

fn any_deed(rng: &mut Rng, people: &[Address], nodes: usize) -> Deed {
    let mut somebody = || rng.pick(people).cloned();
    let (Some(who), Some(whom)) = (somebody(), somebody()) else { return Deed::Retry(0) };
    let special = |text: String| Address::parse(&text).ok();
    match rng.below(14) {
        0..=3 => {
            let to = (0..1 + rng.index(3)).filter_map(|_| rng.pick(people).cloned()).collect();
            Deed::Write(who, to, size(rng))
        }
        4 | 5 => Deed::Answer(who, rng.draw(), rng.chance(400)),
        6 => Deed::Vacation(who, rng.draw()),
        7 => Deed::Forward(who, whom, rng.draw()),
        8 => Deed::Block(Pair { ours: who, theirs: whom }, true),
        9 => Deed::Block(Pair { ours: who, theirs: whom }, false),
        10 => Deed::Retry(rng.index(nodes)),
        11 => Deed::Write(who, special(format!("team@{LISTS}")).into_iter().collect(), 0),
        12 => {
            let to = format!("{}={}@{FORWARDS}", whom.local(), whom.domain());
            Deed::Write(who, special(to).into_iter().chain([whom]).collect(), 0)
        }
        _ => {
            let to = [format!("robot@{ROBOTS}"), format!("nobody@{}", whom.domain()), "no@no.example".to_owned()];
            Deed::Write(who, rng.pick(&to).cloned().and_then(special).into_iter().collect(), 0)
        }
    }
}

fn plan_troubles(world: &mut World, rng: &mut Rng, lasts: u64) {
    let nodes = world.nodes.len();
    let times = |on: bool, rng: &mut Rng| if on { 1 + rng.below(3) } else { 0 };
    let weather = world.weather.clone();
    for _ in 0..times(weather.has(Fault::Partition), rng) {
        let (one, two, at) = (rng.index(nodes), rng.index(nodes), rng.below(lasts));
        let until = at + rng.below(10 * MINUTE);
        for (from, to) in [(one, two), (two, one)].into_iter().take(1 + rng.index(2)) {
            world.plan(at, Trouble::Apart(from, to, true));
            world.plan(until, Trouble::Apart(from, to, false));
        }
    }
    for _ in 0..times(weather.has(Fault::ClockJumps), rng) {
        let span = [SECOND, MINUTE, HOUR].get(rng.index(3)).copied().unwrap_or(SECOND);
        let ms = i64::try_from(rng.below(span)).unwrap_or_default();
        let ms = if rng.chance(500) { ms } else { -ms };
        world.plan(rng.below(lasts), Trouble::Clock(rng.index(nodes), ms));
    }
    let notices = weather.has(Fault::Backup);
    if notices || weather.has(Fault::Clone) {
        let (node, at) = (rng.index(nodes), rng.below(lasts));
        world.plan(at, Trouble::BackUp(node));
        world.plan(at + rng.below(lasts - at), Trouble::Restore(node, notices));
    }
    for _ in 0..4 * times(weather.has(Fault::Forger), rng) {
        world.plan(rng.below(lasts), Trouble::Evil);
    }
    if weather.has(Fault::Flood) {
        world.plan(rng.below(lasts), Trouble::Flood(rng.index(nodes)));
    }
    let crashes = [Fault::CrashBeforeCommit, Fault::CrashAfterCommit, Fault::CrashAmongEffects];
    for _ in 0..times(crashes.into_iter().any(|fault| weather.has(fault)), rng) {
        world.plan(rng.below(lasts), Trouble::Crash(rng.index(nodes)));
    }
}

/// Lets time pass until nothing is on its way.
fn settle(world: &mut World) {
    let (mut passed, mut span) = (0, MINUTE);
    while passed < SETTLES_MS && world.broken.is_none() {
        world.pass(span);
        passed += span;
        if world.is_settled() {
            return;
        }
        span = (span * 2).min(4 * HOUR);
    }
}

/// What must hold when all has come to its end.
fn end(world: &mut World) -> Result<(), Broken> {
    devices::end(world)?;
    world.ledger.check_shown()?;
    world.ledger.check_reports()?;
    for (marker, mail) in world.ledger.mails.iter().filter(|(_, mail)| mail.accepted) {
        if world.ledger.rotten.contains(marker) {
            continue;
        }
        let bad = |node: &usize| world.ledger.rolled_back.contains(node) || world.ledger.lawless.contains(node);
        if mail.node.as_ref().is_some_and(bad) {
            continue;
        }
        for rcpt in &mail.rcpts {
            let home = world.home(rcpt);
            if home.as_ref().is_some_and(bad) {
                continue;
            }
            let shown = home.is_some_and(|home| world.ledger.is_shown(marker, home, &mailbox_of(rcpt)));
            let passed_on = [LISTS, FORWARDS, ROBOTS].contains(&rcpt.domain().as_str());
            if !shown && !passed_on && !world.ledger.is_reported(marker, rcpt) {
                let what = if world.is_settled() { "is nowhere" } else { "still waits" };
                return Err((if world.is_settled() { "I1" } else { "I3" }, format!("{marker} for {rcpt} {what}")));
            }
        }
    }
    Ok(())
}

/// Whether, once healed, two who write to each other must come to a line.
fn is_orderly(weather: &Weather) -> bool {
    let spoils = [Fault::Backup, Fault::Clone, Fault::Byzantine, Fault::KeyChanges, Fault::Rots, Fault::Twin];
    !spoils.into_iter().any(|fault| weather.has(fault))
}

fn pairs(world: &World) -> Vec<(usize, Pair)> {
    let people = world.people();
    let both = people.iter().flat_map(|ours| people.iter().map(move |theirs| (ours, theirs)));
    let apart = both.filter(|(ours, theirs)| ours.domain() != theirs.domain());
    apart
        .filter_map(|(ours, theirs)| Some((world.home(ours)?, Pair { ours: ours.clone(), theirs: theirs.clone() })))
        .collect()
}

fn state(world: &World, node: usize, pair: &Pair) -> TrustState {
    world.nodes.get(node).map_or(TrustState::Stranger, |node| node.trust(pair).state())
}

/// Two who wrote to each other, and whom nothing stands in the way, have a line after some more letters.
fn make_friends(world: &mut World) -> Result<(), Broken> {
    let known = |world: &World, pair: &Pair| world.ledger.has_written(&pair.ours, &pair.theirs);
    let mirrored = |pair: &Pair| Pair { ours: pair.theirs.clone(), theirs: pair.ours.clone() };
    let found = pairs(world).into_iter().find(|(node, pair)| {
        let open = |state| {
            !matches!(
                state,
                TrustState::Revoked | TrustState::Suspended | TrustState::Accepting | TrustState::Confirming
            )
        };
        let there = world.home(&pair.theirs).unwrap_or_default();
        known(world, pair) && open(state(world, *node, pair)) && open(state(world, there, &mirrored(pair)))
    });
    let Some((here, pair)) = found else { return Ok(()) };
    let (one, two) = (pair.ours.clone(), pair.theirs.clone());
    for _ in 0..3 {
        world.plan_deed(0, Deed::Write(one.clone(), vec![two.clone()], 0));
        world.pass(3 * MINUTE);
        world.plan_deed(0, Deed::AnswerTo(two.clone(), one.clone()));
        world.pass(3 * MINUTE);
        world.plan_deed(0, Deed::AnswerTo(one.clone(), two.clone()));
        world.pass(3 * MINUTE);
    }
    if let Some(broken) = world.broken.take() {
        return Err(broken);
    }
    let there = world.home(&two).unwrap_or_default();
    let (ours, theirs) = (state(world, here, &pair), state(world, there, &mirrored(&pair)));
    if (ours, theirs) != (TrustState::Trusted, TrustState::Trusted) {
        return Err(("liveness", format!("{pair} wrote to each other, and are {ours:?} and {theirs:?}")));
    }
    let t2 = |node: usize, pair: &Pair| world.nodes.get(node).and_then(|node| node.trust(pair).t2());
    if t2(here, &pair) != t2(there, &mirrored(&pair)) {
        return Err(("I19", format!("{pair} have a line by two different handshakes")));
    }
    Ok(())
}
