//! Our strict command reader against a general one: what we take, both read alike.

use postline_core::id::Address;
use postline_node::smtp::command::{Command, Mechanism, Recipient};
use proptest::prelude::*;
use smtp_proto::{AUTH_LOGIN, AUTH_PLAIN, MAIL_SMTPUTF8, Request};

fn agree(line: &str) -> Result<(), TestCaseError> {
    let Ok(ours) = Command::parse(line.as_bytes()) else { return Ok(()) };
    if matches!(ours, Command::Noop | Command::Help | Command::Vrfy) {
        return Ok(()); // What stands behind these is read by nobody here.
    }
    let bytes = format!("{line}\r\n");
    let theirs = Request::parse(&mut bytes.as_bytes().iter());
    let theirs = theirs.map_err(|error| TestCaseError::fail(format!("{line:?}: {ours:?}, but {error:?}")))?;
    let alike = match (&ours, &theirs) {
        (Command::Ehlo(name), Request::Ehlo { host }) | (Command::Helo(name), Request::Helo { host }) => name == host,
        (Command::Mail(sender), Request::Mail { from }) => {
            sender.address == Address::parse(&from.address).ok()
                && (sender.size == from.size as u64 || sender.size == u64::MAX)
                && sender.utf8 == (from.flags & MAIL_SMTPUTF8 != 0)
        }
        (Command::Rcpt(Recipient::Postmaster), Request::Rcpt { to }) => to.address.is_empty(),
        (Command::Rcpt(Recipient::Address { address, .. }), Request::Rcpt { to }) => {
            Address::parse(&to.address).as_ref() == Ok(address)
        }
        (Command::Auth(mechanism, first), Request::Auth { mechanism: theirs, initial_response }) => {
            let same = match mechanism {
                Mechanism::Plain => AUTH_PLAIN,
                Mechanism::Login => AUTH_LOGIN,
            };
            *theirs == same && first.unwrap_or_default() == initial_response
        }
        (Command::Data, Request::Data)
        | (Command::Rset, Request::Rset)
        | (Command::Quit, Request::Quit)
        | (Command::StartTls, Request::StartTls) => true,
        _ => false,
    };
    prop_assert!(alike, "{:?}: {:?}, but {:?}", line, ours, theirs);
    Ok(())
}

/// A verb, and words that are likely behind some verb.
fn line() -> impl Strategy<Value = String> {
    let verb = proptest::sample::select(vec![
        "EHLO ",
        "helo ",
        "MAIL FROM:",
        "mail from: ",
        "RCPT TO:",
        "Rcpt To: ",
        "DATA",
        "RSET",
        "NOOP",
        "HELP",
        "VRFY ",
        "QUIT",
        "STARTTLS",
        "AUTH ",
        "AUTH PLAIN ",
        "MAIL ",
        "RCPT ",
        " ",
        "",
    ]);
    let word = proptest::sample::select(vec![
        " ",
        " ",
        " ",
        "FROM:",
        "TO:",
        "<",
        ">",
        "<>",
        "<alice@a.example>",
        "<bob@B.example>",
        "<\"bob\"@b.example>",
        "<postmaster>",
        "<@r.example:a@b.example>",
        "<å@b.example>",
        " SIZE=",
        "12",
        "99999999999999999999",
        " BODY=8BITMIME",
        " body=7bit",
        " SMTPUTF8",
        " AUTH=<>",
        "PLAIN",
        "LOGIN",
        "=",
        "AGFsaWNlAHRlYQ==",
        "mx.example",
        "[192.0.2.1]",
        "\t",
        "\r",
        "\u{202e}",
        "é",
        "\"",
        "\\",
        ".",
        "@",
        ",",
        ":",
        ";",
    ]);
    (verb, proptest::collection::vec(word, 0..5)).prop_map(|(verb, words)| format!("{verb}{}", words.concat()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn t_018_what_we_take_a_general_parser_reads_alike(line in line()) {
        agree(&line)?;
    }

    #[test]
    fn t_018_senders_and_recipients_are_read_alike(
        mail in any::<bool>(),
        path in prop_oneof!["[a-zA-Z.+\"@<> \\\\:,]{0,12}(@[a-z.-]{1,12})?", "\"?[a-z.+]{1,4}\"?@[a-zA-Z]{1,3}\\.[a-z-]{2,3}"],
        parameters in proptest::sample::subsequence(vec!["SIZE=5", "BODY=8BITMIME", "SMTPUTF8", "AUTH=<>", " "], 0..5),
    ) {
        let verb = if mail { "MAIL FROM:" } else { "RCPT TO:" };
        let parameters: String = parameters.iter().map(|p| format!(" {p}")).collect();
        agree(&format!("{verb}<{path}>{parameters}"))?;
    }
}
