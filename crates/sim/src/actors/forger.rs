//! The forger: sends garbage, real work on false states, bodies that are not their header's, headers that don't link, claims
//! that lead nowhere, and never answers. Honest nodes must blame it, never each other, and end on one chain in spite of it.

use shared::{
    genesis::Genesis,
    hash::Hash,
    ids::PeerId,
    message::{Bytes, Message, Status},
};

use super::{Actor, Said, Watcher, grind, pushed};
use crate::Random;

/// Every kind of nonsense.
#[derive(Debug)]
pub(crate) struct Forger(Watcher);

impl Forger {
    pub(crate) fn new(genesis: &Genesis, random: Random) -> Self {
        Self(Watcher::new(genesis, random))
    }

    fn attack(&mut self, now: u64) -> Vec<u8> {
        let message = match self.0.random.below(8) {
            0 => return self.garbage(),
            1 => Message::NewBlock {
                block: Bytes(self.noise(1, 400)),
            },
            2 => self.false_state(now),
            3 => self.unlinked_headers(),
            4 => self.claim(self.0.chain.chain_id().0),
            5 => {
                let another = Hash(self.0.random.bytes32());
                self.claim(another)
            }
            6 => Message::HaveTransactions {
                ids: (0..50).map(|_| Hash(self.0.random.bytes32())).collect(),
            },
            _ => self.body_of_another(now),
        };
        message.encode()
    }

    fn noise(&mut self, least: u64, most: u64) -> Vec<u8> {
        let length = self.0.random.between(least, most);
        (0..length).map(|_| self.0.random.bytes32()[0]).collect()
    }

    fn garbage(&mut self) -> Vec<u8> {
        let mut bytes = self.noise(1, 300);
        bytes[0] = shared::message::MESSAGE_VERSION;
        bytes
    }

    /// Real work on a state that no execution gives.
    fn false_state(&mut self, now: u64) -> Message {
        let mut block = self.0.block(now);
        block.header.state_root = Hash(self.0.random.bytes32());
        block.header = block.header.solved(grind(&block.header));
        pushed(&block)
    }

    /// Real work on a header, with another body.
    fn body_of_another(&mut self, now: u64) -> Message {
        let mut block = self.0.mined(now);
        block.miner.free = self.0.random.draw().to_be_bytes();
        pushed(&block)
    }

    fn unlinked_headers(&mut self) -> Message {
        let bytes = Bytes(self.0.block(0).header.encode().to_vec());
        Message::Headers {
            headers: vec![bytes.clone(), bytes],
        }
    }

    /// A claim of enormous work; on another chain a reason to part.
    fn claim(&mut self, chain_id: Hash) -> Message {
        let tip = Hash(self.0.random.bytes32());
        let (work, clock_ms) = ([0x7f; 32], self.0.random.draw());
        Message::Status(Status {
            chain_id,
            height: u32::MAX,
            tip,
            work,
            clock_ms,
            pending: 7,
            pending_digest: tip,
            bodies_from: 1,
        })
    }
}

impl Actor for Forger {
    /// It listens, and answers nothing.
    fn on_message(&mut self, now: u64, peer: PeerId, bytes: &[u8]) -> Said {
        self.0.on_message(now, peer, bytes).clear();
        Vec::new()
    }

    fn on_turn(&mut self, now: u64, peers: &[PeerId]) -> Said {
        peers.iter().map(|peer| (*peer, self.attack(now))).collect()
    }
}
