//! The node machine under seeded trouble.
//!
//! `DISTLI_SIM_SEED=<n>` plays that seed alone in every size, `DISTLI_SIM_SEEDS=<n>` so many new ones without a time
//! limit, `DISTLI_SIM_SECONDS=<n>` sets the time for new ones otherwise (default 45). New seeds come from the clock and
//! are printed; a failure names its seed and conditions.

#![expect(
    clippy::print_stdout,
    clippy::panic,
    reason = "a test binary whose seeds and summaries are to be read"
)]

use std::{
    env,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use shared::hash::Hash;
use sim::{Hostility, Outcome, Scenario, Size, run};

#[test]
fn same_seed_twice_gives_the_same_state_hash() {
    let first = play(7, Size::Small, Hostility::Forger);
    assert_eq!(first, play(7, Size::Small, Hostility::Forger));
    assert_ne!(
        first.state_hash,
        play(8, Size::Small, Hostility::Forger).state_hash
    );
    assert_ne!(first.state_hash, Hash::ZERO);
}

#[test]
fn small_networks_end_on_one_chain_without_loss() {
    let seeds = seed().map_or_else(|| (0..24).collect(), |seed| vec![seed]);
    let outcomes: Vec<Outcome> = seeds
        .iter()
        .map(|seed| play(*seed, Size::Small, Hostility::None))
        .collect();
    summarise("small", &outcomes);
    if outcomes.len() > 1 {
        assert!(
            outcomes.iter().any(|outcome| outcome.reorganisations > 0),
            "the trouble was no trouble"
        );
    }
}

#[test]
fn medium_networks_end_on_one_chain_without_loss() {
    let seeds = seed().map_or_else(|| (100..106).collect(), |seed| vec![seed]);
    let outcomes: Vec<Outcome> = seeds
        .iter()
        .map(|seed| play(*seed, Size::Medium, Hostility::None))
        .collect();
    summarise("medium", &outcomes);
}

#[test]
fn fifty_nodes_end_on_one_chain_without_loss() {
    let seeds = seed().map_or_else(|| (200..203).collect(), |seed| vec![seed]);
    let outcomes: Vec<Outcome> = seeds
        .iter()
        .map(|seed| play(*seed, Size::Large, Hostility::None))
        .collect();
    summarise("large", &outcomes);
}

#[test]
fn honest_nodes_survive_a_forger_and_never_blame_each_other() {
    let seeds = seed().map_or_else(|| (300..308).collect(), |seed| vec![seed]);
    let outcomes: Vec<Outcome> = seeds
        .iter()
        .map(|seed| play(*seed, Size::Small, Hostility::Forger))
        .collect();
    summarise("forger", &outcomes);
    assert!(
        outcomes.iter().all(|outcome| outcome.blamed > 0),
        "the forger was not noticed"
    );
}

#[test]
fn new_seeds_hold_as_well() {
    if seed().is_some() {
        return;
    }
    let count = number("DISTLI_SIM_SEEDS");
    let time = Duration::from_secs(number("DISTLI_SIM_SECONDS").unwrap_or(45));
    let (first, start) = (first_new_seed(), now());
    let mut outcomes = Vec::new();
    for offset in 0..count.unwrap_or(u64::MAX) {
        if count.is_none() && start.elapsed() > time {
            break;
        }
        let size = if offset % 8 == 7 {
            Size::Medium
        } else {
            Size::Small
        };
        let hostility = if offset % 4 == 3 {
            Hostility::Forger
        } else {
            Hostility::None
        };
        let outcome = play(first + offset, size, hostility);
        if offset % 16 == 0 {
            assert_eq!(
                outcome,
                play(first + offset, size, hostility),
                "the same seed, another run"
            );
        }
        outcomes.push(outcome);
    }
    summarise("new", &outcomes);
}

fn play(seed: u64, size: Size, hostility: Hostility) -> Outcome {
    let scenario = Scenario::draw(seed, size, hostility);
    match run(&scenario) {
        Ok(outcome) => {
            println!("{outcome}");
            outcome
        }
        Err(failure) => panic!("{failure}\nrepeat it with DISTLI_SIM_SEED={seed}"),
    }
}

fn summarise(what: &str, outcomes: &[Outcome]) {
    let seeds: Vec<String> = outcomes
        .iter()
        .map(|outcome| outcome.seed.to_string())
        .collect();
    let sum = |of: fn(&Outcome) -> u64| outcomes.iter().map(of).sum::<u64>();
    println!(
        "{what}: {} seeds held, {} blocks, {} reorganisations, {} transactions, {} s of virtual time; seeds {}",
        outcomes.len(),
        sum(|outcome| outcome.height.0.into()),
        sum(|outcome| outcome.reorganisations),
        sum(|outcome| outcome.submitted as u64),
        sum(|outcome| outcome.virtual_ms / 1_000),
        seeds.join(" "),
    );
}

fn seed() -> Option<u64> {
    number("DISTLI_SIM_SEED")
}

fn number(variable: &str) -> Option<u64> {
    env::var(variable).ok().map(|text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{variable} must be a number, found {text}"))
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "the time budget of the test run; the simulation itself has virtual time"
)]
fn now() -> Instant {
    Instant::now()
}

#[expect(
    clippy::disallowed_methods,
    reason = "new seeds for each run; they are printed"
)]
fn first_new_seed() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    since.as_secs() * 1_000
}
