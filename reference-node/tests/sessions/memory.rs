//! What an idle session costs.

use std::time::Duration;

use crate::kit::{Begun, Device, Wire, at, key, nodes, right, secure, tcp};

const USERS: [&str; 64] = [
    "u00", "u01", "u02", "u03", "u04", "u05", "u06", "u07", "u08", "u09", "u10", "u11", "u12", "u13", "u14", "u15",
    "u16", "u17", "u18", "u19", "u20", "u21", "u22", "u23", "u24", "u25", "u26", "u27", "u28", "u29", "u30", "u31",
    "u32", "u33", "u34", "u35", "u36", "u37", "u38", "u39", "u40", "u41", "u42", "u43", "u44", "u45", "u46", "u47",
    "u48", "u49", "u50", "u51", "u52", "u53", "u54", "u55", "u56", "u57", "u58", "u59", "u60", "u61", "u62", "u63",
];
const SESSIONS: usize = 1_000;
/// Sessions that are there before it is counted: what the first ones make the node allocate for all is no session's.
const BEFORE: usize = 128;
const BOUND_BYTES: usize = 13_000;

/// Private memory of a process: what it has that no other has.
fn memory(pid: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().trim().parse::<usize>().unwrap() * 1_024
}

/// Run by hand, or by a long check: `cargo test --release -p postline-node --test sessions -- --ignored --nocapture`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a thousand sessions; the figure is meant for release builds"]
async fn an_idle_session_costs_little() {
    let nodes = nodes(&USERS).await;
    let (link, nk, pid) = (at(&nodes.a, "link").await, key(&nodes.a).await, nodes.a.pid().unwrap());
    let mut held = Vec::new();
    let mut before = 0;
    for n in 0..BEFORE + SESSIONS {
        if n == BEFORE {
            tokio::time::sleep(Duration::from_secs(1)).await;
            before = memory(pid);
        }
        // Addresses of their own, so that none is over the pace of a neighbourhood.
        let (stream, channel) = secure(tcp(Some([127, 1, (n / 200) as u8, 1]), link)).unwrap();
        let user = USERS[n % USERS.len()];
        // One device a user for each 64: at most 16 for anybody would be too few, so sixteen and then the same again.
        let seed = postline_core::store::sha256(&[user.as_bytes(), &(n / USERS.len()).to_be_bytes()]).0;
        let address = format!("{user}@a.example");
        let mut device = Device::with((Wire::Tls(Box::new(stream)), channel), &seed, &address, nk, right(user));
        assert_eq!(device.begun(), Begun::Up, "{n}");
        held.push(device);
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let after = memory(pid);
    let each = after.saturating_sub(before) / SESSIONS;
    println!("figure session.idle_bytes {each}");
    println!("figure session.node_before_bytes {before}");
    assert_eq!(held.len(), BEFORE + SESSIONS);
    assert!(each <= BOUND_BYTES, "{each} bytes a session, want at most {BOUND_BYTES}");
    nodes.stop().await.unwrap();
}
