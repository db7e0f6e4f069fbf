//! The Lambda function `create`.

use dynamodb_web_session::http;
use lambda_http::{Error, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let sessions = http::start()?;
    http::run(service_fn(|request| create::handle(&sessions, request))).await
}
