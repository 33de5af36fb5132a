//! Servers that go away and come back.

use crate::{anchored, confirmed, fetch, mine, number, same_tip};
use anyhow::{Result, ensure};
use e2e::{Browser, Stack};

#[tokio::test]
async fn tabs_go_on_without_the_tracker_and_report_when_it_is_back() -> Result<()> {
    let mut stack = Stack::start().await?;
    let browser = Browser::start(&stack.folder().join("alice")).await?;
    let one = browser.open(&stack.app_url).await?;
    one.create_network("island").await?;
    let other = browser
        .open(&format!("{}/#/n/island", stack.app_url))
        .await?;
    one.has_direct_peers(1).await?;
    one.send("before").await?;
    mine(&one).await?;
    confirmed(&other, &["before"]).await?;
    anchored(&stack, "island", same_tip(&one, &other).await?).await?;

    stack.tracker.kill();
    one.status_where("the tracker is missed", |status| {
        status["tracker"] != "connected"
    })
    .await?;
    other.send("while it is gone").await?;
    confirmed(&one, &["while it is gone"]).await?;
    confirmed(&other, &["while it is gone"]).await?;

    // A reloaded page opens from the service worker and shows its chain.
    other.reload().await?;
    other.find("message-input").await?;
    confirmed(&other, &["before", "while it is gone"]).await?;
    // Its links are gone with the old page, but its sister stores for both and shares what it sends.
    other.send("after the reload").await?;
    confirmed(&one, &["after the reload"]).await?;
    confirmed(&other, &["after the reload"]).await?;

    stack.tracker.start().await?;
    one.status_where("the tracker is back", |status| {
        status["tracker"] == "connected"
    })
    .await?;
    let height = same_tip(&one, &other).await?;
    anchored(&stack, "island", height).await?;
    one.has_direct_peers(1).await
}

#[tokio::test]
async fn validator_restarts_to_its_tip_and_gets_what_it_missed() -> Result<()> {
    let mut stack = Stack::start().await?;
    let browser = Browser::start(&stack.folder().join("alice")).await?;
    let page = browser.open(&stack.app_url).await?;
    page.create_network("steady").await?;
    page.send("first").await?;
    mine(&page).await?;
    anchored(&stack, "steady", confirmed(&page, &["first"]).await?).await?;
    let status_url = format!("{}/api/status", stack.validator_url);
    let before = fetch(&status_url).await?;

    stack.validator.kill();
    page.send("second").await?;
    let height = confirmed(&page, &["second"]).await?;
    // The tracker has it durably; killing that too must lose nothing.
    page.status_where("the tracker confirmed it", |status| {
        number(status, "syncedHeight") == height
    })
    .await?;
    stack.tracker.kill();
    stack.validator.start().await?;
    let after = fetch(&status_url).await?;
    ensure!(
        before["latest_hash"] == after["latest_hash"],
        "another tip after a restart: {before} {after}"
    );
    stack.tracker.start().await?;
    anchored(&stack, "steady", height).await?;
    page.status_where("the tab learns the anchor", |status| {
        number(status, "anchoredHeight") == height
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn validator_refuses_damaged_data_and_says_what_to_do() -> Result<()> {
    let mut stack = Stack::start().await?;
    stack.validator.terminate().await?;
    let mut damaged = false;
    for entry in std::fs::read_dir(stack.validator_data())? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "redb")
        {
            let mut bytes = std::fs::read(&path)?;
            let middle = bytes.len() / 2;
            bytes.truncate(middle);
            std::fs::write(&path, bytes)?;
            damaged = true;
        }
    }
    ensure!(damaged, "the validator keeps no redb file");
    let said = stack.validator.start_refused().await?;
    ensure!(
        said.contains("damaged"),
        "it refused without saying why: {said}"
    );
    Ok(())
}
