//! The schema of the session table.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType, TimeToLiveSpecification,
};

use super::item::unbuildable;
use super::outcome::classify;
use crate::error::Error;

/// The partition key of the session table, a string (S). There is no sort key.
pub const KEY: &str = "id";

/// The TTL attribute of the session table. TTL deletes what has expired days later; no session depends on it.
pub const TTL_ATTRIBUTE: &str = "expires";

/// Creates the session table with its TTL attribute, billed by the request, unless a table of this name exists.
///
/// For development and tests. The SAM template makes a table with backups and protection against deletion.
///
/// # Errors
/// [`Error::Misconfigured`] and [`Error::Unavailable`].
pub async fn create_table(client: &Client, name: &str) -> Result<(), Error> {
    match client.describe_table().table_name(name).send().await {
        Ok(_) => return Ok(()),
        Err(error) if error.as_service_error().is_some_and(|e| e.is_resource_not_found_exception()) => {}
        Err(error) => return Err(refused(client, name, error)),
    }
    let key = AttributeDefinition::builder().attribute_name(KEY).attribute_type(ScalarAttributeType::S);
    let element = KeySchemaElement::builder().attribute_name(KEY).key_type(KeyType::Hash);
    let create = client
        .create_table()
        .table_name(name)
        .billing_mode(BillingMode::PayPerRequest)
        .attribute_definitions(key.build().map_err(unbuildable)?)
        .key_schema(element.build().map_err(unbuildable)?);
    create.send().await.map_err(|error| refused(client, name, error))?;
    let ttl = TimeToLiveSpecification::builder().attribute_name(TTL_ATTRIBUTE).enabled(true);
    let ttl = ttl.build().map_err(unbuildable)?;
    let enable = client.update_time_to_live().table_name(name).time_to_live_specification(ttl);
    enable.send().await.map_err(|error| refused(client, name, error))?;
    Ok(())
}

fn refused<E>(client: &Client, name: &str, error: SdkError<E>) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    classify(error, name, client.config().region().map(AsRef::as_ref))
}
