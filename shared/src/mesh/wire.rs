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

use crate::frame::{FrameKind, split};

/// One life of one end of a link; drawn anew whenever that end starts over. Zero means "none known yet".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Incarnation(pub(super) u64);

impl Incarnation {
    /// Stands for an end that is not known yet.
    pub(super) const NONE: Self = Self(0);
}

/// What one mesh says to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LinkMessage {
    /// "I want a link; `from` is my end, and `to` is what I know of yours." Only over the relay.
    Hello,
    /// "I have no room for this link." Only over the relay.
    Bye,
    /// Asks for a sign of life.
    Ping(u64),
    /// Answers the ping of that number.
    Pong(u64),
}

const HELLO: u8 = 1;
const BYE: u8 = 2;
const PING: u8 = 3;
const PONG: u8 = 4;

impl LinkMessage {
    /// The one chunk that carries this message.
    pub(super) fn chunk(self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self {
            Self::Hello => bytes.push(HELLO),
            Self::Bye => bytes.push(BYE),
            Self::Ping(number) => push_numbered(&mut bytes, PING, number),
            Self::Pong(number) => push_numbered(&mut bytes, PONG, number),
        }
        // A message of 1 to 9 bytes is always one chunk.
        split(FrameKind::Mesh, 0, &bytes)
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
            _ => None,
        }
    }
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
        for bytes in [&[][..], &[0], &[HELLO, 0], &[PING, 1, 2], &[99]] {
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
