//! All orders of few events of three people.

use std::collections::{BTreeMap, BTreeSet};

use postline_core::client::io::Policy;
use postline_core::client::replay::Heard;
use postline_core::content::message::Fields;
use postline_core::content::message::Topic;
use postline_core::content::part::Part;
use postline_core::id::Hash;

use crate::kit::{
    ANN, BEN, CAT, Disk, Host, about, answer, at, edit, heard, message, name, pin, policy, react, retract, withdraw,
};

/// What three people may say: each thing at its place in the hub's log.
fn alphabet() -> Vec<Heard> {
    let first = message(1, ANN, "first");
    let answered = answer(2, BEN, &first);
    let one = edit(3, ANN, &first, 1);
    let other = edit(4, ANN, &first, 1);
    let foreign = edit(5, BEN, &first, 2);
    let sign = react(6, CAT, &first, "+");
    let again = at(&first, 14);
    let later = message(24, ANN, "later");
    let ahead = about(edit(22, ANN, &later, 1), 24);
    let elsewhere = Fields {
        topic: Topic::from_first(name(&answered)),
        ..Fields::new([8; 16], Part::plain("in another thread").unwrap())
    };
    let moved = elsewhere.edit(name(&first), 9.try_into().unwrap());
    vec![
        react(7, BEN, &one, "-"),
        withdraw(8, CAT, &first, &sign),
        answer(9, CAT, &other),
        retract(10, ANN, &first),
        // Of what isn't theirs, and where something else lies.
        about(edit(11, ANN, &first, 3), 2),
        retract(12, ANN, &answered),
        // At a version that doesn't count, and at one whose edit leads nowhere.
        react(13, CAT, &foreign, "?"),
        // The same content at another place is another message.
        edit(15, ANN, &again, 1),
        retract(16, ANN, &again),
        about(react(17, BEN, &again, "!"), 1),
        // Of what lies behind it, and of another thread.
        about(answer(18, BEN, &first), 20),
        heard(19, ANN, moved, Some(1)),
        ahead.clone(),
        react(23, CAT, &ahead, "#"),
        later,
        first,
        answered,
        one,
        other,
        foreign,
        sign,
        again,
    ]
}

/// [P-5] [R-2] [R-6] [R-7], attacks 48 to 51, 53, 58: of every set of events, all orders make one
/// snapshot; said twice, nothing changes. By induction: whatever records the orders of a set leave, each is gone on from, by a device that
/// was started anew between any two events.
fn all_orders(of: &[Heard], most: usize) -> (usize, usize, usize) {
    let mut snapshots: BTreeMap<BTreeSet<usize>, Hash> = BTreeMap::new();
    let mut layer: BTreeMap<BTreeSet<usize>, BTreeSet<Vec<u8>>> = BTreeMap::new();
    let mut disks: BTreeMap<Vec<u8>, Disk> = BTreeMap::new();
    let key = |disk: &Disk| {
        let mut key = Vec::new();
        for record in disk.values() {
            key.extend(record.key.to_string().into_bytes());
            key.extend(record.value.iter().flatten());
        }
        postline_core::store::sha256(&[&key]).0.to_vec()
    };
    disks.insert(Vec::new(), Disk::new());
    layer.insert(BTreeSet::new(), [Vec::new()].into());
    let (mut steps, mut widest) = (0, 0);
    for _ in 0..most {
        let mut next: BTreeMap<BTreeSet<usize>, BTreeSet<Vec<u8>>> = BTreeMap::new();
        let mut found: BTreeMap<Vec<u8>, Disk> = BTreeMap::new();
        for (set, before) in &layer {
            for (disk, index) in before.iter().flat_map(|disk| (0..of.len()).map(move |index| (disk, index))) {
                let (disk, event) = (&disks[disk], &of[index]);
                let mut host = Host::on(disk.clone());
                host.hear(event);
                steps += 1;
                if set.contains(&index) {
                    assert_eq!(host.disk, *disk, "{event:?} twice");
                    continue;
                }
                let mut with = set.clone();
                with.insert(index);
                let key = key(&host.disk);
                if next.entry(with.clone()).or_default().insert(key.clone()) {
                    let hash = host.snapshot().hash;
                    let first = snapshots.entry(with.clone()).or_insert(hash);
                    let events = || with.iter().map(|index| of[*index].seq).collect::<Vec<_>>();
                    assert_eq!(*first, hash, "places {:?}, {} last", events(), event.seq);
                    found.insert(key, host.disk);
                }
            }
        }
        widest = next.values().map(BTreeSet::len).max().unwrap_or_default().max(widest);
        (layer, disks) = (next, found);
    }
    let distinct: BTreeSet<Hash> = snapshots.values().copied().collect();
    (steps, widest, distinct.len())
}

/// Of all that may be said, all sets of few.
#[test]
fn every_order_of_four_of_all_events_makes_one_snapshot() {
    // What the six below have, too, is left out.
    let events: Vec<Heard> = alphabet().into_iter().filter(|event| ![7, 9].contains(&event.seq)).collect();
    let (steps, widest, distinct) = all_orders(&events, 4);
    println!("figure convergence.four {steps} steps, {widest} records at most, {distinct} snapshots");
    assert!(steps > 20_000 && widest > 1 && distinct > 150, "{steps} {widest} {distinct}");
}

/// Of what is said most, all sets of six: a message, an answer, edits, a retract, signs at two versions, one taken back.
#[test]
fn t_051_every_order_of_six_events_of_three_people_makes_one_snapshot() {
    let few = [1, 2, 3, 4, 6, 7, 8, 9, 10];
    let events: Vec<Heard> = alphabet().into_iter().filter(|event| few.contains(&event.seq)).collect();
    let (steps, widest, distinct) = all_orders(&events, 6);
    println!("figure convergence.six {steps} steps, {widest} records at most, {distinct} snapshots");
    assert!(steps > 5_000 && widest > 10 && distinct > 60, "{steps} {widest} {distinct}");
}

/// [R-17] [V-3] [V-5] [V-8]: of what is done to a conversation, all sets of five beside what it is done to: pins and their ends, one of
/// what lies behind it, one of what is no message, one of what is taken back; three policies, one of them said once more.
#[test]
fn every_order_of_five_pins_and_policies_makes_one_snapshot() {
    let (first, later) = (message(1, ANN, "first"), message(9, BEN, "later"));
    let words = edit(2, ANN, &first, 1);
    let events = [
        pin(3, BEN, &first, true),
        pin(4, CAT, &first, false),
        pin(6, ANN, &first, true),
        pin(7, ANN, &words, true),
        about(pin(8, ANN, &first, true), 9),
        pin(10, CAT, &later, true),
        retract(11, BEN, &later),
        policy(5, ANN, Policy::Forbidden, None),
        policy(12, BEN, Policy::Required, None),
        policy(13, CAT, Policy::Forbidden, Some(5)),
        first,
        words,
        later,
    ];
    let (steps, widest, distinct) = all_orders(&events, 5);
    println!("figure convergence.controls {steps} steps, {widest} records at most, {distinct} snapshots");
    assert!(steps > 10_000 && distinct > 40, "{steps} {widest} {distinct}");
}
