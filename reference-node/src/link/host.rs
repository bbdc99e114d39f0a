//! What links see of this node: its owner, its people, its bodies.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::SystemTime;

use mail_builder::headers::date::Date;
use postline_codec::mime;
use postline_core::content::mail::{MailEnvelope, MailIn, Rcpt, Source};
use postline_core::id::{BlobRef, Domain, LinkId};
use postline_core::limits;
use postline_core::server::{Input, LinkIn};
use postline_core::wire::frame::Carry;

use super::{From, LinkHost};
use crate::directory::{Live, Resolved};
use crate::hands::Bodies;
use crate::owner::{Inbox, Message};
use crate::spool::{Body, Spool, Staged};

/// This node.
#[derive(Clone)]
pub struct NodeHost {
    /// The name that the node calls itself.
    pub hostname: Domain,
    /// The owner's inbox.
    pub inbox: Inbox,
    /// Its people.
    pub people: Arc<Live>,
    /// Where bodies are received.
    pub spool: Spool,
    /// The bodies that it holds.
    pub bodies: Bodies,
}

impl LinkHost for NodeHost {
    async fn tell(&self, link: LinkId, what: LinkIn, staged: Option<Staged>) -> bool {
        self.inbox.send(Message::Input(Box::new(Input::Link(link, what)), staged)).await.is_ok()
    }

    fn spool(&self) -> Spool {
        self.spool.clone()
    }

    async fn mail(&self, from: &From, carry: &Carry, body: Body) -> io::Result<MailIn> {
        let large = body.len() > limits::INLINE_BODY_BYTES;
        let read = move || Ok::<_, io::Error>(mime::scan(&body.to_bytes()?));
        let head = if large { tokio::task::spawn_blocking(read).await?? } else { read()? };
        let people = self.people.current();
        let mailbox = |address| match people.resolve(address) {
            Resolved::Local(mailbox) => Some(mailbox),
            Resolved::Unknown | Resolved::Remote => None,
        };
        let to = carry.envelope.to.iter();
        let to = to.map(|address| Rcpt { address: address.clone(), mailbox: mailbox(address) }).collect();
        Ok(MailIn {
            source: Source::Node,
            envelope: MailEnvelope { from: Some(carry.envelope.from.clone()), to },
            head,
            blob: carry.body,
            received: received(&self.hostname, from.at, carry),
        })
    }

    fn body(&self, blob: BlobRef) -> io::Result<Body> {
        self.bodies.get(blob)
    }

    fn file(&self, blob: BlobRef) -> io::Result<Body> {
        self.bodies.file(blob)
    }
}

/// RFC 5321 §4.4. The id is the sender's, as its own logs have it.
fn received(host: &Domain, at: SocketAddr, carry: &Carry) -> String {
    let peer = match at.ip().to_canonical() {
        IpAddr::V4(ip) => format!("[{ip}]"),
        IpAddr::V6(ip) => format!("[IPv6:{ip}]"),
    };
    let now = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs());
    let date = Date::new(i64::try_from(now).unwrap_or(i64::MAX)).to_rfc822();
    let (domain, id) = (carry.envelope.from.domain(), carry.id);
    format!("Received: from {domain} ({peer}) by {host} with Postline id {id}; {date}")
}
