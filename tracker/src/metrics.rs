//! What the tracker shows for Prometheus, read off when somebody asks.
//!
//! One recorder for each tracker and none of the process. Labels are words of this program, never a stranger's text.

use metrics::Unit;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use crate::App;

/// The measures of one tracker.
pub(crate) struct Metrics {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        metrics::with_local_recorder(&recorder, || {
            for (name, words) in GAUGES {
                metrics::describe_gauge!(name, Unit::Count, words);
            }
            metrics::describe_counter!(REFUSED, Unit::Count, "Refusals of an address by the limit");
            metrics::gauge!(BUILD, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
            metrics::gauge!(STARTED).set(number(service::now_ms() / 1_000));
        });
        Self { recorder, handle }
    }

    /// All of it as text.
    pub(crate) async fn render(&self, app: &App) -> String {
        let summary = app.ledger.summary().await;
        let (connections, networks) = app
            .engine
            .read(|hub| (hub.connection_count(), hub.network_count()));
        let (addresses, refused) = app.edge.figures();
        metrics::with_local_recorder(&self.recorder, || {
            let gauge = |name: &'static str, value: u64| metrics::gauge!(name).set(number(value));
            gauge(CONNECTIONS, connections as u64);
            gauge(CONNECTIONS_MAX, app.connections_max as u64);
            gauge(NETWORKS, networks as u64);
            gauge(ADDRESSES, addresses as u64);
            gauge(DRAINING, app.draining.is_begun().into());
            gauge(STORE_FAILED, summary.is_err().into());
            if let Ok(summary) = &summary {
                gauge(UNCONFIRMED, summary.unconfirmed_blocks);
                gauge(KEPT, summary.kept_bytes);
                gauge(KEPT_MAX, summary.kept_bytes_max);
            }
            if let Some(bytes) = resident_bytes() {
                gauge(MEMORY, bytes);
            }
            let count = |limit: &'static str, value: u64| {
                metrics::counter!(REFUSED, "limit" => limit).absolute(value);
            };
            count("connections", refused.connections);
            count("arrivals", refused.arrivals);
            count("requests", refused.requests);
            count("creations", refused.creations);
        });
        self.handle.run_upkeep();
        self.handle.render()
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a measure is read, not computed with"
)]
fn number(value: u64) -> f64 {
    value as f64
}

/// The process' memory, where the system tells it.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    kibibytes.checked_mul(1_024)
}

const BUILD: &str = "distli_build_info";
const STARTED: &str = "distli_start_time_seconds";
const CONNECTIONS: &str = "distli_tracker_connections";
const CONNECTIONS_MAX: &str = "distli_tracker_connections_max";
const NETWORKS: &str = "distli_tracker_networks";
const ADDRESSES: &str = "distli_tracker_addresses";
const DRAINING: &str = "distli_tracker_draining";
const STORE_FAILED: &str = "distli_tracker_store_failed";
const UNCONFIRMED: &str = "distli_tracker_blocks_unconfirmed";
const KEPT: &str = "distli_tracker_kept_bytes";
const KEPT_MAX: &str = "distli_tracker_kept_bytes_max";
const MEMORY: &str = "process_resident_memory_bytes";
const REFUSED: &str = "distli_tracker_refused_total";
const GAUGES: [(&str, &str); 12] = [
    (BUILD, "The program's version; always 1"),
    (STARTED, "When the tracker started, seconds since 1970"),
    (CONNECTIONS, "Open connections to /ws"),
    (CONNECTIONS_MAX, "How many may be open"),
    (NETWORKS, "Registered networks"),
    (ADDRESSES, "Remembered addresses"),
    (DRAINING, "1 while the tracker stops"),
    (STORE_FAILED, "1 when the store does not answer"),
    (
        UNCONFIRMED,
        "Verified blocks that the validator has not confirmed",
    ),
    (
        KEPT,
        "The room that the blocks of all networks take up, in bytes",
    ),
    (KEPT_MAX, "How much they may take up (--total-mib-max)"),
    (MEMORY, "Memory that the process holds, in bytes"),
];
