//! A split of the validators as a browser keeps it: enough to show it to anybody who knows the hash of their genesis.
//!
//! Encoded: the length of the first checkpoint (4), that checkpoint, then to the end the proof of finality that was refused
//! for it. The proof brings the enterprise genesis, the changes of its validators and the second checkpoint.
//!
//! Limits: those of a checkpoint and of [`super::PROOF_BYTES_MAX`].

use alloc::vec::Vec;

use super::checkpoint::{Checkpoint, SplitProof};
use super::header::{EnterpriseHeader, EnterpriseHeight};
use super::light::{FinalityProof, LightClient, LightError};
use super::receipt::CERTIFICATE_BYTES_MAX;
use crate::encoding::{Reader, Writer};
use crate::hash::Hash;
use crate::ids::PublicKey;

/// Two decided headers of one height, verified from the genesis on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    height: EnterpriseHeight,
    culprits: Vec<PublicKey>,
    bytes: Vec<u8>,
}

impl Split {
    /// The bytes described above; they show nothing before [`Self::decode`].
    #[must_use]
    pub fn join(first: &Checkpoint, proof: &[u8]) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.counted_bytes(&first.encode()).bytes(proof);
        writer.finish()
    }

    /// Reads and verifies a split of the validators of the genesis with this hash.
    ///
    /// # Errors
    /// [`LightError`] when it is not in the one layout or shows nothing.
    pub fn decode(bytes: &[u8], pinned: Hash) -> Result<Self, LightError> {
        let mut reader = Reader::new(bytes);
        let header = u32::try_from(EnterpriseHeader::BYTES).unwrap_or(u32::MAX);
        let most = CERTIFICATE_BYTES_MAX.saturating_add(header);
        let first = reader.counted_bytes("the length of a checkpoint", most)?;
        let first = Checkpoint::decode(first)?;
        let proof = FinalityProof::decode(reader.bytes(reader.remaining())?)?;
        let trust = LightClient::new(pinned).trust(&proof)?;
        let split = SplitProof::new(first, proof.receipt.checkpoint, &trust)?;
        Ok(Self {
            height: split.checkpoints().0.header.height,
            culprits: split.culprits(&trust),
            bytes: bytes.to_vec(),
        })
    }

    /// The height that has two decided blocks.
    #[must_use]
    pub const fn height(&self) -> EnterpriseHeight {
        self.height
    }

    /// Who signed both: no honest validator does.
    #[must_use]
    pub fn culprits(&self) -> &[PublicKey] {
        &self.culprits
    }

    /// The bytes it was read from.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}
