//! What it costs: bytes on the disk, bytes on the wire, time beside the bare engine.

use postline_core::seal::mls::Package;
use postline_core::store::Key;

use crate::kit::{Device, Person, talk};
use crate::stories::three;

/// A group of `people` people with one device each, the first of them its maker.
fn of(people: usize) -> Vec<Device> {
    let mut all: Vec<Device> = (0..people).map(|n| Person::new(&format!("p{n}")).device("d")).collect();
    let packages: Vec<Package> = all[1..].iter_mut().map(|device| device.package(false)).collect();
    let change = all[0].create(&packages);
    all[1..].iter_mut().for_each(|device| device.join(&change));
    all
}

#[test]
fn what_is_written_for_a_message_is_small_on_average() {
    let (mut laptop, mut phone, mut his) = three();
    let before = [laptop.written, phone.written, his.written];
    let saves = his.saves;
    for n in 0..10_000_u32 {
        let (sender, readers) = match n % 3 {
            0 => (&mut laptop, [&mut phone, &mut his]),
            1 => (&mut phone, [&mut laptop, &mut his]),
            _ => (&mut his, [&mut laptop, &mut phone]),
        };
        let text = n.to_be_bytes();
        let sealed = sender.seal(&text);
        for reader in readers {
            assert_eq!(reader.reads(&sealed), text);
        }
    }
    for (device, before) in [&laptop, &phone, &his].into_iter().zip(before) {
        let each = (device.written - before) / 10_000;
        println!("figure group_bytes_written_per_message {each}");
        assert!(each <= 1_024, "{each} bytes a message");
    }
    let batches = (his.saves - saves) / 2;
    assert!(batches <= 10_000 / 40, "a snapshot or a reserve once in 64 messages, not {batches} times");
}

#[test]
fn a_group_on_disk_is_small() {
    for (people, most) in [(2, 4 * 1_024), (4, 8 * 1_024), (32, 48 * 1_024)] {
        let mut all = of(people);
        let (first, rest) = all.split_at_mut(1);
        let sealed = first[0].seal(&[b'x'; 200]);
        for device in rest {
            device.reads(&sealed);
        }
        first[0].park();
        let stored = first[0].disk[&Key::Group(talk())].len();
        println!("figure group_bytes_of_{people} {stored} stored, {} a message of 200", sealed.len());
        assert!(stored <= most, "{stored} bytes for {people}");
        assert!(sealed.len() <= 200 + 56 + 300, "{} bytes", sealed.len());
    }
}
