//! The commands for a session table, as `cargo run -- table …` has them. The packages run the same code.

use std::process::{Output, Stdio};

use dynamodb_web_session::Subject;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::harness::{Action, Service, program};

struct Commands<'a> {
    service: &'a Service,
    table: String,
}

impl<'a> Commands<'a> {
    fn of(service: &'a Service) -> Self {
        Self { service, table: service.table.clone() }
    }

    async fn run(&self, arguments: &[&str], input: &str) -> Output {
        let mut command = Command::new(program("local").await);
        command.arg("table").args(arguments).env("SESSION_TABLE_NAME", &self.table);
        command.env("AWS_ENDPOINT_URL_DYNAMODB", &self.service.proxy.url).env("AWS_REGION", "us-east-1");
        command.env("AWS_ACCESS_KEY_ID", "local").env("AWS_SECRET_ACCESS_KEY", "local");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut stdin = process.stdin.take().unwrap();
        drop(stdin.write_all(input.as_bytes()).await); // not every command reads it
        drop(stdin);
        process.wait_with_output().await.unwrap()
    }

    async fn printed(&self, arguments: &[&str]) -> (i32, String) {
        let output = self.run(arguments, "").await;
        let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        (output.status.code().unwrap(), text)
    }

    async fn json(&self, arguments: &[&str], input: &str) -> Value {
        let arguments: Vec<_> = arguments.iter().copied().chain(["--json"]).collect();
        let output = self.run(&arguments, input).await;
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

/// What a check has found, by its name.
fn state<'a>(checked: &'a Value, name: &str) -> &'a str {
    let mut checks = checked["checks"].as_array().unwrap().iter();
    checks.find(|check| check["name"] == name).unwrap()["state"].as_str().unwrap()
}

#[tokio::test]
async fn a_table_is_created_and_checked() {
    let service = Service::start().await;
    let mut commands = Commands::of(&service);
    commands.table += "-new";
    let (code, text) = commands.printed(&["check"]).await;
    assert!(code == 1 && text.starts_with("wrong     table"), "{text}");
    for _ in 0..2 {
        let (code, text) = commands.printed(&["create-table"]).await;
        assert!(code == 0 && text.contains(&format!("The table {} is there.", commands.table)), "{text}");
    }
    let checked = commands.json(&["check"], "").await;
    for name in ["table", "key", "TTL", "GetItem", "PutItem", "UpdateItem"] {
        assert_eq!(state(&checked, name), "ok", "{checked}");
    }
    let items = service.dynamodb.scan().table_name(&commands.table).send().await.unwrap();
    assert_eq!(items.count, 0, "a check changes nothing");
}

#[tokio::test]
async fn what_the_caller_may_not_ask_is_not_known_and_what_it_may_not_do_is_wrong() {
    let service = Service::start().await;
    let commands = Commands::of(&service);
    let denied = r#"{"__type":"com.amazon.coral.service#AccessDeniedException","Message":"no"}"#;
    // The bodies tell the questions from the reads and writes: these have a key or an item.
    service.proxy.on_every(move |body| match body.contains("\"check\"") {
        true => Action::Forward(body),
        false => Action::Respond(400, denied.to_owned()),
    });
    let checked = commands.json(&["check"], "").await;
    assert_eq!((state(&checked, "table"), state(&checked, "GetItem")), ("not known", "ok"), "{checked}");
    service.proxy.on_every(move |body| match body.contains("\"check\"") {
        true => Action::Respond(400, denied.to_owned()),
        false => Action::Forward(body),
    });
    let (code, text) = commands.printed(&["check"]).await;
    assert!(code == 1 && text.contains("wrong     UpdateItem"), "{text}");
}

#[tokio::test]
async fn sessions_are_listed_shown_and_ended() {
    let service = Service::start().await;
    let commands = Commands::of(&service);
    let alice: Subject = "alice".parse().unwrap();
    let first = service.sessions.create_for(json!({ "n": 1 }), alice.clone()).await.unwrap();
    let second = service.sessions.create_for(json!({}), alice.clone()).await.unwrap();
    let listed = commands.json(&["sessions", "--subject", "alice"], "").await;
    assert_eq!(listed["sessions"].as_array().unwrap().len(), 2);
    let (_, text) = commands.printed(&["sessions", "--subject", "alice"]).await;
    assert!(text.starts_with("2 sessions of alice") && !text.contains(first.id().expose()));

    let shown = commands.json(&["show"], first.id().expose()).await;
    assert_eq!((&shown["subject"], &shown["data"]), (&json!("alice"), &json!({ "n": 1 })));
    assert!(!shown.to_string().contains(first.id().expose()));

    let (code, _) =
        commands.printed(&["revoke", "--subject", "alice", "--except", second.loggable_id().as_str()]).await;
    assert_eq!(code, 0);
    let left = service.sessions.sessions_of(&alice).await.unwrap();
    assert_eq!(left.iter().map(|session| &session.loggable_id).collect::<Vec<_>>(), [second.loggable_id()]);
    commands.json(&["revoke", second.loggable_id().as_str()], "").await;
    assert!(service.sessions.sessions_of(&alice).await.unwrap().is_empty());
    let gone = commands.run(&["show"], first.id().expose()).await;
    assert_eq!(gone.status.code(), Some(1));
    assert!(String::from_utf8(gone.stderr).unwrap().contains("error: there is no such session"));
}

#[tokio::test]
async fn wrong_arguments_are_explained() {
    let service = Service::start().await;
    let commands = Commands::of(&service);
    for (arguments, code, said) in [
        (&["--help"][..], 0, "create-table"),
        (&["revoke"], 2, "LOGGABLE_ID"),
        (&["sessions"], 2, "--subject"),
        (&["destroy"], 2, "unrecognized subcommand"),
        (&["revoke", "no-id"], 1, "error: "),
        (&["check", "--endpoint", "nowhere"], 1, "begins with http"),
    ] {
        let (given, text) = commands.printed(arguments).await;
        assert!(given == code && text.contains(said), "{arguments:?}: {given} {text}");
    }
}
