//! Bad signature: transactions whose signature is none, alone and inside blocks with real work.
//!
//! Honest nodes must refuse it and never have such a transaction in mempool or chain.

use shared::{
    block::{UncheckedBlock, body_root},
    genesis::Genesis,
    hash::sha256,
    ids::{PeerId, Sequence, TimestampMs},
    message::{Bytes, Message},
    transaction::{Payload, Transaction},
};

use super::{Actor, Said, Watcher, grind, pushed, to_all};
use crate::Random;

/// Signs nothing.
#[derive(Debug)]
pub(crate) struct BadSignature {
    watcher: Watcher,
    made: u64,
}

impl BadSignature {
    pub(crate) fn new(genesis: &Genesis, random: Random) -> Self {
        Self {
            watcher: Watcher::new(genesis, random),
            made: 0,
        }
    }

    fn transaction(&mut self, now: u64) -> Vec<u8> {
        let genesis = self.watcher.chain.genesis();
        let payload = Payload::Message(format!("forged {}", self.made));
        self.made += 1;
        let (chain, at) = (genesis.chain_id(), TimestampMs(now));
        let identity = &self.watcher.identity;
        let created =
            Transaction::create(identity, chain, &genesis.rules, Sequence(0), at, payload);
        let mut bytes = created
            .map(|transaction| transaction.encode())
            .unwrap_or_default();
        if let Some(last) = bytes.last_mut() {
            *last ^= 1;
        }
        bytes
    }

    fn block(&mut self, now: u64) -> UncheckedBlock {
        let transaction = self.transaction(now);
        let mut block = self.watcher.block(now);
        block.header.body_root = body_root(&block.miner, [sha256(&[&transaction])].into_iter());
        block.transactions = vec![transaction];
        block.header = block.header.solved(grind(&block.header));
        block
    }
}

impl Actor for BadSignature {
    fn on_message(&mut self, now: u64, peer: PeerId, bytes: &[u8]) -> Said {
        self.watcher.on_message(now, peer, bytes)
    }

    fn on_turn(&mut self, now: u64, peers: &[PeerId]) -> Said {
        let message = if self.watcher.random.chance(500) {
            Message::Transactions {
                transactions: vec![Bytes(self.transaction(now))],
            }
        } else {
            pushed(&self.block(now))
        };
        to_all(peers, &message)
    }
}
