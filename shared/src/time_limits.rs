//! Every time limit of a call.
//!
//! | limit | what it bounds |
//! | --- | --- |
//! | [`CONNECT`] | one TCP and TLS handshake |
//! | [`ATTEMPT`] | one attempt of a DynamoDB operation, its handshake included |
//! | [`OPERATION`] | one operation: up to three attempts and the pauses between them |
//! | [`CREATE_ATTEMPTS_WITHIN`] | when a create may start another attempt: it then ends after 2.5 + 2 seconds |
//! | [`RENEWAL_ATTEMPTS_WITHIN`] | when a renewal may start again: its last two operations end after 1 + 4 + 4 seconds |
//! | [`REQUESTS_WITHIN`] | when a call of many requests may send another: the last one ends after 5 + 4 seconds |
//!
//! The template gives a function 10 seconds, and API Gateway a request 30.

use std::time::Duration;

pub(crate) const CONNECT: Duration = Duration::from_secs(1);
pub(crate) const ATTEMPT: Duration = Duration::from_secs(2);
pub(crate) const OPERATION: Duration = Duration::from_secs(4);
pub(crate) const CREATE_ATTEMPTS_WITHIN: Duration = Duration::from_millis(2500);
pub(crate) const RENEWAL_ATTEMPTS_WITHIN: Duration = Duration::from_secs(1);
pub(crate) const REQUESTS_WITHIN: Duration = Duration::from_secs(5);
