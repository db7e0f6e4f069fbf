//! A table that does not respond, in a program with a time limit for its calls.

use dynamodb_web_session::{Config, Error, Subject, chain};
use serde_json::{Value, json};

use crate::harness::{Action, Service};

async fn limited() -> Service {
    Service::with(Config { call_timeout_milliseconds: Some(200), ..Config::default() }).await
}

fn says(error: &Error, text: &str) -> bool {
    matches!(error, Error::Unavailable(_)) && chain(error).contains(text)
}

#[tokio::test]
async fn calls_fail_in_their_time_and_then_at_once() {
    let service = limited().await;
    let session = service.sessions.create(json!({})).await.unwrap();
    service.proxy.on_every(|_| Action::Stall);
    for _ in 0..3 {
        let error = service.sessions.load::<Value>(session.id()).await.unwrap_err();
        assert!(says(&error, "within 200 ms (SESSION_CALL_TIMEOUT_MILLISECONDS)"), "{error:?}");
    }
    service.proxy.forget();
    let alice: Subject = "alice".parse().unwrap();
    for error in [
        service.sessions.load::<Value>(session.id()).await.unwrap_err(),
        service.sessions.create(json!({})).await.unwrap_err(),
        service.sessions.create_for(json!({}), alice.clone()).await.unwrap_err(),
        service.sessions.renew::<Value>(session.id()).await.unwrap_err(),
        service.sessions.sessions_of(&alice).await.unwrap_err(),
    ] {
        assert!(says(&error, "did not respond to the last calls"), "{error:?}");
    }
    assert_eq!(service.proxy.operations(), [""; 0], "nothing was sent");
}

/// Someone's session must end: a clear waits for longer, and asks a table that counts as hung.
#[tokio::test]
async fn a_clear_and_a_revocation_are_always_tried() {
    let service = limited().await;
    let alice: Subject = "alice".parse().unwrap();
    let session = service.sessions.create_for(json!({}), alice.clone()).await.unwrap();
    let other = service.sessions.create_for(json!({}), alice.clone()).await.unwrap();
    service.proxy.on_every(|_| Action::Stall);
    for _ in 0..3 {
        service.sessions.load::<Value>(session.id()).await.unwrap_err();
    }
    service.proxy.on_every(Action::Forward);
    service.sessions.load::<Value>(session.id()).await.unwrap_err();
    assert!(service.sessions.clear(session.id()).await.unwrap());
    service.sessions.revoke_all(&alice, None).await.unwrap();
    for id in [session.id(), other.id()] {
        assert!(!service.record(id).await.unwrap().contains_key("data"));
    }
}

/// A login whose response did not come in time may have been carried out. The next one of the process ends what it has left.
#[tokio::test]
async fn a_login_that_ran_out_of_time_takes_no_place() {
    let config = Config { call_timeout_milliseconds: Some(200), max_per_subject: 1, ..Config::default() };
    let service = Service::with(config).await;
    let alice: Subject = "alice".parse().unwrap();
    service.proxy.on_next(async |body| Action::Lose(body, crate::harness::Loss::Stalled));
    let error = service.sessions.create_for(json!({}), alice.clone()).await.unwrap_err();
    assert!(says(&error, "within 200 ms"), "{error:?}");
    let session = service.sessions.create_for(json!({}), alice.clone()).await.unwrap();
    let listed = service.sessions.sessions_of(&alice).await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].loggable_id, *session.loggable_id());
}
