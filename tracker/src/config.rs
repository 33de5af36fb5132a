//! The tracker's configuration: every flag has an environment variable, and `--help` shows both.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use api::ws::IceServer;
use clap::Args;

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
    /// A STUN or TURN server for the browsers: a URL, or JSON {"urls":[…],"username":…,"credential":…}; repeatable
    #[arg(long = "ice-server", env = "DISTLI_ICE_SERVERS", value_delimiter = ';', value_parser = parse_ice_server)]
    pub ice_servers: Vec<IceServer>,
    /// The NATS server through which trackers of one cluster reach each other, as nats://host:port; alone without it
    #[arg(long, env = "DISTLI_NATS_URL")]
    pub nats_url: Option<String>,
    /// How many browsers may be connected at once
    #[arg(long, env = "DISTLI_TRACKER_CONNECTIONS_MAX", default_value_t = CONNECTIONS_DEFAULT)]
    pub connections_max: usize,
}

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
            ice_servers: Vec::new(),
            nats_url: None,
            connections_max: CONNECTIONS_DEFAULT,
        }
    }
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

const CONNECTIONS_DEFAULT: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

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
