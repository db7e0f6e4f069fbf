//! Settings from environment variables.

use std::env::VarError;
use std::str::FromStr;

use crate::clock::Timestamp;
use crate::error::ConfigError;

/// Environment variables that hold settings. A bad value is an error that names the variable and what it accepts.
pub struct Variables<'a>(&'a dyn Fn(&str) -> Result<String, VarError>);

impl<'a> Variables<'a> {
    /// The environment of this process.
    #[must_use]
    pub fn of_process() -> Variables<'static> {
        Variables(&|name| std::env::var(name))
    }

    /// The variables that `read` returns.
    #[must_use]
    pub fn read_by(read: &'a dyn Fn(&str) -> Result<String, VarError>) -> Self {
        Self(read)
    }

    /// The text of a variable.
    ///
    /// # Errors
    /// It is not set, or not UTF-8.
    pub fn read(&self, variable: &str) -> Result<String, VarError> {
        (self.0)(variable)
    }

    /// The value that `parse` makes of the variable, or `default` when it is unset.
    ///
    /// # Errors
    /// The variable is not UTF-8, or `parse` returns `None`; `accepted` says what it must be.
    pub fn parse<T>(
        &self,
        variable: &'static str,
        default: T,
        accepted: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, ConfigError> {
        let refused =
            |given: String| ConfigError { variable: variable.into(), accepted: accepted.to_owned(), given };
        match self.read(variable) {
            Ok(text) => parse(&text).ok_or_else(|| refused(format!("{text:?}"))),
            Err(VarError::NotPresent) => Ok(default),
            Err(VarError::NotUnicode(bytes)) => Err(refused(format!("{bytes:?}"))),
        }
    }

    /// One of several named values.
    ///
    /// # Errors
    /// The variable is none of them.
    pub fn choice<T: Copy, const N: usize>(
        &self,
        variable: &'static str,
        default: T,
        choices: [(&str, T); N],
    ) -> Result<T, ConfigError> {
        let names: Vec<_> = choices.iter().map(|(name, _)| format!("`{name}`")).collect();
        let accepted = match names.split_last() {
            Some((last, others)) if !others.is_empty() => format!("{} or {last}", others.join(", ")),
            _ => names.concat(),
        };
        let chosen = |text: &str| choices.iter().find(|(name, _)| *name == text).map(|(_, value)| *value);
        self.parse(variable, default, &accepted, chosen)
    }

    pub(crate) fn text(&self, variable: &'static str, default: String) -> Result<String, ConfigError> {
        self.parse(variable, default, "text in UTF-8", |text| Some(text.to_owned()))
    }

    pub(crate) fn number<N: FromStr>(&self, variable: &'static str, default: N) -> Result<N, ConfigError> {
        self.parse(variable, default, "a whole number", |text| text.parse().ok())
    }

    /// `None` when it is unset.
    pub(crate) fn given_number(&self, variable: &'static str) -> Result<Option<u64>, ConfigError> {
        self.parse(variable, None, "a whole number", |text| text.parse().ok().map(Some))
    }

    /// An empty variable counts as unset.
    pub(crate) fn optional_number(
        &self,
        variable: &'static str,
        default: usize,
    ) -> Result<usize, ConfigError> {
        let parse = |text: &str| if text.is_empty() { Some(default) } else { text.parse().ok() };
        self.parse(variable, default, "a whole number", parse)
    }

    /// A secret, which no error shows. An empty variable counts as unset.
    pub(crate) fn secret<T: FromStr>(
        &self,
        variable: &'static str,
        accepted: &str,
    ) -> Result<Option<T>, ConfigError> {
        let parse = |text: &str| if text.is_empty() { Some(None) } else { text.parse().ok().map(Some) };
        let hidden = |error| ConfigError { given: "another text".into(), ..error };
        self.parse(variable, None, accepted, parse).map_err(hidden)
    }

    /// An empty variable counts as unset: a template cannot leave a variable out.
    pub(crate) fn timestamp(
        &self,
        variable: &'static str,
        default: Timestamp,
    ) -> Result<Timestamp, ConfigError> {
        let accepted = "a moment in RFC 3339, such as 2026-11-22T22:04:14Z";
        let parse = |text: &str| if text.is_empty() { Some(default) } else { text.parse().ok() };
        self.parse(variable, default, accepted, parse)
    }
}
