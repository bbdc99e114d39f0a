//! The node's key and its backup; the store; the postmaster.

use postline_core::time::DAY;

use super::{Finding, Scene};
use crate::backup;
use crate::directory::Directory;
use crate::init::KeyFiles;
use crate::store::{Reader, StoreError};

/// How old a backup may be before this says so: what the store learned since would be lost.
const BACKUP_DAYS: u64 = 30;

pub(super) fn findings(scene: &Scene<'_>) -> Vec<Finding> {
    let mut findings = keys(scene);
    findings.extend(store(scene));
    findings.push(postmaster(scene));
    findings
}

fn keys(scene: &Scene<'_>) -> Vec<Finding> {
    let files = KeyFiles::of(&scene.config.data_dir);
    let nk = match files.identity() {
        Ok(identity) => identity.nk().to_string(),
        Err(why) => {
            let next = "postline init makes one; a node that had one: postline node restore, or keys/next.seed";
            return vec![Finding::failure("keys.node", "", why, next)];
        }
    };
    let next = if files.next_seed.exists() {
        let next = format!("move {} to a safe place", files.next_seed.display());
        Finding::warning("keys.next", "", "who takes this machine takes the next key along", next)
    } else {
        Finding::ok("keys.next", "", "only its public half is here")
    };
    vec![Finding::ok("keys.node", "", format!("node key {nk}")), next, backed_up(scene, &nk)]
}

fn backed_up(scene: &Scene<'_>, nk: &str) -> Finding {
    let (id, next) = ("keys.backup", "postline node backup DIR, and DIR to another machine");
    let mark = match backup::last(&scene.config.data_dir) {
        Ok(Some(mark)) => mark,
        Ok(None) => {
            let cause = "never backed up: with the key, every line to every correspondent would be lost";
            return Finding::warning(id, "", cause, next);
        }
        Err(why) => return Finding::warning(id, "", format!("the mark of the last backup can't be read: {why}"), next),
    };
    let days = scene.now.0.saturating_sub(mark.made_ms) / DAY;
    let cause = format!("{days} days ago, to {}", mark.to.display());
    if mark.node_key != nk {
        Finding::warning(id, "", format!("of another key, {cause}"), next)
    } else if days > BACKUP_DAYS {
        Finding::warning(id, "", cause, next)
    } else {
        Finding::ok(id, "", cause)
    }
}

fn store(scene: &Scene<'_>) -> Vec<Finding> {
    let (id, dir) = ("store.opens", scene.config.data_dir.join("store"));
    if !dir.join("postline.db").exists() {
        return vec![Finding::warning(id, "", "no store yet", "postline serve makes it")];
    }
    let reader = match Reader::open(&dir) {
        Ok(reader) => reader,
        Err(why @ StoreError::Newer { .. }) => {
            return vec![Finding::failure(id, "", why, "run the newer program, or restore a backup from before")];
        }
        Err(why) => {
            let next = "run this command as the node's user; a damaged store: postline node restore";
            return vec![Finding::failure(id, "", why, next)];
        }
    };
    let damaged = match reader.put_aside() {
        Ok(keys) => match keys.first() {
            None => Finding::ok("store.damaged", "", "none"),
            Some(first) => {
                let cause = format!("{} records were damaged and put aside, the first {first}", keys.len());
                Finding::warning("store.damaged", "", cause, "check the disk; postline node restore brings them back")
            }
        },
        Err(why) => Finding::failure("store.damaged", "", why, "postline node restore"),
    };
    let generation = reader.generation().map_or_else(|why| why.to_string(), |found| format!("generation {found}"));
    vec![Finding::ok(id, "", generation), damaged]
}

fn postmaster(scene: &Scene<'_>) -> Finding {
    let id = "users.postmaster";
    let next = format!("postline user add {}", scene.config.postmaster);
    match Directory::load(scene.config).map(|directory| directory.check()) {
        Ok(Ok(())) => Finding::ok(id, "", format!("{} gets it", scene.config.postmaster)),
        Ok(Err(why)) | Err(why) => Finding::failure(id, "", why, next),
    }
}
