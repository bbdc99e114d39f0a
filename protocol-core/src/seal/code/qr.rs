//! The other way to compare: one screen shows everything as a QR picture, the other device's camera reads it, and says so ([I-15]).
//!
//! ```text
//!   text   = "postline:verify?v=1&d=" ‖ base64url([T2, address, identity, ak, number, list, address, identity, ak, secret])
//!            who shows and the head of their lists; whom they take the reader for; 16 bytes that are on this screen alone
//!   answer = HMAC-SHA-256(secret, "postline/1 scanned" ‖ 0x00 ‖ [T2, address, identity, ak, address, identity, ak])
//!            reader, then shower
//! ```
//!
//! The reader has compared all of it, and is done. The answer shows the other that it was these keys that stood before the
//! screen. The secret is good once, and for [`CODE_MS`](limits::CODE_MS).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::fault::PeerFault;
use crate::id::{AddressKey, Hash, Identity};
use crate::limits;
use crate::seal::join::mac;
use crate::seal::lists::Chain;
use crate::seal::pin::Pin;
use crate::seal::secret::Secret;
use crate::seal::tries::Tries;
use crate::step::Tick;
use crate::time::Millis;
use crate::wire::cbor::{Malformed, Reader, Writer};

use super::{Parties, Side};

const PREFIX: &str = "postline:verify?v=1&d=";

/// What a QR picture says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    t2: Hash,
    shower: Side,
    number: u64,
    list: Hash,
    reader: Side,
    secret: Secret<16>,
}

/// A picture on our screen, until it is answered or its time is over. A restart forgets it.
#[derive(Debug)]
pub struct Shown {
    card: Card,
    until: Millis,
}

/// What reading a picture leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scan {
    /// All of it is as we know it: their key is compared. Say the answer.
    Same {
        /// What is known of them now.
        pin: Pin,
        /// What to say, so that they know of us.
        answer: [u8; 32],
    },
    /// It names a device list that we don't know yet: those after this number are wanted first.
    Ahead {
        /// The last number that is known.
        after: u64,
    },
}

impl Shown {
    /// Shows a picture for this other person: `chain` is one's own.
    ///
    /// # Errors
    /// [`PeerFault::Rate`] where no try is left with this person.
    pub fn new(tick: &Tick, tries: &mut Tries, parties: &Parties, chain: &Chain) -> Result<Self, PeerFault> {
        tries.make(tick.now)?;
        let (shower, reader) = (parties.ours.clone(), parties.theirs.clone());
        let secret = Secret::draw(tick, "qr");
        let card = Card { t2: parties.t2, shower, number: chain.number(), list: chain.hash(), reader, secret };
        Ok(Self { card, until: tick.now.plus(limits::CODE_MS) })
    }

    /// The picture's text: for one's own screen, never for a log.
    #[must_use]
    pub fn text(&self) -> Zeroizing<String> {
        let mut text = PREFIX.to_owned();
        URL_SAFE_NO_PAD.encode_string(&*self.card.to_bytes(), &mut text);
        Zeroizing::new(text)
    }

    /// Takes an answer: it is good once, right or wrong.
    ///
    /// # Errors
    /// [`PeerFault::WrongCode`] for another answer, and too late.
    pub fn answered(self, now: Millis, answer: &[u8]) -> Result<Pin, PeerFault> {
        let good = bool::from(self.card.answer().ct_eq(answer));
        if good && now <= self.until { Ok(self.card.reader.compared()) } else { Err(PeerFault::WrongCode) }
    }
}

impl Card {
    /// Reads a picture's text strictly.
    ///
    /// # Errors
    /// [`PeerFault::TooBig`], [`PeerFault::WrongCode`] for another text.
    pub fn parse(text: &str) -> Result<Self, PeerFault> {
        if text.len() > limits::QR_BYTES {
            return Err(PeerFault::TooBig { what: "qr", got: text.len() as u64, max: limits::QR_BYTES as u64 });
        }
        let data = text.strip_prefix(PREFIX).ok_or(PeerFault::WrongCode)?;
        let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(data).map_err(|_| PeerFault::WrongCode)?);
        let card = Self::read(&bytes).map_err(|_| PeerFault::WrongCode)?;
        if *card.to_bytes() == *bytes { Ok(card) } else { Err(PeerFault::WrongCode) }
    }

    /// Compares the picture of somebody whose line and lists are known with what is known. `chain` is theirs.
    ///
    /// # Errors
    /// [`PeerFault::WrongCode`] for a picture for other people or another line; the alarms: [`PeerFault::NewKey`] where the
    /// other side has another key, or takes us for somebody with another one, [`PeerFault::ListFork`].
    pub fn compare(&self, parties: &Parties, chain: &Chain) -> Result<Scan, PeerFault> {
        let Parties { t2, ours, theirs } = parties;
        if self.shower.address != theirs.address || self.reader.address != ours.address || self.t2 != *t2 {
            return Err(PeerFault::WrongCode);
        }
        for (said, known) in [(&self.shower, theirs), (&self.reader, ours)] {
            if said != known {
                return Err(PeerFault::NewKey { got: said.ak, want: known.ak });
            }
        }
        if self.number > chain.number() {
            return Ok(Scan::Ahead { after: chain.number() });
        }
        if chain.hash_of(self.number).is_some_and(|known| known != self.list) {
            return Err(PeerFault::ListFork(self.number));
        }
        Ok(Scan::Same { pin: theirs.compared(), answer: self.answer() })
    }

    /// Who shows it.
    #[must_use]
    pub const fn shower(&self) -> &Side {
        &self.shower
    }

    /// Whom they take the reader for.
    #[must_use]
    pub const fn reader(&self) -> &Side {
        &self.reader
    }

    fn answer(&self) -> [u8; 32] {
        let mut writer = Writer::array_of(7);
        writer.bytes(&self.t2.0);
        self.reader.write(&mut writer);
        self.shower.write(&mut writer);
        mac(self.secret.expose(), &[b"postline/1 scanned\0", &writer.into_bytes()])
    }

    fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut writer = Writer::onto(Vec::with_capacity(limits::QR_BYTES));
        writer.array(10).bytes(&self.t2.0);
        self.shower.write(&mut writer);
        writer.u64(self.number).bytes(&self.list.0);
        self.reader.write(&mut writer);
        writer.bytes(self.secret.expose());
        Zeroizing::new(writer.into_bytes())
    }

    fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        reader.array_of(10)?;
        let card = Self {
            t2: Hash(reader.fixed()?),
            shower: side(&mut reader)?,
            number: reader.u64()?,
            list: Hash(reader.fixed()?),
            reader: side(&mut reader)?,
            secret: Secret::new(reader.fixed()?),
        };
        reader.end()?;
        Ok(card)
    }
}

fn side(reader: &mut Reader<'_>) -> Result<Side, Malformed> {
    Ok(Side { address: reader.address()?, identity: Identity(reader.fixed()?), ak: AddressKey(reader.fixed()?) })
}
