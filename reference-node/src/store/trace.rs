//! What happened to a mail, line by line, for `postline trace`.

use postline_core::id::MailId;
use postline_core::limits;
use postline_core::time::Millis;
use rusqlite::{Connection, Row, params};

use super::{StoreError, count_to_sql, millis_from_sql, millis_to_sql};

/// One thing that happened. Never a body, never a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceLine {
    /// When.
    pub at: Millis,
    /// The Message-ID of the mail that it is about, without angle brackets.
    pub message_id: Option<String>,
    /// The mail that it is about.
    pub mail: Option<MailId>,
    /// What happened; cut at [`TRACE_LINE_BYTES`](limits::TRACE_LINE_BYTES).
    pub line: String,
}

/// Which mail is asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum About {
    /// All that bear this Message-ID, without angle brackets.
    MessageId(String),
    /// This one.
    Mail(MailId),
}

pub(super) fn insert(conn: &Connection, line: &TraceLine) -> Result<(), StoreError> {
    let text = line.line.get(..line.line.floor_char_boundary(limits::TRACE_LINE_BYTES)).unwrap_or_default();
    conn.prepare_cached("INSERT INTO trace (at, message_id, mail, line) VALUES (?1, ?2, ?3, ?4)")?.execute(params![
        millis_to_sql(line.at),
        line.message_id,
        line.mail.map(|mail| mail.0),
        text
    ])?;
    Ok(())
}

/// The lines about a mail, oldest first. Of more than are shown, the newest.
pub(super) fn find(conn: &Connection, about: &About) -> Result<Vec<TraceLine>, StoreError> {
    let most = count_to_sql(limits::TRACE_SHOWN);
    let mut lines: Vec<TraceLine> = match about {
        About::Mail(mail) => conn
            .prepare_cached(
                "SELECT at, message_id, mail, line FROM trace WHERE mail = ?1 ORDER BY number DESC LIMIT ?2",
            )?
            .query_map(params![mail.0, most], read)?
            .collect::<Result<_, _>>()?,
        // Not each line about a mail bears its Message-ID.
        About::MessageId(id) => conn
            .prepare_cached(
                "SELECT at, message_id, mail, line FROM trace WHERE message_id = ?1
                 OR mail IN (SELECT mail FROM trace WHERE message_id = ?1 AND mail IS NOT NULL)
                 ORDER BY number DESC LIMIT ?2",
            )?
            .query_map(params![id, most], read)?
            .collect::<Result<_, _>>()?,
    };
    lines.reverse();
    Ok(lines)
}

fn read(row: &Row<'_>) -> rusqlite::Result<TraceLine> {
    Ok(TraceLine {
        at: millis_from_sql(row.get(0)?).unwrap_or_default(),
        message_id: row.get(1)?,
        mail: row.get::<_, Option<[u8; 16]>>(2)?.map(MailId),
        line: row.get(3)?,
    })
}

/// Drops up to `max` of the oldest lines, where they are too old or too many.
pub(super) fn purge(conn: &Connection, now: Millis, max: usize) -> Result<(), StoreError> {
    let oldest = millis_to_sql(Millis(now.since(Millis(limits::TRACE_MS))));
    let most = i64::try_from(limits::TRACE_LINES).unwrap_or(i64::MAX);
    conn.prepare_cached(
        "DELETE FROM trace WHERE number IN (SELECT number FROM trace ORDER BY number LIMIT ?1)
         AND (at < ?2 OR number <= (SELECT max(number) FROM trace) - ?3)",
    )?
    .execute(params![count_to_sql(max), oldest, most])?;
    Ok(())
}
