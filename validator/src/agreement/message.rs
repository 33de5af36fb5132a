//! What validators say to each other to agree, in bytes.
//!
//! | kind | name in PBFT | content |
//! | ---: | --- | --- |
//! | 1 | pre-prepare | proposal: height (8), round (4), round of the prevotes it rests on (4; `ffffffff` for none), block hash (32), proposer (32), signature (64) |
//! | 2 | prepare, commit | vote: kind (1 prevote, 2 precommit), height (8), round (4), block hash (32; zeros for none), voter (32), signature (64) |
//! | 3 | prepared certificate | height (8), round (4), block hash (32), number (2), then voter (32) and signature (64) each |
//! | 4 | view-change certificate | height (8), round (4), kind (1 skip, 2 precommits), number (2), then kind (1), block hash (32), voter (32), signature (64) each |
//!
//! Votes are signed as [`shared::enterprise::Vote`] says, proposals under [`PROPOSAL_DOMAIN`] and the enterprise chain id
//! over the fields before the proposer.

use malachite::{NilOrVal, Round, RoundCertificateType, VoteType};
use service::KnownKeys;
use shared::encoding::{DecodeError, Reader, Writer};
use shared::enterprise::{EnterpriseHeight, VALIDATORS_MAX, Vote as VoteBytes, VoteKind};
use shared::hash::Hash;
use shared::identity::{Identity, Verify as _};
use shared::ids::{ChainId, PublicKey, Signature};

use super::context::{Address, BlockId, Context, Height, Proposal, Vote};

/// The domain under which proposals are signed.
pub const PROPOSAL_DOMAIN: &str = "distli/enterprise/proposal/1";

type SignedProposal = malachite::SignedProposal<Context>;
type SignedVote = malachite::SignedVote<Context>;
type PolkaCertificate = malachite::PolkaCertificate<Context>;
type RoundCertificate = malachite::RoundCertificate<Context>;

/// A message between validators about a height.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message(pub(super) Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Proposal(SignedProposal),
    Vote(SignedVote),
    Polka(PolkaCertificate),
    Round(RoundCertificate),
}

/// Why bytes are no message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// The bytes are malformed.
    #[error(transparent)]
    Encoding(#[from] DecodeError),
    /// A kind, or a kind of vote, that does not exist.
    #[error("the kind {0} does not exist")]
    Kind(u8),
    /// More signatures than a set can have.
    #[error("{0} signatures; a set has at most {VALIDATORS_MAX} validators")]
    TooMany(u16),
}

impl Message {
    /// The height that it is about.
    #[must_use]
    pub fn height(&self) -> EnterpriseHeight {
        EnterpriseHeight(match &self.0 {
            Kind::Proposal(proposal) => proposal.height.0,
            Kind::Vote(vote) => vote.height.0,
            Kind::Polka(certificate) => certificate.height.0,
            Kind::Round(certificate) => certificate.height.0,
        })
    }

    /// The round that it is about.
    #[must_use]
    pub fn round(&self) -> u32 {
        let round = match &self.0 {
            Kind::Proposal(proposal) => proposal.round,
            Kind::Vote(vote) => vote.round,
            Kind::Polka(certificate) => certificate.round,
            Kind::Round(certificate) => certificate.round,
        };
        round.as_u32().unwrap_or(0)
    }

    /// Whose word it is; certificates are many validators' word.
    #[must_use]
    pub fn author(&self) -> Option<PublicKey> {
        match &self.0 {
            Kind::Proposal(proposal) => Some(proposal.proposer.0),
            Kind::Vote(vote) => Some(vote.voter.0),
            Kind::Polka(_) | Kind::Round(_) => None,
        }
    }

    /// The block that a proposal is for.
    #[must_use]
    pub fn proposed(&self) -> Option<Hash> {
        match &self.0 {
            Kind::Proposal(proposal) => Some(proposal.block.0),
            Kind::Vote(_) | Kind::Polka(_) | Kind::Round(_) => None,
        }
    }

    /// The vote's kind and block, if it is one.
    #[must_use]
    pub fn vote(&self) -> Option<(VoteKind, Option<Hash>)> {
        match &self.0 {
            Kind::Vote(vote) => Some((kind_of(vote.kind), block_of(&vote.block))),
            Kind::Proposal(_) | Kind::Polka(_) | Kind::Round(_) => None,
        }
    }

    /// A signed vote, for tests that play a faulty validator.
    #[must_use]
    pub fn signed_vote(
        identity: &Identity,
        chain: ChainId,
        (kind, height, round): (VoteKind, EnterpriseHeight, u32),
        block: Option<Hash>,
    ) -> Self {
        let vote = Vote {
            kind: match kind {
                VoteKind::Prevote => VoteType::Prevote,
                VoteKind::Precommit => VoteType::Precommit,
            },
            height: Height(height.0),
            round: Round::new(round),
            block: block.map_or(NilOrVal::Nil, |hash| NilOrVal::Val(BlockId(hash))),
            voter: Address(identity.public_key()),
        };
        Self(Kind::Vote(sign_vote(vote, identity, chain)))
    }

    /// A signed proposal, for tests that play a faulty validator.
    #[must_use]
    pub fn signed_proposal(
        identity: &Identity,
        chain: ChainId,
        (height, round): (EnterpriseHeight, u32),
        block: Hash,
    ) -> Self {
        let proposal = Proposal {
            height: Height(height.0),
            round: Round::new(round),
            block: BlockId(block),
            pol_round: Round::Nil,
            proposer: Address(identity.public_key()),
        };
        Self(Kind::Proposal(sign_proposal(proposal, identity, chain)))
    }

    /// The bytes, kind first.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        match &self.0 {
            Kind::Proposal(signed) => {
                writer.u8(1).bytes(&proposal_bytes(&signed.message));
                writer
                    .bytes(&signed.proposer.0.0)
                    .bytes(&signed.signature.0);
            }
            Kind::Vote(signed) => {
                writer.u8(2).bytes(&vote_bytes(&signed.message).encode());
                writer.bytes(&signed.voter.0.0).bytes(&signed.signature.0);
            }
            Kind::Polka(certificate) => {
                writer.u8(3).u64(certificate.height.0);
                writer
                    .u32(round_bytes(certificate.round))
                    .bytes(&certificate.value_id.0.0)
                    .u16(count(certificate.polka_signatures.len()));
                for signature in &certificate.polka_signatures {
                    writer
                        .bytes(&signature.address.0.0)
                        .bytes(&signature.signature.0);
                }
            }
            Kind::Round(certificate) => {
                let kind = match certificate.cert_type {
                    RoundCertificateType::Skip => 1,
                    RoundCertificateType::Precommit => 2,
                };
                writer.u8(4).u64(certificate.height.0);
                writer
                    .u32(round_bytes(certificate.round))
                    .u8(kind)
                    .u16(count(certificate.round_signatures.len()));
                for signature in &certificate.round_signatures {
                    let block = block_of(&signature.value_id).unwrap_or(Hash::ZERO);
                    writer.u8(vote_type_byte(signature.vote_type));
                    writer.bytes(&block.0).bytes(&signature.address.0.0);
                    writer.bytes(&signature.signature.0);
                }
            }
        }
        writer.finish()
    }

    /// Reads what [`Self::encode`] writes; signatures are verified by the agreement.
    ///
    /// # Errors
    /// [`MessageError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, MessageError> {
        let mut reader = Reader::new(bytes);
        let kind = match reader.u8()? {
            1 => Kind::Proposal(read_proposal(&mut reader)?),
            2 => Kind::Vote(read_vote(&mut reader)?),
            3 => Kind::Polka(read_polka(&mut reader)?),
            4 => Kind::Round(read_round(&mut reader)?),
            other => return Err(MessageError::Kind(other)),
        };
        reader.finish()?;
        Ok(Self(kind))
    }
}

/// Signs a vote.
pub(super) fn sign_vote(vote: Vote, identity: &Identity, chain: ChainId) -> SignedVote {
    let signature = vote_bytes(&vote).sign(identity, chain);
    SignedVote::new(vote, signature)
}

/// Signs a proposal.
pub(super) fn sign_proposal(
    proposal: Proposal,
    identity: &Identity,
    chain: ChainId,
) -> SignedProposal {
    let signature = identity.sign(PROPOSAL_DOMAIN, chain, &proposal_bytes(&proposal));
    SignedProposal::new(proposal, signature)
}

/// Whether a vote has its voter's signature.
pub(super) fn is_vote_signed(
    vote: &Vote,
    key: &PublicKey,
    chain: ChainId,
    signature: &Signature,
) -> bool {
    vote_bytes(vote).is_signed_by_with(&mut KnownKeys, key, chain, signature)
}

/// Whether a proposal has its proposer's signature.
pub(super) fn is_proposal_signed(
    proposal: &Proposal,
    key: &PublicKey,
    chain: ChainId,
    signature: &Signature,
) -> bool {
    let bytes = proposal_bytes(proposal);
    let verdict = KnownKeys.verify(PROPOSAL_DOMAIN, chain, key, &bytes, signature);
    verdict.is_ok()
}

fn proposal_bytes(proposal: &Proposal) -> Vec<u8> {
    let mut writer = Writer::with_capacity(48);
    writer
        .u64(proposal.height.0)
        .u32(round_bytes(proposal.round))
        .u32(round_bytes(proposal.pol_round))
        .bytes(&proposal.block.0.0);
    writer.finish()
}

fn vote_bytes(vote: &Vote) -> VoteBytes {
    VoteBytes {
        kind: kind_of(vote.kind),
        height: EnterpriseHeight(vote.height.0),
        round: shared::enterprise::Round(vote.round.as_u32().unwrap_or(u32::MAX)),
        block_hash: block_of(&vote.block).unwrap_or(Hash::ZERO),
    }
}

const fn kind_of(kind: VoteType) -> VoteKind {
    match kind {
        VoteType::Prevote => VoteKind::Prevote,
        VoteType::Precommit => VoteKind::Precommit,
    }
}

const fn block_of(block: &NilOrVal<BlockId>) -> Option<Hash> {
    match block {
        NilOrVal::Nil => None,
        NilOrVal::Val(id) => Some(id.0),
    }
}

const fn vote_type_byte(kind: VoteType) -> u8 {
    match kind {
        VoteType::Prevote => 1,
        VoteType::Precommit => 2,
    }
}

pub(super) fn round_bytes(round: Round) -> u32 {
    round.as_u32().unwrap_or(u32::MAX)
}

pub(super) const fn round_from(bytes: u32) -> Round {
    if bytes == u32::MAX {
        Round::Nil
    } else {
        Round::Some(bytes)
    }
}

fn count(length: usize) -> u16 {
    u16::try_from(length).unwrap_or(u16::MAX)
}

fn read_proposal(reader: &mut Reader<'_>) -> Result<SignedProposal, MessageError> {
    let (height, round) = (Height(reader.u64()?), round_from(reader.u32()?));
    let pol_round = round_from(reader.u32()?);
    let (block, proposer) = (BlockId(reader.hash()?), Address(reader.public_key()?));
    let proposal = Proposal {
        height,
        round: defined(round),
        block,
        pol_round,
        proposer,
    };
    Ok(SignedProposal::new(proposal, reader.signature()?))
}

/// A round of a message is never "none"; such bytes mean the last round, which no validator reaches.
fn defined(round: Round) -> Round {
    Round::Some(round_bytes(round))
}

fn read_vote_type(reader: &mut Reader<'_>) -> Result<VoteType, MessageError> {
    match reader.u8()? {
        1 => Ok(VoteType::Prevote),
        2 => Ok(VoteType::Precommit),
        other => Err(MessageError::Kind(other)),
    }
}

fn read_block(reader: &mut Reader<'_>) -> Result<NilOrVal<BlockId>, MessageError> {
    let hash = reader.hash()?;
    Ok(if hash == Hash::ZERO {
        NilOrVal::Nil
    } else {
        NilOrVal::Val(BlockId(hash))
    })
}

fn read_vote(reader: &mut Reader<'_>) -> Result<SignedVote, MessageError> {
    let kind = read_vote_type(reader)?;
    let (height, round) = (Height(reader.u64()?), defined(Round::Some(reader.u32()?)));
    let (block, voter) = (read_block(reader)?, Address(reader.public_key()?));
    let vote = Vote {
        kind,
        height,
        round,
        block,
        voter,
    };
    Ok(SignedVote::new(vote, reader.signature()?))
}

fn read_count(reader: &mut Reader<'_>) -> Result<u16, MessageError> {
    let count = reader.u16()?;
    if usize::from(count) > VALIDATORS_MAX {
        return Err(MessageError::TooMany(count));
    }
    Ok(count)
}

fn read_polka(reader: &mut Reader<'_>) -> Result<PolkaCertificate, MessageError> {
    let (height, round) = (Height(reader.u64()?), Round::Some(reader.u32()?));
    let value_id = BlockId(reader.hash()?);
    let mut polka_signatures = Vec::new();
    for _ in 0..read_count(reader)? {
        let (address, signature) = (Address(reader.public_key()?), reader.signature()?);
        polka_signatures.push(malachite::PolkaSignature { address, signature });
    }
    Ok(PolkaCertificate {
        height,
        round,
        value_id,
        polka_signatures,
    })
}

fn read_round(reader: &mut Reader<'_>) -> Result<RoundCertificate, MessageError> {
    let (height, round) = (Height(reader.u64()?), Round::Some(reader.u32()?));
    let cert_type = match reader.u8()? {
        1 => RoundCertificateType::Skip,
        2 => RoundCertificateType::Precommit,
        other => return Err(MessageError::Kind(other)),
    };
    let mut round_signatures = Vec::new();
    for _ in 0..read_count(reader)? {
        let vote_type = read_vote_type(reader)?;
        let (value_id, address) = (read_block(reader)?, Address(reader.public_key()?));
        let signature = reader.signature()?;
        round_signatures.push(malachite::RoundSignature {
            vote_type,
            value_id,
            address,
            signature,
        });
    }
    Ok(RoundCertificate {
        height,
        round,
        cert_type,
        round_signatures,
    })
}
