//! A long outage of the validator: what waited goes there in batches, and nobody's signalling waits for it.

use std::time::{Duration, Instant};

use api::Status;
use api::ws::{ClientMessage, ServerMessage};
use tempfile::tempdir;

use crate::client::Link;
use crate::process::{free_address, tracker, validator};
use crate::support::{Network, PATIENCE};

/// How long one relay takes.
async fn relay(from: &mut Link, to: &mut Link) -> Duration {
    let began = Instant::now();
    let relay = ClientMessage::Relay {
        target: to.peer.clone(),
        frame: "A".repeat(2_000),
    };
    from.send(&relay).await.unwrap();
    let relayed =
        |message: &ServerMessage| matches!(message, ServerMessage::Relay { .. }).then_some(());
    to.until(relayed).await.unwrap();
    began.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waited_out_an_outage_goes_in_batches_and_starves_nobody() {
    let data = tempdir().unwrap();
    let (address, validator_at) = (free_address(), free_address());
    let mut process = tracker(data.path(), address, Some(validator_at));
    assert!(process.serves(address).await, "{}", process.log());
    let mut networks = Vec::new();
    for seed in 1..=NETWORKS {
        let mut network = Network::new(&format!("shop{seed}"), seed);
        Link::create(address, &network).await.unwrap();
        let mut link = Link::join(address, &network).await.unwrap();
        for chunk in network.mine_many(BLOCKS, "waits").chunks(50) {
            link.report(&network, chunk).await.unwrap();
        }
        networks.push(network);
    }
    let room = &networks[0];
    let mut from = Link::join(address, room).await.unwrap();
    let mut to = Link::join(address, room).await.unwrap();
    let _validator = validator(data.path(), validator_at).await;
    let (mut worst, mut relays) = (Duration::ZERO, 0);
    let all = u64::from(NETWORKS) * u64::try_from(BLOCKS).unwrap();
    let began = Instant::now();
    loop {
        worst = worst.max(relay(&mut from, &mut to).await);
        relays += 1;
        let url = format!("http://{validator_at}/api/status");
        let status: Status = reqwest::get(url).await.unwrap().json().await.unwrap();
        if status.total_transactions == all {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "not drained: {status:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    println!(
        "{all} blocks in {:?}; the worst of {relays} relays took {worst:?}",
        began.elapsed()
    );
    assert!(relays > 3, "it was over before anything was measured");
    assert!(worst < WORST_MAX, "a relay took {worst:?}");
    let log = process.log();
    let answered = log
        .lines()
        .filter(|line| line.contains("an update was answered"))
        .count();
    // Each network asks once more whether the validator has its tip.
    let most = usize::from(NETWORKS) * (BLOCKS.div_ceil(50) + 3);
    assert!(answered <= most, "{answered} updates for {most}");
}

const NETWORKS: u8 = 10;
const BLOCKS: usize = 200;
/// Generous: a loaded machine may stop a process for long.
const WORST_MAX: Duration = Duration::from_secs(2);
