//! Entries: what an enterprise block says happened, and the tenant state that follows from them.
//!
//! | kind | content |
//! | ---: | --- |
//! | 1 | a tenant is registered: its genesis bytes |
//! | 2 | a tenant block is anchored: chain id (32), tenant header (116) |
//! | 3 | a tenant block is refused because it forks below the newest final one: chain id (32), tenant header (116) |
//! | 4 | the validator set changes, from header version 0x0201 on and once a block: a [`SetChange`] |
//! | 5 | a block of a private tenant is anchored: a [`Report`] |
//! | 6 | a final suffix of a private tenant is void: a [`Reset`] |
//!
//! An entry is its kind (1 byte) and its content. Its leaf in the data root is `distli/enterprise/entry/1` and these
//! bytes. Bodies of anchored blocks are not entries: the tenant header commits to them, or the report to the sealed body, and
//! validators keep and serve them beside the chain. Kinds 5 and 6 exist from header version 0x0201 on. A program that does
//! not know a kind refuses the block.
//!
//! A tenant's leaf in the state root is `distli/enterprise/tenant/1`, chain id (32), height (4), tip hash (32) and
//! cumulative work (32) of its heaviest anchored chain; the leaves are ascending by chain id. From header version 0x0201 on
//! it is `distli/enterprise/tenant/2`, the same fields, height (4) and hash (32) of its newest final block (zeros before
//! the first) and the enterprise time (6) at which the next one is due (0 when none is);
//! once the tenant was reset it is `distli/enterprise/tenant/3`, these fields and the number of its resets (4).

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::error::EnterpriseError;
use super::finality::FinalBlock;
use super::reset::Reset;
use super::set_change::SetChange;
use crate::encoding::{Reader, Writer};
use crate::genesis::Genesis;
use crate::hash::Hash;
use crate::header::Header;
use crate::ids::{ChainId, Height, TimestampMs, Work};
use crate::merkle;
use crate::report::Report;

/// A tenant header on the enterprise chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// The tenant.
    pub chain_id: ChainId,
    /// The tenant's header.
    pub header: Header,
}

impl Anchor {
    fn write<'a>(&self, writer: &'a mut Writer) -> &'a mut Writer {
        writer
            .bytes(&self.chain_id.0.0)
            .bytes(&self.header.encode())
    }

    fn decode(entry: &[u8], reader: &mut Reader<'_>) -> Result<Self, EnterpriseError> {
        let chain_id = ChainId(reader.hash()?);
        let header = Header::decode(entry.get(ANCHOR_HEADER..).unwrap_or_default())?;
        Ok(Self { chain_id, header })
    }
}

/// One entry of an enterprise block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A tenant is registered under its genesis.
    TenantRegistered(Box<Genesis>),
    /// A tenant block is anchored.
    BlockAnchored(Anchor),
    /// A tenant block is refused, because it leaves out the newest final one.
    ForkRefused(Anchor),
    /// The validator set changes.
    SetChanged(Box<SetChange>),
    /// A block of a private tenant is anchored.
    ReportAnchored(Box<Report>),
    /// A final suffix of a private tenant is void.
    TenantReset(Box<Reset>),
}

impl Entry {
    /// The tenant block that is anchored, whole or reported.
    #[must_use]
    pub fn anchored(&self) -> Option<Anchor> {
        match self {
            Self::BlockAnchored(anchor) => Some(anchor.clone()),
            Self::ReportAnchored(report) => Some(Anchor {
                chain_id: report.chain_id,
                header: report.header.clone(),
            }),
            Self::TenantRegistered(_)
            | Self::ForkRefused(_)
            | Self::SetChanged(_)
            | Self::TenantReset(_) => None,
        }
    }

    /// The entry's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        match self {
            Self::TenantRegistered(genesis) => writer.u8(REGISTERED).bytes(&genesis.encode()),
            Self::BlockAnchored(anchor) => anchor.write(writer.u8(ANCHORED)),
            Self::ForkRefused(anchor) => anchor.write(writer.u8(REFUSED)),
            Self::SetChanged(change) => writer.u8(SET_CHANGED).bytes(&change.encode()),
            Self::ReportAnchored(report) => writer.u8(REPORTED).bytes(&report.encode()),
            Self::TenantReset(reset) => writer.u8(RESET).bytes(&reset.encode()),
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
            ANCHORED => Ok(Self::BlockAnchored(Anchor::decode(bytes, &mut reader)?)),
            REFUSED => Ok(Self::ForkRefused(Anchor::decode(bytes, &mut reader)?)),
            SET_CHANGED => {
                let change = SetChange::decode(bytes.get(1..).unwrap_or_default())?;
                Ok(Self::SetChanged(Box::new(change)))
            }
            REPORTED => {
                let report = Report::decode(bytes.get(1..).unwrap_or_default())?;
                Ok(Self::ReportAnchored(Box::new(report)))
            }
            RESET => {
                let reset = Reset::decode(bytes.get(1..).unwrap_or_default())?;
                Ok(Self::TenantReset(Box::new(reset)))
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

    /// The leaf hash in the state root under header version 0x0200.
    #[must_use]
    pub fn leaf(&self) -> Hash {
        merkle::leaf_hash(&[b"distli/enterprise/tenant/1", &self.write().finish()])
    }

    /// The leaf hash in the state root from header version 0x0201 on.
    #[must_use]
    pub fn leaf_with_finality(
        &self,
        newest_final: Option<&FinalBlock>,
        deadline: Option<TimestampMs>,
        resets: u32,
    ) -> Hash {
        let mut writer = self.write();
        let (height, hash) = newest_final.map_or((Height::GENESIS, Hash::ZERO), |newest| {
            (newest.height(), newest.hash())
        });
        writer
            .u32(height.0)
            .bytes(&hash.0)
            .timestamp(deadline.unwrap_or(TimestampMs(0)));
        if resets == 0 {
            return merkle::leaf_hash(&[b"distli/enterprise/tenant/2", &writer.finish()]);
        }
        writer.u32(resets);
        merkle::leaf_hash(&[b"distli/enterprise/tenant/3", &writer.finish()])
    }

    fn write(&self) -> Writer {
        let mut writer = Writer::default();
        writer
            .bytes(&self.chain_id.0.0)
            .u32(self.height.0)
            .bytes(&self.hash.0)
            .bytes(&self.work.to_be_bytes());
        writer
    }
}

const REGISTERED: u8 = 1;
const ANCHORED: u8 = 2;
const REFUSED: u8 = 3;
const SET_CHANGED: u8 = 4;
const REPORTED: u8 = 5;
const RESET: u8 = 6;
const ANCHOR_HEADER: usize = 1 + 32;
