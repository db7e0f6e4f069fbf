//! The store under actix-session's middleware, on the embedded DynamoDB or the one at `AWS_ENDPOINT_URL_DYNAMODB`. The first cases are
//! those that actix-session asks of its own stores.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};

use actix_session::config::{BrowserSession, PersistentSession, SessionLifecycle, TtlExtensionPolicy};
use actix_session::storage::{SessionKey, SessionStore};
use actix_session::{Session, SessionMiddleware};
use actix_session_dynamodb_web_store::DynamoDbStore;
use actix_web::cookie::time::Duration;
use actix_web::cookie::{Cookie, Key, SameSite};
use actix_web::dev::{Service, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::{App, HttpResponse, test, web};
use dynamodb_web_session::{Clock, Config, ManualClock, SessionManager, SystemClock, create_table};

struct Fixture {
    store: DynamoDbStore,
    clock: ManualClock,
}

impl Fixture {
    async fn new(config: Config) -> Self {
        static TABLES: AtomicU32 = AtomicU32::new(0);
        let endpoint = match std::env::var("AWS_ENDPOINT_URL_DYNAMODB") {
            Ok(url) => url,
            Err(_) => embedded::start(None).await.unwrap(),
        };
        let client = embedded::client(&endpoint).await.unwrap();
        let started = std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos();
        let table = format!("actix-{started}-{}", TABLES.fetch_add(1, Ordering::Relaxed));
        create_table(&client, &table).await.unwrap();
        let clock = ManualClock::starting_at(SystemClock.now());
        let config = Config { table_name: table, ..config };
        let sessions = SessionManager::new(client, config).unwrap().with_clock(clock.clone());
        Self { store: DynamoDbStore::new(sessions).with_subject_key("user_id"), clock }
    }

    async fn default() -> Self {
        Self::new(Config::default()).await
    }

    /// The keys that the store keeps of a session, in order.
    async fn stored(&self, key: &str) -> Option<Vec<String>> {
        let session = self.store.sessions().peek::<HashMap<String, String>>(key).await.unwrap()?;
        let mut keys: Vec<_> = session.data.into_keys().collect();
        keys.sort();
        Some(keys)
    }
}

fn state(pairs: &[(&str, &str)]) -> HashMap<String, String> {
    pairs.iter().map(|(key, json)| ((*key).into(), (*json).into())).collect()
}

fn key(text: &str) -> SessionKey {
    text.to_owned().try_into().unwrap()
}

const MINUTE: Duration = Duration::minutes(1);

#[actix_web::test]
async fn a_state_is_saved_loaded_updated_and_deleted() {
    let store = Fixture::default().await.store;
    let saved = store.save(state(&[("a", "1")]), &MINUTE).await.unwrap();
    let mut loaded = store.load(&saved).await.unwrap().unwrap();
    assert_eq!(loaded["a"], "1");
    loaded.insert("b".into(), "2".into());
    let updated = store.update(saved, loaded, &MINUTE).await.unwrap();
    assert_eq!(store.load(&updated).await.unwrap().unwrap()["b"], "2");
    store.delete(&updated).await.unwrap();
    store.delete(&updated).await.unwrap();
    assert!(store.load(&updated).await.unwrap().is_none());
    store.update_ttl(&updated, &MINUTE).await.unwrap();
    assert!(store.load(&updated).await.unwrap().is_none(), "it stays ended");
}

#[actix_web::test]
async fn a_session_ends_after_its_time_to_live_and_update_ttl_extends_it() {
    let fixture = Fixture::default().await;
    let saved = fixture.store.save(HashMap::new(), &MINUTE).await.unwrap();
    fixture.clock.advance(50);
    assert!(fixture.store.load(&saved).await.unwrap().is_some());
    fixture.store.update_ttl(&saved, &MINUTE).await.unwrap();
    fixture.clock.advance(50);
    assert!(fixture.store.load(&saved).await.unwrap().is_some());
    fixture.clock.advance(50);
    assert!(fixture.store.load(&saved).await.unwrap().is_none());
}

#[actix_web::test]
async fn a_key_that_the_store_has_not_made_is_no_session() {
    let store = Fixture::default().await.store;
    for text in ["", "a", "not a session", &"a".repeat(4000)] {
        assert!(store.load(&key(text)).await.unwrap().is_none());
        store.delete(&key(text)).await.unwrap();
        assert!(store.update(key(text), state(&[("a", "1")]), &MINUTE).await.is_err());
    }
}

#[actix_web::test]
async fn an_update_of_a_session_that_has_ended_is_an_error_and_makes_none() {
    let fixture = Fixture::default().await;
    let saved = fixture.store.save(state(&[("a", "1")]), &MINUTE).await.unwrap();
    let loaded = fixture.store.load(&saved).await.unwrap().unwrap();
    let again = key(saved.as_ref());
    fixture.store.delete(&again).await.unwrap();
    assert!(fixture.store.update(saved, loaded, &MINUTE).await.is_err());
    assert!(fixture.store.load(&again).await.unwrap().is_none());
}

#[actix_web::test]
async fn a_renew_goes_on_only_if_it_has_ended_the_session() {
    let fixture = Fixture::default().await;
    let saved = fixture.store.save(state(&[("a", "1")]), &MINUTE).await.unwrap();
    let loaded = fixture.store.load(&saved).await.unwrap().unwrap();
    fixture.store.delete(&saved).await.unwrap();
    let renewed = fixture.store.save(loaded.clone(), &MINUTE).await.unwrap();
    assert_eq!(fixture.stored(renewed.as_ref()).await.unwrap(), ["a"], "the origin is not stored");
    // Two requests end one session: one was a logout.
    let loaded = fixture.store.load(&renewed).await.unwrap().unwrap();
    fixture.store.delete(&renewed).await.unwrap();
    fixture.store.delete(&renewed).await.unwrap();
    assert!(fixture.store.save(loaded, &MINUTE).await.is_err());
}

async fn show(session: Session) -> HttpResponse {
    let user: Option<u32> = session.get("user_id").unwrap();
    let cart: Option<u32> = session.get("cart").unwrap();
    HttpResponse::Ok().body(format!("{user:?} {cart:?}"))
}

async fn cart(session: Session) -> HttpResponse {
    session.insert("cart", 1).unwrap();
    HttpResponse::Ok().finish()
}

async fn login(session: Session) -> HttpResponse {
    session.insert("user_id", 7).unwrap();
    HttpResponse::Ok().finish()
}

async fn renewed_login(session: Session) -> HttpResponse {
    session.renew();
    login(session).await
}

async fn forget_user(session: Session) -> HttpResponse {
    session.remove("user_id");
    HttpResponse::Ok().finish()
}

async fn logout(session: Session) -> HttpResponse {
    session.purge();
    HttpResponse::Ok().finish()
}

/// A browser of an application with these pages.
macro_rules! browser {
    ($fixture:expr, $lifecycle:expr) => {{
        let middleware = SessionMiddleware::builder($fixture.store.clone(), Key::from(&[0; 64]))
            .session_lifecycle(SessionLifecycle::from($lifecycle))
            .build();
        let app = App::new()
            .wrap(middleware)
            .route("/", web::get().to(show))
            .route("/cart", web::get().to(cart))
            .route("/login", web::get().to(login))
            .route("/renewed-login", web::get().to(renewed_login))
            .route("/forget-user", web::get().to(forget_user))
            .route("/logout", web::get().to(logout));
        Browser { app: test::init_service(app).await, cookie: None }
    }};
}

struct Browser<S> {
    app: S,
    cookie: Option<Cookie<'static>>,
}

impl<S> Browser<S>
where
    S: Service<actix_http::Request, Response = ServiceResponse, Error = actix_web::Error>,
{
    /// The status and the text of a page.
    async fn get(&mut self, path: &str) -> (StatusCode, String) {
        let mut request = test::TestRequest::get().uri(path);
        if let Some(cookie) = &self.cookie {
            request = request.cookie(cookie.clone());
        }
        let response = match self.app.call(request.to_request()).await {
            Ok(response) => response,
            Err(error) => return (error.error_response().status(), error.to_string()),
        };
        for set in response.response().cookies() {
            self.cookie = (!set.value().is_empty()).then(|| set.into_owned());
        }
        let status = response.status();
        (status, String::from_utf8(test::read_body(response).await.to_vec()).unwrap())
    }

    async fn shown(&mut self) -> String {
        self.get("/").await.1
    }

    fn value(&self) -> String {
        self.cookie.as_ref().unwrap().value().to_owned()
    }
}

#[actix_web::test]
async fn a_visitor_who_changes_nothing_gets_no_cookie_and_a_session_one_that_is_safe() {
    let fixture = Fixture::default().await;
    let mut browser = browser!(fixture, BrowserSession::default());
    assert_eq!(browser.shown().await, "None None");
    assert!(browser.cookie.is_none());
    browser.get("/cart").await;
    let cookie = browser.cookie.clone().unwrap();
    assert_eq!((cookie.secure(), cookie.http_only()), (Some(true), Some(true)));
    assert_eq!((cookie.same_site(), cookie.max_age()), (Some(SameSite::Lax), None));
    assert_eq!(browser.shown().await, "None Some(1)");
}

#[actix_web::test]
async fn a_login_gives_a_new_id_with_and_without_renew_and_all_sessions_can_be_ended() {
    let fixture = Fixture::default().await;
    let mut browsers = Vec::new();
    for path in ["/login", "/renewed-login"] {
        let mut browser = browser!(fixture, BrowserSession::default());
        browser.get("/cart").await;
        let before = browser.value();
        browser.get(path).await;
        assert_ne!(browser.value(), before, "{path}");
        assert_eq!(browser.shown().await, "Some(7) Some(1)", "{path}");
        browsers.push(browser);
    }
    assert_eq!(fixture.store.sessions().sessions_of(&"7".parse().unwrap()).await.unwrap().len(), 2);
    fixture.store.log_out_everywhere("7").await.unwrap();
    for mut browser in browsers {
        assert_eq!(browser.shown().await, "None None");
    }
}

#[actix_web::test]
async fn a_refused_login_leaves_the_session_as_it_was() {
    let config = Config {
        max_per_subject: 1,
        at_max_per_subject: dynamodb_web_session::AtMaxPerSubject::Refuse,
        ..Config::default()
    };
    let fixture = Fixture::new(config).await;
    browser!(fixture, BrowserSession::default()).get("/login").await;
    let mut browser = browser!(fixture, BrowserSession::default());
    browser.get("/cart").await;
    let before = browser.value();
    assert_eq!(browser.get("/login").await.0, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(browser.value(), before);
    assert_eq!(browser.shown().await, "None Some(1)");
}

#[actix_web::test]
async fn a_logout_ends_the_session_and_one_that_loses_its_user_is_nobodys() {
    let fixture = Fixture::default().await;
    let alice = "7".parse().unwrap();
    for path in ["/logout", "/forget-user"] {
        let mut browser = browser!(fixture, BrowserSession::default());
        browser.get("/login").await;
        assert_eq!(fixture.store.sessions().sessions_of(&alice).await.unwrap().len(), 1);
        browser.get(path).await;
        assert_eq!(browser.shown().await, "None None");
        assert!(fixture.store.sessions().sessions_of(&alice).await.unwrap().is_empty(), "{path}");
    }
}

#[actix_web::test]
async fn a_persistent_session_lives_as_long_as_its_cookie_and_each_request_extends_it_if_told_to() {
    let config = Config {
        timeouts: dynamodb_web_session::Timeouts { idle_seconds: 7200, absolute_seconds: 864_000 },
        ..Config::default()
    };
    let fixture = Fixture::new(config).await;
    let week = Duration::days(7);
    for (policy, expected) in [
        (TtlExtensionPolicy::OnStateChanges, "None None"),
        (TtlExtensionPolicy::OnEveryRequest, "None Some(1)"),
    ] {
        let lifecycle = PersistentSession::default().session_ttl(week).session_ttl_extension_policy(policy);
        let mut browser = browser!(fixture, lifecycle);
        browser.get("/cart").await;
        assert_eq!(browser.cookie.as_ref().unwrap().max_age(), Some(week));
        fixture.clock.advance(4 * 86400);
        assert_eq!(browser.shown().await, "None Some(1)");
        fixture.clock.advance(4 * 86400);
        assert_eq!(browser.shown().await, expected);
    }
}
