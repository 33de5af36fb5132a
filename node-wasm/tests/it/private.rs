//! A private network's owner at the tracker: nothing goes out unasked, and what does is sealed.

use api::ws::{ClientMessage, ServerMessage};
use api::{TipReference, UpdateStatus};
use node_wasm::engine::Engine;
use node_wasm::seam::{Config, Event, Input, Output, StoredRecord};
use serde_bytes::ByteBuf;
use shared::block::MinerRecord;
use shared::chain::Chain;
use shared::enterprise::{FinalBlock, Reset};
use shared::genesis::{Access, Genesis};
use shared::header::HEADER_BYTES;
use shared::identity::Identity;
use shared::ids::{Height, Sequence, TimestampMs};
use shared::miner::{Miner, Step};
use shared::private::{NetworkKey, NetworkKeys};
use shared::report::UncheckedSealed;
use shared::transaction::{Payload, Transaction};

use crate::world::{START, genesis};

const WORDS: &str = "the cellar key is under the third stone";
const KEY: [u8; 32] = [6; 32];

fn keys() -> NetworkKeys {
    NetworkKey::from_bytes(KEY).keys()
}

fn owner() -> Identity {
    Identity::from_seed([1; 32])
}

/// Two blocks with a message in each.
fn club() -> Chain {
    let mut chain = Chain::new(Genesis {
        owner: owner().public_key(),
        access: Access::Private {
            join_key: keys().join_key(),
            reporters: vec![owner().public_key()],
        },
        ..genesis("club")
    });
    for sequence in 0..2 {
        let (id, rules) = (chain.chain_id(), chain.genesis().rules.clone());
        let payload = Payload::Message(WORDS.into());
        let sent =
            Transaction::create(&owner(), id, &rules, Sequence(sequence), START, payload).unwrap();
        let at = chain.tip().timestamp.plus_ms(10_000);
        let miner = MinerRecord {
            key: owner().public_key(),
            free: [0; 8],
        };
        let template = chain.template(miner, vec![sent], at);
        let target = template.header.target.target();
        let Step::Found(solution) =
            Miner::new(&template.header, &target, 0, u32::MAX).step(u32::MAX)
        else {
            unreachable!("some sixty hashes find one");
        };
        let block = template.solved(chain.genesis(), solution).unwrap();
        chain.insert(block, at).unwrap();
    }
    chain
}

/// The owner's tab, and what it says to the tracker.
struct Tab {
    engine: Engine,
    now: TimestampMs,
    said: Vec<ClientMessage>,
    events: Vec<Event>,
}

impl Tab {
    fn new(chain: &Chain, seed: u8, finals: u32) -> Self {
        let config = Config {
            genesis: ByteBuf::from(chain.genesis().encode()),
            identity_seed: ByteBuf::from([seed; 32]),
            network_key: Some(ByteBuf::from(KEY)),
            seed: ByteBuf::from([9; 32]),
            listed: None,
            recent_blocks: None,
            helpers: None,
        };
        let mut tab = Self {
            engine: Engine::new(config).unwrap(),
            now: chain.tip().timestamp,
            said: Vec::new(),
            events: Vec::new(),
        };
        let block = |height| chain.block_at(Height(height)).unwrap();
        let record = |key: String, value: Vec<u8>| StoredRecord {
            key,
            value: ByteBuf::from(value),
        };
        let blocks = (1..=2).map(block);
        let mut records: Vec<StoredRecord> = blocks
            .map(|block| record(format!("block/{}", block.hash()), block.encode()))
            .collect();
        records.push(record("tip".into(), chain.tip().hash.0.to_vec()));
        if finals > 0 {
            records.push(record("final".into(), final_block(chain, finals).encode()));
        }
        tab.give(Input::Restored { records });
        tab
    }

    fn give(&mut self, input: Input) {
        self.engine.handle(self.now, input).unwrap();
        while let Some(output) = self.engine.poll() {
            match output {
                Output::TrackerSend { text } => {
                    assert!(!text.contains(&hex::encode(WORDS)) && !text.contains(WORDS));
                    self.said.push(serde_json::from_str(&text).unwrap());
                }
                Output::Event { event } => self.events.push(event),
                _ => {}
            }
        }
    }

    fn hears(&mut self, message: &ServerMessage) {
        let text = serde_json::to_string(message).unwrap();
        self.give(Input::TrackerMessage { text });
    }

    fn wait(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.now = self.now.plus_ms(1_000);
            self.give(Input::Woken);
        }
    }

    /// In the room of a tracker that holds this much.
    fn join(&mut self, tip: Option<TipReference>) {
        self.give(Input::TrackerOpen {
            host: "mesh.example".into(),
        });
        let limits = r#"{"message_bytes_max":65536,"update_bytes_max":2097152,"join_timeout_ms":10000,"ping_interval_ms":25000,
            "message_burst":100,"messages_per_second":20,"relay_bytes_per_second":1048576}"#;
        let text = format!(
            r#"{{"type":"welcome","peer_id":"{:064x}","nonce":"{:064x}","ice_servers":[],"limits":{limits}}}"#,
            1, 9
        );
        self.give(Input::TrackerMessage { text });
        let Some(ClientMessage::JoinRoom { room, peer_id, .. }) = self.said.pop() else {
            panic!("nobody entered the room");
        };
        self.hears(&ServerMessage::RoomJoined {
            room,
            peer_id,
            peers: Vec::new(),
            tip,
            anchor: None,
            resets: 0,
        });
        self.wait(70);
    }
}

fn final_block(chain: &Chain, height: u32) -> FinalBlock {
    let hash = chain.hash_at(Height(height)).unwrap();
    let mut bytes = chain.chain_id().0.0.to_vec();
    bytes.extend(height.to_be_bytes());
    bytes.extend(hash.0);
    bytes.extend(chain.work_of(&hash).unwrap().to_be_bytes());
    FinalBlock::from_checkpoint(&bytes).unwrap()
}

#[test]
fn without_the_owners_choice_and_from_anybody_else_nothing_is_reported() {
    let chain = club();
    for (seed, on) in [(1, None), (1, Some(false)), (2, Some(true))] {
        let mut tab = Tab::new(&chain, seed, 0);
        if let Some(on) = on {
            tab.give(Input::Reporting { on });
        }
        tab.join(None);
        assert!(tab.said.is_empty(), "{:?}", tab.said);
    }
}

#[test]
fn what_the_owner_reports_is_sealed_and_names_the_room_alone() {
    let chain = club();
    let mut tab = Tab::new(&chain, 1, 0);
    tab.give(Input::Reporting { on: true });
    tab.join(None);
    let Some(ClientMessage::BlockchainUpdate {
        network_id,
        latest_blocks,
        latest_reports,
        genesis,
        ..
    }) = tab.said.first().cloned()
    else {
        panic!("nothing was reported: {:?}", tab.said);
    };
    assert_eq!(network_id, keys().room().0.to_string());
    assert!(latest_blocks.is_empty());
    assert_eq!(genesis, Some(hex::encode(chain.genesis().encode())));
    assert_eq!(latest_reports.len(), 2);
    for (report, height) in latest_reports.iter().zip(1..) {
        let block = chain.block_at(Height(height)).unwrap();
        let sealed = UncheckedSealed::try_from(report).unwrap();
        let sealed = sealed.check(chain.genesis()).unwrap();
        assert_eq!(sealed.hash(), block.hash());
        let body = keys().open_body(chain.chain_id(), &block.hash(), sealed.sealed());
        assert_eq!(body.unwrap(), block.encode()[HEADER_BYTES..]);
        let clear = WORDS.as_bytes();
        assert!(
            !sealed
                .encode()
                .windows(clear.len())
                .any(|part| part == clear)
        );
    }
    let tip = chain.tip();
    tab.hears(&ServerMessage::UpdateResult {
        network_id,
        status: UpdateStatus::Accepted,
        height: tip.height.0,
        hash: tip.hash.to_string(),
        reason: None,
    });
    assert_eq!(tab.engine.status().synced_height, 2);
    let before = tab.said.len();
    tab.wait(70);
    assert_eq!(tab.said.len(), before, "nothing twice");
}

#[test]
fn only_the_owner_resets_and_only_what_is_final() {
    let chain = club();
    let tip = TipReference {
        height: 2,
        hash: chain.tip().hash.to_string(),
    };
    for (seed, from) in [(2, 1), (1, 0), (1, 2)] {
        let mut tab = Tab::new(&chain, seed, 1);
        tab.join(Some(tip.clone()));
        tab.give(Input::Reset { request: 5, from });
        let refused = |event: &Event| matches!(event, Event::ResetRefused { request: 5, .. });
        assert!(tab.events.iter().any(refused), "{seed} {from}");
        assert!(tab.said.is_empty(), "{:?}", tab.said);
    }
    let mut tab = Tab::new(&chain, 1, 2);
    tab.join(Some(tip));
    tab.give(Input::Reset {
        request: 7,
        from: 2,
    });
    let Some(ClientMessage::ResetNetwork { network_id, reset }) = tab.said.pop() else {
        panic!("no reset was sent: {:?}", tab.events);
    };
    let reset = Reset::decode(&hex::decode(reset).unwrap()).unwrap();
    assert!(reset.is_of(chain.genesis()));
    let stays = chain.hash_at(Height(1)).unwrap();
    assert_eq!(
        (reset.number, reset.from, reset.stays),
        (1, Height(2), stays)
    );
    tab.hears(&ServerMessage::ResetResult {
        network_id,
        number: 1,
        status: UpdateStatus::Refused,
        reason: Some("nothing final is at this height".into()),
    });
    let refused = Event::ResetRefused {
        request: 7,
        reason: "nothing final is at this height".into(),
    };
    assert!(tab.events.contains(&refused), "{:?}", tab.events);
}
