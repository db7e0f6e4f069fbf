//! Requests that a browser sends for pages of other origins.

use dynamodb_web_session::{Config, SessionId};
use reqwest::Method;
use serde_json::json;
use service::Settings;

use crate::harness::{Answer, Call, Service, cookies};

const APP: &str = "https://app.example.com";

fn allowing_app() -> Settings {
    Settings { allowed_origins: vec![APP.parse().unwrap()], ..cookies() }
}

/// Makes every call, with the headers that `mark` adds.
async fn every_call(service: &Service, id: &SessionId, mark: impl Fn(Call) -> Call) -> Vec<(Method, Answer)> {
    let mut answers = Vec::new();
    for method in [Method::GET, Method::PUT, Method::POST, Method::DELETE] {
        let call = mark(service.request(method.clone()).cookie(id));
        let call = if method == Method::PUT { call.json(&json!({ "data": { "a": 2 } })) } else { call };
        answers.push((method, call.send().await));
    }
    answers.push((Method::POST, mark(service.post_renew().cookie(id)).send().await));
    answers
}

#[tokio::test]
async fn requests_of_other_origins_are_refused_and_have_no_effect() {
    for settings in [cookies(), allowing_app()] {
        let config = Config { touch_interval_seconds: 0, ..Config::default() };
        let service = Service::with_all(config, settings).await;
        let id = service.post().by_page().json(&json!({ "data": { "a": 1 } })).send().await.cookie_id();
        let record = service.record(&id).await;
        service.clock.advance(10);
        for marks in [
            vec![("sec-fetch-site", "cross-site")],
            vec![("sec-fetch-site", "same-site")],
            vec![("sec-fetch-site", "same-origin,cross-site")],
            vec![("sec-fetch-site", "")],
            vec![("sec-fetch-site", "cross-site"), ("origin", "null")],
            vec![("sec-fetch-site", "same-site"), ("origin", "https://app.example.com.evil.example")],
            vec![("origin", "https://evil.example")],
            vec![("origin", "null")],
        ] {
            let mark = |call: Call| marks.iter().fold(call, |call, (name, value)| call.header(name, value));
            for (method, answer) in every_call(&service, &id, mark).await {
                answer.problem(403);
                assert_eq!(answer.header("set-cookie"), "", "{method} {marks:?}");
                assert_eq!(answer.header("clear-site-data"), "");
            }
        }
        assert_eq!(service.record(&id).await, record, "not changed, deadline not slid");
        assert_eq!(service.records().await, 1);
    }
}

#[tokio::test]
async fn without_fetch_metadata_only_a_load_passes() {
    let service = Service::served(cookies()).await;
    let id = service.post().by_page().send().await.cookie_id();
    for (method, answer) in every_call(&service, &id, |call| call).await {
        assert_eq!(answer.status, if method == Method::GET { 200 } else { 403 }, "{method}");
    }
    for (method, answer) in every_call(&service, &id, |call| call.header("sec-fetch-site", "none")).await {
        assert_eq!(answer.status, if method == Method::GET { 200 } else { 403 }, "{method}");
    }
}

#[tokio::test]
async fn an_allowed_origin_may_call_with_and_without_fetch_metadata() {
    for site in [None, Some("same-site")] {
        let service = Service::served(allowing_app()).await;
        let id = service.post().by_page().send().await.cookie_id();
        let mark = |call: Call| match site {
            Some(site) => call.header("origin", APP).header("sec-fetch-site", site),
            None => call.header("origin", APP),
        };
        for (method, answer) in every_call(&service, &id, mark).await {
            let ended = method == Method::POST && answer.status == 404; // the renewal, after the clear
            assert!(answer.status.is_success() || ended, "{method} {}", answer.status);
            assert_eq!(answer.header("access-control-allow-origin"), APP);
            assert_eq!(answer.header("access-control-allow-credentials"), "true");
        }
    }
}

#[tokio::test]
async fn a_body_that_a_form_could_send_is_refused() {
    let service = Service::served(cookies()).await;
    let id = service.post().by_page().send().await.cookie_id();
    let record = service.record(&id).await;
    for content_type in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=b"]
    {
        for call in [service.post(), service.put(), service.post_renew(), service.delete()] {
            let call = call.by_page().cookie(&id).header("content-type", content_type);
            call.untyped("{\"data\":{}}").send().await.problem(415);
        }
    }
    assert_eq!(service.record(&id).await, record);
}

#[tokio::test]
async fn no_other_origin_may_read_unless_it_is_allowed() {
    let service = Service::served(cookies()).await;
    let preflight = |service: &Service, origin: &str| {
        let call = service.request(Method::OPTIONS).header("origin", origin);
        call.header("access-control-request-method", "PUT").send()
    };
    preflight(&service, APP).await.assert_status(404);
    let answer = service.post().by_page().header("origin", APP).send().await;
    assert_eq!(answer.header("access-control-allow-origin"), "");

    let service = Service::served(allowing_app()).await;
    let allowed = preflight(&service, APP).await;
    assert_eq!(allowed.assert_status(204).header("access-control-allow-origin"), APP);
    assert_eq!(allowed.header("access-control-allow-methods"), "GET,POST,PUT,DELETE");
    assert_eq!(
        allowed.header("access-control-allow-headers"),
        "content-type,if-match,if-none-match,x-session-id,authorization,x-amz-content-sha256,x-amz-date,x-amz-security-token"
    );
    let other = preflight(&service, "https://evil.example").await;
    assert_eq!(other.assert_status(204).header("access-control-allow-origin"), "");
}

#[tokio::test]
async fn header_transport_does_not_check_the_origin() {
    let service = Service::start().await;
    let id = service.create(json!({})).await;
    service.get().id(&id).header("sec-fetch-site", "cross-site").send().await.assert_status(200);
    service
        .delete()
        .id(&id)
        .header("content-type", "text/plain")
        .untyped("x")
        .send()
        .await
        .assert_status(204);
}

#[tokio::test]
async fn a_client_that_is_not_a_browser_is_told_which_header_is_missing() {
    let service = Service::served(cookies()).await;
    let detail = service.post().send().await.problem(403);
    assert!(detail.contains("Sec-Fetch-Site is missing"), "{detail}");
    for (name, value) in [("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")] {
        let detail = service.post().header(name, value).send().await.problem(403);
        assert!(detail.contains("another origin"), "{detail}");
    }
}
