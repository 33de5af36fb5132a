//! One Chromium profile, driven over WebDriver by a chromedriver of its own.

use crate::{PATIENCE, Page, eventually};
use anyhow::{Context as _, Result};
use fantoccini::wd::{Capabilities, TimeoutConfiguration};
use fantoccini::{Client, ClientBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// How long a script of a bench may take.
const SCRIPT_TIMEOUT: Duration = Duration::from_secs(900);

/// How a page is looked at: the colour scheme and the width of the window.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// `light` or `dark`.
    pub scheme: &'static str,
    /// Width in CSS pixels.
    pub width: u32,
    /// Height in CSS pixels.
    pub height: u32,
}

/// A running Chromium with a profile folder; both processes end with it.
#[derive(Debug)]
pub struct Browser {
    profile: PathBuf,
    driver: Child,
    port: u16,
    client: Client,
}

impl Browser {
    /// Starts chromedriver and a headless Chromium on the profile folder `profile`, which is made if missing.
    ///
    /// # Errors
    /// If either is not installed or does not start.
    pub async fn start(profile: &Path) -> Result<Self> {
        fs::create_dir_all(profile)?;
        let port = crate::free_port()?;
        let log = fs::File::create(profile.with_extension("driver.log"))?;
        let driver = Command::new(driver_binary())
            .arg(format!("--port={port}"))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("chromedriver is not installed: run `make browser`")?;
        let mut guard = DriverGuard(Some(driver));
        let address = format!("http://127.0.0.1:{port}");
        let client = eventually("Chromium starts", async || {
            let mut builder = ClientBuilder::new(HttpConnector::new());
            builder.capabilities(capabilities(profile));
            Ok(Some(builder.connect(&address).await?))
        })
        .await?;
        let timeouts = TimeoutConfiguration::new(Some(SCRIPT_TIMEOUT), Some(PATIENCE), None);
        client.update_timeouts(timeouts).await?;
        let driver = guard.0.take().context("the driver is ours until here")?;
        Ok(Self {
            profile: profile.to_owned(),
            driver,
            port,
            client,
        })
    }

    /// The WebDriver client.
    #[must_use]
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// Opens `url` in a new tab.
    ///
    /// # Errors
    /// If the browser refuses.
    pub async fn open(&self, url: &str) -> Result<Page<'_>> {
        let window = self.client.new_window(true).await?.handle;
        let page = Page::new(self, window);
        page.goto(url).await?;
        Ok(page)
    }

    /// Runs one Chrome DevTools Protocol command in the current tab.
    ///
    /// # Errors
    /// If the browser refuses it.
    pub async fn devtools(&self, command: &str, parameters: Value) -> Result<Value> {
        let session = self
            .client
            .session_id()
            .await?
            .context("the session is open")?;
        let url = format!(
            "http://127.0.0.1:{}/session/{session}/goog/cdp/execute",
            self.port
        );
        let body = json!({"cmd": command, "params": parameters});
        let answer = reqwest::Client::new().post(url).json(&body).send().await?;
        let answer: Value = answer.error_for_status()?.json().await?;
        Ok(answer.get("value").cloned().unwrap_or(Value::Null))
    }

    /// Memory of this profile's largest renderer process: its own pages, and its share of those it has with others.
    ///
    /// # Errors
    /// If there is none.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a size is read, not computed with"
    )]
    pub fn largest_renderer_bytes(&self) -> Result<f64> {
        let sizes = processes_of(&self.profile).filter_map(|process| {
            let rollup = fs::read_to_string(process.join("smaps_rollup")).ok()?;
            let line = rollup.lines().find(|line| line.starts_with("Pss:"))?;
            line.split_whitespace().nth(1)?.parse::<u64>().ok()
        });
        let kib = sizes.max().context("the profile has no process")?;
        Ok(kib as f64 * 1024.0)
    }

    /// Kills Chromium (SIGKILL to every process of the profile) and ends the driver: what a power cut leaves.
    pub fn kill(mut self) -> PathBuf {
        kill_profile(&self.profile);
        let _ = self.driver.kill();
        let _ = self.driver.wait();
        self.profile.clone()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.driver.kill();
        let _ = self.driver.wait();
        kill_profile(&self.profile);
    }
}

struct DriverGuard(Option<Child>);

impl Drop for DriverGuard {
    fn drop(&mut self) {
        if let Some(driver) = &mut self.0 {
            let _ = driver.kill();
            let _ = driver.wait();
        }
    }
}

/// The folders in `/proc` of every process whose command line names exactly this profile folder: they can only be ours.
pub fn processes_of(profile: &Path) -> impl Iterator<Item = PathBuf> {
    let wanted = format!("--user-data-dir={}", profile.display());
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    all.map(|process| process.path()).filter(move |process| {
        let line = fs::read(process.join("cmdline")).unwrap_or_default();
        // A renderer's arguments are one string with spaces.
        let mut arguments = line.split(|byte| *byte == 0 || *byte == b' ');
        arguments.any(|argument| argument == wanted.as_bytes())
    })
}

/// Ends every process of this profile.
fn kill_profile(profile: &Path) {
    for process in processes_of(profile) {
        let _ = Command::new("kill")
            .arg("-9")
            .args(process.file_name())
            .stderr(Stdio::null())
            .status();
    }
    // A killed Chromium leaves its lock behind; the next start on this profile must not wait for the dead.
    let _ = fs::remove_file(profile.join("SingletonLock"));
}

fn driver_binary() -> String {
    std::env::var("CHROMEDRIVER").unwrap_or_else(|_| "chromedriver".to_owned())
}

fn capabilities(profile: &Path) -> Capabilities {
    let mut arguments = vec![
        "--headless".to_owned(),
        "--no-sandbox".to_owned(),
        "--disable-gpu".to_owned(),
        "--disable-dev-shm-usage".to_owned(),
        "--disable-quic".to_owned(),
        "--no-first-run".to_owned(),
        "--disable-background-networking".to_owned(),
        "--disable-component-update".to_owned(),
        "--disable-sync".to_owned(),
        "--window-size=1280,900".to_owned(),
    ];
    arguments.push(format!("--user-data-dir={}", profile.display()));
    let mut options = json!({"args": arguments});
    if let (Ok(binary), Some(options)) = (std::env::var("CHROME"), options.as_object_mut()) {
        options.insert("binary".to_owned(), binary.into());
    }
    let mut capabilities = Capabilities::new();
    capabilities.insert("goog:chromeOptions".to_owned(), options);
    capabilities.insert("goog:loggingPrefs".to_owned(), json!({"browser": "ALL"}));
    capabilities
}
