//! What is whispered, as JSON.

use postline_core::id::ConversationId;
use postline_core::time::Millis;
use postline_core::wire::whisper::{Choice, Delta, Seen, Whisper, Word};
use serde_json::{Value, json};

use crate::input::{Input, Unfit, hex, number};

/// The type of the frame.
pub(super) const TYPE: u64 = 129;

pub(super) fn shown(whisper: &Whisper) -> Value {
    match whisper {
        Whisper::Vector(deltas) => {
            json!({ "type": TYPE, "deltas": deltas.iter().map(shown_delta).collect::<Vec<_>>() })
        }
        Whisper::Types(who, conversation) => {
            json!({ "type": TYPE, "who": who.to_string(), "conversation": hex(conversation.0) })
        }
        Whisper::Active => json!({ "type": TYPE }),
        Whisper::Choices(choices) => {
            let choice = |choice: &Choice| json!({ "theirs": choice.theirs.to_string(), "chosen": number(choice.chosen.0), "agrees": choice.agrees });
            json!({ "type": TYPE, "choices": choices.iter().map(choice).collect::<Vec<_>>() })
        }
    }
}

fn shown_delta(delta: &Delta) -> Value {
    let (of, to) = (delta.of.to_string(), delta.to.to_string());
    match delta.word {
        Word::Silent => json!({ "of": of, "to": to, "word": 0 }),
        Word::Agrees => json!({ "of": of, "to": to, "word": 1 }),
        Word::Shows(Seen::Here) => json!({ "of": of, "to": to, "word": 2 }),
        Word::Shows(Seen::Away(last)) => json!({ "of": of, "to": to, "last": number(last.0) }),
    }
}

pub(super) fn asked(frame: Input<'_>) -> Result<Whisper, Unfit> {
    if frame.maybe("deltas").is_some() {
        let deltas = frame.list("deltas")?.iter().map(|delta| asked_delta(Input(delta)));
        return Ok(Whisper::Vector(deltas.collect::<Result<_, _>>()?));
    }
    if frame.maybe("choices").is_some() {
        let choice = |choice: &Value| {
            let choice = Input(choice);
            Ok(Choice {
                theirs: choice.address("theirs")?,
                chosen: Millis(choice.number("chosen")?),
                agrees: choice.truth("agrees")?,
            })
        };
        return Ok(Whisper::Choices(frame.list("choices")?.iter().map(choice).collect::<Result<_, Unfit>>()?));
    }
    if frame.maybe("who").is_some() {
        return Ok(Whisper::Types(frame.address("who")?, ConversationId(frame.fixed("conversation")?)));
    }
    Ok(Whisper::Active)
}

fn asked_delta(delta: Input<'_>) -> Result<Delta, Unfit> {
    let word = match delta.maybe("last") {
        Some(_) => Word::Shows(Seen::Away(Millis(delta.number("last")?))),
        None => match delta.number("word")? {
            0 => Word::Silent,
            1 => Word::Agrees,
            2 => Word::Shows(Seen::Here),
            _ => return Err(Unfit("no word that is ever said".to_owned())),
        },
    };
    Ok(Delta { of: delta.address("of")?, to: delta.address("to")?, word })
}
