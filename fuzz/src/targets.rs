//! The decoders, each with its good inputs and the property that holds for what it lets pass.

use core::fmt::Debug;

use api::{
    BlockchainUpdate, ReportedBlock, TenantBlock,
    ws::{ClientMessage, ServerMessage},
};
use shared::{
    block::UncheckedBlock, genesis::Genesis, hash::Hash, header::Header, ids::PeerId,
    mesh::Invitation, message::Message, report::UncheckedSealed, snapshot::Snapshot,
    transaction::Transaction,
};
use tracker::hub::ConnectionId;
use tracker::hub::message::{Incoming, parse};
use tracker::ledger::{self, Forwarding, Ledger};

use crate::{corpus, enterprise, machines, reported, splits, texts, validators};

/// One decoder.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name.
    pub name: &'static str,
    /// Panics on a finding.
    pub run: fn(&[u8]),
    /// Good inputs.
    pub corpus: fn() -> Vec<Vec<u8>>,
}

/// The decoder of this name.
#[must_use]
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target {
        name: "genesis",
        run: genesis,
        corpus: corpus::geneses,
    },
    Target {
        name: "transaction",
        run: transaction,
        corpus: corpus::transactions,
    },
    Target {
        name: "header",
        run: header,
        corpus: corpus::headers,
    },
    Target {
        name: "block",
        run: block,
        corpus: corpus::blocks,
    },
    Target {
        name: "message",
        run: message,
        corpus: corpus::messages,
    },
    Target {
        name: "node_message",
        run: machines::node_message,
        corpus: corpus::messages,
    },
    Target {
        name: "node_records",
        run: machines::node_records,
        corpus: records,
    },
    Target {
        name: "frames",
        run: machines::frames,
        corpus: corpus::chunks,
    },
    Target {
        name: "mesh_packet",
        run: machines::mesh_packet,
        corpus: corpus::chunks,
    },
    Target {
        name: "invitation",
        run: invitation,
        corpus: machines::invitations,
    },
    Target {
        name: "enterprise",
        run: enterprise::run,
        corpus: enterprise::corpus,
    },
    Target {
        name: "reported",
        run: reported::run,
        corpus: reported::corpus,
    },
    Target {
        name: "split",
        run: splits::run,
        corpus: splits::corpus,
    },
    Target {
        name: "validator_wire",
        run: validators::run,
        corpus: validators::corpus,
    },
    Target {
        name: "tracker_json",
        run: tracker_json,
        corpus: texts::tracker_messages,
    },
    Target {
        name: "update_json",
        run: update_json,
        corpus: corpus::texts,
    },
    Target {
        name: "export_json",
        run: texts::import,
        corpus: texts::exports,
    },
    Target {
        name: "client_text",
        run: client_text,
        corpus: texts::tracker_messages,
    },
    Target {
        name: "backplane",
        run: backplane,
        corpus: corpus::backplane_messages,
    },
    Target {
        name: "snapshot",
        run: snapshot,
        corpus: corpus::snapshots,
    },
];

pub(crate) fn same<E: Debug>(decoded: Result<Vec<u8>, E>, bytes: &[u8]) {
    if let Ok(encoded) = decoded {
        assert!(
            encoded == bytes,
            "two encodings of one value: {}",
            hex::encode(encoded)
        );
    }
}

fn genesis(bytes: &[u8]) {
    same(
        Genesis::decode(bytes).map(|genesis| genesis.encode()),
        bytes,
    );
}

fn transaction(bytes: &[u8]) {
    let genesis = corpus::genesis();
    let decoded = Transaction::decode(bytes, &genesis.rules);
    same(
        decoded
            .as_ref()
            .map(|transaction| transaction.encode())
            .map_err(drop),
        bytes,
    );
    // A false signature is an answer.
    let _verdict = decoded.map(|transaction| transaction.verify(genesis.chain_id()));
}

fn header(bytes: &[u8]) {
    same(
        Header::decode(bytes).map(|header| header.encode().to_vec()),
        bytes,
    );
    let many = Header::decode_many(bytes);
    same(
        many.map(|headers| headers.iter().flat_map(Header::encode).collect()),
        bytes,
    );
}

fn block(bytes: &[u8]) {
    let decoded = UncheckedBlock::decode(bytes);
    same(
        decoded.as_ref().map(UncheckedBlock::encode).map_err(drop),
        bytes,
    );
    if let Ok(block) = decoded {
        let genesis = corpus::genesis();
        let archived = block
            .clone()
            .check_archived(&genesis)
            .map(|block| block.encode());
        same(archived.map_err(drop), bytes);
        same(
            block
                .check(&genesis)
                .map(|block| block.encode())
                .map_err(drop),
            bytes,
        );
    }
}

/// Postcard has several forms of a number; what was decoded must survive its own form.
fn message(bytes: &[u8]) {
    if let Ok(message) = Message::decode(bytes) {
        assert_eq!(
            Message::decode(&message.encode()),
            Ok(message),
            "a message does not survive"
        );
    }
}

/// Alone and against a chain that has the block.
fn snapshot(bytes: &[u8]) {
    let decoded = Snapshot::decode(bytes);
    if let Ok(snapshot) = &decoded {
        // A refusal is an answer.
        let _refused = corpus::chain().adopt(snapshot);
    }
    let encoded = decoded.map(|snapshot| snapshot.encode().unwrap_or_default());
    same(encoded, bytes);
}

fn invitation(bytes: &[u8]) {
    // A refusal is an answer.
    let _refused = Invitation::decode(bytes);
}

fn tracker_json(bytes: &[u8]) {
    if let Ok(message) = serde_json::from_slice::<ClientMessage>(bytes) {
        let text = serde_json::to_vec(&message).unwrap_or_default();
        assert!(
            serde_json::from_slice::<ClientMessage>(&text).is_ok(),
            "{message:?} does not survive"
        );
    }
    if let Ok(message) = serde_json::from_slice::<ServerMessage>(bytes) {
        let text = serde_json::to_vec(&message).unwrap_or_default();
        assert!(
            serde_json::from_slice::<ServerMessage>(&text).is_ok(),
            "{message:?} does not survive"
        );
    }
}

/// What the tracker's socket reads: a message for a peer is passed on with its sender in it, and is then no longer for the same. What
/// a member reports, the ledger checks.
fn client_text(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let parsed = parse(text.to_owned());
    if let Ok(Incoming::Report(report)) = parsed {
        let mut ledger = Ledger::new(Forwarding::Off);
        let connection = ConnectionId(1);
        ledger.handle(
            corpus::NOW,
            ledger::Input::Reported {
                connection,
                report,
                may_register: true,
            },
        );
        assert!(ledger.poll().is_some(), "a report without an answer");
        return;
    }
    let sender = PeerId(Hash([0x5a; 32]));
    if let Ok(Incoming::Signal(forward) | Incoming::Relay(forward)) = parsed {
        let passed_on = parse(forward.from_sender(sender));
        assert!(
            matches!(&passed_on, Ok(Incoming::Signal(again) | Incoming::Relay(again)) if again.target == sender),
            "what is passed on is no message for a peer: {passed_on:?}"
        );
    }
}

fn backplane(bytes: &[u8]) {
    same(
        tracker::backplane::decode(bytes)
            .map(|(from, message)| tracker::backplane::encode(from, &message)),
        bytes,
    );
}

fn update_json(bytes: &[u8]) {
    let update = serde_json::from_slice::<BlockchainUpdate>(bytes);
    let (blocks, mut reports) = update
        .map(|update| (update.new_blocks, update.new_reports))
        .unwrap_or_default();
    reports.extend(serde_json::from_slice::<ReportedBlock>(bytes));
    for report in &reports {
        // A report that is none is an answer.
        let _shape = UncheckedSealed::try_from(report);
    }
    let alone = serde_json::from_slice::<TenantBlock>(bytes);
    for block in blocks.iter().chain(alone.iter()) {
        // A block that is none is an answer.
        let _shape = UncheckedBlock::try_from(block);
    }
}

/// Blocks, transactions, snapshots, headers, checkpoints, hashes and heights with hashes: what records hold.
fn records() -> Vec<Vec<u8>> {
    let mut all = [corpus::blocks(), corpus::transactions()].concat();
    all.extend([
        vec![7; 32],
        vec![0; 8],
        vec![1; 36],
        enterprise::checkpoint(),
    ]);
    all.extend(corpus::snapshots());
    all.push(corpus::headers().concat());
    all
}
