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
        let is_there = before == Some((chain_id, peer));
        if !is_there {
            if !self.has_place(connection, chain_id, peer) {
                return self.refuse_full(connection, chain_id);
            }
            self.leave_room(now, connection);
            self.replace_earlier(now, chain_id, peer);
        }
        let Acquaintances { peers, told } = self.acquaintances(chain_id, peer);
        let again = is_bare.then(|| peers.clone());
        if let Some(joined) = self.joined(chain_id, peer, peers) {
            if is_there {
                // Nobody else needs to hear of it.
                self.send(connection, &joined);
            } else {
                self.enter(now, connection, (chain_id, peer), (&joined, told));
            }
        }
        if let Some(peers) = again {
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

    /// Whether a peer may come into a room: into a full one only in its own place, here or elsewhere, or in its connection's.
    pub(super) fn has_place(
        &self,
        connection: ConnectionId,
        chain_id: ChainId,
        peer: PeerId,
    ) -> bool {
        let room = self.rooms.get(&chain_id);
        !self.is_full(chain_id)
            || self.is_member(connection, chain_id)
            || room.is_some_and(|room| room.contains_key(&peer))
            || self.place_of(chain_id, peer).is_some()
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
    fn joined(&self, chain_id: ChainId, peer: PeerId, peers: Vec<String>) -> Option<ServerMessage> {
        let network = self.networks.get(&chain_id)?;
        Some(ServerMessage::Joined {
            network_id: network.label.to_string(),
            chain_id: chain_id.to_string(),
            genesis: network.genesis.to_string(),
            peer_id: peer.to_string(),
            peers,
            tip: network.tip.clone(),
            anchor: network.anchor.clone(),
        })
    }

    /// Puts a connection into a room, tells it so, and tells the others, those in its sample at once.
    pub(super) fn enter(
        &mut self,
        now: TimestampMs,
        connection: ConnectionId,
        (chain_id, peer): (ChainId, PeerId),
        (joined, told): (&ServerMessage, Vec<ConnectionId>),
    ) {
        self.rooms
            .entry(chain_id)
            .or_default()
            .insert(peer, connection);
        if let Some(state) = self.connections.get_mut(&connection) {
            state.place = Place::Room { chain_id, peer };
        }
        self.send(connection, joined);
        if self.may_tell_news(now, chain_id) {
            self.tell_joined(peer, told);
        }
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

    /// Tells members of a newcomer.
    pub(super) fn tell_joined(&mut self, peer: PeerId, connections: Vec<ConnectionId>) {
        if !connections.is_empty() {
            let peer_id = peer.to_string();
            let text = super::to_text(&ServerMessage::PeerJoined { peer_id });
            self.outputs.push_back(Output::Send { connections, text });
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
    pub(super) fn may_tell_news(&mut self, now: TimestampMs, chain_id: ChainId) -> bool {
        if !self.rooms.contains_key(&chain_id) {
            return false;
        }
        let (burst, rate) = (limits::ROOM_NEWS_BURST, limits::ROOM_NEWS_PER_SECOND);
        let news = self.news.entry(chain_id);
        let news = news.or_insert_with(|| Bucket::new(burst, rate, now));
        news.take_if_there(now, 1).is_ok()
    }

    /// Whom a newcomer is told of: all, or a sample that differs from newcomer to newcomer. Members tell each other of the rest.
    /// All of the room are ranked for it, so it is asked for once a join.
    pub(super) fn acquaintances(&self, chain_id: ChainId, own: PeerId) -> Acquaintances {
        let here = self.rooms.get(&chain_id).into_iter().flatten();
        let here = here.map(|(peer, connection)| (*peer, Some(*connection)));
        let elsewhere = self.remote_peers(chain_id).map(|peer| (*peer, None));
        let others = here.chain(elsewhere).filter(|(peer, _)| *peer != own);
        let others = ranked(own, others.collect());
        let peers = others.iter().take(limits::SAMPLE_PEERS);
        let told = others.iter().filter_map(|(_, connection)| *connection);
        Acquaintances {
            peers: peers.map(|(peer, _)| peer.to_string()).collect(),
            told: told.take(limits::SAMPLE_PEERS).collect(),
        }
    }
}

/// Who gets to know each other when one joins, at most [`limits::SAMPLE_PEERS`] each.
pub(super) struct Acquaintances {
    /// The peers that the newcomer is told of, here and elsewhere.
    pub(super) peers: Vec<String>,
    /// The members here that are told of it.
    pub(super) told: Vec<ConnectionId>,
}

/// By hash, if there are more than a sample takes.
fn ranked(
    for_whom: PeerId,
    mut all: Vec<(PeerId, Option<ConnectionId>)>,
) -> Vec<(PeerId, Option<ConnectionId>)> {
    if all.len() > limits::SAMPLE_PEERS {
        #[cfg(test)]
        RANKINGS.with(|rankings| rankings.set(rankings.get().saturating_add(1)));
        all.sort_by_cached_key(|(peer, _)| sha256(&[&for_whom.0.0, &peer.0.0]));
    }
    all
}

#[cfg(test)]
thread_local! {
    /// How often this thread ranked a large room.
    pub(super) static RANKINGS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
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
