//! A login with axum: on this machine with `cargo run -p tower-sessions-dynamodb-web-store --example login`, and the same
//! program as a Lambda function behind an HTTP API.

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Form, Router};
use dynamodb_web_session::{BoxError, Config};
use serde::Deserialize;
use tower_sessions::{Session, SessionManagerLayer};
use tower_sessions_dynamodb_web_store::{DynamoDbStore, log_in, subject};

#[derive(Deserialize)]
struct Login {
    user: String,
}

type Answer = Result<String, StatusCode>;

async fn visit(session: Session) -> Answer {
    let visits = session.get::<u64>("visits").await.map_err(failed)?.unwrap_or(0) + 1;
    session.insert("visits", visits).await.map_err(failed)?;
    let user = subject(&session).await.map_err(failed)?;
    Ok(format!("user: {}, visits: {visits}", user.as_deref().unwrap_or("none")))
}

/// After the password was verified.
async fn login(session: Session, Form(Login { user }): Form<Login>) -> Answer {
    log_in(&session, &user).await.map_err(failed)?;
    Ok(format!("welcome, {user}"))
}

async fn logout(session: Session) -> Answer {
    session.flush().await.map_err(failed)?;
    Ok("good bye".into())
}

async fn everywhere(State(store): State<DynamoDbStore>, session: Session) -> Answer {
    let user = subject(&session).await.map_err(failed)?.ok_or(StatusCode::UNAUTHORIZED)?;
    // First: if it fails, this session is still the user's, who can try again.
    store.log_out_everywhere(&user).await.map_err(|error| failed(error.into()))?;
    session.flush().await.map_err(failed)?;
    Ok("good bye, everywhere".into())
}

fn failed(error: tower_sessions::session::Error) -> StatusCode {
    eprintln!("error: {error}");
    StatusCode::SERVICE_UNAVAILABLE
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let store = DynamoDbStore::connect(Config::from_env()?).await?;
    let app = Router::new()
        .route("/", get(visit))
        .route("/login", post(login))
        .route("/logout", post(logout))
        .route("/everywhere", post(everywhere))
        .layer(SessionManagerLayer::new(store.clone()))
        .with_state(store);
    if std::env::var_os("AWS_LAMBDA_RUNTIME_API").is_some() {
        return lambda_http::run(app).await;
    }
    let port = std::env::var("PORT").unwrap_or_else(|_| "3001".into());
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    println!("http://localhost:{}/ is ready", listener.local_addr()?.port());
    Ok(axum::serve(listener, app).await?)
}
