//! The validator as a program of its own: reads its configuration, takes its port, runs until it is told to stop.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use validator::start::Files;

#[derive(Debug, Parser)]
#[command(
    name = "validator",
    version,
    about = "Keeps the enterprise chain that anchors every tenant"
)]
struct Arguments {
    #[command(flatten)]
    config: validator::Config,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Rebuilds the store from an export, verifying every block, certificate and signature in it
    Import {
        /// The file, usually `enterprise_blockchain_{id}.json`
        file: PathBuf,
    },
    /// Verifies the whole chain in the store and says where it ends
    Verify,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Arguments { config, command } = Arguments::parse();
    service::init_tracing(config.log_json);
    let files = Files::new(&config.data, &config.id);
    match command {
        Some(Command::Import { file }) => {
            let height = validator::export::import(&file, &files.store, &files.head)?;
            tracing::info!(height, store = %files.store.display(), "imported and verified");
        }
        Some(Command::Verify) => {
            let head = validator::store::HeadFile::read(&files.head)?;
            let (_, ledger, _) = validator::start::verified(&files, head)?;
            let verifier = ledger.verifier();
            tracing::info!(height = verifier.height().0, hash = %verifier.hash(), "the chain verifies");
        }
        None => {
            let listener = service::bind(config.bind, config.port, "validator", "--port").await?;
            validator::run(listener, config, service::shutdown_signal()).await?;
        }
    }
    Ok(())
}
