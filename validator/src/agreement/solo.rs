//! Agreement of one: the block it builds is decided by its own signature, in round 0.
//!
//! Nothing is published before the block is durable, so a signature lost in a crash was never seen by anybody and the
//! height may be signed anew.

use std::collections::VecDeque;

use shared::enterprise::{Certificate, EnterpriseHeight, Round, ValidatorSet, Vote};
use shared::identity::Identity;
use shared::ids::{ChainId, TimestampMs};

use super::{Agreement, AgreementError, Input, Output};

/// The agreement of a validator that is alone in its set.
#[derive(Debug)]
pub struct Solo {
    identity: Identity,
    chain: ChainId,
    phase: Phase,
    outputs: VecDeque<Output>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Idle,
    Building(EnterpriseHeight),
}

impl Solo {
    /// An agreement for the only validator of `set`.
    ///
    /// # Errors
    /// [`AgreementError`] when the set has others, or not this one.
    pub fn new(
        identity: Identity,
        chain: ChainId,
        set: &ValidatorSet,
    ) -> Result<Self, AgreementError> {
        if set.index_of(&identity.public_key()).is_none() {
            return Err(AgreementError::NotAValidator);
        }
        match set.validators().len() {
            1 => Ok(Self {
                identity,
                chain,
                phase: Phase::Idle,
                outputs: VecDeque::new(),
            }),
            found => Err(AgreementError::NotAlone { found }),
        }
    }
}

impl Agreement for Solo {
    fn handle(&mut self, _now: TimestampMs, input: Input) -> Result<(), AgreementError> {
        match (self.phase, input) {
            (_, Input::WorkPending { height }) => {
                self.phase = Phase::Building(height);
                self.outputs.push_back(Output::BuildValue {
                    height,
                    round: Round(0),
                });
                Ok(())
            }
            (
                Phase::Building(expected),
                Input::ValueBuilt {
                    height,
                    round,
                    block_hash,
                },
            ) if height == expected => {
                let signature =
                    Vote::precommit(height, round, block_hash).sign(&self.identity, self.chain);
                let certificate = Certificate {
                    height,
                    round,
                    block_hash,
                    signatures: vec![(0, signature)],
                };
                self.phase = Phase::Idle;
                self.outputs.push_back(Output::Decide { certificate });
                Ok(())
            }
            (Phase::Building(expected), Input::ValueBuilt { height: found, .. }) => {
                Err(AgreementError::OtherHeight { found, expected })
            }
            (Phase::Idle, Input::ValueBuilt { height: found, .. }) => {
                Err(AgreementError::OtherHeight {
                    found,
                    expected: EnterpriseHeight(0),
                })
            }
        }
    }

    fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::enterprise::ValidatorInfo;
    use shared::hash::Hash;
    use shared::ids::NetworkId;

    const NOW: TimestampMs = TimestampMs(1_000);

    fn set(identities: &[&Identity]) -> ValidatorSet {
        let name = NetworkId::parse("v").unwrap();
        let info = |identity: &&Identity| ValidatorInfo {
            key: identity.public_key(),
            name: name.clone(),
        };
        ValidatorSet::new(identities.iter().map(info).collect()).unwrap()
    }

    #[test]
    fn work_becomes_a_value_and_the_value_a_certificate() {
        let identity = Identity::from_seed([1; 32]);
        let chain = ChainId(Hash([7; 32]));
        let mut solo = Solo::new(identity.clone(), chain, &set(&[&identity])).unwrap();
        let height = EnterpriseHeight(4);
        solo.handle(NOW, Input::WorkPending { height }).unwrap();
        assert_eq!(
            solo.poll(),
            Some(Output::BuildValue {
                height,
                round: Round(0)
            })
        );
        let block_hash = Hash([9; 32]);
        solo.handle(
            NOW,
            Input::ValueBuilt {
                height,
                round: Round(0),
                block_hash,
            },
        )
        .unwrap();
        let Some(Output::Decide { certificate }) = solo.poll() else {
            panic!("not decided")
        };
        let vote = Vote::precommit(height, Round(0), block_hash);
        let (index, signature) = certificate.signatures[0];
        assert_eq!((certificate.signatures.len(), index), (1, 0));
        assert!(vote.is_signed_by(&identity.public_key(), chain, &signature));
        assert_eq!(solo.poll(), None);
    }

    #[test]
    fn a_height_is_decided_once() {
        let identity = Identity::from_seed([1; 32]);
        let mut solo =
            Solo::new(identity.clone(), ChainId(Hash::ZERO), &set(&[&identity])).unwrap();
        let height = EnterpriseHeight(1);
        let built = Input::ValueBuilt {
            height,
            round: Round(0),
            block_hash: Hash::ZERO,
        };
        solo.handle(NOW, Input::WorkPending { height }).unwrap();
        solo.handle(NOW, built.clone()).unwrap();
        assert!(solo.handle(NOW, built).is_err());
    }

    #[test]
    fn only_the_one_member_of_a_set_of_one_is_alone() {
        let [one, two] = [1, 2].map(|seed| Identity::from_seed([seed; 32]));
        let chain = ChainId(Hash::ZERO);
        let stranger = Solo::new(one.clone(), chain, &set(&[&two])).unwrap_err();
        assert_eq!(stranger, AgreementError::NotAValidator);
        let both = Solo::new(one.clone(), chain, &set(&[&one, &two])).unwrap_err();
        assert_eq!(both, AgreementError::NotAlone { found: 2 });
    }
}
