//! What validators send each other and write into their vote logs: good ones, and their decoders.

use shared::{
    enterprise::{EnterpriseHeight, SetChange, VoteKind},
    hash::Hash,
    identity::Identity,
    ids::{ChainId, Signature},
};
use validator::{
    agreement::{self, Evidence, Record},
    body::UncheckedBody,
    replica::{LogRecord, Message, SyncedBlock, TenantBlocks},
};

use crate::{corpus, enterprise, reported, targets::same};

/// Messages of each kind, of the agreement too; records of a vote log; evidence; bodies.
pub(crate) fn corpus() -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = messages().iter().map(Message::encode).collect();
    let agreed = agreed();
    all.extend(agreed.iter().map(agreement::Message::encode));
    all.extend(records(&agreed));
    if let [first, second, ..] = agreed.as_slice() {
        let evidence = Evidence {
            offender: Identity::from_seed([1; 32]).public_key(),
            first: first.clone(),
            second: second.clone(),
        };
        all.push(evidence.encode());
    }
    all.extend(bodies().into_iter().map(|(_, body)| body));
    all
}

/// Two proposals, votes of both kinds for a block and for none, and certificates of some votes.
fn agreed() -> Vec<agreement::Message> {
    let (identity, chain) = (Identity::from_seed([1; 32]), chain());
    let slot = (EnterpriseHeight(7), 2);
    let proposal =
        |byte| agreement::Message::signed_proposal(&identity, chain, slot, Hash([byte; 32]));
    let vote = |kind, block| {
        agreement::Message::signed_vote(&identity, chain, (kind, slot.0, slot.1), block)
    };
    let mut all = vec![
        proposal(1),
        proposal(2),
        vote(VoteKind::Prevote, Some(Hash([3; 32]))),
        vote(VoteKind::Prevote, None),
        vote(VoteKind::Precommit, Some(Hash([3; 32]))),
        vote(VoteKind::Precommit, None),
    ];
    all.extend(certificates());
    all
}

/// Prevotes for a block as a certificate (kind 3), and two of a round (kind 4), byte by byte: only the agreement makes them.
fn certificates() -> Vec<agreement::Message> {
    let signed = |bytes: &mut Vec<u8>| {
        bytes.extend(Identity::from_seed([1; 32]).public_key().0);
        bytes.extend([9; 64]);
    };
    let at = [7_u64.to_be_bytes().as_slice(), &2_u32.to_be_bytes()].concat();
    let mut polka = [[3].as_slice(), &at, &[4; 32], &1_u16.to_be_bytes()].concat();
    signed(&mut polka);
    let mut bytes = vec![polka];
    for kind in [1, 2] {
        let mut round = [[4].as_slice(), &at, &[kind], &1_u16.to_be_bytes()].concat();
        round.push(2);
        round.extend([0; 32]);
        signed(&mut round);
        bytes.push(round);
    }
    let decoded = bytes.iter().map(|bytes| agreement::Message::decode(bytes));
    decoded.filter_map(Result::ok).collect()
}

fn chain() -> ChainId {
    corpus::genesis().chain_id()
}

/// Tenant blocks, whole and sealed.
fn bodies() -> Vec<(ChainId, Vec<u8>)> {
    let whole = corpus::blocks().into_iter().map(|block| (chain(), block));
    let sealed = reported::sealed().into_iter();
    let sealed = sealed.map(|block| (reported::genesis().chain_id(), block.encode()));
    whole.chain(sealed).collect()
}

/// A decided block with its certificate.
fn synced() -> Option<SyncedBlock> {
    let (_, certificate) = enterprise::decided()?;
    Some(SyncedBlock {
        certificate: certificate.encode(),
        block: enterprise_block(),
        bodies: bodies().into_iter().map(|(_, body)| body).collect(),
    })
}

/// The block among the enterprise objects.
fn enterprise_block() -> Vec<u8> {
    enterprise::corpus().pop().unwrap_or_default()
}

fn messages() -> Vec<Message> {
    let (height, hash) = (EnterpriseHeight(7), Hash([1; 32]));
    let set = enterprise::validators();
    let mut change = SetChange::new(1, set.hash(), set.clone());
    // Should it not sign, the change is one without a signature.
    let _unsigned = change.sign(&set, &Identity::from_seed([1; 32]), chain());
    let mut all = vec![
        Message::Status { height, hash },
        Message::Block {
            round: 1,
            block: enterprise_block(),
        },
        Message::Update {
            ticket: 3,
            tenants: vec![TenantBlocks {
                genesis: corpus::genesis().encode(),
                blocks: corpus::blocks(),
            }],
        },
        Message::Stored { ticket: 3 },
        Message::GetBodies(vec![(chain(), hash); 2]),
        Message::Bodies(bodies()),
        Message::GetBlocks { from: height },
        Message::Blocks(synced().into_iter().collect()),
        Message::SetChange(Box::new(change)),
        Message::SnapshotVote {
            height,
            root: hash,
            signature: Signature([2; 64]),
        },
        Message::GetSnapshot,
        Message::Snapshot(vec![1; 64]),
        Message::GetChunk { height, index: 1 },
        Message::Chunk {
            height,
            index: 1,
            bytes: vec![2; 64],
        },
        Message::Reset {
            ticket: 4,
            reset: Box::new(reported::reset()),
        },
    ];
    all.extend(agreed().into_iter().map(Message::Agreement));
    all
}

/// Records of the agreement (messages, a timeout, a judged block), a block, accepted blocks and a reset.
fn records(agreed: &[agreement::Message]) -> Vec<Vec<u8>> {
    let height = 7_u64.to_be_bytes();
    let of_message = |message: &agreement::Message| {
        [height.as_slice(), &[1], message.encode().as_slice()].concat()
    };
    let mut of_agreement: Vec<Vec<u8>> = agreed.iter().map(of_message).collect();
    of_agreement.push([height.as_slice(), &[2, 1], &2_u32.to_be_bytes()].concat());
    let judged = [[5; 32], [6; 32]].concat();
    of_agreement.push([height.as_slice(), &[3], &2_u32.to_be_bytes(), &judged, &[1]].concat());
    let decoded = of_agreement.iter().map(|bytes| Record::decode(bytes));
    let mut all: Vec<LogRecord> = decoded
        .filter_map(Result::ok)
        .map(LogRecord::Agreement)
        .collect();
    all.extend([
        LogRecord::Block {
            height: EnterpriseHeight(7),
            block: enterprise_block(),
            bodies: bodies(),
        },
        LogRecord::Accepted {
            geneses: corpus::geneses(),
            bodies: bodies(),
        },
        LogRecord::Reset(reported::reset().encode()),
    ]);
    all.iter().map(LogRecord::encode).collect()
}

/// Every decoder of them.
pub(crate) fn run(bytes: &[u8]) {
    same(
        Message::decode(bytes).map(|message| message.encode()),
        bytes,
    );
    let agreed = agreement::Message::decode(bytes);
    same(agreed.map(|message| message.encode()), bytes);
    same(
        LogRecord::decode(bytes).map(|record| record.encode()),
        bytes,
    );
    same(Record::decode(bytes).map(|record| record.encode()), bytes);
    same(Evidence::decode(bytes).map(|shown| shown.encode()), bytes);
    let body = UncheckedBody::decode(bytes);
    same(body.map(|body| body.encode()), bytes);
}
