use proptest::prelude::*;

use super::*;
use crate::time::Millis;

/// What is sealed, and the bytes.
pub(super) struct Done {
    pub(super) attachment: Attachment,
    pub(super) bytes: Vec<u8>,
}

fn tick(entropy: u8) -> Tick {
    Tick { now: Millis(1), entropy: [entropy; 32] }
}

fn file(size: usize) -> Vec<u8> {
    (0..size).map(|at| u8::try_from(at % 251).unwrap()).collect()
}

fn sealed(entropy: u8, file: &[u8]) -> Done {
    let (mut sealer, head) = Sealer::begin(&tick(entropy), file.len() as u64).unwrap();
    let (mut bytes, mut rest) = (head.to_vec(), file);
    while let Some(want) = sealer.wants() {
        let (piece, after) = rest.split_at(want);
        let mut piece = piece.to_vec();
        sealer.chunk(&mut piece).unwrap();
        bytes.extend(piece);
        rest = after;
    }
    Done { attachment: sealer.finish().unwrap(), bytes }
}

fn opened(attachment: &Attachment, bytes: &[u8]) -> Result<Vec<u8>, AttachmentFault> {
    let opener = Opener::begin(attachment, bytes)?;
    let mut file = Vec::new();
    for index in 0..attachment.chunks() {
        let place = attachment.place(index).unwrap();
        let end = bytes.len().min(place.end as usize);
        let mut chunk = bytes.get(place.start as usize..end).unwrap_or_default().to_vec();
        opener.chunk(index, &mut chunk)?;
        file.extend(chunk);
    }
    Ok(file)
}

/// Who hashes the sealed bytes elsewhere gets the same file, and none that lacks a piece or has another length. [B-1] [B-3]
#[test]
fn a_file_that_is_hashed_elsewhere_is_the_same_file() {
    let file = file(limits::ATTACHMENT_CHUNK_BYTES + 1);
    let Done { attachment, bytes } = sealed(7, &file);
    let begin = || Sealer::begin(&tick(7), file.len() as u64).unwrap();
    let ((mut sealer, head), mut said) = (begin(), Vec::new());
    said.extend(head);
    for piece in file.chunks(limits::ATTACHMENT_CHUNK_BYTES) {
        let mut piece = piece.to_vec();
        sealer.unhashed(&mut piece).unwrap();
        said.extend(piece);
    }
    assert_eq!(said, bytes);
    assert_eq!(sealer.named(attachment.blob()), Ok(attachment.clone()));
    assert!(begin().0.named(attachment.blob()).is_err(), "its pieces are missing");
    let (mut sealer, _) = Sealer::begin(&tick(7), 0).unwrap();
    sealer.unhashed(&mut Vec::new()).unwrap();
    assert!(sealer.named(attachment.blob()).is_err(), "it isn't so long");
}

/// [B-1] [B-3]
#[test]
fn files_of_all_lengths_around_a_piece_come_back_and_no_two_are_as_long() {
    let piece = limits::ATTACHMENT_CHUNK_BYTES;
    let mut before = 0;
    for size in [0, 1, 15, 16, 17, piece - 1, piece, piece + 1, piece + 16, 2 * piece - 1, 2 * piece, 2 * piece + 1] {
        let Done { attachment, bytes } = sealed(7, &file(size));
        assert_eq!(attachment.blob(), BlobRef { sha256: crate::store::sha256(&[&bytes]), len: bytes.len() as u64 });
        assert_eq!((attachment.size(), attachment.chunks()), (size as u64, size.div_ceil(piece).max(1) as u64));
        assert!(bytes.len() > before, "{size}: no longer than the one before");
        assert_eq!(opened(&attachment, &bytes), Ok(file(size)), "{size}");
        before = bytes.len();
    }
}

/// [B-3]
#[test]
fn a_length_that_no_file_has_is_refused() {
    let chunk = PIECE + TAG;
    for len in [0, 31, 32, 47, HEAD + chunk + 1, HEAD + chunk + TAG, HEAD + 5 * chunk + 16] {
        assert_eq!(Shape::of_sealed(len), Err(AttachmentFault::Length(len)));
    }
    for len in [48, 49, HEAD + chunk, HEAD + chunk + 17] {
        assert_eq!(Shape::of_sealed(len).map(Shape::len), Ok(len));
    }
    let max = limits::ATTACHMENT_BYTES;
    assert!(Shape::of_sealed(max).is_ok_and(|shape| Shape::of_file(shape.size) == Ok(shape)), "the greatest is one");
    for got in [max + 1, 1_000 * max, u64::MAX] {
        assert_eq!(Shape::of_sealed(got), Err(AttachmentFault::TooBig { got, max }));
        assert!(matches!(Shape::of_file(got), Err(AttachmentFault::TooBig { .. })));
    }
}

/// [B-2]
#[test]
fn a_wrong_key_is_told_before_a_byte_is_given_out() {
    let (ours, theirs) = (sealed(1, &file(100)), sealed(2, &file(100)));
    assert_eq!(Opener::begin(&theirs.attachment, &ours.bytes).err(), Some(AttachmentFault::Key));
    let mut nonce = ours.attachment.clone();
    nonce.nonce[0] ^= 1;
    assert_eq!(Opener::begin(&nonce, &ours.bytes).err(), Some(AttachmentFault::Key));
    let mut bytes = ours.bytes;
    bytes[31] ^= 1;
    assert_eq!(Opener::begin(&ours.attachment, &bytes).err(), Some(AttachmentFault::Key));
    let cut = Opener::begin(&ours.attachment, &bytes[..31]).err();
    assert_eq!(cut, Some(AttachmentFault::Cut { index: 0, got: 31, want: 32 }));
}

/// [B-1]
#[test]
fn a_chunk_that_was_moved_left_out_doubled_or_cut_does_not_open() {
    let piece = limits::ATTACHMENT_CHUNK_BYTES;
    let Done { attachment, bytes } = sealed(3, &file(3 * piece));
    let opener = Opener::begin(&attachment, &bytes).unwrap();
    let chunk = |index: u64| {
        let place = attachment.place(index).unwrap();
        bytes[place.start as usize..place.end as usize].to_vec()
    };
    for (at, of) in [(0, 1), (1, 0), (1, 2), (2, 1), (2, 0)] {
        let mut moved = chunk(of);
        assert_eq!(opener.chunk(at, &mut moved), Err(AttachmentFault::Changed(at)), "{of} at {at}");
        assert!(moved.is_empty(), "something is given out");
    }
    // A file that ends earlier: its last chunk isn't the last one of any file.
    let shorter = Shape::of_file(2 * PIECE).unwrap();
    let cut = Attachment { shape: shorter, ..attachment.clone() };
    let opener = Opener::begin(&cut, &bytes).unwrap();
    assert!(opener.chunk(0, &mut chunk(0)).is_ok());
    assert_eq!(opener.chunk(1, &mut chunk(1)), Err(AttachmentFault::Changed(1)));
    for len in [0, 15, piece, piece + 15, piece + 17] {
        let mut bytes = chunk(0);
        bytes.resize(len, 0);
        let fault = AttachmentFault::Cut { index: 0, got: len as u64, want: PIECE + TAG };
        assert_eq!(opener.chunk(0, &mut bytes), Err(fault));
    }
    for index in [2, 3, u64::MAX] {
        assert!(matches!(opener.chunk(index, &mut chunk(0)), Err(AttachmentFault::Cut { want: 0, .. })));
        assert_eq!(cut.place(index), None);
    }
}

/// [B-1]
#[test]
fn a_sealer_takes_the_file_that_it_was_begun_with_and_no_other() {
    let (mut sealer, _) = Sealer::begin(&tick(1), 3).unwrap();
    for wrong in [0, 2, 4] {
        assert!(sealer.chunk(&mut file(wrong)).is_err(), "{wrong} bytes");
    }
    sealer.chunk(&mut file(3)).unwrap();
    assert!(sealer.chunk(&mut Vec::new()).is_err(), "behind its end");
    let (sealer, _) = Sealer::begin(&tick(1), 0).unwrap();
    assert_eq!(sealer.wants(), Some(0));
    assert!(sealer.finish().is_err(), "an empty file has a chunk too");
}

/// [B-1]
#[test]
fn each_file_has_a_key_of_its_own() {
    let (one, two) = (sealed(1, b"same"), sealed(2, b"same"));
    assert_ne!(one.attachment.key, two.attachment.key);
    assert_ne!(one.attachment.nonce, two.attachment.nonce);
    assert_ne!(one.attachment.blob(), two.attachment.blob(), "two seals of one file can't be told to be the same");
}

/// [B-4]
#[test]
fn what_a_content_says_of_an_attachment_is_read_as_it_was_made_and_in_no_other_form() {
    let made = sealed(5, b"a file").attachment;
    let name = ClaimedName::parse("a.txt").unwrap();
    let external = made.to_external(Media::parse("text/plain").unwrap(), name).unwrap();
    assert_eq!(external.url.as_str(), format!("postline:f/{}", made.blob().sha256));
    assert_eq!(Attachment::read(&external), Ok(made.clone()));
    let other = |change: &dyn Fn(&mut External)| {
        let mut external = external.clone();
        change(&mut external);
        Attachment::read(&external).err()
    };
    let seal = |aead, key: &[u8], aad: &[u8]| Some(Sealed::new(aead, key, &[0; 12], aad).unwrap());
    let shape = |what| Some(AttachmentFault::Shape(what));
    assert_eq!(other(&|e| e.hash = None), shape("a SHA-256"));
    assert_eq!(other(&|e| e.hash = Some(Hash([1; 32]).into())), shape("a file's URI of its hash"));
    assert_eq!(other(&|e| e.url = Uri::parse("https://x.example/").unwrap()), shape("a file's URI of its hash"));
    assert_eq!(other(&|e| e.sealed = None), shape("something sealed"));
    assert_eq!(other(&|e| e.sealed = seal(1, &[1; 16], FORM)), shape("the seal of an attachment"));
    assert_eq!(other(&|e| e.sealed = seal(29, &[1; 32], b"")), shape("the seal of an attachment"));
    assert_eq!(other(&|e| e.size = 0), Some(AttachmentFault::Length(0)));
    assert_eq!(other(&|e| e.size = 47), Some(AttachmentFault::Length(47)));
    let max = limits::ATTACHMENT_BYTES;
    assert_eq!(other(&|e| e.size = u64::MAX), Some(AttachmentFault::TooBig { got: u64::MAX, max }));
    let upper = external.url.as_str().to_ascii_uppercase().replace("POSTLINE:F", "postline:f");
    assert_eq!(other(&|e| e.url = Uri::parse(&upper).unwrap()), shape("a file's URI of its hash"));
}

/// [K-5] [M-9]
#[test]
fn t_089_an_attachment_prints_no_key() {
    let (sealer, head) = Sealer::under(Secret::new([7; 32]), [8; 12], 0).unwrap();
    let printed = format!("{sealer:?}");
    assert_eq!(printed, "Sealer { key: Secret(..), next: 0 of 1 }");
    let made = sealed(5, b"").attachment;
    assert!(format!("{made:?}").contains("key: Secret(..)"));
    let mut same = made;
    same.key = Secret::new([7; 32]);
    same.nonce = [8; 12];
    assert_eq!(format!("{:?}", Opener::begin(&same, &head).unwrap()), "Opener { key: Secret(..), chunks: 1 }");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// [B-1]
    #[test]
    fn a_changed_bit_anywhere_is_told(size in 0_usize..200, at in any::<prop::sample::Index>(), bit in 0_u8..8) {
        let Done { attachment, mut bytes } = sealed(9, &file(size));
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let want = if at < 32 { AttachmentFault::Key } else { AttachmentFault::Changed(0) };
        prop_assert_eq!(opened(&attachment, &bytes), Err(want));
    }
}
