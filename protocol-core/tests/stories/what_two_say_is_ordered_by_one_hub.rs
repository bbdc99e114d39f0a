//! A conversation of two: posted by a device, ordered by the hub, copied by the other node, brought to every device.

use postline_core::fault::{Code, PeerFault};
use postline_core::id::{Address, ConversationId, Mailbox};
use postline_core::limits;
use postline_core::server::io::Peer;
use postline_core::server::{Command, Event};
use postline_core::time::SECOND;
use postline_core::wire::talk::{Finding, Kind, Talk};
use postline_world::world::World;

use crate::kit::{draft, id as mail_id, one, pair, two, whole};
use crate::phones::{Phones, agree, begun, connected, conversation, signed};

/// [H-12] [H-17] [H-18]
#[test]
fn a_message_comes_to_every_device_and_delivered_comes_back() {
    for by in [0, 1] {
        let (mut world, mut phones, id) = begun(by);
        phones.all[0].post(&mut world, id, Kind::Message, 1, "from one");
        phones.pass(&mut world, 50);
        assert_eq!(signed(&phones.all[0], id), 2, "sent");
        phones.all[2].post(&mut world, id, Kind::Message, 1, "from two");
        phones.pass(&mut world, 50);
        let said = phones.all[0].said(id);
        assert_eq!(said[1..], ["from one", "from two"]);
        agree(&phones, id);
        assert_eq!(phones.all.iter().map(|phone| signed(phone, id)).collect::<Vec<_>>(), [3, 3, 3]);
        assert_eq!(phones.all[0].chat(id).delivered.get(&two()), Some(&2));
        assert_eq!(phones.all[1].chat(id).delivered.get(&one()), Some(&3));
        assert_eq!(phones.all[2].chat(id).delivered.get(&one()), Some(&3));
        assert_eq!(phones.all.iter().map(|phone| phone.echoes).sum::<usize>(), 0, "nobody is sent what they posted");
        whole(&world);
    }
}

/// The figures of one message: a sync at each node, none for what acks it.
#[test]
fn a_lone_message_costs_each_node_one_sync_and_its_acks_none() {
    for from in [0, 1] {
        let (mut world, mut phones, id) = begun(0);
        for turn in 0..5 {
            let before = [0, 1].map(|node: usize| world.nodes[node].disk.syncs);
            phones.all[from].post(&mut world, id, Kind::Message, 1, "hello");
            phones.pass(&mut world, 50);
            let after = [0, 1].map(|node: usize| world.nodes[node].disk.syncs);
            // The first message of a device also writes down that the device is there.
            assert!(turn == 0 || after == before.map(|syncs| syncs + 1), "from {from}: {before:?} {after:?}");
        }
        agree(&phones, id);
        whole(&world);
    }
}

/// (attack 74, 81)
/// [H-8]
#[test]
fn t_074_of_crossed_creates_one_wins_and_the_other_device_hears_so() {
    let (mut world, mut phones, id) = connected();
    phones.all[0].create(&mut world, id, vec![one(), two()]);
    phones.all[1].create(&mut world, id, vec![one(), two()]);
    phones.all[2].create(&mut world, id, vec![one(), two()]);
    phones.pass(&mut world, 50);
    assert_eq!(phones.all[0].said(id), ["create by one@a.example"]);
    for loser in [1, 2] {
        assert_eq!(phones.all[loser].unposted, [(1, Code::Exists)]);
    }
    phones.all[1].post(&mut world, id, Kind::Message, 1, "joined");
    phones.pass(&mut world, 50);
    agree(&phones, id);
    whole(&world);
}

/// (attack 74)
/// [H-8]
#[test]
fn t_074_one_commit_an_epoch_and_messages_of_the_last_few() {
    let (mut world, mut phones, id) = begun(0);
    phones.all[1].post(&mut world, id, Kind::Commit, 1, "commit of two");
    phones.all[0].post(&mut world, id, Kind::Commit, 1, "commit of one");
    phones.pass(&mut world, 50);
    assert_eq!(phones.all[0].said(id)[1..], ["commit of one"], "the hub's own was nearer");
    assert_eq!(phones.all[1].unposted, [(1, Code::StaleEpoch)]);
    phones.all[1].post(&mut world, id, Kind::Commit, 2, "rebased");
    phones.pass(&mut world, 50);
    for epoch in 3..9 {
        phones.all[0].post(&mut world, id, Kind::Commit, epoch, "on");
    }
    phones.pass(&mut world, 50);
    let [oldest, too_old, to_come] =
        [4, 3, 10].map(|epoch| phones.all[1].post(&mut world, id, Kind::Message, epoch, &format!("sealed in {epoch}")));
    phones.pass(&mut world, 50);
    assert!(oldest < too_old);
    assert_eq!(phones.all[1].unposted[1..], [(too_old, Code::StaleEpoch), (to_come, Code::StaleEpoch)]);
    assert_eq!(phones.all[2].said(id).last().unwrap(), "sealed in 4");
    agree(&phones, id);
    whole(&world);
}

/// [H-13]
#[test]
fn a_device_that_was_away_for_long_gets_everything_in_order() {
    let (mut world, mut phones, id) = begun(0);
    phones.all[2].online = false;
    phones.pass(&mut world, 10);
    for n in 0..700 {
        phones.all[n % 2].post(&mut world, id, Kind::Message, 1, &format!("{n}"));
        if n % 50 == 0 {
            phones.pass(&mut world, 20);
        }
    }
    phones.pass(&mut world, 100);
    assert_eq!(phones.all[0].said(id).len(), 701);
    assert!(phones.all[2].said(id).len() < 10);
    phones.all[2].online = true;
    phones.pass(&mut world, 500);
    agree(&phones, id);
    whole(&world);
}

/// [H-11]
#[test]
fn what_is_said_while_the_link_is_down_goes_when_it_is_up() {
    let (mut world, mut phones, id) = begun(0);
    for gone in [false, true] {
        world.plan(0, postline_world::world::Trouble::Apart(0, 1, true));
        world.plan(0, postline_world::world::Trouble::Apart(1, 0, true));
        world.connections().collect::<Vec<_>>().into_iter().for_each(|link| world.cut(link));
        phones.pass(&mut world, 20);
        phones.all[0].post(&mut world, id, Kind::Message, 1, "down, from one");
        phones.all[1].post(&mut world, id, Kind::Message, 1, "down, from two");
        phones.pass(&mut world, 50);
        assert_eq!(phones.all[0].said(id).last().unwrap(), "down, from one");
        assert_eq!(phones.all[1].drafts.len(), 1);
        if gone {
            // Its node has the post, and brings it on without the device.
            phones.all[1].online = false;
            phones.pass(&mut world, 10);
            world.crash(1);
        }
        world.plan(0, postline_world::world::Trouble::Apart(0, 1, false));
        world.plan(0, postline_world::world::Trouble::Apart(1, 0, false));
        phones.pass(&mut world, 70_000);
        assert_eq!(phones.all[0].said(id).last().unwrap(), "down, from two");
        phones.all[1].online = true;
        phones.pass(&mut world, 100);
        agree(&phones, id);
    }
    assert_eq!(phones.all[0].chat(id).delivered.get(&two()), Some(&5));
    whole(&world);
}

/// Whatever node fails at whichever commit, and whether the disk has it or not: each message is there once, in its
/// device's order.
/// [H-10] [H-14]
#[test]
fn t_061_a_crash_at_any_commit_loses_nothing_and_doubles_nothing() {
    for at in (0..12_u32).chain([15, 19, 24]) {
        for (node, written) in [(0, false), (0, true), (1, false), (1, true)] {
            let (mut world, mut phones, id) = connected();
            world.events.clear();
            let disk = &mut world.nodes[node].disk;
            (disk.fails_after, disk.fails_written) = (Some(at), written);
            phones.all[1].create(&mut world, id, vec![one(), two()]);
            let mut expected = vec!["create by two@b.example".to_owned()];
            phones.pass(&mut world, 1_500);
            for n in 0..3 {
                for from in 0..3 {
                    let text = format!("{n} of {from}");
                    phones.all[from].post(&mut world, id, Kind::Message, 1, &text);
                    expected.push(text);
                }
                phones.pass(&mut world, 7);
            }
            phones.pass(&mut world, 3_000);
            assert_eq!(world.broken, None, "commit {at} of {node}, written: {written}");
            let mut said = phones.all[0].said(id);
            for from in 0..3 {
                let of = said.iter().filter(|text| text.ends_with(&format!("of {from}")));
                assert_eq!(of.count(), 3, "commit {at} of {node}, written: {written}: {said:?} {:#?}", world.events);
                assert!(said.iter().filter(|text| text.ends_with(&format!("of {from}"))).is_sorted());
            }
            agree(&phones, id);
            said.sort();
            expected.sort();
            assert_eq!(said, expected);
        }
    }
}

/// (attack 76)
/// [H-15]
#[test]
fn t_076_a_range_is_given_again_to_who_asks_within_bounds() {
    let (mut world, mut phones, id) = begun(0);
    for n in 0..5 {
        phones.all[0].post(&mut world, id, Kind::Message, 1, &format!("{n}"));
    }
    phones.pass(&mut world, 50);
    for who in [0, 1] {
        phones.all[who].ask_range(&mut world, id, 2, 4);
        phones.pass(&mut world, 20);
        assert_eq!(phones.all[who].chat(id).again, 3);
        assert_eq!(phones.all[who].answers, [Talk::Answer { number: 2, what: Ok(Finding::Sent) }]);
        for (from, to) in [(0, 3), (4, 3), (1, 1_025)] {
            phones.all[who].ask_range(&mut world, id, from, to);
            phones.pass(&mut world, 20);
            assert_eq!(phones.all[who].answers.last(), Some(&Talk::Answer { number: from, what: Err(Code::TooBig) }));
        }
        assert_eq!(phones.all[who].chat(id).again, 3);
    }
    agree(&phones, id);
    whole(&world);
}

/// Somebody else of the same node, with a line of their own to the same person.
fn with_another() -> (World, Phones, ConversationId, ConversationId, usize) {
    let (mut world, mut phones, id) = begun(0);
    let three = Address::parse("three@a.example").unwrap();
    world.nodes[0].users.insert(Mailbox("three".to_owned()));
    world.write(&draft(&three, &two(), "first-3"));
    world.pass(5 * SECOND);
    world.write(&draft(&two(), &three, "reply-3").answering(&mail_id("first-3")));
    world.pass(30 * SECOND);
    let third = phones.add(&world, &three);
    phones.pass(&mut world, 50);
    phones.list(&mut world);
    let other = conversation(&world, &three, &two());
    (world, phones, id, other, third)
}

/// (attack 81, 87)
/// [H-9]
#[test]
fn t_081_a_conversation_is_its_members_alone_and_named_by_their_line() {
    let (mut world, mut phones, id, other, third) = with_another();
    let three = phones.all[third].address.clone();
    // Of another's conversation, of one that never was, and of one's own under other names: no word but one.
    let nowhere = ConversationId([7; 32]);
    for (of, members) in
        [(id, vec![one(), two()]), (nowhere, vec![three.clone(), two()]), (id, vec![three.clone(), two()])]
    {
        phones.all[third].unposted.clear();
        phones.all[third].create(&mut world, of, members);
        phones.all[third].post(&mut world, of, Kind::Message, 1, "let me in");
        phones.all[third].ask_range(&mut world, of, 1, 1);
        phones.all[third].say(&mut world, Talk::Have { conversation: of, seq: 1 });
        phones.pass(&mut world, 50);
        let codes: Vec<Code> = phones.all[third].unposted.iter().map(|(_, code)| *code).collect();
        assert_eq!(codes, [Code::NoConversation; 2]);
        let answer = Talk::Answer { number: 1, what: Err(Code::NoConversation) };
        assert_eq!(phones.all[third].answers.pop(), Some(answer));
    }
    assert!(phones.all[third].chats.is_empty());
    let refused = |event: &(usize, _, Event)| {
        matches!(event, (0, _, Event::Refused { peer: Peer::Device(_), why: PeerFault::NoConversation }))
    };
    assert!(world.events.iter().filter(|event| refused(event)).count() >= 9);
    // Its own goes on, and so does theirs.
    phones.all[third].create(&mut world, other, vec![three, two()]);
    phones.all[0].post(&mut world, id, Kind::Message, 1, "as ever");
    phones.pass(&mut world, 50);
    assert_eq!(phones.all[third].said(other), ["create by three@a.example"]);
    assert_eq!(phones.all[1].said(other).len(), 1);
    assert_eq!(phones.all[2].said(id)[1..], ["as ever"]);
    whole(&world);
}

/// (attack 87)
#[test]
fn t_087_whoever_stalls_or_errs_in_one_conversation_stops_no_other() {
    let (mut world, mut phones, id, other, third) = with_another();
    let three = phones.all[third].address.clone();
    phones.all[third].create(&mut world, other, vec![three.clone(), two()]);
    phones.pass(&mut world, 50);
    // One device of two never says what it has; the node of two takes nothing of three's any more.
    phones.all[2].acks = false;
    world.command(1, Command::Block(pair(&two(), &three)));
    phones.pass(&mut world, 5);
    for n in 0..600 {
        phones.all[third].post(&mut world, other, Kind::Message, 1, &format!("{n}"));
        // Stale, of nobody, too early: refused one by one.
        let epoch = [9, 1][n % 2];
        phones.all[0].post(&mut world, id, Kind::Commit, 7, "stale");
        phones.all[0].post(&mut world, id, Kind::Message, epoch, &format!("{n}"));
        if n % 20 == 0 {
            phones.pass(&mut world, 5);
        }
    }
    phones.pass(&mut world, 300);
    assert_eq!(phones.all[0].said(id).len(), 301);
    assert_eq!(phones.all[1].said(id), phones.all[0].said(id));
    assert_eq!(phones.all[2].said(id).len(), 257, "what it acked, and a window");
    assert_eq!(phones.all[0].chat(id).delivered.get(&two()), Some(&301));
    assert_eq!(phones.all[0].unposted.len(), 900);
    assert_eq!(phones.all[1].said(other).len(), 1);
    assert_eq!(phones.all[third].said(other).len(), 601, "the hub has them, and keeps them");
    phones.all[2].acks = true;
    phones.pass(&mut world, 100);
    agree_on(&phones, id, &[0, 1, 2]);
    whole(&world);
}

/// Two who say much to somebody who was away don't shut their device out: what comes at once is never more than may wait
/// to be written to it, or it would be closed as one that doesn't read, whenever it comes.
#[test]
fn t_096_what_waits_for_a_device_comes_as_it_can_be_written() {
    let (mut world, mut phones, id, other, third) = with_another();
    let three = phones.all[third].address.clone();
    phones.all[third].create(&mut world, other, vec![three, two()]);
    phones.pass(&mut world, 50);
    phones.all[2].online = false;
    phones.pass(&mut world, 5);
    for _ in 0..20 {
        for (phone, id) in [(0, id), (third, other)] {
            phones.all[phone].post_as(&mut world, id, Kind::Message, 1, Vec::new(), vec![7; 60 * 1024]);
        }
        phones.pass(&mut world, 20);
    }
    phones.all[2].online = true;
    phones.all[2].acks = false;
    phones.pass(&mut world, 1_000);
    let bytes =
        |phones: &Phones, id| phones.all[2].chat(id).events.values().map(|(_, bytes)| bytes.len()).sum::<usize>();
    let came = bytes(&phones, id) + bytes(&phones, other);
    assert!(came > 256 * 1024, "{came}");
    assert!(came <= limits::DEVICE_READER_BYTES + limits::EVENT_BYTES, "{came} bytes at once");
    phones.all[2].acks = true;
    phones.pass(&mut world, 2_000);
    assert_eq!([0, 1, 2].map(|phone: usize| phones.all[phone].said(id).len()), [21; 3]);
    assert_eq!(phones.all[2].said(other).len(), 21);
}

fn agree_on(phones: &Phones, id: ConversationId, devices: &[usize]) {
    for device in devices {
        assert_eq!(phones.all[*device].chat(id).hash, phones.all[0].chat(id).hash);
    }
}
