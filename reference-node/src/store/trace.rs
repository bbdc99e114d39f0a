//! What happened to a mail, line by line, for `postline trace`.
//!
//! ```text
//!   insert: one row at the end ──catch_up, when nobody waits, many at once──▶ found by mail and Message-ID
//! ```
//!
//! Until then they are found by looking at each, which is quick for as many as there may be.

use std::collections::BTreeSet;

use postline_core::id::MailId;
use postline_core::limits;
use postline_core::time::Millis;
use rusqlite::{Connection, Row, ToSql, params};

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

/// How many lines can't be found by their keys yet.
pub(super) fn behind(conn: &Connection) -> rusqlite::Result<u32> {
    conn.query_row(
        "SELECT count(*) FROM trace WHERE number > (SELECT value FROM meta WHERE name = 'traced')",
        (),
        |row| row.get(0),
    )
}

/// Makes up to `max` more lines to be found by their keys. Gives how many it were.
pub(super) fn catch_up(conn: &Connection, max: u32) -> rusqlite::Result<u32> {
    let from: i64 = conn.query_row("SELECT value FROM meta WHERE name = 'traced'", (), |row| row.get(0))?;
    let (to, count): (Option<i64>, u32) = conn
        .prepare_cached(
            "SELECT max(number), count(*) FROM (SELECT number FROM trace WHERE number > ?1 ORDER BY number LIMIT ?2)",
        )?
        .query_row(params![from, max], |row| Ok((row.get(0)?, row.get(1)?)))?;
    for add in [
        "INSERT INTO trace_mail SELECT mail, number FROM trace
         WHERE number > ?1 AND number <= ?2 AND mail IS NOT NULL ORDER BY mail",
        "INSERT INTO trace_message_id SELECT message_id, number FROM trace
         WHERE number > ?1 AND number <= ?2 AND message_id IS NOT NULL ORDER BY message_id",
        "UPDATE meta SET value = ?2 WHERE name = 'traced' AND ?1 < ?2",
    ] {
        conn.prepare_cached(add)?.execute(params![from, to])?;
    }
    Ok(count)
}

/// The lines of `mail`: those with keys, and those behind.
const OF_MAIL: &str = "SELECT number FROM trace_mail WHERE mail = ?1 UNION
    SELECT number FROM trace WHERE number > (SELECT value FROM meta WHERE name = 'traced') AND mail = ?1";

/// The lines that bear a Message-ID.
const OF_MESSAGE_ID: &str = "SELECT number FROM trace_message_id WHERE message_id = ?1 UNION
    SELECT number FROM trace WHERE number > (SELECT value FROM meta WHERE name = 'traced') AND message_id = ?1";

/// The lines about a mail, oldest first. Of more than are shown, the newest.
pub(super) fn find(conn: &Connection, about: &About) -> Result<Vec<TraceLine>, StoreError> {
    let numbers = |sql: &str, key: &dyn ToSql| -> rusqlite::Result<Vec<i64>> {
        conn.prepare_cached(sql)?.query_map([key], |row| row.get(0))?.collect()
    };
    let mut found: BTreeSet<i64> = match about {
        About::Mail(mail) => numbers(OF_MAIL, &mail.0)?.into_iter().collect(),
        About::MessageId(id) => numbers(OF_MESSAGE_ID, id)?.into_iter().collect(),
    };
    let mut get = conn.prepare_cached("SELECT at, message_id, mail, line FROM trace WHERE number = ?1")?;
    if let About::MessageId(_) = about {
        // Not each line about a mail bears its Message-ID.
        let mut mails = BTreeSet::new();
        for number in found.iter().rev().take(limits::TRACE_SHOWN) {
            mails.extend(get.query_row([number], read)?.mail);
        }
        for mail in mails {
            found.extend(numbers(OF_MAIL, &mail.0)?);
        }
    }
    let newest: BTreeSet<i64> = found.into_iter().rev().take(limits::TRACE_SHOWN).collect();
    Ok(newest.iter().map(|number| get.query_row([number], read)).collect::<Result<_, _>>()?)
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
    let mut delete = conn.prepare_cached(
        "DELETE FROM trace WHERE number IN (SELECT number FROM trace ORDER BY number LIMIT ?1)
         AND (at < ?2 OR number <= (SELECT max(number) FROM trace) - ?3) RETURNING number, mail, message_id",
    )?;
    let gone: Vec<(i64, Option<[u8; 16]>, Option<String>)> = delete
        .query_map(params![count_to_sql(max), oldest, most], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<Result<_, _>>()?;
    let mut of_mail = conn.prepare_cached("DELETE FROM trace_mail WHERE mail = ?1 AND number = ?2")?;
    let mut of_id = conn.prepare_cached("DELETE FROM trace_message_id WHERE message_id = ?1 AND number = ?2")?;
    for (number, mail, message_id) in gone {
        of_mail.execute(params![mail, number])?;
        of_id.execute(params![message_id, number])?;
    }
    // Where none is left, numbers begin again.
    conn.execute("UPDATE meta SET value = 0 WHERE name = 'traced' AND NOT EXISTS (SELECT 1 FROM trace)", ())?;
    Ok(())
}
