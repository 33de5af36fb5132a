//! What the tracker and a member tell each other.

use alloc::{string::String, vec::Vec};

use super::{
    Listing,
    signal::{Signal, SignalKind},
};
use crate::ids::{ChainId, NetworkId, PeerId, PublicKey, Signature};

/// What the tracker says, as far as the mesh is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromTracker {
    /// The first message of a connection.
    Welcomed {
        /// The bytes of the provisional peer id.
        provisional: Vec<u8>,
        /// What the join signs, so that a proof serves once.
        nonce: Vec<u8>,
    },
    /// Our network is registered.
    Created {
        /// Its chain.
        chain: ChainId,
    },
    /// We are in the network's room.
    Joined {
        /// The room's chain.
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
        /// The frame; at most a chunk and 16 bytes long.
        frame: Vec<u8>,
    },
}
