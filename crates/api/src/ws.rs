//! The messages of the tracker's `/ws`: JSON objects, tagged by `type` in snake case.
//!
//! In `offer`, `answer`, `candidate` and `relay` a client names the receiver in `target`; what the tracker delivers
//! names the *sender* there.

use serde::{Deserialize, Serialize};

use crate::private::ReportedBlock;
use crate::tenant::{TenantBlock, TenantTransaction};
use crate::tracker::{Anchor, NetworkListItem, TipReference, UpdateStatus};
use crate::wide;

/// What a client sends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum ClientMessage {
    /// Registers a network. The sender joins it afterwards by `join_network`.
    CreateNetwork {
        /// The genesis bytes, hex.
        genesis: String,
        /// Whether the network appears in public lists.
        #[serde(default)]
        listed: bool,
        /// Absent: the genesis' own network id. After `network_exists` the suggested label, to live beside the other.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        label: Option<String>,
    },
    /// Enters a network's room.
    JoinNetwork {
        /// The network's label.
        network_id: String,
        /// The chain, hex; absent: the one registered under the label.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        chain_id: Option<String>,
        /// The peer's public key, hex; with it the peer id is the key's, without it the provisional one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<String>,
        /// The key's signature over the provisional peer id and the nonce of `welcome`, hex.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signature: Option<String>,
    },
    /// Enters a private network's room, admitted by its join key. There the tracker carries `relay`, and what its members let it
    /// know: reports by `blockchain_update`, and resets.
    JoinRoom {
        /// The room, hex: the hash of the join key.
        room: String,
        /// The public join key, hex.
        join_key: String,
        /// The peer id in this room, hex.
        peer_id: String,
        /// The join key's signature over the peer id, the nonce of `welcome` and the tracker's host, hex.
        admission: String,
    },
    /// Leaves the room and stays connected.
    LeaveNetwork {},
    /// Asks for the public list now and whenever it changes.
    ListNetworks {},
    /// Asks for a `pong`: how a client tells a tracker that has nothing to say from one that is lost.
    Ping {},
    /// A WebRTC offer for `target`.
    Offer {
        /// The receiver's peer id, hex.
        target: String,
        /// The signed description.
        offer: Signal,
    },
    /// A WebRTC answer for `target`.
    Answer {
        /// The receiver's peer id, hex.
        target: String,
        /// The signed description.
        answer: Signal,
    },
    /// An ICE candidate for `target`.
    Candidate {
        /// The receiver's peer id, hex.
        target: String,
        /// The signed candidate.
        candidate: Signal,
    },
    /// A frame of the data channel for `target`, while there is no direct channel.
    Relay {
        /// The receiver's peer id, hex.
        target: String,
        /// The frame, base64.
        frame: String,
    },
    /// A block for everyone in the room.
    Block {
        /// The block.
        block: Box<TenantBlock>,
    },
    /// A transaction for everyone in the room.
    Transaction {
        /// The transaction.
        transaction: TenantTransaction,
    },
    /// New blocks for the tracker and the enterprise chain; answered by `update_result` once durable.
    BlockchainUpdate {
        /// The network's label; for a private network its room, hex.
        network_id: String,
        /// How many blocks the sender's chain has.
        block_count: u64,
        /// The blocks, oldest first.
        latest_blocks: Vec<TenantBlock>,
        /// The blocks of a private network, oldest first; then `latest_blocks` is empty.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        latest_reports: Vec<ReportedBlock>,
        /// The genesis bytes of a private network that is to be anchored, hex: its room does not tell them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        genesis: Option<String>,
    },
    /// The owner's reset of a private network, for the enterprise chain; answered by `reset_result`.
    ResetNetwork {
        /// The network's room, hex.
        network_id: String,
        /// The signed reset, hex.
        reset: String,
    },
    /// Asks for the proof of a private network's newest final block; answered by `finality`. For open networks it is asked for
    /// over HTTP.
    GetFinality {
        /// The network's room, hex.
        network_id: String,
        /// Entries of the enterprise log that the asker has verified; 0 for none.
        #[serde(with = "wide")]
        #[cfg_attr(feature = "openapi", schema(value_type = wide::Wide))]
        size: u64,
        /// The newest header that the asker has verified, as `height:hash`: if the validators' header of that height is another, it is the answer.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        known: Option<String>,
    },
    /// Asks for the receipt of a private network's reset; answered by `reset_receipt`.
    GetReset {
        /// The network's room, hex.
        network_id: String,
        /// Which reset of the network; the first is 1.
        number: u32,
    },
}

/// What the tracker sends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum ServerMessage {
    /// The first message on every connection.
    Welcome {
        /// A random, provisional peer id, hex.
        peer_id: String,
        /// What a join signs together with `peer_id`, hex.
        nonce: String,
        /// STUN and TURN servers to use; configuration, none is compiled in.
        ice_servers: Vec<IceServer>,
        /// What the tracker accepts.
        limits: Limits,
    },
    /// The STUN and TURN servers anew, in place of those told before, for the connections that are made from now on. Sent at half
    /// the life of each TURN credential.
    IceServers {
        /// All of them, as in `welcome`.
        ice_servers: Vec<IceServer>,
    },
    /// The network is registered.
    NetworkCreated {
        /// The label under which it is kept.
        network_id: String,
        /// The chain id, hex.
        chain_id: String,
    },
    /// The client is in the room.
    Joined {
        /// The label under which the network is kept.
        network_id: String,
        /// The chain id, hex.
        chain_id: String,
        /// The genesis bytes, hex; the client checks that they hash to the chain id it expects.
        genesis: String,
        /// The client's peer id in this room, hex.
        peer_id: String,
        /// The other peers' ids, hex.
        peers: Vec<String>,
        /// The newest block that the tracker has verified.
        tip: Option<TipReference>,
        /// The newest block that the enterprise chain has confirmed.
        anchor: Option<Anchor>,
    },
    /// The client is in a private network's room.
    RoomJoined {
        /// The room, hex.
        room: String,
        /// The client's peer id, hex.
        peer_id: String,
        /// The other peers' ids, hex.
        peers: Vec<String>,
        /// The newest reported block, if the network is reported here.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tip: Option<TipReference>,
        /// The newest block that the enterprise chain has confirmed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        anchor: Option<Anchor>,
        /// How often the network was reset, as far as this tracker knows.
        #[serde(default)]
        resets: u32,
    },
    /// The room's other peers.
    Peers {
        /// Their ids, hex.
        peers: Vec<String>,
    },
    /// A peer entered the room.
    PeerJoined {
        /// Its id, hex.
        peer_id: String,
    },
    /// A peer left the room.
    PeerLeft {
        /// Its id, hex.
        peer_id: String,
    },
    /// A WebRTC offer from `target`.
    Offer {
        /// The sender's peer id, hex.
        target: String,
        /// The signed description.
        offer: Signal,
    },
    /// A WebRTC answer from `target`.
    Answer {
        /// The sender's peer id, hex.
        target: String,
        /// The signed description.
        answer: Signal,
    },
    /// An ICE candidate from `target`.
    Candidate {
        /// The sender's peer id, hex.
        target: String,
        /// The signed candidate.
        candidate: Signal,
    },
    /// A frame of the data channel from `target`.
    Relay {
        /// The sender's peer id, hex.
        target: String,
        /// The frame, base64.
        frame: String,
    },
    /// A block that a peer of the room announced and the tracker checked.
    Block {
        /// The block.
        block: Box<TenantBlock>,
    },
    /// A transaction that a peer of the room announced and the tracker checked.
    Transaction {
        /// The transaction.
        transaction: TenantTransaction,
    },
    /// What became of a `blockchain_update`.
    UpdateResult {
        /// The network's label; for a private network its room, hex.
        network_id: String,
        /// Whether it was taken; if so it is durable.
        status: UpdateStatus,
        /// The height of the newest block that the tracker has verified.
        height: u32,
        /// The hash of that block, hex.
        hash: String,
        /// Why it was refused.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// What became of a `reset_network`; one that was executed is told to the whole room.
    ResetResult {
        /// The network's room, hex.
        network_id: String,
        /// Which reset of the network it is; the first is 1.
        number: u32,
        /// Whether the enterprise chain executed it.
        status: UpdateStatus,
        /// Why it was refused.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// The answer to `get_finality`.
    Finality {
        /// The network's room, hex.
        network_id: String,
        /// The proof, hex; absent if there is none now.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        proof: Option<String>,
    },
    /// The answer to `get_reset`.
    ResetReceipt {
        /// The network's room, hex.
        network_id: String,
        /// Which reset it is.
        number: u32,
        /// The receipt, hex; absent if there is none now.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        receipt: Option<String>,
    },
    /// The enterprise chain confirmed a block of this room's network.
    Anchor(Anchor),
    /// The newest block that the tracker has verified moved; sent to the whole room.
    Tip {
        /// The network's label; for a private network its room, hex.
        network_id: String,
        /// The chain id, hex.
        chain_id: String,
        /// The block's height.
        height: u32,
        /// The block's hash, hex.
        hash: String,
    },
    /// The answer to `ping`.
    Pong {},
    /// The tracker is about to close this connection; the client keeps its direct links and connects anew.
    Moving {
        /// After how many ms to connect anew; each client gets another number.
        reconnect_after_ms: u32,
    },
    /// The other trackers of this one's cluster, for when this one is lost; sent after `welcome` where there are any, and when
    /// they change.
    Trackers {
        /// The addresses of their `/ws`.
        trackers: Vec<String>,
    },
    /// How many peers the room has.
    NetworkInfo {
        /// The network's label.
        network_id: String,
        /// How many peers are connected now.
        peer_count: usize,
    },
    /// The public list.
    NetworkListUpdate {
        /// The listed networks by name.
        networks: Vec<NetworkListItem>,
    },
    /// A message was not carried out.
    Error {
        /// Which kind of refusal.
        code: ErrorCode,
        /// Why, in one sentence for people.
        message: String,
        /// The label it was about, where there is one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        network_id: Option<String>,
        /// For `network_exists`: a label under which the other genesis can live.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        suggestion: Option<String>,
        /// For `peer_unknown`: the peer that is not here, hex.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        target: Option<String>,
    },
}

/// A signed piece of signalling; opaque to the tracker, verified by the receiving peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Signal {
    /// Which attempt between the two peers it belongs to.
    pub session: String,
    /// The sender's public key, hex.
    pub key: String,
    /// The DTLS fingerprint that the payload must carry.
    pub fingerprint: String,
    /// The sender's signature, hex.
    pub signature: String,
    /// The SDP, or the candidate as JSON text.
    pub payload: String,
}

/// One STUN or TURN server, as `RTCPeerConnection` takes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct IceServer {
    /// Its addresses.
    pub urls: Vec<String>,
    /// The TURN user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// The TURN password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
}

/// What the tracker accepts on this connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Limits {
    /// The longest message of any kind but `blockchain_update` and `block`, in bytes.
    pub message_bytes_max: u32,
    /// The longest `blockchain_update` or `block`, in bytes.
    pub update_bytes_max: u32,
    /// How soon after `welcome` the client must have joined, created or asked for the list, in ms.
    pub join_timeout_ms: u32,
    /// How often the tracker pings, in ms.
    pub ping_interval_ms: u32,
    /// Messages that may come at once.
    pub message_burst: u32,
    /// Messages a second after that.
    pub messages_per_second: u32,
    /// Relayed bytes a second.
    pub relay_bytes_per_second: u32,
}

/// Why a message was not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorCode {
    /// No such network here.
    NetworkUnknown,
    /// Another genesis holds the label.
    NetworkExists,
    /// Not a message of this protocol, or one that breaks its rules.
    BadMessage,
    /// Longer than its kind may be.
    TooLarge,
    /// Only members of a room may do that.
    NotJoined,
    /// The named peer is not in the room.
    PeerUnknown,
    /// Faster than the limits allow.
    RateLimited,
    /// The join's signature does not hold.
    BadProof,
    /// The nonce of `welcome` is too old or was used: connect anew.
    NonceExpired,
    /// The tracker has no room for more.
    Full,
}
