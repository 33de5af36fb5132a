//! Private tenants over HTTP: reports in, receipts out, and their owner's resets.

use std::path::Path;

use api::{ProblemBody, ReportedBlock, ResetAccepted, Resets, Tenant};
use serde_json::{Value, json};
use shared::enterprise::{EnterpriseGenesis, Receipt, Reset, ResetReceipt, Trust};
use shared::report::{SealedBlock, UncheckedSealed};
use validator::export::import;
use validator::start::{Files, verified};

use crate::server::{Server, hour_ago, problem};
use crate::tenant::{TestTenant, make_private};

/// A private tenant whose blocks are final with the next enterprise block.
fn secret() -> TestTenant {
    TestTenant::with("secret", 5, hour_ago(), |genesis| {
        genesis.rules.finality_delay_ms = 1;
        make_private(genesis);
    })
}

async fn tenant(server: &Server) -> Tenant {
    server.get("/api/tenants/secret").await
}

async fn until_final(server: &Server, height: u32) {
    while tenant(server).await.final_height < height {}
}

async fn post_reset(server: &Server, reset: &Reset) -> reqwest::Response {
    let body = json!({ "reset": hex::encode(reset.encode()) });
    let client = reqwest::Client::new();
    let request = client.post(server.url("/api/resets")).json(&body);
    request.send().await.unwrap()
}

async fn until_reset(server: &Server, reset: &Reset) {
    let answer = post_reset(server, reset).await;
    assert_eq!(answer.status(), 202);
    let answer: ResetAccepted = answer.json().await.unwrap();
    assert_eq!((answer.number, answer.from), (reset.number, reset.from.0));
    while tenant(server).await.resets < reset.number {}
}

/// Reports two blocks and voids the second; answers the request that did.
pub(crate) async fn reset_once(server: &Server) -> Value {
    let mut secret = secret();
    let blocks = secret.mine_many(2);
    let sealed = secret.seal_all(&blocks, 1);
    server.accepted(&secret.reports(&sealed)).await;
    until_final(server, 2).await;
    let reset = secret.reset(1, 2, blocks[0].hash());
    until_reset(server, &reset).await;
    json!({ "reset": hex::encode(reset.encode()) })
}

async fn trust(server: &Server) -> Trust {
    let genesis: Value = server.get("/api/genesis").await;
    let bytes = hex::decode(genesis["genesis"].as_str().unwrap()).unwrap();
    let genesis = EnterpriseGenesis::decode(&bytes).unwrap();
    Trust::new(&genesis, genesis.hash()).unwrap()
}

async fn bytes(server: &Server, path: &str) -> Vec<u8> {
    let response = server.fetch(path).await;
    assert_eq!(response.status(), 200, "{path}");
    response.bytes().await.unwrap().to_vec()
}

#[tokio::test]
async fn reports_are_final_and_resets_void_with_proofs_over_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path()).await;
    let mut secret = secret();
    let first = secret.mine_many(1);
    let after_first = secret.clone();
    let blocks = secret.seal_all(&[first, secret.clone().mine_many(2)].concat(), 1);
    let first_time = server.accepted(&secret.reports(&blocks)).await;
    assert_eq!(first_time.tenant_blocks_processed, 3);
    assert_eq!(first_time.transactions_processed, 0);
    let again = server.accepted(&secret.reports(&blocks)).await;
    assert_eq!((again.tenant_blocks_processed, again.already_known), (0, 3));
    until_final(&server, 3).await;
    let shown = tenant(&server).await;
    assert!(shown.private && shown.recent_messages.is_empty());
    assert_eq!((shown.block_count, shown.transaction_count), (3, 0));
    let page: Value = server.get("/api/tenants/secret/blocks?limit=2").await;
    let reports: Vec<ReportedBlock> = serde_json::from_value(page["reports"].clone()).unwrap();
    assert_eq!(reports, [&blocks[0], &blocks[1]].map(ReportedBlock::from));
    let of_tenant: Value = server.get("/api/network-transactions/secret").await;
    assert_eq!(of_tenant["total"], 0);
    let trust = trust(&server).await;
    let old = bytes(&server, "/api/tenants/secret/receipts/2").await;
    let old = Receipt::decode(&old).unwrap().verify(&trust).unwrap();
    assert_eq!(old.block().hash(), blocks[1].hash());

    let reset = secret.reset(1, 2, blocks[0].hash());
    until_reset(&server, &reset).await;
    let shown = tenant(&server).await;
    assert_eq!((shown.height, shown.final_height), (1, 1));
    assert_eq!(
        server.get_status("/api/tenants/secret/receipts/2").await,
        404
    );
    let mut new = after_first.fork(3);
    let second = new.mine_many(1);
    let second = new.seal_all(&second, 2);
    server.accepted(&new.reports(&second)).await;
    until_final(&server, 2).await;
    server.stop().await;

    let server = Server::start(directory.path()).await;
    let shown = tenant(&server).await;
    assert_eq!((shown.final_height, shown.resets), (2, 1));
    assert_eq!(shown.tip_hash, second[0].hash().to_string());
    let receipt = bytes(&server, "/api/tenants/secret/resets/1").await;
    let receipt = ResetReceipt::decode(&receipt).unwrap();
    let executed = receipt.verify(&secret.genesis, &trust).unwrap();
    assert!(executed.voids(old.block()));
    let anew = bytes(&server, "/api/tenants/secret/receipts/2").await;
    let anew = Receipt::decode(&anew).unwrap().verify(&trust).unwrap();
    assert_eq!(
        (anew.block().hash(), anew.block().resets()),
        (second[0].hash(), 1)
    );
    assert!(!executed.voids(anew.block()));
    let resets: Resets = server.get("/api/tenants/secret/resets").await;
    let [told] = resets.resets.as_slice() else {
        panic!("{resets:?}");
    };
    assert_eq!((told.number, told.from, told.log_index), (1, 2, 3));
    assert_eq!(told.reset, hex::encode(reset.encode()));
    let log: Value = server.get("/api/log?from=3&limit=2").await;
    assert_eq!(
        log["entries"][0]["reset"].as_str(),
        Some(told.reset.as_str())
    );
    assert_eq!(log["entries"][1]["resets"], 1);
    server.stop().await;
}

#[tokio::test]
async fn reports_that_do_not_count_are_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path()).await;
    let mut secret = secret();
    let block = secret.mine(&["secret"]);
    let sealed = secret.seal(&block, 1);
    let mut open = TestTenant::new("open", 1, hour_ago());
    let whole = open.mine_many(1);
    let mut forged = sealed.report().clone();
    forged.signature.0[3] ^= 1;
    let forged = UncheckedSealed::new(forged, sealed.sealed().to_vec()).unwrap();
    let forged = ReportedBlock {
        raw: hex::encode(forged.encode()),
        ..ReportedBlock::from(&sealed)
    };
    let named = |reports: Vec<ReportedBlock>| api::BlockchainUpdate {
        new_reports: reports,
        ..secret.update(&[])
    };
    let mut renamed = ReportedBlock::from(&sealed);
    renamed.block_id += 1;
    let mut cut = ReportedBlock::from(&sealed);
    cut.raw.truncate(100);
    let mut mixed = secret.reports(std::slice::from_ref(&sealed));
    mixed.new_blocks = secret.update(std::slice::from_ref(&block)).new_blocks;
    let mut reported = open.update(&[]);
    reported.new_reports = vec![ReportedBlock::from(&sealed)];
    let nobody = TestTenant::with("nobody", 5, hour_ago(), |genesis| {
        genesis.access = shared::genesis::Access::Private {
            join_key: genesis.owner,
            reporters: Vec::new(),
        };
    });
    let none: [SealedBlock; 0] = [];
    for (update, slug) in [
        (
            named(vec![stranger_report(&secret, &block)]),
            "not-a-reporter",
        ),
        (named(vec![forged]), "bad-report"),
        (named(vec![renamed]), "bad-report"),
        (named(vec![cut]), "bad-report"),
        (mixed, "mixed-update"),
        (
            secret.update(std::slice::from_ref(&block)),
            "private-tenant",
        ),
        (reported, "open-tenant"),
        (nobody.reports(&none), "bad-genesis"),
    ] {
        let refused = server.refused(&update).await;
        let wanted = format!("/problems/{slug}");
        assert_eq!(
            (refused.status, refused.kind.as_str()),
            (422, wanted.as_str())
        );
    }
    server.accepted(&open.update(&whole)).await;
    assert_eq!(server.get_status("/api/tenants/secret").await, 404);
    server.stop().await;
}

fn stranger_report(tenant: &TestTenant, block: &shared::block::Block) -> ReportedBlock {
    let (header, id) = (block.header().clone(), tenant.chain_id());
    let report = shared::report::Report::sign(&crate::tenant::reporter(9), id, header, b"x");
    let raw = UncheckedSealed::new(report, b"x".to_vec()).unwrap();
    ReportedBlock {
        block_id: block.header().height.0,
        block_hash: block.hash().to_string(),
        raw: hex::encode(raw.encode()),
    }
}

#[tokio::test]
async fn resets_that_break_a_rule_are_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path()).await;
    let mut secret = secret();
    let blocks = secret.mine_many(2);
    let sealed = secret.seal_all(&blocks, 1);
    server.accepted(&secret.reports(&sealed)).await;
    until_final(&server, 2).await;
    let mut open = TestTenant::new("open", 1, hour_ago());
    let whole = open.mine_many(1);
    server.accepted(&open.update(&whole)).await;
    let (first, id) = (blocks[0].hash(), secret.chain_id());
    let mut unsigned = secret.reset(1, 2, first);
    unsigned.signature.0[9] ^= 1;
    let unknown = TestTenant::private("secret", 6, hour_ago());
    let wish = secret.reset(1, 2, first);
    for (reset, status, slug) in [
        (unsigned, 409, "not-the-owner"),
        (secret.reset(2, 2, first), 409, "reset-number"),
        (secret.reset(1, 3, blocks[1].hash()), 409, "reset-height"),
        (secret.reset(1, 2, id.0), 409, "reset-branch"),
        (open.reset(1, 1, open.chain_id().0), 409, "open-tenant"),
        (
            unknown.reset(1, 1, unknown.chain_id().0),
            404,
            "tenant-unknown",
        ),
    ] {
        let refused = problem(post_reset(&server, &reset).await).await;
        let wanted = format!("/problems/{slug}");
        assert_eq!(
            (refused.status, refused.kind.as_str()),
            (status, wanted.as_str())
        );
    }
    until_reset(&server, &wish).await;
    let again: ResetAccepted = post_reset(&server, &wish).await.json().await.unwrap();
    assert_eq!(again.status, "executed");
    let other = post_reset(&server, &secret.reset(1, 1, id.0)).await;
    assert_eq!(problem(other).await.kind, "/problems/reset-number");
    let client = reqwest::Client::new();
    let cut = client.post(server.url("/api/resets"));
    let cut = cut.json(&json!({ "reset": "00" })).send().await.unwrap();
    let cut: ProblemBody = problem(cut).await;
    assert_eq!(
        (cut.status, cut.kind.as_str()),
        (400, "/problems/bad-reset")
    );
    server.stop().await;
}

#[tokio::test]
async fn verify_export_and_import_carry_reports_and_resets() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path()).await;
    reset_once(&server).await;
    let head: api::Status = server.get("/api/status").await;
    server.stop().await;
    let files = files(directory.path());
    let (_, ledger, _) = verified(&files, None).unwrap();
    assert_eq!(ledger.verifier().height().0, head.height);
    let elsewhere = tempfile::tempdir().unwrap();
    let (store, head_file) = (
        elsewhere.path().join("store.redb"),
        elsewhere.path().join("head"),
    );
    assert_eq!(
        import(&files.export, &store, &head_file).unwrap(),
        head.height
    );
    let text = std::fs::read_to_string(&files.export).unwrap();
    let mut exported: Value = serde_json::from_str(&text).unwrap();
    let mut body = exported["chain"].as_array_mut().unwrap().iter_mut();
    let body = body.find_map(|block| block["bodies"].as_array_mut()?.first_mut());
    let body = body.unwrap();
    let tampered = body.as_str().unwrap().to_owned() + "00";
    *body = tampered.into();
    let broken = elsewhere.path().join("broken.json");
    std::fs::write(&broken, exported.to_string()).unwrap();
    let other = elsewhere.path().join("other.redb");
    assert!(import(&broken, &other, &head_file).is_err());
    assert!(!other.exists());
}

fn files(directory: &Path) -> Files {
    Files::new(directory, &shared::ids::NetworkId::parse("v").unwrap())
}
