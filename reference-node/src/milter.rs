//! The milter: Postfix asks it about each mail, and adds and removes header fields as it says. It keeps no mail.
//!
//! ```text
//!   socket ──server──▶ session (sans-IO: packets, order, fields) ──questions──▶ owner: offer, accept, id
//!                        │ packet: the framing, both ways
//!                        └ headers, body ──▶ codec: streaming (the body is hashed and dropped)
//! ```
//!
//! * A mail without login is let pass at once: other people's fields in it are needed, and signed.
//! * A mail of a login loses every `Postline-*` field that it came with, and gets ours where the login may speak for its
//!   From and that is the envelope sender.
//! * Where the node is slow or broken, the mail goes on without our fields; where it is down, Postfix does the same
//!   (`milter_default_action = accept`).
//! * A reply to what came sealed never goes on: it is sealed by the author's hosted device and thrown away as a mail, or refused.
//!   While the node is down Postfix' own header checks keep such a reply for the node (`contrib/postfix`).
//!
//! An own session and not `miltr-server`, since that reads no macros, and the login comes in one; its handlers are async
//! callbacks, so no test could hold it to every order and every cut of the packets.

pub mod packet;
pub mod server;
pub mod session;
mod survives;

pub use survives::session_survives;
