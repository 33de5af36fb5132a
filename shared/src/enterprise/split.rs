//! A split of the validators as a browser keeps it: enough to show it to anybody who knows the hash of their genesis.
//!
//! | bytes | field |
//! | ---: | --- |
//! | 4 + n | the enterprise genesis |
//! | 2 | number of links, then each with its length (4): the changes of the validators below the height, oldest first |
//! | 4 + n | the first checkpoint |
//! | … | the second checkpoint, to the end |
//!
//! Nothing else is in it, so that every byte is verified: one set, which the links lead to from the genesis on, signed two headers of
//! one height by a quorum each. Headers of two different sets are no split: who signed neither can't have signed both, and
//! what a client then holds names nobody (`LightError::OtherValidators`).
//!
//! Limits: [`SPLIT_BYTES_MAX`] bytes, checked before anything is read.

use alloc::vec::Vec;

use super::checkpoint::{Checkpoint, SplitProof, Trust};
use super::error::EnterpriseError;
use super::genesis::EnterpriseGenesis;
use super::header::{EnterpriseHeader, EnterpriseHeight};
use super::light::{LightError, PROOF_BYTES_MAX, check_rises, read_links};
use super::receipt::CERTIFICATE_BYTES_MAX;
use super::set_change::SetLink;
use crate::encoding::{Reader, Writer};
use crate::hash::Hash;
use crate::ids::PublicKey;

/// Bytes of a split: those of a proof of finality and one more checkpoint.
pub const SPLIT_BYTES_MAX: usize = PROOF_BYTES_MAX + CHECKPOINT_BYTES_MAX as usize;

const CHECKPOINT_BYTES_MAX: u32 = CERTIFICATE_BYTES_MAX + 248;
const _: () = assert!(EnterpriseHeader::BYTES == 248);

/// Two decided headers of one height, verified from the genesis on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    proof: SplitProof,
    culprits: Vec<PublicKey>,
    bytes: Vec<u8>,
}

impl Split {
    /// Two checkpoints that contradict each other, verified from the genesis with the hash `pinned` on, by the `links` below them.
    ///
    /// # Errors
    /// [`LightError`] when something does not verify, or both checkpoints are of one block or of two heights.
    pub fn new(
        (genesis, pinned): (&EnterpriseGenesis, Hash),
        links: &[SetLink],
        (first, second): (Checkpoint, Checkpoint),
    ) -> Result<Self, LightError> {
        let (mut trust, mut below) = (Trust::new(genesis, pinned)?, EnterpriseHeight(0));
        for link in links {
            below = check_rises(below, link.checkpoint.header.height)?;
            trust.follow(link)?;
        }
        check_rises(below, first.header.height)?;
        let proof = SplitProof::new(first, second, &trust)?;
        Ok(Self {
            culprits: proof.culprits(&trust),
            bytes: encode(genesis, links, proof.checkpoints()),
            proof,
        })
    }

    /// Reads and verifies a split of the validators of the genesis with this hash.
    ///
    /// # Errors
    /// [`LightError`] when it is not in the one layout or shows nothing.
    pub fn decode(bytes: &[u8], pinned: Hash) -> Result<Self, LightError> {
        let (found, allowed) = (bytes.len(), SPLIT_BYTES_MAX);
        if found > allowed {
            let what = "bytes of a split";
            return Err(EnterpriseError::TooLarge {
                what,
                found,
                allowed,
            }
            .into());
        }
        let mut reader = Reader::new(bytes);
        let genesis = EnterpriseGenesis::decode(reader.counted_bytes("a genesis", u32::MAX)?)?;
        let count = reader.u16()?;
        let links = read_links(&mut reader, count)?;
        let first = reader.counted_bytes("the length of a checkpoint", CHECKPOINT_BYTES_MAX)?;
        let first = Checkpoint::decode(first)?;
        let second = Checkpoint::decode(reader.bytes(reader.remaining())?)?;
        Self::new((&genesis, pinned), &links, (first, second))
    }

    /// The height that has two decided blocks.
    #[must_use]
    pub const fn height(&self) -> EnterpriseHeight {
        self.proof.checkpoints().0.header.height
    }

    /// The two checkpoints; that which was known comes first.
    #[must_use]
    pub const fn checkpoints(&self) -> (&Checkpoint, &Checkpoint) {
        self.proof.checkpoints()
    }

    /// Who signed both; more than a third of the set. No honest validator signs two blocks in one round. If the two rounds differ,
    /// more than a third still broke the rules, but one that signed both may have been led to it by them.
    #[must_use]
    pub fn culprits(&self) -> &[PublicKey] {
        &self.culprits
    }

    /// Whether both were signed in one round.
    #[must_use]
    pub fn is_of_one_round(&self) -> bool {
        let (first, second) = self.checkpoints();
        first.certificate.round == second.certificate.round
    }

    /// The bytes described above.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

fn encode(
    genesis: &EnterpriseGenesis,
    links: &[SetLink],
    (first, second): (&Checkpoint, &Checkpoint),
) -> Vec<u8> {
    let mut writer = Writer::default();
    writer
        .counted_bytes(&genesis.encode())
        .u16(u16::try_from(links.len()).unwrap_or(u16::MAX));
    for link in links {
        writer.counted_bytes(&link.encode());
    }
    writer
        .counted_bytes(&first.encode())
        .bytes(&second.encode());
    writer.finish()
}
