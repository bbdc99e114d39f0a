//! The node's directory: which devices its people have. What they make known of their keys is refused until it is kept.

use super::Server;
use super::io::Output;
use super::sessions::Online;
use crate::fault::{Code, RestoreError};
use crate::id::{Address, DeviceKey, SessionId};
use crate::limits;
use crate::step::{Outbox, Tick};
use crate::store::{Key, Record};
use crate::wire::cbor::{Malformed, Reader, Writer};
use crate::wire::talk::{Publication, Question, Talk};

/// What is known of an address's keys: [`Key::Keys`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Known {
    /// The devices that are enrolled here, oldest first: of our addresses only.
    pub(super) devices: Vec<DeviceKey>,
}

const VERSION: u64 = 1;

impl Known {
    pub(super) fn record(&self, address: &Address) -> Record {
        let mut w = Writer::array_of(2);
        w.u64(VERSION).list(self.devices.iter(), |w, dk| _ = w.bytes(&dk.0));
        Record::put(Key::Keys(address.clone()), w.into_bytes())
    }

    pub(super) fn restore(record: &Record) -> Result<Self, RestoreError> {
        let damaged = |what: Malformed| RestoreError::Damaged { key: record.key.clone(), what: what.0 };
        let mut r = Reader::new(record.value.as_deref().unwrap_or_default());
        r.array(16).map_err(damaged)?;
        let found = r.u64().map_err(damaged)?;
        if found != VERSION {
            return Err(RestoreError::Version { key: record.key.clone(), found, known: VERSION });
        }
        let mut read = || {
            let devices = r.list(limits::DEVICES as u64, |r| r.fixed().map(DeviceKey))?;
            r.end()?;
            Ok(Self { devices })
        };
        read().map_err(damaged)
    }

    /// Whether the address's current list has the device.
    pub(super) fn lists(&self, _: DeviceKey) -> bool {
        false
    }
}

impl Server {
    /// Tells a device what its lines are.
    pub(super) fn lines_to(&mut self, _: SessionId, _: &Online, _: &mut Outbox<Output>) {}

    /// What a device that is gone has left goes too.
    pub(super) fn drop_keys_of(&mut self, _: &Address, _: DeviceKey, _: &mut Outbox<Output>) {}

    /// A device makes something known.
    pub(super) fn published(
        &mut self,
        _: &Tick,
        session: SessionId,
        _: &Online,
        number: u64,
        _: Publication,
        out: &mut Outbox<Output>,
    ) {
        self.say_to(session, Talk::Published { number, code: Some(Code::Busy) }, out);
    }

    /// A device asks for keys.
    pub(super) fn asked(
        &mut self,
        _: &Tick,
        session: SessionId,
        _: &Online,
        number: u64,
        _: Question,
        out: &mut Outbox<Output>,
    ) {
        self.say_to(session, Talk::Answer { number, what: Err(Code::NotTrusted) }, out);
    }
}
