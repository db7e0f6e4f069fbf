//! The README's code is the code of the examples, and the examples print what it says.

use std::process::Stdio;

use dynamodb_web_session::{Config, SessionId};
use local::{Template, dynamodb};
use service::{IdTransport, Settings};
use tokio::process::Command;

use crate::harness::{program, table_service};

const README: &str = include_str!("../../../README.md");

/// Runs an example on a table service that has its table, and returns what it printed, line by line.
async fn run(example: &str, endpoint: &str) -> Vec<String> {
    let mut command = Command::new(program(&format!("examples/{example}")).await);
    command.arg(endpoint).env("AWS_ENDPOINT_URL_DYNAMODB", endpoint).env("AWS_REGION", "us-east-1");
    command.env("AWS_ACCESS_KEY_ID", "local").env("AWS_SECRET_ACCESS_KEY", "local");
    let output = command.stderr(Stdio::inherit()).output().await.unwrap();
    assert!(output.status.success(), "{example}");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn the_examples_do_what_the_readme_says() {
    let endpoint = table_service().await;
    let client = dynamodb::client(&endpoint).await.unwrap();
    let table = Template::load().unwrap().table;
    for name in ["app_session", "my-dynamodb-table"] {
        dynamodb::ensure_table(&client, name, &table).await.unwrap();
    }

    let printed = run("default", &endpoint).await;
    let id: SessionId = printed[0].parse().unwrap();
    assert_eq!(printed[1..], [id.loggable().to_string(), "\"bar\" 1".to_owned()]);
    assert_eq!(run("timeouts", &endpoint).await, ["true"]);
    assert_eq!(run("custom_data", &endpoint).await, ["apple red"]);
    let expected = "171 Timeouts { idle_seconds: 30, absolute_seconds: 14400 }";
    assert_eq!(run("configuration", &endpoint).await, [expected]);
}

#[test]
fn the_readme_shows_the_examples_as_they_are() {
    for code in [
        include_str!("../../../shared/examples/default.rs"),
        include_str!("../../../shared/examples/timeouts.rs"),
        include_str!("../../../shared/examples/custom_data.rs"),
        include_str!("../../../shared/examples/configuration.rs"),
    ] {
        let block = format!("```rust\n{code}```");
        assert!(README.contains(&block), "the README lacks this block:\n{block}");
    }
}

/// The other clients in docs/clients.md are run by tests/deploy.
#[tokio::test]
async fn the_rust_client_in_the_documents_is_the_example_and_works() {
    let code = include_str!("../../examples/http_client.rs");
    assert!(include_str!("../../../docs/clients.md").contains(&format!("```rust\n{code}```")));
    let service = crate::harness::Service::start().await;
    let mut client = Command::new(program("examples/http_client").await);
    let output = client.env("SESSION_URL", &service.url).output().await.unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "{\"fruit\":\"pear\"}\n");
}

/// That these are all settings, and that the template has the same defaults, tests/deploy sees to.
#[test]
fn the_readme_has_the_defaults_of_the_code() {
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
        assert!(README.contains(&format!("| `{variable}` | `{value}` |")), "{variable}");
    }
}
