//! Header spam: valid headers with real work on branches from the chain's beginning, where work is cheap, without end.
//!
//! Each is valid, so nobody is banned for one; honest nodes keep a bounded number and stay on the heaviest chain.

use shared::{
    block::{MinerRecord, UncheckedBlock},
    chain::Chain,
    genesis::Genesis,
    ids::PeerId,
    message::{Bytes, Message},
};

use super::{Actor, Said, Watcher, grind, to_all};
use crate::Random;

/// Grows old branches.
#[derive(Debug)]
pub(crate) struct HeaderSpam {
    watcher: Watcher,
    branch: Chain,
}

/// Headers a turn.
const HEADERS: usize = 12;

impl HeaderSpam {
    pub(crate) fn new(genesis: &Genesis, random: Random) -> Self {
        Self {
            watcher: Watcher::new(genesis, random),
            branch: Chain::new(genesis.clone()),
        }
    }

    fn next(&mut self, now: u64) -> Option<Bytes> {
        let rules = &self.branch.genesis().rules;
        // Far apart in time, so that every one is as cheap as can be.
        let step = 2 * rules.interval();
        // Real work is dear: what it spends on a branch stays well below what the honest chain holds.
        let reach = self.watcher.chain.tip().work.0 / 2;
        let newest = self.branch.header(&self.branch.tip().hash);
        let before = newest.map_or_else(|| self.branch.genesis().created_at, |tip| tip.timestamp);
        let at = Some(before.plus_ms(step))
            .filter(|at| at.0 <= now && self.branch.tip().work.0 < reach)?;
        let key = self.watcher.identity.public_key();
        let free = self.watcher.random.draw().to_be_bytes();
        let miner = MinerRecord { key, free };
        let mut header = self.branch.template(miner, Vec::new(), at).header;
        header = header.solved(grind(&header));
        let block = UncheckedBlock {
            header: header.clone(),
            miner,
            transactions: Vec::new(),
        };
        if let Ok(block) = block.check(self.branch.genesis()) {
            let _ = self.branch.insert(block, at);
        }
        Some(Bytes(header.encode().to_vec()))
    }
}

impl Actor for HeaderSpam {
    fn on_message(&mut self, now: u64, peer: PeerId, bytes: &[u8]) -> Said {
        self.watcher.on_message(now, peer, bytes)
    }

    fn on_turn(&mut self, now: u64, peers: &[PeerId]) -> Said {
        self.branch = Chain::new(self.branch.genesis().clone());
        let headers: Vec<Bytes> = (0..HEADERS).map_while(|_| self.next(now)).collect();
        if headers.is_empty() {
            return Vec::new();
        }
        to_all(peers, &Message::Headers { headers })
    }
}
