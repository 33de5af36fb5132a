//! The enterprise chain's objects: good ones, and their decoders.

use shared::{
    enterprise::{
        Anchor, BlockLimits, Branch, Certificate, Checkpoint, EnterpriseBlock, EnterpriseGenesis,
        EnterpriseHeader, EnterpriseHeight, Entry, FinalBlock, FinalityProof, Receipt, Round,
        ValidatorInfo, ValidatorSet, Vote,
    },
    hash::Hash,
    header::Header,
    identity::Identity,
    ids::NetworkId,
    merkle::Side,
};

use crate::{
    corpus::{NOW, genesis, headers},
    targets::same,
};

/// A genesis with its set of validators, headers, entries of each kind, a block, a vote, a certificate and a checkpoint.
pub(crate) fn corpus() -> Vec<Vec<u8>> {
    let (validators, tenant) = (identities(), genesis());
    let enterprise = enterprise_genesis();
    let mut entries = vec![Entry::TenantRegistered(Box::new(tenant.clone()))];
    entries.extend(headers().iter().filter_map(|bytes| {
        let header = Header::decode(bytes).ok()?;
        let chain_id = tenant.chain_id();
        Some(Entry::BlockAnchored(Anchor { chain_id, header }))
    }));
    let mut all = vec![enterprise.encode(), enterprise.validators().encode()];
    all.extend(entries.iter().map(Entry::encode));
    let header = EnterpriseHeader {
        version: EnterpriseHeader::VERSION,
        height: EnterpriseHeight(1),
        previous: enterprise.hash(),
        time: NOW,
        data_root: EnterpriseBlock::data_root(&entries),
        state_root: Hash([1; 32]),
        log_size: 0,
        log_root: Hash([2; 32]),
        validators: enterprise.validators().hash(),
        next_validators: enterprise.validators().hash(),
        proposer: validators[0].public_key(),
    };
    all.push(header.encode());
    let certificate = certificate(&enterprise, &header);
    let vote = Vote::precommit(header.height, Round(2), header.hash());
    all.extend([vote.encode(), certificate.encode(), checkpoint()]);
    all.extend(proofs(&enterprise, &header, &certificate));
    all.extend(EnterpriseBlock::new(header, entries).map(|block| block.encode()));
    all
}

/// A header with its certificate.
pub(crate) fn decided() -> Option<(EnterpriseHeader, Certificate)> {
    let mut all = corpus().into_iter();
    let header = all.find_map(|bytes| EnterpriseHeader::decode(&bytes).ok())?;
    let certificate = certificate(&enterprise_genesis(), &header);
    Some((header, certificate))
}

fn certificate(enterprise: &EnterpriseGenesis, header: &EnterpriseHeader) -> Certificate {
    let validators = identities();
    let vote = Vote::precommit(header.height, Round(2), header.hash());
    let signatures = (0..)
        .zip(&validators)
        .map(|(index, validator)| (index, vote.sign(validator, enterprise.chain_id())));
    Certificate {
        height: header.height,
        round: Round(2),
        block_hash: header.hash(),
        signatures: signatures.collect(),
    }
}

/// A receipt with and one without a transaction, the checkpoint in them alone and as a branch, and a proof of finality.
fn proofs(
    genesis: &EnterpriseGenesis,
    header: &EnterpriseHeader,
    certificate: &Certificate,
) -> Vec<Vec<u8>> {
    let checkpoint = Checkpoint {
        header: header.clone(),
        certificate: certificate.clone(),
    };
    let tenant = headers().first().map(|bytes| Header::decode(bytes));
    let Some(Ok(tenant)) = tenant else {
        return Vec::new();
    };
    let path = vec![(Side::Left, Hash([3; 32])), (Side::Right, Hash([4; 32]))];
    let plain = Receipt {
        transaction: None,
        chain_id: crate::corpus::genesis().chain_id(),
        work: tenant.work(),
        resets: 0,
        header: tenant,
        index: 1,
        path: vec![Hash([5; 32]); 2],
        checkpoint: checkpoint.clone(),
    };
    let named = Receipt {
        transaction: Some((Hash([6; 32]), path)),
        ..plain.clone()
    };
    let proof = FinalityProof {
        links: Vec::new(),
        genesis: genesis.clone(),
        receipt: plain.clone(),
        from_size: 2,
        consistency: vec![Hash([8; 32])],
    };
    let branch = Branch {
        genesis: genesis.clone(),
        links: Vec::new(),
        checkpoint: checkpoint.clone(),
    };
    vec![
        branch.encode(),
        plain.encode(),
        named.encode(),
        checkpoint.encode(),
        proof.encode(),
    ]
}

/// A final block of the fuzzed tenant, as a store keeps it.
pub(crate) fn checkpoint() -> Vec<u8> {
    let mut bytes = genesis().chain_id().0.0.to_vec();
    bytes.extend(2_u32.to_be_bytes());
    bytes.extend([7; 32]);
    bytes.extend([0; 32]);
    bytes
}

/// Every decoder of an object that a validator, a peer or a store may give.
pub(crate) fn run(bytes: &[u8]) {
    same(
        EnterpriseGenesis::decode(bytes).map(|genesis| genesis.encode()),
        bytes,
    );
    same(
        EnterpriseHeader::decode(bytes).map(|header| header.encode().to_vec()),
        bytes,
    );
    same(
        EnterpriseBlock::decode(bytes, BlockLimits::default()).map(|block| block.encode()),
        bytes,
    );
    same(
        Certificate::decode(bytes).map(|certificate| certificate.encode()),
        bytes,
    );
    same(
        Checkpoint::decode(bytes).map(|checkpoint| checkpoint.encode()),
        bytes,
    );
    same(
        Receipt::decode(bytes).map(|receipt| receipt.encode()),
        bytes,
    );
    same(
        FinalityProof::decode(bytes).map(|proof| proof.encode()),
        bytes,
    );
    same(Branch::decode(bytes).map(|branch| branch.encode()), bytes);
    same(Entry::decode(bytes).map(|entry| entry.encode()), bytes);
    same(
        FinalBlock::from_checkpoint(bytes).map(|block| block.encode()),
        bytes,
    );
}

pub(crate) fn identities() -> Vec<Identity> {
    (1..=4)
        .map(|seed| Identity::from_seed([seed; 32]))
        .collect()
}

/// The set of validators.
pub(crate) fn validators() -> ValidatorSet {
    enterprise_genesis().validators().clone()
}

pub(crate) fn enterprise_genesis() -> EnterpriseGenesis {
    let validators = identities().into_iter().zip('a'..).map(|(identity, name)| {
        let name = NetworkId::parse(&format!("validator-{name}")).expect("a valid label");
        let key = identity.public_key();
        ValidatorInfo { key, name }
    });
    let set = ValidatorSet::new(validators.collect()).expect("different keys");
    let id = NetworkId::parse("enterprise").expect("a valid label");
    EnterpriseGenesis::new(id, NOW, set)
}
