//! The session table, in an embedded DynamoDB.

use dynamodb_web_session::create_table;
use std::process::Command;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
use tokio::runtime::Runtime;

use super::function::Function;
use crate::bootstrap;

/// DynamoDB's limit on the items of a BatchWriteItem.
const BATCH: usize = 25;

/// A table in an embedded DynamoDB.
pub struct Table {
    pub endpoint: String,
    client: Client,
    filled: usize,
}

impl Table {
    pub const NAME: &str = "app_session";

    pub fn new(runtime: &Runtime) -> Self {
        runtime.block_on(async {
            let endpoint = embedded::start(None).await.unwrap();
            let client = embedded::client(&endpoint).await.unwrap();
            create_table(&client, Self::NAME).await.unwrap();
            Self { endpoint, client, filled: 0 }
        })
    }

    /// Adds another table with the same key.
    pub fn add(&self, runtime: &Runtime, name: &str) {
        runtime.block_on(create_table(&self.client, name)).unwrap();
    }

    /// Starts the function `name` on this table.
    pub fn function(&self, name: &str) -> Function {
        let mut program = Command::new(bootstrap(name));
        self.configure(&mut program);
        Function::start(program).0
    }

    /// Sets the environment of a function that is to use this table.
    pub fn configure(&self, program: &mut Command) {
        program.env_clear();
        program.env("SESSION_TABLE_NAME", Self::NAME).env("AWS_ENDPOINT_URL_DYNAMODB", &self.endpoint);
    }

    /// Fills the table up to `sessions` with copies of the one whose loggable ID is `loggable_id`.
    pub fn fill(&mut self, runtime: &Runtime, loggable_id: &str, sessions: usize) {
        runtime.block_on(async {
            let key = AttributeValue::S(loggable_id.to_owned());
            let get = self.client.get_item().table_name(Self::NAME).key("id", key);
            let item = get.send().await.unwrap().item.unwrap();
            while self.filled < sessions {
                let writes = (self.filled..self.filled + BATCH).map(|n| {
                    let mut copy = item.clone();
                    // Spread evenly, as hashes are.
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
