//! What people and their devices do.

use postline_core::fault::PeerFault;
use postline_core::id::Hash;
use postline_core::seal::mls::KnownHead;

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
