//! Reported blocks: checked, durable, counted once.

use api::ws::ServerMessage;
use api::{BlockchainUpdate, ProblemBody, TenantBlock, TrackerIntegration, UpdateAccepted};
use tempfile::tempdir;

use crate::support::{Client, Network, Running, identity};

fn update(network: &Network, blocks: Vec<TenantBlock>) -> BlockchainUpdate {
    BlockchainUpdate {
        network_id: network.label().into(),
        chain_id: None,
        genesis: None,
        peer_id: "test".into(),
        new_blocks: blocks,
        new_reports: Vec::new(),
        timestamp: service::now_ms(),
    }
}

#[tokio::test]
async fn a_verified_block_is_counted_once_and_told_to_the_room() {
    let data = tempdir().unwrap();
    let tracker = Running::start(data.path()).await;
    let mut network = Network::new("demo", 1);
    let (mut miner, mut other) = (
        Client::connect(&tracker).await,
        Client::connect(&tracker).await,
    );
    miner.create(&network).await;
    miner.join(&network, &identity(2)).await;
    other.join(&network, &identity(3)).await;
    let block = network.mine("Hello, 1,000 EUR");
    let answer = miner.report(&network, std::slice::from_ref(&block)).await;
    assert!(answer.is_accepted, "{}", answer.reason);
    assert_eq!((answer.height, answer.hash), (1, block.hash().to_string()));
    let tip = |message: &ServerMessage| match message {
        ServerMessage::Tip { height, .. } => Some(*height),
        _ => None,
    };
    assert_eq!(other.until(tip).await, 1);

    let response = tracker
        .post(
            "/api/blockchain-update",
            &update(&network, vec![TenantBlock::from(&block)]),
        )
        .await;
    let replayed: UpdateAccepted = response.json().await.unwrap();
    assert_eq!(
        (
            replayed.new_blocks,
            replayed.transactions,
            replayed.already_known
        ),
        (0, 0, 1)
    );
    tracker.stop().await;
    let file = std::fs::read(data.path().join("tracker_integration.json")).unwrap();
    let file: TrackerIntegration = serde_json::from_slice(&file).unwrap();
    let state = &file.network_blockchain_state["demo"];
    assert_eq!(
        (
            state.total_blocks,
            state.total_transactions,
            state.last_block_id
        ),
        (1, 1, 1)
    );
    assert_eq!(
        state.recent_blocks[0].transactions[0].text.as_deref(),
        Some("Hello, 1,000 EUR")
    );
}

#[tokio::test]
async fn a_tampered_block_is_refused_with_the_reason_and_not_counted() {
    let data = tempdir().unwrap();
    let tracker = Running::start(data.path()).await;
    let mut network = Network::new("demo", 1);
    let mut client = Client::connect(&tracker).await;
    client.create(&network).await;
    client.join(&network, &identity(2)).await;
    let mut block = TenantBlock::from(&network.mine("Hello"));
    let transaction = &mut block.transactions[0];
    let mut raw = hex::decode(&transaction.raw).unwrap();
    raw[52] = b'J';
    transaction.tx_id = shared::hash::sha256(&[&raw]).to_string();
    transaction.raw = hex::encode(&raw);
    transaction.text = Some("Jello".into());
    let answer = client.report_shapes(&network, vec![block.clone()]).await;
    assert!(!answer.is_accepted);
    assert!(
        answer.reason.contains("block #1") && answer.reason.contains("root"),
        "{}",
        answer.reason
    );
    assert_eq!(answer.height, 0);

    let response = tracker
        .post("/api/blockchain-update", &update(&network, vec![block]))
        .await;
    assert_eq!(response.status(), 422);
    assert_eq!(
        response.headers()["content-type"],
        "application/problem+json"
    );
    let problem: ProblemBody = response.json().await.unwrap();
    assert!(problem.detail.contains("root"), "{problem:?}");
    tracker.stop().await;
    let file = std::fs::read_to_string(data.path().join("tracker_integration.json")).unwrap();
    let file: TrackerIntegration = serde_json::from_str(&file).unwrap();
    assert_eq!(file.network_blockchain_state["demo"].total_blocks, 0);
}

#[tokio::test]
async fn a_block_without_its_parent_is_refused_with_where_the_tracker_stands() {
    let data = tempdir().unwrap();
    let tracker = Running::start(data.path()).await;
    let mut network = Network::new("demo", 1);
    let mut client = Client::connect(&tracker).await;
    client.create(&network).await;
    client.join(&network, &identity(2)).await;
    let blocks = network.mine_many(3, "block");
    assert!(client.report(&network, &blocks[..1]).await.is_accepted);
    let answer = client.report(&network, &blocks[2..]).await;
    assert!(!answer.is_accepted);
    assert_eq!(
        (answer.height, answer.hash),
        (1, blocks[0].hash().to_string())
    );
    let response = tracker
        .post(
            "/api/blockchain-update",
            &update(&network, vec![TenantBlock::from(&blocks[2])]),
        )
        .await;
    assert_eq!(response.status(), 409);
    assert_eq!(client.report(&network, &blocks[1..]).await.height, 3);
    tracker.stop().await;
}

#[tokio::test]
async fn networks_and_blocks_survive_a_restart() {
    let data = tempdir().unwrap();
    let tracker = Running::start(data.path()).await;
    let mut network = Network::new("demo", 1);
    let mut client = Client::connect(&tracker).await;
    client.create(&network).await;
    client.join(&network, &identity(2)).await;
    let blocks = network.mine_many(3, "kept");
    assert!(client.report(&network, &blocks).await.is_accepted);
    tracker.stop().await;

    let tracker = Running::start(data.path()).await;
    let mut client = Client::connect(&tracker).await;
    let join = client.join_message(&network, &identity(2));
    client.send(&join).await;
    let tip = |message: &ServerMessage| match message {
        ServerMessage::Joined { tip, .. } => tip.clone(),
        _ => None,
    };
    let tip = client.until(tip).await;
    assert_eq!((tip.height, tip.hash), (3, blocks[2].hash().to_string()));
    let response = tracker
        .get(&format!("/api/networks/{}/genesis", network.chain_id()))
        .await;
    let genesis: api::NetworkGenesis = response.json().await.unwrap();
    assert_eq!(
        (genesis.network_id.as_str(), genesis.genesis),
        ("demo", network.genesis_hex())
    );
    tracker.stop().await;
}

#[tokio::test]
async fn a_heavier_branch_replaces_the_reported_one() {
    let data = tempdir().unwrap();
    let tracker = Running::start(data.path()).await;
    let mut network = Network::new("demo", 1);
    let mut fork = network.clone();
    let mut client = Client::connect(&tracker).await;
    client.create(&network).await;
    client.join(&network, &identity(2)).await;
    let light = network.mine("light");
    assert!(client.report(&network, &[light]).await.is_accepted);
    let heavier = fork.mine_many(2, "heavy");
    let answer = client.report(&fork, &heavier).await;
    assert_eq!(
        (answer.height, answer.hash),
        (2, heavier[1].hash().to_string())
    );
    tracker.stop().await;
    let file = std::fs::read(data.path().join("tracker_integration.json")).unwrap();
    let file: TrackerIntegration = serde_json::from_slice(&file).unwrap();
    assert_eq!(file.network_blockchain_state["demo"].total_transactions, 2);
}

#[tokio::test]
async fn a_damaged_store_is_refused_by_name() {
    let data = tempdir().unwrap();
    std::fs::write(data.path().join("tracker.redb"), b"not a store at all").unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = tracker::Config {
        data: data.path().into(),
        ..tracker::Config::default()
    };
    let error = tracker::run(listener, config, std::future::pending())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("tracker.redb"), "{error}");
    assert_eq!(
        std::fs::read(data.path().join("tracker.redb")).unwrap(),
        b"not a store at all"
    );
}
