//! The well-known document of each domain, as other nodes fetch it; and the time that its web server has.

use std::sync::Arc;

use postline_core::id::{Domain, NodeKey};
use postline_core::net::{Allowed, BadNet};
use postline_core::time::HOUR;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

use super::{Finding, Scene};
use crate::discovery::{Documents, Fetched, Unread};
use crate::init::KeyFiles;

/// What to do where there is none.
const SERVE: &str = "pass https://<domain>/.well-known/postline on to this node, or leave it: DKIM speaks for it then";
/// What to do where it isn't ours.
const CHANGE: &str = "let it be this node's, or take it away";

pub(super) async fn findings(scene: &Scene<'_>) -> Vec<Finding> {
    let Ok(identity) = KeyFiles::of(&scene.config.data_dir).identity() else { return Vec::new() };
    let documents = documents(scene);
    let (mut findings, mut clock) = (Vec::new(), None);
    for domain in &scene.config.domains {
        let Some(documents) = &documents else {
            findings.push(Finding::skipped("word.document", domain, "this system trusts no certificate authority"));
            continue;
        };
        let fetched = documents.fetch(domain).await;
        let date = fetched.as_ref().ok().and_then(|fetched| date_ms(fetched.date.as_deref()?));
        clock = clock.or_else(|| date.map(|at| (domain.clone(), at)));
        findings.push(judge(domain, fetched, identity.nk()));
    }
    findings.push(match clock {
        None => Finding::skipped("clock.web", "", "no web server of ours tells the time"),
        Some((domain, at)) => {
            let (ahead, behind) = (scene.now.0.saturating_sub(at), at.saturating_sub(scene.now.0));
            if ahead.max(behind) > HOUR {
                let way = if ahead > behind { "ahead" } else { "behind" };
                let cause = format!("this clock is {} hours {way} of it", ahead.max(behind) / HOUR);
                Finding::failure("clock.web", domain, cause, "set the clock right (NTP), then postline clock accept")
            } else {
                Finding::ok("clock.web", domain, "they agree")
            }
        }
    });
    findings
}

/// Who fetches. Our own domains' servers may well stand in a private net, seen from here.
fn documents(scene: &Scene<'_>) -> Option<Documents> {
    let anywhere: Result<Allowed, BadNet> = Allowed::parse(["0.0.0.0/0", "::/0"]);
    let (tls, allow) = (scene.web.clone()?, anywhere.unwrap_or(Allowed::NONE));
    Some(Documents::new(Arc::clone(&scene.resolver), tls, allow, scene.config.discovery.https_port))
}

fn judge(domain: &Domain, fetched: Result<Fetched, Unread>, ours: NodeKey) -> Finding {
    let id = "word.document";
    match fetched.map(|fetched| fetched.document) {
        Ok(Ok(document)) if document.nk == ours => Finding::ok(id, domain, "our key"),
        Ok(Ok(_)) => Finding::failure(id, domain, "it names another key: nobody's line to us comes up", CHANGE),
        Ok(Err(why)) => Finding::warning(id, domain, format!("none: {why}"), SERVE),
        Err(Unread(why)) => {
            let next = "let it answer, or refuse: as long as nobody can tell, other nodes wait for it with new lines";
            Finding::warning(id, domain, format!("nobody can tell: {why}"), next)
        }
    }
}

fn date_ms(date: &str) -> Option<u64> {
    let date = OffsetDateTime::parse(&date.trim().replace("GMT", "+0000"), &Rfc2822).ok()?;
    u64::try_from(date.unix_timestamp() * 1_000).ok()
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn a_web_servers_date_is_read() {
        assert_eq!(date_ms("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777_000));
        for bad in ["", "yesterday", "Sun, 06 Nov 1994"] {
            assert_eq!(date_ms(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn what_other_nodes_make_of_the_document_is_what_is_found() {
        let (domain, ours) = (Domain::parse("a.example").unwrap(), NodeKey([7; 32]));
        let named = |nk| {
            let document = postline_codec::word::WellKnown { nk, next: None, link: None };
            judge(&domain, Ok(Fetched { document: Ok(document), date: None }), ours).level
        };
        assert_eq!((named(ours), named(NodeKey([8; 32]))), (Level::Ok, Level::Failure));
        let none = Fetched { document: Err("answer 404".to_owned()), date: None };
        assert_eq!(judge(&domain, Ok(none), ours).level, Level::Warning);
        assert_eq!(judge(&domain, Err(Unread("late".to_owned())), ours).level, Level::Warning);
    }
}
