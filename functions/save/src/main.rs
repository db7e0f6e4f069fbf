//! The Lambda function `save`.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    let service = service::start()?;
    service::run(|request| save::handle(&service, request)).await
}
