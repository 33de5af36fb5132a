//! The chain of a private network as those see it who are not members: headers that reporters vouch for.
//!
//! The same rules as for headers of a whole chain, the same fork choice and floor, and no bodies executed: each block is a
//! [`SealedBlock`]. One report of a block is kept; which one counts is what the enterprise chain decides
//! ([`ReportedChain::replace`]).
//!
//! After a snapshot there are headers whose reports are not here ([`ReportedChain::insert_header`]).
//!
//! Limits: as for the headers of a [`Chain`]. Sealed bodies stay in memory, as blocks of open networks do.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};

use super::{Chain, ChainError, FinalityError, HeaderInserted, Inserted, Tip, index_of};
use crate::{
    enterprise::FinalBlock,
    genesis::Genesis,
    hash::Hash,
    header::Header,
    ids::{ChainId, Height, TimestampMs, Work},
    report::SealedBlock,
};

/// What a reset took off a chain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Voided {
    /// The blocks that are gone, in no order.
    pub blocks: Vec<SealedBlock>,
}

/// See the module's text.
#[derive(Debug, Clone)]
pub struct ReportedChain {
    headers: Chain,
    blocks: BTreeMap<Hash, SealedBlock>,
    /// Block hashes by report id.
    by_id: BTreeMap<Hash, Hash>,
    /// Headers without a block.
    bare: BTreeSet<(Height, Hash)>,
}

impl ReportedChain {
    /// The chain of a private network's genesis, without blocks.
    #[must_use]
    pub fn new(genesis: Genesis) -> Self {
        Self {
            headers: Chain::new(genesis),
            blocks: BTreeMap::new(),
            by_id: BTreeMap::new(),
            bare: BTreeSet::new(),
        }
    }

    /// Takes a reported block, and follows the heaviest chain.
    ///
    /// # Errors
    /// The header breaks a rule, its parent is unknown or its time is too far ahead; the chain is as before.
    pub fn insert(&mut self, block: SealedBlock, now: TimestampMs) -> Result<Inserted, ChainError> {
        let hash = block.hash();
        if self.blocks.contains_key(&hash) {
            return Ok(Inserted::AlreadyKnown);
        }
        if self.bare.contains(&(block.header().height, hash)) {
            self.keep(block);
            return Ok(Inserted::Stored);
        }
        if block.header().previous == self.tip().hash {
            self.headers.insert_header(block.header().clone(), now)?;
            self.keep(block);
            return Ok(Inserted::Connected {
                disconnected: Vec::new(),
                connected: alloc::vec![hash],
            });
        }
        // Of a branch that does not lead the path is not looked at, which may be long.
        let before = self.headers.would_lead(block.header());
        let before = before.then(|| self.headers.best.clone());
        self.headers.insert_header(block.header().clone(), now)?;
        self.keep(block);
        self.drop_removed();
        let Some(before) = before else {
            return Ok(Inserted::Stored);
        };
        let best = &self.headers.best;
        let shared = before.iter().zip(best).take_while(|(a, b)| a == b).count();
        if shared == best.len() {
            return Ok(Inserted::Stored);
        }
        Ok(Inserted::Connected {
            disconnected: before.iter().skip(shared).rev().copied().collect(),
            connected: best.iter().skip(shared).copied().collect(),
        })
    }

    /// Takes the header of a block whose report is not here, as a snapshot brings it.
    ///
    /// # Errors
    /// As for [`Self::insert`].
    pub fn insert_header(&mut self, header: &Header, now: TimestampMs) -> Result<(), ChainError> {
        let (height, hash) = (header.height, header.hash());
        if let HeaderInserted::Added = self.headers.insert_header(header.clone(), now)? {
            self.bare.insert((height, hash));
            self.drop_removed();
        }
        Ok(())
    }

    /// Puts another report of a known block in the place of the one that is here; answers the id of that one.
    pub fn replace(&mut self, block: SealedBlock) -> Option<Hash> {
        let known = self.blocks.get(&block.hash())?.id();
        if known == block.id() {
            return None;
        }
        self.by_id.remove(&known);
        self.keep(block);
        Some(known)
    }

    fn keep(&mut self, block: SealedBlock) {
        self.bare.remove(&(block.header().height, block.hash()));
        self.by_id.insert(block.id(), block.hash());
        self.blocks.insert(block.hash(), block);
    }

    /// Takes the word that a block is final; what leaves it out is dropped. Answers the blocks that joined the heaviest
    /// branch by that, lowest first.
    ///
    /// # Errors
    /// As for [`Chain::set_final`].
    pub fn set_final(&mut self, block: FinalBlock) -> Result<Vec<Hash>, FinalityError> {
        let is_on_best = self.hash_at(block.height()) == Some(block.hash());
        let before = (!is_on_best).then(|| self.headers.best.clone());
        self.headers.set_final(block)?;
        // There are no bodies that it could say anything of.
        self.headers.take_floor_change();
        self.drop_removed();
        Ok(before.map_or_else(Vec::new, |before| self.joined(&before)))
    }

    /// The blocks of the heaviest branch from where it leaves another one.
    fn joined(&self, before: &[Hash]) -> Vec<Hash> {
        let best = &self.headers.best;
        let shared = before.iter().zip(best).take_while(|(a, b)| a == b).count();
        best.iter().skip(shared).copied().collect()
    }

    /// Drops all blocks from a height on; `stays`, if anything does, is the newest final block then.
    ///
    /// # Errors
    /// As for [`Chain::set_final`].
    pub fn reset(
        &mut self,
        from: Height,
        stays: Option<FinalBlock>,
    ) -> Result<Voided, FinalityError> {
        self.headers.forget_from(from);
        let blocks = self.drop_removed();
        if let Some(stays) = stays {
            self.set_final(stays)?;
        }
        Ok(Voided { blocks })
    }

    /// Lets go of blocks whose headers are gone; answers them.
    fn drop_removed(&mut self) -> Vec<SealedBlock> {
        let mut gone = Vec::new();
        for (height, hash) in self.headers.removed() {
            self.bare.remove(&(*height, *hash));
            if let Some(block) = self.blocks.remove(hash) {
                self.by_id.remove(&block.id());
                gone.push(block);
            }
        }
        gone
    }

    /// As [`Chain::begin_batch`].
    pub const fn begin_batch(&mut self) {
        self.headers.begin_batch();
    }

    /// As [`Chain::end_batch`].
    pub fn end_batch(&mut self) {
        self.headers.end_batch();
        self.drop_removed();
    }

    /// As [`Chain::removed`].
    #[must_use]
    pub fn removed(&self) -> &[(Height, Hash)] {
        self.headers.removed()
    }

    /// The genesis.
    #[must_use]
    pub const fn genesis(&self) -> &Genesis {
        self.headers.genesis()
    }

    /// The chain id.
    #[must_use]
    pub const fn chain_id(&self) -> ChainId {
        self.headers.chain_id()
    }

    /// The end of the heaviest branch.
    #[must_use]
    pub fn tip(&self) -> Tip {
        self.headers.best_header()
    }

    /// The header with this hash, on any branch.
    #[must_use]
    pub fn header(&self, hash: &Hash) -> Option<&Header> {
        self.headers.header(hash)
    }

    /// How many headers are here, on all branches.
    #[must_use]
    pub fn header_count(&self) -> usize {
        self.headers.header_count()
    }

    /// The block with this hash, on any branch.
    #[must_use]
    pub fn block(&self, hash: &Hash) -> Option<&SealedBlock> {
        self.blocks.get(hash)
    }

    /// The block with this report, on any branch.
    #[must_use]
    pub fn reported(&self, id: &Hash) -> Option<&SealedBlock> {
        self.by_id.get(id).and_then(|hash| self.blocks.get(hash))
    }

    /// The blocks that are here, in no order.
    pub fn blocks(&self) -> impl Iterator<Item = &SealedBlock> {
        self.blocks.values()
    }

    /// The lowest height from which on all blocks are here.
    #[must_use]
    pub fn bodies_from(&self) -> Height {
        self.bare
            .last()
            .map_or(Height(1), |(height, _)| height.next())
    }

    /// The hash at a height of the heaviest branch; the chain id at 0.
    #[must_use]
    pub fn hash_at(&self, height: Height) -> Option<Hash> {
        match index_of(height) {
            None => Some(self.chain_id().0),
            Some(index) => self.headers.best.get(index).copied(),
        }
    }

    /// Cumulative work up to a known header (zero for the genesis).
    #[must_use]
    pub fn work_of(&self, hash: &Hash) -> Option<Work> {
        self.headers.work_of(hash)
    }
}

impl Chain {
    /// Drops every header from a height on, of a chain of headers alone, and with them the floor.
    fn forget_from(&mut self, from: Height) {
        let lowest = self
            .nodes
            .iter()
            .filter(|(_, node)| node.header.height == from);
        for hash in lowest.map(|(hash, _)| *hash).collect::<Vec<_>>() {
            self.remove_branch(&hash);
        }
        self.newest_final = None;
        self.floor = Height::GENESIS;
        self.find_best();
    }
}
