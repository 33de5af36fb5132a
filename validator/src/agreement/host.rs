//! What the core asks for: signatures, timers, the log, the network; carried out at once or put into the orders.
//!
//! Limits: [`PRECOMMITS_MAX`].

use std::collections::VecDeque;
use std::convert::Infallible;

use malachite::{
    CertificateError, CommitCertificate, NilOrVal, Round as CoreRound, Timeout, TimeoutKind,
    Vote as _, VoteType,
};
use shared::enterprise::{Certificate, EnterpriseHeight, Round, Timeouts, ValidatorSet};
use shared::identity::Identity;
use shared::ids::{ChainId, PublicKey, Signature, TimestampMs};
use tendermint::{
    ConsensusMsg, Effect, LivenessMsg, MisbehaviorEvidence, Resumable as _, Resume,
    SignedConsensusMsg,
};

use super::context::{Context, Set, Vote};
use super::message::{Kind, Message, is_proposal_signed, is_vote_signed, sign_proposal, sign_vote};
use super::record::Record;
use super::{Evidence, Output};

/// Precommits of a height whose signatures are known to hold; those of further ones are verified again in the certificate.
const PRECOMMITS_MAX: usize = 1_024;

type CertificateVerdict = Result<(), CertificateError<Context>>;

/// What the core works with.
pub(super) struct Host {
    pub(super) identity: Identity,
    pub(super) chain: ChainId,
    pub(super) timeouts: Timeouts,
    pub(super) validators: ValidatorSet,
    pub(super) timers: Vec<(TimestampMs, Timeout)>,
    /// Precommits of this height whose signatures hold.
    pub(super) precommits: Vec<(Vote, Signature)>,
    pub(super) outputs: VecDeque<Output>,
    pub(super) now: TimestampMs,
    pub(super) is_replaying: bool,
}

impl Host {
    fn publish(&mut self, kind: Kind) {
        self.outputs.push_back(Output::Publish(Message(kind)));
    }

    #[expect(
        clippy::too_many_lines,
        reason = "one arm an effect of the core, each a line or two"
    )]
    pub(super) fn perform(
        &mut self,
        effect: Effect<Context>,
    ) -> Result<Resume<Context>, Infallible> {
        let resume = match effect {
            Effect::CancelAllTimeouts(resume) => {
                self.timers.clear();
                resume.resume_with(())
            }
            Effect::CancelTimeout(timeout, resume) => {
                self.timers.retain(|(_, other)| *other != timeout);
                resume.resume_with(())
            }
            Effect::ScheduleTimeout(timeout, resume) => {
                self.schedule(timeout);
                resume.resume_with(())
            }
            Effect::StartRound(_, _, _, _, resume) => resume.resume_with(()),
            Effect::PublishConsensusMsg(message, resume) => {
                self.publish(match message {
                    SignedConsensusMsg::Vote(vote) => Kind::Vote(vote),
                    SignedConsensusMsg::Proposal(proposal) => Kind::Proposal(proposal),
                });
                resume.resume_with(())
            }
            Effect::PublishLivenessMsg(message, resume) => {
                self.publish(match message {
                    LivenessMsg::Vote(vote) => Kind::Vote(vote),
                    LivenessMsg::PolkaCertificate(certificate) => Kind::Polka(certificate),
                    LivenessMsg::SkipRoundCertificate(certificate) => Kind::Round(certificate),
                });
                resume.resume_with(())
            }
            Effect::RepublishVote(vote, resume) => {
                self.publish(Kind::Vote(vote));
                resume.resume_with(())
            }
            Effect::RepublishRoundCertificate(certificate, resume) => {
                self.publish(Kind::Round(certificate));
                resume.resume_with(())
            }
            Effect::GetValue(height, round, _, resume) => {
                self.outputs.push_back(Output::BuildValue {
                    height: EnterpriseHeight(height.0),
                    round: round_of(round),
                });
                resume.resume_with(())
            }
            Effect::RestreamProposal(height, round, _, _, value, resume) => {
                self.outputs.push_back(Output::SendValue {
                    height: EnterpriseHeight(height.0),
                    round: round_of(round),
                    block_hash: value.0,
                });
                resume.resume_with(())
            }
            Effect::Decide(certificate, _, resume) => {
                let verified = self.verified(&certificate);
                let certificate = self.certificate(certificate);
                self.outputs.push_back(Output::Decide {
                    certificate,
                    verified,
                });
                resume.resume_with(())
            }
            Effect::Finalize(_, _, evidence, resume) => {
                self.report(&evidence);
                resume.resume_with(())
            }
            Effect::SignVote(vote, resume) => {
                let signed = sign_vote(vote, &self.identity, self.chain);
                self.remember(&signed.message, &signed.signature);
                resume.resume_with(signed)
            }
            Effect::SignProposal(proposal, resume) => {
                resume.resume_with(sign_proposal(proposal, &self.identity, self.chain))
            }
            Effect::VerifySignature(signed, key, resume) => {
                let signature = &signed.signature;
                resume.resume_with(match &signed.message {
                    ConsensusMsg::Vote(vote) => {
                        let holds = vote.voter.0 == key
                            && is_vote_signed(vote, &key, self.chain, signature);
                        if holds {
                            self.remember(vote, signature);
                        }
                        holds
                    }
                    ConsensusMsg::Proposal(proposal) => {
                        is_proposal_signed(proposal, &key, self.chain, signature)
                    }
                })
            }
            // The ledger verifies it, and of its signatures those that were not verified vote by vote.
            Effect::VerifyCommitCertificate(_, _, _, resume) => resume.resume_with(Ok(())),
            Effect::VerifyExtendedCommitCertificate(_, _, _, _, resume) => {
                resume.resume_with(Err(CertificateError::VerificationError(None)))
            }
            Effect::VerifyPolkaCertificate(certificate, set, thresholds, resume) => {
                let votes: Vec<_> = certificate.votes(&Context).collect();
                let verdict = self.verify(&votes, &set, thresholds.quorum);
                resume.resume_with(verdict)
            }
            Effect::VerifyRoundCertificate(certificate, set, thresholds, resume) => {
                let votes: Vec<_> = certificate.votes(&Context).collect();
                let is_skip = certificate.cert_type == malachite::RoundCertificateType::Skip;
                let threshold = if is_skip {
                    thresholds.honest
                } else {
                    thresholds.quorum
                };
                let stray = votes
                    .iter()
                    .find(|vote| !is_skip && vote.vote_type() != VoteType::Precommit);
                resume.resume_with(match stray {
                    Some(vote) => Err(CertificateError::InvalidVoteType(vote.voter)),
                    None => self.verify(&votes, &set, threshold),
                })
            }
            Effect::WalAppend(height, input, resume) => {
                if !self.is_replaying
                    && let Some(record) = Record::of(height, input)
                {
                    self.outputs.push_back(Output::Log(record));
                }
                resume.resume_with(())
            }
            Effect::CertVerifiedSyncValue(_, _, resume) => resume.resume_with(()),
            Effect::CertRejectedSyncValue(_, _, _, resume) => resume.resume_with(()),
            Effect::ExtendVote(_, _, _, _, resume) => resume.resume_with(None),
            Effect::VerifyVoteExtension(_, _, _, _, _, _, resume) => {
                resume.resume_with(Err(tendermint::VoteExtensionError::InvalidVoteExtension))
            }
        };
        Ok(resume)
    }

    /// Distinct members of the set, each with a true signature, as many as the threshold asks for.
    #[expect(
        clippy::result_large_err,
        reason = "the error is the core's, and it asks for it by value"
    )]
    fn verify(
        &self,
        votes: &[malachite::SignedVote<Context>],
        set: &Set,
        threshold: malachite::ThresholdParam,
    ) -> CertificateVerdict {
        use malachite::ValidatorSet as _;
        let mut voters = std::collections::BTreeSet::new();
        for signed in votes {
            let voter = signed.voter;
            if set.get_by_address(&voter).is_none() {
                return Err(CertificateError::UnknownValidator(voter));
            }
            if !voters.insert(voter) {
                return Err(CertificateError::DuplicateVote(voter));
            }
        }
        let (signed, total) = (
            u64::try_from(voters.len()).unwrap_or(u64::MAX),
            set.total_voting_power(),
        );
        if !threshold.is_met(signed, total) {
            return Err(CertificateError::NotEnoughVotingPower {
                signed,
                total,
                expected: threshold.min_expected(total),
            });
        }
        let is_true = |signed: &malachite::SignedVote<Context>| {
            is_vote_signed(
                &signed.message,
                &signed.voter.0,
                self.chain,
                &signed.signature,
            )
        };
        if votes.iter().all(is_true) {
            Ok(())
        } else {
            Err(CertificateError::VerificationError(None))
        }
    }

    fn schedule(&mut self, timeout: Timeout) {
        self.timers.retain(|(_, other)| *other != timeout);
        let after = self.duration_ms(timeout);
        self.timers.push((self.now.plus_ms(after), timeout));
    }

    /// Timeouts grow with the round up to the genesis' maximum.
    fn duration_ms(&self, timeout: Timeout) -> u64 {
        let Timeouts {
            propose_ms,
            prevote_ms,
            precommit_ms,
            growth_ms,
            max_ms,
        } = self.timeouts;
        let round = timeout.round.as_u32().unwrap_or(0);
        let base = match timeout.kind {
            TimeoutKind::Propose => propose_ms,
            TimeoutKind::Prevote => prevote_ms,
            TimeoutKind::Precommit => precommit_ms,
            TimeoutKind::Rebroadcast | TimeoutKind::FinalizeHeight(_) => propose_ms
                .saturating_add(prevote_ms)
                .saturating_add(precommit_ms),
        };
        let grown = base.saturating_add(growth_ms.saturating_mul(round));
        u64::from(grown.min(max_ms))
    }

    /// Notes a precommit whose signature holds.
    fn remember(&mut self, vote: &Vote, signature: &Signature) {
        if vote.kind == VoteType::Precommit && self.precommits.len() < PRECOMMITS_MAX {
            self.precommits.push((*vote, *signature));
        }
    }

    /// The signatures over what a certificate decides that are known to hold.
    fn verified(&self, commit: &CommitCertificate<Context>) -> Vec<(PublicKey, Signature)> {
        let is_of_it = |vote: &Vote| {
            vote.height == commit.height
                && vote.round == commit.round
                && vote.block == NilOrVal::Val(commit.value_id)
        };
        let votes = self.precommits.iter().filter(|(vote, _)| is_of_it(vote));
        votes
            .map(|(vote, signature)| (vote.voter.0, *signature))
            .collect()
    }

    fn certificate(&self, commit: CommitCertificate<Context>) -> Certificate {
        let mut signatures: Vec<(u16, Signature)> = commit
            .commit_signatures
            .into_iter()
            .filter_map(|signed| {
                let index = self.validators.index_of(&signed.address.0)?;
                Some((index, signed.signature))
            })
            .collect();
        signatures.sort_by_key(|(index, _)| *index);
        signatures.dedup_by_key(|(index, _)| *index);
        Certificate {
            height: EnterpriseHeight(commit.height.0),
            round: round_of(commit.round),
            block_hash: commit.value_id.0,
            signatures,
        }
    }

    pub(super) fn report(&mut self, evidence: &MisbehaviorEvidence<Context>) {
        let votes = evidence.votes.iter().flat_map(|(address, pairs)| {
            pairs.iter().map(|(first, second)| Evidence {
                offender: address.0,
                first: Message(Kind::Vote(first.clone())),
                second: Message(Kind::Vote(second.clone())),
            })
        });
        let proposals = evidence.proposals.iter().flat_map(|(address, pairs)| {
            pairs.iter().map(|(first, second)| Evidence {
                offender: address.0,
                first: Message(Kind::Proposal(first.clone())),
                second: Message(Kind::Proposal(second.clone())),
            })
        });
        let outputs = votes.chain(proposals).map(Output::Evidence);
        self.outputs.extend(outputs);
    }
}

fn round_of(round: CoreRound) -> Round {
    Round(round.as_u32().unwrap_or(0))
}
