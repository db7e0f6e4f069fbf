//! Each call on a session over HTTP, from create to clear.

use dynamodb_web_session::{Clock, Config, SessionId, Timeouts};
use serde_json::json;

use crate::harness::Service;

#[tokio::test]
async fn a_session_is_created_loaded_saved_and_cleared() {
    let service = Service::start().await;
    let created = service.post().json(&json!({ "data": { "fruit": "apple" } })).send().await;
    created.assert_status(201);
    let id = created.session_id();
    assert_eq!(id.expose().len(), 43);

    let loaded = service.load(&id).await;
    loaded.assert_status(200);
    assert_eq!(loaded.data(), json!({ "fruit": "apple" }));
    assert_eq!(loaded.header("etag"), created.header("etag"));

    let saved = service.save(&id, json!({ "data": { "fruit": "pear" } })).await;
    saved.assert_status(204);
    assert_ne!(saved.header("etag"), created.header("etag"));
    assert!(saved.body.is_empty());

    let loaded = service.load(&id).await;
    assert_eq!(loaded.data(), json!({ "fruit": "pear" }));
    assert_eq!(loaded.header("etag"), saved.header("etag"));

    let cleared = service.clear(&id).await;
    cleared.assert_status(204);
    assert!(cleared.body.is_empty());
    service.load(&id).await.problem(404);
    service.clear(&id).await.assert_status(204);
}

#[tokio::test]
async fn the_document_of_a_new_session_has_all_members_and_a_loaded_one_all_but_the_id() {
    let service = Service::start().await;
    let created = service.post().send().await;
    let document = created.json();
    let id = created.session_id();
    let now = service.clock.now();
    assert_eq!(created.header("content-type"), "application/json");
    assert_eq!(
        document,
        json!({
            "session_id": id.expose(),
            "loggable_session_id": id.loggable().as_str(),
            "data": {},
            "created": now.to_string(),
            "expires": now.plus_seconds(7200).to_string(),
            "idle_timeout_seconds": 7200,
            "absolute_timeout_seconds": 43_200,
        })
    );
    let mut without_id = document;
    without_id.as_object_mut().unwrap().remove("session_id");
    assert_eq!(service.load(&id).await.json(), without_id);
}

#[tokio::test]
async fn a_session_may_have_its_own_timeouts() {
    let service = Service::start().await;
    let body = json!({ "idle_timeout_seconds": 2_592_000, "absolute_timeout_seconds": 30 });
    let created = service.post().json(&body).send().await;
    let document = created.assert_status(201).json();
    assert_eq!(document["idle_timeout_seconds"], 30, "at most the absolute timeout");
    assert_eq!(document["absolute_timeout_seconds"], 30);
    assert_eq!(
        document["expires"],
        service.clock.now().plus_seconds(30).to_string(),
        "the earlier of the two deadlines"
    );
}

#[tokio::test]
async fn default_timeouts_are_those_of_the_settings() {
    let timeouts = Timeouts { idle_seconds: 11, absolute_seconds: 22 };
    let service = Service::with(Config { timeouts, ..Config::default() }).await;
    let document = service.post().send().await.json();
    assert_eq!(document["idle_timeout_seconds"], 11);
    assert_eq!(document["absolute_timeout_seconds"], 22);
}

#[tokio::test]
async fn ids_have_the_configured_length() {
    for (id_bytes, characters) in [(16, 22), (128, 171)] {
        let service = Service::with(Config { id_bytes, ..Config::default() }).await;
        let id = service.create(json!({})).await;
        assert_eq!(id.expose().len(), characters);
        service.load(&id).await.assert_status(200);
    }
}

#[tokio::test]
async fn a_save_may_change_the_timeouts_alone() {
    let service = Service::start().await;
    let created = service.post().json(&json!({ "data": { "a": 1 } })).send().await;
    let id = created.session_id();
    service.clock.advance(10);
    let saved = service.save(&id, json!({ "idle_timeout_seconds": 20 })).await;
    saved.assert_status(204);
    assert_eq!(saved.header("etag"), created.header("etag"), "the data is unchanged");

    let loaded = service.load(&id).await.json();
    assert_eq!(loaded["data"], json!({ "a": 1 }));
    assert_eq!(loaded["idle_timeout_seconds"], 20);
    assert_eq!(loaded["absolute_timeout_seconds"], 43_200);
    assert_eq!(loaded["expires"], service.clock.now().plus_seconds(20).to_string());

    service.save(&id, json!({ "absolute_timeout_seconds": 25 })).await.assert_status(204);
    let loaded = service.load(&id).await.json();
    assert_eq!(loaded["absolute_timeout_seconds"], 25);
    assert_eq!(loaded["expires"], service.clock.now().plus_seconds(15).to_string(), "counted from creation");
    service.clock.advance(15);
    service.load(&id).await.problem(404);
}

#[tokio::test]
async fn a_save_of_everything_changes_everything() {
    let service = Service::start().await;
    let id = service.create(json!({})).await;
    let body = json!({ "data": { "b": 2 }, "idle_timeout_seconds": 5, "absolute_timeout_seconds": 9 });
    service.save(&id, body).await.assert_status(204);
    let loaded = service.load(&id).await.json();
    assert_eq!(loaded["data"], json!({ "b": 2 }));
    assert_eq!(
        (&loaded["idle_timeout_seconds"], &loaded["absolute_timeout_seconds"]),
        (&json!(5), &json!(9))
    );
}

#[tokio::test]
async fn a_save_slides_the_idle_deadline() {
    let service = Service::start().await;
    let id = service.create_with(json!({ "idle_timeout_seconds": 100 })).await;
    for _ in 0..3 {
        service.clock.advance(99);
        service.save(&id, json!({ "data": {} })).await.assert_status(204);
    }
    assert_eq!(service.recorded(&id, "expires").await, service.clock.now().plus_seconds(100).epoch_seconds());
}

#[tokio::test]
async fn every_response_forbids_caching_and_sniffing() {
    let service = Service::start().await;
    let id = service.create(json!({})).await;
    let unknown: SessionId = "A".repeat(43).parse().unwrap();
    for answer in [
        service.post().send().await,
        service.load(&id).await,
        service.save(&id, json!({ "data": {} })).await,
        service.put().id(&id).json(&json!({ "data": {} })).header("if-match", "\"x\"").send().await,
        service.save(&id, json!({ "data": [] })).await,
        service.put().id(&id).untyped("{}").send().await,
        service.load(&unknown).await,
        service.clear(&id).await,
    ] {
        assert_eq!(answer.header("cache-control"), "no-store", "{answer:?}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{answer:?}");
    }
}

#[tokio::test]
async fn an_unknown_route_is_404_from_the_gateway() {
    let service = Service::start().await;
    for method in ["PATCH", "HEAD", "OPTIONS", "SESSION"] {
        let answer = service.request(method.parse().unwrap()).send().await;
        answer.assert_status(404);
        assert!(method == "HEAD" || answer.body == r#"{"message":"Not Found"}"#, "{}", answer.body);
    }
}

/// Otherwise TTL would delete its record long after the session's end.
#[tokio::test]
async fn no_deadline_in_the_table_is_later_than_the_end_of_the_session() {
    let service = Service::start().await;
    let timeouts = json!({ "idle_timeout_seconds": 5000, "absolute_timeout_seconds": 100 });
    let id = service.create_with(timeouts.clone()).await;
    let end = service.clock.now().epoch_seconds() + 100;
    assert_eq!(service.recorded(&id, "expires").await, end);
    let id = service.create(json!({})).await;
    service.save(&id, timeouts).await.assert_status(204);
    assert_eq!(service.recorded(&id, "expires").await, end);
    assert_eq!(service.recorded(&id, "idle_timeout").await, 100);
}

#[tokio::test]
async fn default_timeouts_above_the_maximum_count_as_the_maximum() {
    let service = Service::with(Config { max_timeout_seconds: 600, ..Config::default() }).await;
    let document = service.post().send().await.assert_status(201).json();
    assert_eq!(
        (&document["idle_timeout_seconds"], &document["absolute_timeout_seconds"]),
        (&json!(600), &json!(600))
    );
}
