//! The simulation's only randomness: SplitMix64 (Steele, Lea, Flood 2014). Not for secrets.

/// A sequence of numbers that a seed determines.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// Starts the sequence of a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub const fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`; zero if that is zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.draw().checked_rem(bound).unwrap_or(0)
    }

    /// A number from `least` to `most`.
    pub fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most.saturating_sub(least) + 1)
    }

    /// An index below `len`.
    pub fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap_or(0)
    }

    /// True so many times in a thousand.
    pub fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1_000) < per_mille
    }

    /// An exponentially distributed time with this mean.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a drawn waiting time; the result is positive and far below 2^53"
    )]
    pub fn exponential(&mut self, mean: f64) -> u64 {
        let uniform = ((self.draw() >> 11) + 1) as f64 / (1_u64 << 53) as f64;
        (-uniform.ln() * mean).clamp(1.0, 1e12) as u64
    }

    /// A standard normally distributed number (Box and Muller 1958).
    #[expect(clippy::cast_precision_loss, reason = "53 drawn bits")]
    pub fn normal(&mut self) -> f64 {
        let uniform = |draw: u64| ((draw >> 11) + 1) as f64 / (1_u64 << 53) as f64;
        let (a, b) = (uniform(self.draw()), uniform(self.draw()));
        (-2.0 * a.ln()).sqrt() * (core::f64::consts::TAU * b).cos()
    }

    /// Thirty-two bytes.
    pub fn bytes32(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.draw().to_be_bytes());
        }
        bytes
    }
}
