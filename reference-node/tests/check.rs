//! `postline check` names the cause: a world that is as it should be, and each thing that may be wrong with it.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

use postline_core::id::Domain;
use postline_core::time::{DAY, Millis};
use postline_node::admin::{AskFault, Status};
use postline_node::backup::backup;
use postline_node::check::{CHECKS, Finding, Hooks, Level, Scene, Space, run, space, worst, zone_text};
use postline_node::config::Config;
use postline_node::directory::Directory;
use postline_node::dns::{Resolver, Zone};
use postline_node::init::{Init, KeyFiles, init};
use postline_node::store::Store;
use postline_node::tls::{Certificate, CertificateFiles, TlsFault, https_server, link_server};
use rustls::ServerConfig;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UnixListener};
use tokio_rustls::TlsAcceptor;

/// A node that `init` made once, and copies of which are spoiled.
fn pattern() -> &'static (tempfile::TempDir, String) {
    static PATTERN: OnceLock<(tempfile::TempDir, String)> = OnceLock::new();
    PATTERN.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let domain = |text| Domain::parse(text).unwrap();
        let setting = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let settings = vec![
            setting("dial.allow_private", "[\"loopback\"]"),
            setting("passwords.memory_kib", "64"),
            setting("passwords.passes", "1"),
        ];
        let hostname = domain("mail.a.example");
        let wish = Init { dir: dir.path().join("node"), domains: vec![domain("a.example")], hostname, settings };
        let made = init(&wish).unwrap();
        let config = Config::load(&made.config).unwrap();
        Directory::load(&config).unwrap().add("postmaster", "a-password").unwrap();
        drop(Store::open(&config.data_dir.join("store")).unwrap());
        let zone = zone_text(&config).unwrap();
        (dir, zone)
    })
}

/// A copy of the pattern, and all of the world around it.
struct World {
    dir: tempfile::TempDir,
    config: Config,
    zone: String,
    now: Millis,
    node: bool,
    held: bool,
    hooks: Hooks,
    space: fn(&Path) -> io::Result<Space>,
}

impl World {
    /// Everything as it should be.
    async fn good() -> Self {
        let (pattern, zone) = pattern();
        let dir = tempfile::tempdir().unwrap();
        let status = Command::new("cp").arg("-a").arg(pattern.path().join("node")).arg(dir.path()).status().unwrap();
        assert!(status.success());
        let mut config = Config::load(&dir.path().join("node/postline.toml")).unwrap();
        let [smtp, out] = [listener().await, listener().await];
        let link = door(link_server).await;
        config.listen.link = vec![format!("127.0.0.1:{link}").parse().unwrap()];
        config.check.outbound = Some(("127.0.0.1".to_owned(), out));
        let next = KeyFiles::of(&config.data_dir).next_seed;
        let now = Millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64);
        backup(&config, &dir.path().join("backup"), now.0).unwrap();
        std::fs::remove_file(next).unwrap();
        certificate(&config, "mail.a.example", 2_100);
        let zone: String = zone.lines().filter(|line| !line.starts_with(';')).map(|line| format!("{line}\n")).collect();
        let zone = zone.replace("MX 10 mail.a.example.", &format!("MX 10 mail.a.example:{smtp}"));
        let zone = zone.replace("0 0 7678", &format!("0 0 {link}"));
        let zone = format!("{zone}mail.a.example A 127.0.0.1\n1.0.0.127.in-addr.arpa PTR mail.a.example\n");
        Self { dir, config, zone, now, node: true, held: false, hooks: Hooks::default(), space: |_| Ok(ROOM) }
    }

    async fn findings(&self) -> Vec<Finding> {
        let zone = Zone::parse(&self.zone).unwrap();
        let status = Box::new(Status { clock_held: self.held, ..Status::default() });
        let scene = Scene {
            config: &self.config,
            resolver: Arc::new(Resolver::Zone(zone)),
            now: self.now,
            node: if self.node { Ok(status) } else { Err(AskFault::NotRunning(PathBuf::from("/nowhere"))) },
            hooks: self.hooks.clone(),
            space: self.space,
            web: None,
        };
        run(&scene).await
    }

    /// What is found for one check; the worst, where there are several.
    async fn finding(&self, id: &str) -> Finding {
        let findings = self.findings().await;
        findings.into_iter().filter(|finding| finding.id == id).max_by_key(|finding| finding.level).unwrap()
    }

    /// Asserts that one check fails, and says why.
    async fn fails(&self, id: &str, cause: &str) {
        let finding = self.finding(id).await;
        assert!(finding.level == Level::Failure && finding.cause.contains(cause), "want {cause:?}: {finding:?}");
        assert!(!finding.next.is_empty(), "and what to do: {finding:?}");
    }

    async fn warns(&self, id: &str, cause: &str) {
        let finding = self.finding(id).await;
        assert!(finding.level == Level::Warning && finding.cause.contains(cause), "want {cause:?}: {finding:?}");
    }
}

const ROOM: Space = Space { bytes: 1 << 40, files: Some(1 << 30) };

/// Something that greets, as a mail server does: its port.
async fn listener() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            // Who knocks may be gone already.
            let _ = stream.write_all(b"220 hello\r\n").await;
        }
    });
    port
}

/// A door of TLS, of this kind: its port.
async fn door(kind: fn(Certificate) -> Result<ServerConfig, TlsFault>) -> u16 {
    let dir = tempfile::tempdir().unwrap();
    let files = CertificateFiles::self_signed(&["a.example".to_owned()], dir.path()).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(kind(files.load().unwrap()).unwrap()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // Who only knocks is gone before a handshake.
            let _ = acceptor.accept(stream).await;
        }
    });
    port
}

/// Puts a certificate for a name in place, which ends in some year.
fn certificate(config: &Config, name: &str, until: i32) {
    let mut params = rcgen::CertificateParams::new([name.to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2_001, 1, 1);
    params.not_after = rcgen::date_time_ymd(until, 1, 1);
    let key = rcgen::KeyPair::generate().unwrap();
    std::fs::write(&config.tls.cert, params.self_signed(&key).unwrap().pem()).unwrap();
    std::fs::write(&config.tls.key, key.serialize_pem()).unwrap();
}

#[tokio::test]
async fn a_node_that_lacks_nothing_has_no_failure_and_every_check_is_made() {
    let world = World::good().await;
    let findings = world.findings().await;
    let bad: Vec<_> = findings.iter().filter(|finding| finding.level > Level::Skipped).collect();
    // This machine's own limit is nobody's fault here.
    assert!(bad.iter().all(|finding| finding.id == "node.files"), "{bad:#?}");
    let made: BTreeSet<&str> = findings.iter().map(|finding| finding.id).collect();
    let known: BTreeSet<&str> = CHECKS.iter().map(|(id, _)| *id).collect();
    assert_eq!(made, known, "the table of checks and what is checked are the same");
    assert!(findings.iter().all(|finding| !finding.cause.is_empty()));
}

#[tokio::test]
async fn a_clock_that_is_years_off_is_found_out_in_both_directions() {
    let mut world = World::good().await;
    world.now = Millis(world.now.0 - 5 * 365 * DAY);
    world.fails("clock.past", "the clock is behind").await;
    world.now = Millis(world.now.0 + 10 * 365 * DAY);
    world.warns("clock.past", "or the clock is ahead").await;
    world.held = true;
    world.fails("clock.jump", "the clock jumped").await;
    world.node = false;
    assert_eq!(world.finding("clock.jump").await.level, Level::Skipped);
    world.warns("node.running", "does not run").await;
    // Before the certificate holds, in 1999.
    world.now = Millis(930_000_000_000);
    world.fails("tls.expiry", "the clock may be behind").await;
}

#[tokio::test]
async fn t_101_a_certificate_that_is_expired_or_another_ones_is_named() {
    let world = World::good().await;
    certificate(&world.config, "mail.a.example", 2_020);
    world.fails("tls.expiry", "expired").await;
    certificate(&world.config, "mail.b.example", 2_100);
    world.fails("tls.name", "other names").await;
    assert_eq!(world.finding("tls.expiry").await.level, Level::Ok);
    let key = rcgen::KeyPair::generate().unwrap();
    std::fs::write(&world.config.tls.key, key.serialize_pem()).unwrap();
    world.fails("tls.certificate", "").await;
    std::fs::remove_file(&world.config.tls.cert).unwrap();
    world.fails("tls.certificate", "cert.pem").await;
    let soon = world.now.0 + 5 * DAY;
    let mut params = rcgen::CertificateParams::new(["mail.a.example".to_owned()]).unwrap();
    params.not_after = (UNIX_EPOCH + std::time::Duration::from_millis(soon)).into();
    std::fs::write(&world.config.tls.cert, params.self_signed(&key).unwrap().pem()).unwrap();
    world.warns("tls.expiry", "days").await;
}

#[tokio::test]
async fn t_108_a_full_disk_is_named_before_mail_is_refused() {
    let mut world = World::good().await;
    world.space = |_| Ok(Space { bytes: 10 << 20, ..ROOM });
    world.fails("disk.space", "disk full: 10 MiB free").await;
    world.space = |_| Ok(Space { bytes: 500 << 20, ..ROOM });
    world.warns("disk.space", "500 MiB").await;
    world.space = |_| Ok(Space { files: Some(3), ..ROOM });
    world.fails("disk.inodes", "no inodes").await;
    world.space = |_| Ok(Space { files: None, ..ROOM });
    assert_eq!(world.finding("disk.inodes").await.level, Level::Ok);
    assert!(space(world.dir.path()).unwrap().bytes > 0, "the real one");
    assert!(space(Path::new("/nowhere/at/all")).is_err());
}

#[tokio::test]
async fn mailboxes_that_are_not_there_or_open_to_all_are_named() {
    let world = World::good().await;
    let root = &world.config.maildir_root;
    std::fs::set_permissions(root, std::fs::Permissions::from_mode(0o755)).unwrap();
    world.warns("maildir.owner", "everybody").await;
    for name in ["tmp", "new", "cur"] {
        std::fs::create_dir_all(root.join("one").join(name)).unwrap();
    }
    std::fs::set_permissions(root.join("one/new"), std::fs::Permissions::from_mode(0o500)).unwrap();
    world.fails("maildir.owner", "can't write there").await;
    std::fs::remove_dir_all(root).unwrap();
    world.fails("maildir.owner", "not there").await;
}

#[tokio::test]
async fn keys_without_a_backup_and_stores_of_tomorrow_are_named() {
    let world = World::good().await;
    let data = &world.config.data_dir;
    std::fs::remove_file(data.join("backup.json")).unwrap();
    world.warns("keys.backup", "never backed up").await;
    backup(&world.config, &world.dir.path().join("another"), world.now.0 - 40 * DAY).unwrap();
    world.warns("keys.backup", "40 days ago").await;
    std::fs::write(data.join("keys/next.seed"), "no key").unwrap();
    world.fails("keys.node", "next.seed").await;
    let db = rusqlite::Connection::open(data.join("store/postline.db")).unwrap();
    db.pragma_update(None, "user_version", 99).unwrap();
    drop(db);
    world.fails("store.opens", "a newer postline wrote it").await;
    std::fs::remove_file(data.join("users.json")).unwrap();
    world.fails("users.postmaster", "postmaster").await;
}

#[tokio::test]
async fn what_dns_says_wrongly_is_named_by_domain() {
    let mut world = World::good().await;
    let good = world.zone.clone();
    let mut with = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        world.zone = good.replace(from, to);
        // Borrowed anew for each case.
        World {
            dir: tempfile::tempdir().unwrap(),
            config: world.config.clone(),
            zone: world.zone.clone(),
            hooks: Hooks::default(),
            ..world
        }
    };
    with("PTR mail.a.example", "PTR other.example").fails("dns.ptr", "leads to other.example").await;
    with("1.0.0.127.in-addr.arpa PTR", "2.0.0.127.in-addr.arpa PTR").fails("dns.ptr", "no name").await;
    with("mail.a.example A 127.0.0.1", "mail.a.example A 10.0.0.1").fails("dns.address", "can't be reached").await;
    with("mail.a.example A", "mial.a.example A").fails("dns.address", "no address").await;
    with("a.example. MX 10 mail.a.example", "a.example. MX 10 mx.b.example").warns("dns.mx", "mx.b.example").await;
    with("_postline._tcp", "_postlien._tcp").warns("dns.srv", "no record").await;
    with("v=spf1 mx -all", "v=spf1 -all").fails("dns.spf", "doesn't let").await;
    let named = with("v=spf1 mx -all", "v=spf1 ip4:127.0.0.0/8 -all").finding("dns.spf").await;
    assert_eq!(named.level, Level::Ok, "{named:?}");
    with("v=spf1 mx -all", "v=spf1 +all").warns("dns.spf", "everybody").await;
    with("a.example. TXT \"v=spf1", "a.example. TXT \"v=spf1 -all\"\na.example. TXT \"v=spf1")
        .fails("dns.spf", "2 records")
        .await;
    with("v=spf1", "v=spf2").fails("dns.spf", "no record").await;
    with("p=quarantine", "p=none").warns("dns.dmarc", "asks for nothing").await;
    with("_dmarc.", "_dmarcs.").warns("dns.dmarc", "no record").await;
    with("postline-rsa._domainkey", "postline-rsb._domainkey").fails("dns.dkim", "no reply opens a line").await;
    let ed25519 = good.split("k=ed25519; p=").nth(1).unwrap().split('"').next().unwrap();
    let other = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
    with(ed25519, other).fails("dns.dkim", "another key").await;
    with("v=1; nk=", "v=1; nk=00").fails("dns.word", "another key").await;
    let offline = with("mail.a.example A 127.0.0.1", "mail.a.example FAIL\na.example FAIL");
    for id in ["dns.address", "dns.mx", "dns.spf"] {
        assert_eq!(offline.finding(id).await.level, Level::Skipped, "{id}: who can't ask doesn't guess");
    }
}

#[tokio::test]
async fn ports_that_nobody_answers_are_named() {
    let mut world = World::good().await;
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let good = world.zone.clone();
    let port = |zone: &str| zone.split("MX 10 mail.a.example:").nth(1).unwrap().split('\n').next().unwrap().to_owned();
    world.zone = good.replace(&format!(":{}", port(&good)), &format!(":{free}"));
    world.fails("port.smtp", "refused").await;
    world.node = false;
    world.warns("port.smtp", "the node does not run").await;
    world.config.check.outbound = Some(("127.0.0.1".to_owned(), free));
    world.fails("port.out", "mail can't leave").await;
    world.config.check.outbound = None;
    assert_eq!(world.finding("port.out").await.level, Level::Skipped);
}

#[tokio::test]
async fn a_port_where_devices_get_no_session_is_named() {
    let mut world = World::good().await;
    let good = world.zone.clone();
    let link = |port: u16| {
        let srv = good.lines().find(|line| line.contains("_postline._tcp")).unwrap();
        let of = srv.split(' ').rev().nth(1).unwrap();
        good.replace(srv, &srv.replace(&format!(" {of} "), &format!(" {port} ")))
    };
    assert_eq!(world.finding("port.session").await.level, Level::Ok);
    // A web server has the port, or something before the node ends TLS; or what speaks first, such as a mail server.
    world.zone = link(door(https_server).await);
    assert_eq!(world.finding("port.link").await.level, Level::Ok, "it answers, and that is all");
    world.fails("port.session", "no sessions there").await;
    world.zone = link(listener().await);
    world.fails("port.session", "no sessions there").await;
    world.zone = link(TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port());
    world.fails("port.link", "refused").await;
    assert_eq!(world.finding("port.session").await.level, Level::Skipped, "the port is the fault, and named once");
}

/// A server that says one thing, and then another for each thing that it hears.
fn answering(listener: UnixListener, answers: Vec<&'static [u8]>) {
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut heard = [0; 512];
            for answer in &answers {
                if answer.is_empty() {
                    continue;
                }
                // Whatever it is, it is heard before the next answer; the first is said unasked where it is a greeting.
                if !answer.starts_with(b"220") && stream.read(&mut heard).await.unwrap_or(0) == 0 {
                    break;
                }
                let _ = stream.write_all(answer).await;
            }
        }
    });
}

#[tokio::test]
async fn a_mail_store_that_is_down_and_sockets_that_speak_garbage_are_named() {
    let mut world = World::good().await;
    let at = |name: &str| world.dir.path().join(name);
    let [lmtp, milter, dict, auth] = ["lmtp", "milter", "dict", "auth"].map(at);
    let endpoint = |path: &Path| Some(format!("unix:{}", path.display()).parse().unwrap());
    world.hooks = Hooks {
        deliver: endpoint(&lmtp),
        milter: endpoint(&milter),
        dict: endpoint(&dict),
        auth: endpoint(&auth),
        ..Hooks::default()
    };
    for id in ["hook.deliver", "hook.milter", "hook.dict", "hook.auth"] {
        world.fails(id, "nobody answers").await;
    }
    answering(UnixListener::bind(&lmtp).unwrap(), vec![b"220-hello\r\n220 dovecot\r\n", b"250-x\r\n250 SIZE\r\n"]);
    answering(UnixListener::bind(&milter).unwrap(), vec![b"\0\0\0\x0dO\0\0\0\x06\0\0\0\0\0\0\0\0"]);
    answering(UnixListener::bind(&dict).unwrap(), vec![b"N\n"]);
    answering(UnixListener::bind(&auth).unwrap(), vec![b"VERSION\t1\t2\nDONE\n"]);
    for id in ["hook.deliver", "hook.milter", "hook.dict", "hook.auth"] {
        let finding = world.finding(id).await;
        assert_eq!(finding.level, Level::Ok, "{finding:?}");
    }
    for path in [&lmtp, &milter, &dict, &auth] {
        std::fs::remove_file(path).unwrap();
        answering(UnixListener::bind(path).unwrap(), vec![b"220 \xff\x1b[2J garbage\r\n", b"500 no\r\n"]);
    }
    for id in ["hook.deliver", "hook.milter", "hook.dict", "hook.auth"] {
        let finding = world.finding(id).await;
        assert!(finding.level == Level::Failure && !finding.cause.contains('\x1b'), "{finding:?}");
    }
}

#[tokio::test]
async fn a_postfix_that_would_sign_before_us_is_named() {
    let mut world = World::good().await;
    let script = world.dir.path().join("postconf");
    let milters = "smtpd_milters = inet:127.0.0.1:8891, inet:127.0.0.1:7680";
    let text = format!("#!/bin/sh\ncase $1 in -n) echo '{milters}';; -M) echo 'smtp inet n - y - - smtpd';; esac\n");
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o700)).unwrap();
    world.config.check.postconf = vec![script.display().to_string()];
    world.hooks.milter = Some("127.0.0.1:7680".parse().unwrap());
    world.hooks.lmtp_in = Some("127.0.0.1:7681".parse().unwrap());
    world.hooks.reinject = Some("127.0.0.1:10026".parse().unwrap());
    world.fails("postfix.milters", "behind another").await;
    world.fails("postfix.default_action", "tempfail").await;
    world.fails("postfix.transports", "it is \"\"").await;
    world.fails("postfix.reinject", "no such listener").await;
    world.config.check.postconf = vec!["/nowhere/postconf".to_owned()];
    world.fails("postfix.milters", "/nowhere/postconf").await;
}

// The program is waited for on one thread, while others answer it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_says_it_all_by_its_exit_status_and_in_json() {
    let world = World::good().await;
    let zone = world.dir.path().join("zone.txt");
    std::fs::write(&zone, &world.zone).unwrap();
    let file = &world.config.file;
    let text = std::fs::read_to_string(file).unwrap();
    let asks = format!("zone_file = \"{}\"", zone.display());
    std::fs::write(file, text.replace("#zone_file = \"zone.txt\"", &asks)).unwrap();
    let check = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_postline"));
        command.arg("--config").arg(file).arg("check").args(args).output().unwrap()
    };
    // The node doesn't run: a warning, and its link port is another one here.
    let output = check(&["--json"]);
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let found = said["check"]["findings"].as_array().unwrap();
    let levels: BTreeSet<&str> = found.iter().map(|finding| finding["level"].as_str().unwrap()).collect();
    let want = if levels.contains("failure") { 1 } else { 4 };
    assert_eq!((output.status.code(), levels.contains("warning")), (Some(want), true), "{said}");
    certificate(&world.config, "mail.a.example", 2_020);
    let output = check(&["--brief"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("FAILURE  tls.expiry") && said.contains("-> renew it"), "{said}");
    assert!(!said.contains("ok       "), "{said}");
    let records = String::from_utf8(check(&["--records"]).stdout).unwrap();
    for want in [
        "_postline._tcp.a.example. SRV 0 0 7678 mail.a.example.",
        "_postline.a.example. TXT \"v=1; nk=",
        "k=ed25519",
        "PTR",
    ] {
        assert!(records.contains(want), "{want}: {records}");
    }
    let lines: String = records.lines().filter(|line| !line.starts_with(';')).map(|line| format!("{line}\n")).collect();
    Zone::parse(&lines).unwrap();
}

#[test]
fn the_worst_finding_decides_and_what_was_skipped_is_no_fault() {
    let finding = |level| Finding { id: "x", about: String::new(), level, cause: String::new(), next: String::new() };
    assert_eq!(worst(&[]), Level::Ok);
    assert_eq!(worst(&[finding(Level::Skipped), finding(Level::Ok)]), Level::Ok);
    assert_eq!(worst(&[finding(Level::Warning), finding(Level::Skipped)]), Level::Warning);
    assert_eq!(worst(&[finding(Level::Failure), finding(Level::Warning)]), Level::Failure);
}
