//! A value of an extension that we don't know: one CBOR item, kept as it came, so that it is written as it came.
//!
//! It must be deterministic (RFC 8949 §4.2.1) and within what the draft allows (its §"Data model restrictions"): keys of maps
//! are numbers of at most 53 bits, texts or bytes; the one NaN is 0x7e00; nesting is bounded. Nothing is copied or built to
//! find that out, and nothing recurses deeper than that bound.

use crate::content::refusal::ContentFault;
use crate::limits;

/// One CBOR item in its one form.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Item(Vec<u8>);

impl Item {
    /// Takes exactly one item.
    ///
    /// # Errors
    /// [`ContentFault`] for anything else, and for an item in another form than the one.
    pub fn parse(bytes: &[u8]) -> Result<Self, ContentFault> {
        // The map of all extensions is the first level.
        let rest = pass(bytes, limits::EXTENSION_LEVELS - 1)?;
        if rest.is_empty() { Ok(Self(bytes.to_vec())) } else { Err(ContentFault::Shape("the end of an extension")) }
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The greatest number that may be a key, on either side of zero: what a double tells from its neighbours.
pub(crate) const KEY: u64 = (1 << 53) - 1;

/// A head: major type, its short count, and the number.
pub(crate) struct Head {
    pub(crate) major: u8,
    pub(crate) info: u8,
    pub(crate) number: u64,
}

/// Reads a head in its shortest form; gives what is behind it. Of floats and simple values nothing is judged.
pub(crate) fn head(bytes: &[u8]) -> Result<(Head, &[u8]), ContentFault> {
    const CUT: ContentFault = ContentFault::Shape("an item");
    let (&first, rest) = bytes.split_first().ok_or(CUT)?;
    let (major, info) = (first >> 5, first & 31);
    let length = match info {
        0..24 => 0,
        24 => 1,
        25 => 2,
        26 => 4,
        27 => 8,
        _ => return Err(ContentFault::Shape("an item of definite length")),
    };
    let (tail, rest) = rest.split_at_checked(length).ok_or(CUT)?;
    let number = tail.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    let number = if length == 0 { u64::from(info) } else { number };
    let least = match info {
        24 => 24,
        25 => 1 << 8,
        26 => 1 << 16,
        27 => 1 << 32,
        _ => 0,
    };
    if major != 7 && number < least {
        return Err(ContentFault::Form);
    }
    Ok((Head { major, info, number }, rest))
}

/// Passes over one item, of at most so many levels of maps, arrays and tags; gives what is behind it.
fn pass(bytes: &[u8], levels: usize) -> Result<&[u8], ContentFault> {
    let (Head { major, info, number }, mut rest) = head(bytes)?;
    if (4..7).contains(&major) && levels == 0 {
        let max = limits::EXTENSION_LEVELS as u64;
        return Err(ContentFault::TooBig { what: "levels of an extension", got: max + 1, max });
    }
    match major {
        0 | 1 => Ok(rest),
        2 => Ok(take(rest, number)?.1),
        3 => {
            let (text, rest) = take(rest, number)?;
            core::str::from_utf8(text).map_err(|_| ContentFault::Shape("a text"))?;
            Ok(rest)
        }
        4 => {
            for _ in 0..number {
                rest = pass(rest, levels - 1)?;
            }
            Ok(rest)
        }
        5 => pass_map(rest, number, levels - 1),
        6 => {
            // A number that fits is no big one (RFC 8949 §3.4.3).
            if number == 2 || number == 3 {
                let (Head { major, number, .. }, inner) = head(rest)?;
                if major != 2 || number < 9 || inner.first() == Some(&0) {
                    return Err(ContentFault::Form);
                }
            }
            pass(rest, levels - 1)
        }
        _ => simple(info, number).map(|()| rest),
    }
}

/// Passes over the entries of a map: keys that may be keys, in rising order, none twice.
fn pass_map(bytes: &[u8], entries: u64, levels: usize) -> Result<&[u8], ContentFault> {
    let (mut rest, mut last): (&[u8], &[u8]) = (bytes, &[]);
    for _ in 0..entries {
        let (Head { major, number, .. }, _) = head(rest)?;
        // −1 − number is what a negative one means.
        let most = if major == 1 { KEY - 1 } else { KEY };
        if major > 3 || (major < 2 && number > most) {
            return Err(ContentFault::Shape("a key of a map"));
        }
        let after = pass(rest, levels)?;
        let key = rest.get(..rest.len() - after.len()).unwrap_or_default();
        if key <= last {
            return Err(ContentFault::Form);
        }
        last = key;
        rest = pass(after, levels)?;
    }
    Ok(rest)
}

fn take(bytes: &[u8], length: u64) -> Result<(&[u8], &[u8]), ContentFault> {
    let length = usize::try_from(length).ok();
    length.and_then(|length| bytes.split_at_checked(length)).ok_or(ContentFault::Shape("a whole string"))
}

/// A simple value or a float: the shortest of those that mean the same.
const fn simple(info: u8, number: u64) -> Result<(), ContentFault> {
    let good = match info {
        0..24 => true,
        // Of two bytes: what one byte can't say.
        24 => number >= 32,
        25 => number & 0x7c00 != 0x7c00 || number & 0x3ff == 0 || number == 0x7e00,
        26 => !shorter(number, 8, 23, 5, 10),
        _ => !shorter(number, 11, 52, 8, 23),
    };
    if good { Ok(()) } else { Err(ContentFault::Form) }
}

/// Whether a float of `exponent` and `mantissa` bits is a NaN, or could be written in the next shorter format.
const fn shorter(float: u64, exponent: u32, mantissa: u32, short_exponent: u32, short_mantissa: u32) -> bool {
    let fraction = float & ((1 << mantissa) - 1);
    let biased = float >> mantissa & ((1 << exponent) - 1);
    if biased == (1 << exponent) - 1 {
        // Infinity is short, and so is the one NaN.
        return true;
    }
    if biased == 0 {
        // Zero is short; what is below the normal numbers here is too small for a shorter format.
        return fraction == 0;
    }
    let power = biased as i64 - ((1_i64 << (exponent - 1)) - 1);
    let (most, least) = ((1_i64 << (short_exponent - 1)) - 1, 2 - (1_i64 << (short_exponent - 1)));
    let dropped = mantissa - short_mantissa;
    if power > most {
        false
    } else if power >= least {
        fraction & ((1 << dropped) - 1) == 0
    } else {
        // Below the shorter format's normal numbers: it has one bit less for each power.
        let lost = dropped as i64 + (least - power);
        let whole = fraction | 1 << mantissa;
        lost <= mantissa as i64 && whole.trailing_zeros() as i64 >= lost
    }
}
