//! A service for each test, and the calls to it.

use std::collections::HashMap;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_smithy_runtime::client::retries::RetryPartition;
use dynamodb_web_session::{
    AtMaxPerSubject, Clock, Config, ManualClock, SealMode, SessionId, SessionManager, Subject, SystemClock,
    Timeouts, create_table,
};
use local::{Gateway, Template};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use service::{IdTransport, SessionService, Settings};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};

use super::proxy::Proxy;

/// A running service with its own table and a manual clock.
pub struct Service {
    /// The URL of the table service.
    pub endpoint: String,
    pub clock: ManualClock,
    pub proxy: Proxy,
    pub table: String,
    pub dynamodb: Client,
    /// The same sessions through the crate.
    pub sessions: SessionManager,
    pub url: String,
    http: reqwest::Client,
    /// The program that serves the contract in place of the Lambda functions.
    host: Option<Child>,
}

impl Service {
    /// A service with the default settings.
    pub async fn start() -> Self {
        Self::with(Config::default()).await
    }

    /// A service with these settings of the crate.
    pub async fn with(config: Config) -> Self {
        Self::with_all(config, Settings::default()).await
    }

    /// A service with these settings of the HTTP service.
    pub async fn served(settings: Settings) -> Self {
        Self::with_all(Config::default(), settings).await
    }

    pub async fn with_all(config: Config, settings: Settings) -> Self {
        let endpoint = table_service().await;
        let dynamodb = patient_client(&endpoint).await;
        let template = Template::load().unwrap();
        let table = unique_table_name();
        create_table(&dynamodb, &table).await.unwrap();

        let proxy = Proxy::before(endpoint.clone()).await;
        let clock = ManualClock::starting_at(SystemClock.now());
        let config = Config { table_name: table.clone(), ..config };
        let client = client_through(&proxy).await;
        let sessions = SessionManager::new(client, config).unwrap().with_clock(clock.clone());
        let (url, host) = match std::env::var("SESSION_HOST") {
            Ok(program) => {
                let (url, host) = start_host(&program, &proxy.url, sessions.config()).await;
                (url, Some(host))
            }
            Err(_) => {
                let gateway =
                    Gateway::new(template, SessionService { sessions: sessions.clone(), settings }).unwrap();
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let url = format!("http://{}/session", listener.local_addr().unwrap());
                tokio::spawn(gateway.serve(listener, std::future::pending()));
                (url, None)
            }
        };
        // The server closes a connection after 30 idle seconds, which can race with a call on it.
        let http = reqwest::Client::builder().pool_idle_timeout(Duration::from_secs(10)).build().unwrap();
        Self { endpoint, clock, proxy, table, dynamodb, sessions, url, http, host }
    }

    /// The same sessions through the crate, with other settings.
    pub fn other_manager(&self, config: Config) -> SessionManager {
        SessionManager::new(self.dynamodb.clone(), config).unwrap().with_clock(self.clock.clone())
    }

    /// The same sessions for another caller, whose requests pass through a proxy of its own.
    pub async fn caller(&self) -> (SessionManager, Proxy) {
        self.caller_with(self.sessions.config().clone()).await
    }

    /// The same, with other settings.
    pub async fn caller_with(&self, config: Config) -> (SessionManager, Proxy) {
        let proxy = Proxy::before(self.endpoint.clone()).await;
        let client = client_through(&proxy).await;
        let sessions = SessionManager::new(client, config).unwrap();
        (sessions.with_clock(self.clock.clone()), proxy)
    }

    pub fn request(&self, method: Method) -> Call {
        self.request_to("/session", method)
    }

    /// A request to a path of the API, such as `/session/list`.
    pub fn request_to(&self, path: &str, method: Method) -> Call {
        let url = format!("{}{path}", self.url.trim_end_matches("/session"));
        let call = Call(self.http.request(method, url));
        match self.host {
            Some(_) => call.header("x-clock", self.clock.now().epoch_seconds().to_string()),
            None => call,
        }
    }

    pub fn post(&self) -> Call {
        self.request(Method::POST)
    }

    pub fn get(&self) -> Call {
        self.request(Method::GET)
    }

    pub fn put(&self) -> Call {
        self.request(Method::PUT)
    }

    pub fn post_renew(&self) -> Call {
        self.request_to("/session/renew", Method::POST)
    }

    pub fn post_list(&self) -> Call {
        self.request_to("/session/list", Method::POST)
    }

    pub fn post_revoke(&self) -> Call {
        self.request_to("/session/revoke", Method::POST)
    }

    pub fn delete(&self) -> Call {
        self.request(Method::DELETE)
    }

    /// Creates a session that holds `data`, and returns its ID.
    pub async fn create(&self, data: Value) -> SessionId {
        self.create_with(json!({ "data": data })).await
    }

    /// On a machine that is busy with other things, a table that is too slow makes a create fail: it is sent again.
    pub async fn create_with(&self, body: Value) -> SessionId {
        let mut answer = self.post().json(&body).send().await;
        for _ in 0..5 {
            if answer.status == StatusCode::SERVICE_UNAVAILABLE {
                answer = self.post().json(&body).send().await;
            }
        }
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
        answer.session_id()
    }

    pub async fn load(&self, id: &SessionId) -> Answer {
        self.get().id(id).send().await
    }

    pub async fn save(&self, id: &SessionId, body: Value) -> Answer {
        self.put().id(id).json(&body).send().await
    }

    pub async fn renew(&self, id: &SessionId) -> Answer {
        self.post_renew().id(id).send().await
    }

    pub async fn clear(&self, id: &SessionId) -> Answer {
        self.delete().id(id).send().await
    }

    /// Creates a session of `subject` without data, and returns its ID.
    pub async fn create_for(&self, subject: &str) -> SessionId {
        self.create_with(json!({ "subject": subject })).await
    }

    /// The loggable IDs of the live sessions of `subject`, as the service lists them.
    pub async fn list(&self, subject: &str) -> Vec<String> {
        let answer = self.post_list().json(&json!({ "subject": subject })).send().await;
        let sessions = answer.assert_status(200).json();
        let sessions = sessions["sessions"].as_array().unwrap();
        sessions.iter().map(|session| session["loggable_session_id"].as_str().unwrap().to_owned()).collect()
    }

    /// Ends all sessions of `subject`.
    pub async fn revoke_all(&self, subject: &str) -> Answer {
        self.post_revoke().json(&json!({ "subject": subject })).send().await
    }

    /// The list of a subject's sessions, read directly from the table.
    pub async fn list_item(&self, subject: &str) -> Option<HashMap<String, AttributeValue>> {
        let key = format!("subject#{}", subject.parse::<Subject>().unwrap().digest());
        let get = self.dynamodb.get_item().table_name(&self.table).key("id", AttributeValue::S(key));
        get.consistent_read(true).send().await.unwrap().item
    }

    /// The record of a session, read directly from the table.
    pub async fn record(&self, id: &SessionId) -> Option<HashMap<String, AttributeValue>> {
        let key = AttributeValue::S(id.loggable().to_string());
        let get = self.dynamodb.get_item().table_name(&self.table).key("id", key).consistent_read(true);
        get.send().await.unwrap().item
    }

    /// A number in a session's record.
    pub async fn recorded(&self, id: &SessionId, attribute: &str) -> u64 {
        self.record(id).await.unwrap()[attribute].as_n().unwrap().parse().unwrap()
    }

    /// Writes an attribute of a session's record directly to the table.
    pub async fn tamper(&self, id: &SessionId, attribute: &str, value: AttributeValue) {
        let key = AttributeValue::S(id.loggable().to_string());
        let update = self.dynamodb.update_item().table_name(&self.table).key("id", key);
        let update = update
            .update_expression("SET #attribute = :value")
            .expression_attribute_names("#attribute", attribute)
            .expression_attribute_values(":value", value);
        update.send().await.unwrap();
    }

    /// How many records the table holds.
    pub async fn records(&self) -> usize {
        let scan = self.dynamodb.scan().table_name(&self.table).consistent_read(true);
        scan.send().await.unwrap().items().len()
    }

    /// The DynamoDB operations of `calls`.
    pub async fn operations_of(&self, calls: impl Future<Output = Answer>) -> Vec<String> {
        self.proxy.forget();
        calls.await;
        self.proxy.operations()
    }
}

/// The tests' own client: on a busy machine an answer may take longer than a function waits.
async fn patient_client(endpoint: &str) -> Client {
    let limit = Duration::from_secs(60);
    let limits = TimeoutConfig::builder().operation_attempt_timeout(limit).operation_timeout(limit).build();
    let client = embedded::client(endpoint).await.unwrap().config().to_builder();
    Client::from_conf(client.timeout_config(limits).build())
}

/// A client with a retry budget of its own. The SDK has one for each process.
async fn client_through(proxy: &Proxy) -> Client {
    let client = embedded::client(&proxy.url).await.unwrap().config().to_builder();
    Client::from_conf(client.retry_partition(RetryPartition::new(proxy.url.clone())).build())
}

/// Cookie transport, otherwise the default settings.
pub fn cookies() -> Settings {
    Settings { id_transport: IdTransport::Cookie, ..Settings::default() }
}

/// Starts the program that `SESSION_HOST` names: it serves the contract through a binding of the crate to another language,
/// and prints its URL.
async fn start_host(program: &str, endpoint: &str, config: &Config) -> (String, Child) {
    let Timeouts { idle_seconds, absolute_seconds } = config.timeouts;
    let seal = match config.seal {
        SealMode::Off => "false",
        SealMode::On => "true",
        SealMode::Migrate => "migrate",
    };
    let at_max = match config.at_max_per_subject {
        AtMaxPerSubject::Refuse => "refuse",
        AtMaxPerSubject::EndOldest => "end-oldest",
    };
    let mut words = program.split_whitespace();
    let mut host = Command::new(words.next().unwrap());
    host.args(words)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .env("AWS_ENDPOINT_URL_DYNAMODB", endpoint)
        .envs([
            ("AWS_ACCESS_KEY_ID", "local"),
            ("AWS_SECRET_ACCESS_KEY", "local"),
            ("AWS_REGION", "us-east-1"),
        ])
        .env("SESSION_TABLE_NAME", &config.table_name)
        .env("SESSION_IDLE_TIMEOUT_SECONDS", idle_seconds.to_string())
        .env("SESSION_ABSOLUTE_TIMEOUT_SECONDS", absolute_seconds.to_string())
        .env("SESSION_MAX_TIMEOUT_SECONDS", config.max_timeout_seconds.to_string())
        .env("SESSION_TOUCH_INTERVAL_SECONDS", config.touch_interval_seconds.to_string())
        .env("SESSION_MAX_PER_SUBJECT", config.max_per_subject.to_string())
        .env("SESSION_AT_MAX_PER_SUBJECT", at_max)
        .env("SESSION_SEAL", seal);
    let mut host = host.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let mut url = String::new();
    BufReader::new(host.stdout.take().unwrap()).read_line(&mut url).await.unwrap();
    (url.trim_end().to_owned(), host)
}

/// The table service that the tests use.
pub async fn table_service() -> String {
    match std::env::var("AWS_ENDPOINT_URL_DYNAMODB") {
        Ok(url) => url,
        Err(_) => embedded::start(None).await.unwrap(),
    }
}

fn unique_table_name() -> String {
    static TABLES: AtomicU64 = AtomicU64::new(0);
    let started = std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos();
    format!("sessions-{}-{started}-{}", std::process::id(), TABLES.fetch_add(1, Ordering::Relaxed))
}

/// A request that is not sent yet.
pub struct Call(reqwest::RequestBuilder);

impl Call {
    pub fn id(self, id: &SessionId) -> Self {
        self.header("x-session-id", id.expose())
    }

    pub fn cookie(self, id: &SessionId) -> Self {
        self.header("cookie", format!("__Host-id={}", id.expose()))
    }

    /// Adds the header that a browser sends with a same-origin request.
    pub fn by_page(self) -> Self {
        self.header("sec-fetch-site", "same-origin")
    }

    /// Adds a header and keeps existing ones.
    pub fn header(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let name: HeaderName = name.parse().unwrap();
        Self(self.0.header(name, HeaderValue::from_bytes(value.as_ref()).unwrap()))
    }

    pub fn json(self, body: &Value) -> Self {
        self.text(body.to_string())
    }

    /// A body that is sent as JSON, valid or not.
    pub fn text(self, body: impl AsRef<[u8]>) -> Self {
        Self(self.0.header("content-type", "application/json").body(body.as_ref().to_vec()))
    }

    /// A body without a content type.
    pub fn untyped(self, body: impl AsRef<[u8]>) -> Self {
        Self(self.0.body(body.as_ref().to_vec()))
    }

    pub async fn send(self) -> Answer {
        self.send_and_name().await.0
    }

    /// The response and the request ID.
    pub async fn send_and_name(self) -> (Answer, String) {
        let response = self.0.send().await.unwrap();
        let status = response.status();
        let mut headers = response.headers().clone();
        headers.remove("date");
        let request_id = headers.remove("apigw-requestid").map(|id| id.to_str().unwrap().to_owned());
        let body = response.text().await.unwrap();
        (Answer { status, headers, body }, request_id.unwrap_or_default())
    }
}

/// A response, without the date and the request ID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub fn data(&self) -> Value {
        self.json()["data"].clone()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub fn session_id(&self) -> SessionId {
        // Not parsed as JSON: data may hold what a parser refuses, such as half a surrogate pair.
        let after = self.body.split_once("\"session_id\":\"").unwrap().1;
        after.split('"').next().unwrap().parse().unwrap()
    }

    /// The ID in the cookie that the response sets.
    pub fn cookie_id(&self) -> SessionId {
        let cookie = self.header("set-cookie");
        cookie.strip_prefix("__Host-id=").unwrap().split(';').next().unwrap().parse().unwrap()
    }

    /// Asserts that this is a problem document (RFC 9457) of `status`, and returns its detail.
    #[track_caller]
    pub fn problem(&self, status: u16) -> String {
        assert_eq!(self.status.as_u16(), status, "{}", self.body);
        assert_eq!(self.header("content-type"), "application/problem+json");
        let problem = self.json();
        assert_eq!(problem["status"], status);
        let r#type = problem["type"].as_str().unwrap();
        assert!(r#type.starts_with("urn:problem-type:dynamodb-web-session:"), "{type}");
        assert!(!problem["title"].as_str().unwrap().is_empty());
        problem["detail"].as_str().unwrap_or_default().to_owned()
    }

    #[track_caller]
    pub fn assert_status(&self, status: u16) -> &Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.body);
        self
    }
}
