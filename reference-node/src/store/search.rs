//! Looking for what was said: what a person types, made a question that FTS5 can't misread, and bounded answers to it.
//!
//! ```text
//!   lunch "next tuesday" resta*   ─▶   "lunch" AND "next tuesday" AND "resta" *   ─▶ the newest first, some entries at a time
//!     word     phrase    beginning
//! ```

use std::collections::BTreeSet;

use postline_core::client::Words;
use postline_core::id::{Address, ConversationId};
use postline_core::limits;
use postline_core::store::Key;
use postline_core::time::Millis;
use rusqlite::{Connection, OptionalExtension, params};

use super::index::{self, WordsOf};
use super::{StoreError, rows};

/// Among how many entries one statement looks: what it costs is bounded by that, whatever is asked.
const WINDOW: u64 = 64 * 1024;
/// What a look into a conversation counts at least, in entries.
const LOOK: u64 = 256;
/// Most entries that are read to find the newest.
const CANDIDATES: usize = 4 * 1024;
/// How much of what was said is given around the first word that was found, in characters: before, and in all.
const EXCERPT: (usize, usize) = (60, 240);

/// A question to the index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// As FTS5 reads it.
    asked: String,
    /// The words and beginnings, to find them in a text.
    words: Vec<String>,
}

/// A question that isn't asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unasked {
    /// No word is in it.
    #[error("want a word to look for")]
    Nothing,
    /// It is too long.
    #[error("{bytes} bytes to look for, and {max} at most are taken")]
    Long {
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        max: usize,
    },
    /// It has too many words.
    #[error("more than {max} words to look for")]
    Many {
        /// How many it may have.
        max: usize,
    },
    /// The beginning of a word is too short.
    #[error("{0:?} is too short a beginning of a word: {min} characters at least", min = limits::SEARCH_BEGINNING)]
    Short(String),
}

/// Why nothing was looked for.
#[derive(Debug, thiserror::Error)]
pub enum SearchFault {
    /// There is no index, or it is damaged. It is made anew when the device's store is next opened.
    #[error("there is no sound index of what was said; `postline device search --rebuild` makes one")]
    NoIndex,
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What was found, the newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// At most as many as were asked for.
    pub hits: Vec<Hit>,
    /// Whether this is all of it.
    pub whole: bool,
    /// Among how many entries was looked.
    pub entries: u64,
}

/// Something said that has all the words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// In which conversation.
    pub conversation: ConversationId,
    /// Its entry.
    pub seq: u64,
    /// Who said it; `None`: this device.
    pub author: Option<Address>,
    /// When, as its author says.
    pub at: Millis,
    /// The words around the first that was found.
    pub excerpt: String,
}

impl Query {
    /// Reads what a person types: words, `"phrases"`, and beginnings of words before a `*`. All of them must be said.
    ///
    /// # Errors
    /// [`Unasked`].
    pub fn parse(text: &str) -> Result<Self, Unasked> {
        if text.len() > limits::SEARCH_BYTES {
            return Err(Unasked::Long { bytes: text.len(), max: limits::SEARCH_BYTES });
        }
        let (mut asked, mut words) = (Vec::new(), Vec::new());
        for (n, piece) in text.split('"').enumerate() {
            // What stands between quotes, or behind the last one, is one phrase.
            let phrase = n % 2 == 1;
            let terms: Vec<&str> = if phrase { vec![piece] } else { piece.split_whitespace().collect() };
            for term in terms {
                let begins = !phrase && term.ends_with('*');
                let term = term.trim_matches(|c: char| !c.is_alphanumeric());
                if term.is_empty() {
                    continue;
                }
                if begins && term.chars().count() < limits::SEARCH_BEGINNING {
                    return Err(Unasked::Short(term.to_owned()));
                }
                // A string of FTS5 is read as words and nothing else. No NUL ends it early.
                let quoted: String = term.chars().map(|c| if c.is_control() || c == '"' { ' ' } else { c }).collect();
                asked.push(format!("\"{quoted}\"{}", if begins { " *" } else { "" }));
                let all = quoted.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
                words.extend(all.map(str::to_lowercase));
            }
        }
        if words.len() > limits::SEARCH_WORDS {
            return Err(Unasked::Many { max: limits::SEARCH_WORDS });
        }
        if asked.is_empty() { Err(Unasked::Nothing) } else { Ok(Self { asked: asked.join(" AND "), words }) }
    }

    /// The words of `text` around the first that was asked for.
    fn excerpt(&self, text: &str) -> String {
        let chars: Vec<char> = text.chars().collect();
        let folded: Vec<char> = chars.iter().map(|c| c.to_lowercase().next().unwrap_or(*c)).collect();
        let first = |word: &String| {
            let word: Vec<char> = word.chars().collect();
            folded.windows(word.len().max(1)).position(|window| window == word)
        };
        let from = self.words.iter().filter_map(first).min().unwrap_or(0).saturating_sub(EXCERPT.0);
        let cut: String = chars.iter().skip(from).take(EXCERPT.1).collect();
        let (before, after) = (if from > 0 { "…" } else { "" }, if from + EXCERPT.1 < chars.len() { "…" } else { "" });
        format!("{before}{cut}{after}")
    }
}

/// Looks in the conversations named, or in all.
pub(super) fn find(
    conn: &Connection,
    words: WordsOf,
    query: &Query,
    within: Option<&BTreeSet<ConversationId>>,
    max: usize,
) -> Result<Found, SearchFault> {
    // One moment of the store, whoever writes to it meanwhile.
    let reading = conn.unchecked_transaction().map_err(StoreError::from)?;
    if !index::is_whole(&reading)? {
        return Err(SearchFault::NoIndex);
    }
    let max = max.clamp(1, limits::SEARCH_FOUND);
    let mut looking = Looking { conn: &reading, query, max, entries: 0, rows: Vec::new(), whole: true };
    looking.look(within).map_err(StoreError::from)?;
    let Looking { rows: candidates, entries, mut whole, .. } = looking;
    let (mut hits, now): (Vec<Hit>, _) = (Vec::new(), crate::clock::wall());
    for (conversation, seq) in candidates {
        let record = match rows::get(&reading, &Key::Said(conversation, seq)) {
            // The owner of the store puts it aside.
            Err(StoreError::Damaged { .. }) => None,
            found => found?,
        };
        let said = record.as_ref().and_then(words);
        // A device that doesn't run forgets nothing: what has ended meanwhile is found by nobody all the same.
        let said = said.filter(|said| said.ends.is_none_or(|ends| ends > now));
        hits.extend(said.map(|Words { conversation, seq, author, at, text, ends: _ }| Hit {
            conversation,
            seq,
            author,
            at,
            excerpt: query.excerpt(&text),
        }));
    }
    hits.sort_by_key(|hit| std::cmp::Reverse((hit.at, hit.conversation, hit.seq)));
    whole &= hits.len() <= max;
    hits.truncate(max);
    Ok(Found { hits, whole, entries })
}

struct Looking<'a> {
    conn: &'a Connection,
    query: &'a Query,
    max: usize,
    entries: u64,
    rows: Vec<(ConversationId, u64)>,
    whole: bool,
}

impl Looking<'_> {
    fn look(&mut self, within: Option<&BTreeSet<ConversationId>>) -> rusqlite::Result<()> {
        let mut talks = self.conn.prepare_cached("SELECT number, talk FROM said_talk ORDER BY number DESC")?;
        let mut rows = talks.query(())?;
        while let Some(row) = rows.next()? {
            let (number, talk) = (row.get(0)?, ConversationId(row.get(1)?));
            if within.is_some_and(|within| !within.contains(&talk)) {
                continue;
            }
            if self.entries >= limits::SEARCH_ENTRIES || self.rows.len() >= CANDIDATES {
                self.whole = false;
                return Ok(());
            }
            self.look_into(number, talk)?;
        }
        Ok(())
    }

    /// From the newest entry of a conversation back.
    fn look_into(&mut self, number: i64, talk: ConversationId) -> rusqlite::Result<()> {
        let mut upper = last(self.conn, talk)?;
        let mut find = self.conn.prepare_cached(
            "SELECT rowid FROM said_words WHERE said_words MATCH ?1 AND rowid BETWEEN ?2 AND ?3 ORDER BY rowid DESC LIMIT ?4",
        )?;
        let mut wanted = self.max + 1;
        self.entries += LOOK;
        while let Some(to) = upper {
            if self.entries >= limits::SEARCH_ENTRIES || wanted == 0 {
                self.whole = false;
                return Ok(());
            }
            let from = to.saturating_sub(WINDOW - 1);
            let (Some(low), Some(high)) = (index::row(number, from), index::row(number, to)) else { return Ok(()) };
            let mut rows = find.query(params![self.query.asked, low, high, super::count_to_sql(wanted)])?;
            while let Some(row) = rows.next()? {
                let found: i64 = row.get(0)?;
                self.rows.push((talk, (found & ((1 << index::SEQ_BITS) - 1)).unsigned_abs()));
                wanted = wanted.saturating_sub(1);
            }
            self.entries += to - from;
            upper = from.checked_sub(1);
        }
        Ok(())
    }
}

/// The newest entry of a conversation that has a record.
fn last(conn: &Connection, talk: ConversationId) -> rusqlite::Result<Option<u64>> {
    let mut newest =
        conn.prepare_cached("SELECT key FROM record WHERE key >= ?1 AND key < ?2 ORDER BY key DESC LIMIT 1")?;
    let key: Option<String> =
        newest.query_row([format!("said/{talk}/"), format!("said/{talk}0")], |row| row.get(0)).optional()?;
    Ok(match key.as_deref().and_then(Key::parse) {
        Some(Key::Said(_, seq)) => Some(seq),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(text: &str) -> Result<String, Unasked> {
        Query::parse(text).map(|query| query.asked)
    }

    #[test]
    fn words_phrases_and_beginnings_are_asked_for_together() {
        assert_eq!(asked(r#"lunch "next tuesday" resta*"#).unwrap(), r#""lunch" AND "next tuesday" AND "resta" *"#);
        assert_eq!(asked("it's").unwrap(), r#""it's""#);
        assert_eq!(asked(r#"say "unfinished bus"#).unwrap(), r#""say" AND "unfinished bus""#);
    }

    #[test]
    fn t_105_nothing_that_a_person_types_is_a_command_to_the_index() {
        assert_eq!(asked("a OR text : b").unwrap(), r#""a" AND "OR" AND "text" AND "b""#);
        assert_eq!(asked("NEAR(a b) {x} -y ^z").unwrap(), r#""NEAR(a" AND "b" AND "x" AND "y" AND "z""#);
        assert_eq!(asked("nul\0byte").unwrap(), r#""nul byte""#);
        for nothing in ["", "  ", "\"\"", "* - ^ ()", "\"!?\""] {
            assert_eq!(asked(nothing), Err(Unasked::Nothing), "{nothing}");
        }
        assert_eq!(asked("a*"), Err(Unasked::Short("a".to_owned())));
        assert!(matches!(asked(&"x".repeat(1_025)), Err(Unasked::Long { bytes: 1_025, max: 1_024 })));
        assert_eq!(asked(&"ab ".repeat(16)).unwrap().matches("AND").count(), 15);
        assert_eq!(asked(&"ab ".repeat(17)), Err(Unasked::Many { max: 16 }));
        assert_eq!(
            asked(&format!("\"{}\"", "ab ".repeat(17))),
            Err(Unasked::Many { max: 16 }),
            "a phrase's words count"
        );
        assert_eq!(asked(&format!("ab{}", "-ab".repeat(16))), Err(Unasked::Many { max: 16 }));
    }

    #[test]
    fn an_excerpt_begins_before_what_was_found() {
        let query = Query::parse("NEEDLE").unwrap();
        let text = format!("{} Needle {}", "hay ".repeat(100), "straw ".repeat(100));
        let cut = query.excerpt(&text);
        assert!(cut.contains("Needle straw") && cut.starts_with('…') && cut.ends_with('…'), "{cut}");
        assert_eq!(cut.chars().count(), EXCERPT.1 + 2);
        assert_eq!(query.excerpt("a needle"), "a needle");
    }
}
