//! What one validator sends another, in bytes: the kind (1), then
//!
//! | kind | name | content |
//! | ---: | --- | --- |
//! | 1 | status | height (8) and hash (32) of the newest decided block |
//! | 2 | agreement | [`agreement::Message`] |
//! | 3 | block | round (4), an undecided block |
//! | 4 | update | ticket (8), then per tenant: genesis (4 + n), number of blocks (4), blocks (4 + n each) |
//! | 5 | stored | ticket (8): what the update of this ticket brought is durable here |
//! | 6 | get bodies | number (2), then chain id (32) and block hash (32) each |
//! | 7 | bodies | number (2), then chain id (32) and block (4 + n) each |
//! | 8 | get blocks | the first height (8) |
//! | 9 | blocks | number (2), then certificate (4 + n), block (4 + n), number of bodies (4), bodies (4 + n each) |
//! | 10 | set change | a [`SetChange`] that a quorum signed |
//! | 11 | snapshot vote | height (8), root of a snapshot's manifest (32), the sender's signature over it (64) |
//! | 12 | get snapshot | nothing |
//! | 13 | snapshot | a [`SnapshotProof`](shared::enterprise::SnapshotProof), or nothing |
//! | 14 | get chunk | the snapshot's height (8), index (4) |
//! | 15 | chunk | the snapshot's height (8), index (4), the chunk, or nothing |
//! | 16 | reset | ticket (8), a [`Reset`] that the sender accepted |
//!
//! A tenant block is a whole one, or a report with the sealed body after it; of the latter the block hash (kind 6) is the report's id.
//!
//! # Limits
//! A message has [`MESSAGE_BYTES_MAX`]; lists have [`KEYS_MAX`] or [`BLOCKS_MAX`] elements.

use shared::encoding::{DecodeError, Reader, Writer};
use shared::enterprise::{EnterpriseError, EnterpriseHeight, Reset, SetChange};
use shared::hash::Hash;
use shared::ids::{ChainId, Signature};

use crate::agreement::{self, MessageError};
use crate::store::BodyKey;

/// Bytes of a message.
pub const MESSAGE_BYTES_MAX: u32 = 16 << 20;
/// Bodies that are asked for or sent at once.
pub const KEYS_MAX: u16 = 4_096;
/// Blocks that are sent at once.
pub const BLOCKS_MAX: u16 = 256;
/// Bytes after which an answer takes no further element.
pub const ANSWER_BYTES: usize = 4 << 20;

/// A message to another validator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Where the sender stands; also its heartbeat.
    Status {
        /// The newest decided height.
        height: EnterpriseHeight,
        /// Its hash.
        hash: Hash,
    },
    /// About a height that is being decided.
    Agreement(agreement::Message),
    /// A block that is or will be proposed.
    Block {
        /// In which round.
        round: u32,
        /// Its bytes.
        block: Vec<u8>,
    },
    /// Tenant blocks that the sender accepted.
    Update {
        /// Named in the answer; 0 wants none.
        ticket: u64,
        /// The blocks by tenant.
        tenants: Vec<TenantBlocks>,
    },
    /// The answer to an update.
    Stored {
        /// The update's.
        ticket: u64,
    },
    /// Asks for tenant blocks.
    GetBodies(Vec<BodyKey>),
    /// Tenant blocks.
    Bodies(Vec<(ChainId, Vec<u8>)>),
    /// Asks for decided blocks.
    GetBlocks {
        /// The first.
        from: EnterpriseHeight,
    },
    /// Decided blocks, ascending.
    Blocks(Vec<SyncedBlock>),
    /// A change of the validator set, for the next block.
    SetChange(Box<SetChange>),
    /// The sender has made this snapshot.
    SnapshotVote {
        /// The snapshot's height.
        height: EnterpriseHeight,
        /// The root of its manifest.
        root: Hash,
        /// The sender's signature over the root.
        signature: Signature,
    },
    /// Asks for the newest snapshot that a quorum signed.
    GetSnapshot,
    /// Its proof; nothing if there is none.
    Snapshot(Vec<u8>),
    /// Asks for a part of a snapshot.
    GetChunk {
        /// The snapshot's height.
        height: EnterpriseHeight,
        /// Which part.
        index: u32,
    },
    /// A reset of a private tenant that the sender accepted.
    Reset {
        /// Named in the answer; 0 wants none.
        ticket: u64,
        /// The reset.
        reset: Box<Reset>,
    },
    /// A part of a snapshot; nothing if it is not there.
    Chunk {
        /// The snapshot's height.
        height: EnterpriseHeight,
        /// Which part.
        index: u32,
        /// The bytes.
        bytes: Vec<u8>,
    },
}

/// Blocks of one tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantBlocks {
    /// The tenant's genesis.
    pub genesis: Vec<u8>,
    /// The blocks, oldest first.
    pub blocks: Vec<Vec<u8>>,
}

/// A decided block as it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncedBlock {
    /// The certificate.
    pub certificate: Vec<u8>,
    /// The block.
    pub block: Vec<u8>,
    /// The bodies that it anchors, in order; the last ones may be missing.
    pub bodies: Vec<Vec<u8>>,
}

/// Why bytes are no message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// The bytes are malformed.
    #[error(transparent)]
    Encoding(#[from] DecodeError),
    /// The agreement's message in it is malformed.
    #[error(transparent)]
    Agreement(#[from] MessageError),
    /// The set change in it is malformed.
    #[error(transparent)]
    SetChange(#[from] EnterpriseError),
    /// A kind that does not exist.
    #[error("the kind {0} does not exist")]
    Kind(u8),
    /// Too many elements.
    #[error("{found} elements, allowed are {allowed}")]
    TooMany {
        /// How many there are.
        found: u32,
        /// How many may be.
        allowed: u32,
    },
}

impl Message {
    /// The bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        match self {
            Self::Status { height, hash } => {
                writer.u8(1).u64(height.0).bytes(&hash.0);
            }
            Self::Agreement(message) => {
                writer.u8(2).bytes(&message.encode());
            }
            Self::Block { round, block } => {
                writer.u8(3).u32(*round).bytes(block);
            }
            Self::Update { ticket, tenants } => {
                writer.u8(4).u64(*ticket);
                for tenant in tenants {
                    writer.counted_bytes(&tenant.genesis);
                    write_list(&mut writer, &tenant.blocks);
                }
            }
            Self::Stored { ticket } => {
                writer.u8(5).u64(*ticket);
            }
            Self::GetBodies(keys) => {
                writer.u8(6).u16(count(keys.len()));
                for (chain_id, hash) in keys {
                    writer.bytes(&chain_id.0.0).bytes(&hash.0);
                }
            }
            Self::Bodies(bodies) => {
                writer.u8(7).u16(count(bodies.len()));
                for (chain_id, bytes) in bodies {
                    writer.bytes(&chain_id.0.0).counted_bytes(bytes);
                }
            }
            Self::GetBlocks { from } => {
                writer.u8(8).u64(from.0);
            }
            Self::Blocks(blocks) => {
                writer.u8(9).u16(count(blocks.len()));
                for block in blocks {
                    writer.counted_bytes(&block.certificate);
                    writer.counted_bytes(&block.block);
                    write_list(&mut writer, &block.bodies);
                }
            }
            Self::SetChange(change) => {
                writer.u8(10).bytes(&change.encode());
            }
            Self::Reset { ticket, reset } => {
                writer.u8(16).u64(*ticket).bytes(&reset.encode());
            }
            Self::SnapshotVote { .. }
            | Self::GetSnapshot
            | Self::Snapshot(_)
            | Self::GetChunk { .. }
            | Self::Chunk { .. } => self.write_snapshot(&mut writer),
        }
        writer.finish()
    }

    /// Reads what [`Self::encode`] writes.
    ///
    /// # Errors
    /// [`WireError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(bytes);
        let message = match reader.u8()? {
            1 => Self::Status {
                height: EnterpriseHeight(reader.u64()?),
                hash: reader.hash()?,
            },
            2 => {
                let rest = reader.bytes(reader.remaining())?;
                Self::Agreement(agreement::Message::decode(rest)?)
            }
            3 => Self::Block {
                round: reader.u32()?,
                block: reader.bytes(reader.remaining())?.to_vec(),
            },
            4 => read_update(&mut reader)?,
            5 => Self::Stored {
                ticket: reader.u64()?,
            },
            6 => {
                let mut keys = Vec::new();
                for _ in 0..read_count(&mut reader, KEYS_MAX)? {
                    keys.push((ChainId(reader.hash()?), reader.hash()?));
                }
                Self::GetBodies(keys)
            }
            7 => {
                let mut bodies = Vec::new();
                for _ in 0..read_count(&mut reader, KEYS_MAX)? {
                    let chain_id = ChainId(reader.hash()?);
                    bodies.push((chain_id, read_bytes(&mut reader)?));
                }
                Self::Bodies(bodies)
            }
            8 => Self::GetBlocks {
                from: EnterpriseHeight(reader.u64()?),
            },
            9 => {
                let mut blocks = Vec::new();
                for _ in 0..read_count(&mut reader, BLOCKS_MAX)? {
                    blocks.push(SyncedBlock {
                        certificate: read_bytes(&mut reader)?,
                        block: read_bytes(&mut reader)?,
                        bodies: read_list(&mut reader)?,
                    });
                }
                Self::Blocks(blocks)
            }
            10 => {
                let rest = reader.bytes(reader.remaining())?;
                Self::SetChange(Box::new(SetChange::decode(rest)?))
            }
            16 => Self::Reset {
                ticket: reader.u64()?,
                reset: Box::new(Reset::decode(reader.bytes(Reset::BYTES)?)?),
            },
            kind => Self::read_snapshot(kind, &mut reader)?,
        };
        reader.finish()?;
        Ok(message)
    }

    /// Writes one of the messages about snapshots.
    fn write_snapshot(&self, writer: &mut Writer) {
        match self {
            Self::SnapshotVote {
                height,
                root,
                signature,
            } => {
                writer.u8(11).u64(height.0).bytes(&root.0);
                writer.bytes(&signature.0);
            }
            Self::Snapshot(proof) => {
                writer.u8(13).bytes(proof);
            }
            Self::GetChunk { height, index } => {
                writer.u8(14).u64(height.0).u32(*index);
            }
            Self::Chunk {
                height,
                index,
                bytes,
            } => {
                writer.u8(15).u64(height.0).u32(*index).bytes(bytes);
            }
            Self::GetSnapshot
            | Self::Status { .. }
            | Self::Agreement(_)
            | Self::Block { .. }
            | Self::Update { .. }
            | Self::Stored { .. }
            | Self::GetBodies(_)
            | Self::Bodies(_)
            | Self::GetBlocks { .. }
            | Self::Blocks(_)
            | Self::SetChange(_)
            | Self::Reset { .. } => {
                writer.u8(12);
            }
        }
    }

    fn read_snapshot(kind: u8, reader: &mut Reader<'_>) -> Result<Self, WireError> {
        match kind {
            11 => Ok(Self::SnapshotVote {
                height: EnterpriseHeight(reader.u64()?),
                root: reader.hash()?,
                signature: reader.signature()?,
            }),
            12 => Ok(Self::GetSnapshot),
            13 => Ok(Self::Snapshot(reader.bytes(reader.remaining())?.to_vec())),
            14 => Ok(Self::GetChunk {
                height: EnterpriseHeight(reader.u64()?),
                index: reader.u32()?,
            }),
            15 => Ok(Self::Chunk {
                height: EnterpriseHeight(reader.u64()?),
                index: reader.u32()?,
                bytes: reader.bytes(reader.remaining())?.to_vec(),
            }),
            other => Err(WireError::Kind(other)),
        }
    }
}

fn count(length: usize) -> u16 {
    u16::try_from(length).unwrap_or(u16::MAX)
}

fn write_list(writer: &mut Writer, list: &[Vec<u8>]) {
    writer.u32(u32::try_from(list.len()).unwrap_or(u32::MAX));
    for bytes in list {
        writer.counted_bytes(bytes);
    }
}

fn read_count(reader: &mut Reader<'_>, allowed: u16) -> Result<u16, WireError> {
    let found = reader.u16()?;
    if found > allowed {
        return Err(WireError::TooMany {
            found: found.into(),
            allowed: allowed.into(),
        });
    }
    Ok(found)
}

fn read_bytes(reader: &mut Reader<'_>) -> Result<Vec<u8>, WireError> {
    Ok(reader
        .counted_bytes("the length", MESSAGE_BYTES_MAX)?
        .to_vec())
}

fn read_list(reader: &mut Reader<'_>) -> Result<Vec<Vec<u8>>, WireError> {
    let found = reader.u32()?;
    // Each has its length before it, so that the bytes that are there bound the number.
    let allowed = u32::try_from(reader.remaining() / 4).unwrap_or(u32::MAX);
    if found > allowed {
        return Err(WireError::TooMany { found, allowed });
    }
    (0..found).map(|_| read_bytes(reader)).collect()
}

fn read_update(reader: &mut Reader<'_>) -> Result<Message, WireError> {
    let ticket = reader.u64()?;
    let mut tenants = Vec::new();
    while reader.remaining() > 0 {
        tenants.push(TenantBlocks {
            genesis: read_bytes(reader)?,
            blocks: read_list(reader)?,
        });
    }
    Ok(Message::Update { ticket, tenants })
}
