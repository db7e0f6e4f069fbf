//! The store under tower-sessions, on the embedded DynamoDB or the one at `AWS_ENDPOINT_URL_DYNAMODB`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use aws_sdk_dynamodb::Client;
use dynamodb_web_session::{
    AtMaxPerSubject, Clock, Config, ManualClock, SessionId, SessionManager, SystemClock, create_table,
};
use proptest::prelude::*;
use proptest::test_runner::{Config as Proptest, TestCaseError, TestRunner};
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};
use tower_sessions::session::Id;
use tower_sessions::{Expiry, Session, SessionStore};
use tower_sessions_dynamodb_web_store::{
    Client as Browser, DynamoDbStore, SUBJECT, log_in, note_device, subject,
};

struct Fixture {
    store: Arc<DynamoDbStore>,
    clock: ManualClock,
    client: Client,
    table: String,
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
        let table = format!("tower-{started}-{}", TABLES.fetch_add(1, Ordering::Relaxed));
        create_table(&client, &table).await.unwrap();
        let clock = ManualClock::starting_at(SystemClock.now());
        let config = Config { table_name: table.clone(), id_bytes: 16, ..config };
        let sessions = SessionManager::new(client.clone(), config).unwrap().with_clock(clock.clone());
        Self { store: Arc::new(DynamoDbStore::new(sessions).unwrap()), clock, client, table }
    }

    async fn default() -> Self {
        Self::new(Config::default()).await
    }

    /// The session of a request with this ID in its cookie.
    fn request(&self, id: Option<Id>) -> Session {
        Session::new(id, self.store.clone(), None)
    }

    fn request_with(&self, id: Option<Id>, expiry: Expiry) -> Session {
        Session::new(id, self.store.clone(), Some(expiry))
    }

    /// A stored session with `n`.
    async fn stored(&self, n: u32) -> Id {
        let session = self.request(None);
        session.insert("n", n).await.unwrap();
        session.save().await.unwrap();
        session.id().unwrap()
    }

    async fn n(&self, id: Id) -> Option<u32> {
        self.request(Some(id)).get("n").await.unwrap()
    }

    async fn peek(&self, id: Id) -> Option<dynamodb_web_session::Session<Value>> {
        self.store.sessions().peek(&our_id(id)).await.unwrap()
    }

    async fn records(&self) -> usize {
        let scan = self.client.scan().table_name(&self.table).consistent_read(true).send().await.unwrap();
        scan.items().iter().filter(|item| item.contains_key("data")).count()
    }
}

fn our_id(id: Id) -> SessionId {
    id.to_string().parse().unwrap()
}

#[tokio::test]
async fn a_session_is_created_loaded_saved_and_ended() {
    let fixture = Fixture::default().await;
    let id = fixture.stored(1).await;
    assert_eq!(fixture.n(id).await, Some(1));
    let session = fixture.request(Some(id));
    session.insert("n", 2).await.unwrap();
    session.save().await.unwrap();
    assert_eq!(fixture.n(id).await, Some(2));
    session.flush().await.unwrap();
    assert_eq!(fixture.n(id).await, None);
}

#[tokio::test]
async fn the_table_holds_the_hash_of_the_id_and_the_data_as_the_application_gave_it() {
    let fixture = Fixture::default().await;
    let id = fixture.stored(1).await;
    let scan = fixture.client.scan().table_name(&fixture.table).send().await.unwrap();
    let shown = format!("{scan:?}");
    assert!(!shown.contains(&id.to_string()));
    assert!(shown.contains(our_id(id).loggable().as_str()));
    assert_eq!(fixture.peek(id).await.unwrap().data, json!({ "n": 1 }));
}

#[tokio::test]
async fn the_id_is_the_one_that_the_crate_has_made() {
    let fixture = Fixture::default().await;
    let mut record = tower_sessions::session::Record {
        id: Id(7),
        data: std::collections::HashMap::new(),
        expiry_date: OffsetDateTime::now_utc() + Duration::hours(1),
    };
    fixture.store.create(&mut record).await.unwrap();
    assert_ne!(record.id, Id(7));
    assert_eq!(fixture.store.load(&record.id).await.unwrap().unwrap().id, record.id);
    assert!(fixture.store.load(&Id(7)).await.unwrap().is_none());
    let sessions = SessionManager::new(fixture.client.clone(), Config::default()).unwrap();
    assert!(DynamoDbStore::new(sessions).unwrap_err().to_string().contains("16 bytes"));
}

#[tokio::test]
async fn a_save_of_a_session_that_is_gone_is_an_error_and_makes_none() {
    let fixture = Fixture::default().await;
    let id = fixture.stored(1).await;
    let slow = fixture.request(Some(id));
    slow.insert("n", 2).await.unwrap();
    fixture.request(Some(id)).delete().await.unwrap();
    assert!(slow.save().await.unwrap_err().to_string().contains("no such session"));
    assert_eq!(fixture.n(id).await, None);
    assert_eq!(fixture.records().await, 0);
}

#[tokio::test]
async fn a_cycle_keeps_the_data_and_the_absolute_deadline() {
    let fixture = Fixture::default().await;
    let old = fixture.stored(1).await;
    let deadline = fixture.peek(old).await.unwrap().absolute_deadline();
    fixture.clock.advance(1000);
    let session = fixture.request(Some(old));
    session.cycle_id().await.unwrap();
    session.insert("n", 2).await.unwrap();
    session.save().await.unwrap();
    let new = session.id().unwrap();
    assert_ne!(new, old);
    assert_eq!((fixture.n(old).await, fixture.n(new).await), (None, Some(2)));
    assert_eq!(fixture.peek(new).await.unwrap().absolute_deadline(), deadline);
    // Twice in one request.
    session.cycle_id().await.unwrap();
    session.save().await.unwrap();
    assert_eq!(fixture.peek(session.id().unwrap()).await.unwrap().absolute_deadline(), deadline);
    assert_eq!(fixture.records().await, 1);
}

#[tokio::test]
async fn a_login_does_not_bring_back_a_session_that_was_logged_out_meanwhile() {
    let fixture = Fixture::default().await;
    let id = fixture.stored(1).await;
    let slow = fixture.request(Some(id));
    assert_eq!(slow.get::<u32>("n").await.unwrap(), Some(1));
    fixture.request(Some(id)).flush().await.unwrap();
    log_in(&slow, "alice").await.unwrap();
    assert!(slow.save().await.unwrap_err().to_string().contains("the session has ended"));
    assert_eq!(fixture.records().await, 0);
}

#[tokio::test]
async fn of_two_cycles_of_one_session_at_most_one_goes_on() {
    let fixture = Fixture::default().await;
    for overlap in [false, true] {
        let before = fixture.records().await;
        let id = fixture.stored(2).await;
        let (one, two) = (fixture.request(Some(id)), fixture.request(Some(id)));
        two.get::<u32>("n").await.unwrap();
        one.cycle_id().await.unwrap();
        if overlap {
            two.cycle_id().await.unwrap(); // it may be a logout, as far as the store can tell
        }
        assert_eq!(one.save().await.is_ok(), !overlap);
        if !overlap {
            two.cycle_id().await.unwrap();
        }
        assert!(two.save().await.is_err());
        assert_eq!(fixture.records().await - before, usize::from(!overlap));
    }
}

#[tokio::test]
async fn after_a_flush_a_new_session_begins() {
    let fixture = Fixture::default().await;
    let session = fixture.request(Some(fixture.stored(1).await));
    let old = session.id().unwrap();
    session.flush().await.unwrap();
    session.insert("m", 1).await.unwrap();
    session.save().await.unwrap();
    assert_ne!(session.id(), Some(old));
    assert_eq!(fixture.peek(session.id().unwrap()).await.unwrap().data, json!({ "m": 1 }));
}

#[tokio::test]
async fn the_expiry_of_the_layer_is_the_idle_timeout_and_loads_slide_it() {
    let fixture = Fixture::default().await;
    let timeouts = async |expiry| {
        let session = fixture.request_with(None, expiry);
        session.insert("n", 1).await.unwrap();
        session.save().await.unwrap();
        (session.id().unwrap(), fixture.peek(session.id().unwrap()).await.unwrap().timeouts)
    };
    let (id, hour) = timeouts(Expiry::OnInactivity(Duration::hours(1))).await;
    assert_eq!((hour.idle_seconds, hour.absolute_seconds), (3600, 43_200));
    for _ in 0..11 {
        fixture.clock.advance(3599);
        assert_eq!(fixture.n(id).await, Some(1), "a load is a use");
    }
    let (id, _) = timeouts(Expiry::OnInactivity(Duration::hours(1))).await;
    fixture.clock.advance(3600);
    assert_eq!(fixture.n(id).await, None);
    // tower-sessions asks for two weeks where the application asks for nothing.
    for default in [Expiry::OnSessionEnd, Expiry::OnInactivity(Duration::weeks(2))] {
        assert_eq!(timeouts(default).await.1.idle_seconds, 7200);
    }
    let (_, long) = timeouts(Expiry::OnInactivity(Duration::days(90))).await;
    assert_eq!((long.idle_seconds, long.absolute_seconds), (43_200, 43_200));

    let id = fixture.stored(1).await;
    let session = fixture.request(Some(id));
    session.set_expiry(Some(Expiry::OnInactivity(Duration::minutes(5))));
    session.save().await.unwrap();
    assert_eq!(fixture.peek(id).await.unwrap().timeouts.idle_seconds, 300);
    session.set_expiry(Some(Expiry::AtDateTime(OffsetDateTime::now_utc() - Duration::SECOND)));
    session.save().await.unwrap();
    assert!(fixture.peek(id).await.is_none());
}

#[tokio::test]
async fn a_login_names_the_subject_and_all_its_sessions_can_be_ended() {
    let fixture = Fixture::default().await;
    let log_in_to = async |id: Option<Id>| {
        let session = fixture.request(id);
        log_in(&session, "alice").await.unwrap();
        session.save().await.unwrap();
        session.id().unwrap()
    };
    let anonymous = fixture.stored(1).await;
    let (laptop, phone) = (log_in_to(Some(anonymous)).await, log_in_to(None).await);
    assert_eq!(fixture.n(anonymous).await, None);
    assert_eq!(fixture.n(laptop).await, Some(1));
    assert_eq!(subject(&fixture.request(Some(laptop))).await.unwrap().as_deref(), Some("alice"));
    assert_eq!(fixture.peek(laptop).await.unwrap().subject().unwrap().as_str(), "alice");
    assert_eq!(fixture.peek(laptop).await.unwrap().data, json!({ "n": 1 }), "the subject is no data");

    let session = fixture.request(Some(laptop));
    session.insert("n", 2).await.unwrap();
    session.save().await.unwrap();
    assert_eq!(fixture.n(laptop).await, Some(2));
    session.insert(SUBJECT, 7).await.unwrap();
    assert!(session.save().await.is_err());

    fixture.store.log_out_everywhere("alice").await.unwrap();
    assert_eq!((fixture.n(laptop).await, fixture.n(phone).await), (None, None));
    assert!(fixture.store.log_out_everywhere("").await.is_err());
}

#[tokio::test]
async fn a_subject_has_at_most_the_maximum_of_sessions() {
    for at_max_per_subject in [AtMaxPerSubject::Refuse, AtMaxPerSubject::EndOldest] {
        let config = Config { max_per_subject: 1, at_max_per_subject, ..Config::default() };
        let fixture = Fixture::new(config).await;
        let [first, second] = [fixture.request(None), fixture.request(None)];
        for session in [&first, &second] {
            log_in(session, "alice").await.unwrap();
        }
        first.save().await.unwrap();
        let is_refused = at_max_per_subject == AtMaxPerSubject::Refuse;
        assert_eq!(second.save().await.is_err(), is_refused);
        assert_eq!(fixture.peek(first.id().unwrap()).await.is_some(), is_refused);
        assert_eq!(fixture.records().await, 1);
    }
}

#[tokio::test]
async fn an_outage_is_an_error_and_not_an_absence() {
    let config = Config {
        region: Some("us-east-1".into()),
        endpoint_url: Some("http://127.0.0.1:9".into()),
        ..Config::default()
    };
    let store = DynamoDbStore::connect(config).await.unwrap();
    assert!(store.load(&Id(1)).await.is_err());
    let fixture = Fixture::default().await;
    let id = fixture.stored(1).await;
    let shown = format!("{store:?} {}", fixture.request(Some(id)).get::<String>("n").await.unwrap_err());
    assert!(!shown.contains(&id.to_string()));
}

/// What happens to a session: in a request, or during another one.
#[derive(Clone, Copy, Debug)]
enum Act {
    Save,
    Cycle,
    LogIn,
    Flush,
    Everywhere,
    Wait(u64),
}

/// A request: it loads the session with this index, then something else happens, then it ends.
#[derive(Clone, Copy, Debug)]
struct Step {
    session: usize,
    meanwhile: Option<(usize, Act)>,
    end: Act,
}

#[derive(Clone, Debug)]
struct Modelled {
    id: Id,
    alive: bool,
    n: u32,
    is_alices: bool,
    idle_deadline: u64,
    absolute_deadline: u64,
}

const IDLE: u64 = 100;

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let act = || {
        prop_oneof![
            4 => Just(Act::Save),
            3 => Just(Act::Cycle),
            2 => Just(Act::LogIn),
            2 => Just(Act::Flush),
            1 => Just(Act::Everywhere),
            2 => prop_oneof![1..99_u64, 100..300_u64].prop_map(Act::Wait),
        ]
    };
    let meanwhile = proptest::option::of((0..4_usize, act()));
    let step = (0..4_usize, meanwhile, act());
    let step = step.prop_map(|(session, meanwhile, end)| Step { session, meanwhile, end });
    proptest::collection::vec(step, 1..20)
}

struct History<'a> {
    fixture: &'a Fixture,
    alice: String,
    sessions: Vec<Modelled>,
    next: u32,
}

impl History<'_> {
    fn now(&self) -> u64 {
        self.fixture.clock.now().epoch_seconds()
    }

    fn is_alive(&self, session: usize) -> bool {
        let Modelled { alive, idle_deadline, absolute_deadline, .. } = self.sessions[session];
        alive && self.now() < idle_deadline && self.now() < absolute_deadline
    }

    fn open(&self, session: usize) -> Session {
        let expiry = Expiry::OnInactivity(Duration::seconds(IDLE as i64));
        self.fixture.request_with(Some(self.sessions[session].id), expiry)
    }

    /// A request that does not know what others do.
    async fn replay(&mut self, step: Step) -> Result<(), TestCaseError> {
        let session = step.session % self.sessions.len();
        let request = self.load(session).await?;
        if let Some((other, act)) = step.meanwhile {
            let other = other % self.sessions.len();
            let meanwhile = self.load(other).await?;
            self.act(other, meanwhile, act).await?;
        }
        self.act(session, request, step.end).await?;
        for session in &self.sessions {
            let found = self.fixture.store.sessions().peek::<Value>(&our_id(session.id)).await.unwrap();
            let place = self.sessions.iter().position(|other| other.id == session.id).unwrap();
            prop_assert_eq!(found.is_some(), self.is_alive(place), "{:?}", session);
            let Some(found) = found else { continue };
            prop_assert_eq!(&found.data, &json!({ "n": session.n }));
            prop_assert_eq!(found.subject().is_some(), session.is_alices);
            prop_assert_eq!(found.absolute_deadline().epoch_seconds(), session.absolute_deadline);
        }
        Ok(())
    }

    /// `None`: there is no such session, and the request does no more.
    async fn load(&mut self, session: usize) -> Result<Option<Session>, TestCaseError> {
        let request = self.open(session);
        let n = request.get::<u32>("n").await.unwrap();
        let alive = self.is_alive(session);
        prop_assert_eq!(n, alive.then_some(self.sessions[session].n));
        if alive {
            self.sessions[session].idle_deadline = self.now() + IDLE;
        }
        Ok(n.map(|_| request))
    }

    async fn act(&mut self, session: usize, request: Option<Session>, act: Act) -> Result<(), TestCaseError> {
        if let Act::Wait(seconds) = act {
            self.fixture.clock.advance(seconds);
        }
        let Some(request) = request else { return Ok(()) };
        let alive = self.is_alive(session);
        self.next += 1;
        let n = self.next;
        match act {
            Act::Wait(_) => {}
            Act::Save => {
                request.insert("n", n).await.unwrap();
                prop_assert_eq!(request.save().await.is_ok(), alive);
                if alive {
                    self.sessions[session].n = n;
                    self.sessions[session].idle_deadline = self.now() + IDLE;
                }
            }
            Act::Cycle | Act::LogIn => {
                let logs_in = matches!(act, Act::LogIn);
                request.insert("n", n).await.unwrap();
                if logs_in {
                    log_in(&request, &self.alice).await.unwrap();
                } else {
                    request.cycle_id().await.unwrap();
                }
                prop_assert_eq!(request.save().await.is_ok(), alive);
                if alive {
                    self.sessions[session].alive = false;
                    let renewed = Modelled {
                        id: request.id().unwrap(),
                        alive: true,
                        n,
                        is_alices: logs_in || self.sessions[session].is_alices,
                        idle_deadline: self.now() + IDLE,
                        ..self.sessions[session].clone()
                    };
                    self.sessions.push(renewed);
                }
            }
            Act::Flush => {
                request.flush().await.unwrap();
                self.sessions[session].alive = false;
            }
            Act::Everywhere => {
                self.fixture.store.log_out_everywhere(&self.alice).await.unwrap();
                self.sessions.iter_mut().for_each(|session| session.alive &= !session.is_alices);
            }
        }
        Ok(())
    }
}

/// Generated histories of requests that meet each other. `STORE_HISTORIES` is their number; 60 by default.
#[test]
fn histories_of_requests_agree_with_a_model() {
    let cases = std::env::var("STORE_HISTORIES").map_or(60, |text| text.parse().unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let fixture = runtime.block_on(Fixture::new(Config { touch_interval_seconds: 0, ..Config::default() }));
    let config = Proptest { cases, failure_persistence: None, ..Proptest::default() };
    let histories = AtomicU32::new(0);
    let result = TestRunner::new(config).run(&steps(), |steps| {
        runtime.block_on(async {
            let alice = format!("alice {}", histories.fetch_add(1, Ordering::Relaxed));
            let mut history = History { fixture: &fixture, alice, sessions: Vec::new(), next: 0 };
            for _ in 0..2 {
                let expiry = Expiry::OnInactivity(Duration::seconds(IDLE as i64));
                let session = fixture.request_with(None, expiry);
                session.insert("n", 0).await.unwrap();
                session.save().await.unwrap();
                history.sessions.push(Modelled {
                    id: session.id().unwrap(),
                    alive: true,
                    n: 0,
                    is_alices: false,
                    idle_deadline: history.now() + IDLE,
                    absolute_deadline: history.now() + 43_200,
                });
            }
            for step in steps {
                history.replay(step).await?;
            }
            Ok(())
        })
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
}

#[tokio::test]
async fn a_session_that_the_application_has_emptied_is_nobodys() {
    let fixture = Fixture::default().await;
    let session = fixture.request(None);
    log_in(&session, "alice").await.unwrap();
    session.save().await.unwrap();
    let id = session.id().unwrap();
    let session = fixture.request(Some(id));
    session.clear().await;
    session.insert("notice", "good bye").await.unwrap();
    session.save().await.unwrap();
    let later = fixture.request(Some(id));
    assert_eq!(subject(&later).await.unwrap(), None);
    assert_eq!(later.get::<String>("notice").await.unwrap().as_deref(), Some("good bye"));
    assert!(fixture.store.sessions().sessions_of(&"alice".parse().unwrap()).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_user_without_a_new_id_is_bound_all_the_same() {
    let fixture = Fixture::default().await;
    let id = fixture.stored(1).await;
    let session = fixture.request(Some(id));
    session.insert(SUBJECT, "alice").await.unwrap();
    session.save().await.unwrap();
    fixture.store.log_out_everywhere("alice").await.unwrap();
    assert_eq!(fixture.n(id).await, None);
}

/// As a later release of tower-sessions does: the new session first, and then the end of the old one.
#[tokio::test]
async fn a_cycle_may_create_before_it_deletes() {
    let fixture = Fixture::default().await;
    let old = fixture.stored(1).await;
    let mut record = fixture.store.load(&old).await.unwrap().unwrap();
    fixture.store.create(&mut record).await.unwrap();
    fixture.store.delete(&old).await.unwrap();
    assert_eq!((fixture.n(old).await, fixture.n(record.id).await), (None, Some(1)));
    // A second one of the same session, or one after a logout, does not go on.
    let mut late = fixture.store.load(&record.id).await.unwrap().unwrap();
    fixture.store.delete(&record.id).await.unwrap();
    fixture.store.delete(&record.id).await.unwrap();
    assert!(fixture.store.create(&mut late).await.is_err());
}

#[tokio::test]
async fn a_setting_leaves_labels_out() {
    let fixture = Fixture::new(Config { labels: false, ..Config::default() }).await;
    let session = fixture.request(None);
    log_in(&session, "ada").await.unwrap();
    note_device(&session, &Browser::of(&Default::default(), Some([192, 0, 2, 1].into()))).await.unwrap();
    session.save().await.unwrap();
    let [(listed, _)] = &fixture.store.sessions_of("ada", &session).await.unwrap()[..] else { panic!() };
    assert_eq!((listed.device.label(), listed.device.context()), (None, None));
}

#[tokio::test]
async fn a_user_sees_where_they_are_logged_in_and_ends_one() {
    let fixture = Fixture::default().await;
    let agent = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0";
    let login = async |agent: &str, address: [u8; 4]| {
        let session = fixture.request(None);
        log_in(&session, "ada").await.unwrap();
        let headers = [("user-agent".parse().unwrap(), agent.parse().unwrap())].into_iter().collect();
        note_device(&session, &Browser::of(&headers, Some(address.into()))).await.unwrap();
        session.save().await.unwrap();
        fixture.clock.advance(1);
        session.id()
    };
    let laptop = login(agent, [192, 0, 2, 1]).await;
    let phone = login("curl/8", [192, 0, 2, 2]).await;
    let this = fixture.request(laptop);
    let listed = fixture.store.sessions_of("ada", &this).await.unwrap();
    let shown: Vec<_> = listed.iter().map(|(each, this)| (each.device.label(), *this)).collect();
    assert_eq!(shown, [(Some("curl"), false), (Some("Firefox on Linux"), true)]);
    assert_eq!(listed[1].0.device.context(), Some(r#"{"address":"192.0.2.1"}"#));
    assert!(!fixture.store.revoke("eve", &listed[0].0.name).await.unwrap());
    assert!(fixture.store.revoke("ada", &listed[0].0.name).await.unwrap());
    assert!(fixture.store.load(&phone.unwrap()).await.unwrap().is_none());
    assert!(fixture.store.is_logged_in_within(&this, 60).await.unwrap());
    fixture.clock.advance(61);
    assert!(!fixture.store.is_logged_in_within(&this, 60).await.unwrap());
    login(agent, [192, 0, 2, 3]).await;
    fixture.store.log_out_everywhere_else("ada", &this).await.unwrap();
    assert_eq!(fixture.store.sessions_of("ada", &this).await.unwrap().len(), 1);
}
