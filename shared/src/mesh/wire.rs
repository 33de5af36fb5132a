//! Bytes on a link: what two meshes say to each other beside the node's messages.
//!
//! Everything crosses a link as chunks of [`crate::frame`]: the node's messages as [`FrameKind::Node`], a [`LinkMessage`] as
//! [`FrameKind::Mesh`], always in one chunk. Over the tracker a chunk is preceded by the incarnations of both ends of the
//! link (`from` 8 bytes, `to` 8 bytes), so that whatever was on its way when one end started anew is recognised and dropped.
//! A direct channel belongs to one pair of incarnations and needs none.
//!
//! Relayed frames are not authenticated: the tracker could make them up, as it could withhold them. They carry nothing that
//! is believed without a check; what must not be forged (session descriptions) is signed, see [`super::signal`].

use alloc::vec::Vec;

use crate::frame::{FrameKind, Lane, split};
use crate::hash::Hash;
use crate::ids::PeerId;

use super::limits::{LINKS_MAX, PACKET_BYTES_MAX};

/// One life of one end of a link; drawn anew whenever that end starts over. Zero means "none known yet".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Incarnation(pub(super) u64);

impl Incarnation {
    /// Stands for an end that is not known yet.
    pub(super) const NONE: Self = Self(0);
}

/// What one mesh says to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum LinkMessage {
    /// "I want a link; `from` is my end, and `to` is what I know of yours." Only over the relay.
    Hello,
    /// "I have no room for this link", or no longer.
    Bye,
    /// Asks for a sign of life.
    Ping(u64),
    /// Answers the ping of that number, or is a mere sign of life.
    Pong(u64),
    /// "These are the peers I am linked to directly"; replaces the earlier list. Only over a direct channel.
    Peers(Vec<PeerId>),
    /// "Give this packet to that peer of yours." Only over a direct channel.
    Forward {
        /// The receiver.
        to: PeerId,
        /// A [`super::packet::Packet`].
        packet: Vec<u8>,
    },
    /// "That peer of mine gave me this packet for you." Only over a direct channel.
    Forwarded {
        /// The sender, as the member says.
        from: PeerId,
        /// A [`super::packet::Packet`].
        packet: Vec<u8>,
    },
}

const HELLO: u8 = 1;
const BYE: u8 = 2;
const PING: u8 = 3;
const PONG: u8 = 4;
const PEERS: u8 = 5;
const FORWARD: u8 = 6;
const FORWARDED: u8 = 7;

impl LinkMessage {
    /// The one chunk that carries this message.
    pub(super) fn chunk(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self {
            Self::Hello => bytes.push(HELLO),
            Self::Bye => bytes.push(BYE),
            Self::Ping(number) => push_numbered(&mut bytes, PING, *number),
            Self::Pong(number) => push_numbered(&mut bytes, PONG, *number),
            Self::Peers(peers) => {
                bytes.push(PEERS);
                bytes.extend(peers.iter().take(LINKS_MAX).flat_map(|peer| peer.0.0));
            }
            Self::Forward { to, packet } => push_packet(&mut bytes, FORWARD, to, packet),
            Self::Forwarded { from, packet } => push_packet(&mut bytes, FORWARDED, from, packet),
        }
        // Packets are at most half a chunk, everything else is shorter: it is always one chunk.
        split(FrameKind::Mesh, Lane::Urgent, 0, &bytes)
            .unwrap_or_default()
            .pop()
            .unwrap_or_default()
    }

    /// Reads the message of a mesh frame; `None` if it is none.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [HELLO] => Some(Self::Hello),
            [BYE] => Some(Self::Bye),
            [PING, number @ ..] => Some(Self::Ping(u64::from_be_bytes(number.try_into().ok()?))),
            [PONG, number @ ..] => Some(Self::Pong(u64::from_be_bytes(number.try_into().ok()?))),
            [PEERS, peers @ ..] => {
                let peers = peers
                    .chunks(32)
                    .map(|id| Some(peer_id(id.try_into().ok()?)));
                let peers: Vec<PeerId> = peers.collect::<Option<_>>()?;
                (peers.len() <= LINKS_MAX).then_some(Self::Peers(peers))
            }
            [FORWARD, rest @ ..] => {
                let (to, packet) = split_packet(rest)?;
                Some(Self::Forward { to, packet })
            }
            [FORWARDED, rest @ ..] => {
                let (from, packet) = split_packet(rest)?;
                Some(Self::Forwarded { from, packet })
            }
            _ => None,
        }
    }
}

fn peer_id(bytes: [u8; 32]) -> PeerId {
    PeerId(Hash(bytes))
}

fn push_packet(bytes: &mut Vec<u8>, kind: u8, peer: &PeerId, packet: &[u8]) {
    bytes.push(kind);
    bytes.extend_from_slice(&peer.0.0);
    bytes.extend_from_slice(packet);
}

fn split_packet(bytes: &[u8]) -> Option<(PeerId, Vec<u8>)> {
    let (peer, packet) = bytes.split_first_chunk::<32>()?;
    (packet.len() <= PACKET_BYTES_MAX).then(|| (peer_id(*peer), packet.to_vec()))
}

fn push_numbered(bytes: &mut Vec<u8>, kind: u8, number: u64) {
    bytes.push(kind);
    bytes.extend_from_slice(&number.to_be_bytes());
}

/// Puts the incarnations of both ends before a chunk that passes through the tracker.
pub(super) fn wrap(from: Incarnation, to: Incarnation, chunk: &[u8]) -> Vec<u8> {
    [&from.0.to_be_bytes()[..], &to.0.to_be_bytes(), chunk].concat()
}

/// Takes a relayed frame apart into `from`, `to` and the chunk.
pub(super) fn unwrap(frame: &[u8]) -> Option<(Incarnation, Incarnation, &[u8])> {
    let (from, rest) = frame.split_first_chunk::<8>()?;
    let (to, chunk) = rest.split_first_chunk::<8>()?;
    Some((
        Incarnation(u64::from_be_bytes(*from)),
        Incarnation(u64::from_be_bytes(*to)),
        chunk,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Reassembler;

    #[test]
    fn every_link_message_survives_both_ways() {
        for message in [
            LinkMessage::Hello,
            LinkMessage::Bye,
            LinkMessage::Ping(7),
            LinkMessage::Pong(u64::MAX),
            LinkMessage::Peers(Vec::new()),
            LinkMessage::Peers((0..16).map(|id| peer_id([id; 32])).collect()),
            LinkMessage::Forward {
                to: peer_id([1; 32]),
                packet: vec![3; PACKET_BYTES_MAX],
            },
            LinkMessage::Forwarded {
                from: peer_id([2; 32]),
                packet: Vec::new(),
            },
        ] {
            let (kind, bytes) = Reassembler::new()
                .receive(&message.chunk())
                .unwrap()
                .unwrap();
            assert_eq!(
                (kind, LinkMessage::decode(&bytes)),
                (FrameKind::Mesh, Some(message))
            );
        }
    }

    #[test]
    fn other_bytes_are_no_link_message() {
        let too_many = [[PEERS].as_slice(), &[0; 17 * 32]].concat();
        let too_long = [[FORWARD].as_slice(), &[0; 33 + PACKET_BYTES_MAX]].concat();
        for bytes in [
            &[][..],
            &[0],
            &[HELLO, 0],
            &[PING, 1, 2],
            &[99],
            &[PEERS, 1],
            &[FORWARDED, 7],
            &too_many,
            &too_long,
        ] {
            assert_eq!(LinkMessage::decode(bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn relayed_chunk_keeps_both_incarnations() {
        let frame = wrap(Incarnation(9), Incarnation::NONE, b"chunk");
        assert_eq!(
            unwrap(&frame),
            Some((Incarnation(9), Incarnation::NONE, &b"chunk"[..]))
        );
        assert_eq!(unwrap(&frame[..15]), None);
    }
}
