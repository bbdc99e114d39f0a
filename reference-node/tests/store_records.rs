//! What a store keeps, drops and refuses, as its one owner sees it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use postline_core::id::{BlobRef, Domain, Hash, Lane, MailId};
use postline_core::limits;
use postline_core::step::Store as _;
use postline_core::store::{Key, Record, sha256};
use postline_core::time::Millis;
use postline_node::spool::{Incoming, Spool, Staged, StagedBytes};
use postline_node::store::{About, Reader, Store, StoreError, TraceLine};
use proptest::prelude::*;

fn seen(n: u8) -> Key {
    Key::Seen(MailId([n; 16]))
}

fn queued(n: u8) -> Key {
    Key::Queue(Lane::Domain(Domain::parse("b.example").unwrap()), MailId([n; 16]))
}

fn received(spool: &Spool, bytes: &[u8]) -> Staged {
    let mut incoming = Incoming::new(spool);
    bytes.chunks(10_000).for_each(|chunk| incoming.write(chunk).unwrap());
    incoming.finish().unwrap()
}

fn blob_of(bytes: &[u8]) -> BlobRef {
    BlobRef { sha256: sha256(&[bytes]), len: bytes.len() as u64 }
}

fn small(n: u8) -> Vec<u8> {
    vec![n; 100 + usize::from(n)]
}

fn large(n: u8) -> Vec<u8> {
    vec![n; 70_000 + usize::from(n)]
}

fn files(dir: &Path) -> usize {
    fs::read_dir(dir.join("spool/blobs")).unwrap().count()
}

#[test]
fn what_was_committed_is_there_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (small(1), large(2));
    let records = [
        Record::put(Key::Node, vec![1, 2, 3]),
        Record::put(queued(1), vec![4]).holding(blob_of(&a)).until(Millis(77)),
        Record::put(queued(2), vec![]).holding(blob_of(&b)).until(Millis::NEVER),
    ];
    let mut store = Store::open(dir.path()).unwrap();
    for body in [&a, &b] {
        store.stage(received(&store.spool(), body));
    }
    let _durable = store.commit(&records).unwrap();
    drop(store);
    let mut store = Store::open(dir.path()).unwrap();
    for record in &records {
        assert_eq!(store.get(&record.key).unwrap().as_ref(), Some(record));
    }
    let mut restored = store.restored_at_start().unwrap();
    restored.records.sort_by(|a, b| a.key.cmp(&b.key));
    assert_eq!(restored.records, records);
    for body in [&a, &b] {
        assert_eq!(&*store.body(blob_of(body)).unwrap().unwrap().to_bytes().unwrap(), &body[..]);
    }
    assert_eq!(store.get(&seen(9)).unwrap(), None);
    assert!(store.body(blob_of(b"nobody's")).unwrap().is_none());
}

#[test]
fn a_removed_record_is_gone_and_a_replaced_one_is_new() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    store.write(&[Record::put(seen(1), vec![1]), Record::put(seen(2), vec![2])]).unwrap();
    store.write(&[Record::put(seen(1), vec![3]), Record::remove(seen(2)), Record::remove(seen(3))]).unwrap();
    assert_eq!(store.get(&seen(1)).unwrap(), Some(Record::put(seen(1), vec![3])));
    assert_eq!(store.get(&seen(2)).unwrap(), None);
}

#[test]
fn a_record_that_holds_a_body_nobody_brought_is_refused_whole() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    let records = [Record::put(seen(1), vec![1]), Record::put(queued(1), vec![]).holding(blob_of(b"where?"))];
    assert!(matches!(store.write(&records), Err(StoreError::NoBody { .. })));
    assert_eq!(store.get(&seen(1)).unwrap(), None);
    store.write(&records[..1]).expect("the caller erred, not the disk: the store goes on");
}

#[test]
fn a_staged_body_that_no_record_holds_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    store.stage(received(&store.spool(), &large(1)));
    store.stage(received(&store.spool(), &small(1)));
    store.write(&[Record::put(seen(1), vec![])]).unwrap();
    assert!(store.body(blob_of(&small(1))).unwrap().is_none());
    store.stage(received(&store.spool(), &large(2)));
    store.write(&[]).unwrap();
    assert_eq!(files(dir.path()), 0);
}

#[test]
fn a_crash_before_the_commit_leaves_files_that_the_next_start_sweeps() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let orphan = received(&store.spool(), &large(1));
    let StagedBytes::File(path) = orphan.bytes.clone() else { panic!("a large body is a file") };
    std::mem::forget(orphan);
    drop(store);
    assert!(path.exists());
    let store = Store::open(dir.path()).unwrap();
    assert!(!path.exists());
    drop(store);
}

#[test]
fn a_body_that_comes_again_replaces_a_damaged_copy() {
    for bytes in [small(1), large(1)] {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path()).unwrap();
        let blob = blob_of(&bytes);
        store.stage(received(&store.spool(), &bytes));
        store.write(&[Record::put(queued(1), vec![]).holding(blob)]).unwrap();
        let sql = rusqlite::Connection::open(dir.path().join("postline.db")).unwrap();
        sql.execute("UPDATE body SET bytes = zeroblob(len) WHERE bytes IS NOT NULL", ()).unwrap();
        for file in fs::read_dir(dir.path().join("spool/blobs")).unwrap() {
            fs::write(file.unwrap().path(), vec![0; bytes.len()]).unwrap();
        }
        assert!(matches!(store.body(blob), Err(StoreError::DamagedBody(named)) if named == blob));
        store.write(&[Record::put(queued(1), vec![1]).holding(blob)]).expect("its holder may go on holding it");
        store.write(&[Record::put(queued(2), vec![1]).holding(blob)]).expect("and it may move to another lane");

        store.stage(received(&store.spool(), &bytes));
        store.write(&[Record::put(queued(3), vec![]).holding(blob)]).unwrap();
        assert_eq!(&*store.body(blob).unwrap().unwrap().to_bytes().unwrap(), &bytes[..]);
        assert!(files(dir.path()) <= 1);
    }
}

#[test]
fn expired_records_go_in_small_steps_and_take_their_bodies_along() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    let body = large(1);
    store.stage(received(&store.spool(), &body));
    let mut records: Vec<_> = (0..10).map(|n| Record::put(seen(n), vec![]).until(Millis(100 + u64::from(n)))).collect();
    records.push(Record::put(queued(1), vec![]).holding(blob_of(&body)).until(Millis(105)));
    records.push(Record::put(seen(11), vec![]).until(Millis::NEVER));
    records.push(Record::put(Key::Node, vec![]));
    store.write(&records).unwrap();
    assert_eq!(store.purge_expired(Millis(99), 100).unwrap(), 0);
    assert_eq!(store.purge_expired(Millis(105), 4).unwrap(), 4);
    assert_eq!(store.get(&seen(0)).unwrap(), None);
    assert_eq!(store.purge_expired(Millis(105), 4).unwrap(), 3);
    assert_eq!(store.purge_expired(Millis(105), 4).unwrap(), 0);
    assert_eq!(files(dir.path()), 0);
    assert_eq!(store.purge_expired(Millis(u64::MAX - 1), 100).unwrap(), 5, "the end of time is no time");
    assert!(store.get(&Key::Node).unwrap().is_some());
}

#[test]
fn a_scan_is_bounded_and_goes_on_where_it_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    let mut records: Vec<_> = (0..9).map(|n| Record::put(seen(n), vec![n])).collect();
    records.push(Record::put(Key::Node, vec![]));
    records.push(Record::put(queued(0), vec![]));
    store.write(&records).unwrap();
    let reader = Reader::open(dir.path()).unwrap();
    let (mut after, mut found) = (String::new(), Vec::new());
    loop {
        let page = reader.scan("seen/", &after, 4).unwrap();
        assert!(page.records.len() <= 4 && page.damaged.is_empty());
        let Some(last) = page.records.last() else { break };
        after = last.key.to_string();
        found.extend(page.records);
    }
    assert_eq!(found, records[..9]);
}

#[test]
fn a_trace_tells_all_lines_of_a_mail_and_forgets_after_a_month() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    let (mail, other) = (MailId([1; 16]), MailId([2; 16]));
    let line = |at, message_id: Option<&str>, mail, text: &str| TraceLine {
        at: Millis(at),
        message_id: message_id.map(str::to_owned),
        mail,
        line: text.to_owned(),
    };
    let lines = [
        line(1, Some("m@a.example"), Some(mail), "arrived"),
        line(2, None, Some(other), "another"),
        line(3, None, Some(mail), "sent"),
        line(4, Some("m@a.example"), None, "delivered"),
    ];
    lines.iter().for_each(|line| store.append_trace(line.clone()));
    store.write(&[]).unwrap();
    assert_eq!(store.trace(&About::Mail(mail)).unwrap(), [], "lines wait for records to ride with");
    store.write(&[Record::put(Key::Node, vec![])]).unwrap();
    let reader = Reader::open(dir.path()).unwrap();
    assert_eq!(reader.trace(&About::Mail(mail)).unwrap(), [lines[0].clone(), lines[2].clone()]);
    let by_message_id = reader.trace(&About::MessageId("m@a.example".to_owned())).unwrap();
    assert_eq!(by_message_id, [lines[0].clone(), lines[2].clone(), lines[3].clone()]);

    store.append_trace(line(5, None, Some(other), &"ä".repeat(limits::TRACE_LINE_BYTES)));
    (0..300).for_each(|n| store.append_trace(line(6 + n, None, None, "x")));
    store.write(&[]).expect("many lines go by themselves");
    let cut = store.trace(&About::Mail(other)).unwrap().remove(1).line;
    assert_eq!(cut.len(), limits::TRACE_LINE_BYTES);

    store.purge_expired(Millis(limits::TRACE_MS + 3), 1).unwrap();
    assert_eq!(store.trace(&About::Mail(mail)).unwrap(), [lines[2].clone()]);
    store.purge_expired(Millis(limits::TRACE_MS + 3), 100).unwrap();
    assert_eq!(store.trace(&About::Mail(mail)).unwrap(), [lines[2].clone()], "what is young enough stays");
    store.purge_expired(Millis(limits::TRACE_MS + 4), 100).unwrap();
    assert_eq!(store.trace(&About::Mail(mail)).unwrap(), []);
}

#[test]
fn a_trace_line_is_found_before_and_after_it_caught_up() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    let mail = |n: u16| MailId([n.to_be_bytes(), n.to_be_bytes()].as_flattened().repeat(4).try_into().unwrap());
    let line = |n: u16, what: &str, id: bool| TraceLine {
        at: Millis(u64::from(n) + 1),
        message_id: id.then(|| format!("{n}@a.example")),
        mail: Some(mail(n)),
        line: what.to_owned(),
    };
    for (what, id) in [("arrived", true), ("sent", false)] {
        (0..1_000).for_each(|n| store.append_trace(line(n, what, id)));
        store.write(&[]).unwrap();
    }
    let want = [line(7, "arrived", true), line(7, "sent", false)];
    let finds = |store: &Store| {
        assert_eq!(store.trace(&About::Mail(mail(7))).unwrap(), want);
        assert_eq!(store.trace(&About::MessageId("7@a.example".to_owned())).unwrap(), want);
    };
    finds(&store);
    assert!(store.is_behind());
    store.catch_up().unwrap();
    assert!(!store.is_behind(), "what is left is not worth a write");
    finds(&store);
    drop(store);
    let mut store = Store::open(dir.path()).unwrap();
    store.catch_up().unwrap();
    finds(&store);

    let late = Millis(limits::TRACE_MS + 2_000);
    store.purge_expired(late, 2_000).unwrap();
    assert_eq!(store.trace(&About::Mail(mail(7))).unwrap(), []);
    store.append_trace(line(7, "arrived", true));
    store.write(&[Record::put(Key::Node, vec![])]).unwrap();
    assert_eq!(store.trace(&About::Mail(mail(7))).unwrap().len(), 1, "numbers begin again, and nothing is missed");
}

#[test]
fn a_reader_sees_what_is_committed_and_streams_what_is_removed_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    assert!(Reader::open(dir.path()).is_err(), "a reader makes no store");
    let mut store = Store::open(dir.path()).unwrap();
    let reader = Reader::open(dir.path()).unwrap();
    let body = large(3);
    store.stage(received(&store.spool(), &body));
    store.write(&[Record::put(queued(1), vec![]).holding(blob_of(&body))]).unwrap();
    let open = std::thread::spawn(move || (reader.body(blob_of(&body)).unwrap().unwrap(), reader, body));
    let (open, reader, body) = open.join().unwrap();
    store.write(&[Record::remove(queued(1))]).unwrap();
    let (mut got, mut piece) = (Vec::new(), [0; 10_000]);
    while let n @ 1.. = open.read_at(got.len() as u64, &mut piece).unwrap() {
        got.extend_from_slice(&piece[..n]);
    }
    assert_eq!(got, body);
    assert!(reader.body(blob_of(&body)).unwrap().is_none());
    assert_eq!(files(dir.path()), 0);
}

#[test]
fn a_newer_store_and_a_foreign_database_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(Store::open(dir.path()).unwrap());
    let path = dir.path().join("postline.db");
    let sql = rusqlite::Connection::open(&path).unwrap();
    sql.pragma_update(None, "user_version", 1_000).unwrap();
    drop(sql);
    assert!(matches!(Store::open(dir.path()), Err(StoreError::Newer { found: 1_000, known: 1 })));
    assert!(matches!(Reader::open(dir.path()), Err(StoreError::Newer { found: 1_000, known: 1 })));

    let dir = tempfile::tempdir().unwrap();
    let sql = rusqlite::Connection::open(dir.path().join("postline.db")).unwrap();
    sql.execute_batch("CREATE TABLE theirs (x)").unwrap();
    assert!(matches!(Store::open(dir.path()), Err(StoreError::Foreign(0))));

    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("postline.db"), "this is no database, and is long enough to tell".repeat(100)).unwrap();
    assert!(matches!(Store::open(dir.path()), Err(StoreError::Corrupt(_))));
}

/// What a record holds is all that keeps a body.
#[derive(Clone, Debug)]
enum Op {
    /// Stage some bodies, and put and remove some records, in one write.
    Write {
        staged: BTreeSet<u8>,
        puts: BTreeMap<u8, Option<u8>>,
        removes: BTreeSet<u8>,
    },
    Purge {
        now: u64,
        max: usize,
    },
    Reopen,
}

fn body_no(n: u8) -> Vec<u8> {
    if n.is_multiple_of(3) { large(n) } else { small(n) }
}

fn op() -> impl Strategy<Value = Op> {
    let writes = (
        proptest::collection::btree_set(0u8..6, 0..4),
        proptest::collection::btree_map(0u8..8, proptest::option::of(0u8..6), 0..4),
        proptest::collection::btree_set(0u8..8, 0..4),
    );
    prop_oneof![
        8 => writes.prop_map(|(staged, puts, removes)| Op::Write { staged, puts, removes }),
        1 => (0u64..8, 1usize..5).prop_map(|(now, max)| Op::Purge { now, max }),
        1 => Just(Op::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn a_body_lives_exactly_as_long_as_a_record_holds_it(ops in proptest::collection::vec(op(), 1..25)) {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path()).unwrap();
        let mut model: BTreeMap<Key, Record> = BTreeMap::new();
        for op in ops {
            match op {
                Op::Write { staged, puts, removes } => {
                    for n in &staged {
                        store.stage(received(&store.spool(), &body_no(*n)));
                    }
                    // The outbox has one record a key.
                    let mut records: BTreeMap<Key, Record> =
                        removes.iter().map(|n| (queued(*n), Record::remove(queued(*n)))).collect();
                    for (n, holds) in &puts {
                        let mut record = Record::put(queued(*n), vec![*n; 3]).until(Millis(u64::from(*n)));
                        record.blob = holds.map(|n| blob_of(&body_no(n)));
                        records.insert(queued(*n), record);
                    }
                    let held: BTreeSet<Hash> = model.values().filter_map(|r| r.blob).map(|b| b.sha256).collect();
                    let here = |blob: BlobRef| {
                        held.contains(&blob.sha256) || staged.iter().any(|n| blob_of(&body_no(*n)) == blob)
                    };
                    let fits = records.values().filter_map(|r| r.blob).all(here);
                    let records: Vec<Record> = records.into_values().collect();
                    match store.write(&records) {
                        Ok(()) => {
                            prop_assert!(fits);
                            for record in records {
                                match record.value {
                                    Some(_) => { model.insert(record.key.clone(), record); }
                                    None => { model.remove(&record.key); }
                                }
                            }
                        }
                        Err(StoreError::NoBody { .. }) => prop_assert!(!fits),
                        Err(e) => return Err(TestCaseError::fail(e.to_string())),
                    }
                }
                Op::Purge { now, max } => {
                    let gone = store.purge_expired(Millis(now), max).unwrap();
                    let mut due: Vec<_> = model.values().filter(|r| r.expires <= Some(Millis(now))).cloned().collect();
                    due.sort_by_key(|r| r.expires);
                    prop_assert_eq!(gone, due.len().min(max));
                    due.iter().take(max).for_each(|r| { model.remove(&r.key); });
                }
                Op::Reopen => {
                    drop(store);
                    store = Store::open(dir.path()).unwrap();
                }
            }
            let records: Vec<Record> = model.values().cloned().collect();
            prop_assert_eq!(store.restored_at_start().unwrap().records, records);
            let held: BTreeSet<Hash> = model.values().filter_map(|r| r.blob).map(|b| b.sha256).collect();
            for n in 0..6 {
                let (bytes, blob) = (body_no(n), blob_of(&body_no(n)));
                let found = store.body(blob).unwrap().map(|body| body.to_bytes().unwrap());
                prop_assert_eq!(found.as_deref(), held.contains(&blob.sha256).then_some(&bytes[..]));
            }
            let on_disk = (0..6).map(body_no).filter(|b| b.len() > 65_536 && held.contains(&blob_of(b).sha256)).count();
            prop_assert_eq!(files(dir.path()), on_disk);
        }
    }
}
