//! Figures of the product in Chromium.

use crate::proxy::Proxy;
use crate::{figure, mesh, percentiles, workers};
use anyhow::{Context as _, Result, ensure};
use e2e::{Browser, Page, Stack, chain};
use serde_json::{Value, json};
use shared::enterprise::FinalityProof;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const VALIDATED_BLOCKS: u32 = 10_000;
const MESSAGES: u32 = 120;
const FRAMES: u32 = 300;
const DASHBOARD_BLOCKS: usize = 105;

/// A part of the figures that can be measured alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Subject {
    /// Mining, validation and a proof of finality in one worker.
    Wasm,
    /// Mining beside npm packages, and in two workers.
    Workers,
    /// The first visit.
    Load,
    /// Message and block to the other tab and the dashboard, smoothness.
    Latency,
    /// Catching up with a chain of 1,000 blocks.
    Catchup,
    /// Catching up with one of 10,000.
    CatchupLong,
    /// What four tabs carry.
    Throughput,
}

pub(crate) async fn run(only: &[Subject]) -> Result<()> {
    let built = std::env::var_os("DISTLI_BENCH_WWW")
        .context("run `make bench-web`: it builds what is measured")?;
    let built = PathBuf::from(built);
    let wanted = |subject| only.is_empty() || only.contains(&subject);
    if wanted(Subject::Wasm) {
        wasm(&built).await?;
    }
    if wanted(Subject::Workers) {
        workers::run(&built).await?;
    }
    if wanted(Subject::Load) {
        first_load().await?;
    }
    if wanted(Subject::Latency) {
        latencies().await?;
    }
    if wanted(Subject::Catchup) {
        mesh::catch_up(&built, 1_000).await?;
    }
    if wanted(Subject::CatchupLong) {
        mesh::catch_up(&built, 10_000).await?;
    }
    if wanted(Subject::Throughput) {
        mesh::throughput(&built).await?;
    }
    Ok(())
}

/// Mining, validation and a proof of finality in one worker, on a page of the bench's own that loads the product's code with the bench's entry points.
async fn wasm(built: &Path) -> Result<()> {
    let stack = Stack::start_with_www(built).await?;
    let long = chain::mine("bench", VALIDATED_BLOCKS)?;
    let mut bytes = Vec::new();
    for block in &long.blocks {
        bytes.extend(u32::try_from(block.len())?.to_be_bytes());
        bytes.extend(block);
    }
    fs::write(built.join("chain.bin"), bytes)?;
    fs::write(built.join("genesis.bin"), long.genesis.encode())?;
    let (tenant, proof) = crate::validators::proof_of_four().await?;
    let enterprise = FinalityProof::decode(&proof)?.genesis.hash();
    fs::write(built.join("pinned.bin"), enterprise.0)?;
    fs::write(built.join("tenant.bin"), tenant.0.0)?;
    fs::write(built.join("proof.bin"), &proof)?;

    let browser = Browser::start(&stack.folder().join("bench")).await?;
    let page = browser
        .open(&format!("{}/bench.html", stack.app_url))
        .await?;
    let found = page
        .run_async(
            "return await window.measure(a[0])",
            vec![json!(chain::end_ms(VALIDATED_BLOCKS))],
        )
        .await?;
    let value = |name: &str| {
        found[name]
            .as_f64()
            .with_context(|| format!("{name} in {found}"))
    };
    ensure!(
        value("blocks")? == f64::from(VALIDATED_BLOCKS),
        "not all blocks were accepted: {found}"
    );
    ensure!(value("final")? > 0.0, "the proof proved nothing: {found}");
    figure("proof_of_finality_n4_bytes", proof.len() as f64, "bytes");
    figure("verify_proof_n4_wasm_ms", 1_000.0 / value("proofs")?, "ms");
    figure("mining_wasm_hps", value("mining")?, "hashes/s");
    figure(
        "mining_wasm_over_sha2",
        value("mining")? / value("whole")?,
        "ratio",
    );
    figure(
        "validate_wasm_blocks_per_s",
        value("blocks")? / value("seconds")?,
        "blocks/s",
    );
    Ok(())
}

/// A first visit with an empty profile, from navigation to a network that takes messages.
async fn first_load() -> Result<()> {
    let stack = Stack::start().await?;
    let proxy = Proxy::start(stack.tracker_port).await?;
    let browser = Browser::start(&stack.folder().join("newcomer")).await?;
    let page = browser
        .open(&format!("http://localhost:{}/#/", proxy.port))
        .await?;
    page.find("create-network").await?;
    let interactive = page
        .run(
            "return performance.getEntriesByName('interactive')[0]?.startTime",
            vec![],
        )
        .await?;
    page.create_network("first").await?;
    page.status_where("the tracker is connected", |status| {
        status["tracker"] == "connected"
    })
    .await?;
    let sent = u32::try_from(proxy.sent_bytes())?;
    figure("first_load_bytes", f64::from(sent), "bytes");
    figure(
        "first_load_interactive_ms",
        interactive
            .as_f64()
            .context("the page marks `interactive`")?,
        "ms",
    );
    Ok(())
}

const WATCH_PENDING: &str = "
    window.seen = {};
    window.distli.node.addEventListener('pending', () => {});
    const look = async () => {
        const now = performance.timeOrigin + performance.now();
        for (const t of await window.distli.node.pending()) window.seen[t.text] ??= now;
    };
    window.distli.node.addEventListener('pending', look);";

const SEND_MANY: &str = "
    const sent = {};
    for (let i = 0; i < a[0]; i++) {
        sent[`latency ${i}`] = performance.timeOrigin + performance.now();
        await window.distli.node.submit(`latency ${i}`);
        await new Promise(r => setTimeout(r, 60));
        if (i % 50 === 49) await new Promise(r => { const t = setInterval(async () => {
            if ((await window.distli.node.pending()).length === 0) { clearInterval(t); r(); } }, 200); });
    }
    return sent;";

const WATCH_FRAMES: &str = "
    return await new Promise(done => {
        const gaps = []; let last = null;
        const frame = at => {
            if (last !== null) gaps.push(at - last);
            last = at;
            if (gaps.length < a[0]) requestAnimationFrame(frame); else done(gaps);
        };
        requestAnimationFrame(frame);
    });";

/// The time between frames of the page over some seconds, ms: what a person sees as smooth or not.
async fn frame_gaps(page: &Page<'_>) -> Result<Vec<f64>> {
    Ok(serde_json::from_value(
        page.run_async(WATCH_FRAMES, vec![json!(FRAMES)]).await?,
    )?)
}

/// How smooth the page is without and with mining; it mines afterwards.
async fn frames(page: &Page<'_>) -> Result<()> {
    percentiles("page_frame_idle", frame_gaps(page).await?)?;
    page.run_async(
        "await window.distli.node.startMining({when: 'always', workers: 1})",
        vec![],
    )
    .await?;
    percentiles("page_frame_mining", frame_gaps(page).await?)
}

const WATCH_BLOCKS: &str = "
    window.blockAt = {};
    window.distli.node.addEventListener('block', e => {
        window.blockAt[e.detail.block.block_id] ??= performance.timeOrigin + performance.now(); });";

const WATCH_DASHBOARD: &str = "
    window.shownAt = {};
    const look = () => {
        const cell = document.querySelector('[data-testid=dash-tenant][data-tenant=figures] [data-testid=dash-tenant-blocks]');
        const height = cell && parseInt(cell.textContent.replace(/\\D/g, ''), 10);
        if (height) window.shownAt[height] ??= performance.timeOrigin + performance.now();
    };
    new MutationObserver(look).observe(document.body, {subtree: true, childList: true, characterData: true});
    look();";

async fn latencies() -> Result<()> {
    let stack = Stack::start().await?;
    let browser = Browser::start(&stack.folder().join("alice")).await?;
    let dashboard = browser.open(&stack.dashboard_url).await?;
    dashboard.run(WATCH_DASHBOARD, vec![]).await?;
    let one = browser.open(&stack.app_url).await?;
    let create = "const { DistliNode } = await import('/node/distli-node.js');
        const node = await DistliNode.create({networkId: 'figures', rules: {intervalMs: 2000}});
        await node.close();";
    one.run_async(create, vec![]).await?;
    let link = format!("{}/#/n/figures", stack.app_url);
    one.goto(&link).await?;
    one.find("message-input").await?;
    let other = browser.open(&link).await?;
    one.has_direct_peers(1).await?;
    other.run(WATCH_PENDING, vec![]).await?;
    one.run(WATCH_BLOCKS, vec![]).await?;
    one.run_async(
        "await window.distli.node.startMining({when: 'pending', workers: 1})",
        vec![],
    )
    .await?;
    let sent = one.run_async(SEND_MANY, vec![json!(MESSAGES)]).await?;
    let seen = eventually_seen(&other, "return window.seen", usize::try_from(MESSAGES)?).await?;
    percentiles("tx_to_peer", differences(&times(&sent), &seen))?;

    frames(&one).await?;
    wait_for_blocks(&one).await?;
    let mined = times(&one.run("return window.blockAt", vec![]).await?);
    let shown = times(&dashboard.run("return window.shownAt", vec![]).await?);
    // Two blocks within one push show as one number: the later shows the earlier too.
    let first_shown = |height: &String| -> Option<f64> {
        let height: u32 = height.parse().ok()?;
        shown
            .iter()
            .filter(|(other, _)| other.parse::<u32>().is_ok_and(|other| other >= height))
            .map(|(_, at)| *at)
            .reduce(f64::min)
    };
    let samples = mined
        .iter()
        .filter_map(|(height, at)| Some(first_shown(height)? - at))
        .collect();
    percentiles("block_to_dashboard", samples)
}

/// Waits, over minutes, for enough blocks; a call a few seconds, so that a page that hangs is noticed.
async fn wait_for_blocks(page: &Page<'_>) -> Result<()> {
    for _ in 0..400 {
        let count = page
            .run("return Object.keys(window.blockAt).length", vec![])
            .await?;
        if count.as_u64() >= Some(DASHBOARD_BLOCKS as u64) {
            tokio::time::sleep(std::time::Duration::from_secs(3)).await;
            return Ok(());
        }
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    }
    anyhow::bail!("too few blocks in 800 s")
}

async fn eventually_seen(
    page: &Page<'_>,
    script: &str,
    count: usize,
) -> Result<BTreeMap<String, f64>> {
    e2e::eventually("every message arrives", async || {
        let found = times(&page.run(script, vec![]).await?);
        Ok((found.len() >= count).then_some(found))
    })
    .await
}

fn times(value: &Value) -> BTreeMap<String, f64> {
    let entries = value.as_object().into_iter().flatten();
    entries
        .filter_map(|(key, at)| Some((key.clone(), at.as_f64()?)))
        .collect()
}

fn differences(from: &BTreeMap<String, f64>, to: &BTreeMap<String, f64>) -> Vec<f64> {
    from.iter()
        .filter_map(|(key, start)| Some(to.get(key)? - start))
        .collect()
}
