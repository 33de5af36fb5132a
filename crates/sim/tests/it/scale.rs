//! The figures of the whole, smaller: what `make bench-sim` measures with 500 nodes holds with 60.

use sim::{
    flood::orphan_flood,
    scale::{TrackerIs, block_spread, half_killed},
};

#[test]
fn block_of_20_kb_reaches_sixty_nodes_within_a_second() {
    let spread = block_spread(60, 1).unwrap();
    println!("{spread:?}");
    assert!((19_000..22_000).contains(&spread.block_bytes));
    assert!(spread.p99_ms > 40, "faster than one way");
    assert!(spread.p99_ms < 800, "{spread:?}");
    assert!(spread.copies_per_node < 5.0, "{spread:?}");
}

#[test]
fn survivors_find_together_within_ten_seconds_with_and_without_a_tracker() {
    for tracker in [TrackerIs::There, TrackerIs::Gone] {
        let healing = half_killed(60, 1, tracker).unwrap();
        println!("{tracker:?}: {healing:?}");
        assert!(healing.seconds > 1.0, "nobody can have noticed yet");
        assert!(healing.seconds < 10.0, "{healing:?}");
    }
}

#[test]
fn flood_of_orphans_costs_neither_memory_nor_time() {
    let flood = orphan_flood(20_000).unwrap();
    println!("{flood:?}");
    assert!(flood.grown_mib < 8.0, "{flood:?}");
    assert!(flood.lag_ms < 2_000.0, "{flood:?}");
    assert_eq!(flood.refused, 0, "an orphan is no crime");
}
