//! A network whose blocks cost sixteen hashes and less, and blocks for it.

use shared::{
    block::{Block, MinerRecord},
    chain::{Chain, Inserted, Template},
    genesis::{Access, Genesis, Rules},
    hash::Hash,
    identity::Identity,
    ids::{NetworkId, PublicKey, Sequence, TimestampMs},
    miner::{Miner, Step},
    pow::Target,
    transaction::{Payload, Transaction, VerifiedTransaction},
};

/// When the test network was made.
pub(crate) const CREATED: TimestampMs = TimestampMs(1_700_000_000_000);

pub(crate) fn rules() -> Rules {
    Rules {
        stamp_bits: 0,
        ..Rules::open_default(Target::for_hashes(17).to_compact())
    }
}

pub(crate) fn genesis_of(rules: Rules) -> Genesis {
    let genesis = Genesis {
        network_id: NetworkId::parse("test").unwrap(),
        rules,
        created_at: CREATED,
        owner: identity(0).public_key(),
        enterprise_genesis: None,
        predecessor: None,
        access: Access::Open,
    };
    genesis.checked().unwrap()
}

pub(crate) fn genesis() -> Genesis {
    genesis_of(rules())
}

pub(crate) fn identity(number: u8) -> Identity {
    Identity::from_seed([number; 32])
}

pub(crate) fn miner(number: u8) -> MinerRecord {
    MinerRecord {
        key: PublicKey([number; 32]),
        free: [0; 8],
    }
}

/// Seconds after the network was made.
pub(crate) fn at(seconds: u64) -> TimestampMs {
    CREATED.plus_ms(seconds * 1_000)
}

/// A message of `sender`; the text is its sequence.
pub(crate) fn message(sender: u8, sequence: u64) -> VerifiedTransaction {
    message_of(&genesis(), sender, sequence, &sequence.to_string())
}

pub(crate) fn message_of(
    genesis: &Genesis,
    sender: u8,
    sequence: u64,
    text: &str,
) -> VerifiedTransaction {
    let payload = Payload::Message(text.to_owned());
    let (chain, rules) = (genesis.chain_id(), &genesis.rules);
    Transaction::create(
        &identity(sender),
        chain,
        rules,
        Sequence(sequence),
        CREATED,
        payload,
    )
    .unwrap()
}

/// Grinds a template.
pub(crate) fn solve(genesis: &Genesis, template: &Template) -> Block {
    let target = template.header.target.target();
    match Miner::new(&template.header, &target, 0, u32::MAX).step(u32::MAX) {
        Step::Found(solution) => template.solved(genesis, solution).unwrap(),
        other => panic!("no nonce: {other:?}"),
    }
}

/// The next block on the tip.
pub(crate) fn next_block(
    chain: &Chain,
    by: u8,
    transactions: Vec<VerifiedTransaction>,
    now: TimestampMs,
) -> Block {
    solve(
        chain.genesis(),
        &chain.template(miner(by), transactions, now),
    )
}

/// Mines on the tip and inserts.
pub(crate) fn mine(
    chain: &mut Chain,
    by: u8,
    transactions: Vec<VerifiedTransaction>,
    now: TimestampMs,
) -> Block {
    let block = next_block(chain, by, transactions, now);
    let inserted = chain.insert(block.clone(), now);
    assert_eq!(
        inserted,
        Ok(Inserted::Connected {
            disconnected: vec![],
            connected: vec![block.hash()]
        })
    );
    block
}

/// Everything about a chain that may not change when something is refused.
pub(crate) fn fingerprint(chain: &Chain) -> String {
    let main: Vec<Hash> = (0..=chain.tip().height.0)
        .filter_map(|h| chain.hash_at(shared::ids::Height(h)))
        .collect();
    format!("{:?} {main:?} {}", chain.tip(), chain.state_root())
}
