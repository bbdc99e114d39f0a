//! Every order of few events makes one state; what can't be is refused; what is told is told once, late, and to few.

#![allow(clippy::wildcard_enum_match_arm, reason = "what a test doesn't name, it doesn't look at")]

use proptest::prelude::*;

use super::*;
use crate::fault::Code;

const TALK: ConversationId = ConversationId([1; 32]);
const ANN: Identity = Identity([1; 32]);
const BEN: Identity = Identity([2; 32]);
const CARL: Identity = Identity([3; 32]);
const EVE: Identity = Identity([9; 32]);
const OPEN: Rules = Rules { policy: Policy::Optional, choice: true, open: true };

fn tick(now: u64) -> Tick {
    Tick { now: Millis(now), entropy: sha256(&[&now.to_be_bytes()]).0 }
}

fn step_at(marks: &Marks, now: u64, input: Input) -> (Marks, Vec<Output>) {
    let (mut next, mut out) = (marks.clone(), Outbox::new());
    next.step(&tick(now), input, &mut out).unwrap();
    match out.records().next() {
        Some(record) => {
            let restored = Marks::restore(TALK, ANN, record).unwrap();
            assert_eq!(restored, next.after_crash(), "the record has it all");
            let kept = |marks: &Marks| (marks.own, marks.told, marks.people.clone());
            assert_eq!(kept(&restored), kept(&next), "what was read rides along with nothing");
        }
        None => assert_eq!(next.after_crash(), marks.after_crash(), "nothing to be kept changes without a record"),
    }
    let outputs = out.effects().cloned().collect();
    (next, outputs)
}

fn step(marks: &Marks, input: Input) -> (Marks, Vec<Output>) {
    step_at(marks, 5, input)
}

fn told(marks: &Marks, inputs: impl IntoIterator<Item = Input>) -> Marks {
    inputs.into_iter().fold(marks.clone(), |marks, input| step(&marks, input).0)
}

fn entries(seqs: impl IntoIterator<Item = u64>, by: Option<Identity>) -> impl Iterator<Item = Input> {
    seqs.into_iter().map(move |seq| Input::Entry { seq, by })
}

/// Three people, the third from entry 3 on, and six entries of the second's.
fn begun() -> Marks {
    let members = Input::Members(BTreeMap::from([(ANN, 1), (BEN, 1), (CARL, 3)]));
    let marks = told(&Marks::new(TALK, ANN), [members, Input::Rules(OPEN)]);
    told(&marks, entries(1..=6, Some(BEN)))
}

fn of(seqs: &[u64]) -> Position {
    let mut position = Position::default();
    seqs.iter().for_each(|seq| position.add(*seq, *seq));
    position
}

fn read(who: Identity, at: u64, seqs: &[u64]) -> Input {
    Input::Read { who, at, read: of(seqs) }
}

/// What three people, their nodes and the hub may say.
fn alphabet() -> Vec<Input> {
    vec![
        Input::Entry { seq: 7, by: Some(BEN) },
        Input::Entry { seq: 9, by: None },
        Input::Sent(5),
        Input::Sent(9),
        Input::Delivered(BEN, 4),
        Input::Delivered(BEN, 8),
        Input::Delivered(CARL, 8),
        read(BEN, 7, &[1, 2, 3, 5]),
        read(BEN, 9, &[1, 4, 7]),
        read(CARL, 8, &[3, 6]),
        // Of an entry that isn't before it.
        read(CARL, 5, &[1, 2, 5]),
        read(EVE, 9, &[1, 2]),
        read(ANN, 9, &[1, 2, 4]),
        Input::Synced(of(&[2, 8])),
    ]
}

/// The rules as one reads them, over a plain set.
fn model(events: &[Input], seq: u64, who: Identity) -> Option<Mark> {
    let since = if who == CARL { 3 } else { 1 };
    let heads = events.iter().map(|event| match event {
        Input::Entry { seq, .. } => *seq,
        Input::Read { who, at, read } if read.last() < *at && *who != EVE => *at,
        _ => 6,
    });
    let head = heads.max().unwrap_or(6).max(6);
    let said = events.iter().filter_map(|event| match event {
        Input::Sent(upto) => (seq <= *upto).then_some(Mark::Sent),
        Input::Delivered(of, upto) => (*of == who && seq <= *upto).then_some(Mark::Delivered),
        Input::Read { who: of, at, read } => (*of == who && read.last() < *at && read.has(seq)).then_some(Mark::Read),
        _ => None,
    });
    (since..=head).contains(&seq).then(|| said.max().unwrap_or(Mark::Queued))
}

/// As it is, but for when it is told and what a record has.
fn joined(marks: &Marks) -> Marks {
    let mut joined = Marks { wait: Wait::default(), ..marks.clone() };
    joined.record();
    joined
}

fn all_marks(marks: &Marks) -> BTreeMap<(Identity, u64), Mark> {
    let of = |who| (1..=9_u64).filter_map(move |seq| Some(((who, seq), marks.mark(seq, who)?)));
    of(BEN).chain(of(CARL)).collect()
}

/// What the outputs say happened is what happened: each a rise.
fn follows(before: &Marks, outputs: &[Output], after: &Marks) {
    let mut shown = all_marks(before);
    for (place, mark) in all_marks(after) {
        // What came just now begins with the first mark.
        shown.entry(place).or_insert_with(|| mark.min(Mark::Queued));
    }
    for output in outputs {
        let Output::Rose { who, from, to, mark } = output else { continue };
        for ((of, seq), known) in &mut shown {
            if (from..=to).contains(&seq) && who.is_none_or(|who| who == *of) {
                assert!(*mark > *known || who.is_none(), "{output:?} is no rise from {known:?}");
                *known = (*known).max(*mark);
            }
        }
    }
    assert_eq!(shown, all_marks(after), "{outputs:?}");
}

/// Attacks 42 to 44: of every set of up to six events of three people, all orders make one state, which is the model's; no
/// mark ever falls, and each rise is told. Shown by induction: whichever event of a set comes last, the state is the same;
/// said twice, nothing changes.
#[test]
fn t_044_every_order_of_six_events_of_three_people_makes_one_state_and_no_mark_falls() {
    let alphabet = alphabet();
    let mut states: BTreeMap<u16, Marks> = BTreeMap::from([(0, begun())]);
    let mut layer: BTreeSet<u16> = BTreeSet::from([0]);
    let mut orders = 0;
    for _ in 0..6 {
        let mut wider = BTreeSet::new();
        for set in &layer {
            let before = states[set].clone();
            for (index, event) in alphabet.iter().enumerate() {
                let (after, outputs) = step(&before, event.clone());
                let with = set | (1 << index);
                if with == *set {
                    assert_eq!(joined(&after), joined(&before), "{event:?} twice");
                    continue;
                }
                follows(&before, &outputs, &after);
                if let Some(known) = states.get(&with) {
                    assert_eq!(joined(known), joined(&after), "another order of {with:b}");
                } else {
                    let events: Vec<Input> =
                        (0..).zip(&alphabet).filter(|(n, _)| with & (1 << n) != 0).map(|(_, e)| e.clone()).collect();
                    for (who, seq) in [BEN, CARL, EVE].into_iter().flat_map(|who| (0..=10).map(move |seq| (who, seq))) {
                        let want = model(&events, seq, who).filter(|_| who != EVE);
                        assert_eq!(after.mark(seq, who), want, "{seq} of {who}: {events:?}");
                    }
                    states.insert(with, after);
                }
                wider.insert(with);
                orders += 1;
            }
        }
        layer = wider;
    }
    assert!(orders > 20_000, "{orders}");
}

/// Attack 42.
#[test]
fn t_042_a_forged_mark_counts_for_nothing() {
    let marks = begun();
    for forged in [read(EVE, 6, &[1]), Input::Delivered(EVE, 3)] {
        let (after, outputs) = step(&marks, forged);
        assert_eq!(after, marks);
        assert_eq!(outputs, [Output::Refused(PeerFault::Event("a mark of one who is no member"))]);
    }
    // Nor one who is none any more, and comes back with nothing.
    let left = told(&marks, [read(BEN, 6, &[1]), Input::Members(BTreeMap::from([(ANN, 1), (CARL, 3)]))]);
    let (after, outputs) = step(&left, read(BEN, 6, &[1, 2]));
    assert_eq!((after, outputs.len()), (left.clone(), 1));
    let back = told(&left, [Input::Members(BTreeMap::from([(ANN, 1), (BEN, 5), (CARL, 3)]))]);
    assert_eq!((back.mark(1, BEN), back.mark(5, BEN)), (None, Some(Mark::Queued)));
    // And where nobody tells what they read, nobody does.
    let closed = told(&marks, [Input::Rules(Rules { policy: Policy::Forbidden, ..OPEN })]);
    let (after, outputs) = step(&closed, read(BEN, 6, &[1]));
    assert_eq!((after, outputs), (closed, vec![Output::Refused(PeerFault::Event("a reading where none is told"))]));
}

/// Attack 43: of entries that aren't there. A reading can't be of its own entry or one behind it; what a node says a little
/// early is one number; what it says far too early is let go of.
#[test]
fn t_043_marks_of_what_was_never_sent_are_refused_and_take_no_room() {
    let marks = begun();
    for (at, last) in [(6, 6), (6, 7), (5, u64::MAX), (0, 1)] {
        let forged = Input::Read { who: BEN, at, read: Position::upto(last) };
        let (after, outputs) = step(&marks, forged);
        assert_eq!(after, marks);
        let max = u64::from(at > 0) * (at.max(1) - 1);
        assert_eq!(outputs, [Output::Refused(PeerFault::TooBig { what: "entry of a mark", got: last, max })]);
    }
    let last = 6 + limits::RANGE;
    for upto in [last + 1, last * 1_000, u64::MAX] {
        for early in [Input::Delivered(BEN, upto), Input::Sent(upto)] {
            let (after, outputs) = step(&marks, early);
            assert_eq!(after, marks);
            assert_eq!(outputs, [Output::Refused(PeerFault::TooBig { what: "entry of a mark", got: upto, max: last })]);
        }
    }
    let early = told(&marks, [Input::Delivered(BEN, last), Input::Delivered(BEN, 8)]);
    assert_eq!((early.mark(7, BEN), early.len()), (None, marks.len()));
    let (after, outputs) = step(&early, Input::Entry { seq: 7, by: None });
    assert_eq!(after.mark(7, BEN), Some(Mark::Delivered));
    assert_eq!(outputs, [Output::Rose { who: Some(BEN), from: 7, to: 7, mark: Mark::Delivered }]);
}

/// Attack 44: played again, in part, and in a lesser form.
#[test]
fn t_044_a_mark_that_was_reached_stays() {
    let marks = told(&begun(), [read(BEN, 6, &[1, 2, 3]), Input::Delivered(BEN, 5)]);
    for old in [read(BEN, 6, &[1]), read(BEN, 5, &[]), Input::Delivered(BEN, 2), Input::Sent(6), Input::Sent(1)] {
        let (after, outputs) = step(&marks, old.clone());
        for (place, mark) in all_marks(&marks) {
            assert!(all_marks(&after)[&place] >= mark, "{old:?}");
        }
        let raised = |output: &Output| matches!(output, Output::Rose { who: None, mark: Mark::Sent, .. });
        assert!(outputs.iter().all(raised), "{old:?}: {outputs:?}");
    }
}

/// Attack 45: an edit has its own entry, and its own marks.
#[test]
fn t_045_who_read_a_message_has_not_read_its_edit() {
    let edit = 7;
    let marks = told(&begun(), [read(BEN, 7, &[1, 2, 3]), Input::Entry { seq: edit, by: None }]);
    assert_eq!((marks.mark(1, BEN), marks.mark(edit, BEN)), (Some(Mark::Read), Some(Mark::Queued)));
}

/// Attack 59: whatever an own device with old records says, what was read stays read.
#[test]
fn t_059_reading_on_several_devices_never_runs_back() {
    let (marks, outputs) = step(&begun(), read(ANN, 6, &[1, 2, 3, 5]));
    let rose = |from, to| Output::Rose { who: Some(ANN), from, to, mark: Mark::Read };
    assert_eq!(outputs, [rose(1, 3), rose(5, 5)]);
    let (same, outputs) = step(&marks, read(ANN, 6, &[1]));
    assert_eq!((joined(&same), outputs), (joined(&marks), vec![]));
    let (all, outputs) = step(&marks, Input::Synced(of(&[4])));
    assert_eq!((all.read(), outputs), (Position::upto(5), vec![rose(4, 4)]));
    // What a device that is further ahead says, counts once the log is here.
    let (ahead, outputs) = step(&all, Input::Synced(Position::upto(8)));
    assert_eq!((ahead.read(), outputs), (Position::upto(6), vec![rose(6, 6)]));
    let (came, outputs) = step(&ahead, Input::Entry { seq: 7, by: Some(BEN) });
    assert_eq!((came.read(), came.waits(), outputs), (Position::upto(7), false, vec![rose(7, 7)]));
}

fn saw(from: u64, to: u64) -> Input {
    Input::Saw { from, to }
}

/// The marks after waiting for the deadline, and what they told.
fn waited(marks: &Marks) -> (Marks, Vec<Output>) {
    let at = marks.deadline().unwrap();
    let (early, outputs) = step_at(marks, at.0 - 1, Input::Wake);
    assert_eq!((&early, outputs), (marks, vec![]), "not before");
    step_at(marks, at.0, Input::Wake)
}

#[test]
fn reading_is_told_once_for_many_a_second_or_two_later() {
    let marks = told(&begun(), entries(7..=100, Some(BEN)));
    assert_eq!(marks.deadline(), None, "nothing was read");
    let mut reading = step_at(&marks, 10_000, saw(1, 1)).0;
    let at = reading.deadline().unwrap();
    assert!((11_000..=12_000).contains(&at.0), "{at}");
    for seq in 2..=100 {
        reading = step_at(&reading, 10_000 + seq, saw(seq, seq)).0;
    }
    assert_eq!(reading.deadline(), Some(at), "the first begins the wait, and no other moves it");
    let (told, outputs) = waited(&reading);
    assert_eq!(outputs, [Output::Tell(Position::upto(100), Audience::Everyone)]);
    assert_eq!((told.deadline(), told.waits()), (None, false));
}

/// a burst that is read at once, screen by screen, costs three envelopes at most.
#[test]
fn a_hundred_messages_read_at_once_cost_three_envelopes_at_most() {
    let mut marks = told(&begun(), entries(7..=100, Some(BEN)));
    let mut envelopes = 0;
    // Twenty a screen, a screen each 700 ms.
    for (screen, now) in (0..5_u64).zip((10_000..).step_by(700)) {
        marks = step_at(&marks, now, saw(1, 20 * (screen + 1))).0;
        while let Some(at) = marks.deadline().filter(|at| screen == 4 || at.0 <= now + 700) {
            let (next, outputs) = step_at(&marks, at.0, Input::Wake);
            (marks, envelopes) = (next, envelopes + outputs.len());
        }
    }
    assert!((1..=3).contains(&envelopes), "{envelopes} envelopes");
    assert_eq!(marks.told, Position::upto(100));
}

/// what is told along needs no envelope of its own, and nothing goes along where nothing waits.
#[test]
fn what_is_said_anyway_takes_the_reading_along() {
    let (same, outputs) = step(&begun(), Input::Along);
    assert_eq!((same, outputs), (begun(), vec![]));
    let reading = told(&begun(), [saw(1, 4)]);
    let (along, outputs) = step(&reading, Input::Along);
    assert_eq!(outputs, [Output::Tell(Position::upto(4), Audience::Everyone)]);
    assert_eq!(along.deadline(), None);
}

/// Attack 46: what people don't see asks for no mark, nor what they said themselves; one device tells for all.
#[test]
fn t_046_nothing_is_told_of_what_nobody_sees_and_nothing_twice() {
    let marks = told(&told(&begun(), [saw(1, 6)]), [Input::Along]);
    // A hundred probes: reactions, edits, receipts. And a message of this person's own.
    let probed = told(&marks, entries(7..=106, None));
    let own = told(&probed, [Input::Entry { seq: 107, by: Some(ANN) }]);
    assert_eq!(told(&own, [saw(1, 107)]).deadline(), None);
    // A message behind them is told of.
    let message = told(&own, [Input::Entry { seq: 108, by: Some(CARL) }]);
    assert_eq!(told(&message, [saw(1, 107)]).deadline(), None);
    assert!(told(&message, [saw(1, 108)]).deadline().is_some());
    // Where another device of the person's has told it, this one has nothing to tell, and doesn't.
    let reading = told(&message, [saw(1, 108)]);
    let elsewhere = told(&reading, [Input::Read { who: ANN, at: 109, read: Position::upto(108) }]);
    assert_eq!((elsewhere.waits(), elsewhere.deadline()), (false, None));
    // What that device has read less of is told for the rest.
    let less = told(&reading, [Input::Read { who: ANN, at: 109, read: Position::upto(107) }]);
    assert_eq!(less.deadline(), reading.deadline());
}

/// Attack 46: asking, over and over, is no probe either: it is answered by the person's own reading alone.
#[test]
fn t_046_in_a_large_conversation_asking_brings_nothing_before_the_person_reads() {
    let people = |n: u16| {
        let who = |n: u16| Identity(sha256(&[&n.to_be_bytes()]).0);
        let marks = told(&begun(), [Input::Members((1..n).map(|n| (who(n), 1)).chain([(ANN, 1)]).collect())]);
        told(&marks, [saw(1, 3)])
    };
    let (all, authors) =
        (u16::try_from(limits::MARKS_TO_ALL).unwrap(), u16::try_from(limits::MARKS_TO_AUTHORS).unwrap());
    for (members, audience) in [
        (2, Audience::Everyone),
        (all, Audience::Everyone),
        (all + 1, Audience::Authors),
        (authors, Audience::Authors),
        (authors + 1, Audience::Ourselves),
        (4 * authors, Audience::Ourselves),
    ] {
        let (_, outputs) = waited(&people(members));
        assert_eq!(outputs, [Output::Tell(Position::upto(3), audience)], "{members} members");
    }
    let quiet = waited(&people(authors + 1)).0;
    let asked = told(&quiet, [Input::Asked, Input::Asked]);
    assert_eq!(asked.deadline(), None);
    let (answered, outputs) = waited(&told(&asked, [saw(4, 4)]));
    assert_eq!(outputs, [Output::Tell(Position::upto(4), Audience::Askers)]);
    let (_, outputs) = waited(&told(&answered, [saw(5, 5)]));
    assert_eq!(outputs, [Output::Tell(Position::upto(5), Audience::Ourselves)], "each asking is answered once");
}

/// the conversation's policy, the person's choice, and whether there is a line.
#[test]
fn who_hears_of_a_reading_is_the_policy_s_and_the_person_s_to_say() {
    use Audience::{Everyone, Ourselves};
    for (policy, choice, open, audience) in [
        (Policy::Required, false, true, Everyone),
        (Policy::Required, true, false, Ourselves),
        (Policy::Optional, true, true, Everyone),
        (Policy::Optional, false, true, Ourselves),
        (Policy::Optional, true, false, Ourselves),
        (Policy::Forbidden, true, true, Ourselves),
    ] {
        let reading = told(&begun(), [Input::Rules(Rules { policy, choice, open }), saw(1, 3)]);
        let (after, outputs) = waited(&reading);
        assert_eq!(outputs, [Output::Tell(Position::upto(3), audience)]);
        // What was kept to oneself is not told later.
        let (_, outputs) = step(&told(&after, [Input::Rules(OPEN)]), Input::Along);
        assert_eq!(outputs, []);
        // And nothing private goes along with what others can open.
        let (_, outputs) = step(&reading, Input::Along);
        assert_eq!(outputs.is_empty(), audience == Ourselves);
    }
}

/// at the bound, and above it.
#[test]
fn reading_is_told_so_often_in_a_minute_and_no_oftener() {
    let mut marks = told(&begun(), entries(7..=200, Some(BEN)));
    let (mut now, mut times) = (1_000_000, Vec::new());
    for seq in 1..=100 {
        marks = step_at(&marks, now, saw(1, seq)).0;
        now = marks.deadline().unwrap().0;
        let (next, outputs) = step_at(&marks, now, Input::Wake);
        marks = next;
        times.extend(outputs.iter().map(|_| now));
    }
    let most = usize::try_from(limits::READ_TELLS_PER_MINUTE).unwrap();
    assert_eq!(times.iter().filter(|at| **at < times[0] + MINUTE).count(), most);
    assert!(times.len() > most, "and then it goes on");
    let waits = times.windows(2).map(|pair| pair[1] - pair[0]);
    assert!(waits.min().unwrap() >= limits::READ_MS);
}

/// What fails has a reason, and stands until it is said after all; what is in the log can't fail.
#[test]
fn a_failure_has_its_reason_and_what_is_in_the_log_has_not_failed() {
    let id = ContentId([7; 32]);
    let post = |post| Input::Post(id, post);
    let refused = Post::Failed(Failure::Refused(Code::NoConversation));
    let (failed, outputs) = step(&told(&begun(), [post(Post::Queued)]), post(refused));
    assert_eq!((failed.post(&id), outputs), (Some(refused), vec![Output::Post(id, refused)]));
    assert_eq!(failed.after_crash().post(&id), Some(refused), "it is kept");
    let (same, outputs) = step(&failed, post(Post::Expired));
    assert_eq!((same, outputs), (failed.clone(), vec![]));
    let (placed, _) = step(&failed, post(Post::Placed(6)));
    assert_eq!(step(&placed, post(refused)).0.post(&id), Some(Post::Placed(6)));
    assert_eq!(placed.after_crash().post(&id), None);
}

#[test]
fn every_reason_is_read_from_the_record_as_it_was_written() {
    use Failure::{Again, NoConversation, NoLine, NotEnrolled, TooLong, TooMany};
    let reasons = [NoLine, NoConversation, TooLong, TooMany, Again, NotEnrolled, Failure::Refused(Code::Busy)];
    let posts = reasons.map(Post::Failed).into_iter().chain([Post::Expired]);
    for (n, post) in (0..).zip(posts) {
        // The step compares.
        assert_eq!(told(&begun(), [Input::Post(ContentId([n; 32]), post)]).after_crash().posts.len(), 1);
    }
}

/// At the bounds, one above, and far above. What still waits is kept longest.
#[test]
fn floods_of_people_posts_and_unread_messages_keep_to_the_bounds() {
    let id = |n: usize| sha256(&[&n.to_be_bytes()]).0;
    let mut marks = begun();
    for n in 0..limits::MARK_POSTS + 200 {
        let post = if n % 3 == 0 { Post::Queued } else { Post::Placed(n as u64) };
        marks.step(&tick(5), Input::Post(ContentId(id(n)), post), &mut Outbox::new()).unwrap();
        assert!(marks.posts.len() <= limits::MARK_POSTS);
    }
    let queued = marks.posts.iter().filter(|(_, post)| *post == Post::Queued).count();
    assert_eq!(queued, (limits::MARK_POSTS + 200).div_ceil(3));
    let unread = told(&begun(), entries(7..=2_000, Some(BEN)));
    assert_eq!(unread.news.known.len(), limits::MARK_NEWS);
    assert!(told(&unread, [saw(1, 3)]).waits(), "older ones are known to be among the first");
    let many = |most: usize| Input::Members((0..most).map(|n| (Identity(id(n)), 1)).chain([(ANN, 1)]).collect());
    for most in [limits::MARK_PEOPLE, limits::MARK_PEOPLE + 1, 10 * limits::MARK_PEOPLE] {
        assert_eq!(told(&begun(), [many(most)]).people.len(), limits::MARK_PEOPLE);
    }
}

/// After a crash: what is said again is said again, and what was read waits to be told as before.
#[test]
fn a_crash_loses_nothing_that_is_not_said_again() {
    let marks = told(&begun(), [read(BEN, 6, &[1, 2]), Input::Sent(6), Input::Delivered(CARL, 6), saw(1, 4)]);
    let restored = told(&marks.after_crash(), [Input::Rules(OPEN), Input::Head { seq: 6, heard: 6 }]);
    assert!(restored.waits() && restored.deadline().is_some());
    let again = told(&restored, [Input::Sent(6), Input::Delivered(CARL, 6)]);
    assert_eq!(all_marks(&again), all_marks(&marks));
    // Where the others had said nothing that isn't told, the restart tells nothing.
    let quiet = told(&marks.after_crash(), [Input::Rules(OPEN), Input::Head { seq: 6, heard: 0 }]);
    assert_eq!(quiet.deadline(), None);
}

///
#[test]
fn what_all_have_is_the_least_that_any_has() {
    let marks =
        told(&begun(), [Input::Sent(5), Input::Delivered(BEN, 4), Input::Delivered(CARL, 4), read(BEN, 6, &[3])]);
    let all = |seq| marks.with_all(seq);
    assert_eq!((all(3), all(5), all(6)), (Some(Mark::Delivered), Some(Mark::Sent), Some(Mark::Queued)));
    assert_eq!((all(0), all(7)), (None, None));
    assert_eq!((marks.count(3, Mark::Read), marks.count(3, Mark::Delivered), marks.count(1, Mark::Sent)), (1, 2, 1));
}

/// Attack 46: when something is told depends on chance alone. Over 10⁴ runs each, whatever is read, the waits are uniform
/// over a second to two (Kolmogorov and Smirnov, p > 0.01); the same chance makes the same wait.
#[test]
fn t_046_the_wait_is_uniform_whatever_is_read() {
    const RUNS: u64 = 10_000;
    let few = begun();
    let many = told(&begun(), entries(7..=300, Some(CARL)).chain([Input::Rules(Rules { choice: false, ..OPEN })]));
    let waits = |marks: &Marks, seen: Input, salt: u64| -> Vec<u64> {
        let wait = |run: u64| {
            let entropy = sha256(&[&salt.to_be_bytes(), &run.to_be_bytes()]).0;
            let (mut next, now) = (marks.clone(), 1_000 * run);
            next.step(&Tick { now: Millis(now), entropy }, seen.clone(), &mut Outbox::new()).unwrap();
            next.deadline().unwrap().0 - now
        };
        (1..=RUNS).map(wait).collect()
    };
    for (marks, seen, salt) in [(&few, saw(1, 1), 1), (&many, saw(1, 300), 2), (&many, saw(250, 280), 3)] {
        let mut sample = waits(marks, seen.clone(), salt);
        assert_eq!(sample, waits(marks, seen, salt), "chance decides, and nothing else");
        sample.sort_unstable();
        let (least, span) = (limits::READ_MS, limits::READ_MS + 1);
        assert!(sample.iter().all(|wait| (least..least + span).contains(wait)));
        // The greatest distance between the sample's and the uniform distribution, both in whole milliseconds.
        let distance = |at: u64| {
            let below = sample.partition_point(|wait| *wait <= least + at);
            (below as f64 / RUNS as f64 - (at + 1) as f64 / span as f64).abs()
        };
        let greatest = (0..span).map(distance).fold(0.0, f64::max);
        assert!(greatest * (RUNS as f64).sqrt() < 1.628, "D = {greatest}");
    }
}

fn any_position() -> impl Strategy<Value = Position> {
    prop::collection::vec((0..400_u64, 0..30_u64), 0..5).prop_map(|ranges| {
        let mut position = Position::default();
        ranges.into_iter().for_each(|(from, len)| position.add(from, from + len));
        position
    })
}

fn any_event() -> impl Strategy<Value = Input> {
    let who = || (0..6_u8).prop_map(|n| Identity([n; 32]));
    prop_oneof![
        4 => (who(), 1..1_000_u64, any_position()).prop_map(|(who, at, read)| Input::Read { who, at, read }),
        2 => (who(), 0..1_000_u64).prop_map(|(who, upto)| Input::Delivered(who, upto)),
        1 => (0..1_000_u64).prop_map(Input::Sent),
        2 => (1..1_000_u64, who(), any::<bool>())
            .prop_map(|(seq, who, seen)| Input::Entry { seq, by: seen.then_some(who) }),
        1 => any_position().prop_map(Input::Synced),
        1 => (0..4_u8, 0..4_u8).prop_map(|(id, how)| {
            let post = [Post::Queued, Post::Expired, Post::Failed(Failure::TooLong), Post::Placed(5)];
            Input::Post(ContentId([id; 32]), post[usize::from(how)])
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    ///
    #[test]
    fn floods_in_any_order_and_doubled_make_one_state(
        (events, other) in prop::collection::vec(any_event(), 0..120)
            .prop_flat_map(|events| (Just(events.clone()), Just(events).prop_shuffle())),
        doubled in 0..40_usize,
    ) {
        let members = Input::Members((0..5_u8).map(|n| (Identity([n; 32]), u64::from(n))).collect());
        let begun = told(&Marks::new(TALK, ANN), [members, Input::Rules(OPEN)]);
        let twice: Vec<Input> = other.iter().chain(other.iter().take(doubled)).cloned().collect();
        prop_assert_eq!(joined(&told(&begun, events)), joined(&told(&begun, twice)));
    }
}
