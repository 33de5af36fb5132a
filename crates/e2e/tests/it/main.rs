//! The story of the product, told by real browsers and real processes.

mod cluster;
mod durability;
mod finality;
mod hostile;
mod mallory;
mod mining;
mod outage;
mod pairing;
mod private;
mod proving;
mod splitting;
mod story;

use anyhow::{Result, ensure};
use e2e::{Page, Stack, eventually};
use serde_json::Value;

/// The JSON that a service answers.
async fn fetch(url: &str) -> Result<Value> {
    Ok(reqwest::get(url).await?.error_for_status()?.json().await?)
}

/// The tenant `network` as the validator lists it.
async fn tenant(stack: &Stack, network: &str) -> Result<Option<Value>> {
    let all = fetch(&format!("{}/api/tenants", stack.validator_url)).await?;
    let tenants = all
        .get("tenants")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    Ok(tenants
        .into_iter()
        .find(|tenant| tenant.get("tenant_id").and_then(Value::as_str) == Some(network)))
}

/// Waits until the validator has anchored exactly `blocks` blocks of `network`.
async fn anchored(stack: &Stack, network: &str, blocks: u64) -> Result<()> {
    eventually(
        &format!("{blocks} blocks of {network} are anchored"),
        async || {
            let found = tenant(stack, network).await?;
            let count = found
                .as_ref()
                .and_then(|tenant| tenant.get("block_count"))
                .and_then(Value::as_u64);
            Ok((count == Some(blocks)).then_some(()))
        },
    )
    .await
}

/// A number of the node's status.
fn number(status: &Value, field: &str) -> u64 {
    status
        .get(field)
        .and_then(Value::as_u64)
        .unwrap_or_default()
}

/// Waits until the page's chain holds every one of `texts`, and returns its height.
async fn confirmed(page: &Page<'_>, texts: &[&str]) -> Result<u64> {
    for text in texts {
        page.shows("block-item", text).await?;
    }
    Ok(number(&page.status().await?, "height"))
}

/// Waits until both pages stand on the same tip and returns the height.
async fn same_tip(one: &Page<'_>, other: &Page<'_>) -> Result<u64> {
    eventually("both tabs stand on one tip", async || {
        let (a, b) = (one.status().await?, other.status().await?);
        let same = a.get("tipHash") == b.get("tipHash") && number(&a, "height") > 0;
        Ok(same.then(|| number(&a, "height")))
    })
    .await
}

/// Switches mining on in this tab and waits until it says so.
async fn mine(page: &Page<'_>) -> Result<()> {
    page.click("mine-toggle").await?;
    page.status_where("mining is on", |status| status["mining"]["when"] != "off")
        .await?;
    Ok(())
}

/// Fails unless nobody mines on a fresh page.
async fn does_not_mine(page: &Page<'_>) -> Result<()> {
    let status = page.status().await?;
    ensure!(
        status["mining"]["when"] == "off",
        "a fresh page mines: {status}"
    );
    Ok(())
}
