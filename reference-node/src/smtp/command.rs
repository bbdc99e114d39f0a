//! One command line, read strictly: each byte is read once, by one reader, and nothing is guessed (RFC 5321 §4.1.1).
//!
//! General SMTP parsers drop stray CRs, strip source routes, unquote, and read `<postmaster>` and `<>` as one. Here a
//! line means one thing or is refused. Two habits of honest clients are allowed: space at the line's end and after the
//! colon of `FROM:` and `TO:`.

use postline_core::id::Address;
use postline_core::limits::DOMAIN_BYTES;

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    /// A greeting that wants extensions named.
    Ehlo(&'a str),
    /// A greeting of the old kind.
    Helo(&'a str),
    /// LMTP's greeting (RFC 2033 §4.1).
    Lhlo(&'a str),
    /// A mail begins.
    Mail(Sender),
    /// One more recipient.
    Rcpt(Recipient),
    /// The mail's bytes follow.
    Data,
    /// Forget the mail begun.
    Rset,
    /// Nothing.
    Noop,
    /// Does this address exist? Nobody is told.
    Vrfy,
    /// Where is this explained?
    Help,
    /// The end.
    Quit,
    /// Go on under TLS.
    StartTls,
    /// A login, with the first message where it came along.
    Auth(Mechanism, Option<&'a str>),
}

/// The `MAIL` command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    /// The envelope sender; `None` is the null return path.
    pub address: Option<Address>,
    /// How many bytes the mail will have, in the client's word (RFC 1870); 0 where it says nothing.
    pub size: u64,
    /// Whether the mail may hold UTF-8 in its envelope and header (RFC 6531).
    pub utf8: bool,
}

/// The `RCPT` command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recipient {
    /// An address.
    Address {
        /// Which.
        address: Address,
        /// Whether it was written in ASCII, so that it needs no SMTPUTF8.
        ascii: bool,
    },
    /// `<postmaster>`, without a domain (RFC 5321 §4.5.1).
    Postmaster,
}

/// The SASL mechanisms we know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// RFC 4616.
    Plain,
    /// The old two-question way that some mail programs still need.
    Login,
}

/// Why a line is no command of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Controls, or bytes that are no UTF-8.
    Garbage,
    /// No such verb.
    Unknown,
    /// A verb of RFC 5321 or its extensions that is not offered here.
    NotOffered,
    /// The verb's arguments are not what they must be.
    Arguments,
    /// The sender is no address.
    Sender,
    /// The recipient is no address.
    Recipient,
    /// A parameter that is unknown, malformed, or said twice.
    Parameter,
    /// Non-ASCII in an address without SMTPUTF8.
    NeedsUtf8,
    /// No such SASL mechanism here.
    Mechanism,
}

impl Fault {
    /// What the client hears of it.
    #[must_use]
    pub const fn reply(self) -> &'static str {
        match self {
            Self::Garbage => "500 5.5.2 Controls or bad UTF-8 in a command",
            Self::Unknown => "500 5.5.1 Unknown command",
            Self::NotOffered => "502 5.5.1 Not offered here",
            Self::Arguments => "501 5.5.4 Bad arguments",
            Self::Sender => "553 5.1.7 Bad sender address",
            Self::Recipient => "553 5.1.3 Bad recipient address",
            Self::Parameter => "555 5.5.4 Bad or unknown parameter",
            Self::NeedsUtf8 => "553 5.6.7 Address needs SMTPUTF8",
            Self::Mechanism => "504 5.5.4 Unknown mechanism",
        }
    }
}

impl<'a> Command<'a> {
    /// Reads a line, its CRLF taken off.
    ///
    /// # Errors
    /// A [`Fault`] for every line that is not exactly a command.
    pub fn parse(line: &'a [u8]) -> Result<Self, Fault> {
        let text = core::str::from_utf8(line).map_err(|_| Fault::Garbage)?.trim_end_matches(' ');
        if text.chars().any(char::is_control) {
            return Err(Fault::Garbage);
        }
        let (verb, rest) = text.split_once(' ').unwrap_or((text, ""));
        match verb.to_ascii_uppercase().as_str() {
            "EHLO" => host(rest).map(Self::Ehlo),
            "HELO" => host(rest).map(Self::Helo),
            "LHLO" => host(rest).map(Self::Lhlo),
            "MAIL" => mail(rest).map(Self::Mail),
            "RCPT" => rcpt(rest).map(Self::Rcpt),
            "AUTH" => auth(rest),
            "DATA" => alone(rest, Self::Data),
            "RSET" => alone(rest, Self::Rset),
            "QUIT" => alone(rest, Self::Quit),
            "STARTTLS" => alone(rest, Self::StartTls),
            "NOOP" => Ok(Self::Noop),
            "HELP" => Ok(Self::Help),
            "VRFY" if rest.is_empty() => Err(Fault::Arguments),
            "VRFY" => Ok(Self::Vrfy),
            "BDAT" | "EXPN" | "ETRN" | "ATRN" | "BURL" | "TURN" | "SEND" | "SOML" | "SAML" => Err(Fault::NotOffered),
            _ => Err(Fault::Unknown),
        }
    }
}

fn alone<'a>(rest: &str, command: Command<'a>) -> Result<Command<'a>, Fault> {
    if rest.is_empty() { Ok(command) } else { Err(Fault::Arguments) }
}

/// What a client calls itself: a name or an address literal. Nobody believes it, but it is written into `Received`, so
/// it holds nothing that has a meaning there (attack 22).
fn host(rest: &str) -> Result<&str, Fault> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':' | b'[' | b']');
    if (1..=DOMAIN_BYTES).contains(&rest.len()) && rest.bytes().all(fits) { Ok(rest) } else { Err(Fault::Arguments) }
}

fn mail(rest: &str) -> Result<Sender, Fault> {
    let (path, parameters) = path(rest, "FROM:")?;
    let address = match path {
        "" => None,
        some => Some(Address::parse(some).map_err(|_| Fault::Sender)?),
    };
    let (mut size, mut utf8) = (0, false);
    let mut said = Vec::new();
    for parameter in parameters {
        let (key, value) = match parameter.split_once('=') {
            Some((key, value)) => (key.to_ascii_uppercase(), Some(value)),
            None => (parameter.to_ascii_uppercase(), None),
        };
        match (key.as_str(), value) {
            ("SIZE", Some(digits)) => size = parse_size(digits)?,
            ("SMTPUTF8", None) => utf8 = true,
            ("BODY", Some(body)) if body.eq_ignore_ascii_case("7BIT") || body.eq_ignore_ascii_case("8BITMIME") => {}
            // Whom the submitter vouches for (RFC 4954 §5). Nothing here trusts it.
            ("AUTH", Some(someone)) if !someone.is_empty() && someone.is_ascii() => {}
            _ => return Err(Fault::Parameter),
        }
        if said.contains(&key) {
            return Err(Fault::Parameter);
        }
        said.push(key);
    }
    if !utf8 && !path.is_ascii() {
        return Err(Fault::NeedsUtf8);
    }
    Ok(Sender { address, size, utf8 })
}

/// 1 to 20 digits (RFC 1870 §3); more than fits is more than any limit.
fn parse_size(digits: &str) -> Result<u64, Fault> {
    if !(1..=20).contains(&digits.len()) || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Fault::Parameter);
    }
    Ok(digits.parse().unwrap_or(u64::MAX))
}

fn rcpt(rest: &str) -> Result<Recipient, Fault> {
    let (path, mut parameters) = path(rest, "TO:")?;
    if parameters.next().is_some() {
        return Err(Fault::Parameter);
    }
    if path.eq_ignore_ascii_case("postmaster") {
        return Ok(Recipient::Postmaster);
    }
    let address = Address::parse(path).map_err(|_| Fault::Recipient)?;
    Ok(Recipient::Address { address, ascii: path.is_ascii() })
}

/// What stands between the angle brackets, and the parameters behind them.
fn path<'a>(rest: &'a str, keyword: &str) -> Result<(&'a str, impl Iterator<Item = &'a str>), Fault> {
    let (head, tail) = rest.split_at_checked(keyword.len()).ok_or(Fault::Arguments)?;
    if !head.eq_ignore_ascii_case(keyword) {
        return Err(Fault::Arguments);
    }
    let inner = tail.trim_start_matches(' ').strip_prefix('<').ok_or(Fault::Arguments)?;
    let (path, parameters) = inner.split_once('>').ok_or(Fault::Arguments)?;
    if !parameters.is_empty() && !parameters.starts_with(' ') {
        return Err(Fault::Arguments);
    }
    Ok((path, parameters.split(' ').filter(|word| !word.is_empty())))
}

fn auth(rest: &str) -> Result<Command<'_>, Fault> {
    let (name, first) = match rest.split_once(' ') {
        Some((name, first)) => (name, Some(first)),
        None => (rest, None),
    };
    if first.is_some_and(|first| first.is_empty() || first.contains(' ')) {
        return Err(Fault::Arguments);
    }
    let mechanism = match name.to_ascii_uppercase().as_str() {
        "" => return Err(Fault::Arguments),
        "PLAIN" => Mechanism::Plain,
        "LOGIN" => Mechanism::Login,
        _ => return Err(Fault::Mechanism),
    };
    Ok(Command::Auth(mechanism, first))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sender(line: &str) -> Result<Sender, Fault> {
        let command = Command::parse(line.as_bytes())?;
        let Command::Mail(sender) = command else { panic!("{line:?} was read as {command:?}") };
        Ok(sender)
    }

    #[test]
    fn a_sender_says_its_size_and_whether_it_needs_utf8() {
        let alice = Some(Address::parse("alice@a.example").unwrap());
        assert_eq!(
            sender("MAIL FROM:<alice@a.example>").unwrap(),
            Sender { address: alice.clone(), size: 0, utf8: false }
        );
        assert_eq!(
            sender("mail from: <alice@A.example> body=8bitmime size=1234 SMTPUTF8 AUTH=<> ").unwrap(),
            Sender { address: alice, size: 1234, utf8: true }
        );
        assert_eq!(sender("MAIL FROM:<>").unwrap().address, None);
        assert_eq!(sender("MAIL FROM:<> SIZE=99999999999999999999").unwrap().size, u64::MAX);
        assert_eq!(sender("MAIL FROM:<ålice@a.example>"), Err(Fault::NeedsUtf8));
        assert_eq!(sender("MAIL FROM:<ålice@a.example> SMTPUTF8").unwrap().address.unwrap().local(), "ålice");
    }

    #[test]
    fn postmaster_without_a_domain_is_a_recipient_and_no_sender() {
        assert_eq!(Command::parse(b"RCPT TO:<Postmaster>"), Ok(Command::Rcpt(Recipient::Postmaster)));
        assert_eq!(sender("MAIL FROM:<postmaster>"), Err(Fault::Sender));
    }

    #[test]
    fn t_018_paths_that_readers_read_in_two_ways_are_refused() {
        for (bad, why) in [
            ("MAIL FROM:<@relay.example:a@b.example>", Fault::Sender),
            ("MAIL FROM:<a@b.example", Fault::Arguments),
            ("MAIL FROM:a@b.example", Fault::Arguments),
            ("MAIL FROM:<<a@b.example>>", Fault::Arguments),
            ("MAIL FROM:<a@b.example>SIZE=1", Fault::Arguments),
            ("MAIL FROM:<\"a b\"@b.example>", Fault::Sender),
            ("MAIL FROM:<\"\"@b.example>", Fault::Sender),
            ("MAIL FROM:<a@b.example> SIZE=", Fault::Parameter),
            ("MAIL FROM:<a@b.example> SIZE=-1", Fault::Parameter),
            ("MAIL FROM:<a@b.example> SIZE=1 SIZE=2", Fault::Parameter),
            ("MAIL FROM:<a@b.example> BODY=BINARYMIME", Fault::Parameter),
            ("MAIL FROM:<a@b.example> RET=FULL", Fault::Parameter),
            ("MAIL FROM : <a@b.example>", Fault::Arguments),
            ("MAIL", Fault::Arguments),
            ("RCPT TO:<>", Fault::Recipient),
            ("RCPT TO:<a@[127.0.0.1]>", Fault::Recipient),
            ("RCPT TO:<a@b.example> NOTIFY=NEVER", Fault::Parameter),
            ("RCPT FROM:<a@b.example>", Fault::Arguments),
            ("RCPT TO:<a@b.example\r>", Fault::Garbage),
            ("RCPT TO:<a\0@b.example>", Fault::Garbage),
        ] {
            assert_eq!(Command::parse(bad.as_bytes()), Err(why), "{bad:?}");
        }
    }

    #[test]
    fn verbs_that_take_no_argument_take_none() {
        for verb in ["DATA", "RSET", "QUIT", "STARTTLS"] {
            assert!(Command::parse(verb.to_ascii_lowercase().as_bytes()).is_ok(), "{verb}");
            assert!(Command::parse(format!("{verb}  ").as_bytes()).is_ok(), "{verb}");
            assert_eq!(Command::parse(format!("{verb} now").as_bytes()), Err(Fault::Arguments));
        }
        assert_eq!(Command::parse(b"BDAT 3 LAST"), Err(Fault::NotOffered));
        assert_eq!(Command::parse(b""), Err(Fault::Unknown));
        assert_eq!(Command::parse(b"\xff\xfe"), Err(Fault::Garbage));
    }

    #[test]
    fn t_022_a_greeting_holds_nothing_that_received_would_read() {
        for good in ["mx.example", "localhost", "[192.0.2.1]", "[IPv6:2001:db8::1]", "my_pc"] {
            assert_eq!(Command::parse(format!("EHLO {good}").as_bytes()), Ok(Command::Ehlo(good)));
        }
        for bad in ["", "a b", "a(b)", "a;b", "<a>", "\"a\"", "a\\b", "bücher.example", "a\u{202e}b"] {
            assert!(Command::parse(format!("EHLO {bad}").as_bytes()).is_err(), "{bad:?}");
        }
        assert!(Command::parse(format!("EHLO {}", "a".repeat(DOMAIN_BYTES + 1)).as_bytes()).is_err());
    }
}
