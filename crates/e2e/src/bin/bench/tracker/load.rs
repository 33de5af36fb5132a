//! Relays, their latency, and connections, both servers in turns.

use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::rooms::{self, Join, Member};
use super::server::{Kind, Server, relay, stamp};
use super::wire::Wire;
use super::{Plan, compare};
use crate::figure;
use std::sync::Arc;

/// A connection and whom it sends to: the next of its room.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) wire: Wire,
    pub(super) target: String,
}

/// Puts each room in a circle.
pub(super) fn circle(rooms: Vec<Vec<Member>>) -> Vec<Seat> {
    let mut seats = Vec::new();
    for mut room in rooms {
        let mut targets: Vec<String> = room.iter().map(|member| member.id.clone()).collect();
        targets.rotate_left(1);
        seats.extend(room.drain(..).zip(targets).map(|(member, target)| Seat {
            wire: member.wire,
            target,
        }));
    }
    seats
}

/// A server with joined connections.
pub(super) struct Crowd {
    pub(super) server: Arc<Server>,
    seats: Vec<Seat>,
}

impl Crowd {
    pub(super) async fn gather(plan: &Plan, kind: Kind, count: usize) -> Result<Self> {
        let server = plan.start(kind).await?;
        let rooms = rooms::make(&server, count / rooms::ROOM).await?;
        let seats = circle(rooms::fill_all(&server, &rooms, Join::Proven).await?);
        server.settled().await?;
        Ok(Self { server, seats })
    }

    /// Runs `work` on every connection; what each found, and the server's processor time for it.
    async fn run<T: Send + 'static, F>(
        &mut self,
        work: impl Fn(usize, Seat) -> F,
    ) -> Result<(Vec<T>, f64)>
    where
        F: Future<Output = Result<(Seat, T)>> + Send + 'static,
    {
        let before = self.server.cpu_s()?;
        let mut tasks = JoinSet::new();
        for (index, seat) in self.seats.drain(..).enumerate() {
            tasks.spawn(work(index, seat));
        }
        let mut found = Vec::with_capacity(tasks.len());
        while let Some(done) = tasks.join_next().await {
            let (seat, value) = done??;
            self.seats.push(seat);
            found.push(value);
        }
        Ok((found, self.server.cpu_s()? - before))
    }
}

/// Messages go round in every room, one for each connection at a time.
pub(super) async fn relays(plan: &Plan) -> Result<()> {
    let mut crowds = [
        Crowd::gather(plan, Kind::Ours, RELAY_CONNECTIONS).await?,
        Crowd::gather(plan, Kind::Matchbox, RELAY_CONNECTIONS).await?,
    ];
    let mut sums = [(0.0, 0.0); 2];
    for round in 0..=ROUNDS {
        for (crowd, sum) in crowds.iter_mut().zip(&mut sums) {
            let kind = crowd.server.kind;
            let end = Instant::now() + RELAY_ROUND;
            let (counts, cpu) = crowd.run(|_, seat| pass_on(kind, seat, end)).await?;
            // The first round warms both up.
            if round > 0 {
                sum.0 += counts.iter().sum::<u32>() as f64;
                sum.1 += cpu;
            }
        }
    }
    let rates = sums.map(|(count, cpu)| count / cpu);
    compare(
        "relays_over_matchbox",
        "relays_per_cpu_s",
        rates,
        "relays/s",
    );
    Ok(())
}

/// Sends a message, then one for each that comes, until the end.
async fn pass_on(kind: Kind, mut seat: Seat, end: Instant) -> Result<(Seat, u32)> {
    let frame = relay(kind, &seat.target, 0)?;
    let mut over = std::pin::pin!(sleep_until(end + GRACE));
    let mut count = 0;
    seat.wire.send(&frame).await?;
    loop {
        tokio::select! {
            biased;
            text = seat.wire.next() => {
                if stamp(text?).is_none() {
                    continue;
                }
                count += 1;
                if Instant::now() < end {
                    seat.wire.send(&frame).await?;
                }
            }
            () = &mut over => return Ok((seat, count)),
        }
    }
}

/// Messages at a set rate, whether the ones before have come or not.
pub(super) async fn latency(plan: &Plan) -> Result<()> {
    let mut crowds = [
        Crowd::gather(plan, Kind::Ours, LATENCY_CONNECTIONS).await?,
        Crowd::gather(plan, Kind::Matchbox, LATENCY_CONNECTIONS).await?,
    ];
    let mut samples = [Vec::new(), Vec::new()];
    for round in 0..=ROUNDS {
        for (crowd, samples) in crowds.iter_mut().zip(&mut samples) {
            let found = pace_all(crowd).await?;
            if round > 0 {
                samples.extend(found);
            }
        }
    }
    for percent in [50, 99] {
        let mut values = [0.0; 2];
        for (value, samples) in values.iter_mut().zip(&mut samples) {
            *value = percentile(samples, percent);
        }
        let name = format!("relay_p{percent}_ms");
        compare(
            &format!("relay_p{percent}_over_matchbox"),
            &name,
            values,
            "ms",
        );
    }
    Ok(())
}

/// A round of [`LATENCY_ROUND`] on every connection; how long each message was under way, in ms.
pub(super) async fn pace_all(crowd: &mut Crowd) -> Result<Vec<f64>> {
    let (kind, start) = (crowd.server.kind, Instant::now());
    let pace = |index, seat| pace(kind, index, seat, start);
    let (found, _) = crowd.run(pace).await?;
    Ok(found.into_iter().flatten().collect())
}

pub(super) fn percentile(samples: &mut [f64], percent: usize) -> f64 {
    samples.sort_by(f64::total_cmp);
    let index = (samples.len() * percent).div_ceil(100).saturating_sub(1);
    samples.get(index).copied().unwrap_or(f64::NAN)
}

/// Sends one message each [`PAUSE`]; how long each that came was under way, in ms.
async fn pace(
    kind: Kind,
    index: usize,
    mut seat: Seat,
    start: Instant,
) -> Result<(Seat, Vec<f64>)> {
    let offset = PAUSE * u32::try_from(index)? / u32::try_from(LATENCY_CONNECTIONS)?;
    let end = start + LATENCY_ROUND;
    let mut due = start + offset;
    let mut sent = 0;
    let mut latencies = Vec::new();
    loop {
        tokio::select! {
            biased;
            text = seat.wire.next() => {
                if let Some(sent_at) = stamp(text?) {
                    let under_way = start.elapsed().saturating_sub(Duration::from_nanos(sent_at));
                    latencies.push(under_way.as_secs_f64() * 1_000.0);
                }
            }
            () = sleep_until(due), if due < end => {
                let now = u64::try_from(start.elapsed().as_nanos())?;
                seat.wire.send(&relay(kind, &seat.target, now)?).await?;
                sent += 1;
                due += PAUSE;
            }
            () = sleep_until(end + GRACE) => break,
        }
    }
    ensure!(
        latencies.len() == sent,
        "{} of {sent} came",
        latencies.len()
    );
    Ok((seat, latencies))
}

/// Connections are made and joined, a crowd at a time, and go away again.
///
/// The other server proves nobody's key, so joins without a proof are compared; those with one are shown beside,
/// and the floor: a server that only upgrades connections and says two texts.
pub(super) async fn connections(plan: &Plan) -> Result<()> {
    let mut subjects = Vec::new();
    for (kind, how) in [
        (Kind::Ours, Join::Bare),
        (Kind::Matchbox, Join::Bare),
        (Kind::Ours, Join::Proven),
        (Kind::Bare, Join::Bare),
    ] {
        let server = plan.start(kind).await?;
        let rooms = rooms::make(&server, JOINED / rooms::ROOM).await?;
        subjects.push((server, rooms, how));
    }
    let mut sums = [(0.0, 0.0); 4];
    for round in 0..=ROUNDS {
        for ((server, rooms, how), sum) in subjects.iter().zip(&mut sums) {
            server.settled().await?;
            let before = server.cpu_s()?;
            let members = rooms::fill_all(server, rooms, *how).await?;
            server.settled().await?;
            let cpu = server.cpu_s()? - before;
            if round > 0 {
                sum.0 += members.iter().map(Vec::len).sum::<usize>() as f64;
                sum.1 += cpu;
            }
        }
    }
    let [joined, theirs, proven, floor] = sums.map(|(count, cpu)| count / cpu);
    let name = "connections_per_cpu_s";
    compare(
        "connections_over_matchbox",
        name,
        [joined, theirs],
        "connections/s",
    );
    figure("connections_proven_per_cpu_s", proven, "connections/s");
    figure("connections_proven_over_matchbox", proven / theirs, "ratio");
    figure("connections_bare_per_cpu_s", floor, "connections/s");
    figure("connections_bare_over_matchbox", floor / theirs, "ratio");
    figure("connections_over_bare", joined / floor, "ratio");
    Ok(())
}

const ROUNDS: usize = 4;
/// Twenty messages a second from each are forty thousand: more than a core relays.
const RELAY_CONNECTIONS: usize = 2_000;
const RELAY_ROUND: Duration = Duration::from_millis(2_500);
/// How long what is under way at the end may take.
const GRACE: Duration = Duration::from_millis(500);
/// Two thousand messages a second together.
pub(super) const LATENCY_CONNECTIONS: usize = 500;
const PAUSE: Duration = Duration::from_millis(250);
pub(super) const LATENCY_ROUND: Duration = Duration::from_secs(5);
/// Connections of one round.
const JOINED: usize = 2_000;
