//! The bytes of one mail, as `DATA` brings them: only CRLF.CRLF ends it, and only CRLF ends a line (RFC 5321 §4.5.2).
//!
//! ```text
//!            ┌──────────────── CRLF ────────────────┐
//!            ▼                                      │
//!   ──▶ LineStart ── any ──▶ Middle ── CR ──▶ Cr ───┘
//!            └─ . ──▶ Dot ── CR ──▶ DotCr ── LF ──▶ the end
//! ```
//!
//! A bare CR or LF anywhere spoils the mail: it is read to its end and refused whole (attack 19).

use postline_core::limits::MAIL_BYTES;

/// So many bytes, dots stuffed, no mail has that may be taken; reading on would only serve the sender.
const FLOOD_BYTES: u64 = 2 * MAIL_BYTES;

/// A reader of one mail's bytes.
#[derive(Clone, Debug)]
pub struct DataReader {
    at: At,
    seen: u64,
    taken: u64,
    spoilt: Option<Spoilt>,
    /// Whether a bare CR or LF is a byte like any other.
    lenient: bool,
}

/// Why a mail can't be taken, whatever else comes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoilt {
    /// A CR without LF, or an LF without CR.
    BareLineEnd,
    /// More than [`MAIL_BYTES`].
    TooBig,
}

/// How far a reader came in its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// All was read, and the mail goes on.
    More,
    /// The mail ended after so many bytes of the input.
    End(usize),
    /// The mail was too big long ago, and still does not end: nobody reads on.
    Flood,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    LineStart,
    Middle,
    Cr,
    Dot,
    DotCr,
}

impl Default for DataReader {
    fn default() -> Self {
        Self { at: At::LineStart, seen: 0, taken: 0, spoilt: None, lenient: false }
    }
}

impl DataReader {
    /// A reader of what a server beside us took already: a bare CR or LF is text, ends no line, and makes a mail inert.
    #[must_use]
    pub fn lenient() -> Self {
        Self { lenient: true, ..Self::default() }
    }

    /// Reads `input`, and adds the mail's own bytes to `mail`, dots unstuffed, until the mail is spoilt.
    pub fn read(&mut self, input: &[u8], mail: &mut Vec<u8>) -> Progress {
        self.seen += input.len() as u64;
        let mut rest = input;
        while let Some((&byte, tail)) = rest.split_first() {
            match (self.at, byte) {
                (At::LineStart, b'.') => self.at = At::Dot,
                (At::Dot, b'\r') => self.at = At::DotCr,
                (At::DotCr, b'\n') => return Progress::End(input.len() - tail.len()),
                (At::Cr, b'\n') => {
                    self.take(b"\n", mail);
                    self.at = At::LineStart;
                }
                (At::DotCr | At::Cr, _) | (_, b'\n') => {
                    if !self.lenient {
                        self.spoilt.get_or_insert(Spoilt::BareLineEnd);
                    } else if self.at == At::DotCr {
                        self.take(b"\r", mail);
                    }
                    if byte == b'\n' {
                        self.take(b"\n", mail);
                    }
                    // The byte is looked at again: it may be the CR of a true line end.
                    self.at = At::Middle;
                    if byte != b'\n' {
                        continue;
                    }
                }
                (At::LineStart | At::Middle, b'\r') => {
                    self.take(b"\r", mail);
                    self.at = At::Cr;
                }
                (At::LineStart | At::Middle | At::Dot, _) => {
                    let line = rest.iter().position(|b| matches!(b, b'\r' | b'\n')).unwrap_or(rest.len());
                    let (text, after) = rest.split_at(line);
                    self.take(text, mail);
                    self.at = At::Middle;
                    rest = after;
                    continue;
                }
            }
            rest = tail;
        }
        if self.seen > FLOOD_BYTES { Progress::Flood } else { Progress::More }
    }

    /// Why the mail can't be taken, as far as is known.
    #[must_use]
    pub const fn spoilt(&self) -> Option<Spoilt> {
        self.spoilt
    }

    fn take(&mut self, bytes: &[u8], mail: &mut Vec<u8>) {
        if self.spoilt.is_some() {
            return;
        }
        let room = usize::try_from(MAIL_BYTES - self.taken).unwrap_or(usize::MAX);
        let fits = bytes.get(..room.min(bytes.len())).unwrap_or(bytes);
        mail.extend_from_slice(fits);
        self.taken += fits.len() as u64;
        if fits.len() < bytes.len() {
            self.spoilt = Some(Spoilt::TooBig);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(input: &[u8]) -> (Option<Spoilt>, Progress, Vec<u8>) {
        let (mut reader, mut mail) = (DataReader::default(), Vec::new());
        let progress = reader.read(input, &mut mail);
        (reader.spoilt(), progress, mail)
    }

    #[test]
    fn dots_are_unstuffed_and_the_last_one_ends_the_mail() {
        for (input, mail) in [
            ("a\r\n.\r\n", "a\r\n"),
            (".\r\n", ""),
            ("..\r\n.\r\n", ".\r\n"),
            (".a\r\n..b\r\n.\r\n", "a\r\n.b\r\n"),
            ("a.\r\n.\r\n", "a.\r\n"),
            ("a\r\n\r\n.\r\n", "a\r\n\r\n"),
        ] {
            assert_eq!(read(input.as_bytes()), (None, Progress::End(input.len()), mail.into()), "{input:?}");
            let (_, progress, _) = read(format!("{input}QUIT\r\n").as_bytes());
            assert_eq!(progress, Progress::End(input.len()), "{input:?}");
        }
    }

    #[test]
    fn t_019_no_other_line_end_ends_a_mail_and_each_spoils_it() {
        for end in
            ["\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r.\r\n", "\r\n.\r", "\r\r\n.\r\r\n", "\r\n.\r\r\n", "\n\n.\n\n"]
        {
            let input = format!("a{end}MAIL FROM:<x@x.example>\r\nb\r\n.\r\n");
            let (spoilt, progress, _) = read(input.as_bytes());
            assert_eq!((spoilt, progress), (Some(Spoilt::BareLineEnd), Progress::End(input.len())), "{input:?}");
        }
    }

    #[test]
    fn a_lenient_reader_keeps_bare_line_ends_and_ends_where_the_strict_one_does() {
        for (input, mail) in [
            ("a\nb\r\n.\r\n", "a\nb\r\n"),
            ("a\rb\r\n.\r\n", "a\rb\r\n"),
            ("..\n.\r\n..\r\n.\r\n", ".\n.\r\n.\r\n"),
            (".\ra\r\n.\r\n", "\ra\r\n"),
            ("a\n.\n\r\n.\r\n", "a\n.\n\r\n"),
            ("\r\r\n.\r\n", "\r\r\n"),
            (".\n\r\n.\r\n", "\n\r\n"),
        ] {
            let (mut reader, mut got) = (DataReader::lenient(), Vec::new());
            assert_eq!(reader.read(input.as_bytes(), &mut got), read(input.as_bytes()).1, "{input:?}");
            assert_eq!((reader.spoilt(), got), (None, mail.into()), "{input:?}");
        }
    }

    #[test]
    fn t_019_a_true_end_behind_a_bare_cr_is_the_end() {
        for input in ["a\r\r\n.\r\n", "a\r\n.\r\r\n.\r\n", "\r\r\r\n.\r\n"] {
            let (spoilt, progress, _) = read(format!("{input}QUIT\r\n").as_bytes());
            assert_eq!((spoilt, progress), (Some(Spoilt::BareLineEnd), Progress::End(input.len())), "{input:?}");
        }
    }

    #[test]
    fn t_026_a_mail_is_taken_at_its_limit_and_spoilt_above_it() {
        let chunk = vec![b'x'; 1024 * 1024];
        let (mut reader, mut mail) = (DataReader::default(), Vec::new());
        for _ in 0..MAIL_BYTES / chunk.len() as u64 {
            assert_eq!(reader.read(&chunk, &mut mail), Progress::More);
            mail.clear();
        }
        assert_eq!(reader.spoilt(), None);
        reader.read(b"x", &mut mail);
        assert_eq!((reader.spoilt(), mail.len()), (Some(Spoilt::TooBig), 0));
        for _ in 0..MAIL_BYTES / chunk.len() as u64 - 1 {
            assert_eq!(reader.read(&chunk, &mut mail), Progress::More);
        }
        assert_eq!(reader.read(&chunk, &mut mail), Progress::Flood);
        assert!(mail.is_empty());
    }
}
