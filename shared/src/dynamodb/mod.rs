//! Everything that knows DynamoDB.

pub(crate) mod client;
mod compression;
mod connector;
mod item;
pub(crate) mod list;
mod seal;
pub(crate) mod table;
