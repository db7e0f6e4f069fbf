//! The embedded DynamoDB, for tests and for a first look.

use std::path::Path;

use dynamodb_web_session::{ErrorCode, chain};
use napi::Env;
use napi::bindgen_prelude::PromiseRaw;
use napi_derive::napi;

use crate::errors::exception;

/// Serves an embedded DynamoDB with the session table on a port of 127.0.0.1, as long as the process lives, and returns its
/// URL.
#[napi]
pub fn serve_embedded_dynamo_db<'env>(
    env: &'env Env,
    port: u16,
    data: Option<String>,
    table_name: String,
) -> napi::Result<PromiseRaw<'env, String>> {
    env.spawn_future(async move {
        let url = embedded::serve(port, data.as_deref().map(Path::new), &table_name).await;
        url.map_err(|error| exception(ErrorCode::Internal.as_str(), chain(error.as_ref())))
    })
}
