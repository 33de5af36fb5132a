//! Integers that may exceed 2^53: a JSON number up to there, a decimal string above, either one when read.
//!
//! Use as `#[serde(with = "api::wide")]` on a `u64`.

use core::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserializer, Serializer};

/// The largest integer that every JSON reader keeps exactly.
pub const NUMBER_MAX: u64 = 1 << 53;

/// How such an integer looks in an OpenAPI document.
#[cfg(feature = "openapi")]
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
#[serde(untagged)]
pub enum Wide {
    /// Up to 2^53.
    Number(u64),
    /// Beyond, decimal.
    Text(String),
}

/// Writes `value` as a number up to 2^53 and as a decimal string above.
///
/// # Errors
/// Whatever the serializer reports.
pub fn serialize<S: Serializer>(value: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    if *value <= NUMBER_MAX {
        serializer.serialize_u64(*value)
    } else {
        serializer.collect_str(value)
    }
}

/// Reads a non-negative integer given as a number or as a decimal string.
///
/// # Errors
/// Refuses negative numbers, fractions and strings that are not decimal digits.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    deserializer.deserialize_any(WideVisitor)
}

struct WideVisitor;

impl Visitor<'_> for WideVisitor {
    type Value = u64;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a non-negative integer or a string of decimal digits")
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<u64, E> {
        Ok(value)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<u64, E> {
        u64::try_from(value).map_err(|_| E::custom("negative integer"))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<u64, E> {
        // A JavaScript value arrives as a double; only whole numbers that a double holds exactly are taken.
        let exact = value >= 0.0 && value <= NUMBER_MAX as f64 && value.fract() == 0.0;
        if !exact {
            return Err(E::custom("not a whole number within 2^53"));
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "checked to be whole and in range"
        )]
        Ok(value as u64)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<u64, E> {
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(E::custom("not a string of decimal digits"));
        }
        text.parse().map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Holder(#[serde(with = "super")] u64);

    #[test]
    fn numbers_up_to_2_53_stay_numbers() {
        assert_eq!(serde_json::to_string(&Holder(7)).unwrap(), "7");
        assert_eq!(
            serde_json::to_string(&Holder(1 << 53)).unwrap(),
            "9007199254740992"
        );
    }

    #[test]
    fn larger_integers_are_strings_and_come_back() {
        let text = serde_json::to_string(&Holder(u64::MAX)).unwrap();
        assert_eq!(text, "\"18446744073709551615\"");
        assert_eq!(
            serde_json::from_str::<Holder>(&text).unwrap(),
            Holder(u64::MAX)
        );
    }

    #[test]
    fn fractions_negatives_and_words_are_refused() {
        for text in ["-1", "1.5", "\"\"", "\"+1\"", "\"1e3\"", "null", "true"] {
            assert!(
                serde_json::from_str::<Holder>(text).is_err(),
                "{text} must be refused"
            );
        }
    }
}
