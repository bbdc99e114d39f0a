//! Deterministic CBOR (RFC 8949 §4.2.1), as arrays of plain items: what signed values and records are written in.

use minicbor::data::Type;
use minicbor::{Decoder, Encoder};

use crate::id::{Address, BlobRef, Hash};
use crate::time::Millis;

/// Writes items one after the other. Writing into memory can't fail.
#[derive(Debug)]
pub struct Writer(Encoder<Vec<u8>>);

impl Default for Writer {
    fn default() -> Self {
        Self(Encoder::new(Vec::new()))
    }
}

macro_rules! write_item {
    ($($(#[$doc:meta])* $name:ident($arg:ty) => $call:ident;)*) => {$(
        $(#[$doc])*
        pub fn $name(&mut self, item: $arg) -> &mut Self {
            let written = self.0.$call(item).is_ok();
            debug_assert!(written, "a vector takes every item");
            self
        }
    )*};
}

impl Writer {
    /// Begins with an array of `len` items: every value of ours is one.
    #[must_use]
    pub fn array_of(len: u64) -> Self {
        let mut writer = Self::default();
        writer.array(len);
        writer
    }

    /// Goes on behind `bytes`.
    #[must_use]
    pub fn onto(bytes: Vec<u8>) -> Self {
        Self(Encoder::new(bytes))
    }

    write_item! {
        /// An array of so many items follows.
        array(u64) => array;
        /// A map of so many entries follows; the caller writes its keys in order.
        map(u64) => map;
        /// An unsigned number, in its shortest form.
        u64(u64) => u64;
        /// A number, in its shortest form.
        i64(i64) => i64;
        /// A byte string.
        bytes(&[u8]) => bytes;
        /// A text.
        str(&str) => str;
        /// A truth.
        bool(bool) => bool;
    }

    /// Nothing.
    pub fn null(&mut self) -> &mut Self {
        let written = self.0.null().is_ok();
        debug_assert!(written, "a vector takes every item");
        self
    }

    /// An item that is written already.
    pub fn item(&mut self, item: &[u8]) -> &mut Self {
        self.0.writer_mut().extend_from_slice(item);
        self
    }

    /// An address, as text.
    pub fn address(&mut self, address: &Address) -> &mut Self {
        self.str(&address.to_string())
    }

    /// A point in time, as a number.
    pub fn millis(&mut self, at: Millis) -> &mut Self {
        self.u64(at.0)
    }

    /// A body's hash and length: two items.
    pub fn blob(&mut self, blob: BlobRef) -> &mut Self {
        self.bytes(&blob.sha256.0).u64(blob.len)
    }

    /// The item, or nothing.
    pub fn maybe<T>(&mut self, item: Option<T>, write: impl FnOnce(&mut Self, T) -> &mut Self) -> &mut Self {
        match item {
            Some(item) => write(self, item),
            None => self.null(),
        }
    }

    /// A list: its length, then its items.
    pub fn list<T>(
        &mut self,
        items: impl ExactSizeIterator<Item = T>,
        mut write: impl FnMut(&mut Self, T),
    ) -> &mut Self {
        self.array(items.len() as u64);
        for item in items {
            write(self, item);
        }
        self
    }

    /// The bytes.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0.into_writer()
    }
}

/// The bytes are not what was to be read: what was expected instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {0}")]
pub struct Malformed(pub &'static str);

/// Reads items one after the other.
#[derive(Debug)]
pub struct Reader<'b>(Decoder<'b>);

impl<'b> Reader<'b> {
    /// Reads from `bytes`.
    #[must_use]
    pub fn new(bytes: &'b [u8]) -> Self {
        Self(Decoder::new(bytes))
    }

    /// Reads the head of an array that must have exactly `len` items.
    ///
    /// # Errors
    /// [`Malformed`] for anything else.
    pub fn array_of(&mut self, len: u64) -> Result<(), Malformed> {
        if self.array(len)? == len { Ok(()) } else { Err(Malformed("an array of another length")) }
    }

    /// Reads the head of an array of at most `max` items.
    ///
    /// # Errors
    /// [`Malformed`] for anything else, indefinite lengths too.
    pub fn array(&mut self, max: u64) -> Result<u64, Malformed> {
        match self.0.array() {
            Ok(Some(len)) if len <= max => Ok(len),
            _ => Err(Malformed("an array within bounds")),
        }
    }

    /// Reads the head of a map of at most `max` entries.
    ///
    /// # Errors
    /// [`Malformed`] for anything else, indefinite lengths too.
    pub fn map(&mut self, max: u64) -> Result<u64, Malformed> {
        match self.0.map() {
            Ok(Some(len)) if len <= max => Ok(len),
            _ => Err(Malformed("a map within bounds")),
        }
    }

    /// Reads an unsigned number.
    ///
    /// # Errors
    /// [`Malformed`] for anything else.
    pub fn u64(&mut self) -> Result<u64, Malformed> {
        self.0.u64().map_err(|_| Malformed("an unsigned number"))
    }

    /// Reads a byte string of definite length.
    ///
    /// # Errors
    /// [`Malformed`] for anything else.
    pub fn bytes(&mut self) -> Result<&'b [u8], Malformed> {
        self.0.bytes().map_err(|_| Malformed("a byte string"))
    }

    /// Reads a byte string of exactly `N` bytes.
    ///
    /// # Errors
    /// [`Malformed`] for anything else.
    pub fn fixed<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.bytes()?.try_into().map_err(|_| Malformed("a byte string of another length"))
    }

    /// Reads a text of definite length.
    ///
    /// # Errors
    /// [`Malformed`] for anything else.
    pub fn str(&mut self) -> Result<&'b str, Malformed> {
        self.0.str().map_err(|_| Malformed("a text"))
    }

    /// Reads a truth.
    ///
    /// # Errors
    /// [`Malformed`] for anything else.
    pub fn bool(&mut self) -> Result<bool, Malformed> {
        self.0.bool().map_err(|_| Malformed("true or false"))
    }

    /// Reads an address.
    ///
    /// # Errors
    /// [`Malformed`] for anything else, and for one not in its normal form.
    pub fn address(&mut self) -> Result<Address, Malformed> {
        let text = self.str()?;
        let address = Address::parse(text).map_err(|_| Malformed("an address"))?;
        if address.to_string() == text { Ok(address) } else { Err(Malformed("an address in normal form")) }
    }

    /// Reads a point in time.
    ///
    /// # Errors
    /// [`Malformed`] for anything else.
    pub fn millis(&mut self) -> Result<Millis, Malformed> {
        self.u64().map(Millis)
    }

    /// Reads a body's hash and length.
    ///
    /// # Errors
    /// [`Malformed`] for anything else.
    pub fn blob(&mut self) -> Result<BlobRef, Malformed> {
        Ok(BlobRef { sha256: Hash(self.fixed()?), len: self.u64()? })
    }

    /// Reads an item, or nothing.
    ///
    /// # Errors
    /// Those of `read`.
    pub fn maybe<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, Malformed>) -> Result<Option<T>, Malformed> {
        if matches!(self.0.datatype(), Ok(Type::Null)) {
            self.0.null().map_err(|_| Malformed("null"))?;
            return Ok(None);
        }
        read(self).map(Some)
    }

    /// Reads a list of at most `max` items.
    ///
    /// # Errors
    /// [`Malformed`] for a longer one, and those of `read`.
    pub fn list<T>(
        &mut self,
        max: u64,
        mut read: impl FnMut(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, Malformed> {
        (0..self.array(max)?).map(|_| read(self)).collect()
    }

    /// Whether an array comes next.
    #[must_use]
    pub fn is_array(&self) -> bool {
        matches!(self.0.datatype(), Ok(Type::Array))
    }

    /// Passes over whatever item comes, and gives its bytes.
    ///
    /// # Errors
    /// [`Malformed`] where none does.
    pub fn item(&mut self) -> Result<&'b [u8], Malformed> {
        let from = self.0.position();
        self.skip()?;
        self.0.input().get(from..self.0.position()).ok_or(Malformed("an item"))
    }

    /// Passes over whatever item comes.
    ///
    /// # Errors
    /// [`Malformed`] where none does.
    pub fn skip(&mut self) -> Result<(), Malformed> {
        self.0.skip().map_err(|_| Malformed("an item"))
    }

    /// Makes sure that nothing follows.
    ///
    /// # Errors
    /// [`Malformed`] where something does.
    pub fn end(&self) -> Result<(), Malformed> {
        if self.0.position() == self.0.input().len() { Ok(()) } else { Err(Malformed("the end")) }
    }
}
