//! A session with the default settings: created, filled, saved, loaded, cleared.

use dynamodb_web_session::{Config, SessionManager};
use serde_json::{Value, json};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let sessions = SessionManager::connect(Config::default()).await?;

    // Create a session, and keep its ID for later use.
    let mut session = sessions.create(json!({})).await?;
    let id = session.id().clone();

    session.data["foo"] = json!("bar");
    session.data["one"] = json!(1);
    sessions.save(&mut session).await?;

    println!("{}", id.expose()); // the only way to print an ID: WaHnSSou4d5Rq0k11vFGafe4sjMrkwiVhNziIWLLwMc
    println!("{}", id.loggable()); // 517286da2682be08dc9975612dc86d65487f0990906656f6…

    if let Some(loaded) = sessions.load::<Value>(&id).await? {
        println!("{} {}", loaded.data["foo"], loaded.data["one"]); // "bar" 1
    }

    sessions.clear(&id).await?;
    Ok(())
}
