//! First links without a tracker: two profiles that copy two texts, and a new tab beside an open one.

use crate::{confirmed, mine, same_tip};
use anyhow::{Context as _, Result, ensure};
use e2e::{Browser, Look, Page, Stack, artifacts_dir, eventually};
use serde_json::json;

#[tokio::test]
async fn two_profiles_pair_by_copied_texts_while_the_tracker_is_down() -> Result<()> {
    let mut stack = Stack::start().await?;
    let (alice, bob) = (
        Browser::start(&stack.folder().join("alice")).await?,
        Browser::start(&stack.folder().join("bob")).await?,
    );
    let host = alice.open(&stack.app_url).await?;
    host.create_network("hidden").await?;
    let guest = bob.open(&stack.app_url).await?;
    for page in [&host, &guest] {
        is_cached(page).await?;
    }
    stack.tracker.kill();
    host.status_where("the tracker is missed", |status| {
        status["tracker"] != "connected"
    })
    .await?;
    guest.reload().await?;

    host.click("pairing-open").await?;
    host.click("pairing-make").await?;
    let invitation = output(&host).await?;
    photograph(&host, "pairing-host").await?;
    refuses_a_damaged_text(&guest, &invitation).await?;
    guest.find("invited-text").await?.clear().await?;
    guest.type_into("invited-text", &invitation).await?;
    guest.click("open-invited").await?;
    let answer = output(&guest).await?;
    photograph(&guest, "pairing-guest").await?;

    host.type_into("pairing-input", &answer).await?;
    host.click("pairing-take").await?;
    for page in [&host, &guest] {
        page.has_direct_peers(1).await?;
        page.shows("pairing-state", "Connected").await?;
        page.click("pairing-close").await?;
    }

    guest.send("nobody stands between us").await?;
    host.shows("pending-item", "nobody stands between us")
        .await?;
    mine(&host).await?;
    for page in [&host, &guest] {
        confirmed(page, &["nobody stands between us"]).await?;
    }
    same_tip(&host, &guest).await?;

    // A third tab of the guest's profile comes in through the open one, and over it to the host.
    let link = guest.run("return location.href", vec![]).await?;
    let third = bob.open(link.as_str().context("an address")?).await?;
    third.has_direct_peers(2).await?;
    confirmed(&third, &["nobody stands between us"]).await?;
    Ok(())
}

/// Waits until the service worker has the app, so that pages open without the tracker.
async fn is_cached(page: &Page<'_>) -> Result<()> {
    page.run_async("await navigator.serviceWorker.ready", vec![])
        .await
        .map(drop)
}

/// The text that the pairing dialog hands out.
async fn output(page: &Page<'_>) -> Result<String> {
    let script = "return document.querySelector('[data-testid=\"pairing-output\"]')?.value ?? ''";
    eventually("the dialog hands a text out", async || {
        let text = page.run(script, vec![]).await?;
        let text = text.as_str().unwrap_or_default().to_owned();
        Ok((!text.is_empty()).then_some(text))
    })
    .await
}

/// A text with one character changed opens nothing and says why.
async fn refuses_a_damaged_text(page: &Page<'_>, text: &str) -> Result<()> {
    let mut damaged = text.to_owned();
    let last = damaged.pop().context("a text")?;
    damaged.push(if last == 'A' { 'Q' } else { 'A' });
    page.type_into("invited-text", &damaged).await?;
    page.click("open-invited").await?;
    page.shows("notice", "damaged").await?;
    page.click("notice-dismiss").await?;
    let rows = page.all("peer-item").await?;
    ensure!(rows.is_empty(), "a damaged invitation opened a network");
    Ok(())
}

async fn photograph(page: &Page<'_>, name: &str) -> Result<()> {
    let folder = artifacts_dir()?;
    for (scheme, width, height) in [
        ("light", 1280, 900),
        ("dark", 1280, 900),
        ("light", 390, 844),
    ] {
        let look = Look {
            scheme,
            width,
            height,
        };
        let size = if width < 600 { "phone" } else { scheme };
        page.screenshot(look, &folder.join(format!("{name}-{size}.png")))
            .await?;
    }
    page.run("scrollTo(0, 0)", vec![json!(null)])
        .await
        .map(drop)
}
