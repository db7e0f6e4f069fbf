"""The commands in README.md, docs/login.md, docs/api.md and docs/local.md, run as they are, except for the ports."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def blocks(document, language="shell"):
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / document).read_text(), re.M | re.S)


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


@pytest.fixture
def serve():
    """Runs a block that starts the local server, and returns a function that runs other blocks against it."""
    servers = []

    def serve(start):
        ports = {"3000": free_port(), "8000": free_port()}
        match = re.fullmatch(r"((?:\w+=\S+ )*)cargo run(?: -- (.*?))?", start.strip())
        settings = dict(setting.split("=") for setting in match[1].split())
        arguments = [ports.get(word, word) for word in (match[2] or "").split()]
        binary = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug/local"
        server = subprocess.Popen(
            [binary, "--port", ports["3000"], *arguments],
            env={**os.environ, **settings}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )
        servers.append(server)
        assert "is ready" in server.stdout.readline()

        def run(block):
            for documented, actual in ports.items():
                block = block.replace(f"localhost:{documented}", f"localhost:{actual}")
            done = subprocess.run(["bash", "-euo", "pipefail", "-c", block], cwd=ROOT, capture_output=True, text=True, timeout=600)
            assert done.returncode == 0, done.stdout + done.stderr
            return done.stdout

        return run

    subprocess.run(["cargo", "build", "--quiet", "--package", "local"], cwd=ROOT, check=True)
    yield serve
    for server in servers:
        server.terminate()
        server.wait()


def test_the_commands_for_the_embedded_dynamodb_work(serve):
    start, examples, commands, record, *_ = blocks("docs/local.md")
    run = serve(start)
    printed = run(examples)
    assert "apple red" in printed and "171 Timeouts" in printed
    variables = examples.split("cargo run")[0]
    assert '"idle_timeout"' in run(variables + record)
    printed = run(variables + commands)
    assert "ok        key" in printed and "All sessions of alice have ended." in printed


def test_the_curl_line_for_cookie_transport_works(serve):
    start, curl = blocks("docs/api.md")
    response = serve(start)(curl)
    assert "HTTP/1.1 201" in response and "set-cookie: __Host-id=" in response


def test_the_curl_lines_of_the_readme_work(serve):
    start, curl = blocks("README.md")[:2]
    run = serve(start.split("#")[0])
    create, load, clear = curl.strip().split("\n")
    (session_id,) = re.findall(r'"session_id":"([^"]+)"', run(create))
    assert '"data":{"fruit":"apple"}' in run(load.replace("PASTE_THE_SESSION_ID", session_id))
    assert "204 No Content" in run(clear.replace("PASTE_THE_SESSION_ID", session_id))
    assert "no-such-session" in run(load.replace("PASTE_THE_SESSION_ID", session_id))


def test_the_curl_lines_for_a_login_work(serve):
    start, curl = blocks("README.md")[:1] + blocks("docs/login.md")
    printed = serve(start.split("#")[0])(curl)
    assert printed.count('"subject":"alice"') == 2
    listed, emptied = re.findall(r'{"sessions":.*?]}', printed)
    assert listed.count("loggable_session_id") == 2 and emptied == '{"sessions":[]}'
    assert "204 No Content" in printed


def test_the_commands_for_the_authorizer_work(serve):
    start, curl, deploy = blocks("docs/authorizer.md")
    printed = serve(start)(curl)
    assert re.findall(r"HTTP/1.1 (\d+)", printed) == ["401", "403", "200"]
    assert printed.endswith('{"hello": "alice", "data": {}}') and "examples/protected-api" in deploy


@pytest.mark.parametrize("transport", ["header", "cookie"])
def test_the_smoke_test_passes_in_both_transports(serve, transport):
    run = serve(f"SESSION_ID_TRANSPORT={transport} cargo run")
    assert run("tests/deploy/smoke http://localhost:3000/session").endswith("The service works.\n")


def test_the_login_over_http_works(service_url):
    (code,) = blocks("docs/login.md", "python")
    environment = {**os.environ, "SESSION_URL": service_url}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "alice None\nNone\n"), done.stderr
