//! Signs come and go in any order; nobody touches another's; floods keep to the bounds.

use proptest::prelude::*;

use super::*;

const TALK: ConversationId = ConversationId([1; 32]);
const MESSAGE: ContentId = ContentId([9; 32]);
const ANN: Identity = Identity([1; 32]);
const BEN: Identity = Identity([2; 32]);
const TICK: Tick = Tick { now: Millis(5), entropy: [0; 32] };

fn react(seq: u64, author: Identity, id: u8, sign: &str) -> Heard {
    let what = What::Reaction { id: ContentId([id; 32]), version: MESSAGE, signs: [sign.to_owned()].into() };
    Heard { seq, author, what }
}

fn withdraw(seq: u64, author: Identity, id: u8) -> Heard {
    Heard { seq, author, what: What::Withdrawal { of: ContentId([id; 32]) } }
}

fn step(reactions: &Reactions, heard: &Heard) -> (Reactions, Vec<Output>) {
    let (mut next, mut out) = (reactions.clone(), Outbox::new());
    next.step(&TICK, heard.clone(), &mut out).unwrap();
    match out.records().next() {
        Some(record) => assert_eq!(Reactions::restore(TALK, 1, MESSAGE, record).unwrap(), next),
        None => assert_eq!(next, *reactions, "nothing changes without a record"),
    }
    let outputs = out.effects().cloned().collect();
    (next, outputs)
}

fn told(events: &[Heard]) -> Reactions {
    events.iter().fold(Reactions::new(TALK, 1, MESSAGE), |reactions, heard| step(&reactions, heard).0)
}

fn shown(reactions: &Reactions) -> Vec<(Identity, String)> {
    reactions.shown().map(|(who, sign)| (who, sign.to_owned())).collect()
}

/// Of two people with two signs each, and withdrawals of each other's too: all orders of all sets make one state, which is
/// what stands in the set.
#[test]
fn every_order_of_reactions_and_withdrawals_makes_one_state() {
    let alphabet = [
        react(1, ANN, 1, "+"),
        react(2, ANN, 2, "-"),
        react(9, ANN, 1, "+"),
        withdraw(3, ANN, 1),
        withdraw(4, ANN, 2),
        react(5, BEN, 3, "+"),
        withdraw(6, BEN, 3),
        // Not hers to withdraw.
        withdraw(7, ANN, 3),
    ];
    let mut states: BTreeMap<u16, Reactions> = BTreeMap::from([(0, told(&[]))]);
    for set in 0..1_u16 << alphabet.len() {
        let before = states[&set].clone();
        let events = || alphabet.iter().enumerate().filter(move |(n, _)| set & (1 << n) != 0).map(|(_, event)| event);
        let mut expected: Vec<(Identity, String)> = Vec::new();
        for event in events() {
            let What::Reaction { id, signs, .. } = &event.what else { continue };
            let gone = events().any(|other| other.author == event.author && other.what == What::Withdrawal { of: *id });
            if !gone {
                expected.extend(signs.iter().map(|sign| (event.author, sign.clone())));
            }
        }
        expected.sort();
        expected.dedup();
        assert_eq!(shown(&before), expected);
        for (n, event) in alphabet.iter().enumerate() {
            let (after, _) = step(&before, event);
            let with = set | (1 << n);
            assert_eq!(*states.entry(with).or_insert_with(|| after.clone()), after, "{event:?} behind {set:b}");
        }
    }
}

#[test]
fn a_sign_is_shown_and_withdrawn_once_however_often_it_is_said() {
    let reactions = Reactions::new(TALK, 1, MESSAGE);
    let (reactions, outputs) = step(&reactions, &react(1, ANN, 1, "+"));
    assert_eq!(outputs, [Output::Added(ANN, "+".to_owned())]);
    // A second reaction of one sign isn't seen, and holds it when the first is withdrawn.
    let (reactions, outputs) = step(&reactions, &react(2, ANN, 2, "+"));
    assert_eq!(outputs, []);
    let (reactions, outputs) = step(&reactions, &withdraw(3, ANN, 1));
    assert_eq!(outputs, []);
    let (reactions, outputs) = step(&reactions, &withdraw(4, ANN, 2));
    assert_eq!(outputs, [Output::Withdrawn(ANN, "+".to_owned())]);
    assert_eq!(reactions.snapshot(), None);
}

#[test]
fn a_sign_may_come_and_go_for_ever() {
    let mut reactions = Reactions::new(TALK, 1, MESSAGE);
    for n in 0..200_u8 {
        reactions = step(&reactions, &react(2 * u64::from(n), ANN, n, "+")).0;
        assert_eq!(shown(&reactions), [(ANN, "+".to_owned())]);
        reactions = step(&reactions, &withdraw(2 * u64::from(n) + 1, ANN, n)).0;
        assert!(shown(&reactions).is_empty());
    }
}

/// a withdrawal takes back one reaction with all its signs, and counts as one, however many those are.
#[test]
fn many_withdrawals_of_reactions_with_many_signs_all_hold() {
    let many: BTreeSet<String> = (0..limits::SIGNS).map(|n| format!("sign {n}")).collect();
    let several = |seq: u64, id: u8, signs: BTreeSet<String>| {
        let what = What::Reaction { id: ContentId([id; 32]), version: MESSAGE, signs };
        Heard { seq, author: ANN, what }
    };
    let mut reactions = Reactions::new(TALK, 1, MESSAGE);
    for n in 1..=limits::REACTIONS as u8 {
        reactions = step(&reactions, &several(n.into(), n, many.clone())).0;
    }
    assert_eq!(shown(&reactions).len(), limits::SIGNS);
    for n in 1..=limits::REACTIONS as u8 {
        reactions = step(&reactions, &withdraw(100 + u64::from(n), ANN, n)).0;
    }
    assert!(shown(&reactions).is_empty(), "none comes back");
    let over = many.into_iter().chain(["one more".to_owned()]).collect();
    let (same, outputs) = step(&reactions, &several(300, 99, over));
    assert_eq!(same, reactions);
    assert!(matches!(outputs.as_slice(), [Output::Refused(PeerFault::TooBig { .. })]));
}

/// At the bounds, one above, and far above.
#[test]
fn a_hundred_thousand_reactions_keep_to_the_bounds() {
    let mut reactions = Reactions::new(TALK, 1, MESSAGE);
    let person = |n: u32| Identity(crate::store::sha256(&[&n.to_be_bytes()]).0);
    let mut tell = |heard: Heard| {
        let mut out = Outbox::new();
        reactions.step(&TICK, heard, &mut out).unwrap();
        reactions.people.len()
    };
    for n in 0..2 * limits::REACTORS as u32 {
        assert!(tell(react(n.into(), person(n), 1, "+")) <= limits::REACTORS);
    }
    for n in 0..100 {
        tell(react(5_000 + n, ANN, n as u8, &n.to_string()));
        tell(withdraw(6_000 + n, ANN, 100 + n as u8));
    }
    let ann = &reactions.people[&ANN];
    assert_eq!((ann.reactions.len(), ann.withdrawn.len()), (limits::REACTIONS, limits::WITHDRAWALS));
    for (sign, refused) in [
        ("x".repeat(limits::SIGN_BYTES), false),
        ("x".repeat(limits::SIGN_BYTES + 1), true),
        ("x".repeat(1_000 * limits::SIGN_BYTES), true),
        (String::new(), true),
    ] {
        let (_, outputs) = step(&told(&[]), &react(1, ANN, 1, &sign));
        assert_eq!(matches!(outputs.as_slice(), [Output::Refused(PeerFault::TooBig { .. })]), refused);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    /// Above the bounds too: what is let go of is the same in every order.
    #[test]
    fn floods_in_any_order_and_doubled_make_one_state(
        (events, other) in prop::collection::vec((0..300_u64, 0..2_u8, any::<u8>(), any::<bool>()), 0..200)
            .prop_flat_map(|events| (Just(events.clone()), Just(events).prop_shuffle())),
    ) {
        let heard = |(seq, who, id, gone): &(u64, u8, u8, bool)| {
            let who = Identity([*who; 32]);
            if *gone { withdraw(*seq, who, *id) } else { react(*seq, who, *id, &(id % 30).to_string()) }
        };
        let one: Vec<Heard> = events.iter().map(heard).collect();
        let two: Vec<Heard> = other.iter().chain(other.iter().take(9)).map(heard).collect();
        prop_assert_eq!(told(&one), told(&two));
    }
}
