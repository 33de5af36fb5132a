//! The tracker's program: reads the configuration, takes the port, runs.

use anyhow::Context;
use clap::Parser;

/// Lets the browsers of a tenant find each other, checks and forwards tenant updates.
#[derive(Parser, Debug)]
#[command(name = "tracker", version)]
struct Arguments {
    #[command(flatten)]
    config: tracker::Config,
    /// Write the log as JSON lines
    #[arg(long, env = "DISTLI_LOG_JSON")]
    log_json: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    service::init_tracing(arguments.log_json);
    let config = arguments.config;
    let listener = service::bind(config.bind, config.port, "tracker", "--port").await?;
    let (stop, hurry) = (service::shutdown_signal(), service::shutdown_signal());
    // As a task, the accept loop runs beside the connections, not on a thread that is woken for each.
    let running = tokio::spawn(tracker::run_with(listener, config, stop, hurry));
    running.await?.context("the tracker ended")
}
