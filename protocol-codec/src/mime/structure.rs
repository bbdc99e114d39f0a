//! The parts of a mail: a walk over its lines with a stack of open multiparts, no deeper than `limits::MIME_DEPTH`.
//!
//! ```text
//!   header ─▶ part ─▶ a line: text ──────────────────────────▶ (next line)
//!              ▲        │ --boundary of the innermost ─▶ header of the next part
//!              └────────┤ --boundary-- of the innermost ─▶ closed: only the one around it may speak now
//!                       │ anything else that starts like a boundary in use, or holds one ─▶ inert
//!                       └ the end: inert where a multipart is still open
//! ```
//!
//! A `message/rfc822` part is one leaf, whatever stands in it (attacks 26, 30).

use postline_core::content::mail::Inert;
use postline_core::limits;

use super::content_type::MediaType;
use super::header::{Header, Lines};

/// What the walk found.
pub(crate) struct Shape {
    /// Whether any part is a report, or a part of one.
    pub(crate) has_report: bool,
}

/// Walks the parts that follow `header`.
pub(crate) fn walk<'m>(header: &Header<'m>, lines: &mut Lines<'m>) -> Result<Shape, Inert> {
    walk_and_tell(header, lines, |_, _| {})
}

/// The same; tells of each part how deep it lies, and its boundary where it has parts.
pub(crate) fn walk_and_tell<'m>(
    header: &Header<'m>,
    lines: &mut Lines<'m>,
    tell: impl FnMut(usize, Option<&str>),
) -> Result<Shape, Inert> {
    let mut walk = Walk { open: Vec::new(), parts: 0, shape: Shape { has_report: false }, tell };
    walk.enter(header)?;
    while !walk.open.is_empty() {
        let Some(line) = lines.next() else { break };
        if walk.take(line)? {
            let header = Header::read(lines, |line| walk.is_boundary(line))?;
            walk.enter(&header)?;
        }
    }
    if walk.open.iter().all(|level| level.is_closed) { Ok(walk.shape) } else { Err(Inert::Boundary) }
}

struct Walk<T> {
    /// The multiparts around the current line, outermost first. Only the last may be closed.
    open: Vec<Level>,
    parts: usize,
    shape: Shape,
    tell: T,
}

struct Level {
    boundary: String,
    /// The dashes that the boundary begins with.
    dashes: usize,
    has_parts: bool,
    is_closed: bool,
}

impl Level {
    /// Whether the boundary stands where `run` dashes end: nowhere else among them can it, so that a line of dashes costs
    /// one look, and not one a dash.
    fn stands_at(&self, line: &[u8], end: usize, run: usize) -> bool {
        let after = end.checked_sub(self.dashes).and_then(|start| line.get(start..));
        run >= self.dashes + 2 && after.is_some_and(|rest| rest.starts_with(self.boundary.as_bytes()))
    }
}

impl<T: FnMut(usize, Option<&str>)> Walk<T> {
    /// A part begins.
    fn enter(&mut self, header: &Header<'_>) -> Result<(), Inert> {
        self.parts += 1;
        if self.parts > limits::MIME_PARTS {
            return Err(Inert::Bound);
        }
        let media = MediaType::of(header)?;
        self.shape.has_report |= media.is_report();
        let boundary = media.boundary()?;
        (self.tell)(self.open.len(), boundary.as_deref());
        let Some(boundary) = boundary else { return Ok(()) };
        if self.open.len() == limits::MIME_DEPTH {
            return Err(Inert::Bound);
        }
        // Where one boundary begins another, readers that compare prefixes find other parts (attack 25).
        let alike = |level: &Level| level.boundary.starts_with(&boundary) || boundary.starts_with(&level.boundary);
        if self.open.iter().any(alike) {
            return Err(Inert::Boundary);
        }
        let dashes = boundary.bytes().take_while(|byte| *byte == b'-').count();
        self.open.push(Level { boundary, dashes, has_parts: false, is_closed: false });
        Ok(())
    }

    /// A line of a body: whether a part begins below it.
    fn take(&mut self, line: &[u8]) -> Result<bool, Inert> {
        let Some((index, tail)) = self.boundary_in(line) else {
            return if self.hides_boundary(line) { Err(Inert::Boundary) } else { Ok(false) };
        };
        if self.open.iter().skip(index + 1).any(|level| !level.is_closed) {
            return Err(Inert::Boundary);
        }
        self.open.truncate(index + 1);
        let level = self.open.last_mut().filter(|level| !level.is_closed).ok_or(Inert::Boundary)?;
        match tail {
            b"" => level.has_parts = true,
            b"--" if level.has_parts => level.is_closed = true,
            _ => return Err(Inert::Boundary),
        }
        Ok(!level.is_closed)
    }

    fn is_boundary(&self, line: &[u8]) -> bool {
        self.boundary_in(line).is_some()
    }

    /// Whether a boundary in use stands within the line: there are readers that find it there (attack 25).
    fn hides_boundary(&self, line: &[u8]) -> bool {
        // Most lines hold no dash at all, and looking for one is fast.
        if !line.contains(&b'-') {
            return false;
        }
        let mut end = 0;
        line.chunk_by(|a, b| (*a == b'-') == (*b == b'-')).any(|run| {
            end += run.len();
            run.starts_with(b"--") && self.open.iter().any(|level| level.stands_at(line, end, run.len()))
        })
    }

    /// Which boundary in use the line starts with, and what follows it.
    fn boundary_in<'l>(&self, line: &'l [u8]) -> Option<(usize, &'l [u8])> {
        let rest = line.strip_prefix(b"--")?;
        let tails = self.open.iter().map(|level| rest.strip_prefix(level.boundary.as_bytes()));
        tails.enumerate().find_map(|(index, tail)| Some((index, tail?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every line of up to nine dashes and letters, against a search at each place.
    #[test]
    fn t_025_a_boundary_within_a_line_is_found_wherever_it_stands() {
        for boundary in ["a", "-a", "--", "a-", "-a-a", "--a--a", "---"] {
            let dashes = boundary.bytes().take_while(|byte| *byte == b'-').count();
            let level = Level { boundary: boundary.to_owned(), dashes, has_parts: true, is_closed: false };
            let shape = Shape { has_report: false };
            let walk = Walk { open: vec![level], parts: 0, shape, tell: |_: usize, _: Option<&str>| {} };
            for (len, bits) in (0..=9).flat_map(|len| (0..1_u32 << len).map(move |bits| (len, bits))) {
                let line: String = (0..len).map(|at| if bits >> at & 1 == 1 { '-' } else { 'a' }).collect();
                let stands = line.contains(&format!("--{boundary}"));
                assert_eq!(walk.hides_boundary(line.as_bytes()), stands, "{boundary:?} in {line:?}");
            }
        }
    }
}
