//! A private tenant beside the open ones: two reporters that seal each block differently, and an owner who now and then
//! voids what is final. Resets of strangers, of open tenants and out of turn are handed in, too, and must be refused.

use shared::block::Block;
use shared::enterprise::Reset;
use shared::hash::Hash;
use shared::ids::{ChainId, Height};
use validator::body::Body;
use validator::ledger::Submission;
use validator::replica::Input;
use validator::store::BodyKey;

use super::{Event, START, World, identity};
use crate::tenant::{TestTenant, make_private};

/// The tenant as its members see it.
pub(super) struct Private {
    /// The tenant as it was after each block.
    steps: Vec<TestTenant>,
    blocks: Vec<Block>,
    acknowledged: usize,
    from: usize,
    /// Resets that its members know to be executed.
    resets: u32,
    /// The reset that the owner hands in until it is executed.
    wish: Option<Reset>,
    forks: u8,
    report_every_ms: u64,
    reset_every_ms: u64,
}

/// What a client of a node waits for.
pub(super) enum Asked {
    /// That blocks are taken, up to so many after so many resets.
    Blocks {
        upto: usize,
        resets: u32,
        keys: Vec<(BodyKey, u32)>,
    },
    /// That the owner's reset is.
    Rightful(Reset),
    /// That a reset is refused.
    Wrongful(&'static str),
}

impl Private {
    pub(super) fn new(report_every_ms: u64, reset_every_ms: u64) -> Self {
        let tenant = TestTenant::with("private", 9, START, |genesis| {
            genesis.rules.interval_ms = 2_000;
            genesis.rules.finality_delay_ms = 300;
            make_private(genesis);
        });
        Self {
            steps: vec![tenant],
            blocks: Vec::new(),
            acknowledged: 0,
            from: 0,
            resets: 0,
            wish: None,
            forks: 0,
            report_every_ms,
            reset_every_ms,
        }
    }

    /// How often it is reported, and how often its owner resets it.
    pub(super) const fn every_ms(&self) -> (u64, u64) {
        (self.report_every_ms, self.reset_every_ms)
    }

    fn tenant(&self) -> &TestTenant {
        &self.steps[self.blocks.len()]
    }

    pub(super) fn chain_id(&self) -> ChainId {
        self.steps[0].chain_id()
    }

    pub(super) fn is_done(&self) -> bool {
        self.acknowledged == self.blocks.len() && self.wish.is_none()
    }

    fn mine(&mut self, at: u64) {
        let mut tenant = self.tenant().clone();
        self.blocks
            .push(tenant.mine_at(START.plus_ms(1_000 + at), &["secret"]));
        self.steps.push(tenant);
    }

    /// Members go back to what a reset left.
    fn follow_reset(&mut self, reset: &Reset) {
        self.resets = reset.number;
        self.wish = None;
        let left = usize::try_from(reset.from.0 - 1).unwrap();
        if left < self.blocks.len() {
            self.blocks.truncate(left);
            self.steps.truncate(left + 1);
            self.forks = self.forks.wrapping_add(1);
            let marked = self.tenant().fork(self.forks);
            self.steps[left] = marked;
        }
        self.acknowledged = self.acknowledged.min(left);
        self.from = 0;
    }
}

impl World {
    /// Reporters hand in what is not acknowledged, each to another validator.
    pub(super) fn report(&mut self) {
        self.look_at_resets();
        let Some(private) = &mut self.private else {
            return;
        };
        if private.blocks.len() < private.acknowledged + 6 {
            private.mine(self.now);
        }
        let every = private.report_every_ms;
        for by in [1, 2] {
            if by == 1 || self.draw.percent(60) {
                let index = self.draw.index(self.nodes.len());
                self.hand_in_reports(by, index);
            }
        }
        self.after(every, Event::Report);
    }

    pub(super) fn hand_in_reports(&mut self, by: u8, index: usize) {
        let Some(private) = &mut self.private else {
            return;
        };
        let first = private.from.min(private.acknowledged);
        private.from = usize::MAX;
        let tenant = private.tenant();
        let sealed = tenant.seal_all(&private.blocks[first..], by);
        let chain_id = tenant.chain_id();
        let keys = sealed.iter().map(|block| {
            let key = (chain_id, block.hash());
            (key, block.header().height.0)
        });
        let asked = Asked::Blocks {
            upto: private.blocks.len(),
            resets: private.resets,
            keys: keys.collect(),
        };
        let submission = Submission {
            genesis: std::sync::Arc::clone(&tenant.genesis),
            chain_id,
            blocks: sealed.into_iter().map(Body::from).collect(),
        };
        self.ask(index, asked, |client| Input::Submit { client, submission });
    }

    fn ask(&mut self, index: usize, asked: Asked, input: impl FnOnce(u64) -> Input) {
        if self.nodes[index].replica.is_none() {
            return;
        }
        self.next_client += 1;
        let client = self.next_client;
        self.nodes[index].private.insert(client, asked);
        self.step(index, input(client));
    }

    /// The owner voids something final; others try what is not theirs.
    pub(super) fn void(&mut self) {
        self.look_at_resets();
        let Some(private) = &self.private else {
            return;
        };
        let (chain_id, number) = (private.chain_id(), private.resets + 1);
        let every = private.reset_every_ms;
        let newest = self.newest().state().newest_final(&chain_id).copied();
        if let Some(newest) = newest {
            let from = 1 + u32::try_from(self.draw.below(u64::from(newest.height().0))).unwrap();
            let private = self.private.as_ref().unwrap();
            let place = usize::try_from(from).unwrap() - 1;
            let stays = match place.checked_sub(1) {
                None => Some(chain_id.0),
                Some(below) => private.blocks.get(below).map(|block| block.hash()),
            };
            if let Some(stays) = stays {
                self.wrongful(chain_id, number, from, stays);
                let private = self.private.as_mut().unwrap();
                let rightful = private.steps[0].reset(number, from, stays);
                let wish = private.wish.get_or_insert(rightful).clone();
                self.hand_in_reset(Asked::Rightful(wish.clone()), wish);
            }
        }
        self.after(every, Event::Void);
    }

    fn hand_in_reset(&mut self, asked: Asked, reset: Reset) {
        let index = self.draw.index(self.nodes.len());
        self.hand_in_reset_at(index, asked, reset);
    }

    fn hand_in_reset_at(&mut self, index: usize, asked: Asked, reset: Reset) {
        let reset = Box::new(reset);
        self.ask(index, asked, |client| Input::Reset { client, reset });
    }

    fn wrongful(&mut self, chain_id: ChainId, number: u32, from: u32, stays: Hash) {
        let open = self.clients[0].tenant.clone();
        let owner = self.private.as_ref().unwrap().steps[0].clone();
        let stranger = Reset::sign(&identity(77), chain_id, number, Height(from), stays);
        let of_open = open.reset(1, 1, open.chain_id().0);
        let late = owner.reset(number + 1, from, stays);
        for (what, reset) in [
            ("a stranger's reset", stranger),
            ("a reset of an open tenant", of_open),
            ("a reset out of turn", late),
        ] {
            self.hand_in_reset(Asked::Wrongful(what), reset);
        }
    }

    /// What an honest validator has executed is known to the members.
    fn look_at_resets(&mut self) {
        let Some(private) = &self.private else {
            return;
        };
        let (chain_id, next) = (private.chain_id(), private.resets + 1);
        let executed = self.newest().executed_reset(chain_id, next);
        if let Some(executed) = executed
            && let Some(private) = &mut self.private
        {
            private.follow_reset(&executed.reset);
        }
    }

    /// At the end the members hand in everything again.
    pub(super) fn hand_in_private_everywhere(&mut self) {
        self.look_at_resets();
        let Some(private) = &self.private else {
            return;
        };
        let wish = private.wish.clone();
        for index in 0..self.nodes.len() {
            if let Some(wish) = &wish {
                self.hand_in_reset_at(index, Asked::Rightful(wish.clone()), wish.clone());
                continue;
            }
            if let Some(private) = &mut self.private {
                private.from = 0;
            }
            self.hand_in_reports(1, index);
        }
    }

    /// An answer to a reporter or to the owner.
    pub(super) fn private_replied(
        &mut self,
        index: usize,
        client: u64,
        is_taken: bool,
        is_acknowledged: bool,
    ) {
        let seed = self.setup_seed;
        let node = &mut self.nodes[index];
        let (asked, is_honest) = (node.private.remove(&client), node.is_honest);
        let (Some(asked), Some(private)) = (asked, &mut self.private) else {
            return;
        };
        let is_promised = is_taken && is_acknowledged;
        match asked {
            Asked::Blocks { upto, resets, keys } => {
                if !is_taken {
                    private.from = 0;
                } else if is_acknowledged && resets == private.resets {
                    private.acknowledged = private.acknowledged.max(upto);
                }
                if is_promised && is_honest {
                    self.observer.acknowledged_reports(resets, keys);
                }
            }
            Asked::Rightful(reset) => {
                if is_promised && is_honest {
                    self.observer.acknowledged_reset(reset);
                }
            }
            Asked::Wrongful(what) => {
                assert!(!is_promised || !is_honest, "seed {seed}: {what} is taken");
            }
        }
    }
}
