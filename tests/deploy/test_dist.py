"""dist/, which `tools/dist` makes: a deployment from it needs no Rust toolchain."""

import hashlib
import os
import re
import subprocess
import zipfile
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer
from samtranslator.yaml_helper import yaml_parse

ROOT = Path(__file__).parents[2]
DIST = ROOT / "dist"
FUNCTIONS = {"create", "load", "save", "renew", "clear", "list", "revoke", "authorize"}

pytestmark = pytest.mark.skipif("SESSION_DIST" not in os.environ, reason="a release build takes minutes; .ci/run does it")


def test_the_archive_holds_what_a_deployment_needs():
    files = {path.name for path in DIST.iterdir()}
    assert files == {f"{name}.zip" for name in FUNCTIONS} | {
        "template.yaml", "samconfig.toml", "SHA256SUMS", "LICENSE", "LICENSE-APACHE", "LICENSE-MIT",
    }
    for line in (DIST / "SHA256SUMS").read_text().splitlines():
        checksum, name = line.split()
        assert hashlib.sha256((DIST / name).read_bytes()).hexdigest() == checksum, name
    for name in FUNCTIONS:
        with zipfile.ZipFile(DIST / f"{name}.zip") as archive:
            (entry,) = archive.infolist()
            assert entry.filename == "bootstrap" and entry.external_attr >> 16 & 0o111, "executable"
            assert archive.read("bootstrap")[:5] == b"\x7fELF\x02"
            assert archive.read("bootstrap")[18:20] == b"\x3e\x00", "x86_64"


def test_its_template_is_that_of_the_project_with_the_zips_in_it():
    expected = yaml_parse((ROOT / "template.yaml").read_text())
    for resource in expected["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            del resource["Metadata"]
            resource["Properties"]["CodeUri"] = resource["Properties"]["CodeUri"].removeprefix("functions/") + ".zip"
    assert yaml_parse((DIST / "template.yaml").read_text()) == expected
    assert "build" not in (DIST / "samconfig.toml").read_text()


def test_sam_packages_it_without_rust(tmp_path):
    """`sam deploy` uploads the zips like this, and then creates the stack."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    endpoint = "http://{}:{}".format(*server.get_host_and_port())
    environment = {
        **{name: value for name, value in os.environ.items() if "CARGO" not in name and "RUST" not in name},
        "PATH": os.pathsep.join(path for path in os.environ["PATH"].split(os.pathsep) if "cargo" not in path),
        "AWS_ENDPOINT_URL": endpoint, "AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_DEFAULT_REGION": "us-east-1", "HOME": str(tmp_path),
    }
    credentials = {"aws_access_key_id": "local", "aws_secret_access_key": "local"}
    s3 = boto3.client("s3", "us-east-1", endpoint_url=endpoint, **credentials)
    s3.create_bucket(Bucket="bucket")
    output = tmp_path / "packaged.yaml"
    command = ["sam", "package", "--s3-bucket", "bucket", "--output-template-file", output]
    done = subprocess.run(command, cwd=DIST, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    keys = re.findall(r"CodeUri: s3://bucket/(\S+)", output.read_text())
    uploaded = {s3.get_object(Bucket="bucket", Key=key)["Body"].read() for key in keys}
    assert uploaded == {(DIST / f"{name}.zip").read_bytes() for name in FUNCTIONS}
    server.stop()
