//! What node machines say to each other: one version byte, then a [`Message`] in postcard.
//!
//! This is the wire shape only: blocks, headers and transactions travel as their canonical bytes and are parsed (and
//! refused) by their own modules. [`Message::decode`] checks the limits first: the whole message, the number of
//! elements, the size of each; what it returns is bounded, nothing more. Postcard is not canonical and nothing here is
//! hashed.
//!
//! Limits: [`HEADERS_MAX`] headers, [`LOCATOR_MAX`] locator entries, [`BLOCKS_MAX`] block requests,
//! [`IDS_MAX`] transaction ids and [`BLOCK_TRANSACTIONS_MAX`] transactions of a block a message,
//! [`SNAPSHOT_PART_BYTES`] of a snapshot. A message over a limit is refused whole.

mod bytes;

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

pub use self::bytes::Bytes;
use crate::compact::CompactBlock;
use crate::frame::{Lane, MESSAGE_BYTES_MAX};
use crate::hash::Hash;
use crate::limits::{BLOCK_TRANSACTIONS_MAX, SNAPSHOT_BYTES_MAX};
use crate::packing::{UnpackError, pack, unpack};

/// The only message version.
pub const MESSAGE_VERSION: u8 = 1;
/// Most hashes in a locator.
pub const LOCATOR_MAX: usize = 64;
/// Most headers in one reply.
pub const HEADERS_MAX: usize = 2_000;
/// Most block bodies asked of one peer at once.
pub const BLOCKS_MAX: usize = 16;
/// Most transaction ids in one announcement or request.
pub const IDS_MAX: usize = 1_000;
/// Most transactions in one message; their bytes together stay under [`TRANSACTIONS_BYTES_MAX`].
pub const TRANSACTIONS_MAX: usize = 256;
/// Bytes of blocks a sender puts into one message, unless the first alone is longer.
pub const BLOCKS_BYTES_MAX: usize = 128 * 1024;
/// A shorter message is not worth packing.
pub const PACKED_FROM_BYTES: usize = 512;
/// Bytes of transactions a sender puts into one message.
pub const TRANSACTIONS_BYTES_MAX: usize = 256 * 1024;

/// Bytes of a snapshot's part; the last may have fewer.
pub const SNAPSHOT_PART_BYTES: usize = 256 * 1024;
/// Most parts of a snapshot.
pub const SNAPSHOT_PARTS_MAX: usize = SNAPSHOT_BYTES_MAX.div_ceil(SNAPSHOT_PART_BYTES);

/// A message between two node machines of one chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// Where the sender stands: first on every link, again on every change of tip, and as keep-alive.
    Status(Status),
    /// Asks for main-chain headers after the newest locator entry the receiver knows; the newest entry comes first.
    GetHeaders {
        /// Hashes of the asker's best branch, dense near its tip, sparse below, the chain id last.
        locator: Vec<Hash>,
    },
    /// Answers [`Message::GetHeaders`], lowest first; fewer than [`HEADERS_MAX`] means that was all.
    Headers {
        /// Canonical headers of 116 bytes.
        headers: Vec<Bytes>,
    },
    /// A new block's header, from one who holds its body.
    NewHeader {
        /// Canonical header.
        header: Bytes,
    },
    /// Asks for blocks of the receiver's main chain.
    GetBlocks {
        /// Their hashes.
        hashes: Vec<Hash>,
    },
    /// Blocks: an answer to [`Message::GetBlocks`], as many as fit.
    Blocks {
        /// Canonical blocks.
        blocks: Vec<Bytes>,
    },
    /// A new block, sent whole without being asked for.
    NewBlock {
        /// Canonical block.
        block: Bytes,
    },
    /// Answers [`Message::GetBlocks`] for what the sender doesn't have on its main chain.
    NoBlocks {
        /// Their hashes.
        hashes: Vec<Hash>,
    },
    /// Ids of transactions the sender holds in its mempool.
    HaveTransactions {
        /// Their ids.
        ids: Vec<Hash>,
    },
    /// Asks for transactions of the receiver's mempool; what it lacks is left out of the answer.
    GetTransactions {
        /// Their ids.
        ids: Vec<Hash>,
    },
    /// Transactions: new ones, or the answer to [`Message::GetTransactions`].
    Transactions {
        /// Canonical transactions.
        transactions: Vec<Bytes>,
    },
    /// Asks for the ids of everything in the receiver's mempool.
    GetPending,
    /// A new block in short: unasked to some, to others the answer to [`Message::GetCompactBlock`].
    CompactBlock(CompactBlock),
    /// Asks for a block of the receiver's main chain in short; it may also come as [`Message::NoBlocks`].
    GetCompactBlock {
        /// Its hash.
        hash: Hash,
    },
    /// Asks for the transactions of a block that a [`Message::CompactBlock`] named and the asker lacks.
    GetBlockTransactions {
        /// The block's hash.
        hash: Hash,
        /// Their places in the block, rising.
        indexes: Vec<u16>,
    },
    /// Answers [`Message::GetBlockTransactions`] in full; a block that is not on the main chain comes as
    /// [`Message::NoBlocks`].
    BlockTransactions {
        /// The block's hash.
        hash: Hash,
        /// Canonical transactions in the order asked for.
        transactions: Vec<Bytes>,
    },
    /// [`Message::Headers`] or [`Message::Blocks`] in packed form; nothing else may be in it.
    Packed {
        /// The message without its version, packed by [`crate::packing`]; unpacked it keeps the limit of a message.
        packed: Bytes,
    },
    /// Asks for a part of the snapshot after a main-chain block that the asker knows to be final.
    GetSnapshot {
        /// The block's hash.
        hash: Hash,
        /// The part, from 0.
        part: u32,
    },
    /// Answers [`Message::GetSnapshot`].
    Snapshot {
        /// The block's hash.
        hash: Hash,
        /// The part, from 0.
        part: u32,
        /// The number of parts; all but the last have [`SNAPSHOT_PART_BYTES`].
        parts: u32,
        /// The part's bytes.
        bytes: Bytes,
    },
    /// Answers [`Message::GetSnapshot`] when the sender has none after that block.
    NoSnapshot {
        /// The block's hash.
        hash: Hash,
    },
}

/// Where a node stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The chain the sender follows; another one ends the link.
    pub chain_id: Hash,
    /// Height of its tip.
    pub height: u32,
    /// Hash of its tip.
    pub tip: Hash,
    /// Cumulative work of its tip, big-endian.
    pub work: [u8; 32],
    /// The sender's clock in ms when it wrote this.
    pub clock_ms: u64,
    /// Number of transactions in its mempool.
    pub pending: u32,
    /// Exclusive or of their ids: two nodes with the same transactions have the same digest.
    pub pending_digest: Hash,
    /// The lowest height from which on it holds all bodies; 1 if it holds all.
    pub bodies_from: u32,
}

/// Why a message is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// Empty, or longer than a logical message may be.
    #[error("a message of {found} bytes, allowed are 1 to {allowed}")]
    Length {
        /// Length met.
        found: usize,
        /// Longest length allowed.
        allowed: usize,
    },
    /// Another version.
    #[error("message version {found}, supported is {supported}")]
    Version {
        /// Version met.
        found: u8,
        /// Version supported.
        supported: u8,
    },
    /// Not postcard of a message, or bytes left over.
    #[error("malformed message")]
    Malformed,
    /// What was packed is malformed or too long.
    #[error(transparent)]
    Packed(UnpackError),
    /// A list that is empty or too long.
    #[error("{found} {what} in a message, allowed are {least} to {allowed}")]
    Count {
        /// What was counted.
        what: &'static str,
        /// Number met.
        found: usize,
        /// Least number allowed.
        least: usize,
        /// Largest number allowed.
        allowed: usize,
    },
}

impl Message {
    /// The message's bytes, version first.
    ///
    /// # Panics
    /// Never in practice: postcard into a growing buffer fails only for types that these are not.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        postcard::to_extend(self, alloc::vec![MESSAGE_VERSION])
            .expect("lists of bytes with known lengths always serialise")
    }

    /// Parses one message and checks every limit.
    ///
    /// # Errors
    /// [`MessageError`] says which limit was met or that the bytes are no message.
    pub fn decode(bytes: &[u8]) -> Result<Self, MessageError> {
        let refused = MessageError::Length {
            found: bytes.len(),
            allowed: MESSAGE_BYTES_MAX,
        };
        if bytes.len() > MESSAGE_BYTES_MAX {
            return Err(refused);
        }
        let (&version, body) = bytes.split_first().ok_or(refused)?;
        if version != MESSAGE_VERSION {
            return Err(MessageError::Version {
                found: version,
                supported: MESSAGE_VERSION,
            });
        }
        Self::decode_body(body)
    }

    fn decode_body(body: &[u8]) -> Result<Self, MessageError> {
        let (message, rest) =
            postcard::take_from_bytes::<Self>(body).map_err(|_| MessageError::Malformed)?;
        if !rest.is_empty() {
            return Err(MessageError::Malformed);
        }
        message.check_counts()?;
        Ok(message)
    }

    /// What to send instead of the message's `plain` bytes: headers and blocks packed, if that makes them shorter.
    #[must_use]
    pub fn packed(&self, plain: Vec<u8>) -> Vec<u8> {
        if !self.may_be_packed() || plain.len() < PACKED_FROM_BYTES {
            return plain;
        }
        let packed = Bytes(pack(plain.get(1..).unwrap_or_default()));
        let packed = Self::Packed { packed }.encode();
        if packed.len() < plain.len() {
            packed
        } else {
            plain
        }
    }

    /// The message in the bytes of a [`Message::Packed`], with the limits of every message.
    ///
    /// # Errors
    /// The bytes unpack to more than a message may have, or to something that is not to be packed.
    pub fn unpack(packed: &Bytes) -> Result<Self, MessageError> {
        let body = unpack(&packed.0, MESSAGE_BYTES_MAX).map_err(MessageError::Packed)?;
        let message = Self::decode_body(&body)?;
        if message.may_be_packed() {
            Ok(message)
        } else {
            Err(MessageError::Malformed)
        }
    }

    const fn may_be_packed(&self) -> bool {
        matches!(self, Self::Headers { .. } | Self::Blocks { .. })
    }

    const fn check_counts(&self) -> Result<(), MessageError> {
        match self {
            Self::Status(_)
            | Self::GetPending
            | Self::GetCompactBlock { .. }
            | Self::Packed { .. }
            | Self::NewHeader { .. }
            | Self::NewBlock { .. }
            | Self::GetSnapshot { .. }
            | Self::NoSnapshot { .. } => Ok(()),
            Self::Snapshot { parts, bytes, .. } => {
                let found = *parts as usize;
                if let Err(error) = check_count("snapshot parts", found, 1, SNAPSHOT_PARTS_MAX) {
                    return Err(error);
                }
                let found = bytes.0.len();
                check_count("bytes of a snapshot part", found, 1, SNAPSHOT_PART_BYTES)
            }
            Self::GetHeaders { locator } => {
                check_count("locator entries", locator.len(), 1, LOCATOR_MAX)
            }
            Self::Headers { headers } => check_count("headers", headers.len(), 0, HEADERS_MAX),
            Self::GetBlocks { hashes } | Self::NoBlocks { hashes } => {
                check_count("block hashes", hashes.len(), 1, BLOCKS_MAX)
            }
            Self::Blocks { blocks } => check_count("blocks", blocks.len(), 1, BLOCKS_MAX),
            Self::HaveTransactions { ids } | Self::GetTransactions { ids } => {
                check_count("transaction ids", ids.len(), 1, IDS_MAX)
            }
            Self::Transactions { transactions } => {
                check_count("transactions", transactions.len(), 1, TRANSACTIONS_MAX)
            }
            Self::CompactBlock(compact) => check_count(
                "transactions",
                compact.len(),
                0,
                BLOCK_TRANSACTIONS_MAX as usize,
            ),
            Self::GetBlockTransactions { indexes, .. } => {
                check_count("places", indexes.len(), 1, BLOCK_TRANSACTIONS_MAX as usize)
            }
            Self::BlockTransactions { transactions, .. } => {
                let found = transactions.len();
                check_count("transactions", found, 1, BLOCK_TRANSACTIONS_MAX as usize)
            }
        }
    }
}

/// How urgent the message in these bytes is: new blocks and all requests first, then transactions, then history and
/// whatever is unknown here. A postcard enum begins with its variant's number.
#[must_use]
pub fn lane_of(message: &[u8]) -> Lane {
    match message.get(1) {
        Some(0 | 1 | 3 | 4 | 6 | 7 | 12..=15 | 17 | 19) => Lane::Urgent,
        Some(8..=11) => Lane::Normal,
        _ => Lane::History,
    }
}

/// What a message's bytes are counted as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// New blocks, whole, in short or by header.
    Blocks,
    /// Pending transactions.
    Transactions,
    /// Headers and bodies of sync, and requests for them.
    History,
    /// Statuses, and whatever is unknown here.
    Other,
}

/// What the message in these bytes is about.
#[must_use]
pub fn subject_of(message: &[u8]) -> Subject {
    match message.get(1) {
        Some(3 | 6 | 12..=15) => Subject::Blocks,
        Some(8..=11) => Subject::Transactions,
        Some(1 | 2 | 4 | 5 | 7 | 16..=19) => Subject::History,
        _ => Subject::Other,
    }
}

const fn check_count(
    what: &'static str,
    found: usize,
    least: usize,
    allowed: usize,
) -> Result<(), MessageError> {
    if found < least || found > allowed {
        return Err(MessageError::Count {
            what,
            found,
            least,
            allowed,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
