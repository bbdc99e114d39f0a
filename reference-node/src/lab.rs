//! Two nodes on loopback, and people who write to each other: what the demo shows and the tests try.
//!
//! ```text
//!   Nodes ── init, zone file ──▶ Node a, Node b: processes of this program, asked over their admin sockets
//!   Terminal ── postline chat, postline device ──▶ node
//!   Person ── SMTP, STARTTLS, AUTH ──▶ node ──▶ Inbox: a Maildir, as a mail program sees it
//! ```

mod inbox;
mod letter;
mod nodes;
mod person;
mod terminal;

pub use inbox::Inbox;
pub use letter::{Letter, attached, id_of};
pub use nodes::{Counters, Node, Nodes, PASSWORD, Plan};
pub use person::{Person, Reply, Smtp};
pub use terminal::{Seat, Terminal};
