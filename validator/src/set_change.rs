//! Changing the validator set, as operators do it: a file that goes round, and a validator to hand it to.
//!
//! The file is JSON: `chain_id`, `set` (the set that is replaced) and `change`
//! ([`SetChange`]) in their canonical bytes, hex, and what they say for people to read before they sign. Only the bytes count.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use serde::{Deserialize, Serialize};
use shared::enterprise::{SetChange, ValidatorInfo, ValidatorSet};
use shared::hash::Hash;
use shared::ids::ChainId;

use crate::start::{Files, key};

/// How long a request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the new set may take to come into force, before waiting is given up; the change may come later all the same.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is looked for.
const PAUSE: Duration = Duration::from_millis(200);
/// Bytes that such a file may have.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// A set change on its way round the operators.
#[derive(Clone, Debug)]
pub struct Wish {
    chain: ChainId,
    set: ValidatorSet,
    change: SetChange,
}

#[derive(Debug, Serialize, Deserialize)]
struct FileShape {
    chain_id: String,
    set: String,
    change: String,
    #[serde(default)]
    says: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Sets {
    chain_id: String,
    changes: u32,
    current: SetBytes,
    next: SetBytes,
}

#[derive(Debug, Deserialize)]
struct SetBytes {
    hash: String,
    set: String,
}

impl Wish {
    /// Reads the file.
    ///
    /// # Errors
    /// When it cannot be read or its bytes are not canonical.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let length = std::fs::metadata(path).with_context(|| path.display().to_string())?;
        ensure!(
            length.len() <= FILE_BYTES_MAX,
            "{} is no set change: it has {} bytes",
            path.display(),
            length.len()
        );
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        let shape: FileShape = serde_json::from_str(&text)
            .with_context(|| format!("{} is no set change", path.display()))?;
        let chain: Hash = shape.chain_id.parse().context("chain_id")?;
        let set = ValidatorSet::decode(&hex::decode(&shape.set).context("set")?)?;
        let change = SetChange::decode(&hex::decode(&shape.change).context("change")?)?;
        ensure!(
            change.replaces() == set.hash(),
            "the change replaces another set than the one in the file"
        );
        let chain = ChainId(chain);
        Ok(Self { chain, set, change })
    }

    /// Writes the file, whole or not at all.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        let shape = FileShape {
            chain_id: self.chain.to_string(),
            set: hex::encode(self.set.encode()),
            change: hex::encode(self.change.encode()),
            says: self.describe().lines().map(str::to_owned).collect(),
        };
        let text = serde_json::to_string_pretty(&shape)?;
        service::atomic_write(path, format!("{text}\n").as_bytes())?;
        Ok(())
    }

    /// What the change says, for people.
    #[must_use]
    pub fn describe(&self) -> String {
        let (now, next) = (self.set.validators(), self.change.next().validators());
        let mut text = format!("set change {} of {}\n", self.change.number(), self.chain);
        for info in now.iter().filter(|info| !next.contains(info)) {
            let _ = writeln!(text, "- {} {}", info.name, info.key);
        }
        for info in next.iter().filter(|info| !now.contains(info)) {
            let _ = writeln!(text, "+ {} {}", info.name, info.key);
        }
        let (before, after) = (self.set.quorum(), self.change.next().quorum());
        let _ = writeln!(
            text,
            "{} validators, quorum {before}; then {}, quorum {after}",
            now.len(),
            next.len()
        );
        let signed = self.change.signers(&self.set);
        let names = now.iter().filter(|info| signed.contains(&info.key));
        let names: Vec<&str> = names.map(|info| info.name.as_str()).collect();
        let _ = write!(
            text,
            "signed by {} of {before}: {}",
            names.len(),
            names.join(", ")
        );
        text
    }

    /// Adds the signature of the validator with these files.
    ///
    /// # Errors
    /// When it has no key, or is not in the set that is replaced.
    pub fn sign(&mut self, files: &Files) -> anyhow::Result<()> {
        let secret = key(files, true)?;
        self.change
            .sign(&self.set, &secret.identity(), self.chain)?;
        Ok(())
    }

    /// Takes the signatures of another copy.
    ///
    /// # Errors
    /// When it is of another change.
    pub fn merge(&mut self, other: &Self) -> anyhow::Result<()> {
        let (ours, theirs) = (&self.change, &other.change);
        ensure!(
            (ours.number(), ours.replaces(), ours.next())
                == (theirs.number(), theirs.replaces(), theirs.next()),
            "the files are of different changes"
        );
        self.change.merge(theirs);
        Ok(())
    }
}

/// The change of a running validator's set by these wishes.
///
/// # Errors
/// When the validator does not answer, or the wishes make no set.
pub async fn make(to: &str, add: Vec<ValidatorInfo>, remove: &[String]) -> anyhow::Result<Wish> {
    let sets = sets(to).await?;
    let set = ValidatorSet::decode(&hex::decode(&sets.next.set)?)?;
    let mut next = set.validators().to_vec();
    for name in remove {
        let before = next.len();
        next.retain(|info| info.name.as_str() != name);
        ensure!(next.len() < before, "{name} is not in the set");
    }
    next.retain(|info| !add.iter().any(|new| new.name == info.name));
    next.extend(add);
    let next = ValidatorSet::new(next)?;
    ensure!(next != set, "that changes nothing");
    let chain = ChainId(sets.chain_id.parse().context("chain_id")?);
    let change = SetChange::new(sets.changes.saturating_add(1), set.hash(), next);
    Ok(Wish { chain, set, change })
}

/// Hands a change to a validator and waits until it is in force; answers a height at which it is.
///
/// # Errors
/// When the validator refuses it or does not answer, or it takes too long.
pub async fn submit(to: &str, wish: &Wish) -> anyhow::Result<u64> {
    let body = serde_json::json!({ "change": hex::encode(wish.change.encode()) });
    let url = format!("{}/api/set-changes", to.trim_end_matches('/'));
    let answer = client()?.post(&url).json(&body).send().await?;
    if !answer.status().is_success() {
        let problem: serde_json::Value = answer.json().await.unwrap_or_default();
        bail!(
            "{to} refuses it: {}",
            problem["detail"].as_str().unwrap_or("no reason")
        );
    }
    let wanted = wish.change.next().hash().to_string();
    let waited = async {
        loop {
            if let Ok(sets) = sets(to).await
                && (sets.next.hash == wanted || sets.current.hash == wanted)
            {
                return height_in_force(to, &wanted).await;
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, waited).await;
    waited.context("it is not decided yet; look at /api/validators, and hand it in again if the validators restarted")?
}

async fn height_in_force(to: &str, wanted: &str) -> anyhow::Result<u64> {
    let status: serde_json::Value = get(to, "/api/validators").await?;
    let height = status["height"].as_u64().context("no height")?;
    let is_current = status["current"]["hash"].as_str() == Some(wanted);
    Ok(height.saturating_add(if is_current { 1 } else { 2 }))
}

async fn sets(to: &str) -> anyhow::Result<Sets> {
    get(to, "/api/validators").await
}

async fn get<T: for<'de> Deserialize<'de>>(to: &str, path: &str) -> anyhow::Result<T> {
    let url = format!("{}{path}", to.trim_end_matches('/'));
    let answer = client()?.get(&url).send().await?.error_for_status()?;
    Ok(answer.json().await?)
}

fn client() -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder().timeout(REQUEST_TIMEOUT).build()
}
