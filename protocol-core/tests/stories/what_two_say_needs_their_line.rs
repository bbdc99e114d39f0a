//! A conversation goes on while there is a line: without one nothing goes, and nothing is lost.

use postline_core::fault::Code;
use postline_core::id::{Address, Domain, Mailbox};
use postline_core::machine::trust::TrustState;
use postline_core::server::Command;
use postline_core::time::{MINUTE, SECOND};
use postline_core::wire::talk::Kind;
use postline_world::world::World;

use crate::kit::{draft, id as mail_id, one, pair, round_trip, states, two, whole};
use crate::phones::{Phones, agree, begun, connected, conversation};

/// Whoever blocks: neither side's people get anything across, and each hears what a stranger would.
/// [H-9] [H-16]
#[test]
fn a_block_stops_posts_and_events_and_what_was_taken_goes_when_there_is_a_line_again() {
    for blocks in [0, 1] {
        let (mut world, mut phones, id) = begun(0);
        phones.all[0].post(&mut world, id, Kind::Message, 1, "before");
        phones.pass(&mut world, 50);
        let theirs = [pair(&one(), &two()), pair(&two(), &one())][blocks].clone();
        // What the other side's node takes before it hears of the block waits there.
        world.command(blocks, Command::Block(theirs.clone()));
        phones.pass(&mut world, 5);
        phones.all[blocks].post(&mut world, id, Kind::Message, 1, "by who blocks");
        phones.all[1 - blocks].post(&mut world, id, Kind::Message, 1, "by who is blocked");
        phones.pass(&mut world, 50);
        assert_eq!(phones.all[blocks].unposted.len(), 1);
        assert_eq!(phones.all[blocks].unposted[0].1, Code::NotTrusted);
        let said = phones.all[blocks].said(id);
        assert_eq!(said.last().unwrap(), "before");
        if blocks == 0 {
            assert_eq!(phones.all[1].unposted[0].1, Code::NoConversation, "as if it had never been");
        } else {
            assert_eq!(phones.all[0].said(id).last().unwrap(), "by who is blocked", "the hub has it, and keeps it");
        }
        world.command(blocks, Command::Unblock(theirs));
        phones.pass(&mut world, SECOND);
        // The first mail finds out that there is no line, the next makes one.
        round_trip(&mut world, ["again", "again-reply"]);
        round_trip(&mut world, ["once-more", "once-more-reply"]);
        assert_eq!(states(&world), [TrustState::Trusted; 2]);
        phones.pass(&mut world, SECOND);
        phones.all[0].post(&mut world, id, Kind::Message, 1, "after");
        phones.pass(&mut world, 2 * SECOND);
        assert_eq!(phones.all[2].said(id).last().unwrap(), "after");
        agree(&phones, id);
        whole(&world);
    }
}

/// [H-9]
#[test]
fn where_there_is_no_line_nobody_creates_anything() {
    let (mut world, mut phones, id) = connected();
    world.command(1, Command::Block(pair(&two(), &one())));
    phones.pass(&mut world, 5);
    phones.all[0].create(&mut world, id, vec![one(), two()]);
    phones.all[1].create(&mut world, id, vec![one(), two()]);
    phones.pass(&mut world, 50);
    assert_eq!(phones.all[0].said(id).len(), 1, "the hub doesn't know, and keeps it");
    assert_eq!(phones.all[1].unposted[0].1, Code::NotTrusted);
    assert!(phones.all[1].chats.is_empty());
    world.command(1, Command::Unblock(pair(&two(), &one())));
    phones.pass(&mut world, 5);
    round_trip(&mut world, ["again", "again-reply"]);
    round_trip(&mut world, ["once-more", "once-more-reply"]);
    phones.pass(&mut world, SECOND);
    // Another line is another conversation.
    let other = conversation(&world, &one(), &two());
    assert_ne!(other, id);
    phones.all[1].create(&mut world, other, vec![one(), two()]);
    phones.pass(&mut world, SECOND);
    assert_eq!(phones.all[0].said(other), ["create by two@b.example"]);
    assert_eq!(phones.all[2].said(other), ["create by two@b.example"]);
    whole(&world);
}

/// Two people of one node, of one domain or two, need no link; and one link serves both domains.
#[test]
fn people_of_one_node_and_of_several_domains_talk_alike() {
    for other in ["dan@a.example", "dan@d.example"] {
        let mut world = World::of(&["a.example", "b.example"]);
        world.nodes[0].also.insert(Domain::parse("d.example").unwrap());
        world.nodes[0].start().unwrap();
        for (node, name) in [(0, "ann"), (0, "dan"), (1, "bob")] {
            world.nodes[node].users.insert(Mailbox(name.to_owned()));
        }
        let [ann, dan, bob] = ["ann@a.example", other, "bob@b.example"].map(|text| Address::parse(text).unwrap());
        for (turn, (from, to)) in [(&ann, &dan), (&bob, &dan)].into_iter().enumerate() {
            let (first, reply) = (format!("first-{turn}"), format!("reply-{turn}"));
            world.write(&draft(from, to, &first));
            world.pass(5 * SECOND);
            world.write(&draft(to, from, &reply).answering(&mail_id(&first)));
            world.pass(MINUTE);
        }
        let mut phones = Phones::default();
        for who in [&ann, &dan, &dan, &bob] {
            phones.add(&world, who);
        }
        phones.pass(&mut world, 50);
        phones.list(&mut world);
        let here = conversation(&world, &ann, &dan);
        let there = conversation(&world, &dan, &bob);
        assert_eq!(here, conversation(&world, &dan, &ann));
        assert_eq!(there, conversation(&world, &bob, &dan));
        phones.all[1].create(&mut world, here, vec![ann.clone(), dan.clone()]);
        phones.all[2].create(&mut world, there, vec![bob.clone(), dan.clone()]);
        phones.pass(&mut world, 50);
        phones.all[0].post(&mut world, here, Kind::Message, 1, "to dan");
        phones.all[1].post(&mut world, here, Kind::Message, 1, "to ann");
        phones.all[1].post(&mut world, there, Kind::Message, 1, "to bob");
        phones.all[3].post(&mut world, there, Kind::Message, 1, "from bob");
        phones.pass(&mut world, 50);
        for (id, devices, all) in
            [(here, vec![0, 1, 2], ["to ann", "to dan"]), (there, vec![1, 2, 3], ["from bob", "to bob"])]
        {
            for device in devices {
                let mut said = phones.all[device].said(id).split_off(1);
                said.sort();
                assert_eq!(said, all);
                assert!(phones.all[device].drafts.is_empty());
            }
        }
        assert_eq!(phones.all[0].chat(here).delivered.get(&dan), Some(&3));
        assert!(!phones.all[0].chats.contains_key(&there), "no other's");
        assert!(!phones.all[3].chats.contains_key(&here), "no other's");
        whole(&world);
    }
}
