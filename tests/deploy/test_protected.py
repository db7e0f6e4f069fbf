"""The API that the authorizer protects: the example's template, and the example as `cargo run -- --protect` serves it."""

import os
import re
import subprocess
from pathlib import Path

import pytest
import requests
from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples/protected-api"


class ManagedPolicies:
    def load(self):
        return {}


@pytest.fixture(scope="module")
def serve(started):
    """Starts the local server with a protected API, and returns its address. `started` has built it."""
    processes = []

    def start(folder, **settings):
        target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
        command = [target / "debug/local", "--port", "0", "--protect", folder]
        process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **settings}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        processes.append(process)
        return process.stdout.readline().split("/session")[0]

    yield start
    for process in processes:
        process.terminate()
        process.wait()


def test_the_example_answers_401_403_and_200(serve):
    url = serve("examples/protected-api")
    hello = lambda session_id: requests.get(f"{url}/hello", headers={"x-session-id": session_id})
    assert requests.get(f"{url}/hello").status_code == 401
    assert hello("A" * 43).status_code == 403
    assert hello("A" * 43).json() == {"message": "Forbidden"}
    created = requests.post(f"{url}/session", json={"subject": "alice", "data": {"cart": ["apple"]}}).json()
    greeted = hello(created["session_id"])
    assert greeted.status_code == 200
    assert greeted.json() == {"hello": "alice", "data": {"cart": ["apple"]}}
    assert requests.get(f"{url}/public").json() == {"hello": "visitor", "data": {}}
    assert requests.post(f"{url}/hello", headers={"x-session-id": created["session_id"]}).status_code == 404

    revoked = requests.post(f"{url}/session/revoke", json={"subject": "alice"})
    assert revoked.status_code == 204
    assert hello(created["session_id"]).status_code == 403


def test_a_function_that_fails_is_500_and_the_next_request_is_served(serve, tmp_path):
    template = (EXAMPLE / "template.yaml").read_text().replace("hello.handler", "failing.handler")
    (tmp_path / "template.yaml").write_text(template)
    (tmp_path / "failing.py").write_text(
        "import os\n"
        "def handler(event, context):\n"
        "    print('printed, and not the response')\n"
        "    match event['headers'].get('fail'):\n"
        "        case 'raise': raise ValueError('on purpose')\n"
        "        case 'exit': os._exit(1)\n"
        "    return {'statusCode': 200, 'body': str('x-session-id' in event['requestContext'])}\n"
    )
    url = serve(tmp_path)
    for fail, status in [("no", 200), ("raise", 500), ("no", 200), ("exit", 500), ("no", 200)]:
        assert requests.get(f"{url}/public", headers={"fail": fail}).status_code == status, fail


def test_without_a_session_an_optional_authorizer_passes(serve):
    url = serve("examples/protected-api", SESSION_AUTHORIZER_OPTIONAL="true")
    assert requests.get(f"{url}/hello", headers={"x-session-id": "none"}).json()["hello"] == "visitor"


def test_the_example_keeps_no_results_and_refers_to_the_authorizer():
    template = yaml_parse((EXAMPLE / "template.yaml").read_text())
    template["Resources"]["HelloFunction"]["Properties"]["CodeUri"] = "s3://bucket/code.zip"
    os.environ["AWS_DEFAULT_REGION"] = "us-east-1"
    expanded = transform(template, {"AuthorizerArn": "arn:aws:lambda:us-east-1:123456789012:function:authorize"}, ManagedPolicies())
    (api,) = [r["Properties"]["Body"] for r in expanded["Resources"].values() if r["Type"] == "AWS::ApiGatewayV2::Api"]
    authorizer = api["components"]["securitySchemes"]["Session"]["x-amazon-apigateway-authorizer"]
    assert authorizer["authorizerResultTtlInSeconds"] == 0
    assert authorizer["enableSimpleResponses"] is True
    assert authorizer["authorizerPayloadFormatVersion"] == "2.0"
    assert authorizer["identitySource"] == ["$request.header.x-session-id"]
    assert api["paths"]["/hello"]["get"]["security"] == [{"Session": []}]
    assert api["paths"]["/public"]["get"]["security"] == [{"NONE": []}]


def test_every_snippet_keeps_no_results():
    page = (ROOT / "docs/authorizer.md").read_text()
    snippets = re.findall(r"^```(\w+)$(.*?)^```$", page, re.M | re.S)
    assert {language for language, _ in snippets} >= {"yaml", "typescript", "hcl"}
    for language, text in snippets:
        if language in ("yaml", "typescript", "hcl"):
            assert re.search(r"ReauthorizeEvery: 0|resultsCacheTtl: Duration.seconds\(0\)|authorizer_result_ttl_in_seconds += 0", text), text
    assert "ReauthorizeEvery: 0" in (EXAMPLE / "template.yaml").read_text()
