"""The clients in docs/clients.md, run unchanged, and the smoke test."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", (ROOT / "docs/clients.md").read_text(), re.M | re.S)
RUN = {
    "shell": ["bash", "-euo", "pipefail", "-c"],
    "python": [sys.executable, "-c"],
    "javascript": ["node", "--input-type=module", "--eval"],
}


def run(command, **environment):
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


def test_the_document_has_a_client_in_each_language():
    languages = [language for language, _ in BLOCKS]
    assert languages == ["shell", "shell", "python", "python", "javascript", "rust"]  # the Rust tests cover rust


@pytest.mark.parametrize("language, code", [block for block in BLOCKS if block[0] in RUN])
def test_each_client_works_unchanged(language, code, service_url, signed_url, signer):
    signs = "AWS" in code
    url = signed_url if signs else service_url
    status, printed = run([*RUN[language], code], SESSION_URL=url, **(signer if signs else {}))
    assert status == 0, printed
    assert "pear" in printed


def test_the_signed_url_refuses_an_unsigned_request(signed_url):
    _, printed = run([*RUN["shell"], 'curl -sX POST "$SESSION_URL"'], SESSION_URL=signed_url)
    assert printed == '{"message":"Forbidden"}'


def test_the_smoke_test_passes_on_a_working_service(service_url, signed_url, signer):
    for arguments in ([service_url], [signed_url, "--sign"]):
        status, printed = run([ROOT / "tests/deploy/smoke", *arguments], **signer)
        assert status == 0, printed
        assert printed.endswith("The service works.\n")


def test_the_smoke_test_reports_the_failure(service_url, signed_url, signer):
    wrong = {**signer, "AWS_SECRET_ACCESS_KEY": "wrong"}
    for arguments, environment, said in (
        ([service_url + "s"], signer, "expected status 201, got 404"),
        ([service_url, "--sign"], signer, "an unsigned call is refused"),
        ([signed_url], signer, "expected status 201, got 403"),
        ([signed_url, "--sign"], wrong, "expected status 201, got 403"),
        (["http://127.0.0.1:1/session"], signer, "cannot be reached"),
    ):
        status, printed = run([ROOT / "tests/deploy/smoke", *arguments], **environment)
        assert status == 1 and "FAILED" in printed and said in printed, printed
