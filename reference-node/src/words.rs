//! The words for values that people read and write, in logs, tables and on the command line: one each, everywhere.

use postline_core::id::{Address, Domain, Lane, Mailbox, NodeKey};
use postline_core::server::io::{Carrier, KeysState, TrustState};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::directory::mailbox_name;

/// What two addresses are to each other.
#[must_use]
pub const fn trust(state: TrustState) -> &'static str {
    match state {
        TrustState::Stranger => "stranger",
        TrustState::Offered => "offered",
        TrustState::Held => "held",
        TrustState::Crossed => "crossed",
        TrustState::Accepting => "accepting",
        TrustState::Confirming => "confirming",
        TrustState::Trusted => "trusted",
        TrustState::Suspended => "suspended",
        TrustState::Revoked => "revoked",
    }
}

/// What is proven of the keys of two who have a line.
#[must_use]
pub const fn keys(state: KeysState) -> &'static str {
    match state {
        KeysState::Unproven => "unproven",
        KeysState::Proven => "proven",
        KeysState::Suspended => "suspended",
    }
}

/// What brings a mail.
#[must_use]
pub const fn carrier(carrier: Carrier) -> &'static str {
    match carrier {
        Carrier::Submission => "submission",
        Carrier::Smtp => "smtp",
        Carrier::Relay => "relay",
        Carrier::Link => "link",
        Carrier::Sealed => "sealed",
        Carrier::Mailbox => "mailbox",
    }
}

/// A lane: `mailbox/one`, `domain/b.example`, `node/<hex>`.
#[must_use]
pub fn lane(lane: &Lane) -> String {
    match lane {
        Lane::Mailbox(name) => format!("mailbox/{name}"),
        Lane::Domain(domain) => format!("domain/{domain}"),
        Lane::Node(nk) => format!("node/{nk}"),
    }
}

/// Reads what [`lane`] wrote.
///
/// # Errors
/// What is wanted instead.
pub fn parse_lane(text: &str) -> Result<Lane, &'static str> {
    const WANT: &str = "want a lane: mailbox/<user>, domain/<domain>, or node/<64 hex digits>";
    let (kind, name) = text.split_once('/').ok_or(WANT)?;
    match kind {
        // Beside another mail server, mailboxes are named by their addresses.
        "mailbox" if name.contains('@') => {
            Address::parse(name).map(|name| Lane::Mailbox(Mailbox(name.to_string()))).map_err(|_| WANT)
        }
        "mailbox" => mailbox_name(name).map(Lane::Mailbox).map_err(|_| WANT),
        "domain" => Domain::parse(name).map(Lane::Domain).map_err(|_| WANT),
        "node" => NodeKey::parse(name).map(Lane::Node).map_err(|_| WANT),
        _ => Err(WANT),
    }
}

/// A time, in UTC (RFC 3339).
#[must_use]
pub fn utc(ms: u64) -> String {
    let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000).ok();
    at.and_then(|at| at.format(&Rfc3339).ok()).unwrap_or_else(|| format!("{ms} ms"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_is_read_as_it_is_written() {
        let node = format!("node/{}", "0a".repeat(32));
        for text in ["mailbox/one", "mailbox/one@a.example", "mailbox/a/b@c.example", "domain/b.example", &node] {
            assert_eq!(lane(&parse_lane(text).unwrap()), text);
        }
        for bad in ["", "one", "mailbox/../x", "mailbox/one@", "mailbox/a/b", "domain/b", "node/0a", "peer/x"] {
            assert!(parse_lane(bad).is_err(), "{bad:?} was taken for a lane");
        }
    }
}
