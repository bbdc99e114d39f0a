//! Bodies for files: what is fetched for an attachment, and what a stranger calls it.

use postline_core::content::file_name::SafeName;
use postline_core::content::text::{ClaimedName, Media};
use postline_core::limits;
use postline_core::seal::attachment::{AttachmentFault, Opener, Sealer};
use postline_core::seal::{Attachment, Secret};
use postline_core::wire::content::Content;

/// What is sealed opens as it was, and in no other way: not where a byte was changed, not cut, longer, at another place, or
/// under another key. What a content says of an attachment is taken in its one form, and what it is called is harmless.
///
/// The first two bytes say where something is changed; the rest is a file, what was fetched for one, a content, and a name.
///
/// # Panics
/// Where a promise is broken.
pub fn attachment_survives(bytes: &[u8]) {
    let Some((&[at, by], rest)) = bytes.split_first_chunk::<2>() else { return };
    seal_survives(rest, usize::from(at), by);
    fetched_survives(rest);
    if let Ok(content) = Content::parse(rest) {
        for part in content.fields().body.walk() {
            said_survives(part);
        }
    }
    name_survives(&String::from_utf8_lossy(rest), u32::from(at) * u32::from(by));
}

fn sealed(key: u8, file: &[u8]) -> Option<(Vec<u8>, Attachment)> {
    let file = file.get(..limits::ATTACHMENT_CHUNK_BYTES).unwrap_or(file);
    let (mut sealer, head) = Sealer::under(Secret::new([key; 32]), [key; 12], file.len() as u64).ok()?;
    let mut chunk = file.to_vec();
    sealer.chunk(&mut chunk).ok()?;
    Some(([&head[..], &chunk].concat(), sealer.finish().ok()?))
}

fn opened(attachment: &Attachment, bytes: &[u8]) -> Result<Vec<u8>, AttachmentFault> {
    let opener = Opener::begin(attachment, bytes)?;
    let mut chunk = bytes.get(32..).unwrap_or_default().to_vec();
    let opened = opener.chunk(0, &mut chunk);
    assert!(opened.is_ok() || chunk.is_empty(), "something is given out");
    opened.map(|()| chunk)
}

fn seal_survives(file: &[u8], at: usize, by: u8) {
    let made = sealed(1, file);
    assert!(made.is_some(), "a file that can't be sealed");
    let Some((mut bytes, attachment)) = made else { return };
    let whole = opened(&attachment, &bytes);
    assert_eq!(whole.as_deref().map(<[u8]>::len), Ok(attachment.size() as usize), "it doesn't open");
    assert!(whole.is_ok_and(|whole| file.starts_with(&whole)), "it opens to something else");
    assert_eq!(attachment.blob().len, bytes.len() as u64);
    assert_eq!(opened(&attachment, bytes.get(..at % bytes.len()).unwrap_or_default()).ok(), None, "cut, it opens");
    if let Some((_, other)) = sealed(2, file) {
        assert_eq!(opened(&other, &bytes), Err(AttachmentFault::Key), "it opens under two keys");
    }
    let place = at % bytes.len();
    if let Some(byte) = bytes.get_mut(place).filter(|_| by != 0) {
        *byte ^= by;
        assert!(opened(&attachment, &bytes).is_err(), "byte {place} changed, and it opens");
    }
}

/// What nobody sealed opens under no key of ours.
fn fetched_survives(bytes: &[u8]) {
    if let Some((genuine, attachment)) = sealed(3, &bytes.iter().skip(48).copied().collect::<Vec<_>>()) {
        assert!(genuine == bytes || opened(&attachment, bytes).is_err(), "what nobody sealed opens");
    }
}

fn said_survives(part: &postline_core::content::Part) {
    let postline_core::content::Body::External(external) = &part.body else { return };
    name_survives(external.name.as_str(), 2);
    if let Ok(read) = Attachment::read(external) {
        assert!(read.blob().len <= limits::ATTACHMENT_BYTES && read.size() < read.blob().len);
        let end = read.place(read.chunks() - 1).map(|place| place.end);
        assert_eq!((end, read.place(read.chunks())), (Some(read.blob().len), None), "its chunks are not all of it");
        let again = read.to_external(Media::default(), ClaimedName::default());
        assert_eq!(again.ok().as_ref().map(Attachment::read), Some(Ok(read)), "said in another way than read");
    }
}

fn name_survives(name: &str, number: u32) {
    let safe = SafeName::of(name);
    for safe in [safe.numbered(number), safe] {
        let text = safe.as_str();
        assert!(!text.is_empty() && text.len() <= limits::FILE_NAME_BYTES, "{} bytes", text.len());
        assert!(!text.contains(['/', '\\', ':', '%', '*', '?', '"', '<', '>', '|']) && text != "..", "{text:?}");
        assert!(!text.chars().any(char::is_control) && !text.starts_with(['.', '-', ' ']), "{text:?}");
        assert_eq!(SafeName::of(text), safe, "made harmless twice");
    }
}
