use shared::ids::TimestampMs;

use super::*;
use crate::addresses::Refused;
use crate::backplane::Dropped;
use crate::breaker::State;
use crate::hub::{Figures, Limited, Load, Relayed};
use crate::ledger::Summary;

/// One that has something of everything.
fn full() -> Readings {
    let load = |messages, bytes| Load { messages, bytes };
    Readings {
        now: TimestampMs(100_000),
        hub: Figures {
            connections: 7,
            networks: 5,
            rooms: 3,
            relayed: Relayed {
                here: load(11, 1_100),
                to_trackers: load(12, 1_200),
                from_trackers: load(13, 1_300),
            },
            limited: Limited {
                messages: 21,
                bytes: 22,
                creations: 23,
            },
        },
        connections_max: 10,
        addresses: 2,
        reading_bytes: 17,
        refused: Refused {
            arrivals: 4,
            ..Refused::default()
        },
        is_draining: false,
        summary: Some(Summary {
            unconfirmed_blocks: 9,
            waiting_since: Some(TimestampMs(57_500)),
            ..Summary::default()
        }),
        circuits: vec![State::Closed, State::Open, State::HalfOpen],
        cluster: Some((
            true,
            Dropped {
                queue_full: 31,
                away: 32,
                failed: 33,
            },
        )),
        resident_bytes: Some(4_096),
    }
}

/// Whether these are lines of the text.
#[track_caller]
fn has(text: &str, lines: &[&str]) {
    for line in lines {
        assert!(text.lines().any(|found| found == *line), "{line}\n{text}");
    }
}

#[test]
fn rooms_networks_and_relayed_messages_are_shown() {
    has(
        &Metrics::new().show(&full()),
        &[
            "distli_tracker_connections 7",
            "distli_tracker_networks 5",
            "distli_tracker_rooms 3",
            "distli_tracker_reading_bytes 17",
            "# TYPE distli_tracker_relayed_messages_total counter",
            r#"distli_tracker_relayed_messages_total{way="here"} 11"#,
            r#"distli_tracker_relayed_messages_total{way="to_tracker"} 12"#,
            r#"distli_tracker_relayed_messages_total{way="from_tracker"} 13"#,
            r#"distli_tracker_relayed_bytes_total{way="here"} 1100"#,
            r#"distli_tracker_relayed_bytes_total{way="from_tracker"} 1300"#,
        ],
    );
}

#[test]
fn used_up_rates_and_refusals_are_shown() {
    has(
        &Metrics::new().show(&full()),
        &[
            r#"distli_tracker_rate_limited_total{limit="messages"} 21"#,
            r#"distli_tracker_rate_limited_total{limit="bytes"} 22"#,
            r#"distli_tracker_rate_limited_total{limit="creations"} 23"#,
            r#"distli_tracker_refused_total{limit="arrivals"} 4"#,
        ],
    );
}

#[test]
fn every_reason_is_there_from_the_start_and_counted_by_itself() {
    let metrics = Metrics::new();
    let text = metrics.show(&Readings::default());
    let ended = |ending: Ending, count: u32| {
        format!(
            r#"distli_tracker_disconnects_total{{reason="{}"}} {count}"#,
            ending.label()
        )
    };
    let unbegun = |reason: Unbegun, count: u32| {
        format!(
            r#"distli_tracker_connections_refused_total{{reason="{}"}} {count}"#,
            reason.label()
        )
    };
    for ending in Ending::ALL {
        has(&text, &[&ended(ending, 0)]);
        metrics.count_ending(ending);
    }
    for reason in Unbegun::ALL {
        has(&text, &[&unbegun(reason, 0)]);
        metrics.count_unbegun(reason);
    }
    metrics.count_ending(Ending::QueueFull);
    metrics.count_unbegun(Unbegun::Origin);
    let text = metrics.show(&Readings::default());
    has(
        &text,
        &[
            &ended(Ending::QueueFull, 2),
            &ended(Ending::Gone, 1),
            &unbegun(Unbegun::Origin, 2),
            &unbegun(Unbegun::Full, 1),
        ],
    );
}

#[test]
fn the_age_of_the_outbox_and_each_breaker_are_shown() {
    let metrics = Metrics::new();
    let mut readings = full();
    has(
        &metrics.show(&readings),
        &[
            "distli_tracker_blocks_unconfirmed 9",
            "distli_tracker_outbox_oldest_seconds 42.5",
            r#"distli_tracker_validator_breaker{validator="1",state="closed"} 1"#,
            r#"distli_tracker_validator_breaker{validator="2",state="closed"} 0"#,
            r#"distli_tracker_validator_breaker{validator="2",state="open"} 1"#,
            r#"distli_tracker_validator_breaker{validator="3",state="half_open"} 1"#,
        ],
    );
    readings.circuits[1] = State::Closed;
    readings.summary = Some(Summary::default());
    has(
        &metrics.show(&readings),
        &[
            "distli_tracker_outbox_oldest_seconds 0",
            r#"distli_tracker_validator_breaker{validator="2",state="closed"} 1"#,
            r#"distli_tracker_validator_breaker{validator="2",state="open"} 0"#,
        ],
    );
}

#[test]
fn the_cluster_is_shown_up_and_down_with_what_was_dropped() {
    let metrics = Metrics::new();
    let mut readings = full();
    has(
        &metrics.show(&readings),
        &[
            "distli_tracker_cluster_up 1",
            r#"distli_tracker_cluster_orders_dropped_total{reason="queue_full"} 31"#,
            r#"distli_tracker_cluster_orders_dropped_total{reason="away"} 32"#,
            r#"distli_tracker_cluster_orders_dropped_total{reason="failed"} 33"#,
        ],
    );
    readings.cluster = Some((false, Dropped::default()));
    has(&metrics.show(&readings), &["distli_tracker_cluster_up 0"]);
}

#[test]
fn a_tracker_alone_shows_neither_cluster_nor_validators() {
    let alone = Readings {
        circuits: Vec::new(),
        cluster: None,
        ..full()
    };
    let text = Metrics::new().show(&alone);
    for name in [CLUSTER_UP, CLUSTER_DROPPED, BREAKER, OLDEST] {
        assert!(!text.contains(name), "{name}\n{text}");
    }
}

#[test]
fn everything_is_described_and_labelled_by_known_words_only() {
    let text = Metrics::new().show(&full());
    let shown = text.lines().filter(|line| !line.is_empty());
    for line in shown.filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap();
        let described = GAUGES.iter().chain(&COUNTERS);
        assert!(
            described.into_iter().any(|(known, _)| *known == name),
            "{line}"
        );
        assert!(text.contains(&format!("# HELP {name} ")), "{line}");
        let labels = line
            .split_once('{')
            .and_then(|(_, rest)| rest.split_once('}'));
        for label in labels.iter().flat_map(|(labels, _)| labels.split(',')) {
            let key = label.split('=').next().unwrap();
            let known = ["version", "reason", "limit", "way", "validator", "state"];
            assert!(known.contains(&key), "{line}");
        }
    }
}
