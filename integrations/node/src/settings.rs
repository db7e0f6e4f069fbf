//! Settings from arguments and the environment.

use std::cell::RefCell;
use std::collections::HashMap;

use dynamodb_web_session::{Config, Variables};

use crate::errors::{configuration, invalid_argument};

/// `given` has the names of environment variables, and goes before the environment. There are two more: `endpointUrl` and
/// `region`.
///
/// # Errors
/// A setting that is not accepted, or that does not exist.
pub(crate) fn config(mut given: HashMap<String, String>) -> napi::Result<Config> {
    let (endpoint_url, region) = (given.remove("endpointUrl"), given.remove("region"));
    let unread = RefCell::new(given);
    let read =
        |variable: &str| unread.borrow_mut().remove(variable).map_or_else(|| std::env::var(variable), Ok);
    let config = Config::from_variables(&Variables::read_by(&read)).map_err(|error| configuration(&error))?;
    let config = Config { endpoint_url, region, ..config };
    config.validate().map_err(|error| configuration(&error))?;
    match unread.borrow().keys().next() {
        Some(name) => Err(invalid_argument(format!("there is no setting {name}"))),
        None => Ok(config),
    }
}
