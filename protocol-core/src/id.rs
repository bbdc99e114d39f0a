//! Names and numbers that can't be invalid: domains, addresses, keys, hashes, ids.
//!
//! A text id is made by `parse`, keeps its normal form, and compares by it. Spec: `spec/01-names.md`.

use core::fmt;

use crate::limits;

/// Why a text or some bytes name nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameFault {
    /// No `@` in an address.
    #[error("no @ in an address")]
    NoAt,
    /// The local part is no plain dot-atom.
    #[error("local part is no dot-atom")]
    LocalPart,
    /// The local part is empty or too long.
    #[error("local part of {got} bytes, at most {max}")]
    LocalLength {
        /// Its length in bytes.
        got: usize,
        /// The bound.
        max: usize,
    },
    /// The domain is empty or too long.
    #[error("domain of {got} bytes, at most {max}")]
    DomainLength {
        /// Its length in bytes.
        got: usize,
        /// The bound.
        max: usize,
    },
    /// The domain has too few labels.
    #[error("domain of {got} labels, at least 2")]
    DomainLabels {
        /// How many it has.
        got: usize,
    },
    /// A label of the domain is malformed.
    #[error("malformed domain label")]
    DomainLabel,
    /// IDNA2008 refuses the domain, or it does not round-trip.
    #[error("domain refused by IDNA2008")]
    DomainIdna,
    /// Not the hex digits that the id has.
    #[error("want {digits} hex digits")]
    Hex {
        /// How many it has.
        digits: usize,
    },
    /// Not the number of bytes that the id has.
    #[error("{got} bytes, want {want}")]
    Bytes {
        /// How many came.
        got: usize,
        /// How many it has.
        want: usize,
    },
}

/// A mail domain: lower-case A-labels joined by dots (IDNA2008), at most 253 bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Domain(String);

impl Domain {
    /// Parses a domain as written, A-label or U-label, into its normal form ([N-1]).
    ///
    /// # Errors
    /// [`NameFault`] for what is no host name of at least two labels: empty or long labels, address literals, labels
    /// that IDNA2008 refuses, `xn--` labels that do not round-trip, a last label of digits only.
    pub fn parse(text: &str) -> Result<Self, NameFault> {
        if text.is_empty() || text.len() > limits::DOMAIN_BYTES {
            return Err(NameFault::DomainLength { got: text.len(), max: limits::DOMAIN_BYTES });
        }
        let ascii = if text.is_ascii() && !has_a_label(text) {
            text.to_ascii_lowercase()
        } else {
            strict_ascii(text).ok_or(NameFault::DomainIdna)?
        };
        check_labels(&ascii)?;
        Ok(Self(ascii))
    }

    /// The normal form: lower-case A-labels.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn has_a_label(text: &str) -> bool {
    text.split('.').any(|label| label.get(..4).is_some_and(|p| p.eq_ignore_ascii_case("xn--")))
}

/// UTS #46 non-transitional with STD3 rules and CheckHyphens, then refused unless the result maps back to itself.
fn strict_ascii(text: &str) -> Option<String> {
    let uts = idna::uts46::Uts46::new();
    let deny = idna::uts46::AsciiDenyList::STD3;
    let check = idna::uts46::Hyphens::CheckFirstLast;
    let ascii = uts.to_ascii(text.as_bytes(), deny, check, idna::uts46::DnsLength::Verify).ok()?.into_owned();
    let (unicode, whole) = uts.to_unicode(ascii.as_bytes(), deny, check);
    whole.ok()?;
    if unicode.contains(['ß', 'ς', '\u{200c}', '\u{200d}']) && !text.is_ascii() {
        // Deviation characters: two registries read them in two ways. Only the A-label says which is meant, and one
        // such label beside others in Unicode doesn't say it of them.
        return None;
    }
    // A label that claims to be encoded and holds nothing that needed encoding is a disguise (RUSTSEC-2024-0421).
    let honest = ascii.split('.').zip(unicode.split('.')).all(|(a, u)| !a.starts_with("xn--") || !u.is_ascii());
    let again = uts.to_ascii(unicode.as_bytes(), deny, check, idna::uts46::DnsLength::Verify).ok()?;
    (honest && again == ascii).then_some(ascii)
}

fn check_labels(ascii: &str) -> Result<(), NameFault> {
    let labels = ascii.split('.').count();
    if labels < 2 {
        return Err(NameFault::DomainLabels { got: labels });
    }
    for label in ascii.split('.') {
        let ok = !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-');
        if !ok {
            return Err(NameFault::DomainLabel);
        }
    }
    let last = ascii.rsplit('.').next().unwrap_or_default();
    if last.bytes().all(|b| b.is_ascii_digit()) {
        return Err(NameFault::DomainLabel);
    }
    Ok(())
}

/// A mail address, `local@domain`: the local part byte for byte, the domain in normal form (RFC 5321 §4.1.2, [N-2]).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    local: String,
    domain: Domain,
}

impl Address {
    /// Parses a strict addr-spec.
    ///
    /// A quoted local part is taken only where the unquoted form is the same address, and is kept unquoted.
    ///
    /// # Errors
    /// [`NameFault`] for comments, routes, groups, controls, white space, empty or overlong parts.
    pub fn parse(text: &str) -> Result<Self, NameFault> {
        let (local, domain) = text.rsplit_once('@').ok_or(NameFault::NoAt)?;
        Self::from_parts(local, domain)
    }

    fn from_parts(local: &str, domain: &str) -> Result<Self, NameFault> {
        let local = match local.strip_prefix('"') {
            Some(rest) => rest.strip_suffix('"').ok_or(NameFault::LocalPart)?,
            None => local,
        };
        if local.is_empty() || local.len() > limits::LOCAL_PART_BYTES {
            return Err(NameFault::LocalLength { got: local.len(), max: limits::LOCAL_PART_BYTES });
        }
        if !local.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atext)) {
            return Err(NameFault::LocalPart);
        }
        Ok(Self { local: local.to_owned(), domain: Domain::parse(domain)? })
    }

    /// The local part, byte for byte.
    #[must_use]
    pub fn local(&self) -> &str {
        &self.local
    }

    /// The domain.
    #[must_use]
    pub fn domain(&self) -> &Domain {
        &self.domain
    }
}

/// RFC 5322 atext, and what RFC 6532 adds to it, less what hides or reorders text.
fn is_atext(c: char) -> bool {
    match c {
        'a'..='z' | 'A'..='Z' | '0'..='9' => true,
        '!' | '#' | '$' | '%' | '&' | '\'' | '*' | '+' | '-' | '/' | '=' | '?' | '^' | '_' | '`' | '{' | '|' | '}'
        | '~' => true,
        c if c.is_ascii() => false,
        c => !hides_or_reorders(c),
    }
}

/// Controls, separators, bidirectional and zero-width characters: never part of a name that is shown (RFC 8264 §9).
#[must_use]
pub fn hides_or_reorders(c: char) -> bool {
    c.is_control()
        || c.is_whitespace()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// Two addresses that write to each other, ours first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pair {
    /// The address on this node.
    pub ours: Address,
    /// The correspondent's address.
    pub theirs: Address,
}

impl Pair {
    /// The same two, as the other sees them.
    #[must_use]
    pub fn mirrored(&self) -> Self {
        Self { ours: self.theirs.clone(), theirs: self.ours.clone() }
    }
}

/// A local mailbox: the name under which a user's mail is kept on this node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mailbox(pub String);

/// Where a mail goes next: one queue each, and none waits for another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// A mailbox on this node.
    Mailbox(Mailbox),
    /// A domain, by SMTP.
    Domain(Domain),
    /// A node that we have a line to, by link.
    Node(NodeKey),
}

/// The host's handle of one connection between two nodes. Never reused within a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// The host's handle of one connection between a device and its node. Never reused within a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

macro_rules! text_id {
    ($($name:ident: $err:ty),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(&self.text()) }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(&self.text()) }
        }
        impl TryFrom<&str> for $name {
            type Error = $err;
            fn try_from(text: &str) -> Result<Self, $err> { Self::parse(text) }
        }
        impl core::str::FromStr for $name {
            type Err = $err;
            fn from_str(text: &str) -> Result<Self, $err> { Self::parse(text) }
        }
    )*};
}
text_id!(Domain: NameFault, Address: NameFault);

impl Domain {
    fn text(&self) -> String {
        self.0.clone()
    }
}
impl Address {
    fn text(&self) -> String {
        format!("{}@{}", self.local, self.domain.0)
    }
}
impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} and {}", self.ours, self.theirs)
    }
}
impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mailbox(name) => write!(f, "mailbox {name}"),
            Self::Domain(domain) => write!(f, "domain {domain}"),
            Self::Node(nk) => write!(f, "node {nk}"),
        }
    }
}
impl fmt::Display for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

const fn hex_digit(four_bits: u8) -> u8 {
    if four_bits < 10 { b'0' + four_bits } else { b'a' + four_bits - 10 }
}

macro_rules! byte_id {
    ($($(#[$doc:meta])* $name:ident($len:literal);)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $len]);

        impl $name {
            /// How many bytes it has.
            pub const LEN: usize = $len;

            /// Reads it from lower- or upper-case hex.
            ///
            /// # Errors
            /// [`NameFault::Hex`] where `text` isn't exactly that.
            pub fn parse(text: &str) -> Result<Self, NameFault> {
                let mut bytes = [0; $len];
                let digits = text.as_bytes();
                if digits.len() != 2 * $len { return Err(NameFault::Hex { digits: 2 * $len }); }
                for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
                    let pair = core::str::from_utf8(pair).map_err(|_| NameFault::Hex { digits: 2 * $len })?;
                    if pair.starts_with('+') { return Err(NameFault::Hex { digits: 2 * $len }); }
                    *byte = u8::from_str_radix(pair, 16).map_err(|_| NameFault::Hex { digits: 2 * $len })?;
                }
                Ok(Self(bytes))
            }
        }
        impl TryFrom<&[u8]> for $name {
            type Error = NameFault;
            fn try_from(bytes: &[u8]) -> Result<Self, NameFault> {
                bytes.try_into().map(Self).map_err(|_| NameFault::Bytes { got: bytes.len(), want: $len })
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                // In one piece: records are filed under such names, some for each message.
                let mut text = [0; 2 * $len];
                for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
                    pair.copy_from_slice(&[hex_digit(byte >> 4), hex_digit(byte & 15)]);
                }
                f.write_str(core::str::from_utf8(&text).map_err(|_| fmt::Error)?)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { fmt::Display::fmt(self, f) }
        }
    )*};
}

byte_id! {
    /// One mail on this node, from its arrival to its end. Random where we took it from a person or a stranger;
    /// derived from peer and [`CarryId`] where a link brought it, so that a peer can't choose it.
    MailId(16);
    /// What the sending node calls an express mail, on every carrier.
    CarryId(16);
    /// SHA-256 of something.
    Hash(32);
    /// A node's public key (NK), Ed25519.
    NodeKey(32);
    /// A nonce of 128 bits.
    Nonce(16);
    /// A person's public key (AK), Ed25519: held by their devices, it signs their device list.
    AddressKey(32);
    /// A device's public key (DK), Ed25519: it never leaves the device, and is its leaf in MLS.
    DeviceKey(32);
    /// A person, through all changes of address and key: hash of their first AK.
    Identity(32);
    /// A conversation; also the id of its MLS group.
    ConversationId(32);
    /// What an author calls something that they said: the same however often it is sealed, and for all who read it.
    ContentId(32);
    /// What stands for a device within one conversation, for those who route: nothing that it is known by elsewhere.
    DeviceTag(8);
}

impl Hash {
    /// Its first half: a salt, where 16 bytes are wanted that nobody can guess.
    #[must_use]
    pub fn half(&self) -> [u8; 16] {
        let mut half = [0; 16];
        half.iter_mut().zip(self.0).for_each(|(to, from)| *to = from);
        half
    }
}

/// A body that the host holds: its hash and length in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobRef {
    /// SHA-256 of the bytes.
    pub sha256: Hash,
    /// How many bytes.
    pub len: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_has_one_normal_form() {
        assert_eq!(Domain::parse("B.Example").unwrap().as_str(), "b.example");
        assert_eq!(Domain::parse("bücher.example").unwrap().as_str(), "xn--bcher-kva.example");
        assert_eq!(Domain::parse("XN--bcher-KVA.example").unwrap().as_str(), "xn--bcher-kva.example");
    }

    /// [N-1]
    #[test]
    fn t_016_fake_a_labels_and_odd_domains_are_refused() {
        for bad in [
            "xn--example-.example",
            "xn--a.example",
            "xn--.example",
            "example",
            "",
            "a..b",
            "-a.b",
            "a-.b",
            "a_b.c",
            "[127.0.0.1]",
            "127.0.0.1",
            "a.b.",
            "a b.c",
            "a\0.b",
            "ex\u{202e}ample.com",
            "xn--abc-.com",
            "faß.de",
            "xn--bcher-kva.faß.de",
            "１.com/x",
        ] {
            assert!(Domain::parse(bad).is_err(), "{bad:?} was taken for a domain");
        }
    }

    /// [N-2]
    #[test]
    fn t_018_address_tricks_are_refused() {
        for bad in [
            "",
            "@",
            "a@",
            "@b.example",
            "\"\"@b.example",
            "\"a b\"@b.example",
            "a(c)@b.example",
            "<a@b.example>",
            "a@b.example@",
            "@x:a@b.example",
            "g:a@b.example;",
            "a\t@b.example",
            "a\0@b.example",
            ".a@b.example",
            "a..b@b.example",
            "\"a\"b@b.example",
            "\"@b.example",
            "a@b.example\r\n",
            "a@[1.2.3.4]",
            "a\u{202e}@b.example",
        ] {
            assert!(Address::parse(bad).is_err(), "{bad:?} was taken for an address");
        }
        assert!(Address::parse(&format!("{}@b.example", "a".repeat(65))).is_err());
    }

    /// [N-3]
    #[test]
    fn the_local_part_is_kept_byte_for_byte() {
        let a = Address::parse("John.Doe+x@B.example").unwrap();
        assert_eq!(a.to_string(), "John.Doe+x@b.example");
        assert_eq!(Address::parse("\"john\"@b.example").unwrap(), Address::parse("john@b.example").unwrap());
        assert_ne!(Address::parse("John@b.example").unwrap(), Address::parse("john@b.example").unwrap());
    }

    #[test]
    fn hex_ids_round_trip_and_refuse_the_rest() {
        let id = Nonce([0xab; 16]);
        assert_eq!(Nonce::parse(&id.to_string()).unwrap(), id);
        assert_eq!(DeviceTag([0, 1, 9, 10, 0x0f, 0x90, 0xa9, 0xff]).to_string(), "0001090a0f90a9ff");
        for bad in ["", "ab", &"+1".repeat(16), &"ag".repeat(16)] {
            assert!(Nonce::parse(bad).is_err());
        }
    }
}
