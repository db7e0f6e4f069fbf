//! Everything that knows DynamoDB.

pub(crate) mod client;
mod compression;
mod connector;
pub(crate) mod list;
mod seal;
pub(crate) mod table;
