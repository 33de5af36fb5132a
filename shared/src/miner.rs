//! A resumable miner: a budget of nonces at a time, one SHA-256 compression each.
//!
//! The first 64 bytes of a header do not hold the nonce, so their compression (the midstate) is done once. The rest,
//! padding included, is one block with the nonce as word 12. Hardware SHA is used where `sha2` finds it.

use sha2::block_api::compress256;

use crate::{
    header::{HEADER_BYTES, Header},
    pow::Target,
};

/// What a step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// This nonce makes the header meet the target; the miner goes on behind it if asked.
    Found {
        /// The nonce.
        nonce: u32,
    },
    /// The budget is used up, nonces are left.
    Working,
    /// No nonce is left: move the timestamp and start anew.
    Exhausted,
}

/// One search for a nonce.
#[derive(Debug, Clone)]
pub struct Miner {
    midstate: [u32; 8],
    block: [u8; 64],
    target: [u32; 8],
    next: Option<u32>,
    end: u32,
    hashes: u64,
}

impl Miner {
    /// Searches the nonces `start..=end` for a header that meets `target`.
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
        let mut midstate = INITIAL_STATE;
        compress256(&mut midstate, &[first]);
        let mut words = [0; 8];
        for (word, bytes) in words.iter_mut().zip(target.to_be_bytes().as_chunks().0) {
            *word = u32::from_be_bytes(*bytes);
        }
        Self {
            midstate,
            block,
            target: words,
            next: (start <= end).then_some(start),
            end,
            hashes: 0,
        }
    }

    /// Tries up to `budget` nonces.
    pub fn step(&mut self, budget: u32) -> Step {
        for _ in 0..budget {
            let Some(nonce) = self.next else {
                return Step::Exhausted;
            };
            self.next = if nonce < self.end {
                nonce.checked_add(1)
            } else {
                None
            };
            self.hashes = self.hashes.saturating_add(1);
            self.block[NONCE_AT..NONCE_AT + 4].copy_from_slice(&nonce.to_be_bytes());
            let mut state = self.midstate;
            compress256(&mut state, &[self.block]);
            // Words compare like the big-endian number; nearly always the first decides.
            if state <= self.target {
                return Step::Found { nonce };
            }
        }
        if self.next.is_some() {
            Step::Working
        } else {
            Step::Exhausted
        }
    }

    /// Nonces tried so far.
    #[must_use]
    pub const fn hashes(&self) -> u64 {
        self.hashes
    }
}

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
            version: VERSION,
            height: Height(1),
            previous: Hash([1; 32]),
            body_root: Hash([2; 32]),
            state_root: Hash([3; 32]),
            timestamp: TimestampMs(1_700_000_000_000),
            target: Target::for_hashes(1 << 10).to_compact(),
            nonce: 0,
        }
    }

    #[test]
    fn it_finds_exactly_the_nonces_that_hashing_finds() {
        let header = header();
        let target = header.target.target();
        let expected: Vec<u32> = (0..20_000)
            .filter(|n| {
                target.is_met_by(
                    &Header {
                        nonce: *n,
                        ..header.clone()
                    }
                    .hash(),
                )
            })
            .collect();
        let mut miner = Miner::new(&header, &target, 0, 19_999);
        let mut found = Vec::new();
        loop {
            match miner.step(777) {
                Step::Found { nonce } => found.push(nonce),
                Step::Working => {}
                Step::Exhausted => break,
            }
        }
        assert!(!expected.is_empty());
        assert_eq!(found, expected);
        assert_eq!(miner.hashes(), 20_000);
    }

    #[test]
    fn the_last_nonce_is_tried_and_then_nothing() {
        let impossible = Target::new(ethnum::U256::ONE).unwrap();
        let mut miner = Miner::new(&header(), &impossible, u32::MAX - 1, u32::MAX);
        assert_eq!(miner.step(1), Step::Working);
        assert_eq!(miner.step(10), Step::Exhausted);
        assert_eq!(miner.hashes(), 2);
        assert_eq!(
            Miner::new(&header(), &impossible, 5, 4).step(1),
            Step::Exhausted
        );
    }
}
