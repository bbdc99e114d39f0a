//! Padding of what people say, within the seal: so that a length tells only a bucket (attack 88).
//!
//! ```text
//!   padded = content ‖ 0x01 ‖ 0x00 …      up to 64, 128, 192, 320, 512, 1024 bytes, then to a multiple of 1024
//! ```

use crate::fault::PeerFault;

/// The buckets below one kilobyte, which is the step from there.
/// What stands around a text in a content takes 72 bytes: so texts of up to 56, 120, 248, 440 and 952 look alike.
const BUCKETS: [usize; 5] = [64, 128, 192, 320, 512];
const STEP: usize = 1_024;

/// How long content of `len` bytes is once it is padded.
#[must_use]
pub fn bucket(len: usize) -> usize {
    let least = len.saturating_add(1);
    BUCKETS.into_iter().find(|bucket| least <= *bucket).unwrap_or_else(|| least.div_ceil(STEP).saturating_mul(STEP))
}

/// Pads content.
#[must_use]
pub(super) fn pad(content: &[u8]) -> Vec<u8> {
    let mut padded = Vec::with_capacity(bucket(content.len()));
    padded.extend_from_slice(content);
    padded.push(1);
    padded.resize(bucket(content.len()), 0);
    padded
}

/// Takes the padding off.
///
/// # Errors
/// [`PeerFault::Sealed`] where there is none, or not the one that [`bucket`] says.
pub(super) fn unpad(mut padded: Vec<u8>) -> Result<Vec<u8>, PeerFault> {
    let whole = padded.len();
    match padded.iter().rposition(|byte| *byte != 0) {
        Some(at) if padded.get(at) == Some(&1) && bucket(at) == whole => {
            padded.truncate(at);
            Ok(padded)
        }
        _ => Err(PeerFault::Sealed("its padding")),
    }
}
