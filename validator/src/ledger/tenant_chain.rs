//! A tenant's chain as the ledger needs it: blocks that are executed, or reports whose bodies nobody sees here.

use shared::block::BlockError;
use shared::chain::{Chain, ChainError, FinalityError, Inserted, ReportedChain, Tip};
use shared::enterprise::{Anchor, Entry, FinalBlock};
use shared::genesis::Genesis;
use shared::hash::Hash;
use shared::header::Header;
use shared::ids::{ChainId, Height, TimestampMs, Work};
use shared::snapshot::SnapshotError;
use shared::state::SparseMap;

use crate::body::{Body, is_private};

/// See the module's text.
#[derive(Debug)]
pub(super) enum TenantChain {
    Open(Chain),
    Private(ReportedChain),
}

impl TenantChain {
    pub(super) fn new(genesis: &Genesis) -> Self {
        if is_private(genesis) {
            Self::Private(ReportedChain::new(genesis.clone()))
        } else {
            Self::Open(Chain::new(genesis.clone()))
        }
    }

    /// Takes a block that was checked under the same genesis.
    pub(super) fn insert(&mut self, body: Body, now: TimestampMs) -> Result<Inserted, ChainError> {
        match (self, body) {
            (Self::Open(chain), Body::Whole(block)) => chain.insert(block, now),
            (Self::Private(chain), Body::Sealed(block)) => chain.insert(block, now),
            (chain, other) => {
                let (found, allowed) = (other.chain_id(), chain.chain_id());
                Err(BlockError::OtherChain { found, allowed }.into())
            }
        }
    }

    /// Takes a decided block: its report is the one that counts, whichever was here.
    pub(super) fn insert_decided(
        &mut self,
        body: Body,
        now: TimestampMs,
    ) -> Result<Inserted, ChainError> {
        if let (Self::Private(chain), Body::Sealed(block)) = (&mut *self, &body)
            && chain.block(&block.hash()).is_some()
        {
            chain.replace(block.clone());
            return Ok(Inserted::AlreadyKnown);
        }
        self.insert(body, now)
    }

    /// Takes the header of an anchored block whose body a snapshot left out.
    pub(super) fn insert_header(
        &mut self,
        header: &Header,
        now: TimestampMs,
    ) -> Result<(), ChainError> {
        match self {
            Self::Open(chain) => chain.insert_header(header.clone(), now).map(drop),
            Self::Private(chain) => chain.insert_header(header, now),
        }
    }

    /// Lets go of what leaves a final block out; answers the blocks that joined the main chain by that, lowest first.
    pub(super) fn set_final(&mut self, block: FinalBlock) -> Result<Vec<Hash>, FinalityError> {
        match self {
            Self::Open(chain) => {
                chain.set_final(block)?;
                let change = chain.take_floor_change();
                Ok(change.map(|change| change.connected).unwrap_or_default())
            }
            Self::Private(chain) => chain.set_final(block),
        }
    }

    /// Lets go of all blocks from a height on; answers their hashes and ids. Nothing of an open network is ever void.
    pub(super) fn reset(
        &mut self,
        from: Height,
        stays: Option<FinalBlock>,
    ) -> Result<Vec<(Hash, Hash)>, FinalityError> {
        match self {
            Self::Open(_) => Ok(Vec::new()),
            Self::Private(chain) => {
                let voided = chain.reset(from, stays)?;
                let gone = voided.blocks.iter();
                Ok(gone.map(|block| (block.hash(), block.id())).collect())
            }
        }
    }

    /// Goes on from a state after the newest final block; of a private network there is none.
    pub(super) fn adopt_at_floor(&mut self, state: SparseMap) -> Result<(), SnapshotError> {
        match self {
            Self::Open(chain) => chain.adopt_at_floor(state).map(drop),
            Self::Private(_) => Ok(()),
        }
    }

    pub(super) const fn chain_id(&self) -> ChainId {
        match self {
            Self::Open(chain) => chain.chain_id(),
            Self::Private(chain) => chain.chain_id(),
        }
    }

    pub(super) fn tip(&self) -> Tip {
        match self {
            Self::Open(chain) => chain.tip(),
            Self::Private(chain) => chain.tip(),
        }
    }

    pub(super) fn header(&self, hash: &Hash) -> Option<&Header> {
        match self {
            Self::Open(chain) => chain.header(hash),
            Self::Private(chain) => chain.header(hash),
        }
    }

    pub(super) fn work_of(&self, hash: &Hash) -> Option<Work> {
        match self {
            Self::Open(chain) => chain.work_of(hash),
            Self::Private(chain) => chain.work_of(hash),
        }
    }

    /// What a block is stored by, if its body is here: its hash, or the id of the report.
    pub(super) fn id_of(&self, hash: &Hash) -> Option<Hash> {
        match self {
            Self::Open(chain) => chain.block(hash).map(|_| *hash),
            Self::Private(chain) => chain.block(hash).map(|block| block.id()),
        }
    }

    /// The bytes of the block with this id.
    pub(super) fn bytes(&self, id: &Hash) -> Option<Vec<u8>> {
        match self {
            Self::Open(chain) => chain.block(id).map(|block| block.encode()),
            Self::Private(chain) => chain.reported(id).map(|block| block.encode()),
        }
    }

    pub(super) fn has(&self, id: &Hash) -> bool {
        match self {
            Self::Open(chain) => chain.block(id).is_some(),
            Self::Private(chain) => chain.reported(id).is_some(),
        }
    }

    /// The entry that anchors a block.
    pub(super) fn entry(&self, hash: &Hash) -> Option<Entry> {
        match self {
            Self::Open(chain) => {
                let (chain_id, header) = (chain.chain_id(), chain.header(hash)?.clone());
                Some(Entry::BlockAnchored(Anchor { chain_id, header }))
            }
            Self::Private(chain) => {
                let report = chain.block(hash)?.report().clone();
                Some(Entry::ReportAnchored(Box::new(report)))
            }
        }
    }

    pub(super) fn bodies_from(&self) -> Height {
        match self {
            Self::Open(chain) => chain.bodies_from(),
            Self::Private(chain) => chain.bodies_from(),
        }
    }

    /// The blocks whose bodies are here, each after its parent.
    pub(super) fn bodies(&self) -> Vec<Body> {
        let mut found = match self {
            Self::Open(chain) => open_bodies(chain),
            Self::Private(chain) => chain.blocks().cloned().map(Body::from).collect(),
        };
        found.sort_by_key(|body| (body.header().height, body.hash()));
        found
    }

    /// The chain whose blocks are seen.
    pub(super) const fn open(&self) -> Option<&Chain> {
        match self {
            Self::Open(chain) => Some(chain),
            Self::Private(_) => None,
        }
    }
}

fn open_bodies(chain: &Chain) -> Vec<Body> {
    let mut found = std::collections::BTreeMap::new();
    for tip in chain.branch_tips() {
        let mut at = tip.hash;
        while let Some(header) = chain.header(&at) {
            if let Some(block) = chain.block(&at)
                && found.insert(at, block).is_some()
            {
                break;
            }
            at = header.previous;
        }
    }
    found.into_values().cloned().map(Body::from).collect()
}
