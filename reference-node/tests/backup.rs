//! Backups of running nodes, and nodes made of them: nothing acknowledged is lost, and no copy speaks for the node twice.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout
)]

mod common;

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use common::PATIENCE;
use postline_node::backup::{BackupFault, last, restore, verify};
use postline_node::lab::{Letter, Node, Person};
use tokio::process::Command;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

const LOOK: Duration = Duration::from_millis(5);

/// Makes a backup with the command line.
async fn back_up(node: &Node, to: &Path) -> Output {
    node.command("node").arg("backup").arg(to).output().await.unwrap()
}

/// Makes a node of a backup with the command line: where its configuration is then.
async fn make_of(backup: &Path, dir: &Path) -> PathBuf {
    let file = dir.join("postline.toml");
    let mut command = Command::new(common::program());
    command.arg("--config").arg(&file).args(["node", "restore"]).arg(backup);
    let output = command.output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("Never start the old node again") && said.contains("generation 2"), "{said}");
    file
}

/// How often each of some mails is in a mailbox.
fn times(node: &Node, user: &'static str, ids: &[String]) -> Vec<usize> {
    let there = node.inbox(user).ids().unwrap();
    ids.iter().map(|id| there.iter().filter(|found| *found == id).count()).collect()
}

async fn until(what: &str, mut is: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !is().await {
        assert!(began.elapsed() < PATIENCE, "not in time: {what}");
        sleep(LOOK).await;
    }
}

#[tokio::test]
async fn t_111_what_was_acknowledged_before_a_backup_survives_it_and_an_old_copy_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let mut nodes = common::strangers().await;
    common::line(&nodes).await;
    nodes.b.kill().await.unwrap();
    let mut one = Person::new("one@a.example", &nodes.a).await.unwrap();
    let mut waiting = Vec::new();
    for n in 0..8 {
        let id = format!("waits-{n}");
        // Some of them are files of the spool.
        let letter = Letter::to("two@b.example", &id).of_bytes(if n % 2 == 0 { 300 } else { 200_000 });
        one.submit(&letter).await.unwrap();
        waiting.push(id);
    }

    // Files come and go all the while, as mail is handed on to a mailbox of the same node.
    let (stop, stopped) = watch::channel(false);
    let mut three = Person::new("three@a.example", &nodes.a).await.unwrap();
    let traffic = tokio::spawn(async move {
        let mut sent = 0;
        while !*stopped.borrow() {
            let letter = Letter::to("five@a.example", &format!("passes-{sent}")).of_bytes(100_000);
            three.submit(&letter).await.unwrap();
            sent += 1;
        }
        sent
    });
    nodes.a.inbox("five").wait_for("passes-0", PATIENCE).await.unwrap();
    let backups: Vec<PathBuf> = (0..3).map(|n| place.path().join(format!("backup-{n}"))).collect();
    for backup in &backups {
        let output = back_up(&nodes.a, backup).await;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.contains("secrets") && said.contains("generation 1"), "{said}");
        verify(backup).unwrap();
    }
    stop.send(true).unwrap();
    let passed = traffic.await.unwrap();
    assert!(passed > 3, "{passed} mails are no traffic");
    for file in common::files(&backups[2]).into_iter().chain(common::files(&backups[2].join("store/spool/blobs"))) {
        let mode = file.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode & 0o077, 0, "{}: others may read it", file.display());
    }
    let config = nodes.a.config().clone();
    assert_eq!(last(&config.data_dir).unwrap().unwrap().to, backups[2].canonicalize().unwrap());

    // The machine is lost; another one gets the backup.
    nodes.a.kill().await.unwrap();
    let new = make_of(&backups[2], &place.path().join("new")).await;
    nodes.a.move_to(&new).unwrap();
    nodes.a.start().await.unwrap();
    nodes.b.start().await.unwrap();
    common::settled(&nodes).await;
    for id in &waiting {
        nodes.b.inbox("two").wait_for(id, PATIENCE).await.unwrap();
    }
    assert_eq!(times(&nodes.b, "two", &waiting), vec![1; 8], "each once, since b knows their ids");
    assert_eq!(nodes.a.status().await.unwrap().store_generation, 2);
    let mut one = Person::new("one@a.example", &nodes.a).await.unwrap();
    one.submit(&Letter::to("two@b.example", "after")).await.unwrap();
    nodes.b.inbox("two").wait_for("after", PATIENCE).await.unwrap();
    until("the link goes on", async || nodes.a.was_delivered_by_link("after").await.unwrap()).await;

    // Somebody starts the lost machine again: b has seen generation 2, and lets nobody in with 1.
    nodes.a.kill().await.unwrap();
    nodes.a.move_to(&config.file).unwrap();
    nodes.a.start().await.unwrap();
    let mut one = Person::new("one@a.example", &nodes.a).await.unwrap();
    one.submit(&Letter::to("two@b.example", "of-the-copy")).await.unwrap();
    until("b refuses the copy", async || nodes.b.log().contains("store generation 1, seen 2")).await;
    assert!(!nodes.b.has_link().await.unwrap());
    nodes.a.kill().await.unwrap();

    // And the restored one goes on as if nothing had been.
    nodes.a.move_to(&new).unwrap();
    nodes.a.start().await.unwrap();
    let mut one = Person::new("one@a.example", &nodes.a).await.unwrap();
    one.submit(&Letter::to("two@b.example", "again")).await.unwrap();
    nodes.b.inbox("two").wait_for("again", PATIENCE).await.unwrap();
    nodes.stop().await.unwrap();
}

#[tokio::test]
async fn t_111_a_restored_node_takes_over_from_an_old_copy_that_still_runs() {
    let place = tempfile::tempdir().unwrap();
    let mut nodes = common::strangers().await;
    common::line(&nodes).await;
    nodes.b.kill().await.unwrap();
    let mut one = Person::new("one@a.example", &nodes.a).await.unwrap();
    one.submit(&Letter::to("two@b.example", "waits")).await.unwrap();
    let backup = place.path().join("backup");
    assert!(back_up(&nodes.a, &backup).await.status.success());
    nodes.b.start().await.unwrap();
    common::settled(&nodes).await;
    until("the link is up with the old copy", async || nodes.b.has_link().await.unwrap()).await;
    assert!(nodes.a.has_link().await.unwrap());

    // The restored one listens nowhere: where it would, the old copy still does.
    let file = make_of(&backup, &place.path().join("new")).await;
    let text = std::fs::read_to_string(&file).unwrap();
    let deaf = |line: &str| {
        if line.contains("127.0.0.1:") { format!("{} = []", &line[..line.find(' ').unwrap()]) } else { line.to_owned() }
    };
    std::fs::write(&file, text.lines().map(deaf).collect::<Vec<_>>().join("\n")).unwrap();
    let mut command = Command::new(common::program());
    let log = std::fs::File::create(place.path().join("new.log")).unwrap();
    command.arg("--config").arg(&file).args(["serve", "--while-stdin"]).stdin(std::process::Stdio::piped()).stderr(log);
    let mut restored = command.kill_on_drop(true).spawn().unwrap();

    until("the old copy is out", async || nodes.a.log().contains("why=\"generation\"")).await;
    until("what waited came from both", async || nodes.b.log().contains("event=\"duplicate\"")).await;
    assert!(!nodes.a.has_link().await.unwrap() && nodes.b.has_link().await.unwrap());
    assert_eq!(times(&nodes.b, "two", &["waits".to_owned()]), [1], "and is shown once");
    restored.kill().await.unwrap();
    nodes.stop().await.unwrap();
}

#[tokio::test]
async fn a_restore_writes_over_nothing_and_takes_nothing_that_was_tampered_with() {
    let place = tempfile::tempdir().unwrap();
    let mut nodes = common::set_up();
    nodes.a.start().await.unwrap();
    let backup = place.path().join("backup");
    assert!(back_up(&nodes.a, &backup).await.status.success());
    let again = back_up(&nodes.a, &backup).await;
    assert!(String::from_utf8_lossy(&again.stderr).contains("not empty"), "a backup is never written over");
    let open = place.path().join("open");
    std::fs::create_dir(&open).unwrap();
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o755)).unwrap();
    assert!(String::from_utf8_lossy(&back_up(&nodes.a, &open).await.stderr).contains("chmod 700"));

    let mut command = nodes.a.command("node");
    let output = command.arg("restore").arg(&backup).output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("never writes over a node"), "{said}");

    let file = place.path().join("new/postline.toml");
    let asked = restore(&backup, &file, Some(1)).unwrap_err();
    assert!(matches!(asked, BackupFault::Generation { asked: 1, has: 1 }), "{asked}");
    let seed = backup.join("keys/node.seed");
    let good = std::fs::read(&seed).unwrap();
    let mut bad = good.clone();
    bad[0] ^= 1;
    std::fs::write(&seed, &bad).unwrap();
    let refused = restore(&backup, &file, None).unwrap_err();
    assert!(matches!(&refused, BackupFault::Damaged { path, .. } if *path == seed), "{refused}");
    std::fs::remove_file(&seed).unwrap();
    assert!(matches!(restore(&backup, &file, None), Err(BackupFault::Damaged { .. })));
    assert!(!place.path().join("new").exists(), "nothing was made");
    std::fs::write(&seed, &good).unwrap();

    let manifest = backup.join("manifest.json");
    let text = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(&manifest, text.replace("keys/node.seed", "../outside")).unwrap();
    let refused = restore(&backup, &file, None).unwrap_err().to_string();
    assert!(refused.contains("leads elsewhere"), "{refused}");
    std::fs::write(&manifest, text.replace("\"format\": 1", "\"format\": 2")).unwrap();
    let refused = restore(&backup, &file, None).unwrap_err().to_string();
    assert!(refused.contains("a newer postline made it"), "{refused}");
    std::fs::write(&manifest, text).unwrap();

    let made = restore(&backup, &file, None).unwrap();
    assert_eq!((made.generation, made.kept.len()), (2, 0));
    assert!(matches!(restore(&backup, &file, None), Err(BackupFault::Occupied(_))), "and the new node is one too");
    nodes.stop().await.unwrap();
}
