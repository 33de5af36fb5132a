//! What a flood of orphans costs one node: real processor time, of this thread, and real memory.

use std::fs;

use shared::{
    block::{MinerRecord, UncheckedBlock},
    chain::Chain,
    genesis::Genesis,
    hash::{Hash, sha256},
    identity::Identity,
    ids::{Height, PeerId, TimestampMs},
    message::{Bytes, Message},
    node::{Config, Input, Keep, Node, Output},
};

use crate::{
    Scenario,
    actors::grind,
    scale::ratio,
    world::{BIRTH_MS, World},
};

/// A node's bill for a flood.
#[derive(Debug, Clone, Copy)]
pub struct Flood {
    /// Processor time that handling the whole flood took, ms: so much later a block is taken that stands right behind it.
    pub lag_ms: f64,
    /// Growth of the process's resident memory, MiB, its highest.
    pub grown_mib: f64,
    /// Peers that were refused.
    pub refused: usize,
}

/// Peers that the orphans come from, in turn.
const PEERS: u32 = 16;

/// Gives one node `count` blocks with real work (at the lowest difficulty) whose parents nobody knows.
///
/// # Errors
/// The system does not tell time or memory, or the node does not take an input.
pub fn orphan_flood(count: u32) -> Result<Flood, String> {
    let genesis = World::new(Scenario {
        nodes: 1,
        interval_ms: 10_000,
        trouble_ms: 1,
        ..Scenario::default()
    })
    .history
    .genesis()
    .clone();
    let now = TimestampMs(BIRTH_MS + 60_000);
    let mut node = Node::new(Config {
        genesis: genesis.clone(),
        identity: Identity::from_seed([1; 32]),
        seed: [2; 32],
        keep: Keep::Archive,
        helpers: 0,
    });
    let give = |node: &mut Node, input: Input| {
        let result = node.handle(now, input);
        let mut refused = 0;
        while let Some(output) = node.poll() {
            refused += usize::from(matches!(output, Output::Disconnect { .. }));
        }
        result.map(|()| refused).map_err(|error| error.to_string())
    };
    give(
        &mut node,
        Input::Restored {
            records: Vec::new(),
        },
    )?;
    let peers: Vec<PeerId> = (0..PEERS)
        .map(|index| PeerId(sha256(&[&index.to_be_bytes()])))
        .collect();
    for peer in &peers {
        give(&mut node, Input::PeerConnected { peer: *peer })?;
    }
    let mut block = template(&genesis, now);
    let (before, mut peak) = (resident_kib()?, 0);
    let (mut lag_ns, mut refused, mut number) = (0, 0, 0);
    while number < count {
        // Made before the clock starts, a thousand at a time, so that neither making nor measuring counts.
        let end = count.min(number + 1_000);
        let batch: Vec<(PeerId, Vec<u8>)> = (number..end)
            .map(|number| orphan(&mut block, number, &peers))
            .collect();
        let began = thread_ns()?;
        for (peer, bytes) in batch {
            refused += give(&mut node, Input::MessageReceived { peer, bytes })?;
        }
        lag_ns += thread_ns()? - began;
        peak = peak.max(resident_kib()?);
        number = end;
    }
    Ok(Flood {
        lag_ms: ratio(lag_ns, 1_000_000),
        grown_mib: ratio(peak.saturating_sub(before), 1_024),
        refused,
    })
}

/// The next child of nobody, and from whom it comes.
fn orphan(block: &mut UncheckedBlock, number: u32, peers: &[PeerId]) -> (PeerId, Vec<u8>) {
    block.header.previous = sha256(&[b"nobody", &number.to_be_bytes()]);
    block.header.nonce = 0;
    block.header = block.header.solved(grind(&block.header));
    let bytes = Message::NewBlock {
        block: Bytes(block.encode()),
    }
    .encode();
    (peers[number as usize % peers.len()], bytes)
}

/// A block at the lowest difficulty, high above everything.
fn template(genesis: &Genesis, now: TimestampMs) -> UncheckedBlock {
    let miner = MinerRecord {
        key: Identity::from_seed([3; 32]).public_key(),
        free: [0; 8],
    };
    let mut header = Chain::new(genesis.clone())
        .template(miner, Vec::new(), now)
        .header;
    header.height = Height(1_000);
    header.previous = Hash::ZERO;
    header.target = genesis.rules.floor_target().to_compact();
    UncheckedBlock {
        header,
        miner,
        transactions: Vec::new(),
    }
}

/// Processor time of this thread so far.
fn thread_ns() -> Result<u64, String> {
    let text =
        fs::read_to_string("/proc/thread-self/schedstat").map_err(|error| error.to_string())?;
    let first = text.split_whitespace().next().unwrap_or_default();
    first.parse().map_err(|error| format!("schedstat: {error}"))
}

/// Resident memory of this process.
fn resident_kib() -> Result<u64, String> {
    let text = fs::read_to_string("/proc/self/statm").map_err(|error| error.to_string())?;
    let pages: u64 = text
        .split_whitespace()
        .nth(1)
        .and_then(|pages| pages.parse().ok())
        .unwrap_or(0);
    Ok(pages * 4)
}
