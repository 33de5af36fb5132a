//! The operations port and the drain, over real sockets.

use std::net::SocketAddr;

use api::ws::ServerMessage;
use futures_util::StreamExt as _;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tracker::OperationsBind;

use crate::support::PATIENCE;

pub(crate) async fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

#[tokio::test]
async fn clients_are_told_to_move_and_closed_at_the_end_while_ready_says_no() {
    let data = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, operations) = (listener.local_addr().unwrap(), free_address().await);
    let config = tracker::Config {
        data: data.path().into(),
        www: data.path().join("www"),
        ops_bind: OperationsBind::At(operations),
        drain_seconds: 3_600,
        ..tracker::Config::default()
    };
    let (stop, stopped) = oneshot::channel::<()>();
    let (hurry, hurried) = oneshot::channel::<()>();
    let wait = |end: oneshot::Receiver<()>| async move {
        let _ = end.await;
    };
    let task = tokio::spawn(tracker::run_with(
        listener,
        config,
        wait(stopped),
        wait(hurried),
    ));
    let (mut socket, _) = tokio_tungstenite::connect_async(format!("ws://{address}/ws"))
        .await
        .unwrap();
    let get = |path: &str| reqwest::get(format!("http://{operations}{path}"));
    assert_eq!(get("/ready").await.unwrap().status(), 200);
    assert_eq!(get("/health").await.unwrap().status(), 200);
    let metrics = get("/metrics").await.unwrap().text().await.unwrap();
    assert!(
        metrics.contains("distli_tracker_connections 1\n"),
        "{metrics}"
    );
    let public = reqwest::get(format!("http://{address}/metrics"))
        .await
        .unwrap();
    assert_eq!(public.status(), 404, "the public port has no measures");

    stop.send(()).unwrap();
    let mut told = None;
    while told.is_none() {
        let next = tokio::time::timeout(PATIENCE, socket.next()).await.unwrap();
        let Message::Text(text) = next.unwrap().unwrap() else {
            continue;
        };
        if let ServerMessage::Moving { reconnect_after_ms } = serde_json::from_str(&text).unwrap() {
            told = Some(reconnect_after_ms);
        }
    }
    assert!(
        told.is_some_and(|ms| (250..=4_250).contains(&ms)),
        "{told:?}"
    );
    let ready = get("/ready").await.unwrap();
    assert_eq!(ready.status(), 503);
    assert!(ready.text().await.unwrap().contains("stopping"));

    hurry.send(()).unwrap();
    let closed = loop {
        let next = tokio::time::timeout(PATIENCE, socket.next()).await.unwrap();
        if let Message::Close(frame) = next.unwrap().unwrap() {
            break frame.unwrap();
        }
    };
    assert_eq!(closed.code, CloseCode::Away);
    drop(socket);
    task.await.unwrap().unwrap();
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}
