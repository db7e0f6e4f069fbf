//! The hosts: the built Lambda functions, the local server, and TLS to DynamoDB.

mod authorizer;
mod axum;
mod commands;
mod lambda;
mod local_server;
mod proxies;
mod tls;
