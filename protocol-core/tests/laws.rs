//! Every machine keeps the laws, whatever it is told. The laws themselves stand in `postline_world::laws`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test's helpers may fail loudly")]

use postline_core::step::{Machine, Outbox, Tick};
use postline_core::store::sha256;
use postline_core::wire::talk::Password;
use postline_world::laws::{
    ClientLaws, DevicePresenceLaws, DeviceSessionLaws, DiallerLaws, DomainLaws, FollowerLaws, HubLaws, LinkLaws,
    ListenerLaws, MailboxLaws, MarkLaws, NameLaws, NodeLaws, NodePresenceLaws, NodeSessionLaws, PinLaws, ReactionLaws,
    RevisionLaws, ServerLaws, TrustLaws, obeys,
};
use postline_world::strategies::{
    client_input, device_presence_input, device_session_input, follower_input, greeting_input, hub_input, link_input,
    mark_input, name_input, node_presence_input, node_queue_input, node_session_input, pin_input, queue_input,
    reaction_input, revision_input, script, server_input, trust_input,
};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(96) })]

    #[test]
    fn trust_keeps_the_laws(script in script(60, trust_input)) {
        obeys::<TrustLaws>(script);
    }

    #[test]
    fn a_link_keeps_the_laws(script in script(80, link_input)) {
        obeys::<LinkLaws>(script);
    }

    #[test]
    fn a_queue_keeps_the_laws_on_every_lane(
        script in script(60, queue_input),
        of_a_node in script(60, node_queue_input),
    ) {
        obeys::<DomainLaws>(script.clone());
        obeys::<MailboxLaws>(script);
        obeys::<NodeLaws>(of_a_node);
    }

    #[test]
    fn a_log_keeps_the_laws_as_a_hub_and_as_a_follower(
        of_a_hub in script(80, hub_input),
        of_a_follower in script(80, follower_input),
    ) {
        obeys::<HubLaws>(of_a_hub);
        obeys::<FollowerLaws>(of_a_follower);
    }

    #[test]
    fn what_becomes_of_messages_keeps_the_laws(
        revisions in script(80, revision_input),
        reactions in script(80, reaction_input),
        names in script(80, name_input),
        pins in script(200, pin_input),
    ) {
        obeys::<RevisionLaws>(revisions);
        obeys::<ReactionLaws>(reactions);
        obeys::<NameLaws>(names);
        obeys::<PinLaws>(pins);
    }

    #[test]
    fn marks_keep_the_laws(script in script(120, mark_input)) {
        obeys::<MarkLaws>(script);
    }

    #[test]
    fn presence_keeps_the_laws_at_both_ends(
        at_node in script(120, node_presence_input),
        at_device in script(120, device_presence_input),
    ) {
        obeys::<NodePresenceLaws>(at_node);
        obeys::<DevicePresenceLaws>(at_device);
    }

    #[test]
    fn a_greeting_keeps_the_laws_at_both_ends(script in script(8, greeting_input)) {
        obeys::<ListenerLaws>(script.clone());
        obeys::<DiallerLaws>(script);
    }

    #[test]
    fn a_session_keeps_the_laws_at_both_ends(
        at_node in script(60, node_session_input),
        at_device in script(60, device_session_input),
    ) {
        obeys::<NodeSessionLaws>(at_node);
        obeys::<DeviceSessionLaws>(at_device);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(32) })]

    #[test]
    fn the_front_door_keeps_the_laws(script in script(50, server_input)) {
        obeys::<ServerLaws>(script);
    }

    #[test]
    fn a_device_keeps_the_laws(script in script(60, client_input)) {
        obeys::<ClientLaws>(script);
    }
}

/// The scripts get somewhere: with an honest node, a device is enrolled and in a conversation within a few steps.
#[test]
fn a_device_under_the_laws_gets_into_a_conversation() {
    use postline_core::client::io::{Login, Saying, To};
    use postline_core::client::{Command, Input};
    use postline_world::laws::{ClientInput, START, Step, Subject};
    let login = Login { user: "one".to_owned(), password: Password("secret".to_owned().into()) };
    let says = |command| ClientInput::Client(Input::Command(command));
    let to = To::Person(postline_world::laws::theirs(0));
    let inputs = [says(Command::Enrol { login: Some(login) })]
        .into_iter()
        .chain(std::iter::repeat_n(ClientInput::Answers, 9))
        .chain([says(Command::Say { to, salt: None, what: Saying::text("hello").unwrap() })])
        .chain(std::iter::repeat_n(ClientInput::Answers, 9));
    obeys::<ClientLaws>(inputs.clone().map(|input| Step { after_ms: 10, fails: false, input }));
    let mut device = ClientLaws::fresh();
    for (n, input) in inputs.enumerate() {
        let tick = Tick { now: START.plus(n as u64), entropy: sha256(&[&n.to_be_bytes()]).0 };
        device.step(&tick, input, &mut Outbox::new()).unwrap();
    }
    let talks: Vec<_> = device.client().conversations().collect();
    assert!(device.client().is_enrolled() && talks.len() == 1 && talks[0].joined, "{talks:?}");
}
