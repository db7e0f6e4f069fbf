//! Renewal: a new ID for the same session.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use dynamodb_web_session::{Clock, Config, Error};
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
    assert_eq!(service.records().await, 2, "the session and the tombstone");
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
        service.load(&winner.session_id()).await.problem(404);
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
    assert_eq!(service.records().await, 1, "the tombstone");
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
    let operations = service.proxy.operations();
    let transactions = operations.iter().filter(|name| *name == "TransactWriteItems").count();
    assert!(
        (3..200).contains(&transactions),
        "it pauses between attempts, each of which is billed: {transactions}"
    );
    service.proxy.forget();
    service.load(&old).await.assert_status(200);
}

/// The SDK retries neither: a throttle is only one of the reasons of a cancelled transaction.
#[tokio::test]
async fn a_throttled_renewal_is_retried_and_a_refused_one_is_not() {
    let service = Service::start().await;
    let mut id = service.create(json!({})).await;
    let cancelled = |reason| {
        format!(
            r#"{{"__type":"com.amazonaws.dynamodb.v20120810#TransactionCanceledException","message":"injected",
            "CancellationReasons":[{{"Code":"{reason}"}},{{"Code":"None"}}]}}"#
        )
    };
    for reason in ["ThrottlingError", "ProvisionedThroughputExceeded"] {
        let once = cancelled(reason);
        service.proxy.on_next(async |get| Action::Forward(get));
        service.proxy.on_next(async move |_| Action::Respond(400, once));
        id = service.renew(&id).await.assert_status(200).session_id();
    }
    let refused = cancelled("ValidationError");
    service.proxy.on_next(async |get| Action::Forward(get));
    service.proxy.on_next(async move |_| Action::Respond(400, refused));
    service.renew(&id).await.problem(500);
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

/// It is dead to every call, and never a corrupt record.
#[tokio::test]
async fn a_renewal_leaves_a_tombstone_that_is_a_dead_session_to_every_call() {
    for touch_interval_seconds in [0, 60] {
        let service = Service::with(Config { touch_interval_seconds, ..Config::default() }).await;
        let old = service.create(json!({ "a": 1 })).await;
        let new = service.renew(&old).await.session_id();
        let now = service.clock.now().epoch_seconds();
        let number = |seconds: u64| AttributeValue::N(seconds.to_string());
        let tombstone = HashMap::from([
            ("id".to_owned(), AttributeValue::S(old.loggable().to_string())),
            ("renewed_to".to_owned(), AttributeValue::S(new.loggable().to_string())),
            ("renewed_at".to_owned(), number(now)),
            ("expires".to_owned(), number(now + 3600)),
            ("chain".to_owned(), service.record(&new).await.unwrap()["chain"].clone()),
        ]);
        assert_eq!(service.record(&old).await.unwrap(), tombstone);
        for _ in 0..2 {
            service.load(&old).await.problem(404);
            service.save(&old, json!({ "data": {} })).await.problem(404);
            service.save(&old, json!({ "idle_timeout_seconds": 9 })).await.problem(404);
            service.renew(&old).await.problem(404);
            assert_eq!(service.record(&old).await.unwrap(), tombstone);
            service.clock.advance(61);
        }
        service.load(&new).await.assert_status(200);
    }
}

/// A user logs out in one tab while another tab renews.
#[tokio::test]
async fn a_clear_of_an_id_that_was_just_renewed_ends_the_renewed_session() {
    let service = Service::start().await;
    let first = service.create(json!({})).await;
    let second = service.renew(&first).await.session_id();
    service.clock.advance(60);
    let third = service.renew(&second).await.session_id();
    service.load(&third).await.assert_status(200);
    let operations = service.operations_of(service.clear(&first)).await;
    assert_eq!(operations, ["UpdateItem"; 3], "one for each ID");
    service.load(&third).await.problem(404);
    service.clear(&first).await.assert_status(204);
}

/// A 204 means that the session has ended, however often it was renewed.
#[tokio::test]
async fn a_clear_follows_every_renewal() {
    let service = Service::start().await;
    let first = service.create(json!({})).await;
    let mut last = first.clone();
    for _ in 0..20 {
        last = service.renew(&last).await.session_id();
        service.clock.advance(6);
    }
    service.clear(&first).await.assert_status(204);
    service.load(&last).await.problem(404);
}

/// An attacker who renews a session in a loop would make each of its IDs short-lived, and fill the table with tombstones.
#[tokio::test]
async fn the_eleventh_renewal_of_a_minute_is_429_and_the_session_lives_on() {
    let service = Service::start().await;
    for subject in [json!({}), json!({ "subject": "alice" })] {
        let mut id = service.create_with(subject).await;
        service.clock.advance(10);
        for _ in 0..10 {
            id = service.renew(&id).await.assert_status(200).session_id();
        }
        service.clock.advance(20);
        let refused = service.renew(&id).await;
        assert_eq!(refused.problem(429), "the session is renewed too often: try again in 40 seconds");
        assert_eq!(refused.header("retry-after"), "40");
        service.load(&id).await.assert_status(200);
        // A login is not limited, and does not start the count again.
        let login = service.post_renew().id(&id).json(&json!({ "subject": "alice" })).send().await;
        id = login.assert_status(200).session_id();
        service.renew(&id).await.problem(429);
        service.clock.advance(40);
        service.renew(&id).await.assert_status(200);
    }
}
