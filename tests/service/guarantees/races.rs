//! Requests that race with each other.

use std::sync::Arc;

use aws_sdk_dynamodb::types::AttributeValue;
use dynamodb_web_session::{Config, Error, SessionId, SessionManager};
use serde_json::{Value, json};

use crate::harness::{Action, Service, rounds};

#[tokio::test(flavor = "multi_thread")]
async fn clears_race_with_loads_and_saves_and_stay_cleared() {
    // Every load writes: the hardest case.
    let service = Service::with(Config { touch_interval_seconds: 0, ..Config::default() }).await;
    for round in 0..rounds("CLEARS", 100) {
        let id = service.create(json!({ "round": round })).await;
        let (loaded, saved, cleared, saved_timeouts) = tokio::join!(
            service.load(&id),
            service.save(&id, json!({ "data": { "saved": round } })),
            service.clear(&id),
            service.save(&id, json!({ "idle_timeout_seconds": 60 })),
        );
        cleared.assert_status(204);
        assert!([200, 404].contains(&loaded.status.as_u16()), "{loaded:?}");
        assert!([204, 404].contains(&saved.status.as_u16()), "{saved:?}");
        assert!([204, 404].contains(&saved_timeouts.status.as_u16()), "{saved_timeouts:?}");
        service.load(&id).await.problem(404);
        assert!(!service.record(&id).await.unwrap().contains_key("data"), "round {round}");
    }
}

/// A user logs out in one tab while another tab renews: the user is logged out.
#[tokio::test(flavor = "multi_thread")]
async fn clears_race_with_renewals_and_nothing_lives_after_both() {
    let service = Service::start().await;
    for round in 0..rounds("CLEARS", 100) {
        let old = service.create(json!({ "round": round })).await;
        let (renewed, cleared, _) =
            tokio::join!(service.renew(&old), service.clear(&old), service.save(&old, json!({ "data": {} })));
        cleared.assert_status(204);
        match renewed.status.as_u16() {
            200 => {
                let new = renewed.session_id();
                service.load(&new).await.problem(404);
            }
            status => assert!([404, 503].contains(&status), "{renewed:?}"),
        }
        service.load(&old).await.problem(404);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_writers_with_if_match_lose_no_increment() {
    let service = Arc::new(Service::start().await);
    let id = service.create(json!({ "count": 0 })).await;
    let mut writers = Vec::new();
    for writer in 0..8 {
        let (service, id) = (Arc::clone(&service), id.clone());
        let increments = if writer < 4 { 13 } else { 12 };
        writers.push(tokio::spawn(async move {
            let mut left = increments;
            while left > 0 {
                let loaded = service.load(&id).await;
                let count = loaded.data()["count"].as_u64().unwrap();
                let body = json!({ "data": { "count": count + 1 } });
                let save = service.put().id(&id).header("if-match", loaded.header("etag")).json(&body);
                match save.send().await.status.as_u16() {
                    204 => left -= 1,
                    status => assert_eq!(status, 412),
                }
            }
        }));
    }
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(service.load(&id).await.data(), json!({ "count": 100 }));
}

/// The same with the crate's own method.
#[tokio::test(flavor = "multi_thread")]
async fn save_if_unchanged_loses_no_increment() {
    async fn increment(sessions: SessionManager, id: SessionId) {
        loop {
            let mut session = sessions.load::<Value>(&id).await.unwrap().unwrap();
            session.data["count"] = json!(session.data["count"].as_u64().unwrap() + 1);
            match sessions.save_if_unchanged(&mut session).await {
                Ok(()) => return,
                Err(error) => assert!(matches!(error, Error::Changed), "{error:?}"),
            }
        }
    }
    let service = Service::start().await;
    let session = service.sessions.create(json!({ "count": 0 })).await.unwrap();
    let writers: Vec<_> =
        (0..20).map(|_| tokio::spawn(increment(service.sessions.clone(), session.id().clone()))).collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let counted = service.sessions.load::<Value>(session.id()).await.unwrap().unwrap();
    assert_eq!(counted.data, json!({ "count": 20 }));
}

/// The load must not return a session that was cleared between its two requests.
#[tokio::test]
async fn a_load_that_slides_notices_a_clear_between_its_two_requests() {
    let service = Service::start().await;
    let id = service.create(json!({})).await;
    service.clock.advance(60);
    let clear = service
        .dynamodb
        .delete_item()
        .table_name(&service.table)
        .key("id", AttributeValue::S(id.loggable().to_string()));
    service.proxy.on_next(async |get| Action::Forward(get));
    service.proxy.on_next(async move |update| {
        clear.send().await.unwrap();
        Action::Forward(update)
    });
    service.load(&id).await.problem(404);
    assert_eq!(service.records().await, 0);
}
