//! Each hostile party: what the honest nodes achieve in spite of it, and whether it was refused.
//!
//! Every run ends, as all do, with all honest nodes on one chain, nothing that a user sent lost and no honest peer refused.

use std::collections::BTreeSet;

use sim::{Kind, Outcome, Scenario, Size};

use super::play;

/// Runs of a few seeds with `count` parties of this kind; each seed's other trouble stays.
fn with(kind: Kind, count: usize, seeds: core::ops::Range<u64>) -> Vec<Outcome> {
    seeds
        .map(|seed| play(&Scenario::draw(seed, Size::Small, vec![kind; count])))
        .collect()
}

fn refusals(outcomes: &[Outcome], kind: Kind) -> u64 {
    let of = |outcome: &Outcome| outcome.refused.get(&kind).copied().unwrap_or(0);
    outcomes.iter().map(of).sum()
}

/// All kept on, and each run's offender was refused.
fn is_always_refused(kind: Kind, seeds: core::ops::Range<u64>) {
    for outcome in with(kind, 1, seeds) {
        assert!(
            refusals(&[outcome], kind) > 0,
            "{} went unnoticed",
            kind.name()
        );
    }
}

/// All kept on, and nobody was refused: what it does can't be proven or is no crime.
fn is_never_refused(kind: Kind, seeds: core::ops::Range<u64>) {
    let outcomes = with(kind, 1, seeds);
    assert_eq!(
        refusals(&outcomes, kind),
        0,
        "{} broke no rule",
        kind.name()
    );
}

#[test]
fn forger_is_refused_and_the_chain_goes_on() {
    is_always_refused(Kind::Forger, 300..304);
}

#[test]
fn bad_work_is_refused_and_the_chain_goes_on() {
    is_always_refused(Kind::BadWork, 310..314);
}

#[test]
fn bad_signature_is_refused_and_the_chain_goes_on() {
    is_always_refused(Kind::BadSignature, 320..324);
}

#[test]
fn foreign_replay_is_refused_and_nothing_of_it_is_taken() {
    is_always_refused(Kind::ForeignReplay, 330..334);
}

#[test]
fn withheld_body_is_no_crime_and_stops_nobody() {
    is_never_refused(Kind::WithheldBody, 340..344);
}

#[test]
fn orphan_flood_is_no_crime_and_stops_nobody() {
    is_never_refused(Kind::OrphanFlood, 350..354);
}

#[test]
fn header_spam_is_no_crime_and_stops_nobody() {
    is_never_refused(Kind::HeaderSpam, 360..364);
}

/// Blocks found in the honest miners' time: a long run in which they mine always and nothing else goes wrong.
fn long(kind: Option<Kind>, intervals: u64, seed: u64) -> Outcome {
    let scenario = Scenario {
        nodes: 3,
        interval_ms: 2_000,
        latency_ms: 10,
        trouble_ms: 2_000 * intervals,
        mine_always: 1,
        seed,
        actors: kind.into_iter().collect(),
        ..Scenario::default()
    };
    play(&scenario)
}

#[test]
fn timestamp_liar_with_a_third_of_the_power_does_not_hurry_the_chain() {
    let mut blocks = (0, 0);
    for seed in 380..383 {
        let honest = long(None, 250, seed);
        let lied = long(Some(Kind::TimestampLiar), 250, seed);
        assert!(lied.refused.is_empty(), "its blocks are valid");
        let own = lied
            .blocks
            .iter()
            .filter(|(_, is_honest)| !is_honest)
            .count();
        assert!(
            own * 6 > lied.blocks.len(),
            "the liar mined only {own} of {} blocks",
            lied.blocks.len()
        );
        blocks = (blocks.0 + honest.blocks.len(), blocks.1 + lied.blocks.len());
    }
    let (honest, lied) = blocks;
    // More power finds more blocks at first; after that the rate is the rules', times 1.15 at most.
    assert!(
        lied * 100 < honest * 125,
        "{lied} blocks with a liar, {honest} without"
    );
}

#[test]
fn thirtyfold_miner_that_leaves_stops_the_chain_for_25_intervals_at_most() {
    for seed in 390..394 {
        let outcome = long(Some(Kind::Leaver), 240, seed);
        let end = 240 * 2_000;
        let times = outcome
            .blocks
            .iter()
            .map(|(at, _)| *at)
            .filter(|at| *at <= end);
        let gap = times
            .clone()
            .zip(times.skip(1))
            .map(|(a, b)| b - a)
            .max()
            .unwrap_or(end);
        assert!(
            gap > 4 * 2_000,
            "it left no gap: it was not thirty times as strong"
        );
        assert!(gap <= 25 * 2_000, "{} ms without a block", gap);
    }
}

#[test]
fn silent_majority_keeps_nobody_from_the_honest_chain() {
    for outcome in with(Kind::Eclipse, 12, 370..373) {
        assert_eq!(outcome.refused.len(), 0, "silence is no crime");
    }
}

/// The late nodes know a final block and want its snapshot; whom they ask first lies, if he is there first.
#[test]
fn lying_snapshot_is_refused_whatever_the_lie_and_the_truth_comes_from_others() {
    let mut reasons = BTreeSet::new();
    for outcome in with(Kind::LyingSnapshot, 6, 400..412) {
        assert!(outcome.happened.contains("snapshot"), "no snapshot came");
        reasons.extend(outcome.reasons);
    }
    for lie in [
        "state root",
        "active time or work",
        "was asked for",
        "parts do not fit",
    ] {
        assert!(
            reasons.iter().any(|reason| reason.contains(lie)),
            "nobody was refused for a lie about '{lie}': {reasons:?}"
        );
    }
}
