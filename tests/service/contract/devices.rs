//! Devices: what a user recognises a session by, the end of one of them, and how long ago the user logged in.

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use dynamodb_web_session::{
    Clock, Config, Device, Error, LogIn, MAX_CONTEXT_BYTES, MAX_LABEL_BYTES, MAX_PER_SUBJECT, Subject,
    SubjectChange, Update,
};
use serde_json::{Value, json};
use service::log::LevelFilter;

use crate::harness::{Action, Answer, Log, Service, cookies};

const LAPTOP: &str = "Firefox on Linux";

fn alice() -> Subject {
    "alice".parse().unwrap()
}

async fn listed(service: &Service) -> Vec<Value> {
    let list = service.post_list().json(&json!({ "subject": "alice" })).send().await;
    list.assert_status(200).json()["sessions"].as_array().unwrap().clone()
}

async fn login(service: &Service, body: Value) -> Answer {
    service.post_renew().json(&body).send().await
}

#[tokio::test]
async fn a_label_and_a_context_are_in_the_session_and_in_the_list() {
    let service = Service::start().await;
    let context = json!({ "address": "192.0.2.1", "country": "NZ" });
    let body = json!({ "subject": "alice", "label": LAPTOP, "context": context });
    let id = service.post().json(&body).send().await.assert_status(201).session_id();
    service.proxy.forget();
    let [session] = &listed(&service).await[..] else { panic!("one session") };
    assert_eq!(service.proxy.operations(), ["GetItem"]);
    assert_eq!((&session["label"], &session["context"]), (&json!(LAPTOP), &context));
    assert_eq!(session["last_used"], session["created"]);
    let loaded = service.load(&id).await;
    assert_eq!((&loaded.json()["label"], &loaded.json()["context"]), (&json!(LAPTOP), &context));
    let none = service.create_for("bob").await;
    let none = service.load(&none).await.json();
    assert_eq!((none.get("label"), none.get("context")), (None, None));
}

#[tokio::test]
async fn a_login_sets_them_and_a_renewal_keeps_them_with_the_name() {
    let service = Service::start().await;
    let anonymous = service.create_with(json!({ "label": "old", "context": 1 })).await;
    let body = json!({ "subject": "alice", "label": LAPTOP });
    let first = service.post_renew().id(&anonymous).json(&body).send().await.assert_status(200).session_id();
    let before = listed(&service).await;
    assert_eq!((&before[0]["label"], &before[0]["context"]), (&json!(LAPTOP), &json!(1)));
    let renewed = service.renew(&first).await.assert_status(200).session_id();
    let after = listed(&service).await;
    assert_eq!((&after[0]["label"], &after[0]["context"]), (&json!(LAPTOP), &json!(1)));
    assert_eq!(after[0]["name"], before[0]["name"]);
    assert_ne!(after[0]["loggable_session_id"], before[0]["loggable_session_id"]);
    // A login of the same user gives the session a new ID, and may bring another label.
    let again = json!({ "subject": "alice", "label": "new" });
    let again = service.post_renew().id(&renewed).json(&again).send().await.assert_status(200).session_id();
    assert_eq!((&listed(&service).await[0]["label"], listed(&service).await.len()), (&json!("new"), 1));
    let bob = service.post_renew().id(&again).json(&json!({ "subject": "bob" })).send().await;
    assert_eq!(bob.assert_status(200).json()["label"], "new");
}

#[tokio::test]
async fn a_save_changes_them_with_and_without_a_subject_and_an_empty_one_removes_them() {
    let service = Service::start().await;
    for body in [json!({}), json!({ "subject": "alice" })] {
        let id = service.create_with(body).await;
        service.save(&id, json!({ "label": LAPTOP, "context": { "a": 1 } })).await.assert_status(204);
        service.save(&id, json!({ "data": { "b": 2 } })).await.assert_status(204);
        let loaded = service.load(&id).await;
        assert_eq!(
            (&loaded.json()["label"], &loaded.json()["context"]),
            (&json!(LAPTOP), &json!({ "a": 1 }))
        );
        assert_eq!(loaded.data(), json!({ "b": 2 }));
    }
    let id = service.create_with(json!({ "subject": "alice" })).await;
    service.save(&id, json!({ "label": LAPTOP })).await.assert_status(204);
    assert!(listed(&service).await.iter().all(|session| session["label"] == LAPTOP));
    service.save(&id, json!({ "context": { "b": 1 } })).await.assert_status(204);
    service.save(&id, json!({ "label": "" })).await.assert_status(204);
    let session = service.load(&id).await.json();
    assert_eq!((session.get("label"), &session["context"]), (None, &json!({ "b": 1 })));
    service.save(&id, json!({ "context": null })).await.assert_status(204);
    assert_eq!(service.load(&id).await.json().get("context"), None);
    assert_eq!(listed(&service).await.iter().filter(|session| session.get("label").is_some()).count(), 1);
}

/// The list of the new subject gets what the record has, which another save may have changed meanwhile.
#[tokio::test]
async fn a_change_of_the_subject_takes_them_along_and_is_a_login() {
    let service = Service::start().await;
    let id = service.create_with(json!({ "subject": "bob", "label": LAPTOP })).await;
    service.clock.advance(60);
    let login = service.clock.now();
    for (subject, at) in [
        (SubjectChange::To(alice()), Some(login)),
        (SubjectChange::Keep, Some(login)),
        (SubjectChange::Remove, None),
    ] {
        let update = Update { data: Some(json!({})), subject, ..Update::default() };
        service.sessions.update(&id, update).await.unwrap();
        let loaded = service.sessions.load::<Value>(&id).await.unwrap().unwrap();
        assert_eq!((loaded.authenticated_at(), loaded.device().label()), (at, Some(LAPTOP)));
        assert_eq!(listed(&service).await.len(), usize::from(at.is_some()));
        service.clock.advance(1);
    }
}

#[tokio::test]
async fn bad_ones_are_refused_and_cookies_carry_none() {
    let service = Service::start().await;
    let id = service.create_for("alice").await;
    for (bad, detail) in [
        (json!({ "label": "a".repeat(65) }), "`label` must be a text of at most 64 bytes"),
        (json!({ "context": "a".repeat(127) }), "`context` must be JSON of at most 128 bytes"),
    ] {
        for answer in [service.post().json(&bad).send().await, service.save(&id, bad.clone()).await] {
            assert_eq!(answer.problem(400), detail);
        }
    }
    for bad in [json!({ "label": 1 }), json!({ "label": null }), json!({ "label": "a", "other": 1 })] {
        service.save(&id, bad).await.problem(400);
    }
    service.post().text(r#"{"context":"\ud800"}"#).send().await.problem(400);
    let renewal = service.post_renew().id(&id).json(&json!({ "label": LAPTOP })).send().await;
    assert!(renewal.problem(400).contains("with `subject`"));
    let browsers = Service::served(cookies()).await;
    for body in [json!({ "label": LAPTOP }), json!({ "context": 1 })] {
        let refused = browsers.post().by_page().json(&body).send().await.problem(400);
        assert_eq!(refused, "in cookie transport the body must not set the label or the context");
    }
}

/// They are data, and come back as they were sent. No log has them.
#[tokio::test]
async fn hostile_labels_are_data_and_in_no_log() {
    let service = Service::start().await;
    let log = Log::at(LevelFilter::TRACE);
    for label in ["<script>alert(1)</script>", "a\nb\r\n\0", "\u{202e}secret", "'; DROP", "\u{1F36A}"] {
        let body = json!({ "subject": "alice", "label": label, "context": label });
        let id = service.create_with(body).await;
        let loaded = service.load(&id).await.json();
        assert_eq!((&loaded["label"], &loaded["context"]), (&json!(label), &json!(label)));
        service.save(&id, json!({ "label": format!("{label}2") })).await.assert_status(204);
        let list = listed(&service).await;
        assert!(list.iter().any(|session| session["label"] == format!("{label}2")));
        service.revoke_all("alice").await.assert_status(204);
    }
    let lines = json!(log.take()).to_string();
    assert!(lines.contains("saved"), "{lines}");
    for part in ["script", "DROP", "secret", "\u{1F36A}"] {
        assert!(!lines.contains(part), "{lines}");
    }
}

#[tokio::test]
async fn a_key_encrypts_them_in_the_table_and_without_it_sessions_can_still_be_ended() {
    let key = Some("0123456789abcdef0123456789abcdef".parse().unwrap());
    let service = Service::with(Config { label_key: key, ..Config::default() }).await;
    let body = json!({ "subject": "alice", "label": LAPTOP, "context": { "city": "Wellington" } });
    let id = service.create_with(body).await;
    let stored = format!("{:?} {:?}", service.record(&id).await, service.list_item("alice").await);
    assert!(!stored.contains("Firefox") && !stored.contains("Wellington"), "{stored}");
    assert_eq!(listed(&service).await[0]["label"], LAPTOP);
    assert_eq!(service.load(&id).await.json()["context"], json!({ "city": "Wellington" }));
    let keyless = Config { label_key: None, ..service.sessions.config().clone() };
    let (without, _) = service.caller_with(keyless).await;
    let [session] = &without.sessions_of(&alice()).await.unwrap()[..] else { panic!("one session") };
    assert_eq!(session.device, Device::default());
    assert!(without.revoke_named(&alice(), &session.name).await.unwrap());
    service.load(&id).await.problem(404);
}

#[tokio::test]
async fn one_session_of_a_user_is_ended_by_its_name_also_after_a_renewal() {
    let service = Service::start().await;
    let (laptop, phone) = (service.create_for("alice").await, service.create_for("alice").await);
    let name = listed(&service)
        .await
        .iter()
        .find(|session| session["loggable_session_id"] == phone.loggable().as_str())
        .map(|session| session["name"].clone())
        .unwrap();
    let phone = service.renew(&phone).await.assert_status(200).session_id();
    let revoke = async |subject: &str, name: &Value| {
        let body = json!({ "subject": subject, "name": name });
        service.post_revoke().json(&body).send().await.assert_status(204);
    };
    // Of another user, of nobody, and no name at all: nothing ends.
    revoke("bob", &name).await;
    revoke("alice", &json!("AAAAAAAAAAAAAAAA")).await;
    service.load(&phone).await.assert_status(200);
    revoke("alice", &name).await;
    service.load(&phone).await.problem(404);
    service.load(&laptop).await.assert_status(200);
    assert_eq!(listed(&service).await.len(), 1);
    revoke("alice", &name).await;
    for body in [
        json!({ "subject": "alice", "name": name, "except": laptop.loggable().as_str() }),
        json!({ "name": name }),
        json!({ "subject": "alice", "name": 1 }),
        json!({ "subject": "alice", "name": "../../etc" }),
    ] {
        service.post_revoke().json(&body).send().await.problem(400);
    }
}

#[tokio::test]
async fn a_session_knows_when_its_user_last_logged_in() {
    let service = Service::start().await;
    let at = |answer: &Answer| answer.json().get("authenticated_at").cloned();
    let anonymous = service.create(json!({})).await;
    assert_eq!(at(&service.load(&anonymous).await), None);
    service.clock.advance(60);
    let answer = service.post_renew().id(&anonymous).json(&json!({ "subject": "alice" })).send().await;
    let (id, first) = (answer.session_id(), at(&answer).unwrap());
    assert_ne!(first, answer.json()["created"]);
    service.clock.advance(60);
    // A renewal keeps it, and a save cannot set it.
    let id = service.renew(&id).await.assert_status(200).session_id();
    service.save(&id, json!({ "data": { "authenticated_at": "now" } })).await.assert_status(204);
    service.save(&id, json!({ "authenticated_at": "2030-01-01T00:00:00Z" })).await.problem(400);
    assert_eq!(at(&service.load(&id).await), Some(first.clone()));
    // The same user once more: with a new ID, and without.
    let again = service.post_renew().id(&id).json(&json!({ "subject": "alice" })).send().await;
    let second = at(&again).unwrap();
    assert_ne!(second, first);
    let id = again.session_id();
    service.clock.advance(60);
    service.sessions.confirm_login(&id).await.unwrap();
    let loaded = service.sessions.load::<Value>(&id).await.unwrap().unwrap();
    assert_ne!(json!(loaded.authenticated_at().unwrap().to_string()), second);
    service.clock.advance(600);
    assert!(service.sessions.is_logged_in_within(&loaded, 600));
    service.clock.advance(1);
    assert!(!service.sessions.is_logged_in_within(&loaded, 600));
    let anonymous = service.create(json!({})).await;
    let refused = service.sessions.confirm_login(&anonymous).await;
    assert!(matches!(refused, Err(Error::NotFound(_))), "{refused:?}");
    service.clear(&id).await;
    assert!(matches!(service.sessions.confirm_login(&id).await, Err(Error::NotFound(_))));
    let new = login(&service, json!({ "subject": "bob" })).await;
    assert_eq!(at(&new), Some(new.json()["created"].clone()));
}

/// What is left of an ended session says nothing about its user's devices.
#[tokio::test]
async fn a_tombstone_has_no_label() {
    let service = Service::start().await;
    let body = json!({ "subject": "alice", "label": LAPTOP, "context": { "a": 1 } });
    let (cleared, renewed) = (service.create_with(body.clone()).await, service.create_with(body).await);
    service.clear(&cleared).await;
    service.renew(&renewed).await;
    for id in [cleared, renewed] {
        let record = service.record(&id).await.unwrap();
        for attribute in ["label", "context", "authenticated"] {
            assert!(!record.contains_key(attribute), "{record:?}");
        }
    }
}

/// A renewal writes a new record, and must not undo a save that came between.
#[tokio::test]
async fn a_label_that_is_saved_while_the_session_is_renewed_lasts() {
    let service = Service::start().await;
    let id = service.create_with(json!({ "subject": "alice", "label": "before" })).await;
    let (other, _) = service.caller().await;
    let (old, device) = (id.clone(), Device::default().with_label("after").unwrap());
    service.proxy.on_next(async |get| Action::Forward(get));
    service.proxy.on_next(async move |transaction| {
        let update = Update::<Value> { device, ..Update::default() };
        other.update(&old, update).await.unwrap();
        Action::Forward(transaction)
    });
    let renewed = service.renew(&id).await.assert_status(200).session_id();
    assert_eq!(service.load(&renewed).await.json()["label"], "after");
    assert_eq!(listed(&service).await[0]["label"], "after");
}

/// The list is filled by copies of one entry, as a login has written it: a thousand logins would take minutes.
#[tokio::test]
async fn the_most_sessions_with_the_longest_labels_are_listed_by_one_request() {
    let key = Some("0123456789abcdef0123456789abcdef".parse().unwrap());
    let config = Config { max_per_subject: MAX_PER_SUBJECT, label_key: key, ..Config::default() };
    let service = Service::with(config).await;
    let device = Device::default()
        .with_label("a".repeat(MAX_LABEL_BYTES))
        .and_then(|device| device.with_context(format!("{:?}", "a".repeat(MAX_CONTEXT_BYTES - 2))))
        .unwrap();
    let log_in = || LogIn::<Value> { device: device.clone(), ..LogIn::default() };
    let patient = service.other_manager(service.sessions.config().clone());
    patient.log_in(&None, alice(), log_in()).await.unwrap();
    let mut list = service.list_item("alice").await.unwrap();
    let (_, entry) = list.iter().find(|(name, _)| name.starts_with("s_")).unwrap();
    let entry = entry.clone();
    let mut live = list["live"].as_bs().unwrap().clone();
    for n in 2..MAX_PER_SUBJECT as u64 {
        let chain = [&[0; 4], &n.to_be_bytes()[..]].concat();
        list.insert(format!("s_{}", BASE64_URL_SAFE_NO_PAD.encode(&chain)), entry.clone());
        live.push(Blob::new(chain));
    }
    list.insert("live".into(), AttributeValue::Bs(live));
    list.insert("prune_at".into(), AttributeValue::N(MAX_PER_SUBJECT.to_string()));
    let put = service.dynamodb.put_item().table_name(&service.table).set_item(Some(list));
    put.send().await.unwrap();
    patient.log_in(&None, alice(), log_in()).await.unwrap();
    let listed = service.sessions.sessions_of(&alice()).await.unwrap();
    assert_eq!(service.proxy.operations(), ["GetItem"]);
    assert_eq!(listed.len(), MAX_PER_SUBJECT);
    assert!(listed.iter().all(|session| session.device == device));
}
