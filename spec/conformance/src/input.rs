//! The input of a request: members of a JSON object, as texts, bytes, numbers and lists; and the same the other way.

use postline_core::id::Address;
use serde_json::{Map, Value};

/// The first number that a JSON reader in floating point can't tell from its neighbour.
const EXACT: u64 = 1 << 53;

/// A request that isn't what the format says: which member, and what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfit(pub String);

/// One input object.
#[derive(Clone, Copy, Debug)]
pub struct Input<'v>(pub &'v Value);

impl<'v> Input<'v> {
    /// A member that may be missing.
    #[must_use]
    pub fn maybe(self, name: &str) -> Option<&'v Value> {
        self.0.get(name)
    }

    /// A member that must be there.
    ///
    /// # Errors
    /// [`Unfit`] where it isn't.
    pub fn member(self, name: &str) -> Result<&'v Value, Unfit> {
        self.maybe(name).ok_or_else(|| Unfit(format!("no {name}")))
    }

    /// A text.
    ///
    /// # Errors
    /// [`Unfit`].
    pub fn text(self, name: &str) -> Result<&'v str, Unfit> {
        self.member(name)?.as_str().ok_or_else(|| Unfit(format!("{name} is no text")))
    }

    /// A truth.
    ///
    /// # Errors
    /// [`Unfit`].
    pub fn truth(self, name: &str) -> Result<bool, Unfit> {
        self.member(name)?.as_bool().ok_or_else(|| Unfit(format!("{name} is not true or false")))
    }

    /// Bytes.
    ///
    /// # Errors
    /// [`Unfit`].
    pub fn bytes(self, name: &str) -> Result<Vec<u8>, Unfit> {
        as_bytes(self.member(name)?).ok_or_else(|| Unfit(format!("{name} is no bytes")))
    }

    /// Exactly `N` bytes.
    ///
    /// # Errors
    /// [`Unfit`].
    pub fn fixed<const N: usize>(self, name: &str) -> Result<[u8; N], Unfit> {
        self.bytes(name)?.try_into().map_err(|_| Unfit(format!("{name} is not {N} bytes")))
    }

    /// A number.
    ///
    /// # Errors
    /// [`Unfit`].
    pub fn number(self, name: &str) -> Result<u64, Unfit> {
        as_number(self.member(name)?).ok_or_else(|| Unfit(format!("{name} is no number")))
    }

    /// A list.
    ///
    /// # Errors
    /// [`Unfit`].
    pub fn list(self, name: &str) -> Result<&'v [Value], Unfit> {
        self.member(name)?.as_array().map(Vec::as_slice).ok_or_else(|| Unfit(format!("{name} is no list")))
    }

    /// An object.
    ///
    /// # Errors
    /// [`Unfit`].
    pub fn object(self, name: &str) -> Result<&'v Map<String, Value>, Unfit> {
        self.member(name)?.as_object().ok_or_else(|| Unfit(format!("{name} is no object")))
    }

    /// An address in normal form.
    ///
    /// # Errors
    /// [`Unfit`].
    pub fn address(self, name: &str) -> Result<Address, Unfit> {
        as_address(self.member(name)?).ok_or_else(|| Unfit(format!("{name} is no address")))
    }

    /// A list of addresses in normal form.
    ///
    /// # Errors
    /// [`Unfit`].
    pub fn addresses(self, name: &str) -> Result<Vec<Address>, Unfit> {
        let read = |value| as_address(value).ok_or_else(|| Unfit(format!("{name} has what is no address")));
        self.list(name)?.iter().map(read).collect()
    }
}

fn as_address(value: &Value) -> Option<Address> {
    let text = value.as_str()?;
    Address::parse(text).ok().filter(|address| address.to_string() == text)
}

/// A number, as a JSON number or as a text of digits.
#[must_use]
pub fn as_number(value: &Value) -> Option<u64> {
    match value.as_str() {
        Some(text) => text.parse().ok(),
        None => value.as_u64(),
    }
}

/// Bytes, of a text of lower-case hexadecimal digits.
#[must_use]
pub fn as_bytes(value: &Value) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = value.as_str()?.bytes().map(digit).collect();
    let (pairs, rest) = digits.as_deref()?.as_chunks::<2>();
    rest.is_empty().then(|| pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

const fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

/// Bytes as vectors write them.
#[must_use]
pub fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A number as vectors write it.
#[must_use]
pub fn number(number: u64) -> Value {
    if number > EXACT { Value::from(number.to_string()) } else { Value::from(number) }
}
