//! Reports to the validator: confirmed by hash, through outages, restarts and a validator that lost everything.
//!
//! The double keeps real chains and answers as the validator does; only its storage and consensus are missing.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use api::ws::ServerMessage;
use api::{BlockchainUpdate, TenantUpdateAccepted, TrackerIntegration, UpdateStatus};
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use shared::block::UncheckedBlock;
use shared::chain::{Chain, ChainError, Inserted};
use shared::genesis::Genesis;
use shared::ids::TimestampMs;
use tempfile::tempdir;
use tokio::sync::Notify;

use crate::support::{Client, Network, PATIENCE, Running, identity};

/// What the double does with an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Well,
    Failing,
}

#[derive(Debug)]
struct Desk {
    mood: Mood,
    chain: Option<Chain>,
    updates: Vec<usize>,
}

#[derive(Clone, Debug)]
struct Double {
    desk: Arc<Mutex<Desk>>,
    changed: Arc<Notify>,
    address: SocketAddr,
}

impl Double {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let desk = Desk {
            mood: Mood::Well,
            chain: None,
            updates: Vec::new(),
        };
        let double = Self {
            desk: Arc::new(Mutex::new(desk)),
            changed: Arc::new(Notify::new()),
            address: listener.local_addr().unwrap(),
        };
        let router = Router::new()
            .route("/api/tenant-update", post(take))
            .layer(DefaultBodyLimit::max(4 << 20))
            .with_state(double.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        double
    }

    fn set(&self, change: impl FnOnce(&mut Desk)) {
        change(&mut self.desk.lock().unwrap());
    }

    fn tip(&self) -> (u32, String) {
        let desk = self.desk.lock().unwrap();
        desk.chain.as_ref().map_or((0, String::new()), |chain| {
            let tip = chain.tip();
            (tip.height.0, tip.hash.to_string())
        })
    }

    /// Waits until `is_done` holds after an update came.
    async fn until(&self, is_done: impl Fn(&Desk) -> bool) {
        let wait = async {
            loop {
                let changed = self.changed.notified();
                if is_done(&self.desk.lock().unwrap()) {
                    return;
                }
                changed.await;
            }
        };
        tokio::time::timeout(PATIENCE, wait)
            .await
            .expect("the validator's double did not hear enough");
    }
}

async fn take(State(double): State<Double>, Json(update): Json<BlockchainUpdate>) -> Response {
    let answer = answer(&mut double.desk.lock().unwrap(), &update);
    double.changed.notify_waiters();
    answer
}

fn answer(desk: &mut Desk, update: &BlockchainUpdate) -> Response {
    desk.updates.push(update.new_blocks.len());
    if desk.mood == Mood::Failing {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    let genesis = hex::decode(update.genesis.as_deref().unwrap()).unwrap();
    let chain = desk
        .chain
        .get_or_insert_with(|| Chain::new(Genesis::decode(&genesis).unwrap()));
    assert_eq!(
        update.chain_id.as_deref(),
        Some(chain.chain_id().to_string().as_str())
    );
    let mut known = 0;
    for block in &update.new_blocks {
        let block = UncheckedBlock::try_from(block)
            .unwrap()
            .check(chain.genesis())
            .unwrap();
        match chain.insert(block, TimestampMs::MAX) {
            Ok(Inserted::AlreadyKnown) => known += 1,
            Ok(_) => {}
            Err(ChainError::UnknownParent { .. }) => return behind(chain),
            Err(error) => panic!("{error}"),
        }
    }
    let tip = chain.tip();
    let processed = u32::try_from(update.new_blocks.len()).unwrap() - known;
    Json(TenantUpdateAccepted {
        status: UpdateStatus::Accepted,
        message: String::new(),
        network_id: update.network_id.clone(),
        chain_id: chain.chain_id().to_string(),
        enterprise_block_height: u64::from(tip.height.0) + 100,
        enterprise_block_hash: "ab".repeat(32),
        tenant_blocks_processed: processed,
        transactions_processed: processed,
        already_known: known,
        tenant_height: tip.height.0,
        tenant_hash: tip.hash.to_string(),
    })
    .into_response()
}

fn behind(chain: &Chain) -> Response {
    let tip = chain.tip();
    let problem = serde_json::json!({
        "type": "/problems/unknown-parent", "title": "Conflict", "status": 409, "detail": "the parent is unknown",
        "tenant_height": tip.height.0, "tenant_hash": tip.hash.to_string(),
    });
    (StatusCode::CONFLICT, Json(problem)).into_response()
}

fn anchored(message: &ServerMessage) -> Option<(u32, String, u64)> {
    match message {
        ServerMessage::Anchor(anchor) => {
            Some((anchor.height, anchor.hash.clone(), anchor.enterprise_height))
        }
        _ => None,
    }
}

async fn member(tracker: &Running, network: &Network) -> Client {
    let mut client = Client::connect(tracker).await;
    client.create(network).await;
    client.join(network, &identity(2)).await;
    client
}

#[tokio::test]
async fn a_confirmed_block_is_told_to_the_room_as_anchor() {
    let data = tempdir().unwrap();
    let double = Double::start().await;
    let tracker = Running::reporting_to(data.path(), double.address).await;
    let mut network = Network::new("demo", 1);
    let mut client = member(&tracker, &network).await;
    let block = network.mine("anchored");
    assert!(
        client
            .report(&network, std::slice::from_ref(&block))
            .await
            .is_accepted
    );
    assert_eq!(
        client.until(anchored).await,
        (1, block.hash().to_string(), 101)
    );
    tracker.stop().await;
    let file = std::fs::read(data.path().join("tracker_integration.json")).unwrap();
    let file: TrackerIntegration = serde_json::from_slice(&file).unwrap();
    let reported = &file.last_reported_state["demo"];
    assert_eq!(
        (
            reported.block_count,
            reported.transaction_count,
            reported.last_reported_block_id
        ),
        (1, 1, 1)
    );
}

/// A server that answers everything with one status and text.
async fn proxy(status: StatusCode, text: &'static str) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().fallback(move || async move { (status, text) });
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

#[tokio::test]
async fn a_proxy_that_refuses_is_no_validator_and_the_next_is_asked() {
    for (status, text) in [
        (StatusCode::NOT_FOUND, "<html>not here</html>"),
        (StatusCode::FORBIDDEN, "{}"),
        (StatusCode::TOO_MANY_REQUESTS, ""),
        (StatusCode::OK, "<html>log in</html>"),
    ] {
        let data = tempdir().unwrap();
        let double = Double::start().await;
        let proxy = proxy(status, text).await;
        let validators = format!("http://{proxy},http://{}", double.address);
        let tracker = Running::start_with(data.path(), |config| {
            config.enterprise_bc_url = Some(validators);
        })
        .await;
        let mut network = Network::new("demo", 1);
        let mut client = member(&tracker, &network).await;
        for height in 1..=3 {
            let block = network.mine("anchored");
            assert!(client.report(&network, &[block]).await.is_accepted);
            let is_it = |message: &ServerMessage| anchored(message).filter(|at| at.0 == height);
            client.until(is_it).await;
        }
        tracker.stop().await;
    }
}

#[tokio::test]
async fn blocks_wait_out_a_failing_validator() {
    let data = tempdir().unwrap();
    let double = Double::start().await;
    double.set(|desk| desk.mood = Mood::Failing);
    let tracker = Running::reporting_to(data.path(), double.address).await;
    let mut network = Network::new("demo", 1);
    let mut client = member(&tracker, &network).await;
    let blocks = network.mine_many(3, "waits");
    assert!(client.report(&network, &blocks).await.is_accepted);
    double.until(|desk| desk.updates.len() >= 2).await;
    let health: api::Health = tracker.get("/health").await.json().await.unwrap();
    assert_eq!(health.status, api::HealthStatus::Degraded);
    assert!(
        health.checks["validator"].contains("3 blocks of 1 networks wait"),
        "{health:?}"
    );
    double.set(|desk| desk.mood = Mood::Well);
    assert_eq!(client.until(anchored).await.0, 3);
    let health: api::Health = tracker.get("/health").await.json().await.unwrap();
    assert_eq!(health.status, api::HealthStatus::Healthy, "{health:?}");
    tracker.stop().await;
}

#[tokio::test]
async fn what_was_not_confirmed_is_sent_after_a_restart() {
    let data = tempdir().unwrap();
    let double = Double::start().await;
    double.set(|desk| desk.mood = Mood::Failing);
    let tracker = Running::reporting_to(data.path(), double.address).await;
    let mut network = Network::new("demo", 1);
    let mut client = member(&tracker, &network).await;
    let blocks = network.mine_many(2, "kept");
    assert!(client.report(&network, &blocks).await.is_accepted);
    double.until(|desk| !desk.updates.is_empty()).await;
    tracker.stop().await;
    double.set(|desk| desk.mood = Mood::Well);
    let tracker = Running::reporting_to(data.path(), double.address).await;
    double
        .until(|desk| {
            desk.chain
                .as_ref()
                .is_some_and(|chain| chain.tip().height.0 == 2)
        })
        .await;
    assert_eq!(double.tip(), (2, blocks[1].hash().to_string()));
    tracker.stop().await;
}

#[tokio::test]
async fn a_validator_that_lost_everything_is_sent_everything() {
    let data = tempdir().unwrap();
    let double = Double::start().await;
    let tracker = Running::reporting_to(data.path(), double.address).await;
    let mut network = Network::new("demo", 1);
    let mut client = member(&tracker, &network).await;
    let blocks = network.mine_many(120, "many");
    for chunk in blocks.chunks(50) {
        assert!(client.report(&network, chunk).await.is_accepted);
    }
    let all = |message: &ServerMessage| anchored(message).filter(|anchor| anchor.0 == 120);
    client.until(all).await;
    double.set(|desk| desk.chain = None);
    let next = network.mine("after the loss");
    assert!(
        client
            .report(&network, std::slice::from_ref(&next))
            .await
            .is_accepted
    );
    double
        .until(|desk| {
            desk.chain
                .as_ref()
                .is_some_and(|chain| chain.tip().height.0 == 121)
        })
        .await;
    assert!(
        double
            .desk
            .lock()
            .unwrap()
            .updates
            .iter()
            .all(|blocks| *blocks <= 50)
    );
    tracker.stop().await;

    // Also when nothing new is mined: the next start asks.
    double.set(|desk| desk.chain = None);
    let tracker = Running::reporting_to(data.path(), double.address).await;
    double
        .until(|desk| {
            desk.chain
                .as_ref()
                .is_some_and(|chain| chain.tip().height.0 == 121)
        })
        .await;
    tracker.stop().await;
}

#[tokio::test]
async fn a_reorganisation_sends_the_new_branch() {
    let data = tempdir().unwrap();
    let double = Double::start().await;
    let tracker = Running::reporting_to(data.path(), double.address).await;
    let mut network = Network::new("demo", 1);
    let mut client = member(&tracker, &network).await;
    let trunk = network.mine_many(3, "trunk");
    let mut fork = network.clone();
    assert!(client.report(&network, &trunk).await.is_accepted);
    let light = network.mine_many(2, "light");
    assert!(client.report(&network, &light).await.is_accepted);
    let at_five = |message: &ServerMessage| anchored(message).filter(|anchor| anchor.0 == 5);
    assert_eq!(client.until(at_five).await.1, light[1].hash().to_string());
    let heavy = fork.mine_many(3, "heavy");
    assert!(client.report(&fork, &heavy).await.is_accepted);
    let at_six = |message: &ServerMessage| anchored(message).filter(|anchor| anchor.0 == 6);
    assert_eq!(client.until(at_six).await.1, heavy[2].hash().to_string());
    assert_eq!(double.tip(), (6, heavy[2].hash().to_string()));
    tracker.stop().await;
}
