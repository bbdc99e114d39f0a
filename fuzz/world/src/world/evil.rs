//! Those who keep no rules: a node with a valid key of its own, a forger of mails, and whoever opens connections.

use std::collections::BTreeSet;

use postline_core::content::mail::FieldName;
use postline_core::fault::Code;
use postline_core::id::{Address, CarryId, Hash, LinkId, Nonce, Pair};
use postline_core::seal::{self, NodeIdentity, Secret};
use postline_core::server::{Input, LinkIn};
use postline_core::wire::confirm::{Confirm, Word};
use postline_core::wire::field::{Accept, AcceptDraft, Offer, OfferDraft};
use postline_core::wire::frame::{Ask, Frame, Mark, Reached, Trust, TrustStep};
use postline_core::wire::signed::OnConnection;

use super::lines::Piece;
use super::post::{Parcel, replace_field};
use super::{Happening, SMTP_MS, World};
use crate::bytes::{field_text, marker_of};
use crate::weather::Fault;

/// Where forged mails really come from.
const EVIL: &str = "evil.example";
/// The forger's own node key.
const SEED: [u8; 32] = [66; 32];

impl World {
    /// What a node without manners sends in the place of a piece.
    pub(super) fn twisted(&mut self, link: LinkId, end: usize, piece: Piece) -> Vec<Piece> {
        if !self.weather.strikes(Fault::Byzantine, &mut self.rng) {
            return vec![piece];
        }
        self.trace.note(self.now, format_args!("twists what it says on link {}", link.0));
        match self.rng.below(7) {
            0 => Vec::new(),
            1 => vec![piece.clone(), piece],
            2 => vec![Piece::Garbage],
            3 => vec![piece, Piece::Frame(self.nonsense())],
            4 => {
                let frames = [Frame::Ping(1), Frame::Unknown { kind: 200 }, Frame::Mark(Vec::new())];
                let more = self.rng.below(100);
                frames.iter().cycle().take(usize::try_from(more).unwrap_or(1)).cloned().map(Piece::Frame).collect()
            }
            5 => {
                let word = self.word_of_others(link, end);
                [Some(piece), word].into_iter().flatten().collect()
            }
            _ => vec![self.mutated(link, piece)],
        }
    }

    fn nonsense(&mut self) -> Frame {
        let id = CarryId(self.rng.bytes());
        match self.rng.below(8) {
            0 => Frame::Ack { seq: self.rng.below(40) },
            1 => Frame::Refuse { seq: self.rng.below(40), code: Code::NotTrusted, rcpts: BTreeSet::from([0, 200]) },
            2 => Frame::Mark(vec![Mark { id, reached: Reached::Delivered }]),
            3 => Frame::Ask(Ask::Marks(vec![id; 64])),
            4 => Frame::Ask(Ask::Body { blob: Hash(self.rng.bytes()), offset: self.rng.below(9) }),
            5 => Frame::Chunk { blob: Hash(self.rng.bytes()), offset: 0, len: 9 },
            6 => Frame::Hello(self.rng.bytes::<40>().to_vec()),
            _ => Frame::Answer(vec![Mark { id, reached: Reached::Failed }]),
        }
    }

    fn mutated(&mut self, link: LinkId, piece: Piece) -> Piece {
        let people = self.people();
        let somebody = self.rng.pick(&people).cloned();
        match piece {
            Piece::Carry(mut carry, body) => {
                match (self.rng.below(5), somebody) {
                    (0, _) => carry.seq = self.rng.below(2 * carry.seq + 2),
                    (1, _) => carry.id = CarryId(self.rng.bytes()),
                    (2, Some(somebody)) => carry.envelope.from = somebody,
                    (3, Some(somebody)) => carry.envelope.to = vec![somebody],
                    _ => carry.body.len += 1,
                }
                Piece::Carry(carry, body)
            }
            Piece::Chunk(blob, offset, mut bytes) => {
                if let Some(byte) = bytes.first_mut() {
                    *byte ^= 1;
                }
                Piece::Chunk(blob, offset + self.rng.below(2), bytes)
            }
            Piece::Frame(Frame::Ready(mut ready)) => {
                match self.rng.below(4) {
                    0 => ready.generation = self.rng.below(3),
                    1 => ready.last_seen = self.rng.draw(),
                    2 => (ready.window_items, ready.window_bytes) = (0, 0),
                    _ => ready.max_body = self.rng.below(20_000),
                }
                Piece::Frame(Frame::Ready(ready))
            }
            Piece::Frame(Frame::Trust(mut trust)) => {
                if let (Some(somebody), true) = (somebody, self.rng.chance(500)) {
                    trust.pair.ours = somebody;
                } else if let Some(byte) = trust.bytes.last_mut() {
                    *byte ^= 1;
                }
                Piece::Frame(Frame::Trust(self.signed(link, trust)))
            }
            Piece::Frame(Frame::Ack { seq }) => Piece::Frame(Frame::Ack { seq: seq + self.rng.below(3) }),
            Piece::Frame(Frame::Mark(mut marks)) => {
                marks.iter_mut().for_each(|mark| mark.reached = Reached::Failed);
                Piece::Frame(Frame::Mark(marks))
            }
            Piece::OfFile(hash, offset, mut bytes) => {
                if let Some(byte) = bytes.first_mut() {
                    *byte ^= 1;
                }
                Piece::OfFile(hash, offset, bytes)
            }
            Piece::Frame(_) | Piece::Garbage | Piece::Down => Piece::Frame(self.nonsense()),
        }
    }

    /// A step signed by the lawless node, properly.
    fn signed(&self, link: LinkId, mut trust: Trust) -> Trust {
        let lawless = self.ledger.lawless.first().and_then(|index| self.nodes.get(*index));
        if let (Some(node), Some(conn)) = (lawless, self.lines.get(&link)) {
            let value = OnConnection::new(trust.step, &trust.bytes, &conn.exporter);
            trust.signature = node.identity().sign(&value).to_vec();
        }
        trust
    }

    /// M2 of a handshake between two others, made up from the mails that went by.
    fn word_of_others(&mut self, link: LinkId, end: usize) -> Option<Piece> {
        let listener = *self.lines.get(&link)?.ends.get(1 - end)?;
        let seen = self.post.tape.clone();
        let accept =
            seen.iter().rev().find_map(accept_in).filter(|accept| self.home(&accept.from) == Some(listener))?;
        self.confirm_of(link, &accept)
    }

    fn confirm_of(&mut self, link: LinkId, accept: &Accept) -> Option<Piece> {
        let offer = self.offers().into_iter().find(|offer| offer.hash == accept.re)?;
        let word = Word { t1: accept.t1, nonce: offer.nonce, fresh: self.rng.bytes() };
        let pair = Pair { ours: offer.from, theirs: accept.from.clone() };
        let trust = Trust { pair, step: TrustStep::Confirm, bytes: Confirm(word).to_bytes(), signature: Vec::new() };
        Some(Piece::Frame(Frame::Trust(self.signed(link, trust))))
    }

    /// A lawless node that reads everybody's mail confirms what others accept, before those who were meant can.
    pub(super) fn interlope(&mut self, parcel: &Parcel) {
        let Some(lawless) = self.ledger.lawless.first().copied() else { return };
        let Some(accept) = accept_in(parcel).filter(|_| self.weather.has(Fault::Byzantine)) else { return };
        let Some(victim) = self.home(&accept.from) else { return };
        let between = |conn: &super::Conn| Some((conn.end_of(lawless)?, conn.end_of(victim)?));
        let lines: Vec<_> =
            self.lines.iter().filter_map(|(link, conn)| between(conn).map(|(end, _)| (*link, end))).collect();
        for (link, end) in lines {
            if let Some(piece) = self.confirm_of(link, &accept) {
                self.put_on_wire(link, end, piece);
            }
        }
    }

    /// The offers that went by.
    fn offers(&self) -> Vec<Offer> {
        let read = |parcel: &Parcel| {
            let head = postline_codec::mime::scan(&parcel.bytes);
            let canonical = head.canonical()?;
            seal::field::read::<Offer>(&canonical.from, &canonical.to_cc, canonical.offer.as_ref()?).ok()
        };
        self.post.tape.iter().rev().filter_map(read).collect()
    }

    /// The forger does something.
    pub(super) fn do_evil(&mut self) {
        let tape = self.post.tape.clone();
        let Some(seen) = self.rng.pick(&tape).cloned() else { return };
        let people = self.people();
        match self.rng.below(6) {
            // A genuine mail again, to the same people.
            0 => self.slip_in(Parcel { passed_on: true, ..seen }),
            // A genuine mail, to somebody else.
            1 => {
                if let Some(to) = self.rng.pick(&people).cloned() {
                    self.slip_in(Parcel { domain: to.domain().clone(), to: vec![to], passed_on: true, ..seen });
                }
            }
            // A mail of the forger's own, with the fields of a genuine one.
            2 | 3 => {
                let marker = self.evil_name();
                let text = if self.rng.chance(500) { "evil\r\n" } else { "" };
                let bytes = replace_field(&seen.bytes, "subject", &format!("Subject: {marker}\r\n"));
                let bytes = [bytes, text.as_bytes().to_vec()].concat();
                self.ledger.handed_in(&marker, None, None, seen.to.clone());
                self.slip_in(Parcel { bytes, intact: false, passed_on: true, ..seen });
            }
            // An accept of a genuine offer, in somebody else's name, by the forger's node.
            4 => {
                let offers = self.offers();
                if let Some(offer) = self.rng.pick(&offers).cloned()
                    && let Some(from) = offer.to_cc.first().cloned()
                {
                    let line = self.forged_accept(&offer, &from);
                    self.forge(&from, &offer.from.clone(), &line);
                }
            }
            // An offer in somebody else's name.
            _ => {
                let (from, to) = (self.rng.pick(&people).cloned(), self.rng.pick(&people).cloned());
                if let (Some(from), Some(to)) = (from, to)
                    && from.domain() != to.domain()
                {
                    let line = self.forged_offer(&from, &to);
                    self.forge(&from, &to, &line);
                }
            }
        }
    }

    fn evil_name(&mut self) -> String {
        self.next_mail += 1;
        format!("evil{}@{EVIL}", self.next_mail)
    }

    fn forged_accept(&mut self, offer: &Offer, from: &Address) -> String {
        let identity = identity();
        let draft = AcceptDraft {
            from: from.clone(),
            to_cc: BTreeSet::from([offer.from.clone()]),
            re: offer.hash,
            at: self.now,
            nonce: Nonce(self.rng.bytes()),
            nk: identity.nk(),
            next: Some(identity.next_nk()),
            hint: None,
            ak: None,
        };
        let signature = identity.sign(&draft);
        FieldName::Accept.line(&draft.signed(signature).0)
    }

    fn forged_offer(&mut self, from: &Address, to: &Address) -> String {
        let identity = identity();
        let draft = OfferDraft {
            from: from.clone(),
            to_cc: BTreeSet::from([to.clone()]),
            at: self.now,
            days: 90,
            nonce: Nonce(self.rng.bytes()),
            nk: identity.nk(),
            next: Some(identity.next_nk()),
            hint: None,
            ak: None,
        };
        let signature = identity.sign(&draft);
        FieldName::Offer.line(&draft.signed(signature).0)
    }

    fn forge(&mut self, from: &Address, to: &Address, line: &str) {
        let marker = self.evil_name();
        let answers = self.post.tape.last().and_then(|seen| field_text(&seen.bytes, "message-id")).unwrap_or_default();
        let mail = format!(
            "{line}\r\nFrom: {from}\r\nTo: {to}\r\nSubject: {marker}\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\n\
             Message-ID: <{marker}>\r\nIn-Reply-To: {answers}\r\n\r\nIt is I, really.\r\n"
        );
        if let Ok(evil) = postline_core::id::Domain::parse(EVIL) {
            self.seal_for(evil, mail.as_bytes());
        }
        self.ledger.handed_in(&marker, None, None, vec![to.clone()]);
        let (domain, bytes) = (to.domain().clone(), mail.into_bytes());
        let to = vec![to.clone()];
        self.slip_in(Parcel {
            domain,
            from: Some(from.clone()),
            to,
            bytes,
            sender: None,
            intact: false,
            passed_on: true,
        });
    }

    fn slip_in(&mut self, parcel: Parcel) {
        self.trace.note(self.now, format_args!("evil: {:?} to {:?}", marker_of(&parcel.bytes), parcel.to));
        self.at(SMTP_MS, Happening::Parcel(Box::new(parcel)));
    }

    /// Many connections that prove nothing.
    pub(super) fn flood(&mut self, node: usize) {
        let connections = 20 + self.rng.below(600);
        for _ in 0..connections {
            let link = self.line(usize::MAX, node);
            let exporter = self.rng.bytes();
            self.step(node, Input::Link(link, LinkIn::Up { dialled: None, exporter }), None);
            if self.rng.chance(100) {
                let frame = Frame::Hello(self.rng.bytes::<64>().to_vec());
                self.step(node, Input::Link(link, LinkIn::Frame(frame)), None);
            }
        }
    }
}

fn accept_in(parcel: &Parcel) -> Option<Accept> {
    let head = postline_codec::mime::scan(&parcel.bytes);
    let canonical = head.canonical()?;
    seal::field::read(&canonical.from, &canonical.to_cc, canonical.accept.as_ref()?).ok()
}

fn identity() -> NodeIdentity {
    NodeIdentity::new(&Secret::new(SEED), NodeIdentity::public(&Secret::new([67; 32])))
}
