//! The Python library and its dependencies.

use std::path::{Path, PathBuf};
use std::process::Command;

pub const TABLE: &str = "python_session";

pub fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/python")
}

/// The folder that they are installed into, in the target folder.
pub fn environment() -> PathBuf {
    crate::target().join("benchmark-python")
}

pub fn install() {
    run(Command::new("python3").args(["-m", "venv"]).arg(environment()));
    run(Command::new(environment().join("bin/pip"))
        .args(["install", "--quiet", "--disable-pip-version-check", "-r"])
        .arg(sources().join("requirements.txt")));
}

/// The size in MB of the packages in a function's zip, and of the zip. The packages for Flask are left out.
pub fn package_megabytes() -> (f64, f64) {
    let folder = crate::target().join("benchmark-packages");
    std::fs::remove_dir_all(&folder).ok();
    run(Command::new(environment().join("bin/pip"))
        .args(["install", "--quiet", "--disable-pip-version-check", "--no-compile", "--target"])
        .arg(&folder)
        .args(["awslambdaric==4.2.2", "boto3==1.44.5", "dynamodb-session-web==0.2.9"]));
    let size = Command::new("du").args(["-sb"]).arg(&folder).output().unwrap().stdout;
    let size = String::from_utf8(size).unwrap();
    (size.split('\t').next().unwrap().parse::<f64>().unwrap() / 1e6, zip_megabytes(&folder))
}

/// The size in MB of a zip of this file or folder.
pub fn zip_megabytes(path: &Path) -> f64 {
    let zip = crate::target().join("benchmark.zip");
    run(Command::new("python3").args(["-m", "zipfile", "-c"]).arg(&zip).arg(path));
    std::fs::metadata(zip).unwrap().len() as f64 / 1e6
}

fn run(command: &mut Command) {
    assert!(command.status().unwrap().success(), "{command:?}");
}
