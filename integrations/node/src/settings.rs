//! Settings from arguments and the environment.

use std::collections::HashMap;

use dynamodb_web_session::{Config, Variables};

use crate::errors::configuration;

/// `given` has the names of the configuration's fields, and goes before the environment.
///
/// # Errors
/// A setting that is not accepted, or that does not exist.
pub(crate) fn config(given: HashMap<String, String>) -> napi::Result<Config> {
    Config::from_arguments(given, &Variables::of_process()).map_err(|error| configuration(&error))
}
