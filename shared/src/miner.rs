//! A resumable miner: a budget of hashes at a time, one SHA-256 compression each.
//!
//! The first 64 bytes of a header hold its version and not the nonce, so their compression (the midstate) is done once for
//! each of [`ROLLS`] versions. The rest, padding included, is one block with the nonce as word 12, the same for all versions.
//! Hardware SHA is used where `sha2` finds it; WebAssembly has none and tries four nonces with all versions at a time in SIMD
//! lanes (`docs/adr/0003-four-lanes-in-webassembly.md`, `docs/adr/0117-the-low-byte-of-the-version-is-ground-too.md`).

use sha2::block_api::compress256;

use crate::{
    header::{HEADER_BYTES, Header, Solution},
    pow::Target,
};

#[cfg(any(target_arch = "wasm32", test))]
mod lanes;

/// What a step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// This makes the header meet the target; the miner goes on behind it if asked.
    Found(Solution),
    /// The budget is used up, nonces are left.
    Working,
    /// No nonce is left: move the timestamp and start anew.
    Exhausted,
}

/// Versions tried with each nonce: the header's with its low byte counted on.
pub const ROLLS: u32 = 64;

/// One search for a nonce and a version.
#[derive(Debug, Clone)]
pub struct Miner {
    version: u16,
    midstates: [[u32; 8]; ROLLS as usize],
    block: [u8; 64],
    target: [u32; 8],
    #[cfg(any(target_arch = "wasm32", test))]
    kernel: lanes::Kernel,
    next: Option<u32>,
    /// Versions of the next nonce that were tried.
    rolled: u32,
    end: u32,
    hashes: u64,
}

impl Miner {
    /// Searches the nonces `start..=end`, each with [`ROLLS`] versions, for a header that meets `target`.
    #[must_use]
    pub fn new(header: &Header, target: &Target, start: u32, end: u32) -> Self {
        Self::from_bytes(&header.encode(), target, start, end)
    }

    /// As [`Miner::new`] for the header's bytes.
    #[must_use]
    pub fn from_bytes(header: &[u8; HEADER_BYTES], target: &Target, start: u32, end: u32) -> Self {
        let (mut first, mut block) = ([0; 64], [0; 64]);
        let (head, tail) = header.split_at(64);
        first.copy_from_slice(head);
        block[..tail.len()].copy_from_slice(tail);
        block[tail.len()] = 0x80;
        block[56..].copy_from_slice(&HEADER_BITS.to_be_bytes());
        let version = u16::from_be_bytes([first[0], first[1]]);
        let mut midstates = [INITIAL_STATE; ROLLS as usize];
        for (roll, midstate) in (0..ROLLS).zip(&mut midstates) {
            first[..2].copy_from_slice(&rolled(version, roll).to_be_bytes());
            compress256(midstate, &[first]);
        }
        Self {
            #[cfg(any(target_arch = "wasm32", test))]
            kernel: lanes::Kernel::new(&midstates, words(&block)),
            version,
            midstates,
            block,
            target: words(&target.to_be_bytes()),
            next: (start <= end).then_some(start),
            rolled: 0,
            end,
            hashes: 0,
        }
    }

    /// Tries up to `budget` hashes.
    pub fn step(&mut self, budget: u32) -> Step {
        #[cfg(target_arch = "wasm32")]
        return self.step_in_lanes(budget);
        #[cfg(not(target_arch = "wasm32"))]
        self.step_one_by_one(budget)
    }

    /// Hashes tried so far.
    #[must_use]
    pub const fn hashes(&self) -> u64 {
        self.hashes
    }

    fn step_one_by_one(&mut self, budget: u32) -> Step {
        for _ in 0..budget {
            let Some(nonce) = self.next else {
                return Step::Exhausted;
            };
            let roll = self.rolled;
            self.rolled = (roll + 1) % ROLLS;
            if self.rolled == 0 {
                self.advance(nonce, 1);
            }
            self.hashes = self.hashes.saturating_add(1);
            if self.meets(nonce, roll) {
                let version = rolled(self.version, roll);
                return Step::Found(Solution { version, nonce });
            }
        }
        if self.next.is_some() {
            Step::Working
        } else {
            Step::Exhausted
        }
    }

    /// Skips groups of four nonces none of which can meet the target, and tries the others one by one.
    #[cfg(any(target_arch = "wasm32", test))]
    fn step_in_lanes(&mut self, budget: u32) -> Step {
        let mut left = budget;
        while let Some(nonce) = self.next {
            let groups = ((self.end - nonce) / lanes::LANES).min(left / GROUP);
            if groups == 0 {
                return self.step_one_by_one(left);
            }
            // Of a nonce that was begun the rest; then where the scan stopped early one of the next group may do.
            let candidates = if self.rolled > 0 {
                ROLLS - self.rolled
            } else {
                let skipped = self.kernel.scan(nonce, groups, self.target[0]);
                let passed = skipped.unwrap_or(groups);
                self.advance(nonce, passed * lanes::LANES);
                self.hashes = self.hashes.saturating_add((passed * GROUP).into());
                left -= passed * GROUP;
                if skipped.is_some() { GROUP } else { 0 }
            };
            if let found @ Step::Found(_) = self.step_one_by_one(candidates) {
                return found;
            }
            left -= candidates;
        }
        Step::Exhausted
    }

    /// Counts `tried` nonces from `nonce` on as done.
    fn advance(&mut self, nonce: u32, tried: u32) {
        self.next = nonce.checked_add(tried).filter(|next| *next <= self.end);
    }

    fn meets(&mut self, nonce: u32, roll: u32) -> bool {
        self.block[NONCE_AT..NONCE_AT + 4].copy_from_slice(&nonce.to_be_bytes());
        let mut state = self.midstates[roll as usize];
        compress256(&mut state, &[self.block]);
        // Words compare like the big-endian number; nearly always the first decides.
        state <= self.target
    }
}

/// The version with its low byte counted on.
fn rolled(version: u16, roll: u32) -> u16 {
    let [high, low] = version.to_be_bytes();
    u16::from_be_bytes([high, low.wrapping_add(roll.to_le_bytes()[0])])
}

/// Big-endian words.
fn words<const N: usize>(bytes: &[u8]) -> [u32; N] {
    let mut words = [0; N];
    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks().0) {
        *word = u32::from_be_bytes(*bytes);
    }
    words
}

/// Hashes of one group in lanes.
#[cfg(any(target_arch = "wasm32", test))]
const GROUP: u32 = lanes::LANES * ROLLS;
/// Where the nonce stands in the second block.
const NONCE_AT: usize = HEADER_BYTES - 4 - 64;
const HEADER_BITS: u64 = HEADER_BYTES as u64 * 8;
/// FIPS 180-4, section 5.3.3.
const INITIAL_STATE: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        hash::Hash,
        header::VERSION,
        ids::{Height, TimestampMs},
    };

    fn header() -> Header {
        Header {
            version: VERSION + 0xf8,
            height: Height(1),
            previous: Hash([1; 32]),
            body_root: Hash([2; 32]),
            state_root: Hash([3; 32]),
            timestamp: TimestampMs(1_700_000_000_000),
            target: Target::for_hashes(1 << 10).to_compact(),
            nonce: 0,
        }
    }

    type StepFn = fn(&mut Miner, u32) -> Step;
    const WAYS: [StepFn; 2] = [Miner::step_one_by_one, Miner::step_in_lanes];

    #[test]
    fn it_finds_exactly_what_hashing_finds() {
        for (bits, end) in [(10, 4_998), (0, 39), (2, 41), (5, 1_000)] {
            let header = header();
            let target = Target::for_hashes(1 << bits);
            let all_of = |nonce| {
                (0..ROLLS).map(move |roll| Solution {
                    version: rolled(VERSION + 0xf8, roll),
                    nonce,
                })
            };
            let meets = |solution: &Solution| target.is_met_by(&header.solved(*solution).hash());
            let expected: Vec<Solution> = (3..=end).flat_map(all_of).filter(meets).collect();
            assert!(
                expected
                    .iter()
                    .any(|solution| solution.version < header.version)
            );
            for step in WAYS {
                for budget in [1, 7, 777, u32::MAX] {
                    let mut miner = Miner::new(&header, &target, 3, end);
                    assert_eq!(all(&mut miner, step, budget), expected);
                    assert_eq!(miner.hashes(), (u64::from(end) - 2) * u64::from(ROLLS));
                }
            }
        }
    }

    fn all(miner: &mut Miner, step: StepFn, budget: u32) -> Vec<Solution> {
        let mut found = Vec::new();
        loop {
            let before = miner.hashes();
            let outcome = step(miner, budget);
            assert!(miner.hashes() - before <= u64::from(budget));
            match outcome {
                Step::Found(solution) => found.push(solution),
                Step::Working => assert_eq!(miner.hashes() - before, u64::from(budget)),
                Step::Exhausted => return found,
            }
        }
    }

    #[test]
    fn the_last_nonce_is_tried_with_all_versions_and_then_nothing() {
        let impossible = Target::new(ethnum::U256::ONE).unwrap();
        let all = 2 * ROLLS;
        for step in WAYS {
            let mut miner = Miner::new(&header(), &impossible, u32::MAX - 1, u32::MAX);
            assert_eq!(step(&mut miner, all - 1), Step::Working);
            assert_eq!(step(&mut miner, 10), Step::Exhausted);
            assert_eq!(miner.hashes(), all.into());
            let mut nothing = Miner::new(&header(), &impossible, 5, 4);
            assert_eq!(step(&mut nothing, 1), Step::Exhausted);
        }
    }
}
