//! Beside Dovecot: its users see and change what the node knows of them, its mailboxes report what happens in them, and
//! its logins are ours.
//!
//! ```text
//!   mail program ── GETMETADATA, SETMETADATA ──▶ Dovecot ──┐
//!   mailboxes ── contrib/dovecot/postline.lua ──▶ Dovecot ─┴─dict protocol─▶ server ──▶ session ──▶ host ──▶ operator
//!                                                                                                └──▶ report ──▶ trace
//!   our submission door ── auth ──▶ Dovecot's auth-client socket
//! ```
//!
//! Both sockets are as trustworthy as who may open them: what Dovecot says of who asks is believed.

pub mod auth;
pub mod event;
pub mod host;
pub mod key;
pub mod line;
pub mod report;
pub mod server;
pub mod session;
mod survives;
pub mod who;

pub use survives::dict_survives;

use std::io;
use std::path::Path;
use std::sync::Arc;

use tokio::task::JoinSet;

use crate::config::Config;
use crate::directory::Live;
use crate::operator::Operator;

/// Serves the dict where the configuration names a socket; ends when what is given back is dropped.
///
/// # Errors
/// Where the socket can't be opened, or there is no such group.
pub fn serve(config: &Config, operator: &Arc<Operator>, people: &Arc<Live>) -> io::Result<JoinSet<()>> {
    let mut tasks = JoinSet::new();
    let Some(path) = &config.dovecot.dict else { return Ok(tasks) };
    let failed = |why: io::Error| io::Error::new(why.kind(), format!("{}: {why}", path.display()));
    let gid = config.dovecot.group.as_deref().map(|group| gid(group, Path::new(GROUPS))).transpose()?;
    let listener = server::Listener::bind(path, gid).map_err(failed)?;
    let (reports, waiting) = report::Reports::new();
    let (domains, operator, people) = (config.domains.clone(), Arc::clone(operator), Arc::clone(people));
    let follower =
        report::Follower { operator: Arc::clone(&operator), people: Arc::clone(&people), domains: domains.clone() };
    let host = Arc::new(host::Host::new(operator, people, domains, reports));
    tasks.spawn(listener.serve(host));
    tasks.spawn(follower.run(waiting));
    Ok(tasks)
}

/// Where groups have their names. Those of other sources (LDAP) can be given by number.
const GROUPS: &str = "/etc/group";

/// The number of a group, by number or by name.
fn gid(group: &str, file: &Path) -> io::Result<u32> {
    if let Ok(number) = group.parse() {
        return Ok(number);
    }
    let text = std::fs::read_to_string(file)?;
    let found = text.lines().find_map(|line| {
        let mut parts = line.split(':');
        (parts.next() == Some(group)).then(|| parts.nth(1)?.parse().ok()).flatten()
    });
    found.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("no group {group} in {}", file.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_found_by_name_or_number() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("group");
        std::fs::write(&file, "root:x:0:\nbroken\nmail:x:8:postfix,dovecot\n").unwrap();
        assert_eq!(gid("mail", &file).unwrap(), 8);
        assert_eq!(gid("1234", &file).unwrap(), 1234);
        for missing in ["broken", "postfix", ""] {
            assert_eq!(gid(missing, &file).unwrap_err().kind(), io::ErrorKind::NotFound, "{missing:?}");
        }
    }
}
