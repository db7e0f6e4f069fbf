"""Fixtures: headless Chromium, the service of `cargo run` with either transport, and a foreign site."""

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests
from selenium import webdriver
from selenium.webdriver.chrome.service import Service as Driver

ROOT = Path(__file__).parents[2]
QUIET = "--disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync"


class Service:
    """A running service and its log."""

    def __init__(self, process, log, url):
        self.process, self.log, self.url = process, log, url

    def events(self):
        """The events since the previous call, as (event, outcome)."""
        lines = [json.loads(line) for line in self.log.read().splitlines()]
        return [(line["event"], line["outcome"]) for line in lines]

    def record(self, loggable_id):
        """A session's record in DynamoDB."""
        return requests.get(f"{self.url}/watch/-/{loggable_id}", timeout=10).json()["record"]


@pytest.fixture(scope="session")
def binary():
    subprocess.run(["cargo", "build", "--quiet", "--package", "local"], cwd=ROOT, check=True)
    return Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug/local"


@pytest.fixture
def start(binary):
    """Starts a service with the given settings."""
    with contextlib.ExitStack() as stack:

        def start(**settings):
            written = stack.enter_context(tempfile.TemporaryFile("w+"))
            log = stack.enter_context(open(f"/proc/self/fd/{written.fileno()}"))
            environment = {**os.environ, **settings}
            process = subprocess.Popen([binary, "--port", "0"], stdout=subprocess.PIPE, stderr=written, text=True, env=environment)
            stack.callback(process.wait)
            stack.callback(process.terminate)
            return Service(process, log, process.stdout.readline().split("/session")[0])

        yield start


@pytest.fixture
def browser():
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or shutil.which("chromium-browser")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for argument in ["--headless", "--no-sandbox", "--window-size=1280,1000", *QUIET.split()]:
        options.add_argument(argument)
    with webdriver.Chrome(options=options, service=Driver(shutil.which("chromedriver"))) as browser:
        browser.set_script_timeout(20)
        yield browser


@pytest.fixture
def other_site_port():
    """The port of a site with empty pages. For a service on `localhost`, the site is another origin of the same site under the
    name `localhost`, and another site under `127.0.0.1`."""

    class Empty(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>Other site</title><body>")

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Empty)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
