//! Flags and environment of the validator.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use shared::hash::Hash;
use shared::ids::{NetworkId, NetworkIdError};

/// The port by default.
pub const PORT_DEFAULT: u16 = 8080;

/// What the validator can be told.
#[derive(Clone, Debug, clap::Args)]
pub struct Config {
    /// The validator's name; its files are named after it
    #[arg(long, env = "DISTLI_VALIDATOR_ID", default_value = "validator1", value_parser = parse_id)]
    pub id: NetworkId,
    /// The port for HTTP
    #[arg(long, env = "DISTLI_VALIDATOR_PORT", default_value_t = PORT_DEFAULT)]
    pub port: u16,
    /// The address to listen on; only this machine unless told otherwise
    #[arg(long, env = "DISTLI_VALIDATOR_BIND", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    pub bind: IpAddr,
    /// The directory for key, store and export
    #[arg(long, env = "DISTLI_VALIDATOR_DATA", default_value = "data")]
    pub data: PathBuf,
    /// The enterprise genesis hash that the data must belong to; another chain is refused
    #[arg(long, env = "DISTLI_ENTERPRISE_GENESIS")]
    pub enterprise_genesis: Option<Hash>,
    /// The genesis file of the network; by default `enterprise_genesis.json` in the data directory, if it is there.
    /// Without one the validator is alone in its set
    #[arg(long, env = "DISTLI_VALIDATOR_GENESIS")]
    pub genesis: Option<PathBuf>,
    /// Where other validators are reached, as name=host:port, instead of what the genesis file says; repeatable. By its
    /// public key instead of a name, one that is not in the set may follow the chain, as it has to before it joins
    #[arg(long = "peers", env = "DISTLI_VALIDATOR_PEERS", value_delimiter = ',', value_parser = parse_peer)]
    pub peers: Vec<(String, String)>,
    /// Where this validator takes the others' links, as address:port, instead of what the genesis file says
    #[arg(long, env = "DISTLI_VALIDATOR_PEER_BIND")]
    pub peer_bind: Option<String>,
    /// Heights from one snapshot to the next; newcomers need the same of a quorum
    #[arg(long, env = "DISTLI_VALIDATOR_SNAPSHOT_EVERY", default_value_t = crate::replica::SNAPSHOT_EVERY, value_parser = clap::value_parser!(u64).range(1..))]
    pub snapshot_every: u64,
    /// Writes the log as JSON lines
    #[arg(long, env = "DISTLI_LOG_JSON")]
    pub log_json: bool,
}

impl Config {
    /// The usual configuration over a data directory.
    ///
    /// # Errors
    /// When `id` is not an identifier.
    pub fn new(id: &str, data: PathBuf) -> Result<Self, NetworkIdError> {
        Ok(Self {
            id: NetworkId::parse(id)?,
            port: PORT_DEFAULT,
            bind: IpAddr::V4(Ipv4Addr::LOCALHOST),
            data,
            enterprise_genesis: None,
            genesis: None,
            peers: Vec::new(),
            peer_bind: None,
            snapshot_every: crate::replica::SNAPSHOT_EVERY,
            log_json: false,
        })
    }
}

fn parse_peer(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, address)) if address.contains(':') => Ok((name.into(), address.into())),
        Some(_) | None => Err("a peer is name=host:port".into()),
    }
}

fn parse_id(text: &str) -> Result<NetworkId, NetworkIdError> {
    NetworkId::parse(text)
}
