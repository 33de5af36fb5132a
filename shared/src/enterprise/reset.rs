//! Resets: the owner of a private network voids a final suffix of its chain (PROTOCOL §4).
//!
//! | bytes | field |
//! | ---: | --- |
//! | 2 | format 1 |
//! | 32 | tenant chain id |
//! | 4 | number: 1 for the chain's first reset, one more for each further |
//! | 4 | the height from which on blocks are void, 1 or more |
//! | 32 | the final block below it, which stays; the chain id for the genesis |
//! | 64 | signature of the owner's key over the fields before it, domain [`Reset::DOMAIN`], under the chain id |
//!
//! The number keeps a reset from being used twice; the block that stays keeps it from another branch. What a reset does is in
//! `voiding`. In the log of final heights its leaf is `distli/enterprise/reset/1` and these bytes.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::finality::FinalBlock;
use crate::encoding::{DecodeError, Reader, Writer, in_range};
use crate::genesis::{Access, Genesis};
use crate::hash::Hash;
use crate::identity::{self, Identity, SignatureError};
use crate::ids::{ChainId, Height, PublicKey, Signature};
use crate::merkle;

/// A final suffix of a private network is void, its owner says; it proves nothing before [`Self::verify`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reset {
    /// The network.
    pub chain_id: ChainId,
    /// Which reset of the chain this is; the first is 1.
    pub number: u32,
    /// The lowest void height.
    pub from: Height,
    /// The block below it.
    pub stays: Hash,
    /// The owner's signature.
    pub signature: Signature,
}

impl Reset {
    /// The domain that resets are signed under.
    pub const DOMAIN: &'static str = "distli/reset/1";
    /// The length of an encoded reset.
    pub const BYTES: usize = 2 + 32 + 4 + 4 + 32 + 64;

    /// Signs a reset as the owner.
    #[must_use]
    pub fn sign(
        owner: &Identity,
        chain_id: ChainId,
        number: u32,
        from: Height,
        stays: Hash,
    ) -> Self {
        let mut reset = Self {
            chain_id,
            number,
            from,
            stays,
            signature: Signature([0; 64]),
        };
        reset.signature = owner.sign(Self::DOMAIN, chain_id, &reset.signed_bytes());
        reset
    }

    /// Whether this key signed it.
    ///
    /// # Errors
    /// [`SignatureError`] when it did not.
    pub fn verify(&self, owner: &PublicKey) -> Result<(), SignatureError> {
        let bytes = self.signed_bytes();
        identity::verify(Self::DOMAIN, self.chain_id, owner, &bytes, &self.signature)
    }

    /// Whether it is a reset that the owner of this private network signed.
    #[must_use]
    pub fn is_of(&self, genesis: &Genesis) -> bool {
        matches!(genesis.access, Access::Private { .. })
            && self.chain_id == genesis.chain_id()
            && self.verify(&genesis.owner).is_ok()
    }

    /// Its leaf in the log of final heights.
    #[must_use]
    pub fn leaf(&self) -> Hash {
        merkle::leaf_hash(&[b"distli/enterprise/reset/1", &self.encode()])
    }

    fn signed_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::with_capacity(Self::BYTES);
        writer
            .u16(FORMAT)
            .bytes(&self.chain_id.0.0)
            .u32(self.number)
            .u32(self.from.0)
            .bytes(&self.stays.0);
        writer.finish()
    }

    /// The bytes described above.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = self.signed_bytes();
        bytes.extend(self.signature.0);
        bytes
    }

    /// Reads exactly [`Self::BYTES`] bytes.
    ///
    /// # Errors
    /// [`DecodeError`] when they are not in the one layout, or number or height is 0.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let format = reader.u16()?;
        in_range("reset format", format.into(), FORMAT.into(), FORMAT.into())?;
        let reset = Self {
            chain_id: ChainId(reader.hash()?),
            number: reader.u32()?,
            from: Height(reader.u32()?),
            stays: reader.hash()?,
            signature: reader.signature()?,
        };
        reader.finish()?;
        let most = u64::from(u32::MAX);
        in_range("the number of a reset", reset.number.into(), 1, most)?;
        in_range("the height of a reset", reset.from.0.into(), 1, most)?;
        Ok(reset)
    }
}

/// An entry of the log of final heights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogEntry {
    /// A height became final; or, right after a reset, what stays is final still.
    Final(FinalBlock),
    /// A final suffix became void.
    Reset(Box<Reset>),
}

impl LogEntry {
    /// The tenant.
    #[must_use]
    pub const fn chain_id(&self) -> ChainId {
        match self {
            Self::Final(block) => block.chain_id(),
            Self::Reset(reset) => reset.chain_id,
        }
    }

    /// Its leaf.
    #[must_use]
    pub fn leaf(&self) -> Hash {
        match self {
            Self::Final(block) => block.leaf(),
            Self::Reset(reset) => reset.leaf(),
        }
    }
}

const FORMAT: u16 = 1;
