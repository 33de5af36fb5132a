//! The shrinker, proven with properties that are broken on purpose.

use sim::{Failure, Kind, Scenario, Size, run, shrink::smallest};

/// Says that nothing of this kind may happen, which is false.
fn never(what: &'static str) -> impl Fn(&Scenario) -> Option<Failure> {
    move |scenario| {
        let outcome = run(scenario).ok()?;
        outcome.happened.contains(what).then(|| Failure {
            scenario: Box::new(scenario.clone()),
            reason: format!("{what} happened"),
        })
    }
}

fn failing(judge: &impl Fn(&Scenario) -> Option<Failure>) -> Failure {
    let draw = |seed| Scenario::draw(seed, Size::Small, vec![Kind::BadWork, Kind::Eclipse]);
    let fails = (400..460)
        .map(draw)
        .filter(|scenario| scenario.submissions > 20 && scenario.nodes > 5);
    fails
        .filter_map(|scenario| judge(&scenario))
        .next()
        .expect("some seed has it")
}

#[test]
fn failure_shrinks_to_what_it_needs() {
    let judge = never("crash");
    let found = failing(&judge);
    let smallest = smallest(found.clone(), 200, &judge);
    let Scenario {
        nodes,
        actors,
        partitions,
        outages,
        submissions,
        crashes,
        crash_at_write,
        ..
    } = *smallest.scenario.clone();
    assert!(nodes <= 2, "{nodes} nodes");
    assert_eq!((actors.len(), partitions, outages), (0, 0, 0));
    assert!(submissions <= 1, "a crash at a write needs one at most");
    assert_eq!(crashes + crash_at_write.min(1), 1, "one crash is enough");
    assert!(smallest.scenario.trouble_ms < found.scenario.trouble_ms);
}

#[test]
fn printed_line_repeats_the_smallest_failure() {
    let judge = never("partition");
    let smallest = smallest(failing(&judge), 200, &judge);
    let text = smallest.to_string();
    let line = text.split('\'').nth(1).expect("a line between quotes");
    let repeated = judge(&line.parse().expect("a scenario")).expect("it fails again");
    assert_eq!(repeated.scenario, smallest.scenario);
    assert!(text.contains("DISTLI_SIM_SCENARIO=") && text.contains("make sim"));
    assert!(text.starts_with(&format!("seed {}", smallest.scenario.seed)));
}

#[test]
fn what_cannot_shrink_stays_as_it_is() {
    let found = failing(&never("crash"));
    let smallest = smallest(found.clone(), 10, |_| None);
    assert_eq!(smallest.scenario, found.scenario);
}
