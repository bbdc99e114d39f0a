//! The frames about files: bodies of the types 28 to 33.
//!
//! | type | frame | body                                     |
//! |-----:|-------|------------------------------------------|
//! |   28 | Keep  | `[theirs, hash, length]`                 |
//! |   29 | Kept  | `[hash, 0, far]` or `[hash, 1, code]`    |
//! |   30 | Fetch | `[asker, whose, hash, length, offset]`   |
//! |   31 | Piece | `[hash, offset, bytes]`                  |
//! |   32 | Forget | `[whose, theirs, hash, length]`         |
//! |   33 | Forgotten | `[whose, theirs, hash, null]` or `[whose, theirs, hash, code]` |

use postline_core::id::Hash;
use postline_core::limits;
use postline_core::wire::cbor::{Malformed, Reader, Writer};
use postline_core::wire::file::File;

const KEEP: u8 = 28;
const KEPT: u8 = 29;
const FETCH: u8 = 30;
const PIECE: u8 = 31;
const FORGET: u8 = 32;
const FORGOTTEN: u8 = 33;

const KEPT_FAR: u64 = 0;
const KEPT_NOT: u64 = 1;

pub(super) const fn is_known(kind: u8) -> bool {
    matches!(kind, KEEP..=FORGOTTEN)
}

pub(super) const fn kind_of(file: &File) -> u8 {
    match file {
        File::Keep { .. } => KEEP,
        File::Kept { .. } => KEPT,
        File::Fetch { .. } => FETCH,
        File::Piece { .. } => PIECE,
        File::Forget { .. } => FORGET,
        File::Forgotten { .. } => FORGOTTEN,
    }
}

pub(super) fn write(file: &File, bytes: &[u8], w: &mut Writer) {
    match file {
        File::Keep { theirs, file } => w.array(3).address(theirs).blob(*file),
        File::Kept { hash, far: Ok(far) } => w.array(3).bytes(&hash.0).u64(KEPT_FAR).u64(*far),
        File::Kept { hash, far: Err(code) } => w.array(3).bytes(&hash.0).u64(KEPT_NOT).u64(*code as u64),
        File::Fetch { asker, whose, file, from } => w.array(5).address(asker).address(whose).blob(*file).u64(*from),
        File::Piece { hash, offset, .. } => w.array(3).bytes(&hash.0).u64(*offset).bytes(bytes),
        File::Forget { whose, theirs, file } => w.array(4).address(whose).address(theirs).blob(*file),
        File::Forgotten { whose, theirs, hash, gone } => {
            w.array(4).address(whose).address(theirs).bytes(&hash.0).maybe(gone.err(), |w, code| w.u64(code as u64))
        }
    };
}

/// Reads one; the bytes of a piece are put beside it.
pub(super) fn read(kind: u8, r: &mut Reader<'_>, bytes: &mut Option<Vec<u8>>) -> Result<File, Malformed> {
    Ok(match kind {
        KEEP => {
            r.array_of(3)?;
            File::Keep { theirs: r.address()?, file: r.blob()? }
        }
        KEPT => {
            r.array_of(3)?;
            let hash = Hash(r.fixed()?);
            let far = match r.u64()? {
                KEPT_FAR => Ok(r.u64()?),
                KEPT_NOT => Err(super::read_code(r)?),
                _ => return Err(Malformed("how far, or why not")),
            };
            File::Kept { hash, far }
        }
        FETCH => {
            r.array_of(5)?;
            File::Fetch { asker: r.address()?, whose: r.address()?, file: r.blob()?, from: r.u64()? }
        }
        PIECE => {
            r.array_of(3)?;
            let (hash, offset, piece) = (Hash(r.fixed()?), r.u64()?, r.bytes()?);
            if piece.len() > limits::FILE_PIECE_BYTES {
                return Err(Malformed("a piece of at most FILE_PIECE_BYTES"));
            }
            *bytes = Some(piece.to_vec());
            File::Piece { hash, offset, len: piece.len() as u32 }
        }
        FORGET => {
            r.array_of(4)?;
            File::Forget { whose: r.address()?, theirs: r.address()?, file: r.blob()? }
        }
        FORGOTTEN => {
            r.array_of(4)?;
            let (whose, theirs, hash) = (r.address()?, r.address()?, Hash(r.fixed()?));
            File::Forgotten { whose, theirs, hash, gone: r.maybe(super::read_code)?.map_or(Ok(()), Err) }
        }
        _ => return Err(Malformed("a type of version 1")),
    })
}
