use super::*;
use crate::content::mail::Text;
use crate::id::{BlobRef, Domain};
use crate::time::{DAY, MINUTE, SECOND};

const START: Millis = Millis(1_795_000_000_000);

fn tick(at: Millis, salt: u8) -> Tick {
    Tick { now: at, entropy: [salt; 32] }
}

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

fn entry(rcpts: &[&str]) -> Entry {
    let blob = BlobRef { sha256: Hash([7; 32]), len: 7 };
    Entry {
        letter: Letter {
            from: Some(address("one@a.example")),
            text: Text::Came(blob),
            stamp: vec!["X-Stamp: y".to_owned()],
            strip: true,
            message_id: Some("m@a.example".to_owned()),
        },
        rcpts: rcpts.iter().map(|rcpt| address(rcpt)).collect(),
        arrived: START,
        origin: Origin::User(Mailbox("one".to_owned())),
        express: Some(Express { to_cc: BTreeSet::from([address("two@b.example")]), content: Hash([9; 32]) }),
    }
}

fn mail(n: u8) -> MailId {
    MailId([n; 16])
}

fn domain_lane() -> Queue {
    Queue::new(Lane::Domain(Domain::parse("b.example").unwrap()))
}

fn node_lane() -> Queue {
    Queue::new(Lane::Node(NodeKey([1; 32])))
}

/// Steps, keeps the disk, and holds the machine to the law of restoring.
struct Kept {
    queue: Queue,
    disk: BTreeMap<Key, Record>,
}

impl Kept {
    fn new(queue: Queue) -> Self {
        Self { queue, disk: BTreeMap::new() }
    }

    fn step(&mut self, at: Millis, input: Input) -> Vec<Output> {
        let mut out = Outbox::new();
        self.queue.step(&tick(at, 3), input, &mut out).unwrap();
        for record in out.records() {
            match record.value {
                Some(_) => self.disk.insert(record.key.clone(), record.clone()),
                None => self.disk.remove(&record.key),
            };
        }
        let mut restored = Queue::new(self.queue.lane.clone());
        for (key, record) in &self.disk {
            let Key::Queue(_, mail) = key else { panic!("{key} is no queue's") };
            restored.restore(*mail, record).unwrap();
        }
        assert_eq!(restored, self.queue.after_crash(), "what is stored is what a crash leaves");
        out.effects().cloned().collect()
    }
}

fn later() -> Result<(), Failure> {
    Err(Failure::Later("not now".to_owned()))
}

#[test]
fn a_mail_leaves_at_once_and_is_gone_when_it_is_done() {
    let mut lane = Kept::new(domain_lane());
    let sent = lane.step(START, Input::Enqueue(mail(1), Box::new(entry(&["two@b.example"]))));
    assert!(matches!(sent.as_slice(), [Output::Send { attempt: 1, .. }]), "{sent:?}");
    let done = lane.step(START, Input::Report { mail: mail(1), attempt: 1, results: vec![Ok(())] });
    assert!(matches!(done.as_slice(), [Output::Done { reached: Reach::Sent, .. }]), "{done:?}");
    assert!(lane.queue.is_empty() && lane.disk.is_empty());
}

///
#[test]
fn each_recipient_has_a_result_of_its_own() {
    let mut lane = Kept::new(domain_lane());
    lane.step(START, Input::Enqueue(mail(1), Box::new(entry(&["a@b.example", "b@b.example", "c@b.example"]))));
    let results = vec![Ok(()), later(), Err(Failure::Failed("550 no such user".to_owned()))];
    let out = lane.step(START, Input::Report { mail: mail(1), attempt: 1, results });
    let [Output::Done { rcpts: done, .. }, Output::Failed { entry: failed, why, .. }, Output::Waits { .. }] =
        out.as_slice()
    else {
        panic!("{out:?}")
    };
    assert_eq!((done, &failed.rcpts), (&vec![address("a@b.example")], &vec![address("c@b.example")]));
    assert_eq!(why, &["550 no such user"]);
    assert_eq!(lane.queue.entry(mail(1)).unwrap().rcpts, [address("b@b.example")]);
}

///
#[test]
fn waits_double_within_their_bounds_and_never_meet() {
    let waits = |mail: MailId| -> Vec<u64> {
        let mut lane = Kept::new(domain_lane());
        lane.step(START, Input::Enqueue(mail, Box::new(entry(&["two@b.example"]))));
        let (mut now, mut waits) = (START, Vec::new());
        for attempt in 1..=12 {
            let out = lane.step(now, Input::Report { mail, attempt, results: vec![later()] });
            let [Output::Waits { until, .. }] = out.as_slice() else { panic!("{out:?}") };
            waits.push(until.since(now));
            now = *until;
            let out = lane.step(now, Input::Wake);
            assert!(matches!(out.as_slice(), [Output::Send { .. }]), "{out:?}");
        }
        waits
    };
    let (one, other) = (waits(mail(1)), waits(mail(2)));
    assert_ne!(one, other, "two mails that failed together try again apart");
    for (n, wait) in one.iter().enumerate() {
        let base = (limits::RETRY_MIN_MS << n).min(limits::RETRY_MAX_MS);
        assert!((base * 3 / 4..=base * 5 / 4).contains(wait), "wait {n} of {wait} ms, want about {base}");
    }
}

#[test]
fn after_five_days_the_author_learns_why() {
    let mut lane = Kept::new(domain_lane());
    lane.step(START, Input::Enqueue(mail(1), Box::new(entry(&["two@b.example"]))));
    let late = START.plus(limits::QUEUE_EXPIRY_MS);
    let out = lane.step(late, Input::Report { mail: mail(1), attempt: 1, results: vec![later()] });
    let [Output::Failed { why, .. }] = out.as_slice() else { panic!("{out:?}") };
    assert_eq!(why, &["given up after 5 days: not now"]);
    assert!(lane.queue.is_empty());
}

#[test]
fn a_lane_has_only_so_many_attempts_under_way() {
    let mut lane = Kept::new(domain_lane());
    let mut sent = 0;
    for n in 0..20 {
        sent += lane.step(START, Input::Enqueue(mail(n), Box::new(entry(&["two@b.example"])))).len();
    }
    assert_eq!(sent, limits::LANE_SENDS);
    assert_eq!(lane.queue.deadline(), None, "nothing can be done until one ends");
    let out = lane.step(START, Input::Report { mail: mail(0), attempt: 1, results: vec![Ok(())] });
    assert!(out.iter().any(|output| matches!(output, Output::Send { .. })), "the next one goes: {out:?}");
}

#[test]
fn a_late_report_and_one_of_another_attempt_are_misuse_and_change_nothing() {
    let mut lane = Kept::new(domain_lane());
    lane.step(START, Input::Enqueue(mail(1), Box::new(entry(&["two@b.example"]))));
    let before = lane.queue.clone();
    for (id, attempt, results) in
        [(mail(2), 1, vec![Ok(())]), (mail(1), 2, vec![Ok(())]), (mail(1), 1, vec![Ok(()); 2])]
    {
        let mut out = Outbox::new();
        let input = Input::Report { mail: id, attempt, results };
        assert_eq!(lane.queue.step(&tick(START, 1), input, &mut out), Err(Misuse::NoSuchSend));
        assert!(out.is_empty() && lane.queue == before);
    }
}

#[test]
fn an_express_mail_is_carried_acked_and_marked() {
    let mut lane = Kept::new(node_lane());
    assert!(lane.step(START, Input::Enqueue(mail(1), Box::new(entry(&["two@b.example"])))).is_empty());
    assert_eq!(lane.queue.next_to_carry().map(|(mail, _)| mail), Some(mail(1)));
    lane.step(START, Input::Carried(mail(1)));
    assert_eq!(lane.queue.next_to_carry(), None);
    let out = lane.step(START, Input::Acked(mail(1)));
    assert!(matches!(out.as_slice(), [Output::Done { reached: Reach::Sent, .. }]), "{out:?}");
    assert!(lane.step(START, Input::Acked(mail(1))).is_empty(), "an Ack that comes twice says nothing new");
    assert_eq!(lane.queue.unmarked(), [mail(1)]);
    let out = lane.step(START, Input::Reached(mail(1), Reached::Delivered));
    assert!(matches!(out.as_slice(), [Output::Done { reached: Reach::Delivered, .. }]), "{out:?}");
    assert!(lane.queue.is_empty() && lane.disk.is_empty());
}

#[test]
fn what_the_link_leaves_for_a_minute_falls_back_and_what_was_acked_never_does() {
    for carried in [false, true] {
        let mut lane = Kept::new(node_lane());
        for n in [1, 2] {
            lane.step(START, Input::Enqueue(mail(n), Box::new(entry(&["two@b.example"]))));
        }
        if carried {
            lane.step(START, Input::Carried(mail(1)));
        }
        lane.step(START, Input::Acked(mail(2)));
        assert!(lane.step(START.plus(MINUTE - SECOND), Input::Wake).is_empty());
        let out = lane.step(START.plus(limits::FALLBACK_MS), Input::Wake);
        assert!(matches!(out.as_slice(), [Output::FellBack { mail: gone, .. }] if *gone == mail(1)), "{out:?}");
        assert_eq!(lane.queue.len(), 1);
        assert!(lane.step(START.plus(8 * DAY), Input::Wake).is_empty(), "no mark came: nothing more is to be done");
        assert!(lane.queue.is_empty() && lane.disk.is_empty());
    }
}

#[test]
fn recipients_in_the_way_fall_back_and_the_others_are_carried_again() {
    let mut lane = Kept::new(node_lane());
    lane.step(START, Input::Enqueue(mail(1), Box::new(entry(&["a@b.example", "b@b.example"]))));
    lane.step(START, Input::Carried(mail(1)));
    let out = lane.step(START, Input::Refused(mail(1), BTreeSet::from([1]), "no line".to_owned()));
    let [Output::FellBack { entry, .. }] = out.as_slice() else { panic!("{out:?}") };
    assert_eq!(entry.rcpts, [address("b@b.example")]);
    let (_, again) = lane.queue.next_to_carry().unwrap();
    assert_eq!(again.rcpts, [address("a@b.example")]);
    let out = lane.step(START, Input::Refused(mail(1), BTreeSet::from([9]), "nonsense".to_owned()));
    assert!(matches!(out.as_slice(), [Output::FellBack { .. }]), "indices that name nobody: none is carried again");
    assert!(lane.queue.is_empty());
}

#[test]
fn a_damaged_record_is_refused_and_names_itself() {
    let mut lane = Kept::new(domain_lane());
    lane.step(START, Input::Enqueue(mail(1), Box::new(entry(&["two@b.example"]))));
    let record = lane.disk.values().next().unwrap().clone();
    let bytes = record.value.clone().unwrap();
    for cut in 0..bytes.len() {
        let damaged = Record { value: Some(bytes[..cut].to_vec()), ..record.clone() };
        let refused = domain_lane().restore(mail(1), &damaged);
        assert!(
            matches!(refused, Err(RestoreError::Damaged { ref key, .. }) if *key == record.key),
            "{cut}: {refused:?}"
        );
    }
    let mut newer = bytes;
    newer[1] = 2;
    let refused = domain_lane().restore(mail(1), &Record { value: Some(newer), ..record });
    assert!(matches!(refused, Err(RestoreError::Version { found: 2, known: 1, .. })), "{refused:?}");
}
