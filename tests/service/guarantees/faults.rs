//! The table service fails: the error response says so, and says nothing else.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use dynamodb_web_session::{Clock, Config, Error, SessionManager};
use serde_json::{Value, json};

use crate::harness::{Action, Call, Loss, Service};

/// Every call, on an existing session.
async fn calls(service: &Service) -> [Call; 8] {
    let id = service.create(json!({})).await;
    let alice = json!({ "subject": "alice" });
    service.create_for("alice").await;
    [
        service.post(),
        service.get().id(&id),
        service.put().id(&id).json(&json!({ "data": {} })),
        service.post_renew().id(&service.create(json!({})).await),
        service.delete().id(&id),
        service.post().json(&alice),
        service.post_list().json(&alice),
        service.post_revoke().json(&alice),
    ]
}

/// The statuses of the calls when nothing fails.
const STATUSES: [u16; 8] = [201, 200, 204, 200, 204, 201, 200, 204];

#[tokio::test]
async fn throttling_and_failure_are_503_with_retry_after_and_never_404() {
    let service = Service::start().await;
    for (status, error) in [
        (400, "ProvisionedThroughputExceededException"),
        (400, "ThrottlingException"),
        (400, "RequestLimitExceeded"),
        (500, "InternalServerError"),
        (503, "ServiceUnavailable"),
    ] {
        for call in calls(&service).await {
            service.proxy.respond(3, status, error);
            let answer = call.send().await;
            assert_eq!(answer.problem(503), "", "{error}");
            assert_eq!(answer.header("retry-after"), "1");
            assert!(!answer.body.contains("injected") && !answer.body.contains(error));
        }
    }
}

#[tokio::test]
async fn a_transient_fault_is_retried() {
    let service = Service::start().await;
    for (call, status) in calls(&service).await.into_iter().zip(STATUSES) {
        service.proxy.respond(1, 500, "InternalServerError");
        call.send().await.assert_status(status);
    }
}

/// The template gives a function 10 seconds. When Lambda ends a function, the response is a 500 without a body.
#[tokio::test]
async fn a_dynamodb_that_never_responds_is_503_before_the_function_times_out() {
    let service = Service::start().await;
    for call in calls(&service).await {
        (0..3).for_each(|_| service.proxy.on_next(async |_| Action::Stall));
        tokio::time::timeout(Duration::from_secs(9), call.send()).await.unwrap().problem(503);
        service.proxy.forget();
    }
    // The slowest case: the first read stalls and its retry succeeds, then every attempt of the touch stalls.
    let id = service.create(json!({})).await;
    service.clock.advance(60);
    service.proxy.on_next(async |_| Action::Stall);
    service.proxy.on_next(async |get| Action::Forward(get));
    (0..3).for_each(|_| service.proxy.on_next(async |_| Action::Stall));
    let before = service.recorded(&id, "expires").await;
    let loaded = tokio::time::timeout(Duration::from_secs(9), service.load(&id)).await.unwrap();
    loaded.assert_status(200);
    assert_eq!(service.recorded(&id, "expires").await, before, "the deadline did not slide");
}

/// A renewal's transaction is in the way for a moment. The SDK does not retry this by itself.
#[tokio::test]
async fn a_write_that_meets_a_transaction_is_retried() {
    let service = Service::start().await;
    let conflict = |times| service.proxy.respond(times, 400, "TransactionConflictException");
    let id = service.create(json!({})).await;
    conflict(1);
    service.save(&id, json!({ "data": { "a": 1 } })).await.assert_status(204);
    conflict(9);
    service.save(&id, json!({ "data": { "a": 2 } })).await.assert_status(204);
    let tag = service.load(&id).await.header("etag").to_owned();
    conflict(1);
    let save = service.put().id(&id).header("if-match", "\"other\"").json(&json!({ "data": {} }));
    save.send().await.problem(412);
    assert_eq!(service.load(&id).await.header("etag"), tag);
    conflict(2);
    service.clear(&id).await.assert_status(204);
    service.load(&id).await.problem(404);
}

/// The session was alive when it was read, and that is what the caller asked for.
#[tokio::test]
async fn a_load_whose_touch_only_is_unavailable_is_200_with_the_old_deadline() {
    let service = Service::start().await;
    let id = service.create(json!({ "a": 1 })).await;
    let created = service.clock.now();
    service.clock.advance(600);
    service.proxy.on_next(async |get| Action::Forward(get));
    service.proxy.respond(3, 400, "ThrottlingException");
    let loaded = service.load(&id).await;
    assert_eq!(loaded.assert_status(200).data(), json!({ "a": 1 }));
    assert_eq!(loaded.json()["expires"], created.plus_seconds(7200).to_string());
    service.load(&id).await.assert_status(200);
    let now = service.clock.now().epoch_seconds();
    assert_eq!(service.recorded(&id, "expires").await, now + 7200, "the next load slides it");
}

/// One response is lost: the retry succeeds. All are lost: the response is 503, and the write has been carried out.
async fn a_response_is_lost(loss: Loss) {
    let service = Service::start().await;
    for (call, status) in calls(&service).await.into_iter().zip(STATUSES) {
        service.proxy.on_next(async move |body| Action::Lose(body, loss));
        call.send().await.assert_status(status);
    }
    for call in calls(&service).await {
        (0..3).for_each(|_| service.proxy.on_next(async move |body| Action::Lose(body, loss)));
        let answer = tokio::time::timeout(Duration::from_secs(9), call.send()).await.unwrap();
        answer.problem(503);
        assert_eq!(answer.header("retry-after"), "1");
        service.proxy.forget();
    }
    let id = service.create(json!({ "count": 1 })).await;
    (0..3).for_each(|_| service.proxy.on_next(async move |body| Action::Lose(body, loss)));
    service.save(&id, json!({ "data": { "count": 2 } })).await.problem(503);
    assert!(service.proxy.operations().len() <= 1 + 3, "retries are bounded");
    service.proxy.forget();
    assert_eq!(service.load(&id).await.data(), json!({ "count": 2 }));
    (0..3).for_each(|_| service.proxy.on_next(async move |body| Action::Lose(body, loss)));
    service.clear(&id).await.problem(503);
    service.proxy.forget();
    service.load(&id).await.problem(404);
}

#[tokio::test]
async fn a_response_replaced_by_a_failure_is_not_the_result() {
    a_response_is_lost(Loss::Failure).await;
}

#[tokio::test]
async fn a_response_lost_with_its_connection_is_not_the_result() {
    a_response_is_lost(Loss::Reset).await;
}

#[tokio::test]
async fn half_a_response_is_not_the_result() {
    a_response_is_lost(Loss::Cut).await;
}

#[tokio::test]
async fn a_response_that_stalls_is_not_the_result() {
    a_response_is_lost(Loss::Stalled).await;
}

#[tokio::test]
async fn a_response_with_a_wrong_checksum_is_not_the_result() {
    a_response_is_lost(Loss::Damaged).await;
}

#[tokio::test]
async fn a_connection_that_is_reset_is_opened_again() {
    let service = Service::start().await;
    for (call, status) in calls(&service).await.into_iter().zip(STATUSES) {
        service.proxy.on_next(async |_| Action::Reset);
        call.send().await.assert_status(status);
    }
    for call in calls(&service).await {
        (0..3).for_each(|_| service.proxy.on_next(async |_| Action::Reset));
        call.send().await.problem(503);
    }
}

/// A caller that must not lose the save in between sends `If-Match`.
#[tokio::test]
async fn a_retried_save_without_if_match_overwrites_a_save_in_between() {
    let service = Service::start().await;
    let id = service.create(json!({ "by": "nobody" })).await;
    service.proxy.on_next(async |body| Action::Lose(body, Loss::Failure));
    let (sessions, other) = (service.sessions.clone(), id.clone());
    service.proxy.on_next(async move |body| {
        let mut session = sessions.load::<Value>(&other).await.unwrap().unwrap();
        assert_eq!(session.data, json!({ "by": "the first" }));
        session.data = json!({ "by": "the second" });
        sessions.save(&mut session).await.unwrap();
        Action::Forward(body)
    });
    service.save(&id, json!({ "data": { "by": "the first" } })).await.assert_status(204);
    assert_eq!(service.load(&id).await.data(), json!({ "by": "the first" }));
}

#[tokio::test]
async fn a_retried_save_that_meets_its_first_attempt_is_not_412() {
    let service = Service::start().await;
    // With If-Match, the retry meets the write of the first attempt.
    let id = service.create(json!({ "count": 1 })).await;
    let tag = service.load(&id).await.header("etag").to_owned();
    let save = service.put().id(&id).header("if-match", &tag).json(&json!({ "data": { "count": 2 } }));
    service.proxy.on_next(async |body| Action::Lose(body, Loss::Failure));
    save.send().await.problem(503);
    assert_eq!(service.load(&id).await.data(), json!({ "count": 2 }));

    // A retry that DynamoDB refuses for another reason is still a refusal.
    service.proxy.respond(1, 500, "InternalServerError");
    service.proxy.respond(1, 400, "AccessDeniedException");
    service.save(&id, json!({ "data": { "count": 3 } })).await.problem(500);

    // The retry of a save that ends the session also meets its first attempt.
    service.clock.advance(10);
    service.proxy.on_next(async |body| Action::Lose(body, Loss::Failure));
    service.save(&id, json!({ "absolute_timeout_seconds": 10 })).await.problem(503);
    service.load(&id).await.problem(404);
}

/// The attempts of a create have one ID. One that arrives after the session was cleared finds its tombstone.
#[tokio::test]
async fn a_create_whose_responses_were_lost_makes_one_session_and_a_late_attempt_none() {
    let service = Service::start().await;
    let late = Arc::new(std::sync::Mutex::new(String::new()));
    let sent = Arc::clone(&late);
    service.proxy.on_next(async move |body| {
        sent.lock().unwrap().clone_from(&body);
        Action::Lose(body, Loss::Failure)
    });
    service.proxy.on_next(async |body| Action::Lose(body, Loss::Failure));
    let id = service.post().send().await.assert_status(201).session_id();
    assert_eq!(service.proxy.operations(), ["PutItem"; 3]);
    assert_eq!(service.records().await, 1);
    service.load(&id).await.assert_status(200);
    service.clear(&id).await.assert_status(204);
    // The first attempt once more.
    let late = late.lock().unwrap().clone();
    service.proxy.on_next(async move |_| Action::Forward(late));
    service.post().send().await;
    service.load(&id).await.problem(404);
    assert!(service.record(&id).await.unwrap().contains_key("ended_at"));
}

#[tokio::test]
async fn a_touch_whose_response_was_lost_is_retried() {
    let service = Service::start().await;
    let id = service.create(json!({})).await;
    service.clock.advance(60);
    service.proxy.on_next(async |get| Action::Forward(get));
    service.proxy.on_next(async |body| Action::Lose(body, Loss::Failure));
    service.load(&id).await.assert_status(200);
}

/// The SDK sends a token with a transaction, by which DynamoDB recognizes the retry.
#[tokio::test]
async fn a_renewal_whose_response_was_lost_succeeds_and_leaves_one_session() {
    let service = Service::start().await;
    let old = service.create(json!({})).await;
    service.proxy.on_next(async |get| Action::Forward(get));
    service.proxy.on_next(async |body| Action::Lose(body, Loss::Failure));
    let new = service.renew(&old).await.assert_status(200).session_id();
    service.load(&new).await.assert_status(200);
    assert_eq!(service.records().await, 2, "the session and the tombstone");
}

/// A renewal keeps the place of its session in the list. When it is given up, the session lives on there: it can be renewed, and
/// revoked.
#[tokio::test]
async fn a_renewal_that_was_not_carried_out_leaves_the_session_in_its_list() {
    let service = Service::start().await;
    let id = service.create_for("alice").await;
    service.proxy.on_next(async |get| Action::Forward(get));
    service.proxy.respond(3, 500, "InternalServerError");
    service.renew(&id).await.problem(503);
    assert_eq!(service.list("alice").await, [id.loggable().as_str()]);
    // A later login of the user cleans up what earlier calls have left.
    let other = service.create_for("alice").await;
    assert_eq!(service.list("alice").await.len(), 2);
    let renewed = service.renew(&id).await.assert_status(200).session_id();
    service.load(&renewed).await.assert_status(200);
    service.revoke_all("alice").await.assert_status(204);
    for id in [renewed, other] {
        service.load(&id).await.problem(404);
    }
}

/// Nobody has the ID of the renewed session.
#[tokio::test]
async fn a_renewal_whose_responses_were_all_lost_leaves_no_place() {
    let service = Service::start().await;
    let id = service.create_for("alice").await;
    service.proxy.on_next(async |get| Action::Forward(get));
    service.proxy.on_next(async |body| Action::Lose(body, Loss::Failure));
    service.proxy.respond(2, 500, "InternalServerError");
    service.renew(&id).await.problem(503);
    assert_eq!(service.list("alice").await, [""; 0]);
    service.load(&id).await.problem(404);
}

#[tokio::test]
async fn a_request_that_dynamodb_refuses_is_500_without_details() {
    let service = Service::start().await;
    let mut answers = Vec::new();
    for error in ["ResourceNotFoundException", "AccessDeniedException", "ValidationException"] {
        for call in calls(&service).await {
            service.proxy.respond(1, 400, error);
            let answer = call.send().await;
            assert_eq!(answer.problem(500), "");
            answers.push(answer);
        }
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "one response for all of them");
}

#[tokio::test]
async fn a_corrupt_record_is_500_and_is_not_changed() {
    let service = Service::start().await;
    for (attribute, value) in [
        ("data", AttributeValue::N("1".into())),
        ("data", AttributeValue::S("not json".into())),
        ("expires", AttributeValue::S("soon".into())),
        ("created", AttributeValue::Null(true)),
        ("etag", AttributeValue::S("line\nbreak".into())),
    ] {
        let id = service.create(json!({})).await;
        service.tamper(&id, attribute, value).await;
        let before = service.record(&id).await;
        let status = service.load(&id).await.status.as_u16();
        assert!([500, 404].contains(&status), "{attribute}: {status}");
        assert_eq!(service.record(&id).await, before);
    }
}

#[tokio::test]
async fn an_unreachable_table_is_503_and_not_404() {
    let service = Service::start().await;
    let id = service.create(json!({})).await;
    // A port without a listener: bound, then released.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let client = embedded::client(&format!("http://127.0.0.1:{port}")).await.unwrap();
    let sessions = SessionManager::new(client, Config::default()).unwrap();
    let error = sessions.load::<Value>(&id).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
}

#[tokio::test]
async fn a_missing_table_is_500_without_its_name() {
    let service = Service::start().await;
    let id = service.create(json!({})).await;
    service.dynamodb.delete_table().table_name(&service.table).send().await.unwrap();
    let answer = service.load(&id).await;
    answer.problem(500);
    assert!(!answer.body.contains(&service.table));
}

#[tokio::test]
async fn three_taken_ids_in_a_row_end_a_create() {
    let service = Service::start().await;
    service.proxy.respond(3, 400, "ConditionalCheckFailedException");
    service.post().send().await.problem(500);
    assert_eq!(service.proxy.operations().len(), 3);
    assert_eq!(service.records().await, 0);
}
