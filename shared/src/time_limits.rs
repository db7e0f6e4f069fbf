//! Every time limit of a call.
//!
//! | limit | what it bounds |
//! | --- | --- |
//! | [`CONNECT`] | one TCP and TLS handshake |
//! | [`ATTEMPT`] | one attempt of a DynamoDB operation, its handshake included |
//! | [`OPERATION`] | one operation: up to three attempts and the pauses between them |
//! | [`ATTEMPTS_WITHIN`] | when a create, a renewal or a login may start again because other writes were faster |
//! | [`CONFLICTS_WITHIN`] | when a request may be sent again because a transaction was in progress on its item |
//! | [`REQUESTS_WITHIN`] | when a call of many requests may send another: the last one ends after 5 + 4 seconds |
//! | [`CLEAN_UP_WITHIN`] | what a call that has failed does to leave nothing behind |
//! | [`TimeLimit`](crate::time_limit::TimeLimit) | a call as a whole, in the packages for frameworks (`SESSION_CALL_TIMEOUT_MILLISECONDS`); not a clear or a revocation |
//! | [`CALL`] | a create for a subject, a renewal, a login, or a save that changes lists, as a whole |
//!
//! The template gives a function 10 seconds, and API Gateway a request 30.

use std::time::Duration;

pub(crate) const CONNECT: Duration = Duration::from_secs(1);
pub(crate) const ATTEMPT: Duration = Duration::from_secs(2);
pub(crate) const OPERATION: Duration = Duration::from_secs(4);
pub(crate) const ATTEMPTS_WITHIN: Duration = Duration::from_secs(4);
pub(crate) const CONFLICTS_WITHIN: Duration = Duration::from_secs(5);
pub(crate) const REQUESTS_WITHIN: Duration = Duration::from_secs(5);
pub(crate) const CLEAN_UP_WITHIN: Duration = Duration::from_secs(1);
pub(crate) const CALL: Duration = Duration::from_secs(9);
