//! The sessions that the calls are for.

use serde_json::{Value, json};

use super::{Table, event};

/// Data of about this many bytes.
pub fn data(bytes: usize) -> Value {
    json!({ "fruit": "apple ".repeat(bytes / 6) })
}

/// Creates a session with this much data, and returns its ID.
pub fn create_session(table: &Table, bytes: usize) -> String {
    let body = json!({ "data": data(bytes), "idle_timeout_seconds": 86_400 }).to_string();
    issued(&table.function("create").call(&event("POST", "/session", None, Some(body))).0)
}

/// The ID in the response to a create or a renewal.
pub fn issued(response: &Value) -> String {
    let session: Value = serde_json::from_str(response["body"].as_str().unwrap()).unwrap();
    session["session_id"].as_str().unwrap().to_owned()
}
