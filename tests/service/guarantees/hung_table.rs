//! A table that does not respond, in a program with a time limit for its calls.

use std::time::Duration;

use dynamodb_web_session::{Config, Error, SessionManager, Subject, chain};
use serde_json::{Value, json};

use crate::harness::{Action, Loss, Proxy, Service};

/// A program whose calls have 500 ms.
async fn limited(service: &Service) -> (SessionManager, Proxy) {
    let config = service.sessions.config().clone();
    service.caller_with(Config { call_timeout_milliseconds: Some(500), ..config }).await
}

fn says(error: &Error, text: &str) -> bool {
    matches!(error, Error::Unavailable(_)) && chain(error).contains(text)
}

#[tokio::test]
async fn calls_fail_in_their_time_and_then_at_once() {
    let service = Service::start().await;
    let session = service.sessions.create(json!({})).await.unwrap();
    let (sessions, proxy) = limited(&service).await;
    proxy.on_every(|_| Action::Stall);
    for _ in 0..3 {
        let error = sessions.load::<Value>(session.id()).await.unwrap_err();
        assert!(says(&error, "within 500 ms (SESSION_CALL_TIMEOUT_MILLISECONDS)"), "{error:?}");
    }
    proxy.forget();
    let alice: Subject = "alice".parse().unwrap();
    // Each is the first of a call: a machine that stops for a second here lets one of them pass, and it fails in its time.
    let errors = [
        sessions.load::<Value>(session.id()).await.unwrap_err(),
        sessions.create(json!({})).await.unwrap_err(),
        sessions.create_for(json!({}), alice.clone()).await.unwrap_err(),
        sessions.renew::<Value>(session.id()).await.unwrap_err(),
        sessions.sessions_of(&alice).await.unwrap_err(),
    ];
    let at_once = errors.iter().filter(|error| says(error, "did not respond to the last calls")).count();
    assert!(at_once >= 3 && proxy.operations().len() <= 5 - at_once, "{errors:?}");
}

/// Someone's session must end: a clear waits for longer, and asks a table that counts as hung.
#[tokio::test]
async fn a_clear_and_a_revocation_are_always_tried() {
    let service = Service::start().await;
    let alice: Subject = "alice".parse().unwrap();
    let session = service.sessions.create_for(json!({}), alice.clone()).await.unwrap();
    let other = service.sessions.create_for(json!({}), alice.clone()).await.unwrap();
    let (sessions, proxy) = limited(&service).await;
    proxy.on_every(|_| Action::Stall);
    for _ in 0..3 {
        sessions.load::<Value>(session.id()).await.unwrap_err();
    }
    proxy.on_every(Action::Forward);
    assert!(sessions.clear(session.id()).await.unwrap());
    sessions.revoke_all(&alice, None).await.unwrap();
    for id in [session.id(), other.id()] {
        assert!(!service.record(id).await.unwrap().contains_key("data"));
    }
}

/// A login whose response did not come in time may have been carried out. The next one of the process ends what it has left.
#[tokio::test]
async fn a_login_that_ran_out_of_time_takes_no_place() {
    let service = Service::with(Config { max_per_subject: 1, ..Config::default() }).await;
    let (sessions, proxy) = limited(&service).await;
    let alice: Subject = "alice".parse().unwrap();
    proxy.on_next(async |body| Action::Lose(body, Loss::Stalled));
    let error = sessions.create_for(json!({}), alice.clone()).await.unwrap_err();
    assert!(says(&error, "within 500 ms"), "{error:?}");
    let mut tries = 0;
    let session = loop {
        match sessions.create_for(json!({}), alice.clone()).await {
            Err(Error::Unavailable(_)) if tries < 100 => tries += 1, // 500 ms are little on a busy machine
            created => break created.unwrap(),
        }
        tokio::time::sleep(Duration::from_millis(50)).await; // after three time-outs it has to wait for a second
    };
    let listed = service.sessions.sessions_of(&alice).await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].loggable_id, *session.loggable_id());
}
