//! What a user sent does not disappear, whatever happens: it is in the chain, waits, or is visibly in conflict.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::ids::Height;

/// What happens to one node while two miners work on two branches.
#[derive(Debug, Clone)]
enum Fault {
    Submitted,
    /// A miner extends its branch by some blocks, the first with what waits here, a twin's transaction, or nothing.
    Extended {
        branch: usize,
        blocks: u8,
        content: Content,
    },
    /// The second miner starts anew on the first one's tip.
    Forked,
    /// All blocks of a branch arrive.
    Arrived {
        branch: usize,
    },
    /// A block of a branch becomes final, so many below its tip.
    Finalised {
        branch: usize,
        below: u8,
    },
    Restarted,
    Passed {
        seconds: u8,
    },
}

#[derive(Debug, Clone, Copy)]
enum Content {
    Waiting,
    OfTwin,
    Nothing,
}

fn fault() -> impl Strategy<Value = Fault> {
    let content = prop_oneof![
        Just(Content::Waiting),
        Just(Content::OfTwin),
        Just(Content::Nothing)
    ];
    prop_oneof![
        3 => Just(Fault::Submitted),
        4 => (0..2usize, 1..4u8, content).prop_map(|(branch, blocks, content)| Fault::Extended {
            branch,
            blocks,
            content,
        }),
        1 => Just(Fault::Forked),
        4 => (0..2usize).prop_map(|branch| Fault::Arrived { branch }),
        2 => (0..2usize, 0..4u8).prop_map(|(branch, below)| Fault::Finalised { branch, below }),
        2 => Just(Fault::Restarted),
        1 => (1..60u8).prop_map(|seconds| Fault::Passed { seconds }),
    ]
}

/// One node, the branches around it, and what its user sent.
struct Story {
    bench: Option<Bench>,
    branches: [Chain; 2],
    sent: BTreeSet<Hash>,
}

impl Story {
    fn new() -> Self {
        let chain = grown(1, 3);
        let mut bench = Bench::holding(1, &chain);
        bench.pass(3_000);
        Self {
            bench: Some(bench),
            branches: [chain.clone(), chain],
            sent: BTreeSet::new(),
        }
    }

    fn bench(&mut self) -> &mut Bench {
        self.bench.as_mut().unwrap()
    }

    fn suffer(&mut self, fault: &Fault) {
        match *fault {
            Fault::Submitted => self.submit(),
            Fault::Extended {
                branch,
                blocks,
                content,
            } => self.extend(branch, blocks, content),
            Fault::Forked => self.branches[1] = self.branches[0].clone(),
            Fault::Arrived { branch } => self.arrive(branch),
            Fault::Finalised { branch, below } => self.finalise(branch, below),
            Fault::Restarted => {
                let bench = self.bench.take().unwrap();
                self.bench = Some(bench.restart(1));
            }
            Fault::Passed { seconds } => self.bench().pass(u64::from(seconds) * 1_000),
        }
    }

    fn submit(&mut self) {
        let bench = self.bench();
        bench.taken();
        bench.submit("a promise");
        let id = bench.events().into_iter().find_map(|event| {
            if let Event::Submitted { id, .. } = event {
                Some(id)
            } else {
                None
            }
        });
        self.sent.extend(id);
    }

    fn extend(&mut self, branch: usize, blocks: u8, content: Content) {
        let waiting: Vec<_> = self.bench().node.outbox().iter().cloned().collect();
        let chain = &mut self.branches[branch];
        let own = Identity::from_seed([1; 32]).public_key();
        let next = chain.next_sequence(&own);
        let transactions = match content {
            Content::Waiting => waiting,
            Content::OfTwin => vec![transaction(1, next.0, "of a twin")],
            Content::Nothing => Vec::new(),
        };
        let miner = u8::try_from(branch).unwrap() + 5;
        extend(chain, miner, transactions);
        for _ in 1..blocks {
            extend(chain, miner, Vec::new());
        }
    }

    fn arrive(&mut self, branch: usize) {
        let chain = self.branches[branch].clone();
        let bench = self.bench();
        bench.now = bench.now.max(chain.tip().timestamp);
        for height in 1..=chain.tip().height.0 {
            bench.give(Input::BlockOffered {
                bytes: chain.block_at(Height(height)).unwrap().encode(),
            });
        }
    }

    /// What becomes final is on the chain of what is final; a miner who left it starts anew.
    fn finalise(&mut self, branch: usize, below: u8) {
        let chain = self.branches[branch].clone();
        let height = chain.tip().height.0.saturating_sub(below.into()).max(1);
        finalise(self.bench(), &chain, height);
        let hash = chain.hash_at(Height(height)).unwrap();
        if !self.branches[1 - branch].is_on_main(&hash) {
            self.branches[1 - branch] = chain;
        }
    }

    fn check(&mut self) {
        let node = &self.bench.as_ref().unwrap().node;
        let lost: BTreeSet<Hash> = node.conflicts().map(|lost| lost.transaction.id()).collect();
        for id in &self.sent {
            let is_here = node.chain().contains_transaction(id).is_some()
                || node.outbox().contains(id)
                || lost.contains(id);
            assert!(is_here, "{id} disappeared");
        }
        if let Some(block) = node.chain().newest_final() {
            let at = node.chain().hash_at(block.height());
            assert!(at.is_none_or(|at| at == block.hash()), "final is left out");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn what_a_user_sent_is_in_the_chain_waits_or_is_in_conflict(
        faults in prop::collection::vec(fault(), 1..24),
    ) {
        let mut story = Story::new();
        for fault in &faults {
            story.suffer(fault);
            story.check();
        }
    }
}
