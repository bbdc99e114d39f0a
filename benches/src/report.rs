//! What a sitting found, as a page and as pictures.

use std::fmt::Write as _;

use crate::Fault;
use crate::figures::{Gate, Samples};
use crate::peers::{Outcome, Row};
use crate::plot::{Bar, svg};

/// What came out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// The floor.
    pub floor: Samples,
    /// Express mails of 200 bytes, 250 to Maildir.
    pub express: Samples,
    /// The same with 4 KiB.
    pub express_4k: Samples,
    /// Mails between strangers, by our own SMTP.
    pub smtp: Samples,
    /// Mails a second in the Maildirs, in the burst.
    pub per_second: f64,
    /// The same, of 250s.
    pub accepted_per_second: f64,
    /// How many mails the burst had.
    pub burst: usize,
    /// CPU milliseconds of both nodes, a mail of the burst.
    pub burst_cpu_ms: f64,
    /// Commits, a mail of the burst.
    pub burst_commits: f64,
    /// Commits, a lone mail.
    pub commits: f64,
    /// New connections, a lone mail.
    pub connections: f64,
    /// Sync calls, a lone mail.
    pub syncs: Option<f64>,
    /// Bytes there and back, a lone mail.
    pub wire: Option<(f64, f64)>,
    /// Mails sent in all.
    pub sent: usize,
    /// Of these, lost.
    pub lost: usize,
    /// Of these, shown twice.
    pub doubled: usize,
}

const METHOD: &str = "Latency: submission's 250 until the mail is in `new/` of the recipient's Maildir, as inotify tells a process that \
     sleeps; one mail after the other; in milliseconds. TLS on every hop (submission TLS, link TLS 1.3), records and \
     bodies synced on both nodes before the 250 and before the Maildir; default log. Floor: one TLS 1.3 hop of 300 \
     bytes, one fdatasync of a preallocated file, one unsynced create and rename, seen in the same way. The mail's own \
     file is synced after it is visible; until then its record brings it again.\n\n\
     Peers: by their own harness, the best of its runs, after ours, in this sitting. Mail: from 250 until a client had \
     fetched the body by IMAP. XMPP and Matrix: from the sender's client to the recipient's. Delta Chat: from sending to \
     its event, cryptography of both clients included. Their clients' connections were plain. Everything ran below \
     TMPDIR; on an ext4 without a journal, take a fresh directory below the root, since inodes that were freed minutes \
     ago make each new file slower.\n\n";

/// What ours keeps and hides, in the words of the table.
const OURS: [&str; 2] = ["both nodes; the mailbox by its record", "every hop"];

/// The page.
///
/// # Errors
/// None that can happen: text is written to memory.
pub fn text(head: &str, senders: usize, found: &Found, peers: &[Outcome]) -> Result<String, Fault> {
    let mut text = format!("# Express mail, measured\n\n{head}\n\n{METHOD}");
    text.push_str("| latency, ms | p50 | p95 | p99 | least | n | durable when seen | encrypted |\n|---|---|---|---|---|---|---|---|\n");
    let [durable, encrypted] = OURS;
    writeln!(text, "| floor | {} | one write | the hop |", found.floor)?;
    writeln!(text, "| **express mail, 200 B** | {} | {durable} | {encrypted} |", found.express)?;
    writeln!(text, "| **express mail, 4 KiB** | {} | {durable} | {encrypted} |", found.express_4k)?;
    writeln!(text, "| own SMTP, strangers, 200 B | {} | both nodes | STARTTLS |", found.smtp)?;
    for peer in peers.iter().flatten() {
        // What a harness doesn't say stays empty.
        let [p50, p95, p99] = peer.latency_ms.map(|ms| if ms.is_nan() { String::new() } else { format!("{ms:.3}") });
        writeln!(text, "| {} | {p50} | {p95} | {p99} | | | {} | {} |", peer.name, peer.durable, peer.encrypted)?;
    }
    writeln!(
        text,
        "\n| throughput, 200 B, {senders} senders | messages/s seen | accepted/s | CPU ms each, all servers | commits each |"
    )?;
    text.push_str("|---|---|---|---|---|\n");
    writeln!(
        text,
        "| **express mail**, {} mails | {:.0} | {:.0} | {:.3} | {:.3} |",
        found.burst, found.per_second, found.accepted_per_second, found.burst_cpu_ms, found.burst_commits
    )?;
    for peer in peers.iter().flatten() {
        if let Some(per_second) = peer.per_second {
            let cpu = peer.cpu_ms.map_or(String::new(), |cpu| format!("{cpu:.3}"));
            writeln!(text, "| {} | {per_second:.0} | | {cpu} | |", peer.name)?;
        }
    }
    for skipped in peers.iter().filter_map(|peer| peer.as_ref().err()) {
        writeln!(text, "\nSkipped: {}: {}.", skipped.name, skipped.why)?;
    }
    if !peers.is_empty() {
        text.push_str("\n![Latency](plots/latency.svg)\n\n![Throughput](plots/throughput.svg)\n");
    }
    writeln!(
        text,
        "\nA lone express mail, marks and clean-up included: {:.2} commits, {:.4} new connections{}{}. {} mails sent, {} lost, {} doubled.\n",
        found.commits,
        found.connections,
        found.syncs.map_or(String::new(), |syncs| format!(", {syncs:.2} sync calls (strace)")),
        found.wire.map_or(String::new(), |(there, back)| format!(
            ", {there:.0} bytes a→b and {back:.0} back (TLS, 200 B and 4 KiB mixed)"
        )),
        found.sent,
        found.lost,
        found.doubled
    )?;
    text.push_str("| gate | bound | value | |\n|---|---|---|---|\n");
    for gate in gates(found, peers) {
        writeln!(text, "| {gate} |")?;
    }
    Ok(text)
}

fn gates(found: &Found, peers: &[Outcome]) -> [Gate; 4] {
    let named = |start: &str| peers.iter().flatten().find(|peer| peer.name.starts_with(start));
    let (polled, idle) = (named("Postfix → Dovecot, polled"), named("Postfix → Dovecot, IMAP IDLE"));
    let latency = |peer: &Row| found.express.p50() / 1e3 / peer.latency_ms[0];
    let gate = |what, value, bound, at_least| Gate { what, value, bound, at_least };
    [
        gate("express p50 ÷ floor p50", Some(found.express.p50() / found.floor.p50()), 3.0, false),
        gate("express p50 ÷ Postfix → Dovecot polled", polled.map(latency), 0.2, false),
        gate("express p50 ÷ IMAP IDLE", idle.map(latency), 0.01, false),
        gate(
            "throughput ÷ Postfix → Dovecot",
            polled.and_then(|peer| peer.per_second).map(|theirs| found.per_second / theirs),
            10.0,
            true,
        ),
    ]
}

/// The pictures, by file name.
#[must_use]
pub fn pictures(found: &Found, peers: &[Outcome]) -> [(&'static str, String); 2] {
    let rows = || peers.iter().flatten();
    let short = |name: &str| name.split(" (").next().unwrap_or(name).to_owned();
    let ours = |name: &str, value| Bar { name: name.to_owned(), value, ours: true };
    let mut latency = vec![
        Bar { name: "floor: one hop, one sync".to_owned(), value: found.floor.p50() / 1e3, ours: false },
        ours("express mail, 200 B", found.express.p50() / 1e3),
        ours("express mail, 4 KiB", found.express_4k.p50() / 1e3),
    ];
    latency.extend(rows().map(|row| Bar { name: short(&row.name), value: row.latency_ms[0], ours: false }));
    let mut throughput = vec![ours("express mail", found.per_second)];
    throughput
        .extend(rows().filter_map(|row| Some(Bar { name: short(&row.name), value: row.per_second?, ours: false })));
    [
        ("latency.svg", svg("Median latency, sent to seen", "ms", &latency)),
        ("throughput.svg", svg("Throughput, 32 senders", "messages/s", &throughput)),
    ]
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::peers::Skipped;

    #[test]
    fn a_page_says_what_held_what_was_missed_and_what_was_skipped() {
        let samples = |micros| Samples::of(&[Duration::from_micros(micros)]);
        let found =
            Found { floor: samples(400), express: samples(800), per_second: 2_000.0, sent: 7, ..Found::default() };
        let mail = Row {
            name: "Postfix → Dovecot, polled every 0.5 ms (3.7)".into(),
            latency_ms: [10.0, 20.0, 30.0],
            receipt_ms: [f64::NAN; 3],
            per_second: Some(250.0),
            cpu_ms: Some(7.0),
            durable: "x",
            encrypted: "y",
        };
        let peers = [Ok(mail), Err(Skipped { name: "Synapse".into(), why: "no disk".into() })];
        let page = text("today", 32, &found, &peers).unwrap();
        for line in [
            "| express p50 ÷ floor p50 | ≤ 3 | 2.0000 | holds |",
            "| express p50 ÷ Postfix → Dovecot polled | ≤ 0.2 | 0.0800 | holds |",
            "| express p50 ÷ IMAP IDLE | ≤ 0.01 | not measured | – |",
            "| throughput ÷ Postfix → Dovecot | ≥ 10 | 8.0000 | missed |",
            "Skipped: Synapse: no disk.",
        ] {
            assert!(page.lines().any(|is| is == line), "{line}\n{page}");
        }
        let [(_, latency), (_, throughput)] = pictures(&found, &peers);
        assert!(latency.contains("polled every 0.5 ms<") && throughput.contains(">250<"));
    }
}
