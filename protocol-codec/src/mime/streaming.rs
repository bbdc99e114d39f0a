//! A mail that passes by: its header is read whole, its body is hashed chunk by chunk and kept nowhere.
//!
//! ```text
//!   header ──new──▶ Streaming ──body──▶ … ──finish──▶ Canonical, or Inert
//! ```
//!
//! For who stamps a mail that another keeps. The parts of the body are not walked, so a mail may pass here that
//! [`scan`](super::scan) finds inert: it gets fields then that have no effect.

use postline_core::content::mail::{Canonical, Inert};
use postline_core::id::{Address, Hash};
use sha2::{Digest as _, Sha256};

use super::content_type::MediaType;
use super::header::{Header, Lines};
use super::{check_line_ends, read_head};

/// A mail whose body is under way.
pub struct Streaming {
    head: Result<Box<Canonical>, Inert>,
    body: BodyHash,
}

impl Streaming {
    /// Begins with a header section, its empty line included.
    #[must_use]
    pub fn new(head: &[u8]) -> Self {
        let read = || {
            check_line_ends(head)?;
            let mut lines = Lines::new(head);
            let header = Header::read(&mut lines, |_| false)?;
            if lines.at() != head.len() {
                return Err(Inert::HeaderLine);
            }
            read_head(&header, head, || Ok(MediaType::of(&header)?.is_report()))
        };
        match read() {
            Ok((canonical, top)) => Self { head: Ok(Box::new(canonical)), body: BodyHash::after(&top) },
            Err(why) => Self { head: Err(why), body: BodyHash::after("") },
        }
    }

    /// The one address of its From, where it may have effect so far.
    #[must_use]
    pub fn author(&self) -> Option<&Address> {
        self.head.as_ref().ok().map(|canonical| &canonical.from)
    }

    /// Whether the body still matters: a mail that is inert already stays so.
    #[must_use]
    pub fn is_inert(&self) -> bool {
        self.head.is_err()
    }

    /// The body goes on.
    pub fn body(&mut self, chunk: &[u8]) {
        if self.head.is_ok() && !self.body.add(chunk) {
            self.head = Err(Inert::LineEnds);
        }
    }

    /// The body has ended.
    ///
    /// # Errors
    /// Why the mail is inert.
    pub fn finish(self) -> Result<Canonical, Inert> {
        let mut canonical = *self.head?;
        canonical.content = self.body.finish().ok_or(Inert::LineEnds)?;
        Ok(canonical)
    }
}

/// The hash of a body without the empty lines at its end ([F-4]), whatever the chunks that it comes in.
struct BodyHash {
    hash: Sha256,
    /// Line ends that count only if something follows.
    ends: u64,
    /// Whether a CR waits for its LF.
    cr: bool,
}

impl BodyHash {
    fn after(top: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(top.as_bytes());
        Self { hash, ends: 0, cr: false }
    }

    /// Gives whether every line end so far was CRLF, and no byte NUL.
    fn add(&mut self, chunk: &[u8]) -> bool {
        let mut rest = chunk;
        while let Some((&first, tail)) = rest.split_first() {
            match first {
                b'\n' if self.cr => (self.cr, self.ends) = (false, self.ends + 1),
                _ if self.cr => return false,
                b'\r' => self.cr = true,
                b'\n' | 0 => return false,
                _ => {
                    for _ in 0..std::mem::take(&mut self.ends) {
                        self.hash.update(b"\r\n");
                    }
                    let len = rest.iter().position(|b| matches!(b, b'\r' | b'\n' | 0)).unwrap_or(rest.len());
                    let (text, after) = rest.split_at(len);
                    self.hash.update(text);
                    rest = after;
                    continue;
                }
            }
            rest = tail;
        }
        true
    }

    fn finish(self) -> Option<Hash> {
        (!self.cr).then(|| Hash(self.hash.finalize().into()))
    }
}
