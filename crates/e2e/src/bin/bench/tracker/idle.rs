//! What connections cost that do nothing: memory, and the bytes of their joins.

use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::load::{Seat, circle};
use super::rooms::Join;
use super::server::{Kind, relay, stamp};
use super::{Plan, rooms};
use crate::figure;

/// Ten thousand connections join, stay for a while, and then each gets a message of another: that counts as held.
pub(super) async fn idle(plan: &Plan) -> Result<()> {
    let server = plan.start(Kind::Ours).await?;
    let rooms = rooms::make(&server, HELD / rooms::ROOM).await?;
    server.settled().await?;
    let before = server.memory_kib()?;
    let (members, failures) = rooms::fill(&server, &rooms, Join::Proven).await?;
    for failure in failures.iter().take(3) {
        eprintln!("a connection was not joined: {failure:#}");
    }
    let (seats, _) = listen(circle(members), HOLD).await?;
    let ours = (server.memory_kib()? - before) / seats.len() as f64;
    figure("kib_per_connection", ours, "KiB");
    figure(
        "held_connections",
        reached(seats).await? as f64,
        "connections",
    );

    let server = plan.start(Kind::Matchbox).await?;
    let rooms = rooms::make(&server, THEIRS / rooms::ROOM).await?;
    let before = server.memory_kib()?;
    let members = rooms::fill_all(&server, &rooms, Join::Proven).await?;
    server.settled().await?;
    let theirs = (server.memory_kib()? - before) / THEIRS as f64;
    drop(members);
    figure("kib_per_connection_matchbox", theirs, "KiB");
    figure("kib_per_connection_over_matchbox", ours / theirs, "ratio");
    Ok(())
}

/// What a thousand joins send, to those who join and to those who are there.
pub(super) async fn join_bytes(plan: &Plan) -> Result<()> {
    let server = plan.start(Kind::Ours).await?;
    let rooms = rooms::make(&server, 1_000 / rooms::ROOM).await?;
    let members = rooms::fill_all(&server, &rooms, Join::Proven).await?;
    let (seats, _) = listen(circle(members), QUIET).await?;
    ensure!(seats.len() == 1_000, "{} joined", seats.len());
    let bytes: u64 = seats.iter().map(|seat| seat.wire.received()).sum();
    figure("join_1000_bytes", bytes as f64, "bytes");
    Ok(())
}

/// Reads and answers pings for a while; the connections that live, and how many died.
async fn listen(seats: Vec<Seat>, time: Duration) -> Result<(Vec<Seat>, usize)> {
    let end = Instant::now() + time;
    let mut tasks = JoinSet::new();
    let all = seats.len();
    for mut seat in seats {
        tasks.spawn(async move {
            loop {
                tokio::select! {
                    text = seat.wire.next() => { text?; }
                    () = sleep_until(end) => return Ok::<_, anyhow::Error>(seat),
                }
            }
        });
    }
    let mut alive = Vec::with_capacity(all);
    while let Some(done) = tasks.join_next().await {
        match done? {
            Ok(seat) => alive.push(seat),
            Err(error) => eprintln!("a connection ended: {error:#}"),
        }
    }
    let dead = all - alive.len();
    Ok((alive, dead))
}

/// How many get the message that another sends them.
async fn reached(seats: Vec<Seat>) -> Result<usize> {
    let mut tasks = JoinSet::new();
    for mut seat in seats {
        let frame = relay(Kind::Ours, &seat.target, 1)?;
        tasks.spawn(async move {
            seat.wire.send(&frame).await?;
            while stamp(seat.wire.next().await?).is_none() {}
            Ok::<_, anyhow::Error>(seat)
        });
    }
    let mut held = Vec::new();
    let end = Instant::now() + PATIENCE;
    while let Ok(Some(done)) = timeout(end - Instant::now(), tasks.join_next()).await {
        match done? {
            Ok(seat) => held.push(seat),
            Err(error) => eprintln!("a message did not come: {error:#}"),
        }
    }
    Ok(held.len())
}

const HELD: usize = 10_000;
/// Longer than two pings.
const HOLD: Duration = Duration::from_secs(60);
const THEIRS: usize = 2_000;
const QUIET: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(60);
