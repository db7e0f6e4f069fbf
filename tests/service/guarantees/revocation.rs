//! A revocation that was acknowledged has ended every session of its subject that was there before it, whatever races with it
//! and whatever fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dynamodb_web_session::{Config, Error, MAX_PER_SUBJECT, SessionId, Subject};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::harness::{Action, Answer, Loss, Service};

async fn login(service: &Service, id: &SessionId) -> Answer {
    service.post_renew().id(id).json(&json!({ "subject": "alice" })).send().await
}

/// A session that was there before the revocation is dead after it, under any ID. One that came while it ran may be either,
/// and one that came after it lives.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_revocations_race_with_renewals_creates_loads_and_saves() {
    let service = Service::with(Config { touch_interval_seconds: 0, ..Config::default() }).await;
    let service = Arc::new(service);
    let mut lanes = JoinSet::new();
    for lane in 0..8 {
        lanes.spawn(race(Arc::clone(&service), format!("subject {lane}"), 125));
    }
    let (renewals, creates): (Vec<_>, Vec<_>) = lanes.join_all().await.into_iter().unzip();
    let faster = (renewals.iter().sum::<u32>(), creates.iter().sum::<u32>());
    assert!(faster.0 > 0 && faster.1 > 0, "{faster:?} renewals and logins succeeded meanwhile");
}

/// Returns how many renewals of sessions that were to be ended, and how many logins, were faster than the revocation.
async fn race(service: Arc<Service>, subject: String, rounds: u32) -> (u32, u32) {
    let (mut renewals, mut creates_during) = (0, 0);
    for round in 0..rounds {
        let body = json!({ "subject": subject });
        let old = service.create_for(&subject).await;
        let anonymous = service.create(json!({})).await;
        let (revoked, renewed, created, bound, loaded, saved, lengthened) = tokio::join!(
            service.revoke_all(&subject),
            service.renew(&old),
            service.post().json(&body).send(),
            service.post_renew().id(&anonymous).json(&body).send(),
            service.load(&old),
            service.save(&old, json!({ "data": { "round": round } })),
            service.save(&old, json!({ "absolute_timeout_seconds": 50_000 })),
        );
        revoked.assert_status(204);
        for (answer, expected) in [(&renewed, 200), (&loaded, 200), (&saved, 204), (&lengthened, 204)] {
            assert!([expected, 404, 503].contains(&answer.status.as_u16()), "{answer:?}");
        }
        service.load(&old).await.problem(404);
        if renewed.status == 200 {
            renewals += 1;
            service.load(&renewed.session_id()).await.problem(404);
        }
        // What is alive is in the list, and the other way round.
        let mut alive = Vec::new();
        for answer in [&created, &bound].into_iter().filter(|answer| answer.status.is_success()) {
            let id = answer.session_id();
            if service.load(&id).await.status == 200 {
                creates_during += 1;
                alive.push(id.loggable().to_string());
            }
        }
        let after = service.create_for(&subject).await;
        service.load(&after).await.assert_status(200);
        alive.push(after.loggable().to_string());
        let mut listed = service.list(&subject).await;
        alive.sort_unstable();
        listed.sort_unstable();
        assert_eq!(listed, alive, "round {round}");
        service.revoke_all(&subject).await.assert_status(204);
        service.load(&after).await.problem(404);
    }
    (renewals, creates_during)
}

/// Between its steps, the holder of a session tries to escape the revocation by a renewal.
#[tokio::test]
async fn a_session_that_is_marked_cannot_be_renewed_or_change_its_subject() {
    let service = Service::start().await;
    let id = service.create_for("alice").await;
    let (sessions, holder) = (
        service.other_manager(Config { table_name: service.table.clone(), ..Config::default() }),
        id.clone(),
    );
    service.proxy.on_next(async |get| Action::Forward(get));
    service.proxy.on_next(async |mark| Action::Forward(mark));
    service.proxy.on_next(async move |delete| {
        let mut session = sessions.load::<Value>(&holder).await.unwrap().unwrap();
        session.timeouts.absolute_seconds += 1;
        let error = sessions.save(&mut session).await.unwrap_err();
        assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
        let bob = "bob".parse::<Subject>().unwrap();
        assert!(sessions.renew_for::<Value>(&holder, bob).await.unwrap().is_none());
        assert!(
            sessions.load::<Value>(&holder).await.unwrap().is_none(),
            "what a renewal called dead is dead"
        );
        assert!(sessions.renew::<Value>(&holder).await.unwrap().is_none());
        Action::Forward(delete)
    });
    service.revoke_all("alice").await.assert_status(204);
    assert_eq!(service.proxy.operations()[1..], ["GetItem", "PutItem", "DeleteItem", "PutItem"]);
    service.load(&id).await.problem(404);
    assert!(service.list("bob").await.is_empty());
}

/// A renewal between the read and the mark: the mark is for a list that is no more.
#[tokio::test]
async fn a_renewal_between_the_steps_of_a_revocation_does_not_escape() {
    let service = Service::start().await;
    let id = service.create_for("alice").await;
    let (sessions, holder) = (
        service.other_manager(Config { table_name: service.table.clone(), ..Config::default() }),
        id.clone(),
    );
    let (sender, renewed) = tokio::sync::oneshot::channel();
    service.proxy.on_next(async |get| Action::Forward(get));
    service.proxy.on_next(async move |mark| {
        let session = sessions.renew::<Value>(&holder).await.unwrap().unwrap();
        sender.send(session.id().clone()).unwrap();
        Action::Forward(mark)
    });
    service.revoke_all("alice").await.assert_status(204);
    service.load(&renewed.await.unwrap()).await.problem(404);
    service.load(&id).await.problem(404);
}

/// Each kind of fault in each step. The next revocation completes one that has failed.
#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_that_fails_half_way_is_completed_by_the_next() {
    let service = Arc::new(Service::start().await);
    let mut outcomes = std::collections::BTreeMap::new();
    // The read, the mark, three deletes, and the removal of the places.
    for step in 0..6 {
        for fault in ["throttled", "failed", "reset", "lost", "conflict", "denied"] {
            let subject = format!("{step} {fault}");
            let mut ids = Vec::new();
            for _ in 0..3 {
                ids.push(service.create_for(&subject).await);
            }
            service.proxy.forget();
            for _ in 0..step {
                service.proxy.on_next(async |body| Action::Forward(body));
            }
            match fault {
                "throttled" => service.proxy.respond(3, 400, "ThrottlingException"),
                "failed" => service.proxy.respond(3, 500, "InternalServerError"),
                "conflict" => service.proxy.respond(3, 400, "TransactionConflictException"),
                "denied" => service.proxy.respond(1, 400, "AccessDeniedException"),
                "reset" => (0..3).for_each(|_| service.proxy.on_next(async |_| Action::Reset)),
                _ => (0..3).for_each(|_| {
                    service.proxy.on_next(async |body| Action::Lose(body, Loss::Failure));
                }),
            }
            let first = service.revoke_all(&subject).await;
            *outcomes.entry(first.status.as_u16()).or_insert(0) += 1;
            service.proxy.forget();
            if first.status != 204 {
                assert!([500, 503].contains(&first.status.as_u16()), "{step} {fault}: {first:?}");
                let after = service.create_for(&subject).await;
                service.load(&after).await.assert_status(200);
                service.revoke_all(&subject).await.assert_status(204);
            }
            for id in &ids {
                service.load(id).await.problem(404);
                assert!(service.record(id).await.is_none(), "{step} {fault}");
            }
            let after = service.create_for(&subject).await;
            assert_eq!(service.list(&subject).await, [after.loggable().to_string()]);
        }
    }
    assert_eq!(outcomes.keys().collect::<Vec<_>>(), [&204, &500, &503], "{outcomes:?}");
}

/// What a revocation of many sessions has done is kept when it fails, so that its repetition gets further.
#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_of_many_goes_on_where_it_stopped() {
    const FIRST_PART: usize = 250;
    let service = Service::start().await;
    let alice: Subject = "alice".parse().unwrap();
    for _ in 0..FIRST_PART + 10 {
        service.sessions.create_for((), alice.clone()).await.unwrap();
    }
    // The read, the mark, and the deletes and the list of the first part.
    let left = AtomicUsize::new(1 + 1 + FIRST_PART + 1);
    service.proxy.on_every(move |body| {
        let is_left =
            left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        let denied = r#"{"__type":"com.amazonaws.dynamodb.v20120810#AccessDeniedException"}"#;
        if is_left { Action::Forward(body) } else { Action::Respond(400, denied.to_owned()) }
    });
    service.revoke_all("alice").await.problem(500);
    service.proxy.on_every(Action::Forward);
    service.proxy.forget();
    service.revoke_all("alice").await.assert_status(204);
    let deletes = service.proxy.operations().iter().filter(|operation| *operation == "DeleteItem").count();
    assert_eq!(deletes, 10);
    assert_eq!(service.records().await, 1, "the list");
}

/// The condition has met half of another renewal: the session must not be taken for one that is being ended.
#[tokio::test]
async fn a_renewal_that_meets_another_on_both_items_tries_again() {
    let service = Service::start().await;
    let id = service.create_for("alice").await;
    service.proxy.forget();
    service.proxy.on_next(async |get| Action::Forward(get));
    service.proxy.on_next(async |_| {
        let reasons = r#"[{"Code":"TransactionConflict"},{"Code":"None"},{"Code":"ConditionalCheckFailed"}]"#;
        let cancelled = "com.amazonaws.dynamodb.v20120810#TransactionCanceledException";
        Action::Respond(400, format!(r#"{{"__type":"{cancelled}","CancellationReasons":{reasons}}}"#))
    });
    service.renew(&id).await.assert_status(200);
    assert_eq!(
        service.proxy.operations(),
        ["GetItem", "TransactWriteItems", "GetItem", "TransactWriteItems"],
        "and nothing was deleted"
    );
}

/// As when Lambda ends a function in the middle.
#[tokio::test]
async fn a_revocation_whose_function_dies_is_completed_by_the_next() {
    let service = Service::start().await;
    // After the mark, after a delete, and after all deletes.
    for step in 2..5 {
        let ids = [service.create_for("alice").await, service.create_for("alice").await];
        for _ in 0..step {
            service.proxy.on_next(async |body| Action::Forward(body));
        }
        for _ in 0..3 {
            service.proxy.on_next(async |_| Action::Stall);
        }
        let alice: Subject = "alice".parse().unwrap();
        let dies =
            tokio::time::timeout(Duration::from_millis(500), service.sessions.revoke_all(&alice, None));
        assert!(dies.await.is_err(), "step {step}");
        service.proxy.forget();
        for id in &ids {
            service.renew(id).await.problem(404);
        }
        service.revoke_all("alice").await.assert_status(204);
        for id in &ids {
            service.load(id).await.problem(404);
        }
        let item = service.list_item("alice").await.unwrap();
        assert!(!item.keys().any(|name| name.starts_with("s_") || name.starts_with("e_")));
    }
}

/// A login whose response is lost is a session that has no holder, and it is in the list.
#[tokio::test]
async fn a_login_whose_response_was_lost_is_in_the_list() {
    let service = Service::start().await;
    service.proxy.on_next(async |body| Action::Lose(body, Loss::Failure));
    let id = service.create_for("alice").await;
    assert_eq!(service.list("alice").await.len(), 2);
    service.proxy.on_next(async |get| Action::Forward(get));
    service.proxy.on_next(async |body| Action::Lose(body, Loss::Failure));
    let renewed = service.renew(&id).await;
    assert!([200, 404].contains(&renewed.status.as_u16()), "{renewed:?}");
    assert_eq!(service.list("alice").await.len(), 2);
    service.revoke_all("alice").await.assert_status(204);
    assert_eq!(service.list("alice").await.len(), 0);
}

/// A service account whose callers all log in at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_hot_subject_is_served_or_told_to_retry() {
    let service = Arc::new(Service::start().await);
    let mut callers = JoinSet::new();
    for _ in 0..16 {
        let service = Arc::clone(&service);
        callers.spawn(async move {
            let mut ids = Vec::new();
            while ids.len() < 20 {
                let created = service.post().json(&json!({ "subject": "alice" })).send().await;
                match created.status.as_u16() {
                    201 => ids.push(created.session_id()),
                    status => assert_eq!(status, 503, "{created:?}"),
                }
                if ids.len() % 4 == 1 {
                    let anonymous = service.create(json!({})).await;
                    let bound = login(&service, &anonymous).await;
                    match bound.status.as_u16() {
                        200 => ids.push(bound.session_id()),
                        status => assert!([404, 503].contains(&status), "{bound:?}"),
                    }
                }
            }
            ids
        });
    }
    let ids: Vec<_> = callers.join_all().await.into_iter().flatten().collect();
    let listed = service.list("alice").await;
    for id in &ids {
        assert!(
            listed.contains(&id.loggable().to_string()),
            "each session that was acknowledged is in the list"
        );
    }
    let mut left = 10;
    while service.revoke_all("alice").await.status != 204 {
        left -= 1;
        assert!(left > 0);
    }
    for id in &ids {
        assert!(service.record(id).await.is_none());
    }
}

/// Long before DynamoDB's limit of 400 KB the subject is told that it has too many sessions. Others are not affected.
///
/// `SUBJECT_LOGINS` is the number of logins; 2,008 by default.
#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_sessions_of_one_subject() {
    let logins = std::env::var("SUBJECT_LOGINS").map_or(2008, |text| text.parse().unwrap());
    let service = Arc::new(Service::start().await);
    let mut callers = JoinSet::new();
    for _ in 0..8 {
        let service = Arc::clone(&service);
        callers.spawn(async move {
            let alice: Subject = "alice".parse().unwrap();
            let (mut accepted, mut refused) = (Vec::new(), 0);
            while accepted.len() + refused < logins / 8 {
                match service.sessions.create_for((), alice.clone()).await {
                    Ok(session) => accepted.push(session.loggable_id().to_string()),
                    Err(Error::TooManySessions { limit: MAX_PER_SUBJECT }) => refused += 1,
                    // It may have been carried out: then it has a place in the list and no holder.
                    Err(Error::Unavailable(_)) => {}
                    Err(error) => panic!("{error:?}"),
                }
            }
            accepted
        });
    }
    let accepted: Vec<_> = callers.join_all().await.into_iter().flatten().collect();
    assert!(accepted.len() <= MAX_PER_SUBJECT, "{}", accepted.len());
    let item = service.list_item("alice").await.unwrap();
    let bytes: usize =
        item.iter().map(|(name, value)| name.len() + value.as_n().map_or(140, |n| n.len() / 2 + 2)).sum();
    assert!(bytes < 200 * 1024, "{bytes}");
    let refused = service.post().json(&json!({ "subject": "alice" })).send().await;
    assert!(refused.problem(409).contains("2000 sessions"));
    let some = service.list("alice").await;
    assert_eq!(
        some.len(),
        MAX_PER_SUBJECT,
        "the list is full of accepted logins and of those whose response was lost"
    );
    for id in &accepted {
        assert!(some.contains(id), "an accepted login is in the list");
    }
    service.create_for("bob").await;
    let body = json!({ "subject": "alice", "except": some[7] });
    let mut left = 5;
    while service.post_revoke().json(&body).send().await.status != 204 {
        left -= 1;
        assert!(left > 0, "each revocation goes on where the last one stopped");
    }
    assert_eq!(service.list("alice").await, [some[7].clone()]);
    service.create_for("alice").await;
}
