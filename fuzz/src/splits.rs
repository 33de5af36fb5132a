//! Splits of the validators: good ones, and what no bytes may show of validators that signed nothing of it.

use shared::{
    enterprise::{
        Certificate, Checkpoint, EnterpriseBlock, EnterpriseHeader, EnterpriseHeight, Round,
        SetLink, Split, ValidatorSet, Vote,
    },
    hash::Hash,
    identity::Identity,
    ids::PublicKey,
};

use crate::{
    corpus::NOW,
    enterprise::{self, identities},
    targets::same,
};

/// A split at a height without changes of the validators below, one at a change and one above it, of three signers of four each.
pub(crate) fn corpus() -> Vec<Vec<u8>> {
    let genesis = enterprise::enterprise_genesis();
    let (all, later) = (genesis.validators().clone(), later());
    let link = SetLink {
        checkpoint: signed(&header(4, 1, (&all, &later)), &all, &[0, 1, 2]),
        next: later.clone(),
    };
    let pair = |height, sets: (&ValidatorSet, &ValidatorSet), other| {
        let first = signed(&header(height, 1, sets), sets.0, &[0, 1, 2]);
        let second = signed(&header(height, 2, (sets.0, other)), sets.0, &[0, 2, 3]);
        (first, second)
    };
    let root = (&genesis, genesis.hash());
    let shown = [
        Split::new(root, &[], pair(3, (&all, &all), &all)),
        Split::new(root, &[], pair(4, (&all, &later), &all)),
        Split::new(root, &[link], pair(9, (&later, &later), &later)),
    ];
    let shown = shown.into_iter().filter_map(Result::ok);
    shown.map(|split| split.bytes().to_vec()).collect()
}

/// What shows a split is one that was made: each of the culprits has signed both, and it is shown by no bytes with one bit changed.
pub(crate) fn run(bytes: &[u8]) {
    let pinned = enterprise::enterprise_genesis().hash();
    let decoded = Split::decode(bytes, pinned);
    same(decoded.as_ref().map(|split| split.bytes().to_vec()), bytes);
    let Ok(split) = decoded else {
        return;
    };
    let (first, second) = split.checkpoints();
    let culprits = split.culprits();
    assert!(culprits.len() > 1, "a third of four is more than one");
    for key in culprits {
        assert!(
            has_signed(key, first) && has_signed(key, second),
            "{key} is named and has not signed both"
        );
    }
    let sum: usize = bytes.iter().map(|byte| usize::from(*byte)).sum();
    let mut changed = bytes.to_vec();
    if let Some(byte) = changed.get_mut(sum % bytes.len()) {
        *byte ^= 1 << (sum % 8);
    }
    let shown = Split::decode(&changed, pinned);
    assert!(
        shown.is_err(),
        "one bit changed, and it still shows a split"
    );
}

/// Whether this validator signed the header; the headers of the good inputs are all that was ever signed.
fn has_signed(key: &PublicKey, checkpoint: &Checkpoint) -> bool {
    let (all, later) = (enterprise::validators(), later());
    let of = |sets: (&ValidatorSet, &ValidatorSet), height, byte| {
        (sets.0.clone(), header(height, byte, sets).hash())
    };
    let (one, other): (&[usize], &[usize]) = (&[0, 1, 2], &[0, 2, 3]);
    let made = [
        (of((&all, &all), 3, 1), one),
        (of((&all, &all), 3, 2), other),
        (of((&all, &later), 4, 1), one),
        (of((&all, &all), 4, 2), other),
        (of((&later, &later), 9, 1), one),
        (of((&later, &later), 9, 2), other),
    ];
    let hash = checkpoint.header.hash();
    made.iter().any(|((set, made), signers)| {
        let keys = signers.iter().filter_map(|at| set.validators().get(*at));
        *made == hash && keys.into_iter().any(|validator| validator.key == *key)
    })
}

/// The set after the change: the last of the first one left, a fifth came.
fn later() -> ValidatorSet {
    let all = enterprise::validators();
    let mut next = all.validators().to_vec();
    if let Some(last) = next.last_mut() {
        last.key = Identity::from_seed([5; 32]).public_key();
    }
    ValidatorSet::new(next).expect("different keys")
}

fn header(height: u64, byte: u8, sets: (&ValidatorSet, &ValidatorSet)) -> EnterpriseHeader {
    EnterpriseHeader {
        version: EnterpriseHeader::VERSION,
        height: EnterpriseHeight(height),
        previous: Hash([byte; 32]),
        time: NOW,
        data_root: EnterpriseBlock::data_root(&[]),
        state_root: Hash([1; 32]),
        log_size: 0,
        log_root: Hash([2; 32]),
        validators: sets.0.hash(),
        next_validators: sets.1.hash(),
        proposer: sets
            .0
            .validators()
            .first()
            .map_or(PublicKey([0; 32]), |one| one.key),
    }
}

/// The header with the signatures of those at these places of the set.
fn signed(header: &EnterpriseHeader, set: &ValidatorSet, signers: &[u16]) -> Checkpoint {
    let chain = enterprise::enterprise_genesis().chain_id();
    let vote = Vote::precommit(header.height, Round(2), header.hash());
    let known = || {
        identities()
            .into_iter()
            .chain([Identity::from_seed([5; 32])])
    };
    let signature = |index: &u16| {
        let key = set.get(*index)?.key;
        let identity = known().find(|one| one.public_key() == key)?;
        Some((*index, vote.sign(&identity, chain)))
    };
    Checkpoint {
        header: header.clone(),
        certificate: Certificate {
            height: header.height,
            round: Round(2),
            block_hash: header.hash(),
            signatures: signers.iter().filter_map(signature).collect(),
        },
    }
}
