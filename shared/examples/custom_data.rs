//! A session whose data is your own struct.

use dynamodb_web_session::{Config, SessionManager};
use serde::{Deserialize, Serialize};

#[derive(Default, Serialize, Deserialize)]
struct MySession {
    fruit: String,
    color: String,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let sessions = SessionManager::connect(Config::default()).await?;

    let mut session = sessions.create(MySession::default()).await?;
    session.data.fruit = "apple".into();
    session.data.color = "red".into();
    sessions.save(&mut session).await?;

    if let Some(loaded) = sessions.load::<MySession>(session.id()).await? {
        println!("{} {}", loaded.data.fruit, loaded.data.color); // apple red
    }

    sessions.clear(session.id()).await?;
    Ok(())
}
