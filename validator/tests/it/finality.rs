//! What is final, proved over HTTP to one who trusts the hash of the genesis alone.

use serde_json::Value;
use shared::enterprise::{Branch, Checkpoint, EnterpriseGenesis, LightClient, Receipt, Trust};
use shared::hash::Hash;
use shared::merkle;

use crate::server::{Server, hour_ago};
use crate::tenant::TestTenant;

async fn bytes(server: &Server, path: &str) -> Vec<u8> {
    let response = server.fetch(path).await;
    assert_eq!(response.status(), 200, "{path}");
    response.bytes().await.unwrap().to_vec()
}

async fn path(server: &Server, path: &str) -> Vec<Hash> {
    let answer: Value = server.get(path).await;
    let hashes = answer["path"].as_array().unwrap();
    hashes
        .iter()
        .map(|hash| hash.as_str().unwrap().parse().unwrap())
        .collect()
}

/// A server with a tenant of three final blocks.
async fn with_final_blocks(directory: &std::path::Path) -> (Server, TestTenant, Vec<Hash>) {
    let server = Server::start(directory).await;
    let mut tenant = TestTenant::with("notary", 1, hour_ago(), |genesis| {
        genesis.rules.finality_delay_ms = 1;
    });
    let blocks = tenant.mine_many(3);
    server.accepted(&tenant.update(&blocks)).await;
    while server.fetch("/api/tenants/notary/finality").await.status() != 200 {}
    let ids = blocks
        .iter()
        .map(|block| block.transactions()[0].id())
        .collect();
    (server, tenant, ids)
}

async fn trust(server: &Server) -> Trust {
    let genesis: Value = server.get("/api/genesis").await;
    let encoded = hex::decode(genesis["genesis"].as_str().unwrap()).unwrap();
    let genesis = EnterpriseGenesis::decode(&encoded).unwrap();
    Trust::new(&genesis, genesis.hash()).unwrap()
}

#[tokio::test]
async fn receipts_and_checkpoints_verify_from_the_genesis_on() {
    let directory = tempfile::tempdir().unwrap();
    let (server, tenant, ids) = with_final_blocks(directory.path()).await;
    let trust = trust(&server).await;
    for (height, id) in (1_u32..).zip(&ids) {
        let place = format!("/api/tenants/notary/receipts/{height}?transaction={id}");
        let receipt = Receipt::decode(&bytes(&server, &place).await).unwrap();
        let proved = receipt.verify(&trust).unwrap();
        assert_eq!(proved.transaction(), Some(id));
        assert_eq!(proved.block().height().0, height);
        assert_eq!(proved.block().chain_id(), tenant.chain_id());
    }
    let checkpoint = Checkpoint::decode(&bytes(&server, "/api/checkpoint").await).unwrap();
    assert_eq!(checkpoint.verify(&trust).unwrap().len(), 1);
    assert_eq!(checkpoint.header.log_size, 3);
    server.stop().await;
}

#[tokio::test]
async fn the_log_is_paged_and_its_paths_verify() {
    let directory = tempfile::tempdir().unwrap();
    let (server, tenant, _) = with_final_blocks(directory.path()).await;
    let page: Value = server.get("/api/log?from=1&limit=1").await;
    let root: Hash = page["root"].as_str().unwrap().parse().unwrap();
    let entry = &page["entries"][0];
    assert_eq!(
        (&page["size"], page["entries"].as_array().unwrap().len()),
        (&3.into(), 1)
    );
    assert_eq!((&entry["index"], &entry["height"]), (&1.into(), &2.into()));
    assert_eq!(
        entry["chain_id"].as_str().unwrap(),
        tenant.chain_id().to_string()
    );

    let receipt = bytes(&server, "/api/tenants/notary/receipts/2").await;
    let receipt = Receipt::decode(&receipt).unwrap();
    let proved = receipt.verify(&trust(&server).await).unwrap();
    let leaf = proved.block().leaf();
    assert_eq!(
        entry["hash"].as_str().unwrap(),
        proved.block().hash().to_string()
    );
    let proof = path(&server, "/api/log/inclusion?index=1&size=3").await;
    assert_eq!(merkle::verify_inclusion(1, 3, &leaf, &proof, &root), Ok(()));
    let proof = path(&server, "/api/log/consistency?from=2&to=3").await;
    let before = path(&server, "/api/log/inclusion?index=1&size=2").await;
    let older = merkle::node_hash(&before[0], &leaf);
    assert_eq!(
        merkle::verify_consistency(2, 3, &older, &root, &proof),
        Ok(())
    );
    server.stop().await;
}

#[tokio::test]
async fn who_names_another_header_is_shown_the_one_of_its_height() {
    let directory = tempfile::tempdir().unwrap();
    let (server, tenant, _) = with_final_blocks(directory.path()).await;
    let genesis: Value = server.get("/api/genesis").await;
    let pinned = genesis["hash"].as_str().unwrap().parse().unwrap();
    let first: Value = server.get("/api/blocks/1").await;
    let (mine, other) = (first["hash"].as_str().unwrap(), Hash([7; 32]));
    let asked = "/api/tenants/notary/finality?size=0&known=";
    for known in [
        format!("1:{mine}"),
        format!("0:{other}"),
        format!("99:{other}"),
    ] {
        let proof = bytes(&server, &format!("{asked}{known}")).await;
        let accepted = LightClient::new(pinned).accept(tenant.chain_id(), &proof);
        assert!(matches!(accepted, Ok(Some(_))), "{known}: {accepted:?}");
    }
    let shown = bytes(&server, &format!("{asked}1:{other}")).await;
    let shown = Branch::decode(&shown).unwrap();
    assert_eq!(shown.genesis.hash(), pinned);
    let header = &shown.checkpoint.header;
    assert_eq!(
        (header.height.0, header.hash().to_string()),
        (1, mine.into())
    );
    shown.checkpoint.verify(&trust(&server).await).unwrap();
    server.stop().await;
}

#[tokio::test]
async fn what_is_not_final_or_not_there_is_told_apart() {
    let directory = tempfile::tempdir().unwrap();
    let (server, _, ids) = with_final_blocks(directory.path()).await;
    let mut slow = TestTenant::new("slow", 2, hour_ago());
    let blocks = slow.mine_many(1);
    server.accepted(&slow.update(&blocks)).await;
    let first = ids[0];
    let (transaction, notary) = ("?transaction=", "/api/tenants/notary");
    for (path, status, kind) in [
        ("/api/tenants/slow/finality".into(), 404, "not-final"),
        ("/api/tenants/slow/receipts/1".into(), 404, "not-final"),
        ("/api/tenants/slow/receipts/2".into(), 404, "no-such-block"),
        (format!("{notary}/receipts/0"), 404, "no-such-block"),
        (format!("{notary}/receipts/x"), 400, "bad-path"),
        (
            format!("{notary}/receipts/2{transaction}{first}"),
            404,
            "transaction-unknown",
        ),
        (
            format!("{notary}/receipts/2{transaction}x"),
            400,
            "bad-query",
        ),
        (format!("{notary}/finality?size=-1"), 400, "bad-query"),
        (format!("{notary}/finality?known=1"), 400, "bad-query"),
        (format!("{notary}/finality?known=1:00"), 400, "bad-query"),
        ("/api/tenants/nobody/finality".into(), 404, "tenant-unknown"),
        (
            "/api/log/inclusion?index=3&size=3".into(),
            404,
            "no-such-log",
        ),
        (
            "/api/log/inclusion?index=0&size=18446744073709551615".into(),
            404,
            "no-such-log",
        ),
        (
            "/api/log/consistency?from=3&to=2".into(),
            404,
            "no-such-log",
        ),
        ("/api/log/consistency?from=1".into(), 400, "bad-query"),
    ] {
        let path: String = path;
        let response = server.fetch(&path).await;
        let found = response.status().as_u16();
        let problem: Value = response.json().await.unwrap();
        let wanted = format!("/problems/{kind}");
        assert_eq!(
            (found, problem["type"].as_str().unwrap()),
            (status, wanted.as_str()),
            "{path}"
        );
    }
    server.stop().await;
}
