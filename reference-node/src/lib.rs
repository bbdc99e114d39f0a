//! The reference node: the only crate with a clock, sockets, files and randomness.
//!
//! ```text
//!   sockets ──▶ smtp, link ──▶ owner (steps the core, commits, performs) ──▶ maildir, smtp, link
//! ```

pub mod admin;
pub mod backup;
pub mod beside;
pub mod census;
pub mod check;
pub mod cli;
pub mod clock;
pub mod config;
pub mod demo;
pub mod device;
pub mod directory;
pub mod discovery;
pub mod dkim;
pub mod dns;
pub mod doors;
pub mod dovecot;
mod files;
pub mod hand_over;
pub mod hands;
pub mod hosted;
pub mod http;
pub mod init;
pub mod lab;
pub mod link;
pub mod log;
pub mod logins;
pub mod maildir;
pub mod metrics;
pub mod milter;
pub mod operator;
pub mod owner;
pub mod private_file;
pub mod serve;
pub mod session;
pub mod shown;
pub mod smtp;
pub mod spool;
pub mod store;
pub mod supervisor;
pub mod tls;
pub mod words;
