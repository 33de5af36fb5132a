//! Clients that do harm, over real sockets, while two honest ones go on: each of their messages has to arrive.

use std::time::Duration;

use api::ws::{ClientMessage, ServerMessage};
use futures_util::SinkExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;

use crate::support::{Client, Network, Running, identity};

const EACH: usize = 20;
/// Messages of the honest pair.
const MESSAGES: usize = 120;

/// Connections that send so much of a request and then nothing.
async fn slow(tracker: std::net::SocketAddr, bytes: &'static [u8]) {
    let mut held = Vec::new();
    for _ in 0..EACH {
        if let Ok(mut stream) = TcpStream::connect(tracker).await
            && stream.write_all(bytes).await.is_ok()
        {
            held.push(stream);
        }
    }
    std::future::pending::<()>().await;
}

/// Sends the same again and again on connections of its own, as soon as one ends on the next.
async fn shouts(tracker: std::net::SocketAddr, message: Message) {
    loop {
        let connected = tokio_tungstenite::connect_async(format!("ws://{tracker}/ws")).await;
        let Ok((mut socket, _)) = connected else {
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        };
        while socket.send(message.clone()).await.is_ok() {
            tokio::task::yield_now().await;
        }
    }
}

/// Connects and leaves without end.
async fn comes_and_goes(tracker: std::net::SocketAddr) {
    loop {
        let connected = tokio_tungstenite::connect_async(format!("ws://{tracker}/ws")).await;
        if connected.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// One member never reads, while another sends it all that it may.
async fn never_reads(mut sender: Client, _deaf: Client, target: String) {
    let frame = "A".repeat(40_000);
    let message = ClientMessage::Relay { target, frame };
    while sender.try_send(&message).await {}
}

/// One message from one to the other; how long it took.
async fn relayed(one: &mut Client, other: &mut Client, target: &str, number: usize) -> Duration {
    let frame = format!("{number:08}");
    let started = Instant::now();
    let message = ClientMessage::Relay {
        target: target.to_owned(),
        frame: frame.clone(),
    };
    one.send(&message).await;
    other
        .until(|message| match message {
            ServerMessage::Relay { frame: found, .. } if *found == frame => Some(()),
            _ => None,
        })
        .await;
    started.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn honest_clients_are_served_whatever_others_do() {
    let data = tempfile::tempdir().unwrap();
    let tracker = Running::start(data.path()).await;
    let network = Network::new("honest", 1);
    let mut one = Client::connect(&tracker).await;
    one.create(&network).await;
    one.join(&network, &identity(11)).await;
    let mut other = Client::connect(&tracker).await;
    other.join(&network, &identity(12)).await;
    let target = shared::ids::PeerId::of(&identity(12).public_key()).to_string();

    let address = tracker.address;
    let mut harm = JoinSet::new();
    harm.spawn(slow(address, b""));
    harm.spawn(slow(address, b"GET /ws HTTP/1.1\r\nhost: x\r\nupgr"));
    harm.spawn(slow(
        address,
        b"POST /api/blockchain-update HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{",
    ));
    let deep = format!(r#"{{"type":"relay","frame":{}"#, "[".repeat(60_000));
    harm.spawn(shouts(address, Message::text(deep)));
    harm.spawn(shouts(address, Message::binary(vec![0xa5; 4_096])));
    harm.spawn(shouts(address, Message::text("x".repeat(100_000))));
    let join = r#"{"type":"join_network","network_id":"honest"}"#;
    harm.spawn(shouts(address, Message::text(join)));
    harm.spawn(comes_and_goes(address));
    let mut loud = Client::connect(&tracker).await;
    loud.join(&network, &identity(13)).await;
    let mut deaf = Client::connect(&tracker).await;
    deaf.join(&network, &identity(14)).await;
    let deaf_id = shared::ids::PeerId::of(&identity(14).public_key()).to_string();
    harm.spawn(never_reads(loud, deaf, deaf_id));

    let mut worst = Duration::ZERO;
    for number in 0..MESSAGES {
        // A client's own rate stays below its limit.
        tokio::time::sleep(Duration::from_millis(60)).await;
        worst = worst.max(relayed(&mut one, &mut other, &target, number).await);
    }
    println!("the slowest of {MESSAGES} messages under abuse: {worst:?}");
    harm.shutdown().await;
    // All of them share one address, whose requests are rationed: it may ask again a moment later.
    for _ in 0..200 {
        if tracker.get("/health").await.status() == 200 {
            return tracker.stop().await;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the tracker does not recover");
}
