"""One session, from its creation to its end, through functions under AWS's runtime interface emulator, which comes with the SAM CLI.

runtime_emulator.py FUNCTIONS SERVER

Run it with the Python that has the SAM CLI. FUNCTIONS has a folder with a `bootstrap` for each function, and SERVER is the local server, for its embedded DynamoDB. All listen on
127.0.0.1, at ports from 9100.
"""

import json
import os
import platform
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import samcli

PROCESSOR = {"aarch64": "arm64", "x86_64": "x86_64"}[platform.machine()]
EMULATOR = Path(samcli.__file__).parent / f"local/rapid/aws-lambda-rie-{PROCESSOR}"
DYNAMODB = 9100
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "local",
    "AWS_SECRET_ACCESS_KEY": "local",
    "AWS_REGION": "us-east-1",
    "AWS_ENDPOINT_URL_DYNAMODB": f"http://127.0.0.1:{DYNAMODB}",
    "AWS_LAMBDA_FUNCTION_TIMEOUT": "60",
    "SESSION_TABLE_NAME": "app_session",
    "PATH": os.environ["PATH"],
}


def post(url, value):
    request = urllib.request.Request(url, json.dumps(value).encode())
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return json.load(response)
        except urllib.error.HTTPError:
            raise
        except urllib.error.URLError:  # it does not listen yet
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def event(method, path, body=None, session_id=None):
    """An event of an HTTP API, payload 2.0 (API Gateway Developer Guide, "AWS Lambda proxy integrations for HTTP APIs")."""
    headers = {"content-type": "application/json", "host": "example.execute-api.us-east-1.amazonaws.com"}
    if session_id:
        headers["x-session-id"] = session_id
    return {
        "version": "2.0",
        "routeKey": f"{method} {path}",
        "rawPath": path,
        "rawQueryString": "",
        "headers": headers,
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "example",
            "domainName": headers["host"],
            "domainPrefix": "example",
            "http": {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1", "userAgent": "test"},
            "requestId": "request",
            "routeKey": f"{method} {path}",
            "stage": "$default",
            "time": "12/Mar/2026:19:03:58 +0000",
            "timeEpoch": 1773342238000,
        },
        "body": body,
        "isBase64Encoded": False,
    }


class Function:
    def __init__(self, functions, name, port):
        addresses = ["--runtime-interface-emulator-address", f"127.0.0.1:{port}", "--runtime-api-address", f"127.0.0.1:{port + 1}"]
        command = [EMULATOR, "--log-level", "error", *addresses, f"{functions}/{name}/bootstrap"]
        self.process = subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.DEVNULL)
        self.url = f"http://127.0.0.1:{port}/2015-03-31/functions/function/invocations"

    def __call__(self, *request, **values):
        return post(self.url, event(*request, **values))


def expect(response, status):
    assert response.get("statusCode") == status, response
    return json.loads(response["body"]) if response.get("body") else None


def main(functions, server):
    processes = [subprocess.Popen([server, "--port", "0", "--dynamodb-port", str(DYNAMODB)], env=ENVIRONMENT, stdout=subprocess.DEVNULL)]
    try:
        called = {}
        for place, name in enumerate(["create", "load", "save", "renew", "clear"]):
            called[name] = Function(functions, name, DYNAMODB + 2 + 2 * place)
            processes.append(called[name].process)
        first = expect(called["create"]("POST", "/session", '{"data":{"n":1.0}}'), 201)["session_id"]
        expect(called["save"]("PUT", "/session", '{"data":{"n":2.0}}', session_id=first), 204)
        assert expect(called["load"]("GET", "/session", session_id=first), 200)["data"] == {"n": 2.0}
        second = expect(called["renew"]("POST", "/session/renew", session_id=first), 200)["session_id"]
        expect(called["load"]("GET", "/session", session_id=first), 404)
        assert expect(called["load"]("GET", "/session", session_id=second), 200)["data"] == {"n": 2.0}
        expect(called["clear"]("DELETE", "/session", session_id=second), 204)
        expect(called["load"]("GET", "/session", session_id=second), 404)
        expect(called["create"]("POST", "/session", "{"), 400)
    finally:
        for process in processes:
            process.terminate()
            process.wait()
    print("create, save, load, renew and clear: ok")


if __name__ == "__main__":
    main(*sys.argv[1:])
