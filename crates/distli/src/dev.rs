//! `distli dev`: tracker, validator and dashboard in one process.
//!
//! All three ports are taken before anything starts, so that a busy one leaves nothing half-started. The services
//! end together: by the signal, or when one of them fails, which is then the command's own error.

use anyhow::{Context as _, Result, anyhow};
use shared::ids::NetworkId;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What `distli dev` can be told.
#[derive(Debug, clap::Args)]
pub(crate) struct Config {
    /// The address to listen on; only this machine unless told otherwise
    #[arg(long, env = "DISTLI_BIND", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    bind: IpAddr,
    /// The tracker's port, which also serves the browser app
    #[arg(long, env = "DISTLI_TRACKER_PORT", default_value_t = 3030)]
    tracker_port: u16,
    /// The validator's port
    #[arg(long, env = "DISTLI_VALIDATOR_PORT", default_value_t = 8080)]
    validator_port: u16,
    /// The dashboard's port
    #[arg(long, env = "DISTLI_DASHBOARD_PORT", default_value_t = 9090)]
    dashboard_port: u16,
    /// The folder for everything that is kept
    #[arg(long, env = "DISTLI_DATA", default_value = "data")]
    data: PathBuf,
    /// The built browser app
    #[arg(long, env = "DISTLI_WWW", default_value = "www/dist")]
    www: PathBuf,
    /// How many validators agree on the enterprise chain; 4 go on when one fails. Their data is apart from that of one alone
    #[arg(long, env = "DISTLI_VALIDATORS", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=16))]
    validators: u8,
    /// The port on which the first of several validators takes the others' links; further ones follow
    #[arg(long, env = "DISTLI_FIRST_PEER_PORT", default_value_t = 7100)]
    first_peer_port: u16,
    /// Write the log as JSON lines
    #[arg(long, env = "DISTLI_LOG_JSON")]
    log_json: bool,
}

/// Runs the three services until `shutdown` resolves or one of them fails.
pub(crate) async fn run(config: Config, shutdown: impl Future<Output = ()>) -> Result<()> {
    service::init_tracing(config.log_json);
    let listeners = Listeners::take(&config).await?;
    let addresses = listeners.addresses()?;
    let (stop, stopped) = watch::channel(false);
    let mut services = start(&config, listeners, &addresses, &stopped)?;

    let outcome = tokio::select! {
        () = shutdown => Ok(()),
        error = first_to_end(&mut services) => Err(error),
        result = announce(&config, &addresses) => match result {
            Ok(never) => match never {},
            Err(error) => Err(error),
        },
    };
    stop.send_replace(true);
    while let Some(ended) = services.join_next().await {
        ended.context("a service broke")??;
    }
    outcome
}

struct Listeners {
    tracker: TcpListener,
    /// One for each validator.
    validators: Vec<TcpListener>,
    dashboard: TcpListener,
}

impl Listeners {
    async fn take(config: &Config) -> Result<Self> {
        let Config {
            bind,
            tracker_port,
            validator_port,
            dashboard_port,
            ..
        } = *config;
        let mut validators = Vec::new();
        for number in 0..config.validators {
            // With port 0 the system chooses each.
            let port = match validator_port {
                0 => 0,
                first => first.saturating_add(number.into()),
            };
            validators.push(service::bind(bind, port, "validator", "--validator-port").await?);
        }
        Ok(Self {
            tracker: service::bind(bind, tracker_port, "tracker", "--tracker-port").await?,
            validators,
            dashboard: service::bind(bind, dashboard_port, "dashboard", "--dashboard-port").await?,
        })
    }

    fn addresses(&self) -> Result<Addresses> {
        Ok(Addresses {
            tracker: self.tracker.local_addr()?,
            validators: self
                .validators
                .iter()
                .map(TcpListener::local_addr)
                .collect::<Result<_, _>>()?,
            dashboard: self.dashboard.local_addr()?,
        })
    }
}

struct Addresses {
    tracker: SocketAddr,
    validators: Vec<SocketAddr>,
    dashboard: SocketAddr,
}

impl Addresses {
    /// The first validator, which the dashboard watches.
    fn validator(&self) -> Result<SocketAddr> {
        self.validators.first().copied().context("no validator")
    }
}

fn start(
    config: &Config,
    listeners: Listeners,
    addresses: &Addresses,
    stopped: &watch::Receiver<bool>,
) -> Result<JoinSet<Result<()>>> {
    let until_stopped = || {
        let mut stopped = stopped.clone();
        async move {
            // A closed channel means that the command itself is gone.
            let _ = stopped.wait_for(|stopped| *stopped).await;
        }
    };
    let validator_configs = validator_configs(config, addresses)?;
    let tracker_config = tracker::Config {
        bind: config.bind,
        port: addresses.tracker.port(),
        data: config.data.clone(),
        www: config.www.clone(),
        enterprise_bc_url: Some(urls(&addresses.validators)),
        ..tracker::Config::default()
    };
    let dashboard_config = dashboard::Config {
        bind: config.bind,
        port: addresses.dashboard.port(),
        validator_url: url(addresses.validator()?),
        tracker_url: url(addresses.tracker),
    };
    let mut services = JoinSet::new();
    for (listener, config) in listeners.validators.into_iter().zip(validator_configs) {
        let validator = validator::run(listener, config, until_stopped());
        services.spawn(async { validator.await.context("a validator ended") });
    }
    let tracker = tracker::run(listeners.tracker, tracker_config, until_stopped());
    services.spawn(async { tracker.await.context("the tracker ended") });
    let dashboard = dashboard::run(listeners.dashboard, dashboard_config, until_stopped());
    services.spawn(async { dashboard.await.context("the dashboard ended") });
    Ok(services)
}

/// One configuration a validator; the first start of several makes their keys and genesis file.
fn validator_configs(config: &Config, addresses: &Addresses) -> Result<Vec<validator::Config>> {
    let ports = addresses.validators.iter().map(SocketAddr::port);
    if let [address] = addresses.validators.as_slice() {
        return Ok(vec![validator::Config {
            bind: config.bind,
            port: address.port(),
            ..validator::Config::new(VALIDATOR_ID, config.data.clone())?
        }]);
    }
    let home = config
        .data
        .join(format!("validators-{}", config.validators));
    let names: Vec<String> = (1..=config.validators)
        .map(|number| format!("validator{number}"))
        .collect();
    if !home.exists() {
        let ids = names.iter().map(|name| NetworkId::parse(name));
        let ids = ids.collect::<Result<Vec<_>, _>>()?;
        let address = |index: usize| {
            let offset = u16::try_from(index).unwrap_or(u16::MAX);
            format!(
                "127.0.0.1:{}",
                config.first_peer_port.saturating_add(offset)
            )
        };
        validator::network::make(&home, NetworkId::parse("dev")?, &ids, address)?;
    }
    let configs = names.iter().zip(ports).map(|(name, port)| {
        Ok(validator::Config {
            bind: config.bind,
            port,
            ..validator::Config::new(name, home.join(name))?
        })
    });
    configs.collect()
}

/// The error of the first service that ends; none of them ends by itself unless something is wrong.
async fn first_to_end(services: &mut JoinSet<Result<()>>) -> anyhow::Error {
    match services.join_next().await {
        Some(Ok(Err(error))) => error,
        Some(Err(error)) => anyhow!(error).context("a service broke"),
        Some(Ok(Ok(()))) | None => anyhow!("a service ended without being told to"),
    }
}

/// Says where everything is as soon as everything answers; never ends by itself.
async fn announce(config: &Config, addresses: &Addresses) -> Result<std::convert::Infallible> {
    let services = addresses.validators.iter();
    for address in services.chain([&addresses.tracker, &addresses.dashboard]) {
        answers(reachable(*address)).await?;
    }
    let text = announcement(config, addresses);
    std::io::stdout().lock().write_all(text.as_bytes())?;
    std::future::pending().await
}

/// Resolves when the service at `address` has answered a request; its port is open before it is ready.
async fn answers(address: SocketAddr) -> Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    stream
        .write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(())
}

fn announcement(config: &Config, addresses: &Addresses) -> String {
    let at = |address| format!("http://{}", shown(address));
    let app_missing = if config.www.join("index.html").is_file() {
        String::new()
    } else {
        let www = config.www.display();
        format!("\nThe browser app is not in {www}: run `make build-web`.\n")
    };
    format!(
        "\nDistli Mesh is running.\n\n  \
         Browser app  {app}\n  Dashboard    {dashboard}\n  Validator    {validator}/api/status\n\
         {app_missing}\n\
         Next: open the browser app in two tabs, create a network in one and join it in the other. Send a message,\n\
         press Mine, and watch the dashboard. The data is in {data}. Ctrl-C stops everything.\n\n",
        app = at(addresses.tracker),
        dashboard = at(addresses.dashboard),
        validator = addresses
            .validators
            .first()
            .copied()
            .map_or_else(String::new, at),
        data = shown_path(&config.data),
    )
}

fn shown_path(path: &Path) -> String {
    std::path::absolute(path).map_or_else(
        |_| path.display().to_string(),
        |path| path.display().to_string(),
    )
}

/// How the services reach each other.
fn url(address: SocketAddr) -> String {
    format!("http://{}", reachable(address))
}

fn urls(addresses: &[SocketAddr]) -> String {
    let urls: Vec<String> = addresses.iter().copied().map(url).collect();
    urls.join(",")
}

/// An address to connect to, also when the service listens on all of them.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// `localhost` where that is what it is: browsers grant it what they refuse to a bare address without https.
fn shown(address: SocketAddr) -> String {
    let reachable = reachable(address);
    if reachable.ip().is_loopback() {
        format!("localhost:{}", address.port())
    } else {
        reachable.to_string()
    }
}

/// The name of the one validator, as `validator --id` has it by default.
const VALIDATOR_ID: &str = "validator1";

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn services_reach_each_other_also_when_they_listen_everywhere() {
        assert_eq!(url(address("0.0.0.0:8080")), "http://127.0.0.1:8080");
        assert_eq!(url(address("[::]:8080")), "http://[::1]:8080");
        assert_eq!(url(address("192.0.2.7:8080")), "http://192.0.2.7:8080");
    }

    #[test]
    fn loopback_is_shown_as_localhost() {
        assert_eq!(shown(address("127.0.0.1:3030")), "localhost:3030");
        assert_eq!(shown(address("192.0.2.7:3030")), "192.0.2.7:3030");
    }
}
