//! Users, aliases, tags and roles: which address leads to whom, who may log in, and what survives.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::Path;
use std::time::{Duration, Instant};

use postline_core::id::{Address, Mailbox};
use postline_node::config::Config;
use postline_node::directory::{Directory, DirectoryFault, Live, Resolved, mailbox_name};
use proptest::prelude::*;

fn config(dir: &Path) -> Config {
    config_with(dir, "")
}

fn config_with(dir: &Path, more: &str) -> Config {
    let text = format!(
        "data_dir = {dir:?}\nhostname = \"mail.a.example\"\ndomains = [\"a.example\", \"b.example\"]\npostmaster = \"one\"\n\
         passwords.memory_kib = 64\npasswords.passes = 1\n{more}"
    );
    Config::parse(Path::new("p.toml"), &text).unwrap()
}

fn two_users(dir: &Path) -> Directory {
    let mut directory = Directory::load(&config(dir)).unwrap();
    directory.add("one", "correct horse").unwrap();
    directory.add("two", "battery staple").unwrap();
    directory
}

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

fn local(name: &str) -> Resolved {
    Resolved::Local(Mailbox(name.into()))
}

#[test]
fn an_address_leads_to_its_user_with_any_tag_and_case_in_every_domain() {
    let dir = tempfile::tempdir().unwrap();
    let directory = two_users(dir.path());
    for ours in
        ["one@a.example", "One@A.example", "ONE@b.example", "one+shop@a.example", "one+a+b@a.example", "one+@a.example"]
    {
        assert_eq!(directory.resolve(&address(ours)), local("one"), "{ours}");
    }
    for nobody in ["three@a.example", "+one@a.example", "three+one@a.example", "one.two@a.example"] {
        assert_eq!(directory.resolve(&address(nobody)), Resolved::Unknown, "{nobody}");
    }
    assert_eq!(directory.resolve(&address("one@c.example")), Resolved::Remote);
    assert_eq!(directory.resolve(&address("one@sub.a.example")), Resolved::Remote);
}

#[test]
fn a_user_with_a_plus_in_the_name_comes_before_a_tag() {
    let dir = tempfile::tempdir().unwrap();
    let mut directory = two_users(dir.path());
    directory.add("one+two", "plus password").unwrap();
    assert_eq!(directory.resolve(&address("one+two@a.example")), local("one+two"));
    assert_eq!(directory.resolve(&address("one+three@a.example")), local("one"));
    assert!(!directory.owns(&Mailbox("one".into()), &address("one+two@a.example")));
}

#[test]
fn postmaster_and_abuse_always_lead_to_somebody() {
    let dir = tempfile::tempdir().unwrap();
    let mut directory = Directory::load(&config(dir.path())).unwrap();
    assert!(matches!(directory.check(), Err(DirectoryFault::NoPostmaster(_))));
    assert_eq!(directory.resolve(&address("postmaster@a.example")), Resolved::Unknown);

    directory.add("one", "correct horse").unwrap();
    directory.add("two", "battery staple").unwrap();
    directory.check().unwrap();
    for role in ["postmaster@a.example", "PostMaster@b.example", "abuse@a.example", "abuse+x@b.example"] {
        assert_eq!(directory.resolve(&address(role)), local("one"), "{role}");
    }
    directory.add_alias("abuse@b.example", "two").unwrap();
    assert_eq!(directory.resolve(&address("abuse@b.example")), local("two"));
    assert!(matches!(directory.remove("one"), Err(DirectoryFault::IsPostmaster(_))));
}

#[test]
fn an_alias_leads_to_one_user_and_is_theirs_to_send_from() {
    let dir = tempfile::tempdir().unwrap();
    let mut directory = two_users(dir.path());
    directory.add_alias("Sales@a.example", "two").unwrap();
    let (one, two) = (Mailbox("one".into()), Mailbox("two".into()));
    assert_eq!(directory.resolve(&address("SALES+q3@a.example")), local("two"));
    assert_eq!(directory.resolve(&address("sales@b.example")), Resolved::Unknown, "an alias lies in one domain");
    assert!(directory.owns(&two, &address("sales@a.example")) && !directory.owns(&one, &address("sales@a.example")));
    assert!(directory.owns(&one, &address("One+x@b.example")) && !directory.owns(&two, &address("one@a.example")));
    assert!(!directory.owns(&one, &address("one@c.example")), "foreign addresses are nobody's");
    assert!(!directory.owns(&one, &address("nobody@a.example")));

    assert!(matches!(directory.add_alias("one@a.example", "two"), Err(DirectoryFault::IsUser { .. })));
    assert!(matches!(directory.add_alias("x@a.example", "sales"), Err(DirectoryFault::NoUser(_))), "no chains");
    assert!(matches!(directory.add_alias("x@c.example", "two"), Err(DirectoryFault::NotOurs(_))));
    assert!(matches!(directory.add_alias("sales@a.example", "one"), Err(DirectoryFault::AliasIsThere { .. })));
    assert!(matches!(directory.add("sales", "long enough"), Err(DirectoryFault::AliasIsThere { .. })));
    assert!(matches!(directory.remove("two"), Err(DirectoryFault::HasAlias { .. })));
    directory.remove_alias("sales@A.example").unwrap();
    assert!(matches!(directory.remove_alias("sales@a.example"), Err(DirectoryFault::NoAlias(_))));
    directory.remove("two").unwrap();
    assert_eq!(directory.resolve(&address("two@a.example")), Resolved::Unknown);
}

/// Where Dovecot delivers, `one@a.example` and `one@b.example` are two people, whatever names our own directory knows.
#[test]
fn t_002_a_login_of_another_server_speaks_for_nobody_in_another_domain() {
    let dir = tempfile::tempdir().unwrap();
    two_users(dir.path()).add_alias("sales@a.example", "one").unwrap();
    let speaks = |directory: &Directory, login: &str, who: &str| directory.speaks_for(login, &address(who));
    let ours = Directory::load(&config(dir.path())).unwrap();
    assert!(speaks(&ours, "one@b.example", "one@a.example"), "in our own mailboxes they are one person");
    let theirs = Directory::load(&config_with(dir.path(), "beside.deliver = \"127.0.0.1:24\"\n")).unwrap();
    for other in ["one@a.example", "sales@a.example", "one+tag@a.example"] {
        assert!(!speaks(&theirs, "one@b.example", other), "{other}");
        assert!(speaks(&theirs, "ONE@A.example", other), "{other}");
    }
    assert!(speaks(&theirs, "one", "sales@a.example"), "a login without domain is one person in all of them");
    for login in ["two@a.example", "one@c.example", "one@", "@a.example", "", "one@b.example@a.example"] {
        assert!(!speaks(&theirs, login, "one@a.example"), "{login:?}");
    }
}

#[test]
fn a_login_takes_the_name_or_an_address_and_the_newest_password() {
    let dir = tempfile::tempdir().unwrap();
    let mut directory = two_users(dir.path());
    for name in ["one", "ONE", "one@a.example", "One@B.EXAMPLE"] {
        assert_eq!(directory.login(name, "correct horse"), Some(Mailbox("one".into())), "{name}");
    }
    for (name, password) in [
        ("one", "battery staple"),
        ("one", ""),
        ("one", "correct horse "),
        ("one@c.example", "correct horse"),
        ("one+tag", "correct horse"),
        ("one+tag@a.example", "correct horse"),
        ("postmaster@a.example", "correct horse"),
        ("three", "correct horse"),
        ("", ""),
        ("@", ""),
        ("../one", "correct horse"),
    ] {
        assert_eq!(directory.login(name, password), None, "{name:?} {password:?}");
    }
    directory.passwd("one", "new password").unwrap();
    assert_eq!(directory.login("one", "correct horse"), None);
    assert!(directory.login("one", "new password").is_some());
}

#[test]
#[allow(clippy::disallowed_methods)] // It measures.
fn t_106_an_unknown_user_costs_as_much_as_a_wrong_password() {
    let dir = tempfile::tempdir().unwrap();
    let heavy = config_with(dir.path(), "").with_cost(4_096, 2);
    let mut directory = Directory::load(&heavy).unwrap();
    directory.add("one", "correct horse").unwrap();
    let took = |user: &str| {
        let start = Instant::now();
        assert_eq!(directory.login(user, "wrong password"), None);
        start.elapsed()
    };
    // The quickest of many, taken by turns: what else the machine does then counts little.
    for unknown in ["three", "one@c.example", "no such name at all", ""] {
        let turns: Vec<(Duration, Duration)> = (0..15).map(|_| (took("one"), took(unknown))).collect();
        let known = turns.iter().map(|(known, _)| *known).min().unwrap();
        let other = turns.iter().map(|(_, other)| *other).min().unwrap();
        assert!(other * 4 > known && other < known * 4, "{unknown:?}: {other:?}, known {known:?}");
    }
}

#[test]
fn what_was_changed_survives_and_is_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    two_users(dir.path()).add_alias("sales@a.example", "two").unwrap();
    let again = Directory::load(&config(dir.path())).unwrap();
    assert_eq!(again.users().map(ToString::to_string).collect::<Vec<_>>(), ["one", "two"]);
    assert_eq!(again.aliases().count(), 1);
    assert!(again.login("two", "battery staple").is_some());
    let file = dir.path().join("users.json");
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains("$argon2id$") && !text.contains("battery"), "{text}");
}

#[test]
fn two_writers_lose_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path();
    std::thread::scope(|scope| {
        for writer in 0..4 {
            scope.spawn(move || {
                let mut directory = Directory::load(&config(path)).unwrap();
                for user in 0..5 {
                    directory.add(&format!("user{writer}{user}"), "long enough").unwrap();
                }
            });
        }
    });
    assert_eq!(Directory::load(&config(path)).unwrap().users().count(), 20);
}

#[test]
fn a_crash_between_write_and_rename_leaves_the_old_users() {
    let dir = tempfile::tempdir().unwrap();
    two_users(dir.path());
    std::fs::write(dir.path().join("users.json.new"), "{\"version\":1,\"us").unwrap();
    let mut again = Directory::load(&config(dir.path())).unwrap();
    assert_eq!(again.users().count(), 2);
    again.add("three", "long enough").unwrap();
    assert!(!dir.path().join("users.json.new").exists());
}

#[test]
fn a_damaged_file_is_named_and_not_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("users.json");
    for (bad, says) in [
        ("{", "EOF while parsing an object at line 1 column 1"),
        ("{\"version\":2,\"users\":{},\"aliases\":{}}", "version 2, newest known 1"),
        (
            "{\"version\":1,\"users\":{\"one\":{\"password\":\"plain\"}},\"aliases\":{}}",
            "the password of one is no argon2id hash",
        ),
        (
            "{\"version\":1,\"users\":{},\"aliases\":{\"x@a.example\":\"one\"}}",
            "alias x@a.example leads to one, who is no user",
        ),
        ("{\"version\":1,\"users\":{\"..\":{\"password\":\"x\"}},\"aliases\":{}}", "\"..\" is no mailbox name"),
    ] {
        std::fs::write(&file, bad).unwrap();
        let fault = Directory::load(&config(dir.path())).unwrap_err().to_string();
        assert!(fault.contains("users.json: damaged: ") && fault.contains(says), "{fault}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), bad);
    }
}

#[test]
fn a_running_node_follows_the_file_and_keeps_the_old_one_when_it_is_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    let live = Live::new(two_users(dir.path()));
    assert!(!live.refresh(&config).unwrap(), "nothing changed");
    Directory::load(&config).unwrap().add("three", "long enough").unwrap();
    assert!(live.refresh(&config).unwrap());
    assert_eq!(live.current().resolve(&address("three@a.example")), local("three"));

    let mut other = config.clone();
    other.postmaster = "two".into();
    assert!(live.refresh(&other).unwrap());
    assert_eq!(live.current().resolve(&address("abuse@a.example")), local("two"));
    other.postmaster = "nobody".into();
    assert!(matches!(live.refresh(&other), Err(DirectoryFault::NoPostmaster(_))));

    std::fs::write(dir.path().join("users.json"), "{").unwrap();
    assert!(live.refresh(&config).is_err());
    assert_eq!(live.current().users().count(), 3);
}

#[test]
fn names_and_passwords_have_bounds() {
    let dir = tempfile::tempdir().unwrap();
    let mut directory = two_users(dir.path());
    for bad in ["", ".", "..", ".one", "one.", "o..ne", "One", "o ne", "o/ne", "ö", "one\n", &"x".repeat(65)] {
        assert!(matches!(directory.add(bad, "long enough"), Err(DirectoryFault::Name(_))), "{bad:?}");
    }
    for good in ["o.n_e+1-", &"x".repeat(64)] {
        directory.add(good, "long enough").unwrap();
    }
    for bad in ["", "seven77", &"x".repeat(1_025)] {
        assert!(matches!(directory.add("fresh", bad), Err(DirectoryFault::Password)), "{bad:?}");
    }
    assert!(matches!(directory.add("two", "long enough"), Err(DirectoryFault::UserIsThere(_))));
    assert!(matches!(directory.passwd("fresh", "long enough"), Err(DirectoryFault::NoUser(_))));
    assert!(matches!(directory.remove("fresh"), Err(DirectoryFault::NoUser(_))));
}

#[test]
fn t_089_a_directory_prints_no_hash() {
    let dir = tempfile::tempdir().unwrap();
    let printed = format!("{:?}", two_users(dir.path()));
    assert!(printed.contains("PasswordHash(..)") && !printed.contains("argon2"), "{printed}");
}

/// A cost that shows in time.
trait WithCost {
    fn with_cost(self, memory_kib: u32, passes: u32) -> Self;
}

impl WithCost for Config {
    fn with_cost(mut self, memory_kib: u32, passes: u32) -> Self {
        self.passwords.memory_kib = memory_kib;
        self.passwords.passes = passes;
        self
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn every_mailbox_name_is_a_local_part_and_one_directory(name in "[a-z0-9._+-]{1,64}") {
        if let Ok(mailbox) = mailbox_name(&name) {
            let address = format!("{mailbox}@a.example");
            prop_assert!(Address::parse(&address).is_ok());
            prop_assert_eq!(Path::new(&mailbox.0).components().count(), 1);
            prop_assert!(!mailbox.0.starts_with('.'));
        }
    }
}
