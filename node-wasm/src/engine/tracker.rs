//! The tracker's JSON, to and from the machines.

use api::ws::{ClientMessage, ErrorCode, Limits, ServerMessage};
use api::{Anchor, TenantBlock, TipReference, UpdateStatus};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use shared::block::{Block, UncheckedBlock};
use shared::frame::Lane;
use shared::hash::Hash;
use shared::ids::{ChainId, Height, PeerId, PublicKey, Signature, TimestampMs};
use shared::mesh::signal::{Fingerprint, Session, Signal, SignalKind};
use shared::mesh::{self, FromTracker, Listing, ToTracker};
use shared::node;

use super::Engine;
use super::reported::Reported;
use crate::seam::{Event, Output};

/// Bytes of an update that every tracker takes.
pub(super) const UPDATE_BYTES_DEFAULT: usize = 1024 * 1024;

impl Engine {
    pub(super) fn on_tracker_message(&mut self, now: TimestampMs, text: &str) {
        match serde_json::from_str::<ServerMessage>(text) {
            Ok(message) => {
                if self.on_server_message(now, message).is_none() {
                    self.tracker_fault("the tracker sent a malformed message");
                }
            }
            // Newer trackers may say more than this node knows.
            Err(error) if error.to_string().starts_with("unknown variant") => {}
            Err(error) => {
                self.tracker_fault(&format!("the tracker sent a malformed message: {error}"))
            }
        }
        self.drain(now);
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the other messages are about the chain"
    )]
    /// What is about the connection and the room; `None` if a field is not what it should be.
    fn on_server_message(&mut self, now: TimestampMs, message: ServerMessage) -> Option<()> {
        let fact = match message {
            ServerMessage::Welcome {
                peer_id,
                nonce,
                ice_servers,
                limits,
            } => {
                self.ice_servers = ice_servers;
                self.update_bytes_max = update_bytes(&limits);
                self.pace.start(now, &limits);
                let (provisional, nonce) = (hex::decode(peer_id).ok()?, hex::decode(nonce).ok()?);
                let host = self.tracker_host.clone();
                FromTracker::Welcomed {
                    provisional,
                    nonce,
                    host,
                }
            }
            ServerMessage::IceServers { ice_servers } => {
                // For the links that are made from now on: those that are there gather no more candidates.
                self.ice_servers = ice_servers;
                return Some(());
            }
            ServerMessage::NetworkCreated { chain_id, .. } => FromTracker::Created {
                chain: chain_id.parse().ok()?,
            },
            ServerMessage::Joined {
                chain_id,
                peers,
                tip,
                anchor,
                ..
            } => return self.on_joined(now, &chain_id, &peers, tip, anchor),
            ServerMessage::RoomJoined {
                room,
                peers,
                tip,
                anchor,
                resets,
                ..
            } => {
                let reported = Reported {
                    tip,
                    anchor,
                    resets,
                };
                return self.on_room_joined(now, &room, &peers, reported);
            }
            ServerMessage::PeerJoined { peer_id } => FromTracker::PeerJoined(peer_id.parse().ok()?),
            ServerMessage::PeerLeft { peer_id } => FromTracker::PeerLeft(peer_id.parse().ok()?),
            ServerMessage::Offer { target, offer } => signalled(&target, SignalKind::Offer, offer)?,
            ServerMessage::Answer { target, answer } => {
                signalled(&target, SignalKind::Answer, answer)?
            }
            ServerMessage::Candidate { target, candidate } => {
                signalled(&target, SignalKind::Candidate, candidate)?
            }
            ServerMessage::Relay { target, frame } => FromTracker::Relayed {
                from: target.parse().ok()?,
                frame: BASE64.decode(frame).ok()?,
            },
            other => return self.on_chain_message(now, other),
        };
        self.from_tracker(now, fact);
        Some(())
    }

    /// What is about the chain.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the public lists and a newer tracker's messages are not for this node"
    )]
    fn on_chain_message(&mut self, now: TimestampMs, message: ServerMessage) -> Option<()> {
        match message {
            ServerMessage::Block { block } => {
                let bytes = UncheckedBlock::try_from(&*block).ok()?.encode();
                self.node_fact(now, node::Input::BlockOffered { bytes });
            }
            ServerMessage::UpdateResult {
                status,
                height,
                hash,
                reason,
                ..
            } => {
                let tip = (Height(height), hash.parse().ok()?);
                self.on_update_result(now, status, tip, reason);
            }
            ServerMessage::Tip {
                chain_id,
                height,
                hash,
                ..
            } => {
                let chain: ChainId = chain_id.parse().ok()?;
                let tip = tip_of(Some(TipReference { height, hash }))?;
                if chain == self.node.chain().chain_id() && self.mesh.is_joined() {
                    self.node_fact(now, node::Input::TrackerConnected { tip });
                }
            }
            ServerMessage::Anchor(anchor) => self.on_anchor(&anchor)?,
            ServerMessage::Finality { proof, .. } => self.on_finality(now, proof)?,
            ServerMessage::ResetReceipt {
                number, receipt, ..
            } => self.on_reset_receipt(now, number, receipt)?,
            ServerMessage::ResetResult {
                number,
                status,
                reason,
                ..
            } => self.on_reset_result(now, number, status, reason),
            ServerMessage::Error {
                code,
                message,
                target,
                ..
            } => self.on_tracker_error(now, code, message, target),
            // Asked for by other clients only.
            _ => {}
        }
        Some(())
    }

    fn on_joined(
        &mut self,
        now: TimestampMs,
        chain: &str,
        peers: &[String],
        tip: Option<TipReference>,
        anchor: Option<Anchor>,
    ) -> Option<()> {
        let chain = chain.parse().ok()?;
        let peers: Option<Vec<PeerId>> = peers.iter().map(|peer| peer.parse().ok()).collect();
        let (peers, tip) = (peers?, tip_of(tip)?);
        self.from_tracker(now, FromTracker::Joined { chain, peers });
        if self.mesh.is_joined() {
            self.node_fact(now, node::Input::TrackerConnected { tip });
            if let Some(anchor) = anchor {
                self.on_anchor(&anchor)?;
            }
        }
        Some(())
    }

    #[expect(
        clippy::wrong_self_convention,
        reason = "the tracker is where it comes from, not what is converted"
    )]
    pub(super) fn from_tracker(&mut self, now: TimestampMs, message: FromTracker) {
        if let Err(error) = self.mesh.handle(now, mesh::Input::TrackerReceived(message)) {
            self.on_mesh_error(&error);
        }
    }

    fn on_update_result(
        &mut self,
        now: TimestampMs,
        status: UpdateStatus,
        (height, hash): (Height, Hash),
        reason: Option<String>,
    ) {
        self.is_reporting = false;
        if status == UpdateStatus::Accepted {
            self.node_fact(now, node::Input::ReportConfirmed { height, hash });
            return;
        }
        self.node_fact(now, node::Input::ReportFailed);
        // What the tracker holds tells the node from where to report.
        let tip = (height > Height::GENESIS).then_some((height, hash));
        self.node_fact(now, node::Input::TrackerConnected { tip });
        self.tracker_fault(
            &reason.unwrap_or_else(|| String::from("the tracker refused our blocks")),
        );
    }

    pub(super) fn on_anchor(&mut self, anchor: &Anchor) -> Option<()> {
        let chain: Hash = anchor.chain_id.parse().ok()?;
        if chain != self.node.chain().chain_id().0 {
            return Some(());
        }
        self.anchored_height = self.anchored_height.max(anchor.height);
        self.event(Event::Anchored {
            height: anchor.height,
            hash: anchor.hash.clone(),
            enterprise_height: anchor.enterprise_height,
            enterprise_hash: anchor.enterprise_hash.clone(),
        });
        Some(())
    }

    fn on_tracker_error(
        &mut self,
        now: TimestampMs,
        code: ErrorCode,
        message: String,
        target: Option<String>,
    ) {
        match code {
            ErrorCode::NetworkUnknown => self.from_tracker(now, FromTracker::NetworkUnknown),
            ErrorCode::NetworkExists => self.from_tracker(now, FromTracker::NetworkExists),
            ErrorCode::PeerUnknown => {
                if let Some(peer) = target.and_then(|target| target.parse().ok()) {
                    self.from_tracker(now, FromTracker::PeerLeft(peer));
                }
            }
            ErrorCode::BadMessage
            | ErrorCode::TooLarge
            | ErrorCode::NotJoined
            | ErrorCode::RateLimited
            | ErrorCode::BadProof
            | ErrorCode::NonceExpired
            | ErrorCode::Full
            | _ => {
                if self.is_reporting {
                    self.is_reporting = false;
                    self.node_fact(now, node::Input::ReportFailed);
                }
                self.forget_asked(&message);
                if !self.mesh.is_joined() {
                    self.from_tracker(
                        now,
                        FromTracker::JoinRefused {
                            message: message.clone(),
                        },
                    );
                }
                self.tracker_fault(&message);
            }
        }
    }

    fn tracker_fault(&mut self, reason: &str) {
        self.event(Event::Refused {
            reason: reason.to_owned(),
            source: String::from("tracker"),
        });
    }

    pub(super) fn send_to_tracker(
        &mut self,
        now: TimestampMs,
        message: &ClientMessage,
        lane: Lane,
    ) {
        // Shapes of strings and numbers always serialise.
        if let Ok(text) = serde_json::to_string(message) {
            self.pace.add(message, text, lane);
            self.flush(now);
        }
    }

    /// Sends what the tracker's limits allow now, and orders a wake-up for the rest.
    pub(super) fn flush(&mut self, now: TimestampMs) {
        while let Some(text) = self.pace.next(now) {
            self.push(Output::TrackerSend { text });
        }
        let due_at = self.pace.due_at(now);
        if let Some(at) = due_at.filter(|_| self.pace_wake != due_at) {
            self.push(Output::WakeAt { at: at.0 });
        }
        self.pace_wake = due_at;
    }

    /// The report of as many of these blocks as one message may carry; the node reports the others next.
    pub(super) fn update_message(&self, blocks: &[Block]) -> Option<ClientMessage> {
        let mut room = self.update_bytes_max.saturating_sub(ENVELOPE_BYTES);
        let mut latest_blocks = Vec::new();
        for block in blocks {
            let shape = TenantBlock::without_texts(block);
            let bytes = serde_json::to_string(&shape).map_or(usize::MAX, |text| text.len() + 1);
            if bytes > room {
                break;
            }
            room -= bytes;
            latest_blocks.push(shape);
        }
        if latest_blocks.is_empty() {
            return None;
        }
        Some(ClientMessage::BlockchainUpdate {
            network_id: self.node.genesis().network_id.to_string(),
            block_count: u64::from(self.node.chain().tip().height.0),
            latest_blocks,
            latest_reports: Vec::new(),
            genesis: None,
        })
    }
}

/// Room for everything in an update but the blocks.
pub(super) const ENVELOPE_BYTES: usize = 1024;

/// The tracker's JSON for an order of the mesh.
pub(super) fn wire_message(message: ToTracker) -> ClientMessage {
    match message {
        ToTracker::Create {
            genesis,
            listing,
            label,
        } => ClientMessage::CreateNetwork {
            genesis: hex::encode(genesis),
            listed: listing == Listing::Listed,
            label,
        },
        ToTracker::Join {
            network,
            chain,
            key,
            signature,
        } => ClientMessage::JoinNetwork {
            network_id: network.to_string(),
            chain_id: Some(chain.to_string()),
            key: Some(key.to_string()),
            signature: Some(signature.to_string()),
        },
        ToTracker::Signal { to, kind, signal } => {
            let (target, signal) = (to.to_string(), wire_signal(signal));
            match kind {
                SignalKind::Offer => ClientMessage::Offer {
                    target,
                    offer: signal,
                },
                SignalKind::Answer => ClientMessage::Answer {
                    target,
                    answer: signal,
                },
                SignalKind::Candidate => ClientMessage::Candidate {
                    target,
                    candidate: signal,
                },
            }
        }
        ToTracker::Enter {
            room,
            join_key,
            peer,
            admission,
        } => ClientMessage::JoinRoom {
            room: room.0.to_string(),
            join_key: join_key.to_string(),
            peer_id: peer.to_string(),
            admission: admission.to_string(),
        },
        ToTracker::Relay { to, frame, .. } => ClientMessage::Relay {
            target: to.to_string(),
            frame: BASE64.encode(frame),
        },
    }
}

/// A signal as the mesh takes it; `None` if a field is not hexadecimal of the right length.
fn signalled(sender: &str, kind: SignalKind, wire: api::ws::Signal) -> Option<FromTracker> {
    let signal = Signal {
        session: Session(bytes_of(&wire.session)?),
        key: PublicKey(bytes_of(&wire.key)?),
        fingerprint: Fingerprint(bytes_of(&wire.fingerprint)?),
        signature: Signature(bytes_of(&wire.signature)?),
        payload: wire.payload,
    };
    let from = sender.parse().ok()?;
    Some(FromTracker::Signalled { from, kind, signal })
}

fn wire_signal(signal: Signal) -> api::ws::Signal {
    api::ws::Signal {
        session: hex::encode(signal.session.0),
        key: signal.key.to_string(),
        fingerprint: hex::encode(signal.fingerprint.0),
        signature: signal.signature.to_string(),
        payload: signal.payload,
    }
}

fn update_bytes(limits: &Limits) -> usize {
    usize::try_from(limits.update_bytes_max).unwrap_or(UPDATE_BYTES_DEFAULT)
}

/// `None` if the hash is malformed; `Some(None)` if the tracker has no block.
pub(super) fn tip_of(tip: Option<TipReference>) -> Option<Option<(Height, Hash)>> {
    let Some(tip) = tip else { return Some(None) };
    let hash = tip.hash.parse().ok()?;
    Some((tip.height > 0).then_some((Height(tip.height), hash)))
}

fn bytes_of<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes).ok()?;
    Some(bytes)
}
