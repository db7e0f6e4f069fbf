//! The embedded DynamoDB, for tests and for a first look.

use dynamodb_web_session::chain;
use local::{Template, dynamodb};
use napi::Env;
use napi::bindgen_prelude::PromiseRaw;
use napi_derive::napi;

use crate::errors::exception;

/// Serves an embedded DynamoDB with the session table on a port of 127.0.0.1, as long as the process lives, and returns its
/// URL.
#[napi]
pub fn serve_local_dynamo_db<'env>(
    env: &'env Env,
    port: u16,
    data: Option<String>,
    table_name: String,
) -> napi::Result<PromiseRaw<'env, String>> {
    env.spawn_future(async move {
        let start = async {
            let embedded = dynamodb::start_embedded(data.as_deref().map(std::path::Path::new)).await?;
            let client = dynamodb::client(&embedded).await?;
            dynamodb::ensure_table(&client, &table_name, &Template::load()?.table).await?;
            dynamodb::guard(&embedded, port).await
        };
        start.await.map_err(|error| exception("INTERNAL", chain(error.as_ref())))
    })
}
