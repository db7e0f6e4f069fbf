//! The authorizer for other APIs, as Lambda runs it: its binary under the Lambda Runtime API, with API Gateway's events.

use aws_sdk_dynamodb::types::AttributeValue;
use dynamodb_web_session::{Clock, SessionId};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use crate::harness::{Function, Outcome, Service, published};

const COOKIE: (&str, &str) = ("SESSION_ID_TRANSPORT", "cookie");
const OPTIONAL: (&str, &str) = ("SESSION_AUTHORIZER_OPTIONAL", "true");

/// A published event, changed into a request with these headers.
fn event(method: &str, headers: Value) -> Value {
    let mut event = published("v2-custom-authorizer-v2-request");
    event["requestContext"]["http"]["method"] = method.into();
    event["headers"] = headers;
    event.as_object_mut().unwrap().remove("cookies");
    event
}

fn with_id(id: &SessionId) -> Value {
    event("GET", json!({ "x-session-id": id.expose() }))
}

fn with_cookie(method: &str, id: &SessionId, headers: Value) -> Value {
    let mut event = event(method, headers);
    event["cookies"] = json!(["theme=dark", format!("__Host-id={}", id.expose())]);
    event
}

fn refused() -> Value {
    json!({ "isAuthorized": false, "context": {} })
}

fn anonymous() -> Value {
    json!({ "isAuthorized": true, "context": {} })
}

#[tokio::test]
async fn a_request_with_a_session_passes_with_the_session_as_its_context() {
    let service = Service::start().await;
    let authorize = Function::start("authorize", &service).await;
    let body = json!({ "subject": "alice", "data": { "role": "admin", "n": 1 } });
    let id = service.create_with(body).await;
    let authorized = authorize.call(&with_id(&id)).await;
    let now = service.clock.now();
    let expected = json!({
        "isAuthorized": true,
        "context": {
            "loggable_session_id": id.loggable().as_str(),
            "subject": "alice",
            "created": now.to_string(),
            "expires": now.plus_seconds(7200).to_string(),
            "data": { "role": "admin", "n": 1 },
        },
    });
    assert_eq!(authorized, expected);
    assert!(!authorized.to_string().contains(id.expose()));
    let without_subject = service.create(json!({})).await;
    let context = authorize.call(&with_id(&without_subject)).await["context"].clone();
    assert_eq!(
        context.as_object().unwrap().keys().collect::<Vec<_>>(),
        ["created", "data", "expires", "loggable_session_id"]
    );
    let mut upper_case = with_id(&id);
    upper_case["headers"] = json!({ "X-Session-Id": id.expose() });
    assert_eq!(authorize.call(&upper_case).await, expected);
}

#[tokio::test]
async fn a_request_without_a_live_session_is_refused() {
    let service = Service::start().await;
    let authorize = Function::start("authorize", &service).await;
    let optional = Function::start_with("authorize", &service, &[OPTIONAL]).await;
    let (cleared, revoked) = (service.create(json!({})).await, service.create_for("alice").await);
    service.clear(&cleared).await;
    service.revoke_all("alice").await.assert_status(204);
    let expired = service.create(json!({})).await;
    let past = AttributeValue::N("1".into());
    service.tamper(&expired, "absolute_expires", past).await;
    let live = service.create(json!({})).await;
    let unknown = "A".repeat(43);
    for event in [
        event("GET", json!({})),
        event("GET", json!({ "x-session-id": "" })),
        event("GET", json!({ "x-session-id": "short" })),
        event("GET", json!({ "x-session-id": unknown })),
        event("GET", json!({ "x-session-id": format!("{0},{0}", live.expose()) })),
        event("GET", json!({ "cookie": format!("__Host-id={}", live.expose()) })),
        with_cookie("GET", &live, json!({})),
        with_id(&cleared),
        with_id(&revoked),
        with_id(&expired),
    ] {
        assert_eq!(authorize.call(&event).await, refused(), "{event}");
        assert_eq!(optional.call(&event).await, anonymous(), "{event}");
    }
    assert_eq!(authorize.call(&with_id(&live)).await["isAuthorized"], true);
}

/// An outage is not a missing session: the caller of the protected API gets a 500, and the next request is served.
#[tokio::test]
async fn an_outage_is_an_error_of_the_function() {
    let service = Service::start().await;
    let id = service.create(json!({})).await;
    for settings in [&[][..], &[OPTIONAL]] {
        let authorize = Function::start_with("authorize", &service, settings).await;
        for (status, error) in
            [(400, "ThrottlingException"), (500, "InternalServerError"), (400, "AccessDeniedException")]
        {
            service.proxy.respond(3, status, error);
            let outcome = authorize.invoke(with_id(&id).to_string()).await;
            let Outcome::Error(posted) = outcome else { panic!("{error}: {outcome:?}") };
            assert!(
                !posted.to_string().contains("injected") && !posted.to_string().contains(id.expose()),
                "{posted}"
            );
            service.proxy.forget();
        }
        assert_eq!(authorize.call(&with_id(&id)).await["isAuthorized"], true);
        let log = authorize.log().await;
        let failed: Vec<_> = log.lines().filter(|line| line.contains(r#""event":"failed""#)).collect();
        assert_eq!((failed.len(), log.lines().count()), (3, 4), "one line for each call: {log}");
        assert!(!log.contains(id.expose()));
    }
}

#[tokio::test]
async fn a_record_that_is_corrupt_is_an_error_too() {
    let service = Service::start().await;
    let id = service.create(json!({})).await;
    service.tamper(&id, "data", AttributeValue::Bool(true)).await;
    let authorize = Function::start("authorize", &service).await;
    assert!(matches!(authorize.invoke(with_id(&id).to_string()).await, Outcome::Error(_)));
}

#[tokio::test]
async fn data_over_the_limit_is_left_out_and_the_context_says_so() {
    let service = Service::start().await;
    let authorize = Function::start("authorize", &service).await;
    let none =
        Function::start_with("authorize", &service, &[("SESSION_AUTHORIZER_MAX_DATA_BYTES", "0")]).await;
    let data = |bytes: usize| json!({ "a": "x".repeat(bytes - 8) });
    let (fits, too_large) = (service.create(data(8192)).await, service.create(data(8193)).await);
    let context = authorize.call(&with_id(&fits)).await["context"].clone();
    assert_eq!((&context["data"], context.get("data_omitted")), (&data(8192), None));
    let context = authorize.call(&with_id(&too_large)).await["context"].clone();
    assert_eq!((context.get("data"), &context["data_omitted"]), (None, &json!(true)));
    let context = none.call(&with_id(&fits)).await["context"].clone();
    assert_eq!((context.get("data"), &context["data_omitted"]), (None, &json!(true)));
}

/// It is a load: one read, and once a minute a slide.
#[tokio::test]
async fn an_authorization_is_a_use_and_costs_what_a_load_does() {
    let service = Service::start().await;
    let authorize = Function::start("authorize", &service).await;
    let id = service.create(json!({})).await;
    service.proxy.forget();
    authorize.call(&with_id(&id)).await;
    assert_eq!(service.proxy.operations(), ["GetItem"]);
    let before = service.recorded(&id, "expires").await;
    // The function has the machine's clock.
    service.tamper(&id, "expires", AttributeValue::N((before - 60).to_string())).await;
    service.proxy.forget();
    authorize.call(&with_id(&id)).await;
    assert_eq!(service.proxy.operations(), ["GetItem", "UpdateItem"]);
    assert!(service.recorded(&id, "expires").await >= before);
    service.proxy.forget();
    authorize.call(&event("GET", json!({}))).await;
    assert!(service.proxy.operations().is_empty());
}

/// A browser sends the cookie whichever page makes the request.
#[tokio::test]
async fn in_cookie_transport_requests_of_other_sites_are_refused_but_navigations() {
    let service = Service::start().await;
    let origins = ("SESSION_ALLOWED_ORIGINS", "https://app.example.com");
    let authorize = Function::start_with("authorize", &service, &[COOKIE, origins]).await;
    let optional = Function::start_with("authorize", &service, &[COOKIE, OPTIONAL]).await;
    let id = service.create_for("alice").await;
    let navigation = |site: &str, dest: &str| json!({ "sec-fetch-site": site, "sec-fetch-mode": "navigate", "sec-fetch-dest": dest });
    let site = |site: &str| json!({ "sec-fetch-site": site });
    let from = |origin: &str| json!({ "sec-fetch-site": "cross-site", "origin": origin });
    for (method, headers, passes) in [
        ("GET", site("same-origin"), true),
        ("POST", site("same-origin"), true),
        ("DELETE", site("same-origin"), true),
        ("GET", site("none"), true),
        ("GET", json!({}), true),
        ("GET", navigation("cross-site", "document"), true),
        ("HEAD", navigation("same-site", "document"), true),
        ("GET", from("https://app.example.com"), true),
        ("POST", from("https://app.example.com"), true),
        ("GET", site("cross-site"), false),
        ("GET", site("same-site"), false),
        ("GET", navigation("cross-site", "iframe"), false),
        (
            "GET",
            json!({ "sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors", "sec-fetch-dest": "image" }),
            false,
        ),
        ("POST", navigation("cross-site", "document"), false),
        ("POST", navigation("none", "document"), false),
        ("POST", site("cross-site"), false),
        ("POST", site("none"), false),
        ("PUT", json!({}), false),
        ("PATCH", json!({ "origin": "null" }), false),
        ("GET", from("https://evil.example"), false),
        ("POST", from("https://app.example.com.evil.example"), false),
        ("GET", site("same-origin,cross-site"), false),
        ("no method", json!({}), false),
    ] {
        let event = with_cookie(method, &id, headers.clone());
        assert_eq!(authorize.call(&event).await["isAuthorized"], passes, "{method} {headers}");
        if !passes && headers.get("origin").is_none() {
            assert_eq!(optional.call(&event).await, refused(), "{method} {headers}: not anonymous either");
        }
    }
    let mut twice = with_cookie("GET", &id, json!({}));
    twice["cookies"] = json!([format!("__Host-id={}", id.expose()), "__Host-id=other"]);
    assert_eq!(authorize.call(&twice).await, refused());
    let in_header = event("GET", json!({ "cookie": format!("a=b; __Host-id={}", id.expose()) }));
    assert_eq!(authorize.call(&in_header).await["context"]["subject"], "alice");
    assert_eq!(authorize.call(&with_id(&id)).await, refused(), "the header is not accepted");
}

#[tokio::test]
async fn every_published_event_is_refused_and_with_a_session_passes() {
    let service = Service::start().await;
    let id = service.create_for("alice").await;
    let authorize = Function::start("authorize", &service).await;
    for name in ["", "-null-maps", "-without-cookies", "-without-identity-source"] {
        let mut event = published(&format!("v2-custom-authorizer-v2-request{name}"));
        assert_eq!(authorize.call(&event).await, refused(), "{name}");
        event["headers"]["x-session-id"] = id.expose().into();
        assert_eq!(authorize.call(&event).await["context"]["subject"], "alice", "{name}");
    }
}

/// What API Gateway expects for a REST API, a WebSocket API and payload 1.0.
fn policy(effect: &str, principal: &str, stage: &str, context: Value) -> Value {
    json!({
        "principalId": principal,
        "policyDocument": {
            "Version": "2012-10-17",
            "Statement": [{ "Action": "execute-api:Invoke", "Effect": effect, "Resource": format!("{stage}/*") }],
        },
        "context": context,
    })
}

#[tokio::test]
async fn rest_apis_websockets_and_payload_1_get_a_policy_for_their_stage() {
    let service = Service::start().await;
    let data = json!({ "role": "admin", "n": 1 });
    let id = service.create_with(json!({ "subject": "alice", "data": data })).await;
    let authorize = Function::start("authorize", &service).await;
    for name in [
        "custom-auth-request-type-request",
        "v2-custom-authorizer-v1-request",
        "v2-custom-authorizer-websocket-request",
    ] {
        let mut event = published(name);
        let stage = event["methodArn"].as_str().unwrap().splitn(3, '/').take(2).collect::<Vec<_>>().join("/");
        assert_eq!(authorize.call(&event).await, policy("Deny", "anonymous", &stage, json!({})), "{name}");
        event["headers"]["X-Session-Id"] = id.expose().into();
        if event["multiValueHeaders"].is_object() {
            event["multiValueHeaders"]["X-Session-Id"] = json!([id.expose()]);
        }
        let granted = authorize.call(&event).await;
        let context = &granted["context"];
        assert_eq!(granted, policy("Allow", "alice", &stage, context.clone()), "{name}");
        assert_eq!(context["loggable_session_id"], id.loggable().as_str());
        let members = context.as_object().unwrap().values();
        assert!(members.into_iter().all(|value| value.is_string() || value.is_boolean()), "{context}");
        assert_eq!(serde_json::from_str::<Value>(context["data"].as_str().unwrap()).unwrap(), data);
        if event["multiValueHeaders"].is_object() {
            event["multiValueHeaders"]["X-Session-Id"] = json!([id.expose(), id.expose()]);
            assert_eq!(
                authorize.call(&event).await["policyDocument"]["Statement"][0]["Effect"],
                "Deny",
                "two IDs"
            );
        }
    }
    let token = published("custom-auth-request");
    assert_eq!(authorize.call(&token).await["policyDocument"]["Statement"][0]["Effect"], "Deny");
}

/// Browsers send the cookie with a handshake from any site, and a page can read what comes over a WebSocket.
#[tokio::test]
async fn in_cookie_transport_a_websocket_of_another_site_is_refused() {
    let service = Service::start().await;
    let id = service.create_for("alice").await;
    let authorize = Function::start_with("authorize", &service, &[COOKIE]).await;
    let mut event = published("v2-custom-authorizer-websocket-request");
    for (site, effect) in
        [("same-origin", "Allow"), ("cross-site", "Deny"), ("same-site", "Deny"), ("", "Deny")]
    {
        let headers = json!({
            "Cookie": format!("__Host-id={}", id.expose()), "Origin": "https://other.example",
            "Sec-Fetch-Site": site, "Sec-Fetch-Mode": "websocket", "Upgrade": "websocket",
        });
        event["multiValueHeaders"] = headers
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, value)| (name.clone(), json!([value])))
            .collect::<serde_json::Map<_, _>>()
            .into();
        event["headers"] = headers;
        let answer = authorize.call(&event).await;
        assert_eq!(answer["policyDocument"]["Statement"][0]["Effect"], effect, "{site}");
    }
}

/// A browser sends a preflight without a cookie, before each request of another origin.
#[tokio::test]
async fn a_cors_preflight_passes_without_a_session() {
    let service = Service::start().await;
    let authorize = Function::start_with("authorize", &service, &[COOKIE]).await;
    let origin = json!({ "origin": "https://app.example", "sec-fetch-site": "cross-site" });
    let mut preflight = origin.clone();
    preflight["access-control-request-method"] = "PUT".into();
    assert_eq!(authorize.call(&event("OPTIONS", preflight.clone())).await, anonymous());
    assert_eq!(authorize.call(&event("OPTIONS", origin)).await, refused());
    assert_eq!(authorize.call(&event("PUT", preflight)).await, refused());
}

/// A refusal is counted as the functions count it, with the address.
#[tokio::test]
async fn each_authorization_is_one_line_in_the_log() {
    let service = Service::start().await;
    let id = service.create_for("alice").await;
    let authorize =
        Function::start_with("authorize", &service, &[("SESSION_LOG_LEVEL", "DEBUG"), COOKIE]).await;
    authorize.call(&with_cookie("GET", &id, json!({}))).await;
    authorize.call(&event("GET", json!({}))).await;
    authorize.call(&with_cookie("POST", &id, json!({ "sec-fetch-site": "cross-site" }))).await;
    let log = authorize.log().await;
    assert!(!log.contains(id.expose()) && !log.contains("alice"));
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let outcomes: Vec<_> = lines
        .iter()
        .map(|line| (line["event"].as_str().unwrap(), line["outcome"].as_str().unwrap()))
        .collect();
    assert_eq!(outcomes, [("loaded", "ok"), ("refused", "missing"), ("refused", "cross-site")]);
    assert_eq!(lines[0]["loggable_session_id"], id.loggable().as_str());
    assert_eq!(lines[1]["source_ip"], "IP");
    assert_eq!((&lines[1]["api_request_id"], lines[1]["request_id"].is_string()), (&json!("id"), true));
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,20}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map("[a-zA-Z-]{0,12}", inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Generated events: a published one, some of whose parts are other JSON. Whatever they are, the request is refused, or the
/// event is an error of the function; the function never ends, and never lets a request pass that has no session.
#[tokio::test]
async fn no_event_without_a_session_passes() {
    let service = Service::start().await;
    for settings in [&[][..], &[COOKIE]] {
        let mut authorize = Function::start_with("authorize", &service, settings).await;
        let mut runner = TestRunner::deterministic();
        let part = proptest::sample::select(vec![
            "",
            "/headers",
            "/headers/x-session-id",
            "/headers/cookie",
            "/headers/sec-fetch-site",
            "/cookies",
            "/cookies/0",
            "/requestContext",
            "/requestContext/http",
            "/requestContext/http/method",
            "/requestContext/requestId",
            "/identitySource",
            "/rawPath",
            "/routeArn",
        ]);
        let changes = proptest::collection::vec((part, any_json()), 0..4);
        let (mut refusals, mut errors) = (0, 0);
        for n in 0..100 {
            if n % 50 == 0 {
                // Its log is read at its end, so it must not become too long.
                let log = std::mem::replace(
                    &mut authorize,
                    Function::start_with("authorize", &service, settings).await,
                )
                .log()
                .await;
                assert!(!log.contains(&"A".repeat(43)), "{log}");
            }
            let mut event = event(
                "GET",
                json!({ "x-session-id": "A".repeat(43), "cookie": "a=b", "sec-fetch-site": "none" }),
            );
            event["cookies"] = json!([format!("__Host-id={}", "A".repeat(43))]);
            for (pointer, value) in changes.new_tree(&mut runner).unwrap().current() {
                if let Some(part) = event.pointer_mut(pointer) {
                    *part = value;
                }
            }
            match authorize.invoke(event.to_string()).await {
                Outcome::Response(response) => {
                    assert_eq!(response, refused(), "{event}");
                    refusals += 1;
                }
                Outcome::Error(_) => errors += 1,
                Outcome::Exit => panic!("the function ended: {event}"),
            }
        }
        assert!(refusals > 15 && errors > 1, "{refusals} refusals, {errors} errors");
    }
}
