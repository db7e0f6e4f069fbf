//! The routes, CORS settings and table of `template.yaml`, so that the local service matches the deployed one.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value;

/// The template at build time.
const TEMPLATE: &str = include_str!("../../template.yaml");

/// The routes and the table of the template.
#[derive(Clone, Debug)]
pub struct Template {
    /// The routes and their functions.
    pub routes: Vec<Route>,
    /// The session table.
    pub table: TableProperties,
    /// What pages of allowed origins may do.
    pub cors: Cors,
}

/// The API's `CorsConfiguration` without the origins, which are a parameter.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Cors {
    /// Whether a request may have cookies.
    pub allow_credentials: bool,
    /// The methods that a request may have.
    pub allow_methods: Vec<String>,
    /// The headers that a request may have.
    pub allow_headers: Vec<String>,
    /// The response headers that a script may read.
    pub expose_headers: Vec<String>,
    /// The seconds for which a browser may cache a preflight response.
    pub max_age: u32,
}

/// A route of the HTTP API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The HTTP method.
    pub method: String,
    /// The path.
    pub path: String,
    /// The logical ID of the function that handles it.
    pub function: String,
    /// Whether it exists only where all calls are signed.
    pub is_for_signed_calls: bool,
}

/// The properties of the table that are used here.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct TableProperties {
    /// The types of the key's attributes.
    pub attribute_definitions: Vec<AttributeDefinition>,
    /// The key.
    pub key_schema: Vec<KeyElement>,
    /// The TTL attribute.
    pub time_to_live_specification: TimeToLive,
}

/// An attribute and its type.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct AttributeDefinition {
    /// Its name.
    pub attribute_name: String,
    /// `S`, `N` or `B`.
    pub attribute_type: String,
}

/// A part of the key.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct KeyElement {
    /// Its name.
    pub attribute_name: String,
    /// `HASH` or `RANGE`.
    pub key_type: String,
}

/// The TTL attribute.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct TimeToLive {
    /// Its name.
    pub attribute_name: String,
}

/// The template cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// It is not YAML of the expected form.
    #[error("template.yaml cannot be read")]
    Yaml(#[from] Box<serde_saphyr::Error>),
    /// A required part is missing, or not of the expected form.
    #[error("template.yaml: {0}")]
    Reference(String),
}

#[derive(Deserialize)]
struct Document {
    #[serde(rename = "Resources")]
    resources: Resources,
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

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RouteProperties {
    route_key: String,
    target: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ApiProperties {
    /// `!If [CONDITION, then, otherwise]`
    cors_configuration: (String, Cors, String),
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct IntegrationProperties {
    integration_uri: String,
}

impl Template {
    /// Reads the template that was compiled in.
    ///
    /// # Errors
    /// When it has no table, or a route has no function.
    pub fn load() -> Result<Self, TemplateError> {
        Self::parse(TEMPLATE)
    }

    fn parse(yaml: &str) -> Result<Self, TemplateError> {
        let Document { resources } = serde_saphyr::from_str(yaml).map_err(Box::new)?;
        let mut routes = of_type::<RouteProperties>(&resources, "AWS::ApiGatewayV2::Route")?
            .iter()
            .map(|(name, route)| read_route(name, route, &resources))
            .collect::<Result<Vec<_>, _>>()?;
        routes.sort_by(|a, b| (&a.path, &a.method).cmp(&(&b.path, &b.method)));
        let table = only(&resources, "AWS::DynamoDB::Table")?;
        let api: ApiProperties = only(&resources, "AWS::ApiGatewayV2::Api")?;
        Ok(Self { routes, table, cors: api.cors_configuration.1 })
    }
}

type Resources = HashMap<String, Resource>;

fn of_type<'a, P: Deserialize<'a>>(
    resources: &'a Resources,
    r#type: &str,
) -> Result<Vec<(&'a str, P)>, TemplateError> {
    let of_type = resources.iter().filter(|(_, resource)| resource.r#type == r#type);
    of_type
        .map(|(name, resource)| {
            let properties = P::deserialize(&resource.properties)
                .map_err(|error| reference(format!("the properties of {name}: {error}")))?;
            Ok((name.as_str(), properties))
        })
        .collect()
}

fn only<'a, P: Deserialize<'a>>(resources: &'a Resources, r#type: &str) -> Result<P, TemplateError> {
    let first = of_type(resources, r#type)?.into_iter().next();
    first.map(|(_, properties)| properties).ok_or_else(|| reference(format!("there is no {type}")))
}

fn read_route(name: &str, route: &RouteProperties, resources: &Resources) -> Result<Route, TemplateError> {
    let integrations = of_type::<IntegrationProperties>(resources, "AWS::ApiGatewayV2::Integration")?;
    let (method, path) =
        route.route_key.split_once(' ').ok_or_else(|| reference(format!("{name} has an odd RouteKey")))?;
    let function = integrations
        .iter()
        .find(|(integration, _)| route.target == format!("integrations/${{{integration}}}"))
        .and_then(|(_, properties)| properties.integration_uri.strip_suffix(".Arn"))
        .ok_or_else(|| reference(format!("{name} leads to no function")))?;
    let condition = resources.get(name).and_then(|resource| resource.condition.as_deref());
    Ok(Route {
        method: method.into(),
        path: path.into(),
        function: function.into(),
        is_for_signed_calls: condition == Some("SignedCalls"),
    })
}

fn reference(what: impl Into<String>) -> TemplateError {
    TemplateError::Reference(what.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_has_these_routes() {
        let routes = Template::load().unwrap().routes;
        let routes: Vec<_> =
            routes.iter().map(|r| (&*r.method, &*r.path, &*r.function, r.is_for_signed_calls)).collect();
        let expected = [
            ("DELETE", "/session", "ClearFunction", false),
            ("GET", "/session", "LoadFunction", false),
            ("POST", "/session", "CreateFunction", false),
            ("PUT", "/session", "SaveFunction", false),
            ("POST", "/session/list", "ListFunction", true),
            ("POST", "/session/renew", "RenewFunction", false),
            ("POST", "/session/revoke", "RevokeFunction", true),
        ];
        assert_eq!(routes, expected);
    }

    #[test]
    fn a_route_without_a_function_is_named() {
        let yaml = TEMPLATE.replace("integrations/${LoadIntegration}", "integrations/${Nowhere}");
        let error = Template::parse(&yaml).unwrap_err();
        assert_eq!(error.to_string(), "template.yaml: LoadRoute leads to no function");
    }
}
