"""The cost of a million sessions: cost.py

Prints the table of docs/performance.md. A session has a create, 20 loads within two minutes, 3 saves and a clear, each an
HTTP request. Data transfer, storage and the free tiers are left out; they are the same for all.
"""

import json
import random
import uuid
import zlib
from math import ceil

# On demand, us-east-1, looked up in November 2026.
API_GATEWAY_REQUEST = 1.00 / 1e6  # HTTP API, the first 300 million; aws.amazon.com/api-gateway/pricing
LAMBDA_REQUEST = 0.20 / 1e6  # aws.amazon.com/lambda/pricing
LAMBDA_GB_SECOND = 0.0000166667  # x86_64, the first 6 billion
READ_UNIT = 0.125 / 1e6  # 4 KB, consistent; aws.amazon.com/dynamodb/pricing/on-demand
WRITE_UNIT = 0.625 / 1e6  # 1 KB

LOG_BYTE = 0.50 / 1e9  # standard class; aws.amazon.com/cloudwatch/pricing

CREATES, LOADS, SAVES, CLEARS = 1, 20, 3, 1
SLIDES = 2  # this service only, at most one a minute
WAIT = 3.0  # ms per DynamoDB request: "single-digit milliseconds", aws.amazon.com/dynamodb

# Usage of each call, measured by `cargo bench -p benches -- compare`: CPU in ms, DynamoDB requests.
OURS = {"create": (0.64, 1), "load": (0.60, 1.1), "save": (0.65, 1), "clear": (0.54, 1)}
PYTHON = {"create": (3.3, 1), "load": (5.7, 2), "save": (3.5, 1), "clear": (3.3, 1)}
OUR_MEMORY, PYTHON_MEMORY = 256, 256  # MB

# Bytes of log at level INFO, as `SESSION_LOG_LEVEL=INFO cargo run` prints it: a load's line has its metrics only.
OUR_LINE, OUR_LOAD_LINE = 602, 331
# Lambda's own lines of a call, in JSON: platform.start and platform.report (Lambda Developer Guide, "Sample JSON log events").
LAMBDA_LINES = 180 + 420

OUR_OVERHEAD = 225  # bytes of an item without its data: shared/src/dynamodb/compression.rs
PYTHON_OVERHEAD = 2 + 43 + 4 + 8 + 32 + 7 + 6 + 7 + 32 + 12 + 3 + 16 + 4  # its attribute names and values


def basket(size):
    """About `size` bytes of session data, as in a shop, including values that do not compress."""
    dice = random.Random(1)
    words = "small large red green blue wool cotton steel glass table chair lamp shirt shoe garden kitchen set of two with and for".split()
    data = {"user": str(uuid.UUID(int=dice.getrandbits(128))), "csrf": "%032x" % dice.getrandbits(128), "basket": []}
    while len(text := json.dumps(data, separators=(",", ":"))) < size:
        price, added = dice.randrange(10**5), "2026-11-%02dT%02d:%02d:00Z" % tuple(dice.randrange(10, 24) for _ in "dhm")
        title = " ".join(dice.choices(words, k=5))
        data["basket"].append({"sku": dice.randrange(10**8), "title": title, "price_cents": price, "added": added})
    return text.encode()


def writes(item):
    return ceil(item / 1024)


def reads(item):
    return ceil(item / 4096)


def dollars(read_units, write_units):
    return read_units * READ_UNIT + write_units * WRITE_UNIT


def our_item(data):
    plain, deflated = (len(text) + OUR_OVERHEAD for text in (data, zlib.compress(data, 1)))
    return min(plain, deflated, key=writes)


def ours(item):
    return dollars(LOADS * reads(item), (CREATES + SAVES + CLEARS + SLIDES) * writes(item))


def python(item):
    # A save with the library needs a loaded session; the cost of that load is left out.
    return dollars(LOADS * reads(item), (LOADS + CREATES + SAVES + CLEARS) * writes(item))


def functions(calls, memory):
    total = 0
    for name, times in zip(calls, (CREATES, LOADS, SAVES, CLEARS)):
        cpu, requests = calls[name]
        milliseconds = cpu * 1769 / min(memory, 1769) + requests * WAIT
        total += times * (ceil(milliseconds) / 1000 * memory / 1024 * LAMBDA_GB_SECOND)
    return total


def main():
    requests = CREATES + LOADS + SAVES + CLEARS
    gateway, invocations = requests * API_GATEWAY_REQUEST, requests * LAMBDA_REQUEST
    lambda_lines = requests * LAMBDA_LINES * LOG_BYTE
    our_lines = (LOADS * OUR_LOAD_LINE + (CREATES + SAVES + CLEARS) * OUR_LINE) * LOG_BYTE
    print("| data | implementation | API Gateway | Lambda: requests | Lambda: time | DynamoDB | own log lines | Lambda's log lines | total |")
    print("| ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for size in (1, 8, 64):
        data = basket(size * 1000)
        small, plain, theirs = our_item(data), len(data) + OUR_OVERHEAD, len(data) + PYTHON_OVERHEAD
        rows = {
            "this service": (functions(OURS, OUR_MEMORY), ours(small)),
            "this service, without deflation": (functions(OURS, OUR_MEMORY), ours(plain)),
            "the Python library": (functions(PYTHON, PYTHON_MEMORY), python(theirs)),
        }
        for implementation, (time, table) in rows.items():
            own = 0 if implementation == "the Python library" else our_lines  # the library logs nothing
            costs = [gateway, invocations, time, table, own, lambda_lines]
            costs.append(sum(costs))
            print(f"| {len(data) / 1000:.1f} KB | {implementation} | " + " | ".join(f"${cost * 1e6:,.2f}" for cost in costs) + " |")

    print("\nDynamoDB cost of a load at ten loads a minute: the Python library as a multiple of this service")
    for size in (1, 8, 64):
        data = basket(size * 1000)
        theirs = len(data) + PYTHON_OVERHEAD
        python_load = dollars(reads(theirs), writes(theirs))
        for name, item in (("deflated", our_item(data)), ("not deflated", len(data) + OUR_OVERHEAD)):
            print(f"{size} KB, {name}: {python_load / dollars(reads(item), writes(item) / 10):.1f} times")


if __name__ == "__main__":
    main()
