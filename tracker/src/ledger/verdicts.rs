//! What signatures of blocks were found to be, so that a block that comes again and again is verified once.
//!
//! A verdict is kept by the hash of the chain id and all of a block's bytes, which it depends on alone, and only if
//! signatures were looked at: to have one kept, a block's work must be done. Beyond [`VERDICTS_MAX`] the oldest goes.

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};

use shared::block::{Block, BlockError, UncheckedBlock};
use shared::genesis::Genesis;
use shared::hash::{Hash, sha256};
use shared::identity::Verify;

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Verdicts {
    found: BTreeMap<Hash, Result<(), BlockError>>,
    oldest_first: VecDeque<Hash>,
}

impl Verdicts {
    /// As [`UncheckedBlock::check_with`], but verifies no signature of a block that was verified lately.
    pub(super) fn check(
        &mut self,
        block: UncheckedBlock,
        genesis: &Genesis,
        verifier: &mut impl Verify,
    ) -> Result<Block, BlockError> {
        let key = sha256(&[genesis.chain_id().0.as_bytes(), &block.encode()]);
        match self.found.get(&key) {
            Some(Ok(())) => return block.check_with(genesis, verifier, |_| true),
            Some(Err(error)) => return Err(*error),
            None => {}
        }
        let has_verified = Cell::new(false);
        let checked = block.check_with(genesis, verifier, |_| {
            has_verified.set(true);
            false
        });
        if has_verified.get() {
            self.keep(key, checked.as_ref().map(drop).map_err(|error| *error));
        }
        checked
    }

    fn keep(&mut self, key: Hash, verdict: Result<(), BlockError>) {
        self.found.insert(key, verdict);
        self.oldest_first.push_back(key);
        if self.oldest_first.len() > VERDICTS_MAX
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.found.remove(&oldest);
        }
    }
}

/// Blocks whose verdicts are remembered.
const VERDICTS_MAX: usize = 1_024;

#[cfg(test)]
mod tests {
    use shared::block::MinerRecord;
    use shared::chain::Chain;
    use shared::genesis::{Access, Rules};
    use shared::identity::{Identity, SignatureError, Verifier};
    use shared::ids::{NetworkId, PublicKey, Sequence, Signature, TimestampMs};
    use shared::miner::{Miner, Step};
    use shared::pow::Target;
    use shared::transaction::{Payload, Transaction};

    use super::*;

    /// Counts what it is asked.
    #[derive(Default)]
    struct Counting {
        verifier: Verifier,
        asked: usize,
    }

    impl Verify for Counting {
        fn verify_bytes(
            &mut self,
            key: &PublicKey,
            message: &[u8],
            signature: &Signature,
        ) -> Result<(), SignatureError> {
            self.asked += 1;
            self.verifier.verify_bytes(key, message, signature)
        }
    }

    fn genesis() -> Genesis {
        let mut rules = Rules::open_default(Target::for_hashes(16).to_compact());
        rules.stamp_bits = 4;
        Genesis {
            network_id: NetworkId::parse("demo").unwrap(),
            rules,
            created_at: TimestampMs(1_000_000),
            owner: Identity::from_seed([1; 32]).public_key(),
            enterprise_genesis: None,
            predecessor: None,
            access: Access::Open,
        }
    }

    /// A mined block of the network with one message.
    fn mined(genesis: &Genesis) -> UncheckedBlock {
        let at = genesis.created_at.plus_ms(60_000);
        let payload = Payload::Message("hello".into());
        let (sender, sequence) = (Identity::from_seed([1; 32]), Sequence(0));
        let chain_id = genesis.chain_id();
        let transaction =
            Transaction::create(&sender, chain_id, &genesis.rules, sequence, at, payload).unwrap();
        let record = MinerRecord {
            key: genesis.owner,
            free: [0; 8],
        };
        let template = Chain::new(genesis.clone()).template(record, vec![transaction], at);
        let target = template.header.target.target();
        let Step::Found(solution) =
            Miner::new(&template.header, &target, 0, u32::MAX).step(u32::MAX)
        else {
            panic!("an easy target is met");
        };
        let block = template.solved(genesis, solution).unwrap();
        UncheckedBlock::decode(&block.encode()).unwrap()
    }

    #[test]
    fn a_block_that_comes_again_is_verified_once_and_judged_alike_on_each_chain() {
        let own = genesis();
        let other = Genesis {
            created_at: TimestampMs(2_000_000),
            ..own.clone()
        };
        let block = mined(&own);
        let (mut verdicts, mut counting) = (Verdicts::default(), Counting::default());
        for _ in 0..3 {
            for chain in [&own, &other] {
                // The signature holds on its own chain only.
                let found = verdicts.check(block.clone(), chain, &mut counting);
                assert_eq!(found, block.clone().check(chain));
                assert_eq!(found.is_ok(), *chain == own);
            }
        }
        assert_eq!(counting.asked, 2, "once for each chain");
    }

    #[test]
    fn only_verdicts_that_took_work_are_kept_and_the_oldest_goes() {
        let own = genesis();
        let block = mined(&own);
        let (mut verdicts, mut counting) = (Verdicts::default(), Counting::default());
        verdicts.check(block.clone(), &own, &mut counting).unwrap();
        let mut changed = block.clone();
        changed.miner.free = [1; 8];
        let mut without_work = block.clone();
        without_work.header.nonce ^= 0x5555;
        for bad in [changed, without_work] {
            verdicts.check(bad, &own, &mut counting).unwrap_err();
        }
        assert_eq!(verdicts.found.len(), 1, "cheap refusals push nothing out");
        for number in 0..VERDICTS_MAX {
            verdicts.keep(sha256(&[&number.to_be_bytes()]), Ok(()));
        }
        assert_eq!(verdicts.found.len(), VERDICTS_MAX);
        verdicts.check(block, &own, &mut counting).unwrap();
        assert_eq!(counting.asked, 2, "it was forgotten");
    }
}
