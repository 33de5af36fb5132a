//! Damaged files: the tracker says which and what to do, or has everything; it never begins empty in silence.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use tempfile::{TempDir, tempdir};

use crate::client::Link;
use crate::process::{Process, free_address, tracker};
use crate::support::Network;

const STORE: &str = "data/tracker.redb";
const DERIVED: &str = "data/tracker_integration.json";

/// A directory in which a tracker made blocks durable and was killed, and what it acknowledged.
struct Left {
    data: TempDir,
    address: SocketAddr,
    networks: Vec<Network>,
    store: Vec<u8>,
    derived: Vec<u8>,
}

/// What a start over damaged files came to.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Whole,
    Refused,
}

impl Left {
    async fn behind() -> Self {
        let (data, address) = (tempdir().unwrap(), free_address());
        let mut process = tracker(data.path(), address, None);
        assert!(process.serves(address).await, "{}", process.log());
        let mut networks = Vec::new();
        for seed in 1..=3 {
            let mut network = Network::new(&format!("shop{seed}"), seed);
            Link::create(address, &network).await.unwrap();
            let mut link = Link::join(address, &network).await.unwrap();
            for _ in 0..4 {
                let blocks = network.mine_many(5, "a text that makes the block longer");
                link.report(&network, &blocks).await.unwrap();
            }
            networks.push(network);
        }
        // The derived file follows within a second.
        let path = data.path().join(DERIVED);
        while !fs::read_to_string(&path)
            .is_ok_and(|text| text.matches("\"last_block_id\": 20").count() == 3)
        {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        process.kill();
        let store = fs::read(data.path().join(STORE)).unwrap();
        let derived = fs::read(path).unwrap();
        Self {
            data,
            address,
            networks,
            store,
            derived,
        }
    }

    fn put(&self, store: Option<&[u8]>, derived: Option<&[u8]>) {
        for (name, bytes) in [(STORE, store), (DERIVED, derived)] {
            let path = self.data.path().join(name);
            match bytes {
                Some(bytes) => fs::write(path, bytes).unwrap(),
                None => {
                    // It may not be there.
                    let _ = fs::remove_file(path);
                }
            }
        }
        let _ = fs::remove_file(self.data.path().join("tracker.log"));
    }

    /// Starts over what was put; a tracker that serves has every acknowledged block.
    async fn start(&self, what: &str) -> (Outcome, Process) {
        let mut process = tracker(self.data.path(), self.address, None);
        if process.serves(self.address).await {
            for network in &self.networks {
                let link = Link::join(self.address, network).await.unwrap();
                assert_eq!(link.height, 20, "{what}: {} lost blocks", network.label());
            }
            return (Outcome::Whole, process);
        }
        let log = process.log();
        assert!(!log.contains("panicked"), "{what}: {log}");
        let names_a_file = log.contains("tracker.redb") || log.contains("tracker_integration.json");
        assert!(names_a_file, "{what}: {log}");
        assert!(
            log.contains("move"),
            "{what} does not say what to do: {log}"
        );
        (Outcome::Refused, process)
    }

    async fn outcome(&self, what: &str) -> Outcome {
        let (outcome, mut process) = self.start(what).await;
        process.kill();
        if outcome == Outcome::Refused {
            // What was refused is left as it was, for whoever repairs it.
            let store = self.data.path().join(STORE);
            assert_eq!(store.exists(), what != "no store", "{what}");
        }
        outcome
    }
}

fn is_json(path: &Path) -> bool {
    let bytes = fs::read(path).unwrap();
    serde_json::from_slice::<api::TrackerIntegration>(&bytes).is_ok()
}

#[tokio::test]
async fn a_cut_or_garbled_store_is_refused_with_what_to_do_or_has_everything() {
    let left = Left::behind().await;
    assert_eq!(left.outcome("as it was killed").await, Outcome::Whole);
    let whole = &left.store;
    for kept in [0, 1, 100, whole.len() / 2, whole.len() - 4_096] {
        left.put(Some(&whole[..kept]), Some(&left.derived));
        let what = format!("cut to {kept} of {} bytes", whole.len());
        let outcome = left.outcome(&what).await;
        // The last page may be free.
        assert!(
            outcome == Outcome::Refused || kept > whole.len() / 2,
            "{what}"
        );
    }
    left.put(Some(b"not a store at all"), Some(&left.derived));
    assert_eq!(left.outcome("garbage").await, Outcome::Refused);
    let mut refused = 0;
    let step = (whole.len() / FLIPS).max(1) | 1;
    for offset in (0..whole.len()).step_by(step) {
        let mut flipped = whole.clone();
        flipped[offset] ^= 0x55;
        left.put(Some(&flipped), Some(&left.derived));
        let what = format!("byte {offset} flipped");
        if left.outcome(&what).await == Outcome::Refused {
            refused += 1;
        }
    }
    assert!(refused > 0, "no byte in use was hit");
}

#[tokio::test]
async fn a_missing_store_beside_its_derived_file_is_refused() {
    let left = Left::behind().await;
    left.put(None, Some(&left.derived));
    assert_eq!(left.outcome("no store").await, Outcome::Refused);
    left.put(None, Some(b"{\"half"));
    assert_eq!(left.outcome("no store").await, Outcome::Refused);
    // With both gone it is a new tracker.
    left.put(None, None);
    let mut process = tracker(left.data.path(), left.address, None);
    assert!(process.serves(left.address).await, "{}", process.log());
}

#[tokio::test]
async fn a_torn_derived_file_is_made_anew_from_the_store() {
    let left = Left::behind().await;
    for torn in [
        &b""[..],
        b"{\"last_rep",
        &left.derived[..left.derived.len() / 2],
    ] {
        left.put(Some(&left.store), Some(torn));
        let (outcome, process) = left.start("a torn derived file").await;
        assert_eq!(outcome, Outcome::Whole);
        let path = left.data.path().join(DERIVED);
        while !is_json(&path) {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        assert!(process.log().contains("made anew"), "{}", process.log());
    }
}

const FLIPS: usize = 40;
