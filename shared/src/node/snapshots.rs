//! Snapshots: one from a peer instead of thousands of bodies, and parts of the own one for peers.
//!
//! Only a node that knows a final block whose header is here takes one, and only of that block: then its root is proved by
//! work and its place by finality, and a peer that sends another lies. It is asked of one peer at a time, in parts of
//! 256 KiB, [`limits::SNAPSHOT_PARTS_IN_FLIGHT`] at once, and verified whole when the last is here
//! ([`crate::snapshot`]). The number of parts is in the first answer and bounds what is kept; another number
//! or length later, or a root that does not fit, ends the link. Silence for [`limits::SNAPSHOT_STALL_MS`] takes
//! the request to another peer, from the start; so does a whole of more than [`limits::SNAPSHOT_TOTAL_MS`]. Meanwhile no bodies are asked for.
//!
//! A node serves the snapshot of any block on its main chain whose state it can still compute. The encoded one is kept
//! for the next part; another is made at most once in [`limits::SNAPSHOT_MADE_MS`].

use alloc::{collections::BTreeMap, vec::Vec};

use super::{Keep, Node, NodeError, events::Event, limits, messages::blame, orphans::Source};
use crate::{
    hash::Hash,
    ids::{Height, PeerId, TimestampMs},
    message::{Bytes, Message, SNAPSHOT_PART_BYTES},
    snapshot::{Snapshot, SnapshotError},
};

/// What is asked of a peer, and what is served.
#[derive(Debug, Default)]
pub(super) struct Snapshots {
    fetch: Option<Fetch>,
    served: Option<Served>,
}

/// A snapshot on its way.
#[derive(Debug)]
struct Fetch {
    hash: Hash,
    from: PeerId,
    /// Known with the first answer.
    parts: Option<u32>,
    received: BTreeMap<u32, Vec<u8>>,
    next: u32,
    began_at: TimestampMs,
    progress_at: TimestampMs,
}

/// The snapshot that was asked for last.
#[derive(Debug)]
struct Served {
    hash: Hash,
    bytes: Vec<u8>,
    made_at: TimestampMs,
}

impl Snapshots {
    /// True while a snapshot is on its way.
    pub(super) const fn is_fetching(&self) -> bool {
        self.fetch.is_some()
    }

    pub(super) fn forget_peer(&mut self, peer: PeerId) {
        if self.fetch.as_ref().is_some_and(|fetch| fetch.from == peer) {
            self.fetch = None;
        }
    }

    /// When the fetch counts as stalled.
    pub(super) fn due_at(&self) -> Option<TimestampMs> {
        self.fetch.as_ref().map(|fetch| {
            let stalled = fetch.progress_at.plus_ms(limits::SNAPSHOT_STALL_MS);
            stalled.min(fetch.began_at.plus_ms(limits::SNAPSHOT_TOTAL_MS))
        })
    }
}

impl Node {
    /// Asks for a snapshot if one spares many bodies, and gives up a peer that is silent.
    pub(super) fn request_snapshot(&mut self, now: TimestampMs) {
        if let Some(fetch) = &self.snapshots.fetch
            && self.snapshots.due_at().is_some_and(|at| at <= now)
        {
            let (from, hash) = (fetch.from, fetch.hash);
            self.lacks_snapshot(from, hash);
        }
        if self.snapshots.is_fetching() {
            return;
        }
        let Some((height, hash)) = self.wanted_snapshot() else {
            return;
        };
        let able = |peer: &super::peer::Peer| {
            peer.lacked_snapshot != Some(hash)
                && peer.best.is_some_and(|best| best.height >= height)
        };
        let Some(from) = self
            .peers
            .iter()
            .find(|(_, peer)| able(peer))
            .map(|(id, _)| *id)
        else {
            return;
        };
        self.snapshots.fetch = Some(Fetch {
            hash,
            from,
            parts: None,
            received: BTreeMap::new(),
            next: 1,
            began_at: now,
            progress_at: now,
        });
        self.send(from, &Message::GetSnapshot { hash, part: 0 });
    }

    /// The final block whose header is here, if the main chain is far below it.
    fn wanted_snapshot(&self) -> Option<(Height, Hash)> {
        let (height, hash) = self.chain.floor()?;
        let tip = self.chain.tip().height;
        (height.0.saturating_sub(tip.0) >= limits::SNAPSHOT_GAP_BLOCKS).then_some((height, hash))
    }

    /// True if bodies are better asked for later: a snapshot may make them needless.
    pub(super) fn waits_for_snapshot(&self, now: TimestampMs) -> bool {
        let is_syncing_headers = self.chain.floor().map(|(height, _)| height)
            != self.chain.newest_final().map(|block| block.height())
            && now.since(self.downloads.progress_at) < limits::SNAPSHOT_STALL_MS;
        self.snapshots.is_fetching() || is_syncing_headers
    }

    fn lacks_snapshot(&mut self, from: PeerId, hash: Hash) {
        if let Some(peer) = self.peers.get_mut(&from) {
            peer.lacked_snapshot = Some(hash);
        }
        self.snapshots.forget_peer(from);
    }

    pub(super) fn on_no_snapshot(&mut self, from: PeerId, hash: Hash) -> Result<(), NodeError> {
        self.lacks_snapshot(from, hash);
        Ok(())
    }

    /// A part came. Late ones of a fetch that was given up are nobody's fault.
    pub(super) fn on_snapshot(
        &mut self,
        now: TimestampMs,
        from: PeerId,
        hash: Hash,
        place: (u32, u32),
        bytes: Bytes,
    ) -> Result<(), NodeError> {
        let (part, parts) = place;
        let fetch = self.snapshots.fetch.as_mut();
        let Some(fetch) = fetch.filter(|fetch| (fetch.from, fetch.hash) == (from, hash)) else {
            return Ok(());
        };
        let is_last = part.saturating_add(1) == parts;
        let fits = part < parts
            && *fetch.parts.get_or_insert(parts) == parts
            && (is_last || bytes.0.len() == SNAPSHOT_PART_BYTES);
        if !fits {
            return Err(blame(from, &"a snapshot whose parts do not fit together"));
        }
        fetch.received.insert(part, bytes.0);
        fetch.progress_at = now;
        let received = u32::try_from(fetch.received.len()).unwrap_or(u32::MAX);
        if received < parts {
            let end = received
                .saturating_add(limits::SNAPSHOT_PARTS_IN_FLIGHT)
                .min(parts);
            let asked = fetch.next..end;
            fetch.next = fetch.next.max(end);
            for part in asked {
                self.send(from, &Message::GetSnapshot { hash, part });
            }
            return Ok(());
        }
        let bytes = core::mem::take(&mut fetch.received)
            .into_values()
            .flatten()
            .collect::<Vec<u8>>();
        self.snapshots.fetch = None;
        self.take_snapshot(now, hash, &bytes)
            .map_err(|error| blame(from, &error))
    }

    /// Verifies a whole snapshot against the headers and continues from it.
    fn take_snapshot(
        &mut self,
        now: TimestampMs,
        allowed: Hash,
        bytes: &[u8],
    ) -> Result<(), SnapshotError> {
        let snapshot = Snapshot::decode(bytes)?;
        let found = snapshot.header().hash();
        if found != allowed {
            return Err(SnapshotError::OtherBlock { found, allowed });
        }
        let connected = match self.chain.adopt(&snapshot) {
            Ok(connected) => connected,
            // The bodies, or another final block, came meanwhile.
            Err(SnapshotError::NotNeeded) => return Ok(()),
            Err(error) => return Err(error),
        };
        let height = snapshot.header().height;
        self.store_snapshot(height, bytes.to_vec());
        self.event(Event::SnapshotTaken {
            height,
            senders: snapshot.state().len(),
        });
        self.on_main_chain_changed(now, Source::Offered, &[], &connected, Vec::new());
        self.drop_used_pending();
        self.downloads.progress_at = now;
        Ok(())
    }

    pub(super) fn on_get_snapshot(
        &mut self,
        now: TimestampMs,
        peer: PeerId,
        hash: Hash,
        part: u32,
    ) -> Result<(), NodeError> {
        let message = self.snapshot_part(now, hash, part);
        self.serve(peer, &message.unwrap_or(Message::NoSnapshot { hash }));
        Ok(())
    }

    fn snapshot_part(&mut self, now: TimestampMs, hash: Hash, part: u32) -> Option<Message> {
        let made = self.snapshots.served.as_ref();
        if made.is_none_or(|made| made.hash != hash) {
            if made.is_some_and(|made| now.since(made.made_at) < limits::SNAPSHOT_MADE_MS) {
                return None;
            }
            let height = self.chain.header(&hash)?.height;
            if self.chain.hash_at(height) != Some(hash) {
                return None;
            }
            let bytes = self.chain.snapshot_at(height)?.encode()?;
            self.snapshots.served = Some(Served {
                hash,
                bytes,
                made_at: now,
            });
        }
        let bytes = &self.snapshots.served.as_ref()?.bytes;
        let mut all = bytes.chunks(SNAPSHOT_PART_BYTES);
        let parts = u32::try_from(all.len()).ok()?;
        let bytes = Bytes(all.nth(usize::try_from(part).ok()?)?.to_vec());
        Some(Message::Snapshot {
            hash,
            part,
            parts,
            bytes,
        })
    }

    /// Asks for bodies below the snapshot when nothing else is to do: an archive has them all in the end.
    pub(super) fn request_history(&mut self, now: TimestampMs) {
        let is_behind = self.chain.best_header().work > self.chain.tip().work;
        if self.keep != Keep::Archive || is_behind || self.timers.first_sync.is_some() {
            return;
        }
        let missing = self.chain.missing_below(limits::HISTORY_IN_FLIGHT);
        self.ask_bodies(now, missing, limits::HISTORY_IN_FLIGHT);
    }

    /// What follows from bodies that were executed below: their transactions are confirmed, and at the end the snapshot is
    /// needed no more.
    pub(super) fn on_filled(&mut self) {
        let filled = self.chain.take_filled();
        if filled.is_empty() {
            return;
        }
        let mut changes = Vec::new();
        let events = self.move_transactions(&[], &filled, &mut changes);
        if self.chain.bodies_from() == Height(1) {
            changes.extend(self.stored_base.forget());
        }
        self.persist(changes);
        events.into_iter().for_each(|event| self.event(event));
    }
}
