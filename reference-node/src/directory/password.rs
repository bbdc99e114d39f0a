//! Passwords: argon2id hashes (RFC 9106), as PHC strings.

use std::fmt;

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash as Phc, Salt};
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};

use crate::config::PasswordCost;

/// A hash to verify passwords against; never printed, only stored.
#[derive(Clone)]
pub(super) struct PasswordHash(Phc);

impl PasswordHash {
    /// Hashes a password with a fresh salt. Takes as long as `cost` says: never on an async thread.
    pub(super) fn new(password: &str, cost: PasswordCost) -> Result<Self, argon2::password_hash::Error> {
        Ok(Self(engine(cost)?.hash_password(password.as_bytes())?))
    }

    /// A hash of the same cost that no password is known for: what is verified where there is no user, so that both
    /// take as long (attack 106).
    pub(super) fn of_nobody(cost: PasswordCost) -> Result<Self, argon2::password_hash::Error> {
        Ok(Self(Phc {
            algorithm: Algorithm::Argon2id.ident(),
            version: Some(Version::V0x13.into()),
            params: ParamsString::try_from(engine(cost)?.params())?,
            salt: Some(Salt::new(&[0; 16])?),
            hash: Some(Output::new(&[0; Params::DEFAULT_OUTPUT_LEN])?),
        }))
    }

    /// Whether it is the hash of this password. Takes as long as the hash costs.
    pub(super) fn fits(&self, password: &str) -> bool {
        Argon2::default().verify_password(password.as_bytes(), &self.0).is_ok()
    }

    /// Reads what [`stored`](Self::stored) wrote; `None` for anything but an argon2id hash.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let phc = Phc::new(text).ok()?;
        let whole = phc.salt.is_some() && phc.hash.is_some() && Params::try_from(&phc).is_ok();
        (whole && phc.algorithm == Algorithm::Argon2id.ident()).then_some(Self(phc))
    }

    /// The PHC string, for the file.
    pub(super) fn stored(&self) -> String {
        self.0.to_string()
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(..)")
    }
}

fn engine(cost: PasswordCost) -> Result<Argon2<'static>, argon2::Error> {
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(cost.memory_kib, cost.passes, 1, None)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIGHT: PasswordCost = PasswordCost { memory_kib: 64, passes: 1 };

    #[test]
    fn a_hash_survives_its_file_and_fits_one_password() {
        let hash = PasswordHash::new("correct horse", LIGHT).unwrap();
        let again = PasswordHash::parse(&hash.stored()).unwrap();
        assert!(again.fits("correct horse") && !again.fits("correct horsf") && !again.fits(""));
        assert!(hash.stored().starts_with("$argon2id$v=19$m=64,t=1,p=1$"), "{}", hash.stored());
    }

    #[test]
    fn two_hashes_of_one_password_differ() {
        let [one, two] = [0; 2].map(|_| PasswordHash::new("same words", LIGHT).unwrap().stored());
        assert_ne!(one, two);
    }

    #[test]
    fn what_is_no_argon2id_hash_is_refused() {
        let i = "$argon2i$v=19$m=64,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        for bad in ["", "plain", "$argon2id$v=19$m=64,t=1,p=1", "$2b$12$abc", i] {
            assert!(PasswordHash::parse(bad).is_none(), "{bad:?} was taken for a hash");
        }
        assert!(PasswordHash::parse(&PasswordHash::of_nobody(LIGHT).unwrap().stored()).is_some());
    }
}
