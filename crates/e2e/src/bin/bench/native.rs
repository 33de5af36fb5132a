//! Figures of the chain's code on this processor.

use crate::figure;
use anyhow::Result;
use e2e::chain;
use shared::block::UncheckedBlock;
use shared::chain::Chain;
use shared::ids::TimestampMs;
use shared::miner::Miner;
use shared::pow::Target;
use std::hint::black_box;
use std::time::{Duration, Instant};

const MEASURE_FOR: Duration = Duration::from_secs(3);

pub(crate) fn run() -> Result<()> {
    let long = chain::mine("bench", 500)?;
    let last = long.blocks.last().cloned().unwrap_or_default();
    let header = UncheckedBlock::decode(&last)?.header;

    // A target that nothing meets, so that every nonce is tried.
    let target = Target::for_hashes(u64::MAX);
    let start = Instant::now();
    let mut miner = Miner::new(&header, &target, 0, u32::MAX);
    while start.elapsed() < MEASURE_FOR {
        black_box(miner.step(1 << 18));
    }
    let mined = rate(miner.hashes(), start.elapsed());

    let start = Instant::now();
    let (mut hashed, mut whole) = (0_u64, header);
    while start.elapsed() < MEASURE_FOR {
        for _ in 0..1 << 12 {
            whole.nonce = whole.nonce.wrapping_add(1);
            black_box(whole.hash());
        }
        hashed += 1 << 12;
    }
    figure("mining_native_hps", mined, "hashes/s");
    figure(
        "mining_native_over_sha2",
        mined / rate(hashed, start.elapsed()),
        "ratio",
    );

    let mut chain = Chain::new(long.genesis.clone());
    let now = TimestampMs(chain::end_ms(500));
    let start = Instant::now();
    for bytes in &long.blocks {
        chain.insert(UncheckedBlock::decode(bytes)?.check(&long.genesis)?, now)?;
    }
    figure(
        "validate_native_blocks_per_s",
        rate(long.blocks.len() as u64, start.elapsed()),
        "blocks/s",
    );
    Ok(())
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a rate is read, not computed with"
)]
fn rate(count: u64, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}
