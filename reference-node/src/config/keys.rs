//! Every key that the configuration knows, in one table: what is refused, what is hinted at, and what the generated file
//! says all come from here.

use std::fmt::Write as _;

use super::Config;

/// One key of the configuration.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its full name, `section.name`.
    pub path: &'static str,
    /// Its value where the file says nothing.
    pub default: Default,
    /// When a change of it takes effect.
    pub change: Change,
    /// What it is, for people, in lines of at most 110 columns.
    pub doc: &'static str,
}

/// What a key is where the file says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Default {
    /// The file must say it; an example, as TOML.
    Required(&'static str),
    /// This, as TOML.
    Is(&'static str),
    /// Nothing; an example, as TOML.
    None(&'static str),
}

/// When a changed key takes effect.
#[derive(Clone, Copy, Debug)]
pub enum Change {
    /// On `SIGHUP`, or `postline reload`.
    Reload,
    /// When the node starts again; the function says whether two configurations agree on the key.
    Restart(fn(&Config, &Config) -> bool),
}

/// The keys, in the order in which the generated file shows them. Keys without a section come first.
pub const KEYS: &[Key] = &[
    Key {
        path: "data_dir",
        default: Default::Required("\".\""),
        change: Change::Restart(|old, new| old.data_dir == new.data_dir),
        doc: "The directory that holds all that the node keeps: keys, users, store, mail.\n\
              A relative path starts at this file's directory; every other relative path in this file starts at data_dir.",
    },
    Key {
        path: "hostname",
        default: Default::Required("\"mail.a.example\""),
        change: Change::Restart(|old, new| old.hostname == new.hostname),
        doc: "The name that the node says in SMTP; it should have an address record, and a PTR record that leads back.",
    },
    Key {
        path: "domains",
        default: Default::Required("[\"a.example\"]"),
        change: Change::Restart(|old, new| old.domains == new.domains),
        doc: "The mail domains that this node serves. Every user has an address in each of them.",
    },
    Key {
        path: "postmaster",
        default: Default::Is("\"postmaster\""),
        change: Change::Reload,
        doc: "The user who gets mail for postmaster@ and abuse@ in every domain (RFC 5321 4.5.1, RFC 2142).\n\
              The node doesn't start without that user.",
    },
    Key {
        path: "offers",
        default: Default::Is("true"),
        change: Change::Restart(|old, new| old.offers == new.offers),
        doc: "Whether mails that users write carry an offer, so that a reply can open a line.",
    },
    Key {
        path: "hosted.devices",
        default: Default::Is("\"asked\""),
        change: Change::Restart(|old, new| old.hosted_devices == new.hosted_devices),
        doc: "Devices that the node runs for people who have only a mail program: it reads what is sealed to them, and\n\
              everybody in the conversation is shown that. \"asked\": for those that `postline device host` names;\n\
              \"off\": for nobody.",
    },
    Key {
        path: "listen.smtp",
        default: Default::Is("[\"0.0.0.0:25\"]"),
        change: Change::Restart(|old, new| old.listen.smtp == new.listen.smtp),
        doc: "Where other servers bring mail. An empty list listens nowhere; \"[::]:25\" takes IPv6 and IPv4 on Linux.",
    },
    Key {
        path: "listen.submission",
        default: Default::Is("[\"0.0.0.0:587\"]"),
        change: Change::Restart(|old, new| old.listen.submission == new.listen.submission),
        doc: "Where users' mail programs bring mail, TLS by STARTTLS.",
    },
    Key {
        path: "listen.submissions",
        default: Default::Is("[\"0.0.0.0:465\"]"),
        change: Change::Restart(|old, new| old.listen.submissions == new.listen.submissions),
        doc: "Where users' mail programs bring mail, TLS from the first byte.",
    },
    Key {
        path: "listen.link",
        default: Default::Is("[\"0.0.0.0:7678\"]"),
        change: Change::Restart(|old, new| old.listen.link == new.listen.link),
        doc: "Where other nodes open links, and users' devices sessions.",
    },
    Key {
        path: "tls.cert",
        default: Default::Is("\"tls/cert.pem\""),
        change: Change::Reload,
        doc: "The certificate chain for SMTP, PEM.",
    },
    Key {
        path: "tls.key",
        default: Default::Is("\"tls/key.pem\""),
        change: Change::Reload,
        doc: "Its private key, PEM.",
    },
    Key {
        path: "link.advertise",
        default: Default::None("\"mail.a.example:7678\""),
        change: Change::Restart(|old, new| old.advertise == new.advertise),
        doc: "What our offers name as the place to open links, host:port, for domains without an SRV record.\n\
              The host must lie in one of `domains`; the port is 443, 7678, or from 1024 on.",
    },
    Key {
        path: "smarthost.host",
        default: Default::None("\"smtp.provider.example\""),
        change: Change::Reload,
        doc: "A server that takes all outgoing mail; without it mail goes to each domain's MX.",
    },
    Key { path: "smarthost.port", default: Default::Is("587"), change: Change::Reload, doc: "Its port." },
    Key {
        path: "smarthost.tls",
        default: Default::Is("\"starttls\""),
        change: Change::Reload,
        doc: "\"starttls\", \"implicit\", or \"none\". The server's certificate is checked; a password never goes without TLS.",
    },
    Key {
        path: "smarthost.user",
        default: Default::None("\"a-node\""),
        change: Change::Reload,
        doc: "The login at the smarthost, where it wants one.",
    },
    Key {
        path: "smarthost.password_file",
        default: Default::None("\"keys/smarthost.password\""),
        change: Change::Reload,
        doc: "The file whose first line is its password; only its owner may read it.",
    },
    Key {
        path: "dns.servers",
        default: Default::Is("[]"),
        change: Change::Restart(|old, new| old.name_servers == new.name_servers),
        doc: "The name servers to ask instead of the system's: addresses, with a port where it isn't 53. They must resolve for\n\
              others (recursive), and pass DNSSEC on.",
    },
    Key {
        path: "dns.zone_file",
        default: Default::None("\"zone.txt\""),
        change: Change::Restart(|old, new| old.zone_file == new.zone_file),
        doc: "Answers DNS questions from a file instead of the system's resolvers: for tests and the demo.",
    },
    Key {
        path: "discovery.dnssec",
        default: Default::Is("\"auto\""),
        change: Change::Restart(|old, new| old.discovery.dnssec == new.discovery.dnssec),
        doc: "Whether `_postline` records of other domains count, which must be proven by DNSSEC: \"auto\", where the name servers\n\
              pass proofs on; \"require\"; or \"off\".",
    },
    Key {
        path: "discovery.trust_anchor",
        default: Default::None("\"root.key\""),
        change: Change::Restart(|old, new| old.discovery.trust_anchor == new.discovery.trust_anchor),
        doc: "A file of DNSKEY records to start proofs from, instead of the root's keys.",
    },
    Key {
        path: "discovery.roots",
        default: Default::None("\"authorities.pem\""),
        change: Change::Restart(|old, new| old.discovery.roots == new.discovery.roots),
        doc: "The certificate authorities that vouch for well-known documents, PEM, instead of the system's.",
    },
    Key {
        path: "discovery.https_port",
        default: Default::Is("443"),
        change: Change::Restart(|old, new| old.discovery.https_port == new.discovery.https_port),
        doc: "The port at which well-known documents of other domains are asked for: anything but 443 is for tests.",
    },
    Key {
        path: "dial.allow_private",
        default: Default::Is("[]"),
        change: Change::Restart(|old, new| old.allow_private == new.allow_private),
        doc: "Networks that links and mail may be sent to although they are private: \"10.1.0.0/16\", \"fd00::/8\", \"loopback\".",
    },
    Key {
        path: "dkim.selector",
        default: Default::Is("\"postline\""),
        change: Change::Restart(|old, new| old.dkim.selector == new.dkim.selector),
        doc: "Where the domains publish the keys that sign our mail (RFC 6376 3.1): <selector>-rsa and <selector>-ed25519.",
    },
    Key {
        path: "dkim.dir",
        default: Default::Is("\"dkim\""),
        change: Change::Restart(|old, new| old.dkim.dir == new.dkim.dir),
        doc: "The directory of those keys.",
    },
    Key {
        path: "maildir.root",
        default: Default::Is("\"mail\""),
        change: Change::Restart(|old, new| old.maildir_root == new.maildir_root),
        doc: "The directory of the users' mailboxes, one Maildir each, named like the user.",
    },
    Key {
        path: "http.listen",
        default: Default::Is("[]"),
        change: Change::Restart(|old, new| old.http.listen == new.http.listen),
        doc: "Where /metrics, /healthz, /readyz and /.well-known/postline are shown, without TLS: for the operator's monitoring\n\
              and for a web server that passes the last one on. \"127.0.0.1:7680\" keeps it on this machine.",
    },
    Key {
        path: "http.public",
        default: Default::Is("[]"),
        change: Change::Restart(|old, new| old.http.public == new.http.public),
        doc: "Where everybody is shown /.well-known/postline, and devices in browsers open sessions by WebSocket at /postline,\n\
              with the certificate of [tls]: \"0.0.0.0:443\" where no web server has that port.",
    },
    Key {
        path: "http.origins",
        default: Default::Is("[]"),
        change: Change::Restart(|old, new| old.http.origins == new.http.origins),
        doc: "The web pages that may open sessions, by origin: \"https://chat.a.example\"; \"*\" for every page there is.\n\
              Programs that are no browsers name no origin, and always may. A page must still know a login or a device's key.",
    },
    Key {
        path: "dovecot.dict",
        default: Default::None("\"/run/postline/dict\""),
        change: Change::Restart(|old, new| old.dovecot.dict == new.dovecot.dict),
        doc: "A socket for a Dovecot on this machine: by it, mail programs see and change what the node knows of them.\n\
              See contrib/dovecot. Whoever may write to it speaks for every user. At most 103 bytes.",
    },
    Key {
        path: "dovecot.group",
        default: Default::None("\"dovecot\""),
        change: Change::Restart(|old, new| old.dovecot.group == new.dovecot.group),
        doc: "The group that may write to it, by name or number; without, only the node's own user.",
    },
    Key {
        path: "dovecot.auth",
        default: Default::None("\"/run/dovecot/auth-client\""),
        change: Change::Restart(|old, new| old.dovecot.auth == new.dovecot.auth),
        doc: "Dovecot's socket that checks logins: users log in at the submission ports as they do at Dovecot.",
    },
    Key {
        path: "admin.socket",
        default: Default::Is("\"admin.sock\""),
        change: Change::Restart(|old, new| old.admin_socket == new.admin_socket),
        doc: "The socket by which the command line talks to the running node. Its whole path has at most 107 bytes.",
    },
    Key {
        path: "log.format",
        default: Default::Is("\"text\""),
        change: Change::Restart(|old, new| old.log.format == new.log.format),
        doc: "\"text\" for people, or \"json\" for programs. Logs go to stderr.",
    },
    Key {
        path: "log.level",
        default: Default::Is("\"info\""),
        change: Change::Restart(|old, new| old.log.level == new.log.level),
        doc: "\"error\", \"warn\", \"info\", \"debug\" or \"trace\". No level logs bodies or secrets.",
    },
    Key {
        path: "check.outbound",
        default: Default::None("\"mx.provider.example:25\""),
        change: Change::Reload,
        doc: "A mail server elsewhere, host:port, with which `postline check` tries whether mail can leave. It only greets.",
    },
    Key {
        path: "check.postconf",
        default: Default::Is("[]"),
        change: Change::Reload,
        doc: "The command that prints a Postfix's configuration, for `postline check`: [\"/usr/sbin/postconf\"].",
    },
    Key {
        path: "limits.mail_bytes",
        default: Default::Is("26214400"),
        change: Change::Restart(|old, new| old.mail_bytes == new.mail_bytes),
        doc: "The largest mail that is taken, in bytes. It can only be lowered, to 65536 at least (RFC 5321 4.5.3.1.7).",
    },
    Key {
        path: "beside.milter",
        default: Default::None("\"127.0.0.1:7680\""),
        change: Change::Restart(|old, new| old.beside.milter == new.beside.milter),
        doc: "Beside Postfix: where its milter client has us stamp mail of logged-in users, before the DKIM signer.\n\
              An address with a port, or \"unix:/path\". Who reaches this or the next two can write as anybody here.",
    },
    Key {
        path: "beside.lmtp_in",
        default: Default::None("\"127.0.0.1:7681\""),
        change: Change::Restart(|old, new| old.beside.lmtp_in == new.beside.lmtp_in),
        doc: "Where it brings mail for our users, by LMTP: virtual_transport in contrib/postfix.",
    },
    Key {
        path: "beside.lmtp_out",
        default: Default::None("\"127.0.0.1:7682\""),
        change: Change::Restart(|old, new| old.beside.lmtp_out == new.beside.lmtp_out),
        doc: "Where it brings mail for elsewhere, by SMTP or LMTP: default_transport in contrib/postfix.",
    },
    Key {
        path: "beside.reinject",
        default: Default::None("\"127.0.0.1:10026\""),
        change: Change::Restart(|old, new| old.beside.reinject == new.beside.reinject),
        doc: "Where mail for elsewhere goes on that has no line: an smtpd of it without this transport (content_filter=smtp:).\n\
              With it the node signs nothing (DKIM) and hands nothing to MX or smarthost: that is the other server's work.",
    },
    Key {
        path: "beside.deliver",
        default: Default::None("\"unix:/run/dovecot/lmtp\""),
        change: Change::Restart(|old, new| old.beside.deliver == new.beside.deliver),
        doc: "Where mail for our users goes on, by LMTP; without it into Maildirs. With it every address of our domains is\n\
              a mailbox, named like the address: who exists is for that server to say, and `postmaster` needs no user here.",
    },
    Key {
        path: "beside.allow_remote",
        default: Default::Is("false"),
        change: Change::Reload,
        doc: "Whether milter, lmtp_in and lmtp_out may listen where other machines reach them.",
    },
    Key {
        path: "passwords.memory_kib",
        default: Default::Is("19456"),
        change: Change::Reload,
        doc: "What hashing a new password costs (argon2id): memory in KiB, 64 to 1048576 …",
    },
    Key {
        path: "passwords.passes",
        default: Default::Is("2"),
        change: Change::Reload,
        doc: "… and passes over it, 1 to 16. Passwords hashed before keep their cost until they are set again.",
    },
];

impl Default {
    /// The value as the generated file shows it.
    const fn toml(self) -> &'static str {
        match self {
            Self::Required(text) | Self::Is(text) | Self::None(text) => text,
        }
    }
}

/// The name of the section of a key, empty where it has none.
fn section(path: &str) -> &str {
    path.split_once('.').map_or("", |(section, _)| section)
}

/// Whether a name is a section.
pub(super) fn is_section(name: &str) -> bool {
    KEYS.iter().any(|key| section(key.path) == name && !name.is_empty())
}

/// Whether a full name is a key.
pub(super) fn is_key(path: &str) -> bool {
    KEYS.iter().any(|key| key.path == path)
}

/// The known key or section that someone who wrote `path` most likely meant.
pub(super) fn nearest(path: &str) -> Option<&'static str> {
    let last = |path| str::rsplit(path, '.').next().unwrap_or(path).to_owned();
    let sections = KEYS.iter().map(|key| section(key.path)).filter(|name| !name.is_empty());
    let (far, best) = sections
        .chain(KEYS.iter().map(|key| key.path))
        .map(|known| {
            let whole = strsim::damerau_levenshtein(path, known);
            // A right name in a wrong section is nearer than any other name.
            (whole.min(strsim::damerau_levenshtein(&last(path), &last(known)).saturating_add(1)), known)
        })
        .min_by_key(|(distance, _)| *distance)?;
    (far <= 1 + last(path).len() / 3).then_some(best)
}

/// A whole configuration file, each key explained; the keys in `set` (full name, TOML value) are set, the others stand as
/// comments with their defaults.
#[must_use]
pub fn file_text(set: &[(String, String)]) -> String {
    let mut text = String::from(
        "# Postline's configuration. A line that starts with `#key =` shows the default, or an example where there is none.\n\
         # Changes take effect on SIGHUP or `postline reload`, those marked (restart) when the node starts again.\n",
    );
    let mut open = "";
    for key in KEYS {
        let (of, name) = key.path.split_once('.').unwrap_or(("", key.path));
        if of != open {
            open = of;
            let _ = write!(text, "\n[{of}]");
        }
        text.push('\n');
        for line in key.doc.lines() {
            let _ = writeln!(text, "# {line}");
        }
        let notes = match (key.default, key.change) {
            (Default::None(_), Change::Restart(_)) => "# (no default; restart)\n",
            (Default::None(_), Change::Reload) => "# (no default)\n",
            (Default::Required(_) | Default::Is(_), Change::Restart(_)) => "# (restart)\n",
            (Default::Required(_) | Default::Is(_), Change::Reload) => "",
        };
        text.push_str(notes);
        let _ = match set.iter().rfind(|(path, _)| path == key.path) {
            Some((_, value)) => writeln!(text, "{name} = {value}"),
            None => writeln!(text, "#{name} = {}", key.default.toml()),
        };
    }
    text
}
