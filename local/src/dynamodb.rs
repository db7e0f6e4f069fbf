//! The DynamoDB of the local service: an embedded one, or the one at a given URL.

use std::net::Ipv4Addr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use aws_config::Region;
use aws_config::environment::credentials::EnvironmentVariableCredentialsProvider;
use aws_config::environment::region::EnvironmentVariableRegionProvider;
use aws_config::meta::credentials::CredentialsProviderChain;
use aws_config::meta::region::RegionProviderChain;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::Credentials;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType, TimeToLiveSpecification,
};
use dynamodb_web_session::{BoxError, ConfigError};
use dynoxide::Database;
use tokio::net::TcpListener;

use crate::template::TableProperties;

const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// Starts an embedded DynamoDB on this port of the loopback interface (0: a free one), and returns its URL. It runs as
/// long as the runtime.
///
/// # Errors
/// When the file cannot be opened, or no port can be bound.
pub async fn start_embedded(file: Option<&Path>, port: u16) -> Result<String, BoxError> {
    let database = match file {
        Some(path) => {
            // The file holds the data as it was sent, so only its owner may read it.
            std::fs::OpenOptions::new()
                .create(true)
                .append(true)
                .mode(0o600)
                .open(path)
                .map_err(|error| format!("cannot open {}: {error}", path.display()))?;
            let path = path.to_str().ok_or("the path of the data file is not UTF-8")?;
            Database::new(path).map_err(|error| format!("cannot open {path}: {error}"))?
        }
        None => Database::memory().map_err(|error| error.to_string())?,
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .await
        .map_err(|error| format!("cannot serve DynamoDB on port {port}: {error}"))?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(sweep(database.clone()));
    tokio::spawn(dynoxide::server::serve_with_shutdown(listener, database, std::future::pending()));
    Ok(url)
}

/// Deletes expired items at intervals. DynamoDB does so by itself; the embedded one does not.
async fn sweep(database: Database) {
    let mut interval = tokio::time::interval(SWEEP_INTERVAL);
    loop {
        interval.tick().await;
        let database = database.clone();
        // A failed sweep needs no handling: the next one repeats it, and no session depends on it.
        let _ = tokio::task::spawn_blocking(move || database.sweep_ttl()).await;
    }
}

/// A client for the DynamoDB at `url`, with the functions' timeouts and retries. If the environment has no Region or no
/// credentials, it uses placeholders, because a local DynamoDB accepts any.
///
/// # Errors
/// When `AWS_CA_BUNDLE` does not name a file of certificates.
pub async fn client(url: &str) -> Result<Client, ConfigError> {
    let placeholder = Credentials::new("local", "local", None, None, "local");
    let credentials =
        CredentialsProviderChain::first_try("environment", EnvironmentVariableCredentialsProvider::new())
            .or_else("local", placeholder);
    let region = RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new())
        .or_else(Region::from_static("us-east-1"));
    let defaults = dynamodb_web_session::aws_defaults()?;
    let config = defaults.credentials_provider(credentials).region(region).load().await;
    Ok(Client::from_conf(aws_sdk_dynamodb::config::Builder::from(&config).endpoint_url(url).build()))
}

/// Creates the table as the template describes it, unless it exists.
///
/// # Errors
/// When DynamoDB returns an error.
pub async fn ensure_table(client: &Client, name: &str, table: &TableProperties) -> Result<(), BoxError> {
    match client.describe_table().table_name(name).send().await {
        Ok(_) => return Ok(()),
        Err(error) if error.as_service_error().is_some_and(|e| e.is_resource_not_found_exception()) => {}
        Err(error) => return Err(error.into()),
    }
    let mut create = client.create_table().table_name(name).billing_mode(BillingMode::PayPerRequest);
    for attribute in &table.attribute_definitions {
        create = create.attribute_definitions(
            AttributeDefinition::builder()
                .attribute_name(&attribute.attribute_name)
                .attribute_type(ScalarAttributeType::from(attribute.attribute_type.as_str()))
                .build()?,
        );
    }
    for element in &table.key_schema {
        create = create.key_schema(
            KeySchemaElement::builder()
                .attribute_name(&element.attribute_name)
                .key_type(KeyType::from(element.key_type.as_str()))
                .build()?,
        );
    }
    create.send().await?;
    let ttl = TimeToLiveSpecification::builder()
        .attribute_name(&table.time_to_live_specification.attribute_name)
        .enabled(true)
        .build()?;
    client.update_time_to_live().table_name(name).time_to_live_specification(ttl).send().await?;
    Ok(())
}
