//! `postline device search` and `/find`: what was said, looked for in this device's own store.
//!
//! ```text
//!   words ─▶ question ─▶ a reader of the store, whoever else has it open ─▶ what was found
//!                              └─ no sound index ─▶ the store is opened, which makes one ─▶ again
//! ```

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;

use postline_core::client::{with, words};
use postline_core::id::{Address, ConversationId};
use postline_core::store::Key;
use serde_json::{Value, json};

use super::{Failure, show};
use crate::shown::{ADDRESS_BYTES, shown};
use crate::store::{Found, Query, Reader, Said, SearchFault, Store, StoreError};

/// How many conversations are looked at at once to find those with somebody.
const TALKS: usize = 256;
/// How much of an excerpt is shown in one line, in bytes.
const EXCERPT_BYTES: usize = 2 * 1024;
/// How many are shown where nobody says how many.
pub(super) const MOST: usize = 50;

/// What to look for.
pub(super) struct Asked {
    pub(super) query: Query,
    /// Only in conversations with them.
    pub(super) with: Option<Address>,
    /// How many at most.
    pub(super) most: usize,
}

impl Asked {
    /// From the words of a command line: one that has a space in it is a phrase.
    pub(super) fn of(terms: &[String], with: Option<Address>, most: usize) -> Result<Self, Failure> {
        let phrase = |term: &String| {
            if term.contains(char::is_whitespace) && !term.contains('"') { format!("\"{term}\"") } else { term.clone() }
        };
        let text = terms.iter().map(phrase).collect::<Vec<_>>().join(" ");
        let query = Query::parse(&text).map_err(|why| Failure::Usage(why.to_string()))?;
        Ok(Self { query, with, most })
    }
}

/// Looks in the store in `dir`, which may be in use. Where it has no sound index, and isn't, one is made.
pub(super) fn search(dir: &Path, asked: &Asked, json: bool, out: &mut dyn Write) -> Result<(), Failure> {
    let found = match look(dir, asked) {
        Err(SearchFault::NoIndex) => {
            rebuild(dir)?;
            look(dir, asked)
        }
        found => found,
    };
    tell(&found.map_err(fault)?, json, out)
}

/// Makes the index anew.
pub(super) fn rebuild(dir: &Path) -> Result<(), Failure> {
    let part = |why: StoreError| Failure::Part(why.into());
    // Where there is no device's store, none is made.
    drop(Reader::open(dir).map_err(part)?);
    let mut store = Store::open_said(dir, Said { words, searched: true }).map_err(part)?;
    store.rebuild_index().map_err(part)?;
    store.close().map_err(part)
}

fn fault(why: SearchFault) -> Failure {
    Failure::Part(why.into())
}

/// Looks in the store in `dir`, as it is.
pub(super) fn look(dir: &Path, asked: &Asked) -> Result<Found, SearchFault> {
    let reader = Reader::open(dir)?;
    let within = asked.with.as_ref().map(|with| talks(&reader, with)).transpose()?;
    reader.search(words, &asked.query, within.as_ref(), asked.most)
}

/// The conversations with somebody.
fn talks(reader: &Reader, who: &Address) -> Result<BTreeSet<ConversationId>, StoreError> {
    let (mut theirs, mut after) = (BTreeSet::new(), String::new());
    loop {
        let some = reader.scan("talk/", &after, TALKS)?;
        let last = some.records.iter().map(|record| record.key.to_string()).chain(some.damaged).max();
        let Some(last) = last else { return Ok(theirs) };
        for record in &some.records {
            if let Key::Talk(id) = record.key
                && with(record).is_some_and(|with| with.contains(who))
            {
                theirs.insert(id);
            }
        }
        after = last;
    }
}

/// Shows what was found.
pub(super) fn tell(found: &Found, json: bool, out: &mut dyn Write) -> Result<(), Failure> {
    if json {
        let hits: Vec<Value> = found
            .hits
            .iter()
            .map(|hit| {
                json!({
                    "conversation": hit.conversation.to_string(), "seq": hit.seq,
                    "author": hit.author.as_ref().map(ToString::to_string), "at": hit.at.0, "text": hit.excerpt,
                })
            })
            .collect();
        show::json(out, &json!({ "event": "found", "hits": hits, "whole": found.whole }))?;
    } else {
        for hit in &found.hits {
            let author = hit.author.as_ref().map_or_else(|| "this device".to_owned(), ToString::to_string);
            let (author, text) = (shown(&author, ADDRESS_BYTES), shown(&hit.excerpt, EXCERPT_BYTES));
            writeln!(out, "{} {author}> {text}", hit.seq)?;
        }
        match (found.hits.len(), found.whole) {
            (0, true) => writeln!(out, "* nothing like that was said")?,
            (_, false) => writeln!(out, "* there may be more: with more words, or with one person, it is nearer")?,
            (_, true) => {}
        }
    }
    Ok(out.flush()?)
}
