//! What people say, as plain data. Today: mail, as it arrives and as it waits.

pub mod evidence;
pub mod mail;
