//! A validator whose disk was wiped, and one that is taken in, go on from a snapshot.

use crate::actors::Actor;
use crate::actors::lying_snapshot::LyingSnapshot;
use crate::actors::stale_snapshot::StaleSnapshot;
use crate::actors::truncated_snapshot::TruncatedSnapshot;
use crate::runs::finished;
use crate::world::{Setup, World};

/// A validator of four loses its disk after some seconds.
fn wiped(seed: u64) -> Setup {
    let mut setup = Setup::new(seed, 4);
    setup.snapshot_every = 10;
    setup.faulty_ms = 8_000;
    setup.wipes = vec![(5_000, 0)];
    setup
}

#[test]
fn a_wiped_validator_goes_on_from_a_snapshot() {
    let world = finished(wiped(300));
    let base = world.base(0);
    assert!(base >= 10 && base.is_multiple_of(10), "it began at {base}");
    assert_eq!(world.observer.snapshots(), [base]);
    assert!((1..4).all(|node| world.base(node) == 0));
}

#[test]
fn validators_make_the_same_snapshots() {
    let world = finished(wiped(301));
    let roots = world.roots();
    assert!(!roots.is_empty());
    for (height, roots) in roots {
        assert_eq!(roots.len(), 1, "height {height}: {roots:?}");
    }
}

#[test]
fn a_wiped_validator_goes_on_from_a_snapshot_under_loss() {
    let mut by_snapshot = 0;
    for seed in 310..314 {
        let mut setup = wiped(seed);
        // Lossy links decide slowly: a snapshot is there by then.
        setup.wipes = vec![(8_000, 0)];
        setup.faulty_ms = 12_000;
        setup.faults.drop = 6;
        setup.faults.duplicate = 5;
        setup.faults.reorder = 10;
        setup.faults.delay_ms = 30;
        by_snapshot += u32::from(finished(setup).base(0) > 0);
    }
    // Who asked in vain often enough replays the chain.
    assert!(by_snapshot > 0, "all replayed");
}

#[test]
fn a_newcomer_joins_by_a_snapshot_and_votes() {
    let mut setup = Setup::new(320, 4);
    setup.snapshot_every = 10;
    setup.newcomers = 1;
    setup.late_ms = 4_000;
    setup.faulty_ms = 9_000;
    setup.changes = vec![
        (1_000, vec![1, 2, 3]),
        (2_500, vec![1, 2, 3, 4]),
        (6_000, vec![1, 2, 3, 4, 5]),
    ];
    let world = finished(setup);
    assert!(world.base(4) > 0, "it replayed");
    let set = world.newest().verifier().validators().clone();
    assert_eq!(set.validators().len(), 5);
    let key = crate::world::identity(5).public_key();
    assert!(!world.observer.signed(key).is_empty(), "it never votes");
}

fn with(seed: u64, actor: Box<dyn Actor>) -> World {
    let mut setup = wiped(seed);
    setup.actors.push((1, actor));
    finished(setup)
}

#[test]
fn a_lying_snapshot_is_refused_and_another_taken() {
    let world = with(330, Box::<LyingSnapshot>::default());
    assert!(world.base(0) > 0, "the liar kept it from a snapshot");
}

#[test]
fn a_stale_snapshot_does_not_keep_a_newer_one_away() {
    let mut setup = wiped(331);
    setup.actors.push((1, Box::<StaleSnapshot>::default()));
    // What it offers first is old when the second one asks.
    setup.wipes = vec![(3_000, 2), (13_000, 0)];
    setup.faulty_ms = 15_000;
    let world = finished(setup);
    let (first, second) = (world.base(2), world.base(0));
    assert!(first > 0 && second > first + 50, "{first}, {second}");
}

#[test]
fn a_truncated_snapshot_is_refused_and_another_taken() {
    let world = with(332, Box::<TruncatedSnapshot>::default());
    assert!(world.base(0) > 0, "it replayed");
}

#[test]
fn crash_at_every_write_of_loading_leaves_nothing_or_all_of_it() {
    let mut quiet = wiped(340);
    quiet.faulty_ms = 9_000;
    let mut world = World::new(quiet);
    world.play(4_999);
    let first = world.writes(0);
    world.play(9_000);
    let last = world.writes(0);
    assert!(last > first + 5, "{first} to {last}");
    for write in first..=last.min(first + 12) {
        let mut setup = wiped(340);
        setup.faulty_ms = 9_000;
        setup.faults.crash_at_write = Some((0, write));
        let world = finished(setup);
        let base = world.base(0);
        assert!(base.is_multiple_of(10), "write {write}: it began at {base}");
    }
}
