//! Express mail that another node brings: judged, taken whole or not at all, settled.
//!
//! ```text
//!   Carry, its body ──▶ judge ──┬▶ canonical, from whom it says, each recipient with a line ──▶ lanes of the mailboxes ──▶ settled
//!                               ├▶ taken before ──▶ settled, and its marks said again
//!                               └▶ who is in the way ──▶ refused; it goes by SMTP
//! ```

use std::collections::BTreeSet;

use super::Server;
use super::book::Seen;
use super::io::{Carrier, Event, Output, Peer};
use crate::canary::{self, Canary};
use crate::content::mail::{Letter, MailIn, Rcpt, Text};
use crate::fault::PeerFault;
use crate::id::{NodeKey, Pair};
use crate::limits;
use crate::machine::queue::Origin;
use crate::machine::{link, trust};
use crate::step::{Machine, Outbox, Tick};
use crate::wire::frame::{Carry, Mark, Reached};

impl Server {
    /// Judges an express mail whose body is here, and settles it.
    pub(super) fn settle(&mut self, tick: &Tick, nk: NodeKey, carry: Carry, mail: &MailIn, out: &mut Outbox<Output>) {
        let (seq, id) = (carry.seq, carry.id);
        let result = self.judge(tick, nk, carry, mail, out);
        if result.is_ok() && canary::is_on(Canary::DeliveredTooEarly) {
            self.run_link(tick, nk, link::Input::Marks(vec![Mark { id, reached: Reached::Delivered }]), out);
        }
        if let Err((why, _)) = &result {
            out.emit(Output::Event(Event::Refused { peer: Peer::Node(nk), why: why.clone() }));
        }
        let came_before = result == Ok(true);
        self.run_link(tick, nk, link::Input::Settled { seq, result: result.map(drop) }, out);
        if came_before {
            // The mark may have been said before the other node crashed, and it knows of no Ack to ask about.
            self.answer_marks(tick, nk, vec![id], out);
        }
    }

    /// Takes an express mail whole, or says what is in the way ([E-3]). Says whether it came before.
    fn judge(
        &mut self,
        tick: &Tick,
        nk: NodeKey,
        carry: Carry,
        mail: &MailIn,
        out: &mut Outbox<Output>,
    ) -> Result<bool, (PeerFault, BTreeSet<u8>)> {
        let whole = |why| (why, BTreeSet::new());
        let canonical = mail.head.canonical().ok_or_else(|| whole(PeerFault::NotExpress("not canonical")))?;
        if canonical.from != carry.envelope.from {
            return Err(whole(PeerFault::NotExpress("the header's From is not the envelope sender")));
        }
        if mail.head.hops > limits::HOPS {
            return Err(whole(PeerFault::NotExpress("looping")));
        }
        let known = Seen::id_of(nk, carry.id);
        let rcpts: Vec<Rcpt> = carry
            .envelope
            .to
            .iter()
            .map(|address| {
                let mailbox =
                    mail.envelope.to.iter().find(|rcpt| rcpt.address == *address).and_then(|rcpt| rcpt.mailbox.clone());
                Rcpt { address: address.clone(), mailbox }
            })
            .collect();
        let mut in_the_way = BTreeSet::new();
        let mut first = None;
        for (index, rcpt) in rcpts.iter().enumerate() {
            let pair = Pair { ours: rcpt.address.clone(), theirs: carry.envelope.from.clone() };
            let why = if rcpt.mailbox.is_none() {
                Some(PeerFault::NoMailbox)
            } else {
                self.admitted(tick, &pair, nk, out).err()
            };
            if why.is_none() {
                self.look(tick, &pair, out);
            }
            if let Some(why) = why {
                in_the_way.extend(u8::try_from(index));
                first.get_or_insert(why);
            }
        }
        if let Some(why) = first {
            return Err((why, in_the_way));
        }
        if self.waiting + rcpts.len() > limits::QUEUE_ENTRIES || self.draining {
            return Err(whole(PeerFault::Full { got: self.waiting as u64, max: limits::QUEUE_ENTRIES as u64 }));
        }
        let fresh = self.not_seen(known, rcpts);
        if fresh.is_empty() {
            out.emit(Output::Event(Event::Duplicate { mail: known, carrier: Carrier::Link }));
            return Ok(true);
        }
        self.remember(tick, known, &fresh, out);
        out.emit(Output::Event(Event::Arrived {
            mail: known,
            message_id: mail.head.message_id.clone(),
            carrier: Carrier::Link,
            inert: None,
        }));
        let mailboxes: BTreeSet<_> = fresh.iter().filter_map(|rcpt| rcpt.mailbox.clone()).collect();
        let origin = Origin::Node { nk, id: carry.id, mailboxes: mailboxes.into_iter().collect() };
        let letter = Letter {
            from: Some(carry.envelope.from),
            text: Text::Came(mail.blob),
            stamp: Some(mail.received.clone()).filter(|line| !line.is_empty()).into_iter().collect(),
            strip: true,
            message_id: mail.head.message_id.clone(),
        };
        self.deliver_to(tick, known, &letter, fresh, origin, out);
        Ok(false)
    }

    fn admitted(&mut self, tick: &Tick, pair: &Pair, nk: NodeKey, out: &mut Outbox<Output>) -> Result<(), PeerFault> {
        if self.is_blocked(pair) {
            return Err(PeerFault::Blocked);
        }
        let mut why = PeerFault::NotTrusted;
        let mut child = Outbox::new();
        let Some(machine) = self.pairs.get_mut(pair) else { return Err(why) };
        let stepped = machine.step(tick, trust::Input::Express { nk }, &mut child);
        debug_assert!(stepped.is_ok(), "a pair's inputs can't be misused");
        for output in out.adopt(child) {
            match output {
                trust::Output::Admitted => return Ok(()),
                trust::Output::Refused(fault) => why = fault,
                trust::Output::SeekDkim(_)
                | trust::Output::SeekDomain(_)
                | trust::Output::Say { .. }
                | trust::Output::WantLink { .. }
                | trust::Output::Proposed { .. }
                | trust::Output::Changed { .. } => {}
            }
        }
        Err(why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::mail::{Head, Inert, MailEnvelope, Source, Verdict};
    use crate::fault::Code;
    use crate::id::{Address, BlobRef, Domain, Hash, MailId, Mailbox};
    use crate::seal::{NodeIdentity, Secret};
    use crate::server::{Ours, Took};
    use crate::step::Store;
    use crate::store::Record;
    use crate::time::Millis;

    fn server() -> Server {
        let ours = Ours {
            identity: NodeIdentity::new(&Secret::new([1; 32]), NodeKey([2; 32])),
            domains: BTreeSet::from([Domain::parse("a.example").unwrap()]),
            hint: None,
            offers: true,
            generation: 1,
        };
        Server::restore(ours, []).unwrap()
    }

    /// A stranger's mail with so many `Received` fields, and what the front door says of it.
    fn says(server: &mut Server, hops: usize) -> Option<Took> {
        let to = Rcpt { address: Address::parse("one@a.example").unwrap(), mailbox: Some(Mailbox("one".to_owned())) };
        let mail = MailIn {
            source: Source::Stranger,
            envelope: MailEnvelope { from: None, to: vec![to] },
            head: Head { message_id: None, hops, verdict: Verdict::Inert(Inert::Missing) },
            blob: BlobRef { sha256: Hash([3; 32]), len: 3 },
            received: String::new(),
        };
        let tick = Tick { now: Millis(1), entropy: [4; 32] };
        let mut out = Outbox::new();
        server.mail(&tick, MailId([5; 16]), mail, &mut out).unwrap();
        let (_, held) = out.split();
        let outputs = held.open(NoStore.commit(&[]).unwrap());
        outputs.into_iter().find_map(|output| if let Output::Took(_, took) = output { Some(took) } else { None })
    }

    struct NoStore;
    impl Store for NoStore {
        type Fault = core::convert::Infallible;
        fn write(&mut self, _: &[Record]) -> Result<(), Self::Fault> {
            Ok(())
        }
    }

    /// [Q-7]
    #[test]
    fn t_102_a_mail_of_too_many_hops_is_looping() {
        assert_eq!(says(&mut server(), limits::HOPS), Some(Took::Yes));
        assert_eq!(says(&mut server(), limits::HOPS + 1), Some(Took::Loop));
    }

    /// [Q-5]
    #[test]
    fn a_full_queue_takes_nothing_and_says_busy_on_both_carriers() {
        let mut server = server();
        server.waiting = limits::QUEUE_ENTRIES - 1;
        assert_eq!(says(&mut server, 0), Some(Took::Yes));
        server.waiting = limits::QUEUE_ENTRIES;
        assert_eq!(says(&mut server, 0), Some(Took::Busy));
        assert_eq!(PeerFault::Full { got: 1, max: 1 }.code(), Code::Busy);
    }
}
