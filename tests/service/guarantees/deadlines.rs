//! Deadlines when requests to DynamoDB are slow.
//!
//! A request is judged by the time at which it was sent. The SDK gives up an operation 4 seconds after that
//! (`faults::a_dynamodb_that_never_responds_is_503_before_the_function_times_out`), so this is how long after a deadline a
//! use from before it can still arrive.

use dynamodb_web_session::Clock;
use serde_json::json;

use crate::harness::{Action, Service};

/// The clock moves while the read is under way.
#[tokio::test]
async fn a_session_that_expires_while_it_is_read_is_404() {
    let service = Service::start().await;
    let id = service.create_with(json!({ "idle_timeout_seconds": 100 })).await;
    service.clock.advance(99);
    let clock = service.clock.clone();
    service.proxy.on_next(async move |get| {
        clock.advance(1);
        Action::Forward(get)
    });
    service.load(&id).await.problem(404);
    assert_eq!(service.recorded(&id, "expires").await, service.clock.now().epoch_seconds(), "not slid");
}

#[tokio::test]
async fn each_request_of_a_call_reads_the_clock() {
    let service = Service::start().await;
    let id = service.create_with(json!({ "idle_timeout_seconds": 1000 })).await;
    service.clock.advance(500);
    let clock = service.clock.clone();
    service.proxy.on_next(async move |get| {
        clock.advance(200);
        Action::Forward(get)
    });
    let loaded = service.load(&id).await.assert_status(200).json();
    let deadline = service.clock.now().plus_seconds(1000);
    assert_eq!(loaded["expires"], deadline.to_string());
    assert_eq!(service.recorded(&id, "expires").await, deadline.epoch_seconds());
}

/// The touch was sent before the deadline and arrives after it: the use counts, from the time at which it was sent.
#[tokio::test]
async fn a_use_that_was_sent_before_the_deadline_and_arrives_after_it_counts_from_when_it_was_sent() {
    let service = Service::start().await;
    let id = service.create_with(json!({ "idle_timeout_seconds": 100 })).await;
    service.clock.advance(99);
    let sent = service.clock.now();
    let clock = service.clock.clone();
    let late_load = service.get().id(&id);
    service.proxy.on_next(async |get| Action::Forward(get));
    service.proxy.on_next(async move |touch| {
        clock.advance(3);
        late_load.send().await.problem(404);
        Action::Forward(touch)
    });
    service.load(&id).await.assert_status(200);
    assert_eq!(service.recorded(&id, "expires").await, sent.epoch_seconds() + 100);
}
