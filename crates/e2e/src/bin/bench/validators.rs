//! `bench validators`: real validator processes of one machine, under real updates over HTTP.
//!
//! An update is a new valid header with a body of one transaction; [`TENANTS`] tenants send theirs one after the other,
//! each tenant to a validator of its own. An update counts when its answer says that it is decided: the answer names the
//! block that anchors it, and until then the client waits. Beside it stands the same load on one plain redb writer with fsync.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use api::{BlockchainUpdate, Status, TenantBlock, TenantUpdateAccepted};
use e2e::{Service, free_port};
use service::KnownKeys;
use shared::enterprise::FinalityProof;
use shared::genesis::Genesis;
use shared::hash::Hash;
use shared::identity::{self, Identity, Verify as _};
use shared::ids::ChainId;
use tempfile::TempDir;

use crate::connection::{Connection, post_of};
use crate::tenant::{self, Mined};
use crate::{TICKS_PER_S, figure, ticks};

/// Tenants that send at once.
const TENANTS: usize = 100;
/// How long each load lasts, in seconds.
const SECONDS: u64 = 8;
/// Heights from one snapshot to the next: a run is short.
const SNAPSHOT_EVERY: u64 = 64;

/// Measures sets of one, four and seven.
pub(crate) async fn run(sizes: &[usize], rate: u64) -> Result<()> {
    let limit = redb_limit()?;
    signatures()?;
    for count in sizes {
        set_of(*count, rate, limit).await?;
    }
    Ok(())
}

async fn set_of(count: usize, rate: u64, limit: f64) -> Result<()> {
    let blocks = usize::try_from(1_500 * SECONDS)? * 3 / TENANTS + 200;
    let mut set = Set::start(count).await?;
    let tenants: Vec<Arc<Tenant>> = tenants(blocks)?;
    // Registers the tenants.
    for tenant in &tenants {
        post(&mut set.connection(tenant.home), tenant, 0).await?;
        tenant.sent.store(1, Ordering::Relaxed);
    }
    let before = set.processor_s()?;
    let paced = paced(&set, &tenants, rate).await?;
    figure(&format!("updates_per_s_n{count}"), paced.rate, "updates/s");
    set.cost(count, "", before, paced.latencies.len() as f64)?;
    crate::percentiles(&format!("finality_n{count}"), paced.latencies)?;
    let before = set.processor_s()?;
    let healthy = flat_out(&set, &tenants, None).await?;
    figure(
        &format!("updates_per_s_flat_out_n{count}"),
        healthy,
        "updates/s",
    );
    figure(
        &format!("updates_per_s_flat_out_n{count}_over_redb"),
        healthy / limit,
        "ratio",
    );
    set.cost(count, "_flat_out", before, healthy * SECONDS as f64)?;
    figure(
        &format!("memory_validator_n{count}_mib"),
        set.memory_mib(0)?,
        "MiB",
    );
    let height = set.status(0).await?.height;
    let bytes = set.disk_bytes(0)? as f64;
    let updates: u64 = tenants
        .iter()
        .map(|tenant| tenant.sent.load(Ordering::Relaxed))
        .sum();
    figure(
        &format!("disk_bytes_per_update_n{count}"),
        bytes / updates as f64,
        "bytes",
    );
    figure(
        &format!("updates_per_block_n{count}"),
        updates as f64 / height as f64,
        "updates",
    );
    if count == 4 {
        proof_bytes(&set, &tenants).await?;
        one_dead(&mut set, &tenants, healthy).await?;
    }
    Ok(())
}

/// One of four is killed: the rate after it, and how fast it catches up.
async fn one_dead(set: &mut Set, tenants: &[Arc<Tenant>], healthy: f64) -> Result<()> {
    set.kill(3);
    // Its absence has to be in a block first.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let rate = flat_out(set, tenants, Some(3)).await?;
    figure("updates_per_s_one_dead", rate, "updates/s");
    figure("one_dead_rate_ratio", rate / healthy, "ratio");
    let target = set.status(0).await?.height;
    let began = Instant::now();
    set.restart(3).await?;
    let at = set.status(3).await?.height;
    let deadline = began + Duration::from_secs(120);
    while set.status(3).await?.height < target {
        ensure!(Instant::now() < deadline, "it does not catch up");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let caught_up = target.saturating_sub(at) as f64;
    let seconds = began.elapsed().as_secs_f64();
    figure("catch_up_blocks_per_s", caught_up / seconds, "blocks/s");
    figure("catch_up_s", seconds, "s");
    newcomer(set, target).await
}

/// The same one with a wiped disk: how long until it is at the tip by a snapshot, and what that is in blocks.
async fn newcomer(set: &mut Set, target: u64) -> Result<()> {
    set.kill(3);
    set.wipe(3)?;
    let began = Instant::now();
    set.restart(3).await?;
    let deadline = began + Duration::from_secs(120);
    while set.status(3).await?.height < target {
        ensure!(Instant::now() < deadline, "the newcomer is not at the tip");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let seconds = began.elapsed().as_secs_f64();
    let holds = set.status(3).await?.holds.context("what it holds")?;
    ensure!(holds.began_with == "snapshot", "the newcomer replayed");
    figure("newcomer_by_snapshot_s", seconds, "s");
    let rate = target as f64 / seconds;
    figure("newcomer_by_snapshot_blocks_per_s", rate, "blocks/s");
    Ok(())
}

/// What a browser loads to prove its newest final block.
async fn proof_bytes(set: &Set, tenants: &[Arc<Tenant>]) -> Result<()> {
    let chain = tenants.first().context("a tenant")?.genesis.chain_id();
    let url = format!("{}/api/tenants/{chain}/finality", set.url(0));
    let answer = set.client.get(url).send().await?.error_for_status()?;
    figure(
        "proof_of_finality_bytes",
        answer.bytes().await?.len() as f64,
        "bytes",
    );
    Ok(())
}

/// A proof of finality by four validators, as a browser that knows nothing yet loads it, and the tenant it is for.
pub(crate) async fn proof_of_four() -> Result<(ChainId, Vec<u8>)> {
    const BLOCKS: usize = 5;
    let set = Set::start(4).await?;
    let tenant = tenant(0, BLOCKS)?;
    for index in 0..BLOCKS {
        post(&mut set.connection(index), &tenant, index).await?;
    }
    let chain = tenant.genesis.chain_id();
    let url = format!("{}/api/tenants/{chain}/finality", set.url(0));
    let newest = shared::ids::Height(u32::try_from(BLOCKS)?);
    for _ in 0..120 {
        let answer = set.client.get(&url).send().await?;
        if answer.status().is_success() {
            let bytes = answer.bytes().await?.to_vec();
            if FinalityProof::decode(&bytes)?.receipt.header.height == newest {
                return Ok((chain, bytes));
            }
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    anyhow::bail!("no block is final after a minute")
}

struct Paced {
    rate: f64,
    latencies: Vec<f64>,
}

/// Sends at a rate, whether answers come or not, each tenant's updates one after the other.
async fn paced(set: &Set, tenants: &[Arc<Tenant>], rate: u64) -> Result<Paced> {
    let pause = Duration::from_nanos(1_000_000_000 * TENANTS as u64 / rate);
    let began = Instant::now();
    let end = began + Duration::from_secs(SECONDS);
    let mut tasks = Vec::new();
    for (index, tenant) in tenants.iter().enumerate() {
        let (tenant, mut connection) = (Arc::clone(tenant), set.connection(tenant.home));
        let offset = pause * u32::try_from(index)? / u32::try_from(TENANTS)?;
        tasks.push(tokio::spawn(async move {
            let mut latencies = Vec::new();
            let mut due = began + offset;
            while due < end {
                tokio::time::sleep_until(due.into()).await;
                let next = tenant.sent.load(Ordering::Relaxed);
                post(&mut connection, &tenant, usize::try_from(next)?).await?;
                tenant.sent.fetch_add(1, Ordering::Relaxed);
                // From when it was due: a late start is the validators' fault.
                latencies.push(due.elapsed().as_secs_f64() * 1_000.0);
                due += pause;
            }
            Ok::<_, anyhow::Error>(latencies)
        }));
    }
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await??);
    }
    let rate = latencies.len() as f64 / began.elapsed().as_secs_f64();
    Ok(Paced { rate, latencies })
}

/// Each tenant sends its next update as soon as the last one is decided.
async fn flat_out(set: &Set, tenants: &[Arc<Tenant>], dead: Option<usize>) -> Result<f64> {
    let began = Instant::now();
    let end = began + Duration::from_secs(SECONDS);
    let done = Arc::new(AtomicU64::new(0));
    let mut tasks = Vec::new();
    for tenant in tenants {
        let home = match dead {
            Some(dead) if tenant.home % set.ports.len() == dead => 0,
            Some(_) | None => tenant.home,
        };
        let (tenant, mut connection) = (Arc::clone(tenant), set.connection(home));
        let done = Arc::clone(&done);
        tasks.push(tokio::spawn(async move {
            while Instant::now() < end {
                let next = usize::try_from(tenant.sent.load(Ordering::Relaxed))?;
                if next >= tenant.updates.len() {
                    break;
                }
                post(&mut connection, &tenant, next).await?;
                tenant.sent.fetch_add(1, Ordering::Relaxed);
                done.fetch_add(1, Ordering::Relaxed);
            }
            Ok::<_, anyhow::Error>(())
        }));
    }
    for task in tasks {
        task.await??;
    }
    Ok(done.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64())
}

/// Sends an update until it is decided.
async fn post(connection: &mut Connection, tenant: &Tenant, index: usize) -> Result<()> {
    let update = tenant.updates.get(index).context("no update is left")?;
    for _ in 0..100 {
        let answer = connection.ask(&update.request).await?;
        if answer.status == 200 {
            let accepted: TenantUpdateAccepted = serde_json::from_slice(&answer.body)?;
            if accepted.tenant_height >= update.height {
                return Ok(());
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    anyhow::bail!("an update is not decided")
}

/// The limit: as many writers as there are tenants, each waiting until its update is durable, and one thread that commits
/// those that wait together; nothing is checked, agreed or served. Answers the updates a second.
fn redb_limit() -> Result<f64> {
    let folder = TempDir::new()?;
    let database = redb::Database::create(folder.path().join("limit.redb"))?;
    let (sender, waiting) = mpsc::channel::<mpsc::Sender<()>>();
    let began = Instant::now();
    let end = began + Duration::from_secs(3);
    let updates = std::thread::scope(|scope| {
        for _ in 0..TENANTS {
            let sender = sender.clone();
            scope.spawn(move || {
                while Instant::now() < end {
                    let (durable, answer) = mpsc::channel();
                    if sender.send(durable).is_err() || answer.recv().is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        commit_groups(&database, waiting)
    })?;
    let rate = updates as f64 / began.elapsed().as_secs_f64();
    figure("redb_updates_per_s", rate, "updates/s");
    Ok(rate)
}

/// Commits a row for each update that waits, until nobody sends any more; answers how many.
fn commit_groups(
    database: &redb::Database,
    waiting: mpsc::Receiver<mpsc::Sender<()>>,
) -> Result<u64> {
    const TABLE: redb::TableDefinition<'_, u64, &[u8]> = redb::TableDefinition::new("updates");
    let update = [7_u8; 600];
    let mut key = 0_u64;
    while let Ok(first) = waiting.recv() {
        let group: Vec<_> = std::iter::once(first).chain(waiting.try_iter()).collect();
        let mut transaction = database.begin_write()?;
        transaction.set_two_phase_commit(true);
        {
            let mut table = transaction.open_table(TABLE)?;
            for _ in &group {
                table.insert(key, update.as_slice())?;
                key += 1;
            }
        }
        transaction.commit()?;
        for durable in group {
            // A writer waits for each of its answers.
            let _ = durable.send(());
        }
    }
    Ok(key)
}

/// Signatures of as many keys as there are tenants, in turn: by what is known of them, and by the library alone.
fn signatures() -> Result<()> {
    const ROUNDS: u8 = 40;
    let signers: Vec<_> = (0..u8::try_from(TENANTS)?)
        .map(|seed| Identity::from_seed([seed; 32]))
        .collect();
    let (mut library_s, mut known_s) = (0.0, 0.0);
    for round in 0..ROUNDS {
        for signer in &signers {
            let (key, message) = (signer.public_key(), [round; 200]);
            let signature = signer.sign("distli/bench/1", CHAIN, &message);
            let began = Instant::now();
            identity::verify("distli/bench/1", CHAIN, &key, &message, &signature)?;
            let library = began.elapsed();
            KnownKeys.verify("distli/bench/1", CHAIN, &key, &message, &signature)?;
            // Each key is known by then.
            if round >= ROUNDS / 2 {
                library_s += library.as_secs_f64();
                known_s += (began.elapsed() - library).as_secs_f64();
            }
        }
    }
    let count = f64::from(ROUNDS / 2) * TENANTS as f64;
    figure("signature_of_known_key_us", known_s * 1e6 / count, "us");
    figure("signature_known_over_library", known_s / library_s, "ratio");
    Ok(())
}

const CHAIN: ChainId = ChainId(Hash([7; 32]));

/// Validators of one network, each a process.
struct Set {
    folder: TempDir,
    services: Vec<Service>,
    ports: Vec<u16>,
    client: reqwest::Client,
}

impl Set {
    async fn start(count: usize) -> Result<Self> {
        let folder = TempDir::new()?;
        let binary = std::env::current_exe()?.with_file_name("validator");
        let data = folder.path().join("data");
        let first = peer_ports(count)?;
        if count > 1 {
            let status = std::process::Command::new(&binary)
                .arg("--data")
                .arg(&data)
                .args(["init", "--validators", &count.to_string()])
                .args(["--first-peer-port", &first.to_string()])
                .stdout(std::process::Stdio::null())
                .stderr(std::process::Stdio::null())
                .status()?;
            ensure!(status.success(), "validator init: {status}");
        }
        let (mut services, mut ports) = (Vec::new(), Vec::new());
        for number in 1..=count {
            let (name, port) = (format!("validator{number}"), free_port()?);
            let home = data.join(&name).display().to_string();
            let every = SNAPSHOT_EVERY.to_string();
            let arguments = [
                "--id",
                &name,
                "--port",
                &port.to_string(),
                "--data",
                &home,
                "--snapshot-every",
                &every,
            ];
            let arguments = arguments.map(str::to_owned).to_vec();
            let log = folder.path().join(format!("{name}.log"));
            services.push(Service::new(&name, binary.clone(), arguments, log, port));
            ports.push(port);
        }
        let client = reqwest::Client::builder().tcp_nodelay(true).build()?;
        let mut set = Self {
            folder,
            services,
            ports,
            client,
        };
        for service in &mut set.services {
            service.start().await?;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok(set)
    }

    fn port(&self, index: usize) -> u16 {
        let port = self.ports.get(index % self.ports.len());
        port.copied().unwrap_or(0)
    }

    fn url(&self, index: usize) -> String {
        format!("http://127.0.0.1:{}", self.port(index))
    }

    fn connection(&self, index: usize) -> Connection {
        Connection::new(self.port(index))
    }

    /// Processor time of all validators and of the load, in seconds.
    fn processor_s(&self) -> Result<(f64, f64)> {
        let mut validators = 0;
        for id in self.services.iter().filter_map(Service::id) {
            validators += ticks(id)?;
        }
        let load = ticks(std::process::id())?;
        let seconds = |ticks: u32| f64::from(ticks) / f64::from(TICKS_PER_S);
        Ok((seconds(validators), seconds(load)))
    }

    async fn status(&self, index: usize) -> Result<Status> {
        let url = format!("{}/api/status", self.url(index));
        Ok(self.client.get(url).send().await?.json().await?)
    }

    /// Prints what an update has cost since `before`.
    fn cost(&self, count: usize, load: &str, before: (f64, f64), updates: f64) -> Result<()> {
        let after = self.processor_s()?;
        let parts = [
            ("validators", after.0 - before.0),
            ("load", after.1 - before.1),
        ];
        for (part, seconds) in parts {
            let name = format!("processor_us_per_update_{part}{load}_n{count}");
            figure(&name, seconds * 1e6 / updates, "us");
        }
        Ok(())
    }

    fn kill(&mut self, index: usize) {
        if let Some(service) = self.services.get_mut(index) {
            service.kill();
        }
    }

    async fn restart(&mut self, index: usize) -> Result<()> {
        let service = self.services.get_mut(index).context("no such validator")?;
        service.start().await
    }

    /// Leaves a validator that was killed its key and the genesis file.
    fn wipe(&self, index: usize) -> Result<()> {
        let name = format!("validator{}", index + 1);
        let home = self.folder.path().join("data").join(&name);
        for suffix in ["redb", "head", "votes"] {
            std::fs::remove_file(home.join(format!("enterprise_{name}.{suffix}")))?;
        }
        Ok(())
    }

    fn memory_mib(&self, index: usize) -> Result<f64> {
        let id = self
            .services
            .get(index)
            .and_then(Service::id)
            .context("not running")?;
        let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let kib: f64 = line
            .and_then(|line| line.split_whitespace().nth(1))
            .context("no VmRSS")?
            .parse()?;
        Ok(kib / 1024.0)
    }

    fn disk_bytes(&self, index: usize) -> Result<u64> {
        let name = format!("validator{}", index + 1);
        let home = self.folder.path().join("data").join(&name);
        let path = home.join(format!("enterprise_{name}.redb"));
        Ok(std::fs::metadata(path)?.len())
    }
}

/// The first of so many ports in a row that nobody listens on.
fn peer_ports(count: usize) -> Result<u16> {
    let count = u16::try_from(count)?;
    for first in (20_000..60_000_u16).step_by(97) {
        let is_free = |offset| std::net::TcpListener::bind(("127.0.0.1", first + offset)).is_ok();
        if (0..count).all(is_free) {
            return Ok(first);
        }
    }
    anyhow::bail!("no ports")
}

struct Update {
    height: u32,
    request: Vec<u8>,
}

struct Tenant {
    genesis: Genesis,
    home: usize,
    updates: Vec<Update>,
    sent: AtomicU64,
}

fn tenants(blocks: usize) -> Result<Vec<Arc<Tenant>>> {
    (0..TENANTS)
        .map(|index| tenant(index, blocks).map(Arc::new))
        .collect()
}

fn tenant(index: usize, blocks: usize) -> Result<Tenant> {
    let Mined { genesis, blocks } = tenant::mine(index, blocks)?;
    let chain_id = genesis.chain_id();
    let hex = hex::encode(genesis.encode());
    let mut updates = Vec::with_capacity(blocks.len());
    for block in &blocks {
        let height = block.header().height.0;
        let update = BlockchainUpdate {
            network_id: genesis.network_id.to_string(),
            chain_id: Some(chain_id.to_string()),
            genesis: (height == 1).then(|| hex.clone()),
            peer_id: "bench".into(),
            new_blocks: vec![TenantBlock::from(block)],
            new_reports: Vec::new(),
            timestamp: block.header().timestamp.0,
        };
        updates.push(Update {
            height,
            request: post_of("/api/tenant-update", &serde_json::to_string(&update)?),
        });
    }
    Ok(Tenant {
        genesis,
        home: index,
        updates,
        sent: AtomicU64::new(0),
    })
}
