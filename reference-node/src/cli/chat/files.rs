//! Files of a chat: those that were typed to be sent, those that were shown, and those that are wanted.
//!
//! ```text
//!   /send PATH ──sealed──▶ Keep ──Done──▶ said, as a message       shown ──/fetch SEQ DIR──▶ Fetch ──Done──▶ saved
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use postline_core::client::io::{Changed, Far, Now, Said, Saying, To};
use postline_core::client::{Command, Event};
use postline_core::content::Part;
use postline_core::content::file_name::SafeName;
use postline_core::content::text::{ClaimedName, Media};
use postline_core::id::{Address, Hash};
use postline_core::limits;
use postline_core::seal::Attachment;
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use crate::clock::Clock;
use crate::device::{FileFault, Files, attached};

/// How many messages with files are remembered: as many as are shown at a time, and more.
const REMEMBERED: usize = 1_024;
/// What a file is called whose kind nobody says.
const MEDIA: &str = "application/octet-stream";

/// The files of a chat.
pub(super) struct Sending {
    files: Files,
    peer: Address,
    /// Those that are to be said once their node has them.
    leaving: BTreeMap<Hash, (Attachment, ClaimedName)>,
    /// Those that messages brought, by place, with who said them.
    shown: BTreeMap<u64, (Address, Vec<(Attachment, SafeName)>)>,
    /// Those that are to be saved once they are here.
    wanted: BTreeMap<Hash, (Attachment, SafeName, PathBuf)>,
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
        Self { files, peer, leaving, shown, wanted }
    }

    /// Whether nothing is on its way.
    pub(super) fn is_idle(&self) -> bool {
        self.leaving.is_empty() && self.wanted.is_empty()
    }

    /// Seals a file, and has it leave.
    pub(super) async fn send(&mut self, path: PathBuf) -> Next {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        // Too long a name is nobody's fault, and nothing that the file needs.
        let name = ClaimedName::parse(SafeName::of(&name).as_str()).unwrap_or_default();
        let files = self.files.clone();
        match spawn_blocking(move || files.seal(&path)).await {
            Ok(Ok(attachment)) => {
                let file = attachment.blob();
                self.leaving.insert(file.sha256, (attachment, name));
                Next::Do(Command::Keep { theirs: self.peer.clone(), file })
            }
            Ok(Err(why)) => failed(&why),
            Err(why) => unsaid(&why.to_string()),
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
    pub(super) fn said(&mut self, said: &Said) {
        let files: Vec<_> = attached(&said.content)
            .filter_map(|external| Some((Attachment::read(external).ok()?, SafeName::from(&external.name))))
            .collect();
        if !files.is_empty() {
            self.shown.insert(said.seq, (said.author.address.clone(), files));
        }
        if self.shown.len() > REMEMBERED {
            self.shown.pop_first();
        }
    }

    /// A message is something else now: what is taken back can't be fetched any more.
    pub(super) fn changed(&mut self, changed: &Changed) {
        if matches!(changed.now, Now::Retracted | Now::Removed { .. }) {
            self.shown.remove(&changed.seq);
        }
    }

    /// What follows from how far a file is.
    pub(super) async fn heard(&mut self, event: &Event) -> Next {
        let Event::File { file, leaves, far } = event else { return Next::Nothing };
        match (far, leaves) {
            (Far::Done, true) => {
                let Some((attachment, name)) = self.leaving.remove(&file.sha256) else { return Next::Nothing };
                say(&self.peer, &attachment, name)
            }
            (Far::Done, false) => {
                let Some((attachment, name, dir)) = self.wanted.remove(&file.sha256) else { return Next::Nothing };
                let files = self.files.clone();
                match spawn_blocking(move || files.save(&attachment, &name, &dir)).await {
                    Ok(Ok(path)) => Next::Show(json!({ "event": "saved", "path": path.to_string_lossy() })),
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
fn say(peer: &Address, attachment: &Attachment, name: ClaimedName) -> Next {
    let until = Clock::start().now().0.plus(limits::FILE_MS).0 / 1_000;
    let made = Media::parse(MEDIA).and_then(|media| attachment.to_external(media, name));
    match made {
        Ok(mut external) => {
            external.expires = u32::try_from(until).unwrap_or_default();
            let what = Saying::message(Part::attachment(external));
            Next::Do(Command::Say { to: To::Person(peer.clone()), salt: None, what })
        }
        Err(why) => unsaid(&why.to_string()),
    }
}

fn failed(why: &FileFault) -> Next {
    unsaid(&why.to_string())
}

fn unsaid(why: &str) -> Next {
    Next::Show(json!({ "event": "unsaid", "why": crate::shown::shown(why, 1_024) }))
}
