//! What takes too long for `make test`: a crowd of tabs in one network, and a long chain that comes back from peers.
#![expect(
    clippy::print_stdout,
    reason = "printing what held is what this program is for"
)]

use anyhow::{Context as _, Result, ensure};
use e2e::{Browser, Page, Stack, chain, eventually, repository_dir};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

const TABS: usize = 20;
const KILLED: usize = 10;
const NEWCOMERS: usize = 3;
const LONG: u32 = 10_000;

#[tokio::main]
async fn main() -> Result<()> {
    crowd().await?;
    recovery().await
}

/// Twenty tabs reach one tip; ten are killed; the others go on, without the tracker too, and new tabs join them then.
async fn crowd() -> Result<()> {
    let mut stack = Stack::start().await?;
    let browser = Browser::start(&stack.folder().join("crowd")).await?;
    let first = browser.open(&stack.app_url).await?;
    first.create_network("crowd").await?;
    let link = format!("{}/#/n/crowd", stack.app_url);
    let mut tabs = gather(&browser, &link, first).await?;

    for tab in tabs.split_off(TABS - KILLED) {
        tab.crash().await?;
    }
    submit(tabs.last().context("ten are left")?, "after the crash").await?;
    one_tip_with(&tabs, "after the crash").await?;
    println!("soak: {KILLED} tabs were killed, the others go on");

    stack.tracker.kill();
    for number in 0..NEWCOMERS {
        let tab = open(&browser, &link).await?;
        linked(&tab, 1).await?;
        let text = format!("newcomer {number} without the tracker");
        submit(&tab, &text).await?;
        tabs.push(tab);
        one_tip_with(&tabs, &text).await?;
    }
    println!("soak: {NEWCOMERS} new tabs joined while the tracker was down");
    Ok(())
}

/// Opens tabs until there are twenty; each sends a message, the first mines.
async fn gather<'a>(browser: &'a Browser, link: &str, first: Page<'a>) -> Result<Vec<Page<'a>>> {
    let mut tabs = vec![first];
    while tabs.len() < TABS {
        tabs.push(open(browser, link).await?);
    }
    for tab in &tabs {
        linked(tab, 6).await?;
    }
    mine(tabs.first().context("there are tabs")?).await?;
    for (number, tab) in tabs.iter().enumerate() {
        submit(tab, &format!("from tab {number}")).await?;
    }
    one_tip_with(&tabs, "from tab 19").await?;
    println!("soak: {TABS} tabs of one network are on one tip");
    Ok(tabs)
}

async fn open<'a>(browser: &'a Browser, link: &str) -> Result<Page<'a>> {
    let tab = browser.open(link).await?;
    tab.find("message-input").await?;
    Ok(tab)
}

/// A wiped storage gets a long chain back from a peer.
async fn recovery() -> Result<()> {
    let long = chain::mine("recovery", LONG)?;
    let www = tempfile::tempdir()?;
    copy(&repository_dir()?.join("www/dist"), www.path())?;
    let stack = Stack::start_with_www(www.path()).await?;
    let keeper = Browser::start(&stack.folder().join("keeper")).await?;
    let one = keeper.open(&stack.app_url).await?;
    let link = long.publish(&stack, www.path(), &one).await?;
    let loser = Browser::start(&stack.folder().join("loser")).await?;
    for round in ["first", "second"] {
        let page = loser.open(&link).await?;
        let mut stored = false;
        for _ in 0..10 {
            let arrived = eventually("the chain arrives", async || {
                Ok(long.is_stored(&page).await?.then_some(()))
            });
            if arrived.await.is_ok() {
                stored = true;
                break;
            }
        }
        ensure!(
            stored,
            "{LONG} blocks did not arrive for the {round} time: {}",
            page.status().await?
        );
        // Away from the network's page, so that nothing holds the storage; then as if the browser had evicted it.
        page.goto("about:blank").await?;
        let everything = json!({"origin": stack.app_url, "storageTypes": "all"});
        loser
            .devtools("Storage.clearDataForOrigin", everything)
            .await?;
    }
    println!("soak: {LONG} blocks came back from a peer after the storage was wiped");
    Ok(())
}

async fn linked(page: &Page<'_>, least: usize) -> Result<()> {
    let direct = |status: &Value| {
        let peers = status["peers"].as_array().into_iter().flatten();
        peers.filter(|peer| peer["transport"] == "direct").count()
    };
    page.status_where(&format!("{least} direct peers"), |status| {
        direct(status) >= least
    })
    .await
    .map(drop)
}

async fn mine(page: &Page<'_>) -> Result<()> {
    let start = "await window.distli.node.startMining({when: 'pending', workers: 1})";
    page.run_async(start, vec![]).await.map(drop)
}

async fn submit(page: &Page<'_>, text: &str) -> Result<()> {
    page.run_async("await window.distli.node.submit(a[0])", vec![json!(text)])
        .await
        .map(drop)
}

/// Waits until every tab has `text` in a block and all have the same tip.
async fn one_tip_with(tabs: &[Page<'_>], text: &str) -> Result<()> {
    for tab in tabs {
        let has = "const blocks = await window.distli.node.blocks({limit: 1000});
            return blocks.some(block => block.transactions.some(({ text }) => text === a[0]))";
        eventually(&format!("{text:?} is in a block"), async || {
            let found = tab.run_async(has, vec![json!(text)]).await?;
            Ok((found == true).then_some(()))
        })
        .await?;
    }
    eventually("all tabs have one tip", async || {
        let mut tips = Vec::new();
        for tab in tabs {
            tips.push(tab.status().await?["tipHash"].to_string());
        }
        tips.dedup();
        Ok((tips.len() == 1).then_some(()))
    })
    .await
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (entry, target) = (entry.path(), to.join(entry.file_name()));
        if entry.is_dir() {
            copy(&entry, &target)?;
        } else {
            fs::copy(&entry, &target)?;
        }
    }
    Ok(())
}
