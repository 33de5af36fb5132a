//! Entries that wait for a block, in an order in which each may follow the ones before it.

use std::collections::{BTreeSet, VecDeque};

use shared::enterprise::{Entry, Reset, SetChange};
use shared::hash::Hash;
use shared::ids::ChainId;

use crate::store::BodyKey;

/// What an entry is about; each waits once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Subject {
    Tenant(ChainId),
    Block(BodyKey),
    Fork(BodyKey),
    SetChange(Hash),
    Reset(ChainId, Hash),
}

impl Subject {
    pub(super) fn of(entry: &Entry) -> Self {
        match entry {
            Entry::TenantRegistered(genesis) => Self::Tenant(genesis.chain_id()),
            Entry::BlockAnchored(anchor) => Self::Block((anchor.chain_id, anchor.header.hash())),
            Entry::ForkRefused(anchor) => Self::Fork((anchor.chain_id, anchor.header.hash())),
            Entry::SetChanged(_) => Self::SetChange(entry.leaf()),
            Entry::ReportAnchored(report) => Self::Block((report.chain_id, report.header.hash())),
            Entry::TenantReset(reset) => Self::Reset(reset.chain_id, reset.leaf()),
        }
    }

    /// The tenant that it is about, if it is about one.
    pub(super) const fn chain_id(&self) -> Option<ChainId> {
        match self {
            Self::Tenant(chain_id)
            | Self::Block((chain_id, _))
            | Self::Fork((chain_id, _))
            | Self::Reset(chain_id, _) => Some(*chain_id),
            Self::SetChange(_) => None,
        }
    }
}

#[derive(Debug)]
struct Waiting {
    subject: Subject,
    bytes: usize,
    entry: Entry,
}

/// The queue.
#[derive(Debug, Default)]
pub(super) struct Pending {
    queue: VecDeque<Waiting>,
    subjects: BTreeSet<Subject>,
}

impl Pending {
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(super) fn has(&self, subject: &Subject) -> bool {
        self.subjects.contains(subject)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Subject> {
        self.queue.iter().map(|waiting| waiting.subject)
    }

    /// Adds an entry unless it waits already.
    pub(super) fn push(&mut self, entry: Entry) {
        let subject = Subject::of(&entry);
        if self.subjects.insert(subject) {
            let bytes = entry.encode().len();
            self.queue.push_back(Waiting {
                subject,
                bytes,
                entry,
            });
        }
    }

    /// The set changes that wait.
    pub(super) fn changes(&self) -> impl Iterator<Item = &SetChange> {
        self.queue
            .iter()
            .filter_map(|waiting| match &waiting.entry {
                Entry::SetChanged(change) => Some(&**change),
                Entry::TenantRegistered(_)
                | Entry::BlockAnchored(_)
                | Entry::ForkRefused(_)
                | Entry::ReportAnchored(_)
                | Entry::TenantReset(_) => None,
            })
    }

    /// The resets that wait.
    pub(super) fn resets(&self) -> impl Iterator<Item = &Reset> {
        self.queue
            .iter()
            .filter_map(|waiting| match &waiting.entry {
                Entry::TenantReset(reset) => Some(&**reset),
                Entry::TenantRegistered(_)
                | Entry::BlockAnchored(_)
                | Entry::ForkRefused(_)
                | Entry::SetChanged(_)
                | Entry::ReportAnchored(_) => None,
            })
    }

    /// The leaves of a tenant's resets up to a number, which can wait no longer once that one is executed.
    pub(super) fn resets_up_to(&self, chain_id: ChainId, number: u32) -> Vec<Hash> {
        let of_tenant = |reset: &&Reset| reset.chain_id == chain_id && reset.number <= number;
        self.resets()
            .filter(of_tenant)
            .map(|reset| reset.leaf())
            .collect()
    }

    /// Removes what is decided or can never be; the order of the rest stays.
    pub(super) fn remove(&mut self, gone: &BTreeSet<Subject>) {
        let before = self.subjects.len();
        self.subjects.retain(|subject| !gone.contains(subject));
        if self.subjects.len() < before {
            let left = &self.subjects;
            self.queue.retain(|waiting| left.contains(&waiting.subject));
        }
    }

    /// The front that fits into so many entries and bytes, each with `overhead` besides.
    pub(super) fn front(&self, most: usize, mut bytes: usize, overhead: usize) -> Vec<Entry> {
        let fits = |waiting: &&Waiting| {
            let needed = waiting.bytes.saturating_add(overhead);
            let fits = needed <= bytes;
            bytes = bytes.saturating_sub(needed);
            fits
        };
        let front = self.queue.iter().take(most).take_while(fits);
        front.map(|waiting| waiting.entry.clone()).collect()
    }
}
