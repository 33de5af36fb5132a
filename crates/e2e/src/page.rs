//! The app in one tab, used as a person would: by what is on the page.

use crate::{Browser, Look, eventually};
use anyhow::{Context as _, Result, bail};
use fantoccini::elements::Element;
use fantoccini::wd::WindowHandle;
use fantoccini::{Client, Locator};
use serde_json::{Value, json};
use std::path::Path;

/// The handle of one tab.
pub type Tab = WindowHandle;

/// One tab of a [`Browser`]; every call switches to it first.
#[derive(Debug)]
pub struct Page<'a> {
    browser: &'a Browser,
    tab: Tab,
}

impl<'a> Page<'a> {
    pub(crate) const fn new(browser: &'a Browser, tab: Tab) -> Self {
        Self { browser, tab }
    }

    async fn client(&self) -> Result<&Client> {
        let client = self.browser.client();
        client.switch_to_window(self.tab.clone()).await?;
        Ok(client)
    }

    /// Loads `url` in this tab.
    ///
    /// # Errors
    /// If it does not load.
    pub async fn goto(&self, url: &str) -> Result<()> {
        Ok(self.client().await?.goto(url).await?)
    }

    /// Reloads the tab.
    ///
    /// # Errors
    /// If it does not load.
    pub async fn reload(&self) -> Result<()> {
        Ok(self.client().await?.refresh().await?)
    }

    /// Closes the tab.
    ///
    /// # Errors
    /// If the browser refuses.
    pub async fn close(self) -> Result<()> {
        Ok(self.client().await?.close_window().await?)
    }

    /// Crashes the tab's renderer, as the system does when it ends the process: nothing of the page runs any more.
    ///
    /// # Errors
    /// If the tab is gone.
    pub async fn crash(self) -> Result<()> {
        self.client().await?;
        // The crashed page can't answer the command that crashed it.
        let crash = self.browser.devtools("Page.crash", json!({}));
        let _ = tokio::time::timeout(std::time::Duration::from_secs(5), crash).await;
        Ok(())
    }

    /// All elements with this `data-testid`.
    ///
    /// # Errors
    /// If the tab is gone.
    pub async fn all(&self, id: &str) -> Result<Vec<Element>> {
        let selector = format!("[data-testid=\"{id}\"]");
        Ok(self
            .client()
            .await?
            .find_all(Locator::Css(&selector))
            .await?)
    }

    /// Waits for the element with this `data-testid`.
    ///
    /// # Errors
    /// If it never comes.
    pub async fn find(&self, id: &str) -> Result<Element> {
        eventually(&format!("the page shows {id}"), async || {
            Ok(self.all(id).await?.into_iter().next())
        })
        .await
    }

    /// The visible texts of all elements with this `data-testid`.
    ///
    /// # Errors
    /// If the tab is gone.
    pub async fn texts(&self, id: &str) -> Result<Vec<String>> {
        let script = "return [...document.querySelectorAll(`[data-testid=\"${arguments[0]}\"]`)].map(e => e.innerText)";
        let found = self.run(script, vec![json!(id)]).await?;
        Ok(serde_json::from_value(found)?)
    }

    /// Waits until some element with this `data-testid` contains `text`.
    ///
    /// # Errors
    /// If it never does.
    pub async fn shows(&self, id: &str, text: &str) -> Result<()> {
        eventually(&format!("{id} shows {text:?}"), async || {
            Ok(self
                .texts(id)
                .await?
                .iter()
                .any(|found| found.contains(text))
                .then_some(()))
        })
        .await
    }

    /// Clicks the element with this `data-testid`.
    ///
    /// # Errors
    /// If it is missing or covered.
    pub async fn click(&self, id: &str) -> Result<()> {
        eventually(&format!("{id} can be clicked"), async || {
            let element = self.all(id).await?.into_iter().next();
            Ok(Some(element.context("missing")?.click().await?))
        })
        .await
    }

    /// Types into the element with this `data-testid`.
    ///
    /// # Errors
    /// If it is missing.
    pub async fn type_into(&self, id: &str, text: &str) -> Result<()> {
        Ok(self.find(id).await?.send_keys(text).await?)
    }

    /// Runs a synchronous script with `arguments`.
    ///
    /// # Errors
    /// If it throws.
    pub async fn run(&self, script: &str, arguments: Vec<Value>) -> Result<Value> {
        Ok(self.client().await?.execute(script, arguments).await?)
    }

    /// Runs the body of an async function with `arguments` as `a` and returns what it returns.
    ///
    /// # Errors
    /// If it throws; the message is the script's.
    pub async fn run_async(&self, body: &str, arguments: Vec<Value>) -> Result<Value> {
        let script = format!(
            "const a = [...arguments], done = a.pop();
             (async () => {{ {body} }})().then(v => done({{ok: v ?? null}}), e => done({{error: String(e && e.message || e)}}))"
        );
        let answer = self
            .client()
            .await?
            .execute_async(&script, arguments)
            .await?;
        if let Some(error) = answer.get("error") {
            bail!("the page said: {error}");
        }
        Ok(answer.get("ok").cloned().unwrap_or(Value::Null))
    }

    /// The status of the tab's node, as its API gives it.
    ///
    /// # Errors
    /// If no network is open.
    pub async fn status(&self) -> Result<Value> {
        self.run_async("return await window.distli.node.status()", vec![])
            .await
    }

    /// Waits until the status satisfies `wanted`.
    ///
    /// # Errors
    /// If it never does; the last status is in the message.
    pub async fn status_where(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        let mut last = Value::Null;
        let found = eventually(what, async || {
            last = self.status().await?;
            Ok(wanted(&last).then(|| last.clone()))
        })
        .await;
        found.with_context(|| format!("the last status was {last}"))
    }

    /// Types a network's name on the start view and creates the network.
    ///
    /// # Errors
    /// If the network view does not open.
    pub async fn create_network(&self, name: &str) -> Result<()> {
        self.type_into("network-id", name).await?;
        self.click("create-network").await?;
        self.find("message-input").await.map(drop)
    }

    /// Writes a message and sends it.
    ///
    /// # Errors
    /// If the composer is missing.
    pub async fn send(&self, text: &str) -> Result<()> {
        self.type_into("message-input", text).await?;
        self.click("send").await
    }

    /// Waits until `count` peers are connected by direct channels.
    ///
    /// # Errors
    /// If they never are.
    pub async fn has_direct_peers(&self, count: usize) -> Result<()> {
        eventually(&format!("{count} direct peers"), async || {
            let script = "return document.querySelectorAll('[data-testid=\"peer-item\"][data-transport=\"direct\"]').length";
            let found = self.run(script, vec![]).await?;
            Ok((found.as_u64() == u64::try_from(count).ok()).then_some(()))
        })
        .await
    }

    /// Takes a screenshot in the given look and leaves it at `path`.
    ///
    /// # Errors
    /// If the browser refuses or the file can't be written.
    pub async fn screenshot(&self, look: Look, path: &Path) -> Result<()> {
        let client = self.client().await?;
        let features =
            json!({"features": [{"name": "prefers-color-scheme", "value": look.scheme}]});
        self.browser
            .devtools("Emulation.setEmulatedMedia", features)
            .await?;
        let metrics = json!({"width": look.width, "height": look.height, "deviceScaleFactor": 1, "mobile": look.width < 600});
        self.browser
            .devtools("Emulation.setDeviceMetricsOverride", metrics)
            .await?;
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        std::fs::write(path, client.screenshot().await?)?;
        self.browser
            .devtools("Emulation.clearDeviceMetricsOverride", json!({}))
            .await?;
        Ok(())
    }
}
