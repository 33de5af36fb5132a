//! What a validator shows a light client that holds another header than it has itself at some height.
//!
//! A [`FinalityProof`](super::FinalityProof) has the newest header of whoever makes it. If the enterprise chain has split and the other branch
//! has gone past the height of the asker, such a proof is refused, but nothing in it shows who signed both. So the asker
//! names the header that it holds ([`HeaderId`]), and whoever has another one there answers with that.
//!
//! | bytes | field |
//! | ---: | --- |
//! | 2 | format: 3 (1 and 2 are proofs of finality) |
//! | 4 + n | the enterprise genesis |
//! | 2 | number of links, then each with its length (4): the changes of the validators below the height, oldest first |
//! | … | the checkpoint of the height, to the end |
//!
//! It proves nothing alone, and is never kept: with the known header it is a [`Split`](super::Split), or it is refused. Limits:
//! [`PROOF_BYTES_MAX`](super::PROOF_BYTES_MAX) bytes, checked before anything is read.

use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use super::checkpoint::Checkpoint;
use super::genesis::EnterpriseGenesis;
use super::header::EnterpriseHeight;
use super::light::{LightError, check_proof_bytes, read_links};
use super::set_change::SetLink;
use crate::encoding::{Reader, Writer};
use crate::hash::Hash;

/// A header by its height and hash; in text `height:hash`, decimal and hexadecimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderId {
    /// The height.
    pub height: EnterpriseHeight,
    /// The hash.
    pub hash: Hash,
}

impl fmt::Display for HeaderId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.height, self.hash)
    }
}

/// A text names no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a header is named as height:hash, decimal and 64 hexadecimal digits")]
pub struct HeaderIdError;

impl FromStr for HeaderId {
    type Err = HeaderIdError;

    fn from_str(text: &str) -> Result<Self, HeaderIdError> {
        let (height, hash) = text.split_once(':').ok_or(HeaderIdError)?;
        let height = height.parse().map_err(|_| HeaderIdError)?;
        Ok(Self {
            height: EnterpriseHeight(height),
            hash: hash.parse().map_err(|_| HeaderIdError)?,
        })
    }
}

/// A decided header and how to verify it; strangers' bytes until [`LightClient::accept`](super::LightClient::accept) read them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Branch {
    /// The enterprise genesis.
    pub genesis: EnterpriseGenesis,
    /// The changes of its validators below the height, oldest first.
    pub links: Vec<SetLink>,
    /// The header of the height.
    pub checkpoint: Checkpoint,
}

impl Branch {
    const FORMAT: u16 = 3;

    /// The bytes described above.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer
            .u16(Self::FORMAT)
            .counted_bytes(&self.genesis.encode())
            .u16(u16::try_from(self.links.len()).unwrap_or(u16::MAX));
        for link in &self.links {
            writer.counted_bytes(&link.encode());
        }
        writer.bytes(&self.checkpoint.encode());
        writer.finish()
    }

    /// Whether these bytes begin as a branch does.
    pub(super) fn is_begun(bytes: &[u8]) -> bool {
        bytes.starts_with(&Self::FORMAT.to_be_bytes())
    }

    /// Reads a branch; nothing in it is verified.
    ///
    /// # Errors
    /// [`LightError`] naming what is not in the one layout or too large.
    pub fn decode(bytes: &[u8]) -> Result<Self, LightError> {
        check_proof_bytes(bytes)?;
        let mut reader = Reader::new(bytes);
        let format = reader.u16()?;
        if format != Self::FORMAT {
            return Err(LightError::Format { found: format });
        }
        let genesis = EnterpriseGenesis::decode(reader.counted_bytes("a genesis", u32::MAX)?)?;
        let count = reader.u16()?;
        let links = read_links(&mut reader, count)?;
        let checkpoint = Checkpoint::decode(reader.bytes(reader.remaining())?)?;
        Ok(Self {
            genesis,
            links,
            checkpoint,
        })
    }
}
