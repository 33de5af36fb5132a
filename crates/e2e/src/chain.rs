//! A long chain of real blocks, mined here, to be validated elsewhere.

use crate::{Page, Stack};
use anyhow::{Context as _, Result};
use api::{BlockchainUpdate, EXPORT_VERSION, Export, ExportMetadata, TenantBlock};
use serde_json::json;
use shared::block::{MinerRecord, UncheckedBlock};
use shared::chain::Chain;
use shared::genesis::{Access, Genesis, Rules};
use shared::header::{Header, Solution};
use shared::identity::Identity;
use shared::ids::{NetworkId, Sequence, TimestampMs};
use shared::miner::{Miner, Step};
use shared::pow::Target;
use shared::transaction::{Payload, Transaction};
use std::fs;
use std::path::Path;

const REGISTER: &str = "
    const socket = new WebSocket('/ws');
    await new Promise((resolve, reject) => {
        socket.onerror = () => reject(new Error('the tracker is not there'));
        socket.onmessage = ({ data }) => {
            const message = JSON.parse(data);
            if (message.type === 'welcome') socket.send(JSON.stringify({type: 'create_network', genesis: a[0], listed: true}));
            if (message.type === 'network_created') resolve();
            if (message.type === 'error') reject(new Error(data));
        };
    });
    socket.close();";

const IMPORT: &str = "
    const text = await (await fetch(a[0])).text();
    return await window.distli.node.importChain(text);";

const HEIGHT: &str = "return (await window.distli?.node?.status())?.height ?? 0";

const COUNT_STORED: &str = "
    const { name } = (await indexedDB.databases()).find(({ name }) => name.startsWith('distli'));
    const db = await new Promise((resolve, reject) => {
        const open = indexedDB.open(name);
        open.onsuccess = () => resolve(open.result);
        open.onerror = () => reject(open.error);
    });
    const count = await new Promise((resolve, reject) => {
        const records = db.transaction('records').objectStore('records');
        const ask = records.count(IDBKeyRange.bound([a[0], 'block/'], [a[0], 'block/g']));
        ask.onsuccess = () => resolve(ask.result);
        ask.onerror = () => reject(ask.error);
    });
    db.close();
    return count;";

const SENDERS: u8 = 10;
const CREATED_AT: u64 = 1_700_000_000_000;

/// A genesis and the blocks after it, each as its bytes.
#[derive(Debug)]
pub struct LongChain {
    /// Its genesis.
    pub genesis: Genesis,
    /// Canonical blocks, lowest first.
    pub blocks: Vec<Vec<u8>>,
}

impl LongChain {
    /// Registers the network at the tracker, gives the tab `page` all blocks as a file that `www` serves, and returns the
    /// network's link. The tab is in the network then and holds the chain.
    ///
    /// # Errors
    /// If the tracker or the tab refuses.
    pub async fn publish(&self, stack: &Stack, www: &Path, page: &Page<'_>) -> Result<String> {
        let (genesis, name) = (hex::encode(self.genesis.encode()), &self.genesis.network_id);
        let blocks = u32::try_from(self.blocks.len())?;
        let file = format!("{name}.json");
        fs::write(www.join(&file), self.export(blocks)?)?;
        page.run_async(REGISTER, vec![json!(genesis)]).await?;
        let link = format!("{}/#/n/{name}", stack.app_url);
        page.goto(&link).await?;
        page.find("message-input").await?;
        page.run_async(IMPORT, vec![json!(format!("/{file}"))])
            .await?;
        page.status_where("the import is done", |status| status["height"] == blocks)
            .await?;
        Ok(link)
    }

    /// True once the tab `page` has the whole chain, validated and stored.
    ///
    /// # Errors
    /// If the tab is gone.
    pub async fn is_stored(&self, page: &Page<'_>) -> Result<bool> {
        let (id, blocks) = (self.genesis.chain_id().to_string(), self.blocks.len());
        // Counting records costs the tab something: only once the chain says that it is complete.
        Ok(page.run_async(HEIGHT, vec![]).await? == blocks
            && page.run_async(COUNT_STORED, vec![json!(id)]).await? == blocks)
    }
    /// The first `blocks` blocks as the file that a tab exports.
    ///
    /// # Errors
    /// If a block is none.
    pub fn export(&self, blocks: u32) -> Result<String> {
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
            finality: None,
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

    /// All blocks as an update for a validator.
    ///
    /// # Errors
    /// If a block is none.
    pub fn update(&self) -> Result<BlockchainUpdate> {
        let mut blocks = Vec::new();
        for bytes in &self.blocks {
            let block = UncheckedBlock::decode(bytes)?.check_archived(&self.genesis)?;
            blocks.push(TenantBlock::from(&block));
        }
        Ok(BlockchainUpdate {
            network_id: self.genesis.network_id.to_string(),
            chain_id: None,
            genesis: Some(hex::encode(self.genesis.encode())),
            peer_id: "bench".into(),
            new_blocks: blocks,
            new_reports: Vec::new(),
            timestamp: 0,
        })
    }
}

/// The time after the last of `blocks` blocks.
#[must_use]
pub fn end_ms(blocks: u32) -> u64 {
    CREATED_AT + (u64::from(blocks) + 1) * 10_000
}

/// Mines `blocks` blocks of ten messages at a target of a few hashes.
///
/// # Errors
/// If the name is no network id.
pub fn mine(name: &str, blocks: u32) -> Result<LongChain> {
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

fn grind(header: &Header) -> Result<Solution> {
    let mut miner = Miner::new(header, &header.target.target(), 0, u32::MAX);
    loop {
        match miner.step(1 << 16) {
            Step::Found(solution) => return Ok(solution),
            Step::Working => {}
            Step::Exhausted => return None.context("no nonce meets a target of a few hashes"),
        }
    }
}
