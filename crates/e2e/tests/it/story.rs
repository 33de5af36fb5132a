//! What a newcomer does: two tabs, a message, mining, the dashboard, another network.

use crate::{anchored, confirmed, does_not_mine, fetch, mine, number, same_tip};
use anyhow::{Context as _, Result, ensure};
use e2e::{Browser, Look, Page, Stack, artifacts_dir, eventually};
use serde_json::Value;

const HOSTILE_TEXT: &str = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script><b>1,000 EUR</b>";

#[tokio::test]
async fn two_tabs_mine_a_chain_that_the_enterprise_chain_anchors() -> Result<()> {
    let stack = Stack::start().await?;
    let browser = Browser::start(&stack.folder().join("alice")).await?;
    let second = Browser::start(&stack.folder().join("bob")).await?;
    let dashboard = second.open(&stack.dashboard_url).await?;
    let one = browser.open(&stack.app_url).await?;
    photograph(&one, "app-start").await?;
    one.create_network("acme").await?;
    let link = format!("{}/#/n/acme", stack.app_url);
    let other = browser.open(&link).await?;
    let bob = second.open(&link).await?;
    for page in [&one, &other, &bob] {
        page.has_direct_peers(2).await?;
        does_not_mine(page).await?;
    }

    // Pending everywhere before anybody mines.
    one.send("Hello, 1,000 EUR").await?;
    bob.send(HOSTILE_TEXT).await?;
    for page in [&one, &other, &bob] {
        page.shows("pending-item", "Hello, 1,000 EUR").await?;
        page.shows("pending-item", HOSTILE_TEXT).await?;
        page.shows("pending-item", "On 2 peers").await?;
    }
    let status = one.status().await?;
    ensure!(
        number(&status, "height") == 0,
        "a block without a miner: {status}"
    );

    mine(&other).await?;
    for page in [&one, &other, &bob] {
        confirmed(page, &["Hello, 1,000 EUR", HOSTILE_TEXT]).await?;
        ensure!(
            page.run("return document.title", vec![]).await? != "owned",
            "markup of a message ran"
        );
        ensure!(
            page.run(
                "return document.querySelectorAll('.message-text *').length",
                vec![]
            )
            .await?
                == 0
        );
    }
    let height = same_tip(&one, &bob).await?;
    anchored(&stack, "acme", height).await?;
    dashboard_tells(&dashboard, height).await?;
    counts_name_what_they_count(&stack).await?;
    another_network_sees_nothing(&stack, &second).await?;

    photograph(&one, "app-network").await?;
    photograph(&dashboard, "dashboard").await
}

/// The dashboard shows the block and its texts without a reload, as text.
async fn dashboard_tells(dashboard: &Page<'_>, height: u64) -> Result<()> {
    dashboard
        .shows("dash-tenant-blocks", &height.to_string())
        .await?;
    dashboard
        .shows("dash-tenant-messages", "Hello, 1,000 EUR")
        .await?;
    dashboard
        .shows("dash-tenant-messages", HOSTILE_TEXT)
        .await?;
    dashboard.shows("dash-health", "ealthy").await?;
    ensure!(
        dashboard.run("return document.title", vec![]).await? != "owned",
        "markup ran in the dashboard"
    );
    ensure!(
        !dashboard.texts("dash-block").await?.is_empty(),
        "no enterprise block is shown"
    );
    Ok(())
}

/// Two messages are two transactions, whatever commas they hold.
async fn counts_name_what_they_count(stack: &Stack) -> Result<()> {
    let tenant = crate::tenant(stack, "acme")
        .await?
        .context("acme is a tenant")?;
    ensure!(
        number(&tenant, "transaction_count") == 2,
        "two messages were sent: {tenant}"
    );
    let status = fetch(&format!("{}/api/status", stack.validator_url)).await?;
    ensure!(
        number(&status, "active_tenants") == 1,
        "one tenant is active: {status}"
    );
    Ok(())
}

async fn another_network_sees_nothing(stack: &Stack, browser: &Browser) -> Result<()> {
    let stranger = browser.open(&stack.app_url).await?;
    stranger.create_network("globex").await?;
    stranger
        .status_where("the tracker is connected", |status| {
            status["tracker"] == "connected"
        })
        .await?;
    stranger.send("only here").await?;
    stranger.shows("pending-item", "only here").await?;
    stranger
        .shows("pending-item", "On this device only")
        .await?;
    let status = stranger.status().await?;
    ensure!(
        status["peers"].as_array().is_some_and(Vec::is_empty),
        "a peer of another network: {status}"
    );
    ensure!(
        number(&status, "height") == 0,
        "a chain of another network: {status}"
    );
    let page = stranger
        .run("return document.body.innerText", vec![])
        .await?;
    let text = page.as_str().unwrap_or_default();
    ensure!(
        !text.contains("1,000 EUR"),
        "a message of another network is shown: {text}"
    );
    let listed = fetch(&format!("{}/api/networks", stack.app_url)).await?;
    ensure!(
        listed
            .as_object()
            .is_some_and(|all| all.values().all(Value::is_number)),
        "{listed}"
    );
    stranger.close().await
}

/// Leaves the page as files: light, dark, phone; and checks that the phone needs no sideways scrolling.
async fn photograph(page: &Page<'_>, name: &str) -> Result<()> {
    let looks = [
        ("light", "light", 1280, 900),
        ("dark", "dark", 1280, 900),
        ("phone", "light", 360, 800),
    ];
    for (suffix, scheme, width, height) in looks {
        let path = artifacts_dir()?.join(format!("{name}-{suffix}.png"));
        page.screenshot(
            Look {
                scheme,
                width,
                height,
            },
            &path,
        )
        .await?;
    }
    Ok(())
}

#[tokio::test]
async fn the_page_fits_a_phone_and_the_keyboard() -> Result<()> {
    let stack = Stack::start().await?;
    let browser = Browser::start(&stack.folder().join("alice")).await?;
    let page = browser.open(&stack.app_url).await?;
    page.create_network("pocket").await?;
    let metrics =
        serde_json::json!({"width": 360, "height": 800, "deviceScaleFactor": 1, "mobile": true});
    browser
        .devtools("Emulation.setDeviceMetricsOverride", metrics)
        .await?;
    eventually("nothing is wider than a phone", async || {
        let wide = page
            .run("return document.documentElement.scrollWidth", vec![])
            .await?;
        Ok((wide.as_u64() <= Some(360)).then_some(()))
    })
    .await?;
    // Enter in the composer sends: no mouse needed.
    page.type_into("message-input", "by keyboard\u{e007}")
        .await?;
    page.shows("pending-item", "by keyboard").await
}
