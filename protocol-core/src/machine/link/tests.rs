use super::*;
use crate::id::{Address, CarryId, Pair};
use crate::step::Store;
use crate::store::{Record, sha256};
use crate::wire::frame::{ExpressEnvelope, Mark, Reached, Trust, TrustStep};

mod world;

const US: NodeKey = NodeKey([1; 32]);
const THEM: NodeKey = NodeKey([2; 32]);

struct NoStore;
impl Store for NoStore {
    type Fault = core::convert::Infallible;
    fn write(&mut self, _: &[Record]) -> Result<(), Self::Fault> {
        Ok(())
    }
}

fn tick(now: u64) -> Tick {
    Tick { now: Millis(now), entropy: sha256(&[&now.to_be_bytes()]).0 }
}

/// One step: the records and the effects.
fn run(link: &mut Link, now: u64, input: Input) -> (Vec<Record>, Vec<Output>) {
    let mut out = Outbox::new();
    link.step(&tick(now), input, &mut out).unwrap();
    let (records, held) = out.split();
    (records, held.open(NoStore.commit(&[]).unwrap()))
}

fn step(link: &mut Link, now: u64, input: Input) -> Vec<Output> {
    run(link, now, input).1
}

fn frames(outputs: &[Output]) -> Vec<&Frame> {
    outputs.iter().filter_map(|o| if let Output::Out(_, LinkOut::Send(f)) = o { Some(f) } else { None }).collect()
}

fn carries(outputs: &[Output]) -> Vec<Carry> {
    frames(outputs).into_iter().filter_map(|f| if let Frame::Carry(c) = f { Some(c.clone()) } else { None }).collect()
}

fn fault(outputs: &[Output]) -> Option<&PeerFault> {
    outputs.iter().find_map(|o| if let Output::Fault(fault) = o { Some(fault) } else { None })
}

fn ready() -> Ready {
    let (window_items, window_bytes) = (limits::WINDOW_ITEMS as u32, limits::WINDOW_BYTES);
    let max_body = limits::MAIL_BYTES;
    Ready { next_nk: Hash([8; 32]), generation: 0, last_seen: 0, window_items, window_bytes, max_body }
}

fn outgoing(n: u16, len: u64) -> Outgoing {
    let [a, b] = n.to_be_bytes();
    let mut id = [0; 16];
    (id[0], id[1]) = (a, b);
    let address = |text| Address::parse(text).unwrap();
    let envelope = ExpressEnvelope {
        from: address("ann@a.example"),
        to: vec![address("bob@b.example"), address("bea@b.example")],
        submitted: Millis(0),
    };
    let body = BlobRef { sha256: sha256(&[&id, &len.to_be_bytes()]), len };
    Outgoing { mail: MailId(id), id: CarryId(id), envelope, body }
}

fn carry(seq: u64, n: u16, len: u64) -> Carry {
    let Outgoing { id, envelope, body, .. } = outgoing(n, len);
    Carry { seq, id, envelope, body }
}

fn fresh() -> Link {
    Link::new(THEM, US, 0, Hash([7; 32]))
}

/// A link of ours to them that we dialled, up on connection 1 since 0.
fn up_with(ready: Ready) -> Link {
    let mut link = fresh();
    step(&mut link, 0, Input::Want);
    step(&mut link, 0, Input::Proven { link: LinkId(1), dialled: true });
    let outputs = step(&mut link, 0, Input::Frame(LinkId(1), Frame::Ready(ready)));
    assert_eq!(outputs, [Output::Up(LinkId(1))]);
    link
}

fn up() -> Link {
    up_with(ready())
}

fn frame(link: &mut Link, now: u64, frame: Frame) -> Vec<Output> {
    step(link, now, Input::Frame(LinkId(1), frame))
}

/// [L-8]
#[test]
fn a_dialler_says_ready_first_and_the_dialled_answers() {
    let mut ours = fresh();
    assert_eq!(step(&mut ours, 0, Input::Want), [Output::Dial]);
    let said = step(&mut ours, 1, Input::Proven { link: LinkId(1), dialled: true });
    let [Frame::Ready(first)] = frames(&said)[..] else { panic!("{said:?}") };

    let mut theirs = Link::new(US, THEM, 0, Hash([7; 32]));
    assert!(step(&mut theirs, 1, Input::Proven { link: LinkId(5), dialled: false }).is_empty());
    let answered = step(&mut theirs, 2, Input::Frame(LinkId(5), Frame::Ready(first.clone())));
    let [Frame::Ready(second)] = frames(&answered)[..] else { panic!("{answered:?}") };
    assert_eq!(answered.last(), Some(&Output::Up(LinkId(5))));

    let done = step(&mut ours, 3, Input::Frame(LinkId(1), Frame::Ready(second.clone())));
    assert_eq!(done, [Output::Up(LinkId(1))]);
    assert_eq!((ours.connection(), theirs.connection()), (Some(LinkId(1)), Some(LinkId(5))));
}

/// [L-6]
#[test]
fn glare_leaves_the_connection_that_the_smaller_key_dialled() {
    // Connection 1 is ours (the smaller key), connection 2 theirs; each end sees both proven at once.
    let mut ours = fresh();
    let mut theirs = Link::new(US, THEM, 0, Hash([7; 32]));
    step(&mut ours, 0, Input::Want);
    step(&mut theirs, 0, Input::Want);
    step(&mut ours, 1, Input::Proven { link: LinkId(1), dialled: true });
    step(&mut ours, 1, Input::Proven { link: LinkId(2), dialled: false });
    step(&mut theirs, 1, Input::Proven { link: LinkId(2), dialled: true });
    step(&mut theirs, 1, Input::Proven { link: LinkId(1), dialled: false });

    let held = step(&mut ours, 2, Input::Frame(LinkId(2), Frame::Ready(ready())));
    assert!(held.is_empty(), "unanswered while our own may come up: {held:?}");
    let answered = step(&mut theirs, 2, Input::Frame(LinkId(1), Frame::Ready(ready())));
    assert!(answered.contains(&Output::Out(LinkId(2), LinkOut::Send(Frame::Bye { code: Code::Glare }))));
    assert_eq!(theirs.connection(), Some(LinkId(1)));
    let done = step(&mut ours, 3, Input::Frame(LinkId(1), Frame::Ready(ready())));
    assert!(done.contains(&Output::Out(LinkId(2), LinkOut::Send(Frame::Bye { code: Code::Glare }))));
    assert_eq!(ours.connection(), Some(LinkId(1)));
    assert!(step(&mut ours, 4, Input::Down(LinkId(2))).is_empty(), "nobody's any more");
}

#[test]
fn a_held_connection_is_taken_when_our_own_dial_fails_or_takes_too_long() {
    for failed in [true, false] {
        let mut ours = fresh();
        step(&mut ours, 0, Input::Want);
        step(&mut ours, 1, Input::Proven { link: LinkId(2), dialled: false });
        assert!(step(&mut ours, 2, Input::Frame(LinkId(2), Frame::Ready(ready()))).is_empty());
        let taken = if failed {
            step(&mut ours, 3, Input::Unreachable)
        } else {
            let at = ours.deadline().unwrap();
            assert_eq!(at, Millis(2 + limits::GREETING_MS / 2));
            step(&mut ours, at.0, Input::Wake)
        };
        assert_eq!(taken.last(), Some(&Output::Up(LinkId(2))));
        let late = step(&mut ours, 9_000, Input::Proven { link: LinkId(1), dialled: true });
        assert_eq!(frames(&late), [&Frame::Bye { code: Code::Glare }]);
    }
}

/// They dial again, on connection 2: what we ask on the one that is up.
fn dialled_again(ours: &mut Link, now: u64) -> u64 {
    step(ours, now, Input::Proven { link: LinkId(2), dialled: false });
    let outputs = step(ours, now, Input::Frame(LinkId(2), Frame::Ready(ready())));
    let [Output::Out(LinkId(1), LinkOut::Send(Frame::Ping(number)))] = outputs[..] else { panic!("{outputs:?}") };
    assert_eq!(ours.connection(), Some(LinkId(1)), "until it shows no life, it stays");
    number
}

#[test]
fn a_peer_that_dials_again_replaces_the_connection_that_is_dead_for_it() {
    for gone in [true, false] {
        let mut ours = up();
        let sent = carries(&step(&mut ours, 1, Input::Send(outgoing(1, 10))));
        dialled_again(&mut ours, 2);
        let outputs = if gone {
            step(&mut ours, 3, Input::Down(LinkId(1)))
        } else {
            let at = ours.deadline().unwrap();
            assert_eq!(at, Millis(2 + limits::LINK_PROBE_MS));
            step(&mut ours, at.0, Input::Wake)
        };
        assert_eq!(ours.connection(), Some(LinkId(2)));
        assert_eq!(carries(&outputs), sent, "the same seq, id and envelope");
    }
}

#[test]
fn a_ready_that_was_overtaken_by_the_link_replaces_nothing() {
    let mut ours = up();
    step(&mut ours, 1, Input::Send(outgoing(1, 10)));
    frame(&mut ours, 2, Frame::Ack { seq: 1 });
    let number = dialled_again(&mut ours, 3);
    let outputs = frame(&mut ours, 4, Frame::Pong(number));
    assert_eq!(frames(&outputs), [&Frame::Bye { code: Code::Glare }]);
    assert_eq!((ours.connection(), fault(&outputs)), (Some(LinkId(1)), None));
}

/// [L-7]
#[test]
fn what_is_unsettled_goes_again_exactly_and_what_is_settled_does_not() {
    let mut ours = up();
    let sent: Vec<_> = (0..3).flat_map(|n| carries(&step(&mut ours, 1, Input::Send(outgoing(n, 10))))).collect();
    assert_eq!(sent.iter().map(|c| c.seq).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(frame(&mut ours, 2, Frame::Ack { seq: 2 }), [Output::Acked(outgoing(1, 10).mail)]);
    let down = step(&mut ours, 3, Input::Down(LinkId(1)));
    assert_eq!(down, [Output::Down(Code::Timeout)]);
    let at = ours.deadline().unwrap();
    assert_eq!(step(&mut ours, at.0, Input::Wake), [Output::Dial]);
    step(&mut ours, at.0, Input::Proven { link: LinkId(2), dialled: true });
    let again = step(&mut ours, at.0, Input::Frame(LinkId(2), Frame::Ready(Ready { last_seen: 2, ..ready() })));
    assert_eq!(carries(&again), [sent[0].clone(), sent[2].clone()]);
}

#[test]
fn a_withdrawn_mail_is_not_sent_again_and_its_end_is_no_news() {
    let mut ours = up();
    step(&mut ours, 1, Input::Send(outgoing(1, 10)));
    step(&mut ours, 1, Input::Send(outgoing(2, 10)));
    step(&mut ours, 2, Input::Withdraw(outgoing(1, 10).mail));
    step(&mut ours, 2, Input::Withdraw(outgoing(2, 10).mail));
    assert!(frame(&mut ours, 3, Frame::Ack { seq: 1 }).is_empty());
    step(&mut ours, 4, Input::Down(LinkId(1)));
    assert!(ours.is_idle() && ours.deadline().is_none(), "nothing is left to dial for");
}

#[test]
fn seqs_are_reserved_before_they_are_used_and_never_used_twice() {
    let mut ours = up();
    let (records, effects) = run(&mut ours, 1, Input::Send(outgoing(1, 10)));
    assert_eq!((records.len(), carries(&effects)[0].seq), (1, 1));
    let (records, _) = run(&mut ours, 1, Input::Send(outgoing(2, 10)));
    assert!(records.is_empty(), "the reserve lasts");
    let mut restored = ours.after_crash();
    step(&mut restored, 2, Input::Proven { link: LinkId(2), dialled: true });
    step(&mut restored, 2, Input::Frame(LinkId(2), Frame::Ready(Ready { last_seen: 2, ..ready() })));
    let (records, effects) = run(&mut restored, 3, Input::Send(outgoing(1, 10)));
    assert_eq!(records.len(), 1);
    assert_eq!(carries(&effects)[0].seq, 1 + limits::SEQ_RESERVE);
    assert_eq!(carries(&effects)[0].id, outgoing(1, 10).id, "by which the receiver knows it");
}

/// [L-12]
#[test]
fn the_window_bounds_what_goes_and_one_large_body_goes_beside_it() {
    let window = Ready { window_items: 4, window_bytes: 100_000, ..ready() };
    let mut ours = up_with(window);
    let large = carries(&step(&mut ours, 1, Input::Send(outgoing(0, 1_000_000))));
    let waits = carries(&step(&mut ours, 1, Input::Send(outgoing(1, 1_000_000))));
    let small = carries(&step(&mut ours, 1, Input::Send(outgoing(2, 60_000))));
    let full = carries(&step(&mut ours, 1, Input::Send(outgoing(3, 60_000))));
    assert_eq!((large.len(), waits.len(), small.len(), full.len()), (1, 0, 1, 0));
    assert_eq!(ours.room(), 0);
    let mut out = Outbox::new();
    let refused = ours.step(&tick(2), Input::Send(outgoing(4, 1)), &mut out);
    assert_eq!(refused, Err(Misuse::OutOfPlace("no room on the link")));
    assert!(out.is_empty());
    let next = carries(&frame(&mut ours, 3, Frame::Ack { seq: large[0].seq }));
    assert_eq!(next.iter().map(|c| c.body.len).collect::<Vec<_>>(), [1_000_000]);
    let next = carries(&frame(&mut ours, 3, Frame::Ack { seq: small[0].seq }));
    assert_eq!(next.iter().map(|c| c.body.len).collect::<Vec<_>>(), [60_000]);
}

#[test]
fn a_body_larger_than_they_take_is_refused_at_once() {
    let mut ours = up_with(Ready { max_body: 100, ..ready() });
    let outputs = step(&mut ours, 1, Input::Send(outgoing(1, 101)));
    let (mail, code) = (outgoing(1, 101).mail, Code::TooBig);
    assert_eq!(outputs, [Output::Refused { mail, code, rcpts: BTreeSet::new() }]);
}

#[test]
fn t_096_a_peer_that_passes_the_window_is_cut_off() {
    let mut by_items = up();
    for seq in 1..=limits::WINDOW_ITEMS as u64 {
        assert!(fault(&frame(&mut by_items, 1, Frame::Carry(carry(seq, seq as u16, 1)))).is_none());
    }
    let outputs = frame(&mut by_items, 1, Frame::Carry(carry(1_000, 1_000, 1)));
    assert!(matches!(fault(&outputs), Some(PeerFault::TooBig { what: "unsettled mails", .. })), "{outputs:?}");
    assert_eq!(outputs[0], Output::Out(LinkId(1), LinkOut::Send(Frame::Bye { code: Code::TooBig })));
    assert!(!by_items.is_up());

    let mut by_bytes = up();
    frame(&mut by_bytes, 1, Frame::Carry(carry(1, 1, limits::WINDOW_BYTES)));
    frame(&mut by_bytes, 1, Frame::Carry(carry(2, 2, limits::MAIL_BYTES)));
    let outputs = frame(&mut by_bytes, 1, Frame::Carry(carry(3, 3, 1)));
    assert!(matches!(fault(&outputs), Some(PeerFault::TooBig { what: "unsettled bytes", .. })), "{outputs:?}");

    let mut two_large = up();
    frame(&mut two_large, 1, Frame::Carry(carry(1, 1, limits::MAIL_BYTES)));
    assert!(fault(&frame(&mut two_large, 1, Frame::Carry(carry(2, 2, limits::MAIL_BYTES)))).is_some());
}

/// [L-14], [L-16]
#[test]
fn t_096_frames_that_bring_nothing_forward_are_bounded_by_the_second() {
    let pair = Pair { ours: Address::parse("a@a.example").unwrap(), theirs: Address::parse("b@b.example").unwrap() };
    let trust = Trust { pair, step: TrustStep::Done, bytes: vec![], signature: vec![] };
    let floods = [
        (Frame::Unknown { kind: 200 }, limits::LINK_NOISE_PER_SECOND),
        (Frame::Ping(1), limits::LINK_NOISE_PER_SECOND),
        (Frame::Pong(1), limits::LINK_NOISE_PER_SECOND),
        (Frame::Mark(vec![]), limits::LINK_NOISE_PER_SECOND),
        (Frame::Answer(vec![]), limits::LINK_TALK_PER_SECOND),
        (Frame::Trust(trust), limits::LINK_TALK_PER_SECOND / TRUST_COST),
    ];
    for (flood, most) in floods {
        let mut ours = up();
        for n in 0..2 * most {
            let now = u64::from(n / most) * 1_000;
            assert!(fault(&frame(&mut ours, now, flood.clone())).is_none(), "{flood:?} {n}");
        }
        let outputs = frame(&mut ours, 1_999, flood.clone());
        assert!(matches!(fault(&outputs), Some(PeerFault::Rate { .. })), "{flood:?}: {outputs:?}");
    }
}

/// [L-19]
#[test]
fn t_096_what_no_step_allows_is_a_fault_and_says_bye() {
    let over = vec![Mark { id: CarryId([0; 16]), reached: Reached::Delivered }; limits::MARK_IDS + 1];
    let mut twice = carry(2, 2, 10);
    twice.envelope.to = vec![twice.envelope.from.clone(), twice.envelope.from.clone()];
    let mut nobody = carry(2, 2, 10);
    nobody.envelope.to.clear();
    let blob = Hash([3; 32]);
    for bad in [
        Frame::Hello(vec![]),
        Frame::Proof(vec![]),
        Frame::Ready(ready()),
        Frame::Ack { seq: 1 },
        Frame::Refuse { seq: 9, code: Code::Busy, rcpts: BTreeSet::new() },
        Frame::Chunk { blob, offset: 0, len: 1 },
        Frame::Ask(Ask::Body { blob, offset: 0 }),
        Frame::Ask(Ask::Marks(vec![CarryId([0; 16]); limits::MARK_IDS + 1])),
        Frame::Mark(over),
        Frame::Carry(carry(0, 1, 10)),
        Frame::Carry(carry(2, 2, limits::MAIL_BYTES + 1)),
        Frame::Carry(twice),
        Frame::Carry(nobody),
    ] {
        let mut ours = up();
        let outputs = frame(&mut ours, 1, bad.clone());
        assert!(fault(&outputs).is_some(), "{bad:?}");
        assert!(matches!(frames(&outputs)[..], [Frame::Bye { .. }]), "{outputs:?}");
        assert!(!ours.is_up());
    }
}

#[test]
fn seqs_rise_and_an_answer_is_given_again() {
    let mut ours = up();
    assert_eq!(frame(&mut ours, 1, Frame::Carry(carry(5, 5, 10))), [Output::Came(carry(5, 5, 10))]);
    let settled = |seq, result| Input::Settled { seq, result };
    let (records, effects) = run(&mut ours, 1, settled(5, Ok(())));
    assert_eq!((records.len(), frames(&effects)), (1, vec![&Frame::Ack { seq: 5 }]));
    frame(&mut ours, 1, Frame::Carry(carry(7, 7, 10)));
    let no = Err((PeerFault::NotTrusted, BTreeSet::from([1])));
    let refusal = Frame::Refuse { seq: 7, code: Code::NotTrusted, rcpts: BTreeSet::from([1]) };
    assert_eq!(frames(&step(&mut ours, 1, settled(7, no.clone()))), [&refusal]);
    assert!(step(&mut ours, 1, settled(7, no)).is_empty(), "settled once");

    step(&mut ours, 2, Input::Down(LinkId(1)));
    step(&mut ours, 2, Input::Proven { link: LinkId(2), dialled: false });
    step(&mut ours, 2, Input::Frame(LinkId(2), Frame::Ready(ready())));
    for (seq, answer) in [(5, Frame::Ack { seq: 5 }), (7, refusal)] {
        let again = step(&mut ours, 3, Input::Frame(LinkId(2), Frame::Carry(carry(seq, seq as u16, 10))));
        let mut want = vec![Output::Out(LinkId(2), LinkOut::Send(answer))];
        // An Ack that its sender missed: so may have been the mark.
        want.extend((seq == 5).then(|| Output::MarksWanted(vec![carry(5, 5, 10).id])));
        assert_eq!(again, want, "and it is judged but once");
    }
    let back = step(&mut ours, 3, Input::Frame(LinkId(2), Frame::Carry(carry(6, 6, 10))));
    assert_eq!(fault(&back), Some(&PeerFault::Frame("a seq above the last")));
}

/// [L-13]
#[test]
fn a_large_body_is_fetched_from_where_it_stopped() {
    let len = 40_000;
    let mut ours = up();
    let large = carry(1, 1, len);
    let blob = large.body;
    let came = frame(&mut ours, 1, Frame::Carry(large.clone()));
    assert_eq!(came, [Output::Came(large.clone()), Output::Out(LinkId(1), LinkOut::Fetch { blob })]);
    let asked = step(&mut ours, 1, Input::Have(LinkId(1), blob.sha256, 30_000));
    assert_eq!(frames(&asked), [&Frame::Ask(Ask::Body { blob: blob.sha256, offset: 30_000 })]);
    assert!(frame(&mut ours, 2, Frame::Chunk { blob: blob.sha256, offset: 30_000, len: 6_000 }).is_empty());
    assert!(frame(&mut ours, 2, Frame::Chunk { blob: blob.sha256, offset: 36_000, len: 4_000 }).is_empty());
    assert_eq!(step(&mut ours, 3, Input::Fetched(LinkId(1), blob)), [Output::Whole(large)]);
    assert_eq!(frames(&step(&mut ours, 3, Input::Settled { seq: 1, result: Ok(()) })), [&Frame::Ack { seq: 1 }]);
}

#[test]
fn t_096_pieces_come_in_order_within_the_body_and_only_where_asked_for() {
    let large = carry(1, 1, 40_000);
    let blob = large.body.sha256;
    for (offset, len) in [(1, 100), (0, 0), (0, limits::CHUNK_BYTES as u32 + 1), (u64::MAX, 1)] {
        let mut ours = up();
        frame(&mut ours, 1, Frame::Carry(large.clone()));
        step(&mut ours, 1, Input::Have(LinkId(1), blob, 0));
        assert!(fault(&frame(&mut ours, 2, Frame::Chunk { blob, offset, len })).is_some(), "{offset} {len}");
    }
    let mut past_the_end = up();
    frame(&mut past_the_end, 1, Frame::Carry(large.clone()));
    step(&mut past_the_end, 1, Input::Have(LinkId(1), blob, 39_999));
    assert!(fault(&frame(&mut past_the_end, 2, Frame::Chunk { blob, offset: 39_999, len: 2 })).is_some());
    let mut unasked = up();
    frame(&mut unasked, 1, Frame::Carry(large));
    assert!(fault(&frame(&mut unasked, 2, Frame::Chunk { blob, offset: 0, len: 1 })).is_some());
}

#[test]
fn few_bodies_are_fetched_at_a_time_and_a_stalled_fetch_ends_the_link() {
    let mut ours = up();
    let count = limits::FETCHES as u64 + 2;
    let outputs: Vec<_> =
        (1..=count).flat_map(|seq| frame(&mut ours, 1, Frame::Carry(carry(seq, seq as u16, 20_000)))).collect();
    let fetches =
        |outputs: &[Output]| outputs.iter().filter(|o| matches!(o, Output::Out(_, LinkOut::Fetch { .. }))).count();
    assert_eq!(fetches(&outputs), limits::FETCHES);
    let blob = carry(1, 1, 20_000).body;
    assert_eq!(fetches(&step(&mut ours, 2, Input::Spoiled(LinkId(1), blob))), 1, "the next in the queue");
    step(&mut ours, 3, Input::Have(LinkId(1), carry(2, 2, 20_000).body.sha256, 0));
    let at = ours.deadline().unwrap();
    assert_eq!(at, Millis(3 + limits::LINK_PONG_MS));
    assert_eq!(fault(&step(&mut ours, at.0, Input::Wake)), Some(&PeerFault::Late(limits::LINK_PONG_MS)));
}

#[test]
fn a_spoiled_body_is_refused_and_one_refused_early_is_not_fetched() {
    let mut ours = up();
    let large = carry(1, 1, 20_000);
    frame(&mut ours, 1, Frame::Carry(large.clone()));
    let outputs = step(&mut ours, 2, Input::Spoiled(LinkId(1), large.body));
    let refusal = Frame::Refuse { seq: 1, code: Code::Spoiled, rcpts: BTreeSet::new() };
    assert_eq!((frames(&outputs), fault(&outputs)), (vec![&refusal], Some(&PeerFault::Spoiled)));

    let large = carry(2, 2, 20_000);
    frame(&mut ours, 3, Frame::Carry(large.clone()));
    let result = Err((PeerFault::NotTrusted, BTreeSet::new()));
    let outputs = step(&mut ours, 3, Input::Settled { seq: 2, result });
    assert!(outputs.contains(&Output::Out(LinkId(1), LinkOut::Unfetch { blob: large.body })));
    assert!(step(&mut ours, 4, Input::Have(LinkId(1), large.body.sha256, 0)).is_empty());
}

#[test]
fn a_body_is_sent_once_a_connection_and_only_while_its_mail_is_open() {
    let mut ours = up();
    step(&mut ours, 1, Input::Send(outgoing(1, 20_000)));
    let blob = outgoing(1, 20_000).body;
    let ask = |offset| Frame::Ask(Ask::Body { blob: blob.sha256, offset });
    assert_eq!(frame(&mut ours, 2, ask(100)), [Output::Out(LinkId(1), LinkOut::Chunks { blob, offset: 100 })]);
    assert!(fault(&frame(&mut ours, 2, ask(0))).is_some(), "asked twice");
    let mut other = up();
    step(&mut other, 1, Input::Send(outgoing(1, 20_000)));
    assert!(fault(&frame(&mut other, 2, ask(20_000))).is_some(), "from behind its end");
}

/// [L-15]
#[test]
fn t_091_a_silent_link_is_asked_and_then_given_up() {
    let mut ours = up();
    let asked = ours.deadline().unwrap();
    assert_eq!(asked, Millis(limits::LINK_IDLE_MS));
    assert!(matches!(frames(&step(&mut ours, asked.0, Input::Wake))[..], [Frame::Ping(_)]));
    let mut answered = up();
    step(&mut answered, asked.0, Input::Wake);
    frame(&mut answered, asked.0 + 5, Frame::Pong(asked.0));
    assert_eq!(answered.deadline(), Some(Millis(asked.0 + 5 + limits::LINK_IDLE_MS)));
    let given_up = ours.deadline().unwrap();
    assert_eq!(given_up, Millis(asked.0 + limits::LINK_PONG_MS));
    let outputs = step(&mut ours, given_up.0, Input::Wake);
    assert_eq!(outputs.last(), Some(&Output::Down(Code::Timeout)));
}

/// [L-11]
#[test]
fn a_link_that_settles_nothing_in_time_is_stuck() {
    let mut ours = up();
    step(&mut ours, 100, Input::Send(outgoing(1, 10)));
    step(&mut ours, 200, Input::Send(outgoing(2, 10)));
    assert_eq!(ours.deadline(), Some(Millis(100 + limits::SETTLE_MS)));
    frame(&mut ours, 300, Frame::Ack { seq: 1 });
    let at = ours.deadline().unwrap();
    assert_eq!(at, Millis(300 + limits::SETTLE_MS));
    assert_eq!(fault(&step(&mut ours, at.0, Input::Wake)), Some(&PeerFault::Late(limits::SETTLE_MS)));
}

/// [L-9]
#[test]
fn t_091_a_connection_without_ready_is_closed() {
    for dialled in [true, false] {
        let mut ours = fresh();
        step(&mut ours, 0, Input::Proven { link: LinkId(1), dialled });
        let at = ours.deadline().unwrap();
        assert_eq!(at, Millis(limits::GREETING_MS));
        let outputs = step(&mut ours, at.0, Input::Wake);
        assert_eq!(frames(&outputs), [&Frame::Bye { code: Code::Timeout }]);
        assert!(ours.is_idle());
    }
}

/// [L-17]
#[test]
fn t_094_waits_between_dials_double_within_bounds_and_differ() {
    let mut ours = up();
    step(&mut ours, 1, Input::Send(outgoing(1, 10)));
    step(&mut ours, 2, Input::Down(LinkId(1)));
    let (mut now, mut waits) = (2, Vec::new());
    for _ in 0..16 {
        let at = ours.deadline().unwrap();
        waits.push(at.0 - now);
        assert!(step(&mut ours, at.0 - 1, Input::Wake).is_empty(), "not before");
        assert_eq!(step(&mut ours, at.0, Input::Wake), [Output::Dial]);
        now = at.0 + 10;
        step(&mut ours, now, Input::Unreachable);
    }
    assert!(waits.iter().all(|w| (limits::REDIAL_MIN_MS..=limits::REDIAL_MAX_MS).contains(w)), "{waits:?}");
    assert!(waits[0] <= 2 * limits::REDIAL_MIN_MS && waits[15] >= limits::REDIAL_MAX_MS / 2, "{waits:?}");
    let late: BTreeSet<_> = waits[10..].iter().collect();
    assert!(late.len() >= 5, "jitter keeps them apart: {waits:?}");

    // They dial: no wait counts any more.
    step(&mut ours, now + 1, Input::Proven { link: LinkId(9), dialled: false });
    let outputs = step(&mut ours, now + 2, Input::Frame(LinkId(9), Frame::Ready(ready())));
    assert_eq!(carries(&outputs).len(), 1);
}

/// [L-21]
#[test]
fn t_099_a_node_that_never_proved_its_key_is_dialled_once_a_minute() {
    let mut ours = fresh();
    assert_eq!(step(&mut ours, 0, Input::Want), [Output::Dial]);
    step(&mut ours, 10, Input::Unreachable);
    for now in [20, 30_000, limits::UNPROVEN_DIAL_MS - 1] {
        assert!(step(&mut ours, now, Input::Want).is_empty());
    }
    assert_eq!(ours.deadline(), Some(Millis(limits::UNPROVEN_DIAL_MS)));
    assert_eq!(step(&mut ours, limits::UNPROVEN_DIAL_MS, Input::Wake), [Output::Dial]);
}

#[test]
fn a_dial_without_an_end_ends_and_a_want_does_not_last_for_ever() {
    let mut ours = fresh();
    step(&mut ours, 0, Input::Want);
    assert_eq!(ours.deadline(), Some(Millis(limits::DIAL_MS)));
    step(&mut ours, limits::DIAL_MS, Input::Wake);
    assert_eq!(ours.deadline(), Some(Millis(limits::UNPROVEN_DIAL_MS)));
    assert!(step(&mut ours, limits::WANT_MS, Input::Wake).is_empty());
    assert_eq!(ours.deadline(), None);
}

/// [L-22] [S-4]
#[test]
fn t_111_a_store_that_is_an_older_copy_of_itself_is_found_out() {
    // Theirs: what they acked, they no longer know. Where they dialled, that may be a Ready that was overtaken: we dial.
    let acked = || {
        let mut ours = up();
        step(&mut ours, 1, Input::Send(outgoing(1, 10)));
        frame(&mut ours, 2, Frame::Ack { seq: 1 });
        step(&mut ours, 3, Input::Down(LinkId(1)));
        step(&mut ours, 3, Input::Proven { link: LinkId(2), dialled: false });
        ours
    };
    for dialled in [true, false] {
        let mut ours = acked();
        let outputs = step(&mut ours, 3, Input::Frame(LinkId(2), Frame::Ready(ready())));
        assert_eq!((frames(&outputs), fault(&outputs)), (vec![&Frame::Bye { code: Code::Glare }], None));
        assert_eq!(outputs.last(), Some(&Output::Dial));
        if !dialled {
            step(&mut ours, 4, Input::Unreachable);
        }
        step(&mut ours, 4, Input::Proven { link: LinkId(3), dialled });
        let outputs = step(&mut ours, 4, Input::Frame(LinkId(3), Frame::Ready(ready())));
        assert_eq!(fault(&outputs), Some(&PeerFault::Generation { got: 0, seen: 1 }));
        assert_eq!(frames(&outputs), [&Frame::Bye { code: Code::Generation }]);
    }
    // A risen generation says that they know; it doesn't fall again.
    let mut ours = acked();
    let restarted = Ready { generation: 1, ..ready() };
    let outputs = step(&mut ours, 4, Input::Frame(LinkId(2), Frame::Ready(restarted)));
    assert_eq!(outputs.last(), Some(&Output::Up(LinkId(2))));
    step(&mut ours, 5, Input::Down(LinkId(2)));
    step(&mut ours, 5, Input::Proven { link: LinkId(4), dialled: true });
    let outputs = step(&mut ours, 5, Input::Frame(LinkId(4), Frame::Ready(ready())));
    assert_eq!(fault(&outputs), Some(&PeerFault::Generation { got: 0, seen: 1 }));

    // Ours: they have what we never numbered.
    let ahead = Ready { last_seen: 5_000, ..ready() };
    let mut clone = fresh();
    step(&mut clone, 1, Input::Proven { link: LinkId(1), dialled: true });
    let outputs = frame(&mut clone, 2, Frame::Ready(ahead.clone()));
    assert_eq!(fault(&outputs), Some(&PeerFault::Generation { got: 0, seen: 5_000 }));
    // Started from a backup, and said so: we go on behind what they have.
    let mut before = fresh();
    let (records, _) = run(&mut before, 0, Input::Proven { link: LinkId(1), dialled: true });
    assert_eq!(records.len(), 1);
    let (records, _) = run(&mut before, 0, Input::Frame(LinkId(1), Frame::Ready(ready())));
    let record = records[0].value.clone().unwrap();
    let mut restored = Link::restore(THEM, US, 1, Hash([7; 32]), &record).unwrap();
    step(&mut restored, 1, Input::Proven { link: LinkId(1), dialled: true });
    assert!(fault(&frame(&mut restored, 2, Frame::Ready(ahead))).is_none());
    assert_eq!(carries(&step(&mut restored, 3, Input::Send(outgoing(1, 10))))[0].seq, 5_001);
}

/// [L-6]
#[test]
fn t_111_a_restored_node_takes_the_link_from_an_older_copy_that_is_alive() {
    let mut ours = up();
    let sent = carries(&step(&mut ours, 1, Input::Send(outgoing(1, 10))));
    step(&mut ours, 2, Input::Proven { link: LinkId(2), dialled: false });
    let restored = Ready { generation: 1, ..ready() };
    let outputs = step(&mut ours, 2, Input::Frame(LinkId(2), Frame::Ready(restored)));
    assert!(outputs.contains(&Output::Out(LinkId(1), LinkOut::Send(Frame::Bye { code: Code::Generation }))));
    assert!(outputs.contains(&Output::Down(Code::Generation)) && outputs.contains(&Output::Up(LinkId(2))));
    assert_eq!((ours.connection(), carries(&outputs)), (Some(LinkId(2)), sent), "what was unsettled goes to it");
    // The copy comes back, and is held for what it is: first as one that may only be late, then for good.
    step(&mut ours, 3, Input::Proven { link: LinkId(3), dialled: false });
    let outputs = step(&mut ours, 3, Input::Frame(LinkId(3), Frame::Ready(ready())));
    let [Output::Out(LinkId(2), LinkOut::Send(Frame::Ping(number)))] = outputs[..] else { panic!("{outputs:?}") };
    let outputs = step(&mut ours, 4, Input::Frame(LinkId(2), Frame::Pong(number)));
    assert_eq!((frames(&outputs), ours.connection()), (vec![&Frame::Bye { code: Code::Glare }], Some(LinkId(2))));
}

#[test]
fn lists_go_in_frames_of_bounded_length() {
    let mut ours = up();
    let ids = vec![CarryId([0; 16]); limits::MARK_IDS + 1];
    let marks: Vec<_> = ids.iter().map(|id| Mark { id: *id, reached: Reached::Delivered }).collect();
    for input in [Input::AskMarks(ids), Input::Marks(marks.clone()), Input::Answer(marks)] {
        assert_eq!(step(&mut ours, 1, input).len(), 2);
    }
}

/// [C-4]
#[test]
fn a_bye_is_not_answered_and_who_says_one_closes() {
    let mut ours = up();
    let outputs = step(&mut ours, 1, Input::Frame(LinkId(1), Frame::Bye { code: Code::Busy }));
    assert!(frames(&outputs).is_empty() && outputs.contains(&Output::Out(LinkId(1), LinkOut::Close)), "{outputs:?}");

    let mut ours = up();
    let outputs = step(&mut ours, 1, Input::Garbage(LinkId(1), PeerFault::Frame("a frame")));
    let bye = Output::Out(LinkId(1), LinkOut::Send(Frame::Bye { code: Code::Protocol }));
    assert_eq!(outputs[..2], [bye, Output::Out(LinkId(1), LinkOut::Close)]);
}

/// [C-3]
#[test]
fn a_refusal_settles_one_mail_and_leaves_the_link_up() {
    let mut ours = up();
    for n in [1, 2] {
        step(&mut ours, 1, Input::Send(outgoing(n, 10)));
    }
    let refuse = Frame::Refuse { seq: 1, code: Code::NotTrusted, rcpts: BTreeSet::new() };
    let outputs = step(&mut ours, 2, Input::Frame(LinkId(1), refuse));
    assert!(matches!(outputs[..], [Output::Refused { code: Code::NotTrusted, .. }]), "{outputs:?}");
    let outputs = step(&mut ours, 3, Input::Frame(LinkId(1), Frame::Ack { seq: 2 }));
    assert!(matches!(outputs[..], [Output::Acked(_)]), "{outputs:?}");
    assert!(ours.is_up());
}

#[test]
fn a_leaving_node_says_goodbye_and_takes_no_link() {
    let mut ours = up();
    step(&mut ours, 1, Input::Send(outgoing(1, 10)));
    let outputs = step(&mut ours, 2, Input::Leave);
    assert_eq!(frames(&outputs), [&Frame::Bye { code: Code::Goodbye }]);
    assert_eq!(outputs.last(), Some(&Output::Down(Code::Goodbye)));
    assert_eq!(ours.deadline(), None);
    let outputs = step(&mut ours, 3, Input::Proven { link: LinkId(2), dialled: false });
    assert_eq!(frames(&outputs), [&Frame::Bye { code: Code::Goodbye }]);
}

/// [S-2]
#[test]
fn a_damaged_record_is_told_from_one_of_a_later_version() {
    let record = Memory::NEW.record(THEM).value.unwrap();
    assert_eq!(Link::restore(THEM, US, 0, Hash([7; 32]), &record).unwrap(), {
        let mut link = fresh();
        link.saved = Some(Memory::NEW);
        link
    });
    for cut in 0..record.len() {
        let result = Link::restore(THEM, US, 0, Hash([7; 32]), &record[..cut]);
        assert!(matches!(result, Err(RestoreError::Damaged { .. })), "{cut}");
    }
    let mut later = record;
    later[1] = 2;
    let result = Link::restore(THEM, US, 0, Hash([7; 32]), &later);
    assert!(matches!(result, Err(RestoreError::Version { found: 2, known: 1, .. })));
}
