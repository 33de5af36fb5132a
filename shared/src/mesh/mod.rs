//! The mesh machine: which peers of a network this node is linked to, and over what.
//!
//! It joins the network at the tracker with a proof of its key (again after each reconnect), greets peers through the
//! tracker's relay, and hands the node a peer as soon as the relay works both ways, so that the product works where no direct
//! channel can. Beside that the peer with the smaller id dials a WebRTC channel with signed signalling; once a ping came back over
//! it, messages take the direct channel. When a direct channel fails, the link starts over on the relay (the node sees the peer
//! leave and come, and syncs anew, because what was in flight is lost), and dialling is repeated with back-off. Direct channels
//! outlive the tracker and the peer's absence from it. Members tell each other whom they are linked to and carry each other's
//! greetings and signals, so that the mesh heals, and takes newcomers in, while there is no tracker; so do the tabs of one profile.
//! Such a link is the node's as soon as its direct channel proved itself; no member carries the node's messages. The first link of
//! all can be made by hand, by copying an invitation and an answer.
//!
//! It deliberately does not: read node messages, open sockets (the driver does, and reconnects to the tracker), restart ICE (it
//! tries the channel at once, lets the relay take over if that is dead, and dials anew).
//!
//! Invariants: messages to one peer go over one path at a time and keep their order on it; a signal is acted on only if it is
//! signed by the peer and of the session both ends are in; `PeerUp` and `PeerDown` alternate for each peer; nothing is
//! delivered from a peer that is not up.
//!
//! Limits are in [`limits`]. A stranger beyond [`limits::WANTED_LINKS_MAX`] is told `Bye` and may dial others. The mesh queues nothing
//! towards a peer: back-pressure is the driver's, which sends the chunks of more urgent lanes first and closes a link for which
//! too much waits.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;

use crate::frame::FrameError;
use crate::hash::sha256;
use crate::identity::Identity;
use crate::ids::{ChainId, NetworkId, PeerId, PublicKey, TimestampMs};
use crate::private::{NetworkKeys, SealError};

mod bucket;
mod description;
mod direct;
mod exchange;
mod invitation;
mod join;
pub mod limits;
mod link;
mod local;
mod packet;
mod pairing;
mod relay;
mod rotation;
mod route;
mod seal;
pub mod signal;
mod timers;
mod tracker;
mod wire;

pub use invitation::{Invitation, PAIRING_DOMAIN, PairingError};

use bucket::Bucket;
pub use seal::Sealed;
pub use tracker::{FromTracker, ToTracker};

use join::Join;
use link::{Link, Shunned};
use pairing::Pairing;
use signal::{Role, SignalError, SignalKind};

/// What a mesh is started with.
#[derive(Debug)]
pub struct Config {
    /// The peer's key.
    pub identity: Identity,
    /// The network's chain.
    pub chain: ChainId,
    /// The network's label.
    pub network: NetworkId,
    /// The genesis bytes, to register the network where the tracker does not know it.
    pub genesis: Vec<u8>,
    /// Whether the network is to appear in public lists if it is registered.
    pub listing: Listing,
    /// The keys of a private network, whose join key is the genesis'; none of an open one.
    pub keys: Option<NetworkKeys>,
    /// Fresh randomness, never used by an earlier mesh: incarnations and nonces are drawn from it.
    pub seed: [u8; 32],
}

/// Whether a network appears in the tracker's public lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listing {
    /// It does.
    Listed,
    /// It does not.
    Unlisted,
}

/// One RTCPeerConnection of the driver; the mesh chooses the number and never reuses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinkId(pub u32);

/// Facts from the tracker's socket, the WebRTC driver, the node and the clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The tracker's socket is open.
    TrackerOpened,
    /// The tracker's socket is gone.
    TrackerClosed,
    /// The tracker said something.
    TrackerReceived(FromTracker),
    /// A connection made its local description.
    LocalDescribed {
        /// The connection.
        link: LinkId,
        /// Offer or answer.
        kind: SignalKind,
        /// The description.
        sdp: String,
    },
    /// A connection gathered an ICE candidate (empty: that was the last).
    CandidateGathered {
        /// The connection.
        link: LinkId,
        /// The candidate's JSON.
        candidate: String,
    },
    /// A connection's data channel is open.
    ChannelOpened {
        /// The connection.
        link: LinkId,
    },
    /// Bytes came over a data channel.
    ChannelReceived {
        /// The connection.
        link: LinkId,
        /// One chunk.
        bytes: Vec<u8>,
    },
    /// A connection falters; it may heal by itself.
    ChannelInterrupted {
        /// The connection.
        link: LinkId,
    },
    /// The machine woke from sleep or is in another network: what worked before may not work now.
    NetworkChanged,
    /// A connection failed or was closed by the other side.
    ChannelClosed {
        /// The connection.
        link: LinkId,
    },
    /// There is a channel to the other tabs of this profile.
    LocalOpened,
    /// The user wants an invitation to pair with another browser.
    InvitationRequested {
        /// The user's number for the answer.
        request: u64,
    },
    /// The user was given an invitation.
    InvitationReceived {
        /// The user's number for the answer.
        request: u64,
        /// The invitation.
        bytes: Vec<u8>,
    },
    /// The user was given an answer to an invitation of ours.
    AnswerReceived {
        /// The user's number for the answer.
        request: u64,
        /// The answer.
        bytes: Vec<u8>,
    },
    /// Another tab of this profile sent a packet, to all or to us.
    LocalReceived {
        /// The tab's peer.
        from: PeerId,
        /// The packet.
        packet: Vec<u8>,
    },
    /// The node has a message for a peer.
    SendRequested {
        /// The receiver.
        peer: PeerId,
        /// One whole logical message.
        bytes: Vec<u8>,
    },
    /// The node wants nothing more to do with a peer.
    DisconnectRequested {
        /// The peer.
        peer: PeerId,
    },
    /// The time that `WakeAt` named has come.
    Woken,
}

/// Orders to the driver and the node, in one ordered queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Tell the tracker.
    Tracker(ToTracker),
    /// Close the tracker's socket and connect anew.
    CloseTracker {
        /// Why.
        reason: String,
    },
    /// We are in the room: relaying and reporting work.
    TrackerJoined,
    /// The tracker does not let us in; it stays so until the socket is opened again.
    TrackerRefused {
        /// Why, in a sentence.
        reason: String,
    },
    /// We are no longer in the room.
    TrackerLost,
    /// Make a connection and, as the initiator, its data channel and offer.
    CreateLink {
        /// Its number.
        link: LinkId,
        /// To whom.
        peer: PeerId,
        /// Whose part is what.
        role: Role,
    },
    /// Make a connection for a pairing: all its candidates are in its description, and it waits for the other side without an end
    /// until it is closed.
    CreatePairing {
        /// Its number.
        link: LinkId,
        /// Whose part is what.
        role: Role,
    },
    /// Give the user an invitation, or an answer to one, to copy to the other browser.
    PairingReady {
        /// The user's number.
        request: u64,
        /// The invitation or answer.
        bytes: Vec<u8>,
        /// When it stops being good.
        expires_at: TimestampMs,
    },
    /// Tell the user that an answer was taken; the link comes up by itself.
    Paired {
        /// The user's number.
        request: u64,
        /// The guest.
        peer: PeerId,
    },
    /// Tell the user that an invitation or answer was refused.
    PairingRefused {
        /// The user's number.
        request: u64,
        /// Why.
        reason: PairingError,
    },
    /// Give a connection the other side's description.
    SetRemote {
        /// The connection.
        link: LinkId,
        /// Offer or answer.
        kind: SignalKind,
        /// The description.
        sdp: String,
    },
    /// Give a connection the other side's candidate (empty: no more).
    AddCandidate {
        /// The connection.
        link: LinkId,
        /// The candidate's JSON.
        candidate: String,
    },
    /// Send a chunk over a data channel.
    SendChannel {
        /// The connection.
        link: LinkId,
        /// The chunk.
        bytes: Vec<u8>,
    },
    /// Close a connection; nothing more is expected of it.
    CloseLink {
        /// The connection.
        link: LinkId,
    },
    /// Tell the node of a peer.
    PeerUp {
        /// The peer.
        peer: PeerId,
    },
    /// Tell the node that a peer, and what was in flight, is lost.
    PeerDown {
        /// The peer.
        peer: PeerId,
    },
    /// Hand the node a whole message.
    Deliver {
        /// The sender.
        peer: PeerId,
        /// The message.
        bytes: Vec<u8>,
    },
    /// Hand the other tabs of this profile a packet.
    Local {
        /// The tab it is for; all if none.
        to: Option<PeerId>,
        /// The packet.
        packet: Vec<u8>,
    },
    /// [`Mesh::peers`] answers something new.
    PeersChanged,
    /// Wake the machine at that time; replaces the earlier order.
    WakeAt {
        /// When.
        at: TimestampMs,
    },
}

/// How a peer is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Greeted, not answered yet.
    Connecting,
    /// Through the tracker.
    Relay,
    /// Over a data channel.
    Direct,
}

/// Why an input was refused; the state is as before.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MeshError {
    /// A signal was refused.
    #[error("signal of peer {peer}: {reason}")]
    Signal {
        /// Whom the tracker named as the sender.
        peer: PeerId,
        /// Why.
        reason: SignalError,
    },
    /// A chunk was refused.
    #[error("chunk of peer {peer}: {reason}")]
    Frame {
        /// The sender.
        peer: PeerId,
        /// Why.
        reason: FrameError,
    },
    /// What came through the tracker of a private network is not sealed by a member.
    #[error("relayed by peer {peer}: {reason}")]
    Sealed {
        /// Whom the tracker named as the sender.
        peer: PeerId,
        /// Why.
        reason: SealError,
    },
    /// A message of the node can't be sent.
    #[error("message to peer {peer}: {reason}")]
    Unsendable {
        /// The receiver.
        peer: PeerId,
        /// Why.
        reason: FrameError,
    },
    /// A description of our own connection can't be used.
    #[error("own description for link {}: {reason}", link.0)]
    OwnDescription {
        /// The connection.
        link: LinkId,
        /// Why.
        reason: SignalError,
    },
}

/// Domain of the signature that proves a peer id to the tracker.
pub const JOIN_DOMAIN: &str = "distli/join/1";

/// The mesh machine of one network; see the module.
#[derive(Debug)]
pub struct Mesh {
    config: Config,
    own: PeerId,
    join: Join,
    /// Peers in the tracker's room.
    present: BTreeSet<PeerId>,
    /// Other tabs of this profile, and when they were last heard.
    local: BTreeMap<PeerId, TimestampMs>,
    links: BTreeMap<PeerId, Link>,
    /// Invitations and answers that are not links yet, by their connections.
    pairings: BTreeMap<LinkId, Pairing>,
    shunned: BTreeMap<PeerId, Shunned>,
    outputs: VecDeque<Output>,
    wake_at: Option<TimestampMs>,
    /// When to tell the members whom we are linked to.
    exchange_at: Option<TimestampMs>,
    /// When a link may next make room for another.
    rotate_at: Option<TimestampMs>,
    /// When to care for the tabs of this profile next; none while there is no channel to them.
    presence_at: Option<TimestampMs>,
    /// What limits the making of connections.
    dials: Bucket,
    /// What limits the answers to who wants the genesis of a private network.
    genesis_answers: Bucket,
    links_made: u32,
    messages_sent: u16,
    drawn: u64,
}

impl Mesh {
    /// A mesh that knows no one and has no tracker yet.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            own: config.identity.peer_id(),
            config,
            join: Join::Closed,
            present: BTreeSet::new(),
            local: BTreeMap::new(),
            links: BTreeMap::new(),
            pairings: BTreeMap::new(),
            shunned: BTreeMap::new(),
            outputs: VecDeque::new(),
            wake_at: None,
            exchange_at: None,
            rotate_at: None,
            presence_at: None,
            dials: Bucket::new(limits::DIALS_BURST, limits::DIALS_PER_SECOND),
            genesis_answers: seal::genesis_answers(),
            links_made: 0,
            messages_sent: 0,
            drawn: 0,
        }
    }

    /// Takes one fact in. Drain [`Self::poll`] afterwards, also after an error.
    ///
    /// # Errors
    /// [`MeshError`] names the peer to blame; the state is as before.
    pub fn handle(&mut self, now: TimestampMs, input: Input) -> Result<(), MeshError> {
        let result = self.dispatch(now, input);
        self.schedule(now);
        result
    }

    /// The next order, oldest first.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Our own peer id.
    #[must_use]
    pub const fn own_peer(&self) -> PeerId {
        self.own
    }

    /// Our own key.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        self.config.identity.public_key()
    }

    /// Whether we are in the tracker's room.
    #[must_use]
    pub const fn is_joined(&self) -> bool {
        matches!(self.join, Join::Joined)
    }

    /// The linked peers by id, and how each is reached.
    pub fn peers(&self) -> impl Iterator<Item = (PeerId, Transport)> + '_ {
        self.links
            .iter()
            .map(|(peer, link)| (*peer, link.transport()))
    }

    /// The keys of the peers that signalled to us, as far as they are linked.
    pub fn peer_keys(&self) -> impl Iterator<Item = PublicKey> + '_ {
        self.links.values().filter_map(|link| link.key)
    }

    fn dispatch(&mut self, now: TimestampMs, input: Input) -> Result<(), MeshError> {
        match input {
            Input::TrackerReceived(message) => return self.on_tracker_received(now, message),
            Input::LocalDescribed { link, kind, sdp } => {
                return self.on_local_described(now, link, kind, sdp);
            }
            Input::ChannelReceived { link, bytes } => {
                return self.on_channel_received(now, link, &bytes);
            }
            Input::SendRequested { peer, bytes } => return self.on_send_requested(peer, &bytes),
            Input::LocalReceived { from, packet } => {
                return self.on_local_received(now, from, &packet);
            }
            Input::InvitationRequested { request } => {
                let result = self.on_invitation_requested(now, request);
                self.answer_pairing(request, result);
            }
            Input::InvitationReceived { request, bytes } => {
                let result = self.on_invitation_received(now, request, &bytes);
                self.answer_pairing(request, result);
            }
            Input::AnswerReceived { request, bytes } => {
                let result = self.on_answer_received(now, request, &bytes);
                self.answer_pairing(request, result);
            }
            Input::LocalOpened => self.on_local_opened(now),
            Input::TrackerOpened => self.on_tracker_opened(now),
            Input::TrackerClosed => self.on_tracker_closed(now),
            Input::CandidateGathered { link, candidate } => {
                self.on_candidate_gathered(link, candidate);
            }
            Input::ChannelOpened { link } => self.on_channel_opened(now, link),
            Input::ChannelClosed { link } => self.on_channel_closed(now, link),
            Input::ChannelInterrupted { link } => self.on_channel_interrupted(now, link),
            Input::NetworkChanged => self.on_network_changed(now),
            Input::DisconnectRequested { peer } => self.on_disconnect_requested(now, peer),
            Input::Woken => self.on_woken(now),
        }
        Ok(())
    }

    fn push(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    /// Draws a number that no one can foresee and that never repeats in practice.
    fn draw(&mut self) -> u64 {
        self.drawn += 1;
        let digest = sha256(&[
            b"distli/mesh/draw/1",
            &self.config.seed,
            &self.drawn.to_be_bytes(),
        ]);
        digest
            .0
            .iter()
            .take(8)
            .fold(0, |sum, byte| (sum << 8) | u64::from(*byte))
    }
}

#[cfg(test)]
mod tests;
