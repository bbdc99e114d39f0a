//! Mails as people's programs write them, and the values that the codec reads in them.

use postline_codec::mime::letter::head_len;
use postline_core::content::mail::{MailEnvelope, MailIn, Rcpt, Source};
use postline_core::id::{Address, BlobRef, Hash, Mailbox};
use postline_core::store::sha256;

/// A plain mail. Its subject is its Message-ID, by which the world recognises it wherever it turns up.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The author.
    pub from: Address,
    /// To whom.
    pub to: Vec<Address>,
    /// Its Message-ID, without angle brackets.
    pub message_id: String,
    /// The mail that it answers.
    pub in_reply_to: Option<String>,
    /// Further header lines, each with CRLF.
    pub more: String,
    /// Its text.
    pub text: String,
}

impl Draft {
    /// A first mail of a person to others.
    #[must_use]
    pub fn new(from: &Address, to: &[Address], id: &str) -> Self {
        Self {
            from: from.clone(),
            to: to.to_vec(),
            message_id: format!("{id}@mail.example"),
            in_reply_to: None,
            more: String::new(),
            text: format!("this is {id}"),
        }
    }

    /// The same mail, as the answer to another.
    #[must_use]
    pub fn answering(mut self, message_id: &str) -> Self {
        self.in_reply_to = Some(message_id.to_owned());
        self
    }

    /// The same mail, as a program sends it that nobody told to.
    #[must_use]
    pub fn automatic(mut self) -> Self {
        self.more.push_str("Auto-Submitted: auto-replied\r\n");
        self
    }

    /// Whether no person wrote it.
    #[must_use]
    pub fn is_automatic(&self) -> bool {
        self.more.contains("Auto-Submitted")
    }

    /// The same mail, its text this many bytes long.
    #[must_use]
    pub fn of_size(mut self, bytes: usize) -> Self {
        let line = "all work and no play makes a mail a long one\r\n";
        self.text = line.repeat(bytes / line.len() + 1);
        self
    }

    /// The bytes that a mail program would submit.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let to: Vec<String> = self.to.iter().map(ToString::to_string).collect();
        let mut mail = format!(
            "From: {}\r\nTo: {}\r\nSubject: {}\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\nMessage-ID: <{}>\r\n",
            self.from,
            to.join(", "),
            self.message_id,
            self.message_id
        );
        if let Some(answered) = &self.in_reply_to {
            mail.push_str(&format!("In-Reply-To: <{answered}>\r\nReferences: <{answered}>\r\n"));
        }
        mail.push_str(&self.more);
        mail.push_str("MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n");
        mail.push_str(&self.text);
        mail.push_str("\r\n");
        mail.into_bytes()
    }
}

/// The reference under which a host would file these bytes.
#[must_use]
pub fn blob_of(bytes: &[u8]) -> BlobRef {
    BlobRef { sha256: sha256(&[bytes]), len: bytes.len() as u64 }
}

/// A mail as a host hands it to the machine.
#[must_use]
pub fn mail_in(bytes: &[u8], source: Source, from: Option<Address>, to: Vec<Rcpt>) -> MailIn {
    MailIn {
        source,
        envelope: MailEnvelope { from, to },
        head: postline_codec::mime::scan(bytes),
        blob: blob_of(bytes),
        received: String::new(),
    }
}

/// The mailbox of an address in this world: its local part, without a tag.
#[must_use]
pub fn mailbox_of(address: &Address) -> Mailbox {
    Mailbox(address.local().split('+').next().unwrap_or_default().to_owned())
}

/// The fields of a mail's header as they stand, folds, line ends and all.
pub fn fields(mail: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = mail.split_at(head_len(mail)).0;
    std::iter::from_fn(move || {
        let mut end = 0;
        loop {
            let line = rest.get(end..)?.iter().position(|byte| *byte == b'\n')? + 1;
            end += line;
            if !matches!(rest.get(end), Some(b' ' | b'\t')) {
                break;
            }
        }
        let (field, after) = rest.split_at_checked(end)?;
        rest = after;
        (field != b"\r\n").then_some(field)
    })
}

/// A field's name, in lower case.
#[must_use]
pub fn name_of(field: &[u8]) -> String {
    let name = field.split(|byte| *byte == b':').next().unwrap_or_default();
    String::from_utf8_lossy(name).to_ascii_lowercase()
}

/// The text of the first field with this name, unfolded.
#[must_use]
pub fn field_text(mail: &[u8], name: &str) -> Option<String> {
    let field = fields(mail).find(|field| name_of(field) == name)?;
    let (_, text) = field.split_at_checked(name.len() + 1)?;
    Some(String::from_utf8_lossy(text).replace("\r\n", "").trim().to_owned())
}

/// What people see that a mail is: its subject, without what a list put before it.
#[must_use]
pub fn marker_of(mail: &[u8]) -> Option<String> {
    let subject = field_text(mail, "subject")?;
    subject.split(' ').next_back().map(str::to_owned)
}

/// What a DKIM signature over everything that matters would cover.
#[must_use]
pub fn dkim_hash(mail: &[u8]) -> Hash {
    let mut covered = Vec::new();
    for field in fields(mail).filter(|field| SIGNED.contains(&name_of(field).as_str())) {
        covered.extend_from_slice(field);
    }
    let mut body = mail.split_at(head_len(mail)).1;
    while let Some(shorter) = body.strip_suffix(b"\r\n") {
        body = shorter;
    }
    sha256(&[&covered, b"\r\n", body])
}

/// The fields that every node of this world signs.
pub const SIGNED: [&str; 11] = [
    "from",
    "to",
    "cc",
    "date",
    "in-reply-to",
    "references",
    "message-id",
    "subject",
    "postline-offer",
    "postline-accept",
    "postline-id",
];
