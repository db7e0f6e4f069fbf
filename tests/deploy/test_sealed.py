"""Sealed records, read by another implementation: the Python package `cryptography`."""

import base64
import hashlib
import hmac
import json
import os
import subprocess
from pathlib import Path

import boto3
import pytest
import requests
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

ROOT = Path(__file__).parents[2]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local", "AWS_REGION": "us-east-1"}


@pytest.fixture(scope="module")
def sealing(started):
    """The session resource of a local server that seals, and its DynamoDB. `started` has built it."""
    server = subprocess.Popen(
        [TARGET / "debug/local", "--port", "0", "--dynamodb-port", "0"], env={**os.environ, "SESSION_SEAL": "true"},
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )
    line = server.stdout.readline()
    yield line.split()[0], line.split("DynamoDB at ")[1].split(")")[0]
    server.terminate()
    server.wait()


def derive(session_id, info):
    secret = base64.urlsafe_b64decode(session_id + "=" * (-len(session_id) % 4))
    return HKDF(SHA512(), 32, None, info).derive(secret)


def test_another_implementation_opens_the_records(sealing):
    url, endpoint = sealing
    data = {"fruit": "apple", "é": "🍪" * 200}
    created = requests.post(url, json={"data": data})
    session_id, key = created.json()["session_id"], created.json()["loggable_session_id"]
    dynamodb = boto3.client("dynamodb", "us-east-1", endpoint_url=endpoint, aws_access_key_id="local", aws_secret_access_key="local")
    item = dynamodb.get_item(TableName="app_session", Key={"id": {"S": key}}, ConsistentRead=True)["Item"]
    version, nonce, ciphertext = item["data"]["B"][:1], item["data"]["B"][1:13], item["data"]["B"][13:]
    assert version == b"\x16" and key == hashlib.sha512(session_id.encode()).hexdigest()
    opened = AESGCM(derive(session_id, b"dynamodb-web-session/seal/1")).decrypt(nonce, ciphertext, version + key.encode())
    assert len(opened) % 256 == 0
    text = opened.rstrip(b"\0")
    assert json.loads(text) == data
    tag = hmac.digest(derive(session_id, b"dynamodb-web-session/etag/1"), text, "sha256")[:16]
    assert created.headers["etag"] == '"' + base64.urlsafe_b64encode(tag).decode().rstrip("=") + '"'


@pytest.mark.parametrize("kind", ["sealed", "plain", "deflated"])
def test_the_example_shows_a_session_given_its_id(sealing, service_url, dynamodb_url, kind):
    url, endpoint = sealing if kind == "sealed" else (service_url, dynamodb_url)
    data = {"text": "apple " * (1000 if kind == "deflated" else 1)}
    session_id = requests.post(url, json={"data": data, "subject": "alice"}).json()["session_id"]
    before = requests.get(url, headers={"x-session-id": session_id}).json()["expires"]
    subprocess.run(["cargo", "build", "--quiet", "--package", "dynamodb-web-session", "--examples"], cwd=ROOT, check=True)
    environment = {**os.environ, **CREDENTIALS, "AWS_ENDPOINT_URL_DYNAMODB": endpoint}
    show = lambda text: subprocess.run([TARGET / "debug/examples/show"], env=environment, input=text, capture_output=True, text=True)
    shown = show(session_id + "\n")
    assert shown.returncode == 0, shown.stderr
    assert json.loads(shown.stdout.split("\ndata ")[1]) == data and "subject      alice" in shown.stdout
    assert before.replace("Z", "") in shown.stdout and session_id not in shown.stdout
    assert show("A" * 43).returncode == 1
