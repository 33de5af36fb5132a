//! Passphrases: 64 random bits and a check sum of 16, said as five words that can be pronounced, such as `lusab-babad-gutih-tugad-bafub`.
//!
//! The words are proquints (D. S. Wilkerson, "A Proposal for Proquints", 2009): consonant, vowel, consonant, vowel, consonant for
//! 4, 2, 4, 2 and 4 bits. The check sum, the first 16 bits of `SHA-256("distli/passphrase-check/1" ‖ the 64 bits)`, finds a mistyped
//! letter before it leads to a room where nobody is.
//!
//! The network key is Argon2id (RFC 9106) of the eight bytes with t = 3, p = 4 and 64 MiB, its second recommended choice, and as the
//! salt the first 16 bytes of `SHA-256("distli/passphrase/1" ‖ network id)`. Passphrases are generated, never chosen.

use argon2::{Algorithm, Argon2, Params, Version};
use shared::hash::sha256;
use shared::private::NetworkKey;

const CONSONANTS: &[u8; 16] = b"bdfghjklmnprstvz";
const VOWELS: &[u8; 4] = b"aiou";
const WORDS: usize = 5;
const WORD_CHARS: usize = 5;
const MEMORY_KIB: u32 = 64 * 1024;
const PASSES: u32 = 3;
const LANES: u32 = 4;

/// A text is no passphrase.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PassphraseError {
    /// Too many or too few letters.
    #[error("a passphrase has {WORDS} words of {WORD_CHARS} letters; these are {found} letters")]
    Length {
        /// How many letters there are.
        found: usize,
    },
    /// A letter that is not in this place of any word.
    #[error("“{found}” can't be letter {place} of a passphrase")]
    Letter {
        /// The letter.
        found: char,
        /// Which one, from 1.
        place: usize,
    },
    /// Some letter is another one.
    #[error("there is a typing mistake in the passphrase")]
    Check,
    /// The function failed.
    #[error("the key could not be computed: {0}")]
    Function(String),
}

/// The passphrase of 64 random bits.
#[must_use]
pub fn passphrase_of(entropy: [u8; 8]) -> String {
    let bytes: Vec<u8> = entropy.into_iter().chain(check_of(&entropy)).collect();
    let words = bytes.chunks_exact(2).map(|pair| {
        let bits = pair
            .iter()
            .fold(0_u16, |sum, byte| (sum << 8) | u16::from(*byte));
        word_of(bits)
    });
    words.collect::<Vec<_>>().join("-")
}

/// The network key of a passphrase, for the network of this name. Case and what stands between the letters do not matter.
///
/// # Errors
/// Names what is mistyped.
pub fn key_of(passphrase: &str, network_id: &str) -> Result<NetworkKey, PassphraseError> {
    let entropy = entropy_of(passphrase)?;
    let failed = |error: argon2::Error| PassphraseError::Function(error.to_string());
    let params = Params::new(MEMORY_KIB, PASSES, LANES, Some(32)).map_err(failed)?;
    let salt = sha256(&[b"distli/passphrase/1", network_id.as_bytes()]);
    let (salt, _) = salt.0.split_at(16);
    let mut key = [0; 32];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(&entropy, salt, &mut key)
        .map_err(failed)?;
    Ok(NetworkKey::from_bytes(key))
}

fn entropy_of(passphrase: &str) -> Result<[u8; 8], PassphraseError> {
    let letters: Vec<char> = passphrase
        .chars()
        .filter(|c| c.is_alphanumeric())
        .map(|c| c.to_ascii_lowercase())
        .take(WORDS * WORD_CHARS + 1)
        .collect();
    if letters.len() != WORDS * WORD_CHARS {
        let found = letters.len();
        return Err(PassphraseError::Length { found });
    }
    let mut bytes = Vec::with_capacity(WORDS * 2);
    for (index, word) in letters.chunks_exact(WORD_CHARS).enumerate() {
        let mut bits = 0_u16;
        for (place, letter) in word.iter().enumerate() {
            let (alphabet, width): (&[u8], u32) = alphabet(place);
            let value = alphabet
                .iter()
                .position(|known| char::from(*known) == *letter);
            let place = index * WORD_CHARS + place + 1;
            let value = value.and_then(|value| u16::try_from(value).ok()).ok_or(
                PassphraseError::Letter {
                    found: *letter,
                    place,
                },
            )?;
            bits = (bits << width) | value;
        }
        bytes.extend(bits.to_be_bytes());
    }
    let (entropy, check) = bytes
        .split_first_chunk::<8>()
        .ok_or(PassphraseError::Check)?;
    if check == check_of(entropy) {
        Ok(*entropy)
    } else {
        Err(PassphraseError::Check)
    }
}

fn word_of(bits: u16) -> String {
    let mut left = u32::from(bits);
    let mut letters = ['b'; WORD_CHARS];
    for place in (0..WORD_CHARS).rev() {
        let (alphabet, width) = alphabet(place);
        let value = left & ((1 << width) - 1);
        left >>= width;
        let letter = usize::try_from(value).ok().and_then(|at| alphabet.get(at));
        if let (Some(slot), Some(letter)) = (letters.get_mut(place), letter) {
            *slot = char::from(*letter);
        }
    }
    letters.iter().collect()
}

/// The letters that can be in this place of a word, and how many bits they are.
const fn alphabet(place: usize) -> (&'static [u8], u32) {
    if place.is_multiple_of(2) {
        (CONSONANTS, 4)
    } else {
        (VOWELS, 2)
    }
}

fn check_of(entropy: &[u8; 8]) -> [u8; 2] {
    let [first, second, ..] = sha256(&[b"distli/passphrase-check/1", entropy]).0;
    [first, second]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_proquints() {
        // 127.0.0.1 of the proposal.
        let words = [word_of(0x7f00), word_of(0x0001)];
        assert_eq!(words, ["lusab", "babad"]);
    }

    #[test]
    fn a_passphrase_is_the_bits_it_was_made_of_however_it_is_typed() {
        for seed in 0..50_u8 {
            let entropy = [seed, 1, 2, seed.wrapping_mul(37), 4, 5, 255, seed];
            let text = passphrase_of(entropy);
            assert_eq!(text.len(), 29);
            let spoken = text.to_uppercase().replace('-', "  ");
            assert_eq!(entropy_of(&spoken), Ok(entropy));
        }
    }

    #[test]
    fn mistyped_passphrases_are_refused_with_the_place() {
        let text = passphrase_of([1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(
            entropy_of(&text[..20]),
            Err(PassphraseError::Length { found: 17 })
        );
        let wrong = text.replacen(text.get(6..7).unwrap(), "x", 1);
        assert!(matches!(
            entropy_of(&wrong),
            Err(PassphraseError::Letter { found: 'x', .. })
        ));
        // One letter exchanged for another that is possible there: found but for one in 65,536.
        let first = if text.starts_with('b') { "d" } else { "b" };
        let other = format!("{first}{}", &text[1..]);
        assert_eq!(entropy_of(&other), Err(PassphraseError::Check));
    }

    #[test]
    fn the_key_depends_on_the_words_and_the_name() {
        let text = passphrase_of([1; 8]);
        let key = key_of(&text, "club").unwrap();
        assert_eq!(key_of(&text.to_uppercase(), "club").unwrap(), key);
        assert_ne!(key_of(&text, "clubs").unwrap(), key);
        assert_ne!(key_of(&passphrase_of([2; 8]), "club").unwrap(), key);
    }
}
