//! What happens in a run, drawn from its seed.

use crate::Random;

/// How many nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// 3 to 9 nodes, full mesh.
    Small,
    /// 10 to 20 nodes, about 8 links each.
    Medium,
    /// 50 nodes, about 8 links each.
    Large,
}

/// Who else is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hostility {
    /// Honest nodes only.
    None,
    /// A peer that sends garbage, false work, false signatures and false states, and comes back under new names.
    Forger,
}

/// A run's conditions.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// The seed they were drawn from.
    pub seed: u64,
    /// Honest nodes.
    pub nodes: usize,
    /// Links each node aims for; everyone if the mesh is full.
    pub degree: usize,
    /// Target block interval, ms.
    pub interval_ms: u64,
    /// Shortest way of a message, ms.
    pub latency_ms: u64,
    /// Up to so much longer, drawn for each message, so that messages overtake each other.
    pub jitter_ms: u64,
    /// Messages lost, per mille.
    pub loss: u64,
    /// Messages that come twice, per mille.
    pub repetition: u64,
    /// Clocks are off by up to so much, ms.
    pub skew_ms: u64,
    /// Transactions submitted.
    pub submissions: u64,
    /// Crashes with restart.
    pub crashes: u64,
    /// Partitions, each healed.
    pub partitions: u64,
    /// Nodes that start late, from nothing.
    pub late: usize,
    /// The first two nodes sign with the same key, as two copies of one profile would: some of their transactions conflict.
    pub twins: bool,
    /// Virtual time of trouble; afterwards all is healed and everyone must agree.
    pub trouble_ms: u64,
    /// Who else is there.
    pub hostility: Hostility,
}

impl Scenario {
    /// Draws the conditions of a seed.
    #[must_use]
    pub fn draw(seed: u64, size: Size, hostility: Hostility) -> Self {
        let mut random = Random::new(seed ^ 0x5ce0_a110);
        let nodes = match size {
            Size::Small => 3 + random.index(7),
            Size::Medium => 10 + random.index(11),
            Size::Large => 50,
        };
        let interval_ms = [2_000, 4_000, 10_000][random.index(3)];
        let intervals = if size == Size::Large { 15 } else { 30 };
        Self {
            seed,
            nodes,
            degree: if nodes <= 10 { nodes } else { 8 },
            interval_ms,
            latency_ms: random.between(2, 80),
            jitter_ms: random.between(0, 300),
            loss: random.below(60),
            repetition: random.below(30),
            skew_ms: random.below(interval_ms / 2),
            submissions: random.between(5, 60),
            crashes: random.below(5),
            partitions: random.below(3),
            late: random.index(1 + nodes / 4),
            twins: random.chance(200),
            trouble_ms: interval_ms * intervals,
            hostility,
        }
    }
}
