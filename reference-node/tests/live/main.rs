//! Unpatched mail stacks on loopback, two with a node beside them and one without, and people with ordinary mail programs.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod ledger;
mod machine;
mod mailboxes;
mod node;
mod people;
mod postfix;
mod signer;
mod site;
mod story;

use site::World;
use story::Story;

#[test]
#[ignore = "needs root, Postfix, Dovecot and OpenDKIM: ./check runs it"]
fn two_stacks_with_a_node_and_one_without() {
    if let Some(why) = machine::lacks() {
        println!("skipped: {why}");
        return;
    }
    let began = std::time::Instant::now();
    let mut story = Story::new(World::start());
    story.say("three Postfix, three Dovecot, three OpenDKIM are up");
    story.mail_flows_before_any_node_is_there();
    story.say("mail flows, with the snippets in place and no node there");
    story.nodes_start();
    story.a_reply_opens_the_line();
    story.say("a mail and its reply opened a line");
    story.what_follows_goes_over_the_link();
    story.mutt_writes_and_answers_over_the_line();
    story.say("what follows goes over the link");
    story.t_071_a_reply_to_what_came_sealed_leaves_sealed_or_not_at_all();
    story.say("replies to what came sealed went sealed, or nowhere, the node being down too");
    story.fields_that_users_bring_are_removed();
    story.fields_that_programs_bring_are_removed();
    story.say("fields that users bring are removed");
    story.reading_is_noticed();
    story.an_imap_client_sees_the_line_and_closes_it();
    story.a_new_round_trip_opens_it_again();
    story.say("an IMAP client closed the line, and a new round trip opened it again");
    story.a_domain_without_a_node_gets_mail_and_gives_mail();
    story.a_mail_to_two_goes_to_each_their_own_way();
    story.t_006_t_007_lists_and_automatic_answers_open_nothing();
    story.say("a domain without a node, lists and automatic answers open nothing");
    story.mail_flows_on_while_the_nodes_are_down();
    story.say("mail flowed on while the nodes were down");
    story.mail_flows_on_past_a_node_that_hangs();
    story.say("mail flowed on past a node that hung");
    story.a_node_that_is_killed_loses_nothing();
    story.a_postfix_that_is_killed_loses_nothing();
    story.say("a node and a Postfix were killed in the middle of mails");
    story.mail_waits_for_a_dovecot_that_is_down();
    story.mail_waits_for_room_in_a_full_mailbox();
    story.say("mail waited for a Dovecot that was down, and for room in a full mailbox");
    story.count();
    drop(story);
    println!("figure live.seconds {:.0}", began.elapsed().as_secs_f64());
}
