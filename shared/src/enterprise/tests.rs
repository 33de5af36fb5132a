//! Bytes, certificates, links and tenant rules of the enterprise chain.

use super::*;
use crate::genesis::{Access, Genesis, Rules};
use crate::hash::{Hash, sha256};
use crate::header::{Header, VERSION};
use crate::identity::Identity;
use crate::ids::{ChainId, Height, NetworkId, PublicKey, Signature, TimestampMs, Work};
use crate::merkle;
use crate::pow::Target;

const START: TimestampMs = TimestampMs(1_700_000_000_000);

pub(super) fn identity(seed: u8) -> Identity {
    Identity::from_seed([seed; 32])
}

pub(super) fn set(seeds: impl IntoIterator<Item = u8>) -> ValidatorSet {
    let info = |seed| ValidatorInfo {
        key: identity(seed).public_key(),
        name: NetworkId::parse(&format!("v{seed}")).unwrap(),
    };
    ValidatorSet::new(seeds.into_iter().map(info).collect()).unwrap()
}

pub(super) fn genesis(validators: u8) -> EnterpriseGenesis {
    EnterpriseGenesis::new(
        NetworkId::parse("main").unwrap(),
        START,
        set(1..=validators),
    )
}

pub(super) fn tenant() -> Genesis {
    Genesis {
        network_id: NetworkId::parse("shop").unwrap(),
        rules: Rules::open_default(Target::for_hashes(64).to_compact()),
        created_at: START,
        owner: identity(9).public_key(),
        enterprise_genesis: None,
        predecessor: None,
        access: Access::Open,
    }
}

pub(super) fn header(height: u32, previous: Hash, nonce: u32) -> Header {
    Header {
        version: VERSION,
        height: Height(height),
        previous,
        body_root: Hash::ZERO,
        state_root: Hash::ZERO,
        timestamp: START.plus_ms(u64::from(height) * 1_000),
        target: Target::for_hashes(64).to_compact(),
        nonce,
    }
}

pub(super) fn anchor(chain_id: ChainId, header: &Header) -> Entry {
    Entry::BlockAnchored(Anchor {
        chain_id,
        header: header.clone(),
    })
}

/// A block of these entries on top of `verifier`, and its certificate by the validators `signers`.
pub(super) fn decided(
    verifier: &Verifier,
    tenants: &Tenants,
    entries: Vec<Entry>,
    signers: impl IntoIterator<Item = u8>,
) -> (EnterpriseBlock, Certificate) {
    let now = verifier.time().plus_ms(5_000);
    let effects = tenants
        .execute(EnterpriseHeader::VERSION, now, &entries)
        .unwrap();
    let data_root = EnterpriseBlock::data_root(&entries);
    let header = verifier.next_header(now, data_root, &effects, identity(1).public_key());
    let block = EnterpriseBlock::new(header, entries).unwrap();
    let certificate = certificate(verifier, &block, signers);
    (block, certificate)
}

pub(super) fn certificate(
    verifier: &Verifier,
    block: &EnterpriseBlock,
    signers: impl IntoIterator<Item = u8>,
) -> Certificate {
    let (height, round, block_hash) = (block.header().height, Round(2), block.hash());
    let vote = Vote::precommit(height, round, block_hash);
    let sign = |seed| {
        let identity = identity(seed);
        let index = verifier
            .validators()
            .index_of(&identity.public_key())
            .unwrap();
        (index, vote.sign(&identity, verifier.chain_id()))
    };
    let mut signatures: Vec<(u16, Signature)> = signers.into_iter().map(sign).collect();
    signatures.sort_by_key(|(index, _)| *index);
    Certificate {
        height,
        round,
        block_hash,
        signatures,
    }
}

fn sample_header() -> EnterpriseHeader {
    EnterpriseHeader {
        version: 0x0200,
        height: EnterpriseHeight(0x0102_0304_0506_0708),
        previous: Hash([0x11; 32]),
        time: TimestampMs(0x0a0b_0c0d_0e0f),
        data_root: Hash([0x22; 32]),
        state_root: Hash([0x33; 32]),
        log_size: 9,
        log_root: Hash([0x44; 32]),
        validators: Hash([0x55; 32]),
        next_validators: Hash([0x66; 32]),
        proposer: PublicKey([0x77; 32]),
    }
}

#[test]
fn the_header_has_its_documented_248_bytes() {
    let bytes = sample_header().encode();
    let mut expected = vec![2, 0, 1, 2, 3, 4, 5, 6, 7, 8];
    expected.extend([0x11; 32]);
    expected.extend([0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f]);
    expected.extend([0x22; 32]);
    expected.extend([0x33; 32]);
    expected.extend([0, 0, 0, 0, 0, 0, 0, 9]);
    for fill in [0x44, 0x55, 0x66, 0x77] {
        expected.extend([fill; 32]);
    }
    assert_eq!(bytes, expected);
    assert_eq!(bytes.len(), EnterpriseHeader::BYTES);
    assert_eq!(EnterpriseHeader::decode(&bytes).unwrap(), sample_header());
    assert_eq!(sample_header().hash(), sha256(&[&bytes]));
}

#[test]
fn a_header_of_another_length_or_version_is_refused() {
    let bytes = sample_header().encode();
    assert!(EnterpriseHeader::decode(&bytes[..247]).is_err());
    assert!(EnterpriseHeader::decode(&[bytes.as_slice(), &[0]].concat()).is_err());
    let mut other = bytes;
    other[1] = 2;
    let error = EnterpriseHeader::decode(&other).unwrap_err();
    assert_eq!(
        error,
        EnterpriseError::Version {
            found: 0x0202,
            allowed: 0x0201
        }
    );
}

#[test]
fn genesis_entry_block_and_certificate_come_back_from_their_bytes() {
    let genesis = genesis(4);
    assert_eq!(
        EnterpriseGenesis::decode(&genesis.encode()).unwrap(),
        genesis
    );
    let (verifier, tenants) = (Verifier::new(&genesis), Tenants::new(&genesis));
    let chain_id = tenant().chain_id();
    let first = header(1, chain_id.0, 0);
    let entries = vec![
        Entry::TenantRegistered(Box::new(tenant())),
        anchor(chain_id, &first),
    ];
    let (block, certificate) = decided(&verifier, &tenants, entries, [1, 2, 3]);
    assert_eq!(
        EnterpriseBlock::decode(&block.encode(), genesis.blocks()).unwrap(),
        block
    );
    assert_eq!(
        Certificate::decode(&certificate.encode()).unwrap(),
        certificate
    );
    for end in 0..certificate.encode().len() {
        assert!(Certificate::decode(&certificate.encode()[..end]).is_err());
    }
}

#[test]
fn a_changed_byte_of_a_block_is_refused_or_another_block() {
    let genesis = genesis(1);
    let (verifier, tenants) = (Verifier::new(&genesis), Tenants::new(&genesis));
    let entries = vec![Entry::TenantRegistered(Box::new(tenant()))];
    let (block, certificate) = decided(&verifier, &tenants, entries, [1]);
    let bytes = block.encode();
    for index in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[index] ^= 0x40;
        if let Ok(changed) = EnterpriseBlock::decode(&changed, genesis.blocks()) {
            let refused = verifier.clone().advance(changed, certificate.clone());
            assert!(refused.is_err(), "byte {index}");
        }
    }
}

#[test]
fn a_quorum_of_the_set_decides_and_less_does_not() {
    for (validators, needed) in [(1, 1), (4, 3), (7, 5)] {
        let genesis = genesis(validators);
        let (verifier, tenants) = (Verifier::new(&genesis), Tenants::new(&genesis));
        let (block, certificate) = decided(&verifier, &tenants, Vec::new(), 1..=needed);
        assert!(
            verifier
                .clone()
                .advance(block.clone(), certificate.clone())
                .is_ok()
        );
        let fewer = Certificate {
            signatures: certificate.signatures[1..].to_vec(),
            ..certificate
        };
        let needed = usize::from(needed);
        assert_eq!(
            verifier.clone().advance(block, fewer).unwrap_err(),
            EnterpriseError::NoQuorum {
                found: needed - 1,
                needed
            }
        );
    }
}

#[test]
fn a_signer_counts_once_and_only_with_its_own_signature() {
    let genesis = genesis(4);
    let (verifier, tenants) = (Verifier::new(&genesis), Tenants::new(&genesis));
    let (block, certificate) = decided(&verifier, &tenants, Vec::new(), [1, 2, 3]);
    let refused = |change: &dyn Fn(&mut Certificate)| {
        let mut certificate = certificate.clone();
        change(&mut certificate);
        verifier
            .clone()
            .advance(block.clone(), certificate)
            .unwrap_err()
    };
    let twice = refused(&|c| c.signatures[1] = c.signatures[0]);
    assert!(matches!(twice, EnterpriseError::Signer(_)));
    let disordered = refused(&|c| c.signatures.swap(0, 1));
    assert!(matches!(disordered, EnterpriseError::Signer(_)));
    let stranger = refused(&|c| c.signatures[2].0 = 4);
    assert_eq!(stranger, EnterpriseError::Signer(4));
    let borrowed = refused(&|c| c.signatures[0].1 = c.signatures[1].1);
    assert!(matches!(borrowed, EnterpriseError::Signature(_)));
    let round = refused(&|c| c.round = Round(3));
    assert!(matches!(round, EnterpriseError::Signature(_)));
    let height = refused(&|c| c.height = EnterpriseHeight(2));
    assert!(matches!(height, EnterpriseError::OtherBlock { .. }));
}

#[test]
fn of_a_certificate_all_but_the_known_signatures_are_verified() {
    let genesis = genesis(4);
    let (verifier, tenants) = (Verifier::new(&genesis), Tenants::new(&genesis));
    let (block, mut certificate) = decided(&verifier, &tenants, Vec::new(), [1, 2, 3]);
    let forged = Signature([7; 64]);
    certificate.signatures[1].1 = forged;
    let index = certificate.signatures[1].0;
    let signer = verifier.validators().get(index).unwrap().key;
    let verdict = |known: &dyn Fn(&PublicKey, &Signature) -> bool| {
        let mut verifier = verifier.clone();
        let advanced = verifier.advance_with(block.clone(), certificate.clone(), known);
        advanced.map(|_| ())
    };
    let refused = Err(EnterpriseError::Signature(index));
    assert_eq!(verdict(&|_, _| false), refused);
    assert_eq!(
        verdict(&|key, _| *key != signer),
        refused,
        "that the others' are known says nothing of this one"
    );
    assert_eq!(
        verdict(&|key, signature| (key, signature) == (&signer, &forged)),
        Ok(())
    );
}

#[test]
fn a_certificate_of_another_chain_proves_nothing() {
    let genesis = genesis(1);
    let later = EnterpriseGenesis::new(genesis.id().clone(), START.plus_ms(1), set([1]));
    let (verifier, tenants) = (Verifier::new(&genesis), Tenants::new(&genesis));
    let (block, _) = decided(&verifier, &tenants, Vec::new(), [1]);
    let foreign = certificate(&Verifier::new(&later), &block, [1]);
    assert_eq!(
        verifier.clone().advance(block, foreign),
        Err(EnterpriseError::Signature(0))
    );
}

#[test]
fn a_block_must_follow_its_parent_in_every_field() {
    let genesis = genesis(1);
    let (mut verifier, tenants) = (Verifier::new(&genesis), Tenants::new(&genesis));
    let (block, signed) = decided(&verifier, &tenants, Vec::new(), [1]);
    verifier.advance(block, signed).unwrap();
    let (block, _) = decided(&verifier, &tenants, Vec::new(), [1]);
    type Change = fn(&mut EnterpriseHeader);
    let changes: [(&str, Change); 7] = [
        ("height", |h| h.height = EnterpriseHeight(3)),
        ("previous", |h| h.previous = Hash::ZERO),
        ("time", |h| h.time = START.plus_ms(5_000)),
        ("log root", |h| h.log_root = Hash::ZERO),
        ("set", |h| h.validators = Hash::ZERO),
        ("next set", |h| h.next_validators = Hash::ZERO),
        ("proposer", |h| h.proposer = identity(8).public_key()),
    ];
    for (name, change) in changes {
        let mut header = block.header().clone();
        change(&mut header);
        let changed = EnterpriseBlock::new(header, Vec::new()).unwrap();
        let signed = certificate(&verifier, &changed, [1]);
        assert!(verifier.clone().advance(changed, signed).is_err(), "{name}");
    }
    let signed = certificate(&verifier, &block, [1]);
    assert!(verifier.advance(block, signed).is_ok());
}

#[test]
fn an_empty_log_has_the_hash_of_nothing() {
    let genesis = genesis(1);
    let header = Verifier::new(&genesis).next_header(
        START.plus_ms(1),
        merkle::root(&[]),
        &Tenants::new(&genesis)
            .execute(EnterpriseHeader::VERSION, START.plus_ms(1), &[])
            .unwrap(),
        identity(1).public_key(),
    );
    assert_eq!((header.log_size, header.log_root), (0, sha256(&[])));
    assert_eq!(header.previous, genesis.hash());
    assert_eq!(header.height, EnterpriseHeight(1));
}

#[test]
fn enterprise_time_rises_even_when_the_clock_does_not() {
    let verifier = Verifier::new(&genesis(1));
    assert_eq!(verifier.next_time(TimestampMs(5)), START.plus_ms(1));
    assert_eq!(verifier.next_time(START.plus_ms(70)), START.plus_ms(70));
}

#[test]
fn the_heaviest_anchored_chain_is_the_state_and_the_first_wins_a_tie() {
    let mut tenants = Tenants::new(&genesis(1));
    let chain_id = tenant().chain_id();
    let registered = Entry::TenantRegistered(Box::new(tenant()));
    let (a1, b1) = (header(1, chain_id.0, 1), header(1, chain_id.0, 2));
    let b2 = header(2, b1.hash(), 3);
    let steps = [
        (vec![registered, anchor(chain_id, &a1)], a1.hash(), 1),
        (vec![anchor(chain_id, &b1)], a1.hash(), 1),
        (vec![anchor(chain_id, &b2)], b2.hash(), 2),
    ];
    for (entries, tip, blocks) in steps {
        let effects = tenants
            .execute(
                EnterpriseHeader::FIRST_VERSION,
                START.plus_ms(9_000),
                &entries,
            )
            .unwrap();
        let root = effects.state_root();
        tenants.apply(effects);
        assert_eq!(tenants.state_root(), root);
        let state = tenants.state(&chain_id).unwrap();
        assert_eq!((state.hash, state.height), (tip, Height(blocks)));
        let work = (0..blocks).fold(Work::ZERO, |sum, _| sum.plus(a1.work()));
        assert_eq!(state.work, work);
        assert_eq!(root, merkle::root(&[state.leaf()]));
    }
    assert!(
        tenants.is_anchored(chain_id, a1.hash()),
        "a replaced block stays on record"
    );
}

#[test]
fn entries_that_break_a_tenant_rule_make_the_block_invalid() {
    let genesis = genesis(1);
    let mut tenants = Tenants::new(&genesis);
    let chain_id = tenant().chain_id();
    let registered = Entry::TenantRegistered(Box::new(tenant()));
    let first = header(1, chain_id.0, 1);
    let now = START.plus_ms(9_000);
    let refused = |tenants: &Tenants, entries: &[Entry]| {
        tenants
            .execute(EnterpriseHeader::VERSION, now, entries)
            .unwrap_err()
    };
    let unknown = refused(&tenants, &[anchor(chain_id, &first)]);
    assert_eq!(unknown, EnterpriseError::TenantUnknown(chain_id));
    let twice = refused(&tenants, &[registered.clone(), registered.clone()]);
    assert_eq!(twice, EnterpriseError::RegisteredTwice(chain_id));
    let effects = tenants
        .execute(
            EnterpriseHeader::VERSION,
            now,
            &[registered.clone(), anchor(chain_id, &first)],
        )
        .unwrap();
    tenants.apply(effects);
    assert_eq!(
        refused(&tenants, &[registered]),
        EnterpriseError::RegisteredTwice(chain_id)
    );
    let again = refused(&tenants, &[anchor(chain_id, &first)]);
    assert_eq!(again, EnterpriseError::AnchoredTwice(first.hash()));
    let gap = refused(&tenants, &[anchor(chain_id, &header(3, Hash([9; 32]), 0))]);
    assert!(matches!(gap, EnterpriseError::ParentNotAnchored { .. }));
    let tall = refused(&tenants, &[anchor(chain_id, &header(3, first.hash(), 0))]);
    assert!(matches!(tall, EnterpriseError::TenantHeight { .. }));
}

#[test]
fn a_header_two_intervals_ahead_of_enterprise_time_is_the_latest_allowed() {
    let tenants = Tenants::new(&genesis(1));
    let chain_id = tenant().chain_id();
    let first = header(1, chain_id.0, 1);
    let entries = [
        Entry::TenantRegistered(Box::new(tenant())),
        anchor(chain_id, &first),
    ];
    let ahead = 2 * tenant().rules.interval();
    assert!(
        tenants
            .execute(
                EnterpriseHeader::VERSION,
                first.timestamp.minus_ms(ahead),
                &entries
            )
            .is_ok()
    );
    let error = tenants
        .execute(
            EnterpriseHeader::VERSION,
            first.timestamp.minus_ms(ahead + 1),
            &entries,
        )
        .unwrap_err();
    assert!(matches!(error, EnterpriseError::TooFarAhead { .. }));
}

#[test]
fn a_tenant_of_another_enterprise_or_with_too_little_work_is_not_registered() {
    let genesis = genesis(1);
    let tenants = Tenants::new(&genesis);
    let pinned = |hash| Genesis {
        enterprise_genesis: Some(hash),
        ..tenant()
    };
    assert_eq!(tenants.may_register(&pinned(genesis.hash())), Ok(()));
    let other = tenants.may_register(&pinned(Hash([1; 32]))).unwrap_err();
    assert!(matches!(other, EnterpriseError::OtherEnterprise { .. }));
    let limits = TenantLimits {
        easiest_target: Target::for_hashes(1 << 20).to_compact(),
        ..genesis.tenants()
    };
    let strict = genesis
        .clone()
        .with_limits(genesis.timeouts(), genesis.blocks(), limits)
        .unwrap();
    let easy = Tenants::new(&strict).may_register(&tenant()).unwrap_err();
    assert!(matches!(easy, EnterpriseError::TooEasy { .. }));
}

#[test]
fn a_set_has_one_order_and_each_key_once() {
    assert_eq!(set([1, 2, 3]), set([3, 1, 2]));
    let twice = vec![
        set([1]).validators()[0].clone(),
        set([1]).validators()[0].clone(),
    ];
    assert_eq!(
        ValidatorSet::new(twice),
        Err(EnterpriseError::ValidatorOrder)
    );
    assert!(ValidatorSet::new(Vec::new()).is_err());
}

#[test]
fn hashes_of_genesis_header_and_vote_are_pinned() {
    // Changing one of these changes what every validator signed: a reviewed act with a new version.
    let timeouts = Timeouts {
        propose_ms: 1_000,
        prevote_ms: 500,
        precommit_ms: 500,
        growth_ms: 250,
        max_ms: 10_000,
    };
    let genesis = genesis(4);
    let (blocks, tenants) = (genesis.blocks(), genesis.tenants());
    let genesis = genesis.with_limits(timeouts, blocks, tenants).unwrap();
    let pins = [
        (genesis.hash(), GENESIS_PIN),
        (sample_header().hash(), HEADER_PIN),
        (
            sha256(&[&Vote::precommit(EnterpriseHeight(7), Round(1), Hash([5; 32])).encode()]),
            VOTE_PIN,
        ),
        (
            TenantState::registered(ChainId(Hash([6; 32]))).leaf(),
            STATE_PIN,
        ),
    ];
    let found = pins.map(|(hash, _)| hash.to_string());
    assert_eq!(found, pins.map(|(_, pin)| pin.to_owned()));
}

const GENESIS_PIN: &str = "d2c76f0c9ae781c49791cea6fded1b3b1d4272aa0b2ebbd547b111ec17580148";
const HEADER_PIN: &str = "d5b7039bc7005ed66264dae06007c5ff1d974fe62399e90270254609ac016442";
const VOTE_PIN: &str = "1a4f0e4a62e12297be8214358e8649ab3f3e58546dfcbf902f21e3623d707749";
const STATE_PIN: &str = "70157548f6ad662c1e601cfa47a5c5a32665f13225246b9f4a26b9de7f032ff6";
