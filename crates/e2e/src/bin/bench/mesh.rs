//! Figures of several tabs together: catching up with a chain, and what one network carries.

use crate::figure;
use anyhow::{Context as _, Result, ensure};
use e2e::{Browser, Page, Stack, chain};
use serde_json::json;
use std::path::Path;
use std::time::{Duration, Instant};

const TABS: usize = 4;
/// Messages that each of the four tabs sends.
const MESSAGES_PER_TAB: u32 = 2_500;

/// A tab of a new profile catches up with `blocks` blocks of ten messages that a tab of another profile has: from opening the
/// network's page until all are validated and stored.
pub(crate) async fn catch_up(built: &Path, blocks: u32) -> Result<()> {
    let long = chain::mine(&format!("catch-up-{blocks}"), blocks)?;
    let stack = Stack::start_with_www(built).await?;
    let (alice, bob) = (
        profile(&stack, "alice").await?,
        profile(&stack, "bob").await?,
    );
    let one = alice.open(&stack.app_url).await?;
    let link = long.publish(&stack, built, &one).await?;
    // The first tab has reported everything and is idle: the figure is of two tabs, not of an import.
    one.status_where("all is reported", |status| status["syncedHeight"] == blocks)
        .await?;

    let start = Instant::now();
    let other = bob.open(&link).await?;
    for _ in 0..3_000 {
        if long.is_stored(&other).await? {
            figure(
                &format!("catchup_{blocks}_blocks_s"),
                start.elapsed().as_secs_f64(),
                "s",
            );
            return memory(&bob, blocks);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    anyhow::bail!("{blocks} blocks did not arrive")
}

/// What the tab that caught up holds: the largest renderer of its profile, everything in it counted.
fn memory(browser: &Browser, blocks: u32) -> Result<()> {
    let bytes = browser.largest_renderer_bytes()?;
    figure(
        &format!("memory_tab_{blocks}_blocks_mib"),
        bytes / 1024.0 / 1024.0,
        "MiB",
    );
    Ok(())
}

const CREATE: &str = "
    const { DistliNode } = await import('/node/distli-node.js');
    const node = await DistliNode.create({networkId: 'busy', rules: {intervalMs: 2000, senderQuota: 1000}});
    await node.close();";

/// Sends as fast as the node takes it, never with more than its quota waiting, and notes when each message came into a block.
const SEND: &str = "
    const node = window.distli.node;
    window.confirmed = new Map();
    node.addEventListener('block', ({ detail: { block } }) => {
        const now = performance.timeOrigin + performance.now();
        for (const t of block.transactions) if (!window.confirmed.has(t.tx_id)) window.confirmed.set(t.tx_id, now);
    });
    window.startedAt = performance.timeOrigin + performance.now();
    const send = async (text) => {
        for (;;) {
            const sent = await node.submit(text).then(() => true, () => false);
            if (sent) return;
            await new Promise(r => setTimeout(r, 100));
        }
    };
    window.sending = (async () => {
        const waiting = new Set();
        for (let i = 0; i < a[0]; i++) {
            const one = send(`message ${i} of a busy tab`).finally(() => waiting.delete(one));
            waiting.add(one);
            if (waiting.size >= 32) await Promise.race(waiting);
        }
        await Promise.all(waiting);
    })();";

/// Four tabs send at once; a message counts when the last of the four has it in a block.
pub(crate) async fn throughput(built: &Path) -> Result<()> {
    let stack = Stack::start_with_www(built).await?;
    let browser = profile(&stack, "alice").await?;
    let first = browser.open(&stack.app_url).await?;
    first.run_async(CREATE, vec![]).await?;
    let link = format!("{}/#/n/busy", stack.app_url);
    first.goto(&link).await?;
    first.find("message-input").await?;
    let mut tabs = vec![first];
    while tabs.len() < TABS {
        let tab = browser.open(&link).await?;
        tab.find("message-input").await?;
        tabs.push(tab);
    }
    for tab in &tabs {
        tab.has_direct_peers(TABS - 1).await?;
    }
    let [first, ..] = tabs.as_slice() else {
        anyhow::bail!("there are four tabs");
    };
    first
        .run_async(
            "await window.distli.node.startMining({when: 'pending', workers: 1})",
            vec![],
        )
        .await?;
    for tab in &tabs {
        tab.run_async(SEND, vec![json!(MESSAGES_PER_TAB)]).await?;
    }
    let wanted = u64::from(MESSAGES_PER_TAB) * u64::try_from(TABS)?;
    for _ in 0..600 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let mut all = true;
        for tab in &tabs {
            let count = tab.run("return window.confirmed.size", vec![]).await?;
            all &= count.as_u64() == Some(wanted);
        }
        if all {
            return report_throughput(&tabs, wanted).await;
        }
    }
    anyhow::bail!("not every message came into a block on all tabs in ten minutes")
}

async fn report_throughput(tabs: &[Page<'_>], wanted: u64) -> Result<()> {
    let (mut start, mut end) = (f64::INFINITY, 0.0_f64);
    for tab in tabs {
        let times = tab
            .run(
                "return [window.startedAt, Math.max(...window.confirmed.values())]",
                vec![],
            )
            .await?;
        let time = |index: usize| times[index].as_f64().context("a time");
        start = start.min(time(0)?);
        end = end.max(time(1)?);
    }
    ensure!(end > start, "the clock ran");
    let count = u32::try_from(wanted)?;
    figure(
        "tenant_tps_4_tabs",
        f64::from(count) * 1_000.0 / (end - start),
        "transactions/s",
    );
    wire_bytes(tabs, f64::from(count)).await
}

/// What all tabs together sent for each transaction and for each block, without the channels' own frames.
async fn wire_bytes(tabs: &[Page<'_>], transactions: f64) -> Result<()> {
    let (mut of_transactions, mut of_blocks, mut blocks) = (0.0, 0.0, 0.0_f64);
    for tab in tabs {
        let status = tab.status().await?;
        let sent = |what: &str| status["sentBytes"][what].as_f64().context("sent bytes");
        of_transactions += sent("transactions")?;
        of_blocks += sent("blocks")?;
        blocks = blocks.max(status["height"].as_f64().context("a height")?);
    }
    figure(
        "wire_bytes_per_transaction",
        of_transactions / transactions,
        "bytes",
    );
    figure("wire_bytes_per_block", of_blocks / blocks, "bytes");
    Ok(())
}

async fn profile(stack: &Stack, name: &str) -> Result<Browser> {
    Browser::start(&stack.folder().join(name)).await
}
