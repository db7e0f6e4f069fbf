//! The log: one line for each call, for operators.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::AttributeValue;
use dynamodb_web_session::{Clock, Config, SessionId, Subject, Timeouts, Timestamp};
use serde_json::{Value, json};
use service::log::LevelFilter;

use crate::harness::{Action, Log, Loss, Service, cookies};

#[tokio::test]
async fn each_call_is_one_line_that_names_event_session_request_and_cost() {
    let service = Service::start().await;
    let log = Log::at(LevelFilter::DEBUG);
    let (answer, request_id) = service.post().json(&json!({ "data": { "a": 1 } })).send_and_name().await;
    let id = answer.session_id();
    let created = log.one("created", "ok");
    assert_eq!(created["loggable_session_id"], id.loggable().as_str());
    assert_eq!(created["level"], "INFO");
    assert_eq!(created["request_id"], request_id);
    assert_eq!(created["api_request_id"], request_id);
    assert_eq!((&created["requests"], &created["write_units"]), (&json!(1), &json!(1.0)));
    assert_eq!(created["table"], "the_table");
    assert_eq!(created["source_ip"], Value::Null, "no address without a refusal");
    let timestamp: Timestamp = created["timestamp"].as_str().unwrap().parse().unwrap();
    assert!(timestamp >= service.clock.now());

    let (_, next_request_id) = service.get().id(&id).send_and_name().await;
    assert_ne!(next_request_id, request_id);
    let line = log.one("loaded", "ok");
    assert_eq!((&line["level"], &line["request_id"]), (&json!("DEBUG"), &json!(next_request_id)));
    assert_eq!((&line["requests"], &line["read_units"]), (&json!(1), &json!(1.0)));
    service.clock.advance(60);
    service.load(&id).await;
    let line = log.one("loaded", "ok");
    assert_eq!(
        (&line["requests"], &line["write_units"]),
        (&json!(2), &json!(1.0)),
        "the load slid the deadline"
    );
    let metrics = line["_aws"]["CloudWatchMetrics"][0]["Metrics"].as_array().unwrap();
    let metrics: Vec<_> = metrics.iter().map(|metric| metric["Name"].as_str().unwrap()).collect();
    assert_eq!(metrics, ["loaded", "read_units", "write_units"]);

    service.save(&id, json!({ "data": { "a": 2 } })).await;
    assert_eq!(log.one("saved", "ok")["write_units"], 1.0);
    let renewed = service.renew(&id).await.session_id();
    let line = log.one("renewed", "ok");
    assert_eq!(line["loggable_session_id"], id.loggable().as_str());
    assert_eq!(line["new_loggable_session_id"], renewed.loggable().as_str());
    assert_eq!(line["requests"], 2);
    service.clear(&renewed).await;
    assert_eq!(log.one("cleared", "ok")["loggable_session_id"], renewed.loggable().as_str());
}

#[tokio::test]
async fn what_ends_sessions_in_a_task_of_its_own_names_its_request_too() {
    let service = Service::start().await;
    let id = service.create(json!({})).await;
    let log = Log::at(LevelFilter::DEBUG);
    let (_, request_id) = service.delete().id(&id).send_and_name().await;
    assert_eq!(log.one("cleared", "ok")["request_id"], request_id);
    let (_, request_id) = service.post_revoke().json(&json!({ "subject": "alice" })).send_and_name().await;
    assert_eq!(log.one("revoked", "ok")["request_id"], request_id);
}

#[tokio::test]
async fn the_log_names_a_subject_by_its_hash() {
    let service = Service::start().await;
    let log = Log::at(LevelFilter::DEBUG);
    let digest = "alice".parse::<Subject>().unwrap().digest();
    let id = service.create_for("alice").await;
    let created = log.one("created", "ok");
    assert_eq!((&created["loggable_subject"], &created["write_units"]), (&json!(digest), &json!(4.0)));
    let anonymous = service.create(json!({})).await;
    assert_eq!(log.one("created", "ok")["loggable_subject"], Value::Null);
    service.post_renew().id(&anonymous).json(&json!({ "subject": "alice" })).send().await;
    assert_eq!(log.one("logged-in", "ok")["loggable_subject"], digest);
    service.list("alice").await;
    let listed = log.one("listed", "ok");
    assert_eq!((&listed["loggable_subject"], &listed["sessions"]), (&json!(digest), &json!(2)));
    service.revoke_all("alice").await;
    let revoked = log.one("revoked", "ok");
    assert_eq!((&revoked["loggable_subject"], &revoked["sessions"]), (&json!(digest), &json!(2)));
    assert_eq!(revoked["requests"], 5, "two of them end the sessions");
    let body = json!({ "loggable_session_id": id.loggable().as_str() });
    service.post_revoke().json(&body).send().await;
    assert_eq!(log.one("refused", "unknown")["loggable_session_id"], id.loggable().as_str());
}

/// It can be guessed, if the subject is an e-mail address.
#[tokio::test]
async fn below_the_level_a_line_does_not_name_the_subject() {
    let service = Service::start().await;
    let log = Log::at(LevelFilter::WARN);
    service.create_for("alice").await;
    service.list("alice").await;
    service.revoke_all("alice").await;
    let lines = log.take();
    assert_eq!(lines.len(), 3, "their metrics");
    assert!(!format!("{lines:?}").contains("loggable"), "{lines:?}");
}

#[tokio::test]
async fn the_log_says_why_there_is_no_session_for_each_call() {
    let config =
        Config { timeouts: Timeouts { idle_seconds: 100, absolute_seconds: 1000 }, ..Config::default() };
    for touch_interval_seconds in [60, 0] {
        let service = Service::with(Config { touch_interval_seconds, ..config.clone() }).await;
        let log = Log::at(LevelFilter::INFO);
        for (expired, dead) in [("idle-expired", "expires"), ("absolute-expired", "absolute_expires")] {
            for call in ["load", "save", "renew", "clear"] {
                let id = service.create(json!({})).await;
                let past = AttributeValue::N(service.clock.now().epoch_seconds().to_string());
                service.tamper(&id, dead, past).await;
                log.take();
                call_it(&service, call, &id).await;
                assert_eq!(log.one("refused", expired)["loggable_session_id"], id.loggable().as_str());
                service.clear(&id).await;
                log.take();
                call_it(&service, call, &id).await;
                assert_eq!(log.one("refused", "unknown")["loggable_session_id"], id.loggable().as_str());
            }
        }
    }
}

async fn call_it(service: &Service, call: &str, id: &SessionId) {
    let answer = match call {
        "load" => service.load(id).await,
        "save" => service.save(id, json!({ "data": {} })).await,
        "renew" => service.renew(id).await,
        _ => service.clear(id).await,
    };
    answer.assert_status(if call == "clear" { 204 } else { 404 });
}

#[tokio::test]
async fn the_log_distinguishes_refusals_and_failures() {
    let service = Service::start().await;
    let log = Log::at(LevelFilter::INFO);
    let id = service.create(json!({})).await;
    log.take();
    service.get().send().await.problem(404);
    log.one("refused", "missing");
    service.get().header("x-session-id", "what?").send().await.problem(404);
    let line = log.one("refused", "malformed");
    assert_eq!(line["loggable_session_id"], Value::Null);
    assert_eq!(line["source_ip"], "127.0.0.1");
    service.delete().header("x-session-id", "what?").send().await.assert_status(204);
    log.one("refused", "malformed");
    service.put().header("x-session-id", "what?").json(&json!({ "data": {} })).send().await.problem(404);
    log.one("refused", "malformed");
    service.put().id(&id).json(&json!({ "data": {} })).header("if-match", "\"x\"").send().await.problem(412);
    log.one("refused", "conflict");
    service.put().id(&id).text("{").send().await.problem(400);
    log.one("refused", "invalid");
    service.save(&id, json!({ "data": { "a": "x".repeat(300_000) } })).await.problem(413);
    log.one("refused", "invalid");

    service.proxy.respond(3, 400, "ThrottlingException");
    service.load(&id).await.problem(503);
    let line = log.one("failed", "unavailable");
    assert_eq!(line["level"], "ERROR");
    assert!(line["error"].as_str().unwrap().contains("ThrottlingException"), "{line}");
    service.proxy.respond(1, 400, "AccessDeniedException");
    service.load(&id).await.problem(500);
    log.one("failed", "internal");

    let not_before = service.clock.now();
    let service = Service::with(Config { not_before, ..Config::default() }).await;
    let id = service.create(json!({})).await;
    service.tamper(&id, "created", AttributeValue::N("1".into())).await;
    log.take();
    service.load(&id).await.problem(404);
    log.one("refused", "not-before");

    let service = Service::served(cookies()).await;
    service.delete().header("sec-fetch-site", "cross-site").send().await.problem(403);
    log.one("refused", "cross-site");
}

/// The response and the log line must agree.
#[tokio::test]
async fn a_save_that_is_refused_for_its_data_is_logged_as_such_even_without_an_id() {
    let service = Service::start().await;
    let log = Log::at(LevelFilter::INFO);
    let too_large = json!({ "data": { "a": "x".repeat(300_000) } });
    service.put().json(&too_large).send().await.problem(413);
    log.one("refused", "invalid");
    service.put().header("x-session-id", "what?").json(&too_large).send().await.problem(413);
    log.one("refused", "invalid");
}

/// A tag that is not a header value is found before the load is counted: one request, one line.
#[tokio::test]
async fn a_record_that_cannot_be_sent_is_one_failure_and_one_line() {
    for touch_interval_seconds in [60, 0] {
        let service = Service::with(Config { touch_interval_seconds, ..Config::default() }).await;
        let log = Log::at(LevelFilter::INFO);
        let id = service.create(json!({})).await;
        for tag in ["\"a\nb\"", "\"\u{1F36A}\"", "not a tag", ""] {
            service.tamper(&id, "etag", AttributeValue::S(tag.into())).await;
            log.take();
            service.load(&id).await.problem(500);
            assert!(log.one("failed", "internal")["error"].as_str().unwrap().contains("`etag`"));
            service.save(&id, json!({ "idle_timeout_seconds": 60 })).await.problem(500);
            log.one("failed", "internal");
        }
    }
}

#[tokio::test]
async fn at_info_a_load_is_counted_but_its_session_not_named() {
    let service = Service::start().await;
    let log = Log::at(LevelFilter::INFO);
    let id = service.create(json!({})).await;
    log.take();
    service.load(&id).await;
    let line = log.one("loaded", "ok");
    let members: BTreeSet<_> = line.as_object().unwrap().keys().map(String::as_str).collect();
    let expected =
        ["_aws", "event", "level", "loaded", "outcome", "read_units", "requests", "table", "write_units"];
    assert_eq!(members, expected.into_iter().collect());
}

#[tokio::test]
async fn a_lost_response_is_one_line() {
    let service = Service::start().await;
    let log = Log::at(LevelFilter::INFO);
    let id = service.create(json!({})).await;
    log.take();
    service.proxy.on_next(async |body| Action::Lose(body, Loss::Failure));
    let id_of_line = |line: Value| line["loggable_session_id"].as_str().unwrap().to_owned();
    service.clear(&id).await.assert_status(204);
    // The first attempt has deleted it: not an unknown ID, whose count raises an alarm.
    assert_eq!(id_of_line(log.one("cleared", "ok")), id.loggable().as_str());
    service.clear(&id).await.assert_status(204);
    log.one("refused", "unknown");

    let created = service.post().send().await;
    log.take();
    service.proxy.on_next(async |body| Action::Lose(body, Loss::Failure));
    let clear = service.delete().id(&created.session_id()).header("if-match", created.header("etag"));
    clear.send().await.assert_status(204);
    log.one("cleared", "ok");
}

/// The session may exist although the caller got a 503: an operator can find it.
#[tokio::test]
async fn a_failed_create_or_renewal_logs_the_id_that_it_may_have_stored() {
    let service = Service::start().await;
    let log = Log::at(LevelFilter::INFO);
    (0..3).for_each(|_| service.proxy.on_next(async |body| Action::Lose(body, Loss::Failure)));
    service.post().send().await.problem(503);
    let line = log.one("failed", "unavailable");
    let last = AttributeValue::S(line["loggable_session_id"].as_str().unwrap().to_owned());
    let stored = service.dynamodb.scan().table_name(&service.table).send().await.unwrap().items.unwrap();
    assert!(stored.len() == 1 && stored[0]["id"] == last, "the attempts have one ID");

    let id = service.create(json!({})).await;
    log.take();
    service.proxy.on_next(async |get| Action::Forward(get));
    (0..3).for_each(|_| service.proxy.on_next(async |body| Action::Lose(body, Loss::Failure)));
    service.renew(&id).await.problem(503);
    let line = log.one("failed", "unavailable");
    assert_eq!(line["loggable_session_id"], id.loggable().as_str());
    let renewed_to = &service.record(&id).await.unwrap()["renewed_to"];
    assert_eq!(line["new_loggable_session_id"], renewed_to.as_s().unwrap().as_str());
}

#[tokio::test]
async fn an_id_that_was_renewed_is_superseded_and_not_unknown() {
    let service = Service::start().await;
    let log = Log::at(LevelFilter::INFO);
    let id = service.create(json!({})).await;
    let new = service.renew(&id).await.session_id();
    log.take();
    for call in ["load", "save", "renew"] {
        call_it(&service, call, &id).await;
        log.one("refused", "superseded");
    }
    let anonymous = service.create(json!({})).await;
    let body = json!({ "subject": "alice" });
    service.post_renew().id(&anonymous).json(&body).send().await.assert_status(200);
    service.clock.advance(61);
    log.take();
    service.clear(&anonymous).await.assert_status(204);
    log.one("refused", "superseded");
    let newest = service.renew(&new).await.session_id();
    log.take();
    service.clear(&new).await.assert_status(204);
    let line = log.one("cleared", "ok");
    assert_eq!(
        (&line["loggable_session_id"], &line["requests"]),
        (&json!(new.loggable().as_str()), &json!(2))
    );
    assert_eq!(line["new_loggable_session_id"], newest.loggable().as_str(), "the session that has ended");
    service.load(&newest).await.problem(404);
    log.take();
    service.clear(&new).await.assert_status(204);
    log.one("refused", "unknown");
}

/// Lambda's filter, the alarms and the dashboard need these at every level.
#[tokio::test]
async fn at_every_level_each_call_is_counted_in_a_line_with_a_level() {
    for level in
        [LevelFilter::TRACE, LevelFilter::DEBUG, LevelFilter::INFO, LevelFilter::WARN, LevelFilter::ERROR]
    {
        let service = Service::start().await;
        let log = Log::at(level);
        let id = service.create(json!({})).await;
        assert_eq!(log.one("created", "ok")["level"], "INFO");
        service.load(&id).await;
        assert_eq!(log.one("loaded", "ok")["level"], "DEBUG");
        service.get().send().await;
        assert_eq!(log.one("refused", "missing")["level"], "INFO");
        let renewed = service.renew(&id).await.session_id();
        let line = log.one("renewed", "ok").to_string();
        assert_eq!(line.contains(renewed.loggable().as_str()), level >= LevelFilter::INFO);
        assert_eq!(line.contains(id.loggable().as_str()), level >= LevelFilter::INFO);
        let id = renewed;
        service.proxy.respond(1, 400, "AccessDeniedException");
        service.load(&id).await;
        assert_eq!(log.one("failed", "internal")["level"], "ERROR");
    }
}

#[tokio::test]
async fn data_of_another_type_is_not_quoted_in_the_log() {
    let service = Service::start().await;
    let log = Log::at(LevelFilter::INFO);
    let session = service.sessions.create(json!("the secret of a user")).await.unwrap();
    log.take();
    service.sessions.load::<u64>(session.id()).await.unwrap_err();
    let line = log.one("failed", "internal");
    assert_eq!(line["error"], "the stored data is not of the type asked for: Data at line 1, column 22");
}

#[tokio::test]
async fn nothing_that_a_caller_wrote_gets_into_the_log() {
    let service = Service::start().await;
    let log = Log::at(LevelFilter::TRACE);
    let id = service.create(json!({ "a": 1 })).await;
    let hostile =
        ["caller\u{1b}[31m", "\"caller\":{}", "caller\\n{\"event\":\"created\"}", "\u{202e}caller\u{7f}"];
    for text in hostile {
        let quoted = format!("\"{}\"", text.replace(['"', '\u{1b}', '\u{7f}'], ""));
        let call = service.put().id(&id).header("user-agent", text.replace(['\u{1b}', '\u{7f}'], "\t"));
        let call = call.header("x-amzn-trace-id", quoted.as_bytes()).header("if-match", &quoted);
        call.json(&json!({ "data": { text: text } })).send().await;
        let mark = text.replace(['\u{1b}', '\u{7f}'], "\t");
        service.get().header("x-session-id", &mark).header("cookie", &mark).send().await.problem(404);
        service.put().id(&id).text(text).send().await.problem(400);
    }
    let lines = log.take();
    assert_eq!(lines.len(), 1 + 3 * hostile.len());
    for line in lines {
        let line = line.to_string();
        assert!(!line.contains("caller") && !line.contains(id.expose()), "{line}");
    }
}

#[tokio::test]
async fn other_crates_log_errors_only() {
    let log = Log::at(LevelFilter::TRACE);
    tracing::warn!(target: "hyper", "a warning");
    tracing::error!(target: "hyper", odd = "\"\n\u{1b}", number = -1, flag = true, level = "INFO", "an error");
    let lines = log.take();
    assert_eq!(lines.len(), 1);
    assert_eq!((&lines[0]["level"], &lines[0]["message"]), (&json!("ERROR"), &json!("an error")));
    assert_eq!(lines[0]["odd"], "\"\n\u{1b}");
    assert_eq!((&lines[0]["number"], &lines[0]["flag"]), (&json!(-1), &json!(true)));
    assert_eq!(lines[0]["_aws"], Value::Null);
}
