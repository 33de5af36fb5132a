//! Finality as a tenant's node takes it: the newest block of its chain that can't be replaced any more.
//!
//! Encoded: chain id (32), height (4), header hash (32), cumulative work (32), and, if the tenant was reset before, the
//! number of its resets (4): the fields of one entry of the enterprise log. A [`FinalBlock`] is a statement that was verified, so strangers' bytes are never read as one: it comes from a
//! checkpoint, that is from bytes this node stored after verifying them or that an invite carries (PROTOCOL §4, trust
//! root). No message of a peer holds one.

use alloc::vec::Vec;

use super::error::EnterpriseError;
use crate::encoding::{Reader, Writer};
use crate::hash::Hash;
use crate::ids::{ChainId, Height, Work};
use crate::merkle;

/// A tenant's block that is final: verified, and therefore without public fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FinalBlock {
    chain_id: ChainId,
    height: Height,
    hash: Hash,
    work: Work,
    resets: u32,
}

impl FinalBlock {
    /// Reads a checkpoint whose source is trusted: the own store, or an invite.
    ///
    /// # Errors
    /// [`EnterpriseError`] when the bytes are not in the one layout or name the genesis.
    pub fn from_checkpoint(bytes: &[u8]) -> Result<Self, EnterpriseError> {
        let mut reader = Reader::new(bytes);
        let chain_id = ChainId(reader.hash()?);
        let height = Height(reader.u32()?);
        let hash = reader.hash()?;
        let work = Work::from_be_bytes(reader.array()?);
        let resets = read_resets(&mut reader)?;
        reader.finish()?;
        if height == Height::GENESIS {
            return Err(EnterpriseError::Range {
                field: "the height of a final block",
                found: 0,
                allowed: "1 and more",
            });
        }
        Ok(Self {
            chain_id,
            height,
            hash,
            work,
            resets,
        })
    }

    /// A block that the rules of finality made final.
    pub(super) const fn executed(
        chain_id: ChainId,
        height: Height,
        hash: Hash,
        work: Work,
        resets: u32,
    ) -> Self {
        Self {
            chain_id,
            height,
            hash,
            work,
            resets,
        }
    }

    /// Its leaf in the log of final heights: `distli/enterprise/final/1`, or `…/2` after a reset, and its bytes.
    #[must_use]
    pub fn leaf(&self) -> Hash {
        let tag: &[u8] = if self.resets == 0 {
            b"distli/enterprise/final/1"
        } else {
            b"distli/enterprise/final/2"
        };
        merkle::leaf_hash(&[tag, &self.encode()])
    }

    /// The bytes described above.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::with_capacity(104);
        writer
            .bytes(&self.chain_id.0.0)
            .u32(self.height.0)
            .bytes(&self.hash.0)
            .bytes(&self.work.to_be_bytes());
        if self.resets > 0 {
            writer.u32(self.resets);
        }
        writer.finish()
    }

    /// The tenant.
    #[must_use]
    pub const fn chain_id(&self) -> ChainId {
        self.chain_id
    }

    /// The block's height, 1 or more.
    #[must_use]
    pub const fn height(&self) -> Height {
        self.height
    }

    /// The block's hash.
    #[must_use]
    pub const fn hash(&self) -> Hash {
        self.hash
    }

    /// The work of all blocks up to it.
    #[must_use]
    pub const fn work(&self) -> Work {
        self.work
    }

    /// How often the tenant had been reset when it became final.
    #[must_use]
    pub const fn resets(&self) -> u32 {
        self.resets
    }

    /// Whether the enterprise chain said this after the other: more resets, or none between and a greater height.
    #[must_use]
    pub fn is_after(&self, other: &Self) -> bool {
        (self.resets, self.height) > (other.resets, other.height)
    }
}

fn read_resets(reader: &mut Reader<'_>) -> Result<u32, EnterpriseError> {
    if reader.remaining() == 0 {
        return Ok(0);
    }
    match reader.u32()? {
        0 => Err(EnterpriseError::Range {
            field: "the resets before a final block",
            found: 0,
            allowed: "1 and more where they are named",
        }),
        resets => Ok(resets),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_has_one_layout_and_names_no_genesis() {
        let mut bytes = [7; 100];
        let block = FinalBlock::from_checkpoint(&bytes).unwrap();
        assert_eq!(block.encode(), bytes);
        assert_eq!(block.height(), Height(0x0707_0707));
        assert!(FinalBlock::from_checkpoint(&bytes[..99]).is_err());
        assert!(FinalBlock::from_checkpoint(&[7; 101]).is_err());
        let after_resets = FinalBlock::from_checkpoint(&[7; 104]).unwrap();
        assert_eq!(after_resets.encode(), [7; 104]);
        assert_ne!(after_resets.leaf(), block.leaf());
        assert!(after_resets.is_after(&block) && !block.is_after(&after_resets));
        let none = [[7; 100].as_slice(), &[0; 4]].concat();
        assert!(FinalBlock::from_checkpoint(&none).is_err());
        bytes[32..36].fill(0);
        assert!(matches!(
            FinalBlock::from_checkpoint(&bytes),
            Err(EnterpriseError::Range { .. })
        ));
    }
}
