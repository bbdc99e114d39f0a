//! Every machine keeps the laws, whatever it is told. The laws themselves stand in `postline_world::laws`.

use postline_world::laws::{
    DeviceSessionLaws, DiallerLaws, DomainLaws, FollowerLaws, HubLaws, LinkLaws, ListenerLaws, MailboxLaws, NodeLaws,
    NodeSessionLaws, ServerLaws, TrustLaws, obeys,
};
use postline_world::strategies::{
    device_session_input, follower_input, greeting_input, hub_input, link_input, node_queue_input, node_session_input,
    queue_input, script, server_input, trust_input,
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
}
