//! The command `distli`: runs the whole stack on one machine.
//!
//! It only reads the command line; `dev` starts and ends the services.

mod dev;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "distli", version, about = "Runs Distli Mesh on one machine")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Starts tracker, validator and dashboard in this process, until Ctrl-C
    Dev(dev::Config),
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Arguments { command } = Arguments::parse();
    match command {
        Command::Dev(config) => dev::run(config, service::shutdown_signal()).await,
    }
}
