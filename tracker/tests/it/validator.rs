//! Tracker and validator together, each over its own sockets and files.

use std::net::SocketAddr;
use std::path::Path;

use api::ws::ServerMessage;
use api::{Status, Tenants};
use shared::enterprise::{Branch, HeaderId, LightClient};
use shared::hash::Hash;
use tempfile::tempdir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::support::{Client, Network, Running, identity};

/// A validator on a port that it keeps over restarts.
pub(crate) struct Validator {
    pub(crate) address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), ::validator::Error>>,
}

impl Validator {
    pub(crate) async fn start(data: &Path, address: Option<SocketAddr>) -> Self {
        let address = address.unwrap_or_else(|| ([127, 0, 0, 1], 0).into());
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let config = ::validator::Config::new("v1", data.into()).unwrap();
        let (stop, stopped) = oneshot::channel();
        let shutdown = async {
            let _ = stopped.await;
        };
        Self {
            address,
            stop,
            task: tokio::spawn(::validator::run(listener, config, shutdown)),
        }
    }

    pub(crate) async fn stop(self) -> SocketAddr {
        self.stop.send(()).unwrap();
        self.task.await.unwrap().unwrap();
        self.address
    }

    async fn tenants(&self) -> Tenants {
        let url = format!("http://{}/api/tenants", self.address);
        reqwest::get(url).await.unwrap().json().await.unwrap()
    }

    async fn status(&self) -> Status {
        let url = format!("http://{}/api/status", self.address);
        reqwest::get(url).await.unwrap().json().await.unwrap()
    }
}

async fn member(tracker: &Running, network: &Network) -> Client {
    let mut client = Client::connect(tracker).await;
    client.create(network).await;
    client.join(network, &identity(2)).await;
    client
}

pub(crate) async fn anchored_at(client: &mut Client, height: u32) {
    let at = |message: &ServerMessage| match message {
        ServerMessage::Anchor(anchor) if anchor.height == height => Some(()),
        _ => None,
    };
    client.until(at).await;
}

#[tokio::test]
async fn blocks_are_anchored_once_through_outage_and_loss() {
    let (tracker_data, validator_data, empty) =
        (tempdir().unwrap(), tempdir().unwrap(), tempdir().unwrap());
    let validator = Validator::start(validator_data.path(), None).await;
    let tracker = Running::reporting_to(tracker_data.path(), validator.address).await;
    let mut network = Network::new("demo", 1);
    let mut client = member(&tracker, &network).await;
    let first = network.mine_many(60, "first");
    for chunk in first.chunks(50) {
        assert!(client.report(&network, chunk).await.is_accepted);
    }
    anchored_at(&mut client, 60).await;
    let tenant = &validator.tenants().await.tenants[0];
    assert_eq!(
        (
            tenant.tenant_id.as_str(),
            tenant.block_count,
            tenant.transaction_count
        ),
        ("demo", 60, 60)
    );
    assert_eq!(tenant.recent_messages[0], "Block #60: first 59");

    let address = validator.stop().await;
    let second = network.mine_many(2, "meanwhile");
    assert!(client.report(&network, &second).await.is_accepted);
    let validator = Validator::start(validator_data.path(), Some(address)).await;
    anchored_at(&mut client, 62).await;
    assert_eq!(validator.status().await.total_transactions, 62);

    validator.stop().await;
    let validator = Validator::start(empty.path(), Some(address)).await;
    assert!(
        client
            .report(&network, &[network.clone().mine("after the loss")])
            .await
            .is_accepted
    );
    anchored_at(&mut client, 63).await;
    assert_eq!(validator.tenants().await.tenants[0].block_count, 63);
    tracker.stop().await;
    validator.stop().await;
}

#[tokio::test]
async fn a_second_chain_of_one_name_is_reported_beside_the_first() {
    let (data, validator_data, other_data) =
        (tempdir().unwrap(), tempdir().unwrap(), tempdir().unwrap());
    let validator = Validator::start(validator_data.path(), None).await;
    for (data, seed) in [(&data, 1), (&other_data, 2)] {
        let tracker = Running::reporting_to(data.path(), validator.address).await;
        let network = Network::new("demo", seed);
        let mut client = member(&tracker, &network).await;
        assert!(
            client
                .report(&network, &[network.clone().mine("hello")])
                .await
                .is_accepted
        );
        anchored_at(&mut client, 1).await;
        tracker.stop().await;
    }
    let tenants = validator.tenants().await;
    assert_eq!(tenants.total_tenants, 2);
    assert!(
        tenants
            .tenants
            .iter()
            .any(|tenant| tenant.tenant_id.starts_with("demo~")),
        "{tenants:?}"
    );
    validator.stop().await;
}

#[tokio::test]
async fn a_heavier_branch_that_leaves_a_final_block_out_keeps_nothing_from_being_anchored() {
    let (tracker_data, validator_data) = (tempdir().unwrap(), tempdir().unwrap());
    let validator = Validator::start(validator_data.path(), None).await;
    let tracker = Running::reporting_to(tracker_data.path(), validator.address).await;
    let genesis = tracker.get("/api/enterprise-genesis").await;
    let genesis: serde_json::Value = genesis.json().await.unwrap();
    let pinned = genesis["hash"].as_str().unwrap().parse().unwrap();
    let mut network = Network::pinned("notary", 1, pinned);
    let mut fork = network.clone();
    let mut client = member(&tracker, &network).await;
    let contract = network.mine("the contract");
    assert!(client.report(&network, &[contract]).await.is_accepted);
    anchored_at(&mut client, 1).await;
    let path = format!("/api/networks/{}/finality", network.label());
    while tracker.get(&path).await.status() != 200 {}
    // Heavier, and of no use: the tracker can't know before a validator says so.
    let heavier = fork.mine_many(4, "another");
    let reported = client.report(&network, &heavier).await;
    assert!(reported.is_accepted, "{reported:?}");
    let next = network.mine("what follows it");
    assert!(client.report(&network, &[next]).await.is_accepted);
    anchored_at(&mut client, 2).await;
    let refused = client.report(&network, &fork.mine_many(1, "more")).await;
    assert!(!refused.is_accepted, "{refused:?}");
    tracker.stop().await;
    // What was dropped does not come back.
    let tracker = Running::reporting_to(tracker_data.path(), validator.address).await;
    let mut client = Client::connect(&tracker).await;
    client.join(&network, &identity(2)).await;
    let last = network.mine("and the next");
    assert!(client.report(&network, &[last]).await.is_accepted);
    anchored_at(&mut client, 3).await;
    tracker.stop().await;
    validator.stop().await;
}

async fn problem(response: reqwest::Response) -> (u16, String) {
    let status = response.status().as_u16();
    let problem: api::ProblemBody = response.json().await.unwrap();
    (status, problem.kind)
}

#[tokio::test]
async fn proofs_of_finality_are_passed_on_and_verify() {
    let (tracker_data, validator_data) = (tempdir().unwrap(), tempdir().unwrap());
    let validator = Validator::start(validator_data.path(), None).await;
    let tracker = Running::reporting_to(tracker_data.path(), validator.address).await;
    let genesis: serde_json::Value = tracker
        .get("/api/enterprise-genesis")
        .await
        .json()
        .await
        .unwrap();
    let pinned = genesis["hash"].as_str().unwrap().parse().unwrap();
    let mut network = Network::pinned("notary", 1, pinned);
    let mut client = member(&tracker, &network).await;
    let path = format!("/api/networks/{}/finality", network.label());
    for (path, status, kind) in [
        (path.as_str(), 404, "/problems/tenant-unknown"),
        (
            "/api/networks/nobody/finality",
            404,
            "/problems/network-unknown",
        ),
        (
            "/api/networks/notary/finality?size=x",
            400,
            "/problems/bad-query",
        ),
        (
            "/api/networks/notary/finality?known=1:%26size=0",
            400,
            "/problems/bad-query",
        ),
    ] {
        let found = problem(tracker.get(path).await).await;
        assert_eq!(found, (status, kind.to_owned()), "{path}");
    }

    let block = network.mine("the contract");
    assert!(
        client
            .report(&network, std::slice::from_ref(&block))
            .await
            .is_accepted
    );
    anchored_at(&mut client, 1).await;
    let mut light = LightClient::new(pinned);
    let proved = loop {
        let response = tracker.get(&path).await;
        if response.status() == 200 {
            let bytes = response.bytes().await.unwrap();
            break light.accept(network.chain_id(), &bytes).unwrap().unwrap();
        }
        assert_eq!(problem(response).await.1, "/problems/not-final");
    };
    assert_eq!(proved.hash(), block.hash());
    // Who holds another header is shown the validator's.
    let other = HeaderId {
        hash: Hash([7; 32]),
        ..light.header().unwrap()
    };
    let shown = tracker.get(&format!("{path}?known={other}")).await;
    let shown = Branch::decode(&shown.bytes().await.unwrap()).unwrap();
    assert_eq!(shown.checkpoint.header.hash(), light.header().unwrap().hash);

    validator.stop().await;
    let found = problem(tracker.get(&path).await).await;
    assert_eq!(found, (502, "/problems/validator-unreachable".into()));
    tracker.stop().await;
}
