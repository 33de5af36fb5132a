//! The tracker's configuration: every flag has an environment variable, and `--help` shows both.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use api::ws::IceServer;
use clap::Args;

use crate::addresses::Allowance;
use crate::addresses::proxy::TrustedProxy;
use crate::hub::PublicUrl;
use crate::ledger::Capacity;
use crate::limits;

/// The port by default.
pub const PORT_DEFAULT: u16 = 3030;

/// What the tracker can be told.
#[derive(Args, Clone, Debug)]
pub struct Config {
    /// The name of this tracker in logs and health
    #[arg(long, env = "DISTLI_TRACKER_ID", default_value = "tracker")]
    pub id: String,
    /// The port for HTTP and WebSocket
    #[arg(long, env = "DISTLI_TRACKER_PORT", default_value_t = PORT_DEFAULT)]
    pub port: u16,
    /// The address to listen on; 0.0.0.0 for all
    #[arg(long, env = "DISTLI_TRACKER_BIND", default_value = "127.0.0.1")]
    pub bind: IpAddr,
    /// The directory with the built browser app
    #[arg(long, env = "DISTLI_TRACKER_WWW", default_value = "www/dist")]
    pub www: PathBuf,
    /// The directory for the tracker's data
    #[arg(long, env = "DISTLI_TRACKER_DATA", default_value = "data")]
    pub data: PathBuf,
    /// The validators to report tenant blocks to, as http://host:port, several with commas between: the first that answers
    /// is asked. Without any, blocks are kept, not reported
    #[arg(long, env = "ENTERPRISE_BC_URL")]
    pub enterprise_bc_url: Option<String>,
    /// Pages of other origins that may connect, as scheme://host:port; * for any
    #[arg(
        long = "allow-origin",
        env = "DISTLI_TRACKER_ALLOW_ORIGINS",
        value_delimiter = ','
    )]
    pub allow_origins: Vec<String>,
    /// The names by which browsers reach this tracker, as host or host:port, several with commas: an admission to a private room that
    /// was made for another is refused. Without any, the client's word is taken
    #[arg(
        long = "public-host",
        env = "DISTLI_TRACKER_PUBLIC_HOSTS",
        value_delimiter = ','
    )]
    pub public_hosts: Vec<String>,
    /// A STUN or TURN server for the browsers: a URL, or JSON {"urls":[…],"username":…,"credential":…}; repeatable
    #[arg(long = "ice-server", env = "DISTLI_ICE_SERVERS", value_delimiter = ';', value_parser = parse_ice_server)]
    pub ice_servers: Vec<IceServer>,
    /// The NATS server through which trackers of one cluster reach each other, as nats://host:port; alone without it
    #[arg(long, env = "DISTLI_NATS_URL")]
    pub nats_url: Option<String>,
    /// Where browsers reach this tracker, as wss://host/ws: those of the cluster's other trackers come here when theirs is lost
    #[arg(long, env = "DISTLI_TRACKER_PUBLIC_URL", requires = "nats_url")]
    pub public_url: Option<PublicUrl>,
    /// How many browsers may be connected at once
    #[arg(long, env = "DISTLI_TRACKER_CONNECTIONS_MAX", default_value_t = CONNECTIONS_DEFAULT)]
    pub connections_max: usize,
    /// How many connections one address may have open at once, an IPv6 address counted by its /64; 0 for no limit
    #[arg(long, env = "DISTLI_TRACKER_ADDRESS_CONNECTIONS", default_value_t = limits::ADDRESS_CONNECTIONS_MAX)]
    pub address_connections: u32,
    /// How many new connections a second one address may make, after ten times as many at once; 0 for no limit
    #[arg(long, env = "DISTLI_TRACKER_ADDRESS_ARRIVALS", default_value_t = limits::ADDRESS_ARRIVALS_PER_SECOND)]
    pub address_arrivals: u32,
    /// How many requests a second one address may make, after ten times as many at once; 0 for no limit
    #[arg(long, env = "DISTLI_TRACKER_ADDRESS_REQUESTS", default_value_t = limits::ADDRESS_REQUESTS_PER_SECOND)]
    pub address_requests: u32,
    /// How many networks an hour one address may register, after half as many at once; 0 for no limit
    #[arg(long, env = "DISTLI_TRACKER_ADDRESS_CREATIONS", default_value_t = limits::ADDRESS_CREATIONS_PER_HOUR)]
    pub address_creations: u32,
    /// How much room the blocks of one network may take up, in MiB: more are refused, and those before stay; 0 for no limit
    #[arg(long, env = "DISTLI_TRACKER_NETWORK_MIB_MAX", default_value_t = limits::NETWORK_MIB_MAX)]
    pub network_mib_max: u32,
    /// How much room the blocks of all networks together may take up, in MiB, up to 2.7 times as much in memory; 0 for no limit
    #[arg(long, env = "DISTLI_TRACKER_TOTAL_MIB_MAX", default_value_t = limits::TOTAL_MIB_MAX)]
    pub total_mib_max: u32,
    /// Proxies in front, as an address or a network like 10.0.0.0/8, repeatable: only these are believed in X-Forwarded-For
    #[arg(
        long = "trusted-proxy",
        env = "DISTLI_TRACKER_TRUSTED_PROXIES",
        value_delimiter = ','
    )]
    pub trusted_proxies: Vec<TrustedProxy>,
    /// The certificate chain to serve https and wss with, PEM; read again at SIGHUP
    #[arg(long, env = "DISTLI_TRACKER_TLS_CERT", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// The key of that certificate, PEM
    #[arg(long, env = "DISTLI_TRACKER_TLS_KEY", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Where /metrics, /health and /ready are served, not for the public; off for nowhere
    #[arg(
        long,
        env = "DISTLI_TRACKER_OPS_BIND",
        default_value = "127.0.0.1:3031"
    )]
    pub ops_bind: OperationsBind,
    /// How long clients get to move to another tracker after the signal to stop, in seconds; a second signal ends it
    #[arg(long, env = "DISTLI_TRACKER_DRAIN_SECONDS", default_value_t = DRAIN_SECONDS_DEFAULT)]
    pub drain_seconds: u32,
    /// A TURN server that takes credentials made from a shared secret (coturn's use-auth-secret); repeatable
    #[arg(long = "turn-url", env = "DISTLI_TURN_URLS", value_delimiter = ',', requires = "turn_secret_file", value_parser = parse_turn_url)]
    pub turn_urls: Vec<String>,
    /// The file with that secret
    #[arg(long, env = "DISTLI_TURN_SECRET_FILE", requires = "turn_urls")]
    pub turn_secret_file: Option<PathBuf>,
    /// How long such a credential is good for, in hours; a client gets another at half of it
    #[arg(long, env = "DISTLI_TURN_LIFETIME_HOURS", default_value_t = TURN_LIFETIME_HOURS_DEFAULT, value_parser = clap::value_parser!(u32).range(1..))]
    pub turn_lifetime_hours: u32,
}

/// Where the operations port is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperationsBind {
    /// Nowhere.
    Off,
    /// There.
    At(SocketAddr),
}

impl FromStr for OperationsBind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "off" {
            return Ok(Self::Off);
        }
        let address = text.parse().map(Self::At);
        address.map_err(|_| format!("{text:?} is neither address:port nor off"))
    }
}

impl Config {
    /// How much room blocks may take up.
    #[must_use]
    pub fn capacity(&self) -> Capacity {
        Capacity::of_mib(self.network_mib_max, self.total_mib_max)
    }

    /// What one address may use.
    #[must_use]
    pub fn allowance(&self) -> Allowance {
        let burst = |per_second: u32| per_second.saturating_mul(BURST_SECONDS);
        Allowance {
            connections_max: self.address_connections,
            arrivals_burst: burst(self.address_arrivals),
            arrivals_per_second: self.address_arrivals,
            requests_burst: burst(self.address_requests),
            requests_per_second: self.address_requests,
            places: u32::try_from(self.connections_max).unwrap_or(u32::MAX),
            creations_burst: self.address_creations.div_ceil(2),
            creations_per_hour: self.address_creations,
        }
    }
}

/// As the flags are by default, but without an operations port and without a time to drain.
impl Default for Config {
    fn default() -> Self {
        Self {
            id: "tracker".into(),
            port: PORT_DEFAULT,
            bind: IpAddr::V4(Ipv4Addr::LOCALHOST),
            www: "www/dist".into(),
            data: "data".into(),
            enterprise_bc_url: None,
            allow_origins: Vec::new(),
            public_hosts: Vec::new(),
            ice_servers: Vec::new(),
            nats_url: None,
            public_url: None,
            connections_max: CONNECTIONS_DEFAULT,
            address_connections: limits::ADDRESS_CONNECTIONS_MAX,
            address_arrivals: limits::ADDRESS_ARRIVALS_PER_SECOND,
            address_requests: limits::ADDRESS_REQUESTS_PER_SECOND,
            address_creations: limits::ADDRESS_CREATIONS_PER_HOUR,
            network_mib_max: limits::NETWORK_MIB_MAX,
            total_mib_max: limits::TOTAL_MIB_MAX,
            trusted_proxies: Vec::new(),
            tls_cert: None,
            tls_key: None,
            ops_bind: OperationsBind::Off,
            drain_seconds: 0,
            turn_urls: Vec::new(),
            turn_secret_file: None,
            turn_lifetime_hours: TURN_LIFETIME_HOURS_DEFAULT,
        }
    }
}

fn parse_turn_url(text: &str) -> Result<String, String> {
    if !text.starts_with("turn:") && !text.starts_with("turns:") {
        return Err("a TURN server begins with turn: or turns:".into());
    }
    Ok(text.to_owned())
}

fn parse_ice_server(text: &str) -> Result<IceServer, String> {
    if text.trim_start().starts_with('{') {
        return serde_json::from_str(text).map_err(|error| error.to_string());
    }
    let has_scheme = ["stun:", "stuns:", "turn:", "turns:"]
        .iter()
        .any(|scheme| text.starts_with(scheme));
    if !has_scheme {
        return Err("an ICE server begins with stun:, stuns:, turn: or turns:".into());
    }
    Ok(IceServer {
        urls: vec![text.to_owned()],
        username: None,
        credential: None,
    })
}

/// So many seconds' worth of a rate may come at once.
const BURST_SECONDS: u32 = 10;
const DRAIN_SECONDS_DEFAULT: u32 = 5;
const TURN_LIFETIME_HOURS_DEFAULT: u32 = 12;
const CONNECTIONS_DEFAULT: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(clap::Parser, Debug)]
    struct Arguments {
        #[command(flatten)]
        config: Config,
    }

    fn parsed(flags: &[&str]) -> Result<Config, clap::Error> {
        let arguments = std::iter::once("tracker").chain(flags.iter().copied());
        <Arguments as clap::Parser>::try_parse_from(arguments).map(|parsed| parsed.config)
    }

    #[test]
    fn a_turn_credential_is_good_for_an_hour_at_least() {
        let hours = |hours| parsed(&["--turn-lifetime-hours", hours]);
        assert_eq!(hours("1").unwrap().turn_lifetime_hours, 1);
        assert!(hours("0").is_err());
    }

    #[test]
    fn a_turn_secret_and_its_servers_need_each_other() {
        let (url, secret) = (["--turn-url", "turn:t"], ["--turn-secret-file", "f"]);
        // A browser refuses a server without an address.
        let refused = parsed(&secret).unwrap_err();
        assert!(refused.to_string().contains("--turn-url"), "{refused}");
        assert!(parsed(&url).is_err());
        let config = parsed(&[url, secret].concat()).unwrap();
        assert_eq!(config.turn_urls, ["turn:t"]);
        assert!(parsed(&[]).unwrap().turn_secret_file.is_none());
    }

    #[test]
    fn an_ice_server_is_a_url_or_json() {
        assert_eq!(
            parse_ice_server("stun:stun.example:3478").unwrap().urls,
            ["stun:stun.example:3478"]
        );
        let turn =
            parse_ice_server(r#"{"urls":["turn:t.example"],"username":"u","credential":"c"}"#)
                .unwrap();
        assert_eq!(turn.username.as_deref(), Some("u"));
        assert!(parse_ice_server("http://x").is_err());
    }
}
