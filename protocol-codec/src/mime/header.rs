//! A header section: read strictly, where what it says may count, and loosely, where it is only traced.

use std::ops::Range;

use postline_core::content::mail::Inert;
use postline_core::limits;

use super::message_id;

/// The lines of a mail whose line ends are all CRLF; each byte is passed once.
pub(crate) struct Lines<'m> {
    bytes: &'m [u8],
    at: usize,
}

impl<'m> Lines<'m> {
    pub(crate) fn new(bytes: &'m [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Where the next line begins.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// The next line without its CRLF.
    pub(crate) fn next(&mut self) -> Option<&'m [u8]> {
        let rest = self.bytes.get(self.at..).filter(|rest| !rest.is_empty())?;
        let line = rest.split_inclusive(|&byte| byte == b'\n').next()?;
        self.at += line.len();
        Some(line.strip_suffix(b"\r\n").unwrap_or(line))
    }

    /// Whether the line that was just read ended.
    fn ended(&self) -> bool {
        self.bytes.get(..self.at).is_some_and(|passed| passed.ends_with(b"\n"))
    }

    fn span(&self, span: Range<usize>) -> &'m [u8] {
        self.bytes.get(span).unwrap_or_default()
    }
}

/// A header section in which every line is a field, or a fold of one, in clean UTF-8.
pub(crate) struct Header<'m> {
    fields: Vec<Field<'m>>,
}

impl<'m> Header<'m> {
    /// Reads up to the empty line, or to the end of the mail. A line that `is_boundary` may not stand here.
    pub(crate) fn read(lines: &mut Lines<'m>, is_boundary: impl Fn(&[u8]) -> bool) -> Result<Self, Inert> {
        let begin = lines.at();
        let mut spans: Vec<Range<usize>> = Vec::new();
        loop {
            let start = lines.at();
            let Some(line) = lines.next() else { break };
            if lines.at() - begin > limits::HEADER_BYTES {
                return Err(Inert::Bound);
            }
            if line.is_empty() {
                break;
            }
            if is_boundary(line) {
                return Err(Inert::Boundary);
            }
            if !lines.ended() || line.iter().all(|byte| is_wsp(*byte)) {
                return Err(Inert::HeaderLine);
            }
            let end = start + line.len();
            if line.first().is_some_and(|byte| is_wsp(*byte)) {
                spans.last_mut().ok_or(Inert::HeaderLine)?.end = end;
            } else {
                spans.push(start..end);
            }
            let longest = spans.last().map_or(0, |span| span.len());
            if longest > limits::HEADER_FIELD_BYTES || spans.len() > limits::HEADER_FIELDS {
                return Err(Inert::Bound);
            }
        }
        let fields = spans.into_iter().map(|span| Field::read(lines.span(span))).collect::<Result<_, _>>()?;
        Ok(Self { fields })
    }

    /// Every field, topmost first.
    pub(crate) fn fields(&self) -> impl Iterator<Item = &Field<'m>> {
        self.fields.iter()
    }

    /// Every field of this name, topmost first.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &Field<'m>> {
        self.fields.iter().filter(move |field| field.name.eq_ignore_ascii_case(name))
    }

    /// The field of this name: readers differ in which of two they take (attack 23).
    pub(crate) fn at_most_one(&self, name: &str) -> Result<Option<&Field<'m>>, Inert> {
        let mut all = self.all(name);
        match (all.next(), all.next()) {
            (_, Some(_)) => Err(Inert::Duplicate),
            (field, None) => Ok(field),
        }
    }
}

/// One header field.
pub(crate) struct Field<'m> {
    name: &'m str,
    body: &'m str,
}

impl<'m> Field<'m> {
    fn read(bytes: &'m [u8]) -> Result<Self, Inert> {
        let text = core::str::from_utf8(bytes).map_err(|_| Inert::HeaderText)?;
        if text.chars().any(|c| !matches!(c, '\t' | '\r' | '\n') && is_unclean(c)) {
            return Err(Inert::HeaderText);
        }
        let (name, body) = text.split_once(':').ok_or(Inert::HeaderLine)?;
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Inert::HeaderLine);
        }
        Ok(Self { name, body })
    }

    /// Whether its name starts so, in any case of letters.
    pub(crate) fn starts_with(&self, prefix: &str) -> bool {
        self.name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    }

    /// What it says, unfolded and trimmed (RFC 5322 §2.2.3).
    pub(crate) fn text(&self) -> String {
        self.body.replace("\r\n", "").trim_matches([' ', '\t']).to_owned()
    }
}

/// What stands before a parameter, a comment or a space (RFC 2045 §4, RFC 3834 §5).
pub(crate) fn first_word(text: &str) -> &str {
    text.split([';', '(', ' ', '\t']).next().unwrap_or_default()
}

/// Controls, and the two separators that some readers take for line ends (attack 22).
pub(crate) fn is_unclean(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}

pub(crate) fn is_wsp(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// What any header tells, however broken: for people who trace a mail, and against loops.
pub(crate) struct Loose {
    pub(crate) message_id: Option<String>,
    pub(crate) hops: usize,
}

impl Loose {
    pub(crate) fn read(bytes: &[u8]) -> Self {
        let mut hops = 0;
        let mut ids = Vec::new();
        for field in loose_fields(bytes).take_while(|field| !trim_line_end(field).is_empty()) {
            hops += usize::from(is_named(field, "received"));
            if is_named(field, "message-id") && ids.len() < 2 {
                ids.push(field);
            }
        }
        let message_id = match ids.as_slice() {
            [field] => loose_text(field).and_then(|text| message_id::one(&text).ok()),
            _ => None,
        };
        Self { message_id, hops }
    }
}

/// Header fields as the most lenient reader finds them, line ends included: CR, LF and CRLF all end a line, and white
/// space at its beginning continues the field above. The first empty line comes as a field of its own, as do all others.
pub(crate) fn loose_fields(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes;
    core::iter::from_fn(move || {
        let mut len = line_len(rest);
        if len == 0 {
            return None;
        }
        let is_empty_line = rest.get(..len).is_some_and(|line| trim_line_end(line).is_empty());
        while !is_empty_line && rest.get(len).is_some_and(|byte| is_wsp(*byte)) {
            len += line_len(rest.get(len..).unwrap_or_default());
        }
        let (field, after) = rest.split_at_checked(len)?;
        rest = after;
        Some(field)
    })
}

fn line_len(bytes: &[u8]) -> usize {
    match bytes.iter().position(|byte| matches!(byte, b'\r' | b'\n')) {
        None => bytes.len(),
        Some(end) if bytes.get(end..end + 2) == Some(b"\r\n") => end + 2,
        Some(end) => end + 1,
    }
}

fn trim_line_end(line: &[u8]) -> &[u8] {
    let end = line.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n')).map_or(0, |last| last + 1);
    line.get(..end).unwrap_or_default()
}

/// The name of a loose field, without the white space around it; empty where there is no colon.
pub(crate) fn loose_name(field: &[u8]) -> &[u8] {
    let name = field.split(|byte| *byte == b':').next().unwrap_or_default();
    if name.len() == field.len() { &[] } else { name.trim_ascii() }
}

fn is_named(field: &[u8], name: &str) -> bool {
    loose_name(field).eq_ignore_ascii_case(name.as_bytes())
}

fn loose_text(field: &[u8]) -> Option<String> {
    let body = field.get(field.iter().position(|byte| *byte == b':')? + 1..)?;
    let text = core::str::from_utf8(body).ok()?.replace(['\r', '\n'], "");
    Some(text.trim_matches([' ', '\t']).to_owned())
}
