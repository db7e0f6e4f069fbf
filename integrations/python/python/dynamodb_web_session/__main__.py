"""Commands for a session table: ``python -m dynamodb_web_session --help``."""

from __future__ import annotations

import signal
import sys

from ._core import run_command

if __name__ == "__main__":
    # A call in Rust does not return to Python's own handler.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(run_command(["python -m dynamodb_web_session", *sys.argv[1:]]))
