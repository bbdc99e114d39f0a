//! Nodes that lie to devices: to their own people's, and of what is said by others. Believed nothing, they can do no more
//! than keep things back.
//!
//! ```text
//!   lawless node ──(Event, Heads, Lists, Packages, Line)──▶ twisted ──▶ session
//!        drops · doubles · holds back · names older lists · brings a ghost device · splits heads · changes bytes
//! ```

use postline_core::id::{Address, Hash};
use postline_core::seal::mls::{self, Me};
use postline_core::seal::{AddressIdentity, Chain, DeviceIdentity, Secret};
use postline_core::step::Tick;
use postline_core::store::sha256;
use postline_core::time::Millis;
use postline_core::wire::frame::Frame;
use postline_core::wire::list::Device;
use postline_core::wire::talk::{Finding, Talk};
use postline_core::wire::whisper::{Choice, Delta, Seen, Whisper, Word};

use super::World;

impl World {
    /// What a lying node says to a device in the place of a frame.
    pub(super) fn lied(&mut self, frame: Frame, whose: Option<&Address>) -> Vec<Frame> {
        let talk = match frame {
            Frame::Talk(talk) => talk,
            Frame::Whisper(whisper) => return self.whispered_lies(whisper, whose),
            frame => return vec![frame],
        };
        // Key packages are asked for seldom, and are what a ghost comes in by.
        let packages = matches!(talk, Talk::Answer { what: Ok(Finding::Packages(_)), .. });
        let lies = self.rng.chance(if packages { 700 } else { 100 });
        let talk = self.or_an_old_list(talk);
        if !lies {
            return vec![Frame::Talk(talk)];
        }
        self.trace.note(self.now, format_args!("lies to a device"));
        let talks = match talk {
            Talk::Event(mut event) => match self.rng.below(6) {
                0 => Vec::new(),
                1 => vec![Talk::Event(event.clone()), Talk::Event(event)],
                2 => {
                    event.seq += 1;
                    vec![Talk::Event(event)]
                }
                3 => {
                    event.epoch += 1;
                    vec![Talk::Event(event)]
                }
                4 => {
                    event.origin = None;
                    vec![Talk::Event(event)]
                }
                _ => {
                    if let Some(byte) = event.bytes.as_mut().and_then(|bytes| bytes.last_mut()) {
                        *byte ^= 1;
                    }
                    vec![Talk::Event(event)]
                }
            },
            Talk::Heads(mut heads) => {
                for (_, head) in &mut heads.heads {
                    head.hash = Hash(self.rng.bytes());
                }
                vec![Talk::Heads(heads)]
            }
            Talk::Answer { number, what: Ok(finding) } => {
                let finding = self.false_finding(finding, whose);
                vec![Talk::Answer { number, what: Ok(finding) }]
            }
            Talk::Line(mut line) => {
                match self.rng.below(3) {
                    0 => line.list = line.list.saturating_sub(1),
                    1 => line.proof = None,
                    _ => line.offered = !line.offered,
                }
                vec![Talk::Line(line)]
            }
            Talk::Delivered { conversation, member, seq } => {
                vec![Talk::Delivered { conversation, member, seq: seq + self.rng.below(3) }]
            }
            talk => vec![talk],
        };
        talks.into_iter().map(Frame::Talk).collect()
    }

    /// Whispers that nobody made: who is here, who writes, and what a person agreed to.
    fn whispered_lies(&mut self, whisper: Whisper, whose: Option<&Address>) -> Vec<Frame> {
        let mut whispers = vec![whisper.clone()];
        if let (Some(theirs), Whisper::Vector(deltas), true) = (whose.cloned(), &whisper, self.rng.chance(500)) {
            let word = Word::Shows(Seen::Away(Millis(self.rng.draw())));
            let lies = deltas.iter().map(|delta| Delta { word, ..delta.clone() }).collect();
            let choice = Choice { theirs, chosen: Millis(self.rng.draw()), agrees: true };
            whispers.extend([Whisper::Vector(lies), Whisper::Choices(vec![choice])]);
        }
        whispers.into_iter().map(Frame::Whisper).collect()
    }

    /// At times a list from long ago in the place of those that were asked for.
    fn or_an_old_list(&mut self, talk: Talk) -> Talk {
        let Talk::Answer { number, what: Ok(Finding::Lists(lists)) } = talk else { return talk };
        let nth = usize::try_from(self.steps / 4).unwrap_or_default().checked_rem(self.old_lists.len());
        let old = nth.and_then(|nth| self.old_lists.get(nth)).filter(|_| self.steps.is_multiple_of(4)).cloned();
        self.old_lists.extend(lists.iter().cloned());
        let lists = old.map_or(lists, |old| vec![old]);
        Talk::Answer { number, what: Ok(Finding::Lists(lists)) }
    }

    /// Older lists, lists of the node's own making, a ghost's key package.
    fn false_finding(&mut self, finding: Finding, whose: Option<&Address>) -> Finding {
        match finding {
            Finding::Lists(mut lists) => {
                match self.rng.below(3) {
                    0 => _ = lists.pop(),
                    1 => {
                        if let Some(byte) = lists.last_mut().and_then(|list| list.last_mut()) {
                            *byte ^= 1;
                        }
                    }
                    _ => lists.reverse(),
                }
                Finding::Lists(lists)
            }
            Finding::Packages(mut packages) => {
                if self.rng.chance(500) {
                    packages.clear();
                } else {
                    // In the place of a device's own, and beside it.
                    let kept = self.rng.index(packages.len() + 1);
                    packages.truncate(kept);
                    packages.extend(whose.and_then(|whose| ghost(whose, self.now, self.rng.draw())));
                }
                Finding::Packages(packages)
            }
            finding => finding,
        }
    }
}

/// A key package of a device that the node made up, in the name of somebody whose key it doesn't have.
fn ghost(whose: &Address, now: Millis, draw: u64) -> Option<Vec<u8>> {
    let entropy = sha256(&[b"ghost", &draw.to_be_bytes()]).0;
    let tick = Tick { now, entropy };
    let (person, device) = (AddressIdentity::new(&Secret::new(entropy)), DeviceIdentity::new(&Secret::new(entropy)));
    let devices = vec![Device::new(device.dk(), false, now)];
    let (_, chain) = Chain::found(whose.clone(), &person, Hash(entropy), false, devices).ok()?;
    let leaf = chain.leaf(&person, device.dk()).ok()?;
    mls::make(&tick, 1, Me { device: &device, leaf: &leaf }, false).ok().map(|made| made.public)
}
