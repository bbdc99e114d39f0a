//! People compare codes and pictures: equal if nobody stands between, and only so often.

use postline_core::fault::PeerFault;
use postline_core::id::Hash;
use postline_core::limits;
use postline_core::seal::code::{Card, Code, Comparison, EMOJI, Heard, Parties, Scan, Shown, Side};
use postline_core::seal::lists::Chain;
use postline_core::seal::tries::Tries;
use postline_core::seal::{Level, Pin};
use postline_core::time::Millis;
use postline_core::wire::compare::Word;

use super::kit::{ak, ann, bob, device, hash, key, tick};

fn side(chain: &Chain) -> Side {
    Side { address: chain.address().clone(), identity: chain.identity(), ak: chain.ak() }
}

fn parties(ours: &Chain, theirs: &Chain) -> Parties {
    Parties { t2: hash(7), ours: side(ours), theirs: side(theirs) }
}

fn pair() -> (Chain, Chain) {
    (ann().1, bob(false).1)
}

fn start(entropy: u8, parties: Parties) -> (Comparison, Word) {
    Comparison::start(&tick(1_000, entropy), &mut Tries::default(), parties).unwrap()
}

/// Has both say all, and gives the codes that they are shown.
fn compare(mut a: (Comparison, Word), mut b: (Comparison, Word)) -> [Result<Code, PeerFault>; 2] {
    let now = Millis(2_000);
    let heard = |who: &mut Comparison, word: &Word| who.hear(now, &Word::parse(&word.to_bytes()).unwrap());
    let (Heard::Say(a_reveals), Heard::Say(b_reveals)) =
        (heard(&mut a.0, &b.1).unwrap(), heard(&mut b.0, &a.1).unwrap())
    else {
        panic!("a commitment is answered with a nonce");
    };
    [(&mut a.0, b_reveals), (&mut b.0, a_reveals)].map(|(who, word)| match heard(who, &word)? {
        Heard::Show(code) => Ok(code),
        Heard::Nothing | Heard::Say(_) => panic!("a code is shown"),
    })
}

/// [I-13]
#[test]
fn two_who_have_each_others_keys_see_one_code() {
    let (ann, bob) = pair();
    let (mut a, commit_a) = start(1, parties(&ann, &bob));
    let (mut b, commit_b) = start(2, parties(&bob, &ann));
    let now = Millis(2_000);
    let Heard::Say(reveal_b) = b.hear(now, &commit_a).unwrap() else { panic!() };
    let Heard::Say(reveal_a) = a.hear(now, &commit_b).unwrap() else { panic!() };
    assert_eq!(a.hear(now, &commit_b), Ok(Heard::Nothing), "said again, it changes nothing");
    let Heard::Show(at_a) = a.hear(now, &reveal_b).unwrap() else { panic!() };
    let Heard::Show(at_b) = b.hear(now, &reveal_a).unwrap() else { panic!() };
    assert_eq!(at_a, at_b);
    assert_eq!(a.code(), Some(&at_a));
    assert_eq!(at_a.digits().len(), 7);
    assert_eq!(a.hear(now, &reveal_b), Ok(Heard::Nothing));
    let want = Pin { identity: bob.identity(), ak: bob.ak(), level: Level::Compared };
    assert_eq!(a.confirm(now), Ok(want));
    assert_eq!(b.confirm(now).unwrap().ak, ann.ak());
}

#[test]
fn each_thing_that_differs_makes_another_code() {
    let (ann, bob) = pair();
    let both = |a: Parties, b: Parties| compare(start(1, a), start(2, b));
    let [good, same] = both(parties(&ann, &bob), parties(&bob, &ann)).map(Result::unwrap);
    assert_eq!(good, same);
    // Entropy makes each comparison another one.
    let [again, _] = compare(start(3, parties(&ann, &bob)), start(2, parties(&bob, &ann))).map(Result::unwrap);
    assert_ne!(again, good);
    // What only one of them believes, already the commitment shows; were it not so, the code would.
    let mut other = parties(&bob, &ann);
    other.theirs.ak = key(66);
    assert!(both(parties(&ann, &bob), other).iter().any(Result::is_err));
    let mut other = parties(&bob, &ann);
    other.t2 = hash(8);
    assert!(both(parties(&ann, &bob), other).iter().all(Result::is_err));
}

#[test]
fn t_010_who_stands_between_shows_two_codes() {
    let (ann, bob) = pair();
    // Eve is Bob to Ann, under her key, and Ann to Bob, and compares with both at once.
    let eve = side(&Chain::found(bob.address().clone(), &ak(66), key(67).hash(), false, vec![device(66)]).unwrap().1);
    let to_ann = Parties { theirs: eve.clone(), ..parties(&ann, &bob) };
    let as_bob = Parties { ours: eve, theirs: side(&ann), t2: hash(7) };
    let [at_ann, _] = compare(start(1, to_ann), start(5, as_bob)).map(Result::unwrap);
    let eve = Side { ak: key(66), identity: key(66).identity(), ..side(&ann) };
    let to_bob = Parties { theirs: eve.clone(), ..parties(&bob, &ann) };
    let as_ann = Parties { ours: eve, theirs: side(&bob), t2: hash(7) };
    let [at_bob, _] = compare(start(2, to_bob), start(5, as_ann)).map(Result::unwrap);
    assert_ne!(at_ann.digits(), at_bob.digits());
    assert_ne!(at_ann.emoji(), at_bob.emoji());
}

#[test]
fn t_064_a_commitment_sent_back_to_its_author_opens_nothing() {
    let (ann, bob) = pair();
    let (mut a, commit) = start(1, parties(&ann, &bob));
    let Heard::Say(reveal) = a.hear(Millis(2_000), &commit).unwrap() else { panic!() };
    assert_eq!(a.hear(Millis(2_000), &reveal), Err(PeerFault::WrongCode));
}

/// [I-13]
#[test]
fn nothing_is_revealed_before_the_other_is_bound() {
    let (ann, bob) = pair();
    let now = Millis(2_000);
    let (mut a, _) = start(1, parties(&ann, &bob));
    assert!(matches!(a.hear(now, &Word::Reveal([9; 32])), Err(PeerFault::Frame(_))));
    assert!(matches!(a.hear(now, &Word::Commit(hash(9))), Ok(Heard::Say(Word::Reveal(_)))));
    // Bound to one nonce, the other can name neither another commitment nor another nonce; then it is over.
    assert_eq!(a.hear(now, &Word::Commit(hash(8))), Err(PeerFault::WrongCode));
    assert_eq!(a.hear(now, &Word::Commit(hash(9))), Err(PeerFault::WrongCode));
    let (mut b, _) = start(1, parties(&ann, &bob));
    b.hear(now, &Word::Commit(hash(9))).unwrap();
    assert_eq!(b.hear(now, &Word::Reveal([9; 32])), Err(PeerFault::WrongCode));
    assert_eq!(b.code(), None);
    assert_eq!(a.confirm(now), Err(PeerFault::WrongCode), "nothing was shown");
}

/// [I-14]
#[test]
fn an_expired_code_confirms_nothing() {
    let (ann, bob) = pair();
    let late = Millis(1_000 + limits::CODE_MS + 1);
    let (mut a, _) = start(1, parties(&ann, &bob));
    let (_, commit) = start(2, parties(&bob, &ann));
    assert_eq!(a.hear(late, &commit), Err(PeerFault::WrongCode));
    assert_eq!(a.hear(Millis(2_000), &commit), Err(PeerFault::WrongCode), "over is over");
    let (mut a, _) = start(1, parties(&ann, &bob));
    let Heard::Say(_) = a.hear(a.until(), &commit).unwrap() else { panic!() };

    let (mut a, commit_a) = start(1, parties(&ann, &bob));
    let (mut b, commit_b) = start(2, parties(&bob, &ann));
    let Heard::Say(reveal) = b.hear(Millis(2_000), &commit_a).unwrap() else { panic!() };
    a.hear(Millis(2_000), &commit_b).unwrap();
    a.hear(Millis(2_000), &reveal).unwrap();
    assert_eq!(a.confirm(late), Err(PeerFault::WrongCode));
}

/// [I-14]
#[test]
fn tries_are_limited_and_come_back_with_time() {
    let (ann, bob) = pair();
    let mut tries = Tries::default();
    for entropy in 0..limits::CODE_TRIES as u8 {
        assert!(Comparison::start(&tick(5_000, entropy), &mut tries, parties(&ann, &bob)).is_ok());
    }
    let over = PeerFault::Rate { max: limits::CODE_TRIES, per_ms: limits::CODE_TRIES_MS };
    let again = |now, tries: &mut Tries| Comparison::start(&tick(now, 99), tries, parties(&ann, &bob)).err();
    assert_eq!(again(5_000, &mut tries), Some(over.clone()));
    assert_eq!(again(5_000 + limits::CODE_TRIES_MS - 1, &mut tries), Some(over.clone()));
    assert_eq!(again(0, &mut tries), Some(over), "a clock set back gives none");
    assert_eq!(again(5_000 + limits::CODE_TRIES_MS, &mut tries), None);
}

#[test]
fn the_pictures_are_sixty_four_and_all_different() {
    let signs: std::collections::BTreeSet<_> = EMOJI.iter().map(|emoji| emoji.sign).collect();
    let names: std::collections::BTreeSet<_> = EMOJI.iter().map(|emoji| emoji.name).collect();
    assert_eq!((EMOJI.len(), signs.len(), names.len()), (64, 64, 64));
    assert!(names.iter().all(|name| name.bytes().all(|b| b.is_ascii_lowercase()) && name.len() <= 10));
}

/// [I-15]
#[test]
fn a_picture_that_the_other_camera_read_compares_both() {
    let (ann, bob) = pair();
    let mut tries = Tries::default();
    let shown = Shown::new(&tick(1_000, 1), &mut tries, &parties(&ann, &bob), &ann).unwrap();
    let text = shown.text();
    assert!(text.starts_with("postline:verify?") && text.len() < 600, "{} bytes", text.len());
    let card = Card::parse(&text).unwrap();
    let Scan::Same { pin, answer } = card.compare(&parties(&bob, &ann), &ann).unwrap() else { panic!() };
    assert_eq!(pin, Pin { identity: ann.identity(), ak: ann.ak(), level: Level::Compared });
    let pin = shown.answered(Millis(2_000), &answer).unwrap();
    assert_eq!(pin, Pin { identity: bob.identity(), ak: bob.ak(), level: Level::Compared });
}

#[test]
fn t_010_a_picture_tells_a_key_that_is_not_theirs() {
    let (ann, bob) = pair();
    let show = |parties: &Parties, chain: &Chain| {
        let shown = Shown::new(&tick(1_000, 1), &mut Tries::default(), parties, chain).unwrap();
        Card::parse(&shown.text()).unwrap()
    };
    // Bob was given another key for Ann; Ann was given another one for Bob.
    let card = show(&parties(&ann, &bob), &ann);
    let mut fooled = parties(&bob, &ann);
    fooled.theirs.ak = key(66);
    assert_eq!(card.compare(&fooled, &ann), Err(PeerFault::NewKey { got: key(1), want: key(66) }));
    let mut fooled = parties(&ann, &bob);
    fooled.theirs.ak = key(66);
    let card = show(&fooled, &ann);
    assert_eq!(card.compare(&parties(&bob, &ann), &ann), Err(PeerFault::NewKey { got: key(66), want: key(11) }));
    // Ann's lists were forked for Bob; or he hasn't seen the newest.
    let (fork, _) = Chain::found(ann.address().clone(), &ak(1), key(2).hash(), false, vec![device(66)]).unwrap();
    let forked = Chain::begin(ann.address(), &fork).unwrap();
    let card = show(&parties(&ann, &bob), &ann);
    assert_eq!(card.compare(&parties(&bob, &ann), &forked), Err(PeerFault::ListFork(1)));
    let (_, extension) = ann.draft().enlist(device(2)).sign(&ak(1)).unwrap();
    let mut newer = ann.clone();
    newer.take(extension);
    let card = show(&parties(&ann, &bob), &newer);
    assert_eq!(card.compare(&parties(&bob, &ann), &ann), Ok(Scan::Ahead { after: 1 }));
}

/// [I-15]
#[test]
fn a_picture_for_others_or_an_answer_by_others_is_refused() {
    let (ann, bob) = pair();
    let shown = |entropy| Shown::new(&tick(1_000, entropy), &mut Tries::default(), &parties(&ann, &bob), &ann).unwrap();
    let card = Card::parse(&shown(1).text()).unwrap();
    assert_eq!(card.compare(&parties(&ann, &bob), &ann), Err(PeerFault::WrongCode), "read by who shows it");
    let elsewhere = Parties { t2: Hash([8; 32]), ..parties(&bob, &ann) };
    assert_eq!(card.compare(&elsewhere, &ann), Err(PeerFault::WrongCode));
    let Scan::Same { answer, .. } = card.compare(&parties(&bob, &ann), &ann).unwrap() else { panic!() };
    // Each picture has a secret of its own, and its time; short and long answers are none (attack 69).
    assert_eq!(shown(2).answered(Millis(2_000), &answer), Err(PeerFault::WrongCode));
    assert_eq!(shown(1).answered(Millis(1_001 + limits::CODE_MS), &answer), Err(PeerFault::WrongCode));
    for bad in [&answer[..31], &[&answer[..], &[0]].concat(), &[]] {
        assert_eq!(shown(1).answered(Millis(2_000), bad), Err(PeerFault::WrongCode));
    }
    assert!(shown(1).answered(Millis(2_000), &answer).is_ok());

    let text = shown(1).text();
    for at in 0..text.len() {
        assert_eq!(Card::parse(&text[..at]), Err(PeerFault::WrongCode), "cut at {at}");
    }
    for bad in [format!("{}=", *text), format!("{} ", *text), text.to_uppercase(), text.replace("v=1", "v=2")] {
        assert_eq!(Card::parse(&bad), Err(PeerFault::WrongCode));
    }
    assert!(matches!(Card::parse(&"q".repeat(limits::QR_BYTES + 1)), Err(PeerFault::TooBig { what: "qr", .. })));
}

#[test]
fn a_word_has_one_encoding() {
    for word in [Word::Commit(hash(1)), Word::Reveal([2; 32])] {
        let bytes = word.to_bytes();
        assert_eq!(Word::parse(&bytes), Ok(word));
        for cut in 0..bytes.len() {
            assert!(Word::parse(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        assert!(Word::parse(&[&bytes[..], &[0]].concat()).is_err());
        assert!(Word::parse(&[&bytes[..1], &[0x18, 1], &bytes[2..]].concat()).is_err());
        assert!(Word::parse(&[&bytes[..1], &[2], &bytes[2..]].concat()).is_err(), "another version");
        assert!(Word::parse(&[&bytes[..2], &[2], &bytes[3..]].concat()).is_err(), "another kind");
    }
}
