//! Flags and environment of the dashboard.

use std::net::{IpAddr, Ipv4Addr};

/// Where the dashboard listens and whom it follows.
#[derive(Debug, Clone, clap::Args)]
pub struct Config {
    /// The address to listen on; only this machine unless told otherwise
    #[arg(long, env = "DISTLI_DASHBOARD_BIND", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    pub bind: IpAddr,
    /// The port to listen on
    #[arg(long, env = "DISTLI_DASHBOARD_PORT", default_value_t = 9090)]
    pub port: u16,
    /// The validator to follow, as http://host:port
    #[arg(long, env = "VALIDATOR_URL", default_value = "http://127.0.0.1:8080")]
    pub validator_url: String,
    /// The tracker to ask, as http://host:port
    #[arg(long, env = "TRACKER_URL", default_value = "http://127.0.0.1:3030")]
    pub tracker_url: String,
}
