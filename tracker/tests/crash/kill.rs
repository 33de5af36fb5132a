//! Kills at random times while updates flow, also while the tracker starts.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use api::{Status, Tenants, TrackerIntegration};
use serde::Deserialize;
use tempfile::tempdir;

use crate::client::{Gone, Link};
use crate::process::{free_address, tracker, validator};
use crate::support::{Network, PATIENCE};
use crate::{Draw, number};

/// What the reporters share.
#[derive(Default)]
struct Shared {
    is_over: AtomicBool,
    acknowledged: AtomicU64,
}

/// Reports one block after the other, each until it is acknowledged, whatever happens to the tracker.
async fn report(address: SocketAddr, mut network: Network, shared: Arc<Shared>) -> Network {
    let mut link = None;
    while Link::create(address, &network).await.is_err() {
        pause().await;
    }
    let mut height = 0;
    while !shared.is_over.load(Ordering::Relaxed) {
        let block = network.mine("kept");
        loop {
            match once(address, &network, &mut link, &block, height).await {
                Ok(()) => break,
                Err(Gone) => {
                    link = None;
                    pause().await;
                }
            }
        }
        height = block.header().height.0;
        shared.acknowledged.fetch_add(1, Ordering::Relaxed);
    }
    network
}

async fn once(
    address: SocketAddr,
    network: &Network,
    link: &mut Option<Link>,
    block: &shared::block::Block,
    acknowledged: u32,
) -> Result<(), Gone> {
    let link = match link {
        Some(link) => link,
        None => {
            let joined = Link::join(address, network).await?;
            let (height, label) = (joined.height, network.label());
            assert!(
                height >= acknowledged,
                "{label} is at {height}, acknowledged were {acknowledged}"
            );
            link.insert(joined)
        }
    };
    link.report(network, std::slice::from_ref(block)).await
}

async fn pause() {
    tokio::time::sleep(Duration::from_millis(5)).await;
}

/// The derived file is whole whenever it is there.
fn check_derived(data: &Path) {
    if let Ok(bytes) = std::fs::read(data.join("data/tracker_integration.json")) {
        let read = serde_json::from_slice::<TrackerIntegration>(&bytes);
        assert!(
            read.is_ok(),
            "a torn file: {}",
            String::from_utf8_lossy(&bytes)
        );
    }
}

/// A page of a tenant's blocks, as the validator tells it.
#[derive(Deserialize)]
struct Page {
    blocks: Vec<Listed>,
    next_cursor: Option<String>,
}

#[derive(Deserialize)]
struct Listed {
    block_id: u32,
    block_hash: String,
}

/// The validator has every acknowledged block, once, at its height.
async fn check_validator(base: &str, networks: &[Network]) {
    let heights: u64 = networks
        .iter()
        .map(|network| u64::from(network.chain.tip().height.0))
        .sum();
    let began = Instant::now();
    loop {
        let status: Status = get(&format!("{base}/api/status")).await;
        if status.total_transactions >= heights {
            assert_eq!(status.total_transactions, heights, "an update was doubled");
            break;
        }
        let waiting = heights - status.total_transactions;
        assert!(
            began.elapsed() < PATIENCE,
            "{waiting} acknowledged updates are lost"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let tenants: Tenants = get(&format!("{base}/api/tenants?limit=100")).await;
    assert_eq!(tenants.total_tenants, networks.len());
    for network in networks {
        let chain_id = network.chain_id();
        let (mut cursor, mut height) = (String::new(), 0);
        loop {
            let url = format!("{base}/api/tenants/{chain_id}/blocks?limit=100{cursor}");
            let page: Page = get(&url).await;
            for block in page.blocks {
                height += 1;
                assert_eq!(block.block_id, height);
                let hash = network.chain.hash_at(shared::ids::Height(height)).unwrap();
                assert_eq!(block.block_hash, hash.to_string());
            }
            match page.next_cursor {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(height, network.chain.tip().height.0, "{}", network.label());
    }
}

async fn get<T: serde::de::DeserializeOwned>(url: &str) -> T {
    reqwest::get(url).await.unwrap().json().await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_acknowledged_update_is_lost_or_doubled_whenever_the_tracker_is_killed() {
    let kills = number("DISTLI_CRASH_KILLS", 8);
    let mut draw = Draw(number("DISTLI_CRASH_SEED", 20) | 1);
    let data = tempdir().unwrap();
    let (address, validator_at) = (free_address(), free_address());
    let _validator = validator(data.path(), validator_at).await;
    let shared = Arc::new(Shared::default());
    let mut reporters = Vec::new();
    for seed in 1..=NETWORKS {
        let network = Network::new(&format!("shop{seed}"), seed);
        reporters.push(tokio::spawn(report(address, network, Arc::clone(&shared))));
    }
    for kill in 1..=kills {
        let mut process = tracker(data.path(), address, Some(validator_at));
        // One in four dies while it starts.
        let longest = if kill % 4 == 0 { 60 } else { 1_500 };
        tokio::time::sleep(Duration::from_millis(draw.below(longest))).await;
        process.kill();
        check_derived(data.path());
        let log = process.log();
        assert!(!log.contains("ERROR") && !log.contains("panicked"), "{log}");
        for reporter in &reporters {
            assert!(!reporter.is_finished(), "a reporter found something lost");
        }
    }
    let mut process = tracker(data.path(), address, Some(validator_at));
    assert!(process.serves(address).await, "{}", process.log());
    tokio::time::sleep(Duration::from_millis(300)).await;
    shared.is_over.store(true, Ordering::Relaxed);
    let mut networks = Vec::new();
    for reporter in reporters {
        networks.push(reporter.await.unwrap());
    }
    let acknowledged = shared.acknowledged.load(Ordering::Relaxed);
    println!("{acknowledged} updates were acknowledged through {kills} kills");
    assert!(acknowledged > kills * 2, "too few to say anything");
    check_validator(&format!("http://{validator_at}"), &networks).await;
}

const NETWORKS: u8 = 6;
