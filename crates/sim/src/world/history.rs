//! What happened before a run begins: a chain that most nodes hold, and a final block near its end that all know of.

use shared::{
    block::{MinerRecord, UncheckedBlock},
    chain::Chain,
    enterprise::FinalBlock,
    genesis::Genesis,
    identity::Identity,
    ids::{Height, TimestampMs},
    transaction::{Payload, Transaction, VerifiedTransaction},
};

use super::World;
use crate::actors::grind;

/// So many blocks above the final one.
const ABOVE_FINAL: u32 = 10;

/// Every so manieth block has a transaction.
const BETWEEN_TRANSACTIONS: u32 = 8;

impl World {
    /// Gives the nodes what they hold of the history.
    pub(super) fn remember(&mut self) {
        let chain = &self.history;
        let final_height = Height(chain.tip().height.0.saturating_sub(ABOVE_FINAL));
        if final_height == Height::GENESIS {
            return;
        }
        let Some(checkpoint) = final_block(chain, final_height) else {
            return;
        };
        let blocks = (1..=chain.tip().height.0).filter_map(|height| chain.block_at(Height(height)));
        let mut records: Vec<(String, Vec<u8>)> = blocks
            .map(|block| (format!("block/{}", block.hash()), block.encode()))
            .collect();
        records.push(("tip".into(), chain.tip().hash.0.to_vec()));
        let late = usize::try_from(self.scenario.late).unwrap_or(0);
        let steady = usize::try_from(self.scenario.nodes)
            .unwrap_or(0)
            .saturating_sub(late);
        for (index, host) in self
            .hosts
            .iter_mut()
            .enumerate()
            .filter(|(_, host)| host.is_honest())
        {
            host.give_records([("final".into(), checkpoint.encode())]);
            if index < steady {
                host.give_records(records.clone());
            }
        }
    }
}

/// A chain of so many blocks, an interval apart, with a few transactions.
pub(super) fn grown(genesis: &Genesis, blocks: u32) -> Chain {
    let mut chain = Chain::new(genesis.clone());
    let identity = Identity::from_seed([7; 32]);
    for number in 1..=blocks {
        let at = genesis
            .created_at
            .plus_ms(u64::from(number) * genesis.rules.interval());
        let transaction = (number % BETWEEN_TRANSACTIONS == 0)
            .then(|| written(&chain, &identity, at))
            .flatten();
        extend(&mut chain, &identity, transaction, at);
    }
    chain
}

fn written(chain: &Chain, identity: &Identity, at: TimestampMs) -> Option<VerifiedTransaction> {
    let (genesis, sequence) = (chain.genesis(), chain.next_sequence(&identity.public_key()));
    let payload = Payload::Message(format!("before, {}", sequence.0));
    Transaction::create(
        identity,
        genesis.chain_id(),
        &genesis.rules,
        sequence,
        at,
        payload,
    )
    .ok()
}

fn extend(
    chain: &mut Chain,
    identity: &Identity,
    transaction: Option<VerifiedTransaction>,
    at: TimestampMs,
) {
    let miner = MinerRecord {
        key: identity.public_key(),
        free: [0; 8],
    };
    let transactions: Vec<Vec<u8>> = transaction.iter().map(|written| written.encode()).collect();
    let mut header = chain
        .template(miner, transaction.into_iter().collect(), at)
        .header;
    header = header.solved(grind(&header));
    let block = UncheckedBlock {
        header,
        miner,
        transactions,
    };
    if let Ok(block) = block.check(chain.genesis()) {
        // One that does not connect would leave the chain short, and the run without its history.
        let _short = chain.insert(block, at);
    }
}

fn final_block(chain: &Chain, height: Height) -> Option<FinalBlock> {
    let hash = chain.hash_at(height)?;
    let mut bytes = chain.chain_id().0.0.to_vec();
    bytes.extend(height.0.to_be_bytes());
    bytes.extend(hash.0);
    bytes.extend(chain.work_of(&hash)?.to_be_bytes());
    FinalBlock::from_checkpoint(&bytes).ok()
}
