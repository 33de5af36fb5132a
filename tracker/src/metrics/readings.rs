//! How a tracker stands when somebody asks, and how that is shown.

use shared::ids::TimestampMs;

use super::{
    ADDRESSES, BREAKER, CLUSTER_DROPPED, CLUSTER_UP, CONNECTIONS, CONNECTIONS_MAX, DRAINING, KEPT,
    KEPT_MAX, LIMITED, MEMORY, NETWORKS, OLDEST, READING, REFUSED, RELAYED, RELAYED_BYTES, ROOMS,
    STORE_FAILED, UNCONFIRMED, number,
};
use crate::App;
use crate::addresses::Refused;
use crate::backplane::Dropped;
use crate::breaker::State;
use crate::hub::Figures;
use crate::ledger::Summary;

/// See the module's text.
#[derive(Clone, Debug, Default)]
pub(super) struct Readings {
    pub(super) now: TimestampMs,
    pub(super) hub: Figures,
    pub(super) connections_max: usize,
    pub(super) addresses: usize,
    pub(super) reading_bytes: usize,
    pub(super) refused: Refused,
    pub(super) is_draining: bool,
    /// None if the ledger does not answer.
    pub(super) summary: Option<Summary>,
    /// Of each configured validator.
    pub(super) circuits: Vec<State>,
    /// Whether NATS is reached, and what was not carried there; none of a tracker alone.
    pub(super) cluster: Option<(bool, Dropped)>,
    /// The process' memory, where the system tells it.
    pub(super) resident_bytes: Option<u64>,
}

impl Readings {
    pub(super) async fn of(app: &App) -> Self {
        let summary = app.ledger.summary().await.ok();
        let (addresses, refused) = app.edge.figures();
        let cluster = app.cluster.as_ref();
        Self {
            now: TimestampMs(service::now_ms()),
            hub: app.engine.read(|hub| hub.figures()),
            connections_max: app.connections_max,
            addresses,
            reading_bytes: app.edge.room().taken(),
            refused,
            is_draining: app.draining.is_begun(),
            summary,
            circuits: app.circuits.states(),
            cluster: cluster.map(|cluster| (cluster.is_up(), cluster.dropped())),
            resident_bytes: resident_bytes(),
        }
    }

    /// Sets every measure of the recorder at hand.
    pub(super) fn set(&self) {
        gauge(CONNECTIONS, self.hub.connections as u64);
        gauge(CONNECTIONS_MAX, self.connections_max as u64);
        gauge(NETWORKS, self.hub.networks as u64);
        gauge(ROOMS, self.hub.rooms as u64);
        gauge(ADDRESSES, self.addresses as u64);
        gauge(READING, self.reading_bytes as u64);
        gauge(DRAINING, self.is_draining.into());
        gauge(STORE_FAILED, self.summary.is_none().into());
        if let Some(bytes) = self.resident_bytes {
            gauge(MEMORY, bytes);
        }
        self.set_outbox();
        self.set_hub();
        self.set_refused();
        self.set_cluster();
    }

    fn set_outbox(&self) {
        if let Some(summary) = &self.summary {
            gauge(UNCONFIRMED, summary.unconfirmed_blocks);
            gauge(KEPT, summary.kept_bytes);
            gauge(KEPT_MAX, summary.kept_bytes_max);
            if !self.circuits.is_empty() {
                let since = summary.waiting_since.unwrap_or(self.now);
                metrics::gauge!(OLDEST).set(number(self.now.since(since)) / 1_000.0);
            }
        }
        for (index, circuit) in self.circuits.iter().enumerate() {
            let validator = index.saturating_add(1).to_string();
            for state in State::ALL {
                let labels = [
                    ("validator", validator.clone()),
                    ("state", state.label().into()),
                ];
                metrics::gauge!(BREAKER, &labels).set(number((*circuit == state).into()));
            }
        }
    }

    fn set_hub(&self) {
        let relayed = &self.hub.relayed;
        for (way, load) in [
            ("here", relayed.here),
            ("to_tracker", relayed.to_trackers),
            ("from_tracker", relayed.from_trackers),
        ] {
            counter(RELAYED, "way", way, load.messages);
            counter(RELAYED_BYTES, "way", way, load.bytes);
        }
        let limited = &self.hub.limited;
        counter(LIMITED, "limit", "messages", limited.messages);
        counter(LIMITED, "limit", "bytes", limited.bytes);
        counter(LIMITED, "limit", "creations", limited.creations);
    }

    fn set_refused(&self) {
        let refused = &self.refused;
        counter(REFUSED, "limit", "connections", refused.connections);
        counter(REFUSED, "limit", "arrivals", refused.arrivals);
        counter(REFUSED, "limit", "requests", refused.requests);
        counter(REFUSED, "limit", "creations", refused.creations);
    }

    fn set_cluster(&self) {
        let Some((is_up, dropped)) = self.cluster else {
            return;
        };
        gauge(CLUSTER_UP, is_up.into());
        counter(CLUSTER_DROPPED, "reason", "queue_full", dropped.queue_full);
        counter(CLUSTER_DROPPED, "reason", "away", dropped.away);
        counter(CLUSTER_DROPPED, "reason", "failed", dropped.failed);
    }
}

fn gauge(name: &'static str, value: u64) {
    metrics::gauge!(name).set(number(value));
}

fn counter(name: &'static str, label: &'static str, word: &'static str, value: u64) {
    metrics::counter!(name, label => word).absolute(value);
}

fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    kibibytes.checked_mul(1_024)
}
