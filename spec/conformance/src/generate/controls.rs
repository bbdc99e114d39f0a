//! What is done to a conversation: the one form of each act, and what several make, in any order.

use postline_core::id::ContentId;
use postline_core::limits;
use postline_core::wire::cbor::Writer;
use postline_core::wire::control::{Control, Policy, Target};
use serde_json::{Value, json};

use super::Making;
use crate::answer::Class;
use crate::input::hex;

pub(super) fn controls() -> Making {
    let mut m = Making::new(
        "controls",
        "What is done to a conversation: the one form of each act, and what is pinned after several.",
    );
    forms(&mut m);
    joins(&mut m);
    m
}

fn at(place: u64) -> Target {
    let [.., low] = place.to_be_bytes();
    Target { message: ContentId([low; 32]), place }
}

fn forms(m: &mut Making) {
    let seven = Target { message: ContentId([7; 32]), place: 300 };
    let policy = |policy, set| Control::Policy { policy, set };
    let ask = |bytes: Vec<u8>| json!({ "bytes": hex(bytes) });
    for (shows, control) in [
        ("a pin, as the chapter shows", Control::Pin(seven)),
        ("its end", Control::Unpin(seven)),
        ("a removal", Control::Remove(seven)),
        ("of the first entry that can be", Control::Pin(at(1))),
        ("of the last", Control::Pin(at(u64::MAX))),
        ("reading must be told", policy(Policy::Required, None)),
        ("each chooses", policy(Policy::Optional, None)),
        ("nobody tells, as the chapter shows", policy(Policy::Forbidden, None)),
        ("said once more", policy(Policy::Forbidden, Some(12))),
    ] {
        m.good("control.read", &["V-1"], shows, ask(control.to_bytes()));
    }
    let pin = Control::Pin(seven).to_bytes();
    let short = pin.split_last().map(|(_, first)| first.to_vec()).unwrap_or_default();
    let acts = |write: &dyn Fn(&mut Writer)| {
        let mut w = Writer::default();
        write(&mut w);
        w.into_bytes()
    };
    for (shows, bytes) in [
        ("an act of later days", acts(&|w| _ = w.array(3).u64(4).bytes(&[7; 32]).u64(300))),
        ("an item too many", acts(&|w| _ = w.array(4).u64(0).bytes(&[7; 32]).u64(300).null())),
        ("an item too few", acts(&|w| _ = w.array(2).u64(0).bytes(&[7; 32]))),
        ("a name that is too short", acts(&|w| _ = w.array(3).u64(0).bytes(&[7; 31]).u64(300))),
        ("a place before the first", acts(&|w| _ = w.array(3).u64(0).bytes(&[7; 32]).u64(0))),
        ("no place", acts(&|w| _ = w.array(3).u64(0).bytes(&[7; 32]).null())),
        ("a policy that there is none of", acts(&|w| _ = w.array(3).u64(3).u64(3).null())),
        ("a policy set by no entry", acts(&|w| _ = w.array(3).u64(3).u64(2).u64(0))),
        ("a name that is too long", acts(&|w| _ = w.array(3).u64(0).bytes(&[7; 33]).u64(300))),
        ("a name as text", acts(&|w| _ = w.array(3).u64(1).str("07070707070707070707070707070707").u64(300))),
        ("the end of a pin of no name", acts(&|w| _ = w.array(3).u64(1).null().u64(300))),
        ("a removal of what lies nowhere", acts(&|w| _ = w.array(3).u64(2).bytes(&[7; 32]).null())),
        ("a place as bytes", acts(&|w| _ = w.array(3).u64(2).bytes(&[7; 32]).bytes(&[1]))),
        ("a policy without what set it", acts(&|w| _ = w.array(2).u64(3).u64(2))),
        ("a policy as text", acts(&|w| _ = w.array(3).u64(3).str("forbidden").null())),
        ("an act without a number", acts(&|w| _ = w.array(3).null().bytes(&[7; 32]).u64(300))),
        ("a number in a longer form", vec![0x83, 0x18, 3, 2, 0xf6]),
        ("an open length", vec![0x9f, 3, 2, 0xf6, 0xff]),
        ("bytes behind the end", [&pin[..], &[0]].concat()),
        ("cut short", short),
        ("no bytes", Vec::new()),
    ] {
        m.bad("control.read", &["V-1"], shows, Class::Malformed, ask(bytes));
    }
}

fn joins(m: &mut Making) {
    let said = |seq: u64, control: Control| json!([seq, hex(control.to_bytes())]);
    let here = |places: &mut dyn Iterator<Item = u64>| {
        places.map(|place| json!([hex(at(place).message.0), place])).collect::<Vec<Value>>()
    };
    let ask = |controls: Vec<Value>, places: Vec<Value>| json!({ "controls": controls, "here": places });
    let (pin, unpin) =
        (|seq, place| said(seq, Control::Pin(at(place))), |seq, place| said(seq, Control::Unpin(at(place))));
    let policy = |seq, policy, set| said(seq, Control::Policy { policy, set });
    let elsewhere = |seq| said(seq, Control::Pin(Target { place: 2, ..at(1) }));
    let three = || here(&mut (1..=3));
    for (shows, controls, places) in [
        ("nothing was done", vec![], three()),
        ("two pins, in the order of their places in the log", vec![pin(11, 2), pin(10, 3)], three()),
        ("a pin and its end", vec![pin(10, 1), unpin(11, 1)], three()),
        ("in the other order", vec![unpin(11, 1), pin(10, 1)], three()),
        (
            "pinned again, all of it twice",
            vec![pin(12, 1), unpin(11, 1), pin(10, 1), unpin(11, 1), pin(12, 1)],
            three(),
        ),
        ("of what isn't here", vec![pin(10, 9), pin(11, 1)], three()),
        ("of what lies elsewhere", vec![elsewhere(10), pin(11, 2), unpin(12, 1)], three()),
        ("of what comes later", vec![pin(2, 3), pin(10, 1)], three()),
        ("a removal, which nobody may say", vec![pin(10, 1), said(11, Control::Remove(at(1)))], three()),
    ] {
        m.good("control.join", &["V-2", "V-3", "V-6"], shows, ask(controls, places));
    }
    let most = limits::PINS as u64;
    let all = || (1..=most).map(|n| pin(100 + n, n));
    let more = |mut rest: Vec<Value>| {
        rest.extend(all());
        rest
    };
    let places = || here(&mut (1..=200));
    for (shows, controls) in [
        ("as many as there is room for", more(vec![])),
        ("one too many", more(vec![pin(200, 99)])),
        ("room for it, since another went", more(vec![pin(200, 99), unpin(201, 3)])),
        ("the same in the other order", [all().collect::<Vec<_>>(), vec![unpin(201, 3), pin(200, 99)]].concat()),
    ] {
        m.good("control.join", &["V-4"], shows, ask(controls, places()));
    }
    let known = limits::PINS_KNOWN as u64;
    let ends = |from: u64| (0..known).map(move |n| unpin(300 + n, from + n));
    let old = |place| [vec![pin(250, place)], ends(1).collect::<Vec<_>>()].concat();
    m.good("control.join", &["V-4"], "older than all that is kept", ask(old(known + 1), here(&mut (1..=known + 1))));
    let reversed: Vec<Value> = old(known + 1).into_iter().rev().collect();
    m.good("control.join", &["V-4"], "the same in the other order", ask(reversed, here(&mut (1..=known + 1))));
    for (shows, controls) in [
        ("the last stands", vec![policy(10, Policy::Forbidden, None), policy(11, Policy::Required, None)]),
        ("in the other order", vec![policy(11, Policy::Required, None), policy(10, Policy::Forbidden, None)]),
        (
            "what is said once more sets nothing back",
            vec![policy(11, Policy::Required, None), policy(12, Policy::Forbidden, Some(10))],
        ),
        (
            "what says that it comes later than itself",
            vec![policy(10, Policy::Forbidden, Some(99)), policy(11, Policy::Required, None)],
        ),
        ("two by one entry", vec![policy(12, Policy::Required, Some(10)), policy(11, Policy::Forbidden, Some(10))]),
    ] {
        m.good("control.join", &["V-8"], shows, ask(controls, three()));
    }
    m.bad("control.join", &["V-1"], "one that is none", Class::Malformed, ask(vec![json!([10, "83"])], three()));
}
