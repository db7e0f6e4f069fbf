//! The parser of SAM templates: their resources, by type.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value;

/// A template cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// It is not YAML of the expected form.
    #[error("it is not a SAM template")]
    Yaml(#[from] Box<serde_saphyr::Error>),
    /// A required part is missing, or not of the expected form.
    #[error("{0}")]
    Reference(String),
}

/// The resources of a template.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Resources {
    resources: HashMap<String, Resource>,
}

/// Intrinsic functions come as their text: `!GetAtt CreateFunction.Arn` is `CreateFunction.Arn`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Resource {
    r#type: String,
    condition: Option<String>,
    #[serde(default)]
    properties: Value,
}

impl Resources {
    pub(crate) fn parse(yaml: &str) -> Result<Self, TemplateError> {
        Ok(serde_saphyr::from_str(yaml).map_err(Box::new)?)
    }

    /// The names and the properties of the resources of a type.
    pub(crate) fn of_type<'a, P: Deserialize<'a>>(
        &'a self,
        r#type: &str,
    ) -> Result<Vec<(&'a str, P)>, TemplateError> {
        let of_type = self.resources.iter().filter(|(_, resource)| resource.r#type == r#type);
        let read = |(name, resource): (&'a String, &'a Resource)| {
            let properties = P::deserialize(&resource.properties)
                .map_err(|error| reference(format!("the properties of {name}: {error}")))?;
            Ok((name.as_str(), properties))
        };
        of_type.map(read).collect()
    }

    /// The properties of the one resource of a type.
    pub(crate) fn only<'a, P: Deserialize<'a>>(&'a self, r#type: &str) -> Result<P, TemplateError> {
        let first = self.of_type(r#type)?.into_iter().next();
        first.map(|(_, properties)| properties).ok_or_else(|| reference(format!("there is no {type}")))
    }

    /// The condition under which a resource exists.
    pub(crate) fn condition(&self, name: &str) -> Option<&str> {
        self.resources.get(name)?.condition.as_deref()
    }
}

pub(crate) fn reference(what: impl Into<String>) -> TemplateError {
    TemplateError::Reference(what.into())
}
