//! Settings from arguments and the environment.

use std::collections::HashMap;
use std::env::{self, VarError};

use aws_sdk_dynamodb::config::Credentials;
use dynamodb_web_session::{Config, SessionManager, Variables};

use crate::errors::configuration;

/// The variables `SESSION_…` and `AWS_…` of a caller's `process.env`. In a worker, and under jest, it is not the environment of this
/// process, which the AWS SDK reads.
pub(crate) struct Environment(pub(crate) HashMap<String, String>);

impl Environment {
    fn read(&self, name: &str) -> Result<String, VarError> {
        self.0.get(name).cloned().ok_or(VarError::NotPresent)
    }

    /// A variable that is set here and not, or otherwise, in the process.
    fn of_caller(&self, name: &str) -> Option<&String> {
        let value = self.0.get(name).filter(|value| !value.is_empty())?;
        (env::var(name).as_ref() != Ok(value)).then_some(value)
    }

    fn credentials(&self) -> Option<Credentials> {
        let key = self.of_caller("AWS_ACCESS_KEY_ID")?;
        let secret = self.0.get("AWS_SECRET_ACCESS_KEY")?;
        let token = self.0.get("AWS_SESSION_TOKEN").filter(|token| !token.is_empty());
        Some(Credentials::new(key, secret, token.cloned(), None, "process.env"))
    }
}

/// A session manager that connects at its first call. `given` has the names of the configuration's fields, and goes before the
/// environment.
///
/// # Errors
/// A setting that is not accepted, or that does not exist.
pub(crate) fn manager(
    mut given: HashMap<String, String>,
    environment: &Environment,
) -> napi::Result<SessionManager> {
    let settings = [
        ("region", &["AWS_REGION"][..]),
        ("endpoint_url", &["AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL"]),
    ];
    for (setting, variables) in settings {
        if let Some(value) = variables.iter().find_map(|name| environment.of_caller(name)) {
            given.entry(setting.into()).or_insert_with(|| value.clone());
        }
    }
    let config = Config::from_arguments(given, &Variables::read_by(&|name| environment.read(name)));
    let config = config.map_err(|error| configuration(&error))?;
    let manager = match environment.credentials() {
        Some(credentials) => SessionManager::lazy_with_credentials(config, credentials),
        None => SessionManager::lazy(config),
    };
    manager.map_err(|error| configuration(&error))
}
