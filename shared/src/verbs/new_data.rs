//! The data that a renewal or a login gives to the session.

use crate::changes::Changes;
use crate::data;
use crate::error::Error;
use crate::manager::SessionManager;

/// What becomes of the data that is stored.
#[derive(Clone, Debug)]
pub(crate) enum NewData {
    /// It is replaced by this JSON text, which was checked.
    Whole(String),
    /// It is changed by key.
    Changed(Changes),
}

impl SessionManager {
    /// The data that is stored, as it will be.
    pub(super) fn new_data(&self, new: Option<&NewData>, stored: &str) -> Result<String, Error> {
        match new {
            None => Ok(stored.to_owned()),
            Some(NewData::Whole(text)) => Ok(text.clone()),
            Some(NewData::Changed(changes)) => {
                let text = changes.apply(stored)?;
                data::check(&text, self.config.max_data_bytes)?;
                Ok(text)
            }
        }
    }
}
