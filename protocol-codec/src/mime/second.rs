//! The second reader: another parser's reading of the fields that have effect. Where it differs, the mail is inert.
//!
//! It sees the header section only, never a body, and nothing that it says is kept.

use mail_parser::{HeaderName, HeaderValue, Message, MessageParser};
use postline_core::content::mail::Inert;
use postline_core::id::Address;

use super::{Ids, People};

/// Checks that mail-parser finds the same people and message ids.
pub(crate) fn agree(head: &[u8], people: &People, ids: &Ids) -> Result<(), Inert> {
    let parser = MessageParser::new()
        .default_header_ignore()
        .header_address(HeaderName::From)
        .header_address(HeaderName::To)
        .header_address(HeaderName::Cc)
        .header_id(HeaderName::MessageId)
        .header_id(HeaderName::InReplyTo)
        .header_id(HeaderName::References);
    let theirs = parser.parse_headers(head).ok_or(Inert::HeaderLine)?;
    let same_people =
        [(HeaderName::From, &people.from.list), (HeaderName::To, &people.to.list), (HeaderName::Cc, &people.cc.list)]
            .into_iter()
            .all(|(name, list)| addresses(&theirs, name).as_ref() == Some(list));
    let own = vec![ids.message_id.clone()];
    let same_ids = [
        (HeaderName::MessageId, &own),
        (HeaderName::InReplyTo, &ids.in_reply_to),
        (HeaderName::References, &ids.references),
    ]
    .into_iter()
    .all(|(name, list)| message_ids(&theirs, name).as_ref() == Some(list));
    match (same_people, same_ids) {
        (false, _) => Err(Inert::Address),
        (true, false) => Err(Inert::MessageId),
        (true, true) => Ok(()),
    }
}

/// The field's value: `Some(None)` where it is absent or empty, `None` where it stands twice.
fn value<'m>(message: &'m Message<'_>, name: HeaderName<'static>) -> Option<Option<&'m HeaderValue<'m>>> {
    let mut values = message.header_values(name);
    let first = values.next().filter(|value| !matches!(value, HeaderValue::Empty));
    values.next().is_none().then_some(first)
}

fn addresses(message: &Message<'_>, name: HeaderName<'static>) -> Option<Vec<Address>> {
    match value(message, name)? {
        None => Some(Vec::new()),
        Some(HeaderValue::Address(list)) => {
            list.iter().map(|found| Address::parse(found.address.as_deref()?).ok()).collect()
        }
        Some(_) => None,
    }
}

fn message_ids(message: &Message<'_>, name: HeaderName<'static>) -> Option<Vec<String>> {
    match value(message, name)? {
        None => Some(Vec::new()),
        Some(HeaderValue::Text(id)) => Some(vec![id.to_string()]),
        Some(HeaderValue::TextList(list)) => Some(list.iter().map(ToString::to_string).collect()),
        Some(_) => None,
    }
}
