//! Prints the simulation's figures, one line each: `figure <name> <value> <unit>`. `scale <nodes> <seeds>`; 500 and 3 by default,
//! of the seeds the worst counts.

#![expect(clippy::print_stdout, reason = "a program that prints figures")]

use std::env;

use sim::{
    flood::orphan_flood,
    scale::{Spread, TrackerIs, block_spread, half_killed},
};

#[expect(clippy::cast_precision_loss, reason = "figures to be shown")]
fn main() -> Result<(), String> {
    let number = |position: usize, otherwise: u64| {
        env::args()
            .nth(position)
            .and_then(|text| text.parse().ok())
            .unwrap_or(otherwise)
    };
    let (nodes, seeds) = (number(1, 500), number(2, 3));
    let flood = orphan_flood(100_000)?;
    figure("sim_orphan_flood_lag_ms", flood.lag_ms, "ms");
    figure("sim_orphan_flood_mib", flood.grown_mib, "MiB");
    let spreads = (0..seeds)
        .map(|seed| block_spread(nodes, seed))
        .collect::<Result<Vec<Spread>, _>>()?;
    let worst = |of: fn(&Spread) -> f64| spreads.iter().map(of).fold(0.0, f64::max);
    let name = |what: &str| format!("sim_{nodes}_{what}");
    figure(
        &name("links_per_node"),
        worst(|spread| spread.degree),
        "links",
    );
    figure(
        &name("block_bytes"),
        worst(|spread| spread.block_bytes as f64),
        "bytes",
    );
    figure(
        &name("block_p50_ms"),
        worst(|spread| spread.p50_ms as f64),
        "ms",
    );
    figure(
        &name("block_p99_ms"),
        worst(|spread| spread.p99_ms as f64),
        "ms",
    );
    figure(
        &name("block_last_ms"),
        worst(|spread| spread.last_ms as f64),
        "ms",
    );
    figure(
        &name("copies_per_node"),
        worst(|spread| spread.copies_per_node),
        "copies",
    );
    for (tracker, what) in [
        (TrackerIs::There, "sim_half_killed_heal_s"),
        (TrackerIs::Gone, "sim_half_killed_no_tracker_heal_s"),
    ] {
        let runs = (0..seeds)
            .map(|seed| half_killed(nodes, seed, tracker))
            .collect::<Result<Vec<_>, _>>()?;
        figure(
            what,
            runs.iter().map(|run| run.seconds).fold(0.0, f64::max),
            "s",
        );
    }
    Ok(())
}

fn figure(name: &str, value: f64, unit: &str) {
    println!("figure {name} {value:.3} {unit}");
}
