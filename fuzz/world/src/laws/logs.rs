//! [`Log`] under the laws: as the hub, and as a follower.

use postline_core::id::{ConversationId, DeviceTag, LinkId, NodeKey, SessionId};
use postline_core::limits;
use postline_core::machine::log::{Input, Log, Reader, Via};
use postline_core::store::Key;

use super::{Records, Subject, identity, must, ours, theirs};

/// The conversation of every script.
pub(crate) const CONVERSATION: ConversationId = ConversationId([7; 32]);

/// The other node's name.
#[must_use]
pub(crate) fn other_node() -> NodeKey {
    identity(1).nk()
}

/// A device of ours, by number.
#[must_use]
pub(crate) const fn device(n: u8) -> DeviceTag {
    DeviceTag([n; 8])
}

/// Who reads over which connection: two devices, the other node, and a stranger.
#[must_use]
pub(crate) fn reader(n: u64) -> (Via, Reader) {
    match n % 4 {
        0 => (Via::Session(SessionId(1)), Reader::Device(device(1), ours())),
        1 => (Via::Session(SessionId(2)), Reader::Device(device(2), ours())),
        2 => (Via::Link(LinkId(1)), Reader::Node(other_node())),
        _ => (Via::Session(SessionId(3)), Reader::Device(device(3), theirs(2))),
    }
}

fn fresh(hub: Option<NodeKey>) -> Log {
    Log::new(CONVERSATION, hub, vec![(ours(), None), (theirs(0), Some(other_node()))])
}

fn restored(records: &Records, hub: Option<NodeKey>) -> Log {
    let record = records.get(&Key::Log(CONVERSATION));
    record.map_or_else(|| fresh(hub), |record| must(Log::restore(CONVERSATION, record)))
}

/// Brings some of the entries that it has, as a host would.
fn hydrate(log: &mut Log, input: &Input, records: &Records) {
    if !matches!(input, Input::Feed { .. }) {
        return;
    }
    let entries = records.iter().filter_map(|(key, record)| match key {
        Key::Entry(_, seq) => Some((*seq, record)),
        _ => None,
    });
    let missing: Vec<_> = entries.filter(|(seq, _)| !log.has_brought(*seq)).take(limits::READ_BACK as usize).collect();
    for (seq, record) in missing {
        must(log.bring(seq, Some(record)));
    }
}

/// [`Log`] of a hub under the laws.
#[derive(Debug)]
pub struct HubLaws;
/// [`Log`] of a follower under the laws.
#[derive(Debug)]
pub struct FollowerLaws;

macro_rules! log_laws {
    ($($laws:ident: $hub:expr;)*) => {$(
        impl Subject for $laws {
            type Machine = Log;
            const MOST: usize = limits::RECENT + 64 * limits::READ_BACK as usize + limits::FEED_ITEMS;

            fn fresh() -> Log {
                fresh($hub)
            }

            fn restored(records: &Records) -> Log {
                restored(records, $hub)
            }

            fn after_crash(machine: &Log, _: &Records) -> Log {
                machine.after_crash()
            }

            fn wake() -> Input {
                Input::BatchEnd { rides: true }
            }

            fn hydrate(machine: &mut Log, input: &Input, records: &Records) {
                hydrate(machine, input, records);
            }

            fn size(machine: &Log) -> usize {
                machine.size()
            }
        }
    )*};
}

log_laws! {
    HubLaws: None;
    FollowerLaws: Some(other_node());
}
