//! The outbox: own and reorganised transactions until they are in the chain (PROTOCOL §1, fork choice).
//!
//! It lies outside the mempool's limits, is durable, and feeds the mempool in sequence. An entry leaves it in two ways
//! only: its transaction is in the main chain, or another transaction took its place in the sender's sequence; then it
//! is kept among the conflicts with its bytes, for the user to see. A reorganisation brings transactions back.
//!
//! Limits: [`limits::OUTBOX_MAX`] and [`limits::OUTBOX_BYTES_MAX`]; beyond, submissions are refused before they are
//! signed, and reorganised transactions of others are only in the mempool. [`limits::CONFLICTS_MAX`] conflicts; then the
//! oldest is forgotten.

use alloc::{
    collections::{BTreeMap, VecDeque},
    vec::Vec,
};

use super::{Change, limits, records};
use crate::{
    hash::Hash,
    ids::{PublicKey, Sequence},
    transaction::VerifiedTransaction,
};

/// Own and reorganised transactions.
#[derive(Debug)]
pub struct Outbox {
    own: PublicKey,
    /// The next sequence the node signs with, if it is known.
    pub(super) next_sequence: Option<Sequence>,
    entries: BTreeMap<(PublicKey, Sequence, Hash), VerifiedTransaction>,
    places: BTreeMap<Hash, (PublicKey, Sequence)>,
    bytes: usize,
    lost: VecDeque<Lost>,
}

/// A transaction whose place another one took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// The transaction.
    pub transaction: VerifiedTransaction,
    /// The one that has its place, if known.
    pub kept: Option<Hash>,
}

impl Outbox {
    pub(super) const fn new(own: PublicKey) -> Self {
        Self {
            own,
            next_sequence: None,
            entries: BTreeMap::new(),
            places: BTreeMap::new(),
            bytes: 0,
            lost: VecDeque::new(),
        }
    }

    /// Number of transactions.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True if nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// True if this transaction is in it.
    #[must_use]
    pub fn contains(&self, id: &Hash) -> bool {
        self.places.contains_key(id)
    }

    /// The transactions, by sender and in sequence.
    pub fn iter(&self) -> impl Iterator<Item = &VerifiedTransaction> {
        self.entries.values()
    }

    /// The transactions' ids.
    pub fn ids(&self) -> impl Iterator<Item = Hash> {
        self.places.keys().copied()
    }

    /// Transactions that lost their place, oldest first.
    pub fn lost(&self) -> impl Iterator<Item = &Lost> {
        self.lost.iter()
    }

    /// True if there is room for an own transaction of so many bytes.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        self.entries.len() < limits::OUTBOX_MAX
            && self.bytes.saturating_add(bytes) <= limits::OUTBOX_BYTES_MAX
    }

    /// The sequence after the newest own transaction; zero if there is none.
    pub(super) fn after_own(&self) -> Sequence {
        self.entries
            .keys()
            .filter(|(sender, ..)| *sender == self.own)
            .map(|(_, sequence, _)| sequence.next())
            .max()
            .unwrap_or_default()
    }

    /// Adds a transaction; others' only while there is room.
    pub(super) fn insert(&mut self, transaction: VerifiedTransaction, changes: &mut Vec<Change>) {
        let (id, length) = (transaction.id(), transaction.encoded_len());
        let is_own = transaction.sender() == self.own;
        if self.places.contains_key(&id) || !(is_own || self.has_room(length)) {
            return;
        }
        changes.push(records::Key::Outbox(id).put(transaction.encode()));
        self.restore(transaction);
    }

    /// Adds a transaction that is stored already.
    pub(super) fn restore(&mut self, transaction: VerifiedTransaction) {
        let (id, place) = (
            transaction.id(),
            (transaction.sender(), transaction.sequence()),
        );
        self.bytes = self.bytes.saturating_add(transaction.encoded_len());
        self.places.insert(id, place);
        if let Some(before) = self.entries.insert((place.0, place.1, id), transaction) {
            self.bytes = self.bytes.saturating_sub(before.encoded_len());
        }
    }

    /// Removes a transaction that is in the chain now; true if it was here. A conflict it had lost is no longer one.
    pub(super) fn confirm(&mut self, id: &Hash, changes: &mut Vec<Change>) -> bool {
        let before = self.lost.len();
        self.lost.retain(|lost| lost.transaction.id() != *id);
        if self.lost.len() != before {
            changes.push(records::Key::Conflict(*id).delete());
        }
        let removed = self.take(id);
        if removed.is_some() {
            changes.push(records::Key::Outbox(*id).delete());
        }
        removed.is_some() || self.lost.len() != before
    }

    /// Moves every transaction whose place in the sequence is used up to the conflicts; answers those.
    pub(super) fn lose_superseded(
        &mut self,
        is_used: impl Fn(&PublicKey, Sequence) -> bool,
        kept: impl Fn(&PublicKey, Sequence) -> Option<Hash>,
        changes: &mut Vec<Change>,
    ) -> Vec<Lost> {
        let superseded: Vec<Hash> = self
            .places
            .iter()
            .filter(|(_, (sender, sequence))| is_used(sender, *sequence))
            .map(|(id, _)| *id)
            .collect();
        let mut moved = Vec::new();
        for id in superseded {
            let Some(transaction) = self.take(&id) else {
                continue;
            };
            let kept = kept(&transaction.sender(), transaction.sequence());
            changes.push(records::Key::Outbox(id).delete());
            changes.push(
                records::Key::Conflict(id)
                    .put(records::encode_conflict(kept, &transaction.encode())),
            );
            let lost = Lost { transaction, kept };
            moved.push(lost.clone());
            self.add_lost(lost, changes);
        }
        moved
    }

    /// Adds a conflict; forgets the oldest when there are too many.
    pub(super) fn add_lost(&mut self, lost: Lost, changes: &mut Vec<Change>) {
        self.lost.push_back(lost);
        if self.lost.len() > limits::CONFLICTS_MAX
            && let Some(oldest) = self.lost.pop_front()
        {
            changes.push(records::Key::Conflict(oldest.transaction.id()).delete());
        }
    }

    fn take(&mut self, id: &Hash) -> Option<VerifiedTransaction> {
        let (sender, sequence) = self.places.remove(id)?;
        let transaction = self.entries.remove(&(sender, sequence, *id))?;
        self.bytes = self.bytes.saturating_sub(transaction.encoded_len());
        Some(transaction)
    }
}
