//! What a call costs with few and with many sessions in the table.

use std::fmt::Write;
use std::process::Command;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
use local::{Template, dynamodb};
use serde_json::json;
use tokio::runtime::Runtime;

use crate::bootstrap;
use crate::compare::microseconds;
use crate::function::{Function, cpu, event};
use crate::report;

const CALLS: usize = 4000;
/// DynamoDB's limit on the items of a BatchWriteItem.
const BATCH: usize = 25;

/// A table of its own, in an embedded DynamoDB.
pub struct Table {
    pub endpoint: String,
    client: Client,
    filled: usize,
}

impl Table {
    pub const NAME: &str = "app_session";

    pub fn new(runtime: &Runtime) -> Self {
        runtime.block_on(async {
            let endpoint = dynamodb::start_embedded(None).await.unwrap();
            let client = dynamodb::client(&endpoint).await.unwrap();
            let template = Template::load().unwrap();
            dynamodb::ensure_table(&client, Self::NAME, &template.table).await.unwrap();
            Self { endpoint, client, filled: 0 }
        })
    }

    /// Adds another table with the same key.
    pub fn add(&self, runtime: &Runtime, name: &str) {
        let template = Template::load().unwrap();
        runtime.block_on(dynamodb::ensure_table(&self.client, name, &template.table)).unwrap();
    }

    /// Starts the function `name` on this table.
    pub fn function(&self, name: &str) -> Function {
        let mut program = Command::new(bootstrap(name));
        self.configure(&mut program);
        Function::start(program).0
    }

    /// Gives a function that is about to be started this table.
    pub fn configure(&self, program: &mut Command) {
        program.env_clear();
        program.env("SESSION_TABLE_NAME", Self::NAME).env("AWS_ENDPOINT_URL_DYNAMODB", &self.endpoint);
    }

    /// Fills the table up to `sessions` with copies of the one whose loggable ID is `loggable_id`.
    fn fill(&mut self, runtime: &Runtime, loggable_id: &str, sessions: usize) {
        runtime.block_on(async {
            let key = AttributeValue::S(loggable_id.to_owned());
            let get = self.client.get_item().table_name(Self::NAME).key("id", key);
            let item = get.send().await.unwrap().item.unwrap();
            while self.filled < sessions {
                let writes = (self.filled..self.filled + BATCH).map(|n| {
                    let mut copy = item.clone();
                    // As evenly spread as hashes are.
                    let id = (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                    copy.insert("id".into(), AttributeValue::S(format!("{id:016x}{loggable_id}")));
                    let put = PutRequest::builder().set_item(Some(copy)).build().unwrap();
                    WriteRequest::builder().put_request(put).build()
                });
                let batch = self.client.batch_write_item().request_items(Self::NAME, writes.collect());
                let unprocessed = batch.send().await.unwrap().unprocessed_items;
                assert!(unprocessed.is_none_or(|items| items.is_empty()));
                self.filled += BATCH;
            }
        });
    }
}

pub fn median(mut spans: Vec<Duration>) -> Duration {
    spans.sort_unstable();
    spans[spans.len() / 2]
}

pub fn run() {
    crate::build(&crate::FUNCTIONS);
    let runtime = Runtime::new().unwrap();
    let mut table = Table::new(&runtime);
    let body = json!({ "data": { "fruit": "apple ".repeat(40) } }).to_string();
    let (created, _) = table.function("create").call(&event("POST", "/session", None, Some(body.clone())));
    let session: serde_json::Value = serde_json::from_str(created["body"].as_str().unwrap()).unwrap();
    let id = session["session_id"].as_str().unwrap();
    let calls = [
        ("load", event("GET", "/session", Some(id), None)),
        ("save", event("PUT", "/session", Some(id), Some(body.clone()))),
        ("create", event("POST", "/session", None, Some(body))),
    ];
    let mut functions = calls.map(|(name, event)| (name, event, table.function(name)));

    let mut text = report::circumstances("cargo bench -p benches -- table");
    text.push_str(
        "\n| sessions in the table | load: median, µs | CPU, µs | save: median | CPU | create: median | CPU |\n\
         | ---: | --- | --- | --- | --- | --- | --- |\n",
    );
    let mut first = Vec::new();
    for sessions in [1000, 100_000, 1_000_000] {
        table.fill(&runtime, session["loggable_session_id"].as_str().unwrap(), sessions);
        let mut costs = Vec::new();
        for (name, event, function) in &mut functions {
            let before = cpu(function.id());
            let spans = (0..CALLS).map(|_| {
                let (response, span) = function.call(event);
                let status = response["statusCode"].as_u64().unwrap();
                assert!((200..300).contains(&status), "{name}: {response}");
                span
            });
            costs.push(microseconds(median(spans.collect())));
            costs.push(microseconds(cpu(function.id()) - before) / CALLS as f64);
        }
        if first.is_empty() {
            first.clone_from(&costs);
        }
        let cells =
            costs.iter().zip(&first).map(|(now, first)| format!("{now:.0} ({:.2} times)", now / first));
        writeln!(text, "| {sessions} | {} |", cells.collect::<Vec<_>>().join(" | ")).unwrap();
    }
    report::write("reliability.md", "table", &text);
}
