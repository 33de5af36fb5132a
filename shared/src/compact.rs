//! Compact blocks: a new block as header, miner's record and short ids, for a peer that holds most of its transactions.
//!
//! The idea is BIP 152's. A short id is the first six bytes of SipHash-2-4 over a transaction's id, under a key that is the
//! first half of SHA-256("distli/short/1" ‖ block hash ‖ nonce): nobody who makes transactions knows the nonce, so nobody
//! can make two that collide for all peers; and SipHash over a full mempool costs a fraction of a millisecond, which a SHA-256
//! each would not (`docs/adr/0090-compact-blocks.md`). Transactions that the sender takes for unknown are *prefilled*.
//!
//! A [`Draft`] is a block being put together again. Its slots are filled from what is here, then from what was asked
//! for; whether the result is the block is for the header's body root to say, so neither a collision nor a lie gets further.
//!
//! Limits: the rules' number of transactions a block and bytes a transaction; [`PREFILLED_BYTES_MAX`] for the sender.

use alloc::{collections::BTreeMap, vec::Vec};

use serde::{Deserialize, Serialize};

use crate::{
    block::{self, Block, MinerRecord, UncheckedBlock},
    encoding::Reader,
    genesis::Rules,
    hash::{Hash, sha256},
    header::Header,
    message::Bytes,
    transaction::VerifiedTransaction,
};

/// Bytes of transactions that a sender prefills; what is beyond the receiver asks for.
pub const PREFILLED_BYTES_MAX: usize = 64 * 1024;

/// Six bytes that stand for a transaction id in one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ShortId(pub [u8; 6]);

/// The key of the short ids of one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShortIdKey(u64, u64);

/// A transaction that comes whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prefilled {
    /// Its place in the block, from 0.
    pub index: u16,
    /// The canonical transaction.
    pub transaction: Bytes,
}

/// A block whose transactions are mostly named by short ids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompactBlock {
    /// The canonical header.
    pub header: Bytes,
    /// The miner's record, forty bytes.
    pub miner: Bytes,
    /// Drawn for this message; part of the short ids' key.
    pub nonce: u64,
    /// The transactions that are not prefilled, in the block's order.
    pub short_ids: Vec<ShortId>,
    /// The others, lowest place first.
    pub prefilled: Vec<Prefilled>,
}

/// A compact block can't be put together from what came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CompactError {
    /// The miner's record has not forty bytes.
    #[error("a miner's record of {found} bytes, 40 are needed")]
    Miner {
        /// Its length.
        found: usize,
    },
    /// More transactions than a block may have.
    #[error("{found} transactions, allowed are {allowed}")]
    TooMany {
        /// How many.
        found: usize,
        /// The rules' limit.
        allowed: u16,
    },
    /// A prefilled or supplied transaction is longer than allowed.
    #[error("a transaction of {found} bytes, allowed are {allowed}")]
    TooLong {
        /// Its length.
        found: usize,
        /// The rules' limit.
        allowed: u32,
    },
    /// A prefilled place is not above the one before, or outside of the block.
    #[error("place {found} is out of order or outside of the block")]
    Place {
        /// The place.
        found: u16,
    },
    /// Two transactions of the block have one short id; nobody is to blame.
    #[error("two transactions have the same short id")]
    Collision,
    /// Another number of transactions than was asked for, or not those.
    #[error("transactions that were not asked for")]
    NotAsked,
    /// The body is not the one the header commits to.
    #[error("body root {found}, the header says {allowed}")]
    BodyRoot {
        /// Root of the body.
        found: Hash,
        /// The header's.
        allowed: Hash,
    },
}

impl ShortIdKey {
    /// The key of a message.
    #[must_use]
    pub fn new(block: &Hash, nonce: u64) -> Self {
        let digest = sha256(&[b"distli/short/1", &block.0, &nonce.to_be_bytes()]);
        let word = |at: usize| {
            let bytes = digest.0.iter().skip(at).take(8);
            bytes.fold(0_u64, |word, byte| (word << 8) | u64::from(*byte))
        };
        Self(word(0), word(8))
    }

    /// The short id of a transaction id.
    #[must_use]
    pub fn short_id(self, id: &Hash) -> ShortId {
        let [a, b, c, d, e, f, _, _] = siphash24(self, &id.0).to_le_bytes();
        ShortId([a, b, c, d, e, f])
    }
}

impl CompactBlock {
    /// The compact form of a block for a peer that `lacks` some transactions.
    #[must_use]
    pub fn of(block: &Block, nonce: u64, lacks: impl Fn(&Hash) -> bool) -> Self {
        let key = ShortIdKey::new(&block.hash(), nonce);
        let (mut short_ids, mut prefilled, mut bytes) = (Vec::new(), Vec::new(), 0_usize);
        for (index, transaction) in (0..=u16::MAX).zip(block.transactions()) {
            let with = bytes.saturating_add(transaction.encoded_len());
            if lacks(&transaction.id()) && with <= PREFILLED_BYTES_MAX {
                bytes = with;
                let transaction = Bytes(transaction.encode());
                prefilled.push(Prefilled { index, transaction });
            } else {
                short_ids.push(key.short_id(&transaction.id()));
            }
        }
        Self {
            header: Bytes(block.header().encode().to_vec()),
            miner: Bytes(block.miner().encode().to_vec()),
            nonce,
            short_ids,
            prefilled,
        }
    }

    /// Transactions of the block.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.short_ids.len().saturating_add(self.prefilled.len())
    }

    /// True if the block has no transaction.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A block being put together; see the module.
#[derive(Debug, Clone)]
pub struct Draft {
    header: Header,
    miner: MinerRecord,
    key: ShortIdKey,
    slots: Vec<Slot>,
}

#[derive(Debug, Clone)]
enum Slot {
    Filled(Vec<u8>),
    Missing(ShortId),
}

impl Draft {
    /// The draft of a compact block whose header was parsed and checked by the caller.
    ///
    /// # Errors
    /// Malformed, or two of its short ids are equal.
    pub fn new(
        header: Header,
        compact: &CompactBlock,
        rules: &Rules,
    ) -> Result<Self, CompactError> {
        let (found, allowed) = (compact.len(), rules.block_transactions_max);
        if found > usize::from(allowed) {
            return Err(CompactError::TooMany { found, allowed });
        }
        let found = compact.miner.0.len();
        let miner = Some(Reader::new(&compact.miner.0))
            .filter(|_| found == 40)
            .and_then(|mut reader| MinerRecord::read(&mut reader).ok())
            .ok_or(CompactError::Miner { found })?;
        let mut short_ids = compact.short_ids.iter();
        let mut prefilled = compact.prefilled.iter().peekable();
        let mut slots = Vec::with_capacity(compact.len());
        for index in (0..=u16::MAX).take(compact.len()) {
            if let Some(whole) = prefilled.next_if(|prefilled| prefilled.index == index) {
                check_length(&whole.transaction, rules)?;
                slots.push(Slot::Filled(whole.transaction.0.clone()));
            } else if let Some(short_id) = short_ids.next() {
                slots.push(Slot::Missing(*short_id));
            }
        }
        if let Some(left) = prefilled.next() {
            return Err(CompactError::Place { found: left.index });
        }
        let mut distinct = compact.short_ids.clone();
        distinct.sort_unstable();
        distinct.dedup();
        if distinct.len() < compact.short_ids.len() {
            return Err(CompactError::Collision);
        }
        Ok(Self {
            key: ShortIdKey::new(&header.hash(), compact.nonce),
            header,
            miner,
            slots,
        })
    }

    /// Fills the slots for which exactly one of the candidates fits.
    pub fn fill<'a>(&mut self, candidates: impl Iterator<Item = &'a VerifiedTransaction>) {
        let wanted = self.slots.iter().enumerate();
        let mut wanted: BTreeMap<ShortId, (usize, Fit<'a>)> = wanted
            .filter_map(|(index, slot)| match slot {
                Slot::Missing(short_id) => Some((*short_id, (index, Fit::None))),
                Slot::Filled(_) => None,
            })
            .collect();
        if wanted.is_empty() {
            return;
        }
        for candidate in candidates {
            if let Some((_, fit)) = wanted.get_mut(&self.key.short_id(&candidate.id())) {
                *fit = match fit {
                    Fit::None => Fit::One(candidate),
                    Fit::One(other) if other.id() == candidate.id() => Fit::One(candidate),
                    Fit::One(_) | Fit::Several => Fit::Several,
                };
            }
        }
        for (index, fit) in wanted.into_values() {
            if let (Fit::One(found), Some(slot)) = (fit, self.slots.get_mut(index)) {
                *slot = Slot::Filled(found.encode());
            }
        }
    }

    /// Places that are still empty, lowest first.
    #[must_use]
    pub fn missing(&self) -> Vec<u16> {
        let slots = (0..=u16::MAX).zip(&self.slots);
        slots
            .filter(|(_, slot)| matches!(slot, Slot::Missing(_)))
            .map(|(index, _)| index)
            .collect()
    }

    /// Fills the missing places with what was asked for, in their order.
    ///
    /// # Errors
    /// Too few, too many, or others than the short ids name; the draft is of no further use then.
    pub fn supply(&mut self, transactions: Vec<Bytes>, rules: &Rules) -> Result<(), CompactError> {
        let mut transactions = transactions.into_iter();
        for slot in &mut self.slots {
            let Slot::Missing(expected) = slot else {
                continue;
            };
            let transaction = transactions.next().ok_or(CompactError::NotAsked)?;
            check_length(&transaction, rules)?;
            if self.key.short_id(&sha256(&[&transaction.0])) != *expected {
                return Err(CompactError::NotAsked);
            }
            *slot = Slot::Filled(transaction.0);
        }
        match transactions.next() {
            Some(_) => Err(CompactError::NotAsked),
            None => Ok(()),
        }
    }

    /// The block, if its body is the one that the header commits to. Nothing else of it is checked.
    ///
    /// # Errors
    /// A place is empty, or the body root differs: some short id stood for another transaction.
    pub fn finish(self) -> Result<UncheckedBlock, CompactError> {
        let filled = |slot| match slot {
            Slot::Filled(bytes) => Ok(bytes),
            Slot::Missing(_) => Err(CompactError::NotAsked),
        };
        let transactions: Vec<Vec<u8>> = self
            .slots
            .into_iter()
            .map(filled)
            .collect::<Result<_, _>>()?;
        let ids = transactions.iter().map(|bytes| sha256(&[bytes]));
        let (found, allowed) = (block::body_root(&self.miner, ids), self.header.body_root);
        if found != allowed {
            return Err(CompactError::BodyRoot { found, allowed });
        }
        Ok(UncheckedBlock {
            header: self.header,
            miner: self.miner,
            transactions,
        })
    }
}

/// What fits a short id.
enum Fit<'a> {
    None,
    One(&'a VerifiedTransaction),
    Several,
}

fn check_length(transaction: &Bytes, rules: &Rules) -> Result<(), CompactError> {
    let (found, allowed) = (transaction.0.len(), rules.transaction_bytes_max);
    if found > allowed as usize {
        return Err(CompactError::TooLong { found, allowed });
    }
    Ok(())
}

/// SipHash-2-4 of Aumasson and Bernstein.
fn siphash24(ShortIdKey(k0, k1): ShortIdKey, bytes: &[u8]) -> u64 {
    let mut v = [
        k0 ^ 0x736f_6d65_7073_6575,
        k1 ^ 0x646f_7261_6e64_6f6d,
        k0 ^ 0x6c79_6765_6e65_7261,
        k1 ^ 0x7465_6462_7974_6573,
    ];
    let (words, rest) = bytes.as_chunks::<8>();
    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX) << 56;
    let last = rest
        .iter()
        .rev()
        .fold(0, |word, byte| (word << 8) | u64::from(*byte));
    let words = words.iter().map(|word| u64::from_le_bytes(*word));
    for word in words.chain([length | last]) {
        v[3] ^= word;
        sip_rounds(&mut v, 2);
        v[0] ^= word;
    }
    v[2] ^= 0xff;
    sip_rounds(&mut v, 4);
    v.iter().fold(0, |all, word| all ^ word)
}

fn sip_rounds([v0, v1, v2, v3]: &mut [u64; 4], rounds: usize) {
    for _ in 0..rounds {
        *v0 = v0.wrapping_add(*v1);
        *v1 = v1.rotate_left(13) ^ *v0;
        *v0 = v0.rotate_left(32);
        *v2 = v2.wrapping_add(*v3);
        *v3 = v3.rotate_left(16) ^ *v2;
        *v0 = v0.wrapping_add(*v3);
        *v3 = v3.rotate_left(21) ^ *v0;
        *v2 = v2.wrapping_add(*v1);
        *v1 = v1.rotate_left(17) ^ *v2;
        *v2 = v2.rotate_left(32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn siphash_gives_the_values_of_its_authors() {
        // Key 00 01 … 0f, input 00 01 … of each length: `vectors_sip64` of the reference implementation, as numbers.
        let key = ShortIdKey(0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908);
        let input: Vec<u8> = (0..15).collect();
        for (length, expected) in [
            (0, 0x726f_db47_dd0e_0e31),
            (1, 0x74f8_39c5_93dc_67fd),
            (7, 0xab02_00f5_8b01_d137),
            (8, 0x93f5_f579_9a93_2462),
            (15, 0xa129_ca61_49be_45e5),
        ] {
            assert_eq!(siphash24(key, &input[..length]), expected, "{length} bytes");
        }
    }

    #[test]
    fn short_ids_differ_from_message_to_message() {
        let (block, id) = (Hash([1; 32]), Hash([2; 32]));
        let short = |nonce| ShortIdKey::new(&block, nonce).short_id(&id);
        assert_eq!(short(1), short(1));
        assert_ne!(short(1), short(2));
    }
}
