//! What an implementation says to a request: a value, the class of its refusal, or that it doesn't know.

use postline_core::fault::PeerFault;
use serde_json::{Value, json};

/// Why something is refused: a closed set, in which implementations in any language can agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// No domain, or no address.
    Name,
    /// Not tags, or a tag that isn't what it must be.
    Field,
    /// A signature that doesn't verify.
    Signature,
    /// A time too far in the future.
    Future,
    /// First seen after its end.
    Expired,
    /// Bytes that are no frame, Hello or step.
    Malformed,
    /// Over a bound.
    TooBig,
    /// No version in common.
    Version,
    /// A port that may not be dialled.
    Port,
    /// An address that may not be dialled.
    Address,
    /// No usable hint.
    Hint,
    /// What breaks the rules of a person's device lists, or isn't by them.
    Chain,
    /// A device list older than the newest.
    Stale,
    /// Two device lists of one number.
    Fork,
    /// A person's key outside the chain of their lists.
    Key,
    /// A code or phrase that is wrong, or too late.
    Code,
}

impl Class {
    /// Every class.
    pub const ALL: [Self; 16] = [
        Self::Name,
        Self::Field,
        Self::Signature,
        Self::Future,
        Self::Expired,
        Self::Malformed,
        Self::TooBig,
        Self::Version,
        Self::Port,
        Self::Address,
        Self::Hint,
        Self::Chain,
        Self::Stale,
        Self::Fork,
        Self::Key,
        Self::Code,
    ];

    /// Its name in vectors and answers.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Field => "field",
            Self::Signature => "signature",
            Self::Future => "future",
            Self::Expired => "expired",
            Self::Malformed => "malformed",
            Self::TooBig => "too-big",
            Self::Version => "version",
            Self::Port => "port",
            Self::Address => "address",
            Self::Hint => "hint",
            Self::Chain => "chain",
            Self::Stale => "stale",
            Self::Fork => "fork",
            Self::Key => "key",
            Self::Code => "code",
        }
    }

    /// The class of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.name() == name)
    }

    /// The class of a peer's fault, where reading bytes can give it.
    #[must_use]
    pub const fn of(fault: &PeerFault) -> Option<Self> {
        Some(if matches!(fault, PeerFault::Field(_)) {
            Self::Field
        } else if matches!(fault, PeerFault::Signature) {
            Self::Signature
        } else if matches!(fault, PeerFault::Future { .. }) {
            Self::Future
        } else if matches!(fault, PeerFault::Expired { .. }) {
            Self::Expired
        } else if matches!(fault, PeerFault::Frame(_) | PeerFault::List(_) | PeerFault::Keys(_) | PeerFault::Sealed(_))
        {
            Self::Malformed
        } else if matches!(fault, PeerFault::ListStale { .. }) {
            Self::Stale
        } else if matches!(fault, PeerFault::ListFork(_)) {
            Self::Fork
        } else if matches!(fault, PeerFault::NewKey { .. }) {
            Self::Key
        } else if matches!(fault, PeerFault::WrongCode) {
            Self::Code
        } else if matches!(fault, PeerFault::TooBig { .. }) {
            Self::TooBig
        } else if matches!(fault, PeerFault::Version(_)) {
            Self::Version
        } else {
            return None;
        })
    }
}

/// An answer to one request.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// The value.
    Ok(Value),
    /// Refused, and why.
    Error(Class),
    /// Not implemented, and what isn't; also where the request itself is not understood.
    Unimplemented(String),
}

impl Answer {
    /// The line that a shim writes, without its end.
    #[must_use]
    pub fn to_line(&self, id: &str) -> String {
        match self {
            Self::Ok(value) => json!({ "id": id, "ok": value }),
            Self::Error(class) => json!({ "id": id, "error": class.name() }),
            Self::Unimplemented(why) => json!({ "id": id, "unimplemented": why }),
        }
        .to_string()
    }

    /// Reads the line that a shim wrote in answer to `id`.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(line: &str, id: &str) -> Result<Self, String> {
        let value: Value = serde_json::from_str(line).map_err(|why| format!("no JSON: {why}"))?;
        let got = value.get("id").and_then(Value::as_str);
        if got != Some(id) {
            return Err(format!("an answer to {got:?}, want {id}"));
        }
        match (value.get("ok"), value.get("error"), value.get("unimplemented")) {
            (Some(ok), None, None) => Ok(Self::Ok(ok.clone())),
            (None, Some(error), None) => {
                let class = error.as_str().and_then(Class::parse);
                class.map(Self::Error).ok_or_else(|| format!("{error} is no error class"))
            }
            (None, None, Some(why)) => {
                Ok(Self::Unimplemented(why.as_str().map_or_else(|| why.to_string(), str::to_owned)))
            }
            _ => Err("one of ok, error and unimplemented is wanted".to_owned()),
        }
    }
}

impl core::fmt::Display for Answer {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Ok(value) => write!(f, "ok {value}"),
            Self::Error(class) => write!(f, "error {}", class.name()),
            Self::Unimplemented(why) => write!(f, "unimplemented: {why}"),
        }
    }
}
