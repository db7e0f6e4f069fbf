//! The Lambda function `authorize`.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    let service = service::start()?;
    service::run_authorizer(|event| authorize::handle(&service, event)).await
}
