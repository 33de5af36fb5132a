//! What is kept of a tenant's block: the whole of it in an open network, report and sealed body in a private one.
//!
//! The first two bytes tell which it is. A whole block is stored and asked for by its hash, a sealed one by the hash of its
//! report: two reporters may seal one block differently, and an enterprise block names one of them.

use service::KnownKeys;
use shared::block::{Block, BlockError, UncheckedBlock, body_root};
use shared::encoding::DecodeError;
use shared::genesis::{Access, Genesis};
use shared::hash::{Hash, sha256};
use shared::header::Header;
use shared::ids::ChainId;
use shared::report::{ReportError, SealedBlock, UncheckedSealed};

use crate::store::BodyKey;

/// Why bytes are not a tenant's block.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// The bytes are not a block's.
    #[error("not a block: {0}")]
    Encoding(#[from] DecodeError),
    /// It breaks a rule, is another header's, or no work was done for it.
    #[error(transparent)]
    Invalid(#[from] BlockError),
    /// The report does not count.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// The network is private.
    #[error("the network is private: its blocks are reported")]
    Private,
}

/// A tenant's block as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UncheckedBody {
    /// Of an open network.
    Whole(UncheckedBlock),
    /// Of a private one.
    Sealed(UncheckedSealed),
}

impl UncheckedBody {
    /// Reads either.
    ///
    /// # Errors
    /// [`BodyError`] when the bytes are in neither layout, or larger than any network's.
    pub fn decode(bytes: &[u8]) -> Result<Self, BodyError> {
        if UncheckedSealed::is_one(bytes) {
            return Ok(Self::Sealed(UncheckedSealed::decode(bytes)?));
        }
        Ok(Self::Whole(UncheckedBlock::decode(bytes)?))
    }

    /// The bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Whole(block) => block.encode(),
            Self::Sealed(block) => block.encode(),
        }
    }

    /// The header.
    #[must_use]
    pub const fn header(&self) -> &Header {
        match self {
            Self::Whole(block) => &block.header,
            Self::Sealed(block) => &block.report().header,
        }
    }

    /// What it is stored and asked for by.
    #[must_use]
    pub fn id(&self) -> Hash {
        match self {
            Self::Whole(block) => block.header.hash(),
            Self::Sealed(block) => block.report().id(),
        }
    }

    /// How many transactions others see in it.
    #[must_use]
    pub const fn transactions(&self) -> usize {
        match self {
            Self::Whole(block) => block.transactions.len(),
            Self::Sealed(_) => 0,
        }
    }

    /// Checks what costs little and needs no genesis: work was done, and the body is the one that is named.
    ///
    /// # Errors
    /// [`BodyError`] naming what does not hold.
    pub fn check_work(&self, chain_id: ChainId) -> Result<(), BodyError> {
        let (header, hash) = (self.header(), self.header().hash());
        if !header.target.target().is_met_by(&hash) {
            let allowed = header.target;
            return Err(BlockError::WorkNotDone {
                found: hash,
                allowed,
            }
            .into());
        }
        match self {
            Self::Whole(block) => {
                let ids = block.transactions.iter().map(|bytes| sha256(&[bytes]));
                let (found, allowed) = (body_root(&block.miner, ids), header.body_root);
                if found != allowed {
                    return Err(BlockError::BodyRoot { found, allowed }.into());
                }
            }
            // Its body was compared when it was decoded.
            Self::Sealed(block) => {
                let (found, allowed) = (block.report().chain_id, chain_id);
                if found != allowed {
                    return Err(ReportError::OtherChain { found, allowed }.into());
                }
            }
        }
        Ok(())
    }

    /// Checks all that can be without the chain, signatures included.
    ///
    /// # Errors
    /// [`BodyError`] naming what does not hold.
    pub fn check(self, genesis: &Genesis) -> Result<Body, BodyError> {
        match self {
            Self::Whole(_) if is_private(genesis) => Err(BodyError::Private),
            Self::Whole(block) => Ok(Body::Whole(block.check_with(
                genesis,
                &mut KnownKeys,
                |_| false,
            )?)),
            Self::Sealed(block) => Ok(Body::Sealed(block.check_with(genesis, &mut KnownKeys)?)),
        }
    }

    /// The same without signatures, for what was verified before it was written.
    ///
    /// # Errors
    /// [`BodyError`] naming what does not hold.
    pub fn check_archived(self, genesis: &Genesis) -> Result<Body, BodyError> {
        match self {
            Self::Whole(_) if is_private(genesis) => Err(BodyError::Private),
            Self::Whole(block) => Ok(Body::Whole(block.check_archived(genesis)?)),
            Self::Sealed(block) => Ok(Body::Sealed(block.check_archived(genesis)?)),
        }
    }
}

/// A tenant's block that was checked by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Of an open network.
    Whole(Block),
    /// Of a private one.
    Sealed(SealedBlock),
}

impl Body {
    /// The tenant.
    #[must_use]
    pub const fn chain_id(&self) -> ChainId {
        match self {
            Self::Whole(block) => block.chain_id(),
            Self::Sealed(block) => block.report().chain_id,
        }
    }

    /// The header.
    #[must_use]
    pub const fn header(&self) -> &Header {
        match self {
            Self::Whole(block) => block.header(),
            Self::Sealed(block) => block.header(),
        }
    }

    /// The block hash.
    #[must_use]
    pub const fn hash(&self) -> Hash {
        match self {
            Self::Whole(block) => block.hash(),
            Self::Sealed(block) => block.hash(),
        }
    }

    /// What it is stored and asked for by.
    #[must_use]
    pub const fn key(&self) -> BodyKey {
        let id = match self {
            Self::Whole(block) => block.hash(),
            Self::Sealed(block) => block.id(),
        };
        (self.chain_id(), id)
    }

    /// The bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Whole(block) => block.encode(),
            Self::Sealed(block) => block.encode(),
        }
    }

    /// How many transactions others see in it.
    #[must_use]
    pub fn transactions(&self) -> usize {
        match self {
            Self::Whole(block) => block.transactions().len(),
            Self::Sealed(_) => 0,
        }
    }
}

impl From<Block> for Body {
    fn from(block: Block) -> Self {
        Self::Whole(block)
    }
}

impl From<SealedBlock> for Body {
    fn from(block: SealedBlock) -> Self {
        Self::Sealed(block)
    }
}

/// Whether nobody but its members sees what is in a network's blocks.
#[must_use]
pub const fn is_private(genesis: &Genesis) -> bool {
    matches!(genesis.access, Access::Private { .. })
}
