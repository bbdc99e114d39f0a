use super::*;
use crate::fault::Code;
use crate::id::{LinkId, SessionId};
use crate::step::Store;
use crate::wire::talk::{Finding, Origin};

struct NoStore;
impl Store for NoStore {
    type Fault = core::convert::Infallible;
    fn write(&mut self, _: &[Record]) -> Result<(), Self::Fault> {
        Ok(())
    }
}

const TALK: ConversationId = ConversationId([7; 32]);
const NK: NodeKey = NodeKey([1; 32]);
const PHONE: Via = Via::Session(SessionId(1));
const LAPTOP: Via = Via::Session(SessionId(2));
const OTHER: Via = Via::Link(LinkId(1));

fn one() -> Address {
    Address::parse("one@a.example").unwrap()
}

fn two() -> Address {
    Address::parse("two@b.example").unwrap()
}

fn log(hub: Option<NodeKey>) -> Log {
    Log::new(TALK, hub, vec![(one(), None), (two(), Some(NK))])
}

/// Steps, and gives what came out beside records.
fn step(log: &mut Log, input: Input) -> Vec<Output> {
    at(log, 0, input)
}

fn at(log: &mut Log, now: u64, input: Input) -> Vec<Output> {
    let mut out = Outbox::new();
    log.step(&Tick { now: Millis(now), entropy: [0; 32] }, input, &mut out).unwrap();
    let (_, held) = out.split();
    held.open(NoStore.commit(&[]).unwrap())
}

fn post(via: Via, device: u8, number: u64, kind: Kind, epoch: u64) -> Input {
    let origin = Origin { device: DeviceTag([device; 8]), number };
    let members = if kind == Kind::Create { vec![one(), two()] } else { Vec::new() };
    let bytes = format!("{device}/{number}").into_bytes();
    Input::Post(via, Box::new(Post { conversation: TALK, origin, kind, epoch, members, bytes }))
}

/// A hub with two devices of one and the node of two, and a Create by the phone.
fn hub() -> Log {
    let mut log = log(None);
    step(&mut log, Input::Attach(PHONE, Reader::Device(DeviceTag([1; 8]), one())));
    step(&mut log, Input::Attach(LAPTOP, Reader::Device(DeviceTag([2; 8]), one())));
    step(&mut log, Input::Attach(OTHER, Reader::Node(NK)));
    assert_eq!(step(&mut log, post(PHONE, 1, 1, Kind::Create, 0)).len(), 1);
    log
}

fn events(log: &mut Log, via: Via) -> Vec<Event> {
    let all = step(log, Input::Feed { via, items: usize::MAX, bytes: usize::MAX });
    let event = |output| if let Output::Say(_, Talk::Event(event)) = output { Some(event) } else { None };
    all.into_iter().filter_map(event).collect()
}

/// Whose an event is, only the author's devices and node hear; its bytes, all but who posted them.
#[test]
fn each_reader_is_told_as_much_as_it_needs() {
    let mut log = hub();
    step(&mut log, post(OTHER, 9, 5, Kind::Message, 1));
    let told = |log: &mut Log, via| -> Vec<(bool, bool)> {
        events(log, via).iter().map(|event| (event.origin.is_some(), event.bytes.is_some())).collect()
    };
    assert_eq!(told(&mut log, PHONE), [(true, false), (false, true)]);
    assert_eq!(told(&mut log, LAPTOP), [(true, true), (false, true)]);
    assert_eq!(told(&mut log, OTHER), [(false, true), (true, false)]);
    // On its next connection the node may have lost what it posted.
    let again = Via::Link(LinkId(2));
    step(&mut log, Input::Attach(again, Reader::Node(NK)));
    assert_eq!(told(&mut log, again), [(false, true), (true, true)]);
}

#[test]
fn what_was_taken_is_said_again_and_not_taken_twice() {
    let mut log = hub();
    assert_eq!(events(&mut log, PHONE).len(), 1);
    let before = log.head();
    assert!(step(&mut log, post(PHONE, 1, 1, Kind::Create, 0)).is_empty());
    assert_eq!(log.head(), before);
    assert_eq!(events(&mut log, PHONE)[0].seq, 1);
    step(&mut log, post(PHONE, 1, 7, Kind::Message, 1));
    assert!(step(&mut log, post(PHONE, 1, 6, Kind::Message, 1)).is_empty(), "passed over, as 7 says");
    assert_eq!(log.seq(), 2);
    // Another node's devices are its own business, whatever it calls them.
    step(&mut log, post(OTHER, 1, 1, Kind::Message, 1));
    assert_eq!(log.seq(), 3);
    // And a device posts as itself alone.
    let refused = step(&mut log, post(PHONE, 2, 9, Kind::Message, 1));
    assert!(matches!(refused[..], [Output::Unposted(PHONE, _, PeerFault::Frame(_))]), "{refused:?}");
}

/// (attack 76)
#[test]
fn t_076_a_follower_that_misses_entries_asks_once_and_takes_none_out_of_order() {
    let mut hub = hub();
    for number in 2..6 {
        step(&mut hub, post(PHONE, 1, number, Kind::Message, 1));
    }
    let all = events(&mut hub, OTHER);
    let mut follower = log(Some(NK));
    let mut take = |event: &Event| step(&mut follower, Input::Event(OTHER, Box::new(event.clone())));
    assert!(matches!(take(&all[0])[..], [Output::Took { seq: 1, .. }]));
    let asked = take(&all[2]);
    let [Output::Refused(_, PeerFault::Gap { got: 3, want: 2 }), Output::Tell(Talk::Ask { what, .. })] = &asked[..]
    else {
        panic!("{asked:?}");
    };
    assert_eq!(*what, Question::Range { conversation: TALK, from: 2, to: 3 });
    assert!(take(&all[3]).is_empty(), "it has asked");
    assert!(take(&all[0]).is_empty(), "it has it");
    for event in &all[1..] {
        assert!(matches!(take(event)[..], [Output::Took { .. }]));
    }
    assert_eq!(follower.head(), hub.head());
    let end = step(&mut follower, Input::BatchEnd { rides: true });
    assert_eq!(end, [Output::Tell(Talk::Have { conversation: TALK, seq: 5 })]);
}

/// What its own people wrote a follower need not hurry to ack: it goes along with what they write next, and costs no packet.
#[test]
fn an_ack_that_nobody_waits_for_goes_along_with_what_goes_anyway() {
    let mut follower = log(Some(NK));
    let half = limits::HAVE_LATER / 2;
    for seq in 1..=half {
        assert!(!follower.owes_along());
        let (kind, epoch) = if seq == 1 { (Kind::Create, 0) } else { (Kind::Message, 1) };
        let members = if seq == 1 { vec![one(), two()] } else { Vec::new() };
        let origin = Some(Origin { device: DeviceTag([1; 8]), number: seq });
        let event = Event { conversation: TALK, term: 0, seq, kind, epoch, origin, members, bytes: Some(vec![7; 8]) };
        assert!(matches!(step(&mut follower, Input::Event(OTHER, Box::new(event)))[..], [Output::Took { .. }]));
        assert!(step(&mut follower, Input::BatchEnd { rides: true }).is_empty());
    }
    assert!(follower.owes_along());
    step(&mut follower, Input::Along);
    let end = step(&mut follower, Input::BatchEnd { rides: true });
    assert_eq!(end, [Output::Tell(Talk::Have { conversation: TALK, seq: half })]);
    assert!(!follower.owes_along());
}

#[test]
fn a_reader_that_acks_nothing_gets_a_window_and_the_others_everything() {
    let mut log = hub();
    for number in 2..1_000 {
        step(&mut log, post(PHONE, 1, number, Kind::Message, 1));
    }
    assert_eq!(events(&mut log, LAPTOP).len(), limits::FEED_ITEMS);
    assert!(events(&mut log, LAPTOP).is_empty());
    assert!(log.bytes() <= limits::RECENT_BYTES);
    let mut got = 0;
    while got < 999 {
        let some = events(&mut log, OTHER);
        assert!(!some.is_empty(), "after {got}");
        got += some.len();
        let freed = step(&mut log, Input::Have(OTHER, got as u64));
        assert!(matches!(freed[..], [Output::Freed(OTHER, ..)]));
    }
    let refused = step(&mut log, Input::Have(OTHER, 1_000));
    assert_eq!(refused, [Output::Refused(OTHER, PeerFault::Gap { got: 1_000, want: 999 })]);
    assert_eq!(log.behind().count(), 0);
}

/// What isn't in memory is asked for, a bounded piece at a time; what is lost is passed over, and shows as a gap.
#[test]
fn entries_are_read_back_where_they_are_needed() {
    let mut log = hub();
    for number in 2..100 {
        step(&mut log, post(PHONE, 1, number, Kind::Message, 1));
    }
    let feed = |log: &mut Log| step(log, Input::Feed { via: LAPTOP, items: 99, bytes: usize::MAX });
    // Not before the batch that they came with is stored: a look in the store would find them lost.
    log.shed();
    assert_eq!(log.size(), 99);
    step(&mut log, Input::BatchEnd { rides: true });
    log.shed();
    assert_eq!(feed(&mut log), [Output::Wants(1, limits::READ_BACK)]);
    let entry = Entry { kind: Kind::Message, epoch: 1, origin: None, members: Vec::new(), bytes: vec![1] };
    for seq in 1..=limits::READ_BACK {
        let record = entry.record(Key::Entry(TALK, seq), Millis(0));
        log.bring(seq, Some(&record).filter(|_| seq != 3)).unwrap();
    }
    let out = feed(&mut log);
    let seqs: Vec<u64> =
        out.iter().filter_map(|o| if let Output::Say(_, Talk::Event(e)) = o { Some(e.seq) } else { None }).collect();
    let want: Vec<u64> = (1..=limits::READ_BACK).filter(|seq| *seq != 3).collect();
    assert_eq!(seqs, want);
    assert_eq!(out.last(), Some(&Output::Wants(17, 32)));
}

#[test]
fn entries_go_once_everybody_has_them_and_their_time_is_over() {
    let mut log = hub();
    for number in 2..200 {
        step(&mut log, post(PHONE, 1, number, Kind::Message, 1));
    }
    let floor = |log: &mut Log, now| {
        at(log, now, Input::BatchEnd { rides: true });
        log.book.floor
    };
    let begin = 2 * limits::ENTRY_MS;
    assert_eq!(floor(&mut log, begin), 0);
    for via in [PHONE, LAPTOP, OTHER] {
        step(&mut log, Input::Have(via, if via == LAPTOP { 150 } else { 199 }));
    }
    let late = begin + limits::ENTRY_MS;
    assert_eq!(floor(&mut log, late - 1), 0);
    assert_eq!([0, 1, 2, 3].map(|_| floor(&mut log, late)), [64, 128, 150, 150]);
    let answer = step(&mut log, Input::Range { via: PHONE, number: 4, from: 10, to: 12 });
    assert_eq!(
        answer,
        [Output::Say(PHONE, Talk::Answer { number: 4, what: Ok(Finding::Sent) })],
        "nothing is left of it"
    );
    assert_eq!(log.after_crash(), Log::restore(TALK, &log.book.clone().save(TALK)).unwrap());
}

#[test]
fn a_reader_that_takes_nothing_is_asked_once_for_each_new_entry() {
    let mut log = hub();
    step(&mut log, post(PHONE, 1, 2, Kind::Message, 1));
    assert_eq!(events(&mut log, OTHER).len(), 2);
    step(&mut log, Input::Unwanted(OTHER));
    assert!(events(&mut log, OTHER).is_empty());
    step(&mut log, post(PHONE, 1, 3, Kind::Message, 1));
    assert_eq!(events(&mut log, OTHER).iter().map(|event| event.seq).collect::<Vec<_>>(), [1]);
    assert!(events(&mut log, OTHER).is_empty());
    step(&mut log, Input::Have(OTHER, 1));
    assert_eq!(events(&mut log, OTHER).len(), 2);
}

#[test]
fn devices_that_are_remembered_are_bounded() {
    let mut log = hub();
    for device in 0..200 {
        let number = u64::from(device) + 1;
        step(&mut log, post(OTHER, device, number, Kind::Message, 1));
    }
    assert_eq!(log.book.devices.len(), limits::TAGS + 2);
    assert_eq!(PeerFault::Gap { got: 1, want: 1 }.code(), Code::Protocol);
}
