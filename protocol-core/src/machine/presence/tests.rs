//! Two nodes and a device: what is whispered, to whom, how often; and what never is.

#![allow(clippy::wildcard_enum_match_arm, reason = "what a test doesn't name, it doesn't look at")]

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::node::Types;
use super::{device, node};
use crate::fault::PeerFault;
use crate::id::{Address, ConversationId, Pair};
use crate::limits;
use crate::step::{Machine, Outbox, Tick};
use crate::time::{HOUR, MINUTE, Millis, SECOND};
use crate::wire::whisper::{Choice, Delta, Seen, Whisper, Word};

const TALK: ConversationId = ConversationId([1; 32]);
/// A full hour: rounding leaves it as it is.
const START: u64 = 1_000 * HOUR;

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

fn ann() -> Address {
    address("ann@a.example")
}

fn ben() -> Address {
    address("ben@b.example")
}

fn eve() -> Address {
    address("eve@b.example")
}

fn pair() -> Pair {
    Pair { ours: ann(), theirs: ben() }
}

/// Steps a machine, which never stores anything (attack 60).
fn tell<M: Machine<Output: Clone, Fault: std::fmt::Debug>>(
    machine: &mut M,
    now: u64,
    input: M::Input,
) -> Vec<M::Output> {
    let mut out = Outbox::new();
    machine.step(&Tick { now: Millis(now), entropy: [0; 32] }, input, &mut out).unwrap();
    assert_eq!(out.records().count(), 0, "something was stored");
    out.effects().cloned().collect()
}

fn says(of: Address, to: Address, word: Word) -> node::Output {
    node::Output::Say(Whisper::Vector(vec![Delta { of, to, word }]))
}

fn hears(word: Word) -> node::Input {
    node::Input::Vector(vec![Delta { of: ben(), to: ann(), word }])
}

const HERE: Word = Word::Shows(Seen::Here);

/// Ann's node, which has a link with Ben's, and a line between the two.
fn linked() -> node::Presence {
    let mut node = node::Presence::new();
    tell(&mut node, START, node::Input::Line(pair(), true));
    assert_eq!(tell(&mut node, START, node::Input::Up), [], "who agrees to nothing says nothing");
    node
}

/// The same, and both agree.
fn agreed() -> node::Presence {
    let mut node = linked();
    assert_eq!(tell(&mut node, START, node::Input::Agree(pair(), true)), [says(ann(), ben(), Word::Agrees)]);
    // Who is heard for the first time may have had no ear yet for what was said.
    assert_eq!(tell(&mut node, START, hears(Word::Agrees)), [says(ann(), ben(), Word::Agrees)]);
    assert_eq!(tell(&mut node, START, hears(Word::Agrees)), []);
    node
}

/// [W-3] [W-4]
#[test]
fn presence_is_told_once_both_agree_and_taken_back_when_one_doesn_t() {
    let mut node = linked();
    // Ann is here, and Ben's side says that he is: nobody is told, since she hasn't agreed.
    assert_eq!(tell(&mut node, START, node::Input::Active(ann())), []);
    assert_eq!(tell(&mut node, START, hears(HERE)), []);
    assert_eq!(node.shown(&ann()).count(), 0);
    let both = tell(&mut node, START, node::Input::Agree(pair(), true));
    assert_eq!(both, [node::Output::Shows(pair(), Some(Seen::Here)), says(ann(), ben(), HERE)]);
    // Ben's person changes their mind: Ann sees nothing, and is shown no more.
    let one = tell(&mut node, START, hears(Word::Silent));
    assert_eq!(one, [node::Output::Shows(pair(), None), says(ann(), ben(), Word::Agrees)]);
    assert_eq!(tell(&mut node, START, node::Input::Agree(pair(), false)), [says(ann(), ben(), Word::Silent)]);
}

/// [W-5] [W-6]
#[test]
fn a_lease_runs_out_into_a_time_that_is_rounded() {
    let (mut node, here) = (agreed(), START + 17 * MINUTE);
    assert_eq!(tell(&mut node, here, node::Input::Active(ann())), [says(ann(), ben(), HERE)]);
    // Renewed, it costs nothing on the link.
    let renewed = here + limits::PRESENCE_RENEW_MS;
    assert_eq!(tell(&mut node, renewed, node::Input::Active(ann())), []);
    let end = renewed + limits::PRESENCE_MS;
    assert_eq!(node.deadline(), Some(Millis(end)));
    assert_eq!(tell(&mut node, end - 1, node::Input::Wake), []);
    let away = Word::Shows(Seen::Away(Millis(START + limits::LAST_SEEN_MS)));
    assert_eq!(tell(&mut node, end, node::Input::Wake), [says(ann(), ben(), away)]);
    assert_eq!(node.deadline(), None);
    // What the other says is rounded too, whatever it says, and never from the future.
    for (said, seen) in [(START + 29 * MINUTE, START + 15 * MINUTE), (u64::MAX, START + 30 * MINUTE)] {
        let heard = tell(&mut node, START + 40 * MINUTE, hears(Word::Shows(Seen::Away(Millis(said)))));
        assert_eq!(heard, [node::Output::Shows(pair(), Some(Seen::Away(Millis(seen))))]);
    }
}

/// [W-6]: what a node knows outlives the link by a lease, and a new link begins with the whole vector.
#[test]
fn a_link_that_is_down_is_a_lease_that_runs_out() {
    let mut node = agreed();
    tell(&mut node, START, node::Input::Active(ann()));
    assert_eq!(tell(&mut node, START, hears(HERE)), [node::Output::Shows(pair(), Some(Seen::Here))]);
    assert_eq!(tell(&mut node, START + MINUTE, node::Input::Down), [], "a short cut shows nowhere");
    assert_eq!(tell(&mut node, START + 2 * MINUTE, node::Input::Up), [says(ann(), ben(), HERE)]);
    // Ben's side doesn't say it again: it is gone with the lease.
    let end = START + MINUTE + limits::PRESENCE_MS;
    tell(&mut node, end - 1, node::Input::Wake);
    assert_eq!(node.shown(&ann()).count(), 1);
    assert_eq!(tell(&mut node, end, node::Input::Wake)[0], node::Output::Shows(pair(), None));
    // Said again in time, it stays; and the first word on a new link is answered by ours.
    tell(&mut node, end, hears(HERE));
    tell(&mut node, end, node::Input::Down);
    tell(&mut node, end, node::Input::Up);
    assert_eq!(tell(&mut node, end, hears(HERE)), [says(ann(), ben(), Word::Shows(Seen::Away(Millis(START))))]);
    assert_eq!(tell(&mut node, end, hears(HERE)), []);
    assert_eq!(node.deadline(), None);
}

/// Attack 95, I24: who has no line hears nothing, is heard in nothing, and takes no room; a line that ends takes all along. [W-2]
#[test]
fn t_095_nothing_is_whispered_to_or_heard_of_a_stranger() {
    let mut node = agreed();
    let room = node.len();
    let stranger = Pair { ours: ann(), theirs: eve() };
    assert_eq!(tell(&mut node, START, node::Input::Agree(stranger, true)), []);
    for word in [Word::Agrees, HERE, Word::Shows(Seen::Away(Millis(START)))] {
        let deltas = vec![Delta { of: eve(), to: ann(), word }, Delta { of: ben(), to: ann(), word: Word::Agrees }];
        let outputs = tell(&mut node, START, node::Input::Vector(deltas));
        assert_eq!(outputs, [node::Output::Refused(PeerFault::NotTrusted)], "and the rest goes on");
    }
    let types = |who, to| Types { who, conversation: TALK, members: 2, to: BTreeSet::from([to]) };
    assert_eq!(tell(&mut node, START, node::Input::Types(types(ann(), eve()))), []);
    let heard = tell(&mut node, START, node::Input::HeardTypes(types(eve(), ann())));
    assert_eq!(heard, [node::Output::Refused(PeerFault::NotTrusted)]);
    assert_eq!(node.len(), room);
    // The line ends: what was told is taken back, and that is the last word.
    tell(&mut node, START, node::Input::Active(ann()));
    tell(&mut node, START, hears(HERE));
    let end = tell(&mut node, START, node::Input::Line(pair(), false));
    assert_eq!(end, [says(ann(), ben(), Word::Silent), node::Output::Shows(pair(), None)]);
    assert!(node.is_empty());
    assert_eq!(tell(&mut node, START, node::Input::Active(ann())), []);
    assert_eq!(tell(&mut node, START, hears(HERE)), [node::Output::Refused(PeerFault::NotTrusted)]);
}

/// Attack 95: at the bounds, above, and far above. [W-7]
#[test]
fn t_095_writing_is_whispered_once_in_three_seconds_and_not_in_large_groups() {
    let mut node = linked();
    let types = |members| Types { who: ann(), conversation: TALK, members, to: BTreeSet::from([ben(), eve()]) };
    let said = [node::Output::Say(Whisper::Types(ann(), TALK))];
    assert_eq!(tell(&mut node, START, node::Input::Types(types(limits::TYPING_MEMBERS))), said);
    for (later, members, whispered) in [
        (1, 2, false),
        (limits::TYPING_EVERY_MS - 1, 2, false),
        (limits::TYPING_EVERY_MS, limits::TYPING_MEMBERS + 1, false),
        (limits::TYPING_EVERY_MS, 1_000 * limits::TYPING_MEMBERS, false),
        (limits::TYPING_EVERY_MS, 2, true),
    ] {
        let outputs = tell(&mut node, START + later, node::Input::Types(types(members)));
        assert_eq!(outputs == said, whispered, "{later} ms, {members} members: {outputs:?}");
    }
    // Neither does one hear of it more often, or from more.
    let heard = |members| Types { who: ben(), conversation: TALK, members, to: BTreeSet::from([ann(), eve()]) };
    let mut shown = 0;
    for ms in 0..limits::TYPING_EVERY_MS {
        shown += tell(&mut node, START + 20 * ms, node::Input::HeardTypes(heard(2))).len();
    }
    assert_eq!(shown, 20);
    let outputs = tell(&mut node, START + HOUR, node::Input::HeardTypes(heard(limits::TYPING_MEMBERS + 1)));
    assert!(matches!(outputs.as_slice(), [node::Output::Refused(PeerFault::TooBig { .. })]), "{outputs:?}");
    let outputs = tell(&mut node, START + HOUR, node::Input::HeardTypes(heard(2)));
    assert_eq!(outputs, [node::Output::Types(ben(), TALK, vec![ann()])], "those with a line alone");
    // With the link down there is nobody to tell.
    tell(&mut node, START + 2 * HOUR, node::Input::Down);
    assert_eq!(tell(&mut node, START + 2 * HOUR, node::Input::Types(types(2))), []);
}

/// Attack 95: a node that whispers without end. [W-8]
#[test]
fn t_095_a_flood_of_whispers_keeps_to_the_bounds() {
    let most = usize::try_from(limits::WHISPERS_PER_SECOND).unwrap();
    for flood in [most, most + 1, 20 * most] {
        let mut node = agreed();
        let mut outputs = Vec::new();
        for n in 0..flood {
            let word = if n % 2 == 0 { HERE } else { Word::Agrees };
            outputs.extend(tell(&mut node, START + SECOND, hears(word)));
        }
        let refused = outputs.iter().filter(|output| matches!(output, node::Output::Refused(PeerFault::Rate { .. })));
        assert_eq!(refused.count(), flood - most);
        assert_eq!(tell(&mut node, START + 2 * SECOND, hears(HERE)).len(), usize::from(flood % 2 == 0 || flood > most));
    }
    let deltas = |n| vec![Delta { of: ben(), to: ann(), word: Word::Agrees }; n];
    for (n, taken) in [(limits::PRESENCE_DELTAS, true), (limits::PRESENCE_DELTAS + 1, false), (100_000, false)] {
        assert_eq!(tell(&mut agreed(), START, node::Input::Vector(deltas(n))).is_empty(), taken, "{n} changes");
    }
}

/// A node of many: so many are known, and their vector goes in whispers of so many changes. [W-8]
#[test]
fn the_vector_of_many_is_bounded_and_said_in_parts() {
    let mut node = node::Presence::new();
    for n in 0..2 * limits::PRESENCE_CONTACTS {
        let pair = Pair { ours: ann(), theirs: address(&format!("p{n}@b.example")) };
        tell(&mut node, START, node::Input::Line(pair.clone(), true));
        tell(&mut node, START, node::Input::Agree(pair, true));
    }
    assert_eq!(node.len(), limits::PRESENCE_CONTACTS);
    let said = tell(&mut node, START, node::Input::Up);
    assert_eq!(said.len(), limits::PRESENCE_CONTACTS.div_ceil(limits::PRESENCE_DELTAS));
    let within = |output: &node::Output| match output {
        node::Output::Say(Whisper::Vector(deltas)) => deltas.len() <= limits::PRESENCE_DELTAS,
        _ => false,
    };
    assert!(said.iter().all(within));
    assert_eq!(tell(&mut node, START, node::Input::Wake), [], "what was said is said");
}

fn choice(theirs: Address, chosen: u64, agrees: bool) -> Choice {
    Choice { theirs, chosen: Millis(chosen), agrees }
}

fn chooses(theirs: Address, chosen: u64, agrees: bool) -> device::Input {
    device::Input::Choose(choice(theirs, chosen, agrees))
}

fn device() -> device::Presence {
    let mut device = device::Presence::new(ann());
    tell(&mut device, START, device::Input::Up);
    device
}

/// [W-1] [W-3]
#[test]
fn a_device_says_that_its_person_is_here_to_whom_it_concerns_and_not_too_often() {
    let mut device = device();
    assert_eq!(tell(&mut device, START, device::Input::Active), [], "nobody may see it");
    let agrees = device::Output::Say(device::Word::Choices(vec![choice(ben(), 1, true)]));
    assert_eq!(tell(&mut device, START, chooses(ben(), 1, true)), std::slice::from_ref(&agrees));
    let active = [device::Output::Say(device::Word::Active)];
    assert_eq!(tell(&mut device, START, device::Input::Active), active);
    assert_eq!(tell(&mut device, START + limits::PRESENCE_RENEW_MS - 1, device::Input::Active), []);
    assert_eq!(tell(&mut device, START + limits::PRESENCE_RENEW_MS, device::Input::Active), active);
    // On a new session the node hears all of it again.
    tell(&mut device, START, device::Input::Down);
    assert_eq!(tell(&mut device, START, device::Input::Active), []);
    assert_eq!(tell(&mut device, START, device::Input::Up), [agrees]);
    assert_eq!(tell(&mut device, START, device::Input::Active), active);
}

/// [W-4] [W-6]
#[test]
fn a_device_shows_contacts_with_whom_its_person_agrees_as_long_as_it_knows() {
    let mut device = device();
    let here = || device::Input::Shows(ben(), Some(Seen::Here));
    assert_eq!(tell(&mut device, START, here()), [], "not agreed");
    tell(&mut device, START, chooses(ben(), 1, true));
    assert_eq!(tell(&mut device, START, here()), [device::Output::Shows(ben(), Some(Seen::Here))]);
    assert_eq!(tell(&mut device, START, here()), []);
    tell(&mut device, START, device::Input::Down);
    assert_eq!(device.deadline(), Some(Millis(START + limits::PRESENCE_MS)));
    let over = tell(&mut device, START + limits::PRESENCE_MS, device::Input::Wake);
    assert_eq!(over, [device::Output::Shows(ben(), None)]);
    tell(&mut device, START, here());
    let no = tell(&mut device, START, chooses(ben(), 2, false));
    assert_eq!(no, [device::Output::Shows(ben(), None)]);
    // What was chosen before counts no more, and of two at once the careful one does.
    for (chosen, agrees) in [(1, true), (2, true)] {
        assert_eq!(tell(&mut device, START, chooses(ben(), chosen, agrees)), []);
        assert!(!device.agrees(&ben()));
    }
    tell(&mut device, START, chooses(ben(), 3, true));
    assert!(device.agrees(&ben()));
}

/// [W-7]
#[test]
fn writing_is_told_where_the_person_allows_and_ends_by_itself() {
    let mut device = device();
    let types = |members| device::Input::Types(TALK, members);
    assert_eq!(tell(&mut device, START, types(2)), [], "off until the person allows it");
    tell(&mut device, START, device::Input::AllowTyping(true));
    assert_eq!(tell(&mut device, START, types(limits::TYPING_MEMBERS + 1)), []);
    assert_eq!(tell(&mut device, START, types(2)), [device::Output::Say(device::Word::Types(TALK))]);
    assert_eq!(tell(&mut device, START + 1, types(2)), []);
    // The other writes, goes on, and stops.
    let heard = |who| device::Input::HeardTypes(who, TALK);
    let event = |who, now| device::Output::Types { who, conversation: TALK, now };
    assert_eq!(tell(&mut device, START, heard(ben())), [event(ben(), true)]);
    assert_eq!(tell(&mut device, START + 3 * SECOND, heard(ben())), []);
    assert_eq!(tell(&mut device, START + limits::TYPING_MS, device::Input::Wake), []);
    assert_eq!(device.writers(TALK).collect::<Vec<_>>(), [&ben()]);
    let end = START + 3 * SECOND + limits::TYPING_MS;
    assert_eq!(device.deadline(), Some(Millis(end)));
    assert_eq!(tell(&mut device, end, device::Input::Wake), [event(ben(), false)]);
    // Or says it.
    tell(&mut device, end, heard(ben()));
    assert_eq!(tell(&mut device, end, device::Input::Said(ben(), TALK)), [event(ben(), false)]);
    assert_eq!(tell(&mut device, end, heard(ann())), [], "not the person themselves");
}

/// At the bounds, one above, and far above.
#[test]
fn a_device_knows_so_many_and_no_more() {
    let mut device = device();
    for n in 0..3 * limits::PRESENCE_CONTACTS {
        let contact = address(&format!("p{n}@b.example"));
        tell(&mut device, START, chooses(contact.clone(), 1, true));
        tell(&mut device, START, device::Input::Shows(contact.clone(), Some(Seen::Here)));
        tell(&mut device, START, device::Input::HeardTypes(contact, TALK));
    }
    assert_eq!(device.len(), 2 * limits::PRESENCE_CONTACTS + limits::TYPISTS);
}

fn people() -> impl Strategy<Value = (Address, Address)> {
    let ours = prop::sample::select(vec![ann(), address("amy@a.example")]);
    (ours, prop::sample::select(vec![ben(), eve()]))
}

fn any_input() -> impl Strategy<Value = node::Input> {
    let pairs = || people().prop_map(|(ours, theirs)| Pair { ours, theirs });
    let word = prop_oneof![
        Just(Word::Silent),
        Just(Word::Agrees),
        Just(HERE),
        any::<u64>().prop_map(|at| Word::Shows(Seen::Away(Millis(at)))),
    ];
    let delta = (people(), word).prop_map(|((ours, theirs), word)| Delta { of: theirs, to: ours, word });
    let types = |who, to, members| Types { who, conversation: TALK, members, to: BTreeSet::from([to]) };
    prop_oneof![
        Just(node::Input::Up),
        Just(node::Input::Down),
        Just(node::Input::Wake),
        (pairs(), prop::bool::weighted(0.8)).prop_map(|(pair, line)| node::Input::Line(pair, line)),
        (pairs(), any::<bool>()).prop_map(|(pair, agrees)| node::Input::Agree(pair, agrees)),
        people().prop_map(|(ours, _)| node::Input::Active(ours)),
        prop::collection::vec(delta, 0..4).prop_map(node::Input::Vector),
        (people(), 0..60_usize).prop_map(move |((ours, theirs), n)| node::Input::Types(types(ours, theirs, n))),
        (people(), 0..60_usize).prop_map(move |((ours, theirs), n)| node::Input::HeardTypes(types(theirs, ours, n))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    /// Attack 60, I24: whatever happens, nothing is stored, nothing is said to, or shown of, one who has no line, and
    /// nobody is seen unless both agree. [W-2] [W-9]
    #[test]
    fn t_060_whatever_happens_nothing_is_stored_and_nothing_seen_without_both(
        script in prop::collection::vec((any_input(), 0..4 * MINUTE), 0..80),
    ) {
        let (mut node, mut now) = (node::Presence::new(), START);
        let (mut lines, mut ours, mut theirs) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for (input, later) in script {
            now += later;
            match &input {
                node::Input::Line(pair, true) => _ = lines.insert(pair.clone()),
                node::Input::Line(pair, false) => {
                    lines.remove(pair);
                    ours.remove(pair);
                    theirs.remove(pair);
                }
                node::Input::Agree(pair, true) if lines.contains(pair) => _ = ours.insert(pair.clone()),
                node::Input::Agree(pair, false) => _ = ours.remove(pair),
                node::Input::Vector(deltas) => {
                    for Delta { of, to, word } in deltas {
                        let pair = Pair { ours: to.clone(), theirs: of.clone() };
                        if *word == Word::Silent { theirs.remove(&pair); } else if lines.contains(&pair) { theirs.insert(pair); }
                    }
                }
                _ => {}
            }
            for output in tell(&mut node, now, input.clone()) {
                match output {
                    node::Output::Say(Whisper::Vector(deltas)) => for Delta { of, to, word } in deltas {
                        let pair = Pair { ours: of, theirs: to };
                        let (we, both) = (ours.contains(&pair), ours.contains(&pair) && theirs.contains(&pair));
                        prop_assert!(match word { Word::Silent => !we, Word::Agrees => we, Word::Shows(_) => both }, "{:?} {:?}", pair, word);
                    },
                    node::Output::Shows(pair, Some(_)) => prop_assert!(ours.contains(&pair) && theirs.contains(&pair)),
                    node::Output::Say(Whisper::Types(who, _)) => prop_assert!(lines.iter().any(|pair| pair.ours == who)),
                    node::Output::Types(who, _, to) => for ours in to {
                        let pair = Pair { ours, theirs: who.clone() };
                        prop_assert!(lines.contains(&pair));
                    },
                    node::Output::Say(other) => prop_assert!(false, "what only devices say: {:?}", other),
                    node::Output::Shows(_, None) | node::Output::Refused(_) => {}
                }
            }
            for (theirs_of, _) in node.shown(&ann()) {
                let pair = Pair { ours: ann(), theirs: theirs_of.clone() };
                prop_assert!(ours.contains(&pair) && theirs.contains(&pair));
            }
        }
    }
}
