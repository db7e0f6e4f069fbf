//! The crate, as another Rust Lambda uses it.

use std::env::VarError;

use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, future};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{Credentials, Region};
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::{Builder, Connector};
use dynamodb_web_session::{
    Absence, Clock, Config, CreateOptions, Error, Preconditions, SessionId, SessionManager, Timeouts, Update,
    Variables, aws_defaults, chain,
};
use serde_json::{Value, json};
use service::Settings;

use crate::harness::{Action, Loss, Service};

#[tokio::test]
async fn the_crate_and_the_service_share_their_sessions() {
    let service = Service::start().await;
    let session = service.sessions.create(json!({ "from": "crate" })).await.unwrap();
    assert_eq!(service.load(session.id()).await.data(), json!({ "from": "crate" }));

    let id = service.create(json!({ "from": "service" })).await;
    let loaded = service.sessions.load::<Value>(&id).await.unwrap().unwrap();
    assert_eq!(loaded.data, json!({ "from": "service" }));
    assert_eq!(loaded.created(), service.clock.now());
    assert_eq!(loaded.expires(), service.clock.now().plus_seconds(7200));
}

#[tokio::test]
async fn a_save_updates_the_tag_and_deadline_of_the_session() {
    let service = Service::start().await;
    let mut session = service.sessions.create(json!({})).await.unwrap();
    service.clock.advance(100);
    session.data = json!({ "a": 1 });
    session.timeouts = Timeouts { idle_seconds: 50, absolute_seconds: 120 };
    service.sessions.save(&mut session).await.unwrap();
    let loaded = service.sessions.load::<Value>(session.id()).await.unwrap().unwrap();
    assert_eq!(loaded.etag(), session.etag());
    assert_eq!(loaded.expires(), session.expires());
    assert_eq!(session.expires(), service.clock.now().plus_seconds(20));
    assert_eq!(loaded.timeouts, session.timeouts);
}

#[tokio::test]
async fn a_clear_says_whether_it_has_ended_a_session() {
    let service = Service::start().await;
    let session = service.sessions.create(json!({})).await.unwrap();
    assert!(service.sessions.clear(session.id()).await.unwrap());
    assert!(!service.sessions.clear(session.id()).await.unwrap());
    let expired = service.sessions.create(json!({})).await.unwrap();
    service.clock.advance(7200);
    assert!(!service.sessions.clear(expired.id()).await.unwrap());
    let renewed = service.sessions.create(json!({})).await.unwrap();
    service.sessions.renew::<Value>(renewed.id()).await.unwrap().unwrap();
    assert!(service.sessions.clear(renewed.id()).await.unwrap(), "under its new ID");
    // The first attempt deletes the session, and its response is lost: it may have been another program's delete.
    let session = service.sessions.create(json!({})).await.unwrap();
    service.proxy.on_next(async |body| Action::Lose(body, Loss::Reset));
    assert!(!service.sessions.clear(session.id()).await.unwrap());
    assert!(service.sessions.load::<Value>(session.id()).await.unwrap().is_none());
}

#[tokio::test]
async fn a_store_creates_a_session_under_an_id_that_no_record_has() {
    let service = Service::start().await;
    let id: SessionId = "abcdefghijklmnopqrstuA".parse().unwrap();
    let options = || CreateOptions { subject: Some("store".parse().unwrap()), ..CreateOptions::default() };
    service.proxy.forget();
    let session = service.sessions.create_under_given_id(&id, json!({ "n": 1 }), Timeouts::default()).await;
    assert_eq!(session.unwrap().id().expose(), id.expose());
    assert_eq!(service.proxy.operations(), ["PutItem"]);
    assert_eq!(service.load(&id).await.data(), json!({ "n": 1 }));

    let in_use = async || {
        for options in [options(), CreateOptions::default()] {
            let created = service.sessions.create_under_given_id(&id, json!({ "n": 2 }), options).await;
            assert!(matches!(created, Err(Error::IdInUse)), "{created:?}");
        }
    };
    in_use().await;
    service.sessions.renew::<Value>(&id).await.unwrap().unwrap();
    in_use().await; // a tombstone
    assert!(service.load(&id).await.status == 404);

    // Its response is lost: the retry finds the record of its own attempt, and not that of another program.
    for options in [options(), CreateOptions::default()] {
        let id: SessionId =
            format!("AAAAAAAAAAAAAAAAAAAA{}A", u8::from(options.subject.is_some())).parse().unwrap();
        service.proxy.on_next(async |body| Action::Lose(body, Loss::Reset));
        let created = service.sessions.create_under_given_id(&id, json!({ "n": 3 }), options).await.unwrap();
        assert_eq!(created.id().expose(), id.expose());
        assert_eq!(service.load(&id).await.data(), json!({ "n": 3 }));
    }
    // The attempt was not carried out, and meanwhile another program has created a session under the same ID.
    let id: SessionId = "BAAAAAAAAAAAAAAAAAAAAA".parse().unwrap();
    let (other, taken) = (service.other_manager(service.sessions.config().clone()), id.clone());
    service.proxy.on_next(async move |_| {
        other.create_under_given_id(&taken, json!({ "n": 4 }), Timeouts::default()).await.unwrap();
        Action::Reset
    });
    let created = service.sessions.create_under_given_id(&id, json!({ "n": 3 }), Timeouts::default()).await;
    assert!(matches!(created, Err(Error::IdInUse)), "{created:?}");
    assert_eq!(service.load(&id).await.data(), json!({ "n": 4 }));
}

#[tokio::test]
async fn a_save_writes_only_the_timeouts_that_were_changed() {
    let service = Service::start().await;
    let created = service.sessions.create(json!({})).await.unwrap();
    let mut stale = service.sessions.load::<Value>(created.id()).await.unwrap().unwrap();
    let mut shorter = stale.clone();
    shorter.timeouts.idle_seconds = 50;
    service.sessions.save(&mut shorter).await.unwrap();

    stale.data = json!({ "a": 1 });
    service.sessions.save(&mut stale).await.unwrap();
    assert_eq!(service.recorded(created.id(), "idle_timeout").await, 50, "the other caller's change stays");
    let now = service.clock.now().epoch_seconds();
    assert_eq!(service.recorded(created.id(), "expires").await, now + 50);

    // Sessions from before the maximum was lowered can be saved, too.
    let config = Config { max_timeout_seconds: 60, ..service.sessions.config().clone() };
    let lowered = SessionManager::new(service.dynamodb.clone(), config).unwrap();
    let lowered = lowered.with_clock(service.clock.clone());
    let mut session = lowered.load::<Value>(created.id()).await.unwrap().unwrap();
    lowered.save(&mut session).await.unwrap();
    session.timeouts.idle_seconds = 61;
    assert!(matches!(lowered.save(&mut session).await, Err(Error::TimeoutOutOfRange { .. })));
}

#[tokio::test]
async fn a_dead_session_loads_as_none_and_cannot_be_saved() {
    let service = Service::start().await;
    let mut session = service.sessions.create(json!({})).await.unwrap();
    service.sessions.clear(session.id()).await.unwrap();
    service.sessions.clear(session.id()).await.unwrap();
    assert!(service.sessions.load::<Value>(session.id()).await.unwrap().is_none());
    assert!(matches!(service.sessions.save(&mut session).await, Err(Error::NotFound(Absence::Unknown))));
    assert!(matches!(
        service.sessions.save_if_unchanged(&mut session).await,
        Err(Error::NotFound(Absence::Unknown))
    ));
}

#[tokio::test]
async fn data_that_cannot_be_written_or_read_is_an_error_with_its_source() {
    let service = Service::start().await;
    let not_json = std::collections::HashMap::from([((1, 2), 3)]);
    assert!(matches!(service.sessions.create(not_json).await, Err(Error::Serialize(_))));
    let session = service.sessions.create(json!({ "a": 1 })).await.unwrap();
    let error = service.sessions.load::<Vec<u8>>(session.id()).await.unwrap_err();
    assert!(std::error::Error::source(&error).unwrap().is::<serde_json::Error>(), "{error:?}");
    let error = service.sessions.create_with((), Timeouts { idle_seconds: 0, absolute_seconds: 1 }).await;
    assert!(matches!(error, Err(Error::TimeoutOutOfRange { timeout: "idle_timeout_seconds", .. })));
}

#[tokio::test]
async fn a_part_can_be_updated_under_a_condition() {
    let service = Service::start().await;
    let session = service.sessions.create(json!({ "a": 1 })).await.unwrap();
    let update =
        |preconditions| Update::<Value> { idle_timeout_seconds: Some(9), preconditions, ..Update::default() };
    let stale = Preconditions { if_match: Some("\"stale\"".parse().unwrap()), if_none_match: None };
    assert!(matches!(service.sessions.update(session.id(), update(stale)).await, Err(Error::Changed)));
    let current = Preconditions::if_match(session.etag().clone());
    let etag = service.sessions.update(session.id(), update(current)).await.unwrap();
    assert_eq!(&etag, session.etag());
}

#[tokio::test]
async fn a_bad_setting_is_refused_before_anything_is_sent() {
    let config = Config { id_bytes: 8, ..Config::default() };
    let error = SessionManager::connect(config).await.unwrap_err();
    assert_eq!(error.to_string(), "SESSION_ID_BYTES must be a whole number from 16 to 128; it is 8");
}

/// The functions use their own small connector; other programs may need more.
#[tokio::test]
async fn the_connector_of_the_sdk_reaches_dynamodb_through_an_http_proxy() {
    let service = Service::start().await;
    let proxy = service.proxy.url.clone();
    let http_client = Builder::new().build_with_connector_fn(move |_, _| {
        Connector::builder()
            .proxy_config(ProxyConfig::http(&proxy).unwrap())
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .build()
    });
    let aws = aws_defaults().unwrap().http_client(http_client).region(Region::new("us-east-1"));
    let aws = aws.credentials_provider(Credentials::new("local", "local", None, None, "test")).load().await;
    let client = aws_sdk_dynamodb::config::Builder::from(&aws).endpoint_url("http://dynamodb.invalid");
    let config = Config { table_name: service.table.clone(), ..Config::default() };
    let sessions = SessionManager::new(Client::from_conf(client.build()), config).unwrap();

    service.proxy.forget();
    let session = sessions.create(json!({ "by": "proxy" })).await.unwrap();
    assert_eq!(
        service.proxy.operations(),
        ["PutItem"],
        "the request passed the proxy: the endpoint has no address"
    );
    assert_eq!(service.load(session.id()).await.data(), json!({ "by": "proxy" }));
}

#[derive(Clone, Debug)]
struct FailingCredentials(fn() -> CredentialsError);

impl ProvideCredentials for FailingCredentials {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::ready(Err(self.0()))
    }
}

/// A retry does not help a program without credentials. It may help one whose provider of credentials fails.
#[tokio::test]
async fn without_credentials_a_call_is_refused() {
    let service = Service::start().await;
    let create = async |error| {
        let client = service.dynamodb.config().to_builder().credentials_provider(FailingCredentials(error));
        let sessions = SessionManager::new(Client::from_conf(client.build()), Config::default()).unwrap();
        sessions.create(json!({})).await.unwrap_err()
    };
    let created = create(|| CredentialsError::not_loaded("there are none")).await;
    assert!(matches!(created, Error::Misconfigured(_)), "{created:?}");
    assert!(chain(&created).contains("there are none"), "{}", chain(&created));
    let created = create(|| CredentialsError::provider_error("an outage")).await;
    assert!(matches!(created, Error::Unavailable(_)), "{created:?}");
}

/// Its responses are streams: the status may arrive and the rest not.
#[tokio::test]
async fn with_the_connector_of_the_sdk_a_retried_save_is_not_denied_either() {
    for loss in [Loss::Cut, Loss::Failure, Loss::Reset] {
        let service = Service::start().await;
        let http_client = Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
        let aws = aws_defaults().unwrap().http_client(http_client).region(Region::new("us-east-1"));
        let aws =
            aws.credentials_provider(Credentials::new("local", "local", None, None, "test")).load().await;
        let client = aws_sdk_dynamodb::config::Builder::from(&aws).endpoint_url(&service.proxy.url);
        let config = Config { table_name: service.table.clone(), ..Config::default() };
        let sessions = SessionManager::new(Client::from_conf(client.build()), config).unwrap();
        let mut session = sessions.create(json!({})).await.unwrap();
        session.data = json!({ "a": 1 });
        service.proxy.on_next(async move |body| Action::Lose(body, loss));
        let saved = sessions.save_if_unchanged(&mut session).await;
        assert!(matches!(saved, Err(Error::Unavailable(_))), "{loss:?}: {saved:?}");
    }
}

/// Settings such as `SESSION_ALLOWED_ORIGINS` concern the HTTP service.
#[test]
fn a_bad_setting_of_the_http_service_does_not_concern_the_crate() {
    let read = |name: &str| match name {
        "SESSION_ALLOWED_ORIGINS" | "SESSION_ID_TRANSPORT" => Ok("*".to_owned()),
        _ => Err(VarError::NotPresent),
    };
    let variables = Variables::read_by(&read);
    assert_eq!(Config::from_variables(&variables), Ok(Config::default()));
    assert!(Settings::from_variables(&variables).is_err());
}

#[tokio::test]
async fn debug_output_shows_no_id() {
    let service = Service::start().await;
    let session = service.sessions.create(json!({})).await.unwrap();
    let shown = format!("{session:?} {:#?} {:?}", session.id(), service.sessions);
    assert!(!shown.contains(session.id().expose()));
    assert!(shown.contains(session.loggable_id().as_str()) && shown.contains(&service.table));
}
