//! `/health`: how the tracker judges itself, from facts.
//!
//! It answers 200 while the tracker serves, also when something beside it is away: that is `degraded`, with what to do in words.
//! 503 is for a tracker that can keep nothing. Anyone may ask, so nothing is said of any one network, and no address.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::openapi::Problems;
use api::{Health, HealthStatus};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use crate::App;
use crate::breaker::State as Circuit;
use crate::hub::Figures;
use crate::ledger::Summary;

/// How the tracker judges itself.
#[utoipa::path(
    get,
    path = "/health",
    tag = "operations",
    responses((status = 200, description = "It serves; `degraded` if something beside it is away", body = Health), (status = 503, description = "It takes no updates", body = Health), Problems),
)]
pub(crate) async fn health(State(app): State<Arc<App>>) -> (StatusCode, Json<Health>) {
    let facts = Facts {
        hub: app.engine.read(|hub| hub.figures()),
        connections_max: app.connections_max,
        cluster_is_up: app.cluster.as_ref().map(|cluster| cluster.is_up()),
        circuits: app.circuits.states(),
        summary: app.ledger.summary().await.ok(),
    };
    let (status, checks) = facts.judge();
    let code = match status {
        HealthStatus::Healthy | HealthStatus::Degraded => StatusCode::OK,
        HealthStatus::Unhealthy => StatusCode::SERVICE_UNAVAILABLE,
    };
    let health = Health {
        status,
        timestamp: service::now_ms(),
        service: app.id.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        checks,
    };
    (code, Json(health))
}

/// What the verdict is made of.
#[derive(Clone, Debug)]
struct Facts {
    hub: Figures,
    connections_max: usize,
    /// None of a tracker alone.
    cluster_is_up: Option<bool>,
    circuits: Vec<Circuit>,
    /// None if the ledger does not answer.
    summary: Option<Summary>,
}

impl Facts {
    fn judge(&self) -> (HealthStatus, BTreeMap<String, String>) {
        let connections = format!("{} of {}", self.hub.connections, self.connections_max);
        let checks = [
            Some(("connections", HealthStatus::Healthy, connections)),
            Some((
                "networks",
                HealthStatus::Healthy,
                self.hub.networks.to_string(),
            )),
            self.cluster_is_up.map(cluster_check),
            Some(self.storage_check()),
            self.summary
                .as_ref()
                .map(|summary| self.validator_check(summary)),
        ];
        let mut worst = HealthStatus::Healthy;
        let mut said = BTreeMap::new();
        for (name, status, words) in checks.into_iter().flatten() {
            worst = worst.max(status);
            said.insert(name.to_owned(), words);
        }
        (worst, said)
    }

    fn storage_check(&self) -> Check {
        match self.summary {
            Some(_) => ("storage", HealthStatus::Healthy, "durable".into()),
            None => {
                let words = "the ledger does not answer";
                ("storage", HealthStatus::Unhealthy, words.into())
            }
        }
    }

    fn validator_check(&self, summary: &Summary) -> Check {
        let waiting = format!(
            "{} blocks of {} networks wait",
            summary.unconfirmed_blocks, summary.unconfirmed_networks
        );
        let count = self.circuits.len();
        if count == 0 {
            let words = "none configured: blocks are kept and not reported";
            return ("validator", HealthStatus::Healthy, words.into());
        }
        let mut words = match &summary.last_failure {
            None if summary.unconfirmed_networks == 0 => {
                "has confirmed every verified block".to_owned()
            }
            None => waiting,
            Some(failure) => format!("{waiting}; {failure}"),
        };
        let none_is_asked = !self.circuits.contains(&Circuit::Closed);
        if none_is_asked {
            words =
                format!("{words}; all {count} configured failed repeatedly: {START_VALIDATORS}");
        }
        let is_degraded = none_is_asked || summary.failing > 0;
        let status = if is_degraded {
            HealthStatus::Degraded
        } else {
            HealthStatus::Healthy
        };
        ("validator", status, words)
    }
}

/// A fact's name, what it means for the verdict, and words for people.
type Check = (&'static str, HealthStatus, String);

fn cluster_check(is_up: bool) -> Check {
    if is_up {
        let words = "other trackers are reached";
        ("cluster", HealthStatus::Healthy, words.into())
    } else {
        ("cluster", HealthStatus::Degraded, START_NATS.into())
    }
}

const START_NATS: &str = "other trackers are not reached, because NATS is not: members that are connected here reach each other; \
     start the NATS server, or correct --nats-url and start the tracker again; it comes back by itself";
const START_VALIDATORS: &str = "blocks are kept and go out when one answers; start the validators, or correct --enterprise-bc-url and start the tracker again";

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        Facts {
            hub: Figures::default(),
            connections_max: 10,
            cluster_is_up: None,
            circuits: vec![Circuit::Closed; 2],
            summary: Some(Summary::default()),
        }
    }

    #[test]
    fn a_tracker_alone_and_one_that_reaches_everything_are_healthy() {
        assert_eq!(facts().judge().0, HealthStatus::Healthy);
        let alone = Facts {
            circuits: Vec::new(),
            ..facts()
        };
        let (status, checks) = alone.judge();
        assert_eq!(status, HealthStatus::Healthy);
        assert!(checks["validator"].contains("none configured"));
        assert!(!checks.contains_key("cluster"));
    }

    #[test]
    fn without_nats_it_is_degraded_and_says_what_to_do() {
        let mut facts = Facts {
            cluster_is_up: Some(false),
            ..facts()
        };
        let (status, checks) = facts.judge();
        assert_eq!(status, HealthStatus::Degraded);
        assert!(checks["cluster"].contains("--nats-url"), "{checks:?}");
        facts.cluster_is_up = Some(true);
        assert_eq!(facts.judge().0, HealthStatus::Healthy);
    }

    #[test]
    fn one_validator_that_is_asked_is_enough_and_none_is_degraded() {
        let mut facts = facts();
        facts.circuits = vec![Circuit::Open, Circuit::Closed];
        assert_eq!(facts.judge().0, HealthStatus::Healthy);
        facts.circuits = vec![Circuit::Open, Circuit::HalfOpen];
        let (status, checks) = facts.judge();
        assert_eq!(status, HealthStatus::Degraded);
        let said = &checks["validator"];
        assert!(said.contains("all 2 configured") && said.contains("--enterprise-bc-url"));
    }

    #[test]
    fn what_waits_after_a_failure_is_degraded_and_a_dead_ledger_unhealthy() {
        let mut facts = facts();
        facts.summary = Some(Summary {
            unconfirmed_networks: 1,
            unconfirmed_blocks: 3,
            failing: 1,
            last_failure: Some("it broke off".into()),
            ..Summary::default()
        });
        let (status, checks) = facts.judge();
        assert_eq!(status, HealthStatus::Degraded);
        assert_eq!(
            checks["validator"],
            "3 blocks of 1 networks wait; it broke off"
        );
        facts.summary = None;
        assert_eq!(facts.judge().0, HealthStatus::Unhealthy);
    }
}
