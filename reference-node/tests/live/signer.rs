//! OpenDKIM as the signer of one domain, with Postline's fields among those that it signs.

use std::path::{Path, PathBuf};

use crate::machine::{Process, contrib, write};

/// An OpenDKIM.
pub(crate) struct Signer {
    dir: PathBuf,
    port: u16,
    process: Option<Process>,
}

impl Signer {
    pub(crate) fn set_up(dir: &Path, domain: &str, selector: &str, key: &Path, port: u16) -> Self {
        let text = format!(
            "Socket inet:{port}@127.0.0.1\nMode s\nDomain {domain}\nSelector {selector}\nKeyFile {}\n\
             Canonicalization relaxed/relaxed\nRequireSafeKeys no\nBackground no\nSyslog no\nInternalHosts 127.0.0.0/8\n{}",
            key.display(),
            contrib("opendkim/opendkim.conf.postline", &[])
        );
        write(&dir.join("opendkim.conf"), &text);
        Self { dir: dir.to_owned(), port, process: None }
    }

    pub(crate) fn start(&mut self) {
        let conf = self.dir.join("opendkim.conf").display().to_string();
        let args = ["-f", "-x", &conf];
        let mut process = Process::start("OpenDKIM", "/usr/sbin/opendkim", &args, &self.dir.join("opendkim.log"));
        process.listens(self.port);
        self.process = Some(process);
    }
}
