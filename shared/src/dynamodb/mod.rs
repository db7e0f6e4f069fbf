//! Everything that knows DynamoDB.

pub(crate) mod client;
mod compression;
mod connector;
pub(crate) mod list;
pub(crate) mod table;
