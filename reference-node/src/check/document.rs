//! The well-known document of each domain, as others fetch it; and the time that its web server has.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use postline_core::id::Domain;
use postline_core::time::HOUR;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::{Finding, PROBE, Scene};
use crate::dns::DnsFault;
use crate::init::KeyFiles;

/// Where the document is (RFC 8615).
const PATH: &str = postline_codec::word::WELL_KNOWN_PATH;
/// The most that is read of an answer, in bytes.
const ANSWER_BYTES: u64 = 16 * 1024;
/// How long one connect may take.
const CONNECT: Duration = Duration::from_secs(4);
/// What to do where there is none.
const SERVE: &str = "pass https://<domain>/.well-known/postline on to this node, or leave it: DKIM speaks for it then";

pub(super) async fn findings(scene: &Scene<'_>) -> Vec<Finding> {
    let Ok(identity) = KeyFiles::of(&scene.config.data_dir).identity() else { return Vec::new() };
    let ours = identity.nk().to_string();
    let (mut findings, mut clock) = (Vec::new(), None);
    for domain in &scene.config.domains {
        let fetched = match timeout(PROBE, fetch(scene, domain)).await {
            Ok(fetched) => fetched,
            Err(_late) => Err(Unread::Not("no answer in time".to_owned())),
        };
        clock = clock.or_else(|| fetched.as_ref().ok().and_then(|page| page.date_ms.map(|at| (domain.clone(), at))));
        findings.push(judge(domain, fetched, &ours));
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

fn judge(domain: &Domain, fetched: Result<Page, Unread>, ours: &str) -> Finding {
    let id = "word.document";
    match fetched {
        Ok(Page { status: 200, body, .. }) => {
            let document: Option<serde_json::Value> = serde_json::from_slice(&body).ok();
            let named = document.as_ref().and_then(|document| document.get("nk")).and_then(|nk| nk.as_str());
            match named {
                Some(nk) if nk == ours => Finding::ok(id, domain, "our key"),
                Some(_) => {
                    let cause = "it names another key: nobody's line to us comes up";
                    Finding::failure(id, domain, cause, "let it be this node's, or take it away")
                }
                None => Finding::failure(
                    id,
                    domain,
                    "it is no document of a node",
                    "let it be this node's, or take it away",
                ),
            }
        }
        Ok(Page { status, .. }) => Finding::warning(id, domain, format!("none (HTTP {status})"), SERVE),
        Err(Unread::Offline(why)) => Finding::skipped(id, domain, why),
        Err(Unread::Not(why)) => Finding::warning(id, domain, format!("not served: {why}"), SERVE),
    }
}

struct Page {
    status: u16,
    /// What the server's clock says.
    date_ms: Option<u64>,
    body: Vec<u8>,
}

enum Unread {
    /// It can't be found out from here.
    Offline(String),
    Not(String),
}

async fn fetch(scene: &Scene<'_>, domain: &Domain) -> Result<Page, Unread> {
    let Some(web) = &scene.web else {
        return Err(Unread::Offline("this system trusts no certificate authority".to_owned()));
    };
    let ip = match scene.resolver.addresses(domain).await {
        Ok(ips) => ips.first().copied().ok_or_else(|| Unread::Not("no address".to_owned()))?,
        Err(DnsFault::None) => return Err(Unread::Not("the domain has no address".to_owned())),
        Err(why @ DnsFault::Temporary(_)) => return Err(Unread::Offline(why.to_string())),
    };
    get(SocketAddr::new(ip, scene.config.discovery.https_port), domain, web).await.map_err(Unread::Not)
}

/// One request, one answer, no redirects, as other nodes ask.
async fn get(at: SocketAddr, domain: &Domain, web: &Arc<ClientConfig>) -> Result<Page, String> {
    let text = |why: &dyn std::fmt::Display| why.to_string();
    let late = |_| format!("{at}: no answer");
    let stream = timeout(CONNECT, TcpStream::connect(at)).await.map_err(late)?.map_err(|why| format!("{at}: {why}"))?;
    let name = ServerName::try_from(domain.to_string()).map_err(|why| text(&why))?;
    let mut stream = TlsConnector::from(Arc::clone(web)).connect(name, stream).await.map_err(|why| text(&why))?;
    let request =
        format!("GET {PATH} HTTP/1.0\r\nHost: {domain}\r\nAccept: application/json\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.map_err(|why| text(&why))?;
    let mut answer = Vec::new();
    // Some servers close without a word; what came is what counts.
    let read = stream.take(ANSWER_BYTES).read_to_end(&mut answer).await;
    if answer.is_empty() {
        read.map_err(|why| text(&why))?;
    }
    parse(&answer).ok_or_else(|| "its answer is no HTTP".to_owned())
}

fn parse(answer: &[u8]) -> Option<Page> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(answer.get(..end)?).ok()?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    let date = lines.filter_map(|line| line.split_once(':')).find(|(name, _)| name.eq_ignore_ascii_case("date"));
    let date = date.and_then(|(_, date)| OffsetDateTime::parse(&date.trim().replace("GMT", "+0000"), &Rfc2822).ok());
    let date_ms = date.and_then(|date| u64::try_from(date.unix_timestamp() * 1_000).ok());
    Some(Page { status, date_ms, body: answer.get(end + 4..)?.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_with_its_date() {
        let page = parse(b"HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n{\"nk\":\"aa\"}").unwrap();
        assert_eq!((page.status, page.date_ms), (200, Some(784_111_777_000)));
        let domain = Domain::parse("a.example").unwrap();
        assert_eq!(judge(&domain, Ok(page), "aa").level, super::super::Level::Ok);
        for bad in [&b""[..], b"HTTP/1.1 200", b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 x y\r\n\r\n"] {
            assert!(parse(bad).is_none(), "{bad:?}");
        }
        let other = parse(b"HTTP/1.0 200 OK\r\n\r\n{\"nk\":\"bb\"}").unwrap();
        assert_eq!(judge(&domain, Ok(other), "aa").level, super::super::Level::Failure);
    }
}
