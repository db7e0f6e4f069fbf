"""What a call costs at each memory size: memory.py [FOLDER-OF-BOOTSTRAPS]

Lambda gives a function a share of the processor in proportion to its memory (1,769 MB is one core; Lambda Developer
Guide, "Configure function memory"), and all of it during init. This starts the load function under a Lambda Runtime API,
puts it into a cgroup with that share once it asks for its first event, and measures the first call and the warm ones. DynamoDB
is the embedded one behind TLS 1.3 on loopback. It needs root, cgroups (v1 or v2), openssl, and a release build.

What it cannot see: the sandbox's own start, the way to AWS, and DynamoDB's answer time. They come on top, and do not
depend on the memory.
"""

import asyncio
import contextlib
import json
import os
import signal
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import requests

ROOT = Path(__file__).parents[1]
BOOTSTRAPS = ROOT / (sys.argv[1] if len(sys.argv) > 1 else "target/lambda")
MEMORY = [128, 256, 512, 1024, 1769]  # MB
STARTS, CALLS = 11, 300
PERIOD = 20_000  # microseconds, so that a share of a fourteenth is felt within one call
DOLLARS_PER_GB_SECOND = 0.0000166667  # x86_64, us-east-1; aws.amazon.com/lambda/pricing, 2025
DATA = {"fruit": "apple" * 200}  # about 1 KB


class Cgroup:
    """A share of the processor."""

    def __init__(self, megabytes):
        quota = PERIOD * megabytes // 1769
        v1 = Path("/sys/fs/cgroup/cpu")
        self.path = (v1 if v1.is_dir() else Path("/sys/fs/cgroup")) / f"sessions-{os.getpid()}-{megabytes}"
        self.path.mkdir()
        if v1.is_dir():
            (self.path / "cpu.cfs_period_us").write_text(str(PERIOD))
            (self.path / "cpu.cfs_quota_us").write_text(str(quota))
        else:
            (self.path / "cpu.max").write_text(f"{quota} {PERIOD}")

    def add(self, pid):
        (self.path / "cgroup.procs").write_text(str(pid))

    def remove(self):
        self.path.rmdir()


async def measure(megabytes, event, environment):
    """(first call, warm calls) of one process, in milliseconds."""
    cgroup, spans, done = Cgroup(megabytes), [], asyncio.Event()
    started = time.perf_counter()
    process = None

    async def runtime_api(reader, writer):
        nonlocal started
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                length = [line for line in head.split("\r\n") if line.startswith("content-length:")]
                body = await reader.readexactly(int(length[0].split(":")[1])) if length else b""
                if "/next " in head.split("\r\n")[0]:
                    if not spans and process:
                        cgroup.add(process.pid)
                    if len(spans) == CALLS + 1:
                        done.set()
                        return
                    started = time.perf_counter()
                    writer.write(
                        b"HTTP/1.1 200 OK\r\nlambda-runtime-aws-request-id: %d\r\n"
                        b"lambda-runtime-deadline-ms: %d\r\nlambda-runtime-invoked-function-arn: arn\r\n"
                        b"content-type: application/json\r\ncontent-length: %d\r\n\r\n"
                        % (len(spans), time.time() * 1000 + 10_000, len(event)) + event
                    )
                else:
                    spans.append((time.perf_counter() - started) * 1000)
                    assert json.loads(body)["statusCode"] == 200, body
                    writer.write(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n")
        except asyncio.IncompleteReadError:
            pass

    server = await asyncio.start_server(runtime_api, "127.0.0.1", 0)
    api = "{}:{}".format(*server.sockets[0].getsockname())
    process = subprocess.Popen(
        [BOOTSTRAPS / "load/bootstrap"],
        env={**environment, "AWS_LAMBDA_RUNTIME_API": api, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(megabytes)},
    )
    await asyncio.wait_for(done.wait(), 120)
    process.send_signal(signal.SIGKILL)
    process.wait()
    server.close()
    cgroup.remove()
    return spans[0], spans[1:]


async def tls(certificate, upstream):
    """A TLS 1.3 front for the table service."""

    async def pipe(reader, writer):
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    async def connection(reader, writer):
        upstream_reader, upstream_writer = await asyncio.open_connection(*upstream)
        with contextlib.suppress(asyncio.CancelledError):  # the benchmark is over
            await asyncio.gather(pipe(reader, upstream_writer), pipe(upstream_reader, writer), return_exceptions=True)

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(certificate)
    server = await asyncio.start_server(connection, "127.0.0.1", 0, ssl=context)
    return server.sockets[0].getsockname()[1]


async def main(folder):
    certificate = folder / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"]
        + ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
        + ["-addext", "basicConstraints=critical,CA:FALSE"]
        + ["-keyout", certificate, "-out", folder / "public.pem"],
        check=True,
        stderr=subprocess.DEVNULL,
    )
    certificate.write_text(certificate.read_text() + (folder / "public.pem").read_text())
    subprocess.run(["cargo", "build", "--quiet", "--release"], cwd=ROOT, check=True)
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    local = subprocess.Popen([target / "release/local", "--port", "0"], stdout=subprocess.PIPE, text=True)
    ready = local.stdout.readline()
    url, table = ready.split()[0], ready.split("DynamoDB at http://")[1].split(")")[0]
    created = requests.post(url, json={"data": DATA, "idle_timeout_seconds": 2592000}).json()
    port = await tls(certificate, table.split(":"))

    event = {
        "version": "2.0",
        "routeKey": "GET /session",
        "rawPath": "/session",
        "rawQueryString": "",
        "headers": {"x-session-id": created["session_id"], "host": "example.com", "accept": "*/*"},
        "requestContext": {
            "accountId": "1",
            "apiId": "api",
            "domainName": "example.com",
            "http": {"method": "GET", "path": "/session", "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1"},
            "requestId": "id",
            "routeKey": "GET /session",
            "stage": "$default",
            "timeEpoch": 0,
        },
        "isBase64Encoded": False,
    }
    environment = {
        "AWS_LAMBDA_FUNCTION_NAME": "load",
        "AWS_LAMBDA_FUNCTION_VERSION": "1",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_ENDPOINT_URL_DYNAMODB": f"https://localhost:{port}",
        "SSL_CERT_FILE": str(folder / "public.pem"),
    }
    results = {megabytes: ([], []) for megabytes in MEMORY}
    for _ in range(STARTS):
        for megabytes in MEMORY:  # interleaved, so that the machine's moods are shared
            first, warm = await measure(megabytes, json.dumps(event).encode(), environment)
            results[megabytes][0].append(first)
            results[megabytes][1].extend(warm)
    local.terminate()

    print("| MB | first call, ms | warm call p50, ms | p99, ms | Lambda's charge per million warm calls at p50 |")
    print("| --- | --- | --- | --- | --- |")
    for megabytes, (first, warm) in results.items():
        median, p99 = statistics.median(warm), statistics.quantiles(warm, n=100)[98]
        billed = -(-median // 1) / 1000 * megabytes / 1024 * DOLLARS_PER_GB_SECOND * 1e6
        print(f"| {megabytes} | {statistics.median(first):.1f} | {median:.2f} | {p99:.2f} | ${billed:.4f} |")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(main(Path(folder)))
