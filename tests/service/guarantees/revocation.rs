//! A revocation that was acknowledged has ended every session of its subject that was there before it, whatever races with it
//! and whatever fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dynamodb_web_session::{
    AtMaxPerSubject, Config, Error, LogIn, MAX_PER_SUBJECT, SessionId, Subject, SubjectChange, Update,
};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::harness::{Action, Answer, Loss, Service, rounds};

async fn login(service: &Service, id: &SessionId) -> Answer {
    service.post_renew().id(id).json(&json!({ "subject": "alice" })).send().await
}

/// `REVOCATIONS` is their number; 100 by default.
///
/// A session that was there before the revocation is dead after it, under any ID. One that came while it ran may be either,
/// and one that came after it lives.
#[tokio::test(flavor = "multi_thread")]
async fn revocations_race_with_renewals_creates_loads_and_saves() {
    let service = Service::with(Config { touch_interval_seconds: 0, ..Config::default() }).await;
    let service = Arc::new(service);
    let rounds = rounds("REVOCATIONS", 100);
    let mut lanes = JoinSet::new();
    for lane in 0..8 {
        lanes.spawn(race(Arc::clone(&service), format!("subject {lane}"), rounds / 8));
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
        // On a slow machine a request may take longer than it may: then the caller calls again.
        if revoked.status == 503 {
            service.revoke_all(&subject).await.assert_status(204);
        } else {
            revoked.assert_status(204);
        }
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

/// Between its steps, the holder of a session tries to escape the revocation.
#[tokio::test]
async fn a_session_whose_chain_is_out_cannot_be_renewed_saved_for_longer_or_change_its_subject() {
    for escape in ["renew", "timeouts", "login", "bind", "unbind", "touch"] {
        let service = Service::with(Config { touch_interval_seconds: 0, ..Config::default() }).await;
        let id = service.create_for("alice").await;
        service.clock.advance(721); // a use has to write the list first
        let config = service.sessions.config().clone();
        let (sessions, holder) = (service.other_manager(config), id.clone());
        service.proxy.on_next(async |get| Action::Forward(get));
        service.proxy.on_next(async |mark| Action::Forward(mark));
        service.proxy.on_next(async move |bury| {
            let bob = || "bob".parse::<Subject>().unwrap();
            let update = |subject| Update::<Value> { subject, ..Update::default() };
            let error = match escape {
                "renew" => sessions.renew::<Value>(&holder).await.unwrap().is_none(),
                "timeouts" => {
                    let update =
                        Update::<Value> { absolute_timeout_seconds: Some(50_000), ..Update::default() };
                    matches!(sessions.update(&holder, update).await, Err(Error::NotFound(_)))
                }
                // The user has the password, and gets a new session.
                "login" => sessions.log_in::<Value>(&holder, bob(), LogIn::default()).await.unwrap().is_new,
                "bind" => {
                    let bind = update(SubjectChange::To(bob()));
                    matches!(sessions.update(&holder, bind).await, Err(Error::NotFound(_)))
                }
                "unbind" => {
                    let unbind = update(SubjectChange::Remove);
                    matches!(sessions.update(&holder, unbind).await, Err(Error::NotFound(_)))
                }
                _ => sessions.load::<Value>(&holder).await.unwrap().is_none(),
            };
            assert!(error, "{escape}");
            assert!(
                sessions.peek::<Value>(&holder).await.unwrap().is_none(),
                "{escape}: what is called dead is dead"
            );
            Action::Forward(bury)
        });
        service.revoke_all("alice").await.assert_status(204);
        assert_eq!(service.proxy.operations()[1..], ["GetItem", "UpdateItem", "UpdateItem", "UpdateItem"]);
        service.load(&id).await.problem(404);
        assert_eq!(service.list("bob").await.len(), usize::from(escape == "login"));
    }
}

/// A renewal between the read and the mark: the answer to the mark has its key.
#[tokio::test]
async fn a_renewal_between_the_steps_of_a_revocation_does_not_escape() {
    let service = Service::start().await;
    let id = service.create_for("alice").await;
    let (sessions, holder) = (service.other_manager(service.sessions.config().clone()), id.clone());
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
    // The read, the mark, three records, and the removal of the places.
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
                assert!(!service.record(id).await.unwrap().contains_key("data"), "{step} {fault}");
            }
            let after = service.create_for(&subject).await;
            assert_eq!(service.list(&subject).await, [after.loggable().to_string()]);
        }
    }
    assert_eq!(outcomes.keys().collect::<Vec<_>>(), [&204, &500, &503], "{outcomes:?}");
}

/// From its second request on, none of the sessions can be renewed, whatever happens to the rest of the call.
#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_of_many_that_stops_is_finished_by_the_next_or_by_a_login() {
    let service = Service::with(Config { max_per_subject: 40, ..Config::default() }).await;
    let alice: Subject = "alice".parse().unwrap();
    for finish in ["revocation", "login"] {
        let mut ids = Vec::new();
        for _ in 0..40 {
            ids.push(service.sessions.create_for((), alice.clone()).await.unwrap().id().clone());
        }
        // The read, the mark, and some of the records.
        let left = AtomicUsize::new(1 + 1 + 10);
        service.proxy.on_every(move |body| {
            let is_left =
                left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
            let denied = r#"{"__type":"com.amazonaws.dynamodb.v20120810#AccessDeniedException"}"#;
            if is_left { Action::Forward(body) } else { Action::Respond(400, denied.to_owned()) }
        });
        service.revoke_all("alice").await.problem(500);
        service.proxy.on_every(Action::Forward);
        for id in &ids[..3] {
            service.renew(id).await.problem(404);
        }
        assert_eq!(service.list("alice").await, [""; 0]);
        match finish {
            "revocation" => drop(service.revoke_all("alice").await.assert_status(204)),
            // The places are free at once. What is doomed is ended when the list is full.
            _ => {
                for _ in 0..41 {
                    service.create_for("alice").await;
                }
            }
        }
        for id in &ids {
            service.load(id).await.problem(404);
        }
        service.revoke_all("alice").await.assert_status(204);
    }
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
    let operations = ["GetItem", "TransactWriteItems", "GetItem", "TransactWriteItems"];
    assert_eq!(service.proxy.operations(), operations, "and nothing was ended");
}

/// As when Lambda ends a function in the middle.
#[tokio::test]
async fn a_revocation_whose_function_dies_is_completed_by_the_next() {
    let service = Service::start().await;
    // After the mark, after a record, and after all records.
    for step in 2..5 {
        let ids = [service.create_for("alice").await, service.create_for("alice").await];
        for _ in 0..step {
            service.proxy.on_next(async |body| Action::Forward(body));
        }
        for _ in 0..9 {
            service.proxy.on_next(async |_| Action::Stall);
        }
        let sessions = service.sessions.clone();
        let function = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let alice: Subject = "alice".parse().unwrap();
            let revoke = sessions.revoke_all(&alice, None);
            let dies = async { tokio::time::timeout(Duration::from_millis(700), revoke).await };
            assert!(runtime.block_on(dies).is_err());
        });
        tokio::task::spawn_blocking(|| function.join().unwrap()).await.unwrap();
        service.proxy.forget();
        for id in &ids {
            service.renew(id).await.problem(404);
        }
        service.revoke_all("alice").await.assert_status(204);
        for id in &ids {
            service.load(id).await.problem(404);
        }
        let item = service.list_item("alice").await.unwrap();
        assert!(!item.keys().any(|name| name.starts_with("s_")));
    }
}

/// The retry has the same ID, chain and token: there is one session, and its place is the only one.
#[tokio::test]
async fn a_login_whose_response_was_lost_takes_one_place() {
    for at_max in [AtMaxPerSubject::Refuse, AtMaxPerSubject::EndOldest] {
        let config = Config { max_per_subject: 1, at_max_per_subject: at_max, ..Config::default() };
        let service = Service::with(config).await;
        service.proxy.on_next(async |body| Action::Lose(body, Loss::Failure));
        let id = service.create_for("alice").await;
        assert_eq!(service.list("alice").await, [id.loggable().to_string()]);
        let anonymous = service.create(json!({})).await;
        service.clear(&id).await.assert_status(204);
        service.proxy.on_next(async |get| Action::Forward(get));
        service.proxy.on_next(async |body| Action::Lose(body, Loss::Failure));
        let user = login(&service, &anonymous).await.assert_status(200).session_id();
        assert_eq!(service.list("alice").await, [user.loggable().to_string()]);
    }
}

/// All three answers are lost, so the call is `503`. What it may have left does not count.
#[tokio::test]
async fn a_login_that_got_503_leaves_no_session_and_takes_no_place() {
    for step in ["create", "login"] {
        let config =
            Config { max_per_subject: 1, at_max_per_subject: AtMaxPerSubject::Refuse, ..Config::default() };
        let service = Service::with(config).await;
        let anonymous = service.create(json!({})).await;
        let body = json!({ "subject": "alice" });
        service.proxy.on_every(|body| match body.contains("TransactItems") {
            true => Action::Lose(body, Loss::Failure),
            false => Action::Forward(body),
        });
        let failed = match step {
            "create" => service.post().json(&body).send().await,
            _ => login(&service, &anonymous).await,
        };
        failed.problem(503);
        service.proxy.on_every(Action::Forward);
        assert_eq!(service.list("alice").await, [""; 0], "{step}");
        service.create_for("alice").await;
        assert_eq!(service.list("alice").await.len(), 1, "{step}");
    }
}

/// The clean-up fails with the call. The process remembers what it may have left, and ends it at the next login.
#[tokio::test]
async fn what_a_failed_login_has_left_is_ended_by_the_next_of_the_same_process() {
    let config =
        Config { max_per_subject: 1, at_max_per_subject: AtMaxPerSubject::Refuse, ..Config::default() };
    let service = Service::with(config).await;
    service.proxy.on_every(|body| Action::Lose(body, Loss::Failure));
    service.post().json(&json!({ "subject": "alice" })).send().await.problem(503);
    service.proxy.on_every(Action::Forward);
    let id = service.create_for("alice").await;
    assert_eq!(service.list("alice").await, [id.loggable().to_string()]);
}

/// A service account whose callers all log in at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_hot_subject_is_served_or_told_to_retry() {
    let config = Config { max_per_subject: MAX_PER_SUBJECT, ..Config::default() };
    let service = Arc::new(Service::with(config).await);
    let mut callers = JoinSet::new();
    for _ in 0..16 {
        let service = Arc::clone(&service);
        callers.spawn(async move {
            let mut ids = Vec::new();
            while ids.len() < 8 {
                let created = service.post().json(&json!({ "subject": "alice" })).send().await;
                match created.status.as_u16() {
                    201 => ids.push(created.session_id()),
                    status => assert_eq!(status, 503, "{created:?}"),
                }
                if ids.len() % 4 == 1 {
                    let anonymous = service.post().json(&json!({})).send().await;
                    if anonymous.status == 503 {
                        continue; // so many callers are a load for the table
                    }
                    let bound = login(&service, &anonymous.session_id()).await;
                    match bound.status.as_u16() {
                        200 => ids.push(bound.session_id()),
                        status => assert_eq!(status, 503, "{bound:?}"),
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
    service.revoke_all("alice").await.assert_status(204);
    for id in &ids {
        service.load(id).await.problem(404);
    }
}

/// The largest list. Others are not affected by it.
///
/// `SUBJECT_SESSIONS` is how many sessions the list may have; in CI it is the highest number that can be set, 1,000.
#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_sessions_of_one_subject() {
    let cap = MAX_PER_SUBJECT.min(rounds("SUBJECT_SESSIONS", 200) as usize);
    let config =
        Config { max_per_subject: cap, at_max_per_subject: AtMaxPerSubject::Refuse, ..Config::default() };
    let service = Arc::new(Service::with(config).await);
    let mut callers = JoinSet::new();
    for _ in 0..8 {
        let service = Arc::clone(&service);
        callers.spawn(async move {
            let alice: Subject = "alice".parse().unwrap();
            let mut accepted = Vec::new();
            loop {
                match service.sessions.create_for((), alice.clone()).await {
                    Ok(session) => accepted.push(session.loggable_id().to_string()),
                    Err(Error::TooManySessions { limit }) if limit == cap => return accepted,
                    // It may have been carried out: then it has a place in the list until the next login of the process.
                    Err(Error::Unavailable(_)) => {}
                    Err(error) => panic!("{error:?}"),
                }
            }
        });
    }
    let accepted: Vec<_> = callers.join_all().await.into_iter().flatten().collect();
    assert!(accepted.len() <= cap, "{}", accepted.len());
    service.proxy.forget();
    let refused = service.post().json(&json!({ "subject": "alice" })).send().await;
    assert!(refused.problem(409).contains(&format!("{cap} sessions")));
    assert_eq!(service.proxy.operations(), ["TransactWriteItems"], "it reads no record");
    let listed = service.list("alice").await;
    assert_eq!(listed.len(), cap);
    for id in &accepted {
        assert!(listed.contains(id), "an accepted login is in the list");
    }
    service.create_for("bob").await;
    let body = json!({ "subject": "alice", "except": listed[7] });
    // On a slow table it may be told to try again: what has been ended stays so.
    let mut tries = 1;
    while let answer = service.post_revoke().json(&body).send().await
        && answer.status != 204
    {
        answer.assert_status(503);
        assert!(tries < 5, "each try ends some, so a few are enough");
        tries += 1;
    }
    assert_eq!(service.list("alice").await, [listed[7].clone()]);
    service.create_for("alice").await;
}

/// A client hangs up, or a deadline of the caller's own passes: the future is dropped after its first request has begun.
#[tokio::test]
async fn a_revocation_and_a_clear_that_are_dropped_go_on_to_their_end() {
    let service = Service::start().await;
    let alice: Subject = "alice".parse().unwrap();
    let mut ids = Vec::new();
    for _ in 0..40 {
        ids.push(service.sessions.create_for((), alice.clone()).await.unwrap().id().clone());
    }
    let lone = service.sessions.create(()).await.unwrap().id().clone();
    {
        let revoked = std::pin::pin!(service.sessions.revoke_all(&alice, None));
        let cleared = std::pin::pin!(service.sessions.clear(&lone));
        tokio::select! {
            biased;
            _ = revoked => unreachable!("it needs an answer first"),
            _ = cleared => unreachable!("it needs an answer first"),
            () = std::future::ready(()) => {}
        }
    }
    ids.push(lone);
    for _ in 0..1000 {
        let mut alive = 0;
        for id in &ids {
            alive += usize::from(service.sessions.peek::<()>(id).await.unwrap().is_some());
        }
        if alive == 0 {
            return;
        }
    }
    unreachable!("some are still alive");
}
