//! Bad work: blocks and headers that don't meet their own target, or name an easier one than the chain's rules give.
//!
//! Honest nodes must refuse it at the first such message, store nothing of it and go on.

use shared::{
    genesis::Genesis,
    ids::PeerId,
    message::{Bytes, Message},
    pow::Target,
};

use super::{Actor, Said, Watcher, grind, pushed, to_all};
use crate::Random;

/// Sends what nobody worked for.
#[derive(Debug)]
pub(crate) struct BadWork(Watcher);

impl BadWork {
    pub(crate) fn new(genesis: &Genesis, random: Random) -> Self {
        Self(Watcher::new(genesis, random))
    }
}

impl Actor for BadWork {
    fn on_message(&mut self, now: u64, peer: PeerId, bytes: &[u8]) -> Said {
        self.0.on_message(now, peer, bytes)
    }

    fn on_turn(&mut self, now: u64, peers: &[PeerId]) -> Said {
        let mut block = self.0.block(now);
        let message = match self.0.random.below(3) {
            0 => {
                // Easier than the rules give: even the floor is harder.
                block.header.target = Target::for_hashes(1).to_compact();
                block.header = block.header.solved(grind(&block.header));
                pushed(&block)
            }
            choice => {
                while block.header.target.target().is_met_by(&block.header.hash()) {
                    block.header.nonce += 1;
                }
                let header = Bytes(block.header.encode().to_vec());
                if choice == 1 {
                    pushed(&block)
                } else {
                    Message::Headers {
                        headers: vec![header],
                    }
                }
            }
        };
        to_all(peers, &message)
    }
}
