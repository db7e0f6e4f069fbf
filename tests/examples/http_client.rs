//! A client of the service, over plain HTTP.

use serde_json::{Value, json};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (http, url) = (reqwest::Client::new(), std::env::var("SESSION_URL")?);
    let created: Value =
        http.post(&url).json(&json!({ "data": { "fruit": "apple" } })).send().await?.json().await?;
    let id = created["session_id"].as_str().ok_or("no session")?;
    let pear = json!({ "data": { "fruit": "pear" } });
    http.put(&url).header("x-session-id", id).json(&pear).send().await?.error_for_status()?;
    let loaded: Value = http.get(&url).header("x-session-id", id).send().await?.json().await?;
    println!("{}", loaded["data"]); // {"fruit":"pear"}
    http.delete(&url).header("x-session-id", id).send().await?.error_for_status()?;
    Ok(())
}
