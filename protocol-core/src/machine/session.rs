//! A session of a device with its own node: one machine for each end of a connection. Spec: `spec/10-sessions.md`.
//!
//! ```text
//!   device                                              node
//!      │ ── Hello ──────────────────────────────────────▶ │  greeting
//!      │ ◀───────────────────────────────── Hello, Proof ─ │
//!      │ ── Proof ──────────────────────────────────────▶ │  a known device ─────────────┐
//!      │ ── Login, where it enrols ─────────────────────▶ │  the mailbox login is checked │
//!      │ ◀────────────────────────────────────────── Ready ─ │ ◀────────────────────────────┘
//!      │ ◀═════════════ Talk, Ping, Pong, Bye ═══════════▶ │  up
//! ```
//!
//! * **The node proves itself first**: a device shows neither its proof nor a password before. A device that meets its node
//!   for the first time has no key to compare with: its machine hands the proven key out and waits for the host's word,
//!   [`device::Input::Approved`]. Where that takes longer than the node waits, the host dials again, expecting that key.
//! * **Refusals are uniform.** A device that isn't known, an address that isn't here, a wrong password and a mailbox that
//!   may not speak for the address all hear `Login`, after the same frames; whether anybody lives here shows in nothing.
//! * **A copy** of a device is told by the greatest post number that its node has taken of it: Ready carries it, and a device
//!   that would go on at or below it must not write (attacks 62, 111). Its node refuses such posts too.
//! * **Silence** for [`SESSION_IDLE_MS`](crate::limits::SESSION_IDLE_MS) brings a Ping, by whichever end is first to notice.
//!
//! A session is forgotten in a crash. Who may enrol, what is known of devices, and what Talk means are the front door's.

pub mod device;
pub mod node;
mod pace;

#[cfg(test)]
mod tests;
