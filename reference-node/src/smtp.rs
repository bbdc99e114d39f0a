//! Mail in, by SMTP: submission (587, 465) from our users, port 25 from everyone; by LMTP: from the mail server beside us.
//!
//! ```text
//!   socket ──server──▶ session (sans-IO: lines, replies, rules) ──questions──▶ door (the node)
//!                         │ command, login, data: strict readers
//!                         └ bytes of the mail ──▶ spool
//! ```
//!
//! Mail out, queues, DKIM and mailboxes are others' work.

mod backlog;
pub mod command;
pub mod data;
pub mod door;
pub mod lmtp;
pub mod login;
pub mod server;
pub mod session;
mod survives;

pub use survives::session_survives;
