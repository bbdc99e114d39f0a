//! A store whose process is killed, whose disk fails or fills, and whose bytes rot.
//!
//! The processes that suffer are this test binary, run again as [`child`]. Faults are the real ones: SIGKILL, file size
//! limits, a small tmpfs, and system calls that `strace` lets fail; where a machine has no `strace`, those parts say so.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    missing_docs
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use postline_core::id::{BlobRef, Domain, Lane, MailId};
use postline_core::step::Store as _;
use postline_core::store::{Key, Record, sha256};
use postline_core::time::Millis;
use postline_node::spool::Incoming;
use postline_node::store::{Reader, Store, StoreError};

/// How many batches back records are kept.
const KEPT: u64 = 10;

/// What batch `n` puts; one record in a batch holds a large body where `large`.
fn puts(n: u64, large: bool) -> Vec<(Record, Vec<u8>)> {
    let put = |i: u64| {
        let mut mail = [0; 16];
        mail[..8].copy_from_slice(&n.to_be_bytes());
        mail[8..].copy_from_slice(&i.to_be_bytes());
        let len = if large && i == 0 && n.is_multiple_of(3) { 70_000 } else { 500 };
        let mut body = vec![0; len];
        body[..8].copy_from_slice(&(n * 10 + i).to_be_bytes());
        let key = Key::Queue(Lane::Domain(Domain::parse("b.example").unwrap()), MailId(mail));
        let blob = BlobRef { sha256: sha256(&[&body]), len: body.len() as u64 };
        (Record::put(key, n.to_be_bytes().to_vec()).holding(blob).until(Millis(n)), body)
    };
    (0..3).map(put).collect()
}

fn write_batch(store: &mut Store, n: u64, large: bool) -> Result<(), StoreError> {
    let mut records = vec![Record::put(Key::Node, n.to_be_bytes().to_vec())];
    for (record, body) in puts(n, large) {
        let mut incoming = Incoming::new(&store.spool());
        incoming.write(&body)?;
        store.stage(incoming.finish()?);
        records.push(record);
    }
    if let Some(old) = n.checked_sub(KEPT) {
        records.extend(puts(old, large).into_iter().map(|(record, _)| Record::remove(record.key)));
    }
    store.write(&records)
}

/// Which batch was the last, after checking that the store is exactly what all batches up to it leave.
fn last_batch(store: &mut Store, dir: &Path, large: bool) -> u64 {
    let restored = store.restored_at_start().unwrap();
    assert_eq!(restored.damaged, Vec::<String>::new());
    let Some(node) = store.get(&Key::Node).unwrap() else {
        assert_eq!(restored.records, []);
        return 0;
    };
    let last = u64::from_be_bytes(node.value.unwrap().try_into().unwrap());
    let mut expected = BTreeMap::new();
    let mut files = 0;
    for n in (last.saturating_sub(KEPT - 1)).max(1)..=last {
        for (record, body) in puts(n, large) {
            let found = store.body(record.blob.unwrap()).unwrap().expect("a held body is here");
            assert_eq!(&*found.to_bytes().unwrap(), &body[..]);
            files += usize::from(body.len() > 65_536);
            expected.insert(record.key.clone(), record);
        }
    }
    let mut found: BTreeMap<_, _> = restored.records.into_iter().map(|r| (r.key.clone(), r)).collect();
    found.remove(&Key::Node);
    assert_eq!(found, expected);
    assert_eq!(fs::read_dir(dir.join("spool/blobs")).unwrap().count(), files);
    last
}

/// Not a test: what the processes do that the tests start.
#[test]
#[ignore = "run by the other tests, in a process of its own"]
fn child() {
    let Ok(dir) = std::env::var("STORE_TEST_DIR") else { return };
    let dir = Path::new(&dir);
    // The harness has not ended its own line yet.
    println!();
    match std::env::var("STORE_TEST_ROLE").unwrap().as_str() {
        "write" => child_writes(dir),
        "few" => child_writes_few(dir),
        "fill" => child_fills(dir),
        "lease" => {
            println!("{}", if matches!(Store::open(dir), Err(StoreError::InUse(_))) { "in use" } else { "free" })
        }
        role => panic!("no such role: {role}"),
    }
}

/// Writes batches on top of those that are there, for as long as it lives or the disk lets it, and says so.
fn child_writes(dir: &Path) {
    let mut store = match Store::open(dir) {
        Ok(store) => store,
        Err(e) => return println!("err {e:?}"),
    };
    let last = last_batch(&mut store, dir, true);
    for n in last + 1..last + 60 {
        if let Err(e) = write_batch(&mut store, n, true) {
            println!("err {e:?}");
            // Once more, as one who has not understood would.
            return println!("then {:?}", store.write(&[Record::remove(Key::Seen(MailId([0; 16])))]));
        }
        println!("ack {n}");
    }
}

fn child_writes_few(dir: &Path) {
    let mut store = Store::open(dir).unwrap();
    for n in 1..=5 {
        write_batch(&mut store, n, false).unwrap();
    }
    println!("mark begin");
    for n in 6..=25 {
        write_batch(&mut store, n, false).unwrap();
    }
    println!("mark end");
}

/// Fills a small disk, finds that out, makes room, and goes on.
fn child_fills(dir: &Path) {
    let ballast = dir.join("ballast");
    fs::write(&ballast, vec![0; 1 << 20]).unwrap();
    let store_dir = dir.join("store");
    let mut store = Store::open(&store_dir).unwrap();
    let mut acked = 0;
    let e = loop {
        match write_batch(&mut store, acked + 1, true) {
            Ok(()) => acked += 1,
            Err(e) => break e,
        }
    };
    println!("full {acked} {e:?}");
    drop(store);
    fs::remove_file(ballast).unwrap();
    let mut store = Store::open(&store_dir).unwrap();
    let last = last_batch(&mut store, &store_dir, true);
    assert!(last == acked || last == acked + 1);
    write_batch(&mut store, last + 1, true).unwrap();
    assert_eq!(last_batch(&mut store, &store_dir, true), last + 1);
    println!("resumed");
}

/// The command that runs [`child`], behind `before`.
fn command(before: &[&str], dir: &Path, role: &str) -> Command {
    let exe = std::env::current_exe().unwrap();
    let args = ["--exact", "child", "--ignored", "--nocapture", "--test-threads=1"];
    let mut command = match before {
        [] => Command::new(exe),
        [program, rest @ ..] => {
            let mut command = Command::new(program);
            command.args(rest).arg(exe);
            command
        }
    };
    command.args(args).env("STORE_TEST_DIR", dir).env("STORE_TEST_ROLE", role);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

/// Runs the child behind `before` to its end. Gives what it printed.
fn run(before: &[&str], dir: &Path, role: &str) -> String {
    let output = command(before, dir, role).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

fn last_ack(said: &str) -> u64 {
    said.lines().filter_map(|line| line.strip_prefix("ack ")).filter_map(|n| n.parse().ok()).max().unwrap_or(0)
}

fn works(program: &str, args: &[&str]) -> bool {
    let works = Command::new(program).args(args).stdout(Stdio::null()).stderr(Stdio::null()).status();
    let works = works.is_ok_and(|status| status.success());
    if !works {
        println!("skipped: {program} {args:?} does not work here");
    }
    works
}

fn has_strace() -> bool {
    works("strace", &["-f", "-o", "/dev/null", "true"])
}

#[test]
fn t_107_a_killed_writer_leaves_a_prefix_with_all_it_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let mut before = 0;
    for cycle in 0..20u64 {
        let mut child = command(&[], dir.path(), "write").spawn().unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        let mut acked = before;
        for _ in 0..(cycle * 7) % 23 + 6 {
            let mut line = String::new();
            said.read_line(&mut line).unwrap();
            acked = acked.max(last_ack(&line));
        }
        std::thread::sleep(Duration::from_micros(cycle * 137 % 900));
        child.kill().unwrap();
        child.wait().unwrap();
        let mut rest = String::new();
        said.read_to_string(&mut rest).unwrap();
        acked = acked.max(last_ack(&rest));
        let mut store = Store::open(dir.path()).expect("the lease ended with its holder");
        let last = last_batch(&mut store, dir.path(), true);
        assert!(last == acked || last == acked + 1, "cycle {cycle}: acknowledged {acked}, found {last}");
        before = last;
    }
    assert!(before > 20, "the writers got somewhere: {before}");
}

#[test]
fn t_107_a_torn_log_leaves_a_prefix() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    for n in 1..=12 {
        write_batch(&mut store, n, false).unwrap();
    }
    drop(store);
    let log = fs::read(dir.path().join("postline.db-wal")).unwrap();
    let mut seen = BTreeSet::new();
    for step in 0..40 {
        let cut = log.len() * step / 39;
        let copy = tempfile::tempdir().unwrap();
        fs::copy(dir.path().join("postline.db"), copy.path().join("postline.db")).unwrap();
        let mut torn = log[..cut].to_vec();
        // What lies behind the tear may be anything.
        torn.resize(log.len(), if step % 2 == 0 { 0 } else { 0x5a });
        fs::write(copy.path().join("postline.db-wal"), torn).unwrap();
        let mut store = Store::open(copy.path()).unwrap();
        let last = last_batch(&mut store, copy.path(), false);
        assert!(seen.last().is_none_or(|before| *before <= last), "a longer log never tells less");
        seen.insert(last);
        write_batch(&mut store, last + 1, false).unwrap();
        assert_eq!(last_batch(&mut store, copy.path(), false), last + 1);
    }
    assert!(seen.contains(&0) && seen.contains(&12) && seen.len() > 5, "{seen:?}");
}

/// [O-1]
#[test]
fn t_108_a_failed_sync_acknowledges_nothing_and_is_never_believed_later() {
    if !has_strace() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    drop(Store::open(dir.path()).unwrap());
    let mut before = 0;
    let mut failed_commits = 0;
    for when in 4..14 {
        // One sync fails, all later ones would succeed.
        let inject = format!("inject=fsync,fdatasync:error=EIO:when={when}");
        let log = tempfile::NamedTempFile::new().unwrap();
        let to = log.path().to_str().unwrap();
        let said =
            run(&["strace", "-f", "-y", "-o", to, "-e", "trace=fsync,fdatasync", "-e", &inject], dir.path(), "write");
        let acked = last_ack(&said).max(before);
        let log = fs::read_to_string(log.path()).unwrap();
        let failed: Vec<&str> = log.lines().filter(|line| line.contains("INJECTED")).collect();
        // SQLite syncs the directory once more than we do, and doesn't care how that goes.
        if failed.iter().any(|line| line.contains("-wal>")) {
            assert!(said.contains("err Io(") && said.contains("then Err(Broken("), "{failed:?}: {said}");
            failed_commits += 1;
        } else if failed.iter().any(|line| line.contains("/spool/")) {
            assert!(said.contains("err Io(") && said.contains("then Ok"), "{failed:?}: {said}");
        }
        let mut store = Store::open(dir.path()).unwrap();
        before = last_batch(&mut store, dir.path(), true);
        assert!(before == acked || before == acked + 1, "sync {when}: acknowledged {acked}, found {before}");
    }
    assert!(failed_commits > 2, "{failed_commits}");
}

#[test]
fn t_108_failing_reads_and_writes_corrupt_nothing() {
    if !has_strace() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    drop(Store::open(dir.path()).unwrap());
    let mut before = 0;
    for (call, error, want) in [
        ("pwrite64", "ENOSPC", "Full("),
        ("pwrite64", "EIO", "Io("),
        ("pread64", "EIO", "Io("),
        ("openat", "EMFILE", "Io("),
    ] {
        for when in [60, 75, 100, 131] {
            let inject = format!("inject={call}:error={error}:when={when}+");
            let trace = format!("trace={call}");
            let said = run(&["strace", "-f", "-o", "/dev/null", "-e", &trace, "-e", &inject], dir.path(), "write");
            let acked = last_ack(&said).max(before);
            // A process that can't even read its own test harness's files ends without a word: that is no ack.
            if said.contains("err ") {
                assert!(said.contains(want), "{call} {error} {when}: {said}");
            }
            let mut store = Store::open(dir.path()).unwrap();
            before = last_batch(&mut store, dir.path(), true);
            assert!(before == acked || before == acked + 1, "{call} {error}: acknowledged {acked}, found {before}");
        }
    }
    assert!(before > 0);
}

#[test]
fn t_108_a_file_that_may_not_grow_stops_the_writer_and_it_resumes() {
    let dir = tempfile::tempdir().unwrap();
    let limited = ["sh", "-c", "ulimit -f 500; trap '' XFSZ; exec \"$0\" \"$@\""];
    let said = run(&limited, dir.path(), "write");
    let acked = last_ack(&said);
    assert!(acked > 0 && said.contains("err ") && said.contains("then Err(Broken("), "{said}");
    let mut store = Store::open(dir.path()).unwrap();
    let last = last_batch(&mut store, dir.path(), true);
    assert_eq!(last, acked, "a commit that was not written whole is not there");
    write_batch(&mut store, last + 1, true).unwrap();
    assert_eq!(last_batch(&mut store, dir.path(), true), last + 1);
}

#[test]
fn t_108_a_full_disk_acknowledges_nothing_and_work_resumes_when_there_is_room() {
    if !works("unshare", &["-rm", "sh", "-c", "mount -t tmpfs -o size=1m none /mnt"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mount =
        ["unshare", "-rm", "sh", "-c", "mount -t tmpfs -o size=3m none \"$STORE_TEST_DIR\" && exec \"$0\" \"$@\""];
    let said = run(&mount, dir.path(), "fill");
    assert!(said.contains("full ") && said.contains("Full("), "{said}");
    assert!(said.contains("resumed"), "{said}");
}

#[test]
fn t_109_a_damaged_record_is_put_aside_and_never_served() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    write_batch(&mut store, 1, true).unwrap();
    write_batch(&mut store, 2, true).unwrap();
    let records: Vec<Record> = puts(1, true).into_iter().chain(puts(2, true)).map(|(record, _)| record).collect();
    let sql = rusqlite::Connection::open(dir.path().join("postline.db")).unwrap();
    for (record, spoil) in records.iter().zip([
        "value = x'00'",
        "expires = expires + 1",
        "expires = NULL",
        "blob_len = blob_len + 1",
        "blob = (SELECT blob FROM record WHERE key <> outer.key AND blob IS NOT NULL)",
    ]) {
        let spoil = format!("UPDATE record AS outer SET {spoil} WHERE key = ?1");
        assert_eq!(sql.execute(&spoil, [record.key.to_string()]).unwrap(), 1);
    }
    let reader = Reader::open(dir.path()).unwrap();
    let first = &records[0].key;
    assert!(matches!(reader.get(first), Err(StoreError::Damaged { .. })));
    assert!(matches!(store.get(first), Err(StoreError::Damaged { key }) if key == first.to_string()));
    assert_eq!(store.get(first).unwrap(), None, "put aside, it is absent");
    assert!(store.body(records[0].blob.unwrap()).unwrap().is_some(), "its body stays for the operator");

    drop(store);
    let mut store = Store::open(dir.path()).unwrap();
    let restored = store.restored_at_start().unwrap();
    let named: Vec<String> = records[1..5].iter().map(|record| record.key.to_string()).collect();
    assert_eq!(restored.damaged, named);
    assert_eq!(restored.records.iter().filter(|r| r.key != Key::Node).collect::<Vec<_>>(), [&records[5]]);
    assert_eq!(reader.put_aside().unwrap().len(), 5);

    store.write(&[records[0].clone()]).expect("a new record takes its place");
    assert_eq!(store.get(first).unwrap().as_ref(), Some(&records[0]));
    drop(store);
    let mut store = Store::open(dir.path()).unwrap();
    assert!(store.body(records[1].blob.unwrap()).unwrap().is_some(), "bodies stay while something is put aside");

    store.purge_expired(Millis(0), 100).unwrap();
    store.purge_expired(Millis(postline_core::limits::QUARANTINE_MS + 1), 100).unwrap();
    assert_eq!(reader.put_aside().unwrap(), Vec::<String>::new());
    assert!(store.body(records[1].blob.unwrap()).unwrap().is_none());
}

/// [S-8]
#[test]
fn t_109_rotten_bytes_are_refused_or_missed_but_never_served() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    for n in 1..=KEPT {
        write_batch(&mut store, n, false).unwrap();
    }
    store.close().unwrap();
    let file = fs::read(dir.path().join("postline.db")).unwrap();
    let originals: BTreeMap<Key, Record> =
        (1..=KEPT).flat_map(|n| puts(n, false)).map(|(record, _)| (record.key.clone(), record)).collect();
    let (mut refused, mut served) = (0, 0);
    for round in 0..150usize {
        let copy = tempfile::tempdir().unwrap();
        let mut rotten = file.clone();
        let at = (round * 7_919 + 101) % rotten.len();
        rotten[at] ^= 1 << (round % 8);
        fs::write(copy.path().join("postline.db"), rotten).unwrap();
        let mut store = match Store::open(copy.path()) {
            Ok(store) => store,
            Err(StoreError::Corrupt(_) | StoreError::Foreign(_) | StoreError::Newer { .. } | StoreError::Sqlite(_)) => {
                refused += 1;
                continue;
            }
            Err(e) => panic!("byte {at}: {e:?}"),
        };
        match store.restored_at_start() {
            Ok(restored) => {
                refused += restored.damaged.len();
                for record in restored.records.iter().filter(|r| r.key != Key::Node) {
                    assert_eq!(originals.get(&record.key), Some(record), "byte {at}");
                    served += 1;
                }
            }
            Err(_) => refused += 1,
        }
        for (record, body) in (1..=KEPT).flat_map(|n| puts(n, false)) {
            match store.body(record.blob.unwrap()) {
                Ok(Some(found)) => assert_eq!(&*found.to_bytes().unwrap(), &body[..], "byte {at}"),
                Ok(None) => {}
                Err(_) => refused += 1,
            }
        }
    }
    assert!(refused > 10 && served > 1_000, "refused {refused}, served {served}");
}

/// [S-5]
#[test]
fn t_111_a_second_opener_is_refused_for_as_long_as_the_first_lives() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    assert!(matches!(Store::open(dir.path()), Err(StoreError::InUse(_))));
    assert!(run(&[], dir.path(), "lease").contains("in use"));
    drop(store);
    assert!(run(&[], dir.path(), "lease").contains("free"));
}

#[test]
fn t_111_a_restored_backup_gets_a_higher_generation_that_stays() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    assert_eq!(store.generation(), 1);
    assert_eq!(store.raise_generation(2).unwrap(), 2);
    assert_eq!(store.generation(), 2);
    drop(store);
    assert_eq!(Store::open(dir.path()).unwrap().generation(), 2);
    assert_eq!(Reader::open(dir.path()).unwrap().generation().unwrap(), 2);
}

/// [S-1]
#[test]
fn a_commit_costs_one_sync() {
    if !has_strace() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("strace");
    let strace = ["strace", "-f", "-o", log.to_str().unwrap(), "-e", "trace=fsync,fdatasync,write"];
    run(&strace, &dir.path().join("store"), "few");
    let log = fs::read_to_string(log).unwrap();
    let (_, marked) = log.split_once("mark begin").unwrap();
    let (marked, _) = marked.split_once("mark end").unwrap();
    let syncs = marked.lines().filter(|line| line.contains("fsync(") || line.contains("fdatasync(")).count();
    assert_eq!(syncs, 20, "20 commits:\n{marked}");
}

#[test]
#[ignore = "a measurement, for people: run it with --nocapture"]
#[allow(clippy::disallowed_methods, reason = "it measures")]
fn what_a_commit_costs() {
    use std::os::unix::fs::FileExt;
    const WAITING: usize = 2_000;
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let file = fs::File::create(dir.path().join("raw")).unwrap();
    file.write_all_at(&vec![1; 8 << 20], 0).unwrap();
    file.sync_all().unwrap();
    let start = std::time::Instant::now();
    for i in 0..500u64 {
        file.write_all_at(&[2; 8192], i * 8192 % (8 << 20)).unwrap();
        file.sync_data().unwrap();
    }
    let raw = start.elapsed() / 500;
    println!("raw: write 8 KiB and fdatasync: {raw:?}");
    for (batch, body_len) in [(1, 0), (1, 2_000), (64, 0), (64, 2_000), (256, 0), (256, 2_000)] {
        let mut store = Store::open(&dir.path().join(format!("{batch}-{body_len}"))).unwrap();
        let (mut times, mut waiting) = (Vec::new(), Vec::new());
        let commits = 20_000 / batch.max(10);
        for n in 0..commits as u64 {
            let mut records: Vec<Record> = (0..batch as u64)
                .map(|i| {
                    let mut mail = [0; 16];
                    mail.copy_from_slice(&sha256(&[&n.to_be_bytes(), &i.to_be_bytes()]).0[..16]);
                    let key = Key::Queue(Lane::Domain(Domain::parse("b.example").unwrap()), MailId(mail));
                    let mut record = Record::put(key, vec![7; 200]);
                    if body_len > 0 {
                        let mut incoming = Incoming::new(&store.spool());
                        incoming.write(&mail).unwrap();
                        incoming.write(&vec![b'm'; body_len]).unwrap();
                        let staged = incoming.finish().unwrap();
                        record = record.holding(staged.blob);
                        store.stage(staged);
                    }
                    record
                })
                .collect();
            // Mails leave as they come: half of what is written is removals.
            waiting.extend(records.iter().map(|record| record.key.clone()));
            let leave = waiting.len().saturating_sub(WAITING);
            records.extend(waiting.drain(..leave).map(Record::remove));
            let start = std::time::Instant::now();
            store.write(&records).unwrap();
            times.push(start.elapsed());
        }
        let all: Duration = times.iter().sum();
        times.sort();
        let median = times[times.len() / 2];
        println!(
            "batch {batch:3}, bodies of {body_len:4} bytes: {:8.0} mails/s, commit median {median:?} ({:.1} raw), 99% {:?}",
            (batch * commits) as f64 / all.as_secs_f64(),
            median.as_secs_f64() / raw.as_secs_f64(),
            times[times.len() * 99 / 100],
        );
    }
}
