//! Entries: what an enterprise block says happened, and the tenant state that follows from them.
//!
//! | kind | content |
//! | ---: | --- |
//! | 1 | a tenant is registered: its genesis bytes |
//! | 2 | a tenant block is anchored: chain id (32), tenant header (116) |
//!
//! An entry is its kind (1 byte) and its content. Its leaf in the data root is `distli/enterprise/entry/1` and these
//! bytes. Bodies of anchored blocks are not entries: the tenant header commits to them, validators keep and serve them
//! beside the chain. Further kinds (set changes, reports of private tenants, resets, finality, evidence) get the next
//! numbers; a program that does not know a kind refuses the block.
//!
//! A tenant's leaf in the state root is `distli/enterprise/tenant/1`, chain id (32), height (4), tip hash (32) and
//! cumulative work (32) of its heaviest anchored chain; the leaves are ascending by chain id.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::error::EnterpriseError;
use crate::encoding::{Reader, Writer};
use crate::genesis::Genesis;
use crate::hash::Hash;
use crate::header::Header;
use crate::ids::{ChainId, Height, Work};
use crate::merkle;

/// A tenant header on the enterprise chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// The tenant.
    pub chain_id: ChainId,
    /// The tenant's header.
    pub header: Header,
}

/// One entry of an enterprise block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A tenant is registered under its genesis.
    TenantRegistered(Box<Genesis>),
    /// A tenant block joins its tenant's heaviest chain.
    BlockAnchored(Anchor),
}

impl Entry {
    /// The entry's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        match self {
            Self::TenantRegistered(genesis) => writer.u8(REGISTERED).bytes(&genesis.encode()),
            Self::BlockAnchored(Anchor { chain_id, header }) => writer
                .u8(ANCHORED)
                .bytes(&chain_id.0.0)
                .bytes(&header.encode()),
        };
        writer.finish()
    }

    /// Reads one entry.
    ///
    /// # Errors
    /// [`EnterpriseError`] when the kind is not known or the content is not canonical.
    pub fn decode(bytes: &[u8]) -> Result<Self, EnterpriseError> {
        let mut reader = Reader::new(bytes);
        match reader.u8()? {
            REGISTERED => {
                let genesis = Genesis::decode(bytes.get(1..).unwrap_or_default())?;
                Ok(Self::TenantRegistered(Box::new(genesis)))
            }
            ANCHORED => {
                let chain_id = ChainId(reader.hash()?);
                let header = Header::decode(bytes.get(ANCHOR_HEADER..).unwrap_or_default())?;
                Ok(Self::BlockAnchored(Anchor { chain_id, header }))
            }
            kind => Err(EnterpriseError::EntryKind(kind)),
        }
    }

    /// The entry's leaf hash in the data root.
    #[must_use]
    pub fn leaf(&self) -> Hash {
        merkle::leaf_hash(&[b"distli/enterprise/entry/1", &self.encode()])
    }
}

/// The heaviest anchored chain of one tenant, as the state root commits to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TenantState {
    /// The tenant.
    pub chain_id: ChainId,
    /// The height of its tip, 0 when nothing is anchored.
    pub height: Height,
    /// The hash of its tip, the chain id when nothing is anchored.
    pub hash: Hash,
    /// The cumulative work of the tip.
    pub work: Work,
}

impl TenantState {
    /// The state of a tenant that has just been registered.
    #[must_use]
    pub const fn registered(chain_id: ChainId) -> Self {
        Self {
            chain_id,
            height: Height(0),
            hash: chain_id.0,
            work: Work::ZERO,
        }
    }

    /// The leaf hash in the state root.
    #[must_use]
    pub fn leaf(&self) -> Hash {
        let mut writer = Writer::default();
        writer
            .bytes(&self.chain_id.0.0)
            .u32(self.height.0)
            .bytes(&self.hash.0)
            .bytes(&self.work.to_be_bytes());
        merkle::leaf_hash(&[b"distli/enterprise/tenant/1", &writer.finish()])
    }
}

const REGISTERED: u8 = 1;
const ANCHORED: u8 = 2;
const ANCHOR_HEADER: usize = 1 + 32;
