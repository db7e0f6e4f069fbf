//! A session with its own timeouts, before and after they have passed.

use dynamodb_web_session::{Clock, Config, ManualClock, SessionManager, SystemClock, Timeouts};
use serde_json::{Value, json};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // A test moves this clock instead of waiting. Without `with_clock`, the time is the machine's.
    let clock = ManualClock::starting_at(SystemClock.now());
    let sessions = SessionManager::connect(Config::default()).await?.with_clock(clock.clone());

    let thirty_seconds = Timeouts { idle_seconds: 30, absolute_seconds: 30 };
    let session = sessions.create_with(json!({ "foo": "bar" }), thirty_seconds).await?;

    clock.advance(35);

    let loaded = sessions.load::<Value>(session.id()).await?;
    println!("{}", loaded.is_none()); // true
    Ok(())
}
