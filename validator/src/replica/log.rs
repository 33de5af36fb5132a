//! Records of the vote log: those of the agreement, and the blocks they are about.
//!
//! Each is its kind (1) and: 1 a record of the agreement; 2 a block that was found valid, its height (8), length (4) and
//! bytes, then per tenant block that came with it its chain id (32), length (4) and bytes.

use shared::encoding::{DecodeError, Reader, Writer};
use shared::enterprise::{EnterpriseBlock, EnterpriseHeight};
use shared::ids::ChainId;

use super::{MESSAGE_BYTES_MAX, Replica};
use crate::agreement::{Record, RecordError};
use crate::ledger::{Judgement, Timeliness};

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogRecord {
    /// Of the agreement.
    Agreement(Record),
    /// A valid block, so that it is not lost when all validators stop between voting for it and deciding it.
    Block {
        /// The height.
        height: EnterpriseHeight,
        /// The block.
        block: Vec<u8>,
        /// Tenant blocks that came with it and are not in the store.
        bodies: Vec<(ChainId, Vec<u8>)>,
    },
}

/// Why bytes are no record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LogRecordError {
    /// The bytes are malformed.
    #[error(transparent)]
    Encoding(#[from] DecodeError),
    /// The agreement's record is malformed.
    #[error(transparent)]
    Agreement(#[from] RecordError),
    /// A kind that does not exist.
    #[error("the kind {0} does not exist")]
    Kind(u8),
}

impl LogRecord {
    /// The height that it belongs to.
    #[must_use]
    pub const fn height(&self) -> EnterpriseHeight {
        match self {
            Self::Agreement(record) => record.height(),
            Self::Block { height, .. } => *height,
        }
    }

    /// The bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        match self {
            Self::Agreement(record) => {
                writer.u8(1).bytes(&record.encode());
            }
            Self::Block {
                height,
                block,
                bodies,
            } => {
                writer.u8(2).u64(height.0).counted_bytes(block);
                for (chain_id, body) in bodies {
                    writer.bytes(&chain_id.0.0).counted_bytes(body);
                }
            }
        }
        writer.finish()
    }

    /// Reads what [`Self::encode`] writes.
    ///
    /// # Errors
    /// [`LogRecordError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, LogRecordError> {
        let mut reader = Reader::new(bytes);
        match reader.u8()? {
            1 => {
                let rest = reader.bytes(reader.remaining())?;
                Ok(Self::Agreement(Record::decode(rest)?))
            }
            2 => {
                let height = EnterpriseHeight(reader.u64()?);
                let block = reader
                    .counted_bytes("the length", MESSAGE_BYTES_MAX)?
                    .to_vec();
                let mut bodies = Vec::new();
                while reader.remaining() > 0 {
                    let chain_id = ChainId(reader.hash()?);
                    let body = reader.counted_bytes("the length", MESSAGE_BYTES_MAX)?;
                    bodies.push((chain_id, body.to_vec()));
                }
                Ok(Self::Block {
                    height,
                    block,
                    bodies,
                })
            }
            other => Err(LogRecordError::Kind(other)),
        }
    }
}

impl Replica {
    /// Judges the logged blocks of a height again; answers the agreement's records of it.
    pub(super) fn take_log(
        &mut self,
        records: Vec<LogRecord>,
        next: EnterpriseHeight,
    ) -> Vec<Record> {
        let mut kept = Vec::new();
        for record in records {
            match record {
                LogRecord::Agreement(record) if record.height() == next => kept.push(record),
                LogRecord::Block {
                    height,
                    block,
                    bodies,
                } if height == next => self.take_block(&block, &bodies),
                LogRecord::Agreement(_) | LogRecord::Block { .. } => {}
            }
        }
        kept
    }

    fn take_block(&mut self, block: &[u8], bodies: &[(ChainId, Vec<u8>)]) {
        for (chain_id, body) in bodies {
            if let Err(error) = self.ledger.add_body(*chain_id, body) {
                tracing::warn!(%error, "a logged tenant block is not taken");
            }
        }
        let limits = self.ledger.genesis().blocks();
        let judgement = match EnterpriseBlock::decode(block, limits) {
            Ok(block) => self.ledger.judge(block, Timeliness::Synced),
            Err(error) => Judgement::Invalid(error.to_string()),
        };
        if !matches!(judgement, Judgement::Valid(_)) {
            // If it was decided, the others have it.
            tracing::warn!(?judgement, "a logged block is not valid any more");
        }
    }
}
