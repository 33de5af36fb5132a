//! From a data directory to a running chain: first start, restart, and refusing damaged data with what to do about it.
//!
//! Files, for the validator `v`: `validator_v.key` (its secret, mode 0600), `enterprise_v.redb` (the store),
//! `enterprise_v.head` (see [`crate::store`]), `enterprise_v.votes` (the vote log), `enterprise_genesis.json` (the network
//! it belongs to, if it is not alone) and `enterprise_blockchain_v.json` (the derived export).
//!
//! A first start makes key, genesis and store. A restart verifies everything in the store again and never starts over
//! something that does not verify: each refusal names the file, what is wrong, and the remedy.

use std::io;
use std::path::{Path, PathBuf};

use shared::enterprise::{
    EnterpriseBlock, EnterpriseError, EnterpriseGenesis, EnterpriseHeight, Reset, ValidatorInfo,
    ValidatorSet,
};
use shared::genesis::Genesis;
use shared::hash::sha256;
use shared::identity::Identity;
use shared::ids::{ChainId, NetworkId, TimestampMs};

use crate::body::UncheckedBody;
use crate::ledger::{Ledger, Signatures};
use crate::network::FILE_NAME;
use crate::replica::Rotation;
use crate::store::{ChunkKey, Head, HeadFile, Storage, Store, StoreError, anchored};
use crate::vote_log::{Found, VoteLog};

/// The files of one validator.
#[derive(Clone, Debug)]
pub struct Files {
    /// The secret key.
    pub key: PathBuf,
    /// The store.
    pub store: PathBuf,
    /// The head file.
    pub head: PathBuf,
    /// The derived export.
    pub export: PathBuf,
    /// The vote log.
    pub votes: PathBuf,
    /// The genesis file of the network.
    pub network: PathBuf,
    directory: PathBuf,
    id: NetworkId,
}

impl Files {
    /// The files of the validator `id` in a directory.
    #[must_use]
    pub fn new(directory: &Path, id: &NetworkId) -> Self {
        let file = |name: String| directory.join(name);
        Self {
            key: file(format!("validator_{id}.key")),
            store: file(format!("enterprise_{id}.redb")),
            head: file(format!("enterprise_{id}.head")),
            export: file(format!("enterprise_blockchain_{id}.json")),
            votes: file(format!("enterprise_{id}.votes")),
            network: file(FILE_NAME.into()),
            directory: directory.to_owned(),
            id: id.clone(),
        }
    }

    /// The command that rebuilds the store from the export.
    fn rebuild(&self) -> String {
        let (directory, export) = (self.directory.display(), self.export.display());
        format!(
            "validator --data {directory} --id {} import {export}",
            self.id
        )
    }
}

/// Why a validator does not start; the text says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A file or directory cannot be used.
    #[error("{}: {error}. Check that the directory exists, has space, and belongs to this user", path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The key file is not a key.
    #[error("{}: {reason}. Restore the file from a backup: the store beside it belongs to that key", path.display())]
    Key {
        /// The path.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Others can read the key.
    #[error("{}: other users may read this secret (mode {mode:o}). Run: chmod 600 {}", path.display(), path.display())]
    KeyExposed {
        /// The path.
        path: PathBuf,
        /// The permission bits.
        mode: u32,
    },
    /// The key is gone while the store is there.
    #[error("{} is missing, but {} is there and belongs to that key. Restore the key file from a backup, or move \
             the store away to begin a new chain", key.display(), store.display())]
    KeyMissing {
        /// The missing key.
        key: PathBuf,
        /// The store.
        store: PathBuf,
    },
    /// The key is not in the chain's validator set.
    #[error("{}: this key is not a validator of the chain in {}. Restore the right key file, or move the store away \
             to begin a new chain", key.display(), store.display())]
    OtherKey {
        /// The key.
        key: PathBuf,
        /// The store.
        store: PathBuf,
    },
    /// The store holds another chain than the one asked for.
    #[error("{} holds the enterprise chain {found}, not {expected}. Start with the data directory of that chain, or \
             without --enterprise-genesis", store.display())]
    OtherChain {
        /// The store.
        store: PathBuf,
        /// The chain in it.
        found: String,
        /// The chain asked for.
        expected: String,
    },
    /// The store is gone while its head file is there.
    #[error("{} is missing, but {} says that it held {height} blocks. Restore it from a backup, or rebuild it: \
             {rebuild}. To begin a new chain, move {} away as well", store.display(), head.display(), head.display())]
    StoreMissing {
        /// The missing store.
        store: PathBuf,
        /// The head file.
        head: PathBuf,
        /// The command that rebuilds it.
        rebuild: String,
        /// The height the head file names.
        height: EnterpriseHeight,
    },
    /// The store is damaged.
    #[error("{} is damaged: {reason}. Not started. Keep a copy of the directory; then restore the file from a \
             backup, or move it away and rebuild it: {rebuild}", store.display())]
    Damaged {
        /// The store.
        store: PathBuf,
        /// The command that rebuilds it.
        rebuild: String,
        /// What is wrong.
        reason: String,
    },
    /// Another process uses the store.
    #[error("{} is in use by another process. End that validator, or choose another --data or --id", store.display())]
    InUse {
        /// The store.
        store: PathBuf,
    },
    /// The genesis cannot be made.
    #[error("the enterprise genesis: {0}")]
    Genesis(#[from] EnterpriseError),
}

/// A chain that was opened and verified.
#[derive(Debug)]
pub struct Opened {
    /// Its state at the tip.
    pub ledger: Ledger,
    /// The store.
    pub store: Store,
    /// This validator's key.
    pub secret: Secret,
    /// Who proposes when, as the blocks in the store lead to.
    pub rotation: Rotation,
    /// The vote log, if it is whole.
    pub log: Option<VoteLog>,
    /// What it holds.
    pub votes: Found,
}

/// A validator's secret key.
#[derive(Clone)]
pub struct Secret([u8; 32]);

impl std::fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Secret")
    }
}

impl Secret {
    /// What signs with it.
    #[must_use]
    pub fn identity(&self) -> Identity {
        Identity::from_seed(self.0)
    }

    /// The bytes.
    #[must_use]
    pub const fn seed(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Opens the chain in a directory, or begins one, and verifies it from the genesis to the tip.
///
/// # Errors
/// [`StartError`] with the remedy.
pub fn open(
    files: &Files,
    id: &NetworkId,
    expected: Option<shared::hash::Hash>,
    network: Option<&EnterpriseGenesis>,
) -> Result<Opened, StartError> {
    let io_error = |path: &Path| {
        let path = path.to_owned();
        move |error| StartError::Io { path, error }
    };
    std::fs::create_dir_all(&files.directory).map_err(io_error(&files.directory))?;
    let head = HeadFile::read(&files.head).unwrap_or_else(|error| {
        tracing::warn!(file = %files.head.display(), %error, "the head file is not used");
        None
    });
    let exists = files.store.try_exists().map_err(io_error(&files.store))?;
    if let Some(head) = head
        && !exists
    {
        return Err(StartError::StoreMissing {
            store: files.store.clone(),
            head: files.head.clone(),
            rebuild: files.rebuild(),
            height: head.height,
        });
    }
    let secret = key(files, exists)?;
    let identity = secret.identity();
    if !exists {
        begin(files, id, &identity, network)?;
    }
    let (store, ledger, rotation) = verified(files, head)?;
    let found = store.genesis().hash();
    if let Some(expected) = expected.or_else(|| network.map(EnterpriseGenesis::hash))
        && expected != found
    {
        let (found, expected) = (found.to_string(), expected.to_string());
        return Err(StartError::OtherChain {
            store: files.store.clone(),
            found,
            expected,
        });
    }
    let is_member = |set: &ValidatorSet| set.index_of(&identity.public_key()).is_some();
    // A member of a network may follow before it is in the set, and after it was.
    if network.is_none() && !is_member(ledger.verifier().validators()) {
        let (key, store) = (files.key.clone(), files.store.clone());
        return Err(StartError::OtherKey { key, store });
    }
    let (log, votes) =
        VoteLog::open(&files.votes, ChainId(found)).map_err(io_error(&files.votes))?;
    Ok(Opened {
        ledger,
        store,
        secret,
        rotation,
        log,
        votes,
    })
}

/// Opens the store and verifies every block in it, and the snapshot if it begins with one.
///
/// # Errors
/// [`StartError::Damaged`], [`StartError::InUse`] or [`StartError::Io`].
pub fn verified(
    files: &Files,
    head: Option<Head>,
) -> Result<(Store, Ledger, Rotation), StartError> {
    let store = Store::open(&files.store).map_err(|error| refused(files, error))?;
    let base = store.base().map_err(|error| refused(files, error))?;
    let began = begun(&store, store.genesis());
    let (mut ledger, mut rotation) = began.map_err(|reason| damaged(files, reason))?;
    let tip = store.tip().map_err(|error| refused(files, error))?;
    let height = tip.map_or(EnterpriseHeight(0), |tip| tip.height);
    let damaged = |reason: String| damaged(files, reason);
    let count = store.block_count().map_err(|error| refused(files, error))?;
    let base = base.map_or(0, |base| base.height.0);
    if count.checked_add(base) != Some(height.0) {
        return Err(damaged(format!(
            "it holds {count} blocks above block {base}, its tip says {height}"
        )));
    }
    if let Some(head) = head
        && (head.height > height || (head.height == height && tip != Some(head)))
    {
        let reason = format!(
            "it ends at block {height}, but block {} was decided",
            head.height
        );
        return Err(damaged(reason));
    }
    for height in base.saturating_add(1)..=height.0 {
        replay(&store, &mut ledger, &mut rotation, EnterpriseHeight(height))
            .map_err(|reason| damaged(format!("block {height}: {reason}")))?;
    }
    if let Some(tip) = tip
        && tip.hash != ledger.verifier().hash()
    {
        return Err(damaged(format!(
            "its tip says {}, block {height} is another",
            tip.hash
        )));
    }
    replay_held(&store, &mut ledger, TimestampMs(service::now_ms()))
        .map_err(|error| refused(files, error))?;
    Ok((store, ledger, rotation))
}

/// The ledger that a store begins with: that of its snapshot, or an empty one.
///
/// # Errors
/// Says what is wrong with the snapshot.
pub fn begun(
    store: &impl Storage,
    genesis: &EnterpriseGenesis,
) -> Result<(Ledger, Rotation), String> {
    let text = |error: StoreError| error.to_string();
    let stored = store.history_chunks().map_err(text)?;
    let Some(base) = store.base().map_err(text)? else {
        let mut ledger = Ledger::new(genesis.clone());
        ledger.history_is_stored(stored);
        return Ok((ledger, Rotation::default()));
    };
    let failed = |reason: String| format!("the snapshot at block {}: {reason}", base.height);
    let proofs = store.snapshots().map_err(text)?;
    let mut proofs = proofs.into_iter();
    let proof = proofs.find(|proof| proof.manifest.height == base.height);
    let proof = proof.ok_or_else(|| failed("it is missing".into()))?;
    let mut bytes = Vec::new();
    for (index, hash) in (0..).zip(&proof.manifest.chunks) {
        let chunk = store.chunk(ChunkKey::of(&proof, index)).map_err(text)?;
        let chunk = chunk.filter(|chunk| sha256(&[chunk]) == *hash);
        bytes.extend(chunk.ok_or_else(|| failed(format!("chunk {index} is not intact")))?);
    }
    let restored = Ledger::restore(genesis, &proof, &bytes, Signatures::Verified);
    let mut restored = restored.map_err(|error| failed(error.to_string()))?;
    restored.ledger.history_is_stored(stored);
    Ok((restored.ledger, restored.rotation))
}

fn replay(
    store: &Store,
    ledger: &mut Ledger,
    rotation: &mut Rotation,
    height: EnterpriseHeight,
) -> Result<(), String> {
    let (block, _) = store.block(height).map_err(|error| error.to_string())?;
    for key in anchored(&block) {
        if store.anchor(&key).map_err(|error| error.to_string())? != Some(height) {
            return Err(format!(
                "the index does not name it for tenant block {}",
                key.1
            ));
        }
    }
    replay_block(store, ledger, rotation, height)
}

/// Takes a decided block from a store again.
///
/// # Errors
/// Says what is wrong with it.
pub fn replay_block(
    store: &impl Storage,
    ledger: &mut Ledger,
    rotation: &mut Rotation,
    height: EnterpriseHeight,
) -> Result<(), String> {
    let (block, certificate) = store.block(height).map_err(|error| error.to_string())?;
    let bodies = bodies(store, &block)?;
    rotation.advance(ledger.verifier().validators(), block.header());
    let replayed = ledger.replay(block, certificate, bodies, Signatures::Verified);
    replayed.map(drop).map_err(|error| error.to_string())
}

/// The bodies of the tenant blocks that a block anchors, in order.
///
/// # Errors
/// Says which one is missing or not intact.
pub fn bodies(store: &impl Storage, block: &EnterpriseBlock) -> Result<Vec<UncheckedBody>, String> {
    let mut bodies = Vec::new();
    for key in anchored(block) {
        let bytes = store.body(&key).map_err(|error| error.to_string())?;
        let bytes =
            bytes.ok_or_else(|| format!("tenant block {} of chain {} is missing", key.1, key.0))?;
        let body = UncheckedBody::decode(&bytes);
        bodies.push(body.map_err(|error| format!("tenant block {}: {error}", key.1))?);
    }
    Ok(bodies)
}

/// Takes what was accepted and not decided from a store again.
///
/// # Errors
/// [`StoreError`] when the store cannot be read.
pub fn replay_held(
    store: &impl Storage,
    ledger: &mut Ledger,
    now: TimestampMs,
) -> Result<(), StoreError> {
    for bytes in store.registrations()? {
        let genesis = Genesis::decode(&bytes);
        let genesis = genesis.map_err(|error| {
            StoreError::Damaged(format!("a genesis that waits to be decided: {error}"))
        })?;
        ledger.replay_registration(genesis);
    }
    for ((chain_id, hash), arrival) in store.held()? {
        let body = store
            .body(&(chain_id, hash))?
            .and_then(|bytes| UncheckedBody::decode(&bytes).ok());
        if let Some(body) = body {
            ledger.replay_held(now, chain_id, arrival, body);
        }
    }
    for bytes in store.resets()? {
        let reset = Reset::decode(&bytes).map_err(|error| {
            StoreError::Damaged(format!("a reset that waits to be executed: {error}"))
        })?;
        ledger.replay_reset(reset);
    }
    Ok(())
}

fn begin(
    files: &Files,
    id: &NetworkId,
    identity: &Identity,
    network: Option<&EnterpriseGenesis>,
) -> Result<(), StartError> {
    if let Some(genesis) = network {
        Store::create(&files.store, genesis).map_err(|error| refused(files, error))?;
        tracing::info!(chain = %genesis.hash(), store = %files.store.display(), "an empty store for the network");
        return Ok(());
    }
    let validator = ValidatorInfo {
        key: identity.public_key(),
        name: id.clone(),
    };
    let set = ValidatorSet::new(vec![validator])?;
    let genesis = EnterpriseGenesis::new(id.clone(), TimestampMs(service::now_ms()), set);
    Store::create(&files.store, &genesis).map_err(|error| refused(files, error))?;
    tracing::info!(chain = %genesis.hash(), store = %files.store.display(), "a new enterprise chain");
    Ok(())
}

/// Reads the key, or makes one when there is no store that needs another.
pub(crate) fn key(files: &Files, store_exists: bool) -> Result<Secret, StartError> {
    let path = &files.key;
    let io_error = |error| StartError::Io {
        path: path.clone(),
        error,
    };
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound && store_exists => {
            return Err(StartError::KeyMissing {
                key: path.clone(),
                store: files.store.clone(),
            });
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return make_key(path).map_err(io_error);
        }
        Err(error) => return Err(io_error(error)),
    };
    refuse_exposed(path)?;
    let mut seed = [0; 32];
    hex::decode_to_slice(text.trim_end(), &mut seed).map_err(|_| StartError::Key {
        path: path.clone(),
        reason: "it does not hold 64 hexadecimal digits".into(),
    })?;
    Ok(Secret(seed))
}

/// Makes a key file that only its user may read.
pub(crate) fn make_key(path: &Path) -> io::Result<Secret> {
    use std::io::Write as _;
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| io::Error::other(error.to_string()))?;
    let unfinished = path.with_extension("key.unfinished");
    match std::fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&unfinished)?;
    writeln!(file, "{}", hex::encode(seed))?;
    file.sync_all()?;
    std::fs::rename(&unfinished, path)?;
    if let Some(directory) = path.parent() {
        std::fs::File::open(directory)?.sync_all()?;
    }
    Ok(Secret(seed))
}

#[cfg(unix)]
fn refuse_exposed(path: &Path) -> Result<(), StartError> {
    use std::os::unix::fs::PermissionsExt as _;
    let metadata = std::fs::metadata(path);
    let metadata = metadata.map_err(|error| StartError::Io {
        path: path.to_owned(),
        error,
    })?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 == 0 {
        Ok(())
    } else {
        Err(StartError::KeyExposed {
            path: path.to_owned(),
            mode,
        })
    }
}

#[cfg(not(unix))]
fn refuse_exposed(_path: &Path) -> Result<(), StartError> {
    Ok(())
}

fn refused(files: &Files, error: StoreError) -> StartError {
    match error {
        StoreError::Damaged(reason) => damaged(files, reason),
        StoreError::InUse => StartError::InUse {
            store: files.store.clone(),
        },
        StoreError::Io(reason) => StartError::Io {
            path: files.store.clone(),
            error: io::Error::other(reason),
        },
    }
}

fn damaged(files: &Files, reason: String) -> StartError {
    StartError::Damaged {
        store: files.store.clone(),
        rebuild: files.rebuild(),
        reason,
    }
}
