//! The Lambda function `renew`.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    let service = service::start()?;
    service::run(|request| renew::handle(&service, request)).await
}
