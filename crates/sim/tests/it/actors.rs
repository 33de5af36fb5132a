//! Each hostile party: what the honest nodes achieve in spite of it, and whether it was refused.
//!
//! Every run ends, as all do, with all honest nodes on one chain, nothing that a user sent lost and no honest peer refused.

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

#[test]
fn silent_majority_keeps_nobody_from_the_honest_chain() {
    for outcome in with(Kind::Eclipse, 12, 370..373) {
        assert_eq!(outcome.refused.len(), 0, "silence is no crime");
    }
}
