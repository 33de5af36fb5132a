//! The least that a WebSocket server can do for a connection: accept, upgrade, say two texts and hear one. It knows no room, no
//! limit and no other connection; what it costs is the floor of the figure of connections.

use anyhow::{Context as _, Result, ensure};
use api::ws::{Limits, ServerMessage};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

/// Serves until the process is ended; the first request asks for its health.
pub(crate) async fn serve(port: u16) -> Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    let (mut health, _) = listener.accept().await?;
    // What is left unread resets the connection, and the answer with it.
    let asked = health.read(&mut [0; 1_024]).await?;
    ensure!(asked > 0, "nothing was asked");
    health
        .write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
        .await?;
    let texts = texts()?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(converse(stream, texts.clone()));
    }
}

async fn converse(stream: TcpStream, [welcome, joined]: [Utf8Bytes; 2]) -> Result<()> {
    let mut socket = tokio_tungstenite::accept_async(stream).await?;
    socket.send(Message::Text(welcome)).await?;
    socket.next().await.context("a join")??;
    socket.send(Message::Text(joined)).await?;
    while socket.next().await.is_some() {}
    Ok(())
}

/// What the tracker says at least, as long as it is there.
fn texts() -> Result<[Utf8Bytes; 2]> {
    let hex = "00".repeat(32);
    let welcome = ServerMessage::Welcome {
        peer_id: hex.clone(),
        nonce: hex.clone(),
        ice_servers: Vec::new(),
        limits: Limits {
            message_bytes_max: 65_536,
            update_bytes_max: 2_097_152,
            join_timeout_ms: 10_000,
            ping_interval_ms: 25_000,
            message_burst: 100,
            messages_per_second: 20,
            relay_bytes_per_second: 1_048_576,
        },
    };
    let joined = ServerMessage::Joined {
        network_id: "room0".into(),
        chain_id: hex.clone(),
        genesis: "00".repeat(200),
        peer_id: hex,
        peers: Vec::new(),
        tip: None,
        anchor: None,
    };
    let text = |message| Ok::<_, anyhow::Error>(serde_json::to_string(&message)?.into());
    Ok([text(welcome)?, text(joined)?])
}
