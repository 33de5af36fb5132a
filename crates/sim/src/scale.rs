//! Many nodes at once: how fast a block reaches them and how often each gets it, how fast a mesh heals that lost half of its
//! members, and what a flood of orphans costs one node.
//!
//! The figures are virtual time and counted bytes, except the flood, which is real processor time and real memory of one node.

use std::collections::{BTreeMap, BTreeSet};

use shared::{
    block::{MinerRecord, UncheckedBlock},
    chain::Chain,
    genesis::Genesis,
    identity::Identity,
    ids::{Sequence, TimestampMs},
    mesh::Transport,
    node::{Input, MiningWhen},
    transaction::{Payload, Transaction},
};

use crate::{
    Scenario,
    actors::grind,
    wire::Party,
    world::{BIRTH_MS, World},
};

/// A block's way to everyone.
#[derive(Debug, Clone)]
pub struct Spread {
    /// Bytes of the block.
    pub block_bytes: usize,
    /// Until half of the nodes had it as their tip, ms.
    pub p50_ms: u64,
    /// Until 99 of 100 had.
    pub p99_ms: u64,
    /// Until the last one had.
    pub last_ms: u64,
    /// Bytes of all that a node received over its channels until five seconds after, in blocks, on average.
    pub copies_per_node: f64,
    /// Messages and their bytes in that time, by the number of their kind on the wire.
    pub said: BTreeMap<u8, (u64, u64)>,
    /// Links of a node, on average.
    pub degree: f64,
}

/// A mesh that lost half of its members.
#[derive(Debug, Clone, Copy)]
pub struct Healing {
    /// Until every survivor could reach every other over live direct links, and none believed in a dead one, s.
    pub seconds: f64,
    /// Survivors all of whose links led to the dead; without the tracker nobody can know of them, so they don't count then.
    pub alone: usize,
}

/// Whether the tracker is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrackerIs {
    /// It is.
    There,
    /// It went away together with the nodes.
    Gone,
}

/// So many nodes, 40 ms median latency (log-normal, sigma 0.5), 20 Mbit/s up each, clocks exact.
fn scenario(nodes: u64, seed: u64) -> Scenario {
    Scenario {
        seed,
        nodes,
        interval_ms: 10_000,
        latency_ms: 40,
        spread: 50,
        jitter_ms: 10,
        uplink: 2_500,
        notice_ms: 600_000,
        trouble_ms: 100_000_000,
        ..Scenario::default()
    }
}

/// The world, once its mesh has had a minute to form; nobody mines.
fn settled(nodes: u64, seed: u64) -> Result<World, String> {
    let mut world = World::new(scenario(nodes, seed));
    world.tally.is_traced = false;
    for host in &mut world.hosts {
        (host.power, host.mining) = (0.0, MiningWhen::Off);
    }
    run_until(&mut world, BIRTH_MS + 60_000)?;
    Ok(world)
}

fn run_until(world: &mut World, at: u64) -> Result<(), String> {
    while world.next_at().is_some_and(|next| next <= at) {
        world.step()?;
    }
    world.now = at;
    Ok(())
}

/// Sends a block of about 20 kB, whose transactions nobody has seen, on its way from one of many nodes.
///
/// # Errors
/// A node did what it must not, or the block did not reach everyone within a minute.
pub fn block_spread(nodes: u64, seed: u64) -> Result<Spread, String> {
    let mut world = settled(nodes, seed)?;
    let block = block_of_20_kb(world.history.genesis(), TimestampMs(world.now));
    let (hash, bytes) = (block.header.hash(), block.encode());
    let received = |world: &World| world.tally.received.values().sum::<u64>();
    let (began, before) = (world.now, received(&world));
    world.tally.said.clear();
    let links: usize = (0..world.hosts.len())
        .map(|party| live_links(&world, party).len())
        .sum();
    world.give(
        0,
        Input::BlockOffered {
            bytes: bytes.clone(),
        },
    );
    run_until(&mut world, began + 5_000)?;
    let (after, said) = (received(&world), world.tally.said.clone());
    run_until(&mut world, began + 60_000)?;
    let reached = world.tally.reached.get(&hash).cloned().unwrap_or_default();
    let mut times: Vec<u64> = reached.values().map(|at| at - began).collect();
    times.sort_unstable();
    let count = usize::try_from(nodes).unwrap_or(0);
    if times.len() < count {
        return Err(format!(
            "the block reached {} of {nodes} nodes",
            times.len()
        ));
    }
    let at = |share: usize| times[(count * share).div_ceil(100) - 1];
    Ok(Spread {
        block_bytes: bytes.len(),
        p50_ms: at(50),
        p99_ms: at(99),
        last_ms: at(100),
        copies_per_node: ratio(after - before, nodes * bytes.len() as u64),
        said,
        degree: ratio(links as u64, nodes),
    })
}

/// Kills half of the nodes at once; nobody is told, nobody's channel is closed.
///
/// # Errors
/// A node did what it must not, or the survivors did not find together within two minutes.
pub fn half_killed(nodes: u64, seed: u64, tracker: TrackerIs) -> Result<Healing, String> {
    let mut world = settled(nodes, seed)?;
    let began = world.now;
    let mut alive: BTreeSet<Party> = (0..world.hosts.len()).collect();
    while alive.len() as u64 > nodes / 2 {
        let dead = world.random.index(world.hosts.len());
        if alive.remove(&dead) {
            world.on_leave(dead);
        }
    }
    if tracker == TrackerIs::Gone {
        world.on_tracker_up(false);
    }
    let is_alone = |party: &Party| {
        !live_links(&world, *party)
            .iter()
            .any(|other| alive.contains(other))
    };
    let alone: BTreeSet<Party> = alive.iter().copied().filter(is_alone).collect();
    if tracker == TrackerIs::Gone {
        alive.retain(|party| !alone.contains(party));
    }
    while world.now < began + 120_000 {
        let next = world.now + 100;
        run_until(&mut world, next)?;
        let believes =
            |party: &Party| live_links(&world, *party).len() == direct_links(&world, *party);
        if groups(&world, &alive) == 1 && alive.iter().all(believes) {
            return Ok(Healing {
                seconds: ratio(world.now - began, 1_000),
                alone: alone.len(),
            });
        }
    }
    Err(format!("{} groups are left", groups(&world, &alive)))
}

/// How many links a party takes for direct.
fn direct_links(world: &World, party: Party) -> usize {
    let peers = world.hosts[party]
        .stack
        .iter()
        .flat_map(|stack| stack.mesh.peers());
    peers
        .filter(|(_, transport)| *transport == Transport::Direct)
        .count()
}

/// The parties at the other ends of a party's direct links that live and see it likewise.
fn live_links(world: &World, party: Party) -> Vec<Party> {
    let direct = |from: Party| {
        let peers = world.hosts[from]
            .stack
            .iter()
            .flat_map(|stack| stack.mesh.peers());
        peers
            .filter(|(_, transport)| *transport == Transport::Direct)
            .map(|(peer, _)| peer)
    };
    let own = world.hosts[party].peer;
    direct(party)
        .filter_map(|peer| world.party(&peer))
        .filter(|other| direct(*other).any(|peer| peer == own))
        .collect()
}

/// Groups of parties that reach each other over live links.
fn groups(world: &World, alive: &BTreeSet<Party>) -> usize {
    let links: BTreeMap<Party, Vec<Party>> = alive
        .iter()
        .map(|party| (*party, live_links(world, *party)))
        .collect();
    let (mut left, mut count) = (alive.clone(), 0);
    while let Some(first) = left.pop_first() {
        count += 1;
        let mut reached = vec![first];
        while let Some(party) = reached.pop() {
            let others = links.get(&party).into_iter().flatten();
            reached.extend(others.filter(|other| left.remove(other)));
        }
    }
    count
}

/// The first block, with five long messages.
fn block_of_20_kb(genesis: &Genesis, now: TimestampMs) -> UncheckedBlock {
    let chain = Chain::new(genesis.clone());
    let write = |index: u8| {
        let identity = Identity::from_seed([100 + index; 32]);
        let payload = Payload::Message("x".repeat(3_950));
        Transaction::create(
            &identity,
            genesis.chain_id(),
            &genesis.rules,
            Sequence(0),
            now,
            payload,
        )
    };
    let miner = MinerRecord {
        key: Identity::from_seed([99; 32]).public_key(),
        free: [0; 8],
    };
    let template = chain.template(
        miner,
        (0..5).filter_map(|index| write(index).ok()).collect(),
        now,
    );
    let mut header = template.header;
    header = header.solved(grind(&header));
    let transactions = template
        .transactions
        .iter()
        .map(|transaction| transaction.encode())
        .collect();
    UncheckedBlock {
        header,
        miner,
        transactions,
    }
}

#[expect(clippy::cast_precision_loss, reason = "a figure to be shown")]
pub(crate) fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}
