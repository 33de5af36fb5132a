//! What a monitor asks: whether the validator lives, takes updates, and what it measured.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::server::{Server, hour_ago};
use crate::tenant::TestTenant;

/// The measures by name and labels.
async fn measures(server: &Server) -> BTreeMap<String, f64> {
    let response = server.fetch("/metrics").await;
    assert_eq!(
        response.headers()["content-type"],
        "text/plain; version=0.0.4; charset=utf-8"
    );
    let text = response.text().await.unwrap();
    let lines = text.lines();
    let samples = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    samples
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), value.parse().unwrap())
        })
        .collect()
}

#[tokio::test]
async fn measures_are_each_validators_own_and_count_what_they_name() {
    let directories = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let server = Server::start(directories[0].path()).await;
    let mut shop = TestTenant::new("shop", 1, hour_ago());
    let blocks = [shop.mine(&["a", "b"]), shop.mine(&["c"])];
    server.accepted(&shop.update(&blocks)).await;
    server.stop().await;

    // Two in one process.
    let server = Server::start(directories[0].path()).await;
    let other = Server::start(directories[1].path()).await;
    let block = shop.mine(&["d"]);
    server.accepted(&shop.update(&[block])).await;
    server.accepted(&shop.update(&[])).await;
    let lost = shop.mine(&[]);
    let late = shop.mine(&[]);
    server.refused(&shop.update(&[late])).await;
    drop(lost);
    server.post(b"no JSON".to_vec()).await;
    let found = measures(&server).await;
    let value = |name: &str| found.get(name).copied().unwrap_or(f64::NAN);
    for (name, wanted) in [
        ("distli_enterprise_height", 2.0),
        ("distli_blocks_decided_total", 1.0),
        ("distli_updates_total{result=\"accepted\"}", 2.0),
        (
            "distli_updates_total{result=\"refused\",reason=\"unknown-parent\"}",
            1.0,
        ),
        (
            "distli_updates_total{result=\"refused\",reason=\"bad-json\"}",
            1.0,
        ),
        ("distli_finality_delay_seconds_count", 1.0),
        ("distli_finality_delay_seconds_bucket{le=\"+Inf\"}", 1.0),
        ("distli_store_commit_seconds_count", 1.0),
        ("distli_tenants", 1.0),
        ("distli_transactions", 4.0),
        ("distli_transactions_pending", 0.0),
        ("distli_updates_waiting", 0.0),
        ("distli_event_streams", 0.0),
        ("distli_writes_failed", 0.0),
        ("distli_no_quorum", 0.0),
        ("distli_validator_evidence", 0.0),
        (
            concat!(
                "distli_build_info{version=\"",
                env!("CARGO_PKG_VERSION"),
                "\"}"
            ),
            1.0,
        ),
    ] {
        let found = value(name);
        assert!(
            (found - wanted).abs() < 1e-9,
            "{name}: {found}, not {wanted}"
        );
    }
    assert!(value("distli_finality_delay_seconds_sum") >= value("distli_store_commit_seconds_sum"));
    let others = measures(&other).await;
    assert!((others["distli_enterprise_height"]).abs() < 1e-9);
    assert!(
        !others.keys().any(|name| name.contains("bad-json")),
        "{others:?}"
    );
    let ready: Value = server.get("/ready").await;
    assert_eq!(
        (&ready["ready"], &ready["height"]),
        (&true.into(), &2.into())
    );
    server.stop().await;
    other.stop().await;
}
