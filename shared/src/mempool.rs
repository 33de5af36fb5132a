//! Pending transactions, bounded: what a peer keeps, relays and mines.
//!
//! One transaction per (sender, sequence); a second id for the same place is a [`MempoolError::Conflict`] and the first
//! stays. Bounds: [`limits::MEMPOOL_TRANSACTIONS_MAX`] and [`limits::MEMPOOL_BYTES_MAX`] in all, the rules' quota per
//! sender (which is also how far ahead of the chain a sequence may be), [`limits::MEMPOOL_PEER_QUOTA`] per peer that
//! brought them. At a total bound the lowest stamp goes first, of equals the latest come; a newcomer that is no better
//! is refused. From half full on the relay minimum rises above the rules' stamp: by one bit at 1/2, two at 3/4, four at
//! 7/8; but for what could be mined at once, without which a pool that is full of what waits for it would never empty. Own and reorganised transactions do not depend on this: the outbox keeps them.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};
use core::cmp::Reverse;

use crate::{
    genesis::Rules,
    hash::Hash,
    ids::{PeerId, PublicKey, Sequence},
    limits,
    transaction::VerifiedTransaction,
};

/// The bounds of a mempool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MempoolLimits {
    /// Transactions in all.
    pub transactions_max: usize,
    /// Bytes in all.
    pub bytes_max: usize,
    /// Transactions of one sender.
    pub sender_quota: usize,
    /// Transactions one peer brought.
    pub peer_quota: usize,
    /// Stamp bits that the rules ask for.
    pub stamp_bits: u8,
}

impl MempoolLimits {
    /// The bounds of a network.
    #[must_use]
    pub fn of(rules: &Rules) -> Self {
        Self {
            transactions_max: limits::MEMPOOL_TRANSACTIONS_MAX,
            bytes_max: limits::MEMPOOL_BYTES_MAX,
            sender_quota: rules.sender_quota.into(),
            peer_quota: limits::MEMPOOL_PEER_QUOTA,
            stamp_bits: rules.stamp_bits,
        }
    }
}

/// Pending transactions.
#[derive(Debug, Clone)]
pub struct Mempool {
    limits: MempoolLimits,
    entries: BTreeMap<Hash, Entry>,
    senders: BTreeMap<PublicKey, Sender>,
    /// Eviction order: lowest stamp, then latest arrival, first.
    order: BTreeSet<(u8, Reverse<u64>, Hash)>,
    brought: BTreeMap<PeerId, usize>,
    bytes: usize,
    arrivals: u64,
}

#[derive(Debug, Clone)]
struct Entry {
    transaction: VerifiedTransaction,
    arrival: u64,
    from: Option<PeerId>,
}

#[derive(Debug, Clone, Default)]
struct Sender {
    /// The chain's next sequence.
    next: Sequence,
    pending: BTreeMap<Sequence, Hash>,
}

/// What became of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accepted {
    /// It was here.
    AlreadyKnown,
    /// It is pending; these were evicted for it.
    Added {
        /// The transactions evicted.
        evicted: Vec<VerifiedTransaction>,
    },
}

impl Mempool {
    /// An empty mempool.
    #[must_use]
    pub const fn new(limits: MempoolLimits) -> Self {
        Self {
            limits,
            entries: BTreeMap::new(),
            senders: BTreeMap::new(),
            order: BTreeSet::new(),
            brought: BTreeMap::new(),
            bytes: 0,
            arrivals: 0,
        }
    }

    /// Takes a transaction whose sender's next sequence on the chain is `next`, brought by `from` (none: from here).
    ///
    /// # Errors
    /// It is confirmed already, conflicts with a pending one, or a bound refuses it; nothing changes then.
    pub fn insert(
        &mut self,
        transaction: VerifiedTransaction,
        next: Sequence,
        from: Option<PeerId>,
    ) -> Result<Accepted, MempoolError> {
        let id = transaction.id();
        if self.entries.contains_key(&id) {
            return Ok(Accepted::AlreadyKnown);
        }
        self.check_place(&transaction, next)?;
        self.check_quota(from.as_ref())?;
        let evicted = self.room_for(&transaction, next)?;
        let evicted = evicted.iter().filter_map(|id| self.remove(id)).collect();
        self.add(transaction, next, from);
        Ok(Accepted::Added { evicted })
    }

    /// Removes a transaction.
    pub fn remove(&mut self, id: &Hash) -> Option<VerifiedTransaction> {
        let Entry {
            transaction,
            arrival,
            from,
        } = self.entries.remove(id)?;
        self.order
            .remove(&(transaction.stamp_bits(), Reverse(arrival), *id));
        self.bytes = self.bytes.saturating_sub(transaction.encoded_len());
        if let Some(sender) = self.senders.get_mut(&transaction.sender()) {
            sender.pending.remove(&transaction.sequence());
            if sender.pending.is_empty() {
                self.senders.remove(&transaction.sender());
            }
        }
        if let Some(peer) = from
            && let Some(count) = self.brought.get_mut(&peer)
        {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.brought.remove(&peer);
            }
        }
        Some(transaction)
    }

    /// Follows the chain: `next` is now the sender's next sequence. Removes and answers what is below it: the confirmed
    /// transactions, and those whose place another took.
    pub fn remove_confirmed(
        &mut self,
        sender: &PublicKey,
        next: Sequence,
    ) -> Vec<VerifiedTransaction> {
        let Some(entry) = self.senders.get_mut(sender) else {
            return Vec::new();
        };
        entry.next = next;
        let below: Vec<Hash> = entry.pending.range(..next).map(|(_, id)| *id).collect();
        below.iter().filter_map(|id| self.remove(id)).collect()
    }

    /// Transactions that can be mined now, each sender's in sequence without a gap, otherwise in order of arrival.
    #[must_use]
    pub fn ready(&self) -> Vec<VerifiedTransaction> {
        let mut ready = Vec::new();
        for sender in self.senders.values() {
            let (mut next, mut latest) = (sender.next, 0);
            for (sequence, id) in &sender.pending {
                let Some(entry) = self.entries.get(id).filter(|_| *sequence == next) else {
                    break;
                };
                // A transaction waits for those before it, so it stands where the latest of them does.
                latest = entry.arrival.max(latest);
                ready.push((latest, &entry.transaction));
                next = next.next();
            }
        }
        // Stable: a sender's transactions stay in sequence.
        ready.sort_by_key(|(latest, _)| *latest);
        ready
            .into_iter()
            .map(|(_, transaction)| transaction.clone())
            .collect()
    }

    /// The pending transaction with this id.
    #[must_use]
    pub fn get(&self, id: &Hash) -> Option<&VerifiedTransaction> {
        self.entries.get(id).map(|entry| &entry.transaction)
    }

    /// True if a transaction with this id is pending.
    #[must_use]
    pub fn contains(&self, id: &Hash) -> bool {
        self.entries.contains_key(id)
    }

    /// The id pending for a sender's sequence.
    #[must_use]
    pub fn at(&self, sender: &PublicKey, sequence: Sequence) -> Option<Hash> {
        self.senders.get(sender)?.pending.get(&sequence).copied()
    }

    /// Pending transactions, by id.
    pub fn iter(&self) -> impl Iterator<Item = &VerifiedTransaction> {
        self.entries.values().map(|entry| &entry.transaction)
    }

    /// How many are pending.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True if none is pending.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes of all pending transactions.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Stamp bits below which nothing new is taken or relayed now.
    #[must_use]
    pub fn relay_minimum(&self) -> u8 {
        let eighths = |used: usize, max: usize| used.saturating_mul(8) / max.max(1);
        let full = eighths(self.len(), self.limits.transactions_max)
            .max(eighths(self.bytes, self.limits.bytes_max));
        let rise = match full {
            0..=3 => 0,
            4..=5 => 1,
            6 => 2,
            _ => 4,
        };
        self.limits.stamp_bits.saturating_add(rise)
    }

    fn check_place(
        &self,
        transaction: &VerifiedTransaction,
        next: Sequence,
    ) -> Result<(), MempoolError> {
        let (found, quota) = (transaction.sequence(), self.limits.sender_quota);
        if found < next {
            return Err(MempoolError::Stale {
                found,
                allowed: next,
            });
        }
        let end = Sequence(next.0.saturating_add(quota as u64));
        if found >= end {
            return Err(MempoolError::TooFarAhead {
                found,
                allowed: end,
            });
        }
        if let Some(existing) = self.at(&transaction.sender(), found) {
            return Err(MempoolError::Conflict { existing });
        }
        let held = self
            .senders
            .get(&transaction.sender())
            .map_or(0, |sender| sender.pending.len());
        if held >= quota {
            return Err(MempoolError::SenderQuota {
                found: held,
                allowed: quota,
            });
        }
        Ok(())
    }

    fn check_quota(&self, from: Option<&PeerId>) -> Result<(), MempoolError> {
        let found = from
            .and_then(|peer| self.brought.get(peer))
            .copied()
            .unwrap_or(0);
        let allowed = self.limits.peer_quota;
        if found >= allowed {
            Err(MempoolError::PeerQuota { found, allowed })
        } else {
            Ok(())
        }
    }

    /// Whom to evict for a newcomer, lowest stamps first.
    fn room_for(
        &self,
        newcomer: &VerifiedTransaction,
        next: Sequence,
    ) -> Result<Vec<Hash>, MempoolError> {
        let found = newcomer.stamp_bits();
        let minimum = self.relay_minimum();
        if found < minimum && !self.would_be_ready(newcomer, next) {
            return Err(MempoolError::StampTooLow {
                found,
                allowed: minimum,
            });
        }
        let (mut count, mut bytes) = (
            self.len().saturating_add(1),
            self.bytes.saturating_add(newcomer.encoded_len()),
        );
        let mut evicted = Vec::new();
        for (bits, _, id) in &self.order {
            if count <= self.limits.transactions_max && bytes <= self.limits.bytes_max {
                break;
            }
            if *bits >= found {
                return Err(MempoolError::StampTooLow {
                    found,
                    allowed: bits.saturating_add(1),
                });
            }
            count = count.saturating_sub(1);
            bytes = bytes.saturating_sub(
                self.get(id)
                    .map_or(0, |transaction| transaction.encoded_len()),
            );
            evicted.push(*id);
        }
        Ok(evicted)
    }

    /// Whether all that its sender has to have in a block before it is pending.
    fn would_be_ready(&self, newcomer: &VerifiedTransaction, next: Sequence) -> bool {
        let sender = self.senders.get(&newcomer.sender());
        let is_pending = |sequence: u64| {
            sender.is_some_and(|sender| sender.pending.contains_key(&Sequence(sequence)))
        };
        (next.0..newcomer.sequence().0).all(is_pending)
    }

    fn add(&mut self, transaction: VerifiedTransaction, next: Sequence, from: Option<PeerId>) {
        let id = transaction.id();
        self.arrivals = self.arrivals.saturating_add(1);
        let arrival = self.arrivals;
        self.order
            .insert((transaction.stamp_bits(), Reverse(arrival), id));
        self.bytes = self.bytes.saturating_add(transaction.encoded_len());
        let sender = self.senders.entry(transaction.sender()).or_default();
        sender.next = next;
        sender.pending.insert(transaction.sequence(), id);
        if let Some(peer) = from {
            let count = self.brought.entry(peer).or_default();
            *count = count.saturating_add(1);
        }
        self.entries.insert(
            id,
            Entry {
                transaction,
                arrival,
                from,
            },
        );
    }
}

/// A transaction is not taken; the mempool is as before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MempoolError {
    /// Its sequence is used up on the chain.
    #[error("sequence {found} is used up, the sender's next is {allowed}")]
    Stale {
        /// The transaction's sequence.
        found: Sequence,
        /// The sender's next.
        allowed: Sequence,
    },
    /// Its sequence is too far ahead of the chain.
    #[error("sequence {found} is too far ahead, allowed are those below {allowed}")]
    TooFarAhead {
        /// The transaction's sequence.
        found: Sequence,
        /// The first that is too far.
        allowed: Sequence,
    },
    /// Another transaction of the sender has its sequence.
    #[error("transaction {existing} is pending with the same sender and sequence")]
    Conflict {
        /// The one pending.
        existing: Hash,
    },
    /// The sender has too many pending.
    #[error("the sender has {found} pending transactions, allowed are {allowed}")]
    SenderQuota {
        /// How many.
        found: usize,
        /// The quota.
        allowed: usize,
    },
    /// The peer brought too many that are still pending.
    #[error("the peer brought {found} pending transactions, allowed are {allowed}")]
    PeerQuota {
        /// How many.
        found: usize,
        /// The quota.
        allowed: usize,
    },
    /// Its stamp is too low for a mempool this full.
    #[error("the stamp has {found} zero bits, taken now from {allowed} on")]
    StampTooLow {
        /// The stamp's zero bits.
        found: u8,
        /// Fewest taken now.
        allowed: u8,
    },
}
