//! The load function, with its connection opened at init by a load that finds no session.

use dynamodb_web_session::SessionId;
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    let service = service::start()?;
    let unknown: SessionId = "A".repeat(43).parse()?;
    service.sessions.load::<Value>(&unknown).await?;
    service::run(|request| load::handle(&service, request)).await
}
