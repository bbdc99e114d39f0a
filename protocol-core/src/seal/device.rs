//! A device's key, DK: the signature key of its leaves in MLS, and what proves its sessions. It never leaves the device.
//!
//! MLS signs under its own labels (RFC 9420 §5.1.2): its input begins with a length of one byte and `MLS 1.0 `, ours with
//! `postline/1 `, so that neither is taken for the other (attack 67).

use crate::id::DeviceKey;
use crate::seal::secret::Secret;
use crate::seal::sign::{Pen, Signature};
use crate::wire::signed::Signable;

/// The DK's secret half.
#[derive(Debug)]
pub struct DeviceIdentity {
    key: Pen,
    dk: DeviceKey,
}

impl DeviceIdentity {
    /// Makes it from its seed.
    #[must_use]
    pub fn new(seed: &Secret<32>) -> Self {
        let key = Pen::new(seed);
        let dk = DeviceKey(key.public());
        Self { key, dk }
    }

    /// The public key.
    #[must_use]
    pub const fn dk(&self) -> DeviceKey {
        self.dk
    }

    /// Signs a value that was built here. There is no way to sign bytes (attack 66).
    #[must_use]
    pub fn sign(&self, value: &impl Signable) -> Signature {
        self.key.sign(value)
    }

    /// The seed, for the MLS engine and for the device's own record: nowhere else.
    #[allow(dead_code, reason = "the MLS seam and the device's record are its only users")]
    pub(crate) fn seed(&self) -> Secret<32> {
        self.key.seed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// [K-5]
    #[test]
    fn t_089_a_device_identity_prints_no_secret() {
        let ours = DeviceIdentity::new(&Secret::new([7; 32]));
        let printed = format!("{ours:?}");
        assert!(printed.contains("Secret(..)") && !printed.contains("[7, 7"), "{printed}");
        assert_eq!(ours.seed(), Secret::new([7; 32]));
    }
}
