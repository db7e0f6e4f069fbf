//! The routes and CORS settings of `template.yaml`, so that the local service matches the deployed one.

use serde::Deserialize;

use crate::sam::{Resources, TemplateError, reference};

/// The template at build time.
const TEMPLATE: &str = include_str!("../../template.yaml");

/// The routes of the template.
#[derive(Clone, Debug)]
pub struct Template {
    /// The routes and their functions.
    pub routes: Vec<Route>,
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
        let resources = Resources::parse(yaml)?;
        let mut routes = resources
            .of_type::<RouteProperties>("AWS::ApiGatewayV2::Route")?
            .iter()
            .map(|(name, route)| read_route(name, route, &resources))
            .collect::<Result<Vec<_>, _>>()?;
        routes.sort_by(|a, b| (&a.path, &a.method).cmp(&(&b.path, &b.method)));
        let api: ApiProperties = resources.only("AWS::ApiGatewayV2::Api")?;
        Ok(Self { routes, cors: api.cors_configuration.1 })
    }
}

fn read_route(name: &str, route: &RouteProperties, resources: &Resources) -> Result<Route, TemplateError> {
    let integrations = resources.of_type::<IntegrationProperties>("AWS::ApiGatewayV2::Integration")?;
    let (method, path) =
        route.route_key.split_once(' ').ok_or_else(|| reference(format!("{name} has an odd RouteKey")))?;
    let function = integrations
        .iter()
        .find(|(integration, _)| route.target == format!("integrations/${{{integration}}}"))
        .and_then(|(_, properties)| properties.integration_uri.strip_suffix(".Arn"))
        .ok_or_else(|| reference(format!("{name} leads to no function")))?;
    Ok(Route {
        method: method.into(),
        path: path.into(),
        function: function.into(),
        is_for_signed_calls: resources.condition(name) == Some("SignedCalls"),
    })
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
        assert_eq!(error.to_string(), "LoadRoute leads to no function");
    }
}
