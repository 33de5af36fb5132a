//! What a read of the validator costs its processor, beside a bare axum route that returns the same bytes.
//!
//! Both are real processes on loopback, asked by the same client over kept connections, in turns, so that both see the
//! same machine. Counted is the servers' own processor time (`/proc`), not the clock: the client shares the cores.

use crate::{TICKS_PER_S, figure, ticks};
use anyhow::{Context as _, Result, ensure};
use axum::Router;
use axum::http::header;
use axum::routing::get;
use e2e::{Service, chain, free_port};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const NETWORK: &str = "reads";
const BLOCKS: u32 = 40;
const CONNECTIONS: usize = 16;
const ROUNDS: usize = 6;
const ROUND: Duration = Duration::from_millis(1_500);

pub(crate) async fn run() -> Result<()> {
    let place = tempfile::tempdir()?;
    let port = free_port()?;
    let program = std::env::current_exe()?.with_file_name("validator");
    let arguments = ["--id", "v", "--port", &port.to_string(), "--data"];
    let mut arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
    arguments.push(place.path().join("data").display().to_string());
    let log = place.path().join("log");
    let mut validator = Service::new("validator", program, arguments, log, port);
    validator.start().await?;
    let id = validator.id().context("the validator runs")?;
    let base = format!("http://127.0.0.1:{port}");
    report(&base).await?;
    let path = format!("/api/tenants/{NETWORK}");
    let body = reqwest::get(format!("{base}{path}")).await?.bytes().await?;

    let bare = Bare::start(&body)?;
    let same = reqwest::get(format!("http://{}{path}", bare.address)).await?;
    ensure!(
        same.bytes().await? == body,
        "the bare route answers otherwise"
    );
    let ours = SocketAddr::from(([127, 0, 0, 1], port));
    let (mut reads, mut bares) = (Served::default(), Served::default());
    for round in 0..=ROUNDS {
        let read = load(ours, &path, id).await?;
        let other = load(bare.address, &path, bare.child.id()).await?;
        // The first round warms both up.
        if round > 0 {
            reads.add(read);
            bares.add(other);
        }
    }
    let (ours, bare) = (reads.per_core(), bares.per_core());
    figure("reads_per_core", ours, "requests/s");
    figure("reads_bare_axum_per_core", bare, "requests/s");
    figure("reads_over_bare_axum", ours / bare, "ratio");
    Ok(())
}

/// Reports a tenant's chain to the validator.
async fn report(base: &str) -> Result<()> {
    let update = chain::mine(NETWORK, BLOCKS)?.update()?;
    let client = reqwest::Client::new();
    let request = client.post(format!("{base}/api/tenant-update"));
    let response = request.json(&update).send().await?;
    let (status, text) = (response.status(), response.text().await?);
    ensure!(status.is_success(), "{status} {text}");
    Ok(())
}

/// Requests answered, and the server's processor time for them.
#[derive(Clone, Copy, Debug, Default)]
struct Served {
    requests: u32,
    ticks: u32,
}

impl Served {
    fn add(&mut self, other: Self) {
        self.requests += other.requests;
        self.ticks += other.ticks;
    }

    fn per_core(self) -> f64 {
        f64::from(self.requests) * f64::from(TICKS_PER_S) / f64::from(self.ticks.max(1))
    }
}

/// Asks for a path as fast as it is answered, for one round.
async fn load(address: SocketAddr, path: &str, process: u32) -> Result<Served> {
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n");
    let before = ticks(process)?;
    let end = Instant::now() + ROUND;
    let clients: Vec<_> = (0..CONNECTIONS)
        .map(|_| tokio::spawn(ask(address, request.clone(), end)))
        .collect();
    let mut requests = 0;
    for client in clients {
        requests += client.await??;
    }
    let ticks = ticks(process)?.saturating_sub(before);
    Ok(Served { requests, ticks })
}

/// One connection's requests; every answer has the length of the first.
async fn ask(address: SocketAddr, request: String, end: Instant) -> Result<u32> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = vec![0; length_of_first(&mut stream).await?];
    let mut count = 1;
    while Instant::now() < end {
        stream.write_all(request.as_bytes()).await?;
        stream.read_exact(&mut answer).await?;
        ensure!(answer.starts_with(b"HTTP/1.1 200 "), "an answer is no 200");
        count += 1;
    }
    Ok(count)
}

async fn length_of_first(stream: &mut TcpStream) -> Result<usize> {
    let mut seen = Vec::new();
    loop {
        ensure!(stream.read_buf(&mut seen).await? > 0, "the server hung up");
        let text = String::from_utf8_lossy(&seen);
        let Some((head, _)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let mut lines = head.lines();
        let length = lines.find_map(|line| line.strip_prefix("content-length: "));
        let whole = head.len() + 4 + length.context("no content-length")?.parse::<usize>()?;
        let rest = whole.saturating_sub(seen.len());
        stream.read_exact(&mut vec![0; rest]).await?;
        return Ok(whole);
    }
}

/// The bare server in a process of its own; ended when dropped.
struct Bare {
    child: Child,
    address: SocketAddr,
}

impl Bare {
    fn start(body: &[u8]) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("bare")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut input = child.stdin.take().context("no input")?;
        input.write_all(body)?;
        drop(input);
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("no output")?).read_line(&mut line)?;
        let address = line.trim().parse()?;
        Ok(Self { child, address })
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        // Already ended is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The bare server: one axum route that returns the bytes of its standard input; says where it listens.
pub(crate) async fn bare() -> Result<()> {
    let mut body = Vec::new();
    std::io::stdin().read_to_end(&mut body)?;
    let body = axum::body::Bytes::from(body);
    let answer =
        move || std::future::ready(([(header::CONTENT_TYPE, "application/json")], body.clone()));
    let router: Router = Router::new().route("/api/tenants/{id}", get(answer));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    println!("{}", listener.local_addr()?);
    Ok(axum::serve(listener, router).await?)
}
