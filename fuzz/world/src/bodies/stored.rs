//! The body for stored records: a disk may give back anything.

use std::sync::OnceLock;

use postline_core::fault::RestoreError;
use postline_core::id::{Address, Domain};
use postline_core::server::{Command, Input, Server};
use postline_core::step::{Machine, Outbox};
use postline_core::store::{Key, Record};
use postline_core::time::DAY;

use crate::laws::{Records, START, ServerLaws, Subject, host, tick};
use crate::rng::Rng;
use crate::run::records;
use crate::strategies::server_input;

/// How many worlds they come from: enough that each kind is among them.
const SEEDS: u64 = 60;
/// Most records of one kind that are tried.
const OF_A_KIND: usize = 6;

/// A record that is not as it was written is refused by name, or makes a machine that goes on within its bounds.
///
/// The first byte chooses a record. Then each three bytes are a change: what, where, and with which byte; a first change
/// of `0xff` takes the rest as the record's value.
///
/// # Panics
/// Where a promise is broken.
pub fn records_survive(bytes: &[u8]) {
    let Some((which, changes)) = bytes.split_first() else { return };
    let all = written();
    let Some(chosen) = all.get(usize::from(*which) % all.len()) else { return };
    let value = changed(chosen.value.clone().unwrap_or_default(), changes);
    let damaged = Record { value: Some(value), ..chosen.clone() };
    let whole = all.iter().map(|record| if record.key == chosen.key { &damaged } else { record });
    let at_start = whole.clone().filter(|record| record.key.restored_at_start()).cloned();
    let mut server = match Server::restore(host(), at_start) {
        Ok(server) => server,
        Err(fault) => return names(&fault, &chosen.key),
    };
    for record in whole.filter(|record| !record.key.restored_at_start()) {
        if let Err(fault) = server.hydrate(&record.key, Some(record)) {
            names(&fault, &chosen.key);
        }
    }
    // Whatever it says now, the machine lives with it: time passes, and things happen.
    let mut rng = Rng::new(u64::from(*which));
    let later = [Input::Wake, server_input(&mut rng), Input::Wake, server_input(&mut rng), Input::Wake];
    for (n, input) in (0..).zip(later) {
        while let Some(key) = server.wants(&input).first() {
            let absent = server.hydrate(key, None);
            assert!(absent.is_ok(), "{key} may not be absent");
        }
        let mut out = Outbox::new();
        let taken = server.step(&tick(START.plus(n * DAY), n), input, &mut out);
        assert!(taken.is_ok() || out.is_empty(), "a refusal put something out");
    }
}

fn names(fault: &RestoreError, key: &Key) {
    assert!(fault.to_string().contains(&key.to_string()), "{fault} is not about {key}");
}

pub(super) fn changed(mut value: Vec<u8>, changes: &[u8]) -> Vec<u8> {
    if let Some((0xff, whole)) = changes.split_first() {
        return whole.to_vec();
    }
    for change in changes.chunks_exact(3) {
        let [what, at, byte] = *change else { continue };
        let at = usize::from(at) % (value.len() + 1);
        match what % 5 {
            0 => value.truncate(at),
            1 => value.insert(at, byte),
            2 if at < value.len() => _ = value.remove(at),
            _ => {
                if let Some(old) = value.get_mut(at) {
                    *old = if what % 5 == 3 { *old ^ (1 << (byte % 8)) } else { byte };
                }
            }
        }
    }
    value
}

/// Records of every kind, as nodes of the simulator write them.
fn written() -> &'static [Record] {
    static WRITTEN: OnceLock<Vec<Record>> = OnceLock::new();
    WRITTEN.get_or_init(|| {
        let mut kept: Vec<Record> = Vec::new();
        for record in (0..SEEDS).flat_map(records) {
            let kind = std::mem::discriminant(&record.key);
            let of_kind = kept.iter().filter(|kept| std::mem::discriminant(&kept.key) == kind).count();
            if of_kind < OF_A_KIND && !kept.iter().any(|kept| kept.key == record.key) {
                kept.push(record);
            }
        }
        // What people and operators choose is rare in the simulator: the machine is told.
        let mut server = ServerLaws::fresh();
        let chosen = Domain::parse("x.example").map(Command::BlockDomain).into_iter();
        let chosen = chosen.chain(Address::parse("one@a.example").map(|ours| Command::Offers(ours, false)));
        for (n, command) in (0..).zip(chosen) {
            let (input, mut out) = (Input::Command(command), Outbox::new());
            ServerLaws::hydrate(&mut server, &input, &Records::new());
            if server.step(&tick(START, n), input, &mut out).is_ok() {
                kept.extend(out.records().cloned());
            }
        }
        kept
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_every_kind_are_tried() {
        let kinds: std::collections::BTreeSet<String> = written()
            .iter()
            .map(|record| record.key.to_string().split('/').next().unwrap_or_default().to_owned())
            .collect();
        let all = [
            "alias",
            "blocked",
            "due",
            "lines",
            "node",
            "offers",
            "peer",
            "pending",
            "proofs",
            "queue",
            "route",
            "seen",
            "strangers",
            "trust",
        ];
        assert_eq!(kinds.iter().map(String::as_str).collect::<Vec<_>>(), all);
    }
}
