//! What people do with their devices: they say and read things, lose the network, get a new phone, give up an old one.

use postline_core::client::io::{Saying, To};
use postline_core::client::{Client, Command, Input};
use postline_core::content::message::Fields;
use postline_core::content::part::{Disposition, Part};
use postline_core::content::uri::Uri;
use postline_core::id::{Address, Pair};
use postline_core::wire::content::Content;

use super::World;
use super::sayings::Deal;
use crate::device::Device;
use crate::node::Broken;
use crate::sealed;

/// What a person does with a device.
#[derive(Clone, Debug)]
pub enum Touch {
    /// Says something to somebody, with so much after its mark.
    Says(Address, usize),
    /// Sends somebody a file.
    Sends(Address),
    /// Deals with something that was said.
    Deals(Deal, u64),
    /// Agrees to see, and be seen by, somebody; or doesn't any more.
    Agrees(Address, bool),
    /// Lets others see that they write, and writes to somebody.
    Types(Address),
    /// Does something.
    Stirs,
    /// Has seen everything that is there.
    Reads,
    /// Chooses whether others hear what they read.
    Tells(bool),
    /// Goes where there is no network, or comes back.
    Reaches(bool),
    /// Runs out of battery.
    Crashes,
    /// Gets one more.
    Adds,
    /// Gives up another one.
    Revokes,
    /// Makes a backup, and puts it away.
    BacksUp,
    /// Loses it, and gets another one, which comes in by the backup where there is one.
    Loses,
    /// Copies its disk.
    Copies,
    /// Puts the copy of its disk back.
    PutsBack,
    /// Runs a copy of its disk on another machine, beside it.
    Clones,
}

impl World {
    pub(super) fn touch(&mut self, who: &Address, nth: u64, touch: Touch) {
        let theirs = |device: &(usize, &Device)| device.1.address == *who;
        let all: Vec<usize> = self.devices.iter().enumerate().filter(theirs).map(|(index, _)| index).collect();
        let of = |all: &[usize]| {
            let nth = usize::try_from(nth.checked_rem(all.len() as u64)?).ok()?;
            all.get(nth).copied()
        };
        let Some(index) = of(&all) else { return };
        match touch {
            Touch::Says(to, len) => self.says_sealed(index, &to, len),
            Touch::Sends(theirs) => self.sends_file(index, &theirs),
            Touch::Deals(deal, nth) => self.deals(index, nth, deal),
            Touch::Agrees(with, agrees) => self.agrees(index, with, agrees),
            Touch::Types(to) => self.types(index, &to),
            Touch::Stirs => self.step_device(index, Input::Command(Command::Active)),
            Touch::Reads => self.reads_sealed(index),
            Touch::Tells(tell) => {
                self.step_device(index, Input::Command(Command::TellRead { conversation: None, tell }));
            }
            Touch::Reaches(reachable) => self.reaches(index, reachable),
            Touch::Crashes => self.crash_device(index),
            Touch::Adds => self.add_device(who),
            Touch::Revokes => self.revokes(who, index),
            Touch::BacksUp | Touch::Loses | Touch::Copies | Touch::PutsBack | Touch::Clones => {
                self.wears(index, &touch)
            }
        }
    }

    pub(super) fn says_sealed(&mut self, index: usize, to: &Address, len: usize) {
        let salt = self.rng.bytes();
        let mut body = sealed::MARK.to_vec();
        body.extend(self.rng.bytes::<16>());
        body.resize(body.len() + len, b'.');
        let Some(device) = self.devices.get_mut(index).filter(|device| device.is_current()) else { return };
        let Ok(part) = Part::single(Disposition::RENDER, "application/octet-stream", body.clone()) else { return };
        let client = device.client.as_ref();
        let room = client.and_then(|client| Some((client.identity()?, client.direct(to)?)));
        if let (Some((identity, room)), Ok(content)) = (room, Content::new(Fields::new(salt, part.clone()))) {
            let (dk, author) = (client.and_then(Client::dk), device.address.clone());
            let id = content.id(&Uri::person(identity), &Uri::room(room));
            device.wrote.insert(id);
            self.sealed.says(id, index, dk, &author, to);
            self.sayings.found(&body, &author, Some(id));
        }
        let (to, what) = (To::Person(to.clone()), Saying::message(part));
        self.step_device(index, Input::Command(Command::Say { to, salt: Some(salt), what }));
    }

    /// A person says who may see whether they are here. What was agreed to once is known: nobody else is ever told.
    fn agrees(&mut self, index: usize, with: Address, agrees: bool) {
        let Some(ours) = self.devices.get(index).map(|device| device.address.clone()) else { return };
        if agrees {
            self.agreed.insert(Pair { ours, theirs: with.clone() });
        }
        self.step_device(index, Input::Command(Command::Agree { with: Some(with), agrees }));
        self.step_device(index, Input::Command(Command::Active));
    }

    fn types(&mut self, index: usize, to: &Address) {
        self.step_device(index, Input::Command(Command::AllowTyping(true)));
        let Some(client) = self.devices.get(index).and_then(|device| device.client.as_ref()) else { return };
        let talks: Vec<_> = client.conversations().filter(|talk| talk.with.contains(to)).map(|talk| talk.id).collect();
        for conversation in talks {
            self.step_device(index, Input::Command(Command::Typing { conversation }));
        }
    }

    pub(super) fn reads_sealed(&mut self, index: usize) {
        let Some(client) = self.devices.get(index).and_then(|device| device.client.as_ref()) else { return };
        let talks: Vec<_> = client.conversations().map(|talk| (talk.id, talk.seq)).collect();
        for (conversation, seq) in talks {
            self.step_device(index, Input::Command(Command::ReadUpTo { conversation, seq }));
        }
    }

    /// A person gives up a device, on another of theirs.
    fn revokes(&mut self, who: &Address, index: usize) {
        let by = |device: &(usize, &Device)| device.0 != index && device.1.address == *who && device.1.is_current();
        let Some(dk) = self.devices.get(index).and_then(|device| device.dk) else { return };
        if let Some((by, _)) = self.devices.iter().enumerate().find(by) {
            self.step_device(by, Input::Command(Command::Revoke(dk)));
        }
    }

    /// I14: nothing that a node keeps has a sealed body in the clear; and the search would find one.
    pub(crate) fn search(&self) -> Result<(), Broken> {
        for (index, node) in self.nodes.iter().enumerate() {
            let files = node.mailboxes.values().flat_map(|mailbox| mailbox.values());
            if node.disk.holds(sealed::is_in) || files.into_iter().any(|file| sealed::is_in(file)) {
                return Err(("I14", format!("node {index} keeps a sealed body in the clear")));
            }
        }
        // Devices that were put back may have lost all of them.
        let shown = self.sealed.shown() > 0 && self.sealed.copied.is_empty() && !self.sayings.taken_back;
        if shown && !self.devices.iter().any(|device| device.disk.holds(sealed::is_in)) {
            return Err(("I14", "the search finds no body on any device, where they are".to_owned()));
        }
        Ok(())
    }
}
