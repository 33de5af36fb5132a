//! `validator export` and `import` of the real program: what waits for a block goes with the chain.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use api::Tenants;
use serde_json::Value;
use shared::ids::{NetworkId, TimestampMs};
use validator::body::Body;
use validator::ledger::Submission;
use validator::start::{Files, verified};

use crate::program::{PROGRAM, Program, post, verify};
use crate::server::hour_ago;
use crate::tenant::TestTenant;

fn run(data: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.args(["--id", "v", "--data"]).arg(data);
    command.args(arguments).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn files(data: &Path) -> Files {
    Files::new(data, &NetworkId::parse("v").unwrap())
}

/// Lets blocks wait in a store that no validator uses, as one that ended between accepting and deciding them.
fn hold(data: &Path, tenants: Vec<(&TestTenant, Vec<Body>)>) {
    let (store, mut ledger, _) = verified(&files(data), None).unwrap();
    drop(ledger.take_batch());
    for (tenant, blocks) in tenants {
        let submission = Submission {
            genesis: Arc::clone(&tenant.genesis),
            chain_id: tenant.chain_id(),
            blocks,
        };
        ledger
            .accept(TimestampMs(service::now_ms()), submission)
            .unwrap();
    }
    store.commit(&[ledger.take_batch()]).unwrap();
}

/// What an export says, but for when it was made.
fn content(text: &[u8]) -> Value {
    let mut value: Value = serde_json::from_slice(text).unwrap();
    let fields = value.as_object_mut().unwrap();
    assert!(fields.remove("exported_at").is_some());
    assert!(fields.remove("last_validator_heartbeat").is_some());
    value
}

/// The export of a store, to standard output.
fn exported(data: &Path) -> Value {
    let made = run(data, &["export"]);
    assert!(made.status.success(), "{}", said(&made));
    content(&made.stdout)
}

/// A store with two decided blocks of a shop; a third, one beside it, a new tenant's two and a private one's wait.
async fn waiting(data: &Path) {
    let mut program = Program::start(data);
    let mut shop = TestTenant::new("shop", 1, hour_ago());
    let blocks = shop.mine_many(2);
    post(&program.base, &shop.update(&blocks)).await.unwrap();
    program.terminate();
    let mut fork = shop.fork(4);
    let third = [shop.mine(&["third"]), fork.mine(&["beside"])];
    let mut new = TestTenant::new("new", 2, hour_ago());
    let first = new.mine_many(2);
    let mut secret = TestTenant::private("secret", 3, hour_ago());
    let sealed = secret.mine(&["sealed"]);
    let sealed = secret.seal(&sealed, 1);
    hold(
        data,
        vec![
            (&shop, third.map(Body::from).into()),
            (&new, first.into_iter().map(Body::from).collect()),
            (&secret, vec![sealed.into()]),
        ],
    );
}

#[tokio::test]
async fn an_export_takes_along_what_waits_and_the_importing_validator_serves_it() {
    let place = tempfile::tempdir().unwrap();
    let (data, other) = (place.path().join("data"), place.path().join("other"));
    waiting(&data).await;
    let file = place.path().join("chain.json");
    let name = file.to_str().unwrap();
    std::fs::write(&file, "an older one").unwrap();
    let made = run(&data, &["export", name]);
    assert!(made.status.success(), "{}", said(&made));
    let before = content(&std::fs::read(&file).unwrap());
    assert_eq!(before, exported(&data));
    let updates = before["pending_tenant_updates"].as_array().unwrap();
    let counts = updates.iter().map(|update| {
        let reports = update["new_reports"].as_array().map_or(0, Vec::len);
        (update["new_blocks"].as_array().unwrap().len(), reports)
    });
    assert_eq!(counts.collect::<Vec<_>>(), [(2, 0), (2, 0), (0, 1)]);

    std::fs::create_dir(&other).unwrap();
    let imported = run(&other, &["import", name]);
    assert!(imported.status.success(), "{}", said(&imported));
    verify(&other);
    assert_eq!(exported(&other), before);
    std::fs::copy(data.join("validator_v.key"), other.join("validator_v.key")).unwrap();
    let program = Program::start(&other);
    let wanted = [("new", 2), ("secret", 1), ("shop", 3)];
    let wanted = wanted.map(|(name, height)| (name.to_owned(), height));
    let mut heights = Vec::new();
    for _ in 0..1_500 {
        let tenants = reqwest::get(format!("{}/api/tenants", program.base)).await;
        let tenants: Tenants = tenants.unwrap().json().await.unwrap();
        heights.clear();
        for tenant in tenants.tenants {
            heights.push((tenant.tenant_id, tenant.height));
        }
        if heights == wanted {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(heights, wanted);
}

#[tokio::test]
async fn a_waiting_update_that_nobody_would_take_is_refused_by_its_place() {
    let place = tempfile::tempdir().unwrap();
    let (data, other) = (place.path().join("data"), place.path().join("other"));
    waiting(&data).await;
    let whole = exported(&data);
    std::fs::create_dir(&other).unwrap();
    let file = place.path().join("changed.json");
    let zeros = Value::from("00".repeat(32));
    for (list, place, field, text) in [
        (
            "pending_tenant_updates",
            1,
            "/new_blocks/1/block_hash",
            "block 2",
        ),
        (
            "pending_tenant_updates",
            2,
            "/chain_id",
            "the genesis is of",
        ),
        ("pending_tenant_updates", 0, "", "not an update"),
        ("pending_resets", 0, "", ""),
    ] {
        let mut changed = whole.clone();
        if list == "pending_resets" {
            changed[list] = vec![zeros.clone()].into();
        } else {
            *changed[list][place].pointer_mut(field).unwrap() = zeros.clone();
        }
        std::fs::write(&file, changed.to_string()).unwrap();
        let refused = run(&other, &["import", file.to_str().unwrap()]);
        assert!(!refused.status.success());
        let said = said(&refused);
        assert!(said.contains(&format!("{list}[{place}]: ")), "{said}");
        assert!(said.contains(text), "{said}");
        assert!(!files(&other).store.exists());
    }
}

#[tokio::test]
async fn a_store_in_use_or_a_place_that_cannot_be_written_is_not_exported() {
    let place = tempfile::tempdir().unwrap();
    let data = place.path().join("data");
    let mut program = Program::start(&data);
    let file = place.path().join("chain.json");
    let refused = run(&data, &["export", file.to_str().unwrap()]);
    assert!(!refused.status.success());
    let text = said(&refused);
    assert!(
        text.contains("in use") && text.contains("enterprise_blockchain_v.json"),
        "{text}"
    );
    assert!(!file.exists());
    program.terminate();
    let nowhere = place.path().join("nowhere/chain.json");
    assert!(
        !run(&data, &["export", nowhere.to_str().unwrap()])
            .status
            .success()
    );
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 1);
}
