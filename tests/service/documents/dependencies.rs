//! The dependencies of the deployed functions.

use std::collections::BTreeSet;
use std::process::Command;

#[test]
fn no_function_links_the_embedded_dynamodb() {
    for function in ["create", "load", "save", "renew", "clear", "list", "revoke", "authorize"] {
        let tree = Command::new(env!("CARGO"))
            .args(["tree", "--offline", "--edges", "normal,build", "--prefix", "none", "--package", function])
            .output()
            .unwrap();
        let tree = String::from_utf8(tree.stdout).unwrap();
        assert!(tree.contains("aws-sdk-dynamodb "), "the dependencies of {function} lack the SDK: {tree}");
        for unwanted in ["dynoxide", "sqlite", "aws-lc", "openssl-sys", "hyper-tls"] {
            assert!(!tree.contains(unwanted), "{function} links {unwanted}");
        }
    }
}

#[test]
fn every_dependency_of_the_functions_has_its_reason() {
    let policy = include_str!("../../../SECURITY.md");
    let mut wanted = BTreeSet::new();
    for package in [
        "dynamodb-web-session",
        "service",
        "create",
        "load",
        "save",
        "renew",
        "clear",
        "list",
        "revoke",
        "authorize",
    ] {
        let tree = Command::new(env!("CARGO"))
            .args(["tree", "--offline", "--edges", "normal,build", "--prefix", "none", "--depth", "1"])
            .args(["--format", "{p}", "--package", package])
            .output()
            .unwrap();
        let tree = String::from_utf8(tree.stdout).unwrap();
        wanted.extend(tree.lines().skip(1).filter_map(|line| line.split(' ').next()).map(str::to_owned));
    }
    let rows = policy.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    assert_eq!(rows.map(str::to_owned).collect::<BTreeSet<_>>(), wanted);
}
