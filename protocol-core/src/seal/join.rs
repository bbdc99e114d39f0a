//! How a new device joins: it shows a code, the person gives it to a device that they have, and that one hands over the AK ([I-19], [I-20]).
//! Spec: `spec/07-identity.md`.
//!
//! ```text
//!   new device                                  node (carries notes, reads nothing)            old device
//!     code on its screen ─────────────────────── a person: camera or fingers ───────────────────▶ code
//!     [1, address, dk, x, until, tag] ──────────────────────────────────────────────────────────▶ tag by the code? in time?
//!     opens: x's secret, the code  ◀──────────────── [1, old dk, y, box] ───────────────────────── box under X25519(x, y), code
//! ```
//!
//! The code is eighty bits that nobody but the two screens knows. The tag binds the new device's keys to it, so a node can't
//! put its own in their place; the box opens only with the code too, so it can't hand over an AK of its own. That the AK is
//! the person's, the new device sees in the chain of their lists, which has its DK by then.

use std::collections::BTreeMap;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use crate::fault::PeerFault;
use crate::id::{Address, DeviceKey, Identity};
use crate::limits;
use crate::seal::aead::Once;
use crate::seal::phrase::Phrase;
use crate::seal::pin::Pin;
use crate::seal::secret::Secret;
use crate::seal::tries::Tries;
use crate::seal::vault::{read_pins, write_pins};
use crate::step::Tick;
use crate::store::sha256;
use crate::time::Millis;
use crate::wire::cbor::{Malformed, Reader, Writer};

const VERSION: u64 = 1;
/// What the box is sealed for.
const LABEL: &str = "join";
/// What a code is in a QR picture.
const QR: &str = "postline:join?v=1&c=";

/// A new device while it waits to be let in. A restart forgets it: then there is another code.
#[derive(Debug)]
pub struct Joining {
    code: Phrase,
    secret: Secret<32>,
    request: Request,
    bytes: Vec<u8>,
}

/// What a new device asks of the person's others: nothing that the node may not read, and nothing that it could change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Whose device it wants to be.
    pub address: Address,
    /// Its key.
    pub dk: DeviceKey,
    /// Its half of the exchange.
    x: [u8; 32],
    /// Until when the code is good.
    pub until: Millis,
    tag: [u8; 32],
}

/// What an old device hands over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The person.
    pub identity: Identity,
    /// Seed of their AK.
    pub ak: Secret<32>,
    /// The key of what is archived for their own eyes.
    pub archive: Secret<32>,
    /// Keys of others that people have compared: as many as there is room for.
    pub pins: BTreeMap<Address, Pin>,
}

impl Joining {
    /// Begins: draws a code, and what to send to the person's other devices.
    #[must_use]
    pub fn begin(tick: &Tick, address: Address, dk: DeviceKey) -> Self {
        let (code, secret) = (Phrase::draw(tick, "join code"), Secret::draw(tick, "join secret"));
        Self::new(code, secret, address, dk, tick.now.plus(limits::CODE_MS))
    }

    /// The same, of what was drawn elsewhere.
    #[must_use]
    pub fn new(code: Phrase, secret: Secret<32>, address: Address, dk: DeviceKey, until: Millis) -> Self {
        let x = PublicKey::from(&StaticSecret::from(*secret.expose())).to_bytes();
        let mut request = Request { address, dk, x, until, tag: [0; 32] };
        request.tag = request.tag_by(&code);
        let bytes = request.to_bytes();
        Self { code, secret, request, bytes }
    }

    /// The code, for the person's eyes.
    #[must_use]
    pub fn code(&self) -> Zeroizing<String> {
        self.code.show()
    }

    /// The code as a QR picture's text, for the person's other camera.
    #[must_use]
    pub fn qr(&self) -> Zeroizing<String> {
        let code = self.code.show();
        let mut text = Zeroizing::new(String::with_capacity(QR.len() + code.len()));
        text.push_str(QR);
        text.push_str(&code);
        text
    }

    /// What goes to the person's other devices, as a note.
    #[must_use]
    pub fn request(&self) -> &[u8] {
        &self.bytes
    }

    /// Until when the code is good.
    #[must_use]
    pub const fn until(&self) -> Millis {
        self.request.until
    }

    /// Opens what an old device answered; says which one that was. What doesn't open changes nothing.
    ///
    /// # Errors
    /// [`PeerFault::WrongCode`] for an answer under another code, to another request, or too late;
    /// [`PeerFault::Sealed`], [`PeerFault::TooBig`] for what is none.
    pub fn open(&self, now: Millis, answer: &[u8]) -> Result<(DeviceKey, Grant), PeerFault> {
        if answer.len() > limits::NOTE_BYTES {
            let (got, max) = (answer.len() as u64, limits::NOTE_BYTES as u64);
            return Err(PeerFault::TooBig { what: "join", got, max });
        }
        if now > self.request.until {
            return Err(PeerFault::WrongCode);
        }
        let damaged = |Malformed(what)| PeerFault::Sealed(what);
        let (from, y, sealed) = read_answer(answer).map_err(damaged)?;
        let header = header(from, &y);
        let shared = exchange(&self.secret, y)?;
        let plain = box_of(&self.code, &shared).open(&bound(&header, &self.bytes), sealed)?;
        Grant::decode(&plain).map(|grant| (from, grant)).map_err(damaged)
    }
}

impl Request {
    /// Reads a request strictly. Who asks is known only once the person has typed the code.
    ///
    /// # Errors
    /// [`PeerFault::TooBig`], [`PeerFault::Sealed`].
    pub fn parse(bytes: &[u8]) -> Result<Self, PeerFault> {
        if bytes.len() > limits::JOIN_BYTES {
            let (got, max) = (bytes.len() as u64, limits::JOIN_BYTES as u64);
            return Err(PeerFault::TooBig { what: "join", got, max });
        }
        let request = Self::read(bytes).map_err(|Malformed(what)| PeerFault::Sealed(what))?;
        if request.to_bytes() == bytes { Ok(request) } else { Err(PeerFault::Sealed("a request in canonical form")) }
    }

    /// Hands the AK over to the device that showed this code. The caller puts its DK into the next device list.
    ///
    /// Each call is a try, right or wrong.
    ///
    /// # Errors
    /// [`PeerFault::Rate`] where no try is left; [`PeerFault::WrongCode`] for another code, a request for another address, or
    /// one whose time is over; [`PeerFault::TooBig`] for a grant that doesn't fit.
    pub fn grant(
        &self,
        tick: &Tick,
        tries: &mut Tries,
        typed: &str,
        ours: (&Address, DeviceKey),
        grant: &Grant,
    ) -> Result<Vec<u8>, PeerFault> {
        tries.make(tick.now)?;
        self.grant_by(tick, &read_code(typed)?, ours, grant)
    }

    /// The same by a code that was tried: the caller has counted it.
    ///
    /// # Errors
    /// As [`grant`](Self::grant), but for the rate.
    pub fn grant_by(
        &self,
        tick: &Tick,
        code: &Phrase,
        ours: (&Address, DeviceKey),
        grant: &Grant,
    ) -> Result<Vec<u8>, PeerFault> {
        let good = bool::from(self.tag_by(code).ct_eq(&self.tag));
        if !good || tick.now > self.until || self.address != *ours.0 || self.dk == ours.1 {
            return Err(PeerFault::WrongCode);
        }
        let secret = Secret::draw(tick, "join answer");
        let y = PublicKey::from(&StaticSecret::from(*secret.expose())).to_bytes();
        let header = header(ours.1, &y);
        let shared = exchange(&secret, self.x)?;
        let plain = grant.encode();
        let sealed = box_of(code, &shared).seal(&bound(&header, &self.to_bytes()), &plain);
        let mut writer = Writer::onto(header);
        writer.bytes(&sealed);
        let answer = writer.into_bytes();
        if answer.len() > limits::NOTE_BYTES {
            let (got, max) = (answer.len() as u64, limits::NOTE_BYTES as u64);
            return Err(PeerFault::TooBig { what: "join", got, max });
        }
        Ok(answer)
    }

    fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        reader.array_of(6)?;
        if reader.u64()? != VERSION {
            return Err(Malformed("version 1"));
        }
        let (address, dk) = (reader.address()?, DeviceKey(reader.fixed()?));
        let request = Self { address, dk, x: reader.fixed()?, until: reader.millis()?, tag: reader.fixed()? };
        reader.end()?;
        Ok(request)
    }

    /// The request as it came.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::onto(self.head());
        writer.bytes(&self.tag);
        writer.into_bytes()
    }

    /// All of it but the tag.
    fn head(&self) -> Vec<u8> {
        let mut writer = Writer::array_of(6);
        writer.u64(VERSION).address(&self.address).bytes(&self.dk.0).bytes(&self.x).millis(self.until);
        writer.into_bytes()
    }

    /// HMAC-SHA-256 under the code.
    fn tag_by(&self, code: &Phrase) -> [u8; 32] {
        mac(code.expose(), &[b"postline/1 join request\0", &self.head()])
    }
}

/// Reads a code as a person typed it, or as their camera saw it.
///
/// # Errors
/// [`PeerFault::WrongCode`] for what is none, a slip of the pen too.
pub fn read_code(typed: &str) -> Result<Phrase, PeerFault> {
    Phrase::parse(typed.strip_prefix(QR).unwrap_or(typed))
}

impl Grant {
    fn encode(&self) -> Zeroizing<Vec<u8>> {
        // As much as it takes: growing would leave pieces of the seeds behind.
        let room = 256 + self.pins.keys().map(|address| address.to_string().len() + 80).sum::<usize>();
        let mut writer = Writer::onto(Vec::with_capacity(room));
        writer.array(5).u64(VERSION).bytes(&self.identity.0).bytes(self.ak.expose()).bytes(self.archive.expose());
        write_pins(&mut writer, &self.pins);
        Zeroizing::new(writer.into_bytes())
    }

    fn decode(plain: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(plain);
        reader.array_of(5)?;
        if reader.u64()? != VERSION {
            return Err(Malformed("version 1"));
        }
        let grant = Self {
            identity: Identity(reader.fixed()?),
            ak: Secret::new(reader.fixed()?),
            archive: Secret::new(reader.fixed()?),
            pins: read_pins(&mut reader, limits::NOTE_BYTES)?,
        };
        reader.end()?;
        Ok(grant)
    }
}

/// HMAC-SHA-256 (RFC 2104) over the parts.
pub(super) fn mac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    // HMAC takes keys of any length; the engine says so with a result all the same.
    let Ok(mut mac) = <Hmac<Sha256> as KeyInit>::new_from_slice(key) else { return [0; 32] };
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

/// X25519 (RFC 7748); a share that makes zero of every secret is refused (attack 68).
fn exchange(secret: &Secret<32>, theirs: [u8; 32]) -> Result<Secret<32>, PeerFault> {
    let shared = StaticSecret::from(*secret.expose()).diffie_hellman(&PublicKey::from(theirs));
    if shared.was_contributory() { Ok(Secret::new(shared.to_bytes())) } else { Err(PeerFault::Sealed("a weak key")) }
}

fn box_of(code: &Phrase, shared: &Secret<32>) -> Once {
    Once::derive(code.expose(), shared.expose(), LABEL)
}

/// What the box is bound to: who answers, and what was asked.
fn bound(header: &[u8], request: &[u8]) -> Vec<u8> {
    [header, &sha256(&[request]).0].concat()
}

/// The answer without its box.
fn header(from: DeviceKey, y: &[u8; 32]) -> Vec<u8> {
    let mut writer = Writer::array_of(4);
    writer.u64(VERSION).bytes(&from.0).bytes(y);
    writer.into_bytes()
}

fn read_answer(bytes: &[u8]) -> Result<(DeviceKey, [u8; 32], &[u8]), Malformed> {
    let mut reader = Reader::new(bytes);
    reader.array_of(4)?;
    if reader.u64()? != VERSION {
        return Err(Malformed("version 1"));
    }
    let answer = (DeviceKey(reader.fixed()?), reader.fixed()?, reader.bytes()?);
    reader.end()?;
    Ok(answer)
}
