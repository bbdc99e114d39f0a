//! The index of what is said, in a device's store: it follows the records, finds, and forgets.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::disallowed_methods, missing_docs)]
#![allow(clippy::print_stdout, reason = "figures are printed")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use postline_core::client::Words;
use postline_core::id::{Address, ConversationId};
use postline_core::limits;
use postline_core::step::Store as _;
use postline_core::store::{Key, Record, sha256};
use postline_core::time::Millis;
use postline_node::store::{Found, Query, Reader, Said, SearchFault, Store, StoreError};
use rusqlite::Connection;

const ANN: ConversationId = ConversationId([1; 32]);
const BEN: ConversationId = ConversationId([2; 32]);

/// What these tests' records say: all that stands in them, as the core's do in a form of its own.
fn words(record: &Record) -> Option<Words> {
    let Key::Said(conversation, seq) = record.key else { return None };
    let text = String::from_utf8(record.value.clone()?).ok().filter(|text| !text.is_empty())?;
    let author = Some(Address::parse("ann@a.example").unwrap());
    // What says that it is over is: it ended with the first second.
    let ends = text.starts_with("over: ").then_some(Millis(1_000));
    Some(Words { conversation, seq, author, at: Millis(1_000 + seq), ends, text })
}

fn open(dir: &Path) -> Store {
    Store::open_said(dir, Said { words, searched: true }).unwrap()
}

fn said(talk: ConversationId, seq: u64, text: &str) -> Record {
    Record::put(Key::Said(talk, seq), text.as_bytes().to_vec())
}

fn taken_back(talk: ConversationId, seq: u64) -> Record {
    said(talk, seq, "")
}

fn find(store: &Store, text: &str) -> Vec<(u8, u64)> {
    seqs(&store.search(&Query::parse(text).unwrap(), None, 100).unwrap())
}

fn seqs(found: &Found) -> Vec<(u8, u64)> {
    found.hits.iter().map(|hit| (hit.conversation.0[0], hit.seq)).collect()
}

/// All bytes of a store's files, as far as they are text, by the files' names.
fn bytes(dir: &Path) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            all.extend(bytes(&path));
        } else {
            all.push((path.display().to_string(), String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned()));
        }
    }
    all
}

/// In which files the marker stands.
fn traces(dir: &Path, marker: &str) -> Vec<String> {
    bytes(dir).into_iter().filter(|(_, text)| text.contains(marker)).map(|(path, _)| path).collect()
}

/// Waits until the marker is in no file; what stands in the log is gone within a bounded time.
fn gone(dir: &Path, marker: &str) {
    let began = Instant::now();
    loop {
        let left = traces(dir, marker);
        if left.is_empty() {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "{marker} is left in {left:?}");
        std::thread::yield_now();
    }
}

#[test]
fn what_is_said_is_found_by_words_phrases_and_beginnings() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    store
        .write(&[
            said(ANN, 1, "Shall we have lunch next Tuesday?"),
            said(ANN, 2, "Tuesday next week, at the restaurant"),
            said(BEN, 9, "Le déjeuner est à Århus, 12 heures"),
            Record::put(Key::Draft(4), b"lunch that is no entry".to_vec()),
        ])
        .unwrap();
    assert_eq!(find(&store, "tuesday"), [(1, 2), (1, 1)], "in any case, the newest first");
    assert_eq!(find(&store, "\"next tuesday\""), [(1, 1)]);
    assert_eq!(find(&store, "lunch tuesday"), [(1, 1)]);
    assert_eq!(find(&store, "rest*"), [(1, 2)]);
    assert_eq!(find(&store, "re*"), [(1, 2)]);
    assert_eq!(find(&store, "rest"), [], "a whole word, where no star says otherwise");
    assert_eq!(find(&store, "dejeuner arhus"), [(2, 9)], "whatever stands above a letter");
    assert_eq!(find(&store, "12"), [(2, 9)]);
    let query = Query::parse("12 OR tuesday").unwrap();
    assert_eq!(store.search(&query, None, 9).unwrap().hits, [], "a command of the index is a word");
    let query = Query::parse("t* -lunch \"").unwrap_err();
    assert_eq!(query.to_string(), "\"t\" is too short a beginning of a word: 2 characters at least");
    let only = BTreeSet::from([BEN]);
    let query = Query::parse("tuesday").unwrap();
    assert_eq!(store.search(&query, Some(&only), 9).unwrap().hits, []);
    let hit = &store.search(&Query::parse("heures").unwrap(), Some(&only), 9).unwrap().hits[0];
    assert_eq!((hit.excerpt.as_str(), hit.at), ("Le déjeuner est à Århus, 12 heures", Millis(1_009)));
}

/// a device that doesn't run forgets nothing; who looks into its store finds nothing of what is over.
#[test]
fn t_105_what_has_ended_is_not_found_though_its_device_was_off() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    store.write(&[said(ANN, 1, "over: lunch"), said(ANN, 2, "lunch")]).unwrap();
    assert_eq!(find(&store, "lunch"), [(1, 2)]);
    let reader = Reader::open(dir.path()).unwrap();
    assert_eq!(seqs(&reader.search(words, &Query::parse("lunch").unwrap(), None, 9).unwrap()), [(1, 2)]);
}

#[test]
fn the_index_follows_its_records_in_the_same_commit() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    store.write(&[said(ANN, 1, "alpha"), said(ANN, 2, "beta")]).unwrap();
    // Put again as it is, said otherwise, and removed; two of one key in one commit.
    store
        .write(&[said(ANN, 1, "alpha"), said(ANN, 2, "gamma"), said(ANN, 3, "delta"), said(ANN, 3, "epsilon")])
        .unwrap();
    assert_eq!((find(&store, "alpha"), find(&store, "gamma")), (vec![(1, 1)], vec![(1, 2)]));
    assert_eq!((find(&store, "beta"), find(&store, "delta"), find(&store, "epsilon")), (vec![], vec![], vec![(1, 3)]));
    store.write(&[Record::remove(Key::Said(ANN, 1)), taken_back(ANN, 2)]).unwrap();
    assert_eq!((find(&store, "alpha"), find(&store, "gamma")), (vec![], vec![]));
    store.write(&[said(ANN, 4, "zeta").until(Millis(10)), said(ANN, 5, "eta").until(Millis(20))]).unwrap();
    store.purge_expired(Millis(15), 10).unwrap();
    assert_eq!((find(&store, "zeta"), find(&store, "eta")), (vec![], vec![(1, 5)]), "what has expired, too");
    // A commit that fails leaves neither.
    let bad = Record::put(Key::Node, vec![]).holding(postline_core::id::BlobRef { sha256: sha256(&[]), len: 1 });
    assert!(matches!(store.write(&[said(ANN, 6, "theta"), bad]), Err(StoreError::NoBody { .. })));
    assert_eq!(find(&store, "theta"), []);
    // Others read it while it is written; and it is there when the store is opened again.
    let reader = Reader::open(dir.path()).unwrap();
    let query = Query::parse("eta").unwrap();
    assert_eq!(seqs(&reader.search(words, &query, None, 9).unwrap()), [(1, 5)]);
    store.close().unwrap();
    assert_eq!(find(&open(dir.path()), "eta"), [(1, 5)]);
}

#[test]
fn t_055_what_is_taken_back_is_in_no_byte_of_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    // As many as make FTS5 merge its pages many times. Each has a neighbour that goes on to be said and differs in its
    // last letter alone: where FTS5 divides two pages between them it keeps the second, whole.
    let word = |n: u64| format!("m{}xb", &sha256(&[&n.to_be_bytes()]).to_string()[..24]);
    let (mut entries, mut back) = (0, Vec::new());
    for n in 0..1_500 {
        let long = "and so on ".repeat(if n % 97 == 0 { 900 } else { 3 });
        let neighbour = format!("{}a", word(n).trim_end_matches('b'));
        let growing = Record::put(Key::Talk(ANN), vec![7; 150 + usize::try_from(n % 200).unwrap()]);
        let text = format!("the word of entry {n} is {} {long}", word(n));
        store.write(&[said(ANN, entries, &text), said(ANN, entries + 1, &neighbour), growing]).unwrap();
        if n % 3 == 0 || n % 97 == 0 {
            back.push((entries, word(n)));
        }
        entries += 2;
    }
    assert!(!traces(dir.path(), &back[0].1).is_empty(), "the scan finds what is there");
    for (n, (seq, word)) in back.iter().enumerate() {
        assert_eq!(find(&store, word), [(1, *seq)]);
        store.write(&[if n % 2 == 0 { taken_back(ANN, *seq) } else { Record::remove(Key::Said(ANN, *seq)) }]).unwrap();
        assert_eq!(find(&store, word), []);
    }
    gone(dir.path(), &back[0].1);
    store.close().unwrap();
    let left = || {
        let files = bytes(dir.path());
        let log = files.iter().find(|(path, _)| path.ends_with("-wal")).unwrap().1.len();
        // Nor what is left of a word where FTS5 shortens it by what it has in common with the one before.
        let has = |part: &str| files.iter().any(|(_, text)| text.contains(part));
        (back.iter().filter(|(_, word)| has(&word[8..])).count(), log)
    };
    // What divides FTS5's pages is forgotten when the store is next opened.
    let dividing = left().0;
    println!("{} words were taken back; {dividing} divided pages", back.len());
    assert!(dividing < back.len() / 25, "{dividing} of {}", back.len());
    let store = open(dir.path());
    assert_eq!(left(), (0, 0), "not in the records, the index, what is free, or the log");
    for n in (0..1_500).filter(|n| n % 3 != 0 && n % 97 != 0).step_by(50) {
        assert_eq!(find(&store, &word(n)), [(1, 2 * n)], "what was not taken back is found");
    }
}

#[test]
fn t_055_the_log_is_cut_though_somebody_reads_what_was_before() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    store.write(&[said(ANN, 1, "wombatwords")]).unwrap();
    let other = Connection::open(dir.path().join("postline.db")).unwrap();
    other.execute_batch("BEGIN; SELECT count(*) FROM record").unwrap();
    store.write(&[taken_back(ANN, 1)]).unwrap();
    assert!(!traces(dir.path(), "wombatwords").is_empty(), "a reader has the moment before");
    std::thread::scope(|scope| {
        scope.spawn(|| store.write(&[said(ANN, 2, "others go on")]).unwrap()).join().unwrap();
    });
    other.execute_batch("COMMIT").unwrap();
    gone(dir.path(), "wombatwords");
    // A process that ended in between: the next one does it.
    store.write(&[said(ANN, 3, "numbatwords")]).unwrap();
    store.write(&[taken_back(ANN, 3)]).unwrap();
    drop(store);
    drop(open(dir.path()));
    assert_eq!(traces(dir.path(), "numbatwords"), Vec::<String>::new());
}

#[test]
fn a_store_from_before_there_was_an_index_gets_one_when_it_is_opened() {
    let dir = tempfile::tempdir().unwrap();
    let mut plain = Store::open(dir.path()).unwrap();
    assert!(matches!(plain.search(&Query::parse("old").unwrap(), None, 9), Err(SearchFault::NoIndex)));
    let records: Vec<Record> =
        (0..700).map(|n| said(if n % 2 == 0 { ANN } else { BEN }, n, &format!("old words {n}"))).collect();
    plain.write(&records).unwrap();
    plain.close().unwrap();
    let reader = Reader::open(dir.path()).unwrap();
    assert!(matches!(reader.search(words, &Query::parse("old").unwrap(), None, 9), Err(SearchFault::NoIndex)));
    drop(reader);
    let store = open(dir.path());
    assert_eq!(find(&store, "\"words 699\""), [(2, 699)]);
    let found = store.search(&Query::parse("old").unwrap(), None, 9).unwrap();
    assert_eq!((seqs(&found)[..2].to_vec(), found.hits.len(), found.whole), (vec![(2, 699), (1, 698)], 9, false));
    drop(store);
    // A store that is to have none drops it, words and all.
    drop(Store::open_said(dir.path(), Said { words, searched: false }).unwrap());
    let conn = Connection::open(dir.path().join("postline.db")).unwrap();
    let tables: i64 =
        conn.query_row("SELECT count(*) FROM sqlite_schema WHERE name LIKE 'said%'", (), |row| row.get(0)).unwrap();
    assert_eq!(tables, 0);
}

#[test]
fn a_damaged_or_missing_index_is_made_anew_and_costs_no_message() {
    for damage in [
        "UPDATE said_words_data SET block = zeroblob(9)",
        "DELETE FROM said_words_data",
        "DROP TABLE said_talk",
        "DROP TABLE said_words_idx",
        "DELETE FROM said_words_config",
        "DROP TABLE said_words_config",
        "DROP TABLE said_words",
        "UPDATE meta SET value = 77 WHERE name = 'words'",
        "DELETE FROM meta WHERE name = 'words'",
    ] {
        let dir = tempfile::tempdir().unwrap();
        let mut store = open(dir.path());
        store.write(&(0..50).map(|n| said(ANN, n, &format!("word{n} here"))).collect::<Vec<_>>()).unwrap();
        drop(store);
        let conn = Connection::open(dir.path().join("postline.db")).unwrap();
        conn.execute_batch(damage).unwrap();
        drop(conn);
        let mut store = open(dir.path());
        store.write(&[said(ANN, 60, "word60 here"), taken_back(ANN, 7)]).unwrap();
        drop(store);
        let store = open(dir.path());
        assert_eq!(find(&store, "word*").len(), 50, "{damage}");
        assert_eq!((find(&store, "word60"), find(&store, "word7")), (vec![(1, 60)], vec![]), "{damage}");
    }
}

#[test]
fn an_index_that_is_damaged_under_a_running_device_costs_no_message_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    store.write(&(0..50).map(|n| said(ANN, n, &format!("word{n} here"))).collect::<Vec<_>>()).unwrap();
    let conn = Connection::open(dir.path().join("postline.db")).unwrap();
    conn.execute_batch("UPDATE said_words_data SET block = zeroblob(9)").unwrap();
    store.write(&[taken_back(ANN, 7)]).unwrap();
    store.write(&[said(ANN, 60, "word60 here")]).unwrap();
    assert_eq!(store.get(&Key::Said(ANN, 60)).unwrap(), Some(said(ANN, 60, "word60 here")));
    assert!(matches!(store.search(&Query::parse("here").unwrap(), None, 9), Err(SearchFault::NoIndex)));
    drop(store);
    let mut store = open(dir.path());
    assert_eq!(
        (find(&store, "word60"), find(&store, "word7"), find(&store, "here").len()),
        (vec![(1, 60)], vec![], 50)
    );
    store.rebuild_index().unwrap();
    assert_eq!(find(&store, "here").len(), 50);
    // A damaged record is put aside; then nobody knows which words it had.
    conn.execute_batch("UPDATE record SET value = CAST('word5 hear' AS BLOB) WHERE value = CAST('word5 here' AS BLOB)")
        .unwrap();
    assert!(matches!(store.get(&Key::Said(ANN, 5)), Err(StoreError::Damaged { .. })));
    drop(store);
    assert_eq!(find(&open(dir.path()), "word5"), []);
}

/// Bytes that this thread had the system read.
fn read_bytes() -> u64 {
    let io = fs::read_to_string("/proc/thread-self/io").unwrap();
    io.lines().find_map(|line| line.strip_prefix("rchar: ")).unwrap().parse().unwrap()
}

#[test]
fn looking_among_a_hundred_thousand_messages_reads_little_and_a_common_word_no_more() {
    const ENTRIES: u64 = 100_000;
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    for batch in (0..ENTRIES).collect::<Vec<_>>().chunks(1_000) {
        let text = |n: &u64| {
            let rare = if n % 10_000 == 17 { "quokka" } else { "nothing" };
            said(ANN, *n, &format!("the entry {n} says {rare} at {} o'clock, common as it is", n % 24))
        };
        store.write(&batch.iter().map(text).collect::<Vec<_>>()).unwrap();
    }
    store.close().unwrap();
    let file = fs::metadata(dir.path().join("postline.db")).unwrap().len();
    println!("figure search.bytes_a_message {}", file / ENTRIES);
    let cost = |text: &str, max: usize| {
        // Each with nothing in memory.
        let reader = Reader::open(dir.path()).unwrap();
        let before = read_bytes();
        let found = reader.search(words, &Query::parse(text).unwrap(), None, max).unwrap();
        (found, read_bytes() - before)
    };
    for (text, max, hits) in [("quokka", 50, 10), ("quok*", 50, 10), ("common", 50, 50), ("co*", 50, 50)] {
        let (found, bytes) = cost(text, max);
        assert_eq!(found.hits.len(), hits, "{text}");
        println!("figure search.read_of_{}_ppm {}", text.trim_end_matches('*'), bytes * 1_000_000 / file);
        assert!(bytes * 40 < file, "{text}: {bytes} of {file} bytes");
    }
    // What no message has costs as much, and what many words in common have is bounded as well.
    for text in ["wallaby", "\"is it as common\"", "the entry says nothing at common as quokka"] {
        let (_, bytes) = cost(text, limits::SEARCH_FOUND);
        println!("{text}: {bytes} of {file} bytes");
        assert!(bytes * 2 < file, "{text}: {bytes} of {file} bytes");
    }
    assert!(cost("common", 10).0.entries <= 70_000, "no further back than needed");
}

/// What a commit of one message of 200 bytes adds to the log, with an index and without.
#[test]
fn a_lone_message_pays_few_pages_for_the_index() {
    let text = |n: u64| {
        let words = (0..24).map(|w| sha256(&[&n.to_be_bytes(), &[w]]).to_string()[..7].to_owned());
        words.collect::<Vec<_>>().join(" ")
    };
    let mut pages = Vec::new();
    for searched in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open_said(dir.path(), Said { words, searched }).unwrap();
        let (mut last, mut each) = (0, Vec::new());
        let log = dir.path().join("postline.db-wal");
        for n in 0..256 {
            store.write(&[said(ANN, n, &text(n))]).unwrap();
            let now = fs::metadata(&log).unwrap().len();
            each.push((now - last).div_ceil(4_120));
            last = now;
        }
        each.sort_unstable();
        pages.push((each[128], *each.last().unwrap(), each.iter().sum::<u64>() / 256));
    }
    println!("pages of a commit, median, most, mean: without an index {:?}, with one {:?}", pages[0], pages[1]);
    println!("figure search.lone_commit_pages {}", pages[1].0 - pages[0].0);
    println!("figure search.lone_commit_pages_mean {}", pages[1].2 - pages[0].2);
    assert!(pages[1].0 - pages[0].0 <= 6, "{pages:?}");
}
