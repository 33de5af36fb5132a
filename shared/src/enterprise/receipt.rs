//! The receipt: what proves, with nothing but a trust root, that a tenant's block (and a transaction in it) is final.
//!
//! | bytes | field |
//! | ---: | --- |
//! | 2 | format: 1, or 2 for a block that became final after a reset |
//! | 4 | only in format 2: the resets before it, 1 or more |
//! | 1 | 1 if a transaction is named, 0 if not; if it is: |
//! | 32 | its id |
//! | 1 + n × 33 | its path in the tenant block's body: count, then per step the side (0 left, 1 right) and the hash |
//! | 32 | tenant chain id |
//! | 116 | tenant header |
//! | 32 | cumulative work up to it |
//! | 8 | its index in the log of final heights |
//! | 1 + n × 32 | its audit path in that log: count and hashes, lowest first |
//! | 248 | enterprise header with the log's size and root |
//! | 4 + n | certificate of that header: its length and its bytes |
//!
//! Every byte is bound: changing one changes a hash, a signature or the layout. [`Receipt::decode`] says that bytes are a
//! receipt, [`Receipt::verify`] that what it claims is so; there is no other way to a [`Final`].

use alloc::vec::Vec;

use super::certificate::Certificate;
use super::checkpoint::{Checkpoint, Trust};
use super::error::EnterpriseError;
use super::finality::FinalBlock;
use super::header::{EnterpriseHeader, EnterpriseHeight};
use crate::block::transaction_leaf;
use crate::encoding::{DecodeError, Reader, Writer};
use crate::hash::Hash;
use crate::header::{HEADER_BYTES, Header};
use crate::ids::{ChainId, PublicKey, Work};
use crate::merkle::{self, ProofError, Side};

/// The most steps of a path in a body or a log: more than any tree of 2⁶³ leaves has.
const PATH_MAX: usize = 64;
/// The bytes of a certificate at most: 128 signatures.
pub(super) const CERTIFICATE_BYTES_MAX: u32 = 46 + 128 * 66;
/// The bytes of a receipt at most.
pub const RECEIPT_BYTES_MAX: usize = 16 << 10;

const FORMAT: u16 = 1;
const FORMAT_AFTER_RESETS: u16 = 2;

/// A claim that a tenant's block is final, with its proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// A transaction in the block, with its path in the body.
    pub transaction: Option<(Hash, Vec<(Side, Hash)>)>,
    /// The tenant.
    pub chain_id: ChainId,
    /// The tenant's header.
    pub header: Header,
    /// The work of all blocks up to it.
    pub work: Work,
    /// Resets of the tenant before it became final.
    pub resets: u32,
    /// Its place in the log.
    pub index: u64,
    /// Its audit path there.
    pub path: Vec<Hash>,
    /// The enterprise header that commits to the log, with its certificate.
    pub checkpoint: Checkpoint,
}

/// What a verified receipt proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Final {
    block: FinalBlock,
    transaction: Option<Hash>,
    height: EnterpriseHeight,
    signers: Vec<PublicKey>,
}

impl Final {
    /// The final block.
    #[must_use]
    pub const fn block(&self) -> &FinalBlock {
        &self.block
    }

    /// The transaction in it, if one was named.
    #[must_use]
    pub const fn transaction(&self) -> Option<&Hash> {
        self.transaction.as_ref()
    }

    /// The enterprise height that proves it.
    #[must_use]
    pub const fn height(&self) -> EnterpriseHeight {
        self.height
    }

    /// The validators that signed.
    #[must_use]
    pub fn signers(&self) -> &[PublicKey] {
        &self.signers
    }
}

/// A receipt proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiptError {
    /// The bytes are not a receipt.
    #[error(transparent)]
    Enterprise(#[from] EnterpriseError),
    /// The format is not known.
    #[error("receipt format {found}, this program knows 1 and 2")]
    Format {
        /// The format found.
        found: u16,
    },
    /// It is too long.
    #[error("a receipt of {found} bytes, allowed are {allowed}")]
    TooLarge {
        /// Its length.
        found: usize,
        /// The most.
        allowed: usize,
    },
    /// The transaction is not in the block.
    #[error("the transaction is not in the block: {0}")]
    Transaction(ProofError),
    /// The block, or the reset, is not in the log.
    #[error("it is not in the log of final heights: {0}")]
    Log(ProofError),
}

impl From<DecodeError> for ReceiptError {
    fn from(error: DecodeError) -> Self {
        Self::Enterprise(error.into())
    }
}

impl Receipt {
    /// The bytes described above.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        if self.resets == 0 {
            writer.u16(FORMAT);
        } else {
            writer.u16(FORMAT_AFTER_RESETS).u32(self.resets);
        }
        match &self.transaction {
            None => {
                writer.u8(0);
            }
            Some((id, path)) => {
                writer.u8(1).bytes(&id.0).u8(count(path.len()));
                for (side, hash) in path {
                    writer.u8(u8::from(*side == Side::Right)).bytes(&hash.0);
                }
            }
        }
        writer
            .bytes(&self.chain_id.0.0)
            .bytes(&self.header.encode())
            .bytes(&self.work.to_be_bytes())
            .u64(self.index)
            .u8(count(self.path.len()));
        for hash in &self.path {
            writer.bytes(&hash.0);
        }
        writer
            .bytes(&self.checkpoint.header.encode())
            .counted_bytes(&self.checkpoint.certificate.encode());
        writer.finish()
    }

    /// Reads a receipt; it proves nothing before [`Self::verify`].
    ///
    /// # Errors
    /// [`ReceiptError`] when the bytes are not in the one layout.
    pub fn decode(bytes: &[u8]) -> Result<Self, ReceiptError> {
        let (found, allowed) = (bytes.len(), RECEIPT_BYTES_MAX);
        if found > allowed {
            return Err(ReceiptError::TooLarge { found, allowed });
        }
        let mut reader = Reader::new(bytes);
        let resets = read_format(&mut reader)?;
        let transaction = match flag(&mut reader, "the transaction's flag")? {
            false => None,
            true => Some((reader.hash()?, read_sides(&mut reader)?)),
        };
        let chain_id = ChainId(reader.hash()?);
        let header = Header::decode(reader.bytes(HEADER_BYTES)?)?;
        let work = Work::from_be_bytes(reader.array()?);
        let index = reader.u64()?;
        let mut path = Vec::new();
        for _ in 0..read_steps(&mut reader)? {
            path.push(reader.hash()?);
        }
        let enterprise = EnterpriseHeader::decode(reader.bytes(EnterpriseHeader::BYTES)?)?;
        let certificate =
            reader.counted_bytes("the length of a certificate", CERTIFICATE_BYTES_MAX)?;
        let certificate = Certificate::decode(certificate)?;
        reader.finish()?;
        Ok(Self {
            transaction,
            chain_id,
            header,
            work,
            resets,
            index,
            path,
            checkpoint: Checkpoint {
                header: enterprise,
                certificate,
            },
        })
    }

    /// Verifies everything that the receipt claims, hashes before signatures.
    ///
    /// # Errors
    /// [`ReceiptError`] naming what does not hold.
    pub fn verify(&self, trust: &Trust) -> Result<Final, ReceiptError> {
        if let Some((id, path)) = &self.transaction {
            merkle::verify_path(&transaction_leaf(id), path, &self.header.body_root)
                .map_err(ReceiptError::Transaction)?;
        }
        let (height, hash) = (self.header.height, self.header.hash());
        let block = FinalBlock::executed(self.chain_id, height, hash, self.work, self.resets);
        let EnterpriseHeader {
            log_size, log_root, ..
        } = &self.checkpoint.header;
        merkle::verify_inclusion(self.index, *log_size, &block.leaf(), &self.path, log_root)
            .map_err(ReceiptError::Log)?;
        let signers = self.checkpoint.verify(trust)?;
        Ok(Final {
            block,
            transaction: self.transaction.as_ref().map(|(id, _)| *id),
            height: self.checkpoint.header.height,
            signers,
        })
    }
}

fn read_format(reader: &mut Reader<'_>) -> Result<u32, ReceiptError> {
    match reader.u16()? {
        FORMAT => Ok(0),
        FORMAT_AFTER_RESETS => match reader.u32()? {
            0 => Err(EnterpriseError::Range {
                field: "the resets before a final block",
                found: 0,
                allowed: "1 and more in format 2",
            }
            .into()),
            resets => Ok(resets),
        },
        found => Err(ReceiptError::Format { found }),
    }
}

fn count(len: usize) -> u8 {
    u8::try_from(len).unwrap_or(u8::MAX)
}

pub(super) fn read_steps(reader: &mut Reader<'_>) -> Result<u8, ReceiptError> {
    let found = reader.u8()?;
    if usize::from(found) > PATH_MAX {
        return Err(EnterpriseError::Range {
            field: "the steps of a path",
            found: found.into(),
            allowed: "0 to 64",
        }
        .into());
    }
    Ok(found)
}

fn flag(reader: &mut Reader<'_>, field: &'static str) -> Result<bool, ReceiptError> {
    match reader.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        found => Err(EnterpriseError::Range {
            field,
            found: found.into(),
            allowed: "0 or 1",
        }
        .into()),
    }
}

fn read_sides(reader: &mut Reader<'_>) -> Result<Vec<(Side, Hash)>, ReceiptError> {
    let mut path = Vec::new();
    for _ in 0..read_steps(reader)? {
        let side = if flag(reader, "the side of a step")? {
            Side::Right
        } else {
            Side::Left
        };
        path.push((side, reader.hash()?));
    }
    Ok(path)
}
