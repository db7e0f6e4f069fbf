//! The DynamoDB client: where it finds its settings, how long it waits, and how often it tries.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::{BehaviorVersion, ConfigLoader, Region};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::{ReconnectMode, RetryConfig};
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::config::{Builder, Credentials, StalledStreamProtectionConfig};

use tokio::sync::OnceCell;

use super::connector::Connections;
use super::credentials::PatientCredentials;
use crate::config::{Config, endpoint_url};
use crate::error::{ConfigError, Error};
use crate::time_limits::{ATTEMPT, CONNECT, OPERATION};

/// The longest pause before the second attempt of a request; before the third it is twice as long. Long enough for a moment of
/// overload to pass. The Rust SDK's own, a second, is longer than a call of a framework may take.
const BACKOFF: Duration = Duration::from_millis(200);

/// A client, or how to make one when it is first needed.
#[derive(Clone)]
pub(crate) struct Connection {
    client: Arc<OnceCell<Client>>,
    /// When a client was made. The calls that have waited for it, and for its credentials, count their own time from here.
    made_at: Arc<OnceLock<Instant>>,
    /// Behind a pointer, so that a function, which has its client from the start, does not link what makes one.
    connect: Option<Connect>,
}

type Connect =
    Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<Client, ConfigError>> + Send>> + Send + Sync>;

impl Connection {
    /// Uses this client.
    pub(crate) fn of(client: &Client) -> Self {
        Self {
            client: Arc::new(OnceCell::new_with(Some(client.clone()))),
            made_at: Arc::default(),
            connect: None,
        }
    }

    /// Connects at the first call, with the AWS SDK's own settings except where `config` says otherwise, and with these credentials if
    /// there are any.
    pub(crate) fn lazy(config: Config, credentials: Option<Credentials>) -> Self {
        let connect = move || -> Pin<Box<dyn Future<Output = _> + Send>> {
            let (config, credentials) = (config.clone(), credentials.clone());
            Box::pin(async move { from_aws_config(&config, credentials).await })
        };
        Self { client: Arc::default(), made_at: Arc::default(), connect: Some(Arc::new(connect)) }
    }

    /// When a client was made, if one had to be and it was.
    pub(crate) fn made_at(&self) -> Arc<OnceLock<Instant>> {
        Arc::clone(&self.made_at)
    }

    /// The client, if it was needed before.
    pub(crate) fn connected(&self) -> Option<&Client> {
        self.client.get()
    }

    /// The client.
    ///
    /// # Errors
    /// [`Error::Misconfigured`] when it cannot be made: there is no Region, for example.
    pub(crate) async fn client(&self) -> Result<&Client, Error> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let connect = async || {
            let Some(connect) = &self.connect else { return Err(no_region()) }; // a connection without one has a client
            let client = connect().await?;
            self.made_at.get_or_init(Instant::now);
            Ok(client)
        };
        self.client.get_or_try_init(connect).await.map_err(|error| Error::Misconfigured(error.into()))
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("client", &self.client).finish_non_exhaustive()
    }
}

/// The AWS SDK's own settings, with the connector, the timeouts and the retries of
/// [`SessionManager::connect`](crate::SessionManager::connect). Each of them can be replaced: with `.http_client(…)` by
/// the SDK's own connector, for example.
///
/// The proxies that `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` name are used, but never for this machine. An
/// operation ends within 4 seconds. Certificates are verified with Mozilla's roots, or with those in the PEM file
/// that `AWS_CA_BUNDLE` names.
///
/// # Errors
/// `AWS_CA_BUNDLE` names a file without a certificate, or a variable for a proxy holds no URL of one.
pub fn aws_defaults() -> Result<ConfigLoader, ConfigError> {
    Ok(defaults(Connections::new()?))
}

fn defaults(connections: Connections) -> ConfigLoader {
    aws_config::defaults(BehaviorVersion::latest())
        .http_client(connections)
        .retry_config(retries())
        .stalled_stream_protection(stalled_stream_protection())
        .timeout_config(timeouts())
}

/// A client with [`aws_defaults`], except where `config` says otherwise.
pub(crate) async fn from_aws_config(
    config: &Config,
    credentials: Option<Credentials>,
) -> Result<Client, ConfigError> {
    let connections = Connections::new()?;
    let mut loader = defaults(connections.clone());
    if let Some(region) = &config.region {
        loader = loader.region(Region::new(region.clone()));
    }
    let loader = match credentials {
        Some(credentials) => loader.credentials_provider(credentials),
        None => PatientCredentials::of_default_chain(connections).await.load_first(loader).await,
    };
    let aws = loader.load().await;
    if aws.region().is_none() {
        return Err(no_region());
    }
    let mut client = Builder::from(&aws);
    if let Some(url) = &config.endpoint_url {
        // Here and not on the loader, whose URL AWS_ENDPOINT_URL_DYNAMODB would override.
        client = client.endpoint_url(url);
    }
    Ok(Client::from_conf(client.build()))
}

fn no_region() -> ConfigError {
    ConfigError {
        variable: "AWS_REGION".into(),
        accepted: "an AWS Region, such as us-east-1".into(),
        given: "neither set nor in the profile".into(),
    }
}

/// The client of a Lambda function. It reads the environment variables that Lambda sets (Lambda Developer Guide,
/// "Defined runtime environment variables") and those that choose the SDK's endpoint.
///
/// It does not look for profiles, web identities or instance metadata: a function has none, and that code is a quarter
/// of a function's size (ADR 9).
///
/// # Errors
/// `AWS_CA_BUNDLE` names a file without a certificate, or the endpoint or a proxy is not a URL.
pub fn lambda_client() -> Result<Client, ConfigError> {
    let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let is_true = |name| variable(name).is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let mut client = Builder::new()
        .behavior_version(BehaviorVersion::latest())
        .credentials_provider(EnvironmentVariableCredentialsProvider::new())
        .http_client(Connections::new()?)
        .region(variable("AWS_REGION").map(Region::new))
        .retry_config(retries())
        .stalled_stream_protection(stalled_stream_protection())
        .timeout_config(timeouts());
    let endpoints = ["AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL"];
    let endpoint = endpoints.into_iter().find_map(|name| Some((name, variable(name)?)));
    if let Some((name, url)) = endpoint.filter(|_| !is_true("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS")) {
        endpoint_url(name, &url)?;
        client = client.endpoint_url(url);
    }
    client.set_use_dual_stack(Some(is_true("AWS_USE_DUALSTACK_ENDPOINT")));
    client.set_use_fips(Some(is_true("AWS_USE_FIPS_ENDPOINT")));
    Ok(Client::from_conf(client.build()))
}

fn retries() -> RetryConfig {
    RetryConfig::standard()
        .with_max_attempts(3)
        .with_initial_backoff(BACKOFF)
        // The connector itself drops a connection that failed.
        .with_reconnect_mode(ReconnectMode::ReuseAllConnections)
}

/// Off: an attempt's own timeout ends a stalled stream sooner, and the protection costs each call.
fn stalled_stream_protection() -> StalledStreamProtectionConfig {
    StalledStreamProtectionConfig::disabled()
}

fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT)
        .operation_attempt_timeout(ATTEMPT)
        .operation_timeout(OPERATION)
        .build()
}
