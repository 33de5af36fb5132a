//! Mutations of good inputs: bits, bytes, numbers, cuts, repeats, splices. All chance comes from one seed.

/// A sequence of inputs that a seed determines.
#[derive(Debug, Clone)]
pub struct Mutator {
    state: u64,
    corpus: Vec<Vec<u8>>,
}

/// Longest input made.
const BYTES_MAX: usize = 64 * 1024;

impl Mutator {
    /// Starts the sequence of a seed over good inputs.
    #[must_use]
    pub const fn new(seed: u64, corpus: Vec<Vec<u8>>) -> Self {
        Self {
            state: seed,
            corpus,
        }
    }

    /// The next input: now and then a good one as it is, otherwise one with up to eight changes.
    pub fn draw(&mut self) -> Vec<u8> {
        let mut bytes = self.good();
        if self.below(50) == 0 {
            return bytes;
        }
        for _ in 0..=self.below(8) {
            self.mutate(&mut bytes);
        }
        bytes.truncate(BYTES_MAX);
        bytes
    }

    fn good(&mut self) -> Vec<u8> {
        let index = self.below(self.corpus.len() + 1);
        if let Some(bytes) = self.corpus.get(index) {
            return bytes.clone();
        }
        let length = self.below(300);
        (0..length).map(|_| self.byte()).collect()
    }

    fn mutate(&mut self, bytes: &mut Vec<u8>) {
        let at = self.below(bytes.len().max(1));
        match self.below(9) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at.min(bytes.len()), self.byte()),
            2 => {
                let other = self.good();
                let from = self.below(other.len().max(1));
                bytes.truncate(at);
                bytes.extend(other.into_iter().skip(from));
            }
            3 => {
                let piece: Vec<u8> = bytes.iter().skip(at).take(64).copied().collect();
                bytes.extend(piece);
            }
            4 => self.number(bytes, at),
            5 if !bytes.is_empty() => _ = bytes.remove(at),
            6 if !bytes.is_empty() => bytes[at] = self.byte(),
            _ if !bytes.is_empty() => bytes[at] ^= 1 << self.below(8),
            _ => bytes.push(self.byte()),
        }
    }

    /// Puts a number there that counts and lengths break at.
    fn number(&mut self, bytes: &mut [u8], at: usize) {
        const ODD: [u64; 8] = [0, 1, 0x7f, 0xff, 0xffff, 0x7fff_ffff, 0xffff_ffff, u64::MAX];
        let value = ODD[self.below(ODD.len())];
        let width = 1 << self.below(4);
        let encoded = value.to_be_bytes();
        for (slot, byte) in bytes
            .iter_mut()
            .skip(at)
            .take(width)
            .zip(&encoded[8 - width..])
        {
            *slot = *byte;
        }
    }

    fn byte(&mut self) -> u8 {
        self.next().to_be_bytes()[0]
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % (bound.max(1) as u64)).unwrap_or(0)
    }

    /// SplitMix64 (Steele, Lea, Flood 2014).
    const fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
