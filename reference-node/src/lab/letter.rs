//! Mails, as plain mail programs write them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// A mail to be submitted.
#[derive(Clone, Debug)]
pub struct Letter {
    /// To whom.
    pub to: String,
    /// The left part of its Message-ID: what it is known by here.
    pub id: String,
    answers: Option<String>,
    attached: Option<Vec<u8>>,
    body_bytes: usize,
}

/// The right part of all Message-IDs here.
const IDS: &str = "demo.example";

impl Letter {
    /// A mail that begins something.
    #[must_use]
    pub fn to(to: &str, id: &str) -> Self {
        Self { to: to.to_owned(), id: id.to_owned(), answers: None, attached: None, body_bytes: 0 }
    }

    /// A mail that answers another.
    #[must_use]
    pub fn answer(to: &str, id: &str, answers: &str) -> Self {
        Self { answers: Some(answers.to_owned()), ..Self::to(to, id) }
    }

    /// A mail with another attached.
    #[must_use]
    pub fn carrying(to: &str, id: &str, attached: &[u8]) -> Self {
        Self { attached: Some(attached.to_vec()), ..Self::to(to, id) }
    }

    /// The same mail, with a text of at least so many bytes.
    #[must_use]
    pub fn of_bytes(self, body_bytes: usize) -> Self {
        Self { body_bytes, ..self }
    }

    /// Its text, where nothing is attached: made of its id alone.
    #[must_use]
    pub fn text(&self) -> String {
        let line = format!("This is {}.\r\n", self.id);
        line.repeat(self.body_bytes.div_ceil(line.len()).max(1))
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self, from: &str) -> Vec<u8> {
        let mut head = format!(
            "From: {from}\r\nTo: {}\r\nSubject: {}\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\nMessage-ID: <{}@{IDS}>\r\n",
            self.to, self.id, self.id
        );
        if let Some(answers) = &self.answers {
            head.push_str(&format!("In-Reply-To: <{answers}@{IDS}>\r\nReferences: <{answers}@{IDS}>\r\n"));
        }
        head.push_str("MIME-Version: 1.0\r\n");
        match &self.attached {
            None => {
                head.push_str("Content-Type: text/plain; charset=utf-8\r\n\r\n");
                head.push_str(&self.text());
                head.into_bytes()
            }
            Some(attached) => with_attachment(head, attached),
        }
    }
}

const BOUNDARY: &str = "=_postline_demo_attachment";

/// A message/rfc822 part may not be encoded (RFC 2046 §5.2.1), so a mail that SMTP can't carry as it is goes as base64 of
/// an application part: what counts is that it arrives byte for byte.
fn with_attachment(mut head: String, attached: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(attached).ok().filter(|text| is_carried_as_it_is(text));
    head.push_str(&format!("Content-Type: multipart/mixed; boundary=\"{BOUNDARY}\"\r\n\r\n--{BOUNDARY}\r\n"));
    head.push_str("Content-Type: text/plain; charset=utf-8\r\n\r\nA mail is attached.\r\n");
    head.push_str(&format!("--{BOUNDARY}\r\n"));
    let mut mail = head;
    match text {
        Some(text) => {
            mail.push_str("Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\n");
            mail.push_str(text);
        }
        None => {
            mail.push_str("Content-Type: application/octet-stream; name=\"attached.eml\"\r\n");
            mail.push_str("Content-Transfer-Encoding: base64\r\n\r\n");
            for line in STANDARD.encode(attached).as_bytes().chunks(76) {
                mail.push_str(&String::from_utf8_lossy(line));
                mail.push_str("\r\n");
            }
        }
    }
    mail.push_str(&format!("\r\n--{BOUNDARY}--\r\n"));
    mail.into_bytes()
}

fn is_carried_as_it_is(text: &str) -> bool {
    let lines_end_well = !text.replace("\r\n", "").contains(['\r', '\n', '\0']);
    lines_end_well && text.split("\r\n").all(|line| line.len() <= 998 && !line.starts_with("--=_postline"))
}

/// The attached mail's bytes.
#[must_use]
pub fn attached(mail: &[u8]) -> Option<Vec<u8>> {
    let plain = find(mail, b"Content-Type: message/rfc822\r\n");
    let part = mail.get(plain.or_else(|| find(mail, b"Content-Type: application/octet-stream"))?..)?;
    let part = part.get(find(part, b"\r\n\r\n")? + 4..)?;
    let part = part.get(..rfind(part, format!("\r\n--{BOUNDARY}--").as_bytes())?)?;
    if plain.is_some() {
        return Some(part.to_vec());
    }
    let letters: Vec<u8> = part.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    STANDARD.decode(letters).ok()
}

fn rfind(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).rposition(|window| window == what)
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// The left part of a mail's Message-ID, where it is one of ours.
#[must_use]
pub fn id_of(mail: &[u8]) -> Option<String> {
    let line = mail.get(find(mail, b"\r\nMessage-ID: <")? + 15..)?;
    let id = line.get(..find(line, b"@demo.example>")?)?;
    String::from_utf8(id.to_vec()).ok()
}
