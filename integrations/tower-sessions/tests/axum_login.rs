//! The example of axum-login, over HTTP.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../examples/axum_login.rs"]
mod example;

use dynamodb_web_session::{Config, SessionManager, create_table};
use reqwest::{Client, StatusCode};
use tower_sessions_dynamodb_web_store::v0_14::DynamoDbStore;

/// The URL of the example, and its sessions.
async fn start() -> (String, SessionManager) {
    let endpoint = match std::env::var("AWS_ENDPOINT_URL_DYNAMODB") {
        Ok(url) => url,
        Err(_) => embedded::start(None).await.unwrap(),
    };
    let client = embedded::client(&endpoint).await.unwrap();
    let table = format!("axum-login-{}", std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos());
    create_table(&client, &table).await.unwrap();
    let config = Config { table_name: table, id_bytes: 16, ..Config::default() };
    let sessions = SessionManager::new(client, config).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let app = example::app(DynamoDbStore::new(sessions.clone()).unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    (url, sessions)
}

/// A browser that keeps cookies. They are `Secure`, and it takes this machine for secure, as browsers do.
struct Browser {
    client: Client,
    url: String,
    cookie: Option<String>,
}

impl Browser {
    fn new(url: &str) -> Self {
        Self { client: Client::new(), url: url.into(), cookie: None }
    }

    async fn post(&mut self, path: &str) -> (StatusCode, String) {
        let request = self
            .client
            .post(format!("{}{path}", self.url))
            .header("content-type", "application/x-www-form-urlencoded")
            .body("name=alice");
        self.send(request).await
    }

    async fn user(&mut self) -> String {
        let request = self.client.get(&self.url);
        self.send(request).await.1
    }

    async fn send(&mut self, mut request: reqwest::RequestBuilder) -> (StatusCode, String) {
        if let Some(cookie) = &self.cookie {
            request = request.header("cookie", cookie);
        }
        let response = request.send().await.unwrap();
        if let Some(set) = response.headers().get("set-cookie") {
            self.cookie = Some(set.to_str().unwrap().split(';').next().unwrap().to_owned());
        }
        (response.status(), response.text().await.unwrap())
    }
}

#[tokio::test]
async fn a_login_a_logout_and_log_out_everywhere() {
    let (url, sessions) = start().await;
    let alice = "7".parse().unwrap();
    let (mut laptop, mut phone) = (Browser::new(&url), Browser::new(&url));
    assert_eq!(laptop.user().await, "nobody");
    assert_eq!(laptop.post("/login").await, (StatusCode::OK, "welcome, alice".into()));
    phone.post("/login").await;
    assert_eq!((laptop.user().await, phone.user().await), ("alice".into(), "alice".into()));
    assert_eq!(sessions.sessions_of(&alice).await.unwrap().len(), 2);

    laptop.post("/logout").await;
    assert_eq!(laptop.user().await, "nobody");
    assert_eq!(sessions.sessions_of(&alice).await.unwrap().len(), 1);

    laptop.post("/login").await;
    assert_eq!(phone.post("/everywhere").await.1, "good bye, everywhere");
    assert_eq!((laptop.user().await, phone.user().await), ("nobody".into(), "nobody".into()));
    assert_eq!(sessions.sessions_of(&alice).await.unwrap().len(), 0);
}
