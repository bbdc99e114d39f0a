//! A Postfix beside us, as its own `postconf` tells: who sees a mail first, and what happens while we are down.

use std::collections::BTreeMap;
use std::process::Stdio;

use tokio::process::Command;
use tokio::time::timeout;

use super::{Finding, PROBE, Scene};
use crate::beside::Place;

/// The largest configuration that is read, in bytes.
const TEXT_BYTES: usize = 1024 * 1024;
const IDS: [&str; 4] = ["postfix.milters", "postfix.default_action", "postfix.transports", "postfix.reinject"];

pub(super) async fn findings(scene: &Scene<'_>) -> Vec<Finding> {
    let all = |finding: &dyn Fn(&'static str) -> Finding| IDS.map(finding).to_vec();
    if scene.config.check.postconf.is_empty() {
        return all(&|id| Finding::skipped(id, "", "check.postconf names no command"));
    }
    let (settings, master) = tokio::join!(ask(scene, "-n"), ask(scene, "-M"));
    match (settings, master) {
        (Ok(settings), Ok(master)) => judge(scene, &self::settings(&settings), &master),
        (Err(why), _) | (_, Err(why)) => {
            let next = "let check.postconf name it, such as [\"/usr/sbin/postconf\"]";
            all(&|id| Finding::failure(id, "", &why, next))
        }
    }
}

async fn ask(scene: &Scene<'_>, what: &str) -> Result<String, String> {
    let Some((program, args)) = scene.config.check.postconf.split_first() else { return Err("no command".to_owned()) };
    let mut command = Command::new(program);
    command.args(args).arg(what).stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(PROBE, command.output()).await.map_err(|_| format!("{program} {what}: no answer in time"))?;
    let output = output.map_err(|why| format!("{program}: {why}"))?;
    if !output.status.success() {
        return Err(format!(
            "{program} {what}: {}",
            crate::shown::shown(&String::from_utf8_lossy(&output.stderr), 200)
        ));
    }
    let text = output.stdout.get(..TEXT_BYTES.min(output.stdout.len())).unwrap_or_default();
    Ok(String::from_utf8_lossy(text).into_owned())
}

/// `name = value` lines; a line that begins with white space goes on.
fn settings(text: &str) -> BTreeMap<String, String> {
    let mut settings: BTreeMap<String, String> = BTreeMap::new();
    let mut last = String::new();
    for line in text.lines() {
        if line.starts_with(char::is_whitespace) {
            settings.entry(last.clone()).or_default().push_str(line);
        } else if let Some((name, value)) = line.split_once('=') {
            name.trim().clone_into(&mut last);
            settings.insert(last.clone(), value.trim().to_owned());
        }
    }
    settings
}

fn judge(scene: &Scene<'_>, settings: &BTreeMap<String, String>, master: &str) -> Vec<Finding> {
    let value = |name: &str| settings.get(name).map_or("", String::as_str);
    let hooks = &scene.hooks;
    let mut findings = Vec::new();
    findings.push(match &hooks.milter {
        None => Finding::skipped("postfix.milters", "", "no milter is configured"),
        Some(ours) => milters(ours, value("smtpd_milters"), master),
    });
    let list = milter_list(value("smtpd_milters"), master);
    let ours = hooks.milter.as_ref().map(milter_name);
    let its_own =
        list.iter().find(|milter| Some(&milter.name) == ours.as_ref()).and_then(|milter| milter.action.as_deref());
    findings.push(match its_own.unwrap_or_else(|| value("milter_default_action")) {
        "accept" => Finding::ok("postfix.default_action", "", "mail goes on without us"),
        other => {
            let found = if other.is_empty() { "tempfail" } else { other };
            let cause = format!("it is {found}: while the node is down, mail is refused");
            Finding::failure("postfix.default_action", "", cause, "postconf -e milter_default_action=accept")
        }
    });
    let transports = [("virtual_transport", &hooks.lmtp_in), ("default_transport", &hooks.lmtp_out)];
    let mut named = 0;
    for (name, hook) in transports {
        let Some(at) = hook else { continue };
        named += 1;
        let want = transport(at);
        findings.push(if value(name).trim() == want {
            Finding::ok("postfix.transports", name, want)
        } else {
            let cause = format!("it is {:?}", crate::shown::shown(value(name), 100));
            Finding::failure("postfix.transports", name, cause, format!("postconf -e {name}={want}"))
        });
    }
    if named == 0 {
        findings.push(Finding::skipped("postfix.transports", "", "no LMTP is configured"));
    }
    findings.push(match &hooks.reinject {
        None => Finding::skipped("postfix.reinject", "", "no reinjection is configured"),
        Some(at) => reinject(at, master),
    });
    findings
}

/// How Postfix writes a transport to an endpoint.
fn transport(at: &Place) -> String {
    match at {
        Place::Tcp(at) => format!("lmtp:inet:{at}"),
        Place::Unix(path) => format!("lmtp:unix:{}", path.display()),
    }
}

/// How Postfix writes a milter's place.
fn milter_name(at: &Place) -> String {
    match at {
        Place::Tcp(at) => format!("inet:{at}"),
        Place::Unix(path) => format!("unix:{}", path.display()),
    }
}

/// A milter, as Postfix lists it.
struct Milter {
    name: String,
    /// What is done without it, where its own entry says so.
    action: Option<String>,
}

/// The milters of submission: its own list in master.cf, or main.cf's. An entry is a place, or `{ place, name=value … }`.
fn milter_list(general: &str, master: &str) -> Vec<Milter> {
    let own = master
        .lines()
        .filter(|line| line.starts_with("submission") || line.starts_with("smtps"))
        .find_map(|line| line.split_once("smtpd_milters="))
        .map(|(_, list)| list.split(" -o ").next().unwrap_or_default());
    let (mut entries, mut braced) = (vec![String::new()], false);
    for c in own.unwrap_or(general).chars() {
        match c {
            '{' | '}' => braced = c == '{',
            ',' | ' ' | '\t' if !braced => entries.push(String::new()),
            c => entries.last_mut().into_iter().for_each(|entry| entry.push(c)),
        }
    }
    let milter = |entry: &String| {
        let mut words = entry.split([',', ' ', '\t']).filter(|word| !word.is_empty());
        let name = words.next()?.to_owned();
        let action = words.find_map(|word| word.strip_prefix("default_action=")).map(str::to_owned);
        Some(Milter { name, action })
    };
    entries.iter().filter_map(milter).collect()
}

/// Ours must come first among them: what it adds is then signed.
fn milters(ours: &Place, general: &str, master: &str) -> Finding {
    let (id, ours) = ("postfix.milters", milter_name(ours));
    let next = format!("smtpd_milters = {ours}, and the one that signs (OpenDKIM, rspamd) behind it");
    match milter_list(general, master).iter().position(|milter| milter.name == ours) {
        Some(0) => Finding::ok(id, "", "ours is the first"),
        Some(_) => Finding::failure(id, "", "ours comes behind another: what it adds is not signed", next),
        None => Finding::failure(id, "", "ours is not among them: no mail carries an offer", next),
    }
}

/// The listener must not bring mail to us again.
fn reinject(at: &Place, master: &str) -> Finding {
    let id = "postfix.reinject";
    let Place::Tcp(listener) = at else {
        return Finding::skipped(id, at, "a socket, which master.cf names in its own way");
    };
    let (named, port) = (listener.to_string(), listener.port().to_string());
    let loopback = listener.ip().is_loopback();
    let is_it = |line: &&str| {
        let mut words = line.split_whitespace();
        let name = words.next().unwrap_or_default();
        (name == named.as_str() || (loopback && (name == port.as_str() || name.ends_with(&format!(":{port}")))))
            && words.next() == Some("inet")
    };
    let next = "contrib/postfix has the lines for master.cf";
    match master.lines().find(is_it) {
        None => Finding::failure(id, named, "master.cf has no such listener: what has no line can't go on", next),
        Some(line) if !line.contains("content_filter=smtp:") => {
            Finding::failure(id, named, "it has no content_filter=smtp: , so mail comes round again", next)
        }
        Some(_) => Finding::ok(id, named, "there, and mail leaves from it"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    const MASTER: &str = "smtp       inet  n       -       y       -       -       smtpd\n\
        submission inet  n       -       y       -       -       smtpd -o syslog_name=s -o smtpd_milters=inet:127.0.0.1:7680,inet:localhost:8891 -o x=y\n\
        127.0.0.1:10026 inet n   -       n       -       -       smtpd -o content_filter=smtp: -o smtpd_milters=\n";

    #[test]
    fn our_milter_must_stand_before_the_one_that_signs() {
        let ours: Place = "127.0.0.1:7680".parse().unwrap();
        assert_eq!(milters(&ours, "", MASTER).level, Level::Ok, "submission's own list counts");
        assert_eq!(milters(&ours, "inet:127.0.0.1:7680", "").level, Level::Ok, "else main.cf's");
        let behind = milters(&ours, "inet:localhost:8891, inet:127.0.0.1:7680", "");
        assert!(behind.level == Level::Failure && behind.cause.contains("not signed"), "{behind:?}");
        assert!(milters(&ours, "inet:localhost:8891", "").cause.contains("not among them"));
        let braced = "{ inet:127.0.0.1:7680, connect_timeout=2s, default_action=accept }, inet:127.0.0.1:8891";
        assert_eq!(milters(&ours, braced, "").level, Level::Ok);
        assert_eq!(milter_list(braced, "").first().and_then(|milter| milter.action.as_deref()), Some("accept"));
        let unix: Place = "unix:/run/postline/milter".parse().unwrap();
        assert_eq!(milters(&unix, "unix:/run/postline/milter unix:opendkim", "").level, Level::Ok);
    }

    #[test]
    fn the_listener_that_takes_mail_back_must_not_bring_it_round_again() {
        let at: Place = "127.0.0.1:10026".parse().unwrap();
        assert_eq!(reinject(&at, MASTER).level, Level::Ok);
        assert!(reinject(&at, &MASTER.replace("content_filter=smtp:", "x=y")).cause.contains("round again"));
        assert!(reinject(&at, "smtp inet n - y - - smtpd\n").cause.contains("no such listener"));
    }

    #[test]
    fn a_setting_goes_on_in_the_next_line() {
        let found = settings("a = b,\n    c\nempty =\n");
        assert_eq!((found["a"].as_str(), found["empty"].as_str()), ("b,    c", ""));
    }
}
