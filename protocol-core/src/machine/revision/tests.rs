//! Every order of few events makes one state; what nobody may say changes nothing.

use proptest::prelude::*;

use super::*;

const TALK: ConversationId = ConversationId([1; 32]);
const FIRST: ContentId = ContentId([9; 32]);
const ANN: Identity = Identity([1; 32]);
const BEN: Identity = Identity([2; 32]);
const MOD: Identity = Identity([3; 32]);
const FIXED: Hash = Hash([7; 32]);
const TICK: Tick = Tick { now: Millis(5), entropy: [0; 32] };

fn heard(n: u8, author: Identity, what: What) -> Heard {
    let (id, seq) = (ContentId([n; 32]), u64::from(n));
    Heard { id, seq, author, at: Millis(seq), protection: Protection::Sealed, what }
}

fn first() -> Heard {
    Heard { id: FIRST, ..heard(1, ANN, What::First { fixed: FIXED }) }
}

const fn edit(no: u32) -> What {
    What::Edit { no, fixed: FIXED }
}

fn step(revisions: &Revisions, heard: &Heard) -> (Revisions, Vec<Output>) {
    let (mut next, mut out) = (revisions.clone(), Outbox::new());
    next.step(&TICK, heard.clone(), &mut out).unwrap();
    let outputs = out.effects().cloned().collect();
    if let Some(record) = out.records().next() {
        assert_eq!(Revisions::restore(TALK, 1, FIRST, record).unwrap(), next, "the record has it all");
    } else {
        assert_eq!(next, *revisions, "nothing changes without a record");
    }
    (next, outputs)
}

fn told(events: &[Heard]) -> Revisions {
    events.iter().fold(Revisions::new(TALK, 1, FIRST), |revisions, heard| step(&revisions, heard).0)
}

/// What three people may say about one message: the author, another member, a moderator.
fn alphabet() -> Vec<Heard> {
    let weak = |heard: Heard| Heard { protection: Protection::Express, ..heard };
    vec![
        first(),
        // Said again under a later entry.
        Heard { seq: 20, ..first() },
        heard(2, ANN, edit(1)),
        heard(3, ANN, edit(2)),
        heard(4, ANN, edit(2)),
        weak(heard(5, ANN, edit(3))),
        heard(6, ANN, What::Edit { no: 3, fixed: Hash([8; 32]) }),
        heard(7, ANN, What::Retract),
        weak(heard(8, ANN, What::Retract)),
        heard(10, BEN, edit(4)),
        heard(11, BEN, What::Retract),
        heard(12, MOD, What::Removal),
        heard(13, MOD, What::Removal),
        heard(14, MOD, edit(5)),
        // What a device finds by itself.
        heard(1, ANN, What::Expiry),
    ]
}

/// The rules as one reads them, over a plain set.
fn model(events: &[Heard]) -> View {
    let firsts = events.iter().filter(|heard| matches!(heard.what, What::First { .. }));
    let Some(first) = firsts.min_by_key(|heard| heard.seq) else { return View::Awaited };
    let whole = |heard: &&Heard| heard.author == first.author && heard.protection >= first.protection;
    if events.iter().filter(whole).any(|heard| heard.what == What::Retract) {
        return View::Retracted;
    }
    let removals = events.iter().filter(|heard| heard.what == What::Removal);
    if let Some(removal) = removals.min_by_key(|heard| heard.seq) {
        return View::Removed { by: removal.author };
    }
    if events.iter().any(|heard| heard.what == What::Expiry) {
        return View::Expired;
    }
    let versions = events.iter().filter(whole).filter_map(|heard| match heard.what {
        What::First { .. } => Some(Version { id: FIRST, no: 0, seq: first.seq, at: first.at }),
        What::Edit { no, fixed } => {
            (fixed == FIXED).then_some(Version { id: heard.id, no, seq: heard.seq, at: heard.at })
        }
        What::Retract | What::Removal | What::Expiry => None,
    });
    View::Words(versions.max_by_key(|version| (version.no, version.id)).unwrap())
}

/// attacks 48 to 51 and 53: of every set of up to six events of three people, all orders make one state, which is the
/// model's. Shown by induction: whichever event of a set comes last, the state is the same; said twice, nothing changes.
#[test]
fn t_051_every_order_of_six_events_of_three_people_makes_one_state() {
    let alphabet = alphabet();
    let mut states: BTreeMap<BTreeSet<usize>, Revisions> = BTreeMap::from([(BTreeSet::new(), told(&[]))]);
    let mut layer: Vec<BTreeSet<usize>> = vec![BTreeSet::new()];
    let mut orders = 0;
    for _ in 0..6 {
        let mut wider = BTreeSet::new();
        for set in &layer {
            let before = states[set].clone();
            for (index, event) in alphabet.iter().enumerate() {
                let (after, _) = step(&before, event);
                if set.contains(&index) {
                    assert_eq!(after, before, "{event:?} twice");
                    continue;
                }
                let mut with = set.clone();
                with.insert(index);
                let events: Vec<Heard> = with.iter().map(|index| alphabet[*index].clone()).collect();
                assert_eq!(after.view(), model(&events), "{events:?}");
                let known = states.entry(with.clone()).or_insert_with(|| after.clone());
                assert_eq!(*known, after, "another order of {events:?}");
                wider.insert(with);
                orders += 1;
            }
        }
        layer = wider.into_iter().collect();
    }
    assert!(orders > 20_000, "{orders}");
}

/// attack 48.
#[test]
fn t_048_nobody_edits_what_another_said() {
    let revisions = told(&[first()]);
    for what in [edit(1), What::Retract] {
        let (after, outputs) = step(&revisions, &heard(2, BEN, what));
        assert_eq!(after, revisions);
        assert_eq!(outputs, [Output::Refused(PeerFault::Event("not the author's to change"))]);
    }
    // Nor where it came before the message did.
    let before = told(&[heard(2, BEN, edit(1)), heard(3, BEN, What::Retract)]);
    let (after, outputs) = step(&before, &first());
    assert_eq!(after.view(), View::Words(Version { id: FIRST, no: 0, seq: 1, at: Millis(1) }));
    assert!(outputs.contains(&Output::Forget(2)), "{outputs:?}");
}

/// attack 49.
#[test]
fn t_049_an_edit_is_never_less_protected_than_its_message() {
    let weak = Heard { protection: Protection::Express, ..heard(2, ANN, edit(1)) };
    let gone = Heard { protection: Protection::Mail, ..heard(3, ANN, What::Retract) };
    for orders in [[first(), weak.clone(), gone.clone()], [weak, gone, first()]] {
        let revisions = told(&orders);
        assert_eq!(revisions.view(), View::Words(Version { id: FIRST, no: 0, seq: 1, at: Millis(1) }));
    }
}

/// attacks 50, 53, 55: a retract takes all words along, comes before or behind them, and nothing brings them back.
#[test]
fn t_050_a_retract_wins_over_every_edit_and_takes_the_words_along() {
    let revisions = told(&[first(), heard(2, ANN, edit(1))]);
    let (gone, outputs) = step(&revisions, &heard(3, ANN, What::Retract));
    assert_eq!(outputs, [Output::Forget(1), Output::Forget(2), Output::Shown(View::Retracted)]);
    assert!(gone.history().is_empty());
    for late in [heard(4, ANN, edit(9)), first()] {
        let (after, outputs) = step(&gone, &late);
        assert_eq!((after.view(), outputs), (View::Retracted, vec![]));
    }
}

/// attack 53.
#[test]
fn t_053_a_retract_before_its_message_keeps_the_words_out() {
    let (waits, outputs) = step(&Revisions::new(TALK, 1, FIRST), &heard(3, ANN, What::Retract));
    assert_eq!((waits.view(), outputs), (View::Awaited, vec![]));
    let (gone, outputs) = step(&waits, &first());
    assert_eq!((gone.view(), outputs), (View::Retracted, vec![Output::Shown(View::Retracted)]));
}

/// The model notices an edit that comes after a retract and wins.
#[test]
fn a_seeded_bug_that_brings_words_back_is_noticed() {
    let events = [first(), heard(2, ANN, What::Retract), heard(3, ANN, edit(1))];
    assert_eq!(told(&events).view(), model(&events));
    canary::set(Some(Canary::EditAfterRetract));
    let seeded = told(&events).view();
    canary::set(None);
    assert_ne!(seeded, model(&events));
}

/// attack 54: taken back and removed are two things, and both absorb.
#[test]
fn t_054_a_removal_is_shown_as_one_and_absorbs_too() {
    let removed = told(&[first(), heard(3, MOD, What::Removal), heard(4, ANN, edit(1))]);
    assert_eq!(removed.view(), View::Removed { by: MOD });
    assert!(removed.words().is_empty());
    let (both, _) = step(&removed, &heard(5, ANN, What::Retract));
    assert_eq!(both.view(), View::Retracted);
}

/// what has ended takes all words along, and nothing brings them back; that it was taken back is known all the same.
#[test]
fn what_has_ended_absorbs_words_and_a_retract_is_still_heard() {
    let over = heard(1, ANN, What::Expiry);
    let (gone, outputs) = step(&told(&[first(), heard(2, ANN, edit(1))]), &over);
    assert_eq!(outputs, [Output::Forget(1), Output::Forget(2), Output::Shown(View::Expired)]);
    assert!(gone.history().is_empty() && gone.words().is_empty());
    let (after, outputs) = step(&gone, &heard(4, ANN, edit(9)));
    assert_eq!((after.view(), outputs), (View::Expired, vec![]));
    let (after, outputs) = step(&after, &heard(5, ANN, What::Retract));
    assert_eq!((after.view(), outputs), (View::Retracted, vec![Output::Shown(View::Retracted)]));
    // It may be over before it comes.
    assert_eq!(told(std::slice::from_ref(&over)).view(), View::Awaited);
    let (late, outputs) = step(&told(&[over]), &first());
    assert_eq!((late.view(), outputs), (View::Expired, vec![Output::Shown(View::Expired)]));
}

/// attack 56: an edit changes words, and nothing else.
#[test]
fn t_056_an_edit_changes_nothing_but_words() {
    let moved = heard(2, ANN, What::Edit { no: 1, fixed: Hash([8; 32]) });
    let (after, outputs) = step(&told(&[first()]), &moved);
    assert_eq!(after.history().len(), 1);
    assert_eq!(outputs, [Output::Refused(PeerFault::Event("an edit of more than the words"))]);
}

/// attack 41: what the author's clock says decides nothing; how far on the log is does.
#[test]
fn t_041_no_clock_orders_versions_or_lets_one_edit_late() {
    let clock = |heard: Heard, at| Heard { at: Millis(at), ..heard };
    let revisions = told(&[clock(first(), u64::MAX), clock(heard(2, ANN, edit(1)), 0)]);
    assert!(matches!(revisions.view(), View::Words(Version { no: 1, .. })));
    let late = Heard { seq: 2 + limits::EDIT_SPAN, ..heard(3, ANN, edit(2)) };
    let (after, outputs) = step(&revisions, &late);
    assert_eq!(after.view(), revisions.view());
    assert!(matches!(outputs.as_slice(), [Output::Refused(PeerFault::TooBig { .. })]), "{outputs:?}");
    let in_time = Heard { seq: 1 + limits::EDIT_SPAN, ..heard(3, ANN, edit(2)) };
    assert!(matches!(step(&revisions, &in_time).0.view(), View::Words(Version { no: 2, .. })));
}

/// attack 52: at the bounds, one above, and far above.
#[test]
fn t_052_a_flood_of_edits_keeps_to_the_bounds() {
    let many = |n: u32| Heard { seq: u64::from(n), ..heard(2, ANN, edit(n)) };
    let mut revisions = told(&[first()]);
    for no in 1..=limits::EDIT_NO {
        revisions = step(&revisions, &many(no)).0;
        assert!(revisions.words().len() <= limits::EDITS + 1);
    }
    assert_eq!(revisions.history().len(), limits::EDITS + 1);
    for no in [0, limits::EDIT_NO + 1, u32::MAX] {
        let (after, outputs) = step(&revisions, &many(no));
        assert_eq!(after, revisions);
        assert!(matches!(outputs.as_slice(), [Output::Refused(PeerFault::TooBig { .. })]));
    }
    // Of a message that nobody has seen: so many people's, and no more.
    let mut waits = Revisions::new(TALK, 1, FIRST);
    for n in 0..=255 {
        waits = step(&waits, &Heard { author: Identity([255 - n; 32]), ..heard(n, ANN, edit(1)) }).0;
    }
    assert_eq!(waits.claims.len(), limits::CLAIMANTS);
}

fn any_event() -> impl Strategy<Value = Heard> {
    let (author, seq) = (0..20_u8, 1..200_u64);
    let what = prop_oneof![
        1 => Just(What::First { fixed: FIXED }),
        20 => (1..60_u32, 0..4_u8).prop_map(|(no, moved)| What::Edit { no, fixed: Hash([7 + moved / 3; 32]) }),
        1 => Just(What::Retract),
    ];
    (author, seq, 1..3_u8, what).prop_map(|(author, seq, protection, what)| {
        let protection = if protection == 1 { Protection::Express } else { Protection::Sealed };
        let is_first = matches!(what, What::First { .. });
        // An id is a hash over all of it: who says the same under one id has said the same.
        let id = crate::store::sha256(&[format!("{author} {protection:?} {what:?}").as_bytes()]);
        let (id, author) = if is_first { (FIRST, ANN) } else { (ContentId(id.0), Identity([author; 32])) };
        let protection = if is_first { Protection::Sealed } else { protection };
        Heard { id, seq, author, at: Millis(0), protection, what }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    /// Above the bounds too: whatever is let go of is the same in every order.
    #[test]
    fn floods_in_any_order_and_doubled_make_one_state(
        (events, other) in prop::collection::vec(any_event(), 0..160)
            .prop_flat_map(|events| (Just(events.clone()), Just(events).prop_shuffle())),
        doubled in 0..40_usize,
    ) {
        let twice: Vec<Heard> = other.iter().chain(other.iter().take(doubled)).cloned().collect();
        prop_assert_eq!(told(&events), told(&twice));
    }
}
