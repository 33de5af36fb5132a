//! Signals to the real process: SIGTERM moves the clients and ends it well, SIGHUP reads the certificate again.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use api::ws::ServerMessage;
use rustls::pki_types::{CertificateDer, ServerName};
use tempfile::tempdir;
use tokio::net::TcpStream;

use crate::certificates::{self, connector};
use crate::client::Link;
use crate::process::{free_address, tracker_with};
use crate::support::{Network, PATIENCE};

#[tokio::test]
async fn sigterm_moves_the_clients_and_ends_the_process_well() {
    let (data, address) = (tempdir().unwrap(), free_address());
    let flags = ["--drain-seconds", "60"];
    let mut process = tracker_with(data.path(), address, &flags);
    assert!(process.serves(address).await, "{}", process.log());
    let mut network = Network::new("demo", 1);
    Link::create(address, &network).await.unwrap();
    let mut link = Link::join(address, &network).await.unwrap();
    let block = network.mine("before the end");
    link.report(&network, &[block]).await.unwrap();

    process.signal("-TERM");
    let moving =
        |message: &ServerMessage| matches!(message, ServerMessage::Moving { .. }).then_some(());
    link.until(moving).await.unwrap();
    assert!(
        Link::join(address, &network).await.is_err(),
        "nobody new is let in"
    );
    // It waits for nobody who has moved.
    let began = Instant::now();
    drop(link);
    assert!(process.ended().await.success(), "{}", process.log());
    assert!(
        began.elapsed() < Duration::from_secs(30),
        "{:?}",
        began.elapsed()
    );

    let mut process = tracker_with(data.path(), address, &flags);
    assert!(process.serves(address).await, "{}", process.log());
    let link = Link::join(address, &network).await.unwrap();
    assert_eq!(link.height, 1);
    // A second signal ends it although somebody stays.
    process.signal("-TERM");
    tokio::time::sleep(Duration::from_millis(100)).await;
    process.signal("-TERM");
    assert!(process.ended().await.success(), "{}", process.log());
}

async fn is_served_with(address: SocketAddr, certificate: &CertificateDer<'static>) -> bool {
    let Ok(stream) = TcpStream::connect(address).await else {
        return false;
    };
    let name = ServerName::try_from("localhost").unwrap();
    connector(certificate).connect(name, stream).await.is_ok()
}

async fn until_served_with(
    address: SocketAddr,
    certificate: &CertificateDer<'static>,
    log: impl Fn() -> String,
) {
    let deadline = Instant::now() + PATIENCE;
    while !is_served_with(address, certificate).await {
        assert!(Instant::now() < deadline, "{}", log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn sighup_reads_a_renewed_certificate_and_keeps_the_old_one_when_it_is_none() {
    let (data, address) = (tempdir().unwrap(), free_address());
    let first = certificates::write_into(data.path());
    let (certificate, key) = (data.path().join("cert.pem"), data.path().join("key.pem"));
    let flags = [
        "--tls-cert",
        certificate.to_str().unwrap(),
        "--tls-key",
        key.to_str().unwrap(),
    ];
    let process = tracker_with(data.path(), address, &flags);
    until_served_with(address, &first, || process.log()).await;

    let second = certificates::write_into(data.path());
    assert!(
        is_served_with(address, &first).await,
        "nothing was said yet"
    );
    process.signal("-HUP");
    until_served_with(address, &second, || process.log()).await;
    assert!(!is_served_with(address, &first).await);

    std::fs::write(&certificate, "no certificate").unwrap();
    process.signal("-HUP");
    let deadline = Instant::now() + PATIENCE;
    while !process.log().contains("the certificate stays as it was") {
        assert!(Instant::now() < deadline, "{}", process.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(is_served_with(address, &second).await);
}
