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
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Arguments { config } = Arguments::parse();
    service::init_tracing(config.log_json);
    let listener = service::bind(config.bind, config.port, "dashboard", "--port").await?;
    dashboard::run(listener, config, service::shutdown_signal()).await?;
    Ok(())
}
