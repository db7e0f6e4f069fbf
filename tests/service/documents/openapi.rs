//! `docs/openapi.yaml` agrees with the template's routes and the service.

use std::collections::BTreeSet;

use dynamodb_web_session::{AtMaxPerSubject, Config};
use local::Template;
use serde_json::Value;

use crate::harness::{Answer, Call, Service};

const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

fn document() -> Value {
    serde_saphyr::from_str(include_str!("../../../docs/openapi.yaml")).unwrap()
}

/// Follows a `$ref` within the document.
fn resolve<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    match value["$ref"].as_str() {
        Some(reference) => document.pointer(reference.trim_start_matches('#')).expect(reference),
        None => value,
    }
}

fn operations(document: &Value) -> impl Iterator<Item = (&str, &str, &Value)> {
    document["paths"].as_object().unwrap().iter().flat_map(|(path, item)| {
        let methods = item.as_object().unwrap().iter();
        methods
            .filter(|(method, _)| METHODS.contains(&method.as_str()))
            .map(|(method, operation)| (path.as_str(), method.as_str(), operation))
    })
}

#[test]
fn it_documents_the_routes_of_the_template_and_no_others() {
    let document = document();
    let documented: BTreeSet<_> = operations(&document)
        .map(|(path, method, operation)| {
            let name = operation["operationId"].as_str().unwrap();
            let function = format!("{}{}Function", name[..1].to_uppercase(), &name[1..]);
            (path.to_owned(), method.to_uppercase(), function)
        })
        .collect();
    let routed: BTreeSet<_> =
        Template::load().unwrap().routes.into_iter().map(|r| (r.path, r.method, r.function)).collect();
    assert_eq!(documented, routed);
}

#[test]
fn it_documents_the_statuses_of_each_call() {
    let document = document();
    for (_, _, operation) in operations(&document) {
        let name = operation["operationId"].as_str().unwrap();
        let statuses: Vec<_> =
            operation["responses"].as_object().unwrap().keys().map(String::as_str).collect();
        let expected: &[&str] = match name {
            "create" => &["201", "400", "403", "409", "413", "415", "500", "503"],
            "load" => &["200", "304", "400", "403", "404", "412", "500", "503"],
            "save" => &["204", "400", "403", "404", "412", "413", "415", "500", "503"],
            "renew" => &["200", "201", "400", "403", "404", "409", "412", "413", "415", "429", "500", "503"],
            "list" => &["200", "400", "415", "500", "503"],
            "revoke" => &["204", "400", "415", "500", "503"],
            _ => &["204", "400", "403", "412", "415", "500", "503"],
        };
        let sorted: BTreeSet<_> = statuses.iter().copied().collect();
        assert_eq!(sorted, expected.iter().copied().collect(), "{name}");
    }
}

#[test]
fn it_documents_every_problem_type_and_no_others() {
    let code = include_str!("../../../service/src/response.rs");
    let document = document();
    let documented =
        document["components"]["schemas"]["Problem"]["properties"]["type"]["enum"].as_array().unwrap();
    let documented: BTreeSet<_> =
        documented.iter().map(|r#type| r#type.as_str().unwrap().rsplit(':').next().unwrap()).collect();
    for name in &documented {
        assert!(code.contains(&format!("\"{name}\"")), "{name} is documented but not in the code");
    }
    // The first string after each `problem(` in the code is a name.
    let named: BTreeSet<_> = code
        .split("problem(")
        .skip(1)
        .filter(|after| !after.starts_with("status: StatusCode")) // its definition
        .filter_map(|after| after.split('"').nth(1))
        .collect();
    assert_eq!(named, documented);
}

/// Every request example is sent, and gets the response example of the same name.
#[tokio::test]
async fn its_examples_are_the_responses_of_the_service() {
    let document = document();
    let service = Service::start().await;
    let mut replayed = 0;
    for (path, method, operation) in operations(&document) {
        let requests = operation["requestBody"]["content"]["application/json"]["examples"].as_object();
        for (name, request) in requests.into_iter().flatten() {
            let id = service.create(serde_json::json!({ "fruit": "apple" })).await;
            let call = service.request_to(path, method.to_uppercase().parse().unwrap()).id(&id);
            let answer = call.json(&request["value"]).send().await;
            assert_documented(&document, operation, name, &answer);
            replayed += 1;
        }
    }
    assert_eq!(replayed, 21);

    let id = service.create(serde_json::json!({ "fruit": "apple" })).await;
    let too_large = format!("{{\"data\":{{\"a\":\"{}\"}}}}", "x".repeat(262_145 - 8));
    let (post, put) = (&document["paths"]["/session"]["post"], &document["paths"]["/session"]["put"]);
    let get = &document["paths"]["/session"]["get"];
    let data = serde_json::json!({ "data": {} });
    let replay = async |call: Call, operation: &Value, name: &str| {
        assert_documented(&document, operation, name, &call.send().await);
    };
    replay(service.get().id(&id), get, "fruit").await;
    replay(service.get(), get, "no-such-session").await;
    replay(service.put().json(&data), put, "no-such-session").await;
    let renew = &document["paths"]["/session/renew"]["post"];
    let other = service.create(serde_json::json!({ "fruit": "apple" })).await;
    replay(service.post_renew().id(&other), renew, "fruit").await;
    replay(service.post_renew().id(&other), renew, "no-such-session").await;
    replay(service.put().id(&id).header("if-match", "\"x\"").json(&data), put, "session-changed").await;
    replay(service.post().text(&too_large), post, "data-too-large").await;
    replay(service.put().id(&id).text(&too_large), put, "data-too-large").await;
    replay(service.post().untyped("{}"), post, "not-json").await;
    let login = serde_json::json!({ "subject": "alice", "data": { "cart": ["apple"] } });
    replay(service.post_renew().id(&other).json(&login), renew, "login").await;
    let mut often = service.create(serde_json::json!({})).await;
    for _ in 0..10 {
        often = service.renew(&often).await.session_id();
    }
    service.clock.advance(20);
    replay(service.post_renew().id(&often), renew, "renewed-too-often").await;
    let one = Service::with(Config {
        max_per_subject: 1,
        at_max_per_subject: AtMaxPerSubject::Refuse,
        ..Config::default()
    })
    .await;
    one.create_for("alice").await;
    replay(one.post().json(&serde_json::json!({ "subject": "alice" })), post, "too-many-sessions").await;
    service.proxy.respond(1, 400, "AccessDeniedException");
    replay(service.get().id(&id), get, "internal").await;
    service.proxy.respond(3, 400, "ThrottlingException");
    replay(service.get().id(&id), get, "unavailable").await;
}

/// Asserts that `answer` has a documented status and headers, and the body of the example `name`.
#[track_caller]
fn assert_documented(document: &Value, operation: &Value, name: &str, answer: &Answer) {
    let response = resolve(document, &operation["responses"][answer.status.as_str()]);
    for (header, description) in response["headers"].as_object().unwrap() {
        let required = resolve(document, description)["required"] == true;
        assert!(!required || !answer.header(header).is_empty(), "{name} lacks {header}");
    }
    let media_type = answer.header("content-type");
    if media_type.is_empty() {
        assert!(response.get("content").is_none(), "{name} has no body");
        return;
    }
    let example = &response["content"][media_type]["examples"][name]["value"];
    assert!(example.is_object(), "{name}: no such example of {} {media_type}", answer.status);
    let body = answer.json();
    if media_type == "application/problem+json" {
        assert_eq!(&body, example);
        return;
    }
    let members = |document: &Value| document.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(members(&body), members(example));
    for member in ["data", "idle_timeout_seconds", "absolute_timeout_seconds"] {
        assert_eq!(body[member], example[member], "{name}");
    }
}
