//! The validator as a program of its own: reads its configuration, takes its port, runs until it is told to stop.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use shared::enterprise::ValidatorInfo;
use shared::ids::NetworkId;
use validator::network::{self, Network};
use validator::set_change::{self, Wish};
use validator::start::Files;

/// Updates are many small values that one thread makes and another lets go: see `docs/adr/0106-processor-time-of-an-update.md`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Debug, Parser)]
#[command(
    name = "validator",
    version,
    about = "Keeps the enterprise chain that anchors every tenant"
)]
struct Arguments {
    #[command(flatten)]
    config: validator::Config,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Rebuilds the store from an export, verifying every block, certificate and signature in it
    Import {
        /// The file, usually `enterprise_blockchain_{id}.json`
        file: PathBuf,
    },
    /// Writes the whole chain with what waits for a block as one JSON file that `import` takes, verifying it first
    Export {
        /// The file, replaced when the new one is whole; standard output without it
        file: Option<PathBuf>,
    },
    /// Makes a directory with a copy of store and head file, also while the validator serves, and verifies it
    Backup {
        /// The directory; it must not exist, and appears when the copy is whole and proved
        to: PathBuf,
    },
    /// Verifies the whole chain in the store and says where it ends
    Verify,
    /// Makes this validator's key, in a file of mode 0600, and prints its public half
    Keygen,
    /// Makes a network: a ready set of validators below --data, or, with --member, the genesis file of keys that exist
    Init(Init),
    /// Prepares a validator that has a key and has never voted: its vote log, and the genesis file (--genesis) beside it
    Adopt,
    /// Prepares a validator that has been alone to be joined by others (--peer-bind says where it takes links)
    OpenUp,
    /// Changes the validator set: made by one operator, signed by a quorum of them, handed to any validator
    #[command(subcommand)]
    SetChange(SetChange),
}

#[derive(Debug, Subcommand)]
enum SetChange {
    /// Writes the file that operators sign: the set of a running validator with these changes
    Make {
        /// A validator's HTTP address
        #[arg(long, default_value = "http://127.0.0.1:8080")]
        to: String,
        /// A validator to take in, as name=key; in the place of one with the same name, whose key it replaces; repeatable
        #[arg(long, value_parser = named_key)]
        add: Vec<ValidatorInfo>,
        /// The name of one to let go; repeatable
        #[arg(long)]
        remove: Vec<String>,
        /// The file to write
        file: PathBuf,
    },
    /// Adds this validator's signature to the file
    Sign {
        /// The file
        file: PathBuf,
    },
    /// Puts the signatures of several copies together into the first
    Merge {
        /// The file to write to
        file: PathBuf,
        /// The copies
        others: Vec<PathBuf>,
    },
    /// Hands the file in, and waits until the new set is in force
    Submit {
        /// A validator's HTTP address
        #[arg(long, default_value = "http://127.0.0.1:8080")]
        to: String,
        /// The file
        file: PathBuf,
    },
}

#[derive(Debug, clap::Args)]
struct Init {
    /// The name of the network
    #[arg(long, default_value = "enterprise", value_parser = parse_id)]
    network: NetworkId,
    /// How many validators: 1, 4 and 7 survive 0, 1 and 2 that fail
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=128))]
    validators: u8,
    /// The address on which validators take each other's links
    #[arg(long, default_value = "127.0.0.1")]
    host: String,
    /// The port of the first one's; the others' follow
    #[arg(long, default_value_t = 7100)]
    first_peer_port: u16,
    /// A validator whose key exists, as name=key@host:port; repeatable
    #[arg(long = "member", value_parser = member)]
    members: Vec<(ValidatorInfo, String)>,
}

fn parse_id(text: &str) -> Result<NetworkId, String> {
    NetworkId::parse(text).map_err(|error| error.to_string())
}

fn member(text: &str) -> Result<(ValidatorInfo, String), String> {
    let (name, rest) = text
        .split_once('=')
        .ok_or("a member is name=key@host:port")?;
    let (key, address) = rest
        .split_once('@')
        .ok_or("a member is name=key@host:port")?;
    let name = NetworkId::parse(name).map_err(|error| error.to_string())?;
    let key = key
        .parse()
        .map_err(|_| "the key is not 64 hexadecimal digits")?;
    Ok((ValidatorInfo { key, name }, address.to_owned()))
}

fn init(config: &validator::Config, init: Init) -> anyhow::Result<()> {
    let path = config.data.join(network::FILE_NAME);
    let made = if init.members.is_empty() {
        let count = usize::from(init.validators);
        let names = (1..=count).map(|number| NetworkId::parse(&format!("validator{number}")));
        let names = names.collect::<Result<Vec<_>, _>>()?;
        let port = |index: usize| {
            let offset = u16::try_from(index).unwrap_or(u16::MAX);
            init.first_peer_port.saturating_add(offset)
        };
        let address = |index| format!("{}:{}", init.host, port(index));
        network::make(&config.data, init.network, &names, address)?
    } else {
        std::fs::create_dir_all(&config.data)?;
        Network::new(init.network, init.members)?
    };
    made.write(&path)?;
    tracing::info!(chain = %made.genesis.hash(), file = %path.display(), "the network is made");
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", made.genesis.hash())?;
    for info in made.genesis.validators().validators() {
        let home = config.data.join(info.name.as_str());
        if home.exists() {
            writeln!(
                out,
                "validator --id {} --data {}",
                info.name,
                home.display()
            )?;
        }
    }
    Ok(())
}

fn named_key(text: &str) -> Result<ValidatorInfo, String> {
    let (name, key) = text.split_once('=').ok_or("a validator is name=key")?;
    let name = NetworkId::parse(name).map_err(|error| error.to_string())?;
    let key = key
        .parse()
        .map_err(|_| "the key is not 64 hexadecimal digits")?;
    Ok(ValidatorInfo { key, name })
}

async fn change_set(files: &Files, command: SetChange) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match command {
        SetChange::Make {
            to,
            add,
            remove,
            file,
        } => {
            let wish = set_change::make(&to, add, &remove).await?;
            wish.write(&file)?;
            writeln!(out, "{}", wish.describe())?;
        }
        SetChange::Sign { file } => {
            let mut wish = Wish::read(&file)?;
            wish.sign(files)?;
            wish.write(&file)?;
            writeln!(out, "{}", wish.describe())?;
        }
        SetChange::Merge { file, others } => {
            let mut wish = Wish::read(&file)?;
            for other in others {
                wish.merge(&Wish::read(&other)?)?;
            }
            wish.write(&file)?;
            writeln!(out, "{}", wish.describe())?;
        }
        SetChange::Submit { to, file } => {
            let wish = Wish::read(&file)?;
            let height = set_change::submit(&to, &wish).await?;
            writeln!(out, "the new set is in force from height {height} on")?;
        }
    }
    Ok(())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Arguments { config, command } = Arguments::parse();
    service::init_tracing(config.log_json);
    let files = Files::new(&config.data, &config.id);
    match command {
        Some(Command::Import { file }) => {
            let height = validator::export::import(&file, &files.store, &files.head)?;
            tracing::info!(height, store = %files.store.display(), "imported and verified");
        }
        Some(Command::Export { file }) => {
            let height = validator::export::export(&files, &config.id, file.as_deref())?;
            tracing::info!(height, "verified and exported");
        }
        Some(Command::Backup { to }) => {
            let copied = validator::backup::backup(&config.data, &config.id, &to).await?;
            tracing::info!(height = copied.height, snapshot = copied.snapshot, directory = %to.display(), "backed up and verified");
        }
        Some(Command::Verify) => {
            let head = validator::store::HeadFile::read(&files.head)?;
            let (_, ledger, _) = validator::start::verified(&files, head)?;
            let verifier = ledger.verifier();
            let (from, height, hash) =
                (ledger.base().height.0, verifier.height().0, verifier.hash());
            if from == 0 {
                tracing::info!(height, %hash, "the chain verifies");
            } else {
                tracing::info!(height, %hash, snapshot = from, "the chain verifies from the snapshot on; its blocks before are not held here");
            }
        }
        Some(Command::Keygen) => {
            let key = network::keygen(&files)?;
            writeln!(std::io::stdout().lock(), "{key}")?;
        }
        Some(Command::Init(options)) => init(&config, options)?,
        Some(Command::Adopt) => {
            let path = config.genesis.clone();
            let path = path.context("say with --genesis which network to adopt")?;
            network::adopt(&files, &Network::read(&path)?)?;
            tracing::info!(log = %files.votes.display(), "ready to validate");
        }
        Some(Command::OpenUp) => {
            let address = config.peer_bind.clone();
            let address = address.context("say with --peer-bind where the others will link")?;
            network::open_up(&files, &address)?;
            let mut out = std::io::stdout().lock();
            writeln!(out, "{}", files.network.display())?;
        }
        Some(Command::SetChange(command)) => change_set(&files, command).await?,
        None => {
            let listener = service::bind(config.bind, config.port, "validator", "--port").await?;
            validator::run(listener, config, service::shutdown_signal()).await?;
        }
    }
    Ok(())
}
