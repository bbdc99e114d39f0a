//! Mail: what a header says, and how mails of ours are written.
//!
//! ```text
//!            ┌ not ours to judge: shown, filed, no effect ──────────▶ Verdict::Inert(why)
//!   bytes ──scan──▶ line ends ─▶ header ─▶ fields ─▶ structure ─▶ second reader ─▶ Verdict::Canonical(values)
//! ```
//!
//! Two readers of one mail must not differ in what they find, so [`scan`] takes only what has one reading and calls the
//! rest inert ([F-1]). It is bounded, reads every byte a fixed number of times, does not recurse, and never looks into an
//! attached mail. Deciding what a canonical mail means is the core's; sockets and files are the node's.

mod address;
mod content_type;
pub mod field;
mod header;
pub mod letter;
mod message_id;
pub mod name;
pub mod report;
pub mod sealed;
mod second;
pub mod streaming;
mod structure;
pub mod text;

use std::collections::BTreeSet;

use postline_core::content::mail::{Automatic, Canonical, Head, Inert, Tags, Verdict};
use postline_core::id::Hash;
use postline_core::limits;
use postline_core::store::sha256;

pub use letter::authors;

use address::AddressList;
use field::FieldName;
use header::{Header, Lines, first_word};

/// Reads what a mail's header says, and whether that has one reading only.
///
/// `message_id` and `hops` are read as well as they can be where the mail is inert.
#[must_use]
pub fn scan(bytes: &[u8]) -> Head {
    let verdict = match read(bytes) {
        Ok(canonical) => Verdict::Canonical(Box::new(canonical)),
        Err(why) => Verdict::Inert(why),
    };
    let loose = header::Loose::read(bytes);
    Head { message_id: loose.message_id, hops: loose.hops, verdict }
}

fn read(bytes: &[u8]) -> Result<Canonical, Inert> {
    if bytes.len() as u64 > limits::MAIL_BYTES {
        return Err(Inert::Bound);
    }
    check_line_ends(bytes)?;
    let mut lines = Lines::new(bytes);
    let header = Header::read(&mut lines, |_| false)?;
    let (head, body) = bytes.split_at_checked(lines.at()).ok_or(Inert::Bound)?;
    let (mut canonical, top) = read_head(&header, head, || Ok(structure::walk(&header, &mut lines)?.has_report))?;
    canonical.content = content(&top, body);
    Ok(canonical)
}

/// What a header says, its content hash left open; and what that hash begins with. `has_report` looks at the parts.
fn read_head(
    header: &Header<'_>,
    head: &[u8],
    has_report: impl FnOnce() -> Result<bool, Inert>,
) -> Result<(Canonical, String), Inert> {
    let people = People::read(header)?;
    let ids = Ids::read(header)?;
    let date = header.at_most_one("Date")?.ok_or(Inert::Missing)?;
    let subject = header.at_most_one("Subject")?;
    let offer = tags(header, FieldName::Offer)?;
    let accept = tags(header, FieldName::Accept)?;
    let carried = tags(header, FieldName::Id)?;
    let has_report = has_report()?;
    second::agree(head, &people, &ids)?;

    let to_cc: BTreeSet<_> = people.to.list.iter().chain(&people.cc.list).cloned().collect();
    let [from] = <[_; 1]>::try_from(people.from.list).map_err(|_| Inert::Address)?;
    let top = format!("{}\r\n{}\r\n", date.text(), subject.map(|field| field.text()).unwrap_or_default());
    let canonical = Canonical {
        from,
        has_group: people.to.has_group || people.cc.has_group,
        answers: ids.answers(),
        message_id: ids.message_id,
        automatic: automatic(header, has_report, to_cc.len()),
        to_cc,
        offer,
        accept,
        carried,
        content: Hash([0; 32]),
    };
    Ok((canonical, top))
}

/// The tree of a mail's parts, top down, for who compares readers: of each how deep it lies, and its boundary where it has
/// parts. `None` where its structure has more than one reading.
#[must_use]
pub fn outline(bytes: &[u8]) -> Option<Vec<(usize, Option<String>)>> {
    let mut lines = Lines::new(bytes);
    let header = Header::read(&mut lines, |_| false).ok()?;
    let mut parts = Vec::new();
    let tell = |depth, boundary: Option<&str>| parts.push((depth, boundary.map(str::to_owned)));
    structure::walk_and_tell(&header, &mut lines, tell).ok()?;
    Some(parts)
}

/// The address fields. All are checked; the protocol reads three.
struct People {
    from: AddressList,
    to: AddressList,
    cc: AddressList,
}

impl People {
    fn read(header: &Header<'_>) -> Result<Self, Inert> {
        let from = header.at_most_one("From")?.ok_or(Inert::Missing)?;
        let from = AddressList::parse(&from.text())?;
        if from.has_group || from.list.len() != 1 {
            return Err(Inert::Address);
        }
        let list = |name| match header.at_most_one(name)? {
            Some(field) => AddressList::parse(&field.text()),
            None => Ok(AddressList::default()),
        };
        let (to, cc, sender, reply_to) = (list("To")?, list("Cc")?, list("Sender")?, list("Reply-To")?);
        if sender.has_group || sender.list.len() > 1 {
            return Err(Inert::Address);
        }
        let all = from.list.len() + to.list.len() + cc.list.len() + sender.list.len() + reply_to.list.len();
        if all > limits::HEADER_ADDRESSES {
            return Err(Inert::Bound);
        }
        Ok(Self { from, to, cc })
    }
}

/// The message ids, in the order of their fields.
struct Ids {
    message_id: String,
    in_reply_to: Vec<String>,
    references: Vec<String>,
}

impl Ids {
    fn read(header: &Header<'_>) -> Result<Self, Inert> {
        let own = header.at_most_one("Message-ID")?.ok_or(Inert::Missing)?;
        let list = |name| match header.at_most_one(name)? {
            Some(field) => message_id::list(&field.text()),
            None => Ok(Vec::new()),
        };
        Ok(Self {
            message_id: message_id::one(&own.text())?,
            in_reply_to: list("In-Reply-To")?,
            references: list("References")?,
        })
    }

    /// In-Reply-To, then References from the newest on; none twice.
    fn answers(&self) -> Vec<String> {
        let mut seen = BTreeSet::new();
        let newest_first = self.in_reply_to.iter().chain(self.references.iter().rev());
        newest_first.filter(|id| seen.insert(id.as_str())).take(limits::REFERENCES).cloned().collect()
    }
}

fn tags(header: &Header<'_>, name: FieldName) -> Result<Option<Tags>, Inert> {
    let field = header.at_most_one(name.as_str())?;
    field.map(|field| field::parse(&field.text())).transpose().map_err(|_| Inert::Field)
}

/// CR and LF only as CRLF, no NUL: the one line end that all readers and relays agree on (attacks 19, 24).
fn check_line_ends(bytes: &[u8]) -> Result<(), Inert> {
    let mut before = 0;
    for &byte in bytes {
        if byte == 0 || (byte == b'\n') != (before == b'\r') {
            return Err(Inert::LineEnds);
        }
        before = byte;
    }
    if before == b'\r' { Err(Inert::LineEnds) } else { Ok(()) }
}

/// The first sign of a mail that no person wrote to a person, in the order of [`Automatic`].
fn automatic(header: &Header<'_>, has_report: bool, recipients: usize) -> Option<Automatic> {
    let says = |name, judge: fn(&str) -> bool| header.all(name).any(|field| judge(first_word(&field.text())));
    let starts = |prefix| header.fields().any(|field| field.starts_with(prefix));
    if says("Auto-Submitted", |word| !word.eq_ignore_ascii_case("no")) {
        return Some(Automatic::AutoSubmitted);
    }
    let bulk = |word: &str| ["bulk", "list", "junk"].iter().any(|sign| word.eq_ignore_ascii_case(sign));
    if says("Precedence", bulk) {
        return Some(Automatic::Precedence);
    }
    if starts("List-") {
        return Some(Automatic::List);
    }
    if has_report {
        return Some(Automatic::Report);
    }
    if says("X-Autoreply", |_| true) || says("X-Autorespond", |_| true) {
        return Some(Automatic::Autoreply);
    }
    if starts("Resent-") {
        return Some(Automatic::Resent);
    }
    (recipients > limits::OFFER_RECIPIENTS).then_some(Automatic::ManyRecipients)
}

/// What a `Postline-Id` vouches for ([F-4]): a relay adds fields on top and empty lines below, and this stays.
fn content(top: &str, body: &[u8]) -> Hash {
    let mut body = body;
    while let Some(shorter) = body.strip_suffix(b"\r\n") {
        body = shorter;
    }
    sha256(&[top.as_bytes(), body])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends_come_in_pairs() {
        for good in ["", "a", "\r\n", "a\r\n\r\nb"] {
            assert_eq!(check_line_ends(good.as_bytes()), Ok(()), "{good:?}");
        }
        for bad in ["\n", "\r", "a\rb", "a\nb", "\n\r", "\r\r\n", "\r\n\n", "a\r", "a\0"] {
            assert_eq!(check_line_ends(bad.as_bytes()), Err(Inert::LineEnds), "{bad:?}");
        }
    }
}
