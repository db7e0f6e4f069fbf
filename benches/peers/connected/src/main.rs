//! The load function, with its connection opened at init by a load that finds nothing.

use dynamodb_web_session::{SessionId, http};
use lambda_http::{Error, service_fn};
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let sessions = http::start()?;
    let nobody: SessionId = "A".repeat(43).parse()?;
    sessions.load::<Value>(&nobody).await?;
    http::run(service_fn(|request| load::handle(&sessions, request))).await
}
