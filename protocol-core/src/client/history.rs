//! What a person's older device has opened, it may tell a newer one: sealed, in the conversation that it is from.
//!
//! Everybody else in the conversation leaves it alone: it isn't for them, and they were there. What is told counts as what
//! the person's own device says, and is shown where the newer device has nothing of its own.

use super::Client;
use super::inner::{Told, What as Said};
use super::io::{Declined, Event, Output};
use super::own::Stage;
use super::said::{By, Role};
use super::timers::What;
use crate::id::{Address, ConversationId, DeviceKey};
use crate::limits;
use crate::seal::lists::Chain;
use crate::step::{Outbox, Tick};
use crate::wire::content::Content;
use crate::wire::control::Control;

/// What is being told of one conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sharing {
    to: DeviceKey,
    /// The entry that is next.
    next: u64,
    /// The last one.
    last: u64,
}

impl Sharing {
    /// The entries that the next message tells of.
    pub(super) fn batch(&self) -> impl Iterator<Item = u64> + use<> {
        self.next..=self.last.min(self.next.saturating_add(limits::HISTORY_EVENTS as u64).saturating_sub(1))
    }
}

impl Client {
    /// Tells a newer device of the person what this one has opened.
    pub(super) fn share_history(&mut self, tick: &Tick, to: DeviceKey, out: &mut Outbox<Output>) {
        if self.own.stage != Stage::Enrolled {
            return Self::decline(Declined::NotEnrolled, out);
        }
        let listed = self.own.chain.as_ref().is_some_and(|chain| chain.device(to).is_some());
        if !listed || Some(to) == self.dk() {
            return Self::decline(Declined::NoDevice(to), out);
        }
        let joined = self.talks.values().filter(|talk| talk.joined.is_some());
        for (id, last) in joined.map(|talk| (talk.id, talk.seq)).collect::<Vec<_>>() {
            let next = last.saturating_sub(limits::HISTORY).saturating_add(1);
            self.live(id).sharing = Some(Sharing { to, next, last });
            self.timers.by(What::Talk(id), tick.now);
        }
    }

    /// Tells the next of it.
    pub(super) fn share(&mut self, tick: &Tick, id: ConversationId, out: &mut Outbox<Output>) {
        let Some(sharing) = self.live(id).sharing else { return };
        if !self.online() {
            return;
        }
        if sharing.batch().any(|seq| !self.said.contains_key(&(id, seq))) {
            return self.timers.by(What::Talk(id), tick.now);
        }
        let (mut told, mut bytes, mut next) = (Vec::new(), 0, sharing.next);
        for seq in sharing.batch() {
            if let Some(one) = self.told(id, seq) {
                bytes += one.content.len() + limits::HISTORY_EVENT_BYTES;
                if bytes > limits::MESSAGE_BYTES - limits::HISTORY_EVENT_BYTES && !told.is_empty() {
                    break;
                }
                told.push(one);
            }
            next = seq.saturating_add(1);
        }
        let done = next > sharing.last;
        self.live(id).sharing = (!done).then_some(Sharing { next, ..sharing });
        if !told.is_empty() {
            self.control(tick, id, Said::History { of: id, to: sharing.to, told }, out);
        }
        if !done {
            self.timers.by(What::Talk(id), tick.now);
        }
    }

    fn told(&self, id: ConversationId, seq: u64) -> Option<Told> {
        let kept = self.said.get(&(id, seq))?.as_ref().filter(|kept| !self.is_ending(id, seq, kept))?;
        let (author, dk) = match &kept.by {
            Some(by) => (by.author.clone(), by.dk),
            None => (self.ours.address.clone(), self.dk()?),
        };
        let content = match kept.role {
            Role::Act(control) => control.to_bytes(),
            Role::Message | Role::Edit(_) | Role::Aside => kept.content.as_ref()?.bytes().to_vec(),
        };
        // One that fills a message by itself stays where it is.
        let fits = content.len() + 2 * limits::HISTORY_EVENT_BYTES <= limits::MESSAGE_BYTES;
        fits.then_some(Told { seq, author, dk, at: kept.at, content, about: kept.about })
    }

    /// An older device of the person tells what it had opened before this one came.
    pub(super) fn history(&mut self, tick: &Tick, id: ConversationId, told: Vec<Told>, out: &mut Outbox<Output>) {
        let Some(joined) = self.talks.get(&id).and_then(|talk| talk.joined) else { return };
        let mut events = 0;
        for told in told {
            let known = matches!(self.said.get(&(id, told.seq)), Some(Some(_)));
            let identity = self.chain_of(&told.author).map(Chain::identity);
            let (false, true, Some(identity)) = (known, told.seq < joined, identity) else { continue };
            let Told { seq, author, dk, at, content, about } = told;
            let by = By { hosted: self.is_hosted(&author, dk), author, identity, dk };
            if let Ok(content) = Content::parse(&content) {
                self.keep_said(tick, id, seq, by, at, content, about, out);
            } else if let Ok(control) = Control::parse(&content) {
                self.keep_control(tick, (id, seq), Some(by), at, control, out);
            } else {
                continue;
            }
            events += 1;
        }
        Self::tell(Event::HistoryShared { conversation: id, events }, out);
    }

    fn is_hosted(&self, who: &Address, dk: DeviceKey) -> bool {
        let device = self.chain_of(who).and_then(|chain: &Chain| chain.device(dk));
        device.is_some_and(crate::wire::list::Device::hosted)
    }
}
