//! Timestamp liar: half of the honest miners' power, so a third of all, and timestamps as false as the rules let pass: as early
//! as they may be, or as late.
//!
//! Its blocks are valid, so it is not banned; the rate of blocks must stay what the rules promise.

use shared::{genesis::Genesis, ids::PeerId};

use super::{Actor, INITIAL_HASHES, Said, Watcher, grind, pushed, to_all};
use crate::Random;

/// Lies about the time.
#[derive(Debug)]
pub(crate) struct TimestampLiar {
    watcher: Watcher,
    /// Virtual hashes a millisecond.
    power: f64,
}

impl TimestampLiar {
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    pub(crate) fn new(genesis: &Genesis, random: Random) -> Self {
        let power = INITIAL_HASHES as f64 / genesis.rules.interval() as f64 / 2.0;
        Self {
            watcher: Watcher::new(genesis, random),
            power,
        }
    }
}

impl Actor for TimestampLiar {
    fn on_message(&mut self, now: u64, peer: PeerId, bytes: &[u8]) -> Said {
        self.watcher.on_message(now, peer, bytes)
    }

    fn on_turn(&mut self, now: u64, peers: &[PeerId]) -> Said {
        let interval = self.watcher.chain.genesis().rules.interval();
        let lie = if self.watcher.random.chance(500) {
            now + 2 * interval - 500
        } else {
            0
        };
        let mut block = self.watcher.block(lie);
        block.header = block.header.solved(grind(&block.header));
        if self.watcher.adopt(now, &block).is_none() {
            return Vec::new();
        }
        let mut said = to_all(peers, &pushed(&block));
        said.extend(to_all(peers, &self.watcher.status(now)));
        said
    }

    fn pause_ms(&mut self) -> u64 {
        let hashes = self
            .watcher
            .block(0)
            .header
            .target
            .target()
            .work()
            .0
            .as_f64();
        self.watcher.random.exponential(hashes / self.power)
    }
}
