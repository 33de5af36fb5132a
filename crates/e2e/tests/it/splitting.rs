//! A validator that decides one height twice, as one does whose files are put back, and the browser that remembers.

use crate::finality::{CREATE, is_final};
use crate::{confirmed, fetch, mine, number};
use anyhow::{Context as _, Result, ensure};
use e2e::{Browser, Page, Stack, chain, eventually};
use serde_json::{Value, json};
use shared::enterprise::Split;
use std::{fs, path::Path};

const ASK: &str =
    "return await window.distli.node.splitProof().then(() => 'shown', error => error.message)";

#[tokio::test]
async fn a_validator_that_decides_a_height_twice_is_named_and_the_proof_outlives_a_reload()
-> Result<()> {
    let mut stack = Stack::start().await?;
    // Key, genesis and a store without a block: what is left of a validator whose data is wiped, or put back from its first day.
    let (data, bare) = (stack.validator_data(), stack.folder().join("bare"));
    stack.validator.terminate().await?;
    copy(&data, &bare)?;
    stack.validator.start().await?;
    let status_url = format!("{}/api/status", stack.validator_url);
    let genesis = fetch(&format!("{}/api/genesis", stack.validator_url)).await?;

    let browser = Browser::start(&stack.folder().join("alice")).await?;
    let page = browser.open(&stack.app_url).await?;
    page.run_async(CREATE, vec![]).await?;
    page.goto(&format!("{}/#/n/notary", stack.app_url)).await?;
    page.find("message-input").await?;
    page.send("the contract").await?;
    mine(&page).await?;
    confirmed(&page, &["the contract"]).await?;
    let height = number(&is_final(&page).await?, "enterpriseHeight");
    nothing_is_shown(&page).await?;

    stack.validator.terminate().await?;
    fs::remove_dir_all(&data)?;
    copy(&bare, &data)?;
    page.send("the other contract").await?;
    confirmed(&page, &["the other contract"]).await?;
    page.goto("about:blank").await?;
    stack.validator.start().await?;
    let begun = fetch(&status_url).await?;
    ensure!(number(&begun, "height") < height, "{begun}");
    // The tracker learns that what was confirmed is gone, and brings all of it.
    let finality = format!("{}/api/tenants/notary/finality", stack.validator_url);
    eventually("the other chain has a final block", async || {
        let status = reqwest::get(&finality).await?.status();
        Ok(status.is_success().then_some(()))
    })
    .await?;

    // That chain goes past the height that the page remembers.
    let client = reqwest::Client::new();
    for tenant in ["first", "second", "third"] {
        let report = client.post(format!("{}/api/tenant-update", stack.validator_url));
        let report = report.json(&chain::mine(tenant, 1)?.update()?);
        report.send().await?.error_for_status()?;
    }
    eventually("the other chain has gone on", async || {
        Ok((number(&fetch(&status_url).await?, "height") > height).then_some(()))
    })
    .await?;

    // A page that starts asks at once, and names the newest header that it verified: of its height it is shown the other one.
    page.goto(&format!("{}/#/n/notary", stack.app_url)).await?;
    let split = shown(&page, height).await?;
    let file = downloaded(&browser, &page, &stack.folder().join("downloads")).await?;
    proves(&file, &split, &genesis)?;
    stack.validator.kill();
    page.reload().await?;
    ensure!(shown(&page, height).await? == split, "another split");
    ensure!(page.run_async(ASK, vec![]).await? == "shown");
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        // A socket for operators lies beside the files.
        if entry.file_type()?.is_file() {
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

/// Validators that contradict nothing are accused of nothing.
async fn nothing_is_shown(page: &Page<'_>) -> Result<()> {
    let hidden = "return document.querySelector('[data-testid=\"split\"]').hidden";
    ensure!(page.run(hidden, vec![]).await? == true);
    let answer = page.run_async(ASK, vec![]).await?;
    let answer = answer.as_str().context("an answer")?;
    ensure!(answer.contains("No contradiction"), "{answer}");
    Ok(())
}

/// Waits until the page says that the validators contradict each other at this height, and who signed both.
async fn shown(page: &Page<'_>, height: u64) -> Result<Value> {
    let status = page
        .status_where("the split is seen", |status| status["split"].is_object())
        .await?;
    let split = status["split"].clone();
    ensure!(number(&split, "enterpriseHeight") == height, "{split}");
    let culprits = split["culprits"].as_array().context("culprits")?;
    ensure!(culprits.len() == 1, "{split}");
    page.shows("split", &format!("enterprise height {height}"))
        .await?;
    let key = culprits[0].as_str().context("a key")?;
    page.shows("split-culprits", key).await?;
    ensure!(number(&status, "finalHeight") == 1, "{status}");
    Ok(split)
}

/// The proof as a click on the notice's button saves it.
async fn downloaded(browser: &Browser, page: &Page<'_>, folder: &Path) -> Result<Value> {
    fs::create_dir_all(folder)?;
    let allow = json!({ "behavior": "allow", "downloadPath": folder });
    browser
        .devtools("Browser.setDownloadBehavior", allow)
        .await?;
    page.click("split-download").await?;
    let text = eventually("the proof is saved", async || {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|kind| kind == "json") {
                return Ok(Some(fs::read_to_string(path)?));
            }
        }
        Ok(None)
    })
    .await?;
    Ok(serde_json::from_str(&text)?)
}

/// The file proves to anybody who knows the hash of the genesis what the page says.
fn proves(file: &Value, split: &Value, genesis: &Value) -> Result<()> {
    let text = |value: &Value, field: &str| -> Result<String> {
        let text = value[field].as_str().context("no text");
        Ok(text
            .with_context(|| format!("{field} of {value}"))?
            .to_owned())
    };
    let pinned = text(genesis, "hash")?;
    ensure!(text(file, "enterprise_genesis")? == pinned, "{file}");
    let proof = hex::decode(text(file, "proof")?)?;
    let shown = Split::decode(&proof, pinned.parse()?)?;
    let culprits: Vec<String> = shown.culprits().iter().map(ToString::to_string).collect();
    ensure!(json!(culprits) == split["culprits"], "{culprits:?}");
    ensure!(shown.height().0 == number(split, "enterpriseHeight"));
    Ok(())
}
