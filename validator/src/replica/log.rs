//! Records of the vote log: those of the agreement, and the blocks they are about.
//!
//! Each is its kind (1) and: 1 a record of the agreement; 2 a block that was found valid, its height (8), length (4) and
//! bytes, then per tenant block that came with it its chain id (32), length (4) and bytes; 3 accepted tenant blocks: number
//! of new tenants (4), their geneses (4 + n each), then per block its chain id (32), length (4) and bytes; 4 an accepted
//! reset of a private tenant. A tenant block is a whole one, or a report with the sealed body after it.

use std::collections::BTreeMap;
use std::sync::Arc;

use shared::encoding::{DecodeError, Reader, Writer};
use shared::enterprise::{EnterpriseBlock, EnterpriseHeight, Reset};
use shared::genesis::Genesis;
use shared::ids::ChainId;

use super::{MESSAGE_BYTES_MAX, Replica};
use crate::agreement::{Record, RecordError};
use crate::body::UncheckedBody;
use crate::ledger::{Judgement, Submission, Timeliness};

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
    /// Tenant blocks that were accepted and may not be in the store yet.
    Accepted {
        /// Of tenants that were not known.
        geneses: Vec<Vec<u8>>,
        /// The blocks, each after its parent.
        bodies: Vec<(ChainId, Vec<u8>)>,
    },
    /// A reset that was accepted and may not be in the store yet.
    Reset(Vec<u8>),
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
    /// The height that it belongs to, if it is about one.
    #[must_use]
    pub const fn height(&self) -> Option<EnterpriseHeight> {
        match self {
            Self::Agreement(record) => Some(record.height()),
            Self::Block { height, .. } => Some(*height),
            Self::Accepted { .. } | Self::Reset(_) => None,
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
                write_bodies(&mut writer, bodies);
            }
            Self::Accepted { geneses, bodies } => {
                let count = u32::try_from(geneses.len()).unwrap_or(u32::MAX);
                writer.u8(3).u32(count);
                for genesis in geneses {
                    writer.counted_bytes(genesis);
                }
                write_bodies(&mut writer, bodies);
            }
            Self::Reset(reset) => {
                writer.u8(4).bytes(reset);
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
                let bodies = read_bodies(&mut reader)?;
                Ok(Self::Block {
                    height,
                    block,
                    bodies,
                })
            }
            3 => {
                let mut geneses = Vec::new();
                for _ in 0..reader.u32()? {
                    let genesis = reader.counted_bytes("the length", MESSAGE_BYTES_MAX)?;
                    geneses.push(genesis.to_vec());
                }
                let bodies = read_bodies(&mut reader)?;
                Ok(Self::Accepted { geneses, bodies })
            }
            4 => Ok(Self::Reset(reader.bytes(reader.remaining())?.to_vec())),
            other => Err(LogRecordError::Kind(other)),
        }
    }
}

fn write_bodies(writer: &mut Writer, bodies: &[(ChainId, Vec<u8>)]) {
    for (chain_id, body) in bodies {
        writer.bytes(&chain_id.0.0).counted_bytes(body);
    }
}

fn read_bodies(reader: &mut Reader<'_>) -> Result<Vec<(ChainId, Vec<u8>)>, DecodeError> {
    let mut bodies = Vec::new();
    while reader.remaining() > 0 {
        let chain_id = ChainId(reader.hash()?);
        let body = reader.counted_bytes("the length", MESSAGE_BYTES_MAX)?;
        bodies.push((chain_id, body.to_vec()));
    }
    Ok(bodies)
}

impl Replica {
    /// Accepts again what the log says was accepted.
    pub(super) fn take_accepted(&mut self) {
        let (mut rest, mut accepted, mut resets) = (Vec::new(), Vec::new(), Vec::new());
        for record in std::mem::take(&mut self.log_tail) {
            match record {
                LogRecord::Accepted { geneses, bodies } => accepted.push((geneses, bodies)),
                LogRecord::Reset(reset) => resets.push(reset),
                other @ (LogRecord::Agreement(_) | LogRecord::Block { .. }) => rest.push(other),
            }
        }
        self.log_tail = rest;
        let mut known: BTreeMap<ChainId, Arc<Genesis>> = BTreeMap::new();
        for (geneses, bodies) in accepted {
            for genesis in geneses
                .iter()
                .filter_map(|bytes| Genesis::decode(bytes).ok())
            {
                known.insert(genesis.chain_id(), Arc::new(genesis));
            }
            for (chain_id, bytes) in bodies {
                self.accept_again(&known, chain_id, &bytes);
            }
        }
        for bytes in resets {
            match Reset::decode(&bytes) {
                Ok(reset) => self.ledger.replay_reset(reset),
                Err(error) => tracing::warn!(%error, "a logged reset is malformed"),
            }
        }
        self.spread.logged_all(self.ledger.batch());
    }

    fn accept_again(
        &mut self,
        known: &BTreeMap<ChainId, Arc<Genesis>>,
        chain_id: ChainId,
        bytes: &[u8],
    ) {
        let tenant = self.ledger.tenants().get(&chain_id);
        let genesis = tenant
            .map(|tenant| tenant.genesis())
            .or_else(|| known.get(&chain_id));
        let (Some(genesis), Ok(body)) = (genesis.cloned(), UncheckedBody::decode(bytes)) else {
            return;
        };
        // It was not too early when it was accepted.
        let at = self.ledger.verifier().time().max(body.header().timestamp);
        let Ok(block) = body.check_archived(&genesis) else {
            return;
        };
        let blocks = vec![block];
        let submission = Submission {
            genesis,
            chain_id,
            blocks,
        };
        if let Err(error) = self.ledger.accept(at, submission) {
            tracing::debug!(%chain_id, %error, "a logged tenant block no longer fits");
        }
    }

    /// Judges the logged blocks of a height again; answers the agreement's records of it.
    pub(super) fn take_log(&mut self, next: EnterpriseHeight) -> Vec<Record> {
        let mut kept = Vec::new();
        for record in std::mem::take(&mut self.log_tail) {
            match record {
                LogRecord::Agreement(record) if record.height() == next => kept.push(record),
                LogRecord::Block {
                    height,
                    block,
                    bodies,
                } if height == next => self.take_block(&block, &bodies),
                later if later.height().is_some_and(|height| height > next) => {
                    self.log_tail.push(later);
                }
                LogRecord::Agreement(_)
                | LogRecord::Block { .. }
                | LogRecord::Accepted { .. }
                | LogRecord::Reset(_) => {}
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
