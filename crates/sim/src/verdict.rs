//! What a run must end with.

use std::collections::BTreeSet;

use shared::{
    hash::{Hash, sha256},
    ids::Height,
};

use crate::{Scenario, host::Host, tracker::Tracker};

/// A run that ended well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The run's seed.
    pub seed: u64,
    /// Honest nodes.
    pub nodes: usize,
    /// Height they all ended at.
    pub height: Height,
    /// Transactions that users were told are submitted.
    pub submitted: usize,
    /// Of these, shown as conflicts instead of confirmed.
    pub conflicts: usize,
    /// Main chains that changed branch, over all nodes.
    pub reorganisations: u64,
    /// Messages sent.
    pub messages: u64,
    /// Times a hostile peer was blamed.
    pub blamed: u64,
    /// Virtual time, ms.
    pub virtual_ms: u64,
    /// Hash over every order performed and every final disk.
    pub state_hash: Hash,
}

/// A run that ended badly.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The run's conditions; its seed repeats it.
    pub scenario: Box<Scenario>,
    /// What is wrong.
    pub reason: String,
}

impl core::fmt::Display for Failure {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(
            f,
            "seed {}: {}\n{:?}",
            self.scenario.seed, self.reason, self.scenario
        )
    }
}

impl core::fmt::Display for Outcome {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(
            f,
            "seed {:>4}: {:>2} nodes, {:>3} blocks, {:>3} reorganisations, {:>2} transactions ({} conflicts), {:>6} messages, {} blamed, {} s, state {}",
            self.seed,
            self.nodes,
            self.height.0,
            self.reorganisations,
            self.submitted,
            self.conflicts,
            self.messages,
            self.blamed,
            self.virtual_ms / 1_000,
            self.state_hash.to_string().get(..8).unwrap_or_default(),
        )
    }
}

/// Why the network hasn't come to rest yet; none when it has: one chain, nothing pending, everything reported.
pub(crate) fn unrest(hosts: &[Host], tracker: &Tracker) -> Option<String> {
    let mut tips = BTreeSet::new();
    for (index, host) in hosts.iter().enumerate() {
        let Some(node) = &host.node else {
            return Some(format!("node {index} is down"));
        };
        let status = node.status();
        tips.insert((status.height, status.tip));
        if status.pending > 0 || status.outbox > 0 {
            return Some(format!(
                "node {index} has {} pending and {} in its outbox",
                status.pending, status.outbox
            ));
        }
    }
    if tips.len() != 1 {
        return Some(format!("{} different tips: {tips:?}", tips.len()));
    }
    let (tip, reported) = (tips.first().copied(), tracker.tip());
    (reported != tip).then(|| format!("the tracker holds {reported:?} of {tip:?}"))
}

/// Transactions that were submitted: how many, and how many of them ended as conflicts.
///
/// # Errors
/// One is neither in the chain, nor pending, nor a conflict.
pub(crate) fn account(hosts: &[Host]) -> Result<(usize, usize), String> {
    let (mut submitted, mut conflicts) = (0, 0);
    for (index, host) in hosts.iter().enumerate() {
        let Some(node) = &host.node else {
            return Err(format!("node {index} is down"));
        };
        for id in &host.submitted {
            submitted += 1;
            let is_lost = node.conflicts().any(|lost| lost.transaction.id() == *id);
            conflicts += usize::from(is_lost);
            let is_kept = node.chain().contains_transaction(id).is_some()
                || node.mempool().contains(id)
                || node.outbox().contains(id);
            if !is_kept && !is_lost {
                return Err(format!("transaction {id} of node {index} is lost"));
            }
        }
    }
    Ok((submitted, conflicts))
}

/// Hash over what every node holds and has written, and over what led there.
pub(crate) fn state_hash(trace: Hash, hosts: &[Host]) -> Hash {
    let mut hash = trace;
    for host in hosts {
        for (key, value) in host.disk() {
            hash = sha256(&[&hash.0, key.as_bytes(), value]);
        }
        if let Some(node) = &host.node {
            let status = node.status();
            hash = sha256(&[&hash.0, &status.tip.0, &status.work.to_be_bytes()]);
        }
    }
    hash
}
