//! Runs drawn from seeds: some always, and further ones for as long as there is time.

use std::{
    env,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use shared::hash::Hash;
use sim::{Kind, Outcome, Scenario, Size};

use super::{number, play};

const FIRST_FURTHER_SEED: u64 = 1_000;

#[test]
fn same_seed_twice_gives_the_same_state_hash() {
    let draw = |seed| Scenario::draw(seed, Size::Small, vec![Kind::Forger, Kind::BadWork]);
    let first = play(&draw(7));
    assert_eq!(first, play(&draw(7)));
    assert_ne!(first.state_hash, play(&draw(8)).state_hash);
    assert_ne!(first.state_hash, Hash::ZERO);
}

#[test]
fn the_line_of_a_scenario_repeats_it() {
    for seed in 0..50 {
        let scenario = Scenario::draw(seed, Size::Medium, vec![Kind::Forger, Kind::Eclipse]);
        assert_eq!(scenario.to_string().parse(), Ok(scenario));
    }
    let bare = Scenario::draw(1, Size::Small, Vec::new());
    assert_eq!(bare.to_string().parse(), Ok(bare));
    assert!("nodes=3 nonsense=1".parse::<Scenario>().is_err());
    assert!("nodes=3 actors=saint".parse::<Scenario>().is_err());
}

#[test]
fn the_scenario_of_the_environment_holds() {
    if let Ok(line) = env::var("DISTLI_SIM_SCENARIO") {
        play(
            &line
                .parse()
                .expect("DISTLI_SIM_SCENARIO is a scenario's line"),
        );
    }
}

#[test]
fn small_networks_end_on_one_chain_without_loss() {
    let outcomes = of_seeds(0..24, Size::Small);
    summarise("small", &outcomes);
    if outcomes.len() > 1 {
        assert!(
            outcomes.iter().any(|outcome| outcome.reorganisations > 0),
            "the trouble was no trouble"
        );
        for kind in ["break", "crash", "torn", "partition", "outage"] {
            assert!(
                outcomes
                    .iter()
                    .any(|outcome| outcome.happened.contains(kind)),
                "no {kind} in any seed"
            );
        }
    }
}

#[test]
fn medium_networks_end_on_one_chain_without_loss() {
    summarise("medium", &of_seeds(100..106, Size::Medium));
}

#[test]
fn fifty_nodes_end_on_one_chain_without_loss() {
    summarise("large", &of_seeds(200..202, Size::Large));
}

#[test]
fn further_seeds_hold_as_well() {
    if number("DISTLI_SIM_SEED").is_some() || env::var("DISTLI_SIM_SCENARIO").is_ok() {
        return;
    }
    let count = number("DISTLI_SIM_SEEDS");
    let time = Duration::from_secs(number("DISTLI_SIM_SECONDS").unwrap_or(45));
    let (first, start) = (first_further_seed(count.is_some()), now());
    let mut outcomes = Vec::new();
    for offset in 0..count.unwrap_or(u64::MAX) {
        if count.is_none() && start.elapsed() > time {
            break;
        }
        let scenario = further_scenario(first + offset, offset);
        let outcome = play(&scenario);
        if offset % 16 == 0 {
            assert_eq!(outcome, play(&scenario), "the same seed, another run");
        }
        outcomes.push(outcome);
    }
    summarise("further", &outcomes);
}

/// Sizes and actors in turn: every fourth run has one kind of hostile party.
fn further_scenario(seed: u64, offset: u64) -> Scenario {
    let size = if offset % 8 == 7 {
        Size::Medium
    } else {
        Size::Small
    };
    let kind = usize::try_from(offset / 4).unwrap_or(0) % Kind::ALL.len();
    let actors = if offset % 4 == 3 {
        vec![Kind::ALL[kind]]
    } else {
        Vec::new()
    };
    Scenario::draw(seed, size, actors)
}

fn of_seeds(seeds: core::ops::Range<u64>, size: Size) -> Vec<Outcome> {
    let seeds = number("DISTLI_SIM_SEED").map_or_else(|| seeds.collect(), |seed| vec![seed]);
    seeds
        .iter()
        .map(|seed| play(&Scenario::draw(*seed, size, Vec::new())))
        .collect()
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

#[expect(
    clippy::disallowed_methods,
    reason = "the time budget of the test run; the simulation itself has virtual time"
)]
fn now() -> Instant {
    Instant::now()
}

/// A soak draws new seeds each time; `make test` plays the same ones in the same order, as many as there is time for.
#[expect(
    clippy::disallowed_methods,
    reason = "new seeds for each soak; they are printed"
)]
fn first_further_seed(is_soak: bool) -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    if is_soak {
        since.as_secs() * 1_000
    } else {
        FIRST_FURTHER_SEED
    }
}
