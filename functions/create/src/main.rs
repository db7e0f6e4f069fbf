//! The Lambda function `create`.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    let service = service::start()?;
    service::run(|request| create::handle(&service, request)).await
}
