//! The DynamoDB client: where it finds its settings, how long it waits, and how often it tries.

use std::time::Duration;

use aws_config::{BehaviorVersion, ConfigLoader, Region};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::{ReconnectMode, RetryConfig};
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::config::{Builder, StalledStreamProtectionConfig};

use crate::config::Config;
use crate::connector::Connections;
use crate::error::ConfigError;

/// The AWS SDK's own settings, with the connections, the timeouts and the retries that
/// [`SessionManager::connect`](crate::SessionManager::connect) uses.
///
/// An operation ends within 4 seconds. A call of ours begins its last two within a second of its start, and the
/// template gives a function 10. Certificates are checked against Mozilla's roots, or those in the PEM file that
/// `AWS_CA_BUNDLE` names.
///
/// # Errors
/// There is no certificate in that file.
pub fn aws_defaults() -> Result<ConfigLoader, ConfigError> {
    Ok(aws_config::defaults(BehaviorVersion::latest())
        .http_client(Connections::new()?)
        .retry_config(retries())
        .stalled_stream_protection(stalled_stream_protection())
        .timeout_config(timeouts()))
}

/// A client with [`aws_defaults`], except where `config` says otherwise.
pub(crate) async fn from_aws_config(config: &Config) -> Result<Client, ConfigError> {
    let mut loader = aws_defaults()?;
    if let Some(region) = &config.region {
        loader = loader.region(Region::new(region.clone()));
    }
    let mut client = Builder::from(&loader.load().await);
    if let Some(url) = &config.endpoint_url {
        // Here and not on the loader, whose URL AWS_ENDPOINT_URL_DYNAMODB would override.
        client = client.endpoint_url(url);
    }
    Ok(Client::from_conf(client.build()))
}

/// A client with what Lambda puts into a function's environment (Lambda Developer Guide, "Defined runtime environment
/// variables"), and the variables by which the SDK's endpoint can be chosen. No profiles, no web identities, no instance
/// metadata: a function has none, and the code that looks for them is a quarter of a function's size (ADR 9).
#[cfg(feature = "http")]
pub(crate) fn from_environment(config: &Config) -> Result<Client, ConfigError> {
    use aws_config::environment::EnvironmentVariableCredentialsProvider;

    let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let is_true = |name| variable(name).is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let of_environment = || {
        let names = ["AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL"];
        names.into_iter().find_map(variable).filter(|_| !is_true("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"))
    };
    let region = config.region.clone().or_else(|| variable("AWS_REGION"));
    let mut client = Builder::new()
        .behavior_version(BehaviorVersion::latest())
        .credentials_provider(EnvironmentVariableCredentialsProvider::new())
        .http_client(Connections::new()?)
        .region(region.map(Region::new))
        .retry_config(retries())
        .stalled_stream_protection(stalled_stream_protection())
        .timeout_config(timeouts());
    client.set_endpoint_url(config.endpoint_url.clone().or_else(of_environment));
    client.set_use_dual_stack(Some(is_true("AWS_USE_DUALSTACK_ENDPOINT")));
    client.set_use_fips(Some(is_true("AWS_USE_FIPS_ENDPOINT")));
    Ok(Client::from_conf(client.build()))
}

fn retries() -> RetryConfig {
    RetryConfig::standard()
        .with_max_attempts(3)
        // Our connections leave out one that failed by themselves.
        .with_reconnect_mode(ReconnectMode::ReuseAllConnections)
}

/// A stalled attempt ends by its own timeout, which is the shorter; to watch its every byte as well costs each call.
fn stalled_stream_protection() -> StalledStreamProtectionConfig {
    StalledStreamProtectionConfig::disabled()
}

fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(1))
        .operation_attempt_timeout(Duration::from_secs(2))
        .operation_timeout(Duration::from_secs(4))
        .build()
}
