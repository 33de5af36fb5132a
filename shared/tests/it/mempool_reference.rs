//! The mempool against a naive one: a list in order of arrival that is scanned for everything.

use std::{collections::BTreeSet, sync::OnceLock};

use proptest::{prelude::*, strategy::ValueTree};
use shared::{
    hash::Hash,
    ids::{PeerId, Sequence},
    mempool::{Accepted, Mempool, MempoolError, MempoolLimits},
    transaction::VerifiedTransaction,
};

use crate::support::{genesis, message_of};

const SENDERS: usize = 4;
const SEQUENCES: u64 = 12;
const VARIANTS: usize = 3;
const PEERS: u8 = 3;

/// Bounds that a few dozen operations reach.
fn limits(bytes_max: usize) -> MempoolLimits {
    MempoolLimits {
        transactions_max: 12,
        bytes_max,
        sender_quota: 6,
        peer_quota: 5,
        stamp_bits: 0,
    }
}

/// Transactions for every place, of several lengths; the longer the rarer the stamp.
fn made(sender: usize, sequence: u64, variant: usize) -> VerifiedTransaction {
    static MADE: OnceLock<Vec<VerifiedTransaction>> = OnceLock::new();
    let make = || {
        let places = (0_u8..4).flat_map(|sender| (0..SEQUENCES).map(move |at| (sender, at)));
        let texts = places.flat_map(|place| (0..VARIANTS).map(move |variant| (place, variant)));
        let write = |((sender, at), variant): ((u8, u64), usize)| {
            let text = |n: u32| format!("{n:05}{}", " long".repeat(20 * variant));
            let mut all = (0..).map(|n| message_of(&genesis(), sender + 1, at, &text(n)));
            all.find(|made| usize::from(made.stamp_bits()) >= 3 * variant)
                .unwrap()
        };
        texts.map(write).collect()
    };
    let place = sender * usize::try_from(SEQUENCES).unwrap() + usize::try_from(sequence).unwrap();
    MADE.get_or_init(make)[place * VARIANTS + variant].clone()
}

/// The naive mempool, and the chain's next sequences.
struct Reference {
    limits: MempoolLimits,
    /// In order of arrival, each with who brought it.
    pending: Vec<(VerifiedTransaction, Option<PeerId>)>,
    next: [u64; SENDERS],
}

impl Reference {
    fn bytes(&self) -> usize {
        self.pending
            .iter()
            .map(|(held, _)| held.encoded_len())
            .sum()
    }

    /// One bit more from half full on, two from three quarters, four from seven eighths.
    fn minimum(&self) -> u8 {
        let is_full = |eighths: usize| {
            self.pending.len() * 8 >= eighths * self.limits.transactions_max
                || self.bytes() * 8 >= eighths * self.limits.bytes_max
        };
        let rises = [(7, 4), (6, 2), (4, 1)];
        let rise = rises.iter().find(|(eighths, _)| is_full(*eighths));
        self.limits.stamp_bits + rise.map_or(0, |(_, bits)| *bits)
    }

    fn insert(
        &mut self,
        sender: usize,
        new: &VerifiedTransaction,
        from: Option<PeerId>,
    ) -> Result<Option<Vec<Hash>>, MempoolError> {
        if self.pending.iter().any(|(held, _)| held.id() == new.id()) {
            return Ok(None);
        }
        self.check(sender, new, from)?;
        let found = new.stamp_bits();
        let own = |sequence: &u64| {
            let held = self.pending.iter().map(|(held, _)| held);
            held.filter(|held| held.sender() == new.sender())
                .any(|held| held.sequence() == Sequence(*sequence))
        };
        let would_be_ready = (self.next[sender]..new.sequence().0).all(|sequence| own(&sequence));
        if found < self.minimum() && !would_be_ready {
            let allowed = self.minimum();
            return Err(MempoolError::StampTooLow { found, allowed });
        }
        let (mut kept, mut evicted) = (self.pending.clone(), Vec::new());
        while kept.len() + 1 > self.limits.transactions_max
            || kept
                .iter()
                .map(|(held, _)| held.encoded_len())
                .sum::<usize>()
                + new.encoded_len()
                > self.limits.bytes_max
        {
            // The lowest stamp; of equals the latest, which `min_by_key` finds first from behind.
            let worst = (0..kept.len())
                .rev()
                .min_by_key(|index| kept[*index].0.stamp_bits());
            let (worst, _) = kept.remove(worst.unwrap());
            if worst.stamp_bits() >= found {
                let allowed = worst.stamp_bits() + 1;
                return Err(MempoolError::StampTooLow { found, allowed });
            }
            evicted.push(worst.id());
        }
        kept.push((new.clone(), from));
        self.pending = kept;
        Ok(Some(evicted))
    }

    fn check(
        &self,
        sender: usize,
        new: &VerifiedTransaction,
        from: Option<PeerId>,
    ) -> Result<(), MempoolError> {
        let (found, next) = (new.sequence(), self.next[sender]);
        let (allowed, end) = (
            Sequence(next),
            Sequence(next + self.limits.sender_quota as u64),
        );
        if found < allowed {
            return Err(MempoolError::Stale { found, allowed });
        }
        if found >= end {
            return Err(MempoolError::TooFarAhead {
                found,
                allowed: end,
            });
        }
        let own = || {
            self.pending
                .iter()
                .filter(|(held, _)| held.sender() == new.sender())
        };
        if let Some((held, _)) = own().find(|(held, _)| held.sequence() == found) {
            let existing = held.id();
            return Err(MempoolError::Conflict { existing });
        }
        let (found, allowed) = (own().count(), self.limits.sender_quota);
        if found >= allowed {
            return Err(MempoolError::SenderQuota { found, allowed });
        }
        let brought = self
            .pending
            .iter()
            .filter(|(_, by)| from.is_some() && *by == from);
        let (found, allowed) = (brought.count(), self.limits.peer_quota);
        if found >= allowed {
            return Err(MempoolError::PeerQuota { found, allowed });
        }
        Ok(())
    }

    /// The chain's next sequence of a sender is another; answers what is below it, by sequence.
    fn moved(&mut self, sender: usize, next: u64) -> Vec<Hash> {
        self.next[sender] = next;
        let key = made(sender, 0, 0).sender();
        let is_below =
            |held: &VerifiedTransaction| held.sender() == key && held.sequence().0 < next;
        let below = self.pending.iter().filter(|(held, _)| is_below(held));
        let mut below: Vec<_> = below
            .map(|(held, _)| (held.sequence(), held.id()))
            .collect();
        below.sort();
        self.pending.retain(|(held, _)| !is_below(held));
        below.into_iter().map(|(_, id)| id).collect()
    }

    /// Lets them arrive again one by one: each time as many of its sender's as are in sequence now.
    fn ready(&self) -> Vec<Hash> {
        let (mut next, mut ready) = (self.next, Vec::new());
        for arrived in 1..=self.pending.len() {
            let here = &self.pending[..arrived];
            let key = here[arrived - 1].0.sender();
            let sender = (0..SENDERS)
                .find(|sender| made(*sender, 0, 0).sender() == key)
                .unwrap();
            let at = |sequence| {
                here.iter()
                    .find(|(held, _)| held.sender() == key && held.sequence().0 == sequence)
            };
            while let Some((held, _)) = at(next[sender]) {
                ready.push(held.id());
                next[sender] += 1;
            }
        }
        ready
    }
}

#[derive(Debug, Clone)]
enum Operation {
    Insert {
        sender: usize,
        ahead: u64,
        variant: usize,
        from: Option<u8>,
    },
    Remove {
        index: usize,
    },
    /// A block with so many of the sender's transactions.
    Connected {
        sender: usize,
        count: u64,
    },
    /// And one that leaves the chain again; its transactions come back, as they do from the outbox.
    Disconnected {
        sender: usize,
        count: u64,
        variant: usize,
    },
}

fn operation() -> impl Strategy<Value = Operation> {
    let sender = 0..SENDERS;
    let from = prop::option::weighted(0.8, 0..PEERS);
    prop_oneof![
        12 => (sender.clone(), 0..8_u64, 0..VARIANTS, from)
            .prop_map(|(sender, ahead, variant, from)| Operation::Insert { sender, ahead, variant, from }),
        1 => (0..16_usize).prop_map(|index| Operation::Remove { index }),
        2 => (sender.clone(), 1..3_u64).prop_map(|(sender, count)| Operation::Connected { sender, count }),
        1 => (sender, 1..3_u64, 0..VARIANTS)
            .prop_map(|(sender, count, variant)| Operation::Disconnected { sender, count, variant }),
    ]
}

/// The mempool and its reference, given the same.
struct Both {
    mempool: Mempool,
    reference: Reference,
}

impl Both {
    fn new(limits: MempoolLimits) -> Self {
        Self {
            mempool: Mempool::new(limits.clone()),
            reference: Reference {
                limits,
                pending: Vec::new(),
                next: [0; SENDERS],
            },
        }
    }

    fn perform(&mut self, operation: &Operation) {
        match *operation {
            Operation::Insert {
                sender,
                ahead,
                variant,
                from,
            } => {
                // One place below the chain's next is as likely as any other.
                let sequence = (self.reference.next[sender] + ahead).saturating_sub(1);
                self.insert(sender, sequence, variant, from);
            }
            Operation::Remove { index } => {
                let id = self.reference.pending.get(index).map(|(held, _)| held.id());
                let removed = self.mempool.remove(&id.unwrap_or(Hash::ZERO));
                assert_eq!(removed.map(|held| held.id()), id);
                self.reference
                    .pending
                    .retain(|(held, _)| Some(held.id()) != id);
            }
            Operation::Connected { sender, count } => self.moved(sender, |next| next + count),
            Operation::Disconnected {
                sender,
                count,
                variant,
            } => {
                let before = self.reference.next[sender];
                self.moved(sender, |next| next.saturating_sub(count));
                for sequence in self.reference.next[sender]..before {
                    self.insert(sender, sequence, variant, None);
                }
            }
        }
    }

    fn insert(&mut self, sender: usize, sequence: u64, variant: usize, from: Option<u8>) {
        let new = made(sender, sequence.min(SEQUENCES - 1), variant);
        let from = from.map(|peer| PeerId(Hash([peer; 32])));
        let next = Sequence(self.reference.next[sender]);
        let accepted = match self.mempool.insert(new.clone(), next, from) {
            Ok(Accepted::AlreadyKnown) => Ok(None),
            Ok(Accepted::Added { evicted }) => {
                Ok(Some(evicted.iter().map(|held| held.id()).collect()))
            }
            Err(error) => Err(error),
        };
        assert_eq!(accepted, self.reference.insert(sender, &new, from));
    }

    fn moved(&mut self, sender: usize, to: impl Fn(u64) -> u64) {
        let next = to(self.reference.next[sender]).min(SEQUENCES);
        let below = self.reference.moved(sender, next);
        let key = made(sender, 0, 0).sender();
        let removed = self.mempool.remove_confirmed(&key, Sequence(next));
        assert_eq!(
            removed.iter().map(|held| held.id()).collect::<Vec<_>>(),
            below
        );
    }

    fn compare(&self) {
        let (mempool, reference) = (&self.mempool, &self.reference);
        let here: BTreeSet<Hash> = mempool.iter().map(|held| held.id()).collect();
        let there: BTreeSet<Hash> = reference
            .pending
            .iter()
            .map(|(held, _)| held.id())
            .collect();
        assert_eq!(here, there);
        assert_eq!(mempool.len(), reference.pending.len());
        assert_eq!(mempool.bytes(), reference.bytes());
        assert_eq!(mempool.relay_minimum(), reference.minimum());
        let ready: Vec<Hash> = mempool.ready().iter().map(|held| held.id()).collect();
        assert_eq!(ready, reference.ready());
        for (held, _) in &reference.pending {
            assert_eq!(mempool.at(&held.sender(), held.sequence()), Some(held.id()));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn mempool_does_what_a_scanned_list_does(
        operations in prop::collection::vec(operation(), 1..120),
        bytes_max in 1_500..6_000_usize,
    ) {
        let mut both = Both::new(limits(bytes_max));
        for operation in &operations {
            both.perform(operation);
            both.compare();
        }
    }
}

/// Else the comparison would say nothing about them.
#[test]
fn the_operations_reach_every_bound() {
    let mut seen = BTreeSet::new();
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let strategy = prop::collection::vec(operation(), 120);
    for _ in 0..40 {
        let operations = strategy.new_tree(&mut runner).unwrap().current();
        let mut both = Both::new(limits(4_000));
        for operation in &operations {
            if let Operation::Insert {
                sender,
                ahead,
                variant,
                from,
            } = *operation
            {
                let sequence = (both.reference.next[sender] + ahead).saturating_sub(1);
                let new = made(sender, sequence.min(SEQUENCES - 1), variant);
                let from = from.map(|peer| PeerId(Hash([peer; 32])));
                let next = Sequence(both.reference.next[sender]);
                seen.insert(match both.mempool.clone().insert(new, next, from) {
                    Ok(Accepted::AlreadyKnown) => "known",
                    Ok(Accepted::Added { evicted }) if evicted.is_empty() => "added",
                    Ok(Accepted::Added { .. }) => "evicts",
                    Err(MempoolError::Stale { .. }) => "stale",
                    Err(MempoolError::TooFarAhead { .. }) => "too far ahead",
                    Err(MempoolError::Conflict { .. }) => "conflict",
                    Err(MempoolError::PeerQuota { .. }) => "peer quota",
                    Err(MempoolError::StampTooLow { .. }) => "stamp too low",
                    Err(_) => "sender quota",
                });
            }
            both.perform(operation);
        }
    }
    let all = [
        "sender quota",
        "known",
        "added",
        "evicts",
        "stale",
        "too far ahead",
        "conflict",
        "peer quota",
        "stamp too low",
    ];
    assert_eq!(seen, BTreeSet::from(all));
}
