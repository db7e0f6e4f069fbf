//! Subjects: whose session it is, which sessions a subject has, and how they end.

use aws_sdk_dynamodb::types::AttributeValue;
use dynamodb_web_session::{
    AtMaxPerSubject, Clock, Config, CreateOptions, Error, LogIn, Renewal, SessionId, Subject, Timeouts,
};
use serde_json::{Value, json};

use service::SessionService;

use crate::harness::{Answer, Service, cookies};

fn subject(text: &str) -> Subject {
    text.parse().unwrap()
}

async fn login(service: &Service, id: &SessionId, subject: &str) -> Answer {
    service.post_renew().id(id).json(&json!({ "subject": subject })).send().await
}

fn loggable(ids: &[&SessionId]) -> Vec<String> {
    ids.iter().map(|id| id.loggable().to_string()).collect()
}

#[tokio::test]
async fn a_subject_comes_back_from_create_load_and_renew() {
    let service = Service::start().await;
    let created = service.post().json(&json!({ "subject": "user/7 \u{1F36A}" })).send().await;
    assert_eq!(created.assert_status(201).json()["subject"], "user/7 \u{1F36A}");
    let id = created.session_id();
    assert_eq!(service.load(&id).await.json()["subject"], "user/7 \u{1F36A}");
    let renewed = service.renew(&id).await;
    assert_eq!(renewed.assert_status(200).json()["subject"], "user/7 \u{1F36A}");
    let anonymous = service.create(json!({})).await;
    assert_eq!(service.load(&anonymous).await.json().get("subject"), None);
}

/// A login: new ID, new data, and bound to its user, in one transaction.
#[tokio::test]
async fn a_login_binds_a_session_to_a_subject_and_replaces_its_data() {
    let service = Service::start().await;
    let old = service.create(json!({ "cart": ["apple"] })).await;
    let before = service.load(&old).await;
    service.clock.advance(100);
    let body = json!({ "subject": "alice", "data": { "cart": ["apple"], "role": "admin" } });
    service.proxy.forget();
    let renewed = service.post_renew().id(&old).header("if-match", before.header("etag")).json(&body);
    let renewed = renewed.send().await;
    assert_eq!(service.proxy.operations(), ["GetItem", "TransactWriteItems"]);
    let new = renewed.assert_status(200).session_id();
    assert_eq!(renewed.data(), body["data"]);
    assert_eq!(renewed.json()["created"], before.json()["created"]);
    assert_ne!(renewed.header("etag"), before.header("etag"));
    let loaded = service.load(&new).await;
    assert_eq!((loaded.data(), &loaded.json()["subject"]), (body["data"].clone(), &json!("alice")));
    assert_eq!(loaded.header("etag"), renewed.header("etag"));
    service.load(&old).await.problem(404);
    assert_eq!(service.list("alice").await, loggable(&[&new]));

    let again = service.post_renew().id(&new).header("if-match", before.header("etag")).json(&body);
    again.send().await.problem(412);
    assert_eq!(service.list("alice").await, loggable(&[&new]));
}

#[tokio::test]
async fn a_session_can_change_its_subject() {
    let service = Service::start().await;
    let id = login(&service, &service.create_for("alice").await, "bob").await.assert_status(200).session_id();
    assert_eq!(service.list("alice").await, [""; 0]);
    assert_eq!(service.list("bob").await, loggable(&[&id]));
    service.revoke_all("alice").await.assert_status(204);
    assert_eq!(service.load(&id).await.json()["subject"], "bob");
    service.revoke_all("bob").await.assert_status(204);
    service.load(&id).await.problem(404);
}

#[tokio::test]
async fn a_save_cannot_set_the_subject() {
    let service = Service::start().await;
    let id = service.create_for("alice").await;
    let detail = service.save(&id, json!({ "subject": "bob", "data": {} })).await.problem(400);
    assert_eq!(detail, "a save cannot change the subject; a login can");
    assert_eq!(service.load(&id).await.json()["subject"], "alice");
}

/// The browser would choose it.
#[tokio::test]
async fn in_cookie_transport_a_subject_is_refused_and_the_calls_for_operators_do_not_exist() {
    let service = Service::served(cookies()).await;
    let body = json!({ "subject": "alice" });
    let detail = service.post().by_page().json(&body).send().await.problem(400);
    assert_eq!(detail, "in cookie transport the body must not set the subject");
    let id = service.post().by_page().send().await.assert_status(201).cookie_id();
    service.post_renew().by_page().cookie(&id).json(&body).send().await.problem(400);
    let renew = service.post_renew().by_page().cookie(&id).json(&json!({ "data": { "a": 1 } }));
    assert_eq!(renew.send().await.assert_status(200).data(), json!({ "a": 1 }));
    for call in [service.post_list(), service.post_revoke()] {
        call.by_page().json(&body).send().await.assert_status(404);
    }
}

#[tokio::test]
async fn sessions_without_a_subject_and_use_of_those_with_one_cost_what_they_did() {
    let service = Service::start().await;
    let id = service.create_for("alice").await;
    let data = json!({ "data": { "a": 1 } });
    assert_eq!(service.operations_of(service.post().send()).await, ["PutItem"]);
    let create = service.post().json(&json!({ "subject": "alice" })).send();
    assert_eq!(service.operations_of(create).await, ["TransactWriteItems"]);
    assert_eq!(service.operations_of(service.load(&id)).await, ["GetItem"]);
    assert_eq!(service.operations_of(service.save(&id, data)).await, ["UpdateItem"]);
    let idle = json!({ "idle_timeout_seconds": 60 });
    let operations = service.operations_of(service.save(&id, idle)).await;
    assert_eq!(operations, ["UpdateItem", "GetItem", "TransactWriteItems"], "the list has the timeouts");
    let anonymous = service.create(json!({})).await;
    assert_eq!(service.operations_of(service.clear(&anonymous)).await, ["UpdateItem"]);
    assert_eq!(service.operations_of(service.renew(&id)).await, ["GetItem", "TransactWriteItems"]);
    let id = service.create_for("bob").await;
    let clear = service.operations_of(service.clear(&id)).await;
    assert_eq!(clear, ["UpdateItem", "UpdateItem"], "it leaves its list at once");
    service.create_for("bob").await;
    let list = service.post_list().json(&json!({ "subject": "bob" })).send();
    assert_eq!(service.operations_of(list).await, ["GetItem"]);
    service.create_for("bob").await;
    let revoke = service.operations_of(service.revoke_all("bob")).await;
    assert_eq!(revoke, ["GetItem", "UpdateItem", "UpdateItem", "UpdateItem", "UpdateItem"], "3 + n");
    assert_eq!(service.operations_of(service.revoke_all("bob")).await, ["GetItem"]);
    assert_eq!(service.operations_of(service.revoke_all("carol")).await, ["GetItem"]);
}

#[tokio::test]
async fn a_list_shows_live_sessions_and_no_ids() {
    let service = Service::start().await;
    let created = service.clock.now();
    let first = service.create_for("alice").await;
    let expiring = service.create_with(json!({ "subject": "alice", "idle_timeout_seconds": 100 })).await;
    service.clock.advance(50);
    let second = service.create_for("alice").await;
    let cleared = service.create_for("alice").await;
    service.clear(&cleared).await;
    service.create_for("bob").await;
    service.clock.advance(61); // the list says of the expiring one that it may live ten seconds longer
    service.load(&first).await.assert_status(200);

    let answer = service.post_list().json(&json!({ "subject": "alice" })).send().await;
    assert_eq!(answer.header("cache-control"), "no-store");
    let mut sessions = answer.assert_status(200).json()["sessions"].clone();
    for session in sessions.as_array_mut().unwrap() {
        let name = session.as_object_mut().unwrap().remove("name").unwrap();
        assert_eq!(name.as_str().unwrap().len(), 16);
    }
    let at = |seconds: u64| created.plus_seconds(seconds).to_string();
    // Both are exact to a tenth of the idle timeout: 720 seconds.
    let expected = json!([
        {
            "loggable_session_id": second.loggable().as_str(),
            "created": at(50), "last_used": at(50), "expires": at(7970),
        },
        {
            "loggable_session_id": first.loggable().as_str(),
            "created": at(0), "last_used": at(0), "expires": at(7920),
        },
    ]);
    assert_eq!(sessions, expected, "the last used first; {expiring:?} has expired");
    for id in [&first, &second, &cleared] {
        assert!(!answer.body.contains(id.expose()));
    }
    assert_eq!(service.list("carol").await, [""; 0]);
}

#[tokio::test]
async fn a_revocation_ends_the_sessions_of_one_subject() {
    let service = Service::start().await;
    let (one, other) = (service.create_for("alice").await, service.create_for("alice").await);
    let renewed = service.renew(&service.create_for("alice").await).await.session_id();
    let of_bob = service.create_for("bob").await;
    service.revoke_all("alice").await.assert_status(204);
    for id in [&one, &other, &renewed] {
        service.load(id).await.problem(404);
        service.save(id, json!({ "data": {} })).await.problem(404);
        service.renew(id).await.problem(404);
        assert!(!service.record(id).await.unwrap().contains_key("data"));
    }
    service.load(&of_bob).await.assert_status(200);
    let after = service.create_for("alice").await;
    assert_eq!(service.list("alice").await, loggable(&[&after]));
    let answer = service.revoke_all("carol").await;
    assert_eq!((answer.status.as_u16(), answer.body.as_str()), (204, ""));
}

/// After a password change.
#[tokio::test]
async fn a_revocation_can_except_one_session() {
    let service = Service::start().await;
    let (kept, ended) = (service.create_for("alice").await, service.create_for("alice").await);
    let body = json!({ "subject": "alice", "except": kept.loggable().as_str() });
    service.post_revoke().json(&body).send().await.assert_status(204);
    service.load(&kept).await.assert_status(200);
    service.load(&ended).await.problem(404);
    assert_eq!(service.list("alice").await, loggable(&[&kept]));
    let renewed = service.renew(&kept).await.assert_status(200).session_id();
    assert_eq!(service.list("alice").await, loggable(&[&renewed]));
}

/// What an operator has from a log may be the ID of long ago.
#[tokio::test]
async fn one_session_can_be_revoked_by_the_loggable_id_that_it_has_or_had() {
    let service = Service::start().await;
    for first in [service.create_for("alice").await, service.create(json!({})).await] {
        let other = service.create_for("alice").await;
        let second = service.renew(&first).await.session_id();
        service.clock.advance(600);
        let third = login(&service, &second, "alice").await.session_id();
        service.clock.advance(600);
        let body = json!({ "loggable_session_id": first.loggable().as_str() });
        service.post_revoke().json(&body).send().await.assert_status(204);
        service.load(&third).await.problem(404);
        service.load(&other).await.assert_status(200);
        service.post_revoke().json(&body).send().await.assert_status(204);
        assert_eq!(service.list("alice").await, loggable(&[&other]));
        service.clear(&other).await;
    }
    let unknown = json!({ "loggable_session_id": "0".repeat(128) });
    service.post_revoke().json(&unknown).send().await.assert_status(204);
    let anonymous = service.create(json!({})).await;
    let body = json!({ "loggable_session_id": anonymous.loggable().as_str() });
    service.post_revoke().json(&body).send().await.assert_status(204);
    service.load(&anonymous).await.problem(404);
}

/// The ID was known before the login, perhaps to an attacker who had planted it.
#[tokio::test]
async fn a_clear_of_an_id_from_before_a_login_ends_the_session_for_a_minute_only() {
    let service = Service::start().await;
    for (seconds, expected) in [(60, 404), (61, 200)] {
        let planted = service.create(json!({})).await;
        let renewed = service.renew(&planted).await.session_id();
        let user = login(&service, &renewed, "alice").await.session_id();
        service.clock.advance(seconds);
        service.clear(&planted).await.assert_status(204);
        service.clear(&renewed).await.assert_status(204);
        assert_eq!(service.load(&user).await.status, expected, "{seconds}");
    }
}

/// The user's own earlier IDs: a holder of one was in the session.
#[tokio::test]
async fn a_clear_of_an_id_from_before_a_renewal_ends_the_session_at_any_time() {
    let service = Service::start().await;
    for first in [service.create_for("alice").await, service.create(json!({})).await] {
        let second = service.renew(&first).await.session_id();
        let third = service.renew(&second).await.session_id();
        service.clock.advance(3000);
        service.clear(&first).await.assert_status(204);
        service.load(&third).await.problem(404);
    }
    assert_eq!(service.list("alice").await, [""; 0]);
}

#[tokio::test]
async fn the_list_is_one_item_with_an_attribute_for_each_session() {
    let service = Service::start().await;
    let timeouts =
        json!({ "subject": "alice", "idle_timeout_seconds": 500, "absolute_timeout_seconds": 1000 });
    let id = service.create_with(timeouts).await;
    let item = service.list_item("alice").await.unwrap();
    let mut names: Vec<_> = item.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names[..4], ["expires", "id", "live", "prune_at"]);
    assert!(names[4].starts_with("s_") && names[4].len() == 18, "{names:?}");
    let now = service.clock.now();
    let entry = item[names[4]].as_m().unwrap();
    let at = |seconds| AttributeValue::N(now.plus_seconds(seconds).epoch_seconds().to_string());
    let expected = [("a", at(1000)), ("u", at(550)), ("c", at(0)), ("i", AttributeValue::N("500".into()))];
    for (name, value) in expected {
        assert_eq!(entry[name], value, "{name}");
    }
    assert_eq!(entry["k"].as_b().unwrap().as_ref().len(), 64);
    let record = service.record(&id).await.unwrap();
    assert_eq!(item["live"].as_bs().unwrap(), &[record["chain"].as_b().unwrap().clone()]);
    assert_eq!(record["subject"], AttributeValue::S("alice".into()));
    let expires =
        async || service.list_item("alice").await.unwrap()["expires"].as_n().unwrap().parse().unwrap();
    let before: u64 = expires().await;
    assert!(before >= now.epoch_seconds() + 2_592_000);
    service.revoke_all("alice").await.assert_status(204);
    let item = service.list_item("alice").await.unwrap();
    assert!(!item.contains_key("live") && !item.keys().any(|name| name.starts_with("s_")), "{item:?}");
    assert_eq!(expires().await, before, "it never becomes earlier");
}

/// No ID has its key. If its attributes stood under the key of a session, they would still be no session.
#[tokio::test]
async fn a_list_is_no_session() {
    let service = Service::start().await;
    let id = service.create_for("alice").await;
    let mut item = service.list_item("alice").await.unwrap();
    item.insert("id".into(), AttributeValue::S(id.loggable().to_string()));
    let put = service.dynamodb.put_item().table_name(&service.table).set_item(Some(item.clone()));
    put.send().await.unwrap();
    service.load(&id).await.problem(500);
    service.renew(&id).await.problem(500);
    let save = service.save(&id, json!({ "data": {} })).await.status.as_u16();
    assert!([404, 500].contains(&save), "{save}");
    assert_eq!(service.record(&id).await.unwrap(), item);
    assert!(
        item["id"].as_s().unwrap().parse::<SessionId>().is_ok(),
        "a hash is well-formed, and still no ID"
    );
    let key = service.list_item("alice").await.unwrap()["id"].as_s().unwrap().clone();
    service.get().header("x-session-id", &key).send().await.problem(404);
}

/// Sessions that have expired go when there are seven, without a read.
#[tokio::test]
async fn expired_sessions_leave_the_list_with_a_later_login() {
    let service = Service::start().await;
    for timeout in ["absolute_timeout_seconds", "idle_timeout_seconds", "idle_timeout_seconds"] {
        service.create_with(json!({ "subject": "alice", timeout: 100 })).await;
    }
    service.clock.advance(111); // the list says of an idle timeout that it may be a tenth longer
    for _ in 0..4 {
        service.create_for("alice").await;
    }
    let entries = async || {
        service.list_item("alice").await.unwrap().keys().filter(|name| name.starts_with("s_")).count()
    };
    assert_eq!(entries().await, 7);
    let create = service.post().json(&json!({ "subject": "alice" })).send();
    let operations = service.operations_of(create).await;
    assert_eq!(operations, ["TransactWriteItems", "UpdateItem", "TransactWriteItems"]);
    assert_eq!(entries().await, 5);
    assert_eq!(service.list("alice").await.len(), 5);
    for _ in 0..3 {
        let create = service.post().json(&json!({ "subject": "alice" })).send();
        assert_eq!(service.operations_of(create).await, ["TransactWriteItems"], "until it has doubled");
    }
}

/// Pruning takes two requests more, for each time that the list has doubled.
#[tokio::test]
async fn pruning_is_seldom() {
    let service = Service::start().await;
    service.proxy.forget();
    for _ in 0..100 {
        service.create_with(json!({ "subject": "alice", "absolute_timeout_seconds": 100 })).await;
        service.clock.advance(30);
    }
    let more = service.proxy.operations().len() - 100;
    assert!(more <= 50, "{more}");
    assert!(service.list_item("alice").await.unwrap().len() <= 4 + 8);
}

fn at_most(max_per_subject: usize, at_max_per_subject: AtMaxPerSubject) -> Config {
    Config { max_per_subject, at_max_per_subject, ..Config::default() }
}

#[tokio::test]
async fn one_more_session_than_the_maximum_is_409() {
    let service = Service::with(at_most(2, AtMaxPerSubject::Refuse)).await;
    let (one, _) = (service.create_for("alice").await, service.create_for("alice").await);
    let refused = service.post().json(&json!({ "subject": "alice" })).send().await;
    assert_eq!(refused.problem(409), "the subject has reached its maximum of 2 sessions");
    let anonymous = service.create(json!({})).await;
    login(&service, &anonymous, "alice").await.problem(409);
    assert!(service.load(&anonymous).await.json().get("subject").is_none(), "it is as it was");
    assert_eq!(service.list("alice").await.len(), 2);
    let renewed = service.renew(&one).await.assert_status(200).session_id();
    login(&service, &renewed, "alice").await.assert_status(200);
    service.create_for("bob").await;

    let ended = service.list("alice").await.remove(0);
    service.post_revoke().json(&json!({ "loggable_session_id": ended })).send().await.assert_status(204);
    let id = login(&service, &anonymous, "alice").await.assert_status(200).session_id();
    assert_eq!(service.load(&id).await.json()["subject"], "alice");
}

#[tokio::test]
async fn one_more_session_than_the_maximum_ends_the_one_that_was_used_longest_ago() {
    let service = Service::with(at_most(3, AtMaxPerSubject::EndOldest)).await;
    let mut ids = Vec::new();
    for _ in 0..6 {
        // The timeouts differ, so that the oldest is not the one that ends first.
        let absolute = 10_000 - 1000 * ids.len();
        let body = json!({ "subject": "alice", "absolute_timeout_seconds": absolute });
        ids.push(service.create_with(body).await);
        service.clock.advance(1);
    }
    let mut listed = service.list("alice").await;
    listed.reverse();
    assert_eq!(listed, loggable(&ids.iter().skip(3).collect::<Vec<_>>()));
    service.load(&ids[2]).await.problem(404);
    // It also applies to a login by renewal, and to a maximum that was lowered.
    let mut config = service.sessions.config().clone();
    config.max_per_subject = 1;
    let sessions = service.other_manager(config);
    let anonymous = service.create(json!({})).await;
    let login = sessions.log_in::<Value>(&anonymous, subject("alice"), LogIn::default()).await.unwrap();
    assert_eq!(service.list("alice").await, loggable(&[login.session.id()]));
}

/// Neither the creation, which a login keeps from an old cart, nor the deadline says which session was used longest ago.
#[tokio::test]
async fn the_last_use_decides_and_neither_the_creation_nor_the_deadline() {
    let service = Service::with(at_most(2, AtMaxPerSubject::EndOldest)).await;
    let cart = service.create(json!({})).await;
    service.clock.advance(3600);
    let month = json!({
        "subject": "alice", "idle_timeout_seconds": 2_592_000, "absolute_timeout_seconds": 2_592_000,
    });
    let month = service.create_with(month).await;
    service.clock.advance(3000);
    let tablet = login(&service, &cart, "alice").await.session_id();
    service.clock.advance(60);
    let phone = service.create_for("alice").await;
    service.load(&month).await.problem(404);
    assert_eq!(service.list("alice").await, loggable(&[&phone, &tablet]));
    // The first of them is used again.
    service.clock.advance(1500);
    service.load(&tablet).await.assert_status(200);
    service.clock.advance(60);
    let laptop = service.create_for("alice").await;
    service.load(&phone).await.problem(404);
    assert_eq!(service.list("alice").await, loggable(&[&laptop, &tablet]));
}

/// A user whose browser has lost the session must not be locked out by it.
#[tokio::test]
async fn cleared_and_expired_sessions_do_not_count_towards_the_maximum() {
    for at_max in [AtMaxPerSubject::Refuse, AtMaxPerSubject::EndOldest] {
        let service = Service::with(at_most(2, at_max)).await;
        let cleared = service.create_for("alice").await;
        let live = service.create_for("alice").await;
        service.clear(&cleared).await;
        let idle = service.create_with(json!({ "subject": "alice", "idle_timeout_seconds": 100 })).await;
        service.clock.advance(110);
        let another = service.create_for("alice").await;
        assert_eq!(service.list("alice").await, loggable(&[&another, &live]));
        service.load(&idle).await.problem(404);
    }
}

/// A list must not lose a session that lives longer than it did.
#[tokio::test]
async fn a_save_of_another_absolute_timeout_moves_the_deadline_in_the_list() {
    let service = Service::start().await;
    let created = service.clock.now();
    let body = json!({ "subject": "alice", "data": { "a": 1 }, "absolute_timeout_seconds": 100 });
    let id = service.create_with(body).await;
    let deadline = async || {
        let item = service.list_item("alice").await.unwrap();
        let (_, entry) = item.iter().find(|(name, _)| name.starts_with("s_")).unwrap();
        entry.as_m().unwrap()["a"].as_n().unwrap().parse::<u64>().unwrap() - created.epoch_seconds()
    };
    let tag = service.load(&id).await.header("etag").to_owned();
    service.proxy.forget();
    let saved = service.save(&id, json!({ "absolute_timeout_seconds": 5000 })).await;
    assert_eq!(service.proxy.operations(), ["UpdateItem", "GetItem", "TransactWriteItems"]);
    assert_eq!(saved.assert_status(204).header("etag"), tag);
    assert_eq!(deadline().await, 5000);
    let body = json!({ "data": { "a": 2 }, "absolute_timeout_seconds": 6000, "idle_timeout_seconds": 4000 });
    let saved = service.put().id(&id).header("if-match", &tag).json(&body).send().await;
    assert_eq!(deadline().await, 6000);
    assert_eq!(service.load(&id).await.header("etag"), saved.assert_status(204).header("etag"));
    let stale =
        service.put().id(&id).header("if-match", &tag).json(&json!({ "absolute_timeout_seconds": 7000 }));
    stale.send().await.problem(412);
    assert_eq!(deadline().await, 6000);
    service.clock.advance(3999);
    for _ in 0..9 {
        service.create_for("alice").await;
    }
    assert_eq!(service.list("alice").await.len(), 10, "pruning has left it");
    service.revoke_all("alice").await.assert_status(204);
    service.load(&id).await.problem(404);
    service.save(&id, json!({ "absolute_timeout_seconds": 5000 })).await.problem(404);
}

/// A lower maximum must not let TTL delete the list of sessions that were created before.
#[tokio::test]
async fn the_list_outlives_its_sessions_when_the_maximum_timeout_is_lowered() {
    let service = Service::start().await;
    let month = CreateOptions {
        idle_timeout_seconds: Some(2_592_000),
        absolute_timeout_seconds: Some(2_592_000),
        subject: Some(subject("alice")),
        ..CreateOptions::default()
    };
    let long = service.sessions.create_with(json!({}), month).await.unwrap();
    let expires =
        async || service.list_item("alice").await.unwrap()["expires"].as_n().unwrap().parse::<u64>().unwrap();
    let config = Config { max_timeout_seconds: 3600, ..service.sessions.config().clone() };
    let sessions = service.other_manager(config);
    let short = sessions.create_for(json!({}), subject("alice")).await.unwrap();
    assert!(expires().await >= long.absolute_deadline().epoch_seconds());
    sessions.renew::<Value>(short.id()).await.unwrap().unwrap();
    assert!(expires().await >= long.absolute_deadline().epoch_seconds());
    let mut long = sessions.load::<Value>(long.id()).await.unwrap().unwrap();
    long.timeouts.absolute_seconds = 3000;
    long.timeouts.idle_seconds = 3000;
    sessions.save(&mut long).await.unwrap();
    assert!(expires().await >= long.absolute_deadline().epoch_seconds());
}

/// A login of a session that was created when longer timeouts were allowed.
#[tokio::test]
async fn a_list_outlives_a_session_that_was_created_under_a_longer_maximum() {
    let service = Service::start().await;
    let month = Timeouts { idle_seconds: 2_592_000, absolute_seconds: 2_592_000 };
    let long = service.sessions.create_with(json!({}), month).await.unwrap();
    let config = Config { max_timeout_seconds: 3600, ..service.sessions.config().clone() };
    let sessions = service.other_manager(config);
    let login = sessions.log_in::<Value>(long.id(), subject("alice"), LogIn::default()).await.unwrap();
    let expires =
        service.list_item("alice").await.unwrap()["expires"].as_n().unwrap().parse::<u64>().unwrap();
    assert!(expires >= login.session.absolute_deadline().epoch_seconds());
}

/// The dead sessions are found wherever they are in the list, and the oldest is the oldest of all.
#[tokio::test]
async fn a_full_list_of_hundreds_is_searched_to_its_end() {
    for at_max in [AtMaxPerSubject::Refuse, AtMaxPerSubject::EndOldest] {
        let service = Service::with(at_most(150, at_max)).await;
        let create = async |absolute: u64| {
            service.create_with(json!({ "subject": "alice", "absolute_timeout_seconds": absolute })).await
        };
        let oldest = create(50_000).await;
        service.clock.advance(1);
        let mut ids = Vec::new();
        for n in 0..149 {
            ids.push(create(10_000 + n).await);
        }
        service.clear(&ids[140]).await;
        create(10_000).await;
        let refused = service.post().json(&json!({ "subject": "alice" })).send().await;
        match at_max {
            AtMaxPerSubject::Refuse => drop(refused.problem(409)),
            AtMaxPerSubject::EndOldest => service.load(&oldest).await.problem(404).clear(),
        }
        assert_eq!(service.list("alice").await.len(), 150);
        service.load(&ids[0]).await.assert_status(200);
    }
}

/// Back ends of a deployment for browsers sign their calls, and send no header that only browsers send.
#[tokio::test]
async fn list_and_revoke_need_no_header_of_a_browser() {
    let service = Service::start().await;
    let settings = cookies();
    let served = SessionService { sessions: service.sessions.clone(), settings };
    let request = || {
        let mut request = lambda_http::Request::new(r#"{"subject":"alice"}"#.into());
        *request.method_mut() = lambda_http::http::Method::POST;
        request.headers_mut().insert("content-type", "application/json".parse().unwrap());
        request
    };
    assert_eq!(list::handle(&served, request()).await.status(), 200);
    assert_eq!(revoke::handle(&served, request()).await.status(), 204);
    assert_eq!(create::handle(&served, request()).await.status(), 403);
}

#[tokio::test]
async fn the_crate_has_the_same_verbs() {
    let service = Service::with(at_most(2, AtMaxPerSubject::Refuse)).await;
    let sessions = &service.sessions;
    let alice = subject("alice");
    let created = sessions.create_for(json!({ "n": 1 }), alice.clone()).await.unwrap();
    assert_eq!(created.subject(), Some(&alice));
    let anonymous = sessions.create(json!({})).await.unwrap();
    assert_eq!(anonymous.subject(), None);
    let logged_in = sessions.log_in::<Value>(&anonymous, alice.clone(), LogIn::default()).await.unwrap();
    assert!(!logged_in.is_new);
    let renewed = logged_in.session;
    assert_eq!(renewed.subject(), Some(&alice));
    let renewal = Renewal { data: Some(json!({ "n": 2 })), ..Renewal::default() };
    let renewed = sessions.renew_with(renewed.id(), renewal).await.unwrap().unwrap();
    assert_eq!((&renewed.data, renewed.subject()), (&json!({ "n": 2 }), Some(&alice)));
    let listed = sessions.sessions_of(&alice).await.unwrap();
    assert_eq!(listed.len(), 2);
    assert_eq!(listed[0].created, created.created());
    let error = sessions.create_for(json!({}), alice.clone()).await.unwrap_err();
    assert!(matches!(error, Error::TooManySessions { limit: 2 }), "{error:?}");
    sessions.revoke_all(&alice, Some(renewed.loggable_id())).await.unwrap();
    assert!(sessions.load::<Value>(created.id()).await.unwrap().is_none());
    assert!(sessions.load::<Value>(renewed.id()).await.unwrap().is_some());
    sessions.revoke(renewed.loggable_id()).await.unwrap();
    assert!(sessions.load::<Value>(renewed.id()).await.unwrap().is_none());
    let too_large = Renewal { data: Some(json!("x".repeat(300_000))), ..Renewal::default() };
    let error = sessions.renew_with(anonymous.id(), too_large).await.unwrap_err();
    assert!(matches!(error, Error::DataTooLarge { .. }), "{error:?}");
}
