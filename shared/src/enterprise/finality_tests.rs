//! Finality: time makes final, a heavier report replaces, forks below are refused; held to a naive reference.

use super::tests::{anchor, genesis, header, tenant};
use super::*;
use crate::hash::Hash;
use crate::header::Header;
use crate::ids::{ChainId, Height, TimestampMs, Work};
use crate::merkle;

const V: u16 = EnterpriseHeader::VERSION;
const START: TimestampMs = TimestampMs(1_700_000_000_000);

fn registered() -> Entry {
    Entry::TenantRegistered(Box::new(tenant()))
}

/// One tenant on its own enterprise chain, in units of its interval.
struct One {
    tenants: Tenants,
    id: ChainId,
    interval: u64,
    nonce: u32,
}

impl One {
    fn new() -> Self {
        let mut tenants = Tenants::new(&genesis(1));
        let effects = tenants.execute(V, START, &[registered()]).unwrap();
        tenants.apply(effects);
        Self {
            tenants,
            id: tenant().chain_id(),
            interval: tenant().rules.interval(),
            nonce: 0,
        }
    }

    fn at(&self, intervals: u64) -> TimestampMs {
        START.plus_ms(intervals * self.interval)
    }

    /// A header on a parent; no proof of work is looked at here.
    fn header(&mut self, previous: Hash, height: u32) -> Header {
        self.nonce += 1;
        Header {
            nonce: self.nonce,
            timestamp: START.plus_ms(u64::from(self.nonce)),
            ..header(height, previous, 0)
        }
    }

    fn chain(&mut self, mut previous: Hash, from: u32, count: u32) -> Vec<Header> {
        let mut headers = Vec::new();
        for height in from..from + count {
            let header = self.header(previous, height);
            previous = header.hash();
            headers.push(header);
        }
        headers
    }

    fn execute(&self, intervals: u64, headers: &[Header]) -> Result<Effects, EnterpriseError> {
        let entries: Vec<Entry> = headers
            .iter()
            .map(|header| anchor(self.id, header))
            .collect();
        self.tenants.execute(V, self.at(intervals), &entries)
    }

    fn report(&mut self, intervals: u64, headers: &[Header]) {
        let effects = self.execute(intervals, headers).unwrap();
        self.tenants.apply(effects);
    }

    fn newest(&self) -> Option<(u32, Hash)> {
        let newest = self.tenants.newest_final(&self.id)?;
        Some((newest.height().0, newest.hash()))
    }
}

#[test]
fn a_block_is_final_after_the_delay_since_its_own_report_whatever_is_above_it() {
    let mut one = One::new();
    let blocks = one.chain(one.id.0, 1, 20);
    one.report(10, &blocks[..1]);
    assert_eq!(one.tenants.next_deadline(), Some(one.at(16)));
    one.report(12, &blocks[1..]);
    one.report(15, &[]);
    assert_eq!(
        one.newest(),
        None,
        "nineteen descendants make nothing final"
    );
    one.report(16, &[]);
    assert_eq!(one.newest(), Some((1, blocks[0].hash())));
    assert_eq!(one.tenants.next_deadline(), Some(one.at(18)));
    one.report(18, &[]);
    assert_eq!(one.newest(), Some((20, blocks[19].hash())));
    assert_eq!(one.tenants.next_deadline(), None);
    assert_eq!(one.tenants.log().size(), 20, "one leaf for each height");
}

#[test]
fn a_heavier_report_replaces_and_starts_its_own_delay_and_a_tie_does_not() {
    let mut one = One::new();
    let first = one.chain(one.id.0, 1, 1);
    let tie = one.chain(one.id.0, 1, 2);
    one.report(10, &first);
    one.report(12, &tie[..1]);
    assert_eq!(one.tenants.state(&one.id).unwrap().hash, first[0].hash());
    assert_eq!(one.tenants.next_deadline(), Some(one.at(16)));
    one.report(15, &tie[1..]);
    assert_eq!(one.tenants.state(&one.id).unwrap().hash, tie[1].hash());
    one.report(17, &[]);
    assert_eq!(
        one.newest(),
        None,
        "the other branch was first reported at 12"
    );
    one.report(18, &[]);
    assert_eq!(one.newest(), Some((1, tie[0].hash())));
    assert!(
        one.tenants.is_anchored(one.id, first[0].hash()),
        "on record"
    );
}

#[test]
fn after_thirty_intervals_the_then_heaviest_of_a_height_is_final() {
    let mut one = One::new();
    let mut newest = Hash::ZERO;
    for (round, at) in (10..40).step_by(5).enumerate() {
        let count = u32::try_from(round).unwrap() + 1;
        let branch = one.chain(one.id.0, 1, count);
        newest = branch[0].hash();
        one.report(at, &branch);
    }
    assert_eq!(one.newest(), None, "each replacement came within the delay");
    assert_eq!(one.tenants.next_deadline(), Some(one.at(40)));
    let longer = one.chain(one.id.0, 1, 9);
    let late = one.execute(40, &longer[..1]).unwrap_err();
    assert!(matches!(late, EnterpriseError::ForksFinal { .. }));
    one.report(40, &[]);
    assert_eq!(one.newest(), Some((1, newest)));
}

#[test]
fn a_fork_below_the_newest_final_block_is_refused_and_put_on_record_once() {
    let mut one = One::new();
    let blocks = one.chain(one.id.0, 1, 3);
    one.report(10, &blocks);
    let side = one.chain(blocks[0].hash(), 2, 1);
    one.report(11, &side);
    one.report(16, &[]);
    assert_eq!(one.newest(), Some((3, blocks[2].hash())));
    let fork = one.header(blocks[0].hash(), 2);
    let above = one.header(side[0].hash(), 3);
    for header in [&fork, &above] {
        let refused = one.execute(17, core::slice::from_ref(header)).unwrap_err();
        assert!(matches!(refused, EnterpriseError::ForksFinal { .. }));
    }
    let id = one.id;
    let entries = vec![anchor(id, &fork), anchor(id, &above)];
    let selection = one.tenants.select(V, one.at(17), entries);
    assert_eq!(selection.refused.len(), 2);
    let incidents: Vec<Entry> = [&fork, &above]
        .map(|header| {
            Entry::ForkRefused(Anchor {
                chain_id: id,
                header: header.clone(),
            })
        })
        .into();
    assert_eq!(selection.entries, incidents);
    one.tenants.apply(selection.effects);
    assert_eq!(one.tenants.incidents(id).count(), 2);
    let again = one
        .tenants
        .execute(V, one.at(18), &incidents[..1])
        .unwrap_err();
    assert_eq!(again, EnterpriseError::NoIncident(fork.hash()));
    let next = one.header(blocks[2].hash(), 4);
    let honest = Entry::ForkRefused(Anchor {
        chain_id: id,
        header: next.clone(),
    });
    let refused = one.tenants.execute(V, one.at(18), &[honest]).unwrap_err();
    assert_eq!(refused, EnterpriseError::NoIncident(next.hash()));
    one.report(18, &[next]);
}

#[test]
fn under_the_first_version_nothing_becomes_final_and_the_upgrade_executes_what_is_due() {
    let mut one = One::new();
    let old = EnterpriseHeader::FIRST_VERSION;
    one.tenants = Tenants::new(&genesis(1));
    let blocks = one.chain(one.id.0, 1, 1);
    let entries = [registered(), anchor(one.id, &blocks[0])];
    let effects = one.tenants.execute(old, START, &entries).unwrap();
    let leaf = TenantState {
        chain_id: one.id,
        height: Height(1),
        hash: blocks[0].hash(),
        work: blocks[0].work(),
    };
    assert_eq!(
        effects.state_root(),
        leaf.leaf(),
        "the state as it was under 0x0200"
    );
    one.tenants.apply(effects);
    let effects = one.tenants.execute(old, one.at(50), &[]).unwrap();
    assert_eq!((effects.finals().count(), effects.log().size()), (0, 0));
    one.report(50, &[]);
    assert_eq!(one.newest(), Some((1, blocks[0].hash())));
}

/// Everything that was reported, in order; all questions are answered by looking through it.
struct Naive {
    id: ChainId,
    interval: u64,
    reports: Vec<(Header, Work, TimestampMs)>,
    finals: Vec<(Height, Hash, Work)>,
}

impl Naive {
    fn path(&self, tip: Hash) -> Vec<usize> {
        let mut path = Vec::new();
        let mut at = tip;
        while let Some(index) = self.reports.iter().position(|report| report.0.hash() == at) {
            path.push(index);
            at = self.reports[index].0.previous;
        }
        path.reverse();
        path
    }

    fn contains_final(&self, path: &[usize]) -> bool {
        self.finals.iter().enumerate().all(|(at, (_, hash, _))| {
            path.get(at)
                .is_some_and(|i| self.reports[*i].0.hash() == *hash)
        })
    }

    /// The heaviest chain that contains what is final; the first reported of equals.
    fn heaviest(&self) -> Vec<usize> {
        let mut best: (Work, Vec<usize>) = (Work::ZERO, Vec::new());
        for (header, work, _) in &self.reports {
            let path = self.path(header.hash());
            if *work > best.0 && self.contains_final(&path) {
                best = (*work, path);
            }
        }
        best.1
    }

    fn block(&mut self, time: TimestampMs, headers: &[Header]) -> Vec<bool> {
        loop {
            let heaviest = self.heaviest();
            let Some(next) = heaviest.get(self.finals.len()) else {
                break;
            };
            let (header, work, reported) = self.reports[*next].clone();
            let height = header.height;
            let first = self
                .reports
                .iter()
                .filter(|report| report.0.height == height);
            let first = first.map(|report| report.2).min().unwrap();
            let due = reported
                .plus_ms(6 * self.interval)
                .min(first.plus_ms(30 * self.interval));
            if due > time {
                break;
            }
            self.finals.push((height, header.hash(), work));
        }
        headers
            .iter()
            .map(|header| self.report(time, header))
            .collect()
    }

    fn report(&mut self, time: TimestampMs, header: &Header) -> bool {
        let known = self.path(header.hash());
        let mut path = self.path(header.previous);
        let work = match path.last() {
            Some(parent) => self.reports[*parent].1,
            None if header.previous == self.id.0 => Work::ZERO,
            None => return false,
        };
        path.push(self.reports.len());
        self.reports
            .push((header.clone(), work.plus(header.work()), time));
        if !known.is_empty() || !self.contains_final(&path) {
            self.reports.pop();
            return false;
        }
        true
    }
}

#[test]
fn whatever_is_reported_whenever_finality_is_what_a_naive_reading_of_the_rules_says() {
    for seed in 1..=60_u64 {
        let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut below = move |limit: usize| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            usize::try_from(random % u64::try_from(limit).unwrap()).unwrap()
        };
        let mut one = One::new();
        let mut naive = Naive {
            id: one.id,
            interval: one.interval,
            reports: Vec::new(),
            finals: Vec::new(),
        };
        let mut made: Vec<Header> = Vec::new();
        let mut now = 1;
        for _ in 0..60 {
            now += u64::try_from(below(4)).unwrap() + 1;
            let mut headers = Vec::new();
            for _ in 0..below(4) {
                let recent = made.len().min(6);
                let parent = (recent > 0 && below(8) > 0)
                    .then(|| made[made.len() - 1 - below(recent)].clone());
                let (previous, height) =
                    parent.map_or((one.id.0, 1), |parent| (parent.hash(), parent.height.0 + 1));
                let header = one.header(previous, height);
                made.push(header.clone());
                headers.push(header);
            }
            let time = one.at(now);
            let entries: Vec<Entry> = headers
                .iter()
                .map(|header| anchor(one.id, header))
                .collect();
            let selection = one.tenants.select(V, time, entries.clone());
            let taken = naive.block(time, &headers);
            let is_taken = |entry: &Entry| selection.entries.contains(entry);
            assert_eq!(
                entries.iter().map(is_taken).collect::<Vec<_>>(),
                taken,
                "seed {seed}"
            );
            let again = one.tenants.execute(V, time, &selection.entries).unwrap();
            assert_eq!(again.state_root(), selection.effects.state_root());
            let root = again.state_root();
            one.tenants.apply(again);
            assert_eq!(one.tenants.state_root(), root, "seed {seed}");
            check(&one, &naive, seed);
        }
    }
}

fn check(one: &One, naive: &Naive, seed: u64) {
    let newest = naive
        .finals
        .last()
        .map(|(height, hash, _)| (height.0, *hash));
    assert_eq!(one.newest(), newest, "seed {seed}");
    let heaviest = naive.heaviest();
    let tip = heaviest.last().map(|index| naive.reports[*index].0.hash());
    let state = one.tenants.state(&one.id).unwrap();
    assert_eq!(state.hash, tip.unwrap_or(one.id.0), "seed {seed}");
    let leaves: Vec<Hash> = naive
        .finals
        .iter()
        .map(|(height, hash, work)| FinalBlock::executed(one.id, *height, *hash, *work, 0).leaf())
        .collect();
    assert_eq!(
        one.tenants.log().root(),
        merkle::root(&leaves),
        "seed {seed}"
    );
}
