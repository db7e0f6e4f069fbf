//! The CPU of a request that reads its session, through axum and tower-sessions, with either store on the DynamoDB at
//! `AWS_ENDPOINT_URL_DYNAMODB`, another process.

use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
};
use axum::Router;
use axum::body::Body;
use axum::http::{Request, header};
use axum::routing::get;
use dynamodb_web_session::{BoxError, Config, create_table};
use tower::ServiceExt;
use tower_sessions_dynamodb_store::{DynamoDBStore, DynamoDBStoreProps};
use tower_sessions_dynamodb_web_store::DynamoDbStore;

const BLOCKS: usize = 10;
const CALLS: u64 = 500;

async fn write(session: tower_sessions::Session) {
    session.insert("text", "x".repeat(1000)).await.unwrap();
}

async fn read(session: tower_sessions::Session) -> String {
    session.get::<String>("text").await.unwrap().unwrap().len().to_string()
}

async fn old_write(session: tower_sessions_014::Session) {
    session.insert("text", "x".repeat(1000)).await.unwrap();
}

async fn old_read(session: tower_sessions_014::Session) -> String {
    session.get::<String>("text").await.unwrap().unwrap().len().to_string()
}

/// The nanoseconds for which this thread, the only one that works, has been on a CPU.
fn cpu() -> u64 {
    let schedstat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    schedstat.split(' ').next().unwrap().parse().unwrap()
}

async fn call(app: &Router, path: &str, cookie: Option<&str>) -> (String, Option<String>) {
    let mut request = Request::get(path);
    if let Some(cookie) = cookie {
        request = request.header(header::COOKIE, cookie);
    }
    let response = app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let cookie = response.headers().get(header::SET_COOKIE);
    let cookie = cookie.map(|cookie| cookie.to_str().unwrap().split(';').next().unwrap().to_owned());
    let body = axum::body::to_bytes(response.into_body(), 100_000).await.unwrap();
    (String::from_utf8(body.to_vec()).unwrap(), cookie)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let endpoint = std::env::var("AWS_ENDPOINT_URL_DYNAMODB")?;
    let client = embedded::client(&endpoint).await?;
    create_table(&client, "app_session").await?;
    let key =
        AttributeDefinition::builder().attribute_name("session_id").attribute_type(ScalarAttributeType::S);
    let schema = KeySchemaElement::builder().attribute_name("session_id").key_type(KeyType::Hash);
    let create = client.create_table().table_name("TowerSessions").billing_mode(BillingMode::PayPerRequest);
    // It may exist.
    create.attribute_definitions(key.build()?).key_schema(schema.build()?).send().await.ok();

    let ours = Router::new()
        .route("/write", get(write))
        .route("/read", get(read))
        .layer(tower_sessions::SessionManagerLayer::new(DynamoDbStore::connect(Config::default()).await?));
    let client = aws_sdk_dynamodb::Client::new(&aws_config::load_from_env().await);
    let theirs = Router::new().route("/write", get(old_write)).route("/read", get(old_read)).layer(
        tower_sessions_014::SessionManagerLayer::new(DynamoDBStore::new(
            client,
            DynamoDBStoreProps::default(),
        )),
    );
    let mut figures = [Vec::new(), Vec::new()];
    let apps = [ours, theirs];
    let mut cookies = Vec::new();
    for app in &apps {
        cookies.push(call(app, "/write", None).await.1.ok_or("no cookie")?);
    }
    for block in 0..=BLOCKS {
        for ((app, cookie), figures) in apps.iter().zip(&cookies).zip(&mut figures) {
            let before = cpu();
            for _ in 0..CALLS {
                assert_eq!(call(app, "/read", Some(cookie)).await.0, "1000");
            }
            if block > 0 {
                figures.push((cpu() - before) / CALLS / 1000);
            }
        }
    }
    let [ours, theirs] = figures.map(|mut figures| {
        figures.sort_unstable();
        figures[figures.len() / 2]
    });
    println!(
        "CPU of a request that reads a session of 1 KB: ours {ours} µs, tower-sessions-dynamodb-store {theirs} µs: {:.2}",
        theirs as f64 / ours as f64
    );
    Ok(())
}
