//! The chain: what connects, what is refused, reorganisation, headers first.

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use shared::{
    block::{BlockError, UncheckedBlock, check_header},
    chain::{Chain, ChainError, HeaderInserted, Inserted},
    hash::Hash,
    header::{Header, Solution},
    ids::{Height, Sequence, TimestampMs, Work},
    limits::SIDE_HEADERS_MAX,
    miner::{Miner, Step},
};

use crate::support::{
    at, fingerprint, genesis, genesis_of, identity, message, message_of, mine, miner, next_block,
    rules,
};

const LATE: TimestampMs = TimestampMs(1_800_000_000_000);

fn unchecked(block: &shared::block::Block) -> UncheckedBlock {
    UncheckedBlock::decode(&block.encode()).unwrap()
}

fn grind(header: &mut Header) {
    let target = header.target.target();
    let Step::Found(solution) = Miner::new(header, &target, 0, u32::MAX).step(u32::MAX) else {
        panic!("no nonce")
    };
    *header = header.solved(solution);
}

fn chain_of(count: u64) -> Chain {
    let mut chain = Chain::new(genesis());
    for number in 1..=count {
        mine(&mut chain, 1, vec![], at(number * 10));
    }
    chain
}

#[test]
fn an_empty_chain_stands_on_its_genesis() {
    let chain = Chain::new(genesis());
    let tip = chain.tip();
    assert_eq!(
        (tip.height, tip.hash, tip.work),
        (Height(0), chain.chain_id().0, Work::ZERO)
    );
    assert_eq!(tip.timestamp, genesis().created_at);
    assert_eq!(chain.locator(), vec![chain.chain_id().0]);
    assert_eq!(chain.hash_at(Height(0)), Some(chain.chain_id().0));
    assert!(chain.headers_after(&chain.locator(), 10).is_empty());
}

#[test]
fn a_mined_message_is_confirmed_and_counted() {
    let mut chain = Chain::new(genesis());
    let sender = identity(5).public_key();
    let (first, second) = (message(5, 0), message(5, 1));
    let gap = message(5, 3);
    let block = mine(
        &mut chain,
        1,
        vec![first.clone(), gap, second.clone()],
        at(3),
    );
    assert_eq!(block.transactions(), [first.clone(), second]);
    assert_eq!(chain.next_sequence(&sender), Sequence(2));
    assert_eq!(chain.contains_transaction(&first.id()), Some(Height(1)));
    assert_eq!(chain.block_at(Height(1)), Some(&block));
    assert_eq!(chain.insert(block, at(3)), Ok(Inserted::AlreadyKnown));
}

#[test]
fn block_bytes_come_back_and_are_checked_again() {
    let mut chain = Chain::new(genesis());
    let transactions = vec![message(5, 0), message(6, 0)];
    let block = mine(&mut chain, 1, transactions, at(3));
    assert_eq!(unchecked(&block).check(chain.genesis()), Ok(block.clone()));
    assert_eq!(
        unchecked(&block).check_archived(chain.genesis()),
        Ok(block.clone())
    );
    assert_eq!(
        Header::decode(&block.header().encode()).as_ref(),
        Ok(block.header())
    );
    let bytes = block.encode();
    for len in 0..bytes.len() {
        assert!(UncheckedBlock::decode(&bytes[..len]).is_err(), "{len}");
    }
}

#[test]
fn no_changed_byte_of_a_block_gets_through() {
    let mut chain = Chain::new(genesis());
    let transactions = vec![message(5, 0)];
    let block = next_block(&chain, 1, transactions, at(3));
    let bytes = block.encode();
    for index in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[index] ^= 1;
        let Ok(parsed) = UncheckedBlock::decode(&changed) else {
            continue;
        };
        let Ok(checked) = parsed.check(chain.genesis()) else {
            continue;
        };
        // At sixteen hashes a block a changed header often meets the target; then the chain has to notice.
        let before = fingerprint(&chain);
        // The timestamp and the nonce are the miner's to choose.
        let free = (102..108).contains(&index) || (112..116).contains(&index);
        if chain.insert(checked, at(3)).is_ok() {
            assert!(free, "byte {index}");
            chain = Chain::new(genesis());
        } else {
            assert_eq!(fingerprint(&chain), before);
        }
    }
}

#[test]
fn an_unverified_signature_is_found_by_check_only() {
    let genesis = genesis();
    let chain = Chain::new(genesis.clone());
    let mut block = unchecked(&next_block(&chain, 1, vec![message(5, 0)], at(3)));
    let last = block.transactions[0].len() - 1;
    block.transactions[0][last] ^= 1;
    let wrong_root = block.clone().check(&genesis).unwrap_err();
    assert!(matches!(wrong_root, BlockError::BodyRoot { .. }) && !wrong_root.is_of_header());
    let ids = block
        .transactions
        .iter()
        .map(|bytes| shared::hash::sha256(&[bytes]));
    block.header.body_root = shared::block::body_root(&block.miner, ids);
    grind(&mut block.header);
    let error = block.clone().check(&genesis).unwrap_err();
    assert!(matches!(error, BlockError::Transaction { index: 0, .. }) && error.is_of_header());
    assert!(block.check_archived(&genesis).is_ok());
}

#[test]
fn header_rules_name_what_was_found_and_allowed() {
    let mut chain = chain_of(2);
    let good = next_block(&chain, 1, vec![], at(30));
    let tip = chain.tip();
    let refusal = |chain: &mut Chain, change: &dyn Fn(&mut Header)| {
        let mut header = good.header().clone();
        change(&mut header);
        grind(&mut header);
        chain.insert_header(header, at(30)).unwrap_err()
    };
    let invalid = ChainError::Invalid;
    let error = refusal(&mut chain, &|h| h.height = Height(4));
    assert_eq!(
        error,
        invalid(BlockError::Height {
            found: Height(4),
            allowed: Height(3)
        })
    );
    let error = refusal(&mut chain, &|h| h.timestamp = tip.timestamp);
    assert_eq!(
        error,
        invalid(BlockError::Timestamp {
            found: tip.timestamp,
            allowed: tip.timestamp.plus_ms(1)
        })
    );
    let error = refusal(&mut chain, &|h| h.previous = Hash([9; 32]));
    assert_eq!(
        error,
        ChainError::UnknownParent {
            previous: Hash([9; 32])
        }
    );
    let error = refusal(&mut chain, &|h| {
        h.target = rules().floor_target().to_compact()
    });
    assert!(
        matches!(error, ChainError::Invalid(BlockError::Target { allowed, .. }) if allowed == good.header().target)
    );
    assert_eq!(chain.tip(), tip);
}

#[test]
fn work_is_checked_before_the_parent() {
    let mut chain = Chain::new(genesis());
    let mut header = next_block(&chain, 1, vec![], at(3)).header().clone();
    header.previous = Hash([9; 32]);
    while header.target.target().is_met_by(&header.hash()) {
        header.nonce += 1;
    }
    let error = chain.insert_header(header, at(3)).unwrap_err();
    assert!(matches!(
        error,
        ChainError::Invalid(BlockError::WorkNotDone { .. })
    ));
}

#[test]
fn a_block_from_the_future_is_held_and_taken_later() {
    let mut chain = Chain::new(genesis());
    let block = next_block(&chain, 1, vec![], at(40));
    let held = ChainError::TooFarAhead {
        found: at(40),
        allowed: at(39),
    };
    assert_eq!(chain.insert(block.clone(), at(19)), Err(held));
    assert_eq!(chain.header(&block.hash()), None);
    assert!(matches!(
        chain.insert(block, at(20)),
        Ok(Inserted::Connected { .. })
    ));
}

#[test]
fn a_longer_branch_takes_over_and_its_transactions_with_it() {
    let mut chain = chain_of(3);
    let mut rival = chain.clone();
    let lost = message(5, 0);
    let (a, b) = (
        mine(&mut chain, 1, vec![lost.clone()], at(40)),
        mine(&mut chain, 1, vec![message(6, 0)], at(50)),
    );
    let branch: Vec<_> = (0..3)
        .map(|n| mine(&mut rival, 2, vec![message(7, n)], at(41 + n * 10)))
        .collect();
    assert_eq!(chain.insert(branch[0].clone(), LATE), Ok(Inserted::Stored));
    assert_eq!(chain.insert(branch[1].clone(), LATE), Ok(Inserted::Stored));
    let connected = branch.iter().map(shared::block::Block::hash).collect();
    let switched = Inserted::Connected {
        disconnected: vec![b.hash(), a.hash()],
        connected,
    };
    assert_eq!(chain.insert(branch[2].clone(), LATE), Ok(switched));
    assert_eq!(fingerprint(&chain), fingerprint(&rival));
    assert_eq!(chain.contains_transaction(&lost.id()), None);
    assert_eq!(chain.next_sequence(&identity(5).public_key()), Sequence(0));
    assert_eq!(chain.next_sequence(&identity(7).public_key()), Sequence(3));
    assert_eq!(chain.branch_tips().len(), 2);
}

#[test]
fn first_seen_wins_a_tie() {
    let mut chain = chain_of(1);
    let mut rival = chain.clone();
    let first = mine(&mut chain, 1, vec![], at(20));
    let second = mine(&mut rival, 2, vec![], at(20));
    assert_eq!(chain.insert(second.clone(), LATE), Ok(Inserted::Stored));
    assert_eq!(rival.insert(first.clone(), LATE), Ok(Inserted::Stored));
    assert_eq!(
        (chain.tip().hash, rival.tip().hash),
        (first.hash(), second.hash())
    );
}

#[test]
fn more_work_beats_more_blocks() {
    let mut chain = chain_of(12);
    let mut eager = Chain::new(genesis());
    // Blocks every 2 s make each next one harder than blocks every 10 s.
    for number in 1..=8 {
        mine(&mut eager, 2, vec![], at(number * 2));
    }
    for number in 13..=40u64 {
        mine(&mut chain, 1, vec![], at(number * 40));
    }
    let mut number = 9;
    while eager.tip().work <= chain.tip().work {
        mine(&mut eager, 2, vec![], at(number * 2));
        number += 1;
    }
    assert!(eager.tip().height < chain.tip().height);
    for height in 1..=eager.tip().height.0 {
        chain
            .insert(eager.block_at(Height(height)).unwrap().clone(), LATE)
            .unwrap();
    }
    assert_eq!(fingerprint(&chain), fingerprint(&eager));
}

#[test]
fn any_low_byte_of_the_version_is_taken_and_no_other_high_one() {
    let block = next_block(&Chain::new(genesis()), 1, vec![message(5, 0)], at(10));
    let target = block.header().target.target();
    let with = |version| {
        let nonces = (0..).map(|nonce| block.header().solved(Solution { version, nonce }));
        let mut met = nonces.filter(|header| target.is_met_by(&header.hash()));
        met.next().unwrap()
    };
    for version in [0x0200, 0x0201, 0x02fe, 0x02ff] {
        let header = with(version);
        assert_eq!(check_header(&header, &genesis().rules), Ok(()));
        assert_eq!(Header::decode(&header.encode()), Ok(header));
    }
    for version in [0, 0x00ff, 0x01ff, 0x0300, u16::MAX] {
        let header = with(version);
        let refused = check_header(&header, &genesis().rules);
        assert!(matches!(refused, Err(BlockError::Version { found, .. }) if found == version));
        assert!(Header::decode(&header.encode()).is_err());
    }
}

#[test]
fn an_invalid_branch_changes_nothing_and_is_remembered() {
    let mut chain = chain_of(2);
    let mut rival = chain.clone();
    mine(&mut chain, 1, vec![message(5, 0)], at(30));
    mine(&mut chain, 1, vec![message(5, 1)], at(40));
    let good: Vec<_> = (0..2)
        .map(|n| mine(&mut rival, 2, vec![message(6, n)], at(31 + n * 10)))
        .collect();
    let mut bad = unchecked(&next_block(&rival, 2, vec![message(6, 2)], at(51)));
    bad.header.state_root = Hash([7; 32]);
    grind(&mut bad.header);
    let bad = bad.check(chain.genesis()).unwrap();
    for block in good {
        assert_eq!(chain.insert(block, LATE), Ok(Inserted::Stored));
    }
    let before = fingerprint(&chain);
    let error = chain.insert(bad.clone(), LATE).unwrap_err();
    assert!(
        matches!(error, ChainError::Invalid(BlockError::StateRoot { .. })),
        "{error}"
    );
    assert_eq!(fingerprint(&chain), before);
    assert!(chain.is_invalid(&bad.hash()));
    let again = ChainError::Invalid(BlockError::KnownInvalid { found: bad.hash() });
    assert_eq!(chain.insert(bad, LATE), Err(again));
    // The valid part of that branch can still win.
    let next = next_block(&rival, 2, vec![], at(52));
    assert!(matches!(
        chain.insert(next, LATE),
        Ok(Inserted::Connected { .. })
    ));
}

#[test]
fn a_repeated_or_skipped_sequence_is_invalid() {
    let genesis = genesis();
    let chain = Chain::new(genesis.clone());
    for sequence in [1, 5] {
        let mut chain = chain.clone();
        let transaction = message(5, sequence);
        let template = chain.template(miner(1), vec![], at(3));
        let mut block = UncheckedBlock {
            header: template.header,
            miner: template.miner,
            transactions: vec![transaction.encode()],
        };
        block.header.body_root =
            shared::block::body_root(&block.miner, [transaction.id()].into_iter());
        grind(&mut block.header);
        let error = chain
            .insert(block.check(&genesis).unwrap(), at(3))
            .unwrap_err();
        let allowed = Sequence(0);
        let expected = BlockError::Sequence {
            index: 0,
            found: Sequence(sequence),
            allowed,
        };
        assert_eq!(error, ChainError::Invalid(expected));
    }
}

#[test]
fn headers_first_then_bodies_in_any_order() {
    let source = {
        let mut chain = chain_of(5);
        mine(&mut chain, 1, vec![message(5, 0)], at(60));
        chain
    };
    let mut chain = Chain::new(genesis());
    let headers = source.headers_after(&chain.locator(), 2_000);
    assert_eq!(headers.len(), 6);
    for header in headers {
        assert_eq!(
            chain.insert_header(header.clone(), LATE),
            Ok(HeaderInserted::Added)
        );
        assert_eq!(
            chain.insert_header(header, LATE),
            Ok(HeaderInserted::AlreadyKnown)
        );
    }
    assert_eq!(chain.best_header(), source.tip());
    assert_eq!(chain.tip().height, Height(0));
    let missing = chain.missing_bodies(4);
    assert_eq!(
        missing
            .iter()
            .map(|(height, _)| height.0)
            .collect::<Vec<_>>(),
        [1, 2, 3, 4]
    );
    for height in [6, 2, 5, 3, 4] {
        let block = source.block_at(Height(height)).unwrap().clone();
        assert_eq!(chain.insert(block, LATE), Ok(Inserted::Stored));
    }
    assert_eq!(
        chain.missing_bodies(9),
        vec![(Height(1), source.hash_at(Height(1)).unwrap())]
    );
    let connected = chain
        .insert(source.block_at(Height(1)).unwrap().clone(), LATE)
        .unwrap();
    assert!(matches!(connected, Inserted::Connected { connected, .. } if connected.len() == 6));
    assert_eq!(fingerprint(&chain), fingerprint(&source));
    assert!(chain.missing_bodies(9).is_empty());
}

#[test]
fn an_invalid_block_among_early_bodies_leaves_the_valid_part() {
    let source = chain_of(3);
    let mut bad = unchecked(&next_block(&source, 2, vec![], at(40)));
    bad.header.state_root = Hash([7; 32]);
    grind(&mut bad.header);
    let bad = bad.check(source.genesis()).unwrap();
    let mut chain = Chain::new(genesis());
    for header in source.headers_after(&chain.locator(), 10) {
        chain.insert_header(header, LATE).unwrap();
    }
    assert_eq!(chain.insert(bad.clone(), LATE), Ok(Inserted::Stored));
    for height in [3, 2] {
        chain
            .insert(source.block_at(Height(height)).unwrap().clone(), LATE)
            .unwrap();
    }
    let connected = chain
        .insert(source.block_at(Height(1)).unwrap().clone(), LATE)
        .unwrap();
    assert!(matches!(connected, Inserted::Connected { connected, .. } if connected.len() == 3));
    assert_eq!(fingerprint(&chain), fingerprint(&source));
    assert_eq!(chain.best_header(), source.tip());
    assert!(chain.is_invalid(&bad.hash()));
}

#[test]
fn a_header_whose_body_is_refused_makes_room_for_the_next_best() {
    let mut chain = chain_of(2);
    let mut rival = chain.clone();
    for number in 0..3 {
        let block = mine(&mut rival, 2, vec![], at(30 + number));
        chain.insert_header(block.header().clone(), LATE).unwrap();
    }
    let first = rival.hash_at(Height(3)).unwrap();
    assert_eq!(chain.missing_bodies(1), vec![(Height(3), first)]);
    chain.invalidate(&first);
    assert_eq!(chain.best_header(), chain.tip());
    assert!(chain.missing_bodies(1).is_empty());
    let own = chain.tip().hash;
    chain.invalidate(&own);
    assert_eq!(chain.tip().hash, own, "the main chain is not invalidated");
}

#[test]
fn a_locator_finds_the_fork_from_far_away() {
    let mut chain = chain_of(100);
    let mut rival = chain.clone();
    for number in 0..30 {
        mine(&mut chain, 1, vec![], at(1_010 + number * 10));
        mine(&mut rival, 2, vec![], at(1_011 + number * 10));
    }
    let locator = rival.locator();
    assert!(locator.len() < 30, "{}", locator.len());
    assert_eq!(locator.last(), Some(&chain.chain_id().0));
    let headers = chain.headers_after(&locator, 2_000);
    let from = headers[0].height.0;
    assert!((60..=101).contains(&from), "{from}");
    assert_eq!(headers.last().unwrap().hash(), chain.tip().hash);
    assert_eq!(chain.headers_after(&[], 3).len(), 3);
}

#[test]
fn a_template_keeps_the_limits() {
    let genesis = genesis_of(shared::genesis::Rules {
        block_bytes_max: 4_096,
        block_transactions_max: 3,
        transaction_bytes_max: 2_048,
        message_bytes_max: 1_900,
        ..rules()
    });
    let chain = Chain::new(genesis.clone());
    let long = message_of(&genesis, 1, 0, &"x".repeat(1_900));
    let candidates: Vec<_> = [
        long,
        message_of(&genesis, 2, 0, &"y".repeat(1_900)),
        message_of(&genesis, 3, 0, "a"),
        message_of(&genesis, 4, 0, "b"),
        message_of(&genesis, 5, 0, "c"),
    ]
    .into();
    let block = next_block(&chain, 1, candidates, at(3));
    let senders: Vec<_> = block.transactions().iter().map(|t| t.sender()).collect();
    assert_eq!(senders, [1, 3, 4].map(|n| identity(n).public_key()));
    assert!(block.encode().len() <= 4_096);
}

#[test]
fn a_block_of_another_chain_is_refused() {
    let other = genesis_of(shared::genesis::Rules {
        stamp_bits: 1,
        ..rules()
    });
    let block = next_block(&Chain::new(other), 1, vec![], at(3));
    let mut chain = Chain::new(genesis());
    let error = chain.insert(block, at(3)).unwrap_err();
    assert!(matches!(
        error,
        ChainError::Invalid(BlockError::OtherChain { .. })
    ));
}

#[test]
fn a_reorganisation_may_go_down_to_the_genesis() {
    let (mut chain, mut rival) = (chain_of(120), Chain::new(genesis()));
    for number in 1..=121 {
        mine(
            &mut rival,
            2,
            vec![message(5, number - 1)],
            at(number * 10 - 1),
        );
    }
    let mut outcome = Ok(Inserted::AlreadyKnown);
    for height in 1..=rival.tip().height.0 {
        outcome = chain.insert(rival.block_at(Height(height)).unwrap().clone(), LATE);
    }
    let Ok(Inserted::Connected {
        disconnected,
        connected,
    }) = outcome
    else {
        panic!("{outcome:?}")
    };
    assert_eq!((disconnected.len(), connected.len()), (120, 121));
    assert_eq!(fingerprint(&chain), fingerprint(&rival));
}

#[test]
fn headers_beside_the_spine_are_bounded_and_the_lightest_goes_first() {
    let mut chain = chain_of(3);
    let template = chain.template(miner(1), vec![], at(40)).header;
    let first = Chain::new(genesis())
        .template(miner(1), vec![], at(10))
        .header;
    for number in 0..SIDE_HEADERS_MAX + 40 {
        let mut header = if number % 2 == 0 {
            first.clone()
        } else {
            template.clone()
        };
        header.body_root.0[..8].copy_from_slice(&(number as u64).to_be_bytes());
        grind(&mut header);
        assert_eq!(chain.insert_header(header, LATE), Ok(HeaderInserted::Added));
    }
    let tips = chain.branch_tips();
    let heavy = tips.iter().filter(|tip| tip.height == Height(4)).count();
    assert!(tips.len() <= SIDE_HEADERS_MAX + 1, "{}", tips.len());
    assert_eq!(heavy, SIDE_HEADERS_MAX / 2 + 20, "only light ones went");
    assert_eq!(chain.tip().height, Height(3));
    // In a batch all stay; then as many go as came, and it is said which.
    let before = chain.header_count();
    chain.begin_batch();
    for number in 0..5_u64 {
        let mut header = first.clone();
        header.body_root.0[8..16].copy_from_slice(&(number + 1).to_be_bytes());
        grind(&mut header);
        chain.insert_header(header, LATE).unwrap();
        assert!(chain.removed().is_empty());
    }
    assert_eq!(chain.header_count(), before + 5);
    chain.end_batch();
    assert_eq!(chain.header_count(), before);
    assert_eq!(chain.removed().len(), 5);
    for (height, hash) in chain.removed() {
        assert_eq!(*height, Height(1), "the lightest");
        assert!(chain.header(hash).is_none());
    }
}
