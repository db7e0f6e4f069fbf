//! The session manager: how it is made, and what its verbs share.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::Credentials;
use serde::Serialize;

use crate::call::Call;
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::data;
use crate::doubtful::Doubtful;
use crate::dynamodb::client::{self, Connection};
use crate::dynamodb::table::Table;
use crate::error::{ConfigError, Error};
use crate::id::SessionId;
use crate::time_limit::TimeLimit;

/// Creates, loads, saves, renews and clears sessions.
///
/// Make one at start and share it. `T`, a session's data, is any type that serde reads and writes as JSON.
#[derive(Clone)]
pub struct SessionManager {
    pub(crate) table: Table,
    doubtful: Arc<Mutex<Vec<Doubtful>>>,
    pub(crate) config: Arc<Config>,
    pub(crate) clock: Arc<dyn Clock>,
    time_limit: Option<TimeLimit>,
}

impl SessionManager {
    /// Connects to DynamoDB with the AWS SDK's own settings (Region, credentials, endpoint), except where
    /// `config` says otherwise. Nothing is sent yet.
    ///
    /// # Errors
    /// The first setting in `config` that is not accepted. There is no Region.
    pub async fn connect(config: Config) -> Result<Self, ConfigError> {
        config.validate()?;
        Self::new(client::from_aws_config(&config, None).await?, config)
    }

    /// Uses your client; `config.endpoint_url` and `config.region` have no effect.
    ///
    /// A client from [`aws_defaults`](crate::aws_defaults) has the timeouts and retries of [`connect`](Self::connect).
    /// Any other client works too, for example one with the SDK's own connector, which knows proxies.
    ///
    /// # Errors
    /// The first setting in `config` that is not accepted.
    pub fn new(client: Client, config: Config) -> Result<Self, ConfigError> {
        Self::over(Connection::of(&client), config)
    }

    /// Connects as [`connect`](Self::connect) does, at the first call of a verb: for programs that make their session manager
    /// where nothing can be awaited. What `connect` would report, such as a missing Region, the first call reports as
    /// [`Error::Misconfigured`].
    ///
    /// # Errors
    /// The first setting in `config` that is not accepted.
    pub fn lazy(config: Config) -> Result<Self, ConfigError> {
        Self::over(Connection::lazy(config.clone(), None), config)
    }

    /// As [`lazy`](Self::lazy), with these credentials instead of those that the SDK would find.
    ///
    /// # Errors
    /// The first setting in `config` that is not accepted.
    pub fn lazy_with_credentials(config: Config, credentials: Credentials) -> Result<Self, ConfigError> {
        Self::over(Connection::lazy(config.clone(), Some(credentials)), config)
    }

    fn over(connection: Connection, config: Config) -> Result<Self, ConfigError> {
        config.validate()?;
        let each = config.call_timeout_milliseconds.map(Duration::from_millis);
        Ok(Self {
            time_limit: each.map(|each| TimeLimit::new(each, connection.made_at())),
            table: Table::new(connection, &config),
            doubtful: Arc::default(),
            config: Arc::new(config),
            clock: Arc::new(SystemClock),
        })
    }

    /// Reads the time from `clock` from now on.
    #[must_use]
    pub fn with_clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// The settings of this manager.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What calls of this process that have failed may have left.
    pub(crate) fn doubtful(&self) -> MutexGuard<'_, Vec<Doubtful>> {
        self.doubtful.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call of a verb, within the time that the settings give it.
    pub(crate) fn call(&self) -> Call<'_> {
        Call::new(&*self.clock).limited(self.time_limit.as_ref())
    }

    /// A call of a verb for the session with this ID.
    pub(crate) fn call_for(&self, id: Option<&SessionId>) -> Call<'_> {
        match id {
            Some(id) => Call::of(id.loggable(), &*self.clock).limited(self.time_limit.as_ref()),
            None => self.call(),
        }
    }

    pub(crate) fn new_id(&self) -> Result<SessionId, Error> {
        SessionId::generate(self.config.id_bytes).map_err(|error| Error::Randomness(error.into()))
    }

    pub(crate) fn validate_timeouts(&self, idle: Option<u64>, absolute: Option<u64>) -> Result<(), Error> {
        let max = self.config.max_timeout_seconds;
        for (timeout, seconds) in [("idle_timeout_seconds", idle), ("absolute_timeout_seconds", absolute)] {
            if seconds.is_some_and(|seconds| !(1..=max).contains(&seconds)) {
                return Err(Error::TimeoutOutOfRange { timeout, max });
            }
        }
        Ok(())
    }

    /// The JSON text of `data`, if it is neither too large nor too deep.
    pub(crate) fn encode<T: Serialize>(&self, data: &T) -> Result<String, Error> {
        data::encode(data, self.config.max_data_bytes)
    }
}

impl fmt::Debug for SessionManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionManager").field("config", &self.config).finish_non_exhaustive()
    }
}
