//! What the process does at its start, and what it says there.

use tempfile::tempdir;

use crate::process::{free_address, tracker_after};

#[tokio::test]
async fn the_process_raises_the_soft_limit_to_what_its_connections_need() {
    let (data, address) = (tempdir().unwrap(), free_address());
    let flags = ["--connections-max", "100"];
    let mut process = tracker_after("ulimit -Sn 256", data.path(), address, &flags);
    assert!(process.serves(address).await, "{}", process.log());
    assert_eq!(process.open_files(), "4452", "{}", process.log());
    assert!(!process.log().contains("LimitNOFILE"), "{}", process.log());
}

#[tokio::test]
async fn a_hard_limit_that_is_too_low_is_said_with_the_remedy() {
    let (data, address) = (tempdir().unwrap(), free_address());
    let flags = ["--connections-max", "100"];
    let mut process = tracker_after("ulimit -n 256", data.path(), address, &flags);
    assert!(process.serves(address).await, "{}", process.log());
    let log = process.log();
    assert!(log.contains("256 files may be open at once"), "{log}");
    assert!(log.contains("LimitNOFILE=4452"), "{log}");
}
