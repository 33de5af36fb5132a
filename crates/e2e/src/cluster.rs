//! Three trackers over a real nats-server, and one validator behind them, each a process of its own.

use crate::service::{Service, free_port};
use crate::stack::{artifacts_dir, binaries_dir, repository_dir};
use anyhow::{Context as _, Result};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

const TRACKERS: usize = 3;

/// The trackers and what they need.
#[derive(Debug)]
pub struct Cluster {
    /// The server between the trackers.
    pub nats: Service,
    /// The trackers' processes.
    pub trackers: Vec<Service>,
    /// The page of each tracker.
    pub pages: Vec<String>,
    /// The validator's process.
    pub validator: Service,
    /// Where the validator answers.
    pub validator_url: String,
    folder: TempDir,
}

impl Cluster {
    /// Starts all of it; nothing, and that is said, where nats-server is not installed.
    ///
    /// # Errors
    /// If one does not come up, or nats-server is missing and `DISTLI_SERVERS_NEEDED` is set, as `make` does.
    pub async fn start() -> Result<Option<Self>> {
        let missing = Command::new("nats-server").arg("--version").output().err();
        if let Some(error) = missing {
            let text = format!(
                "nats-server is not here ({error}); on Debian, apt-get install nats-server"
            );
            let is_needed = std::env::var_os("DISTLI_SERVERS_NEEDED").is_some();
            anyhow::ensure!(!is_needed, "{text}; `make servers` does it");
            // Said also where a test's output is kept back.
            std::io::stderr().write_all(format!("SKIPPED: {text}\n").as_bytes())?;
            return Ok(None);
        }
        let mut cluster = Self::describe()?;
        cluster.nats.start().await?;
        cluster.validator.start().await?;
        for tracker in &mut cluster.trackers {
            tracker.start().await?;
        }
        Ok(Some(cluster))
    }

    /// The folder of all of it; gone with it.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    fn describe() -> Result<Self> {
        let folder = TempDir::with_prefix("distli-e2e-")?;
        let (nats, watched, validator) = (free_port()?, free_port()?, free_port()?);
        let validator_url = format!("http://127.0.0.1:{validator}");
        let program = |name: &str, port: u16, more: &[&str]| -> Result<Service> {
            let log = artifacts_dir()?.join(format!("{name}-{port}.log"));
            let data = folder.path().join(format!("{name}-{port}"));
            let data = data.to_str().context("a folder with a plain name")?;
            let port_text = port.to_string();
            let arguments = ["--port", &port_text, "--data", data];
            let arguments = arguments.iter().chain(more).map(|text| (*text).to_owned());
            let binary = binaries_dir()?.join(name);
            Ok(Service::new(name, binary, arguments.collect(), log, port))
        };
        let mut ports = Vec::new();
        for _ in 0..TRACKERS {
            ports.push(free_port()?);
        }
        let www = repository_dir()?.join("www/dist");
        let www = www.to_str().context("a folder with a plain name")?;
        let nats_url = format!("nats://127.0.0.1:{nats}");
        let mut trackers = Vec::new();
        for port in &ports {
            let public_url = format!("ws://localhost:{port}/ws");
            let more = [
                ("--www", www),
                ("--enterprise-bc-url", &validator_url),
                ("--ops-bind", "off"),
                ("--nats-url", &nats_url),
                ("--public-url", &public_url),
                ("--allow-origin", "*"),
            ];
            let more: Vec<&str> = more.iter().flat_map(|(a, b)| [*a, *b]).collect();
            trackers.push(program("tracker", *port, &more)?);
        }
        Ok(Self {
            nats: nats_server(nats, watched)?,
            trackers,
            pages: ports
                .iter()
                .map(|port| format!("http://localhost:{port}"))
                .collect(),
            validator: program("validator", validator, &["--id", "validator1"])?,
            validator_url,
            folder,
        })
    }
}

/// A server whose monitoring port, on loopback too, says that it is up.
fn nats_server(port: u16, watched: u16) -> Result<Service> {
    let arguments = [
        "-a",
        "127.0.0.1",
        "-p",
        &port.to_string(),
        "-m",
        &watched.to_string(),
    ];
    let arguments = arguments.map(str::to_owned).to_vec();
    let log = artifacts_dir()?.join(format!("nats-server-{port}.log"));
    let binary = Path::new("nats-server").to_owned();
    Ok(Service::new("nats-server", binary, arguments, log, watched))
}
