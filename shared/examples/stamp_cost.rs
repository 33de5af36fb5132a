//! What a stamp costs where it stands: hashes before one signature, or a signature for each try.
//!
//! `cargo run --release -p shared --example stamp_cost` prints the figures of `docs/adr/0001-stamp-inside-signature.md`.

#![expect(
    clippy::print_stdout,
    reason = "the figures are printed for the reader"
)]
#![expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]

use std::{hint::black_box, time::Instant};

use shared::{
    hash::{Hash, sha256},
    identity::Identity,
    ids::ChainId,
};

/// Expected tries for twelve zero bits.
const TRIES: u32 = 4_096;
/// A short message's transaction before its nonce.
const CONTENT_BYTES: usize = 100;

fn main() {
    let identity = Identity::from_seed([1; 32]);
    let chain = ChainId(Hash::ZERO);
    let mut content = [0; CONTENT_BYTES + 4];

    let started = Instant::now();
    for nonce in 0..TRIES {
        content[CONTENT_BYTES..].copy_from_slice(&nonce.to_be_bytes());
        black_box(sha256(&[&content]));
    }
    let hashing = started.elapsed();

    let started = Instant::now();
    for nonce in 0..TRIES {
        content[CONTENT_BYTES..].copy_from_slice(&nonce.to_be_bytes());
        black_box(identity.sign("distli/transaction/1", chain, &content));
    }
    let signing = started.elapsed();

    println!(
        "{TRIES} hashes of {} bytes: {:.1} ms",
        content.len(),
        hashing.as_secs_f64() * 1e3
    );
    println!("{TRIES} signatures: {:.0} ms", signing.as_secs_f64() * 1e3);
    println!(
        "ratio: {:.0}",
        signing.as_secs_f64() / hashing.as_secs_f64()
    );
}
