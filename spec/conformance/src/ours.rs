//! This implementation's answers: requests in JSON to calls of core and codec, and what comes back to JSON.

mod attachments;
mod content;
mod controls;
mod fields;
mod frames;
mod groups;
mod logs;
mod marks;
mod memos;
mod names;
mod people;
mod sealed;
mod sessions;
mod snapshots;
mod talk;
mod transcripts;
mod whisper;

use postline_core::fault::PeerFault;
use serde_json::Value;

use crate::answer::{Answer, Class};
use crate::input::{Input, Unfit};

/// Why there is no value.
pub(crate) enum Not {
    /// The bytes are refused.
    Refused(Class),
    /// The request is not understood.
    Understood(String),
}

pub(crate) type Said = Result<Value, Not>;

impl From<Unfit> for Not {
    fn from(Unfit(what): Unfit) -> Self {
        Self::Understood(what)
    }
}

impl From<PeerFault> for Not {
    fn from(fault: PeerFault) -> Self {
        Class::of(&fault).map_or_else(|| Self::Understood(fault.to_string()), Self::Refused)
    }
}

impl From<Class> for Not {
    fn from(class: Class) -> Self {
        Self::Refused(class)
    }
}

/// Answers one request.
#[must_use]
pub fn answer(op: &str, input: &Value) -> Answer {
    match judge(op, Input(input)) {
        Ok(value) => Answer::Ok(value),
        Err(Not::Refused(class)) => Answer::Error(class),
        Err(Not::Understood(what)) => Answer::Unimplemented(what),
    }
}

fn judge(op: &str, input: Input<'_>) -> Said {
    match op {
        "domain.read" => names::domain(input),
        "address.read" => names::address(input),
        "hint.read" => names::hint(input),
        "dial.judge" => names::dial(input),
        "code.read" => names::code(input),
        "limit.read" => names::limit(input),
        "label.read" => names::label(input),
        "field.read" => fields::read(input),
        "field.write" => fields::write(input),
        "content.make" => fields::content(input),
        "offer.make" => fields::make_offer(input),
        "accept.make" => fields::make_accept(input),
        "id.make" => fields::make_id(input),
        "offer.verify" => fields::verify_offer(input),
        "accept.verify" => fields::verify_accept(input),
        "id.verify" => fields::verify_id(input),
        "confirm.make" => transcripts::make_confirm(input),
        "done.make" => transcripts::make_done(input),
        "confirm.read" => transcripts::read_confirm(input),
        "done.read" => transcripts::read_done(input),
        "t2.make" => transcripts::t2(input),
        "step.sign" => transcripts::sign_step(input),
        "step.verify" => transcripts::verify_step(input),
        "hello.make" => transcripts::make_hello(input),
        "hello.read" => transcripts::read_hello(input),
        "proof.sign" => transcripts::sign_proof(input),
        "proof.verify" => transcripts::verify_proof(input),
        "mimi.make" => content::make(input),
        "mimi.read" => content::read(input),
        "mimi.id" => content::id(input),
        "mimi.choose" => content::choose(input),
        "mimi.kept" => content::kept(input),
        "report.make" => content::make_report(input),
        "report.read" => content::read_report(input),
        "place.read" => content::place(input),
        "markdown.make" => content::markdown(input),
        "mentions.read" => content::mentioned(input),
        "attachment.seal" => attachments::seal(input),
        "attachment.read" => attachments::read(input),
        "attachment.open" => attachments::open(input),
        "list.make" => people::make_list(input),
        "list.read" => people::read_list(input),
        "list.judge" => people::judge_list(input),
        "leaf.make" => people::make_leaf(input),
        "leaf.read" => people::read_leaf(input),
        "leaf.judge" => people::judge_leaf(input),
        "keys.make" => people::make_keys(input),
        "keys.read" => people::read_keys(input),
        "keys.judge" => people::judge_keys(input),
        "comparison.make" => sealed::comparison(input),
        "word.read" => sealed::word(input),
        "card.read" => sealed::card(input),
        "card.judge" => sealed::judge_card(input),
        "phrase.make" => sealed::make_phrase(input),
        "phrase.read" => sealed::read_phrase(input),
        "backup.open" => sealed::backup(input),
        "join.make" => sealed::make_join(input),
        "join.open" => sealed::open_join(input),
        "frames.read" => frames::read(input),
        "log.direct" => logs::direct(input),
        "log.tag" => logs::tag(input),
        "log.chain" => logs::chain(input),
        "log.leaf" => logs::leaf(input),
        "heads.sign" => logs::sign_heads(input),
        "heads.verify" => logs::verify_heads(input),
        "change.make" => logs::make_change(input),
        "change.read" => logs::read_change(input),
        "memo.read" => memos::read(input),
        "memo.open" => memos::open(input),
        "position.read" => marks::read(input),
        "position.join" => marks::join(input),
        "snapshot.make" => snapshots::make(input),
        "control.read" => controls::read(input),
        "control.join" => controls::join(input),
        "session.device.make" => sessions::make_device(input),
        "session.device.read" => sessions::read_device(input),
        "session.node.make" => sessions::make_node(input),
        "session.node.read" => sessions::read_node(input),
        "session.browser" => sessions::browser(input),
        "session.proof.sign" => sessions::sign_proof(input),
        "session.proof.verify" => sessions::verify_proof(input),
        "padding.length" => groups::padded(input),
        "aad.make" => groups::make_aad(input),
        "aad.read" => groups::read_aad(input),
        "group.open" => groups::open(input),
        "frame.make" => frames::make(input),
        _ => Err(Not::Understood(format!("no such op: {op}"))),
    }
}
