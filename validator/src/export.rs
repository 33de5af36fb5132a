//! `enterprise_blockchain_{id}.json`: the whole chain in one file that proves itself, with what waits for a block.
//!
//! A running validator keeps the file up ([`keep`]): written beside and renamed, so that it is whole at any time; it lags
//! behind the store by [`PAUSE_MS`] at least, and longer when writing takes long. `validator export` writes one over a store
//! that no validator uses ([`export`]). Importing it rebuilds an empty store after every block, certificate, body and
//! signature in it was verified; what waits is checked as when it came, and waits again.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use api::{BlockchainUpdate, EnterpriseBlock as BlockShape, ReportedBlock, TenantBlock};
use serde::{Deserialize, Serialize};
use service::Stopwatch;
use shared::enterprise::{
    Certificate, EnterpriseBlock, EnterpriseGenesis, EnterpriseHeight, Reset,
};
use shared::genesis::Genesis;
use shared::ids::{ChainId, NetworkId, TimestampMs};

use crate::body::{Body, UncheckedBody};
use crate::http::{App, block_shape, submission};
use crate::ledger::{Ledger, Refusal, Signatures, Submission};
use crate::start::{self, Files, StartError, bodies};
use crate::store::{Batch, Head, HeadFile, Store, StoreError, Waiting, anchored};
use crate::view::View;

/// The shortest time between two writes.
pub const PAUSE_MS: u64 = 3_000;
/// Writing takes at most one part in this many of the time.
const PAUSE_FACTOR: u64 = 100;

/// A block of the file: as the API shows it, and the bytes that prove it.
#[derive(Debug, Serialize, Deserialize)]
struct ExportedBlock {
    #[serde(flatten)]
    shown: BlockShape,
    /// The enterprise block, hex.
    block: String,
    /// The bodies of the tenant blocks it anchors, in order, hex; of private tenants' blocks the reports with sealed bodies.
    bodies: Vec<String>,
}

/// What an import reads of the file.
#[derive(Debug, Deserialize)]
struct Exported {
    genesis: String,
    /// Absent in files that begin with the first block.
    #[serde(default)]
    lowest_height: u64,
    chain: Vec<ExportedBlock>,
    /// The updates that wait, in the order in which they came, each as a tenant reports it.
    #[serde(default)]
    pending_tenant_updates: Vec<serde_json::Value>,
    /// The resets that wait, hex. Absent in older files.
    #[serde(default)]
    pending_resets: Vec<String>,
}

/// What a file shows: rewriting it is for naught while it is the same.
type Shown = (Head, Waiting);

/// Keeps the file up with the chain until the validator ends, and writes it a last time then.
pub async fn keep(app: Arc<App>, path: PathBuf) {
    let (pictures, mut ending) = (app.handle.watch(), app.ending.clone());
    let mut shown = None;
    loop {
        let ended = *ending.borrow();
        let started = service::now_ms();
        shown = write_off_thread(&app, &path, shown).await;
        let took = service::now_ms().saturating_sub(started);
        if ended || pictures.has_changed().is_err() {
            return;
        }
        let pause_ms = PAUSE_MS.max(took.saturating_mul(PAUSE_FACTOR));
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(pause_ms)) => {}
            _ = ending.wait_for(|ending| *ending) => {}
        }
    }
}

/// Writes the file off the async threads, if it would show something new; answers what it shows.
async fn write_off_thread(app: &Arc<App>, path: &Path, shown: Option<Shown>) -> Option<Shown> {
    let (app, path, before) = (Arc::clone(app), path.to_owned(), shown.clone());
    let written = tokio::task::spawn_blocking(move || write_news(&app, &path, before)).await;
    match written.unwrap_or_else(|error| Err(io::Error::other(error))) {
        Ok(now) => now,
        Err(error) => {
            tracing::warn!(%error, "the export was not written");
            shown
        }
    }
}

fn write_news(app: &App, path: &Path, shown: Option<Shown>) -> io::Result<Option<Shown>> {
    let view = app.handle.view();
    let waiting = app.store.waiting().map_err(io::Error::other)?;
    let now = Some((view.head, waiting.clone()));
    if now == shown {
        return Ok(shown);
    }
    let source = Source {
        store: &app.store,
        view: &view,
        id: &app.id,
        waiting,
    };
    replace(path, |file| source.write(file, |_| {}))?;
    Ok(now)
}

/// Why there is no export; a file that was there before is untouched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// A running validator has the store.
    #[error(
        "{} is in use by another process. A running validator keeps {} itself, some seconds behind: end it to export, or export a backup of it",
        store.display(), export.display()
    )]
    InUse {
        /// The store.
        store: PathBuf,
        /// The file that the running validator keeps.
        export: PathBuf,
    },
    /// The store does not verify.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The store cannot be read, or the file not be written.
    #[error("the export was not written: {0}")]
    Io(#[from] io::Error),
}

/// Verifies the chain in a store that no validator uses and writes it to a file, or to standard output; answers its height.
///
/// # Errors
/// [`ExportError`].
pub fn export(files: &Files, id: &NetworkId, to: Option<&Path>) -> Result<u64, ExportError> {
    let head = HeadFile::read(&files.head)?;
    let (store, ledger, _) = start::verified(files, head).map_err(|error| {
        if let StartError::InUse { store } = error {
            let export = files.export.clone();
            ExportError::InUse { store, export }
        } else {
            error.into()
        }
    })?;
    let view = View::new(&ledger, Arc::default());
    let source = Source {
        store: &store,
        view: &view,
        id,
        waiting: store.waiting().map_err(io::Error::other)?,
    };
    let (watch, mut due) = (Stopwatch::start(), PROGRESS_SECONDS);
    let of = view.head.height.0;
    let progress = |height: u64| {
        if watch.seconds() >= due {
            due += PROGRESS_SECONDS;
            tracing::info!(height, of, "exporting");
        }
    };
    match to {
        Some(path) => replace(path, |file| source.write(file, progress))?,
        None => {
            let mut out = BufWriter::new(io::stdout().lock());
            source.write(&mut out, progress)?;
            out.flush()?;
        }
    }
    Ok(of)
}

/// How often an export that takes long says how far it is.
const PROGRESS_SECONDS: f64 = 1.0;

/// Puts a file in the place of another when it is whole.
fn replace(
    path: &Path,
    fill: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> io::Result<()> {
    let unfinished = path.with_extension("json.unfinished");
    let write = || {
        let mut file = BufWriter::new(File::create(&unfinished)?);
        fill(&mut file)?;
        let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        std::fs::rename(&unfinished, path)
    };
    write().inspect_err(|_| {
        // Half a file is of no use; it is replaced by the next one anyway.
        let _ = std::fs::remove_file(&unfinished);
    })
}

/// What a file is written from: a store, the picture of its chain, and what waited at its tip.
struct Source<'a> {
    store: &'a Store,
    view: &'a View,
    id: &'a NetworkId,
    waiting: Waiting,
}

impl Source<'_> {
    fn write(&self, file: &mut impl Write, mut progress: impl FnMut(u64)) -> io::Result<()> {
        let genesis = self.store.genesis();
        let (height, hash) = match self.waiting.tip {
            Some(tip) => (tip.height.0, tip.hash),
            None => (0, genesis.hash()),
        };
        let updates = self.updates()?;
        write!(file, "{{\"chain\":[")?;
        let lowest = self.view.lowest.0;
        for height in lowest..=height {
            if height > lowest {
                file.write_all(b",\n")?;
            }
            serde_json::to_writer(&mut *file, &self.block(EnterpriseHeight(height))?)?;
            progress(height);
        }
        let now = service::now_ms();
        let validators = self.view.sets.last().map(|(_, set)| set.validators());
        let validators = validators.unwrap_or_default().iter();
        let resets = self.waiting.resets.iter();
        let rest = serde_json::json!({
            "pending_tenant_updates": updates,
            "pending_resets": resets.map(hex::encode).collect::<Vec<_>>(),
            "validator_id": self.id.as_str(),
            "active_validators": validators.map(|info| info.name.as_str()).collect::<Vec<_>>(),
            "last_validator_heartbeat": now,
            "exported_at": now,
            "export_version": "2.0",
            "enterprise_chain_id": genesis.hash().to_string(),
            "genesis": hex::encode(genesis.encode()),
            "height": height,
            "lowest_height": lowest,
            "latest_hash": hash.to_string(),
        });
        let rest = rest.to_string();
        write!(file, "],{}", rest.trim_start_matches('{'))
    }

    fn block(&self, height: EnterpriseHeight) -> io::Result<ExportedBlock> {
        let shown = block_shape(self.store, self.view, height).map_err(io::Error::other)?;
        let (block, _) = self.store.block(height).map_err(io::Error::other)?;
        let bodies = bodies(self.store, &block).map_err(io::Error::other)?;
        let bodies = bodies
            .iter()
            .map(|body| hex::encode(body.encode()))
            .collect();
        Ok(ExportedBlock {
            shown,
            block: hex::encode(block.encode()),
            bodies,
        })
    }

    /// The updates that wait: blocks of one tenant that came one after the other are one update.
    fn updates(&self) -> io::Result<Vec<BlockchainUpdate>> {
        let mut geneses = BTreeMap::new();
        for bytes in &self.waiting.geneses {
            let genesis = Arc::new(Genesis::decode(bytes).map_err(io::Error::other)?);
            geneses.insert(genesis.chain_id(), genesis);
        }
        let tenants = self.view.tenants.values();
        geneses.extend(tenants.map(|tenant| (tenant.chain_id, Arc::clone(&tenant.genesis))));
        let mut updates: Vec<BlockchainUpdate> = Vec::new();
        for (key, _) in &self.waiting.held {
            let Some(bytes) = self.store.body(key).map_err(io::Error::other)? else {
                // Dropped meanwhile.
                continue;
            };
            let genesis = geneses.get(&key.0).ok_or_else(|| {
                let text = format!("the tenant {} is not seen yet", key.0);
                io::Error::other(text)
            })?;
            let body = UncheckedBody::decode(&bytes).map_err(io::Error::other)?;
            let body = body.check_archived(genesis).map_err(io::Error::other)?;
            let chain_id = Some(key.0.to_string());
            if updates.last().is_none_or(|last| last.chain_id != chain_id) {
                updates.push(self.update(key.0, genesis));
            }
            if let Some(update) = updates.last_mut() {
                update.timestamp = body.header().timestamp.0;
                match body {
                    Body::Whole(block) => update.new_blocks.push(TenantBlock::from(&block)),
                    Body::Sealed(block) => update.new_reports.push(ReportedBlock::from(&block)),
                }
            }
        }
        Ok(updates)
    }

    /// An update without blocks. Its label holds whatever other tenants are called.
    fn update(&self, chain_id: ChainId, genesis: &Genesis) -> BlockchainUpdate {
        let chain_id = chain_id.to_string();
        let prefix: String = chain_id.chars().take(8).collect();
        BlockchainUpdate {
            network_id: format!("{}~{prefix}", genesis.network_id),
            chain_id: Some(chain_id),
            genesis: Some(hex::encode(genesis.encode())),
            peer_id: self.id.to_string(),
            new_blocks: Vec::new(),
            new_reports: Vec::new(),
            timestamp: 0,
        }
    }
}

/// Why an import stops; nothing is left of it then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The file cannot be read.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The file is not an export of this version.
    #[error("not an export of version 2.0: {0}")]
    Format(String),
    /// A block does not verify.
    #[error("block {height}: {reason}")]
    Block {
        /// The block's height.
        height: u64,
        /// Why.
        reason: String,
    },
    /// Something that waits for a block is not what a validator would have taken.
    #[error("{list}[{index}]: {reason}")]
    Waiting {
        /// The list in the file.
        list: &'static str,
        /// The place in it, from 0.
        index: usize,
        /// Why.
        reason: String,
    },
    /// The file is of a validator that began with a snapshot.
    #[error(
        "the file begins at block {lowest}: its validator began with a snapshot. Import the export of one that began with the genesis, or let this validator fetch a snapshot from the others"
    )]
    Pruned {
        /// The lowest block in it.
        lowest: u64,
    },
    /// There is a store already.
    #[error("{0} exists; an import needs an empty place")]
    Exists(String),
    /// The store cannot be written.
    #[error("{0}")]
    Store(#[from] StoreError),
}

/// Rebuilds a store from a file, verifying everything; answers the height reached.
///
/// # Errors
/// [`ImportError`]; the store then does not exist.
pub fn import(file: &Path, store_path: &Path, head_path: &Path) -> Result<u64, ImportError> {
    if store_path.exists() {
        return Err(ImportError::Exists(store_path.display().to_string()));
    }
    let text = std::fs::read(file)?;
    let exported: Exported =
        serde_json::from_slice(&text).map_err(|error| ImportError::Format(error.to_string()))?;
    if exported.lowest_height > 1 {
        return Err(ImportError::Pruned {
            lowest: exported.lowest_height,
        });
    }
    let genesis =
        hex::decode(&exported.genesis).map_err(|error| ImportError::Format(error.to_string()))?;
    let genesis = EnterpriseGenesis::decode(&genesis)
        .map_err(|error| ImportError::Format(format!("genesis: {error}")))?;
    let unverified = store_path.with_extension("redb.import");
    if unverified.exists() {
        std::fs::remove_file(&unverified)?;
    }
    Store::create(&unverified, &genesis)?;
    let imported = fill(&unverified, &genesis, &exported);
    match imported {
        Ok((height, head)) => {
            std::fs::rename(&unverified, store_path)?;
            if let Some(before) = HeadFile::read(head_path)?
                && before.height.0 > height
            {
                tracing::warn!(
                    height,
                    decided = before.height.0,
                    "the file ends below the newest decided block: the blocks between are lost here, and tenants must report theirs again"
                );
            }
            if let Some(head) = head {
                HeadFile::new(head_path.to_owned()).write(head)?;
            }
            Ok(height)
        }
        Err(error) => {
            std::fs::remove_file(&unverified)?;
            Err(error)
        }
    }
}

fn fill(
    path: &Path,
    genesis: &EnterpriseGenesis,
    file: &Exported,
) -> Result<(u64, Option<Head>), ImportError> {
    let store = Store::open(path)?;
    let mut ledger = Ledger::new(genesis.clone());
    for exported in &file.chain {
        let height = ledger.verifier().height().next().0;
        let failed = |reason: String| ImportError::Block { height, reason };
        let (block, certificate, bodies) = parse(genesis, exported).map_err(failed)?;
        let keys: Vec<_> = anchored(&block).collect();
        let stored = keys
            .into_iter()
            .zip(bodies.iter().map(UncheckedBody::encode))
            .collect();
        let decided = ledger
            .replay(block, certificate, bodies, Signatures::Verify)
            .map_err(|error| failed(error.to_string()))?;
        store.commit(&[Batch {
            decided: Some(decided),
            bodies: stored,
            ..Batch::default()
        }])?;
    }
    // What a start would write besides is found again at the start.
    drop(ledger.take_batch());
    hold_updates(&mut ledger, &file.pending_tenant_updates)?;
    hold_resets(&mut ledger, &file.pending_resets)?;
    store.commit(&[ledger.take_batch()])?;
    Ok((ledger.verifier().height().0, store.tip()?))
}

/// Takes the waiting updates as when they came. What the chain in the file has left behind meanwhile is let go, as at a start.
fn hold_updates(ledger: &mut Ledger, updates: &[serde_json::Value]) -> Result<(), ImportError> {
    let view = View::new(ledger, Arc::default());
    let now = TimestampMs(service::now_ms());
    for (index, update) in updates.iter().enumerate() {
        let failed = |reason: String| ImportError::Waiting {
            list: "pending_tenant_updates",
            index,
            reason,
        };
        let update = BlockchainUpdate::deserialize(update);
        let update = update.map_err(|error| failed(format!("not an update: {error}")))?;
        let checked = submission(&view, &update).map_err(|problem| failed(problem.detail))?;
        let Submission {
            genesis,
            chain_id,
            blocks,
        } = checked;
        for block in blocks {
            let one = Submission {
                genesis: Arc::clone(&genesis),
                chain_id,
                blocks: vec![block],
            };
            match ledger.accept(now, one) {
                Ok(_) => {}
                Err(
                    refusal @ (Refusal::Void { .. }
                    | Refusal::LeavesFinal { .. }
                    | Refusal::UnknownParent { .. }),
                ) => {
                    tracing::warn!(index, network = update.network_id, %refusal, "an update that waited fits the chain no longer");
                }
                Err(refusal) => return Err(failed(refusal.to_string())),
            }
        }
    }
    Ok(())
}

/// Takes the waiting resets as from another validator; one whose turn is over is let go.
fn hold_resets(ledger: &mut Ledger, resets: &[String]) -> Result<(), ImportError> {
    for (index, text) in resets.iter().enumerate() {
        let failed = |reason: String| ImportError::Waiting {
            list: "pending_resets",
            index,
            reason,
        };
        let bytes = hex::decode(text).map_err(|error| failed(error.to_string()))?;
        let reset = Reset::decode(&bytes).map_err(|error| failed(error.to_string()))?;
        if reset.number > ledger.state().resets(&reset.chain_id) {
            let taken = ledger.accept_reset_of_validator(reset);
            taken.map_err(|refusal| failed(refusal.to_string()))?;
        }
    }
    Ok(())
}

fn parse(
    genesis: &EnterpriseGenesis,
    exported: &ExportedBlock,
) -> Result<(EnterpriseBlock, Certificate, Vec<UncheckedBody>), String> {
    let bytes = |text: &str| hex::decode(text).map_err(|error| error.to_string());
    let block = EnterpriseBlock::decode(&bytes(&exported.block)?, genesis.blocks());
    let block = block.map_err(|error| error.to_string())?;
    let certificate = exported
        .shown
        .certificate
        .as_deref()
        .ok_or("it has no certificate")?;
    let certificate =
        Certificate::decode(&bytes(certificate)?).map_err(|error| error.to_string())?;
    let body =
        |text: &String| UncheckedBody::decode(&bytes(text)?).map_err(|error| error.to_string());
    let bodies = exported.bodies.iter().map(body).collect::<Result<_, _>>()?;
    Ok((block, certificate, bodies))
}
