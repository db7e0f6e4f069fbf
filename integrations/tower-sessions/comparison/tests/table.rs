//! The cells of the table in the README of the store: what each of the two stores does.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::interceptors::BeforeTransmitInterceptorContextRef;
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::BoxError;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
};
use dynamodb_web_session::{Clock, Config, ManualClock, SessionManager, SystemClock, create_table};
use time::{Duration, OffsetDateTime};
use tower_sessions::{Session, SessionStore};
use tower_sessions_014::session::{Id as OldId, Record as OldRecord};
use tower_sessions_014::{Session as OldSession, SessionStore as OldStore};
use tower_sessions_dynamodb_store::{DynamoDBStore, DynamoDBStoreProps};
use tower_sessions_dynamodb_web_store::DynamoDbStore;

const TABLE: &str = "app_session";
const OTHER_TABLE: &str = "TowerSessions";

/// Keeps the requests to DynamoDB.
#[derive(Clone, Debug, Default)]
struct Requests(Arc<Mutex<Vec<String>>>);

impl Intercept for Requests {
    fn name(&self) -> &'static str {
        "requests"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let body = context.request().body().bytes().unwrap_or_default();
        self.0.lock().unwrap().push(String::from_utf8_lossy(body).into_owned());
        Ok(())
    }
}

struct Both {
    ours: Arc<DynamoDbStore>,
    theirs: Arc<DynamoDBStore>,
    clock: ManualClock,
    requests: Requests,
    client: Client,
}

async fn both() -> Both {
    let endpoint = embedded::start(None).await.unwrap();
    let client = embedded::client(&endpoint).await.unwrap();
    create_table(&client, TABLE).await.unwrap();
    let key =
        AttributeDefinition::builder().attribute_name("session_id").attribute_type(ScalarAttributeType::S);
    let schema = KeySchemaElement::builder().attribute_name("session_id").key_type(KeyType::Hash);
    let create = client.create_table().table_name(OTHER_TABLE).billing_mode(BillingMode::PayPerRequest);
    let create = create.attribute_definitions(key.build().unwrap()).key_schema(schema.build().unwrap());
    create.send().await.unwrap();
    let requests = Requests::default();
    let recorded = Client::from_conf(client.config().to_builder().interceptor(requests.clone()).build());
    let clock = ManualClock::starting_at(SystemClock.now());
    let config = Config { id_bytes: 16, touch_interval_seconds: 0, ..Config::default() };
    let sessions = SessionManager::new(recorded.clone(), config).unwrap().with_clock(clock.clone());
    Both {
        ours: Arc::new(DynamoDbStore::new(sessions).unwrap()),
        theirs: Arc::new(DynamoDBStore::new(recorded, DynamoDBStoreProps::default())),
        clock,
        requests,
        client,
    }
}

impl Both {
    async fn our_session(&self) -> Session {
        let session = Session::new(None, self.ours.clone(), None);
        session.insert("n", 1).await.unwrap();
        session.save().await.unwrap();
        session
    }

    async fn their_session(&self) -> OldSession {
        let session = OldSession::new(None, self.theirs.clone(), None);
        session.insert("n", 1).await.unwrap();
        session.save().await.unwrap();
        session
    }

    async fn items(&self, table: &str) -> Vec<HashMap<String, AttributeValue>> {
        self.client.scan().table_name(table).send().await.unwrap().items.unwrap()
    }
}

#[test]
fn the_release_of_tower_sessions() {
    let lock = include_str!("../Cargo.lock");
    let dependencies = |name: &str| {
        let package =
            lock.split("[[package]]").find(|package| package.contains(&format!("name = \"{name}\"\n")));
        package.unwrap().to_owned()
    };
    assert!(dependencies("tower-sessions-dynamodb-web-store").contains("\"tower-sessions 0.15"));
    assert!(dependencies("tower-sessions-dynamodb-store").contains("\"tower-sessions 0.14"));
}

#[tokio::test]
async fn the_id_in_the_table() {
    let both = both().await;
    let (ours, theirs) = (both.our_session().await, both.their_session().await);
    assert!(!format!("{:?}", both.items(TABLE).await).contains(&ours.id().unwrap().to_string()));
    assert!(format!("{:?}", both.items(OTHER_TABLE).await).contains(&theirs.id().unwrap().to_string()));
}

#[tokio::test]
async fn a_load_sees_every_write_before_it() {
    let both = both().await;
    let (ours, theirs) = (both.our_session().await, both.their_session().await);
    both.requests.0.lock().unwrap().clear();
    // With a touch interval of 0 a load is one UpdateItem, which sees every write; a peek is the read alone.
    both.ours
        .sessions()
        .peek::<serde_json::Value>(&ours.id().unwrap().to_string())
        .await
        .unwrap();
    both.theirs.load(&theirs.id().unwrap()).await.unwrap().unwrap();
    let requests = both.requests.0.lock().unwrap().clone();
    assert_eq!(requests.len(), 2);
    assert!(requests[0].contains(r#""ConsistentRead":true"#));
    assert!(!requests[1].contains("ConsistentRead"));
}

#[tokio::test]
async fn a_save_after_a_logout() {
    let both = both().await;
    let (ours, theirs) = (both.our_session().await, both.their_session().await);
    both.ours.delete(&ours.id().unwrap()).await.unwrap();
    both.theirs.delete(&theirs.id().unwrap()).await.unwrap();
    assert!(ours.save().await.is_err());
    theirs.save().await.unwrap();
    assert!(both.ours.load(&ours.id().unwrap()).await.unwrap().is_none());
    assert!(both.theirs.load(&theirs.id().unwrap()).await.unwrap().is_some(), "the session is back");
}

#[tokio::test]
async fn a_login_while_the_session_is_logged_out() {
    let both = both().await;
    let (ours, theirs) = (both.our_session().await, both.their_session().await);
    both.ours.delete(&ours.id().unwrap()).await.unwrap();
    both.theirs.delete(&theirs.id().unwrap()).await.unwrap();
    ours.cycle_id().await.unwrap();
    theirs.cycle_id().await.unwrap();
    assert!(ours.save().await.is_err());
    theirs.save().await.unwrap();
    let back = both.theirs.load(&theirs.id().unwrap()).await.unwrap().unwrap();
    assert_eq!(back.data["n"], 1, "the data of the session that was logged out is back");
}

#[tokio::test]
async fn the_absolute_timeout() {
    let both = both().await;
    let ours = both.our_session().await;
    let id = ours.id().unwrap();
    for _ in 0..7 {
        both.clock.advance(7000);
        both.ours.load(&id).await.unwrap();
    }
    assert!(both.ours.load(&id).await.unwrap().is_none(), "13 hours of use");
    let years = OffsetDateTime::now_utc() + Duration::weeks(520);
    let mut record = OldRecord { id: OldId::default(), data: HashMap::new(), expiry_date: years };
    both.theirs.create(&mut record).await.unwrap();
    let loaded = both.theirs.load(&record.id).await.unwrap().unwrap();
    assert_eq!(loaded.expiry_date.unix_timestamp(), years.unix_timestamp());
}

#[tokio::test]
async fn a_load_slides_the_idle_deadline() {
    let both = both().await;
    let (ours, theirs) = (both.our_session().await, both.their_session().await);
    let (before, their_before) = (both.items(TABLE).await, both.items(OTHER_TABLE).await);
    both.clock.advance(100);
    both.ours.load(&ours.id().unwrap()).await.unwrap();
    both.theirs.load(&theirs.id().unwrap()).await.unwrap();
    assert_ne!(both.items(TABLE).await, before);
    assert_eq!(both.items(OTHER_TABLE).await, their_before);
}

#[tokio::test]
async fn all_sessions_of_a_user_can_be_ended() {
    let both = both().await;
    let ours = both.our_session().await;
    tower_sessions_dynamodb_web_store::log_in(&ours, "alice").await.unwrap();
    ours.save().await.unwrap();
    both.ours.log_out_everywhere("alice").await.unwrap();
    assert!(both.ours.load(&ours.id().unwrap()).await.unwrap().is_none());
}
