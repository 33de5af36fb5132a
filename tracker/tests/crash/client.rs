//! A client that is told when the tracker has gone away, instead of failing.

use std::net::SocketAddr;
use std::time::Duration;

use api::ws::{ClientMessage, ServerMessage};
use api::{TenantBlock, UpdateStatus};
use futures_util::{SinkExt as _, StreamExt as _};
use shared::block::Block;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::support::Network;

/// The tracker is not there, or went away.
#[derive(Debug)]
pub(crate) struct Gone;

/// A member of a network's room.
pub(crate) struct Link {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// The height of the tip that the tracker has, as it told at the join.
    pub(crate) height: u32,
    pub(crate) peer: String,
}

impl Link {
    pub(crate) async fn join(address: SocketAddr, network: &Network) -> Result<Self, Gone> {
        let join = ClientMessage::JoinNetwork {
            network_id: network.label().into(),
            chain_id: Some(network.chain_id().to_string()),
            key: None,
            signature: None,
        };
        let mut link = Self::connect(address).await?;
        link.send(&join).await?;
        let joined = |message: &ServerMessage| match message {
            ServerMessage::Joined { tip, peer_id, .. } => {
                let height = tip.as_ref().map_or(0, |tip| tip.height);
                Some((height, peer_id.clone()))
            }
            _ => None,
        };
        (link.height, link.peer) = link.until(joined).await?;
        Ok(link)
    }

    /// Registers a network durably, with a connection that goes away again.
    pub(crate) async fn create(address: SocketAddr, network: &Network) -> Result<(), Gone> {
        let create = ClientMessage::CreateNetwork {
            genesis: network.genesis_hex(),
            listed: true,
            label: None,
        };
        let mut link = Self::connect(address).await?;
        link.send(&create).await?;
        let created = |message: &ServerMessage| {
            matches!(message, ServerMessage::NetworkCreated { .. }).then_some(())
        };
        link.until(created).await
    }

    /// Reports blocks; returns when they are acknowledged.
    pub(crate) async fn report(&mut self, network: &Network, blocks: &[Block]) -> Result<(), Gone> {
        let update = ClientMessage::BlockchainUpdate {
            network_id: network.label().into(),
            block_count: u64::try_from(blocks.len()).unwrap(),
            latest_blocks: blocks.iter().map(TenantBlock::from).collect(),
            latest_reports: Vec::new(),
            genesis: None,
        };
        self.send(&update).await?;
        let answered = |message: &ServerMessage| match message {
            ServerMessage::UpdateResult { status, reason, .. } => {
                Some((*status, reason.clone().unwrap_or_default()))
            }
            _ => None,
        };
        let (status, reason) = self.until(answered).await?;
        // What was acknowledged before is the parent of this: a refusal says that it is lost.
        assert_eq!(status, UpdateStatus::Accepted, "{reason}");
        Ok(())
    }

    pub(crate) async fn send(&mut self, message: &ClientMessage) -> Result<(), Gone> {
        let text = serde_json::to_string(message).unwrap();
        let sent = self.socket.send(Message::text(text)).await;
        sent.map_err(|_| Gone)
    }

    /// The next message that `pick` takes.
    pub(crate) async fn until<T>(
        &mut self,
        mut pick: impl FnMut(&ServerMessage) -> Option<T>,
    ) -> Result<T, Gone> {
        loop {
            let next = tokio::time::timeout(ANSWER_WITHIN, self.socket.next()).await;
            match next.map_err(|_| Gone)? {
                Some(Ok(Message::Text(text))) => {
                    let message: ServerMessage = serde_json::from_str(&text).unwrap();
                    if let ServerMessage::Error { message, .. } = &message {
                        panic!("refused: {message}");
                    }
                    if let Some(picked) = pick(&message) {
                        return Ok(picked);
                    }
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return Err(Gone),
                Some(Ok(_)) => {}
            }
        }
    }

    async fn connect(address: SocketAddr) -> Result<Self, Gone> {
        let connected = connect_async(format!("ws://{address}/ws")).await;
        let (socket, _) = connected.map_err(|_| Gone)?;
        Ok(Self {
            socket,
            height: 0,
            peer: String::new(),
        })
    }
}

/// Longer than any answer of a tracker that lives.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
