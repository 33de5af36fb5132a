//! The enterprise genesis: what all validators of one enterprise chain start from.
//!
//! | bytes | field |
//! | ---: | --- |
//! | 2 | version 0x0200 |
//! | 1 + n | identifier: its length and its ASCII text |
//! | 6 | creation time in ms |
//! | 5 × 4 | timeouts in ms: propose, prevote, precommit, growth a round, maximum |
//! | 4 | bytes of a block at most |
//! | 4 | entries of a block at most |
//! | 4 | tenants at most |
//! | 4 | easiest initial target a tenant may have, compact |
//! | 2 + … | the validator set ([`ValidatorSet`]) |
//!
//! Its hash, SHA-256 of `distli/enterprise/genesis/1` and these bytes, is the chain id of the enterprise chain and what
//! a tenant's genesis pins.

use alloc::vec::Vec;

use super::error::EnterpriseError;
use super::validators::{ValidatorSet, read_identifier, write_identifier};
use crate::encoding::{Reader, Writer};
use crate::hash::{Hash, sha256};
use crate::ids::{ChainId, NetworkId, TimestampMs};
use crate::pow::{CompactTarget, Target};

/// How long a round waits for each step, in ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For the proposal (PBFT: pre-prepare).
    pub propose_ms: u32,
    /// For a quorum of prevotes (prepare).
    pub prevote_ms: u32,
    /// For a quorum of precommits (commit).
    pub precommit_ms: u32,
    /// How much longer each further round waits.
    pub growth_ms: u32,
    /// The longest wait of any round.
    pub max_ms: u32,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            propose_ms: 400,
            prevote_ms: 200,
            // A dead leader costs the first round both this and `propose_ms`; late precommits still decide it.
            precommit_ms: 50,
            growth_ms: 200,
            max_ms: 10_000,
        }
    }
}

/// How large a block may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockLimits {
    /// Encoded bytes at most.
    pub block_bytes_max: u32,
    /// Entries at most.
    pub block_entries_max: u32,
}

impl Default for BlockLimits {
    fn default() -> Self {
        Self {
            block_bytes_max: 4 << 20,
            block_entries_max: 8_192,
        }
    }
}

/// Which tenants the chain takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TenantLimits {
    /// Tenants at most.
    pub tenants_max: u32,
    /// The easiest initial target a tenant's genesis may have.
    pub easiest_target: CompactTarget,
}

impl Default for TenantLimits {
    fn default() -> Self {
        Self {
            tenants_max: 10_000,
            // Easier than any tenant's genesis may be: the operator of a public network sets less.
            easiest_target: Target::for_hashes(8).to_compact(),
        }
    }
}

/// The enterprise genesis, valid by construction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnterpriseGenesis {
    id: NetworkId,
    created_at: TimestampMs,
    timeouts: Timeouts,
    blocks: BlockLimits,
    tenants: TenantLimits,
    validators: ValidatorSet,
}

impl EnterpriseGenesis {
    const VERSION: u16 = 0x0200;

    /// A genesis with the usual timeouts and limits.
    #[must_use]
    pub fn new(id: NetworkId, created_at: TimestampMs, validators: ValidatorSet) -> Self {
        let (timeouts, blocks, tenants) = (
            Timeouts::default(),
            BlockLimits::default(),
            TenantLimits::default(),
        );
        Self {
            id,
            created_at,
            timeouts,
            blocks,
            tenants,
            validators,
        }
    }

    /// The same genesis with other timeouts and limits.
    ///
    /// # Errors
    /// [`EnterpriseError::Range`] when one of them could stop the chain.
    pub fn with_limits(
        self,
        timeouts: Timeouts,
        blocks: BlockLimits,
        tenants: TenantLimits,
    ) -> Result<Self, EnterpriseError> {
        Self {
            timeouts,
            blocks,
            tenants,
            ..self
        }
        .in_range()
    }

    /// The enterprise network's identifier.
    #[must_use]
    pub const fn id(&self) -> &NetworkId {
        &self.id
    }

    /// When it was made; the first block's time is above it.
    #[must_use]
    pub const fn created_at(&self) -> TimestampMs {
        self.created_at
    }

    /// The timeouts of a round.
    #[must_use]
    pub const fn timeouts(&self) -> Timeouts {
        self.timeouts
    }

    /// The limits of a block.
    #[must_use]
    pub const fn blocks(&self) -> BlockLimits {
        self.blocks
    }

    /// The limits on tenants.
    #[must_use]
    pub const fn tenants(&self) -> TenantLimits {
        self.tenants
    }

    /// The validators of the first block.
    #[must_use]
    pub const fn validators(&self) -> &ValidatorSet {
        &self.validators
    }

    /// The enterprise genesis hash.
    #[must_use]
    pub fn hash(&self) -> Hash {
        sha256(&[b"distli/enterprise/genesis/1", &self.encode()])
    }

    /// The enterprise genesis hash as the chain id that signatures cover.
    #[must_use]
    pub fn chain_id(&self) -> ChainId {
        ChainId(self.hash())
    }

    /// The bytes described above.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.u16(Self::VERSION);
        write_identifier(&mut writer, &self.id);
        writer.timestamp(self.created_at);
        let Timeouts {
            propose_ms,
            prevote_ms,
            precommit_ms,
            growth_ms,
            max_ms,
        } = self.timeouts;
        let BlockLimits {
            block_bytes_max,
            block_entries_max,
        } = self.blocks;
        let TenantLimits {
            tenants_max,
            easiest_target,
        } = self.tenants;
        let timing = [propose_ms, prevote_ms, precommit_ms, growth_ms, max_ms];
        for value in timing.into_iter().chain([
            block_bytes_max,
            block_entries_max,
            tenants_max,
            easiest_target.bits(),
        ]) {
            writer.u32(value);
        }
        writer.bytes(&self.validators.encode());
        writer.finish()
    }

    /// Reads a genesis and checks every field.
    ///
    /// # Errors
    /// [`EnterpriseError`] naming the first field that is not valid.
    pub fn decode(bytes: &[u8]) -> Result<Self, EnterpriseError> {
        let mut reader = Reader::new(bytes);
        let version = reader.u16()?;
        if version != Self::VERSION {
            return Err(EnterpriseError::Version {
                found: version,
                allowed: Self::VERSION,
            });
        }
        let id = read_identifier(&mut reader)?;
        let created_at = reader.timestamp()?;
        let timeouts = Timeouts {
            propose_ms: reader.u32()?,
            prevote_ms: reader.u32()?,
            precommit_ms: reader.u32()?,
            growth_ms: reader.u32()?,
            max_ms: reader.u32()?,
        };
        let blocks = BlockLimits {
            block_bytes_max: reader.u32()?,
            block_entries_max: reader.u32()?,
        };
        let tenants = TenantLimits {
            tenants_max: reader.u32()?,
            easiest_target: CompactTarget::from_bits(reader.u32()?)?,
        };
        let validators = ValidatorSet::read(&mut reader)?;
        reader.finish()?;
        Self {
            id,
            created_at,
            timeouts,
            blocks,
            tenants,
            validators,
        }
        .in_range()
    }

    fn in_range(self) -> Result<Self, EnterpriseError> {
        let Timeouts {
            propose_ms,
            prevote_ms,
            precommit_ms,
            max_ms,
            ..
        } = self.timeouts;
        let shortest = propose_ms.min(prevote_ms).min(precommit_ms);
        let longest = propose_ms.max(prevote_ms).max(precommit_ms);
        if shortest < 10 {
            return Err(range("the shortest timeout in ms", shortest, "10 or more"));
        }
        if max_ms < longest || max_ms > 600_000 {
            return Err(range(
                "the longest timeout in ms",
                max_ms,
                "each timeout to 600,000",
            ));
        }
        let BlockLimits {
            block_bytes_max,
            block_entries_max,
        } = self.blocks;
        if !(65_536..=64 << 20).contains(&block_bytes_max) {
            return Err(range(
                "bytes of a block",
                block_bytes_max,
                "65,536 to 67,108,864",
            ));
        }
        if !(16..=1 << 20).contains(&block_entries_max) {
            return Err(range(
                "entries of a block",
                block_entries_max,
                "16 to 1,048,576",
            ));
        }
        let tenants_max = self.tenants.tenants_max;
        if !(1..=1 << 20).contains(&tenants_max) {
            return Err(range("tenants", tenants_max, "1 to 1,048,576"));
        }
        Ok(self)
    }
}

fn range(field: &'static str, found: u32, allowed: &'static str) -> EnterpriseError {
    EnterpriseError::Range {
        field,
        found: found.into(),
        allowed,
    }
}
