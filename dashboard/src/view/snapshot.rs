//! What a page gets: one JSON object with everything to show.

use api::{EnterpriseBlock, Health, HealthStatus, NetworkListItem, Status, Tenants};
use serde::Serialize;
use std::collections::BTreeMap;

/// Everything that the page shows, complete in each event.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Snapshot {
    /// When it was made, in ms.
    pub at: u64,
    /// The validator's newest known status; null until it has answered once.
    pub status: Option<Status>,
    /// The newest known tenants; null until the validator has answered once.
    pub tenants: Option<Tenants>,
    /// The newest enterprise blocks, newest first.
    pub blocks: Vec<EnterpriseBlock>,
    /// The link to the validator.
    pub validator: Link,
    /// The link to the tracker and what it says.
    pub tracker: TrackerView,
    /// The verdict, as `/health` gives it; null only before the first observation.
    pub health: Option<Health>,
}

/// The tracker as last seen.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct TrackerView {
    /// The link to it.
    #[serde(flatten)]
    pub link: Link,
    /// Its listed networks by name.
    pub networks: Vec<NetworkListItem>,
    /// How many it lists.
    pub total_networks: usize,
    /// How it judges itself; null until it has answered once.
    pub health: Option<Health>,
}

/// The link to one followed service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Link {
    /// Whether the service answers.
    pub reachable: bool,
    /// Since when it does or does not, in ms; 0 before the first try ended.
    pub since: u64,
    /// Why it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Snapshot {
    /// The verdict at `now_ms`: degraded while a followed service cannot be reached or is itself not healthy.
    #[must_use]
    pub fn health_at(&self, now_ms: u64) -> Health {
        let tracker = self.tracker.health.as_ref().map(|health| health.status);
        let healthy = self.validator.reachable
            && self.tracker.link.reachable
            && tracker == Some(HealthStatus::Healthy);
        Health {
            status: if healthy {
                HealthStatus::Healthy
            } else {
                HealthStatus::Degraded
            },
            timestamp: now_ms,
            service: "dashboard".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            checks: BTreeMap::from([
                ("validator".to_owned(), self.validator.in_words(now_ms)),
                ("tracker".to_owned(), self.tracker.in_words(now_ms)),
            ]),
        }
    }
}

impl TrackerView {
    /// Whether an answer of the tracker says what is held already, apart from when it was said.
    pub(super) fn says(&self, networks: &[NetworkListItem], total: usize, health: &Health) -> bool {
        let held = self.health.as_ref().map(|health| health.status);
        self.networks == networks && self.total_networks == total && held == Some(health.status)
    }

    fn in_words(&self, now_ms: u64) -> String {
        let link = self.link.in_words(now_ms);
        match &self.health {
            Some(health) if self.link.reachable && health.status != HealthStatus::Healthy => {
                format!("{link}; it says that it is not healthy")
            }
            _ => link,
        }
    }
}

impl Link {
    pub(super) fn connected(&mut self, now_ms: u64) {
        if !self.reachable {
            *self = Self {
                reachable: true,
                since: now_ms,
                reason: None,
            };
        }
    }

    /// Records a loss; false when it was on record already with the same reason.
    pub(super) fn lost(&mut self, now_ms: u64, reason: String) -> bool {
        if !self.reachable && self.reason.as_ref() == Some(&reason) {
            return false;
        }
        if self.reachable || self.reason.is_none() {
            self.since = now_ms;
        }
        self.reachable = false;
        self.reason = Some(reason);
        true
    }

    fn in_words(&self, now_ms: u64) -> String {
        let seconds = now_ms.saturating_sub(self.since) / 1000;
        match &self.reason {
            _ if self.reachable => format!("connected for {seconds} s"),
            Some(reason) => format!("unreachable for {seconds} s: {reason}"),
            None => "not asked yet".to_owned(),
        }
    }
}
