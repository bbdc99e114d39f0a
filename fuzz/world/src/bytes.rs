//! Mails as people's programs write them, and the values that the codec reads in them.

use postline_core::content::mail::{MailEnvelope, MailIn, Rcpt, Source};
use postline_core::id::{Address, BlobRef, Mailbox};
use postline_core::store::sha256;

/// A plain mail.
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
