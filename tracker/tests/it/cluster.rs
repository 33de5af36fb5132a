//! Three trackers as servers over a real nats-server: members see and reach each other, whatever of it dies and comes back.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use api::ws::{ClientMessage, ServerMessage};
use tokio::net::TcpStream;

use crate::metrics::Measures;
use crate::support::{Client, Network, Running, identity, skip_without};

/// A nats-server of this test.
struct Server {
    process: Child,
}

impl Server {
    /// None, and that is said, where the program is missing.
    async fn start(port: u16) -> Option<Self> {
        let spawned = Command::new("nats-server")
            .args(["-a", "127.0.0.1", "-p", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let process = match spawned {
            Ok(process) => process,
            Err(error) => {
                skip_without("nats-server", "nats-server", &error);
                return None;
            }
        };
        let server = Self { process };
        for _ in 0..200 {
            if TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
                return Some(server);
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("nats-server does not listen");
    }

    fn signal(&self, signal: &str) {
        let id = self.process.id().to_string();
        let status = Command::new("kill").args([signal, &id]).status().unwrap();
        assert!(status.success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

async fn trackers(folder: &std::path::Path, port: u16) -> Vec<Running> {
    let mut all = Vec::new();
    for number in 0..3 {
        let url = format!("nats://127.0.0.1:{port}");
        let data = folder.join(number.to_string());
        std::fs::create_dir_all(&data).unwrap();
        let tracker = Running::start_with(&data, |config| {
            config.nats_url = Some(url);
            config.public_url = Some(public_url(number).parse().unwrap());
        });
        all.push(tracker.await);
    }
    for tracker in &all {
        reached(tracker, true).await;
    }
    all
}

fn public_url(number: usize) -> String {
    format!("wss://t{number}.example/ws")
}

/// Waits until a client is told of just these trackers.
async fn told_of(client: &mut Client, numbers: &[usize]) {
    let wanted: Vec<String> = numbers.iter().map(|number| public_url(*number)).collect();
    let told = client.until(|message| match message {
        ServerMessage::Trackers { trackers } if *trackers == wanted => Some(()),
        _ => None,
    });
    told.await;
}

async fn reached(tracker: &Running, is_reached: bool) {
    for _ in 0..400 {
        let health: serde_json::Value = tracker.get("/health").await.json().await.unwrap();
        let says = health["checks"]["cluster"] == "other trackers are reached";
        if says == is_reached {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("the tracker does not say that others are reached: {is_reached}");
}

/// Joins at a tracker once it knows the network.
async fn member(tracker: &Running, network: &Network, seed: u8) -> Client {
    for _ in 0..200 {
        let mut client = Client::connect(tracker).await;
        let join = client.join_message(network, &identity(seed));
        client.send(&join).await;
        let answer = client.until(|message| match message {
            ServerMessage::Joined { .. } => Some(true),
            ServerMessage::Error { .. } => Some(false),
            _ => None,
        });
        if answer.await {
            return client;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("the network is not known at a tracker");
}

fn id(seed: u8) -> String {
    shared::ids::PeerId::of(&identity(seed).public_key()).to_string()
}

/// One sends to the other until it arrives: presence is soft.
async fn reaches(from: &mut Client, to: &mut Client, to_seed: u8, frame: &str) {
    for _ in 0..200 {
        let (target, frame) = (id(to_seed), frame.to_owned());
        from.send(&ClientMessage::Relay {
            target,
            frame: frame.clone(),
        })
        .await;
        let arrived = to.until(|message| match message {
            ServerMessage::Relay { frame: found, .. } if *found == frame => Some(()),
            _ => None,
        });
        if tokio::time::timeout(Duration::from_millis(100), arrived)
            .await
            .is_ok()
        {
            return;
        }
    }
    panic!("{frame} does not arrive");
}

#[tokio::test(flavor = "multi_thread")]
async fn trackers_of_a_cluster_are_one_to_their_clients_whatever_dies() {
    let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
    let Some(server) = Server::start(port).await else {
        return;
    };
    let mut trackers = trackers(folder.path(), port).await;
    let (network, other) = (Network::new("shared", 1), Network::new("other", 2));
    let mut one = Client::connect(&trackers[0]).await;
    one.create(&network).await;
    one.create(&other).await;
    one.join(&network, &identity(11)).await;
    let mut watcher = Client::connect(&trackers[0]).await;
    watcher.send(&ClientMessage::ListNetworks {}).await;
    told_of(&mut watcher, &[1, 2]).await;
    let mut two = member(&trackers[1], &network, 12).await;
    let mut three = member(&trackers[2], &network, 13).await;
    let mut stranger = member(&trackers[1], &other, 14).await;
    reaches(&mut one, &mut two, 12, "b25l").await;
    reaches(&mut two, &mut three, 13, "dHdv").await;
    reaches(&mut three, &mut one, 11, "dGhyZWU=").await;

    // The server dies and comes back; members of one tracker reach each other all the time.
    let mut near = member(&trackers[0], &network, 15).await;
    drop(server);
    reached(&trackers[0], false).await;
    reaches(&mut one, &mut near, 15, "bmVhcg==").await;
    let server = Server::start(port).await.unwrap();
    for tracker in &trackers {
        reached(tracker, true).await;
    }
    reaches(&mut one, &mut two, 12, "YWdhaW4=").await;
    reaches(&mut three, &mut one, 11, "YmFjaw==").await;

    // It stops and goes on.
    server.signal("-STOP");
    reaches(&mut near, &mut one, 11, "c3RvcA==").await;
    server.signal("-CONT");
    reaches(&mut two, &mut three, 13, "Y29udA==").await;

    // A tracker goes: its client comes back at another, with its own id, and is reached there.
    trackers.remove(2).stop().await;
    told_of(&mut watcher, &[1]).await;
    let mut moved = member(&trackers[0], &network, 13).await;
    reaches(&mut two, &mut moved, 13, "bW92ZWQ=").await;

    // Nothing of it came to the other network.
    for message in stranger.drain().await {
        let text = serde_json::to_string(&message).unwrap();
        for seed in [11, 12, 13, 15] {
            assert!(!text.contains(&id(seed)), "{text}");
        }
        assert!(!text.contains("shared"), "{text}");
    }
    drop(server);
    for tracker in trackers {
        tracker.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_nats_it_is_degraded_and_says_so_until_that_is_back_and_ready_all_the_time() {
    let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
    let Some(server) = Server::start(port).await else {
        return;
    };
    let measures = Measures::free().await;
    let tracker = Running::start_with(folder.path(), |config| {
        config.ops_bind = measures.bind();
        config.nats_url = Some(format!("nats://127.0.0.1:{port}"));
    })
    .await;
    let up = "distli_tracker_cluster_up";
    let dropped = r#"distli_tracker_cluster_orders_dropped_total{reason="away"}"#;
    reached(&tracker, true).await;
    measures.until(up, |value| value == 1.0).await;
    assert_eq!(measures.health().await["status"], "healthy");

    drop(server);
    measures.until(up, |value| value == 0.0).await;
    let health = measures.health().await;
    assert_eq!(health["status"], "degraded");
    let said = health["checks"]["cluster"].as_str().unwrap();
    assert!(said.contains("start the NATS server"), "{said}");
    assert_eq!(tracker.get("/health").await.status(), 200);
    assert_eq!(measures.get("/ready").await.status(), 200);
    // It serves its own, and what it would tell others is dropped.
    let network = Network::new("alone", 1);
    let mut client = Client::connect(&tracker).await;
    client.create(&network).await;
    client.join(&network, &identity(11)).await;
    measures.until(dropped, |count| count >= 1.0).await;

    let server = Server::start(port).await.unwrap();
    measures.until(up, |value| value == 1.0).await;
    assert_eq!(measures.health().await["status"], "healthy");
    drop(server);
    tracker.stop().await;
}
