//! What private networks let others know: blocks as their reporters vouch for them, and resets by their owners.
//!
//! Invariant: `raw` is the report and the sealed body after it; the other fields of a [`ReportedBlock`] repeat what those
//! bytes say. Nobody but members can open the body.

use serde::{Deserialize, Serialize};
use shared::report::{Report, SEALED_BYTES_MAX, SealedBlock, UncheckedSealed};

use crate::convert::{ShapeError, bytes, same};
use crate::wide;

/// Hex digits that [`ReportedBlock::raw`] may have.
pub const REPORTED_CHARS_MAX: usize = 2 * (Report::BYTES + SEALED_BYTES_MAX as usize);

/// A private network's block as its reporter vouches for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReportedBlock {
    /// The block's height; the first block is 1.
    pub block_id: u32,
    /// SHA-256 of the header, hex.
    pub block_hash: String,
    /// The report (282 bytes) and the sealed body after it, hex.
    pub raw: String,
}

impl From<&SealedBlock> for ReportedBlock {
    fn from(block: &SealedBlock) -> Self {
        Self {
            block_id: block.header().height.0,
            block_hash: block.hash().to_string(),
            raw: hex::encode(block.encode()),
        }
    }
}

impl TryFrom<&ReportedBlock> for UncheckedSealed {
    type Error = ShapeError;

    fn try_from(shape: &ReportedBlock) -> Result<Self, ShapeError> {
        let (found, allowed) = (shape.raw.len(), REPORTED_CHARS_MAX);
        if found > allowed {
            let field = "raw";
            return Err(ShapeError::TooLong {
                field,
                found,
                allowed,
            });
        }
        let block = Self::decode(&bytes("raw", &shape.raw)?)?;
        let header = &block.report().header;
        same("block_id", &shape.block_id, &header.height.0)?;
        same("block_hash", &shape.block_hash, &header.hash().to_string())?;
        Ok(block)
    }
}

/// `POST /api/resets` of the validator: the owner of a private network voids a final suffix.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ResetRequest {
    /// The signed reset, 138 bytes in hex.
    pub reset: String,
}

/// The answer to `POST /api/resets`, given once so many validators hold the reset that it is not lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ResetAccepted {
    /// The network's chain id, hex.
    pub chain_id: String,
    /// Which reset of the network it is; the first is 1.
    pub number: u32,
    /// The lowest void height.
    pub from: u32,
    /// `waiting` for a block, or `executed` in one.
    pub status: String,
}

/// One reset that a block of the enterprise chain executed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ExecutedReset {
    /// Which reset of the network it is; the first is 1.
    pub number: u32,
    /// The lowest void height.
    pub from: u32,
    /// The hash of the block below it, hex; the chain id for the genesis.
    pub stays: String,
    /// The reset's bytes, hex.
    pub reset: String,
    /// Its place in the log of final heights; the first is 0.
    #[serde(with = "wide")]
    #[cfg_attr(feature = "openapi", schema(value_type = wide::Wide))]
    pub log_index: u64,
    /// The enterprise block that executed it.
    #[serde(with = "wide")]
    #[cfg_attr(feature = "openapi", schema(value_type = wide::Wide))]
    pub enterprise_height: u64,
}

/// `GET /api/tenants/{id}/resets`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Resets {
    /// The network's chain id, hex.
    pub chain_id: String,
    /// Its resets, oldest first.
    pub resets: Vec<ExecutedReset>,
}

#[cfg(test)]
mod tests;
