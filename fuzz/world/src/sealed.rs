//! What really happened in sealed conversations: who said what, which devices could read it, and who was told of what.
//!
//! ```text
//!   device writes ──▶ said ──▶ place (conversation, seq), its epoch ──▶ the roster of that epoch ──▶ who must show it, once
//! ```
//!
//! Each body begins with [`MARK`], which nothing else contains: it is searched wherever it must not be.

use std::collections::{BTreeMap, BTreeSet};

use postline_core::client::io::{Mark, Said};
use postline_core::id::{Address, ContentId, ConversationId, DeviceKey, Hash};
use postline_core::store::sha256;

use crate::node::Broken;

/// What every sealed body begins with.
pub const MARK: [u8; 12] = *b"\xf3\x9cin clear!\x07";

/// Whether these bytes have something of a sealed body in the clear.
#[must_use]
pub fn is_in(bytes: &[u8]) -> bool {
    let [first, ..] = MARK;
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| *byte == first) {
        rest = rest.get(at..).unwrap_or_default();
        if rest.starts_with(&MARK) {
            return true;
        }
        rest = rest.get(1..).unwrap_or_default();
    }
    false
}

/// What really happened.
#[derive(Debug, Default)]
pub struct Sealed {
    /// Everything that was said.
    pub said: BTreeMap<ContentId, Told>,
    /// How often each was shown on which device.
    shown: BTreeMap<(ContentId, usize), usize>,
    /// What each device has shown since its last commit: it may go down before the next, and then shows it again.
    early: BTreeMap<usize, Vec<Said>>,
    /// What a device has shown and forgotten: it must come again, the same.
    forgotten: BTreeMap<(ContentId, usize), Said>,
    /// In which epoch each entry of a log was sealed.
    epochs: BTreeMap<(ConversationId, u64), u64>,
    /// Who is in a conversation in an epoch, and by which tree.
    rosters: BTreeMap<(ConversationId, u64), (Hash, BTreeSet<DeviceKey>)>,
    /// Every key of a device that there ever was, and whose.
    pub devices: BTreeMap<DeviceKey, (usize, Address)>,
    /// The head that a hub signed of each place.
    heads: BTreeMap<(ConversationId, u64, u64), Hash>,
    /// Whether a node lies: it can have an author say a thing twice, under one name.
    pub lied_to: bool,
    /// Devices whose disk was put back, or copied: what they say and show, they may have said and shown before.
    pub copied: BTreeSet<usize>,
    /// Copies whose node went down: it forgot what it had relayed for one of them and not yet heard of again, so it can't
    /// tell the other ([U-9] says so).
    pub forgotten_by_node: BTreeSet<usize>,
    /// Every step of a device that sealed something.
    seals: Vec<Seals>,
    /// By what it posted, the step that sealed it.
    posts: BTreeMap<Hash, usize>,
    /// The steps of what came to each node and isn't durable there.
    coming: BTreeMap<usize, Vec<usize>>,
    /// Every key that something was sealed under, and the step that did.
    keys: BTreeMap<Vec<u8>, usize>,
}

/// A step of a device that sealed something.
#[derive(Debug)]
struct Seals {
    device: usize,
    /// Under which keys.
    keys: Vec<Vec<u8>>,
    /// Whether it was posted, and hasn't come to a node.
    waits: bool,
}

/// Something that was said, and what its author heard of it.
#[derive(Clone, Debug)]
pub struct Told {
    /// On which device.
    pub device: usize,
    /// The key that the device had then: two have one, where the one is the other's copy.
    dk: Option<DeviceKey>,
    /// By whom.
    pub author: Address,
    /// To whom.
    pub to: Address,
    /// Where it lies, as its author knows.
    pub place: Option<(ConversationId, u64)>,
    /// How far it got, as its author has heard since the device was started: marks aren't kept one by one.
    heard: Option<Mark>,
    /// How far it got, as its author has ever heard.
    pub mark: Option<Mark>,
    /// Devices that can't open it, as its author knows.
    pub unopened: BTreeSet<DeviceKey>,
}

impl Told {
    /// Who said it to whom.
    #[must_use]
    pub const fn pair(&self) -> (&Address, &Address) {
        (&self.author, &self.to)
    }
}

impl Sealed {
    /// A person says something.
    pub fn says(&mut self, id: ContentId, device: usize, dk: Option<DeviceKey>, author: &Address, to: &Address) {
        let (author, to) = (author.clone(), to.clone());
        let told = Told { device, dk, author, to, place: None, heard: None, mark: None, unopened: BTreeSet::new() };
        self.said.insert(id, told);
    }

    /// An entry of a log goes by.
    pub fn sequenced(&mut self, conversation: ConversationId, seq: u64, epoch: u64) {
        self.epochs.entry((conversation, seq)).or_insert(epoch);
    }

    /// A device is in a conversation with others; or thinks so, where its node lies to it.
    ///
    /// # Errors
    /// I10 where another knows the same epoch otherwise, and I18 where a device is in it that nobody has.
    pub fn joined(
        &mut self,
        conversation: ConversationId,
        epoch: u64,
        tree: Hash,
        roster: BTreeSet<DeviceKey>,
        lied_to: bool,
    ) -> Result<(), Broken> {
        if let Some(ghost) = roster.iter().find(|dk| !self.devices.contains_key(*dk)) {
            return Err(("I18", format!("{ghost}, which nobody has, is in {conversation} in epoch {epoch}")));
        }
        if lied_to {
            return Ok(());
        }
        let known = self.rosters.entry((conversation, epoch)).or_insert_with(|| (tree, roster.clone()));
        if *known == (tree, roster) {
            Ok(())
        } else {
            Err(("I10", format!("two know {conversation} in epoch {epoch} in two ways")))
        }
    }

    /// A hub signs a head.
    ///
    /// # Errors
    /// I17 where it signed another for the same place.
    pub fn signs(&mut self, conversation: ConversationId, term: u64, seq: u64, hash: Hash) -> Result<(), Broken> {
        let known = *self.heads.entry((conversation, term, seq)).or_insert(hash);
        if known == hash {
            Ok(())
        } else {
            Err(("I17", format!("two heads are signed for entry {seq} of {conversation}")))
        }
    }

    /// A device sealed under these keys, and posts this. It counts at once. Of a copy it counts when it is durable on a node:
    /// that is where the two meet, and what is lost on the way, or with what the node had in memory, nobody has.
    ///
    /// # Errors
    /// I16 where one was used before.
    pub fn seals<'p>(
        &mut self,
        device: usize,
        keys: Vec<Vec<u8>>,
        posts: impl Iterator<Item = &'p [u8]>,
    ) -> Result<(), Broken> {
        if keys.is_empty() {
            return Ok(());
        }
        let step = self.seals.len();
        let before = self.posts.len();
        self.posts.extend(posts.map(|bytes| (sha256(&[bytes]), step)));
        let waits = self.posts.len() > before;
        self.seals.push(Seals { device, keys, waits });
        if waits && self.copied.contains(&device) { Ok(()) } else { self.counts(step) }
    }

    /// A post comes to a node.
    pub fn comes(&mut self, node: usize, bytes: &[u8]) {
        let step = self.posts.get(&sha256(&[bytes])).copied();
        self.coming.entry(node).or_default().extend(step);
    }

    /// What came to a node is durable there, or forgotten.
    ///
    /// # Errors
    /// I16 where another came under a key of its own.
    pub fn came(&mut self, node: usize, durable: bool) -> Result<(), Broken> {
        let steps = self.coming.remove(&node).filter(|_| durable).unwrap_or_default();
        steps.into_iter().try_for_each(|step| {
            if let Some(seals) = self.seals.get_mut(step) {
                seals.waits = false;
            }
            self.counts(step)
        })
    }

    fn counts(&mut self, step: usize) -> Result<(), Broken> {
        let Some(Seals { device, keys, .. }) = self.seals.get(step) else { return Ok(()) };
        if self.forgotten_by_node.contains(device) {
            return Ok(());
        }
        for key in keys {
            if *self.keys.entry(key.clone()).or_insert(step) != step {
                return Err(("I16", format!("device {device} seals twice under one key")));
            }
        }
        Ok(())
    }

    /// A device is put back, or copied: what it posted and no node has is as if it had never been.
    pub fn is_copied(&mut self, device: usize) {
        self.copied.insert(device);
        let seals = &self.seals;
        let waits = |step: &usize| seals.get(*step).is_some_and(|step| step.device == device && step.waits);
        self.keys.retain(|_, step| !waits(step));
    }

    /// A device shows something.
    ///
    /// # Errors
    /// I2 where it did before, or where what it had shown and forgotten comes otherwise, I18 where it names another author, I11 where it may not read it.
    pub fn shows(&mut self, device: usize, dk: Option<DeviceKey>, said: &Said) -> Result<(), Broken> {
        let Some(told) = self.said.get(&said.id) else {
            return Err(("I18", format!("device {device} shows what nobody said: {}", said.id)));
        };
        let author = self.devices.get(&said.author.dk).map(|(device, address)| (*device, address));
        let by = |(device, address): (usize, &Address)| {
            (device == told.device || told.dk == Some(said.author.dk)) && *address == told.author
        };
        if !author.is_some_and(by) || said.author.address != told.author {
            let what = format!("device {device} shows what device {} said as said by {:?}", told.device, said.author);
            return Err(("I18", what));
        }
        let times = self.shown.entry((said.id, device)).or_default();
        *times += 1;
        if *times > 1 && !self.lied_to && !self.copied.contains(&device) {
            return Err(("I2", format!("device {device} shows {} {times} times", said.id)));
        }
        if let Some(before) = self.forgotten.remove(&(said.id, device))
            && (before.conversation, before.seq, &before.content) != (said.conversation, said.seq, &said.content)
            && !self.lied_to
        {
            return Err(("I2", format!("device {device} showed {before:?} and now shows {said:?}")));
        }
        self.early.entry(device).or_default().push(said.clone());
        let roster = self.roster(said.conversation, said.seq);
        if let (Some(roster), Some(dk)) = (roster, dk)
            && !roster.contains(&dk)
            && !(said.late && self.came_later(said.conversation, said.seq, dk))
        {
            let what = format!("device {device} reads entry {} of {}, and is not in it", said.seq, said.conversation);
            return Err(("I11", what));
        }
        Ok(())
    }

    /// The author hears how far something got.
    ///
    /// # Errors
    /// I4 where it is less far than before, or not theirs.
    pub fn marked(
        &mut self,
        device: usize,
        id: ContentId,
        place: Option<(ConversationId, u64)>,
        mark: &Mark,
    ) -> Result<(), Broken> {
        let Some(told) = self.said.get_mut(&id).filter(|told| told.device == device) else {
            return Err(("I4", format!("device {device} hears {mark:?} of {id}, which it didn't write")));
        };
        if told.heard.as_ref().is_some_and(|before| before > mark) {
            return Err(("I4", format!("device {device} hears {mark:?} of {id} after {:?}", told.heard)));
        }
        told.heard = Some(mark.clone());
        told.mark = told.mark.take().max(Some(mark.clone()));
        told.place = place.or(told.place);
        Ok(())
    }

    /// A device has committed what it did, and told all of it.
    pub fn is_durable(&mut self, device: usize) {
        self.early.remove(&device);
    }

    /// A device was started again: what it showed and didn't store it has never shown.
    pub fn restarted(&mut self, device: usize) {
        for said in self.early.remove(&device).unwrap_or_default() {
            let key = (said.id, device);
            if let Some(times) = self.shown.get_mut(&key) {
                *times -= 1;
                if *times == 0 {
                    self.shown.remove(&key);
                }
            }
            self.forgotten.insert(key, said);
        }
        self.said.values_mut().filter(|told| told.device == device).for_each(|told| told.heard = None);
    }

    /// The author hears that a device can't open something.
    pub fn unopened(&mut self, id: ContentId, dk: DeviceKey) {
        if let Some(told) = self.said.get_mut(&id) {
            told.unopened.insert(dk);
        }
    }

    /// Whether a device has come in since an entry: what it couldn't open is said again to it.
    fn came_later(&self, conversation: ConversationId, seq: u64, dk: DeviceKey) -> bool {
        let Some(epoch) = self.epochs.get(&(conversation, seq)) else { return true };
        let later = self.rosters.range((conversation, *epoch)..=(conversation, u64::MAX));
        later.into_iter().any(|(_, (_, roster))| roster.contains(&dk))
    }

    fn roster(&self, conversation: ConversationId, seq: u64) -> Option<&BTreeSet<DeviceKey>> {
        let epoch = self.epochs.get(&(conversation, seq))?;
        self.rosters.get(&(conversation, *epoch)).map(|(_, roster)| roster)
    }

    /// I1 to I3: all that was durable on a device that is still its person's is shown once on every device that could
    /// read it, or its author knows better. `current` are the devices that people still have; what is said where there is
    /// no line any more waits in sight of its author, and no more is promised.
    ///
    /// # Errors
    /// What is missing.
    pub fn check(
        &self,
        current: &BTreeMap<usize, DeviceKey>,
        have_a_line: impl Fn(&Address, &Address) -> bool,
    ) -> Result<(), Broken> {
        for (id, told) in &self.said {
            let failed =
                matches!(told.mark, None | Some(Mark::Expired | Mark::Failed(_))) || self.copied.contains(&told.device);
            if failed || !current.contains_key(&told.device) || !have_a_line(&told.author, &told.to) {
                continue;
            }
            let (Some((conversation, seq)), Some(mark)) = (told.place, &told.mark) else {
                return Err(("I3", format!("{id} of device {} still waits: {:?}", told.device, told.mark)));
            };
            if *mark < Mark::Delivered {
                return Err(("I3", format!("{id} of device {} got no further than {mark:?}", told.device)));
            }
            let Some(roster) = self.roster(conversation, seq) else { continue };
            for (device, dk) in current.iter().filter(|(device, _)| **device != told.device) {
                let shown = self.shown.contains_key(&(*id, *device));
                let knows = shown || told.unopened.contains(dk) || self.copied.contains(device);
                if roster.contains(dk) && !knows {
                    let what = format!("{id}, entry {seq} of {conversation}, is not shown on device {device}");
                    return Err(("I1", what));
                }
            }
        }
        Ok(())
    }

    /// Whether a device has shown something.
    #[must_use]
    pub fn is_shown(&self, id: ContentId, device: usize) -> bool {
        self.shown.contains_key(&(id, device))
    }

    /// How often anything was shown.
    #[must_use]
    pub fn shown(&self) -> usize {
        self.shown.len()
    }
}
