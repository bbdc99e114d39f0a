//! The body for stored records: a disk may give back anything.

use std::sync::OnceLock;

use postline_core::fault::RestoreError;
use postline_core::server::{Input, Server};
use postline_core::step::{Machine, Outbox};
use postline_core::store::{Key, Record};
use postline_core::time::DAY;

use crate::laws::{Records, START, ServerLaws, Subject, host, tick};
use crate::rng::Rng;
use crate::strategies::{server_input, step};

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
    let records = written();
    let Some(chosen) = records.get(usize::from(*which) % records.len()) else { return };
    let value = changed(chosen.value.clone().unwrap_or_default(), changes);
    let damaged = Record { value: Some(value), ..chosen.clone() };
    let whole = records.iter().map(|record| if record.key == chosen.key { &damaged } else { record });
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

fn changed(mut value: Vec<u8>, changes: &[u8]) -> Vec<u8> {
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

/// Records of every kind, as a node writes them in the course of some random days.
fn written() -> &'static [Record] {
    static WRITTEN: OnceLock<Vec<Record>> = OnceLock::new();
    WRITTEN.get_or_init(|| {
        let mut records = Records::new();
        for seed in 0..8 {
            let (mut server, mut rng, mut now) = (ServerLaws::fresh(), Rng::new(seed), START);
            let mut own = Records::new();
            for n in 0..120 {
                let step = step(rng.draw(), server_input);
                now = now.plus(step.after_ms);
                ServerLaws::hydrate(&mut server, &step.input, &own);
                let mut out = Outbox::new();
                if server.step(&tick(now, n), step.input, &mut out).is_ok() {
                    for record in out.records().cloned() {
                        if record.value.is_some() {
                            own.insert(record.key.clone(), record.clone());
                        }
                    }
                }
            }
            records.extend(own);
        }
        let mut kept: Vec<Record> = Vec::new();
        for record in records.into_values() {
            let kind = std::mem::discriminant(&record.key);
            if kept.iter().filter(|kept| std::mem::discriminant(&kept.key) == kind).count() < OF_A_KIND {
                kept.push(record);
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
        let all = ["due", "node", "peer", "pending", "queue", "route", "seen", "strangers", "trust"];
        assert_eq!(kinds.iter().map(String::as_str).collect::<Vec<_>>(), all);
    }
}
