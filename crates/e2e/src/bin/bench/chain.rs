//! A long chain of real blocks, mined here, to be validated elsewhere.

use anyhow::{Context as _, Result};
use api::{EXPORT_VERSION, Export, ExportMetadata, TenantBlock};
use shared::block::{MinerRecord, UncheckedBlock};
use shared::chain::Chain;
use shared::genesis::{Access, Genesis, Rules};
use shared::header::Header;
use shared::identity::Identity;
use shared::ids::{NetworkId, Sequence, TimestampMs};
use shared::miner::{Miner, Step};
use shared::pow::Target;
use shared::transaction::{Payload, Transaction};

const SENDERS: u8 = 10;
const CREATED_AT: u64 = 1_700_000_000_000;

/// A genesis and the blocks after it, each as its bytes.
#[derive(Debug)]
pub(crate) struct LongChain {
    pub(crate) genesis: Genesis,
    pub(crate) blocks: Vec<Vec<u8>>,
}

impl LongChain {
    /// The first `blocks` blocks as the file that a tab exports.
    pub(crate) fn export(&self, blocks: u32) -> Result<String> {
        let mut chain = Vec::new();
        for bytes in self.blocks.iter().take(usize::try_from(blocks)?) {
            let block = UncheckedBlock::decode(bytes)?.check_archived(&self.genesis)?;
            chain.push(TenantBlock::from(&block));
        }
        let export = Export {
            chain,
            pending: Vec::new(),
            network_id: self.genesis.network_id.to_string(),
            chain_id: self.genesis.chain_id().to_string(),
            genesis: hex::encode(self.genesis.encode()),
            exported_at: end_ms(blocks),
            last_sync_block: 0,
            total_blocks: blocks,
            export_metadata: ExportMetadata {
                connected_to_tracker: false,
                current_height: blocks,
                unsynced_blocks: blocks,
                export_version: EXPORT_VERSION.to_owned(),
            },
        };
        Ok(serde_json::to_string(&export)?)
    }
}

/// The time after the last of `blocks` blocks.
pub(crate) fn end_ms(blocks: u32) -> u64 {
    CREATED_AT + (u64::from(blocks) + 1) * 10_000
}

/// Mines `blocks` blocks of ten messages at a target of a few hashes.
pub(crate) fn mine(name: &str, blocks: u32) -> Result<LongChain> {
    let mut rules = Rules::open_default(Target::for_hashes(64).to_compact());
    rules.stamp_bits = 0;
    let owner = Identity::from_seed([1; 32]);
    let genesis = Genesis {
        network_id: NetworkId::parse(name)?,
        rules,
        created_at: TimestampMs(CREATED_AT),
        owner: owner.public_key(),
        enterprise_genesis: None,
        predecessor: None,
        access: Access::Open,
    };
    let senders: Vec<_> = (0..SENDERS)
        .map(|seed| Identity::from_seed([seed + 2; 32]))
        .collect();
    let mut chain = Chain::new(genesis.clone());
    let mut encoded = Vec::new();
    for height in 1..=blocks {
        let now = TimestampMs(CREATED_AT + u64::from(height) * 10_000);
        let transactions: Result<Vec<_>, _> = senders
            .iter()
            .map(|sender| {
                let text = Payload::Message(format!("message of block {height}"));
                let sequence = Sequence(u64::from(height) - 1);
                Transaction::create(
                    sender,
                    genesis.chain_id(),
                    &genesis.rules,
                    sequence,
                    now,
                    text,
                )
            })
            .collect();
        let miner = MinerRecord {
            key: owner.public_key(),
            free: [0; 8],
        };
        let template = chain.template(miner, transactions?, now);
        let block = template.solved(&genesis, grind(&template.header)?)?;
        encoded.push(block.encode());
        chain.insert(block, now)?;
    }
    Ok(LongChain {
        genesis,
        blocks: encoded,
    })
}

fn grind(header: &Header) -> Result<u32> {
    let mut miner = Miner::new(header, &header.target.target(), 0, u32::MAX);
    loop {
        match miner.step(1 << 16) {
            Step::Found { nonce } => return Ok(nonce),
            Step::Working => {}
            Step::Exhausted => return None.context("no nonce meets a target of a few hashes"),
        }
    }
}
