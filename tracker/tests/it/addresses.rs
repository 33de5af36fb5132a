//! What one address may use, over real sockets.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{Client, Running};

/// One request as a proxy would send it, on a connection of its own; the answer's head and body.
async fn ask(tracker: &Running, path: &str, forwarded: &str) -> String {
    let mut stream = TcpStream::connect(tracker.address).await.unwrap();
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: x\r\nx-forwarded-for: {forwarded}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.to_ascii_lowercase()
}

#[tokio::test]
async fn too_many_requests_are_told_when_to_come_again() {
    let data = tempfile::tempdir().unwrap();
    let tracker = Running::start_with(data.path(), |config| {
        config.address_requests = 1;
    })
    .await;
    let mut refused = None;
    // Ten at once and one a second; a slow machine cannot take a minute for this.
    for number in 0..70 {
        let answer = ask(&tracker, "/api/networks", "192.0.2.1").await;
        if answer.starts_with("http/1.1 429") {
            refused = Some((number, answer));
            break;
        }
        assert!(answer.starts_with("http/1.1 200"), "{answer}");
    }
    let (number, answer) = refused.expect("somewhere it is too much");
    assert!(number >= 10, "the burst passes: {number}");
    assert!(answer.contains("retry-after: 1\r\n"), "{answer}");
    assert!(answer.contains("application/problem+json"), "{answer}");
    assert!(answer.contains("/problems/too-many-requests"), "{answer}");
}

#[tokio::test]
async fn only_a_trusted_proxy_says_who_the_client_is() {
    let data = tempfile::tempdir().unwrap();
    let tracker = Running::start_with(data.path(), |config| {
        config.address_requests = 1;
        config.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    })
    .await;
    let mut one_is_refused = false;
    for _ in 0..70 {
        let answer = ask(&tracker, "/api/networks", "6.6.6.6, 192.0.2.1").await;
        one_is_refused |= answer.starts_with("http/1.1 429");
    }
    assert!(one_is_refused, "one client is held to its allowance");
    let other = ask(&tracker, "/api/networks", "6.6.6.6, 192.0.2.2").await;
    assert!(other.starts_with("http/1.1 200"), "{other}");
    let same_claim = ask(&tracker, "/api/networks", "192.0.2.77, 192.0.2.1").await;
    assert!(
        same_claim.starts_with("http/1.1 429") || !one_is_refused,
        "what a client claims changes nothing: {same_claim}"
    );
}

#[tokio::test]
async fn connections_of_one_address_are_counted_and_given_back() {
    let data = tempfile::tempdir().unwrap();
    let tracker = Running::start_with(data.path(), |config| {
        config.address_connections = 3;
    })
    .await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(Client::connect(&tracker).await);
    }
    let url = format!("ws://{}/ws", tracker.address);
    let refusal = tokio_tungstenite::connect_async(&url).await.unwrap_err();
    assert!(refusal.to_string().contains("429"), "{refusal}");
    drop(clients.pop());
    let again = async {
        while tokio_tungstenite::connect_async(&url).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(crate::support::PATIENCE, again)
        .await
        .expect("the place of the one that left is free");
}
