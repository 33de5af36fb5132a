#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a test picks the orders that it asks for"
)]

use api::TenantBlock;
use shared::block::{Block, MinerRecord};
use shared::chain::Chain;
use shared::genesis::{Access, Rules};
use shared::hash::Hash;
use shared::identity::Identity;
use shared::ids::{Height, NetworkId};
use shared::miner::{Miner, Step};
use shared::pow::Target;

use super::*;
use crate::hub::message::Wish;
use crate::hub::{ConnectionId, UpdateOutcome};
use crate::limits;

pub(super) const NOW: TimestampMs = TimestampMs(100_000_000);
pub(super) const PEER: Asker = Asker::Connection(ConnectionId(1));

pub(super) fn genesis(seed: u8) -> Genesis {
    Genesis {
        network_id: NetworkId::parse("demo").unwrap(),
        rules: Rules::open_default(Target::for_hashes(16).to_compact()),
        created_at: TimestampMs(1_000_000),
        owner: Identity::from_seed([seed; 32]).public_key(),
        enterprise_genesis: None,
        predecessor: None,
        access: Access::Open,
    }
}

/// Mines an empty block on the chain's tip; `mark` tells blocks of two branches apart.
pub(super) fn mine(chain: &mut Chain, mark: u8) -> Block {
    let genesis = chain.genesis().clone();
    let at = chain
        .tip()
        .timestamp
        .plus_ms(u64::from(genesis.rules.interval_ms));
    let record = MinerRecord {
        key: genesis.owner,
        free: [mark; 8],
    };
    let template = chain.template(record, Vec::new(), at);
    let target = template.header.target.target();
    let Step::Found(solution) = Miner::new(&template.header, &target, 0, u32::MAX).step(u32::MAX)
    else {
        panic!("an easy target is met");
    };
    let block = template.solved(&genesis, solution).unwrap();
    chain.insert(block.clone(), at).unwrap();
    block
}

pub(super) fn drain(ledger: &mut Ledger) -> Vec<Output> {
    std::iter::from_fn(|| ledger.poll()).collect()
}

pub(super) fn registered(genesis: &Genesis) -> Ledger {
    let mut ledger = Ledger::new(Forwarding::On);
    let wish = Wish {
        genesis: genesis.encode(),
        listing: Listing::Listed,
        label: None,
    };
    ledger.handle(
        NOW,
        Input::RegistrationAsked {
            connection: ConnectionId(1),
            wish,
        },
    );
    let outputs = drain(&mut ledger);
    assert!(
        matches!(
            outputs[..],
            [Output::Persist(Change::Network { .. }), Output::Tell(_)]
        ),
        "{outputs:?}"
    );
    ledger
}

pub(super) fn report(ledger: &mut Ledger, chain_id: ChainId, blocks: &[Block]) -> Vec<Output> {
    let blocks = blocks.iter().map(TenantBlock::from).collect();
    ledger.handle(
        NOW,
        Input::BlocksReported {
            asker: PEER,
            network: NetworkName::Chain(chain_id),
            blocks,
        },
    );
    drain(ledger)
}

fn forwarded(outputs: &[Output]) -> Option<(u32, u32)> {
    outputs.iter().find_map(|output| match output {
        Output::Forward { update, .. } => Some((
            update.new_blocks.first()?.block_id,
            update.new_blocks.last()?.block_id,
        )),
        _ => None,
    })
}

fn acceptance(block: &Block) -> Answer {
    Answer::Accepted(Acceptance {
        height: block.header().height,
        hash: block.hash(),
        enterprise_height: 7,
        enterprise_hash: Hash([0xee; 32]),
    })
}

fn answer(ledger: &mut Ledger, now: TimestampMs, chain_id: ChainId, answer: Answer) -> Vec<Output> {
    ledger.handle(now, Input::Answered { chain_id, answer });
    drain(ledger)
}

#[test]
fn what_is_answered_stands_behind_what_is_persisted() {
    let genesis = genesis(1);
    let mut chain = Chain::new(genesis.clone());
    let mut ledger = registered(&genesis);
    let block = mine(&mut chain, 0);
    let outputs = report(&mut ledger, chain.chain_id(), std::slice::from_ref(&block));
    let persist = outputs
        .iter()
        .position(|output| matches!(output, Output::Persist(Change::Block { .. })))
        .unwrap();
    let is_answer = |output: &Output| match output {
        Output::Tell(fact) => {
            matches!(
                **fact,
                hub::Input::UpdateChecked {
                    outcome: UpdateOutcome::Accepted(_),
                    ..
                }
            )
        }
        _ => false,
    };
    assert!(persist < outputs.iter().position(is_answer).unwrap());
    assert_eq!(forwarded(&outputs), Some((1, 1)));
}

#[test]
fn a_replayed_block_changes_nothing() {
    let genesis = genesis(1);
    let mut chain = Chain::new(genesis.clone());
    let mut ledger = registered(&genesis);
    let block = mine(&mut chain, 0);
    report(&mut ledger, chain.chain_id(), std::slice::from_ref(&block));
    let outputs = report(&mut ledger, chain.chain_id(), std::slice::from_ref(&block));
    assert!(
        !outputs
            .iter()
            .any(|output| matches!(output, Output::Persist(_) | Output::Forward { .. })),
        "{outputs:?}"
    );
}

#[test]
fn another_body_under_a_known_header_is_refused() {
    let genesis = genesis(1);
    let mut chain = Chain::new(genesis.clone());
    let mut ledger = registered(&genesis);
    let block = mine(&mut chain, 0);
    report(&mut ledger, chain.chain_id(), std::slice::from_ref(&block));
    let mut shape = TenantBlock::from(&block);
    shape.miner = shape.miner.replace("00", "11");
    let network = NetworkName::Chain(chain.chain_id());
    let asker = Asker::Request(RequestId(1));
    ledger.handle(
        NOW,
        Input::BlocksReported {
            asker,
            network,
            blocks: vec![shape],
        },
    );
    let outputs = drain(&mut ledger);
    assert!(
        matches!(
            outputs[..],
            [Output::Answer {
                verdict: Err(Refusal::Invalid { .. }),
                ..
            }]
        ),
        "{outputs:?}"
    );
}

#[test]
fn good_blocks_before_a_bad_one_are_kept() {
    let genesis = genesis(1);
    let mut chain = Chain::new(genesis.clone());
    let mut ledger = registered(&genesis);
    let blocks: Vec<_> = (0..3).map(|_| mine(&mut chain, 0)).collect();
    let outputs = report(
        &mut ledger,
        chain.chain_id(),
        &[blocks[0].clone(), blocks[2].clone()],
    );
    let kept = outputs
        .iter()
        .filter(|output| matches!(output, Output::Persist(Change::Block { .. })))
        .count();
    assert_eq!(kept, 1);
    assert_eq!(ledger.summary().unconfirmed_blocks, 1);
}

#[test]
fn a_failed_update_is_repeated_until_it_is_confirmed_by_hash() {
    let genesis = genesis(1);
    let mut chain = Chain::new(genesis.clone());
    let id = chain.chain_id();
    let mut ledger = registered(&genesis);
    let block = mine(&mut chain, 0);
    report(&mut ledger, id, std::slice::from_ref(&block));
    let mut now = NOW;
    for _ in 0..5 {
        let outputs = answer(
            &mut ledger,
            now,
            id,
            Answer::Failed {
                reason: "out".into(),
            },
        );
        let Some(Output::WakeAt { at }) = outputs.last() else {
            panic!("{outputs:?}")
        };
        now = *at;
        ledger.handle(now, Input::Woken);
        assert_eq!(forwarded(&drain(&mut ledger)), Some((1, 1)));
    }
    let waiting = ledger.summary();
    assert_eq!(waiting.unconfirmed_blocks, 1);
    assert_eq!(waiting.waiting_since, Some(NOW));
    let outputs = answer(&mut ledger, now, id, acceptance(&block));
    assert!(
        matches!(
            outputs[0],
            Output::Persist(Change::Confirmed {
                confirmed: Some(_),
                ..
            })
        ),
        "{outputs:?}"
    );
    assert_eq!(
        ledger.summary(),
        Summary {
            unconfirmed_networks: 0,
            unconfirmed_blocks: 0,
            waiting_since: None,
            failing: 0,
            last_failure: None,
            ..waiting
        }
    );
}

#[test]
fn an_answer_that_names_another_block_confirms_nothing() {
    let genesis = genesis(1);
    let mut chain = Chain::new(genesis.clone());
    let mut other = chain.clone();
    let id = chain.chain_id();
    let mut ledger = registered(&genesis);
    report(&mut ledger, id, &[mine(&mut chain, 0)]);
    let outputs = answer(&mut ledger, NOW, id, acceptance(&mine(&mut other, 1)));
    assert!(
        !outputs
            .iter()
            .any(|output| matches!(output, Output::Persist(_))),
        "{outputs:?}"
    );
    assert_eq!(ledger.summary().unconfirmed_blocks, 1);
    assert!(
        ledger
            .summary()
            .last_failure
            .unwrap()
            .contains("another branch")
    );
}

#[test]
fn health_never_names_the_network_that_waits() {
    let genesis = genesis(1);
    let mut chain = Chain::new(genesis.clone());
    let mut other = chain.clone();
    let id = chain.chain_id();
    let mut ledger = Ledger::new(Forwarding::On);
    let wish = Wish {
        genesis: genesis.encode(),
        listing: Listing::Unlisted,
        label: None,
    };
    let connection = ConnectionId(1);
    ledger.handle(NOW, Input::RegistrationAsked { connection, wish });
    drain(&mut ledger);
    let blocks = [mine(&mut chain, 0), mine(&mut chain, 0)];
    assert_eq!(forwarded(&report(&mut ledger, id, &blocks)), Some((1, 2)));
    let refused = || Answer::Refused {
        reason: format!("the validator answered 422: demo {id}"),
    };
    let answers = [
        (refused(), "refused"),
        (acceptance(&blocks[0]), "cannot decide"),
        (acceptance(&mine(&mut other, 1)), "another branch"),
        (Answer::NameTaken, ""),
        (Answer::NameTaken, "another chain"),
    ];
    let mut now = NOW;
    for (said, shown) in answers {
        answer(&mut ledger, now, id, said);
        let failure = ledger.summary().last_failure.unwrap();
        assert!(failure.contains(shown), "{failure}");
        assert!(!failure.contains("demo"), "{failure}");
        assert!(!failure.contains(&id.to_string()[..8]), "{failure}");
        now = now.plus_ms(limits::BACKOFF_MAX_MS);
        ledger.handle(now, Input::Woken);
        drain(&mut ledger);
    }
}

#[test]
fn an_update_that_is_refused_again_and_again_goes_out_ever_more_rarely() {
    let genesis = genesis(1);
    let mut chain = Chain::new(genesis.clone());
    let id = chain.chain_id();
    let mut ledger = registered(&genesis);
    report(&mut ledger, id, &[mine(&mut chain, 0)]);
    let (mut now, mut sent) = (NOW, 1);
    let hour = now.plus_ms(3_600_000);
    while now < hour {
        let reason = "bad".into();
        answer(&mut ledger, now, id, Answer::Refused { reason });
        now = ledger.outbox.wake_at().unwrap();
        ledger.handle(now, Input::Woken);
        sent += drain(&mut ledger)
            .iter()
            .filter(|output| matches!(output, Output::Forward { .. }))
            .count();
    }
    assert!(sent < 30, "{sent} in an hour");
}

#[test]
fn a_reorganisation_during_a_post_sends_the_new_branch_afterwards() {
    let genesis = genesis(1);
    let mut light = Chain::new(genesis.clone());
    let id = light.chain_id();
    let trunk = mine(&mut light, 0);
    let mut heavy = light.clone();
    let mut ledger = registered(&genesis);
    let old = mine(&mut light, 1);
    assert_eq!(
        forwarded(&report(&mut ledger, id, &[trunk, old.clone()])),
        Some((1, 2))
    );
    let branch = [mine(&mut heavy, 2), mine(&mut heavy, 2)];
    assert_eq!(
        forwarded(&report(&mut ledger, id, &branch)),
        None,
        "one update is on its way"
    );
    let outputs = answer(&mut ledger, NOW, id, acceptance(&old));
    assert_eq!(forwarded(&outputs), Some((2, 3)));
    answer(&mut ledger, NOW, id, acceptance(&branch[1]));
    assert_eq!(ledger.summary().unconfirmed_blocks, 0);
}

#[test]
fn a_validator_that_lost_its_blocks_takes_the_confirmation_with_them() {
    let genesis = genesis(1);
    let mut chain = Chain::new(genesis.clone());
    let id = chain.chain_id();
    let mut ledger = registered(&genesis);
    let blocks: Vec<_> = (0..3).map(|_| mine(&mut chain, 0)).collect();
    report(&mut ledger, id, &blocks);
    answer(&mut ledger, NOW, id, acceptance(&blocks[2]));
    assert_eq!(
        forwarded(&report(&mut ledger, id, &[mine(&mut chain, 0)])),
        Some((4, 4))
    );
    let outputs = answer(
        &mut ledger,
        NOW,
        id,
        Answer::Behind {
            tip: (Height(0), None),
        },
    );
    assert!(
        matches!(
            outputs[0],
            Output::Persist(Change::Confirmed {
                confirmed: None,
                ..
            })
        ),
        "{outputs:?}"
    );
    assert_eq!(forwarded(&outputs), Some((1, 4)));
}

#[test]
fn a_validator_on_an_unknown_branch_is_sent_older_blocks_until_it_knows_one() {
    let genesis = genesis(1);
    let mut chain = Chain::new(genesis.clone());
    let id = chain.chain_id();
    let mut ledger = registered(&genesis);
    let blocks: Vec<_> = (0..60).map(|_| mine(&mut chain, 0)).collect();
    report(&mut ledger, id, &blocks[..50]);
    answer(&mut ledger, NOW, id, acceptance(&blocks[49]));
    assert_eq!(
        forwarded(&report(&mut ledger, id, &blocks[50..])),
        Some((51, 60))
    );
    let tip = (Height(55), Some(Hash([9; 32])));
    let outputs = answer(&mut ledger, NOW, id, Answer::Behind { tip });
    assert_eq!(forwarded(&outputs), Some((1, 50)));
}

#[test]
fn everything_is_restored_from_what_was_persisted() {
    let genesis = genesis(1);
    let mut chain = Chain::new(genesis.clone());
    let id = chain.chain_id();
    let mut ledger = registered(&genesis);
    let blocks: Vec<_> = (0..3).map(|_| mine(&mut chain, 0)).collect();
    report(&mut ledger, id, &blocks);
    answer(&mut ledger, NOW, id, acceptance(&blocks[2]));
    let mut restored = Ledger::new(Forwarding::On);
    restored
        .restore_network(
            Label::parse("demo").unwrap(),
            Listing::Listed,
            &genesis.encode(),
        )
        .unwrap();
    for block in &blocks {
        restored.restore_block(id, &block.encode()).unwrap();
    }
    restored.restore_confirmed(id, ledger.books[&id].confirmed.clone().unwrap());
    restored.restored(NOW);
    assert_eq!(restored.summary(), ledger.summary());
    assert_eq!(restored.integration(), ledger.integration());
    restored.handle(NOW, Input::Woken);
    assert_eq!(
        forwarded(&drain(&mut restored)),
        Some((3, 3)),
        "the newest confirmed block asks what is there"
    );
    assert_eq!(restored.summary().waiting_since, None);
    let (later, newer) = (NOW.plus_ms(5_000), mine(&mut chain, 0));
    restored.handle(
        later,
        Input::BlocksReported {
            asker: PEER,
            network: NetworkName::Chain(id),
            blocks: vec![(&newer).into()],
        },
    );
    assert_eq!(restored.summary().waiting_since, Some(later));
}

#[test]
fn a_private_network_is_not_kept() {
    let mut ledger = Ledger::new(Forwarding::Off);
    let owner = Identity::from_seed([1; 32]).public_key();
    let access = Access::Private {
        join_key: owner,
        reporters: vec![owner],
    };
    let wish = Wish {
        genesis: Genesis {
            access,
            ..genesis(1)
        }
        .encode(),
        listing: Listing::Listed,
        label: None,
    };
    ledger.handle(
        NOW,
        Input::RegistrationAsked {
            connection: ConnectionId(1),
            wish,
        },
    );
    let outputs = drain(&mut ledger);
    assert!(
        !outputs
            .iter()
            .any(|output| matches!(output, Output::Persist(_))),
        "{outputs:?}"
    );
}

#[test]
fn a_genesis_registered_again_keeps_its_label() {
    let genesis = genesis(1);
    let mut ledger = registered(&genesis);
    let wish = Wish {
        genesis: genesis.encode(),
        listing: Listing::Unlisted,
        label: None,
    };
    ledger.handle(
        NOW,
        Input::RegistrationAsked {
            connection: ConnectionId(2),
            wish,
        },
    );
    let outputs = drain(&mut ledger);
    let [Output::Tell(fact)] = &outputs[..] else {
        panic!("{outputs:?}")
    };
    let hub::Input::Registered { network, .. } = &**fact else {
        panic!("{fact:?}")
    };
    assert_eq!(
        (network.label.as_str(), network.listing),
        ("demo", Listing::Listed)
    );
}
