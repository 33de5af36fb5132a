//! The measured servers as processes on a core of their own, and what the system says of them.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use e2e::{Service, free_port};
use tempfile::TempDir;

use super::wire::{Wire, frame};

/// Which protocol a server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Our tracker.
    Ours,
    /// `matchbox_server`.
    Matchbox,
    /// [`bare`](super::bare), which speaks as much of our protocol as a join needs.
    Bare,
}

/// One server.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) kind: Kind,
    pub(crate) address: SocketAddr,
    service: Service,
    _folder: TempDir,
}

impl Server {
    /// Our tracker over an empty directory, reporting to `validator` if there is one.
    pub(crate) async fn tracker(validator: Option<u16>) -> Result<Self> {
        let folder = TempDir::new()?;
        let port = free_port()?;
        let data = folder.path().join("data").display().to_string();
        let mut arguments = vec!["--port".into(), port.to_string(), "--data".into(), data];
        arguments.extend(["--ops-bind".into(), "off".into()]);
        arguments.extend(["--www".into(), folder.path().display().to_string()]);
        arguments.extend(["--connections-max".into(), "20000".into()]);
        arguments.extend(["--address-creations".into(), "0".into()]);
        if let Some(port) = validator {
            arguments.push("--enterprise-bc-url".into());
            arguments.push(format!("http://127.0.0.1:{port}"));
        }
        let program = std::env::current_exe()?.with_file_name("tracker");
        Self::start(Kind::Ours, program, arguments, port, folder).await
    }

    /// The other server. Its log is turned down to errors, as ours is: it would say something of every join.
    pub(crate) async fn matchbox(program: &Path) -> Result<Self> {
        ensure!(
            program.exists(),
            "{} is not there: `make bench-tracker` installs it",
            program.display()
        );
        let port = free_port()?;
        let arguments = vec![format!("127.0.0.1:{port}")];
        let folder = TempDir::new()?;
        Self::start(Kind::Matchbox, program.to_owned(), arguments, port, folder).await
    }

    /// The bare server, which is this program.
    pub(crate) async fn bare() -> Result<Self> {
        let port = free_port()?;
        let arguments = ["socket", "--port", &port.to_string()];
        let arguments = arguments.map(str::to_owned).to_vec();
        let program = std::env::current_exe()?;
        Self::start(Kind::Bare, program, arguments, port, TempDir::new()?).await
    }

    async fn start(
        kind: Kind,
        program: PathBuf,
        arguments: Vec<String>,
        port: u16,
        folder: TempDir,
    ) -> Result<Self> {
        let log = folder.path().join("log");
        let (program, arguments) = on_core(kind, program, arguments);
        let mut service = Service::new(&format!("{kind:?}"), program, arguments, log, port);
        service.start().await?;
        Ok(Self {
            kind,
            address: (Ipv4Addr::LOCALHOST, port).into(),
            service,
            _folder: folder,
        })
    }

    fn id(&self) -> Result<u32> {
        self.service.id().context("the server runs")
    }

    /// Its processor time, user and system, in seconds.
    pub(crate) fn cpu_s(&self) -> Result<f64> {
        Ok(f64::from(crate::ticks(self.id()?)?) / f64::from(crate::TICKS_PER_S))
    }

    /// Its resident memory.
    pub(crate) fn memory_kib(&self) -> Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id()?))?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let number = line.and_then(|line| line.split_whitespace().nth(1));
        Ok(number.context("no VmRSS")?.parse()?)
    }

    /// Waits until the server does nothing more.
    pub(crate) async fn settled(&self) -> Result<()> {
        let mut last = self.cpu_s()?;
        for _ in 0..SETTLE_TRIES {
            tokio::time::sleep(SETTLE_STEP).await;
            let now = self.cpu_s()?;
            if now - last < SETTLED_CPU_S {
                return Ok(());
            }
            last = now;
        }
        Ok(())
    }
}

/// A validator process, started when it is wanted.
pub(crate) fn validator(folder: &Path, port: u16) -> Result<Service> {
    let program = std::env::current_exe()?.with_file_name("validator");
    let data = folder.join("validator").display().to_string();
    let arguments = ["--id", "v", "--port", &port.to_string(), "--data", &data];
    let arguments = arguments.map(str::to_owned).to_vec();
    let log = folder.join("validator.log");
    Ok(Service::new("validator", program, arguments, log, port))
}

/// A frame of [`MESSAGE_BYTES`] of text for `target`, whose last 16 characters of payload are `stamp`.
pub(crate) fn relay(kind: Kind, target: &str, stamp: u64) -> Result<Vec<u8>> {
    let (head, tail) = match kind {
        Kind::Ours | Kind::Bare => (
            format!(r#"{{"type":"relay","target":"{target}","frame":""#),
            r#""}"#,
        ),
        Kind::Matchbox => (
            format!(r#"{{"Signal":{{"receiver":"{target}","data":""#),
            r#""}}"#,
        ),
    };
    let fill = MESSAGE_BYTES - head.len() - tail.len() - STAMP_CHARS;
    frame(&format!("{head}{}{stamp:016x}{tail}", "A".repeat(fill)))
}

/// The stamp of a relayed message; none for other messages.
pub(crate) fn stamp(text: &str) -> Option<u64> {
    let payload = text.trim_end_matches(['}', '"']);
    let stamp = payload.get(payload.len().checked_sub(STAMP_CHARS)?..)?;
    (text.len() > MESSAGE_BYTES / 2)
        .then(|| u64::from_str_radix(stamp, 16).ok())
        .flatten()
}

/// Where a connection is asked for: the room is the path at the other server.
pub(crate) async fn open(server: &Server, room: &str, source: Ipv4Addr) -> Result<Wire> {
    let path = match server.kind {
        Kind::Ours | Kind::Bare => "/ws".to_owned(),
        Kind::Matchbox => format!("/{room}"),
    };
    Wire::connect(server.address, &path, source).await
}

/// Puts this process on the other core and lets it open files enough.
pub(crate) fn prepare_generator() -> Result<()> {
    let id = std::process::id().to_string();
    run(
        "prlimit",
        &["--pid", &id, &format!("--nofile={FILES}:{FILES}")],
    )?;
    run("taskset", &["-a", "-c", "-p", GENERATOR_CORE, &id])
}

/// Lets all others of its core go before this thread.
pub(crate) fn yield_to_others() -> Result<()> {
    let thread = std::fs::read_link("/proc/thread-self")?;
    let id = thread.file_name().context("a thread's id")?;
    let id = id.to_str().context("a number")?;
    run("chrt", &["--idle", "--pid", "0", id])
}

fn run(program: &str, arguments: &[&str]) -> Result<()> {
    let mut command = Command::new(program);
    let status = command.args(arguments).stdout(Stdio::null()).status();
    let status = status.with_context(|| format!("{program} is missing (util-linux)"))?;
    ensure!(status.success(), "{program}: {status}");
    Ok(())
}

/// The command on the server's core. Ours begins with few files and raises that by itself; the others are given them.
fn on_core(kind: Kind, program: PathBuf, arguments: Vec<String>) -> (PathBuf, Vec<String>) {
    let files = match kind {
        Kind::Ours => format!("--nofile={FILES_USUAL}:"),
        Kind::Matchbox | Kind::Bare => format!("--nofile={FILES}:{FILES}"),
    };
    let wrapper = [
        "RUST_LOG=error",
        "prlimit",
        &files,
        "taskset",
        "-c",
        SERVER_CORE,
    ];
    let mut whole: Vec<String> = wrapper.map(str::to_owned).to_vec();
    whole.push(program.display().to_string());
    whole.extend(arguments);
    ("env".into(), whole)
}

/// The length of a relayed message.
pub(crate) const MESSAGE_BYTES: usize = 2 * 1024;
const STAMP_CHARS: usize = 16;
const SERVER_CORE: &str = "0";
const GENERATOR_CORE: &str = "1";
/// Files that server and generator may open.
const FILES: usize = 20_000;
/// What many systems begin a process with.
const FILES_USUAL: usize = 1_024;
const SETTLE_STEP: Duration = Duration::from_millis(200);
const SETTLE_TRIES: usize = 100;
const SETTLED_CPU_S: f64 = 0.015;
