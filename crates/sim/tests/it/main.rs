//! The machines under seeded trouble.
//!
//! `DISTLI_SIM_SCENARIO='<line>'` plays just that run (a failure prints the line), `DISTLI_SIM_SEED=<n>` plays that seed alone
//! in every size, `DISTLI_SIM_SEEDS=<n>` so many new ones without a time limit, `DISTLI_SIM_SECONDS=<n>` sets the time for new
//! ones otherwise. New seeds come from the clock and are printed; a failure names its seed, shrinks, and says how to repeat it.

#![expect(
    clippy::print_stdout,
    clippy::panic,
    reason = "a test binary whose seeds and summaries are to be read"
)]

mod actors;
mod crashes;
mod scale;
mod seeds;
mod shrinking;

use std::env;

use sim::{Outcome, Scenario, run, shrink::smallest};

/// Runs spent on looking for a smaller one that fails.
const SHRINK_TRIES: usize = 150;

/// Plays a scenario that must hold.
fn play(scenario: &Scenario) -> Outcome {
    match run(scenario) {
        Ok(outcome) => {
            println!("{outcome}");
            outcome
        }
        Err(failure) => {
            println!("{failure}\nlooking for a smaller run that fails");
            let smallest = smallest(failure, SHRINK_TRIES, |smaller| run(smaller).err());
            panic!("the smallest run found that fails is {smallest}")
        }
    }
}

fn number(variable: &str) -> Option<u64> {
    env::var(variable).ok().map(|text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{variable} must be a number, found {text}"))
    })
}
