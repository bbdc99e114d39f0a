//! Who may be dialled, hints, and numbers that have names.

use serde_json::json;

use super::Making;
use crate::answer::Class;

/// The table that a test of core holds the product to.
const TABLE: &str = include_str!("../../../../protocol-core/tests/dial_table.txt");

pub(super) fn dial() -> Making {
    let mut m = Making::new("dial", "Which addresses and ports may be dialled, and what a hint may name.");
    let ask = |ip: &str, port: u16, allow: &[&str]| json!({ "ip": ip, "port": port, "allow": allow });
    for line in TABLE.lines() {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        let (Some(ip), Some(port), Some(verdict)) = (words.next(), words.next(), words.next()) else { continue };
        let input = ask(ip, port.parse().unwrap_or_default(), &[]);
        match verdict {
            "dial" => _ = m.good("dial.judge", &["L-1"], "globally routable, and a link's port", input),
            "port" => m.bad("dial.judge", &["L-1"], "a port of another service", Class::Port, input),
            "special" => m.bad("dial.judge", &["L-1"], "not globally routable", Class::Address, input),
            _ => m.bad("dial.judge", &["L-1"], "no address", Class::Address, input),
        }
    }
    m.bad("dial.judge", &["L-1"], "the port is judged before the address", Class::Port, ask("127.0.0.1", 25, &[]));
    let lab = ["127.0.0.0/8", "10.1.2.3", "fd00::/8"];
    for ip in ["127.9.9.9", "10.1.2.3", "fd00::1", "::ffff:127.0.0.1"] {
        m.good("dial.judge", &["L-1"], "allowed by the operator", ask(ip, 7678, &lab));
    }
    for ip in ["10.1.2.4", "::1", "fc00::1", "64:ff9b::7f00:1"] {
        m.bad("dial.judge", &["L-1"], "beside what the operator allowed", Class::Address, ask(ip, 7678, &lab));
    }
    m.bad("dial.judge", &["L-1"], "an allowed net opens no port", Class::Port, ask("127.0.0.1", 25, &lab));
    let translators = ["64:ff9b::/96", "2002::/16", "::/96"];
    for ip in ["64:ff9b::8.8.8.8", "2002:808:808::1", "::8.8.8.8"] {
        m.good("dial.judge", &["L-1"], "an allowed translator to a routable address", ask(ip, 7678, &translators));
    }
    for ip in ["64:ff9b::10.0.0.1", "64:ff9b::127.0.0.1", "2002:a00:1::1", "::127.0.0.1"] {
        let shows = "an allowed translator opens no private net";
        m.bad("dial.judge", &["L-1"], shows, Class::Address, ask(ip, 7678, &translators));
    }
    let both = ["64:ff9b::/96", "10.0.0.0/8"];
    m.good("dial.judge", &["L-1"], "translator and inner net both allowed", ask("64:ff9b::10.0.0.1", 7678, &both));

    let hint = |text: &str| json!({ "text": text, "mail_domain": "b.example" });
    for (shows, text) in [
        ("the mail domain itself", "b.example:7678"),
        ("a host below it", "node.b.example:443"),
        ("far below it", "x.y.b.example:8443"),
        ("a name that only ends alike", "evil-b.example:7678"),
        ("a name that only begins alike", "b.example.evil.example:7678"),
        ("another domain", "a.example:7678"),
    ] {
        m.good("hint.read", &["T-2", "L-20"], shows, hint(text));
    }
    for (shows, text) in [
        ("nothing", ""),
        ("no port", "b.example"),
        ("an empty port", "b.example:"),
        ("a sign before the port", "b.example:+443"),
        ("a zero before the port", "b.example:0443"),
        ("a port of another service", "b.example:25"),
        ("a port that is none", "b.example:65536"),
        ("two ports", "b.example:443:443"),
        ("capitals", "B.example:443"),
        ("a U-label", "bücher.b.example:443"),
        ("an IPv4 address", "127.0.0.1:7678"),
        ("an IPv6 address", "[::1]:7678"),
        ("a number", "2130706433:7678"),
        ("one label", "localhost:7678"),
        ("a path", "b.example:443/x"),
        ("a space", "b.example:7678 "),
        ("more than 200 bytes", &format!("{0}.{0}.{0}.b.example:7678", "a".repeat(62))),
    ] {
        m.bad("hint.read", &["T-2", "L-20"], shows, Class::Hint, hint(text));
    }
    m
}

pub(super) fn codes() -> Making {
    let mut m = Making::new("codes", "Codes, labels and bounds.");
    for number in [0, 1, 2, 3, 4, 5, 6, 7, 8, 16, 17, 18] {
        m.good("code.read", &["C-1"], "a code", json!({ "number": number }));
    }
    for number in [9, 15, 19, 255, 256, 65535] {
        m.good("code.read", &["C-1", "L-14"], "a number that isn't known", json!({ "number": number }));
    }
    m.bad("code.read", &["C-1"], "no number of 16 bits", Class::Malformed, json!({ "number": 65536 }));
    m.bad("code.read", &["C-1"], "nor this", Class::Malformed, json!({ "number": "18446744073709551615" }));
    for kind in ["offer", "accept", "id", "proof dialler", "proof listener", "confirm", "done", "link accept"] {
        m.good("label.read", &["K-2"], "what stands before the canonical bytes", json!({ "kind": kind }));
    }
    for name in [
        "DOMAIN_BYTES",
        "LOCAL_PART_BYTES",
        "FIELD_BYTES",
        "FIELD_TAGS",
        "HINT_BYTES",
        "OFFER_RECIPIENTS",
        "OFFER_TTL_DAYS_MAX",
        "CLOCK_SKEW_MS",
        "FRAME_BYTES",
        "HELLO_BYTES",
        "CARRY_INLINE_BYTES",
        "CHUNK_BYTES",
        "MARK_IDS",
        "ENVELOPE_RECIPIENTS",
        "WINDOW_ITEMS",
        "WINDOW_BYTES",
        "MAIL_BYTES",
        "MESSAGE_ID_BYTES",
        "HEADER_FIELDS",
        "HEADER_FIELD_BYTES",
        "HEADER_BYTES",
        "MIME_PARTS",
        "MIME_DEPTH",
        "REFERENCES",
        "CONFIRM_MS",
        "GREETING_MS",
        "SETTLE_MS",
        "LINK_IDLE_MS",
        "LINK_PONG_MS",
        "FALLBACK_MS",
        "SEEN_MS",
        "FETCHES",
        "EXPRESS_PER_MINUTE",
        "LINK_NOISE_PER_SECOND",
        "LINK_TALK_PER_SECOND",
        "REDIAL_MIN_MS",
        "REDIAL_MAX_MS",
        "UNPROVEN_DIAL_MS",
        "EVIDENCE_RETRY_MS",
    ] {
        m.good("limit.read", &["P-6"], "a bound", json!({ "name": name }));
    }
    for number in 32..=37 {
        m.good("code.read", &["C-1"], "a code about a sealed conversation", json!({ "number": number }));
    }
    for number in [31, 38] {
        m.good("code.read", &["C-1", "L-14"], "a number that isn't known", json!({ "number": number }));
    }
    for kind in ["link keys", "device list", "key proof", "leaf", "session device", "session node", "heads"] {
        m.good("label.read", &["K-2"], "what stands before the canonical bytes", json!({ "kind": kind }));
    }
    for name in
        ["EVENT_BYTES", "HEADS", "MEMBERS", "DEVICES", "LIST_BYTES", "PACKAGE_BYTES", "NOTE_BYTES", "MESSAGE_BYTES"]
    {
        m.good("limit.read", &["P-6"], "a bound of sealed conversations", json!({ "name": name }));
    }
    m.good("code.read", &["C-1"], "a code about a file", json!({ "number": 39 }));
    for name in ["ATTACHMENT_BYTES", "ATTACHMENT_CHUNK_BYTES", "FILE_PIECE_BYTES", "FILE_MS"] {
        m.good("limit.read", &["P-6"], "a bound of files", json!({ "name": name }));
    }
    m
}
