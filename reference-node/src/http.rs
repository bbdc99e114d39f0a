//! The pages that the node shows by HTTP: how it is, for the operator's monitoring, and which key is its domain's, for
//! everybody (spec/02, discovery).
//!
//! ```text
//!   http.listen  (plain, for the operator and a reverse proxy)   /metrics /healthz /readyz /.well-known/postline
//!   http.public  (TLS, for everybody)                            /.well-known/postline, and /postline for devices
//! ```
//!
//! One request a connection, GET and HEAD only, no bodies; heads, connections and times are bounded, so that a stranger
//! costs a socket for a few seconds and no more (attack 91). What asks for a WebSocket at /postline becomes a
//! [session](crate::session), and is bounded as one from there on.

mod pages;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use postline_codec::word::WELL_KNOWN_PATH;
use postline_core::limits;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::census::Census;
use crate::session::PATH;
pub use pages::{Pages, Probe};

/// How long a request's head may take to come.
const HEAD: Duration = Duration::from_secs(5);
/// How long a connection may last.
const LASTS: Duration = Duration::from_secs(15);

/// Who a listener is for.
#[derive(Clone)]
pub enum Audience {
    /// The operator: all pages, plain.
    Operator,
    /// Everybody: the well-known document and sessions only, under TLS with the certificate that is current at each
    /// handshake.
    Public(Arc<dyn Fn() -> Arc<rustls::ServerConfig> + Send + Sync>),
}

/// Shows the pages on a listener until told to stop. What is under way then ends by itself, within seconds.
pub async fn serve(listener: TcpListener, pages: Arc<Pages>, audience: Audience, mut stop: watch::Receiver<bool>) {
    // The operator's clients all come from one proxy, or from this machine.
    let each = match audience {
        Audience::Operator => limits::HTTP_CONNECTIONS,
        Audience::Public(_) => limits::HTTP_CONNECTIONS_PER_IP,
    };
    let census = Census::new(limits::HTTP_CONNECTIONS, each);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(why) => {
                // No descriptors, most likely: others are closed soon.
                tracing::warn!(%why, "http: can't accept");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Some(seat) = Census::seat(&census, peer.ip()) else { continue };
        let (pages, audience) = (Arc::clone(&pages), audience.clone());
        tokio::spawn(async move {
            let done = tokio::time::timeout(LASTS, async {
                match audience {
                    Audience::Operator => converse(stream, &pages, None).await,
                    Audience::Public(current) => {
                        match tokio_rustls::TlsAcceptor::from(current()).accept(stream).await {
                            Ok(stream) => converse(stream, &pages, Some(peer)).await,
                            Err(why) => tracing::debug!(%why, "http: no TLS"),
                        }
                    }
                }
            });
            if done.await.is_err() {
                tracing::debug!("http: cut off for taking too long");
            }
            drop(seat);
        });
    }
}

/// `public`: who asks, where anybody may.
async fn converse<S>(stream: S, pages: &Arc<Pages>, public: Option<SocketAddr>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(|request: Request<Incoming>| {
        let pages = Arc::clone(pages);
        async move {
            Ok::<_, std::convert::Infallible>(match (public, &pages.browsers) {
                (Some(peer), Some(browsers)) if request.uri().path() == PATH => browsers.open(request, peer),
                _ => answer(&request, &pages, public.is_none()).await,
            })
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(limits::HTTP_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
    if let Err(why) = served {
        tracing::debug!(%why, "http: a client erred, or left");
    }
}

async fn answer(request: &Request<Incoming>, pages: &Pages, operator: bool) -> Response<Full<Bytes>> {
    let page = match request.uri().path() {
        _ if ![Method::GET, Method::HEAD].contains(request.method()) => Page::not_allowed(),
        WELL_KNOWN_PATH => pages.well_known(),
        "/metrics" if operator => pages.metrics().await,
        "/healthz" if operator => pages.health().await,
        "/readyz" if operator => pages.readiness().await,
        _ => Page::new(StatusCode::NOT_FOUND, TEXT, "not found\n".into()),
    };
    page.into_response()
}

pub(crate) const TEXT: &str = "text/plain; charset=utf-8";

/// What is answered.
pub(crate) struct Page {
    status: StatusCode,
    kind: &'static str,
    body: Bytes,
}

impl Page {
    pub(crate) const fn new(status: StatusCode, kind: &'static str, body: Bytes) -> Self {
        Self { status, kind, body }
    }

    fn not_allowed() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET and HEAD\n".into())
    }

    pub(crate) fn into_response(self) -> Response<Full<Bytes>> {
        // For HEAD the server sends the head of this, and no body.
        let mut response = Response::new(Full::new(self.body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.kind));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        // One request a connection; hyper's own setting would close on a WebSocket too.
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        response
    }
}
