//! The command `distli`: runs the whole stack on one machine.
//!
//! It only reads the command line; `dev` starts and ends the services.

mod dev;

use clap::{Parser, Subcommand};
use std::io::Write as _;
use std::process::ExitCode;

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
async fn main() -> ExitCode {
    let Arguments { command } = Arguments::parse();
    let result = match command {
        Command::Dev(config) => dev::run(config, service::shutdown_signal()).await,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell when standard error is closed.
            let _ = writeln!(std::io::stderr(), "\ndistli: {error:#}");
            ExitCode::FAILURE
        }
    }
}
