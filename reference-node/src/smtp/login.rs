//! What a client says when it logs in: SASL PLAIN (RFC 4616) and LOGIN, in base64 lines (RFC 4954).
//!
//! ```text
//!   PLAIN ──▶ Plain ──────────────▶ Credentials
//!   LOGIN ──▶ User ──▶ Password ──▶ Credentials
//! ```

use core::fmt;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use zeroize::Zeroizing;

use super::command::Mechanism;

/// A user's name and password, as they came. The password is never printed, and wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The name, as typed.
    pub user: String,
    /// The password.
    pub password: Zeroizing<String>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Which message of the client is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// All in one.
    Plain,
    /// The name.
    User,
    /// The password of this name.
    Password(String),
}

/// What a message led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// The next is due.
    Next(Awaited),
    /// All is said.
    Whole(Credentials),
}

/// The client's message is no base64, or not what the mechanism asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl Awaited {
    /// The first message of a mechanism.
    #[must_use]
    pub const fn first(mechanism: Mechanism) -> Self {
        match mechanism {
            Mechanism::Plain => Self::Plain,
            Mechanism::Login => Self::User,
        }
    }

    /// The line that asks for it.
    #[must_use]
    pub const fn challenge(&self) -> &'static str {
        match self {
            Self::Plain => "334 ",
            Self::User => "334 VXNlcm5hbWU6",
            Self::Password(_) => "334 UGFzc3dvcmQ6",
        }
    }

    /// Takes the client's message.
    ///
    /// # Errors
    /// [`Malformed`] for what is no base64, no UTF-8, or names nobody.
    pub fn hear(self, line: &[u8]) -> Result<Heard, Malformed> {
        let said = BASE64_STANDARD.decode(line).map_err(|_| Malformed)?;
        let said = Zeroizing::new(String::from_utf8(said).map_err(|_| Malformed)?);
        match self {
            Self::Plain => plain(&said).map(Heard::Whole),
            Self::User if said.is_empty() || said.contains('\0') => Err(Malformed),
            Self::User => Ok(Heard::Next(Self::Password(said.to_string()))),
            Self::Password(_) if said.contains('\0') => Err(Malformed),
            Self::Password(user) => Ok(Heard::Whole(Credentials { user, password: said })),
        }
    }
}

/// `[authzid] NUL authcid NUL passwd`. Nobody acts for another here, so an authzid is the authcid or none.
fn plain(said: &str) -> Result<Credentials, Malformed> {
    let mut parts = said.split('\0');
    let (Some(acts_for), Some(user), Some(password), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Malformed);
    };
    if user.is_empty() || (!acts_for.is_empty() && acts_for != user) {
        return Err(Malformed);
    }
    Ok(Credentials { user: user.to_owned(), password: password.to_owned().into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> Result<Heard, Malformed> {
        Awaited::Plain.hear(BASE64_STANDARD.encode(text).as_bytes())
    }

    #[test]
    fn plain_names_one_user_and_one_password() {
        let alice = Credentials { user: "alice".into(), password: "tea pot".to_owned().into() };
        assert_eq!(plain("\0alice\0tea pot"), Ok(Heard::Whole(alice.clone())));
        assert_eq!(plain("alice\0alice\0tea pot"), Ok(Heard::Whole(alice)));
        for bad in ["", "alice", "\0alice", "\0\0x", "bob\0alice\0x", "\0alice\0x\0y"] {
            assert_eq!(plain(bad), Err(Malformed), "{bad:?}");
        }
        for bad in ["*", "====", "AGFsaWNlAHg", "AGFsaWNlAHg=\u{20}", "AP8A/w=="] {
            assert_eq!(Awaited::Plain.hear(bad.as_bytes()), Err(Malformed), "{bad:?}");
        }
    }

    #[test]
    fn t_089_a_password_is_never_printed() {
        let said = Credentials { user: "alice".into(), password: "CANARY".to_owned().into() };
        assert!(!format!("{said:?}{:?}", Heard::Whole(said.clone())).contains("CANARY"));
    }
}
