//! Black-box tests of the service: over real HTTP, the real AWS SDK, and a real table service.
//!
//! The table service is the embedded DynamoDB, or the one that `AWS_ENDPOINT_URL_DYNAMODB` names. Each test has its own
//! table and its own clock.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

mod contract;
mod documents;
mod guarantees;
mod hostility;
mod hosts;
