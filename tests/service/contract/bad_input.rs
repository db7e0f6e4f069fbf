//! Bad input of every kind gets a clear 4xx and changes nothing.

use dynamodb_web_session::{Config, MAX_DATA_DEPTH};
use serde_json::json;

use crate::harness::Service;

/// Bodies that neither create nor save accepts.
fn malformed_bodies() -> Vec<Vec<u8>> {
    let mut bodies: Vec<Vec<u8>> = [
        " ",
        "{",
        "}",
        "null",
        "true",
        "1",
        "\"text\"",
        "[]",
        "[{\"data\":{}}]",
        "{\"data\":{}",
        "{\"data\":{\"a\":}}",
        "{\"data\":{}}x",
        "{\"data\":{}}{}",
        "{'data':{}}",
        "{data:{}}",
        "{\"data\":{},}",
        "\u{feff}{\"data\":{}}",
        "{\"data\":{\"a\":01}}",
        "{\"data\":{\"a\":NaN}}",
        "{\"data\":{\"a\":\"\\x\"}}",
        "{\"data\":{\"a\":\"\n\"}}",
        // of the wrong type
        "{\"data\":null}",
        "{\"data\":[]}",
        "{\"data\":\"{}\"}",
        "{\"data\":1}",
        "{\"idle_timeout_seconds\":null}",
        "{\"idle_timeout_seconds\":\"60\"}",
        "{\"idle_timeout_seconds\":true}",
        "{\"idle_timeout_seconds\":[60]}",
        "{\"absolute_timeout_seconds\":{}}",
        // out of range
        "{\"idle_timeout_seconds\":0}",
        "{\"idle_timeout_seconds\":-1}",
        "{\"idle_timeout_seconds\":1.5}",
        "{\"idle_timeout_seconds\":1e-3}",
        "{\"idle_timeout_seconds\":2592001}",
        "{\"idle_timeout_seconds\":18446744073709551615}",
        "{\"idle_timeout_seconds\":18446744073709551616}",
        "{\"absolute_timeout_seconds\":0}",
        "{\"absolute_timeout_seconds\":-0.0}",
        "{\"absolute_timeout_seconds\":2592001}",
        "{\"absolute_timeout_seconds\":1e999}",
        // unknown, misspelt or repeated members
        "{\"id\":\"x\"}",
        "{\"created\":1}",
        "{\"Data\":{}}",
        "{\"data\":{},\"extra\":1}",
        "{\"data\":{},\"data\":{}}",
        "{\"idle_timeout_seconds\":60,\"idle_timeout_seconds\":60}",
        "{\"d\\u0061ta\":{},\"data\":{}}",
    ]
    .into_iter()
    .map(|body| body.as_bytes().to_vec())
    .collect();
    bodies.push(b"{\"data\":{\"a\":\"\xff\"}}".to_vec()); // not UTF-8
    bodies.push(b"\xff\xfe{\0}\0".to_vec()); // UTF-16
    bodies.push("{\"data\":{\"a\":1}}".encode_utf16().flat_map(u16::to_le_bytes).collect());
    bodies.push(format!("{{\"data\":{}", "{\"a\":".repeat(100_000)).into_bytes());
    bodies.push(format!("{{\"data\":{}}}", "[".repeat(100_000)).into_bytes());
    bodies.push(format!("{{\"data\":{}}}", nested(MAX_DATA_DEPTH + 1)).into_bytes());
    bodies.push(format!("{{\"data\":{}}}", nested(50_000)).into_bytes());
    bodies
}

/// An object that is `depth` levels deep.
fn nested(depth: usize) -> String {
    format!("{{\"a\":{}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1))
}

fn abbreviated(body: &[u8]) -> String {
    String::from_utf8_lossy(&body[..body.len().min(80)]).into_owned()
}

#[tokio::test]
async fn create_refuses_a_malformed_body_with_400() {
    let service = Service::start().await;
    for body in malformed_bodies() {
        let answer = service.post().text(&body).send().await;
        assert!(!answer.problem(400).is_empty(), "{}", abbreviated(&body));
    }
    assert_eq!(service.records().await, 0);
}

#[tokio::test]
async fn save_refuses_a_malformed_body_with_400_whether_or_not_there_is_a_session() {
    let service = Service::start().await;
    let id = service.create(json!({ "kept": true })).await;
    let before = service.record(&id).await;
    for body in malformed_bodies().into_iter().chain([b"".to_vec(), b"{}".to_vec()]) {
        let refused = service.put().id(&id).text(&body).send().await;
        assert!(!refused.problem(400).is_empty(), "{}", abbreviated(&body));
        assert_eq!(service.put().text(&body).send().await, refused);
    }
    assert_eq!(service.record(&id).await, before);
}

#[tokio::test]
async fn a_detail_says_what_is_accepted() {
    let service = Service::start().await;
    let detail = async |body: &str| service.post().text(body).send().await.problem(400);
    assert!(detail("{\"unknown\":1}").await.contains("`idle_timeout_seconds`"));
    assert!(detail("{\"data\":").await.contains("JSON object"));
    let detail = detail("{\"idle_timeout_seconds\":0}").await;
    assert_eq!(detail, "idle_timeout_seconds must be from 1 to 2592000");
}

#[tokio::test]
async fn timeouts_at_the_ends_of_their_range_are_accepted() {
    let service = Service::with(Config { max_timeout_seconds: 50_000, ..Config::default() }).await;
    for seconds in [1, 50_000] {
        let body = json!({ "idle_timeout_seconds": seconds, "absolute_timeout_seconds": seconds });
        let id = service.create_with(body.clone()).await;
        service.save(&id, body).await.assert_status(204);
    }
    let detail =
        service.post().json(&json!({ "absolute_timeout_seconds": 50_001 })).send().await.problem(400);
    assert!(detail.contains("absolute_timeout_seconds") && detail.contains("50000"), "{detail}");
}

#[tokio::test]
async fn a_whole_number_may_be_spelt_in_any_way() {
    let service = Service::start().await;
    for (spelling, seconds) in [("60.0", 60), ("6e1", 60), ("600E-1", 60), ("2592000.000", 2_592_000)] {
        let created =
            service.post().text(format!("{{\"absolute_timeout_seconds\":{spelling}}}")).send().await;
        assert_eq!(created.assert_status(201).json()["absolute_timeout_seconds"], seconds, "{spelling}");
    }
}

#[tokio::test]
async fn data_at_the_depth_limit_comes_back() {
    let service = Service::start().await;
    let data = nested(MAX_DATA_DEPTH);
    let created = service.post().text(format!("{{\"data\":{data}}}")).send().await;
    let loaded = service.load(&created.assert_status(201).session_id()).await;
    assert!(loaded.body.contains(&data));
    assert_eq!(loaded.data()["a"].to_string().matches('[').count(), MAX_DATA_DEPTH - 1);
}

#[tokio::test]
async fn data_over_the_limit_is_413_and_names_size_and_limit() {
    let service = Service::with(Config { max_data_bytes: 1000, ..Config::default() }).await;
    let id = service.create(json!({})).await;
    let data_of = |bytes: usize| format!("{{\"data\":{{\"a\":\"{}\"}}}}", "x".repeat(bytes - 8));

    service.post().text(data_of(1000)).send().await.assert_status(201);
    service.put().id(&id).text(data_of(1000)).send().await.assert_status(204);
    for call in [service.post(), service.put().id(&id), service.put()] {
        let detail = call.text(data_of(1001)).send().await.problem(413);
        assert!(detail.contains("1001") && detail.contains("1000"), "{detail}");
    }
}

#[tokio::test]
async fn data_at_the_largest_limit_fits_an_item() {
    let service = Service::with(Config { max_data_bytes: 408_576, ..Config::default() }).await;
    let body = format!("{{\"data\":{{\"a\":\"{}\"}}}}", "x".repeat(408_576 - 8));
    let created = service.post().text(&body).send().await;
    let id = created.assert_status(201).session_id();
    service.put().id(&id).text(&body).send().await.assert_status(204);
    assert_eq!(service.load(&id).await.data()["a"].as_str().unwrap().len(), 408_568);
}

#[tokio::test]
async fn a_body_that_is_not_sent_as_json_is_415() {
    let service = Service::start().await;
    let id = service.create(json!({})).await;
    let body = r#"{"data":{}}"#;
    for content_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonp",
        "application/json-seq",
        "json",
        "",
    ] {
        for call in [service.post(), service.put().id(&id)] {
            call.untyped(body).header("content-type", content_type).send().await.problem(415);
        }
    }
    service.post().untyped(body).send().await.problem(415);
    for content_type in
        ["application/json", "Application/JSON", "application/json; charset=utf-8", "application/json ;x=y"]
    {
        service.post().untyped(body).header("content-type", content_type).send().await.assert_status(201);
    }
}

#[tokio::test]
async fn an_unexpected_body_is_ignored() {
    let service = Service::start().await;
    let id = service.create(json!({})).await;
    service.get().id(&id).untyped("junk").send().await.assert_status(200);
    service.delete().id(&id).untyped("junk").send().await.assert_status(204);
    service.post().text("").send().await.assert_status(201);
}

/// To drop what the caller wanted to be stored would be worse than to refuse it.
#[tokio::test]
async fn a_renewal_takes_data_and_a_subject_and_nothing_else() {
    let service = Service::start().await;
    let id = service.create(json!({ "a": 1 })).await;
    for body in [
        json!({ "idle_timeout_seconds": 9 }),
        json!({ "absolute_timeout_seconds": 9, "data": {} }),
        json!({ "user": 7 }),
        json!({ "data": null }),
        json!({ "subject": null }),
        json!([]),
    ] {
        service.post_renew().id(&id).json(&body).send().await.problem(400);
    }
    service.post_renew().id(&id).text("junk").send().await.problem(400);
    service.post_renew().id(&id).untyped("junk").send().await.problem(415);
    let id = service.post_renew().id(&id).text("{}").send().await.assert_status(200).session_id();
    assert_eq!(service.renew(&id).await.assert_status(200).data(), json!({ "a": 1 }));
}

/// The response to bad data must not tell whether there is a session.
#[tokio::test]
async fn a_renewal_with_bad_data_is_refused_alike_with_and_without_a_session() {
    let service = Service::start().await;
    let id = service.create(json!({})).await;
    let body = json!({ "data": { "a": "x".repeat(262_144) } });
    let of_session = service.post_renew().id(&id).json(&body).send().await;
    of_session.problem(413);
    assert_eq!(service.post_renew().json(&body).send().await, of_session);
    service.load(&id).await.assert_status(200);
}

#[tokio::test]
async fn bad_subjects_and_loggable_ids_are_400() {
    let service = Service::start().await;
    let (long, loggable) = ("é".repeat(128) + "a", "0".repeat(128));
    for subject in [json!(""), json!(long), json!(7), json!(null), json!(["a"]), json!({})] {
        let body = json!({ "subject": subject });
        service.post().json(&body).send().await.problem(400);
        service.post_list().json(&body).send().await.problem(400);
        service.post_revoke().json(&body).send().await.problem(400);
    }
    for body in [
        json!({}),
        json!({ "subject": "a", "loggable_session_id": loggable }),
        json!({ "except": loggable }),
        json!({ "loggable_session_id": loggable, "except": loggable }),
        json!({ "loggable_session_id": "F".repeat(128) }),
        json!({ "loggable_session_id": "0".repeat(127) }),
        json!({ "loggable_session_id": format!("subject#{}", "0".repeat(128)) }),
        json!({ "subject": "a", "except": "0" }),
        json!({ "subject": "a", "except": null }),
        json!({ "subject": "a", "user": "b" }),
    ] {
        service.post_revoke().json(&body).send().await.problem(400);
    }
    for call in [service.post_list(), service.post_revoke()] {
        call.untyped("{}").send().await.problem(415);
    }
    for call in [service.post_list(), service.post_revoke()] {
        call.send().await.problem(400);
    }
    service.post_list().json(&json!({ "subject": "a", "limit": 1 })).send().await.problem(400);
    service.post_list().text(r#"{"subject":"a","subject":"b"}"#).send().await.problem(400);
    assert_eq!(service.records().await, 0);
}

#[tokio::test]
async fn malformed_ids_are_not_found() {
    let service = Service::start().await;
    let id = service.create(json!({})).await;
    let text = id.expose();
    let not_canonical = format!("{}{}", &text[..42], next_character(text));
    for malformed in [
        &text[..42],
        &format!("{text}A"),
        &format!("{text}="),
        &format!("{text}, {text}"),
        &format!("{text},{text}"),
        &format!("\"{text}\""),
        &text.to_lowercase(),
        &not_canonical,
        &"A".repeat(20),
        &"A".repeat(172),
        id.loggable().as_str(),
        "../../etc/passwd",
        "*",
    ] {
        service.get().header("x-session-id", malformed).send().await.problem(404);
        service.delete().header("x-session-id", malformed).send().await.assert_status(204);
    }
    service.get().id(&id).id(&id).send().await.problem(404);
    service.load(&id).await.assert_status(200);
}

/// A last character that differs from that of `text` only in the two unused bits.
fn next_character(text: &str) -> char {
    let last = text.chars().last().unwrap();
    if last == '8' { '9' } else { char::from(last as u8 + 1) }
}

#[tokio::test]
async fn no_part_of_a_bad_body_is_repeated_in_the_response() {
    let service = Service::start().await;
    for body in [r#"{"SECRET":1}"#, r#"{"data":"SECRET"}"#, r#"{"idle_timeout_seconds":"SECRET"}"#, "SECRET"]
    {
        assert!(!service.post().text(body).send().await.body.contains("SECRET"));
    }
}
