//! What was done to a conversation, as it is shown: pins, mentions, how reading is told.

use postline_core::client::io::{Pinned, Policy, Words};
use postline_core::content::markdown::named;
use postline_core::content::part::{Part, Words as Text};
use postline_core::id::{Address, ConversationId};
use postline_core::wire::content::Content;
use serde_json::{Value, json};

use super::{TEXT_BYTES, of_shown, shown_words};
use crate::shown::{ADDRESS_BYTES, shown};

/// What is pinned, for programs.
pub(super) fn of_pins(conversation: ConversationId, pinned: &[Pinned]) -> Value {
    let of =
        |pin: &Pinned| json!({ "by": pin.by.as_ref().map(ToString::to_string), "message": of_shown(&pin.message) });
    json!({ "conversation": conversation.to_string(), "pinned": pinned.iter().map(of).collect::<Vec<_>>() })
}

/// The same for people, the last first pinned on top.
pub(super) fn text_of_pins(pinned: &[Pinned]) -> String {
    let line = |pin: &Pinned| {
        let words = match &pin.message.now {
            Words::Are { content, .. } => shown_words(content),
            Words::Retracted | Words::Removed { .. } | Words::Expired => String::new(),
        };
        let author = shown(&pin.message.author.address.to_string(), ADDRESS_BYTES);
        format!("^ {} {author}> {words}{}", pin.message.seq, by(pin.by.as_ref()))
    };
    if pinned.is_empty() {
        "* nothing is pinned".to_owned()
    } else {
        pinned.iter().map(line).collect::<Vec<_>>().join("\n")
    }
}

/// That a message is pinned now, or isn't.
pub(super) fn text_of_pin(seq: u64, who: Option<&Address>, pinned: bool) -> String {
    format!("^ {seq} is {}{}", if pinned { "pinned" } else { "pinned no more" }, by(who))
}

fn by(who: Option<&Address>) -> String {
    who.map_or_else(String::new, |who| format!(" (by {})", shown(&who.to_string(), ADDRESS_BYTES)))
}

/// The name of a policy.
pub(super) const fn policy_word(policy: Policy) -> &'static str {
    match policy {
        Policy::Required => "required",
        Policy::Optional => "optional",
        Policy::Forbidden => "forbidden",
    }
}

/// How reading is told from now on.
pub(super) fn text_of_policy(policy: Policy, who: Option<&Address>, tells_read: bool) -> String {
    let (rule, told) = match policy {
        Policy::Required => ("everybody here tells what they read", ""),
        Policy::Optional if tells_read => ("each here chooses whether they tell what they read", "; you do"),
        Policy::Optional => ("each here chooses whether they tell what they read", "; you don't"),
        Policy::Forbidden => ("nobody here tells what they read", ""),
    };
    format!("* {rule}{}{told}", by(who))
}

/// The words of a content as people see them: a mention is a name.
pub(super) fn text_of(content: &Content) -> Option<String> {
    let parts = content.fields().body.walk();
    parts.into_iter().find_map(Part::words).map(|words| match words {
        Text::Plain(text) => shown(text, TEXT_BYTES),
        Text::Markdown(text) => shown(&named(text), TEXT_BYTES),
    })
}

/// Whom a message mentions, for programs.
pub(super) fn of_mentions(mentions: &[Address]) -> Vec<String> {
    mentions.iter().map(ToString::to_string).collect()
}
