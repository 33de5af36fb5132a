//! Orphan flood: blocks with real work at the lowest difficulty whose parents nobody knows.
//!
//! Such a block is no crime (its parent may come), so it is not banned for it; honest nodes hold a bounded number and go on.

use shared::{
    genesis::Genesis,
    hash::Hash,
    ids::{Height, PeerId},
};

use super::{Actor, Said, Watcher, grind, pushed};
use crate::Random;

/// Has children of nobody.
#[derive(Debug)]
pub(crate) struct OrphanFlood(Watcher);

/// Blocks a turn.
const BLOCKS: usize = 20;

impl OrphanFlood {
    pub(crate) fn new(genesis: &Genesis, random: Random) -> Self {
        Self(Watcher::new(genesis, random))
    }
}

impl Actor for OrphanFlood {
    fn on_message(&mut self, now: u64, peer: PeerId, bytes: &[u8]) -> Said {
        self.0.on_message(now, peer, bytes)
    }

    fn on_turn(&mut self, now: u64, peers: &[PeerId]) -> Said {
        let mut said = Vec::new();
        for _ in 0..BLOCKS {
            let mut block = self.0.block(now);
            block.header.previous = Hash(self.0.random.bytes32());
            block.header.height = Height(block.header.height.0 + 1);
            block.header.target = self.0.chain.genesis().rules.floor_target().to_compact();
            block.header = block.header.solved(grind(&block.header));
            let bytes = pushed(&block).encode();
            said.extend(peers.iter().map(|peer| (*peer, bytes.clone())));
        }
        said
    }
}
