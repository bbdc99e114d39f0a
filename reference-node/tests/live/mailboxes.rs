//! A Dovecot of its own: logins for Postfix, LMTP in, IMAP out. What Postline adds comes from `contrib/dovecot`.

use std::fs;
use std::path::{Path, PathBuf};

use crate::machine::{Process, run, wait_for, write};

/// The password of everybody here.
pub(crate) const PASSWORD: &str = "live-only";
/// Who owns the mailboxes, user and group: nobody of this machine.
pub(crate) const OWNER: &str = "5000";

/// A Dovecot.
pub(crate) struct Dovecot {
    name: String,
    dir: PathBuf,
    pub(crate) imap: u16,
    pub(crate) lmtp: u16,
    process: Option<Process>,
}

impl Dovecot {
    /// Writes its configuration, for these addresses. `more` comes last, as an operator would include it.
    pub(crate) fn set_up(name: &str, dir: &Path, people: &[String], ports: [u16; 2], auth: &Path, more: &str) -> Self {
        let [imap, lmtp] = ports;
        let (shown, auth) = (dir.display(), auth.display());
        let users: String = people.iter().map(|address| user_line(address, "100M")).collect();
        write(&dir.join("users"), &users);
        // Not below a directory of root's: Dovecot makes the homes as their owner.
        fs::create_dir_all(dir.join("mail")).unwrap();
        run("chown", &[&format!("{OWNER}:{OWNER}"), &dir.join("mail").display().to_string()]);
        let text = format!(
            "base_dir = {shown}/run\n\
             state_dir = {shown}/state\n\
             instance_name = {name}\n\
             log_path = {shown}/dovecot.log\n\
             protocols = imap lmtp\n\
             listen = 127.0.0.1\n\
             ssl = no\n\
             disable_plaintext_auth = no\n\
             auth_mechanisms = plain login\n\
             first_valid_uid = 1\n\
             mail_location = maildir:~/Maildir\n\
             mail_plugins = $mail_plugins quota\n\
             quota_full_tempfail = yes\n\
             protocol imap {{\n  mail_plugins = $mail_plugins imap_quota\n  mail_max_userip_connections = 50\n}}\n\
             plugin {{\n  quota = maildir:User quota\n  quota_rule = *:storage=100M\n}}\n\
             passdb {{\n  driver = passwd-file\n  args = {shown}/users\n}}\n\
             userdb {{\n  driver = passwd-file\n  args = {shown}/users\n  \
             default_fields = uid={OWNER} gid={OWNER} home={shown}/mail/%n\n}}\n\
             service imap-login {{\n  inet_listener imap {{\n    port = {imap}\n  }}\n  inet_listener imaps {{\n    port = 0\n  }}\n}}\n\
             service lmtp {{\n  inet_listener lmtp {{\n    port = {lmtp}\n  }}\n}}\n\
             service auth {{\n  unix_listener {auth} {{\n    mode = 0666\n  }}\n}}\n\
             namespace inbox {{\n  inbox = yes\n}}\n\
             {more}"
        );
        write(&dir.join("dovecot.conf"), &text);
        Self { name: format!("{name}'s Dovecot"), dir: dir.to_owned(), imap, lmtp, process: None }
    }

    pub(crate) fn start(&mut self) {
        let conf = self.dir.join("dovecot.conf").display().to_string();
        let args = ["-F", "-c", &conf];
        let mut process = Process::start(&self.name, "/usr/sbin/dovecot", &args, &self.dir.join("stderr.log"));
        process.listens(self.imap);
        process.listens(self.lmtp);
        self.process = Some(process);
    }

    pub(crate) fn stop(&mut self) {
        run("doveadm", &["-c", &self.dir.join("dovecot.conf").display().to_string(), "stop"]);
        self.process.take().unwrap().kill();
    }

    /// Gives a user so much room, as Dovecot's quota rules say it.
    pub(crate) fn give_room(&self, address: &str, storage: &str) {
        let file = self.dir.join("users");
        let lines = fs::read_to_string(&file).unwrap();
        let lines = lines.lines().map(|line| match line.split_once(':') {
            Some((who, _)) if who == address => user_line(address, storage),
            _ => format!("{line}\n"),
        });
        fs::write(&file, lines.collect::<String>()).unwrap();
        // It looks at the file's time, which has seconds.
        let (conf, want) = (self.dir.join("dovecot.conf").display().to_string(), format!("*:storage={storage}"));
        wait_for("Dovecot to see the quota", || {
            let said = run("doveadm", &["-c", &conf, "user", "-f", "quota_rule", address]);
            (said.trim() == want).then_some(())
        });
    }

    /// A user's mailbox, as files.
    pub(crate) fn maildir(&self, user: &str) -> PathBuf {
        self.dir.join("mail").join(user).join("Maildir")
    }
}

/// A line of the users' file: a password, and how much room there is.
fn user_line(address: &str, storage: &str) -> String {
    format!("{address}:{{PLAIN}}{PASSWORD}::::::userdb_quota_rule=*:storage={storage}\n")
}
