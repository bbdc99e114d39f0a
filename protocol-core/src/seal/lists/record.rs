//! A chain as record bytes: version, then its parts, lists of parts flat.

use crate::fault::RestoreError;
use crate::id::{Address, AddressKey, DeviceKey, Hash, Identity};
use crate::limits;
use crate::store::Key;
use crate::wire::cbor::{Malformed, Reader, Writer};
use crate::wire::list::{Device, read_devices, write_devices};

use super::{Chain, Era, Gone};

const VERSION: u64 = 1;

impl Chain {
    /// Its record bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::array_of(11);
        writer.u64(VERSION).bytes(&self.identity.0).address(&self.address).u64(self.number);
        writer.bytes(&self.next.0).maybe(self.successor, |w, ak| w.bytes(&ak.0));
        write_devices(&mut writer, self.devices.iter().map(|(device, _)| device));
        writer.list(self.devices.iter(), |w, (_, since)| {
            w.u64(*since);
        });
        writer.array(self.gone.len() as u64 * 4);
        for gone in &self.gone {
            writer.bytes(&gone.dk.0).u64(gone.since).u64(gone.until).bool(gone.hosted);
        }
        writer.array(self.eras.len() as u64 * 3);
        for era in &self.eras {
            writer.u64(era.from).bytes(&era.ak.0).bool(era.hosted);
        }
        writer.list(self.hashes.iter(), |w, hash| {
            w.bytes(&hash.0);
        });
        writer.into_bytes()
    }

    /// Reads what [`Chain::encode`] wrote, as part of the record of this key.
    ///
    /// # Errors
    /// [`RestoreError`] for bytes of another version, and for damaged ones.
    pub fn decode(key: &Key, bytes: &[u8]) -> Result<Self, RestoreError> {
        let damaged = |Malformed(what)| RestoreError::Damaged { key: key.clone(), what };
        let mut reader = Reader::new(bytes);
        let items = reader.array(64).map_err(damaged)?;
        let version = reader.u64().map_err(damaged)?;
        if version != VERSION {
            return Err(RestoreError::Version { key: key.clone(), found: version, known: VERSION });
        }
        if items != 11 {
            return Err(damaged(Malformed("eleven items")));
        }
        read(&mut reader).map_err(damaged)
    }
}

fn read(reader: &mut Reader<'_>) -> Result<Chain, Malformed> {
    let identity = Identity(reader.fixed()?);
    let address: Address = reader.address()?;
    let number = reader.u64()?;
    let next = Hash(reader.fixed()?);
    let successor = reader.maybe(|r| r.fixed().map(AddressKey))?;
    let devices = read_devices(reader)?;
    let since = reader.list(limits::DEVICES as u64, Reader::u64)?;
    if devices.is_empty() || since.len() != devices.len() {
        return Err(Malformed("a number for each device"));
    }
    let devices: Vec<(Device, u64)> = devices.into_iter().zip(since).collect();
    let gone = groups(reader, limits::REVOKED, 4, |r| {
        Ok(Gone { dk: DeviceKey(r.fixed()?), since: r.u64()?, until: r.u64()?, hosted: r.bool()? })
    })?;
    let eras = groups(reader, limits::ADDRESS_KEYS, 3, |r| {
        Ok(Era { from: r.u64()?, ak: AddressKey(r.fixed()?), hosted: r.bool()? })
    })?;
    let hashes = reader.list(limits::LIST_HASHES as u64, |r| r.fixed().map(Hash))?;
    reader.end()?;
    let first = eras.first().is_some_and(|era: &Era| era.from == 1 && era.ak.identity() == identity);
    if !first || hashes.is_empty() || hashes.len() as u64 > number {
        return Err(Malformed("a key and a hash"));
    }
    Ok(Chain { identity, address, number, next, successor, devices, gone, eras, hashes })
}

/// Reads a flat list of at most `max` groups of `items` items.
fn groups<T>(
    reader: &mut Reader<'_>,
    max: usize,
    items: u64,
    mut read: impl FnMut(&mut Reader<'_>) -> Result<T, Malformed>,
) -> Result<Vec<T>, Malformed> {
    let len = reader.array(max as u64 * items)?;
    if len % items != 0 {
        return Err(Malformed("whole groups"));
    }
    (0..len / items).map(|_| read(reader)).collect()
}
