//! `--protect`: the routes of another SAM template, whose authorizer is the one of this service.
//!
//! It reads what examples/protected-api uses: HTTP API events with literal paths, one Lambda authorizer, and functions in
//! Python, which run in a process of their own.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use dynamodb_web_session::BoxError;
use hyper::Method;
use serde::Deserialize;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::Mutex;

/// Reads an event from each line, and writes the function's response as a line. What the function prints goes to the
/// standard error output.
const RUNNER: &str = r#"
import importlib, json, os, sys, traceback
out = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
sys.path.insert(0, os.getcwd())
module, name = sys.argv[1].rsplit(".", 1)
handler = getattr(importlib.import_module(module), name)
for line in sys.stdin:
    try:
        response = handler(json.loads(line), None)
    except Exception:
        traceback.print_exc()
        response = None
    print(json.dumps(response), file=out, flush=True)
"#;

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
struct Document {
    resources: HashMap<String, Resource>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Resource {
    r#type: String,
    #[serde(default)]
    properties: Value,
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
        let document: Document = serde_saphyr::from_str(&text)
            .map_err(|error| format!("{} is not a SAM template: {error}", file.display()))?;
        let api = document.resources.values().find(|resource| resource.r#type == "AWS::Serverless::HttpApi");
        let api = api.ok_or_else(|| format!("{} has no AWS::Serverless::HttpApi", file.display()))?;
        let ApiProperties { auth } = ApiProperties::deserialize(&api.properties)
            .map_err(|error| format!("the Auth of the API in {}: {error}", file.display()))?;
        let mut routes = HashMap::new();
        for (name, resource) in document.resources {
            if resource.r#type == "AWS::Serverless::Function" {
                let function = FunctionProperties::deserialize(&resource.properties)
                    .map_err(|error| format!("{name} in {}: {error}", file.display()))?;
                add_routes(&mut routes, &auth, &name, &function, folder)?;
            }
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

/// A handler in a Python process, which is started by the first event and again after it ended.
#[derive(Debug)]
struct PythonFunction {
    folder: PathBuf,
    handler: String,
    process: Mutex<Option<Process>>,
}

#[derive(Debug)]
struct Process {
    // Ends the process when it is dropped.
    _child: Child,
    events: ChildStdin,
    responses: BufReader<ChildStdout>,
}

impl PythonFunction {
    fn new(folder: PathBuf, handler: String) -> Self {
        Self { folder, handler, process: Mutex::default() }
    }

    async fn invoke(&self, event: &Value) -> Result<Value, BoxError> {
        let mut process = self.process.lock().await;
        let mut running = match process.take() {
            Some(running) => running,
            None => self.start()?,
        };
        running.events.write_all(format!("{event}\n").as_bytes()).await?;
        let mut response = String::new();
        if running.responses.read_line(&mut response).await? == 0 {
            return Err(format!("{} ended", self.handler).into());
        }
        *process = Some(running);
        match serde_json::from_str(&response)? {
            Value::Null => Err(format!("{} raised an exception", self.handler).into()),
            response => Ok(response),
        }
    }

    fn start(&self) -> Result<Process, BoxError> {
        let mut child = Command::new("python3")
            .args(["-c", RUNNER, &self.handler])
            .current_dir(&self.folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("cannot run python3 in {}: {error}", self.folder.display()))?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let (events, responses) = pipes.ok_or("python3 has no pipes")?;
        Ok(Process { _child: child, events, responses: BufReader::new(responses) })
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
