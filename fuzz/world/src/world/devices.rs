//! Devices in the world: their steps, what they want done, and what is held against what they say.
//!
//! ```text
//!   deed, frame, wake ──▶ step ──▶ commit ──▶ Dial, Send, Close ──▶ sessions
//!                          │    ╳ goes down      Event ──▶ the ledger of what was sealed
//!                          └─ early ─▶ Event ──────▲
//! ```

use std::collections::{BTreeMap, BTreeSet};

use postline_core::client::io::{CodeFor, Login, Mark, Said, Who};
use postline_core::client::{Command, Event, Input, Output, SessionIn};
use postline_core::content::part::Body;
use postline_core::fault::PeerFault;
use postline_core::id::{Address, DeviceKey, Pair};
use postline_core::time::{MINUTE, SECOND};
use postline_core::wire::frame::Frame;
use postline_core::wire::talk::{Password, Talk};

use super::{Happening, World};
use crate::device::{Device, UNHURRIED_MS};
use crate::node::Broken;
use crate::sealed;
use crate::weather::Fault;

/// What every mailbox of this world is opened with.
pub(super) const PASSWORD: &str = "correct horse";
/// How often a person tries to have a device let in.
const TRIES: u32 = 50;

impl World {
    /// One more device of somebody: it enrols at once.
    pub fn add_device(&mut self, address: &Address) {
        let Some(node) = self.home(address) else { return };
        let index = self.devices.len();
        match Device::new(index, address, node) {
            Ok(device) => self.devices.push(device),
            Err(broken) => return self.breaks(broken),
        }
        self.enrols(index);
    }

    /// A person says on a device who they are.
    pub(super) fn enrols(&mut self, index: usize) {
        let Some(device) = self.devices.get(index) else { return };
        let password = Password(PASSWORD.to_owned().into());
        let login = Some(Login { user: device.address.to_string(), password });
        self.on_device(0, index, Input::Command(Command::Enrol { login }));
    }

    /// Has a device step.
    pub(super) fn on_device(&mut self, delay: u64, device: usize, input: Input) {
        self.at(delay, Happening::Device(device, Box::new(input)));
    }

    pub(super) fn step_device(&mut self, index: usize, input: Input) {
        self.steps += 1;
        self.trace.note(self.now, format_args!("device {index} < {}", brief(&input)));
        let now = self.now;
        let Some(device) = self.devices.get_mut(index).filter(|device| device.client.is_some()) else { return };
        let commanded = matches!(input, Input::Command(_));
        let stepped = device.step(now, input);
        let early = device.early();
        self.holds(stepped);
        let told = early.len();
        early.into_iter().for_each(|effect| self.perform_on_device(index, effect));
        self.commit_device(index, told, commanded);
    }

    /// Commits what a step has made, behind what it has told early; later, where nothing waits for it.
    fn commit_device(&mut self, index: usize, told: usize, hurry: bool) {
        if self.weather.strikes(Fault::CrashBeforeCommit, &mut self.rng) {
            return self.crash_device(index);
        }
        let fails = self.weather.strikes(Fault::CommitFails, &mut self.rng);
        let Some(device) = self.devices.get_mut(index) else { return };
        if fails {
            device.disk.fails_after = Some(0);
        } else if !hurry && device.can_wait(self.now) {
            if device.behind_since() == Some(self.now) {
                self.on_device(UNHURRIED_MS, index, Input::Wake);
            }
            return;
        }
        match device.commit() {
            Ok(Some(effects)) => {
                let used = std::mem::take(&mut device.sealed);
                #[allow(clippy::wildcard_enum_match_arm, reason = "what a device wants done is many things")]
                let posts = effects.iter().filter_map(|effect| match effect {
                    Output::Send(Frame::Talk(Talk::Post(post))) => Some(post.bytes.as_slice()),
                    _ => None,
                });
                let held = self.sealed.seals(index, used, posts);
                self.holds(held);
                self.lists_only_rise(index);
                self.marks_hold(index);
                self.device_effects(index, told, effects);
            }
            Ok(None) => {
                self.trace.note(self.now, format_args!("device {index} commit failed"));
                self.sealed.restarted(index);
                self.device_lost_files(index);
                self.lose_session(index, true);
            }
            Err(broken) => self.breaks(broken),
        }
    }

    /// I15: no device goes back to an older list of anybody.
    fn lists_only_rise(&mut self, index: usize) {
        let people: BTreeSet<Address> = self.devices.iter().map(|device| device.address.clone()).collect();
        if let Some(device) = self.devices.get_mut(index) {
            let held = device.note_lists(people.iter());
            self.holds(held);
        }
    }

    fn device_effects(&mut self, index: usize, told: usize, effects: Vec<Output>) {
        let after = self.weather.strikes(Fault::CrashAfterCommit, &mut self.rng);
        let among = self.weather.strikes(Fault::CrashAmongEffects, &mut self.rng);
        let all = told + effects.len();
        let left = if after || among { self.rng.index(all) } else { all };
        let mut left = left.saturating_sub(told);
        for effect in effects {
            // What is durable, a person finds on the device whenever it is up.
            if left == 0 && !matches!(effect, Output::Event(_)) {
                continue;
            }
            left = left.saturating_sub(1);
            self.perform_on_device(index, effect);
        }
        self.sealed.is_durable(index);
        if after || among {
            return self.crash_device(index);
        }
        if self.weather.strikes(Fault::Evicts, &mut self.rng)
            && let Some(device) = self.devices.get_mut(index)
        {
            device.evict(&mut self.rng);
        }
    }

    /// A device goes down, and comes up again later.
    pub(super) fn crash_device(&mut self, index: usize) {
        let tells = !self.weather.strikes(Fault::NoReset, &mut self.rng);
        self.lose_session(index, tells);
        let Some(device) = self.devices.get_mut(index).filter(|device| device.client.is_some()) else { return };
        device.crash();
        self.device_lost_files(index);
        self.sealed.restarted(index);
        self.trace.note(self.now, format_args!("device {index} goes down"));
        let down = self.rng.below(30 * SECOND);
        self.at(1 + down, Happening::DeviceUp(index));
    }

    pub(super) fn device_up(&mut self, index: usize) {
        let down = |device: &&mut Device| device.client.is_none() && !device.lost;
        let Some(device) = self.devices.get_mut(index).filter(down) else { return };
        let started = device.start();
        self.trace.note(self.now, format_args!("device {index} is up"));
        self.holds(started);
    }

    fn perform_on_device(&mut self, index: usize, effect: Output) {
        match effect {
            Output::Dial => self.dial_home(index),
            Output::Send(frame) => self.device_says(index, &frame),
            Output::Close => self.device_closes(index),
            Output::Approve(nk) => {
                let home = self.devices.get(index).and_then(|device| self.nodes.get(device.node));
                let yes = home.is_some_and(|node| node.nk() == nk);
                self.on_device(0, index, Input::Session(SessionIn::Approved { nk, yes }));
            }
            Output::Bytes(what) => self.device_bytes(index, what),
            Output::Event(event) => {
                self.trace.note(self.now, format_args!("device {index} > {event:?}"));
                let held = self.watch_device(index, &event).and_then(|()| self.file_event(index, &event));
                self.holds(held);
                self.person_reacts(index, &event);
            }
        }
    }

    /// Holds what a device says to what really happened.
    fn watch_device(&mut self, index: usize, event: &Event) -> Result<(), Broken> {
        let Some(device) = self.devices.get_mut(index) else { return Ok(()) };
        match event {
            Event::Enrolled { dk, .. } => {
                (device.dk, device.copy_of) = (Some(*dk), None);
                self.sealed.devices.insert(*dk, (index, device.address.clone()));
                Ok(())
            }
            // A node that has let go of it says no more than that its login is none: the person sees that.
            Event::Behind | Event::Revoked | Event::Refused { who: Who::Node, why: PeerFault::Login } => {
                device.over = true;
                Ok(())
            }
            Event::Conversation(talk) if talk.joined => {
                let known = device.client.as_ref().and_then(|client| client.tree(talk.id));
                let Some((epoch, tree, roster)) = known else { return Ok(()) };
                // Whose node changes the log on its way holds other events than the others.
                let lied_to = self.liar == Some(device.node);
                self.sealed.joined(talk.id, epoch, tree, roster, lied_to)
            }
            // A copy is, to everybody, the device that it is a copy of.
            Event::Mark { .. } if device.copy_of.is_some() => Ok(()),
            Event::Said(said) => {
                self.sayings.shown.insert((said.conversation, said.seq), said.id);
                let (dk, index) = (device.dk, device.copy_of.unwrap_or(index));
                if !sealed::is_in(said.content.bytes()) {
                    return Err(("I6", format!("device {index} shows another body than was said: {}", said.id)));
                }
                if said.answers.is_some() {
                    let by = body_of(said).and_then(|body| self.answered_by(body));
                    let whose = by == Some(&said.author.address);
                    return if whose {
                        Ok(())
                    } else {
                        Err(("I18", format!("device {index} shows an answer of nobody: {}", said.id)))
                    };
                }
                self.sealed.shows(index, dk, said)
            }
            Event::Mark { conversation, id, seq, mark } if device.wrote.contains(id) => {
                self.sealed.marked(index, *id, seq.map(|seq| (*conversation, seq)), mark)
            }
            Event::Presence { who, seen: Some(_) } => {
                self.whispered.0 += 1;
                let pair = Pair { ours: device.address.clone(), theirs: who.clone() };
                // A lying node can show what it likes, but to nobody who doesn't agree.
                if self.agreed.contains(&pair) { Ok(()) } else { Err(("I24", format!("device {index} shows {who}"))) }
            }
            Event::Typing { now: true, .. } => {
                self.whispered.1 += 1;
                Ok(())
            }
            Event::NotOpenedBy { id, dk, .. } => {
                self.sealed.unopened(*id, *dk);
                Ok(())
            }
            Event::Alarm(alarm) if self.liar.is_none() => Err(("I13", format!("device {index} cries wolf: {alarm:?}"))),
            _ => Ok(()),
        }
    }

    /// What a person does about what their device says.
    fn person_reacts(&mut self, index: usize, event: &Event) {
        match event {
            Event::JoinWanted => self.wants_in(index),
            Event::Enrolled { .. } => self.gives_up_former(index),
            Event::Behind => self.begins_anew(index),
            Event::Backup { bytes, passphrase } => self.puts_away(index, bytes, passphrase),
            Event::Code(code) if code.what == CodeFor::Joining => {
                let Some(address) = self.devices.get(index).map(|device| device.address.clone()) else { return };
                let has = |device: &&Device| device.address == address && device.is_current();
                if let Some(old) = self.devices.iter().position(|device| has(&device)) {
                    let command = Command::AddDevice { code: code.text.to_string().into() };
                    self.on_device(5 * SECOND, old, Input::Command(command));
                }
                self.at(3 * MINUTE, Happening::Joins(index));
            }
            Event::Declined(_) => self.at(MINUTE, Happening::Joins(index)),
            _ => {}
        }
    }

    /// A person sees whether a device was let in, and tries again.
    pub(super) fn joins(&mut self, index: usize) {
        let Some(device) = self.devices.get_mut(index).filter(|device| !device.lost) else { return };
        let waits = device.client.as_ref().is_some_and(|client| !client.is_enrolled() && client.dk().is_some());
        if device.client.is_none() {
            return self.at(MINUTE, Happening::Joins(index));
        }
        if waits && !device.over && device.tries < TRIES {
            device.tries += 1;
            self.on_device(0, index, Input::Command(Command::Join));
        }
    }

    /// Devices that people still have, and use.
    #[must_use]
    pub fn current_devices(&self) -> BTreeMap<usize, DeviceKey> {
        let current = self.devices.iter().enumerate().filter(|(_, device)| device.is_current());
        current.filter_map(|(index, device)| Some((index, device.dk?))).collect()
    }

    /// Whether somebody's node has a line with somebody.
    #[must_use]
    pub fn is_line(&self, ours: &Address, theirs: &Address) -> bool {
        let pair = Pair { ours: ours.clone(), theirs: theirs.clone() };
        let node = self.home(ours).and_then(|home| self.nodes.get(home));
        node.is_some_and(|node| node.trust(&pair).line().is_some())
    }

    /// Whether every device has said what it had to say.
    pub(crate) fn devices_are_settled(&self) -> bool {
        let waits =
            |device: &Device| device.is_current() && device.client.as_ref().is_none_or(|client| client.waiting() > 0);
        let late = self.sealed.said.values().any(|told| matches!(told.mark, Some(Mark::Queued | Mark::Sent)));
        !self.devices.iter().any(waits) && !late
    }
}

fn brief(input: &Input) -> String {
    let text = format!("{input:?}");
    text.get(..400).map_or(text.clone(), str::to_owned)
}

/// The body of something that was said.
fn body_of(said: &Said) -> Option<&[u8]> {
    if let Body::Single { bytes, .. } = &said.content.fields().body.body { Some(bytes) } else { None }
}
