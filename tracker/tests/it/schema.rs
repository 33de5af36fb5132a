//! Holds every message that a test gets or sends against the AsyncAPI document.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock, Mutex};

use jsonschema::Validator;
use serde_json::Value;

/// Who sent a message.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Side {
    Client,
    Tracker,
}

/// Panics if the document does not know the message, or says it is otherwise.
pub(crate) fn check(side: Side, text: &str) {
    let message: Value = serde_json::from_str(text).unwrap();
    let name = name_of(side, &message);
    let errors = errors(&name, &message);
    assert!(errors.is_empty(), "{name}: {errors:#?} in {text}");
    SEEN.lock().unwrap().insert(name);
}

pub(crate) fn name_of(side: Side, message: &Value) -> String {
    let side = match side {
        Side::Client => "client",
        Side::Tracker => "tracker",
    };
    format!("{side}.{}", message["type"].as_str().unwrap())
}

pub(crate) fn errors(name: &str, message: &Value) -> Vec<String> {
    let validator = {
        let mut made = MADE.lock().unwrap();
        let entry = made.entry(name.to_owned());
        Arc::clone(entry.or_insert_with(|| Arc::new(validator_of(name))))
    };
    let errors = validator.iter_errors(message);
    errors
        .map(|error| format!("{} at {}", error, error.instance_path()))
        .collect()
}

fn validator_of(name: &str) -> Validator {
    let mut schema = DOCUMENT["components"]["messages"][name]["payload"].clone();
    assert!(schema.is_object(), "{name} is not described");
    close(&mut schema);
    schema["components"] = strict_components(&DOCUMENT);
    jsonschema::draft202012::new(&schema).unwrap()
}

/// A member that an object's schema does not name is an error.
fn close(schema: &mut Value) {
    let schema = schema.as_object_mut().unwrap();
    if schema.contains_key("allOf") {
        schema.insert("unevaluatedProperties".into(), false.into());
    } else if schema.contains_key("properties") {
        schema.entry("additionalProperties").or_insert(false.into());
    }
}

pub(crate) fn strict_components(document: &Value) -> Value {
    let mut components = document["components"].clone();
    // What is part of another object is checked with that one.
    let mut parts = BTreeSet::new();
    collect_parts(document, &mut parts);
    for (name, schema) in components["schemas"].as_object_mut().unwrap() {
        if !parts.contains(name) {
            close(schema);
        }
    }
    components
}

fn collect_parts(value: &Value, parts: &mut BTreeSet<String>) {
    let members = value
        .as_object()
        .into_iter()
        .flat_map(|object| object.values());
    let items = value.as_array().into_iter().flatten();
    members
        .chain(items)
        .for_each(|part| collect_parts(part, parts));
    let all_of = value.get("allOf").and_then(Value::as_array);
    let names = all_of.into_iter().flatten();
    parts.extend(
        names.filter_map(|part| Some(part["$ref"].as_str()?.rsplit('/').next()?.to_owned())),
    );
}

pub(crate) static DOCUMENT: LazyLock<Value> = LazyLock::new(tracker::asyncapi_document);
static MADE: Mutex<BTreeMap<String, Arc<Validator>>> = Mutex::new(BTreeMap::new());
pub(crate) static SEEN: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
