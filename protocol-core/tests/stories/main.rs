//! Stories: one behaviour a file, told through the front door, in a world of nodes in virtual time.

mod a_reply_opens_the_link;
