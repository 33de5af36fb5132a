//! TLS of the tracker's own: browsers speak wss to it with a certificate they know, and nothing else gets in.

use futures_util::StreamExt as _;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

use crate::certificates::{Files, connector, files};
use crate::support::{PATIENCE, Running};

async fn secure(files: &Files) -> Running {
    let path = files.folder.path();
    Running::start_with(path, |config| {
        config.tls_cert = Some(path.join("cert.pem"));
        config.tls_key = Some(path.join("key.pem"));
    })
    .await
}

#[tokio::test]
async fn browsers_are_welcomed_over_wss_and_those_who_trust_another_certificate_are_not() {
    let own = files();
    let tracker = secure(&own).await;
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TcpStream::connect(tracker.address).await.unwrap();
    let stream = connector(&own.certificate).connect(name.clone(), stream);
    let stream = stream.await.unwrap();
    let url = format!("wss://localhost:{}/ws", tracker.address.port());
    let (mut socket, _) = tokio_tungstenite::client_async(url, stream).await.unwrap();
    let first = socket.next().await.unwrap().unwrap();
    assert!(matches!(first, Message::Text(text) if text.contains("welcome")));

    let other = files();
    let stream = TcpStream::connect(tracker.address).await.unwrap();
    let refused = connector(&other.certificate).connect(name, stream).await;
    assert!(refused.is_err());
    drop(socket);
    tracker.stop().await;
}

#[tokio::test]
async fn plain_http_and_silence_get_no_answer_from_a_tls_port() {
    let files = files();
    let tracker = secure(&files).await;
    let mut plain = TcpStream::connect(tracker.address).await.unwrap();
    plain
        .write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    let mut silent = TcpStream::connect(tracker.address).await.unwrap();
    for stream in [&mut plain, &mut silent] {
        let mut bytes = Vec::new();
        let ended = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await;
        // A reset is an end, too.
        let _ = ended.expect("it is closed");
        assert!(!String::from_utf8_lossy(&bytes).contains("HTTP/1.1 200"));
    }
    tracker.stop().await;
}

#[tokio::test]
async fn a_certificate_that_is_none_is_refused_by_its_name() {
    let files = files();
    let path = files.folder.path().join("cert.pem");
    std::fs::write(&path, "no certificate").unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = tracker::Config {
        data: files.folder.path().into(),
        tls_cert: Some(path),
        tls_key: Some(files.folder.path().join("key.pem")),
        ..tracker::Config::default()
    };
    let error = tracker::run(listener, config, std::future::pending()).await;
    assert!(error.unwrap_err().to_string().contains("cert.pem"));
}
