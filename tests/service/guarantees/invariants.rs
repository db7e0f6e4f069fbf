//! The invariants, with one test or more for each.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::AttributeValue;
use dynamodb_web_session::{Clock, Config, SessionId, SystemClock};
use serde_json::json;
use sha2::{Digest, Sha512};

use crate::harness::{Action, Answer, Service};

fn never_issued() -> SessionId {
    "bm90LWlzc3VlZC1ieS10aGlzLXNlcnZpY2UtZXZlcg".parse().unwrap()
}

// 1. Only create adds a record.

#[tokio::test]
async fn only_create_adds_a_record() {
    for touch_interval_seconds in [0, 60] {
        let service = Service::with(Config { touch_interval_seconds, ..Config::default() }).await;
        let id = never_issued();
        service.load(&id).await.problem(404);
        service.save(&id, json!({ "data": { "a": 1 } })).await.problem(404);
        service.save(&id, json!({ "idle_timeout_seconds": 1 })).await.problem(404);
        service.renew(&id).await.problem(404);
        service.clear(&id).await.assert_status(204);
        assert_eq!(service.records().await, 0);
    }
}

#[tokio::test]
async fn create_ignores_an_id_of_its_caller() {
    let service = Service::start().await;
    let fixed = never_issued();
    let created = service.post().id(&fixed).cookie(&fixed).send().await.session_id();
    assert_ne!(created.expose(), fixed.expose());
    service.load(&fixed).await.problem(404);
    service.post().json(&json!({ "session_id": fixed.expose() })).send().await.problem(400);
}

#[tokio::test]
async fn a_taken_id_is_not_overwritten_and_another_is_generated() {
    let service = Service::start().await;
    let taken = service.create(json!({ "owner": "first" })).await;
    let taken_key = taken.loggable().to_string();
    service.proxy.forget();
    service.proxy.on_next(async move |put| {
        let mut put: serde_json::Value = serde_json::from_str(&put).unwrap();
        put["Item"]["id"]["S"] = taken_key.into();
        Action::Forward(put.to_string())
    });
    let other = service.create(json!({ "owner": "second" })).await;
    assert_eq!(service.proxy.operations(), ["PutItem", "PutItem"]);
    assert_eq!(service.load(&taken).await.data(), json!({ "owner": "first" }));
    assert_eq!(service.load(&other).await.data(), json!({ "owner": "second" }));
}

// 2. A dead session stays dead.

/// Asserts that no call finds or revives a dead session.
async fn assert_stays_dead(service: &Service, id: &SessionId) {
    let before = service.record(id).await;
    service.load(id).await.problem(404);
    service.save(id, json!({ "data": { "revived": true } })).await.problem(404);
    service.save(id, json!({ "idle_timeout_seconds": 1_000_000 })).await.problem(404);
    service.save(id, json!({ "absolute_timeout_seconds": 1_000_000 })).await.problem(404);
    service.put().id(id).json(&json!({ "data": {} })).header("if-match", "*").send().await.problem(404);
    service.renew(id).await.problem(404);
    assert_eq!(service.record(id).await, before, "a dead session's record is not written to");
    service.load(id).await.problem(404);
}

#[tokio::test]
async fn a_cleared_session_stays_dead() {
    for touch_interval_seconds in [0, 60] {
        let service = Service::with(Config { touch_interval_seconds, ..Config::default() }).await;
        let id = service.create(json!({})).await;
        service.clear(&id).await.assert_status(204);
        assert!(!service.record(&id).await.unwrap().contains_key("data"));
        assert_stays_dead(&service, &id).await;
    }
}

/// An emulator has one copy, so only the request shows which kind of read was asked for. An eventually consistent read
/// would show a cleared session for another second.
#[tokio::test]
async fn a_load_asks_for_a_consistent_read() {
    let service = Service::start().await;
    let id = service.create(json!({})).await;
    service.proxy.on_next(async |get| {
        let asked: serde_json::Value = serde_json::from_str(&get).unwrap();
        assert_eq!(asked["ConsistentRead"], true);
        Action::Forward(get)
    });
    service.load(&id).await.assert_status(200);
}

#[tokio::test]
async fn an_idle_expired_session_stays_dead_from_the_second_of_its_deadline() {
    for touch_interval_seconds in [0, 60] {
        let service = Service::with(Config { touch_interval_seconds, ..Config::default() }).await;
        let id = service.create_with(json!({ "idle_timeout_seconds": 30 })).await;
        service.clock.advance(29);
        service.load(&id).await.assert_status(200);
        service.clock.advance(30);
        assert!(service.record(&id).await.is_some(), "TTL deletion lags: the record is still there");
        assert_stays_dead(&service, &id).await;
    }
}

#[tokio::test]
async fn an_absolute_expired_session_stays_dead_however_busy_it_was() {
    for touch_interval_seconds in [0, 60] {
        let service = Service::with(Config { touch_interval_seconds, ..Config::default() }).await;
        let id = service.create_with(json!({ "absolute_timeout_seconds": 60 })).await;
        for _ in 0..59 {
            service.clock.advance(1);
            service.load(&id).await.assert_status(200);
        }
        service.save(&id, json!({ "data": { "busy": true } })).await.assert_status(204);
        service.clock.advance(1);
        assert_stays_dead(&service, &id).await;
    }
}

#[tokio::test]
async fn not_before_ends_older_sessions_only() {
    for touch_interval_seconds in [0, 60] {
        let not_before = SystemClock.now();
        let config = Config { touch_interval_seconds, not_before, ..Config::default() };
        let service = Service::with(config).await;
        let early = service.create(json!({})).await; // as if from a restored backup
        let created = AttributeValue::N((not_before.epoch_seconds() - 1).to_string());
        service.tamper(&early, "created", created).await;
        assert_stays_dead(&service, &early).await;
        let late = service.create(json!({})).await;
        service.load(&late).await.assert_status(200);
        service.clock.advance(100);
        service.save(&late, json!({ "data": {} })).await.assert_status(204);
        service.renew(&late).await.assert_status(200);
        assert_stays_dead(&service, &early).await;
    }
}

// 3. All absent sessions get the same response.

#[tokio::test]
async fn missing_cleared_and_expired_ids_get_the_same_response() {
    for touch_interval_seconds in [0, 60] {
        let service = Service::with(Config { touch_interval_seconds, ..Config::default() }).await;
        let cleared = service.create(json!({})).await;
        service.clear(&cleared).await.assert_status(204);
        let idle_expired = service.create_with(json!({ "idle_timeout_seconds": 5 })).await;
        let absolute_expired = service.create_with(json!({ "absolute_timeout_seconds": 5 })).await;
        service.clock.advance(5);

        for method in ["GET", "PUT", "renew"] {
            let call = || match method {
                "GET" => service.get(),
                "PUT" => service.put().json(&json!({ "data": {} })),
                _ => service.post_renew(),
            };
            let missing = call().send().await;
            missing.problem(404);
            for absent in [
                call().header("x-session-id", "").send().await,
                call().header("x-session-id", "malformed!").send().await,
                call().header("x-session-id", "A".repeat(5000)).send().await,
                call().header("x-session-id", [0xff, 0xfe]).send().await,
                call().id(&cleared).id(&cleared).send().await,
                call().cookie(&cleared).send().await,
                call().id(&never_issued()).send().await,
                call().id(&cleared).send().await,
                call().id(&idle_expired).send().await,
                call().id(&absolute_expired).send().await,
            ] {
                assert_eq!(absent, missing, "{method}: status, headers and body");
            }
        }
        for absent in [cleared, idle_expired, absolute_expired, never_issued()] {
            let answer = service.clear(&absent).await;
            assert_eq!(answer, service.delete().send().await);
            answer.assert_status(204);
        }
    }
}

#[tokio::test]
async fn a_bad_save_is_refused_before_its_session_is_looked_up() {
    let service = Service::with(Config { max_data_bytes: 100, ..Config::default() }).await;
    for (status, body) in [
        (413, json!({ "data": { "a": "x".repeat(100) } })),
        (400, json!({ "idle_timeout_seconds": 0 })),
        (400, json!({})),
    ] {
        let missing = service.put().json(&body).send().await;
        missing.problem(status);
        assert_eq!(service.put().header("x-session-id", "malformed").json(&body).send().await, missing);
        assert_eq!(service.save(&never_issued(), body).await, missing);
    }
}

// 4. The caller never sets `created`, and use never moves the absolute deadline.

#[tokio::test]
async fn no_call_changes_created_and_use_does_not_move_the_absolute_deadline() {
    for touch_interval_seconds in [0, 60] {
        let service = Service::with(Config { touch_interval_seconds, ..Config::default() }).await;
        let id = service.create(json!({})).await;
        let created = service.recorded(&id, "created").await;
        let absolute = service.recorded(&id, "absolute_expires").await;
        assert_eq!(absolute, created + 43_200);
        for _ in 0..5 {
            service.clock.advance(1000);
            service.load(&id).await.assert_status(200);
            service.save(&id, json!({ "data": { "a": 1 } })).await.assert_status(204);
            service.save(&id, json!({ "idle_timeout_seconds": 7000 })).await.assert_status(204);
        }
        service.save(&id, json!({ "created": 1 })).await.problem(400);
        assert_eq!(service.recorded(&id, "created").await, created);
        assert_eq!(service.recorded(&id, "absolute_expires").await, absolute);
        service.save(&id, json!({ "absolute_timeout_seconds": 6000 })).await.assert_status(204);
        assert_eq!(service.recorded(&id, "absolute_expires").await, created + 6000);
        assert_eq!(service.recorded(&id, "created").await, created);
    }
}

// 5. A session ID leaves the service once. (For the log: local_server.rs.)

#[tokio::test]
async fn the_id_is_in_the_first_response_only_and_not_in_the_table() {
    let service = Service::start().await;
    let id = service.create(json!({ "a": 1 })).await;
    let mut seen: Vec<Answer> = vec![
        service.load(&id).await,
        service.save(&id, json!({ "data": { "a": 2 } })).await,
        service.put().id(&id).json(&json!({ "data": {} })).header("if-match", "\"no\"").send().await,
        service.put().id(&id).json(&json!({ id.expose(): id.expose() })).send().await,
        service.put().id(&id).text(id.expose()).send().await,
        service.put().id(&id).header("if-match", id.expose()).json(&json!({ "data": {} })).send().await,
    ];
    let record = format!("{:?}", service.record(&id).await.unwrap());
    assert!(!record.contains(id.expose()));
    seen.push(service.clear(&id).await);
    seen.push(service.load(&id).await);
    for answer in seen {
        assert!(!format!("{answer:?}").contains(id.expose()), "status {}", answer.status);
    }
}

#[tokio::test]
async fn the_table_is_keyed_by_the_sha_512_of_the_id() {
    let service = Service::start().await;
    let id = service.create(json!({})).await;
    let key: String = Sha512::digest(id.expose()).iter().map(|byte| format!("{byte:02x}")).collect();
    let record = service.record(&id).await.unwrap();
    assert_eq!(record["id"].as_s().unwrap(), &key);
    let attributes: BTreeSet<_> = record.keys().map(String::as_str).collect();
    let documented =
        ["absolute_expires", "chain", "created", "data", "etag", "expires", "id", "idle_timeout"]
            .into_iter()
            .collect();
    assert_eq!(attributes, documented);
}

// 6. An acknowledged save is stored. (With If-Match: if_match.rs. In parallel: races.rs.)

// 7. One DynamoDB request for each call.

#[tokio::test]
async fn each_call_takes_one_request_and_a_load_that_slides_takes_two() {
    let service = Service::start().await;
    assert_eq!(service.operations_of(service.post().send()).await, ["PutItem"]);
    let id = service.create(json!({})).await;
    assert_eq!(service.operations_of(service.load(&id)).await, ["GetItem"]);
    assert_eq!(service.operations_of(service.save(&id, json!({ "data": {} }))).await, ["UpdateItem"]);
    let if_match = service.put().id(&id).json(&json!({ "data": {} })).header("if-match", "\"no\"").send();
    assert_eq!(service.operations_of(if_match).await, ["UpdateItem"]);
    service.clock.advance(60);
    assert_eq!(service.operations_of(service.load(&id)).await, ["GetItem", "UpdateItem"]);
    assert_eq!(service.operations_of(service.load(&id)).await, ["GetItem"]);
    let renewed = service.create(json!({})).await;
    assert_eq!(service.operations_of(service.renew(&renewed)).await, ["GetItem", "TransactWriteItems"]);
    assert_eq!(service.operations_of(service.clear(&id)).await, ["UpdateItem"]);
    assert_eq!(service.operations_of(service.load(&id)).await, ["GetItem"]);
    assert_eq!(service.operations_of(service.get().send()).await, [""; 0], "no request without an ID");
    assert_eq!(service.operations_of(service.delete().send()).await, [""; 0]);
}

#[tokio::test]
async fn at_ten_loads_a_minute_a_load_is_at_most_1_1_requests() {
    let service = Service::start().await;
    let id = service.create(json!({})).await;
    service.proxy.forget();
    for _ in 0..100 {
        service.clock.advance(6);
        service.load(&id).await.assert_status(200);
    }
    assert_eq!(service.proxy.operations().len(), 110);
}

#[tokio::test]
async fn without_a_touch_interval_a_load_is_one_update() {
    let service = Service::with(Config { touch_interval_seconds: 0, ..Config::default() }).await;
    let id = service.create(json!({ "a": 1 })).await;
    service.clock.advance(1);
    assert_eq!(service.operations_of(service.load(&id)).await, ["UpdateItem"]);
    let loaded = service.load(&id).await.json();
    assert_eq!(loaded["data"], json!({ "a": 1 }));
    assert_eq!(loaded["expires"], service.clock.now().plus_seconds(7200).to_string());
}

// 8. A session expires early by at most the touch interval, and never late.

#[tokio::test]
async fn a_session_may_expire_early_by_the_touch_interval_and_no_more() {
    let service = Service::start().await;
    let id = service.create(json!({})).await;
    let start = service.clock.now();

    service.clock.advance(59);
    let loaded = service.load(&id).await.json();
    assert_eq!(loaded["expires"], start.plus_seconds(7200).to_string(), "early by 59 seconds");
    service.clock.advance(1);
    let loaded = service.load(&id).await.json();
    assert_eq!(loaded["expires"], start.plus_seconds(7260).to_string(), "slid");
    assert_eq!(service.recorded(&id, "expires").await, start.plus_seconds(7260).epoch_seconds());
}

#[tokio::test]
async fn a_short_session_slides_at_a_tenth_of_its_idle_timeout() {
    let service = Service::start().await;
    let id = service.create_with(json!({ "idle_timeout_seconds": 100 })).await;
    service.clock.advance(9);
    assert_eq!(service.operations_of(service.load(&id)).await, ["GetItem"]);
    service.clock.advance(1);
    assert_eq!(service.operations_of(service.load(&id)).await, ["GetItem", "UpdateItem"]);
    for _ in 0..20 {
        service.clock.advance(90);
        service.load(&id).await.assert_status(200);
    }
}
