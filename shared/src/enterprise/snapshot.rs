//! Snapshots of the enterprise chain's state: what a quorum signs of one, and the proof that a newcomer verifies.
//!
//! A snapshot is a string of bytes that every validator makes alike from the blocks up to a height; what is in it is the
//! validators' business. It travels in chunks of [`SNAPSHOT_CHUNK_BYTES`], the last one shorter. The manifest names them all; its root is
//! SHA-256 of `distli/enterprise/snapshot-manifest/1` and its bytes. Each validator signs the root under the domain
//! `distli/enterprise/snapshot/1` and the enterprise chain id.
//!
//! | bytes | field of a manifest |
//! | ---: | --- |
//! | 2 | format: 1 |
//! | 8 | height of the block after which the state is |
//! | 32 | that block's hash |
//! | 8 | length of the part that only grows from one snapshot to the next |
//! | 8 | length of the whole |
//! | 4 + 32 × n | SHA-256 of each chunk |
//!
//! | bytes | field of a proof |
//! | ---: | --- |
//! | 2 | number of links; then each with its length (4), in the order of their heights |
//! | 4 + n | the block's checkpoint |
//! | 4 + n | the manifest |
//! | 2 + 66 × n | signatures over the root: the signer's index (2) in the set of that height, ascending, and the signature |
//!
//! A newcomer trusts the enterprise genesis alone: the links lead to the set of the height, a quorum of that set decided the block, and a
//! quorum of it signed the root. Whoever can forge that can forge blocks.
//!
//! Limits: [`SNAPSHOT_CHUNKS_MAX`], [`SNAPSHOT_PROOF_BYTES_MAX`], checked before anything is kept.

use alloc::vec::Vec;

use super::certificate::Certificate;
use super::checkpoint::{Checkpoint, Trust};
use super::error::EnterpriseError;
use super::genesis::EnterpriseGenesis;
use super::header::EnterpriseHeight;
use super::light::LINKS_MAX;
use super::set_change::SetLink;
use super::validators::{VALIDATORS_MAX, ValidatorSet};
use crate::encoding::{Reader, Writer};
use crate::hash::{Hash, sha256};
use crate::identity::{self, Identity};
use crate::ids::{ChainId, PublicKey, Signature};

/// Bytes of a chunk; the last one may have fewer.
pub const SNAPSHOT_CHUNK_BYTES: u64 = 256 * 1024;
/// Chunks of a snapshot: 4 GiB.
pub const SNAPSHOT_CHUNKS_MAX: u32 = 16_384;
/// Bytes of a proof.
pub const SNAPSHOT_PROOF_BYTES_MAX: usize = 2 * 1024 * 1024;

/// What a snapshot consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotManifest {
    /// The height of the block after which the state is.
    pub height: EnterpriseHeight,
    /// That block's hash.
    pub block_hash: Hash,
    /// Bytes of the part that only grows; its whole chunks are those of every later snapshot, too.
    pub history_bytes: u64,
    /// Bytes in all.
    pub bytes: u64,
    /// SHA-256 of each chunk.
    pub chunks: Vec<Hash>,
}

impl SnapshotManifest {
    /// The domain that roots are signed under.
    pub const DOMAIN: &'static str = "distli/enterprise/snapshot/1";
    const FORMAT: u16 = 1;

    /// The bytes described above.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer
            .u16(Self::FORMAT)
            .u64(self.height.0)
            .bytes(&self.block_hash.0)
            .u64(self.history_bytes)
            .u64(self.bytes)
            .u32(u32::try_from(self.chunks.len()).unwrap_or(u32::MAX));
        for chunk in &self.chunks {
            writer.bytes(&chunk.0);
        }
        writer.finish()
    }

    /// Reads a manifest; it proves nothing before its root is known to be signed.
    ///
    /// # Errors
    /// [`EnterpriseError`] when the bytes are not in the one layout, or the number of chunks is not that of the length.
    pub fn decode(bytes: &[u8]) -> Result<Self, EnterpriseError> {
        let mut reader = Reader::new(bytes);
        let format = reader.u16()?;
        if format != Self::FORMAT {
            return Err(EnterpriseError::Version {
                found: format,
                allowed: Self::FORMAT,
            });
        }
        let height = EnterpriseHeight(reader.u64()?);
        let block_hash = reader.hash()?;
        let (history_bytes, bytes) = (reader.u64()?, reader.u64()?);
        let count = reader.u32()?;
        if count > SNAPSHOT_CHUNKS_MAX || u64::from(count) != bytes.div_ceil(SNAPSHOT_CHUNK_BYTES) {
            return Err(EnterpriseError::Range {
                field: "chunks of a snapshot",
                found: count.into(),
                allowed: "those of its length, at most 16,384",
            });
        }
        if history_bytes > bytes {
            return Err(EnterpriseError::Range {
                field: "the length of a snapshot's history",
                found: history_bytes,
                allowed: "at most that of the whole",
            });
        }
        let mut chunks = Vec::new();
        for _ in 0..count {
            chunks.push(reader.hash()?);
        }
        reader.finish()?;
        Ok(Self {
            height,
            block_hash,
            history_bytes,
            bytes,
            chunks,
        })
    }

    /// The hash that validators sign.
    #[must_use]
    pub fn root(&self) -> Hash {
        sha256(&[b"distli/enterprise/snapshot-manifest/1", &self.encode()])
    }

    /// How many chunks hold nothing but history: every later snapshot has the same.
    #[must_use]
    pub const fn shared_chunks(&self) -> u64 {
        self.history_bytes / SNAPSHOT_CHUNK_BYTES
    }

    /// Signs a root.
    #[must_use]
    pub fn sign(root: &Hash, identity: &Identity, chain: ChainId) -> Signature {
        identity.sign(Self::DOMAIN, chain, root.as_bytes())
    }

    /// Whether `signature` is `key`'s over a root.
    #[must_use]
    pub fn is_signed_by(
        root: &Hash,
        key: &PublicKey,
        chain: ChainId,
        signature: &Signature,
    ) -> bool {
        identity::verify(Self::DOMAIN, chain, key, root.as_bytes(), signature).is_ok()
    }
}

/// What shows that a quorum vouches for a snapshot; strangers' bytes until [`SnapshotProof::verify`] took them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotProof {
    /// The changes of the validators up to the block, oldest first.
    pub links: Vec<SetLink>,
    /// The block's header with its certificate.
    pub checkpoint: Checkpoint,
    /// What the snapshot consists of.
    pub manifest: SnapshotManifest,
    /// Signatures over the root, with the signer's index in the set of the block's height, ascending.
    pub signatures: Vec<(u16, Signature)>,
}

impl SnapshotProof {
    /// The bytes described above.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.u16(u16::try_from(self.links.len()).unwrap_or(u16::MAX));
        for link in &self.links {
            writer.counted_bytes(&link.encode());
        }
        writer
            .counted_bytes(&self.checkpoint.encode())
            .counted_bytes(&self.manifest.encode())
            .u16(u16::try_from(self.signatures.len()).unwrap_or(u16::MAX));
        for (index, signature) in &self.signatures {
            writer.u16(*index).bytes(&signature.0);
        }
        writer.finish()
    }

    /// Reads a proof.
    ///
    /// # Errors
    /// [`EnterpriseError`] naming what is not in the one layout or too large.
    pub fn decode(bytes: &[u8]) -> Result<Self, EnterpriseError> {
        too_large(
            "bytes of a snapshot's proof",
            bytes.len(),
            SNAPSHOT_PROOF_BYTES_MAX,
        )?;
        let mut reader = Reader::new(bytes);
        let count = usize::from(reader.u16()?);
        too_large("changes of the validators", count, LINKS_MAX)?;
        let mut links = Vec::new();
        for _ in 0..count {
            let link = reader.counted_bytes("a change of the validators", u32::MAX)?;
            links.push(SetLink::decode(link)?);
        }
        let checkpoint = Checkpoint::decode(reader.counted_bytes("a checkpoint", u32::MAX)?)?;
        let manifest = SnapshotManifest::decode(reader.counted_bytes("a manifest", u32::MAX)?)?;
        let count = usize::from(reader.u16()?);
        too_large("signatures of a snapshot", count, VALIDATORS_MAX)?;
        let mut signatures = Vec::new();
        for _ in 0..count {
            signatures.push((reader.u16()?, reader.signature()?));
        }
        reader.finish()?;
        Ok(Self {
            links,
            checkpoint,
            manifest,
            signatures,
        })
    }

    /// Verifies the proof from the genesis on; answers the set of the height after the block.
    ///
    /// # Errors
    /// [`EnterpriseError`] naming what does not hold; cheap checks come before signatures.
    pub fn verify(&self, genesis: &EnterpriseGenesis) -> Result<ValidatorSet, EnterpriseError> {
        let header = &self.checkpoint.header;
        let hash = header.hash();
        let (found, computed) = (self.manifest.block_hash, hash);
        if found != computed || self.manifest.height != header.height {
            let field = "the block of the snapshot";
            return Err(EnterpriseError::Mismatch {
                field,
                found,
                computed,
            });
        }
        let mut trust = Trust::new(genesis, genesis.hash())?;
        let mut height = EnterpriseHeight(0);
        let (last, below) = self.split_links();
        for link in below {
            let found = link.checkpoint.header.height;
            if found <= height || found >= header.height {
                let expected = height.next();
                return Err(EnterpriseError::Height { found, expected });
            }
            height = found;
            trust.follow(link)?;
        }
        self.checkpoint.verify(&trust)?;
        self.verify_signatures(&trust)?;
        if let Some(link) = last {
            let (found, computed) = (link.checkpoint.header.hash(), hash);
            if found != computed {
                let field = "the header that changes the validators";
                return Err(EnterpriseError::Mismatch {
                    field,
                    found,
                    computed,
                });
            }
            trust.follow(link)?;
        }
        let set = trust.validators().clone();
        let (found, computed) = (header.next_validators, set.hash());
        if found != computed {
            let field = "the next validator set";
            return Err(EnterpriseError::Mismatch {
                field,
                found,
                computed,
            });
        }
        Ok(set)
    }

    /// The link that the block itself is, and those below it.
    fn split_links(&self) -> (Option<&SetLink>, &[SetLink]) {
        match self.links.split_last() {
            Some((last, below))
                if last.checkpoint.header.height == self.checkpoint.header.height =>
            {
                (Some(last), below)
            }
            Some(_) | None => (None, &self.links),
        }
    }

    fn verify_signatures(&self, trust: &Trust) -> Result<(), EnterpriseError> {
        let set = trust.validators();
        let (found, needed) = (self.signatures.len(), set.quorum());
        if found < needed {
            return Err(EnterpriseError::NoQuorum { found, needed });
        }
        let (root, mut previous) = (self.manifest.root(), None);
        for (index, signature) in &self.signatures {
            let signer = set.get(*index).ok_or(EnterpriseError::Signer(*index))?;
            if previous.is_some_and(|before| before >= *index) {
                return Err(EnterpriseError::Signer(*index));
            }
            previous = Some(*index);
            let chain = trust.chain_id();
            if !SnapshotManifest::is_signed_by(&root, &signer.key, chain, signature) {
                return Err(EnterpriseError::Signature(*index));
            }
        }
        Ok(())
    }

    /// The certificate of the block.
    #[must_use]
    pub const fn certificate(&self) -> &Certificate {
        &self.checkpoint.certificate
    }
}

const fn too_large(
    what: &'static str,
    found: usize,
    allowed: usize,
) -> Result<(), EnterpriseError> {
    if found > allowed {
        return Err(EnterpriseError::TooLarge {
            what,
            found,
            allowed,
        });
    }
    Ok(())
}
