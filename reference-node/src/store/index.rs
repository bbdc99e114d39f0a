//! The index of what is said, on a device: the words of each entry, beside its record and in the same transaction.
//!
//! ```text
//!   record of an entry, with words ───▶ put in      rowid: the conversation's number ‖ seq
//!   without words now, or removed ────▶ taken out ─▶ the log that is ahead of the file is cut
//!   none yet, of another version, damaged, or with traces ─▶ made anew from the records, when the store is opened
//! ```
//!
//! FTS5 keeps only what leads from words to entries; the words themselves are the record's alone. What is taken out is
//! written over: in FTS5's pages by its `secure-delete`, in SQLite's by its own. One thing FTS5 leaves: the beginning of a
//! word by which it divides two of its pages. Where one would tell of a word that nobody says any more, the index is made anew.
//! A node has no index: whose words they are has devices, or a mailbox to search.

use postline_core::client::Words;
use postline_core::id::ConversationId;
use postline_core::store::Record;
use rusqlite::{Connection, ErrorCode, OptionalExtension, Transaction, TransactionBehavior, params};

use super::{StoreError, rows};

/// What says the words of a record.
pub type WordsOf = fn(&Record) -> Option<Words>;

/// The form of the index, and of what goes in. Another one is made anew.
const VERSION: i64 = 1;
/// The index is being made, or can't be used.
const UNMADE: i64 = 0;
/// As [`VERSION`], and to be made anew.
const TRACED: i64 = -1;
/// How many bits of a rowid are the seq's.
pub(super) const SEQ_BITS: u32 = 40;
/// How many entries are put in at once when it is made anew.
const AT_ONCE: usize = 256;
/// Most words of one text of which traces are looked for; one with more is taken to leave some.
const TERMS: usize = 1_024;
/// The shortest beginning of a word that is a trace of it, in bytes.
const TRACE_BYTES: usize = 3;

/// How words are told apart: by Unicode's letters and digits, in any case, whatever stands above or below them.
const TABLES: &str = "
    CREATE VIRTUAL TABLE said_words USING fts5(
        text, content='', columnsize=0, prefix='2 3', tokenize='unicode61 remove_diacritics 2'
    );
    INSERT INTO said_words (said_words, rank) VALUES ('secure-delete', 1);
    CREATE TABLE said_talk (number INTEGER PRIMARY KEY, talk BLOB NOT NULL UNIQUE);
";
/// What shows, in memory, which words one text has, and which words the index has.
const BESIDE: &str = "
    CREATE VIRTUAL TABLE IF NOT EXISTS temp.said_once USING fts5(
        text, content='', columnsize=0, tokenize='unicode61 remove_diacritics 2'
    );
    CREATE VIRTUAL TABLE IF NOT EXISTS temp.said_once_terms USING fts5vocab(temp, said_once, row);
    CREATE VIRTUAL TABLE IF NOT EXISTS temp.said_terms USING fts5vocab(main, said_words, row);
";

/// What a change of a record does to the index.
#[derive(Debug)]
pub(super) enum Turned {
    In(Words),
    Out(Words),
}

/// What became of the index in a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Became {
    Whole,
    /// It is damaged, and not used any more.
    Lost,
}

/// Makes the index where there is none that can be used as it is.
pub(super) fn ready(conn: &Connection, words: WordsOf) -> Result<(), StoreError> {
    if form(conn)? != VERSION || !answers(conn) { ready_anew(conn, words) } else { Ok(conn.execute_batch(BESIDE)?) }
}

/// Makes it anew, whatever it is.
pub(super) fn ready_anew(conn: &Connection, words: WordsOf) -> Result<(), StoreError> {
    make(conn, words)?;
    Ok(conn.execute_batch(BESIDE)?)
}

/// Drops it, where there is one.
pub(super) fn drop_all(conn: &Connection) -> Result<(), StoreError> {
    const DROP: &str = "
        DROP TABLE IF EXISTS temp.said_terms; DROP TABLE IF EXISTS said_words; DROP TABLE IF EXISTS said_talk;
        DELETE FROM meta WHERE name = 'words'";
    match conn.execute_batch(DROP) {
        Err(why) if is_damage(&why) => {
            // FTS5 drops no table of whose form it isn't told.
            conn.execute_batch(
                "CREATE TABLE IF NOT EXISTS said_words_config (k PRIMARY KEY, v) WITHOUT ROWID;
                 INSERT OR REPLACE INTO said_words_config VALUES ('version', 4)",
            )?;
            Ok(conn.execute_batch(DROP)?)
        }
        done => Ok(done?),
    }
}

/// Whether it may be asked.
pub(super) fn is_whole(conn: &Connection) -> Result<bool, StoreError> {
    Ok(matches!(form(conn)?, VERSION | TRACED))
}

/// Makes it anew, some entries at a time. What is cut short begins from the start when the store is next opened.
fn make(conn: &Connection, words: WordsOf) -> Result<(), StoreError> {
    let transaction = Transaction::new_unchecked(conn, TransactionBehavior::Immediate)?;
    drop_all(&transaction)?;
    transaction.execute_batch(TABLES)?;
    set(&transaction, UNMADE)?;
    transaction.commit()?;
    let (mut after, mut entries) = (String::new(), 0_u64);
    loop {
        let found = rows::scan(conn, "said/", &after, AT_ONCE)?;
        let last = found.records.iter().map(|record| record.key.to_string()).chain(found.damaged).max();
        let Some(last) = last else { break };
        let transaction = Transaction::new_unchecked(conn, TransactionBehavior::Immediate)?;
        for said in found.records.iter().filter_map(words).filter(|said| !said.text.is_empty()) {
            put(&transaction, &said)?;
            entries += 1;
        }
        transaction.commit()?;
        after = last;
    }
    set(conn, VERSION)?;
    if entries > 0 {
        tracing::info!(entries, "the index of what is said was made anew");
    }
    Ok(())
}

/// Does what the records of this transaction want: of what has no words the index knows nothing. An index that turns out to be damaged costs no record.
pub(super) fn turn(conn: &Connection, turned: &[Turned]) -> Result<Became, StoreError> {
    conn.prepare_cached("SAVEPOINT said")?.execute(())?;
    let done = turn_all(conn, turned);
    match &done {
        Ok(traced) => {
            conn.prepare_cached("RELEASE said")?.execute(())?;
            if *traced {
                set(conn, TRACED)?;
            }
            Ok(Became::Whole)
        }
        Err(why) if is_damage(why) => {
            conn.execute_batch("ROLLBACK TO said; RELEASE said")?;
            tracing::error!(%why, "the index of what is said is damaged; it is made anew when the store is next opened");
            set(conn, UNMADE)?;
            Ok(Became::Lost)
        }
        Err(_) => done.map(|_| Became::Whole).map_err(StoreError::from),
    }
}

/// Notes that a record is damaged, so that nobody knows which words it had.
pub(super) fn doubt(conn: &Connection) -> Result<(), StoreError> {
    conn.execute("UPDATE meta SET value = ?1 WHERE name = 'words'", [UNMADE])?;
    Ok(())
}

/// Gives whether a trace of what was taken out is left.
fn turn_all(conn: &Connection, turned: &[Turned]) -> rusqlite::Result<bool> {
    for one in turned {
        match one {
            Turned::In(said) | Turned::Out(said) if said.text.is_empty() => {}
            Turned::In(said) => put(conn, said)?,
            Turned::Out(said) => take_out(conn, said)?,
        }
    }
    // Now, so that what goes wrong goes wrong here and not at the commit.
    conn.prepare_cached("INSERT INTO said_words (said_words) VALUES ('flush')")?.execute(())?;
    let out = turned.iter().filter_map(|one| if let Turned::Out(said) = one { Some(said) } else { None });
    // Where it is to be made anew anyway, nobody looks.
    let mut traced = form(conn)? == TRACED;
    for said in out {
        traced = traced || is_traced(conn, &said.text)?;
    }
    Ok(traced)
}

fn put(conn: &Connection, said: &Words) -> rusqlite::Result<()> {
    let Some(row) = row_of(conn, said.conversation, said.seq, true)? else { return Ok(()) };
    conn.prepare_cached("INSERT INTO said_words (rowid, text) VALUES (?1, ?2)")?.execute(params![row, said.text])?;
    Ok(())
}

/// The words must be those that were put in.
fn take_out(conn: &Connection, said: &Words) -> rusqlite::Result<()> {
    let Some(row) = row_of(conn, said.conversation, said.seq, false)? else { return Ok(()) };
    conn.prepare_cached("INSERT INTO said_words (said_words, rowid, text) VALUES ('delete', ?1, ?2)")?
        .execute(params![row, said.text])?;
    Ok(())
}

fn row_of(conn: &Connection, talk: ConversationId, seq: u64, new: bool) -> rusqlite::Result<Option<i64>> {
    let mut find = conn.prepare_cached("SELECT number FROM said_talk WHERE talk = ?1")?;
    let found: Option<i64> = find.query_row([talk.0], |row| row.get(0)).optional()?;
    let number = match found {
        None if new => conn
            .prepare_cached("INSERT INTO said_talk (talk) VALUES (?1) RETURNING number")?
            .query_row([talk.0], |row| row.get(0))?,
        None => return Ok(None),
        Some(number) => number,
    };
    Ok(row(number, seq))
}

/// The rowid of an entry; none of one further on than any log can get.
pub(super) fn row(number: i64, seq: u64) -> Option<i64> {
    let seq = i64::try_from(seq).ok().filter(|seq| seq >> SEQ_BITS == 0)?;
    let number = Some(number).filter(|number| (0..1 << (i64::BITS - 1 - SEQ_BITS)).contains(number))?;
    Some((number << SEQ_BITS) | seq)
}

/// Whether FTS5 divides its pages by a word of this text that nobody says any more.
fn is_traced(conn: &Connection, text: &str) -> rusqlite::Result<bool> {
    conn.prepare_cached("INSERT INTO temp.said_once (rowid, text) VALUES (1, ?1)")?.execute([text])?;
    let mut terms = conn.prepare_cached("SELECT term FROM temp.said_once_terms")?;
    let terms: Vec<String> = terms.query_map((), |row| row.get(0))?.take(TERMS + 1).collect::<Result<_, _>>()?;
    conn.prepare_cached("INSERT INTO temp.said_once (said_once) VALUES ('delete-all')")?.execute(())?;
    if terms.len() > TERMS {
        return Ok(true);
    }
    let mut next = conn.prepare_cached("SELECT min(segid) FROM said_words_idx WHERE segid > ?1")?;
    // Words stand behind a `0`, their beginnings of two and three characters behind a `1` and a `2`.
    let mut between =
        conn.prepare_cached("SELECT term FROM said_words_idx WHERE segid = ?1 AND term BETWEEN ?2 AND ?3")?;
    let mut said = conn.prepare_cached("SELECT term FROM temp.said_terms WHERE term >= ?1 LIMIT 1")?;
    let mut segment: Option<i64> = next.query_row([-1], |row| row.get(0))?;
    while let Some(id) = segment {
        for term in terms.iter().filter(|term| term.len() >= TRACE_BYTES) {
            let term = format!("0{term}");
            let from = term.as_bytes().get(..=TRACE_BYTES).unwrap_or_default();
            let mut divided = between.query(params![id, from, term.as_bytes()])?;
            while let Some(row) = divided.next()? {
                let divides: Vec<u8> = row.get(0)?;
                let Some(beginning) = divides.get(1..).filter(|_| term.as_bytes().starts_with(&divides)) else {
                    continue;
                };
                let beginning = String::from_utf8_lossy(beginning);
                let live: Option<String> = said.query_row([&beginning], |row| row.get(0)).optional()?;
                if !live.is_some_and(|live| live.starts_with(&*beginning)) {
                    return Ok(true);
                }
            }
        }
        segment = next.query_row([id], |row| row.get(0))?;
    }
    Ok(false)
}

fn form(conn: &Connection) -> rusqlite::Result<i64> {
    let mut find = conn.prepare_cached("SELECT value FROM meta WHERE name = 'words'")?;
    let found = find.query_row((), |row| row.get(0)).optional()?;
    Ok(found.unwrap_or(UNMADE))
}

fn set(conn: &Connection, form: i64) -> rusqlite::Result<()> {
    conn.execute("INSERT INTO meta VALUES ('words', ?1) ON CONFLICT (name) DO UPDATE SET value = ?1", [form])?;
    Ok(())
}

/// Whether its tables are all there.
fn answers(conn: &Connection) -> bool {
    let asked = |sql: &str| conn.prepare(sql).and_then(|mut ask| ask.exists(()));
    asked("SELECT 1 FROM said_words WHERE said_words MATCH 'a'").is_ok() && asked("SELECT 1 FROM said_talk").is_ok()
}

/// Whether the index is at fault, and not the disk: FTS5 has many words for tables of its own that are not as it left them.
#[allow(clippy::wildcard_enum_match_arm, reason = "SQLite's codes are many, and these are the disk's")]
fn is_damage(error: &rusqlite::Error) -> bool {
    !matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::DiskFull
                | ErrorCode::SystemIoFailure
                | ErrorCode::CannotOpen
                | ErrorCode::ReadOnly
                | ErrorCode::OutOfMemory
                | ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
        )
    )
}
