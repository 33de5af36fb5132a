//! Backups of the real program: while it serves and writes, while it does not run, and when they cannot be made.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use api::TenantUpdateAccepted;

use crate::program::{PROGRAM, Program, post, verify};
use crate::server::hour_ago;
use crate::tenant::TestTenant;

/// Runs `validator backup`.
fn backup(data: &Path, to: &Path) -> Output {
    let mut command = Command::new(PROGRAM);
    command.args(["--id", "v", "--data"]).arg(data);
    command.arg("backup").arg(to).output().unwrap()
}

fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

fn entries(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_made_while_the_validator_writes_holds_all_that_was_acknowledged_before_it() {
    let place = tempfile::tempdir().unwrap();
    let data = place.path().join("data");
    let program = Program::start(&data);
    let (acknowledged, stop) = (
        Arc::new(AtomicU32::new(0)),
        Arc::new(AtomicBool::new(false)),
    );
    let writer = tokio::spawn({
        let (base, acknowledged, stop) = (
            program.base.clone(),
            Arc::clone(&acknowledged),
            Arc::clone(&stop),
        );
        async move {
            let mut tenant = TestTenant::new("shop", 1, hour_ago());
            while !stop.load(Ordering::Acquire) {
                let block = tenant.mine(&["a message"]);
                let taken: TenantUpdateAccepted =
                    post(&base, &tenant.update(&[block])).await.unwrap();
                acknowledged.store(taken.tenant_height, Ordering::Release);
            }
            tenant
        }
    });
    let mut backups = Vec::new();
    for number in 1..=3_u32 {
        while acknowledged.load(Ordering::Acquire) < number * 15 {
            tokio::task::yield_now().await;
        }
        let before = acknowledged.load(Ordering::Acquire);
        let to = place.path().join(format!("backup {number}"));
        let made = tokio::task::block_in_place(|| backup(&data, &to));
        assert!(made.status.success(), "{}", said(&made));
        backups.push((to, before));
    }
    stop.store(true, Ordering::Release);
    let tenant = writer.await.unwrap();
    let newest = acknowledged.load(Ordering::Acquire);
    drop(program);
    for (backup, before) in backups {
        assert_eq!(entries(&backup), ["enterprise_v.head", "enterprise_v.redb"]);
        verify(&backup);
        // Restored: the copy with the key that was kept apart.
        std::fs::copy(data.join("validator_v.key"), backup.join("validator_v.key")).unwrap();
        let restored = Program::start(&backup);
        let tip = post(&restored.base, &tenant.update(&[])).await.unwrap();
        let height = tip.tenant_height;
        assert!(
            (before..=newest).contains(&height),
            "{before} <= {height} <= {newest}"
        );
    }
}

#[tokio::test]
async fn a_backup_never_replaces_anything_and_nobody_else_can_ask_for_one() {
    let place = tempfile::tempdir().unwrap();
    let data = place.path().join("data");
    let mut program = Program::start(&data);
    let mut tenant = TestTenant::new("shop", 1, hour_ago());
    let block = tenant.mine(&["a message"]);
    post(&program.base, &tenant.update(&[block])).await.unwrap();
    let operator = data.join("validator_v.ops");
    let mode = std::fs::metadata(&operator).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    for path in ["/backup", "/api/backup"] {
        let request = reqwest::Client::new().post(format!("{}{path}", program.base));
        let answer = request.body("{\"to\": \"/tmp/x\"}").send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 404, "{path}");
    }
    let to = place.path().join("backup");
    std::fs::create_dir(&to).unwrap();
    let made = backup(&data, &to);
    assert!(!made.status.success());
    assert!(said(&made).contains("exists"), "{}", said(&made));
    assert!(entries(&to).is_empty());
    // The serving process says why it cannot, and leaves nothing.
    let nowhere = place.path().join("nowhere/backup");
    let made = backup(&data, &nowhere);
    assert!(!made.status.success());
    assert!(said(&made).contains("nowhere"), "{}", said(&made));
    assert_eq!(entries(place.path()), ["backup", "data"]);

    // Killed, it leaves its socket; a backup is made without it, and the next start takes the socket again.
    program.kill();
    assert!(operator.join("socket").exists());
    let stopped = place.path().join("stopped");
    let made = backup(&data, &stopped);
    assert!(made.status.success(), "{}", said(&made));
    verify(&stopped);
    let _program = Program::start(&data);
    let running = place.path().join("running");
    let made = backup(&data, &running);
    assert!(made.status.success(), "{}", said(&made));
    verify(&running);
}

#[tokio::test]
async fn a_backup_for_which_there_is_no_room_leaves_nothing() {
    let place = tempfile::tempdir().unwrap();
    let data = place.path().join("data");
    let mut program = Program::start(&data);
    let mut tenant = TestTenant::new("shop", 1, hour_ago());
    let long = "long ".repeat(800);
    for _ in 0..60 {
        let block = tenant.mine(&[long.as_str(); 20]);
        post(&program.base, &tenant.update(&[block])).await.unwrap();
    }
    program.terminate();
    let _full = Program::start_on_a_full_disk(&data);
    let to = place.path().join("backup");
    let made = backup(&data, &to);
    assert!(!made.status.success());
    assert!(said(&made).contains("made no copy"), "{}", said(&made));
    assert_eq!(entries(place.path()), ["data"]);
}
