//! What a client sent and nobody has read yet, and the lines in it: CRLF ends one, and nothing else does.

use std::mem;

use postline_core::limits::SMTP_LINE_BYTES;

/// What came and was not read yet.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    bytes: Vec<u8>,
    read: usize,
    /// Inside a line that is too long already.
    skipping: bool,
}

/// Why a line is none.
#[derive(Clone, Copy, Debug)]
pub(super) enum BadLine {
    TooLong,
    BareLf,
}

impl BadLine {
    pub(super) const fn reply(self) -> &'static str {
        match self {
            Self::TooLong => "500 5.5.2 Line too long",
            Self::BareLf => "500 5.5.2 A line ends with CRLF",
        }
    }
}

impl Backlog {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub(super) const fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn rest(&self) -> &[u8] {
        self.bytes.get(self.read..).unwrap_or_default()
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.read >= self.bytes.len()
    }

    pub(super) fn skip(&mut self, bytes: usize) {
        self.read += bytes;
    }

    pub(super) fn clear(&mut self) {
        self.read = self.bytes.len();
    }

    /// Forgets what was read; when all was, keeps room for no more than `room` bytes.
    pub(super) fn compact(&mut self, room: usize) {
        self.bytes.drain(..self.read);
        self.read = 0;
        if self.bytes.is_empty() {
            self.bytes.shrink_to(room);
        }
    }

    /// The next whole line, its CRLF taken off.
    pub(super) fn line(&mut self) -> Option<Result<Vec<u8>, BadLine>> {
        let Some(end) = self.rest().iter().position(|&b| b == b'\n') else {
            if self.skipping || self.rest().len() >= SMTP_LINE_BYTES {
                self.skipping = true;
                self.clear();
            }
            return None;
        };
        let too_long = mem::take(&mut self.skipping) || end >= SMTP_LINE_BYTES;
        let line = if too_long {
            Err(BadLine::TooLong)
        } else {
            self.rest().get(..end).unwrap_or_default().strip_suffix(b"\r").map(<[u8]>::to_vec).ok_or(BadLine::BareLf)
        };
        self.skip(end + 1);
        Some(line)
    }
}
