//! Inputs and effects in one line each, for whoever reads a run.

use postline_core::content::mail::{MailIn, Source};
use postline_core::server::{Input, LinkIn, Output};

/// An input in one line.
pub(super) struct Brief<'a>(pub(super) &'a Input);

impl std::fmt::Display for Brief<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mail = |mail: &MailIn| {
            let id = mail.head.message_id.clone().unwrap_or_default();
            let to: Vec<String> = mail.envelope.to.iter().map(|rcpt| rcpt.address.to_string()).collect();
            let fields = mail.head.canonical().map(|c| (c.offer.is_some(), c.accept.is_some(), c.carried.is_some()));
            format!("{id} from {:?} to {to:?}, offer, accept, id: {fields:?}", mail.envelope.from)
        };
        match self.0 {
            Input::Mail(id, m) => write!(f, "mail {id} {} {}", source(&m.source), mail(m)),
            Input::Link(link, LinkIn::Carry(carry, m)) => {
                let inline = m.as_ref().map(|m| mail(m));
                write!(f, "link {} carry {} {} {} bytes, {inline:?}", link.0, carry.seq, carry.id, carry.body.len)
            }
            Input::Link(link, LinkIn::Body(_, m)) => write!(f, "link {} body {}", link.0, mail(m)),
            Input::Link(link, what) => write!(f, "link {} {what:?}", link.0),
            other => write!(f, "{other:?}"),
        }
    }
}

const fn source(source: &Source) -> &'static str {
    match source {
        Source::User { .. } => "submitted",
        Source::Stranger => "by SMTP",
        Source::Node => "by link",
        Source::Hosted => "sealed",
        Source::Front | Source::Relay { .. } => "from beside",
    }
}

/// An effect in one line.
pub(super) struct BriefOut<'a>(pub(super) &'a Output);

impl std::fmt::Display for BriefOut<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Output::Deliver(send, name, _, letter) => {
                write!(f, "deliver {} try {} to {name}: {:?}", send.mail, send.attempt, letter.message_id)
            }
            Output::Smtp(send, domain, rcpts, letter) => {
                write!(f, "smtp {} try {} to {domain} {rcpts:?}: {:?}", send.mail, send.attempt, letter.message_id)
            }
            other => write!(f, "{other:?}"),
        }
    }
}
