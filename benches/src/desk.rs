//! A front door without a node around it: what deciding about a mail costs, its records and effects made and dropped.

use std::collections::BTreeSet;

use postline_codec::mime::scan;
use postline_core::content::mail::{MailEnvelope, MailIn, Rcpt, Source};
use postline_core::id::{Address, BlobRef, Domain, MailId, Mailbox};
use postline_core::seal::{NodeIdentity, Secret};
use postline_core::server::io::{Outcome, RcptOutcome};
use postline_core::server::{Input, Ours, Output, Server};
use postline_core::step::{Machine, Outbox, Tick};
use postline_core::store::sha256;
use postline_core::time::Millis;

use crate::Fault;

/// The front door of a node of `a.example` that has just started.
#[derive(Debug)]
pub struct Desk {
    server: Server,
    mail: MailIn,
    now: Millis,
}

impl Desk {
    /// A front door, and a mail from one user to another, to be handed in as often as wanted.
    ///
    /// # Errors
    /// Where the mail is not what it should be.
    pub fn new(mail: &[u8]) -> Result<Self, Fault> {
        let seed = Secret::new([7; 32]);
        let identity = NodeIdentity::new(&seed, NodeIdentity::public(&Secret::new([8; 32])));
        let domains = BTreeSet::from([Domain::parse("a.example")?]);
        let server = Server::restore(Ours { identity, domains, hint: None, offers: true, generation: 1 }, [])?;
        let (one, two) = (Address::parse("one@a.example")?, Address::parse("two@a.example")?);
        let author = Some(one.clone());
        let mail = MailIn {
            source: Source::User { login: Mailbox("one".to_owned()), author },
            envelope: MailEnvelope {
                from: Some(one),
                to: vec![Rcpt { address: two, mailbox: Some(Mailbox("two".to_owned())) }],
            },
            head: scan(mail),
            blob: BlobRef { sha256: sha256(&[mail]), len: mail.len() as u64 },
            received: "Received: from a test".to_owned(),
        };
        Ok(Self { server, mail, now: Millis(1_795_000_000_000) })
    }

    /// Takes the mail once more, and delivers it: two steps. Whether it was delivered.
    ///
    /// # Errors
    /// Where the front door was misused.
    pub fn deliver(&mut self, number: u64) -> Result<bool, Fault> {
        let mut id = [0; MailId::LEN];
        id[..8].copy_from_slice(&number.to_be_bytes());
        let taken = self.step(Input::Mail(MailId(id), self.mail.clone()))?;
        let sends =
            taken.effects().filter_map(|effect| if let Output::Deliver(send, ..) = effect { Some(send) } else { None });
        let sends: Vec<_> = sends.cloned().collect();
        let delivered = sends.len() == 1;
        for send in sends {
            self.step(Input::Report(send, Outcome { rcpts: vec![RcptOutcome::Done] }))?;
        }
        Ok(delivered)
    }

    fn step(&mut self, input: Input) -> Result<Outbox<Output>, Fault> {
        loop {
            let wanted = self.server.wants(&input);
            if wanted.is_empty() {
                break;
            }
            for key in wanted {
                self.server.hydrate(&key, None)?;
            }
        }
        self.now = self.now.plus(1);
        let mut out = Outbox::new();
        self.server.step(&Tick { now: self.now, entropy: [9; 32] }, input, &mut out)?;
        Ok(out)
    }
}
