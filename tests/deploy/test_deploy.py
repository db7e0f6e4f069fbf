"""The manual deployment in docs/deploy.md, run unchanged against moto.

moto invokes no function and checks no permission, so this shows only that the commands are well-formed and create what
they name. It needs the functions that `cargo lambda build --release` built, or builds them.
"""

import os
import re
import subprocess
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

ROOT = Path(__file__).parents[2]
REGION = "us-east-1"
FUNCTIONS = ("create", "load", "save", "renew", "clear", "list", "revoke", "authorize")


@pytest.mark.skipif("SESSION_BOOTSTRAPS" not in os.environ, reason="a release build takes minutes; .ci/run does it")
def test_the_deployment_with_cargo_lambda_alone_works_unchanged():
    document = (ROOT / "docs/deploy.md").read_text().split("## With cargo-lambda alone")[1]
    (script,) = re.findall(r"^```shell\n(.*?)^```", document, re.M | re.S)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    endpoint = "http://{}:{}".format(*server.get_host_and_port())
    aws = {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_PAGER": "",
    }
    done = subprocess.run(["bash", "-c", script], cwd=ROOT, env={**os.environ, **aws}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr

    def client(service):
        credentials = {"aws_access_key_id": "local", "aws_secret_access_key": "local"}
        return boto3.client(service, REGION, endpoint_url=endpoint, **credentials)

    functions = client("lambda").list_functions()["Functions"]
    assert {(f["FunctionName"], f["Runtime"], f["MemorySize"], f["Timeout"]) for f in functions} == {
        (f"sessions-{name}", "provided.al2023", 256, 10) for name in FUNCTIONS
    }
    api = re.search(r"https://(\w+)\.execute-api", done.stdout)[1]
    routes = client("apigatewayv2").get_routes(ApiId=api)["Items"]
    assert {(r["RouteKey"], r["AuthorizationType"]) for r in routes} == {
        (route, "AWS_IAM")
        for route in (
            "POST /session", "GET /session", "PUT /session", "POST /session/renew", "DELETE /session",
            "POST /session/list", "POST /session/revoke",
        )
    }
    table = client("dynamodb").describe_table(TableName="app_session")["Table"]
    assert table["DeletionProtectionEnabled"]
    ttl = client("dynamodb").describe_time_to_live(TableName="app_session")["TimeToLiveDescription"]
    assert ttl["AttributeName"] == "expires"
    for name in FUNCTIONS:
        policy = client("iam").get_role_policy(RoleName=f"sessions-{name}", PolicyName=name)["PolicyDocument"]
        assert policy["Statement"][0]["Resource"].endswith(":table/app_session")

    # The way out after a failed deployment, from the same page.
    (removal,) = re.findall(r"^```shell\n(aws dynamodb update-table.*?)^```", (ROOT / "docs/deploy.md").read_text(), re.M | re.S)
    command = ["bash", "-euc", removal.replace("NAME", "app_session")]
    done = subprocess.run(command, env={**os.environ, **aws}, capture_output=True, text=True)
    assert done.returncode == 0 and client("dynamodb").list_tables()["TableNames"] == [], done.stderr
    server.stop()
