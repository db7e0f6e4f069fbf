//! axum-login 0.18 with sessions in DynamoDB: `cargo run -p tower-sessions-dynamodb-web-store --example axum_login`.

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Form, Router};
use axum_login::{AuthManagerLayerBuilder, AuthUser, AuthnBackend, UserId};
use dynamodb_web_session::{BoxError, Config};
use serde::Deserialize;
use tower_sessions_0_14::SessionManagerLayer;
use tower_sessions_dynamodb_web_store::v0_14::DynamoDbStore;

#[derive(Clone, Debug)]
struct User {
    id: i64,
    name: String,
    password_hash: String,
}

impl AuthUser for User {
    type Id = i64;

    fn id(&self) -> i64 {
        self.id
    }

    fn session_auth_hash(&self) -> &[u8] {
        self.password_hash.as_bytes()
    }
}

/// One user. Yours are in a database, and their passwords are verified.
#[derive(Clone)]
struct Users;

#[derive(Clone, Deserialize)]
struct Credentials {
    name: String,
}

impl AuthnBackend for Users {
    type User = User;
    type Credentials = Credentials;
    type Error = std::convert::Infallible;

    async fn authenticate(&self, credentials: Credentials) -> Result<Option<User>, Self::Error> {
        Ok(self.get_user(&7).await?.filter(|user| user.name == credentials.name))
    }

    async fn get_user(&self, id: &UserId<Self>) -> Result<Option<User>, Self::Error> {
        let user = User { id: 7, name: "alice".into(), password_hash: "changes with the password".into() };
        Ok(Some(user).filter(|user| user.id == *id))
    }
}

type AuthSession = axum_login::AuthSession<Users>;
type Answer = Result<String, StatusCode>;

async fn show(auth: AuthSession) -> String {
    auth.user.map_or("nobody".into(), |user| user.name)
}

async fn login(mut auth: AuthSession, Form(credentials): Form<Credentials>) -> Answer {
    let user = auth.authenticate(credentials).await.map_err(failed)?.ok_or(StatusCode::UNAUTHORIZED)?;
    auth.login(&user).await.map_err(failed)?;
    Ok(format!("welcome, {}", user.name))
}

async fn logout(mut auth: AuthSession) -> Answer {
    auth.logout().await.map_err(failed)?;
    Ok("good bye".into())
}

async fn everywhere(State(store): State<DynamoDbStore>, mut auth: AuthSession) -> Answer {
    let user = auth.user.clone().ok_or(StatusCode::UNAUTHORIZED)?;
    // First: if it fails, this session is still the user's, who can try again.
    store.log_out_everywhere(&user.id.to_string()).await.map_err(failed)?;
    auth.logout().await.map_err(failed)?;
    Ok("good bye, everywhere".into())
}

fn failed(error: impl std::fmt::Display) -> StatusCode {
    eprintln!("error: {error}");
    StatusCode::SERVICE_UNAVAILABLE
}

/// The application. The store knows the user from axum-login's data.
pub fn app(store: DynamoDbStore) -> Router {
    let store =
        store.with_subject(|data| Some(data.get("axum-login.data")?.get("user_id")?.as_i64()?.to_string()));
    let auth = AuthManagerLayerBuilder::new(Users, SessionManagerLayer::new(store.clone())).build();
    Router::new()
        .route("/", get(show))
        .route("/login", post(login))
        .route("/logout", post(logout))
        .route("/everywhere", post(everywhere))
        .layer(auth)
        .with_state(store)
}

#[allow(dead_code, reason = "the test has the application, and not its main")]
#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let app = app(DynamoDbStore::connect(Config::from_env()?).await?);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3001").await?;
    println!("http://localhost:{}/ is ready", listener.local_addr()?.port());
    Ok(axum::serve(listener, app).await?)
}
