//! Tracker and validator as processes that end with the values that started them.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use tokio::net::TcpListener;

use crate::support::PATIENCE;

const PROGRAM: &str = env!("CARGO_BIN_EXE_tracker");
const VALIDATOR: &str = "DISTLI_CRASH_VALIDATOR";

pub(crate) fn free_address() -> SocketAddr {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap()
}

/// A process, killed when dropped.
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    fn spawn(command: &mut Command, log: &Path) -> Self {
        let file = File::options().create(true).append(true).open(log).unwrap();
        let command = command.stdout(file.try_clone().unwrap()).stderr(file);
        Self {
            child: command.spawn().unwrap(),
            log: log.to_owned(),
        }
    }

    /// SIGKILL, at once.
    pub(crate) fn kill(&mut self) {
        // It may have ended by itself; then this says nothing new.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Sends a signal, like `-HUP`.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let status = Command::new("kill").args([name, &id]).status().unwrap();
        assert!(status.success());
    }

    /// Waits until it ends by itself.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("it does not end:\n{}", self.log());
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Its soft limit of open files.
    pub(crate) fn open_files(&self) -> String {
        let limits = format!("/proc/{}/limits", self.child.id());
        let limits = std::fs::read_to_string(limits).unwrap();
        let line = limits
            .lines()
            .find(|line| line.starts_with("Max open files"));
        line.unwrap().split_whitespace().nth(3).unwrap().to_owned()
    }

    /// The most memory that it ever had, in bytes.
    pub(crate) fn memory_peak(&self) -> usize {
        let status = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(status).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.unwrap().trim().trim_end_matches(" kB");
        kib.parse::<usize>().unwrap() * 1_024
    }

    /// How many files and sockets it has open.
    pub(crate) fn open_now(&self) -> usize {
        let open = format!("/proc/{}/fd", self.child.id());
        std::fs::read_dir(open).unwrap().count()
    }

    /// Whether it serves; false once it has ended by itself.
    pub(crate) async fn serves(&mut self, address: SocketAddr) -> bool {
        let deadline = Instant::now() + PATIENCE;
        let health = format!("http://{address}/health");
        while Instant::now() < deadline {
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            if reqwest::get(&health).await.is_ok() {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("it neither serves nor ends:\n{}", self.log());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Starts a tracker; it may not serve yet.
pub(crate) fn tracker(data: &Path, address: SocketAddr, validator: Option<SocketAddr>) -> Process {
    let validator = validator.map(|validator| format!("http://{validator}"));
    let more = validator
        .iter()
        .flat_map(|url| ["--enterprise-bc-url", url]);
    let more: Vec<&str> = more.chain(["--drain-seconds", "0"]).collect();
    tracker_with(data, address, &more)
}

/// The same with these flags.
pub(crate) fn tracker_with(data: &Path, address: SocketAddr, more: &[&str]) -> Process {
    spawn(Command::new(PROGRAM), data, address, more)
}

/// The same by a shell that does this first.
pub(crate) fn tracker_after(
    first: &str,
    data: &Path,
    address: SocketAddr,
    more: &[&str],
) -> Process {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("{first}; exec \"$0\" \"$@\""), PROGRAM]);
    spawn(shell, data, address, more)
}

fn spawn(mut command: Command, data: &Path, address: SocketAddr, more: &[&str]) -> Process {
    command
        .args(["--port", &address.port().to_string(), "--data"])
        .arg(data.join("data"))
        .args(["--ops-bind", "off"])
        .args(more)
        .arg("--www")
        .arg(data)
        .env("RUST_LOG", "tracker=info,service=info");
    Process::spawn(&mut command, &data.join("tracker.log"))
}

/// Starts a validator: this very program, which is asked for [`validator_process`] alone.
pub(crate) async fn validator(data: &Path, address: SocketAddr) -> Process {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--ignored", "--exact", "process::validator_process"])
        .env(VALIDATOR, format!("{address} {}", data.display()));
    let mut process = Process::spawn(&mut command, &data.join("validator.log"));
    assert!(process.serves(address).await, "{}", process.log());
    process
}

#[test]
#[ignore = "the validator of the other tests, as a process of its own"]
fn validator_process() {
    let told = std::env::var(VALIDATOR).expect("only the other tests run this");
    let (address, data) = told.split_once(' ').unwrap();
    let config = ::validator::Config::new("v1", Path::new(data).join("validator")).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind(address).await.unwrap();
        let ended = ::validator::run(listener, config, std::future::pending()).await;
        panic!("the validator ended: {ended:?}");
    });
}
