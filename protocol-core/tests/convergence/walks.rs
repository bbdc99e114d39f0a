//! How a snapshot is made: stretch by stretch, in little memory, of one state of the conversation.

use postline_core::client::Command;
use postline_core::client::io::{Declined, Event};
use postline_core::client::replay::Input;
use postline_core::id::ConversationId;
use postline_core::limits;
use postline_core::step::Machine;

use crate::kit::{ANN, BEN, Host, NOW, TALK, edit, message, pin, react};

const ASK: Command = Command::Snapshot { conversation: TALK, from: 0 };

/// A conversation of many stretches.
fn long(count: u64) -> Host {
    let mut host = Host::new();
    for seq in 1..=count {
        host.hear(&message(seq, ANN, &format!("text {seq}")));
        if seq.is_multiple_of(50) {
            host.evict();
        }
    }
    host.events.clear();
    host
}

fn one_wake(host: &mut Host) {
    assert!(host.replay.deadline().is_some_and(|at| at <= NOW));
    host.step(Input::Wake);
}

#[test]
fn a_snapshot_is_made_stretch_by_stretch_in_the_memory_of_one() {
    let count = 20 * limits::SNAPSHOT_AT_ONCE;
    let mut host = long(count);
    let whole = host.snapshot();
    assert_eq!((whole.messages, whole.seq, whole.from), (count, count, 1));
    host.restart();
    host.step(Input::Command(ASK));
    let mut most = 0;
    while host.replay.deadline().is_some_and(|at| at <= NOW) {
        host.step(Input::Wake);
        most = host.replay.in_memory().max(most);
        host.evict();
    }
    assert_eq!(host.events.last(), Some(&Event::Snapshot(whole)));
    assert!(most as u64 <= 2 * limits::SNAPSHOT_AT_ONCE, "{most} records in memory");
}

/// of one state, whatever comes meanwhile.
#[test]
fn what_changes_meanwhile_is_in_the_snapshot_or_behind_it() {
    let count = 4 * limits::SNAPSHOT_AT_ONCE;
    let early = message(3, ANN, "text 3");
    for stretches in 0..4 {
        let (mut host, mut calm) = (long(count), long(count));
        host.step(Input::Command(ASK));
        (0..stretches).for_each(|_| one_wake(&mut host));
        for event in
            [edit(count + 1, ANN, &early, 1), react(count + 2, BEN, &early, "+"), pin(count + 3, BEN, &early, true)]
        {
            // No wake between: as when an entry comes while the walk rests.
            host.step(Input::Heard(event.clone()));
            calm.hear(&event);
        }
        host.settle();
        let told =
            host.events.iter().find_map(|event| if let Event::Snapshot(told) = event { Some(*told) } else { None });
        assert_eq!(told, Some(calm.snapshot()), "after {stretches} stretches");
    }
}

/// Whoever changes what was said as fast as it is looked through gets no device to look for ever.
#[test]
fn t_052_a_conversation_that_never_rests_has_no_snapshot() {
    let mut host = long(2 * limits::SNAPSHOT_AT_ONCE);
    let early = message(3, ANN, "text 3");
    host.step(Input::Command(ASK));
    let mut seq = 2 * limits::SNAPSHOT_AT_ONCE;
    let mut edits = 0;
    while !host.events.contains(&Event::Declined(Declined::Restless(TALK))) {
        one_wake(&mut host);
        (seq, edits) = (seq + 1, edits + 1);
        host.step(Input::Heard(edit(seq, ANN, &early, edits)));
        assert!(edits <= 2 * limits::SNAPSHOT_ANEW, "it never ends");
    }
    assert!(edits > limits::SNAPSHOT_ANEW);
    host.settle();
    assert!(!host.events.iter().any(|event| matches!(event, Event::Snapshot(_))));
    assert_eq!(host.snapshot().messages, 2 * limits::SNAPSHOT_AT_ONCE, "once it rests there is one");
}

#[test]
fn of_no_conversation_there_is_none() {
    let other = ConversationId([1; 32]);
    let mut host = Host::new();
    let declined = host.command(Command::Snapshot { conversation: other, from: 0 });
    assert_eq!(declined, Event::Declined(Declined::NoConversation(other)));
    assert_eq!(host.snapshot().messages, 0, "of an empty one there is");
}
