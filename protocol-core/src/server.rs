//! The front door for servers: trust, links, routing and queues, behind one `step`.
//!
//! ```text
//!                 ┌──────────────────────── Server ───────────────────────┐
//!  Mail ─────────▶│ trust (per pair) ─▶ routing ─▶ queue (per lane)       │──▶ Took, Deliver, Smtp
//!  Evidence ─────▶│   │        ▲                       │  ▲               │──▶ Seek
//!  Link ─────────▶│ greeting ─▶ link (per node) ◀──────┘  │               │──▶ Link, Dial
//!  Report, Wake ─▶│             └────── settled, marks ───┘               │──▶ Event
//!                 └───────────────────────────────────────────────────────┘
//! ```

pub mod io;

pub use io::{Command, Dial, Event, Evidence, Input, LinkIn, LinkOut, Output, SendId, Took};
