use super::*;
use crate::seal::Secret;
use crate::step::{Durable, Store};
use crate::store::Record;

struct Node {
    identity: NodeIdentity,
    domains: BTreeSet<Domain>,
}

impl Node {
    fn new(seed: u8, domain: &str) -> Self {
        let identity = NodeIdentity::new(&Secret::new([seed; 32]), NodeKey([0; 32]));
        Self { identity, domains: BTreeSet::from([Domain::parse(domain).unwrap()]) }
    }

    fn ours(&self) -> Ours<'_> {
        Ours { identity: &self.identity, domains: &self.domains }
    }

    fn domain(&self) -> Domain {
        self.domains.first().unwrap().clone()
    }
}

struct NoStore;
impl Store for NoStore {
    type Fault = core::convert::Infallible;
    fn write(&mut self, _: &[Record]) -> Result<(), Self::Fault> {
        Ok(())
    }
}

fn tick(now: u64) -> Tick {
    Tick { now: Millis(now), entropy: [now as u8; 32] }
}

fn open(out: Outbox<Output>) -> Vec<Output> {
    let durable: Durable = NoStore.commit(&[]).unwrap();
    out.split().1.open(durable)
}

fn step(greeting: &mut Greeting, node: &Node, now: u64, input: Input) -> Vec<Output> {
    let mut out = Outbox::new();
    greeting.step(&tick(now), node.ours(), input, &mut out);
    open(out)
}

fn frames(outputs: &[Output]) -> Vec<Frame> {
    outputs.iter().filter_map(|o| if let Output::Send(f) = o { Some(f.clone()) } else { None }).collect()
}

fn failure(outputs: &[Output]) -> Option<(Code, PeerFault)> {
    match outputs {
        [Output::Send(Frame::Bye { code }), Output::Failed(fault)] => Some((*code, fault.clone())),
        _ => None,
    }
}

fn dial(a: &Node, b: &Node, nk: NodeKey, exporter: u8) -> (Greeting, Frame) {
    let mut out = Outbox::new();
    let domains = Domains { speaker: a.domain(), listener: b.domain() };
    let greeting = Greeting::dial(&tick(1), &a.identity, domains, nk, [exporter; 32], &mut out);
    let [Output::Send(hello)] = &open(out)[..] else { panic!("a hello") };
    (greeting, hello.clone())
}

/// Runs a greeting to its end, the two ends seeing these exporters.
fn greet(a: &Node, b: &Node, exporters: (u8, u8)) -> (Vec<Output>, Vec<Output>) {
    let (mut at_a, hello) = dial(a, b, b.identity.nk(), exporters.0);
    let mut at_b = Greeting::answer(&tick(2), [exporters.1; 32]);
    let answer = frames(&step(&mut at_b, b, 3, Input::Frame(hello)));
    let mut last = Vec::new();
    for frame in answer {
        last = step(&mut at_a, a, 4, Input::Frame(frame));
    }
    let mut end = Vec::new();
    for frame in frames(&last) {
        end.extend(step(&mut at_b, b, 5, Input::Frame(frame)));
    }
    (last, end)
}

/// [L-3]
#[test]
fn two_nodes_prove_their_keys_to_each_other() {
    let (a, b) = (Node::new(1, "a.example"), Node::new(2, "b.example"));
    let (at_a, at_b) = greet(&a, &b, (7, 7));
    let proven = |nk, speaker, listener| Output::Proven { nk, former: None, domains: Domains { speaker, listener } };
    assert_eq!(at_a.last(), Some(&proven(b.identity.nk(), b.domain(), a.domain())));
    assert_eq!(at_b, [proven(a.identity.nk(), a.domain(), b.domain())]);
}

/// [K-6]: the next key is as good as the one dialled where that announced it, and the new one says whom it follows.
#[test]
fn t_014_the_next_key_answers_only_where_both_say_so() {
    let (a, b) = (Node::new(1, "a.example"), Node::new(2, "b.example"));
    let dialled = NodeIdentity::public(&Secret::new([9; 32]));
    let next = sha256(&[&b.identity.nk().0]);
    for (announced, follows) in [(true, true), (true, false), (false, true), (false, false)] {
        let mut b = Node::new(2, "b.example");
        b.identity = b.identity.following(follows.then_some(dialled));
        let (at_a, hello) = dial(&a, &b, dialled, 7);
        let mut at_a = at_a.or_next(if announced { vec![next] } else { Vec::new() });
        let mut at_b = Greeting::answer(&tick(2), [7; 32]);
        let answer = frames(&step(&mut at_b, &b, 3, Input::Frame(hello)));
        let met = step(&mut at_a, &a, 4, Input::Frame(answer[0].clone()));
        if announced && follows {
            let last = step(&mut at_a, &a, 4, Input::Frame(answer[1].clone()));
            assert!(matches!(last.last(), Some(Output::Proven { former: Some(former), .. }) if *former == dialled));
        } else {
            assert_eq!(failure(&met).map(|(code, _)| code), Some(Code::Denied), "no proof for another key");
        }
    }
    // The key that names this node itself in pairs of its own people is nobody's.
    assert!(verify(NodeKey([0; 32]), crate::wire::signed::Role::Offer, b"", &[0; 64]).is_err());
}

#[test]
fn t_103_a_proof_is_worth_nothing_on_another_connection() {
    let (a, b) = (Node::new(1, "a.example"), Node::new(2, "b.example"));
    // Somebody in the middle runs two TLS sessions: the exporters differ.
    let (at_a, _) = greet(&a, &b, (7, 8));
    assert_eq!(failure(&at_a), Some((Code::Denied, PeerFault::Signature)));

    // The dialler's frames of one connection, sent again on the next.
    let (mut at_a, hello) = dial(&a, &b, b.identity.nk(), 7);
    let mut first = Greeting::answer(&tick(2), [7; 32]);
    let answer = frames(&step(&mut first, &b, 3, Input::Frame(hello.clone())));
    let last: Vec<_> = answer.into_iter().flat_map(|f| frames(&step(&mut at_a, &a, 4, Input::Frame(f)))).collect();
    let mut second = Greeting::answer(&tick(5), [9; 32]);
    step(&mut second, &b, 6, Input::Frame(hello));
    let refused = step(&mut second, &b, 7, Input::Frame(last[0].clone()));
    assert_eq!(failure(&refused), Some((Code::Denied, PeerFault::Signature)));
}

#[test]
fn t_064_a_proof_sent_back_to_its_author_fails() {
    let (a, b) = (Node::new(1, "a.example"), Node::new(2, "b.example"));
    let (_, hello) = dial(&a, &b, b.identity.nk(), 7);
    let mut at_b = Greeting::answer(&tick(2), [7; 32]);
    let answer = frames(&step(&mut at_b, &b, 3, Input::Frame(hello)));
    let mirrored = step(&mut at_b, &b, 4, Input::Frame(answer[1].clone()));
    assert_eq!(failure(&mirrored), Some((Code::Denied, PeerFault::Signature)));

    // B's own Hello, mirrored to a listener of B.
    let mut other = Greeting::answer(&tick(5), [7; 32]);
    assert!(failure(&step(&mut other, &b, 6, Input::Frame(answer[0].clone()))).is_some());
}

#[test]
fn the_dialler_shows_its_proof_only_to_the_key_that_it_dialled() {
    let (a, b) = (Node::new(1, "a.example"), Node::new(2, "b.example"));
    let expected = NodeKey([5; 32]);
    let (mut at_a, hello) = dial(&a, &b, expected, 7);
    let mut at_b = Greeting::answer(&tick(2), [7; 32]);
    let answer = frames(&step(&mut at_b, &b, 3, Input::Frame(hello)));
    let refused = step(&mut at_a, &a, 4, Input::Frame(answer[0].clone()));
    let fault = PeerFault::WrongKey { got: b.identity.nk(), want: expected };
    assert_eq!(failure(&refused), Some((Code::Denied, fault)));
    assert!(step(&mut at_a, &a, 5, Input::Frame(answer[1].clone())).is_empty(), "it is over");
    assert_eq!(at_a.deadline(), None);
}

#[test]
fn a_hello_to_a_domain_that_is_not_ours_or_from_one_that_is_is_denied() {
    let (a, b) = (Node::new(1, "a.example"), Node::new(2, "b.example"));
    let (c, impostor) = (Node::new(3, "c.example"), Node::new(4, "b.example"));
    let (_, to_c) = dial(&a, &c, b.identity.nk(), 7);
    let (_, as_b) = dial(&impostor, &b, b.identity.nk(), 7);
    for (hello, domain) in [(to_c, c.domain()), (as_b, b.domain())] {
        let mut at_b = Greeting::answer(&tick(2), [7; 32]);
        let refused = step(&mut at_b, &b, 3, Input::Frame(hello));
        assert_eq!(failure(&refused), Some((Code::Denied, PeerFault::WrongDomain(domain))));
    }
}

#[test]
fn t_070_a_version_that_was_edited_on_the_way_spoils_the_proof() {
    let (a, b) = (Node::new(1, "a.example"), Node::new(2, "b.example"));
    let (mut at_a, Frame::Hello(bytes)) = dial(&a, &b, b.identity.nk(), 7) else { panic!("a hello") };
    let mut edited = Hello::parse(&bytes).unwrap();
    edited.version = 2;
    let mut at_b = Greeting::answer(&tick(2), [7; 32]);
    let answer = frames(&step(&mut at_b, &b, 3, Input::Frame(Frame::Hello(edited.canonical()))));
    step(&mut at_a, &a, 4, Input::Frame(answer[0].clone()));
    let refused = step(&mut at_a, &a, 5, Input::Frame(answer[1].clone()));
    assert_eq!(failure(&refused), Some((Code::Denied, PeerFault::Signature)));

    edited.version = 0;
    let mut at_b = Greeting::answer(&tick(2), [7; 32]);
    let refused = step(&mut at_b, &b, 3, Input::Frame(Frame::Hello(edited.canonical())));
    assert_eq!(failure(&refused), Some((Code::Version, PeerFault::Version(0))));
}

#[test]
fn t_091_a_stranger_who_says_nothing_or_nonsense_is_soon_gone() {
    let b = Node::new(2, "b.example");
    let mut silent = Greeting::answer(&tick(2), [7; 32]);
    let late = silent.deadline().unwrap();
    assert_eq!(late, Millis(2 + limits::GREETING_MS));
    assert!(step(&mut silent, &b, late.0 - 1, Input::Wake).is_empty());
    let gone = step(&mut silent, &b, late.0, Input::Wake);
    assert_eq!(failure(&gone), Some((Code::Timeout, PeerFault::Late(limits::GREETING_MS))));

    for frame in [Frame::Ping(1), Frame::Proof(vec![0; 64]), Frame::Unknown { kind: 200 }, Frame::Hello(vec![0])] {
        let mut nonsense = Greeting::answer(&tick(2), [7; 32]);
        assert!(failure(&step(&mut nonsense, &b, 3, Input::Frame(frame))).is_some());
        assert_eq!(nonsense.deadline(), None);
    }
}

#[test]
fn t_091_a_greeting_holds_little() {
    let (a, b) = (Node::new(1, "a.example"), Node::new(2, "b.example"));
    let (_, Frame::Hello(bytes)) = dial(&a, &b, b.identity.nk(), 7) else { panic!("a hello") };
    let mut fat = Hello::parse(&bytes).unwrap();
    fat.extensions.insert(1, vec![0; limits::HELLO_BYTES - bytes.len() - 8]);
    let mut at_b = Greeting::answer(&tick(2), [7; 32]);
    assert_eq!(frames(&step(&mut at_b, &b, 3, Input::Frame(Frame::Hello(fat.canonical())))).len(), 2);
    let Awaits::Proof { ours, theirs, .. } = &at_b.awaits else { panic!("a proof is awaited") };
    let held = ours.len() + theirs.len() + size_of::<Greeting>() + 4 * limits::DOMAIN_BYTES;
    assert!(held <= limits::GREETING_BYTES - limits::HELLO_BYTES, "{held} bytes");
}
