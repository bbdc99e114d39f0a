//! The small machines, one file each, each with its diagram on top. None names another: the front door joins them.

pub mod greeting;
pub mod link;
pub mod log;
pub mod mark;
pub mod moment;
pub mod pin;
pub mod policy;
pub mod presence;
pub mod queue;
pub mod reaction;
pub mod revision;
pub mod session;
pub mod thread;
pub mod timeline;
pub mod trust;
