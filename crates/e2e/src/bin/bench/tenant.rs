//! Chains that benches report: each block has one transaction, at a target of a few hashes.

use anyhow::Result;
use shared::block::{Block, MinerRecord};
use shared::chain::Chain;
use shared::genesis::{Access, Genesis, Rules};
use shared::identity::Identity;
use shared::ids::{NetworkId, Sequence, TimestampMs};
use shared::miner::{Miner, Step};
use shared::pow::Target;
use shared::transaction::{Payload, Transaction};

/// A genesis and the blocks after it.
#[derive(Debug)]
pub(crate) struct Mined {
    pub(crate) genesis: Genesis,
    pub(crate) blocks: Vec<Block>,
}

/// Mines `blocks` blocks of the network `bench<index>`, the first one a day ago.
pub(crate) fn mine(index: usize, blocks: usize) -> Result<Mined> {
    let seed = u8::try_from(index + 1)?;
    let owner = Identity::from_seed([seed; 32]);
    let mut rules = Rules::open_default(Target::for_hashes(32).to_compact());
    rules.stamp_bits = 0;
    // So that blocks become final while others are sent.
    rules.interval_ms = 2_000;
    rules.finality_delay_ms = 12_000;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    let created_at = TimestampMs(u64::try_from(now.as_millis())? - CREATED_AGO_MS);
    let genesis = Genesis {
        network_id: NetworkId::parse(&format!("bench{index}"))?,
        rules,
        created_at,
        owner: owner.public_key(),
        enterprise_genesis: None,
        predecessor: None,
        access: Access::Open,
    };
    let mut chain = Chain::new(genesis.clone());
    let mut mined = Vec::with_capacity(blocks);
    for height in 1..=u32::try_from(blocks)? {
        let block = next(&chain, &owner, height)?;
        chain.insert(block.clone(), block.header().timestamp)?;
        mined.push(block);
    }
    Ok(Mined {
        genesis,
        blocks: mined,
    })
}

fn next(chain: &Chain, owner: &Identity, height: u32) -> Result<Block> {
    let genesis = chain.genesis();
    let interval = genesis.rules.interval();
    let at = genesis.created_at.plus_ms(u64::from(height) * interval);
    let text = Payload::Message(format!("update {height}"));
    let sequence = Sequence(u64::from(height) - 1);
    let chain_id = chain.chain_id();
    let transaction = Transaction::create(owner, chain_id, &genesis.rules, sequence, at, text)?;
    let miner = MinerRecord {
        key: owner.public_key(),
        free: [0; 8],
    };
    let template = chain.template(miner, vec![transaction], at);
    let target = template.header.target.target();
    let mut miner = Miner::new(&template.header, &target, 0, u32::MAX);
    loop {
        match miner.step(1 << 16) {
            Step::Found(solution) => return Ok(template.solved(genesis, solution)?),
            Step::Working => {}
            Step::Exhausted => anyhow::bail!("no nonce"),
        }
    }
}

/// The first block's time: long enough ago for all of them.
const CREATED_AGO_MS: u64 = 24 * 3_600_000;
