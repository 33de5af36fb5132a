//! The pure machine that merges what the validator and the tracker say into one snapshot.
//!
//! Invariants: blocks are one chain by height (a block that does not fit what is held replaces it); a status never
//! goes back in height unless the validator was synced anew; what was last seen stays when a source is lost, with the
//! loss on record. Changes that come within [`COALESCE_MS`] are published together.
//!
//! Bounded by [`crate::limits`]: blocks, tenants, networks and texts beyond a maximum are dropped or cut; the totals
//! beside them stay true.

mod snapshot;

pub use snapshot::{Link, Snapshot, TrackerView};

use crate::limits::{
    BLOCK_TRANSACTIONS_MAX, BLOCKS_MAX, COALESCE_MS, NETWORKS_MAX, TENANTS_MAX, TEXT_CHARS_MAX,
};
use api::{EnterpriseBlock, Health, NetworkListItem, Status, Tenants};
use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};

/// What a driver observed.
#[derive(Debug, Clone)]
pub enum Input {
    /// The validator was connected and told everything.
    ValidatorSynced(Box<Synced>),
    /// The validator told one change.
    ValidatorChanged(Change),
    /// The tracker answered.
    TrackerAnswered {
        /// Its listed networks.
        networks: Vec<NetworkListItem>,
        /// How it judges itself.
        health: Health,
    },
    /// A followed service cannot be reached.
    SourceLost {
        /// Which one.
        source: Source,
        /// Why, for people.
        reason: String,
    },
    /// The time asked for by [`Output::WakeAt`] has come.
    Woken,
}

/// Everything that a validator tells at the start of a connection.
#[derive(Debug, Clone)]
pub struct Synced {
    /// `GET /api/status`.
    pub status: Status,
    /// `GET /api/tenants`.
    pub tenants: Tenants,
    /// `GET /api/blocks`.
    pub blocks: Vec<EnterpriseBlock>,
}

/// One event of the validator's stream.
#[derive(Debug, Clone)]
pub enum Change {
    /// Event `status`.
    Status(Box<Status>),
    /// Event `tenants`.
    Tenants(Tenants),
    /// Event `block`.
    Block(Box<EnterpriseBlock>),
}

/// A followed service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The validator.
    Validator,
    /// The tracker.
    Tracker,
}

/// What the driver has to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Show this to every page.
    Publish(Box<Snapshot>),
    /// Send [`Input::Woken`] at this time in ms.
    WakeAt(u64),
}

/// The merged state.
#[derive(Debug, Default)]
pub struct View {
    status: Option<Status>,
    tenants: Option<Tenants>,
    blocks: BTreeMap<u64, EnterpriseBlock>,
    validator: Link,
    tracker: TrackerView,
    change: Pending,
    outputs: VecDeque<Output>,
}

/// Whether a change waits to be published.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Pending {
    #[default]
    Nothing,
    Until(u64),
}

impl View {
    /// Takes one observation made at `now_ms`.
    pub fn handle(&mut self, now_ms: u64, input: Input) {
        match input {
            Input::ValidatorSynced(synced) => self.on_validator_synced(now_ms, *synced),
            Input::ValidatorChanged(change) => self.on_validator_changed(now_ms, change),
            Input::TrackerAnswered { networks, health } => {
                self.on_tracker_answered(now_ms, networks, health);
            }
            Input::SourceLost { source, reason } => self.on_source_lost(now_ms, source, reason),
            Input::Woken => self.on_woken(now_ms),
        }
    }

    /// The next thing to do; the driver drains it after every [`View::handle`].
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// What a page that connects at `now_ms` gets to see.
    #[must_use]
    pub fn snapshot(&self, now_ms: u64) -> Snapshot {
        let mut snapshot = Snapshot {
            at: now_ms,
            status: self.status.clone(),
            tenants: self.tenants.clone(),
            blocks: self.blocks.values().rev().cloned().collect(),
            validator: self.validator.clone(),
            tracker: self.tracker.clone(),
            health: None,
        };
        snapshot.health = Some(snapshot.health_at(now_ms));
        snapshot
    }

    fn on_validator_synced(&mut self, now_ms: u64, synced: Synced) {
        self.status = Some(synced.status);
        self.tenants = Some(bounded_tenants(synced.tenants));
        self.blocks.clear();
        for block in synced.blocks {
            self.add_block(block);
        }
        self.validator.connected(now_ms);
        self.changed(now_ms);
    }

    fn on_validator_changed(&mut self, now_ms: u64, change: Change) {
        match change {
            Change::Status(status) => {
                let held = self.status.as_ref().map_or(0, |held| held.height);
                if status.height < held {
                    return;
                }
                self.status = Some(*status);
            }
            Change::Tenants(tenants) => self.tenants = Some(bounded_tenants(tenants)),
            Change::Block(block) => self.add_block(*block),
        }
        self.changed(now_ms);
    }

    fn on_tracker_answered(&mut self, now_ms: u64, networks: Vec<NetworkListItem>, health: Health) {
        let mut networks = networks;
        let total = networks.len();
        networks.truncate(NETWORKS_MAX);
        if self.tracker.link.reachable && self.tracker.says(&networks, total, &health) {
            return;
        }
        self.tracker.networks = networks;
        self.tracker.total_networks = total;
        self.tracker.health = Some(health);
        self.tracker.link.connected(now_ms);
        self.changed(now_ms);
    }

    fn on_source_lost(&mut self, now_ms: u64, source: Source, reason: String) {
        let link = match source {
            Source::Validator => &mut self.validator,
            Source::Tracker => &mut self.tracker.link,
        };
        if link.lost(now_ms, cut(reason)) {
            self.changed(now_ms);
        }
    }

    fn on_woken(&mut self, now_ms: u64) {
        match self.change {
            Pending::Until(at) if at <= now_ms => {
                self.change = Pending::Nothing;
                let snapshot = self.snapshot(now_ms);
                self.outputs.push_back(Output::Publish(Box::new(snapshot)));
            }
            Pending::Until(at) => self.outputs.push_back(Output::WakeAt(at)),
            Pending::Nothing => {}
        }
    }

    fn changed(&mut self, now_ms: u64) {
        if self.change == Pending::Nothing {
            let at = now_ms.saturating_add(COALESCE_MS);
            self.change = Pending::Until(at);
            self.outputs.push_back(Output::WakeAt(at));
        }
    }

    /// Keeps one chain: what is above `block` or does not lead to it came from another history and goes.
    fn add_block(&mut self, block: EnterpriseBlock) {
        let height = block.height;
        let parent_differs = height
            .checked_sub(1)
            .and_then(|below| self.blocks.get(&below))
            .is_some_and(|parent| parent.hash != block.previous_hash);
        let other_history = self
            .blocks
            .get(&height)
            .is_some_and(|held| held.hash != block.hash);
        if parent_differs {
            self.blocks.clear();
        } else if other_history {
            self.blocks.split_off(&height);
        }
        self.blocks.insert(height, bounded_block(block));
        while self.blocks.len() > BLOCKS_MAX {
            self.blocks.pop_first();
        }
    }
}

fn bounded_block(mut block: EnterpriseBlock) -> EnterpriseBlock {
    block.transactions.truncate(BLOCK_TRANSACTIONS_MAX);
    for transaction in &mut block.transactions {
        transaction.transaction_data = cut(std::mem::take(&mut transaction.transaction_data));
    }
    // The page shows no raw bytes; who wants to verify asks the validator.
    block.header = None;
    block.certificate = None;
    block
}

fn bounded_tenants(mut tenants: Tenants) -> Tenants {
    if tenants.tenants.len() > TENANTS_MAX {
        tenants
            .tenants
            .sort_by_key(|tenant| Reverse(tenant.last_activity));
        tenants.tenants.truncate(TENANTS_MAX);
    }
    for tenant in &mut tenants.tenants {
        let messages = std::mem::take(&mut tenant.recent_messages);
        tenant.recent_messages = messages.into_iter().map(cut).collect();
    }
    tenants
}

fn cut(text: String) -> String {
    match text.char_indices().nth(TEXT_CHARS_MAX) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

#[cfg(test)]
mod tests;
