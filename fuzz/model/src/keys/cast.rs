//! Who plays: two people with a lost device and a new one each, their nodes, and an attacker with a key.

use std::collections::BTreeMap;

use postline_core::client::io::Passphrase;
use postline_core::client::{Command, Input};
use postline_core::id::{Address, AddressKey, DeviceKey, Hash, Identity};
use postline_core::seal::address::open;
use postline_core::seal::phrase::Phrase;
use postline_core::seal::vault::{Backup, Cost};
use postline_core::seal::{AddressIdentity, Chain, DeviceIdentity, Level, NodeIdentity, Pin, Secret};
use postline_core::store::sha256;
use postline_core::wire::keys::KeyProof;
use postline_core::wire::list::{Device as Listed, DeviceList};
use postline_core::wire::talk::{Line, Publication, Talk};

use super::device::{Device, Kept, answer, asks, publications, setup_tick, taken};
use super::scope::Scope;

/// A statement that somebody signed, as bytes that anybody may show to anybody.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Thing {
    /// Whose AK signed it: one of the two, or `None` for the attacker.
    pub(crate) by: Option<usize>,
    /// Whose it says it is.
    pub(crate) of: usize,
    pub(crate) what: What,
    pub(crate) bytes: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum What {
    List { number: u64, hash: Hash, ak: AddressKey },
    Proof { t2: Hash, number: u64, ak: AddressKey },
}

/// One of the two.
#[derive(Debug)]
pub(crate) struct Person {
    pub(crate) address: Address,
    pub(crate) identity: Identity,
    pub(crate) node: NodeIdentity,
    /// The records of their device, before anything happens.
    pub(crate) kept: Kept,
    /// The device that they lost.
    pub(crate) lost: DeviceKey,
    /// What they signed before anything happens.
    pub(crate) signed: Vec<Vec<u8>>,
    /// What another device of theirs signs by and by.
    pub(crate) later: Vec<Later>,
}

/// A list on the way of a node's key to the person's own.
#[derive(Debug)]
pub(crate) struct Later {
    pub(crate) list: Vec<u8>,
    /// The own key, once it is theirs, and the lists that it proves.
    pub(crate) own: Option<(AddressIdentity, Chain)>,
}

#[derive(Debug)]
pub(crate) struct Cast {
    pub(crate) people: [Person; 2],
    attacker: AddressIdentity,
}

impl Cast {
    pub(crate) fn new(scope: &Scope) -> Self {
        let hosted = [false, scope.hosted];
        let mut people = [0, 1].map(|who| enrolled(who, hosted[who], scope.pinned));
        if scope.met {
            meet(&mut people);
        }
        Self { people, attacker: ak(0x66, 0) }
    }

    /// Reads a statement of somebody's.
    pub(crate) fn thing(&self, bytes: &[u8]) -> Thing {
        let of = |address: &Address| usize::from(*address == self.people[1].address);
        let (of, ak, what) = if let Ok(list) = open::<DeviceList>(bytes) {
            let (hash, list) = (list.hash(), list.value());
            (of(&list.address), list.ak, What::List { number: list.number, hash, ak: list.ak })
        } else {
            let proof = open::<KeyProof>(bytes).expect("a statement that was just made");
            let KeyProof { t2, number, ak, .. } = *proof.value();
            (of(&proof.value().author), ak, What::Proof { t2, number, ak })
        };
        Thing { by: Some(of).filter(|_| ak != self.attacker.ak()), of, what, bytes: bytes.to_vec() }
    }

    /// What the attacker signs about a person for a line: lists and a proof of another person at their address; a list
    /// and a proof under the person's identity and the attacker's key.
    pub(crate) fn forged(&self, of: usize, lines: &[u8]) -> Vec<Vec<u8>> {
        let (person, other) = (&self.people[of], &self.people[1 - of].address);
        let device = Listed::new(DeviceKey([0x67; 32]), false, setup_tick().now);
        let next = ak(0x68, 0).ak().hash();
        let (first, chain) = Chain::found(person.address.clone(), &self.attacker, next, false, vec![device.clone()])
            .expect("a list of the attacker's");
        let true_head = open::<DeviceList>(&person.signed[1]).expect("a list");
        let foreign = DeviceList {
            number: true_head.value().number + 1,
            prev: Some(true_head.hash()),
            ak: self.attacker.ak(),
            hosted: false,
            ..true_head.value().clone()
        };
        let foreign = self.attacker.state(foreign).expect("the attacker's key").bytes().to_vec();
        let mut forged = vec![first.bytes().to_vec(), foreign];
        for line in lines {
            let good = chain.prove(&self.attacker, other, t2(*line)).expect("the attacker's key");
            let under = KeyProof {
                identity: person.identity,
                number: true_head.value().number,
                list: true_head.hash(),
                ..good.value().clone()
            };
            forged.push(good.bytes().to_vec());
            forged.push(self.attacker.state(under).expect("the attacker's key").bytes().to_vec());
        }
        forged
    }
}

/// The handshake with this number. Trust agrees on it, and the other model holds it to that.
pub(crate) fn t2(line: u8) -> Hash {
    sha256(&[b"a line", &[line]])
}

fn ak(kind: u8, who: usize) -> AddressIdentity {
    AddressIdentity::new(&seed(kind, who))
}

fn seed(kind: u8, who: usize) -> Secret<32> {
    let mut seed = [kind; 32];
    seed[0] = u8::try_from(who).unwrap_or_default();
    Secret::new(seed)
}

/// A person who lost a device, and has enrolled a new one with their backup: list 1 has the one, list 2 both.
fn enrolled(who: usize, hosted: bool, pinned: bool) -> Person {
    let names = ["ann@a.example", "bob@b.example"];
    let [address, other] = [names[who], names[1 - who]].map(|name| Address::parse(name).expect("an address"));
    let node = NodeIdentity::new(&seed(0x40, who), NodeIdentity::public(&seed(0x41, who)));
    let (own, next) = (ak(0x10, who), ak(0x20, who));
    let lost = DeviceIdentity::new(&seed(0x50, who)).dk();
    let device = Listed::new(lost, hosted, setup_tick().now);
    let (first, _) = Chain::found(address.clone(), &own, next.ak().hash(), hosted, vec![device]).expect("a first list");

    let theirs = ak(0x10, 1 - who).ak();
    let pin = Pin { identity: theirs.identity(), ak: theirs, level: Level::Compared };
    let backup = Backup {
        identity: own.ak().identity(),
        address: address.clone(),
        made: setup_tick().now,
        ak: seed(0x10, who),
        next: seed(0x20, who),
        archive: seed(0x30, who),
        pins: pinned.then_some((other, pin)).into_iter().collect::<BTreeMap<_, _>>(),
    };
    let phrase = Phrase::draw(&setup_tick(), "backup");
    let bytes = backup.seal(&setup_tick(), &phrase, Cost { kib: 8, passes: 1 }).expect("a backup");

    let mut device = Device::start(&address, Kept::new());
    let asked = asks(&device.connect(&node)).pop().expect("a question about the own lists");
    device.hear(answer(asked.0, vec![first.bytes().to_vec()]));
    let passphrase = Passphrase(phrase.show());
    let mut said = device.tell(Input::Command(Command::Restore { bytes, passphrase }));
    let mut second = Vec::new();
    while let Some((number, what)) = publications(&said).pop() {
        if let Publication::List(bytes) = what {
            second = bytes;
        }
        said = device.hear(taken(number));
    }
    assert!(device.client.is_enrolled(), "a device that isn't enrolled");
    let chain = device.client.chain_of(&address).expect("own lists").clone();
    let later = if hosted { handed_over(who, &own, chain) } else { Vec::new() };
    let signed = vec![first.bytes().to_vec(), second];
    Person { address, identity: own.ak().identity(), node, kept: device.kept, lost, signed, later }
}

/// The list that names the person's own key, and the one that this key signs.
fn handed_over(who: usize, own: &AddressIdentity, mut chain: Chain) -> Vec<Later> {
    let successor = ak(0x21, who);
    let (names, extension) = chain.draft().hand_over(successor.ak()).sign(own).expect("a list that hands over");
    chain.take(extension);
    let succeeds = chain.draft().succeed(ak(0x22, who).ak().hash()).sign(&successor);
    let (last, extension) = succeeds.expect("a list by the successor");
    chain.take(extension);
    let names = Later { list: names.bytes().to_vec(), own: None };
    vec![names, Later { list: last.bytes().to_vec(), own: Some((successor, chain)) }]
}

/// The two were at L3 over line 0, which has ended.
fn meet(people: &mut [Person; 2]) {
    let lists = people.each_ref().map(|person| person.signed.clone());
    let mut proofs = [Vec::new(), Vec::new()];
    let mut devices = people.each_ref().map(|person| Device::start(&person.address, person.kept.clone()));
    for who in [0, 1] {
        devices[who].connect(&people[who].node);
        let mut said = devices[who].hear(line_of(&people[1 - who], Some(0), None, 2));
        let (number, _) = asks(&said).pop().expect("a question about their lists");
        while let Some((number, what)) = publications(&said).pop() {
            if let Publication::Proof { bytes, .. } = what {
                proofs[who] = bytes;
            }
            said = devices[who].hear(taken(number));
        }
        devices[who].hear(answer(number, lists[1 - who].clone()));
    }
    for who in [0, 1] {
        devices[who].hear(line_of(&people[1 - who], Some(0), Some(proofs[1 - who].clone()), 2));
        devices[who].hear(line_of(&people[1 - who], None, None, 2));
        people[who].signed.push(proofs[who].clone());
        people[who].kept = devices[who].kept.clone();
    }
}

/// What a node says of the line with somebody.
pub(crate) fn line_of(theirs: &Person, line: Option<u8>, proof: Option<Vec<u8>>, list: u64) -> Talk {
    let (theirs, nk) = (theirs.address.clone(), theirs.node.nk());
    Talk::Line(Line { theirs, t2: line.map(t2), offered: false, nk, proof, list })
}
