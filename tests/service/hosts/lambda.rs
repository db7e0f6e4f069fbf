//! The functions as Lambda runs them: each binary under the Lambda Runtime API, with only Lambda's environment, and
//! with API Gateway's events.

use std::collections::BTreeSet;
use std::time::Duration;

use dynamodb_web_session::SessionId;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::harness::{Function, Outcome, Service, published};

/// A published event, changed into a request for `/session`.
fn event(method: &str, headers: Value, body: Option<&str>) -> Value {
    let mut event = published("v2-request-iam");
    event["routeKey"] = format!("{method} /session").into();
    event["rawPath"] = "/session".into();
    event["requestContext"]["http"]["method"] = method.into();
    event["requestContext"]["http"]["path"] = "/session".into();
    event["requestContext"]["stage"] = "$default".into();
    event["headers"] = headers;
    event["isBase64Encoded"] = false.into();
    event.as_object_mut().unwrap().remove("cookies");
    match body {
        Some(body) => event["body"] = body.into(),
        None => drop(event.as_object_mut().unwrap().remove("body")),
    }
    event
}

fn with_id(id: &SessionId) -> Value {
    json!({ "x-session-id": id.expose(), "content-type": "application/json" })
}

fn json_body() -> Value {
    json!({ "content-type": "application/json" })
}

fn body_of(response: &Value) -> Value {
    serde_json::from_str(response["body"].as_str().unwrap()).unwrap()
}

fn id_of(response: &Value) -> SessionId {
    body_of(response)["session_id"].as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn all_binaries_work_on_one_session() {
    let service = Service::start().await;
    let create = Function::start("create", &service).await;
    let load = Function::start("load", &service).await;
    let save = Function::start("save", &service).await;
    let renew = Function::start("renew", &service).await;
    let clear = Function::start("clear", &service).await;
    let list = Function::start("list", &service).await;
    let revoke = Function::start("revoke", &service).await;

    let created = create.call(&event("POST", json_body(), Some(r#"{"data":{"n":1.0}}"#))).await;
    assert_eq!(created["statusCode"], 201, "{created}");
    assert_eq!(created["isBase64Encoded"], false);
    assert_eq!(created["headers"]["cache-control"], "no-store");
    assert_eq!(created["headers"]["x-content-type-options"], "nosniff");
    assert_eq!(created["headers"]["content-type"], "application/json");
    assert!(created["body"].as_str().unwrap().contains(r#""data":{"n":1.0}"#));
    let id = id_of(&created);

    let saved = save.call(&event("PUT", with_id(&id), Some(r#"{"data":{"n":2.0}}"#))).await;
    assert_eq!(saved["statusCode"], 204, "{saved}");
    let loaded = load.call(&event("GET", with_id(&id), None)).await;
    assert_eq!(loaded["statusCode"], 200, "{loaded}");
    assert_eq!(loaded["headers"]["etag"], saved["headers"]["etag"]);
    assert!(loaded["body"].as_str().unwrap().contains(r#""data":{"n":2.0}"#));
    let renewed = renew.call(&event("POST", with_id(&id), None)).await;
    assert_eq!(renewed["statusCode"], 200, "{renewed}");
    assert_eq!(load.call(&event("GET", with_id(&id), None)).await["statusCode"], 404);
    let id = id_of(&renewed);
    assert!(renewed["body"].as_str().unwrap().contains(r#""data":{"n":2.0}"#));
    let cleared = clear.call(&event("DELETE", with_id(&id), None)).await;
    assert_eq!(cleared["statusCode"], 204, "{cleared}");
    let dead = load.call(&event("GET", with_id(&id), None)).await;
    assert_eq!(dead["statusCode"], 404, "{dead}");
    assert_eq!(dead["headers"]["content-type"], "application/problem+json");
    let dead = save.call(&event("PUT", with_id(&id), Some(r#"{"data":{}}"#))).await;
    assert_eq!(dead["statusCode"], 404, "{dead}");

    let body = r#"{"subject":"alice"}"#;
    let id = id_of(&create.call(&event("POST", json_body(), Some(body))).await);
    let listed = body_of(&list.call(&event("POST", json_body(), Some(body))).await);
    assert_eq!(listed["sessions"][0]["loggable_session_id"], id.loggable().as_str());
    let revoked = revoke.call(&event("POST", json_body(), Some(body))).await;
    assert_eq!(revoked["statusCode"], 204, "{revoked}");
    assert_eq!(load.call(&event("GET", with_id(&id), None)).await["statusCode"], 404);
}

/// Someone who adds a route for another method, or a function URL, does not get a function that clears on a `GET`.
#[tokio::test]
async fn a_function_refuses_another_method_than_its_routes() {
    let service = Service::start().await;
    let id = service.create(json!({})).await;
    for (program, method, allowed) in [
        ("create", "GET", "POST"),
        ("load", "POST", "GET"),
        ("save", "POST", "PUT"),
        ("renew", "GET", "POST"),
        ("clear", "GET", "DELETE"),
        ("list", "GET", "POST"),
        ("revoke", "GET", "POST"),
    ] {
        let function = Function::start(program, &service).await;
        let response = function.call(&event(method, with_id(&id), None)).await;
        assert_eq!(response["statusCode"], 405, "{program}: {response}");
        assert_eq!(response["headers"]["allow"], allowed, "{program}: {response}");
    }
    service.load(&id).await.assert_status(200);
}

#[tokio::test]
async fn every_published_event_gets_a_response() {
    let service = Service::start().await;
    for (name, method, expected) in [
        ("create", "POST", [415, 201]),
        ("load", "GET", [404; 2]),
        ("renew", "POST", [415, 404]),
        ("save", "PUT", [415, 400]),
        ("clear", "DELETE", [204; 2]),
        ("list", "POST", [415, 400]),
        ("revoke", "POST", [415, 400]),
    ] {
        let function = Function::start(name, &service).await;
        for fixture in
            ["iam", "jwt-authorizer", "lambda-authorizer", "multi-value-parameters", "no-authorizer"]
        {
            let mut event = published(&format!("v2-request-{fixture}"));
            event["requestContext"]["http"]["method"] = method.into();
            let response = function.call(&event).await;
            assert!(
                expected.iter().any(|status| response["statusCode"] == *status),
                "{name}, {fixture}: {response}"
            );
        }
    }
}

#[tokio::test]
async fn a_body_may_be_text_base64_or_absent() {
    let service = Service::start().await;
    let create = Function::start("create", &service).await;
    let base64 = |body: &str| {
        let mut event = event("POST", json_body(), Some(body));
        event["isBase64Encoded"] = true.into();
        event
    };
    let created = create.call(&base64("eyJkYXRhIjp7ImEiOjF9fQ==")).await; // {"data":{"a":1}}
    assert_eq!(body_of(&created)["data"], json!({ "a": 1 }));
    assert_eq!(create.call(&base64("eyJkYXRhIjp7ImEiOiL/In19")).await["statusCode"], 400, "not UTF-8");
    for body in [None, Some("")] {
        let created = create.call(&event("POST", json!({}), body)).await;
        assert_eq!(created["statusCode"], 201, "{created}");
    }
    let mut no_body_and_base64 = event("POST", json!({}), None);
    no_body_and_base64["isBase64Encoded"] = true.into();
    assert_eq!(create.call(&no_body_and_base64).await["statusCode"], 201);
}

#[tokio::test]
async fn a_repeated_id_header_is_not_found_and_a_stage_in_the_path_is_ignored() {
    let service = Service::start().await;
    let load = Function::start("load", &service).await;
    let id = service.create(json!({})).await;
    let twice = json!({ "x-session-id": format!("{0},{0}", id.expose()) });
    assert_eq!(load.call(&event("GET", twice, None)).await["statusCode"], 404);
    let not_ascii = json!({ "x-session-id": "\u{e9}\u{1F36A}" });
    assert_eq!(load.call(&event("GET", not_ascii, None)).await["statusCode"], 404);

    let mut staged = event("GET", with_id(&id), None);
    staged["rawPath"] = "/prod/session".into();
    staged["requestContext"]["stage"] = "prod".into();
    staged["requestContext"]["http"]["path"] = "/prod/session".into();
    staged["rawQueryString"] = "a=b&a=%zz".into();
    assert_eq!(load.call(&staged).await["statusCode"], 200);
}

#[tokio::test]
async fn events_and_responses_have_cookies_in_an_array() {
    let service = Service::start().await;
    let cookie = [("SESSION_ID_TRANSPORT", "cookie")];
    let create = Function::start_with("create", &service, &cookie).await;
    let load = Function::start_with("load", &service, &cookie).await;
    let created = create.call(&event("POST", json!({ "sec-fetch-site": "same-origin" }), None)).await;
    let cookies = created["cookies"].as_array().unwrap();
    assert_eq!(cookies.len(), 1);
    assert_eq!(created["headers"].get("set-cookie"), None);
    let session_cookie = cookies[0].as_str().unwrap().split(';').next().unwrap();

    let mut loading = event("GET", json!({}), None);
    loading["cookies"] = json!(["theme=dark", session_cookie]);
    assert_eq!(load.call(&loading).await["statusCode"], 200);
    loading["cookies"] = json!([session_cookie, session_cookie]);
    assert_eq!(load.call(&loading).await["statusCode"], 404);
}

#[tokio::test]
async fn an_event_that_makes_the_handler_fail_does_not_affect_the_next() {
    let service = Service::start().await;
    let load = Function::start("load", &service).await;
    let id = service.create(json!({})).await;
    for failing in ["{}", r#"{"version":"2.0"}"#, "null"] {
        let outcome = load.invoke(failing).await;
        assert!(matches!(outcome, Outcome::Error(_)), "{failing}: {outcome:?}");
        assert_eq!(load.call(&event("GET", with_id(&id), None)).await["statusCode"], 200);
    }
}

/// lambda_http builds a URL from these values, and panics if it is not valid.
#[tokio::test]
async fn an_event_without_a_valid_url_is_handled() {
    let service = Service::start().await;
    let load = Function::start("load", &service).await;
    let id = service.create(json!({})).await;
    for (pointer, text) in [
        ("/rawQueryString", "<script>"),
        ("/rawQueryString", "a b\u{7f}ä"),
        ("/rawPath", "//[::1"),
        ("/headers/host", "not a host"),
        ("/headers/x-forwarded-proto", "https,gopher, :"),
        ("/requestContext/domainName", "[["),
    ] {
        let mut event = event("GET", with_id(&id), None);
        event["headers"]["x-forwarded-proto"] = "https".into();
        event["headers"]["host"] = "example.com".into();
        *event.pointer_mut(pointer).unwrap() = text.into();
        assert_eq!(load.call(&event).await["statusCode"], 200, "{pointer} {text}");
    }
}

#[tokio::test]
async fn a_bad_setting_is_named_before_the_first_event() {
    let service = Service::start().await;
    for name in ["create", "load", "save", "renew", "clear", "list", "revoke", "authorize"] {
        let function = Function::start_with(name, &service, &[("SESSION_ID_TRANSPORT", "url")]).await;
        let output = function.process.wait_with_output().await.unwrap();
        assert_eq!(output.status.code(), Some(1));
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(error, "Error: SESSION_ID_TRANSPORT must be `header` or `cookie`; it is \"url\"\n");
    }
}

#[tokio::test]
async fn sigterm_ends_a_function_at_once() {
    let service = Service::start().await;
    let mut clear = Function::start("clear", &service).await;
    assert_eq!(clear.call(&event("DELETE", json!({}), None)).await["statusCode"], 204);
    let id = clear.process.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().await.unwrap().success());
    let ended = tokio::time::timeout(Duration::from_secs(5), clear.process.wait()).await;
    assert!(!ended.expect("the function ends").unwrap().success());
}

#[tokio::test]
async fn a_failure_is_logged_once_as_json_without_an_id() {
    let service = Service::start().await;
    let load = Function::start("load", &service).await;
    let id = service.create(json!({})).await;
    service.proxy.respond(1, 400, "AccessDeniedException");
    assert_eq!(load.call(&event("GET", with_id(&id), None)).await["statusCode"], 500);
    let log = load.log().await;
    assert!(!log.contains(id.expose()));
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 1, "{log}");
    assert_eq!(lines[0]["level"], "ERROR");
    assert!(lines[0]["error"].as_str().unwrap().contains("AccessDeniedException"), "{log}");
    assert_eq!(lines[0]["loggable_session_id"], id.loggable().as_str());
    assert_eq!(lines[0]["request_id"], "8476a536-e9f4-11e8-9739-000000000000");
}

/// A release build leaves out log events below INFO, except this one.
#[tokio::test]
async fn a_load_is_logged_at_debug() {
    let service = Service::start().await;
    let load = Function::start_with("load", &service, &[("SESSION_LOG_LEVEL", "DEBUG")]).await;
    let id = service.create(json!({})).await;
    assert_eq!(load.call(&event("GET", with_id(&id), None)).await["statusCode"], 200);
    let log = load.log().await;
    let line: Value = serde_json::from_str(&log).unwrap();
    assert_eq!((&line["level"], &line["event"]), (&json!("DEBUG"), &json!("loaded")));
    assert_eq!(line["loggable_session_id"], id.loggable().as_str());
}

/// Lambda drops the lines below its own level, and takes one without a level and a timestamp for INFO (Lambda Developer
/// Guide, "Log-level filtering"). The template sets that level so that it drops none: the metrics are in these lines.
#[tokio::test]
async fn with_the_log_settings_of_the_template_the_metrics_pass_at_every_level() {
    let template = include_str!("../../../template.yaml");
    let lambda_levels: BTreeSet<_> = template
        .split("ApplicationLogLevel: ")
        .skip(1)
        .map(|after| after.split(',').next().unwrap())
        .collect();
    assert_eq!(lambda_levels.len(), 1, "one for all functions");
    assert_eq!(template.matches("SESSION_LOG_LEVEL: !Ref LogLevel").count(), 1);
    let rank =
        |level: &str| ["TRACE", "DEBUG", "INFO", "WARN", "ERROR"].iter().position(|name| *name == level);
    let lambda_level = rank(lambda_levels.first().unwrap()).unwrap();
    let service = Service::start().await;
    for level in ["TRACE", "DEBUG", "INFO", "WARN", "ERROR"] {
        let id = service.create(json!({})).await;
        let load = Function::start_with("load", &service, &[("SESSION_LOG_LEVEL", level)]).await;
        load.call(&event("GET", with_id(&id), None)).await;
        load.call(&event("GET", json!({}), None)).await;
        let log = load.log().await;
        let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let passed = lines.filter(|line| {
            let has_both = line["level"].is_string() && line["timestamp"].is_string();
            let level = if has_both { line["level"].as_str().unwrap() } else { "INFO" };
            rank(level).unwrap() >= lambda_level
        });
        let counted: Vec<_> =
            passed.map(|line| line["_aws"]["CloudWatchMetrics"][0]["Metrics"][0]["Name"].clone()).collect();
        assert_eq!(counted, ["loaded", "missing"], "{level}");
    }
}
