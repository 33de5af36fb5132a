//! Counts what a server really sends: a TCP forwarder on loopback.

use anyhow::Result;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy};
use tokio::net::{TcpListener, TcpStream};

/// A forwarder; ends with the runtime.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) port: u16,
    sent: Arc<AtomicU64>,
}

impl Proxy {
    pub(crate) async fn start(target: u16) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let sent = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&sent);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(forward(client, target, Arc::clone(&counter)));
            }
        });
        Ok(Self { port, sent })
    }

    /// Bytes sent to clients so far, headers and all.
    pub(crate) fn sent_bytes(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
}

async fn forward(client: TcpStream, target: u16, sent: Arc<AtomicU64>) -> Result<()> {
    let server = TcpStream::connect(("127.0.0.1", target)).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let up = async {
        let _ = copy(&mut from_client, &mut to_server).await;
        let _ = to_server.shutdown().await;
    };
    let down = async {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(count @ 1..) = from_server.read(&mut buffer).await {
            sent.fetch_add(count as u64, Ordering::Relaxed);
            if to_client
                .write_all(buffer.get(..count).unwrap_or_default())
                .await
                .is_err()
            {
                break;
            }
        }
        let _ = to_client.shutdown().await;
    };
    tokio::join!(up, down);
    Ok(())
}
