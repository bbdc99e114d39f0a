//! How often, and whether the other end still is there: the same at both ends.

use crate::fault::PeerFault;
use crate::limits;
use crate::time::{Millis, SECOND};
use crate::wire::file::File;
use crate::wire::frame::Frame;
use crate::wire::talk::Talk;
use crate::wire::whisper::Whisper;

/// A session that is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pace {
    heard: Millis,
    /// When silence is next looked for: moved only then, so that a frame costs no timer.
    check: Millis,
    /// A Ping that is unanswered.
    pinged: bool,
    noise: Rate,
    talk: Rate,
}

/// What a frame on a session that is up means.
pub(super) enum Heard {
    Nothing,
    Talk(Talk),
    File(File),
    Whisper(Whisper),
    Answer(Frame),
    Left(crate::fault::Code),
}

impl Pace {
    pub(super) const fn new(now: Millis) -> Self {
        let rate = Rate { since: now, count: 0 };
        Self { heard: now, check: now.plus(limits::SESSION_IDLE_MS), pinged: false, noise: rate, talk: rate }
    }

    /// Judges a frame. What comes from a node is bounded by nothing but its size: a device trusts its node that far.
    pub(super) fn hear(&mut self, now: Millis, frame: Frame, bounded: bool) -> Result<Heard, PeerFault> {
        let heard = match frame {
            Frame::Talk(Talk::Login { .. }) => return Err(PeerFault::Frame("no login on a session that is up")),
            Frame::Talk(talk) => {
                if bounded {
                    self.talk.plus(now, cost(&talk), limits::SESSION_TALK_PER_SECOND)?;
                }
                Heard::Talk(talk)
            }
            Frame::File(file) => {
                if bounded {
                    self.talk.plus(now, file_cost(&file), limits::SESSION_TALK_PER_SECOND)?;
                }
                Heard::File(file)
            }
            Frame::Whisper(whisper) => {
                if bounded {
                    self.talk.plus(now, WHISPER_COST, limits::SESSION_TALK_PER_SECOND)?;
                }
                Heard::Whisper(whisper)
            }
            Frame::Ping(number) => {
                self.noise.plus(now, 1, limits::LINK_NOISE_PER_SECOND)?;
                Heard::Answer(Frame::Pong(number))
            }
            Frame::Pong(_) | Frame::Unknown { .. } => {
                self.noise.plus(now, 1, limits::LINK_NOISE_PER_SECOND)?;
                Heard::Nothing
            }
            Frame::Bye { code } => Heard::Left(code),
            Frame::Hello(_)
            | Frame::Proof(_)
            | Frame::Ready(_)
            | Frame::Carry(_)
            | Frame::Ack { .. }
            | Frame::Refuse { .. }
            | Frame::Trust(_)
            | Frame::Mark(_)
            | Frame::Chunk { .. }
            | Frame::Ask(_)
            | Frame::Answer(_) => {
                return Err(PeerFault::Frame("talk, whisper, ping, pong or bye on a session that is up"));
            }
        };
        (self.heard, self.pinged) = (now, false);
        Ok(heard)
    }

    /// What is due: a Ping, or nothing; `Err` where the last one stayed unanswered.
    pub(super) fn wake(&mut self, now: Millis) -> Result<Option<Frame>, PeerFault> {
        if now < self.check {
            return Ok(None);
        }
        if self.pinged {
            return Err(PeerFault::Late(limits::LINK_PONG_MS));
        }
        let silent = self.heard.plus(limits::SESSION_IDLE_MS);
        if now < silent {
            self.check = silent;
            return Ok(None);
        }
        (self.pinged, self.check) = (true, now.plus(limits::LINK_PONG_MS));
        Ok(Some(Frame::Ping(now.0)))
    }

    pub(super) const fn deadline(&self) -> Millis {
        self.check
    }
}

/// What a frame costs us, in frames: what makes us look things up, verify, or ask another node costs more.
const fn cost(talk: &Talk) -> u32 {
    match talk {
        Talk::Publish { .. } | Talk::Ask { .. } => 16,
        Talk::Post(_)
        | Talk::Unposted { .. }
        | Talk::Event(_)
        | Talk::Have { .. }
        | Talk::Heads(_)
        | Talk::Delivered { .. }
        | Talk::Published { .. }
        | Talk::Answer { .. }
        | Talk::Line(_)
        | Talk::Login { .. } => 1,
    }
}

/// The same of what is said about files.
const fn file_cost(file: &File) -> u32 {
    match file {
        File::Keep { .. } | File::Fetch { .. } | File::Forget { .. } => 16,
        File::Kept { .. } | File::Piece { .. } | File::Forgotten { .. } => 1,
    }
}

/// What a whisper costs: it may have us look up as many pairs as it names.
const WHISPER_COST: u32 = 16;

/// How many of something came within the running second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rate {
    since: Millis,
    count: u32,
}

impl Rate {
    fn plus(&mut self, now: Millis, cost: u32, max: u32) -> Result<(), PeerFault> {
        if now.since(self.since) >= SECOND {
            *self = Self { since: now, count: 0 };
        }
        self.count = self.count.saturating_add(cost);
        if self.count > max { Err(PeerFault::Rate { max, per_ms: SECOND }) } else { Ok(()) }
    }
}
