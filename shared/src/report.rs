//! Reports: how the blocks of a private network come before the enterprise chain, which sees their headers only
//! (PROTOCOL §4).
//!
//! A report is signed by a reporter key of the genesis and means "I executed this block and hold every body". The body goes
//! with it sealed: opaque bytes that only members can open, kept and served by hash.
//!
//! | bytes | field |
//! | ---: | --- |
//! | 2 | format 1; a tenant block begins with 2 or more, so that none is the other |
//! | 32 | chain id |
//! | 116 | tenant header |
//! | 32 | SHA-256 of the sealed body |
//! | 4 | its length |
//! | 32 | the reporter's key |
//! | 64 | its signature over the fields before it, domain [`Report::DOMAIN`], under the chain id |
//!
//! A sealed block is these 282 bytes and then the sealed body, to the end. Its id, under which it is stored and asked for,
//! is the SHA-256 of the report: two reporters may seal one block differently, and what is decided names one of them.
//!
//! Nothing here opens a body, and nobody but members can say whether it is the header's: that is what the reporter vouches
//! for. A header is held to all that a header alone can be ([`Point::next_header`](crate::chain::Point::next_header)).
//!
//! Limits: a sealed body of the genesis' block bytes and [`SEAL_BYTES_MAX`] more, checked before anything is hashed.

use alloc::vec::Vec;

use crate::{
    block::{BlockError, check_header},
    encoding::{DecodeError, Reader, Writer, in_range},
    genesis::{Access, Genesis},
    hash::{Hash, sha256},
    header::{HEADER_BYTES, Header},
    identity::{Identity, Verifier, Verify},
    ids::{ChainId, PublicKey, Signature},
    limits,
};

/// How much longer a sealed body may be than the block in it: nonce, tag and a few bytes for the seal's own use.
pub const SEAL_BYTES_MAX: u32 = 24 + 16 + 24;
/// Bytes of a sealed body in any network.
pub const SEALED_BYTES_MAX: u32 = limits::BLOCK_BYTES_MAX + SEAL_BYTES_MAX;

/// The claim that a reporter executed a block; it proves nothing before [`UncheckedSealed::check`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The chain.
    pub chain_id: ChainId,
    /// The block's header.
    pub header: Header,
    /// SHA-256 of the sealed body.
    pub sealed_hash: Hash,
    /// Length of the sealed body, bytes.
    pub sealed_bytes: u32,
    /// Who reports.
    pub reporter: PublicKey,
    /// The reporter's signature.
    pub signature: Signature,
}

/// A report is not one that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// The bytes are not in the one layout.
    #[error(transparent)]
    Encoding(#[from] DecodeError),
    /// The network is open: its blocks come whole.
    #[error("the network is open: its blocks are reported with their bodies")]
    Open,
    /// The report is another chain's.
    #[error("a report of chain {found}, this is {allowed}")]
    OtherChain {
        /// The chain met.
        found: ChainId,
        /// This chain.
        allowed: ChainId,
    },
    /// The signer is no reporter of the genesis.
    #[error("{0} is not a reporter of the genesis")]
    NotAReporter(PublicKey),
    /// The signature is not the reporter's over this report.
    #[error("the report's signature does not hold")]
    Signature,
    /// The sealed body is another one.
    #[error("a sealed body of {found} bytes, the report names {allowed}")]
    Length {
        /// Its length.
        found: u64,
        /// The length in the report.
        allowed: u64,
    },
    /// The sealed body is another one.
    #[error("the sealed body is {found}, the report names {allowed}")]
    Body {
        /// Its hash.
        found: Hash,
        /// The hash in the report.
        allowed: Hash,
    },
    /// The header breaks a rule that it can be held to alone.
    #[error(transparent)]
    Header(#[from] BlockError),
}

impl Report {
    /// The domain that reports are signed under.
    pub const DOMAIN: &'static str = "distli/report/1";
    /// The length of an encoded report.
    pub const BYTES: usize = 2 + 32 + HEADER_BYTES + 32 + 4 + 32 + 64;

    /// Reports a block whose body is sealed.
    #[must_use]
    pub fn sign(identity: &Identity, chain_id: ChainId, header: Header, sealed: &[u8]) -> Self {
        let mut report = Self {
            chain_id,
            header,
            sealed_hash: sha256(&[sealed]),
            sealed_bytes: u32::try_from(sealed.len()).unwrap_or(u32::MAX),
            reporter: identity.public_key(),
            signature: Signature([0; 64]),
        };
        report.signature = identity.sign(Self::DOMAIN, chain_id, &report.signed_bytes());
        report
    }

    /// What it is stored and asked for by: SHA-256 of its bytes.
    #[must_use]
    pub fn id(&self) -> Hash {
        sha256(&[&self.encode()])
    }

    fn signed_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::with_capacity(Self::BYTES);
        writer
            .u16(FORMAT)
            .bytes(&self.chain_id.0.0)
            .bytes(&self.header.encode())
            .bytes(&self.sealed_hash.0)
            .u32(self.sealed_bytes)
            .bytes(&self.reporter.0);
        writer.finish()
    }

    /// The bytes described above.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = self.signed_bytes();
        bytes.extend(self.signature.0);
        bytes
    }

    /// Reads exactly [`Self::BYTES`] bytes.
    ///
    /// # Errors
    /// [`DecodeError`] when they are not in the one layout, or name a body longer than any may be.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let format = reader.u16()?;
        in_range("report format", format.into(), FORMAT.into(), FORMAT.into())?;
        let chain_id = ChainId(reader.hash()?);
        let header = Header::decode(reader.bytes(HEADER_BYTES)?)?;
        let sealed_hash = reader.hash()?;
        let sealed_bytes = reader.u32()?;
        in_range(
            "sealed bytes",
            sealed_bytes.into(),
            0,
            SEALED_BYTES_MAX.into(),
        )?;
        let report = Self {
            chain_id,
            header,
            sealed_hash,
            sealed_bytes,
            reporter: reader.public_key()?,
            signature: reader.signature()?,
        };
        reader.finish()?;
        Ok(report)
    }

    /// Whether a reporter of this genesis signed it. The header's rules are not looked at.
    ///
    /// # Errors
    /// [`ReportError`] naming what does not hold; cheap checks come before the signature.
    pub fn verify(&self, genesis: &Genesis) -> Result<(), ReportError> {
        self.verify_with(genesis, &mut Verifier::default())
    }

    /// The same, by what the verifier knows of keys.
    ///
    /// # Errors
    /// As there.
    pub fn verify_with(
        &self,
        genesis: &Genesis,
        verifier: &mut impl Verify,
    ) -> Result<(), ReportError> {
        self.check_claim(genesis)?;
        let bytes = self.signed_bytes();
        let (chain, key) = (self.chain_id, &self.reporter);
        let verdict = verifier.verify(Self::DOMAIN, chain, key, &bytes, &self.signature);
        verdict.map_err(|_| ReportError::Signature)
    }

    /// All of [`Self::verify`] but the signature.
    fn check_claim(&self, genesis: &Genesis) -> Result<(), ReportError> {
        let Access::Private { reporters, .. } = &genesis.access else {
            return Err(ReportError::Open);
        };
        let (found, allowed) = (self.chain_id, genesis.chain_id());
        if found != allowed {
            return Err(ReportError::OtherChain { found, allowed });
        }
        let most = genesis.rules.block_bytes_max.saturating_add(SEAL_BYTES_MAX);
        in_range("sealed bytes", self.sealed_bytes.into(), 0, most.into())?;
        if reporters.binary_search(&self.reporter).is_err() {
            return Err(ReportError::NotAReporter(self.reporter));
        }
        Ok(())
    }
}

/// A report with the sealed body that it names; nothing else of it is checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UncheckedSealed {
    report: Report,
    sealed: Vec<u8>,
}

impl UncheckedSealed {
    /// Puts a report and its body together.
    ///
    /// # Errors
    /// The body is not the one that the report names.
    pub fn new(report: Report, sealed: Vec<u8>) -> Result<Self, ReportError> {
        let found = u64::try_from(sealed.len()).unwrap_or(u64::MAX);
        let allowed = u64::from(report.sealed_bytes);
        if found != allowed {
            return Err(ReportError::Length { found, allowed });
        }
        let (found, allowed) = (sha256(&[&sealed]), report.sealed_hash);
        if found != allowed {
            return Err(ReportError::Body { found, allowed });
        }
        Ok(Self { report, sealed })
    }

    /// Whether bytes are a sealed block's rather than an open one's.
    #[must_use]
    pub fn is_one(bytes: &[u8]) -> bool {
        bytes.starts_with(&FORMAT.to_be_bytes())
    }

    /// Reads a sealed block.
    ///
    /// # Errors
    /// The report is malformed, or the body after it is not the one that it names.
    pub fn decode(bytes: &[u8]) -> Result<Self, ReportError> {
        let mut reader = Reader::new(bytes);
        let report = Report::decode(reader.bytes(Report::BYTES)?)?;
        let (found, allowed) = (reader.remaining(), u64::from(report.sealed_bytes));
        let found = u64::try_from(found).unwrap_or(u64::MAX);
        if found != allowed {
            return Err(ReportError::Length { found, allowed });
        }
        let sealed = reader.bytes(reader.remaining())?.to_vec();
        Self::new(report, sealed)
    }

    /// The report and the body after it.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = self.report.encode();
        bytes.extend_from_slice(&self.sealed);
        bytes
    }

    /// The report.
    #[must_use]
    pub const fn report(&self) -> &Report {
        &self.report
    }

    /// Checks all that can be without the chain: the header's own work, then the reporter and its signature.
    ///
    /// # Errors
    /// [`ReportError`] naming what does not hold.
    pub fn check(self, genesis: &Genesis) -> Result<SealedBlock, ReportError> {
        self.check_with(genesis, &mut Verifier::default())
    }

    /// The same, by what the verifier knows of keys.
    ///
    /// # Errors
    /// As there.
    pub fn check_with(
        self,
        genesis: &Genesis,
        verifier: &mut impl Verify,
    ) -> Result<SealedBlock, ReportError> {
        self.report.check_claim(genesis)?;
        check_header(&self.report.header, &genesis.rules)?;
        self.report.verify_with(genesis, verifier)?;
        Ok(self.checked())
    }

    /// The same without the signature, for what the own store holds.
    ///
    /// # Errors
    /// [`ReportError`] naming what does not hold.
    pub fn check_archived(self, genesis: &Genesis) -> Result<SealedBlock, ReportError> {
        self.report.check_claim(genesis)?;
        check_header(&self.report.header, &genesis.rules)?;
        Ok(self.checked())
    }

    fn checked(self) -> SealedBlock {
        SealedBlock {
            hash: self.report.header.hash(),
            id: self.report.id(),
            inner: self,
        }
    }
}

/// A block of a private network as one of its reporters vouches for it; not yet part of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedBlock {
    inner: UncheckedSealed,
    hash: Hash,
    id: Hash,
}

impl SealedBlock {
    /// The report.
    #[must_use]
    pub const fn report(&self) -> &Report {
        &self.inner.report
    }

    /// The header.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.inner.report.header
    }

    /// The block hash.
    #[must_use]
    pub const fn hash(&self) -> Hash {
        self.hash
    }

    /// The report's id.
    #[must_use]
    pub const fn id(&self) -> Hash {
        self.id
    }

    /// The report and its body, as they came.
    #[must_use]
    pub const fn unchecked(&self) -> &UncheckedSealed {
        &self.inner
    }

    /// The sealed body.
    #[must_use]
    pub fn sealed(&self) -> &[u8] {
        &self.inner.sealed
    }

    /// How many bytes [`Self::encode`] gives.
    #[must_use]
    pub const fn encoded_len(&self) -> usize {
        Report::BYTES.saturating_add(self.inner.sealed.len())
    }

    /// The report and the sealed body.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        self.inner.encode()
    }
}

const FORMAT: u16 = 1;

#[cfg(test)]
mod tests;
