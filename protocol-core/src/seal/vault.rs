//! The backup: what a person needs to go on without any of their devices, sealed under a phrase that they wrote down ([I-17], [I-18]).
//! Spec: `spec/07-identity.md`.
//!
//! ```text
//!   plain = [1, identity, address, made, ak seed, next seed, archive key, pins]     pins = [* (address, identity, ak, level)]
//!   blob  = [1, salt, kib, passes, box]      box under argon2id(phrase, salt, kib, passes), bound to all before it
//! ```
//!
//! Here alone is the next AK: no device and no node has it. A DK or the state of a conversation is never in a backup: who
//! restores one is a new device (attack 62).

use std::collections::BTreeMap;

use argon2::{Algorithm, Argon2, Block, Params, Version};
use zeroize::{Zeroize, Zeroizing};

use crate::fault::{Misuse, PeerFault};
use crate::id::{Address, Identity};
use crate::limits;
use crate::seal::address::AddressIdentity;
use crate::seal::aead::Once;
use crate::seal::lists::Chain;
use crate::seal::phrase::Phrase;
use crate::seal::pin::Pin;
use crate::seal::secret::Secret;
use crate::step::Tick;
use crate::time::Millis;
use crate::wire::cbor::{Malformed, Reader, Writer};

/// The version that the blob and its content begin with.
const VERSION: u64 = 1;
/// What the box is sealed for.
const LABEL: &str = "backup";

/// What a backup holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    /// The person.
    pub identity: Identity,
    /// Their address.
    pub address: Address,
    /// When it was made.
    pub made: Millis,
    /// Seed of their AK.
    pub ak: Secret<32>,
    /// Seed of the AK that may follow it.
    pub next: Secret<32>,
    /// The key of what is archived for their own eyes.
    pub archive: Secret<32>,
    /// The keys of those that they write to, and how each is known: at most [`BACKUP_PINS`](limits::BACKUP_PINS).
    pub pins: BTreeMap<Address, Pin>,
}

/// What it costs to try a phrase, by argon2id (RFC 9106) with one lane: it stands in the blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Memory, in KiB: 8 to [`BACKUP_KIB`](limits::BACKUP_KIB).
    pub kib: u32,
    /// Passes: 1 to [`BACKUP_PASSES`](limits::BACKUP_PASSES).
    pub passes: u32,
}

impl Default for Cost {
    /// 64 MiB, three passes: the second choice of RFC 9106 §4 with one lane. The phrase's eighty bits carry the weight.
    fn default() -> Self {
        Self { kib: 64 * 1024, passes: 3 }
    }
}

impl Backup {
    /// Seals it under a phrase that was drawn for it. Takes as long as `cost` says.
    ///
    /// # Errors
    /// [`Misuse::OutOfPlace`] for a cost or a number of pins out of bounds.
    pub fn seal(&self, tick: &Tick, phrase: &Phrase, cost: Cost) -> Result<Vec<u8>, Misuse> {
        if self.pins.len() > limits::BACKUP_PINS || !cost.is_bounded() {
            return Err(Misuse::OutOfPlace("a backup within its bounds"));
        }
        let salt = Secret::<16>::draw(tick, "backup salt");
        let header = header(salt.expose(), cost);
        let once = stretch(phrase, salt.expose(), cost).map_err(|_| Misuse::OutOfPlace("memory for a backup"))?;
        let sealed = once.seal(&header, &self.encode());
        let mut writer = Writer::onto(header);
        writer.bytes(&sealed);
        Ok(writer.into_bytes())
    }

    /// Opens a backup. Takes as long as the cost that stands in it, which is bounded; nothing changes where it fails.
    ///
    /// # Errors
    /// [`PeerFault::WrongCode`] for another phrase, [`PeerFault::TooBig`] for one out of bounds or that asks for too much,
    /// [`PeerFault::Sealed`] for one that is damaged or of another version.
    pub fn open(bytes: &[u8], phrase: &Phrase) -> Result<Self, PeerFault> {
        if bytes.len() > limits::BACKUP_BYTES {
            let (got, max) = (bytes.len() as u64, limits::BACKUP_BYTES as u64);
            return Err(PeerFault::TooBig { what: "backup", got, max });
        }
        let damaged = |Malformed(what)| PeerFault::Sealed(what);
        let Blob { salt, kib, passes, sealed } = Blob::read(bytes).map_err(damaged)?;
        let small = |got: u64, max: u32, what| {
            let bounded = u32::try_from(got).ok().filter(|got| *got <= max);
            bounded.ok_or(PeerFault::TooBig { what, got, max: max.into() })
        };
        let cost = Cost {
            kib: small(kib, limits::BACKUP_KIB, "a backup's memory")?,
            passes: small(passes, limits::BACKUP_PASSES, "a backup's passes")?,
        };
        let header = header(&salt, cost);
        let mut again = Writer::onto(header.clone());
        again.bytes(sealed);
        if !cost.is_bounded() || again.into_bytes() != bytes {
            return Err(PeerFault::Sealed("a backup in canonical form"));
        }
        let plain = stretch(phrase, &salt, cost)?.open(&header, sealed)?;
        let backup = Self::decode(&plain).map_err(damaged)?;
        if *backup.encode() == *plain { Ok(backup) } else { Err(PeerFault::Sealed("a backup in canonical form")) }
    }

    /// The key of the backup that may sign this person's next list: their AK as long as it is theirs, else the next one
    /// where that has taken over since.
    ///
    /// # Errors
    /// [`PeerFault::Keys`] for another person's backup, and for one of keys that are past.
    pub fn key_for(&self, chain: &Chain) -> Result<AddressIdentity, PeerFault> {
        if chain.identity() != self.identity {
            return Err(PeerFault::Keys("a backup of another person"));
        }
        let [ak, next] = [&self.ak, &self.next].map(AddressIdentity::new);
        let signs = chain.successor().unwrap_or_else(|| chain.ak());
        [ak, next].into_iter().find(|key| key.ak() == signs).ok_or(PeerFault::Keys("a backup of keys that are past"))
    }

    fn encode(&self) -> Zeroizing<Vec<u8>> {
        // As much as it takes: growing would leave pieces of the seeds behind.
        let room = 1_024 + self.pins.keys().map(|address| address.to_string().len() + 80).sum::<usize>();
        let mut writer = Writer::onto(Vec::with_capacity(room));
        writer.array(8).u64(VERSION).bytes(&self.identity.0).address(&self.address).millis(self.made);
        writer.bytes(self.ak.expose()).bytes(self.next.expose()).bytes(self.archive.expose());
        write_pins(&mut writer, &self.pins);
        Zeroizing::new(writer.into_bytes())
    }

    fn decode(plain: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(plain);
        reader.array_of(8)?;
        if reader.u64()? != VERSION {
            return Err(Malformed("version 1"));
        }
        let backup = Self {
            identity: Identity(reader.fixed()?),
            address: reader.address()?,
            made: reader.millis()?,
            ak: Secret::new(reader.fixed()?),
            next: Secret::new(reader.fixed()?),
            archive: Secret::new(reader.fixed()?),
            pins: read_pins(&mut reader, limits::BACKUP_PINS)?,
        };
        reader.end()?;
        Ok(backup)
    }
}

impl Cost {
    fn is_bounded(self) -> bool {
        (Params::MIN_M_COST..=limits::BACKUP_KIB).contains(&self.kib)
            && (1..=limits::BACKUP_PASSES).contains(&self.passes)
    }
}

/// All of the blob but the box: what the box is bound to.
fn header(salt: &[u8; 16], cost: Cost) -> Vec<u8> {
    let mut writer = Writer::array_of(5);
    writer.u64(VERSION).bytes(salt).u64(cost.kib.into()).u64(cost.passes.into());
    writer.into_bytes()
}

/// A blob as it came.
struct Blob<'b> {
    salt: [u8; 16],
    kib: u64,
    passes: u64,
    sealed: &'b [u8],
}

impl<'b> Blob<'b> {
    fn read(bytes: &'b [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        reader.array_of(5)?;
        if reader.u64()? != VERSION {
            return Err(Malformed("version 1"));
        }
        let blob = Self { salt: reader.fixed()?, kib: reader.u64()?, passes: reader.u64()?, sealed: reader.bytes()? };
        reader.end()?;
        Ok(blob)
    }
}

/// The box's keys. Asks for its memory rather than taking it for granted, and wipes it.
fn stretch(phrase: &Phrase, salt: &[u8; 16], cost: Cost) -> Result<Once, PeerFault> {
    let no_memory = || PeerFault::TooBig { what: "a backup's memory", got: cost.kib.into(), max: 0 };
    let params = Params::new(cost.kib, cost.passes, 1, Some(32)).map_err(|_| PeerFault::Sealed("a backup's cost"))?;
    let mut memory: Vec<Block> = Vec::new();
    memory.try_reserve_exact(params.block_count()).map_err(|_| no_memory())?;
    memory.resize(params.block_count(), Block::default());
    let mut key = Zeroizing::new([0; 32]);
    let engine = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let done = engine.hash_password_into_with_memory(phrase.expose(), salt, &mut *key, &mut memory);
    memory.iter_mut().for_each(Zeroize::zeroize);
    done.map_err(|_| PeerFault::Sealed("a backup's cost"))?;
    Ok(Once::derive(salt, &*key, LABEL))
}

/// Pins, flat, by the text of their address.
pub(super) fn write_pins(writer: &mut Writer, pins: &BTreeMap<Address, Pin>) {
    let by_text: BTreeMap<String, &Pin> = pins.iter().map(|(address, pin)| (address.to_string(), pin)).collect();
    writer.array(by_text.len() as u64 * 4);
    for (address, pin) in by_text {
        writer.str(&address);
        pin.write(writer);
    }
}

pub(super) fn read_pins(reader: &mut Reader<'_>, max: usize) -> Result<BTreeMap<Address, Pin>, Malformed> {
    let items = reader.array(max as u64 * 4)?;
    if items % 4 != 0 {
        return Err(Malformed("pins of four items"));
    }
    (0..items / 4).map(|_| Ok((reader.address()?, Pin::read(reader)?))).collect()
}
