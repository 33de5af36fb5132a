//! The genesis file of an enterprise network, and the tools that make one.
//!
//! JSON: `hash` and `genesis` (the canonical bytes, hex) say what all validators start from; `validators` names each with
//! its `key` and the `address` on which it takes the others' links. The hash covers keys, timeouts and limits, not addresses:
//! these may change, and each validator may be told its own view of them (`--peers`).

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use shared::enterprise::{EnterpriseError, EnterpriseGenesis, ValidatorInfo, ValidatorSet};
use shared::hash::Hash;
use shared::ids::{NetworkId, PublicKey, TimestampMs};

use crate::start::{Files, StartError, make_key};
use crate::vote_log::VoteLog;

/// The usual name of the file in a data directory.
pub const FILE_NAME: &str = "enterprise_genesis.json";
/// Bytes that such a file may have.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// An enterprise network as a validator has to know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// The genesis.
    pub genesis: EnterpriseGenesis,
    /// Where each validator is reached by the others, as host:port.
    pub addresses: BTreeMap<PublicKey, String>,
}

/// Why a genesis file is not used or made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// The file cannot be read or written.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The file is not a genesis file.
    #[error("{}: {reason}. Get the file again from whoever made the network", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The network would not be valid.
    #[error(transparent)]
    Genesis(#[from] EnterpriseError),
    /// A key could not be made or read.
    #[error(transparent)]
    Start(#[from] Box<StartError>),
    /// Others are in the set, so that a lost vote log may hold promises to them.
    #[error(
        "this validator is not alone in its set; without its vote log it waits for the others by itself"
    )]
    NotAlone,
    /// There is something already where the set would be made.
    #[error("{} is there already; choose another --data, or remove it if nothing in it is needed", .0.display())]
    Exists(PathBuf),
}

#[derive(Debug, Serialize, Deserialize)]
struct FileShape {
    id: String,
    hash: String,
    genesis: String,
    validators: Vec<MemberShape>,
}

#[derive(Debug, Serialize, Deserialize)]
struct MemberShape {
    name: String,
    key: String,
    address: String,
}

impl Network {
    /// A network of these validators, which begins now.
    ///
    /// # Errors
    /// [`EnterpriseError`] for names or keys that are not a set.
    pub fn new(
        id: NetworkId,
        members: Vec<(ValidatorInfo, String)>,
    ) -> Result<Self, EnterpriseError> {
        let addresses = members
            .iter()
            .map(|(info, address)| (info.key, address.clone()));
        let addresses = addresses.collect();
        let set = ValidatorSet::new(members.into_iter().map(|(info, _)| info).collect())?;
        let genesis = EnterpriseGenesis::new(id, TimestampMs(service::now_ms()), set);
        Ok(Self { genesis, addresses })
    }

    /// Reads a genesis file; its hash has to be that of its bytes.
    ///
    /// # Errors
    /// [`NetworkError::Io`], [`NetworkError::Malformed`].
    pub fn read(path: &Path) -> Result<Self, NetworkError> {
        let io_error = |error| NetworkError::Io {
            path: path.to_owned(),
            error,
        };
        let length = std::fs::metadata(path).map_err(io_error)?.len();
        let malformed = |reason: String| NetworkError::Malformed {
            path: path.to_owned(),
            reason,
        };
        if length > FILE_BYTES_MAX {
            return Err(malformed(format!(
                "{length} bytes; allowed are {FILE_BYTES_MAX}"
            )));
        }
        let text = std::fs::read_to_string(path).map_err(io_error)?;
        parse(&text).map_err(malformed)
    }

    /// Writes the file.
    ///
    /// # Errors
    /// [`NetworkError::Io`].
    pub fn write(&self, path: &Path) -> Result<(), NetworkError> {
        let validators = self.genesis.validators().validators().iter();
        let shape = FileShape {
            id: self.genesis.id().to_string(),
            hash: self.genesis.hash().to_string(),
            genesis: hex::encode(self.genesis.encode()),
            validators: validators
                .map(|info| MemberShape {
                    name: info.name.to_string(),
                    key: info.key.to_string(),
                    address: self.addresses.get(&info.key).cloned().unwrap_or_default(),
                })
                .collect(),
        };
        let text = serde_json::to_string_pretty(&shape).map_err(io::Error::other);
        let written =
            text.and_then(|text| service::atomic_write(path, format!("{text}\n").as_bytes()));
        written.map_err(|error| NetworkError::Io {
            path: path.to_owned(),
            error,
        })
    }
}

fn parse(text: &str) -> Result<Network, String> {
    let shape: FileShape = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let bytes = hex::decode(&shape.genesis).map_err(|error| format!("genesis: {error}"))?;
    let genesis = EnterpriseGenesis::decode(&bytes).map_err(|error| format!("genesis: {error}"))?;
    let hash: Hash = shape
        .hash
        .parse()
        .map_err(|_| "hash: not 64 hexadecimal digits")?;
    let computed = genesis.hash();
    if hash != computed {
        return Err(format!("hash is {hash}, the genesis in it has {computed}"));
    }
    let mut addresses = BTreeMap::new();
    for member in shape.validators {
        let key: PublicKey = member
            .key
            .parse()
            .map_err(|_| "a key is not 64 hexadecimal digits")?;
        if genesis.validators().index_of(&key).is_none() {
            return Err(format!("{} is not in the genesis' set", member.name));
        }
        addresses.insert(key, member.address);
    }
    Ok(Network { genesis, addresses })
}

/// Makes a ready set under `directory`: for each validator a directory of its own with key, vote log and genesis file.
///
/// # Errors
/// [`NetworkError`]; what was made until then stays.
pub fn make(
    directory: &Path,
    id: NetworkId,
    names: &[NetworkId],
    address: impl Fn(usize) -> String,
) -> Result<Network, NetworkError> {
    let mut members = Vec::new();
    for (index, name) in names.iter().enumerate() {
        let home = directory.join(name.as_str());
        if home.exists() {
            return Err(NetworkError::Exists(home));
        }
        std::fs::create_dir_all(&home).map_err(|error| NetworkError::Io {
            path: home.clone(),
            error,
        })?;
        let key = keygen(&Files::new(&home, name))?;
        let info = ValidatorInfo {
            key,
            name: name.clone(),
        };
        members.push((info, address(index)));
    }
    let network = Network::new(id, members)?;
    for name in names {
        adopt(&Files::new(&directory.join(name.as_str()), name), &network)?;
    }
    Ok(network)
}

/// Makes a validator's key, in a file that only its user may read.
///
/// # Errors
/// [`NetworkError::Exists`] when there is one, [`NetworkError::Io`].
pub fn keygen(files: &Files) -> Result<PublicKey, NetworkError> {
    if files.key.exists() {
        return Err(NetworkError::Exists(files.key.clone()));
    }
    let made = files.key.parent().map_or(Ok(()), std::fs::create_dir_all);
    let made = made.and_then(|()| make_key(&files.key));
    let secret = made.map_err(|error| NetworkError::Io {
        path: files.key.clone(),
        error,
    })?;
    Ok(secret.identity().public_key())
}

/// Prepares a validator that has decided its chain alone to be joined by others: a vote log from the newest block on, and the
/// genesis file that the others need. Alone it said nothing to anybody before it was in the store, so nothing is forgotten.
///
/// # Errors
/// [`NetworkError::Exists`] when it has a vote log, [`NetworkError::NotAlone`], or the store is not intact or in use.
pub fn open_up(files: &Files, address: &str) -> Result<Network, NetworkError> {
    if files.votes.exists() {
        return Err(NetworkError::Exists(files.votes.clone()));
    }
    let boxed = |error| NetworkError::Start(Box::new(error));
    let (_store, ledger, _) = crate::start::verified(files, None).map_err(boxed)?;
    let key = crate::start::key(files, true).map_err(boxed)?;
    let key = key.identity().public_key();
    let set = ledger.verifier().next_validators();
    if set.validators().len() != 1 || set.index_of(&key).is_none() {
        return Err(NetworkError::NotAlone);
    }
    let genesis = ledger.genesis().clone();
    let chain = genesis.chain_id();
    let addresses = BTreeMap::from([(key, address.to_owned())]);
    let network = Network { genesis, addresses };
    network.write(&files.network)?;
    let made = VoteLog::create(&files.votes, chain);
    made.map_err(|error| NetworkError::Io {
        path: files.votes.clone(),
        error,
    })?;
    Ok(network)
}

/// Prepares a validator that has never voted for a network: an empty vote log, and the genesis file beside it.
///
/// # Errors
/// [`NetworkError::Exists`] when the validator has a vote log or a store: its votes must not be forgotten.
pub fn adopt(files: &Files, network: &Network) -> Result<(), NetworkError> {
    for path in [&files.votes, &files.store] {
        if path.exists() {
            return Err(NetworkError::Exists(path.clone()));
        }
    }
    network.write(&files.network)?;
    let made = VoteLog::create(&files.votes, network.genesis.chain_id());
    made.map(drop).map_err(|error| NetworkError::Io {
        path: files.votes.clone(),
        error,
    })
}
