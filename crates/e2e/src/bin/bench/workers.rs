//! Figures of mining in the browser: against others' hash functions, and two workers against one.

use crate::figure;
use anyhow::{Context as _, Result, ensure};
use e2e::{Browser, Page, Stack, processes_of};
use serde_json::json;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// How long a number of workers is watched, in seconds; the pool tells its rate once a second.
const SECONDS: u32 = 6;
/// Alternations between one and two workers.
const ROUNDS: u32 = 3;

pub(crate) async fn run(built: &Path) -> Result<()> {
    let stack = Stack::start_with_www(built).await?;
    let profile = stack.folder().join("workers");
    let browser = Browser::start(&profile).await?;
    let page = browser
        .open(&format!("{}/bench.html", stack.app_url))
        .await?;
    peers(&page).await?;
    scaling(&page, &profile).await
}

async fn peers(page: &Page<'_>) -> Result<()> {
    let found = page
        .run_async("return await window.measurePeers()", vec![])
        .await?;
    let value = |name: &str| {
        found[name]
            .as_f64()
            .with_context(|| format!("{name} in {found}"))
    };
    let own = value("own")?;
    figure(
        "mining_wasm_over_hash_wasm",
        own / value("hashWasm")?,
        "ratio",
    );
    figure("mining_wasm_over_noble", own / value("noble")?, "ratio");
    Ok(())
}

/// The rate of two workers over that of one, in the time in which the system let them run: another program's share of a core
/// is taken off, waiting of their own (for a lock, for a message) is not.
async fn scaling(page: &Page<'_>, profile: &Path) -> Result<()> {
    let mut sums = [0.0; 2];
    for _ in 0..ROUNDS {
        for (workers, sum) in (1..).zip(&mut sums) {
            *sum += rate_while_runnable(page, profile, workers).await?;
        }
    }
    figure("mining_two_workers_over_one", sums[1] / sums[0], "ratio");
    Ok(())
}

async fn rate_while_runnable(page: &Page<'_>, profile: &Path, workers: u32) -> Result<f64> {
    page.run_async("await window.startPool(a[0])", vec![json!(workers)])
        .await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = worker_threads(profile);
    let mut rates = 0.0;
    for _ in 0..SECONDS {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let rate = page.run("return window.poolRate()", vec![]).await?;
        rates += rate.as_f64().context("the pool tells its rate")?;
    }
    let after = worker_threads(profile);
    page.run("window.stopPool()", vec![]).await?;

    let mut spent: Vec<Spent> = after
        .iter()
        .filter_map(|(thread, spent)| {
            let before = before.get(thread)?;
            Some(Spent {
                running: spent.running - before.running,
                waiting: spent.waiting - before.waiting,
            })
        })
        .collect();
    spent.sort_by(|a, b| b.running.total_cmp(&a.running));
    let count = usize::try_from(workers)?;
    ensure!(spent.len() >= count, "fewer worker threads than workers");
    spent.truncate(count);
    let (running, waiting) = spent.iter().fold((0.0, 0.0), |(running, waiting), spent| {
        (running + spent.running, waiting + spent.waiting)
    });
    // Of each second, this share was given to them when they wanted it.
    Ok(rates / f64::from(SECONDS) * (running + waiting) / running)
}

/// Seconds a thread has run, and waited for a core although it could have run.
#[derive(Clone, Copy, Debug)]
struct Spent {
    running: f64,
    waiting: f64,
}

/// The dedicated workers' threads of all processes of a profile.
fn worker_threads(profile: &Path) -> BTreeMap<String, Spent> {
    let mut threads = BTreeMap::new();
    for process in processes_of(profile) {
        for thread in fs::read_dir(process.join("task"))
            .into_iter()
            .flatten()
            .flatten()
        {
            let name = fs::read_to_string(thread.path().join("comm")).unwrap_or_default();
            if !name.starts_with("DedicatedWorker") {
                continue;
            }
            let stat = fs::read_to_string(thread.path().join("schedstat")).unwrap_or_default();
            let mut numbers = stat
                .split_whitespace()
                .filter_map(|number| number.parse::<f64>().ok());
            let (Some(running), Some(waiting)) = (numbers.next(), numbers.next()) else {
                continue;
            };
            let key = thread.path().display().to_string();
            threads.insert(
                key,
                Spent {
                    running: running / 1e9,
                    waiting: waiting / 1e9,
                },
            );
        }
    }
    threads
}
