//! The AsyncAPI 3.0 document of `/ws`, made from the types of [`api::ws`]: `GET /api/asyncapi.json`.
//!
//! Every variant of [`ClientMessage`] and [`ServerMessage`] is one message of the document, so none can be forgotten. The
//! schemas are those that the OpenAPI document uses. The version is the program's.

use std::sync::LazyLock;

use api::ws::{ClientMessage, ServerMessage};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use utoipa::{PartialSchema, ToSchema};

use crate::limits;

/// What is said on `/ws`.
#[utoipa::path(
    get,
    path = "/api/asyncapi.json",
    tag = "documents",
    responses((status = 200, description = "The document, AsyncAPI 3.0", body = Value)),
)]
pub(super) async fn asyncapi() -> Response {
    static TEXT: LazyLock<String> = LazyLock::new(|| document().to_string());
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (kind, TEXT.as_str()).into_response()
}

/// The document.
#[must_use]
pub fn document() -> Value {
    let mut parts = Parts::default();
    let from_client = parts.add::<ClientMessage>("client");
    let from_tracker = parts.add::<ServerMessage>("tracker");
    let channel = json!({"$ref": "#/channels/ws"});
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Distli Mesh tracker, /ws",
            "version": env!("CARGO_PKG_VERSION"),
            "description": description(),
        },
        "servers": {"tracker": {"host": "localhost:3030", "protocol": "ws", "description": "`wss` where the tracker has a certificate"}},
        "defaultContentType": "application/json",
        "channels": {"ws": {"address": "/ws", "messages": parts.channel}},
        "operations": {
            "fromClient": {"action": "receive", "channel": channel, "messages": from_client},
            "fromTracker": {"action": "send", "channel": channel, "messages": from_tracker},
        },
        "components": {"messages": parts.messages, "schemas": parts.schemas},
    })
}

fn description() -> String {
    format!(
        "Texts of JSON objects with a `type`. The tracker speaks first: `welcome`. In `offer`, `answer`, `candidate` and `relay` a \
         client names the receiver in `target`; what the tracker delivers names the sender there. Readers ignore fields and \
         messages that they do not know. A message has at most {} bytes, one with blocks at most {}.",
        limits::MESSAGE_BYTES_MAX,
        limits::UPDATE_BYTES_MAX
    )
}

/// What the document is put together from.
#[derive(Default)]
struct Parts {
    /// The channel's messages, as references.
    channel: Map<String, Value>,
    messages: Map<String, Value>,
    schemas: Map<String, Value>,
}

impl Parts {
    /// Adds each variant of an enum that is tagged by `type`; the references for an operation.
    fn add<T: PartialSchema + ToSchema>(&mut self, side: &str) -> Vec<Value> {
        let mut used = Vec::new();
        T::schemas(&mut used);
        for (name, schema) in used {
            self.schemas.insert(name, to_json(&schema));
        }
        let all = to_json(&T::schema());
        let variants = all["oneOf"].as_array().cloned().unwrap_or_default();
        let mut references = Vec::new();
        for payload in variants {
            let Some(kind) = kind_of(&payload).map(str::to_owned) else {
                continue;
            };
            let name = format!("{side}.{kind}");
            let at = format!("#/channels/ws/messages/{name}");
            references.push(json!({ "$ref": at }));
            let message = json!({"$ref": format!("#/components/messages/{name}")});
            self.channel.insert(name.clone(), message);
            let summary = payload["description"].clone();
            let message = json!({"name": kind, "summary": summary, "payload": payload});
            self.messages.insert(name, message);
        }
        references
    }
}

/// What `type` a variant's schema demands: its own, or that of a part.
fn kind_of(schema: &Value) -> Option<&str> {
    let own = schema.pointer("/properties/type");
    let own = own.and_then(|kind| {
        let only = kind.pointer("/enum/0").or_else(|| kind.get("const"));
        only?.as_str()
    });
    own.or_else(|| schema["allOf"].as_array()?.iter().find_map(kind_of))
}

fn to_json(schema: &impl serde::Serialize) -> Value {
    serde_json::to_value(schema)
        .expect("a schema has string keys and no failing parts, so it serialises")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::de::DeserializeOwned;
    use std::collections::BTreeSet;
    use std::fmt::Debug;

    /// The names of an enum's variants as its own reader lists them.
    fn variants<T: DeserializeOwned + Debug>(side: &str) -> BTreeSet<String> {
        let error = serde_json::from_str::<T>(r#"{"type":"?"}"#).unwrap_err();
        let text = error.to_string();
        let (_, list) = text.split_once("expected one of").unwrap();
        let names = list.split('`').skip(1).step_by(2);
        names.map(|name| format!("{side}.{name}")).collect()
    }

    #[test]
    fn every_message_is_in_the_document_and_nothing_else() {
        let mut all = variants::<ClientMessage>("client");
        all.extend(variants::<ServerMessage>("tracker"));
        assert!(all.len() > 25, "{all:?}");
        let document = document();
        for place in ["/components/messages", "/channels/ws/messages"] {
            let found = document.pointer(place).unwrap().as_object().unwrap();
            let found: BTreeSet<String> = found.keys().cloned().collect();
            assert_eq!(found, all, "{place}");
        }
        let operations = ["fromClient", "fromTracker"].map(|name| {
            let messages = &document["operations"][name]["messages"];
            messages.as_array().unwrap().len()
        });
        assert_eq!(operations.iter().sum::<usize>(), all.len());
        assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    }

    fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
        match value {
            Value::Object(members) => {
                found.extend(members.get("$ref").and_then(Value::as_str));
                members.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    #[test]
    fn every_reference_leads_somewhere_and_every_schema_is_used() {
        let document = document();
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        for reference in &found {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
        for name in document["components"]["schemas"]
            .as_object()
            .unwrap()
            .keys()
        {
            let reference = format!("#/components/schemas/{name}");
            assert!(found.contains(reference.as_str()), "{name} is not used");
        }
    }
}
