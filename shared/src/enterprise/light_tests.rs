//! Which contradictions of the validators a light client proves, and which it only refuses.
//!
//! Headers are made by hand: what a client holds are headers and signatures, whatever chain is behind them.

use super::tests::{genesis, header as tenant_header, identity, set, tenant};
use super::*;
use crate::hash::Hash;
use crate::ids::PublicKey;
use crate::merkle::Tree;

const FIRST: [u8; 4] = [1, 2, 3, 4];
const SECOND: [u8; 4] = [3, 4, 5, 6];
const THIRD: [u8; 4] = [5, 6, 7, 8];

/// A header that `mark` tells from others of its height; its log has one entry, the final block.
fn decided(height: u64, mark: u8, sets: ([u8; 4], [u8; 4]), signers: &[u8]) -> Checkpoint {
    let (now, next) = (set(sets.0), set(sets.1));
    let header = EnterpriseHeader {
        version: EnterpriseHeader::VERSION,
        height: EnterpriseHeight(height),
        previous: Hash([mark; 32]),
        time: genesis(4).created_at(),
        data_root: EnterpriseBlock::data_root(&[]),
        state_root: Hash::ZERO,
        log_size: 1,
        log_root: Tree::new(alloc::vec![final_block().leaf()]).root(),
        validators: now.hash(),
        next_validators: next.hash(),
        proposer: identity(sets.0[0]).public_key(),
    };
    let vote = Vote::precommit(header.height, Round(0), header.hash());
    let mut signatures: Vec<_> = signers
        .iter()
        .map(|seed| {
            let index = now.index_of(&identity(*seed).public_key()).unwrap();
            (index, vote.sign(&identity(*seed), genesis(4).chain_id()))
        })
        .collect();
    signatures.sort_by_key(|(index, _)| *index);
    let certificate = Certificate {
        height: header.height,
        round: Round(0),
        block_hash: header.hash(),
        signatures,
    };
    Checkpoint {
        header,
        certificate,
    }
}

fn final_block() -> FinalBlock {
    let header = tenant_header(1, tenant().chain_id().0, 1);
    let chain_id = tenant().chain_id();
    FinalBlock::executed(chain_id, header.height, header.hash(), header.work(), 0)
}

/// A change of the set, signed by the first three.
fn link(height: u64, mark: u8, sets: ([u8; 4], [u8; 4])) -> SetLink {
    let checkpoint = decided(height, mark, sets, &sets.0[..3]);
    SetLink {
        checkpoint,
        next: set(sets.1),
    }
}

/// A header without a change, signed by the first three.
fn plain(height: u64, mark: u8, set: [u8; 4]) -> Checkpoint {
    decided(height, mark, (set, set), &set[..3])
}

fn proof(links: &[SetLink], checkpoint: Checkpoint, from_size: u64) -> Vec<u8> {
    let proof = FinalityProof {
        genesis: genesis(4),
        links: links.to_vec(),
        receipt: Receipt {
            transaction: None,
            chain_id: tenant().chain_id(),
            header: tenant_header(1, tenant().chain_id().0, 1),
            work: final_block().work(),
            resets: 0,
            index: 0,
            path: Vec::new(),
            checkpoint,
        },
        from_size,
        consistency: Vec::new(),
    };
    proof.encode()
}

/// A client that was shown the changes and the header after them.
fn shown(links: &[SetLink], checkpoint: Checkpoint) -> LightClient {
    let mut client = LightClient::new(genesis(4).hash());
    let news = client.accept(tenant().chain_id(), &proof(links, checkpoint, 0));
    assert_eq!(news, Ok(Some(final_block())));
    client
}

fn keys(seeds: &[u8]) -> Vec<PublicKey> {
    let mut keys: Vec<_> = seeds
        .iter()
        .map(|seed| identity(*seed).public_key())
        .collect();
    keys.sort();
    keys
}

/// The height of the split that the client sees in a proof, and who signed both; anybody can check it.
fn split(client: &mut LightClient, bytes: &[u8]) -> (u64, Vec<PublicKey>) {
    let before = client.height();
    let refused = client.accept(tenant().chain_id(), bytes);
    let Err(LightError::Split { proof, .. }) = refused else {
        panic!("not noticed: {refused:?}")
    };
    assert_eq!(client.height(), before);
    let again = Split::decode(proof.bytes(), genesis(4).hash());
    assert_eq!(again.as_ref(), Ok(&*proof));
    (proof.height().0, proof.culprits().to_vec())
}

fn other_validators(client: &mut LightClient, bytes: &[u8]) -> u64 {
    let refused = client.accept(tenant().chain_id(), bytes);
    let Err(LightError::OtherValidators { height }) = refused else {
        panic!("not refused so: {refused:?}")
    };
    height.0
}

#[test]
fn a_change_of_the_validators_that_contradicts_a_known_header_is_a_split_that_names_who_signed_both()
 {
    let known = link(3, 1, (FIRST, SECOND));
    let mut client = shown(&[known], plain(6, 1, SECOND));
    // Another change at the height of a known one, no change there, and a change at the newest height.
    let other = link(3, 2, (FIRST, THIRD));
    let bytes = proof(&[other], plain(9, 2, THIRD), 1);
    assert_eq!(split(&mut client, &bytes), (3, keys(&[1, 2, 3])));
    let signers = [2, 3, 4];
    let unchanged = decided(3, 2, (FIRST, FIRST), &signers);
    let bytes = proof(&[], unchanged, 1);
    assert_eq!(split(&mut client, &bytes), (3, keys(&[2, 3])));
    let known = link(3, 1, (FIRST, SECOND));
    let newest = link(6, 2, (SECOND, THIRD));
    let bytes = proof(&[known, newest], plain(9, 2, THIRD), 1);
    assert_eq!(split(&mut client, &bytes), (6, keys(&[3, 4, 5])));
}

#[test]
fn other_validators_without_two_headers_of_one_set_are_refused_and_prove_nothing() {
    let known = link(3, 1, (FIRST, SECOND));
    let mut client = shown(core::slice::from_ref(&known), plain(6, 1, SECOND));
    // Retired validators go on alone: past their retirement, by a set of theirs before or after it, at the newest height.
    let bytes = proof(&[], plain(9, 2, FIRST), 1);
    assert_eq!(other_validators(&mut client, &bytes), 3);
    let bytes = proof(&[], plain(6, 2, FIRST), 1);
    assert_eq!(other_validators(&mut client, &bytes), 3);
    for height in [2, 4] {
        let theirs = link(height, 2, (FIRST, THIRD));
        let bytes = proof(&[theirs], plain(9, 2, THIRD), 1);
        assert_eq!(other_validators(&mut client, &bytes), 3);
    }
    // Below the newest known header, which names the set that was in force.
    let later = link(5, 2, (SECOND, THIRD));
    let bytes = proof(&[known, later], plain(9, 2, THIRD), 1);
    assert_eq!(other_validators(&mut client, &bytes), 6);
}

#[test]
fn a_header_that_no_quorum_signed_shows_no_split() {
    let mut client = shown(&[], plain(6, 1, FIRST));
    let two = decided(6, 2, (FIRST, FIRST), &[1, 2]);
    let refused = client.accept(tenant().chain_id(), &proof(&[], two, 1));
    assert!(
        matches!(refused, Err(LightError::Receipt(_))),
        "{refused:?}"
    );
}

#[test]
fn changes_that_cancel_each_other_may_be_learned_of_later() {
    let (away, back) = (link(2, 1, (FIRST, SECOND)), link(4, 1, (SECOND, FIRST)));
    let on = link(8, 1, (FIRST, THIRD));
    let mut client = shown(&[], plain(6, 1, FIRST));
    let chain_id = tenant().chain_id();
    let whole = [away, back, on];
    let bytes = proof(&whole, plain(10, 1, THIRD), 1);
    assert_eq!(client.accept(chain_id, &bytes), Ok(None), "no news");
    assert_eq!(client.height(), EnterpriseHeight(10));
    let bytes = proof(&whole[2..], plain(11, 1, THIRD), 1);
    assert_eq!(client.accept(chain_id, &bytes), Ok(None), "left out again");
    let bytes = proof(&whole[..2], plain(12, 2, FIRST), 1);
    assert_eq!(other_validators(&mut client, &bytes), 8);
}

fn branch(links: &[SetLink], checkpoint: Checkpoint) -> Branch {
    Branch {
        genesis: genesis(4),
        links: links.to_vec(),
        checkpoint,
    }
}

#[test]
fn a_branch_that_has_gone_on_is_shown_by_its_header_of_the_known_height() {
    let known = link(3, 1, (FIRST, SECOND));
    let mut client = shown(core::slice::from_ref(&known), plain(6, 1, SECOND));
    let header = client.header().unwrap();
    assert_eq!(header.to_string().parse(), Ok(header));
    assert_eq!(header.hash, plain(6, 1, SECOND).header.hash());
    let on = proof(core::slice::from_ref(&known), plain(9, 2, SECOND), 0);
    let refused = client.accept(tenant().chain_id(), &on);
    let base = LightError::OtherBase {
        found: 0,
        allowed: 1,
    };
    assert_eq!(refused, Err(base), "no header of a known height is in it");
    let there = branch(core::slice::from_ref(&known), plain(6, 2, SECOND));
    assert_eq!(Branch::decode(&there.encode()), Ok(there.clone()));
    let named = split(&mut client, &there.encode());
    assert_eq!(named, (6, keys(&[3, 4, 5])));
}

#[test]
fn a_branch_that_contradicts_nothing_known_is_refused() {
    let known = link(3, 1, (FIRST, SECOND));
    let known = core::slice::from_ref(&known);
    let good = branch(known, plain(6, 2, SECOND)).encode();
    let mut fresh = LightClient::new(genesis(4).hash());
    let chain = tenant().chain_id();
    assert_eq!(fresh.header(), None);
    assert_eq!(fresh.accept(chain, &good), Err(LightError::NothingProved));
    let mut client = shown(known, plain(6, 1, SECOND));
    let before = client.header();
    for harmless in [
        branch(known, plain(6, 1, SECOND)),
        branch(known, plain(5, 2, SECOND)),
        branch(known, decided(6, 2, (SECOND, SECOND), &SECOND[..2])),
        // Of retired validators: they did not sign the known one.
        branch(&[], plain(6, 2, FIRST)),
        branch(&[link(6, 2, (FIRST, SECOND))], plain(6, 2, SECOND)),
    ] {
        let refused = client.accept(chain, &harmless.encode());
        let is_split = matches!(refused, Ok(_) | Err(LightError::Split { .. }));
        assert!(!is_split, "{refused:?}");
    }
    for place in 0..good.len() {
        let mut touched = good.clone();
        touched[place] ^= 1;
        let refused = client.accept(chain, &touched);
        let is_split = matches!(refused, Ok(_) | Err(LightError::Split { .. }));
        assert!(!is_split, "byte {place}: {refused:?}");
    }
    let long = [good.as_slice(), &[0; PROOF_BYTES_MAX]].concat();
    assert!(client.accept(chain, &long).is_err());
    assert_eq!(client.header(), before);
}

#[test]
fn a_header_is_named_by_height_and_hash_and_nothing_else() {
    for wrong in ["", "6", "6:", ":00", "6:00", "-1:00", "x:y"] {
        assert_eq!(wrong.parse::<HeaderId>(), Err(HeaderIdError), "{wrong}");
    }
}
