//! `If-Match` and `If-None-Match` (RFC 9110, section 13.1).

use dynamodb_web_session::{Clock, SessionId};
use serde_json::json;

use crate::harness::{Answer, Service};

async fn save_if_match(service: &Service, id: &SessionId, if_match: &str, value: u64) -> Answer {
    service
        .put()
        .id(id)
        .header("if-match", if_match)
        .json(&json!({ "data": { "value": value } }))
        .send()
        .await
}

#[tokio::test]
async fn if_match_refuses_a_save_over_data_that_its_sender_has_not_seen() {
    let service = Service::start().await;
    let id = service.create(json!({ "value": 1 })).await;
    let seen = service.load(&id).await.header("etag").to_owned();

    let saved = save_if_match(&service, &id, &seen, 2).await;
    saved.assert_status(204);
    save_if_match(&service, &id, &seen, 3).await.problem(412);
    assert_eq!(service.load(&id).await.data(), json!({ "value": 2 }));
    save_if_match(&service, &id, saved.header("etag"), 4).await.assert_status(204);
    assert_eq!(service.load(&id).await.data(), json!({ "value": 4 }));
}

#[tokio::test]
async fn a_refused_save_changes_nothing_at_all() {
    let service = Service::start().await;
    let id = service.create(json!({ "value": 1 })).await;
    let before = service.record(&id).await;
    service.clock.advance(5);
    let body = json!({ "data": {}, "idle_timeout_seconds": 5, "absolute_timeout_seconds": 50 });
    service.put().id(&id).header("if-match", "\"other\"").json(&body).send().await.problem(412);
    assert_eq!(service.record(&id).await, before);
}

#[tokio::test]
async fn a_list_a_star_and_two_headers_match_as_the_rfc_says() {
    let service = Service::start().await;
    let id = service.create(json!({ "value": 0 })).await;
    for form in ["\"a\", TAG", "TAG,\"b,c\"", "*", "TAG, TAG", "W/\"x\" , TAG"] {
        let tag = service.load(&id).await.header("etag").to_owned();
        save_if_match(&service, &id, &form.replace("TAG", &tag), 1).await.assert_status(204);
    }
    let tag = service.load(&id).await.header("etag").to_owned();
    let twice = service.put().id(&id).header("if-match", "\"a\"").header("if-match", &tag);
    twice.json(&json!({ "data": {} })).send().await.assert_status(204);
}

#[tokio::test]
async fn weak_and_foreign_tags_do_not_match() {
    let service = Service::start().await;
    let id = service.create(json!({ "value": 0 })).await;
    let tag = service.load(&id).await.header("etag").to_owned();
    let unquoted = tag.trim_matches('"');
    for if_match in
        [&format!("W/{tag}"), "\"\"", "\"other\"", &format!("\"{unquoted}x\""), &format!("\"W/{unquoted}\"")]
    {
        save_if_match(&service, &id, if_match, 1).await.problem(412);
    }
    assert_eq!(service.load(&id).await.data(), json!({ "value": 0 }));
}

#[tokio::test]
async fn a_malformed_if_match_is_refused_and_not_ignored() {
    let service = Service::start().await;
    let id = service.create(json!({ "value": 0 })).await;
    let too_many = vec!["\"a\""; 101].join(",");
    for if_match in ["", " ", ",", "unquoted", "\"open", "*, \"a\"", "\"a\" \"b\"", &too_many] {
        let detail = save_if_match(&service, &id, if_match, 1).await.problem(400);
        assert!(detail.contains("If-Match"), "{detail}");
    }
    let not_text = service.put().id(&id).header("if-match", [0x22, 0xff, 0x22]);
    let status = not_text.json(&json!({ "data": {} })).send().await.status.as_u16();
    assert!([400, 412].contains(&status), "{status}");
    assert_eq!(service.load(&id).await.data(), json!({ "value": 0 }));
    let hundred = vec!["\"a\""; 100].join(",");
    save_if_match(&service, &id, &hundred, 1).await.problem(412);
}

#[tokio::test]
async fn timeouts_alone_can_be_saved_under_if_match() {
    let service = Service::start().await;
    let id = service.create(json!({})).await;
    let tag = service.load(&id).await.header("etag").to_owned();
    let body = json!({ "idle_timeout_seconds": 10 });
    service.put().id(&id).header("if-match", "\"other\"").json(&body).send().await.problem(412);
    let saved = service.put().id(&id).header("if-match", &tag).json(&body).send().await;
    assert_eq!(saved.assert_status(204).header("etag"), tag);
}

#[tokio::test]
async fn if_match_on_a_dead_session_is_404_and_not_412() {
    let service = Service::start().await;
    let id = service.create_with(json!({ "idle_timeout_seconds": 5 })).await;
    let tag = service.load(&id).await.header("etag").to_owned();
    service.clock.advance(5);
    for if_match in [&*tag, "\"other\"", "*"] {
        save_if_match(&service, &id, if_match, 1).await.problem(404);
    }
}

#[tokio::test]
async fn clear_and_renew_honour_if_match_in_the_same_requests() {
    let service = Service::start().await;
    let id = service.create(json!({ "value": 1 })).await;
    let tag = service.load(&id).await.header("etag").to_owned();
    service.save(&id, json!({ "data": { "value": 2 } })).await.assert_status(204);
    let current = service.load(&id).await.header("etag").to_owned();
    let record = service.record(&id).await;
    for (method, tag) in [
        ("if-match", tag.as_str()),
        ("if-match", "W/\"x\""),
        ("if-none-match", &current),
        ("if-none-match", "*"),
    ] {
        let cleared = service.operations_of(async {
            let answer = service.delete().id(&id).header(method, tag).send().await;
            answer.problem(412);
            answer
        });
        assert_eq!(cleared.await, ["UpdateItem"], "{method}: {tag}");
        service.post_renew().id(&id).header(method, tag).send().await.problem(412);
    }
    for name in ["if-match", "if-none-match"] {
        service.delete().id(&id).header(name, "unquoted").send().await.problem(400);
        service.post_renew().id(&id).header(name, "unquoted").send().await.problem(400);
        service.get().id(&id).header(name, "unquoted").send().await.problem(400);
    }
    assert_eq!(service.record(&id).await, record, "not changed");

    let renewed = service.post_renew().id(&id).header("if-match", &current).header("if-none-match", &tag);
    let id = renewed.send().await.assert_status(200).session_id();
    let cleared = service.operations_of(service.delete().id(&id).header("if-match", &current).send());
    assert_eq!(cleared.await, ["UpdateItem"]);
    service.load(&id).await.problem(404);
}

/// The caller wants the session to be gone, and it is (RFC 9110, section 13.1.1, allows a 2xx then).
#[tokio::test]
async fn a_conditional_clear_of_a_dead_session_is_204_like_any_other() {
    let service = Service::start().await;
    let id = service.create_with(json!({ "idle_timeout_seconds": 5 })).await;
    let never_issued = "bm90LWlzc3VlZC1ieS10aGlzLXNlcnZpY2UtZXZlcg".parse().unwrap();
    service.clock.advance(5);
    for condition in ["\"other\"", "*"] {
        for id in [&id, &never_issued] {
            service.delete().id(id).header("if-match", condition).send().await.assert_status(204);
            service.delete().id(id).header("if-none-match", condition).send().await.assert_status(204);
        }
    }
    service.delete().header("if-match", "\"other\"").send().await.assert_status(204);
}

#[tokio::test]
async fn a_save_honours_if_none_match() {
    let service = Service::start().await;
    let id = service.create(json!({ "value": 1 })).await;
    let tag = service.load(&id).await.header("etag").to_owned();
    let body = json!({ "data": { "value": 2 } });
    for tags in ["*", &tag, &format!("W/{tag}"), &format!("\"x\", {tag}")] {
        service.put().id(&id).header("if-none-match", tags).json(&body).send().await.problem(412);
    }
    assert_eq!(service.load(&id).await.data(), json!({ "value": 1 }));
    service.put().id(&id).header("if-none-match", "\"x\"").json(&body).send().await.assert_status(204);
    service.clear(&id).await;
    service.put().id(&id).header("if-none-match", "*").json(&body).send().await.problem(404);
}

#[tokio::test]
async fn a_load_of_known_data_is_304_and_a_use_all_the_same() {
    let service = Service::start().await;
    let id = service.create(json!({ "value": 1 })).await;
    let tag = service.load(&id).await.header("etag").to_owned();
    service.clock.advance(100);
    for tags in [&*tag, &format!("W/{tag}"), "*", &format!("\"x\", {tag}")] {
        let answer = service.get().id(&id).header("if-none-match", tags).send().await;
        assert_eq!(answer.assert_status(304).header("etag"), tag);
        assert!(answer.body.is_empty());
        assert_eq!(answer.header("cache-control"), "no-store");
    }
    let now = service.clock.now().epoch_seconds();
    assert_eq!(service.recorded(&id, "expires").await, now + 7200, "the deadline slid");
    service.get().id(&id).header("if-none-match", "\"x\"").send().await.assert_status(200);
    service.get().id(&id).header("if-match", &tag).send().await.assert_status(200);
    service.get().id(&id).header("if-match", "\"x\"").send().await.problem(412);
    service.clear(&id).await;
    service.get().id(&id).header("if-none-match", &tag).send().await.problem(404);
}
