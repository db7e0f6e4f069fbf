//! The session table and DynamoDB's client.

pub(crate) mod advice;
mod alive;
pub(crate) mod clear;
pub(crate) mod client;
mod compression;
mod conditions;
mod connector;
pub(crate) mod create;
mod credentials;
pub(crate) mod device;
mod early_timer;
mod endpoint;
mod expressions;
pub(crate) mod item;
pub(crate) mod lists;
pub(crate) mod load;
pub(crate) mod outcome;
mod proxies;
pub(crate) mod record;
pub(crate) mod renew;
pub(crate) mod save;
pub(crate) mod schema;
mod seal;
pub(crate) mod subject_list;
pub(crate) mod table;
pub(crate) mod tombstone;
