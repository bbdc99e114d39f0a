//! A mail from the mail server beside us: what of it becomes ours, and the rest handed on while that server waits.
//!
//! ```text
//!   bytes ──scan──▶ owner: whose is it now? ──▶ ours ───────────────────────▶ 250 for these
//!                                          └──▶ the rest ─▶ hand on, in one transaction ─▶ that server's word for those
//! ```

use postline_codec::mime::letter::{compose_head, head_len};
use postline_codec::mime::sealed;
use postline_core::content::mail::{Letter, MailEnvelope, MailIn, Source, Text};
use postline_core::id::{Address, BlobRef, MailId};
use postline_core::server::Took;
use postline_core::server::io::RcptOutcome;
use tokio::sync::oneshot;

use super::Place;
use crate::doors::{MailDoor, read_head};
use crate::hand_over::{Onward, Protocol, hand_on};
use crate::owner::{self, Message};
use crate::smtp::door::{Answer, Arriving, Beside, Door as _, Resolved};
use crate::smtp::lmtp::Each;

impl MailDoor {
    /// Takes what is ours of a mail, and hands on the rest.
    pub(crate) async fn pass(&self, arriving: Arriving, beside: Beside) -> Vec<Each> {
        let onward = match beside {
            Beside::Front => self.beside.deliver.as_ref().map(|place| (place, Protocol::Lmtp)),
            Beside::Relay => self.beside.reinject.as_ref().map(|place| (place, Protocol::Smtp)),
        };
        let rcpts = arriving.envelope.to.len();
        let Some(onward) = onward else {
            // Into our own Maildirs: as any mail from outside.
            return vec![Each::Node(self.take(arriving).await); rcpts];
        };
        let id = arriving.id;
        let each = match self.split(arriving, beside, onward).await {
            Ok(each) => each,
            Err(answer) => vec![Each::Node(answer); rcpts],
        };
        let count = |is: fn(&Each) -> bool| each.iter().filter(|each| is(each)).count();
        let ours = count(|each| *each == Each::Node(Answer::Taken));
        let (passed, done) = (count(|each| matches!(each, Each::Passed(_))), count(Each::is_done));
        let kept = rcpts - done;
        tracing::info!(target: "postline", event = "passed", mail = %id, ours, passed = passed.min(done - ours), kept);
        each
    }

    async fn split(&self, arriving: Arriving, beside: Beside, onward: (&Place, Protocol)) -> Result<Vec<Each>, Answer> {
        let Arriving { id, envelope, utf8, received, staged, .. } = arriving;
        let (head, bytes) = read_head(staged.body().map_err(|_| Answer::Broken)?).await.ok_or(Answer::Broken)?;
        if beside == Beside::Relay && sealed::answers(&bytes, &self.domains).is_some() {
            // Whose login it was, only the milter knew: one that came past it is not sealed, and never goes on (attack 71).
            return Err(Answer::Refused("This answers a sealed message, and the node was down: send it again"));
        }
        let source = match beside {
            Beside::Front => Source::Front,
            Beside::Relay => Source::Relay { sender: envelope.from.as_ref().and_then(|from| self.mailbox_of(from)) },
        };
        let mail = MailIn { source, envelope: envelope.clone(), head, blob: staged.blob, received: received.clone() };
        let (answer, answered) = oneshot::channel();
        let told = self.inbox.send(Message::Mail(id, Box::new(mail), staged, answer)).await;
        told.map_err(|_| Answer::Broken)?;
        let ours = match answered.await.map_err(|_| Answer::Broken)? {
            owner::Answer::TookFor(rcpts) => rcpts,
            owner::Answer::Took(Took::Loop) => return Err(Answer::Loop),
            owner::Answer::Took(Took::Busy) | owner::Answer::Full => return Err(Answer::Busy),
            owner::Answer::Took(Took::Yes) | owner::Answer::Stamp(_) | owner::Answer::Broken => {
                return Err(Answer::Broken);
            }
        };
        let (place, protocol) = onward;
        let onward = Onward { utf8: Some(utf8), ..Onward::new(place, protocol) };
        Ok(self.hand_on_rest(id, &envelope, &ours, &received, &bytes, &onward).await)
    }

    async fn hand_on_rest(
        &self,
        id: MailId,
        envelope: &MailEnvelope,
        ours: &[Address],
        received: &str,
        bytes: &[u8],
        onward: &Onward<'_>,
    ) -> Vec<Each> {
        let rest: Vec<Address> =
            envelope.to.iter().map(|rcpt| rcpt.address.clone()).filter(|rcpt| !ours.contains(rcpt)).collect();
        let mut said = if rest.is_empty() {
            Vec::new()
        } else {
            let bytes = with_top(received, bytes);
            hand_on(onward, &self.hostname, envelope.from.as_ref(), &rest, &bytes).await.rcpts
        }
        .into_iter();
        let each = envelope.to.iter().map(|rcpt| {
            if ours.contains(&rcpt.address) {
                return Each::Node(Answer::Taken);
            }
            said.next().map_or(Each::Node(Answer::Broken), Each::Passed)
        });
        let each: Vec<Each> = each.collect();
        for (rcpt, each) in envelope.to.iter().zip(&each) {
            if let Each::Passed(RcptOutcome::Failed(why) | RcptOutcome::Later(why)) = each {
                tracing::info!(target: "postline", event = "not_passed", mail = %id, rcpt = %rcpt.address, why);
            }
        }
        each
    }

    /// The mailbox of an address of ours.
    fn mailbox_of(&self, address: &Address) -> Option<postline_core::id::Mailbox> {
        match self.resolve(address) {
            Resolved::Local(mailbox) => Some(mailbox),
            Resolved::Remote | Resolved::Unknown | Resolved::NotNow => None,
        }
    }
}

/// A mail with one more field on top.
fn with_top(received: &str, bytes: &[u8]) -> Vec<u8> {
    let (head, body) = bytes.split_at_checked(head_len(bytes)).unwrap_or((bytes, &[]));
    let nothing = BlobRef { sha256: postline_core::id::Hash([0; 32]), len: 0 };
    let stamp = vec![received.to_owned()];
    let letter = Letter { from: None, text: Text::Came(nothing), stamp, strip: false, message_id: None };
    let mut mail = compose_head(&letter, head);
    mail.extend_from_slice(body);
    mail
}
