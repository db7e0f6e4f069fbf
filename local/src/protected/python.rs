//! A Lambda function in Python, run in a process of its own.

use std::path::PathBuf;
use std::process::Stdio;

use dynamodb_web_session::BoxError;
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

/// A handler in a Python process, which is started by the first event and again after it ended.
#[derive(Debug)]
pub(super) struct PythonFunction {
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
    pub(super) fn new(folder: PathBuf, handler: String) -> Self {
        Self { folder, handler, process: Mutex::default() }
    }

    pub(super) async fn invoke(&self, event: &Value) -> Result<Value, BoxError> {
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
