//! Stories: one behaviour a file, told through the front door, in a world of nodes in virtual time.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test's helpers may fail loudly")]
#![allow(clippy::expect_used, clippy::panic, reason = "a test's helpers may fail loudly")]
#![allow(clippy::wildcard_enum_match_arm, reason = "a story looks at what it is about")]

mod kit;
mod people;

mod a_block_stops_at_once;
mod a_changed_node_key_suspends_the_line;
mod a_crash_in_the_middle_loses_nothing;
mod a_device_and_its_node;
mod a_full_window_keeps_its_order;
mod a_large_body_goes_on_where_it_stopped;
mod a_link_that_is_down_leaves_it_to_mail;
mod a_lost_answer_is_given_again;
mod a_node_changes_its_key;
mod a_reply_opens_the_link;
mod a_way_back_from_suspension;
mod an_accept_is_said_again;
mod clients;
mod crossed_offers_make_one_line;
mod delivered_tells_nothing_of_devices;
mod keys_make_it_l3;
mod mail_that_another_keeps;
mod nothing_tells_who_is_online;
mod phones;
mod the_domains_own_word;
mod two_lanes_of_one_mail;
mod two_people_talk_sealed;
mod what_fails_is_reported_once;
mod what_gets_no_offer;
mod what_is_blocked_or_kept_out;
mod what_never_opens_a_line;
mod what_two_say_is_ordered_by_one_hub;
mod what_two_say_needs_their_line;
mod who_gets_a_file;
mod who_is_here;
mod who_takes_part;
mod within_one_node;
