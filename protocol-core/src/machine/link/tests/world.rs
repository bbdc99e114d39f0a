//! Two links back to back, over connections that come up late, glare, and are cut anywhere; nodes that crash.

use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;

use super::*;

struct Rng(u64);
impl Rng {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % n.max(1)
    }
}

enum Item {
    Proven,
    Frame(Frame),
    Gone,
}

/// A connection: what is on its way to each end, and whether the end still has it.
#[derive(Default)]
struct Conn {
    pipes: [VecDeque<Item>; 2],
    open: [bool; 2],
}

struct Node {
    link: Link,
    record: Option<Vec<u8>>,
    /// What must end, and how often it did.
    sent: BTreeMap<MailId, Outgoing>,
    ended: BTreeMap<MailId, usize>,
    /// What came, by id: the front door's memory, durable.
    taken: BTreeMap<CarryId, Result<(), ()>>,
    partial: BTreeMap<Hash, u64>,
    dialling: bool,
    last_came: BTreeMap<LinkId, u64>,
}

struct World {
    now: u64,
    nodes: [Node; 2],
    conns: BTreeMap<LinkId, Conn>,
    next_link: u64,
    rng: Rng,
}

const KEYS: [NodeKey; 2] = [US, THEM];

impl World {
    fn new(seed: u64) -> Self {
        let node = |i: usize| Node {
            link: Link::new(KEYS[1 - i], KEYS[i], 0, Hash([i as u8; 32])),
            record: None,
            sent: BTreeMap::new(),
            ended: BTreeMap::new(),
            taken: BTreeMap::new(),
            partial: BTreeMap::new(),
            dialling: false,
            last_came: BTreeMap::new(),
        };
        let nodes = [node(0), node(1)];
        Self { now: 1, nodes, conns: BTreeMap::new(), next_link: 1, rng: Rng(seed | 1) }
    }

    fn step(&mut self, i: usize, input: Input) {
        let entropy = sha256(&[&self.now.to_be_bytes(), &(self.rng.below(1 << 30) as u64).to_be_bytes()]).0;
        let mut out = Outbox::new();
        let node = &mut self.nodes[i];
        node.link.step(&Tick { now: Millis(self.now), entropy }, input, &mut out).unwrap();
        let (records, held) = out.split();
        assert!(records.len() <= 1);
        for record in records {
            node.record = record.value;
        }
        let restored = node.record.as_ref().map_or_else(
            || Link::new(KEYS[1 - i], KEYS[i], 0, Hash([i as u8; 32])),
            |bytes| Link::restore(KEYS[1 - i], KEYS[i], 0, Hash([i as u8; 32]), bytes).unwrap(),
        );
        assert_eq!(restored, node.link.after_crash(), "law: a crash loses what it says it loses");
        for output in held.open(NoStore.commit(&[]).unwrap()) {
            self.perform(i, output);
        }
    }

    fn perform(&mut self, i: usize, output: Output) {
        match output {
            Output::Out(link, LinkOut::Send(frame)) => self.put(i, link, Item::Frame(frame)),
            Output::Out(link, LinkOut::Chunks { blob, offset }) => {
                let mut at = offset;
                while at < blob.len {
                    let len = (blob.len - at).min(limits::CHUNK_BYTES as u64);
                    self.put(i, link, Item::Frame(Frame::Chunk { blob: blob.sha256, offset: at, len: len as u32 }));
                    at += len;
                }
            }
            Output::Out(link, LinkOut::Fetch { blob }) => {
                let have = *self.nodes[i].partial.entry(blob.sha256).or_default();
                self.step(i, Input::Have(link, blob.sha256, have));
                if have == blob.len {
                    self.step(i, Input::Fetched(link, blob));
                }
            }
            Output::Out(_, LinkOut::Unfetch { .. } | LinkOut::Bytes(_)) => {}
            Output::Out(link, LinkOut::Close) => self.close(i, link),
            Output::Dial => self.nodes[i].dialling = true,
            Output::Came(carry) => {
                let link = self.nodes[i].link.connection().unwrap();
                let last = self.nodes[i].last_came.insert(link, carry.seq);
                assert!(last.is_none_or(|last| last < carry.seq), "in order on one connection");
                if carry.body.len <= limits::CARRY_INLINE_BYTES {
                    self.judge(i, &carry);
                }
            }
            Output::Whole(carry) => self.judge(i, &carry),
            Output::Acked(mail) => {
                let id = self.nodes[i].sent[&mail].id;
                assert_eq!(self.nodes[1 - i].taken.get(&id), Some(&Ok(())), "acked is durable there");
                self.end(i, mail);
            }
            Output::Refused { mail, .. } => self.end(i, mail),
            Output::Fault(fault) => assert!(matches!(fault, PeerFault::Late(_)), "{fault}"),
            Output::Up(_) | Output::Down(_) => {}
            Output::MarksWanted(ids) => {
                assert!(ids.iter().all(|id| self.nodes[i].taken.get(id) == Some(&Ok(()))), "what came before is taken");
            }
            Output::Trust(_) | Output::Marks(_) | Output::Talk(_) | Output::File(_) | Output::Whisper(_) => {
                panic!("nobody said that")
            }
        }
    }

    fn judge(&mut self, i: usize, carry: &Carry) {
        let verdict =
            *self.nodes[i].taken.entry(carry.id).or_insert(if carry.id.0[1] % 7 == 3 { Err(()) } else { Ok(()) });
        let result = verdict.map_err(|()| (PeerFault::NotTrusted, BTreeSet::new()));
        self.step(i, Input::Settled { seq: carry.seq, result });
    }

    fn end(&mut self, i: usize, mail: MailId) {
        *self.nodes[i].ended.entry(mail).or_default() += 1;
    }

    fn put(&mut self, from: usize, link: LinkId, item: Item) {
        if let Some(conn) = self.conns.get_mut(&link)
            && conn.open[from]
        {
            conn.pipes[1 - from].push_back(item);
        }
    }

    fn close(&mut self, i: usize, link: LinkId) {
        self.put(i, link, Item::Gone);
        if let Some(conn) = self.conns.get_mut(&link) {
            conn.open[i] = false;
        }
    }

    /// The dial of `i` succeeds: a connection that proves the dialler at once, the dialled when the proof arrives.
    fn connect(&mut self, i: usize) {
        self.nodes[i].dialling = false;
        let link = LinkId(self.next_link);
        self.next_link += 1;
        self.conns.insert(link, Conn { pipes: Default::default(), open: [true, true] });
        self.put(i, link, Item::Proven);
        self.step(i, Input::Proven { link, dialled: true });
    }

    fn deliver(&mut self, link: LinkId, to: usize) {
        let Some(conn) = self.conns.get_mut(&link) else { return };
        let Some(item) = conn.pipes[to].pop_front() else { return };
        if !conn.open[to] {
            return;
        }
        match item {
            Item::Proven => self.step(to, Input::Proven { link, dialled: false }),
            Item::Gone => {
                conn.open[to] = false;
                self.step(to, Input::Down(link));
            }
            Item::Frame(frame) => {
                let chunk =
                    if let Frame::Chunk { blob, len, .. } = &frame { Some((*blob, u64::from(*len))) } else { None };
                self.step(to, Input::Frame(link, frame));
                if let Some((blob, len)) = chunk {
                    let have = self.nodes[to].partial.entry(blob).or_default();
                    *have += len;
                    let have = *have;
                    let from = &self.nodes[1 - to].sent;
                    let whole = from.values().map(|o| o.body).find(|b| b.sha256 == blob && b.len == have);
                    if let Some(body) = whole {
                        self.step(to, Input::Fetched(link, body));
                    }
                }
            }
        }
    }

    /// Cuts a connection: what is on its way is lost, and each end learns of it, or doesn't.
    fn cut(&mut self, link: LinkId) {
        for to in 0..2 {
            let learns = self.rng.below(4) > 0;
            let conn = self.conns.get_mut(&link).unwrap();
            let keep = self.rng.below(conn.pipes[to].len() + 1);
            conn.pipes[to].truncate(keep);
            if learns {
                conn.pipes[to].push_back(Item::Gone);
            }
        }
        // Nothing that is put on it from now on arrives.
        let conn = self.conns.get_mut(&link).unwrap();
        let pipes = std::mem::take(&mut conn.pipes);
        let [mut a, mut b] = pipes;
        while let Some(item) = a.pop_front() {
            self.conns.get_mut(&link).unwrap().pipes[0].push_back(item);
            self.deliver(link, 0);
            self.conns.get_mut(&link).unwrap().pipes = Default::default();
        }
        while let Some(item) = b.pop_front() {
            self.conns.get_mut(&link).unwrap().pipes[1].push_back(item);
            self.deliver(link, 1);
            self.conns.get_mut(&link).unwrap().pipes = Default::default();
        }
        self.conns.remove(&link);
    }

    /// A crash, and a restart: the front door sends again what never ended.
    fn crash(&mut self, i: usize) {
        for link in self.conns.keys().copied().collect::<Vec<_>>() {
            self.close(i, link);
        }
        let node = &mut self.nodes[i];
        node.link = node.link.after_crash();
        node.dialling = false;
        let again: Vec<_> = node.sent.values().filter(|o| !node.ended.contains_key(&o.mail)).cloned().collect();
        for outgoing in again {
            assert!(self.nodes[i].link.room() > 0);
            self.step(i, Input::Send(outgoing));
        }
    }

    fn send(&mut self, i: usize) {
        if self.nodes[i].link.room() == 0 || self.nodes[i].sent.len() >= 200 {
            return;
        }
        let len = [10, 5_000, 20_000, 50_000, 10, 20_000, 10, limits::WINDOW_BYTES + 1][self.rng.below(8)];
        let outgoing = outgoing(self.nodes[i].sent.len() as u16 + 256 * i as u16, len);
        self.nodes[i].sent.insert(outgoing.mail, outgoing.clone());
        self.step(i, Input::Send(outgoing));
    }

    fn wake(&mut self) {
        let Some(at) = self.nodes.iter().filter_map(|node| node.link.deadline()).min() else { return };
        self.now = self.now.max(at.0);
        for i in 0..2 {
            if self.nodes[i].link.deadline().is_some_and(|at| at.0 <= self.now) {
                self.step(i, Input::Wake);
                assert!(self.nodes[i].link.deadline().is_none_or(|at| at.0 > self.now), "law: a wake has its effect");
            }
        }
    }

    fn any_item(&mut self) -> Option<(LinkId, usize)> {
        let full: Vec<_> = self
            .conns
            .iter()
            .flat_map(|(link, conn)| (0..2).filter(|to| !conn.pipes[*to].is_empty()).map(|to| (*link, to)))
            .collect();
        (!full.is_empty()).then(|| full[self.rng.below(full.len())])
    }

    fn disturb(&mut self, crashes: bool) {
        self.now += self.rng.below(20) as u64;
        let i = self.rng.below(2);
        match self.rng.below(100) {
            0..20 => self.send(i),
            20..82 => {
                if let Some((link, to)) = self.any_item() {
                    self.deliver(link, to);
                }
            }
            82..90 if self.nodes[i].dialling => self.connect(i),
            90..91 if self.nodes[i].dialling => {
                self.nodes[i].dialling = false;
                self.step(i, Input::Unreachable);
            }
            91..95 => {
                let links: Vec<_> = self.conns.keys().copied().collect();
                if !links.is_empty() {
                    let link = links[self.rng.below(links.len())];
                    self.cut(link);
                }
            }
            95..98 => self.wake(),
            98..99 if crashes => self.crash(i),
            99 => self.step(i, Input::Want),
            _ => {}
        }
    }

    /// From now on the network is well: everything must come to its end.
    fn calm(&mut self) {
        for _ in 0..100_000 {
            if let Some((link, to)) = self.any_item() {
                self.deliver(link, to);
            } else if let Some(i) = (0..2).find(|i| self.nodes[*i].dialling) {
                self.connect(i);
            } else if self.nodes.iter().all(|node| node.ended.len() == node.sent.len()) {
                return;
            } else {
                self.wake();
            }
        }
        panic!("no end: {:?}", self.nodes.each_ref().map(|node| &node.link));
    }
}

fn live(seed: u64, steps: usize, crashes: bool) -> World {
    let mut world = World::new(seed);
    for _ in 0..steps {
        world.disturb(crashes);
    }
    world.calm();
    for i in 0..2 {
        let (node, other) = (&world.nodes[i], &world.nodes[1 - i]);
        assert!(node.ended.values().all(|times| *times == 1), "each ends once: {:?}", node.ended);
        assert!(node.sent.values().all(|o| other.taken.contains_key(&o.id)), "none is lost");
    }
    world
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn every_mail_ends_exactly_once_whatever_is_cut(seed in any::<u64>(), steps in 0..800_usize) {
        live(seed, steps, false);
    }

    #[test]
    fn every_mail_ends_exactly_once_whoever_crashes(seed in any::<u64>(), steps in 0..800_usize) {
        live(seed, steps, true);
    }

    #[test]
    fn the_same_seed_lives_the_same_life(seed in any::<u64>()) {
        let (a, b) = (live(seed, 300, true), live(seed, 300, true));
        prop_assert_eq!(a.now, b.now);
        prop_assert_eq!(&a.nodes[0].link, &b.nodes[0].link);
    }
}
