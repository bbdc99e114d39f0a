//! Milter packets, version 2 to 6: four bytes of length, a command, its data; integers are big-endian, texts end in NUL.

use postline_core::limits;

/// Actions that the client may let us do, as bits.
pub const ADD_HEADERS: u32 = 0x01;
/// Likewise: change and remove header fields.
pub const CHANGE_HEADERS: u32 = 0x10;

/// What the client needn't send, or may be told, as bits: connections.
pub const NO_CONNECT: u32 = 0x01;
/// HELO.
pub const NO_HELO: u32 = 0x02;
/// Unknown SMTP commands.
pub const NO_UNKNOWN: u32 = 0x100;
/// DATA.
pub const NO_DATA: u32 = 0x200;
/// We may say that we have seen enough of a body.
pub const SKIP: u32 = 0x400;
/// We don't answer recipients.
pub const SILENT_RCPT: u32 = 0x8000;
/// We don't answer header fields.
pub const SILENT_HEADER: u32 = 0x80;

/// Why a client's bytes are no milter session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A packet without a command, or over [`MILTER_PACKET_BYTES`](limits::MILTER_PACKET_BYTES).
    #[error("packet of {0} bytes, want 1 to {max}", max = limits::MILTER_PACKET_BYTES)]
    Length(u32),
    /// A command that no version has.
    #[error("unknown command {0:#04x}")]
    Command(u8),
    /// A command whose data is not what it must be.
    #[error("malformed data of command {0:?}")]
    Data(char),
    /// A command where it can't stand.
    #[error("command {0:?} out of place")]
    Order(char),
    /// A version that nobody speaks any more.
    #[error("version {0}, want 2 at least")]
    Version(u32),
}

/// What came and was not read yet.
#[derive(Debug, Default)]
pub struct Incoming {
    bytes: Vec<u8>,
}

impl Incoming {
    /// Adds what came.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// How many bytes wait.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether none does.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The next whole packet: its command, and its data.
    ///
    /// # Errors
    /// [`Fault::Length`], as soon as the length is known.
    pub fn packet(&mut self) -> Result<Option<(u8, Vec<u8>)>, Fault> {
        let Some((length, rest)) = self.bytes.split_first_chunk::<4>() else { return Ok(None) };
        let length = u32::from_be_bytes(*length);
        let len = usize::try_from(length).ok().filter(|len| (1..=limits::MILTER_PACKET_BYTES).contains(len));
        let Some(len) = len else { return Err(Fault::Length(length)) };
        let Some((&command, data)) = rest.get(..len).and_then(<[u8]>::split_first) else { return Ok(None) };
        let data = data.to_vec();
        self.bytes.drain(..4 + len);
        if self.bytes.is_empty() {
            // One long field must not keep its room for as long as the connection stays.
            self.bytes.shrink_to(limits::CHUNK_BYTES);
        }
        Ok(Some((command, data)))
    }
}

/// Adds a packet.
pub fn write(out: &mut Vec<u8>, command: u8, data: &[u8]) {
    let len = u32::try_from(data.len() + 1).unwrap_or(u32::MAX);
    out.extend_from_slice(&len.to_be_bytes());
    out.push(command);
    out.extend_from_slice(data);
}

/// The texts of a packet, each ended by NUL.
///
/// # Errors
/// [`Fault::Data`] where the last one isn't.
pub fn texts(command: u8, data: &[u8]) -> Result<Vec<&[u8]>, Fault> {
    let Some((0, all)) = data.split_last() else { return Err(Fault::Data(command.into())) };
    Ok(all.split(|byte| *byte == 0).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_read_however_they_are_cut() {
        let mut bytes = Vec::new();
        write(&mut bytes, b'M', b"<a@b.example>\0");
        write(&mut bytes, b'E', b"");
        for cut in 0..=bytes.len() {
            let (mut incoming, mut packets) = (Incoming::default(), Vec::new());
            for part in [&bytes[..cut], &bytes[cut..]] {
                incoming.push(part);
                while let Some(packet) = incoming.packet().unwrap() {
                    packets.push(packet);
                }
            }
            assert_eq!(packets, [(b'M', b"<a@b.example>\0".to_vec()), (b'E', Vec::new())], "cut at {cut}");
            assert!(incoming.is_empty());
        }
    }

    #[test]
    fn t_091_a_length_that_lies_is_refused_before_its_data_comes() {
        for (length, fits) in [
            (0_u32, false),
            (1, true),
            (u32::try_from(limits::MILTER_PACKET_BYTES).unwrap(), true),
            (u32::try_from(limits::MILTER_PACKET_BYTES).unwrap() + 1, false),
            (u32::MAX, false),
        ] {
            let mut incoming = Incoming::default();
            incoming.push(&length.to_be_bytes());
            assert_eq!(incoming.packet(), if fits { Ok(None) } else { Err(Fault::Length(length)) });
        }
    }

    #[test]
    fn texts_end_in_nul() {
        assert_eq!(texts(b'L', b"Subject\0hi\0"), Ok(vec![b"Subject".as_slice(), b"hi".as_slice()]));
        assert_eq!(texts(b'L', b"Subject\0\0"), Ok(vec![b"Subject".as_slice(), b"".as_slice()]));
        assert_eq!(texts(b'L', b"Subject\0hi"), Err(Fault::Data('L')));
        assert_eq!(texts(b'L', b""), Err(Fault::Data('L')));
    }
}
