//! What the browser keeps.

use crate::{confirmed, mine, number, same_tip};
use anyhow::{Result, ensure};
use e2e::{Browser, Stack};

#[tokio::test]
async fn chain_and_pending_survive_a_killed_browser_with_nobody_to_sync_from() -> Result<()> {
    let mut stack = Stack::start().await?;
    let browser = Browser::start(&stack.folder().join("alice")).await?;
    let one = browser.open(&stack.app_url).await?;
    one.create_network("vault").await?;
    let other = browser
        .open(&format!("{}/#/n/vault", stack.app_url))
        .await?;
    one.has_direct_peers(1).await?;
    one.send("mined").await?;
    mine(&one).await?;
    confirmed(&other, &["mined"]).await?;
    let height = same_tip(&one, &other).await?;
    one.click("mine-toggle").await?;
    one.status_where("mining is off", |status| status["mining"]["when"] == "off")
        .await?;
    one.send("still pending").await?;
    one.shows("pending-item", "still pending").await?;
    let tip = one.status().await?["tipHash"].clone();

    let profile = browser.kill();
    stack.tracker.kill();
    stack.validator.kill();
    let browser = Browser::start(&profile).await?;
    let alone = browser
        .open(&format!("{}/#/n/vault", stack.app_url))
        .await?;
    confirmed(&alone, &["mined"]).await?;
    alone.shows("pending-item", "still pending").await?;
    let status = alone.status().await?;
    ensure!(
        status["tipHash"] == tip && number(&status, "height") == height,
        "another chain: {status}"
    );

    // The window under the names that users know.
    let window = alone
        .run("return localStorage.getItem('blockchain_vault')", vec![])
        .await?;
    ensure!(
        window
            .as_str()
            .is_none_or(|text| text.contains("\"chain\"")),
        "{window}"
    );
    Ok(())
}
