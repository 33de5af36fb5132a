//! The hub: who is connected, who is in which room, and what reaches whom.
//!
//! Purpose: a pure machine. Facts come in by [`Hub::handle`], orders come out of [`Hub::poll`] in one queue. Rooms are
//! keyed by chain id; a peer learns the ids of its own room's peers only, and a message reaches only the named peer of
//! the sender's room. The public list names only networks whose creators listed them and goes only to connections that
//! asked for it.
//!
//! A private network has a room of its own kind (`rooms.rs`): the hub knows neither its chain nor its name, unless a member
//! reports it (`reported.rs`), and then it tells that room only.
//!
//! What it does not do: no sockets, no storage, no checking of blocks. What must be durable or needs a chain goes to
//! the ledger as an [`Output`] and comes back as an [`Input`]; a `network_created` or `update_result` is only ever sent
//! in answer to such a fact, so after the commit.
//!
//! Invariants: a peer id is in a room for exactly one connection; every member of a room is a live connection; a room
//! without members does not exist.
//!
//! Limits: [`limits::ROOM_PEERS_MAX`] peers a room (then `full`); [`limits::MESSAGE_BURST`] messages at once and
//! [`limits::MESSAGES_PER_SECOND`] after that, relayed bytes likewise (then the client is read from more slowly, see
//! [`Output::Pause`]); [`limits::ROOM_SHOWN_BURST_BYTES`] of blocks and transactions that a room is shown at once and
//! [`limits::ROOM_SHOWN_BYTES_PER_SECOND`] after that, whoever shows them (then they are dropped); [`limits::CREATION_BURST`] registrations, refused ones too, and of an address what the driver says, of which a refused one
//! is given back ([`Output::GiveBack`]) (then `rate_limited`); [`limits::MISTAKES_MAX`] malformed messages (then a disconnect);
//! [`limits::JOIN_TIMEOUT_MS`] until a connection must have done something; [`limits::TURN_RENEWALS_AT_ONCE`] TURN credentials renewed at
//! once (`credentials.rs`).
//! The driver bounds the connections.

mod bucket;
mod cluster;
mod credentials;
mod drain;
mod facts;
mod figures;
mod forward;
mod join;
mod listing;
pub mod message;
mod reported;
mod rooms;
mod telling;
mod trackers;
mod traffic;

pub(crate) use self::bucket::Bucket;
pub use self::cluster::{PRESENCE_MS, PRESENCE_MS_MAX};
pub use self::figures::{Figures, Limited, Load, Relayed};
pub use self::join::{JOIN_DOMAIN, join_bytes};
pub use self::trackers::PublicUrl;
pub use self::traffic::{
    Asked, ConnectionId, Input, Network, Output, Question, ResetOutcome, RoomNetwork, UpdateOutcome,
};

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, OnceLock};

use api::ws::{ErrorCode, IceServer, Limits, ServerMessage};
use shared::ids::{ChainId, PeerId, TimestampMs};
use shared::private::RoomId;

use self::message::{Incoming, MessageError, Wish};
use self::rooms::SEALED_ONLY;
use crate::ending::Ending;
use crate::label::Label;
use crate::limits;
use crate::turn::Turn;

/// The machine. See the module's text.
#[derive(Debug)]
pub struct Hub {
    ice_servers: Vec<IceServer>,
    turn: Option<Turn>,
    connections: BTreeMap<ConnectionId, Connection>,
    /// Rooms by chain; a private one by its opaque id in the chain's place, and no network is registered for it.
    rooms: BTreeMap<ChainId, BTreeMap<PeerId, ConnectionId>>,
    networks: BTreeMap<ChainId, Network>,
    /// Private networks that are reported, by their room.
    reported: BTreeMap<ChainId, RoomNetwork>,
    labels: BTreeMap<Label, ChainId>,
    /// Those of them that are in the public list.
    listed: BTreeMap<Label, ChainId>,
    /// The public list, from when it is asked for until it is made anew.
    list: OnceLock<listing::List>,
    /// Who gets the public list.
    subscribers: BTreeSet<ConnectionId>,
    /// When connections that have done nothing are closed.
    deadlines: BTreeSet<(TimestampMs, ConnectionId)>,
    /// When connections get another TURN credential.
    renewals: credentials::Renewals,
    /// When the public list is made anew and pushed, if it changed.
    listing_due: Option<TimestampMs>,
    listed_at: TimestampMs,
    /// What each room may still be told of comings and goings.
    news: BTreeMap<ChainId, Bucket>,
    /// What each open network's room may still be shown, in bytes; it outlasts the room, so that nobody empties one to begin anew.
    shown: BTreeMap<ChainId, Bucket>,
    /// When each room was told how many it is.
    counts: BTreeMap<ChainId, listing::Count>,
    /// The rooms that are told anew, and when.
    counts_due: BTreeSet<(TimestampMs, ChainId)>,
    /// The rooms that are told anew after the fact at hand.
    counts_changed: Vec<ChainId>,
    wake_at: Option<TimestampMs>,
    /// What other trackers have; none of a tracker alone.
    cluster: Option<cluster::Cluster>,
    relayed: Relayed,
    limited: Limited,
    outputs: VecDeque<Output>,
}

#[derive(Debug)]
struct Connection {
    provisional: PeerId,
    nonce: [u8; 32],
    /// Until when the nonce admits to a private room; none once it did.
    fresh_until: Option<TimestampMs>,
    host: Arc<str>,
    /// When its TURN credential is renewed; none without one.
    renewed_at: Option<TimestampMs>,
    place: Place,
    messages: Bucket,
    bytes: Bucket,
    creations: Bucket,
    /// Malformed messages so far.
    mistakes: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Has done nothing yet and is closed at the deadline.
    Door { deadline: TimestampMs },
    /// Has done something, is in no room.
    Lobby,
    /// Is a peer of a room.
    Room { chain_id: ChainId, peer: PeerId },
}

impl Connection {
    /// Counts a message against its rate; until when to read no more, if it was too much.
    fn charge(
        &mut self,
        now: TimestampMs,
        message: &Result<Incoming, MessageError>,
        bytes: usize,
    ) -> Option<TimestampMs> {
        if message.as_ref().is_ok_and(figures::is_bulk) {
            let weight = u32::try_from(bytes)
                .unwrap_or(u32::MAX)
                .max(limits::RELAY_FRAME_BYTES_MIN);
            return self.bytes.take(now, weight);
        }
        let is_heavy = matches!(
            message,
            Ok(Incoming::Join { .. } | Incoming::Enter(_) | Incoming::List)
        );
        let pieces = u32::try_from(bytes / limits::MESSAGE_PIECE_BYTES).unwrap_or(u32::MAX);
        let weight = if is_heavy { limits::JOIN_WEIGHT } else { 1 };
        self.messages.take(now, weight.saturating_add(pieces))
    }
}

impl Hub {
    /// A hub without connections and networks.
    pub fn new(ice_servers: Vec<IceServer>) -> Self {
        Self {
            ice_servers,
            turn: None,
            connections: BTreeMap::new(),
            rooms: BTreeMap::new(),
            networks: BTreeMap::new(),
            reported: BTreeMap::new(),
            labels: BTreeMap::new(),
            listed: BTreeMap::new(),
            list: OnceLock::new(),
            subscribers: BTreeSet::new(),
            deadlines: BTreeSet::new(),
            renewals: credentials::Renewals::default(),
            listing_due: None,
            listed_at: TimestampMs(0),
            news: BTreeMap::new(),
            shown: BTreeMap::new(),
            counts: BTreeMap::new(),
            counts_due: BTreeSet::new(),
            counts_changed: Vec::new(),
            wake_at: None,
            cluster: None,
            relayed: Relayed::default(),
            limited: Limited::default(),
            outputs: VecDeque::new(),
        }
    }

    /// The same, giving each client a TURN credential of its own.
    #[must_use]
    pub fn with_turn(self, turn: Option<Turn>) -> Self {
        Self { turn, ..self }
    }

    /// Takes in one fact. A client's mistake is answered to that client and changes nothing.
    pub fn handle(&mut self, now: TimestampMs, input: Input) {
        match input {
            Input::Connected {
                connection,
                peer,
                nonce,
                host,
            } => self.on_connected(now, connection, peer, (nonce, host)),
            Input::Received {
                connection,
                message,
                bytes,
            } => self.on_received(now, connection, message, bytes),
            Input::ControlReceived { connection } => self.on_control_received(now, connection),
            Input::Closed { connection } => self.on_closed(now, connection),
            Input::Registered {
                connection,
                network,
            } => self.on_registered(now, connection, network),
            Input::RegistrationRefused {
                connection,
                code,
                reason,
                suggestion,
            } => {
                self.on_registration_refused(connection, code, reason, suggestion);
            }
            Input::NotRegistered { connection } => {
                self.outputs.push_back(Output::GiveBack { connection });
            }
            Input::UpdateChecked {
                connection,
                chain_id,
                outcome,
            } => self.on_update_checked(connection, chain_id, outcome),
            Input::RelayChecked {
                connection,
                chain_id,
                verdict,
            } => {
                self.on_relay_checked(now, connection, chain_id, verdict);
            }
            Input::TipMoved { chain_id, tip } => self.on_tip_moved(chain_id, tip),
            Input::Anchored { chain_id, anchor } => self.on_anchored(chain_id, anchor),
            Input::RoomReported(network) => self.on_room_reported(network),
            Input::ResetChecked {
                connection,
                room,
                number,
                outcome,
            } => self.on_reset_checked(connection, room, number, outcome),
            Input::QuestionAnswered {
                connection,
                room,
                question,
                answer,
            } => self.on_question_answered(connection, room, question, answer),
            Input::ClusterReached => self.on_cluster_up(now),
            Input::ClusterSaid { from, message } => self.on_cluster_message(now, from, message),
            Input::Draining => self.on_draining(),
            Input::Woken => self.on_woken(now),
        }
        self.tell_changed_counts(now);
        self.schedule();
    }

    /// The next order, until there is none.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The network kept under `label`.
    pub fn network(&self, label: &Label) -> Option<&Network> {
        self.labels
            .get(label)
            .and_then(|chain_id| self.networks.get(chain_id))
    }

    /// The network of a chain.
    pub fn network_of_chain(&self, chain_id: ChainId) -> Option<&Network> {
        self.networks.get(&chain_id)
    }

    /// The private network of a room, if it is reported.
    pub fn reported(&self, room: RoomId) -> Option<&RoomNetwork> {
        self.reported.get(&room.as_chain())
    }

    fn on_connected(
        &mut self,
        now: TimestampMs,
        connection: ConnectionId,
        peer: PeerId,
        (nonce, host): ([u8; 32], Arc<str>),
    ) {
        let deadline = now.plus_ms(limits::JOIN_TIMEOUT_MS);
        self.deadlines.insert((deadline, connection));
        self.connections.insert(
            connection,
            Connection {
                provisional: peer,
                nonce,
                fresh_until: Some(now.plus_ms(limits::NONCE_MS)),
                host,
                renewed_at: None,
                place: Place::Door { deadline },
                messages: Bucket::new(limits::MESSAGE_BURST, limits::MESSAGES_PER_SECOND, now),
                bytes: Bucket::new(
                    limits::RELAY_BURST_BYTES,
                    limits::RELAY_BYTES_PER_SECOND,
                    now,
                ),
                creations: Bucket::new(limits::CREATION_BURST, 1, now),
                mistakes: 0,
            },
        );
        let welcome = ServerMessage::Welcome {
            peer_id: peer.to_string(),
            nonce: hex::encode(nonce),
            ice_servers: self.ice_servers_for(now, connection, peer),
            limits: announced_limits(),
        };
        self.send(connection, &welcome);
        self.tell_trackers_to(connection);
    }

    fn on_received(
        &mut self,
        now: TimestampMs,
        connection: ConnectionId,
        message: Result<Incoming, MessageError>,
        bytes: usize,
    ) {
        let Some(state) = self.connections.get_mut(&connection) else {
            return;
        };
        if let Some(until) = state.charge(now, &message, bytes) {
            self.limited
                .count_pause(message.as_ref().is_ok_and(figures::is_bulk));
            self.outputs.push_back(Output::Pause { connection, until });
        }
        let message = match message {
            Ok(message) => message,
            Err(error) => return self.on_malformed(connection, error),
        };
        match message {
            Incoming::Signal(_) if self.is_in_private_room(connection) => {
                self.send_error(connection, ErrorCode::BadMessage, SEALED_ONLY);
            }
            Incoming::Signal(forward) | Incoming::Relay(forward) => {
                self.on_forward(connection, forward)
            }
            Incoming::Enter(entry) => self.on_enter(now, connection, &entry),
            Incoming::Create(wish) => self.on_create(now, connection, wish),
            Incoming::Join {
                label,
                chain_id,
                proof,
            } => self.on_join(now, connection, &label, chain_id, proof),
            Incoming::Leave => self.leave_room(now, connection),
            Incoming::List => self.on_list(now, connection),
            Incoming::Ping => self.send(connection, &ServerMessage::Pong {}),
            Incoming::Block(block) => self.on_block(connection, block),
            Incoming::Transaction(transaction) => self.on_transaction(connection, transaction),
            Incoming::Update { label, blocks } => self.on_update(connection, &label, blocks),
            Incoming::Report(report) => self.on_report(now, connection, report),
            Incoming::Reset { room, reset } => self.on_reset(connection, room, reset),
            Incoming::Ask { room, question } => self.on_question(connection, room, question),
        }
    }

    fn on_control_received(&mut self, now: TimestampMs, connection: ConnectionId) {
        let state = self.connections.get_mut(&connection);
        if let Some(until) = state.and_then(|state| state.messages.take(now, 1)) {
            self.limited.count_pause(false);
            self.outputs.push_back(Output::Pause { connection, until });
        }
    }

    fn on_closed(&mut self, now: TimestampMs, connection: ConnectionId) {
        self.leave_room(now, connection);
        self.leave_door(connection);
        self.forget_renewal(connection);
        self.subscribers.remove(&connection);
        self.connections.remove(&connection);
    }

    fn on_woken(&mut self, now: TimestampMs) {
        self.wake_at = None;
        while let Some((deadline, connection)) = self.deadlines.first().copied() {
            if deadline > now {
                break;
            }
            self.deadlines.remove(&(deadline, connection));
            self.outputs.push_back(Output::Disconnect {
                connection,
                reason: Ending::Idle,
            });
        }
        if self.listing_due.is_some_and(|due| due <= now) {
            self.push_listing(now);
        }
        self.on_renewals_due(now);
        self.on_counts_due(now);
        self.on_slice_due(now);
    }

    fn on_create(&mut self, now: TimestampMs, connection: ConnectionId, wish: Wish) {
        self.leave_door(connection);
        let Some(state) = self.connections.get_mut(&connection) else {
            return;
        };
        if state.creations.take(now, 1).is_some() {
            self.limited.count_creation();
            let message = format!(
                "{} networks created from here, try again later",
                limits::CREATION_BURST
            );
            self.outputs.push_back(Output::GiveBack { connection });
            return self.send_error(connection, ErrorCode::RateLimited, message);
        }
        self.outputs
            .push_back(Output::Register { connection, wish });
    }

    /// A registration beyond what the client's address may have is its message, but no malformed one.
    fn on_malformed(&mut self, connection: ConnectionId, error: MessageError) {
        if error.code == ErrorCode::RateLimited {
            self.leave_door(connection);
            return self.send_error(connection, error.code, error.message);
        }
        let Some(state) = self.connections.get_mut(&connection) else {
            return;
        };
        state.mistakes = state.mistakes.saturating_add(1);
        if state.mistakes > limits::MISTAKES_MAX {
            self.outputs.push_back(Output::Disconnect {
                connection,
                reason: Ending::Malformed,
            });
        } else {
            self.send_error(connection, error.code, error.message);
        }
    }

    /// The connection has done something: it is not closed for idleness.
    fn leave_door(&mut self, connection: ConnectionId) {
        let Some(state) = self.connections.get_mut(&connection) else {
            return;
        };
        if let Place::Door { deadline } = state.place {
            state.place = Place::Lobby;
            self.deadlines.remove(&(deadline, connection));
        }
    }

    /// Whether the connection is in this chain's room.
    fn is_member(&self, connection: ConnectionId, chain_id: ChainId) -> bool {
        self.membership(connection)
            .is_some_and(|(room, _)| room == chain_id)
    }

    /// The room and peer id of a member.
    fn membership(&self, connection: ConnectionId) -> Option<(ChainId, PeerId)> {
        match self.connections.get(&connection)?.place {
            Place::Room { chain_id, peer } => Some((chain_id, peer)),
            Place::Door { .. } | Place::Lobby => None,
        }
    }

    fn send(&mut self, connection: ConnectionId, message: &ServerMessage) {
        self.outputs.push_back(Output::Send {
            connections: vec![connection],
            text: to_text(message),
        });
    }

    /// Sends to everyone in a room but `except`.
    fn send_room(
        &mut self,
        chain_id: ChainId,
        except: Option<ConnectionId>,
        message: &ServerMessage,
    ) {
        let connections = self.members_but(chain_id, except);
        if !connections.is_empty() {
            let text = to_text(message);
            self.outputs.push_back(Output::Send { connections, text });
        }
    }

    /// The same, of a text.
    fn send_text_to_room(&mut self, chain_id: ChainId, except: Option<ConnectionId>, text: String) {
        let connections = self.members_but(chain_id, except);
        if !connections.is_empty() {
            self.outputs.push_back(Output::Send { connections, text });
        }
    }

    fn members_but(&self, chain_id: ChainId, except: Option<ConnectionId>) -> Vec<ConnectionId> {
        let room = self.rooms.get(&chain_id).into_iter().flatten();
        room.map(|(_, member)| *member)
            .filter(|member| Some(*member) != except)
            .collect()
    }

    fn send_error(
        &mut self,
        connection: ConnectionId,
        code: ErrorCode,
        message: impl Into<String>,
    ) {
        self.send(connection, &error_message(code, message));
    }

    fn schedule(&mut self) {
        let deadline = self.deadlines.first().map(|(at, _)| *at);
        let cluster = self.cluster.as_ref();
        let repeat = cluster.map(|cluster| cluster.telling.next_at);
        let counts = self.counts_due.first().map(|(at, _)| *at);
        let renewal = self.renewals.next_at();
        let next = [deadline, renewal, self.listing_due, counts, repeat]
            .into_iter()
            .flatten()
            .min();
        if let Some(at) = next
            && self.wake_at.is_none_or(|planned| at < planned)
        {
            self.wake_at = Some(at);
            self.outputs.push_back(Output::WakeAt { at });
        }
    }
}

fn error_message(code: ErrorCode, message: impl Into<String>) -> ServerMessage {
    ServerMessage::Error {
        code,
        message: message.into(),
        network_id: None,
        suggestion: None,
        target: None,
    }
}

fn to_text(message: &ServerMessage) -> String {
    serde_json::to_string(message)
        .expect("a message has string keys and no failing parts, so it serialises")
}

fn announced_limits() -> Limits {
    Limits {
        message_bytes_max: as_u32(limits::MESSAGE_BYTES_MAX),
        update_bytes_max: as_u32(limits::UPDATE_BYTES_MAX),
        join_timeout_ms: u32::try_from(limits::JOIN_TIMEOUT_MS).unwrap_or(u32::MAX),
        ping_interval_ms: u32::try_from(limits::PING_INTERVAL_MS).unwrap_or(u32::MAX),
        message_burst: limits::MESSAGE_BURST,
        messages_per_second: limits::MESSAGES_PER_SECOND,
        relay_bytes_per_second: limits::RELAY_BYTES_PER_SECOND,
    }
}

fn as_u32(size: usize) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod cluster_tests;
#[cfg(test)]
mod flood_tests;
#[cfg(test)]
mod isolation;
#[cfg(test)]
mod tests;
