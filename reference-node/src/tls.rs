//! TLS: certificates and their renewal, and one configuration for each way the node speaks it.
//!
//! | who | versions | the peer's certificate | |
//! |---|---|---|---|
//! | SMTP server | 1.2, 1.3 | not asked for | |
//! | HTTPS server | 1.2, 1.3 | not asked for | ALPN `http/1.1` |
//! | SMTP client | 1.2, 1.3 | verified, or any where policy is opportunistic | |
//! | fetch of a well-known document | 1.2, 1.3 | verified | ALPN `http/1.1`, no resumption |
//! | link, both ends | 1.3 | any: identity is the NK, proven over the exporter | ALPN `postline/1`, no resumption, no 0-RTT |
//! | session, node's end | 1.3 | not asked for: the device proves its key over the exporter | the link's port, ALPN `postline-session/1` |
//! | session, device's end | 1.3 | any, and noted whether it proves the name | the same |
//!
//! The cryptography is ring's, passed explicitly: no process-wide default can change it. Who a node is, and what follows
//! from that, is the link machine's to say.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::NoServerSessionStorage;
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ConnectionCommon, DigitallySignedStruct, ProtocolVersion, RootCertStore, ServerConfig,
    SignatureScheme, SupportedProtocolVersion,
};

use crate::private_file;

/// The ALPN name of a link (RFC 7301, [L-5]).
pub const LINK_ALPN: &[u8] = b"postline/1";
/// The ALPN name of a session between a device and its node.
pub const SESSION_ALPN: &[u8] = b"postline-session/1";
/// The label under which a link's, and a session's, exporter is taken (RFC 8446 §7.5, [L-5]).
pub const LINK_EXPORTER: &[u8] = b"EXPORTER-postline-1";

const MAIL_VERSIONS: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];
const LINK_VERSIONS: &[&SupportedProtocolVersion] = &[&TLS13];

/// Why TLS can't be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsFault {
    /// A file can't be read or written.
    #[error("{path}: {why}")]
    File {
        /// Which.
        path: PathBuf,
        /// What the system says.
        why: io::Error,
    },
    /// A file holds no PEM of the kind that is wanted.
    #[error("{path}: no {want} in PEM")]
    Pem {
        /// Which.
        path: PathBuf,
        /// Certificate or private key.
        want: &'static str,
    },
    /// Certificate and key don't fit, or the handshake broke a rule.
    #[error(transparent)]
    Tls(#[from] rustls::Error),
    /// No certificate could be made.
    #[error("no certificate made: {0}")]
    Make(#[from] rcgen::Error),
    /// The system trusts no certificate authority.
    #[error("no trusted certificate authorities on this system: {0}")]
    NoRoots(String),
    /// A connection that isn't a link's.
    #[error("{what} {got}, want {want}")]
    NotALink {
        /// Version or ALPN.
        what: &'static str,
        /// What was agreed.
        got: String,
        /// What a link needs.
        want: &'static str,
    },
}

/// Where a certificate chain and its key lie, both PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The chain, own certificate first.
    pub chain: PathBuf,
    /// The private key: PKCS#8, PKCS#1 or SEC1.
    pub key: PathBuf,
}

/// A certificate chain and its key.
pub struct Certificate {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl CertificateFiles {
    /// Reads both files.
    ///
    /// # Errors
    /// [`TlsFault::File`] and [`TlsFault::Pem`], each with the path.
    pub fn load(&self) -> Result<Certificate, TlsFault> {
        let no_chain = || TlsFault::Pem { path: self.chain.clone(), want: "certificate" };
        let no_key = || TlsFault::Pem { path: self.key.clone(), want: "private key" };
        let chain = CertificateDer::pem_slice_iter(&read(&self.chain)?)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| no_chain())?;
        if chain.is_empty() {
            return Err(no_chain());
        }
        let key = PrivateKeyDer::from_pem_slice(&read(&self.key)?).map_err(|_| no_key())?;
        Ok(Certificate { chain, key })
    }

    /// Makes a certificate that nobody vouches for, as `cert.pem` and `key.pem`, both mode 0600, in `dir`. Links need no
    /// better one. Existing files are never overwritten.
    ///
    /// # Errors
    /// [`TlsFault::Make`] for impossible names, [`TlsFault::File`] where a file exists or can't be written.
    pub fn self_signed(names: &[String], dir: &Path) -> Result<Self, TlsFault> {
        let made = rcgen::generate_simple_self_signed(names)?;
        let files = Self { chain: dir.join("cert.pem"), key: dir.join("key.pem") };
        write_new(&files.key, made.signing_key.serialize_pem().as_bytes())?;
        write_new(&files.chain, made.cert.pem().as_bytes())?;
        Ok(files)
    }
}

/// How a server configuration is made of a certificate: [`smtp_server`] or [`link_server`].
pub type MakeServer = fn(Certificate) -> Result<ServerConfig, TlsFault>;

/// A server configuration whose certificate can be renewed while connections come in.
pub struct Reloadable {
    files: CertificateFiles,
    make: MakeServer,
    current: RwLock<Arc<ServerConfig>>,
}

impl Reloadable {
    /// Loads the certificate for the first time.
    ///
    /// # Errors
    /// [`TlsFault`] where it can't be used.
    pub fn load(files: CertificateFiles, make: MakeServer) -> Result<Self, TlsFault> {
        let current = RwLock::new(Arc::new(make(files.load()?)?));
        Ok(Self { files, make, current })
    }

    /// The configuration for the next connection.
    #[must_use]
    pub fn current(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Loads the certificate again.
    ///
    /// # Errors
    /// [`TlsFault`] where the new one can't be used; the old one stays.
    pub fn reload(&self) -> Result<(), TlsFault> {
        let renewed = Arc::new((self.make)(self.files.load()?)?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = renewed;
        Ok(())
    }
}

/// The SMTP server's configuration: TLS 1.2 and 1.3, no client certificate.
///
/// # Errors
/// [`TlsFault::Tls`] where certificate and key don't fit.
pub fn smtp_server(certificate: Certificate) -> Result<ServerConfig, TlsFault> {
    server(certificate, MAIL_VERSIONS)
}

/// The configuration of an HTTPS server.
///
/// # Errors
/// [`TlsFault::Tls`] where certificate and key don't fit.
pub fn https_server(certificate: Certificate) -> Result<ServerConfig, TlsFault> {
    let mut config = server(certificate, MAIL_VERSIONS)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// A link's configuration on the end that is dialled, and a session's: devices come to the same port.
///
/// # Errors
/// [`TlsFault::Tls`] where certificate and key don't fit.
pub fn link_server(certificate: Certificate) -> Result<ServerConfig, TlsFault> {
    let mut config = server(certificate, LINK_VERSIONS)?;
    config.alpn_protocols = vec![LINK_ALPN.to_vec(), SESSION_ALPN.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    Ok(config)
}

/// A link's configuration on the end that dials.
///
/// # Errors
/// [`TlsFault::Tls`] where ring lacks what TLS 1.3 needs.
pub fn link_client() -> Result<ClientConfig, TlsFault> {
    let mut config = client_of_any(LINK_VERSIONS)?;
    config.alpn_protocols = vec![LINK_ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    Ok(config)
}

/// The SMTP client's configuration for hosts that anyone may stand for: against listeners only, not against meddlers.
///
/// # Errors
/// [`TlsFault::Tls`] where ring lacks what TLS needs.
pub fn smtp_client_of_any() -> Result<ClientConfig, TlsFault> {
    client_of_any(MAIL_VERSIONS)
}

/// The SMTP client's configuration for hosts that must prove their name, by the system's certificate authorities.
///
/// # Errors
/// [`TlsFault::NoRoots`] where the system has none.
pub fn smtp_client_verifying() -> Result<ClientConfig, TlsFault> {
    smtp_client_trusting(system_roots()?)
}

fn system_roots() -> Result<RootCertStore, TlsFault> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (trusted, _) = roots.add_parsable_certificates(found.certs);
    if trusted == 0 {
        let why: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
        return Err(TlsFault::NoRoots(why.join("; ")));
    }
    Ok(roots)
}

/// The certificate authorities of a PEM file.
fn roots_of(path: &Path) -> Result<RootCertStore, TlsFault> {
    let no_roots = || TlsFault::Pem { path: path.to_owned(), want: "certificate" };
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(&read(path)?) {
        roots.add(root.map_err(|_| no_roots())?).map_err(|_| no_roots())?;
    }
    if roots.is_empty() { Err(no_roots()) } else { Ok(roots) }
}

/// The SMTP client's configuration for hosts that must prove their name, by these certificate authorities.
///
/// # Errors
/// [`TlsFault::Tls`] where ring lacks what TLS needs.
pub fn smtp_client_trusting(roots: RootCertStore) -> Result<ClientConfig, TlsFault> {
    client_trusting(roots, MAIL_VERSIONS)
}

/// The configuration that fetches well-known documents: the domain's name must be proven, on each connection anew ([D-3]).
/// `roots` is a PEM file of the authorities that are trusted, instead of the system's.
///
/// # Errors
/// [`TlsFault::NoRoots`] where the system has none, [`TlsFault::File`] and [`TlsFault::Pem`] for the file.
pub fn https_client(roots: Option<&Path>) -> Result<ClientConfig, TlsFault> {
    let mut config = match roots {
        Some(path) => smtp_client_trusting(roots_of(path)?)?,
        None => smtp_client_verifying()?,
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    Ok(config)
}

/// How a device speaks TLS with its node: it takes any certificate, since the node proves its key, and notes whether the
/// certificate proves the name, for when the key isn't known yet.
pub struct SessionClient {
    /// `None` where the system trusts no authority: then no certificate proves anything.
    authorities: Option<Arc<WebPkiServerVerifier>>,
}

/// Whether the certificate of one connection proved the name that was dialled.
#[derive(Clone, Debug, Default)]
pub struct NameProven(Arc<AtomicBool>);

impl NameProven {
    /// Whether it did; false before the handshake.
    #[must_use]
    pub fn is_so(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl SessionClient {
    /// Believes the authorities of a PEM file, or the system's.
    ///
    /// # Errors
    /// [`TlsFault::File`] and [`TlsFault::Pem`] for the file.
    pub fn new(roots: Option<&Path>) -> Result<Self, TlsFault> {
        let roots = match roots {
            Some(path) => roots_of(path)?,
            None => match system_roots() {
                Err(TlsFault::NoRoots(_)) => return Ok(Self { authorities: None }),
                roots => roots?,
            },
        };
        let built = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build();
        Ok(Self { authorities: Some(built.map_err(|why| TlsFault::NoRoots(why.to_string()))?) })
    }

    /// The configuration of one connection, and what it will have found.
    ///
    /// # Errors
    /// [`TlsFault::Tls`] where ring lacks what TLS 1.3 needs.
    pub fn config(&self) -> Result<(Arc<ClientConfig>, NameProven), TlsFault> {
        let proven = NameProven::default();
        let provider = provider();
        let any = AnyCertificate(Arc::clone(&provider));
        let verifier = Noting { authorities: self.authorities.clone(), any, proven: proven.clone() };
        let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(LINK_VERSIONS)?;
        let mut config = builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth();
        config.alpn_protocols = vec![SESSION_ALPN.to_vec()];
        config.resumption = Resumption::disabled();
        config.enable_early_data = false;
        Ok((Arc::new(config), proven))
    }
}

/// Takes any certificate from a peer that holds its key, and notes whether an authority vouches for the name.
#[derive(Debug)]
struct Noting {
    authorities: Option<Arc<WebPkiServerVerifier>>,
    any: AnyCertificate,
    proven: NameProven,
}

impl ServerCertVerifier for Noting {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let vouched = self
            .authorities
            .as_ref()
            .is_some_and(|known| known.verify_server_cert(certificate, others, name, ocsp, now).is_ok());
        self.proven.0.store(vouched, Ordering::Release);
        self.any.verify_server_cert(certificate, others, name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.any.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.any.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.any.supported_verify_schemes()
    }
}

/// What the end that dialled wants of a link port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// A link: it is a node.
    Link,
    /// A session: it is a device.
    Session,
}

/// What both ends of a link sign: of the end that dials, which asked for a link.
///
/// # Errors
/// As [`asked`], and for a session.
pub fn link_exporter<Side>(connection: &ConnectionCommon<Side>) -> Result<[u8; 32], TlsFault> {
    match asked(connection)? {
        (Asked::Link, exporter) => Ok(exporter),
        (Asked::Session, _) => {
            Err(TlsFault::NotALink { what: "ALPN", got: "postline-session/1".to_owned(), want: "postline/1" })
        }
    }
}

/// What a connection is for, and what both its ends sign to prove their keys on this very connection. Refuses what is
/// neither a link's nor a session's: a peer that names no ALPN at all gets through the handshake, but not through here
/// ([L-5]).
///
/// # Errors
/// [`TlsFault::NotALink`] for another version or ALPN, [`TlsFault::Tls`] before the handshake's end.
pub fn asked<Side>(connection: &ConnectionCommon<Side>) -> Result<(Asked, [u8; 32]), TlsFault> {
    let version = connection.protocol_version();
    if version != Some(ProtocolVersion::TLSv1_3) {
        return Err(TlsFault::NotALink { what: "TLS version", got: format!("{version:?}"), want: "TLSv1_3" });
    }
    let asked = match connection.alpn_protocol() {
        Some(LINK_ALPN) => Asked::Link,
        Some(SESSION_ALPN) => Asked::Session,
        alpn => {
            let got = alpn.map_or_else(|| "none".to_owned(), |name| name.escape_ascii().to_string());
            return Err(TlsFault::NotALink { what: "ALPN", got, want: "postline/1 or postline-session/1" });
        }
    };
    Ok((asked, connection.export_keying_material([0; 32], LINK_EXPORTER, None)?))
}

fn server(certificate: Certificate, versions: &[&'static SupportedProtocolVersion]) -> Result<ServerConfig, TlsFault> {
    let builder = ServerConfig::builder_with_provider(provider()).with_protocol_versions(versions)?;
    Ok(builder.with_no_client_auth().with_single_cert(certificate.chain, certificate.key)?)
}

fn client_trusting(
    roots: RootCertStore,
    versions: &[&'static SupportedProtocolVersion],
) -> Result<ClientConfig, TlsFault> {
    let builder = ClientConfig::builder_with_provider(provider()).with_protocol_versions(versions)?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

fn client_of_any(versions: &[&'static SupportedProtocolVersion]) -> Result<ClientConfig, TlsFault> {
    let provider = provider();
    let verifier = Arc::new(AnyCertificate(Arc::clone(&provider)));
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions)?;
    Ok(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// Takes any certificate, but only from a peer that holds its key: the handshake's signature is still verified.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsFault> {
    fs::read(path).map_err(|why| TlsFault::File { path: path.to_owned(), why })
}

/// Both files are their owner's alone; none is ever overwritten.
fn write_new(path: &Path, bytes: &[u8]) -> Result<(), TlsFault> {
    let made =
        private_file::create(path, bytes).and_then(|made| made.then_some(()).ok_or(ErrorKind::AlreadyExists.into()));
    made.map_err(|why| TlsFault::File { path: path.to_owned(), why })
}
