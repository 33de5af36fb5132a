//! What a run must end with.

use std::collections::{BTreeMap, BTreeSet};

use shared::{
    hash::{Hash, sha256},
    ids::Height,
};

use crate::{
    Kind, Scenario,
    world::{BIRTH_MS, World},
};

/// A run that ended well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The run's seed.
    pub seed: u64,
    /// Honest nodes.
    pub nodes: u64,
    /// Height they all ended at.
    pub height: Height,
    /// Transactions that users were told are submitted.
    pub submitted: usize,
    /// Of these, shown as conflicts instead of confirmed.
    pub conflicts: usize,
    /// Main chains that changed branch, over all nodes.
    pub reorganisations: u64,
    /// Messages between nodes.
    pub messages: u64,
    /// Crashes that were followed by a restart.
    pub restarts: u64,
    /// Writes of which a crash left a part.
    pub torn: u64,
    /// Stored records found damaged after that.
    pub damaged: u64,
    /// How often each kind of hostile party was refused by an honest node.
    pub refused: BTreeMap<Kind, u64>,
    /// Why they were.
    pub reasons: BTreeSet<String>,
    /// Kinds of trouble that did happen.
    pub happened: BTreeSet<&'static str>,
    /// Timestamps of the blocks on the chain, ms since the run began, and whether an honest node mined them.
    pub blocks: Vec<(u64, bool)>,
    /// Virtual time, ms.
    pub virtual_ms: u64,
    /// Hash over every order performed and every final disk.
    pub state_hash: Hash,
}

/// A run that ended badly.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The run's conditions, which repeat it.
    pub scenario: Box<Scenario>,
    /// What is wrong.
    pub reason: String,
}

impl core::fmt::Display for Failure {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self { scenario, reason } = self;
        write!(
            f,
            "seed {}: {reason}\nrepeat it: DISTLI_SIM_SCENARIO='{scenario}' make sim",
            scenario.seed
        )
    }
}

impl core::fmt::Display for Outcome {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self {
            seed,
            nodes,
            height,
            reorganisations,
            submitted,
            conflicts,
            messages,
            restarts,
            torn,
            ..
        } = self;
        write!(
            f,
            "seed {seed:>4}: {nodes:>2} nodes, {:>3} blocks, {reorganisations:>3} reorganisations, {submitted:>2} transactions \
             ({conflicts} conflicts), {messages:>6} messages, {restarts} restarts ({torn} torn), refused {:?}, {} s, state {}",
            height.0,
            self.refused,
            self.virtual_ms / 1_000,
            self.state_hash.to_string().get(..8).unwrap_or_default(),
        )
    }
}

/// Why the network hasn't come to rest yet; none when it has: one chain, nothing pending, everything reported.
pub(crate) fn unrest(world: &World) -> Option<String> {
    let mut tips = BTreeSet::new();
    for (party, host) in world.honest() {
        let Some(node) = host.node() else {
            return Some(format!("node {party} is down"));
        };
        let status = node.status();
        tips.insert((status.height, status.tip));
        if status.pending > 0 || status.outbox > 0 {
            return Some(format!("node {party} has something pending: {status:?}"));
        }
    }
    if tips.len() != 1 {
        return Some(format!("{} different tips: {tips:?}", tips.len()));
    }
    let (tip, reported) = (tips.first().copied(), world.tracker.tip());
    (reported != tip).then(|| format!("the tracker holds {reported:?} of {tip:?}"))
}

/// The account of a run that came to rest.
///
/// # Errors
/// A transaction that a user sent is neither in the chain, nor pending, nor a conflict.
pub(crate) fn outcome(world: &World) -> Result<Outcome, String> {
    let (submitted, conflicts) = account(world)?;
    if conflicts > 0 && world.scenario.twins == 0 {
        return Err(format!("{conflicts} conflicts, and no key was used twice"));
    }
    Ok(Outcome {
        seed: world.scenario.seed,
        nodes: world.scenario.nodes,
        height: world.tracker.chain.tip().height,
        submitted,
        conflicts,
        reorganisations: world.tally.reorganisations,
        messages: world.tally.messages,
        restarts: world.tally.restarts,
        torn: world.tally.torn,
        damaged: world.tally.damaged,
        refused: world.tally.refused.clone(),
        reasons: world.tally.reasons.clone(),
        happened: world.tally.happened.clone(),
        blocks: blocks(world),
        virtual_ms: world.now - BIRTH_MS,
        state_hash: state_hash(world),
    })
}

fn account(world: &World) -> Result<(usize, usize), String> {
    let (mut submitted, mut conflicts) = (0, 0);
    for (party, host) in world.honest() {
        let Some(node) = host.node() else {
            return Err(format!("node {party} is down"));
        };
        for id in &host.submitted {
            submitted += 1;
            let is_lost = node.conflicts().any(|lost| lost.transaction.id() == *id);
            conflicts += usize::from(is_lost);
            let is_kept = node.chain().contains_transaction(id).is_some()
                || node.mempool().contains(id)
                || node.outbox().contains(id);
            if !is_kept && !is_lost {
                return Err(format!("transaction {id} of node {party} is lost"));
            }
        }
    }
    Ok((submitted, conflicts))
}

fn blocks(world: &World) -> Vec<(u64, bool)> {
    let chain = &world.tracker.chain;
    let honest: BTreeSet<_> = world
        .hosts
        .iter()
        .filter(|host| host.is_honest())
        .map(|host| host.key())
        .collect();
    let heights = 1..=chain.tip().height.0;
    let blocks = heights.filter_map(|height| chain.block_at(Height(height)));
    blocks
        .map(|block| {
            (
                block.header().timestamp.0.saturating_sub(BIRTH_MS),
                honest.contains(&block.miner().key),
            )
        })
        .collect()
}

/// Hash over what every node holds and has written, and over what led there.
fn state_hash(world: &World) -> Hash {
    let mut hash = world.tally.trace;
    for (_, host) in world.honest() {
        for (key, value) in host.disk() {
            hash = sha256(&[&hash.0, key.as_bytes(), value]);
        }
        if let Some(node) = host.node() {
            let status = node.status();
            hash = sha256(&[&hash.0, &status.tip.0, &status.work.to_be_bytes()]);
        }
    }
    hash
}
