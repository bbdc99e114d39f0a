//! What a device costs: what it writes, what it holds, how it starts. Load can't move these numbers, but for the clock's.

use std::time::Instant;

use postline_core::client::{Client, Ours};
use postline_core::store::{Key, Record};

use crate::kit::{World, ann, theirs};

/// What of this process is in memory; `None` where the system doesn't say so.
fn resident() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    Some(line.trim().strip_suffix(" kB")?.trim().parse::<usize>().ok()? * 1_024)
}

/// What a message of 200 bytes makes a device write, on average, on either side: one by one, each in a commit of its own,
/// and where a commit takes as many as the window has, as it does in a burst.
#[test]
fn a_message_makes_a_device_write_a_kibibyte() {
    const MESSAGES: usize = 2_048;
    for (window, most) in [(1, 1_150), (64, 1_024)] {
        let mut world = World::two();
        world.write(0, "first");
        world.pass(5_000);
        world.devices.iter_mut().for_each(|device| device.written = 0);
        let marks = |world: &World, n: usize| world.devices[n].disk[&Key::Marks(crate::kit::theirs())].clone();
        let before = [0, 1].map(|n| marks(&world, n));
        let text = "x".repeat(200);
        for _ in 0..MESSAGES / window {
            world.in_one_commit(|world| {
                for _ in 0..window {
                    world.write(0, &text);
                }
            });
        }
        world.pass(5_000);
        assert_eq!(world.texts(1).len(), MESSAGES + 1);
        let [author, reader] = [0, 1].map(|n| world.devices[n].written / MESSAGES);
        println!("figure device.written_by_author_bytes_at_window_{window} {author}");
        println!("figure device.written_by_reader_bytes_at_window_{window} {reader}");
        assert!((author + reader) / 2 <= most, "{author} and {reader} bytes at window {window}");
        assert_eq!([0, 1].map(|n| marks(&world, n)), before, "being sent and delivered makes no record");
    }
}

/// A device with a thousand conversations holds no group that it doesn't use, and starts at once.
#[test]
#[allow(clippy::disallowed_methods, reason = "a figure in seconds takes a clock")]
fn a_thousand_conversations_start_at_once_and_lie_idle_in_little() {
    const TALKS: u64 = 1_000;
    // So many that what other tests hold meanwhile weighs little.
    const DEVICES: usize = 10;
    let mut world = World::two();
    world.write(0, "first");
    world.pass(5_000);
    let device = &world.devices[0];
    let first: Vec<Record> =
        device.disk.values().filter(|record| Client::restored_at_start(&record.key)).cloned().collect();
    let talk = device.disk[&Key::Talk(theirs())].clone();
    let contact = first.iter().find(|record| matches!(record.key, Key::Contact(_))).unwrap().clone();
    let mut records = first;
    for n in 0..TALKS {
        let id = postline_core::id::ConversationId(postline_core::store::sha256(&[&n.to_be_bytes()]).0);
        let who = postline_core::id::Address::parse(&format!("person-{n}@b.example")).unwrap();
        records.push(Record { key: Key::Talk(id), ..talk.clone() });
        records.push(Record { key: Key::Contact(who), ..contact.clone() });
    }
    let bytes: usize = records.iter().filter_map(|record| record.value.as_ref()).map(Vec::len).sum();
    let restore = |records| Client::restore(Ours { address: ann(), hosted: false }, records).unwrap();
    let before = resident();
    let many: Vec<Client> = (0..DEVICES).map(|_| restore(records.clone())).collect();
    if let (Some(before), Some(after)) = (before, resident()) {
        let each = after.saturating_sub(before) / (many.len() * usize::try_from(TALKS).unwrap());
        println!("figure device.idle_conversation_bytes {each}");
        assert!(each <= 16 * 1024, "{each} bytes in memory for an idle conversation");
    }
    drop(many);
    let begun = Instant::now();
    let client = restore(records);
    let took = begun.elapsed();
    assert_eq!(client.conversations().count() as u64, TALKS + 1);
    // No group is at hand, and what is, is little more than what was read.
    assert_eq!(client.idle().len(), 0);
    let each = bytes / usize::try_from(TALKS).unwrap();
    println!("figure device.restore_of_1000_ms {}", took.as_millis());
    println!("figure device.conversation_bytes_on_disk {each}");
    assert!(each <= 2 * 1024, "{each} bytes each");
    assert!(took.as_secs() < 2, "{took:?}");
}
