//! Judging a block that another validator built, or that a peer sends while this one catches up.

use shared::enterprise::{Effects, EnterpriseBlock, EnterpriseError, EnterpriseHeader};
use shared::hash::Hash;
use shared::ids::TimestampMs;

use super::execution::NotExecuted;
use super::proposal::Proposal;
use super::{Ledger, Signatures};
use crate::store::BodyKey;

/// How far a fresh proposal's enterprise time may be ahead of this validator's clock, in ms.
pub const PROPOSAL_AHEAD_MAX_MS: u64 = 5_000;

/// Whether the time of a block is compared with a clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timeliness {
    /// A proposal that was just made, judged at this time.
    Fresh(TimestampMs),
    /// A block of the past; whoever decided it has judged its time.
    Synced,
}

/// What a validator says of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// It is valid, and kept until its height is decided.
    Valid(Hash),
    /// It is not.
    Invalid(String),
    /// Nothing can be said before these bodies are here.
    MissingBodies(Vec<BodyKey>),
}

impl Ledger {
    /// Judges a block of the next height. Apart from timeliness the verdict depends on the block and its parent's state
    /// alone: not on what is pending here, and not on which chain of a tenant is the heaviest here.
    pub fn judge(&mut self, block: EnterpriseBlock, when: Timeliness) -> Judgement {
        let hash = block.hash();
        if let Timeliness::Fresh(now) = when
            && block.header().time > now.plus_ms(PROPOSAL_AHEAD_MAX_MS)
        {
            let time = block.header().time.0;
            return Judgement::Invalid(format!(
                "enterprise time {time} is more than {PROPOSAL_AHEAD_MAX_MS} ms ahead of {}",
                now.0
            ));
        }
        if when != Timeliness::Synced && block.header().version != EnterpriseHeader::VERSION {
            let version = block.header().version;
            return Judgement::Invalid(format!("a new block has the old version {version:#06x}"));
        }
        if self.proposals.get(&hash).is_some() {
            return Judgement::Valid(hash);
        }
        if when != Timeliness::Synced
            && block.entries().is_empty()
            && !self.is_due(block.header().time)
        {
            return Judgement::Invalid("a new block says nothing".into());
        }
        match self.prepare(block, Signatures::Verify) {
            Ok(proposal) => {
                self.proposals.insert(hash, proposal);
                Judgement::Valid(hash)
            }
            Err(NotExecuted::Missing(keys)) => Judgement::MissingBodies(keys),
            Err(NotExecuted::Entry(error)) => Judgement::Invalid(error.to_string()),
            Err(NotExecuted::Block(hash, error)) => {
                Judgement::Invalid(format!("tenant block {hash}: {error}"))
            }
        }
    }

    /// Verifies a block of the next height up to its certificate.
    pub(super) fn prepare(
        &self,
        block: EnterpriseBlock,
        signatures: Signatures,
    ) -> Result<Proposal, NotExecuted> {
        self.verifier
            .check_next(block.header())
            .map_err(NotExecuted::Entry)?;
        self.verifier
            .check_entries(&block)
            .map_err(NotExecuted::Entry)?;
        block
            .check_size(self.genesis.blocks())
            .map_err(NotExecuted::Entry)?;
        let effects = self
            .state
            .execute(block.header().version, block.header().time, block.entries())
            .map_err(NotExecuted::Entry)?;
        check_roots(block.header(), &effects).map_err(NotExecuted::Entry)?;
        let missing = self.missing_bodies(&block);
        if !missing.is_empty() {
            return Err(NotExecuted::Missing(missing));
        }
        let executed = self.execute_blocks(block.entries(), signatures)?;
        Ok(Proposal::new(block, effects, executed))
    }
}

/// Whether a header says what executing its entries gave.
fn check_roots(header: &EnterpriseHeader, effects: &Effects) -> Result<(), EnterpriseError> {
    let log = effects.log();
    for (field, found, computed) in [
        ("the state root", header.state_root, effects.state_root()),
        ("the log root", header.log_root, log.root()),
    ] {
        if found != computed {
            return Err(EnterpriseError::Mismatch {
                field,
                found,
                computed,
            });
        }
    }
    if header.log_size != log.size() {
        return Err(EnterpriseError::Range {
            field: "the log size",
            found: header.log_size,
            allowed: "what the block makes final added to the parent's",
        });
    }
    Ok(())
}
