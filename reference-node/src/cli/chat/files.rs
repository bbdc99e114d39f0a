//! Files of a chat: those that were typed to be sent, those that were shown, and those that are wanted.
//!
//! ```text
//!   /send PATH ──sealed──▶ Keep ──Done──▶ said, as a message       shown ─┬─/fetch SEQ DIR──▶ Fetch ──Done──▶ saved
//!        --preview PICTURE ──────────────────┘                            └─/preview SEQ DIR──▶ saved
//! ```

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use postline_core::client::io::{Changed, Far, Now, Saying, To};
use postline_core::client::{Command, Event};
use postline_core::content::file_name::SafeName;
use postline_core::content::preview::Preview;
use postline_core::content::text::{ClaimedName, Media};
use postline_core::content::{ContentFault, Part};
use postline_core::id::{Address, Hash};
use postline_core::limits;
use postline_core::seal::Attachment;
use postline_core::wire::content::Content;
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use crate::clock::Clock;
use crate::device::{FileFault, Files, attached, save_preview};

/// How many messages with files are remembered: as many as are shown at a time, and more.
const REMEMBERED: usize = 1_024;
/// Of how many of them the previews are.
const PREVIEWS: usize = 64;
/// What a file is called whose kind nobody says.
const MEDIA: &str = "application/octet-stream";

/// The files of a chat.
pub(super) struct Sending {
    files: Files,
    peer: Address,
    /// Those that are to be said once their node has them.
    leaving: BTreeMap<Hash, Leaving>,
    /// Those that messages brought, by place, with who said them.
    shown: BTreeMap<u64, (Address, Vec<(Attachment, SafeName)>)>,
    /// The pictures that came along with the last of them, by place.
    previews: BTreeMap<u64, Vec<(SafeName, Vec<u8>)>>,
    /// Those that are to be saved once they are here.
    wanted: BTreeMap<Hash, (Attachment, SafeName, PathBuf)>,
}

/// A file on its way to one's own node.
struct Leaving {
    attachment: Attachment,
    name: ClaimedName,
    preview: Option<Vec<u8>>,
}

/// What follows from something about files.
pub(super) enum Next {
    Nothing,
    /// The device is to do this.
    Do(Command),
    /// This is to be shown.
    Show(Value),
}

impl Sending {
    pub(super) fn new(files: Files, peer: Address) -> Self {
        let (leaving, shown, wanted) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { files, peer, leaving, shown, previews: BTreeMap::new(), wanted }
    }

    /// Whether nothing is on its way.
    pub(super) fn is_idle(&self) -> bool {
        self.leaving.is_empty() && self.wanted.is_empty()
    }

    /// Seals a file, and has it leave.
    pub(super) async fn send(&mut self, path: PathBuf, preview: Option<PathBuf>) -> Next {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        // Too long a name is nobody's fault, and nothing that the file needs.
        let name = ClaimedName::parse(SafeName::of(&name).as_str()).unwrap_or_default();
        let files = self.files.clone();
        let work = move || {
            let preview = preview.map(|preview| picture(&preview)).transpose()?;
            Ok((files.seal(&path).map_err(|why| why.to_string())?, preview))
        };
        match spawn_blocking(work).await.map_err(|why| why.to_string()).flatten() {
            Ok((attachment, preview)) => {
                let file = attachment.blob();
                self.leaving.insert(file.sha256, Leaving { attachment, name, preview });
                Next::Do(Command::Keep { theirs: self.peer.clone(), file })
            }
            Err(why) => unsaid(&why),
        }
    }

    /// Writes the previews of a message's files.
    pub(super) async fn previews(&mut self, seq: u64, dir: &Path) -> Vec<Next> {
        let Some(previews) = self.previews.get(&seq).cloned() else {
            return vec![unsaid("want the number of a message with a preview that was shown here lately")];
        };
        let dir = dir.to_owned();
        let work = move || previews.iter().map(|(name, bytes)| save_preview(bytes, name, &dir)).collect::<Vec<_>>();
        match spawn_blocking(work).await {
            Ok(all) => all.into_iter().map(|one| one.map_or_else(|why| failed(&why), |path| saved(&path))).collect(),
            Err(why) => vec![unsaid(&why.to_string())],
        }
    }

    /// Wants the files of a message.
    pub(super) fn fetch(&mut self, seq: u64, dir: &Path) -> Vec<Next> {
        let Some((whose, files)) = self.shown.get(&seq) else {
            return vec![unsaid("want the number of a message with a file that was shown here")];
        };
        let each = files.iter().map(|(attachment, name)| {
            let file = attachment.blob();
            if let Err(why) = self.files.open(attachment) {
                tracing::warn!(%why, "a file is opened once it is here, and not before");
            }
            self.wanted.insert(file.sha256, (attachment.clone(), name.clone(), dir.to_owned()));
            Next::Do(Command::Fetch { whose: whose.clone(), file })
        });
        each.collect()
    }

    /// Remembers what a message brings.
    pub(super) fn brings(&mut self, seq: u64, author: &Address, content: &Content) {
        let (mut files, mut previews) = (Vec::new(), Vec::new());
        for (external, preview) in attached(content) {
            let Ok(attachment) = Attachment::read(external) else { continue };
            let name = SafeName::from(&external.name);
            if let Some(preview) = preview {
                let name = SafeName::of(&format!("{name}.preview.{}", preview.picture().ending()));
                previews.push((name, preview.bytes().to_vec()));
            }
            files.push((attachment, name));
        }
        self.forget(seq);
        if !files.is_empty() {
            self.shown.insert(seq, (author.clone(), files));
        }
        if !previews.is_empty() {
            self.previews.insert(seq, previews);
        }
        if self.shown.len() > REMEMBERED {
            self.shown.pop_first();
        }
        if self.previews.len() > PREVIEWS {
            self.previews.pop_first();
        }
    }

    /// A message is something else now: what is gone can't be fetched any more.
    pub(super) fn changed(&mut self, changed: &Changed) {
        match &changed.now {
            Now::Retracted | Now::Removed { .. } | Now::Expired => self.forget(changed.seq),
            Now::Edited { content, .. } => {
                if let Some((author, _)) = self.shown.get(&changed.seq) {
                    let author = author.clone();
                    self.brings(changed.seq, &author, content);
                }
            }
            Now::Answers { .. } => {}
        }
    }

    fn forget(&mut self, seq: u64) {
        self.shown.remove(&seq);
        self.previews.remove(&seq);
    }

    /// What follows from how far a file is.
    pub(super) async fn heard(&mut self, event: &Event) -> Next {
        let Event::File { file, leaves, far } = event else { return Next::Nothing };
        match (far, leaves) {
            (Far::Done, true) => {
                let Some(leaving) = self.leaving.remove(&file.sha256) else { return Next::Nothing };
                say(&self.peer, leaving)
            }
            (Far::Done, false) => {
                let Some((attachment, name, dir)) = self.wanted.remove(&file.sha256) else { return Next::Nothing };
                let files = self.files.clone();
                match spawn_blocking(move || files.save(&attachment, &name, &dir)).await {
                    Ok(Ok(path)) => saved(&path),
                    Ok(Err(why)) => failed(&why),
                    Err(why) => unsaid(&why.to_string()),
                }
            }
            (Far::Failed(_), _) => {
                self.leaving.remove(&file.sha256);
                self.wanted.remove(&file.sha256);
                Next::Nothing
            }
            (Far::Here(_) | Far::AtNode(_) | Far::Waits(_), _) => Next::Nothing,
        }
    }
}

/// Says a file that is with one's node.
fn say(peer: &Address, leaving: Leaving) -> Next {
    let Leaving { attachment, name, preview } = leaving;
    let until = Clock::start().now().0.plus(limits::FILE_MS).0 / 1_000;
    let made = Media::parse(MEDIA).and_then(|media| attachment.to_external(media, name));
    match made {
        Ok(mut external) => {
            external.expires = u32::try_from(until).unwrap_or_default();
            let file = Part::attachment(external);
            let preview = preview.as_deref().map(Preview::new).transpose();
            match preview.and_then(|preview| preview.map_or(Ok(file.clone()), |preview| file.with_preview(&preview))) {
                Ok(body) => {
                    let what = Saying::message(body);
                    Next::Do(Command::Say { to: To::Person(peer.clone()), salt: None, what })
                }
                Err(why) => unsaid(&why.to_string()),
            }
        }
        Err(why) => unsaid(&why.to_string()),
    }
}

/// Reads a picture that is to go along, where it may.
fn picture(path: &Path) -> Result<Vec<u8>, String> {
    let io = |why: io::Error| format!("{}: {why}", path.display());
    let mut bytes = Vec::new();
    // One byte more than may be tells that it is too long.
    File::open(path).map_err(io)?.take(limits::PREVIEW_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(io)?;
    match Preview::new(&bytes) {
        Ok(_) => Ok(bytes),
        Err(ContentFault::TooBig { max, .. }) => Err(format!("{}: a preview has at most {max} bytes", path.display())),
        Err(why) => Err(format!("{}: {why}", path.display())),
    }
}

fn saved(path: &Path) -> Next {
    Next::Show(json!({ "event": "saved", "path": path.to_string_lossy() }))
}

fn failed(why: &FileFault) -> Next {
    unsaid(&why.to_string())
}

fn unsaid(why: &str) -> Next {
    Next::Show(json!({ "event": "unsaid", "why": crate::shown::shown(why, 1_024) }))
}
