//! Tenant updates over HTTP: accepted, recognised, refused with the reason.

use api::{BlockchainUpdate, Status, TenantBlock};
use shared::hash::Hash;
use shared::ids::TimestampMs;

use crate::server::{Server, hour_ago, problem};
use crate::tenant::TestTenant;

async fn height(server: &Server) -> u64 {
    server.get::<Status>("/api/status").await.height
}

#[tokio::test]
async fn an_update_is_decided_and_a_replay_is_recognised() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path()).await;
    let mut tenant = TestTenant::new("shop", 1, hour_ago());
    let blocks = [
        tenant.mine(&["Hello", "1,000 EUR"]),
        tenant.mine(&["again"]),
    ];
    let update = tenant.update(&blocks);
    let accepted = server.accepted(&update).await;
    assert_eq!(
        (accepted.enterprise_block_height, accepted.tenant_height),
        (1, 2)
    );
    assert_eq!(
        (
            accepted.tenant_blocks_processed,
            accepted.transactions_processed
        ),
        (2, 3)
    );
    assert_eq!(accepted.tenant_hash, tenant.tip().to_string());
    let replayed = server.accepted(&update).await;
    assert_eq!(
        (replayed.already_known, replayed.tenant_blocks_processed),
        (2, 0)
    );
    assert_eq!(
        replayed.enterprise_block_hash,
        accepted.enterprise_block_hash
    );
    assert_eq!(height(&server).await, 1, "a replay makes no block");
    let alias = server.url("/api/tenant-blockchain-update");
    let response = reqwest::Client::new()
        .post(alias)
        .json(&update)
        .send()
        .await
        .unwrap();
    assert_eq!(response.status().as_u16(), 200);
    server.stop().await;
}

#[tokio::test]
async fn a_known_tenant_needs_no_genesis_and_an_empty_update_asks_for_its_tip() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path()).await;
    let mut tenant = TestTenant::new("shop", 1, hour_ago());
    let first = tenant.mine_many(1);
    let bare = |update: BlockchainUpdate| BlockchainUpdate {
        genesis: None,
        chain_id: None,
        ..update
    };
    let unknown = server.refused(&bare(tenant.update(&first))).await;
    assert_eq!(
        (unknown.status, unknown.kind.as_str()),
        (404, "/problems/tenant-unknown")
    );
    server.accepted(&tenant.update(&first)).await;
    let second = tenant.mine_many(1);
    let accepted = server.accepted(&bare(tenant.update(&second))).await;
    assert_eq!(
        (accepted.tenant_height, accepted.enterprise_block_height),
        (2, 2)
    );
    let asked = server.accepted(&bare(tenant.update(&[]))).await;
    assert_eq!((asked.tenant_height, asked.tenant_blocks_processed), (2, 0));
    assert_eq!(height(&server).await, 2);
    server.stop().await;
}

#[tokio::test]
async fn a_missing_parent_names_the_tip_from_which_to_send_again() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path()).await;
    let mut tenant = TestTenant::new("shop", 1, hour_ago());
    let blocks = tenant.mine_many(5);
    let unknown = server.refused(&tenant.update(&blocks[1..])).await;
    assert_eq!((unknown.status, unknown.tenant_height), (409, Some(0)));
    assert_eq!(unknown.tenant_hash, Some(tenant.chain_id().to_string()));
    server.accepted(&tenant.update(&blocks[..2])).await;
    let gap = server.refused(&tenant.update(&blocks[3..])).await;
    assert_eq!(
        (gap.status, gap.kind.as_str()),
        (409, "/problems/unknown-parent")
    );
    assert_eq!(gap.tenant_height, Some(2));
    assert_eq!(gap.tenant_hash, Some(blocks[1].hash().to_string()));
    let mended = server.accepted(&tenant.update(&blocks[2..])).await;
    assert_eq!(mended.tenant_height, 5);
    server.stop().await;
}

#[tokio::test]
async fn the_update_that_make_docker_reports_is_accepted() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path()).await;
    let update = include_str!("../../../docker/update.json");
    let accepted = server
        .accepted(&serde_json::from_str(update).unwrap())
        .await;
    assert_eq!(
        (
            accepted.tenant_blocks_processed,
            accepted.transactions_processed
        ),
        (1, 3)
    );
    server.stop().await;
}

/// A change of a good update, the status and the problem that it must be answered with.
type Case = (&'static str, fn(&mut BlockchainUpdate), u16, &'static str);

const CASES: [Case; 12] = [
    (
        "no work",
        |u| set_header(u, |bytes| take_work(bytes)),
        422,
        "invalid-block",
    ),
    (
        "an easier target",
        |u| {
            set_header(u, |bytes| {
                bytes[108..112].copy_from_slice(&[0x20, 0x7f, 0xff, 0xff])
            })
        },
        422,
        "invalid-block",
    ),
    (
        "a wrong block hash",
        |u| u.new_blocks[0].block_hash = Hash::ZERO.to_string(),
        422,
        "bad-block",
    ),
    (
        "a wrong previous hash",
        |u| u.new_blocks[0].previous_hash = Hash::ZERO.to_string(),
        422,
        "bad-block",
    ),
    (
        "a changed text",
        |u| u.new_blocks[0].transactions[0].text = Some("Bye".into()),
        422,
        "bad-block",
    ),
    ("a changed transaction", tamper, 422, "bad-block"),
    (
        "a transaction less",
        |u| {
            u.new_blocks[0].transactions.pop();
        },
        422,
        "invalid-block",
    ),
    (
        "another genesis",
        |u| u.genesis = Some(other_genesis()),
        422,
        "genesis-mismatch",
    ),
    (
        "a genesis cut short",
        |u| u.genesis = Some("0200".into()),
        422,
        "bad-genesis",
    ),
    (
        "a label of its own choice",
        |u| u.network_id = "bank".into(),
        422,
        "label-mismatch",
    ),
    (
        "a label that is a path",
        |u| u.network_id = "../etc/passwd".into(),
        400,
        "bad-network-id",
    ),
    (
        "a chain id that is none",
        |u| u.chain_id = Some("xyz".into()),
        400,
        "bad-chain-id",
    ),
];

fn set_header(update: &mut BlockchainUpdate, change: fn(&mut Vec<u8>)) {
    let block = &mut update.new_blocks[0];
    let mut bytes = hex::decode(&block.header).unwrap();
    change(&mut bytes);
    block.block_hash = shared::hash::sha256(&[&bytes]).to_string();
    block.header = hex::encode(bytes);
}

/// Takes a nonce that does not do: an easy target is met by many.
fn take_work(header: &mut [u8]) {
    let target = shared::header::Header::decode(header).unwrap();
    let target = target.target.target();
    for nonce in (0..u32::MAX).rev() {
        header[112..].copy_from_slice(&nonce.to_be_bytes());
        if !target.is_met_by(&shared::hash::sha256(&[&*header])) {
            return;
        }
    }
}

/// Flips a bit of the signature and repeats the id, so that only the body root can tell.
fn tamper(update: &mut BlockchainUpdate) {
    let transaction = &mut update.new_blocks[0].transactions[0];
    let mut raw = hex::decode(&transaction.raw).unwrap();
    *raw.last_mut().unwrap() ^= 1;
    transaction.raw = hex::encode(raw);
}

fn other_genesis() -> String {
    hex::encode(
        TestTenant::new("shop", 77, TimestampMs(1_000))
            .genesis
            .encode(),
    )
}

#[tokio::test]
async fn every_invalid_update_is_a_4xx_with_its_reason_and_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path()).await;
    let mut tenant = TestTenant::new("shop", 1, hour_ago());
    let good = tenant.update(&[tenant.clone().mine(&["Hello"])]);
    tenant.mine(&["Hello"]);
    for (name, change, status, slug) in CASES {
        let mut update = good.clone();
        change(&mut update);
        let problem = server.refused(&update).await;
        let found = (problem.status, problem.kind.as_str());
        assert_eq!(
            found,
            (status, format!("/problems/{slug}").as_str()),
            "{name}: {problem:?}"
        );
        assert!(!problem.detail.is_empty(), "{name}");
    }
    for body in ["", "{", "[]", "{\"network_id\":\"shop\"}"] {
        let problem = problem(server.post(body.into()).await).await;
        assert_eq!(
            (problem.status, problem.kind.as_str()),
            (400, "/problems/bad-json"),
            "{body}"
        );
    }
    let large = problem(server.post(vec![b' '; (4 << 20) + 1]).await).await;
    assert_eq!(
        (large.status, large.kind.as_str()),
        (413, "/problems/too-large")
    );
    assert_eq!(height(&server).await, 0);
    assert_eq!(
        server
            .get::<api::Tenants>("/api/tenants")
            .await
            .total_tenants,
        0
    );
    server.accepted(&good).await;
    server.stop().await;
}

#[tokio::test]
async fn a_broken_rule_of_the_chain_is_422_and_names_the_tip() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path()).await;
    let mut tenant = TestTenant::new("shop", 1, hour_ago());
    let first = tenant.mine(&["Hello"]);
    server
        .accepted(&tenant.update(std::slice::from_ref(&first)))
        .await;
    let linked = mined_with_height(&tenant, 7);
    let mut update = tenant.update(&[]);
    update.new_blocks.push(linked);
    let refused = server.refused(&update).await;
    assert_eq!(
        (refused.status, refused.kind.as_str()),
        (422, "/problems/invalid-block")
    );
    assert_eq!(refused.tenant_hash, Some(first.hash().to_string()));
    let ahead = TimestampMs(service::now_ms()).plus_ms(3_600_000);
    let early = tenant.mine_at(ahead, &[]);
    let refused = server.refused(&tenant.update(&[early])).await;
    assert_eq!(
        (refused.status, refused.kind.as_str()),
        (425, "/problems/too-far-ahead")
    );
    assert_eq!(height(&server).await, 1);
    server.stop().await;
}

/// A block with real work on the tip, but with a height that does not follow.
fn mined_with_height(tenant: &TestTenant, height: u32) -> TenantBlock {
    let mut fork = tenant.fork(3);
    let mut header = fork.mine(&[]).header().clone();
    header.height = shared::ids::Height(height);
    let target = header.target.target();
    header.nonce = (0..u32::MAX)
        .find(|nonce| {
            let header = shared::header::Header {
                nonce: *nonce,
                ..header.clone()
            };
            target.is_met_by(&header.hash())
        })
        .unwrap();
    let mut shape = TenantBlock::from(&tenant.fork(3).mine(&[]));
    shape.block_id = height;
    shape.block_hash = header.hash().to_string();
    shape.header = hex::encode(header.encode());
    shape
}

#[tokio::test]
async fn a_label_belongs_to_the_first_chain_and_the_second_lives_beside_it() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path()).await;
    let mut first = TestTenant::new("shop", 1, hour_ago());
    let mut second = TestTenant::new("shop", 2, hour_ago());
    let (ours, theirs) = (first.mine_many(1), second.mine_many(1));
    server.accepted(&first.update(&ours)).await;
    let squatting = server.refused(&second.update(&theirs)).await;
    assert_eq!(
        (squatting.status, squatting.kind.as_str()),
        (409, "/problems/network-exists")
    );
    let prefix = second.chain_id().to_string()[..8].to_owned();
    let mut update = second.update(&theirs);
    update.network_id = format!("shop~{prefix}");
    assert!(
        squatting.detail.contains(&update.network_id),
        "{}",
        squatting.detail
    );
    let accepted = server.accepted(&update).await;
    assert_eq!(accepted.network_id, update.network_id);
    let tenants: api::Tenants = server.get("/api/tenants").await;
    let names: Vec<&str> = tenants
        .tenants
        .iter()
        .map(|t| t.tenant_id.as_str())
        .collect();
    assert_eq!(names, ["shop", update.network_id.as_str()]);
    server.stop().await;
}

#[tokio::test]
async fn a_heavier_branch_replaces_the_anchored_one_on_record() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path()).await;
    let mut main = TestTenant::new("shop", 1, hour_ago());
    let mut other = main.fork(5);
    let (light, heavy) = (main.mine_many(2), other.mine_many(3));
    server.accepted(&main.update(&light)).await;
    let held = server.accepted(&other.update(&heavy[..2])).await;
    assert_eq!(
        held.tenant_hash,
        main.tip().to_string(),
        "first seen wins a tie"
    );
    assert_eq!(height(&server).await, 1);
    let replaced = server.accepted(&other.update(&heavy[2..])).await;
    assert_eq!(replaced.tenant_hash, other.tip().to_string());
    assert_eq!(replaced.enterprise_block_height, 2);
    let status: Status = server.get("/api/status").await;
    assert_eq!(
        status.total_transactions, 3,
        "each of the heaviest chain once"
    );
    let blocks: Vec<api::EnterpriseBlock> = server.get("/api/blocks").await;
    let anchored: Vec<u64> = blocks
        .iter()
        .map(|block| block.tenant_block_count)
        .collect();
    assert_eq!(anchored, [3, 2], "what was replaced stays on record");
    let shown: api::Transactions = server.get("/api/transactions").await;
    assert_eq!((shown.transactions.len(), shown.total), (3, 3));
    server.stop().await;
}
