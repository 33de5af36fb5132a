//! Forged blocks and imports: refused, with a reason that a person sees.

use crate::mallory::Mallory;
use crate::{confirmed, mine, number};
use anyhow::{Context as _, Result, ensure};
use api::TenantBlock;
use e2e::{Browser, Page, Stack};
use serde_json::{Value, json};
use shared::block::UncheckedBlock;
use shared::genesis::Genesis;
use shared::ids::Height;
use shared::message::{Bytes, Message};

#[tokio::test]
async fn tampered_import_is_refused_with_a_visible_reason() -> Result<()> {
    let stack = Stack::start().await?;
    let browser = Browser::start(&stack.folder().join("alice")).await?;
    let page = browser.open(&stack.app_url).await?;
    page.create_network("ledger").await?;
    page.send("pay 10").await?;
    mine(&page).await?;
    let height = confirmed(&page, &["pay 10"]).await?;
    let export = page
        .run_async(
            "return (await window.distli.node.exportChain()).text",
            vec![],
        )
        .await?;
    let text = export.as_str().context("an export is text")?;

    let honest = stack.folder().join("honest.json");
    std::fs::write(&honest, text)?;
    import(&page, &honest).await?;
    ensure!(
        number(&page.status().await?, "height") == height,
        "an import of the same chain changed it"
    );

    let mut forged: Value = serde_json::from_str(text)?;
    let transaction = forged
        .pointer_mut("/chain/0/transactions/0")
        .context("the first block has one")?;
    let raw = transaction["raw"]
        .as_str()
        .context("raw bytes")?
        .replace(&hex::encode("pay 10"), &hex::encode("pay 99"));
    transaction["raw"] = json!(raw);
    transaction["text"] = json!("pay 99");
    let tampered = stack.folder().join("tampered.json");
    std::fs::write(&tampered, forged.to_string())?;
    import(&page, &tampered).await?;
    page.shows("notice", "efused").await?;
    ensure!(
        !page
            .run("return document.body.innerText", vec![])
            .await?
            .to_string()
            .contains("pay 99")
    );
    Ok(())
}

#[tokio::test]
async fn tampered_block_is_refused_by_tracker_and_validator() -> Result<()> {
    let stack = Stack::start().await?;
    let browser = Browser::start(&stack.folder().join("alice")).await?;
    let page = browser.open(&stack.app_url).await?;
    page.create_network("ledger").await?;
    page.send("pay 10").await?;
    mine(&page).await?;
    let height = confirmed(&page, &["pay 10"]).await?;
    crate::anchored(&stack, "ledger", height).await?;
    let export = page
        .run_async(
            "return (await window.distli.node.exportChain()).text",
            vec![],
        )
        .await?;
    let export: Value = serde_json::from_str(export.as_str().context("an export is text")?)?;
    let mut block = export.pointer("/chain/0").context("one block")?.clone();
    let header = block["header"].as_str().context("a header")?.to_owned();
    // Another nonce: the work no longer holds.
    block["header"] = json!(format!(
        "{}00000000",
        header.get(..header.len() - 8).context("116 bytes")?
    ));
    let update = json!({"network_id": "ledger", "peer_id": "mallory", "new_blocks": [block], "timestamp": 1});
    let endpoints = [
        format!("{}/api/blockchain-update", stack.app_url),
        format!("{}/api/tenant-update", stack.validator_url),
    ];
    for url in endpoints {
        let answer = reqwest::Client::new()
            .post(&url)
            .json(&update)
            .send()
            .await?;
        let status = answer.status();
        let said = answer.text().await?;
        ensure!(status.is_client_error(), "{url} answered {status} {said}");
        ensure!(
            said.contains("detail"),
            "{url} refused without a reason: {said}"
        );
    }
    let tenant = crate::tenant(&stack, "ledger")
        .await?
        .context("ledger is a tenant")?;
    ensure!(
        number(&tenant, "block_count") == height,
        "a forged block was counted: {tenant}"
    );
    Ok(())
}

#[tokio::test]
async fn tampered_block_of_a_peer_is_refused_with_a_visible_reason() -> Result<()> {
    let stack = Stack::start().await?;
    let browser = Browser::start(&stack.folder().join("alice")).await?;
    let page = browser.open(&stack.app_url).await?;
    page.create_network("ledger").await?;
    page.send("pay 10").await?;
    mine(&page).await?;
    let height = confirmed(&page, &["pay 10"]).await?;
    crate::anchored(&stack, "ledger", height).await?;

    let found = crate::fetch(&format!("{}/api/networks/ledger/genesis", stack.app_url)).await?;
    let genesis = Genesis::decode(&hex::decode(
        found["genesis"].as_str().context("a genesis")?,
    )?)?;
    let export = page
        .run_async(
            "return (await window.distli.node.exportChain()).text",
            vec![],
        )
        .await?;
    let export: Value = serde_json::from_str(export.as_str().context("an export is text")?)?;
    let block: TenantBlock =
        serde_json::from_value(export.pointer("/chain/0").context("one block")?.clone())?;
    let mut forged = UncheckedBlock::try_from(&block)?;
    // A block on top of the tip, with the work of another.
    forged.header.previous = forged.header.hash();
    forged.header.height = Height(forged.header.height.0 + 1);
    let poison = Message::NewBlock {
        block: Bytes(forged.encode()),
    }
    .encode();
    Mallory::poisons(&stack.app_url, &genesis, poison).await?;

    page.shows("notice", "efused").await?;
    ensure!(
        number(&page.status().await?, "height") == height,
        "a forged block changed the chain"
    );
    Ok(())
}

/// Gives the page's import input a file.
async fn import(page: &Page<'_>, file: &std::path::Path) -> Result<()> {
    page.find("import")
        .await?
        .send_keys(&file.display().to_string())
        .await?;
    Ok(())
}
