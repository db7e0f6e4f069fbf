//! The Lambda function `clear`.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    let service = service::start()?;
    service::run(|request| clear::handle(&service, request)).await
}
