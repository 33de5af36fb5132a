//! The JavaScript seam in a real browser: the classes as the drivers use them.

#![cfg(target_arch = "wasm32")]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking and looks at what it is about only"
)]

use js_sys::{Array, Object, Reflect, Uint8Array};
use node_wasm::{Core, MiningJob, create_genesis, genesis_info};
use wasm_bindgen::{JsCast, JsError, JsValue};
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};

wasm_bindgen_test_configure!(run_in_browser);

const NOW: f64 = 1_800_000_001_000.0;

fn object(fields: &[(&str, JsValue)]) -> JsValue {
    let object = Object::new();
    for (name, value) in fields {
        Reflect::set(&object, &JsValue::from(*name), value).unwrap();
    }
    object.into()
}

fn field(value: &JsValue, name: &str) -> JsValue {
    Reflect::get(value, &JsValue::from(name)).unwrap()
}

fn text(value: &JsValue, name: &str) -> String {
    field(value, name).as_string().unwrap()
}

fn number(value: &JsValue, name: &str) -> f64 {
    field(value, name).as_f64().unwrap()
}

fn bytes(value: &JsValue, name: &str) -> Uint8Array {
    field(value, name).dyn_into().expect("a Uint8Array")
}

fn message_of(error: JsError) -> String {
    text(&JsValue::from(error), "message")
}

fn new_genesis() -> JsValue {
    let rules = object(&[("initialHashes", 64.into()), ("stampBits", 4.into())]);
    create_genesis(object(&[
        ("networkId", "web".into()),
        ("createdAt", 1_800_000_000_000.0.into()),
        ("ownerSeed", Uint8Array::from(&[1; 32][..]).into()),
        ("hashesPerSecond", 1e6.into()),
        ("rules", rules),
    ]))
    .map_err(message_of)
    .unwrap()
}

fn new_core(genesis: &JsValue, key: u8) -> Core {
    let config = object(&[
        ("genesis", bytes(genesis, "genesis").into()),
        ("identitySeed", Uint8Array::from(&[key; 32][..]).into()),
        ("seed", Uint8Array::from(&[key ^ 0x55; 32][..]).into()),
    ]);
    Core::new(config).map_err(message_of).unwrap()
}

fn handle(core: &mut Core, now: f64, fields: &[(&str, JsValue)]) {
    core.handle(now, object(fields))
        .map_err(message_of)
        .unwrap();
}

fn drain(core: &mut Core) -> Vec<JsValue> {
    let mut outputs = Vec::new();
    loop {
        let output = core.poll().map_err(message_of).unwrap();
        if output.is_undefined() {
            return outputs;
        }
        outputs.push(output);
    }
}

fn of_type<'a>(outputs: &'a [JsValue], name: &str) -> Option<&'a JsValue> {
    outputs.iter().find(|output| text(output, "type") == name)
}

fn restored(genesis: &JsValue, key: u8) -> Core {
    let mut core = new_core(genesis, key);
    handle(
        &mut core,
        NOW,
        &[
            ("type", "restored".into()),
            ("records", Array::new().into()),
        ],
    );
    drain(&mut core);
    core
}

#[wasm_bindgen_test]
fn genesis_is_made_and_read_back() {
    let made = new_genesis();
    let info = genesis_info(&bytes(&made, "genesis").to_vec())
        .map_err(message_of)
        .unwrap();
    assert_eq!(text(&info, "networkId"), "web");
    assert_eq!(text(&info, "chainId"), text(&made, "chainId"));
    let rules = field(&info, "rules");
    assert_eq!(
        (number(&rules, "stampBits"), number(&rules, "intervalMs")),
        (4.0, 10_000.0)
    );
    assert!(genesis_info(&[1, 2, 3]).is_err());
}

#[wasm_bindgen_test]
fn unusable_options_and_inputs_are_thrown_as_readable_errors() {
    let refused = create_genesis(object(&[("networkId", "No!".into())]))
        .err()
        .map(message_of)
        .unwrap();
    assert!(refused.contains("options"), "{refused}");
    let genesis = new_genesis();
    let mut core = restored(&genesis, 1);
    let refused = core
        .handle(NOW, object(&[("type", "nonsense".into())]))
        .err()
        .map(message_of)
        .unwrap();
    assert!(refused.contains("nonsense"), "{refused}");
    let refused = core
        .handle(-1.0, object(&[("type", "woken".into())]))
        .err()
        .map(message_of)
        .unwrap();
    assert!(refused.contains("no time"), "{refused}");
}

#[wasm_bindgen_test]
fn submitted_message_is_persisted_before_it_is_confirmed_and_mined_by_a_job() {
    let genesis = new_genesis();
    let mut core = restored(&genesis, 1);
    handle(
        &mut core,
        NOW,
        &[
            ("type", "submit".into()),
            ("request", 7.into()),
            ("kind", "message".into()),
            ("text", "grüße".into()),
        ],
    );
    // A key without stored records signs only after it had the chance to sync.
    let mut outputs = drain(&mut core);
    for step in 1..100 {
        handle(
            &mut core,
            NOW + f64::from(step) * 100.0,
            &[("type", "woken".into())],
        );
        outputs.extend(drain(&mut core));
    }
    let persist = outputs
        .iter()
        .position(|output| text(output, "type") == "persist")
        .expect("a persist");
    let submitted = outputs
        .iter()
        .position(|output| {
            text(output, "type") == "event" && text(&field(output, "event"), "kind") == "submitted"
        })
        .expect("an answer");
    assert!(persist < submitted);
    assert_eq!(number(&field(&outputs[submitted], "event"), "request"), 7.0);
    let records: Array = field(&outputs[persist], "records").dyn_into().unwrap();
    assert!(
        records
            .iter()
            .all(|record| field(&record, "value").is_instance_of::<Uint8Array>())
    );
    let pending: Array = core
        .pending()
        .map_err(message_of)
        .unwrap()
        .dyn_into()
        .unwrap();
    assert_eq!(text(&pending.get(0), "text"), "grüße");
    assert_eq!(number(&pending.get(0), "sequence"), 0.0);

    mine(&mut core);
    let status = core.status().map_err(message_of).unwrap();
    assert_eq!(
        (number(&status, "height"), number(&status, "pendingCount")),
        (1.0, 0.0)
    );
    let blocks: Array = core
        .blocks(None, None)
        .map_err(message_of)
        .unwrap()
        .dyn_into()
        .unwrap();
    let transactions: Array = field(&blocks.get(0), "transactions").dyn_into().unwrap();
    assert_eq!(text(&transactions.get(0), "text"), "grüße");
    let file = core.export_chain(NOW).map_err(message_of).unwrap();
    assert!(file.contains("\"export_version\":\"2.0\""));
    assert!(
        core.window(Some(NOW))
            .map_err(message_of)
            .unwrap()
            .contains("lastSaved")
    );
}

/// Mines one block the way a mining worker does.
fn mine(core: &mut Core) {
    handle(
        core,
        NOW,
        &[("type", "mining".into()), ("when", "pending".into())],
    );
    let mut now = NOW;
    for _ in 0..200 {
        let outputs = drain(core);
        if let Some(job) = of_type(&outputs, "mine") {
            let (header, target) = (bytes(job, "header").to_vec(), bytes(job, "target").to_vec());
            let mut mining = MiningJob::new(&header, &target, 0, u32::MAX)
                .map_err(message_of)
                .unwrap();
            let found = field(
                &mining.step(1_000_000).map_err(message_of).unwrap(),
                "found",
            );
            let nonce = field(&found, "nonce").as_f64().expect("a nonce");
            assert!(mining.hashes() > nonce);
            handle(
                core,
                now,
                &[
                    ("type", "nonce_found".into()),
                    ("job", field(job, "job")),
                    ("version", field(&found, "version")),
                    ("nonce", nonce.into()),
                ],
            );
            drain(core);
            return;
        }
        now += 100.0;
        handle(core, now, &[("type", "woken".into())]);
    }
    panic!("no job came");
}

#[wasm_bindgen_test]
fn two_cores_back_to_back_mine_a_block_and_agree() {
    let genesis = new_genesis();
    let (mut miner, mut other) = (restored(&genesis, 1), restored(&genesis, 2));
    handle(
        &mut miner,
        NOW,
        &[
            ("type", "submit".into()),
            ("request", 1.into()),
            ("kind", "message".into()),
            ("text", "hello".into()),
        ],
    );
    drain(&mut miner);
    mine(&mut miner);
    let file = miner.export_chain(NOW).map_err(message_of).unwrap();
    handle(
        &mut other,
        NOW,
        &[
            ("type", "import".into()),
            ("request", 2.into()),
            ("text", file.into()),
        ],
    );
    let outputs = drain(&mut other);
    let answer = outputs
        .iter()
        .filter(|output| text(output, "type") == "event")
        .map(|output| field(output, "event"));
    let imported = answer
        .into_iter()
        .find(|event| text(event, "kind") == "imported")
        .expect("an answer");
    assert_eq!(
        (
            number(&imported, "accepted"),
            number(&imported, "alreadyKnown")
        ),
        (1.0, 0.0)
    );
    let (one, two) = (
        miner.status().map_err(message_of).unwrap(),
        other.status().map_err(message_of).unwrap(),
    );
    assert_eq!(text(&one, "tipHash"), text(&two, "tipHash"));
}

#[wasm_bindgen_test]
fn mining_job_of_zero_target_counts_hashes_and_finds_nothing() {
    let mut job = MiningJob::new(&[0; 116], &[0; 32], 0, 99)
        .map_err(message_of)
        .unwrap();
    let step = job.step(4_000).map_err(message_of).unwrap();
    assert!(field(&step, "found").is_undefined());
    assert_eq!(job.hashes(), 4_000.0);
    assert_eq!(
        field(&job.step(10_000).map_err(message_of).unwrap(), "exhausted"),
        JsValue::TRUE
    );
    assert_eq!(job.hashes(), 100.0 * 64.0, "each nonce with 64 versions");
    assert!(MiningJob::new(&[0; 5], &[0; 32], 0, 1).is_err());
}
