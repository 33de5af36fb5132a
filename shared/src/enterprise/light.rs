//! A light client: what a browser needs of the enterprise chain to prove that a block of its own tenant is final.
//!
//! It trusts one hash, the enterprise genesis that the tenant's genesis pins. A [`FinalityProof`] holds that genesis, a
//! [`SetLink`] for every change of the validators since, and a [`Receipt`]: a header that a quorum of the validators signed,
//! and the final block's place in the log under that header.
//!
//! The client remembers the newest header it accepted and demands of every later one that its log extends the log
//! verified before (RFC 9162 §2.1.4), and that it came by the same validators. Two headers of one height that a quorum of one set
//! signed each are proof that more than a third of that set lied: [`Split`]. Compared are all headers that the client holds, the newest
//! and those at which the validators changed, with all in the proof. What contradicts without such a pair is refused, and proves
//! nothing: [`LightError::OtherValidators`] says why.
//!
//! A proof may leave out changes that cancel each other (a set that gives way and comes back); who learns of them later takes that for no contradiction,
//! as long as every change that it knows is there.
//!
//! A private tenant may be reset: a final block that names more resets is news, whatever its height, and one that names
//! fewer is none. What a client can't see is a reset that nobody shows it: that nothing later in the log voids a block is
//! not provable, so a receipt says "this became final", and who shows a later reset ([`ResetReceipt`])
//! proves that it is void.
//!
//! | bytes | field of a proof |
//! | ---: | --- |
//! | 2 | format: 1, or 2 with changes of the validators |
//! | 4 + n | the enterprise genesis |
//! | 2 | only in format 2: number of links, 1 or more; then each with its length (4), in the order of their heights |
//! | 4 + n | the receipt |
//! | 8 | the size of the log that the asker had verified |
//! | 1 + 32 × n | consistency proof from that size to the receipt's header |
//!
//! Limits: [`PROOF_BYTES_MAX`] bytes, checked before anything is kept. They bind before [`LINKS_MAX`] does: at 1.1 kB a link (seven
//! validators) a proof reaches over about 465 changes of the set.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::branch::{Branch, HeaderId};
use super::checkpoint::{Checkpoint, CheckpointError, Trust};
use super::error::EnterpriseError;
use super::finality::FinalBlock;
use super::genesis::EnterpriseGenesis;
use super::header::EnterpriseHeight;
use super::receipt::{Receipt, ReceiptError};
use super::reset_receipt::{Executed, ResetReceipt};
use super::set_change::SetLink;
use super::split::Split;
use crate::encoding::{DecodeError, Reader, Writer};
use crate::genesis::Genesis;
use crate::hash::Hash;
use crate::ids::{ChainId, NetworkId};

/// Bytes of a proof.
pub const PROOF_BYTES_MAX: usize = 512 * 1024;
/// Changes of the validators in a proof.
pub const LINKS_MAX: usize = 1_024;

/// Why a proof of finality is refused. The client is as before.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LightError {
    /// The network's genesis pins no enterprise chain.
    #[error(
        "this network's genesis names no enterprise chain, so nothing in it can be proved final"
    )]
    NotPinned,
    /// No proof was verified yet, so nothing is known of the validators.
    #[error("no proof of finality was verified yet, so nothing is known of the validators")]
    NothingProved,
    /// The format is not known.
    #[error("proof format {found}, this program knows 1 to 3")]
    Format {
        /// The format found.
        found: u16,
    },
    /// An object in the proof is not what it should be, or of another enterprise chain.
    #[error(transparent)]
    Enterprise(#[from] EnterpriseError),
    /// The receipt does not hold.
    #[error(transparent)]
    Receipt(#[from] ReceiptError),
    /// The header does not follow the one verified before.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The proof is about another tenant.
    #[error("the proof is about the tenant {found}, this one is {allowed}")]
    OtherTenant {
        /// The tenant in the proof.
        found: ChainId,
        /// This one.
        allowed: ChainId,
    },
    /// The proof follows other validators than the one verified before, and no header in it is of the height of a known one and
    /// signed by the same set: that would be a [`Self::Split`]. This is a refusal and no proof that names anybody. A set
    /// may come back, so that a header at which the set changes does not contradict a later one of the same set; and of two sets at one
    /// height nobody need have signed for both. Retired validators, or whoever has their keys, can make such a proof alone.
    #[error(
        "the proof has other validators at height {height} than the one verified before: it is refused, and shows nobody's guilt, since retired validators could have made it"
    )]
    OtherValidators {
        /// The enterprise height of a known change that it lacks, or of the newest known header, where it has another set.
        height: EnterpriseHeight,
    },
    /// The proof starts from another log than the one verified before.
    #[error("the proof extends a log of {found} entries, verified before were {allowed}")]
    OtherBase {
        /// The size in the proof.
        found: u64,
        /// The size verified before.
        allowed: u64,
    },
    /// Two blocks of one height are decided.
    #[error(
        "two blocks of the enterprise chain at height {height} are signed by a quorum each: the validators are split, and what they call final does not count until their operators mend it"
    )]
    Split {
        /// The height.
        height: EnterpriseHeight,
        /// What shows it to anybody.
        proof: Box<Split>,
    },
}

impl From<DecodeError> for LightError {
    fn from(error: DecodeError) -> Self {
        Self::Enterprise(error.into())
    }
}

/// What is asked of a validator; strangers' bytes until [`LightClient::accept`] took them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinalityProof {
    /// The enterprise genesis.
    pub genesis: EnterpriseGenesis,
    /// The changes of its validators up to the receipt, oldest first.
    pub links: Vec<SetLink>,
    /// The newest final block's receipt.
    pub receipt: Receipt,
    /// The size of the log that the asker had verified.
    pub from_size: u64,
    /// That log is a prefix of the receipt's.
    pub consistency: Vec<Hash>,
}

impl FinalityProof {
    const FORMAT: u16 = 1;
    const FORMAT_WITH_LINKS: u16 = 2;

    /// The bytes described above.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        let format = if self.links.is_empty() {
            Self::FORMAT
        } else {
            Self::FORMAT_WITH_LINKS
        };
        writer.u16(format).counted_bytes(&self.genesis.encode());
        if !self.links.is_empty() {
            writer.u16(u16::try_from(self.links.len()).unwrap_or(u16::MAX));
        }
        for link in &self.links {
            writer.counted_bytes(&link.encode());
        }
        writer
            .counted_bytes(&self.receipt.encode())
            .u64(self.from_size)
            .u8(u8::try_from(self.consistency.len()).unwrap_or(u8::MAX));
        for hash in &self.consistency {
            writer.bytes(&hash.0);
        }
        writer.finish()
    }

    /// Reads a proof; it proves nothing before [`LightClient::accept`].
    ///
    /// # Errors
    /// [`LightError`] naming what is not in the one layout or too large.
    pub fn decode(bytes: &[u8]) -> Result<Self, LightError> {
        check_proof_bytes(bytes)?;
        let mut reader = Reader::new(bytes);
        let format = reader.u16()?;
        if format != Self::FORMAT && format != Self::FORMAT_WITH_LINKS {
            return Err(LightError::Format { found: format });
        }
        let genesis = EnterpriseGenesis::decode(reader.counted_bytes("a genesis", u32::MAX)?)?;
        let mut links = Vec::new();
        if format == Self::FORMAT_WITH_LINKS {
            let count = reader.u16()?;
            if count == 0 {
                return Err(links_out_of_range(count));
            }
            links = read_links(&mut reader, count)?;
        }
        let receipt = Receipt::decode(reader.counted_bytes("a receipt", u32::MAX)?)?;
        let from_size = reader.u64()?;
        let mut consistency = Vec::new();
        for _ in 0..reader.u8()? {
            consistency.push(reader.hash()?);
        }
        reader.finish()?;
        Ok(Self {
            genesis,
            links,
            receipt,
            from_size,
            consistency,
        })
    }

    /// The changes of the validators that are in force at a height.
    fn links_below(&self, height: EnterpriseHeight) -> &[SetLink] {
        let is_below = |link: &SetLink| link.checkpoint.header.height < height;
        let count = self.links.partition_point(is_below);
        self.links.get(..count).unwrap_or_default()
    }
}

/// The verified part of the enterprise chain, as one browser knows it.
#[derive(Clone, Debug)]
pub struct LightClient {
    pinned: Hash,
    newest: Option<Checkpoint>,
    signers: Vec<NetworkId>,
    last: Option<FinalBlock>,
    /// What the newest proof was verified with.
    trust: Option<Trust>,
    /// The headers by which the validators changed, oldest first.
    links: Vec<Checkpoint>,
}

impl LightClient {
    /// A client that trusts this enterprise genesis hash and nothing else.
    #[must_use]
    pub const fn new(pinned: Hash) -> Self {
        Self {
            pinned,
            newest: None,
            signers: Vec::new(),
            last: None,
            trust: None,
            links: Vec::new(),
        }
    }

    /// Entries of the log verified so far.
    #[must_use]
    pub fn log_size(&self) -> u64 {
        self.newest.as_ref().map_or(0, |one| one.header.log_size)
    }

    /// The height of the newest header verified, 0 before the first.
    #[must_use]
    pub fn height(&self) -> EnterpriseHeight {
        let newest = self.newest.as_ref();
        newest.map_or(EnterpriseHeight(0), |one| one.header.height)
    }

    /// The newest header verified; none before the first. Whoever has another one of its height answers with a [`Branch`].
    #[must_use]
    pub fn header(&self) -> Option<HeaderId> {
        self.newest.as_ref().map(|newest| HeaderId {
            height: newest.header.height,
            hash: newest.header.hash(),
        })
    }

    /// The names of the validators that signed it.
    #[must_use]
    pub fn signers(&self) -> &[NetworkId] {
        &self.signers
    }

    /// The block that the newest proof is about.
    #[must_use]
    pub const fn last(&self) -> Option<&FinalBlock> {
        self.last.as_ref()
    }

    /// Verifies the receipt of a reset of `tenant`: that its owner signed it, and that a quorum of the validators of the newest
    /// proof executed it.
    ///
    /// # Errors
    /// [`LightError`] naming what does not hold.
    pub fn check_reset(&self, tenant: &Genesis, bytes: &[u8]) -> Result<Executed, LightError> {
        let trust = self.trust.as_ref().ok_or(LightError::NothingProved)?;
        Ok(ResetReceipt::decode(bytes)?.verify(tenant, trust)?)
    }

    /// Reads and verifies a split of the validators that this client follows.
    ///
    /// # Errors
    /// [`LightError`] when it is not in the one layout or shows nothing.
    pub fn check_split(&self, bytes: &[u8]) -> Result<Split, LightError> {
        Split::decode(bytes, self.pinned)
    }

    /// Verifies a proof for `tenant` and moves onto its header; answers the final block if it is news.
    ///
    /// # Errors
    /// [`LightError`] naming what does not hold; the client then stays where it is. Of a [`Branch`] always: it is shown to be a split, or refused.
    pub fn accept(
        &mut self,
        tenant: ChainId,
        bytes: &[u8],
    ) -> Result<Option<FinalBlock>, LightError> {
        if Branch::is_begun(bytes) {
            return Err(self.contradicted(Branch::decode(bytes)?));
        }
        let proof = FinalityProof::decode(bytes)?;
        let trust = self.trust(&proof)?;
        let verified = proof.receipt.verify(&trust)?;
        let block = *verified.block();
        if block.chain_id() != tenant {
            let (found, allowed) = (block.chain_id(), tenant);
            return Err(LightError::OtherTenant { found, allowed });
        }
        self.check_history(&proof, &trust)?;
        let set = trust.validators().validators();
        let signed = set
            .iter()
            .filter(|validator| verified.signers().contains(&validator.key));
        self.signers = signed.map(|validator| validator.name.clone()).collect();
        let known = self.height();
        let new = proof.links.into_iter().map(|link| link.checkpoint);
        self.links
            .extend(new.filter(|link| link.header.height >= known));
        self.newest = Some(proof.receipt.checkpoint);
        self.trust = Some(trust);
        let is_news = self.last.is_none_or(|last| block.is_after(&last));
        if is_news {
            self.last = Some(block);
        }
        Ok(is_news.then_some(block))
    }

    /// The split that a branch shows together with the newest known header, or why it shows none.
    fn contradicted(&self, branch: Branch) -> LightError {
        let Some(known) = &self.newest else {
            return LightError::NothingProved;
        };
        let root = (&branch.genesis, self.pinned);
        let both = (known.clone(), branch.checkpoint);
        match Split::new(root, &branch.links, both) {
            Ok(split) => LightError::Split {
                height: split.height(),
                proof: Box::new(split),
            },
            Err(error) => error,
        }
    }

    /// Follows the validators from the genesis to the receipt, on the way that was verified before.
    fn trust(&self, proof: &FinalityProof) -> Result<Trust, LightError> {
        let mut trust = Trust::new(&proof.genesis, self.pinned)?;
        let mut height = EnterpriseHeight(0);
        for link in &proof.links {
            height = check_rises(height, link.checkpoint.header.height)?;
            trust.follow(link)?;
        }
        let newest = &proof.receipt.checkpoint;
        check_rises(height, newest.header.height)?;
        for found in proof.links.iter().map(|link| &link.checkpoint) {
            self.check_contradiction(proof, found)?;
        }
        self.check_contradiction(proof, newest)?;
        self.check_way(proof)?;
        Ok(trust)
    }

    /// No header of the proof contradicts a known one of its height under one set, so that who signed both could be named.
    fn check_contradiction(
        &self,
        proof: &FinalityProof,
        found: &Checkpoint,
    ) -> Result<(), LightError> {
        let height = found.header.height;
        let mut known = self.links.iter().chain(&self.newest);
        let known = known.find(|known| known.header.height == height);
        let Some(known) = known.filter(|known| known.header != found.header) else {
            return Ok(());
        };
        let below = proof.links_below(height);
        let root = (&proof.genesis, self.pinned);
        match Split::new(root, below, (known.clone(), found.clone())) {
            Ok(split) => Err(LightError::Split {
                height,
                proof: Box::new(split),
            }),
            // Of another set, or not signed: what comes after this refuses it.
            Err(_) => Ok(()),
        }
    }

    /// The proof has the known changes of the validators below its newest header, and the known set at the newest known one.
    /// Whoever was a validator once could go on from there with others of its own.
    fn check_way(&self, proof: &FinalityProof) -> Result<(), LightError> {
        let newest = proof.receipt.checkpoint.header.height;
        for known in self.links.iter().map(|link| &link.header) {
            let mut found = proof.links.iter().map(|link| &link.checkpoint.header);
            if known.height < newest && !found.any(|found| found == known) {
                let height = known.height;
                return Err(LightError::OtherValidators { height });
            }
        }
        let known = self.newest.as_ref().map(|known| &known.header);
        let Some(known) = known.filter(|known| known.height <= newest) else {
            return Ok(());
        };
        let set = match proof.links_below(known.height).last() {
            Some(link) => link.next.hash(),
            None => proof.genesis.validators().hash(),
        };
        if set != known.validators {
            let height = known.height;
            return Err(LightError::OtherValidators { height });
        }
        Ok(())
    }

    /// The new header follows the newest one known.
    fn check_history(&self, proof: &FinalityProof, trust: &Trust) -> Result<(), LightError> {
        let (Some(known), next) = (&self.newest, &proof.receipt.checkpoint) else {
            return Ok(());
        };
        if known.header == next.header {
            return Ok(());
        }
        if proof.from_size != known.header.log_size {
            let (found, allowed) = (proof.from_size, known.header.log_size);
            return Err(LightError::OtherBase { found, allowed });
        }
        Ok(next.verify_after(known, &proof.consistency, trust)?)
    }
}

/// A proof is not too large to be read.
pub(super) fn check_proof_bytes(bytes: &[u8]) -> Result<(), LightError> {
    let (found, allowed) = (bytes.len(), PROOF_BYTES_MAX);
    if found <= allowed {
        return Ok(());
    }
    let what = "bytes of a proof of finality";
    let error = EnterpriseError::TooLarge {
        what,
        found,
        allowed,
    };
    Err(error.into())
}

/// The changes of the validators in a proof, each with its length.
pub(super) fn read_links(reader: &mut Reader<'_>, count: u16) -> Result<Vec<SetLink>, LightError> {
    if usize::from(count) > LINKS_MAX {
        return Err(links_out_of_range(count));
    }
    let mut links = Vec::new();
    for _ in 0..count {
        let link = reader.counted_bytes("a change of the validators", u32::MAX)?;
        links.push(SetLink::decode(link)?);
    }
    Ok(links)
}

fn links_out_of_range(count: u16) -> LightError {
    let error = EnterpriseError::Range {
        field: "changes of the validators",
        found: count.into(),
        allowed: "1 to 1,024",
    };
    error.into()
}

/// Changes of the validators and what follows them are in the order of their heights; answers the higher one.
pub(super) fn check_rises(
    below: EnterpriseHeight,
    found: EnterpriseHeight,
) -> Result<EnterpriseHeight, LightError> {
    if found > below {
        return Ok(found);
    }
    let expected = below.next();
    Err(EnterpriseError::Height { found, expected }.into())
}
