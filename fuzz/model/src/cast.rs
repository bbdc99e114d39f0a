//! Who plays: two people with a node each, and an attacker with a node, a domain, and accounts where the scope gives them.

use std::collections::BTreeSet;

use postline_core::content::evidence::{Dkim, DkimPass, Evidence};
use postline_core::content::mail::Tags;
use postline_core::fault::PeerFault;
use postline_core::id::{Address, Hash, MailId, NodeKey, Nonce};
use postline_core::limits;
use postline_core::machine::trust::Came;
use postline_core::seal::{NodeIdentity, Secret, field};
use postline_core::store::sha256;
use postline_core::time::{DAY, HOUR, Millis};
use postline_core::wire::confirm::{Confirm, Done, Word as Said};
use postline_core::wire::field::{Accept, AcceptDraft, Offer, OfferDraft};
use postline_core::wire::frame::TrustStep;

/// What a node's clock may show. Between them lie an evidence that is asked for again and the accepter's dial; the end of
/// every handshake and question; the end of every offer.
pub(crate) const CLOCK: [Millis; 4] =
    [Millis(START), Millis(START + 20 * HOUR), Millis(START + 9 * DAY), Millis(START + 120 * DAY)];
const START: u64 = 1_795_000_000_000;

/// Nobody's mail has this Message-ID.
const FOREIGN: &str = "x@x.example";

/// Everyone, by name and key.
#[derive(Debug)]
pub(crate) struct Cast {
    people: [Person; 2],
    /// The attacker's node.
    attacker: NodeIdentity,
    /// The attacker at home.
    mallory: Address,
}

#[derive(Debug)]
struct Person {
    address: Address,
    node: NodeIdentity,
    /// The attacker's account at this person's domain.
    neighbour: Address,
}

/// A mail that arrives at one of the two: its header as trust sees it, and what DKIM will say of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mail {
    pub(crate) to: usize,
    pub(crate) from: Address,
    pub(crate) to_cc: BTreeSet<Address>,
    pub(crate) message_id: String,
    pub(crate) offer: Option<Tags>,
    pub(crate) accept: Option<Tags>,
    /// Whether a signature of the From domain over all of this passes.
    pub(crate) dkim: bool,
}

/// A mail whose fields are verified.
#[derive(Clone, Debug)]
pub(crate) struct Letter {
    pub(crate) mail: Mail,
    pub(crate) offer: Option<Offer>,
    pub(crate) accept: Option<Accept>,
}

impl Letter {
    /// What the front door gives to the pair.
    pub(crate) fn came(&self, mail: MailId) -> Came {
        let Self { mail: Mail { message_id, .. }, offer, accept } = self.clone();
        Came { mail, message_id, offer, accept, automatic: false }
    }
}

/// A step that is said on a link to one of the two.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Word {
    /// To whom; `None` where it is said to the attacker's node.
    pub(crate) to: Option<usize>,
    /// The key that the speaker's end has proven.
    pub(crate) nk: NodeKey,
    pub(crate) step: TrustStep,
    pub(crate) bytes: Vec<u8>,
}

/// A field, and what it was signed for.
pub(crate) enum Field {
    Offer(Tags, Offer),
    Accept(Tags, Accept),
}

impl Cast {
    pub(crate) fn new() -> Self {
        let person = |name: &str, domain: &str, seed: u8| Person {
            address: address(&format!("{name}@{domain}")),
            node: identity(seed),
            neighbour: address(&format!("mallory@{domain}")),
        };
        Self {
            people: [person("alice", "a.example", 1), person("bob", "b.example", 2)],
            attacker: identity(3),
            mallory: address("mallory@x.example"),
        }
    }

    pub(crate) fn address(&self, who: usize) -> &Address {
        &self.people[who].address
    }

    pub(crate) fn nk(&self, who: usize) -> NodeKey {
        self.people[who].node.nk()
    }

    pub(crate) fn attacker(&self) -> NodeKey {
        self.attacker.nk()
    }

    /// The other of the two, alone or with the attacker.
    pub(crate) fn recipients(&self, who: usize, and_mallory: bool) -> BTreeSet<Address> {
        let other = self.address(1 - who).clone();
        [other].into_iter().chain(and_mallory.then(|| self.mallory.clone())).collect()
    }

    /// An offer that a person's node signs.
    pub(crate) fn offer(&self, who: usize, to_cc: BTreeSet<Address>, nth: u8, at: Millis) -> Field {
        let node = &self.people[who].node;
        offer(node, self.address(who), to_cc, [u8::try_from(who).unwrap_or_default(), nth], at)
    }

    /// An accept that a person's node signs.
    pub(crate) fn accept(&self, who: usize, to_cc: BTreeSet<Address>, re: Hash, nth: u8, at: Millis) -> Field {
        let node = &self.people[who].node;
        accept(node, self.address(who), to_cc, re, [u8::try_from(who).unwrap_or_default(), nth], at)
    }

    /// Every mail that can reach a person, of all that the attacker can make of these mails of the two.
    ///
    /// A mail comes as it was sent; with its body changed, so that DKIM fails; or made of any of the fields that were
    /// seen and of the attacker's own, under any header that fits them.
    pub(crate) fn mails_to(&self, who: usize, sent: &[&Mail], accounts: bool) -> BTreeSet<Mail> {
        let (us, them) = (&self.people[who], &self.people[1 - who]);
        let theirs = || sent.iter().filter(|mail| mail.to == who);
        let mut mails: BTreeSet<Mail> = theirs().map(|mail| (*mail).clone()).collect();
        let mut forge = |to_cc: &BTreeSet<Address>, message_id: &str, offer: Option<&Tags>, accept: Option<&Tags>| {
            mails.insert(Mail {
                to: who,
                from: them.address.clone(),
                to_cc: to_cc.clone(),
                message_id: message_id.to_owned(),
                offer: offer.cloned(),
                accept: accept.cloned(),
                dkim: false,
            });
        };
        for audience in [self.recipients(1 - who, false), self.recipients(1 - who, true)] {
            // What verifies under this header: fields of theirs that were made for it, and whatever the attacker signs.
            let genuine = || theirs().filter(|mail| mail.to_cc == audience);
            let own = self.forged_offer(&them.address, &audience);
            let mut accepts: Vec<Tags> = genuine().filter_map(|mail| mail.accept.clone()).collect();
            accepts.extend(sent.iter().filter(|mail| mail.to != who).filter_map(|mail| {
                let Field::Accept(tags, _) = self.forged_accept(&them.address, &audience, self.t0(mail)?) else {
                    return None;
                };
                Some(tags)
            }));
            if audience.contains(&self.mallory) && genuine().next().is_none() {
                continue;
            }
            let ids: BTreeSet<&str> = genuine().map(|mail| mail.message_id.as_str()).chain([FOREIGN]).collect();
            for accept in &accepts {
                forge(&audience, FOREIGN, None, Some(accept));
            }
            for id in ids {
                forge(&audience, id, Some(&own), None);
                for offer in genuine().filter(|mail| mail.message_id == id).filter_map(|mail| mail.offer.as_ref()) {
                    forge(&audience, id, Some(offer), None);
                    accepts.iter().for_each(|accept| forge(&audience, id, Some(offer), Some(accept)));
                }
            }
        }
        // Our own mail comes back; a mail to others is forwarded; another user of their domain writes, honestly signed.
        for mail in sent.iter().filter(|mail| mail.to != who) {
            mails.insert(Mail { to: who, dkim: false, ..(*mail).clone() });
        }
        if accounts {
            let to_cc = BTreeSet::from([us.address.clone()]);
            let neighbourly = self.forged_offer(&them.neighbour, &to_cc);
            mails.insert(Mail {
                to: who,
                from: them.neighbour.clone(),
                to_cc,
                message_id: FOREIGN.to_owned(),
                offer: Some(neighbourly),
                accept: None,
                dkim: true,
            });
            let to_mallory = BTreeSet::from([self.mallory.clone()]);
            if let Field::Offer(tags, _) = offer(&them.node, &them.address, to_mallory.clone(), [9, 1], CLOCK[0]) {
                mails.insert(Mail {
                    to: who,
                    from: them.address.clone(),
                    to_cc: to_mallory,
                    message_id: FOREIGN.to_owned(),
                    offer: Some(tags),
                    accept: None,
                    dkim: true,
                });
            }
        }
        mails
    }

    /// Every step that the attacker can say of these mails, on a link of its own.
    pub(crate) fn words_to(&self, who: usize, mails: &BTreeSet<Mail>, sent: &[&Mail]) -> BTreeSet<Word> {
        let mut nonces = BTreeSet::new();
        let mut handshakes = BTreeSet::new();
        for mail in mails.iter().chain(sent.iter().copied()) {
            nonces.extend(self.read_offer(mail).map(|offer| offer.nonce));
            if let Some(accept) = self.read_accept(mail) {
                nonces.insert(accept.nonce);
                handshakes.insert(accept.t1);
            }
        }
        let mut words = BTreeSet::new();
        for t1 in handshakes {
            for nonce in &nonces {
                let said = Said { t1, nonce: *nonce, fresh: [0xee; 32] };
                let both = [(TrustStep::Confirm, Confirm(said).to_bytes()), (TrustStep::Done, Done(said).to_bytes())];
                for (step, bytes) in both {
                    words.insert(Word { to: Some(who), nk: self.attacker(), step, bytes });
                }
            }
        }
        words
    }

    /// The mail, its fields' signatures verified as the front door does.
    pub(crate) fn read(&self, mail: Mail) -> Letter {
        Letter { offer: self.read_offer(&mail), accept: self.read_accept(&mail), mail }
    }

    fn read_offer(&self, mail: &Mail) -> Option<Offer> {
        let tags = mail.offer.as_ref()?;
        let read: Result<Offer, PeerFault> = field::read(&mail.from, &mail.to_cc, tags);
        read.ok()
    }

    fn read_accept(&self, mail: &Mail) -> Option<Accept> {
        let tags = mail.accept.as_ref()?;
        let read: Result<Accept, PeerFault> = field::read(&mail.from, &mail.to_cc, tags);
        read.ok()
    }

    /// What the mail's DKIM signatures prove.
    pub(crate) fn dkim(&self, mail: &Mail, passes: bool) -> Evidence {
        let twice = ["postline-offer", "postline-accept", "from", "date"];
        let once = ["to", "cc", "in-reply-to", "references"];
        let signed = twice.iter().chain(&twice).chain(&once).map(|name| (*name).to_owned()).collect();
        let pass = DkimPass { domain: mail.from.domain().clone(), signed, partial: false };
        Evidence::Dkim(Dkim { passed: Some(pass).filter(|_| passes).into_iter().collect() })
    }

    fn t0(&self, mail: &Mail) -> Option<Hash> {
        self.read_offer(mail).map(|offer| offer.hash)
    }

    fn forged_offer(&self, from: &Address, to_cc: &BTreeSet<Address>) -> Tags {
        match offer(&self.attacker, from, to_cc.clone(), [9, 0], CLOCK[0]) {
            Field::Offer(tags, _) | Field::Accept(tags, _) => tags,
        }
    }

    fn forged_accept(&self, from: &Address, to_cc: &BTreeSet<Address>, re: Hash) -> Field {
        accept(&self.attacker, from, to_cc.clone(), re, [9, 0], CLOCK[0])
    }
}

fn identity(seed: u8) -> NodeIdentity {
    NodeIdentity::new(&Secret::new([seed; 32]), NodeIdentity::public(&Secret::new([seed + 100; 32])))
}

fn address(text: &str) -> Address {
    Address::parse(text).expect("an address")
}

fn nonce(label: &[u8], of: [u8; 2]) -> Nonce {
    let mut nonce = [0; Nonce::LEN];
    nonce.copy_from_slice(&sha256(&[label, &of]).0[..Nonce::LEN]);
    Nonce(nonce)
}

fn offer(node: &NodeIdentity, from: &Address, to_cc: BTreeSet<Address>, nth: [u8; 2], at: Millis) -> Field {
    let draft = OfferDraft {
        from: from.clone(),
        to_cc,
        at,
        days: limits::OFFER_TTL_DAYS,
        nonce: nonce(b"offer", nth),
        nk: node.nk(),
        next: None,
        hint: None,
        ak: None,
    };
    let signature = node.sign(&draft);
    let (tags, offer) = draft.signed(signature);
    Field::Offer(tags, offer)
}

fn accept(node: &NodeIdentity, from: &Address, to_cc: BTreeSet<Address>, re: Hash, nth: [u8; 2], at: Millis) -> Field {
    let draft = AcceptDraft {
        from: from.clone(),
        to_cc,
        re,
        at,
        nonce: nonce(b"accept", nth),
        nk: node.nk(),
        next: None,
        hint: None,
        ak: None,
    };
    let signature = node.sign(&draft);
    let (tags, accept) = draft.signed(signature);
    Field::Accept(tags, accept)
}
