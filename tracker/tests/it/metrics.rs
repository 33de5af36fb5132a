//! What an operator sees of a running tracker: the measures, and how it judges itself while something is away.

use std::net::SocketAddr;

use api::ws::{ClientMessage, ServerMessage};
use futures_util::{SinkExt as _, StreamExt as _};
use tempfile::tempdir;
use tokio::net::TcpSocket;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tracker::OperationsBind;

use crate::operations::free_address;
use crate::support::{Client, Network, PATIENCE, Running, identity};
use crate::validator::Validator;

/// A tracker's measures, by its operations port.
#[derive(Clone, Copy)]
pub(crate) struct Measures(SocketAddr);

impl Measures {
    /// At a free port, for the tracker's configuration.
    pub(crate) async fn free() -> Self {
        Self(free_address().await)
    }

    pub(crate) fn bind(self) -> OperationsBind {
        OperationsBind::At(self.0)
    }

    pub(crate) async fn get(self, path: &str) -> reqwest::Response {
        let url = format!("http://{}{path}", self.0);
        reqwest::get(url).await.unwrap()
    }

    pub(crate) async fn text(self) -> String {
        self.get("/metrics").await.text().await.unwrap()
    }

    /// The value of a series; none if it isn't shown.
    pub(crate) async fn read(self, series: &str) -> Option<f64> {
        let text = self.text().await;
        let mut values = text.lines().filter_map(|line| line.strip_prefix(series));
        values.find_map(|value| value.strip_prefix(' ')?.parse().ok())
    }

    /// Waits until a series is as it must become.
    pub(crate) async fn until(self, series: &str, is_right: impl Fn(f64) -> bool) {
        let wait = async {
            while !self.read(series).await.is_some_and(&is_right) {
                tokio::time::sleep(std::time::Duration::from_millis(25)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, wait).await.is_err() {
            panic!("{series} does not come right:\n{}", self.text().await);
        }
    }

    pub(crate) async fn health(self) -> serde_json::Value {
        let response = self.get("/health").await;
        assert_eq!(response.status(), 200);
        response.json().await.unwrap()
    }
}

async fn observed(data: &std::path::Path) -> (Running, Measures) {
    let measures = Measures::free().await;
    let tracker = Running::start_with(data, |config| config.ops_bind = measures.bind()).await;
    (tracker, measures)
}

fn id(seed: u8) -> String {
    shared::ids::PeerId::of(&identity(seed).public_key()).to_string()
}

fn ended(reason: &str) -> String {
    format!(r#"distli_tracker_disconnects_total{{reason="{reason}"}}"#)
}

fn refused(reason: &str) -> String {
    format!(r#"distli_tracker_connections_refused_total{{reason="{reason}"}}"#)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_relayed_is_counted_and_no_word_of_any_network_is_shown() {
    let data = tempdir().unwrap();
    let (tracker, measures) = observed(data.path()).await;
    let network = Network::new("confidential", 1);
    let mut one = Client::connect(&tracker).await;
    one.create(&network).await;
    one.join(&network, &identity(11)).await;
    let mut other = Client::connect(&tracker).await;
    other.join(&network, &identity(12)).await;
    let frame = "A".repeat(1_000);
    for _ in 0..3 {
        let (target, frame) = (id(12), frame.clone());
        one.send(&ClientMessage::Relay { target, frame }).await;
        let arrived =
            |message: &ServerMessage| matches!(message, ServerMessage::Relay { .. }).then_some(());
        other.until(arrived).await;
    }
    let way = r#"{way="here"}"#;
    let messages = format!("distli_tracker_relayed_messages_total{way}");
    assert_eq!(measures.read(&messages).await, Some(3.0));
    let bytes = format!("distli_tracker_relayed_bytes_total{way}");
    let bytes = measures.read(&bytes).await.unwrap();
    assert!((3_000.0..6_000.0).contains(&bytes), "{bytes}");
    assert_eq!(measures.read("distli_tracker_rooms").await, Some(1.0));
    assert_eq!(measures.read("distli_tracker_networks").await, Some(1.0));

    // More than a hundred at once, and far less than 20 a second for the rest.
    for _ in 0..300 {
        one.send(&ClientMessage::Ping {}).await;
    }
    let limited = r#"distli_tracker_rate_limited_total{limit="messages"}"#;
    measures.until(limited, |count| count >= 1.0).await;

    let text = measures.text().await;
    let chain = network.chain_id().to_string();
    for secret in ["confidential", &chain, &id(11), &id(12), "127.0.0.1"] {
        assert!(!text.contains(secret), "{secret}\n{text}");
    }
    tracker.stop().await;
}

#[tokio::test]
async fn who_is_not_let_in_is_counted_by_the_reason() {
    let (data, measures) = (tempdir().unwrap(), Measures::free().await);
    let tracker = Running::start_with(data.path(), |config| {
        config.ops_bind = measures.bind();
        config.address_connections = 2;
    })
    .await;
    let url = format!("ws://{}/ws", tracker.address);
    let mut foreign = url.as_str().into_client_request().unwrap();
    let origin = "https://elsewhere.example".parse().unwrap();
    foreign.headers_mut().insert("origin", origin);
    let refusal = tokio_tungstenite::connect_async(foreign).await.unwrap_err();
    assert!(refusal.to_string().contains("403"), "{refusal}");
    assert_eq!(tracker.get("/ws").await.status(), 400);
    // Sockets have a limit of their own, and are let go some time after they were answered or upgraded: then a connection is
    // refused before anything is read from it, which is not what is counted here.
    let mut clients = Vec::new();
    let full = async {
        while measures.read(&refused("address_connections")).await == Some(0.0) {
            if let Ok((client, _)) = tokio_tungstenite::connect_async(&url).await {
                clients.push(client);
            }
        }
    };
    tokio::time::timeout(PATIENCE, full).await.unwrap();
    assert_eq!(clients.len(), 2);
    for (reason, count) in [
        ("origin", 1.0),
        ("no_upgrade", 1.0),
        ("address_connections", 1.0),
        ("full", 0.0),
    ] {
        assert_eq!(
            measures.read(&refused(reason)).await,
            Some(count),
            "{reason}"
        );
    }
    drop(clients);
    tracker.stop().await;

    let (data, measures) = (tempdir().unwrap(), Measures::free().await);
    let tracker = Running::start_with(data.path(), |config| {
        config.ops_bind = measures.bind();
        config.connections_max = 1;
    })
    .await;
    let client = Client::connect(&tracker).await;
    let url = format!("ws://{}/ws", tracker.address);
    let refusal = tokio_tungstenite::connect_async(&url).await.unwrap_err();
    assert!(refusal.to_string().contains("503"), "{refusal}");
    assert_eq!(measures.read(&refused("full")).await, Some(1.0));
    assert_eq!(tracker.get("/ws").await.status(), 400);
    assert_eq!(measures.read(&refused("no_upgrade")).await, Some(1.0));
    drop(client);
    tracker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_breaks_off_or_breaks_the_rules_is_counted_by_the_reason() {
    let data = tempdir().unwrap();
    let (tracker, measures) = observed(data.path()).await;
    let url = format!("ws://{}/ws", tracker.address);
    let connect = || async { tokio_tungstenite::connect_async(&url).await.unwrap().0 };

    let mut polite = connect().await;
    polite.close(None).await.unwrap();
    measures
        .until(&ended("closed_by_client"), |count| count == 1.0)
        .await;

    drop(connect().await);
    measures.until(&ended("gone"), |count| count == 1.0).await;

    let mut long = connect().await;
    // The tracker may hang up in the middle of it.
    let _ = long.send(Message::text("x".repeat(3 << 20))).await;
    measures
        .until(&ended("protocol_error"), |count| count == 1.0)
        .await;

    let mut clumsy = connect().await;
    for _ in 0..=tracker::limits::MISTAKES_MAX {
        if clumsy.send(Message::text("{")).await.is_err() {
            break;
        }
    }
    measures
        .until(&ended("malformed"), |count| count == 1.0)
        .await;
    while let Some(Ok(message)) = clumsy.next().await {
        if let Message::Close(frame) = message {
            let said = frame.unwrap().reason;
            assert_eq!(said.as_str(), "too many malformed messages");
        }
    }
    assert_eq!(measures.read(&ended("stopping")).await, Some(0.0));
    tracker.stop().await;
}

/// A member that never reads more than it has to, over a socket that holds little.
async fn deaf_member(tracker: &Running, network: &Network, seed: u8) -> impl Sized {
    let tcp = TcpSocket::new_v4().unwrap();
    tcp.set_recv_buffer_size(4_096).unwrap();
    let stream = tcp.connect(tracker.address).await.unwrap();
    let mut client = Client::over(stream, tracker).await;
    client.join(network, &identity(seed)).await;
    client
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_read_is_let_go_and_counted_as_slow() {
    let data = tempdir().unwrap();
    let (tracker, measures) = observed(data.path()).await;
    let network = Network::new("slow", 1);
    let mut sender = Client::connect(&tracker).await;
    sender.create(&network).await;
    sender.join(&network, &identity(11)).await;
    let deaf = deaf_member(&tracker, &network, 12).await;
    let message = ClientMessage::Relay {
        target: id(12),
        frame: "A".repeat(40_000),
    };
    let sends = async {
        while sender.try_send(&message).await {}
        std::future::pending::<()>().await;
    };
    let slow = async {
        loop {
            let full = measures.read(&ended("queue_full")).await;
            let late = measures.read(&ended("write_timeout")).await;
            if full.unwrap() + late.unwrap() == 1.0 {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(25)).await;
        }
    };
    let seen = async {
        tokio::select! {
            () = sends => {}
            () = slow => {}
        }
    };
    tokio::time::timeout(PATIENCE, seen)
        .await
        .expect("it is let go");
    drop(deaf);
    tracker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_any_validator_it_is_degraded_until_one_answers_and_ready_all_the_time() {
    let (data, enterprise) = (tempdir().unwrap(), tempdir().unwrap());
    let (measures, address) = (Measures::free().await, free_address().await);
    let tracker = Running::start_with(data.path(), |config| {
        config.ops_bind = measures.bind();
        config.enterprise_bc_url = Some(format!("http://{address}"));
    })
    .await;
    let mut network = Network::new("waiting", 1);
    let mut client = Client::connect(&tracker).await;
    let closed = r#"distli_tracker_validator_breaker{validator="1",state="closed"}"#;
    assert_eq!(measures.read(closed).await, Some(1.0));
    client.create(&network).await;
    client.join(&network, &identity(2)).await;
    let block = network.mine("one");
    assert!(client.report(&network, &[block]).await.is_accepted);
    measures.until(closed, |state| state == 0.0).await;
    let health = measures.health().await;
    assert_eq!(health["status"], "degraded");
    let said = health["checks"]["validator"].as_str().unwrap();
    assert!(said.contains("start the validators"), "{said}");
    assert_eq!(measures.get("/ready").await.status(), 200);
    let oldest = "distli_tracker_outbox_oldest_seconds";
    measures.until(oldest, |seconds| seconds > 0.0).await;

    let validator = Validator::start(enterprise.path(), Some(address)).await;
    measures.until(closed, |state| state == 1.0).await;
    measures.until(oldest, |seconds| seconds == 0.0).await;
    assert_eq!(measures.health().await["status"], "healthy");
    tracker.stop().await;
    validator.stop().await;
}
