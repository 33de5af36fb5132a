//! What the validator counts and measures, for Prometheus.
//!
//! One recorder for each validator and none of the process: several validators may run in one. Who measures holds handles
//! of it. Labels are words of this program, never a stranger's text, so that their number is bounded.

use std::sync::Arc;
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, Unit};
use metrics_exporter_prometheus::{
    Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};

use crate::http::{App, STREAMS_MAX};

/// The measures of one validator.
pub struct Metrics {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    accepted: Counter,
    decided: Counter,
    finality: Histogram,
    commits: Histogram,
    shown: Shown,
    first_height: u64,
}

/// What is read off when somebody asks.
struct Shown {
    height: Gauge,
    tenants: Gauge,
    transactions: Gauge,
    pending: Gauge,
    waiting: Gauge,
    streams: Gauge,
    failed: Gauge,
    alive: Gauge,
    quorum: Gauge,
    no_quorum: Gauge,
    evidence: Gauge,
    lowest: Gauge,
    snapshot: Gauge,
}

impl Shown {
    fn new() -> Self {
        Self {
            height: metrics::gauge!(HEIGHT),
            tenants: metrics::gauge!(TENANTS),
            transactions: metrics::gauge!(TRANSACTIONS),
            pending: metrics::gauge!(PENDING),
            waiting: metrics::gauge!(WAITING),
            streams: metrics::gauge!(STREAMS),
            failed: metrics::gauge!(FAILED),
            alive: metrics::gauge!(ALIVE),
            quorum: metrics::gauge!(QUORUM),
            no_quorum: metrics::gauge!(NO_QUORUM),
            evidence: metrics::gauge!(EVIDENCE),
            lowest: metrics::gauge!(LOWEST),
            snapshot: metrics::gauge!(SNAPSHOT),
        }
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// New measures of a validator that starts at a height, which is where the count of decided blocks begins.
    #[must_use]
    pub fn new(first_height: u64) -> Self {
        let builder = PrometheusBuilder::new();
        let seconds = builder.set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS);
        // It fails for an empty list only.
        let builder = seconds.unwrap_or_else(|_| PrometheusBuilder::new());
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        metrics::with_local_recorder(&recorder, || {
            describe();
            metrics::gauge!(BUILD, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
            metrics::gauge!(STARTED).set(seconds_of(service::now_ms()));
        });
        let counter = |result: &'static str| {
            metrics::with_local_recorder(
                &recorder,
                || metrics::counter!(UPDATES, "result" => result),
            )
        };
        let histogram = |name: &'static str| {
            metrics::with_local_recorder(&recorder, || metrics::histogram!(name))
        };
        Self {
            handle,
            accepted: counter("accepted"),
            decided: metrics::with_local_recorder(&recorder, || metrics::counter!(DECIDED)),
            finality: histogram(FINALITY),
            commits: histogram(COMMITS),
            shown: metrics::with_local_recorder(&recorder, Shown::new),
            first_height,
            recorder,
        }
    }

    /// Counts an update that was taken; `blocks` of it were new and took this long to be decided.
    pub fn update_accepted(&self, blocks: u32, seconds: f64) {
        self.accepted.increment(1);
        if blocks > 0 {
            self.finality.record(seconds);
        }
    }

    /// Counts an update that was refused, by the reason's word.
    pub fn update_refused(&self, reason: &str) {
        metrics::with_local_recorder(&self.recorder, || {
            let reason = reason.to_owned();
            metrics::counter!(UPDATES, "result" => "refused", "reason" => reason).increment(1);
        });
    }

    /// Where the store notes how long a commit took.
    pub fn commits(&self) -> Histogram {
        self.commits.clone()
    }

    /// All of it as text, with what is read off now.
    #[must_use]
    pub fn render(&self, app: &App) -> String {
        let (view, shown) = (app.handle.view(), &self.shown);
        let height = view.head.height.0;
        // Those up to a snapshot were decided elsewhere.
        let first = self.first_height.max(view.lowest.0.saturating_sub(1));
        self.decided.absolute(height.saturating_sub(first));
        shown.height.set(count(height));
        shown.tenants.set(count(view.tenants.len() as u64));
        shown.transactions.set(count(view.transactions));
        shown.pending.set(count(app.handle.pending_transactions()));
        shown.waiting.set(count(app.handle.waiting() as u64));
        let free = app.streams.available_permits();
        shown
            .streams
            .set(count(STREAMS_MAX.saturating_sub(free) as u64));
        let failed = view.failure.is_some() || !app.handle.is_alive();
        shown.failed.set(f64::from(u8::from(failed)));
        shown.alive.set(count(view.consensus.alive as u64));
        shown.quorum.set(count(view.consensus.quorum as u64));
        let stalled = !view.consensus.has_quorum();
        shown.no_quorum.set(f64::from(u8::from(stalled)));
        shown.evidence.set(count(view.evidence.count() as u64));
        shown.lowest.set(count(view.lowest.0));
        let snapshot = view.consensus.snapshot;
        shown
            .snapshot
            .set(count(snapshot.map_or(0, |height| height.0)));
        self.handle.render()
    }
}

/// Puts samples into their buckets now and then, so that they do not pile up when nobody asks; until the validator ends.
pub async fn keep(app: Arc<App>) {
    let mut ending = app.ending.clone();
    loop {
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(UPKEEP_MS)) => app.metrics.handle.run_upkeep(),
            _ = ending.wait_for(|ending| *ending) => return,
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a measure is read, not computed with"
)]
fn count(number: u64) -> f64 {
    number as f64
}

fn seconds_of(milliseconds: u64) -> f64 {
    count(milliseconds) / 1_000.0
}

fn describe() {
    let gauge = |name: &'static str, words: &'static str| {
        metrics::describe_gauge!(name, Unit::Count, words);
    };
    gauge(BUILD, "The program's version; always 1");
    gauge(STARTED, "When the validator started, seconds since 1970");
    gauge(HEIGHT, "Height of the enterprise chain");
    gauge(TENANTS, "Registered tenants");
    gauge(
        TRANSACTIONS,
        "Transactions on the tenants' heaviest anchored chains",
    );
    gauge(
        PENDING,
        "Tenant transactions received and neither decided nor refused",
    );
    gauge(WAITING, "Updates that wait for the engine");
    gauge(STREAMS, "Open event streams");
    gauge(FAILED, "1 when the validator takes no more writes");
    gauge(ALIVE, "Validators that are heard, this one included");
    gauge(QUORUM, "Validators that have to be alive for a decision");
    gauge(
        NO_QUORUM,
        "1 while too few validators are alive to decide; updates are kept meanwhile",
    );
    gauge(EVIDENCE, "Proofs that a validator has contradicted itself");
    gauge(
        LOWEST,
        "Lowest height whose block is held; above 1 the validator began with a snapshot",
    );
    gauge(
        SNAPSHOT,
        "Height of the newest snapshot that a quorum signed, 0 for none",
    );
    metrics::describe_counter!(UPDATES, Unit::Count, "Tenant updates by result and reason");
    metrics::describe_counter!(
        DECIDED,
        Unit::Count,
        "Enterprise blocks decided since the start"
    );
    metrics::describe_histogram!(
        FINALITY,
        Unit::Seconds,
        "From a checked update to the durable decision of the block that anchors it"
    );
    metrics::describe_histogram!(COMMITS, Unit::Seconds, "One durable commit of the store");
}

const BUILD: &str = "distli_build_info";
const STARTED: &str = "distli_start_time_seconds";
const HEIGHT: &str = "distli_enterprise_height";
const TENANTS: &str = "distli_tenants";
const TRANSACTIONS: &str = "distli_transactions";
const PENDING: &str = "distli_transactions_pending";
const ALIVE: &str = "distli_validators_alive";
const QUORUM: &str = "distli_validators_quorum";
const NO_QUORUM: &str = "distli_no_quorum";
const EVIDENCE: &str = "distli_validator_evidence";
const LOWEST: &str = "distli_enterprise_lowest_height";
const SNAPSHOT: &str = "distli_snapshot_height";
const WAITING: &str = "distli_updates_waiting";
const STREAMS: &str = "distli_event_streams";
const FAILED: &str = "distli_writes_failed";
const UPDATES: &str = "distli_updates_total";
const DECIDED: &str = "distli_blocks_decided_total";
const FINALITY: &str = "distli_finality_delay_seconds";
const COMMITS: &str = "distli_store_commit_seconds";
/// Upper bounds of the buckets of durations.
const SECONDS: [f64; 14] = [
    0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0,
];
const UPKEEP_MS: u64 = 5_000;
