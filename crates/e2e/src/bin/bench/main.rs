//! The figures: `bench core`, `bench reads`, `bench validators`, `bench tracker` and `bench web` print one line each, `figure <name> <value> <unit>`.
//!
//! Every figure is measured at the moment of printing, by real programs; ratios come from one run on one core.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "printing figures is what this program is for"
)]
#![expect(clippy::disallowed_methods, reason = "a driver: it measures time")]

mod connection;
mod mesh;
mod native;
mod proxy;
mod reads;
mod tenant;
mod tracker;
mod validators;
mod web;
mod workers;

use anyhow::{Context as _, Result};
use clap::Parser;
use std::path::PathBuf;

/// Measures and prints figures.
#[derive(Debug, Parser)]
struct Arguments {
    /// Which figures.
    part: Part,
    /// Of `web`, which; all of them when none is named.
    only: Vec<web::Subject>,
    /// Of `validators`, how many there are
    #[arg(long, value_delimiter = ',', default_values_t = [1, 4, 7])]
    sizes: Vec<usize>,
    /// Of `validators`, updates a second while the time to a decision is measured
    #[arg(long, default_value_t = 1_530)]
    rate: u64,
    /// Of `tracker`, which figures; all when none is named
    #[arg(long, value_delimiter = ',')]
    figures: Vec<tracker::Subject>,
    /// Of `tracker`, the program to compare with
    #[arg(long, default_value = "target/peers/bin/matchbox_server")]
    matchbox: PathBuf,
    /// Of `socket`, where to listen
    #[arg(long, default_value_t = 0, hide = true)]
    port: u16,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Part {
    /// The chain's code on this processor.
    Core,
    /// Reads of the validator beside a bare axum route.
    Reads,
    /// The bare route itself.
    #[value(hide = true)]
    Bare,
    /// The bare WebSocket server.
    #[value(hide = true)]
    Socket,
    /// The product in Chromium, with tracker, validator and dashboard.
    Web,
    /// Sets of one, four and seven validators.
    Validators,
    /// The tracker beside another signalling server.
    Tracker,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    match arguments.part {
        Part::Core => native::run(),
        Part::Reads => reads::run().await,
        Part::Bare => reads::bare().await,
        Part::Socket => tracker::bare::serve(arguments.port).await,
        Part::Web => web::run(&arguments.only).await,
        Part::Validators => validators::run(&arguments.sizes, arguments.rate).await,
        Part::Tracker => {
            let (only, matchbox) = (arguments.figures, arguments.matchbox);
            let plan = tracker::Plan { only, matchbox };
            tokio::task::spawn_blocking(move || plan.run()).await?
        }
    }
}

/// Prints one figure.
fn figure(name: &str, value: f64, unit: &str) {
    println!("figure {name} {value:.3} {unit}");
}

/// Prints the median and the 99th percentile of at least 100 samples of milliseconds.
fn percentiles(name: &str, mut samples: Vec<f64>) -> Result<()> {
    anyhow::ensure!(
        samples.len() >= 100,
        "{name}: only {} samples",
        samples.len()
    );
    samples.sort_by(f64::total_cmp);
    for percent in [50, 99] {
        let index = (samples.len() * percent).div_ceil(100).saturating_sub(1);
        let value = samples.get(index).copied().unwrap_or(f64::NAN);
        figure(&format!("{name}_p{percent}_ms"), value, "ms");
    }
    Ok(())
}

/// Processor time of a process, user and system.
fn ticks(process: u32) -> Result<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    let (_, fields) = stat.rsplit_once(") ").context("no stat")?;
    let mut fields = fields.split(' ').skip(11);
    let (user, system) = (fields.next(), fields.next());
    Ok(user.context("no utime")?.parse::<u32>()? + system.context("no stime")?.parse::<u32>()?)
}

/// Ticks of processor time a second in `/proc`, the same on every Linux.
const TICKS_PER_S: u32 = 100;
