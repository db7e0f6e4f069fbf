//! The floors of the crate: no file uses one of a floor above, and no files use each other in a circle.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use dynamodb_web_session::{KEY, TTL_ATTRIBUTE};

/// From the ground up. Files outside of a folder are the lowest floor, except the manager, which the verbs use.
const FLOORS: [&str; 5] = ["ground", "dynamodb", "manager", "verbs", "web"];

fn floor(module: &str) -> usize {
    let name = module.split('/').next().unwrap();
    FLOORS.iter().position(|floor| *floor == name).unwrap_or(0)
}

/// For each file of the crate, the files that it uses.
fn uses() -> BTreeMap<String, BTreeSet<String>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/src");
    let mut texts = BTreeMap::new();
    for folder in ["", "config", "dynamodb", "verbs", "web"] {
        for file in std::fs::read_dir(root.join(folder)).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("lib.rs") {
                let name = path.strip_prefix(&root).unwrap().with_extension("");
                let text = std::fs::read_to_string(&path).unwrap();
                let code = text.split("#[cfg(test)]").next().unwrap().lines();
                let code = code.filter(|line| !line.trim_start().starts_with("//"));
                texts.insert(name.to_str().unwrap().to_owned(), code.collect::<Vec<_>>().join("\n"));
            }
        }
    }
    let modules: BTreeSet<_> = texts.keys().cloned().collect();
    let used = |module: &str, code: &str| {
        let folder = module.rsplit_once('/').map_or("", |(folder, _)| folder);
        let mut found = BTreeSet::new();
        for (start, base) in [("crate::", ""), ("super::", folder)] {
            for (at, _) in code.match_indices(start) {
                for path in paths(&code[at + start.len()..]) {
                    let path = if base.is_empty() { path } else { format!("{base}/{path}") };
                    let file = (1..=path.split('/').count())
                        .map(|length| path.split('/').take(length).collect::<Vec<_>>().join("/"))
                        .find(|file| modules.contains(file));
                    found.extend(file.filter(|file| file != module));
                }
            }
        }
        found
    };
    texts.iter().map(|(module, code)| (module.clone(), used(module, code))).collect()
}

/// The paths at the beginning of the text, with slashes: `a::b`, or `{a, b::c}`.
fn paths(text: &str) -> Vec<String> {
    let path = |text: &str| {
        let end = text.find(|c: char| !c.is_alphanumeric() && c != '_' && c != ':').unwrap_or(text.len());
        text[..end].trim_end_matches(':').replace("::", "/")
    };
    match text.strip_prefix('{') {
        Some(group) => group.split('}').next().unwrap().split(',').map(|item| path(item.trim())).collect(),
        None => vec![path(text)],
    }
}

#[test]
fn no_file_uses_one_of_a_floor_above() {
    let uses = uses();
    assert!(uses.len() > 40 && uses["verbs/save"].contains("dynamodb/save"), "{uses:?}");
    for (module, used) in &uses {
        for used in used {
            assert!(floor(used) <= floor(module), "{module} uses {used}");
        }
    }
}

#[test]
fn no_files_use_each_other_in_a_circle() {
    let mut uses = uses();
    // A file that uses no other, or only such files, is in no circle.
    while let Some(free) = uses.iter().find(|(_, used)| used.is_empty()).map(|(module, _)| module.clone()) {
        uses.remove(&free);
        for used in uses.values_mut() {
            used.remove(&free);
        }
    }
    assert!(uses.is_empty(), "these files are in a circle, or use one: {uses:#?}");
}

#[test]
fn the_template_has_the_key_and_the_ttl_attribute_of_the_crate() {
    let template = include_str!("../../../template.yaml");
    let table = template.split("Type: AWS::DynamoDB::Table").nth(1).unwrap();
    assert!(table.contains(&format!("AttributeName: {KEY}")));
    assert!(table.contains(&format!("AttributeName: {TTL_ATTRIBUTE}")));
    let ttl = table.split("TimeToLiveSpecification:").nth(1).unwrap();
    assert!(ttl.lines().take(4).any(|line| line.contains(&format!("AttributeName: {TTL_ATTRIBUTE}"))));
}

#[test]
fn no_file_of_the_crate_is_longer_than_400_lines_of_code() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/src");
    for module in uses().keys() {
        let text = std::fs::read_to_string(root.join(module).with_extension("rs")).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        assert!(code.lines().count() <= 400, "{module}");
    }
}
