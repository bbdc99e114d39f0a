//! Memos between the devices of one person: sealed under the person's key, which those alone have. Spec: `spec/13-marks.md`.
//!
//! ```text
//!   AK seed, fresh salt ──HKDF, label "memo"──▶ box of the padded memo, bound to the identity and the drawer
//! ```
//!
//! The node that keeps it sees a drawer and a length in steps of a kilobyte. Who was a device and knows a key that is past
//! can open what was sealed under that, and nothing that follows it ([I-6]).

use crate::fault::PeerFault;
use crate::id::Identity;
use crate::limits;
use crate::seal::address::AddressIdentity;
use crate::seal::aead::Once;
use crate::seal::secret::Secret;
use crate::step::Tick;
use crate::wire::cbor::{Malformed, Reader, Writer};
use crate::wire::memo::{Drawer, Memo};

/// What the box is sealed for.
const LABEL: &str = "memo";
/// To a multiple of this it is padded.
const STEP: usize = 1_024;

/// Seals a memo. One for each drawer in a step: the salt is of the step's entropy, and of the drawer.
#[must_use]
pub fn seal(tick: &Tick, person: &AddressIdentity, identity: Identity, drawer: Drawer, memo: &Memo) -> Vec<u8> {
    let salt = Secret::<16>::draw(tick, &format!("memo {}", drawer.number()));
    let mut plain = memo.to_bytes();
    plain.push(1);
    plain.resize(plain.len().next_multiple_of(STEP), 0);
    let once = Once::derive(salt.expose(), person.seed().expose(), LABEL);
    let sealed = once.seal(&bound(identity, drawer), &plain);
    let mut w = Writer::array_of(3);
    w.u64(drawer.number().into()).bytes(salt.expose()).bytes(&sealed);
    w.into_bytes()
}

/// Opens what another device of the person sealed.
///
/// # Errors
/// [`PeerFault::WrongCode`] where it was sealed under another key; [`PeerFault::TooBig`], [`PeerFault::Sealed`] for what is
/// none.
pub fn open(person: &AddressIdentity, identity: Identity, bytes: &[u8]) -> Result<(Drawer, Memo), PeerFault> {
    if bytes.len() > limits::NOTE_BYTES {
        let (got, max) = (bytes.len() as u64, limits::NOTE_BYTES as u64);
        return Err(PeerFault::TooBig { what: "memo", got, max });
    }
    let damaged = |Malformed(what)| PeerFault::Sealed(what);
    let (drawer, salt, sealed) = read(bytes).map_err(damaged)?;
    let once = Once::derive(&salt, person.seed().expose(), LABEL);
    let plain = once.open(&bound(identity, drawer), sealed)?;
    let end = plain.iter().rposition(|byte| *byte != 0).filter(|at| plain.get(*at) == Some(&1));
    let whole = plain.len();
    let padded = |end: &usize| end.saturating_add(1).next_multiple_of(STEP) == whole;
    let memo = end.filter(padded).and_then(|end| plain.get(..end)).ok_or(PeerFault::Sealed("its padding"))?;
    Ok((drawer, Memo::parse(memo).map_err(damaged)?))
}

fn read(bytes: &[u8]) -> Result<(Drawer, [u8; 16], &[u8]), Malformed> {
    let mut r = Reader::new(bytes);
    r.array_of(3)?;
    let parts = (Drawer::read(&mut r)?, r.fixed()?, r.bytes()?);
    r.end()?;
    Ok(parts)
}

/// What the box is bound to.
fn bound(identity: Identity, drawer: Drawer) -> Vec<u8> {
    let mut w = Writer::array_of(2);
    w.bytes(&identity.0).u64(drawer.number().into());
    w.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ConversationId;
    use crate::time::Millis;
    use crate::wire::mark::Position;
    use crate::wire::memo::OfTalk;

    const ANN: Identity = Identity([1; 32]);

    fn person(n: u8) -> AddressIdentity {
        AddressIdentity::new(&Secret::new([n; 32]))
    }

    fn memo(count: u8) -> Memo {
        let of = |n| OfTalk { conversation: ConversationId([n; 32]), read: Position::upto(7), choice: None };
        Memo { asks: false, general: None, talks: (0..count).map(of).collect() }
    }

    fn sealed(n: u8, memo: &Memo) -> Vec<u8> {
        seal(&Tick { now: Millis(1), entropy: [n; 32] }, &person(1), ANN, Drawer::GENERAL, memo)
    }

    /// [A-12]
    #[test]
    fn t_069_a_memo_opens_for_the_persons_own_devices_and_for_nobody_else() {
        let bytes = sealed(1, &memo(3));
        assert_eq!(open(&person(1), ANN, &bytes), Ok((Drawer::GENERAL, memo(3))));
        assert_eq!(open(&person(2), ANN, &bytes), Err(PeerFault::WrongCode));
        assert_eq!(open(&person(1), Identity([2; 32]), &bytes), Err(PeerFault::Sealed("a changed box")));
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(open(&person(1), ANN, &changed).is_err(), "byte {at}");
            assert!(open(&person(1), ANN, &bytes[..at]).is_err(), "cut at {at}");
        }
    }

    /// [A-12]
    #[test]
    fn t_088_its_length_tells_little_and_no_two_are_alike() {
        assert_eq!(sealed(1, &memo(0)).len(), sealed(1, &memo(20)).len());
        assert_ne!(sealed(1, &memo(1)), sealed(2, &memo(1)));
        assert!(sealed(1, &memo(250)).len() <= limits::NOTE_BYTES);
    }
}
