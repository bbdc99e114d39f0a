//! Reading positions: the one form of each, and what several make, in any order.

use postline_core::limits;
use postline_core::wire::cbor::Writer;
use serde_json::json;

use super::Making;
use crate::answer::Class;
use crate::input::hex;

pub(super) fn marks() -> Making {
    let mut m = Making::new("marks", "Reading positions: their one form, and what is read where any of several is.");
    forms(&mut m);
    joins(&mut m);
    m
}

fn position(upto: u64, beyond: &[u8]) -> Vec<u8> {
    let mut w = Writer::array_of(2);
    w.u64(upto).bytes(beyond);
    w.into_bytes()
}

/// A position with one entry at this distance behind what is whole.
fn with_one(upto: u64, distance: usize) -> Vec<u8> {
    let mut beyond = vec![0; distance.div_ceil(8)];
    if let Some(last) = beyond.last_mut() {
        *last = 1 << ((distance - 1) % 8);
    }
    position(upto, &beyond)
}

fn forms(m: &mut Making) {
    let (far, last) = (limits::READ_BEYOND as usize, u64::MAX);
    let ask = |bytes: Vec<u8>| json!({ "bytes": hex(bytes) });
    for (shows, bytes) in [
        ("nothing", position(0, &[])),
        ("one entry", position(1, &[])),
        ("all that there can be", position(last, &[])),
        ("entries 1 to 4, 8 and 11, as the chapter shows", position(4, &[0x48])),
        ("the second and no first", position(0, &[2])),
        ("as far behind as can be said", with_one(7, far)),
        ("up to the last number", with_one(last - 2, 2)),
        ("every entry that can be said but the next", position(9, &[&[0xfe][..], &[0xff; 31]].concat())),
    ] {
        m.good("position.read", &["A-5"], shows, ask(bytes));
    }
    let written = position(4, &[0x48]);
    for (shows, bytes) in [
        ("the next entry, which is part of the whole", position(4, &[1])),
        ("a last byte of zeros", position(4, &[2, 0])),
        ("nothing but zeros", position(4, &[0])),
        ("further behind than can be said", with_one(7, far + 1)),
        ("longer than can be said", position(7, &[2; 33])),
        ("an entry above the last number", with_one(last - 1, 2)),
        ("an entry above the last number, behind all", with_one(last, 2)),
        ("a number in a longer form", vec![0x82, 0x18, 4, 0x40]),
        ("a length in a longer form", vec![0x82, 4, 0x58, 1, 2]),
        ("an open length", vec![0x82, 4, 0x5f, 0x41, 2, 0xff]),
        ("a number below 0", vec![0x82, 0x20, 0x40]),
        ("a text for bytes", vec![0x82, 4, 0x61, 2]),
        ("an item too many", vec![0x83, 4, 0x40, 0]),
        ("an item too few", vec![0x81, 4]),
        ("bytes behind the end", [&written[..], &[0]].concat()),
        ("cut short", written.split_last().map(|(_, first)| first.to_vec()).unwrap_or_default()),
        ("no bytes", Vec::new()),
    ] {
        m.bad("position.read", &["A-5"], shows, Class::Malformed, ask(bytes));
    }
}

fn joins(m: &mut Making) {
    let [four, six, odd, even] =
        [position(4, &[0x48]), position(6, &[]), position(0, &[0x54, 5]), position(2, &[0xaa])];
    let [far, further] = [with_one(7, limits::READ_BEYOND as usize), position(300, &[])];
    let ask = |of: &[&Vec<u8>]| json!({ "positions": of.iter().map(hex).collect::<Vec<String>>() });
    for (shows, of) in [
        ("of nothing", &[][..]),
        ("one by itself", &[&four]),
        ("the same twice", &[&four, &four]),
        ("a gap stays", &[&four, &six]),
        ("in the other order", &[&six, &four]),
        ("two that close each other's gaps", &[&odd, &even]),
        ("in the other order", &[&even, &odd]),
        ("what was single is whole", &[&far, &further]),
        ("three", &[&odd, &far, &six]),
        ("three, in another order", &[&six, &odd, &far]),
        ("three, in a third", &[&far, &six, &odd]),
        ("three, in a fourth, one twice", &[&far, &odd, &six, &odd]),
    ] {
        m.good("position.join", &["A-6"], shows, ask(of));
    }
    m.bad("position.join", &["A-5"], "one that is none", Class::Malformed, ask(&[&four, &position(4, &[0])]));
}
