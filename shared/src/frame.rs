//! Frames: how one logical message crosses a data channel or the tracker's relay.
//!
//! Chunk layout, big-endian, nine bytes before the payload:
//!
//! ```text
//! version 1 | flags 1 | kind 1 | message number 2 | message length 4 | payload
//! ```
//!
//! Flags: bit 0 first chunk, bit 1 last chunk, bits 2 and 3 the [`Lane`]. A chunk is at most [`CHUNK_BYTES_MAX`] long, a
//! logical message at most [`MESSAGE_BYTES_MAX`]; every chunk of a message repeats its number and its whole length.
//!
//! A path keeps the order of a lane's chunks; what is in a more urgent lane may overtake, so that a new block waits for one
//! chunk of history and not for all of it (`docs/adr/0092-lanes.md`). A [`Reassembler`] belongs to one path of one peer. A
//! first chunk starts its lane anew, whatever was unfinished there (the sender gave it up when its path failed); any
//! other chunk must continue the message in progress, or it is refused and the partial message dropped.
//!
//! Invariants: memory held never exceeds what was received, nor [`MESSAGE_BYTES_MAX`] a lane; `receive` never panics.
//! It does not look into the message and does not authenticate: the channel (DTLS) or the signed relay does.

use alloc::vec::Vec;

/// Longest chunk in bytes, header included.
pub const CHUNK_BYTES_MAX: usize = 16 * 1024;
/// Longest logical message in bytes.
pub const MESSAGE_BYTES_MAX: usize = 1024 * 1024;
/// The only frame version.
pub const FRAME_VERSION: u8 = 1;

const HEADER_BYTES: usize = 9;
const PAYLOAD_BYTES_MAX: usize = CHUNK_BYTES_MAX - HEADER_BYTES;
const FLAG_FIRST: u8 = 0b01;
const FLAG_LAST: u8 = 0b10;
const LANE_SHIFT: u32 = 2;
const LANES: usize = 3;

/// Whom a logical message is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FrameKind {
    /// A [`crate::message::Message`] between node machines.
    Node,
    /// A message between mesh machines (peer exchange, keep-alive).
    Mesh,
}

/// How urgent a logical message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// New blocks, requests, statuses, signs of life.
    Urgent,
    /// Transactions.
    Normal,
    /// Headers and bodies for a peer that catches up.
    History,
}

impl Lane {
    /// The lane's number, the most urgent first.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Urgent => 0,
            Self::Normal => 1,
            Self::History => 2,
        }
    }

    const fn of_flags(flags: u8) -> Option<Self> {
        match flags >> LANE_SHIFT {
            0 => Some(Self::Urgent),
            1 => Some(Self::Normal),
            2 => Some(Self::History),
            _ => None,
        }
    }
}

/// The lane that a chunk of our own names; the last one for anything else.
#[must_use]
pub fn lane_of(chunk: &[u8]) -> Lane {
    let flags = chunk.get(1).copied();
    flags.and_then(Lane::of_flags).unwrap_or(Lane::History)
}

/// Why a message can't be split or a chunk is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The logical message is empty or too long.
    #[error("a message of {found} bytes, allowed are 1 to {allowed}")]
    MessageLength {
        /// Length met.
        found: usize,
        /// Longest length allowed.
        allowed: usize,
    },
    /// The chunk is shorter than its header and one byte, or longer than allowed.
    #[error("a chunk of {found} bytes, allowed are {least} to {allowed}")]
    ChunkLength {
        /// Length met.
        found: usize,
        /// Shortest length allowed.
        least: usize,
        /// Longest length allowed.
        allowed: usize,
    },
    /// Another frame version.
    #[error("frame version {found}, supported is {supported}")]
    Version {
        /// Version met.
        found: u8,
        /// Version supported.
        supported: u8,
    },
    /// Unknown flags, or a last flag that doesn't fit the length.
    #[error("frame flags {found:#04x} do not fit")]
    Flags {
        /// Flags met.
        found: u8,
    },
    /// Unknown kind.
    #[error("unknown frame kind {found}")]
    Kind {
        /// Kind met.
        found: u8,
    },
    /// A continuation that continues nothing, or another message than the one in progress.
    #[error("chunk of message {found} continues no message in progress")]
    Discontinued {
        /// Message number met.
        found: u16,
    },
}

/// Splits a logical message into chunks, in sending order. `number` should differ from the previous message's on the
/// same path; a wrapping counter does.
///
/// # Errors
/// [`FrameError::MessageLength`] when the message is empty or longer than [`MESSAGE_BYTES_MAX`].
pub fn split(
    kind: FrameKind,
    lane: Lane,
    number: u16,
    message: &[u8],
) -> Result<Vec<Vec<u8>>, FrameError> {
    let length = message_length(message.len())?;
    let count = message.len().div_ceil(PAYLOAD_BYTES_MAX);
    let chunks = message
        .chunks(PAYLOAD_BYTES_MAX)
        .enumerate()
        .map(|(index, payload)| {
            let mut flags = lane.number() << LANE_SHIFT;
            if index == 0 {
                flags |= FLAG_FIRST;
            }
            if index + 1 == count {
                flags |= FLAG_LAST;
            }
            let mut chunk = Vec::with_capacity(HEADER_BYTES + payload.len());
            chunk.extend_from_slice(&[FRAME_VERSION, flags, kind.to_byte()]);
            chunk.extend_from_slice(&number.to_be_bytes());
            chunk.extend_from_slice(&length.to_be_bytes());
            chunk.extend_from_slice(payload);
            chunk
        });
    Ok(chunks.collect())
}

/// Puts the chunks of one path together again.
#[derive(Debug, Default)]
pub struct Reassembler {
    /// What each lane has begun.
    partials: [Option<Partial>; LANES],
}

#[derive(Debug)]
struct Partial {
    kind: FrameKind,
    number: u16,
    length: usize,
    bytes: Vec<u8>,
}

impl Reassembler {
    /// A reassembler that has seen nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            partials: [None, None, None],
        }
    }

    /// Takes one chunk; answers the whole message when this was its last one.
    ///
    /// # Errors
    /// [`FrameError`] when the chunk is malformed or does not fit; its lane's unfinished message is dropped if it does not fit.
    pub fn receive(&mut self, chunk: &[u8]) -> Result<Option<(FrameKind, Vec<u8>)>, FrameError> {
        let (header, payload) = ChunkHeader::read(chunk)?;
        let refused = FrameError::Flags {
            found: header.flags,
        };
        let lane = Lane::of_flags(header.flags).map(|lane| usize::from(lane.number()));
        let place = lane
            .and_then(|lane| self.partials.get_mut(lane))
            .ok_or(refused)?;
        let unfinished = place.take();
        let mut partial = if header.flags & FLAG_FIRST == 0 {
            unfinished
                .filter(|p| header.continues(p))
                .ok_or(FrameError::Discontinued {
                    found: header.number,
                })?
        } else {
            Partial {
                kind: header.kind,
                number: header.number,
                length: header.length,
                bytes: Vec::new(),
            }
        };
        let received = partial.bytes.len() + payload.len();
        let is_last = header.flags & FLAG_LAST != 0;
        if received > partial.length || is_last != (received == partial.length) {
            return Err(FrameError::Flags {
                found: header.flags,
            });
        }
        partial.bytes.extend_from_slice(payload);
        if is_last {
            return Ok(Some((partial.kind, partial.bytes)));
        }
        *place = Some(partial);
        Ok(None)
    }
}

#[derive(Debug, Clone, Copy)]
struct ChunkHeader {
    flags: u8,
    kind: FrameKind,
    number: u16,
    length: usize,
}

impl ChunkHeader {
    fn read(chunk: &[u8]) -> Result<(Self, &[u8]), FrameError> {
        let found = chunk.len();
        if found > CHUNK_BYTES_MAX {
            return Err(chunk_length(found));
        }
        let (header, payload) = chunk
            .split_first_chunk::<HEADER_BYTES>()
            .ok_or_else(|| chunk_length(found))?;
        if payload.is_empty() {
            return Err(chunk_length(found));
        }
        let &[version, flags, kind, n0, n1, l0, l1, l2, l3] = header;
        if version != FRAME_VERSION {
            return Err(FrameError::Version {
                found: version,
                supported: FRAME_VERSION,
            });
        }
        if Lane::of_flags(flags).is_none() {
            return Err(FrameError::Flags { found: flags });
        }
        let kind = FrameKind::from_byte(kind)?;
        let length = usize::try_from(u32::from_be_bytes([l0, l1, l2, l3])).unwrap_or(usize::MAX);
        message_length(length)?;
        Ok((
            Self {
                flags,
                kind,
                number: u16::from_be_bytes([n0, n1]),
                length,
            },
            payload,
        ))
    }

    fn continues(&self, partial: &Partial) -> bool {
        self.number == partial.number && self.kind == partial.kind && self.length == partial.length
    }
}

impl FrameKind {
    const fn to_byte(self) -> u8 {
        match self {
            Self::Node => 0,
            Self::Mesh => 1,
        }
    }

    const fn from_byte(byte: u8) -> Result<Self, FrameError> {
        match byte {
            0 => Ok(Self::Node),
            1 => Ok(Self::Mesh),
            found => Err(FrameError::Kind { found }),
        }
    }
}

fn message_length(found: usize) -> Result<u32, FrameError> {
    let refused = FrameError::MessageLength {
        found,
        allowed: MESSAGE_BYTES_MAX,
    };
    if found == 0 || found > MESSAGE_BYTES_MAX {
        return Err(refused);
    }
    u32::try_from(found).map_err(|_| refused)
}

const fn chunk_length(found: usize) -> FrameError {
    FrameError::ChunkLength {
        found,
        least: HEADER_BYTES + 1,
        allowed: CHUNK_BYTES_MAX,
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use super::*;

    fn message(length: usize) -> Vec<u8> {
        (0..length)
            .map(|i| u8::try_from(i % 251).unwrap())
            .collect()
    }

    fn reassemble(
        reassembler: &mut Reassembler,
        chunks: &[Vec<u8>],
    ) -> Option<(FrameKind, Vec<u8>)> {
        let mut whole = None;
        for chunk in chunks {
            assert!(whole.is_none());
            whole = reassembler.receive(chunk).unwrap();
        }
        whole
    }

    #[test]
    fn every_length_survives_the_round_trip() {
        let mut reassembler = Reassembler::new();
        let edges = [
            1,
            2,
            PAYLOAD_BYTES_MAX - 1,
            PAYLOAD_BYTES_MAX,
            PAYLOAD_BYTES_MAX + 1,
            3 * PAYLOAD_BYTES_MAX,
            MESSAGE_BYTES_MAX,
        ];
        for (number, length) in (0..).zip(edges) {
            let chunks = split(FrameKind::Node, Lane::History, number, &message(length)).unwrap();
            assert!(chunks.iter().all(|c| c.len() <= CHUNK_BYTES_MAX));
            assert_eq!(
                reassemble(&mut reassembler, &chunks),
                Some((FrameKind::Node, message(length)))
            );
        }
    }

    #[test]
    fn empty_and_too_long_messages_are_refused() {
        for length in [0, MESSAGE_BYTES_MAX + 1] {
            assert_eq!(
                split(FrameKind::Mesh, Lane::History, 0, &vec![0; length]),
                Err(FrameError::MessageLength {
                    found: length,
                    allowed: MESSAGE_BYTES_MAX
                })
            );
        }
    }

    #[test]
    fn first_chunk_starts_anew_after_an_unfinished_message() {
        let mut reassembler = Reassembler::new();
        let long = split(FrameKind::Node, Lane::History, 1, &message(40_000)).unwrap();
        reassembler.receive(&long[0]).unwrap();
        let short = split(FrameKind::Mesh, Lane::History, 2, b"hello").unwrap();
        assert_eq!(
            reassembler.receive(&short[0]).unwrap(),
            Some((FrameKind::Mesh, b"hello".to_vec()))
        );
        assert_eq!(
            reassembler.receive(&long[1]),
            Err(FrameError::Discontinued { found: 1 })
        );
    }

    #[test]
    fn swapped_missing_and_repeated_chunks_are_refused() {
        let chunks = split(FrameKind::Node, Lane::History, 7, &message(60_000)).unwrap();
        for order in [vec![1], vec![0, 1, 3], vec![0, 0, 1, 1, 2, 3]] {
            let mut reassembler = Reassembler::new();
            let results: Vec<_> = order
                .iter()
                .map(|&i| reassembler.receive(&chunks[i]))
                .collect();
            assert!(results.iter().any(Result::is_err), "{order:?}");
        }
    }

    #[test]
    fn urgent_message_overtakes_one_in_another_lane() {
        let history = split(FrameKind::Node, Lane::History, 1, &message(40_000)).unwrap();
        let block = split(FrameKind::Node, Lane::Urgent, 2, &message(20_000)).unwrap();
        assert!(block.iter().all(|chunk| lane_of(chunk) == Lane::Urgent));
        let mut reassembler = Reassembler::new();
        assert_eq!(reassemble(&mut reassembler, &history[..1]), None);
        assert_eq!(
            reassemble(&mut reassembler, &block),
            Some((FrameKind::Node, message(20_000)))
        );
        assert_eq!(
            reassemble(&mut reassembler, &history[1..]),
            Some((FrameKind::Node, message(40_000)))
        );
    }

    #[test]
    fn malformed_headers_are_named() {
        let good = split(FrameKind::Node, Lane::History, 0, b"x")
            .unwrap()
            .remove(0);
        let with = |index: usize, value: u8| {
            let mut chunk = good.clone();
            chunk[index] = value;
            Reassembler::new().receive(&chunk)
        };
        assert_eq!(
            with(0, 9),
            Err(FrameError::Version {
                found: 9,
                supported: 1
            })
        );
        for found in [0x83, 0b1111] {
            assert_eq!(with(1, found), Err(FrameError::Flags { found }));
        }
        assert_eq!(
            with(1, FLAG_FIRST),
            Err(FrameError::Flags { found: FLAG_FIRST })
        );
        assert_eq!(with(2, 5), Err(FrameError::Kind { found: 5 }));
        assert!(matches!(
            with(5, 0xff),
            Err(FrameError::MessageLength { .. })
        ));
        assert!(matches!(
            Reassembler::new().receive(&good[..HEADER_BYTES]),
            Err(FrameError::ChunkLength { .. })
        ));
        assert!(matches!(
            Reassembler::new().receive(&vec![0; CHUNK_BYTES_MAX + 1]),
            Err(FrameError::ChunkLength { .. })
        ));
    }
}
