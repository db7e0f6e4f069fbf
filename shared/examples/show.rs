//! Shows a session, given its ID: sealed, deflated or plain data alike. It does not count as a use.
//!
//! The ID comes from the standard input, because arguments are visible to other users of the machine. Table and endpoint
//! come from the environment.

use dynamodb_web_session::{Config, SessionId, SessionManager};
use serde_json::value::RawValue;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    let id: SessionId = line.trim().parse()?;
    let sessions = SessionManager::connect(Config::from_env()?).await?;
    let session = sessions.peek::<Box<RawValue>>(&id).await?.ok_or("there is no such session")?;

    println!("loggable ID  {}", session.loggable_id());
    println!("subject      {}", session.subject().map_or("none", |subject| subject.as_str()));
    println!("created      {}", session.created());
    println!("idle until   {}", session.idle_deadline());
    println!("ends         {}", session.absolute_deadline());
    println!("etag         {}", session.etag().as_str());
    println!("data         {}", session.data);
    Ok(())
}
