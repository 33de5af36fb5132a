//! `enterprise_blockchain_{id}.json`: the whole chain in one file that proves itself, derived from the store.
//!
//! The file is written beside and renamed, so that it is whole at any time; it lags behind the store by
//! [`PAUSE_MS`] at least, and longer when writing takes long. Importing it rebuilds an empty store after every block,
//! certificate, body and signature in it was verified.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use api::EnterpriseBlock as BlockShape;
use serde::{Deserialize, Serialize};
use shared::enterprise::{Certificate, EnterpriseBlock, EnterpriseGenesis, EnterpriseHeight};

use crate::body::UncheckedBody;
use crate::http::{App, block_shape};
use crate::ledger::{Ledger, Signatures};
use crate::start::bodies;
use crate::store::{Batch, Head, HeadFile, Store, StoreError, anchored};
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
}

/// Keeps the file up with the chain until the validator ends, and writes it a last time then.
pub async fn keep(app: Arc<App>, path: PathBuf) {
    let (mut pictures, mut ending) = (app.handle.watch(), app.ending.clone());
    let mut written = None;
    loop {
        let view = Arc::clone(&pictures.borrow_and_update());
        let ended = *ending.borrow();
        let mut pause_ms = PAUSE_MS;
        if written != Some(view.head) {
            let started = service::now_ms();
            written = write_head(&app, view, &path).await.or(written);
            let took = service::now_ms().saturating_sub(started);
            pause_ms = pause_ms.max(took.saturating_mul(PAUSE_FACTOR));
        }
        if ended {
            return;
        }
        let rest = async {
            tokio::time::sleep(Duration::from_millis(pause_ms)).await;
            pictures.changed().await
        };
        tokio::select! {
            changed = rest => if changed.is_err() { return },
            _ = ending.wait_for(|ending| *ending) => {}
        }
    }
}

/// Writes the file off the async threads; answers the head it shows, if that worked.
async fn write_head(app: &Arc<App>, view: Arc<View>, path: &Path) -> Option<Head> {
    let (app, path, head) = (Arc::clone(app), path.to_owned(), view.head);
    let written = tokio::task::spawn_blocking(move || write(&app, &view, &path)).await;
    match written.unwrap_or_else(|error| Err(io::Error::other(error))) {
        Ok(()) => Some(head),
        Err(error) => {
            tracing::warn!(%error, "the export was not written");
            None
        }
    }
}

/// Writes the file for a picture of the chain.
///
/// # Errors
/// When the store cannot be read or the file not be written; the old file is then untouched.
pub fn write(app: &App, view: &View, path: &Path) -> io::Result<()> {
    let unfinished = path.with_extension("json.unfinished");
    let mut file = BufWriter::new(File::create(&unfinished)?);
    let now = service::now_ms();
    write!(file, "{{\"chain\":[")?;
    let lowest = view.lowest.0;
    for height in lowest..=view.head.height.0 {
        if height > lowest {
            file.write_all(b",\n")?;
        }
        serde_json::to_writer(&mut file, &exported(app, view, EnterpriseHeight(height))?)?;
    }
    let rest = serde_json::json!({
        "pending_tenant_updates": [],
        "validator_id": app.id.as_str(),
        "active_validators": crate::http::active_validators(view),
        "last_validator_heartbeat": now,
        "exported_at": now,
        "export_version": "2.0",
        "enterprise_chain_id": app.genesis.hash().to_string(),
        "genesis": hex::encode(app.genesis.encode()),
        "height": view.head.height.0,
        "lowest_height": lowest,
        "latest_hash": view.head.hash.to_string(),
    });
    let rest = rest.to_string();
    write!(file, "],{}", rest.trim_start_matches('{'))?;
    let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.sync_all()?;
    std::fs::rename(&unfinished, path)
}

fn exported(app: &App, view: &View, height: EnterpriseHeight) -> io::Result<ExportedBlock> {
    let shown = block_shape(app, view, height).map_err(io::Error::other)?;
    let (block, _) = app.store.block(height).map_err(io::Error::other)?;
    let bodies = bodies(app.store.as_ref(), &block).map_err(io::Error::other)?;
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
    let imported = fill(&unverified, &genesis, &exported.chain);
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
    chain: &[ExportedBlock],
) -> Result<(u64, Option<Head>), ImportError> {
    let store = Store::open(path)?;
    let mut ledger = Ledger::new(genesis.clone());
    for exported in chain {
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
    Ok((ledger.verifier().height().0, store.tip()?))
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
