//! The program itself: what is typed, what comes out, and with which status.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use postline_codec::word::WellKnown;
use postline_core::seal::node::NodeIdentity;
use postline_node::config::{Config, file_text};
use postline_node::discovery::well_known;
use postline_node::dkim::Signer;
use postline_node::init::{Init, InitFault, KeyFault, KeyFiles, init, is_self_signed};
use postline_node::tls::{CertificateFiles, smtp_server};

/// Runs `postline` in a directory, with `input` on standard input.
fn postline(dir: &Path, args: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_postline"))
        .args(args)
        .current_dir(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // One that doesn't read may be gone already.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn good(dir: &Path, args: &[&str], input: &str) -> String {
    let output = postline(dir, args, input);
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(0), "{args:?}: {out}{err}");
    out
}

fn bad(dir: &Path, args: &[&str], input: &str) -> (i32, String) {
    let output = postline(dir, args, input);
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

/// A node's directory as `init` makes it, less the keys that take time.
fn made(dir: &Path) -> Config {
    let set = [
        ("data_dir", "\".\""),
        ("hostname", "\"mail.a.example\""),
        ("domains", "[\"a.example\"]"),
        ("passwords.memory_kib", "64"),
        ("passwords.passes", "1"),
    ];
    let file = dir.join("postline.toml");
    std::fs::write(&file, file_text(&set.map(|(key, value)| (key.to_owned(), value.to_owned())))).unwrap();
    std::fs::create_dir(dir.join("keys")).unwrap();
    KeyFiles::of(dir).make().unwrap();
    Config::load(&file).unwrap()
}

fn wish(dir: &Path) -> Init {
    let domain = |text| postline_core::id::Domain::parse(text).unwrap();
    Init {
        dir: dir.to_owned(),
        domains: vec![domain("a.example")],
        hostname: domain("mail.a.example"),
        settings: vec![],
    }
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

#[test]
fn config_show_says_what_is_in_force_and_where_it_comes_from() {
    let dir = tempfile::tempdir().unwrap();
    let config = made(dir.path());
    let text = std::fs::read_to_string(&config.file).unwrap();
    let smtp = "smtp = [\n  \"127.0.0.1:2525\", # one\n  \"[::1]:2525\"\n]";
    let smarthost = "host = \"relay.example\"\nuser = \"me\"\npassword_file = \"relay.password\"";
    let text = text.replace("#smtp = [\"0.0.0.0:25\"]", smtp).replace("#host = \"smtp.provider.example\"", smarthost);
    std::fs::write(&config.file, &text).unwrap();
    std::fs::write(dir.path().join("relay.password"), "hush-hush\n").unwrap();
    let line = 1 + text.lines().position(|line| line.starts_with("smtp = [")).unwrap();

    let said = good(dir.path(), &["config", "show", "--origin"], "");
    assert!(
        said.contains(&format!("listen.smtp = [\"127.0.0.1:2525\", \"[::1]:2525\"]  # postline.toml:{line}\n")),
        "{said}"
    );
    assert!(said.contains("tls.cert = \"tls/cert.pem\"  # default\n"), "{said}");
    assert!(said.contains("# link.advertise is not set  # default\n"), "{said}");
    assert!(said.contains("smarthost.password_file = \"relay.password\"") && !said.contains("hush"), "{said}");
    let plain = good(dir.path(), &["config", "show"], "");
    assert_eq!(plain.lines().count(), postline_node::config::KEYS.len());
    assert!(!plain.contains("# default"));
    let json: serde_json::Value =
        serde_json::from_str(&good(dir.path(), &["config", "show", "--origin", "--json"], "")).unwrap();
    let row = json["config"].as_array().unwrap().iter().find(|row| row["key"] == "listen.smtp").unwrap();
    assert_eq!((row["origin"].as_str(), row["line"].as_u64()), (Some("file"), Some(line as u64)));

    std::fs::write(&config.file, text.replace("hostname =", "hostnam =")).unwrap();
    let (status, said) = bad(dir.path(), &["config", "show"], "");
    assert!(status == 2 && said.contains("did you mean `hostname`"), "{said}");
    // What is shown is safe to show: a key that holds a secret would need more care than this command takes.
    for key in postline_node::config::KEYS {
        assert!(["password", "secret", "token"].iter().all(|word| !key.path.ends_with(word)), "{}", key.path);
    }
}

#[test]
fn init_makes_a_node_that_loads() {
    let dir = tempfile::tempdir().unwrap();
    let node = dir.path().join("new/node");
    let says = good(dir.path(), &["init", "--dir", "new/node", "--domain", "a.example", "--domain", "b.example"], "");
    for want in [
        "BACK UP",
        "next.seed",
        "self-signed",
        "a.example. MX 10 mail.a.example.",
        "_postline._tcp.b.example. SRV 0 0 7678",
        "_postline.b.example. TXT \"v=1; nk=",
    ] {
        assert!(says.contains(want), "{want:?} missing: {says}");
    }
    let config = Config::load(&node.join("postline.toml")).unwrap();
    assert_eq!(config.domains.len(), 2);
    let keys = KeyFiles::of(&config.data_dir);
    let identity = keys.identity().unwrap();
    assert!(says.contains(&identity.nk().to_string()));
    for private in [&keys.node_seed, &keys.next_seed, &keys.next_public, &config.tls.key, &config.file] {
        assert_eq!(mode(private), 0o600, "{}", private.display());
    }
    assert_eq!(mode(&node), 0o700);
    assert!(is_self_signed(&config.tls.cert) && !is_self_signed(&config.tls.key));
    // What it made is what the other parts take.
    let files = CertificateFiles { chain: config.tls.cert.clone(), key: config.tls.key.clone() };
    smtp_server(files.load().unwrap()).unwrap();
    for domain in &config.domains {
        for record in Signer::load(&config.dkim.dir, domain, &config.dkim.selector).unwrap().records() {
            assert!(says.contains(&record.to_string()), "{record} missing: {says}");
        }
    }
}

/// [D-1], [D-2]
#[test]
fn discovery_show_prints_what_other_nodes_read() {
    let dir = tempfile::tempdir().unwrap();
    let config = made(dir.path());
    let identity = KeyFiles::of(&config.data_dir).identity().unwrap();
    let says = good(dir.path(), &["discovery", "show"], "");
    let line = says.lines().find(|line| line.starts_with('{')).unwrap();
    let document = WellKnown::parse(line.as_bytes()).unwrap();
    assert_eq!((document.nk, document.next), (identity.nk(), Some(identity.next_nk())));
    assert_eq!(document.link.unwrap().to_string(), "mail.a.example:7678");
    for want in [
        "https://a.example/.well-known/postline",
        "application/json",
        "_postline._tcp.a.example. SRV 0 0 7678 mail.a.example.",
        &format!("_postline.a.example. TXT \"v=1; nk={}\"", identity.nk()),
    ] {
        assert!(says.contains(want), "{want:?} missing: {says}");
    }
    let json: serde_json::Value =
        serde_json::from_str(&good(dir.path(), &["--json", "discovery", "show"], "")).unwrap();
    let shown = &json["discovery"];
    assert_eq!(shown["document"].as_str().unwrap().as_bytes(), well_known(&identity, &config));
    assert_eq!(shown["media_type"], "application/json");
    assert_eq!(shown["dns"][1]["kind"], "TXT");

    // Without keys nothing is named.
    std::fs::remove_file(&KeyFiles::of(&config.data_dir).node_seed).unwrap();
    let (status, says) = bad(dir.path(), &["discovery", "show"], "");
    assert!(status != 0 && !says.contains("panicked"), "{says}");
}

#[test]
fn init_overwrites_nothing_and_takes_up_what_a_crash_left() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("dkim")).unwrap();
    let damaged = dir.path().join("dkim/a.example.postline-rsa.pem");
    std::fs::write(&damaged, "half a k").unwrap();
    let broken = init(&wish(dir.path())).unwrap_err();
    assert!(matches!(broken, InitFault::Dkim(_)) && broken.to_string().contains("postline-rsa.pem"), "{broken}");
    assert_eq!(std::fs::read_to_string(&damaged).unwrap(), "half a k");
    assert!(!dir.path().join("postline.toml").exists(), "no configuration, so no node");
    let keys = KeyFiles::of(dir.path());
    let first = std::fs::read(&keys.node_seed).unwrap();

    std::fs::remove_file(&damaged).unwrap();
    let made = init(&wish(dir.path())).unwrap();
    assert_eq!(std::fs::read(&keys.node_seed).unwrap(), first, "the keys are the ones from before");
    assert!(matches!(init(&wish(dir.path())), Err(InitFault::Exists(_))));
    let (status, says) = bad(dir.path(), &["init", "--domain", "a.example"], "");
    assert_eq!((status, says.as_str()), (1, "postline: ./postline.toml: there is a node already\n"));

    std::fs::remove_file(&made.config).unwrap();
    assert_eq!(init(&wish(dir.path())).unwrap().dns, made.dns, "DKIM keys that are there are kept too");
}

#[test]
fn the_next_key_may_be_taken_away_and_must_fit_when_it_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let config = made(dir.path());
    let keys = KeyFiles::of(&config.data_dir);
    let announced = keys.identity().unwrap().next_nk();
    let away = dir.path().join("safe");
    std::fs::rename(&keys.next_seed, &away).unwrap();
    assert_eq!(keys.identity().unwrap().next_nk(), announced, "it is announced from its public half");
    assert_eq!(keys.make().unwrap(), keys.identity().unwrap().nk());
    assert!(!keys.next_seed.exists(), "and not made anew");

    std::fs::copy(&keys.node_seed, &keys.next_seed).unwrap();
    assert!(matches!(keys.identity(), Err(KeyFault::Halves { .. })));
    std::fs::remove_file(&keys.next_seed).unwrap();
    std::fs::set_permissions(&keys.node_seed, std::fs::Permissions::from_mode(0o644)).unwrap();
    let says = keys.identity().map(|identity: NodeIdentity| identity.nk()).unwrap_err().to_string();
    assert!(says.contains("others may read it (mode 0644): chmod 600"), "{says}");
}

#[test]
fn users_come_and_go_with_passwords_from_standard_input() {
    let dir = tempfile::tempdir().unwrap();
    made(dir.path());
    assert_eq!(good(dir.path(), &["user", "add", "postmaster"], "a long password\n"), "done\n");
    good(dir.path(), &["user", "add", "one"], "another password\r\nignored");
    good(dir.path(), &["alias", "add", "sales@a.example", "one"], "");
    assert_eq!(
        good(dir.path(), &["user", "list"], ""),
        "USER        ALIASES\none         sales@a.example\npostmaster\n"
    );
    assert_eq!(
        good(dir.path(), &["--json", "user", "list"], ""),
        "{\"users\":[{\"aliases\":[\"sales@a.example\"],\"user\":\"one\"},{\"aliases\":[],\"user\":\"postmaster\"}]}\n"
    );
    assert_eq!(
        good(dir.path(), &["alias", "list", "--json"], ""),
        "{\"aliases\":[{\"alias\":\"sales@a.example\",\"user\":\"one\"}]}\n"
    );
    let config = Config::load(&dir.path().join("postline.toml")).unwrap();
    let login = |password| postline_node::directory::Directory::load(&config).unwrap().login("one", password).is_some();
    assert!(login("another password"));
    good(dir.path(), &["user", "passwd", "one"], "the third password\n");
    assert!(login("the third password") && !login("another password"));
    good(dir.path(), &["alias", "remove", "sales@a.example"], "");
    assert_eq!(good(dir.path(), &["--json", "user", "remove", "one"], ""), "{\"done\":{}}\n");
}

#[test]
fn what_cannot_be_done_says_so_with_status_1() {
    let dir = tempfile::tempdir().unwrap();
    made(dir.path());
    assert_eq!(bad(dir.path(), &["user", "remove", "one"], ""), (1, "postline: no user one\n".into()));
    assert_eq!(bad(dir.path(), &["user", "add", "one"], "short\n").0, 1);
    assert_eq!(bad(dir.path(), &["user", "add", "One"], "long enough\n").0, 1);
    let output = postline(dir.path(), &["--json", "user", "remove", "one"], "");
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "{\"error\":{\"code\":\"failed\",\"message\":\"no user one\"}}\n"
    );
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stderr.is_empty());
}

#[test]
fn bad_usage_and_bad_configuration_have_status_2() {
    let dir = tempfile::tempdir().unwrap();
    for args in [
        &["frobnicate"][..],
        &[],
        &["init"],
        &["init", "--domain", "nodots"],
        &["user", "add"],
        &["user", "add", "one", "a password on the command line"],
        &["trust", "block", "one", "two@b.example"],
        &["queue", "retry", "everywhere"],
    ] {
        assert_eq!(bad(dir.path(), args, "").0, 2, "{args:?}");
    }
    let (status, says) = bad(dir.path(), &["--config", "gone.toml", "user", "list"], "");
    assert_eq!((status, says.as_str()), (2, "postline: gone.toml: No such file or directory (os error 2)\n"));
    std::fs::write(dir.path().join("postline.toml"), "data_dir = \".\"\nofers = true\n").unwrap();
    for args in [&["serve"][..], &["user", "list"], &["status"]] {
        let (status, says) = bad(dir.path(), args, "");
        assert_eq!(status, 2);
        assert_eq!(says, "postline: postline.toml:2: unknown key `ofers`, did you mean `offers`?\n");
    }
    let fresh = dir.path().join("fresh");
    let fresh = fresh.to_str().unwrap();
    for set in ["ofers=true", "offers=maybe", "offers", "listen.smtp=[\"x\"]"] {
        assert_eq!(bad(dir.path(), &["init", "--dir", fresh, "--domain", "a.example", "--set", set], "").0, 2, "{set}");
    }
    assert!(!Path::new(fresh).exists(), "nothing was made");
}

#[test]
fn a_node_that_does_not_run_has_status_3() {
    let dir = tempfile::tempdir().unwrap();
    let config = made(dir.path());
    for args in [
        &["status"][..],
        &["trust", "list"],
        &["trust", "show", "one@a.example", "two@b.example"],
        &["trust", "block", "one@a.example", "two@b.example"],
        &["trust", "unblock", "one@a.example", "two@b.example"],
        &["queue", "list"],
        &["queue", "retry", "domain/b.example"],
        &["trace", "<x@y>"],
        &["clock", "accept"],
        &["reload"],
        &["drain"],
    ] {
        let (status, says) = bad(dir.path(), args, "");
        assert_eq!(status, 3, "{args:?}");
        assert!(says.starts_with("postline: node not running"), "{says}");
    }
    let output = postline(dir.path(), &["status", "--json"], "");
    assert!(String::from_utf8(output.stdout).unwrap().starts_with("{\"error\":{\"code\":\"not_running\""));
    drop(config);
}

#[test]
fn t_104_what_a_peer_sent_reaches_no_terminal() {
    let dir = tempfile::tempdir().unwrap();
    let config = made(dir.path());
    let _node = fake_node(
        &config.admin_socket,
        "{\"queue_list\":{\"entries\":[{\"mail\":\"00\",\"lane\":\"domain/b.example\",\"rcpts\":[\"two@b.example\"],\
         \"attempts\":1,\"why\":\"550 \\u001b[2J\\u202e\\r\\nowned\"}],\"more\":false}}",
    );
    for args in [&["queue", "list"][..], &["queue", "list", "--json"]] {
        let says = good(dir.path(), args, "");
        assert!(
            says.contains("owned") && !says.chars().any(|c| c != '\n' && postline_node::shown::hides(c)),
            "{says:?}"
        );
    }
}

#[test]
fn a_refusal_of_the_node_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let config = made(dir.path());
    let _node = fake_node(&config.admin_socket, "{\"refused\":{\"code\":\"not_found\",\"message\":\"no such pair\"}}");
    let args = ["trust", "show", "one@a.example", "two@b.example"];
    assert_eq!(bad(dir.path(), &args, ""), (1, "postline: no such pair\n".into()));
}

/// A node that answers everything with one line; it ends with the test's process.
fn fake_node(socket: &Path, answer: &'static str) -> PathBuf {
    use std::io::{BufRead as _, BufReader};
    let listener = std::os::unix::net::UnixListener::bind(socket).unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut line = String::new();
            BufReader::new(&stream).read_line(&mut line).unwrap();
            stream.write_all(format!("{answer}\n").as_bytes()).unwrap();
        }
    });
    socket.to_owned()
}
