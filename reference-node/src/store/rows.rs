//! Records and bodies as they are read back: each is what was written, or it is damaged.

use std::fs::File;
use std::io;

use postline_core::id::{BlobRef, Hash};
use postline_core::store::{Key, Record, sha256};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{Restored, StoreError, count_to_sql, millis_from_sql};
use crate::spool::{Body, Spool};

/// The kinds of [`Key::restored_at_start`], as their texts begin and end.
const STARTING: [(&str, &str); 8] = [
    ("behind/", "behind0"),
    ("blocked/", "blocked0"),
    ("due/", "due0"),
    ("node", "node\0"),
    ("pending/", "pending0"),
    ("post/", "post0"),
    ("queue/", "queue0"),
    ("telling/", "telling0"),
];

/// What stands beside a record's columns, to tell that they are what was written.
pub(super) fn sum(key: &str, value: &[u8], blob: Option<BlobRef>, expires: Option<i64>) -> i64 {
    let (key_len, value_len) = ((key.len() as u64).to_le_bytes(), (value.len() as u64).to_le_bytes());
    let blob_len = blob.map(|blob| blob.len.to_le_bytes());
    let expires = expires.map(i64::to_le_bytes);
    let has = [u8::from(blob.is_some()), u8::from(expires.is_some())];
    let hash = sha256(&[
        &key_len,
        key.as_bytes(),
        &value_len,
        value,
        &has,
        blob.as_ref().map_or(&[][..], |blob| &blob.sha256.0),
        blob_len.as_ref().map_or(&[][..], |len| len),
        expires.as_ref().map_or(&[][..], |expires| expires),
    ]);
    let [a, b, c, d, e, f, g, h, ..] = hash.0;
    i64::from_le_bytes([a, b, c, d, e, f, g, h])
}

pub(super) fn get(conn: &Connection, key: &Key) -> Result<Option<Record>, StoreError> {
    let mut find = conn.prepare_cached("SELECT key, value, blob, blob_len, expires, sum FROM record WHERE key = ?1")?;
    match find.query_row([key.to_string()], |row| Ok(read(row))).optional()? {
        None => Ok(None),
        Some(Ok(record)) => Ok(Some(record)),
        Some(Err(key)) => Err(StoreError::Damaged { key }),
    }
}

pub(super) fn restored_at_start(conn: &Connection) -> Result<Restored, StoreError> {
    let mut restored = Restored::default();
    for (from, to) in STARTING {
        range(conn, from, to, usize::MAX, &mut restored)?;
    }
    Ok(restored)
}

pub(super) fn scan(conn: &Connection, prefix: &str, after: &str, max: usize) -> Result<Restored, StoreError> {
    let mut found = Restored::default();
    // A key is its own first successor, with a NUL behind it; no character sorts after the last one.
    let from = if after < prefix { prefix.to_owned() } else { format!("{after}\0") };
    range(conn, &from, &format!("{prefix}\u{10ffff}"), max, &mut found)?;
    Ok(found)
}

fn range(conn: &Connection, from: &str, to: &str, max: usize, found: &mut Restored) -> Result<(), StoreError> {
    let mut select = conn.prepare_cached(
        "SELECT key, value, blob, blob_len, expires, sum FROM record WHERE key >= ?1 AND key < ?2 ORDER BY key LIMIT ?3",
    )?;
    let mut rows = select.query(params![from, to, count_to_sql(max)])?;
    while let Some(row) = rows.next()? {
        match read(row) {
            Ok(record) => found.records.push(record),
            Err(key) => found.damaged.push(key),
        }
    }
    Ok(())
}

/// The record of a row, or the key of one that is damaged.
fn read(row: &Row<'_>) -> Result<Record, String> {
    let key = row.get_ref(0).ok().and_then(|key| key.as_bytes().ok()).map(String::from_utf8_lossy).unwrap_or_default();
    decode(row, &key).ok_or_else(|| key.into_owned())
}

fn decode(row: &Row<'_>, key: &str) -> Option<Record> {
    let value: Vec<u8> = row.get(1).ok()?;
    let (hash, len): (Option<[u8; 32]>, Option<i64>) = (row.get(2).ok()?, row.get(3).ok()?);
    let expires: Option<i64> = row.get(4).ok()?;
    let stored: i64 = row.get(5).ok()?;
    let blob = match (hash, len) {
        (None, None) => None,
        (Some(hash), Some(len)) => Some(BlobRef { sha256: Hash(hash), len: u64::try_from(len).ok()? }),
        (None, Some(_)) | (Some(_), None) => return None,
    };
    if sum(key, &value, blob, expires) != stored {
        return None;
    }
    let expires = match expires {
        None => None,
        Some(number) => Some(millis_from_sql(number)?),
    };
    Some(Record { key: Key::parse(key)?, value: Some(value), blob, expires })
}

pub(super) fn body(conn: &Connection, spool: &Spool, blob: BlobRef, checked: bool) -> Result<Option<Body>, StoreError> {
    // A file may be replaced by a new copy between the look into the table and the opening: then once more.
    for _ in 0..2 {
        let mut find = conn.prepare_cached("SELECT bytes, file FROM body WHERE sha256 = ?1 AND len = ?2")?;
        let len = i64::try_from(blob.len).unwrap_or(i64::MAX);
        let found = find
            .query_row(params![blob.sha256.0, len], |row| Ok((row.get::<_, Option<Vec<u8>>>(0)?, row.get(1)?)))
            .optional()?;
        let body = match found {
            None => return Ok(None),
            Some((Some(bytes), None)) => Body::Bytes(bytes.into()),
            Some((None, Some(number))) => match File::open(spool.path(i64::cast_unsigned(number))) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                file => Body::File(file?, blob.len),
            },
            Some(_) => return Err(StoreError::DamagedBody(blob)),
        };
        return if !checked || body.is(blob)? { Ok(Some(body)) } else { Err(StoreError::DamagedBody(blob)) };
    }
    Err(StoreError::DamagedBody(blob))
}

#[cfg(test)]
mod tests {
    use super::*;
    use postline_core::id::{Address, ConversationId, DeviceKey, Domain, Lane, MailId, Mailbox, NodeKey, Pair};

    #[test]
    fn what_is_restored_at_start_is_what_the_core_says() {
        let a = Address::parse("a@b.example").unwrap();
        let pair = Pair { ours: a.clone(), theirs: a.clone() };
        let mail = MailId([7; 16]);
        for key in [
            Key::Node,
            Key::Trust(pair.clone()),
            Key::Due(pair.clone()),
            Key::Strangers(a),
            Key::Pending(mail),
            Key::Peer(NodeKey([1; 32])),
            Key::Queue(Lane::Mailbox(Mailbox("a".to_owned())), mail),
            Key::Queue(Lane::Domain(Domain::parse("b.example").unwrap()), mail),
            Key::Queue(Lane::Node(NodeKey([1; 32])), mail),
            Key::Seen(mail),
            Key::Alias(NodeKey([1; 32])),
            Key::Blocked(Domain::parse("b.example").unwrap()),
            Key::Offers(Address::parse("a@b.example").unwrap()),
            Key::Behind(NodeKey([1; 32]), ConversationId([1; 32])),
            Key::Telling(pair),
            Key::Post(ConversationId([1; 32]), DeviceKey([1; 32]), 7),
            Key::Log(ConversationId([1; 32])),
            Key::Device(DeviceKey([1; 32])),
        ] {
            let text = key.to_string();
            let ours = STARTING.iter().any(|(from, to)| (*from..*to).contains(&text.as_str()));
            assert_eq!(ours, key.restored_at_start(), "{text}");
        }
    }
}
