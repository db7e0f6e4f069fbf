//! A manager with its own settings.

use dynamodb_web_session::{Config, SessionManager, Timeouts};
use serde_json::json;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let config = Config {
        id_bytes: 128,
        table_name: "app_session".into(),
        endpoint_url: std::env::var("AWS_ENDPOINT_URL_DYNAMODB").ok(), // such as http://localhost:8000
        region: Some("eu-central-1".into()),
        timeouts: Timeouts { idle_seconds: 900, absolute_seconds: 14_400 },
        ..Config::default() // or ..Config::from_env()?
    };
    let sessions = SessionManager::connect(config).await?;

    let mut session = sessions.create(json!({ "foo": "bar" })).await?;
    session.timeouts.idle_seconds = 30; // for this session only
    sessions.save(&mut session).await?;

    println!("{} {:?}", session.id().expose().len(), session.timeouts); // 171 Timeouts { idle_seconds: 30, absolute_seconds: 14400 }
    Ok(())
}
