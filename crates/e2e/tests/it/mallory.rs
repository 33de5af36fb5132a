//! A hostile peer: joins by the rules, with the real mesh machine over a real socket, and then sends what it likes.

use anyhow::{Context as _, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use shared::genesis::Genesis;
use shared::identity::Identity;
use shared::ids::TimestampMs;
use shared::mesh::{Config, FromTracker, Input, Listing, Mesh, Output, ToTracker};
use std::time::{Duration, SystemTime};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

pub(crate) struct Mallory {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    mesh: Mesh,
    /// Sent to the first peer that a link comes up with.
    poison: Vec<u8>,
}

impl Mallory {
    /// Joins the network of `genesis` and sends `poison` to the first peer it is linked with, over the tracker's relay.
    pub(crate) async fn poisons(app_url: &str, genesis: &Genesis, poison: Vec<u8>) -> Result<()> {
        let (socket, _) = connect_async(format!("{}/ws", app_url.replace("http", "ws"))).await?;
        let mesh = Mesh::new(Config {
            identity: Identity::from_seed([66; 32]),
            chain: genesis.chain_id(),
            network: genesis.network_id.clone(),
            genesis: genesis.encode(),
            listing: Listing::Unlisted,
            keys: None,
            seed: [6; 32],
        });
        let mut mallory = Self {
            socket,
            mesh,
            poison,
        };
        mallory.mesh.handle(now(), Input::TrackerOpened)?;
        tokio::time::timeout(e2e::PATIENCE, mallory.until_delivered()).await?
    }

    async fn until_delivered(&mut self) -> Result<()> {
        loop {
            if self.obey().await? {
                return Ok(());
            }
            let heard = tokio::time::timeout(Duration::from_millis(200), self.socket.next()).await;
            match heard {
                Ok(Some(message)) => self.hear(&message?)?,
                Ok(None) => bail!("the tracker hung up"),
                Err(_) => self.mesh.handle(now(), Input::Woken)?,
            }
        }
    }

    fn hear(&mut self, message: &Message) -> Result<()> {
        let Message::Text(text) = message else {
            return Ok(());
        };
        let message: Value = serde_json::from_str(text)?;
        ensure!(message["type"] != "error", "the tracker refused: {message}");
        if let Some(fact) = fact(&message)? {
            // What the mesh machine refuses is no matter of this test.
            let _ = self.mesh.handle(now(), Input::TrackerReceived(fact));
        }
        Ok(())
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "orders about WebRTC and events are not for this peer"
    )]
    /// Carries out the machine's orders; true once the poison is on its way.
    async fn obey(&mut self) -> Result<bool> {
        while let Some(order) = self.mesh.poll() {
            match order {
                Output::Tracker(message) => self.say(message).await?,
                Output::PeerUp { peer } => {
                    let bytes = self.poison.clone();
                    self.mesh
                        .handle(now(), Input::SendRequested { peer, bytes })?;
                    while let Some(order) = self.mesh.poll() {
                        if let Output::Tracker(message) = order {
                            self.say(message).await?;
                        }
                    }
                    return Ok(true);
                }
                // It has no WebRTC: every link stays on the relay.
                _ => {}
            }
        }
        Ok(false)
    }

    async fn say(&mut self, message: ToTracker) -> Result<()> {
        let message = match message {
            ToTracker::Join {
                network,
                chain,
                key,
                signature,
            } => json!({
                "type": "join_network", "network_id": network.as_str(), "chain_id": chain.0.to_string(),
                "key": hex::encode(key.0), "signature": hex::encode(signature.0),
            }),
            ToTracker::Relay { to, frame, .. } => {
                json!({"type": "relay", "target": to.0.to_string(), "frame": BASE64.encode(frame)})
            }
            ToTracker::Create { .. } | ToTracker::Enter { .. } | ToTracker::Signal { .. } => {
                return Ok(());
            }
        };
        Ok(self.socket.send(Message::text(message.to_string())).await?)
    }
}

fn fact(message: &Value) -> Result<Option<FromTracker>> {
    let text = |field: &str| {
        message[field]
            .as_str()
            .with_context(|| format!("{field} in {message}"))
    };
    Ok(Some(match text("type")? {
        "welcome" => FromTracker::Welcomed {
            provisional: hex::decode(text("peer_id")?)?,
            nonce: hex::decode(text("nonce")?)?,
            host: String::new(),
        },
        "joined" => {
            let peers = message["peers"].as_array().context("peers")?;
            let peers: Result<Vec<_>> = peers
                .iter()
                .map(|peer| Ok(peer.as_str().context("a peer id")?.parse()?))
                .collect();
            FromTracker::Joined {
                chain: text("chain_id")?.parse()?,
                peers: peers?,
            }
        }
        "peer_joined" => FromTracker::PeerJoined(text("peer_id")?.parse()?),
        "relay" => FromTracker::Relayed {
            from: text("target")?.parse()?,
            frame: BASE64.decode(text("frame")?)?,
        },
        _ => return Ok(None),
    }))
}

fn now() -> TimestampMs {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    TimestampMs(u64::try_from(since.as_millis()).unwrap_or_default())
}
