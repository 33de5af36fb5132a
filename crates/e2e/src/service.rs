//! One of our programs as a real process.

use crate::eventually;
use anyhow::{Context as _, Result, bail};
use std::fs::File;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

/// A program of ours that listens on loopback, ended by its process id when dropped.
#[derive(Debug)]
pub struct Service {
    name: String,
    binary: PathBuf,
    arguments: Vec<String>,
    log: PathBuf,
    health: String,
    child: Option<Child>,
}

impl Service {
    /// Describes a program; nothing runs before [`Service::start`].
    #[must_use]
    pub fn new(
        name: &str,
        binary: PathBuf,
        arguments: Vec<String>,
        log: PathBuf,
        port: u16,
    ) -> Self {
        Self {
            name: name.to_owned(),
            binary,
            arguments,
            log,
            health: format!("http://127.0.0.1:{port}/health"),
            child: None,
        }
    }

    /// Starts the process and waits until `/health` answers.
    ///
    /// # Errors
    /// If it can't be started, ends early, or never answers.
    pub async fn start(&mut self) -> Result<()> {
        let log = File::options().create(true).append(true).open(&self.log)?;
        let child = Command::new(&self.binary)
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("{} is not built: run `make e2e`", self.binary.display()))?;
        self.child = Some(child);
        let what = format!("{} answers {}", self.name, self.health);
        let client = reqwest::Client::new();
        eventually(&what, async || {
            if let Some(status) = self.exited()? {
                bail!(
                    "{} ended with {status}; its log is {}",
                    self.name,
                    self.log.display()
                );
            }
            Ok(client.get(&self.health).send().await.ok().map(drop))
        })
        .await
    }

    /// Starts the process expecting it to refuse: waits for its end and returns what it logged.
    ///
    /// # Errors
    /// If it can't be started or keeps running.
    pub async fn start_refused(&mut self) -> Result<String> {
        let log = File::create(&self.log)?;
        let mut command = Command::new(&self.binary);
        command.args(&self.arguments).stdin(Stdio::null());
        self.child = Some(command.stdout(log.try_clone()?).stderr(log).spawn()?);
        let what = format!("{} refuses to start", self.name);
        let status = eventually(&what, async || self.exited()).await?;
        if status.success() {
            bail!("{} ended as if all were well", self.name);
        }
        Ok(std::fs::read_to_string(&self.log)?)
    }

    /// The process id, while it runs.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Kills the process at once (SIGKILL).
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Sends the process a signal, as `kill` names it.
    ///
    /// # Errors
    /// If it is not running.
    pub fn signal(&self, name: &str) -> Result<()> {
        let id = self.id().context("not running")?.to_string();
        let status = Command::new("kill").args(["-s", name, &id]).status()?;
        anyhow::ensure!(status.success(), "no signal {name} to {}", self.name);
        Ok(())
    }

    /// Asks the process to end (SIGTERM) and waits for its status.
    ///
    /// # Errors
    /// If it is not running or does not end.
    pub async fn terminate(&mut self) -> Result<ExitStatus> {
        let id = self.child.as_ref().context("not running")?.id();
        Command::new("kill").arg(id.to_string()).status()?;
        let what = format!("{} ends when asked to", self.name);
        let status = eventually(&what, async || self.exited()).await?;
        self.child = None;
        Ok(status)
    }

    fn exited(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.as_mut().context("not running")?.try_wait()?)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A port of loopback that nobody listens on now.
///
/// # Errors
/// If the system has none.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
