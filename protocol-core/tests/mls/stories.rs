//! What people and their devices do.

use postline_core::fault::PeerFault;
use postline_core::id::Hash;
use postline_core::limits;
use postline_core::seal::mls::KnownHead;
use postline_core::store::Key;

use crate::kit::{Device, Person};

/// Ann's laptop and phone, Bob's phone, in one conversation that the laptop made.
pub(crate) fn three() -> (Device, Device, Device) {
    let (ann, bob) = (Person::new("ann"), Person::new("bob"));
    let (mut laptop, mut phone, mut his) = (ann.device("laptop"), ann.device("phone"), bob.device("phone"));
    let packages = [phone.package(false), his.package(false)];
    let change = laptop.create(&packages);
    phone.join(&change);
    his.join(&change);
    (laptop, phone, his)
}

#[test]
fn three_devices_of_two_people_read_each_other() {
    let (mut laptop, mut phone, mut his) = three();
    assert_eq!(laptop.group().members(), his.group().members());
    assert_eq!(laptop.group().tree_hash(), phone.group().tree_hash());
    assert_eq!(laptop.group().authenticator(), his.group().authenticator());
    let head = KnownHead { seq: 7, hash: Hash([7; 32]) };
    let sealed = laptop.seal_with(Some(head), b"hello").unwrap();
    for reader in [&mut phone, &mut his] {
        let opened = reader.open(&sealed).unwrap();
        assert_eq!(opened.plaintext, b"hello");
        assert_eq!((opened.member.dk, opened.member.address.to_string().as_str()), (laptop.dk(), "ann@ann.example"));
        assert_eq!((opened.epoch, opened.aad.head), (1, Some(head)));
    }
    let sealed = his.seal(b"hello yourself");
    assert_eq!(laptop.reads(&sealed), b"hello yourself");
    assert_eq!(phone.reads(&sealed), b"hello yourself");
}

/// [G-12]
#[test]
fn t_082_who_joins_reads_nothing_from_before() {
    let (mut laptop, mut phone, mut his) = three();
    let mut earlier = vec![laptop.seal(b"a secret")];
    let first = phone.commit(&[], &[]).unwrap();
    phone.merge();
    laptop.apply(&first.commit).unwrap();
    his.apply(&first.commit).unwrap();
    earlier.push(laptop.seal(b"another"));
    let mut tablet = Person::new("bob").device("tablet");
    let package = tablet.package(false);
    let change = his.commit(&[package], &[]).unwrap();
    his.merge();
    laptop.apply(&change.commit).unwrap();
    tablet.join(&change);
    for (bytes, epoch) in earlier.iter().zip(1..) {
        assert_eq!(tablet.open(bytes), Err(PeerFault::Epoch { got: epoch, now: 3 }));
        assert!(his.open(bytes).is_ok());
    }
    for commit in [&first.commit, &change.commit] {
        assert!(tablet.apply(commit).is_err());
    }
    let sealed = laptop.seal(b"from now on");
    assert_eq!(tablet.reads(&sealed), b"from now on");
}

#[test]
fn a_device_is_added_and_another_removed() {
    let (mut laptop, mut phone, mut his) = three();
    let mut tablet = Person::new("bob").device("tablet");
    let package = tablet.package(false);
    let before = laptop.seal(b"before");
    let change = his.commit(&[package], &[phone.dk()]).unwrap();
    assert!(his.group().has_pending());
    let merged = his.merge();
    let applied = laptop.apply(&change.commit).unwrap();
    assert_eq!(merged, applied);
    assert_eq!(applied.epoch, 2);
    assert_eq!(applied.added.iter().map(|m| m.dk).collect::<Vec<_>>(), [tablet.dk()]);
    assert_eq!(applied.removed.iter().map(|m| m.dk).collect::<Vec<_>>(), [phone.dk()]);
    assert_eq!(applied.committer.map(|m| m.dk), Some(his.dk()));
    let out = phone.apply(&change.commit).unwrap();
    assert!(out.we_are_out && phone.group().is_out());
    tablet.join(&change);
    let after = laptop.seal(b"after");
    assert_eq!(tablet.reads(&after), b"after");
    assert_eq!(his.reads(&after), b"after");
    assert_eq!(his.reads(&before), b"before");
    assert!(phone.open(&after).is_err());
    assert!(matches!(tablet.open(&before), Err(PeerFault::Epoch { got: 1, now: 2 })));
}

/// [G-10]
#[test]
fn what_was_stored_goes_on_where_it_was() {
    let (mut laptop, mut phone, mut his) = three();
    for round in 0..200_u32 {
        let text = round.to_be_bytes();
        let sealed = laptop.seal(&text);
        assert_eq!(phone.reads(&sealed), text);
        assert_eq!(his.reads(&sealed), text);
        if round % 37 == 0 {
            his.crash();
        }
        if round % 23 == 0 {
            laptop.crash();
        }
    }
    let change = phone.commit(&[], &[]).unwrap();
    phone.crash();
    assert!(phone.group().has_pending());
    phone.merge();
    his.apply(&change.commit).unwrap();
    his.crash();
    laptop.apply(&change.commit).unwrap();
    laptop.crash();
    let sealed = his.seal(b"on");
    assert_eq!(laptop.reads(&sealed), b"on");
    assert_eq!(phone.reads(&sealed), b"on");
}

/// [G-5]
#[test]
fn a_device_that_lost_its_group_comes_back_from_outside() {
    use postline_core::seal::mls::{Group, Me};
    use postline_core::step::Outbox;
    let (mut laptop, mut phone, mut his) = three();
    let change = laptop.commit(&[], &[]).unwrap();
    laptop.merge();
    phone.apply(&change.commit).unwrap();
    // His phone has lost it all.
    let (tick, mut out) = (his.tick(), Outbox::new());
    let me = Me { device: &his.device, leaf: &his.leaf };
    let (group, healed) =
        Group::join_from_outside(&tick, me, &change.group_info, crate::kit::talk(), &mut |_| Ok(()), &mut out).unwrap();
    his.group = Some(group);
    his.commit_records(out);
    for other in [&mut laptop, &mut phone] {
        let applied = other.apply(&healed.commit).unwrap();
        assert!(applied.external && applied.added.is_empty() && applied.removed.is_empty());
        assert_eq!(applied.committer.map(|m| m.dk), Some(his.dk()));
    }
    his.crash();
    let sealed = his.seal(b"back");
    assert_eq!(laptop.reads(&sealed), b"back");
    let sealed = phone.seal(b"welcome back");
    assert_eq!(his.reads(&sealed), b"welcome back");
    assert_eq!(his.group().authenticator(), laptop.group().authenticator());
}

/// [G-8] The keys of epochs that are over are kept for a while, and then no longer.
#[test]
fn late_messages_open_for_five_epochs_and_seven_days() {
    let (mut laptop, mut phone, mut his) = three();
    let mut late = Vec::new();
    for _ in 0..6 {
        late.push(laptop.seal(b"late"));
        late.push(laptop.seal(b"later"));
        let change = phone.commit(&[], &[]).unwrap();
        phone.merge();
        laptop.apply(&change.commit).unwrap();
        his.apply(&change.commit).unwrap();
        his.crash();
    }
    assert_eq!(his.disk.keys().filter(|key| matches!(key, Key::Epoch(..))).count(), limits::OLD_EPOCHS);
    assert!(matches!(his.open(&late[0]), Err(PeerFault::Epoch { got: 1, now: 7 })));
    for sealed in late[2..].iter().step_by(2) {
        assert_eq!(his.reads(sealed), b"late");
        assert_eq!(his.open(sealed), Err(PeerFault::Again));
    }
    his.park();
    assert_eq!(his.open(&late[2]), Err(PeerFault::Again));
    assert_eq!(his.reads(&late[3]), b"later");
    his.now = his.now.plus(limits::OLD_EPOCH_MS);
    assert!(matches!(his.open(&late[5]), Err(PeerFault::Epoch { .. })));
}

/// A package of last resort serves more than once; the others are gone when they were used.
#[test]
fn a_package_of_last_resort_is_kept() {
    let (ann, bob) = (Person::new("ann"), Person::new("bob"));
    let (mut laptop, mut his) = (ann.device("laptop"), bob.device("phone"));
    let package = his.package(true);
    let first = laptop.create(std::slice::from_ref(&package));
    his.join(&first);
    assert!(his.disk.contains_key(&Key::Package(package.reference())));
    // The hub took another's Create: the same package serves again.
    let second = laptop.create(&[package]);
    his.join(&second);
    let sealed = his.seal(b"here");
    assert_eq!(laptop.reads(&sealed), b"here");
}

/// Parking a group and taking it up again leaves nothing out, and costs no key.
#[test]
fn a_group_that_was_parked_goes_on_where_it_was() {
    let (mut laptop, _, mut his) = three();
    for n in 0..10_u32 {
        let sealed = laptop.seal(&n.to_be_bytes());
        let opened = his.open(&sealed).unwrap();
        assert_eq!((opened.aad.generation, opened.plaintext), (n, n.to_be_bytes().to_vec()));
        laptop.park();
        his.park();
        assert_eq!(his.open(&sealed), Err(PeerFault::Again), "what was opened is known");
    }
}
