//! `docs/security.md` is complete, and the tests that it and `docs/reliability.md` name exist.

use std::path::{Path, PathBuf};

/// All functions in the test code, as the page names them: `file::function`.
fn tests() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut names = Vec::new();
    for folder in
        ["shared/src", "service/src", "tests/service", "tests/browser", "tests/deploy", "tests/protocol"]
    {
        for path in files(&root.join(folder)) {
            let Ok(text) = std::fs::read_to_string(&path) else { continue };
            let module = path.file_stem().unwrap().to_str().unwrap();
            let functions = text.lines().filter_map(|line| {
                let line = line.trim().trim_start_matches("async ");
                let after = line.strip_prefix("fn ").or_else(|| line.strip_prefix("def "))?;
                after.split('(').next()
            });
            names.extend(functions.map(|function| format!("{module}::{function}")));
        }
    }
    names
}

/// The files in a folder and its subfolders.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn every_cell_is_filled_and_every_test_exists() {
    let page = include_str!("../../../docs/security.md");
    let tests = tests();
    let (mut rows, mut named) = (0, 0);
    for row in page.lines().filter(|line| line.starts_with('|')) {
        let cells: Vec<_> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        assert!(cells.len() >= 3 && cells.iter().all(|cell| !cell.is_empty()), "{row}");
        rows += 1;
        for name in row.split('`').filter(|code| code.contains("::")) {
            assert!(tests.iter().any(|test| test == name), "there is no test {name}");
            named += 1;
        }
        let is_claim = cells.len() == 3
            && !row.contains("---")
            && !row.starts_with("| section")
            && !row.starts_with("| requirement")
            && !row.starts_with("| threat");
        assert!(!is_claim || row.contains("::") || row.contains("*Yours*") || row.contains(".md"), "{row}");
    }
    assert!(rows > 90 && named > 100, "{rows} rows, {named} tests");
}

#[test]
fn every_finding_names_tests_that_exist() {
    let page = include_str!("../../../docs/reliability.md");
    let tests = tests();
    let mut rows = Vec::new();
    for section in ["## What an attack found", "## What a review of the subjects found"] {
        let section = page.split(section).nth(1).unwrap().split("\n## ").next().unwrap();
        rows.extend(section.lines().filter(|line| line.starts_with("| ") && !line.contains("---")).skip(1));
    }
    assert!(rows.len() >= 26, "{} rows", rows.len());
    for row in rows {
        let named: Vec<_> = row.split('`').filter(|code| code.contains("::")).collect();
        assert!(!named.is_empty(), "{row}");
        for name in named {
            assert!(tests.iter().any(|test| test == name), "there is no test {name}");
        }
    }
}
