//! The three programs together, each a process of its own, on free ports and a folder of their own.

use crate::{Service, free_port};
use anyhow::{Context as _, Result};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Tracker, validator and dashboard, wired to each other.
#[derive(Debug)]
pub struct Stack {
    /// The tracker's process.
    pub tracker: Service,
    /// The validator's process.
    pub validator: Service,
    /// The dashboard's process.
    pub dashboard: Service,
    /// The tracker's port.
    pub tracker_port: u16,
    /// Where the browser app is.
    pub app_url: String,
    /// Where the validator answers.
    pub validator_url: String,
    /// Where the dashboard is.
    pub dashboard_url: String,
    folder: TempDir,
}

impl Stack {
    /// Starts all three.
    ///
    /// # Errors
    /// If one does not come up.
    pub async fn start() -> Result<Self> {
        Self::start_with_www(&repository_dir()?.join("www/dist")).await
    }

    /// Starts all three, the tracker serving `www` instead of the app.
    ///
    /// # Errors
    /// If one does not come up.
    pub async fn start_with_www(www: &Path) -> Result<Self> {
        Self::describe(www)?.started().await
    }

    async fn started(mut self) -> Result<Self> {
        self.validator.start().await?;
        self.tracker.start().await?;
        self.dashboard.start().await?;
        Ok(self)
    }

    /// The folder of this stack: services' data, profiles, downloads; gone with it.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    /// The validator's data folder.
    #[must_use]
    pub fn validator_data(&self) -> PathBuf {
        self.folder.path().join("validator")
    }

    fn describe(www: &Path) -> Result<Self> {
        let folder = TempDir::with_prefix("distli-e2e-")?;
        let (tracker, validator, dashboard) = (free_port()?, free_port()?, free_port()?);
        let url = |port: u16| format!("http://127.0.0.1:{port}");
        let data = |name: &str| folder.path().join(name).display().to_string();
        let www = www.display().to_string();
        let program = |name: &str, port: u16, arguments: &[(&str, &str)]| -> Result<Service> {
            let mut all = vec!["--port".to_owned(), port.to_string()];
            all.extend(
                arguments
                    .iter()
                    .flat_map(|(flag, value)| [(*flag).to_owned(), (*value).to_owned()]),
            );
            let log = artifacts_dir()?.join(format!("{name}-{port}.log"));
            Ok(Service::new(
                name,
                binaries_dir()?.join(name),
                all,
                log,
                port,
            ))
        };
        Ok(Self {
            validator: program(
                "validator",
                validator,
                &[("--id", "validator1"), ("--data", &data("validator"))],
            )?,
            tracker: program(
                "tracker",
                tracker,
                &[
                    ("--data", &data("tracker")),
                    ("--www", &www),
                    ("--enterprise-bc-url", &url(validator)),
                    ("--ops-bind", "off"),
                ],
            )?,
            dashboard: program(
                "dashboard",
                dashboard,
                &[
                    ("--validator-url", &url(validator)),
                    ("--tracker-url", &url(tracker)),
                ],
            )?,
            tracker_port: tracker,
            // `localhost` and not the address: a secure context for the browser either way, and what people type.
            app_url: format!("http://localhost:{tracker}"),
            validator_url: url(validator),
            dashboard_url: format!("http://localhost:{dashboard}"),
            folder,
        })
    }
}

/// Where the built programs are: `DISTLI_BIN_DIR`, else beside this test's own folder.
pub(crate) fn binaries_dir() -> Result<PathBuf> {
    if let Some(dir) = std::env::var_os("DISTLI_BIN_DIR") {
        return Ok(dir.into());
    }
    let own = std::env::current_exe()?;
    let dir = own.ancestors().find(|dir| dir.join("tracker").is_file());
    Ok(dir
        .context("the programs are not built: run `make e2e`")?
        .to_owned())
}

/// The repository's top folder: that in which this process was started. (Where it was built says nothing: checkouts may
/// share what is built.)
///
/// # Errors
/// If it was started elsewhere.
pub fn repository_dir() -> Result<PathBuf> {
    let here = std::env::current_dir()?;
    let top = here
        .ancestors()
        .find(|dir| dir.join("www/build.sh").is_file());
    Ok(top
        .context("start this inside the repository: the app is built and pictures are left there")?
        .to_owned())
}

/// Where logs and screenshots are left: `artifacts/` in the repository.
///
/// # Errors
/// If it can't be made.
pub fn artifacts_dir() -> Result<PathBuf> {
    let dir = repository_dir()?.join("artifacts");
    std::fs::create_dir_all(&dir)?;
    Ok(dir)
}
