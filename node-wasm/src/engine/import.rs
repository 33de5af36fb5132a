//! Reading an exported file: everything is checked before anything is taken.
//!
//! A "2.0" file proves itself: its genesis must hash to this network's chain id, each block's decorated fields must say what its
//! bytes say, and the blocks must extend what is here by every rule of the chain (checked on a copy). Only then are they
//! offered to the node. A proof of finality in it must hold too, and be about one of its blocks. A "1.0" file proves nothing and is refused as unverified legacy.

use api::{EXPORT_VERSION, TenantBlock};
use serde::Deserialize;
use shared::block::{Block, UncheckedBlock};
use shared::chain::{Chain, ChainError};
use shared::enterprise::LightClient;
use shared::genesis::Genesis;
use shared::ids::TimestampMs;
use shared::node;

use super::Engine;
use crate::seam::Event;

/// Largest file that is read, in bytes of text.
pub const IMPORT_BYTES_MAX: usize = 256 * 1024 * 1024;

/// What is read of a file; everything else in it is for people.
#[derive(Debug, Deserialize)]
struct File {
    #[serde(default)]
    chain: Vec<serde_json::Value>,
    #[serde(default)]
    chain_id: Option<String>,
    #[serde(default)]
    genesis: Option<String>,
    #[serde(default)]
    finality: Option<String>,
    #[serde(default)]
    export_metadata: Option<Metadata>,
}

#[derive(Debug, Default, Deserialize)]
struct Metadata {
    #[serde(default)]
    export_version: Option<String>,
}

/// What became of the blocks offered so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    accepted: usize,
    already_known: usize,
    refused: Option<String>,
}

impl Engine {
    pub(super) fn on_import(&mut self, now: TimestampMs, request: u64, text: &str) {
        let Checked { blocks, proof } = match check_file(self.node.chain(), now, text) {
            Ok(checked) => checked,
            Err(reason) => return self.event(Event::ImportRefused { request, reason }),
        };
        self.importing = Some(Tally::default());
        for block in blocks {
            self.node_fact(
                now,
                node::Input::BlockOffered {
                    bytes: block.encode(),
                },
            );
            self.drain(now);
        }
        // A node that has verified a proof before knows more, or asks for what extends it.
        if let Some(bytes) = proof.filter(|_| self.node.proof().is_none()) {
            self.node_fact(now, node::Input::ProofReceived { bytes });
            self.drain(now);
        }
        let Tally {
            accepted,
            already_known,
            refused,
        } = self.importing.take().unwrap_or_default();
        self.event(match refused {
            None => Event::Imported {
                request,
                accepted,
                already_known,
            },
            Some(reason) => Event::ImportRefused { request, reason },
        });
    }

    /// Counts an event that belongs to a running import, and passes all others on.
    pub(super) fn count_import(&mut self, event: node::Event) -> Option<node::Event> {
        let Some(tally) = &mut self.importing else {
            return Some(event);
        };
        if let node::Event::BlockAccepted { already_known, .. } = event {
            let count = if already_known {
                &mut tally.already_known
            } else {
                &mut tally.accepted
            };
            *count += 1;
        } else if let node::Event::BlockRefused { peer: None, reason } = event {
            tally.refused.get_or_insert(reason);
        } else {
            return Some(event);
        }
        None
    }
}

/// What a file holds, checked.
struct Checked {
    /// The blocks, lowest first.
    blocks: Vec<Block>,
    /// The proof that one of them is final.
    proof: Option<Vec<u8>>,
}

/// What a file holds, or why nothing of it can be taken.
fn check_file(own: &Chain, now: TimestampMs, text: &str) -> Result<Checked, String> {
    if text.len() > IMPORT_BYTES_MAX {
        return Err(format!(
            "the file has {} bytes, allowed are {IMPORT_BYTES_MAX}",
            text.len()
        ));
    }
    let file: File = serde_json::from_str(text)
        .map_err(|error| format!("the file is no chain export: {error}"))?;
    check_version(&file)?;
    check_chain_id(own, &file)?;
    let finality = file.finality;
    let mut copy = own.clone();
    let mut blocks = Vec::with_capacity(file.chain.len());
    for (index, value) in file.chain.into_iter().enumerate() {
        let place = || format!("block {} of the file", index + 1);
        let shape: TenantBlock =
            serde_json::from_value(value).map_err(|error| format!("{}: {error}", place()))?;
        let unchecked = UncheckedBlock::try_from(&shape)
            .map_err(|error| format!("{} was tampered with: {error}", place()))?;
        let block = check_block(own, unchecked)
            .map_err(|reason| format!("{} is invalid: {reason}", place()))?;
        copy.insert(block.clone(), now)
            .map_err(|error| format!("{}: {}", place(), explain(&error)))?;
        blocks.push(block);
    }
    let proof = match finality {
        None => None,
        Some(text) => Some(check_proof(own, &blocks, &text)?),
    };
    Ok(Checked { blocks, proof })
}

/// The proof of finality of a file, verified from the pinned enterprise genesis on.
fn check_proof(own: &Chain, blocks: &[Block], text: &str) -> Result<Vec<u8>, String> {
    let bytes = hex::decode(text)
        .map_err(|_| String::from("the file's proof of finality is not hexadecimal"))?;
    let pinned = own.genesis().enterprise_genesis;
    let pinned = pinned
        .ok_or("the file has a proof of finality, but its genesis names no enterprise chain")?;
    let proved = LightClient::new(pinned).accept(own.chain_id(), &bytes);
    let proved =
        proved.map_err(|error| format!("the file's proof of finality does not hold: {error}"))?;
    let hash = proved.map(|block| block.hash());
    if !blocks.iter().any(|block| Some(block.hash()) == hash) {
        return Err(String::from(
            "the file's proof of finality is about a block that is not in the file",
        ));
    }
    Ok(bytes)
}

fn check_version(file: &File) -> Result<(), String> {
    let version = file
        .export_metadata
        .as_ref()
        .and_then(|metadata| metadata.export_version.as_deref());
    match version {
        Some(EXPORT_VERSION) => Ok(()),
        Some("1.0") | None => Err(String::from(
            "this is an unverified legacy file (version 1.0): nothing in it can be proved, so it is never merged into a verified chain",
        )),
        Some(other) => Err(format!(
            "the file's version is {other}, this node reads {EXPORT_VERSION}"
        )),
    }
}

fn check_chain_id(own: &Chain, file: &File) -> Result<(), String> {
    let (Some(chain_id), Some(genesis)) = (&file.chain_id, &file.genesis) else {
        return Err(String::from(
            "the file has no chain_id or no genesis, so it proves nothing",
        ));
    };
    let bytes =
        hex::decode(genesis).map_err(|_| String::from("the file's genesis is not hexadecimal"))?;
    let genesis = Genesis::decode(&bytes)
        .map_err(|error| format!("the file's genesis is invalid: {error}"))?;
    let (found, expected) = (genesis.chain_id(), own.chain_id());
    if *chain_id != found.to_string() {
        return Err(format!(
            "the file was tampered with: it names chain {chain_id}, but its genesis is that of {found}"
        ));
    }
    if found != expected {
        return Err(format!(
            "the file is of another chain ({}, {found}); this one is {}, {expected}",
            genesis.network_id,
            own.genesis().network_id
        ));
    }
    Ok(())
}

/// Signatures of a block that is here already were verified before.
fn check_block(own: &Chain, unchecked: UncheckedBlock) -> Result<Block, String> {
    match own.block(&unchecked.header.hash()) {
        Some(known) if known.encode() == unchecked.encode() => Ok(known.clone()),
        _ => unchecked
            .check(own.genesis())
            .map_err(|error| error.to_string()),
    }
}

fn explain(error: &ChainError) -> String {
    if let ChainError::UnknownParent { previous } = error {
        format!("it does not connect: its parent {previous} is neither in the file nor here")
    } else {
        format!("it is invalid: {error}")
    }
}
