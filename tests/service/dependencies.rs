//! What is linked into what people deploy.

use std::process::Command;

#[test]
fn no_function_links_the_embedded_dynamodb() {
    for function in ["create", "load", "save", "renew", "clear"] {
        let tree = Command::new(env!("CARGO"))
            .args(["tree", "--offline", "--edges", "normal,build", "--prefix", "none", "--package", function])
            .output()
            .unwrap();
        let tree = String::from_utf8(tree.stdout).unwrap();
        assert!(
            tree.contains("aws-sdk-dynamodb "),
            "the tree of {function} is not what it should be: {tree}"
        );
        for unwanted in ["dynoxide", "sqlite", "aws-lc", "openssl-sys", "hyper-tls"] {
            assert!(!tree.contains(unwanted), "{function} links {unwanted}");
        }
    }
}
