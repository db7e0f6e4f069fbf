//! The Lambda function `load`.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    let service = service::start()?;
    service::run(|request| load::handle(&service, request)).await
}
