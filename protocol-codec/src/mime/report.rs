//! A delivery status notification: the mail that tells an author what was not delivered, and why (RFC 3464).
//!
//! The same arguments give the same bytes, so that a report made again after a crash is the same report.

use mail_builder::MessageBuilder;
use mail_builder::headers::content_type::ContentType;
use mail_builder::headers::message_id::MessageId;
use mail_builder::headers::raw::Raw;
use mail_builder::mime::MimePart;
use postline_core::id::{Address, Domain, Hash, MailId};
use postline_core::limits;
use postline_core::store::sha256;
use postline_core::time::Millis;

use super::header::{Loose, is_unclean, loose_fields};
use super::letter::head_len;
use super::text::HeaderText;

/// Renders the report `id` about a mail, `about` (its bytes, or its header section), of which `failed` did not get it,
/// each with the words of the last answer. It says to its reader's programs that no person wrote it.
#[must_use]
pub fn render(
    id: MailId,
    from: &Address,
    to: &Address,
    reporting_mta: &Domain,
    about: &[u8],
    at: Millis,
    failed: &[(Address, String)],
) -> Vec<u8> {
    let failed: Vec<Failed> = failed.iter().map(|(rcpt, why)| Failed::new(rcpt, why)).collect();
    let quoted = quoted_header(about);
    let body = MimePart::new(
        ContentType::new("multipart/report")
            .attribute("report-type", "delivery-status")
            .attribute("boundary", boundary(id, &quoted)),
        vec![
            MimePart::new("text/plain", for_people(reporting_mta, &failed)),
            MimePart::new("message/delivery-status", for_programs(reporting_mta, &failed).into_bytes())
                .transfer_encoding("7bit"),
            MimePart::new("text/rfc822-headers", quoted),
        ],
    );
    let mut mail = MessageBuilder::new()
        .message_id(format!("{id}.report@{reporting_mta}"))
        .date(i64::try_from(at.unix_seconds()).unwrap_or(i64::MAX).min(LAST_DATE))
        .from(("Mail Delivery".to_owned(), from.to_string()))
        .to(to.to_string())
        .subject("Your mail was not delivered")
        .header("Auto-Submitted", Raw::new("auto-replied"))
        .header("MIME-Version", Raw::new("1.0"));
    if let Some(original) = Loose::read(about).message_id {
        mail = mail.in_reply_to(MessageId::new(original.clone())).references(MessageId::new(original));
    }
    let mut bytes = Vec::new();
    mail.body(body).serialize(&mut bytes);
    bytes
}

/// The end of the year 9999, in Unix seconds: the last that a Date field can name.
const LAST_DATE: i64 = 253_402_300_799;

/// One recipient who didn't get the mail.
struct Failed {
    rcpt: String,
    /// Printable ASCII, so that it stands in machine parts as it is.
    why: String,
}

impl Failed {
    fn new(rcpt: &Address, why: &str) -> Self {
        let plain: String = why.chars().map(|c| if c.is_ascii_graphic() { c } else { ' ' }).collect();
        let words: Vec<&str> = plain.split(' ').filter(|word| !word.is_empty()).collect();
        let why = words.join(" ").chars().take(limits::REPORT_REASON_BYTES).collect();
        Self { rcpt: rcpt.to_string(), why }
    }

    /// The enhanced status code of the last answer, where it bears one (RFC 3463); else "permanent, of no known kind".
    fn status(&self) -> &str {
        let words = self.why.split([' ', '-']).skip_while(|word| is_reply_code(word));
        words.take(1).find(|word| is_status(word)).unwrap_or("5.0.0")
    }

    /// RFC 3464 §2.3.2; a local part beyond ASCII as RFC 6533 §3 writes it.
    fn final_recipient(&self) -> String {
        if self.rcpt.is_ascii() {
            return format!("rfc822; {}", self.rcpt);
        }
        let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '\\' | '+' | '=');
        let escape = |c: char| if plain(c) { c.to_string() } else { format!("\\x{{{:02X}}}", u32::from(c)) };
        format!("utf-8; {}", self.rcpt.chars().map(escape).collect::<String>())
    }
}

fn is_reply_code(word: &str) -> bool {
    word.len() == 3 && word.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_status(word: &str) -> bool {
    let parts: Vec<&str> = word.split('.').collect();
    let number = |part: &&str| (1..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
    matches!(parts.as_slice(), ["4" | "5", rest @ ..] if rest.len() == 2 && rest.iter().all(number))
}

fn for_people(reporting_mta: &Domain, failed: &[Failed]) -> String {
    let mut text = format!(
        "This is the mail system at {reporting_mta}.\r\n\r\n\
         Your mail could not be delivered to:\r\n\r\n"
    );
    for one in failed {
        text.push_str(&format!("    {}\r\n        {}\r\n", one.rcpt, one.why));
    }
    text.push_str("\r\nIt will not be tried again. The header of your mail is attached.\r\n");
    text
}

/// RFC 3464 §2.1: fields about the mail, an empty line, then a group of fields for each recipient.
fn for_programs(reporting_mta: &Domain, failed: &[Failed]) -> String {
    let mut text = HeaderText::cleaned(&format!("Reporting-MTA: dns; {reporting_mta}")).folded();
    for one in failed {
        text.push_str("\r\n");
        let mut fields = vec![
            format!("Final-Recipient: {}", one.final_recipient()),
            "Action: failed".to_owned(),
            format!("Status: {}", one.status()),
        ];
        if !one.why.is_empty() {
            fields.push(format!("Diagnostic-Code: smtp; {}", one.why));
        }
        fields.iter().for_each(|field| text.push_str(&HeaderText::cleaned(field).folded()));
    }
    text
}

/// The beginning of the original header, whole fields, with clean line ends and characters.
fn quoted_header(about: &[u8]) -> String {
    let mut quoted = String::new();
    for field in loose_fields(about.get(..head_len(about)).unwrap_or_default()) {
        let text = String::from_utf8_lossy(field);
        let lines = text.split(['\r', '\n']).filter(|line| !line.trim().is_empty());
        let clean: String = lines
            .flat_map(|line| {
                line.chars().map(|c| if c != '\t' && is_unclean(c) { '?' } else { c }).chain("\r\n".chars())
            })
            .collect();
        if quoted.len() + clean.len() > limits::REPORT_HEADER_BYTES {
            break;
        }
        quoted.push_str(&clean);
    }
    quoted
}

/// It depends on what it bounds, so nobody can write a header that holds it.
fn boundary(id: MailId, quoted: &str) -> String {
    let Hash(hash) = sha256(&[b"postline report", &id.0, quoted.as_bytes()]);
    let hex: String = hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("=_{hex}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_taken_from_the_answer_only_where_it_is_one() {
        let rcpt = Address::parse("bob@b.example").unwrap();
        for (why, status) in [
            ("550 5.1.1 no such user", "5.1.1"),
            ("550-5.7.26 not allowed", "5.7.26"),
            ("4.4.7 expired", "4.4.7"),
            ("550 no such user 5.1.1", "5.0.0"),
            ("250 2.0.0 ok", "5.0.0"),
            ("5.1.1.1", "5.0.0"),
            ("", "5.0.0"),
        ] {
            assert_eq!(Failed::new(&rcpt, why).status(), status, "{why:?}");
        }
    }

    #[test]
    fn a_recipient_beyond_ascii_stands_in_a_machine_part() {
        let failed = Failed::new(&Address::parse("jörg@b.example").unwrap(), "");
        assert_eq!(failed.final_recipient(), "utf-8; j\\x{F6}rg@b.example");
    }
}
