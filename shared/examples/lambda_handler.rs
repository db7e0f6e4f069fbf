//! A Lambda function with a session: it counts the visits of each browser.

use dynamodb_web_session::{Config, SessionId, SessionManager, lambda_client};
use lambda_http::{Error, Request, Response, run, service_fn};
use serde::{Deserialize, Serialize};

#[derive(Default, Serialize, Deserialize)]
struct Visitor {
    visits: u64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let sessions = SessionManager::new(lambda_client()?, Config::from_env()?)?;
    run(service_fn(|request| count_visit(&sessions, request))).await
}

async fn count_visit(sessions: &SessionManager, request: Request) -> Result<Response<String>, Error> {
    let loaded = match session_id(&request) {
        Some(id) => sessions.load::<Visitor>(&id).await?,
        None => None,
    };
    // The ID of a dead session is never used again: the visitor gets a new session with a new ID.
    let mut session = match loaded {
        Some(session) => session,
        None => sessions.create(Visitor::default()).await?,
    };
    session.data.visits += 1;
    sessions.save(&mut session).await?;

    let cookie = format!("__Host-id={}; Path=/; Secure; HttpOnly; SameSite=Lax", session.id().expose());
    let text = format!("visit {}", session.data.visits);
    Ok(Response::builder().header("set-cookie", cookie).body(text)?)
}

fn session_id(request: &Request) -> Option<SessionId> {
    let cookies = request.headers().get("cookie")?.to_str().ok()?;
    let id = cookies.split("; ").find_map(|cookie| cookie.strip_prefix("__Host-id="))?;
    id.parse().ok()
}
