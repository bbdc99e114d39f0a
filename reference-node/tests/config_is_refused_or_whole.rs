//! A configuration is taken whole, or refused with the place and the reason.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::Path;

use postline_core::net::may_reach;
use postline_node::beside::{Beside, Place};
use postline_node::config::{Config, ConfigFault, Default, KEYS, PasswordCost, file_text};
use postline_node::dns::Dnssec;
use proptest::prelude::*;

const GOOD: &str = "data_dir = \"/srv/p\"\nhostname = \"mail.a.example\"\ndomains = [\"a.example\", \"B.example\"]\n";

fn parse(text: &str) -> Result<Config, ConfigFault> {
    Config::parse(Path::new("/etc/p.toml"), text)
}

fn refusal(more: &str) -> String {
    parse(&format!("{GOOD}{more}")).map(|config| format!("{config:?}")).unwrap_err().to_string()
}

#[test]
fn three_keys_make_a_node() {
    let config = parse(GOOD).unwrap();
    assert_eq!(config.domains.iter().map(ToString::to_string).collect::<Vec<_>>(), ["a.example", "b.example"]);
    assert_eq!(config.listen.link, ["0.0.0.0:7678".parse().unwrap()]);
    assert_eq!(config.tls.cert, Path::new("/srv/p/tls/cert.pem"));
    assert_eq!(config.passwords, PasswordCost::DEFAULT);
    assert!(config.offers && config.smarthost.is_none() && config.zone_file.is_none());
}

#[test]
fn places_beside_another_mail_server_are_local_and_lead_somewhere() {
    let config = parse(&format!(
        "{GOOD}[beside]\nmilter = \"unix:/run/p/milter\"\nlmtp_in = \"inet:127.0.0.1:1\"\nlmtp_out = \"[::1]:2\"\nreinject = \"10.0.0.1:25\"\n"
    ))
    .unwrap();
    let shown = |place: &Option<Place>| place.as_ref().unwrap().to_string();
    let beside = &config.beside;
    let places = [&beside.milter, &beside.lmtp_in, &beside.lmtp_out, &beside.reinject].map(shown);
    assert_eq!(places, ["unix:/run/p/milter", "127.0.0.1:1", "[::1]:2", "10.0.0.1:25"]);
    assert_eq!(parse(GOOD).unwrap().beside, Beside::default());
    for (text, says) in [
        ("milter = \"milter\"", "/etc/p.toml:5: `beside.milter`:"),
        ("milter = \"unix:milter\"", "absolute"),
        ("milter = \"0.0.0.0:7680\"", "`beside.milter`: 0.0.0.0:7680 can be reached from elsewhere"),
        ("lmtp_in = \"192.0.2.1:24\"", "`beside.lmtp_in`: 192.0.2.1:24 can be reached from elsewhere"),
        ("lmtp_out = \"127.0.0.1:2\"", "`beside.lmtp_out`: wants `beside.reinject` too"),
        ("lmtp_out = \"127.0.0.1:2\"\nreinject = \"127.0.0.1:2\"", "`beside.reinject`: leads back"),
        ("lmtp_in = \"127.0.0.1:2\"\ndeliver = \"127.0.0.1:2\"", "`beside.deliver`: leads back"),
    ] {
        let said = refusal(&format!("[beside]\n{text}"));
        assert!(said.contains(says), "{said}");
    }
    assert!(parse(&format!("{GOOD}[beside]\nlmtp_in = \"192.0.2.1:24\"\nallow_remote = true")).is_ok());
}

#[test]
fn paths_start_where_the_file_says() {
    let config = parse(&GOOD.replace("/srv/p", "var")).unwrap();
    assert_eq!(config.data_dir, Path::new("/etc/var"));
    assert_eq!(config.maildir_root, Path::new("/etc/var/mail"));
}

#[test]
fn an_unknown_key_is_refused_with_its_line_and_the_nearest_known() {
    for (text, says) in [
        ("ofers = false", "/etc/p.toml:4: unknown key `ofers`, did you mean `offers`?"),
        ("[listen]\nsmpt = []", "/etc/p.toml:5: unknown key `listen.smpt`, did you mean `listen.smtp`?"),
        ("[lisen]\nsmtp = []", "/etc/p.toml:4: unknown key `lisen`, did you mean `listen`?"),
        ("selector = \"x\"", "/etc/p.toml:4: unknown key `selector`, did you mean `dkim.selector`?"),
        ("tls.crt = \"x\"", "/etc/p.toml:4: unknown key `tls.crt`, did you mean `tls.cert`?"),
        ("frobnicate = 1", "/etc/p.toml:4: unknown key `frobnicate`"),
        ("\n\nzzz = 1\n[log]\nlevle = 2", "/etc/p.toml:6: unknown key `zzz`"),
    ] {
        assert_eq!(refusal(text), says);
    }
}

#[test]
fn name_servers_and_proofs_are_configured() {
    let base = "data_dir = \".\"\nhostname = \"mail.a.example\"\ndomains = [\"a.example\"]\n";
    let config = parse(base).unwrap();
    assert!(config.name_servers.is_empty());
    let wish = &config.discovery;
    assert_eq!((wish.dnssec, wish.https_port, &wish.roots), (Dnssec::Auto, 443, &None));
    let config = parse(&format!(
        "{base}[dns]\nservers = [\"192.0.2.1\", \"[::1]:5353\"]\n[discovery]\ndnssec = \"require\"\n\
         trust_anchor = \"root.key\"\nroots = \"/ca.pem\"\nhttps_port = 8443\n"
    ))
    .unwrap();
    assert_eq!(config.name_servers, ["192.0.2.1:53".parse().unwrap(), "[::1]:5353".parse().unwrap()]);
    let wish = config.discovery;
    assert_eq!((wish.dnssec, wish.https_port), (Dnssec::Require, 8443));
    assert_eq!(wish.trust_anchor.unwrap(), Path::new("/etc/root.key"), "beside the data");
    assert_eq!(wish.roots.unwrap(), Path::new("/ca.pem"));
}

#[test]
fn a_bad_value_is_refused_with_its_line_and_why() {
    for (text, says) in [
        ("offers = \"yes\"", "/etc/p.toml:4: `offers`: invalid type: string \"yes\", expected a boolean"),
        (
            "[listen]\nsmtp = [\n  \"127.0.0.1:0\",\n  \"nowhere\",\n]",
            "/etc/p.toml:7: `listen.smtp`: \"nowhere\": want an address with a port, such as 127.0.0.1:2525 or [::]:25",
        ),
        (
            "[dial]\nallow_private = [\"loopback\",\n\"10.0.0.1/33\"]",
            "/etc/p.toml:6: `dial.allow_private`: \"10.0.0.1/33\": want a net, such as 10.1.0.0/16, or \"loopback\"",
        ),
        (
            "[log]\nlevel = \"loud\"",
            "/etc/p.toml:5: `log.level`: unknown variant `loud`, expected one of `error`, `warn`, `info`, `debug`, `trace`",
        ),
        ("[limits]\nmail_bytes = 26214401", "/etc/p.toml:5: `limits.mail_bytes`: 26214401, want 65536 to 26214400"),
        ("[limits]\nmail_bytes = 65535", "/etc/p.toml:5: `limits.mail_bytes`: 65535, want 65536 to 26214400"),
        ("[passwords]\npasses = 0", "/etc/p.toml:5: `passwords.passes`: 0, want 1 to 16"),
        (
            "postmaster = \"Post Master\"",
            "/etc/p.toml:4: `postmaster`: \"Post Master\" is no mailbox name: \
             want 1 to 64 of a-z 0-9 . _ + -, dots only between others",
        ),
        (
            "[link]\nadvertise = \"mail.c.example:7678\"",
            "/etc/p.toml:5: `link.advertise`: mail.c.example lies in none of `domains`",
        ),
        (
            "[dns]\nservers = [\"127.0.0.1\", \"ns.example\"]",
            "/etc/p.toml:5: `dns.servers`: \"ns.example\": want an address, such as 127.0.0.1, [::1]:5353 or 127.0.0.1:5353",
        ),
        (
            "[dns]\nzone_file = \"z\"\nservers = [\"::1\"]",
            "/etc/p.toml:6: `dns.servers`: says nothing with `dns.zone_file`",
        ),
        (
            "[discovery]\ndnssec = \"maybe\"",
            "/etc/p.toml:5: `discovery.dnssec`: unknown variant `maybe`, expected one of `auto`, `require`, `off`",
        ),
        (
            "[discovery]\ndnssec = \"off\"\ntrust_anchor = \"root.key\"",
            "/etc/p.toml:6: `discovery.trust_anchor`: says nothing with `discovery.dnssec` off",
        ),
        ("[discovery]\nhttps_port = 0", "/etc/p.toml:5: `discovery.https_port`: want a port from 1 to 65535"),
        ("[smarthost]\nport = 25", "/etc/p.toml:5: `smarthost.port`: says nothing without `smarthost.host`"),
        (
            "[smarthost]\nhost = \"s.example\"\nuser = \"u\"",
            "/etc/p.toml:6: `smarthost.user`: wants `smarthost.password_file` too",
        ),
        (
            "[smarthost]\nhost = \"s.example\"\ntls = \"none\"\nuser = \"u\"\npassword_file = \"p\"",
            "/etc/p.toml:6: `smarthost.tls`: a password never goes without TLS",
        ),
        ("listen = 5", "/etc/p.toml:4: `listen`: want a section, [listen]"),
    ] {
        assert_eq!(refusal(text), says);
    }
}

#[test]
fn what_is_missing_or_no_toml_is_named() {
    assert_eq!(parse("").unwrap_err().to_string(), "/etc/p.toml: `data_dir` is missing");
    assert_eq!(parse("data_dir = \".\"\n").unwrap_err().to_string(), "/etc/p.toml: `hostname` is missing");
    assert_eq!(
        parse(&GOOD.replace("\"a.example\", \"B.example\"", "")).unwrap_err().to_string(),
        "/etc/p.toml:3: `domains`: want one domain at least"
    );
    assert_eq!(
        parse(&GOOD.replace("B.example", "A.example")).unwrap_err().to_string(),
        "/etc/p.toml:3: `domains`: a.example stands twice"
    );
    assert!(refusal("offers = ").starts_with("/etc/p.toml:4: "));
    assert!(refusal("offers = true\noffers = false").starts_with("/etc/p.toml:5: "));
    assert_eq!(
        Config::load(Path::new("/nowhere/p.toml")).unwrap_err().to_string(),
        "/nowhere/p.toml: No such file or directory (os error 2)"
    );
}

#[test]
fn a_file_that_is_no_text_or_endless_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("p.toml");
    std::fs::write(&file, b"hostname = \"\xff\"").unwrap();
    assert!(Config::load(&file).unwrap_err().to_string().ends_with("p.toml: not UTF-8"));
    std::fs::write(&file, "# long\n".repeat(64 * 1024)).unwrap();
    assert!(Config::load(&file).unwrap_err().to_string().ends_with("p.toml: more than 256 KiB"));
}

#[test]
fn a_socket_path_that_no_system_takes_is_refused() {
    let deep = format!("/{}", "d".repeat(107));
    let says = parse(&GOOD.replace("/srv/p", &deep)).unwrap_err().to_string();
    assert_eq!(says, "/etc/p.toml: `admin.socket`: the socket's path has 119 bytes, at most 107");
    assert!(parse(&GOOD.replace("/srv/p", &format!("/{}", "d".repeat(95)))).is_ok(), "107 bytes are taken");
}

#[test]
fn t_104_a_refusal_shows_no_control_characters() {
    for text in
        ["offers = \"\\u001b[2J\"", "\"\\u001b[2J\" = 1", "[listen]\nsmtp = [\"\\u009b\\u202e\"]", "x = \"\u{202e}\""]
    {
        let says = refusal(text);
        assert!(!says.chars().any(postline_node::shown::hides), "{says:?}");
    }
}

/// The generated file with its comments opened: every key, at its default or example.
fn every_key() -> String {
    let set: Vec<(String, String)> = KEYS
        .iter()
        .map(|key| {
            let (Default::Required(value) | Default::Is(value) | Default::None(value)) = key.default;
            (key.path.to_owned(), value.to_owned())
        })
        .collect();
    file_text(&set)
}

#[test]
fn the_generated_file_names_every_key_with_its_true_default() {
    let examples = parse(&every_key()).unwrap();
    assert!(examples.smarthost.is_some() && examples.advertise.is_some(), "examples are taken as they stand");

    let required = [("data_dir", "\"/srv/p\""), ("hostname", "\"mail.a.example\""), ("domains", "[\"a.example\"]")];
    let set = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let short: Vec<_> = required.map(|(key, value)| set(key, value)).into();
    let mut long = short.clone();
    // A smarthost's defaults say nothing without one.
    let in_force = |key: &&postline_node::config::Key| !key.path.starts_with("smarthost.");
    for key in KEYS.iter().filter(in_force) {
        if let Default::Is(value) = key.default {
            long.push(set(key.path, value));
        }
    }
    assert_eq!(parse(&file_text(&short)).unwrap(), parse(&file_text(&long)).unwrap());
}

#[test]
fn the_generated_file_fits_a_terminal() {
    for line in every_key().lines() {
        assert!(line.chars().count() <= 120, "{line}");
    }
}

#[test]
fn a_reload_names_what_waits_for_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("p.toml");
    std::fs::write(&file, GOOD).unwrap();
    let running = Config::load(&file).unwrap();
    assert!(running.reload().unwrap().waits_for_restart.is_empty());

    std::fs::write(&file, format!("{GOOD}postmaster = \"one\"\noffers = false\nlisten.smtp = [\"127.0.0.1:2525\"]\n"))
        .unwrap();
    let reloaded = running.reload().unwrap();
    assert_eq!(reloaded.waits_for_restart, ["offers", "listen.smtp"]);
    assert_eq!(reloaded.config.postmaster, "one");

    std::fs::write(&file, "nonsense").unwrap();
    assert!(running.reload().is_err(), "the old one stays in force");
}

#[test]
fn t_089_a_configuration_prints_no_password() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("pw"), "canary-of-the-smarthost\n").unwrap();
    let text = GOOD.replace("/srv/p", dir.path().to_str().unwrap())
        + "[smarthost]\nhost = \"s.example\"\nuser = \"u\"\npassword_file = \"pw\"\n";
    let printed = format!("{:?}", parse(&text).unwrap());
    assert!(printed.contains("password_file") && !printed.contains("canary"), "{printed}");
}

#[test]
fn loopback_names_both_families() {
    let config = parse(&format!("{GOOD}[dial]\nallow_private = [\"loopback\", \"fd00::/8\"]\n")).unwrap();
    for (ip, allowed) in
        [("127.9.9.9", true), ("::1", true), ("fd12::1", true), ("10.0.0.1", false), ("fe80::1", false)]
    {
        assert_eq!(may_reach(ip.parse().unwrap(), &config.allow_private).is_ok(), allowed, "{ip}");
    }
}

proptest! {
    #[test]
    fn any_text_is_taken_or_refused(text in "[ -~\n]{0,200}") {
        if let Err(fault) = parse(&format!("{GOOD}{text}")) {
            prop_assert!(fault.to_string().starts_with("/etc/p.toml"), "{}", fault);
        }
    }

    #[test]
    fn a_key_with_one_letter_wrong_leads_back_to_it(at in 0..KEYS.len(), letter in any::<prop::sample::Index>()) {
        let path = KEYS[at].path;
        // Without its last letter it is a key too.
        prop_assume!(!path.starts_with("listen.submission"));
        let name = path.find('.').map_or(0, |dot| dot + 1);
        let letter = name + letter.index(path.len() - name);
        let wrong = format!("{}q{}", &path[..letter], &path[letter + 1..]);
        let says = refusal(&format!("{wrong} = 1"));
        let hint = format!("/etc/p.toml:4: unknown key `{wrong}`, did you mean `{path}`?");
        prop_assert!(says == hint, "{}", says);
    }
}
