//! Relays while strangers do harm, beside relays in peace: the same crowd on the same server, in turns.
//!
//! The harm: [`EACH`] connections of each kind of [`Attempt`], made again as soon as the server ends them, and a room of members who
//! send and never read. Their thread yields to the honest generator, with which it shares a core (`SCHED_IDLE`).

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpSocket;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::Plan;
use super::load::{self, Crowd, LATENCY_CONNECTIONS};
use super::rooms::{self, Join, ROOM, Room};
use super::server::{self, Kind, Server, relay};
use super::wire::{PING, Wire, binary, frame};
use crate::figure;

/// The figures of the honest, and the server's memory.
pub(super) async fn abuse(plan: &Plan) -> Result<()> {
    let mut crowd = Crowd::gather(plan, Kind::Ours, LATENCY_CONNECTIONS).await?;
    let server = Arc::clone(&crowd.server);
    let rooms = rooms::make(&server, LATENCY_CONNECTIONS / ROOM + 1).await?;
    let room: Arc<[Room]> = rooms.last().cloned().into_iter().collect();
    let mut rounds = [Vec::new(), Vec::new()];
    let mut memory = [0_f64; 2];
    for round in 0..=ROUNDS {
        let mut quiet = load::pace_all(&mut crowd).await.context("in peace")?;
        memory[0] = memory[0].max(server.memory_kib()?);
        let harm = Harm::start(&server, &room)?;
        let harmed = load::pace_all(&mut crowd).await;
        let mut harmed = harmed.context("while others do harm")?;
        memory[1] = memory[1].max(server.memory_kib()?);
        harm.stop().context("those that do harm")?;
        server.settled().await?;
        if round > 0 {
            rounds[0].push(load::percentile(&mut quiet, 99));
            rounds[1].push(load::percentile(&mut harmed, 99));
        }
    }
    // A round in which the machine's neighbours were loud decides nothing.
    let [quiet, harmed] = rounds.map(|mut p99| load::percentile(&mut p99, 50));
    figure("quiet_relay_p99_ms", quiet, "ms");
    figure("abuse_relay_p99_ms", harmed, "ms");
    figure("abuse_p99_over_quiet", harmed / quiet, "ratio");
    let [quiet, harmed] = memory;
    figure("abuse_more_memory_mib", (harmed - quiet) / 1_024.0, "MiB");
    Ok(())
}

/// Those that do harm, on a thread of their own.
struct Harm {
    stop: oneshot::Sender<()>,
    thread: std::thread::JoinHandle<Result<()>>,
}

impl Harm {
    fn start(server: &Arc<Server>, room: &Arc<[Room]>) -> Result<Self> {
        let (stop, stopped) = oneshot::channel();
        let (server, room) = (Arc::clone(server), Arc::clone(room));
        let thread = std::thread::Builder::new().name("harm".into());
        let thread = thread.spawn(move || {
            server::yield_to_others()?;
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = runtime.enable_all().build()?;
            runtime.block_on(async {
                let mut all = JoinSet::new();
                let kinds = Attempt::all()?.into_iter();
                let many = kinds.flat_map(|kind| std::iter::repeat_n(kind, EACH as usize));
                for (number, attempt) in (0..).zip(many) {
                    all.spawn(again_and_again(Arc::clone(&server), number, attempt));
                }
                tokio::select! {
                    _ = stopped => Ok(()),
                    failed = read_nothing(server, room) => failed,
                }
            })
        })?;
        Ok(Self { stop, thread })
    }

    fn stop(self) -> Result<()> {
        let _ended = self.stop.send(());
        let result = self.thread.join();
        result.ok().context("the harm ended by itself")?
    }
}

/// What is sent on a new connection.
#[derive(Clone)]
enum Attempt {
    /// These bytes, and then nothing for as long as the server lets it be.
    Stall(&'static [u8]),
    /// A member's connection, on which these frames are sent until the server hangs up.
    Shout(Arc<[u8]>),
    /// A member's connection, and away.
    Leave,
}

impl Attempt {
    fn all() -> Result<Vec<Self>> {
        let shout = |frame: Vec<u8>| Self::Shout(frame.into());
        let deep = format!(r#"{{"type":"relay","frame":{}"#, "[".repeat(60_000));
        Ok(vec![
            Self::Stall(b""),
            Self::Stall(b"GET /ws HTTP/1.1\r\nhost: x\r\nupgr"),
            Self::Stall(b"POST /api/blockchain-update HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{"),
            shout(frame(&deep)?),
            shout(frame(&"x".repeat(100_000))?),
            shout(binary(&[0xa5; 4_096])?),
            shout(PING.repeat(PINGS)),
            shout(frame(r#"{"type":"join_network","network_id":"room0"}"#)?),
            Self::Leave,
        ])
    }

    async fn run(self, server: &Server, source: Ipv4Addr) -> Result<()> {
        match self {
            Self::Stall(bytes) => {
                let socket = TcpSocket::new_v4()?;
                socket.bind((source, 0).into())?;
                let mut stream = socket.connect(server.address).await?;
                stream.write_all(bytes).await?;
                stream.readable().await?;
            }
            Self::Shout(frame) => {
                let mut wire = Wire::connect(server.address, "/ws", source).await?;
                while wire.send(&frame).await.is_ok() {
                    sleep(EVERY).await;
                }
            }
            Self::Leave => drop(Wire::connect(server.address, "/ws", source).await?),
        }
        Ok(())
    }
}

/// Begins anew when the server has ended it.
async fn again_and_again(server: Arc<Server>, number: u32, attempt: Attempt) {
    let source = Ipv4Addr::from_bits(STRANGERS.to_bits().saturating_add(number));
    // Not all at the same time.
    sleep(EVERY * (number * 7 % EACH) / EACH).await;
    loop {
        // Refused or cut off is what should happen to it.
        let _ended = attempt.clone().run(&server, source).await;
        sleep(EVERY).await;
    }
}

/// A room of members, each of which sends the next all it may, and reads nothing.
async fn read_nothing(server: Arc<Server>, room: Arc<[Room]>) -> Result<()> {
    let mut seats = load::circle(rooms::fill_all(&server, &room, Join::Proven).await?);
    let started = Instant::now();
    while started.elapsed() < load::LATENCY_ROUND {
        for seat in &mut seats {
            let relayed = relay(Kind::Ours, &seat.target, 0)?;
            // A member that was thrown out leaves the others to it.
            let _sent = tokio::time::timeout(EVERY, seat.wire.send(&relayed)).await;
        }
    }
    std::future::pending().await
}

/// Rounds of each; a percentile of 99 of one hangs on a few moments of the machine.
const ROUNDS: usize = 9;
/// Connections of a kind, each from an address of its own.
const EACH: u32 = 50;
/// Pings that come together.
const PINGS: usize = 500;
/// The pause of a connection between two frames, and before it is made again.
const EVERY: Duration = Duration::from_millis(50);
/// They come from beyond those of the honest.
const STRANGERS: Ipv4Addr = Ipv4Addr::new(127, 32, 0, 1);
