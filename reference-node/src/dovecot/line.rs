//! Lines of Dovecot's own protocols: fields between tabs, and what would break a line escaped behind 0x01.

/// Adds a field's bytes, escaped.
pub fn escape(out: &mut Vec<u8>, field: &[u8]) {
    for &byte in field {
        let escaped = match byte {
            0 => b'0',
            1 => b'1',
            b'\t' => b't',
            b'\r' => b'r',
            b'\n' => b'n',
            plain => {
                out.push(plain);
                continue;
            }
        };
        out.extend([1, escaped]);
    }
}

/// The fields of a line, without its line end, unescaped. An escape that means nothing stands for its second byte, as
/// Dovecot reads it; one that the line's end cuts off is dropped.
pub fn fields(line: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    line.split(|&byte| byte == b'\t').map(unescape)
}

fn unescape(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut bytes = field.iter();
    while let Some(&byte) = bytes.next() {
        if byte != 1 {
            out.push(byte);
            continue;
        }
        match bytes.next() {
            Some(b'0') => out.push(0),
            Some(b'1') => out.push(1),
            Some(b't') => out.push(b'\t'),
            Some(b'r') => out.push(b'\r'),
            Some(b'n') => out.push(b'\n'),
            Some(&other) => out.push(other),
            None => {}
        }
    }
    out
}

/// Bytes that come in pieces, and the lines in them.
#[derive(Debug, Default)]
pub(super) struct Lines {
    bytes: Vec<u8>,
    read: usize,
}

impl Lines {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.read);
        self.read = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// How many bytes wait.
    pub(super) const fn len(&self) -> usize {
        self.bytes.len().saturating_sub(self.read)
    }

    /// The next whole line, without its line end.
    pub(super) fn next(&mut self) -> Option<Vec<u8>> {
        let rest = self.bytes.get(self.read..).unwrap_or_default();
        let end = rest.iter().position(|&byte| byte == b'\n')?;
        let line = rest.get(..end).unwrap_or_default().to_vec();
        self.read += end + 1;
        Some(line)
    }

    /// Forgets all of it.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_read_as_it_was_written() {
        let all: Vec<u8> = (0..=255).collect();
        let mut line = Vec::new();
        escape(&mut line, &all);
        line.push(b'\t');
        escape(&mut line, b"next\nline");
        assert!(!line.contains(&b'\n') && !line.contains(&0), "what is escaped breaks no line");
        assert_eq!(fields(&line).collect::<Vec<_>>(), [all, b"next\nline".to_vec()]);
    }

    #[test]
    fn odd_escapes_are_read_as_dovecot_reads_them() {
        assert_eq!(fields(b"a\x01xb\t\x01").collect::<Vec<_>>(), [b"axb".to_vec(), Vec::new()]);
        assert_eq!(fields(b"").collect::<Vec<_>>(), [Vec::<u8>::new()]);
    }

    #[test]
    fn lines_are_the_same_however_they_are_cut() {
        for cut in 0..=9 {
            let (mut lines, mut got) = (Lines::default(), Vec::new());
            for piece in [b"ab\ncd\n\ne".get(..cut), b"ab\ncd\n\ne".get(cut..)].into_iter().flatten() {
                lines.push(piece);
                got.extend(std::iter::from_fn(|| lines.next()));
            }
            if cut <= 8 {
                assert_eq!(got, [b"ab".to_vec(), b"cd".to_vec(), Vec::new()]);
                assert_eq!(lines.len(), 1);
            }
        }
    }
}
