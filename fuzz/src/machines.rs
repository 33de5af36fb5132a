//! The machines behind the decoders: a node and a mesh that must survive whatever a peer or a store gives them.

use shared::{
    frame::Reassembler,
    hash::Hash,
    identity::Identity,
    ids::PeerId,
    ids::Signature,
    mesh::{
        self, FromTracker, LinkId, Listing, Mesh,
        signal::{Fingerprint, Session, Signal, SignalKind},
    },
    node::{self, Node, Record},
};

use crate::corpus::{NOW, genesis};

/// Longest logical message that a reassembler may hold.
const HELD_MAX: usize = shared::frame::MESSAGE_BYTES_MAX;

const PEER: PeerId = PeerId(Hash([0xee; 32]));

fn node() -> Node {
    Node::new(node::Config {
        genesis: genesis(),
        identity: Identity::from_seed([4; 32]),
        seed: [5; 32],
        keep: node::Keep::Archive,
        helpers: 0,
    })
}

/// A refusal is an answer; only a panic is a finding.
fn give(node: &mut Node, input: node::Input) {
    let _refused = node.handle(NOW, input);
    while node.poll().is_some() {}
}

/// One message of a peer, and the same again.
pub(crate) fn node_message(bytes: &[u8]) {
    let mut node = node();
    give(
        &mut node,
        node::Input::Restored {
            records: Vec::new(),
        },
    );
    for _ in 0..2 {
        give(&mut node, node::Input::PeerConnected { peer: PEER });
        give(
            &mut node,
            node::Input::MessageReceived {
                peer: PEER,
                bytes: bytes.to_vec(),
            },
        );
    }
    give(
        &mut node,
        node::Input::BlockOffered {
            bytes: bytes.to_vec(),
        },
    );
    give(
        &mut node,
        node::Input::TransactionOffered {
            bytes: bytes.to_vec(),
        },
    );
}

/// A store whose every record holds these bytes.
pub(crate) fn node_records(bytes: &[u8]) {
    let mut node = node();
    let hash = shared::hash::sha256(&[bytes.get(..116).unwrap_or(bytes)]);
    let id = shared::hash::sha256(&[bytes]);
    let keys = [
        format!("block/{hash}"),
        format!("outbox/{id}"),
        format!("outbox/conflict/{id}"),
        format!("abandoned/{id}"),
        String::from("identity/sequence"),
        String::from("tip"),
        String::from("synced"),
        String::from("final"),
        String::from("headers/1/2"),
        String::from("snapshot/2"),
        String::from_utf8_lossy(bytes).into_owned(),
    ];
    let records = keys
        .into_iter()
        .map(|key| Record {
            key,
            value: bytes.to_vec(),
        })
        .collect();
    give(&mut node, node::Input::Restored { records });
    give(&mut node, node::Input::Woken);
}

/// Chunks, cut at the first byte's length again and again.
pub(crate) fn frames(bytes: &[u8]) {
    let mut reassembler = Reassembler::new();
    let Some((length, rest)) = bytes.split_first() else {
        return;
    };
    let whole = core::iter::once(bytes);
    for chunk in whole.chain(rest.chunks(usize::from(*length).max(1))) {
        if let Ok(Some((_, message))) = reassembler.receive(chunk) {
            assert!(
                message.len() <= HELD_MAX,
                "a message of {} bytes",
                message.len()
            );
        }
    }
}

/// Bytes of a peer by every way into a mesh: relay, channel, another tab, signals, invitation.
pub(crate) fn mesh_packet(bytes: &[u8]) {
    let genesis = genesis();
    let mut mesh = mesh();
    let text = String::from_utf8_lossy(bytes).into_owned();
    let welcome = FromTracker::Welcomed {
        provisional: vec![1; 32],
        nonce: vec![2; 16],
        host: String::from("tracker"),
    };
    let joined = FromTracker::Joined {
        chain: genesis.chain_id(),
        peers: vec![PEER],
    };
    // A greeting of the peer, so that there is a link: incarnations, then a chunk with the one byte of `Hello`.
    let mut greeting = [&[0, 0, 0, 0, 0, 0, 0, 9][..], &[0; 8]].concat();
    greeting.extend([1, 3, 1, 0, 0, 0, 0, 0, 1, 1]);
    let signal = |kind| signalled(kind, &text);
    let relayed = |frame: &[u8]| {
        mesh::Input::TrackerReceived(FromTracker::Relayed {
            from: PEER,
            frame: frame.to_vec(),
        })
    };
    let inputs = [
        mesh::Input::TrackerOpened,
        mesh::Input::LocalOpened,
        mesh::Input::TrackerReceived(welcome),
        mesh::Input::TrackerReceived(joined),
        relayed(bytes),
        relayed(&greeting),
        relayed(bytes),
        relayed(&[&greeting[..16], bytes].concat()),
        mesh::Input::LocalReceived {
            from: PEER,
            packet: bytes.to_vec(),
        },
        mesh::Input::ChannelOpened { link: LinkId(1) },
        mesh::Input::ChannelReceived {
            link: LinkId(1),
            bytes: bytes.to_vec(),
        },
        mesh::Input::TrackerReceived(signal(SignalKind::Offer)),
        mesh::Input::TrackerReceived(signal(SignalKind::Answer)),
        mesh::Input::TrackerReceived(signal(SignalKind::Candidate)),
        mesh::Input::LocalDescribed {
            link: LinkId(1),
            kind: SignalKind::Offer,
            sdp: text.clone(),
        },
        mesh::Input::InvitationReceived {
            request: 1,
            bytes: bytes.to_vec(),
        },
        mesh::Input::Woken,
    ];
    for input in inputs {
        // A refusal is an answer; only a panic is a finding.
        let _refused = mesh.handle(NOW, input);
        while mesh.poll().is_some() {}
    }
    // No fingerprint is an answer too.
    let _none = Fingerprint::of_description(&text);
}

/// A signal that nobody signed.
fn signalled(kind: SignalKind, text: &str) -> FromTracker {
    FromTracker::Signalled {
        from: PEER,
        kind,
        signal: Signal {
            session: Session([3; 24]),
            key: Identity::from_seed([1; 32]).public_key(),
            fingerprint: Fingerprint([4; 32]),
            signature: Signature([5; 64]),
            payload: text.to_owned(),
        },
    }
}

fn mesh() -> Mesh {
    let genesis = genesis();
    Mesh::new(mesh::Config {
        identity: Identity::from_seed([6; 32]),
        chain: genesis.chain_id(),
        network: genesis.network_id.clone(),
        genesis: genesis.encode(),
        listing: Listing::Listed,
        keys: None,
        seed: [7; 32],
    })
}

/// An invitation that a mesh makes when it is asked for one.
pub(crate) fn invitations() -> Vec<Vec<u8>> {
    let mut mesh = mesh();
    let digits = ["AB"; 32].join(":");
    let lines = [
        "v=0",
        "o=- 1 2 IN IP4 127.0.0.1",
        "s=-",
        "t=0 0",
        "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
        "c=IN IP4 0.0.0.0",
        "a=candidate:1 1 udp 2130706431 192.0.2.7 50000 typ host",
        "a=ice-ufrag:abcd",
        "a=ice-pwd:abcdefghijklmnopqrstuvwx",
        "a=setup:actpass",
        "a=mid:0",
        "a=sctp-port:5000",
    ];
    let sdp = format!(
        "{}\r\na=fingerprint:sha-256 {digits}\r\n",
        lines.join("\r\n")
    );
    let kind = SignalKind::Offer;
    let described = mesh::Input::LocalDescribed {
        link: LinkId(1),
        kind,
        sdp,
    };
    let mut made = Vec::new();
    for input in [mesh::Input::InvitationRequested { request: 1 }, described] {
        // A mesh that makes none is found by the test of good inputs.
        let _refused = mesh.handle(NOW, input);
        while let Some(output) = mesh.poll() {
            if let mesh::Output::PairingReady { bytes, .. } = output {
                made.push(bytes);
            }
        }
    }
    made
}
