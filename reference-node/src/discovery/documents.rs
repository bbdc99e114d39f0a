//! Other domains' well-known documents, fetched within bounds and kept for a while ([D-3], [D-4]).
//!
//! ```text
//!   domain ─▶ kept? ─▶ addresses, checked ─▶ TCP ─▶ TLS, name checked ─▶ GET ─▶ answer ─▶ document, or none
//!                                     │          └─ not the domain's certificate ─▶ none
//!                                     ├─ refused ─▶ none
//!                                     └─ whatever else breaks ──────────────────▶ Unread: failed for now
//! ```
//!
//! Only an answer under a valid certificate is the domain's own. Many domains have an address and no such server there:
//! nobody listens, or somebody else's certificate is shown. That is as much an answer as that there is no address, and
//! whoever can forge it on the way to us could forge that too. What is cut off or late is a failure for now.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, DATE, HOST};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use postline_codec::word::{MEDIA_TYPE, WELL_KNOWN_PATH, WellKnown};
use postline_core::id::Domain;
use postline_core::limits;
use postline_core::net::{Allowed, may_dial};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::dns::{DnsFault, Resolver};

/// What an answer's head may take, in bytes and fields; a document's needs a handful.
const HEAD_BYTES: usize = 16 * 1024;
const HEAD_FIELDS: usize = 64;

/// The documents of other domains.
pub struct Documents {
    dns: Arc<Resolver>,
    tls: Arc<ClientConfig>,
    allow: Allowed,
    port: u16,
    /// How long a fetch may take.
    limit: Duration,
    places: Semaphore,
    kept: Mutex<BTreeMap<Domain, Kept>>,
}

/// The document couldn't be asked for now: there may be one, or not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unread(pub String);

/// What a domain's server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Its document, or why there is none.
    pub document: Result<WellKnown, String>,
    /// What it says the time is (RFC 9110 §6.6.1), unread.
    pub date: Option<String>,
}

impl Fetched {
    fn none(why: impl Into<String>) -> Self {
        Self { document: Err(why.into()), date: None }
    }
}

/// What is kept of a fetch, and until when.
struct Kept {
    until: Instant,
    what: Result<Option<WellKnown>, Unread>,
}

impl Documents {
    /// Fetches by this TLS configuration, from addresses that may be dialled; the port is 443 but in tests.
    #[must_use]
    pub fn new(dns: Arc<Resolver>, tls: Arc<ClientConfig>, allow: Allowed, port: u16) -> Self {
        let limit = Duration::from_millis(limits::WELL_KNOWN_MS);
        let places = Semaphore::new(limits::WELL_KNOWN_FETCHES);
        Self { dns, tls, allow, port, limit, places, kept: Mutex::default() }
    }

    /// The same, with less time for a fetch.
    #[must_use]
    pub fn within(self, limit: Duration) -> Self {
        Self { limit: limit.min(self.limit), ..self }
    }

    /// The domain's document, or that it has none.
    ///
    /// # Errors
    /// [`Unread`] where that can't be said for now.
    pub async fn of(&self, domain: &Domain) -> Result<Option<WellKnown>, Unread> {
        if let Some(kept) = self.kept.lock().unwrap_or_else(PoisonError::into_inner).get(domain)
            && kept.until > Instant::now()
        {
            return kept.what.clone();
        }
        let what = self.fetch(domain).await.map(|fetched| {
            let why = |why: &String| tracing::debug!(%domain, why, "no well-known document");
            fetched.document.inspect_err(why).ok()
        });
        self.keep(domain, &what);
        what
    }

    /// Fetches it now, whatever is kept: what [`of`](Self::of) goes by, with its reasons.
    ///
    /// # Errors
    /// [`Unread`] where it can't be said for now whether there is one.
    pub async fn fetch(&self, domain: &Domain) -> Result<Fetched, Unread> {
        let late = |_| Unread("no whole answer in time".to_owned());
        let what = timeout(self.limit, async {
            let _place = self.places.acquire().await;
            self.ask_any(domain).await
        });
        what.await.map_err(late).flatten()
    }

    fn keep(&self, domain: &Domain, what: &Result<Option<WellKnown>, Unread>) {
        let ms = if what.is_ok() { limits::WELL_KNOWN_KEPT_MS } else { limits::WELL_KNOWN_FAILED_MS };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= limits::WELL_KNOWN_DOMAINS && !kept.contains_key(domain) {
            let oldest = kept.iter().min_by_key(|(_, kept)| kept.until).map(|(domain, _)| domain.clone());
            oldest.and_then(|domain| kept.remove(&domain));
        }
        let until = Instant::now() + Duration::from_millis(ms);
        kept.insert(domain.clone(), Kept { until, what: what.clone() });
    }

    async fn ask_any(&self, domain: &Domain) -> Result<Fetched, Unread> {
        let ips = match self.dns.addresses(domain).await {
            Ok(ips) => ips,
            Err(DnsFault::None) => return Ok(Fetched::none("the domain has no address")),
            Err(DnsFault::Temporary(why)) => return Err(Unread(why)),
        };
        let targets = ips.into_iter().map(|ip| SocketAddr::new(ip, self.port)).filter(|target| {
            may_dial(*target, &self.allow)
                .inspect_err(|denied| tracing::warn!(%domain, %denied, "address of a domain refused"))
                .is_ok()
        });
        let (mut failed, mut nobody) = (None, "no address that may be dialled".to_owned());
        for target in targets.take(limits::WELL_KNOWN_ADDRESSES) {
            match timeout(self.limit / 4, self.connect(domain, target)).await {
                Ok(Ok(stream)) => return self.ask(domain, stream).await,
                Ok(Err(why)) if is_no_server_of_the_domains(&why) => {
                    tracing::warn!(%domain, %target, %why, "no server of the domain's, so no document of its own");
                    nobody = format!("{target}: {why}");
                }
                Ok(Err(why)) => failed = Some(format!("{target}: {why}")),
                Err(_) => failed = Some(format!("{target}: no TLS in time")),
            }
        }
        failed.map_or_else(|| Ok(Fetched::none(nobody)), |why| Err(Unread(why)))
    }

    async fn connect(&self, domain: &Domain, target: SocketAddr) -> std::io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(domain.to_string()).map_err(std::io::Error::other)?;
        let tcp = TcpStream::connect(target).await?;
        TlsConnector::from(Arc::clone(&self.tls)).connect(name, tcp).await
    }

    async fn ask(&self, domain: &Domain, stream: TlsStream<TcpStream>) -> Result<Fetched, Unread> {
        let cut = |why: hyper::Error| Unread(format!("no whole answer: {why}"));
        let host = if self.port == 443 { domain.to_string() } else { format!("{domain}:{}", self.port) };
        let request = Request::get(WELL_KNOWN_PATH)
            .header(HOST, host)
            .header(ACCEPT, MEDIA_TYPE)
            .header(CONNECTION, "close")
            .body(Empty::<Bytes>::new())
            .map_err(|why| Unread(why.to_string()))?;
        let mut builder = http1::Builder::new();
        builder.max_buf_size(HEAD_BYTES).max_headers(HEAD_FIELDS);
        let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(cut)?;
        // Ends with the set, at the latest when this future is dropped.
        let mut carrier = JoinSet::new();
        carrier.spawn(connection);
        let answer = sender.send_request(request).await.map_err(cut)?;
        let date = answer.headers().get(DATE).and_then(|date| date.to_str().ok()).map(str::to_owned);
        if let Err(why) = judge(&answer)? {
            return Ok(Fetched { document: Err(why), date });
        }
        let mut body = answer.into_body();
        let mut bytes = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(cut)?;
            bytes.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
            if bytes.len() > limits::WELL_KNOWN_BYTES {
                break;
            }
        }
        Ok(Fetched { document: WellKnown::parse(&bytes).map_err(|why| why.to_string()), date })
    }
}

/// Whether what was met is nobody, or somebody else.
fn is_no_server_of_the_domains(why: &std::io::Error) -> bool {
    let tls = why.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    why.kind() == std::io::ErrorKind::ConnectionRefused || matches!(tls, Some(rustls::Error::InvalidCertificate(_)))
}

/// Whether an answer may hold a document: a whole one, a reason why not, or a failure for now.
fn judge(answer: &Response<Incoming>) -> Result<Result<(), String>, Unread> {
    let status = answer.status();
    let for_now = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_EARLY, StatusCode::TOO_MANY_REQUESTS];
    if status.is_server_error() || for_now.contains(&status) {
        return Err(Unread(format!("answer {}", status.as_u16())));
    }
    if status != StatusCode::OK {
        return Ok(Err(format!("answer {}", status.as_u16())));
    }
    let of = |name| answer.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media = of(CONTENT_TYPE).split(';').next().unwrap_or_default().trim();
    if !media.eq_ignore_ascii_case(MEDIA_TYPE) {
        return Ok(Err(format!("type {}, want {MEDIA_TYPE}", crate::shown::shown(media, 64))));
    }
    if answer.headers().contains_key(CONTENT_ENCODING) {
        return Ok(Err("a content coding".to_owned()));
    }
    Ok(Ok(()))
}
