//! Which devices take part in a conversation: those that their person's newest list has, and no others.

use postline_core::fault::{Code, PeerFault};
use postline_core::server::Event;
use postline_core::server::io::Peer;
use postline_core::wire::log::tag;
use postline_core::wire::talk::{Kind, Origin, Post, Talk};

use crate::kit::{one, two, whole};
use crate::phones::{agree, begun, unlisted};

/// Who has but the password of a mailbox enrols a device of their own: it hears nothing of the log and puts nothing into
/// it, by its own node or by the one that relays. Commits that are none would have ended the epoch of all real ones.
/// [H-20] (attack 73, 87)
#[test]
fn t_073_who_has_but_the_mailbox_password_puts_nothing_into_a_log() {
    for whose in [one(), two()] {
        let (mut world, mut phones, id) = begun(0);
        let stranger = phones.add(&world, &whose);
        phones.pass(&mut world, 50);
        assert!(phones.all[stranger].is_up());
        for epoch in 1..8 {
            phones.all[stranger].post(&mut world, id, Kind::Commit, epoch, "no commit");
            phones.all[stranger].post(&mut world, id, Kind::Message, epoch, "no message");
        }
        phones.all[stranger].create(&mut world, id, vec![one(), two()]);
        phones.all[stranger].ask_range(&mut world, id, 1, 1);
        phones.all[stranger].say(&mut world, Talk::Have { conversation: id, seq: 1 });
        phones.pass(&mut world, 50);
        let codes: Vec<Code> = phones.all[stranger].unposted.iter().map(|(_, code)| *code).collect();
        assert_eq!(codes, [Code::Unlisted; 15]);
        assert_eq!(phones.all[stranger].answers, [Talk::Answer { number: 1, what: Err(Code::Unlisted) }]);
        assert!(phones.all[stranger].chats.values().all(|chat| chat.events.is_empty()));
        let refused = |event: &&(usize, _, Event)| {
            matches!(event.2, Event::Refused { peer: Peer::Device(_), why: PeerFault::Unlisted })
        };
        assert_eq!(world.events.iter().filter(refused).count(), 17, "each is counted");
        // The real ones are where they were.
        phones.all[1].post(&mut world, id, Kind::Commit, 1, "a commit");
        phones.pass(&mut world, 50);
        phones.all[0].post(&mut world, id, Kind::Message, 2, "a message");
        phones.pass(&mut world, 50);
        assert_eq!(phones.all[0].said(id)[1..], ["a commit", "a message"]);
        // On the list it gets all of it, and takes part.
        phones.list(&mut world);
        phones.pass(&mut world, 50);
        phones.all[stranger].post(&mut world, id, Kind::Message, 2, "now I may");
        phones.pass(&mut world, 50);
        assert_eq!(phones.all[0].said(id).last().unwrap(), "now I may");
        agree(&phones, id);
        whole(&world);
    }
}

/// The hub has yet to hear of the list that the other node took: nothing is lost, the device posts again.
/// [H-20]
#[test]
fn a_post_that_is_faster_than_its_list_goes_when_the_hub_has_the_list() {
    let (mut world, mut phones, id) = unlisted();
    phones.list_but(&mut world, &[], false);
    phones.all[1].create(&mut world, id, vec![one(), two()]);
    phones.pass(&mut world, 50);
    assert_eq!(phones.all[1].unposted, [(1, Code::Unlisted)], "its own node took it, and the hub knew no list");
    assert!(phones.all[0].chats.is_empty());
    phones.list_but(&mut world, &[], true);
    phones.all[1].create(&mut world, id, vec![one(), two()]);
    phones.pass(&mut world, 50);
    assert_eq!(phones.all[0].said(id), ["create by two@b.example"]);
    agree(&phones, id);
    whole(&world);
}

/// A device that its person has revoked is out, at the hub and at the node that relays, whatever it had under way.
/// [H-20] (attack 77)
#[test]
fn t_077_a_revoked_device_posts_no_more() {
    for gone in [0, 2] {
        let (mut world, mut phones, id) = begun(0);
        let stays = phones.add(&world, &phones.all[gone].address.clone());
        phones.pass(&mut world, 50);
        phones.list(&mut world);
        let dk = phones.all[gone].dk();
        phones.list_but(&mut world, &[gone], true);
        assert!(!phones.all[gone].is_up(), "it is enrolled no more");
        phones.all[stays].post(&mut world, id, Kind::Message, 1, "without it");
        phones.pass(&mut world, 50);
        assert_eq!(phones.all[1].said(id).last().unwrap(), "without it");
        // A node that lies names it all the same.
        if gone == 2 {
            let origin = Origin { device: tag(id, dk), number: 99 };
            let bytes = b"from beyond".to_vec();
            let post = Post { conversation: id, origin, kind: Kind::Message, epoch: 1, members: Vec::new(), bytes };
            let link = world.connections().next().unwrap();
            world.on_link(0, link, Talk::Post(post));
            phones.pass(&mut world, 50);
            assert_eq!(phones.all[1].said(id).last().unwrap(), "without it");
            let refused = |event: &(usize, _, Event)| {
                matches!(event, (0, _, Event::Refused { peer: Peer::Node(_), why: PeerFault::Unlisted }))
            };
            assert!(world.events.iter().any(refused));
        }
    }
}
