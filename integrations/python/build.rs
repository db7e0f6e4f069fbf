//! Makes the docstrings of `_core.pyi` those of the extension module, so that `help()` shows what an editor shows:
//! `docstring!(SessionManager)`, `docstring!(SessionManager::create)`, `docstring!(run_command)`.

use std::env;
use std::error::Error;
use std::fmt::Write;
use std::fs;
use std::path::Path;

const STUB: &str = "python/dynamodb_web_session/_core.pyi";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={STUB}");
    println!("cargo::rerun-if-changed=build.rs");
    let stub = fs::read_to_string(STUB)?;
    let mut arms = String::new();
    let (mut class, mut name) = (String::new(), String::new());
    let mut lines = stub.lines();
    while let Some(line) = lines.next() {
        let text = line.trim_start();
        let is_member = line.len() > text.len();
        if let Some(declared) = text.strip_prefix("class ") {
            class = identifier(declared);
            name.clone_from(&class);
        } else if let Some(declared) = text.strip_prefix("def ") {
            name = identifier(declared);
            if is_member {
                name = format!("{class}::{name}");
            }
            if text.ends_with("...") {
                name.clear();
            }
        } else if let Some(first) = text.strip_prefix("\"\"\"")
            && !name.is_empty()
        {
            let mut doc = first.to_owned();
            while !doc.ends_with("\"\"\"") {
                let next = lines.next().ok_or("a docstring of the stub does not end")?;
                doc = format!("{doc}\n{}", next.trim());
            }
            writeln!(arms, "({}) => {{ {:?} }};", std::mem::take(&mut name), doc.trim_end_matches("\"\"\""))?;
        }
    }
    let macro_of_all = format!("macro_rules! docstring {{\n{arms}}}\n");
    Ok(fs::write(Path::new(&env::var("OUT_DIR")?).join("docs.rs"), macro_of_all)?)
}

fn identifier(text: &str) -> String {
    text.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect()
}
