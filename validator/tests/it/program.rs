//! The real program: killed in the middle of writes, and on a full disk.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use api::{Status, TenantUpdateAccepted};

use crate::server::{hour_ago, problem};
use crate::tenant::TestTenant;

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_validator");

/// A running validator program; killed when dropped.
pub(crate) struct Program {
    child: Child,
    pub(crate) base: String,
}

impl Program {
    /// Starts the program on a free port and waits until it serves; the address is in its log.
    pub(crate) fn start(directory: &Path) -> Self {
        Self::run(Command::new(PROGRAM), directory)
    }

    /// As [`Self::start`], with no file growing beyond 2 MiB: to the program it is a full disk.
    pub(crate) fn start_on_a_full_disk(directory: &Path) -> Self {
        let mut shell = Command::new("sh");
        shell.args([
            "-c",
            "trap '' XFSZ; ulimit -f 4096; exec \"$0\" \"$@\"",
            PROGRAM,
        ]);
        Self::run(shell, directory)
    }

    fn run(mut command: Command, directory: &Path) -> Self {
        let mut child = command
            .args(["--id", "v", "--port", "0", "--log-json", "--data"])
            .arg(directory)
            .env("RUST_LOG", "info")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        let mut lines = log.lines();
        let address = loop {
            let line = lines.next().expect("the program ended").unwrap();
            let line: serde_json::Value = serde_json::from_str(&line).unwrap();
            if let Some(address) = line["fields"]["address"].as_str() {
                break address.to_owned();
            }
        };
        // The log must be read on, or the program would wait for room in the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Self {
            child,
            base: format!("http://{address}"),
        }
    }

    pub(crate) fn kill(&mut self) {
        // SIGKILL: no handler runs, nothing is flushed by the program.
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Program {
    /// Asks it to end and waits until it has.
    pub(crate) fn terminate(&mut self) {
        let id = self.child.id().to_string();
        Command::new("kill").arg(id).status().unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Already ended is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_when_the_program_is_killed_in_the_middle_of_writes() {
    const TENANTS: u8 = 4;
    const KILLS: u32 = 3;
    let directory = tempfile::tempdir().unwrap();
    let tenants: Vec<_> = (1..=TENANTS)
        .map(|seed| {
            Arc::new(Mutex::new(TestTenant::new(
                &format!("shop{seed}"),
                seed,
                hour_ago(),
            )))
        })
        .collect();
    let mut acknowledged = vec![0; usize::from(TENANTS)];
    for _ in 0..KILLS {
        let mut program = Program::start(directory.path());
        let total = Arc::new(AtomicU32::new(0));
        let writers: Vec<_> = tenants
            .iter()
            .map(|tenant| {
                tokio::spawn(write(
                    Arc::clone(tenant),
                    program.base.clone(),
                    Arc::clone(&total),
                ))
            })
            .collect();
        while total.load(Ordering::Acquire) < 40 {
            tokio::task::yield_now().await;
        }
        program.kill();
        for (writer, highest) in writers.into_iter().zip(&mut acknowledged) {
            *highest = (*highest).max(writer.await.unwrap());
        }
        let program = Program::start(directory.path());
        for (tenant, highest) in tenants.iter().zip(&acknowledged) {
            let (asked, blocks) = {
                let tenant = tenant.lock().unwrap();
                (tenant.update(&[]), tenant.chain_id())
            };
            let tip: TenantUpdateAccepted = post(&program.base, &asked).await.unwrap();
            assert!(
                tip.tenant_height >= *highest,
                "{blocks}: {} of {highest}",
                tip.tenant_height
            );
        }
        let status: Status = reqwest::get(format!("{}/api/status", program.base))
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        assert_eq!(status.validator_status, "active");
    }
}

#[tokio::test]
async fn a_full_disk_stops_writes_with_the_reason_and_loses_nothing_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let mut program = Program::start_on_a_full_disk(directory.path());
    let mut tenant = TestTenant::new("shop", 1, hour_ago());
    let long = "long ".repeat(800);
    let mut blocks = Vec::new();
    let (refused, last) = loop {
        let block = tenant.mine(&[long.as_str(); 20]);
        let url = format!("{}/api/tenant-update", program.base);
        let update = tenant.update(std::slice::from_ref(&block));
        let response = reqwest::Client::new()
            .post(url)
            .json(&update)
            .send()
            .await
            .unwrap();
        if response.status().as_u16() == 200 {
            blocks.push(block);
            continue;
        }
        break (problem(response).await, update);
    };
    assert_eq!(
        (refused.status, refused.kind.as_str()),
        (503, "/problems/store-failed")
    );
    assert!(refused.detail.contains("free space"), "{}", refused.detail);
    assert!(!blocks.is_empty());
    let acknowledged = u32::try_from(blocks.len()).unwrap();
    let base = program.base.clone();
    let get = |path: &str| reqwest::get(format!("{base}{path}"));
    assert_eq!(get("/health").await.unwrap().status().as_u16(), 503);
    let ready = problem(get("/ready").await.unwrap()).await;
    assert_eq!(
        (ready.status, ready.kind.as_str()),
        (503, "/problems/not-ready")
    );
    let measures = get("/metrics").await.unwrap().text().await.unwrap();
    assert!(measures.contains("distli_writes_failed 1"), "{measures}");
    let status: Status = get("/api/status").await.unwrap().json().await.unwrap();
    assert_eq!(
        (status.height, status.validator_status.as_str()),
        (acknowledged.into(), "read_only")
    );
    program.kill();
    // What the refused commit left behind is no damage, and with room again every acknowledged block is there.
    verify(directory.path());
    let program = Program::start(directory.path());
    for block in &blocks {
        let height = block.header().height;
        let path = format!("/api/tenants/shop/blocks?from={height}&limit=1");
        let page = reqwest::get(format!("{}{path}", program.base));
        let page: serde_json::Value = page.await.unwrap().json().await.unwrap();
        let shown: api::TenantBlock = serde_json::from_value(page["blocks"][0].clone()).unwrap();
        assert_eq!(shown, api::TenantBlock::from(block));
    }
    let accepted = post(&program.base, &last).await.unwrap();
    assert_eq!(accepted.tenant_height, acknowledged + 1);
}

/// Runs `validator verify` over a directory that no validator uses.
pub(crate) fn verify(directory: &Path) {
    let mut command = Command::new(PROGRAM);
    command.args(["--id", "v", "--data"]).arg(directory);
    assert!(command.arg("verify").status().unwrap().success());
}

/// Mines and sends block after block until the program is gone; answers the highest acknowledged height.
async fn write(tenant: Arc<Mutex<TestTenant>>, base: String, total: Arc<AtomicU32>) -> u32 {
    let mut highest = 0;
    let mut unsent = Vec::new();
    loop {
        let update = {
            let mut tenant = tenant.lock().unwrap();
            if unsent.is_empty() {
                unsent = tenant.missed();
            }
            unsent.push(tenant.mine(&["a message"]));
            tenant.update(&unsent)
        };
        let Some(accepted) = post(&base, &update).await else {
            tenant.lock().unwrap().keep(unsent);
            return highest;
        };
        unsent.clear();
        highest = accepted.tenant_height;
        total.fetch_add(1, Ordering::AcqRel);
    }
}

pub(crate) async fn post(
    base: &str,
    update: &api::BlockchainUpdate,
) -> Option<TenantUpdateAccepted> {
    let url = format!("{base}/api/tenant-update");
    let response = reqwest::Client::new()
        .post(url)
        .json(update)
        .send()
        .await
        .ok()?;
    let (status, text) = (response.status(), response.text().await.ok()?);
    assert_eq!(status.as_u16(), 200, "{text}");
    serde_json::from_str(&text).ok()
}
