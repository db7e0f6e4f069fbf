//! Black-box tests of the service: over real HTTP, the real AWS SDK, and a real table service.
//!
//! The table service is the embedded DynamoDB, or the one that `AWS_ENDPOINT_URL_DYNAMODB` names. Each test has a
//! table and a clock of its own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod fixture;
mod proxy;

mod bad_input;
mod clock_skew;
mod cookies;
mod cross_site;
mod data;
mod dependencies;
mod disk;
mod faults;
mod fuzzed;
mod histories;
mod hostile;
mod if_match;
mod invariants;
mod lambda;
mod library;
mod life;
mod life_log;
mod local_server;
mod model;
mod openapi;
mod races;
mod readme;
mod renewal;
mod security;
mod tls;
