//! What the validator says of its chain.

use api::{EnterpriseBlock, Health, HealthStatus, NetworkGenesis, Status, Tenants, Transactions};
use futures_util::StreamExt as _;
use serde_json::Value;
use shared::enterprise::{Certificate, EnterpriseGenesis, EnterpriseHeader};

use crate::server::{Server, hour_ago};
use crate::tenant::TestTenant;

#[tokio::test]
async fn counts_count_what_they_name() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path()).await;
    let empty: Status = server.get("/api/status").await;
    assert_eq!(
        (empty.height, empty.total_blocks, empty.active_tenants),
        (0, 0, 0)
    );
    let mut shop = TestTenant::new("shop", 1, hour_ago());
    let mut bank = TestTenant::new("bank", 2, hour_ago());
    let blocks = [
        shop.mine(&["a", "b"]),
        shop.mine(&[]),
        shop.mine(&["Hello"]),
    ];
    server.accepted(&shop.update(&blocks)).await;
    let blocks = bank.mine_many(1);
    server.accepted(&bank.update(&blocks)).await;
    let status: Status = server.get("/api/status").await;
    assert_eq!(
        (
            status.height,
            status.total_blocks,
            status.total_transactions
        ),
        (2, 2, 4)
    );
    assert_eq!((status.active_tenants, status.pending_transactions), (2, 0));
    assert_eq!(
        (status.validator.as_str(), status.validator_status.as_str()),
        ("v", "active")
    );
    assert_eq!(status.active_validators, ["v"]);
    let tenants: Tenants = server.get("/api/tenants").await;
    assert_eq!(tenants.total_tenants, 2);
    let shop_shape = &tenants.tenants[1];
    assert_eq!(
        (shop_shape.tenant_id.as_str(), shop_shape.block_count),
        ("shop", 3)
    );
    assert_eq!(shop_shape.transaction_count, 3);
    assert_eq!(
        shop_shape.recent_messages,
        ["Block #3: Hello", "Block #1: b", "Block #1: a"]
    );
    let blocks: Vec<EnterpriseBlock> = server.get("/api/blocks?limit=1").await;
    assert_eq!(
        (blocks.len(), blocks[0].height, blocks[0].transaction_count),
        (1, 2, 1)
    );
    let transactions: Transactions = server.get("/api/transactions?network=shop&limit=2").await;
    let texts: Vec<&str> = transactions
        .transactions
        .iter()
        .map(|t| t.transaction_data.as_str())
        .collect();
    assert_eq!(
        (texts.as_slice(), transactions.total),
        (["Hello", "b"].as_slice(), 3)
    );
    let same: Transactions = server.get("/api/network-transactions/shop?limit=2").await;
    assert_eq!(same, transactions);
    server.stop().await;
}

#[tokio::test]
async fn a_block_proves_itself_with_genesis_header_and_certificate() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path()).await;
    let mut tenant = TestTenant::new("shop", 1, hour_ago());
    let blocks = tenant.mine_many(1);
    server.accepted(&tenant.update(&blocks)).await;
    let genesis: Value = server.get("/api/genesis").await;
    let bytes = hex::decode(genesis["genesis"].as_str().unwrap()).unwrap();
    let genesis_value = EnterpriseGenesis::decode(&bytes).unwrap();
    assert_eq!(genesis["hash"], genesis_value.hash().to_string());
    let block: EnterpriseBlock = server.get("/api/blocks/1").await;
    let header = hex::decode(block.header.unwrap()).unwrap();
    let header = EnterpriseHeader::decode(&header).unwrap();
    let certificate =
        Certificate::decode(&hex::decode(block.certificate.unwrap()).unwrap()).unwrap();
    let chain = genesis_value.chain_id();
    certificate
        .verify(&header, genesis_value.validators(), chain)
        .unwrap();
    assert_eq!(header.previous, genesis_value.hash());
    assert_eq!(block.previous_hash, header.previous.to_string());
    server.stop().await;
}

#[tokio::test]
async fn a_tenant_can_be_rebuilt_from_its_served_bodies() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path()).await;
    let mut tenant = TestTenant::new("shop", 1, hour_ago());
    let mined = tenant.mine_many(7);
    server.accepted(&tenant.update(&mined)).await;
    let genesis: NetworkGenesis = server.get("/api/tenants/shop/genesis").await;
    assert_eq!(genesis.genesis, hex::encode(tenant.genesis.encode()));
    let mut chain = shared::chain::Chain::new((*tenant.genesis).clone());
    for from in [1, 4, 7] {
        let path = format!(
            "/api/tenants/{}/blocks?from={from}&limit=3",
            tenant.chain_id()
        );
        let page: Value = server.get(&path).await;
        for shape in page["blocks"].as_array().unwrap() {
            let shape: api::TenantBlock = serde_json::from_value(shape.clone()).unwrap();
            let unchecked = shared::block::UncheckedBlock::try_from(&shape).unwrap();
            let now = shared::ids::TimestampMs(service::now_ms());
            chain
                .insert(unchecked.check(&tenant.genesis).unwrap(), now)
                .unwrap();
        }
    }
    assert_eq!(chain.tip().hash, tenant.tip());
    server.stop().await;
}

#[tokio::test]
async fn html_in_messages_stays_data() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path()).await;
    let text = "<script>alert('x')</script><img src=x onerror=alert(1)>";
    let mut tenant = TestTenant::new("shop", 1, hour_ago());
    let block = tenant.mine(&[text]);
    server.accepted(&tenant.update(&[block])).await;
    for path in ["/api/tenants", "/api/blocks", "/api/transactions"] {
        let response = reqwest::get(server.url(path)).await.unwrap();
        let headers = response.headers().clone();
        assert_eq!(headers["content-type"], "application/json", "{path}");
        assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(policy.contains("default-src 'none'"), "{path}");
    }
    let shown: Transactions = server.get("/api/transactions").await;
    assert_eq!(shown.transactions[0].transaction_data, text);
    let tenants: Tenants = server.get("/api/tenants").await;
    assert_eq!(
        tenants.tenants[0].recent_messages,
        [format!("Block #1: {text}")]
    );
    server.stop().await;
}

#[tokio::test]
async fn unknown_things_are_4xx_and_health_is_computed() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path()).await;
    let cases = [
        ("/api/nothing", 404),
        ("/api/blocks/1", 404),
        ("/api/blocks/x", 400),
        ("/api/blocks?limit=x", 400),
        ("/api/tenants/nobody/blocks", 404),
        ("/api/network-transactions/nobody", 404),
        ("/api/tenant-update", 405),
    ];
    for (path, status) in cases {
        assert_eq!(server.get_status(path).await, status, "{path}");
    }
    let health: Health = server.get("/health").await;
    assert_eq!(health.status, HealthStatus::Healthy);
    assert_eq!(health.service, "validator");
    server.stop().await;
}

#[tokio::test]
async fn a_decision_is_pushed_to_the_event_stream() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path()).await;
    let response = reqwest::get(server.url("/api/events")).await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut stream = response.bytes_stream();
    let mut seen = String::new();
    let mut tenant = TestTenant::new("shop", 1, hour_ago());
    let block = tenant.mine(&["Hello"]);
    server.accepted(&tenant.update(&[block])).await;
    while !seen.contains("Block #1: Hello") {
        let bytes = stream.next().await.unwrap().unwrap();
        seen.push_str(std::str::from_utf8(&bytes).unwrap());
    }
    let status = seen.rsplit("event: status\ndata: ").next().unwrap();
    let status: Status = serde_json::from_str(status.lines().next().unwrap()).unwrap();
    assert_eq!((status.height, status.pending_transactions), (1, 0));
    for name in ["event: status", "event: tenants", "event: block"] {
        assert!(seen.contains(name), "{name} in {seen}");
    }
    let ended = tokio::spawn(async move { while stream.next().await.is_some() {} });
    server.stop().await;
    ended.await.unwrap();
}
