//! To come: the sockets between nodes.
use std::net::SocketAddr;
use std::sync::Arc;

use postline_core::id::LinkId;
use postline_core::server::{Dial, LinkOut};

/// The connections.
#[derive(Clone, Default)]
pub struct Links;

impl Links {
    /// Does something on a connection.
    pub fn perform(&self, _link: LinkId, _what: LinkOut) {}
    /// Drops every connection.
    pub fn drop_all(&self) {}
    /// Dials.
    ///
    /// # Errors
    /// Always, today.
    pub async fn dial(&self, _dial: Dial, _targets: &[SocketAddr]) -> std::io::Result<()> {
        Err(std::io::ErrorKind::Unsupported.into())
    }
}
