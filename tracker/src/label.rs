//! The name under which the tracker keeps a network: the genesis' own network id, or, where another chain holds that,
//! the id with `~` and the first hex digits of the chain id.

use std::fmt;

use shared::hash::HexError;
use shared::ids::{ChainId, NetworkId, NetworkIdError};

/// A network's name at this tracker.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Label(String);

impl Label {
    /// The plain label of a network id.
    pub fn plain(network_id: &NetworkId) -> Self {
        Self(network_id.as_str().to_owned())
    }

    /// The label under which `chain_id` lives beside another chain of the same network id.
    pub fn beside(network_id: &NetworkId, chain_id: ChainId) -> Self {
        let chain = chain_id.to_string();
        let prefix = chain.get(..PREFIX_CHARS).unwrap_or(&chain);
        Self(format!("{network_id}{SEPARATOR}{prefix}"))
    }

    /// Parses a label.
    ///
    /// # Errors
    /// The part before `~` is no network id, or what follows is not the prefix of a chain id.
    pub fn parse(text: &str) -> Result<Self, LabelError> {
        let (id, suffix) = match text.split_once(SEPARATOR) {
            Some((id, suffix)) => (id, Some(suffix)),
            None => (text, None),
        };
        NetworkId::parse(id)?;
        if let Some(suffix) = suffix {
            let digits = suffix
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
            if suffix.len() != PREFIX_CHARS || !digits {
                return Err(LabelError::Suffix(HexError {
                    found: suffix.len(),
                    allowed: PREFIX_CHARS,
                }));
            }
        }
        Ok(Self(text.to_owned()))
    }

    /// The label as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Label {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A text is no label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LabelError {
    /// The network id in it is not allowed.
    #[error(transparent)]
    NetworkId(#[from] NetworkIdError),
    /// What follows the `~` is not the prefix of a chain id.
    #[error("after the ~: {0}")]
    Suffix(HexError),
}

const SEPARATOR: char = '~';
const PREFIX_CHARS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use shared::hash::Hash;

    #[test]
    fn a_label_beside_another_names_the_chain() {
        let id = NetworkId::parse("demo").unwrap();
        let label = Label::beside(&id, ChainId(Hash([0xab; 32])));
        assert_eq!(label.as_str(), "demo~abababab");
        assert_eq!(Label::parse("demo~abababab").unwrap(), label);
    }

    #[test]
    fn texts_that_are_no_labels_are_refused() {
        for bad in [
            "",
            "~abababab",
            "demo~",
            "demo~xyz",
            "demo~ABABABAB",
            "de mo",
            "demo~abababab~1",
            "../x",
        ] {
            assert!(Label::parse(bad).is_err(), "{bad}");
        }
    }
}
