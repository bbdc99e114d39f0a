//! A person's address with an `@` in front, as it is typed, mentions them.

use postline_core::client::io::Saying;
use postline_core::content::markdown::mention;
use postline_core::content::part::{Part, Words};
use postline_core::id::{Address, Identity};

/// The same, with mentions where somebody was named: then the text is markdown.
pub(super) fn mentioning(what: Saying, who: &Address, identity: Option<Identity>) -> Saying {
    let Saying::Message { body, answers, topic, expires } = what else { return what };
    let text = if let Some(Words::Plain(text)) = body.words() {
        identity.and_then(|who_is| linked(text, who, who_is))
    } else {
        None
    };
    // Where it is too long with its links, the names are words.
    let body = text.and_then(|text| Part::markdown(&text).ok()).unwrap_or(body);
    Saying::Message { body, answers, topic, expires }
}

/// The text with links where the address is named; `None` where it isn't.
fn linked(text: &str, who: &Address, identity: Identity) -> Option<String> {
    let name = format!("@{who}");
    let link = mention(&who.to_string(), identity);
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '@' | '+');
    let (mut result, mut rest, mut found) = (String::new(), text, false);
    while let Some((before, after)) = rest.split_once(&name) {
        // A longer address, or one within another, is another's; a full stop may end a sentence.
        let longer = after.strip_prefix('.').unwrap_or(after).starts_with(is_part) || before.ends_with(is_part);
        result.push_str(before);
        result.push_str(if longer { &name } else { &link });
        found |= !longer;
        rest = after;
    }
    result.push_str(rest);
    found.then_some(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_named_is_mentioned_and_no_other() {
        let (who, identity) = (Address::parse("two@b.example").unwrap(), Identity([7; 32]));
        let link = mention("two@b.example", identity);
        assert_eq!(linked("ask @two@b.example, please", &who, identity), Some(format!("ask {link}, please")));
        assert_eq!(linked("ask @two@b.example.", &who, identity), Some(format!("ask {link}.")));
        for other in
            ["two@b.example", "@two@b.example.org", "@two@b.examples", "x@two@b.example", "@three@b.example", ""]
        {
            assert_eq!(linked(other, &who, identity), None, "{other}");
        }
        let said = |text: &str| mentioning(Saying::text(text).unwrap(), &who, Some(identity));
        assert_eq!(said("hello"), Saying::text("hello").unwrap());
        assert_eq!(said("@two@b.example"), Saying::message(Part::markdown(&link).unwrap()));
        assert_eq!(
            mentioning(Saying::text("@two@b.example").unwrap(), &who, None),
            Saying::text("@two@b.example").unwrap()
        );
    }
}
