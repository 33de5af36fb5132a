//! The receipt of a reset: what proves, with nothing but a trust root and the tenant's genesis, that a final suffix is void.
//!
//! | bytes | field |
//! | ---: | --- |
//! | 2 | format 1 |
//! | 138 | the reset ([`Reset`]) |
//! | 8 | its index in the log of final heights |
//! | 1 + n × 32 | its audit path there: count and hashes, lowest first |
//! | to the end | the checkpoint of the header with the log's size and root ([`Checkpoint`]) |

use alloc::vec::Vec;

use super::checkpoint::{Checkpoint, Trust};
use super::error::EnterpriseError;
use super::finality::FinalBlock;
use super::receipt::{RECEIPT_BYTES_MAX, ReceiptError, read_steps};
use super::reset::Reset;
use crate::encoding::{Reader, Writer};
use crate::genesis::Genesis;
use crate::hash::Hash;
use crate::ids::{Height, Work};
use crate::merkle;

const FORMAT: u16 = 1;

/// A claim that a reset was executed, with its proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResetReceipt {
    /// The reset.
    pub reset: Reset,
    /// Its place in the log.
    pub index: u64,
    /// Its audit path there.
    pub path: Vec<Hash>,
    /// The enterprise header that commits to the log, with its certificate.
    pub checkpoint: Checkpoint,
}

/// A reset that was executed: verified, and therefore without public fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Executed {
    reset: Reset,
}

impl Executed {
    /// For tests of what follows from it.
    #[cfg(test)]
    pub(crate) const fn assumed(reset: Reset) -> Self {
        Self { reset }
    }

    /// The reset.
    #[must_use]
    pub const fn reset(&self) -> &Reset {
        &self.reset
    }

    /// What stays final below it: a block that was final before; none for the genesis, or for what it voids.
    #[must_use]
    pub fn stays_final(&self, height: Height, hash: Hash, work: Work) -> Option<FinalBlock> {
        let Reset {
            chain_id, number, ..
        } = self.reset;
        let stays = height > Height::GENESIS && height < self.reset.from;
        stays.then(|| FinalBlock::executed(chain_id, height, hash, work, number))
    }

    /// Whether it voids a block that had become final before.
    #[must_use]
    pub fn voids(&self, block: &FinalBlock) -> bool {
        block.chain_id() == self.reset.chain_id
            && block.resets() < self.reset.number
            && block.height() >= self.reset.from
    }
}

impl ResetReceipt {
    /// The bytes described above.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer
            .u16(FORMAT)
            .bytes(&self.reset.encode())
            .u64(self.index)
            .u8(u8::try_from(self.path.len()).unwrap_or(u8::MAX));
        for hash in &self.path {
            writer.bytes(&hash.0);
        }
        writer.bytes(&self.checkpoint.encode());
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
        let found = reader.u16()?;
        if found != FORMAT {
            return Err(ReceiptError::Format { found });
        }
        let reset = Reset::decode(reader.bytes(Reset::BYTES)?)?;
        let index = reader.u64()?;
        let mut path = Vec::new();
        for _ in 0..read_steps(&mut reader)? {
            path.push(reader.hash()?);
        }
        let checkpoint = Checkpoint::decode(reader.bytes(reader.remaining())?)?;
        Ok(Self {
            reset,
            index,
            path,
            checkpoint,
        })
    }

    /// Verifies that the owner signed the reset and that a quorum executed it.
    ///
    /// # Errors
    /// [`ReceiptError`] naming what does not hold.
    pub fn verify(&self, tenant: &Genesis, trust: &Trust) -> Result<Executed, ReceiptError> {
        if !self.reset.is_of(tenant) {
            return Err(EnterpriseError::NotTheOwner(self.reset.chain_id).into());
        }
        let header = &self.checkpoint.header;
        let leaf = self.reset.leaf();
        merkle::verify_inclusion(
            self.index,
            header.log_size,
            &leaf,
            &self.path,
            &header.log_root,
        )
        .map_err(ReceiptError::Log)?;
        self.checkpoint.verify(trust)?;
        Ok(Executed {
            reset: self.reset.clone(),
        })
    }
}
