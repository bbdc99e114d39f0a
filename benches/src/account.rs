//! What a sitting with sealed messages found, as a part of the page.

use std::fmt::Write as _;

use crate::Fault;
use crate::figures::{Gate, Samples};
use crate::path::Path;
use crate::peers::{Outcome, Row};
use crate::talks::{Burst, Lone};

/// What came out. What could not be measured isn't there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// The bare path.
    pub floor: Option<Path>,
    /// Sealed beforehand, posted at the hub.
    pub from_hub: Lone,
    /// The same, posted at the node that follows.
    pub to_hub: Lone,
    /// Sealed and opened by devices.
    pub devices: Lone,
    /// All pairs at once, sealed beforehand.
    pub nodes_burst: Burst,
    /// All pairs at once, sealed and opened by devices.
    pub devices_burst: Burst,
    /// Memory of a node that has just started, of all kinds, in bytes: the larger of both.
    pub idle_node: usize,
    /// Memory of a node for each idle session, in bytes.
    pub idle_session: f64,
}

/// How the part begins.
pub const TITLE: &str = "# Sealed messages, measured";

const METHOD: &str = "Bodies of 200 bytes, sealed by MLS to 456. Everything is durable on both nodes before it is seen, TLS 1.3 is on every \
     hop. *Sealed beforehand*: sessions that bring bytes of that size and open nothing, so the nodes alone are measured, \
     with the author's node as the hub and as the one that follows. *Devices*: each a whole client with a store and \
     a thread of its own, and the program that shows its events there too, all in one process on the same CPUs, sealing, \
     opening, durable before they post and before they ack: one sync more than the floor has. Lone messages: one after the other, each after the mark `delivered` of the \
     one before; they come after the bursts, when the stores' logs have their size. Floor: the peers' harness's `rawlimits \
     path`, client to node to node to client over TLS with 300 bytes, one sync a node and nothing else. Peers: by their \
     own harness, in this sitting, their clients' connections plain.\n\n";

/// The part.
///
/// # Errors
/// None that can happen: text is written to memory.
pub fn text(head: &str, pairs: usize, found: &Found, peers: &[Outcome]) -> Result<String, Fault> {
    let mut text = format!("{TITLE}\n\n{head}\n\n{METHOD}");
    text.push_str("| latency, ms | p50 | p95 | p99 | least | n |\n|---|---|---|---|---|---|\n");
    if let Some(Path { one_way_ms: [p50, p99] }) = found.floor {
        writeln!(text, "| floor: the bare durable path | {p50:.3} | | {p99:.3} | | |")?;
    }
    let rows = [
        ("devices", &found.devices),
        ("sealed beforehand, at the hub", &found.from_hub),
        ("sealed beforehand, at the other node", &found.to_hub),
    ];
    for (name, lone) in rows {
        writeln!(text, "| **{name}** | {} |", lone.there)?;
        writeln!(text, "| {name}, `delivered` back | {} |", lone.back)?;
    }
    for peer in peers.iter().flatten() {
        for (what, [p50, p95, p99]) in [("", peer.latency_ms), (", receipt back", peer.receipt_ms)] {
            if !p50.is_nan() {
                writeln!(text, "| {}{what} | {p50:.3} | {p95:.3} | {p99:.3} | | |", peer.name)?;
            }
        }
    }
    writeln!(
        text,
        "\n| throughput, {pairs} pairs, window {} | messages/s | CPU µs each, all servers | CPU µs each, all devices | commits each |",
        crate::talks::WINDOW
    )?;
    text.push_str("|---|---|---|---|---|\n");
    for (name, burst) in [("sealed beforehand", found.nodes_burst), ("devices", found.devices_burst)] {
        let Burst { messages, per_second, node_cpu_us, device_cpu_us, commits } = burst;
        writeln!(
            text,
            "| **{name}**, {messages} messages | {per_second:.0} | {node_cpu_us:.1} | {device_cpu_us:.1} | {commits:.4} |"
        )?;
    }
    for peer in peers.iter().flatten() {
        if let Some(per_second) = peer.per_second {
            let cpu = peer.cpu_ms.map_or(String::new(), |cpu| format!("{:.0}", cpu * 1e3));
            writeln!(text, "| {} | {per_second:.0} | {cpu} | | |", peer.name)?;
        }
    }
    for skipped in peers.iter().filter_map(|peer| peer.as_ref().err()) {
        writeln!(text, "\nSkipped: {}: {}.", skipped.name, skipped.why)?;
    }
    text.push_str("\n| a lone message and its mark | commits | sync calls | packets | with bare acks | IP bytes |\n|---|---|---|---|---|---|\n");
    for (name, lone) in [("posted at the hub", &found.from_hub), ("posted at the other node", &found.to_hub)] {
        let [full, packets, bytes] = went(lone).map(said);
        let syncs = said(lone.syncs);
        writeln!(text, "| {name} | {:.2} | {syncs} | {full} | {packets} | {bytes} |", lone.commits)?;
    }
    writeln!(
        text,
        "\nA node that has just started: {:.1} MB resident. An idle session: {:.0} bytes.\n",
        found.idle_node as f64 / 1e6,
        found.idle_session
    )?;
    text.push_str("| gate | bound | value | |\n|---|---|---|---|\n");
    for gate in gates(found, peers) {
        writeln!(text, "| {gate} |")?;
    }
    Ok(text)
}

fn said(value: Option<f64>) -> String {
    value.map_or_else(|| "not measured".to_owned(), |value| format!("{value:.2}"))
}

/// Packets with something in them, packets, and bytes between the nodes, a message.
fn went(lone: &Lone) -> [Option<f64>; 3] {
    let each = |of: u64, count: usize| of as f64 / count as f64;
    match lone.link {
        Some((link, n)) => [link.full, link.packets, link.ip_bytes].map(|of| Some(each(of, n))),
        None => [None; 3],
    }
}

/// What the project set itself, and what was measured.
#[must_use]
pub fn gates(found: &Found, peers: &[Outcome]) -> Vec<Gate> {
    let named = |start: &str| peers.iter().flatten().find(|peer| peer.name.starts_with(start));
    let (mail, prosody, ejabberd) = (named("Postfix"), named("Prosody"), named("ejabberd"));
    let at_most = |what, bound, value: Option<f64>| Gate {
        what,
        value: value.filter(|value| !value.is_nan()),
        bound,
        at_least: false,
    };
    let at_least = |what, bound, value| Gate { at_least: true, ..at_most(what, bound, value) };
    let worse = |of: fn(&Lone) -> Option<f64>| match (of(&found.from_hub), of(&found.to_hub)) {
        (Some(one), Some(other)) => Some(one.max(other)),
        _ => None,
    };
    let ms = |samples: &Samples, percent| samples.percentile(percent) / 1e3;
    let over_floor = |lone: &Lone, percent, index: usize| {
        found.floor.map(|floor| ms(&lone.there, percent) / floor.one_way_ms[index])
    };
    let device = ms(&found.devices.there, 50);
    let (nodes, devices) = (&found.nodes_burst, &found.devices_burst);
    let rate = |of: f64| ejabberd.and_then(|row| row.per_second).map(|theirs| of / theirs);
    let p50 = |row: &Row| row.latency_ms[0];
    vec![
        at_most("devices p50 ÷ floor p50", 2.0, over_floor(&found.devices, 50, 0)),
        at_most("devices p99 ÷ floor p99", 3.0, over_floor(&found.devices, 99, 1)),
        at_most("sealed beforehand p50 ÷ floor p50", 2.0, over_floor(&found.from_hub, 50, 0)),
        at_most("sealed beforehand p99 ÷ floor p99", 3.0, over_floor(&found.from_hub, 99, 1)),
        at_most("devices p50 ÷ Prosody and SQLite", 0.25, prosody.map(|row| device / p50(row))),
        at_most("devices p50 ÷ IMAP IDLE", 0.0025, mail.map(|row| device / p50(row))),
        at_most(
            "devices, `delivered` back p50 ÷ Prosody's receipt",
            0.25,
            prosody.map(|row| ms(&found.devices.back, 50) / row.receipt_ms[0]),
        ),
        at_least("sealed beforehand, messages/s ÷ ejabberd and SQLite", 50.0, rate(nodes.per_second)),
        at_most(
            "sealed beforehand, CPU ÷ ejabberd and SQLite",
            0.0167,
            ejabberd.and_then(|row| row.cpu_ms).map(|theirs| nodes.node_cpu_us / 1e3 / theirs),
        ),
        at_least("devices, messages/s ÷ ejabberd and SQLite", 15.0, rate(devices.per_second)),
        at_most("sync calls, a lone message", 2.0, worse(|lone| lone.syncs)),
        at_most("commits at window 64, a message", 0.0625, Some(nodes.commits)),
        at_most("packets between the nodes, a lone message", 2.0, worse(|lone| went(lone)[0])),
        at_most("IP bytes between the nodes, a lone message and its mark", 1_000.0, worse(|lone| went(lone)[2])),
        at_most("bytes, an idle session", 13_000.0, Some(found.idle_session)),
        at_most("resident bytes, an idle node", 16e6, Some(found.idle_node as f64)),
    ]
}

/// The page, with this part in the place of the one that had its title, or behind the others.
#[must_use]
pub fn put(page: &str, part: &str) -> String {
    let title = part.lines().next().unwrap_or_default();
    let mut parts: Vec<String> = Vec::new();
    for line in page.lines() {
        match parts.last_mut() {
            Some(last) if !line.starts_with("# ") => last.push_str(&format!("{line}\n")),
            _ => parts.push(format!("{line}\n")),
        }
    }
    match parts.iter_mut().find(|is| is.lines().next() == Some(title)) {
        Some(before) => part.clone_into(before),
        None => parts.push(part.to_owned()),
    }
    let trimmed: Vec<&str> = parts.iter().map(|part| part.trim_end()).collect();
    trimmed.join("\n\n") + "\n"
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::machine::Traffic;

    #[test]
    fn a_part_says_what_held_and_what_was_missed() {
        let link = Some((Traffic { packets: 30, full: 20, ip_bytes: 12_000 }, 10));
        let lone = |micros| Lone {
            there: Samples::of(&[Duration::from_micros(micros)]),
            back: Samples::of(&[Duration::from_micros(micros)]),
            link,
            ..Lone::default()
        };
        let found = Found {
            floor: Some(Path { one_way_ms: [0.5, 1.0] }),
            devices: lone(900),
            from_hub: lone(600),
            to_hub: lone(700),
            ..Found::default()
        };
        let part = text("today", 8, &found, &[]).unwrap();
        for line in [
            "| devices p50 ÷ floor p50 | ≤ 2 | 1.8000 | holds |",
            "| devices p50 ÷ IMAP IDLE | ≤ 0.0025 | not measured | – |",
            "| packets between the nodes, a lone message | ≤ 2 | 2.0000 | holds |",
            "| IP bytes between the nodes, a lone message and its mark | ≤ 1000 | 1200.0000 | missed |",
            "| posted at the hub | 0.00 | not measured | 2.00 | 3.00 | 1200.00 |",
        ] {
            assert!(part.lines().any(|is| is == line), "{line}\n{part}");
        }
    }

    #[test]
    fn a_part_takes_the_place_of_the_one_before_it() {
        let page = put("# One\n\nx\n\n## Within\n\ny\n", "# Two\n\nold\n");
        assert_eq!(put(&page, "# Two\n\nnew\n"), "# One\n\nx\n\n## Within\n\ny\n\n# Two\n\nnew\n");
        assert_eq!(put(&page, "# One\n\nnew\n"), "# One\n\nnew\n\n# Two\n\nold\n");
    }
}
