//! A person's device list: which devices are theirs, under which key, signed by it and chained. Spec: `spec/07-identity.md`.
//!
//! ```text
//!   list    = [1, identity, address, number, prev / null, ak, hosted, devices, revoked, next, successor / null]
//!   devices = [* (dk, caps, added, name / null)]     flat, by dk        revoked = [* dk], sorted
//!   prev    = hash of the list before                next = H(next AK)  successor: the own AK that a hosted one names
//! ```
//!
//! Here stands what one list must be by itself. What may follow what, `seal::lists` judges.

use crate::fault::PeerFault;
use crate::id::{Address, AddressKey, DeviceKey, Hash, Identity, hides_or_reorders};
use crate::limits;
use crate::time::Millis;
use crate::wire::cbor::{Malformed, Reader, Writer};
use crate::wire::signed::{Role, Signable, sealed};
use crate::wire::statement::{Statement, VERSION};

/// Who a person's devices are, from this number on ([I-3]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceList {
    /// The person: hash of the AK of their first list.
    pub identity: Identity,
    /// Their address.
    pub address: Address,
    /// Which list it is: 1, 2, 3, …
    pub number: u64,
    /// Hash of the one before; `None` for the first.
    pub prev: Option<Hash>,
    /// The key that signs it.
    pub ak: AddressKey,
    /// Whether the person's node holds that key.
    pub hosted: bool,
    /// The devices, by key: 1 to [`DEVICES`](limits::DEVICES).
    pub devices: Vec<Device>,
    /// All that ever were and are no more, by key: at most [`REVOKED`](limits::REVOKED).
    pub revoked: Vec<DeviceKey>,
    /// Hash of the AK that may follow this one (pre-rotation).
    pub next: Hash,
    /// Of a hosted list: the person's own AK, which signs the next list.
    pub successor: Option<AddressKey>,
}

/// A device in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its key.
    pub dk: DeviceKey,
    /// What it is and can, a bit each; bits that we don't know mean nothing.
    pub caps: u64,
    /// When it was added, as the signer's clock said.
    pub added: Millis,
    /// What the person calls it, where they let all whom they write to know.
    pub name: Option<DeviceName>,
}

/// The bit of [`Device::caps`] for a device that a node runs, and could read along with.
pub const HOSTED: u64 = 1;

impl Device {
    /// A device without a name, of a person or run by a node.
    #[must_use]
    pub const fn new(dk: DeviceKey, hosted: bool, added: Millis) -> Self {
        Self { dk, caps: if hosted { HOSTED } else { 0 }, added, name: None }
    }

    /// Whether a node runs it.
    #[must_use]
    pub const fn hosted(&self) -> bool {
        self.caps & HOSTED != 0
    }
}

/// A device's name: 1 to [`DEVICE_NAME_BYTES`](limits::DEVICE_NAME_BYTES) bytes that neither hide nor reorder text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceName(String);

impl DeviceName {
    /// Takes a text for a name.
    ///
    /// # Errors
    /// [`Malformed`] for an empty or long one, for controls and what hides or reorders text, for white space but single
    /// spaces within.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let spaced = text.starts_with(' ') || text.ends_with(' ') || text.contains("  ");
        let odd = text.chars().any(|c| c != ' ' && hides_or_reorders(c));
        if text.is_empty() || text.len() > limits::DEVICE_NAME_BYTES || spaced || odd {
            return Err(Malformed("a device's name"));
        }
        Ok(Self(text.to_owned()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl DeviceList {
    /// What one list must be by itself.
    ///
    /// # Errors
    /// [`Malformed`] with what it isn't.
    pub(crate) fn check(&self) -> Result<(), Malformed> {
        let first = self.number == 1;
        let want = |holds, what| if holds { Ok(()) } else { Err(Malformed(what)) };
        want(self.number > 0, "a number from 1")?;
        want(self.prev.is_none() == first, "the hash of the list before, but for the first")?;
        want(!first || self.identity == self.ak.identity(), "an identity that is the hash of the first key")?;
        want(!self.devices.is_empty() && self.devices.len() <= limits::DEVICES, "devices within bounds")?;
        want(self.devices.is_sorted_by(|a, b| a.dk < b.dk), "devices by key, each once")?;
        want(self.revoked.len() <= limits::REVOKED, "revoked devices within bounds")?;
        want(self.revoked.is_sorted_by(|a, b| a < b), "revoked devices by key, each once")?;
        let gone = |device: &Device| self.revoked.binary_search(&device.dk).is_ok();
        want(!self.devices.iter().any(gone), "no device that was revoked")?;
        let mut keys = self.devices.iter().map(|device| device.dk.0);
        want(!keys.any(|dk| dk == self.ak.0), "a key for each job")?;
        want(self.next != self.ak.hash(), "another key to follow")?;
        want(self.successor.is_none() || self.hosted, "a successor of a hosted key only")?;
        want(self.successor != Some(self.ak), "a successor that is another key")
    }
}

impl sealed::Sealed for DeviceList {}
impl Signable for DeviceList {
    fn role(&self) -> Role {
        Self::ROLE
    }

    fn canonical(&self) -> Vec<u8> {
        let mut writer = Writer::array_of(11);
        writer.u64(VERSION).bytes(&self.identity.0).address(&self.address).u64(self.number);
        writer.maybe(self.prev, |w, prev| w.bytes(&prev.0)).bytes(&self.ak.0).bool(self.hosted);
        write_devices(&mut writer, self.devices.iter());
        writer.list(self.revoked.iter(), |w, dk| {
            w.bytes(&dk.0);
        });
        writer.bytes(&self.next.0).maybe(self.successor, |w, ak| w.bytes(&ak.0));
        writer.into_bytes()
    }
}

impl Statement for DeviceList {
    const ROLE: Role = Role::DeviceList;
    const MAX: usize = limits::LIST_BYTES;
    const NAME: &'static str = "device list";

    fn ak(&self) -> AddressKey {
        self.ak
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        reader.array_of(11)?;
        if reader.u64()? != VERSION {
            return Err(Malformed("version 1"));
        }
        let list = Self {
            identity: Identity(reader.fixed()?),
            address: reader.address()?,
            number: reader.u64()?,
            prev: reader.maybe(|r| r.fixed().map(Hash))?,
            ak: AddressKey(reader.fixed()?),
            hosted: reader.bool()?,
            devices: read_devices(reader)?,
            revoked: reader.list(limits::REVOKED as u64, |r| r.fixed().map(DeviceKey))?,
            next: Hash(reader.fixed()?),
            successor: reader.maybe(|r| r.fixed().map(AddressKey))?,
        };
        list.check().map(|()| list)
    }

    fn fault(what: &'static str) -> PeerFault {
        PeerFault::List(what)
    }
}

/// How many items a device has in a flat list of devices.
const ITEMS: u64 = 4;

pub(crate) fn write_devices<'d>(writer: &mut Writer, devices: impl ExactSizeIterator<Item = &'d Device>) {
    writer.array(devices.len() as u64 * ITEMS);
    for device in devices {
        writer.bytes(&device.dk.0).u64(device.caps).millis(device.added);
        writer.maybe(device.name.as_ref(), |w, name| w.str(name.as_str()));
    }
}

pub(crate) fn read_devices(reader: &mut Reader<'_>) -> Result<Vec<Device>, Malformed> {
    let items = reader.array(limits::DEVICES as u64 * ITEMS)?;
    if items % ITEMS != 0 {
        return Err(Malformed("devices of four items"));
    }
    let mut device = || {
        Ok(Device {
            dk: DeviceKey(reader.fixed()?),
            caps: reader.u64()?,
            added: reader.millis()?,
            name: reader.maybe(|r| DeviceName::parse(r.str()?))?,
        })
    };
    (0..items / ITEMS).map(|_| device()).collect()
}
