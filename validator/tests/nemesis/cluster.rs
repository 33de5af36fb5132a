//! Four real processes, each linked to the others through a relay of this test that can be cut.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};

use crate::check::Decided;

pub(crate) const COUNT: usize = 4;
/// Often, so that a short run has some.
pub(crate) const SNAPSHOT_EVERY: u64 = 16;
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_validator");

/// The validators and their network.
pub(crate) struct Cluster {
    home: PathBuf,
    _folder: Option<tempfile::TempDir>,
    children: Vec<Option<Child>>,
    ports: Vec<u16>,
    peer_ports: Vec<u16>,
    /// Set while a validator is cut off.
    cuts: Vec<Arc<AtomicBool>>,
    /// The relay that leads from one to another.
    relays: Vec<Vec<u16>>,
    client: reqwest::Client,
}

/// A port that nobody listens on, below those that systems give to outgoing connections: it stays free until it is used. Each
/// process begins elsewhere.
pub(crate) fn free_port() -> u16 {
    static TRIED: AtomicU32 = AtomicU32::new(0);
    loop {
        let tried = TRIED.fetch_add(1, Ordering::Relaxed);
        let place = (std::process::id().wrapping_mul(37) + tried) % 20_000;
        let port = u16::try_from(10_000 + place).unwrap();
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

impl Cluster {
    pub(crate) async fn start_all() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().to_owned();
        let status = Command::new(PROGRAM)
            .arg("--data")
            .arg(&home)
            .args(["init", "--validators", "4"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert!(status.success());
        let peer_ports: Vec<u16> = (0..COUNT).map(|_| free_port()).collect();
        let cuts: Vec<Arc<AtomicBool>> = (0..COUNT).map(|_| Arc::default()).collect();
        let mut relays = Vec::new();
        for from in 0..COUNT {
            let mut row = Vec::new();
            for to in 0..COUNT {
                let cuts = [Arc::clone(&cuts[from]), Arc::clone(&cuts[to])];
                row.push(relay(peer_ports[to], cuts).await);
            }
            relays.push(row);
        }
        let client = reqwest::Client::builder().timeout(Duration::from_secs(5));
        let mut cluster = Self {
            home,
            _folder: Some(folder),
            children: (0..COUNT).map(|_| None).collect(),
            ports: (0..COUNT).map(|_| free_port()).collect(),
            peer_ports,
            cuts,
            relays,
            client: client.build().unwrap(),
        };
        for index in 0..COUNT {
            cluster.start(index).await;
        }
        cluster.says(0, "healthy").await;
        cluster
    }

    pub(crate) fn urls(&self) -> Vec<String> {
        let urls = self
            .ports
            .iter()
            .map(|port| format!("http://127.0.0.1:{port}"));
        urls.collect()
    }

    fn name(index: usize) -> String {
        format!("validator{}", index + 1)
    }

    fn log(&self, index: usize) -> PathBuf {
        self.home.join(format!("{}.log", Self::name(index)))
    }

    pub(crate) async fn start(&mut self, index: usize) {
        self.run(index, Command::new(PROGRAM)).await;
    }

    /// Starts it with no file growing beyond so many MiB: to the program it is a full disk.
    pub(crate) async fn start_on_a_full_disk(&mut self, index: usize, mib: u32) {
        let mut shell = Command::new("sh");
        let blocks = mib * 2_048;
        let limited = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
        shell.args(["-c", &limited, PROGRAM]);
        self.run(index, shell).await;
    }

    async fn run(&mut self, index: usize, mut command: Command) {
        let name = Self::name(index);
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log(index))
            .unwrap();
        // The end of its log is its reason, not a stack.
        command.env("RUST_BACKTRACE", "0");
        command
            .args(["--id", &name, "--port", &self.ports[index].to_string()])
            .args([
                "--peer-bind",
                &format!("127.0.0.1:{}", self.peer_ports[index]),
            ])
            .args(["--snapshot-every", &SNAPSHOT_EVERY.to_string()])
            .arg("--data")
            .arg(self.home.join(&name));
        for other in (0..COUNT).filter(|other| *other != index) {
            let relay = self.relays[index][other];
            command.args([
                "--peers",
                &format!("{}=127.0.0.1:{relay}", Self::name(other)),
            ]);
        }
        let child = command.stdout(log.try_clone().unwrap()).stderr(log).spawn();
        self.children[index] = Some(child.unwrap());
        let url = format!("{}/health", self.urls()[index]);
        for _ in 0..600 {
            let ended = self.children[index].as_mut().unwrap().try_wait().unwrap();
            if let Some(status) = ended {
                panic!("{name} ended with {status}:\n{}", self.tail(index));
            }
            if self.client.get(&url).send().await.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{name} does not answer:\n{}", self.tail(index));
    }

    pub(crate) fn tail(&self, index: usize) -> String {
        let text = std::fs::read_to_string(self.log(index)).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(25)..].join("\n")
    }

    pub(crate) fn kill(&mut self, index: usize) {
        if let Some(mut child) = self.children[index].take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub(crate) fn signal(&self, index: usize, signal: &str) {
        if let Some(child) = &self.children[index] {
            let status = Command::new("kill")
                .args([format!("-{signal}"), child.id().to_string()])
                .status();
            assert!(status.unwrap().success());
        }
    }

    /// Cuts a validator off from all others: links break, and new ones are not made.
    pub(crate) fn cut(&self, index: usize, is_cut: bool) {
        self.cuts[index].store(is_cut, Ordering::Relaxed);
    }

    /// Leaves a stopped validator its key and the genesis file.
    pub(crate) fn wipe(&self, index: usize) {
        let name = Self::name(index);
        let keep = [
            format!("validator_{name}.key"),
            "enterprise_genesis.json".into(),
        ];
        for entry in std::fs::read_dir(self.home.join(&name)).unwrap() {
            let entry = entry.unwrap();
            if !keep.contains(&entry.file_name().to_string_lossy().into_owned()) {
                let path = entry.path();
                if path.is_dir() {
                    std::fs::remove_dir_all(path).unwrap();
                } else {
                    std::fs::remove_file(path).unwrap();
                }
            }
        }
    }

    pub(crate) async fn status(&self, index: usize) -> Value {
        let url = format!("{}/api/status", self.urls()[index]);
        match self.client.get(url).send().await {
            Ok(answer) => answer.json().await.unwrap_or_default(),
            Err(_) => Value::Null,
        }
    }

    /// What a validator answers: the status and the JSON.
    pub(crate) async fn get(&self, index: usize, path: &str) -> (u16, Value) {
        let url = format!("{}{path}", self.urls()[index]);
        let answer = self.client.get(url).send().await.unwrap();
        let status = answer.status().as_u16();
        (status, answer.json().await.unwrap_or_default())
    }

    /// Bytes that a validator answers.
    pub(crate) async fn bytes(&self, index: usize, path: &str) -> Vec<u8> {
        let url = format!("{}{path}", self.urls()[index]);
        let answer = self.client.get(url).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        answer.bytes().await.unwrap().to_vec()
    }

    /// Hands something in; the status and the JSON of the answer.
    pub(crate) async fn post(
        &self,
        index: usize,
        path: &str,
        body: &impl serde::Serialize,
    ) -> (u16, Value) {
        let url = format!("{}{path}", self.urls()[index]);
        let answer = self.client.post(url).json(body).send().await.unwrap();
        let status = answer.status().as_u16();
        (status, answer.json().await.unwrap_or_default())
    }

    pub(crate) async fn eventually(&self, what: &str, mut holds: impl AsyncFnMut() -> bool) {
        for _ in 0..1_200 {
            if holds().await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let mut statuses = Vec::new();
        for index in 0..COUNT {
            statuses.push(format!(
                "{}\n{}",
                self.status(index).await,
                self.tail(index)
            ));
        }
        panic!("not within a minute: {what}\n{}", statuses.join("\n"));
    }

    pub(crate) async fn says(&self, index: usize, health: &str) {
        self.eventually(health, async || {
            self.status(index).await["chain_health"] == health
        })
        .await;
    }

    pub(crate) async fn votes_again(&self, index: usize) {
        self.eventually("it votes again", async || {
            self.status(index).await["consensus"]["votes"] == true
        })
        .await;
    }

    /// All stand at about the same height.
    pub(crate) async fn in_step(&self) {
        self.eventually("all are in step", async || {
            let mut heights = Vec::new();
            for index in 0..COUNT {
                heights.push(self.status(index).await["height"].as_u64());
            }
            let known: Option<Vec<u64>> = heights.into_iter().collect();
            known.is_some_and(|known| {
                let (low, high) = (known.iter().min().unwrap(), known.iter().max().unwrap());
                high - low <= 3
            })
        })
        .await;
    }

    /// What each validator shows of the whole chain, once all show the same height: read again if a block was decided meanwhile, as
    /// one is when something becomes due to be final.
    pub(crate) async fn chains(&self) -> Vec<Vec<Decided>> {
        for _ in 0..20 {
            let (heights, chains): (Vec<usize>, _) = self.read_chains().await.into_iter().unzip();
            if heights.iter().all(|height| *height == heights[0]) {
                return chains;
            }
            println!("the chains end at {heights:?}: once more");
        }
        panic!("the validators do not come to rest");
    }

    /// Each validator's height and what it shows of the chain.
    async fn read_chains(&self) -> Vec<(usize, Vec<Decided>)> {
        self.eventually("all have one tip", async || {
            let mut tips = Vec::new();
            for index in 0..COUNT {
                tips.push(self.status(index).await["latest_hash"].to_string());
            }
            tips.iter().all(|tip| *tip == tips[0] && tip != "null")
        })
        .await;
        let mut chains = Vec::new();
        for (index, url) in self.urls().into_iter().enumerate() {
            let chain = self.chain(&url).await;
            let lowest = self.status(index).await["holds"]["lowest_height"].as_u64();
            let lowest = usize::try_from(lowest.unwrap()).unwrap();
            chains.push((lowest + chain.len() - 1, chain));
        }
        chains
    }

    pub(crate) async fn chain(&self, url: &str) -> Vec<Decided> {
        let mut chain = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = format!("{url}/api/blocks?limit=50{cursor}");
            let answer = self.client.get(page).send().await.unwrap();
            if answer.status() == 410 {
                // Below its snapshot.
                break;
            }
            let text = answer.text().await.unwrap();
            let blocks: Vec<Value> =
                serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}"));
            let Some(last) = blocks.last() else {
                break;
            };
            cursor = format!("&cursor={}", last["height"].as_u64().unwrap());
            for block in &blocks {
                chain.push(self.decided(url, block).await);
            }
        }
        chain.reverse();
        chain
    }

    async fn decided(&self, url: &str, block: &Value) -> Decided {
        let height = block["height"].as_u64().unwrap();
        let shown = self
            .client
            .get(format!("{url}/api/blocks/{height}"))
            .send()
            .await;
        let shown: Value = shown.unwrap().json().await.unwrap();
        let anchors = shown["transactions"].as_array().unwrap().iter();
        let anchors = anchors.map(|transaction| transaction["tx_id"].as_str().unwrap().to_owned());
        Decided {
            hash: block["hash"].as_str().unwrap().to_owned(),
            anchors: anchors.collect(),
        }
    }

    /// Ends all as an operator would, and verifies what each has on disk.
    pub(crate) async fn end_and_verify(&mut self) {
        for index in 0..COUNT {
            self.signal(index, "TERM");
            let mut child = self.children[index].take().unwrap();
            let ended = tokio::task::spawn_blocking(move || child.wait()).await;
            assert!(ended.unwrap().unwrap().success(), "{}", self.tail(index));
            let name = Self::name(index);
            let verified = Command::new(PROGRAM)
                .args(["--id", &name, "--data"])
                .arg(self.home.join(&name))
                .arg("verify")
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&verified.stderr).into_owned();
            assert!(verified.status.success(), "{said}");
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for index in 0..COUNT {
            self.kill(index);
        }
        if std::thread::panicking()
            && let Some(folder) = self._folder.take()
        {
            println!("logs are kept in {}", folder.keep().display());
        }
    }
}

/// A relay to a port, which breaks and refuses while one of its ends is cut off.
async fn relay(to: u16, cuts: [Arc<AtomicBool>; 2]) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let Ok((mut left, _)) = listener.accept().await else {
                return;
            };
            let cuts = cuts.clone();
            tokio::spawn(async move {
                let is_cut = || cuts.iter().any(|cut| cut.load(Ordering::Relaxed));
                if is_cut() {
                    return;
                }
                let Ok(mut right) = TcpStream::connect(("127.0.0.1", to)).await else {
                    return;
                };
                let broken = async {
                    while !is_cut() {
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                };
                tokio::select! {
                    _ = tokio::io::copy_bidirectional(&mut left, &mut right) => {}
                    () = broken => {}
                }
            });
        }
    });
    port
}
