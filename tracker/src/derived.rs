//! `tracker_integration.json`: derived from the store for other programs, and a witness of what the store should hold.
//!
//! It is written anew from the store at each start, so a torn one is repaired by itself. It is read before that: a store
//! that is missing beside it, or that holds less than it tells of, is not passed over in silence.

use std::path::Path;

use api::TrackerIntegration;

/// The file's name in the data directory.
pub const FILE_NAME: &str = "tracker_integration.json";

/// What was found at the start.
#[derive(Clone, Debug, PartialEq)]
pub enum Derived {
    /// There is none: the tracker is new, or never ran for a second.
    Absent,
    /// It cannot be read, and why.
    Torn(String),
    /// What it tells.
    Read(TrackerIntegration),
}

impl Derived {
    /// Reads the file in `directory`.
    pub fn find(directory: &Path) -> Self {
        match std::fs::read(directory.join(FILE_NAME)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Self::Absent,
            Err(error) => Self::Torn(error.to_string()),
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_or_else(|error| Self::Torn(error.to_string()), Self::Read),
        }
    }

    /// Why there must have been a store beside it; none if there may have been none.
    pub(crate) fn tells_of_a_store(&self) -> Option<String> {
        match self {
            Self::Absent => None,
            Self::Torn(reason) => Some(format!("is there and cannot be read ({reason})")),
            Self::Read(told) => {
                let count = told.network_blockchain_state.len();
                (count > 0).then(|| format!("tells of {count} networks"))
            }
        }
    }

    /// Networks of which the file tells more blocks than `held`, as sentences.
    pub(crate) fn ahead_of(&self, held: &TrackerIntegration) -> Vec<String> {
        let Self::Read(told) = self else {
            return Vec::new();
        };
        let told = told.network_blockchain_state.iter();
        told.filter_map(|(label, told)| {
            let held = held.network_blockchain_state.get(label);
            let height = held.map_or(0, |held| held.last_block_id);
            let is_less = held.is_none() || height < told.last_block_id;
            is_less.then(|| format!("{label}: {height} of {} blocks", told.last_block_id))
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::NetworkBlockchainState;

    fn with(label: &str, blocks: u32) -> TrackerIntegration {
        let mut integration = TrackerIntegration::default();
        let state = NetworkBlockchainState {
            total_blocks: u64::from(blocks),
            total_transactions: 0,
            recent_blocks: Vec::new(),
            last_block_id: blocks,
        };
        integration
            .network_blockchain_state
            .insert(label.to_owned(), state);
        integration
    }

    #[test]
    fn what_the_store_lacks_is_named() {
        let derived = Derived::Read(with("shop", 7));
        assert_eq!(derived.ahead_of(&with("shop", 5)), ["shop: 5 of 7 blocks"]);
        assert_eq!(derived.ahead_of(&with("other", 9)), ["shop: 0 of 7 blocks"]);
        assert!(derived.ahead_of(&with("shop", 8)).is_empty());
    }

    #[test]
    fn only_a_file_that_names_networks_or_none_tells_of_a_store() {
        assert_eq!(Derived::Absent.tells_of_a_store(), None);
        let empty = Derived::Read(TrackerIntegration::default());
        assert_eq!(empty.tells_of_a_store(), None);
        for derived in [Derived::Read(with("shop", 0)), Derived::Torn("cut".into())] {
            assert!(derived.tells_of_a_store().is_some(), "{derived:?}");
        }
    }
}
