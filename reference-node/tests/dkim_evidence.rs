//! What DKIM proves of a mail, and what it doesn't.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // a test fails by them

use std::collections::BTreeSet;
use std::fs;
use std::marker::PhantomData;
use std::os::unix::fs::PermissionsExt;
use std::sync::LazyLock;

use crypto_bigint::modular::{FixedMontyForm, FixedMontyParams};
use crypto_bigint::{NonZero, Odd, Uint};
use crypto_primes::{Flavor, random_prime};
use mail_auth::common::crypto::{Algorithm, Ed25519Key, HashImpl, Sha1, Sha256, SigningKey};
use mail_auth::common::headers::{HeaderWriter, Writable};
use mail_auth::dkim::{DkimSigner, Done};
use postline_core::content::evidence::{Dkim, DkimPass, Evidence};
use postline_core::id::Domain;
use postline_node::dkim::{DkimFault, Published, Signer, evaluate, keygen};
use postline_node::dns::{Resolver, Zone};
use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tempfile::TempDir;

const MAIL: &str = "From: Bob <bob@b.example>\r\n\
    To: alice@a.example\r\n\
    Subject: Tea\r\n\
    Date: Mon, 1 Jan 2024 10:00:00 +0000\r\n\
    Message-ID: <1@b.example>\r\n\
    In-Reply-To: <0@a.example>\r\n\
    \r\n\
    At five?\r\n\
    .\r\n\
    Bob\r\n";

/// The keys of b.example, made once: making RSA keys is slow.
struct Keys {
    dir: TempDir,
    records: Vec<Published>,
}

static KEYS: LazyLock<Keys> = LazyLock::new(|| {
    let dir = TempDir::new().unwrap();
    let records = keygen(dir.path(), &domain("b.example"), "s").unwrap();
    Keys { dir, records }
});

fn domain(text: &str) -> Domain {
    text.parse().unwrap()
}

fn signer() -> Signer {
    Signer::load(KEYS.dir.path(), &domain("b.example"), "s").unwrap()
}

fn signed(mail: &str) -> String {
    String::from_utf8(signer().sign(mail.as_bytes()).unwrap()).unwrap() + mail
}

fn resolver(zone: &str) -> Resolver {
    Resolver::Zone(Zone::parse(zone).unwrap())
}

fn published() -> Resolver {
    resolver(&KEYS.records.iter().map(|record| format!("{record}\n")).collect::<String>())
}

async fn passes(mail: &str, resolver: &Resolver) -> Vec<DkimPass> {
    match evaluate(mail.as_bytes(), resolver).await {
        Evidence::Dkim(Dkim { passed }) => passed,
        other @ (Evidence::Domain { .. } | Evidence::Contradiction | Evidence::Temporary) => {
            panic!("want passes, got {other:?}")
        }
    }
}

/// A stranger's Ed25519 key for tests that need odd signatures, and its record.
fn own_key(record: &str) -> (Ed25519Key, String) {
    let key = Ed25519Key::from_pkcs8_der(&Ed25519Key::generate_pkcs8().unwrap()).unwrap();
    let public = base64(&key.public_key());
    (key, format!("{record} TXT \"v=DKIM1; k=ed25519; p={public}\"\n"))
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn sign_by<T: SigningKey>(signer: &DkimSigner<T, Done>, mail: &str) -> String {
    let mut field = Vec::new();
    signer.sign(mail.as_bytes()).unwrap().write_header(&mut field);
    String::from_utf8(field).unwrap() + mail
}

#[tokio::test]
async fn what_we_sign_holds_by_both_keys_and_names_every_field_twice() {
    let passed = passes(&signed(MAIL), &published()).await;
    assert_eq!(passed.len(), 2);
    for pass in passed {
        assert_eq!(pass.domain, domain("b.example"));
        assert!(!pass.partial);
        for name in ["from", "to", "cc", "date", "subject", "in-reply-to", "references", "postline-offer"] {
            assert_eq!(pass.signed.iter().filter(|signed| *signed == name).count(), 2, "{name}");
        }
    }
}

#[tokio::test]
async fn each_key_holds_without_the_other() {
    for record in &KEYS.records {
        assert_eq!(passes(&signed(MAIL), &resolver(&record.to_string())).await.len(), 1, "{}", record.name);
    }
    assert_eq!(passes(&signed(MAIL), &resolver("")).await, []);
}

#[tokio::test]
async fn t_002_a_spoofed_from_has_no_pass_of_its_domain() {
    let (key, record) = own_key("s._domainkey.evil.example");
    let evil = DkimSigner::from_key(key).domain("evil.example").selector("s").headers(["From", "To", "Date"]);
    let passed = passes(&sign_by(&evil, MAIL), &resolver(&record)).await;
    assert_eq!(passed.iter().map(|pass| pass.domain.as_str()).collect::<Vec<_>>(), ["evil.example"]);

    let (key, _) = own_key("x");
    let forged = DkimSigner::from_key(key).domain("b.example").selector("s-ed25519").headers(["From", "To"]);
    assert_eq!(passes(&sign_by(&forged, MAIL), &published()).await, []);
    assert_eq!(passes(MAIL, &published()).await, []);
}

#[tokio::test]
async fn t_004_a_signature_over_part_of_the_body_says_so() {
    let (key, record) = own_key("s._domainkey.b.example");
    let part = DkimSigner::from_key(key).domain("b.example").selector("s").headers(["From"]).body_length(true);
    let lengthened = sign_by(&part, MAIL) + "-- \r\nBuy now!\r\n";
    let passed = passes(&lengthened, &resolver(&record)).await;
    assert_eq!(passed.len(), 1, "mail-auth must have taken it, else this test proves nothing");
    assert!(passed[0].partial);
}

#[tokio::test]
async fn t_004_what_a_signature_leaves_unsigned_shows() {
    let (key, record) = own_key("s._domainkey.b.example");
    let few = DkimSigner::from_key(key).domain("b.example").selector("s").headers(["From", "Subject"]);
    let passed = passes(&sign_by(&few, MAIL), &resolver(&record)).await;
    assert_eq!(passed[0].signed.iter().map(String::as_str).collect::<BTreeSet<_>>(), ["from", "subject"].into());
    assert_eq!(passed[0].signed.len(), 2, "named once each: not oversigned");

    let (key, record) = own_key("s._domainkey.b.example");
    let no_from = DkimSigner::from_key(key).domain("b.example").selector("s").headers(["Subject"]);
    assert_eq!(passes(&sign_by(&no_from, MAIL), &resolver(&record)).await, []);
}

#[tokio::test]
async fn t_004_an_oversigned_field_cannot_be_added() {
    let mail = signed(MAIL);
    for added in [
        "From: eve@b.example\r\n",
        "To: eve@b.example\r\n",
        "Cc: eve@b.example\r\n",
        "References: <2@a.example>\r\n",
        "Postline-Offer: v=1\r\n",
        "Postline-Accept: v=1\r\n",
        "Content-Type: text/html\r\n",
    ] {
        assert_eq!(passes(&format!("{added}{mail}"), &published()).await, [], "{added}");
        assert_eq!(
            passes(&mail.replacen("\r\n\r\n", &format!("\r\n{added}\r\n"), 1), &published()).await,
            [],
            "{added}"
        );
    }
    assert_eq!(
        passes(&format!("Received: by x\r\n{mail}"), &published()).await.len(),
        2,
        "a trace field harms nothing"
    );
}

#[tokio::test]
async fn what_a_list_rewrites_no_longer_holds() {
    let mail = signed(MAIL);
    assert_eq!(passes(&(mail.clone() + "-- \r\nThe list\r\n"), &published()).await, []);
    assert_eq!(passes(&mail.replace("Tea", "[list] Tea"), &published()).await, []);
    assert_eq!(passes(&mail.replace("bob@b", "bob=b"), &published()).await, []);
    assert_eq!(passes(&(mail + "\r\n\r\n"), &published()).await.len(), 2, "empty lines at the end are no change");
}

#[tokio::test]
async fn a_failure_of_dns_is_temporary_only_for_the_domain_that_matters() {
    let failing = resolver("s-rsa._domainkey.b.example FAIL\ns-ed25519._domainkey.b.example FAIL");
    assert_eq!(evaluate(signed(MAIL).as_bytes(), &failing).await, Evidence::Temporary);

    let half = resolver(&format!("s-rsa._domainkey.b.example FAIL\n{}", KEYS.records[1]));
    assert_eq!(passes(&signed(MAIL), &half).await.len(), 1, "the other key is proof enough");

    let (key, _) = own_key("x");
    let stranger = DkimSigner::from_key(key).domain("evil.example").selector("s").headers(["From"]);
    let mail = sign_by(&stranger, MAIL);
    assert_eq!(passes(&mail, &resolver("s._domainkey.evil.example FAIL")).await, []);
}

#[tokio::test]
async fn keys_not_meant_for_this_are_no_keys() {
    let (key, record) = own_key("s._domainkey.b.example");
    let mail = sign_by(&DkimSigner::from_key(key).domain("b.example").selector("s").headers(["From"]), MAIL);
    for fit in ["v=DKIM1;", "v=DKIM1; h=sha256;", "v=DKIM1; s=email;", "v=DKIM1; s=*:x;", "v=DKIM1; t=s;"] {
        assert_eq!(passes(&mail, &resolver(&record.replace("v=DKIM1;", fit))).await.len(), 1, "{fit}");
    }
    for unfit in ["v=DKIM1; t=y;", "v=DKIM1; t=s:y;", "v=DKIM1; h=sha1;", "v=DKIM1; s=other;", "v=DKIM2;", "k=rsa;"] {
        assert_eq!(passes(&mail, &resolver(&record.replace("v=DKIM1;", unfit))).await, [], "{unfit}");
    }
    let revoked = resolver("s._domainkey.b.example TXT \"v=DKIM1; k=ed25519; p=\"");
    assert_eq!(passes(&mail, &revoked).await, []);
}

#[tokio::test]
async fn a_signature_with_a_tag_twice_or_another_version_is_none() {
    let (key, record) = own_key("s._domainkey.b.example");
    let mail = sign_by(&DkimSigner::from_key(key).domain("b.example").selector("s").headers(["From"]), MAIL);
    let dns = resolver(&record);
    assert_eq!(passes(&mail, &dns).await.len(), 1);
    for (old, new) in
        [("v=1;", "v=2;"), ("v=1;", ""), ("v=1;", "v=1; v=1;"), ("d=b.example;", "d=c.example; d=b.example;")]
    {
        assert_eq!(passes(&mail.replacen(old, new, 1), &dns).await, [], "{new}");
    }
}

/// RSA as in the textbook: for keys that ring would never sign with.
struct Textbook<const LIMBS: usize, H> {
    n: Uint<LIMBS>,
    d: Uint<LIMBS>,
    hash: PhantomData<H>,
}

impl<const LIMBS: usize, H> Textbook<LIMBS, H> {
    fn new(bits: u32) -> Self {
        let mut rng = StdRng::seed_from_u64(u64::from(bits));
        let e = Uint::<LIMBS>::from(65_537_u32);
        loop {
            let [p, q] = [(), ()].map(|()| random_prime::<Uint<LIMBS>, _>(&mut rng, Flavor::Any, bits / 2));
            let n = p.wrapping_mul(&q);
            let phi = p.wrapping_sub(&Uint::ONE).wrapping_mul(&q.wrapping_sub(&Uint::ONE));
            match e.invert_mod(&NonZero::new(phi).unwrap()).into_option() {
                Some(d) if n.bits() == bits => return Self { n, d, hash: PhantomData },
                _ => {}
            }
        }
    }

    fn record(&self) -> String {
        let n = der(2, &[&[0], self.n.to_be_bytes().as_ref()].concat());
        let key = der(0x30, &[n, der(2, &[1, 0, 1])].concat());
        format!("s._domainkey.b.example TXT \"v=DKIM1; k=rsa; p={}\"", base64(&key))
    }

    fn sign(&self, digest_info: &[u8]) -> Vec<u8> {
        let size = self.n.to_be_bytes().as_ref().len();
        let padding = vec![0xff; size - 3 - digest_info.len()];
        let block = [&[0, 1], &padding[..], &[0], digest_info].concat();
        let params = FixedMontyParams::new(Odd::new(self.n).unwrap());
        let number = Uint::from_be_slice(&block);
        FixedMontyForm::new(&number, &params).pow(&self.d).retrieve().to_be_bytes().as_ref().to_vec()
    }
}

fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let len = u8::try_from(content.len()).unwrap();
    let head = if len < 0x80 { vec![tag, len] } else { vec![tag, 0x81, len] };
    [&head, content].concat()
}

fn digest_info(oid: &[u8], algorithm: &'static ring::digest::Algorithm, input: impl Writable) -> Vec<u8> {
    let mut data = Vec::new();
    input.write(&mut data);
    let digest = ring::digest::digest(algorithm, &data);
    [oid, digest.as_ref()].concat()
}

const SHA_256: &[u8] = &[0x30, 0x31, 0x30, 0x0d, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1, 5, 0, 4, 0x20];
const SHA_1: &[u8] = &[0x30, 0x21, 0x30, 9, 6, 5, 0x2b, 0x0e, 3, 2, 0x1a, 5, 0, 4, 0x14];

impl<const LIMBS: usize> SigningKey for Textbook<LIMBS, Sha256> {
    type Hasher = Sha256;
    fn sign(&self, input: impl Writable) -> mail_auth::Result<Vec<u8>> {
        Ok(Textbook::sign(self, &digest_info(SHA_256, &ring::digest::SHA256, input)))
    }
    fn algorithm(&self) -> Algorithm {
        Algorithm::RsaSha256
    }
}

impl<const LIMBS: usize> SigningKey for Textbook<LIMBS, Sha1> {
    type Hasher = Sha1;
    fn sign(&self, input: impl Writable) -> mail_auth::Result<Vec<u8>> {
        Ok(Textbook::sign(self, &digest_info(SHA_1, &ring::digest::SHA1_FOR_LEGACY_USE_ONLY, input)))
    }
    fn algorithm(&self) -> Algorithm {
        Algorithm::RsaSha1
    }
}

async fn passes_by<const LIMBS: usize, H: HashImpl>(key: Textbook<LIMBS, H>) -> usize
where
    Textbook<LIMBS, H>: SigningKey,
{
    let dns = resolver(&key.record());
    passes(&sign_by(&DkimSigner::from_key(key).domain("b.example").selector("s").headers(["From"]), MAIL), &dns)
        .await
        .len()
}

#[tokio::test]
async fn rsa_below_1024_bits_and_sha_1_prove_nothing() {
    assert_eq!(passes_by(Textbook::<16, Sha256>::new(1024)).await, 1, "the control: else the others prove nothing");
    assert_eq!(passes_by(Textbook::<12, Sha256>::new(768)).await, 0);
    assert_eq!(passes_by(Textbook::<8, Sha256>::new(512)).await, 0);
    assert_eq!(passes_by(Textbook::<16, Sha1>::new(1024)).await, 0);
}

#[tokio::test]
async fn of_many_signatures_the_from_domains_are_evaluated_first_and_five_in_all() {
    let mut mail = signed(MAIL);
    let mut zone: String = KEYS.records.iter().map(|record| format!("{record}\n")).collect();
    for n in 0..20 {
        let (key, record) = own_key(&format!("s._domainkey.x{n}.example"));
        let other = DkimSigner::from_key(key).domain(format!("x{n}.example")).selector("s").headers(["From"]);
        mail = sign_by(&other, &mail);
        zone += &record;
    }
    let passed = passes(&mail, &resolver(&zone)).await;
    assert_eq!(passed.len(), 5);
    assert_eq!(passed.iter().filter(|pass| pass.domain == domain("b.example")).count(), 2);
}

#[tokio::test]
async fn a_signature_already_there_stays_and_still_holds() {
    let (key, record) = own_key("s._domainkey.provider.example");
    let provider = DkimSigner::from_key(key).domain("provider.example").selector("s").headers(["From"]);
    let mail = sign_by(&provider, MAIL);
    let both = signed(&mail);
    assert!(both.ends_with(&mail));
    let zone: String = KEYS.records.iter().map(|record| format!("{record}\n")).collect();
    assert_eq!(passes(&both, &resolver(&(zone + &record))).await.len(), 3);
}

#[tokio::test]
async fn a_mail_over_the_bounds_or_with_bare_line_ends_proves_nothing_and_costs_little() {
    let mail = signed(MAIL);
    assert_eq!(passes(&mail.replace("five?\r\n", "five?\n"), &published()).await, []);
    assert_eq!(passes(&mail.replace("five?\r\n", "five?\r"), &published()).await, []);
    let many_fields = "X: y\r\n".repeat(300) + &mail;
    assert_eq!(passes(&many_fields, &published()).await, []);
    let long_header = format!("X: {}\r\n{mail}", "y".repeat(256 * 1024));
    assert_eq!(passes(&long_header, &published()).await, []);
    let names = "from:".repeat(40_000);
    let many_names =
        format!("DKIM-Signature: v=1; a=rsa-sha256; d=b.example; s=s; h={names}from; bh=AA==; b=AA==\r\n{mail}");
    assert_eq!(passes(&many_names, &published()).await.len(), 2, "the greedy one is passed over");
}

#[test]
fn keys_are_their_owners_alone_and_never_overwritten() {
    let dir = KEYS.dir.path();
    for file in ["b.example.s-rsa.pem", "b.example.s-ed25519.pem"] {
        assert_eq!(fs::metadata(dir.join(file)).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let before = fs::read(dir.join("b.example.s-rsa.pem")).unwrap();
    assert!(matches!(keygen(dir, &domain("b.example"), "s"), Err(DkimFault::File { .. })));
    assert_eq!(fs::read(dir.join("b.example.s-rsa.pem")).unwrap(), before);
    for selector in ["", "a.b", "A", "-a", "a b", "../x"] {
        assert!(matches!(keygen(dir, &domain("b.example"), selector), Err(DkimFault::Make(_))), "{selector:?}");
    }
    assert!(matches!(Signer::load(dir, &domain("c.example"), "s"), Err(DkimFault::File { .. })));
    let broken = TempDir::new().unwrap();
    fs::write(broken.path().join("b.example.s-rsa.pem"), "no key").unwrap();
    assert!(matches!(Signer::load(broken.path(), &domain("b.example"), "s"), Err(DkimFault::Key { .. })));
}

#[test]
fn records_fit_into_dns_strings() {
    let text = KEYS.records[0].to_string();
    assert!(text.starts_with("s-rsa._domainkey.b.example. TXT \"v=DKIM1; k=rsa; p="));
    let longest = text.split('"').map(str::len).max().unwrap();
    assert!(longest <= 255, "a string of {longest} bytes");
    assert!(KEYS.records[1].to_string().contains("k=ed25519; p="));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_change_of_a_word_undoes_every_signature(at in 0..MAIL.len(), by in 1_u8..=255) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut mail = signed(MAIL).into_bytes();
        let at = mail.len() - MAIL.len() + at;
        prop_assume!(!mail[at].is_ascii_whitespace() && !(mail[at] ^ by).is_ascii_whitespace());
        // Case and white space of a field's name are not signed in the relaxed form.
        prop_assume!(!(mail[at].eq_ignore_ascii_case(&(mail[at] ^ by))));
        mail[at] ^= by;
        let evidence = runtime.block_on(evaluate(&mail, &published()));
        prop_assert_eq!(evidence, Evidence::Dkim(Dkim::default()));
    }

    #[test]
    fn no_bytes_are_too_odd(head in proptest::collection::vec(any::<u8>(), 0..300), tail in ".{0,200}") {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let field = format!("DKIM-Signature: {tail}\r\nFrom: {tail}\r\n");
        let tail = tail.replace('"', "");
        let dns = resolver(&format!("s-rsa._domainkey.b.example TXT \"p={}\"", tail.replace(char::is_control, "")));
        for mail in [head.clone(), [field.as_bytes(), &head].concat(), signed(MAIL).into_bytes()] {
            prop_assert!(matches!(runtime.block_on(evaluate(&mail, &dns)), Evidence::Dkim(_)));
        }
    }
}
