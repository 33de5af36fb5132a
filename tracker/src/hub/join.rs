//! Entering and leaving rooms.
//!
//! A join with a key proves the key: its signature is over the provisional peer id and the nonce of this connection's
//! `welcome`, under the chain's id, so it can be neither replayed on another connection nor moved to another network.
//! The peer id then is the key's. A join without a key keeps the provisional id.

use api::ws::{ErrorCode, ServerMessage};
use shared::hash::sha256;
use shared::identity::{SignatureError, verify};
use shared::ids::{ChainId, PeerId, PublicKey, Signature, TimestampMs};

use super::bucket::Bucket;
use super::{Connection, ConnectionId, Hub, Output, Place};
use crate::ending::Ending;
use crate::label::Label;
use crate::limits;

/// The domain of a join's signature.
pub const JOIN_DOMAIN: &str = "distli/join/1";

impl Hub {
    pub(super) fn on_join(
        &mut self,
        now: TimestampMs,
        connection: ConnectionId,
        label: &Label,
        chain_id: Option<ChainId>,
        proof: Option<(PublicKey, Signature)>,
    ) {
        self.leave_door(connection);
        let Some(chain_id) = self.find_chain(label, chain_id) else {
            let text = format!("no network {label} here; create it, or check the spelling");
            let error = ServerMessage::Error {
                code: ErrorCode::NetworkUnknown,
                message: text,
                network_id: Some(label.to_string()),
                suggestion: None,
                target: None,
            };
            return self.send(connection, &error);
        };
        let Some(state) = self.connections.get(&connection) else {
            return;
        };
        let is_bare = proof.is_none();
        let before = self.membership(connection);
        let peer = match proven_peer(state, chain_id, proof) {
            Ok(peer) => peer,
            Err(error) => {
                return self.send_error(connection, ErrorCode::BadProof, error.to_string());
            }
        };
        if before == Some((chain_id, peer)) {
            // It is there already, and nobody else needs to hear of it.
            if let Some(joined) = self.joined(chain_id, peer) {
                self.send(connection, &joined);
            }
        } else if self.is_full(chain_id) {
            return self.refuse_full(connection, chain_id);
        } else {
            self.leave_room(now, connection);
            self.replace_earlier(now, chain_id, peer);
            if let Some(joined) = self.joined(chain_id, peer) {
                self.enter(now, connection, (chain_id, peer), &joined);
            }
        }
        if is_bare {
            let peers = self.other_peers(chain_id, peer);
            self.send(connection, &ServerMessage::Peers { peers });
        }
    }

    /// The chain that a join means: the one it names, else the one registered under the label.
    fn find_chain(&self, label: &Label, expected: Option<ChainId>) -> Option<ChainId> {
        match expected {
            Some(chain_id) => self.networks.contains_key(&chain_id).then_some(chain_id),
            None => self.labels.get(label).copied(),
        }
    }

    pub(super) fn is_full(&self, chain_id: ChainId) -> bool {
        self.peer_count(chain_id) >= limits::ROOM_PEERS_MAX
    }

    pub(super) fn refuse_full(&mut self, connection: ConnectionId, chain_id: ChainId) {
        let text = format!(
            "the network has {} peers here, allowed are {}",
            self.peer_count(chain_id),
            limits::ROOM_PEERS_MAX
        );
        self.send_error(connection, ErrorCode::Full, text);
    }

    /// A peer that reconnects before its old connection is found dead takes its own place.
    pub(super) fn replace_earlier(&mut self, now: TimestampMs, chain_id: ChainId, peer: PeerId) {
        let earlier = self
            .rooms
            .get(&chain_id)
            .and_then(|room| room.get(&peer))
            .copied();
        if let Some(earlier) = earlier {
            self.leave_room(now, earlier);
            self.outputs.push_back(Output::Disconnect {
                connection: earlier,
                reason: Ending::Replaced,
            });
        }
    }

    /// What a member of an open network is told when it joins.
    fn joined(&self, chain_id: ChainId, peer: PeerId) -> Option<ServerMessage> {
        let network = self.networks.get(&chain_id)?;
        Some(ServerMessage::Joined {
            network_id: network.label.to_string(),
            chain_id: chain_id.to_string(),
            genesis: network.genesis.to_string(),
            peer_id: peer.to_string(),
            peers: self.other_peers(chain_id, peer),
            tip: network.tip.clone(),
            anchor: network.anchor.clone(),
        })
    }

    /// Puts a connection into a room, tells it so, and tells the others.
    pub(super) fn enter(
        &mut self,
        now: TimestampMs,
        connection: ConnectionId,
        (chain_id, peer): (ChainId, PeerId),
        joined: &ServerMessage,
    ) {
        self.rooms
            .entry(chain_id)
            .or_default()
            .insert(peer, connection);
        if let Some(state) = self.connections.get_mut(&connection) {
            state.place = Place::Room { chain_id, peer };
        }
        self.send(connection, joined);
        self.tell_joined(now, chain_id, peer);
        self.publish_joined(chain_id, peer);
        self.on_peer_count_changed(now, chain_id);
        self.tell_count_to(now, connection, chain_id);
    }

    pub(super) fn leave_room(&mut self, now: TimestampMs, connection: ConnectionId) {
        let Some((chain_id, peer)) = self.membership(connection) else {
            return;
        };
        if let Some(state) = self.connections.get_mut(&connection) {
            state.place = Place::Lobby;
        }
        if let Some(room) = self.rooms.get_mut(&chain_id) {
            room.remove(&peer);
            if room.is_empty() {
                self.rooms.remove(&chain_id);
                self.news.remove(&chain_id);
            }
        }
        self.tell_left(now, chain_id, peer);
        self.publish_left(chain_id, peer);
        self.on_peer_count_changed(now, chain_id);
    }

    /// Tells members of a newcomer, those in its sample.
    pub(super) fn tell_joined(&mut self, now: TimestampMs, chain_id: ChainId, peer: PeerId) {
        let peer_id = peer.to_string();
        if self.may_tell_news(now, chain_id) {
            self.send_sample(chain_id, peer, &ServerMessage::PeerJoined { peer_id });
        }
    }

    /// Tells members of one that left.
    pub(super) fn tell_left(&mut self, now: TimestampMs, chain_id: ChainId, peer: PeerId) {
        let peer_id = peer.to_string();
        if self.may_tell_news(now, chain_id) {
            self.send_room(chain_id, None, &ServerMessage::PeerLeft { peer_id });
        }
    }

    /// Takes from what a room is told: who floods it with joins can't drown its members.
    fn may_tell_news(&mut self, now: TimestampMs, chain_id: ChainId) -> bool {
        if !self.rooms.contains_key(&chain_id) {
            return false;
        }
        let (burst, rate) = (limits::ROOM_NEWS_BURST, limits::ROOM_NEWS_PER_SECOND);
        let news = self.news.entry(chain_id);
        let news = news.or_insert_with(|| Bucket::new(burst, rate, now));
        news.take_if_there(now, 1).is_ok()
    }

    fn send_sample(&mut self, chain_id: ChainId, newcomer: PeerId, message: &ServerMessage) {
        let here = self.rooms.get(&chain_id).into_iter().flatten();
        let others = here.filter(|(peer, _)| **peer != newcomer);
        let told = sample(newcomer, others, |(peer, _)| **peer);
        let connections: Vec<ConnectionId> = told.into_iter().map(|(_, id)| *id).collect();
        if !connections.is_empty() {
            let text = super::to_text(message);
            self.outputs.push_back(Output::Send { connections, text });
        }
    }

    /// The peers that a newcomer is told of: all, or a sample that differs from newcomer to newcomer. Members tell each other
    /// of the rest.
    pub(super) fn other_peers(&self, chain_id: ChainId, own: PeerId) -> Vec<String> {
        let here = self.rooms.get(&chain_id).into_iter().flatten();
        let here = here.map(|(peer, _)| peer);
        let others = here.chain(self.remote_peers(chain_id));
        let others = others.filter(|peer| **peer != own);
        sample(own, others, |peer| **peer)
            .into_iter()
            .map(ToString::to_string)
            .collect()
    }
}

/// At most [`limits::SAMPLE_PEERS`] of `all`, chosen by hash.
fn sample<T>(for_whom: PeerId, all: impl Iterator<Item = T>, id: impl Fn(&T) -> PeerId) -> Vec<T> {
    let mut all: Vec<T> = all.collect();
    if all.len() > limits::SAMPLE_PEERS {
        all.sort_by_cached_key(|one| sha256(&[&for_whom.0.0, &id(one).0.0]));
        all.truncate(limits::SAMPLE_PEERS);
    }
    all
}

/// The peer id that a join may use.
fn proven_peer(
    state: &Connection,
    chain_id: ChainId,
    proof: Option<(PublicKey, Signature)>,
) -> Result<PeerId, SignatureError> {
    let Some((key, signature)) = proof else {
        return Ok(state.provisional);
    };
    verify(
        JOIN_DOMAIN,
        chain_id,
        &key,
        &join_bytes(state.provisional, &state.nonce),
        &signature,
    )?;
    Ok(PeerId::of(&key))
}

/// What a join signs.
pub fn join_bytes(provisional: PeerId, nonce: &[u8; 32]) -> [u8; 64] {
    let mut bytes = [0; 64];
    let (peer_half, nonce_half) = bytes.split_at_mut(32);
    peer_half.copy_from_slice(provisional.0.as_bytes());
    nonce_half.copy_from_slice(nonce);
    bytes
}
