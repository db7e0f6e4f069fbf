//! `--protect`: the routes of another SAM template, whose authorizer is the one of this service.
//!
//! It reads what examples/protected-api uses: HTTP API events with literal paths, one Lambda authorizer, and functions in
//! Python, which run in a process of their own.

mod python;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use dynamodb_web_session::BoxError;
use hyper::Method;
use serde::Deserialize;
use serde_json::Value;

use python::PythonFunction;

use crate::sam::Resources;

/// The routes of the protected API, and the functions behind them.
#[derive(Debug)]
pub struct ProtectedApi {
    routes: HashMap<(Method, String), ProtectedRoute>,
}

/// A route of the protected API.
#[derive(Debug)]
pub struct ProtectedRoute {
    /// The headers that a request must have to reach the authorizer. `None`: the route is public.
    pub(crate) identity_headers: Option<Vec<String>>,
    function: PythonFunction,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ApiProperties {
    auth: ApiAuth,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ApiAuth {
    default_authorizer: String,
    authorizers: HashMap<String, Authorizer>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Authorizer {
    #[serde(default)]
    identity: Identity,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Identity {
    #[serde(default)]
    headers: Vec<String>,
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct FunctionProperties {
    code_uri: PathBuf,
    handler: String,
    runtime: String,
    #[serde(default)]
    events: HashMap<String, Event>,
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Event {
    r#type: String,
    properties: EventProperties,
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct EventProperties {
    method: String,
    path: String,
    #[serde(default)]
    auth: EventAuth,
}

#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct EventAuth {
    authorizer: Option<String>,
}

impl ProtectedApi {
    /// Reads `template.yaml` in this folder.
    ///
    /// # Errors
    /// The file cannot be read, or describes what cannot be run here.
    pub fn load(folder: &Path) -> Result<Self, BoxError> {
        let file = folder.join("template.yaml");
        let text = std::fs::read_to_string(&file)
            .map_err(|error| format!("cannot read {}: {error}", file.display()))?;
        Self::parse(&text, folder).map_err(|error| {
            format!("{}: {}", file.display(), dynamodb_web_session::chain(error.as_ref())).into()
        })
    }

    fn parse(template: &str, folder: &Path) -> Result<Self, BoxError> {
        let resources = Resources::parse(template)?;
        let ApiProperties { auth } = resources.only("AWS::Serverless::HttpApi")?;
        let mut routes = HashMap::new();
        for (name, function) in resources.of_type("AWS::Serverless::Function")? {
            add_routes(&mut routes, &auth, name, &function, folder)?;
        }
        Ok(Self { routes })
    }

    pub(crate) fn route(&self, method: &Method, path: &str) -> Option<&ProtectedRoute> {
        self.routes.get(&(method.clone(), path.to_owned()))
    }

    /// The routes as `METHOD /path`, in order.
    #[must_use]
    pub fn routes(&self) -> Vec<String> {
        let mut routes: Vec<_> =
            self.routes.keys().map(|(method, path)| format!("{method} {path}")).collect();
        routes.sort_unstable();
        routes
    }
}

fn add_routes(
    routes: &mut HashMap<(Method, String), ProtectedRoute>,
    auth: &ApiAuth,
    name: &str,
    function: &FunctionProperties,
    folder: &Path,
) -> Result<(), BoxError> {
    if !function.runtime.starts_with("python") {
        return Err(format!("{name} has the runtime {}: only Python runs here", function.runtime).into());
    }
    for event in function.events.values().filter(|event| event.r#type == "HttpApi") {
        let EventProperties { method, path, auth: of_event } = &event.properties;
        if path.contains('{') || method.eq_ignore_ascii_case("any") {
            return Err(format!("{name} has the route {method} {path}: only literal routes run here").into());
        }
        let authorizer = of_event.authorizer.as_deref().unwrap_or(&auth.default_authorizer);
        let identity_headers = match (authorizer, auth.authorizers.get(authorizer)) {
            ("NONE", _) => None,
            (_, Some(authorizer)) => {
                Some(authorizer.identity.headers.iter().map(|name| name.to_lowercase()).collect())
            }
            (unknown, None) => return Err(format!("{name}: there is no authorizer {unknown}").into()),
        };
        let route = ProtectedRoute {
            identity_headers,
            function: PythonFunction::new(folder.join(&function.code_uri), function.handler.clone()),
        };
        routes.insert((method.to_uppercase().parse()?, path.clone()), route);
    }
    Ok(())
}

impl ProtectedRoute {
    /// Invokes the function with an event, and returns its response.
    ///
    /// # Errors
    /// It raised an exception, or there is no `python3`.
    pub(crate) async fn invoke(&self, event: &Value) -> Result<Value, BoxError> {
        self.function.invoke(event).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_has_a_protected_and_a_public_route() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/protected-api");
        let api = ProtectedApi::load(&folder).unwrap();
        assert_eq!(api.routes(), ["GET /hello", "GET /public"]);
        let headers = |path| api.route(&Method::GET, path).unwrap().identity_headers.clone();
        assert_eq!(headers("/hello"), Some(vec!["x-session-id".to_owned()]));
        assert_eq!(headers("/public"), None);
        assert!(api.route(&Method::POST, "/hello").is_none());
    }

    #[test]
    fn an_authorizer_that_does_not_exist_protects_nothing_and_is_an_error() {
        let auth: ApiAuth =
            serde_json::from_str(r#"{"DefaultAuthorizer":"Sesion","Authorizers":{"Session":{}}}"#).unwrap();
        let event = r#"{"Type":"HttpApi","Properties":{"Method":"GET","Path":"/"}}"#;
        let function =
            format!(r#"{{"CodeUri":".","Handler":"a.b","Runtime":"python3.13","Events":{{"E":{event}}}}}"#);
        let function = serde_json::from_str(&function).unwrap();
        let error = add_routes(&mut HashMap::new(), &auth, "Hello", &function, Path::new(".")).unwrap_err();
        assert_eq!(error.to_string(), "Hello: there is no authorizer Sesion");
    }

    #[test]
    fn a_folder_without_a_template_is_named() {
        let error = ProtectedApi::load(Path::new("no/such/folder")).unwrap_err().to_string();
        assert!(error.contains("no/such/folder/template.yaml"), "{error}");
    }
}
