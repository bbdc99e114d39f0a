//! What a leaf credential says, and which bytes are one.

use postline_core::fault::PeerFault;
use postline_core::id::{Address, DeviceKey};
use postline_core::limits;
use postline_core::seal::address::open;
use postline_core::seal::{AddressIdentity, Secret};
use postline_core::wire::leaf::Leaf;

fn leaf(ak: &AddressIdentity) -> Leaf {
    Leaf {
        address: Address::parse("ann@a.example").unwrap(),
        identity: ak.ak().identity(),
        ak: ak.ak(),
        dk: DeviceKey([9; 32]),
        number: 3,
        hosted: false,
    }
}

/// [I-2]
#[test]
fn a_leaf_is_read_as_it_was_signed_and_no_other_way() {
    let ak = AddressIdentity::new(&Secret::new([1; 32]));
    let signed = ak.state(leaf(&ak)).unwrap();
    let again = open::<Leaf>(signed.bytes()).unwrap();
    assert_eq!((again.value(), again.hash()), (&leaf(&ak), signed.hash()));
    assert_eq!(again, signed);
    for cut in 0..signed.bytes().len() {
        assert!(open::<Leaf>(&signed.bytes()[..cut]).is_err(), "cut at {cut}");
    }
    assert!(open::<Leaf>(&[signed.bytes(), &[0]].concat()).is_err());
    for at in 0..signed.bytes().len() {
        for bit in 0..8 {
            let mut bytes = signed.bytes().to_vec();
            bytes[at] ^= 1 << bit;
            assert!(open::<Leaf>(&bytes).is_err(), "bit {bit} of {at}");
        }
    }
}

#[test]
fn the_longest_address_fits_into_a_leaf() {
    let domain = format!("{0}.{0}.{0}.{1}", "a".repeat(63), "b".repeat(61));
    let ak = AddressIdentity::new(&Secret::new([1; 32]));
    let address = Address::parse(&format!("{}@{domain}", "l".repeat(64))).unwrap();
    let signed = ak.state(Leaf { address, number: u64::MAX, ..leaf(&ak) }).unwrap();
    assert!(open::<Leaf>(signed.bytes()).is_ok(), "{} bytes", signed.bytes().len());
    let long = [signed.bytes(), &[0; limits::LEAF_BYTES]].concat();
    assert!(matches!(open::<Leaf>(&long), Err(PeerFault::TooBig { what: "leaf", .. })));
}

#[test]
fn a_leaf_by_no_list_or_with_one_key_for_two_jobs_is_refused() {
    let ak = AddressIdentity::new(&Secret::new([1; 32]));
    for bad in [Leaf { number: 0, ..leaf(&ak) }, Leaf { dk: DeviceKey(ak.ak().0), ..leaf(&ak) }] {
        let signed = ak.state(bad).unwrap();
        assert!(matches!(open::<Leaf>(signed.bytes()), Err(PeerFault::Keys(_))));
    }
}
