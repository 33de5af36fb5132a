//! Building a block of what is pending, and taking over the one that is decided, once it is durable.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use shared::chain::Inserted;
use shared::enterprise::{
    Anchor, Certificate, DecidedBlock, Effects, EnterpriseBlock, EnterpriseError, EnterpriseHeader,
    Entry, FinalBlock, LogEntry, Selection,
};
use shared::hash::Hash;
use shared::ids::{ChainId, Height, PublicKey, Signature, TimestampMs};

use super::execution::{Executed, NotExecuted};
use super::pending::Subject;
use super::{Ledger, Signatures, TenantLedger};
use crate::body::Body;
use crate::store::{BodyKey, Head};

/// Blocks of one height that are kept until it is decided: one a round, of as many rounds.
pub const PROPOSALS_MAX: usize = 32;

/// A valid block of the next height, with what it does.
#[derive(Debug)]
pub(super) struct Proposal {
    block: EnterpriseBlock,
    effects: Effects,
    executed: Executed,
}

impl Proposal {
    pub(super) const fn new(block: EnterpriseBlock, effects: Effects, executed: Executed) -> Self {
        Self {
            block,
            effects,
            executed,
        }
    }

    pub(super) const fn block(&self) -> &EnterpriseBlock {
        &self.block
    }
}

/// Valid blocks of the next height by hash; the oldest goes first.
#[derive(Debug, Default)]
pub(super) struct Proposals {
    blocks: BTreeMap<Hash, Proposal>,
    order: VecDeque<Hash>,
}

impl Proposals {
    pub(super) fn insert(&mut self, hash: Hash, proposal: Proposal) {
        if self.blocks.insert(hash, proposal).is_none() {
            self.order.push_back(hash);
        }
        if self.order.len() > PROPOSALS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.blocks.remove(&oldest);
        }
    }

    pub(super) fn get(&self, hash: &Hash) -> Option<&Proposal> {
        self.blocks.get(hash)
    }

    /// Takes one out, and drops the others: their height is decided.
    fn take(&mut self, hash: &Hash) -> Option<Proposal> {
        self.order.clear();
        std::mem::take(&mut self.blocks).remove(hash)
    }
}

/// Why a proposal cannot be built or decided.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProposalError {
    /// The block is not kept here: it was never judged valid, or many others were since.
    #[error("there is no proposal {0} to decide")]
    Unknown(Hash),
    /// Nothing was decided that could be taken over.
    #[error("there is no decided proposal")]
    NotDecided,
    /// A tenant block that was accepted is refused now.
    #[error("tenant block {0} does not execute")]
    Block(Hash),
    /// The block or its certificate does not verify.
    #[error(transparent)]
    Invalid(#[from] EnterpriseError),
}

impl Ledger {
    /// Builds the next block of pending entries, as many as its limits hold, and keeps it; answers its hash, or nothing
    /// when it would say nothing.
    ///
    /// Pending entries that can no longer be valid are dropped, those that are early for enterprise time stay.
    ///
    /// # Errors
    /// [`ProposalError`] when a block that was executed before is refused, which would be a fault of [`Ledger::accept`].
    pub fn propose(
        &mut self,
        now: TimestampMs,
        proposer: PublicKey,
    ) -> Result<Option<Hash>, ProposalError> {
        let time = self.verifier.next_time(now);
        let (entries, mut gone) = self.with_one_change(self.next_entries());
        let selection = self.select_with_bodies(time, entries, &mut gone);
        let refused = selection.refused.iter();
        let lost = refused.filter(|entry| !self.is_early_reset(entry));
        gone.extend(lost.map(Subject::of));
        self.pending.remove(&gone);
        let (entries, effects) = (selection.entries, selection.effects);
        self.all_early = entries.is_empty();
        if entries.is_empty() && !self.is_due(time) {
            return Ok(None);
        }
        let executed = self.execute_blocks(&entries, Signatures::Verified);
        let executed = executed.map_err(|error| match error {
            NotExecuted::Missing(keys) => {
                ProposalError::Block(keys.first().map_or(Hash::ZERO, |key| key.1))
            }
            NotExecuted::Block(hash, _) => ProposalError::Block(hash),
            NotExecuted::Entry(error) => error.into(),
        })?;
        let data_root = EnterpriseBlock::data_root(&entries);
        let header = self
            .verifier
            .next_header(now, data_root, &effects, proposer);
        let block = EnterpriseBlock::new(header, entries)?;
        let hash = block.hash();
        self.proposals
            .insert(hash, Proposal::new(block, effects, executed));
        Ok(Some(hash))
    }

    /// Whether a deadline is due at this enterprise time.
    pub(super) fn is_due(&self, time: TimestampMs) -> bool {
        self.next_deadline().is_some_and(|due| due <= time)
    }

    /// A block of the next height that was built or judged valid here.
    #[must_use]
    pub fn proposal(&self, hash: &Hash) -> Option<&EnterpriseBlock> {
        self.proposals.get(hash).map(|proposal| &proposal.block)
    }

    /// The tenant blocks that came with a proposal and are not in the store.
    #[must_use]
    pub fn arrived_bodies(&self, hash: &Hash) -> Vec<(ChainId, Vec<u8>)> {
        let proposal = self.proposals.get(hash);
        let arrived = proposal.map(|proposal| proposal.executed.arrived());
        let bodies = arrived.into_iter().flatten();
        bodies.map(|(key, body)| (key.0, body.encode())).collect()
    }

    /// Verifies the certificate over a kept proposal; the ledger itself moves with [`Self::finish`].
    ///
    /// What the block needs stored besides is in the next batch.
    ///
    /// # Errors
    /// [`ProposalError`] when the proposal is not kept or the certificate does not decide it.
    pub fn decide(&mut self, certificate: Certificate) -> Result<DecidedBlock, ProposalError> {
        self.decide_with(certificate, &[])
    }

    /// As [`Self::decide`], without verifying again signatures that were found to hold vote by vote.
    ///
    /// # Errors
    /// As [`Self::decide`].
    pub fn decide_with(
        &mut self,
        certificate: Certificate,
        verified: &[(PublicKey, Signature)],
    ) -> Result<DecidedBlock, ProposalError> {
        let hash = certificate.block_hash;
        let proposal = self
            .proposals
            .get(&hash)
            .ok_or(ProposalError::Unknown(hash))?;
        let mut verifier = self.verifier.clone();
        let is_known = |key: &PublicKey, signature: &Signature| {
            let mut pairs = verified.iter();
            pairs.any(|known| (&known.0, &known.1) == (key, signature))
        };
        let decided = verifier.advance_with(proposal.block.clone(), certificate, is_known)?;
        for (key, body) in proposal.executed.arrived() {
            self.batch.bodies.push((key, body.encode()));
        }
        for ((chain_id, hash), id) in &proposal.executed.stored_by {
            if let Some(tenant) = self.tenants.get_mut(chain_id) {
                tenant.release(hash);
                if let Some(other) = tenant.chain.id_of(hash).filter(|other| other != id) {
                    // Another report of the block counts.
                    self.batch.drop_body((*chain_id, other));
                }
            }
            self.batch.release((*chain_id, *id));
        }
        for entry in proposal.block.entries() {
            if let Entry::TenantRegistered(genesis) = entry {
                self.batch.settle(genesis.chain_id());
            }
            if let Entry::TenantReset(reset) = entry {
                for leaf in self.pending.resets_up_to(reset.chain_id, reset.number) {
                    self.batch.settle_reset(leaf);
                }
            }
        }
        let head = (
            decided.block().header().clone(),
            decided.certificate().clone(),
        );
        self.decided = Some((head, verifier));
        Ok(decided)
    }

    /// Takes over the decided block, which is durable now.
    ///
    /// # Errors
    /// [`ProposalError::NotDecided`] when nothing was decided.
    pub fn finish(&mut self) -> Result<Head, ProposalError> {
        let (head, verifier) = self.decided.take().ok_or(ProposalError::NotDecided)?;
        let proposal = self.proposals.take(&verifier.hash());
        let proposal = proposal.ok_or(ProposalError::NotDecided)?;
        self.verifier = verifier;
        self.stand_on(head);
        Ok(self.take_over(proposal))
    }

    /// Applies a decided block to the tenants; the verifier stands on it already.
    pub(super) fn take_over(&mut self, proposal: Proposal) -> Head {
        let Proposal {
            block,
            effects,
            executed,
        } = proposal;
        let head = Head {
            height: self.verifier.height(),
            hash: self.verifier.hash(),
        };
        let time = block.header().time;
        self.all_early = false;
        self.history.append(head, &block, &executed.transactions);
        let told = effects.entries().to_vec();
        self.state.apply(effects);
        let subjects: BTreeSet<Subject> = block.entries().iter().map(Subject::of).collect();
        self.pending.remove(&subjects);
        for entry in block.entries() {
            if let Entry::TenantRegistered(genesis) = entry {
                self.settle_tenant(genesis);
            }
        }
        let Executed {
            points,
            transactions,
            stored_by,
            arrived: mut bodies,
        } = executed;
        let keys = stored_by.iter().map(|((chain_id, _), id)| (*chain_id, *id));
        self.loose.remove(keys);
        let mut touched: BTreeSet<ChainId> =
            subjects.iter().filter_map(Subject::chain_id).collect();
        touched.extend(told.iter().map(LogEntry::chain_id));
        self.follow(head, block.entries(), told, |ledger, entry| {
            ledger.take_anchored(time, entry, &mut bodies, &transactions);
        });
        self.points.extend(points);
        for chain_id in touched {
            self.stand(chain_id, head, time);
            self.changed.insert(chain_id);
        }
        head
    }

    /// Brings the log and the tenants' chains to where a block leaves them, whose effects are applied already: what became
    /// due first, then the entries in their order, since what follows a reset stands on what it left. `each` puts anchored
    /// blocks into their chains.
    pub(super) fn follow(
        &mut self,
        head: Head,
        entries: &[Entry],
        told: Vec<LogEntry>,
        mut each: impl FnMut(&mut Self, &Entry),
    ) {
        let mut told = told.into_iter().peekable();
        let next_final = |told: &mut std::iter::Peekable<std::vec::IntoIter<LogEntry>>| match told
            .next_if(|entry| matches!(entry, LogEntry::Final(_)))
        {
            Some(LogEntry::Final(block)) => Some(block),
            Some(LogEntry::Reset(_)) | None => None,
        };
        while let Some(block) = next_final(&mut told) {
            self.make_final(block);
        }
        for entry in entries {
            each(self, entry);
            if let Entry::TenantReset(reset) = entry {
                told.next();
                let below = reset.from > Height(1);
                let stays = if below { next_final(&mut told) } else { None };
                self.execute_reset(head, reset, stays);
            }
        }
    }

    /// An anchored block is on its tenant's chain from now on.
    fn take_anchored(
        &mut self,
        time: TimestampMs,
        entry: &Entry,
        arrived: &mut BTreeMap<BodyKey, Body>,
        transactions: &BTreeMap<BodyKey, usize>,
    ) {
        let Some(Anchor { chain_id, header }) = entry.anchored() else {
            return;
        };
        let key = (chain_id, header.hash());
        if let Entry::ReportAnchored(report) = entry {
            let id = report.id();
            if let Some(body) = arrived.remove(&(chain_id, id)) {
                self.insert_decided(body, time);
            }
            self.count_report(key, &header.previous, id);
            return;
        }
        if let Some(body) = arrived.remove(&key) {
            self.insert_decided(body, time);
        }
        let own = transactions.get(&key).copied().unwrap_or(0);
        self.count(key, &header.previous, own);
    }

    /// A tenant's registration is decided: from now on its name is the same on every validator.
    pub(super) fn settle_tenant(&mut self, genesis: &shared::genesis::Genesis) {
        let chain_id = genesis.chain_id();
        if !self.tenants.contains_key(&chain_id) {
            let genesis = Arc::new(genesis.clone());
            let tenant = TenantLedger::new(genesis, chain_id, &self.settled);
            self.tenants.insert(chain_id, tenant);
        }
        let label = genesis.network_id.as_str();
        let name = super::TenantName::choose(label, chain_id, &self.settled);
        self.settled.insert(name.clone(), chain_id);
        let other = self.names.insert(name.clone(), chain_id);
        let Some(tenant) = self.tenants.get_mut(&chain_id) else {
            return;
        };
        let before = std::mem::replace(&mut tenant.name, name.clone());
        if before != name && self.names.get(&before) == Some(&chain_id) {
            self.names.remove(&before);
        }
        // Who bore the name here until now has not been decided yet, and takes the next free one.
        if let Some(other) = other.filter(|other| *other != chain_id)
            && let Some(tenant) = self.tenants.get_mut(&other)
        {
            let label = tenant.genesis().network_id.as_str().to_owned();
            tenant.name = super::TenantName::choose(&label, other, &self.names);
            self.names.insert(tenant.name.clone(), other);
            self.changed.insert(other);
        }
    }

    /// Puts a decided block that came with a proposal into its tenant's chain.
    fn insert_decided(&mut self, body: Body, time: TimestampMs) {
        let (chain_id, hash) = (body.chain_id(), body.hash());
        let Some(tenant) = self.tenants.get_mut(&chain_id) else {
            return;
        };
        match tenant.chain.insert_decided(body, time) {
            Ok(Inserted::Connected { connected, .. }) => self.queue(chain_id, &connected),
            Ok(_) => {}
            // It was executed, so that only a full tree can refuse it; the store has it.
            Err(error) => {
                tracing::warn!(%chain_id, %hash, %error, "a decided block is not kept in memory")
            }
        }
        self.forget(chain_id);
    }

    /// Logs a final block, and lets its tenant's chain drop what leaves it out.
    pub(super) fn make_final(&mut self, block: FinalBlock) {
        let chain_id = block.chain_id();
        self.log.push(block);
        let Some(tenant) = self.tenants.get_mut(&chain_id) else {
            return;
        };
        let joined = tenant.chain.set_final(block).unwrap_or_else(|error| {
            tracing::error!(%chain_id, %error, "a final block is not on the tenant's chain");
            Vec::new()
        });
        tenant.trim_live(block.hash());
        self.queue(chain_id, &joined);
        self.forget(chain_id);
    }

    pub(super) fn stand(&mut self, chain_id: ChainId, head: Head, time: TimestampMs) {
        let Some(tenant) = self.tenants.get_mut(&chain_id) else {
            return;
        };
        let Some(state) = self.state.state(&chain_id) else {
            return;
        };
        let before = tenant.transaction_count();
        tenant.stand(*state, head, time);
        let others = self.transactions.saturating_sub(before);
        self.transactions = others.saturating_add(tenant.transaction_count());
    }

    pub(super) fn count(&mut self, key: BodyKey, previous: &Hash, transactions: usize) {
        if let Some(tenant) = self.tenants.get_mut(&key.0) {
            tenant.count(key.1, previous, transactions);
        }
    }

    pub(super) fn count_report(&mut self, key: BodyKey, previous: &Hash, id: Hash) {
        if let Some(tenant) = self.tenants.get_mut(&key.0) {
            tenant.count_report(key.1, previous, id);
        }
    }

    /// Selects entries, without those that anchor a block that is not here: one of a branch that a final block left out, which the
    /// chain let go of before a reset made its height open again. They are gone.
    fn select_with_bodies(
        &self,
        time: TimestampMs,
        mut entries: Vec<Entry>,
        gone: &mut BTreeSet<Subject>,
    ) -> Selection {
        let mut refused = Vec::new();
        loop {
            let mut selection = self.state.select(EnterpriseHeader::VERSION, time, entries);
            refused.append(&mut selection.refused);
            let selected = selection.entries.iter();
            let missing = selected.filter(|entry| {
                let key = crate::store::stored_by(entry);
                key.is_some_and(|key| !self.has_body(&key))
            });
            let missing: BTreeSet<Subject> = missing.map(Subject::of).collect();
            if missing.is_empty() {
                return Selection {
                    refused,
                    ..selection
                };
            }
            entries = selection.entries;
            entries.retain(|entry| !missing.contains(&Subject::of(entry)));
            gone.extend(missing);
        }
    }

    /// The front of the pending entries that fits into one block.
    fn next_entries(&self) -> Vec<Entry> {
        let limits = self.genesis.blocks();
        let [bytes, most] = [limits.block_bytes_max, limits.block_entries_max]
            .map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
        let bytes = bytes.saturating_sub(BLOCK_OVERHEAD_BYTES);
        self.pending.front(most, bytes, ENTRY_OVERHEAD_BYTES)
    }
}

/// Header and number of entries.
const BLOCK_OVERHEAD_BYTES: usize = EnterpriseHeader::BYTES + 4;
/// The length before each entry.
const ENTRY_OVERHEAD_BYTES: usize = 4;
