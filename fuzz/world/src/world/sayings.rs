//! What people do with what they have said, on devices; and that all who have heard the same see the same in the end, what is
//! pinned too.
//!
//! ```text
//!   chaos    edits, retracts, signs, answers, pins: of a message that its person knows the place of
//!   the end  each device that is left shows all it has ──▶ two that have the same entries show the same        I5
//!                                                      ──▶ words are their author's                            I6
//!                                                      ──▶ of what was taken back there is nothing on a disk   I7
//! ```

use std::collections::{BTreeMap, BTreeSet};

use postline_core::client::io::{Event, Policy, Saying, Screen, To, Words};
use postline_core::client::{Command, Input};
use postline_core::content::message::{Expiry, Topic};
use postline_core::content::part::{Body, Disposition, Part};
use postline_core::id::{Address, ContentId, ConversationId};
use postline_core::store::Key;

use super::World;
use crate::node::Broken;
use crate::sealed;

/// How many messages are shown at once: few, so that screens are many.
const SCREEN: usize = 5;
/// How long what makes a body one of its kind is.
const DRAWN: usize = 16;

/// What a person does with something that was said.
#[derive(Clone, Copy, Debug)]
pub enum Deal {
    /// Finds other words for it.
    Edits,
    /// Takes it back.
    TakesBack,
    /// Shows a sign at it.
    Signs,
    /// Shows it no more.
    Unsigns,
    /// Answers it.
    Answers,
    /// Pins it.
    Pins,
    /// Pins it no more.
    Unpins,
    /// Says that it is to be removed, which nobody may.
    Removes,
    /// Sets how reading is told in its conversation.
    Agrees(Policy),
}

/// A message as a device shows it: its body, or `None` where it is gone; and the signs at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    author: Address,
    body: Option<Vec<u8>>,
    signs: BTreeSet<(Option<Address>, String)>,
    pinned: bool,
    removed: bool,
}

/// What a device shows of all its conversations.
pub(crate) type View = BTreeMap<(ConversationId, u64), Seen>;

/// What the world knows of words, by what was drawn for each.
#[derive(Debug, Default)]
pub(crate) struct Sayings {
    /// Whose they are.
    by: BTreeMap<Vec<u8>, Address>,
    /// Those of each message's first version.
    bodies: BTreeMap<ContentId, Vec<u8>>,
    /// Whether anybody wanted to take something back.
    pub(crate) taken_back: bool,
    /// When words are to be forgotten, those of edits too.
    pub(super) fading: BTreeMap<Vec<u8>, Expiry>,
    /// The same of messages, by name.
    pub(super) ends: BTreeMap<ContentId, Expiry>,
    /// What was shown at which place: what a copy has said, nobody else knows of.
    pub(super) shown: BTreeMap<(ConversationId, u64), ContentId>,
}

impl Sayings {
    /// Somebody finds words; for a new message, where it has a name.
    pub(crate) fn found(&mut self, body: &[u8], by: &Address, name: Option<ContentId>) {
        self.by.insert(drawn_of(body), by.clone());
        self.bodies.extend(name.map(|name| (name, drawn_of(body))));
    }

    /// The message whose first words these are.
    pub(super) fn named(&self, drawn: &[u8]) -> Option<ContentId> {
        self.bodies.iter().find(|(_, body)| body.as_slice() == drawn).map(|(name, _)| *name)
    }

    /// When the words that somebody found are to be forgotten.
    pub(super) fn fades(&mut self, body: &[u8], name: Option<ContentId>, expires: Option<Expiry>) {
        let Some(expires) = expires else { return };
        self.fading.insert(drawn_of(body), expires);
        self.ends.extend(name.map(|name| (name, expires)));
    }
}

fn drawn_of(body: &[u8]) -> Vec<u8> {
    body.iter().skip(sealed::MARK.len()).take(DRAWN).copied().collect()
}

impl World {
    /// A person deals with something that was said.
    pub(super) fn deals(&mut self, index: usize, nth: u64, deal: Deal) {
        let Some(device) = self.devices.get(index).filter(|device| device.is_current()) else { return };
        let author = device.address.clone();
        let own = matches!(deal, Deal::Edits | Deal::TakesBack) && !nth.is_multiple_of(8);
        let known = self.sealed.said.values().filter(|told| !own || told.author == author);
        let places: BTreeSet<(ConversationId, u64)> = known.filter_map(|told| told.place).collect();
        let Some(at) = nth.checked_rem(places.len() as u64).and_then(|at| usize::try_from(at).ok()) else { return };
        let Some((conversation, message)) = places.into_iter().nth(at) else { return };
        let done = match deal {
            Deal::Pins => Some(Command::Pin { conversation, message, pinned: true }),
            Deal::Unpins => Some(Command::Pin { conversation, message, pinned: false }),
            Deal::Removes => Some(Command::Remove { conversation, message }),
            Deal::Agrees(policy) => Some(Command::SetPolicy { conversation, policy }),
            Deal::Edits | Deal::TakesBack | Deal::Signs | Deal::Unsigns | Deal::Answers => None,
        };
        if let Some(done) = done {
            return self.step_device(index, Input::Command(done));
        }
        let mut body = sealed::MARK.to_vec();
        body.extend(self.rng.bytes::<DRAWN>());
        let Ok(part) = Part::single(Disposition::RENDER, "application/octet-stream", body.clone()) else { return };
        let sign = if nth.is_multiple_of(3) { "+" } else { "-" }.to_owned();
        let what = match deal {
            Deal::Edits => Saying::Edit { message, body: part },
            Deal::TakesBack => {
                self.sayings.taken_back = true;
                Saying::Retract { message }
            }
            Deal::Signs => Saying::React { message, sign },
            Deal::Unsigns => Saying::Withdraw { message, sign },
            Deal::Pins | Deal::Unpins | Deal::Removes | Deal::Agrees(_) => return,
            Deal::Answers => {
                Saying::Message { body: part, answers: Some(message), topic: Topic::default(), expires: None }
            }
        };
        if matches!(deal, Deal::Edits | Deal::Answers) {
            self.sayings.found(&body, &author, None);
        }
        if matches!(deal, Deal::Edits) {
            // An edit ends with its message.
            self.sayings.fades(&body, None, self.ending_of((conversation, message)));
        }
        let say = Command::Say { to: To::Conversation(conversation), salt: None, what };
        self.step_device(index, Input::Command(say));
    }

    /// Whose words these are, that were found for an answer: nobody can know its name before it is said.
    pub(super) fn answered_by(&self, body: &[u8]) -> Option<&Address> {
        self.sayings.by.get(&drawn_of(body))
    }

    /// What each device shows that people still have, once all has come to its end.
    pub(crate) fn looks(&mut self) -> BTreeMap<usize, View> {
        let current: Vec<usize> = self.current_devices().into_keys().collect();
        current.into_iter().map(|index| (index, self.view_of(index))).collect()
    }

    fn view_of(&mut self, index: usize) -> View {
        let mut view = View::new();
        let client = self.devices.get(index).and_then(|device| device.client.as_ref());
        let talks: Vec<ConversationId> =
            client.into_iter().flat_map(|client| client.conversations()).map(|talk| talk.id).collect();
        for conversation in talks {
            let mut before = None;
            while let Some(screen) = self.screen_of(index, conversation, before) {
                before = screen.messages.last().map(|shown| shown.seq);
                for shown in screen.messages {
                    let removed = matches!(shown.now, Words::Removed { .. });
                    let body = match shown.now {
                        Words::Are { content, .. } => match &content.fields().body.body {
                            Body::Single { bytes, .. } => Some(bytes.clone()),
                            _ => Some(Vec::new()),
                        },
                        Words::Retracted | Words::Removed { .. } | Words::Expired => None,
                    };
                    let (signs, pinned) = (shown.signs.into_iter().collect(), shown.pinned);
                    let seen = Seen { author: shown.author.address, body, signs, pinned, removed };
                    view.insert((conversation, shown.seq), seen);
                }
                if !screen.earlier {
                    break;
                }
            }
        }
        view
    }

    /// A device is asked beside everything else: whatever else its machine wants done meanwhile is left.
    fn screen_of(&mut self, index: usize, conversation: ConversationId, before: Option<u64>) -> Option<Screen> {
        let now = self.now;
        let device = self.devices.get_mut(index)?;
        let show = Command::Show { conversation, before, count: SCREEN };
        device.step(now, Input::Command(show)).ok()?;
        // Nothing commits meanwhile: earlier screens are among what was told.
        device
            .told()
            .into_iter()
            .rev()
            .find_map(|event| if let Event::Screen(screen) = event { Some(screen) } else { None })
    }

    /// The entries of which a device has kept something.
    fn entries_of(&self, index: usize) -> BTreeSet<(ConversationId, u64)> {
        let records = self.devices.get(index).into_iter().flat_map(|device| device.disk.records());
        let entry = |key: &Key| if let Key::Said(talk, seq) = key { Some((*talk, *seq)) } else { None };
        records.filter_map(|record| entry(&record.key)).collect()
    }

    /// What must hold of what devices show in the end.
    ///
    /// # Errors
    /// I5 to I7, as above.
    pub(crate) fn check_views(&self, views: &BTreeMap<usize, View>) -> Result<(), Broken> {
        let entries: BTreeMap<usize, _> = views.keys().map(|index| (*index, self.entries_of(*index))).collect();
        for (one, ones) in views {
            for ((talk, seq), seen) in ones {
                if seen.removed {
                    return Err(("I6", format!("device {one} shows {seq} as removed, and nobody may do that")));
                }
                let by = seen.body.as_ref().and_then(|body| self.sayings.by.get(&drawn_of(body)));
                if by.is_some_and(|by| *by != seen.author) {
                    return Err((
                        "I6",
                        format!("device {one} shows words of {by:?} as said by {} at {seq}", seen.author),
                    ));
                }
                for (other, others) in views.range(one + 1..) {
                    let behind = |entries: &BTreeSet<_>| {
                        entries.range((*talk, *seq)..=(*talk, u64::MAX)).copied().collect::<Vec<_>>()
                    };
                    let alike = entries.get(one).map(behind) == entries.get(other).map(behind);
                    // Each forgets it so long after they have heard that it was read.
                    let alike = alike && !matches!(self.ending_of((*talk, *seq)), Some(Expiry::AfterReading(_)));
                    if let Some(theirs) = others.get(&(*talk, *seq)).filter(|theirs| alike && *theirs != seen) {
                        return Err((
                            "I5",
                            format!("devices {one} and {other} show {seq} otherwise: {seen:?}, {theirs:?}"),
                        ));
                    }
                }
            }
        }
        self.nothing_is_left(views)?;
        self.nothing_outlives_its_time()
    }

    /// Of what is shown as taken back, no words are on the disk of who shows it so.
    fn nothing_is_left(&self, views: &BTreeMap<usize, View>) -> Result<(), Broken> {
        for (index, view) in views {
            let gone: BTreeSet<(ConversationId, u64)> =
                view.iter().filter(|(_, seen)| seen.body.is_none()).map(|(place, _)| *place).collect();
            for told in
                self.sealed.said.iter().filter(|(_, told)| told.place.is_some_and(|place| gone.contains(&place)))
            {
                let Some(body) = self.sayings.bodies.get(told.0) else { continue };
                let holds = |bytes: &[u8]| bytes.windows(body.len()).any(|window| window == body.as_slice());
                if self.devices.get(*index).is_some_and(|device| {
                    device.disk.records().any(|record| record.value.as_deref().is_some_and(holds))
                }) {
                    return Err((
                        "I7",
                        format!("device {index} keeps words of what was taken back: {:?}", told.1.place),
                    ));
                }
            }
        }
        Ok(())
    }
}
