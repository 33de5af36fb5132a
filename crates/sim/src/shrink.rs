//! From a run that fails to the smallest one that still does: fewer parties, fewer faults, less time, taken greedily.

use crate::{Failure, Scenario};

/// Looks for a smaller run that fails, with at most `tries` runs. `judge` plays a run and answers its failure, which may be another
/// than the first one.
#[must_use]
pub fn smallest(
    found: Failure,
    tries: usize,
    mut judge: impl FnMut(&Scenario) -> Option<Failure>,
) -> Failure {
    let (mut smallest, mut left) = (found, tries);
    loop {
        let smaller = smaller_than(&smallest.scenario);
        let mut fails = None;
        for scenario in smaller {
            if left == 0 {
                return smallest;
            }
            left -= 1;
            fails = judge(&scenario);
            if fails.is_some() {
                break;
            }
        }
        match fails {
            Some(failure) => smallest = failure,
            None => return smallest,
        }
    }
}

/// Runs with one thing less, the boldest first.
fn smaller_than(scenario: &Scenario) -> Vec<Scenario> {
    let mut all = Vec::new();
    for index in 0..scenario.actors.len() {
        let mut smaller = scenario.clone();
        smaller.actors.remove(index);
        all.push(smaller);
    }
    let lesser = |name: &str, value: u64| -> Vec<u64> {
        match name {
            // The seed, the pace and the ways are no faults.
            "seed" | "interval_ms" | "uplink" => Vec::new(),
            "nodes" => vec![value / 2, value.saturating_sub(1)]
                .into_iter()
                .filter(|nodes| *nodes > 0)
                .collect(),
            "trouble_ms" => vec![value / 2]
                .into_iter()
                .filter(|ms| *ms >= 4 * scenario.interval_ms)
                .collect(),
            _ => vec![0, value / 2, value.saturating_sub(1)],
        }
    };
    for (name, value) in scenario.fields() {
        for less in lesser(name, value).into_iter().filter(|less| *less < value) {
            let mut smaller = scenario.clone();
            smaller.set(name, less);
            all.push(smaller);
        }
    }
    all
}
