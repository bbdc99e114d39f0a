//! Bodies that arrive: whole, in parts, damaged, too large, or never to the end.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::{Duration, SystemTime};

use postline_core::id::{BlobRef, NodeKey};
use postline_core::limits;
use postline_core::store::sha256;
use postline_node::spool::{Incoming, Partial, Spool, StagedBytes};
use postline_node::store::Store;

fn body(len: usize) -> (Vec<u8>, BlobRef) {
    let bytes: Vec<u8> = (0..len).map(|i| (i * 31 % 251) as u8).collect();
    let blob = BlobRef { sha256: sha256(&[&bytes]), len: len as u64 };
    (bytes, blob)
}

fn count(dir: &Path) -> usize {
    fs::read_dir(dir).unwrap().count()
}

#[test]
fn a_body_is_a_row_up_to_the_bound_and_a_file_above_it() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path()).unwrap();
    let inline = limits::INLINE_BODY_BYTES as usize;
    for (len, piece) in
        [(0, 1), (1, 1), (inline, 1_000), (inline + 1, 1_000), (inline + 1, inline + 1), (inline * 5, 77_777)]
    {
        let (bytes, blob) = body(len);
        let mut incoming = Incoming::new(&spool);
        bytes.chunks(piece).for_each(|piece| incoming.write(piece).unwrap());
        assert_eq!(incoming.len(), len as u64);
        let staged = incoming.finish().unwrap();
        assert_eq!(staged.blob, blob);
        assert_eq!(&*staged.body().unwrap().to_bytes().unwrap(), &bytes[..]);
        assert_eq!(matches!(staged.bytes, StagedBytes::Row(_)), len <= inline);
        assert_eq!(count(&dir.path().join("blobs")), usize::from(len > inline));
        drop(staged);
        assert_eq!(count(&dir.path().join("blobs")), 0, "what is dropped before a commit is gone");
    }
}

#[test]
fn a_body_that_is_given_up_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path()).unwrap();
    let mut incoming = Incoming::new(&spool);
    incoming.write(&body(200_000).0).unwrap();
    assert_eq!(count(&dir.path().join("blobs")), 1);
    drop(incoming);
    assert_eq!(count(&dir.path().join("blobs")), 0);
}

#[test]
fn a_body_beyond_the_bound_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path()).unwrap();
    let mut incoming = Incoming::new(&spool);
    incoming.write(&body(100).0).unwrap();
    let whole = vec![0; limits::MAIL_BYTES as usize];
    assert_eq!(incoming.write(&whole).unwrap_err().kind(), ErrorKind::FileTooLarge);
    let huge = BlobRef { sha256: body(1).1.sha256, len: limits::MAIL_BYTES + 1 };
    assert_eq!(Partial::open(&spool, huge).unwrap_err().kind(), ErrorKind::FileTooLarge);
}

#[test]
fn a_body_in_parts_goes_on_where_the_last_connection_stopped() {
    for len in [20_000, 200_000] {
        let dir = tempfile::tempdir().unwrap();
        let (bytes, blob) = body(len);
        let mut at = 0;
        while at < len {
            // Each round is a connection, and every second one a start of the node.
            let spool = Spool::open(dir.path()).unwrap();
            for _ in 0..2 {
                let mut partial = Partial::open(&spool, blob).unwrap();
                assert_eq!(partial.have(), at as u64);
                let end = (at + len / 5).min(len);
                partial.write_at_end(at as u64, &bytes[at..end]).unwrap();
                at = end;
            }
        }
        let staged = Partial::open(&Spool::open(dir.path()).unwrap(), blob).unwrap().finish().unwrap().unwrap();
        assert_eq!(staged.blob, blob);
        assert_eq!(&*staged.body().unwrap().to_bytes().unwrap(), &bytes[..]);
        assert_eq!(count(&dir.path().join("partial")), 0);
    }
}

#[test]
fn bytes_in_the_wrong_place_are_refused_and_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path()).unwrap();
    let (bytes, blob) = body(1_000);
    let mut partial = Partial::open(&spool, blob).unwrap();
    partial.write_at_end(0, &bytes[..600]).unwrap();
    for (offset, piece) in [(0, &bytes[..600]), (601, &bytes[601..]), (600, &bytes[500..]), (u64::MAX, &bytes[..1])] {
        assert_eq!(partial.write_at_end(offset, piece).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    assert_eq!(partial.have(), 600);
    partial.write_at_end(600, &bytes[600..]).unwrap();
    assert_eq!(partial.finish().unwrap().unwrap().blob, blob);
    let unfinished = Partial::open(&spool, blob).unwrap();
    assert_eq!(unfinished.finish().unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn t_109_a_body_that_is_not_its_hash_is_dropped_and_can_be_fetched_again() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path()).unwrap();
    let (bytes, blob) = body(100_000);
    let mut partial = Partial::open(&spool, blob).unwrap();
    partial.write_at_end(0, &vec![7; 50_000]).unwrap();
    drop(partial);
    let mut partial = Partial::open(&spool, blob).unwrap();
    partial.write_at_end(50_000, &bytes[50_000..]).unwrap();
    let mismatch = partial.finish().unwrap().unwrap_err();
    assert_eq!((mismatch.blob, mismatch.resumed), (blob, 50_000));
    let mut partial = Partial::open(&spool, blob).unwrap();
    assert_eq!(partial.have(), 0);
    partial.write_at_end(0, &bytes).unwrap();
    partial.finish().unwrap().unwrap();
}

/// [P-7]
#[test]
fn one_node_can_neither_spoil_nor_block_what_another_sends() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path()).unwrap();
    let (good, bad) = (spool.of_peer(NodeKey([1; 32])), spool.of_peer(NodeKey([2; 32])));
    let (bytes, blob) = body(100_000);
    let mut spoiler = Partial::open(&bad, blob).unwrap();
    spoiler.write_at_end(0, &vec![7; 50_000]).unwrap();
    assert_eq!(Partial::open(&bad, blob).unwrap_err().kind(), ErrorKind::ResourceBusy);
    let mut partial = Partial::open(&good, blob).unwrap();
    assert_eq!(partial.have(), 0);
    partial.write_at_end(0, &bytes).unwrap();
    partial.finish().unwrap().unwrap();
    spoiler.discard();
    assert_eq!(Partial::open(&bad, blob).unwrap().have(), 0);
    assert_eq!(count(&dir.path().join("partial")), 0);
}

#[test]
fn partial_bodies_are_bounded_and_the_oldest_goes_first() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path()).unwrap();
    // Sparse files stand for what earlier connections left.
    let each = limits::MAIL_BYTES;
    let most = limits::PARTIAL_BYTES / each;
    let now = fs::metadata(dir.path()).unwrap().modified().unwrap();
    for n in 0..most + 2 {
        let file = fs::File::create(dir.path().join(format!("partial/{n:03}"))).unwrap();
        file.set_len(each).unwrap();
        file.set_modified(now - Duration::from_secs(1_000 - n)).unwrap();
    }
    let partial = Partial::open(&spool, BlobRef { sha256: body(1).1.sha256, len: each }).unwrap();
    let mut names: Vec<_> = fs::read_dir(dir.path().join("partial")).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names.len() as u64, most);
    assert_eq!(names[0], "003");
    drop(partial);

    let open: Vec<_> = (0..most)
        .map(|n| Partial::open(&spool, BlobRef { sha256: sha256(&[&n.to_be_bytes()]), len: each }).unwrap())
        .collect();
    let more = Partial::open(&spool, BlobRef { sha256: body(1).1.sha256, len: each });
    assert_eq!(more.unwrap_err().kind(), ErrorKind::StorageFull, "what is being fetched is let be");
    drop(open);
}

#[test]
fn old_partial_bodies_go_when_the_store_is_opened() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let partial = dir.path().join("spool/partial");
    let now: SystemTime = fs::metadata(&partial).unwrap().modified().unwrap();
    for (name, age) in [("young", limits::PARTIAL_MS / 2), ("old", limits::PARTIAL_MS + 60_000)] {
        let file = fs::File::create(partial.join(name)).unwrap();
        file.set_modified(now - Duration::from_millis(age)).unwrap();
    }
    drop(store);
    drop(Store::open(dir.path()).unwrap());
    assert!(partial.join("young").exists() && !partial.join("old").exists());
}
