//! The bytes of a report of statuses, which goes as a part of a content: draft-mahy-mimi-message-status-01.
//!
//! ```text
//!   report = [* [id, status]]
//! ```

use crate::content::part::Part;
use crate::content::refusal::ContentFault;
use crate::content::report::{Report, Status};
use crate::id::ContentId;
use crate::limits;
use crate::wire::cbor::{Malformed, Reader, Writer};

impl Report {
    /// Its bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut w = Writer::default();
        w.list(self.statuses().iter(), |w, (id, status)| _ = w.array(2).bytes(&id.0).u64(status.0.into()));
        w.into_bytes()
    }

    /// Reads it strictly.
    ///
    /// # Errors
    /// [`ContentFault`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ContentFault> {
        let mut r = Reader::new(bytes);
        let statuses = r.list(limits::STATUSES as u64, |r| {
            r.array_of(2)?;
            let (id, status) = (ContentId(r.fixed()?), r.u64()?);
            Ok((id, Status(u8::try_from(status).map_err(|_| Malformed("a status"))?)))
        })?;
        r.end()?;
        let report = Self::new(statuses)?;
        if report.to_bytes() == bytes { Ok(report) } else { Err(ContentFault::Form) }
    }

    /// The part that carries it.
    ///
    /// # Errors
    /// Never of its own.
    pub fn to_part(&self) -> Result<Part, ContentFault> {
        Part::report(self.to_bytes())
    }
}
