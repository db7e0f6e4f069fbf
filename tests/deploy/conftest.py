"""Fixtures: a running service, and a gateway that accepts only signed calls, as API Gateway does under AWS_IAM."""

import os
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

ROOT = Path(__file__).parents[2]
REGION = "eu-central-1"
SIGNER = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "a-session-token")


@pytest.fixture(scope="session")
def started():
    """The first line that `cargo run` prints."""
    subprocess.run(["cargo", "build", "--quiet", "--workspace", "--bins"], cwd=ROOT, check=True)
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    service = subprocess.Popen([target / "debug/local", "--port", "0"], stdout=subprocess.PIPE, text=True)
    yield service.stdout.readline()
    service.terminate()
    service.wait()


@pytest.fixture(scope="session")
def service_url(started):
    """The session resource of `cargo run`."""
    return started.split()[0]


@pytest.fixture(scope="session")
def dynamodb_url(started):
    """The embedded DynamoDB of `cargo run`, which has the table."""
    return started.split("DynamoDB at ")[1].split(")")[0]


@pytest.fixture(scope="session")
def signed_url(service_url):
    """A gateway in front of the service that returns 403 for every request that SIGNER has not signed."""

    class Gateway(BaseHTTPRequestHandler):
        def forward(self):
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            if not is_signed(self, body):
                self.answer(403, {"content-type": "application/json"}, b'{"message":"Forbidden"}')
                return
            headers = {k: v for k, v in self.headers.items() if k.lower() not in ("host", "accept-encoding")}
            answer = requests.request(self.command, service_url.removesuffix("/session") + self.path, headers=headers, data=body)
            self.answer(answer.status_code, answer.headers, answer.content)

        def answer(self, status, headers, body):
            self.send_response(status)
            for name, value in headers.items():
                if name.lower() not in ("content-length", "transfer-encoding", "date"):
                    self.send_header(name, value)
            if status != 204:
                self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

        do_GET = do_POST = do_PUT = do_DELETE = forward

    gateway = ThreadingHTTPServer(("127.0.0.1", 0), Gateway)
    threading.Thread(target=gateway.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{gateway.server_port}/session"
    gateway.shutdown()


def is_signed(request, body):
    """Whether the request carries SIGNER's signature, recomputed here (IAM User Guide, "Signature Version 4")."""
    authorization = request.headers.get("authorization", "")
    if "SignedHeaders=" not in authorization:
        return False
    signed = authorization.split("SignedHeaders=")[1].split(",")[0].split(";")
    url = f"http://{request.headers['host']}{request.path}"
    signed_again = AWSRequest(request.command, url, {name: request.headers[name] for name in signed}, body)
    signed_again.context["timestamp"] = request.headers["x-amz-date"]
    signer = SigV4Auth(SIGNER, "execute-api", REGION)
    signature = signer.signature(signer.string_to_sign(signed_again, signer.canonical_request(signed_again)), signed_again)
    return (
        {"host", "x-amz-date", "x-amz-security-token"} <= set(signed)
        and request.headers["x-amz-security-token"] == SIGNER.token
        and authorization.endswith(f"Signature={signature}")
    )


@pytest.fixture
def signer():
    """The environment variables of a caller with access."""
    return {
        "AWS_ACCESS_KEY_ID": SIGNER.access_key,
        "AWS_SECRET_ACCESS_KEY": SIGNER.secret_key,
        "AWS_SESSION_TOKEN": SIGNER.token,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
    }
