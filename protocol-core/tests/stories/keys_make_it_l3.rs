//! Two people prove their keys to each other for their line: L3; and what never makes it.

use postline_core::fault::{Code, PeerFault};
use postline_core::id::{Address, Mailbox};
use postline_core::limits;
use postline_core::machine::trust::TrustState;
use postline_core::server::io::KeysState::{Proven, Suspended, Unproven};
use postline_core::server::{Command, Event};
use postline_core::step::Store as _;
use postline_core::store::{Key, Record};
use postline_core::time::{MINUTE, SECOND};
use postline_core::wire::cbor::Writer;
use postline_core::wire::memo::drawer_of_note;
use postline_core::wire::talk::{Finding, Publication, Question, Talk};
use postline_world::world::World;

use crate::kit::{a_line, draft, id, one, pair, two, two_nodes};
use crate::people::{People, Person, all_up, changes, keys};

/// Two who have a line, each with a device and a first list.
struct Two {
    world: World,
    people: People,
    one: Person,
    two: Person,
    phone: usize,
    desk: usize,
}

impl Two {
    fn with_a_line() -> Self {
        let (mut world, mut people) = (a_line(), People::default());
        let (phone, desk) = (people.online(&mut world, &one()), people.online(&mut world, &two()));
        let (mut first, mut second) = (Person::new(&one(), 1), Person::new(&two(), 2));
        people.list(&mut world, &mut first, &[phone]);
        people.list(&mut world, &mut second, &[desk]);
        Self { world, people, one: first, two: second, phone, desk }
    }

    fn at_l3() -> Self {
        let mut all = Self::with_a_line();
        assert_eq!(all.prove_one(), None);
        assert_eq!(all.prove_two(), None);
        all.pass(MINUTE / 60);
        assert_eq!(all.keys(), [Proven; 2], "{:#?}", all.world.events);
        all
    }

    fn prove_one(&mut self) -> Option<Code> {
        self.people.prove(&mut self.world, &self.one, self.phone, &two())
    }

    fn prove_two(&mut self) -> Option<Code> {
        self.people.prove(&mut self.world, &self.two, self.desk, &one())
    }

    fn pass(&mut self, ms: u64) {
        self.people.pass(&mut self.world, ms);
    }

    fn keys(&self) -> [postline_core::server::io::KeysState; 2] {
        [keys(&self.world, &one(), &two()), keys(&self.world, &two(), &one())]
    }

    /// The newest list of the other that each device has heard of.
    fn lists_heard(&self) -> [u64; 2] {
        let of = |index: usize, theirs: &Address| self.people.devices[index].lines()[theirs].list;
        [of(self.phone, &two()), of(self.desk, &one())]
    }

    fn refused(&self, node: usize, why: &PeerFault) -> bool {
        let is_it = |event: &Event| matches!(event, Event::Refused { why: w, .. } if w == why);
        self.world.events.iter().any(|(at, _, event)| *at == node && is_it(event))
    }
}

#[test]
fn t_010_both_proofs_make_it_l3_at_both_ends_and_one_alone_does_not() {
    let mut all = Two::with_a_line();
    assert_eq!(all.prove_one(), None);
    all.pass(2 * SECOND);
    assert_eq!(all.keys(), [Unproven; 2], "one key alone");
    let line = all.people.devices[all.desk].lines()[&one()].clone();
    assert!(line.proof.is_some() && line.list == 1 && line.t2.is_some(), "{line:?}");
    assert_eq!(all.people.devices[all.phone].lines()[&two()].proof, None);
    assert_eq!(all.prove_two(), None);
    all.pass(2 * SECOND);
    assert_eq!(all.keys(), [Proven; 2]);
    for node in [0, 1] {
        assert_eq!(changes(&all.world, node), [(Unproven, Proven)]);
    }
    // One of the two offered, so that one node is the hub, and each knows which.
    let offered = [(all.phone, two()), (all.desk, one())];
    let offered = offered.map(|(index, theirs)| all.people.devices[index].lines()[&theirs].offered);
    assert_eq!(offered, [true, false]);
    assert!(!all.world.nodes.iter().any(|node| node.disk.records().any(|r| matches!(r.key, Key::Telling(_)))));
}

#[test]
fn crossed_proofs_and_proofs_said_twice_make_it_l3_once() {
    let mut all = Two::with_a_line();
    let t2 = all.world.nodes[0].trust(&pair(&one(), &two())).t2().unwrap();
    for (index, bytes, theirs) in [
        (all.phone, all.one.proof(&two(), t2).bytes().to_vec(), two()),
        (all.desk, all.two.proof(&one(), t2).bytes().to_vec(), one()),
    ] {
        for number in [90, 91] {
            let what = Publication::Proof { theirs: theirs.clone(), bytes: bytes.clone() };
            let talk = Talk::Publish { number, what };
            all.people.devices[index].say(&mut all.world, talk);
        }
    }
    all.pass(2 * SECOND);
    assert_eq!(all.keys(), [Proven; 2]);
    assert_eq!(changes(&all.world, 0), [(Unproven, Proven)]);
}

/// [U-14]
#[test]
fn l3_comes_whatever_crashes_on_the_way() {
    for (crashes, after) in [(0, 0), (0, 2), (0, 5), (1, 0), (1, 2), (1, 5), (0, 40), (1, 40)] {
        let mut all = Two::with_a_line();
        let t2 = all.world.nodes[0].trust(&pair(&one(), &two())).t2().unwrap();
        assert_eq!(all.prove_two(), None);
        let what = Publication::Proof { theirs: two(), bytes: all.one.proof(&two(), t2).bytes().to_vec() };
        let talk = Talk::Publish { number: 90, what };
        all.people.devices[all.phone].say(&mut all.world, talk);
        all.pass(after);
        all.world.crash(crashes);
        all.pass(20 * SECOND / 10);
        // A device publishes again what had no answer; what its node had is the same again.
        all_up(&mut all.world);
        all.people.connect(&mut all.world, all.phone);
        all.pass(10);
        assert_eq!(all.prove_one(), None);
        all.pass(2 * SECOND);
        assert_eq!(all.keys(), [Proven; 2], "node {crashes} down after {after} ms: {:#?}", all.world.events);
    }
}

#[test]
fn t_064_a_proof_for_others_or_mirrored_is_refused() {
    let mut all = Two::with_a_line();
    let t2 = all.world.nodes[0].trust(&pair(&one(), &two())).t2().unwrap();
    let other_t2 = postline_core::id::Hash([9; 32]);
    let third = Address::parse("three@c.example").unwrap();
    let cases = [
        (all.two.proof(&one(), t2).bytes().to_vec(), two(), Code::BadKeys),
        (all.one.proof(&two(), other_t2).bytes().to_vec(), two(), Code::BadKeys),
        (all.one.proof(&third, t2).bytes().to_vec(), two(), Code::BadKeys),
        (all.one.proof(&third, t2).bytes().to_vec(), third.clone(), Code::NotTrusted),
        (
            Person { chain: all.one.chain.clone(), ..Person::new(&one(), 9) }.proof(&two(), t2).bytes().to_vec(),
            two(),
            Code::BadKeys,
        ),
        (b"no proof".to_vec(), two(), Code::BadKeys),
    ];
    for (bytes, theirs, code) in cases {
        let what = Publication::Proof { theirs, bytes };
        assert_eq!(all.people.publish(&mut all.world, all.phone, what), Some(code));
    }
    all.pass(SECOND);
    assert_eq!(all.keys(), [Unproven; 2]);
}

#[test]
fn t_015_another_key_outside_the_chain_ends_l3_loudly() {
    let mut all = Two::at_l3();
    all.world.events.clear();
    // Two's node forgets all, and a new person with their address founds a new chain there.
    forget(&mut all.world, 1, |key| matches!(key, Key::Keys(_) | Key::List(..)));
    all.world.crash(1);
    all_up(&mut all.world);
    let desk = all.people.online(&mut all.world, &two());
    let mut other = Person::new(&two(), 7);
    all.people.list(&mut all.world, &mut other, &[desk]);
    assert_eq!(all.people.prove(&mut all.world, &other, desk, &one()), None);
    all.pass(3 * SECOND);
    assert_eq!(keys(&all.world, &one(), &two()), Suspended);
    assert_eq!(changes(&all.world, 0), [(Proven, Suspended)]);
    let (got, want) = (other.ak.ak(), all.two.ak.ak());
    assert!(all.refused(0, &PeerFault::NewKey { got, want }), "{:#?}", all.world.events);
    let line = all.people.devices[all.phone].lines()[&two()].clone();
    assert!(line.proof.is_some_and(|proof| proof.windows(32).any(|w| w == got.0)), "the device judges for itself");
    // Mail and the line itself are as they were.
    assert_eq!(all.world.nodes[0].trust(&pair(&one(), &two())).state(), TrustState::Trusted);
    // The person ends it, and a new round trip begins anew: who they are now is met anew.
    let both = pair(&one(), &two());
    for command in [Command::Block(both.clone()), Command::Unblock(both)] {
        all.world.command(0, command);
        all.pass(10);
    }
    assert_eq!(keys(&all.world, &one(), &two()), Unproven);
}

/// [U-12]
#[test]
fn t_072_t_073_a_node_takes_only_the_list_that_comes_next() {
    let mut all = Two::with_a_line();
    let tablet = all.people.online(&mut all.world, &one());
    let devices = [&all.people.devices[all.phone], &all.people.devices[tablet]];
    let (mine, other) = (all.one.list(&devices), all.one.list(&devices[1..]));
    let forged = Person { chain: all.one.chain.clone(), ..Person::new(&one(), 9) }.list(&devices);
    let first = Person::new(&one(), 9).list(&devices);
    let publish = |all: &mut Two, index, bytes: &[u8]| {
        all.people.publish(&mut all.world, index, Publication::List(bytes.to_vec()))
    };
    let phone = all.phone;
    for bad in [forged.bytes(), first.bytes(), b"no list", &vec![0; limits::LIST_BYTES + 1]] {
        assert!(publish(&mut all, phone, bad).is_some());
    }
    // Two devices at once: the first has it, the other hears so and rebases.
    assert_eq!(publish(&mut all, phone, mine.bytes()), None);
    assert_eq!(publish(&mut all, tablet, other.bytes()), Some(Code::BadKeys));
    assert_eq!(publish(&mut all, tablet, mine.bytes()), None, "the same again is no news");
    let old = all.one.list(&[&all.people.devices[phone]]);
    all.one.took(&mine);
    assert_eq!(publish(&mut all, phone, old.bytes()), Some(Code::BadKeys));
    let asked = Question::Lists { asker: one(), whose: one(), after: 0 };
    let answer = all.people.ask(&mut all.world, tablet, asked, 10);
    let Some(Ok(Finding::Lists(lists))) = answer else { panic!("{answer:?}") };
    assert_eq!(lists.len(), 2);
    assert_eq!(lists[1], mine.bytes());
    assert_eq!(all.people.devices[tablet].lines()[&one()].list, 2, "own devices hear of it");
    // Nobody publishes for others.
    let desk = all.desk;
    assert_eq!(publish(&mut all, desk, mine.bytes()), Some(Code::BadKeys));
}

#[test]
fn a_new_list_reaches_the_other_side_and_a_revoked_device_is_out() {
    let mut all = Two::at_l3();
    let tablet = all.people.online(&mut all.world, &one());
    let devices = [all.phone, tablet];
    all.people.list(&mut all.world, &mut all.one, &devices);
    all.pass(2 * SECOND);
    assert_eq!(all.lists_heard(), [1, 2]);
    // While the link is down, and through a crash.
    all.world.crash(1);
    let phone = [all.phone];
    all.people.list(&mut all.world, &mut all.one, &phone);
    assert_eq!(all.people.devices[tablet].left, Some(Code::Login), "revoked");
    all.world.crash(0);
    all_up(&mut all.world);
    all.people.connect(&mut all.world, all.desk);
    all.pass(2 * SECOND);
    assert_eq!(all.people.devices[all.desk].lines()[&one()].list, 3);
    assert_eq!(all.keys(), [Proven; 2]);
    assert!(!all.world.nodes.iter().any(|node| node.disk.records().any(|r| matches!(r.key, Key::Telling(_)))));
}

#[test]
fn devices_ask_for_lists_and_key_packages_of_those_they_have_a_line_with() {
    let mut all = Two::at_l3();
    let asked =
        |asker: &Address, whose: &Address| Question::Lists { asker: asker.clone(), whose: whose.clone(), after: 0 };
    let lists = all.people.ask(&mut all.world, all.phone, asked(&one(), &two()), 2 * SECOND);
    let Some(Ok(Finding::Lists(lists))) = lists else { panic!("{lists:?}") };
    assert_eq!(lists.len(), 1);
    let packages =
        Publication::Packages { once: vec![b"p1".to_vec(), b"p2".to_vec()], last_resort: Some(b"last".to_vec()) };
    assert_eq!(all.people.publish(&mut all.world, all.desk, packages), None);
    let ask = Question::Packages { asker: one(), whose: two(), only: Vec::new() };
    for want in ["p1", "p2", "last", "last"] {
        let answer = all.people.ask(&mut all.world, all.phone, ask.clone(), 2 * SECOND);
        assert_eq!(answer, Some(Ok(Finding::Packages(vec![want.as_bytes().to_vec()]))));
    }
    // Own other devices, and not the asker itself.
    let own = Question::Packages { asker: two(), whose: two(), only: Vec::new() };
    assert_eq!(all.people.ask(&mut all.world, all.desk, own, 10), Some(Ok(Finding::Packages(Vec::new()))));
}

#[test]
fn t_106_keys_are_for_those_with_a_line_and_all_others_hear_the_same() {
    let mut all = Two::at_l3();
    let three = Address::parse("three@b.example").unwrap();
    all.world.nodes[1].users.insert(Mailbox("three".to_owned()));
    let nobody = Address::parse("nobody@b.example").unwrap();
    for whose in [&three, &nobody, &Address::parse("other@a.example").unwrap()] {
        for what in [
            Question::Lists { asker: one(), whose: whose.clone(), after: 0 },
            Question::Packages { asker: one(), whose: whose.clone(), only: Vec::new() },
        ] {
            assert_eq!(all.people.ask(&mut all.world, all.phone, what, 2 * SECOND), Some(Err(Code::NotTrusted)));
        }
    }
    // In another's name.
    let what = Question::Lists { asker: three, whose: two(), after: 0 };
    assert_eq!(all.people.ask(&mut all.world, all.phone, what, 2 * SECOND), Some(Err(Code::NotTrusted)));
    // Two blocks one: one's node hears what it hears of a stranger.
    all.world.command(1, Command::Block(pair(&two(), &one())));
    all.pass(10);
    let what = Question::Packages { asker: one(), whose: two(), only: Vec::new() };
    assert_eq!(all.people.ask(&mut all.world, all.phone, what, 2 * SECOND), Some(Err(Code::NotTrusted)));
    assert_eq!(keys(&all.world, &two(), &one()), Unproven);
    assert_eq!(all.people.devices[all.desk].lines()[&one()].t2, None, "two's devices hear that the line is gone");
}

/// [U-13]
#[test]
fn t_084_packages_are_bounded_and_answers_rated() {
    let mut all = Two::at_l3();
    let big = Publication::Packages { once: vec![vec![1; limits::PACKAGE_BYTES + 1]], last_resort: None };
    assert_eq!(all.people.publish(&mut all.world, all.desk, big), Some(Code::TooBig));
    let many = Publication::Packages { once: vec![b"p".to_vec(); limits::PACKAGES + 1], last_resort: None };
    assert_eq!(all.people.publish(&mut all.world, all.desk, many), Some(Code::TooBig));
    // More than fit: the newest stay.
    for round in 0..2_u8 {
        let once = (0..limits::PACKAGES as u8).map(|n| vec![round, n]).collect();
        let what = Publication::Packages { once, last_resort: None };
        assert_eq!(all.people.publish(&mut all.world, all.desk, what), None);
    }
    let ask = Question::Packages { asker: one(), whose: two(), only: Vec::new() };
    let first = all.people.ask(&mut all.world, all.phone, ask.clone(), 2 * SECOND);
    assert_eq!(first, Some(Ok(Finding::Packages(vec![vec![1, 0]]))));
    let mut answered = 1;
    while all.people.ask(&mut all.world, all.phone, ask.clone(), 2 * SECOND) != Some(Err(Code::Busy)) {
        answered += 1;
    }
    // A question may have been asked twice, its link having gone in between.
    let most = limits::PACKAGE_ANSWERS_PER_HOUR;
    assert!((most - 2..=most).contains(&answered), "{answered} answers");
}

#[test]
fn a_question_for_a_node_that_is_gone_is_given_up_in_time() {
    let mut all = Two::at_l3();
    all.world.plan(0, postline_world::world::Trouble::Apart(0, 1, true));
    all.world.plan(0, postline_world::world::Trouble::Apart(1, 0, true));
    all.pass(10);
    let what = Question::Lists { asker: one(), whose: two(), after: 0 };
    assert_eq!(all.people.ask(&mut all.world, all.phone, what.clone(), 2 * SECOND), None);
    all.world.pass(limits::ASK_MS);
    all.pass(10);
    let timed_out = |talk: &Talk| matches!(talk, Talk::Answer { what: Err(Code::Timeout), .. });
    assert!(all.people.devices[all.phone].heard.iter().any(timed_out));
}

#[test]
fn two_of_one_node_reach_l3_without_a_link() {
    let mut world = World::of(&["a.example", "b.example"]);
    let (ann, dan) = (Address::parse("ann@a.example").unwrap(), Address::parse("dan@a.example").unwrap());
    for name in ["ann", "dan"] {
        world.nodes[0].users.insert(Mailbox(name.to_owned()));
    }
    world.write(&draft(&ann, &dan, "first"));
    world.pass(SECOND);
    world.write(&draft(&dan, &ann, "reply").answering(&id("first")));
    world.pass(SECOND);
    let mut people = People::default();
    let (phone, desk) = (people.online(&mut world, &ann), people.online(&mut world, &dan));
    let (mut first, mut second) = (Person::new(&ann, 1), Person::new(&dan, 2));
    people.list(&mut world, &mut first, &[phone]);
    people.list(&mut world, &mut second, &[desk]);
    assert_eq!(people.prove(&mut world, &first, phone, &dan), None);
    assert_eq!(keys(&world, &ann, &dan), Unproven);
    world.crash(0);
    all_up(&mut world);
    for index in [phone, desk] {
        people.connect(&mut world, index);
    }
    people.pass(&mut world, 10);
    assert_eq!(people.prove(&mut world, &second, desk, &ann), None);
    people.pass(&mut world, 10);
    assert_eq!([keys(&world, &ann, &dan), keys(&world, &dan, &ann)], [Proven; 2], "{:#?}", world.events);
    assert!(!world.events.iter().any(|(_, _, event)| matches!(event, Event::LinkUp { .. })));
    let lists = people.ask(&mut world, phone, Question::Lists { asker: ann.clone(), whose: dan.clone(), after: 0 }, 10);
    assert!(matches!(lists, Some(Ok(Finding::Lists(lists))) if lists.len() == 1));
    let offered = |index: usize, theirs: &Address| people.devices[index].lines()[theirs].offered;
    assert!(offered(phone, &dan) && !offered(desk, &ann));
    assert!(!world.nodes[0].disk.records().any(|record| matches!(record.key, Key::Telling(_))));
}

#[test]
fn a_new_round_trip_wants_new_proofs() {
    let mut all = Two::at_l3();
    let both = pair(&two(), &one());
    for command in [Command::Block(both.clone()), Command::Unblock(both)] {
        all.world.command(1, command);
        all.pass(10);
    }
    all.world.write(&draft(&one(), &two(), "again"));
    all.pass(5 * SECOND);
    for names in [["second", "second-reply"], ["third", "third-reply"]] {
        crate::kit::round_trip(&mut all.world, names);
    }
    all.pass(10);
    assert_eq!(crate::kit::states(&all.world), [TrustState::Trusted; 2]);
    assert_eq!(all.keys(), [Unproven; 2], "another T2, other proofs");
    assert_eq!(all.prove_one(), None);
    assert_eq!(all.prove_two(), None);
    all.pass(2 * SECOND);
    assert_eq!(all.keys(), [Proven; 2], "{:#?}", all.world.events);
}

/// [U-15]
#[test]
fn a_note_waits_for_the_other_devices_of_the_person() {
    let (mut world, mut people) = (two_nodes(), People::default());
    let (phone, tablet) = (people.online(&mut world, &one()), people.online(&mut world, &one()));
    people.list(&mut world, &mut Person::new(&one(), 9), &[phone, tablet]);
    people.leave(&mut world, tablet);
    let note = |to| Publication::Note { to, bytes: b"sealed".to_vec() };
    assert_eq!(people.publish(&mut world, phone, note(None)), None);
    world.crash(0);
    all_up(&mut world);
    for index in [phone, tablet] {
        people.connect(&mut world, index);
    }
    people.pass(&mut world, 10);
    let notes = |people: &People, index: usize| {
        let is_note = |talk: &&Talk| matches!(talk, Talk::Publish { what: Publication::Note { .. }, .. });
        people.devices[index].heard.iter().filter(is_note).cloned().collect::<Vec<_>>()
    };
    assert_eq!((notes(&people, phone).len(), notes(&people, tablet).len()), (0, 1));
    let Talk::Publish { number, .. } = notes(&people, tablet)[0].clone() else { panic!() };
    people.devices[tablet].say(&mut world, Talk::Published { number, code: None });
    people.pass(&mut world, 10);
    people.connect(&mut world, tablet);
    people.pass(&mut world, 10);
    assert_eq!(notes(&people, tablet).len(), 1, "it was taken");
    assert!(!world.nodes[0].disk.records().any(|record| matches!(record.key, Key::Note(..))));
    let stranger = postline_core::id::DeviceKey([5; 32]);
    assert_eq!(people.publish(&mut world, phone, note(Some(stranger))), Some(Code::Login));
    let big = Publication::Note { to: None, bytes: vec![1; limits::NOTE_BYTES + 1] };
    assert_eq!(people.publish(&mut world, phone, big), Some(Code::TooBig));
    // As many as are kept, and no more, until somebody comes for them.
    people.leave(&mut world, tablet);
    for _ in 0..limits::NOTES {
        assert_eq!(people.publish(&mut world, phone, note(None)), None);
    }
    assert_eq!(people.publish(&mut world, phone, note(None)), Some(Code::Busy));
}

/// Of memos the newest of each device and drawer waits, however long another device is away; they take no room from notes,
/// and are told one by one. [U-17]
#[test]
fn t_084_memos_of_months_leave_few_to_be_told_and_no_less_room_for_notes() {
    let (mut world, mut people) = (two_nodes(), People::default());
    let (phone, tablet) = (people.online(&mut world, &one()), people.online(&mut world, &one()));
    people.list(&mut world, &mut Person::new(&one(), 9), &[phone, tablet]);
    people.leave(&mut world, tablet);
    let memo = |drawer: u8, n: u32| {
        let mut within = Writer::array_of(3);
        within.u64(drawer.into()).bytes(&[7; 16]).bytes(&n.to_be_bytes());
        let mut w = Writer::array_of(3);
        w.u64(1).u64(2).bytes(&within.into_bytes());
        w.into_bytes()
    };
    let note = |bytes| Publication::Note { to: None, bytes };
    for n in 0..200 {
        for drawer in [3, 5] {
            assert_eq!(people.publish(&mut world, phone, note(memo(drawer, n))), None, "{n}");
        }
    }
    // A drawer that there isn't is a note like any other.
    assert_eq!(people.publish(&mut world, phone, note(memo(18, 0))), None);
    let kept = |world: &World| world.nodes[0].disk.records().filter(|r| matches!(r.key, Key::Note(..))).count();
    assert_eq!(kept(&world), 3);
    for _ in 1..limits::NOTES {
        assert_eq!(people.publish(&mut world, phone, note(b"note".to_vec())), None);
    }
    assert_eq!(people.publish(&mut world, phone, note(b"note".to_vec())), Some(Code::Busy));
    assert_eq!(people.publish(&mut world, phone, note(memo(3, 200))), None, "memos have room of their own");
    world.crash(0);
    all_up(&mut world);
    for index in [phone, tablet] {
        people.connect(&mut world, index);
    }
    people.pass(&mut world, 10);
    let memos = |people: &People| -> Vec<(u64, Vec<u8>)> {
        let told = people.devices[tablet].heard.iter().filter_map(|talk| match talk {
            Talk::Publish { number, what: Publication::Note { bytes, .. } } if drawer_of_note(bytes).is_some() => {
                Some((*number, bytes.clone()))
            }
            _ => None,
        });
        told.collect()
    };
    assert_eq!(memos(&people).iter().map(|memo| memo.1.clone()).collect::<Vec<_>>(), [memo(5, 199)], "one by one");
    // Another takes its place while it is on its way: that comes behind the others, and nothing is lost or told twice.
    assert_eq!(people.publish(&mut world, phone, note(memo(5, 200))), None);
    let mut next = 0;
    while let Some((number, _)) = memos(&people).get(next).cloned() {
        people.devices[tablet].say(&mut world, Talk::Published { number, code: None });
        people.pass(&mut world, 10);
        next += 1;
    }
    let told: Vec<Vec<u8>> = memos(&people).into_iter().map(|memo| memo.1).collect();
    assert_eq!(told, [memo(5, 199), memo(3, 200), memo(5, 200)]);
    assert_eq!(kept(&world), limits::NOTES, "what was taken is gone");
    // Who is online hears at once.
    assert_eq!(people.publish(&mut world, phone, note(memo(0, 0))), None);
    people.pass(&mut world, 10);
    assert_eq!(memos(&people).last().unwrap().1, memo(0, 0));
}

/// Who has but the mailbox's password enrols devices that are on no list, and leaves notes with them.
/// [U-15]
#[test]
fn t_084_devices_on_no_list_take_no_room_from_those_that_are() {
    let (mut world, mut people) = (two_nodes(), People::default());
    let phone = people.online(&mut world, &one());
    people.list(&mut world, &mut Person::new(&one(), 9), &[phone]);
    people.leave(&mut world, phone);
    let note = |n: usize| Publication::Note { to: None, bytes: n.to_be_bytes().to_vec() };
    let strangers: Vec<usize> = (1..limits::DEVICES).map(|_| people.online(&mut world, &one())).collect();
    for n in 0..2 * limits::NOTES_UNLISTED {
        for stranger in &strangers {
            assert_eq!(people.publish(&mut world, *stranger, note(n)), None);
        }
    }
    let kept = |world: &World| world.nodes[0].disk.records().filter(|r| matches!(r.key, Key::Note(..))).count();
    assert_eq!(kept(&world), strangers.len() * limits::NOTES_UNLISTED, "the newest of each");
    // The person's own device finds room for its own, one by one, and nothing of it waits for those on no list.
    people.connect(&mut world, phone);
    people.pass(&mut world, 10);
    let mine = |people: &People, of: usize| {
        let is_note = |talk: &&Talk| matches!(talk, Talk::Publish { what: Publication::Note { .. }, .. });
        people.devices[of].heard.iter().filter(is_note).count()
    };
    assert_eq!(mine(&people, phone), kept(&world));
    let before = mine(&people, strangers[0]);
    assert_eq!(people.publish(&mut world, phone, note(0)), None);
    assert_eq!((mine(&people, strangers[0]), kept(&world)), (before, strangers.len() * limits::NOTES_UNLISTED));
    let dk = people.devices[strangers[0]].keys.dk();
    for n in 0..limits::NOTES {
        let note = Publication::Note { to: Some(dk), bytes: n.to_be_bytes().to_vec() };
        assert_eq!(people.publish(&mut world, phone, note), None, "{n}");
    }
    assert_eq!(kept(&world), limits::NOTES);
    let one_more = Publication::Note { to: Some(dk), bytes: vec![1] };
    assert_eq!(people.publish(&mut world, phone, one_more), Some(Code::Busy));
    assert_eq!(people.publish(&mut world, strangers[1], note(0)), Some(Code::Busy));
}

/// [U-16]: else a device could fill the store for good.
#[test]
fn t_012_a_device_blocks_nobody_whom_its_person_has_nothing_with() {
    let mut all = Two::with_a_line();
    let records = |all: &Two| all.world.nodes[0].disk.records().filter(|r| matches!(r.key, Key::Trust(_))).count();
    let before = records(&all);
    let block = |theirs: &str, blocked| Publication::Block { theirs: Address::parse(theirs).unwrap(), blocked };
    for theirs in ["eve@c.example", "one@a.example", "nobody@a.example"] {
        assert_eq!(all.people.publish(&mut all.world, all.phone, block(theirs, true)), Some(Code::NotTrusted));
        assert_eq!(all.people.publish(&mut all.world, all.phone, block(theirs, false)), None);
    }
    assert_eq!(records(&all), before);
    for _ in 0..2 {
        assert_eq!(all.people.publish(&mut all.world, all.phone, block(&two().to_string(), true)), None);
        assert_eq!(crate::kit::states(&all.world)[0], TrustState::Revoked);
    }
    assert_eq!(all.people.devices[all.phone].lines()[&two()].t2, None, "its devices are told");
}

/// Takes records of a node away, as a thief or a bad disk would.
fn forget(world: &mut World, node: usize, which: impl Fn(&Key) -> bool) {
    let disk = &mut world.nodes[node].disk;
    let gone: Vec<Record> =
        disk.records().filter(|record| which(&record.key)).map(|record| Record::remove(record.key.clone())).collect();
    let _durable = disk.commit(&gone).unwrap();
}
