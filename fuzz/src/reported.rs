//! Reports of private networks, resets with their receipts, and proofs of snapshots: good ones, and their decoders.

use shared::{
    enterprise::{
        Certificate, Checkpoint, EnterpriseHeader, Entry, Reset, ResetReceipt, SnapshotManifest,
        SnapshotProof,
    },
    genesis::{Access, Genesis},
    hash::Hash,
    header::Header,
    identity::Identity,
    ids::{Height, Signature},
    private::RoomId,
    report::{Report, UncheckedSealed},
};

use crate::{corpus, enterprise, targets::same};

/// The fuzzed network, private; its owner is its reporter, too.
pub(crate) fn genesis() -> Genesis {
    let open = corpus::genesis();
    Genesis {
        access: Access::Private {
            join_key: open.owner,
            reporters: vec![open.owner],
        },
        ..open
    }
}

/// Blocks as they are reported.
pub(crate) fn sealed() -> Vec<UncheckedSealed> {
    let (owner, chain_id) = (Identity::from_seed([1; 32]), genesis().chain_id());
    let headers = corpus::headers();
    let headers = headers
        .iter()
        .filter_map(|bytes| Header::decode(bytes).ok());
    let seal = |header| {
        let body = b"sealed".to_vec();
        UncheckedSealed::new(Report::sign(&owner, chain_id, header, &body), body).ok()
    };
    headers.filter_map(seal).collect()
}

/// Its room.
pub(crate) fn room() -> RoomId {
    RoomId::of(&corpus::genesis().owner)
}

/// The owner's reset of all that is final.
pub(crate) fn reset() -> Reset {
    let (owner, chain_id) = (Identity::from_seed([1; 32]), genesis().chain_id());
    Reset::sign(&owner, chain_id, 1, Height(1), chain_id.0)
}

/// Reports with and without their bodies, resets, their receipts, manifests and proofs of snapshots.
pub(crate) fn corpus() -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = Vec::new();
    for block in sealed() {
        let report = block.report().clone();
        all.extend([block.encode(), report.encode()]);
        all.push(Entry::ReportAnchored(Box::new(report)).encode());
    }
    let reset = reset();
    all.extend([
        reset.encode(),
        Entry::TenantReset(Box::new(reset.clone())).encode(),
    ]);
    let Some((header, certificate)) = enterprise::decided() else {
        return all;
    };
    all.extend(proofs(reset, header, certificate));
    all
}

fn proofs(reset: Reset, header: EnterpriseHeader, certificate: Certificate) -> Vec<Vec<u8>> {
    let manifest = SnapshotManifest {
        height: header.height,
        block_hash: header.hash(),
        history_bytes: 7,
        bytes: 300_000,
        chunks: vec![Hash([1; 32]), Hash([2; 32])],
    };
    let checkpoint = Checkpoint {
        header,
        certificate,
    };
    let receipt = ResetReceipt {
        reset,
        index: 3,
        path: vec![Hash([5; 32]); 2],
        checkpoint: checkpoint.clone(),
    };
    let proof = SnapshotProof {
        links: Vec::new(),
        checkpoint,
        manifest: manifest.clone(),
        signatures: vec![(0, Signature([4; 64])), (2, Signature([5; 64]))],
    };
    vec![receipt.encode(), manifest.encode(), proof.encode()]
}

/// Every decoder of them; what is checked further may be refused.
pub(crate) fn run(bytes: &[u8]) {
    same(Report::decode(bytes).map(|report| report.encode()), bytes);
    same(Reset::decode(bytes).map(|reset| reset.encode()), bytes);
    same(
        ResetReceipt::decode(bytes).map(|receipt| receipt.encode()),
        bytes,
    );
    same(
        SnapshotManifest::decode(bytes).map(|manifest| manifest.encode()),
        bytes,
    );
    same(
        SnapshotProof::decode(bytes).map(|proof| proof.encode()),
        bytes,
    );
    same(Entry::decode(bytes).map(|entry| entry.encode()), bytes);
    let sealed = UncheckedSealed::decode(bytes);
    same(
        sealed.as_ref().map(UncheckedSealed::encode).map_err(drop),
        bytes,
    );
    if let Ok(sealed) = sealed {
        let genesis = genesis();
        let archived = sealed.clone().check_archived(&genesis);
        same(archived.map(|block| block.encode()).map_err(drop), bytes);
        let checked = sealed.check(&genesis);
        same(checked.map(|block| block.encode()).map_err(drop), bytes);
    }
}
