//! Private tenants on the enterprise chain: reports anchor, the owner's resets void, and the log tells both.

use super::tests::{anchor, genesis, header, identity, tenant};
use super::*;
use crate::genesis::{Access, Genesis};
use crate::hash::Hash;
use crate::header::Header;
use crate::ids::{ChainId, Height, TimestampMs};
use crate::merkle;
use crate::report::Report;

const V: u16 = EnterpriseHeader::VERSION;
const START: TimestampMs = TimestampMs(1_700_000_000_000);

fn private() -> Genesis {
    Genesis {
        access: Access::Private {
            join_key: identity(8).public_key(),
            reporters: vec![identity(7).public_key()],
        },
        ..tenant()
    }
}

/// One private tenant; times in units of its interval.
struct One {
    tenants: Tenants,
    id: ChainId,
    nonce: u32,
    log: Vec<LogEntry>,
}

impl One {
    fn new() -> Self {
        let mut one = Self {
            tenants: Tenants::new(&genesis(1)),
            id: private().chain_id(),
            nonce: 0,
            log: Vec::new(),
        };
        one.run(0, &[Entry::TenantRegistered(Box::new(private()))]);
        one
    }

    fn at(intervals: u64) -> TimestampMs {
        START.plus_ms(intervals * tenant().rules.interval())
    }

    fn try_run(&self, at: u64, entries: &[Entry]) -> Result<Effects, EnterpriseError> {
        self.tenants.execute(V, Self::at(at), entries)
    }

    fn run(&mut self, at: u64, entries: &[Entry]) {
        let effects = self.try_run(at, entries).unwrap();
        self.log.extend(effects.entries().iter().cloned());
        self.tenants.apply(effects);
        let leaves: Vec<Hash> = self.log.iter().map(LogEntry::leaf).collect();
        assert_eq!(self.tenants.log().root(), merkle::root(&leaves));
    }

    fn chain(&mut self, mut previous: Hash, from: u32, count: u32) -> Vec<Header> {
        let mut headers = Vec::new();
        for height in from..from + count {
            self.nonce += 1;
            let header = Header {
                nonce: self.nonce,
                timestamp: START.plus_ms(u64::from(self.nonce)),
                ..header(height, previous, 0)
            };
            previous = header.hash();
            headers.push(header);
        }
        headers
    }

    fn report(&self, header: &Header) -> Entry {
        let report = Report::sign(&identity(7), self.id, header.clone(), b"sealed");
        Entry::ReportAnchored(Box::new(report))
    }

    fn reports(&self, headers: &[Header]) -> Vec<Entry> {
        headers.iter().map(|header| self.report(header)).collect()
    }

    fn reset(&self, number: u32, from: u32, stays: Hash) -> Entry {
        reset_by(9, self.id, number, from, stays)
    }

    fn newest(&self) -> Option<(u32, Hash, u32)> {
        let newest = self.tenants.newest_final(&self.id)?;
        Some((newest.height().0, newest.hash(), newest.resets()))
    }

    /// Five blocks, of which the first `finals` are final.
    fn grown(finals: usize) -> (Self, Vec<Header>) {
        let mut one = Self::new();
        let blocks = one.chain(one.id.0, 1, 5);
        let entries = one.reports(&blocks[..finals]);
        one.run(1, &entries);
        let entries = one.reports(&blocks[finals..]);
        one.run(10, &entries);
        assert_eq!(one.tenants.state(&one.id).unwrap().height, Height(5));
        (one, blocks)
    }
}

fn reset_by(seed: u8, id: ChainId, number: u32, from: u32, stays: Hash) -> Entry {
    let reset = Reset::sign(&identity(seed), id, number, Height(from), stays);
    Entry::TenantReset(Box::new(reset))
}

#[test]
fn entries_of_reports_and_resets_have_one_layout() {
    let (one, blocks) = One::grown(3);
    for entry in [one.report(&blocks[0]), one.reset(1, 2, blocks[0].hash())] {
        let bytes = entry.encode();
        assert_eq!(Entry::decode(&bytes).unwrap(), entry);
        assert!(Entry::decode(&bytes[..bytes.len() - 1]).is_err());
        assert!(Entry::decode(&[bytes.as_slice(), &[0]].concat()).is_err());
    }
    let Entry::TenantReset(reset) = one.reset(1, 2, blocks[0].hash()) else {
        unreachable!()
    };
    let bytes = reset.encode();
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        let taken = Reset::decode(&changed).is_ok_and(|changed| changed.is_of(&private()));
        assert!(!taken, "byte {at}");
    }
    assert!(reset.is_of(&private()) && !reset.is_of(&tenant()));
}

#[test]
fn private_tenants_are_reported_and_open_ones_come_whole() {
    let mut one = One::new();
    let block = one.chain(one.id.0, 1, 1).remove(0);
    let whole = one.try_run(1, &[anchor(one.id, &block)]);
    assert_eq!(whole.unwrap_err(), EnterpriseError::Private(one.id));
    one.run(1, &[Entry::TenantRegistered(Box::new(tenant()))]);
    let open = tenant().chain_id();
    let header = header(1, open.0, 1);
    let report = Report::sign(&identity(7), open, header, b"sealed");
    let reported = one.try_run(1, &[Entry::ReportAnchored(Box::new(report))]);
    assert_eq!(reported.unwrap_err(), EnterpriseError::NotPrivate(open));
    let first = EnterpriseHeader::FIRST_VERSION;
    let early = Tenants::new(&genesis(1)).execute(
        first,
        START,
        &[
            Entry::TenantRegistered(Box::new(private())),
            one.report(&block),
        ],
    );
    assert!(matches!(early, Err(EnterpriseError::Version { .. })));
}

#[test]
fn reports_are_anchored_final_replaced_and_refused_as_open_blocks_are() {
    let (mut one, blocks) = One::grown(2);
    assert_eq!(one.newest(), Some((2, blocks[1].hash(), 0)));
    let again = one.try_run(11, &[one.report(&blocks[4])]);
    assert_eq!(
        again.unwrap_err(),
        EnterpriseError::AnchoredTwice(blocks[4].hash())
    );
    let heavier = one.chain(blocks[2].hash(), 4, 3);
    let entries = one.reports(&heavier);
    one.run(11, &entries);
    assert_eq!(one.tenants.state(&one.id).unwrap().hash, heavier[2].hash());
    let fork = one.chain(blocks[0].hash(), 2, 1).remove(0);
    let selection = one.tenants.select(V, One::at(12), vec![one.report(&fork)]);
    assert!(matches!(selection.entries[..], [Entry::ForkRefused(_)]));
    let late = Header {
        timestamp: One::at(15),
        ..one.chain(heavier[2].hash(), 7, 1).remove(0)
    };
    let early = one.try_run(12, &[one.report(&late)]);
    assert!(matches!(early, Err(EnterpriseError::TooFarAhead { .. })));
}

#[test]
fn a_reset_voids_a_final_suffix_and_what_follows_is_final_anew_on_record() {
    let (mut one, blocks) = One::grown(3);
    let root = one.tenants.state_root();
    let reset = one.reset(1, 2, blocks[0].hash());
    one.run(12, std::slice::from_ref(&reset));
    assert_eq!(one.newest(), Some((1, blocks[0].hash(), 1)));
    let state = *one.tenants.state(&one.id).unwrap();
    assert_eq!((state.height, state.hash), (Height(1), blocks[0].hash()));
    assert_eq!(
        one.tenants.next_deadline(),
        None,
        "what is void is never final"
    );
    assert_ne!(one.tenants.state_root(), root);
    assert_eq!(one.tenants.resets(&one.id), 1);
    assert!(one.tenants.is_void(one.id, blocks[4].hash()));
    assert!(!one.tenants.is_void(one.id, blocks[0].hash()));
    for block in &blocks[1..] {
        let void = one.try_run(13, &[one.report(block)]);
        assert!(matches!(void, Err(EnterpriseError::Void { .. })));
    }
    let child = one.chain(blocks[4].hash(), 6, 1).remove(0);
    let void = one.try_run(13, &[one.report(&child)]);
    assert!(matches!(void, Err(EnterpriseError::Void { .. })));
    let new = one.chain(blocks[0].hash(), 2, 2);
    let entries = one.reports(&new);
    one.run(13, &entries);
    one.run(20, &[]);
    assert_eq!(one.newest(), Some((3, new[1].hash(), 1)));
    assert!(!one.tenants.is_void(one.id, new[0].hash()));
    let told: Vec<(u32, u32)> = one
        .log
        .iter()
        .map(|entry| match entry {
            LogEntry::Final(block) => (block.height().0, block.resets()),
            LogEntry::Reset(reset) => (0, reset.number),
        })
        .collect();
    let expected = [(1, 0), (2, 0), (3, 0), (0, 1), (1, 1), (2, 1), (3, 1)];
    assert_eq!(told, expected);
}

#[test]
fn a_reset_from_the_first_block_on_leaves_nothing_final() {
    let (mut one, _) = One::grown(3);
    let reset = one.reset(1, 1, one.id.0);
    one.run(12, &[reset]);
    assert_eq!(one.newest(), None);
    assert_eq!(
        one.tenants.state(&one.id),
        Some(&TenantState::registered(one.id))
    );
    let new = one.chain(one.id.0, 1, 1);
    let entries = one.reports(&new);
    one.run(13, &entries);
    one.run(20, &[]);
    assert_eq!(one.newest(), Some((1, new[0].hash(), 1)));
    let again = one.reset(2, 1, one.id.0);
    one.run(21, &[again]);
    let void = one.try_run(22, &[one.report(&new[0])]);
    assert!(
        matches!(void, Err(EnterpriseError::Void { .. })),
        "the second reset voids it"
    );
}

#[test]
fn resets_of_others_replayed_of_open_tenants_and_of_what_is_not_final_are_refused() {
    let (mut one, blocks) = One::grown(3);
    let error = |one: &One, entry: Entry| one.try_run(12, &[entry]).unwrap_err();
    let (first, id) = (blocks[0].hash(), one.id);
    assert_eq!(
        error(&one, reset_by(7, id, 1, 2, first)),
        EnterpriseError::NotTheOwner(id),
        "a reporter is not the owner"
    );
    for from in [4, 6] {
        let stays = blocks[from as usize - 2].hash();
        let expected = EnterpriseError::ResetHeight {
            found: Height(from),
            allowed: Height(3),
        };
        assert_eq!(error(&one, one.reset(1, from, stays)), expected);
    }
    for number in [2, u32::MAX] {
        let out_of_turn = error(&one, one.reset(number, 2, first));
        assert!(matches!(out_of_turn, EnterpriseError::ResetNumber { .. }));
    }
    let elsewhere = error(&one, one.reset(1, 3, first));
    assert!(matches!(elsewhere, EnterpriseError::Mismatch { .. }));
    let reset = one.reset(1, 2, first);
    let twice = one.try_run(12, &[reset.clone(), reset.clone()]);
    assert!(matches!(twice, Err(EnterpriseError::ResetNumber { .. })));
    one.run(12, std::slice::from_ref(&reset));
    assert!(matches!(
        error(&one, reset),
        EnterpriseError::ResetNumber { .. }
    ));
    one.run(13, &[Entry::TenantRegistered(Box::new(tenant()))]);
    let open = tenant().chain_id();
    let of_open = error(&one, reset_by(9, open, 1, 1, open.0));
    assert_eq!(of_open, EnterpriseError::NotPrivate(open));
}

#[test]
fn no_more_than_the_limit_of_resets() {
    let mut one = One::new();
    for number in 1..=RESETS_MAX + 1 {
        let at = u64::from(number) * 20;
        let block = one.chain(one.id.0, 1, 1);
        let entries = one.reports(&block);
        one.run(at, &entries);
        let reset = one.reset(number, 1, one.id.0);
        if number <= RESETS_MAX {
            one.run(at + 10, &[reset]);
        } else {
            let refused = one.try_run(at + 10, &[reset]).unwrap_err();
            assert!(matches!(refused, EnterpriseError::TooLarge { .. }));
        }
    }
}
