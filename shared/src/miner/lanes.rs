//! Many versions of a header by four nonces at a time: the second compression in four 32-bit lanes.
//!
//! For WebAssembly, where no instruction hashes and SIMD is everywhere. Everything that does not depend on the nonce
//! (word 12) is done once: the first twelve rounds, the thirteenth but for two additions, and the constant parts of words 16 to 31 of the message schedule.
//! The rest of the schedule is computed once for a nonce, for all versions, as they differ in the first block only.
//! What comes out is only whether a first word of the hashes is low enough; the caller hashes those in full.
//! Instructions are WebAssembly's; elsewhere plain arrays stand in, so that the tests run the same rounds.

use core::hint::black_box;

use ops::{Lanes, add, and, any_at_most, array, first_and_next, from_array, shl, shr, splat, xor};

use super::ROLLS;

/// Repeats a block for `I` from 0 to 15: constant indices keep the sixteen words in registers.
macro_rules! sixteen {
    ($i:ident => $body:block) => {
        sixteen!(@ $i $body 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15)
    };
    (@ $i:ident $body:block $($n:literal)*) => {
        $({
            const $i: usize = $n;
            $body
        })*
    };
}
/// Nonces in one go.
pub(super) const LANES: u32 = 4;
const WIDTH: usize = LANES as usize;
const QUADS: usize = ROLLS as usize / WIDTH;
/// Rounds that depend on the nonce: 12 to 63.
const ROUNDS: usize = 64 - 12;

/// The compression of the second block of a header's versions, but for its nonce.
#[derive(Debug, Clone)]
pub(super) struct Kernel {
    quads: [Quad; QUADS],
    /// Words 13 to 15, at their places.
    words: [u32; 16],
    /// Of words 16 to 31 the part without the nonce.
    constant: [u32; 16],
}

/// Four versions, one a lane.
#[derive(Debug, Clone, Copy, Default)]
struct Quad {
    /// Word 0 of the midstates, added at the end.
    first: [u32; WIDTH],
    /// The states after round 12 with nonce 0; the nonce is added to words 0 and 4.
    state: [[u32; WIDTH]; 8],
}

/// For each of the nonces the nonce, then K + W of rounds 13 to 63.
type Schedules = [[u32; ROUNDS]; WIDTH];

impl Kernel {
    /// Prepares for the block whose words are these, behind these midstates; word 12 is not looked at.
    pub(super) fn new(midstates: &[[u32; 8]; ROLLS as usize], words: [u32; 16]) -> Self {
        let mut quads = [Quad::default(); QUADS];
        for (quad, midstates) in quads.iter_mut().zip(midstates.as_chunks::<WIDTH>().0) {
            for (lane, midstate) in midstates.iter().enumerate() {
                let mut state = *midstate;
                for (word, k) in words.iter().zip(K).take(12) {
                    state = scalar_round(state, word.wrapping_add(k));
                }
                state = scalar_round(state, K[12]);
                quad.first[lane] = midstate[0];
                for (lanes, word) in quad.state.iter_mut().zip(state) {
                    lanes[lane] = word;
                }
            }
        }
        Self {
            quads,
            constant: constant_schedule(&words),
            words,
        }
    }

    /// Tries `groups` groups of four nonces from `nonce` on; answers the first group with a hash whose first word is at
    /// most `limit`.
    #[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128"))]
    pub(super) fn scan(&self, nonce: u32, groups: u32, limit: u32) -> Option<u32> {
        let mut nonces = first_and_next(nonce);
        for group in 0..groups {
            for schedule in &self.schedules(nonces) {
                for quad in &self.quads {
                    if any_at_most(quad.first_words(schedule), limit) {
                        return Some(group);
                    }
                }
            }
            nonces = add(nonces, splat(LANES));
        }
        None
    }

    #[inline]
    #[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128"))]
    fn schedules(&self, nonces: Lanes) -> Schedules {
        let mut schedules = [[0; ROUNDS]; WIDTH];
        let mut put = |round: usize, k_plus_w: Lanes| {
            for (schedule, word) in schedules.iter_mut().zip(array(k_plus_w)) {
                schedule[round - 12] = word;
            }
        };
        put(12, nonces);
        put(13, splat(K[13].wrapping_add(self.words[13])));
        put(14, splat(K[14].wrapping_add(self.words[14])));
        put(15, splat(K[15].wrapping_add(self.words[15])));
        let mut w = self.first_schedule(nonces);
        sixteen!(I => {
            put(16 + I, add(w[I], splat(K[16 + I])));
        });
        sixteen!(I => {
            w[I] = scheduled(w[(I + 14) % 16], w[(I + 9) % 16], w[(I + 1) % 16], w[I]);
            put(32 + I, add(w[I], splat(K[32 + I])));
        });
        sixteen!(I => {
            w[I] = scheduled(w[(I + 14) % 16], w[(I + 9) % 16], w[(I + 1) % 16], w[I]);
            put(48 + I, add(w[I], splat(K[48 + I])));
        });
        schedules
    }

    /// Words 16 to 31.
    #[inline]
    #[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128"))]
    fn first_schedule(&self, nonces: Lanes) -> [Lanes; 16] {
        let c = &self.constant;
        let mut w = [splat(0); 16];
        for (word, constant) in w.iter_mut().zip(c) {
            *word = splat(*constant);
        }
        w[3] = add(w[3], nonces);
        w[5] = add(w[5], small_sigma_1(w[3]));
        w[7] = add(w[7], small_sigma_1(w[5]));
        w[9] = add(w[9], small_sigma_1(w[7]));
        w[10] = add(w[10], w[3]);
        w[11] = add(w[11], add(small_sigma_1(w[9]), small_sigma_0(nonces)));
        w[12] = add(w[12], add(add(small_sigma_1(w[10]), w[5]), nonces));
        w[13] = add(w[13], small_sigma_1(w[11]));
        w[14] = add(w[14], add(small_sigma_1(w[12]), w[7]));
        w[15] = add(w[15], small_sigma_1(w[13]));
        w
    }
}

impl Quad {
    /// The first word of each version's hash.
    #[inline]
    #[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128"))]
    fn first_words(&self, schedule: &[u32; ROUNDS]) -> Lanes {
        let [nonce, k_plus_w @ ..] = schedule;
        let mut state = State::new(&self.state, splat(*nonce));
        for sixteen in k_plus_w.as_chunks().0 {
            let sixteen: &[u32; 16] = sixteen;
            sixteen!(I => {
                state.round(splat(sixteen[I]));
            });
        }
        for k_plus_w in k_plus_w.as_chunks::<16>().1 {
            state.round(splat(*k_plus_w));
        }
        add(state.words[0], from_array(self.first))
    }
}

/// The eight working words in four lanes, and a ⊕ b of the round before.
struct State {
    words: [Lanes; 8],
    a_xor_b: Lanes,
}

impl State {
    #[inline]
    #[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128"))]
    fn new(words: &[[u32; WIDTH]; 8], nonce: Lanes) -> Self {
        let mut lanes = [splat(0); 8];
        for (lane, word) in lanes.iter_mut().zip(words) {
            *lane = from_array(*word);
        }
        lanes[0] = add(lanes[0], nonce);
        lanes[4] = add(lanes[4], nonce);
        Self {
            words: lanes,
            a_xor_b: xor(lanes[1], lanes[2]),
        }
    }

    /// FIPS 180-4, section 6.2.2, step 3, with K + W given.
    #[inline]
    #[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128"))]
    fn round(&mut self, k_plus_w: Lanes) {
        let [a, b, c, d, e, f, g, h] = self.words;
        let choice = xor(g, and(e, xor(f, g)));
        let t1 = add(add(add(h, k_plus_w), choice), big_sigma_1(e));
        // The majority of a, b, c is b ⊕ ((a ⊕ b) ∧ (b ⊕ c)), and b ⊕ c is the a ⊕ b of the round before.
        let a_xor_b = xor(a, b);
        // LLVM would make a selection of it, which is an instruction more, did it see that both b are one.
        let majority = xor(black_box(b), and(a_xor_b, self.a_xor_b));
        self.a_xor_b = a_xor_b;
        self.words = [
            add(t1, add(big_sigma_0(a), majority)),
            a,
            b,
            c,
            add(d, t1),
            e,
            f,
            g,
        ];
    }
}

#[inline]
#[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128"))]
fn scheduled(back_2: Lanes, back_7: Lanes, back_15: Lanes, back_16: Lanes) -> Lanes {
    add(
        add(small_sigma_1(back_2), back_7),
        add(small_sigma_0(back_15), back_16),
    )
}

#[inline]
#[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128"))]
fn rotated<const BITS: u32, const REST: u32>(x: Lanes) -> Lanes {
    xor(shr::<BITS>(x), shl::<REST>(x))
}

#[inline]
#[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128"))]
fn big_sigma_0(x: Lanes) -> Lanes {
    xor(
        rotated::<2, 30>(x),
        xor(rotated::<13, 19>(x), rotated::<22, 10>(x)),
    )
}

#[inline]
#[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128"))]
fn big_sigma_1(x: Lanes) -> Lanes {
    xor(
        rotated::<6, 26>(x),
        xor(rotated::<11, 21>(x), rotated::<25, 7>(x)),
    )
}

#[inline]
#[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128"))]
fn small_sigma_0(x: Lanes) -> Lanes {
    xor(rotated::<7, 25>(x), xor(rotated::<18, 14>(x), shr::<3>(x)))
}

#[inline]
#[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128"))]
fn small_sigma_1(x: Lanes) -> Lanes {
    xor(
        rotated::<17, 15>(x),
        xor(rotated::<19, 13>(x), shr::<10>(x)),
    )
}

/// Words 16 to 31 as far as they do not depend on word 12. What [`Kernel::first_schedule`] adds is left out here.
fn constant_schedule(words: &[u32; 16]) -> [u32; 16] {
    let s0 = |x: u32| x.rotate_right(7) ^ x.rotate_right(18) ^ (x >> 3);
    let s1 = |x: u32| x.rotate_right(17) ^ x.rotate_right(19) ^ (x >> 10);
    let sum = |parts: &[u32]| {
        parts
            .iter()
            .fold(0, |sum: u32, part| sum.wrapping_add(*part))
    };
    let w = words;
    let w16 = sum(&[s1(w[14]), w[9], s0(w[1]), w[0]]);
    let w17 = sum(&[s1(w[15]), w[10], s0(w[2]), w[1]]);
    let w18 = sum(&[s1(w16), w[11], s0(w[3]), w[2]]);
    let w20 = sum(&[s1(w18), w[13], s0(w[5]), w[4]]);
    let w22 = sum(&[s1(w20), w[15], s0(w[7]), w[6]]);
    let w24 = sum(&[s1(w22), w17, s0(w[9]), w[8]]);
    [
        w16,
        w17,
        w18,
        sum(&[s1(w17), s0(w[4]), w[3]]),
        w20,
        sum(&[w[14], s0(w[6]), w[5]]),
        w22,
        sum(&[w16, s0(w[8]), w[7]]),
        w24,
        sum(&[w18, s0(w[10]), w[9]]),
        sum(&[s1(w24), s0(w[11]), w[10]]),
        sum(&[w20, w[11]]),
        s0(w[13]),
        sum(&[w22, s0(w[14]), w[13]]),
        sum(&[s0(w[15]), w[14]]),
        sum(&[w24, s0(w16), w[15]]),
    ]
}

fn scalar_round([a, b, c, d, e, f, g, h]: [u32; 8], k_plus_w: u32) -> [u32; 8] {
    let sigma_1 = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
    let t1 = h
        .wrapping_add(sigma_1)
        .wrapping_add(g ^ (e & (f ^ g)))
        .wrapping_add(k_plus_w);
    let sigma_0 = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
    let t2 = sigma_0.wrapping_add((a & b) ^ (a & c) ^ (b & c));
    [t1.wrapping_add(t2), a, b, c, d.wrapping_add(t1), e, f, g]
}

#[cfg(target_arch = "wasm32")]
mod ops {
    use core::arch::wasm32::{
        i32x4_add, u32x4, u32x4_extract_lane, u32x4_le, u32x4_shl, u32x4_shr, u32x4_splat, v128,
        v128_and, v128_any_true, v128_xor,
    };

    pub(super) type Lanes = v128;

    #[inline]
    #[target_feature(enable = "simd128")]
    pub(super) fn splat(value: u32) -> Lanes {
        u32x4_splat(value)
    }

    #[inline]
    #[target_feature(enable = "simd128")]
    pub(super) fn from_array([a, b, c, d]: [u32; 4]) -> Lanes {
        u32x4(a, b, c, d)
    }

    #[inline]
    #[target_feature(enable = "simd128")]
    pub(super) fn array(a: Lanes) -> [u32; 4] {
        [
            u32x4_extract_lane::<0>(a),
            u32x4_extract_lane::<1>(a),
            u32x4_extract_lane::<2>(a),
            u32x4_extract_lane::<3>(a),
        ]
    }

    #[inline]
    #[target_feature(enable = "simd128")]
    pub(super) fn first_and_next(value: u32) -> Lanes {
        i32x4_add(u32x4_splat(value), u32x4(0, 1, 2, 3))
    }

    #[inline]
    #[target_feature(enable = "simd128")]
    pub(super) fn add(a: Lanes, b: Lanes) -> Lanes {
        i32x4_add(a, b)
    }

    #[inline]
    #[target_feature(enable = "simd128")]
    pub(super) fn xor(a: Lanes, b: Lanes) -> Lanes {
        v128_xor(a, b)
    }

    #[inline]
    #[target_feature(enable = "simd128")]
    pub(super) fn and(a: Lanes, b: Lanes) -> Lanes {
        v128_and(a, b)
    }

    #[inline]
    #[target_feature(enable = "simd128")]
    pub(super) fn shr<const BITS: u32>(a: Lanes) -> Lanes {
        u32x4_shr(a, BITS)
    }

    #[inline]
    #[target_feature(enable = "simd128")]
    pub(super) fn shl<const BITS: u32>(a: Lanes) -> Lanes {
        u32x4_shl(a, BITS)
    }

    #[inline]
    #[target_feature(enable = "simd128")]
    pub(super) fn any_at_most(a: Lanes, limit: u32) -> bool {
        v128_any_true(u32x4_le(a, u32x4_splat(limit)))
    }
}

#[cfg(not(target_arch = "wasm32"))]
mod ops {
    use core::array::from_fn;

    pub(super) type Lanes = [u32; 4];

    pub(super) fn splat(value: u32) -> Lanes {
        [value; 4]
    }

    pub(super) fn from_array(words: [u32; 4]) -> Lanes {
        words
    }

    pub(super) fn array(a: Lanes) -> [u32; 4] {
        a
    }

    pub(super) fn first_and_next(value: u32) -> Lanes {
        [0, 1, 2, 3].map(|lane| value.wrapping_add(lane))
    }

    pub(super) fn add(a: Lanes, b: Lanes) -> Lanes {
        from_fn(|lane| a[lane].wrapping_add(b[lane]))
    }

    pub(super) fn xor(a: Lanes, b: Lanes) -> Lanes {
        from_fn(|lane| a[lane] ^ b[lane])
    }

    pub(super) fn and(a: Lanes, b: Lanes) -> Lanes {
        from_fn(|lane| a[lane] & b[lane])
    }

    pub(super) fn shr<const BITS: u32>(a: Lanes) -> Lanes {
        a.map(|lane| lane >> BITS)
    }

    pub(super) fn shl<const BITS: u32>(a: Lanes) -> Lanes {
        a.map(|lane| lane << BITS)
    }

    pub(super) fn any_at_most(a: Lanes, limit: u32) -> bool {
        a.iter().any(|lane| *lane <= limit)
    }
}

/// FIPS 180-4, section 4.2.2.
#[rustfmt::skip]
const K: [u32; 64] = [
    0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5, 0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5,
    0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3, 0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174,
    0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc, 0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da,
    0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7, 0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967,
    0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13, 0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85,
    0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3, 0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070,
    0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5, 0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3,
    0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208, 0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2,
];

// Natively only: what a register holds cannot be listed there, and hits are hashed again on every target.
#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use core::array::from_fn;

    use super::*;
    use proptest::prelude::*;
    use sha2::block_api::compress256;

    proptest! {
        #[test]
        fn each_lane_is_the_compression_of_its_version_and_nonce(seeds: [[u32; 8]; ROLLS as usize / 4], words: [u32; 16], nonce: u32) {
            let midstates = from_fn(|roll| seeds[roll / 4].map(|word| word.rotate_left(u32::try_from(roll % 4).unwrap())));
            let kernel = Kernel::new(&midstates, words);
            let schedules = kernel.schedules(first_and_next(nonce));
            for (lane, schedule) in schedules.iter().enumerate() {
                let mut block = [0; 64];
                let mut with_nonce = words;
                with_nonce[12] = nonce.wrapping_add(u32::try_from(lane).unwrap());
                for (bytes, word) in block.chunks_exact_mut(4).zip(with_nonce) {
                    bytes.copy_from_slice(&word.to_be_bytes());
                }
                let firsts = kernel.quads.iter().flat_map(|quad| quad.first_words(schedule));
                for (first, mut state) in firsts.zip(midstates) {
                    compress256(&mut state, &[block]);
                    prop_assert_eq!(first, state[0]);
                }
            }
        }
    }
}
