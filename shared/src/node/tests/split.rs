//! Validators that contradict each other: what a node keeps of it.

use super::resets::{Enterprise, club, member, started};
use super::*;
use crate::{
    enterprise::{EnterpriseHeight, Split},
    ids::Height,
};

/// A node that was given two decided blocks of one height, and the second proof.
fn contradicted() -> (Chain, Bench, Vec<u8>) {
    let mut one = Enterprise::new();
    let mut other = one.clone();
    let chain = club(&one);
    let mut bench = member(&mut one, &chain, 2);
    other.finalise(&chain, 1..=3);
    let proof = other.proof(&chain, 0);
    let bytes = proof.clone();
    bench.give(Input::ProofReceived { bytes });
    (chain, bench, proof)
}

fn told(bench: &mut Bench) -> usize {
    let events = bench.events();
    let is_it = |event: &&Event| matches!(event, Event::EnterpriseSplit { .. });
    events.iter().filter(is_it).count()
}

#[test]
fn a_split_is_told_once_and_its_proof_outlives_a_restart() {
    let (chain, mut bench, proof) = contradicted();
    assert_eq!(told(&mut bench), 1);
    let split = bench.node.split().unwrap().clone();
    assert_eq!(bench.disk["split"], split.bytes());
    bench.give(Input::ProofReceived { bytes: proof });
    assert_eq!(told(&mut bench), 0, "known");

    let bench = started(1, &chain, bench.disk);
    assert_eq!(bench.node.split(), Some(&split));
    assert_eq!(bench.node.status().final_height, Height(2), "as before");
    let enterprise = Enterprise::new();
    let validators = enterprise.genesis.validators().validators();
    assert_eq!(split.culprits(), [validators[0].key]);
    assert_eq!(split.height(), EnterpriseHeight(3));
    let pinned = enterprise.genesis.hash();
    assert_eq!(Split::decode(split.bytes(), pinned), Ok(split.clone()));
    assert!(Split::decode(split.bytes(), Hash::ZERO).is_err());
}

#[test]
fn a_stored_split_that_does_not_hold_is_set_aside_and_nothing_else_is_lost() {
    let (chain, bench, _) = contradicted();
    let whole = bench.disk["split"].clone();
    let mut touched = whole.clone();
    touched[200] ^= 1;
    let headless = whole[4..].to_vec();
    for wrong in [touched, whole[..300].to_vec(), headless, Vec::new()] {
        let mut disk = bench.disk.clone();
        disk.insert("split".to_string(), wrong.clone());
        let mut bench = started(1, &chain, disk);
        let events = bench.events();
        let damaged =
            |event: &Event| matches!(event, Event::StorageDamaged { key, .. } if key == "split");
        assert!(events.iter().any(damaged), "{events:?}");
        assert_eq!(bench.node.split(), None);
        assert_eq!(bench.disk["damaged/split"], wrong);
        let status = bench.node.status();
        assert_eq!((status.height, status.final_height), (Height(6), Height(2)));
    }
}

#[test]
fn of_a_branch_that_has_gone_on_the_header_of_the_known_height_is_asked_for() {
    let mut one = Enterprise::new();
    let mut other = one.clone();
    let chain = club(&one);
    let mut bench = member(&mut one, &chain, 2);
    other.finalise(&chain, 1..=3);
    let there = other.branch();
    other.finalise(&chain, 4..=5);
    let known = bench.node.light_client().unwrap().header();
    assert_eq!(known.unwrap().height, there.checkpoint.header.height);

    let asked = |bench: &mut Bench| {
        bench.orders.clear();
        bench.pass(crate::node::limits::PROOF_INTERVAL_MS);
        let named = bench.orders.iter().find_map(|order| {
            if let Output::AskProof { known, .. } = order {
                return Some(*known);
            }
            None
        });
        named.expect("a question")
    };
    assert_eq!(asked(&mut bench), known);
    let bytes = other.proof(&chain, 0);
    bench.give(Input::ProofReceived { bytes });
    assert_eq!(told(&mut bench), 0, "it shows nothing alone");
    assert_eq!(asked(&mut bench), known);
    let bytes = there.encode();
    bench.give(Input::ProofReceived { bytes });
    assert_eq!(told(&mut bench), 1);
    let split = bench.node.split().unwrap();
    assert_eq!(split.height(), there.checkpoint.header.height);
    assert_eq!(bench.disk["split"], split.bytes());
}
