//! The OpenAPI document against what the validator really answers: every path is asked, every answer must be as described, with
//! no member that the document does not know.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use shared::enterprise::{SetChange, ValidatorInfo, ValidatorSet};

use crate::server::{Server, hour_ago};
use crate::tenant::TestTenant;

/// The document's schemas, made strict: a member that they do not name is an error.
fn strict_components(document: &Value) -> Value {
    let mut components = document["components"].clone();
    let schemas = components["schemas"].as_object_mut().unwrap();
    // What is part of another object is checked with that one.
    let parts: BTreeSet<String> = schemas
        .values()
        .filter_map(|schema| schema["allOf"].as_array())
        .flatten()
        .filter_map(|part| part["$ref"].as_str()?.rsplit('/').next())
        .map(str::to_owned)
        .collect();
    for (name, schema) in schemas.iter_mut() {
        let schema = schema.as_object_mut().unwrap();
        if schema.contains_key("allOf") {
            schema.insert("unevaluatedProperties".into(), false.into());
        } else if schema.contains_key("properties") && !parts.contains(name) {
            schema.entry("additionalProperties").or_insert(false.into());
        }
    }
    components
}

/// What a test tenant makes of a path of the document.
fn concrete(path: &str) -> String {
    let tenant = if path.contains("/resets") {
        "secret"
    } else {
        "notary"
    };
    let path = path.replace("{id}", tenant).replace("{height}", "1");
    let path = path.replace("{number}", "1");
    let query = match path.as_str() {
        "/api/log/inclusion" => "?index=0&size=2",
        "/api/log/consistency" => "?from=1&to=2",
        // So that there is a next page.
        "/api/tenants" | "/api/blocks" | "/api/transactions" | "/api/log" => "?limit=1",
        "/api/tenants/notary/incidents" => "?limit=1",
        _ => "",
    };
    path + query
}

async fn check(document: &Value, operation: &Value, asked: &str, response: reqwest::Response) {
    let status = response.status().as_u16().to_string();
    let described = &operation["responses"];
    let described = described
        .get(&status)
        .unwrap_or_else(|| &described["default"]);
    let found = response.headers()["content-type"]
        .to_str()
        .unwrap()
        .to_owned();
    let media_type = found.split(';').next().unwrap().to_owned();
    let content = &described["content"][&media_type];
    assert!(
        content.is_object(),
        "{asked}: {status} {found} is not described"
    );
    if !media_type.ends_with("json") {
        return;
    }
    let mut schema = content["schema"].clone();
    schema["components"] = strict_components(document);
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let text = response.text().await.unwrap();
    let answer: Value = serde_json::from_str(&text).unwrap();
    let errors: Vec<String> = validator
        .iter_errors(&answer)
        .map(|error| format!("{} at {}", error, error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{asked}: {errors:#?} in {text}");
}

/// A validator with three tenants, final blocks, refused forks, and a reset of the private one.
async fn full(directory: &std::path::Path) -> (Server, TestTenant, Value) {
    let server = Server::start(directory).await;
    let mut notary = TestTenant::with("notary", 1, hour_ago(), |genesis| {
        genesis.rules.finality_delay_ms = 1;
    });
    let mut shop = TestTenant::new("shop", 2, hour_ago());
    let first = [notary.mine(&["first"])];
    server.accepted(&notary.update(&first)).await;
    let forks: Vec<_> = (1..=2)
        .map(|mark| notary.fork(mark).mine(&["fork"]))
        .collect();
    let second = [notary.mine(&["second", "third"])];
    server.accepted(&notary.update(&second)).await;
    server
        .accepted(&shop.update(&shop.clone().mine_many(1)))
        .await;
    shop.mine_many(1);
    while server
        .get::<api::Tenant>("/api/tenants/notary")
        .await
        .final_height
        < 2
    {}
    for fork in forks {
        server.refused(&notary.update(&[fork])).await;
    }
    let reset = crate::private::reset_once(&server).await;
    (server, notary, reset)
}

fn some_change() -> String {
    let key = shared::identity::Identity::from_seed([1; 32]).public_key();
    let name = shared::ids::NetworkId::parse("one").unwrap();
    let set = ValidatorSet::new(vec![ValidatorInfo { key, name }]).unwrap();
    hex::encode(SetChange::new(1, set.hash(), set).encode())
}

#[tokio::test]
async fn every_answer_is_as_the_document_says() {
    let directory = tempfile::tempdir().unwrap();
    let (server, mut notary, reset) = full(directory.path()).await;
    let document: Value = server.get("/api/openapi.json").await;
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    let mut asked = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let response = match method.as_str() {
                "get" => server.fetch(&concrete(path)).await,
                "post" if path == "/api/set-changes" => {
                    // Well-formed, and refused by a validator that takes no links.
                    let (response, change) = (reqwest::Client::new(), some_change());
                    let change = json!({ "change": change });
                    let response = response.post(server.url(path)).json(&change);
                    let response = response.send().await.unwrap();
                    assert_eq!(response.status(), 409);
                    check(&document, operation, path, response).await;
                    continue;
                }
                "post" if path == "/api/resets" => {
                    // It was executed already, and is known.
                    let client = reqwest::Client::new();
                    let response = client.post(server.url(path)).json(&reset);
                    let response = response.send().await.unwrap();
                    assert_eq!(response.status(), 202);
                    check(&document, operation, path, response).await;
                    continue;
                }
                "post" => {
                    let update = notary.update(&[notary.clone().mine(&["fourth"])]);
                    let client = reqwest::Client::new();
                    client
                        .post(server.url(path))
                        .json(&update)
                        .send()
                        .await
                        .unwrap()
                }
                other => panic!("{path} has the method {other}"),
            };
            if path == "/api/snapshot" {
                // No snapshot is made at so few heights.
                assert_eq!(response.status(), 404);
                check(&document, operation, path, response).await;
                continue;
            }
            assert_eq!(response.status(), 200, "{path}");
            check(&document, operation, path, response).await;
            asked += 1;
        }
    }
    assert!(asked > 20, "only {asked} operations");
    notary.mine(&["fourth"]);
    let operation = &document["paths"]["/api/tenants/{id}/blocks"]["get"];
    let reports = server.fetch("/api/tenants/secret/blocks").await;
    check(&document, operation, "reports", reports).await;
    for path in [
        "/api/tenants/nobody",
        "/api/blocks/77",
        "/api/blocks?limit=x",
    ] {
        let operation = &document["paths"]["/api/blocks"]["get"];
        let response = server.fetch(path).await;
        assert!(response.status().is_client_error());
        check(&document, operation, path, response).await;
    }
    let broken = notary.update(&[notary.fork(9).mine(&["late"])]);
    let mut broken = serde_json::to_value(broken).unwrap();
    broken["new_blocks"][0]["block_hash"] = json!("00");
    let response = server.post(broken.to_string().into_bytes()).await;
    let operation = &document["paths"]["/api/tenant-update"]["post"];
    check(&document, operation, "a refused update", response).await;
    server.stop().await;
}

#[tokio::test]
async fn an_answer_that_is_not_as_described_would_be_noticed() {
    let directory = tempfile::tempdir().unwrap();
    let (server, ..) = full(directory.path()).await;
    let document: Value = server.get("/api/openapi.json").await;
    let mut schema = json!({"$ref": "#/components/schemas/Tenant"});
    schema["components"] = strict_components(&document);
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let tenant: Value = server.get("/api/tenants/notary").await;
    assert!(validator.is_valid(&tenant));
    for (member, value) in [
        ("height", json!("x")),
        ("unknown", json!(1)),
        ("tenant_id", Value::Null),
    ] {
        let mut changed = tenant.clone();
        changed[member] = value;
        assert!(!validator.is_valid(&changed), "{member}");
    }
    server.stop().await;
}
