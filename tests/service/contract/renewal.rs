//! Renewal: a new ID for the same session.

use aws_sdk_dynamodb::types::AttributeValue;
use dynamodb_web_session::{Clock, Error};
use serde_json::{Value, json};

use crate::harness::{Action, Service, cookies};

#[tokio::test]
async fn a_renewed_session_has_a_new_id_and_is_otherwise_the_same() {
    let service = Service::start().await;
    let body = json!({ "data": { "user": 7 }, "idle_timeout_seconds": 500, "absolute_timeout_seconds": 900 });
    let old = service.create_with(body).await;
    let before = service.load(&old).await;
    service.clock.advance(100);

    let renewed = service.renew(&old).await;
    let new = renewed.assert_status(200).session_id();
    assert_ne!(new.expose(), old.expose());
    assert_eq!(new.expose().len(), 43);
    let (before, after) = (before.json(), renewed.json());
    for member in ["data", "created", "idle_timeout_seconds", "absolute_timeout_seconds"] {
        assert_eq!(after[member], before[member], "{member}");
    }
    assert_eq!(after["loggable_session_id"], new.loggable().as_str());
    assert_eq!(
        after["expires"],
        service.clock.now().plus_seconds(500).to_string(),
        "a renewal slides the idle deadline"
    );

    assert_eq!(service.load(&new).await.data(), json!({ "user": 7 }));
    assert_eq!(service.records().await, 1);
    service.load(&old).await.problem(404);
    service.save(&old, json!({ "data": {} })).await.problem(404);
    service.renew(&old).await.problem(404);
}

#[tokio::test]
async fn renewals_do_not_prolong_the_absolute_deadline() {
    let service = Service::start().await;
    let mut id = service.create_with(json!({ "absolute_timeout_seconds": 100 })).await;
    for _ in 0..9 {
        service.clock.advance(11);
        id = service.renew(&id).await.assert_status(200).session_id();
    }
    service.clock.advance(1);
    service.renew(&id).await.problem(404);
    service.load(&id).await.problem(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_renewals_at_once_succeeds() {
    let service = Service::start().await;
    for _ in 0..100 {
        let old = service.create(json!({ "a": 1 })).await;
        let (one, other) = tokio::join!(service.renew(&old), service.renew(&old));
        let (winner, loser) = if one.status == 200 { (one, other) } else { (other, one) };
        loser.problem(404);
        service.load(&winner.session_id()).await.assert_status(200);
        service.clear(&winner.session_id()).await.assert_status(204);
        assert_eq!(service.records().await, 0, "only one new session, and the old one is deleted");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledged_save_is_in_the_renewed_session() {
    let service = Service::start().await;
    for round in 0..200 {
        let old = service.create(json!({ "saved": null })).await;
        let save = service.save(&old, json!({ "data": { "saved": round }, "idle_timeout_seconds": 99 }));
        let (renewed, saved) = tokio::join!(service.renew(&old), save);
        let new = renewed.assert_status(200).session_id();
        let loaded = service.load(&new).await.json();
        match saved.status.as_u16() {
            204 => assert_eq!(
                (&loaded["data"]["saved"], &loaded["idle_timeout_seconds"]),
                (&json!(round), &json!(99))
            ),
            404 | 503 => assert_eq!(loaded["data"]["saved"], Value::Null),
            status => panic!("{status}"),
        }
    }
}

/// The race above, with its worst timing.
#[tokio::test]
async fn a_renewal_notices_a_save_between_its_two_requests() {
    let service = Service::start().await;
    for body in [json!({ "data": { "saved": true } }), json!({ "absolute_timeout_seconds": 77 })] {
        let old = service.create(json!({})).await;
        service.proxy.forget();
        let save = service.put().id(&old).json(&body);
        service.proxy.on_next(async |get| Action::Forward(get));
        service.proxy.on_next(async |transaction| {
            save.send().await.assert_status(204);
            Action::Forward(transaction)
        });
        let renewed = service.renew(&old).await.assert_status(200).json();
        assert_eq!(
            service.proxy.operations(),
            ["GetItem", "TransactWriteItems", "UpdateItem", "GetItem", "TransactWriteItems"]
        );
        match body.get("data") {
            Some(data) => assert_eq!(&renewed["data"], data),
            None => assert_eq!(renewed["absolute_timeout_seconds"], 77),
        }
    }
}

#[tokio::test]
async fn a_session_that_is_cleared_during_a_renewal_is_not_renewed() {
    let service = Service::start().await;
    let old = service.create(json!({})).await;
    let clear = service.delete().id(&old);
    service.proxy.on_next(async |get| Action::Forward(get));
    service.proxy.on_next(async |transaction| {
        clear.send().await.assert_status(204);
        Action::Forward(transaction)
    });
    service.renew(&old).await.problem(404);
    assert_eq!(service.records().await, 0);
}

#[tokio::test]
async fn a_taken_id_is_not_overwritten_by_a_renewal() {
    let service = Service::start().await;
    let taken = service.create(json!({ "owner": "first" })).await;
    let old = service.create(json!({ "owner": "second" })).await;
    let taken_key = taken.loggable().to_string();
    service.proxy.on_next(async |get| Action::Forward(get));
    service.proxy.on_next(async move |transaction| {
        let mut transaction: Value = serde_json::from_str(&transaction).unwrap();
        transaction["TransactItems"][1]["Put"]["Item"]["id"]["S"] = taken_key.into();
        Action::Forward(transaction.to_string())
    });
    let new = service.renew(&old).await.assert_status(200).session_id();
    assert_eq!(service.load(&taken).await.data(), json!({ "owner": "first" }));
    assert_eq!(service.load(&new).await.data(), json!({ "owner": "second" }));
}

#[tokio::test]
async fn a_renewal_that_always_conflicts_is_503() {
    let service = Service::start().await;
    let old = service.create(json!({})).await;
    let cancelled = r#"{"__type":"com.amazonaws.dynamodb.v20120810#TransactionCanceledException","message":"injected",
        "CancellationReasons":[{"Code":"TransactionConflict"},{"Code":"None"}]}"#;
    for _ in 0..10_000 {
        service.proxy.on_next(async |get| Action::Forward(get));
        service.proxy.on_next(async |_| Action::Respond(400, cancelled.into()));
    }
    service.renew(&old).await.problem(503);
    service.proxy.forget();
    service.load(&old).await.assert_status(200);
}

#[tokio::test]
async fn a_throttled_renewal_is_unavailable_and_a_refused_one_a_failure() {
    let service = Service::start().await;
    let old = service.create(json!({})).await;
    for (reason, status) in
        [("ThrottlingError", 503), ("ProvisionedThroughputExceeded", 503), ("ValidationError", 500)]
    {
        let cancelled = format!(
            r#"{{"__type":"com.amazonaws.dynamodb.v20120810#TransactionCanceledException","message":"injected",
            "CancellationReasons":[{{"Code":"{reason}"}},{{"Code":"None"}}]}}"#
        );
        service.proxy.on_next(async |get| Action::Forward(get));
        for _ in 0..3 {
            let cancelled = cancelled.clone();
            service.proxy.on_next(async move |_| Action::Respond(400, cancelled));
        }
        service.renew(&old).await.problem(status);
        service.proxy.forget();
    }
}

#[tokio::test]
async fn a_renewal_replaces_the_cookie() {
    let service = Service::served(cookies()).await;
    let old = service.post().by_page().send().await.cookie_id();
    let renewed = service.post_renew().by_page().cookie(&old).send().await;
    let new = renewed.assert_status(200).cookie_id();
    assert!(!renewed.body.contains(new.expose()));
    service.get().cookie(&new).send().await.assert_status(200);
    service.get().cookie(&old).send().await.problem(404);
}

#[tokio::test]
async fn the_crate_renews_and_does_not_change_data_that_it_cannot_read() {
    let service = Service::start().await;
    let old = service.sessions.create(json!({ "a": 1 })).await.unwrap();
    let wrong = service.sessions.renew::<Vec<u8>>(old.id()).await;
    assert!(matches!(wrong, Err(Error::Deserialize(_))));
    let new = service.sessions.renew::<Value>(old.id()).await.unwrap().unwrap();
    assert_eq!(new.data, json!({ "a": 1 }));
    assert_eq!(new.created(), old.created());
    assert!(service.sessions.renew::<Value>(old.id()).await.unwrap().is_none());
    service.tamper(new.id(), "expires", AttributeValue::N("1".into())).await;
    assert!(service.sessions.renew::<Value>(new.id()).await.unwrap().is_none());
}
