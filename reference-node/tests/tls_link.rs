//! What TLS a link speaks, and what it refuses.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // a test fails by them

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use postline_node::tls::{self, CertificateFiles, Reloadable, TlsFault};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};
use tempfile::TempDir;

fn certificate(dir: &TempDir) -> CertificateFiles {
    CertificateFiles::self_signed(&["node.b.example".to_owned()], dir.path()).unwrap()
}

fn link_server() -> ServerConfig {
    let dir = TempDir::new().unwrap();
    tls::link_server(certificate(&dir).load().unwrap()).unwrap()
}

/// Both ends after the handshake, or the first error.
fn shake(client: ClientConfig, server: ServerConfig) -> Result<(ClientConnection, ServerConnection), rustls::Error> {
    let name = ServerName::try_from("b.example").unwrap();
    let mut client = ClientConnection::new(Arc::new(client), name).unwrap();
    let mut server = ServerConnection::new(Arc::new(server)).unwrap();
    while client.is_handshaking() || server.is_handshaking() {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        let mut bytes = wire.as_slice();
        while !bytes.is_empty() {
            server.read_tls(&mut bytes).unwrap();
            server.process_new_packets()?;
        }
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        let mut bytes = wire.as_slice();
        while !bytes.is_empty() {
            client.read_tls(&mut bytes).unwrap();
            client.process_new_packets()?;
        }
    }
    Ok((client, server))
}

#[test]
fn both_ends_of_a_link_export_the_same_and_no_two_links_do() {
    let (client, server) = shake(tls::link_client().unwrap(), link_server()).unwrap();
    let exported = tls::link_exporter(&client).unwrap();
    assert_eq!(exported, tls::link_exporter(&server).unwrap());
    assert_eq!(
        exported.to_vec(),
        client.export_keying_material(vec![0; 32], b"EXPORTER-postline-1", None).unwrap(),
        "the label is part of the protocol"
    );
    let (other, _) = shake(tls::link_client().unwrap(), link_server()).unwrap();
    assert_ne!(exported, tls::link_exporter(&other).unwrap());
}

#[test]
fn t_093_nothing_on_a_link_is_compressed() {
    let (client, server) = (tls::link_client().unwrap(), link_server());
    assert!(client.cert_compressors.is_empty() && client.cert_decompressors.is_empty());
    assert!(server.cert_compressors.is_empty() && server.cert_decompressors.is_empty());
}

#[test]
fn t_101_a_link_takes_any_certificate_and_mail_under_policy_does_not() {
    assert!(shake(tls::link_client().unwrap(), link_server()).is_ok());
    let dir = TempDir::new().unwrap();
    let files = certificate(&dir);
    let server = || tls::smtp_server(files.load().unwrap()).unwrap();
    assert!(shake(tls::smtp_client_of_any().unwrap(), server()).is_ok());
    let mut roots = RootCertStore::empty();
    let stranger = rcgen::generate_simple_self_signed(["b.example".to_owned()]).unwrap();
    roots.add(stranger.cert.der().clone()).unwrap();
    assert!(shake(tls::smtp_client_trusting(roots).unwrap(), server()).is_err());
}

#[test]
fn t_101_a_verifying_client_wants_the_right_name() {
    let made = rcgen::generate_simple_self_signed(["b.example".to_owned()]).unwrap();
    let other = rcgen::generate_simple_self_signed(["c.example".to_owned()]).unwrap();
    let dir = TempDir::new().unwrap();
    let client = || {
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        roots.add(other.cert.der().clone()).unwrap();
        tls::smtp_client_trusting(roots).unwrap()
    };
    let server = |made: &rcgen::CertifiedKey<rcgen::KeyPair>| {
        let files = CertificateFiles { chain: dir.path().join("c"), key: dir.path().join("k") };
        fs::write(&files.chain, made.cert.pem()).unwrap();
        fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
        tls::smtp_server(files.load().unwrap()).unwrap()
    };
    assert!(shake(client(), server(&made)).is_ok());
    assert!(shake(client(), server(&other)).is_err());
}

#[test]
fn t_101_any_certificate_is_not_any_key() {
    let [shown, held] = [(); 2].map(|()| rcgen::generate_simple_self_signed(["b.example".to_owned()]).unwrap());
    let server = |made: &rcgen::CertifiedKey<rcgen::KeyPair>| {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let key = PrivateKeyDer::Pkcs8(held.signing_key.serialize_der().into());
        let key = provider.key_provider.load_private_key(key).unwrap();
        let certified = Arc::new(CertifiedKey::new(vec![made.cert.der().clone()], key));
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
        config.alpn_protocols = vec![tls::LINK_ALPN.to_vec()];
        config
    };
    for client in [tls::link_client, tls::smtp_client_of_any] {
        assert!(shake(client().unwrap(), server(&held)).is_ok());
        assert!(shake(client().unwrap(), server(&shown)).is_err(), "a copied certificate without its key");
    }
}

#[test]
fn a_link_refuses_tls_1_2() {
    let mut old = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    old.alpn_protocols = vec![tls::LINK_ALPN.to_vec()];
    assert!(shake(old, link_server()).is_err());
}

/// [O-5]
#[test]
fn a_link_refuses_another_alpn_and_none() {
    let mut other = tls::link_client().unwrap();
    other.alpn_protocols = vec![b"http/1.1".to_vec()];
    assert!(matches!(shake(other, link_server()), Err(rustls::Error::NoApplicationProtocol)));

    let mut none = tls::link_client().unwrap();
    none.alpn_protocols.clear();
    let (client, server) = shake(none, link_server()).unwrap();
    assert!(matches!(tls::link_exporter(&client), Err(TlsFault::NotALink { what: "ALPN", .. })));
    assert!(matches!(tls::link_exporter(&server), Err(TlsFault::NotALink { what: "ALPN", .. })));

    let dir = TempDir::new().unwrap();
    let mail = tls::smtp_server(certificate(&dir).load().unwrap()).unwrap();
    let (client, _) = shake(tls::link_client().unwrap(), mail).unwrap();
    assert!(matches!(tls::link_exporter(&client), Err(TlsFault::NotALink { what: "ALPN", .. })));
}

#[test]
fn t_103_a_link_is_never_resumed() {
    let (client, server) = (Arc::new(tls::link_client().unwrap()), Arc::new(link_server()));
    for _ in 0..2 {
        let (client, server) = shake((*client).clone(), (*server).clone()).unwrap();
        assert_eq!(client.handshake_kind(), Some(rustls::HandshakeKind::Full));
        assert_eq!(server.handshake_kind(), Some(rustls::HandshakeKind::Full));
        assert_eq!(client.tls13_tickets_received(), 0);
    }
    assert!(!client.enable_early_data);
    assert_eq!(server.max_early_data_size, 0);
}

#[test]
fn a_private_key_is_its_owners_alone_and_never_overwritten() {
    let dir = TempDir::new().unwrap();
    let files = certificate(&dir);
    assert_eq!(fs::metadata(&files.key).unwrap().permissions().mode() & 0o777, 0o600);
    let before = fs::read(&files.key).unwrap();
    let again = CertificateFiles::self_signed(&["b.example".to_owned()], dir.path());
    assert!(matches!(again, Err(TlsFault::File { .. })));
    assert_eq!(fs::read(&files.key).unwrap(), before);
}

#[test]
fn a_renewed_certificate_is_taken_and_a_broken_one_is_not() {
    let dir = TempDir::new().unwrap();
    let files = certificate(&dir);
    let server = Reloadable::load(files.clone(), tls::smtp_server).unwrap();
    let first = server.current();

    server.reload().unwrap();
    let second = server.current();
    assert!(!Arc::ptr_eq(&first, &second));

    let stranger = rcgen::generate_simple_self_signed(["c.example".to_owned()]).unwrap();
    for (path, text) in [
        (&files.chain, String::new()),
        (&files.chain, "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----".to_owned()),
        (&files.chain, stranger.cert.pem()),
        (&files.key, "no key".to_owned()),
    ] {
        let good = fs::read(path).unwrap();
        fs::write(path, text).unwrap();
        assert!(server.reload().is_err());
        assert!(Arc::ptr_eq(&second, &server.current()), "the old one stays");
        fs::write(path, good).unwrap();
    }
    server.reload().unwrap();
}
