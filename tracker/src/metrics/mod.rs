//! What the tracker shows for Prometheus. How things stand is read off when somebody asks ([`Readings`]); what ends or is refused
//! is counted when it happens.
//!
//! One recorder for each tracker and none of the process. Labels are words of this program or a validator's number in the
//! configuration, never a stranger's text and nothing of any one network, so that their number is bounded. Each is there from the
//! start on, with zero.

mod readings;

use metrics::Unit;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use self::readings::Readings;
use crate::App;
use crate::ending::{Ending, Unbegun};

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
            for (name, words) in COUNTERS {
                metrics::describe_counter!(name, Unit::Count, words);
            }
            metrics::gauge!(BUILD, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
            metrics::gauge!(STARTED).set(number(service::now_ms() / 1_000));
            for ending in Ending::ALL {
                metrics::counter!(ENDED, "reason" => ending.label()).absolute(0);
            }
            for reason in Unbegun::ALL {
                metrics::counter!(UNBEGUN, "reason" => reason.label()).absolute(0);
            }
        });
        Self { recorder, handle }
    }

    /// Counts a connection to `/ws` that ended.
    pub(crate) fn count_ending(&self, ending: Ending) {
        self.count(ENDED, ending.label());
    }

    /// Counts one that was refused.
    pub(crate) fn count_unbegun(&self, reason: Unbegun) {
        self.count(UNBEGUN, reason.label());
    }

    /// All of it as text.
    pub(crate) async fn render(&self, app: &App) -> String {
        let readings = Readings::of(app).await;
        self.show(&readings)
    }

    fn count(&self, name: &'static str, reason: &'static str) {
        metrics::with_local_recorder(&self.recorder, || {
            metrics::counter!(name, "reason" => reason).increment(1);
        });
    }

    fn show(&self, readings: &Readings) -> String {
        metrics::with_local_recorder(&self.recorder, || readings.set());
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

const BUILD: &str = "distli_build_info";
const STARTED: &str = "distli_start_time_seconds";
const CONNECTIONS: &str = "distli_tracker_connections";
const CONNECTIONS_MAX: &str = "distli_tracker_connections_max";
const NETWORKS: &str = "distli_tracker_networks";
const ROOMS: &str = "distli_tracker_rooms";
const ADDRESSES: &str = "distli_tracker_addresses";
const DRAINING: &str = "distli_tracker_draining";
const STORE_FAILED: &str = "distli_tracker_store_failed";
const UNCONFIRMED: &str = "distli_tracker_blocks_unconfirmed";
const KEPT: &str = "distli_tracker_kept_bytes";
const KEPT_MAX: &str = "distli_tracker_kept_bytes_max";
const READING: &str = "distli_tracker_reading_bytes";
const OLDEST: &str = "distli_tracker_outbox_oldest_seconds";
const BREAKER: &str = "distli_tracker_validator_breaker";
const CLUSTER_UP: &str = "distli_tracker_cluster_up";
const MEMORY: &str = "process_resident_memory_bytes";
const GAUGES: [(&str, &str); 17] = [
    (BUILD, "The program's version; always 1"),
    (STARTED, "When the tracker started, seconds since 1970"),
    (CONNECTIONS, "Open connections to /ws"),
    (CONNECTIONS_MAX, "How many may be open"),
    (NETWORKS, "Registered networks"),
    (ROOMS, "Rooms with members here"),
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
    (
        READING,
        "What connections hold of what they sent beyond 16 KiB each, in bytes",
    ),
    (
        OLDEST,
        "For how long the oldest of them waits, since it came or the tracker started; 0 when none does",
    ),
    (
        BREAKER,
        "1 for the state of the circuit breaker of each configured validator, by its number",
    ),
    (CLUSTER_UP, "1 while the cluster's NATS server is reached"),
    (MEMORY, "Memory that the process holds, in bytes"),
];

const REFUSED: &str = "distli_tracker_refused_total";
const UNBEGUN: &str = "distli_tracker_connections_refused_total";
const ENDED: &str = "distli_tracker_disconnects_total";
const LIMITED: &str = "distli_tracker_rate_limited_total";
const RELAYED: &str = "distli_tracker_relayed_messages_total";
const RELAYED_BYTES: &str = "distli_tracker_relayed_bytes_total";
const CLUSTER_DROPPED: &str = "distli_tracker_cluster_orders_dropped_total";
const COUNTERS: [(&str, &str); 7] = [
    (REFUSED, "Refusals of an address by the limit"),
    (UNBEGUN, "Refused connections to /ws by the reason"),
    (ENDED, "Ended connections to /ws by the reason"),
    (
        LIMITED,
        "How often a connection used up a rate: it was not read for a while, or its network not registered",
    ),
    (RELAYED, "Messages from one member to another by the way"),
    (RELAYED_BYTES, "Their bytes as they are sent on"),
    (
        CLUSTER_DROPPED,
        "Orders to the cluster's NATS server that were dropped by the reason",
    ),
];

#[cfg(test)]
mod tests;
