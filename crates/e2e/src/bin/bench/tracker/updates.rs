//! Updates: how many become durable, and how fast what waited out an outage reaches the validator.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use api::ws::ClientMessage;
use api::{Health, Status, TenantBlock};
use e2e::free_port;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::rooms::{source, welcome};
use super::server::{Server, open, validator};
use super::wire::{Wire, frame};
use crate::figure;
use crate::tenant::{self, Mined};

/// Each of [`TENANTS`] connections reports a block, waits until it is durable, and reports the next.
pub(super) async fn durable() -> Result<()> {
    let server = Arc::new(Server::tracker(None).await?);
    let mut reporters = Vec::new();
    for index in 0..TENANTS {
        let mined = tenant::mine(index, BLOCKS_DURABLE)?;
        reporters.push(Reporter::join(&server, index, &mined, 1).await?);
    }
    server.settled().await?;
    let (before, began) = (server.cpu_s()?, Instant::now());
    let end = began + DURABLE_FOR;
    let mut tasks = JoinSet::new();
    for reporter in reporters {
        tasks.spawn(reporter.report_until(end));
    }
    let mut count = 0.0;
    while let Some(done) = tasks.join_next().await {
        let (_reporter, sent) = done??;
        count += sent as f64;
    }
    let (seconds, cpu) = (began.elapsed().as_secs_f64(), server.cpu_s()? - before);
    figure("updates_durable_per_s", count / seconds, "updates/s");
    figure("updates_durable_per_cpu_s", count / cpu, "updates/s");
    Ok(())
}

/// Blocks of many networks are taken while the validator is away; then it comes, and has them all.
pub(super) async fn drain() -> Result<()> {
    let (folder, port) = (TempDir::new()?, free_port()?);
    let server = Arc::new(Server::tracker(Some(port)).await?);
    let mut tasks = JoinSet::new();
    for index in 0..TENANTS {
        let mined = tenant::mine(index, BLOCKS_WAITING)?;
        let reporter = Reporter::join(&server, index, &mined, BATCH).await?;
        tasks.spawn(reporter.report_until(Instant::now() + Duration::from_secs(3_600)));
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    let blocks = TENANTS * BLOCKS_WAITING;
    let client = reqwest::Client::new();
    let health = format!("http://{}/health", server.address);
    let waiting: Health = client.get(&health).send().await?.json().await?;
    let said = waiting.checks.get("validator").context("a check")?;
    ensure!(said.contains(&format!("{blocks} blocks")), "{said}");
    let mut validator = validator(folder.path(), port)?;
    validator.start().await?;
    let (before, began) = (server.cpu_s()?, Instant::now());
    let status = format!("http://127.0.0.1:{port}/api/status");
    loop {
        let status: Status = client.get(&status).send().await?.json().await?;
        if usize::try_from(status.total_transactions)? >= blocks {
            break;
        }
        ensure!(began.elapsed() < DRAIN_MAX, "not drained: {status:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (seconds, cpu) = (began.elapsed().as_secs_f64(), server.cpu_s()? - before);
    figure("outbox_blocks", blocks as f64, "blocks");
    figure("outbox_networks", TENANTS as f64, "networks");
    figure("outbox_drain_per_s", blocks as f64 / seconds, "blocks/s");
    figure("outbox_drain_per_cpu_s", blocks as f64 / cpu, "blocks/s");
    Ok(())
}

/// A connection that reports its own network's blocks.
struct Reporter {
    wire: Wire,
    updates: Vec<Vec<u8>>,
}

impl Reporter {
    async fn join(server: &Server, index: usize, mined: &Mined, batch: usize) -> Result<Self> {
        let network_id = mined.genesis.network_id.to_string();
        let mut wire = open(server, "", source(REPORTERS + index)).await?;
        welcome(&mut wire).await?;
        let create = ClientMessage::CreateNetwork {
            genesis: hex::encode(mined.genesis.encode()),
            listed: true,
            label: None,
        };
        let join = ClientMessage::JoinNetwork {
            network_id: network_id.clone(),
            chain_id: None,
            key: None,
            signature: None,
        };
        for (message, answer) in [(create, "network_created"), (join, "joined")] {
            wire.send(&frame(&serde_json::to_string(&message)?)?)
                .await?;
            until(&mut wire, answer).await?;
        }
        let mut updates = Vec::new();
        for blocks in mined.blocks.chunks(batch) {
            let update = ClientMessage::BlockchainUpdate {
                network_id: network_id.clone(),
                block_count: u64::try_from(blocks.len())?,
                latest_blocks: blocks.iter().map(TenantBlock::from).collect(),
                latest_reports: Vec::new(),
                genesis: None,
            };
            updates.push(frame(&serde_json::to_string(&update)?)?);
        }
        Ok(Self { wire, updates })
    }

    /// Reports one update after the other until the end or the last; how many were made durable.
    async fn report_until(mut self, end: Instant) -> Result<(Self, usize)> {
        let mut sent = 0;
        for update in std::mem::take(&mut self.updates) {
            if Instant::now() >= end {
                break;
            }
            self.wire.send(&update).await?;
            let answer = until(&mut self.wire, "update_result").await?;
            ensure!(answer.contains(r#""status":"accepted""#), "{answer}");
            sent += 1;
        }
        Ok((self, sent))
    }
}

/// The next message of a kind.
async fn until(wire: &mut Wire, kind: &str) -> Result<String> {
    let head = format!(r#"{{"type":"{kind}""#);
    loop {
        let text = wire.next().await?;
        ensure!(!text.starts_with(r#"{"type":"error""#), "{text}");
        if text.starts_with(&head) {
            return Ok(text.to_owned());
        }
    }
}

const TENANTS: usize = 100;
const BLOCKS_DURABLE: usize = 600;
const DURABLE_FOR: Duration = Duration::from_secs(8);
const BLOCKS_WAITING: usize = 1_000;
/// Blocks of one update, as many as the tracker takes.
const BATCH: usize = 50;
const DRAIN_MAX: Duration = Duration::from_secs(300);
/// Reporters come from addresses beyond all others.
const REPORTERS: usize = 2_000_000;
