"""The built functions in cargo-lambda's emulator, which is independent of the Lambda emulation in this project's tests.

SESSION_BOOTSTRAPS names the output folder of `cargo lambda build`. Without it, the functions of this build are used.
"""

import json
import os
import re
import socket
import subprocess
import time
from pathlib import Path

import pytest
import tomllib
from samtranslator.yaml_helper import yaml_parse

ROOT = Path(__file__).parents[2]
FUNCTIONS = ["create", "load", "save", "renew", "clear", "list", "revoke", "authorize"]


def bootstrap(name):
    if folder := os.environ.get("SESSION_BOOTSTRAPS"):
        return ROOT / folder / name / "bootstrap"
    return Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug" / name


@pytest.fixture(scope="module")
def port(dynamodb_url):
    """The port of `cargo lambda watch`, with the functions connected."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    watch = ["cargo", "lambda", "watch", "-A", "127.0.0.1", "-P", port, "--only-lambda-apis", "--disable-cors"]
    processes = [subprocess.Popen(watch, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)]
    deadline = time.monotonic() + 30
    while socket.socket().connect_ex(("127.0.0.1", int(port))) != 0:
        assert time.monotonic() < deadline, "cargo lambda watch is not listening"
        time.sleep(0.1)
    for name in FUNCTIONS:
        environment = {
            "AWS_LAMBDA_FUNCTION_NAME": name,
            "AWS_LAMBDA_FUNCTION_VERSION": "1",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
            "AWS_LAMBDA_RUNTIME_API": f"http://127.0.0.1:{port}/.rt/{name}",
            "AWS_ENDPOINT_URL_DYNAMODB": dynamodb_url,
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
        }
        processes.append(subprocess.Popen([bootstrap(name)], env=environment))
    yield port
    for process in reversed(processes):
        process.terminate()
        process.wait()


def test_the_routes_of_cargo_lambda_match_the_template():
    cargo = tomllib.loads((ROOT / "Cargo.toml").read_text())
    router = cargo["workspace"]["metadata"]["lambda"]["watch"]["router"]
    routed = {f"{r['method']} {path}": r["function"] for path, routes in router.items() for r in routes}
    template = yaml_parse((ROOT / "template.yaml").read_text())["Resources"]
    keys = {n: r["Properties"]["RouteKey"] for n, r in template.items() if r["Type"] == "AWS::ApiGatewayV2::Route"}
    assert routed == {key: re.sub("Route$", "", name).lower() for name, key in keys.items()}


def test_the_smoke_test_passes_under_cargo_lambda_watch(port):
    smoke = [ROOT / "tests/deploy/smoke", f"http://127.0.0.1:{port}/session"]
    done = subprocess.run(smoke, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_function_responds_to_cargo_lambda_invoke(port, tmp_path):
    event = {
        "version": "2.0",
        "routeKey": "POST /session",
        "rawPath": "/session",
        "rawQueryString": "",
        "headers": {"content-type": "application/json"},
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "api",
            "http": {"method": "POST", "path": "/session", "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1"},
            "requestId": "id",
            "routeKey": "POST /session",
            "stage": "$default",
            "timeEpoch": 0,
        },
        "body": json.dumps({"data": {"fruit": "apple"}}),
        "isBase64Encoded": False,
    }
    (tmp_path / "event.json").write_text(json.dumps(event))
    invoke = ["cargo", "lambda", "invoke", "create", "--data-file", tmp_path / "event.json", "-A", "127.0.0.1", "-P", port]
    done = subprocess.run(invoke, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    response = json.loads(done.stdout)
    assert response["statusCode"] == 201
    assert json.loads(response["body"])["data"] == {"fruit": "apple"}
