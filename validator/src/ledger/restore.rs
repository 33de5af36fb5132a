//! A ledger from a snapshot.
//!
//! The bytes are those of a verified manifest, so that a quorum vouches for them; what comes out is compared with the block's
//! header all the same: state root, log root and size, next validators, and each tenant's state with the state root of its
//! newest final header.

use std::collections::{BTreeMap, BTreeSet};

use shared::chain::HeaderPoint;
use shared::encoding::{DecodeError, Reader};
use shared::enterprise::{
    Anchor, EnterpriseError, EnterpriseGenesis, EnterpriseHeight, Entry, LogEntry, SnapshotProof,
    ValidatorSet, Verifier,
};
use shared::hash::Hash;
use shared::ids::{ChainId, Sequence};
use shared::snapshot::SnapshotError;
use shared::state::SparseMap;

use super::history::{CHUNK_BYTES, History, Record};
use super::pending::Subject;
use super::snapshot::FORMAT;
use super::{Ledger, Signatures};
use crate::body::{Body, BodyError, UncheckedBody, is_private};
use crate::replica::Rotation;
use crate::store::{BodyKey, Head};

/// A ledger that stands on a snapshot's block.
#[derive(Debug)]
pub struct Restored {
    /// The ledger.
    pub ledger: Ledger,
    /// Who was absent.
    pub rotation: Rotation,
    /// The bodies of anchored blocks that are not final.
    pub bodies: Vec<(BodyKey, Vec<u8>)>,
    /// The enterprise block of every anchored block.
    pub anchors: Vec<(BodyKey, EnterpriseHeight)>,
}

/// Why there is no ledger in a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// It ends early, or holds something malformed.
    #[error(transparent)]
    Encoding(#[from] DecodeError),
    /// The proof, an entry or a root.
    #[error(transparent)]
    Enterprise(#[from] EnterpriseError),
    /// A tenant's header or body breaks a rule.
    #[error("tenant block {hash}: {error}")]
    Block {
        /// The block.
        hash: Hash,
        /// The rule.
        error: BodyError,
    },
    /// A tenant's state is not that of its newest final block.
    #[error("the state of tenant {chain_id}: {error}")]
    State {
        /// The tenant.
        chain_id: ChainId,
        /// What is wrong.
        error: SnapshotError,
    },
    /// Bytes that are none of what must come next.
    #[error("the snapshot holds {0}")]
    Unexpected(&'static str),
}

impl Ledger {
    /// Verifies a proof and makes the ledger that its snapshot describes; `bytes` are the chunks, each with the hash that the manifest names.
    ///
    /// # Errors
    /// [`RestoreError`] naming what does not hold.
    pub fn restore(
        genesis: &EnterpriseGenesis,
        proof: &SnapshotProof,
        bytes: &[u8],
        signatures: Signatures,
    ) -> Result<Restored, RestoreError> {
        let set = proof.verify(genesis)?;
        let split = usize::try_from(proof.manifest.history_bytes).unwrap_or(usize::MAX);
        let parts = bytes.split_at_checked(split);
        let (history, live) = parts.ok_or(RestoreError::Unexpected("too few bytes"))?;
        let mut restoring = Restoring {
            ledger: Self::new(genesis.clone()),
            anchors: Vec::new(),
        };
        restoring.execute(history)?;
        restoring.compare(proof)?;
        let mut reader = Reader::new(live);
        let rotation = restoring.stand(&mut reader, proof, set)?;
        let bodies = restoring.read_tenants(&mut reader, signatures)?;
        reader.finish()?;
        let Restoring {
            mut ledger,
            anchors,
        } = restoring;
        let whole = history.len() / CHUNK_BYTES;
        let tail = history.get(whole.saturating_mul(CHUNK_BYTES)..);
        let chunks = proof.manifest.chunks.iter().take(whole).copied().collect();
        ledger.history = History::continued(chunks, tail.unwrap_or_default().to_vec());
        ledger.base = Head {
            height: proof.manifest.height,
            hash: proof.manifest.block_hash,
        };
        ledger.changed = ledger.tenants.keys().copied().collect();
        Ok(Restored {
            ledger,
            rotation,
            bodies,
            anchors,
        })
    }

    /// The block that this ledger began with: that of a snapshot, or the genesis.
    #[must_use]
    pub const fn base(&self) -> Head {
        self.base
    }
}

struct Restoring {
    ledger: Ledger,
    anchors: Vec<(BodyKey, EnterpriseHeight)>,
}

impl Restoring {
    /// Executes the entries of all blocks again.
    fn execute(&mut self, history: &[u8]) -> Result<(), RestoreError> {
        let mut reader = Reader::new(history);
        let mut height = EnterpriseHeight(0);
        while reader.remaining() > 0 {
            let record = Record::read(&mut reader)?;
            if record.head.height != height.next() {
                let (found, expected) = (record.head.height, height.next());
                return Err(EnterpriseError::Height { found, expected }.into());
            }
            height = record.head.height;
            self.take(record)?;
        }
        Ok(())
    }

    fn take(&mut self, record: Record) -> Result<(), RestoreError> {
        let Record {
            head,
            version,
            time,
            entries,
        } = record;
        let (entries, counts): (Vec<Entry>, Vec<usize>) = entries.into_iter().unzip();
        let ledger = &mut self.ledger;
        let effects = ledger.state.execute(version, time, &entries)?;
        let told = effects.entries().to_vec();
        ledger.state.apply(effects);
        let of_entries = entries
            .iter()
            .filter_map(|entry| Subject::of(entry).chain_id());
        let mut touched: BTreeSet<ChainId> = of_entries.collect();
        touched.extend(told.iter().map(LogEntry::chain_id));
        for entry in &entries {
            if let Entry::TenantRegistered(genesis) = entry {
                ledger.settle_tenant(genesis);
            }
        }
        let (mut counts, mut refused) = (counts.into_iter(), None);
        let anchors = &mut self.anchors;
        ledger.follow(head, &entries, told, |ledger, entry| {
            let count = counts.next().unwrap_or(0);
            match ledger.take_anchored_header(entry, count) {
                Ok(key) => anchors.extend(key.map(|key| (key, head.height))),
                Err(error) => refused = refused.take().or(Some(error)),
            }
        });
        if let Some(error) = refused {
            return Err(error);
        }
        for chain_id in touched {
            ledger.stand(chain_id, head, time);
        }
        Ok(())
    }

    /// Whether the history comes to what the header commits to.
    fn compare(&self, proof: &SnapshotProof) -> Result<(), RestoreError> {
        let (header, state) = (&proof.checkpoint.header, &self.ledger.state);
        for (field, found, computed) in [
            ("the state root", header.state_root, state.state_root()),
            ("the log root", header.log_root, state.log().root()),
        ] {
            if found != computed {
                return Err(EnterpriseError::Mismatch {
                    field,
                    found,
                    computed,
                }
                .into());
            }
        }
        if header.log_size != state.log().size() {
            return Err(RestoreError::Unexpected("another log than its header"));
        }
        Ok(())
    }

    /// Puts the ledger's verifier onto the header.
    fn stand(
        &mut self,
        reader: &mut Reader<'_>,
        proof: &SnapshotProof,
        set: ValidatorSet,
    ) -> Result<Rotation, RestoreError> {
        if reader.u16()? != FORMAT {
            return Err(RestoreError::Unexpected(
                "another format than this program knows",
            ));
        }
        let changes = reader.u32()?;
        let coming = match reader.counted_bytes("a validator set", u32::MAX)? {
            [] => None,
            bytes => Some(ValidatorSet::decode(bytes)?),
        };
        let rotation = Rotation::decode(reader.counted_bytes("the absent", u32::MAX)?)?;
        let header = &proof.checkpoint.header;
        let ledger = &mut self.ledger;
        ledger.verifier = Verifier::standing_on(&ledger.genesis, header, set, coming, changes)?;
        ledger.links.clone_from(&proof.links);
        ledger.newest = Some((header.clone(), proof.checkpoint.certificate.clone()));
        Ok(rotation)
    }

    /// The state of each tenant at its newest final block, and the bodies above it.
    fn read_tenants(
        &mut self,
        reader: &mut Reader<'_>,
        signatures: Signatures,
    ) -> Result<Vec<(BodyKey, Vec<u8>)>, RestoreError> {
        let states = self.ledger.state.states();
        let tenants: Vec<ChainId> = states.map(|state| state.chain_id).collect();
        let mut bodies = Vec::new();
        for chain_id in tenants {
            let floor = self.read_state(reader, chain_id)?;
            let tenant = self.ledger.tenants.get_mut(&chain_id);
            let live = tenant.map(|tenant| tenant.live(floor)).unwrap_or_default();
            if usize::try_from(reader.u32()?) != Ok(live.len()) {
                let what = "another number of blocks than are not final";
                return Err(RestoreError::Unexpected(what));
            }
            for hash in live {
                let bytes = reader.counted_bytes("the length of a block", u32::MAX)?;
                let key = self.ledger.take_live(chain_id, hash, bytes, signatures)?;
                bodies.push((key, bytes.to_vec()));
            }
            if let Some(tenant) = self.ledger.tenants.get_mut(&chain_id) {
                tenant.show_messages();
            }
        }
        Ok(bodies)
    }

    fn read_state(
        &mut self,
        reader: &mut Reader<'_>,
        chain_id: ChainId,
    ) -> Result<Hash, RestoreError> {
        let newest = self.ledger.state.newest_final(&chain_id).copied();
        let newest = match (reader.u8()?, newest) {
            (0, None) => return Ok(chain_id.0),
            (1, Some(newest)) => newest,
            _ => return Err(RestoreError::Unexpected("another final block")),
        };
        let key = (chain_id, newest.hash());
        let point = self.ledger.headers.get(&key);
        let point = point.ok_or(RestoreError::Unexpected("no header of a final block"))?;
        let tenant = self.ledger.tenants.get_mut(&chain_id);
        if tenant.is_some_and(|tenant| is_private(tenant.genesis())) {
            // Its state is nobody's to see.
            if reader.u32()? != 0 {
                return Err(RestoreError::Unexpected("the state of a private tenant"));
            }
            let point = point.of_private();
            self.ledger.points.insert(key, point);
            return Ok(newest.hash());
        }
        let mut entries = Vec::new();
        for _ in 0..reader.u32()? {
            entries.push((reader.hash()?, Sequence(reader.u64()?)));
        }
        let failed = |error| RestoreError::State { chain_id, error };
        let state = SparseMap::from_entries(&entries);
        let state = state.ok_or_else(|| failed(SnapshotError::Order))?;
        let point = point.with_state(state.clone()).map_err(failed)?;
        self.ledger.points.insert(key, point);
        if let Some(tenant) = self.ledger.tenants.get_mut(&chain_id) {
            tenant.chain.adopt_at_floor(state).map_err(failed)?;
        }
        Ok(newest.hash())
    }
}

impl Ledger {
    /// Takes the header of the block that an entry anchors, if it does; answers what that block is stored by. `count` is
    /// the number of its transactions.
    fn take_anchored_header(
        &mut self,
        entry: &Entry,
        count: usize,
    ) -> Result<Option<BodyKey>, RestoreError> {
        let Some(anchor) = entry.anchored() else {
            return Ok(None);
        };
        let key = self.take_header(&anchor)?;
        let previous = &anchor.header.previous;
        if let Entry::ReportAnchored(report) = entry {
            let id = report.id();
            self.count_report(key, previous, id);
            return Ok(Some((key.0, id)));
        }
        self.count(key, previous, count);
        Ok(Some(key))
    }

    /// Takes an anchored block's header.
    fn take_header(&mut self, anchor: &Anchor) -> Result<BodyKey, RestoreError> {
        let Anchor { chain_id, header } = anchor;
        let unknown = || EnterpriseError::TenantUnknown(*chain_id);
        let tenant = self.tenants.get_mut(chain_id).ok_or_else(unknown)?;
        let key = (*chain_id, header.hash());
        let parent = match self.headers.get(&(*chain_id, header.previous)) {
            Some(parent) => *parent,
            None => HeaderPoint::genesis(tenant.genesis()),
        };
        let point = parent.next(tenant.genesis(), header);
        let point = point.map_err(|error| failed(key.1, error.into()))?;
        self.headers.insert(key, point);
        // What a full tree drops is dropped here as it was there.
        if let Err(error) = tenant.chain.insert_header(header, header.timestamp) {
            tracing::warn!(%chain_id, hash = %key.1, %error, "an anchored header is not kept in memory");
        }
        Ok(key)
    }

    /// Takes the body of an anchored block that is not final; answers what it is stored by.
    fn take_live(
        &mut self,
        chain_id: ChainId,
        hash: Hash,
        bytes: &[u8],
        signatures: Signatures,
    ) -> Result<BodyKey, RestoreError> {
        let body = UncheckedBody::decode(bytes).map_err(|error| failed(hash, error))?;
        let unknown = || EnterpriseError::TenantUnknown(chain_id);
        let tenant = self.tenants.get_mut(&chain_id).ok_or_else(unknown)?;
        let stored_by = tenant.report_of(&hash).unwrap_or(hash);
        if body.id() != stored_by {
            return Err(RestoreError::Unexpected("a block in another's place"));
        }
        let genesis = std::sync::Arc::clone(tenant.genesis());
        let previous = (chain_id, body.header().previous);
        let body = match signatures {
            Signatures::Verified => body.check_archived(&genesis),
            Signatures::Verify => body.check(&genesis),
        };
        let body = body.map_err(|error| failed(hash, error))?;
        let first = || shared::chain::Point::genesis(&genesis);
        let parent = self.points.get(&previous).cloned().unwrap_or_else(first);
        let point = match &body {
            Body::Whole(block) => parent.next(&genesis, block),
            Body::Sealed(block) => parent.next_header(&genesis, block.header()),
        };
        let point = point.map_err(|error| failed(hash, error.into()))?;
        self.points.insert((chain_id, hash), point);
        let time = body.header().timestamp;
        if let Err(error) = tenant.chain.insert(body, time) {
            tracing::warn!(%chain_id, %hash, %error, "an anchored block is not kept in memory");
        }
        Ok((chain_id, stored_by))
    }
}

const fn failed(hash: Hash, error: BodyError) -> RestoreError {
    RestoreError::Block { hash, error }
}

/// Header points of blocks whose state is not here.
pub(super) type Headers = BTreeMap<BodyKey, HeaderPoint>;
