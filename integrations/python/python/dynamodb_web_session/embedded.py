"""An embedded DynamoDB on this machine: ``python -m dynamodb_web_session.embedded``."""

from __future__ import annotations

import argparse
import contextlib
import signal

from ._core import EmbeddedDynamoDb

__all__ = ["EmbeddedDynamoDb"]


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m dynamodb_web_session.embedded",
        description="Serves an embedded DynamoDB with the session table, for development and tests.",
    )
    parser.add_argument(
        "--port", type=int, default=8000, help="the port on 127.0.0.1; 0 picks a free one (default 8000)"
    )
    parser.add_argument("--data", metavar="FILE", help="keep the sessions in this file instead of in memory")
    parser.add_argument("--table-name", default="app_session", help="the name of the table (default app_session)")
    arguments = parser.parse_args()
    try:
        dynamodb = EmbeddedDynamoDb(port=arguments.port, data=arguments.data, table_name=arguments.table_name)
    except (OSError, OverflowError) as error:
        parser.exit(1, f"error: {error}\n")
    print(f"DynamoDB with the table {arguments.table_name} is ready. Let your application use it:\n")
    print(f"export AWS_ENDPOINT_URL_DYNAMODB={dynamodb.url}")
    print("export AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local AWS_REGION=us-east-1", flush=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            signal.pause()


if __name__ == "__main__":
    main()
