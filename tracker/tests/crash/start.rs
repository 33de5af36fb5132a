//! What the process does at its start, and what it says there.

use tempfile::tempdir;

use crate::process::{free_address, tracker_after, tracker_with};

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
async fn a_tracker_that_others_reach_asks_for_its_names() {
    for (bind, name, is_said) in [
        ("0.0.0.0", None, true),
        ("0.0.0.0", Some("t1.example"), false),
        ("127.0.0.1", None, false),
    ] {
        let (data, address) = (tempdir().unwrap(), free_address());
        let name = name.map(|name| ["--public-host", name]);
        let flags = ["--bind", bind];
        let flags: Vec<_> = flags
            .into_iter()
            .chain(name.into_iter().flatten())
            .collect();
        let mut process = tracker_with(data.path(), address, &flags);
        assert!(process.serves(address).await, "{}", process.log());
        let log = process.log();
        assert_eq!(log.contains("say with --public-host"), is_said, "{log}");
    }
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
