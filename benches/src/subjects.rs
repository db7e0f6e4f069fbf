//! What the sessions of a subject cost: in requests to DynamoDB, in its units, and in time.

use std::fmt::Write;
use std::process::Command;

use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::bootstrap;
use crate::harness::{Front, Function, Table, document, event, figures, issued, milliseconds};

const SESSIONS: [usize; 4] = [1, 10, 100, 1000];

pub fn run() {
    crate::build(&["create", "renew", "list", "revoke"]);
    let runtime = Runtime::new().unwrap();
    let table = Table::new(&runtime);
    let front = runtime.block_on(Front::before(&table.endpoint));
    let start = |name: &str| {
        let mut program = Command::new(bootstrap(name));
        table.configure(&mut program);
        program.env("AWS_CA_BUNDLE", &front.ca_bundle).env("AWS_ENDPOINT_URL_DYNAMODB", &front.url);
        Function::start(program).0
    };
    let [mut create, mut renew, mut list, mut revoke] = ["create", "renew", "list", "revoke"].map(start);
    let mut text = document::circumstances("cargo bench -p benches -- subjects");
    text += "\n| call | sessions of the subject | requests | read units | write units | ms |\n\
             | --- | ---: | ---: | ---: | ---: | ---: |\n";
    let post = |path: &str, id: Option<&str>, body: Value| event("POST", path, id, Some(body.to_string()));
    // The first call of each function opens its connection.
    for function in [&mut create, &mut list, &mut revoke] {
        function.call(&post("/session/list", None, json!({ "subject": "carol" })));
    }
    for sessions in SESSIONS {
        let subject = json!({ "subject": format!("with {sessions}") });
        for _ in 1..sessions {
            create.call(&post("/session", None, subject.clone()));
        }
        let mut row = |call: &str, function: &mut Function, event: &Value| {
            front.take_consumed();
            let (response, span) = function.call(event);
            assert!(response["statusCode"].as_u64().is_some_and(|status| status < 300), "{response}");
            let consumed = front.take_consumed();
            let cells = [consumed.requests, consumed.read_units, consumed.write_units, milliseconds(span)];
            let cells = cells.map(figures).join(" | ");
            writeln!(text, "| {call} | {sessions} | {cells} |").unwrap();
            response
        };
        let id = issued(&row("create", &mut create, &post("/session", None, subject.clone())));
        row("renew", &mut renew, &post("/session/renew", Some(&id), json!({})));
        row("list", &mut list, &post("/session/list", None, subject.clone()));
        row("revoke", &mut revoke, &post("/session/revoke", None, subject));
    }
    document::write("performance.md", "subjects", &text);
}
