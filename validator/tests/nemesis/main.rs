//! Four real validator processes under write load, while a seeded nemesis kills, stops, cuts off and wipes them, one at a
//! time and now and then all; a checker reads the history afterwards.
//!
//! `DISTLI_NEMESIS_SECONDS` and `DISTLI_NEMESIS_SEED` make the run longer or another one.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test says what failed by panicking, and what it did by printing"
)]

mod check;
mod cluster;
mod load;
mod private;
mod sets;
#[path = "../it/tenant.rs"]
#[expect(dead_code, reason = "the integration tests use what these do not")]
mod tenant;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cluster::Cluster;
use load::{History, Load};

/// Xorshift, so that a seed is a schedule.
struct Draw(u64);

impl Draw {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Action {
    Kill,
    Stop,
    CutOff,
    Wipe,
    KillAll,
}

const ACTIONS: [Action; 7] = [
    Action::Kill,
    Action::Kill,
    Action::Stop,
    Action::CutOff,
    Action::CutOff,
    Action::Wipe,
    Action::KillAll,
];

fn number(name: &str, otherwise: u64) -> u64 {
    let text = std::env::var(name).ok();
    text.map_or(otherwise, |text| text.parse().unwrap())
}

async fn pause(milliseconds: u64) {
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
}

/// Does one thing to one validator (or all), and makes it good again.
async fn strike(cluster: &mut Cluster, action: Action, victim: usize, draw: &mut Draw) {
    match action {
        Action::Kill => {
            cluster.kill(victim);
            pause(draw.below(2_500)).await;
            cluster.start(victim).await;
        }
        Action::Stop => {
            cluster.signal(victim, "STOP");
            pause(1_000 + draw.below(3_000)).await;
            cluster.signal(victim, "CONT");
        }
        Action::CutOff => {
            cluster.cut(victim, true);
            pause(1_000 + draw.below(3_000)).await;
            cluster.cut(victim, false);
        }
        Action::Wipe => {
            // The first one keeps all blocks, so that the checker finds every one.
            let victim = victim.max(1);
            cluster.kill(victim);
            cluster.wipe(victim);
            cluster.start(victim).await;
            // It abstains until a block is younger than its start; no other may fail before that.
            cluster.votes_again(victim).await;
        }
        Action::KillAll => {
            for index in 0..cluster::COUNT {
                cluster.kill(index);
            }
            for index in 0..cluster::COUNT {
                cluster.start(index).await;
            }
        }
    }
}

/// The chains once what was kept is decided, or after half a minute: rounds have grown while too few were alive.
async fn settled(cluster: &Cluster, history: &History) -> Vec<Vec<check::Decided>> {
    for _ in 0..30 {
        let chains = cluster.chains().await;
        if check::complete(&chains[0], &history.acknowledged()).is_ok() {
            return chains;
        }
        pause(1_000).await;
    }
    cluster.chains().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_and_nothing_forks_whatever_the_nemesis_does() {
    let (seconds, seed) = (
        number("DISTLI_NEMESIS_SECONDS", 45),
        number("DISTLI_NEMESIS_SEED", 7),
    );
    let mut draw = Draw(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut cluster = Cluster::start_all().await;
    let history = Arc::new(History::default());
    let load = Load::start(cluster.urls(), Arc::clone(&history));
    let clock = service::SteadyClock::default();
    let mut done: BTreeMap<Action, u32> = BTreeMap::new();
    while clock.elapsed_ms() < seconds * 1_000 {
        pause(500 + draw.below(2_000)).await;
        let action = ACTIONS[usize::try_from(draw.below(7)).unwrap()];
        let victim = usize::try_from(draw.below(4)).unwrap();
        strike(&mut cluster, action, victim, &mut draw).await;
        *done.entry(action).or_default() += 1;
        // Whoever was away catches up before the next one fails.
        cluster.in_step().await;
    }
    load.stop().await;
    cluster.in_step().await;
    let chains = settled(&cluster, &history).await;
    let acknowledged = history.acknowledged();
    println!(
        "seed {seed}: {done:?}; {} transactions acknowledged, {} sends not, height {}",
        acknowledged.len(),
        history.refused(),
        chains[0].len()
    );
    assert!(
        !done.is_empty() && acknowledged.len() > 50,
        "hardly anything happened"
    );
    check::same(&chains).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    check::complete(&chains[0], &acknowledged)
        .unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    cluster.end_and_verify().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_dead_changes_nothing_and_two_dead_stop_decisions_but_lose_nothing() {
    let mut cluster = Cluster::start_all().await;
    let history = Arc::new(History::default());
    let mut writer = load::Writer::new(1);
    let urls = cluster.urls();
    assert!(writer.send(&urls[0], &history).await, "four are alive");
    cluster.kill(3);
    for _ in 0..5 {
        assert!(writer.send(&urls[0], &history).await, "three decide");
    }
    cluster.kill(2);
    cluster.says(0, "no_quorum").await;
    let height = cluster.status(0).await["height"].clone();
    // Two are more than f: they promise to keep it, and cannot decide it.
    let before = history.acknowledged();
    assert!(
        writer.send(&urls[0], &history).await,
        "two are more than f, and keep it"
    );
    let promised = &history.acknowledged() - &before;
    assert!(!promised.is_empty(), "nothing new was promised");
    pause(1_500).await;
    assert_eq!(
        cluster.status(0).await["height"],
        height,
        "two decide nothing"
    );
    cluster.start(2).await;
    cluster.says(0, "healthy").await;
    // Nobody hands it in again.
    cluster
        .eventually("what two promised is decided", async || {
            check::complete(&cluster.chain(&urls[0]).await, &promised).is_ok()
        })
        .await;
    assert!(writer.send(&urls[1], &history).await, "three decide again");
    cluster.start(3).await;
    cluster.in_step().await;
    let chains = settled(&cluster, &history).await;
    check::same(&chains).unwrap();
    check::complete(&chains[0], &history.acknowledged()).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_of_one_stops_that_one_alone_and_loses_nothing() {
    // The vote log takes its 8 MiB when it is made, so that the store fails above, and a new log below.
    for (mib, messages, fails) in [
        (9, 40, "I/O error"),
        (6, 1, "the vote log cannot be written"),
    ] {
        let mut cluster = Cluster::start_all().await;
        let history = Arc::new(History::default());
        let (mut writer, urls) = (load::Writer::new(1), cluster.urls());
        assert!(writer.send(&urls[0], &history).await, "four are alive");
        cluster.in_step().await;
        cluster.kill(3);
        if mib < 8 {
            cluster.wipe(3);
        }
        cluster.start_on_a_full_disk(3, mib).await;
        let long = "long ".repeat(800);
        for sent in 0.. {
            assert!(sent < 1_000, "its disk never was full");
            let block = vec![long.as_str(); messages];
            assert!(
                writer.send_with(&block, &urls[0], &history).await,
                "three take all"
            );
            if cluster.get(3, "/health").await.0 == 503 {
                break;
            }
        }
        assert_eq!(cluster.status(3).await["validator_status"], "read_only");
        let log = cluster.tail(3);
        assert!(log.contains(fails), "{log}");
        assert!(log.contains("free space"), "{log}");
        assert!(!writer.send(&urls[3], &history).await, "it took an update");
        for _ in 0..20 {
            assert!(writer.send(&urls[1], &history).await, "three decide");
        }
        cluster.kill(3);
        cluster.start(3).await;
        cluster.in_step().await;
        assert!(writer.send(&urls[3], &history).await, "it takes updates");
        let chains = settled(&cluster, &history).await;
        check::same(&chains).unwrap();
        check::complete(&chains[0], &history.acknowledged()).unwrap();
        cluster.end_and_verify().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wiped_validator_comes_back_by_a_snapshot() {
    let mut cluster = Cluster::start_all().await;
    let history = Arc::new(History::default());
    let (mut writer, urls) = (load::Writer::new(1), cluster.urls());
    while cluster.status(0).await["holds"]["snapshot_height"].as_u64() < Some(32) {
        assert!(writer.send(&urls[0], &history).await, "four are alive");
    }
    assert_eq!(cluster.status(3).await["holds"]["began_with"], "genesis");
    cluster.kill(3);
    cluster.wipe(3);
    cluster.start(3).await;
    cluster.in_step().await;
    let holds = cluster.status(3).await["holds"].clone();
    assert_eq!(holds["began_with"], "snapshot", "{holds}");
    let lowest = holds["lowest_height"].as_u64().unwrap();
    assert!(
        lowest > 32 && lowest % cluster::SNAPSHOT_EVERY == 1,
        "{holds}"
    );
    // What it never had it says plainly, and proofs reach below it.
    let (status, problem) = cluster.get(3, "/api/blocks/1").await;
    assert_eq!(status, 410, "{problem}");
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains(&lowest.to_string())
    );
    assert_eq!(cluster.get(0, "/api/blocks/1").await.0, 200);
    let log = cluster.get(0, "/api/log?limit=100").await;
    assert_eq!(cluster.get(3, "/api/log?limit=100").await, log);
    // It takes part again, and a restart begins with the same snapshot.
    while cluster.status(3).await["consensus"]["votes"] != true {
        writer.send(&urls[0], &history).await;
    }
    assert!(writer.send(&urls[3], &history).await, "it takes updates");
    cluster.kill(3);
    cluster.start(3).await;
    cluster.in_step().await;
    assert_eq!(cluster.status(3).await["holds"]["lowest_height"], lowest);
    let chains = settled(&cluster, &history).await;
    check::same(&chains).unwrap();
    check::complete(&chains[0], &history.acknowledged()).unwrap();
    cluster.end_and_verify().await;
}
