//! What the tracker and a member tell each other.

use alloc::{string::String, vec::Vec};

use super::{
    Listing,
    signal::{Signal, SignalKind},
};
use crate::frame::Lane;
use crate::ids::{ChainId, NetworkId, PeerId, PublicKey, Signature};
use crate::private::RoomId;

/// What the tracker says, as far as the mesh is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromTracker {
    /// The first message of a connection.
    Welcomed {
        /// The bytes of the provisional peer id.
        provisional: Vec<u8>,
        /// What the join signs, so that a proof serves once.
        nonce: Vec<u8>,
        /// The tracker's `host[:port]` as the driver dialled it: an admission to a private network is for no other.
        host: String,
    },
    /// Our network is registered.
    Created {
        /// Its chain.
        chain: ChainId,
    },
    /// We are in the network's room.
    Joined {
        /// The room's chain; of a private network the room in its place.
        chain: ChainId,
        /// The others there.
        peers: Vec<PeerId>,
    },
    /// Another peer came.
    PeerJoined(PeerId),
    /// Another peer left.
    PeerLeft(PeerId),
    /// A signal of another peer.
    Signalled {
        /// The sender, as the tracker says.
        from: PeerId,
        /// What it carries.
        kind: SignalKind,
        /// The signal.
        signal: Signal,
    },
    /// A frame of another peer.
    Relayed {
        /// The sender, as the tracker says.
        from: PeerId,
        /// The frame.
        frame: Vec<u8>,
    },
    /// The network's label or chain is not registered.
    NetworkUnknown,
    /// The label is taken.
    NetworkExists,
    /// The join was refused for another reason.
    JoinRefused {
        /// The tracker's words.
        message: String,
    },
}

/// What the tracker is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToTracker {
    /// Register our network.
    Create {
        /// The genesis bytes.
        genesis: Vec<u8>,
        /// Whether to list it.
        listing: Listing,
        /// Another label than the genesis' own, which is taken.
        label: Option<String>,
    },
    /// Enter our network's room.
    Join {
        /// The label.
        network: NetworkId,
        /// The chain.
        chain: ChainId,
        /// Our key.
        key: PublicKey,
        /// Over [`JOIN_DOMAIN`](super::JOIN_DOMAIN), the provisional peer id and the nonce.
        signature: Signature,
    },
    /// Enter our private network's room.
    Enter {
        /// The room.
        room: RoomId,
        /// The public join key.
        join_key: PublicKey,
        /// Our peer id.
        peer: PeerId,
        /// Of the join key ([`crate::private`]).
        admission: Signature,
    },
    /// Forward a signal.
    Signal {
        /// The receiver.
        to: PeerId,
        /// What it carries.
        kind: SignalKind,
        /// The signal.
        signal: Signal,
    },
    /// Forward a frame.
    Relay {
        /// The receiver.
        to: PeerId,
        /// The frame; at most a chunk, 16 bytes and, sealed, 41 more.
        frame: Vec<u8>,
        /// What is sent before what, when not all can be.
        lane: Lane,
    },
}
