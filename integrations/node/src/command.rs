//! The commands of `npx dynamodb-web-session`.

use dynamodb_web_session::{ErrorCode, chain};
use napi_derive::napi;

use crate::errors::exception;

/// Runs a command, which prints, and returns the exit code. It blocks: nothing else runs in such a process.
#[napi]
pub fn run_command(arguments: Vec<String>) -> napi::Result<u8> {
    commands::run_blocking(arguments).map_err(|error| exception(ErrorCode::Internal.as_str(), chain(&error)))
}
