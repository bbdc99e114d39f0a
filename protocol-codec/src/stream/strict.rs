//! Whether bytes are one item of deterministic CBOR (RFC 8949 §4.2.1), of the kinds that frames are made of.

/// Whether `bytes` are exactly one item: definite lengths, shortest heads, nothing behind it. Kinds: unsigned numbers,
/// byte strings, texts (their UTF-8 is the reader's to check), arrays, `true`, `false`, `null`. Takes no stack or memory
/// by depth or count.
pub(super) fn is_one_item(mut bytes: &[u8]) -> bool {
    let mut wanted: u64 = 1;
    while wanted > 0 {
        let Some((major, value, rest)) = head(bytes) else { return false };
        wanted -= 1;
        bytes = match major {
            UNSIGNED => rest,
            BYTES | TEXT => match usize::try_from(value).ok().and_then(|len| rest.get(len..)) {
                Some(rest) => rest,
                None => return false,
            },
            // Each item takes a byte at least.
            ARRAY if value <= rest.len() as u64 => {
                wanted += value;
                rest
            }
            SIMPLE if (FALSE..=NULL).contains(&value) => rest,
            _ => return false,
        };
    }
    bytes.is_empty()
}

const UNSIGNED: u8 = 0;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const SIMPLE: u8 = 7;
const FALSE: u64 = 20;
const NULL: u64 = 22;

/// Major type, argument in its shortest form, and what follows.
fn head(bytes: &[u8]) -> Option<(u8, u64, &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    let (value, least, rest) = match first & 31 {
        short @ 0..24 => (u64::from(short), 0, rest),
        24 => rest.split_first().map(|(byte, rest)| (u64::from(*byte), 24, rest))?,
        25 => rest.split_first_chunk().map(|(b, rest)| (u64::from(u16::from_be_bytes(*b)), 1 << 8, rest))?,
        26 => rest.split_first_chunk().map(|(b, rest)| (u64::from(u32::from_be_bytes(*b)), 1 << 16, rest))?,
        27 => rest.split_first_chunk().map(|(b, rest)| (u64::from_be_bytes(*b), 1 << 32, rest))?,
        _ => return None,
    };
    (value >= least).then_some((first >> 5, value, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shortest_forms_are_taken_and_others_are_not() {
        for good in [&[0x00][..], &[0x18, 24], &[0x19, 1, 0], &[0x41, 7], &[0x60], &[0x82, 1, 0xf6], &[0x80]] {
            assert!(is_one_item(good), "{good:02x?}");
        }
        for bad in [
            &[][..],
            &[0x18, 23],     // longer than needed
            &[0x19, 0, 255], // likewise
            &[0x1b, 0, 0, 0, 0, 1, 0, 0, 0],
            &[0x01, 0x01],          // a second item
            &[0x42, 7],             // cut
            &[0x82, 1],             // cut
            &[0x5f, 0x41, 7, 0xff], // indefinite bytes
            &[0x9f, 0xff],          // indefinite array
            &[0x20],                // negative
            &[0xa0],                // map
            &[0xc0, 0x60],          // tag
            &[0xf7],                // undefined
            &[0xf8, 20],            // long simple
            &[0xf9, 0, 0],          // float
            &[0x1c],                // reserved
            &[0x9b, 255, 255, 255, 255, 255, 255, 255, 255],
        ] {
            assert!(!is_one_item(bad), "{bad:02x?}");
        }
    }

    #[test]
    fn depth_costs_nothing() {
        let mut deep = vec![0x81; 60_000];
        deep.push(0);
        assert!(is_one_item(&deep));
    }
}
