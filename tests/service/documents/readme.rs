//! The crate's README contains its examples unchanged, and they print what it says.

use std::process::Stdio;

use dynamodb_web_session::{Config, SessionId, create_table};
use serde_json::json;
use service::{IdTransport, Settings};
use tokio::process::Command;

use crate::harness::{Function, Service, program, table_service};

const CRATE_README: &str = include_str!("../../../shared/README.md");
const SETTINGS: &str = include_str!("../../../docs/settings.md");

/// Runs an example on a table service that has its table, and returns what it printed, line by line.
async fn run(example: &str, endpoint: &str) -> Vec<String> {
    let mut command = Command::new(program(&format!("examples/{example}")).await);
    command.env("AWS_ENDPOINT_URL_DYNAMODB", endpoint).env("AWS_REGION", "us-east-1");
    command.env("AWS_ACCESS_KEY_ID", "local").env("AWS_SECRET_ACCESS_KEY", "local");
    let output = command.stderr(Stdio::inherit()).output().await.unwrap();
    assert!(output.status.success(), "{example}");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn the_examples_do_what_the_readme_says() {
    let endpoint = table_service().await;
    let client = embedded::client(&endpoint).await.unwrap();
    create_table(&client, "app_session").await.unwrap();

    let printed = run("default", &endpoint).await;
    let id: SessionId = printed[0].parse().unwrap();
    assert_eq!(printed[1..], [id.loggable().to_string(), "\"bar\" 1".to_owned()]);
    assert_eq!(run("timeouts", &endpoint).await, ["true"]);
    assert_eq!(run("custom_data", &endpoint).await, ["apple red"]);
    let expected = "171 Timeouts { idle_seconds: 30, absolute_seconds: 14400 }";
    assert_eq!(run("configuration", &endpoint).await, [expected]);
}

#[test]
fn the_crate_readme_shows_the_examples_as_they_are() {
    for code in [
        include_str!("../../../shared/examples/lambda_handler.rs"),
        include_str!("../../../shared/examples/default.rs"),
        include_str!("../../../shared/examples/timeouts.rs"),
        include_str!("../../../shared/examples/custom_data.rs"),
        include_str!("../../../shared/examples/configuration.rs"),
    ] {
        let block = format!("```rust\n{code}```");
        assert!(CRATE_README.contains(&block), "shared/README.md lacks this block:\n{block}");
    }
}

/// The other clients in docs/clients.md are run by tests/deploy.
#[tokio::test]
async fn the_rust_client_in_the_documents_is_the_example_and_works() {
    let code = include_str!("../../examples/http_client.rs");
    assert!(include_str!("../../../docs/clients.md").contains(&format!("```rust\n{code}```")));
    let service = Service::start().await;
    let mut client = Command::new(program("examples/http_client").await);
    let output = client.env("SESSION_URL", &service.url).output().await.unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "{\"fruit\":\"pear\"}\n");
}

/// tests/deploy checks that these are all settings and that the template has the same defaults.
#[test]
fn the_settings_page_has_the_defaults_of_the_code() {
    let default = Config::default();
    assert_eq!(Settings::default().id_transport, IdTransport::Header);
    for (variable, value) in [
        ("SESSION_TABLE_NAME", default.table_name),
        ("SESSION_ID_BYTES", default.id_bytes.to_string()),
        ("SESSION_IDLE_TIMEOUT_SECONDS", default.timeouts.idle_seconds.to_string()),
        ("SESSION_ABSOLUTE_TIMEOUT_SECONDS", default.timeouts.absolute_seconds.to_string()),
        ("SESSION_MAX_TIMEOUT_SECONDS", default.max_timeout_seconds.to_string()),
        ("SESSION_TOUCH_INTERVAL_SECONDS", default.touch_interval_seconds.to_string()),
        ("SESSION_MAX_DATA_BYTES", default.max_data_bytes.to_string()),
        ("SESSION_ID_TRANSPORT", "header".to_owned()),
    ] {
        assert!(SETTINGS.contains(&format!("| `{variable}` | `{value}` |")), "{variable}");
    }
}

#[test]
fn the_readme_has_at_most_200_lines_and_the_crate_readme_its_version() {
    let readme = include_str!("../../../README.md");
    assert!(readme.lines().count() <= 200, "{} lines", readme.lines().count());
    let minor = env!("CARGO_PKG_VERSION").rsplit_once('.').unwrap().0;
    assert!(CRATE_README.contains(&format!("dynamodb-web-session = \"{minor}\"\n")));
}

/// Runs the example Lambda function under the Runtime API.
#[tokio::test]
async fn the_handler_in_the_crate_readme_counts_visits() {
    let service = Service::start().await;
    let function = Function::run(program("examples/lambda_handler").await, &service).await;
    let visit = async |cookies: &[&str]| {
        let event = json!({
            "version": "2.0", "routeKey": "$default", "rawPath": "/", "rawQueryString": "",
            "headers": {}, "cookies": cookies, "isBase64Encoded": false,
            "requestContext": { "http": { "method": "GET", "path": "/", "sourceIp": "192.0.2.1" }, "requestId": "r" },
        });
        let response = function.call(&event).await;
        let cookie = response["cookies"][0].as_str().unwrap().split(';').next().unwrap().to_owned();
        (response["body"].as_str().unwrap().to_owned(), cookie)
    };
    let (first, cookie) = visit(&[]).await;
    let (second, same) = visit(&["theme=dark", &cookie]).await;
    assert_eq!((first.as_str(), second.as_str()), ("visit 1", "visit 2"));
    assert_eq!(same, cookie);
    let (other, new) = visit(&["__Host-id=not-an-id"]).await;
    assert_eq!(other, "visit 1");
    assert_ne!(new, cookie);
}
