//! The dashboard as a program of its own: reads its configuration, takes its port, runs until it is told to stop.

use clap::Parser;

#[derive(Debug, Parser)]
#[command(
    name = "dashboard",
    version,
    about = "Shows the enterprise chain, its tenants and the tracker live"
)]
struct Arguments {
    #[command(flatten)]
    config: dashboard::Config,
    /// Write the log as JSON lines
    #[arg(long, env = "DISTLI_LOG_JSON")]
    log_json: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Arguments { config, log_json } = Arguments::parse();
    service::init_tracing(log_json);
    let listener = service::bind(config.bind, config.port, "dashboard", "--port").await?;
    dashboard::run(listener, config, service::shutdown_signal()).await?;
    Ok(())
}
