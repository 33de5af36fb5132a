//! Replay from another tenant: valid blocks, headers and transactions of another chain with the same rules.
//!
//! Everything is keyed by the chain: nothing of it may be taken, and who sends it is banned for what it had to verify.

use shared::{
    genesis::Genesis,
    ids::{NetworkId, PeerId, Sequence, TimestampMs},
    message::{Bytes, Message},
    transaction::{Payload, Transaction},
};

use super::{Actor, Said, Watcher, grind, pushed, to_all};
use crate::Random;

/// Speaks of another chain.
#[derive(Debug)]
pub(crate) struct ForeignReplay {
    foreign: Watcher,
    made: u64,
}

impl ForeignReplay {
    pub(crate) fn new(genesis: &Genesis, random: Random) -> Self {
        let genesis = Genesis {
            network_id: NetworkId::parse("another").expect("a valid label"),
            ..genesis.clone()
        };
        Self {
            foreign: Watcher::new(&genesis, random),
            made: 0,
        }
    }

    fn transaction(&mut self, now: u64) -> Message {
        let genesis = self.foreign.chain.genesis();
        let (sequence, payload) = (
            Sequence(self.made),
            Payload::Message("another tenant's".into()),
        );
        self.made += 1;
        let (identity, at) = (&self.foreign.identity, TimestampMs(now));
        let created = Transaction::create(
            identity,
            genesis.chain_id(),
            &genesis.rules,
            sequence,
            at,
            payload,
        );
        let bytes = created
            .map(|transaction| transaction.encode())
            .unwrap_or_default();
        Message::Transactions {
            transactions: vec![Bytes(bytes)],
        }
    }
}

impl Actor for ForeignReplay {
    fn on_message(&mut self, _now: u64, _peer: PeerId, _bytes: &[u8]) -> Said {
        Vec::new()
    }

    fn on_turn(&mut self, now: u64, peers: &[PeerId]) -> Said {
        let message = match self.foreign.random.below(4) {
            0 => self.foreign.status(now),
            1 => self.transaction(now),
            choice => {
                let mut block = self.foreign.block(now);
                block.header = block.header.solved(grind(&block.header));
                self.foreign.adopt(now, &block);
                let header = Bytes(block.header.encode().to_vec());
                if choice == 2 {
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
