//! Sealed data: the table holds no readable data.

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use dynamodb_web_session::{Config, Error, SealMode, SessionId};
use serde_json::{Value, json};

use crate::harness::Service;

fn sealed() -> Config {
    Config { seal: SealMode::On, ..Config::default() }
}

async fn stored(service: &Service, id: &SessionId) -> Vec<u8> {
    service.record(id).await.unwrap()["data"].as_b().unwrap().clone().into_inner()
}

#[tokio::test]
async fn the_record_has_no_readable_data_and_its_tag_confirms_no_guess() {
    let service = Service::with(sealed()).await;
    let plain = Service::start().await;
    let data = json!({ "card": "4111111111111111" });
    let (id, other) = (service.create(data.clone()).await, service.create(data.clone()).await);
    let unsealed = plain.create(data.clone()).await;
    let record = service.record(&id).await.unwrap();
    let bytes = stored(&service, &id).await;
    assert_eq!(bytes[0], 0x16);
    assert!(!bytes.windows(4).any(|run| b"4111111111111111".windows(4).any(|part| part == run)));
    let tag =
        |record: &std::collections::HashMap<String, AttributeValue>| record["etag"].as_s().unwrap().clone();
    assert_ne!(tag(&record), tag(&service.record(&other).await.unwrap()), "same data, other session");
    assert_ne!(tag(&record), tag(&plain.record(&unsealed).await.unwrap()), "no hash of the data");
    assert_eq!(service.load(&id).await.assert_status(200).data(), data);
    assert_eq!(service.load(&other).await.assert_status(200).data(), data);
}

#[tokio::test]
async fn preconditions_work_as_without_it_and_a_save_is_one_request() {
    let service = Service::with(sealed()).await;
    let id = service.create(json!({ "a": 1 })).await;
    let first = service.load(&id).await.header("etag").to_owned();
    let save = async |tag: &str, n: u64| {
        let save = service.put().id(&id).header("if-match", tag).json(&json!({ "data": { "a": n } }));
        save.send().await
    };
    service.proxy.forget();
    let second = save(&first, 2).await.assert_status(204).header("etag").to_owned();
    assert_eq!(service.proxy.operations(), ["UpdateItem"]);
    save(&first, 3).await.problem(412);
    assert_eq!(
        save(&second, 1).await.assert_status(204).header("etag"),
        first,
        "same data, same session, same tag"
    );
    assert_eq!(service.load(&id).await.header("etag"), first);
    let timeout = service.save(&id, json!({ "idle_timeout_seconds": 60 })).await;
    assert_eq!(timeout.assert_status(204).header("etag"), first);
}

#[tokio::test]
async fn a_renewal_seals_anew_under_the_new_id() {
    let service = Service::with(sealed()).await;
    let old = service.create_with(json!({ "data": { "a": 1 }, "subject": "alice" })).await;
    let (tag, bytes) = (service.load(&old).await.header("etag").to_owned(), stored(&service, &old).await);
    let renewed = service.post_renew().id(&old).header("if-match", &tag).json(&json!({})).send().await;
    let new = renewed.assert_status(200).session_id();
    assert_ne!(renewed.header("etag"), tag, "the tag is of this session");
    assert_ne!(stored(&service, &new).await, bytes);
    let loaded = service.load(&new).await;
    assert_eq!((loaded.data(), loaded.header("etag")), (json!({ "a": 1 }), renewed.header("etag")));
    assert_eq!(loaded.json()["subject"], "alice", "subjects, deadlines and lists stay readable");
    assert_eq!(service.list("alice").await.len(), 1);
}

/// It must not be taken for an absent session, or for other data.
#[tokio::test]
async fn a_changed_or_moved_value_is_a_corrupt_record() {
    let service = Service::with(sealed()).await;
    let (id, other) = (service.create(json!({ "a": 1 })).await, service.create(json!({ "a": 2 })).await);
    let mut bytes = stored(&service, &id).await;
    service.tamper(&other, "data", AttributeValue::B(Blob::new(bytes.clone()))).await;
    service.load(&other).await.problem(500);
    service.renew(&other).await.problem(500);
    let error = service.sessions.load::<Value>(&other).await.unwrap_err();
    assert!(matches!(error, Error::CorruptRecord("data")), "{error:?}");
    *bytes.last_mut().unwrap() ^= 1;
    service.tamper(&id, "data", AttributeValue::B(Blob::new(bytes))).await;
    service.load(&id).await.problem(500);
    service.save(&id, json!({ "data": { "a": 3 } })).await.assert_status(204);
    assert_eq!(service.load(&id).await.data(), json!({ "a": 3 }));
}

/// A person who can write to the table but does not know the ID must not be able to choose the data.
#[tokio::test]
async fn plain_or_deflated_data_in_place_of_sealed_data_is_a_corrupt_record() {
    let service = Service::with(sealed()).await;
    let plain = Service::start().await;
    let forged = plain.create(json!({ "role": "root" })).await;
    let deflated = plain.create(json!({ "role": "root ".repeat(500) })).await;
    for forgery in [&forged, &deflated] {
        let value = plain.record(forgery).await.unwrap()["data"].clone();
        let id = service.create_with(json!({ "data": { "role": "user" }, "subject": "alice" })).await;
        service.tamper(&id, "data", value).await;
        service.load(&id).await.problem(500);
        service.renew(&id).await.problem(500);
        let login = service.post_renew().id(&id).json(&json!({ "subject": "alice" })).send().await;
        login.problem(500);
        let error = service.sessions.peek::<Value>(&id).await.unwrap_err();
        assert!(matches!(error, Error::CorruptRecord("data")), "{error:?}");
    }
}

/// A tag that was exchanged would let a save with `If-Match` overwrite what its sender has not seen.
#[tokio::test]
async fn a_changed_tag_is_a_corrupt_record() {
    let service = Service::with(sealed()).await;
    let id = service.create(json!({ "a": 1 })).await;
    let first = service.record(&id).await.unwrap()["etag"].clone();
    service.save(&id, json!({ "data": { "a": 2 } })).await.assert_status(204);
    service.tamper(&id, "etag", first).await;
    service.load(&id).await.problem(500);
}

/// From plain to sealed by way of `migrate`, and back at any time.
#[tokio::test]
async fn a_change_of_mode_keeps_sessions_in_both_directions() {
    let service = Service::start().await;
    let plain = &service.sessions;
    let with = |seal| service.other_manager(Config { seal, ..plain.config().clone() });
    let (migrating, sealing) = (with(SealMode::Migrate), with(SealMode::On));
    let data = json!({ "text": "apple ".repeat(500) });
    for (writer, reader, is_sealed) in [
        (plain, &migrating, true),
        (&migrating, &sealing, true),
        (&sealing, &migrating, true),
        (&sealing, plain, false),
    ] {
        let created = writer.create(data.clone()).await.unwrap();
        let mut session = reader.load::<Value>(created.id()).await.unwrap().unwrap();
        assert_eq!((&session.data, session.etag()), (&data, created.etag()));
        reader.save_if_unchanged(&mut session).await.unwrap();
        assert_eq!(stored(&service, created.id()).await[0] == 0x16, is_sealed, "deflated or sealed");
        let renewed = reader.renew::<Value>(created.id()).await.unwrap().unwrap();
        assert_eq!(stored(&service, renewed.id()).await[0] == 0x16, is_sealed);
        assert_eq!(reader.load::<Value>(renewed.id()).await.unwrap().unwrap().data, data);
    }
    let before = plain.create(data.clone()).await.unwrap();
    assert!(matches!(sealing.load::<Value>(before.id()).await, Err(Error::CorruptRecord("data"))));
    let renewed = migrating.renew::<Value>(before.id()).await.unwrap().unwrap();
    assert_eq!(sealing.load::<Value>(renewed.id()).await.unwrap().unwrap().data, data);
}

#[tokio::test]
async fn the_largest_data_fits_an_item_when_it_is_sealed() {
    let service = Service::with(Config { max_data_bytes: 408_576, ..sealed() }).await;
    let data = json!({ "a": "x".repeat(408_576 - 8) });
    let body = json!({ "data": data, "subject": "s".repeat(256) });
    let id = service.create_with(body).await;
    assert_eq!(service.load(&id).await.data(), data);
    service.renew(&id).await.assert_status(200);
}

#[tokio::test]
async fn a_peek_is_no_use_of_the_session() {
    for seal in [SealMode::Off, SealMode::On] {
        let service = Service::with(Config { seal, ..Config::default() }).await;
        let id = service.create(json!({ "a": 1 })).await;
        let before = service.record(&id).await;
        service.clock.advance(7199);
        service.proxy.forget();
        let peeked = service.sessions.peek::<Value>(&id).await.unwrap().unwrap();
        assert_eq!(peeked.data, json!({ "a": 1 }));
        assert_eq!(service.proxy.operations(), ["GetItem"]);
        assert_eq!(service.record(&id).await, before);
        service.clock.advance(1);
        assert!(service.sessions.peek::<Value>(&id).await.unwrap().is_none());
    }
}
