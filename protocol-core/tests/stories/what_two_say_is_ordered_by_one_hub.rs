//! A conversation of two: posted by a device, ordered by the hub, copied by the other node, brought to every device.

use postline_core::id::ConversationId;
use postline_core::wire::talk::Kind;
use postline_world::world::World;

use crate::kit::{a_line, one, two, whole};
use crate::phones::{Phones, conversation};

/// Two people with a line, one device of one and two of two; the conversation is created by a device of `by`.
fn begun(by: usize) -> (World, Phones, ConversationId) {
    let mut world = a_line();
    let mut phones = Phones::default();
    for who in [one(), two(), two()] {
        phones.add(&world, &who);
    }
    phones.pass(&mut world, 50);
    assert!(phones.all.iter().all(crate::phones::Phone::is_up));
    let id = conversation(&world, &one(), &two());
    phones.all[by].create(&mut world, id, vec![one(), two()]);
    phones.pass(&mut world, 50);
    (world, phones, id)
}

/// Everybody has the same, in the same order, and what was signed is what they have.
fn agree(phones: &Phones, id: ConversationId) {
    let first = phones.all[0].chat(id);
    for phone in &phones.all {
        let chat = phone.chat(id);
        assert_eq!(chat.said(), first.said(), "{}", phone.address);
        assert_eq!(chat.hash, first.hash);
        assert_eq!(chat.gaps, 0);
        assert!(phone.drafts.is_empty());
        assert!(phone.unposted.is_empty(), "{:?}", phone.unposted);
        assert_eq!(chat.head.map(|head| (head.seq, Some(head.hash.0))), Some((chat.have(), chat.hash)));
    }
}

#[test]
fn a_message_comes_to_every_device_and_delivered_comes_back() {
    for by in [0, 1] {
        let (mut world, mut phones, id) = begun(by);
        phones.all[0].post(&mut world, id, Kind::Message, 1, "from one");
        phones.pass(&mut world, 50);
        phones.all[2].post(&mut world, id, Kind::Message, 1, "from two");
        phones.pass(&mut world, 50);
        let said = phones.all[0].said(id);
        assert_eq!(said[1..], ["from one", "from two"]);
        agree(&phones, id);
        assert_eq!(phones.all[0].chat(id).delivered.get(&two()), Some(&3));
        assert_eq!(phones.all[1].chat(id).delivered.get(&one()), Some(&3));
        assert_eq!(phones.all[2].chat(id).delivered.get(&one()), Some(&3));
        assert_eq!(phones.all.iter().map(|phone| phone.echoes).sum::<usize>(), 0, "nobody is sent what they posted");
        whole(&world);
    }
}
