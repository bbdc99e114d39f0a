//! What Dovecot calls the annotations that mail programs see (RFC 5464).
//!
//! ```text
//!   GETMETADATA ""      /private/vendor/postline/trust  ──▶ priv/<guid of INBOX>/vendor/vendor.dovecot/pvt/server/vendor/postline/trust
//!   GETMETADATA "INBOX" /private/vendor/postline/trust  ──▶ priv/<guid of INBOX>/vendor/postline/trust
//! ```
//!
//! Both lead to the same place, whatever the mailbox. Dovecot puts names into lower case, since RFC 5464 compares them
//! so; what depends on case has a second spelling, `hex:` with the bytes in hex.

use postline_core::limits;

/// What Dovecot puts before a user's own annotations.
const PRIVATE: &str = "priv/";
/// What it puts before those of the server, within the INBOX.
const SERVER: &str = "vendor/vendor.dovecot/pvt/server/";
/// Our part of the names.
const OURS: &str = "vendor/postline/";

/// One of our annotations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// What the user's addresses and others are to each other.
    Trust,
    /// What they and this one are; written to block and to unblock.
    TrustOf(String),
    /// How far a mail of the user's got, by its Message-ID.
    Marks(String),
    /// Whether mails of the user's addresses take offers along; written to choose.
    Offers,
    /// The node's version.
    Version,
    /// Where Dovecot reports what happens in a mailbox: the mailbox's id.
    Event(String),
}

/// Where a key stands: whose annotation it is within Dovecot, and our part of its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// All before our part of the name.
    pub root: &'a str,
    /// The mailbox's id, 32 hex digits.
    pub mailbox: &'a str,
    /// Whether it is of the server, not of a mailbox.
    pub server: bool,
    /// What follows.
    pub rest: &'a str,
}

impl<'a> Place<'a> {
    /// Reads the start of a user's own key; `None` for those that several users share.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        let (mailbox, rest) = text.strip_prefix(PRIVATE)?.split_once('/')?;
        let is_id = mailbox.len() == 32 && mailbox.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_id || text.len() > limits::DICT_KEY_BYTES {
            return None;
        }
        let of_server = rest.strip_prefix(SERVER);
        let rest = of_server.unwrap_or(rest);
        let root = text.strip_suffix(rest).unwrap_or_default();
        Some(Self { root, mailbox, server: of_server.is_some(), rest })
    }
}

impl Key {
    /// Reads one of our keys; `None` for all others.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let place = Place::parse(text)?;
        let name = place.rest.strip_prefix(OURS)?;
        match name.split_once('/') {
            None => match name {
                "trust" => Some(Self::Trust),
                "offers" => Some(Self::Offers),
                "version" => Some(Self::Version),
                "event" if !place.server => Some(Self::Event(place.mailbox.to_owned())),
                _ => None,
            },
            Some(("trust", of)) => spelled(of).map(Self::TrustOf),
            Some(("marks", of)) => spelled(of).map(Self::Marks),
            Some(_) => None,
        }
    }

    /// Its part of the name, as it follows [`Place::root`].
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Trust => format!("{OURS}trust"),
            Self::TrustOf(of) => format!("{OURS}trust/{}", spelling(of)),
            Self::Marks(of) => format!("{OURS}marks/{}", spelling(of)),
            Self::Offers => format!("{OURS}offers"),
            Self::Version => format!("{OURS}version"),
            Self::Event(_) => format!("{OURS}event"),
        }
    }
}

/// The name that a part of a key stands for.
fn spelled(part: &str) -> Option<String> {
    let Some(hex) = part.strip_prefix("hex:") else { return (!part.is_empty()).then(|| part.to_owned()) };
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = hex.as_bytes().chunks(2).map(|pair| match pair {
        &[high, low] => Some(digit(high)? << 4 | digit(low)?),
        _ => None,
    });
    let bytes: Vec<u8> = pairs.collect::<Option<_>>()?;
    String::from_utf8(bytes).ok().filter(|name| !name.is_empty())
}

/// How a name is spelled in a key: as it is, where RFC 5464 §2 and lower case leave it whole.
fn spelling(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_graphic() && !byte.is_ascii_uppercase() && !matches!(byte, b'*' | b'%' | b'/');
    if name.bytes().all(plain) && !name.starts_with("hex:") {
        return name.to_owned();
    }
    name.bytes().fold(String::from("hex:"), |hex, byte| format!("{hex}{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUID: &str = "0123456789abcdef0123456789abcdef";

    fn of_server(name: &str) -> Option<Key> {
        Key::parse(&format!("priv/{GUID}/vendor/vendor.dovecot/pvt/server/vendor/postline/{name}"))
    }

    #[test]
    fn annotations_of_server_and_mailbox_lead_to_the_same() {
        assert_eq!(of_server("trust"), Some(Key::Trust));
        assert_eq!(Key::parse(&format!("priv/{GUID}/vendor/postline/trust")), Some(Key::Trust));
        assert_eq!(of_server("trust/bob@b.example"), Some(Key::TrustOf("bob@b.example".into())));
        assert_eq!(of_server("offers"), Some(Key::Offers));
        assert_eq!(of_server("marks/hex:41622f2a"), Some(Key::Marks("Ab/*".into())));
        assert_eq!(Key::parse(&format!("priv/{GUID}/vendor/postline/event")), Some(Key::Event(GUID.into())));
    }

    #[test]
    fn what_is_not_ours_is_no_key() {
        for name in ["", "trusts", "event", "trust/", "marks/hex:4", "marks/hex:zz", "marks/hex:ff", "offers/x"] {
            assert_eq!(of_server(name), None, "{name:?}");
        }
        for text in ["", "priv/", "priv/x/vendor/postline/trust", "shared/x", "comment"] {
            assert_eq!(Key::parse(text), None, "{text:?}");
        }
        assert_eq!(Key::parse(&format!("shared/{GUID}/vendor/postline/trust")), None, "never what others may see");
        assert_eq!(of_server(&format!("trust/{}", "x".repeat(limits::DICT_KEY_BYTES))), None);
    }

    #[test]
    fn a_name_is_read_as_it_is_spelled() {
        for name in ["bob@b.example", "Bob@b.example", "a/b*c%d@b.example", "hex:41", "ö@b.example"] {
            let key = Key::TrustOf(name.to_owned());
            let text = format!("priv/{GUID}/{}", key.name());
            assert_eq!(text, text.to_ascii_lowercase(), "Dovecot's lower case changes nothing");
            assert_eq!(Key::parse(&text), Some(key));
        }
    }
}
