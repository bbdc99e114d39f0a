//! A web server that behaves as a test wants, and the authorities that vouch for it.
#![allow(dead_code, clippy::unwrap_used, clippy::panic, reason = "each test uses its part; a test fails by them")]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// The key that documents name in tests.
pub(crate) const NK: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

/// A document that names it.
pub(crate) fn document() -> String {
    format!(r#"{{"v":1,"nk":"{NK}"}}"#)
}

/// A whole answer that is the document `body`.
pub(crate) fn ok(body: &str) -> String {
    let len = body.len();
    format!("HTTP/1.1 200 OK\r\ncontent-type: application/json; charset=utf-8\r\ncontent-length: {len}\r\n\r\n{body}")
}

/// Who vouches for certificates.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    cert: rcgen::Certificate,
}

/// When a certificate holds.
#[derive(Clone, Copy)]
pub(crate) enum Valid {
    Now,
    Past,
    Future,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let cert = params.self_signed(&key).unwrap();
        Self { issuer: Issuer::new(params, key), cert }
    }

    pub(crate) fn pem(&self) -> String {
        self.cert.pem()
    }

    pub(crate) fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.cert.der().clone()).unwrap();
        roots
    }

    /// A server's side of TLS, for this name.
    pub(crate) fn vouches(&self, name: &str, valid: Valid) -> Arc<ServerConfig> {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.not_before, params.not_after) = match valid {
            Valid::Now => (date_time_ymd(2020, 1, 1), date_time_ymd(4000, 1, 1)),
            Valid::Past => (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1)),
            Valid::Future => (date_time_ymd(3999, 1, 1), date_time_ymd(4000, 1, 1)),
        };
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        tls(cert.der().clone(), &key)
    }
}

/// A server's side of TLS that nobody vouches for.
pub(crate) fn self_signed(name: &str) -> Arc<ServerConfig> {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    tls(made.cert.der().clone(), &made.signing_key)
}

fn tls(cert: CertificateDer<'static>, key: &KeyPair) -> Arc<ServerConfig> {
    let builder = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    Arc::new(builder.with_single_cert(vec![cert], key).unwrap())
}

/// What a server does once it has read a request.
#[derive(Clone)]
pub(crate) enum Does {
    /// Says this, and closes in order.
    Says(String),
    /// Says this, and cuts the connection without closing TLS.
    Cuts(String),
    /// Says the first, then the second again and again.
    Floods(String, String),
    /// Says this, a byte each so often.
    Drips(String, Duration),
    /// Says nothing, and stays.
    Hangs,
}

/// A server that runs until it is dropped.
pub(crate) struct Web {
    pub(crate) at: SocketAddr,
    connections: Arc<AtomicUsize>,
    written: Arc<AtomicUsize>,
    requests: Arc<Mutex<Vec<String>>>,
    does: Arc<Mutex<Does>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Web {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Web {
    /// How many connected.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// How many bytes of answers were taken from it.
    pub(crate) fn written(&self) -> usize {
        self.written.load(Ordering::SeqCst)
    }

    /// The requests' heads.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    /// Does another thing from now on.
    pub(crate) fn now_does(&self, does: Does) {
        *self.does.lock().unwrap() = does;
    }

    /// Serves on 127.0.0.1; without TLS where there is no configuration.
    pub(crate) async fn serve(tls: Option<Arc<ServerConfig>>, does: Does) -> Self {
        Self::serve_at(Ipv4Addr::LOCALHOST.into(), tls, does).await
    }

    pub(crate) async fn serve_at(ip: IpAddr, tls: Option<Arc<ServerConfig>>, does: Does) -> Self {
        let listener = TcpListener::bind((ip, 0)).await.unwrap();
        let at = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let written = Arc::new(AtomicUsize::new(0));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let does = Arc::new(Mutex::new(does));
        let task = tokio::spawn({
            let (connections, written) = (Arc::clone(&connections), Arc::clone(&written));
            let (requests, does) = (Arc::clone(&requests), Arc::clone(&does));
            async move {
                let mut sessions = tokio::task::JoinSet::new();
                while let Ok((tcp, _)) = listener.accept().await {
                    connections.fetch_add(1, Ordering::SeqCst);
                    let (tls, written, requests) = (tls.clone(), Arc::clone(&written), Arc::clone(&requests));
                    let does = does.lock().unwrap().clone();
                    sessions.spawn(async move {
                        let Some(tls) = tls else { return plain(tcp).await };
                        let Ok(mut stream) = TlsAcceptor::from(tls).accept(tcp).await else { return };
                        let Some(head) = head(&mut stream).await else { return };
                        requests.lock().unwrap().push(head);
                        // A client that has enough goes away: no fault of the server's.
                        let _gone = act(&mut stream, does, &written).await;
                    });
                }
            }
        });
        Self { at, connections, written, requests, does, task }
    }
}

async fn plain(mut tcp: TcpStream) {
    let _gone = tcp.write_all(b"220 this is no web server\r\n").await;
}

async fn head(stream: &mut TlsStream<TcpStream>) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    String::from_utf8(head).ok()
}

async fn act(stream: &mut TlsStream<TcpStream>, does: Does, written: &AtomicUsize) -> std::io::Result<()> {
    match does {
        Does::Says(text) => {
            stream.write_all(text.as_bytes()).await?;
            stream.shutdown().await
        }
        Does::Cuts(text) => {
            stream.write_all(text.as_bytes()).await?;
            stream.flush().await?;
            stream.get_mut().0.shutdown().await
        }
        Does::Floods(first, again) => {
            stream.write_all(first.as_bytes()).await?;
            loop {
                stream.write_all(again.as_bytes()).await?;
                stream.flush().await?;
                written.fetch_add(again.len(), Ordering::SeqCst);
            }
        }
        Does::Drips(text, pause) => {
            for byte in text.into_bytes() {
                stream.write_all(&[byte]).await?;
                stream.flush().await?;
                written.fetch_add(1, Ordering::SeqCst);
                sleep(pause).await;
            }
            Ok(())
        }
        Does::Hangs => {
            stream.read_u8().await?;
            Ok(())
        }
    }
}
