//! Blocks: from a stranger's bytes to a value whose every stateless rule holds.
//!
//! Layout: header 116 | miner key 32 | miner's free bytes 8 | count u16 | per transaction u32 length and bytes. The body
//! root is the RFC 6962 root over leaf 0 = "distli/miner/1" ‖ key ‖ free bytes, then per transaction
//! "distli/body/1" ‖ id. Ids suffice to check a body against its header.
//!
//! [`UncheckedBlock::check`] goes from cheap to dear: proof of work before anything else, signatures last. What it
//! does not know is the chain: parent, target, sequences and state root are the chain's to check.

use alloc::vec::Vec;

use crate::{
    encoding::{DecodeError, Reader, Writer, in_range},
    genesis::{Genesis, Rules},
    hash::{Hash, sha256},
    header::{HEADER_BYTES, Header, LAST_VERSION, VERSION},
    identity::{Verifier, Verify},
    ids::{ChainId, Height, PublicKey, Sequence, TimestampMs},
    limits, merkle,
    pow::CompactTarget,
    transaction::{Transaction, TransactionError, VerifiedTransaction},
};

/// Bytes of a block beside its transactions.
pub const OVERHEAD_BYTES: usize = HEADER_BYTES + 40 + 2;
/// Bytes of a transaction in a block beside its own.
pub const TRANSACTION_PREFIX_BYTES: usize = 4;

/// Who mined a block, and eight bytes of the miner's choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MinerRecord {
    /// The miner's key.
    pub key: PublicKey,
    /// Free bytes: room for a larger nonce, or a mark.
    pub free: [u8; 8],
}

impl MinerRecord {
    /// The forty bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; 40] {
        let mut bytes = [0; 40];
        let (key, free) = bytes.split_at_mut(32);
        key.copy_from_slice(&self.key.0);
        free.copy_from_slice(&self.free);
        bytes
    }

    /// Reads forty bytes.
    ///
    /// # Errors
    /// Fewer are left.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            key: reader.public_key()?,
            free: reader.array()?,
        })
    }
}

/// A block as it comes: well-formed at the outside, nothing proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UncheckedBlock {
    /// The header.
    pub header: Header,
    /// The miner's record.
    pub miner: MinerRecord,
    /// Each transaction's bytes.
    pub transactions: Vec<Vec<u8>>,
}

impl UncheckedBlock {
    /// The canonical bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        encode(
            &self.header,
            &self.miner,
            self.transactions.iter().map(Vec::as_slice),
        )
    }

    /// Parses canonical bytes.
    ///
    /// # Errors
    /// Malformed, or larger than any network's blocks.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        in_range(
            "block bytes",
            bytes.len() as u64,
            0,
            limits::BLOCK_BYTES_MAX.into(),
        )?;
        let mut reader = Reader::new(bytes);
        let header = Header::read(&mut reader)?;
        let miner = MinerRecord::read(&mut reader)?;
        let count = reader.u16()?;
        in_range(
            "block transactions",
            count.into(),
            0,
            limits::BLOCK_TRANSACTIONS_MAX.into(),
        )?;
        let mut transactions = Vec::with_capacity(count.into());
        for _ in 0..count {
            transactions.push(
                reader
                    .counted_bytes("transaction bytes", limits::TRANSACTION_BYTES_MAX)?
                    .to_vec(),
            );
        }
        reader.finish()?;
        Ok(Self {
            header,
            miner,
            transactions,
        })
    }

    /// Checks every rule that needs no chain, signatures last.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn check(self, genesis: &Genesis) -> Result<Block, BlockError> {
        self.check_with(genesis, &mut Verifier::default(), |_| false)
    }

    /// As [`UncheckedBlock::check`], by what the verifier knows of the senders, and without verifying again the signatures of transactions whose id is `known`.
    ///
    /// An id covers the signature, so a transaction verified before under the same id and chain needs no second look.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn check_with(
        self,
        genesis: &Genesis,
        verifier: &mut impl Verify,
        known: impl Fn(&Hash) -> bool,
    ) -> Result<Block, BlockError> {
        check_header(&self.header, &genesis.rules)?;
        let rules = &genesis.rules;
        let bytes = encoded_len(self.transactions.iter().map(Vec::len));
        if bytes > rules.block_bytes_max as usize {
            return Err(BlockError::TooLarge {
                found: bytes,
                allowed: rules.block_bytes_max,
            });
        }
        if self.transactions.len() > usize::from(rules.block_transactions_max) {
            let found = self.transactions.len();
            return Err(BlockError::TooManyTransactions {
                found,
                allowed: rules.block_transactions_max,
            });
        }
        let found = body_root(
            &self.miner,
            self.transactions.iter().map(|bytes| sha256(&[bytes])),
        );
        if found != self.header.body_root {
            return Err(BlockError::BodyRoot {
                found,
                allowed: self.header.body_root,
            });
        }
        let chain = genesis.chain_id();
        let transactions = verified(&self.transactions, chain, rules, verifier, known)?;
        Ok(Block {
            hash: self.header.hash(),
            header: self.header,
            miner: self.miner,
            transactions,
            chain,
        })
    }

    /// As [`UncheckedBlock::check`], taking all signatures as verified: only for blocks this peer itself checked and
    /// stored. Proof of work, limits, body root and stamps are checked again.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn check_archived(self, genesis: &Genesis) -> Result<Block, BlockError> {
        self.check_with(genesis, &mut Verifier::default(), |_| true)
    }
}

fn verified(
    raw: &[Vec<u8>],
    chain: ChainId,
    rules: &Rules,
    verifier: &mut impl Verify,
    known: impl Fn(&Hash) -> bool,
) -> Result<Vec<VerifiedTransaction>, BlockError> {
    // All are parsed before any signature is verified.
    let parse = |(index, bytes): (usize, &Vec<u8>)| {
        Transaction::decode(bytes, rules).map_err(|error| BlockError::Transaction { index, error })
    };
    let parsed = raw
        .iter()
        .enumerate()
        .map(parse)
        .collect::<Result<Vec<_>, _>>()?;
    let verify = |(index, transaction): (usize, Transaction)| {
        if known(&transaction.id()) {
            return Ok(VerifiedTransaction::already_verified(transaction));
        }
        transaction
            .verify_by(verifier, chain)
            .map_err(|error| BlockError::Transaction { index, error })
    };
    parsed.into_iter().enumerate().map(verify).collect()
}

/// Checks what a header says of itself: its version, that its target is not easier than the chain's floor, and its work.
///
/// # Errors
/// The first rule that is broken.
pub fn check_header(header: &Header, rules: &Rules) -> Result<(), BlockError> {
    if !(VERSION..=LAST_VERSION).contains(&header.version) {
        return Err(BlockError::Version {
            found: header.version,
            allowed: VERSION,
        });
    }
    let (target, floor) = (header.target.target(), rules.floor_target());
    if target > floor {
        return Err(BlockError::TargetTooEasy {
            found: header.target,
            allowed: floor.to_compact(),
        });
    }
    let hash = header.hash();
    if !target.is_met_by(&hash) {
        return Err(BlockError::WorkNotDone {
            found: hash,
            allowed: header.target,
        });
    }
    Ok(())
}

/// A block whose stateless rules hold, signatures included; not yet part of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    header: Header,
    hash: Hash,
    miner: MinerRecord,
    transactions: Vec<VerifiedTransaction>,
    chain: ChainId,
}

impl Block {
    /// The header.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The hash of the header.
    #[must_use]
    pub const fn hash(&self) -> Hash {
        self.hash
    }

    /// The miner's record.
    #[must_use]
    pub const fn miner(&self) -> &MinerRecord {
        &self.miner
    }

    /// The transactions in order.
    #[must_use]
    pub fn transactions(&self) -> &[VerifiedTransaction] {
        &self.transactions
    }

    /// The chain whose rules were checked.
    #[must_use]
    pub const fn chain_id(&self) -> ChainId {
        self.chain
    }

    /// The canonical bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let bytes: Vec<_> = self
            .transactions
            .iter()
            .map(|transaction| transaction.encode())
            .collect();
        encode(&self.header, &self.miner, bytes.iter().map(Vec::as_slice))
    }

    /// The leaf hashes behind the body root, for inclusion proofs; transaction i is leaf i + 1.
    #[must_use]
    pub fn body_leaves(&self) -> Vec<Hash> {
        body_leaves(
            &self.miner,
            self.transactions.iter().map(|transaction| transaction.id()),
        )
    }
}

/// Length of a block's bytes, given the lengths of its transactions.
#[must_use]
pub fn encoded_len(transactions: impl Iterator<Item = usize>) -> usize {
    transactions.fold(OVERHEAD_BYTES, |sum, len| {
        sum.saturating_add(len)
            .saturating_add(TRANSACTION_PREFIX_BYTES)
    })
}

/// The root a header commits to its body with.
#[must_use]
pub fn body_root(miner: &MinerRecord, ids: impl Iterator<Item = Hash>) -> Hash {
    merkle::root(&body_leaves(miner, ids))
}

/// The leaf hash of a transaction in a body.
#[must_use]
pub fn transaction_leaf(id: &Hash) -> Hash {
    merkle::leaf_hash(&[b"distli/body/1", &id.0])
}

fn body_leaves(miner: &MinerRecord, ids: impl Iterator<Item = Hash>) -> Vec<Hash> {
    let first = merkle::leaf_hash(&[b"distli/miner/1", &miner.encode()]);
    core::iter::once(first)
        .chain(ids.map(|id| transaction_leaf(&id)))
        .collect()
}

fn encode<'a>(
    header: &Header,
    miner: &MinerRecord,
    transactions: impl ExactSizeIterator<Item = &'a [u8]> + Clone,
) -> Vec<u8> {
    let mut writer = Writer::with_capacity(encoded_len(transactions.clone().map(<[u8]>::len)));
    let count = u16::try_from(transactions.len()).unwrap_or(u16::MAX);
    writer
        .bytes(&header.encode())
        .bytes(&miner.encode())
        .u16(count);
    for bytes in transactions {
        writer.counted_bytes(bytes);
    }
    writer.finish()
}

/// A block breaks a rule; no peer accepts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BlockError {
    /// A version this code does not know.
    #[error("block version {found:#06x}, known is {allowed:#06x}")]
    Version {
        /// The header's version.
        found: u16,
        /// The version known.
        allowed: u16,
    },
    /// The target is easier than the chain ever allows.
    #[error("target {found} is easier than the floor {allowed}")]
    TargetTooEasy {
        /// The header's target.
        found: CompactTarget,
        /// The chain's easiest.
        allowed: CompactTarget,
    },
    /// The hash does not meet the header's own target.
    #[error("hash {found} does not meet target {allowed}")]
    WorkNotDone {
        /// The header's hash.
        found: Hash,
        /// The header's target.
        allowed: CompactTarget,
    },
    /// The block was checked under another genesis.
    #[error("the block is for chain {found}, this is {allowed}")]
    OtherChain {
        /// The chain it was checked for.
        found: ChainId,
        /// This chain.
        allowed: ChainId,
    },
    /// The height is not the parent's plus one.
    #[error("height {found}, allowed is {allowed}")]
    Height {
        /// The header's height.
        found: Height,
        /// The only one allowed.
        allowed: Height,
    },
    /// The timestamp is not above the parent's.
    #[error("timestamp {found}, allowed from {allowed} on")]
    Timestamp {
        /// The header's timestamp.
        found: TimestampMs,
        /// The earliest allowed.
        allowed: TimestampMs,
    },
    /// The target is not the computed one.
    #[error("target {found}, computed is {allowed}")]
    Target {
        /// The header's target.
        found: CompactTarget,
        /// The only one allowed.
        allowed: CompactTarget,
    },
    /// Too many bytes.
    #[error("the block has {found} bytes, allowed are {allowed}")]
    TooLarge {
        /// Its length.
        found: usize,
        /// The rules' limit.
        allowed: u32,
    },
    /// Too many transactions.
    #[error("the block has {found} transactions, allowed are {allowed}")]
    TooManyTransactions {
        /// How many.
        found: usize,
        /// The rules' limit.
        allowed: u16,
    },
    /// The body is not the one the header commits to.
    #[error("body root {found}, the header says {allowed}")]
    BodyRoot {
        /// Root of the body.
        found: Hash,
        /// The header's.
        allowed: Hash,
    },
    /// The state after the block is not the one the header commits to.
    #[error("state root {found}, the header says {allowed}")]
    StateRoot {
        /// Root of the state.
        found: Hash,
        /// The header's.
        allowed: Hash,
    },
    /// A transaction is refused for itself.
    #[error("transaction {index}: {error}")]
    Transaction {
        /// Its place in the block.
        index: usize,
        /// Why.
        error: TransactionError,
    },
    /// A transaction is not the sender's next.
    #[error("transaction {index} has sequence {found}, its sender's next is {allowed}")]
    Sequence {
        /// Its place in the block.
        index: usize,
        /// Its sequence.
        found: Sequence,
        /// The only one allowed.
        allowed: Sequence,
    },
    /// It, or a block below it, was found invalid before.
    #[error("block {found} was found invalid before")]
    KnownInvalid {
        /// The block found invalid.
        found: Hash,
    },
}

impl BlockError {
    /// True if the header itself commits to the fault: no other body can mend the block, and its hash may be
    /// remembered as invalid. False if the body received is just not this header's.
    #[must_use]
    pub const fn is_of_header(&self) -> bool {
        !matches!(self, Self::BodyRoot { .. } | Self::OtherChain { .. })
    }
}
