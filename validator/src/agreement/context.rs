//! The types that the Tendermint core is generic over: a value is a block's hash, an address a public key, every
//! validator weighs one.

use std::fmt;
use std::sync::Arc;

use malachite::{NilOrVal, Round, SignedExtension, VoteType, VotingPower};
use shared::enterprise::ValidatorSet;
use shared::hash::Hash;
use shared::ids::{PublicKey, Signature};

/// Ties the types together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Context;

/// A height of the enterprise chain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Height(pub(super) u64);

impl fmt::Display for Height {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl malachite::Height for Height {
    const ZERO: Self = Self(0);
    const INITIAL: Self = Self(1);

    fn increment_by(&self, n: u64) -> Self {
        Self(self.0.saturating_add(n))
    }

    fn decrement_by(&self, n: u64) -> Option<Self> {
        self.0.checked_sub(n).map(Self)
    }

    fn as_u64(&self) -> u64 {
        self.0
    }
}

/// What is agreed on: the hash of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct BlockId(pub(super) Hash);

impl fmt::Display for BlockId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl malachite::Value for BlockId {
    type Id = Self;

    fn id(&self) -> Self {
        *self
    }
}

/// A validator, by its public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Address(pub(super) PublicKey);

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl malachite::Address for Address {}

/// A validator proposes a block in a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Proposal {
    pub(super) height: Height,
    pub(super) round: Round,
    pub(super) block: BlockId,
    pub(super) pol_round: Round,
    pub(super) proposer: Address,
}

impl malachite::Proposal<Context> for Proposal {
    fn height(&self) -> Height {
        self.height
    }

    fn round(&self) -> Round {
        self.round
    }

    fn value(&self) -> &BlockId {
        &self.block
    }

    fn take_value(self) -> BlockId {
        self.block
    }

    fn pol_round(&self) -> Round {
        self.pol_round
    }

    fn validator_address(&self) -> &Address {
        &self.proposer
    }
}

/// Blocks travel beside the proposal, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part;

impl malachite::ProposalPart<Context> for Part {
    fn is_first(&self) -> bool {
        true
    }

    fn is_last(&self) -> bool {
        true
    }
}

/// A validator votes in a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Vote {
    pub(super) kind: VoteType,
    pub(super) height: Height,
    pub(super) round: Round,
    pub(super) block: NilOrVal<BlockId>,
    pub(super) voter: Address,
}

impl malachite::Vote<Context> for Vote {
    fn height(&self) -> Height {
        self.height
    }

    fn round(&self) -> Round {
        self.round
    }

    fn value(&self) -> &NilOrVal<BlockId> {
        &self.block
    }

    fn take_value(self) -> NilOrVal<BlockId> {
        self.block
    }

    fn vote_type(&self) -> VoteType {
        self.kind
    }

    fn validator_address(&self) -> &Address {
        &self.voter
    }

    fn extension(&self) -> Option<&SignedExtension<Context>> {
        None
    }

    fn take_extension(&mut self) -> Option<SignedExtension<Context>> {
        None
    }

    fn extend(self, _extension: SignedExtension<Context>) -> Self {
        self
    }
}

/// A member of the set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Member(pub(super) Address);

impl Member {
    /// Its public key.
    pub(super) const fn key(&self) -> PublicKey {
        self.0.0
    }
}

impl malachite::Validator<Context> for Member {
    fn address(&self) -> &Address {
        &self.0
    }

    fn public_key(&self) -> &PublicKey {
        &self.0.0
    }

    fn voting_power(&self) -> VotingPower {
        1
    }
}

/// The set in force at a height, and who proposes in which round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Set {
    members: Arc<[Member]>,
    proposers: Arc<[Member]>,
}

impl Set {
    /// A set whose rounds are led by `proposers` in turn; by all its members when that is empty.
    pub(super) fn new(set: &ValidatorSet, proposers: &[PublicKey]) -> Self {
        let members: Arc<[Member]> = set
            .validators()
            .iter()
            .map(|info| Member(Address(info.key)))
            .collect();
        let proposers: Arc<[Member]> = proposers.iter().map(|key| Member(Address(*key))).collect();
        let proposers = if proposers.is_empty() {
            Arc::clone(&members)
        } else {
            proposers
        };
        Self { members, proposers }
    }

    /// Who proposes in a round.
    pub(super) fn proposer(&self, round: Round) -> Option<&Member> {
        let round = usize::try_from(round.as_u32().unwrap_or(0)).unwrap_or(0);
        let index = round.checked_rem(self.proposers.len())?;
        self.proposers.get(index)
    }
}

impl malachite::ValidatorSet<Context> for Set {
    fn count(&self) -> usize {
        self.members.len()
    }

    fn total_voting_power(&self) -> VotingPower {
        u64::try_from(self.members.len()).unwrap_or(u64::MAX)
    }

    fn get_by_address(&self, address: &Address) -> Option<&Member> {
        let index = self
            .members
            .binary_search_by_key(address, |member| member.0);
        self.members.get(index.ok()?)
    }

    fn get_by_index(&self, index: usize) -> Option<&Member> {
        self.members.get(index)
    }
}

/// Ed25519, as everywhere in the project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ed25519;

/// Keys never pass through the core.
#[derive(Clone, Debug)]
pub(super) enum NoKey {}

/// Bytes of the wrong length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} bytes are of the wrong length")]
pub(super) struct WrongLength(usize);

impl malachite::SigningScheme for Ed25519 {
    type DecodingError = WrongLength;
    type Signature = Signature;
    type PublicKey = PublicKey;
    type PrivateKey = NoKey;

    fn decode_signature(bytes: &[u8]) -> Result<Signature, WrongLength> {
        let bytes = bytes.try_into().map_err(|_| WrongLength(bytes.len()))?;
        Ok(Signature(bytes))
    }

    fn encode_signature(signature: &Signature) -> Vec<u8> {
        signature.0.to_vec()
    }

    fn decode_public_key(bytes: &[u8]) -> Result<PublicKey, WrongLength> {
        let bytes = bytes.try_into().map_err(|_| WrongLength(bytes.len()))?;
        Ok(PublicKey(bytes))
    }

    fn encode_public_key(key: &PublicKey) -> Vec<u8> {
        key.0.to_vec()
    }
}

static NOBODY: Member = Member(Address(PublicKey([0; 32])));

impl malachite::Context for Context {
    type Address = Address;
    type Height = Height;
    type ProposalPart = Part;
    type Proposal = Proposal;
    type Validator = Member;
    type ValidatorSet = Set;
    type Timeouts = malachite::LinearTimeouts;
    type Value = BlockId;
    type Vote = Vote;
    type Extension = Vec<u8>;
    type SigningScheme = Ed25519;

    fn select_proposer<'a>(&self, set: &'a Set, _height: Height, round: Round) -> &'a Member {
        set.proposer(round).unwrap_or(&NOBODY)
    }

    fn new_proposal(
        &self,
        height: Height,
        round: Round,
        block: BlockId,
        pol_round: Round,
        proposer: Address,
    ) -> Proposal {
        Proposal {
            height,
            round,
            block,
            pol_round,
            proposer,
        }
    }

    fn new_prevote(
        &self,
        height: Height,
        round: Round,
        block: NilOrVal<BlockId>,
        voter: Address,
    ) -> Vote {
        let kind = VoteType::Prevote;
        Vote {
            kind,
            height,
            round,
            block,
            voter,
        }
    }

    fn new_precommit(
        &self,
        height: Height,
        round: Round,
        block: NilOrVal<BlockId>,
        voter: Address,
    ) -> Vote {
        let kind = VoteType::Precommit;
        Vote {
            kind,
            height,
            round,
            block,
            voter,
        }
    }
}
