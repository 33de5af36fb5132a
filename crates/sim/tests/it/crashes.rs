//! A crash at every write: before it is durable, and with a part of it on the disk.

use sim::{Scenario, Size};

use super::play;

/// Three nodes and nothing else that goes wrong.
fn quiet() -> Scenario {
    let mut scenario = Scenario::draw(11, Size::Small, Vec::new());
    (scenario.nodes, scenario.submissions) = (3, 30);
    (scenario.interval_ms, scenario.trouble_ms) = (2_000, 30_000);
    (scenario.crashes, scenario.partitions, scenario.outages) = (0, 0, 0);
    (
        scenario.late,
        scenario.twins,
        scenario.breaks,
        scenario.torn,
    ) = (0, 0, 0, 0);
    scenario
}

#[test]
fn crash_at_every_write_loses_nothing() {
    crash_at_every_write(0);
}

#[test]
fn torn_write_at_every_crash_loses_nothing_that_was_promised() {
    crash_at_every_write(1_000);
}

fn crash_at_every_write(torn: u64) {
    let (mut write, mut torn_writes) = (0, 0);
    loop {
        write += 1;
        let scenario = Scenario {
            crash_at_write: write,
            torn,
            ..quiet()
        };
        let outcome = play(&scenario);
        if outcome.restarts == 0 {
            break;
        }
        torn_writes += outcome.torn;
    }
    assert!(write > 10, "only {write} writes in the whole run");
    assert_eq!(torn_writes > 10, torn > 0);
}
