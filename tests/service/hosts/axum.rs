//! The example of the store for tower-sessions: one program, on this machine and as a Lambda function.

use std::process::Stdio;

use reqwest::header::{COOKIE, SET_COOKIE};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::harness::{Function, Service, program};

/// The answer, and the cookie that it sets or else the old one.
type Answer = (String, String);

fn cookie_of(set: Option<&str>, old: &str) -> String {
    set.map_or(old, |set| set.split(';').next().unwrap()).to_owned()
}

/// Logs in on two devices, and out everywhere.
async fn log_in_and_out(call: impl AsyncFn(&str, &str, &str) -> Answer) {
    let (first, planted) = call("GET", "/", "").await;
    assert_eq!(first, "user: none, visits: 1");
    let (welcome, laptop) = call("POST", "/login", &planted).await;
    assert_eq!(welcome, "welcome, alice");
    assert_ne!(laptop, planted, "a login gives the session a new ID");
    assert_eq!(call("GET", "/", &planted).await.0, "user: none, visits: 1");
    assert_eq!(call("GET", "/", &laptop).await.0, "user: alice, visits: 2");
    let (_, phone) = call("POST", "/login", "").await;
    assert_eq!(call("POST", "/everywhere", &phone).await.0, "good bye, everywhere");
    for cookie in [laptop, phone] {
        assert_eq!(call("GET", "/", &cookie).await.0, "user: none, visits: 1");
    }
}

#[tokio::test]
async fn the_axum_example_on_this_machine() {
    let service = Service::start().await;
    let mut example = Command::new(program("examples/login").await);
    example.env("AWS_ENDPOINT_URL_DYNAMODB", &service.proxy.url).env("SESSION_TABLE_NAME", &service.table);
    example.envs([
        ("AWS_ACCESS_KEY_ID", "local"),
        ("AWS_SECRET_ACCESS_KEY", "local"),
        ("AWS_REGION", "us-east-1"),
    ]);
    let mut example = example.env("PORT", "0").stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(example.stdout.take().unwrap()).read_line(&mut line).await.unwrap();
    let url = line.split("/ is ready").next().unwrap();
    let http = reqwest::Client::new();
    log_in_and_out(async |method, path, cookie| {
        let request = http.request(method.parse().unwrap(), format!("{url}{path}")).header(COOKIE, cookie);
        let form = request.header("content-type", "application/x-www-form-urlencoded").body("user=alice");
        let response = form.send().await.unwrap();
        let set = response.headers().get(SET_COOKIE).map(|set| set.to_str().unwrap().to_owned());
        (response.text().await.unwrap(), cookie_of(set.as_deref(), cookie))
    })
    .await;
}

#[tokio::test]
async fn the_axum_example_as_a_lambda_function() {
    let service = Service::start().await;
    let function = Function::run(program("examples/login").await, &service).await;
    log_in_and_out(async |method, path, cookie| {
        let cookies: Vec<_> = Some(cookie).filter(|cookie| !cookie.is_empty()).into_iter().collect();
        let event = json!({
            "version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": "", "cookies": cookies,
            "headers": { "content-type": "application/x-www-form-urlencoded" }, "body": "user=alice", "isBase64Encoded": false,
            "requestContext": { "http": { "method": method, "path": path, "sourceIp": "192.0.2.1" }, "requestId": "r", "stage": "$default" },
        });
        let response: Value = function.call(&event).await;
        let set = response["cookies"][0].as_str();
        (response["body"].as_str().unwrap_or_default().to_owned(), cookie_of(set, cookie))
    })
    .await;
}
