//! Another MLS engine, openmls, joins our groups, and we join its: the two always agree on who is there and on every key.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use openmls::prelude::tls_codec::{Deserialize as _, Serialize as _};
use openmls::prelude::*;
use openmls::schedule::PreSharedKeyId;
use openmls_basic_credential::SignatureKeyPair;
use openmls_rust_crypto::OpenMlsRustCrypto;
use postline_core::id::{Address, ConversationId, DeviceKey, Hash};
use postline_core::seal::mls::{self, Aad, Group, Me, Package, padding};
use postline_core::seal::{AddressIdentity, DeviceIdentity, Secret};
use postline_core::step::{Outbox, Tick};
use postline_core::store::{Key, sha256};
use postline_core::time::Millis;
use postline_core::wire::leaf::{CREDENTIAL, Leaf};
use postline_core::wire::log::{Change, direct};
use postline_core::wire::statement::Signed;

const SUITE: Ciphersuite = Ciphersuite::MLS_128_DHKEMX25519_CHACHA20POLY1305_SHA256_Ed25519;
const T2: Hash = Hash([0x72; 32]);

fn talk() -> ConversationId {
    direct(T2)
}

/// What binds a group to the handshake: as `spec/08-sealing.md` has it, not as our code does.
fn psk() -> (Vec<u8>, [u8; 32]) {
    let id = [&b"postline/1 psk\0"[..], &talk().0].concat();
    (id, sha256(&[b"postline/1 psk\0", &T2.0]).0)
}

fn leaf(name: &str, dk: DeviceKey) -> Signed<Leaf> {
    let ak = AddressIdentity::new(&Secret::new(sha256(&[b"ak", name.as_bytes()]).0));
    let address = Address::parse(&format!("{name}@{name}.example")).unwrap();
    let (identity, key) = (ak.ak().identity(), ak.ak());
    ak.state(Leaf { address, identity, ak: key, dk, number: 1, hosted: false }).unwrap()
}

/// A device of ours.
struct Ours {
    device: DeviceIdentity,
    leaf: Signed<Leaf>,
    steps: u64,
    disk: BTreeMap<Key, Vec<u8>>,
    group: Option<Group>,
}

impl Ours {
    fn new(name: &str) -> Self {
        let device = DeviceIdentity::new(&Secret::new(sha256(&[b"dk", name.as_bytes()]).0));
        let leaf = leaf(name, device.dk());
        Self { device, leaf, steps: 0, disk: BTreeMap::new(), group: None }
    }

    /// openmls reads the clock: so must we, here.
    fn tick(&mut self) -> Tick {
        self.steps += 1;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
        let entropy = sha256(&[b"tick", &self.device.dk().0, &self.steps.to_be_bytes()]).0;
        Tick { now: Millis(now), entropy }
    }

    fn store(&mut self, out: Outbox<()>) {
        for record in out.split().0 {
            match record.value {
                Some(value) => self.disk.insert(record.key, value),
                None => self.disk.remove(&record.key),
            };
        }
    }

    fn package(&mut self) -> Vec<u8> {
        let tick = self.tick();
        let made = mls::make(&tick, 0, Me { device: &self.device, leaf: &self.leaf }, false).unwrap();
        self.disk.insert(Key::Package(made.reference), made.record().value.unwrap());
        made.public
    }

    fn read(&mut self, package: &[u8]) -> Package {
        mls::read(package, self.tick().now).unwrap()
    }

    fn create(&mut self, package: &Package) -> Change {
        let (tick, mut out) = (self.tick(), Outbox::new());
        let me = Me { device: &self.device, leaf: &self.leaf };
        let (group, change) = Group::create(&tick, me, talk(), T2, core::slice::from_ref(package), &mut out).unwrap();
        self.group = Some(group);
        self.store(out);
        change
    }

    fn join(&mut self, welcome: &[u8]) {
        let (tick, mut out) = (self.tick(), Outbox::new());
        let me = Me { device: &self.device, leaf: &self.leaf };
        let disk = &self.disk;
        let look = |reference| disk.get(&Key::Package(reference)).cloned();
        let group = Group::join(&tick, me, welcome, look, T2, talk(), &mut |_| Ok(()), &mut out).unwrap();
        self.group = Some(group);
        self.store(out);
    }

    fn group(&mut self) -> &mut Group {
        self.group.as_mut().unwrap()
    }

    fn commit(&mut self, adds: &[Package], removes: &[DeviceKey]) -> Change {
        let (tick, mut out) = (self.tick(), Outbox::new());
        let mut group = self.group.take().unwrap();
        let me = Me { device: &self.device, leaf: &self.leaf };
        let change = group.commit(&tick, me, adds, removes, &mut out).unwrap();
        group.merge(&tick, &mut out).unwrap();
        self.group = Some(group);
        self.store(out);
        change
    }

    fn apply(&mut self, commit: &[u8]) {
        let (tick, mut out) = (self.tick(), Outbox::new());
        self.group().apply(&tick, commit, &mut |_| Ok(()), &mut out).unwrap();
        self.store(out);
    }

    fn seal(&mut self, text: &[u8]) -> Vec<u8> {
        let (tick, mut out) = (self.tick(), Outbox::new());
        let sealed = self.group().seal(&tick, None, text, &mut out).unwrap();
        self.store(out);
        sealed
    }

    fn reads(&mut self, bytes: &[u8]) -> Vec<u8> {
        let (tick, mut out) = (self.tick(), Outbox::new());
        let opened = self.group().open(&tick, bytes, &mut out).unwrap();
        self.store(out);
        opened.plaintext
    }
}

/// A device that another engine runs.
struct Theirs {
    provider: OpenMlsRustCrypto,
    signer: SignatureKeyPair,
    leaf: Signed<Leaf>,
    group: Option<MlsGroup>,
    /// Messages sealed in this epoch.
    sealed: u32,
}

fn bytes_of(message: &MlsMessageOut) -> Vec<u8> {
    message.tls_serialize_detached().unwrap()
}

fn pad(text: &[u8]) -> Vec<u8> {
    let mut padded = [text, &[1]].concat();
    padded.resize(padding::bucket(text.len()), 0);
    padded
}

impl Theirs {
    fn new(name: &str) -> Self {
        let signer = SignatureKeyPair::new(SUITE.signature_algorithm()).unwrap();
        let leaf = leaf(name, DeviceKey(signer.public().try_into().unwrap()));
        Self { provider: OpenMlsRustCrypto::default(), signer, leaf, group: None, sealed: 0 }
    }

    fn dk(&self) -> DeviceKey {
        self.leaf.value().dk
    }

    fn credential(&self) -> CredentialWithKey {
        let credential = Credential::new(CredentialType::Other(CREDENTIAL), self.leaf.bytes().to_vec());
        CredentialWithKey { credential, signature_key: self.signer.public().into() }
    }

    fn capabilities() -> Capabilities {
        let credentials = [CredentialType::Other(CREDENTIAL)];
        Capabilities::new(None, Some(&[SUITE]), Some(&[]), Some(&[]), Some(&credentials))
    }

    fn package(&self) -> Vec<u8> {
        let bundle = KeyPackage::builder()
            .leaf_node_capabilities(Self::capabilities())
            .build(SUITE, &self.provider, &self.signer, self.credential())
            .unwrap();
        bytes_of(&MlsMessageOut::from(bundle.key_package().clone()))
    }

    fn bind(&self) -> PreSharedKeyId {
        let (id, value) = psk();
        let id = PreSharedKeyId::external(id, self.provider.rand().random_vec(32).unwrap());
        id.store(&self.provider, &value).unwrap();
        id
    }

    fn join(&mut self, welcome: &[u8]) {
        self.bind();
        let MlsMessageBodyIn::Welcome(welcome) = message_in(welcome).extract() else { panic!("no Welcome") };
        let config = MlsGroupJoinConfig::builder()
            .wire_format_policy(PURE_PLAINTEXT_WIRE_FORMAT_POLICY)
            .use_ratchet_tree_extension(true)
            .build();
        let staged = StagedWelcome::new_from_welcome(&self.provider, &config, welcome, None).unwrap();
        self.group = Some(staged.into_group(&self.provider).unwrap());
        self.sealed = 0;
    }

    /// Makes the group, and adds somebody by their package: the handshake's key in the same commit.
    fn create(&mut self, package: &[u8]) -> Vec<u8> {
        let mut group = MlsGroup::builder()
            .with_group_id(GroupId::from_slice(&talk().0))
            .ciphersuite(SUITE)
            .with_wire_format_policy(PURE_PLAINTEXT_WIRE_FORMAT_POLICY)
            .use_ratchet_tree_extension(true)
            .with_capabilities(Self::capabilities())
            .build(&self.provider, &self.signer, self.credential())
            .unwrap();
        let id = self.bind();
        group.propose_pre_shared_key_by_value(&self.provider, &self.signer, id).unwrap();
        let package = package_in(&self.provider, package);
        let (_, welcome, _) = group.add_members(&self.provider, &self.signer, &[package]).unwrap();
        group.merge_pending_commit(&self.provider).unwrap();
        self.group = Some(group);
        self.sealed = 0;
        bytes_of(&welcome)
    }

    fn group(&mut self) -> &mut MlsGroup {
        self.group.as_mut().unwrap()
    }

    /// Renews its keys; or adds or removes somebody.
    fn commit(&mut self, adds: &[Vec<u8>], removes: &[DeviceKey]) -> (Vec<u8>, Option<Vec<u8>>) {
        let mut group = self.group.take().unwrap();
        let packages: Vec<_> = adds.iter().map(|bytes| package_in(&self.provider, bytes)).collect();
        let gone: Vec<_> =
            group.members().filter(|m| removes.iter().any(|dk| dk.0[..] == m.signature_key)).map(|m| m.index).collect();
        let bundle = group
            .commit_builder()
            .force_self_update(true)
            .propose_adds(packages)
            .propose_removals(gone)
            .load_psks(self.provider.storage())
            .unwrap()
            .build(self.provider.rand(), self.provider.crypto(), &self.signer, |_| true)
            .unwrap()
            .stage_commit(&self.provider)
            .unwrap();
        let (commit, welcome, _) = bundle.into_messages();
        group.merge_pending_commit(&self.provider).unwrap();
        self.group = Some(group);
        self.sealed = 0;
        (bytes_of(&commit), welcome.map(|welcome| bytes_of(&welcome)))
    }

    fn take(&mut self, bytes: &[u8]) -> ProcessedMessageContent {
        let message = message_in(bytes).try_into_protocol_message().unwrap();
        let mut group = self.group.take().unwrap();
        let content = group.process_message(&self.provider, message).unwrap().into_content();
        self.group = Some(group);
        content
    }

    fn apply(&mut self, commit: &[u8]) {
        let ProcessedMessageContent::StagedCommitMessage(staged) = self.take(commit) else { panic!("no commit") };
        let mut group = self.group.take().unwrap();
        group.merge_staged_commit(&self.provider, *staged).unwrap();
        self.group = Some(group);
        self.sealed = 0;
    }

    fn seal(&mut self, text: &[u8]) -> Vec<u8> {
        let aad = Aad { conversation: talk(), generation: self.sealed, head: None }.to_bytes();
        self.sealed += 1;
        let mut group = self.group.take().unwrap();
        group.set_aad(aad);
        let message = group.create_message(&self.provider, &self.signer, &pad(text)).unwrap();
        self.group = Some(group);
        bytes_of(&message)
    }

    fn reads(&mut self, bytes: &[u8]) -> Vec<u8> {
        let ProcessedMessageContent::ApplicationMessage(said) = self.take(bytes) else { panic!("no message") };
        let padded = said.into_bytes();
        padded[..padded.iter().rposition(|byte| *byte != 0).unwrap()].to_vec()
    }
}

fn message_in(bytes: &[u8]) -> MlsMessageIn {
    MlsMessageIn::tls_deserialize_exact(bytes).unwrap()
}

fn package_in(provider: &OpenMlsRustCrypto, bytes: &[u8]) -> KeyPackage {
    let MlsMessageBodyIn::KeyPackage(package) = message_in(bytes).extract() else { panic!("no key package") };
    package.validate(provider.crypto(), ProtocolVersion::Mls10).unwrap()
}

/// The two are in one epoch, with the same people and the same keys.
fn agree(ours: &mut Ours, theirs: &mut Theirs) {
    assert_eq!(ours.group().epoch(), theirs.group().epoch().as_u64());
    let there: Vec<_> = theirs.group().members().map(|member| member.signature_key).collect();
    assert_eq!(ours.group().members().iter().map(|m| m.dk.0.to_vec()).collect::<Vec<_>>(), there);
    let authenticator = ours.group().authenticator().unwrap();
    assert_eq!(authenticator.expose()[..], *theirs.group().epoch_authenticator().as_slice());
    let (provider, group) = (&theirs.provider, theirs.group.as_ref().unwrap());
    let exported = group.export_secret(provider.crypto(), "postline/1 test", b"context", 32).unwrap();
    assert_eq!(ours.group().export("test", b"context").unwrap().expose()[..], exported);
}

/// Twenty rounds of commits and messages, a third device coming and going.
fn twenty_rounds(ours: &mut Ours, theirs: &mut Theirs) {
    agree(ours, theirs);
    let mut third: Option<Ours> = None;
    for round in 0..20_u32 {
        for n in 0..3 {
            let text = format!("round {round}, message {n}");
            let sealed = ours.seal(text.as_bytes());
            assert_eq!(theirs.reads(&sealed), text.as_bytes());
            if let Some(third) = &mut third {
                assert_eq!(third.reads(&sealed), text.as_bytes());
            }
            let sealed = theirs.seal(text.as_bytes());
            assert_eq!(ours.reads(&sealed), text.as_bytes());
            if let Some(third) = &mut third {
                assert_eq!(third.reads(&sealed), text.as_bytes());
            }
        }
        let (mut adds, mut removes) = (Vec::new(), Vec::new());
        let mut coming = None;
        match (round % 4, &third) {
            (1, None) => {
                let mut device = Ours::new("third");
                adds.push(device.package());
                coming = Some(device);
            }
            (3, Some(there)) => removes.push(there.device.dk()),
            _ => {}
        }
        let (commit, welcome) = if round % 8 < 4 {
            let packages: Vec<_> = adds.iter().map(|bytes| ours.read(bytes)).collect();
            let change = ours.commit(&packages, &removes);
            theirs.apply(&change.commit);
            (change.commit, change.welcome)
        } else {
            let (commit, welcome) = theirs.commit(&adds, &removes);
            ours.apply(&commit);
            (commit, welcome)
        };
        if let Some(mut there) = third.take() {
            there.apply(&commit);
            third = (!there.group().is_out()).then_some(there);
        }
        if let Some(mut device) = coming {
            device.join(&welcome.unwrap());
            agree(&mut device, theirs);
            third = Some(device);
        }
        agree(ours, theirs);
        assert_eq!(third.is_some(), (1..3).contains(&(round % 4)), "round {round}");
    }
}

#[test]
fn openmls_joins_our_group() {
    let (mut ours, mut theirs) = (Ours::new("ann"), Theirs::new("bob"));
    let package = ours.read(&theirs.package());
    assert_eq!(package.member().dk, theirs.dk());
    let change = ours.create(&package);
    theirs.join(&change.welcome.unwrap());
    twenty_rounds(&mut ours, &mut theirs);
}

#[test]
fn we_join_a_group_of_openmls() {
    let (mut ours, mut theirs) = (Ours::new("ann"), Theirs::new("bob"));
    let welcome = theirs.create(&ours.package());
    ours.join(&welcome);
    twenty_rounds(&mut ours, &mut theirs);
}

/// A group that isn't bound to the handshake is none of ours, whoever makes it.
#[test]
fn we_join_no_group_that_is_not_bound() {
    let (mut ours, theirs) = (Ours::new("ann"), Theirs::new("bob"));
    let mut group = MlsGroup::builder()
        .with_group_id(GroupId::from_slice(&talk().0))
        .ciphersuite(SUITE)
        .use_ratchet_tree_extension(true)
        .with_capabilities(Theirs::capabilities())
        .build(&theirs.provider, &theirs.signer, theirs.credential())
        .unwrap();
    let package = package_in(&theirs.provider, &ours.package());
    let (_, welcome, _) = group.add_members(&theirs.provider, &theirs.signer, &[package]).unwrap();
    let (tick, mut out) = (ours.tick(), Outbox::<()>::new());
    let me = Me { device: &ours.device, leaf: &ours.leaf };
    let look = |reference| ours.disk.get(&Key::Package(reference)).cloned();
    let joined = Group::join(&tick, me, &bytes_of(&welcome), look, T2, talk(), &mut |_| Ok(()), &mut out);
    let refused = postline_core::fault::PeerFault::Welcome("not bound to the handshake");
    assert_eq!(joined.map(|_| ()), Err(refused));
}
