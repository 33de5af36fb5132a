//! The checker of a recorded history.

use std::collections::{BTreeMap, BTreeSet};

/// One decided block as a validator shows it: its hash, and the transactions of the tenant blocks that it anchors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decided {
    pub(crate) hash: String,
    pub(crate) anchors: Vec<String>,
}

/// All validators show the same blocks up to one tip; all but the first may begin with a snapshot.
pub(crate) fn same(chains: &[Vec<Decided>]) -> Result<(), String> {
    let first = chains.first().ok_or("no chain")?;
    for (index, chain) in chains.iter().enumerate() {
        let below = first.len().checked_sub(chain.len()).ok_or_else(|| {
            let (found, most) = (chain.len(), first.len());
            format!("chain {index} has {found} blocks, chain 0 has {most}")
        })?;
        for (height, (left, right)) in first.iter().zip(chain_from(chain, below)).enumerate() {
            let Some(right) = right else { continue };
            if left != right {
                return Err(format!(
                    "chain {index} forks at height {}: {left:?} {right:?}",
                    height + 1
                ));
            }
        }
    }
    Ok(())
}

/// A chain with nothing in the places of the blocks below a snapshot.
fn chain_from(chain: &[Decided], below: usize) -> impl Iterator<Item = Option<&Decided>> {
    std::iter::repeat_n(None, below).chain(chain.iter().map(Some))
}

/// Everything that was acknowledged is anchored, and nothing twice.
pub(crate) fn complete(chain: &[Decided], acknowledged: &BTreeSet<String>) -> Result<(), String> {
    let mut anchored: BTreeMap<&str, usize> = BTreeMap::new();
    for (index, block) in chain.iter().enumerate() {
        for anchor in &block.anchors {
            if let Some(before) = anchored.insert(anchor, index) {
                return Err(format!(
                    "{anchor} is anchored at {} and {}",
                    before + 1,
                    index + 1
                ));
            }
        }
    }
    let lost: Vec<&String> = acknowledged
        .iter()
        .filter(|hash| !anchored.contains_key(hash.as_str()))
        .collect();
    if lost.is_empty() {
        Ok(())
    } else {
        Err(format!(
            "{} of {} acknowledged transactions are lost: {lost:?}",
            lost.len(),
            acknowledged.len()
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(hash: &str, anchors: &[&str]) -> Decided {
        Decided {
            hash: hash.into(),
            anchors: anchors.iter().map(|anchor| (*anchor).to_owned()).collect(),
        }
    }

    #[test]
    fn doctored_histories_are_noticed() {
        let good = vec![block("a", &["x", "y"]), block("b", &["z"])];
        let acknowledged: BTreeSet<String> = ["x", "z"].map(str::to_owned).into();
        assert_eq!(same(&[good.clone(), good.clone()]), Ok(()));
        assert_eq!(complete(&good, &acknowledged), Ok(()));
        let forked = vec![block("a", &["x", "y"]), block("c", &["z"])];
        assert!(same(&[good.clone(), forked]).is_err());
        assert!(same(&[good.clone(), good[..1].to_vec()]).is_err());
        assert!(same(&[good.clone(), good[1..].to_vec()]).is_ok());
        assert!(same(&[good[1..].to_vec(), good.clone()]).is_err());
        assert!(complete(&good[..1], &acknowledged).is_err());
        let doubled = vec![block("a", &["x", "z"]), block("b", &["z"])];
        assert!(complete(&doubled, &acknowledged).is_err());
    }
}
