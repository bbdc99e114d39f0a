use std::collections::BTreeSet;

use postline_core::id::{Address, ConversationId, DeviceKey, DeviceTag, Domain, NodeKey};
use postline_core::time::Millis;
use postline_core::wire::frame::Domains;
use postline_core::wire::hello::Hello;
use postline_core::wire::talk::{
    Event, Finding, Head, Heads, Kind, Line, Origin, Password, Post, Publication, Question, Talk,
};
use postline_core::wire::whisper::{Choice, Delta, Seen, Whisper, Word};
use proptest::prelude::*;

use super::*;

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

fn carry(len: u64, body: &[u8]) -> Frame {
    let blob = BlobRef { sha256: if body.is_empty() { Hash([6; 32]) } else { sha256(&[body]) }, len };
    let to = vec![address("bob@b.example"), address("bea@b.example")];
    let envelope = ExpressEnvelope { from: address("ann@a.example"), to, submitted: Millis(1_700_000_000_000) };
    Frame::Carry(Carry { seq: 300, id: CarryId([4; 16]), envelope, body: blob })
}

fn forgotten(gone: Result<(), Code>) -> Frame {
    let (whose, theirs) = (address("ann@a.example"), address("bob@b.example"));
    Frame::File(File::Forgotten { whose, theirs, hash: Hash([6; 32]), gone })
}

/// One frame of each kind, with the bytes that belong to it.
fn one_of_each() -> Vec<(Frame, Option<Vec<u8>>)> {
    let domain = |text| Domain::parse(text).unwrap();
    let domains = Domains { speaker: domain("a.example"), listener: domain("b.example") };
    let marks = vec![
        Mark { id: CarryId([4; 16]), reached: Reached::Delivered },
        Mark { id: CarryId([5; 16]), reached: Reached::Failed },
    ];
    let pair = Pair { ours: address("ann@a.example"), theirs: address("bob@b.example") };
    let file = BlobRef { sha256: Hash([6; 32]), len: 70_000 };
    vec![
        (Frame::Hello(Hello::new(NodeKey([1; 32]), domains, [2; 32]).canonical()), None),
        (Frame::Proof(vec![3; 64]), None),
        (
            Frame::Ready(Ready {
                next_nk: Hash([7; 32]),
                generation: 1,
                last_seen: 300,
                window_items: 256,
                window_bytes: 4 << 20,
                max_body: 25 << 20,
            }),
            None,
        ),
        (carry(6, b"mail\r\n"), Some(b"mail\r\n".to_vec())),
        (carry(CARRY_INLINE_BYTES + 1, &[]), None),
        (Frame::Ack { seq: 300 }, None),
        (Frame::Refuse { seq: 300, code: Code::NotTrusted, rcpts: BTreeSet::from([0, 2, 99]) }, None),
        (Frame::Trust(Trust { pair, step: TrustStep::Done, bytes: vec![8; 10], signature: vec![9; 64] }), None),
        (Frame::Mark(marks.clone()), None),
        (Frame::Chunk { blob: Hash([6; 32]), offset: 16_384, len: 4 }, Some(vec![1, 2, 3, 4])),
        (Frame::Ask(Ask::Marks(vec![CarryId([4; 16])])), None),
        (Frame::Ask(Ask::Body { blob: Hash([6; 32]), offset: 16_384 }), None),
        (Frame::Answer(marks), None),
        (Frame::File(File::Keep { theirs: address("bob@b.example"), file }), None),
        (Frame::File(File::Kept { hash: file.sha256, far: Ok(49_152) }), None),
        (Frame::File(File::Kept { hash: file.sha256, far: Err(Code::NoFile) }), None),
        (
            Frame::File(File::Fetch {
                asker: address("bob@b.example"),
                whose: address("ann@a.example"),
                file,
                from: 49_152,
            }),
            None,
        ),
        (Frame::File(File::Piece { hash: file.sha256, offset: 49_152, len: 4 }), Some(vec![1, 2, 3, 4])),
        (Frame::File(File::Forget { whose: address("ann@a.example"), theirs: address("bob@b.example"), file }), None),
        (forgotten(Ok(())), None),
        (forgotten(Err(Code::Unlisted)), None),
        (Frame::Ping(70_000), None),
        (Frame::Pong(70_000), None),
        (Frame::Bye { code: Code::Spoiled }, None),
        (Frame::Unknown { kind: 200 }, None),
    ]
    .into_iter()
    .chain(talks().into_iter().map(|talk| (Frame::Talk(talk), None)))
    .chain(whispers().into_iter().map(|whisper| (Frame::Whisper(whisper), None)))
    .collect()
}

/// One of each thing that is whispered.
fn whispers() -> Vec<Whisper> {
    let (ann, bob) = (address("ann@a.example"), address("bob@b.example"));
    let delta = |word| Delta { of: ann.clone(), to: bob.clone(), word };
    let words = [Word::Silent, Word::Agrees, Word::Shows(Seen::Here), Word::Shows(Seen::Away(Millis(900_000)))];
    let choice = |agrees| Choice { theirs: bob.clone(), chosen: Millis(70_000), agrees };
    vec![
        Whisper::Vector(words.map(delta).to_vec()),
        Whisper::Vector(Vec::new()),
        Whisper::Types(ann.clone(), ConversationId([1; 32])),
        Whisper::Active,
        Whisper::Choices(vec![choice(true), choice(false)]),
    ]
}

/// One of each kind of frame about sealed conversations, and of each thing that they may say.
fn talks() -> Vec<Talk> {
    let conversation = ConversationId([1; 32]);
    let origin = Origin { device: DeviceTag([2; 8]), number: 3 };
    let (ann, bob, dk) = (address("ann@a.example"), address("bob@b.example"), DeviceKey([4; 32]));
    let members = vec![ann.clone(), bob.clone()];
    let post = Post { conversation, origin, kind: Kind::Create, epoch: 0, members: members.clone(), bytes: vec![5; 9] };
    let event = Event {
        conversation,
        term: 0,
        seq: 70_000,
        kind: Kind::Message,
        epoch: 2,
        origin: None,
        members: vec![],
        bytes: Some(vec![6; 300]),
    };
    let own = Event { origin: Some(origin), kind: Kind::Commit, bytes: None, ..event.clone() };
    let head = Head { conversation, term: 0, seq: 70_000, hash: Hash([7; 32]) };
    let publish = |what| Talk::Publish { number: 8, what };
    let ask = |what| Talk::Ask { number: 9, what };
    let answer = |what| Talk::Answer { number: 9, what };
    let line = Line {
        theirs: bob.clone(),
        t2: Some(Hash([1; 32])),
        offered: true,
        nk: NodeKey([2; 32]),
        proof: None,
        list: 0,
    };
    vec![
        Talk::Post(post),
        Talk::Unposted { conversation, origin, code: Code::StaleEpoch },
        Talk::Event(event.clone()),
        Talk::Event(Event { kind: Kind::Create, members, ..event }),
        Talk::Event(own),
        Talk::Have { conversation, seq: 70_000 },
        Talk::Heads(Heads { leaves: vec![Hash([8; 32]), head.leaf()], heads: vec![(1, head)], signature: vec![9; 64] }),
        Talk::Delivered { conversation, member: bob.clone(), seq: 70_000 },
        publish(Publication::List(vec![1; 200])),
        publish(Publication::Proof { theirs: bob.clone(), bytes: vec![2; 200] }),
        publish(Publication::Packages { once: vec![vec![3; 300], vec![4; 300]], last_resort: Some(vec![5; 300]) }),
        publish(Publication::Packages { once: vec![], last_resort: None }),
        publish(Publication::Note { to: Some(dk), bytes: vec![6; 20] }),
        publish(Publication::Note { to: None, bytes: vec![6; 20] }),
        publish(Publication::Block { theirs: bob.clone(), blocked: true }),
        Talk::Published { number: 8, code: None },
        Talk::Published { number: 8, code: Some(Code::BadKeys) },
        ask(Question::Lists { asker: ann.clone(), whose: bob.clone(), after: 4 }),
        ask(Question::Packages { asker: ann, whose: bob, only: vec![dk] }),
        ask(Question::Range { conversation, from: 2, to: 70_000 }),
        answer(Ok(Finding::Lists(vec![vec![1; 200]]))),
        answer(Ok(Finding::Packages(vec![vec![3; 300]]))),
        answer(Ok(Finding::Sent)),
        answer(Err(Code::NotTrusted)),
        Talk::Line(line.clone()),
        Talk::Line(Line { t2: None, offered: false, proof: Some(vec![7; 100]), list: 3, ..line }),
        Talk::Login { user: "ann".to_owned(), password: Password("pass word".to_owned().into()) },
    ]
}

fn bytes_of(frame: &Frame, bytes: Option<&[u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    encode(frame, bytes, &mut out).unwrap();
    out
}

fn reader() -> FrameReader {
    let mut reader = FrameReader::new();
    reader.proven();
    reader
}

/// Reads a whole stream in pieces of the given lengths, over and over.
fn read_all(stream: &[u8], pieces: &[usize]) -> Result<Vec<Incoming>, PeerFault> {
    let (mut reader, mut frames, mut rest) = (reader(), Vec::new(), stream);
    for piece in pieces.iter().cycle() {
        let taken = reader.push(&rest[..rest.len().min(*piece)]);
        rest = &rest[taken..];
        while let Some(incoming) = reader.next()? {
            frames.push(incoming);
        }
        assert!(reader.room() > 0, "a reader that gave all it had takes more");
        if rest.is_empty() {
            return Ok(frames);
        }
    }
    unreachable!("pieces go on for ever")
}

fn framed(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut out = (1 + body.len() as u32).to_be_bytes().to_vec();
    out.push(kind);
    out.extend_from_slice(body);
    out
}

fn fault_of(stream: &[u8]) -> Option<PeerFault> {
    read_all(stream, &[usize::MAX]).err()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn one_frame_of_each_kind_has_these_bytes() {
    let golden = include_str!("golden.hex");
    let ours: String =
        one_of_each().iter().map(|(frame, bytes)| format!("{}\n", hex(&bytes_of(frame, bytes.as_deref())))).collect();
    assert_eq!(ours, golden);
}

/// [L-2]
#[test]
fn a_carry_without_recipients_or_with_one_twice_is_no_frame() {
    let Frame::Carry(good) = carry(6, b"mail\r\n") else { panic!("a carry") };
    let bob = good.envelope.to[0].clone();
    for to in [vec![], vec![bob.clone(), bob]] {
        let mut bad = good.clone();
        bad.envelope.to = to;
        let fault = fault_of(&bytes_of(&Frame::Carry(bad), Some(b"mail\r\n")));
        assert_eq!(fault, Some(PeerFault::Frame("recipients, none twice")));
    }
}

/// [L-2]
#[test]
fn t_092_frames_are_the_same_however_the_bytes_are_split() {
    let mut stream = Vec::new();
    for (frame, bytes) in one_of_each() {
        encode(&frame, bytes.as_deref(), &mut stream).unwrap();
    }
    let whole = read_all(&stream, &[usize::MAX]).unwrap();
    let frames: Vec<_> = one_of_each().into_iter().map(|(frame, bytes)| Incoming { frame, bytes }).collect();
    assert_eq!(whole, frames);
    for at in 1..stream.len() {
        assert_eq!(read_all(&stream, &[at, usize::MAX]).as_ref(), Ok(&whole), "cut at {at}");
    }
    assert_eq!(read_all(&stream, &[1]), Ok(whole));
}

#[test]
fn t_092_lengths_that_lie_are_found_out_as_soon_as_they_are_read() {
    let too_big = |got: usize, max: usize| PeerFault::TooBig { what: "frame", got: got as u64, max: max as u64 };
    let over = FRAME_BYTES + 1;
    assert_eq!(fault_of(&(over as u32).to_be_bytes()), Some(too_big(over, FRAME_BYTES)));
    assert_eq!(fault_of(&u32::MAX.to_be_bytes()), Some(too_big(u32::MAX as usize, FRAME_BYTES)));
    assert_eq!(fault_of(&[0; 4]), Some(PeerFault::Frame("a frame of at least its type")));
    let mut stranger = FrameReader::new();
    stranger.push(&(HELLO_BYTES as u32 + 1).to_be_bytes());
    assert_eq!(stranger.next(), Err(too_big(HELLO_BYTES + 1, HELLO_BYTES)));
    stranger.push(&bytes_of(&Frame::Ping(1), None));
    assert_eq!(stranger.next(), Err(too_big(HELLO_BYTES + 1, HELLO_BYTES)), "a broken stream stays broken");
    // A frame of one byte has a type and no body: no body of ours is empty.
    for kind in PROOF..=BYE {
        assert!(fault_of(&framed(kind, &[])).is_some(), "{kind}");
    }
    for kind in [0, 12, 16, 127] {
        assert!(fault_of(&framed(kind, &[])).is_some(), "{kind}");
    }
    assert_eq!(fault_of(&framed(128, &[])), None);
}

/// [L-14] [W-11] What is whispered may be passed over by who doesn't know it, and is judged by who does.
#[test]
fn t_095_a_whisper_is_of_its_form_and_within_its_bounds() {
    let of = |n: usize| {
        Whisper::Vector(vec![
            Delta { of: address("ann@a.example"), to: address("bob@b.example"), word: Word::Silent };
            n
        ])
    };
    for (n, taken) in [(0, true), (limits::PRESENCE_DELTAS, true), (limits::PRESENCE_DELTAS + 1, false), (900, false)] {
        assert_eq!(fault_of(&bytes_of(&Frame::Whisper(of(n)), None)).is_none(), taken, "{n} changes");
    }
    // Another whisper, a word of another number, a word of two items, nothing.
    for body in [&[0x81, 0x04][..], &[0x82, 0x00, 0x81, 0x80], &[0x80], &[0x81, 0x00], &[0x82, 0x02, 0x80], &[]] {
        assert!(fault_of(&framed(WHISPER, body)).is_some(), "{body:?}");
    }
}

#[test]
fn t_092_a_body_has_nothing_behind_it_and_nothing_missing() {
    for (frame, bytes) in one_of_each() {
        if matches!(frame, Frame::Hello(_) | Frame::Unknown { .. }) {
            continue; // their bodies are whatever they are
        }
        let stream = bytes_of(&frame, bytes.as_deref());
        let (kind, body) = (stream[4], &stream[5..]);
        assert!(fault_of(&framed(kind, &[body, &[0]].concat())).is_some(), "{frame:?} with a byte more");
        for cut in 0..body.len() {
            assert!(fault_of(&framed(kind, &body[..cut])).is_some(), "{frame:?} cut at {cut}");
        }
        if body[0] >> 5 == 4 {
            let longer = [&[body[0] + 1], &body[1..], &[0]].concat();
            assert!(fault_of(&framed(kind, &longer)).is_some(), "{frame:?} with an item more");
        }
    }
}

#[test]
fn t_092_a_number_in_more_bytes_than_it_needs_is_refused() {
    assert_eq!(fault_of(&framed(ACK, &[0x05])), None);
    assert_eq!(fault_of(&framed(ACK, &[0x18, 0x05])), Some(PeerFault::Frame("one item of deterministic CBOR")));
}

#[test]
fn t_091_a_stranger_makes_a_reader_hold_no_more_than_a_hello() {
    let mut reader = FrameReader::new();
    let flood = vec![0; 1 << 20];
    let taken = reader.push(&flood) + reader.push(&flood);
    assert!(taken <= HELLO_BYTES + LENGTH_BYTES, "{taken}");
    assert_eq!(reader.room(), 0);
}

#[test]
fn t_096_a_reader_that_nobody_empties_stops_taking() {
    let mut reader = reader();
    let pings: Vec<u8> = std::iter::repeat_n(bytes_of(&Frame::Ping(1), None), 100_000).flatten().collect();
    let taken = reader.push(&pings) + reader.push(&pings);
    assert!(taken <= FRAME_BYTES + LENGTH_BYTES, "{taken}");
    assert_eq!(reader.next(), Ok(Some(Incoming { frame: Frame::Ping(1), bytes: None })));
}

#[test]
fn a_small_body_rides_inside_and_a_large_one_does_not() {
    let small = vec![b'x'; CARRY_INLINE_BYTES as usize];
    let stream = bytes_of(&carry(CARRY_INLINE_BYTES, &small), Some(&small));
    let [Incoming { frame: Frame::Carry(read), bytes }] = &read_all(&stream, &[1_000]).unwrap()[..] else {
        panic!("a carry")
    };
    assert_eq!((read.body, bytes), (BlobRef { sha256: sha256(&[&small]), len: CARRY_INLINE_BYTES }, &Some(small)));

    // Each in the other's form.
    let Frame::Carry(large) = carry(CARRY_INLINE_BYTES + 1, &[]) else { panic!("a carry") };
    let form = |write: &dyn Fn(&mut Writer)| {
        let mut w = Writer::array_of(6);
        w.u64(1).bytes(&large.id.0).address(&large.envelope.from).array(1).address(&large.envelope.to[0]).u64(0);
        write(&mut w);
        framed(CARRY, &w.into_bytes())
    };
    let inside = form(&|w| {
        w.bytes(&vec![0; CARRY_INLINE_BYTES as usize + 1]);
    });
    let named = form(&|w| {
        w.array(2).bytes(&[0; 32]).u64(CARRY_INLINE_BYTES);
    });
    assert_eq!(fault_of(&inside), Some(PeerFault::Frame("a large body in chunks")));
    assert_eq!(fault_of(&named), Some(PeerFault::Frame("a small body inside its frame")));
}

#[test]
fn what_is_unknown_within_a_known_frame_is_refused_but_a_code_is_a_code() {
    assert!(fault_of(&framed(ASK, &[0x82, 0x02, 0x80])).is_some(), "a third question");
    let mut mark = vec![0x82, 0x50];
    mark.extend([0; 16]);
    mark.push(2);
    assert_eq!(fault_of(&framed(MARK, &mark)), Some(PeerFault::Frame("a mark of version 1")));
    mark[0] = 0x81;
    mark.pop();
    assert!(fault_of(&framed(MARK, &mark)).is_some(), "an id without what it reached");
    let unordered = framed(REFUSE, &[0x83, 1, 2, 0x82, 1, 1]);
    assert_eq!(fault_of(&unordered), Some(PeerFault::Frame("indices in order")));
    let later = read_all(&framed(BYE, &[0x18, 99]), &[9]).unwrap();
    assert_eq!(later[0].frame, Frame::Bye { code: Code::Protocol });
}

#[test]
fn what_can_not_be_said_is_refused_and_leaves_nothing_behind() {
    let mut out = b"before".to_vec();
    let large = vec![0; FRAME_BYTES];
    for (frame, bytes) in [
        (carry(6, b"mail\r\n"), None),
        (carry(6, b"mail\r\n"), Some(&b"mail"[..])),
        (carry(CARRY_INLINE_BYTES + 1, &[]), Some(&b"mail"[..])),
        (Frame::Chunk { blob: Hash([0; 32]), offset: 0, len: 3 }, Some(&b"mail"[..])),
        (Frame::Ping(1), Some(&b"mail"[..])),
        (Frame::Proof(large.clone()), None),
    ] {
        assert!(encode(&frame, bytes, &mut out).is_err(), "{frame:?}");
        assert_eq!(out, b"before");
    }
}

fn any_address() -> impl Strategy<Value = Address> {
    ("[a-z0-9+]{1,20}", "[a-z]{1,20}\\.[a-z]{2,5}").prop_map(|(local, domain)| address(&format!("{local}@{domain}")))
}

fn any_carry() -> impl Strategy<Value = (Frame, Option<Vec<u8>>)> {
    let body = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..2_000).prop_map(|b| (sha256(&[&b]), b.len() as u64, Some(b))),
        (any::<[u8; 32]>(), CARRY_INLINE_BYTES + 1..u64::MAX).prop_map(|(hash, len)| (Hash(hash), len, None)),
    ];
    let to = prop::collection::btree_set(any_address(), 1..=limits::ENVELOPE_RECIPIENTS)
        .prop_map(|to| to.into_iter().collect::<Vec<_>>());
    (any::<(u64, [u8; 16], u64)>(), any_address(), to, body).prop_map(
        |((seq, id, at), from, to, (sha256, len, bytes))| {
            let envelope = ExpressEnvelope { from, to, submitted: Millis(at) };
            (Frame::Carry(Carry { seq, id: CarryId(id), envelope, body: BlobRef { sha256, len } }), bytes)
        },
    )
}

fn any_marks() -> impl Strategy<Value = Vec<Mark>> {
    let reached = prop_oneof![Just(Reached::Delivered), Just(Reached::Failed)];
    let mark = (any::<[u8; 16]>(), reached).prop_map(|(id, reached)| Mark { id: CarryId(id), reached });
    prop::collection::vec(mark, 0..=limits::MARK_IDS)
}

fn any_frame() -> impl Strategy<Value = (Frame, Option<Vec<u8>>)> {
    let code = (0_u16..20).prop_map(Code::from_wire);
    let step = prop_oneof![Just(TrustStep::Confirm), Just(TrustStep::Done), Just(TrustStep::Accept)];
    let short = || prop::collection::vec(any::<u8>(), 0..300);
    let bare = prop_oneof![
        short().prop_map(Frame::Hello),
        short().prop_map(Frame::Proof),
        any::<([u8; 32], u64, u64, u32, u64, u64)>().prop_map(|(next, generation, last_seen, items, bytes, max)| {
            let (next_nk, window_items, window_bytes, max_body) = (Hash(next), items, bytes, max);
            Frame::Ready(Ready { next_nk, generation, last_seen, window_items, window_bytes, max_body })
        }),
        any::<u64>().prop_map(|seq| Frame::Ack { seq }),
        (any::<u64>(), code.clone(), prop::collection::btree_set(any::<u8>(), 0..100))
            .prop_map(|(seq, code, rcpts)| Frame::Refuse { seq, code, rcpts }),
        (any_address(), any_address(), step, short(), short()).prop_map(|(ours, theirs, step, bytes, signature)| {
            Frame::Trust(Trust { pair: Pair { ours, theirs }, step, bytes, signature })
        }),
        any_marks().prop_map(Frame::Mark),
        any_marks().prop_map(Frame::Answer),
        prop::collection::vec(any::<[u8; 16]>(), 0..=limits::MARK_IDS)
            .prop_map(|ids| Frame::Ask(Ask::Marks(ids.into_iter().map(CarryId).collect()))),
        any::<([u8; 32], u64)>().prop_map(|(blob, offset)| Frame::Ask(Ask::Body { blob: Hash(blob), offset })),
        any::<u64>().prop_map(Frame::Ping),
        any::<u64>().prop_map(Frame::Pong),
        code.prop_map(|code| Frame::Bye { code }),
    ];
    let chunk = (any::<[u8; 32]>(), any::<u64>(), prop::collection::vec(any::<u8>(), 0..5_000)).prop_map(
        |(blob, offset, bytes)| {
            let len = bytes.len() as u32;
            (Frame::Chunk { blob: Hash(blob), offset, len }, Some(bytes))
        },
    );
    let unknown = (WHISPER + 1..).prop_map(|kind| (Frame::Unknown { kind }, None));
    prop_oneof![8 => bare.prop_map(|frame| (frame, None)), 3 => any_carry(), 1 => chunk, 1 => unknown]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn every_frame_comes_back_however_it_is_split(
        said in prop::collection::vec(any_frame(), 1..8),
        pieces in prop::collection::vec(1..3_000_usize, 1..6),
    ) {
        let mut stream = Vec::new();
        for (frame, bytes) in &said {
            encode(frame, bytes.as_deref(), &mut stream).unwrap();
        }
        let heard = read_all(&stream, &pieces).unwrap();
        let said: Vec<_> = said.into_iter().map(|(frame, bytes)| Incoming { frame, bytes }).collect();
        prop_assert_eq!(heard, said);
    }

    #[test]
    fn t_092_any_bytes_give_the_same_frames_and_fault_however_they_are_split(
        kind in 0..17_u8,
        body in prop::collection::vec(any::<u8>(), 0..60),
        pieces in prop::collection::vec(1..20_usize, 1..4),
    ) {
        let stream = [framed(kind, &body), bytes_of(&Frame::Ping(1), None)].concat();
        let whole = read_all(&stream, &[usize::MAX]);
        if let Ok(frames) = &whole
            && !matches!(frames[0].frame, Frame::Bye { .. } | Frame::Refuse { .. })
        {
            let Incoming { frame, bytes } = &frames[0];
            prop_assert_eq!(bytes_of(frame, bytes.as_deref()), framed(kind, &body), "one encoding each");
        }
        prop_assert_eq!(read_all(&stream, &pieces), whole);
    }
}

#[test]
fn t_093_a_frame_is_as_long_as_what_it_carries() {
    for body in [vec![b'a'; 16_000], (0..16_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect()] {
        let mut bytes = Vec::new();
        encode(&carry(16_000, &body), Some(&body), &mut bytes).unwrap();
        assert!((16_000..16_200).contains(&bytes.len()), "{} bytes for 16,000", bytes.len());
    }
}

/// What a message costs beyond its `MLSMessage`, TLS and TCP: after four thousand million entries, in the hundredth epoch.
#[test]
fn an_envelope_adds_at_most_ninety_bytes() {
    let (conversation, sealed) = (ConversationId([1; 32]), vec![7; 456]);
    let origin = Origin { device: DeviceTag([2; 8]), number: u64::from(u32::MAX) };
    let (kind, epoch, members) = (Kind::Message, 100, Vec::new());
    let post = Post { conversation, origin, kind, epoch, members: members.clone(), bytes: sealed.clone() };
    let event = |origin| {
        let (seq, members, bytes) = (u64::from(u32::MAX), members.clone(), Some(sealed.clone()));
        Talk::Event(Event { conversation, term: 0, seq, kind, epoch, origin, members, bytes })
    };
    for talk in [Talk::Post(post), event(None), event(Some(origin))] {
        let added = bytes_of(&Frame::Talk(talk.clone()), None).len() - sealed.len();
        assert!(added <= 90, "{added} bytes: {talk:?}");
    }
}
