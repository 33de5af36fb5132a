//! Mining as its user chose it.

use anyhow::Result;
use e2e::{Browser, Stack};
use serde_json::json;

/// The browser's own event, with the state that goes with it: a headless browser hides no tab by itself.
const SET_HIDDEN: &str = "
    Object.defineProperty(document, 'hidden', {value: arguments[0], configurable: true});
    document.dispatchEvent(new Event('visibilitychange'));";

#[tokio::test]
async fn mining_rests_while_hidden_if_the_user_chose_so_and_goes_on_by_itself() -> Result<()> {
    let stack = Stack::start().await?;
    let browser = Browser::start(&stack.folder().join("alice")).await?;
    let page = browser.open(&stack.app_url).await?;
    page.create_network("resting").await?;
    page.click("pause-hidden").await?;
    page.run(
        "document.getElementById('mine-mode').value = 'always'",
        vec![],
    )
    .await?;
    page.click("mine-toggle").await?;
    page.status_where("it mines", |status| status["mining"]["active"] == true)
        .await?;

    page.run(SET_HIDDEN, vec![json!(true)]).await?;
    let status = page
        .status_where("it rests", |status| status["mining"]["active"] == false)
        .await?;
    assert_eq!(
        status["mining"]["paused"], "hidden",
        "the reason is told: {status}"
    );
    assert_eq!(
        status["mining"]["when"], "always",
        "the choice stays: {status}"
    );

    page.run(SET_HIDDEN, vec![json!(false)]).await?;
    page.status_where("it goes on", |status| {
        status["mining"]["active"] == true && status["mining"]["paused"].is_null()
    })
    .await
    .map(drop)
}
