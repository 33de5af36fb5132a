//! Private networks: who reports them, and how their members follow resets.

use super::*;
use crate::{
    enterprise::{
        Branch, Certificate, Checkpoint, EnterpriseBlock, EnterpriseGenesis, EnterpriseHeader,
        Entry, FinalityProof, LogEntry, Receipt, Reset, ResetReceipt, Round, Tenants,
        ValidatorInfo, ValidatorSet, Verifier, Vote,
    },
    ids::Height,
    merkle::Tree,
    node::Reporting,
    report::Report,
};

const OWNER: u8 = 9;

fn owner() -> Identity {
    Identity::from_seed([OWNER; 32])
}

/// The enterprise chain of one validator, and what it can prove.
#[derive(Clone)]
pub(super) struct Enterprise {
    pub(super) genesis: EnterpriseGenesis,
    tenants: Tenants,
    verifier: Verifier,
    log: Vec<LogEntry>,
    newest: Option<Checkpoint>,
}

impl Enterprise {
    pub(super) fn new() -> Self {
        let info = ValidatorInfo {
            key: Identity::from_seed([4; 32]).public_key(),
            name: NetworkId::parse("v1").unwrap(),
        };
        let set = ValidatorSet::new(vec![info]).unwrap();
        let genesis = EnterpriseGenesis::new(NetworkId::parse("main").unwrap(), BIRTH, set);
        let mut one = Self {
            tenants: Tenants::new(&genesis),
            verifier: Verifier::new(&genesis),
            genesis,
            log: Vec::new(),
            newest: None,
        };
        let tenant = one.tenant();
        one.decide(1, vec![Entry::TenantRegistered(Box::new(tenant))]);
        one
    }

    /// The private network that pins this chain.
    fn tenant(&self) -> Genesis {
        Genesis {
            network_id: NetworkId::parse("club").unwrap(),
            owner: owner().public_key(),
            enterprise_genesis: Some(self.genesis.hash()),
            access: Access::Private {
                join_key: Identity::from_seed([8; 32]).public_key(),
                reporters: vec![owner().public_key()],
            },
            ..genesis()
        }
    }

    fn decide(&mut self, wait_ms: u64, entries: Vec<Entry>) {
        let now = self.verifier.time().plus_ms(wait_ms);
        let version = EnterpriseHeader::VERSION;
        let effects = self.tenants.execute(version, now, &entries).unwrap();
        self.log.extend(effects.entries().iter().cloned());
        let root = EnterpriseBlock::data_root(&entries);
        let validator = Identity::from_seed([4; 32]);
        let header = self
            .verifier
            .next_header(now, root, &effects, validator.public_key());
        let block = EnterpriseBlock::new(header, entries).unwrap();
        self.tenants.apply(effects);
        let (height, round, block_hash) = (block.header().height, Round(0), block.hash());
        let vote = Vote::precommit(height, round, block_hash);
        let certificate = Certificate {
            height,
            round,
            block_hash,
            signatures: vec![(0, vote.sign(&validator, self.verifier.chain_id()))],
        };
        self.newest = Some(Checkpoint {
            header: block.header().clone(),
            certificate: certificate.clone(),
        });
        self.verifier.advance(block, certificate).unwrap();
    }

    /// Anchors blocks of a chain, and lets the time pass in which they become final.
    pub(super) fn finalise(&mut self, chain: &Chain, heights: core::ops::RangeInclusive<u32>) {
        let report = |height| {
            let header = chain.block_at(Height(height)).unwrap().header().clone();
            let report = Report::sign(&owner(), chain.chain_id(), header, b"sealed");
            Entry::ReportAnchored(Box::new(report))
        };
        let wait = chain.tip().timestamp.since(self.verifier.time()).max(1);
        self.decide(wait, heights.map(report).collect());
        self.decide(chain.genesis().rules.finality_delay_ms, Vec::new());
    }

    /// Executes a reset; answers its receipt.
    fn reset(&mut self, chain: &Chain, number: u32, from: u32) -> Vec<u8> {
        let stays = chain.hash_at(Height(from - 1)).unwrap();
        let reset = Reset::sign(&owner(), chain.chain_id(), number, Height(from), stays);
        self.decide(1, vec![Entry::TenantReset(Box::new(reset))]);
        self.receipt(number)
    }

    /// The newest header, as it is shown to who holds another one.
    pub(super) fn branch(&self) -> Branch {
        Branch {
            genesis: self.genesis.clone(),
            links: Vec::new(),
            checkpoint: self.newest.clone().unwrap(),
        }
    }

    fn tree(&self) -> Tree {
        Tree::new(self.log.iter().map(LogEntry::leaf).collect())
    }

    fn receipt(&self, number: u32) -> Vec<u8> {
        let is_it =
            |entry: &LogEntry| matches!(entry, LogEntry::Reset(reset) if reset.number == number);
        let index = self.log.iter().position(is_it).unwrap();
        let Some(LogEntry::Reset(reset)) = self.log.get(index) else {
            unreachable!()
        };
        let receipt = ResetReceipt {
            reset: (**reset).clone(),
            index: u64::try_from(index).unwrap(),
            path: self.tree().inclusion(index, self.log.len()).unwrap(),
            checkpoint: self.newest.clone().unwrap(),
        };
        receipt.encode()
    }

    /// The proof of the newest final block of a chain, for who has verified so many entries.
    pub(super) fn proof(&self, chain: &Chain, size: u64) -> Vec<u8> {
        let newest = *self.tenants.newest_final(&chain.chain_id()).unwrap();
        let is_it = |entry: &LogEntry| *entry == LogEntry::Final(newest);
        let index = self.log.iter().position(is_it).unwrap();
        let (tree, len) = (self.tree(), self.log.len());
        let old = usize::try_from(size).unwrap();
        let proof = FinalityProof {
            genesis: self.genesis.clone(),
            links: Vec::new(),
            receipt: Receipt {
                transaction: None,
                chain_id: chain.chain_id(),
                header: chain.header(&newest.hash()).unwrap().clone(),
                work: newest.work(),
                resets: newest.resets(),
                index: u64::try_from(index).unwrap(),
                path: tree.inclusion(index, len).unwrap(),
                checkpoint: self.newest.clone().unwrap(),
            },
            from_size: size,
            consistency: match old {
                0 => Vec::new(),
                old => tree.consistency(old, len).unwrap(),
            },
        };
        proof.encode()
    }
}

pub(super) fn started(seed: u8, chain: &Chain, disk: BTreeMap<String, Vec<u8>>) -> Bench {
    keeping(Keep::Archive, seed, chain, disk)
}

fn keeping(keep: Keep, seed: u8, chain: &Chain, disk: BTreeMap<String, Vec<u8>>) -> Bench {
    let config = Config {
        genesis: chain.genesis().clone(),
        identity: Identity::from_seed([seed; 32]),
        seed: [seed; 32],
        keep,
        helpers: 0,
    };
    let mut bench = Bench::of(config, chain.tip().timestamp, disk);
    bench.pass(3_000);
    bench
}

/// Six blocks of a private network, each with a message of one member.
pub(super) fn club(enterprise: &Enterprise) -> Chain {
    let mut chain = Chain::new(enterprise.tenant());
    for sequence in 0..6 {
        let sent = sent(&chain, sequence);
        extend(&mut chain, 3, vec![sent]);
    }
    chain
}

fn sent(chain: &Chain, sequence: u64) -> VerifiedTransaction {
    Transaction::create(
        &Identity::from_seed([1; 32]),
        chain.chain_id(),
        &chain.genesis().rules,
        Sequence(sequence),
        BIRTH,
        Payload::Message("only we read this".to_string()),
    )
    .unwrap()
}

/// A member that knows six blocks, of which the lowest are final, and is connected to a tracker that has all.
pub(super) fn member(enterprise: &mut Enterprise, chain: &Chain, finals: u32) -> Bench {
    enterprise.finalise(chain, 1..=finals);
    let mut bench = started(1, chain, stored(chain));
    connect(&mut bench, chain, 6);
    let bytes = enterprise.proof(chain, 0);
    bench.give(Input::ProofReceived { bytes });
    assert_eq!(bench.node.status().final_height, Height(finals));
    bench.taken();
    bench
}

fn connect(bench: &mut Bench, chain: &Chain, tip: u32) {
    let hash = chain.hash_at(Height(tip)).unwrap();
    let tip = Some((Height(tip), hash));
    bench.give(Input::TrackerConnected { tip });
}

/// Which receipts were asked for.
fn asked(bench: &mut Bench) -> Vec<u32> {
    let number = |order| {
        if let Output::AskReset { number } = order {
            Some(number)
        } else {
            None
        }
    };
    bench.taken().into_iter().filter_map(number).collect()
}

fn reports(bench: &mut Bench) -> usize {
    let orders = bench.taken().into_iter();
    orders
        .filter(|order| matches!(order, Output::Report { .. }))
        .count()
}

#[test]
fn a_private_network_is_reported_by_its_reporter_only_and_only_if_it_chose_so() {
    let chain = club(&Enterprise::new());
    for (seed, chosen, expected) in [(OWNER, false, 0), (OWNER, true, 1), (1, true, 0)] {
        let mut bench = started(seed, &chain, stored(&chain));
        if chosen {
            let reporting = Reporting::On;
            bench.give(Input::ReportingSet { reporting });
        }
        bench.taken();
        bench.give(Input::TrackerConnected { tip: None });
        bench.pass(60_000);
        let orders: Vec<Output> = bench.orders.iter().cloned().collect();
        assert_eq!(reports(&mut bench).min(1), expected, "{seed} {chosen}");
        let is_question =
            |order: &Output| matches!(order, Output::AskProof { .. } | Output::AskReset { .. });
        assert!(!orders.iter().any(is_question), "nothing to ask for");
    }
    let mut bench = started(OWNER, &chain, stored(&chain));
    for reporting in [Reporting::On, Reporting::Off] {
        bench.give(Input::ReportingSet { reporting });
    }
    bench.give(Input::TrackerConnected { tip: None });
    assert_eq!(reports(&mut bench), 0, "chosen otherwise");
}

#[test]
fn a_member_follows_a_reset_by_its_receipt_and_what_was_void_is_sent_again() {
    let mut enterprise = Enterprise::new();
    let chain = club(&enterprise);
    let mut bench = member(&mut enterprise, &chain, 5);
    let receipt = enterprise.reset(&chain, 1, 4);
    bench.give(Input::ResetsTold { count: 1 });
    assert_eq!(asked(&mut bench), [1]);
    bench.give(Input::ResetReceived {
        number: 1,
        bytes: receipt,
    });
    let status = bench.node.status();
    assert_eq!((status.height, status.final_height), (Height(3), Height(3)));
    assert_eq!((status.synced, bench.node.resets()), (None, 1));
    assert_eq!(bench.node.proof(), None, "the one that was proved is void");
    for sequence in 3..6 {
        let id = sent(&chain, sequence).id();
        assert!(bench.node.outbox().contains(&id) && bench.node.mempool().contains(&id));
    }
    let events = bench.events();
    let reset = Event::FinalityReset {
        number: 1,
        from: Height(4),
    };
    assert!(events.contains(&reset), "{events:?}");

    // The void branch is refused, also after a restart, and others of the same messages are taken.
    let mut bench = started(1, &chain, bench.disk);
    assert_eq!(bench.node.status().final_height, Height(3));
    assert_eq!(bench.node.resets(), 1);
    offer(&mut bench, &chain, 4..=6);
    assert_eq!(bench.node.status().height, Height(3));
    let mut anew = Chain::new(chain.genesis().clone());
    for height in 1..=3 {
        let block = chain.block_at(Height(height)).unwrap().clone();
        anew.insert(block, chain.tip().timestamp).unwrap();
    }
    extend(&mut anew, 5, vec![sent(&chain, 3)]);
    bench.now = anew.tip().timestamp.max(bench.now);
    offer(&mut bench, &anew, 4..=4);
    assert_eq!(bench.node.status().tip, anew.tip().hash);
    enterprise.finalise(&anew, 4..=4);
    connect(&mut bench, &anew, 4);
    let bytes = enterprise.proof(&anew, 0);
    bench.give(Input::ProofReceived { bytes });
    assert_eq!(bench.node.status().final_height, Height(4));
}

#[test]
fn a_receipt_that_was_not_asked_for_or_does_not_hold_changes_nothing() {
    let mut enterprise = Enterprise::new();
    let chain = club(&enterprise);
    let mut bench = member(&mut enterprise, &chain, 5);
    let receipt = enterprise.reset(&chain, 1, 4);
    let give = |bench: &mut Bench, bytes: &[u8]| {
        bench.give(Input::ResetReceived {
            number: 1,
            bytes: bytes.to_vec(),
        });
        assert_eq!(bench.node.status().final_height, Height(5));
    };
    give(&mut bench, &receipt);
    assert_eq!(bench.events(), [], "nobody asked");
    bench.give(Input::ResetsTold { count: 1 });
    assert_eq!(asked(&mut bench), [1]);
    let mut forged = receipt.clone();
    forged[40] ^= 1;
    give(&mut bench, &forged);
    let events = bench.events();
    assert!(
        matches!(
            events.as_slice(),
            [Event::ResetRefused { number: 1, .. }, ..]
        ),
        "{events:?}"
    );
    bench.pass(10_000);
    assert_eq!(asked(&mut bench), [1], "asked again after a pause");
    bench.give(Input::ResetReceived {
        number: 1,
        bytes: receipt,
    });
    assert_eq!(bench.node.status().final_height, Height(3));
}

#[test]
fn what_is_final_after_a_reset_waits_for_its_receipt_also_across_a_restart() {
    let mut enterprise = Enterprise::new();
    let chain = club(&enterprise);
    let mut bench = member(&mut enterprise, &chain, 5);
    let size = bench.node.light_client().unwrap().log_size();
    let old = enterprise.proof(&chain, 0);
    enterprise.reset(&chain, 1, 4);
    let mut anew = Chain::new(chain.genesis().clone());
    for height in 1..=3 {
        let block = chain.block_at(Height(height)).unwrap().clone();
        anew.insert(block, chain.tip().timestamp).unwrap();
    }
    extend(&mut anew, 5, Vec::new());
    enterprise.finalise(&anew, 4..=4);
    let bytes = enterprise.proof(&anew, size);
    bench.give(Input::ProofReceived { bytes });
    assert_eq!(asked(&mut bench), [1], "by the proof alone");
    assert_eq!(bench.node.status().final_height, Height(5));

    let mut bench = started(1, &chain, bench.disk);
    assert_eq!(bench.node.status().final_height, Height(5));
    connect(&mut bench, &chain, 3);
    assert_eq!(asked(&mut bench), [1]);
    let receipt = enterprise.receipt(1);
    bench.give(Input::ResetReceived {
        number: 1,
        bytes: receipt,
    });
    let status = bench.node.status();
    assert_eq!((status.height, status.final_height), (Height(3), Height(4)));
    offer(&mut bench, &anew, 4..=4);
    assert_eq!(bench.node.status().tip, anew.tip().hash);

    // Who replays the proof from before the reset achieves nothing.
    let mut disk = bench.disk;
    disk.remove("proof");
    let mut bench = started(1, &chain, disk);
    connect(&mut bench, &anew, 4);
    bench.give(Input::ProofReceived { bytes: old });
    assert_eq!(bench.node.status().tip, anew.tip().hash);
    assert_eq!(bench.node.proof(), None);
}

#[test]
fn who_knew_nothing_to_be_final_needs_no_receipt() {
    let mut enterprise = Enterprise::new();
    let chain = club(&enterprise);
    enterprise.finalise(&chain, 1..=5);
    enterprise.reset(&chain, 1, 4);
    let mut bench = started(1, &chain, stored(&chain));
    bench.give(Input::ResetsTold { count: 1 });
    connect(&mut bench, &chain, 3);
    assert_eq!(asked(&mut bench), [], "nobody's word would count");
    let bytes = enterprise.proof(&chain, 0);
    bench.give(Input::ProofReceived { bytes });
    assert_eq!(bench.node.status().final_height, Height(3));
    assert_eq!(
        (bench.node.resets(), asked(&mut bench)),
        (1, Vec::<u32>::new())
    );
    let bench = started(1, &chain, bench.disk);
    assert_eq!(bench.node.resets(), 1);
}

#[test]
fn a_reset_to_the_genesis_leaves_nothing_final_also_after_a_restart() {
    let mut enterprise = Enterprise::new();
    let chain = club(&enterprise);
    let mut bench = member(&mut enterprise, &chain, 2);
    let receipt = enterprise.reset(&chain, 1, 1);
    bench.give(Input::ResetsTold { count: 1 });
    bench.give(Input::ResetReceived {
        number: 1,
        bytes: receipt,
    });
    let bench = started(1, &chain, bench.disk);
    let status = bench.node.status();
    assert_eq!((status.height, status.final_height), (Height(0), Height(0)));
    assert_eq!(bench.node.outbox().ids().count(), 6);
}

#[test]
fn a_pruned_member_follows_a_reset_below_what_it_kept_and_gets_the_bodies_again() {
    let mut enterprise = Enterprise::new();
    let mut chain = Chain::new(enterprise.tenant());
    for sequence in 0..300 {
        let sent = sent(&chain, sequence);
        extend(&mut chain, 3, vec![sent]);
    }
    for from in (1..=300).step_by(100) {
        enterprise.finalise(&chain, from..=from + 99);
    }
    let keep = Keep::Recent { blocks: 64 };
    let mut benches = vec![
        keeping(keep, 1, &chain, stored(&chain)),
        started(2, &chain, stored(&chain)),
    ];
    let bytes = enterprise.proof(&chain, 0);
    for bench in &mut benches {
        connect(bench, &chain, 300);
        let bytes = bytes.clone();
        bench.give(Input::ProofReceived { bytes });
    }
    assert_eq!(benches[0].node.status().bodies_from, Height(237));
    let receipt = enterprise.reset(&chain, 1, 51);
    for bench in &mut benches {
        bench.give(Input::ResetsTold { count: 1 });
        let bytes = receipt.clone();
        bench.give(Input::ResetReceived { number: 1, bytes });
        assert_eq!(bench.node.status().final_height, Height(50));
    }
    let [pruned, archive] = [&benches[0], &benches[1]].map(|bench| bench.node.status());
    assert_eq!((pruned.height, archive.height), (Height(0), Height(50)));
    assert!(pruned.syncing, "nothing is mined meanwhile");

    // Stopped at once, it starts as one that has still to get everything.
    let disk = benches[0].disk.clone();
    let mut bench = keeping(keep, 1, &chain, disk);
    let damaged = |event: &Event| matches!(event, Event::StorageDamaged { .. });
    let events = bench.events();
    assert!(!events.iter().any(damaged), "{events:?}");
    for first in [None, Some(bench)] {
        if let Some(bench) = first {
            benches[0] = bench;
        }
        let now = benches[0].now.max(benches[1].now);
        benches.iter_mut().for_each(|bench| bench.now = now);
        let mut net = Net::new(benches);
        net.link(0, 1);
        net.run(8_000);
        benches = net.benches;
        let status = benches[0].node.status();
        assert_eq!(status.tip, chain.hash_at(Height(50)).unwrap());
        assert_eq!(status.final_height, Height(50));
        benches[1].give(Input::PeerLost { peer: id(0) });
    }
}

#[test]
fn nothing_is_reported_while_a_receipt_is_missing() {
    let mut enterprise = Enterprise::new();
    let chain = club(&enterprise);
    enterprise.finalise(&chain, 1..=5);
    let mut bench = started(OWNER, &chain, stored(&chain));
    let reporting = Reporting::On;
    bench.give(Input::ReportingSet { reporting });
    connect(&mut bench, &chain, 5);
    let bytes = enterprise.proof(&chain, 0);
    bench.give(Input::ProofReceived { bytes });
    let receipt = enterprise.reset(&chain, 1, 4);
    bench.give(Input::ResetsTold { count: 1 });
    connect(&mut bench, &chain, 3);
    bench.taken();
    bench.give(Input::ReportFailed);
    bench.pass(60_000);
    assert_eq!(reports(&mut bench), 0, "three void blocks are here");
    let mut anew = Chain::new(chain.genesis().clone());
    for height in 1..=3 {
        let block = chain.block_at(Height(height)).unwrap().clone();
        anew.insert(block, chain.tip().timestamp).unwrap();
    }
    extend(&mut anew, 5, Vec::new());
    bench.give(Input::ResetReceived {
        number: 1,
        bytes: receipt,
    });
    offer(&mut bench, &anew, 4..=4);
    bench.pass(60_000);
    assert!(reports(&mut bench) > 0, "what stands in their place");
}
