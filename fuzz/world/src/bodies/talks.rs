//! The body for what people do in a conversation: marks, their record, reading positions, pins, and who is there.

use postline_core::limits;
use postline_core::machine::mark::{Input, Marks};
use postline_core::machine::pin::Pins;
use postline_core::step::{Machine, Outbox};
use postline_core::store::{Key, Record};
use postline_core::time::MINUTE;
use postline_core::wire::control::Control;
use postline_core::wire::mark::Position;

use super::script;
use crate::laws::talks::{TALK, members, person};
use crate::laws::{DevicePresenceLaws, MarkLaws, NodePresenceLaws, PinLaws, START, Subject, tick};
use crate::rng::Rng;
use crate::strategies::{device_presence_input, mark_input, node_presence_input, pin_input};

/// How many things happen to marks that were restored from any bytes.
const LATER: u64 = 12;

/// A position has one form, and joins, and so has what is done to a conversation; marks and pins go on from whatever a disk gives
/// back, or refuse it; and they and presence keep the laws.
///
/// # Panics
/// Where a promise is broken.
pub fn talks_survive(bytes: &[u8]) {
    if let Ok(position) = Position::parse(bytes) {
        assert_eq!(position.to_bytes(), bytes, "read in another form");
        let mut both = Position::upto(position.last() / 2);
        both.join(&position);
        assert!(position.without(&both).is_empty() && position.last() <= both.last(), "a join loses nothing");
    }
    if let Ok(control) = Control::parse(bytes) {
        assert_eq!(control.to_bytes(), bytes, "read in another form");
    }
    restored(bytes);
    restored_pins(bytes);
    script::<MarkLaws>(bytes, mark_input);
    script::<PinLaws>(bytes, pin_input);
    script::<NodePresenceLaws>(bytes, node_presence_input);
    script::<DevicePresenceLaws>(bytes, device_presence_input);
}

fn restored(bytes: &[u8]) {
    let record = Record::put(Key::Marks(TALK), bytes.to_vec());
    let mut marks = match Marks::restore(TALK, person(0), &record) {
        Ok(marks) => marks,
        Err(fault) => {
            assert!(fault.to_string().contains(&record.key.to_string()), "{fault} is about no record");
            return;
        }
    };
    let mut rng = Rng::new(bytes.len() as u64);
    for n in 0..LATER {
        let input = if n == 0 { Input::Members(members(3)) } else { mark_input(&mut rng) };
        let taken = marks.step(&tick(START.plus(n * MINUTE), n), input, &mut Outbox::new());
        assert!(taken.is_ok() && marks.len() <= MarkLaws::MOST, "holds {}", marks.len());
    }
}

fn restored_pins(bytes: &[u8]) {
    let record = Record::put(Key::Pins(TALK), bytes.to_vec());
    let mut pins = match Pins::restore(TALK, &record) {
        Ok(pins) => pins,
        Err(fault) => {
            assert!(fault.to_string().contains(&record.key.to_string()), "{fault} is about no record");
            return;
        }
    };
    let mut rng = Rng::new(bytes.len() as u64);
    for n in 0..LATER {
        let taken = pins.step(&tick(START.plus(n * MINUTE), n), pin_input(&mut rng), &mut Outbox::new());
        assert!(taken.is_ok() && pins.len() <= PinLaws::MOST && pins.shown().len() <= limits::PINS);
    }
}
