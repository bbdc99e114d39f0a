//! Pins come and go in any order; too many wait for room, alike for everybody; floods keep to the bounds.

use proptest::prelude::*;

use super::*;

const TALK: ConversationId = ConversationId([1; 32]);
const ANN: Identity = Identity([1; 32]);
const BEN: Identity = Identity([2; 32]);
const TICK: Tick = Tick { now: Millis(5), entropy: [0; 32] };

fn at(place: u64) -> Target {
    Target { message: ContentId([u8::try_from(place % 251).unwrap(); 32]), place }
}

fn set(seq: u64, by: Identity, place: u64, pinned: bool) -> Input {
    Input::Set { seq, by, of: at(place), pinned, there: There::Here }
}

fn step(pins: &Pins, input: Input) -> (Pins, Vec<Output>) {
    let (mut next, mut out) = (pins.clone(), Outbox::new());
    next.step(&TICK, input, &mut out).unwrap();
    match out.records().next() {
        Some(record) => assert_eq!(Pins::restore(TALK, record).unwrap(), next),
        None => assert_eq!(next, *pins, "nothing changes without a record"),
    }
    (next, out.effects().copied().collect())
}

fn told(inputs: &[Input]) -> Pins {
    inputs.iter().fold(Pins::new(TALK), |pins, input| step(&pins, *input).0)
}

fn places(pins: &Pins) -> Vec<u64> {
    pins.shown().iter().map(|pin| pin.of.place).collect()
}

/// What a plain reading of the rules shows of a set of entries.
fn expected(inputs: &[Input]) -> Vec<u64> {
    let mut last: BTreeMap<u64, (u64, bool)> = BTreeMap::new();
    for input in inputs {
        let Input::Set { seq, of, pinned, .. } = input else { continue };
        let known = last.entry(of.place).or_insert((*seq, *pinned));
        *known = (*known).max((*seq, *pinned));
    }
    let mut shown: Vec<(u64, u64)> =
        last.into_iter().filter(|(_, (_, pinned))| *pinned).map(|(place, (seq, _))| (seq, place)).collect();
    shown.sort_unstable();
    shown.into_iter().map(|(_, place)| place).take(limits::PINS).collect()
}

/// [V-3] By induction over all sets of a few entries: each state with one more entry is the same state whichever entry was
/// last, and whether it was said before; and it shows what the set says.
#[test]
fn every_order_of_pins_makes_one_state() {
    let alphabet = [
        set(10, ANN, 1, true),
        set(11, BEN, 1, false),
        set(12, ANN, 2, true),
        set(13, BEN, 1, true),
        set(14, BEN, 3, true),
        set(15, ANN, 2, false),
        set(16, BEN, 2, true),
        set(17, ANN, 3, false),
    ];
    let mut states: BTreeMap<u16, Pins> = BTreeMap::from([(0, told(&[]))]);
    for set in 0..1_u16 << alphabet.len() {
        let before = states[&set].clone();
        let inputs = alphabet.iter().enumerate().filter(|(n, _)| set & (1 << n) != 0).map(|(_, input)| *input);
        assert_eq!(places(&before), expected(&inputs.collect::<Vec<_>>()), "{set:b}");
        for (n, input) in alphabet.iter().enumerate() {
            let after = step(&before, *input).0;
            let with = set | (1 << n);
            assert_eq!(*states.entry(with).or_insert_with(|| after.clone()), after, "{input:?} behind {set:b}");
        }
    }
}

/// [V-4] One more than there is room for is shown nowhere, until something goes; and what is gone takes no room.
#[test]
fn a_pin_too_many_waits_for_room() {
    let most = limits::PINS as u64;
    let all: Vec<Input> = (1..=most).map(|n| set(100 + n, ANN, n, true)).collect();
    let full = told(&all);
    assert!(full.is_full());
    let (over, outputs) = step(&full, set(200, BEN, 99, true));
    assert_eq!((places(&over), outputs), ((1..=most).collect(), vec![]));
    let (room, outputs) = step(&over, set(201, BEN, 3, false));
    assert_eq!(outputs, [Output::Unpinned(at(3)), Output::Pinned(at(99))]);
    assert!(room.is_full() && room.has(at(99)));
    let (gone, outputs) = step(&over, Input::Is(at(5), There::Gone));
    assert_eq!(outputs, [Output::Unpinned(at(5)), Output::Pinned(at(99))]);
    // It stays so, whatever is said of it, and in whichever order.
    assert_eq!(step(&gone, Input::Is(at(5), There::Here)), (gone.clone(), vec![]));
    assert_eq!(step(&gone, all[4]), (gone.clone(), vec![]));
    assert!(!step(&gone, set(300, BEN, 5, true)).0.has(at(5)));
}

/// [V-2] What lies elsewhere, or hasn't come, takes no room and touches nothing of what does lie there; once it comes it is
/// pinned, in its order. What comes after its pin never is.
#[test]
fn a_pin_of_what_is_not_here_takes_no_room() {
    let absent = |seq, of| Input::Set { seq, by: BEN, of, pinned: true, there: There::Awaited };
    let wrong = Target { message: ContentId([252; 32]), place: 7 };
    let mut inputs = vec![set(110, ANN, 7, true), absent(111, wrong), absent(112, at(60)), absent(113, at(900))];
    inputs.extend((0..40).map(|n| absent(120 + n, Target { message: ContentId([253; 32]), place: n + 1 })));
    let pins = told(&inputs);
    assert_eq!(places(&pins), [7]);
    let (pins, outputs) = step(&pins, Input::Is(at(60), There::Here));
    assert_eq!((places(&pins), outputs), (vec![7, 60], vec![Output::Pinned(at(60))]));
    let (pins, outputs) = step(&pins, Input::Is(at(900), There::Here));
    assert_eq!((places(&pins), outputs), (vec![7, 60], vec![]));
    assert!(step(&pins, set(901, BEN, 900, true)).0.has(at(900)));
}

#[test]
fn a_message_may_be_pinned_and_unpinned_for_ever() {
    let mut pins = told(&[]);
    for n in 0..1_000 {
        pins = step(&pins, set(2 * n + 11, ANN, 1 + n % 3, true)).0;
        assert!(pins.has(at(1 + n % 3)));
        pins = step(&pins, set(2 * n + 12, BEN, 1 + n % 3, false)).0;
        assert!(pins.shown().is_empty() && pins.len() <= 3);
    }
    assert_eq!(pins.standing().count(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(24) })]

    /// [V-3] [V-4] Far above the bounds too: what is let go of is the same in every order, and however often it is said.
    #[test]
    fn floods_in_any_order_and_doubled_make_one_state(
        (inputs, other) in prop::collection::vec((1..2_000_u64, any::<bool>()), 0..400)
            .prop_map(|drawn| {
                // A place in the log has one entry.
                let by_seq: BTreeMap<u64, bool> = drawn.into_iter().collect();
                let by_seq = by_seq.into_iter().map(|(seq, pinned)| set(10_000 + seq, if seq % 2 == 0 { ANN } else { BEN }, 1 + (seq * 7919) % 250, pinned));
                by_seq.collect::<Vec<_>>()
            })
            .prop_flat_map(|inputs| {
                let doubled: Vec<Input> = inputs.iter().chain(&inputs).copied().collect();
                (Just(inputs), Just(doubled).prop_shuffle())
            }),
    ) {
        let (pins, mirror) = (told(&inputs), told(&other));
        prop_assert_eq!(&pins, &mirror);
        prop_assert!(pins.len() <= limits::PINS_KNOWN && pins.shown().len() <= limits::PINS);
        prop_assert_eq!(pins.shown(), mirror.shown());
    }
}
