//! Sessions from browsers: the opening handshake of a WebSocket (RFC 6455 §4.2) on a page's connection.
//!
//! ```text
//!   GET /postline, Upgrade: websocket ─▶ judge: version, key, Origin ─▶ 101 ─▶ a session with the host's channel
//! ```
//!
//! A session carries no cookie and takes no other ambient authority: a page that opens one must know a password or hold
//! a device's key. Origins are checked all the same, so that a page elsewhere can't make its visitors try passwords here.

use std::net::SocketAddr;
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use postline_core::id::Domain;
use postline_core::limits;
use postline_core::wire::session::browser;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;

use super::Sessions;
use super::carrier::Web;
use crate::http::{Page, TEXT};
use crate::link::{Go, Links};

/// Where sessions are opened.
pub const PATH: &str = "/postline";

/// What a key is followed by before it is hashed (RFC 6455 §1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Where devices in browsers open sessions.
pub struct Browsers {
    origins: Origins,
    links: Links,
    sessions: Sessions,
}

/// The origins (RFC 6454) whose pages may open sessions; "*" for all. Programs that name none always may.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Origins(Vec<String>);

/// Why a request opens no session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It asks for no WebSocket, or not as RFC 6455 says.
    NoWebSocket,
    /// It asks for another version than 13.
    Version,
    /// It names no host that a session could be bound to.
    Host,
    /// Its page may not.
    Origin,
}

/// What is answered to a request that opens a session, and what its proofs are bound to.
struct Opening {
    accept: HeaderValue,
    channel: [u8; 32],
}

impl Browsers {
    /// Lets the pages of these origins open sessions: at most as many at a time, before they prove anything, as devices
    /// and nodes may at the link port, and together with them.
    #[must_use]
    pub const fn new(origins: Vec<String>, links: Links, sessions: Sessions) -> Self {
        Self { origins: Origins(origins), links, sessions }
    }

    /// Answers a request, and opens the session once the answer is out.
    pub(crate) fn open(&self, mut request: Request<Incoming>, at: SocketAddr) -> Response<Full<Bytes>> {
        let Opening { accept, channel } = match self.origins.judge(&request) {
            Ok(opening) => opening,
            Err(refusal) => return refusal.response(),
        };
        let go = Go::default();
        let Some(ticket) = self.links.admit(at, Go::clone(&go)) else {
            return Page::new(StatusCode::SERVICE_UNAVAILABLE, TEXT, "busy\n".into()).into_response();
        };
        let (upgrade, sessions) = (hyper::upgrade::on(&mut request), self.sessions.clone());
        tokio::spawn(async move {
            let bound = Duration::from_millis(limits::GREETING_MS);
            let upgraded = match timeout(bound, upgrade).await {
                Ok(Ok(upgraded)) => upgraded.downcast::<TokioIo<TlsStream<TcpStream>>>(),
                Ok(Err(_)) | Err(_) => return tracing::debug!(%at, "a browser left before its session began"),
            };
            match upgraded {
                Ok(parts) => {
                    let web = Web::new(parts.io.into_inner(), &parts.read_buf);
                    sessions.begin(web, channel, at, go, ticket);
                }
                Err(_) => tracing::error!(%at, "a session on a connection of another kind"),
            }
        });
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
        response
    }
}

impl Refusal {
    fn response(self) -> Response<Full<Bytes>> {
        let (status, why) = match self {
            Self::NoWebSocket => (StatusCode::BAD_REQUEST, "want a WebSocket (RFC 6455)\n"),
            Self::Version => (StatusCode::UPGRADE_REQUIRED, "want version 13\n"),
            Self::Host => (StatusCode::BAD_REQUEST, "want a host name\n"),
            Self::Origin => (StatusCode::FORBIDDEN, "this page may not\n"),
        };
        let mut response = Page::new(status, TEXT, why.into()).into_response();
        if self == Self::Version {
            response.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
            response.headers_mut().insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        }
        response
    }
}

impl Origins {
    /// Judges a request.
    fn judge<B>(&self, request: &Request<B>) -> Result<Opening, Refusal> {
        let headers = request.headers();
        let upgrades = request.method() == Method::GET
            && has_token(headers, CONNECTION, "upgrade")
            && has_token(headers, UPGRADE, "websocket");
        let key = only(headers, SEC_WEBSOCKET_KEY).filter(|_| upgrades).ok_or(Refusal::NoWebSocket)?;
        if BASE64_STANDARD.decode(key).map(|nonce| nonce.len()) != Ok(16) {
            return Err(Refusal::NoWebSocket);
        }
        if only(headers, SEC_WEBSOCKET_VERSION) != Some("13") {
            return Err(Refusal::Version);
        }
        // A second Origin that can't be read is one that may not.
        if headers.contains_key(ORIGIN) && !only(headers, ORIGIN).is_some_and(|origin| self.lets(origin)) {
            return Err(Refusal::Origin);
        }
        let host = only(headers, HOST).map(|host| host.split(':').next().unwrap_or_default());
        let host = host.and_then(|host| Domain::parse(host).ok()).ok_or(Refusal::Host)?;
        let mut hash = ring::digest::Context::new(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY);
        hash.update(key.as_bytes());
        hash.update(GUID);
        let accept = BASE64_STANDARD.encode(hash.finish());
        let accept = HeaderValue::from_str(&accept).map_err(|_| Refusal::NoWebSocket)?;
        Ok(Opening { accept, channel: browser(&host) })
    }

    fn lets(&self, origin: &str) -> bool {
        self.0.iter().any(|known| known == "*" || known == origin)
    }
}

/// The value of a header that is there once.
fn only(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

fn has_token(headers: &HeaderMap, name: HeaderName, token: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|word| word.trim().eq_ignore_ascii_case(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(change: impl FnOnce(&mut HeaderMap)) -> Request<()> {
        let mut request = Request::builder().uri(PATH).body(()).unwrap();
        let headers = request.headers_mut();
        for (name, value) in [
            (HOST, "chat.a.example:8443"),
            (CONNECTION, "keep-alive, Upgrade"),
            (UPGRADE, "WebSocket"),
            (SEC_WEBSOCKET_VERSION, "13"),
            // The key, and below its answer, are those of RFC 6455 §1.3.
            (SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ=="),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        change(headers);
        request
    }

    fn judge(door: &Origins, change: impl FnOnce(&mut HeaderMap)) -> Result<String, Refusal> {
        door.judge(&request(change)).map(|opening| opening.accept.to_str().unwrap().to_owned())
    }

    #[test]
    fn a_session_is_opened_as_the_rfc_says() {
        assert_eq!(judge(&Origins::default(), |_| {}), Ok("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=".to_owned()));
        let opening = Origins::default().judge(&request(|_| {})).ok().unwrap();
        assert_eq!(opening.channel, browser(&Domain::parse("chat.a.example").unwrap()), "the port is not part of it");
    }

    #[test]
    fn what_asks_for_no_websocket_gets_none() {
        let door = Origins::default();
        for header in [CONNECTION, UPGRADE, SEC_WEBSOCKET_KEY] {
            assert_eq!(judge(&door, |headers| drop(headers.remove(header))), Err(Refusal::NoWebSocket));
        }
        let set = |name: HeaderName, value| {
            move |headers: &mut HeaderMap| drop(headers.insert(name, HeaderValue::from_static(value)))
        };
        assert_eq!(judge(&door, set(SEC_WEBSOCKET_KEY, "c2hvcnQ=")), Err(Refusal::NoWebSocket));
        assert_eq!(judge(&door, set(SEC_WEBSOCKET_VERSION, "8")), Err(Refusal::Version));
        assert_eq!(judge(&door, set(HOST, "[::1]:443")), Err(Refusal::Host));
        let twice = |headers: &mut HeaderMap| _ = headers.append(HOST, HeaderValue::from_static("b.example"));
        assert_eq!(judge(&door, twice), Err(Refusal::Host));
    }

    #[test]
    fn a_page_of_elsewhere_opens_nothing() {
        let from =
            |origin| move |headers: &mut HeaderMap| drop(headers.insert(ORIGIN, HeaderValue::from_static(origin)));
        let door = Origins(vec!["https://chat.a.example".into()]);
        assert!(judge(&door, from("https://chat.a.example")).is_ok());
        for origin in ["https://evil.example", "http://chat.a.example", "https://chat.a.example.evil.example", "null"] {
            assert_eq!(judge(&door, from(origin)), Err(Refusal::Origin), "{origin}");
            assert_eq!(judge(&Origins::default(), from(origin)), Err(Refusal::Origin), "none are listed");
        }
        let all = Origins(vec!["*".into()]);
        assert!(judge(&all, from("https://evil.example")).is_ok());
    }
}
